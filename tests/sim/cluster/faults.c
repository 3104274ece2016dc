/* faults - who breaks what, and when; also operators, who change members and hand leaderships over.
 *
 * What is lost for good (a lying disk, a lost one) never hits so many that a quorum of untouched voters, which
 * could elect, is not left under every configuration that may be in force: then every promise must hold.
 */
#include <stdlib.h>

#include "proto/ground/mutation.h"
#include "tests/sim/shared/members.h"
#include "tests/sim/cluster/world.h"

/* ---- how much may be lost */

bool faults_impaired(const struct node *n, unsigned group)
{
    return n->lost || n->disk.kept[group].tainted;
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

    return x->set[n->at] && m->priority != 0 && !faults_impaired(n, x->group);
}

bool faults_quorate(const struct world *w, unsigned group, const struct core_config *c,
                    const bool set[NODES_MAX])
{
    struct fitness x = { { is_fit }, w, group, set };

    return members_quorum_soon(c, &x.ask);
}

static bool log_quorate(const struct world *w, unsigned group, const struct log *l, uint64_t after,
                        const bool set[NODES_MAX])
{
    if (l->has_base && l->base.index > after && !faults_quorate(w, group, &l->base, set))
        return false;
    for (size_t i = 0; i < l->count; i++) {
        const struct entry *e = l->list[i].entry;

        if (e->kind == CORE_CONFIG && e->index > after && !faults_quorate(w, group, e->config, set))
            return false;
    }
    return true;
}

static bool group_quorate(const struct world *w, unsigned g, const bool set[NODES_MAX])
{
    const struct core_config *c = &w->check.canon[g].config;

    if (!faults_quorate(w, g, c, set)) return false;
    for (unsigned i = 0; i < w->node_count; i++)
        if (!log_quorate(w, g, &w->nodes[i].hosts[g].log, c->index, set) ||
            !log_quorate(w, g, &w->nodes[i].disk.kept[g].log, c->index, set))
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
    return group_quorate(w, g, side);
}

bool faults_all_quorate(const struct world *w, const bool set[NODES_MAX])
{
    for (unsigned g = 0; g < w->plan.groups; g++)
        if (w->apart == 0 ? !group_quorate(w, g, set)
                          : !side_quorate(w, g, set, true) && !side_quorate(w, g, set, false))
            return false;
    return true;
}

static bool may_impair(const struct world *w, const struct node *n)
{
    bool set[NODES_MAX];

    for (unsigned i = 0; i < NODES_MAX; i++)
        set[i] = i != n->at;
    for (unsigned g = 0; g < w->plan.groups; g++)
        if (n->disk.kept[g].tainted) return false; /* once at a time */
    return faults_all_quorate(w, set);
}

/* ---- nodes */

static struct node *some_node(struct world *w)
{
    return &w->nodes[world_below(w, w->node_count)];
}

static void start_later(struct world *w, struct node *n)
{
    world_at(w, world_between(w, 5 * MS, world_below(w, 3) ? SECOND : 8 * SECOND),
             &(struct action){ .kind = ACT_START, .node = n->at });
}

static void crash(struct world *w, struct node *n)
{
    if (!n->up) return;
    boot_crash(w, n);
    start_later(w, n);
}

static void crash_many(struct world *w, unsigned zone)
{
    for (unsigned i = 0; i < w->node_count; i++)
        if (zone == 0 || w->nodes[i].zone == zone) crash(w, &w->nodes[i]);
}

static void pause_node(struct world *w, struct node *n)
{
    if (!node_runs(w, n)) return;
    n->paused_until_us = w->now_us + world_between(w, 50 * MS, 5 * SECOND);
    TRACE(w, "n%u sleeps until %.3f s", n->at + 1, (double)n->paused_until_us / (double)SECOND);
}

static void lie(struct world *w, struct node *n)
{
    if (n->lost || !may_impair(w, n)) return;
    crash(w, n);
    n->lied_life = n->life;
    disk_lie(w, n);
}

/* One disk, or most of them. */
static void fill(struct world *w, struct node *n)
{
    uint16_t free_permille = n->disk.free_permille > 50 ? 10 : 500;
    bool many = world_chance(w, 400);

    for (unsigned i = 0; i < w->node_count; i++)
        if (i == n->at || (many && world_chance(w, 700)))
            w->nodes[i].disk.free_permille = free_permille;
}

/* All of it is gone: the number never comes back, a new node may take the place. */
static void lose(struct world *w, struct node *n)
{
    struct node *other;

    if (n->lost || !may_impair(w, n)) return;
    boot_crash(w, n);
    n->lost = !MUTATED(REBORN);
    disk_wipe(&n->disk);
    if (MUTATED(REBORN)) start_later(w, n);
    TRACE(w, "n%u is lost for good", n->at + 1);
    other = boot_new_node(w);
    if (other) start_later(w, other);
}

/* ---- network */

