/* plan - where a lane's mail goes: the router's choice, with the MX records when it needs them
 * (RFC 5321 5.1). Plans are shared by the lane and the connections made from them; a lane makes a
 * new one when it needs a connection and the old one is stale. DNS answers are cached by the
 * resolver.
 */
#include "node/deliver/inside.h"

#include <stdio.h>
#include <stdlib.h>

struct plan_ask {
    struct dns_query query;
    struct lane *lane;
    struct plan *plan;
};

struct plan *plan_ref(struct plan *p)
{
    p->refs++;
    return p;
}

void plan_unref(struct plan **pp)
{
    struct plan *p = *pp;

    *pp = NULL;
    if (!p || --p->refs > 0) return;
    deliver_routes_unref(&p->routes);
    free(p);
}

bool plan_is_past(const struct deliver *d, const struct plan *p)
{
    return p->routes != d->routes;
}

static enum router_dns dns_fact(enum dns_status status)
{
    switch (status) {
    case DNS_OK:
        return ROUTER_DNS_OK;
    case DNS_NO_DATA:
        return ROUTER_DNS_NO_DATA;
    case DNS_NO_NAME:
        return ROUTER_DNS_NO_NAME;
    case DNS_FAILED:
        return ROUTER_DNS_FAILED;
    }
    UNREACHED();
}

static void on_mx(struct dns_query *q)
{
    struct plan_ask *ask = CONTAINER_OF(q, struct plan_ask, query);
    struct lane *l = ask->lane;
    struct router_mx mx[DNS_ANSWERS_MAX];

    for (unsigned i = 0; i < q->count; i++) {
        snprintf(mx[i].host, sizeof mx[i].host, "%s", q->answers[i].text);
        mx[i].preference = q->answers[i].preference;
    }
    l->ask = NULL;
    l->plan = ask->plan;
    l->plan->made_at_ms = deliver_mono_ms(l->d);
    router_mx_plan(l->d->router, lane_domain(l), dns_fact(q->status), mx, q->count,
                   span_cstr(l->d->hostname), &l->plan->p);
    if (l->plan->p.kind == ROUTER_DEFER && q->why[0])
        snprintf(l->plan->p.why, sizeof l->plan->p.why,
                 "DNS gave no answer for the MX of the domain: %s", q->why);
    free(ask);
    lane_planned(l);
}

static int ask_mx(struct lane *l, struct plan *plan)
{
    struct plan_ask *ask = check_calloc(1, sizeof *ask);
    int rv;

    ask->lane = l;
    ask->plan = plan;
    ask->query.on_done = on_mx;
    rv = dns_ask(l->d->o.dns, &ask->query, DNS_MX, plan->p.name);
    if (rv != 0) {
        free(ask);
        return ERR_FULL;
    }
    l->ask = ask;
    return ERR_AGAIN;
}

int plan_make(struct lane *l)
{
    struct plan *plan = check_calloc(1, sizeof *plan);
    int rv = 0;

    CHECK(!l->ask);
    plan_unref(&l->plan);
    plan->refs = 1;
    plan->routes = deliver_routes_ref(l->d->routes);
    plan->made_at_ms = deliver_mono_ms(l->d);
    router_choose(l->d->router, lane_domain(l), &plan->p);
    if (plan->p.kind == ROUTER_NEED_MX) rv = ask_mx(l, plan);
    if (rv == 0) l->plan = plan;
    if (rv == ERR_FULL) plan_unref(&plan);
    return rv;
}

void plan_cancel(struct lane *l)
{
    if (!l->ask) return;
    dns_cancel(&l->ask->query);
    plan_unref(&l->ask->plan);
    free(l->ask);
    l->ask = NULL;
}
