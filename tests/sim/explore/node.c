/* node - see node.h. A host around one core, as core.h asks for it. */
#include <stdio.h>

#include "tests/sim/explore/node.h"

struct scope scope;

static struct node works[NODES + 1];
static struct core_update update;

struct node *node_take_up(const struct node *n)
{
    works[n->id] = *n;
    return &works[n->id];
}

#define BREACH(out, ...)                                                                           \
    do {                                                                                           \
        if (!(out)->breach[0]) snprintf((out)->breach, sizeof(out)->breach, __VA_ARGS__);          \
    } while (0)

static bool same(const struct entry *a, const struct entry *b)
{
    return a->term == b->term && a->maker == b->maker && a->kind == b->kind;
}

static void text_put(struct text *t, unsigned truncate_from, const struct text *more)
{
    if (truncate_from) {
        CHECK(truncate_from <= t->count);
        t->count = (uint8_t)(truncate_from - 1);
    }
    CHECK(t->count + more->count <= LOG_MAX);
    for (unsigned i = 0; i < more->count; i++)
        t->at[t->count++] = more->at[i];
    for (unsigned i = t->count; i < LOG_MAX; i++)
        t->at[i] = (struct entry){ .term = 0 };
}

/* ---- carrying out */

static void take_write(struct node *n, const struct note *from)
{
    const struct core_update *u = &update;
    struct write *w = &n->writes[n->write_count];

    if (!u->write_id) return;
    CHECK(n->write_count < WRITES_MAX);
    n->write_count++;
    *w = (struct write){ .has_hard = (u->flags & CORE_HARD) != 0 };
    if (w->has_hard) {
        w->term = (uint8_t)u->hard.term;
        w->vote = (uint8_t)u->hard.vote;
    }
    if (!(u->flags & CORE_APPEND)) return;
    w->truncate_from = (uint8_t)u->append.truncate_from;
    w->text.count = (uint8_t)u->append.count;
    if (u->append.own)
        w->text.at[0] = (struct entry){ (uint8_t)u->append.term, n->id, (uint8_t)u->append.kind };
    for (unsigned i = 0; i < w->text.count && !u->append.own; i++)
        w->text.at[i] = from->text.at[u->append.skip + i];
    text_put(&n->memory, w->truncate_from, &w->text);
}

static struct note note_of(const struct node *n, const struct core_msg *m)
{
    struct note p = { .kind = (uint8_t)m->kind,
                      .from = (uint8_t)m->from,
                      .to = (uint8_t)m->to,
                      .term = (uint8_t)m->term,
                      .reject = m->reject,
                      .prev_index = (uint8_t)m->prev.index,
                      .prev_term = (uint8_t)m->prev.term,
                      .commit = (uint8_t)m->commit,
                      .match = (uint8_t)m->match,
                      .hint_index = (uint8_t)m->hint.index,
                      .hint_term = (uint8_t)m->hint.term };

    CHECK(!m->rest && !m->busy && !m->lost && m->era == 0 && m->context == 0);
    if (m->kind != CORE_MSG_APPEND) return p;
    p.text.count = (uint8_t)m->count;
    for (unsigned i = 0; i < m->count; i++)
        p.text.at[i] = n->memory.at[m->first - 1 + i];
    return p;
}

/* Heartbeats leave when they are asked for; questions before a vote are answered by who plays the others. */
static bool is_wanted(const struct core_msg *m)
{
    if (m->kind == CORE_MSG_PREVOTE || m->kind == CORE_MSG_PREVOTE_REPLY) return false;
    return m->kind != CORE_MSG_HEARTBEAT || scope.beats;
}

/* The network is a set: what waits for an earlier write already need not wait for a later one, too. */
static void hold(struct node *n, const struct note *m, uint64_t writes)
{
    for (unsigned i = 0; i < n->held_count; i++)
        if (memcmp(&n->held[i].note, m, sizeof *m) == 0) return;
    CHECK(n->held_count < HELD_MAX);
    n->held[n->held_count++] = (struct held){ (uint8_t)writes, *m };
}

