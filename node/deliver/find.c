/* find - from a plan to a server that greets us: every host in order, every address of it in both
 * families (RFC 5321 5.1). Each address that is of no use leaves a verdict; when all are tried,
 * what is to come later outweighs a no, for another try may meet another host.
 */
#include "node/deliver/inside.h"

#include <stdio.h>
#include <stdlib.h>

struct find_ask {
    struct dns_query query;
    struct conn *c;
};

static void next(struct conn *c);

void find_note(struct conn *c, const struct verdict *v)
{
    bool is_weaker = c->fail_set && c->fail.result == ANGARIUM__RESULT__RESULT_DEFERRED &&
                     v->result == ANGARIUM__RESULT__RESULT_BOUNCED;

    log_event(LOG_WARN, "conn.failed", LOG_TEXT("site", c->plan->p.site),
              LOG_TEXT("remote_host", c->remote.host),
              LOG_TEXT("remote_address", c->remote.address), LOG_NUM("reply_code", v->code),
              LOG_TEXT("class", v->class), LOG_TEXT("why", v->text));
    if (is_weaker) return;
    c->fail = *v;
    c->fail_set = true;
    c->y->remote = c->remote;
}

static void exhausted(struct conn *c, enum router_result result)
{
    struct delivery *y = c->y;
    struct verdict *v;

    if (c->fail_set) {
        v = delivery_verdict(y);
        *v = c->fail;
    } else {
        v = delivery_words(y, ANGARIUM__RESULT__RESULT_DEFERRED, "connect", "%s has no hosts",
                           c->plan->p.site);
    }
    delivery_judge(y, v);
    metric_add(M_CONNS_OUT_FAILED, 1);
    conn_part(c);
    conn_drop(c, v->result == ANGARIUM__RESULT__RESULT_BOUNCED ? ROUTER_CONN_UNUSED : result);
    delivery_over(y);
}

/* ---- addresses */

static void no_address(struct conn *c, enum dns_status status, const char *why)
{
    bool is_final = !c->plan->p.is_fixed && status != DNS_FAILED;
    struct verdict v = { .result = is_final ? ANGARIUM__RESULT__RESULT_BOUNCED
                                            : ANGARIUM__RESULT__RESULT_DEFERRED,
                         .counts = true };

    snprintf(v.class, sizeof v.class, "%s", is_final ? "no_address" : "dns");
    snprintf(v.enhanced, sizeof v.enhanced, "%s", is_final ? "5.4.4" : "4.4.3");
    if (status == DNS_FAILED)
        snprintf(v.text, sizeof v.text, "the addresses of %s could not be looked up%s%s",
                 c->remote.host, why[0] ? ": " : "", why);
    else
        snprintf(v.text, sizeof v.text, "%s has no address", c->remote.host);
    find_note(c, &v);
}

static void add_address(struct conn *c, const char *text)
{
    struct stream_address *a = &c->addresses[c->address_count++];

    snprintf(a->text, sizeof a->text, "%.45s", text);
    a->port = c->plan->p.hosts[c->host].port;
}

/* ---- ourselves */

static bool is_own(const struct deliver *d, const struct stream_address *a)
{
    for (unsigned i = 0; i < d->o.own_count; i++)
        if (d->own[i].port == a->port && strcmp(d->own[i].text, a->text) == 0) return true;
    return false;
}

static bool leads_to_us(const struct conn *c)
{
    for (unsigned i = 0; i < c->address_count; i++)
        if (is_own(c->d, &c->addresses[i])) return true;
    return false;
}

/* Mail for that host would come back to us: neither it nor one that is no better is tried (RFC 5321 5.1). A
 * domain whose best host we are, though no rule says so, takes no mail; a rule that leads to ourselves is
 * somebody's mistake, and can be mended. */
static void cut_at_us(struct conn *c)
{
    const struct router_plan *p = &c->plan->p;
    uint16_t preference = p->hosts[c->host].preference;
    struct verdict v = { .result = ANGARIUM__RESULT__RESULT_DEFERRED, .counts = true };

    c->address_count = 0;
    while (c->host_count > c->host_next && p->hosts[c->host_count - 1].preference >= preference)
        c->host_count--;
    if (!p->is_fixed) v.result = ANGARIUM__RESULT__RESULT_BOUNCED;
    snprintf(v.class, sizeof v.class, "loop");
    snprintf(v.enhanced, sizeof v.enhanced, "%c.4.6", p->is_fixed ? '4' : '5');
    snprintf(v.text, sizeof v.text, "%s is this relay, and no rule says where its mail goes",
             c->remote.host);
    find_note(c, &v);
}

static void on_addresses(struct dns_query *q)
{
    struct find_ask *ask = CONTAINER_OF(q, struct find_ask, query);
    struct conn *c = ask->c;

    c->ask = NULL;
    c->address = 0;
    c->address_count = 0;
    for (unsigned i = 0; i < q->count && i < DELIVER_ADDRESSES_MAX; i++)
        add_address(c, q->answers[i].text);
    if (q->status != DNS_OK || c->address_count == 0)
        no_address(c, q->status == DNS_OK ? DNS_NO_DATA : q->status, q->why);
    if (leads_to_us(c)) cut_at_us(c);
    free(ask);
    next(c);
}

/* True: on_done comes. */
static bool ask(struct conn *c, const char *host, void (*on_done)(struct dns_query *q))
{
    struct find_ask *ask = check_calloc(1, sizeof *ask);

    ask->c = c;
    ask->query.on_done = on_done;
    if (dns_ask(c->d->o.dns, &ask->query, DNS_ADDRESS, host) == 0) {
        c->ask = ask;
        c->phase = CONN_FINDING;
        return true;
    }
    free(ask);
    return false;
}

