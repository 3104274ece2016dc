/* late - a node whose shards hear late what control says: loop 0 stands still a while, and those of the shards go on.
 *
 * Drawn for who holds a shard that is on its way to a placement: he knows of that one, and not that it has come into force, nor of
 * any later one. An operator asks for a later one; when it is in force and he votes, he is given the leadership: then he must not go
 * back.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/control/town.h"

#define LOOK_US (200 * MS)

struct news {
    struct list link;
    bool confirms; /* else: places */
    struct commit_placement placement;
    uint32_t shard, version;
    uint64_t term;
};

static bool is_late(const struct stand *s)
{
    return s->late_until_us > s->node->world->now_us;
}

/* ---- what is told */

static void hear(struct stand *s, const struct news *n)
{
    if (n->confirms) {
        commit_confirm(&s->commit, n->shard, n->version, n->term);
        return;
    }
    s->heard[n->placement.shard - 1] = n->placement.version;
    commit_place(&s->commit, &n->placement);
}

static void tell(struct stand *s, const struct news *what)
{
    struct news *n;

    if (!is_late(s) && list_empty(&s->news)) {
        hear(s, what);
        return;
    }
    n = check_malloc(sizeof *n);
    *n = *what;
    list_init(&n->link);
    list_add(&s->news, &n->link);
}

void late_place(struct stand *s, const struct commit_placement *p)
{
    tell(s, &(struct news){ .placement = *p });
}

void late_confirm(struct stand *s, uint32_t shard, uint32_t version, uint64_t term)
{
    tell(s, &(struct news){ .confirms = true, .shard = shard, .version = version, .term = term });
}

void late_begin(struct stand *s)
{
    list_init(&s->news);
    s->late_until_us = 0;
    memset(s->heard, 0, sizeof s->heard);
}

void late_turn(struct stand *s, bool forget)
{
    while (!list_empty(&s->news) && (forget || !is_late(s))) {
        struct news *n = CONTAINER_OF(list_first(&s->news), struct news, link);

        list_remove(&n->link);
        if (!forget) hear(s, n);
        free(n);
    }
}

/* ---- who, and when */

static bool votes(const struct control_shard *s, uint64_t id)
{
    for (unsigned i = 0; i < s->voter_count; i++)
        if (s->voters[i] == id) return true;
    return false;
}

/* One who voted before, is to vote, and does not lead. */
static void make_late(struct world *w, const struct control_shard *s)
{
    struct node *n;
    uint64_t id;

    if (s->state != CONTROL_OPEN || s->in_force == s->version) return;
    id = s->holders[rng_below(&w->later, s->settled_count)];
    n = &w->nodes[id - 1];
    if (!votes(s, id) || !town_runs(w, n) || n->hosts[s->number].role == RAFT_LEADER) return;
    if (is_late(n->stand) || n->stand->heard[s->number - 1] != s->version) return;
    n->stand->late_until_us = w->now_us + (4 + rng_below(&w->later, 12)) * SECOND;
    TRACE(w, "n%u hears late of control, first of shard %u behind placement %u", n->at + 1,
          s->number, s->version);
}

/* A later placement, then the leadership. */
static void lead_astray(struct world *w, const struct node *n, const struct control_shard *s)
{
    struct node *leads = mail_leader(w, s->number);
    int rv;

    if (!is_late(n->stand) || !votes(s, n->at + 1) || s->in_force != s->version) return;
    if (n->stand->heard[s->number - 1] == s->version) {
        operator_exchange(w, s->number, n->at + 1);
        return;
    }
    if (!leads || leads == n) return;
    rv = raft_group_transfer(leads->hosts[s->number].raft, n->at + 1, 0);
    TRACE(w, "n%u g%u hands over to n%u, who hears late: %s", leads->at + 1, s->number, n->at + 1,
          err_name(rv));
}

void late_work(struct world *w)
{
    struct town *t = w->town;

    if (w->calm) return;
    world_at(w, LOOK_US, &(struct action){ .kind = ACT_ABOVE, .a = DO_LATE });
    for (unsigned i = 0; i < t->shard_count; i++)
        make_late(w, &t->shards[i]);
    for (unsigned i = 0; i < w->node_count; i++)
        for (unsigned k = 0; k < t->shard_count && town_runs(w, &w->nodes[i]); k++)
            lead_astray(w, &w->nodes[i], &t->shards[k]);
}

void late_end(struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++)
        w->nodes[i].stand->late_until_us = 0;
}
