/* above - the rooms of a node that stand on its engine, wired as node/node.c wires them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/control/town.h"

static const uint8_t cluster_id[CONTROL_CLUSTER_SIZE] = { 'c', 'o', 'n', 't', 'r', 'o', 'l' };
static struct town the_town;

bool town_runs(const struct world *w, const struct node *n)
{
    return node_runs(w, n) && n->stand->cluster;
}

/* ---- wired as in node/node.c */

static void on_shard(void *arg, const struct cluster_shard *s)
{
    struct stand *stand = arg;
    const struct commit_placement p = { .shard = s->shard,
                                        .founders = *s->founders,
                                        .wanted = *s->wanted,
                                        .version = s->version,
                                        .in_force = s->in_force,
                                        .closes = s->closes };

    late_place(stand, &p);
}

static void on_state(void *arg, enum control_node_state state)
{
    (void)arg, (void)state;
}

static void on_placed(void *arg, uint32_t shard, uint32_t version)
{
    cluster_placed(((struct stand *)arg)->cluster, shard, version);
}

static void on_empty(void *arg, uint32_t shard)
{
    cluster_emptied(((struct stand *)arg)->cluster, shard);
}

static void on_confirm(void *arg, uint32_t shard, uint32_t version, uint64_t term)
{
    cluster_confirm(((struct stand *)arg)->cluster, shard, version, term);
}

static void on_confirmed(void *arg, uint32_t shard, uint32_t version, uint64_t term)
{
    late_confirm(arg, shard, version, term);
}

static void on_change(void *arg, struct peer_ask *ask)
{
    struct stand *s = arg;

    if (s->cluster && !s->closing)
        cluster_serve(s->cluster, ask);
    else
        peer_answer(ask, ERR_CLOSED, (struct span){ 0 }, (struct span){ 0 });
}

static void open_peers(struct stand *s)
{
    struct node *n = s->node;
    const struct wire_events behind = n->events;

    s->peers = peers_new(n->at + 1, n->incarnation, &behind);
    n->events = peers_wire_events(s->peers);
    peers_attach(s->peers, &n->wire);
    peer_serve(s->peers, PEER_CHANGE, &n->loops[0], on_change, s);
}

static void open_commit(struct stand *s)
{
    struct commit *c = &s->commit;

    memset(c, 0, sizeof *c);
    c->o.node = s->node->at + 1;
    c->o.loop_count = 1;
    c->o.calls = (struct commit_calls){ .arg = s,
                                        .on_placed = on_placed,
                                        .on_empty = on_empty,
                                        .on_confirm = on_confirm };
    c->shards = s->shards;
    c->shard_max = GROUPS_MAX - 1;
    list_init(&c->watchers);
    shards_open(s);
}

/* The host of group 0 shows what the cluster's replica is. */
static void show(struct node *n)
{
    struct host *h = &n->hosts[0];
    struct raft_group_view v;

    h->raft = n->stand->cluster->group;
    raft_group_see(h->raft, &v);
    h->role = v.role;
    h->term = v.term;
    h->leader = v.leader;
    h->applied = v.applied;
}

static void refuse(struct world *w, struct node *n, const char *why)
{
    TRACE(w, "n%u control does not open: %s", n->at + 1, why);
    EXPECT(w, n->hosts[0].damaged, "n%u: control does not open, and nothing is damaged: %s",
           n->at + 1, why);
    w->ended++;
    n->dying = n->lost = true;
}

/* It is a member: DATA/cluster says so. */
void town_open(struct world *w, struct node *n)
{
    struct stand *s = n->stand;
    struct town *t = w->town;
    struct cluster_self self;
    struct errmsg why = { "" };
    struct host *h = &n->hosts[0];
    struct cluster *cluster = NULL;

    CHECK(!s->cluster && cluster_self_read(s->dir, &self, &why) == 0);
    CHECK(cluster_self_start(s->dir, &self, &why) == 0);
    open_peers(s);
    open_commit(s);
    h->exists = true;
    w->wanted[0][n->at] = true;
    h->commit_floor = h->led_term = 0;
    if (cluster_open(&cluster,
                     &(struct cluster_options){ .loop = &n->loops[0],
                                                .raft = n->raft,
                                                .wire = &n->wire,
                                                .peers = s->peers,
                                                .dir = s->dir,
                                                .self = &self,
                                                .address = s->address,
                                                .zone = s->zone,
                                                .region = s->region,
                                                .shards_per_node = t->shards_per_node,
                                                .replicas = t->replicas,
                                                .spread = t->spread,
                                                .calls = { .arg = s,
                                                           .on_shard = on_shard,
                                                           .on_confirmed = on_confirmed,
                                                           .on_state = on_state } },
                     &why) != 0) {
        refuse(w, n, why.text);
        return;
    }
    s->cluster = cluster;
    h->commit_seen = control_applied(cluster_control(cluster));
    show(n);
    net_dial_all(w);
    node_wake(n, 0);
}