static void take_sends(struct node *n, struct outcome *out)
{
    for (unsigned i = 0; i < update.send_count; i++) {
        const struct core_send *s = &update.sends[i];
        struct note m = note_of(n, &s->msg);

        if (!is_wanted(&s->msg)) continue;
        if (s->after_write != 0) {
            hold(n, &m, s->after_write - node_core(n)->durable_write);
            continue;
        }
        CHECK(out->sent_count < SENT_MAX);
        out->sent[out->sent_count++] = m;
    }
}

/* ---- what one node can show */

static void see_role(struct node *n, enum core_role before, struct outcome *out)
{
    const struct core *c = node_core(n);
    unsigned term = (unsigned)c->hard.term;

    CHECK(term <= TERMS_MAX);
    if (c->role != CORE_LEADER || before == CORE_LEADER) return;
    if (n->led >> term & 1) BREACH(out, "%u leads term %u for the second time", n->id, term);
    n->led |= (uint8_t)(1u << term);
    n->elected[term] = (struct text){ .count = (uint8_t)(c->own_first - 1) };
    memcpy(n->elected[term].at, n->memory.at, n->elected[term].count * sizeof n->memory.at[0]);
    out->won = true;
}

static void see_commit(struct node *n, struct outcome *out)
{
    const struct core *c = node_core(n);

    for (unsigned i = 1; i <= c->told_commit; i++)
        if (i > n->disk.count || !same(&n->disk.at[i - 1], &n->memory.at[i - 1]))
            BREACH(out, "%u is to apply entry %u, which is not on its disk", n->id, i);
    for (unsigned i = 1; i <= c->commit && i <= n->memory.count; i++) {
        if (i > n->sure.count) {
            n->sure.at[n->sure.count++] = n->memory.at[i - 1];
            out->committed = true;
        } else if (!same(&n->sure.at[i - 1], &n->memory.at[i - 1])) {
            BREACH(out, "state machine safety: %u commits another entry %u than before", n->id, i);
        }
    }
}

static int step(struct node *n, struct core_event *e, const struct note *from, struct outcome *out)
{
    struct core *c = (struct core *)n->core;
    enum core_role before = c->role;
    int rv;

    e->now_ms = n->now_ms;
    rv = core_step(c, e, &update);
    if (rv == ERR_CORRUPT) BREACH(out, "%u: a message contradicts what is promised", n->id);
    take_write(n, from);
    if (update.flags & CORE_APPEND) out->logged = true;
    take_sends(n, out);
    see_role(n, before, out);
    see_commit(n, out);
    for (unsigned i = 0; i < NODES; i++)
        c->peers[i].backed_ms = 0;
    return rv;
}

/* ---- events */

static void sync_one(struct node *n, struct outcome *out)
{
    struct core_event e = { .kind = CORE_DURABLE };
    const struct write *w = &n->writes[0];
    unsigned kept = 0;

    if (w->has_hard) {
        n->disk_term = w->term;
        n->disk_vote = w->vote;
    }
    text_put(&n->disk, w->truncate_from, &w->text);
    memmove(n->writes, n->writes + 1, (WRITES_MAX - 1) * sizeof n->writes[0]);
    n->write_count--;
    for (unsigned i = 0; i < n->held_count; i++) {
        if (--n->held[i].writes > 0) {
            n->held[kept++] = n->held[i];
            continue;
        }
        CHECK(out->sent_count < SENT_MAX);
        out->sent[out->sent_count++] = n->held[i].note;
    }
    n->held_count = (uint8_t)kept;
    e.u.durable.write_id = node_core(n)->durable_write + 1;
    step(n, &e, NULL, out);
}

/* A write that need not take its time. Where nobody crashes only a leader's own writes need: a follower's and a candidate's
 * keep back what they send, and a slow message does that, too; what else they hold back (their own vote, what they
 * apply) comes with an answer to what they send. A leader counts itself by its writes. */
static bool is_quick(const struct node *n)
{
    if (n->write_count == 0) return false;
    if (!scope.slow) return true;
    return scope.crashes == 0 && !scope.all_slow && node_core(n)->role != CORE_LEADER;
}

