/* session - one connection's life (RFC 5321 3.1-3.10, 4.2.2, 4.5.3.2).
 *
 *      NEW --> HANDSHAKE (implicit TLS)
 *       |          |    ^
 *       +-> FRESH <+    | STARTTLS
 *             | HELO    |
 *             v         |      AUTH
 *      +--> READY ------+---------------> AUTH_LINE -> AUTH_WAIT -> READY
 *      |      | MAIL
 *      |      v         BDAT
 *      |  ENVELOPE ------------> CHUNK <-> BETWEEN
 *      |      | DATA               | LAST
 *      |      v                    v
 *      |    DATA --------------> FLUSH    the last chunk of an upload waits for room
 *      | the answer                v
 *      +------------------------ COMMIT
 *
 * From anywhere: CLOSED. A CHUNK that no transaction wants (its bytes are read all the same) leads
 * back to where it came from.
 *
 * Invariants:
 * - session_state_set alone writes the state, and only as the table allows.
 * - Commands are answered in order: nothing is read while one waits (AUTH_WAIT, FLUSH, COMMIT),
 *   while the window of an upload is full, or while the client does not take its replies.
 * - A line ends with LF, and one that has no CR before it is refused: nobody waits for an end that
 *   does not come, and what others may see as two lines never runs as two commands here.
 * - Whatever ends the session forgets what it has asked of commit and of the pools.
 */
#include "node/accept/session.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define REPLY_ROOM ((size_t)ACCEPT_SCRATCH_MAX) /* without so much room no command is read */

/* ---- states */

enum timeout { TIMEOUT_NONE, TIMEOUT_GREETING, TIMEOUT_IDLE, TIMEOUT_DATA_IDLE };

struct state_fact {
    const char *name, *phrase;
    unsigned successors;
    enum timeout timeout;
};

