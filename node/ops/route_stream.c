/* route_stream - GET /api/v1/events/stream: events as they happen (server-sent events, HTML 9.2).
 *
 * Way: applied effects, on a shard's loop -> a note for each event, by letter -> every client whose
 * filter fits. Without clients nothing is made.
 *
 * Resume: with ?cursor=EVENT (or Last-Event-ID) what came after that event is told first, out of
 * the store, by the DISK pool: of its own shard exactly, of the others from its time on, so that
 * some may come twice and none is left out. What happens meanwhile waits with the client and is
 * told without repetition.
 *
 * Bounds: CLIENTS_MAX clients; NOTES_MAX notes on their way; CLIENT_BYTES_MAX for a client that
 * reads or catches up too slowly: it is told so by a comment and closed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/emit/emit.h"
#include "node/ops/inside.h"
#include "proto/ground/check.h"
#include "proto/ground/list.h"

#define CLIENTS_MAX      64
#define NOTES_MAX        20000
#define CLIENT_BYTES_MAX (1u << 20)
#define BATCH_BYTES      (128u << 10)
#define KEEP_ALIVE_MS    15000
#define OVERLAP_MS       2000 /* clocks of shards' leaders may differ by so much */

/* One event on its way from a shard's loop. */
struct note {
    struct loop_letter letter;
    struct ops_feed *feed;
    uint32_t shard, number;
    uint64_t entry;
    Angarium__Event *event; /* a copy */
    json_t *json;           /* NULL until a client wants it */
};

struct place {
    uint64_t entry;
    uint32_t number;
};

enum phase { LIVE, REPLAYING, CLOSING };
struct client {
    struct list link;
    struct call *call;
    struct event_filter filter;
    enum phase phase;
    bool is_working, is_gone;
    struct buf waiting;   /* told as soon as the client has room */
    struct buf meanwhile; /* happened while old events are told */
    struct place *places; /* by shard: told up to here */
    /* The replay. */
    struct loop_work work;
    uint32_t shard, cursor_shard;
    uint64_t since_ms;
    bool batch_is_full;
    struct buf found;
};

struct ops_feed {
    struct ops *ops;
    struct commit_watcher watcher;
    atomic_uint client_count, notes_out;
    atomic_bool lost; /* a note had no room */
    struct list clients;
    struct loop_timer keep_alive;
};

unsigned feed_client_count(const struct ops_feed *f)
{
    return atomic_load(&f->client_count);
}

/* ---- a client */

static void client_free(struct client *k)
{
    struct ops_feed *f = k->call->ops->feed;

    list_remove(&k->link);
    atomic_fetch_sub(&f->client_count, 1);
    buf_deinit(&k->waiting);
    buf_deinit(&k->meanwhile);
    buf_deinit(&k->found);
    free(k->places);
    http_stream_end(k->call->request);
    call_free(k->call); /* and k */
}

static void next_batch(struct client *k);

/* Writes what waits. Then a client that is closing ends, and one that catches up gets its next
 * batch. */
static void flush(struct client *k)
{
    if (k->is_gone || k->is_working) return;
    if (k->waiting.n > 0) {
        int rv = http_stream_write(k->call->request, buf_span(&k->waiting));

        if (rv == ERR_FULL) return;
        buf_reset(&k->waiting);
        buf_shrink(&k->waiting, 16u << 10);
        if (rv != 0) k->phase = CLOSING;
    }
    if (k->phase == CLOSING)
        client_free(k);
    else if (k->phase == REPLAYING)
        next_batch(k);
}

static void on_room(void *arg)
{
    flush(arg);
}

static void on_gone(void *arg)
{
    struct client *k = arg;

    k->is_gone = true;
    if (!k->is_working) client_free(k);
}

static void close_with(struct client *k, const char *why)
{
    k->phase = CLOSING;
    buf_reset(&k->waiting);
    buf_addf(&k->waiting, ": %s\n\n", why);
    flush(k);
}

static const char too_slow[] =
    "closed: the reader is too slow; come again with the last id as cursor";

static void add_event(struct buf *out, const json_t *event)
{
    char *text = json_dumps(event, JSON_COMPACT);

    buf_addf(out, "id: %s\nevent: %s\ndata: %s\n\n",
             json_string_value(json_object_get(event, "id")),
             json_string_value(json_object_get(event, "type")), text);
    free(text);
}

static bool is_behind(const struct place *p, uint64_t entry, uint32_t number)
{
    return entry > p->entry || (entry == p->entry && number > p->number);
}

/* ---- live */

static void tell(struct client *k, struct note *n)
{
    struct buf *to = k->phase == REPLAYING ? &k->meanwhile : &k->waiting;

    if (k->phase == CLOSING || k->is_gone || !event_filter_fits(&k->filter, n->shard, n->event))
        return;
    if (k->phase == LIVE && k->places && !is_behind(&k->places[n->shard], n->entry, n->number))
        return;
    if (!n->json) n->json = json_of_event(n->shard, n->entry, n->number, n->event);
    add_event(to, n->json);
    if (buf_failed(to))
        close_with(k, too_slow);
    else if (k->phase == LIVE)
        flush(k);
}

