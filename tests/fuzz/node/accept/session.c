/* session - whole sessions out of bytes: loop, stream, listener, TLS and commit are doubles in
 * memory (their names are taken here, so that the real ones are not linked), accept is real.
 *
 * Input: one byte of circumstances, then what the client sends; 0xff and one byte is an event.
 *
 * Holds, whatever comes:
 * - Every reply is a line of its form.
 * - A mail reaches commit only whole, within its limits, without a bare CR, LF or NUL (but in a binary body),
 *   its requests in range, and on submission
 *   only on TLS and from somebody who is authenticated.
 * - "queued as" is written exactly as often as commit says yes to a session that is still there.
 */
#include <sodium.h>
#include <stdlib.h>

#include "node/accept/accept.h"
#include "node/accept/session.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define IN_MAX       (64u << 10)
#define FILLER_LINES 600u
#define START_MS     1000000u

/* ---- the world */

struct stream {
    const struct stream_calls *calls;
    void *arg;
    struct buf in;
    struct stream_address peer;
    bool is_paused, is_tls_coming, has_tls, is_full, is_gone, is_shown;
};
struct listener {
    struct listener_options options;
};
struct commit_upload {
    struct buf body;
    unsigned flying;
    bool is_room_wanted;
    void (*on_room)(void *arg);
    void *arg;
};
struct timers {
    struct loop_timer *list[8];
    unsigned count;
};

static struct {
    enum accept_kind kind;
    struct accept_limits limits;
    struct accept *accept;
    struct listener *listener;
    struct stream *stream; /* NULL: none came */
    uint64_t now_ms;
    struct timers timers;
    struct loop_work *work;       /* waiting for a thread */
    struct commit_mail *mail;     /* waiting for its answer */
    struct commit_upload *upload; /* the only session has at most one */
    int answer, refuse, take;
    unsigned yes, queued; /* commit said so; the client was told */
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
    return w.now_ms;
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*on_fire)(struct loop_timer *t))
{
    *t = (struct loop_timer){ .loop = l, .due_ms = UINT64_MAX, .on_fire = on_fire };
    CHECK(w.timers.count < 8);
    w.timers.list[w.timers.count++] = t;
}

void loop_timer_start(struct loop_timer *t, uint64_t in_ms)
{
    t->due_ms = w.now_ms + in_ms;
}

void loop_timer_stop(struct loop_timer *t)
{
    t->due_ms = UINT64_MAX;
}

int loop_work(struct loop *l, enum loop_pool pool, struct loop_work *work)
{
    (void)l;
    CHECK(pool == LOOP_POOL_CPU);
    if (w.work) return ERR_FULL;
    w.work = work;
    return 0;
}

/* ---- TLS, listener, stream */

struct tls *tls_ref(struct tls *t)
{
    return t;
}

void tls_unref(struct tls **t)
{
    *t = NULL;
}

int listener_open(struct listener **out, struct loop *l, const struct listener_options *o,
                  struct errmsg *why)
{
    (void)l;
    (void)why;
    *out = w.listener = check_calloc(1, sizeof **out);
    (*out)->options = *o;
    return 0;
}

uint16_t listener_port(const struct listener *li)
{
    (void)li;
    return 25;
}

void listener_close(struct listener **li)
{
    free(*li);
    *li = w.listener = NULL;
}

int stream_accept(struct stream **out, struct listener *li, const struct stream_options *o)
{
    struct stream *s = check_calloc(1, sizeof *s);

    (void)li;
    s->calls = o->calls;
    s->arg = o->arg;
    s->peer = (struct stream_address){ .text = "192.0.2.1", .port = 12345 };
    buf_init(&s->in, 4 * IN_MAX);
    *out = w.stream = s;
    return 0;
}

/* One or more lines, each with its code. */
static void check_replies(struct span lines)
{
    while (lines.n > 0) {
        size_t end = span_find(lines, 0, '\n');
        CHECK(end < lines.n && end >= 4 && lines.p[end - 1] == '\r');
        CHECK(lines.p[0] >= '2' && lines.p[0] <= '5');
        CHECK(lines.p[3] == ' ' || lines.p[3] == '-');
        for (size_t i = 0; i < end - 1; i++)
            CHECK(lines.p[i] >= 0x20 && lines.p[i] < 0x7f);
        if (span_starts_nocase(lines, SPAN_LIT("250 2.0.0 OK: queued as "))) w.queued++;
        lines = span_from(lines, end + 1);
    }
}

