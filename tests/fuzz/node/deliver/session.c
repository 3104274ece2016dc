/* session - a hostile server against our client: loop, streams and TLS are doubles in memory (their names are taken
 * here, so that the real ones are not linked); deliver, router and queue are real, commit is the one of the stories.
 *
 * Input: one byte of circumstances, then what the server says; 0xff and one byte is an event: an answer that fits
 * what was said last, one of the usual refusals, a turn, time, an end.
 *
 * Holds, whatever comes:
 * - No MAIL in clear where the route demands TLS; with an account no MAIL before AUTH is accepted, no secret in clear,
 *   and each secret is told of once.
 * - P2: a dot, or a last chunk, leaves only while every recipient of the transaction is claimed.
 * - No second dot for a recipient before what became of the first is recorded; DELIVERED and IN_DOUBT only behind one.
 * - In the end nothing hangs: when the server has gone and time has passed, deliver is idle and nothing is claimed.
 */
#include <stdlib.h>

#include "node/deliver/deliver.h"
#include "node/smtp/data.h"
#include "proto/ground/log.h"
#include "tests/conformance/deliver/commit_double.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define RECIPIENTS   4u
#define PENDING_MAX  4096u
#define TIMERS_MAX   256u
#define MINUTE_MS    60000u
#define EVENTS_MAX   400u
#define SERVER_BYTES (64u << 10)

/* What the server still has to answer. */
enum pending { GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, DOT, OTHER };

struct stream {
    const struct stream_calls *calls;
    void *arg;
    struct stream_address self;
    struct buf line; /* of a command that is being said */
    size_t chunk_left;
    bool is_ready, is_gone, has_tls, is_tls_coming, is_full, in_body, chunk_last, is_accepted;
    struct smtp_data_reader reader;
    unsigned said[RECIPIENTS], said_count; /* RCPT of this transaction */
    enum pending pending[PENDING_MAX];
    unsigned pending_count;
};

static struct {
    struct deliver *deliver;
    struct commit *commit;
    struct commit_watcher watcher;
    struct loop_timer *timers[TIMERS_MAX];
    unsigned timer_count;
    struct list hooks, works;
    struct stream *streams[64]; /* all that were opened; freed at the end */
    unsigned stream_count;
    struct stream *stream; /* the one that is open */
    uint64_t now_ms, mail;
    bool needs_tls, refuses, has_login;
    uint64_t held_until_ms;
    bool needs_token, was_refused, is_denied;
    unsigned secrets_out;    /* given, and not told of */
    bool handed[RECIPIENTS]; /* a dot has left, and what became of it is not recorded */
    const char *offers;
} w;

/* ---- loop */

uint64_t loop_mono_ms(const struct loop *l)
{
    (void)l;
    return w.now_ms;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    (void)l;
    return w.now_ms + 1000000;
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*on_fire)(struct loop_timer *t))
{
    *t = (struct loop_timer){ .loop = l, .due_ms = UINT64_MAX, .on_fire = on_fire };
}

void loop_timer_stop(struct loop_timer *t)
{
    for (unsigned i = 0; i < w.timer_count; i++)
        if (w.timers[i] == t) w.timers[i] = w.timers[--w.timer_count];
    t->due_ms = UINT64_MAX;
}

void loop_timer_start(struct loop_timer *t, uint64_t in_ms)
{
    loop_timer_stop(t);
    CHECK(w.timer_count < TIMERS_MAX);
    w.timers[w.timer_count++] = t;
    t->due_ms = w.now_ms + in_ms;
}

void loop_hook_add(struct loop *l, struct loop_hook *hook)
{
    (void)l;
    list_init(&hook->link);
    list_add(&w.hooks, &hook->link);
}

void loop_hook_remove(struct loop *l, struct loop_hook *hook)
{
    (void)l;
    list_remove(&hook->link);
}

void loop_again(struct loop *l)
{
    (void)l;
}

int loop_work(struct loop *l, enum loop_pool pool, struct loop_work *work)
{
    (void)l;
    (void)pool;
    list_init(&work->link);
    list_add(&w.works, &work->link);
    return 0;
}

/* ---- DNS and TLS: the next hop is an address, contexts are not looked at */

int dns_ask(struct dns *d, struct dns_query *q, enum dns_type type, const char *name)
{
    (void)d;
    (void)q;
    (void)type;
    (void)name;
    UNREACHED();
}

