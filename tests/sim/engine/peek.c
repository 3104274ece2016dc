/* peek - what only the engine's inside shows: entries in its memory, and how far its tables are filled. */
#include <stdlib.h>

#include "raft/engine/inside.h"
#include "tests/sim/engine/world.h"

#define HOLE_READS_MAX 20u /* of one node: it may have stopped to lead meanwhile */

static void fill(struct peeked *out, uint64_t term, enum core_entry_kind kind, struct span head,
                 struct span body)
{
    *out = (struct peeked){ .term = term, .kind = kind, .hash = check_hash(kind, head, body) };
    out->is_config = kind == CORE_CONFIG && config_unpack(head, &out->config) == 0;
}

int peek_read(const struct host *h, uint64_t index, enum core_entry_kind *kind, uint64_t *term,
              struct blob **head, struct blob **body)
{
    struct store *s = h->node->store;
    uint64_t reads = *store_mem_hole_reads(s);
    int rv = store_entry_read(s, world_group(h->group), index, kind, term, head, body);

    *store_mem_hole_reads(s) = reads;
    return rv;
}

bool peek_entry(const struct host *h, uint64_t index, struct peeked *out)
{
    const struct slot *s = h->raft ? ring_at(&h->raft->ring, index) : NULL;
    struct blob *head = NULL, *body = NULL;
    enum core_entry_kind kind;
    uint64_t term;

    if (s) {
        fill(out, s->term, s->kind, s->head, s->body);
        return true;
    }
    if (!h->node->store) return false;
    if (peek_read(h, index, &kind, &term, &head, &body) != 0) return false;
    fill(out, term, kind, blob_span(head), blob_span(body));
    blob_unref(&head);
    blob_unref(&body);
    return true;
}

uint64_t peek_first(const struct host *h)
{
    struct store_group *log;
    uint64_t first = 1;

    if (h->raft) return h->raft->first;
    if (!h->node->store) return first;
    log = check_malloc(sizeof *log);
    if (store_group_read(h->node->store, world_group(h->group), log, NULL) == 0) first = log->first;
    free(log);
    return first;
}

uint64_t peek_last(const struct host *h)
{
    struct store_group *log;
    struct core_view v;
    uint64_t last = 0;

    if (h->raft) {
        peek_core(h, &v);
        return v.last;
    }
    if (!h->node->store) return last;
    log = check_malloc(sizeof *log);
    if (store_group_read(h->node->store, h->group + 1, log, NULL) == 0) last = log->last;
    free(log);
    return last;
}

const struct core_config *peek_config_after(const struct host *h, uint64_t *index, struct peeked *e)
{
    uint64_t first = peek_first(h);

    if (*index + 1 < first) *index = first - 1;
    while (peek_entry(h, ++*index, e))
        if (e->is_config) return &e->config;
    return NULL;
}

void peek_core(const struct host *h, struct core_view *out)
{
    core_see(h->raft->core, out);
}

bool peek_peer(const struct host *h, unsigned i, struct core_peer_view *out)
{
    return core_see_peer(h->raft->core, i, out);
}

static unsigned count(const struct list *l)
{
    unsigned n = 0;

    LIST_FOR(at, l)
        n++;
    return n;
}

static void expect_loop(struct world *w, const struct node *n, const struct engine_loop *l)
{
    const struct plan *p = &w->plan;
    size_t slack = 0;

    EXPECT(w, count(&l->shipments) <= 2 * RAFT_SHIPMENTS_MAX + n->world->plan.groups * NODES_MAX,
           "n%u: %u snapshots are on their way", n->at + 1, count(&l->shipments));
    for (unsigned g = 0; g < p->groups; g++)
        if (n->hosts[g].raft && n->hosts[g].raft->loop == l)
            slack += 2 * p->uncommitted_bytes + (2u << 20);
    EXPECT(w, l->cached_bytes <= p->cache_bytes + slack, "n%u: %zu bytes are cached", n->at + 1,
           l->cached_bytes);
    for (unsigned i = 0; i < l->outbox_count; i++)
        for (unsigned lane = 0; l->outboxes[i].peer && lane < WIRE_LANES; lane++)
            EXPECT(w, l->outboxes[i].counts[lane] <= OUTBOX_MESSAGES_MAX,
                   "n%u: %u messages wait for a lane", n->at + 1, l->outboxes[i].counts[lane]);
}

void peek_bounds(struct world *w, const struct node *n)
{
    const struct raft *r = n->raft;
    uint64_t holes = *store_mem_hole_reads(n->store);

    EXPECT(w, holes <= HOLE_READS_MAX, "n%u looked %llu times for entries that its disk must hold",
           n->at + 1, (unsigned long long)holes);
    for (unsigned i = 0; i < r->peer_count; i++)
        for (unsigned lane = 0; lane < WIRE_LANES; lane++)
            EXPECT(w, r->peers[i].inbox_bytes[lane] <= w->plan.inbox_bytes + WIRE_FRAME_MAX,
                   "n%u: %zu bytes of n%llu are not stepped", n->at + 1,
                   (size_t)r->peers[i].inbox_bytes[lane], (unsigned long long)r->peers[i].node);
    for (unsigned i = 0; i < r->loop_count; i++)
        expect_loop(w, n, &r->loops[i]);
    for (unsigned g = 0; g < w->plan.groups; g++) {
        const struct raft_group *group = n->hosts[g].raft;

        if (!group) continue;
        EXPECT(w, group->ring.count <= 2 * CORE_UNCOMMITTED_MAX + 4096,
               "n%u g%u: %u entries are in memory", n->at + 1, g, group->ring.count);
        EXPECT(w, count(&group->held) <= OUTBOX_MESSAGES_MAX,
               "n%u g%u: %u messages wait for a write", n->at + 1, g, count(&group->held));
    }
}
