/* lane - the work for one destination of one shard: its own cursor in the due index, its own waits,
 * so that no destination stands before another.
 *
 *     STILL -> READY -> (turn) -> STILL | PLANNING | AT_SITE | AT_DOOR | ASLEEP -> READY -> ...
 *
 * lane_move() alone writes the state. In its turn a lane begins deliveries until nothing is due, or
 * it has to wait for something. When nothing is due and nothing of it runs, it is freed. While its
 * site is paused it sleeps, but what expires still ends, a slice per wake.
 */
#include "node/deliver/inside.h"

#include <stdlib.h>

static void on_fire(struct loop_timer *t);

static void lane_move(struct lane *l, enum lane_state to)
{
    if (l->state == LANE_PLANNING) plan_cancel(l);
    list_remove(&l->link);
    loop_timer_stop(&l->timer);
    l->state = to;
    if (to == LANE_READY) {
        list_add(&l->d->lanes_ready, &l->link);
        loop_again(l->d->loop);
    }
    if (to == LANE_AT_DOOR) list_add(&l->d->lanes_waiting, &l->link);
}

struct span lane_domain(const struct lane *l)
{
    return span_of(l->key + 4, l->key_size - 4);
}

static struct lane *lane_new(struct deliver *d, const char *key, unsigned key_size, uint32_t shard)
{
    struct lane *l = check_calloc(1, sizeof *l);

    l->d = d;
    l->shard = shard;
    l->key_size = key_size;
    memcpy(l->key, key, key_size);
    list_init(&l->link);
    list_init(&l->deliveries);
    loop_timer_init(&l->timer, d->loop, on_fire);
    HASH_ADD_KEYPTR(hh, d->lanes, l->key, l->key_size, l);
    d->lane_count++;
    metric_add(M_LANES, 1);
    return l;
}

struct lane *lane_want(struct deliver *d, uint32_t shard, struct span domain)
{
    char key[4 + 256];
    unsigned key_size = (unsigned)(4 + (domain.n < 255 ? domain.n : 255));
    struct lane *l;

    memcpy(key, &shard, 4);
    if (domain.n > 0) memcpy(key + 4, domain.p, key_size - 4);
    HASH_FIND(hh, d->lanes, key, key_size, l);
    if (!l) {
        if (d->lane_count >= d->o.lanes_max) return NULL;
        l = lane_new(d, key, key_size, shard);
    }
    lane_mark(l);
    return l;
}

/* Out of sight: the place in the table is free, deliveries that run keep the memory. */
static void lane_leave(struct lane *l)
{
    struct deliver *d = l->d;

    lane_move(l, LANE_STILL);
    plan_unref(&l->plan);
    HASH_DEL(d->lanes, l);
    d->lane_count--;
    metric_sub(M_LANES, 1);
    pump_lane_freed(d);
}

/* An idle connection that this lane was woken for and does not need goes to the next one that
 * waits. */
static void pass_on(struct lane *l)
{
    struct site *s = l->plan ? site_find(l->d, l->plan->p.site) : NULL;

    if (s) site_offer(s);
}

static void lane_free(struct lane *l)
{
    pass_on(l);
    lane_leave(l);
    free(l);
}

void lane_mark(struct lane *l)
{
    if (l->state == LANE_STILL && !l->is_dead && !l->d->draining) lane_move(l, LANE_READY);
}

void lane_wake(struct lane *l)
{
    if (l->state == LANE_AT_SITE || l->state == LANE_AT_DOOR) lane_move(l, LANE_READY);
}

/* What is under way (a question, deliveries) goes on; the plan is made anew at the next turn. */
void lane_replan(struct lane *l)
{
    if (l->state != LANE_AT_SITE && l->state != LANE_AT_DOOR && l->state != LANE_ASLEEP) return;
    l->paused_until_ms = 0;
    lane_move(l, LANE_STILL);
    lane_mark(l);
}

void lane_planned(struct lane *l)
{
    l->state = LANE_STILL; /* the question is answered: nothing to cancel */
    lane_mark(l);
}

void lane_sleep(struct lane *l, uint64_t ms)
{
    if (l->is_dead) return;
    lane_move(l, LANE_ASLEEP);
    loop_timer_start(&l->timer, ms);
}

void lane_delivery_over(struct lane *l)
{
    if (!l->is_dead) {
        lane_mark(l);
    } else if (list_empty(&l->deliveries)) {
        list_remove(&l->link);
        free(l);
    }
}

/* ---- a site that is paused */

static void pause_turn(struct lane *l)
{
    uint64_t left_ms = l->paused_until_ms - deliver_mono_ms(l->d);
    uint64_t look_ms = due_expire(l);

    lane_sleep(l, left_ms < look_ms ? left_ms : look_ms);
}

static void lane_pause(struct lane *l, uint64_t until_ms)
{
    uint64_t now_ms = deliver_mono_ms(l->d);

    l->paused_until_ms = until_ms > now_ms ? until_ms : now_ms + 1;
    plan_unref(&l->plan);
    pause_turn(l);
}

