/* place - who shall hold a shard, and who shall lead it: the shard's leader sees to it, one step at a time.
 *
 * Voters: who is wanted and not there learns first, with CORE_PROMOTE, and votes when it has caught up; when all who are wanted
 *   vote, who is not wanted goes. When these and those would be more than can vote (CORE_VOTERS_MAX), some go before all have come.
 * A leader that is not wanted gives the leadership away before it goes. Who knows that a placement is in force, and sees others
 *   vote, knows that he lags: he changes nothing. Nor does he who has not heard from control, since he leads, that no later
 *   placement is wanted: one that is in force might be undone, and nobody would do it again.
 * Nobody goes before those who stay, and live, are a quorum.
 * Leader: the first of those who are wanted; when this node leaves, the others that can, in turn, and while nobody can but somebody
 *   is there, it waits for that one. The one gets it that is up and has the log. Before that nothing may be in the air, or it would
 *   have doubts: no claims for at most HANDOVER_MS, while what is in the air ends, and bodies that go up in chunks. Only then new
 *   mail goes to other shards, while what is in the log commits: a remote that answers slowly is not waited for by those who send. When that was not enough it is tried again after HANDOVER_PAUSE_MS.
 */
#include "node/commit/leaders.h"
#include "node/commit/shard.h"
#include "proto/ground/mutation.h"

#define LOOK_MS           200
#define SETTLED_MS        1000 /* who has just become the leader keeps it so long */
#define HANDOVER_MS       2000
#define UPLOADS_MS        1500 /* of these it waits for uploads, which their clients may keep open for long */
#define HANDOVER_PAUSE_MS 3000
#define TELL_MS           1000

struct place {
    struct core_config wanted;
    uint32_t version;
    bool in_force, closes;
    uint32_t confirmed;             /* this version is the newest, says control since confirmed_term */
    uint64_t confirmed_term, ask_ms; /* ask_ms: when it is asked again */
    uint64_t tell_ms;               /* when what is reported is reported again */
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
    aim->members[aim->count++].flags =
        MUTATED(CONTROL_VOTES_AT_ONCE) ? CORE_VOTES_NEW : CORE_LEARNS | CORE_PROMOTE;
}

enum way { WAY_DONE, WAY_LEARNS, WAY_LEAVES, WAY_ON };

static bool lives(const struct shard *s, uint64_t node)
{
    int at = find(raft_group_config(s->group), node);
    struct core_peer_view v;

    if (node == s->commit->o.node) return true;
    return at >= 0 && raft_group_peer(s->group, (unsigned)at, &v) && v.up && v.active;
}

/* Who is wanted and not there, as many as have room: all could get a vote. */
static void add_learners(const struct core_config *wanted, struct core_config *aim)
{
    for (unsigned i = 0; i < wanted->count && aim->count < CORE_VOTERS_MAX; i++)
        if (find(aim, wanted->members[i].node) < 0) add_learner(aim, &wanted->members[i]);
}

static bool may_go(const struct shard *s, const struct core_member *m)
{
    return m->node != s->commit->o.node && find(&s->place->wanted, m->node) < 0;
}

/* Who is not wanted goes, but for this node; at most so many: who has no vote first, then who does not live. */
static void drop_unwanted(const struct shard *s, unsigned most, struct core_config *aim)
{
    for (unsigned pass = 0; pass < 3; pass++)
        for (unsigned i = 0; i < aim->count && most > 0; i++) {
            const struct core_member *m = &aim->members[i];

            if (!may_go(s, m) || (pass == 0 && (m->flags & CORE_VOTES_NEW)) ||
                (pass == 1 && lives(s, m->node)))
                continue;
            memmove(&aim->members[i], &aim->members[i + 1],
                    (--aim->count - i) * sizeof *aim->members);
            most--;
            i--;
        }
}

/* Those who are wanted, as they stand in a configuration. */
struct tally {
    unsigned voters; /* also who is not wanted */
    unsigned learning, missing;
};
static struct tally count_members(const struct core_config *now, const struct core_config *wanted)
{
    struct tally t = { 0 };