static void note_free(struct note *n)
{
    atomic_fetch_sub(&n->feed->notes_out, 1);
    angarium__event__free_unpacked(n->event, NULL);
    json_decref(n->json);
    free(n);
}

static void on_note(struct loop_letter *letter)
{
    struct note *n = CONTAINER_OF(letter, struct note, letter);
    struct ops_feed *f = n->feed;
    bool lost = atomic_exchange(&f->lost, false);

    LIST_FOR_SAFE(it, &f->clients) {
        struct client *k = CONTAINER_OF(it, struct client, link);

        if (lost)
            close_with(k, "closed: events came too fast; come again with the last id as cursor");
        else
            tell(k, n);
    }
    note_free(n);
}

static Angarium__Event *copy_event(const Angarium__Event *e)
{
    struct buf packed;
    Angarium__Event *copy;

    buf_init(&packed, 1u << 20);
    proto_pack(&e->base, &packed);
    copy = angarium__event__unpack(NULL, packed.n, packed.p);
    CHECK(copy);
    buf_deinit(&packed);
    return copy;
}

/* On a shard's loop. */
static void on_effects(void *arg, uint32_t shard, uint64_t entry,
                       const struct queue_effects *effects)
{
    struct ops_feed *f = arg;

    if (atomic_load_explicit(&f->client_count, memory_order_acquire) == 0) return;
    for (size_t i = 0; i < effects->count; i++) {
        const struct queue_effect *e = &effects->list[i];
        struct note *n;

        if (e->kind != QUEUE_EVENT) continue;
        if (atomic_fetch_add(&f->notes_out, 1) >= NOTES_MAX) {
            atomic_fetch_sub(&f->notes_out, 1);
            atomic_store(&f->lost, true);
            continue;
        }
        n = check_calloc(1, sizeof *n);
        n->feed = f;
        n->shard = shard;
        n->entry = entry;
        n->number = e->number;
        n->event = copy_event(e->event);
        n->letter.on_arrive = on_note;
        loop_post(f->ops->o.loop, &n->letter);
    }
}

/* ---- what was before: a round over the shards, batch by batch */

static bool on_old_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct client *k = arg;
    struct place *p = &k->places[k->shard];
    json_t *j;

    if (k->found.n >= BATCH_BYTES || atomic_load(&k->call->ops->closing)) {
        k->batch_is_full = true;
        return false;
    }
    *p = (struct place){ entry, number };
    if (k->shard != k->cursor_shard && e->time_ms < k->since_ms) return true;
    if (!event_filter_fits(&k->filter, k->shard, e)) return true;
    j = json_of_event(k->shard, entry, number, e);
    add_event(&k->found, j);
    json_decref(j);
    return true;
}

static bool on_cursor_event(void *arg, uint64_t entry, uint32_t number, const Angarium__Event *e)
{
    struct client *k = arg;
    const struct place *p = &k->places[k->cursor_shard];

    if (entry == p->entry && number == p->number)
        k->since_ms = e->time_ms > OVERLAP_MS ? e->time_ms - OVERLAP_MS : 0;
    return false;
}

static void read_batch(struct loop_work *w)
{
    struct client *k = CONTAINER_OF(w, struct client, work);
    struct commit *commit = k->call->ops->o.commit;
    struct queue_store *store = commit_store(commit);
    const struct place *from = &k->places[k->cursor_shard];

    if (k->since_ms ==
        UINT64_MAX) { /* when was the cursor's event? one that is forgotten: tell all */
        k->since_ms = 0;
        queue_events(store, k->cursor_shard, from->entry, from->number, on_cursor_event, k);
    }
    k->batch_is_full = false;
    while (k->shard <= commit_shard_count(commit)) {
        from = &k->places[k->shard];
        queue_events(store, k->shard, from->entry, from->entry > 0 ? from->number + 1 : 0,
                     on_old_event, k);
        if (k->batch_is_full) return;
        k->shard++;
    }
}

static void on_batch(struct loop_work *w);

static void next_batch(struct client *k)
{
    k->is_working = true;
    k->work.run = read_batch;
    k->work.on_done = on_batch;
    if (loop_work(k->call->ops->o.loop, LOOP_POOL_DISK, &k->work) == 0) return;
    k->is_working = false;
    close_with(k, "closed: the disk has too much to do");
}

/* All old ones are told. Those that came meanwhile may be among them: the ids say which. */
static void begin_live(struct client *k)
{
    struct span rest = buf_span(&k->meanwhile);

    k->phase = LIVE;
    while (rest.n > 0) {
        size_t line = span_find(rest, 0, '\n'), end = line;
        uint32_t shard = 0, number = 0;
        uint64_t entry = 0;

        while (!(rest.p[end] == '\n' && rest.p[end + 1] == '\n'))
            end++;
        end += 2;
        CHECK(emit_event_id_parse(span_sub(rest, 4, line - 4), &shard, &entry, &number) == 0);
        if (is_behind(&k->places[shard], entry, number))
            buf_add_span(&k->waiting, span_sub(rest, 0, end));
        rest = span_from(rest, end);
    }
    buf_deinit(&k->meanwhile);
    buf_init(&k->meanwhile, CLIENT_BYTES_MAX);
}

