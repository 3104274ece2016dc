/* plan_random - clusters at random, in any order of: nodes that come, go down, come up, are cordoned, drained, removed (also by
 * force), shards that close, planned steps, groups that reach their placement, and reports of it that come late.
 *
 * Beside control there is a model of the groups: who really votes. Properties, after every step:
 *   K1-K12 (scene.h), and of the model
 *   - who really votes and is not gone stands among the holders: nobody forgets what he votes with
 *   - a planned placement has a living quorum, and the shard that it is for had one among those known to vote, or those who may
 *   - who comes new is up and serves; so many replicas move at one time
 *   - what control_may_* lets pass control does, and no shard that had a living quorum loses it by that
 * and at the end, with those who live: no shard that has a quorum waits for who is down, unless it would give up a copy of each commit;
 * then with all up: the plan comes to rest, nothing that drains holds anything, replicas are even.
 */
#include <limits.h>
#include <stdlib.h>

#include "proto/ground/rng.h"
#include "tests/unit/node/control/scene.h"

#define SEEDS      1000
#define STEPS      300
#define SHARDS_MAX 256

struct group {
    unsigned count;
    uint64_t voters[CONTROL_VOTERS_MAX];
    uint32_t version; /* of the placement that it has reached */
};
struct world {
    struct scene s;
    struct rng rng;
    struct control_up up;
    struct group groups[SHARDS_MAX + 1];
    uint64_t next_id;
    bool has_zones, has_closed;
};

static uint64_t seed_now;

static bool has(const uint64_t *list, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == id) return true;
    return false;
}

static bool quorum(const struct world *w, const uint64_t *list, unsigned count)
{
    unsigned living = 0;

    for (unsigned i = 0; i < count; i++)
        living += has(w->up.nodes, w->up.count, list[i]);
    return 2 * living > count;
}

static unsigned pick(struct world *w, unsigned n)
{
    return (unsigned)rng_below(&w->rng, n);
}

static uint64_t some_node(struct world *w)
{
    unsigned n = control_node_count(w->s.control);

    return n ? control_node_at(w->s.control, pick(w, n))->id : 0;
}

static void meet_shards(struct world *w)
{
    for (unsigned i = 1; i <= control_shard_count(w->s.control); i++) {
        const struct control_shard *s = control_shard(w->s.control, i);
        struct group *g = &w->groups[i];

        assert_true(i <= SHARDS_MAX);
        if (g->count > 0 || s->state == CONTROL_CLOSED) continue;
        g->count = s->founder_count;
        memcpy(g->voters, s->founders, sizeof g->voters);
        g->version = 1;
    }
}

static void check(const struct world *w)
{
    for (unsigned i = 1; i <= control_shard_count(w->s.control); i++) {
        const struct control_shard *s = control_shard(w->s.control, i);
        const struct group *g = &w->groups[i];

        for (unsigned k = 0; s->state != CONTROL_CLOSED && k < g->count; k++)
            if (control_node(w->s.control, g->voters[k])->state != CONTROL_GONE)
                assert_true(control_holds(s, g->voters[k]));
    }
}

/* ---- what happens */

static void comes(struct world *w)
{
    static const char *const zones[] = { "a", "b", "c", "" };
    struct scene_node n;
    uint64_t id = w->next_id;

    if (id > 9) return;
    w->next_id++;
    if (id > 1) scene_token(&w->s, "t", w->s.now_ms + 1000);
    assert_int_equal(scene_join(&w->s, id > 1 ? "t" : "",
                                scene_node(&n, id, id, w->has_zones ? zones[pick(w, 4)] : "", "r")),
                     0);
    w->up.nodes[w->up.count++] = id;
}

static void turns_up_or_down(struct world *w)
{
    uint64_t id = some_node(w);

    if (id == 0) return;
    if (!has(w->up.nodes, w->up.count, id)) {
        w->up.nodes[w->up.count++] = id;
        return;
    }
    for (unsigned i = 0; i < w->up.count; i++)
        if (w->up.nodes[i] == id) w->up.nodes[i] = w->up.nodes[--w->up.count];
}

static unsigned moving(const struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= control_shard_count(w->s.control); i++)
        n += control_shard(w->s.control, i)->state != CONTROL_CLOSED &&
             control_moves(control_shard(w->s.control, i));
    return n;
}

/* On its way, so that also others may vote, who live. */
static bool others_may_vote(const struct world *w, const struct control_shard *s)
{
    for (unsigned i = s->settled_count; i < s->holder_count; i++)
        if (has(w->up.nodes, w->up.count, s->holders[i])) return true;
    return control_moves(s) && s->version > s->in_force + 1;
}

