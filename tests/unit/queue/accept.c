/* accept - a whole mail, one write: recipients, due times, events, body; uploads; one DSN only. */
#include "tests/unit/queue/world.h"

static void a_mail_is_there_at_once(void **state)
{
    struct world w;
    uint64_t m;
    Angarium__MessageRecord *r = NULL;
    Angarium__RecipientRecord *to;
    struct queue_counts c;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@c.test");
    assert_int_equal(told(&w, QUEUE_EVENT), 2);
    assert_int_equal(told(&w, QUEUE_DUE), 2);
    assert_int_equal(told(&w, QUEUE_REFUSED), 0);
    assert_int_equal(event(&w, 1)->type, TYPE(ACCEPTED));
    assert_int_equal(event(&w, 1)->index, m);
    assert_int_equal(event(&w, 1)->recipient_number, 1);
    assert_true(says(event(&w, 1)->recipient, "two@c.test"));
    assert_true(says(event(&w, 1)->mail_from, "s@a.test"));
    assert_true(says(event(&w, 1)->tenant, "tenant"));
    assert_int_equal(event(&w, 1)->size, BODY_SIZE);
    assert_int_equal(event(&w, 1)->node, 7);
    assert_int_equal(effect(&w, QUEUE_EVENT, 1)->number, 1);
    assert_true(span_eq(effect(&w, QUEUE_DUE, 0)->domain, SPAN_LIT("b.test")));
    assert_int_equal(effect(&w, QUEUE_DUE, 0)->due_at_ms, START_MS);
    assert_int_equal(queue_message_get(w.store, SHARD, m, &r), OK);
    assert_int_equal(r->recipient_count, 2);
    assert_int_equal(r->pending_count, 2);
    assert_int_equal(r->expires_at_ms, START_MS + LIFE_MS);
    assert_false(r->body_gone);
    queue_message_free(&r);
    to = recipient(&w, m, 0);
    assert_int_equal(to->state, STATE(WAITING));
    assert_int_equal(to->due_at_ms, START_MS);
    assert_int_equal(to->attempts, 0);
    queue_recipient_free(&to);
    c = counts(&w);
    assert_int_equal(c.messages, 1);
    assert_int_equal(c.bytes, BODY_SIZE);
    assert_int_equal(c.waiting, 2);
    assert_int_equal(c.accepted, 2);
    assert_int_equal(c.kept_events, 2);
    assert_true(is_live(&w, m));
    assert_int_equal(queue_recipient_get(w.store, SHARD, m, 2, &to), ERR_NOT_FOUND);
    assert_int_equal(queue_message_get(w.store, SHARD, m + 1, &r), ERR_NOT_FOUND);
    world_close(&w);
}

static void a_mail_without_a_body(void **state)
{
    struct world w;
    uint64_t m;

    (void)state;
    world_open(&w, NULL);
    m = accept_mail(&w, (struct mail){ .from = "s@a.test", .to = "r@b.test" });
    assert_true(claim(&w, m, 0));
    assert_true(delivered(&w, m, 0));
    assert_int_equal(counts(&w).messages, 0);
    world_close(&w);
}

static void chunks_move_from_the_upload_to_the_mail(void **state)
{
    struct world w;
    uint64_t chunks[2], m;

    (void)state;
    world_open(&w, NULL);
    chunks[0] = chunk(&w, "up", 0);
    chunks[1] = chunk(&w, "up", 1);
    assert_int_equal(counts(&w).uploads, 1);
    m = accept_mail(&w, (struct mail){ .from = "s@a.test",
                                       .to = "r@b.test",
                                       .upload = "up",
                                       .chunks = chunks,
                                       .chunk_count = 2,
                                       .body_size = 2000 });
    assert_int_equal(refusal(&w), 0);
    assert_int_equal(counts(&w).uploads, 0);
    assert_true(is_live(&w, chunks[0]) && is_live(&w, chunks[1]));
    assert_false(is_live(&w, m)); /* its own entry has no body */
    assert_true(claim(&w, m, 0));
    assert_true(delivered(&w, m, 0));
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 2);
    assert_int_equal(effect(&w, QUEUE_BODY_GONE, 0)->index, chunks[0]);
    assert_int_equal(effect(&w, QUEUE_BODY_GONE, 1)->index, chunks[1]);
    assert_false(is_live(&w, chunks[0]) || is_live(&w, chunks[1]));
    world_close(&w);
}