void dns_cancel(struct dns_query *q)
{
    (void)q;
}

struct tls *tls_ref(struct tls *t)
{
    return t;
}

void tls_unref(struct tls **t)
{
    *t = NULL;
}

/* ---- the account: a secret at the next turn, or none */

struct login_ask {
    struct list link;
    void (*done)(void *arg, const struct login_answer *a);
    void *arg;
    struct login_ask **owner;
};
static struct list asks;
static char account;

struct login *login_ref(struct login *l)
{
    return l;
}

void login_unref(struct login **l)
{
    *l = NULL;
}

const char *login_username(const struct login *l)
{
    (void)l;
    return "user";
}

bool login_is_token(const struct login *l)
{
    (void)l;
    return w.needs_token;
}

void login_ask(struct login *l, struct loop *loop,
               void (*done)(void *arg, const struct login_answer *a), void *arg,
               struct login_ask **ask)
{
    struct login_ask *a = check_calloc(1, sizeof *a);

    (void)loop;
    CHECK(l == (struct login *)(void *)&account && !*ask);
    *a = (struct login_ask){ .done = done, .arg = arg, .owner = ask };
    list_add(&asks, &a->link);
    *ask = a;
}

void login_ask_cancel(struct login_ask **ask)
{
    struct login_ask *a = *ask;

    if (!a) return;
    *ask = NULL;
    list_remove(&a->link);
    free(a);
}

void login_tell(struct login *l, struct loop *loop, struct secret **s, enum login_result result)
{
    (void)loop;
    CHECK(l == (struct login *)(void *)&account && *s && w.secrets_out > 0);
    w.secrets_out--;
    if (result == LOGIN_ACCEPTED) w.stream->is_accepted = true;
    w.is_denied = result == LOGIN_REFUSED && w.was_refused;
    if (w.is_denied) w.held_until_ms = w.now_ms + MINUTE_MS;
    w.was_refused = result == LOGIN_REFUSED;
    secret_unref(s);
}

bool login_is_held(struct login *l, struct loop *loop, uint64_t *until_ms)
{
    (void)l;
    (void)loop;
    *until_ms = w.held_until_ms;
    return w.held_until_ms > w.now_ms;
}

static void answer_asks(void)
{
    struct list *it;

    while ((it = list_take_first(&asks)) != NULL) {
        struct login_ask *a = CONTAINER_OF(it, struct login_ask, link);
        struct login_answer answer = { .why = "" };

        if (w.is_denied) {
            answer.result = ERR_DENIED;
            answer.again_at_ms = w.now_ms + MINUTE_MS;
        } else {
            answer.secret = secret_new(SPAN_LIT("secret"));
            w.secrets_out++;
        }
        w.is_denied = false;
        *a->owner = NULL;
        a->done(a->arg, &answer);
        free(a);
    }
}

/* ---- what the client says */

static void expect(struct stream *s, enum pending what)
{
    CHECK(s->pending_count < PENDING_MAX);
    s->pending[s->pending_count++] = what;
}

/* The mail changes hands here. */
static void hand_over(struct stream *s)
{
    for (unsigned i = 0; i < s->said_count; i++) {
        Angarium__RecipientRecord *r = NULL;

        CHECK(queue_recipient_get(commit_store(w.commit), DOUBLE_SHARD, w.mail, s->said[i], &r) ==
              0);
        CHECK(r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED);
        queue_recipient_free(&r);
        CHECK(!w.handed[s->said[i]]);
        w.handed[s->said[i]] = true;
    }
}

static void take_rcpt(struct stream *s, struct span line)
{
    unsigned number = line.n > 10 ? line.p[10] - (unsigned)'0' : RECIPIENTS;

    CHECK(number < RECIPIENTS && s->said_count < RECIPIENTS);
    s->said[s->said_count++] = number;
    expect(s, RCPT);
}

static void take_bdat(struct stream *s, struct span line)
{
    uint64_t n = 0;
    size_t end = span_find(line, 5, ' ');

    CHECK(span_u64(span_sub(line, 5, end - 5), SIZE_MAX, &n) == 0);
    s->chunk_left = n;
    s->chunk_last = end < line.n;
    if (s->chunk_last) CHECK(n == 0);
    if (s->chunk_last) hand_over(s);
    expect(s, s->chunk_last ? DOT : OTHER);
}

