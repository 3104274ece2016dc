/* toy - a whole group on a table: cores, disks that hold back writes, a network that keeps every message
 * until somebody decides what becomes of it. No clock: each node has its own time.
 *
 * After every step it checks what Raft promises (thesis 3.2): one leader a term, log matching, leader
 * completeness, the same entry committed everywhere. A breach is kept in `broken`, with its text.
 * It is one flat struct, so that a state can be saved and taken up again at the same address.
 */
#ifndef TEST_CORE_TOY_H
#define TEST_CORE_TOY_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "raft/core/core.h"

#ifndef TOY_NODES /* a program may have it smaller */
#define TOY_NODES   9
#define TOY_LOG     128 /* indexes */
#define TOY_TERMS   256
#define TOY_WRITES  64
#define TOY_MSGS    512
#define TOY_CONFIGS 48
#define TOY_CORE    4096
#endif
#define TOY_BATCH 8 /* entries of a frame */

struct toy_entry {
    uint64_t term;
    uint32_t weight, id; /* id: what it says; unique */
    uint8_t kind, config;
};
struct toy_disk {
    struct core_hard hard;
    uint64_t first, last, cut_term;
    uint8_t config; /* as of the cut */
    struct toy_entry log[TOY_LOG];
};
struct toy_write {
    uint64_t id;
    bool has_hard;
    struct core_hard hard;
    uint64_t truncate_from, index;
    unsigned count;
    struct toy_entry entries[TOY_BATCH];
};
struct toy_msg {
    struct core_msg m;
    uint64_t after_write; /* held by its sender until then; 0: on its way */
    uint8_t config;       /* of a snapshot */
    struct toy_entry entries[TOY_BATCH];
};
struct toy_node {
    bool made, up, is_tainted, owes_waking; /* CORE_UNREST */
    uint64_t now_ms, wake_at_ms;
    enum core_role role;
    uint64_t term, leader, commit, applied;
    uint64_t seed;
    struct core_pos installing; /* index 0: nothing */
    uint8_t installing_config;
    struct toy_disk disk, memory; /* memory: as if all writes were done */
    unsigned write_count;
    struct toy_write writes[TOY_WRITES];
    uint64_t core[TOY_CORE / 8];
};
struct toy {
    struct core_options options;
    bool broken, drops_snapshots;
    char breach[160];
    uint32_t next_id;
    unsigned config_count;
    struct core_config configs[TOY_CONFIGS];
    uint64_t leaders[TOY_TERMS];         /* who led a term */
    struct toy_entry committed[TOY_LOG]; /* by anybody */
    uint64_t commit;
    bool cut[TOY_NODES + 1][TOY_NODES + 1]; /* from, to */
    struct toy_node nodes[TOY_NODES + 1];   /* by id, from 1 */
    unsigned msg_count;
    struct toy_msg msgs[TOY_MSGS]; /* oldest first */
};

/* Not part of the state. */
static struct core_update toy_update;
static struct buf *toy_text; /* NULL: no trace */
static int toy_rv;

static inline struct core *toy_core(struct toy *w, unsigned n)
{
    return (struct core *)w->nodes[n].core;
}

/* ---- what is promised */

#define TOY_BREACH(w, ...)                                                                         \
    do {                                                                                           \
        if (!(w)->broken) snprintf((w)->breach, sizeof(w)->breach, __VA_ARGS__);                   \
        (w)->broken = true;                                                                        \
    } while (0)

static inline bool toy_same(const struct toy_entry *a, const struct toy_entry *b)
{
    return a->term == b->term && a->id == b->id;
}

static inline void toy_check_leader(struct toy *w, unsigned n)
{
    struct toy_node *node = &w->nodes[n];

    CHECK(node->term < TOY_TERMS);
    if (w->leaders[node->term] != 0 && w->leaders[node->term] != n)
        TOY_BREACH(w, "election safety: %u and %u lead term %u", (unsigned)w->leaders[node->term],
                   n, (unsigned)node->term);
    if (w->leaders[node->term] != 0) return;
    w->leaders[node->term] = n;
    for (uint64_t i = node->memory.first; i <= w->commit; i++) {
        if (i <= node->memory.last && toy_same(&node->memory.log[i], &w->committed[i])) continue;
        TOY_BREACH(w, "leader completeness: %u leads term %u without entry %u", n,
                   (unsigned)node->term, (unsigned)i);
        return;
    }
}

