/* engine - opening, closing, and the turn of a loop.
 *
 * Way of a turn: landed writes -> DURABLE steps -> frames -> RECV steps -> beats, TIME steps -> apply, answer -> proposals
 * and reads of this turn leave -> one write to the log thread -> one frame a lane to each peer. Nothing blocks in it.
 */
#include "raft/engine/inside.h"

#define UNCOMMITTED_BYTES_DEFAULT (64u << 20)
#define CACHE_BYTES_DEFAULT       (64u << 20)
#define INBOX_BYTES_DEFAULT       (8u << 20)
#define SNAPSHOT_RATE_DEFAULT     (64u << 20)
#define DISK_TOLD_STEP            10 /* permille that the free room must have moved to be told */

struct store *raft_store_of(struct raft *r)
{
    return r->store;
}

static void init_loop(struct raft *r, struct engine_loop *l, const struct raft_loop_port *port)
{
    *l = (struct engine_loop){ .raft = r, .port = *port };
    l->number = (unsigned)(l - r->loops);
    mpsc_init(&l->landed);
    mpsc_init(&l->inbox);
    list_init(&l->groups);
    list_init(&l->chunks);
    list_init(&l->unsent);
    list_init(&l->unapplied);
    list_init(&l->unflushed);
    list_init(&l->cached);
    list_init(&l->misplaced);
    list_init(&l->shipments);
    list_init(&l->fetches);
    list_init(&l->unread);
    frame_begin(&l->frame);
    l->entries = check_calloc(FRAME_APPEND_MAX, sizeof *l->entries);
    l->bytes = check_calloc(FRAME_APPEND_MAX, sizeof *l->bytes);
    l->flights = check_calloc(FLIGHTS, sizeof *l->flights);
    for (unsigned i = 0; i < FLIGHTS; i++)
        l->flights[i].loop = l;
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static void take_options(struct raft *r, const struct raft_options *o)
{
    const struct raft_times *t = &o->times;

    r->node_id = o->node_id;
    r->seed = o->seed;
    r->incarnation = o->incarnation;
    r->uncommitted_bytes_max =
        o->group_uncommitted_bytes_max ? o->group_uncommitted_bytes_max : UNCOMMITTED_BYTES_DEFAULT;
    r->cache_bytes_max = o->cache_bytes_max ? o->cache_bytes_max : CACHE_BYTES_DEFAULT;
    r->inbox_bytes_max = o->inbox_bytes_max ? o->inbox_bytes_max : INBOX_BYTES_DEFAULT;
    r->snapshot_bytes_per_s = or_default(o->snapshot_bytes_per_s, SNAPSHOT_RATE_DEFAULT);
    r->times = (struct raft_times){ .beat_ms = or_default(t->beat_ms, 100),
                                    .suspect_ms = or_default(t->suspect_ms, 500),
                                    .election_ms = or_default(t->election_ms, 500),
                                    .rest_after_ms = or_default(t->rest_after_ms, 1000),
                                    .disk_stall_ms = or_default(t->disk_stall_ms, 2000) };
}

struct raft *raft_open_over(struct store *store, bool tainted, const struct raft_options *o)
{
    struct raft *r = check_calloc(1, sizeof *r);

    CHECK(o->node_id > 0);
    CHECK(o->loop_count > 0 && o->loop_count <= RAFT_LOOPS_MAX);
    take_options(r, o);
    r->store = store;
    r->tainted = tainted;
    CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    CHECK(pthread_rwlock_init(&r->directory_lock, NULL) == 0);
    r->loop_count = o->loop_count;
    r->loops = check_calloc(o->loop_count, sizeof *r->loops);
    for (unsigned i = 0; i < o->loop_count; i++)
        init_loop(r, &r->loops[i], &o->loops[i]);
    return r;
}

int raft_open(struct raft **out, const struct raft_options *o, bool *tainted_out,
              struct errmsg *why)
{
    struct store_options so = { .dir = o->dir, .memtable_bytes = o->memtable_bytes };
    struct store *store;
    bool tainted;
    int rv = store_open(&store, &so, &tainted, why);

    if (rv != 0) return rv;
    *out = raft_open_over(store, false, o); /* the store knows which of its groups are tainted */
    (*out)->owns_store = true;
    if (o->dir && !o->reads_inline) reader_open(*out);
    if (tainted_out) *tainted_out = tainted;
    return 0;
}

void raft_try(struct raft *r, const struct raft_trial *t)
{
    CHECK(t->append_entries_max <= FRAME_APPEND_MAX);
    r->trial = *t;
}

void engine_end(struct raft *r, const char *what, int error)
{
    if (!r->trial.ended) check_last_word("the log", what, err_text(error));
    r->trial.ended(r->trial.arg, what, error);
}

void raft_wire_attach(struct raft *r, struct wire *w)
{
    CHECK(r->wire == NULL);
    r->wire = w;
}

static void close_loop(struct engine_loop *l)
{
    inbox_close(l); /* may hold the last chunk of a snapshot whose group is closed */
    CHECK(list_empty(&l->shipments));
    outboxes_close(l);
    frame_end(&l->frame);
    free(l->entries);
    free(l->bytes);
    free(l->heap);
    free(l->flights);
}

void raft_close(struct raft **pr)
{
    struct raft *r = *pr;

    if (!r) return;
    for (unsigned i = 0; i < r->loop_count; i++) {
        struct list *it;

        while ((it = list_first(&r->loops[i].groups)) != NULL) {
            struct raft_group *g = CONTAINER_OF(it, struct raft_group, link);

            raft_group_close(&g);
        }
    }
    reader_close(r);
    /* After all that was submitted: then the flights are nobody's. */
    if (r->owns_store)
        store_close(&r->store);
    else
        store_drain(r->store);
    r->wire = NULL; /* closed by its owner */
    for (unsigned i = 0; i < r->loop_count; i++) {
        flights_close(&r->loops[i]);
        close_loop(&r->loops[i]);
    }
    directory_close(r);
    pthread_mutex_destroy(&r->lock);
    free(r->loops);
    free(r);
    *pr = NULL;
}

/* ---- the turn */

/* One slice for each group that has something; true: there is more. */
static bool apply_all(struct engine_loop *l)
{
    struct list round, *it;

    list_init(&round);
    while ((it = list_take_first(&l->unapplied)) != NULL)
        list_add(&round, it);
    while ((it = list_take_first(&round)) != NULL) {
        struct raft_group *g = CONTAINER_OF(it, struct raft_group, unapplied_link);

        if (group_apply(g) && list_empty(&g->unapplied_link))
            list_add(&l->unapplied, &g->unapplied_link);
    }
    return !list_empty(&l->unapplied);
}

static void flush_all(struct engine_loop *l)
{
    struct list round, *it;

    list_init(&round);
    while ((it = list_take_first(&l->unflushed)) != NULL)
        list_add(&round, it);
    while ((it = list_take_first(&round)) != NULL)
        group_flush(CONTAINER_OF(it, struct raft_group, unflushed_link));
}

/* R9: how the own disk does, told when it crosses a bound. */
static void tell_disk(struct engine_loop *l)
{
    struct raft *r = l->raft;
    uint32_t oldest = flights_oldest_ms(l), stall = r->times.disk_stall_ms;
    uint16_t free = (uint16_t)atomic_load(&r->free_permille);
    bool is_stalled = stall != UINT32_MAX && oldest >= stall;
    int moved = (int)free - (int)l->free_told;

    if (is_stalled == l->is_stalled && moved < DISK_TOLD_STEP && moved > -DISK_TOLD_STEP) return;
    if (is_stalled != l->is_stalled) atomic_fetch_add(&r->stalled_loops, is_stalled ? 1u : -1u);
    l->is_stalled = is_stalled;
    l->free_told = free;
    LIST_FOR_SAFE(it, &l->groups) {
        struct core_event e = { .kind = CORE_DISK };

        e.u.disk.oldest_ms = oldest;
        e.u.disk.free_permille = free;
        group_event(CONTAINER_OF(it, struct raft_group, link), &e);
    }
}

void raft_disk(struct raft *r, uint16_t free_permille)
{
    atomic_store(&r->free_permille, free_permille);
    for (unsigned i = 0; i < r->loop_count; i++)
        r->loops[i].port.wake(r->loops[i].port.arg);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Only with peers there is somebody to hand over to when the disk stalls. */
static uint64_t disk_wake_at(const struct engine_loop *l)
{
    const struct raft *r = l->raft;
    uint64_t oldest = flights_oldest_ms(l);

    if (atomic_load(&r->peer_count) == 0 || r->times.disk_stall_ms == UINT32_MAX) return NEVER;
    if (l->is_stalled) return NEVER; /* the write that lands wakes */
    for (unsigned i = 0; i < FLIGHTS; i++)
        if (l->flights[i].in_air) return l->now_ms + r->times.disk_stall_ms - oldest;
    return NEVER;
}

static uint64_t next_turn(const struct engine_loop *l)
{
    uint64_t at = wake_next(l);

    at = earlier(at, peers_wake_at(l));
    at = earlier(at, shipments_wake_at(l));
    at = earlier(at, disk_wake_at(l));
    if (!list_empty(&l->misplaced)) at = earlier(at, l->balance_at_ms);
    return at;
}

uint64_t raft_turn(struct raft *r, unsigned loop, uint64_t mono_ms)
{
    struct engine_loop *l = &r->loops[loop];
    bool is_more;

    CHECK(loop < r->loop_count);
    CHECK(!l->is_turning);
    l->is_turning = true;
    if (mono_ms > l->now_ms) l->now_ms = mono_ms;
    flights_land(l);
    inbox_take(l);
    peers_time(l);
    tell_disk(l);
    wake_due(l);
    is_more = apply_all(l);
    shipments_run(l);
    balance(l);
    flush_all(l);
    flights_send(l);
    outboxes_send(l);
    cache_evict(l);
    is_more |= !list_empty(&l->unflushed) || !list_empty(&l->unapplied);
    l->is_turning = false;
    if (is_more) l->port.wake(l->port.arg);
    return next_turn(l);
}

struct walk {
    void *arg;
    void (*each)(void *arg, const struct raft_entry *entry);
};

static bool show(void *arg, const struct store_entry *e)
{
    struct walk *w = arg;

    w->each(w->arg, &(struct raft_entry){ e->index, e->term, e->head, e->body });
    return true;
}

int raft_entries_each(struct raft *r, uint64_t group, uint64_t first, uint64_t last, void *arg,
                      void (*each)(void *arg, const struct raft_entry *entry))
{
    struct walk w = { arg, each };

    return store_entries_each(r->store, group, first, last, &w, show);
}

int raft_entry_read(struct raft *r, uint64_t group, uint64_t index, struct blob **head_out,
                    struct blob **body_out)
{
    return store_entry_read(r->store, group, index, NULL, NULL, head_out, body_out);
}

bool raft_rest(struct raft *r)
{
    return store_rest(r->store);
}