    for (unsigned i = 0; i < now->count; i++)
        t.voters += (now->members[i].flags & CORE_VOTES_NEW) != 0;
    for (unsigned i = 0; i < wanted->count; i++) {
        int at = find(now, wanted->members[i].node);

        t.missing += at < 0;
        t.learning += at >= 0 && !(now->members[at].flags & CORE_VOTES_NEW);
    }
    return t;
}

/* Not all who are wanted can have a vote at once. Who learns and is not wanted goes; then, when nobody can get a vote, so many voters
 * who are not wanted that as many are left as are wanted. */
static void make_room(const struct shard *s, const struct tally *t, struct core_config *aim)
{
    unsigned wanted = s->place->wanted.count;
    unsigned spare = t->voters > wanted ? t->voters - wanted : 1;

    if (spare > t->missing + t->learning) spare = t->missing + t->learning;
    if (t->learning > 0 && t->voters < CORE_VOTERS_MAX) spare = 0;
    drop_unwanted(s, aim->count - t->voters - t->learning + spare, aim);
}

/* The next configuration on the way, in `aim` (ON); or why there is none: it is as it should be, somebody still learns, or this
 * node alone should go. */
static enum way next_config(const struct shard *s, const struct core_config *now,
                            struct core_config *aim)
{
    const struct core_config *wanted = &s->place->wanted;
    const struct tally t = count_members(now, wanted);

    *aim = *now;
    add_learners(wanted, aim);
    if (aim->count > now->count) return WAY_ON;
    if (t.missing + t.learning == 0)
        drop_unwanted(s, now->count, aim);
    else if (t.missing > 0 || now->count > CORE_VOTERS_MAX)
        make_room(s, &t, aim);
    if (aim->count < now->count) return WAY_ON;
    if (t.learning > 0) return WAY_LEARNS;
    return t.missing == 0 && find(wanted, s->commit->o.node) >= 0 ? WAY_DONE : WAY_LEAVES;
}

static void tell_placed(struct shard *s, uint64_t mono_ms)
{
    const struct commit_calls *calls = &s->commit->o.calls;
    struct place *p = s->place;

    if (p->in_force || mono_ms < p->tell_ms || !calls->on_placed) return;
    p->tell_ms = mono_ms + TELL_MS;
    calls->on_placed(calls->arg, s->number, p->version);
}

static bool is_confirmed(struct shard *s, uint64_t mono_ms)
{
    const struct commit_calls *calls = &s->commit->o.calls;
    struct place *p = s->place;

    if (!calls->on_confirm || MUTATED(CONTROL_STALE_PLACEMENT)) return true;
    if (p->confirmed == p->version && p->confirmed_term == s->term) return true;
    if (mono_ms < p->ask_ms) return false;
    p->ask_ms = mono_ms + TELL_MS;
    calls->on_confirm(calls->arg, s->number, p->version, s->term);
    return false;
}

/* Voters of the configuration (those who live); *regions: 2 when they are of several. */
static unsigned voters_of(const struct shard *s, const struct core_config *g, bool living,
                          unsigned *regions)
{
    unsigned count = 0;
    uint16_t first = 0;

    *regions = 0;
    for (unsigned i = 0; i < g->count; i++) {
        const struct core_member *m = &g->members[i];

        if (!(m->flags & CORE_VOTES_NEW) || (living && !lives(s, m->node))) continue;
        if (count++ == 0) first = m->region;
        if (*regions < 2) *regions = m->region == first ? 1 : 2;
    }
    return count;
}

/* Those who would vote, and live, are a quorum, so that what is begun ends. */
static bool can_commit(const struct shard *s, const struct core_config *aim)
{
    unsigned regions, living_regions, count = voters_of(s, aim, false, &regions);

    if (2 * voters_of(s, aim, true, &living_regions) <= count) return false;
    return aim->spread != CORE_SPREAD_REGION || living_regions == regions;
}

