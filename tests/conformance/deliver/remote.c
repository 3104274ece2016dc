/* remote - the servers of a story: each connection follows the next script of its address, line by
 * line; a line that has to wait is looked at again when bytes, time or a signal come.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/smtp/data.h"
#include "proto/ground/check.h"
#include "tests/conformance/deliver/chaos.h"
#include "tests/conformance/deliver/world.h"

struct remote_session {
    struct list link;
    struct world *w;
    unsigned script_number;
    const struct script *script;
    unsigned at;
    struct stream *stream;
    struct loop_timer timer;
    struct buf chunks; /* of BDAT, so far */
    struct buf in;
    struct buf dribble;
    bool dribbles, has_ended, timer_over, tls_begun, in_step;
};

enum progress { GO, WAIT, OVER };

static const struct line *line_of(const struct remote_session *s)
{
    return &s->script->lines[s->at];
}

/* ---- bytes */

/* The first line that is there, without its CR LF; false: not whole yet. */
static bool peek_line(const struct remote_session *s, char *out, size_t size, size_t *used)
{
    size_t end = span_find(buf_span(&s->in), 0, '\n');
    size_t n = end;

    if (end == s->in.n) return false;
    if (n > 0 && s->in.p[n - 1] == '\r') n--;
    *used = end + 1;
    snprintf(out, size, "%.*s", (int)n, (const char *)s->in.p);
    return true;
}

static enum progress do_hear(struct remote_session *s, const char *glob, bool at_once)
{
    char text[4096];
    size_t used = 0;

    if (!peek_line(s, text, sizeof text, &used)) {
        if (at_once)
            world_wrong(s->w, line_of(s)->number, "it did not come in the same write");
        else if (s->has_ended)
            world_wrong(s->w, line_of(s)->number, "the client closed instead of: %s", glob);
        else
            return WAIT;
        return OVER;
    }
    buf_drop(&s->in, used);
    if (!text_matches(glob, text)) {
        world_wrong(s->w, line_of(s)->number, "heard \"%s\" instead of \"%s\"", text, glob);
        return OVER;
    }
    return GO;
}

static void send_bytes(struct remote_session *s, struct span bytes)
{
    if (s->dribbles) {
        buf_add_span(&s->dribble, bytes);
        loop_timer_start(&s->timer, 1);
    } else if (s->stream) {
        (void)stream_write(s->stream, bytes);
    }
}

static enum progress do_say(struct remote_session *s, const char *text, bool raw)
{
    struct buf out;

    if (s->dribble.n > 0) return WAIT;
    buf_init(&out, 1u << 20);
    text_unescape(text, &out);
    if (!raw) buf_add_cstr(&out, "\r\n");
    send_bytes(s, buf_span(&out));
    buf_deinit(&out);
    return s->dribbles ? WAIT : GO;
}

/* ---- the mail */

/* Where the Received field ends; 0: it is not all there. */
static size_t trace_size(struct span all)
{
    size_t at = 0;

    for (;;) {
        at = span_find(all, at, '\n') + 1;
        if (at >= all.n) return 0;
        if (all.p[at] != ' ' && all.p[at] != '\t') return at;
    }
}

static enum progress do_trace(struct remote_session *s, const char *glob)
{
    size_t size = trace_size(buf_span(&s->in));
    char text[4096];
    size_t n = 0;

    if (size == 0) return WAIT;
    for (size_t i = 0; i < size && n + 1 < sizeof text; i++)
        if (s->in.p[i] != '\r' && s->in.p[i] != '\n')
            text[n++] = s->in.p[i] == '\t' ? ' ' : (char)s->in.p[i];
    text[n] = '\0';
    buf_drop(&s->in, size);
    if (text_matches(glob, text)) return GO;
    world_wrong(s->w, line_of(s)->number, "the trace header is \"%s\"", text);
    return OVER;
}

static int gather(void *arg, struct span run)
{
    buf_add_span(arg, run);
    return 0;
}

static bool ends_with_dot(const struct buf *b)
{
    if (b->n >= 5 && memcmp(b->p + b->n - 5, "\r\n.\r\n", 5) == 0) return true;
    return b->n >= 3 && memmem(b->p, b->n, "\r\n.\r\n", 5) != NULL;
}

