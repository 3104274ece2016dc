/* core - the dispatch of events, what every update says, and what must hold after every step.
 *
 * Way of a start: BOOT -> TIME: (precandidate, asks) candidate, write 1 (term, vote) -> DURABLE 1, votes:
 *                 leader, write 2 (its first entry), sent to the others -> DURABLE 2, replies: commit
 *                 -> APPLIED: ready -> PROPOSE, write 3 ...
 *
 * After the event's own work comes what follows from it, in one order (settle): what is committed now, what
 * that means for configurations, timers that are due, reads, transfers, entries for the others, rest.
 */
#include "raft/core/inside.h"

/* What a step must not take back. */
struct before {
    enum core_role role;
    struct core_hard hard;
    uint64_t leader, commit, applied, last, durable_write;
    uint64_t config_index;
    uint32_t config_version;
    bool ready, config_committed;
};

/* ---- memory: one block, sized by the limits */

#define RUNS_DEFAULT  24
#define READS_DEFAULT 8

static struct core_limits filled(struct core_limits limits)
{
    if (limits.members_max == 0) limits.members_max = 1;
    if (limits.runs_max == 0) limits.runs_max = RUNS_DEFAULT;
    if (limits.reads_max == 0) limits.reads_max = READS_DEFAULT;
    return limits;
}

static size_t config_size(const struct core_limits *l)
{
    return offsetof(struct core_config, members) + l->members_max * sizeof(struct core_member);
}

/* A configuration handed out may be copied as a whole by who does not know that only `count` members stand in
 * it: they come first, and the block is large enough for that. */
size_t core_size(const struct core_limits *limits)
{
    struct core_limits l = filled(*limits);
    size_t configs = 2 * config_size(&l);
    size_t rest = l.members_max * sizeof(struct progress) + l.runs_max * sizeof(struct core_run) +
                  l.reads_max * sizeof(struct read);
    size_t least = config_size(&l) + sizeof(struct core_config);

    return sizeof(struct core) + MAX(configs + rest, least);
}

static void lay_out(struct core *c)
{
    const struct core_limits *l = &c->o.limits;
    unsigned char *p = (unsigned char *)(c + 1);

    memset(p, 0, core_size(l) - sizeof *c);

    c->config = (void *)p;
    p += config_size(l);
    c->before = (void *)p;
    p += config_size(l);
    c->peers = (void *)p;
    p += l->members_max * sizeof(struct progress);
    c->trail.runs = (void *)p;
    c->trail.max = l->runs_max;
    p += l->runs_max * sizeof(struct core_run);
    c->reads = (void *)p;
}

