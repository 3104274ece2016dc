/* shard - what node/commit/place.c and close.c need of a shard, over a host of the engine's world: its group and queue are the
 * host's, what is in the air is the model mail's. */
#include <string.h>

#include "node/commit/leaders.h"
#include "tests/sim/control/town.h"

static struct stand *stand_of(const struct shard *s)
{
    return CONTAINER_OF(s->commit, struct stand, commit);
}

static struct host *host_of(const struct shard *s)
{
    return &stand_of(s)->node->hosts[s->number];
}

/* ---- what the product's own files call */

int shard_open(struct shard *s, const struct core_config *config, struct errmsg *why)
{
    struct stand *stand = stand_of(s);
    struct node *n = stand->node;
    struct host *h = host_of(s);

    (void)config, (void)why; /* the founders, which the world knows */
    if (stand->closing || n->dying) return 0;
    n->world->wanted[s->number][n->at] = true;
    node_open_group(n->world, n, s->number);
    if (n->dying) return 0;
    s->group = h->raft;
    s->queue = h->queue;
    s->is_open = true;
    return 0;
}

void shard_offer(struct shard *s, bool offered)
{
    s->is_offered = offered;
}

/* What moved away is not removed here: nobody asks for it. */
bool vacate_defers(struct shard *s, const struct commit_placement *p)
{
    (void)s, (void)p;
    return false;
}

void vacate_finish(struct shard *s, const struct commit_placement *p)
{
    (void)s, (void)p;
    CHECK(false);
}

void shard_see(struct shard *s)
{
    (void)s;
}

bool attempt_waits(const struct shard *s)
{
    return !list_empty(&host_of(s)->asks);
}

bool leaders_leaves(struct commit *c, uint64_t node)
{
    (void)c, (void)node;
    return false;
}

void leaders_changed(struct commit *c)
{
    (void)c;
}

unsigned commit_shard_count(const struct commit *c)
{
    return atomic_load(&c->shard_count);
}

void commit_shard_see(struct commit *c, uint32_t shard, struct commit_shard_view *out)
{
    const struct shard *s = commit_shard(c, shard);

    *out = (struct commit_shard_view){ .is_open = s->is_open, .leads = s->leads };
}

/* ---- a node's */

void shards_open(struct stand *s)
{
    for (unsigned i = 1; i < GROUPS_MAX; i++) {
        struct shard *x = &s->shards[i - 1];

        *x = (struct shard){ .commit = &s->commit, .number = i, .loop = &s->node->loops[0] };
        list_init(&x->in_flight);
        x->apply_at = &x->in_flight;
    }
}

static void look(struct shard *s, const struct host *h)
{
    bool leads = h->role == RAFT_LEADER && h->doubt_term == h->term;

    s->queue = h->queue;
    s->term = h->term;
    if (leads != s->leads) {
        s->leads = leads;
        shard_offer(s, leads);
    }
}

void shards_turn(struct world *w, struct stand *s)
{
    uint64_t mono_ms = node_mono_ms(w, s->node);

    for (unsigned i = 1; i < GROUPS_MAX && !s->node->dying; i++) {
        struct shard *x = &s->shards[i - 1];

        if (!x->is_open) continue;
        look(x, &s->node->hosts[i]);
        place_turn(x, mono_ms);
    }
}

void shards_close(struct stand *s)
{
    for (unsigned i = 1; i < GROUPS_MAX; i++)
        if (s->shards[i - 1].commit) place_close(&s->shards[i - 1]);
}
