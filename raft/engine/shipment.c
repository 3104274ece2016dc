/* shipment - snapshots that go: from the machine's iterator, in chunks, a few on the way at a time.
 *
 *   core: SNAPSHOT to a peer -> open -> next ... (reader thread) -> chunks on the bulk lane -> replies: so far is staged
 *                                                               -> DONE, FAILED, no progress: CORE_SNAPSHOT_SENT
 *
 * Chunks stay here until they are staged there, so that after a broken lane it goes on where it was; so it does when nothing is
 * heard for a while: a node that starts has its lanes before its groups, and knows nothing of a chunk that came between. Bytes a second are
 * bounded for the loop's share of the node. The log is not cut behind a snapshot that is on its way.
 */
#include "raft/engine/inside.h"

#define IDLE_MS       30000 /* without progress it is given up */
#define AGAIN_MS      2000  /* without progress what is on its way goes out again */
#define TOKENS_MAX_MS 250   /* of the rate may leave at once */

struct chunk {
    struct blob *bytes;
    uint64_t offset;
    bool last, sent;
};
struct shipment {
    struct list link;         /* in loop.shipments */
    struct raft_group *group; /* NULL: closed; waits for its job */
    struct engine_loop *loop;
    uint64_t to, number, term;
    struct core_pos pos;
    struct core_config config;
    void *snapshot;
    struct chunk chunks[RAFT_CHUNKS_AWAY_MAX]; /* not staged there yet, oldest first */
    unsigned count;
    uint64_t offset;                /* of the next one that is made */
    uint64_t progress_ms, again_ms; /* again: when it last went out again */
    bool made_last, failed;
    bool is_making;
    struct make {
        struct mail mail;
        struct read_job job;
        struct buf bytes;
        bool last;
        int rv;
    } make;
};

/* Never the same for two shipments of a node, over its lives. */
static uint64_t next_number(struct engine_loop *l)
{
    return (l->raft->incarnation << 24) + atomic_fetch_add(&l->raft->shipment_count, 1) + 1;
}

static int open_snapshot(struct shipment *t)
{
    struct raft_group *g = t->group;
    int rv;

    if (!g->machine.snapshot.open || g->applied == 0) return ERR_UNSUPPORTED;
    rv = group_config_at(g, g->applied, &t->config);
    if (rv != 0) return rv;
    t->pos = (struct core_pos){ g->applied, group_term_at(g, g->applied) };
    return g->machine.snapshot.open(g->machine.arg, &t->snapshot);
}

static unsigned count_all(const struct engine_loop *l)
{
    unsigned n = 0;

    LIST_FOR(it, &l->shipments)
        n++;
    return n;
}

void shipment_begin(struct raft_group *g, uint64_t to)
{
    struct engine_loop *l = g->loop;
    struct shipment *t;

    LIST_FOR(it, &l->shipments) {
        t = CONTAINER_OF(it, struct shipment, link);
        if (t->group == g && t->to == to) return;
    }
    t = check_calloc(1, sizeof *t);
    list_init(&t->link);
    t->group = g;
    t->loop = l;
    t->to = to;
    t->number = next_number(l);
    t->progress_ms = t->again_ms = l->now_ms;
    t->failed = count_all(l) >= RAFT_SHIPMENTS_MAX || open_snapshot(t) != 0;
    if (t->failed) metric_add(M_RAFT_SNAPSHOTS_REFUSED, 1);
    list_add(&l->shipments, &t->link);
}

/* ---- making chunks */

static void run_make(struct read_job *job)
{
    struct shipment *t = CONTAINER_OF(job, struct shipment, make.job);
    const struct raft_machine *machine = &t->group->machine;

    t->make.rv = machine->snapshot.next(machine->arg, t->snapshot, &t->make.bytes, &t->make.last);
    inbox_put(t->loop, &t->make.mail);
}

static void make_chunk(struct shipment *t)
{
    buf_init(&t->make.bytes, RAFT_CHUNK_SIZE_MAX);
    t->make.last = false;
    t->make.mail.kind = MAIL_CHUNK;
    t->make.job.run = run_make;
    t->is_making = true;
    reader_do(t->loop->raft, &t->make.job);
}

