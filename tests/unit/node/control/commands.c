/* commands - what each command changes, and what it refuses. */
#include "tests/unit/node/control/scene.h"

static void nothing_is_before_the_cluster_is_born(void **state)
{
    struct scene s;
    struct scene_node n;
    uint64_t voters[] = { 1 };

    (void)state;
    scene_open(&s);
    assert_int_equal(scene_token(&s, "t", 5000), ERR_DENIED);
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 2, 2, "", "")), ERR_DENIED);
    assert_int_equal(scene_create(&s, voters, 1), ERR_DENIED);
    assert_false(control_is_born(s.control));
    assert_int_equal(scene_born(&s), 0);
    assert_true(control_is_born(s.control));
    assert_memory_equal(control_cluster(s.control), "0123456789abcdef", 16);
    assert_int_equal(scene_born(&s), ERR_EXISTS);
    control_free(&s.control);
}

static void a_token_admits_one_node_before_its_end(void **state)
{
    struct scene s;
    struct scene_node n;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    /* nobody comes before the first one, whatever he knows: he would be told of no voter */
    assert_int_equal(scene_join(&s, "guess", scene_node(&n, 2, 2, "", "")), ERR_AGAIN);
    scene_nodes(&s, 1);
    assert_int_equal(scene_join(&s, "", scene_node(&n, 2, 2, "", "")), ERR_DENIED);
    assert_int_equal(scene_join(&s, "guess", scene_node(&n, 2, 2, "", "")), ERR_DENIED);
    assert_int_equal(scene_token(&s, "t", 999), ERR_RANGE);
    assert_int_equal(scene_token(&s, "t", 2000), 0);
    assert_int_equal(scene_token(&s, "t", 3000), ERR_EXISTS);
    s.now_ms = 2000;
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 2, 2, "", "")), ERR_DENIED);
    s.now_ms = 1999;
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 2, 2, "", "")), 0);
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 3, 3, "", "")), ERR_DENIED);
    /* who did not hear the answer asks again */
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 2, 2, "", "")), 0);
    assert_int_equal(control_node_count(s.control), 2);
    control_free(&s.control);
}

static void an_empty_disk_is_a_new_node(void **state)
{
    struct scene s;
    struct scene_node n;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 2);
    assert_int_equal(scene_token(&s, "t", 5000), 0);
    /* the number with another disk; the disk with another number; an address that is taken */
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 2, 7, "", "")), ERR_EXISTS);
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 7, 2, "", "")), ERR_EXISTS);
    scene_node(&n, 7, 7, "", "");
    n.node.address = proto_bytes(SPAN_LIT("10.0.0.2:2600"));
    assert_int_equal(scene_join(&s, "t", &n.node), ERR_EXISTS);
    /* none of them took the token */
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 7, 7, "", "")), 0);
    /* gone is for ever: neither number nor disk comes back */
    assert_int_equal(scene_state(&s, 7, CONTROL_GONE), 0);
    assert_int_equal(scene_state(&s, 7, CONTROL_SERVING), ERR_DENIED);
    assert_int_equal(scene_token(&s, "u", 5000), 0);
    assert_int_equal(scene_join(&s, "u", scene_node(&n, 7, 7, "", "")), ERR_EXISTS);
    assert_int_equal(scene_join(&s, "u", scene_node(&n, 8, 7, "", "")), ERR_EXISTS);
    control_free(&s.control);
}

