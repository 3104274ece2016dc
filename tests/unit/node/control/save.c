/* save - what is saved and loaded goes on as if nothing had been; what is damaged changes nothing. */
#include "tests/unit/node/control/scene.h"

static void fill(struct scene *s)
{
    uint64_t a[] = { 1, 2, 3 }, b[] = { 3, 1 };
    struct scene_record r;

    scene_open(s);
    scene_born(s);
    scene_nodes(s, 3);
    scene_token(s, "left", 9000);
    scene_create(s, a, 3);
    scene_create(s, b, 2);
    scene_place(s, 2, 1, a, 3);
    scene_create(s, a, 3);
    scene_shard_state(s, 3, CONTROL_CLOSING);
    scene_promote(s, 1, true);
    scene_state(s, 2, CONTROL_DRAINING);
    scene_import(s, &(Angarium__ControlRecord *){ scene_record(&r, CONTROL_TENANT, "t", "", "") },
                 1);
    scene_put(s, scene_record(&r, CONTROL_CREDENTIAL, "bee", "t", "hash"), 0, 0);
    scene_put(s, scene_record(&r, CONTROL_CREDENTIAL, "ant", "t", "other"), 0, 0);
    scene_put(s, scene_record(&r, CONTROL_ROUTE, "*", "", "mx"), 0, 0);
    scene_drop(s, CONTROL_ROUTE, "*", 0);
}

static void copy(struct scene *to, const struct scene *from)
{
    struct buf saved;

    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    assert_int_equal(control_save(from->control, &saved), 0);
    *to = *from;
    to->control = control_new();
    assert_int_equal(control_load(to->control, buf_span(&saved)), 0);
    buf_deinit(&saved);
}

static void a_loaded_state_goes_on_like_the_one_that_was_saved(void **state)
{
    struct scene s, t;
    struct scene_node n;
    uint64_t voters[] = { 1 };

    (void)state;
    fill(&s);
    copy(&t, &s);
    assert_int_equal(control_digest(s.control), control_digest(t.control));
    assert_int_equal(control_applied(t.control), s.index);
    assert_int_equal(control_node(t.control, 2)->state, CONTROL_DRAINING);
    assert_string_equal(control_node(t.control, 3)->zone, "z3");
    assert_int_equal(control_shard(t.control, 2)->founder_count, 2);
    assert_int_equal(control_shard(t.control, 2)->voter_count, 3);
    assert_int_equal(control_shard(t.control, 2)->version, 2);
    assert_true(control_is_configured(t.control));
    assert_int_equal(control_record_count(t.control, CONTROL_CREDENTIAL), 2);
    assert_true(span_eq(
        control_field(control_record(t.control, CONTROL_CREDENTIAL, SPAN_LIT("ant")), "value"),
        SPAN_LIT("other")));
    assert_int_equal(control_record(t.control, CONTROL_CREDENTIAL, SPAN_LIT("bee"))->version,
                     control_record(s.control, CONTROL_CREDENTIAL, SPAN_LIT("bee"))->version);
    assert_int_equal(control_shard(t.control, 2)->in_force, 1);
    assert_int_equal(control_shard(t.control, 2)->settled_count, 2);
    assert_int_equal(control_shard(t.control, 2)->holder_count, 3);
    assert_int_equal(control_shard(t.control, 3)->state, CONTROL_CLOSING);
    assert_true(control_node(t.control, 1)->promoted);
    /* the token that was left is there, those that were used are not */
    for (struct scene *one = &s; one; one = one == &s ? &t : NULL) {
        assert_int_equal(scene_join(one, "t2", scene_node(&n, 8, 8, "", "")), ERR_DENIED);
        assert_int_equal(scene_join(one, "left", scene_node(&n, 8, 8, "", "")), 0);
        assert_int_equal(scene_create(one, voters, 1), 0);
    }
    assert_int_equal(control_digest(s.control), control_digest(t.control));
    control_free(&s.control);
    control_free(&t.control);
}

