/* pump - a shard's due index by time, read once: each due item marks its destination's lane ready.
 *
 * The cursor runs up to now, a slice a turn. It stops before an item whose destination gets no lane
 * (lanes_max) and goes on when a lane is freed, so every due item before it belongs to a lane (D4).
 * The lane keeps itself alive until nothing of it is due. What becomes due later is found by a
 * timer; what the queue tells of (QUEUE_DUE) marks its lane at once, or moves the timer or the
 * cursor back.
 */
#include "node/deliver/inside.h"

#define BATCH   64
#define LOOK_MS 60000 /* the wall clock may be set: look again after so long */

static void on_fire(struct loop_timer *t)
{
    pump_mark(CONTAINER_OF(t, struct pump, timer));
}

void pump_init(struct pump *p, struct deliver *d, uint32_t shard)
{
    *p = (struct pump){ .d = d, .shard = shard };
    list_init(&p->link);
    loop_timer_init(&p->timer, d->loop, on_fire);
}

void pump_mark(struct pump *p)
{
    if (p->leads && !p->d->draining && list_empty(&p->link)) list_add(&p->d->pumps_ready, &p->link);
}

static void set_full(struct pump *p, bool is_full)
{
    if (is_full == p->is_full) return;
    p->is_full = is_full;
    p->d->pumps_full += is_full ? 1u : -1u;
}

void pump_start(struct pump *p)
{
    p->leads = true;
    p->place = (struct queue_place){ 0 };
    pump_mark(p);
    loop_again(p->d->loop);
}

void pump_stop(struct pump *p)
{
    p->leads = false;
    set_full(p, false);
    list_remove(&p->link);
    loop_timer_stop(&p->timer);
}

static void wait_until(struct pump *p, uint64_t due_at_ms)
{
    uint64_t now_ms = deliver_wall_ms(p->d);
    uint64_t in_ms = due_at_ms > now_ms ? due_at_ms - now_ms : 0;

    if (in_ms > LOOK_MS) in_ms = LOOK_MS;
    if (loop_timer_is_running(&p->timer) && p->timer.due_ms <= deliver_mono_ms(p->d) + in_ms)
        return;
    loop_timer_start(&p->timer, in_ms);
}

static void no_lane(struct pump *p)
{
    set_full(p, true);
    metric_add(M_LANES_FULL, 1);
}

void pump_due(struct pump *p, struct span domain, uint64_t due_at_ms)
{
    if (!p->leads || p->d->draining) return;
    if (due_at_ms > deliver_wall_ms(p->d)) {
        wait_until(p, due_at_ms);
    } else if (!lane_want(p->d, p->shard, domain)) {
        if (!p->place.started || due_at_ms <= p->place.due_at_ms)
            p->place = (struct queue_place){ .due_at_ms = due_at_ms, .started = due_at_ms > 0 };
        no_lane(p);
    }
}

/* The first item behind the cursor says when to look again. (The shard's earliest due time would
 * not do: it may be long over, of a destination that is slow.) */
static void wait_for_next(struct pump *p)
{
    struct queue_place look = p->place;
    struct queue_due next;

    loop_timer_stop(&p->timer);
    if (queue_due_by_time(p->d->store, p->shard, &look, UINT64_MAX, &next, 1) == 1)
        wait_until(p, next.due_at_ms);
}

/* False: a destination got no lane. */
static bool mark_lanes(struct pump *p, const struct queue_due *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!lane_want(p->d, p->shard, span_cstr(items[i].domain))) {
            no_lane(p);
            return false;
        }
        p->place = (struct queue_place){ .due_at_ms = items[i].due_at_ms,
                                         .index = items[i].index,
                                         .recipient = items[i].recipient,
                                         .started = true };
    }
    return true;
}

void pump_turn(struct pump *p)
{
    struct queue_due items[BATCH];
    uint64_t now_ms = deliver_wall_ms(p->d);

    set_full(p, false);
    for (unsigned done = 0; done < DELIVER_PUMP_SLICE; done += BATCH) {
        struct queue_place place = p->place;
        size_t n = queue_due_by_time(p->d->store, p->shard, &place, now_ms, items, BATCH);

        if (!mark_lanes(p, items, n)) return;
        if (n < BATCH) {
            wait_for_next(p);
            return;
        }
    }
    pump_mark(p);
}

void pump_lane_freed(struct deliver *d)
{
    if (d->pumps_full == 0) return;
    for (unsigned i = 0; i < d->pump_count; i++)
        if (d->pumps[i].is_full) pump_mark(&d->pumps[i]);
}