static void open_node(struct world *w, struct node *n)
{
    struct stand *s = n->stand;

    s->closing = false;
    loop_begin(s);
    late_begin(s);
    memset(s->knows, 0, sizeof s->knows);
    memset(s->removed, 0, sizeof s->removed);
    memset(s->done, 0, sizeof s->done);
    if (disk_has(s, "cluster"))
        town_open(w, n);
    else
        operator_join_later(w, n, SECOND);
}

/* Calls end and are answered by letters, while cluster is there; group 0 answers who asked; then nobody is left. */
static void close_node(struct world *w, struct node *n)
{
    struct stand *s = n->stand;

    (void)w;
    if (!s->peers) return;
    s->closing = true;
    late_turn(s, true);
    peers_stop(s->peers);
    loop_letters(s);
    shards_close(s);
    cluster_close(&s->cluster);
    n->hosts[0].raft = NULL;
    loop_letters(s);
    peers_free(&s->peers);
    shards_close(s);
}

/* ---- turns */

/* Damage that nobody has read yet would lie there until the node has got a vote elsewhere, with others damaged meanwhile: how much
 * may be lost was weighed without it. */
static void give_up_damaged(struct world *w, struct node *n)
{
    for (unsigned g = 0; g < w->plan.groups && !n->dying; g++)
        n->dying = n->lost = n->hosts[g].damaged;
}

/* Who removed it and finds a way says so, until it is forgotten. */
static void hear_removed(struct world *w, struct stand *s)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *by = &w->nodes[i];

        if (by->stand == s || !town_runs(w, by) || !by->stand->removed[s->node->at]) continue;
        if (s->done[i] || !net_open(w, i, s->node->at) || !net_open(w, s->node->at, i)) continue;
        cluster_hear_removed(s->cluster, i + 1);
    }
}

static void turn(struct world *w, struct node *n, unsigned loop)
{
    struct stand *s = n->stand;

    if (!s->cluster || loop != 0) return;
    late_turn(s, false);
    loop_letters(s);
    hear_removed(w, s);
    loop_timers(w, s);
    shards_turn(w, s);
    give_up_damaged(w, n);
}

static uint64_t next(struct world *w, const struct node *n, unsigned loop)
{
    const struct stand *s = n->stand;
    uint64_t timer_ms, look_ms = node_mono_ms(w, n) + 100;

    if (!s->cluster || loop != 0) return UINT64_MAX;
    timer_ms = loop_next(s);
    return timer_ms < look_ms ? timer_ms : look_ms;
}

static void check(struct world *w, struct node *n)
{
    if (!n->stand->cluster) return;
    show(n);
    judge_node(w, n);
}

static void act(struct world *w, struct node *n, const struct action *a)
{
    switch (a->a) {
    case DO_WORK:
        loop_worked(n->stand);
        return;
    case DO_JOIN:
        operator_join(w, n);
        return;
    case DO_OPERATE:
        operator_work(w);
        return;
    case DO_LATE:
        late_work(w);
        return;
    case DO_WEIGH:
        rest_weigh(w);
        return;
    case DO_OPEN:
        if (!n->stand->cluster) town_open(w, n);
        return;
    default:
        UNREACHED();
    }
}

/* ---- who knows whom */

static bool knows(const struct world *w, unsigned a, unsigned b)
{
    const struct stand *s = w->nodes[a].stand, *t = w->nodes[b].stand;

    return s->cluster && t->cluster && (s->knows[b] || t->knows[a]) && !s->removed[b] &&
           !t->removed[a];
}

static void remove_peer(struct node *n, uint64_t gone)
{
    struct stand *s = n->stand;

    CHECK(gone >= 1 && gone <= NODES_MAX && gone != n->at + 1);
    if (s->removed[gone - 1]) return;
    TRACE(n->world, "n%u has done with n%u, which was removed", n->at + 1, (unsigned)gone);
    s->removed[gone - 1] = true;
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        net_break(n->world, n->at, (unsigned)gone - 1, (enum wire_lane)lane);
}

static void forget_peer(struct node *n, uint64_t node)
{
    n->stand->knows[node - 1] = false;
    n->stand->done[node - 1] = true;
}

static int peer(struct node *n, uint64_t to)
{
    struct stand *s = n->stand;

    CHECK(to >= 1 && to <= NODES_MAX && to != n->at + 1);
    if (s->knows[to - 1]) return 0;
    s->knows[to - 1] = true;
    net_dial_all(n->world);
    return 0;
}

/* ---- mail */

static const struct shard *shard_of(const struct host *h)
{
    return &h->node->stand->shards[h->group - 1];
}

static bool takes(const struct host *h)
{
    const struct shard *s = h->group > 0 ? shard_of(h) : NULL;

    return s && s->is_open && s->is_offered && place_takes_mail(s) && !queue_is_closed(h->queue);
}

static bool claims(const struct host *h)
{
    return !place_hands_over(shard_of(h));
}

/* ---- a world */

static void draw_faults(struct world *w)
{
    static const enum fault none[] = { FAULT_MEMBERS, FAULT_RESCUE, FAULT_ROLL, FAULT_FOREIGN,
                                       FAULT_UPGRADE, FAULT_BIG,    FAULT_LIE,  FAULT_REGION };

    for (unsigned i = 0; i < sizeof none / sizeof none[0]; i++)
        w->plan.fault_every_us[none[i]] = 0;
    w->plan.regions = (struct regions){ 0 }; /* control has some of its own: struct town */
}

