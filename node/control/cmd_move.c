/* cmd_move - a node says where it is now. Its disk proves that it is the same one. */
#include "node/control/inside.h"

int move_may(const struct control *c, const Angarium__ControlMove *move)
{
    const struct control_node *n = control_node(c, move->node->id);
    struct control_node now = { 0 };

    if (!n || n->state == CONTROL_GONE) return ERR_NOT_FOUND;
    node_take(&now, move->node);
    if (strcmp(n->uuid, now.uuid) != 0) return ERR_DENIED;
    return control_address_taken(c, n->id, now.address) ? ERR_EXISTS : 0;
}

int cmd_move(struct work *w, const Angarium__ControlMove *move)
{
    int rv = move_may(w->control, move);

    if (rv == 0) node_take(node_find(w->control, move->node->id), move->node);
    return rv;
}