static void chunks_that_are_not_the_uploads_are_refused(void **state)
{
    struct world w;
    uint64_t chunks[3], digest;

    (void)state;
    world_open(&w, NULL);
    chunks[0] = chunk(&w, "up", 0);
    chunks[1] = chunk(&w, "up", 1);
    chunks[2] = 99;
    for (unsigned i = 0; i < 4; i++) {
        struct mail bad[] = {
            { .from = "s@a.test",
              .to = "r@b.test",
              .upload = "other",
              .chunks = chunks,
              .chunk_count = 2 },
            { .from = "s@a.test",
              .to = "r@b.test",
              .upload = "up",
              .chunks = chunks,
              .chunk_count = 1 },
            { .from = "s@a.test",
              .to = "r@b.test",
              .upload = "up",
              .chunks = chunks,
              .chunk_count = 3 },
            { .from = "s@a.test",
              .to = "r@b.test",
              .upload = "up",
              .chunks = chunks + 1,
              .chunk_count = 2 },
        };

        digest = queue_digest(w.queue);
        accept_mail(&w, bad[i]);
        assert_int_equal(refusal(&w), ERR_NOT_FOUND);
        assert_int_equal(w.told.count, 1);
        assert_int_equal(counts(&w).accepted, 0);
        assert_int_not_equal(queue_digest(w.queue),
                             digest); /* the entry counts, its effect is none */
    }
    accept_mail(&w, (struct mail){ .from = "s@a.test",
                                   .to = "r@b.test",
                                   .upload = "up",
                                   .chunks = chunks,
                                   .chunk_count = 2 });
    assert_int_equal(refusal(&w), 0);
    accept_mail(&w, (struct mail){ .from = "s@a.test",
                                   .to = "r@b.test",
                                   .upload = "up",
                                   .chunks = chunks,
                                   .chunk_count = 2 });
    assert_int_equal(refusal(&w), ERR_NOT_FOUND); /* an upload becomes one mail only */
    world_close(&w);
}

static void one_dsn_tells_of_a_failure(void **state)
{
    struct world w;
    uint64_t m, dsn;
    Angarium__MessageRecord *r = NULL;

    (void)state;
    world_open(&w, NULL);
    m = accept(&w, "s@a.test", "one@b.test two@b.test");
    assert_true(bounced(&w, m, 0));
    assert_int_equal(told(&w, QUEUE_BOUNCE), 1);
    dsn = accept_mail(
        &w, (struct mail){ .from = "", .to = "s@a.test", .bounce_of = m, .body_size = 9 });
    assert_int_equal(refusal(&w), 0);
    assert_int_equal(queue_message_get(w.store, SHARD, m, &r), OK);
    assert_int_equal(r->bounce_owed, 0);
    assert_false(r->body_gone); /* the other recipient still waits */
    queue_message_free(&r);
    accept_mail(&w, (struct mail){ .from = "", .to = "s@a.test", .bounce_of = m, .body_size = 9 });
    assert_int_equal(refusal(&w), ERR_EXISTS);
    assert_int_equal(counts(&w).accepted, 3);
    accept_mail(&w,
                (struct mail){ .from = "", .to = "s@a.test", .bounce_of = 999, .body_size = 9 });
    assert_int_equal(refusal(&w), ERR_EXISTS);
    assert_true(bounced(&w, m, 1)); /* a later failure is a new debt */
    assert_true(is_live(&w, m));
    accept_mail(&w, (struct mail){ .from = "", .to = "s@a.test", .bounce_of = m, .body_size = 9 });
    assert_int_equal(refusal(&w), 0);
    assert_int_equal(told(&w, QUEUE_BODY_GONE), 1);
    assert_false(is_live(&w, m));
    assert_true(bounced(&w, dsn, 0));
    assert_int_equal(told(&w, QUEUE_BOUNCE), 0); /* never for the null return path */
    assert_false(is_live(&w, dsn));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_is_there_at_once),
        cmocka_unit_test(a_mail_without_a_body),
        cmocka_unit_test(chunks_move_from_the_upload_to_the_mail),
        cmocka_unit_test(chunks_that_are_not_the_uploads_are_refused),
        cmocka_unit_test(one_dsn_tells_of_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
