/* look - the state and who is up, counted once for all that a plan weighs. */
#include "node/control/inside.h"

static void look_at_shards(struct look *l, const struct control *c)
{
    for (unsigned i = 0; i < c->shard_count; i++) {
        const struct control_shard *s = &c->shards[i];

        for (unsigned k = 0; k < s->voter_count; k++)
            l->held[look_place(l, s->voters[k])]++;
        if (s->state == CONTROL_OPEN) l->led[look_place(l, s->voters[0])]++;
        l->moving += s->state != CONTROL_CLOSED && control_moves(s);
    }
}

void look_at(struct look *l, const struct control *c, const struct control_up *up)
{
    *l = (struct look){ .control = c, .spread = c->spread };
    for (unsigned i = 0; i < c->node_count; i++) {
        bool serves = c->nodes[i].state == CONTROL_SERVING;

        l->up[i] = list_has(up->nodes, up->count, c->nodes[i].id);
        l->takes[i] = serves && l->up[i];
        l->zone[i] = control_zone_number(c, c->nodes[i].id);
        l->region[i] = control_region_number(c, c->nodes[i].id);
        l->serving += serves;
        l->taking += l->takes[i];
    }
    look_at_shards(l, c);
}

unsigned look_place(const struct look *l, uint64_t id)
{
    for (unsigned i = 0; i < l->control->node_count; i++)
        if (l->control->nodes[i].id == id) return i;
    UNREACHED();
}

bool look_is_up(const struct look *l, uint64_t id)
{
    return l->up[look_place(l, id)];
}

bool look_takes(const struct look *l, uint64_t id)
{
    return l->takes[look_place(l, id)];
}

unsigned look_living(const struct look *l, const uint64_t *list, unsigned count)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        n += look_is_up(l, list[i]);
    return n;
}

static bool are_of_two_regions(const struct look *l, const uint64_t *list, unsigned count,
                               bool living)
{
    uint16_t first = 0;

    for (unsigned i = 0; i < count; i++) {
        uint16_t region = l->region[look_place(l, list[i])];

        if (living && !look_is_up(l, list[i])) continue;
        if (first != 0 && region != first) return true;
        first = region;
    }
    return false;
}

/* Over regions, a commit needs two of them where there are two. */
bool look_has_quorum(const struct look *l, const uint64_t *list, unsigned count)
{
    if (2 * look_living(l, list, count) <= count) return false;
    return l->spread != CONTROL_SPREAD_REGION ||
           !are_of_two_regions(l, list, count, false) || are_of_two_regions(l, list, count, true);
}

unsigned look_voters_wanted(const struct look *l)
{
    return l->serving < l->control->replicas ? l->serving : l->control->replicas;
}

#define REGION_WEIGHT 32u /* more than all pairs of zones */

static unsigned conflict(const struct look *l, unsigned a, unsigned b)
{
    bool has_regions = l->region[a] != 0 && l->region[b] != 0, same = l->region[a] == l->region[b];
    unsigned n = l->zone[a] != 0 && l->zone[a] == l->zone[b];

    if (!has_regions) return n;
    return n + (same == (l->spread == CONTROL_SPREAD_REGION) ? REGION_WEIGHT : 0);
}

unsigned look_conflicts(const struct look *l, const uint64_t *list, unsigned count)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < i; k++)
            n += conflict(l, look_place(l, list[i]), look_place(l, list[k]));
    return n;
}

/* The region that it should be and another zone first, then who holds least, then who joined first. */
uint64_t look_best(const struct look *l, const uint64_t *voters, unsigned count)
{
    const struct control *c = l->control;
    uint64_t with[CONTROL_VOTERS_MAX + 1], best = 0, best_cost = UINT64_MAX;

    if (count > 0) memcpy(with, voters, count * sizeof *voters);
    for (unsigned i = 0; i < c->node_count; i++) {
        uint64_t cost;

        if (!l->takes[i] || list_has(voters, count, c->nodes[i].id)) continue;
        with[count] = c->nodes[i].id;
        cost = (uint64_t)look_conflicts(l, with, count + 1) * CONTROL_SHARDS_MAX * 2 + l->held[i];
        if (cost >= best_cost) continue;
        best = c->nodes[i].id;
        best_cost = cost;
    }
    return best;
}