/* What follows at once: writes that are quick; and what is committed is applied. */
static void follow(struct node *n, struct outcome *out)
{
    const struct core *c = node_core(n);

    while (is_quick(n) || c->applied < c->told_commit) {
        struct core_event e = { .kind = CORE_APPLIED, .u.applied.index = c->told_commit };

        if (is_quick(n))
            sync_one(n, out);
        else
            step(n, &e, NULL, out);
    }
}

static void boot_core(struct node *n, struct outcome *out)
{
    struct core_options o = { .self = n->id,
                              .election_ms = 1u << 30,
                              .heartbeat_ms = 1,
                              .uncommitted_bytes_max = 1000,
                              .seed = n->id,
                              .limits = { .members_max = NODES, .runs_max = 4, .reads_max = 1 },
                              .config = { .count = NODES } };
    struct core_event e = { .kind = CORE_BOOT };
    struct core_run runs[LOG_MAX];
    unsigned run_count = 0;

    for (unsigned i = 0; i < NODES; i++)
        o.config.members[i] =
            (struct core_member){ .node = i + 1, .flags = CORE_VOTES_NEW, .priority = 1 };
    CHECK(core_size(&o.limits) <= sizeof n->core);
    memset(n->core, 0, sizeof n->core);
    CHECK(core_init((struct core *)n->core, &o) == 0);
    for (unsigned i = 0; i < n->disk.count; i++)
        if (i == 0 || n->disk.at[i].term != n->disk.at[i - 1].term)
            runs[run_count++] = (struct core_run){ i + 1, n->disk.at[i].term };
    e.u.boot.hard = (struct core_hard){ n->disk_term, n->disk_vote };
    e.u.boot.first = 1;
    e.u.boot.last = n->disk.count;
    e.u.boot.last_term = n->disk.count ? n->disk.at[n->disk.count - 1].term : 0;
    e.u.boot.runs = runs;
    e.u.boot.run_count = run_count;
    CHECK(step(n, &e, NULL, out) == 0);
}

struct node *node_boot(unsigned id, struct outcome *out)
{
    struct node *n = &works[id];

    memset(n, 0, sizeof *n);
    n->id = (uint8_t)id;
    n->now_ms = 1000;
    boot_core(n, out);
    return n;
}

/* The power goes: what is not on the disk, and what waited for it, is gone. */
static void crash(struct node *n, struct outcome *out)
{
    n->memory = n->disk;
    memset(n->writes, 0, sizeof n->writes);
    memset(n->held, 0, sizeof n->held);
    n->write_count = n->held_count = 0;
    boot_core(n, out);
}

static void tell_peer(struct node *n, unsigned of, bool up, struct outcome *out)
{
    struct core_event e = { .kind = CORE_PEER, .u.peer = { .node = of, .up = up } };

    if (of != n->id) step(n, &e, NULL, out);
}

static void pass_time(struct node *n, uint64_t upto, struct outcome *out)
{
    struct core_event e = { .kind = CORE_TIME };

    CHECK(upto != UINT64_MAX);
    if (upto > n->now_ms) n->now_ms = upto;
    step(n, &e, NULL, out);
}

static void stand(struct node *n, struct outcome *out)
{
    const struct core *c = node_core(n);
    struct core_msg yes = { .kind = CORE_MSG_PREVOTE_REPLY,
                            .from = n->id % NODES + 1,
                            .to = n->id };
    struct core_event e = { .kind = CORE_RECV, .u.recv = &yes };
    uint64_t term = c->hard.term;

    if (c->role == CORE_LEADER) {
        for (unsigned o = 1; o <= NODES; o++)
            tell_peer(n, o, false, out);
        pass_time(n, c->quorum_at_ms, out);
        for (unsigned o = 1; o <= NODES; o++)
            tell_peer(n, o, true, out);
        CHECK(c->role == CORE_FOLLOWER || MUTATED(NO_CHECK_QUORUM));
        out->sent_count = 0; /* lost, with its connections */
    }
    pass_time(n, c->election_at_ms, out);
    yes.term = term + 1;
    step(n, &e, NULL, out);
    CHECK(c->role == CORE_CANDIDATE && c->hard.term == term + 1);
}