/* True: something is on its way. */
static bool see_to_voters(struct shard *s, uint64_t mono_ms)
{
    const struct core_config *now = raft_group_config(s->group);
    struct raft_group_view view;
    struct core_config aim;
    int rv;

    raft_group_see(s->group, &view);
    if (now->joint || !view.config_committed) return true;
    switch (next_config(s, now, &aim)) {
    case WAY_DONE:
        tell_placed(s, mono_ms);
        return false;
    case WAY_LEARNS:
        if (MUTATED(CONTROL_PLACED_EARLY)) tell_placed(s, mono_ms);
        return false;
    case WAY_LEAVES:
        return false;
    case WAY_ON:
        break;
    }
    if (s->place->in_force || !is_confirmed(s, mono_ms) || !can_commit(s, &aim)) return false;
    rv = raft_group_change(s->group, &aim, now->version);
    if (rv == 0)
        log_event(LOG_INFO, "shard.members", LOG_NUM("shard", s->number),
                  LOG_NUM("members", aim.count), LOG_NUM("were", now->count));
    return true;
}

/* ---- the leader */

static bool can_lead(const struct shard *s, unsigned member)
{
    struct raft_group_view view;
    struct core_peer_view v;

    if (!raft_group_peer(s->group, member, &v)) return false;
    if (leaders_leaves(s->commit, v.node)) return false;
    raft_group_see(s->group, &view);
    return (v.flags & CORE_VOTES_NEW) && v.up && v.active &&
           (v.progress == CORE_REPLICATES || v.match == view.last);
}

/* Who is there may be able to in a moment, though he is not now: he has just come back, or lacks a little. */
static bool somebody_comes(const struct shard *s)
{
    const struct core_config *now = raft_group_config(s->group);

    for (unsigned i = 0; i < now->count; i++) {
        struct core_peer_view v;

        if (now->members[i].node == s->commit->o.node || !raft_group_peer(s->group, i, &v))
            continue;
        if (v.up && (v.flags & CORE_VOTES_NEW) && !leaders_leaves(s->commit, v.node)) return true;
    }
    return false;
}

/* Others that can lead, those of our region alone if there are such. */
static unsigned others_that_can(const struct shard *s, uint64_t nodes[CORE_MEMBERS_MAX])
{
    const struct core_config *now = raft_group_config(s->group);
    int own = find(now, s->commit->o.node);
    unsigned count = 0, near = 0;

    for (unsigned i = 0; i < now->count; i++) {
        const struct core_member *m = &now->members[i];

        if (m->node == s->commit->o.node || !can_lead(s, i)) continue;
        nodes[count++] = m->node;
        if (own < 0 || m->region != now->members[own].region) continue;
        nodes[count - 1] = nodes[near];
        nodes[near++] = m->node;
    }
    return near > 0 ? near : count;
}

/* In turn, so that what one node led is not all on another one. */
static uint64_t anybody(const struct shard *s)
{
    uint64_t nodes[CORE_MEMBERS_MAX];
    unsigned count = others_that_can(s, nodes);

    return count > 0 ? nodes[atomic_fetch_add(&s->commit->leave_turn, 1) % count] : 0;
}

/* The first who is wanted, if it is another one, votes, is there and has the log. When this node is not wanted, the first that can:
 * else it would stay, and the placement with it. 0: nobody. */
static uint64_t better_leader(const struct shard *s)
{
    const struct core_config *wanted = &s->place->wanted;
    unsigned count = find(wanted, s->commit->o.node) >= 0 ? 1 : wanted->count;

    for (unsigned i = 0; i < count; i++) {
        uint64_t node = wanted->members[i].node;
        int at = find(raft_group_config(s->group), node);

        if (node != s->commit->o.node && at >= 0 && can_lead(s, (unsigned)at)) return node;
    }
    return atomic_load(&s->commit->leaving) ? anybody(s) : 0;
}

static void set_handover(struct shard *s, uint64_t until_ms)
{
    s->place->handover_until_ms = until_ms;
    atomic_store(&s->hands_over_shared, until_ms > 0);
}