static void shards_are_numbered_and_placed_on_nodes_that_are_there(void **state)
{
    struct scene s;
    uint64_t three[] = { 2, 3, 1 }, twice[] = { 1, 1 }, none[] = { 9 }, two[] = { 1, 3 };

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 3);
    assert_int_equal(scene_create(&s, three, 3), 0);
    assert_int_equal(s.answer.shard, 1);
    assert_int_equal(scene_create(&s, twice, 2), ERR_RANGE);
    assert_int_equal(scene_create(&s, none, 1), ERR_NOT_FOUND);
    assert_int_equal(scene_create(&s, none, 0), ERR_RANGE);
    assert_int_equal(scene_create(&s, two, 2), 0);
    assert_int_equal(s.answer.shard, 2);
    assert_int_equal(scene_place(&s, 3, 1, two, 2), ERR_NOT_FOUND);
    assert_int_equal(scene_place(&s, 1, 2, two, 2), ERR_SUPERSEDED);
    assert_int_equal(scene_place(&s, 1, 1, two, 2), 0);
    assert_int_equal(scene_place(&s, 1, 1, three, 3), ERR_SUPERSEDED);
    assert_int_equal(control_shard(s.control, 1)->version, 2);
    assert_int_equal(control_shard(s.control, 1)->voter_count, 2);
    assert_int_equal(control_shard(s.control, 1)->founder_count, 3);
    assert_int_equal(control_shard(s.control, 1)->founders[0], 2);
    /* a node that holds a shard does not go */
    assert_int_equal(scene_state(&s, 3, CONTROL_GONE), ERR_BUSY);
    /* 2 may have a vote in shard 1 until the placement without it is in force */
    assert_int_equal(scene_state(&s, 2, CONTROL_GONE), ERR_BUSY);
    assert_int_equal(scene_placed(&s, 1, 1), ERR_SUPERSEDED);
    assert_true(control_moves(control_shard(s.control, 1)));
    assert_int_equal(scene_placed(&s, 1, 2), 0);
    assert_false(control_moves(control_shard(s.control, 1)));
    assert_int_equal(scene_state(&s, 2, CONTROL_GONE), 0);
    assert_int_equal(scene_create(&s, three, 3), ERR_NOT_FOUND);
    control_free(&s.control);
}

static void who_may_have_a_vote_holds_it_until_the_placement_without_him_is_in_force(void **state)
{
    struct scene s;
    uint64_t a[] = { 1, 2, 3 }, b[] = { 1, 2, 4 }, d[] = { 1, 2, 5 };

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 5);
    scene_create(&s, a, 3);
    assert_int_equal(scene_place(&s, 1, 1, b, 3), 0);
    assert_int_equal(scene_place(&s, 1, 2, d, 3), 0); /* 4 may have got its vote by now */
    for (uint64_t id = 1; id <= 5; id++)
        assert_true(control_holds(control_shard(s.control, 1), id));
    assert_int_equal(scene_placed(&s, 1, 3), 0);
    assert_false(control_holds(control_shard(s.control, 1), 3));
    assert_false(control_holds(control_shard(s.control, 1), 4));
    assert_true(control_holds(control_shard(s.control, 1), 5));
    control_free(&s.control);
}

static void who_drains_or_is_cordoned_gets_nothing_new_and_keeps_what_it_has(void **state)
{
    struct scene s;
    uint64_t a[] = { 1, 2 }, with[] = { 1, 2, 3 }, turned[] = { 2, 1 };

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 3);
    scene_create(&s, a, 2);
    assert_int_equal(scene_state(&s, 3, CONTROL_CORDONED), 0);
    assert_int_equal(scene_state(&s, 2, CONTROL_DRAINING), 0);
    assert_int_equal(scene_place(&s, 1, 1, with, 3), ERR_DENIED);
    assert_int_equal(scene_create(&s, a, 2), ERR_DENIED);
    assert_int_equal(scene_place(&s, 1, 1, turned, 2), 0);
    assert_int_equal(scene_state(&s, 3, CONTROL_SERVING), 0);
    assert_int_equal(scene_place(&s, 1, 2, with, 3), 0);
    control_free(&s.control);
}

