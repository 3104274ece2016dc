/* format - which format is in force. It stands in the state of group 0 and changes by one entry of its log, which is proposed only
 * when every node has said that it knows the new one.
 *
 * Rule: DATA/cluster says it before anything of the new format is written, so that an older program is refused by the first file
 *   that it opens and not by a record in the middle of a log.
 */
#include "node/cluster/inside.h"

bool format_differs(const struct cluster *c)
{
    return control_is_born(c->control) && control_format(c->control) != c->self.format;
}

void format_write(struct cluster *c)
{
    struct errmsg why = { "" };

    if (c->raised.format == 0) return;
    if (cluster_self_write(c->dir, &c->raised, &why) != 0)
        check_last_word("cluster", "writing", why.text);
}

void format_written(struct cluster *c)
{
    bool differs = c->raised.format != c->self.format;

    if (c->raised.format == 0) return;
    c->self.format = c->raised.format;
    c->self.removed = c->raised.removed;
    c->raised.format = 0;
    if (!differs) return;
    log_event(LOG_INFO, "cluster.format", LOG_NUM("format", c->self.format));
    if (c->o.calls.on_format) c->o.calls.on_format(c->o.calls.arg, c->self.format);
}

uint32_t cluster_knows(const struct cluster *c, uint64_t node)
{
    struct raft_peer_view v;

    if (node == c->self.node) return PROTO_FORMAT_VERSION;
    return cluster_is_up(c, node) && raft_peer_see(c->o.raft, node, &v) ? v.format : 0;
}

int cluster_may_finalize(const struct cluster *c, struct errmsg *why)
{
    if (control_format(c->control) >= PROTO_FORMAT_VERSION)
        return errmsg_set(why, ERR_EXISTS, "format %u is in force, and this node knows no newer one",
                          control_format(c->control));
    for (unsigned i = 0; i < control_node_count(c->control); i++) {
        const struct control_node *n = control_node_at(c->control, i);
        uint32_t knows = cluster_knows(c, n->id);

        if (n->state == CONTROL_GONE || knows == PROTO_FORMAT_VERSION) continue;
        if (knows == 0)
            return errmsg_set(why, ERR_BUSY,
                              "node %llu is down: it has not said that it knows format %u; start it, "
                              "or remove it from the cluster",
                              (unsigned long long)n->id, PROTO_FORMAT_VERSION);
        return errmsg_set(why, ERR_BUSY, "node %llu knows formats up to %u, not %u; upgrade it first",
                          (unsigned long long)n->id, knows, PROTO_FORMAT_VERSION);
    }
    return 0;
}
