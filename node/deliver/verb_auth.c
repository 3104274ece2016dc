/* verb_auth - AUTH, where the route has an account (RFC 4954; mechanisms in node/smtp/sasl.h).
 *
 * The secret is there before the connection is made (auth_start), and is said under TLS only: stream_write_secret takes
 * it nowhere else. 235 is what MAIL waits for (conn_ready checks). What does not lead there is our affair and not the
 * recipients': they wait, class "login".
 *
 *     not offered, or no mechanism in common    the next address
 *     504                                       the next mechanism of the offer, if there is one
 *     4yz, 421, closed, nonsense                no other address: that would be one more try of the account
 *     5yz                                       once more with another secret, when node/login has one
 *
 * While node/login holds the account (auth_is_held), lanes sleep and no mail is taken for it: one mail finds out, not each.
 */
#include "node/deliver/inside.h"

#include <stdio.h>

static struct login *login_of(const struct plan *p)
{
    CHECK(p->p.login > 0 && p->p.login <= p->routes->login_count);
    return p->routes->logins[p->p.login - 1];
}

bool auth_is_held(const struct deliver *d, const struct plan *p, uint64_t *until_ms)
{
    return p->p.login > 0 && login_is_held(login_of(p), d->loop, until_ms);
}

bool auth_is_needed(const struct conn *c)
{
    return c->plan->p.login > 0;
}

static void tell(struct conn *c, enum login_result result)
{
    if (c->secret) login_tell(c->login, c->d->loop, &c->secret, result);
}

void auth_drop(struct conn *c)
{
    login_ask_cancel(&c->login_ask);
    tell(c, LOGIN_UNTRIED);
    login_unref(&c->login);
}

/* ---- the secret */

static void no_secret(struct conn *c, const struct login_answer *a)
{
    struct verdict v = { .result = ANGARIUM__RESULT__RESULT_DEFERRED, .counts = true };

    if (c->fail_set) { /* the host's own words say more */
        find_give_up(c, NULL, ROUTER_CONN_UNUSED);
        return;
    }
    metric_add(M_AUTH_OUT_NO_SECRET, 1);
    snprintf(c->remote.host, sizeof c->remote.host, "%s", c->plan->p.hosts[0].name);
    snprintf(v.class, sizeof v.class, "login");
    snprintf(v.enhanced, sizeof v.enhanced, "4.7.0");
    snprintf(v.text, sizeof v.text, "no login at %s: %s", c->remote.host, a->why);
    find_give_up(c, &v, ROUTER_CONN_UNUSED);
}

static void on_secret(void *arg, const struct login_answer *a)
{
    struct conn *c = arg;

    c->secret = a->secret;
    if (a->result == 0)
        find_go(c);
    else
        no_secret(c, a);
}

void auth_start(struct conn *c)
{
    if (!c->login) c->login = login_ref(login_of(c->plan));
    login_ask(c->login, c->d->loop, on_secret, c, &c->login_ask);
}

/* ---- saying */

static struct smtp_sasl_facts facts_of(const struct conn *c)
{
    return (struct smtp_sasl_facts){ .user = span_cstr(login_username(c->login)),
                                     .secret = secret_bytes(c->secret),
                                     .host = span_cstr(c->remote.host),
                                     .port = c->plan->p.hosts[c->host].port };
}

/* The line is wiped. A stream that takes no more tells so by on_end. */
static void say(struct conn *c, struct buf *line)
{
    (void)stream_write_secret(c->stream, buf_span(line));
    secret_wipe(line->p, line->n);
    buf_deinit(line);
    conn_say(c, STEP_AUTH, span_of(NULL, 0), 1);
}

static unsigned mechanisms_of(const struct conn *c)
{
    return login_is_token(c->login) ? SMTP_MECHANISMS_TOKEN : SMTP_MECHANISMS_PASSWORD;
}

static void not_offered(struct conn *c)
{
    struct verdict v = { .result = ANGARIUM__RESULT__RESULT_DEFERRED, .counts = true };
    struct buf offered, wanted;

    buf_init(&offered, 64);
    buf_init(&wanted, 64);
    smtp_mechanisms_print(c->offer.mechanisms, &offered);
    smtp_mechanisms_print(mechanisms_of(c), &wanted);
    snprintf(v.class, sizeof v.class, "login");
    snprintf(v.enhanced, sizeof v.enhanced, "4.7.0");
    if (!c->offer.auth)
        snprintf(v.text, sizeof v.text,
                 "%s does not offer AUTH, and the route has an account there", c->remote.host);
    else
        snprintf(v.text, sizeof v.text, "%s offers no AUTH that fits: of %s it offers %s",
                 c->remote.host, buf_cstr(&wanted), buf_cstr(&offered));
    buf_deinit(&offered);
    buf_deinit(&wanted);
    metric_add(M_AUTH_OUT_NOT_OFFERED, 1);
    conn_leave(c);
    find_failed(c, &v);
}

