/* AUTH PLAIN and LOGIN (RFC 4954, RFC 4616), on TLS only. The password goes from the line into an
 * attempt (auth.c), which wipes it; here it lies in one buffer that is wiped before we return, and so
 * is the line, where the stream has it.
 * Base64 is strict: a text that is not is never tried (501). A client that answers "*" has thought
 * better of it.
 */
#include "node/accept/session.h"

#include <sodium.h>
#include <stdlib.h>

#include "node/smtp/base64.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

bool verb_auth_check(struct session *s, struct span arg)
{
    if (!session_is_submission(s)) return session_refuse(s, SMTP_REPLY_NOT_IMPLEMENTED);
    if (!session_pass(s, GATE_TLS | GATE_HELO)) return false;
    if (s->credential) return session_refuse(s, SMTP_REPLY_AUTH_ALREADY);
    if (s->state != SESSION_READY) return session_refuse(s, SMTP_REPLY_BAD_SEQUENCE);
    return arg.n > 0 ? true : session_refuse(s, SMTP_REPLY_BAD_ARGUMENT);
}

/* ---- the result */

static void log_failed(const struct session *s, const char *why)
{
    log_event(LOG_WARN, "auth.failed", LOG_TEXT("session", s->id),
              LOG_TEXT("client", s->client.text), LOG_TEXT("username", s->auth_username),
              LOG_TEXT("mechanism", s->auth_mechanism), LOG_TEXT("reason", why));
}

static void end_exchange(struct session *s)
{
    free(s->auth_username);
    s->auth_username = NULL;
    if (s->state != SESSION_READY) session_state_set(s, SESSION_READY);
}

static void fail(struct session *s, enum smtp_reply_id id, const char *why)
{
    if (s->auth_username) log_failed(s, why);
    end_exchange(s);
    session_reply(s, id, NULL);
}

static void succeed(struct session *s, const struct credential *credential, bool was_cached)
{
    struct accept *a = s->accept;
    struct span username = span_cstr(credential->username);

    clients_succeeded(a->clients, s->address, username);
    if (!clients_enter_as(a->clients, username, loop_mono_ms(a->loop), &s->user)) {
        metric_add(M_SESSION_LIMIT_CREDENTIAL, 1);
        end_exchange(s);
        session_reply_close(s, SMTP_REPLY_CREDENTIAL_SESSIONS, "too many sessions of a credential");
        return;
    }
    log_event(LOG_INFO, "auth.ok", LOG_TEXT("session", s->id), LOG_TEXT("client", s->client.text),
              LOG_TEXT("username", credential->username), LOG_TEXT("tenant", credential->tenant),
              LOG_TEXT("mechanism", s->auth_mechanism), LOG_NUM("cached", was_cached));
    metric_add(was_cached ? M_AUTH_CACHED : M_AUTH_OK, 1);
    s->credential = credential;
    end_exchange(s);
    session_reply(s, SMTP_REPLY_AUTH_OK, NULL);
}

/* Wrong, for whatever reason: each failure from this address or for this username is told later
 * than the one before. */
static void deny(struct session *s, const char *why)
{
    struct accept *a = s->accept;
    uint64_t delay_ms =
        clients_failed(a->clients, s->address, span_cstr(s->auth_username), loop_mono_ms(a->loop));

    metric_add(M_AUTH_FAILED, 1);
    s->auth_failure = why;
    if (delay_ms == 0) {
        verb_auth_delayed(s);
        return;
    }
    if (s->state != SESSION_AUTH_WAIT) session_state_set(s, SESSION_AUTH_WAIT);
    loop_timer_start(&s->delay_timer, delay_ms);
}

void verb_auth_delayed(struct session *s)
{
    fail(s, SMTP_REPLY_AUTH_FAILED, s->auth_failure);
}

static void conclude(struct session *s, int rv, const struct credential *credential)
{
    if (rv == 0) {
        succeed(s, credential, false);
    } else if (rv == ERR_DENIED) {
        deny(s, auth_is_elsewhere(s->auth, s->client.text, span_cstr(s->auth_username))
                    ? "the credential may not be used from this address"
                    : "wrong username or password");
    } else {
        metric_add(M_AUTH_BUSY, 1);
        fail(s, SMTP_REPLY_AUTH_UNAVAILABLE, err_text(rv));
    }
}

static void on_verified(void *arg, int rv, const struct credential *credential)
{
    struct session *s = arg;

    s->attempt = NULL;
    conclude(s, rv, credential);
    session_go_on(s);
}

/* After too many failures nothing is tried. A username that waits is told as what cannot be tried
 * now for any other reason. */
