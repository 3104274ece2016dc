/* faults - who breaks what, and when; also operators, who change members and hand leaderships over.
 *
 * What is lost for good (a lying disk, damage, a lost one) never hits so many that a quorum of untouched voters, which
 * could elect, is not left under every configuration that may be in force: then every promise must hold. The exception
 * is rescue.c.
 */
#include <stdlib.h>

#include "tests/sim/shared/members.h"
#include "tests/sim/engine/world.h"

/* ---- how much may be lost */

/* One damaged group is the end of its node. */
static bool is_impaired(const struct node *n, unsigned group)
{
    for (unsigned g = 0; g < GROUPS_MAX; g++)
        if (n->hosts[g].damaged) return true;
    return n->lost || n->hosts[group].impaired || n->hosts[group].outcast;
}

struct fitness {
    struct member_ask ask; /* first */
    const struct world *w;
    unsigned group;
    const bool *set;
};

static bool is_fit(const struct member_ask *ask, const struct core_member *m)
{
    const struct fitness *x = CONTAINER_OF(ask, struct fitness, ask);
    const struct node *n = &x->w->nodes[m->node - 1];

    return x->set[n->at] && m->priority != 0 && !is_impaired(n, x->group);
}

static bool quorate(const struct world *w, unsigned group, const struct core_config *c,
                    const bool set[NODES_MAX])
{
    struct fitness x = { { is_fit }, w, group, set };

    return members_quorum_soon(c, &x.ask);
}

/* The configurations in a node's log behind the newest one that is committed. */
static bool log_quorate(const struct world *w, const struct host *h, uint64_t after,
                        const bool set[NODES_MAX])
{
    const struct core_config *c;
    struct peeked e;

    if (h->outcast) return true;
    while ((c = peek_config_after(h, &after, &e)) != NULL)
        if (!quorate(w, h->group, c, set)) return false;
    return true;
}

bool faults_quorate(const struct world *w, unsigned g, const bool set[NODES_MAX])
{
    const struct core_config *c = &w->check.canon[g].config;

    if (!quorate(w, g, c, set)) return false;
    for (unsigned i = 0; i < w->node_count; i++)
        if (!w->nodes[i].lost && !log_quorate(w, &w->nodes[i].hosts[g], c->index, set))
            return false;
    return true;
}

bool faults_apart(const struct world *w, unsigned a, unsigned b)
{
    return w->apart > 0 && (w->nodes[a].region == w->apart) != (w->nodes[b].region == w->apart);
}

/* In the region that is apart, or out of it. */
static bool side_quorate(const struct world *w, unsigned g, const bool set[NODES_MAX], bool in)
{
    bool side[NODES_MAX];

    for (unsigned i = 0; i < NODES_MAX; i++)
        side[i] = set[i] && (w->nodes[i].region == w->apart) == in;
    return faults_quorate(w, g, side);
}

bool faults_all_quorate(const struct world *w, const bool set[NODES_MAX])
{
    for (unsigned g = 0; g < w->plan.groups; g++)
        if (w->apart == 0 ? !faults_quorate(w, g, set)
                          : !side_quorate(w, g, set, true) && !side_quorate(w, g, set, false))
            return false;
    return true;
}

static bool may_impair(const struct world *w, const struct node *n)
{
    bool set[NODES_MAX];

    if (n->lost || n->banished || w->rescue.on) return false;
    if (world_above && !world_above->may_lose(w)) return false;
    for (unsigned i = 0; i < NODES_MAX; i++)
        set[i] = i != n->at;
    for (unsigned g = 0; g < w->plan.groups; g++)
        if (is_impaired(n, g)) return false; /* once at a time */
    return faults_all_quorate(w, set);
}

/* ---- nodes */

static struct node *some_node(struct world *w)
{
    return &w->nodes[world_below(w, w->node_count)];
}

void faults_crash(struct world *w, struct node *n)
{
    if (!n->up) return;
    node_crash(w, n);
    node_start_later(w, n, world_below(w, 3) ? SECOND : 8 * SECOND);
}

static unsigned some_zone(struct world *w)
{
    unsigned regions = w->plan.regions.count ? w->plan.regions.count : 1;

    return 1 + (unsigned)world_below(w, REGION_ZONES_MAX * regions);
}

static void crash_many(struct world *w, unsigned zone)
{
    for (unsigned i = 0; i < w->node_count; i++)
        if (zone == 0 || w->nodes[i].zone == zone) faults_crash(w, &w->nodes[i]);
}

