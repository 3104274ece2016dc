/* conn_hello - who is at the other end: the name in its certificate first, then its hello, which must say the same. */
#include "raft/wire/inside.h"

#include "proto/ground/log.h"

void wire_hello_say(struct conn *c, enum wire_refusal refused)
{
    const struct wire_options *o = &c->w->o;
    struct hello ours = { .node = o->node,
                          .to = c->peer ? c->peer->node : 0,
                          .incarnation = o->incarnation,
                          .lane = c->lane ? c->lane->number : c->theirs.lane,
                          .format_min = atomic_load(&c->w->format_min),
                          .format_max = o->format_max,
                          .refused = refused };

    memcpy(ours.cluster, o->cluster, sizeof ours.cluster);
    c->hello_n = wire_hello_pack(&ours, c->hello);
}

static enum wire_refusal check_member(const struct peer *p)
{
    if (!p) return REFUSE_MEMBER;
    return p->is_removed ? REFUSE_REMOVED : REFUSE_NONE;
}

enum wire_refusal wire_hello_check_name(struct conn *c)
{
    uint8_t cluster[WIRE_CLUSTER_SIZE];
    uint64_t node;

    if (wire_tls_peer_name(c->ssl, cluster, &node) != 0) return REFUSE_NAME;
    if (memcmp(cluster, c->w->o.cluster, sizeof cluster) != 0) return REFUSE_CLUSTER;
    if (!c->is_accepted) return node == c->peer->node ? check_member(c->peer) : REFUSE_NODE;
    if (node >= c->w->o.node) return REFUSE_NODE; /* we dial that one, or it is ourselves */
    c->peer = wire_peer_find(c->w, node);
    return check_member(c->peer);
}

enum wire_refusal wire_hello_take(struct conn *c, struct span payload)
{
    const struct wire_options *o = &c->w->o;
    struct hello *h = &c->theirs;

    if (wire_hello_unpack(payload, h) != 0) return REFUSE_HELLO;
    if (memcmp(h->cluster, o->cluster, sizeof h->cluster) != 0) return REFUSE_CLUSTER;
    if (h->node != c->peer->node) return REFUSE_NODE;
    if (h->refused != 0) return REFUSE_NONE; /* its last words: it need not know us */
    if (h->to != o->node) return REFUSE_NODE;
    if (c->lane && h->lane != c->lane->number) return REFUSE_HELLO;
    if (h->format_max < atomic_load(&c->w->format_min) || h->format_min > o->format_max) return REFUSE_FORMAT;
    if (!wire_peer_saw(c->peer, h->incarnation)) return REFUSE_INCARNATION;
    return check_member(c->peer);
}