#define S(name) (1u << SESSION_##name)
#define STATE_FACT_(name, successors, timeout, phrase)                                             \
    [SESSION_##name] = { #name, phrase, successors, TIMEOUT_##timeout },
static const struct state_fact states[SESSION_STATE_COUNT] = { SESSION_STATE_TABLE(STATE_FACT_) };
#undef STATE_FACT_
#undef S

static void restart_idle_timer(struct session *s)
{
    const struct accept_limits *limits = &s->terms->limits;

    switch (states[s->state].timeout) {
    case TIMEOUT_NONE:
        loop_timer_stop(&s->idle_timer);
        break;
    case TIMEOUT_GREETING:
        loop_timer_start(&s->idle_timer, limits->greeting_ms);
        break;
    case TIMEOUT_IDLE:
        loop_timer_start(&s->idle_timer, limits->idle_ms);
        break;
    case TIMEOUT_DATA_IDLE:
        loop_timer_start(&s->idle_timer, limits->data_idle_ms);
        break;
    }
}

/* What is closed stays closed: a verb whose reply did not leave need not know. */
void session_state_set(struct session *s, enum session_state state)
{
    if (s->state == SESSION_CLOSED) return;
    CHECK(state == SESSION_CLOSED || (states[s->state].successors & (1u << state)) != 0);
    s->state = state;
    restart_idle_timer(s);
    session_window_update(s);
}

bool session_has_tls(const struct session *s)
{
    return s->stream && stream_has_tls(s->stream);
}

/* ---- the end */

static void log_end(const struct session *s, const char *reason)
{
    log_event(LOG_INFO, "session.close", LOG_TEXT("session", s->id),
              LOG_TEXT("client", s->client.text), LOG_TEXT("reason", reason),
              LOG_TEXT("state", states[s->state].phrase), LOG_NUM("accepted", s->mails_accepted),
              LOG_NUM("refused", s->mails_refused), LOG_NUM("errors", s->error_count),
              LOG_NUM("bytes", s->bytes_in),
              LOG_NUM("ms", loop_mono_ms(s->accept->loop) - s->opened_ms));
}

static void end(struct session *s, const char *reason)
{
    log_end(s, reason);
    transaction_close(&s->transaction);
    auth_attempt_forget(&s->attempt);
    loop_timer_stop(&s->life_timer);
    loop_timer_stop(&s->delay_timer);
    session_state_set(s, SESSION_CLOSED);
}

void session_close(struct session *s, const char *reason)
{
    if (s->state == SESSION_CLOSED) return;
    end(s, reason);
    stream_close(&s->stream);
}

void session_abort(struct session *s, const char *reason)
{
    if (s->state == SESSION_CLOSED) return;
    end(s, reason);
    stream_abort(&s->stream);
}

/* Out of its accept, which may go away now. */
static void leave(struct session *s)
{
    struct accept_clients *clients = s->accept->clients;

    clients_weigh(clients, s->weight, 0);
    clients_leave_as(clients, &s->user);
    clients_leave(clients, &s->address);
    list_remove(&s->link);
    s->accept->session_count--;
    s->accept = NULL;
    metric_sub(M_SESSIONS_OPEN, 1);
}

static void session_free(struct session *s)
{
    if (s->accept) leave(s);
    accept_auth_unref(&s->auth);
    terms_unref(&s->terms);
    free(s->auth_username);
    free(s);
}

void session_cut(struct session *s)
{
    session_abort(s, "the server ends");
    leave(s);
}

/* ---- replies */

static void write_scratch(struct session *s)
{
    if (!s->stream) return;
    if (stream_write(s->stream, buf_span(&s->accept->scratch)) != 0) s->is_broken = true;
}

void session_reply(struct session *s, enum smtp_reply_id id, const char *more)
{
    if (!s->stream) return;
    if (smtp_reply_fact(id)->code >= 500) s->error_count++;
    session_count_limit(id);
    buf_reset(&s->accept->scratch);
    smtp_reply_print(&s->accept->scratch, id, more);
    write_scratch(s);
}

void session_reply_lines(struct session *s)
{
    write_scratch(s);
}

bool session_refuse(struct session *s, enum smtp_reply_id id)
{
    session_reply(s, id, NULL);
    return false;
}

void session_reply_close(struct session *s, enum smtp_reply_id id, const char *reason)
{
    session_reply(s, id, NULL);
    session_close(s, reason);
}

/* Who talks before he was greeted is no mail program that waits for answers, or sends what another put
 * into its mouth; nothing of it is taken (RFC 5321 4.3.1). */
static void refuse_early_talker(struct session *s, size_t n)
{
    metric_add(M_SESSIONS_EARLY, 1);
    log_event(LOG_INFO, "session.early", LOG_TEXT("session", s->id),
              LOG_TEXT("client", s->client.text), LOG_NUM("bytes", n));
    session_reply_close(s, SMTP_REPLY_EARLY_TALKER, "talked before the greeting");
}

static void greet(struct session *s)
{
    size_t early = stream_in_waiting(s->stream);

    if (early > 0) {
        refuse_early_talker(s, early);
        return;
    }
    buf_reset(&s->accept->scratch);
    buf_addf(&s->accept->scratch, "220 %s ESMTP ready\r\n", s->accept->hostname);
    session_state_set(s, SESSION_FRESH);
    write_scratch(s);
}

/* ---- gates */

int session_gate(const struct session *s, unsigned gates)
{
    if ((gates & GATE_TLS) && session_is_submission(s) && !session_has_tls(s))
        return SMTP_REPLY_NEED_TLS;
    if ((gates & GATE_HELO) && s->helo[0] == '\0') return SMTP_REPLY_NEED_HELO;
    if ((gates & GATE_AUTH) && session_is_submission(s) && !s->credential)
        return SMTP_REPLY_NEED_AUTH;
    return GATE_OPEN;
}

bool session_pass(struct session *s, unsigned gates)
{
    int missing = session_gate(s, gates);

    if (missing == GATE_OPEN) return true;
    return session_refuse(s, (enum smtp_reply_id)missing);
}

/* ---- reading */

/* Can a command, or a piece of a body, be taken now? */
static bool takes_input(const struct session *s)
{
    switch (s->state) {
    case SESSION_NEW:
    case SESSION_HANDSHAKE:
    case SESSION_AUTH_WAIT:
    case SESSION_FLUSH:
    case SESSION_COMMIT:
    case SESSION_CLOSED:
        return false;
    default:
        break;
    }
    if (s->is_blocked || s->is_broken) return false;
    return !(s->transaction.body_is_open && body_is_full(&s->transaction.body));
}

/* What ends a session between two commands. */
static void settle(struct session *s)
{
    bool is_between = s->state == SESSION_FRESH || s->state == SESSION_READY;

    session_weigh(s);
    if (s->is_broken) {
        session_abort(s, "the client does not read");
    } else if (s->error_count >= s->terms->limits.errors_max) {
        if (s->state == SESSION_CLOSED) return;
        metric_add(M_SESSION_LIMIT_ERRORS, 1);
        session_reply_close(s, SMTP_REPLY_TOO_MANY_ERRORS, "too many errors");
    } else if (s->unknown_count >= s->terms->limits.unknown_max) {
        if (s->state == SESSION_CLOSED) return;
        metric_add(M_SESSION_LIMIT_UNKNOWN, 1);
        session_reply_close(s, SMTP_REPLY_TOO_MANY_ERRORS, "too many unknown commands");
    } else if (is_between && s->accept->draining) {
        session_reply_close(s, SMTP_REPLY_SHUTDOWN, "shutdown");
    } else if (is_between && s->life_is_over) {
        session_reply_close(s, SMTP_REPLY_SESSION_LIMIT, "lifetime");
    } else if (s->stream && stream_out_room(s->stream) < REPLY_ROOM) {
        s->is_blocked = true;
    }
}

/* Nothing is read while a command waits. A handshake does its own reading. */
static void pause_or_read(struct session *s)
{
    if (!s->stream || s->state == SESSION_HANDSHAKE) return;
    if (takes_input(s)) {
        stream_read_more(s->stream);
    } else {
        s->window_is_excused = true;
        stream_read_pause(s->stream);
    }
}

/* Until now it was not the client who was waited for: its time begins now. */
void session_go_on(struct session *s)
{
    settle(s);
    if (!s->stream) return;
    restart_idle_timer(s);
    pause_or_read(s);
}

struct verb {
    bool (*check)(struct session *s, struct span arg);
    void (*act)(struct session *s, struct span arg);
};
#define VERB(NAME, name) [SMTP_VERB_##NAME] = { verb_##name##_check, verb_##name##_act }
static const struct verb verbs[SMTP_VERB_COUNT] = {
    VERB(UNKNOWN, unknown), VERB(HELO, helo), VERB(EHLO, ehlo), VERB(STARTTLS, starttls),
    VERB(AUTH, auth),       VERB(MAIL, mail), VERB(RCPT, rcpt), VERB(DATA, data),
    VERB(BDAT, bdat),       VERB(RSET, rset), VERB(NOOP, noop), VERB(VRFY, vrfy),
    VERB(QUIT, quit),       VERB(HELP, help), VERB(EXPN, expn),
};
#undef VERB

static void run_line(struct session *s, struct span line)
{
    struct span arg;
    const struct verb *v;

    if (s->state == SESSION_AUTH_LINE) {
        verb_auth_line(s, line);
        return;
    }
    v = &verbs[smtp_command_parse(line, &arg)];
    if (v->check(s, arg)) v->act(s, arg);
}

static bool is_of_auth(const struct session *s, struct span in)
{
    return s->state == SESSION_AUTH_LINE || span_starts_nocase(in, SPAN_LIT("AUTH "));
}

static size_t line_size_max(const struct session *s, struct span in)
{
    size_t max = s->terms->limits.line_size_max;

    return is_of_auth(s, in) && max < SESSION_AUTH_LINE_SIZE ? SESSION_AUTH_LINE_SIZE : max;
}

static void line_too_long(struct session *s)
{
    if (s->state == SESSION_AUTH_LINE) session_state_set(s, SESSION_READY);
    session_reply(s, s->skips_auth ? SMTP_REPLY_AUTH_LINE_TOO_LONG : SMTP_REPLY_LINE_TOO_LONG,
                  NULL);
}

/* Drops a line that is too long, up to and with its end. */
static bool skip_line(struct session *s, struct span *in)
{
    size_t end = span_find(*in, 0, '\n');

    if (!s->skips_line) s->skips_auth = is_of_auth(s, *in);
    s->skips_line = end == in->n;
    *in = span_from(*in, s->skips_line ? in->n : end + 1);
    if (!s->skips_line) line_too_long(s);
    return !s->skips_line;
}

/* Takes one line from *in and runs it; false: it is not complete. */
static bool take_line(struct session *s, struct span *in)
{
    size_t max = line_size_max(s, *in);
    size_t end = span_find(*in, 0, '\n');
    bool is_secret = is_of_auth(s, *in);
    struct span line;

    if (s->skips_line || (end == in->n ? in->n >= max : end >= max)) return skip_line(s, in);
    if (end == in->n) return false;
    line = span_sub(*in, 0, end);
    *in = span_from(*in, end + 1);
    s->behind = in->n;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        run_line(s, span_sub(line, 0, line.n - 1));
    else if (s->state == SESSION_AUTH_LINE)
        verb_auth_line(s, SPAN_LIT("\n")); /* no base64 either */
    else
        session_reply(s, SMTP_REPLY_UNKNOWN_COMMAND, NULL);
    if (is_secret && s->stream) stream_wipe(s->stream, line);
    return true;
}

static bool step(struct session *s, struct span *in)
{
    switch (s->state) {
    case SESSION_DATA:
        verb_data_read(s, in);
        return true;
    case SESSION_CHUNK:
        verb_bdat_read(s, in);
        return true;
    default:
        return take_line(s, in);
    }
}

/* The greeting has not left yet. On implicit TLS what comes right behind the handshake is found here. */
static bool is_early(const struct session *s)
{
    return s->bytes_in == 0 && s->state == SESSION_FRESH && stream_out_bytes(s->stream) > 0;
}

static size_t on_read(void *arg, struct span bytes)
{
    struct session *s = arg;
    struct span rest = bytes;
    bool has_stepped = false;

    if (is_early(s)) {
        refuse_early_talker(s, bytes.n);
        return bytes.n;
    }
    while (rest.n > 0 && takes_input(s) && step(s, &rest)) {
        has_stepped = true;
        settle(s);
    }
    s->bytes_in += bytes.n - rest.n;
    if (!s->stream) return bytes.n - rest.n;
    if (has_stepped) restart_idle_timer(s);
    if (!takes_input(s)) pause_or_read(s);
    return bytes.n - rest.n;
}

/* ---- what else the stream and the timers tell */

static void on_low(void *arg)
{
    struct session *s = arg;

    s->is_blocked = false;
    session_go_on(s);
}

static void on_ready(void *arg)
{
    struct session *s = arg;

    if (s->kind == ACCEPT_SUBMISSIONS)
        greet(s);
    else
        verb_starttls_ready(s);
    session_go_on(s);
}

static void on_end(void *arg, int err)
{
    struct session *s = arg;

    if (err == ERR_CLOSED)
        session_close(s, "the client closed");
    else
        session_abort(s, stream_why(s->stream));
}

static void on_closed(void *arg)
{
    session_free(arg);
}

static const struct stream_calls calls = {
    .on_read = on_read,
    .on_low = on_low,
    .on_ready = on_ready,
    .on_end = on_end,
    .on_closed = on_closed,
};

/* The client is not to blame while it is commit that has no room. */
static void on_idle(struct loop_timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, idle_timer);

    if (s->state == SESSION_NEW) {
        greet(s);
        if (s->stream) session_go_on(s);
        return;
    }
    if (s->transaction.body_is_open && body_is_full(&s->transaction.body)) {
        restart_idle_timer(s);
        return;
    }
    metric_add(M_SESSION_LIMIT_IDLE, 1);
    if (s->state == SESSION_HANDSHAKE)
        session_abort(s, "timeout");
    else
        session_reply_close(s, SMTP_REPLY_IDLE, "timeout");
}

