/* net - a false network: between each two nodes and each way a link with a delay, which loses, doubles,
 * reorders, is cut or clogged; and packets of long ago that come again. */
#include <stdlib.h>

#include "tests/sim/cluster/world.h"

struct packet *packet_new(unsigned group, const struct core_msg *m, unsigned count)
{
    struct packet *p = check_calloc(1, sizeof *p + count * sizeof p->entries[0]);

    p->refs = 1;
    p->group = group;
    p->msg = *m;
    p->msg.count = p->count = count;
    return p;
}

void packet_unref(struct packet *p)
{
    if (--p->refs > 0) return;
    for (unsigned i = 0; i < p->count; i++)
        entry_unref(p->entries[i]);
    if (p->snapshot) snapshot_unref(p->snapshot);
    free(p);
}

bool net_open(const struct world *w, unsigned from, unsigned to)
{
    return w->links[from][to].cut_until_us <= w->now_us;
}

static bool is_healed(const struct world *w, unsigned from, unsigned to)
{
    return w->calm && w->core_set[from] && w->core_set[to];
}

bool net_beat_passes(struct world *w, unsigned from, unsigned to)
{
    if (!net_open(w, from, to) || w->links[from][to].clogged_until_us > w->now_us) return false;
    return is_healed(w, from, to) || !world_chance(w, w->plan.loss_permille);
}

static uint64_t delay(struct world *w, unsigned from, unsigned to)
{
    struct link_state *l = &w->links[from][to];
    uint64_t d = world_between(w, w->plan.delay_min_us, w->plan.delay_max_us), at;
    bool healed = is_healed(w, from, to);

    d += regions_delay(&w->plan.regions, &w->rng, w->nodes[from].region, w->nodes[to].region);
    if (!healed && l->clogged_until_us > w->now_us) d += l->clogged_until_us - w->now_us;
    if (!healed && world_chance(w, w->plan.reorder_permille)) d += world_below(w, 300 * MS);
    at = w->now_us + d;
    if (w->plan.in_order && at <= l->last_at_us) at = l->last_at_us + 1;
    l->last_at_us = at;
    return at - w->now_us;
}

void net_deliver(struct world *w, struct packet *p, uint64_t delay_us)
{
    bounds_sent(w, p);
    world_at(
        w, delay_us,
        &(struct action){
            .kind = ACT_ARRIVE, .node = (unsigned)p->msg.to - 1, .group = p->group, .thing = p });
}

static void keep_old(struct world *w, struct packet *p)
{
    struct packet **place;

    if (w->plan.fault_every_us[FAULT_REPLAY] == 0 || !world_chance(w, 50)) return;
    if (w->old_count < 64) {
        place = &w->old[w->old_count++];
    } else {
        place = &w->old[world_below(w, 64)];
        packet_unref(*place);
    }
    p->refs++;
    *place = p;
}

void net_send(struct world *w, struct node *from, struct packet *p)
{
    unsigned to = (unsigned)p->msg.to - 1;
    bool healed = is_healed(w, from->at, to);

    CHECK(p->msg.to >= 1 && p->msg.to <= NODES_MAX && to != from->at);
    w->messages++;
    p->generation = from->rest_generation;
    p->from_life = from->life;
    p->to_life = zombie_life(w, from, to);
    p->is_of_zombie = from == &w->zombie;
    keep_old(w, p);
    if ((!net_open(w, from->at, to) && !p->is_of_zombie) ||
        (!healed && world_chance(w, w->plan.loss_permille))) {
        packet_unref(p);
        return;
    }
    if (!healed && !w->plan.in_order && world_chance(w, w->plan.double_permille)) {
        p->refs++;
        net_deliver(w, p, delay(w, from->at, to) + world_below(w, 2 * SECOND));
    }
    net_deliver(w, p, delay(w, from->at, to));
}

void net_replay(struct world *w)
{
    struct packet *p;

    if (w->old_count == 0) return;
    p = w->old[world_below(w, w->old_count)];
    p->refs++;
    TRACE(w, "replay of %s %llu>%llu term %llu", trace_kind(p->msg.kind),
          (unsigned long long)p->msg.from, (unsigned long long)p->msg.to,
          (unsigned long long)p->msg.term);
    net_deliver(w, p, world_below(w, 100 * MS));
}