static void take_command(struct stream *s, struct span line)
{
    if (span_starts_nocase(line, SPAN_LIT("MAIL FROM:<"))) {
        CHECK(!w.needs_tls || s->has_tls);
        CHECK(!w.has_login || s->is_accepted);
        s->said_count = 0;
        expect(s, MAIL);
    } else if (span_starts_nocase(line, SPAN_LIT("RCPT TO:<r"))) {
        take_rcpt(s, line);
    } else if (span_starts_nocase(line, SPAN_LIT("BDAT "))) {
        take_bdat(s, line);
    } else if (span_eq(line, SPAN_LIT("DATA"))) {
        expect(s, DATA);
    } else if (span_eq(line, SPAN_LIT("."))) {
        expect(s, DOT); /* to nobody */
    } else if (span_eq(line, SPAN_LIT("STARTTLS"))) {
        expect(s, STARTTLS);
    } else if (span_starts_nocase(line, SPAN_LIT("EHLO "))) {
        expect(s, EHLO);
    } else {
        CHECK(span_starts_nocase(line, SPAN_LIT("HELO ")) || span_eq(line, SPAN_LIT("RSET")) ||
              span_eq(line, SPAN_LIT("QUIT")));
        expect(s, OTHER);
    }
}

static int drop(void *arg, struct span run)
{
    (void)arg;
    (void)run;
    return 0;
}

/* One byte of a command; a content begins with the trace header. */
static void take_byte(struct stream *s, uint8_t c)
{
    buf_add_u8(&s->line, c);
    CHECK(!buf_failed(&s->line));
    if (c != '\n') return;
    if (span_starts_nocase(buf_span(&s->line), SPAN_LIT("Received: "))) {
        struct span in = buf_span(&s->line);

        s->in_body = true;
        smtp_data_reader_init(&s->reader);
        CHECK(smtp_data_read(&s->reader, &in, drop, NULL) == ERR_AGAIN);
    } else {
        CHECK(s->line.n >= 2 && s->line.p[s->line.n - 2] == '\r');
        take_command(s, span_sub(buf_span(&s->line), 0, s->line.n - 2));
    }
    buf_reset(&s->line);
}

int stream_write(struct stream *s, struct span bytes)
{
    CHECK(!s->is_gone && !s->is_tls_coming && s->is_ready);
    while (bytes.n > 0) {
        if (s->chunk_left > 0) {
            size_t n = s->chunk_left < bytes.n ? s->chunk_left : bytes.n;

            s->chunk_left -= n;
            bytes = span_from(bytes, n);
        } else if (s->in_body) {
            if (smtp_data_read(&s->reader, &bytes, drop, NULL) == ERR_AGAIN) break;
            s->in_body = false;
            hand_over(s);
            expect(s, DOT);
        } else {
            take_byte(s, bytes.p[0]);
            bytes = span_from(bytes, 1);
        }
    }
    return 0;
}

int stream_write_secret(struct stream *s, struct span bytes)
{
    CHECK(w.has_login && s->has_tls && !s->is_gone && bytes.n >= 2);
    CHECK(memcmp(bytes.p + bytes.n - 2, "\r\n", 2) == 0);
    expect(s, AUTH);
    return 0;
}

/* ---- streams */

int stream_connect(struct stream **out, struct loop *l, const struct stream_address *to,
                   const char *from, unsigned timeout_ms, const struct stream_options *o)
{
    struct stream *s;

    (void)l;
    (void)to;
    (void)from;
    (void)timeout_ms;
    if (w.refuses || w.stream_count == sizeof w.streams / sizeof w.streams[0]) return ERR_REFUSED;
    s = check_calloc(1, sizeof *s);
    s->calls = o->calls;
    s->arg = o->arg;
    buf_init(&s->line, 64u << 10);
    s->pending[s->pending_count++] = GREETING;
    w.streams[w.stream_count++] = s;
    *out = w.stream = s;
    return 0;
}

size_t stream_out_bytes(const struct stream *s)
{
    return s->is_full ? 256u << 10 : 0;
}

size_t stream_out_room(const struct stream *s)
{
    return s->is_full ? 0 : 256u << 10;
}

int stream_tls(struct stream *s, struct tls *ctx, const char *host)
{
    CHECK(ctx && host && !s->has_tls && !s->is_tls_coming);
    s->is_tls_coming = true;
    return 0;
}

bool stream_has_tls(const struct stream *s)
{
    return s->has_tls;
}