static void cut(struct world *w, unsigned from, unsigned to, uint64_t until_us)
{
    if (from != to && w->links[from][to].cut_until_us < until_us)
        w->links[from][to].cut_until_us = until_us;
}

static uint64_t some_time(struct world *w)
{
    return w->now_us + world_between(w, 100 * MS, world_below(w, 3) ? 4 * SECOND : 15 * SECOND);
}

static unsigned some_zone(struct world *w)
{
    unsigned regions = w->plan.regions.count ? w->plan.regions.count : 1;

    return 1 + (unsigned)world_below(w, REGION_ZONES_MAX * regions);
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
        if (how != 2) cut(w, i, n, until_us);
        if (how != 1) cut(w, n, i, until_us);
    }
}

/* Two sides, sometimes a zone and the others; with a bridge, one node reaches both. */
static void split(struct world *w, bool bridge)
{
    uint64_t until_us = some_time(w), sides = rng_next(&w->rng);
    unsigned middle = (unsigned)world_below(w, w->node_count);
    unsigned zone = world_chance(w, 400) ? some_zone(w) : 0;

    for (unsigned i = 0; i < w->node_count && zone > 0; i++) {
        sides &= ~(UINT64_C(1) << i);
        if (w->nodes[i].zone == zone) sides |= UINT64_C(1) << i;
    }
    TRACE(w, "the network splits%s", bridge ? ", with a bridge" : "");
    for (unsigned i = 0; i < w->node_count; i++)
        for (unsigned k = 0; k < w->node_count; k++)
            if (((sides >> i) & 1) != ((sides >> k) & 1) &&
                !(bridge && (i == middle || k == middle)))
                cut(w, i, k, until_us);
}

/* Each sees a majority, no two the same one. */
static void ring(struct world *w)
{
    uint64_t until_us = some_time(w);
    unsigned n = w->node_count, reach = n / 4 + 1;

    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < n; k++) {
            unsigned apart = (k + n - i) % n;

            if (apart > reach && n - apart > reach) cut(w, i, k, until_us);
        }
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
        if (how == 0) crash(w, &w->nodes[i]);
        for (unsigned k = 0; how > 0 && k < w->node_count; k++) {
            if (w->nodes[k].region == region) continue;
            if (how != 2) cut(w, i, k, until_us);
            if (how != 1) cut(w, k, i, until_us);
        }
    }
}

/* A link that is cut and healed about as fast as elections are. */
static void flap(struct world *w, unsigned from, unsigned to)
{
    w->links[from][to].cut_until_us =
        w->now_us + world_between(w, w->plan.election_ms / 2, w->plan.election_ms) * MS;
}

static void clog_links(struct world *w)
{
    for (unsigned i = 1 + (unsigned)world_below(w, 4); i > 0; i--)
        w->links[world_below(w, w->node_count)][world_below(w, w->node_count)].clogged_until_us =
            w->now_us + world_below(w, 5 * SECOND);
}

/* Its node is started anew while the process lives on, and often not all hear of the new one soon. */
static void raise_zombie(struct world *w, struct node *n)
{
    uint64_t until_us = w->now_us + world_below(w, 4 * SECOND);
    bool hidden = world_chance(w, 600);

    zombie_begin(w, n);
    for (unsigned i = 0; hidden && i < w->node_count; i++) {
        if (world_chance(w, 500)) continue;
        cut(w, i, n->at, until_us);
        cut(w, n->at, i, until_us);
    }
}

/* ---- operators */

static struct node *some_leader(struct world *w, unsigned group)
{
    unsigned from = (unsigned)world_below(w, w->node_count);

    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[(from + i) % w->node_count];

        if (node_runs(w, n) && n->hosts[group].open && n->hosts[group].role == CORE_LEADER)
            return n;
    }
    return NULL;
}

static void transfer(struct world *w, unsigned group)
{
    struct node *n = some_leader(w, group);
    struct core_event e = { .kind = CORE_TRANSFER };
    int rv;

    if (!n) return;
    e.u.transfer.to = world_chance(w, 500) ? 0 : 1 + world_below(w, w->node_count);
    rv = node_step(w, n, group, &e, NULL, NULL);
    TRACE(w, "n%u g%u hands over to n%llu: %s", n->at + 1, group,
          (unsigned long long)e.u.transfer.to, err_name(rv));
}

static void read(struct world *w, unsigned group)
{
    struct node *n = some_leader(w, group);
    struct core_event e = { .kind = CORE_READ };

    if (!n) return;
    e.u.read.context = check_read_begin(w, group);
    node_step(w, n, group, &e, NULL, NULL);
}

/* A leader reaches one follower only, whose disk stalls: entries of both that nobody else will ever have, and that are
 * not on the follower's disk when the next leader cuts them off. */
