/* stream - the queues and the endings of a connection; libuv is in stream_tcp.c, OpenSSL in
 * stream_tls.c.
 *
 * Invariants: no call-back comes from inside a call of the owner: what is owed then is noted in
 * soon_what and told at the beginning of the next turn, which comes without sleeping. A stream's
 * memory lives until libuv's close call-back, which comes after everything else of a turn: so an
 * owner may close or abort a stream inside any call-back, and code here need only look at `state`
 * after each one. Buffers are given back as soon as they are empty.
 */
#include "node/net/stream_private.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "proto/ground/check.h"

#define IN_SIZE_DEFAULT  (64u << 10)
#define OUT_SIZE_DEFAULT (256u << 10)
#define FLUSH_SIZE       (64u << 10) /* more than this does not wait for the end of the turn */
#define CLOSE_MS         5000        /* for the queue to leave */
#define LINGER_MS        1000        /* after our FIN, for the peer's */

static void on_timer(struct loop_timer *t);
static void push(struct stream *s);

struct stream *stream_new(struct loop *l, bool client, const struct stream_options *o)
{
    struct stream *s = check_calloc(1, sizeof *s);

    s->loop = l;
    s->client = client;
    s->calls = o->calls;
    s->arg = o->arg;
    s->in_max = o->in_bytes_max > 0 ? o->in_bytes_max : IN_SIZE_DEFAULT;
    s->out_max = o->out_bytes_max > 0 ? o->out_bytes_max : OUT_SIZE_DEFAULT;
    s->why = "";
    buf_init(&s->in, s->in_max + LOOP_PLAIN_SIZE);
    buf_init(&s->queue, 2 * s->out_max + FLUSH_SIZE); /* TLS adds to what was written */
    buf_init(&s->wire, s->queue.size_max);
    list_init(&s->soon);
    list_init(&s->dirty);
    list_add(&l->streams, &s->link);
    loop_timer_init(&s->timer, l, on_timer);
    return s;
}

void stream_buf_free(struct buf *b)
{
    if (b->n > 0) return;
    buf_reset(b);
    buf_shrink(b, 0);
}

static void owe(struct stream *s, enum stream_soon what)
{
    s->soon_what |= what;
    if (list_empty(&s->soon)) list_add(&s->loop->soon, &s->soon);
}

void stream_mark_dirty(struct stream *s)
{
    if (list_empty(&s->dirty)) list_add(&s->loop->dirty, &s->dirty);
}

/* ---- in ---- */

bool stream_wants_reading(const struct stream *s)
{
    if (s->fin_received) return false;
    if (s->state == STREAM_CLOSING) return true;
    if (s->state != STREAM_OPEN || s->end_due) return false;
    if (s->tls && !s->tls->established) return true;
    return !s->paused && s->in.n < s->in_max;
}

void stream_update_reading(struct stream *s)
{
    bool wanted = stream_wants_reading(s);

    if (!wanted || s->reading) return; /* what is not wanted is stopped when something comes: tcp */
    s->reading = true;
    tcp_read_start(s);
}

/* Shows bytes to the owner: how many are done with. */
static size_t show(struct stream *s, struct span bytes)
{
    size_t eaten;

    s->soon_what &= ~(unsigned)STREAM_SOON_SHOW;
    s->drop_shown = false;
    s->showing = bytes.n;
    eaten = s->calls->on_read(s->arg, bytes);
    s->showing = 0;
    CHECK(eaten <= bytes.n);
    return s->drop_shown || s->state != STREAM_OPEN ? bytes.n : eaten;
}

static void show_kept(struct stream *s)
{
    size_t done = show(s, buf_span(&s->in));

    if (done > s->in.n) done = s->in.n; /* closed or begun TLS meanwhile: it is empty already */
    buf_drop(&s->in, done);
    stream_buf_free(&s->in);
}

void stream_input(struct stream *s, struct span plain)
{
    if (s->paused) {
        buf_add_span(&s->in, plain);
    } else if (s->in.n > 0) {
        buf_add_span(&s->in, plain);
        show_kept(s);
    } else {
        size_t done = show(s, plain);
        if (done < plain.n) buf_add_span(&s->in, span_from(plain, done));
    }
    CHECK(!buf_failed(&s->in));
}

/* What is shown lies in the stream's own memory, or in the loop's. */
void stream_wipe(struct stream *s, struct span shown)
{
    CHECK(shown.n <= s->showing);
    if (shown.n > 0) OPENSSL_cleanse((void *)(uintptr_t)shown.p, shown.n);
}

size_t stream_in_bytes(const struct stream *s)
{
    return s->showing > 0 ? s->showing : s->in.n;
}

size_t stream_in_waiting(const struct stream *s)
{
    return stream_in_bytes(s) + (s->tls ? 0 : tcp_in_waiting(s));
}