static inline void toy_check_commit(struct toy *w, unsigned n, uint64_t upto)
{
    struct toy_node *node = &w->nodes[n];

    for (uint64_t i = node->commit + 1; i <= upto; i++) {
        const struct toy_entry *e = &node->disk.log[i];

        if (i < node->disk.first) continue; /* came with a snapshot */
        if (i > node->disk.last) {
            TOY_BREACH(w, "%u is to apply %u, which is not on its disk", n, (unsigned)i);
        } else if (i <= w->commit && !toy_same(&w->committed[i], e)) {
            TOY_BREACH(w, "state machine safety: %u commits another entry %u", n, (unsigned)i);
        }
        if (w->broken) return;
        if (i > w->commit) w->committed[i] = *e;
        if (i > w->commit) w->commit = i;
    }
}

static inline void toy_check_matching(struct toy *w, unsigned n, uint64_t from)
{
    struct toy_disk *a = &w->nodes[n].memory;

    for (unsigned o = 1; o <= TOY_NODES; o++) {
        struct toy_disk *b = &w->nodes[o].memory;
        uint64_t last = a->last < b->last ? a->last : b->last;
        bool same = false;

        if (o == n || !w->nodes[o].made) continue;
        for (uint64_t i = last; i >= a->first && i >= b->first; i--) {
            if (a->log[i].term == b->log[i].term) same = true;
            if (same && !toy_same(&a->log[i], &b->log[i]))
                TOY_BREACH(w, "log matching: %u and %u differ at %u", n, o, (unsigned)i);
            if (same && i < from) break;
        }
    }
}

/* ---- configurations */

static inline uint8_t toy_config(struct toy *w, const struct core_config *g)
{
    for (unsigned i = 0; i < w->config_count; i++)
        if (w->configs[i].index == g->index && w->configs[i].version == g->version &&
            w->configs[i].era == g->era && w->configs[i].count == g->count &&
            memcmp(w->configs[i].members, g->members, g->count * sizeof g->members[0]) == 0)
            return (uint8_t)i;
    CHECK(w->config_count < TOY_CONFIGS);
    w->configs[w->config_count] = (struct core_config){ .index = g->index,
                                                        .version = g->version,
                                                        .era = g->era,
                                                        .spread = g->spread,
                                                        .joint = g->joint,
                                                        .count = g->count };
    memcpy(w->configs[w->config_count].members, g->members, g->count * sizeof g->members[0]);
    return (uint8_t)w->config_count++;
}

/* ---- trace */

static const char *const toy_roles[] = { "follower", "precandidate", "candidate", "leader",
                                         "broken" };