static void by_force_a_node_goes_that_holds_no_last_replica(void **state)
{
    struct scene s;
    struct scene_node n;
    uint64_t a[] = { 1, 2, 3 }, alone[] = { 3 }, b[] = { 2, 1 };

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 3);
    scene_create(&s, a, 3);
    scene_create(&s, alone, 1);
    assert_int_equal(scene_force(&s, 3), ERR_BUSY);
    assert_int_equal(scene_place(&s, 2, 1, b, 2), 0); /* but 3 alone has it now */
    assert_int_equal(scene_force(&s, 3), ERR_BUSY);
    assert_int_equal(scene_placed(&s, 2, 2), 0);
    assert_int_equal(scene_force(&s, 3), 0);
    assert_int_equal(control_shard(s.control, 1)->voter_count, 2);
    assert_int_equal(control_shard(s.control, 1)->version, 2);
    assert_int_equal(control_shard(s.control, 1)->settled_count, 2);
    scene_token(&s, "t", 5000);
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 3, 9, "", "")), ERR_EXISTS);
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 9, 3, "", "")), ERR_EXISTS);
    control_free(&s.control);
}

static void a_step_that_was_planned_for_another_state_changes_nothing(void **state)
{
    struct scene s;
    Angarium__ControlNodeState to = ANGARIUM__CONTROL_NODE_STATE__INIT;
    SCENE_COMMAND(NODE_STATE, node_state, &to);

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 1);
    assert_int_equal(scene_state(&s, 1, CONTROL_CORDONED), 0);
    to.id = 1;
    to.state = CONTROL_SERVING;
    to.was = CONTROL_JOINING;
    assert_int_equal(scene_apply(&s, &c), ERR_SUPERSEDED);
    assert_int_equal(control_node(s.control, 1)->state, CONTROL_CORDONED);
    control_free(&s.control);
}

static void a_shard_closes_and_its_number_stays_taken(void **state)
{
    struct scene s;
    uint64_t a[] = { 1, 2 };

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 2);
    scene_create(&s, a, 2);
    assert_int_equal(scene_shard_state(&s, 1, CONTROL_CLOSING), ERR_BUSY); /* the only one */
    assert_int_equal(scene_shard_state(&s, 2, CONTROL_CLOSING), ERR_NOT_FOUND);
    scene_create(&s, a, 2);
    assert_int_equal(scene_shard_state(&s, 1, CONTROL_CLOSED), ERR_DENIED);
    assert_int_equal(scene_shard_state(&s, 1, CONTROL_CLOSING), 0);
    assert_int_equal(scene_shard_state(&s, 1, CONTROL_CLOSING), 0);
    assert_int_equal(scene_shard_state(&s, 1, CONTROL_OPEN), ERR_DENIED);
    assert_int_equal(scene_shard_state(&s, 2, CONTROL_CLOSING), ERR_BUSY);
    assert_int_equal(scene_shard_state(&s, 1, CONTROL_CLOSED), 0);
    assert_int_equal(control_shard(s.control, 1)->voter_count, 0);
    assert_false(control_holds(control_shard(s.control, 1), 1));
    assert_int_equal(scene_shard_state(&s, 1, CONTROL_CLOSING), ERR_NOT_FOUND);
    assert_int_equal(scene_place(&s, 1, 3, a, 2), ERR_NOT_FOUND);
    scene_create(&s, a, 2);
    assert_int_equal(s.answer.shard, 3);
    control_free(&s.control);
}

static void five_are_promoted_at_most(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 7);
    for (uint64_t id = 1; id <= CONTROL_PROMOTED_MAX; id++)
        assert_int_equal(scene_promote(&s, id, true), 0);
    assert_int_equal(scene_promote(&s, 6, true), ERR_FULL);
    assert_int_equal(scene_state(&s, 5, CONTROL_DRAINING), 0); /* it is promoted no more */
    assert_int_equal(scene_promote(&s, 5, true), ERR_DENIED);
    assert_int_equal(scene_promote(&s, 6, true), 0);
    assert_int_equal(scene_promote(&s, 1, false), 0);
    assert_int_equal(scene_promote(&s, 7, true), 0);
    assert_int_equal(scene_promote(&s, 9, true), ERR_NOT_FOUND);
    control_free(&s.control);
}