static void on_fire(struct loop_timer *t)
{
    struct lane *l = CONTAINER_OF(t, struct lane, timer);

    if (l->paused_until_ms > deliver_mono_ms(l->d)) {
        pause_turn(l);
        return;
    }
    l->paused_until_ms = 0;
    lane_move(l, LANE_STILL);
    lane_mark(l);
}

/* ---- the turn */

static bool wait_at_site(struct lane *l)
{
    struct site *s = site_find(l->d, l->plan->p.site);

    if (!s || s->conns == 0) {
        lane_sleep(l, DELIVER_AGAIN_MS); /* nobody there would wake us */
        return false;
    }
    lane_move(l, LANE_AT_SITE);
    site_wait(s, l);
    return false;
}

/* These three return false when the lane waits or sleeps now. */

static bool lane_send(struct lane *l)
{
    struct deliver *d = l->d;
    uint64_t until_ms = 0;
    struct conn *c = NULL;
    struct delivery *y;

    switch (site_ask(d, l->plan, &c, &until_ms)) {
    case SITE_REUSE:
        y = due_take(l, d->transaction_max);
        if (y)
            conn_begin(c, y);
        else
            conn_rest(c);
        return true;
    case SITE_CONNECT:
        y = due_take(l, d->transaction_max);
        if (y)
            conn_new(d, l->plan, y);
        else
            site_give_back(d, l->plan->p.site, ROUTER_CONN_UNUSED);
        return true;
    case SITE_BUSY:
        return wait_at_site(l);
    case SITE_PAUSED:
        lane_pause(l, until_ms);
        return false;
    case SITE_NO_ROOM:
        break;
    }
    lane_move(l, LANE_AT_DOOR);
    return false;
}

static bool lane_keep(struct lane *l)
{
    struct delivery *y;

    if (l->d->inbox_count >= DELIVER_INBOX_MAX) {
        lane_move(l, LANE_AT_DOOR);
        return false;
    }
    y = due_take(l, 1);
    if (y) inbox_start(y);
    return true;
}

/* The plan itself says what becomes of the mail: no such domain, no mail wanted there, DNS is
 * silent. */
static bool lane_decide(struct lane *l)
{
    const struct router_plan *p = &l->plan->p;
    bool is_bounce = p->kind == ROUTER_BOUNCE;
    struct delivery *y = due_take(l, l->d->transaction_max);
    struct verdict *v;

    if (!y) return true;
    v = delivery_words(
        y, is_bounce ? ANGARIUM__RESULT__RESULT_BOUNCED : ANGARIUM__RESULT__RESULT_DEFERRED,
        p->class[0] ? p->class : "dns", "%s", p->why);
    memcpy(v->enhanced, p->enhanced, sizeof v->enhanced);
    v->counts = !is_bounce;
    delivery_judge(y, v);
    delivery_over(y);
    return true;
}

static bool plan_is_fresh(const struct lane *l)
{
    return l->plan && !plan_is_past(l->d, l->plan) &&
           l->plan->made_at_ms + DELIVER_PLAN_FRESH_MS > deliver_mono_ms(l->d);
}

/* False: the lane waits or sleeps. */
static bool lane_plan(struct lane *l)
{
    int rv;

    if (plan_is_fresh(l)) return true;
    pass_on(l);
    rv = plan_make(l);
    if (rv == 0) return true;
    if (rv == ERR_AGAIN)
        lane_move(l, LANE_PLANNING);
    else
        lane_sleep(l, DELIVER_AGAIN_MS);
    return false;
}

static bool lane_step(struct lane *l)
{
    if (!deliver_has_room(l->d)) {
        lane_move(l, LANE_AT_DOOR);
        return false;
    }
    if (!lane_plan(l)) return false;
    switch (l->plan->p.kind) {
    case ROUTER_HOSTS:
        return lane_send(l);
    case ROUTER_INBOX:
        return lane_keep(l);
    default:
        return lane_decide(l);
    }
}

/* Nothing to begin. Expiries that are on their way are looked for again: they may get lost (D4). */
static void lane_rest(struct lane *l)
{
    bool is_over = list_empty(&l->deliveries);

    lane_move(l, LANE_STILL);
    if (is_over && !l->saw_air) {
        lane_free(l);
        return;
    }
    pass_on(l);
    if (is_over) loop_timer_start(&l->timer, DELIVER_AGAIN_MS);
}

void lane_turn(struct lane *l)
{
    lane_move(l, LANE_STILL);
    for (unsigned i = 0; i < DELIVER_LANE_STARTS; i++) {
        if (!due_peek(l, true)) {
            lane_rest(l);
            return;
        }
        if (!lane_step(l) || l->state == LANE_ASLEEP) return;
    }
    lane_mark(l);
}

/* ---- the shard goes */

static void lane_die(struct lane *l)
{
    LIST_FOR_SAFE(it, &l->deliveries)
        delivery_orphan(CONTAINER_OF(it, struct delivery, lane_link));
    lane_leave(l);
    l->is_dead = true;
    list_add(&l->d->lanes_dead, &l->link);
    lane_delivery_over(l);
}

void lane_drop_shard(struct deliver *d, uint32_t shard)
{
    struct lane *l, *next;

    HASH_ITER(hh, d->lanes, l, next)
    if (shard == 0 || l->shard == shard) lane_die(l);
}