static void check_place(struct world *w, const struct control_step *step)
{
    const struct control_shard *s = control_shard(w->s.control, step->shard);
    bool drops = false, is_stuck = control_moves(s) && (s->version > s->in_force + 1 ||
                                                       !quorum(w, s->voters, s->voter_count));

    assert_true(quorum(w, step->voters, step->voter_count));
    assert_true(quorum(w, s->holders, s->settled_count) || others_may_vote(w, s));
    for (unsigned i = 0; i < step->voter_count; i++) {
        if (has(s->voters, s->voter_count, step->voters[i])) continue;
        assert_true(has(w->up.nodes, w->up.count, step->voters[i]));
        assert_int_equal(control_node(w->s.control, step->voters[i])->state, CONTROL_SERVING);
    }
    for (unsigned i = 0; i < s->settled_count; i++) {
        if (!has(s->voters, s->voter_count, s->holders[i])) continue;
        if (has(step->voters, step->voter_count, s->holders[i])) continue;
        drops = true;
        if (is_stuck) assert_false(has(w->up.nodes, w->up.count, s->holders[i]));
    }
    if (drops && !is_stuck) assert_false(control_moves(s));
    if (drops && !is_stuck) assert_true(moving(w) < CONTROL_MOVES_MAX);
}

static bool plans(struct world *w)
{
    struct control_step step;
    struct errmsg why;

    if (!control_plan(w->s.control, &w->up, &step, &why)) return false;
    if (step.kind == CONTROL_SERVE) {
        assert_int_equal(scene_state(&w->s, step.node, CONTROL_SERVING), 0);
    } else if (step.kind == CONTROL_CREATE) {
        assert_int_equal(scene_create(&w->s, step.voters, step.voter_count), 0);
    } else {
        check_place(w, &step);
        assert_int_equal(
            scene_place(&w->s, step.shard, step.version, step.voters, step.voter_count), 0);
    }
    return true;
}

/* The group reaches what is wanted now: a quorum of it lives, and who is new is there to learn. */
static void reaches(struct world *w, unsigned shard)
{
    const struct control_shard *s = control_shard(w->s.control, shard);
    struct group *g = &w->groups[shard];

    if (s->state == CONTROL_CLOSED || !quorum(w, g->voters, g->count)) return;
    for (unsigned i = 0; i < s->voter_count; i++)
        if (!has(g->voters, g->count, s->voters[i]) && !has(w->up.nodes, w->up.count, s->voters[i]))
            return;
    if (!quorum(w, s->voters, s->voter_count)) return;
    g->count = s->voter_count;
    memcpy(g->voters, s->voters, sizeof g->voters);
    g->version = s->version;
}

static void reports(struct world *w, unsigned shard)
{
    const struct control_shard *s = control_shard(w->s.control, shard);

    if (s->state == CONTROL_CLOSED || s->in_force == s->version) return;
    assert_int_equal(scene_placed(&w->s, shard, w->groups[shard].version),
                     w->groups[shard].version == s->version ? 0 : ERR_SUPERSEDED);
}

static void node_is_told(struct world *w)
{
    uint64_t id = some_node(w);
    struct errmsg why = { "" };
    bool force = pick(w, 4) == 0;

    if (id == 0) return;
    switch (pick(w, 4)) {
    case 0:
        if (control_may_cordon(w->s.control, id, &why) == 0)
            assert_int_equal(scene_state(&w->s, id, CONTROL_CORDONED), 0);
        break;
    case 1:
        if (control_may_uncordon(w->s.control, id, &why) == 0)
            assert_int_equal(scene_state(&w->s, id, CONTROL_SERVING), 0);
        break;
    case 2:
        if (control_may_drain(w->s.control, &w->up, id, &why) == 0)
            assert_int_equal(scene_state(&w->s, id, CONTROL_DRAINING), 0);
        break;
    default:
        if (control_may_remove(w->s.control, &w->up, id, force, &why) != 0) break;
        assert_int_equal(force ? scene_force(&w->s, id) : scene_state(&w->s, id, CONTROL_GONE), 0);
        for (unsigned i = 0; i < w->up.count; i++)
            if (w->up.nodes[i] == id) w->up.nodes[i] = w->up.nodes[--w->up.count];
    }
}

static void shard_closes(struct world *w)
{
    unsigned count = control_shard_count(w->s.control), shard = count ? 1 + pick(w, count) : 0;
    struct errmsg why;

    if (shard == 0) return;
    if (control_may_close(w->s.control, shard, &why) == 0) {
        assert_int_equal(scene_shard_state(&w->s, shard, CONTROL_CLOSING), 0);
        w->has_closed = true;
    } else if (control_shard(w->s.control, shard)->state == CONTROL_CLOSING) {
        assert_int_equal(scene_shard_state(&w->s, shard, CONTROL_CLOSED), 0);
    }
}