int stream_write(struct stream *s, struct span bytes)
{
    CHECK(!s->is_gone);
    CHECK(!s->is_tls_coming);
    CHECK(bytes.n > 0);
    check_replies(bytes);
    return 0;
}

size_t stream_out_bytes(const struct stream *s)
{
    return s->is_full ? 256u << 10 : 0;
}

size_t stream_in_bytes(const struct stream *s)
{
    return s->in.n;
}

size_t stream_in_waiting(const struct stream *s)
{
    return s->in.n;
}

/* What is shown is s->in. */
void stream_wipe(struct stream *s, struct span shown)
{
    CHECK(shown.p >= s->in.p && shown.p + shown.n <= s->in.p + s->in.n);
    memset(s->in.p + (shown.p - s->in.p), 0, shown.n);
}

void stream_set_arg(struct stream *s, const struct stream_calls *calls, void *arg)
{
    s->calls = calls;
    s->arg = arg;
}

size_t stream_out_room(const struct stream *s)
{
    return s->is_full ? 0 : 256u << 10;
}

void stream_read_pause(struct stream *s)
{
    s->is_paused = true;
}

void stream_read_more(struct stream *s)
{
    CHECK(!s->is_gone);
    s->is_paused = false;
}

int stream_tls(struct stream *s, struct tls *ctx, const char *host)
{
    CHECK(ctx && !host);
    CHECK(!s->has_tls && !s->is_tls_coming);
    s->is_tls_coming = true;
    return 0;
}

bool stream_has_tls(const struct stream *s)
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

const struct stream_address *stream_peer(const struct stream *s)
{
    return &s->peer;
}

void stream_close(struct stream **s)
{
    CHECK(!(*s)->is_gone);
    (*s)->is_gone = true;
    *s = NULL;
}

void stream_abort(struct stream **s)
{
    stream_close(s);
}

/* Shows what is kept, as long as it is wanted. */
static void pump(void)
{
    struct stream *s = w.stream;

    while (!s->is_gone && !s->is_paused && s->in.n > 0) {
        size_t n = s->in.n < IN_MAX ? s->in.n : IN_MAX, eaten;
        if (s->is_tls_coming) {
            buf_reset(&s->in); /* no record */
            return;
        }
        eaten = s->calls->on_read(s->arg, span_sub(buf_span(&s->in), 0, n));
        CHECK(eaten <= n);
        buf_drop(&s->in, s->is_tls_coming ? s->in.n : eaten);
        if (eaten == 0) return;
    }
}

static void feed(struct span bytes)
{
    if (w.stream->is_gone || w.stream->in.n + bytes.n > 2 * IN_MAX) return;
    buf_add_span(&w.stream->in, bytes);
    pump();
}

/* ---- commit */

static void check_mail(const struct commit_mail *m)
{
    const Angarium__Accept *a = m->accept;
    struct span body = m->upload ? buf_span(&m->upload->body) : blob_span(m->body);

    CHECK((m->body != NULL) != (m->upload != NULL));
    CHECK(a->n_recipients > 0 && a->n_recipients <= w.limits.recipients_max);
    CHECK(a->body->size == body.n && body.n <= w.limits.message_size_max);
    CHECK(a->expires_at_ms > a->time_ms && a->origin->tenant.len > 0);
    for (size_t i = 0; i < a->n_recipients; i++)
        CHECK(a->recipients[i]->address.len > 0 && a->recipients[i]->domain.len > 0);
    CHECK(proto_request_ok(proto_span(a->envid), a->ret, a->body_type));
    for (size_t i = 0; i < a->n_recipients; i++)
        CHECK(proto_notify_ok(a->recipients[i]->notify) &&
              a->recipients[i]->orcpt.len <= PROTO_ORCPT_SIZE_MAX);
    if (a->body_type == PROTO_BODY_BINARYMIME) body.n = a->body->header_size;
    CHECK(!memchr(body.p, 0, body.n));
    for (size_t i = 0; i < body.n; i++) {
        if (body.p[i] == '\n') CHECK(i > 0 && body.p[i - 1] == '\r');
        if (body.p[i] == '\r') CHECK(i + 1 < body.n && body.p[i + 1] == '\n');
    }
    if (w.kind == ACCEPT_MX) return;
    CHECK(w.stream->has_tls);
    CHECK(span_eq(proto_span(a->origin->credential), SPAN_LIT("demo")));
}