static void a_node_may_move_with_its_disk(void **state)
{
    struct scene s;
    struct scene_node n;
    Angarium__ControlMove move = ANGARIUM__CONTROL_MOVE__INIT;
    SCENE_COMMAND(MOVE, move, &move);

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 2);
    move.node = scene_node(&n, 2, 9, "", "");
    assert_int_equal(scene_apply(&s, &c), ERR_DENIED);
    move.node = scene_node(&n, 5, 2, "", "");
    assert_int_equal(scene_apply(&s, &c), ERR_NOT_FOUND);
    move.node = scene_node(&n, 2, 2, "z9", "r9");
    n.node.address = proto_bytes(SPAN_LIT("10.0.0.1:2600"));
    assert_int_equal(scene_apply(&s, &c), ERR_EXISTS);
    n.node.address = proto_bytes(SPAN_LIT("10.0.0.77:2600"));
    assert_int_equal(scene_apply(&s, &c), 0);
    assert_string_equal(control_node(s.control, 2)->address, "10.0.0.77:2600");
    assert_string_equal(control_node(s.control, 2)->zone, "z9");
    control_free(&s.control);
}

static void zones_are_numbered_by_who_named_them_first(void **state)
{
    struct scene s;
    struct scene_node n;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_join(&s, "", scene_node(&n, 10, 10, "a", "eu"));
    scene_token(&s, "t", 5000);
    scene_join(&s, "t", scene_node(&n, 11, 11, "a", "us"));
    scene_token(&s, "t", 5000);
    scene_join(&s, "t", scene_node(&n, 12, 12, "a", "eu"));
    scene_token(&s, "t", 5000);
    scene_join(&s, "t", scene_node(&n, 13, 13, "", ""));
    assert_int_equal(control_zone_number(s.control, 10), 1);
    assert_int_equal(control_zone_number(s.control, 11), 2); /* a zone of another region */
    assert_int_equal(control_zone_number(s.control, 12), 1);
    assert_int_equal(control_zone_number(s.control, 13), 0);
    assert_int_equal(control_region_number(s.control, 11), 2);
    assert_int_equal(control_region_number(s.control, 12), 1);
    control_free(&s.control);
}

static void bounds_are_answered(void **state)
{
    struct scene s;
    struct scene_node n;
    uint64_t voters[] = { 1 };
    char token[16];

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, CONTROL_NODES_MAX);
    assert_int_equal(scene_token(&s, "last", 5000), 0);
    assert_int_equal(scene_join(&s, "last", scene_node(&n, 900, 900, "", "")), ERR_FULL);
    for (unsigned i = 1; i < CONTROL_TOKENS_MAX; i++) {
        snprintf(token, sizeof token, "k%u", i);
        assert_int_equal(scene_token(&s, token, 5000), 0);
    }
    assert_int_equal(scene_token(&s, "more", 9000), ERR_FULL);
    s.now_ms = 5000; /* those that are over make room */
    assert_int_equal(scene_token(&s, "more", 9000), 0);
    for (unsigned i = 0; i < CONTROL_SHARDS_MAX; i++) {
        Angarium__ControlCreate create = ANGARIUM__CONTROL_CREATE__INIT;
        SCENE_COMMAND(CREATE, create, &create);
        struct buf head;

        create.voters = voters;
        create.n_voters = 1;
        buf_init(&head, 1024);
        assert_int_equal(control_pack(&c, &head), 0);
        control_apply(s.control, ++s.index, buf_span(&head), &s.answer);
        buf_deinit(&head);
        assert_int_equal(s.answer.error, 0);
    }
    assert_int_equal(scene_create(&s, voters, 1), ERR_FULL);
    control_free(&s.control);
}