void stream_read_pause(struct stream *s)
{
    s->paused = true;
    stream_update_reading(s);
    if (s->broken) stream_end(s, s->end_err, s->why); /* reading would have told */
}

void stream_read_more(struct stream *s)
{
    s->paused = false;
    if (s->state != STREAM_OPEN) return;
    if (s->in.n > 0 || s->showing > 0 || s->end_due) owe(s, STREAM_SOON_SHOW);
    stream_update_reading(s);
}

/* ---- out ---- */

size_t stream_out_bytes(const struct stream *s)
{
    size_t n = s->queue.n + (s->tls ? s->tls->plain.n : 0);

    return n + (s->writing ? uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp) : 0);
}

size_t stream_out_room(const struct stream *s)
{
    size_t n = stream_out_bytes(s);

    return n < s->out_max ? s->out_max - n : 0;
}

int stream_write(struct stream *s, struct span bytes)
{
    struct buf *to = s->tls ? &s->tls->plain : &s->queue;
    size_t waiting;

    if (s->state > STREAM_OPEN || s->broken) return ERR_CLOSED;
    if (bytes.n > stream_out_room(s)) {
        if (bytes.n <= s->out_max) s->was_high = true;
        return ERR_FULL;
    }
    buf_add_span(to, bytes);
    if (buf_failed(to)) return ERR_FULL;
    waiting = stream_out_bytes(s);
    if (waiting > s->out_max / 2) s->was_high = true;
    if (to->n > FLUSH_SIZE)
        push(s);
    else
        stream_mark_dirty(s);
    return 0;
}

int stream_write_secret(struct stream *s, struct span bytes)
{
    if (!stream_has_tls(s)) return ERR_TLS;
    s->tls->has_secret = true;
    if (s->tls->plain.n == 0 && !buf_room(&s->tls->plain, bytes.n)) return ERR_FULL;
    return stream_write(s, bytes);
}

void stream_want_low(struct stream *s)
{
    s->was_high = true;
}

static void note_low(struct stream *s)
{
    if (!s->was_high || s->state != STREAM_OPEN || stream_out_bytes(s) >= s->out_max / 4) return;
    s->was_high = false;
    if (s->calls->on_low) owe(s, STREAM_SOON_LOW);
}

/* The socket takes no more. What the peer sent before may still be read: when it is being read,
 * reading comes to the end by itself and tells. */
static void write_failed(struct stream *s, int uv_err)
{
    s->broken = true;
    buf_reset(&s->queue);
    stream_buf_free(&s->queue);
    s->end_err = loop_err(uv_err);
    s->why = uv_strerror(uv_err);
    if (s->state == STREAM_CLOSING)
        stream_destroy(s);
    else if (!stream_wants_reading(s))
        stream_end(s, s->end_err, s->why);
}

static bool all_left(const struct stream *s)
{
    return !s->writing && s->queue.n == 0;
}

/* Closing, in order: queue and close_notify, FIN, the peer's FIN. */
static void close_step(struct stream *s)
{
    if (!all_left(s)) return;
    if (!s->fin_sent) {
        s->fin_sent = true;
        tcp_shutdown(s);
    } else if (s->fin_done && s->fin_received) {
        stream_destroy(s);
    }
}

/* Gives the socket what waits. */
static void push(struct stream *s)
{
    int err = 0;

    if (s->state == STREAM_CONNECTING || s->state == STREAM_GONE || s->writing || s->broken) return;
    if (s->tls) tls_encrypt(s);
    if (s->state == STREAM_CLOSING && !s->goodbye) {
        s->goodbye = true;
        if (s->tls) tls_goodbye(s);
    }
    if (s->state == STREAM_GONE) return;
    if (s->queue.n > 0) err = tcp_write(s);
    if (err) {
        write_failed(s, err);
        return;
    }
    note_low(s);
    if (s->state == STREAM_CLOSING) close_step(s);
}

void stream_written(struct stream *s, int uv_err)
{
    s->writing = false;
    buf_reset(&s->wire);
    stream_buf_free(&s->wire);
    if (s->state == STREAM_GONE) return;
    if (uv_err)
        write_failed(s, uv_err);
    else
        push(s);
}

void stream_flush(struct stream *s)
{
    push(s);
}

/* ---- what is told at the beginning of a turn ---- */

static void tell_end(struct stream *s)
{
    if (!s->end_due || s->end_told || s->state > STREAM_OPEN) return;
    if (s->paused && s->in.n > 0 && !s->broken) return; /* first what it sent */
    s->end_told = true;
    s->calls->on_end(s->arg, s->end_err);
}

