/* notice - what a DSN tells of a message: whom, which debts, how much of the original, within its size. The queue
 * is a real one; the clock and commit are not there. */
#include "tests/unit/queue/scene.h"

#include "node/emit/inside.h"

#define NOW_MS 1795484889123u

static struct scene s;
static struct emit e = { .o = { .hostname = "relay.example" } };
static struct buf out;
static struct notice n;

struct queue_store *commit_store(struct commit *c)
{
    (void)c;
    return s.store;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    (void)l;
    return NOW_MS;
}

static int set_up(void **state)
{
    (void)state;
    scene_open(&s);
    buf_init(&out, EMIT_DSN_SIZE_MAX);
    return 0;
}

static int take_down(void **state)
{
    (void)state;
    scene_close(&s);
    buf_deinit(&out);
    return 0;
}

static void outcome(uint64_t m, uint32_t to, Angarium__Result result, const char *text,
                    uint32_t confirm, bool is_late)
{
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT, *list = &o;
    Angarium__Reply reply = ANGARIUM__REPLY__INIT;

    reply.code = result == ANGARIUM__RESULT__RESULT_DELIVERED ? 250
                 : result == ANGARIUM__RESULT__RESULT_BOUNCED ? 550
                                                              : 451;
    reply.text = scene_text(text);
    o.index = m;
    o.recipient = to;
    o.result = result;
    o.reply = &reply;
    o.remote_host = scene_text("mx.y.example");
    o.confirm = confirm;
    o.is_late = is_late;
    scene_outcomes(&s, &list, 1);
}

static bool print(uint64_t index, const char *original)
{
    Angarium__MessageRecord *m = NULL;
    bool some;

    assert_int_equal(queue_message_get(s.store, SHARD, index, &m), 0);
    buf_reset(&out);
    m->body->header_size = (uint32_t)strlen(original);
    if (strstr(original, "\r\n\r\n"))
        m->body->header_size = (uint32_t)(strstr(original, "\r\n\r\n") - original + 4);
    m->body->size = strlen(original);
    m->body->eight_bit_header = strstr(original, "\xc3") != NULL;
    some = notice_print(&n, &e, SHARD, index, m, span_cstr(original), &out);
    queue_message_free(&m);
    assert_false(buf_failed(&out));
    return some;
}

static bool says(const char *part)
{
    return strstr(buf_cstr(&out), part) != NULL;
}

#define MAIL "From: a@x.example\r\nSubject: s\r\n\r\nThe words.\r\n"

static uint64_t accept(uint32_t notify, uint32_t ret, unsigned count)
{
    static const char *to[] = { "b@y.example", "c@y.example", "d@y.example", "e@y.example" };

    return scene_accept_mail(&s, &(struct scene_mail){ .from = "a@x.example",
                                                       .to = to,
                                                       .to_count = count,
                                                       .notify = notify,
                                                       .ret = ret,
                                                       .envid = "QQ+2B1",
                                                       .orcpt = "rfc822;B+2B1@y.example" });
}

static void nothing_is_owed(void **state)
{
    (void)state;
    assert_false(print(accept(0, 0, 1), MAIL));
}

/* RFC 3461 4.3, 6.2: HDRS, and what was not said: the header; FULL: the message, of failures only. */
static void as_much_of_the_original_as_was_asked_for(void **state)
{
    uint64_t m;

    (void)state;
    for (uint32_t ret = 0; ret <= PROTO_RET_HDRS; ret++) {
        m = accept(0, ret, 1);
        outcome(m, 0, ANGARIUM__RESULT__RESULT_BOUNCED, "no such user", 0, false);
        assert_true(print(m, MAIL));
        assert_int_equal(says("The words."), ret == PROTO_RET_FULL);
        assert_int_equal(says("Content-Type: message/rfc822\r\n"), ret == PROTO_RET_FULL);
        assert_true(says("Subject: s\r\n"));
    }
    m = accept(PROTO_NOTIFY_SUCCESS, PROTO_RET_FULL, 1);
    scene_claim(&s, m, 0);
    outcome(m, 0, ANGARIUM__RESULT__RESULT_DELIVERED, "ok", PROTO_CONFIRM_RELAYED, false);
    assert_true(print(m, MAIL));
    assert_false(says("The words."));
    assert_true(says("Action: relayed\r\nStatus: 2.0.0\r\n"));
}

static void a_large_original_is_not_returned(void **state)
{
    char *large = check_malloc(EMIT_DSN_RETURN_MAX + 100);
    uint64_t m = accept(0, PROTO_RET_FULL, 1);

    (void)state;
    memset(large, 'x', EMIT_DSN_RETURN_MAX + 99);
    memcpy(large, MAIL, strlen(MAIL));
    large[EMIT_DSN_RETURN_MAX + 99] = '\0';
    outcome(m, 0, ANGARIUM__RESULT__RESULT_BOUNCED, "no", 0, false);
    assert_true(print(m, large));
    assert_true(says("text/rfc822-headers"));
    assert_false(says("The words."));
    free(large);
}

