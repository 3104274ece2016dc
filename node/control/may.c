/* may - what an operator wants, before it is proposed: refused when it would lose a quorum, or the only replica of something. */
#include "node/control/inside.h"

typedef unsigned long long ull;

static const struct control_node *present(const struct control *c, uint64_t id, struct errmsg *why)
{
    const struct control_node *n = control_node(c, id);

    if (n && n->state != CONTROL_GONE) return n;
    errmsg_set(why, ERR_NOT_FOUND, n ? "node %llu is gone" : "there is no node %llu", (ull)id);
    return NULL;
}

static unsigned serving_but(const struct control *c, uint64_t id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->node_count; i++)
        n += c->nodes[i].state == CONTROL_SERVING && c->nodes[i].id != id;
    return n;
}

int control_may_cordon(const struct control *c, uint64_t node, struct errmsg *why)
{
    const struct control_node *n = present(c, node, why);

    if (!n) return ERR_NOT_FOUND;
    if (n->state == CONTROL_CORDONED || n->state == CONTROL_DRAINING)
        return errmsg_set(why, ERR_EXISTS, "node %llu is %s already", (ull)node,
                          control_node_state_name(n->state));
    if (serving_but(c, node) == 0)
        return errmsg_set(why, ERR_BUSY, "no other node serves: nothing new could go anywhere");
    return 0;
}

int control_may_uncordon(const struct control *c, uint64_t node, struct errmsg *why)
{
    const struct control_node *n = present(c, node, why);

    if (!n) return ERR_NOT_FOUND;
    if (n->state == CONTROL_CORDONED || n->state == CONTROL_DRAINING) return 0;
    return errmsg_set(why, ERR_EXISTS, "node %llu is %s already", (ull)node,
                      control_node_state_name(n->state));
}

/* ---- leaving */

static unsigned voters_but(const struct control_shard *s, uint64_t node,
                           uint64_t out[CONTROL_VOTERS_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->voter_count; i++)
        if (s->voters[i] != node) out[count++] = s->voters[i];
    return count;
}

static int may_lose(const struct look *l, const struct control_shard *s, uint64_t node,
                    struct errmsg *why)
{
    uint64_t voters[CONTROL_VOTERS_MAX];
    unsigned count = voters_but(s, node, voters);

    if (!look_has_quorum(l, s->holders, s->settled_count))
        return errmsg_set(
            why, ERR_BUSY, "shard %u has no quorum now: %u of its %u voters live; wait for them",
            s->number, look_living(l, s->holders, s->settled_count), s->settled_count);
    if (count == 0)
        return errmsg_set(why, ERR_BUSY, "node %llu holds the only replica of shard %u", (ull)node,
                          s->number);
    if (!look_has_quorum(l, voters, count))
        return errmsg_set(why, ERR_BUSY,
                          "shard %u would lose its quorum: %u of the %u voters that are left live",
                          s->number, look_living(l, voters, count), count);
    return 0;
}

static int each_held(struct look *l, uint64_t node, bool is_replaced, struct errmsg *why)
{
    const struct control *c = l->control;
    int rv = 0;

    for (unsigned i = 0; rv == 0 && i < c->shard_count; i++) {
        const struct control_shard *s = &c->shards[i];
        uint64_t voters[CONTROL_VOTERS_MAX];
        bool is_voter = list_has(s->voters, s->voter_count, node);

        l->spread = s->spread;
        if (!is_voter && !control_holds(s, node)) continue;
        if (is_replaced && look_best(l, voters, voters_but(s, node, voters)) != 0 &&
            look_has_quorum(l, s->holders, s->settled_count))
            continue;
        if (!is_replaced && s->in_force != s->version)
            return errmsg_set(why, ERR_BUSY,
                              "shard %u is on its way to other voters: wait until it has them",
                              s->number);
        rv = may_lose(l, s, node, why);
    }
    return rv;
}

int control_may_drain(const struct control *c, const struct control_up *up, uint64_t node,
                      struct errmsg *why)
{
    const struct control_node *n = present(c, node, why);
    struct look l;

    if (!n) return ERR_NOT_FOUND;
    if (n->state == CONTROL_DRAINING)
        return errmsg_set(why, ERR_EXISTS, "node %llu is draining already", (ull)node);
    look_at(&l, c, up);
    if (l.taking - look_takes(&l, node) == 0)
        return errmsg_set(why, ERR_BUSY, "no other node serves and is up");
    l.takes[look_place(&l, node)] = false;
    return each_held(&l, node, true, why);
}

/* Nobody in the region takes anything; how many of it are not gone, and how many do not drain yet. */
static unsigned leave_out(struct look *l, const char *region, unsigned *left_out)
{
    const struct control *c = l->control;
    unsigned present = 0;

    *left_out = 0;
    for (unsigned i = 0; i < c->node_count; i++) {
        if (c->nodes[i].state == CONTROL_GONE || strcmp(c->nodes[i].region, region) != 0) continue;
        present++;
        *left_out += c->nodes[i].state != CONTROL_DRAINING;
        l->taking -= l->takes[i];
        l->takes[i] = false;
    }
    return present;
}

