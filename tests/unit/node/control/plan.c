/* plan - step by step the cluster gets what it lacks, and then rests. */
#include "tests/unit/node/control/scene.h"

static struct control_up all_up(const struct scene *s)
{
    struct control_up up = { 0 };

    for (unsigned i = 0; i < control_node_count(s->control); i++)
        up.nodes[up.count++] = control_node_at(s->control, i)->id;
    return up;
}

/* Every placement comes in force. */
static void settle(struct scene *s)
{
    for (unsigned i = 1; i <= control_shard_count(s->control); i++) {
        const struct control_shard *shard = control_shard(s->control, i);

        if (shard->in_force != shard->version) scene_placed(s, i, shard->version);
    }
}

/* Does what is planned until nothing is; how many steps. */
static unsigned run(struct scene *s, const struct control_up *up)
{
    struct control_step step;
    struct errmsg why;
    unsigned steps = 0;

    for (; control_plan(s->control, up, &step, &why); steps++) {
        assert_true(steps < 10000);
        if (step.kind == CONTROL_SERVE)
            assert_int_equal(scene_state(s, step.node, CONTROL_SERVING), 0);
        else if (step.kind == CONTROL_PLACE)
            assert_int_equal(
                scene_place(s, step.shard, step.version, step.voters, step.voter_count), 0);
        else
            assert_int_equal(scene_create_step(s, &step), 0);
        settle(s);
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

/* ---- regions */

/* `nodes` nodes round `regions` regions, each in a zone of its own there, joining one after the other. */
static void grow(struct scene *s, enum control_spread spread, unsigned nodes, unsigned regions)
{
    scene_open(s);
    assert_int_equal(scene_born_over(s, spread), 0);
    for (unsigned i = 1; i <= nodes; i++) {
        char zone[16], region[16];
        struct control_up up;
        struct scene_node n;

        snprintf(zone, sizeof zone, "z%u", (i - 1) / regions);
        snprintf(region, sizeof region, "r%u", (i - 1) % regions);
        if (i > 1) assert_int_equal(scene_token(s, "t", s->now_ms + 1000), 0);
        assert_int_equal(scene_join(s, i > 1 ? "t" : "", scene_node(&n, i, i, zone, region)), 0);
        up = all_up(s);
        run(s, &up);
    }
}

/* In how many regions, or zones, the voters of a shard are. */
static unsigned places(const struct scene *s, const struct control_shard *shard,
                       uint16_t (*number)(const struct control *c, uint64_t node))
{
    uint64_t seen = 0;

    for (unsigned k = 0; k < shard->voter_count; k++)
        seen |= UINT64_C(1) << number(s->control, shard->voters[k]);
    return (unsigned)__builtin_popcountll(seen);
}

static void spread_over_zones_a_shard_stays_in_its_region(void **state)
{
    struct scene s;

    (void)state;
    grow(&s, CONTROL_SPREAD_ZONE, 6, 2);
    assert_int_equal(control_shard_count(s.control), 24);
    for (unsigned i = 1; i <= 24; i++) {
        const struct control_shard *shard = control_shard(s.control, i);

        assert_int_equal(shard->spread, CONTROL_SPREAD_ZONE);
        assert_int_equal(shard->voter_count, 3);
        assert_int_equal(places(&s, shard, control_region_number), 1);
        assert_int_equal(places(&s, shard, control_zone_number), 3);
    }
    control_free(&s.control);
}

static void spread_over_regions_a_shard_is_in_all_of_them(void **state)
{
    struct scene s;

    (void)state;
    for (unsigned regions = 2; regions <= 3; regions++) {
        grow(&s, CONTROL_SPREAD_REGION, 6, regions);
        for (unsigned i = 1; i <= control_shard_count(s.control); i++) {
            const struct control_shard *shard = control_shard(s.control, i);

            assert_int_equal(shard->spread, CONTROL_SPREAD_REGION);
            assert_int_equal(shard->voter_count, 3);
            assert_int_equal(places(&s, shard, control_region_number), regions);
            assert_int_equal(places(&s, shard, control_zone_number), 3);
        }
        control_free(&s.control);
    }
}

/* Two of three are a majority, and no quorum when they are of one region and the third is of another one. */
static void over_regions_a_quorum_is_of_two(void **state)
{
    struct control_up up = { 0 };
    struct errmsg why;
    struct scene s;

    (void)state;
    grow(&s, CONTROL_SPREAD_REGION, 5, 2); /* 1, 3, 5 and 2, 4 */
    up.nodes[up.count++] = 1;
    up.nodes[up.count++] = 3;
    up.nodes[up.count++] = 4;
    up.nodes[up.count++] = 5;
    for (unsigned i = 1; i <= control_shard_count(s.control); i++) {
        static const uint64_t bad[] = { 1, 2, 3 }, good[] = { 1, 3, 4 };
        const struct control_shard *shard = control_shard(s.control, i);
        bool has_four = false;

        for (unsigned k = 0; k < shard->voter_count; k++)
            has_four = has_four || shard->voters[k] == 4;
        if (has_four) {
            assert_int_equal(control_may_place(s.control, &up, i, good, 3, &why), 0);
            continue;
        }
        /* 2 is down: what is left is of one region, and cannot decide anything */
        assert_int_equal(control_may_place(s.control, &up, i, good, 3, &why), ERR_BUSY);
        assert_int_equal(control_may_place(s.control, &up, i, bad, 3, &why), ERR_BUSY);
    }
    control_free(&s.control);
}

/* Shard 1, on its way from three voters to three. */
static const struct control_shard *put_on_the_way(struct scene *s, uint64_t settled[3],
                                                  uint64_t wanted[3])
{
    const struct control_shard *shard = control_shard(s->control, 1);

    assert_int_equal(scene_place(s, 1, shard->version, settled, 3), 0);
    assert_int_equal(scene_placed(s, 1, shard->version), 0);
    assert_int_equal(scene_place(s, 1, shard->version, wanted, 3), 0);
    return shard;
}

/* On its way to voters of which one is lost, and the others are of one region. */
static void who_is_wanted_and_no_quorum_any_more_is_replaced(void **state)
{
    uint64_t settled[] = { 6, 5, 4 }, wanted[] = { 6, 5, 1 };
    struct control_up up = { 5, { 1, 2, 3, 4, 5 } };
    const struct control_shard *shard;
    struct control_step step;
    struct errmsg why;
    struct scene s;

    (void)state;
    grow(&s, CONTROL_SPREAD_REGION, 6, 2); /* 1, 3, 5 and 2, 4, 6 */
    shard = put_on_the_way(&s, settled, wanted);
    assert_int_equal(control_may_remove(s.control, &up, 6, true, &why), ERR_BUSY);
    assert_string_equal(why.text,
                        "shard 1 is on its way to other voters: wait until it has them");

    assert_true(control_plan(s.control, &up, &step, &why));
    assert_int_equal(step.kind, CONTROL_PLACE);
    assert_int_equal(step.shard, 1);
    assert_int_equal(step.version, shard->version);
    assert_int_equal(scene_place(&s, 1, step.version, step.voters, step.voter_count), 0);
    assert_int_equal(shard->voter_count, 3);
    assert_int_equal(places(&s, shard, control_region_number), 2);
    for (unsigned i = 0; i < 3; i++)
        assert_int_not_equal(shard->voters[i], 6);
    assert_int_equal(shard->voters[0], 5); /* votes now */
    assert_int_equal(run(&s, &up), 0);
    assert_int_equal(scene_placed(&s, 1, shard->version), 0);
    why.text[0] = '\0';
    control_may_remove(s.control, &up, 6, true, &why);
    assert_int_not_equal(strncmp(why.text, "shard 1 ", 8), 0); /* others may need it */
    control_free(&s.control);
}

/* It may have gone to 1, 4 and 5, and nobody reported it: then 2, who is wanted again, has to come, and is lost. */
static void who_may_have_gone_meanwhile_is_replaced(void **state)
{
    uint64_t settled[] = { 1, 2, 3 }, between[] = { 1, 4, 5 }, wanted[] = { 1, 5, 2 };
    struct control_up up = { 5, { 1, 3, 4, 5, 6 } };
    const struct control_shard *shard;
    struct control_step step;
    struct errmsg why;
    struct scene s;

    (void)state;
    grow(&s, CONTROL_SPREAD_ZONE, 6, 1);
    shard = put_on_the_way(&s, settled, wanted);
    assert_false(control_plan(s.control, &up, &step, &why)); /* 2 votes, and may come back */
    assert_int_equal(scene_place(&s, 1, shard->version, between, 3), 0);
    assert_int_equal(scene_place(&s, 1, shard->version, wanted, 3), 0);
    assert_true(control_plan(s.control, &up, &step, &why));
    assert_int_equal(step.kind, CONTROL_PLACE);
    assert_int_equal(step.shard, 1);
    assert_int_equal(step.voter_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_not_equal(step.voters[i], 2);
    control_free(&s.control);
}

/* Two of three that it goes to are lost: both are replaced, and who holds it already needs no room. */
static void more_than_one_may_be_replaced_on_the_way(void **state)
{
    uint64_t settled[] = { 1, 2, 3 }, wanted[] = { 4, 5, 1 };
    struct control_up up = { 4, { 1, 2, 3, 6 } };
    const struct control_shard *shard;
    struct control_step step;
    struct errmsg why;
    struct scene s;

    (void)state;
    grow(&s, CONTROL_SPREAD_ZONE, 6, 1);
    shard = put_on_the_way(&s, settled, wanted);
    for (unsigned steps = 0; control_plan(s.control, &up, &step, &why); steps++) {
        assert_true(steps < 4);
        assert_int_equal(step.kind, CONTROL_PLACE);
        assert_int_equal(step.shard, 1);
        assert_int_equal(scene_place(&s, 1, step.version, step.voters, step.voter_count), 0);
    }
    for (unsigned i = 0; i < shard->voter_count; i++)
        assert_true(shard->voters[i] < 4 || shard->voters[i] == 6);
    assert_int_equal(shard->voter_count, 3);
    control_free(&s.control);
}

static void a_shard_of_its_own_may_be_spread_otherwise(void **state)
{
    struct control_step step;
    struct control_up up;
    struct errmsg why;
    struct scene s;

    (void)state;
    grow(&s, CONTROL_SPREAD_ZONE, 6, 2);
    up = all_up(&s);
    assert_int_equal(
        control_may_create(s.control, &up, 1, CONTROL_SPREAD_REGION, &step, &why), 0);
    assert_int_equal(scene_create_step(&s, &step), 0);
    assert_int_equal(run(&s, &up), 0); /* nothing of it is moved back into one region */
    assert_int_equal(control_shard(s.control, 25)->spread, CONTROL_SPREAD_REGION);
    assert_int_equal(places(&s, control_shard(s.control, 25), control_region_number), 2);
    assert_int_equal(control_may_create(s.control, &up, 1, 0, &step, &why), 0);
    assert_int_equal(step.spread, CONTROL_SPREAD_ZONE);
    control_free(&s.control);
}

static void a_region_is_drained_as_a_whole(void **state)
{
    struct control_up up;
    struct errmsg why;
    struct scene s;

    (void)state;
    grow(&s, CONTROL_SPREAD_ZONE, 6, 2);
    up = all_up(&s);
    assert_int_equal(control_may_drain_region(s.control, &up, "r9", &why), ERR_NOT_FOUND);
    assert_int_equal(control_may_drain_region(s.control, &up, "r0", &why), 0);
    up.count = 1; /* node 1, of r0 */
    assert_int_equal(control_may_drain_region(s.control, &up, "r0", &why), ERR_BUSY);
    up = all_up(&s);
    assert_int_equal(scene_drain_region(&s, "r9"), ERR_NOT_FOUND);
    assert_int_equal(scene_drain_region(&s, "r0"), 0);
    assert_int_equal(control_may_drain_region(s.control, &up, "r0", &why), ERR_EXISTS);
    run(&s, &up);
    for (uint64_t id = 1; id <= 6; id++) {
        bool drained = id % 2 == 1;

        assert_int_equal(control_node(s.control, id)->state,
                         drained ? CONTROL_DRAINING : CONTROL_SERVING);
        assert_int_equal(control_held(s.control, id) == 0, drained);
    }
    for (unsigned i = 1; i <= 24; i++)
        assert_int_equal(control_shard(s.control, i)->voter_count, 3);
    assert_int_equal(control_may_drain_region(s.control, &up, "r1", &why), ERR_BUSY);
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

static void a_node_that_drains_gives_all_away_and_comes_back(void **state)
{
    struct scene s;
    struct control_up up;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    for (unsigned i = 1; i <= 4; i++)
        join(&s, i, "");
    up = all_up(&s);
    run(&s, &up);
    assert_int_equal(held(&s, 2), 12);
    assert_int_equal(scene_state(&s, 2, CONTROL_DRAINING), 0);
    assert_true(run(&s, &up) > 0);
    assert_int_equal(held(&s, 2), 0);
    assert_int_equal(control_held(s.control, 2), 0);
    for (unsigned i = 1; i <= 16; i++)
        assert_int_equal(control_shard(s.control, i)->voter_count, 3);
    assert_int_equal(scene_state(&s, 2, CONTROL_SERVING), 0);
    run(&s, &up);
    assert_true(held(&s, 2) >= 11);
    assert_true(firsts(&s, 2) >= 3);
    assert_int_equal(control_shard_count(s.control), 16);
    control_free(&s.control);
}

static void of_three_nodes_one_may_drain_and_two_are_left(void **state)
{
    struct scene s;
    struct control_up up;
    struct control_step step;
    struct errmsg why;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    for (unsigned i = 1; i <= 3; i++)
        join(&s, i, "");
    up = all_up(&s);
    run(&s, &up);
    assert_int_equal(control_may_drain(s.control, &up, 3, &why), 0);
    assert_int_equal(scene_state(&s, 3, CONTROL_DRAINING), 0);
    up.count = 1; /* with one of three alive nothing can go on: it is said why */
    assert_false(control_plan(s.control, &up, &step, &why));
    assert_non_null(strstr(why.text, "only 1 of its 3 voters live"));
    assert_int_equal(control_may_remove(s.control, &up, 3, true, &why), ERR_BUSY);
    up.count = 3;
    run(&s, &up);
    assert_int_equal(held(&s, 3), 0);
    assert_int_equal(control_may_remove(s.control, &up, 3, false, &why), 0);
    assert_int_equal(scene_state(&s, 3, CONTROL_GONE), 0);
    assert_int_equal(control_shard_count(s.control), 12);
    /* of the two that are left none may drain while the other is down */
    up.count = 1;
    assert_int_equal(control_may_drain(s.control, &up, 1, &why), ERR_BUSY);
    control_free(&s.control);
}

static void so_many_move_at_one_time(void **state)
{
    struct scene s;
    struct control_up up;
    struct control_step step;
    unsigned moves = 0;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    for (unsigned i = 1; i <= 4; i++)
        join(&s, i, "");
    up = all_up(&s);
    run(&s, &up);
    assert_int_equal(scene_state(&s, 1, CONTROL_DRAINING), 0);
    while (control_plan(s.control, &up, &step, NULL)) { /* nothing of it comes in force */
        assert_int_equal(step.kind, CONTROL_PLACE);
        scene_place(&s, step.shard, step.version, step.voters, step.voter_count);
        moves += control_moves(control_shard(s.control, step.shard));
    }
    assert_int_equal(firsts(&s, 1), 0); /* leaderships need no replica and do not wait */
    assert_int_equal(moves, CONTROL_MOVES_MAX);
    control_free(&s.control);
}

static void who_was_to_come_and_died_is_replaced(void **state)
{
    struct scene s;
    struct control_up up;
    struct control_step step;
    struct errmsg why;
    uint64_t three[] = { 1, 2, 3 }, to[] = { 1, 2, 4 };

    (void)state;
    scene_open(&s);
    scene_born(&s);
    for (unsigned i = 1; i <= 5; i++) {
        join(&s, i, "");
        scene_state(&s, i, CONTROL_SERVING);
    }
    for (unsigned i = 1; i <= 20; i++)
        scene_create(&s, three, 3);
    scene_place(&s, 1, 1, to, 3);
    up = (struct control_up){ .count = 4, .nodes = { 1, 2, 3, 5 } };
    assert_true(control_plan(s.control, &up, &step, &why));
    assert_int_equal(step.shard, 1);
    assert_int_equal(step.voters[2], 5);
    control_free(&s.control);
}

/* The only shard, of so many voters as are usual, on its way to others. */
static const struct control_shard *set_out(struct scene *s, unsigned nodes, uint32_t replicas,
                                           uint64_t *settled, uint64_t *wanted,
                                           unsigned wanted_count)
{
    const struct control_shard *shard;

    scene_open(s);
    scene_born_with(s, 1, replicas);
    for (unsigned i = 1; i <= nodes; i++) {
        join(s, i, "");
        scene_state(s, i, CONTROL_SERVING);
    }
    assert_int_equal(scene_create(s, settled, replicas), 0);
    shard = control_shard(s->control, 1);
    assert_int_equal(scene_place(s, 1, shard->version, wanted, wanted_count), 0);
    return shard;
}

static void take_planned(struct scene *s, const struct control_up *up)
{
    struct control_step step;
    struct errmsg why;

    assert_true(control_plan(s->control, up, &step, &why));
    assert_int_equal(step.kind, CONTROL_PLACE);
    assert_int_equal(step.shard, 1);
    assert_int_equal(scene_place(s, 1, step.version, step.voters, step.voter_count), 0);
}

/* The old voter drains, the new one died, and there is no other: the two that are left, and the lost one can be removed. */
static void who_died_on_the_way_and_has_no_other_is_done_without(void **state)
{
    uint64_t settled[] = { 1, 2, 3 }, wanted[] = { 4, 2, 1 };
    struct control_up up = { 3, { 1, 2, 3 } }, all = { 4, { 1, 2, 3, 4 } };
    const struct control_shard *shard;
    struct errmsg why;
    struct scene s;

    (void)state;
    shard = set_out(&s, 4, 3, settled, wanted, 3);
    assert_int_equal(scene_state(&s, 3, CONTROL_DRAINING), 0);
    assert_int_equal(control_may_remove(s.control, &up, 4, true, &why), ERR_BUSY);
    take_planned(&s, &up);
    assert_int_equal(shard->voter_count, 2);
    assert_int_equal(shard->voters[0], 2); /* votes now */
    assert_int_equal(shard->voters[1], 1);
    assert_int_equal(scene_placed(&s, 1, shard->version), 0);
    assert_int_equal(control_may_remove(s.control, &up, 4, true, &why), 0);
    take_planned(&s, &all); /* he came back: again */
    assert_int_equal(shard->voter_count, 3);
    assert_int_equal(shard->voters[2], 4);
    control_free(&s.control);
}

/* Several died, and one by one they would be no quorum; all who are wanted but them are one. */
static void who_died_together_are_done_without_together(void **state)
{
    uint64_t settled[] = { 1, 2, 3 }, wanted[] = { 1, 2, 4, 5, 6 };
    struct control_up up = { 3, { 1, 2, 3 } };
    const struct control_shard *shard;
    struct scene s;

    (void)state;
    shard = set_out(&s, 6, 3, settled, wanted, 5);
    assert_int_equal(scene_state(&s, 3, CONTROL_DRAINING), 0);
    take_planned(&s, &up);
    assert_int_equal(shard->voter_count, 2);
    assert_int_equal(shard->voters[0], 1);
    assert_int_equal(shard->voters[1], 2);
    control_free(&s.control);
}

/* A commit would be on one disk where it was on two: the shard waits, it is said for what, and what the operator can do helps. */
static void nobody_is_done_without_at_the_price_of_a_copy(void **state)
{
    uint64_t settled[] = { 1, 3 }, wanted[] = { 1, 4 };
    struct control_up up = { 2, { 1, 3 } };
    const struct control_shard *shard;
    struct control_step step;
    struct errmsg why;
    struct scene s;

    (void)state;
    shard = set_out(&s, 4, 2, settled, wanted, 2);
    assert_int_equal(scene_state(&s, 3, CONTROL_DRAINING), 0);
    assert_false(control_plan(s.control, &up, &step, &why));
    assert_non_null(strstr(why.text, "shard 1: node 4, which is to hold it, is down, and no other "
                                     "node that serves and is up can take it"));
    assert_int_equal(scene_state(&s, 3, CONTROL_SERVING), 0);
    take_planned(&s, &up);
    assert_int_equal(shard->voter_count, 2);
    assert_int_equal(shard->voters[1], 3);
    control_free(&s.control);
}

/* Of the two voters in force one is lost, but the third one that came on the way votes with the other: that may be a quorum. */
static void who_came_on_the_way_may_make_the_quorum(void **state)
{
    uint64_t settled[] = { 8, 7 }, between[] = { 2, 7 }, back[] = { 7, 8 };
    struct control_up up = { 8, { 1, 2, 3, 4, 5, 6, 7, 9 } };
    const struct control_shard *shard;
    struct scene s;

    (void)state;
    shard = set_out(&s, 9, 2, settled, between, 2);
    assert_int_equal(scene_place(&s, 1, shard->version, back, 2), 0);
    take_planned(&s, &up);
    for (unsigned i = 0; i < shard->voter_count; i++)
        assert_int_not_equal(shard->voters[i], 8);
    assert_int_equal(scene_placed(&s, 1, shard->version), 0);
    assert_false(control_holds(shard, 8)); /* and he can be removed */
    control_free(&s.control);
}

/* Nobody else can vote: with the quorum the shard waits for its voters, and nothing is moved for nothing. */
static void a_shard_without_a_quorum_waits_for_its_voters(void **state)
{
    uint64_t settled[] = { 1, 2, 3 }, wanted[] = { 1, 2, 4 };
    struct control_up up = { 4, { 3, 4, 5, 6 } };
    const struct control_shard *shard;
    struct control_step step;
    struct errmsg why;
    struct scene s;

    (void)state;
    shard = set_out(&s, 6, 3, settled, wanted, 3);
    assert_true(control_plan(s.control, &up, &step, &why));
    assert_int_equal(step.kind, CONTROL_CREATE);
    assert_non_null(strstr(why.text, "shard 1: only 1 of its 3 voters live"));
    assert_int_equal(shard->version, 2);
    control_free(&s.control);
}

static void what_may_not_be_is_refused_in_words(void **state)
{
    struct scene s;
    struct control_up up;
    struct control_step step;
    struct errmsg why;
    uint64_t list[] = { 1, 3, 9 };

    (void)state;
    scene_open(&s);
    scene_born(&s);
    for (unsigned i = 1; i <= 3; i++)
        join(&s, i, "");
    up = all_up(&s);
    run(&s, &up);
    assert_int_equal(control_may_cordon(s.control, 9, &why), ERR_NOT_FOUND);
    assert_int_equal(control_may_uncordon(s.control, 1, &why), ERR_EXISTS);
    assert_int_equal(control_may_remove(s.control, &up, 1, false, &why), ERR_BUSY);
    assert_int_equal(control_may_remove(s.control, &up, 1, true, &why), ERR_BUSY); /* it lives */
    assert_int_equal(control_may_close(s.control, 99, &why), ERR_NOT_FOUND);
    assert_int_equal(control_may_close(s.control, 1, &why), 0);
    assert_int_equal(control_may_place(s.control, &up, 1, list, 3, &why), ERR_NOT_FOUND);
    assert_string_equal(why.text, "there is no node 9");
    assert_int_equal(control_may_place(s.control, &up, 1, (uint64_t[]){ 1, 1 }, 2, &why), ERR_RANGE);
    assert_int_equal(control_may_place(s.control, &up, 1, list, 2, &why), 0);
    assert_int_equal(control_may_promote(s.control, &up, 2, &why), 0);
    assert_int_equal(control_may_create(s.control, &up, 7, 0, &step, &why), ERR_NOT_FOUND);
    assert_int_equal(control_may_create(s.control, &up, 2, 0, &step, &why), 0);
    assert_int_equal(step.voters[0], 2);
    up = (struct control_up){ .count = 2, .nodes = { 1, 2 } };
    assert_int_equal(control_may_drain(s.control, &up, 2, &why), ERR_BUSY);
    assert_non_null(strstr(why.text, "would lose its quorum"));
    assert_int_equal(control_may_place(s.control, &up, 1, list, 2, &why), ERR_BUSY);
    assert_int_equal(control_may_remove(s.control, &up, 3, true, &why), 0);
    assert_int_equal(control_may_create(s.control, &up, 3, 0, &step, &why), ERR_BUSY);
    assert_int_equal(control_may_promote(s.control, &up, 3, &why), ERR_BUSY);
    control_free(&s.control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_grows_node_by_node),
        cmocka_unit_test(voters_stand_in_different_zones),
        cmocka_unit_test(spread_over_zones_a_shard_stays_in_its_region),
        cmocka_unit_test(spread_over_regions_a_shard_is_in_all_of_them),
        cmocka_unit_test(over_regions_a_quorum_is_of_two),
        cmocka_unit_test(who_is_wanted_and_no_quorum_any_more_is_replaced),
        cmocka_unit_test(more_than_one_may_be_replaced_on_the_way),
        cmocka_unit_test(who_may_have_gone_meanwhile_is_replaced),
        cmocka_unit_test(a_shard_of_its_own_may_be_spread_otherwise),
        cmocka_unit_test(a_region_is_drained_as_a_whole),
        cmocka_unit_test(who_is_down_or_drains_gets_nothing_new),
        cmocka_unit_test(a_node_that_drains_gives_all_away_and_comes_back),
        cmocka_unit_test(of_three_nodes_one_may_drain_and_two_are_left),
        cmocka_unit_test(so_many_move_at_one_time),
        cmocka_unit_test(who_was_to_come_and_died_is_replaced),
        cmocka_unit_test(who_died_on_the_way_and_has_no_other_is_done_without),
        cmocka_unit_test(who_died_together_are_done_without_together),
        cmocka_unit_test(nobody_is_done_without_at_the_price_of_a_copy),
        cmocka_unit_test(who_came_on_the_way_may_make_the_quorum),
        cmocka_unit_test(a_shard_without_a_quorum_waits_for_its_voters),
        cmocka_unit_test(what_may_not_be_is_refused_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
