/* records - tenants, credentials and the others: who may be put where, fences, bounds; and any sequence of them against a list
 * that is kept by hand. */
#include "proto/ground/rng.h"
#include "tests/unit/node/control/scene.h"

static void begin(struct scene *s)
{
    struct scene_record r;

    scene_open(s);
    scene_born(s);
    assert_int_equal(
        scene_import(
            s, &(Angarium__ControlRecord *){ scene_record(&r, CONTROL_TENANT, "a", "", "") }, 1),
        0);
}

static void files_count_until_the_import_and_it_is_once_and_whole(void **state)
{
    struct scene s;
    struct scene_record r[3];
    Angarium__ControlRecord *good[] = { scene_record(&r[0], CONTROL_TENANT, "a", "", ""),
                                        scene_record(&r[1], CONTROL_DOMAIN, "a.test", "a", "") },
                            *bad[] = { good[0],
                                       scene_record(&r[2], CONTROL_CREDENTIAL, "u", "b", "h") };

    (void)state;
    scene_open(&s);
    assert_int_equal(scene_import(&s, good, 2), ERR_DENIED);
    scene_born(&s);
    assert_int_equal(scene_put(&s, good[0], CONTROL_FENCE_NONE, 0), ERR_AGAIN);
    assert_int_equal(scene_import(&s, bad, 2), ERR_NOT_FOUND);
    assert_false(control_is_configured(s.control));
    assert_int_equal(control_record_count(s.control, CONTROL_TENANT), 0);
    assert_int_equal(scene_import(&s, good, 2), 0);
    assert_true(control_is_configured(s.control));
    assert_int_equal(scene_import(&s, good, 2), ERR_EXISTS);
    assert_int_equal(control_record_count(s.control, CONTROL_DOMAIN), 1);
    control_free(&s.control);
}

static void what_is_a_tenants_needs_him_and_stays_his(void **state)
{
    struct scene s;
    struct scene_record r;

    (void)state;
    begin(&s);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_CREDENTIAL, "u", "b", "h"), 0, 0),
                     ERR_NOT_FOUND);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_CREDENTIAL, "u", "a", "h"), 0, 0), 0);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_DOMAIN, "x.test", "a", ""), 0, 0), 0);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_RULE, "x", "b", "h"), 0, 0),
                     ERR_NOT_FOUND);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_RULE, "x", "", "h"), 0, 0), 0);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_TENANT, "b", "", ""), 0, 0), 0);
    /* nobody takes another's */
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_CREDENTIAL, "u", "b", "h"), 0, 0),
                     ERR_EXISTS);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_DOMAIN, "x.test", "b", ""), 0, 0),
                     ERR_EXISTS);
    assert_int_equal(scene_drop(&s, CONTROL_TENANT, "a", 0), ERR_BUSY);
    assert_int_equal(scene_drop(&s, CONTROL_DOMAIN, "x.test", 0), 0);
    assert_int_equal(scene_drop(&s, CONTROL_TENANT, "a", 0), ERR_BUSY);
    assert_int_equal(scene_drop(&s, CONTROL_CREDENTIAL, "u", 0), 0);
    assert_int_equal(scene_drop(&s, CONTROL_TENANT, "a", 0), 0);
    assert_int_equal(scene_drop(&s, CONTROL_TENANT, "a", 0), ERR_NOT_FOUND);
    control_free(&s.control);
}

static void a_fence_lets_through_who_saw_the_last_version(void **state)
{
    struct scene s;
    struct scene_record r;
    uint64_t first, second;

    (void)state;
    begin(&s);
    scene_record(&r, CONTROL_ROUTE, "*", "", "mx");
    assert_int_equal(scene_put(&s, &r.record, CONTROL_FENCE_VERSION, 1), ERR_SUPERSEDED);
    assert_int_equal(scene_put(&s, &r.record, CONTROL_FENCE_ABSENT, 0), 0);
    first = s.answer.version;
    assert_int_equal(first, s.index);
    assert_int_equal(scene_put(&s, &r.record, CONTROL_FENCE_ABSENT, 0), ERR_EXISTS);
    assert_int_equal(scene_put(&s, &r.record, CONTROL_FENCE_VERSION, first), 0);
    second = s.answer.version;
    assert_int_equal(scene_put(&s, &r.record, CONTROL_FENCE_VERSION, first), ERR_SUPERSEDED);
    assert_int_equal(scene_drop(&s, CONTROL_ROUTE, "*", first), ERR_SUPERSEDED);
    assert_int_equal(scene_drop(&s, CONTROL_ROUTE, "*", second), 0);
    /* a version is never used twice, also not by what comes after it was gone */
    assert_int_equal(scene_put(&s, &r.record, CONTROL_FENCE_ABSENT, 0), 0);
    assert_int_equal(scene_drop(&s, CONTROL_ROUTE, "*", second), ERR_SUPERSEDED);
    control_free(&s.control);
}

