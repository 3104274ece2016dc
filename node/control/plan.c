/* plan - what the cluster lacks next: one step, then the state is looked at again.
 *
 * In this order: nodes that joined and are up serve; each shard gets as many voters as are wanted, or as there are nodes; what
 * drains gives its leaderships away, then its replicas; a shard on its way to voters that are no quorum any more goes to others; a
 * replica that is on its way to a node that has died goes to another, or, when there is none, the shard does without; each serving
 * node was the first founder of so many shards as are wanted for a node; voters stand in different zones when they can; replicas, then
 * leaderships, are spread evenly.
 * Rules: nodes that are down, drain or are cordoned get nothing new. A replica is replaced by one change (who comes learns first,
 *   commit/place.c), only of a shard that is not moving already, and only CONTROL_MOVES_MAX at one time. No placement is planned
 *   whose living voters are no quorum, nor one of a shard whose voters of now cannot be one.
 * Ends: a step of the latter three lessens (pairs of one zone, squares of replicas, squares of leaderships), in this order.
 */
#include "node/control/inside.h"
#include "proto/ground/mutation.h"

/* Less is even enough: a move is dear, and what an operator moved by one is not moved back. */
#define UNEVEN 3u

struct plan {
    struct look look;
    const struct control *control;
    struct control_step *out;
    struct errmsg *why;
};

/* The first thing that waits is told. */
#define WAITS(p, ...)                                                                              \
    do {                                                                                           \
        if ((p)->why && !(p)->why->text[0]) errmsg_set((p)->why, ERR_AGAIN, __VA_ARGS__);          \
    } while (0)

/* Another placement may have been reached, and not reported, before this one was wanted. */
static bool may_have_moved(const struct control_shard *s)
{
    return control_moves(s) && s->version - s->in_force > 1;
}

/* On the way others vote beside the settled ones: with those of them who live there may be a quorum. */
static bool may_have_quorum(const struct plan *p, const struct control_shard *s)
{
    uint64_t voters[CONTROL_HOLDERS_MAX];
    unsigned count = s->settled_count;

    if (look_has_quorum(&p->look, s->holders, count) || may_have_moved(s)) return true;
    memcpy(voters, s->holders, count * sizeof *voters);
    for (unsigned i = count; i < s->holder_count; i++)
        if (look_is_up(&p->look, s->holders[i])) voters[count++] = s->holders[i];
    return count > CONTROL_VOTERS_MAX || look_has_quorum(&p->look, voters, count);
}

static bool place(struct plan *p, const struct control_shard *s, const uint64_t *voters,
                  unsigned count)
{
    if (!may_have_quorum(p, s)) {
        WAITS(p, "shard %u: only %u of its %u voters live", s->number,
              look_living(&p->look, s->holders, s->settled_count), s->settled_count);
        return false;
    }
    if (!look_has_quorum(&p->look, voters, count)) {
        WAITS(p, "shard %u: of the %u voters that it would have only %u live", s->number, count,
              look_living(&p->look, voters, count));
        return false;
    }
    *p->out =
        (struct control_step){ .kind = CONTROL_PLACE, .shard = s->number, .version = s->version };
    p->out->voter_count = voters_take(p->out->voters, voters, count);
    return true;
}

static bool may_move(struct plan *p, const struct control_shard *s)
{
    return s->state != CONTROL_CLOSED && !control_moves(s) && p->look.moving < CONTROL_MOVES_MAX;
}

/* Who should lead comes first: of those that take something and vote now, who leads least; else it stays as it is. */
static void put_leader_first(const struct plan *p, const struct control_shard *s, uint64_t *voters,
                             unsigned count)
{
    unsigned best = count;

    for (unsigned i = 0; i < count; i++) {
        if (!look_takes(&p->look, voters[i])) continue;
        if (!list_has(s->holders, s->settled_count, voters[i])) continue;
        if (best == count || p->look.led[look_place(&p->look, voters[i])] <
                                 p->look.led[look_place(&p->look, voters[best])])
            best = i;
    }
    for (; best > 0 && best < count; best--) {
        uint64_t v = voters[best];

        voters[best] = voters[best - 1];
        voters[best - 1] = v;
    }
}

