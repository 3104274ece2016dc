/* conn - the life of one SMTP connection as a client (RFC 5321 3.1, 4.1); what is said and heard is
 * step.c's.
 *
 *     FINDING -> CONNECTING -> OPENING -> BUSY <-> IDLE -> QUITTING -> GONE
 *
 * A connection that breaks before it is ready tries the next address (find.c). One that breaks with
 * a delivery decides what is undecided: later, or in doubt when the final dot is out. One that was
 * reused and breaks before it has said a word moves its delivery to a new stream, once: the server
 * had grown tired.
 */
#include "node/deliver/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- life */

/* A slow reader of a large body is no silent one. */
static bool is_moving(struct conn *c)
{
    size_t left = c->phase == CONN_BUSY && c->said >= STEP_BODY ? stream_out_bytes(c->stream) : 0;
    bool moves = left < c->out_seen;

    c->out_seen = left;
    return moves && left > 0;
}

static void on_fire(struct loop_timer *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, timer);

    if (is_moving(c)) {
        conn_wait_for(c, c->d->o.data_timeout_ms);
        return;
    }
    if (c->phase == CONN_IDLE)
        conn_quit(c, true);
    else if (c->phase == CONN_QUITTING)
        conn_drop(c, ROUTER_CONN_OK);
    else
        conn_broken(c, "timeout", "no answer to %s in time",
                    c->expected_count > 0 ? step_name(c->expected[0].step) : step_name(c->said));
}

struct conn *conn_new(struct deliver *d, struct plan *plan, struct delivery *y)
{
    struct conn *c = check_calloc(1, sizeof *c);

    c->d = d;
    c->plan = plan_ref(plan);
    c->site = site_want(d, plan->p.site);
    c->site->conns++;
    c->has_slot = true;
    c->y = y;
    y->c = c;
    list_init(&c->idle_link);
    list_init(&c->all_link);
    list_add(&d->conns, &c->link);
    d->conn_count++;
    metric_add(M_CONNS_OUT_OPEN, 1);
    loop_timer_init(&c->timer, d->loop, on_fire);
    find_start(c);
    return c;
}

struct delivery *conn_part(struct conn *c)
{
    struct delivery *y = c->y;

    c->y = NULL;
    if (y) y->c = NULL;
    return y;
}

static size_t quiet_read(void *arg, struct span bytes)
{
    (void)arg;
    return bytes.n;
}

static void quiet_end(void *arg, int err)
{
    (void)arg;
    (void)err;
}

static const struct stream_calls quiet_calls = { .on_read = quiet_read, .on_end = quiet_end };

static void let_stream_go(struct conn *c, bool politely)
{
    loop_timer_stop(&c->timer);
    c->expected_count = 0;
    if (!c->stream) return;
    stream_set_arg(c->stream, &quiet_calls, NULL);
    if (politely)
        stream_close(&c->stream);
    else
        stream_abort(&c->stream);
}

void conn_detach(struct conn *c)
{
    let_stream_go(c, false);
}

void conn_leave(struct conn *c)
{
    bool can_talk =
        c->stream && c->tls_begun == stream_has_tls(c->stream); /* no half a handshake */

    if (can_talk) (void)stream_write(c->stream, SPAN_LIT("QUIT\r\n"));
    let_stream_go(c, can_talk);
}

static void give_slot_back(struct conn *c, enum router_result result)
{
    if (!c->has_slot) return;
    c->has_slot = false;
    list_remove(&c->idle_link);
    list_remove(&c->all_link);
    c->site->conns--;
    c->site = NULL; /* may be gone after */
    site_give_back(c->d, c->plan->p.site, result);
}