static void on_batch(struct loop_work *w)
{
    struct client *k = CONTAINER_OF(w, struct client, work);
    bool is_done = k->shard > commit_shard_count(k->call->ops->o.commit);

    k->is_working = false;
    if (k->is_gone || atomic_load(&k->call->ops->closing)) {
        client_free(k);
        return;
    }
    if (k->phase == CLOSING) {
        flush(k);
        return;
    }
    buf_add_span(&k->waiting, buf_span(&k->found));
    buf_reset(&k->found);
    if (is_done) begin_live(k);
    if (buf_failed(&k->waiting))
        close_with(k, too_slow);
    else
        flush(k);
}

/* ---- the request */

static void on_keep_alive(struct loop_timer *t)
{
    struct ops_feed *f = CONTAINER_OF(t, struct ops_feed, keep_alive);

    LIST_FOR_SAFE(it, &f->clients) {
        struct client *k = CONTAINER_OF(it, struct client, link);

        if (k->phase != LIVE || k->waiting.n > 0) continue;
        buf_add_cstr(&k->waiting, ": still here\n\n");
        flush(k);
    }
    if (!list_empty(&f->clients)) loop_timer_start(t, KEEP_ALIVE_MS);
}

static bool take_cursor(struct call *c, struct client *k)
{
    char cursor[EMIT_EVENT_ID_SIZE];
    struct span last = http_header(c->request, "Last-Event-ID");
    unsigned shards = commit_shard_max(c->ops->o.commit);
    struct place at = { 0 };

    call_take_query(c, "cursor", cursor, sizeof cursor);
    if (cursor[0]) last = span_cstr(cursor);
    if (last.n == 0) return true;
    if (emit_event_id_parse(last, &k->cursor_shard, &at.entry, &at.number) != 0 ||
        k->cursor_shard == 0 || k->cursor_shard > shards) {
        call_answer_problem(c, PROBLEM_BAD_REQUEST, "cursor: the id of an event is needed");
        return false;
    }
    k->places = check_calloc(shards + 1, sizeof *k->places);
    k->places[k->cursor_shard] = at;
    k->since_ms = UINT64_MAX;
    k->shard = 1;
    k->phase = REPLAYING;
    return true;
}

static void abandon(struct call *c)
{
    struct client *k = c->more;

    if (!k->is_working) client_free(k);
}

static void start(struct client *k)
{
    struct call *c = k->call;
    struct ops_feed *f = c->ops->feed;

    buf_init(&k->waiting, 2 * CLIENT_BYTES_MAX);
    buf_init(&k->meanwhile, CLIENT_BYTES_MAX);
    buf_init(&k->found, CLIENT_BYTES_MAX);
    list_add(&f->clients, &k->link);
    atomic_fetch_add(&f->client_count, 1);
    c->abandon = abandon;
    if (!loop_timer_is_running(&f->keep_alive)) loop_timer_start(&f->keep_alive, KEEP_ALIVE_MS);
    http_stream_start(c->request, 200, "text/event-stream");
    http_on_room(c->request, on_room, k);
    k->is_working = true; /* a client that is gone already is not freed under our hands */
    http_on_gone(c->request, on_gone, k);
    k->is_working = false;
    if (k->is_gone) {
        client_free(k);
        return;
    }
    buf_add_cstr(&k->waiting, "retry: 2000\n: angarium events\n\n");
    flush(k);
}

void route_event_stream(struct call *c)
{
    struct client *k;
    struct event_filter filter;

    if (atomic_load(&c->ops->feed->client_count) >= CLIENTS_MAX) {
        call_answer_problem(c, PROBLEM_BUSY, "%d readers follow the events; no more are possible",
                            CLIENTS_MAX);
        return;
    }
    if (!event_filter_take(c, &filter)) return;
    k = check_calloc(1, sizeof *k);
    c->more = k;
    k->call = c;
    k->filter = filter;
    list_init(&k->link);
    if (take_cursor(c, k)) start(k);
}

/* ---- life */

int feed_open(struct ops *ops)
{
    struct ops_feed *f = check_calloc(1, sizeof *f);

    f->ops = ops;
    list_init(&f->clients);
    loop_timer_init(&f->keep_alive, ops->o.loop, on_keep_alive);
    f->watcher = (struct commit_watcher){ .arg = f, .everywhere = true, .on_effects = on_effects };
    commit_watch(ops->o.commit, &f->watcher);
    ops->feed = f;
    return 0;
}

/* The loops stand: nobody is in on_effects. */
void feed_close(struct ops *ops)
{
    struct ops_feed *f = ops->feed;

    if (!f) return;
    list_remove(&f->watcher.link);
    loop_timer_stop(&f->keep_alive);
}

bool feed_is_idle(const struct ops *ops)
{
    return !ops->feed || atomic_load(&ops->feed->notes_out) == 0;
}
