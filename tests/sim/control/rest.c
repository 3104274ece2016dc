/* rest - what must have come about when nothing breaks any more. All that is not lost heals, or only a quorum of each group:
 * then what is still broken keeps some of it from its end, and only what it cannot keep is looked at.
 */
#include <stdio.h>
#include <string.h>

#include "tests/sim/control/town.h"

#define QUIET_US     (3 * SECOND)
#define CHANGES_EACH 40u /* in calm, for each shard and node: more runs in circles */

/* A shard's leader began a change before it saw that somebody had been lost without whom the new voters are no quorum, and cannot go
 * back: that is a quorum that is lost for good. Looked at once for each loss, as soon as everybody has seen it. */
void rest_weigh(struct world *w)
{
    struct town *t = w->town;
    bool all[NODES_MAX];

    if (w->calm) return;
    for (unsigned i = 0; i < NODES_MAX; i++)
        all[i] = !w->nodes[i].lost;
    for (unsigned g = 1; g <= t->shard_count; g++) {
        if (t->stuck[g - 1] || faults_quorate(w, g, all)) continue;
        TRACE(w, "shard %u has lost its quorum for good", g);
        t->stuck[g - 1] = true;
    }
}

static bool has_stuck(const struct town *t)
{
    for (unsigned i = 0; i < t->shard_count; i++)
        if (t->stuck[i]) return true;
    return false;
}

bool rest_begin(struct world *w)
{
    struct town *t = w->town;

    late_end(w);
    rest_weigh(w);
    t->whole = world_chance(w, 700);
    t->index_at_calm = t->index;
    t->count_at_calm = t->shard_count;
    for (unsigned i = 0; i < t->shard_count; i++)
        t->versions_at_calm[i] = t->shards[i].version;
    if (t->verb_every_us == 0)
        world_at(w, SECOND, &(struct action){ .kind = ACT_ABOVE, .a = DO_OPERATE });
    return t->whole;
}

/* ---- who heals */

static bool quorate(const struct world *w, const struct control_shard *s, const bool set[NODES_MAX])
{
    unsigned count = 0, regions = 0, regions_in = 0;

    for (unsigned i = 0; i < s->voter_count; i++) {
        unsigned at = (unsigned)s->voters[i] - 1, region = 1u << (at % w->town->regions);

        regions |= region;
        if (!set[at]) continue;
        regions_in |= region;
        count++;
    }
    if (s->spread == CONTROL_SPREAD_REGION && (regions & (regions - 1)) &&
        !(regions_in & (regions_in - 1)))
        return false;
    return 2 * count > s->voter_count;
}

/* A shard's leader may begin what is on its way before it sees who is down from now on, and then cannot go back. */
bool rest_may_begin(const struct world *w, const bool set[NODES_MAX])
{
    bool all[NODES_MAX];

    for (unsigned i = 0; i < NODES_MAX; i++)
        all[i] = !w->nodes[i].lost;
    for (unsigned i = 0; i < w->town->shard_count; i++) {
        const struct control_shard *s = &w->town->shards[i];

        if (s->state == CONTROL_CLOSED || s->in_force == s->version) continue;
        if (quorate(w, s, all) && !quorate(w, s, set)) return false;
    }
    return true;
}

/* ---- all of control */

static struct node *leader(struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];
        struct raft_group_view v;

        if (!town_runs(w, n)) continue;
        raft_group_see(n->stand->cluster->group, &v);
        if (v.role == RAFT_LEADER && v.commit == v.last && v.applied == v.commit) return n;
    }
    return NULL;
}

static bool is_present(const struct control_node *n)
{
    return n->state != CONTROL_GONE;
}

static unsigned serving(const struct control *c)
{
    unsigned count = 0;

    for (unsigned i = 0; i < control_node_count(c); i++)
        count += control_node_at(c, i)->state == CONTROL_SERVING;
    return count;
}