static void each_kind_has_its_bound(void **state)
{
    struct scene s;
    struct scene_record r;
    char name[32];

    (void)state;
    begin(&s);
    for (unsigned i = 0; i < CONTROL_RULES_MAX; i++) {
        snprintf(name, sizeof name, "r%u", i);
        assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_RULE, name, "", "x"), 0, 0), 0);
    }
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_RULE, "more", "", "x"), 0, 0),
                     ERR_FULL);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_RULE, "r1", "a", "y"), 0, 0), 0);
    assert_int_equal(scene_drop(&s, CONTROL_RULE, "r0", 0), 0);
    assert_int_equal(scene_put(&s, scene_record(&r, CONTROL_RULE, "more", "", "x"), 0, 0), 0);
    control_free(&s.control);
}

/* Packed and applied without a look at all invariants after each of thousands. */
static int put_fast(struct scene *s, Angarium__ControlRecord *r)
{
    Angarium__ControlPut put = ANGARIUM__CONTROL_PUT__INIT;
    SCENE_COMMAND(PUT, put, &put);
    struct buf head;

    put.record = r;
    buf_init(&head, CONTROL_COMMAND_SIZE_MAX);
    assert_int_equal(control_pack(&c, &head), 0);
    control_apply(s->control, ++s->index, buf_span(&head), &s->answer);
    buf_deinit(&head);
    return s->answer.error;
}

/* The bytes of all records are bounded, and a state at the bound is still saved and loaded. */
static void all_records_together_have_a_bound_and_are_saved_at_it(void **state)
{
    static char value[CONTROL_VALUE_SIZE_MAX + 1];
    struct control *back = control_new();
    struct scene s;
    struct scene_record r;
    struct errmsg why = { "" };
    struct buf saved;
    char name[32];
    unsigned i = 0;
    int rv = 0;

    (void)state;
    memset(value, 'v', CONTROL_VALUE_SIZE_MAX);
    begin(&s);
    for (; rv == 0; i++) {
        snprintf(name, sizeof name, "u%u", i);
        rv = put_fast(&s, scene_record(&r, CONTROL_CREDENTIAL, name, "a", value));
    }
    assert_int_equal(rv, ERR_FULL);
    assert_true(i < CONTROL_CREDENTIALS_MAX && i > 3000);
    assert_int_equal(control_verify(s.control, &why), 0);
    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    assert_int_equal(control_save(s.control, &saved), 0);
    assert_int_equal(control_load(back, buf_span(&saved)), 0);
    assert_int_equal(control_digest(back), control_digest(s.control));
    buf_deinit(&saved);
    control_free(&back);
    control_free(&s.control);
}

static void words_that_cannot_be_are_not_packed(void **state)
{
    struct scene_record r;
    struct buf head;
    Angarium__ControlPut put = ANGARIUM__CONTROL_PUT__INIT;
    SCENE_COMMAND(PUT, put, &put);

    (void)state;
    buf_init(&head, CONTROL_COMMAND_SIZE_MAX);
    put.record = scene_record(&r, CONTROL_CREDENTIAL, "u", "a", "h");
    assert_int_equal(control_pack(&c, &head), 0);
    put.record = scene_record(&r, CONTROL_CREDENTIAL, "u", "", "h");
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    put.record = scene_record(&r, CONTROL_ROUTE, "u", "a", "h");
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    put.record = scene_record(&r, CONTROL_TENANT, "", "", "");
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    put.record = scene_record(&r, CONTROL_TENANT, "a\nb", "", "");
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    put.record = scene_record(&r, CONTROL_KIND_END, "a", "", "");
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    put.record = scene_record(&r, CONTROL_TENANT, "a", "", "");
    put.record->version = 1;
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    put.record->version = 0;
    put.fence = CONTROL_FENCE_VERSION + 1;
    assert_int_equal(control_pack(&c, &head), ERR_CORRUPT);
    buf_deinit(&head);
}