/* The voters without one, and with another one (0: none); how many. */
static unsigned replace(const struct plan *p, const struct control_shard *s, uint64_t from,
                        uint64_t to, uint64_t voters[CONTROL_VOTERS_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->voter_count; i++)
        if (s->voters[i] != from) voters[count++] = s->voters[i];
    if (to != 0) voters[count++] = to;
    if (s->voters[0] == from) put_leader_first(p, s, voters, count);
    return count;
}

/* ---- the steps */

static bool lets_serve(struct plan *p)
{
    for (unsigned i = 0; i < p->control->node_count; i++) {
        const struct control_node *n = &p->control->nodes[i];

        if (n->state != CONTROL_JOINING || !p->look.up[i]) continue;
        *p->out = (struct control_step){ .kind = CONTROL_SERVE, .node = n->id };
        return true;
    }
    return false;
}

static bool adds_voter(struct plan *p, const struct control_shard *s)
{
    uint64_t voters[CONTROL_VOTERS_MAX], more;

    if (s->voter_count >= look_voters_wanted(&p->look)) return false;
    if (s->holder_count == CONTROL_HOLDERS_MAX) return false;
    more = look_best(&p->look, s->voters, s->voter_count);
    if (more == 0) return false;
    voters_take(voters, s->voters, s->voter_count);
    voters[s->voter_count] = more;
    return place(p, s, voters, s->voter_count + 1);
}

static bool drains(const struct plan *p, uint64_t id)
{
    return control_node(p->control, id)->state == CONTROL_DRAINING;
}

static bool drains_leader(struct plan *p, const struct control_shard *s)
{
    uint64_t voters[CONTROL_VOTERS_MAX];

    if (!drains(p, s->voters[0])) return false;
    voters_take(voters, s->voters, s->voter_count);
    put_leader_first(p, s, voters, s->voter_count);
    return voters[0] != s->voters[0] && place(p, s, voters, s->voter_count);
}

static bool drains_replica(struct plan *p, const struct control_shard *s)
{
    uint64_t voters[CONTROL_VOTERS_MAX], from = 0, to;
    unsigned count;

    for (unsigned i = 0; i < s->voter_count && from == 0; i++)
        if (drains(p, s->voters[i])) from = s->voters[i];
    if (from == 0 || !may_move(p, s) || MUTATED(CONTROL_DRAIN_STAYS)) return false;
    count = replace(p, s, from, 0, voters);
    to = look_best(&p->look, voters, count);
    if (to == 0 && (count == 0 || s->voter_count <= look_voters_wanted(&p->look))) {
        WAITS(p, "shard %u: no other node that serves and is up can take what node %llu holds",
              s->number, (unsigned long long)from);
        return false;
    }
    count = replace(p, s, from, to, voters);
    return place(p, s, voters, count);
}

/* Who was to come has died on the way. That a settled one still votes is sure when no other placement may have been reached before
 * this one: else he, too, may have to come. */
static bool died_on_the_way(const struct plan *p, const struct control_shard *s, uint64_t voter)
{
    if (look_is_up(&p->look, voter)) return false;
    return may_have_moved(s) || !list_has(s->holders, s->settled_count, voter);
}

static unsigned copies_of(unsigned voters) /* that a commit needs */
{
    return voters / 2 + 1;
}

/* Nobody can take the places of those who died: those who are left are wanted, if a commit needs no fewer copies of them than now, or
 * than is usual. Who comes later is one more voter. */
static bool does_without(struct plan *p, const struct control_shard *s)
{
    unsigned count = 0, usual = look_voters_wanted(&p->look);
    uint64_t voters[CONTROL_VOTERS_MAX];

    if (usual > s->settled_count) usual = s->settled_count;
    for (unsigned i = 0; i < s->voter_count; i++)
        if (!died_on_the_way(p, s, s->voters[i])) voters[count++] = s->voters[i];
    if (count == 0 || count == s->voter_count || copies_of(count) < copies_of(usual)) return false;
    if (voters[0] != s->voters[0]) put_leader_first(p, s, voters, count);
    return place(p, s, voters, count);
}

static bool goes_elsewhere(struct plan *p, const struct control_shard *s)
{
    uint64_t voters[CONTROL_VOTERS_MAX], to;
    unsigned count;

    for (unsigned i = 0; i < s->voter_count; i++) {
        uint64_t from = s->voters[i];

        if (!died_on_the_way(p, s, from)) continue;
        count = replace(p, s, from, 0, voters);
        to = look_best(&p->look, voters, count);
        if (to != 0 && (control_holds(s, to) || s->holder_count < CONTROL_HOLDERS_MAX)) {
            count = replace(p, s, from, to, voters);
            return place(p, s, voters, count);
        }
        if (does_without(p, s)) return true;
        WAITS(p,
              "shard %u: node %llu, which is to hold it, is down, and no other node that serves and "
              "is up can take it",
              s->number, (unsigned long long)from);
    }
    return false;
}

