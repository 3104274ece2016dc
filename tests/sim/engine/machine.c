/* machine - the real queue of a group on a node: applies what is committed, is flushed now and then, is sent as a snapshot
 * in chunks, and replaced by one that was staged. */
#include <stdlib.h>

#include "proto/ground/buf.h"
#include "queue/store.h"
#include "tests/sim/engine/world.h"

#define STAGED_MAX (64u << 20)

struct snapshot {
    struct buf bytes; /* the digest, then key and value of each record with their lengths */
    size_t at;
};

static uint32_t shard_of(const struct host *h)
{
    return (uint32_t)world_group(h->group);
}

/* ---- opening */

void machine_open(struct world *w, struct host *h)
{
    if (!h->store) CHECK(queue_store_open(&h->store, NULL, NULL) == 0);
    CHECK(queue_open(&h->queue, h->store, shard_of(h), NULL) == 0);
    EXPECT(w, queue_applied(h->queue) <= h->machine_upto,
           "n%u g%u: the machine is ahead of its position", h->node->at + 1, h->group);
    h->applied = h->machine_upto;
    h->is_staging = h->commits_later = h->works = false;
    h->snapshots_open = 0;
}

void machine_close(struct host *h)
{
    CHECK(h->snapshots_open == 0 && list_empty(&h->asks));
    if (h->is_staging) buf_deinit(&h->staged);
    h->is_staging = false;
    if (h->queue) queue_close(&h->queue);
    if (h->store) queue_store_mem_crash(h->store);
}

/* ---- what the engine calls */

static void apply(void *arg, const struct raft_entry *e)
{
    struct host *h = arg;
    struct world *w = h->node->world;
    struct queue_effects effects = { 0 };

    if (node_point(h->node)) return;
    EXPECT(w, e->index > h->applied, "n%u g%u: entry %llu is applied again", h->node->at + 1,
           h->group, (unsigned long long)e->index);
    EXPECT(w, !h->is_staging || !h->commits_later,
           "n%u g%u: entry %llu is applied while a snapshot is installed", h->node->at + 1,
           h->group, (unsigned long long)e->index);
    check_entry(w, h, e);
    queue_apply(h->queue, e->index, format_read(w, h->node, e->head), e->body.n, &effects);
    h->applied = e->index;
    if (check_applied(w, h, e->index))
        mail_learn(w, h->group, e->index, e->head, e->body, &effects);
}

static void applied(void *arg, uint64_t upto)
{
    struct host *h = arg;

    if (!h->node->dying) h->applied = upto;
}

static void role(void *arg, enum raft_role r, uint64_t term, uint64_t leader)
{
    struct host *h = arg;
    struct world *w = h->node->world;

    h->role = r;
    h->term = term;
    h->leader = leader;
    if (h->node->dying) return;
    trace_mix(w, h->node->at, (uint64_t)r, term);
    if (r == RAFT_LEADER)
        TRACE(w, "n%u g%u leads in term %llu", h->node->at + 1, h->group, (unsigned long long)term);
    mail_role(w, h);
}

/* ---- a snapshot goes */

static void put_u64(struct buf *b, uint64_t v)
{
    buf_add(b, &v, sizeof v);
}

static bool save_record(void *arg, struct span key, struct span value)
{
    struct buf *b = arg;

    put_u64(b, key.n);
    put_u64(b, value.n);
    buf_add(b, key.p, key.n);
    buf_add(b, value.p, value.n);
    return true;
}

static int open_snapshot(void *arg, void **out)
{
    struct host *h = arg;
    uint8_t prefix[4] = { 0, 0, 0, (uint8_t)shard_of(h) };
    struct snapshot *s;

    if (node_point(h->node)) return ERR_IO;
    s = check_calloc(1, sizeof *s);
    buf_init(&s->bytes, STAGED_MAX);
    put_u64(&s->bytes, queue_digest(h->queue));
    h->store->calls->each(h->store->self, span_of(prefix, 4), span_of(prefix, 4), false, &s->bytes,
                          save_record);
    h->snapshots_open++;
    h->node->world->snapshots++;
    TRACE(h->node->world, "n%u g%u saves a snapshot at %llu, %zu bytes", h->node->at + 1, h->group,
          (unsigned long long)h->applied, s->bytes.n);
    *out = s;
    return 0;
}

static int next_chunk(void *arg, void *snapshot, struct buf *out, bool *last)
{
    struct host *h = arg;
    struct snapshot *s = snapshot;
    size_t n = s->bytes.n - s->at;

    if (node_point(h->node)) return ERR_IO;
    if (n > h->node->world->plan.chunk_max) n = h->node->world->plan.chunk_max;
    buf_add(out, s->bytes.p + s->at, n);
    s->at += n;
    *last = s->at == s->bytes.n;
    return 0;
}

static void close_snapshot(void *arg, void *snapshot)
{
    struct host *h = arg;
    struct snapshot *s = snapshot;

    h->snapshots_open--;
    buf_deinit(&s->bytes);
    free(s);
}

/* ---- a snapshot comes */

static int stage_begin(void *arg, uint64_t index)
{
    struct host *h = arg;

    if (node_point(h->node)) return ERR_IO;
    EXPECT(h->node->world, index > h->applied, "n%u g%u: a snapshot of the past is staged",
           h->node->at + 1, h->group);
    EXPECT(h->node->world, !h->commits_later, "n%u g%u: staged while another one is installed",
           h->node->at + 1, h->group);
    if (h->is_staging) buf_deinit(&h->staged);
    buf_init(&h->staged, STAGED_MAX);
    h->is_staging = true;
    h->staged_index = index;
    h->stage++;
    return 0;
}

