/* operator - who lets nodes join, and asks for what the API offers: each verb is looked at on the node that is asked, by its state
 * and by whom it sees, and then proposed there, as node/ops does it. Who asks at last sees to it that what is lost is removed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/control/town.h"

#define TOKEN_LIVES_MS 3600000u
#define CREATED_MAX    3u
#define CALM_VERB_US   (SECOND / 2)
#define STUCK_US       (20 * SECOND) /* control has not changed since, in calm */

/* A change on its way. */
struct errand {
    struct cluster_ask ask;
    struct world *world;
    struct node *asked;
    struct node *joins; /* NULL: no join */
    bool is_token;
};

static const struct control *control_of(const struct node *n)
{
    return cluster_control(n->stand->cluster);
}

static struct node *some_member(struct world *w)
{
    unsigned from = (unsigned)world_below(w, w->node_count);

    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[(from + i) % w->node_count];

        if (town_runs(w, n) && !judge_is_gone(w->town, n->at + 1)) return n;
    }
    return NULL;
}

/* ---- sending */

static void joined(struct errand *e);
static void ask_join(struct world *w, struct node *asked, struct node *n);

static void on_done(struct cluster_ask *a, int rv)
{
    struct errand *e = CONTAINER_OF(a, struct errand, ask);
    struct world *w = e->world;

    trace_mix(w, 91, e->asked->at, (uint64_t)(rv + 1000));
    if (!e->joins) TRACE(w, "n%u answers the operator: %s", e->asked->at + 1, err_name(rv));
    if (rv != 0) w->town->refusals++;
    if (e->joins) e->joins->stand->joins = false;
    if (e->joins && !e->asked->dying && e->asked->stand->cluster && !e->asked->stand->closing) {
        if (rv == 0 && e->is_token)
            ask_join(w, e->asked, e->joins);
        else if (rv == 0)
            joined(e);
    }
    free(e);
}

static void send_for(struct world *w, struct node *asked, struct node *joins,
                     Angarium__ControlCommand *command)
{
    struct errand *e = check_calloc(1, sizeof *e);

    e->world = w;
    e->asked = asked;
    e->joins = joins;
    e->is_token = command->kind_case == ANGARIUM__CONTROL_COMMAND__KIND_TOKEN;
    e->ask.on_done = on_done;
    command->time_ms = node_wall_ms(w, asked);
    if (cluster_propose(asked->stand->cluster, &e->ask, command) != 0) {
        free(e);
        return;
    }
    w->town->verbs++;
    if (joins) joins->stand->joins = true;
    node_wake(asked, 0);
}

/* ---- joining: a token, and with it the node */

static void hash_of(const struct node *n, uint8_t out[CONTROL_TOKEN_SIZE])
{
    memset(out, 0, CONTROL_TOKEN_SIZE);
    snprintf((char *)out, CONTROL_TOKEN_SIZE, "token of n%u", n->at + 1);
}

static void ask_token(struct world *w, struct node *asked, struct node *n)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlToken token = ANGARIUM__CONTROL_TOKEN__INIT;
    uint8_t hash[CONTROL_TOKEN_SIZE];

    hash_of(n, hash);
    token.hash = proto_bytes(span_of(hash, sizeof hash));
    token.expires_ms = node_wall_ms(w, asked) + 4 * TOKEN_LIVES_MS;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_TOKEN;
    command.token = &token;
    send_for(w, asked, n, &command);
}

static void ask_join(struct world *w, struct node *asked, struct node *n)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlJoin join = ANGARIUM__CONTROL_JOIN__INIT;
    Angarium__ControlNode node = ANGARIUM__CONTROL_NODE__INIT;
    const struct stand *s = n->stand;
    uint8_t hash[CONTROL_TOKEN_SIZE];

    hash_of(n, hash);
    node.id = n->at + 1;
    node.uuid = proto_bytes(span_cstr(s->uuid));
    node.address = proto_bytes(span_cstr(s->address));
    node.zone = proto_bytes(span_cstr(s->zone));
    node.region = proto_bytes(span_cstr(s->region));
    join.node = &node;
    join.token = proto_bytes(span_of(hash, sizeof hash));
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_JOIN;
    command.join = &join;
    send_for(w, asked, n, &command);
}

