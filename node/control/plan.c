/* plan - what the cluster lacks next: one step, then the state is looked at again.
 *
 * Nodes that joined and are up serve. Each shard gets as many voters as are wanted, or as there are nodes, in different
 * zones when it can be, on the nodes that hold least. Each serving node is the first of so many shards as are wanted for a node.
 * Nodes that are down get nothing new.
 */
#include "node/control/inside.h"

static bool is_in(const uint64_t *list, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == id) return true;
    return false;
}

static unsigned held(const struct control *c, uint64_t id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->shard_count; i++)
        n += is_in(c->shards[i].voters, c->shards[i].voter_count, id);
    return n;
}

static bool zone_is_used(const struct control *c, const uint64_t *voters, unsigned count,
                         uint64_t id)
{
    uint16_t zone = control_zone_number(c, id);

    for (unsigned i = 0; zone != 0 && i < count; i++)
        if (control_zone_number(c, voters[i]) == zone) return true;
    return false;
}

/* The best to add to the voters; 0: nobody. Another zone first, then who holds least, then who joined first. */
static uint64_t best_node(const struct control *c, const struct control_up *up,
                          const uint64_t *voters, unsigned count)
{
    uint64_t best = 0, best_cost = UINT64_MAX;

    for (unsigned i = 0; i < c->node_count; i++) {
        uint64_t id = c->nodes[i].id, cost;

        if (c->nodes[i].state != CONTROL_SERVING || is_in(voters, count, id)) continue;
        if (!is_in(up->nodes, up->count, id)) continue;
        cost = (uint64_t)zone_is_used(c, voters, count, id) * CONTROL_SHARDS_MAX * 2 + held(c, id);
        if (cost >= best_cost) continue;
        best = id;
        best_cost = cost;
    }
    return best;
}

static unsigned voters_wanted(const struct control *c)
{
    unsigned serving = 0;

    for (unsigned i = 0; i < c->node_count; i++)
        serving += c->nodes[i].state == CONTROL_SERVING;
    return serving < c->replicas ? serving : c->replicas;
}

/* ---- the steps */

static bool lets_serve(const struct control *c, const struct control_up *up,
                       struct control_step *out)
{
    for (unsigned i = 0; i < c->node_count; i++) {
        const struct control_node *n = &c->nodes[i];

        if (n->state != CONTROL_JOINING || !is_in(up->nodes, up->count, n->id)) continue;
        *out = (struct control_step){ .kind = CONTROL_SERVE, .node = n->id };
        return true;
    }
    return false;
}

static bool adds_voter(const struct control *c, const struct control_up *up,
                       struct control_step *out)
{
    unsigned wanted = voters_wanted(c);

    for (unsigned i = 0; i < c->shard_count; i++) {
        const struct control_shard *s = &c->shards[i];
        uint64_t more;

        if (s->voter_count >= wanted) continue;
        more = best_node(c, up, s->voters, s->voter_count);
        if (more == 0) continue;
        *out = (struct control_step){ .kind = CONTROL_PLACE,
                                      .shard = s->number,
                                      .version = s->version };
        out->voter_count = voters_take(out->voters, s->voters, s->voter_count);
        out->voters[out->voter_count++] = more;
        return true;
    }
    return false;
}

static unsigned firsts(const struct control *c, uint64_t id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->shard_count; i++)
        n += c->shards[i].voters[0] == id;
    return n;
}

static bool makes_shard(const struct control *c, const struct control_up *up,
                        struct control_step *out)
{
    unsigned wanted = voters_wanted(c);

    if (c->shard_count == CONTROL_SHARDS_MAX) return false;
    for (unsigned i = 0; i < c->node_count; i++) {
        const struct control_node *n = &c->nodes[i];
        uint64_t more = n->id;

        if (n->state != CONTROL_SERVING || !is_in(up->nodes, up->count, n->id)) continue;
        if (firsts(c, n->id) >= c->shards_per_node) continue;
        *out = (struct control_step){ .kind = CONTROL_CREATE };
        for (; more != 0 && out->voter_count < wanted;
             more = best_node(c, up, out->voters, out->voter_count))
            out->voters[out->voter_count++] = more;
        return true;
    }
    return false;
}

bool control_plan(const struct control *c, const struct control_up *up, struct control_step *out)
{
    if (!c->is_born) return false;
    return lets_serve(c, up, out) || adds_voter(c, up, out) || makes_shard(c, up, out);
}
