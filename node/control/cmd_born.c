/* cmd_born - the cluster begins. */
#include "node/control/inside.h"

int cmd_born(struct work *w, const Angarium__ControlBorn *born)
{
    struct control *c = w->control;

    if (c->is_born) return ERR_EXISTS;
    c->is_born = true;
    memcpy(c->cluster, born->cluster.data, CONTROL_CLUSTER_SIZE);
    c->shards_per_node = born->shards_per_node;
    c->replicas = born->replicas;
    c->spread = spread_take(born->spread);
    c->format = born->format != 0 ? born->format : PROTO_FORMAT_MIN;
    return 0;
}