/* As written before shards had states. */
static void an_older_state_is_open_and_in_force(void **state)
{
    Angarium__ControlState *old;
    struct scene s;
    struct control *c = control_new();
    struct buf saved;

    (void)state;
    fill(&s);
    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    assert_int_equal(control_save(s.control, &saved), 0);
    old = angarium__control_state__unpack(NULL, saved.n, saved.p);
    for (size_t i = 0; i < old->n_shards; i++) {
        old->shards[i]->state = old->shards[i]->in_force = old->shards[i]->settled = 0;
        old->shards[i]->n_holders = 0;
    }
    buf_reset(&saved);
    proto_pack(&old->base, &saved);
    assert_int_equal(control_load(c, buf_span(&saved)), 0);
    assert_int_equal(control_shard(c, 2)->state, CONTROL_OPEN);
    assert_false(control_moves(control_shard(c, 2)));
    assert_true(control_holds(control_shard(c, 2), 2));
    angarium__control_state__free_unpacked(old, NULL);
    buf_deinit(&saved);
    control_free(&c);
    control_free(&s.control);
}

static void answers_are_part_of_the_digest(void **state)
{
    struct scene s, t;
    uint64_t voters[] = { 1 };

    (void)state;
    fill(&s);
    copy(&t, &s);
    scene_create(&s, voters, 1);
    scene_token(&t, "else", 7000);
    assert_int_not_equal(control_digest(s.control), control_digest(t.control));
    control_free(&s.control);
    control_free(&t.control);
}

static void every_cut_and_every_turned_byte_is_refused_or_sound(void **state)
{
    struct scene s;
    struct buf saved;
    struct control *c = control_new();
    unsigned refused = 0;

    (void)state;
    fill(&s);
    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    assert_int_equal(control_save(s.control, &saved), 0);
    for (size_t i = 0; i < saved.n; i++) {
        struct errmsg why = { "" };
        uint64_t before = control_digest(c);

        saved.p[i] ^= 0x41;
        if (control_load(c, buf_span(&saved)) != 0) {
            refused++;
            assert_int_equal(control_digest(c), before);
        }
        assert_int_equal(control_verify(c, &why), 0);
        saved.p[i] ^= 0x41;
        control_load(c, span_of(saved.p, i));
        assert_int_equal(control_verify(c, &why), 0);
    }
    assert_true(refused > saved.n / 4);
    control_free(&c);
    control_free(&s.control);
    buf_deinit(&saved);
}

static void another_cluster_goes_on_with_what_was_decided(void **state)
{
    static const uint8_t id[CONTROL_CLUSTER_SIZE] = "another cluster";
    struct control_node only = { .id = 70, .joined_ms = 5 };
    struct errmsg why = { "" };
    struct scene s;
    unsigned shards;

    (void)state;
    fill(&s);
    shards = control_shard_count(s.control);
    snprintf(only.uuid, sizeof only.uuid, "00000000-0000-4000-8000-000000000070");
    snprintf(only.address, sizeof only.address, "10.0.0.70:2600");
    control_refound(s.control, id, &only);
    assert_int_equal(control_verify(s.control, &why), 0);
    assert_memory_equal(control_cluster(s.control), id, sizeof id);
    assert_int_equal(control_node_count(s.control), 1);
    assert_int_equal(control_node(s.control, 70)->state, CONTROL_SERVING);
    assert_int_equal(control_shard_count(s.control), shards + CONTROL_SKIPPED);
    for (uint32_t i = 1; i <= shards + CONTROL_SKIPPED; i++) {
        const struct control_shard *one = control_shard(s.control, i);

        if (i > shards) assert_int_equal(one->state, CONTROL_CLOSED);
        if (one->state == CONTROL_CLOSED) continue;
        assert_int_equal(one->voter_count, 1);
        assert_int_equal(one->voters[0], 70);
        assert_false(control_moves(one));
    }
    control_free(&s.control);
}

static void a_newer_format_is_refused(void **state)
{
    Angarium__ControlState newer = ANGARIUM__CONTROL_STATE__INIT;
    struct control *c = control_new();
    struct buf saved;

    (void)state;
    newer.format = PROTO_FORMAT_VERSION + 1;
    buf_init(&saved, 1024);
    proto_pack(&newer.base, &saved);
    assert_int_equal(control_load(c, buf_span(&saved)), ERR_VERSION);
    assert_int_equal(control_load(c, SPAN_LIT("")), ERR_CORRUPT);
    buf_deinit(&saved);
    control_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_state_goes_on_like_the_one_that_was_saved),
        cmocka_unit_test(an_older_state_is_open_and_in_force),
        cmocka_unit_test(answers_are_part_of_the_digest),
        cmocka_unit_test(every_cut_and_every_turned_byte_is_refused_or_sound),
        cmocka_unit_test(another_cluster_goes_on_with_what_was_decided),
        cmocka_unit_test(a_newer_format_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