static void words_that_cannot_be_are_not_packed(void **state)
{
    struct scene_node n;
    struct buf head;
    Angarium__ControlJoin join = ANGARIUM__CONTROL_JOIN__INIT;
    Angarium__ControlCommand *back = NULL;
    SCENE_COMMAND(JOIN, join, &join);

    (void)state;
    buf_init(&head, 4096);
    join.node = scene_node(&n, 1, 1, "", "");
    n.node.address = proto_bytes(SPAN_LIT("10.0.0.1:2600\nevil"));
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    scene_node(&n, 0, 1, "", "");
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    scene_node(&n, 1, 1, "a zone", "");
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    join.node = NULL;
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    c.kind_case = ANGARIUM__CONTROL_COMMAND__KIND__NOT_SET;
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    assert_int_equal(control_unpack(SPAN_LIT("\xff\xff"), &back), ERR_CORRUPT);
    assert_null(back);
    buf_deinit(&head);
}

static int put_format(struct scene *s, uint32_t format, uint32_t was)
{
    Angarium__ControlFormat f = ANGARIUM__CONTROL_FORMAT__INIT;
    SCENE_COMMAND(FORMAT, format, &f);

    f.format = format;
    f.was = was;
    return scene_apply(s, &c);
}

static void the_format_in_force_never_goes_back(void **state)
{
    Angarium__ControlFormat f = ANGARIUM__CONTROL_FORMAT__INIT;
    SCENE_COMMAND(FORMAT, format, &f);
    Angarium__ControlCommand *back;
    struct scene s;
    struct buf head;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    assert_int_equal(control_format(s.control), PROTO_FORMAT_MIN);
    assert_int_equal(put_format(&s, PROTO_FORMAT_MIN, PROTO_FORMAT_MIN), ERR_EXISTS);
    assert_int_equal(put_format(&s, PROTO_FORMAT_VERSION, PROTO_FORMAT_MIN + 9), ERR_SUPERSEDED);
    if (PROTO_FORMAT_VERSION > PROTO_FORMAT_MIN) { /* not in the build that tests upgrade from */
        assert_int_equal(put_format(&s, PROTO_FORMAT_VERSION, PROTO_FORMAT_MIN), 0);
        assert_int_equal(put_format(&s, PROTO_FORMAT_MIN, PROTO_FORMAT_VERSION), ERR_EXISTS);
        assert_int_equal(control_format(s.control), PROTO_FORMAT_VERSION);
    }
    buf_init(&head, 4096);
    f.format = PROTO_FORMAT_VERSION + 1;
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT); /* nobody here could read it */
    f.format = PROTO_FORMAT_VERSION;
    c.written_as = PROTO_FORMAT_VERSION + 1;
    proto_pack(&c.base, &head);
    assert_int_equal(control_unpack(buf_span(&head), &back), ERR_VERSION);
    assert_null(back);
    buf_deinit(&head);
    control_free(&s.control);
}

/* Written only when everybody can read it; read whatever is in force. */
static void what_a_format_added_waits_for_it(void **state)
{
    Angarium__ControlRegionDrain drain = ANGARIUM__CONTROL_REGION_DRAIN__INIT;
    SCENE_COMMAND(REGION_DRAIN, region_drain, &drain);
    Angarium__ControlCommand *back;
    struct buf head;

    (void)state;
    drain.region = proto_bytes(span_cstr("r1"));
    buf_init(&head, 4096);
    proto_format_set(PROTO_ADDED_REGION_DRAIN - 1);
    assert_int_equal(control_pack(&c, &head), ERR_VERSION);
    assert_int_equal(head.n, 0);
    proto_format_set(PROTO_FORMAT_VERSION);
    assert_int_equal(control_pack(&c, &head), 0);
    proto_format_set(PROTO_FORMAT_MIN);
    assert_int_equal(control_unpack(buf_span(&head), &back), 0);
    proto_format_set(PROTO_FORMAT_VERSION);
    assert_int_equal(back->written_as, PROTO_FORMAT_VERSION);
    control_command_free(&back);
    buf_deinit(&head);
}

struct recovered {
    uint32_t shard;
    uint64_t voter; /* 0: none */
};