/* The machine is past an entry of the log that is not the committed one: it was cut off, and the disk has it again. */
static bool is_reverted(const struct world *w, const struct host *h)
{
    struct host on_disk = { .node = h->node, .group = h->group };
    uint64_t last = peek_last(&on_disk), at = last < h->machine_upto ? last : h->machine_upto;
    const struct fact *f = check_canon(w, h->group, at);
    struct peeked e;

    return f && peek_entry(&on_disk, at, &e) && (e.term != f->term || e.hash != f->hash);
}

/* The disk goes back to how it was a while ago; the watermark, on another one, shows it at the next start. */
static void lie(struct world *w, struct node *n)
{
    if (n->lost) return;
    if (!n->image) {
        n->image = store_mem_copy(n->store);
        return;
    }
    if (!may_impair(w, n)) return;
    faults_crash(w, n);
    for (unsigned g = 0; g < w->plan.groups; g++) {
        struct store_group *log = check_malloc(sizeof *log);
        struct host *h = &n->hosts[g];

        CHECK(store_group_read(n->store, world_group(g), log, NULL) == 0);
        h->lost_upto = log->last;
        h->impaired = h->exists || w->wanted[g][n->at];
        free(log);
    }
    store_mem_back(n->store, &n->image);
    store_mem_taint(n->store);
    TRACE(w, "n%u: synced data is lost", n->at + 1);
    for (unsigned g = 0; g < w->plan.groups; g++)
        n->hosts[g].reverted = n->hosts[g].impaired && is_reverted(w, &n->hosts[g]);
}

/* 0: none of them. */
static uint64_t some_entry(struct world *w, const struct node *n, unsigned group, unsigned permille)
{
    struct store_group *log = check_malloc(sizeof *log);
    uint64_t at = 0;

    CHECK(store_group_read(n->store, world_group(group), log, NULL) == 0);
    if (log->last >= log->first && world_chance(w, permille))
        at = world_between(w, log->first, log->last);
    free(log);
    return at;
}

/* A block of the log does not read well any more: of an entry, or of what stands beside them. */
static void flip(struct world *w, struct node *n)
{
    unsigned group = (unsigned)world_below(w, w->plan.groups);
    struct host *h = &n->hosts[group];
    uint64_t at;

    if (!h->exists || !may_impair(w, n)) return;
    at = some_entry(w, n, group, 800);
    if (!store_mem_flip(n->store, world_group(group), at)) return;
    h->damaged = true;
    TRACE(w, "n%u g%u: entry %llu is damaged on its disk", n->at + 1, group,
          (unsigned long long)at);
    if (world_chance(w, 500)) faults_crash(w, n);
}

/* Another block is read where one of the log's was: of committed entries, so that there are always some behind it. */
static void misdirect(struct world *w, struct node *n)
{
    unsigned group = (unsigned)world_below(w, w->plan.groups);
    struct host *h = &n->hosts[group];
    uint64_t at;

    if (!h->exists || !may_impair(w, n)) return;
    at = some_entry(w, n, group, 1000);
    if (at == 0 || at >= h->commit_seen || !store_mem_hole(n->store, world_group(group), at)) return;
    h->damaged = true;
    TRACE(w, "n%u g%u: another block is read in the place of entry %llu", n->at + 1, group,
          (unsigned long long)at);
    if (world_chance(w, 200)) faults_crash(w, n);
}

void faults_lose(struct world *w, struct node *n)
{
    if (may_impair(w, n)) node_lose(w, n);
}

static void stall(struct world *w, struct node *n)
{
    n->stalled_until_us = w->now_us + world_between(w, 100 * MS, 10 * SECOND);
}

static void fill(struct node *n)
{
    n->free_permille = n->free_permille > 50 ? 10 : 500;
    if (n->raft) raft_disk(n->raft, n->free_permille);
}

/* Another version: it ends, and starts with other formats, which some others may not know. */
static void roll(struct world *w, struct node *n)
{
    faults_crash(w, n);
    draw_formats(w, n);
    net_dial_all(w);
}

/* It comes back as who it is not: of another cluster, or of formats that nobody knows; then as itself. */
static void foreign(struct world *w, struct node *n)
{
    bool was = n->cluster != 0 || n->format_min > w->plan.format_max;

    faults_crash(w, n);
    n->cluster = 0;
    draw_formats(w, n);
    if (was) return;
    if (world_chance(w, 500))
        n->cluster = 1;
    else
        n->format_min = n->format_max = w->plan.format_max + 1;
    TRACE(w, "n%u will be foreign", n->at + 1);
}

/* ---- network */

static uint64_t some_time(struct world *w)
{
    return w->now_us + world_between(w, 100 * MS, world_below(w, 3) ? 4 * SECOND : 15 * SECOND);
}