bool node_may(const struct node *n, enum happening h)
{
    const struct core *c = node_core(n);

    switch (h) {
    case TIMEOUT:
        return c->hard.term < scope.terms && (c->role == CORE_LEADER || elect_may_stand(c));
    case PROPOSAL:
        return c->ready && n->memory.count < scope.entries;
    case SYNC:
        return n->write_count > 0;
    case CRASH:
        return scope.crashes > 0;
    case BEAT:
        return scope.beats && c->role == CORE_LEADER;
    case HAPPENINGS:
        break;
    }
    UNREACHED();
}

void node_happens(struct node *n, enum happening h, struct outcome *out)
{
    struct core_event e = { .kind = CORE_PROPOSE, .u.propose.weight = 10 };

    switch (h) {
    case TIMEOUT:
        stand(n, out);
        break;
    case PROPOSAL:
        CHECK(step(n, &e, NULL, out) == 0);
        break;
    case SYNC:
        sync_one(n, out);
        break;
    case CRASH:
        crash(n, out);
        break;
    case BEAT:
        pass_time(n, node_core(n)->heartbeat_at_ms, out);
        break;
    case HAPPENINGS:
        UNREACHED();
    }
    follow(n, out);
}

void node_hears(struct node *n, const struct note *m, struct outcome *out)
{
    struct core_entry entries[LOG_MAX];
    struct core_msg msg = { .kind = m->kind,
                            .reject = m->reject,
                            .disrupt = m->kind == CORE_MSG_VOTE,
                            .from = m->from,
                            .to = m->to,
                            .term = m->term,
                            .prev = { m->prev_index, m->prev_term },
                            .commit = m->commit,
                            .match = m->match,
                            .hint = { m->hint_index, m->hint_term } };
    struct core_event e = { .kind = CORE_RECV, .u.recv = &msg };

    if (m->kind == CORE_MSG_APPEND) {
        msg.first = m->prev_index + 1u;
        msg.count = m->text.count;
        msg.entries = m->text.count ? entries : NULL;
    }
    for (unsigned i = 0; i < m->text.count; i++)
        entries[i] = (struct core_entry){ .term = m->text.at[i].term,
                                          .weight = 10,
                                          .kind = m->text.at[i].kind };
    step(n, &e, m, out);
    follow(n, out);
}

/* Who does not stand in a term any more, or never did, never will: it stands in later ones. */
bool node_is_past(const struct node *n, const struct note *m)
{
    const struct core *c = node_core(n);
    uint64_t term = MIN(c->hard.term, n->disk_term); /* what a crash cannot take back */
    bool leads = c->role == CORE_LEADER, stands = c->role == CORE_CANDIDATE;

    switch (m->kind) {
    case CORE_MSG_VOTE_REPLY:
        return m->term < term || (m->term == term && !stands);
    case CORE_MSG_APPEND_REPLY:
    case CORE_MSG_HEARTBEAT_REPLY:
        return m->term < term || (m->term == term && !stands && !leads);
    default:
        return false;
    }
}

/* ---- hashes */

struct bytes {
    unsigned count;
    uint8_t at[1024];
};

static void put(struct bytes *b, uint64_t byte)
{
    CHECK(byte < 256 && b->count < sizeof b->at);
    b->at[b->count++] = (uint8_t)byte;
}

static void put_text(struct bytes *b, const struct text *t, const uint8_t *map)
{
    put(b, t->count);
    for (unsigned i = 0; i < t->count; i++) {
        put(b, t->at[i].term);
        put(b, map[t->at[i].maker]);
        put(b, t->at[i].kind);
    }
}

static void put_note(struct bytes *b, const struct note *m, const uint8_t *map)
{
    const uint8_t facts[] = { m->kind,   m->term,  m->reject,     m->prev_index, m->prev_term,
                              m->commit, m->match, m->hint_index, m->hint_term };

    put(b, map[m->from]);
    put(b, map[m->to]);
    for (unsigned i = 0; i < sizeof facts; i++)
        put(b, facts[i]);
    put_text(b, &m->text, map);
}

static uint64_t writes_until(const struct core *c, uint64_t write)
{
    return write > c->durable_write ? write - c->durable_write : 0;
}