static void compare(struct remote_session *s, struct span got, const struct world_mail *m)
{
    size_t trace = trace_size(got);
    struct buf want;

    buf_init(&want, 16u << 20);
    buf_add_span(&want, buf_span(&m->body));
    if (want.n < 2 || memcmp(want.p + want.n - 2, "\r\n", 2) != 0) buf_add_cstr(&want, "\r\n");
    if (!span_starts_nocase(got, SPAN_LIT("Received: from client.test")))
        world_wrong(s->w, line_of(s)->number, "the mail does not begin with a trace header");
    else if (!span_eq(span_from(got, trace), buf_span(&want)))
        world_wrong(s->w, line_of(s)->number, "the body is another one: %zu bytes instead of %zu",
                    got.n - trace, want.n);
    buf_deinit(&want);
}

static enum progress do_body(struct remote_session *s, const char *mail)
{
    struct smtp_data_reader reader;
    struct span in = buf_span(&s->in);
    struct buf content;
    int rv;

    if (!ends_with_dot(&s->in)) {
        if (!s->has_ended) return WAIT;
        world_wrong(s->w, line_of(s)->number, "the client closed in the middle of the body");
        return OVER;
    }
    buf_init(&content, 16u << 20);
    smtp_data_reader_init(&reader);
    rv = smtp_data_read(&reader, &in, gather, &content);
    if (rv != 0)
        world_wrong(s->w, line_of(s)->number, "the data do not end");
    else
        compare(s, buf_span(&content), world_mail(s->w, mail));
    buf_drop(&s->in, s->in.n - in.n);
    buf_deinit(&content);
    return s->w->wrong[0] ? OVER : GO;
}

/* Whatever it is, up to the dot. */
static enum progress do_ends(struct remote_session *s)
{
    if (!ends_with_dot(&s->in)) return s->has_ended ? OVER : WAIT;
    buf_reset(&s->in);
    return GO;
}

static enum progress do_repeat(struct remote_session *s, const char *rest)
{
    char *text;
    unsigned long times = strtoul(rest, &text, 10);

    for (; times > 0 && s->stream; times--)
        (void)do_say(s, text + 1, false);
    return GO;
}

/* BDAT, each answered 250 but the last one, whose answer is the story's. */
static enum progress do_chunks(struct remote_session *s, const char *mail, bool with_last)
{
    size_t wanted = world_mail(s->w, mail)->body.n;

    for (;;) {
        struct span in = buf_span(&s->in);
        size_t end = span_find(in, 0, '\n');
        size_t size;
        bool is_last;

        if (!with_last && s->chunks.n > wanted) return GO; /* and its trace header */
        if (end == in.n) return s->has_ended ? OVER : WAIT;
        if (!span_starts_nocase(in, SPAN_LIT("BDAT "))) {
            world_wrong(s->w, line_of(s)->number, "no BDAT: %.*s", (int)end, (const char *)in.p);
            return OVER;
        }
        size = strtoul((const char *)in.p + 5, NULL, 10);
        is_last = memmem(in.p, end, " LAST", 5) != NULL;
        if (in.n < end + 1 + size) return s->has_ended ? OVER : WAIT;
        buf_add_span(&s->chunks, span_sub(in, end + 1, size));
        buf_drop(&s->in, end + 1 + size);
        if (is_last) break;
        (void)stream_write(s->stream, SPAN_LIT("250 2.0.0 chunk ok\r\n"));
    }
    compare(s, buf_span(&s->chunks), world_mail(s->w, mail));
    buf_reset(&s->chunks);
    return s->w->wrong[0] ? OVER : GO;
}

/* ---- time, ends, others */

static enum progress do_timed(struct remote_session *s, const char *ms, bool must_be_quiet)
{
    if (must_be_quiet && s->in.n > 0) {
        world_wrong(s->w, line_of(s)->number, "it is not quiet: %.*s", SPAN_ARG(buf_span(&s->in)));
        return OVER;
    }
    if (s->timer_over) {
        s->timer_over = false;
        return GO;
    }
    if (!loop_timer_is_running(&s->timer)) loop_timer_start(&s->timer, strtoul(ms, NULL, 10));
    return WAIT;
}

static enum progress do_end(struct remote_session *s)
{
    if (s->in.n > 0) {
        world_wrong(s->w, line_of(s)->number, "more came: %.*s", SPAN_ARG(buf_span(&s->in)));
        return OVER;
    }
    return s->has_ended ? GO : WAIT;
}

static enum progress do_starttls(struct remote_session *s, const char *version)
{
    struct tls *tls = strcmp(version, "1.2") == 0 ? s->w->server12_tls : s->w->server_tls;