static void end(struct conn *c, enum router_result result, bool politely)
{
    CHECK(!c->y);
    CHECK(c->phase != CONN_GONE);
    if (c->phase >= CONN_IDLE)
        log_event(LOG_INFO, "conn.close", LOG_TEXT("site", c->plan->p.site),
                  LOG_TEXT("remote_address", c->remote.address),
                  LOG_NUM("transactions", c->deliveries));
    c->phase = CONN_GONE;
    find_cancel(c);
    auth_drop(c);
    let_stream_go(c, politely);
    list_remove(&c->link);
    list_add(&c->d->conns_gone, &c->link);
    c->d->conn_count--;
    metric_sub(M_CONNS_OUT_OPEN, 1);
    give_slot_back(c, result);
}

void conn_drop(struct conn *c, enum router_result result)
{
    end(c, result, false);
}

void conn_free_gone(struct deliver *d)
{
    struct list *it;

    while ((it = list_take_first(&d->conns_gone)) != NULL) {
        struct conn *c = CONTAINER_OF(it, struct conn, link);

        plan_unref(&c->plan);
        free(c);
    }
}

void conn_quit(struct conn *c, bool waits)
{
    if (c->phase == CONN_GONE) return;
    c->phase = CONN_QUITTING;
    give_slot_back(c, ROUTER_CONN_OK);
    say_quit(c);
    if (!waits) end(c, ROUTER_CONN_OK, true);
}

/* ---- with a delivery, without one */

void conn_rest(struct conn *c)
{
    struct deliver *d = c->d;

    CHECK(!c->y && c->expected_count == 0);
    if (d->draining || plan_is_past(d, c->plan) || c->deliveries >= d->o.transactions_per_connection_max) {
        conn_quit(c, true);
        return;
    }
    c->phase = CONN_IDLE;
    list_add(&c->site->idle, &c->idle_link);
    list_add(&d->conns_idle, &c->all_link);
    conn_wait_for(c, d->o.idle_ms);
    site_offer(c->site);
}

void conn_begin(struct conn *c, struct delivery *y)
{
    loop_timer_stop(&c->timer);
    c->phase = CONN_BUSY;
    c->y = y;
    y->c = c;
    y->remote = c->remote;
    delivery_trace(y);
    if (!fit(c)) {
        conn_delivery_over(c);
        return;
    }
    if (fit_is_binary(y) && y->by_bdat && c->deliveries > 0) {
        conn_leave(c); /* verb_bdat.c: only on a connection of its own */
        conn_again(c);
        return;
    }
    c->deliveries++;
    c->replies = 0;
    y->said = y->heard = 0;
    delivery_claim(y);
    if (c->y == y) say_mail(c); /* else it could not be claimed, and c is gone */
}

void conn_delivery_over(struct conn *c)
{
    struct delivery *y = conn_part(c);

    conn_rest(c);
    delivery_over(y);
}

void conn_ready(struct conn *c)
{
    CHECK(!secure_is_needed(c) || stream_has_tls(c->stream));
    CHECK(!auth_is_needed(c) || c->is_authenticated);
    log_event(
        LOG_INFO, "conn.open", LOG_TEXT("site", c->plan->p.site),
        LOG_TEXT("remote_host", c->remote.host), LOG_TEXT("remote_address", c->remote.address),
        LOG_TEXT("source_address", c->remote.source), LOG_TEXT("tls", c->remote.tls),
        c->is_authenticated ? LOG_TEXT("auth", smtp_mechanism_name(c->sasl.mechanism)) : LOG_SKIP);
    metric_add(M_CONNS_OUT, 1);
    c->fail_set = false;
    conn_begin(c, c->y);
}

void conn_again(struct conn *c)
{
    c->y->is_new_conn = true;
    c->deliveries = 0;
    c->must_reset = false;
    find_start(c);
}

/* A server that has waited too long for us: nothing of the delivery has happened there. */
static bool is_tired(const struct conn *c, unsigned replies)
{
    return c->deliveries > 1 && c->replies == replies && !c->y->is_new_conn;
}