static void end_handover(struct shard *s, uint64_t mono_ms)
{
    set_handover(s, 0);
    s->place->look_ms = mono_ms + (atomic_load(&s->commit->leaving) ? LOOK_MS : HANDOVER_PAUSE_MS);
    if (s->leads) shard_offer(s, true);
}

/* No recipient is with a remote, and no outcome is on its way. */
static bool is_air_clear(const struct shard *s)
{
    struct queue_counts counts;

    queue_counts(s->queue, &counts);
    return counts.claimed == 0 && s->claims_away == 0 && !attempt_waits(s);
}

static bool waits_for_uploads(const struct shard *s, uint64_t mono_ms)
{
    uint64_t begun_ms = s->place->handover_until_ms - HANDOVER_MS;

    return atomic_load(&s->uploads_shared) > 0 && mono_ms < begun_ms + UPLOADS_MS;
}

static void ask_for_transfer(struct shard *s, uint64_t mono_ms)
{
    struct place *p = s->place;

    p->is_asked = true;
    if (raft_group_transfer(s->group, p->to, 0) != 0) {
        end_handover(s, mono_ms);
        return;
    }
    log_event(LOG_INFO, "shard.hands_over", LOG_NUM("shard", s->number), LOG_NUM("to", p->to),
              LOG_NUM("waited_ms", mono_ms + HANDOVER_MS - p->handover_until_ms));
}

/* The library gave it up: the one that should lead went, or was too slow. */
static bool is_given_up(const struct shard *s)
{
    struct raft_group_view v;

    raft_group_see(s->group, &v);
    return s->place->is_asked && v.transfer_to == 0;
}

static void hand_over(struct shard *s, uint64_t mono_ms)
{
    struct place *p = s->place;

    if (mono_ms >= p->handover_until_ms || is_given_up(s)) {
        end_handover(s, mono_ms);
    } else if (!p->is_asked && is_air_clear(s) && !waits_for_uploads(s, mono_ms)) {
        if (s->is_offered) shard_offer(s, false);
        if (list_empty(&s->in_flight)) ask_for_transfer(s, mono_ms);
    }
}

static void see_to_leader(struct shard *s, uint64_t mono_ms)
{
    struct place *p = s->place;

    bool leaving = atomic_load(&s->commit->leaving);

    if (mono_ms - p->led_since_ms < SETTLED_MS && !leaving) return;
    p->to = better_leader(s);
    if (leaving) atomic_store(&s->stays_shared, p->to == 0 && !somebody_comes(s));
    if (p->to == 0) return;
    set_handover(s, mono_ms + HANDOVER_MS);
    p->is_asked = false;
    hand_over(s, mono_ms);
}

/* ---- the turn */

void place_turn(struct shard *s, uint64_t mono_ms)
{
    struct place *p = s->place;

    if (!p) return;
    if (!s->leads) {
        p->led_since_ms = 0;
        if (p->handover_until_ms > 0) set_handover(s, 0);
        return;
    }
    if (p->led_since_ms == 0) p->led_since_ms = mono_ms;
    if (p->handover_until_ms > 0) {
        hand_over(s, mono_ms);
        return;
    }
    if (mono_ms < p->look_ms) return;
    p->look_ms = mono_ms + LOOK_MS;
    close_turn(s, mono_ms >= p->tell_ms);
    if (atomic_load(&s->commit->leaving) || !see_to_voters(s, mono_ms)) see_to_leader(s, mono_ms);
}

bool place_hands_over(const struct shard *s)
{
    return s->place && s->place->handover_until_ms > 0;
}

bool place_takes_mail(const struct shard *s)
{
    return !s->place || !s->place->closes;
}

