/* frame - what goes comes back the same; what is damaged is refused whole. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/rng.h"
#include "raft/engine/frame.h"
#include "raft/store/store.h"

static const uint64_t three[] = { 1, 2, 3 };

static struct core_msg append_of(const struct core_entry *entries, unsigned count)
{
    return (struct core_msg){ .kind = CORE_MSG_APPEND,
                              .era = 3,
                              .from = 1,
                              .to = 2,
                              .term = 7,
                              .prev = { 41, 6 },
                              .commit = 40,
                              .first = 42,
                              .count = count,
                              .entries = entries };
}

static struct blob *a_frame(void)
{
    static const struct core_entry entries[] = { { .term = 6, .kind = CORE_COMMAND },
                                                 { .term = 7, .kind = CORE_NOOP } };
    const struct frame_entry bytes[] = { { SPAN_LIT("head"), SPAN_LIT("and a body") },
                                         { SPAN_LIT(""), SPAN_LIT("") } };
    struct core_msg append = append_of(entries, 2);
    struct core_msg vote = { .kind = CORE_MSG_VOTE, .disrupt = true, .term = 9, .prev = { 3, 2 } };
    struct frame_chunk chunk = { .group = 5,
                                 .term = 7,
                                 .number = 77,
                                 .offset = 1000,
                                 .pos = { 30, 4 },
                                 .last = true,
                                 .bytes = SPAN_LIT("a piece of state"),
                                 .config = raft_config_of(three, 3) };
    struct frame_reply reply = { .group = 6, .number = 78, .offset = 99, .state = 1 };
    struct frame_out f;
    struct blob *b;

    frame_begin(&f);
    assert_true(frame_is_empty(&f));
    assert_true(frame_add(&f, 5, &append, bytes));
    assert_true(frame_add(&f, 6, &vote, NULL));
    assert_true(frame_add_chunk(&f, &chunk));
    assert_true(frame_add_reply(&f, &reply));
    b = frame_pack(&f, 11, 12, true);
    assert_true(frame_is_empty(&f));
    frame_end(&f);
    return b;
}

static void what_goes_comes_back(void **state)
{
    struct frame f;

    (void)state;
    assert_int_equal(frame_unpack(a_frame(), 1, 2, &f), 0);
    assert_true(f.from == 1 && f.incarnation == 11 && f.rest_generation == 12 && f.beat);
    assert_true(f.message_count == 2 && f.chunk_count == 1 && f.reply_count == 1);
    assert_true(f.messages[0].group == 5 && f.messages[0].msg.kind == CORE_MSG_APPEND);
    assert_true(f.messages[0].msg.from == 1 && f.messages[0].msg.to == 2);
    assert_true(f.messages[0].msg.prev.index == 41 && f.messages[0].msg.prev.term == 6);
    assert_true(f.messages[0].msg.first == 42 && f.messages[0].msg.count == 2);
    assert_true(f.messages[0].msg.commit == 40 && f.messages[0].msg.era == 3);
    assert_true(f.messages[0].msg.entries[0].weight == 14);
    assert_true(span_eq(f.messages[0].bytes[0].head, SPAN_LIT("head")));
    assert_true(span_eq(f.messages[0].bytes[0].body, SPAN_LIT("and a body")));
    assert_true(f.messages[1].msg.kind == CORE_MSG_VOTE && f.messages[1].msg.disrupt);
    assert_true(span_eq(f.chunks[0].bytes, SPAN_LIT("a piece of state")) && f.chunks[0].last);
    assert_true(f.chunks[0].config.count == 3 && f.chunks[0].config.members[2].node == 3);
    assert_true(f.chunks[0].pos.index == 30 && f.chunks[0].offset == 1000);
    assert_true(f.replies[0].number == 78 && f.replies[0].state == 1);
    frame_deinit(&f);
}

/* The largest entry that may be proposed fits into a frame of its own. */
static void the_largest_entry_fits(void **state)
{
    uint8_t *bytes = check_calloc(1, RAFT_ENTRY_SIZE_MAX);
    struct core_entry entry = { .term = 7, .kind = CORE_COMMAND };
    struct frame_entry e = { span_of(bytes, 100), span_of(bytes, RAFT_ENTRY_SIZE_MAX - 100) };
    struct core_msg append = append_of(&entry, 1);
    struct frame_out out;
    struct frame f;

    (void)state;
    frame_begin(&out);
    assert_true(frame_add(&out, UINT64_MAX - 1, &append, &e));
    assert_false(frame_add(&out, 1, &append, &e));
    assert_int_equal(frame_unpack(frame_pack(&out, UINT64_MAX, UINT64_MAX, true), 1, 2, &f), 0);
    assert_int_equal(f.messages[0].bytes[0].body.n, RAFT_ENTRY_SIZE_MAX - 100);
    frame_deinit(&f);
    frame_end(&out);
    free(bytes);
}

static void every_truncation_is_refused(void **state)
{
    struct blob *whole = a_frame(), *more;
    struct frame f;

    (void)state;
    for (size_t n = 0; n < whole->n; n++)
        assert_int_not_equal(frame_unpack(blob_copy(span_of(whole->p, n)), 1, 2, &f), 0);
    more = blob_new(whole->n + 1);
    CHECK(blob_add(more, whole->p, whole->n, whole->n + 1) == 0);
    CHECK(blob_add(more, "", 1, whole->n + 1) == 0);
    assert_int_not_equal(frame_unpack(more, 1, 2, &f), 0); /* a byte too many */
    blob_unref(&whole);
}

