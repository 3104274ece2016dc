/* judge - what may never happen: looked at after each turn of a node, and when a configuration is committed.
 *
 * The newest state that anybody has applied is the one that counts. Against it stand the configurations that the groups of shards
 * have committed: who votes in a shard is among its holders (K12), and when a placement is in force, exactly those who are wanted
 * vote. Who votes has learned before.
 */
#define XXH_INLINE_ALL
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/sim/control/town.h"

/* ---- equal states */

static uint64_t digest_of(const struct control *c)
{
    struct buf b;
    uint64_t digest;

    buf_init(&b, CONTROL_STATE_SIZE_MAX);
    CHECK(control_save(c, &b) == 0);
    digest = XXH3_64bits(b.p, b.n) | 1;
    buf_deinit(&b);
    return digest;
}

static void expect_equal(struct world *w, const struct node *n, const struct control *c)
{
    struct town *t = w->town;
    uint64_t index = control_applied(c), digest;

    if (index >= t->digest_cap) {
        uint64_t cap = 2 * index + 64;

        t->digests = check_realloc(t->digests, cap * sizeof *t->digests);
        memset(t->digests + t->digest_cap, 0, (cap - t->digest_cap) * sizeof *t->digests);
        t->digest_cap = cap;
    }
    digest = digest_of(c);
    if (t->digests[index] == 0) t->digests[index] = digest;
    EXPECT(w, t->digests[index] == digest,
           "n%u: control is another state behind entry %llu than elsewhere", n->at + 1,
           (unsigned long long)index);
}

/* ---- shards that are new */

static struct core_config founders_of(const struct cluster *cluster, const struct control_shard *s)
{
    struct core_config config = tell_config(cluster, s->founders, s->founder_count);

    if (s->spread == CONTROL_SPREAD_REGION) config.spread = CORE_SPREAD_REGION;
    return config;
}

static void take_new(struct world *w, const struct node *n, const struct control_shard *s)
{
    unsigned group = s->number;

    EXPECT(w, group < GROUPS_MAX, "there are %u shards", group);
    w->plan.groups = group + 1;
    w->first_config[group] = w->check.canon[group].config = founders_of(n->stand->cluster, s);
    TRACE(w, "shard %u is born, %u voters, the first n%llu", group, s->founder_count,
          (unsigned long long)s->founders[0]);
    world_at(w, world_below(w, SECOND), &(struct action){ .kind = ACT_CLIENT, .group = group });
}

/* ---- who votes */

static bool list_names(const uint64_t *list, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == id) return true;
    return false;
}

static void say_config(const struct world *w, const struct control_shard *s,
                       const struct core_config *c)
{
    char text[256];
    size_t n = 0;

    if (!w->loud) return;
    text[0] = 0;
    for (unsigned i = 0; i < c->count && n < sizeof text - 32; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " n%llu/%u",
                              (unsigned long long)c->members[i].node, c->members[i].flags);
    TRACE(w, "shard %u: %s%s", s->number, c->joint ? "joint" : "members", text);
}

static void say_shard(const struct world *w, const struct control_shard *s)
{
    char text[256];
    size_t n = 0;

    if (!w->loud) return;
    text[0] = 0;
    for (unsigned i = 0; i < s->voter_count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " n%llu", (unsigned long long)s->voters[i]);
    TRACE(w, "shard %u: placement %u, in force %u, %s:%s, %u holders", s->number, s->version,
          s->in_force, control_shard_state_name(s->state), text, s->holder_count);
}

bool judge_is_gone(const struct town *t, uint64_t id)
{
    for (unsigned i = 0; i < t->node_count; i++)
        if (t->nodes[i].id == id) return t->nodes[i].state == CONTROL_GONE;
    return false;
}

