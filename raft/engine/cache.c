/* cache - entries stay in memory after they are applied, so that a peer that is a little behind costs no disk read.
 *
 * A group of this node alone keeps nothing: its entries' bytes are the proposers'. In the others bytes are shared with the
 * frame that brought them, or with the owner of the proposal's body, or are a copy of the proposal. Over the bound the group that appended least recently gives its
 * oldest entries back; what is not durable and applied stays, and is bounded by what may be uncommitted and unapplied. Who
 * follows feeds nobody: it keeps only what another one may lack when it begins to lead, so that memory of what came is used again
 * while it is warm.
 */
#include "raft/engine/inside.h"

#define EVICT_GROUPS_MAX 16 /* looked at in one turn */
#define FOLLOWS_BYTES_MAX (512u << 10) /* kept of a group that does not lead, when all of it is applied */

static void count(struct raft_group *g, const struct slot *s, bool more)
{
    size_t bytes = s->head.n + s->body.n + sizeof *s;

    if (!s->owner) return;
    if (more) {
        g->cached_bytes += bytes;
        g->loop->cached_bytes += bytes;
        metric_add(M_RAFT_CACHE_BYTES, bytes);
        return;
    }
    CHECK(g->cached_bytes >= bytes);
    g->cached_bytes -= bytes;
    g->loop->cached_bytes -= bytes;
    metric_sub(M_RAFT_CACHE_BYTES, bytes);
}

void cache_add(struct raft_group *g, uint64_t index, const struct slot *entry)
{
    struct slot *s = ring_push(&g->ring, index);

    *s = *entry;
    count(g, s, true);
    if (!s->owner) return;
    list_remove(&g->cached_link);
    list_add(&g->loop->cached, &g->cached_link);
}

static void let_go(struct raft_group *g, struct slot *s)
{
    count(g, s, false);
    blob_unref(&s->owner);
    blob_unref(&s->body_owner);
}

void cache_drop_upto(struct raft_group *g, uint64_t index)
{
    while (g->ring.count > 0 && g->ring.first <= index) {
        struct slot *s = ring_at(&g->ring, g->ring.first);

        CHECK(s->proposal == NULL);
        let_go(g, s);
        ring_drop_first(&g->ring);
    }
    if (g->ring.count == 0) list_remove(&g->cached_link);
}

void cache_truncate(struct raft_group *g, uint64_t from)
{
    while (g->ring.count > 0 && g->ring.first + g->ring.count > from) {
        struct slot *s = ring_at(&g->ring, g->ring.first + g->ring.count - 1);

        if (s->proposal) {
            list_add_first(&g->superseded, &s->proposal->link);
            g->superseded_write = g->write_last;
        }
        let_go(g, s);
        ring_drop_last(&g->ring);
    }
}

void cache_clear(struct raft_group *g, struct list *proposals_out)
{
    while (g->ring.count > 0) {
        struct slot *s = ring_at(&g->ring, g->ring.first);

        if (s->proposal) list_add(proposals_out, &s->proposal->link);
        let_go(g, s);
        ring_drop_first(&g->ring);
    }
    list_remove(&g->cached_link);
}

static uint64_t evictable_upto(const struct raft_group *g)
{
    struct core_view v;

    core_see(g->core, &v);
    return v.durable < g->applied ? v.durable : g->applied;
}

/* At rest all members have all of it. */
void cache_rest(struct raft_group *g)
{
    cache_drop_upto(g, evictable_upto(g));
    if (g->ring.count == 0) ring_deinit(&g->ring);
}

void cache_follow(struct raft_group *g)
{
    struct core_view v;

    if (g->cached_bytes <= FOLLOWS_BYTES_MAX) return;
    core_see(g->core, &v);
    if (v.role == CORE_LEADER) return;
    while (g->cached_bytes > FOLLOWS_BYTES_MAX && g->ring.count > 0 &&
           g->ring.first <= evictable_upto(g))
        cache_drop_upto(g, g->ring.first);
}

void cache_evict(struct engine_loop *l)
{
    for (unsigned i = 0; i < EVICT_GROUPS_MAX; i++) {
        struct raft_group *g;
        uint64_t upto;

        if (l->cached_bytes <= l->raft->cache_bytes_max || list_empty(&l->cached)) return;
        g = CONTAINER_OF(l->cached.next, struct raft_group, cached_link);
        upto = evictable_upto(g);
        while (l->cached_bytes > l->raft->cache_bytes_max && g->ring.count > 0 &&
               g->ring.first <= upto) {
            cache_drop_upto(g, g->ring.first);
            metric_add(M_RAFT_CACHE_EVICTED, 1);
        }
        if (list_empty(&g->cached_link)) continue;
        list_remove(&g->cached_link); /* what is left of it is needed: the next one */
        list_add(&l->cached, &g->cached_link);
    }
}
