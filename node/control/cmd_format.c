/* cmd_format - another format is in force. Who leads has seen to it that everybody knows it; here only the order counts. */
#include "node/control/inside.h"

int cmd_format(struct work *w, const Angarium__ControlFormat *format)
{
    struct control *c = w->control;

    if (format->was != c->format) return ERR_SUPERSEDED;
    if (format->format <= c->format) return ERR_EXISTS;
    c->format = format->format;
    return 0;
}
