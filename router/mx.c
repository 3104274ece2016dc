/* mx - what to do with DNS's answer for a domain (RFC 5321 5.1, RFC 7505, RFC 3463).
 *
 * The hosts of the plan are the best ROUTER_HOSTS_MAX by preference; equal ones are in random
 * order, so that load spreads. A host that is listed twice counts with its best preference. Hosts
 * at or behind ourselves are dropped, otherwise mail would go in circles. The site is named after
 * the first name of the remaining set in the order of bytes: domains with one MX set share one
 * site.
 */
#include "router/router.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "router/inside.h"

struct candidate {
    char name[256];
    unsigned preference;
    uint64_t key; /* random: the order among equals */
};

struct candidates {
    struct candidate of[ROUTER_HOSTS_MAX];
    unsigned count;
    char first[256]; /* in the order of bytes */
};

static void bounce(struct router_plan *p, unsigned code, const char *enhanced, const char *class,
                   const char *why)
{
    p->kind = ROUTER_BOUNCE;
    p->code = code;
    snprintf(p->enhanced, sizeof p->enhanced, "%s", enhanced);
    snprintf(p->class, sizeof p->class, "%s", class);
    snprintf(p->why, sizeof p->why, "%s", why);
}

static bool is_null(const struct router_mx *mx)
{
    return mx->host[0] == '\0' || (mx->host[0] == '.' && mx->host[1] == '\0');
}

static bool is_same(const char *name, struct span other)
{
    struct span n = span_cstr(name);

    if (n.n > 0 && n.p[n.n - 1] == '.') n.n--;
    if (other.n > 0 && other.p[other.n - 1] == '.') other.n--;
    return n.n > 0 && span_eq_nocase(n, other);
}

/* The preference at which we are ourselves; above all others when we are not in the list. */
static unsigned self_preference(const struct router_mx *mx, unsigned count, struct span self)
{
    unsigned least = UINT16_MAX + 1;

    for (unsigned i = 0; i < count; i++)
        if (is_same(mx[i].host, self) && mx[i].preference < least) least = mx[i].preference;
    return least;
}

static bool is_before(const struct candidate *a, const struct candidate *b)
{
    return a->preference != b->preference ? a->preference < b->preference : a->key < b->key;
}

static void remove_at(struct candidates *c, unsigned at)
{
    c->count--;
    memmove(&c->of[at], &c->of[at + 1], (c->count - at) * sizeof c->of[0]);
}

static void insert(struct candidates *c, const struct candidate *new)
{
    unsigned at = 0;

    for (unsigned i = 0; i < c->count; i++) {
        if (strcmp(c->of[i].name, new->name) != 0) continue;
        if (c->of[i].preference <= new->preference) return;
        remove_at(c, i);
        break;
    }
    while (at < c->count && is_before(&c->of[at], new))
        at++;
    if (at == ROUTER_HOSTS_MAX) return;
    if (c->count == ROUTER_HOSTS_MAX) c->count--;
    memmove(&c->of[at + 1], &c->of[at], (c->count - at) * sizeof c->of[0]);
    c->of[at] = *new;
    c->count++;
}

static void collect(struct router *r, struct candidates *c, const struct router_mx *mx,
                    unsigned count, unsigned below)
{
    c->count = 0;
    c->first[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        struct candidate new = { .preference = mx[i].preference, .key = rng_next(&r->rng) };
        if (is_null(&mx[i]) || new.preference >= below) continue;
        router_name_copy(new.name, sizeof new.name,
                         span_of(mx[i].host, strnlen(mx[i].host, sizeof mx[i].host)));
        if (c->first[0] == '\0' || strcmp(new.name, c->first) < 0)
            memcpy(c->first, new.name, sizeof c->first);
        insert(c, &new);
    }
}

static void add_host(struct router_plan *p, const char *name, uint16_t port, unsigned preference)
{
    struct router_host *h = &p->hosts[p->host_count++];
    uint8_t bytes[16];

    snprintf(h->name, sizeof h->name, "%s", name);
    h->port = port;
    h->preference = (uint16_t)preference;
    h->is_address = inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static void plan_hosts(struct router *r, const struct candidates *c, struct router_plan *p)
{
    p->kind = ROUTER_HOSTS;
    for (unsigned i = 0; i < c->count; i++)
        add_host(p, c->of[i].name, r->options.mx_port, c->of[i].preference);
    snprintf(p->site, sizeof p->site, "%s", c->first);
    snprintf(p->why, sizeof p->why, "%u MX hosts", c->count);
}

/* No MX: the domain is its own host (RFC 5321 5.1). */
static void plan_implicit(struct router *r, struct span domain, struct span self,
                          struct router_plan *p)
{
    char name[256];

    router_name_copy(name, sizeof name, domain);
    if (is_same(name, self)) {
        bounce(p, 554, "5.4.6", "loop", "the domain is this relay, and no rule says where it goes");
        return;
    }
    p->kind = ROUTER_HOSTS;
    add_host(p, name, r->options.mx_port, 0);
    snprintf(p->site, sizeof p->site, "%s", name);
    snprintf(p->why, sizeof p->why, "no MX: the domain itself");
}

static void plan_answer(struct router *r, struct span domain, const struct router_mx *mx,
                        unsigned mx_count, struct span self_name, struct router_plan *p)
{
    unsigned below = self_preference(mx, mx_count, self_name);
    struct candidates c;

    collect(r, &c, mx, mx_count, below);
    if (c.count > 0)
        plan_hosts(r, &c, p);
    else if (mx_count == 0)
        plan_implicit(r, domain, self_name, p);
    else if (below <= UINT16_MAX)
        bounce(p, 554, "5.4.6", "loop",
               "this relay is the best MX, and no rule says where it goes");
    else
        bounce(p, 556, "5.1.10", "bad_domain", "the domain takes no mail (null MX)");
}

void router_mx_plan(struct router *r, struct span domain, enum router_dns dns,
                    const struct router_mx *mx, unsigned mx_count, struct span self_name,
                    struct router_plan *out)
{
    const struct router_rule *rule = router_rule_find(r, domain);

    memset(out, 0, sizeof *out);
    router_rule_tls(rule, out);
    switch (dns) {
    case ROUTER_DNS_OK:
        plan_answer(r, domain, mx, mx_count, self_name, out);
        break;
    case ROUTER_DNS_NO_DATA:
        plan_implicit(r, domain, self_name, out);
        break;
    case ROUTER_DNS_NO_NAME:
        bounce(out, 550, "5.1.2", "bad_domain", "the domain does not exist");
        break;
    case ROUTER_DNS_FAILED:
        out->kind = ROUTER_DEFER;
        out->code = 451;
        snprintf(out->enhanced, sizeof out->enhanced, "4.4.3");
        snprintf(out->class, sizeof out->class, "dns");
        snprintf(out->why, sizeof out->why, "DNS gave no answer for the MX of the domain");
        break;
    }
}