static void take_peers(struct cluster_self *self, const struct cluster *cluster)
{
    const struct control *c = cluster_control(cluster);

    for (unsigned i = 0; i < control_node_count(c); i++) {
        const struct control_node *m = control_node_at(c, i);
        struct cluster_peer *p = &self->peers[self->peer_count];

        if (m->state == CONTROL_GONE) continue;
        p->node = m->id;
        p->votes = cluster_votes(cluster, m->id);
        snprintf(p->address, sizeof p->address, "%s", m->address);
        self->peer_count++;
    }
}

/* As node/ops answers, and the node writes it. It may have died meanwhile, or be in already. */
static void joined(struct errand *e)
{
    struct node *n = e->joins;
    const struct cluster *cluster = e->asked->stand->cluster;
    struct cluster_self self = { .node = n->at + 1,
                                 .format = control_format(control_of(e->asked)) };
    struct errmsg why = { "" };

    if (!n->up || n->dying || n->lost || disk_has(n->stand, "cluster")) return;
    memcpy(self.cluster, control_cluster(control_of(e->asked)), sizeof self.cluster);
    snprintf(self.uuid, sizeof self.uuid, "%s", n->stand->uuid);
    take_peers(&self, cluster);
    TRACE(e->world, "n%u is in, says n%u", n->at + 1, e->asked->at + 1);
    CHECK(cluster_self_write(n->stand->dir, &self, &why) == 0);
    world_at(e->world, world_below(e->world, 50 * MS),
             &(struct action){ .kind = ACT_ABOVE,
                               .node = n->at,
                               .life = n->incarnation,
                               .a = DO_OPEN });
}

void operator_join_later(struct world *w, struct node *n, uint64_t max_us)
{
    world_at(w, world_below(w, max_us),
             &(struct action){ .kind = ACT_ABOVE,
                               .node = n->at,
                               .life = n->incarnation,
                               .a = DO_JOIN });
}

void operator_join(struct world *w, struct node *n)
{
    struct stand *s = n->stand;
    struct node *asked = some_member(w);

    if (s->cluster || disk_has(s, "cluster")) return;
    operator_join_later(w, n, 2 * SECOND);
    if (s->joins || !asked || !control_is_born(control_of(asked))) return;
    if (control_node(control_of(asked), n->at + 1) || world_chance(w, 300))
        ask_join(w, asked, n);
    else
        ask_token(w, asked, n);
}

/* ---- nodes */

static void set_state(struct world *w, struct node *asked, const struct control_node *of,
                      enum control_node_state to, bool force)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlNodeState state = ANGARIUM__CONTROL_NODE_STATE__INIT;

    TRACE(w, "operator at n%u: n%llu %s%s", asked->at + 1, (unsigned long long)of->id,
          control_node_state_name(to), force ? ", by force" : "");
    state.id = of->id;
    state.state = to;
    state.was = of->state;
    state.force = force;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_NODE_STATE;
    command.node_state = &state;
    send_for(w, asked, NULL, &command);
}

static void cordon(struct world *w, struct node *asked, const struct control_node *of)
{
    if (control_may_cordon(control_of(asked), of->id, NULL) == 0)
        set_state(w, asked, of, CONTROL_CORDONED, false);
}

static void uncordon(struct world *w, struct node *asked, const struct control_node *of)
{
    if (control_may_uncordon(control_of(asked), of->id, NULL) == 0)
        set_state(w, asked, of, CONTROL_SERVING, false);
}

static void drain(struct world *w, struct node *asked, const struct control_node *of)
{
    struct control_up up = cluster_up(asked->stand->cluster);

    if (control_may_drain(control_of(asked), &up, of->id, NULL) == 0)
        set_state(w, asked, of, CONTROL_DRAINING, false);
}

static void drain_region(struct world *w, struct node *asked, const struct control_node *of)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlRegionDrain what = ANGARIUM__CONTROL_REGION_DRAIN__INIT;
    struct control_up up = cluster_up(asked->stand->cluster);

    if (control_may_drain_region(control_of(asked), &up, of->region, NULL) != 0) return;
    TRACE(w, "operator at n%u: region %s drains", asked->at + 1, of->region);
    what.region = proto_bytes(span_cstr(of->region));
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_REGION_DRAIN;
    command.region_drain = &what;
    send_for(w, asked, NULL, &command);
}