static void on_delay_over(struct loop_timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, delay_timer);

    verb_auth_delayed(s);
    session_go_on(s);
}

/* A mail that commit has is waited for a little longer, so that it is not sent twice. */
static void on_life_over(struct loop_timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, life_timer);
    bool waits = s->state == SESSION_FLUSH || s->state == SESSION_COMMIT;

    if (waits && !s->life_is_over) {
        s->life_is_over = true;
        loop_timer_start(&s->life_timer, s->terms->limits.data_idle_ms);
        return;
    }
    metric_add(M_SESSION_LIMIT_LIFE, 1);
    if (s->state == SESSION_HANDSHAKE)
        session_abort(s, "lifetime");
    else
        session_reply_close(s, SMTP_REPLY_SESSION_LIMIT, "lifetime");
}

void session_drain(struct session *s)
{
    if (s->state == SESSION_HANDSHAKE)
        session_abort(s, "shutdown");
    else if (s->state == SESSION_AUTH_LINE)
        session_reply_close(s, SMTP_REPLY_SHUTDOWN, "shutdown");
    else if (s->state != SESSION_CLOSED)
        settle(s);
}

/* ---- the begin */

static void print_id(struct session *s)
{
    static atomic_uint_fast64_t counter; /* of the process: its loops have one sequence */
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char start[14];
    char *p = start + sizeof start;
    uint64_t v = s->accept->start;

    *--p = '\0';
    do {
        *--p = digits[v % 36];
        v /= 36;
    } while (v > 0);
    snprintf(s->id, sizeof s->id, "%llu-%s-%llu", (unsigned long long)s->accept->node, p,
             (unsigned long long)atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed) + 1);
}

