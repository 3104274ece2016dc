/* cmd_put - a record is written, in the place of what had its name. */
#include "node/control/inside.h"

static int fence_check(const Angarium__ControlRecord *now, const Angarium__ControlPut *put)
{
    if (put->fence == CONTROL_FENCE_ABSENT) return now ? ERR_EXISTS : 0;
    if (put->fence != CONTROL_FENCE_VERSION) return 0;
    return now && now->version == put->version ? 0 : ERR_SUPERSEDED;
}

int cmd_put(struct work *w, Angarium__ControlPut *put)
{
    struct control *c = w->control;
    enum control_kind kind = (enum control_kind)put->record->kind;
    int rv = c->is_configured ? 0 : ERR_AGAIN;

    if (rv == 0) rv = fence_check(control_record(c, kind, proto_span(put->record->name)), put);
    put->record->version = w->index;
    if (rv == 0) rv = record_put(c, &put->record);
    if (rv == 0) w->answer->version = w->index;
    return rv;
}
