/* group - one group: opened from its log, closed, seen. */
#include <limits.h>

#include "proto/ground/mutation.h"
#include "raft/engine/inside.h"

#define MEMBERS_MAX_DEFAULT 9
#define RUNS_MAX            8 /* terms that the log's end is remembered by; older ones are read */
#define READS_MAX           4
#define LOW_PERMILLE        50

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = { "follower", "candidate", "leader", "broken" };

    CHECK((unsigned)role < sizeof names / sizeof names[0]);
    return names[role];
}

static struct core_limits limits_of(const struct raft_machine *m)
{
    return (struct core_limits){ .members_max = m->members_max ? m->members_max : MEMBERS_MAX_DEFAULT,
                                 .runs_max = RUNS_MAX,
                                 .reads_max = READS_MAX };
}

/* ---- who else is in it */

static bool is_among(const struct core_config *config, uint64_t node)
{
    for (unsigned i = 0; i < config->count; i++)
        if (config->members[i].node == node) return true;
    return false;
}

static void leave_others(struct raft_group *g, const struct core_config *config)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < g->peer_count; i++) {
        if (config && is_among(config, g->peers[i]->node))
            g->peers[kept++] = g->peers[i];
        else
            peer_unshared(g, g->peers[i]);
    }
    g->peer_count = kept;
}

static bool has_peer(const struct raft_group *g, const struct engine_peer *p)
{
    for (unsigned i = 0; i < g->peer_count; i++)
        if (g->peers[i] == p) return true;
    return false;
}

int group_take_members(struct raft_group *g)
{
    const struct core_config *config = core_config_now(g->core);
    int rv = 0;

    leave_others(g, config);
    CHECK(config->count <= limits_of(&g->machine).members_max);
    for (unsigned i = 0; i < config->count; i++) {
        struct engine_peer *p;

        if (config->members[i].node == g->raft->node_id) continue;
        p = peer_add(g->raft, config->members[i].node);
        if (!p) rv = ERR_FULL;
        if (!p || has_peer(g, p)) continue;
        g->peers[g->peer_count++] = p;
        peer_shared(g, p);
    }
    g->alone = config->count == 1 && config->members[0].node == g->raft->node_id;
    return rv;
}

/* ---- opening */

static bool is_sole_voter(const struct raft *r, const struct core_config *config)
{
    return config->count == 1 && config->members[0].node == r->node_id;
}

static uint32_t or_never(uint32_t ms)
{
    return ms == UINT32_MAX ? 0 : ms;
}

static int make_core(struct raft_group *g, const struct core_config *config, struct errmsg *why)
{
    const struct raft *r = g->raft;
    struct core_options o = {
        .self = r->node_id,
        .config = *config,
        .limits = limits_of(&g->machine),
        .election_ms = r->times.election_ms,
        .heartbeat_ms = r->times.beat_ms,
        .rest_after_ms = or_never(r->times.rest_after_ms),
        .disk_stall_ms = or_never(r->times.disk_stall_ms),
        .low_permille = LOW_PERMILLE,
        .window_entries = r->trial.window_entries,
        .window_bytes = r->trial.window_bytes,
        .append_entries_max = r->trial.append_entries_max,
        .append_bytes_max = r->trial.append_bytes_max,
        .uncommitted_bytes_max = r->uncommitted_bytes_max,
        .unapplied_bytes_max = r->uncommitted_bytes_max,
        .seed = r->seed ^ (g->number * 0x9e3779b97f4a7c15ull) ^ (r->node_id << 48),
    };
    int rv;

    if (config->count > o.limits.members_max)
        return errmsg_set(why, ERR_RANGE, "group %llu: %u members, at most %u are possible",
                          (unsigned long long)g->number, config->count, o.limits.members_max);
    o.config.index = 0;
    o.config.version = o.config.era = 0;
    rv = core_init(g->core, &o);
    if (rv == 0) return 0;
    return errmsg_set(why, rv,
                      "group %llu: these members cannot be: 1 to %u voters, each node once",
                      (unsigned long long)g->number, CORE_VOTERS_MAX);
}

struct configs {
    struct core_config now, before;
    const struct core_config *has_now, *has_before;
};

static int read_config(const struct store_config *from, struct core_config *to,
                       const struct core_config **has)
{
    int rv;

    *has = NULL;
    if (from->n == 0) return 0;
    rv = config_unpack(span_of(from->bytes, from->n), to);
    to->index = from->index;
    *has = to;
    return rv;
}

