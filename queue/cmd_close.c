/* cmd_close - the shard takes no new mail any more, whoever leads it, whatever its leader knows. */
#include "queue/inside.h"

void cmd_close(struct work *w, const Angarium__Close *c)
{
    struct queue_key key = queue_key(w->queue->shard, 'x');

    w->time_ms = c->time_ms;
    work_put(w, &key, span_of("", 0));
    w->queue->is_closed = true;
}
