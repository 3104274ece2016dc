/* plan - step by step the cluster gets what it lacks, and then rests. */
#include "tests/unit/node/control/scene.h"

static struct control_up all_up(const struct scene *s)
{
    struct control_up up = { 0 };

    for (unsigned i = 0; i < control_node_count(s->control); i++)
        up.nodes[up.count++] = control_node_at(s->control, i)->id;
    return up;
}

/* Does what is planned until nothing is; how many steps. */
static unsigned run(struct scene *s, const struct control_up *up)
{
    struct control_step step;
    unsigned steps = 0;

    for (; control_plan(s->control, up, &step); steps++) {
        assert_true(steps < 10000);
        if (step.kind == CONTROL_SERVE)
            assert_int_equal(scene_state(s, step.node, CONTROL_SERVING), 0);
        else if (step.kind == CONTROL_PLACE)
            assert_int_equal(
                scene_place(s, step.shard, step.version, step.voters, step.voter_count), 0);
        else
            assert_int_equal(scene_create(s, step.voters, step.voter_count), 0);
    }
    return steps;
}

static unsigned firsts(const struct scene *s, uint64_t id)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= control_shard_count(s->control); i++)
        n += control_shard(s->control, i)->voters[0] == id;
    return n;
}

static unsigned held(const struct scene *s, uint64_t id)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= control_shard_count(s->control); i++)
        for (unsigned k = 0; k < control_shard(s->control, i)->voter_count; k++)
            n += control_shard(s->control, i)->voters[k] == id;
    return n;
}

static void join(struct scene *s, uint64_t id, const char *zone)
{
    struct scene_node n;

    if (id > 1) assert_int_equal(scene_token(s, "t", s->now_ms + 1000), 0);
    assert_int_equal(scene_join(s, id > 1 ? "t" : "", scene_node(&n, id, id, zone, "r")), 0);
}

static void a_cluster_grows_node_by_node(void **state)
{
    struct scene s;
    struct control_up up;

    (void)state;
    scene_open(&s);
    up = all_up(&s);
    assert_int_equal(run(&s, &up), 0); /* not born */
    scene_born(&s);
    for (unsigned n = 1; n <= 5; n++) {
        join(&s, n, "");
        up = all_up(&s);
        assert_true(run(&s, &up) > 0);
        assert_int_equal(run(&s, &up), 0);
        assert_int_equal(control_shard_count(s.control), 4 * n);
        for (unsigned i = 1; i <= 4 * n; i++)
            assert_int_equal(control_shard(s.control, i)->voter_count, n < 3 ? n : 3);
        for (unsigned i = 1; i <= n; i++)
            assert_int_equal(firsts(&s, i), 4);
    }
    control_free(&s.control);
}

static void voters_stand_in_different_zones(void **state)
{
    static const char *const zones[] = { "a", "a", "a", "b", "b", "c" };
    struct scene s;
    struct control_up up;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    for (unsigned i = 0; i < 6; i++)
        join(&s, i + 1, zones[i]);
    up = all_up(&s);
    run(&s, &up);
    for (unsigned i = 1; i <= control_shard_count(s.control); i++) {
        const struct control_shard *shard = control_shard(s.control, i);
        unsigned seen = 0;

        if (shard->voter_count < 3) continue;
        for (unsigned k = 0; k < 3; k++)
            seen |= 1u << control_zone_number(s.control, shard->voters[k]);
        assert_int_equal(__builtin_popcount(seen), 3);
    }
    assert_int_equal(held(&s, 6), control_shard_count(s.control)); /* the only one of its zone */
    control_free(&s.control);
}

static void who_is_down_or_drains_gets_nothing_new(void **state)
{
    struct scene s;
    struct control_up up;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    for (unsigned i = 1; i <= 4; i++)
        join(&s, i, "");
    up = all_up(&s);
    up.count = 3; /* the fourth is down: it does not even serve */
    run(&s, &up);
    assert_int_equal(control_node(s.control, 4)->state, CONTROL_JOINING);
    assert_int_equal(held(&s, 4), 0);
    assert_int_equal(control_shard_count(s.control), 12);
    up = all_up(&s);
    assert_int_equal(scene_state(&s, 4, CONTROL_DRAINING), 0);
    assert_int_equal(run(&s, &up), 0);
    assert_int_equal(held(&s, 4), 0);
    control_free(&s.control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_grows_node_by_node),
        cmocka_unit_test(voters_stand_in_different_zones),
        cmocka_unit_test(who_is_down_or_drains_gets_nothing_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
