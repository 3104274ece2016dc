/* refound - the state of a cluster that was, as that of a new one with one node: what was decided stays (tenants and what is
 * theirs, shards and their numbers); who was there does not. */
#include "node/control/inside.h"

static void refound_shard(struct control_shard *s, uint64_t node)
{
    bool is_closed = s->state == CONTROL_CLOSED;

    s->version++;
    s->in_force = s->version;
    s->founder_count = 1;
    s->founders[0] = s->voters[0] = s->holders[0] = node;
    s->voter_count = s->holder_count = s->settled_count = is_closed ? 0 : 1;
}

void control_refound(struct control *c, const uint8_t cluster[CONTROL_CLUSTER_SIZE],
                     const struct control_node *only)
{
    CHECK(c->is_born);
    memcpy(c->cluster, cluster, CONTROL_CLUSTER_SIZE);
    c->nodes[0] = *only;
    c->nodes[0].state = CONTROL_SERVING;
    c->nodes[0].promoted = false;
    c->node_count = 1;
    c->token_count = 0;
    for (unsigned i = 0; i < CONTROL_SKIPPED && c->shard_count < CONTROL_SHARDS_MAX; i++) {
        c->shards[c->shard_count] =
            (struct control_shard){ .number = c->shard_count + 1, .state = CONTROL_CLOSED };
        c->shard_count++;
    }
    for (unsigned i = 0; i < c->shard_count; i++)
        refound_shard(&c->shards[i], only->id);
}
