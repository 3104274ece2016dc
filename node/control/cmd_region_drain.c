/* cmd_region_drain - all nodes of a region drain, by one entry: none of them gets what another one loses. */
#include "node/control/inside.h"

int cmd_region_drain(struct work *w, const Angarium__ControlRegionDrain *drain)
{
    struct control *c = w->control;
    struct span region = proto_span(drain->region);
    unsigned found = 0;

    for (unsigned i = 0; i < c->node_count; i++) {
        struct control_node *n = &c->nodes[i];

        if (n->state == CONTROL_GONE || !span_eq(span_cstr(n->region), region)) continue;
        n->state = CONTROL_DRAINING;
        n->promoted = false;
        found++;
    }
    return found > 0 ? 0 : ERR_NOT_FOUND;
}