static void free_shipment(struct shipment *t)
{
    CHECK(!t->is_making);
    if (t->snapshot) t->group->machine.snapshot.close(t->group->machine.arg, t->snapshot);
    for (unsigned i = 0; i < t->count; i++)
        blob_unref(&t->chunks[i].bytes);
    list_remove(&t->link);
    free(t);
}

void shipment_chunk_done(struct engine_loop *l, struct mail *mail)
{
    struct shipment *t = CONTAINER_OF(mail, struct shipment, make.mail);
    struct chunk *c;

    (void)l;
    t->is_making = false;
    if (t->make.rv != 0 || buf_failed(&t->make.bytes)) {
        t->failed = true;
    } else {
        c = &t->chunks[t->count++];
        *c = (struct chunk){ .bytes = blob_copy(buf_span(&t->make.bytes)),
                             .offset = t->offset,
                             .last = t->make.last };
        t->offset += t->make.bytes.n;
        t->made_last = t->make.last;
    }
    buf_deinit(&t->make.bytes);
    if (!t->group) free_shipment(t);
}

/* ---- the turn */

static void refill(struct engine_loop *l)
{
    uint64_t rate = l->raft->snapshot_bytes_per_s / l->raft->loop_count + 1;
    uint64_t max = rate * TOKENS_MAX_MS / 1000;

    if (max < RAFT_CHUNK_SIZE_MAX) max = RAFT_CHUNK_SIZE_MAX;
    l->tokens += (l->now_ms - l->tokens_ms) * rate / 1000;
    if (l->tokens > max) l->tokens = max;
    l->tokens_ms = l->now_ms;
}

static void end(struct shipment *t, bool ok)
{
    struct core_event e = { .kind = CORE_SNAPSHOT_SENT };
    struct raft_group *g = t->group;

    e.u.snapshot_sent.to = t->to;
    e.u.snapshot_sent.ok = ok;
    e.u.snapshot_sent.pos = t->pos;
    metric_add(ok ? M_RAFT_SNAPSHOTS_SENT : M_RAFT_SNAPSHOTS_FAILED, 1);
    free_shipment(t);
    group_event(g, &e);
}

static bool is_over(const struct shipment *t)
{
    struct core_view v;

    core_see(t->group->core, &v);
    return t->failed || v.role != CORE_LEADER || t->loop->now_ms - t->progress_ms > IDLE_MS;
}

static void send_again(struct shipment *t)
{
    uint64_t now_ms = t->loop->now_ms;

    if (now_ms - t->progress_ms < AGAIN_MS || now_ms - t->again_ms < AGAIN_MS) return;
    t->again_ms = now_ms;
    for (unsigned i = 0; i < t->count; i++)
        t->chunks[i].sent = false;
}

void shipments_run(struct engine_loop *l)
{
    if (list_empty(&l->shipments)) {
        l->tokens_ms = l->now_ms;
        return;
    }
    refill(l);
    LIST_FOR_SAFE(it, &l->shipments) {
        struct shipment *t = CONTAINER_OF(it, struct shipment, link);

        if (t->is_making) continue; /* so its group is open */
        if (is_over(t)) {
            end(t, false);
            return; /* the list may have changed: the others next time */
        }
        send_again(t);
        if (t->count < RAFT_CHUNKS_AWAY_MAX && !t->made_last) make_chunk(t);
    }
}

uint64_t shipments_wake_at(const struct engine_loop *l)
{
    return list_empty(&l->shipments) ? NEVER : l->now_ms + 10;
}

static bool send_chunk(struct engine_loop *l, struct outbox *o, struct shipment *t, struct chunk *c)
{
    struct core_view v;
    struct frame_chunk out = { .group = t->group->number,
                               .number = t->number,
                               .offset = c->offset,
                               .pos = t->pos,
                               .last = c->last,
                               .bytes = blob_span(c->bytes),
                               .config = t->config };

    core_see(t->group->core, &v);
    out.term = v.term;
    CHECK(frame_add_chunk(&l->frame, &out));
    l->tokens -= c->bytes->n < l->tokens ? c->bytes->n : l->tokens;
    metric_add(M_RAFT_SNAPSHOT_BYTES, c->bytes->n);
    c->sent = true;
    return outbox_send_frame(l, o, WIRE_BULK);
}

