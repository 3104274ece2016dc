/* engine - opening, closing, and the turn of a loop.
 *
 * Way of a turn: landed writes -> DURABLE steps -> TIME steps -> apply, answer -> one write to the
 * log thread. Nothing blocks in it but the replay of what was in the log at boot.
 */
#include <stdlib.h>

#include "raft/engine/inside.h"

#define UNCOMMITTED_BYTES_DEFAULT (64u << 20)

struct store *raft_store_of(struct raft *r)
{
    return r->store;
}

static void init_loop(struct raft *r, struct engine_loop *l, const struct raft_loop_port *port)
{
    *l = (struct engine_loop){ .raft = r, .port = *port, .wake_at_ms = UINT64_MAX };
    mpsc_init(&l->landed);
    list_init(&l->groups);
    list_init(&l->unsent);
    list_init(&l->unapplied);
    l->flights = check_calloc(FLIGHTS, sizeof *l->flights);
    for (unsigned i = 0; i < FLIGHTS; i++)
        l->flights[i].loop = l;
}

struct raft *raft_open_over(struct store *store, bool tainted, const struct raft_options *o)
{
    struct raft *r = check_calloc(1, sizeof *r);

    CHECK(o->node_id > 0);
    CHECK(o->loop_count > 0);
    r->store = store;
    r->tainted = tainted;
    r->node_id = o->node_id;
    r->seed = o->seed;
    r->uncommitted_bytes_max =
        o->group_uncommitted_bytes_max ? o->group_uncommitted_bytes_max : UNCOMMITTED_BYTES_DEFAULT;
    r->loop_count = o->loop_count;
    r->loops = check_calloc(o->loop_count, sizeof *r->loops);
    for (unsigned i = 0; i < o->loop_count; i++)
        init_loop(r, &r->loops[i], &o->loops[i]);
    return r;
}

int raft_open(struct raft **out, const struct raft_options *o, bool *tainted_out,
              struct errmsg *why)
{
    struct store_options so = { .dir = o->dir, .memtable_bytes = o->memtable_bytes };
    struct store *store;
    bool tainted;
    int rv = store_open(&store, &so, &tainted, why);

    if (rv != 0) return rv;
    *out = raft_open_over(store, tainted, o);
    (*out)->owns_store = true;
    if (tainted_out) *tainted_out = tainted;
    return 0;
}

void raft_close(struct raft **pr)
{
    struct raft *r = *pr;

    if (!r) return;
    for (unsigned i = 0; i < r->loop_count; i++) {
        struct list *it;

        while ((it = list_first(&r->loops[i].groups)) != NULL) {
            struct raft_group *g = CONTAINER_OF(it, struct raft_group, link);

            raft_group_close(&g);
        }
    }
    /* After all that was submitted: then the flights are nobody's. */
    if (r->owns_store)
        store_close(&r->store);
    else
        store_drain(r->store);
    for (unsigned i = 0; i < r->loop_count; i++)
        free(r->loops[i].flights);
    free(r->loops);
    free(r);
    *pr = NULL;
}

/* ---- the turn */

static void tell_time(struct engine_loop *l)
{
    if (l->wake_at_ms > l->now_ms) return;
    l->wake_at_ms = UINT64_MAX; /* steps lower it again */
    LIST_FOR(it, &l->groups) {
        struct raft_group *g = CONTAINER_OF(it, struct raft_group, link);
        struct core_event e = { .kind = CORE_TIME };

        if (g->wake_at_ms <= l->now_ms)
            group_event(g, &e);
        else if (g->wake_at_ms < l->wake_at_ms)
            l->wake_at_ms = g->wake_at_ms;
    }
}

/* One slice for each group that has something; true: there is more. */
static bool apply_all(struct engine_loop *l)
{
    struct list round, *it;

    list_init(&round);
    while ((it = list_take_first(&l->unapplied)) != NULL)
        list_add(&round, it);
    while ((it = list_take_first(&round)) != NULL) {
        struct raft_group *g = CONTAINER_OF(it, struct raft_group, unapplied_link);

        if (group_apply(g)) list_add(&l->unapplied, &g->unapplied_link);
    }
    return !list_empty(&l->unapplied);
}

uint64_t raft_turn(struct raft *r, unsigned loop, uint64_t mono_ms)
{
    struct engine_loop *l = &r->loops[loop];
    bool is_more;

    CHECK(loop < r->loop_count);
    CHECK(!l->is_turning);
    l->is_turning = true;
    if (mono_ms > l->now_ms) l->now_ms = mono_ms;
    flights_land(l);
    tell_time(l);
    is_more = apply_all(l);
    flights_send(l);
    l->is_turning = false;
    if (is_more) l->port.wake(l->port.arg);
    return l->wake_at_ms;
}

int raft_entry_read(struct raft *r, uint64_t group, uint64_t index, struct blob **head_out,
                    struct blob **body_out)
{
    return store_entry_read(r->store, group, index, NULL, NULL, head_out, body_out);
}