/* True: on_addresses() comes. */
static bool ask_addresses(struct conn *c)
{
    if (ask(c, c->remote.host, on_addresses)) return true;
    no_address(c, DNS_FAILED, "too many questions at once");
    return false;
}

/* ---- ourselves among hosts of one preference: none of them may be tried, so all are looked at before the first
 * (RFC 5321 5.1). A host whose addresses are not told now is looked at when it is tried. */

static unsigned group_end(const struct conn *c)
{
    const struct router_host *hosts = c->plan->p.hosts;
    unsigned end = c->host_next + 1;

    while (end < c->host_count && hosts[end].preference == hosts[c->host_next].preference)
        end++;
    return end;
}

static void scouted(struct conn *c, const char *address)
{
    const struct router_host *h = &c->plan->p.hosts[c->scouted];
    struct stream_address a = { .port = h->port };

    snprintf(a.text, sizeof a.text, "%.45s", address);
    if (!is_own(c->d, &a)) return;
    c->host = c->scouted;
    c->address = 0;
    c->remote = (struct remote){ 0 };
    snprintf(c->remote.host, sizeof c->remote.host, "%s", h->name);
    cut_at_us(c);
}

static void on_scouted(struct dns_query *q)
{
    struct find_ask *ask = CONTAINER_OF(q, struct find_ask, query);
    struct conn *c = ask->c;
    unsigned count = c->host_count;

    c->ask = NULL;
    for (unsigned i = 0; i < q->count && c->host_count == count; i++)
        scouted(c, q->answers[i].text);
    c->scouted++;
    free(ask);
    next(c);
}

/* Looks at the hosts that are as good as the next one, which begins them. True: on_scouted() comes. */
static bool scout(struct conn *c)
{
    unsigned end = group_end(c), count = c->host_count;

    if (c->scouted < c->host_next) c->scouted = c->host_next;
    if (c->d->o.own_count == 0 || c->plan->p.is_fixed || end == c->host_next + 1) return false;
    for (; c->scouted < end && c->host_count == count; c->scouted++) {
        const struct router_host *h = &c->plan->p.hosts[c->scouted];

        if (h->is_address)
            scouted(c, h->name);
        else if (ask(c, h->name, on_scouted))
            return true;
    }
    return false;
}

void find_cancel(struct conn *c)
{
    if (!c->ask) return;
    dns_cancel(&c->ask->query);
    free(c->ask);
    c->ask = NULL;
}

/* ---- connecting */

static void fresh(struct conn *c)
{
    c->said = c->heard = STEP_NONE;
    c->clear_only = secure_is_clear(c->d, &c->addresses[c->address]);
    c->tls_begun = false;
    c->expected_count = 0;
    c->offer = (struct smtp_offer){ 0 };
    c->auth_tried = 0;
    c->auth_cancelled = c->is_authenticated = false;
    c->remote.source[0] = c->remote.tls[0] = '\0';
    smtp_reply_reader_init(&c->reader);
}

/* True: on_ready() or on_end() comes. */
static bool connect_to(struct conn *c, const struct stream_address *to)
{
    const struct stream_options o = {
        .calls = &conn_calls, .arg = c, .in_bytes_max = 16u << 10, .out_bytes_max = DELIVER_OUT_MAX
    };
    struct verdict v = { .result = ANGARIUM__RESULT__RESULT_DEFERRED, .counts = true };
    int rv;

    fresh(c);
    snprintf(c->remote.address, sizeof c->remote.address, "%s", to->text);
    c->phase = CONN_CONNECTING;
    rv = stream_connect(&c->stream, c->d->loop, to, NULL, (unsigned)c->d->o.connect_timeout_ms, &o);
    if (rv == 0) return true;
    c->stream = NULL;
    snprintf(v.class, sizeof v.class, "connect");
    snprintf(v.text, sizeof v.text, "%s port %u: %s", to->text, to->port, err_text(rv));
    find_note(c, &v);
    return false;
}

static void next_host(struct conn *c)
{
    const struct router_host *h = &c->plan->p.hosts[c->host_next];

    c->host = c->host_next++;
    c->remote = (struct remote){ 0 };
    snprintf(c->remote.host, sizeof c->remote.host, "%s", h->name);
    c->address = 0;
    c->address_count = 0;
    if (h->is_address) add_address(c, h->name);
}

static void next(struct conn *c)
{
    for (;;) {
        if (c->address < c->address_count) {
            if (connect_to(c, &c->addresses[c->address])) return;
            c->address++;
        } else if (c->host_next < c->host_count) {
            if (scout(c)) return;
            if (c->host_next == c->host_count) continue;
            next_host(c);
            if (leads_to_us(c))
                cut_at_us(c);
            else if (c->address_count == 0 && ask_addresses(c))
                return;
        } else {
            exhausted(c, ROUTER_CONN_FAILED);
            return;
        }
    }
}

void find_start(struct conn *c)
{
    conn_detach(c);
    c->host = c->host_next = c->scouted = 0;
    c->host_count = c->plan->p.host_count;
    c->address = c->address_count = 0;
    c->fail_set = c->auth_refused = false;
    c->phase = CONN_FINDING;
    auth_drop(c);
    if (auth_is_needed(c))
        auth_start(c);
    else
        next(c);
}

void find_go(struct conn *c)
{
    next(c);
}

void find_give_up(struct conn *c, const struct verdict *v, enum router_result result)
{
    conn_detach(c);
    if (v) find_note(c, v);
    exhausted(c, result);
}

void find_failed(struct conn *c, const struct verdict *v)
{
    conn_detach(c);
    find_note(c, v);
    c->address++;
    next(c);
}

void find_again(struct conn *c)
{
    conn_detach(c);
    if (!connect_to(c, &c->addresses[c->address])) {
        c->address++;
        next(c);
    }
}
