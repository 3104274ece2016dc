/* store - opens one of the two implementations and hands calls on. */
#include <stdlib.h>

#include "raft/store/inside.h"

int store_open(struct store **out, const struct store_options *o, bool *tainted_out, struct errmsg *why)
{
    struct store *s = check_calloc(1, sizeof *s);
    bool tainted = false;
    int rv;

    mpsc_init(&s->submitted);
    rv = o->dir ? store_rocks_open(s, o, &tainted, why) : store_mem_open(s);
    if (rv != 0) {
        free(s);
        return rv;
    }
    if (o->dir) log_thread_start(s);
    if (tainted_out) *tainted_out = tainted;
    *out = s;
    return 0;
}

void store_close(struct store **ps)
{
    struct store *s = *ps;

    if (!s) return;
    *ps = NULL;
    if (s->has_thread) log_thread_stop(s);
    s->calls->close(s->self);
    free(s);
}

int store_group_read(struct store *s, uint64_t group, struct store_group *out, struct errmsg *why)
{
    return s->calls->group_read(s->self, group, out, why);
}

int store_entry_read(struct store *s, uint64_t group, uint64_t index, enum core_entry_kind *kind_out,
                     uint64_t *term_out, struct blob **head_out, struct blob **body_out)
{
    return s->calls->entry_read(s->self, group, index, kind_out, term_out, head_out, body_out);
}

int store_entries_each(struct store *s, uint64_t group, uint64_t first, uint64_t last, void *arg,
                       bool (*each)(void *arg, const struct store_entry *entry))
{
    return s->calls->entries_each(s->self, group, first, last, arg, each);
}