static int stage_chunk(void *arg, struct span chunk)
{
    struct host *h = arg;
    struct world *w = h->node->world;

    if (node_point(h->node)) return ERR_IO;
    CHECK(h->is_staging);
    buf_add(&h->staged, chunk.p, chunk.n);
    if (!world_chance(w, w->plan.late_permille)) return 0;
    world_at(w, world_below(w, 20 * MS),
             &(struct action){ .kind = ACT_STAGED,
                               .node = h->node->at,
                               .group = h->group,
                               .life = h->node->incarnation,
                               .a = h->stage });
    return ERR_AGAIN;
}

/* In calm no chunk fails: of a snapshot in a thousand small ones some would each time, and none would ever come whole. */
void machine_staged(struct host *h, uint64_t stage)
{
    bool fails;

    if (!h->is_staging || stage != h->stage || node_point(h->node)) return;
    fails = world_chance(h->node->world, 20) && !h->node->world->calm;
    raft_group_staged(h->raft, fails ? ERR_IO : 0);
}

static uint64_t take_u64(struct span *from)
{
    uint64_t v;

    CHECK(from->n >= sizeof v);
    memcpy(&v, from->p, sizeof v);
    *from = span_of(from->p + sizeof v, from->n - sizeof v);
    return v;
}

static struct span take(struct span *from, size_t n)
{
    struct span s = span_of(from->p, n);

    CHECK(n <= from->n);
    *from = span_of(from->p + n, from->n - n);
    return s;
}

/* One write of all records: as one, and durable. */
static struct queue_store *load(struct span bytes)
{
    struct queue_change *list = NULL;
    struct queue_store *store = NULL;
    size_t count = 0, cap = 0;

    while (bytes.n > 0) {
        size_t key_n = take_u64(&bytes), value_n = take_u64(&bytes);

        if (count == cap) {
            cap = cap ? 2 * cap : 64;
            list = check_realloc(list, cap * sizeof *list);
        }
        list[count] = (struct queue_change){ .key = take(&bytes, key_n) };
        list[count++].value = take(&bytes, value_n);
    }
    CHECK(queue_store_open(&store, NULL, NULL) == 0);
    if (count > 0) store->calls->write(store->self, list, count);
    CHECK(queue_store_flush(store, NULL) == 0);
    free(list);
    return store;
}

static void replace(struct world *w, struct host *h)
{
    struct span bytes = buf_span(&h->staged);
    uint64_t digest;

    CHECK(!buf_failed(&h->staged));
    digest = take_u64(&bytes);
    queue_close(&h->queue);
    queue_store_close(&h->store);
    h->store = load(bytes);
    h->machine_upto = h->applied = h->staged_index;
    CHECK(queue_open(&h->queue, h->store, shard_of(h), NULL) == 0);
    EXPECT(w, queue_digest(h->queue) == digest, "n%u g%u: a snapshot does not give its digest",
           h->node->at + 1, h->group);
    check_installed(w, h, h->staged_index, digest);
    buf_deinit(&h->staged);
    h->is_staging = h->commits_later = false;
    TRACE(w, "n%u g%u installs a snapshot at %llu", h->node->at + 1, h->group,
          (unsigned long long)h->applied);
}

static int stage_commit(void *arg, uint64_t index, uint64_t term)
{
    struct host *h = arg;
    struct world *w = h->node->world;

    (void)term;
    if (node_point(h->node)) return ERR_AGAIN;
    CHECK(h->is_staging && h->staged_index == index);
    if (world_chance(w, 50)) return ERR_IO; /* it will not: dropped, and sent again */
    if (world_chance(w, w->plan.late_permille)) {
        h->commits_later = true;
        world_at(w, world_below(w, 500 * MS),
                 &(struct action){ .kind = ACT_INSTALLED,
                                   .node = h->node->at,
                                   .group = h->group,
                                   .life = h->node->incarnation });
        return ERR_AGAIN;
    }
    replace(w, h);
    if (w->plan.fault_every_us[FAULT_CRASH_POINT] && world_chance(w, 200))
        h->node->crash_in =
            1; /* between the machine's commit and the log's new beginning: rare, else */
    return node_point(h->node) ? ERR_AGAIN : 0;
}

void machine_installed(struct world *w, struct host *h)
{
    bool ok = !world_chance(w, 100);

    CHECK(h->commits_later);
    if (node_point(h->node)) return;
    h->commits_later = false;
    if (ok) replace(w, h);
    if (node_point(h->node)) return;
    raft_group_installed(h->raft, ok);
}

static void stage_drop(void *arg)
{
    struct host *h = arg;

    if (h->is_staging) buf_deinit(&h->staged);
    h->is_staging = h->commits_later = false;
}

void machine_calls(struct host *h, struct raft_machine *out)
{
    *out = (struct raft_machine){
        .arg = h,
        .apply = apply,
        .applied = applied,
        .role = role,
        .snapshot = { open_snapshot, next_chunk, close_snapshot, stage_begin, stage_chunk,
                      stage_commit, stage_drop },
        .members_max = CORE_MEMBERS_MAX,
    };
}

/* ---- flushing, and cutting the log behind it */

void machine_flush(struct world *w, struct node *n)
{
    for (unsigned g = 0; g < w->plan.groups; g++) {
        struct host *h = &n->hosts[g];

        if (!h->raft || !h->queue || h->commits_later) continue;
        if (node_point(n)) return;
        CHECK(queue_store_flush(h->store, NULL) == 0);
        h->machine_upto = h->applied;
        if (node_point(n)) return;
        if (h->machine_upto > w->plan.keep_entries)
            raft_group_cut(h->raft, h->machine_upto - w->plan.keep_entries);
    }
}
