/* deliver - the room as a whole: options, life, what commit tells, and the work of each turn.
 *
 * What commit tells (a destination has work, a shard is led or led no more) only marks; the work is
 * done once a turn by the hook: lanes that wait at the door, pumps, then lanes, each a bounded
 * slice.
 */
#include "node/deliver/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define DOOR_WAKES 16 /* lanes that may look at a turn whether there is room now */

void deliver_options_default(struct deliver_options *o)
{
    *o = (struct deliver_options){
        .connections_max = 200,
        .lanes_max = 16384,
        .recipients_per_transaction_max = 100,
        .transactions_per_connection_max = 100,
        .idle_ms = 3000,
        .delay_dsn_ms = 4 * 3600 * 1000,
        .connect_timeout_ms = 30000,
        .greeting_timeout_ms = 300000, /* RFC 5321 4.5.3.2 from here on */
        .command_timeout_ms = 300000,
        .data_timeout_ms = 180000,
        .dot_timeout_ms = 600000,
    };
    router_options_default(&o->router);
}

bool deliver_has_room(const struct deliver *d)
{
    return d->air_count < DELIVER_AIR_MAX;
}

/* ---- what commit tells */

static struct pump *pump_of(struct deliver *d, uint32_t shard)
{
    if (shard == 0 || shard > d->pump_count) return NULL;
    return commit_shard_loop(d->commit, shard) == d->loop ? &d->pumps[shard - 1] : NULL;
}

static struct air_key key_of(uint32_t shard, uint64_t index, uint32_t recipient)
{
    return (struct air_key){ .index = index, .shard = shard, .recipient = recipient };
}

static void on_effect(struct deliver *d, struct pump *p, const struct queue_effect *e)
{
    switch (e->kind) {
    case QUEUE_DUE:
        pump_due(p, e->domain, e->due_at_ms);
        break;
    case QUEUE_EVENT:
        air_applied(d, key_of(p->shard, e->event->index, e->event->recipient_number));
        break;
    case QUEUE_REFUSED:
        air_applied(d, key_of(p->shard, e->index, e->recipient));
        break;
    default:
        break;
    }
}

static void on_effects(void *arg, uint32_t shard, uint64_t entry,
                       const struct queue_effects *effects)
{
    struct deliver *d = arg;
    struct pump *p = pump_of(d, shard);

    (void)entry;
    if (!p || !p->leads) return;
    for (size_t i = 0; i < effects->count; i++)
        on_effect(d, p, &effects->list[i]);
}

static void on_lead(void *arg, uint32_t shard, bool leads)
{
    struct deliver *d = arg;
    struct pump *p = pump_of(d, shard);

    if (!p) return;
    if (leads) {
        pump_start(p);
        return;
    }
    pump_stop(p);
    lane_drop_shard(d, shard);
    air_drop_shard(d, shard);
}

/* ---- the turn */

static bool is_open(const struct deliver *d)
{
    if (!deliver_has_room(d)) return false;
    return d->conn_count < d->o.connections_max || !list_empty(&d->conns_idle) ||
           d->inbox_count < DELIVER_INBOX_MAX;
}

static void open_door(struct deliver *d)
{
    for (unsigned i = 0; i < DOOR_WAKES && is_open(d); i++) {
        struct list *first = list_first(&d->lanes_waiting);

        if (!first) return;
        lane_wake(CONTAINER_OF(first, struct lane, link));
    }
}

static void run_pumps(struct deliver *d)
{
    for (unsigned i = 0; i < d->pump_count; i++) {
        struct list *first = list_take_first(&d->pumps_ready);

        if (!first) return;
        pump_turn(CONTAINER_OF(first, struct pump, link));
    }
}

static void run_lanes(struct deliver *d)
{
    for (unsigned i = 0; i < DELIVER_LANE_TURNS; i++) {
        struct list *first = list_first(&d->lanes_ready);

        if (!first) return;
        lane_turn(CONTAINER_OF(first, struct lane, link));
    }
}