static void isolate(struct world *w, unsigned n)
{
    uint64_t until_us = some_time(w);
    unsigned how = (unsigned)world_below(w, 3); /* both ways, only in, only out */

    TRACE(w, "n%u is cut off, %s", n + 1,
          how == 0   ? "both ways"
          : how == 1 ? "hears nobody"
                     : "is not heard");
    for (unsigned i = 0; i < w->node_count; i++) {
        if (how != 2) net_cut(w, i, n, until_us);
        if (how != 1) net_cut(w, n, i, until_us);
    }
}

/* Two sides; with a bridge, one node reaches both. */
static void split(struct world *w, bool bridge)
{
    uint64_t until_us = some_time(w), sides = rng_next(&w->rng);
    unsigned middle = (unsigned)world_below(w, w->node_count);

    TRACE(w, "the network splits%s", bridge ? ", with a bridge" : "");
    for (unsigned i = 0; i < w->node_count; i++)
        for (unsigned k = 0; k < w->node_count; k++)
            if (((sides >> i) & 1) != ((sides >> k) & 1) &&
                !(bridge && (i == middle || k == middle)))
                net_cut(w, i, k, until_us);
}

/* Cut off from all others, in one or in both ways; or its power goes. */
static void break_region(struct world *w)
{
    unsigned region = 1 + (unsigned)world_below(w, w->plan.regions.count);
    unsigned how = (unsigned)world_below(w, 6);
    uint64_t until_us = some_time(w);

    TRACE(w, "region %u %s", region,
          how == 0   ? "has no power"
          : how == 1 ? "is not heard"
          : how == 2 ? "hears nobody"
                     : "is cut off");
    for (unsigned i = 0; i < w->node_count; i++) {
        if (w->nodes[i].region != region) continue;
        if (how == 0) faults_crash(w, &w->nodes[i]);
        for (unsigned k = 0; how > 0 && k < w->node_count; k++) {
            if (w->nodes[k].region == region) continue;
            if (how != 2) net_cut(w, i, k, until_us);
            if (how != 1) net_cut(w, k, i, until_us);
        }
    }
}

static void break_lanes(struct world *w)
{
    unsigned a = some_node(w)->at, b = some_node(w)->at;

    for (unsigned lane = 0; a != b && lane < WIRE_LANES; lane++)
        if (world_chance(w, 500)) net_break(w, a, b, (enum wire_lane)lane);
}

/* ---- operators */

static void transfer(struct world *w, unsigned group)
{
    struct node *n = mail_leader(w, group);
    uint64_t to = world_chance(w, 500) ? 0 : 1 + world_below(w, w->node_count);
    int rv;

    if (!n) return;
    rv = raft_group_transfer(n->hosts[group].raft, to, 0);
    TRACE(w, "n%u g%u hands over to n%llu: %s", n->at + 1, group, (unsigned long long)to,
          err_name(rv));
}

static void drop_member(struct world *w, struct core_config *aim)
{
    unsigned at = (unsigned)world_below(w, aim->count);

    for (unsigned i = 0; i < aim->count; i++)
        if (w->nodes[aim->members[i].node - 1].lost) at = i;
    members_drop(aim, at);
}

static void add_member(struct world *w, unsigned group, struct core_config *aim)
{
    struct node *n = some_node(w);

    if (members_has(aim, n->at + 1)) return;
    if (is_impaired(n, group) || n->banished || aim->count >= CORE_VOTERS_MAX) return;
    aim->members[aim->count++] = (struct core_member){
        .node = n->at + 1,
        .zone = n->zone,
        .region = n->region,
        .priority = 1,
        .flags = world_chance(w, 800) ? CORE_LEARNS | CORE_PROMOTE : CORE_LEARNS,
    };
}

/* Who comes opens the group first, with the configuration that it has now. */
static void open_new(struct world *w, unsigned group, const struct core_config *aim)
{
    for (unsigned i = 0; i < aim->count; i++) {
        struct node *n = &w->nodes[aim->members[i].node - 1];

        if (w->wanted[group][n->at]) continue;
        w->wanted[group][n->at] = true;
        node_open_group(w, n, group);
        node_settle(w, n);
    }
}