bool stream_tls_verified(const struct stream *s)
{
    return s->has_tls;
}

const char *stream_tls_text(const struct stream *s)
{
    return s->has_tls ? "TLSv1.3" : "";
}

const char *stream_why(const struct stream *s)
{
    (void)s;
    return "it ended";
}

const struct stream_address *stream_self(const struct stream *s)
{
    return &s->self;
}

void stream_set_arg(struct stream *s, const struct stream_calls *calls, void *arg)
{
    s->calls = calls;
    s->arg = arg;
}

void stream_close(struct stream **ps)
{
    struct stream *s = *ps;

    CHECK(!s->is_gone);
    s->is_gone = true;
    if (w.stream == s) w.stream = NULL;
    *ps = NULL;
}

void stream_abort(struct stream **s)
{
    stream_close(s);
}

/* ---- events */

static void fire_timers(void)
{
    for (unsigned i = 0; i < w.timer_count;) {
        struct loop_timer *t = w.timers[i++];

        if (t->due_ms > w.now_ms) continue;
        loop_timer_stop(t);
        t->on_fire(t);
        i = 0; /* the list is another one now */
    }
}

static void turn(void)
{
    struct list *it;
    struct stream *s = w.stream;

    if (s && !s->is_ready) {
        s->is_ready = true;
        s->calls->on_ready(s->arg);
    }
    if (w.stream && w.stream->is_full) {
        s = w.stream;
        s->is_full = false;
        s->calls->on_low(s->arg);
    }
    while ((it = list_take_first(&w.works)) != NULL) {
        struct loop_work *work = CONTAINER_OF(it, struct loop_work, link);

        work->run(work);
        work->on_done(work);
    }
    fire_timers();
    answer_asks();
    LIST_FOR(h, &w.hooks) {
        struct loop_hook *hook = CONTAINER_OF(h, struct loop_hook, link);

        (void)hook->on_turn(hook, w.now_ms);
    }
}

static void pass_time(uint64_t ms)
{
    w.now_ms += ms;
    turn();
}

static void say(struct span bytes)
{
    struct stream *s = w.stream;

    if (!s || !s->is_ready || s->is_tls_coming || bytes.n == 0) return;
    (void)s->calls->on_read(s->arg, bytes);
}

static void say_text(const char *text)
{
    say(span_cstr(text));
}

/* The right answer to what waits for one. */
static void answer(void)
{
    static const char *const texts[] = {
        [GREETING] = "220 mx.test\r\n", [EHLO] = "",
        [STARTTLS] = "220 go\r\n",      [AUTH] = "235 2.7.0 ok\r\n",
        [MAIL] = "250 2.1.0 ok\r\n",    [RCPT] = "250 2.1.5 ok\r\n",
        [DATA] = "354 go on\r\n",       [DOT] = "250 2.0.0 taken\r\n",
        [OTHER] = "250 2.0.0 ok\r\n"
    };
    struct stream *s = w.stream;
    enum pending what;

    if (!s || s->pending_count == 0) return;
    what = s->pending[0];
    s->pending_count--;
    memmove(s->pending, s->pending + 1, s->pending_count * sizeof s->pending[0]);
    say_text(what == EHLO ? w.offers : texts[what]);
}

static void skip_answer(void)
{
    struct stream *s = w.stream;

    if (!s || s->pending_count == 0) return;
    s->pending_count--;
    memmove(s->pending, s->pending + 1, s->pending_count * sizeof s->pending[0]);
}

static void end_by_server(int err)
{
    struct stream *s = w.stream;

    if (!s) return;
    s->calls->on_end(s->arg, err);
    CHECK(s->is_gone);
}

static void handshake(void)
{
    struct stream *s = w.stream;

    if (!s || !s->is_tls_coming) return;
    s->is_tls_coming = false;
    s->has_tls = true;
    s->calls->on_ready(s->arg);
}

static void refuse(unsigned which)
{
    static const char *const texts[] = {
        "550 5.1.1 no such user\r\n",
        "421 4.3.2 going down\r\n",
        "450 4.2.0 Greylisted, try again in 5 minutes\r\n",
        "452 4.5.3 too many recipients\r\n",
        "250-2.0.0 taken\r\n550 5.7.1 or not\r\n",
        "554 5.7.1 spam\r\n",
        "354 go on\r\n",
        "250 ok\r\n250 ok\r\n",
        "334 VXNlcm5hbWU6\r\n",
        "535 5.7.8 no\r\n",
        "504 5.5.4 not that one\r\n",
        "454 4.7.0 later\r\n",
    };

    skip_answer();
    say_text(texts[which % 12]);
}

