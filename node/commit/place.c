/* place - who shall hold a shard, and who shall lead it: the shard's leader sees to it, one step at a time.
 *
 * Voters: who is wanted and not there learns first, with CORE_PROMOTE, and votes when it has caught up; when all who are wanted
 *   vote, who is not wanted goes.
 * Leader: the first of those who are wanted. It gets the leadership when it is up and has the log. Before that nothing may be in
 *   the air, or it would have doubts: no claims for at most HANDOVER_MS, while what is in the air ends and new mail goes to other
 *   shards. When that was not enough it is tried again after HANDOVER_PAUSE_MS.
 */
#include "node/commit/shard.h"

#define LOOK_MS           200
#define SETTLED_MS        1000 /* who has just become the leader keeps it so long */
#define HANDOVER_MS       2000
#define HANDOVER_PAUSE_MS 3000

struct place {
    struct core_config wanted;
    uint64_t look_ms, led_since_ms; /* mono; 0: does not lead */
    uint64_t handover_until_ms;     /* 0: no hand-over */
    uint64_t to;
    bool is_asked;
};

/* ---- voters */

static int find(const struct core_config *g, uint64_t node)
{
    for (unsigned i = 0; i < g->count; i++)
        if (g->members[i].node == node) return (int)i;
    return -1;
}

static void add_learner(struct core_config *aim, const struct core_member *wanted)
{
    aim->members[aim->count] = *wanted;
    aim->members[aim->count++].flags = CORE_LEARNS | CORE_PROMOTE;
}

/* The next configuration on the way, in `aim`; false: it is as it should be, or somebody still learns. */
static bool next_config(const struct core_config *now, const struct core_config *wanted,
                        struct core_config *aim)
{
    bool learning = false;
    unsigned kept = 0;

    *aim = *now;
    for (unsigned i = 0; i < wanted->count; i++) {
        int at = find(now, wanted->members[i].node);

        learning = learning || at < 0 || !(now->members[at].flags & CORE_VOTES_NEW);
        if (at < 0 && aim->count < CORE_MEMBERS_MAX) add_learner(aim, &wanted->members[i]);
    }
    if (learning) return aim->count > now->count;
    for (unsigned i = 0; i < now->count; i++)
        if (find(wanted, now->members[i].node) >= 0) aim->members[kept++] = now->members[i];
    aim->count = kept;
    return kept < now->count;
}

static bool see_to_voters(struct shard *s)
{
    const struct core_config *now = raft_group_config(s->group);
    struct raft_group_view view;
    struct core_config aim;
    int rv;

    raft_group_see(s->group, &view);
    if (now->joint || !view.config_committed) return true;
    if (!next_config(now, &s->place->wanted, &aim)) return false;
    rv = raft_group_change(s->group, &aim, now->version);
    if (rv == 0)
        log_event(LOG_INFO, "shard.members", LOG_NUM("shard", s->number),
                  LOG_NUM("members", aim.count), LOG_NUM("were", now->count));
    return true;
}

/* ---- the leader */

/* The first who is wanted, if it is another one, votes, is there and has the log. 0: nobody. */
static uint64_t better_leader(struct shard *s)
{
    uint64_t first = s->place->wanted.members[0].node;
    struct core_peer_view v;
    int at = find(raft_group_config(s->group), first);

    if (first == s->commit->o.node || at < 0) return 0;
    if (!raft_group_peer(s->group, (unsigned)at, &v)) return 0;
    if (!(v.flags & CORE_VOTES_NEW) || !v.up || !v.active || v.progress != CORE_REPLICATES)
        return 0;
    return first;
}

static void end_handover(struct shard *s, uint64_t mono_ms)
{
    s->place->handover_until_ms = 0;
    s->place->look_ms = mono_ms + HANDOVER_PAUSE_MS;
    if (s->leads) shard_offer(s, true);
}

static bool is_quiet(const struct shard *s)
{
    struct queue_counts counts;

    queue_counts(s->queue, &counts);
    return counts.claimed == 0 && !attempt_waits(s) && list_empty(&s->in_flight);
}

static void hand_over(struct shard *s, uint64_t mono_ms)
{
    struct place *p = s->place;

    if (mono_ms >= p->handover_until_ms) {
        end_handover(s, mono_ms);
    } else if (!p->is_asked && is_quiet(s)) {
        p->is_asked = true;
        if (raft_group_transfer(s->group, p->to, 0) != 0) end_handover(s, mono_ms);
    }
}

static void see_to_leader(struct shard *s, uint64_t mono_ms)
{
    struct place *p = s->place;

    if (mono_ms - p->led_since_ms < SETTLED_MS) return;
    p->to = better_leader(s);
    if (p->to == 0) return;
    p->handover_until_ms = mono_ms + HANDOVER_MS;
    p->is_asked = false;
    shard_offer(s, false);
}

/* ---- the turn */

void place_turn(struct shard *s, uint64_t mono_ms)
{
    struct place *p = s->place;

    if (!p) return;
    if (!s->leads) {
        p->led_since_ms = p->handover_until_ms = 0;
        return;
    }
    if (p->led_since_ms == 0) p->led_since_ms = mono_ms;
    if (p->handover_until_ms > 0) {
        hand_over(s, mono_ms);
        return;
    }
    if (mono_ms < p->look_ms) return;
    p->look_ms = mono_ms + LOOK_MS;
    if (!see_to_voters(s)) see_to_leader(s, mono_ms);
}

bool place_hands_over(const struct shard *s)
{
    return s->place && s->place->handover_until_ms > 0;
}

void place_close(struct shard *s)
{
    free(s->place);
    s->place = NULL;
}

/* ---- being told */

struct placing {
    struct loop_letter letter;
    struct shard *shard;
    struct commit_placement placement;
};

/* A number grows only: other loops look at shards up to it. */
static void count_shard(struct commit *c, unsigned number)
{
    unsigned count = atomic_load(&c->shard_count);

    while (count < number && !atomic_compare_exchange_weak(&c->shard_count, &count, number))
        ;
}

static void open_here(struct shard *s, const struct core_config *founders)
{
    struct errmsg why = { "" };

    if (shard_open(s, founders, &why) != 0) check_last_word("shard", "opening", why.text);
    count_shard(s->commit, s->number);
    log_event(LOG_INFO, "shard.open", LOG_NUM("shard", s->number),
              LOG_NUM("applied", queue_applied(s->queue)));
}

static void on_placing(struct loop_letter *letter)
{
    struct placing *l = CONTAINER_OF(letter, struct placing, letter);
    struct shard *s = l->shard;

    if (!s->is_open) open_here(s, &l->placement.founders);
    if (!s->place) s->place = check_calloc(1, sizeof *s->place);
    s->place->wanted = l->placement.wanted;
    s->place->look_ms = 0;
    free(l);
    loop_again(s->loop);
}

void commit_place(struct commit *c, const struct commit_placement *p)
{
    struct placing *l = check_calloc(1, sizeof *l);

    l->shard = commit_shard(c, p->shard);
    CHECK(l->shard && c->o.shard_count == 0 && p->wanted.count > 0);
    l->placement = *p;
    l->letter.on_arrive = on_placing;
    loop_post(l->shard->loop, &l->letter);
}