static void expect_holders(struct world *w, const struct control_shard *s,
                           const struct core_config *c)
{
    unsigned voters = 0;

    if (s->state == CONTROL_CLOSED) return;
    for (unsigned i = 0; i < c->count; i++) {
        const struct core_member *m = &c->members[i];

        if (!(m->flags & (CORE_VOTES_NEW | CORE_VOTES_OLD))) continue;
        voters++;
        if (judge_is_gone(w->town, m->node)) continue; /* dropped by force */
        EXPECT(w, control_holds(s, m->node),
               "shard %u: n%llu votes, and control does not know him as a holder (K12)", s->number,
               (unsigned long long)m->node);
        EXPECT(w, s->in_force != s->version || list_names(s->voters, s->voter_count, m->node),
               "shard %u: placement %u is in force, and n%llu votes, who is not of it", s->number,
               s->version, (unsigned long long)m->node);
    }
    EXPECT(w, s->in_force != s->version || (!c->joint && voters == s->voter_count),
           "shard %u: placement %u is in force, and %u of its %u voters vote", s->number, s->version,
           voters, s->voter_count);
}

/* ---- what is wanted leaves a quorum */

static bool lives(const struct world *w, uint64_t id)
{
    const struct stand *s = &w->town->stands[id - 1];

    return s->lost_us == 0 || w->now_us - s->lost_us < SEEN_DEAD_US;
}

static unsigned living(const struct world *w, const uint64_t *list, unsigned count)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        n += lives(w, list[i]);
    return n;
}

static void expect_quorum(struct world *w, const struct control_shard *before,
                          const struct control_shard *now)
{
    if (now->state == CONTROL_CLOSED || now->version == before->version) return;
    if (now->voter_count == before->voter_count &&
        memcmp(now->voters, before->voters, now->voter_count * sizeof *now->voters) == 0)
        return;
    w->town->plans++;
    EXPECT(w, 2 * living(w, now->voters, now->voter_count) > now->voter_count,
           "shard %u: of the %u voters of placement %u only %u are not lost", now->number,
           now->voter_count, now->version, living(w, now->voters, now->voter_count));
}

static void expect_gone(struct world *w, const struct control *c, const struct control_node *n)
{
    EXPECT(w, n->state != CONTROL_GONE || control_held(c, n->id) == 0,
           "n%llu is gone and holds a shard", (unsigned long long)n->id);
}

/* ---- the newest state */

static void look(struct world *w, const struct node *n, const struct control *c)
{
    struct town *t = w->town;
    struct errmsg why = { "" };
    unsigned count = control_shard_count(c);

    EXPECT(w, control_verify(c, &why) == 0, "n%u: control is not sound: %s", n->at + 1, why.text);
    for (unsigned i = 1; i <= count; i++) {
        const struct control_shard *s = control_shard(c, i);

        if (i > t->shard_count)
            take_new(w, n, s);
        else
            expect_quorum(w, &t->shards[i - 1], s);
        if (i > t->shard_count || t->shards[i - 1].version != s->version ||
            t->shards[i - 1].in_force != s->in_force)
            say_shard(w, s);
        t->shards[i - 1] = *s;
    }
    t->shard_count = count;
    t->node_count = control_node_count(c);
    for (unsigned i = 0; i < t->node_count; i++) {
        t->nodes[i] = *control_node_at(c, i);
        expect_gone(w, c, &t->nodes[i]);
    }
}

void judge_node(struct world *w, struct node *n)
{
    const struct control *c = cluster_control(n->stand->cluster);
    struct town *t = w->town;
    uint64_t index = control_applied(c);

    if (index == 0 || index == n->stand->judged) return;
    n->stand->judged = index;
    expect_equal(w, n, c);
    if (index <= t->index) return;
    t->index = index;
    t->changed_us = w->now_us;
    trace_mix(w, 92, n->at, index);
    look(w, n, c);
    for (unsigned i = 0; i < t->shard_count; i++)
        expect_holders(w, &t->shards[i], &w->check.canon[i + 1].config);
}

/* ---- configurations */

static bool was_member(const struct core_config *c, uint64_t node)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->members[i].node == node) return true;
    return false;
}

void judge_config(struct world *w, unsigned group, const struct core_config *before,
                  const struct core_config *now)
{
    for (unsigned i = 0; i < now->count; i++) {
        const struct core_member *m = &now->members[i];

        EXPECT(w, !(m->flags & CORE_VOTES_NEW) || was_member(before, m->node),
               "g%u: n%llu votes and has not learned", group, (unsigned long long)m->node);
    }
    if (group == 0) return;
    say_config(w, &w->town->shards[group - 1], now);
    expect_holders(w, &w->town->shards[group - 1], now);
}