static bool has_ready(const struct deliver *d)
{
    return !list_empty(&d->pumps_ready) || !list_empty(&d->lanes_ready);
}

static uint64_t on_turn(struct loop_hook *hook, uint64_t mono_ms)
{
    struct deliver *d = CONTAINER_OF(hook, struct deliver, hook);
    uint64_t next_ms;

    conn_free_gone(d);
    next_ms = air_sweep(d, mono_ms);
    if (!d->draining) {
        open_door(d);
        run_pumps(d);
        run_lanes(d);
    }
    if (d->has_proposed || (!d->draining && has_ready(d))) loop_again(d->loop);
    d->has_proposed = false;
    return next_ms;
}

/* ---- life */

static void init_lists(struct deliver *d)
{
    list_init(&d->pumps_ready);
    list_init(&d->lanes_ready);
    list_init(&d->lanes_waiting);
    list_init(&d->lanes_dead);
    list_init(&d->conns);
    list_init(&d->conns_idle);
    list_init(&d->conns_gone);
    list_init(&d->awaited);
    list_init(&d->deliveries);
    list_init(&d->spare);
    list_init(&d->hook.link);
}

static void copy_numbers(struct deliver *d, const struct deliver_options *o)
{
    d->transaction_max = o->recipients_per_transaction_max;
    if (d->transaction_max > DELIVER_TRANSACTION_MAX) d->transaction_max = DELIVER_TRANSACTION_MAX;
    free(d->own);
    d->own = check_calloc(o->own_count, sizeof *d->own);
    for (unsigned i = 0; i < o->own_count; i++)
        d->own[i] = o->own[i];
    d->o.own = d->own;
    d->o.own_count = o->own_count;
}

static void copy_options(struct deliver *d, const struct deliver_options *o)
{
    d->o = *o;
    d->loop = o->loop;
    d->commit = o->commit;
    d->store = commit_store(o->commit);
    d->tls = o->tls ? tls_ref(o->tls) : NULL;
    d->routes = o->routes ? deliver_routes_ref(o->routes) : deliver_routes_new(NULL, 0, NULL, 0);
    d->o.routes = NULL; /* d->routes */
    d->hostname = check_strdup(o->hostname);
    d->inbox_dir = o->inbox_dir ? check_strdup(o->inbox_dir) : NULL;
    copy_numbers(d, o);
    d->o.hostname = d->hostname; /* the caller's may go */
    d->o.inbox_dir = d->inbox_dir;
    d->o.router.rules = NULL;
}

int deliver_options_check(const struct deliver_options *o, struct errmsg *why)
{
    if (o->own_count > DELIVER_OWN_MAX)
        return errmsg_set(why, ERR_CONFIG, "this host has more than %u addresses", DELIVER_OWN_MAX);
    if (strlen(o->hostname) > 255) return errmsg_set(why, ERR_CONFIG, "the host name is too long");
    if (o->connections_max == 0 || o->lanes_max == 0 || o->recipients_per_transaction_max == 0 ||
        o->transactions_per_connection_max == 0)
        return errmsg_set(why, ERR_CONFIG, "a limit of deliver is 0: nothing could be delivered");
    return 0;
}

static int make_inbox(const struct deliver_options *o, struct errmsg *why)
{
    if (o->inbox_dir && mkdir(o->inbox_dir, 0700) != 0 && errno != EEXIST)
        return errmsg_set(why, ERR_IO, "cannot make the inbox %s: %s", o->inbox_dir,
                          strerror(errno));
    return 0;
}

