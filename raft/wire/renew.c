/* renew - connections that were made under files that are not in force any more make room for new ones, one lane after the other.
 *
 * Who dialled dials again and keeps the old connection until the new one is up (wire_lane_attach), so that the lane is down
 * for no moment; who accepted asks for that (FRAME_RENEW). What could not be replaced, for the two ends do not trust each
 * other any more, is closed after renew_within_ms by the keeper.
 */
#include "raft/wire/inside.h"

bool wire_renew_lane(struct lane *l, struct conn *c)
{
    bool is_idle;

    if (!wire_dial_is_ours(l)) {
        atomic_store(&c->is_renewal_due, true);
        wire_conn_kick(c);
        return true;
    }
    pthread_mutex_lock(&l->lock);
    is_idle = l->conn == c && l->coming == c;
    if (is_idle) {
        l->coming = NULL;
        wire_dial_again(l, clock_mono_ms(&clock_real) - c->up_at_ms >=
                               l->peer->w->o.dial_max_ms);
    }
    pthread_mutex_unlock(&l->lock);
    if (is_idle) wire_keeper_wake(l->peer->w);
    return is_idle;
}

static bool give_turn(struct lane *l, unsigned generation)
{
    struct conn *c = wire_lane_conn(l);
    bool gave = false;

    if (!c) return false;
    if (c->generation != generation && c->renewal != generation) gave = wire_renew_lane(l, c);
    if (gave) c->renewal = generation;
    wire_conn_unref(c);
    return gave;
}

/* To the first lane that is carried by an old connection and had none. */
static void give_one_turn(struct wire_nng *w, unsigned generation)
{
    bool gave = false;

    pthread_rwlock_rdlock(&w->table);
    for (size_t i = 0; i < w->peer_count && !gave; i++)
        for (enum wire_lane n = 0; n < WIRE_LANES && !gave; n++)
            gave = give_turn(&w->peers[i]->lanes[n], generation);
    pthread_rwlock_unlock(&w->table);
}

/* Also one that is not up yet: when it is, it wants its turn. wire.lock is held. */
static bool any_old(const struct wire_nng *w)
{
    LIST_FOR(it, &w->conns) {
        const struct conn *c = CONTAINER_OF(it, struct conn, link);

        if (c->generation != w->generation) return true;
    }
    return false;
}

uint64_t wire_renew_turn(struct wire_nng *w, uint64_t now_ms)
{
    unsigned generation;
    uint64_t at_ms;
    bool is_due;

    pthread_mutex_lock(&w->lock);
    generation = w->generation;
    is_due = w->renew_at_ms != 0 && w->renew_at_ms <= now_ms;
    if (is_due) w->renew_at_ms = any_old(w) ? now_ms + RENEW_PACE_MS : 0;
    at_ms = w->renew_at_ms;
    pthread_mutex_unlock(&w->lock);
    if (is_due && at_ms != 0) give_one_turn(w, generation);
    return at_ms == 0 ? UINT64_MAX : at_ms;
}
