/* members - who is in group 0, where it leads: one change at a time, the next when it has committed.
 *
 * Up to five voters, an odd number (two of two nodes), in different zones when it can be; every other node learns. Those who were
 * promoted vote before others. Who drains gives its vote to another one, if there is one; who is gone goes when it has heard so,
 * if it is up. A voter that is down stays one: stop never changes membership. Of too many voters the leader may be the one that has to
 * go, when all others were promoted: it hands over first.
 */
#include "node/cluster/inside.h"
#include "proto/ground/mutation.h"

static int find(const struct core_config *g, uint64_t node)
{
    for (unsigned i = 0; i < g->count; i++)
        if (g->members[i].node == node) return (int)i;
    return -1;
}

static bool votes(const struct core_member *m)
{
    return (m->flags & (CORE_VOTES_NEW | CORE_PROMOTE)) != 0;
}

static unsigned voters_of(const struct core_config *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->count; i++)
        n += votes(&g->members[i]);
    return n;
}

/* Members whom control does not know yet are as good as others. */
static bool is_in_state(const struct cluster *c, uint64_t node, enum control_node_state state)
{
    const struct control_node *n = control_node(c->control, node);

    return n && n->state == state;
}

static bool may_vote(const struct cluster *c, uint64_t node)
{
    return !is_in_state(c, node, CONTROL_GONE) && !is_in_state(c, node, CONTROL_DRAINING);
}

static bool is_promoted(const struct cluster *c, uint64_t node)
{
    const struct control_node *n = control_node(c->control, node);

    return n && n->promoted;
}

static unsigned voters_wanted(const struct cluster *c, const struct core_config *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->count; i++)
        n += may_vote(c, g->members[i].node);
    if (n > CLUSTER_VOTERS_MAX) n = CLUSTER_VOTERS_MAX;
    return n <= 2 || n % 2 == 1 || MUTATED(CONTROL_EVEN_VOTERS) ? n : n - 1;
}

static bool zone_votes(const struct core_config *g, uint16_t zone)
{
    for (unsigned i = 0; zone != 0 && i < g->count; i++)
        if (g->members[i].zone == zone && votes(&g->members[i])) return true;
    return false;
}

/* Promoted counts most, then a zone without a voter. */
static unsigned worth(const struct cluster *c, const struct core_config *g,
                      const struct core_member *m)
{
    return 2u * is_promoted(c, m->node) + !zone_votes(g, m->zone);
}

/* The best learner that is up and may vote; -1: none. */
static int best_learner(const struct cluster *c, const struct core_config *g)
{
    int best = -1;

    for (unsigned i = 0; i < g->count; i++) {
        const struct core_member *m = &g->members[i];

        if (m->flags != CORE_LEARNS || !cluster_is_up(c, m->node) || !may_vote(c, m->node))
            continue;
        if (best < 0 || worth(c, g, m) > worth(c, g, &g->members[best])) best = (int)i;
    }
    return best;
}

static bool learn_new(const struct cluster *c, struct core_config *aim)
{
    unsigned count = control_node_count(c->control), before = aim->count;

    for (unsigned i = 0; i < count && aim->count < CORE_MEMBERS_MAX; i++) {
        const struct control_node *n = control_node_at(c->control, i);

        if (n->state == CONTROL_GONE || find(aim, n->id) >= 0) continue;
        aim->members[aim->count++] =
            (struct core_member){ .node = n->id,
                                  .flags = CORE_LEARNS,
                                  .priority = 1,
                                  .zone = control_zone_number(c->control, n->id),
                                  .region = control_region_number(c->control, n->id) };
    }
    return aim->count > before;
}

/* Of the others than `but`, who vote. */
static bool quorum_lives(const struct cluster *c, const struct core_config *g, uint64_t but)
{
    unsigned living = 0, all = 0;

    for (unsigned i = 0; i < g->count; i++) {
        const struct core_member *m = &g->members[i];

        if (!(m->flags & CORE_VOTES_NEW) || m->node == but) continue;
        all++;
        living += cluster_is_up(c, m->node);
    }
    return all > 0 && 2 * living > all;
}

/* Enough who may vote do, or will. */
static bool has_enough(const struct cluster *c, const struct core_config *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->count; i++)
        n += votes(&g->members[i]) && may_vote(c, g->members[i].node);
    return n >= voters_wanted(c, g);
}

static bool promote_one(const struct cluster *c, struct core_config *aim)
{
    int best = best_learner(c, aim);

    if (best < 0) return false;
    if (has_enough(c, aim) && !is_promoted(c, aim->members[best].node)) return false;
    if (has_enough(c, aim) && voters_of(aim) > voters_wanted(c, aim))
        return false; /* first one goes */
    aim->members[best].flags |= CORE_PROMOTE;
    return true;
}