static void something_happens(struct world *w)
{
    unsigned shards = control_shard_count(w->s.control), dice = pick(w, 100);

    if (dice < 4)
        comes(w);
    else if (dice < 12)
        turns_up_or_down(w);
    else if (dice < 20)
        node_is_told(w);
    else if (dice < 21)
        shard_closes(w);
    else if (dice < 50)
        plans(w);
    else if (dice < 75 && shards > 0)
        reaches(w, 1 + pick(w, shards));
    else if (shards > 0)
        reports(w, 1 + pick(w, shards));
}

/* ---- who is down stays so */

static unsigned living(const struct world *w, const uint64_t *list, unsigned count, uint64_t *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        if (has(w->up.nodes, w->up.count, list[i])) out[n++] = list[i];
    return n;
}

/* Nobody who is wanted lives, or with those who do a copy of each commit would be given up. */
static bool may_wait(const struct world *w, const struct control_shard *s)
{
    uint64_t left[CONTROL_VOTERS_MAX];
    unsigned count = living(w, s->voters, s->voter_count, left);

    return count == 0 || count / 2 < s->settled_count / 2;
}

static void plan_all(struct world *w)
{
    bool goes_on = true;

    for (unsigned round = 0; goes_on; round++) {
        assert_true(round < 3000);
        goes_on = plans(w);
        meet_shards(w);
        for (unsigned i = 1; i <= control_shard_count(w->s.control); i++) {
            const struct control_shard *s = control_shard(w->s.control, i);

            if (s->in_force == s->version) continue;
            reaches(w, i);
            reports(w, i);
            goes_on = goes_on || s->in_force == s->version;
        }
        check(w);
    }
}

static void nobody_waits_for_the_dead(struct world *w)
{
    plan_all(w);
    for (unsigned i = 1; i <= control_shard_count(w->s.control); i++) {
        const struct control_shard *s = control_shard(w->s.control, i);
        const struct group *g = &w->groups[i];

        if (s->state == CONTROL_CLOSED || s->in_force == s->version) continue;
        if (!quorum(w, g->voters, g->count) || may_wait(w, s)) continue;
        fail_msg("shard %u waits for ever", i);
    }
}

/* ---- the end */

static void comes_to_rest(struct world *w)
{
    w->up.count = 0;
    for (unsigned i = 0; i < control_node_count(w->s.control); i++)
        if (control_node_at(w->s.control, i)->state != CONTROL_GONE)
            w->up.nodes[w->up.count++] = control_node_at(w->s.control, i)->id;
    plan_all(w);
}

static void check_rest(const struct world *w)
{
    const struct control *c = w->s.control;
    unsigned serving = 0, least = UINT_MAX, most = 0;
    bool is_stuck = false;

    for (unsigned i = 0; i < control_node_count(c); i++)
        serving += control_node_at(c, i)->state == CONTROL_SERVING;
    for (unsigned i = 1; i <= control_shard_count(c); i++) /* force took its quorum's dead */
        is_stuck = is_stuck || (control_shard(c, i)->state != CONTROL_CLOSED &&
                                control_shard(c, i)->in_force != control_shard(c, i)->version);
    assert_false(is_stuck);
    for (unsigned i = 0; i < control_node_count(c); i++) {
        const struct control_node *n = control_node_at(c, i);
        unsigned held = control_held(c, n->id);

        assert_true(n->state != CONTROL_JOINING);
        if (n->state == CONTROL_GONE) assert_int_equal(held, 0);
        if (n->state == CONTROL_DRAINING && serving > 0) assert_int_equal(held, 0);
        if (n->state != CONTROL_SERVING) continue;
        least = held < least ? held : least;
        most = held > most ? held : most;
    }
    if (serving > 1 && !w->has_zones && !w->has_closed) assert_true(most - least <= 2);
}

static void run(uint64_t seed)
{
    struct world *w = check_calloc(1, sizeof *w);

    rng_seed(&w->rng, seed);
    scene_open(&w->s);
    w->next_id = 1;
    w->has_zones = pick(w, 2) == 0;
    scene_born_with(&w->s, 1 + pick(w, 4), 1 + pick(w, 5));
    for (unsigned i = 0; i < STEPS; i++) {
        something_happens(w);
        meet_shards(w);
        check(w);
    }
    nobody_waits_for_the_dead(w);
    comes_to_rest(w);
    check_rest(w);
    control_free(&w->s.control);
    free(w);
}

static void random_clusters_come_to_rest_and_lose_no_quorum(void **state)
{
    (void)state;
    for (seed_now = 1; seed_now <= SEEDS; seed_now++)
        run(seed_now);
}

static int tell_seed(void **state)
{
    (void)state;
    if (seed_now <= SEEDS) print_message("seed %llu\n", (unsigned long long)seed_now);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(random_clusters_come_to_rest_and_lose_no_quorum, tell_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