    if (!s->tls_begun) {
        s->tls_begun = true;
        CHECK(stream_tls(s->stream, tls, NULL) == 0);
    }
    if (!s->stream) return GO; /* the client wants none of it: `gone` follows */
    return stream_has_tls(s->stream) ? GO : WAIT;
}

static enum progress do_signal(struct remote_session *s, const char *name)
{
    struct world *w = s->w;

    CHECK(w->signal_count < WORLD_SIGNALS_MAX);
    snprintf(w->signals[w->signal_count++], sizeof w->signals[0], "%s", name);
    remote_signalled(w);
    return GO;
}

static enum progress do_await(const struct remote_session *s, const char *name)
{
    for (unsigned i = 0; i < s->w->signal_count; i++)
        if (strcmp(s->w->signals[i], name) == 0) return GO;
    return WAIT;
}

static enum progress do_flow(struct remote_session *s, bool resume)
{
    if (resume)
        stream_read_more(s->stream);
    else
        stream_read_pause(s->stream);
    return GO;
}

static enum progress do_close(struct remote_session *s, bool hard)
{
    if (hard)
        stream_abort(&s->stream);
    else
        stream_close(&s->stream);
    s->has_ended = true;
    return GO;
}

static enum progress do_line(struct remote_session *s, const struct line *l)
{
    const char *v = l->verb;

    if (strcmp(v, "say") == 0) return do_say(s, l->rest, false);
    if (strcmp(v, "say-raw") == 0) return do_say(s, l->rest, true);
    if (strcmp(v, "hear") == 0) return do_hear(s, l->rest, false);
    if (strcmp(v, "hear+") == 0) return do_hear(s, l->rest, true);
    if (strcmp(v, "body") == 0) return do_body(s, l->rest);
    if (strcmp(v, "chunks") == 0) return do_chunks(s, l->rest, true);
    if (strcmp(v, "chunks-but-last") == 0) return do_chunks(s, l->rest, false);
    if (strcmp(v, "ends-with-dot") == 0) return do_ends(s);
    if (strcmp(v, "repeat") == 0) return do_repeat(s, l->rest);
    if (strcmp(v, "trace") == 0) return do_trace(s, l->rest);
    if (strcmp(v, "quiet") == 0) return do_timed(s, l->rest, true);
    if (strcmp(v, "sleep") == 0) return do_timed(s, l->rest, false);
    if (strcmp(v, "end") == 0) return do_end(s);
    if (strcmp(v, "gone") == 0) return s->has_ended ? GO : WAIT;
    if (strcmp(v, "starttls") == 0) return do_starttls(s, l->rest);
    if (strcmp(v, "signal") == 0) return do_signal(s, l->rest);
    if (strcmp(v, "await") == 0) return do_await(s, l->rest);
    if (strcmp(v, "stall") == 0) return do_flow(s, false);
    if (strcmp(v, "resume") == 0) return do_flow(s, true);
    if (strcmp(v, "close") == 0) return do_close(s, false);
    if (strcmp(v, "abort") == 0) return do_close(s, true);
    if (strcmp(v, "dribble") == 0) {
        s->dribbles = strcmp(l->rest, "on") == 0;
        return GO;
    }
    if (strcmp(v, "do") == 0) {
        world_do(s->w, l->number, l->rest);
        return GO;
    }
    world_wrong(s->w, l->number, "no such line: %s", v);
    return OVER;
}

/* ---- the session */

static void step(struct remote_session *s)
{
    if (s->in_step) return;
    s->in_step = true;
    while (s->at < s->script->count && !s->w->wrong[0]) {
        enum progress p = do_line(s, line_of(s));

        if (p == WAIT && s->dribble.n > 0) {
            s->at++; /* the text is on its way; the next line waits for it */
            break;
        }
        if (p != GO) break;
        s->at++;
    }
    s->in_step = false;
    if (s->at == s->script->count) s->w->script_done[s->script_number] = true;
}

static size_t on_read(void *arg, struct span bytes)
{
    struct remote_session *s = arg;

    buf_add_span(&s->in, bytes);
    if (s->dribble.n == 0) step(s);
    return bytes.n;
}

static void on_ready(void *arg)
{
    step(arg);
}