static void draw(struct world *w)
{
    struct plan *p = &w->plan;
    struct town *t = &the_town;

    free(t->digests);
    *t = (struct town){ .regions = 1 + (unsigned)world_below(w, 3) };
    w->town = t;
    disk_begin(t);
    p->nodes = (unsigned)world_between(w, 3, 7);
    p->spares = 0;
    p->groups = 1;
    p->loops = 1;
    p->length_us = world_between(w, 15 * SECOND, 40 * SECOND);
    p->open_late_us = 0;
    p->format_min = p->format_max = PROTO_FORMAT_VERSION;
    draw_faults(w);
    t->replicas = world_chance(w, 700) ? 3 : 1 + (uint32_t)world_below(w, 5);
    t->shards_per_node = 1 + (uint32_t)(p->nodes < 5 && world_chance(w, 400));
    t->spread = t->regions > 1 && world_chance(w, 400) ? CONTROL_SPREAD_REGION : CONTROL_SPREAD_ZONE;
    t->verb_every_us = world_chance(w, 100) ? 0 : world_between(w, 300 * MS, 4 * SECOND);
    t->is_late = rng_below(&w->later, 1000) < 600;
    log_set_level((enum log_level)(LOG_ERROR + 1));
    proto_format_set(PROTO_FORMAT_VERSION);
}

static void found(struct node *n)
{
    struct cluster_self self = { .node = n->at + 1,
                                 .peer_count = 1,
                                 .format = PROTO_FORMAT_VERSION };
    struct errmsg why = { "" };

    memcpy(self.cluster, cluster_id, sizeof cluster_id);
    snprintf(self.uuid, sizeof self.uuid, "%s", n->stand->uuid);
    self.peers[0] = (struct cluster_peer){ .node = n->at + 1, .votes = true };
    snprintf(self.peers[0].address, sizeof self.peers[0].address, "%s", n->stand->address);
    CHECK(cluster_self_write(n->stand->dir, &self, &why) == 0);
}

static void begin(struct world *w)
{
    const uint64_t first = 1;

    w->first_config[0] = raft_config_of(&first, 1);
    w->wanted[0][0] = true;
    found(&w->nodes[0]);
    if (w->town->verb_every_us)
        world_at(w, 3 * SECOND, &(struct action){ .kind = ACT_ABOVE, .a = DO_OPERATE });
    if (w->town->is_late)
        world_at(w, 3 * SECOND, &(struct action){ .kind = ACT_ABOVE, .a = DO_LATE });
}

static void end(struct world *w)
{
    free(w->town->digests);
    w->town->digests = NULL;
}

static void node_is_new(struct world *w, struct node *n)
{
    struct stand *s = &w->town->stands[n->at];

    n->stand = s;
    s->node = n;
    snprintf(s->dir, sizeof s->dir, "%u", n->at);
    snprintf(s->uuid, sizeof s->uuid, "00000000-0000-4000-8000-%012u", n->at + 1);
    snprintf(s->address, sizeof s->address, "10.0.0.%u:2600", n->at + 1);
    snprintf(s->zone, sizeof s->zone, "z%u", n->zone);
    if (w->town->regions > 1)
        snprintf(s->region, sizeof s->region, "r%u", 1 + n->at % w->town->regions);
}

static void node_goes(struct node *n)
{
    if (n->lost) {
        n->stand->lost_us = n->world->now_us;
        world_at(n->world, SEEN_DEAD_US, &(struct action){ .kind = ACT_ABOVE, .a = DO_WEIGH });
    }
    disk_free(n->stand);
}

/* What control has begun and nobody has applied yet is not known to who weighs how much may be lost. */
static bool may_lose(const struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        const struct node *n = &w->nodes[i];
        struct raft_group_view v;

        if (!town_runs(w, n) || n->hosts[0].role != RAFT_LEADER) continue;
        raft_group_see(n->hosts[0].raft, &v);
        if (v.role == RAFT_LEADER && v.last == v.commit && v.applied == v.commit &&
            w->town->index >= control_applied(cluster_control(n->stand->cluster)))
            return true;
    }
    return false;
}

static const struct above above = { .name = "control",
                                    .draw = draw,
                                    .begin = begin,
                                    .end = end,
                                    .node_new = node_is_new,
                                    .node_free = node_goes,
                                    .open = open_node,
                                    .close = close_node,
                                    .turn = turn,
                                    .next = next,
                                    .check = check,
                                    .act = act,
                                    .knows = knows,
                                    .peer = peer,
                                    .remove = remove_peer,
                                    .forget = forget_peer,
                                    .takes = takes,
                                    .claims = claims,
                                    .config = judge_config,
                                    .may_lose = may_lose,
                                    .calm = rest_begin,
                                    .may_heal = rest_may_begin,
                                    .missing = rest_missing };
const struct above *const world_above = &above;