/* Who was to get a vote and is down is counted on no more: else voters would come and go in his place for ever. */
static bool take_back(const struct cluster *c, struct core_config *aim)
{
    for (unsigned i = 0; i < aim->count; i++) {
        struct core_member *m = &aim->members[i];

        if (!(m->flags & CORE_PROMOTE)) continue;
        if (cluster_is_up(c, m->node) && may_vote(c, m->node)) continue;
        m->flags = CORE_LEARNS;
        return true;
    }
    return false;
}

/* Who gives its vote up next: who may not vote, or of too many one that was not promoted, is down, is the last. -1: nobody. */
static int one_too_many(const struct cluster *c, const struct core_config *g)
{
    bool too_many = voters_of(g) > voters_wanted(c, g);
    int best = -1;

    for (unsigned i = 0; i < g->count; i++) {
        const struct core_member *m = &g->members[i];

        if (!(m->flags & CORE_VOTES_NEW) || m->node == c->self.node) continue;
        if (!may_vote(c, m->node)) return (int)i;
        if (!too_many || is_promoted(c, m->node)) continue;
        if (best < 0 || !cluster_is_up(c, m->node) || cluster_is_up(c, g->members[best].node))
            best = (int)i;
    }
    return best;
}

static bool demote_one(const struct cluster *c, struct core_config *aim)
{
    int at = one_too_many(c, aim);

    if (at < 0 || !has_enough(c, aim) || !quorum_lives(c, aim, aim->members[at].node)) return false;
    aim->members[at].flags = CORE_LEARNS;
    return true;
}

static bool is_gone_learner(const struct cluster *c, const struct core_member *m)
{
    return m->flags == CORE_LEARNS && is_in_state(c, m->node, CONTROL_GONE);
}

/* Nobody tells a node anything who is no member any more: who is up hears before that it is gone. */
static bool have_heard(struct cluster *c, const struct core_config *now)
{
    struct core_peer_view v;
    unsigned gone = 0, up = 0;

    for (unsigned i = 0; i < now->count; i++) {
        if (!is_gone_learner(c, &now->members[i])) continue;
        gone++;
        up += raft_group_peer(c->group, i, &v) && v.up;
    }
    if (gone != c->farewell_count) c->farewell = control_applied(c->control);
    c->farewell_count = gone;
    if (up == 0 || change_is_told(c, c->farewell)) return true;
    if (!c->news_out) change_spread_news(c, c->farewell);
    return false;
}

/* Voters give their vote up first. */
static bool drop_gone(struct cluster *c, struct core_config *aim)
{
    unsigned kept = 0, before = aim->count;

    if (!have_heard(c, aim)) return false;
    for (unsigned i = 0; i < aim->count; i++) {
        const struct core_member *m = &aim->members[i];

        if (is_gone_learner(c, m)) continue;
        aim->members[kept++] = *m;
    }
    aim->count = kept;
    return kept < before;
}

/* One voter is too many, and all others were promoted: then it is this one, who leads and cannot give its own vote up. */
static bool is_one_too_many(const struct cluster *c, const struct core_config *now)
{
    if (voters_of(now) <= voters_wanted(c, now) || is_promoted(c, c->self.node)) return false;
    for (unsigned i = 0; i < now->count; i++) {
        const struct core_member *m = &now->members[i];

        if (m->node != c->self.node && votes(m) && !is_promoted(c, m->node)) return false;
    }
    return true;
}

/* Who may not vote does not lead for long, nor who leaves, nor who has to make room. */
static void hand_over(struct cluster *c, const struct core_config *now)
{
    if (!c->leaving && may_vote(c, c->self.node) && !is_one_too_many(c, now)) return;
    for (unsigned i = 0; i < now->count; i++) {
        const struct core_member *m = &now->members[i];

        if (m->node == c->self.node || !(m->flags & CORE_VOTES_NEW)) continue;
        if (!may_vote(c, m->node) || !cluster_is_up(c, m->node)) continue;
        if (raft_group_transfer(c->group, m->node, 0) == 0) return;
    }
}

void members_see_to(struct cluster *c)
{
    const struct core_config *now = raft_group_config(c->group);
    struct raft_group_view view;
    struct core_config aim = *now;

    raft_group_see(c->group, &view);
    if (now->joint || !view.config_committed || !save_knows_nodes(c)) return;
    hand_over(c, now);
    if (!learn_new(c, &aim) && !take_back(c, &aim) && !promote_one(c, &aim) &&
        !demote_one(c, &aim) && !drop_gone(c, &aim))
        return;
    if (raft_group_change(c->group, &aim, now->version) == 0)
        log_event(LOG_INFO, "control.members", LOG_NUM("members", aim.count),
                  LOG_NUM("voters", voters_of(&aim)));
}

bool cluster_spares(const struct cluster *c, uint64_t node)
{
    return !cluster_votes(c, node) || quorum_lives(c, raft_group_config(c->group), node);
}

void cluster_leave(struct cluster *c)
{
    c->leaving = true;
    if (c->leads) hand_over(c, raft_group_config(c->group));
}