static void put_marks(struct bytes *b, const struct core *c)
{
    for (unsigned i = 0; i < c->marks.count; i++) {
        put(b, writes_until(c, c->marks.runs[i].write));
        put(b, c->marks.runs[i].index);
        put(b, c->marks.runs[i].count);
    }
    put(b, c->marks.count);
}

static void put_peer(struct bytes *b, const struct core *c, const struct progress *p)
{
    put(b, p->up);
    if (c->role == CORE_CANDIDATE) put(b, p->yes | p->no << 1);
    if (c->role != CORE_LEADER) return;
    put(b, p->match);
    put(b, p->next);
    put(b, p->state | p->waits << 4 | p->asked << 5 | p->doubts << 6);
    put(b, p->tail == NEVER ? 255 : p->tail);
    put(b, p->tail_match);
}

static void put_core(struct bytes *b, const struct core *c, const uint8_t *map)
{
    put(b, c->role | c->ready << 4);
    put(b, c->hard.term);
    put(b, map[c->hard.vote]);
    put(b, map[c->leader]);
    put(b, c->commit);
    put(b, c->told_commit);
    put(b, c->durable);
    put(b, c->last);
    put(b, c->role == CORE_LEADER ? c->own_first : 0);
    put(b, c->wanted_priority);
    put(b, writes_until(c, c->hard_write));
    put(b, c->role == CORE_CANDIDATE ? writes_until(c, c->vote_write) : 0);
    put_marks(b, c);
    for (unsigned name = 1; name <= NODES; name++)
        for (unsigned i = 0; i < NODES; i++)
            if (map[i + 1] == name) put_peer(b, c, &c->peers[i]);
}

static void put_disk(struct bytes *b, const struct node *n, const uint8_t *map)
{
    put(b, n->disk_term);
    put(b, map[n->disk_vote]);
    put_text(b, &n->disk, map);
    put_text(b, &n->memory, map);
    put(b, n->write_count);
    for (unsigned i = 0; i < n->write_count; i++) {
        const struct write *w = &n->writes[i];

        put(b, w->has_hard);
        put(b, w->term);
        put(b, map[w->vote]);
        put(b, w->truncate_from);
        put_text(b, &w->text, map);
    }
    put(b, n->held_count);
    for (unsigned i = 0; i < n->held_count; i++) {
        put(b, n->held[i].writes);
        put_note(b, &n->held[i].note, map);
    }
}

XXH128_hash_t node_hash(const struct node *n, const uint8_t map[NODES + 1])
{
    struct bytes b = { .count = 0 };

    put(&b, map[n->id]);
    put_core(&b, node_core(n), map);
    put_disk(&b, n, map);
    put(&b, n->led);
    put_text(&b, &n->sure, map);
    for (unsigned t = 2; t <= TERMS_MAX; t++) /* nothing is committed before the first */
        put_text(&b, &n->elected[t], map);
    return XXH3_128bits(b.at, b.count);
}

XXH128_hash_t note_hash(const struct note *m, const uint8_t map[NODES + 1])
{
    struct bytes b = { .count = 0 };

    put(&b, 255);
    put_note(&b, m, map);
    return XXH3_128bits(b.at, b.count);
}

/* ---- words */

void note_print(struct buf *b, const struct note *m)
{
    static const char *const names[] = { "?",
                                         "prevote",
                                         "prevote_reply",
                                         "vote",
                                         "vote_reply",
                                         "append",
                                         "append_reply",
                                         "heartbeat",
                                         "heartbeat_reply",
                                         "snapshot",
                                         "timeout_now" };

    buf_addf(b, "%s %u>%u t%u%s", names[m->kind], m->from, m->to, m->term, m->reject ? " no" : "");
    if (m->prev_index) buf_addf(b, " prev %u@%u", m->prev_index, m->prev_term);
    if (m->match) buf_addf(b, " match %u", m->match);
    if (m->hint_index) buf_addf(b, " hint %u@%u", m->hint_index, m->hint_term);
    for (unsigned i = 0; i < m->text.count; i++)
        buf_addf(b, " +%u@%u", m->prev_index + i + 1, m->text.at[i].term);
    if (m->kind == CORE_MSG_APPEND || m->kind == CORE_MSG_HEARTBEAT)
        buf_addf(b, " commit %u", m->commit);
}