static void envelope_id_and_original_recipient_come_back(void **state)
{
    uint64_t m = accept(0, 0, 1);

    (void)state;
    outcome(m, 0, ANGARIUM__RESULT__RESULT_BOUNCED, "no", 0, false);
    assert_true(print(m, MAIL));
    assert_true(
        says("\r\n\r\nOriginal-Envelope-Id: QQ+1\r\nReporting-MTA: dns; relay.example\r\n"));
    assert_true(says("Original-Recipient: rfc822; B+1@y.example\r\n"
                     "Final-Recipient: rfc822; b@y.example\r\nAction: failed\r\n"));
}

/* All that is owed of a message in one DSN, each with its action; told says which debts it pays. */
static void failures_delays_and_successes_together(void **state)
{
    uint64_t m = accept(PROTO_NOTIFY_SUCCESS | PROTO_NOTIFY_FAILURE | PROTO_NOTIFY_DELAY, 0, 4);

    (void)state;
    scene_claim_all(&s, (struct queue_ref[]){ { m, 0 }, { m, 1 } }, 2);
    outcome(m, 0, ANGARIUM__RESULT__RESULT_DELIVERED, "ok", PROTO_CONFIRM_RELAYED, false);
    outcome(m, 1, ANGARIUM__RESULT__RESULT_DELIVERED, "ok", PROTO_CONFIRM_DELIVERED, false);
    outcome(m, 2, ANGARIUM__RESULT__RESULT_BOUNCED, "no", 0, false);
    outcome(m, 3, ANGARIUM__RESULT__RESULT_DEFERRED, "later", 0, true);
    assert_true(print(m, MAIL));
    assert_int_equal(n.count, 4);
    assert_int_equal(n.told[0].debts, PROTO_OWED_RELAYED);
    assert_int_equal(n.told[1].debts, PROTO_OWED_DELIVERED);
    assert_int_equal(n.told[2].debts, PROTO_OWED_FAILED);
    assert_int_equal(n.told[3].debts, PROTO_OWED_DELAYED);
    assert_true(says("Action: relayed\r\n") && says("Action: delivered\r\n"));
    assert_true(says("Action: failed\r\n") && says("Action: delayed\r\n"));
    assert_true(says("Will-Retry-Until: "));
    assert_true(says("Subject: Mail could not be delivered\r\n"));
}

/* However much hosts say, a DSN has its size; the others are told of by the next. */
static void many_recipients_with_much_to_say(void **state)
{
    static char texts[1024];
    const char *to[200];
    char names[200][300];
    uint64_t m;
    unsigned told = 0;

    (void)state;
    memset(texts, 'w', sizeof texts - 1);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(names[i], sizeof names[i], "r%0200u@y.example", i);
        to[i] = names[i];
    }
    s.verify_each = false;
    m = scene_accept_mail(&s,
                          &(struct scene_mail){ .from = "a@x.example", .to = to, .to_count = 200 });
    for (uint32_t i = 0; i < 200; i++)
        outcome(m, i, ANGARIUM__RESULT__RESULT_BOUNCED, texts, 0, false);
    while (print(m, MAIL)) {
        uint32_t pairs[2 * EMIT_DSN_RECIPIENTS_MAX];
        const char *back = "a@x.example";

        assert_in_range(n.count, 10, EMIT_DSN_RECIPIENTS_MAX);
        for (unsigned i = 0; i < n.count; i++) {
            pairs[2 * i] = n.told[i].recipient;
            pairs[2 * i + 1] = n.told[i].debts;
        }
        told += n.count;
        scene_accept_mail(
            &s,
            &(struct scene_mail){
                .to = &back, .to_count = 1, .bounce_of = m, .told = pairs, .told_count = n.count });
        assert_int_equal(scene_count(&s, QUEUE_REFUSED), 0);
    }
    assert_int_equal(told, 200);
    scene_verify(&s);
}

/* RFC 6533 */
static void in_utf8_where_the_mail_was(void **state)
{
    const char *to = "\xc3\xbc@y.example";
    uint64_t m;

    (void)state;
    m = scene_accept_mail(&s, &(struct scene_mail){ .from = "\xc3\xa4@x.example",
                                                    .to = &to,
                                                    .to_count = 1,
                                                    .ret = PROTO_RET_HDRS,
                                                    .smtputf8 = true });
    outcome(m, 0, ANGARIUM__RESULT__RESULT_BOUNCED, "no", 0, false);
    assert_true(print(m, "Subject: \xc3\xa4\r\n\r\nx\r\n"));
    assert_true(n.is_utf8);
    assert_true(says("To: <\xc3\xa4@x.example>\r\n"));
    assert_true(says(
        "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"));
    assert_true(says("Final-Recipient: utf-8; \xc3\xbc@y.example\r\n"));
    assert_true(says("Content-Type: message/global-headers\r\n"));
    assert_true(says("Subject: \xc3\xa4\r\n"));
}

#define NOTICE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, take_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NOTICE_TEST(nothing_is_owed),
        NOTICE_TEST(as_much_of_the_original_as_was_asked_for),
        NOTICE_TEST(a_large_original_is_not_returned),
        NOTICE_TEST(envelope_id_and_original_recipient_come_back),
        NOTICE_TEST(failures_delays_and_successes_together),
        NOTICE_TEST(many_recipients_with_much_to_say),
        NOTICE_TEST(in_utf8_where_the_mail_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