static void run_soon(struct stream *s)
{
    unsigned what = s->soon_what;

    s->soon_what = 0;
    if ((what & STREAM_SOON_SHOW) && s->state == STREAM_OPEN && !s->paused && s->in.n > 0) {
        show_kept(s);
        stream_update_reading(s);
    }
    if ((what & STREAM_SOON_LOW) && s->state == STREAM_OPEN) s->calls->on_low(s->arg);
    tell_end(s);
}

static void take_list(struct list *from, struct list *to)
{
    list_init(to);
    if (list_empty(from)) return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    list_init(from);
}

void stream_run_soon(struct loop *l)
{
    struct list now, *first;

    take_list(&l->soon, &now);
    while ((first = list_take_first(&now)))
        run_soon(CONTAINER_OF(first, struct stream, soon));
}

void stream_run_dirty(struct loop *l)
{
    struct list now, *first;

    take_list(&l->dirty, &now);
    while ((first = list_take_first(&now)))
        push(CONTAINER_OF(first, struct stream, dirty));
}

/* ---- beginnings and endings ---- */

void stream_connected(struct stream *s, int uv_err)
{
    if (s->state != STREAM_CONNECTING || s->end_due) return;
    loop_timer_stop(&s->timer);
    if (uv_err) {
        stream_end(s, loop_err(uv_err), uv_strerror(uv_err));
        return;
    }
    s->state = STREAM_OPEN;
    if (s->tls)
        tls_start(s);
    else if (s->calls->on_ready)
        s->calls->on_ready(s->arg);
    if (s->state != STREAM_OPEN) return;
    stream_mark_dirty(s);
    stream_update_reading(s);
}

void stream_end(struct stream *s, int err, const char *why)
{
    if (s->state == STREAM_GONE) return;
    if (s->state == STREAM_CLOSING) {
        if (s->fin_received)
            push(s);
        else
            stream_destroy(s);
        return;
    }
    if (s->end_due) return;
    s->end_due = true;
    if (!s->broken) { /* else why it broke says more */
        s->end_err = err;
        s->why = why;
    }
    stream_update_reading(s);
    owe(s, STREAM_SOON_END);
}

static void on_timer(struct loop_timer *t)
{
    struct stream *s = CONTAINER_OF(t, struct stream, timer);

    if (s->state == STREAM_CONNECTING)
        stream_end(s, ERR_TIMEOUT, "connection timed out");
    else if (s->state == STREAM_CLOSING)
        stream_destroy(s);
}

void stream_shut(struct stream *s)
{
    if (s->state != STREAM_CLOSING) return;
    s->fin_done = true;
    loop_timer_start(&s->timer, LINGER_MS);
    close_step(s);
}

static void forget_input(struct stream *s)
{
    s->soon_what = 0;
    list_remove(&s->soon);
    buf_reset(&s->in);
    if (s->showing == 0) stream_buf_free(&s->in); /* the owner may still look at it */
}

void stream_destroy(struct stream *s)
{
    if (s->state == STREAM_GONE) return;
    s->state = STREAM_GONE;
    s->reading = false;
    forget_input(s);
    list_remove(&s->dirty);
    loop_timer_stop(&s->timer);
    tcp_close(s);
}

void stream_freed(struct stream *s)
{
    void (*on_closed)(void *arg) = s->calls->on_closed;
    void *arg = s->arg;

    tls_free(s);
    buf_deinit(&s->in);
    buf_deinit(&s->queue);
    buf_deinit(&s->wire);
    list_remove(&s->link);
    free(s);
    if (on_closed) on_closed(arg);
}

void stream_close(struct stream **sp)
{
    struct stream *s = *sp;

    if (!s) return;
    *sp = NULL;
    if (s->state == STREAM_CONNECTING || s->broken) {
        stream_destroy(s);
        return;
    }
    s->state = STREAM_CLOSING;
    forget_input(s);
    loop_timer_start(&s->timer, CLOSE_MS);
    stream_mark_dirty(s);
    stream_update_reading(s);
}

void stream_abort(struct stream **sp)
{
    struct stream *s = *sp;

    *sp = NULL;
    if (s) stream_destroy(s);
}

void stream_end_all(struct loop *l)
{
    LIST_FOR_SAFE(it, &l->streams) {
        struct stream *s = CONTAINER_OF(it, struct stream, link);
        CHECK(s->state >= STREAM_CLOSING); /* whoever owns it must close it before the loop ends */
        stream_destroy(s);
    }
}

/* ---- what it is ---- */

const struct stream_address *stream_peer(const struct stream *s)
{
    return &s->peer;
}

const struct stream_address *stream_self(const struct stream *s)
{
    return &s->self;
}

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

const char *stream_why(const struct stream *s)
{
    return s->why;
}

void stream_set_arg(struct stream *s, const struct stream_calls *calls, void *arg)
{
    s->calls = calls;
    s->arg = arg;
}