/* False: what waits here is more than may leave now. */
static bool send_to(struct engine_loop *l, struct outbox *o)
{
    LIST_FOR(it, &l->shipments) {
        struct shipment *t = CONTAINER_OF(it, struct shipment, link);

        if (t->to != o->peer->node || t->failed || !t->group) continue;
        for (unsigned i = 0; i < t->count; i++) {
            if (t->chunks[i].sent) continue;
            if (l->tokens < t->chunks[i].bytes->n) return false;
            if (o->stuck[WIRE_BULK]) return true;
            if (!send_chunk(l, o, t, &t->chunks[i]) && !o->stuck[WIRE_BULK]) {
                t->chunks[i].sent = false; /* the lane is down: when it is up again */
                return true;
            }
        }
    }
    return true;
}

/* Peers in turn. Who waits for tokens and got none is waited for: others would take them away. */
void shipments_send(struct engine_loop *l)
{
    unsigned first = l->bulk_turn;

    for (unsigned i = 0; i < l->outbox_count; i++) {
        unsigned number = (first + i) % l->outbox_count;
        struct outbox *o = &l->outboxes[number];
        uint64_t tokens = l->tokens;

        if (!o->peer || o->stuck[WIRE_BULK] || send_to(l, o)) continue;
        l->bulk_turn = l->tokens < tokens ? number + 1 : number;
        return;
    }
    l->bulk_turn = first + 1;
}

/* What was on its way is lost. */
void shipments_down(struct engine_loop *l, uint64_t node)
{
    LIST_FOR(it, &l->shipments) {
        struct shipment *t = CONTAINER_OF(it, struct shipment, link);

        for (unsigned i = 0; t->to == node && i < t->count; i++)
            t->chunks[i].sent = false;
    }
}

static void staged_upto(struct shipment *t, uint64_t offset)
{
    while (t->count > 0 && !t->chunks[0].last &&
           t->chunks[0].offset + t->chunks[0].bytes->n <= offset) {
        blob_unref(&t->chunks[0].bytes);
        t->count--;
        memmove(t->chunks, t->chunks + 1, t->count * sizeof t->chunks[0]);
        t->progress_ms = t->loop->now_ms;
    }
    if (t->count > 0 && offset < t->chunks[0].offset) t->failed = true; /* it begins anew there */
}

void shipment_reply(struct raft_group *g, uint64_t from, const struct frame_reply *reply)
{
    LIST_FOR(it, &g->loop->shipments) {
        struct shipment *t = CONTAINER_OF(it, struct shipment, link);

        if (t->group != g || t->to != from || t->number != reply->number) continue;
        if (reply->state == FRAME_REPLY_GO_ON) {
            staged_upto(t, reply->offset);
        } else if (t->is_making || reply->state == FRAME_REPLY_FAILED) {
            t->failed = true;
        } else {
            end(t, true);
        }
        return;
    }
}

uint64_t shipments_hold(const struct raft_group *g)
{
    uint64_t hold = NEVER;

    LIST_FOR(it, &g->loop->shipments) {
        const struct shipment *t = CONTAINER_OF(it, struct shipment, link);

        if (t->group == g && t->pos.index > 0 && t->pos.index < hold) hold = t->pos.index;
    }
    return hold;
}

/* The group closes. A chunk that is being made is waited for; its mail comes later, and ends the shipment. */
void shipments_forget(struct raft_group *g)
{
    LIST_FOR_SAFE(it, &g->loop->shipments) {
        struct shipment *t = CONTAINER_OF(it, struct shipment, link);

        if (t->group != g) continue;
        if (!t->is_making) {
            free_shipment(t);
            continue;
        }
        reader_drain(g->raft);
        g->machine.snapshot.close(g->machine.arg, t->snapshot);
        t->snapshot = NULL;
        t->group = NULL;
    }
}