int deliver_new(struct deliver **out, const struct deliver_options *o, struct errmsg *why)
{
    int rv = deliver_options_check(o, why);
    struct deliver *d;

    *out = NULL;
    if (rv == 0) rv = make_inbox(o, why);
    if (rv != 0) return rv;
    d = check_calloc(1, sizeof *d);
    init_lists(d);
    d->router = router_new(&o->router);
    copy_options(d, o);
    buf_init(&d->scratch, DELIVER_OUT_MAX);
    d->pump_count = commit_shard_max(o->commit);
    d->pumps = check_calloc(d->pump_count + 1, sizeof *d->pumps);
    for (unsigned i = 0; i < d->pump_count; i++)
        pump_init(&d->pumps[i], d, i + 1);
    d->watcher = (struct commit_watcher){ .arg = d, .on_effects = on_effects, .on_lead = on_lead };
    commit_watch(d->commit, &d->watcher);
    d->hook.on_turn = on_turn;
    loop_hook_add(d->loop, &d->hook);
    *out = d;
    return 0;
}

static void cut_conns(struct deliver *d)
{
    struct list *it;

    while ((it = list_first(&d->conns)) != NULL) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);
        struct delivery *y = conn_part(c);

        conn_drop(c, ROUTER_CONN_UNUSED);
        if (y) delivery_close(y);
    }
    conn_free_gone(d);
}

void deliver_free(struct deliver **pd)
{
    struct deliver *d = *pd;

    if (!d) return;
    *pd = NULL;
    d->draining = true;
    list_remove(&d->watcher.link);
    loop_hook_remove(d->loop, &d->hook);
    for (unsigned i = 0; i < d->pump_count; i++)
        pump_stop(&d->pumps[i]);
    lane_drop_shard(d, 0);
    cut_conns(d);
    air_drop_shard(d, 0);
    delivery_detach_all(d);
    CHECK(!d->air && !d->lanes && !d->sites);
    router_free(&d->router);
    tls_unref(&d->tls);
    deliver_routes_unref(&d->routes);
    buf_deinit(&d->scratch);
    free(d->pumps);
    free(d->hostname);
    free(d->own);
    free(d->inbox_dir);
    free(d);
}

/* What is not yet claimed stays where it is: due, for whoever comes. */
static void drop_unbegun(struct deliver *d)
{
    LIST_FOR_SAFE(it, &d->conns) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);
        struct delivery *y;

        if (c->phase == CONN_IDLE) {
            conn_quit(c, true);
        } else if (c->phase < CONN_IDLE && c->y->claim_state == CLAIM_NONE) {
            y = conn_part(c);
            conn_drop(c, ROUTER_CONN_UNUSED);
            delivery_close(y);
        }
    }
}

static void forget_plans(struct deliver *d)
{
    struct lane *l, *next;

    HASH_ITER(hh, d->lanes, l, next)
    {
        lane_replan(l);
    }
}

void deliver_set_options(struct deliver *d, const struct deliver_options *o)
{
    const struct deliver_options before = d->o;
    struct deliver_routes *old = d->routes;

    CHECK(o->router.site_connections_max > 0);
    router_set_options(d->router, &o->router);
    d->routes = o->routes ? deliver_routes_ref(o->routes) : deliver_routes_new(NULL, 0, NULL, 0);
    d->o = *o;
    d->o.loop = before.loop;
    d->o.commit = before.commit;
    d->o.dns = before.dns;
    d->o.tls = before.tls;
    d->o.hostname = before.hostname;
    d->o.inbox_dir = before.inbox_dir;
    d->o.routes = NULL;
    d->o.router.rules = NULL;
    copy_numbers(d, o);
    LIST_FOR_SAFE(it, &d->conns_idle)
        conn_quit(CONTAINER_OF(it, struct conn, all_link), true);
    forget_plans(d);
    deliver_routes_unref(&old);
}

void deliver_drain(struct deliver *d)
{
    if (d->draining) return;
    d->draining = true;
    for (unsigned i = 0; i < d->pump_count; i++)
        pump_stop(&d->pumps[i]);
    drop_unbegun(d);
}

bool deliver_is_idle(const struct deliver *d)
{
    return d->conn_count == 0 && list_empty(&d->deliveries);
}