/* ---- a list kept by hand */

#define NAMES 12
struct kept {
    bool is_there[NAMES];
    char value[NAMES][16];
    uint64_t version[NAMES];
};

static void name_of(unsigned i, char out[16])
{
    snprintf(out, 16, "n%u", i * 7 % NAMES);
}

static void compare(const struct scene *s, const struct kept *k)
{
    unsigned count = 0;
    char name[16];

    for (unsigned i = 0; i < NAMES; i++) {
        const Angarium__ControlRecord *r;

        name_of(i, name);
        r = control_record(s->control, CONTROL_CREDENTIAL, span_cstr(name));
        assert_int_equal(r != NULL, k->is_there[i]);
        if (!r) continue;
        count++;
        assert_true(span_eq(control_field(r, "value"), span_cstr(k->value[i])));
        assert_int_equal(r->version, k->version[i]);
    }
    assert_int_equal(control_record_count(s->control, CONTROL_CREDENTIAL), count);
}

static void put_one(struct scene *s, struct kept *k, unsigned i, uint64_t draw)
{
    struct scene_record r;
    char name[16], value[16];
    uint32_t fence = (uint32_t)(draw % 3);
    uint64_t version = draw & 8 ? k->version[i] : s->index;
    bool passes = fence == CONTROL_FENCE_NONE ||
                  (fence == CONTROL_FENCE_ABSENT && !k->is_there[i]) ||
                  (fence == CONTROL_FENCE_VERSION && k->is_there[i] && version == k->version[i]);

    name_of(i, name);
    snprintf(value, sizeof value, "v%u", (unsigned)(draw % 1000));
    assert_int_equal(
        scene_put(s, scene_record(&r, CONTROL_CREDENTIAL, name, "a", value), fence, version) == 0,
        passes);
    if (!passes) return;
    k->is_there[i] = true;
    k->version[i] = s->index;
    snprintf(k->value[i], sizeof k->value[i], "%s", value);
}

/* Pages of one, two, ... names each reach every record once, in order. */
static void walk(const struct scene *s)
{
    struct span last = span_of("", 0);
    unsigned seen = 0, at;

    while ((at = control_record_behind(s->control, CONTROL_CREDENTIAL, last)) <
           control_record_count(s->control, CONTROL_CREDENTIAL)) {
        assert_int_equal(at, seen);
        last = proto_span(control_record_at(s->control, CONTROL_CREDENTIAL, at)->name);
        seen++;
    }
    assert_int_equal(seen, control_record_count(s->control, CONTROL_CREDENTIAL));
}

static void any_sequence_leaves_what_a_list_kept_by_hand_says(void **state)
{
    struct kept k = { 0 };
    struct scene s;
    struct rng rng;
    char name[16];

    (void)state;
    rng_seed(&rng, 2022);
    begin(&s);
    for (unsigned step = 0; step < 4000; step++) {
        uint64_t draw = rng_next(&rng) >> 8;
        unsigned i = (unsigned)(draw / 64 % NAMES);

        if (draw / 1024 % 3 > 0) {
            put_one(&s, &k, i, draw);
        } else {
            name_of(i, name);
            assert_int_equal(scene_drop(&s, CONTROL_CREDENTIAL, name, 0) == 0, k.is_there[i]);
            k.is_there[i] = false;
        }
        compare(&s, &k);
        walk(&s);
    }
    control_free(&s.control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_count_until_the_import_and_it_is_once_and_whole),
        cmocka_unit_test(what_is_a_tenants_needs_him_and_stays_his),
        cmocka_unit_test(a_fence_lets_through_who_saw_the_last_version),
        cmocka_unit_test(each_kind_has_its_bound),
        cmocka_unit_test(all_records_together_have_a_bound_and_are_saved_at_it),
        cmocka_unit_test(words_that_cannot_be_are_not_packed),
        cmocka_unit_test(any_sequence_leaves_what_a_list_kept_by_hand_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
