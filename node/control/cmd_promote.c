/* cmd_promote - a node shall vote in group 0 before others do, or as any other again. */
#include "node/control/inside.h"

static unsigned promoted(const struct control *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->node_count; i++)
        n += c->nodes[i].promoted;
    return n;
}

int cmd_promote(struct work *w, const Angarium__ControlPromote *promote)
{
    struct control_node *n = node_find(w->control, promote->id);

    if (!n || n->state == CONTROL_GONE) return ERR_NOT_FOUND;
    if (n->promoted == promote->promoted) return 0;
    if (promote->promoted && n->state == CONTROL_DRAINING) return ERR_DENIED;
    if (promote->promoted && promoted(w->control) == CONTROL_PROMOTED_MAX) return ERR_FULL;
    n->promoted = promote->promoted;
    return 0;
}
