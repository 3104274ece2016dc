/* world - one heap of actions in the order of their time; each may add others. Ties go by the order of making. */
#include <stdlib.h>

#include "tests/sim/engine/world.h"

#define EVENTS_MAX 20000000u /* of one run: what has not ended by then runs in circles */

uint64_t world_below(struct world *w, uint64_t n)
{
    return rng_below(&w->rng, n);
}

uint64_t world_between(struct world *w, uint64_t min, uint64_t max)
{
    return max <= min ? min : min + rng_below(&w->rng, max - min + 1);
}

bool world_chance(struct world *w, unsigned permille)
{
    return permille > 0 && rng_below(&w->rng, 1000) < permille;
}

void world_at(struct world *w, uint64_t delay_us, const struct action *a)
{
    struct action x = *a;

    x.at_us = delay_us >= FOREVER - w->now_us ? FOREVER : w->now_us + delay_us;
    x.order = ++w->order;
    if (x.at_us == FOREVER) {
        if (x.thing) mail_ask_free(x.thing);
        return;
    }
    agenda_add(&w->agenda, &x);
}

/* ---- doing them */

static void do_fault(struct world *w, const struct action *a)
{
    if (w->calm) return;
    faults_do(w, (enum fault)a->a);
    world_at(w, world_between(w, 0, 2 * w->plan.fault_every_us[a->a]) + 1, a);
}

/* Actions of the world: no node needs to run. */
static bool do_outer(struct world *w, const struct action *a)
{
    struct node *n = &w->nodes[a->node];

    switch (a->kind) {
    case ACT_CLIENT:
        mail_client(w, a->group);
        return true;
    case ACT_FAULT:
        do_fault(w, a);
        return true;
    case ACT_CALM:
        if (w->calm)
            calm_look(w);
        else
            calm_begin(w);
        return true;
    case ACT_RESCUE:
        rescue_look(w);
        return true;
    case ACT_START:
        if (!n->banished && (!w->calm || w->core_set[a->node])) node_start(w, n);
        return true;
    case ACT_DIAL:
        net_dial(w, a->node, (unsigned)a->b, (enum wire_lane)a->a);
        return true;
    case ACT_ABOVE:
        if (a->life != 0) return false;
        world_above->act(w, n, a);
        return true;
    case ACT_SILENCE:
        net_silence(w, a->node, (unsigned)a->b);
        return true;
    default:
        return false;
    }
}

static void again(struct world *w, struct node *n, const struct action *a, uint64_t delay_us)
{
    if (n->up && n->incarnation == a->life) world_at(w, delay_us, a);
}

static void do_inner(struct world *w, struct node *n, const struct action *a)
{
    switch (a->kind) {
    case ACT_TURN:
        if (n->loops[a->a].timer == a->b) node_turn(w, n, (unsigned)a->a);
        return;
    case ACT_FRAME:
        net_frame(w, (unsigned)a->b, n->at, (enum wire_lane)a->a);
        return;
    case ACT_DOWN:
        net_down(w, n->at, (unsigned)a->b, (enum wire_lane)a->a);
        return;
    case ACT_ROOM:
        net_room(w, n->at, (unsigned)a->b, (enum wire_lane)a->a);
        return;
    case ACT_OPEN:
        node_open_all(w, n);
        return;
    case ACT_SYNCED:
        node_synced(w, n);
        return;
    case ACT_FLUSH:
        machine_flush(w, n);
        again(w, n, a, w->plan.flush_every_us);
        return;
    case ACT_INSTALLED:
        machine_installed(w, &n->hosts[a->group]);
        return;
    case ACT_STAGED:
        machine_staged(&n->hosts[a->group], a->a);
        return;
    case ACT_WORK:
        mail_work(w, &n->hosts[a->group]);
        return;
    case ACT_REMOTE:
        mail_remote(w, &n->hosts[a->group], a->thing);
        return;
    case ACT_ABOVE:
        world_above->act(w, n, a);
        return;
    default:
        UNREACHED();
    }
}

/* Frames and what is told of lanes belong to whoever runs, and wait for nobody who is gone. */
static void drop(struct world *w, const struct action *a)
{
    if (a->thing) mail_ask_free(a->thing);
    if (a->kind == ACT_FRAME) w->paths[a->b][a->node].lanes[a->a].armed = false;
}

/* Who died at a step of its own, or of another one's that called it: a client's, an operator's, a lane's. */
static void settle_all(struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++)
        node_settle(w, &w->nodes[i]);
}

static void do_action(struct world *w, struct action *a)
{
    struct node *n = &w->nodes[a->node];

    w->now_us = a->at_us;
    w->events++;
    EXPECT(w, w->events < EVENTS_MAX, "it does not end");
    trace_mix(w, a->kind, a->node, a->group);
    if (do_outer(w, a)) {
        settle_all(w);
        return;
    }
    if (!n->up || n->dying || (a->life && a->life != n->incarnation)) {
        drop(w, a);
    } else if (n->paused_until_us == FOREVER) {
        drop(w, a);
    } else if (n->paused_until_us > w->now_us) {
        a->at_us = n->paused_until_us;
        agenda_add(&w->agenda, a);
    } else {
        do_inner(w, n, a);
        settle_all(w);
    }
}

/* ---- a run */

static void begin(struct world *w, uint64_t seed, bool loud)
{
    *w = (struct world){ .seed = seed, .loud = loud, .now_us = SECOND };
    rng_seed(&w->rng, seed);
    rng_seed(&w->later, ~seed);
    arena_init(&w->arena, 1u << 20);
    buf_init(&w->head, PROTO_COMMAND_SIZE_MAX);
    draw_plan(w);
    if (world_above) world_above->draw(w);
    w->format = w->plan.format_min;
    for (unsigned i = 0; i < w->plan.nodes + w->plan.spares; i++)
        node_new(w);
    if (world_above)
        world_above->begin(w);
    else
        draw_groups(w);
    for (unsigned g = 0; g < w->plan.groups; g++)
        w->check.canon[g].config = w->first_config[g];
    if (loud) draw_print(w);
    for (unsigned i = 0; i < w->node_count; i++)
        world_at(w, world_below(w, 500 * MS), &(struct action){ .kind = ACT_START, .node = i });
    for (unsigned g = 0; !world_above && g < w->plan.groups; g++)
        world_at(w, SECOND, &(struct action){ .kind = ACT_CLIENT, .group = g });
    world_at(w, w->plan.length_us, &(struct action){ .kind = ACT_CALM });
    faults_begin(w);
}

void world_run(struct world *w, uint64_t seed, bool loud)
{
    begin(w, seed, loud);
    while (!w->over) {
        struct action a = agenda_take(&w->agenda);

        do_action(w, &a);
    }
    check_end(w);
}

void world_end(struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        if (w->nodes[i].up) node_crash(w, &w->nodes[i]);
        node_free(&w->nodes[i]);
    }
    while (w->agenda.count > 0) {
        struct action a = agenda_take(&w->agenda);

        if (a.thing) mail_ask_free(a.thing);
    }
    if (world_above) world_above->end(w);
    net_free(w);
    free(w->agenda.list);
    check_free(w);
    arena_deinit(&w->arena);
    buf_deinit(&w->head);
}
