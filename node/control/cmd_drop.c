/* cmd_drop - a record goes; a tenant only when nothing is his any more. */
#include "node/control/inside.h"

int cmd_drop(struct work *w, const Angarium__ControlDrop *drop)
{
    struct control *c = w->control;
    enum control_kind kind = (enum control_kind)drop->kind;
    struct span name = proto_span(drop->name);
    bool found;
    unsigned at = record_find(c, kind, name, &found);

    if (!found) return ERR_NOT_FOUND;
    if (drop->version != 0 && c->tables[kind].list[at]->version != drop->version)
        return ERR_SUPERSEDED;
    if (kind == CONTROL_TENANT && record_tenant_used(c, name)) return ERR_BUSY;
    record_remove(c, kind, at);
    return 0;
}
