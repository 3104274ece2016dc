/* peer - a node that we may talk to, and its three lanes. It is freed when it left the table and no conn knows it. */
#include "raft/wire/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"

struct peer *wire_peer_new(struct wire_nng *w, const struct wire_peer *given, bool is_removed)
{
    struct peer *p = check_calloc(1, sizeof *p);

    p->w = w;
    p->node = given->node;
    p->is_removed = is_removed;
    list_init(&p->link);
    atomic_init(&p->refs, 1);
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    snprintf(p->address, sizeof p->address, "%s", given->address);
    for (enum wire_lane n = 0; n < WIRE_LANES; n++)
        wire_lane_init(&p->lanes[n], p, n);
    return p;
}

void wire_peer_free(struct peer *p)
{
    for (enum wire_lane n = 0; n < WIRE_LANES; n++)
        wire_lane_deinit(&p->lanes[n]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct peer *wire_peer_find(struct wire_nng *w, uint64_t node)
{
    struct peer *found = NULL;

    pthread_rwlock_rdlock(&w->table);
    for (size_t i = 0; i < w->peer_count && !found; i++)
        if (w->peers[i]->node == node) found = w->peers[i];
    if (found) atomic_fetch_add(&found->refs, 1);
    pthread_rwlock_unlock(&w->table);
    return found;
}

/* The table's reference, or that of the keeper's list, is the last: it is the keeper who frees. */
void wire_peer_unref(struct peer *p)
{
    struct wire_nng *w = p->w;
    bool is_gone = atomic_load(&p->is_gone); /* then it may be freed as soon as it is let go */

    CHECK(atomic_fetch_sub(&p->refs, 1) > 1);
    if (is_gone) wire_keeper_wake(w);
}

bool wire_peer_saw(struct peer *p, uint64_t incarnation)
{
    bool is_old;

    pthread_mutex_lock(&p->lock);
    is_old = incarnation < p->incarnation_max;
    if (!is_old) p->incarnation_max = incarnation;
    pthread_mutex_unlock(&p->lock);
    return !is_old;
}