static void event(uint8_t what)
{
    static const int errors[] = { ERR_CLOSED, ERR_IO, ERR_TLS, ERR_TIMEOUT };

    switch (what & 15) {
    case 0:
        turn();
        break;
    case 1:
    case 2:
    case 3:
        answer();
        break;
    case 4:
        refuse(what >> 4);
        break;
    case 5:
        pass_time(MINUTE_MS * (1u + (what >> 4)));
        break;
    case 6:
        end_by_server(errors[what >> 4 & 3]);
        break;
    case 7:
        handshake();
        break;
    case 8:
        if (w.stream) w.stream->is_full = true;
        break;
    case 9:
        double_fail_claims(w.commit, what & 16 ? ERR_UNKNOWN : 0);
        break;
    case 10:
        double_hold_claims(w.commit, what & 16);
        break;
    case 11:
        double_cancel(w.commit, w.mail, (what >> 4) % RECIPIENTS);
        break;
    case 12: /* answers until there is nothing to answer */
        for (unsigned i = 0; i < 32; i++) {
            answer();
            handshake();
            turn();
        }
        break;
    default:
        say(span_of(&what, 1));
        break;
    }
}

static void run(struct span in)
{
    for (unsigned events = 0; in.n > 0 && events < EVENTS_MAX; events++) {
        size_t end = span_find(in, 0, 0xff);

        if (end > 0) say(span_sub(in, 0, end));
        if (end + 1 < in.n) event(in.p[end + 1]);
        in = span_from(in, end + 2 < in.n ? end + 2 : in.n);
    }
}

/* ---- what became of it */

static void on_event(const Angarium__Event *e)
{
    bool *handed = &w.handed[e->recipient_number];

    if (e->index != w.mail) return;
    switch (e->type) {
    case ANGARIUM__EVENT_TYPE__EVENT_DELIVERED:
    case ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT:
        CHECK(*handed);
        *handed = false;
        break;
    case ANGARIUM__EVENT_TYPE__EVENT_DEFERRED:
    case ANGARIUM__EVENT_TYPE__EVENT_BOUNCED:
        *handed = false;
        break;
    default:
        break;
    }
}

static void on_applied(void *arg, uint32_t shard, uint64_t entry,
                       const struct queue_effects *effects)
{
    (void)arg;
    (void)shard;
    (void)entry;
    for (size_t i = 0; i < effects->count; i++)
        if (effects->list[i].kind == QUEUE_EVENT) on_event(effects->list[i].event);
}

/* ---- begin and end */

static const char *const bodies[] = {
    "Subject: s\r\n\r\nHello.\r\n",
    "Subject: s\r\n\r\n.\r\n\xc3\xa4\r\n",
    ("MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n"
     "--s\r\n\r\n\xc3\xa4\r\n--s--\r\n"),
    "MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb",
};

static void take_in(uint8_t circumstances)
{
    static uint8_t hash[32];
    Angarium__Accept a = ANGARIUM__ACCEPT__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    Angarium__Recipient list[RECIPIENTS], *to[RECIPIENTS];
    static const char *const names[] = { "r0@a.test", "r1@a.test", "r2@a.test", "r3@a.test" };
    bool is_large = (circumstances & 15) == 15;
    struct buf body;
    struct span chunk;

    buf_init(&body, 1u << 20);
    buf_add_cstr(&body, bodies[circumstances & 3]);
    for (unsigned i = 0; is_large && i < 7000; i++)
        buf_add_cstr(&body, "a line of a letter that goes on and on\r\n");
    chunk = buf_span(&body);
    facts.eight_bit = (circumstances & 3) == 1 || (circumstances & 3) == 2;
    facts.header_size = 14;
    facts.size = body.n;
    facts.hash_simple = facts.hash_relaxed = proto_bytes(span_of(hash, sizeof hash));
    origin.tenant = proto_bytes(SPAN_LIT("demo"));
    origin.node = 1;
    a.time_ms = loop_wall_ms(NULL);
    a.mail_from = proto_bytes(SPAN_LIT("s@x.test"));
    a.body = &facts;
    a.origin = &origin;
    a.expires_at_ms = a.time_ms + 86400000;
    a.body_type = (circumstances & 3) == 3 ? PROTO_BODY_BINARYMIME : 0;
    a.n_recipients = 1 + (circumstances >> 2 & 3);
    a.recipients = to;
    for (size_t i = 0; i < a.n_recipients; i++) {
        angarium__recipient__init(&list[i]);
        list[i].address = proto_bytes(span_cstr(names[i]));
        list[i].domain = proto_bytes(SPAN_LIT("a.test"));
        list[i].notify = PROTO_NOTIFY_SUCCESS | PROTO_NOTIFY_FAILURE | PROTO_NOTIFY_DELAY;
        to[i] = &list[i];
    }
    w.mail = double_mail(w.commit, &a,
                         &(struct double_body){
                             .chunks = &chunk, .chunk_count = 1, .in_memory = circumstances & 1 });
    buf_deinit(&body);
}