static const char *const toy_kinds[] = { "?", "noop", "command", "config" };
static const char *const toy_msgs[] = { "?",
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

#define U(x) ((unsigned)(x))

static inline void toy_print_config(struct buf *b, const struct core_config *g)
{
    buf_addf(b, "v%u%s", g->version, g->era ? "!" : "");
    for (unsigned i = 0; i < g->count; i++) {
        const struct core_member *m = &g->members[i];

        buf_addf(b, " %u%s%s%s%s", U(m->node), m->flags & CORE_VOTES_OLD ? "-old" : "",
                 g->joint && (m->flags & CORE_VOTES_NEW) ? "-new" : "",
                 m->flags & CORE_LEARNS ? "-learns" : "", m->flags & CORE_PROMOTE ? "+" : "");
    }
}

static inline void toy_print_msg(struct buf *b, const struct core_msg *m)
{
    buf_addf(b, "%s %u>%u t%u", toy_msgs[m->kind], U(m->from), U(m->to), U(m->term));
    switch (m->kind) {
    case CORE_MSG_PREVOTE:
    case CORE_MSG_VOTE:
        buf_addf(b, " last %u@%u%s", U(m->prev.index), U(m->prev.term),
                 m->disrupt ? " disrupt" : "");
        break;
    case CORE_MSG_PREVOTE_REPLY:
    case CORE_MSG_VOTE_REPLY:
        buf_add_cstr(b, m->reject ? " no" : " yes");
        break;
    case CORE_MSG_APPEND:
        buf_addf(b, " prev %u@%u", U(m->prev.index), U(m->prev.term));
        if (m->count) buf_addf(b, " +%u", m->count);
        buf_addf(b, " commit %u", U(m->commit));
        break;
    case CORE_MSG_APPEND_REPLY:
        if (m->reject)
            buf_addf(b, " no to %u, hint %u@%u", U(m->prev.index), U(m->hint.index),
                     U(m->hint.term));
        else
            buf_addf(b, " match %u", U(m->match));
        buf_addf(b, "%s%s", m->busy ? " busy" : "", m->lost ? " lost" : "");
        break;
    case CORE_MSG_HEARTBEAT:
        buf_addf(b, " commit %u", U(m->commit));
        if (m->context) buf_addf(b, " round %u", U(m->context));
        if (m->rest) buf_addf(b, " rest %u@%u", U(m->prev.index), U(m->prev.term));
        break;
    case CORE_MSG_HEARTBEAT_REPLY:
        buf_addf(b, " last %u@%u", U(m->hint.index), U(m->hint.term));
        if (m->context) buf_addf(b, " round %u", U(m->context));
        buf_addf(b, "%s%s", m->rest ? " rest" : "", m->lost ? " lost" : "");
        break;
    case CORE_MSG_SNAPSHOT:
        if (m->prev.index) buf_addf(b, " at %u@%u", U(m->prev.index), U(m->prev.term));
        break;
    case CORE_MSG_TIMEOUT_NOW:
    case CORE_MSG_KINDS:
        break;
    }
}

static inline void toy_print_write(struct buf *b, const struct core_update *u)
{
    if (!u->write_id) return;
    buf_addf(b, " write %u", U(u->write_id));
    if (u->flags & CORE_HARD) {
        buf_addf(b, " hard t%u", U(u->hard.term));
        if (u->hard.vote == CORE_VOTE_LOST)
            buf_add_cstr(b, " vote lost");
        else if (u->hard.vote)
            buf_addf(b, " vote %u", U(u->hard.vote));
    }
    if (!(u->flags & CORE_APPEND)) return;
    if (u->append.truncate_from) buf_addf(b, " cut from %u", U(u->append.truncate_from));
    if (u->append.own)
        buf_addf(b, " %s %u@%u", toy_kinds[u->append.kind], U(u->append.index), U(u->append.term));
    else
        buf_addf(b, " entries %u+%u", U(u->append.index), u->append.count);
}

static inline void toy_print_update(struct buf *b, int rv, const struct core_update *u)
{
    size_t before = b->n;

    if (rv != 0) buf_addf(b, " %s", err_name(rv));
    toy_print_write(b, u);
    if (u->flags & CORE_COMMIT) buf_addf(b, " commit %u", U(u->commit));
    if (u->flags & CORE_ROLE) {
        buf_addf(b, " %s t%u", toy_roles[u->role], U(u->term));
        if (u->leader && u->role != CORE_LEADER) buf_addf(b, " of %u", U(u->leader));
        if (u->ready) buf_add_cstr(b, " ready");
    }
    if (u->flags & CORE_MEMBERS) {
        buf_add_cstr(b, u->config_committed ? " config " : " config? ");
        toy_print_config(b, u->config);
    }
    if (u->flags & CORE_INSTALL)
        buf_addf(b, " install %u@%u", U(u->install.index), U(u->install.term));
    if (u->flags & CORE_TRANSFERRED)
        buf_addf(b, " transfer to %u %s", U(u->transfer.to), u->transfer.ok ? "done" : "given up");
    if (u->flags & CORE_UNREST) buf_add_cstr(b, " unrest");
    if (u->flags & CORE_UNTAINTED) buf_add_cstr(b, " untainted");
    for (unsigned i = 0; i < u->read_count; i++)
        buf_addf(b, " read %u %s %u", U(u->reads[i].context), u->reads[i].index ? "at" : "failed",
                 U(u->reads[i].index));
    if (u->resting) buf_add_cstr(b, " resting");
    if (b->n == before) buf_add_cstr(b, " -");
    buf_add_cstr(b, "\n");
    for (unsigned i = 0; i < u->send_count; i++) {
        buf_add_cstr(b, "    ");
        toy_print_msg(b, &u->sends[i].msg);
        if (u->sends[i].after_write) buf_addf(b, " (after %u)", U(u->sends[i].after_write));
        buf_add_cstr(b, "\n");
    }
}

/* ---- carrying out */

static inline void toy_put(struct toy_disk *d, uint64_t truncate_from, uint64_t index,
                           unsigned count, const struct toy_entry *entries)
{
    if (truncate_from) {
        CHECK(truncate_from <= d->last);
        d->last = truncate_from - 1;
    }
    CHECK(count == 0 || index == d->last + 1);
    CHECK(d->last + count < TOY_LOG);
    for (unsigned i = 0; i < count; i++)
        d->log[++d->last] = entries[i];
}

static inline void toy_take_write(struct toy *w, struct toy_node *node, const struct toy_msg *from)
{
    const struct core_update *u = &toy_update;
    struct toy_write *p;

    if (!u->write_id) return;
    CHECK(node->write_count < TOY_WRITES);
    p = &node->writes[node->write_count++];
    p->id = u->write_id;
    p->has_hard = u->flags & CORE_HARD;
    p->hard = u->hard;
    p->truncate_from = u->append.truncate_from;
    p->index = u->append.index;
    p->count = u->append.count;
    if (p->has_hard) node->memory.hard = p->hard;
    if (!(u->flags & CORE_APPEND)) return;
    if (u->append.own) {
        p->entries[0] = (struct toy_entry){ .term = u->append.term,
                                            .weight = u->append.kind == CORE_COMMAND ? 10 : 0,
                                            .id = ++w->next_id,
                                            .kind = (uint8_t)u->append.kind };
        if (u->append.config) p->entries[0].config = toy_config(w, u->append.config);
    } else {
        memcpy(p->entries, from->entries + u->append.skip, p->count * sizeof p->entries[0]);
    }
    toy_put(&node->memory, p->truncate_from, p->index, p->count, p->entries);
}

static inline uint64_t toy_term(const struct toy_disk *d, uint64_t index)
{
    return index == d->first - 1 ? d->cut_term : d->log[index].term;
}

/* Not to be found any more: the log was cut; the message is lost then, as by a host. */
static inline bool toy_hydrate(const struct toy_node *node, struct toy_msg *p)
{
    if (p->m.kind != CORE_MSG_APPEND) return true;
    if (p->m.prev.index + 1 < node->memory.first) return false;
    if (p->m.prev.term == 0) p->m.prev.term = toy_term(&node->memory, p->m.prev.index);
    CHECK(toy_term(&node->memory, p->m.prev.index) == p->m.prev.term);
    for (unsigned i = 0; i < p->m.count; i++)
        p->entries[i] = node->memory.log[p->m.first + i];
    return true;
}

static inline void toy_remove_msg(struct toy *w, unsigned i)
{
    w->msg_count--;
    memmove(w->msgs + i, w->msgs + i + 1, (w->msg_count - i) * sizeof w->msgs[0]);
}

/* A full network loses its oldest. */
static inline void toy_post(struct toy *w, const struct toy_msg *p)
{
    for (unsigned i = 0; w->msg_count == TOY_MSGS; i++)
        if (w->msgs[i].m.kind != CORE_MSG_SNAPSHOT) toy_remove_msg(w, i);
    w->msgs[w->msg_count++] = *p;
}

/* A range that does not fit into one frame leaves as several. */
static inline void toy_send(struct toy *w, struct toy_node *node, const struct core_send *s)
{
    struct toy_msg p = { .m = s->msg, .after_write = s->after_write };
    unsigned left = s->msg.count;

    do {
        p.m.count = left < TOY_BATCH ? left : TOY_BATCH;
        if (!toy_hydrate(node, &p)) return;
        toy_post(w, &p);
        left -= p.m.count;
        p.m.prev =
            (struct core_pos){ p.m.prev.index + p.m.count,
                               left ? node->memory.log[p.m.prev.index + p.m.count].term : 0 };
        p.m.first += p.m.count;
    } while (left > 0);
}

static inline void toy_carry_out(struct toy *w, unsigned n, const struct toy_msg *from)
{
    struct toy_node *node = &w->nodes[n];
    const struct core_update *u = &toy_update;

    toy_take_write(w, node, from);
    if (u->flags & CORE_INSTALL) {
        node->installing = u->install;
        node->installing_config = from->config;
    }
    node->role = u->role;
    node->term = u->term;
    node->leader = u->leader;
    node->wake_at_ms = u->wake_at_ms;
    if (u->flags & CORE_UNTAINTED) node->is_tainted = false;
    if (u->flags & CORE_UNREST) node->owes_waking = true;
    if (u->flags & CORE_APPEND) toy_check_matching(w, n, u->append.index);
    if (u->role == CORE_LEADER) toy_check_leader(w, n);
    if (u->flags & CORE_COMMIT) toy_check_commit(w, n, u->commit);
    if (u->commit > node->commit) node->commit = u->commit;
    for (unsigned i = 0; i < u->send_count; i++)
        toy_send(w, node, &u->sends[i]);
}

static inline int toy_step(struct toy *w, unsigned n, struct core_event *e,
                           const struct toy_msg *from)
{
    struct toy_node *node = &w->nodes[n];

    CHECK(node->up);
    e->now_ms = node->now_ms;
    toy_rv = core_step(toy_core(w, n), e, &toy_update);
    if (toy_text) {
        buf_add_cstr(toy_text, " |");
        toy_print_update(toy_text, toy_rv, &toy_update);
    }
    toy_carry_out(w, n, from);
    return toy_rv;
}

#define TOY_SAY(...)                                                                               \
    do {                                                                                           \
        if (toy_text) buf_addf(toy_text, __VA_ARGS__);                                             \
    } while (0)

/* ---- what can happen */

static inline void toy_boot(struct toy *w, unsigned n, uint64_t lost_term)
{
    struct toy_node *node = &w->nodes[n];
    struct core_options o = w->options;
    struct core_event e = { .kind = CORE_BOOT };
    struct core_run runs[TOY_LOG];
    uint8_t configs[2] = { node->disk.config, node->disk.config };
    unsigned run_count = 0, config_count = 0;

    o.self = n;
    o.seed = node->seed;
    CHECK(core_size(&o.limits) <= TOY_CORE);
    CHECK(core_init(toy_core(w, n), &o) == 0);
    node->memory = node->disk;
    node->write_count = 0;
    node->installing.index = 0;
    node->commit = node->applied = node->disk.first - 1;
    for (uint64_t i = node->disk.first; i <= node->disk.last; i++) {
        const struct toy_entry *x = &node->disk.log[i];

        if (run_count == 0 || runs[run_count - 1].term != x->term)
            runs[run_count++] = (struct core_run){ i, x->term };
        if (x->kind != CORE_CONFIG) continue;
        configs[0] = configs[1];
        configs[1] = x->config;
        config_count++;
    }
    e.u.boot.hard = node->disk.hard;
    e.u.boot.first = node->disk.first;
    e.u.boot.last = node->disk.last;
    e.u.boot.cut_term = node->disk.cut_term;
    e.u.boot.runs = runs;
    e.u.boot.run_count = run_count;
    e.u.boot.last_term = toy_term(&node->disk, node->disk.last);
    e.u.boot.applied = node->applied;
    e.u.boot.bytes = 10 * (node->disk.last - node->disk.first + 1);
    e.u.boot.config = &w->configs[configs[1]];
    if (config_count > 0) e.u.boot.before = &w->configs[configs[0]];
    e.u.boot.tainted = node->is_tainted;
    e.u.boot.lost_upto.term = lost_term;
    node->up = true;
    TOY_SAY("%u boot", n);
    toy_step(w, n, &e, NULL);
}

static inline void toy_make(struct toy *w, unsigned n)
{
    CHECK(n <= TOY_NODES);
    w->nodes[n].made = true;
    w->nodes[n].seed = n;
    w->nodes[n].disk.first = 1;
    toy_boot(w, n, 0);
}

static inline void toy_init(struct toy *w, const struct core_options *o)
{
    memset(w, 0, sizeof *w);
    w->options = *o;
    w->config_count = 1;
    w->configs[0] = o->config;
}

static inline void toy_time(struct toy *w, unsigned n, uint64_t now_ms)
{
    struct core_event e = { .kind = CORE_TIME };

    if (now_ms > w->nodes[n].now_ms) w->nodes[n].now_ms = now_ms;
    TOY_SAY("%u time", n);
    toy_step(w, n, &e, NULL);
}

static inline void toy_timeout(struct toy *w, unsigned n)
{
    toy_time(w, n, w->nodes[n].wake_at_ms == UINT64_MAX ? 0 : w->nodes[n].wake_at_ms);
}

/* The host of the sender takes a snapshot when the core asks for one, and says so; then it is on its way. */
static inline bool toy_fill_snapshot(struct toy *w, struct toy_msg *p)
{
    struct toy_node *node = &w->nodes[p->m.from];
    struct core_event e = { .kind = CORE_SNAPSHOT_SENT };
    const struct core_config *g;
    bool ok = node->up && node->applied > 0 && !w->drops_snapshots;

    if (!node->up) return false;
    g = ok ? core_config_at(toy_core(w, (unsigned)p->m.from), node->applied) : NULL;
    if (!g) ok = false;
    e.u.snapshot_sent.to = p->m.to;
    e.u.snapshot_sent.ok = ok;
    if (ok) {
        p->m.prev = (struct core_pos){ node->applied, toy_term(&node->memory, node->applied) };
        p->config = toy_config(w, g);
        e.u.snapshot_sent.pos = p->m.prev;
    }
    TOY_SAY("%u snapshot to %u %s", U(p->m.from), U(p->m.to), ok ? "sent" : "failed");
    toy_step(w, (unsigned)p->m.from, &e, NULL);
    return ok;
}

/* A lost request for a snapshot is a transfer that failed: the sender's host says so. */
static inline void toy_lost(struct toy *w, const struct core_msg *m)
{
    struct core_event e = { .kind = CORE_SNAPSHOT_SENT, .u.snapshot_sent.to = m->to };

    if (m->kind != CORE_MSG_SNAPSHOT || m->prev.index != 0 || !w->nodes[m->from].up) return;
    TOY_SAY("%u snapshot to %u failed", U(m->from), U(m->to));
    toy_step(w, (unsigned)m->from, &e, NULL);
}

/* Message i is lost. */
static inline void toy_lose(struct toy *w, unsigned i)
{
    struct core_msg m = w->msgs[i].m;

    toy_remove_msg(w, i);
    toy_lost(w, &m);
}

/* The terms that the core asks for. */
static inline void toy_fill_here(struct toy *w, struct core_msg *m)
{
    static uint64_t here[TOY_BATCH + 1];
    const struct toy_disk *log = &w->nodes[m->to].memory;
    unsigned count = core_asks_here(toy_core(w, (unsigned)m->to), m);

    for (unsigned i = 0; i < count; i++)
        here[i] = m->prev.index + i + 1 < log->first ? 0 : toy_term(log, m->prev.index + i);
    m->here = count > 0 ? here : NULL;
}

/* The message arrives (a copy of it, so that it may arrive again). */
static inline void toy_recv(struct toy *w, const struct toy_msg *arrived)
{
    static struct toy_msg p;
    static struct core_entry entries[TOY_BATCH];
    struct core_event e = { .kind = CORE_RECV, .u.recv = &p.m };

    p = *arrived;
    if (p.m.to > TOY_NODES || !w->nodes[p.m.to].up || w->cut[p.m.from][p.m.to]) {
        toy_lost(w, &p.m);
        return;
    }
    if (p.m.kind == CORE_MSG_SNAPSHOT) {
        if (p.m.prev.index == 0 && !toy_fill_snapshot(w, &p)) return;
        p.m.config = &w->configs[p.config];
    }
    for (unsigned i = 0; i < p.m.count; i++)
        entries[i] = (struct core_entry){ .term = p.entries[i].term,
                                          .weight = p.entries[i].weight,
                                          .kind = p.entries[i].kind,
                                          .config = p.entries[i].kind == CORE_CONFIG
                                                        ? &w->configs[p.entries[i].config]
                                                        : NULL };
    p.m.entries = p.m.count ? entries : NULL;
    toy_fill_here(w, &p.m);
    if (toy_text) {
        buf_addf(toy_text, "%u ", U(p.m.to));
        toy_print_msg(toy_text, &p.m);
    }
    toy_step(w, (unsigned)p.m.to, &e, &p);
}

/* Message i arrives and is gone. */
static inline void toy_deliver(struct toy *w, unsigned i)
{
    static struct toy_msg p;

    p = w->msgs[i];
    toy_remove_msg(w, i);
    toy_recv(w, &p);
}

static inline void toy_release(struct toy *w, unsigned n, uint64_t write_id)
{
    for (unsigned i = 0; i < w->msg_count; i++)
        if (w->msgs[i].m.from == n && w->msgs[i].after_write <= write_id)
            w->msgs[i].after_write = 0;
}

static inline uint64_t toy_write_out(struct toy_node *node)
{
    struct toy_write *p = &node->writes[0];
    uint64_t id = p->id;

    if (p->has_hard) node->disk.hard = p->hard;
    toy_put(&node->disk, p->truncate_from, p->index, p->count, p->entries);
    node->write_count--;
    memmove(node->writes, node->writes + 1, node->write_count * sizeof node->writes[0]);
    return id;
}

/* The oldest `count` writes reach the disk, and the core hears of it once. */
static inline void toy_sync(struct toy *w, unsigned n, unsigned count)
{
    struct toy_node *node = &w->nodes[n];
    struct core_event e = { .kind = CORE_DURABLE };
    uint64_t id = 0;

    for (unsigned i = 0; i < count && node->write_count > 0; i++)
        id = toy_write_out(node);
    if (id == 0) return;
    e.u.durable.write_id = id;
    toy_release(w, n, id);
    TOY_SAY("%u durable %u", n, U(id));
    toy_step(w, n, &e, NULL);
}

static inline void toy_apply(struct toy *w, unsigned n)
{
    struct core_event e = { .kind = CORE_APPLIED };

    if (w->nodes[n].applied == w->nodes[n].commit) return;
    e.u.applied.index = w->nodes[n].applied = w->nodes[n].commit;
    TOY_SAY("%u applied %u", n, U(w->nodes[n].applied));
    toy_step(w, n, &e, NULL);
}

static inline int toy_propose(struct toy *w, unsigned n, uint64_t fence, bool more)
{
    struct core_event e = { .kind = CORE_PROPOSE };

    e.u.propose.weight = 10;
    e.u.propose.term = fence;
    e.u.propose.more = more;
    TOY_SAY("%u propose", n);
    return toy_step(w, n, &e, NULL);
}

/* The power goes: what waits for the disk is lost but for the first `kept` writes; messages held for a write are
 * lost with their sender. */
static inline void toy_crash(struct toy *w, unsigned n, unsigned kept)
{
    struct toy_node *node = &w->nodes[n];

    for (unsigned i = 0; i < kept && node->write_count > 0; i++)
        toy_write_out(node);
    node->up = false;
    node->wake_at_ms = UINT64_MAX;
    node->role = CORE_FOLLOWER;
    node->write_count = 0;
    node->memory = node->disk;
    for (unsigned i = 0; i < w->msg_count;) {
        if (w->msgs[i].m.from == n && w->msgs[i].after_write > 0)
            toy_remove_msg(w, i);
        else
            i++;
    }
}

/* A write fails: it and those behind it never reach the disk, and what waits for them never leaves. */
static inline void toy_iofail(struct toy *w, unsigned n)
{
    struct core_event e = { .kind = CORE_IOFAIL };

    w->nodes[n].write_count = 0;
    for (unsigned i = 0; i < w->msg_count;) {
        if (w->msgs[i].m.from == n && w->msgs[i].after_write > 0)
            toy_remove_msg(w, i);
        else
            i++;
    }
    TOY_SAY("%u iofail", n);
    toy_step(w, n, &e, NULL);
}

static inline void toy_cut(struct toy *w, unsigned n, uint64_t upto)
{
    struct toy_node *node = &w->nodes[n];
    struct core_event e = { .kind = CORE_CUT };
    uint64_t cut_term = toy_term(&node->disk, upto);

    CHECK(upto <= node->applied && node->write_count == 0);
    for (uint64_t i = node->disk.first; i <= upto; i++)
        if (node->disk.log[i].kind == CORE_CONFIG) node->disk.config = node->disk.log[i].config;
    node->disk.cut_term = cut_term;
    node->disk.first = upto + 1;
    node->memory = node->disk;
    e.u.cut.index = upto;
    e.u.cut.term = cut_term;
    TOY_SAY("%u cut %u", n, U(upto));
    toy_step(w, n, &e, NULL);
}

/* All writes before it are done: a host installs in order. */
static inline void toy_install(struct toy *w, unsigned n, bool ok)
{
    struct toy_node *node = &w->nodes[n];
    struct core_event e = { .kind = CORE_SNAPSHOT_INSTALLED };
    struct core_pos pos = node->installing;

    CHECK(pos.index > 0 && node->write_count == 0);
    node->installing.index = 0;
    e.u.installed.ok = ok;
    e.u.installed.config = &w->configs[node->installing_config];
    if (ok) {
        node->disk.first = pos.index + 1;
        node->disk.last = pos.index;
        node->disk.cut_term = pos.term;
        node->disk.config = node->installing_config;
        node->memory = node->disk;
        node->applied = node->commit = pos.index;
    }
    TOY_SAY("%u installed %s", n, ok ? "yes" : "no");
    toy_step(w, n, &e, NULL);
}

#endif