static int recover(struct scene *s, uint64_t *lost, size_t lost_count, struct recovered *shards,
                   size_t count)
{
    Angarium__ControlPlace places[4], *list[4];
    Angarium__ControlRecover r = ANGARIUM__CONTROL_RECOVER__INIT;
    SCENE_COMMAND(RECOVER, recover, &r);

    for (size_t i = 0; i < count; i++) {
        angarium__control_place__init(&places[i]);
        places[i].shard = shards[i].shard;
        places[i].voters = &shards[i].voter;
        places[i].n_voters = shards[i].voter != 0;
        list[i] = &places[i];
    }
    r.shards = list;
    r.n_shards = count;
    r.lost = lost;
    r.n_lost = lost_count;
    return scene_apply(s, &c);
}

static void recover_drops_who_is_lost_from_everything(void **state)
{
    struct recovered part[] = { { 1, 1 } }, bad[] = { { 1, 2 }, { 2, 0 } },
                     none[] = { { 9, 1 }, { 2, 0 } }, all[] = { { 1, 1 }, { 2, 0 } };
    uint64_t a[] = { 1, 2, 3 }, b[] = { 2, 3 }, only[] = { 1 }, lost[] = { 2, 3 }, nobody[] = { 9 };
    struct scene_node n;
    struct scene s;

    (void)state;
    scene_open(&s);
    scene_born(&s);
    scene_nodes(&s, 3);
    scene_create(&s, a, 3);
    scene_create(&s, b, 2);
    scene_create(&s, only, 1);
    assert_int_equal(recover(&s, nobody, 1, all, 2), ERR_NOT_FOUND);
    assert_int_equal(recover(&s, lost, 2, none, 2), ERR_NOT_FOUND);
    assert_int_equal(recover(&s, lost, 2, bad, 2), ERR_RANGE);  /* a voter that is lost */
    assert_int_equal(recover(&s, lost, 2, part, 1), ERR_BUSY); /* shard 2 would be held by who is gone */
    assert_int_not_equal(control_node(s.control, 2)->state, CONTROL_GONE);
    assert_int_equal(recover(&s, lost, 2, all, 2), 0);
    assert_int_equal(control_node(s.control, 2)->state, CONTROL_GONE);
    assert_int_equal(control_node(s.control, 3)->state, CONTROL_GONE);
    assert_int_equal(control_shard(s.control, 1)->voter_count, 1);
    assert_int_equal(control_shard(s.control, 1)->in_force, control_shard(s.control, 1)->version);
    assert_int_equal(control_shard(s.control, 2)->state, CONTROL_CLOSED);
    assert_int_equal(control_shard(s.control, 3)->version, 1);
    scene_token(&s, "t", 5000);
    assert_int_equal(scene_join(&s, "t", scene_node(&n, 3, 9, "", "")), ERR_EXISTS);
    control_free(&s.control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recover_drops_who_is_lost_from_everything),
        cmocka_unit_test(nothing_is_before_the_cluster_is_born),
        cmocka_unit_test(a_token_admits_one_node_before_its_end),
        cmocka_unit_test(an_empty_disk_is_a_new_node),
        cmocka_unit_test(shards_are_numbered_and_placed_on_nodes_that_are_there),
        cmocka_unit_test(who_may_have_a_vote_holds_it_until_the_placement_without_him_is_in_force),
        cmocka_unit_test(who_drains_or_is_cordoned_gets_nothing_new_and_keeps_what_it_has),
        cmocka_unit_test(by_force_a_node_goes_that_holds_no_last_replica),
        cmocka_unit_test(a_step_that_was_planned_for_another_state_changes_nothing),
        cmocka_unit_test(a_shard_closes_and_its_number_stays_taken),
        cmocka_unit_test(five_are_promoted_at_most),
        cmocka_unit_test(a_node_may_move_with_its_disk),
        cmocka_unit_test(zones_are_numbered_by_who_named_them_first),
        cmocka_unit_test(the_format_in_force_never_goes_back),
        cmocka_unit_test(what_a_format_added_waits_for_it),
        cmocka_unit_test(bounds_are_answered),
        cmocka_unit_test(words_that_cannot_be_are_not_packed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
