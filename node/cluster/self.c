/* self - DATA/cluster: read, and written beside, synced and renamed. */
#include <string.h>

#include "node/cluster/inside.h"
#include "proto/ground/hex.h"

#define SELF_SIZE_MAX (256u << 10)

int cluster_parse_id(const char *text, uint8_t out[CONTROL_CLUSTER_SIZE])
{
    if (!hex_is_lower(text, (size_t)2 * CONTROL_CLUSTER_SIZE)) return ERR_SYNTAX;
    for (unsigned i = 0; i < CONTROL_CLUSTER_SIZE; i++)
        out[i] = (uint8_t)hex_pair((uint8_t)text[(size_t)2 * i], (uint8_t)text[(size_t)2 * i + 1]);
    return 0;
}

void cluster_print_id(const uint8_t id[CONTROL_CLUSTER_SIZE],
                      char out[2 * CONTROL_CLUSTER_SIZE + 1])
{
    hex_print(id, CONTROL_CLUSTER_SIZE, out);
}

/* ---- the words */

static bool take_self(struct cluster_self *out, const Angarium__ClusterSelf *s)
{
    *out = (struct cluster_self){ .node = s->node,
                                  .incarnation = s->incarnation,
                                  .format = s->format,
                                  .removed = s->removed };
    if (s->cluster.len != sizeof out->cluster || s->uuid.len != CONTROL_UUID_SIZE) return false;
    if (s->node == 0 || s->n_nodes == 0 || s->n_nodes > CONTROL_NODES_MAX) return false;
    if (s->n_lost > CONTROL_NODES_MAX) return false;
    out->lost_count = (unsigned)s->n_lost;
    if (s->n_lost > 0) memcpy(out->lost, s->lost, s->n_lost * sizeof *out->lost);
    memcpy(out->cluster, s->cluster.data, sizeof out->cluster);
    memcpy(out->uuid, s->uuid.data, CONTROL_UUID_SIZE);
    for (size_t i = 0; i < s->n_nodes; i++) {
        struct cluster_peer *p = &out->peers[out->peer_count++];

        if (s->nodes[i]->id == 0 || s->nodes[i]->address.len > CONTROL_ADDRESS_SIZE_MAX)
            return false;
        p->node = s->nodes[i]->id;
        if (s->nodes[i]->address.len > 0)
            memcpy(p->address, s->nodes[i]->address.data, s->nodes[i]->address.len);
        for (size_t k = 0; k < s->n_voters; k++)
            p->votes = p->votes || s->voters[k] == p->node;
    }
    return true;
}

int cluster_self_read(const char *dir, struct cluster_self *out, struct errmsg *why)
{
    Angarium__ClusterSelf *s;
    struct buf bytes;
    int rv;

    buf_init(&bytes, SELF_SIZE_MAX);
    rv = file_read(dir, "cluster", &bytes, why);
    s = rv == 0 ? angarium__cluster_self__unpack(NULL, bytes.n, bytes.p) : NULL;
    buf_deinit(&bytes);
    if (rv != 0) return rv;
    if (s && s->format > PROTO_FORMAT_VERSION)
        rv = errmsg_set(why, ERR_VERSION,
                        "%s/cluster: the cluster writes format %u, this angarium knows formats up to %u: "
                        "install a newer one",
                        dir, s->format, PROTO_FORMAT_VERSION);
    else if (s && s->format != 0 && s->format < PROTO_FORMAT_MIN)
        rv = errmsg_set(why, ERR_VERSION,
                        "%s/cluster: the cluster writes format %u, this angarium knows formats from %u on: "
                        "upgrade by one version after the other",
                        dir, s->format, PROTO_FORMAT_MIN);
    else if (!s || s->format == 0 || !take_self(out, s))
        rv = errmsg_set(why, ERR_CORRUPT,
                        "%s/cluster: is damaged; a node that has lost it is a new one", dir);
    if (s) angarium__cluster_self__free_unpacked(s, NULL);
    return rv;
}

int cluster_self_write(const char *dir, const struct cluster_self *self, struct errmsg *why)
{
    Angarium__ClusterSelf s = ANGARIUM__CLUSTER_SELF__INIT;
    Angarium__ControlNode nodes[CONTROL_NODES_MAX], *list[CONTROL_NODES_MAX];
    uint64_t voters[CONTROL_NODES_MAX];
    struct buf bytes;
    int rv;

    CHECK(self->format >= PROTO_FORMAT_MIN && self->format <= PROTO_FORMAT_VERSION);
    s.format = self->format;
    s.cluster = proto_bytes(span_of(self->cluster, sizeof self->cluster));
    s.node = self->node;
    s.uuid = proto_bytes(span_cstr(self->uuid));
    s.incarnation = self->incarnation;
    s.removed = self->removed;
    s.n_lost = self->lost_count;
    s.lost = (uint64_t *)(uintptr_t)self->lost;
    s.nodes = list;
    s.voters = voters;
    for (unsigned i = 0; i < self->peer_count; i++) {
        angarium__control_node__init(&nodes[i]);
        nodes[i].id = self->peers[i].node;
        nodes[i].address = proto_bytes(span_cstr(self->peers[i].address));
        list[s.n_nodes++] = &nodes[i];
        if (self->peers[i].votes) voters[s.n_voters++] = self->peers[i].node;
    }
    buf_init(&bytes, SELF_SIZE_MAX);
    proto_pack(&s.base, &bytes);
    CHECK(!buf_failed(&bytes));
    rv = file_replace(dir, "cluster", buf_span(&bytes), why);
    buf_deinit(&bytes);
    return rv;
}

int cluster_self_start(const char *dir, struct cluster_self *self, struct errmsg *why)
{
    self->incarnation++;
    return cluster_self_write(dir, self, why);
}

/* ---- DATA/control */

int cluster_state_read(const char *dir, struct buf *out, struct errmsg *why)
{
    return file_read(dir, "control", out, why);
}

int cluster_state_write(const char *dir, struct span state, struct errmsg *why)
{
    return file_replace(dir, "control", state, why);
}