static bool may_try(struct session *s)
{
    struct accept *a = s->accept;
    enum clients_gate gate =
        clients_gate(a->clients, s->address, span_cstr(s->auth_username), loop_mono_ms(a->loop));

    if (gate == CLIENTS_MAY_TRY) return true;
    metric_add(M_AUTH_THROTTLED, 1);
    if (gate == CLIENTS_USERNAME_WAITS) {
        fail(s, SMTP_REPLY_AUTH_UNAVAILABLE, "too many failures for this username");
        return false;
    }
    log_failed(s, "too many failures from this address");
    end_exchange(s);
    session_reply_close(s, SMTP_REPLY_AUTH_THROTTLED, "too many failures of AUTH");
    return false;
}

static void verify(struct session *s, struct span password)
{
    const struct credential *credential;
    int rv;

    if (!may_try(s)) return;
    rv = auth_verify(s->auth, s->accept->loop, s->client.text, span_cstr(s->auth_username),
                     password, &credential, &s->attempt, on_verified, s);

    if (rv == 0)
        succeed(s, credential, true);
    else if (rv == ERR_AGAIN)
        session_state_set(s, SESSION_AUTH_WAIT);
    else
        conclude(s, rv, NULL);
}

/* ---- the exchange */

/* A name that nobody can have is kept as nobody's: it fails like any unknown one, and takes as
 * long. */
static void keep_username(struct session *s, struct span name)
{
    bool is_possible = name.n <= AUTH_USERNAME_MAX && span_find(name, 0, '\0') == name.n;

    free(s->auth_username);
    s->auth_username = span_dup(is_possible ? name : SPAN_LIT(""));
}

static void take_plain(struct session *s, struct span message)
{
    struct span authzid, authcid, password;

    if (sasl_plain_split(message, &authzid, &authcid, &password) != 0) {
        fail(s, SMTP_REPLY_BAD_BASE64, "");
        return;
    }
    keep_username(s, authcid);
    if (authzid.n > 0 && !span_eq(authzid, authcid)) {
        if (may_try(s)) deny(s, "to act for another is not allowed");
        return;
    }
    verify(s, password);
}

static void take_answer(struct session *s, struct span bytes)
{
    switch (s->auth_step) {
    case AUTH_STEP_PLAIN:
        take_plain(s, bytes);
        return;
    case AUTH_STEP_LOGIN_USERNAME:
        keep_username(s, bytes);
        s->auth_step = AUTH_STEP_LOGIN_PASSWORD;
        session_state_set(s, SESSION_AUTH_LINE);
        session_reply(s, SMTP_REPLY_AUTH_PASSWORD, NULL);
        return;
    case AUTH_STEP_LOGIN_PASSWORD:
        verify(s, bytes);
        return;
    }
}

static void take_base64(struct session *s, struct span text)
{
    uint8_t bytes[AUTH_SECRET_MAX];
    size_t n = 0;

    if (base64_decode(text, bytes, sizeof bytes, &n) == 0)
        take_answer(s, span_of(bytes, n));
    else
        fail(s, SMTP_REPLY_BAD_BASE64, "not base64");
    sodium_memzero(bytes, sizeof bytes);
}

void verb_auth_line(struct session *s, struct span line)
{
    if (span_eq(line, SPAN_LIT("*")))
        fail(s, SMTP_REPLY_AUTH_CANCELLED, "cancelled");
    else
        take_base64(s, line);
}

static bool choose_mechanism(struct session *s, struct span name)
{
    if ((s->mechanisms & ACCEPT_AUTH_PLAIN) && span_eq_nocase(name, SPAN_LIT("PLAIN"))) {
        s->auth_mechanism = "PLAIN";
        s->auth_step = AUTH_STEP_PLAIN;
        return true;
    }
    if ((s->mechanisms & ACCEPT_AUTH_LOGIN) && span_eq_nocase(name, SPAN_LIT("LOGIN"))) {
        s->auth_mechanism = "LOGIN";
        s->auth_step = AUTH_STEP_LOGIN_USERNAME;
        return true;
    }
    return false;
}

void verb_auth_act(struct session *s, struct span arg)
{
    size_t name_size = span_find(arg, 0, ' ');
    bool has_initial = name_size < arg.n;
    struct span initial = has_initial ? span_from(arg, name_size + 1) : span_of(NULL, 0);

    if (!choose_mechanism(s, span_sub(arg, 0, name_size))) {
        session_reply(s, SMTP_REPLY_BAD_MECHANISM, NULL);
    } else if (has_initial) {
        take_base64(s, span_eq(initial, SPAN_LIT("=")) ? span_of(NULL, 0) : initial);
    } else {
        session_state_set(s, SESSION_AUTH_LINE);
        session_reply(s,
                      s->auth_step == AUTH_STEP_PLAIN ? SMTP_REPLY_AUTH_CONTINUE
                                                      : SMTP_REPLY_AUTH_USERNAME,
                      NULL);
    }
}