static const char *nodes_lack(struct world *w, const struct control *c)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        const struct control_node *n = control_node(c, i + 1);

        if (w->nodes[i].lost ? n && is_present(n) : !n && w->core_set[i])
            return w->nodes[i].lost ? "a lost node is not gone" : "a node has not joined";
    }
    for (unsigned i = 0; i < control_node_count(c); i++)
        if (control_node_at(c, i)->state == CONTROL_JOINING) return "a node joins for ever";
    for (unsigned i = 0; i < w->node_count; i++) {
        const struct control_node *n = control_node(c, i + 1);

        if (w->town->whole && n && !is_present(n) && town_runs(w, &w->nodes[i]) &&
            !cluster_is_removed(w->nodes[i].stand->cluster))
            return "who is gone does not know it";
        if (town_runs(w, &w->nodes[i]) && !save_knows_self(w->nodes[i].stand->cluster))
            return "the disk of who is gone does not know it";
    }
    return NULL;
}

static unsigned voters_wanted(const struct control *c, const struct core_config *g)
{
    unsigned n = 0;

    for (unsigned i = 0; i < g->count; i++) {
        const struct control_node *node = control_node(c, g->members[i].node);

        n += node && is_present(node) && node->state != CONTROL_DRAINING;
    }
    if (n > 5) n = 5;
    return n > 2 && n % 2 == 0 ? n - 1 : n;
}

/* At most five, an odd number, all who are there are members, and nobody who drains votes if another one can. */
static const char *members_lack(const struct control *c, const struct core_config *g)
{
    unsigned voters = 0, members = 0;

    if (g->joint) return "the members of control change for ever";
    for (unsigned i = 0; i < g->count; i++) {
        const struct control_node *n = control_node(c, g->members[i].node);
        bool votes = (g->members[i].flags & CORE_VOTES_NEW) != 0;

        if (!n || !is_present(n)) return "who is gone is a member of control";
        if (votes && n->state == CONTROL_DRAINING && voters_wanted(c, g) > 0)
            return "who drains votes in control";
        voters += votes;
        members++;
    }
    for (unsigned i = 0; i < control_node_count(c); i++)
        members -= is_present(control_node_at(c, i));
    if (members != 0) return "not all nodes are members of control";
    return voters_wanted(c, g) == 0 || voters == voters_wanted(c, g)
               ? NULL
               : "control has another number of voters than it should";
}

/* ---- a shard */

static unsigned places(const struct control *c, const uint64_t *list, unsigned count, bool region)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        bool is_new = true;

        for (unsigned k = 0; k < i; k++)
            is_new = is_new &&
                     (region ? control_region_number(c, list[k]) != control_region_number(c, list[i])
                             : control_zone_number(c, list[k]) != control_zone_number(c, list[i]));
        n += is_new;
    }
    return n;
}

/* In how many zones (regions) nodes serve. */
static unsigned places_to_be(const struct control *c, bool region)
{
    uint64_t list[CONTROL_NODES_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < control_node_count(c); i++)
        if (control_node_at(c, i)->state == CONTROL_SERVING)
            list[count++] = control_node_at(c, i)->id;
    return places(c, list, count, region);
}

static unsigned min_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Who serves is where the policy wants it: as many regions as can be, or, in one region only, as many zones. */
static bool is_spread(const struct town *t, const struct control *c, const struct control_shard *s)
{
    for (unsigned i = 0; i < s->voter_count; i++)
        if (control_node(c, s->voters[i])->state != CONTROL_SERVING) return true;
    if (s->spread == CONTROL_SPREAD_REGION && t->regions > 1)
        return places(c, s->voters, s->voter_count, true) ==
               min_of(s->voter_count, places_to_be(c, true));
    if (t->regions > 1) return true;
    return places(c, s->voters, s->voter_count, false) ==
           min_of(s->voter_count, places_to_be(c, false));
}