/* By force only whose disk is lost: that is what the operator answers for. */
static void remove_node(struct world *w, struct node *asked, const struct control_node *of)
{
    struct control_up up = cluster_up(asked->stand->cluster);
    bool force = w->nodes[of->id - 1].lost;
    struct errmsg why = { "" };
    int rv = control_may_remove(control_of(asked), &up, of->id, force, &why);

    if (rv == 0 && !cluster_spares(asked->stand->cluster, of->id))
        rv = errmsg_set(&why, ERR_BUSY, "without it control would have no quorum");
    if (rv != 0)
        TRACE(w, "n%u does not let n%llu go: %s", asked->at + 1, (unsigned long long)of->id,
              why.text);
    else
        set_state(w, asked, of, CONTROL_GONE, force);
}

static void promote(struct world *w, struct node *asked, const struct control_node *of)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPromote what = ANGARIUM__CONTROL_PROMOTE__INIT;
    struct control_up up = cluster_up(asked->stand->cluster);

    if (!of->promoted && control_may_promote(control_of(asked), &up, of->id, NULL) != 0) return;
    TRACE(w, "operator at n%u: n%llu %s", asked->at + 1, (unsigned long long)of->id,
          of->promoted ? "is as any other" : "is promoted");
    what.id = of->id;
    what.promoted = !of->promoted;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PROMOTE;
    command.promote = &what;
    send_for(w, asked, NULL, &command);
}

/* ---- shards */

static const struct control_shard *some_shard(struct world *w, const struct node *asked)
{
    unsigned count = control_shard_count(control_of(asked));

    return count > 0 ? control_shard(control_of(asked), 1 + (uint32_t)world_below(w, count)) : NULL;
}

static void create(struct world *w, struct node *asked)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlCreate what = ANGARIUM__CONTROL_CREATE__INIT;
    struct control_up up = cluster_up(asked->stand->cluster);
    struct control_step step;

    if (w->town->created == CREATED_MAX) return;
    if (control_may_create(control_of(asked), &up, 0, (enum control_spread)world_below(w, 3), &step,
                           NULL) != 0)
        return;
    w->town->created++;
    TRACE(w, "operator at n%u: another shard", asked->at + 1);
    what.voters = step.voters;
    what.n_voters = step.voter_count;
    what.spread = step.spread;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_CREATE;
    command.create = &what;
    send_for(w, asked, NULL, &command);
}

static void close_shard(struct world *w, struct node *asked, const struct control_shard *s)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlShardState what = ANGARIUM__CONTROL_SHARD_STATE__INIT;

    if (!s || control_may_close(control_of(asked), s->number, NULL) != 0) return;
    TRACE(w, "operator at n%u: shard %u closes", asked->at + 1, s->number);
    what.shard = s->number;
    what.state = CONTROL_CLOSING;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_SHARD_STATE;
    command.shard_state = &what;
    send_for(w, asked, NULL, &command);
}

static void place(struct world *w, struct node *asked, const struct control_shard *s,
                  uint64_t *voters, unsigned count)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPlace what = ANGARIUM__CONTROL_PLACE__INIT;
    struct control_up up = cluster_up(asked->stand->cluster);

    if (control_may_place(control_of(asked), &up, s->number, voters, count, NULL) != 0) return;
    TRACE(w, "operator at n%u: shard %u goes to %u voters, the first n%llu", asked->at + 1,
          s->number, count, (unsigned long long)voters[0]);
    what.shard = s->number;
    what.version = s->version;
    what.voters = voters;
    what.n_voters = count;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PLACE;
    command.place = &what;
    send_for(w, asked, NULL, &command);
}

/* Another one leads. */
static void transfer(struct world *w, struct node *asked, const struct control_shard *s)
{
    uint64_t voters[CONTROL_VOTERS_MAX];
    unsigned to;

    if (!s || s->voter_count < 2) return;
    memcpy(voters, s->voters, sizeof voters);
    to = 1 + (unsigned)world_below(w, s->voter_count - 1);
    voters[0] = s->voters[to];
    voters[to] = s->voters[0];
    place(w, asked, s, voters, s->voter_count);
}