void place_close(struct shard *s)
{
    if (s->place) set_handover(s, 0);
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
void shard_count(struct commit *c, unsigned number)
{
    unsigned count = atomic_load(&c->shard_count);

    while (count < number && !atomic_compare_exchange_weak(&c->shard_count, &count, number))
        ;
}

/* False: what was left of it goes first. */
static bool open_here(struct shard *s, const struct commit_placement *p)
{
    struct errmsg why = { "" };
    int rv = shard_open(s, &p->founders, &why);

    if (rv == ERR_AGAIN) {
        vacate_finish(s, p);
        return false;
    }
    if (rv != 0) check_last_word("shard", "opening", why.text);
    shard_count(s->commit, s->number);
    log_event(LOG_INFO, "shard.open", LOG_NUM("shard", s->number),
              LOG_NUM("applied", queue_applied(s->queue)));
    return true;
}

void place_take(struct shard *s, const struct commit_placement *p)
{
    CHECK(!s->has_ended);
    if (vacate_defers(s, p)) return;
    if (!s->is_open && !open_here(s, p)) return;
    if (!s->place) s->place = check_calloc(1, sizeof *s->place);
    s->place->wanted = p->wanted;
    s->place->version = p->version;
    s->place->in_force = p->in_force;
    s->place->closes = p->closes;
    s->place->look_ms = s->place->tell_ms = s->place->ask_ms = 0;
    shard_offer(s, s->is_offered);
    loop_again(s->loop);
}

static void on_placing(struct loop_letter *letter)
{
    struct placing *l = CONTAINER_OF(letter, struct placing, letter);

    place_take(l->shard, &l->placement);
    free(l);
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

struct confirmation {
    struct loop_letter letter;
    struct shard *shard;
    uint32_t version;
    uint64_t term;
};

static void on_confirmation(struct loop_letter *letter)
{
    struct confirmation *l = CONTAINER_OF(letter, struct confirmation, letter);
    struct place *p = l->shard->place;

    if (p && p->version == l->version) {
        p->confirmed = l->version;
        p->confirmed_term = l->term;
        p->look_ms = 0;
        loop_again(l->shard->loop);
    }
    free(l);
}

void commit_confirm(struct commit *c, uint32_t shard, uint32_t version, uint64_t term)
{
    struct confirmation *l = check_calloc(1, sizeof *l);

    l->shard = commit_shard(c, shard);
    CHECK(l->shard);
    l->version = version;
    l->term = term;
    l->letter.on_arrive = on_confirmation;
    loop_post(l->shard->loop, &l->letter);
}

/* ---- of the whole node */

struct note {
    struct loop_letter letter;
    struct commit_loop *loop;
};

/* Each shard of the loop looks at once, and is offered or not. */
static void on_note(struct loop_letter *letter)
{
    struct note *n = CONTAINER_OF(letter, struct note, letter);
    struct commit *c = n->loop->commit;
    unsigned count = commit_shard_count(c);

    for (unsigned i = n->loop->number; i < count; i += c->o.loop_count) {
        struct shard *s = &c->shards[i];

        if (!s->is_open) continue;
        shard_offer(s, s->is_offered);
        if (s->place) s->place->look_ms = 0;
    }
    loop_again(n->loop->loop);
    free(n);
}

static void note_all(struct commit *c)
{
    for (unsigned i = 0; i < c->o.loop_count; i++) {
        struct note *n = check_calloc(1, sizeof *n);

        n->loop = &c->loops[i];
        n->letter.on_arrive = on_note;
        loop_post(c->loops[i].loop, &n->letter);
    }
}

void commit_set_cordoned(struct commit *c, bool cordoned)
{
    if (atomic_exchange(&c->cordoned, cordoned) != cordoned) note_all(c);
}

void commit_leave(struct commit *c)
{
    if (atomic_exchange(&c->leaving, true)) return;
    leaders_changed(c);
    note_all(c);
}

unsigned commit_leaving(struct commit *c)
{
    unsigned n = 0, count = commit_shard_count(c);

    for (uint32_t i = 1; i <= count; i++) {
        struct commit_shard_view v;

        commit_shard_see(c, i, &v);
        n += v.is_open && v.leads && !atomic_load(&c->shards[i - 1].stays_shared);
    }
    return n;
}
