/* loop - node/net/loop.h on a node of the simulated world: time is the node's, a turn is the engine's, works end later. */
#include "tests/sim/control/town.h"

#define WORK_MAX_US (30 * MS)

static struct stand *stand_of(const struct loop *l)
{
    return l->node->stand;
}

void loop_begin(struct stand *s)
{
    mpsc_init(&s->letters);
    list_init(&s->works);
    s->timer_count = 0;
}

unsigned loop_number(const struct loop *l)
{
    return l->number;
}

uint64_t loop_mono_ms(const struct loop *l)
{
    return node_mono_ms(l->node->world, l->node);
}

uint64_t loop_wall_ms(const struct loop *l)
{
    return node_wall_ms(l->node->world, l->node);
}

void loop_again(struct loop *l)
{
    node_wake(l->node, l->number);
}

void loop_wake(struct loop *l)
{
    loop_again(l);
}

/* ---- letters */

void loop_post(struct loop *l, struct loop_letter *letter)
{
    mpsc_put(&stand_of(l)->letters, &letter->node);
    loop_again(l);
}

void loop_letters(struct stand *s)
{
    struct mpsc_node *at = mpsc_take_all(&s->letters);

    while (at) {
        struct loop_letter *letter = CONTAINER_OF(at, struct loop_letter, node);

        at = at->next;
        letter->on_arrive(letter);
    }
}

/* ---- timers */

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*on_fire)(struct loop_timer *t))
{
    *t = (struct loop_timer){ .loop = l, .due_ms = UINT64_MAX, .on_fire = on_fire };
}

void loop_timer_start(struct loop_timer *t, uint64_t in_ms)
{
    struct stand *s = stand_of(t->loop);

    if (!loop_timer_is_running(t)) {
        CHECK(s->timer_count < TIMERS_MAX);
        s->timers[s->timer_count++] = t;
    }
    t->due_ms = loop_mono_ms(t->loop) + in_ms;
    loop_again(t->loop);
}

void loop_timer_stop(struct loop_timer *t)
{
    struct stand *s;

    if (!loop_timer_is_running(t)) return;
    s = stand_of(t->loop);
    t->due_ms = UINT64_MAX;
    for (unsigned i = 0; i < s->timer_count; i++)
        if (s->timers[i] == t) s->timers[i--] = s->timers[--s->timer_count];
}

static struct loop_timer *first(const struct stand *s)
{
    struct loop_timer *best = NULL;

    for (unsigned i = 0; i < s->timer_count; i++)
        if (!best || s->timers[i]->due_ms < best->due_ms) best = s->timers[i];
    return best;
}

uint64_t loop_next(const struct stand *s)
{
    const struct loop_timer *t = first(s);

    return t ? t->due_ms : UINT64_MAX;
}

/* Those that are due when the turn begins: one that is started again at once is the next turn's. */
void loop_timers(struct world *w, struct stand *s)
{
    uint64_t now_ms = node_mono_ms(w, s->node);

    for (unsigned left = s->timer_count; left > 0; left--) {
        struct loop_timer *t = first(s);

        if (!t || t->due_ms > now_ms) return;
        loop_timer_stop(t);
        t->on_fire(t);
    }
}

/* ---- works: the first one ends first */

int loop_work(struct loop *l, enum loop_pool pool, struct loop_work *work)
{
    struct world *w = l->node->world;

    (void)pool;
    list_init(&work->link);
    list_add(&stand_of(l)->works, &work->link);
    world_at(w, world_below(w, WORK_MAX_US),
             &(struct action){ .kind = ACT_ABOVE,
                               .node = l->node->at,
                               .life = l->node->incarnation,
                               .a = DO_WORK });
    return 0;
}

void loop_worked(struct stand *s)
{
    struct loop_work *work = CONTAINER_OF(list_first(&s->works), struct loop_work, link);

    list_remove(&work->link);
    work->run(work);
    if (!node_point(s->node)) work->on_done(work);
}
