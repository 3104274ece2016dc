/* store - opens one of the two implementations and hands calls on to it; what both read alike. */
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

bool store_rest(struct store *s)
{
    return s->calls->rest(s);
}

/* ---- what a group's entries tell */

int store_config_set(struct store_config *out, uint64_t index, struct span bytes)
{
    if (bytes.n == 0 || bytes.n > sizeof out->bytes) return ERR_CORRUPT;
    out->index = index;
    out->n = bytes.n;
    memcpy(out->bytes, bytes.p, bytes.n);
    return 0;
}

static void add_run(struct store_group *g, const struct store_entry *e)
{
    if (g->run_count > 0 && g->runs[g->run_count - 1].term == e->term) return;
    if (g->run_count == STORE_RUNS_MAX) {
        g->run_count--;
        memmove(g->runs, g->runs + 1, g->run_count * sizeof g->runs[0]);
    }
    g->runs[g->run_count++] = (struct core_run){ .first = e->index, .term = e->term };
}

bool store_group_add(struct store_group *g, const struct store_entry *e)
{
    if (e->term < g->last_term) return false; /* terms never go back along a log */
    if (e->kind == CORE_CONFIG) {
        g->before = g->config;
        if (store_config_set(&g->config, e->index, e->head) != 0) return false;
    }
    add_run(g, e);
    g->last = e->index;
    g->last_term = e->term;
    g->bytes += e->head.n + e->body.n;
    return true;
}