static void upload_free(struct commit_upload **u)
{
    buf_deinit(&(*u)->body);
    free(*u);
    *u = w.upload = NULL;
}

int commit_mail(struct commit *c, struct loop *l, struct commit_mail *m)
{
    (void)c;
    (void)l;
    CHECK(!w.mail);
    check_mail(m);
    if (w.refuse) return w.refuse;
    blob_unref(&m->body);
    if (m->upload) upload_free(&m->upload);
    w.mail = m;
    return 0;
}

void commit_mail_forget(struct commit_mail *m)
{
    CHECK(w.mail == m);
    w.mail = NULL;
}

int commit_may_take(struct commit *c, uint64_t size)
{
    (void)c;
    CHECK(size <= w.limits.message_size_max);
    return w.take;
}

int commit_upload_open(struct commit *c, struct loop *l, struct commit_upload **out)
{
    (void)c;
    (void)l;
    CHECK(!w.upload);
    if (w.take) return w.take;
    *out = w.upload = check_calloc(1, sizeof **out);
    buf_init(&(*out)->body, 64u << 20);
    return 0;
}

int commit_upload_chunk(struct commit_upload *u, struct blob **chunk)
{
    CHECK((*chunk)->n > 0 && (*chunk)->n <= COMMIT_INLINE_SIZE_MAX);
    CHECK(!u->is_room_wanted);
    if (w.refuse) return w.refuse == ERR_FULL ? ERR_IO : w.refuse;
    if (u->flying == COMMIT_UPLOAD_WINDOW) {
        u->is_room_wanted = true;
        return ERR_FULL;
    }
    u->flying++;
    buf_add_span(&u->body, blob_span(*chunk));
    blob_unref(chunk);
    return 0;
}

void commit_upload_on_room(struct commit_upload *u, void (*on_room)(void *arg), void *arg)
{
    u->on_room = on_room;
    u->arg = arg;
}

void commit_upload_abort(struct commit_upload **u)
{
    if (*u) upload_free(u);
}

/* ---- events */

static void answer_mail(void)
{
    struct commit_mail *m = w.mail;

    w.mail = NULL;
    if (w.answer == 0) w.yes++;
    m->on_done(m, w.answer, w.answer == 0 ? proto_id(1, w.yes) : 0);
    CHECK(w.queued == w.yes);
}

static void do_work(void)
{
    struct loop_work *work = w.work;

    w.work = NULL;
    work->run(work);
    work->on_done(work);
}

static void make_room(void)
{
    struct commit_upload *u = w.upload;

    u->flying = 0;
    if (!u->is_room_wanted) return;
    u->is_room_wanted = false;
    u->on_room(u->arg);
}

/* What others owe the session comes. */
static void turn(void)
{
    struct stream *s = w.stream;

    if (w.work) do_work();
    if (w.mail) answer_mail();
    if (w.upload) make_room();
    if (!s->is_gone && s->is_tls_coming) {
        s->is_tls_coming = false;
        s->has_tls = true;
        s->calls->on_ready(s->arg);
    }
    if (!s->is_gone && s->is_full) {
        s->is_full = false;
        s->calls->on_low(s->arg);
    }
    if (!s->is_gone) pump();
}

static void pass_time(void)
{
    w.now_ms += w.limits.data_idle_ms / 2;
    for (unsigned i = 0; i < w.timers.count; i++) {
        struct loop_timer *t = w.timers.list[i];
        if (t->due_ms > w.now_ms) continue;
        t->due_ms = UINT64_MAX;
        t->on_fire(t);
    }
}

static void feed_filler(void)
{
    struct buf lines;

    buf_init(&lines, IN_MAX);
    for (unsigned i = 0; i < FILLER_LINES; i++)
        buf_add_cstr(
            &lines,
            "a line of filler, so that a body becomes large enough to be uploaded in pieces\r\n");
    feed(buf_span(&lines));
    buf_deinit(&lines);
}

