/* cmd_import - the records begin, with those of a settings file. From then on no file's count. */
#include "node/control/inside.h"

int cmd_import(struct work *w, Angarium__ControlImport *import)
{
    struct control *c = w->control;
    int rv = 0;

    if (c->is_configured) return ERR_EXISTS;
    for (size_t i = 0; rv == 0 && i < import->n_records; i++) {
        import->records[i]->version = w->index;
        rv = record_put(c, &import->records[i]);
    }
    if (rv != 0)
        records_clear(c);
    else
        c->is_configured = true;
    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++)
        c->tables[kind].changed++;
    return rv;
}