bool conn_refused(struct conn *c, enum step step, const struct smtp_reply *r)
{
    static const enum router_stage stages[STEP_COUNT] = { [STEP_MAIL] = ROUTER_AT_MAIL,
                                                          [STEP_RCPT] = ROUTER_AT_RCPT,
                                                          [STEP_DATA] = ROUTER_AT_DATA,
                                                          [STEP_BDAT] = ROUTER_AT_DATA,
                                                          [STEP_DOT] = ROUTER_AT_DOT };
    struct delivery *y = c->y;
    struct router_meaning meaning;
    struct verdict *v = delivery_reply(y, stages[step], r, &meaning);

    if (meaning.closes && is_tired(c, 1)) {
        conn_again(c);
        return true;
    }
    delivery_judge(y, v);
    if (!meaning.closes) return false;
    conn_part(c);
    conn_drop(c, ROUTER_CONN_FAILED);
    delivery_over(y);
    return true;
}

/* ---- breaking */

static void break_busy(struct conn *c, const struct verdict *why)
{
    struct delivery *y = c->y;
    struct verdict *v;

    if (is_tired(c, 0)) {
        conn_again(c);
        return;
    }
    v = delivery_verdict(y);
    *v = *why;
    if (y->dot_said && !y->lone_dot) {
        v->result = ANGARIUM__RESULT__RESULT_IN_DOUBT;
        snprintf(v->class, sizeof v->class, "no_reply_after_dot");
    }
    delivery_judge(y, v);
    conn_part(c);
    conn_drop(c, ROUTER_CONN_FAILED);
    delivery_over(y);
}

void conn_broken(struct conn *c, const char *class, const char *fmt, ...)
{
    struct verdict v = { .result = ANGARIUM__RESULT__RESULT_DEFERRED, .counts = true };
    va_list args;

    snprintf(v.class, sizeof v.class, "%s", class);
    va_start(args, fmt);
    vsnprintf(v.text, sizeof v.text, fmt, args);
    va_end(args);
    if (c->phase == CONN_BUSY)
        break_busy(c, &v);
    else if (c->phase >= CONN_IDLE)
        conn_drop(c, ROUTER_CONN_OK);
    else if (c->said == STEP_AUTH)
        auth_broken(c, &v);
    else if (c->tls_begun ||
             c->said == STEP_STARTTLS) /* and the first EHLO behind it: TLS 1.3 says no late */
        secure_failed(c, "4.7.5", "TLS with %s: %s", c->remote.host, v.text);
    else
        find_failed(c, &v);
}

static void on_end(void *arg, int err)
{
    struct conn *c = arg;

    if (c->phase == CONN_CONNECTING)
        conn_broken(c, "connect", "%s: %s", c->remote.address, err_text(err));
    else if (err == ERR_TLS)
        conn_broken(c, "tls", "%s", stream_why(c->stream));
    else if (err == ERR_CLOSED)
        conn_broken(c, "closed", "%s closed the connection after %s", c->remote.address,
                    step_name(c->said));
    else
        conn_broken(c, "closed", "the connection to %s broke after %s: %s", c->remote.address,
                    step_name(c->said), err_text(err));
}

static void on_ready(void *arg)
{
    struct conn *c = arg;

    if (c->phase == CONN_CONNECTING) {
        c->phase = CONN_OPENING;
        snprintf(c->remote.source, sizeof c->remote.source, "%s", stream_self(c->stream)->text);
        conn_say(c, STEP_GREETING, span_of(NULL, 0), 1);
    } else {
        snprintf(c->remote.tls, sizeof c->remote.tls, "%s %s", stream_tls_text(c->stream),
                 stream_tls_verified(c->stream) ? "verified" : "unverified");
        smtp_reply_reader_init(&c->reader);
        c->offer =
            (struct smtp_offer){ 0 }; /* what was said in clear counts no longer (RFC 3207 4.2) */
        say_ehlo(c);
    }
}

static void on_low(void *arg)
{
    data_go(arg);
}

static void on_closed(void *arg)
{
    (void)arg;
}

const struct stream_calls conn_calls = { .on_read = conn_read,
                                         .on_low = on_low,
                                         .on_ready = on_ready,
                                         .on_end = on_end,
                                         .on_closed = on_closed };
