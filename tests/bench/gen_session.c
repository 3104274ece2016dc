/* gen_session - one connection of mailgen after another: connect, greet, secure, authenticate,
 * mails. */
#include "tests/bench/gen.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define BACKOFF_LEAST_US 5000u
#define BACKOFF_MOST_US  200000u
#define FAILURES_MAX     5
#define LOOK_AGAIN_US    20000u

static uint64_t backoff_us(unsigned failures)
{
    uint64_t us = (uint64_t)BACKOFF_LEAST_US << (failures < 6 ? failures : 6);

    return us < BACKOFF_MOST_US ? us : BACKOFF_MOST_US;
}

/* ---- connections */

static void watch(struct gen_session *s)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s };

    epoll_ctl(s->gen->epoll, EPOLL_CTL_ADD, s->wire.fd, &e);
}

static void set_options(struct gen_session *s)
{
    int on = 1;

    if (s->gen->plan.nodelay) setsockopt(s->wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void off(struct gen_session *s, bool failed)
{
    wire_close(&s->wire);
    s->failures = failed ? s->failures + 1 : 0;
    s->wake_us = failed ? wire_now_us() + backoff_us(s->failures) : 0;
    s->phase = GEN_OFF;
    if (failed && !s->gen->plan.keep_trying && s->failures >= FAILURES_MAX) s->phase = GEN_GONE;
}

static void broken(struct gen_session *s)
{
    if (s->phase == GEN_MAIL) gen_mail_lost(s);
    if (s->phase < GEN_IDLE) s->gen->tally.connect_failures++;
    off(s, s->phase != GEN_QUIT);
}

static void connect_now(struct gen_session *s)
{
    s->mails = 0;
    s->secured = false;
    s->phase = GEN_CONNECT;
    s->wire.quickack = s->gen->plan.quickack;
    if (!wire_connect(&s->wire, &s->gen->plan.to)) {
        broken(s);
        return;
    }
    set_options(s);
    watch(s);
}

static void connected(struct gen_session *s)
{
    int failure = 0;
    socklen_t n = sizeof failure;

    getsockopt(s->wire.fd, SOL_SOCKET, SO_ERROR, &failure, &n);
    if (failure) {
        broken(s);
        return;
    }
    s->phase = s->gen->plan.tls == GEN_TLS_IMPLICIT ? GEN_TLS : GEN_GREETING;
    if (s->phase == GEN_TLS) wire_tls(&s->wire, s->gen->plan.ctx);
}

/* ---- replies before the first mail */

static void say_ehlo(struct gen_session *s)
{
    s->can_pipeline = s->can_size = s->can_bdat = false;
    bytes_addf(&s->wire.out, "EHLO load.invalid\r\n");
    s->phase = GEN_EHLO;
}

static void shake_hands(struct gen_session *s)
{
    enum wire_turn turn = wire_handshake(&s->wire);

    if (turn == WIRE_BROKEN) {
        broken(s);
    } else if (turn == WIRE_MOVED) {
        s->secured = true;
        if (SSL_session_reused(s->wire.ssl))
            s->gen->tally.resumed++;
        else
            s->gen->tally.full++;
        if (s->gen->plan.tls == GEN_TLS_STARTTLS)
            say_ehlo(s);
        else
            s->phase = GEN_GREETING;
    }
}

static void take_offer(struct gen_session *s, const char *text)
{
    const struct gen_plan *p = &s->gen->plan;

    if (strncasecmp(text, "PIPELINING", 10) == 0) s->can_pipeline = p->pipelining;
    if (strncasecmp(text, "SIZE", 4) == 0) s->can_size = true;
    if (strncasecmp(text, "CHUNKING", 8) == 0) s->can_bdat = p->bdat;
}

static void say_auth(struct gen_session *s)
{
    const struct gen_plan *p = &s->gen->plan;
    unsigned char plain[512], text[1024];
    int n = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, p->user, 0,
                     p->password ? p->password : "");

    EVP_EncodeBlock(text, plain, n);
    bytes_addf(&s->wire.out, "AUTH PLAIN %s\r\n", (char *)text);
    s->phase = GEN_AUTH;
}

static void idle(struct gen_session *s)
{
    s->phase = GEN_IDLE;
    s->wake_us = 0;
}

static void after_ehlo(struct gen_session *s)
{
    if (s->gen->plan.tls == GEN_TLS_STARTTLS && !s->secured) {
        bytes_addf(&s->wire.out, "STARTTLS\r\n");
        s->phase = GEN_STARTTLS;
        return;
    }
    s->gen->tally.connections++;
    if (s->gen->plan.user) {
        say_auth(s);
    } else {
        idle(s);
    }
}

/* ---- replies after mails */

static void quit(struct gen_session *s)
{
    bytes_addf(&s->wire.out, "QUIT\r\n");
    s->phase = GEN_QUIT;
}

static void after_mail(struct gen_session *s)
{
    unsigned most = s->gen->plan.per_session;

    if (s->mail.failed) {
        s->failures++;
        bytes_addf(&s->wire.out, "RSET\r\n");
        s->phase = GEN_RSET;
        return;
    }
    s->failures = 0;
    if (most > 0 && ++s->mails >= most)
        quit(s);
    else
        idle(s);
}

static void after_rset(struct gen_session *s)
{
    idle(s);
    s->wake_us = wire_now_us() + backoff_us(s->failures);
}

static void refused(struct gen_session *s, int code)
{
    s->gen->tally.by_code[code > 0 && code < GEN_CODES ? code : 0]++;
    if (s->phase == GEN_MAIL) s->mail.failed = code;
    broken(s);
}

static void take_reply(struct gen_session *s, int code, bool last, const char *text)
{
    if (s->phase == GEN_EHLO && code == 250) take_offer(s, text);
    if (!last) return;
    if (s->phase == GEN_MAIL && code != 421) {
        if (!gen_mail_reply(s, code, text))
            gen_mail_send(s);
        else if (s->mail.in_text)
            off(s, true); /* an answer before the end */
        else
            after_mail(s);
    } else if (s->phase == GEN_QUIT) {
        off(s, false);
    } else if (code / 100 != 2) {
        refused(s, code);
    } else if (s->phase == GEN_GREETING) {
        say_ehlo(s);
    } else if (s->phase == GEN_EHLO) {
        after_ehlo(s);
    } else if (s->phase == GEN_STARTTLS) {
        s->phase = GEN_TLS;
        wire_tls(&s->wire, s->gen->plan.ctx);
    } else if (s->phase == GEN_AUTH) {
        idle(s);
    } else if (s->phase == GEN_RSET) {
        after_rset(s);
    } else {
        broken(s); /* a reply that nobody asked for */
    }
}

static void take_lines(struct gen_session *s)
{
    size_t n;

    while (s->wire.fd >= 0) {
        char *line = wire_line(&s->wire, &n), *end;
        unsigned long code;

        if (!line) return;
        code = strtoul(line, &end, 10);
        if (n < 3 || end != line + 3) {
            broken(s);
            return;
        }
        take_reply(s, (int)code, *end != '-', n > 4 ? end + 1 : "");
    }
}

/* ---- events */

static void read_all(struct gen_session *s)
{
    enum wire_turn turn = WIRE_MOVED;

    while (turn == WIRE_MOVED && s->wire.fd >= 0 && s->phase != GEN_TLS) {
        turn = wire_fill(&s->wire);
        take_lines(s);
        if (turn == WIRE_BROKEN && s->wire.fd >= 0) broken(s);
    }
}

static void write_all(struct gen_session *s)
{
    while (s->wire.fd >= 0 && s->phase != GEN_TLS) {
        enum wire_turn turn = wire_flush(&s->wire);

        if (turn == WIRE_BROKEN) broken(s);
        if (turn != WIRE_MOVED || s->phase != GEN_MAIL || !gen_mail_more(s)) return;
    }
}

void gen_session_event(struct gen_session *s, uint32_t events)
{
    if (s->phase == GEN_CONNECT && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) connected(s);
    if (s->phase == GEN_TLS) shake_hands(s);
    if (s->wire.fd >= 0 && s->phase > GEN_TLS) read_all(s);
    if (s->phase == GEN_TLS) shake_hands(s);
}

static bool is_over(const struct gen_session *s)
{
    return s->gen->stopping || s->phase == GEN_GONE;
}

static uint64_t turn_idle(struct gen_session *s, uint64_t now_us)
{
    uint64_t due_us;

    if (s->wake_us > now_us) return s->wake_us;
    if (!gen_may_begin(s->gen, now_us, &due_us)) {
        s->wake_us = due_us == UINT64_MAX ? now_us + LOOK_AGAIN_US : due_us;
        return s->wake_us;
    }
    gen_mail_begin(s, due_us);
    return UINT64_MAX;
}

uint64_t gen_session_turn(struct gen_session *s, uint64_t now_us)
{
    uint64_t next = UINT64_MAX;

    if (s->phase == GEN_OFF) {
        if (is_over(s))
            s->phase = GEN_GONE;
        else if (s->wake_us > now_us)
            return s->wake_us;
        else
            connect_now(s);
    }
    if (s->phase == GEN_IDLE) {
        if (is_over(s))
            quit(s);
        else
            next = turn_idle(s, now_us);
    }
    write_all(s);
    return s->phase == GEN_OFF ? s->wake_us : next;
}