static const char *holders_lack(const struct control *c, const struct control_shard *s)
{
    unsigned takes = serving(c);

    if (control_moves(s)) return "a shard moves for ever";
    if (s->in_force != s->version) return "a placement does not come into force";
    for (unsigned i = 0; i < s->holder_count; i++)
        if (control_node(c, s->holders[i])->state == CONTROL_DRAINING && takes > 0)
            return "who drains holds a shard";
    if (s->voter_count < min_of(takes, control_replicas(c))) return "a shard has too few voters";
    return NULL;
}

/* ---- the answer */

static const char *shard_lacks(struct world *w, unsigned group)
{
    struct node *n = leader(w);
    const struct control_shard *s = n ? control_shard(cluster_control(n->stand->cluster), group) : NULL;
    const struct host *first;

    if (!n) return "control has no leader";
    if (!s) return "control does not know the shard any more";
    if (!w->town->whole || s->state != CONTROL_OPEN) return NULL;
    first = &w->nodes[s->voters[0] - 1].hosts[group];
    return first->role == RAFT_LEADER && first->raft ? NULL
                                                     : "not the first one of its voters leads";
}

static const char *all_lacks(struct world *w, struct node *n)
{
    const struct control *c = cluster_control(n->stand->cluster);
    const char *lack = nodes_lack(w, c);

    if (!lack) lack = members_lack(c, raft_group_config(n->stand->cluster->group));
    for (unsigned i = 1; !lack && i <= control_shard_count(c); i++) {
        const struct control_shard *s = control_shard(c, i);

        if (s->state != CONTROL_CLOSED) lack = holders_lack(c, s);
        if (!lack && s->state == CONTROL_OPEN && !is_spread(w->town, c, s))
            lack = "the voters of a shard are not spread";
    }
    for (unsigned i = 0; !lack && i < w->node_count; i++)
        if (town_runs(w, &w->nodes[i]) && is_present(control_node(c, i + 1)) &&
            control_applied(cluster_control(w->nodes[i].stand->cluster)) != control_applied(c))
            lack = "not all have the state of control";
    return lack;
}

static void expect_an_end(struct world *w)
{
    const struct town *t = w->town;

    EXPECT(w, t->index - t->index_at_calm < CHANGES_EACH * (t->shard_count + w->node_count),
           "control has changed %llu times since nothing breaks any more",
           (unsigned long long)(t->index - t->index_at_calm));
    for (unsigned i = 0; i < t->shard_count; i++)
        EXPECT(w, t->shards[i].version - t->versions_at_calm[i] < CHANGES_EACH,
               "shard %u: %u placements since nothing breaks any more", i + 1,
               t->shards[i].version - t->versions_at_calm[i]);
}

static const char *control_lacks(struct world *w)
{
    struct node *n = leader(w);
    struct control_up up;
    struct control_step step;
    struct errmsg why = { "" };

    expect_an_end(w);
    if (!n) return "control has no leader";
    up = cluster_up(n->stand->cluster);
    if (control_plan(cluster_control(n->stand->cluster), &up, &step, &why))
        return "control has something to do";
    if (w->now_us - w->town->changed_us < QUIET_US) return "control still changes";
    if (!w->town->whole || has_stuck(w->town)) return NULL;
    return all_lacks(w, n);
}

/* It waits there. */
static void excuse_mail(struct world *w, unsigned group)
{
    for (unsigned i = 1; i <= w->token_count; i++)
        if (w->tokens[i].group == group) w->tokens[i].excused = true;
}

const char *rest_missing(struct world *w, unsigned group, bool *is_over)
{
    const struct control_shard *s = group > 0 ? &w->town->shards[group - 1] : NULL;

    *is_over = !s || s->state != CONTROL_OPEN;
    if (!s) return control_lacks(w);
    if (w->town->stuck[group - 1]) {
        excuse_mail(w, group);
        *is_over = true;
        return NULL;
    }
    if (!w->town->whole && group > w->town->count_at_calm) { /* born on who was not seen to be down */
        *is_over = true;
        return NULL;
    }
    if (s->state == CONTROL_CLOSING) return "a shard closes for ever";
    return s->state == CONTROL_CLOSED ? NULL : shard_lacks(w, group);
}