/* False: no mechanism of the offer is left. */
static bool begin(struct conn *c)
{
    enum smtp_mechanism m =
        smtp_mechanism_best(c->offer.mechanisms & mechanisms_of(c) & ~c->auth_tried);
    struct smtp_sasl_facts f = facts_of(c);
    struct buf line;

    if (m == 0) return false;
    c->auth_tried |= m;
    buf_init(&line, SMTP_SASL_LINE_MAX);
    smtp_sasl_begin(&c->sasl, m, &f, &line);
    say(c, &line);
    return true;
}

void say_auth(struct conn *c)
{
    CHECK(stream_has_tls(c->stream) && c->secret);
    if (!begin(c)) not_offered(c);
}

/* ---- hearing */

static void verdict_of(const struct conn *c, const struct smtp_reply *r, struct verdict *v)
{
    struct router_meaning meaning;

    verdict_reply(c->d, v, ROUTER_AT_HELO, r, &meaning);
    v->result = ANGARIUM__RESULT__RESULT_DEFERRED;
    if (r->code != 421) snprintf(v->class, sizeof v->class, "login");
}

static void later(struct conn *c, const struct smtp_reply *r)
{
    struct verdict v;

    verdict_of(c, r, &v);
    metric_add(M_AUTH_OUT_LATER, 1);
    conn_leave(c);
    find_give_up(c, &v, ROUTER_CONN_FAILED);
}

/* The connection is left at once: what is looked for now may take its time. */
static void refused(struct conn *c, const struct smtp_reply *r)
{
    struct verdict v;

    verdict_of(c, r, &v);
    metric_add(M_AUTH_OUT_REFUSED, 1);
    tell(c, LOGIN_REFUSED);
    conn_leave(c);
    find_note(c, &v);
    c->phase = CONN_FINDING;
    if (c->auth_refused)
        find_give_up(c, NULL, ROUTER_CONN_UNUSED);
    else
        auth_start(c); /* another secret: this address again; none: no_secret() */
    c->auth_refused = true;
}

static void challenged(struct conn *c)
{
    struct smtp_sasl_facts f = facts_of(c);
    struct buf line;

    buf_init(&line, SMTP_SASL_LINE_MAX);
    c->auth_cancelled = !smtp_sasl_answer(&c->sasl, &f, &line);
    say(c, &line);
}

/* Some servers say what they could not read: that goes into no log and no event. */
static void hear(struct conn *c, const struct smtp_reply *r)
{
    if (c->auth_cancelled) {
        conn_broken(c, "login", "%s asks for more than %s has", c->remote.host,
                    smtp_mechanism_name(c->sasl.mechanism));
    } else if (r->code == 235) {
        metric_add(M_AUTH_OUT_OK, 1);
        tell(c, LOGIN_ACCEPTED);
        c->is_authenticated = true;
        conn_ready(c);
    } else if (r->code == 334) {
        challenged(c);
    } else if (r->code == 504) {
        if (!begin(c)) later(c, r);
    } else if (reply_is(r, 5)) {
        refused(c, r);
    } else if (reply_is(r, 4)) {
        later(c, r);
    } else {
        conn_nonsense(c, STEP_AUTH, r);
    }
}

void hear_auth(struct conn *c, const struct smtp_reply *r)
{
    struct smtp_sasl_facts f = facts_of(c);
    struct smtp_reply hidden;

    if (!smtp_sasl_is_repeated(&c->sasl, &f, span_cstr(r->text))) {
        hear(c, r);
        return;
    }
    hidden = *r;
    snprintf(hidden.text, sizeof hidden.text,
             "(not shown: the reply repeats a piece of the secret)");
    hear(c, &hidden);
}

void auth_broken(struct conn *c, const struct verdict *v)
{
    metric_add(M_AUTH_OUT_LATER, 1);
    find_give_up(c, v, ROUTER_CONN_FAILED);
}