static void on_end(void *arg, int err)
{
    struct remote_session *s = arg;

    (void)err;
    s->has_ended = true;
    stream_close(&s->stream);
    step(s);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static const struct stream_calls calls = {
    .on_read = on_read, .on_ready = on_ready, .on_end = on_end, .on_closed = on_closed
};

static void on_fire(struct loop_timer *t)
{
    struct remote_session *s = CONTAINER_OF(t, struct remote_session, timer);

    if (s->dribble.n > 0) {
        if (s->stream) {
            (void)stream_write(s->stream, span_sub(buf_span(&s->dribble), 0, 1));
            stream_flush(s->stream);
        }
        buf_drop(&s->dribble, 1);
        if (s->dribble.n > 0)
            loop_timer_start(t, 1);
        else
            step(s);
        return;
    }
    s->timer_over = true;
    step(s);
}

static unsigned next_script(struct world *w, unsigned server)
{
    for (unsigned i = 0; i < w->story->script_count; i++)
        if (w->story->scripts[i].server == server && !w->script_taken[i]) return i;
    return STORY_SCRIPTS_MAX;
}

#define PORT_DRAWS_MAX 20

struct port {
    struct world *w;
    unsigned server;
};
static struct port ports[STORY_SERVERS_MAX];

static void on_connection(void *arg, struct listener *li)
{
    const struct port *port = arg;
    struct world *w = port->w;
    struct remote_session *s;
    struct stream_options o = { .calls = &calls };
    unsigned number = next_script(w, port->server);

    if (w->chaos) {
        chaos_connection(w->chaos, li);
        return;
    }

    if (number == STORY_SCRIPTS_MAX) {
        world_wrong(w, 0, "one connection more than %s has scripts for",
                    w->story->servers[port->server]);
        return;
    }
    w->script_taken[number] = true;
    s = check_calloc(1, sizeof *s);
    s->w = w;
    s->script_number = number;
    s->script = &w->story->scripts[number];
    buf_init(&s->in, 16u << 20);
    buf_init(&s->chunks, 16u << 20);
    buf_init(&s->dribble, 1u << 20);
    loop_timer_init(&s->timer, w->loop, on_fire);
    list_add(&w->sessions, &s->link);
    o.arg = s;
    CHECK(stream_accept(&s->stream, li, &o) == 0);
    step(s);
}

/* All servers of a story share a port; w->port 0: one that is free at the first of them. */
static int listen_all(struct world *w, struct errmsg *why)
{
    for (unsigned i = 0; i < w->story->server_count; i++) {
        struct listener_options o = { .on_connection = on_connection, .arg = &ports[i] };
        int rv;

        ports[i] = (struct port){ .w = w, .server = i };
        snprintf(o.at.text, sizeof o.at.text, "%s", w->story->servers[i]);
        o.at.port = w->port;
        rv = listener_open(&w->listeners[i], w->loop, &o, why);
        if (rv != 0) return rv;
        w->port = listener_port(w->listeners[i]);
    }
    return 0;
}

static void close_all(struct world *w)
{
    for (unsigned i = 0; i < STORY_SERVERS_MAX; i++)
        if (w->listeners[i]) listener_close(&w->listeners[i]);
}

/* A port that is free at one address may be another program's at the next: then another one is drawn. */
void remote_listen(struct world *w)
{
    struct errmsg why = { "" };
    unsigned draws = 0;

    while (listen_all(w, &why) != 0) {
        close_all(w);
        w->port = 0;
        if (++draws == PORT_DRAWS_MAX) {
            world_wrong(w, 0, "%s", why.text);
            return;
        }
    }
}

void remote_close(struct world *w)
{
    struct list *it;

    while ((it = list_take_first(&w->sessions)) != NULL) {
        struct remote_session *s = CONTAINER_OF(it, struct remote_session, link);

        loop_timer_stop(&s->timer);
        if (s->stream) {
            stream_set_arg(s->stream, &calls, NULL);
            stream_abort(&s->stream);
        }
        buf_deinit(&s->in);
        buf_deinit(&s->chunks);
        buf_deinit(&s->dribble);
        free(s);
    }
    chaos_close(&w->chaos);
    close_all(w);
}

void remote_signalled(struct world *w)
{
    LIST_FOR(it, &w->sessions)
        step(CONTAINER_OF(it, struct remote_session, link));
}

bool remote_is_done(const struct world *w)
{
    for (unsigned i = 0; i < w->story->script_count; i++)
        if (!w->script_done[i]) return false;
    return true;
}
