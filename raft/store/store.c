/* store - opens one of the two implementations and hands calls on to it. */
#include "raft/store/inside.h"

int store_open(struct store **out, const struct store_options *o, bool *tainted_out,
               struct errmsg *why)
{
    bool tainted = false;
    int rv = 0;

    if (o->dir)
        rv = store_rocks_open(out, o, &tainted, why);
    else
        *out = store_mem_open();
    if (rv == 0 && tainted_out) *tainted_out = tainted;
    return rv;
}

void store_close(struct store **s)
{
    if (!*s) return;
    (*s)->calls->close(*s);
    *s = NULL;
}

int store_group_read(struct store *s, uint64_t group, struct store_group *out, struct errmsg *why)
{
    return s->calls->group_read(s, group, out, why);
}

void store_submit(struct store *s, struct store_write *w)
{
    s->calls->submit(s, w);
}

void store_drain(struct store *s)
{
    s->calls->drain(s);
}

int store_entry_read(struct store *s, uint64_t group, uint64_t index,
                     enum core_entry_kind *kind_out, uint64_t *term_out, struct blob **head_out,
                     struct blob **body_out)
{
    return s->calls->entry_read(s, group, index, kind_out, term_out, head_out, body_out);
}

int store_entries_each(struct store *s, uint64_t group, uint64_t first, uint64_t last, void *arg,
                       bool (*each)(void *arg, const struct store_entry *entry))
{
    return s->calls->entries_each(s, group, first, last, arg, each);
}
