/* world - one heap of actions in the order of their time; each may add others. Ties are broken by the seed. */
#include <stdlib.h>

#include "tests/sim/cluster/world.h"

#define EVENTS_MAX 30000000u /* of one run: what has not ended by then runs in circles */

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

    x.at_us = w->now_us + delay_us;
    x.order = world_below(w, 4) << 60 | ++w->order;
    agenda_add(&w->agenda, &x);
}

/* ---- doing them */

static void drop(struct world *w, struct action *a)
{
    if (!a->thing) return;
    if (a->kind == ACT_ARRIVE) bounds_arrived(w, a->thing);
    if (a->kind == ACT_REMOTE)
        mail_proposal_free(a->thing);
    else
        packet_unref(a->thing);
}

static void do_faults(struct world *w, const struct action *a)
{
    if (w->calm) return;
    faults_do(w, (enum fault)a->a);
    world_at(w, world_between(w, 0, 2 * w->plan.fault_every_us[a->a]) + 1, a);
}

/* Actions of the world: no node needs to run. */
static bool do_outer(struct world *w, const struct action *a)
{
    switch (a->kind) {
    case ACT_CLIENT:
        mail_client(w, a->group);
        return true;
    case ACT_FAULT:
        do_faults(w, a);
        return true;
    case ACT_CALM:
        if (w->calm)
            calm_look(w);
        else
            calm_begin(w);
        return true;
    case ACT_START:
        if (!w->calm || w->core_set[a->node]) boot_start(w, &w->nodes[a->node]);
        return true;
    case ACT_ZOMBIE_END:
        zombie_end(w);
        return true;
    case ACT_DIE:
        if (w->nodes[a->node].up && w->nodes[a->node].life == a->life) {
            boot_crash(w, &w->nodes[a->node]);
            world_at(w, world_between(w, MS, 3 * SECOND),
                     &(struct action){ .kind = ACT_START, .node = a->node });
        }
        return true;
    default:
        return false;
    }
}

static void do_timer(struct world *w, struct node *n, const struct action *a)
{
    if (n->hosts[a->group].open && n->hosts[a->group].timer == a->a)
        node_step(w, n, a->group, &(struct core_event){ .kind = CORE_TIME }, NULL, NULL);
}

static void again(struct world *w, struct node *n, const struct action *a, uint64_t delay_us)
{
    if (n->up && n->life == a->life) world_at(w, delay_us, a);
}

static void do_inner(struct world *w, struct node *n, struct action *a)
{
    switch (a->kind) {
    case ACT_TIMER:
        do_timer(w, n, a);
        return;
    case ACT_ARRIVE:
        bounds_arrived(w, a->thing);
        node_arrive(w, n, a->thing);
        packet_unref(a->thing);
        return;
    case ACT_SYNCED:
        disk_synced(w, n);
        return;
    case ACT_BEAT:
        node_beat(w, n);
        again(w, n, a, 100 * MS);
        return;
    case ACT_APPLY:
        machine_apply(w, n, a->group);
        return;
    case ACT_FLUSH:
        machine_flush(w, n);
        again(w, n, a, w->plan.flush_every_us);
        return;
    case ACT_INSTALL:
        machine_install(w, n, a->group, n->hosts[a->group].staged);
        return;
    case ACT_SNAPSHOT:
        node_snapshot_sent(w, n, a->thing);
        return;
    case ACT_CLOSED:
        if (n->peers[a->a].up && n->peers[a->a].life == a->b)
            node_peer_told(w, n, (unsigned)a->a, false, false);
        return;
    case ACT_WORK:
        mail_work(w, n, a->group);
        return;
    case ACT_REMOTE:
        mail_remote(w, n, a->group, a->thing);
        return;
    default:
        UNREACHED();
    }
}

static void do_action(struct world *w, struct action *a)
{
    struct node *n = zombie_or(w, a);

    w->now_us = a->at_us;
    w->events++;
    EXPECT(w, w->events < EVENTS_MAX, "it does not end");
    trace_mix(w, a->kind, a->node, a->group);
    if (do_outer(w, a)) return;
    if (!n->up || n->dying || (a->life && a->life != n->life)) {
        drop(w, a);
    } else if (n->paused_until_us > w->now_us) {
        a->at_us = n->paused_until_us;
        agenda_add(&w->agenda, a);
    } else {
        do_inner(w, n, a);
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
    for (unsigned i = 0; i < w->plan.nodes + w->plan.spares; i++)
        boot_new_node(w);
    draw_groups(w);
    for (unsigned g = 0; g < w->plan.groups; g++)
        w->check.canon[g].config = w->first_config[g];
    if (loud) draw_print(w);
    for (unsigned i = 0; i < w->node_count; i++)
        world_at(w, world_below(w, 500 * MS), &(struct action){ .kind = ACT_START, .node = i });
    for (unsigned g = 0; g < w->plan.groups; g++)
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
    zombie_end(w);
    for (unsigned i = 0; i < w->node_count; i++) {
        if (w->nodes[i].up) boot_crash(w, &w->nodes[i]);
        disk_wipe(&w->nodes[i].disk);
    }
    while (w->agenda.count > 0) {
        struct action a = agenda_take(&w->agenda);

        drop(w, &a);
    }
    for (unsigned i = 0; i < w->old_count; i++)
        packet_unref(w->old[i]);
    free(w->agenda.list);
    check_free(w);
    arena_deinit(&w->arena);
    buf_deinit(&w->head);
}