static uint32_t either(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static struct options fill_options(const struct core_options *o)
{
    return (struct options){
        .self = o->self,
        .limits = filled(o->limits),
        .election_ms = o->election_ms,
        .heartbeat_ms = o->heartbeat_ms,
        .hint_ms = either(o->hint_ms, o->election_ms / 4),
        .rest_after_ms = o->rest_after_ms,
        .disk_stall_ms = o->disk_stall_ms,
        .decay_permille = either(o->decay_permille, 500),
        .window_entries = either(o->window_entries, 1024),
        .window_bytes = either(o->window_bytes, 4u << 20),
        .append_entries_max = either(o->append_entries_max, 256),
        .append_bytes_max = either(o->append_bytes_max, 512u << 10),
        .uncommitted_bytes_max = o->uncommitted_bytes_max,
        .unapplied_bytes_max = o->unapplied_bytes_max ? o->unapplied_bytes_max : UINT64_MAX,
        .low_permille = o->low_permille,
    };
}

static int check_options(const struct options *o, const struct core_config *config)
{
    if (o->self == 0 || o->self >= BOUND || core_config_check(config) != 0) return ERR_RANGE;
    if (config->joint || config->index || config->version || config->era) return ERR_RANGE;
    if (o->limits.members_max > CORE_MEMBERS_MAX || config->count > o->limits.members_max)
        return ERR_RANGE;
    if (o->limits.runs_max < 4 || o->limits.reads_max > CORE_READS_MAX) return ERR_RANGE;
    if (o->decay_permille >= 1000 || o->append_entries_max > CORE_UNCOMMITTED_MAX) return ERR_RANGE;
    if (config->count > 1 && (o->election_ms == 0 || o->heartbeat_ms == 0)) return ERR_RANGE;
    return o->election_ms > 0 && o->heartbeat_ms > o->election_ms ? ERR_RANGE : 0;
}

int core_init(struct core *c, const struct core_options *options)
{
    struct options o = fill_options(options);
    int rv = check_options(&o, &options->config);

    if (rv != 0) return rv;
    *c = (struct core){ .o = o, .role = CORE_FOLLOWER };
    lay_out(c);
    config_adopt(c, &options->config, 0);
    /* R10 */
    rng_seed(&c->rng, MUTATED(R10_UNSEEDED) ? (uint64_t)(uintptr_t)c : options->seed);
    return 0;
}

/* ---- events */

static void applied_upto(struct core *c, uint64_t index)
{
    CHECK(index >= c->applied);
    CHECK(index <= c->told_commit);
    c->applied = index;
    if (c->role == CORE_LEADER && index >= c->own_first) c->ready = true;
}

static void cut_upto(struct core *c, uint64_t index, uint64_t term)
{
    CHECK(index <= c->applied);
    CHECK(index <= c->last);
    CHECK(!c->installing);
    if (index < c->first) return;
    trail_cut(&c->trail, (struct core_pos){ index, term });
    window_cut(&c->window, index);
    c->first = index + 1;
}

static int dispatch(struct core *c, const struct core_event *e, struct core_update *u)
{
    CHECK(c->booted == (e->kind != CORE_BOOT));
    switch (e->kind) {
    case CORE_BOOT:
        return boot(c, e, u);
    case CORE_TIME:
        return 0; /* settle looks what is due */
    case CORE_RECV:
        return recv_any(c, e->u.recv, u);
    case CORE_PROPOSE:
        return append_propose(c, e, u);
    case CORE_DURABLE:
        durable_upto(c, e->u.durable.write_id, u);
        return 0;
    case CORE_IOFAIL:
        durable_failed(c, u);
        return 0;
    case CORE_APPLIED:
        applied_upto(c, e->u.applied.index);
        return 0;
    case CORE_CUT:
        cut_upto(c, e->u.cut.index, e->u.cut.term);
        return 0;
    case CORE_READ:
        return read_ask(c, e->u.read.context);
    case CORE_RECONF:
        return config_reconf(c, e, u);
    case CORE_TRANSFER:
        return transfer_begin(c, e);
    case CORE_SNAPSHOT_SENT:
        progress_snapshot_sent(c, e);
        return 0;
    case CORE_SNAPSHOT_INSTALLED:
        recv_snapshot_installed(c, e, u);
        return 0;
    case CORE_PEER:
        peer_told(c, e);
        return 0;
    case CORE_DISK:
        disk_told(c, e, u);
        return 0;
    case CORE_RECOVER:
        return recover_begin(c, e, u);
    }
    UNREACHED();
}

/* ---- what follows */

/* Thesis 6.2: a leader that a quorum does not answer steps down, so that nobody waits for it. */
static void check_quorum(struct core *c, struct core_update *u)
{
    if (c->now_ms < c->quorum_at_ms || MUTATED(NO_CHECK_QUORUM)) return;
    if (!commit_could(c, false)) {
        become_follower(c, c->hard.term, 0, u);
        return;
    }
    c->quorum_at_ms = c->now_ms + c->o.election_ms;
    for (unsigned i = 0; i < c->config->count; i++) {
        struct progress *p = &c->peers[i];

        if (!p->active && !MUTATED(FREE_REMEMBERED)) p->free_permille = 0; /* nobody knows now */
        p->active = false;
    }
}

static void settle_leader(struct core *c, struct core_update *u)
{
    commit_count(c);
    config_settle(c, u);
    if (c->role == CORE_LEADER && !c->resting && config_has_others(c)) check_quorum(c, u);
    if (c->role != CORE_LEADER) return;
    read_settle(c, u);
    if (!c->resting && config_has_peers(c) && c->now_ms >= c->heartbeat_at_ms)
        send_heartbeats(c, u);
    transfer_settle(c, u);
    rest_settle(c);
    if (!c->holds_sends) send_appends(c, u);
}

static void settle(struct core *c, const struct core_event *e, struct core_update *u)
{
    if (c->role == CORE_BROKEN || !c->booted) return;
    c->sends_left = false;
    if (c->rescue.on && c->now_ms >= c->rescue.until_ms) c->rescue.on = false;
    if (e->kind != CORE_BOOT) elect_on_time(c, u);
    if (c->role == CORE_LEADER) settle_leader(c, u);
    taint_settle(c, u);
}

static uint64_t wake_at(const struct core *c)
{
    uint64_t at = NEVER;

    if (c->role == CORE_LEADER && config_has_peers(c)) {
        if (c->holds_sends || c->sends_left) return c->now_ms;
        if (!c->resting) at = c->heartbeat_at_ms;
        if (!c->resting && config_has_others(c)) at = MIN(at, c->quorum_at_ms);
        if (c->transfer.to != 0) at = MIN(at, c->transfer.until_ms);
    } else if (elect_may_stand(c)) {
        at = c->election_at_ms;
        if (c->rescue.on) at = MIN(at, c->rescue.until_ms);
    }
    return at;
}

/* ---- what must hold */

static void check_log(const struct core *c)
{
    CHECK(c->trail.last == c->last);
    CHECK(c->trail.base.index == c->first - 1);
    CHECK(c->trail.count <= c->trail.max);
    CHECK(c->durable <= c->last);
    CHECK(c->durable_write <= c->last_write);
    CHECK(c->applied <= c->told_commit);
    CHECK(c->told_commit <= c->commit);
    CHECK(c->commit <= c->last || c->tainted);
    CHECK(c->config->index <= c->last || c->tainted);
    CHECK(!c->has_before || c->before->index <= c->config->index);
}

static void check_leader(const struct core *c)
{
    CHECK(c->leader == c->o.self);
    CHECK(c->hard.vote == c->o.self);
    CHECK(c->hard_write <= c->durable_write); /* R4 */
    CHECK(c->vote_write <= c->durable_write);
    CHECK(c->own_first > 0 && c->own_first <= c->last);
    CHECK(trail_term(&c->trail, c->last) == c->hard.term);
    CHECK(c->trail.count == 0 || c->trail.runs[c->trail.count - 1].first >= c->own_first); /* R3 */
    CHECK(!c->tainted && !c->installing);
    for (unsigned i = 0; i < c->config->count; i++) {
        CHECK(c->peers[i].match <= c->last);
        CHECK(c->peers[i].match < c->peers[i].next || c->peers[i].node == c->o.self);
        CHECK(c->peers[i].next <= c->last + 1);
    }
}

static void check_invariants(const struct core *c, const struct before *b,
                             const struct core_update *u)
{
    CHECK(c->hard.term >= b->hard.term);
    CHECK(c->hard.term > b->hard.term || b->hard.vote == 0 ||
          c->hard.vote == b->hard.vote); /* R4 */
    CHECK(c->commit >= b->commit);       /* R5 */
    CHECK(c->last >= b->last || u->append.truncate_from != 0 || c->role != CORE_LEADER);
    CHECK(u->append.truncate_from == 0 || u->append.truncate_from > b->commit);
    CHECK(b->role != CORE_BROKEN || c->role == CORE_BROKEN); /* R2 */
    CHECK(c->role != CORE_BROKEN || (u->write_id == 0 && u->send_count == 0));
    CHECK((u->write_id != 0) == ((u->flags & (CORE_HARD | CORE_APPEND)) != 0));
    CHECK(!c->installing || u->write_id == 0 || (u->flags & CORE_INSTALL));
    CHECK(!c->ready || (c->role == CORE_LEADER && c->applied >= c->own_first));
    CHECK(c->role != CORE_LEADER || c->commit == b->commit || c->commit >= c->own_first); /* R3 */
    CHECK(c->role != CORE_LEADER || b->role != CORE_LEADER || c->hard.term == b->hard.term);
    CHECK(c->read_count == 0 || c->role == CORE_LEADER);
    CHECK(c->transfer.to == 0 || c->role == CORE_LEADER);
    for (unsigned i = 0; i < c->config->count; i++)
        CHECK(c->peers[i].node == c->config->members[i].node);
    check_log(c);
    if (c->role == CORE_LEADER) check_leader(c);
}

/* ---- the step */

static struct before take_before(const struct core *c)
{
    return (struct before){ .role = c->role,
                            .hard = c->hard,
                            .leader = c->leader,
                            .commit = c->commit,
                            .applied = c->applied,
                            .last = c->last,
                            .durable_write = c->durable_write,
                            .config_index = c->config->index,
                            .config_version = c->config->version,
                            .ready = c->ready,
                            .config_committed = config_is_committed(c) };
}

static void fill_commit(struct core *c, struct core_update *u)
{
    uint64_t commit = MIN(c->commit, c->durable); /* a machine is never ahead of its own log */

    if (commit > c->told_commit) {
        c->told_commit = commit;
        u->flags |= CORE_COMMIT;
    }
    u->commit = c->told_commit;
}

static void fill_update(struct core *c, const struct before *b, struct core_update *u)
{
    fill_commit(c, u);
    if (c->role != b->role || c->leader != b->leader || c->hard.term != b->hard.term ||
        c->ready != b->ready)
        u->flags |= CORE_ROLE;
    u->config_committed = config_is_committed(c);
    if (c->config->index != b->config_index || c->config->version != b->config_version ||
        u->config_committed != b->config_committed)
        u->flags |= CORE_MEMBERS;
    u->hard = c->hard;
    u->role = c->role;
    u->term = c->hard.term;
    u->leader = c->leader;
    u->ready = c->ready;
    u->resting = c->resting;
    u->config = c->config;
    u->wake_at_ms = wake_at(c);
}

int core_step(struct core *c, const struct core_event *e, struct core_update *out)
{
    bool held = c->holds_sends;
    struct before before;
    int rv;

    CHECK(e->now_ms >= c->now_ms); /* R10 */
    c->now_ms = e->now_ms;
    memset(out, 0, offsetof(struct core_update, reads));
    before = take_before(c);
    c->holds_sends = false;
    rv = dispatch(c, e, out);
    CHECK(rv == 0 || (out->flags == 0 && out->send_count == 0 && out->read_count == 0));
    if (rv == 0)
        settle(c, e, out);
    else
        c->holds_sends = held;
    if (e->kind == CORE_BOOT) { /* the beginning takes nothing back */
        before = take_before(c);
        before.role = CORE_FOLLOWER;
    }
    fill_update(c, &before, out);
    if (c->booted) check_invariants(c, &before, out);
    return rv;
}