static int read_configs(const struct store_group *log, struct configs *out)
{
    int rv = read_config(&log->config, &out->now, &out->has_now);

    return rv != 0 ? rv : read_config(&log->before, &out->before, &out->has_before);
}

static int step_boot(struct raft_group *g, const struct store_group *log,
                     const struct configs *configs)
{
    struct core_event e = { .kind = CORE_BOOT };
    int rv;

    e.u.boot.hard = log->hard;
    e.u.boot.first = log->first;
    e.u.boot.last = log->last;
    e.u.boot.cut_term = log->cut_term;
    e.u.boot.runs = log->runs;
    e.u.boot.run_count = log->run_count;
    e.u.boot.last_term = log->last_term;
    e.u.boot.applied = g->applied;
    e.u.boot.bytes = log->bytes;
    e.u.boot.config = configs->has_now;
    e.u.boot.before = configs->has_before;
    e.u.boot.tainted = log->tainted || g->raft->tainted;
    e.u.boot.lost_upto = (struct core_pos){ log->lost_index, log->lost_term };
    rv = group_step(g, &e, &g->loop->update);
    if (rv != 0) return rv;
    g->told_role = RAFT_FOLLOWER;
    g->told_term = g->loop->update.term;
    rv = group_take_members(g);
    if (rv == 0) group_carry_out(g, &g->loop->update, NULL, NULL);
    return rv;
}

static int boot(struct raft_group *g, const struct store_group *log, struct errmsg *why)
{
    struct configs configs;
    int rv = read_configs(log, &configs);

    if (rv == 0) rv = step_boot(g, log, &configs);
    if (rv == ERR_FULL)
        return errmsg_set(why, rv,
                          "group %llu: its members are one node too many for this process (%u)",
                          (unsigned long long)g->number, RAFT_PEERS_MAX);
    if (rv != 0)
        return errmsg_set(
            why, ERR_CORRUPT,
            "group %llu: the log holds entries %llu to %llu (term %llu, voted in term %llu), the "
            "state ends at %llu: they do not belong together, or one of them has lost entries",
            (unsigned long long)g->number, (unsigned long long)log->first,
            (unsigned long long)log->last, (unsigned long long)log->last_term,
            (unsigned long long)log->hard.term, (unsigned long long)g->applied);
    return 0;
}

/* The configuration of a new group of several members is kept with it from the first write on: what the caller says at a
 * later start may be another one. */
static void keep_first_config(struct raft_group *g, const struct store_group *log,
                              const struct core_config *config)
{
    struct blob *owner;

    if (log->known || log->config.n > 0 || is_sole_voter(g->raft, config)) return;
    if (log->tainted || g->raft->tainted) return;
    owner = config_blob(config);
    todo_op(g,
            &(struct store_op){ .kind = STORE_CONFIG,
                                .entry = { .group = g->number, .head = blob_span(owner) } },
            owner, TODO_NONE);
}