/* Those who are wanted are no quorum any more: others take the places of who is down, so many that they are one. */
static bool goes_on(struct plan *p, const struct control_shard *s)
{
    uint64_t voters[CONTROL_VOTERS_MAX], rest[CONTROL_VOTERS_MAX], to;
    unsigned count = voters_take(voters, s->voters, s->voter_count), more = 0;

    if (!control_moves(s)) return false;
    for (unsigned i = 0; i < count && !look_has_quorum(&p->look, voters, count); i++) {
        if (look_is_up(&p->look, voters[i])) continue;
        memcpy(rest, voters, count * sizeof *rest);
        rest[i] = rest[count - 1];
        to = look_best(&p->look, rest, count - 1);
        if (to == 0 || s->holder_count + more + !control_holds(s, to) > CONTROL_HOLDERS_MAX)
            continue;
        more += !control_holds(s, to);
        voters[i] = to;
    }
    if (memcmp(voters, s->voters, count * sizeof *voters) == 0) return false;
    if (voters[0] != s->voters[0]) put_leader_first(p, s, voters, count);
    return place(p, s, voters, count);
}

/* Shards of which the node was the first founder: also what was closed since counts. */
static unsigned born_for(const struct control *c, uint64_t id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->shard_count; i++)
        n += c->shards[i].founders[0] == id;
    return n;
}

static void found(const struct look *l, uint64_t first, struct control_step *out)
{
    *out = (struct control_step){ .kind = CONTROL_CREATE, .spread = l->spread };
    for (uint64_t more = first; more != 0 && out->voter_count < look_voters_wanted(l);
         more = look_best(l, out->voters, out->voter_count))
        out->voters[out->voter_count++] = more;
}

static bool makes_shard(struct plan *p)
{
    const struct control *c = p->control;

    if (c->shard_count == CONTROL_SHARDS_MAX) return false;
    for (unsigned i = 0; i < c->node_count; i++) {
        p->look.spread = c->spread;
        if (!p->look.takes[i] || born_for(c, c->nodes[i].id) >= c->shards_per_node) continue;
        found(&p->look, c->nodes[i].id, p->out);
        return true;
    }
    return false;
}

/* A voter that shares its zone goes where none is. */
static bool spreads(struct plan *p, const struct control_shard *s)
{
    uint64_t voters[CONTROL_VOTERS_MAX];
    unsigned now;

    if (s->state != CONTROL_OPEN || !may_move(p, s)) return false;
    now = look_conflicts(&p->look, s->voters, s->voter_count);
    for (unsigned i = s->voter_count; now > 0 && i-- > 0;) {
        unsigned count = replace(p, s, s->voters[i], 0, voters);
        uint64_t to = look_best(&p->look, voters, count);

        if (to == 0) continue;
        count = replace(p, s, s->voters[i], to, voters);
        if (look_conflicts(&p->look, voters, count) < now && place(p, s, voters, count))
            return true;
    }
    return false;
}

struct move {
    const struct control_shard *shard;
    uint64_t from, to;
    unsigned gain; /* 0: none was found */
};

static void weigh_move(struct plan *p, const struct control_shard *s, unsigned voter,
                       struct move *best)
{
    const struct look *l = &p->look;
    unsigned from = look_place(l, s->voters[voter]);
    uint64_t voters[CONTROL_VOTERS_MAX];

    for (unsigned i = 0; l->takes[from] && i < p->control->node_count; i++) {
        uint64_t to = p->control->nodes[i].id;
        unsigned gain, count;

        if (!l->takes[i] || l->held[from] < l->held[i] + UNEVEN) continue;
        gain = 2 * (l->held[from] - l->held[i]) + (voter > 0); /* who does not lead goes sooner */
        if (gain <= best->gain || list_has(s->voters, s->voter_count, to)) continue;
        count = replace(p, s, s->voters[voter], to, voters);
        if (look_conflicts(l, voters, count) > look_conflicts(l, s->voters, s->voter_count))
            continue;
        *best = (struct move){ s, s->voters[voter], to, gain };
    }
}

