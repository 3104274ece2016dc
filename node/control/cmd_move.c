/* cmd_move - a node says where it is now. Its disk proves that it is the same one. */
#include "node/control/inside.h"

int cmd_move(struct work *w, const Angarium__ControlMove *move)
{
    struct control_node *n = node_find(w->control, move->node->id), now = { 0 };

    if (!n || n->state == CONTROL_GONE) return ERR_NOT_FOUND;
    node_take(&now, move->node);
    if (strcmp(n->uuid, now.uuid) != 0) return ERR_DENIED;
    if (node_address_taken(w->control, n->id, now.address)) return ERR_EXISTS;
    node_take(n, move->node);
    return 0;
}