/* Any voters: some of those that there are, in any order. */
static void move(struct world *w, struct node *asked, const struct control_shard *s)
{
    const struct control *c = control_of(asked);
    uint64_t voters[CONTROL_VOTERS_MAX];
    unsigned count = 0, wanted = 1 + (unsigned)world_below(w, 5);

    for (unsigned i = 0; s && count < wanted && i < 4 * wanted; i++) {
        uint64_t id =
            control_node_at(c, (unsigned)world_below(w, control_node_count(c)))->id;
        bool is_there = false;

        for (unsigned k = 0; k < count; k++)
            is_there = is_there || voters[k] == id;
        if (!is_there) voters[count++] = id;
    }
    if (s && count > 0) place(w, asked, s, voters, count);
}

/* Another node in the place of a voter who is not `stays`. */
void operator_exchange(struct world *w, uint32_t shard, uint64_t stays)
{
    struct node *asked = some_member(w);
    const struct control *c = asked ? control_of(asked) : NULL;
    const struct control_shard *s = c ? control_shard(c, shard) : NULL;
    uint64_t voters[CONTROL_VOTERS_MAX], comes;
    unsigned at;

    if (!s || control_moves(s)) return;
    at = (unsigned)world_below(w, s->voter_count);
    comes = control_node_at(c, (unsigned)world_below(w, control_node_count(c)))->id;
    if (s->voters[at] == stays || control_holds(s, comes)) return;
    memcpy(voters, s->voters, sizeof voters);
    voters[at] = comes;
    place(w, asked, s, voters, s->voter_count);
}

/* ---- when */

static void some_verb(struct world *w, struct node *asked)
{
    const struct control *c = control_of(asked);
    const struct control_node *of =
        control_node_at(c, (unsigned)world_below(w, control_node_count(c)));

    switch (world_below(w, 12)) {
    case 0:
        cordon(w, asked, of);
        return;
    case 1:
    case 2:
        uncordon(w, asked, of);
        return;
    case 3:
        drain(w, asked, of);
        return;
    case 4:
        if (of->region[0] && world_chance(w, 300)) drain_region(w, asked, of);
        return;
    case 5:
    case 6:
        remove_node(w, asked, of);
        return;
    case 7:
        promote(w, asked, of);
        return;
    case 8:
        create(w, asked);
        return;
    case 9:
        if (world_chance(w, 300)) close_shard(w, asked, some_shard(w, asked));
        return;
    case 10:
        transfer(w, asked, some_shard(w, asked));
        return;
    default:
        move(w, asked, some_shard(w, asked));
    }
}

static bool take_back(struct world *w, struct node *asked, enum control_node_state state)
{
    const struct control *c = control_of(asked);

    for (unsigned i = 0; i < control_node_count(c); i++)
        if (control_node_at(c, i)->state == state) {
            uncordon(w, asked, control_node_at(c, i));
            return true;
        }
    return false;
}

static bool lost_stay(const struct world *w, const struct control *c)
{
    for (unsigned i = 0; i < control_node_count(c); i++) {
        const struct control_node *n = control_node_at(c, i);

        if (n->state != CONTROL_GONE && w->nodes[n->id - 1].lost) return true;
    }
    return false;
}

/* A shard waits for ever for one who is lost when nobody else may take his place: docs/operating/cluster.md, Not in this version. */
static void take_back_one(struct world *w, struct node *asked)
{
    if (w->now_us - w->town->changed_us < STUCK_US || !lost_stay(w, control_of(asked))) return;
    if (!take_back(w, asked, CONTROL_CORDONED)) take_back(w, asked, CONTROL_DRAINING);
}

/* At last only what has to be: who is lost is removed, and who is drained. */
static void last_verbs(struct world *w, struct node *asked)
{
    const struct control *c = control_of(asked);

    for (unsigned i = 0; i < control_node_count(c); i++) {
        const struct control_node *of = control_node_at(c, i);

        if (of->state == CONTROL_GONE) continue;
        if (w->nodes[of->id - 1].lost || of->state == CONTROL_DRAINING)
            remove_node(w, asked, of);
    }
    take_back_one(w, asked);
}

void operator_work(struct world *w)
{
    struct node *asked = some_member(w);

    world_at(w, w->calm ? CALM_VERB_US : 1 + world_below(w, 2 * w->town->verb_every_us),
             &(struct action){ .kind = ACT_ABOVE, .a = DO_OPERATE });
    if (!asked || !control_is_born(control_of(asked)) ||
        control_node_count(control_of(asked)) == 0)
        return;
    if (w->calm)
        last_verbs(w, asked);
    else
        some_verb(w, asked);
}