static bool evens_replicas(struct plan *p)
{
    uint64_t voters[CONTROL_VOTERS_MAX];
    struct move best = { .gain = 0 };

    for (unsigned i = 0; i < p->control->shard_count; i++) {
        const struct control_shard *s = &p->control->shards[i];

        if (s->state != CONTROL_OPEN || !may_move(p, s)) continue;
        if (!look_has_quorum(&p->look, s->holders, s->settled_count)) continue;
        p->look.spread = s->spread;
        for (unsigned k = 0; k < s->voter_count; k++)
            weigh_move(p, s, k, &best);
    }
    if (best.gain == 0) return false;
    return place(p, best.shard, voters, replace(p, best.shard, best.from, best.to, voters));
}

static void weigh_leader(struct plan *p, const struct control_shard *s, struct move *best)
{
    const struct look *l = &p->look;
    unsigned from = look_place(l, s->voters[0]);

    for (unsigned k = 1; l->takes[from] && k < s->voter_count; k++) {
        unsigned to = look_place(l, s->voters[k]);

        if (!l->takes[to] || l->led[from] < l->led[to] + UNEVEN) continue;
        if (l->led[from] - l->led[to] <= best->gain) continue;
        *best = (struct move){ s, s->voters[0], s->voters[k], l->led[from] - l->led[to] };
    }
}

static bool evens_leaders(struct plan *p)
{
    uint64_t voters[CONTROL_VOTERS_MAX];
    struct move best = { .gain = 0 };
    unsigned count = 1;

    for (unsigned i = 0; i < p->control->shard_count; i++) {
        const struct control_shard *s = &p->control->shards[i];

        if (s->state != CONTROL_OPEN || control_moves(s)) continue;
        if (look_has_quorum(&p->look, s->holders, s->settled_count)) weigh_leader(p, s, &best);
    }
    if (best.gain == 0) return false;
    voters[0] = best.to;
    for (unsigned k = 0; k < best.shard->voter_count; k++)
        if (best.shard->voters[k] != best.to) voters[count++] = best.shard->voters[k];
    return place(p, best.shard, voters, count);
}

/* ---- all of them */

static bool each_shard(struct plan *p, bool (*step)(struct plan *p, const struct control_shard *s))
{
    for (unsigned i = 0; i < p->control->shard_count; i++)
        if (p->control->shards[i].state != CONTROL_CLOSED) {
            p->look.spread = p->control->shards[i].spread;
            if (step(p, &p->control->shards[i])) return true;
        }
    return false;
}

bool control_plan(const struct control *c, const struct control_up *up, struct control_step *out,
                  struct errmsg *why)
{
    struct plan p = { .control = c, .out = out, .why = why };

    if (why) why->text[0] = '\0';
    if (!c->is_born) return false;
    look_at(&p.look, c, up);
    return lets_serve(&p) || each_shard(&p, adds_voter) || each_shard(&p, drains_leader) ||
           each_shard(&p, drains_replica) || each_shard(&p, goes_on) ||
           each_shard(&p, goes_elsewhere) || makes_shard(&p) || each_shard(&p, spreads) ||
           evens_replicas(&p) || evens_leaders(&p);
}

int control_may_create(const struct control *c, const struct control_up *up, uint64_t node,
                       enum control_spread spread, struct control_step *out, struct errmsg *why)
{
    struct look l;

    look_at(&l, c, up);
    if (spread != 0) l.spread = spread;
    if (node != 0 && !control_node(c, node))
        return errmsg_set(why, ERR_NOT_FOUND, "there is no node %llu", (unsigned long long)node);
    if (node != 0 && !look_takes(&l, node))
        return errmsg_set(why, ERR_BUSY, "node %llu takes nothing new: it is %s and %s",
                          (unsigned long long)node,
                          control_node_state_name(control_node(c, node)->state),
                          look_is_up(&l, node) ? "up" : "down");
    if (node == 0) node = look_best(&l, NULL, 0);
    if (node == 0) return errmsg_set(why, ERR_BUSY, "no node serves and is up");
    if (c->shard_count == CONTROL_SHARDS_MAX)
        return errmsg_set(why, ERR_FULL, "there are %u shards, the most that can be",
                          CONTROL_SHARDS_MAX);
    found(&l, node, out);
    return 0;
}