static void end_by_client(int err)
{
    struct stream *s = w.stream;

    if (!s->is_gone && !s->is_paused) s->calls->on_end(s->arg, err);
}

static void event(uint8_t what)
{
    static const int errors[] = { 0, ERR_FULL, ERR_NOT_LEADER, ERR_CLOSED, ERR_UNKNOWN };

    switch (what & 15) {
    case 0:
        turn();
        break;
    case 1:
        w.answer = errors[(what >> 4) % 5];
        break;
    case 2:
        w.refuse = errors[(what >> 4) % 5];
        break;
    case 3:
        w.take = errors[(what >> 4) % 5];
        break;
    case 4:
        pass_time();
        break;
    case 5:
        accept_drain(w.accept);
        break;
    case 6:
        end_by_client(what >> 4 & 1 ? ERR_CLOSED : ERR_IO);
        break;
    case 7:
        feed_filler();
        break;
    case 8:
        w.stream->is_full = true;
        break;
    default:
        feed(span_of(&what, 1));
        break;
    }
}

static void run(struct span in)
{
    while (in.n > 0) {
        size_t end = span_find(in, 0, 0xff);
        if (end > 0) feed(span_sub(in, 0, end));
        if (end + 1 < in.n) event(in.p[end + 1]);
        in = span_from(in, end + 2 < in.n ? end + 2 : in.n);
    }
}

/* ---- begin and end */

static struct accept_auth *make_auth(void)
{
    static char hash[crypto_pwhash_STRBYTES];
    static const char *const domains[] = { "example.test" };
    const struct accept_tenant tenant = { "demo", domains, 1, false };
    const struct accept_credential credential = { "demo", "demo", hash, NULL };
    struct accept_auth *auth;

    if (hash[0] == '\0') {
        CHECK(sodium_init() >= 0);
        CHECK(crypto_pwhash_str_alg(hash, "secret", 6, crypto_pwhash_OPSLIMIT_MIN,
                                    crypto_pwhash_MEMLIMIT_MIN, crypto_pwhash_ALG_ARGON2ID13) == 0);
    }
    CHECK(accept_auth_new(&auth, &credential, 1, &tenant, 1, 1000, 4, NULL) == 0);
    return auth;
}

static void begin(uint8_t circumstances, struct accept_auth *auth)
{
    static char no_tls; /* an address is all that is needed of it */
    struct accept_options o = { .auth = auth,
                                .tls = (struct tls *)(void *)&no_tls,
                                .node = 1,
                                .hostname = "relay.test",
                                .expire_ms = 1000 };
    struct stream_address at = { .text = "192.0.2.2" };
    struct accept_service service = { .kind = (enum accept_kind)(circumstances % 3),
                                      .bare = circumstances & 8 ? ACCEPT_BARE_NORMALISE
                                                                : ACCEPT_BARE_REFUSE };

    memset(&w, 0, sizeof w);
    w.now_ms = START_MS;
    w.kind = (enum accept_kind)(circumstances % 3);
    accept_limits_default(&w.limits);
    if (circumstances & 16) w.limits.message_size_max = 1000;
    if (circumstances & 32) w.limits.recipients_max = 2;
    if (circumstances & 64) w.limits.line_size_max = 512;
    w.limits.errors_max = circumstances & 128 ? 3 : 1000;
    o.limits = w.limits;
    o.carries_binary = circumstances & 4;
    CHECK(accept_new(&w.accept, &o, NULL) == 0);
    CHECK(accept_listen(w.accept, &service, &at, NULL) == 0);
    w.listener->options.on_connection(w.listener->options.arg, w.listener);
    CHECK(w.stream);
}

static void end(void)
{
    struct stream *s = w.stream;

    if (s->is_gone) CHECK(!w.mail && !w.upload);
    accept_free(&w.accept);
    CHECK(s->is_gone && !w.mail && !w.upload);
    s->calls->on_closed(s->arg);
    if (w.work) do_work();
    buf_deinit(&s->in);
    free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct accept_auth *auth;

    if (n == 0) return 0;
    log_set_level(LOG_ERROR);
    auth = make_auth();
    begin(bytes[0], auth);
    run(span_of(bytes + 1, n - 1));
    end();
    accept_auth_unref(&auth);
    return 0;
}
