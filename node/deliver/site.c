/* site - hosts that are reached alike: the connections to them that are idle, and the lanes that
 * wait for one.
 *
 * How many connections a site may have is the router's to say (slots). A connection that becomes
 * idle goes to the lane that has waited longest, so lanes of one site take turns; connections that
 * nobody wants are kept for idle_ms. A site lives as long as a connection or a waiting lane names
 * it.
 */
#include "node/deliver/inside.h"

#include <stdio.h>
#include <stdlib.h>

struct site *site_find(struct deliver *d, const char *name)
{
    struct site *s;

    HASH_FIND_STR(d->sites, name, s);
    return s;
}

struct site *site_want(struct deliver *d, const char *name)
{
    struct site *s = site_find(d, name);

    if (s) return s;
    s = check_calloc(1, sizeof *s);
    s->d = d;
    snprintf(s->name, sizeof s->name, "%s", name);
    list_init(&s->idle);
    list_init(&s->waiting);
    HASH_ADD_STR(d->sites, name, s);
    return s;
}

void site_tidy(struct site *s)
{
    if (s->conns > 0 || !list_empty(&s->waiting)) return;
    HASH_DEL(s->d->sites, s);
    free(s);
}

void site_wait(struct site *s, struct lane *l)
{
    list_add(&s->waiting, &l->link);
}

static bool wake_first(struct site *s)
{
    struct list *first = list_first(&s->waiting);

    if (!first) return false;
    lane_wake(CONTAINER_OF(first, struct lane, link));
    return true;
}

void site_offer(struct site *s)
{
    if (!list_empty(&s->idle)) wake_first(s);
}

void site_give_back(struct deliver *d, const char *name, enum router_result result)
{
    struct site *s;

    router_slot_release(d->router, name, result, deliver_mono_ms(d));
    s = site_find(d, name);
    if (!s) return;
    if (result == ROUTER_CONN_FAILED || s->conns == 0)
        while (wake_first(s))
            ;
    else
        wake_first(s);
    site_tidy(s);
}

/* The one used last: the others may time out. */
static struct conn *take_idle(struct site *s, const struct router_plan *p)
{
    for (struct list *it = s->idle.prev; it != &s->idle; it = it->prev) {
        struct conn *c = CONTAINER_OF(it, struct conn, idle_link);

        if (c->plan->p.tls != p->tls || c->plan->p.tls_context != p->tls_context ||
            c->plan->p.login != p->login)
            continue;
        list_remove(&c->idle_link);
        list_remove(&c->all_link);
        return c;
    }
    return NULL;
}

static bool is_full(const struct deliver *d)
{
    return d->conn_count >= d->o.connections_max;
}

/* The connection that has been idle longest makes room. */
static void evict(struct deliver *d)
{
    struct list *first = list_first(&d->conns_idle);

    if (first) conn_quit(CONTAINER_OF(first, struct conn, all_link), false);
}

enum site_answer site_ask(struct deliver *d, const struct plan *p, struct conn **conn_out,
                          uint64_t *until_ms)
{
    struct site *s = site_find(d, p->p.site);

    *conn_out = s ? take_idle(s, &p->p) : NULL;
    if (*conn_out) return SITE_REUSE;
    if (is_full(d) && list_empty(&d->conns_idle)) return SITE_NO_ROOM;
    if (auth_is_held(d, p, until_ms)) return SITE_PAUSED;
    switch (router_slot_take(d->router, p->p.site, deliver_mono_ms(d), until_ms)) {
    case ROUTER_SLOT_BUSY:
        return SITE_BUSY;
    case ROUTER_SLOT_PAUSED:
        return SITE_PAUSED;
    case ROUTER_SLOT_YES:
        break;
    }
    if (is_full(d)) evict(d);
    return SITE_CONNECT;
}