static void begin(uint8_t circumstances)
{
    static char nothing; /* addresses are all that is needed of loop and contexts */
    static const char *const offers[] = {
        ("250-mx.test\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-DSN\r\n"
         "250-SIZE 0\r\n250-AUTH LOGIN PLAIN XOAUTH2\r\n250-BINARYMIME\r\n250 CHUNKING\r\n"),
        "250-mx.test\r\n250-STARTTLS\r\n250-DSN\r\n250-AUTH=LOGIN OAUTHBEARER\r\n250 SIZE "
        "100000\r\n",
        "250-mx.test\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
        "250 mx.test\r\n",
    };
    static struct login *const logins = (struct login *)(void *)&account;
    static struct router_rule rule;
    struct deliver_options o;
    struct errmsg why;

    memset(&w, 0, sizeof w);
    list_init(&w.hooks);
    list_init(&w.works);
    w.now_ms = 1000000;
    w.offers = offers[circumstances >> 4 & 3];
    w.needs_tls = circumstances & 128;
    w.has_login = w.needs_tls && circumstances & 64;
    w.needs_token = circumstances & 4;
    list_init(&asks);
    rule = (struct router_rule){
        .match = "*", .via = ROUTER_VIA_HOST, .host = "192.0.2.1", .port = 25
    };
    rule.tls = w.needs_tls          ? ROUTER_TLS_ENCRYPT
               : circumstances & 64 ? ROUTER_TLS_MAY
                                    : ROUTER_TLS_NONE;
    rule.login = w.has_login;
    deliver_options_default(&o);
    o.routes = deliver_routes_new(NULL, 0, &logins, 1);
    o.loop = (struct loop *)(void *)&nothing;
    o.tls = (struct tls *)(void *)&nothing;
    o.hostname = "node.test";
    o.node = 1;
    o.router.rules = &rule;
    o.router.rule_count = 1;
    o.router.site_connections_max = 1;
    o.router.retry_base_ms = o.router.retry_cap_ms = MINUTE_MS;
    w.commit = double_open(o.loop);
    o.commit = w.commit;
    w.watcher = (struct commit_watcher){ .on_effects = on_applied };
    commit_watch(w.commit, &w.watcher);
    CHECK(deliver_new(&w.deliver, &o, &why) == 0);
    deliver_routes_unref(&o.routes);
    double_lead(w.commit, true);
    take_in(circumstances);
    turn();
    turn();
}

static void expect_settled(void)
{
    struct queue_place place = { 0 };
    struct queue_ref ref;

    CHECK(w.stream == NULL);
    CHECK(deliver_is_idle(w.deliver));
    CHECK(w.secrets_out == 0 && list_empty(&asks));
    CHECK(queue_claims(commit_store(w.commit), DOUBLE_SHARD, &place, &ref, 1) == 0);
}

static void end(void)
{
    double_hold_claims(w.commit, false);
    double_fail_claims(w.commit, 0);
    w.refuses = true;
    for (unsigned i = 0; i < 4; i++) {
        turn();
        end_by_server(ERR_CLOSED);
        pass_time(31 * MINUTE_MS);
        turn();
    }
    expect_settled();
    deliver_free(&w.deliver);
    double_close(&w.commit);
    for (unsigned i = 0; i < w.stream_count; i++) {
        buf_deinit(&w.streams[i]->line);
        free(w.streams[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0 || n > SERVER_BYTES) return 0;
    log_set_level(LOG_ERROR);
    begin(bytes[0]);
    run(span_of(bytes + 1, n - 1));
    end();
    return 0;
}