/* No more than that: nothing is read or written where it should not be (AddressSanitizer looks on). */
static void damage_hurts_nobody(void **state)
{
    struct blob *whole = a_frame();
    unsigned refused = 0;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 4);
    for (unsigned i = 0; i < 20000; i++) {
        struct blob *b = blob_copy(span_of(whole->p, whole->n));
        struct frame f;

        for (unsigned k = 0; k <= i % 3; k++)
            b->p[rng_below(&rng, b->n)] = (uint8_t)rng_next(&rng);
        if (frame_unpack(b, 1, 2, &f) == 0)
            frame_deinit(&f);
        else
            refused++;
    }
    assert_true(refused > 5000);
    blob_unref(&whole);
}

/* A frame of nothing but empty messages would cost a hundred times its size. */
static void memory_is_bounded_before_anything_is_unpacked(void **state)
{
    struct blob *b = blob_new(WIRE_FRAME_MAX);
    size_t size = WIRE_FRAME_MAX - FRAME_LEAD_SIZE;
    struct frame f;

    (void)state;
    b->n = WIRE_FRAME_MAX;
    b->p[0] = RAFT_FRAME;
    b->p[1] = (uint8_t)(size >> 16);
    b->p[2] = (uint8_t)(size >> 8);
    b->p[3] = (uint8_t)size;
    for (size_t i = FRAME_LEAD_SIZE; i < b->n; i += 2) {
        b->p[i] = 0x22;  /* field 4: a message, */
        b->p[i + 1] = 0; /* empty */
    }
    assert_int_not_equal(frame_unpack(b, 1, 2, &f), 0);
}

static void configurations_come_back(void **state)
{
    struct core_config config = raft_config_of(three, 3), got;
    uint64_t many[CORE_MEMBERS_MAX];
    struct buf bytes;

    (void)state;
    buf_init(&bytes, STORE_CONFIG_SIZE_MAX);
    config.version = 7;
    config.members[1].zone = 65535;
    config.members[1].priority = 255;
    config_pack(&config, &bytes);
    assert_int_equal(config_unpack(buf_span(&bytes), &got), 0);
    assert_true(got.version == 7 && got.members[1].zone == 65535 && got.members[1].priority == 255);
    for (size_t n = 0; n < bytes.n; n++)
        (void)config_unpack(span_of(bytes.p, n), &got);
    buf_reset(&bytes);
    for (unsigned i = 0; i < CORE_MEMBERS_MAX;
         i++) /* the largest one fits into its place in the log */
        many[i] = (UINT64_C(1) << 61) + i;
    config = raft_config_of(many, CORE_MEMBERS_MAX);
    for (unsigned i = 0; i < CORE_MEMBERS_MAX; i++) {
        config.members[i].zone = config.members[i].region = UINT16_MAX;
        config.members[i].priority = UINT8_MAX;
        if (i >= CORE_VOTERS_MAX) config.members[i].flags = CORE_LEARNS | CORE_PROMOTE;
    }
    config.index = UINT64_MAX;
    config.version = config.era = UINT32_MAX;
    config_pack(&config, &bytes);
    assert_int_equal(config_unpack(buf_span(&bytes), &got), 0);
    assert_int_equal(got.count, CORE_MEMBERS_MAX);
    config.count = 0;
    buf_reset(&bytes);
    config_pack(&config, &bytes);
    assert_int_equal(config_unpack(buf_span(&bytes), &got), ERR_CORRUPT);
    buf_deinit(&bytes);
}

static void what_is_too_much_goes_in_parts(void **state)
{
    static uint8_t body[400000];
    struct core_entry entries[5];
    struct frame_entry bytes[5];
    struct frame_out out;
    unsigned parts = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        entries[i] = (struct core_entry){ .term = 1, .kind = CORE_COMMAND };
        bytes[i] = (struct frame_entry){ span_of(body, 10), span_of(body, i == 2 ? 1 : 400000) };
    }
    frame_begin(&out);
    for (unsigned from = 0, n; from < 5; from += n, parts++) {
        struct core_msg m = append_of(entries + from, 5 - from);
        struct blob *b;

        n = frame_entries_fit(bytes + from, 5 - from);
        assert_true(n >= 1 && n <= 5 - from);
        m.count = n;
        assert_true(frame_add(&out, 1, &m, bytes + from)); /* an empty frame takes it */
        b = frame_pack(&out, 1, 0, false);
        blob_unref(&b);
    }
    assert_int_equal(parts, 2); /* 2 and a small one; 2 */
    assert_int_equal(frame_entries_fit(bytes, 2), 2);
    frame_end(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_comes_back),
        cmocka_unit_test(the_largest_entry_fits),
        cmocka_unit_test(what_is_too_much_goes_in_parts),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(damage_hurts_nobody),
        cmocka_unit_test(memory_is_bounded_before_anything_is_unpacked),
        cmocka_unit_test(configurations_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
