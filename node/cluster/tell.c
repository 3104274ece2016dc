/* tell - what the state of group 0 means here: peers to talk to, shards to hold. */
#include <stdio.h>
#include <string.h>

#include "node/cluster/inside.h"

/* Marks */
#define ENDED UINT64_MAX       /* of a shard that is closed */
#define LEFT  (UINT64_MAX - 1) /* of one that is not held here */

static bool is_lost(const struct cluster *c, uint64_t node)
{
    for (unsigned i = 0; i < c->self.lost_count; i++)
        if (c->self.lost[i] == node) return true;
    return false;
}

static void tell_peer(struct cluster *c, uint64_t node, const char *address)
{
    struct wire_peer peer = { .node = node };

    if (node == c->self.node || !address[0] || is_lost(c, node)) return;
    snprintf(peer.address, sizeof peer.address, "%s", address);
    if (wire_peer(c->o.wire, &peer) != 0)
        log_event(LOG_ERROR, "cluster.peer_refused", LOG_NUM("peer", node),
                  LOG_TEXT("address", address));
}

void tell_peers(struct cluster *c)
{
    unsigned count = control_node_count(c->control);

    if (c->is_removed) return;
    for (unsigned i = 0; i < count; i++) {
        const struct control_node *n = control_node_at(c->control, i);

        if (n->state != CONTROL_GONE) tell_peer(c, n->id, n->address);
    }
    for (unsigned i = 0; i < c->self.peer_count; i++)
        if (!control_node(c->control, c->self.peers[i].node))
            tell_peer(c, c->self.peers[i].node, c->self.peers[i].address);
}

/* Each shard is where its placement says, so that who is in no placement has no vote. */
static bool all_are_settled(const struct cluster *c)
{
    unsigned count = control_shard_count(c->control);

    for (unsigned i = 1; i <= count; i++) {
        const struct control_shard *s = control_shard(c->control, i);

        if (s->state != CONTROL_CLOSED && s->in_force != s->version) return false;
    }
    return true;
}

static bool is_member(const struct cluster *c, uint64_t node)
{
    const struct core_config *g = raft_group_config(c->group);

    for (unsigned i = 0; i < g->count; i++)
        if (g->members[i].node == node) return true;
    return false;
}

/* Another node has come to where it was. */
static bool is_succeeded(const struct cluster *c, const struct control_node *gone)
{
    unsigned count = control_node_count(c->control);

    for (unsigned i = 0; i < count; i++) {
        const struct control_node *n = control_node_at(c->control, i);

        if (n->state != CONTROL_GONE && strcmp(n->address, gone->address) == 0) return true;
    }
    return false;
}

/* Who was up has heard of it: it stands by and forwards mail until it is stopped. Who was down has not, also when it is up again. */
static bool has_been_down(struct cluster *c, unsigned i, const struct control_node *n)
{
    if (n->state == CONTROL_GONE && !cluster_is_up(c, n->id)) c->gone_down[i] = true;
    return c->gone_down[i];
}

void tell_removed(struct cluster *c)
{
    unsigned count = control_node_count(c->control);
    bool settled = all_are_settled(c);

    if (cluster_is_removed(c)) return;
    for (unsigned i = 0; i < count; i++) {
        const struct control_node *n = control_node_at(c->control, i);
        struct wire_peer peer = { .node = n->id };

        if (!has_been_down(c, i, n) || !settled || is_member(c, n->id)) continue;
        if (!is_succeeded(c, n)) snprintf(peer.address, sizeof peer.address, "%s", n->address);
        wire_remove(c->o.wire, &peer);
    }
}

struct core_config tell_config(const struct cluster *c, const uint64_t *voters, unsigned count)
{
    struct core_config config = raft_config_of(voters, count);

    for (unsigned i = 0; i < count; i++) {
        config.members[i].zone = control_zone_number(c->control, voters[i]);
        config.members[i].region = control_region_number(c->control, voters[i]);
    }
    return config;
}

void tell_records(struct cluster *c)
{
    uint64_t mark = save_records_mark(c);

    if (mark == c->told_records) return;
    c->told_records = mark;
    if (c->o.calls.on_records) c->o.calls.on_records(c->o.calls.arg);
}

/* Over regions, a commit needs two of them. */
static struct core_config shard_config(const struct cluster *c, const struct control_shard *s,
                                       const uint64_t *voters, unsigned count)
{
    struct core_config config = tell_config(c, voters, count);

    if (s->spread == CONTROL_SPREAD_REGION) config.spread = CORE_SPREAD_REGION;
    return config;
}

static void tell_shard(struct cluster *c, const struct control_shard *s)
{
    struct core_config founders = shard_config(c, s, s->founders, s->founder_count),
                       wanted = shard_config(c, s, s->voters, s->voter_count);
    const struct cluster_shard told = { .shard = s->number,
                                        .version = s->version,
                                        .founders = &founders,
                                        .wanted = &wanted,
                                        .in_force = s->in_force == s->version,
                                        .closes = s->state == CONTROL_CLOSING };
    uint64_t mark = (uint64_t)s->version << 1 | told.in_force;

    if (c->told[s->number - 1] == mark) return;
    c->told[s->number - 1] = mark;
    c->o.calls.on_shard(c->o.calls.arg, &told);
}

static void tell_ended(struct cluster *c, const struct control_shard *s)
{
    if (c->told[s->number - 1] == ENDED || !save_knows_ended(c)) return;
    c->told[s->number - 1] = ENDED;
    if (c->o.calls.on_shard_ended) c->o.calls.on_shard_ended(c->o.calls.arg, s->number);
}

static void tell_left(struct cluster *c, const struct control_shard *s)
{
    if (c->told[s->number - 1] == LEFT) return;
    c->told[s->number - 1] = LEFT;
    if (c->o.calls.on_shard_left) c->o.calls.on_shard_left(c->o.calls.arg, s->number);
}

static void tell_state(struct cluster *c)
{
    const struct control_node *n = control_node(c->control, c->self.node);
    enum control_node_state state = n ? n->state : c->told_state;

    if (c->is_removed) state = CONTROL_GONE;
    if (state == c->told_state) return;
    c->told_state = state;
    c->o.calls.on_state(c->o.calls.arg, state);
}

/* Who may have a vote holds it until a placement without him is in force. */
void tell_shards(struct cluster *c)
{
    unsigned count = control_shard_count(c->control);

    tell_state(c);
    for (unsigned i = 1; i <= count; i++) {
        const struct control_shard *s = control_shard(c->control, i);

        if (s->state == CONTROL_CLOSED)
            tell_ended(c, s);
        else if (control_holds(s, c->self.node))
            tell_shard(c, s);
        else
            tell_left(c, s);
    }
}