static void init_lists(struct raft_group *g)
{
    struct list *lists[] = { &g->link,        &g->unsent_link,    &g->unapplied_link,
                             &g->cached_link, &g->unflushed_link, &g->misplaced_link,
                             &g->superseded,  &g->held,           &g->reads_new,
                             &g->reads,       &g->unread_link };

    for (unsigned i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_init(lists[i]);
}

static struct raft_group *new_group(struct raft *r, uint64_t number, unsigned loop,
                                    const struct raft_machine *machine,
                                    const struct store_group *log, uint64_t applied)
{
    struct core_limits limits = limits_of(machine);
    size_t core_at = (sizeof(struct raft_group) + 15) & ~(size_t)15;
    size_t peers_at = core_at + ((core_size(&limits) + 15) & ~(size_t)15);
    size_t bytes = peers_at + limits.members_max * sizeof(struct engine_peer *);
    struct raft_group *g = slab_take(&r->loops[loop].chunks, bytes);

    g->bytes = bytes;
    g->core = (void *)((uint8_t *)g + core_at);
    g->peers = (void *)((uint8_t *)g + peers_at);
    init_lists(g);
    g->raft = r;
    g->loop = &r->loops[loop];
    g->number = number;
    g->machine = *machine;
    g->first = log->first;
    g->applied = g->commit = applied;
    g->wake_at_ms = NEVER;
    g->heap_at = UINT_MAX;
    g->kept_config_index = log->kept.n > 0 ? log->kept.index : 0;
    if (MUTATED(ENGINE_CONFIG_CUT)) g->kept_config_index = log->config.index;
    weight_init(&g->weight, log->first - 1);
    if (log->last >= log->first) weight_add(&g->weight, log->last, log->bytes);
    return g;
}

static void free_group(struct raft_group *g)
{
    wake_forget(g);
    leave_others(g, NULL);
    weight_deinit(&g->weight);
    todo_deinit(g);
    ring_deinit(&g->ring);
    blob_unref(&g->cut_config);
    list_remove(&g->unsent_link);
    list_remove(&g->unapplied_link);
    list_remove(&g->unflushed_link);
    list_remove(&g->misplaced_link);
    slab_give(&g->loop->chunks, g);
}

/* A snapshot was about to be installed when the process ended: its machine has it, or not. */
static void settle_intent(struct store_group *log, uint64_t applied, bool *begins)
{
    *begins =
        log->intent.index > 0 && applied == log->intent.index && !MUTATED(ENGINE_INTENT_IGNORED);
    if (!*begins) return;
    log->first = log->intent.index + 1;
    log->last = log->intent.index;
    log->cut_term = log->last_term = log->intent.term;
    log->bytes = 0;
    log->run_count = 0;
    log->config = log->kept = log->intent_config;
    log->before.n = 0;
}

static void write_intent_end(struct raft_group *g, const struct store_group *log, bool begins)
{
    struct store_op op = { .kind = begins ? STORE_BEGIN : STORE_DROP,
                           .entry = { .group = g->number },
                           .pos = log->intent };
    struct blob *owner = NULL;

    if (log->intent.index == 0) return;
    if (begins) {
        owner = blob_copy(span_of(log->config.bytes, log->config.n));
        op.entry.index = log->config.index;
        op.entry.head = blob_span(owner);
    }
    todo_op(g, &op, owner, TODO_NONE);
}

static void put_in_place(struct raft_group *g)
{
    list_add(&g->loop->groups, &g->link);
    HASH_ADD(hh, g->loop->table, number, sizeof g->number, g);
    directory_add(g);
}

static int open_from(struct raft *r, uint64_t group, unsigned loop,
                     const struct core_config *config, const struct raft_machine *machine,
                     uint64_t applied, struct store_group *log, struct raft_group **out,
                     struct errmsg *why)
{
    struct raft_group *g;
    bool begins;
    int rv;

    settle_intent(log, applied, &begins);
    if (log->buried && log->last == 0 && applied > 0)
        return errmsg_set(why, ERR_AGAIN, "group %llu is buried: its machine is to be emptied first",
                          (unsigned long long)group);
    g = new_group(r, group, loop, machine, log, applied);
    rv = make_core(g, config, why);
    if (rv == 0) {
        write_intent_end(g, log, begins); /* before all that this life writes */
        keep_first_config(g, log, config);
        rv = boot(g, log, why);
    }
    if (rv != 0) {
        free_group(g);
        return rv;
    }
    put_in_place(g);
    *out = g;
    if (g->machine.role) g->machine.role(g->machine.arg, RAFT_FOLLOWER, g->told_term, 0);
    group_tell_down(g);
    return 0;
}

int raft_group_open(struct raft *r, uint64_t group, unsigned loop, const struct core_config *config,
                    const struct raft_machine *machine, uint64_t applied_at_open,
                    struct raft_group **out, struct errmsg *why)
{
    struct store_group *log;
    int rv;

    CHECK(loop < r->loop_count);
    CHECK(group != UINT64_MAX); /* the store's own */
    if (directory_has(r, group))
        return errmsg_set(why, ERR_EXISTS, "group %llu is open already", (unsigned long long)group);
    log = check_malloc(sizeof *log);
    rv = store_group_read(r->store, group, log, why);
    if (rv == ERR_CORRUPT && MUTATED(ENGINE_DAMAGE_OPENS)) rv = 0;
    if (rv == 0) rv = open_from(r, group, loop, config, machine, applied_at_open, log, out, why);
    free(log);
    return rv;
}

/* ---- closing */

void raft_group_close(struct raft_group **pg)
{
    struct raft_group *g = *pg;
    struct list open;

    if (!g) return;
    CHECK(!g->loop->is_turning);
    g->closing = true;
    list_init(&open);
    list_remove(&g->link);
    HASH_DELETE(hh, g->loop->table, g);
    directory_remove(g);
    outbox_forget(g);
    shipments_forget(g);
    replay_forget(g);
    stage_forget(g);
    flights_forget(g->loop, g);
    group_answer(&g->superseded, RAFT_SUPERSEDED);
    cache_clear(g, &open);
    group_answer(&open, MUTATED(ENGINE_LOST_SURE) ? RAFT_SUPERSEDED : RAFT_UNKNOWN);
    reads_end(g, ERR_CLOSED);
    free_group(g);
    *pg = NULL;
}

static void on_written(struct store_write *w)
{
    (void)w; /* the drain waits for it */
}

static void write_now(struct raft *r, struct store_op *ops, size_t count)
{
    struct store_write w = { .ops = ops, .op_count = count, .on_done = on_written };

    store_submit(r->store, &w);
    store_drain(r->store);
}

static int refuse_open(struct raft *r, uint64_t group, struct errmsg *why)
{
    if (!directory_has(r, group)) return 0;
    return errmsg_set(why, ERR_EXISTS, "group %llu is open", (unsigned long long)group);
}

int raft_group_forget(struct raft *r, uint64_t group, bool *had, struct errmsg *why)
{
    struct store_op op = { .kind = STORE_FORGET, .entry = { .group = group } };
    struct store_group *log;
    int rv = refuse_open(r, group, why);

    if (rv != 0) return rv;
    log = check_malloc(sizeof *log);
    rv = store_group_read(r->store, group, log, why);
    *had = rv != 0 || log->known || log->config.n > 0 || log->last > 0;
    free(log);
    if (*had) write_now(r, &op, 1);
    return 0;
}

static bool has_remains(const struct store_group *log)
{
    return log->last > 0 || log->config.n > 0 || log->intent.index > 0 ||
           (log->known && !log->buried);
}

/* A log that has lost synced data may hold an entry without the term it came in (boot.c): then it goes with the entry. */
static void bury(struct raft *r, uint64_t group, const struct store_group *log, uint64_t upto)
{
    struct store_op ops[2] = { { .kind = STORE_BURY, .entry = { .group = group } },
                               { .kind = STORE_HARD, .entry = { .group = group } } };

    ops[0].pos.index = upto > log->lost_index ? upto : log->lost_index;
    ops[1].hard = (struct core_hard){ log->last_term, CORE_VOTE_LOST };
    write_now(r, ops, log->last_term > log->hard.term ? 2 : 1);
}

int raft_group_bury(struct raft *r, uint64_t group, uint64_t upto, bool *had, struct errmsg *why)
{
    struct store_group *log;
    int rv = refuse_open(r, group, why);

    if (rv != 0) return rv;
    log = check_malloc(sizeof *log);
    rv = store_group_read(r->store, group, log, why);
    *had = rv == 0 && has_remains(log);
    if (*had) bury(r, group, log, upto);
    free(log);
    return rv;
}

int raft_group_remains(struct raft *r, uint64_t group, bool *remains, bool *buried,
                       struct errmsg *why)
{
    struct store_group *log = check_malloc(sizeof *log);
    int rv = store_group_read(r->store, group, log, why);

    *remains = rv == 0 && has_remains(log);
    *buried = rv == 0 && log->buried;
    free(log);
    return rv;
}

/* ---- seeing */

static size_t memory_of(const struct raft_group *g)
{
    return g->bytes + g->ring.cap * sizeof g->ring.slots[0] + g->todo_cap * sizeof g->todos[0] +
           (g->weight.cap > 1 ? g->weight.cap * sizeof g->weight.marks[0] : 0);
}

void raft_group_see(const struct raft_group *g, struct raft_group_view *out)
{
    struct core_view v;

    core_see(g->core, &v);
    *out = (struct raft_group_view){ .group = g->number,
                                     .term = v.term,
                                     .leader = v.leader,
                                     .first = g->first,
                                     .last = v.last,
                                     .commit = v.commit,
                                     .applied = g->applied,
                                     .role = g->told_role,
                                     .uncommitted_bytes = v.uncommitted_bytes,
                                     .log_bytes = weight_bytes(&g->weight),
                                     .cached_bytes = g->cached_bytes,
                                     .memory_bytes = memory_of(g),
                                     .tainted = v.tainted,
                                     .resting = v.resting,
                                     .installing = v.installing,
                                     .config_committed = v.config_committed,
                                     .transfer_to = v.transfer_to };
}

const struct core_config *raft_group_config(const struct raft_group *g)
{
    return core_config_now(g->core);
}

bool raft_group_peer(const struct raft_group *g, unsigned i, struct core_peer_view *out)
{
    return core_see_peer(g->core, i, out);
}