static void strand(struct world *w, unsigned group)
{
    struct node *leader = some_leader(w, group), *with = some_node(w);
    uint64_t until_us = w->now_us + world_between(w, SECOND, 6 * SECOND);

    if (!leader || with == leader) return;
    TRACE(w, "n%u reaches n%u only, whose disk stalls", leader->at + 1, with->at + 1);
    with->disk.stalled_until_us = until_us;
    for (unsigned i = 0; i < w->node_count; i++) {
        if (i == with->at) continue;
        cut(w, i, leader->at, until_us);
        cut(w, leader->at, i, until_us);
    }
}

static void drop_member(struct world *w, struct core_config *aim)
{
    unsigned at = (unsigned)world_below(w, aim->count);

    for (unsigned i = 0; i < aim->count; i++)
        if (w->nodes[aim->members[i].node - 1].lost) at = i;
    members_drop(aim, at);
}

static void add_member(struct world *w, struct core_config *aim)
{
    struct node *n = some_node(w);

    if (members_has(aim, n->at + 1)) return;
    if (n->lost || aim->count >= CORE_VOTERS_MAX) return;
    aim->members[aim->count++] = (struct core_member){
        .node = n->at + 1,
        .zone = n->zone,
        .region = n->region,
        .priority = 1,
        .flags = world_chance(w, 700)   ? CORE_LEARNS | CORE_PROMOTE
                 : world_chance(w, 500) ? CORE_LEARNS
                                        : CORE_VOTES_NEW,
    };
}

static void change_members(struct world *w, unsigned group)
{
    struct node *n = some_leader(w, group);
    struct core_event e = { .kind = CORE_RECONF };
    struct core_config aim;
    bool all[NODES_MAX];
    int rv;

    if (!n) return;
    for (unsigned i = 0; i < NODES_MAX; i++)
        all[i] = true;
    members_wanted(core_config_now(n->hosts[group].core), &aim);
    for (unsigned i = world_chance(w, 400) ? 1 + (unsigned)world_below(w, 3) : 1; i > 0; i--) {
        if (aim.count > 1 && world_chance(w, 500)) drop_member(w, &aim);
        if (world_chance(w, 600)) add_member(w, &aim);
    }
    if (aim.count > 0 && world_chance(w, 300)) members_alter(&w->rng, &aim);
    if (core_config_check(&aim) != 0 || !faults_quorate(w, group, &aim, all)) return;
    e.u.reconf.config = &aim;
    e.u.reconf.hasty = world_chance(w, 300);
    e.u.reconf.version = world_chance(w, 500) ? core_config_now(n->hosts[group].core)->version : 0;
    rv = node_step(w, n, group, &e, NULL, NULL);
    TRACE(w, "n%u g%u is asked for other members, %u: %s", n->at + 1, group, aim.count,
          err_name(rv));
}

/* ---- when */

static void do_node_fault(struct world *w, enum fault f)
{
    struct node *n = some_node(w);

    switch (f) {
    case FAULT_CRASH:
        crash(w, n);
        return;
    case FAULT_CRASH_POINT:
        if (n->up) n->crash_in = 1 + (unsigned)world_below(w, 40);
        return;
    case FAULT_PAUSE:
        pause_node(w, n);
        return;
    case FAULT_STALL:
        n->disk.stalled_until_us = w->now_us + world_between(w, 100 * MS, 10 * SECOND);
        return;
    case FAULT_SLOW:
        n->disk.slow = n->disk.slow > 1 ? 1 : 10;
        return;
    case FAULT_EIO:
        n->disk.failing = n->up;
        return;
    case FAULT_LIE:
        lie(w, n);
        return;
    case FAULT_LOSS:
        lose(w, n);
        return;
    case FAULT_FULL:
        fill(w, n);
        return;
    case FAULT_WATERMARK:
        disk_damage_marks(w, n);
        if (world_chance(w, 500)) crash(w, n);
        return;
    case FAULT_ZOMBIE:
        raise_zombie(w, n);
        return;
    case FAULT_CLOCK:
        n->wall_offset_ms += (int64_t)world_below(w, 7200000) - 3600000;
        if (n->wall_offset_ms > w->wall_latest_ms) w->wall_latest_ms = n->wall_offset_ms;
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
        cut(w, some_node(w)->at, some_node(w)->at, some_time(w));
        return;
    case FAULT_ISOLATE:
        isolate(w, some_node(w)->at);
        return;
    case FAULT_SPLIT:
    case FAULT_BRIDGE:
        split(w, f == FAULT_BRIDGE);
        return;
    case FAULT_RING:
        ring(w);
        return;
    case FAULT_FLAP:
        flap(w, some_node(w)->at, some_node(w)->at);
        return;
    case FAULT_CLOG:
        clog_links(w);
        return;
    case FAULT_REPLAY:
        net_replay(w);
        return;
    case FAULT_TRANSFER:
        transfer(w, group);
        return;
    case FAULT_MEMBERS:
        change_members(w, group);
        return;
    case FAULT_READ:
        read(w, group);
        return;
    case FAULT_STRAND:
        strand(w, group);
        return;
    case FAULT_REGION:
        break_region(w);
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