static void begin(struct session *s)
{
    log_event(LOG_INFO, "session.open", LOG_TEXT("session", s->id),
              LOG_TEXT("client", s->client.text), LOG_NUM("port", s->client.port),
              LOG_TEXT("kind", accept_kind_name(s->kind)));
    loop_timer_start(&s->life_timer, s->terms->limits.life_ms);
    if (s->kind == ACCEPT_MX && s->terms->limits.greeting_ms > 0) {
        stream_read_pause(s->stream);
        restart_idle_timer(s);
        return;
    }
    if (s->kind != ACCEPT_SUBMISSIONS) {
        greet(s);
        return;
    }
    session_state_set(s, SESSION_HANDSHAKE);
    if (!s->accept->tls || stream_tls(s->stream, s->accept->tls, NULL) != 0)
        session_abort(s, "no TLS");
}

void session_open(struct accept *a, struct stream *stream, struct tally *address,
                  const struct accept_service *service)
{
    struct session *s = check_calloc(1, sizeof *s);

    s->accept = a;
    s->kind = service->kind;
    s->bare = service->bare;
    s->mechanisms =
        service->mechanisms ? service->mechanisms : ACCEPT_AUTH_PLAIN | ACCEPT_AUTH_LOGIN;
    s->state = SESSION_NEW;
    s->chunk.refusal = GATE_OPEN;
    loop_timer_init(&s->idle_timer, a->loop, on_idle);
    loop_timer_init(&s->life_timer, a->loop, on_life_over);
    session_window_init(s);
    loop_timer_init(&s->delay_timer, a->loop, on_delay_over);
    s->stream = stream;
    stream_set_arg(stream, &calls, s);
    s->address = address;
    s->auth = accept_auth_ref(a->auth);
    s->terms = terms_ref(a->terms);
    s->client = *stream_peer(s->stream);
    s->opened_ms = loop_mono_ms(a->loop);
    print_id(s);
    list_add(&a->sessions, &s->link);
    a->session_count++;
    metric_add(M_SESSIONS, 1);
    metric_add(M_SESSIONS_OPEN, 1);
    session_weigh(s);
    begin(s);
}