int control_may_drain_region(const struct control *c, const struct control_up *up,
                             const char *region, struct errmsg *why)
{
    unsigned left;
    struct look l;
    int rv = 0;

    look_at(&l, c, up);
    if (!*region || leave_out(&l, region, &left) == 0)
        return errmsg_set(why, ERR_NOT_FOUND, "there is no node in a region %s", region);
    if (left == 0) return errmsg_set(why, ERR_EXISTS, "region %s is draining already", region);
    if (l.taking == 0)
        return errmsg_set(why, ERR_BUSY, "no node of another region serves and is up");
    for (unsigned i = 0; rv == 0 && i < c->node_count; i++)
        if (c->nodes[i].state != CONTROL_GONE && strcmp(c->nodes[i].region, region) == 0)
            rv = each_held(&l, c->nodes[i].id, true, why);
    return rv;
}

int control_may_remove(const struct control *c, const struct control_up *up, uint64_t node,
                       bool force, struct errmsg *why)
{
    const struct control_node *n = present(c, node, why);
    unsigned held = control_held(c, node);
    struct look l;

    if (!n) return ERR_NOT_FOUND;
    if (n->state == CONTROL_DRAINING && held == 0) return 0;
    if (!force)
        return errmsg_set(why, ERR_BUSY, "node %llu is %s and holds %u shards: drain it first",
                          (ull)node, control_node_state_name(n->state), held);
    look_at(&l, c, up);
    if (look_is_up(&l, node))
        return errmsg_set(why, ERR_BUSY,
                          "node %llu lives: only one that is down for good is removed by force",
                          (ull)node);
    return each_held(&l, node, false, why);
}

int control_may_promote(const struct control *c, const struct control_up *up, uint64_t node,
                        struct errmsg *why)
{
    const struct control_node *n = present(c, node, why);

    if (!n) return ERR_NOT_FOUND;
    if (n->promoted) return errmsg_set(why, ERR_EXISTS, "node %llu is promoted already", (ull)node);
    if (n->state == CONTROL_DRAINING || !list_has(up->nodes, up->count, node))
        return errmsg_set(why, ERR_BUSY, "node %llu is %s: it cannot vote for long", (ull)node,
                          n->state == CONTROL_DRAINING ? "draining" : "down");
    return 0;
}

/* ---- shards */

static const struct control_shard *there(const struct control *c, uint32_t shard,
                                         struct errmsg *why)
{
    const struct control_shard *s = control_shard(c, shard);

    if (s && s->state != CONTROL_CLOSED) return s;
    errmsg_set(why, ERR_NOT_FOUND, s ? "shard %u is closed" : "there is no shard %u", shard);
    return NULL;
}

int control_may_close(const struct control *c, uint32_t shard, struct errmsg *why)
{
    const struct control_shard *s = there(c, shard, why);
    unsigned open = 0;

    if (!s) return ERR_NOT_FOUND;
    if (s->state == CONTROL_CLOSING)
        return errmsg_set(why, ERR_EXISTS, "shard %u is closing already", shard);
    for (unsigned i = 0; i < c->shard_count; i++)
        open += c->shards[i].state == CONTROL_OPEN;
    if (open > 1) return 0;
    return errmsg_set(why, ERR_BUSY,
                      "shard %u is the only one that takes mail: create another one first", shard);
}

static int check_newcomers(const struct look *l, const struct control_shard *s,
                           const uint64_t *voters, unsigned count, struct errmsg *why)
{
    for (unsigned i = 0; i < count; i++) {
        if (list_has(s->voters, s->voter_count, voters[i]) || look_takes(l, voters[i])) continue;
        return errmsg_set(why, ERR_BUSY, "node %llu takes nothing new: it is %s and %s",
                          (ull)voters[i],
                          control_node_state_name(control_node(l->control, voters[i])->state),
                          look_is_up(l, voters[i]) ? "up" : "down");
    }
    return 0;
}

int control_may_place(const struct control *c, const struct control_up *up, uint32_t shard,
                      const uint64_t *voters, unsigned count, struct errmsg *why)
{
    const struct control_shard *s = there(c, shard, why);
    struct look l;
    int rv;

    if (!s) return ERR_NOT_FOUND;
    for (unsigned i = 0; i < count; i++)
        if (!control_node(c, voters[i]))
            return errmsg_set(why, ERR_NOT_FOUND, "there is no node %llu", (ull)voters[i]);
    if (voters_check(c, voters, count) != 0)
        return errmsg_set(why, ERR_RANGE, "voters: 1 to %u nodes of the cluster, each once",
                          CONTROL_VOTERS_MAX);
    look_at(&l, c, up);
    l.spread = s->spread;
    rv = check_newcomers(&l, s, voters, count, why);
    if (rv != 0) return rv;
    if (!look_has_quorum(&l, s->holders, s->settled_count))
        return errmsg_set(why, ERR_BUSY,
                          "shard %u has no quorum now: %u of its %u voters live; wait for them",
                          shard, look_living(&l, s->holders, s->settled_count), s->settled_count);
    if (!look_has_quorum(&l, voters, count))
        return errmsg_set(why, ERR_BUSY, "shard %u would have no quorum: %u of the %u voters live",
                          shard, look_living(&l, voters, count), count);
    return 0;
}