static void change_members(struct world *w, unsigned group)
{
    struct node *n = mail_leader(w, group);
    struct core_config aim;
    bool all[NODES_MAX];
    uint32_t version;
    int rv;

    if (!n || w->rescue.on) return;
    for (unsigned i = 0; i < NODES_MAX; i++)
        all[i] = true;
    members_wanted(raft_group_config(n->hosts[group].raft), &aim);
    if (aim.count > 1 && world_chance(w, 500)) drop_member(w, &aim);
    if (world_chance(w, 600)) add_member(w, group, &aim);
    if (aim.count > 0 && world_chance(w, 300)) members_alter(&w->rng, &aim);
    if (core_config_check(&aim) != 0 || !quorate(w, group, &aim, all)) return;
    open_new(w, group, &aim);
    version = world_chance(w, 500) ? raft_group_config(n->hosts[group].raft)->version : 0;
    rv = raft_group_change(n->hosts[group].raft, &aim, version);
    TRACE(w, "n%u g%u is asked for other members, %u: %s", n->at + 1, group, aim.count,
          err_name(rv));
}

static void burst(struct world *w, unsigned group)
{
    for (unsigned i = 0; i < 40 && w->token_count < TOKENS_MAX / 2; i++)
        mail_ask(w, group);
}

/* ---- when */

static void do_node_fault(struct world *w, enum fault f)
{
    struct node *n = some_node(w);

    switch (f) {
    case FAULT_CRASH:
        faults_crash(w, n);
        return;
    case FAULT_CRASH_POINT:
        if (n->up) n->crash_in = 1 + (unsigned)world_below(w, 40);
        return;
    case FAULT_PAUSE:
        if (node_runs(w, n)) node_pause(w, n, w->now_us + world_between(w, 50 * MS, 5 * SECOND));
        return;
    case FAULT_STALL:
        stall(w, n);
        return;
    case FAULT_SLOW:
        n->slow = n->slow > 1 ? 1 : 10;
        return;
    case FAULT_EIO:
        n->failing = n->up;
        return;
    case FAULT_LIE:
        lie(w, n);
        return;
    case FAULT_FLIP:
        flip(w, n);
        return;
    case FAULT_MISDIRECT:
        misdirect(w, n);
        return;
    case FAULT_LOSS:
        faults_lose(w, n);
        return;
    case FAULT_FULL:
        fill(n);
        return;
    case FAULT_CLOCK:
        n->wall_offset_ms += (int64_t)world_below(w, 7200000) - 3600000;
        if (n->wall_offset_ms > w->wall_latest_ms) w->wall_latest_ms = n->wall_offset_ms;
        return;
    case FAULT_ROLL:
        roll(w, n);
        return;
    case FAULT_FOREIGN:
        foreign(w, n);
        return;
    default:
        UNREACHED();
    }
}

void faults_do(struct world *w, enum fault f)
{
    unsigned group = (unsigned)world_below(w, w->plan.groups);

    trace_mix(w, 77, f, group);
    switch (f) {
    case FAULT_POWER:
        crash_many(w, 0);
        return;
    case FAULT_ZONE:
        crash_many(w, some_zone(w));
        return;
    case FAULT_CUT:
        net_cut(w, some_node(w)->at, some_node(w)->at, some_time(w));
        return;
    case FAULT_ISOLATE:
        isolate(w, some_node(w)->at);
        return;
    case FAULT_SPLIT:
    case FAULT_BRIDGE:
        split(w, f == FAULT_BRIDGE);
        return;
    case FAULT_FLAP: /* about as fast as elections are */
        net_cut(w, some_node(w)->at, some_node(w)->at,
                w->now_us + w->plan.times.election_ms * world_between(w, 500, 1000));
        return;
    case FAULT_CLOG:
        for (unsigned i = 1 + (unsigned)world_below(w, 4); i > 0; i--)
            net_cut(w, some_node(w)->at, some_node(w)->at,
                    w->now_us + world_below(w, w->plan.silence_us));
        return;
    case FAULT_REGION:
        break_region(w);
        return;
    case FAULT_BREAK:
        break_lanes(w);
        return;
    case FAULT_TRANSFER:
        transfer(w, group);
        return;
    case FAULT_MEMBERS:
        change_members(w, group);
        return;
    case FAULT_READ:
        mail_read(w, group);
        return;
    case FAULT_BURST:
        burst(w, group);
        return;
    case FAULT_BIG:
        upload_begin(w, group);
        return;
    case FAULT_UPGRADE:
        format_upgrade(w);
        return;
    case FAULT_RESCUE:
        rescue_begin(w, group);
        return;
    default:
        do_node_fault(w, f);
    }
}

void faults_begin(struct world *w)
{
    for (unsigned f = 0; f < FAULTS; f++)
        if (w->plan.fault_every_us[f])
            world_at(w, world_between(w, SECOND / 2, w->plan.fault_every_us[f] + SECOND),
                     &(struct action){ .kind = ACT_FAULT, .a = f });
}
