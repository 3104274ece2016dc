/* Calls between two nodes over a false wire that the test plays: what is promised of answers, ends, numbers and bounds. */
#include "tests/unit/node/peer/false_wire.h"

static struct scene s;

static int set_up(void **state)
{
    (void)state;
    scene_open(&s);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_close(&s);
    return 0;
}

/* ---- a call and its answer */

static void test_a_call_is_answered_by_the_service_of_its_kind(void **state)
{
    struct probe c;

    (void)state;
    probe_call(&s, &c, "question", "with a body");
    pump(&s);
    assert_int_equal(s.b.ask_count, 1);
    assert_true(span_eq(s.b.asks[0]->request, SPAN_LIT("question")));
    assert_true(span_eq(s.b.asks[0]->body, SPAN_LIT("with a body")));
    assert_int_equal(s.b.asks[0]->from, 1);
    assert_int_equal(c.ended, 0);
    answer(&s.b, 0, 0, "answer", "of two parts");
    pump(&s);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rv, 0);
    assert_string_equal(c.answer, "answer|of two parts");
    assert_true(c.call.was_sent && c.call.is_answered);
}

static void test_what_the_other_node_says_is_told_as_its_word(void **state)
{
    struct probe c;

    (void)state;
    probe_call(&s, &c, "", "");
    pump(&s);
    answer(&s.b, 0, ERR_NOT_LEADER, "", "");
    pump(&s);
    assert_int_equal(c.rv, ERR_NOT_LEADER);
    assert_true(c.call.is_answered);
}

static void test_answers_may_come_in_another_order(void **state)
{
    struct probe c[3];

    (void)state;
    probe_call(&s, &c[0], "0", "");
    probe_call(&s, &c[1], "1", "");
    probe_call(&s, &c[2], "2", "");
    pump(&s);
    assert_int_equal(s.b.ask_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(s.b.asks[i]->request.p[0], '0' + i);
    answer(&s.b, 2, 0, "two", "");
    answer(&s.b, 0, 0, "zero", "");
    answer(&s.b, 1, 0, "one", "");
    pump(&s);
    assert_string_equal(c[0].answer, "zero|");
    assert_string_equal(c[1].answer, "one|");
    assert_string_equal(c[2].answer, "two|");
}

static void test_a_kind_that_nobody_serves_is_answered(void **state)
{
    struct probe c;

    (void)state;
    probe_init(&c, "", "");
    c.call.kind = PEER_ORDER;
    assert_int_equal(peer_call(s.a.peers, s.loop, &c.call), 0);
    pump(&s);
    assert_int_equal(c.rv, ERR_UNSUPPORTED);
}

static void test_frames_of_others_go_on(void **state)
{
    struct blob *frame = blob_new(3);

    (void)state;
    assert_int_equal(blob_add(frame, "Rab", 3, 3), 0);
    assert_int_equal(wire_send(&s.a.wire, 2, WIRE_LOG, frame), 0);
    blob_unref(&frame);
    pump(&s);
    assert_int_equal(s.b.behind_frames, 1);
    assert_int_equal(s.b.behind_links, WIRE_LANES); /* and links */
}

static void test_bytes_that_are_too_long_are_not_sent(void **state)
{
    char *bytes = check_calloc(1, PEER_BYTES_ONE_MAX + 1);
    struct probe c;

    (void)state;
    probe_init(&c, "12", "");
    c.call.body = span_of(bytes, PEER_BYTES_ONE_MAX - 1);
    assert_int_equal(peer_call(s.a.peers, s.loop, &c.call), ERR_TOO_LONG);
    c.call.body = span_of(bytes, PEER_BYTES_ONE_MAX - 2);
    assert_int_equal(peer_call(s.a.peers, s.loop, &c.call), 0);
    pump(&s);
    assert_int_equal(s.b.asks[0]->body.n, PEER_BYTES_ONE_MAX - 2);
    peer_answer(s.b.asks[0], 0, span_of(bytes, PEER_BYTES_ONE_MAX), span_of(bytes, 1));
    pump(&s);
    assert_int_equal(c.rv, ERR_TOO_LONG);
    free(bytes);
}

/* ---- ends without an answer */

static void test_a_lane_that_goes_down_ends_its_calls_at_once(void **state)
{
    struct probe c, other;

    (void)state;
    probe_call(&s, &c, "", "");
    probe_init(&other, "", "");
    other.call.lane = WIRE_LOG;
    assert_int_equal(peer_call(s.a.peers, s.loop, &other.call), 0);
    pump(&s);
    link_set(&s, WIRE_BULK, false);
    assert_int_equal(c.ended, 0); /* never inside */
    pump(&s);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.rv, ERR_CLOSED);
    assert_true(c.call.was_sent && !c.call.is_answered);
    assert_int_equal(other.ended, 0); /* another lane */
    answer(&s.b, s.b.asks[0]->lane == WIRE_LOG ? 0 : 1, 0, "", "");
    pump(&s);
    assert_int_equal(other.ended, 1);
}

static void test_a_lane_that_is_down_takes_no_call(void **state)
{
    struct probe c;

    (void)state;
    link_set(&s, WIRE_BULK, false);
    probe_init(&c, "", "");
    assert_int_equal(peer_call(s.a.peers, s.loop, &c.call), ERR_CLOSED);
    c.call.to = 7;
    assert_int_equal(peer_call(s.a.peers, s.loop, &c.call), ERR_CLOSED);
    pump(&s);
    assert_int_equal(c.ended, 0);
}

/* What was asked over a connection that ended is answered to nobody: not over the next one, to whoever is there then. */
static void test_an_answer_does_not_go_to_the_next_connection(void **state)
{
    uint64_t dropped = metric_get(M_PEER_ANSWERS_DROPPED_GONE);
    struct probe c, again;

    (void)state;
    probe_call(&s, &c, "", "");
    pump(&s);
    link_set(&s, WIRE_BULK, false);
    link_set(&s, WIRE_BULK, true);
    probe_call(&s, &again, "", "");
    pump(&s);
    answer(&s.b, 0, 0, "old", "");
    pump(&s);
    assert_int_equal(metric_get(M_PEER_ANSWERS_DROPPED_GONE), dropped + 1);
    assert_int_equal(c.rv, ERR_CLOSED);
    assert_int_equal(again.ended, 0);
    answer(&s.b, 1, 0, "new", "");
    pump(&s);
    assert_string_equal(again.answer, "new|");
}

static void test_a_late_answer_is_dropped_and_counted(void **state)
{
    uint64_t dropped = metric_get(M_PEER_ANSWERS_DROPPED_CALLER);
    struct probe c;

    (void)state;
    probe_init(&c, "", "");
    c.call.within_ms = 1;
    assert_int_equal(peer_call(s.a.peers, s.loop, &c.call), 0);
    while (c.ended == 0)
        pump(&s);
    assert_int_equal(c.rv, ERR_TIMEOUT);
    assert_false(c.call.is_answered);
    if (s.b.ask_count == 0) pump(&s);
    answer(&s.b, 0, 0, "late", "");
    pump(&s);
    assert_int_equal(c.ended, 1);
    assert_int_equal(metric_get(M_PEER_ANSWERS_DROPPED_CALLER), dropped + 1);
}

static void say_answer(uint64_t number, uint32_t kind, uint64_t from)
{
    struct blob *b = peer_frame_pack(&(struct peer_frame){
        .number = number, .kind = kind, .is_answer = true, .head = SPAN_LIT("false") });

    s.a.events.on_frame(s.a.events.arg, from, WIRE_BULK, b);
}

static void test_an_answer_to_another_question_is_dropped(void **state)
{
    uint64_t dropped = metric_get(M_PEER_ANSWERS_DROPPED_CALLER);
    struct probe c;

    (void)state;
    probe_call(&s, &c, "", "");
    pump(&s);
    say_answer(c.call.number + 1, PEER_QUERY, 2);
    say_answer(c.call.number, PEER_ORDER, 2);
    say_answer(c.call.number, PEER_QUERY, 3); /* who was not asked */
    pump(&s);
    assert_int_equal(c.ended, 0);
    answer(&s.b, 0, 0, "true", "");
    pump(&s);
    say_answer(c.call.number, PEER_QUERY, 2); /* a second one */
    pump(&s);
    assert_int_equal(c.ended, 1);
    assert_string_equal(c.answer, "true|");
    assert_int_equal(metric_get(M_PEER_ANSWERS_DROPPED_CALLER), dropped + 4);
}

static void test_a_later_incarnation_uses_no_number_again(void **state)
{
    const struct wire_events behind = { &s.a, behind_frame, behind_peer, behind_room };
    struct peers *first = peers_new(1, 1, &behind), *second = peers_new(1, 2, &behind);

    (void)state;
    assert_true(second->numbers - first->numbers >= 1ull << PEER_NUMBER_BITS);
    peers_free(&first);
    peers_free(&second);
}

static void test_the_stop_ends_what_waits(void **state)
{
    struct probe c, after;

    (void)state;
    probe_call(&s, &c, "", "");
    pump(&s);
    peers_stop(s.a.peers);
    pump(&s);
    assert_int_equal(c.rv, ERR_CLOSED);
    probe_init(&after, "", "");
    assert_int_equal(peer_call(s.a.peers, s.loop, &after.call), ERR_CLOSED);
    answer(&s.b, 0, 0, "", "");
    pump(&s);
    assert_int_equal(c.ended, 1);
}

static void test_bytes_that_are_no_frame_are_refused_and_counted(void **state)
{
    static const char *const wrong[] = { "P", "Pabc", "P\0\0\1" };
    uint64_t refused = metric_get(M_PEER_FRAMES_REFUSED);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct blob *b = blob_new(8);

        assert_int_equal(blob_add(b, wrong[i], i == 0 ? 1 : 4, 8), 0);
        assert_true(s.b.events.on_frame(s.b.events.arg, 1, WIRE_BULK, b));
    }
    assert_int_equal(metric_get(M_PEER_FRAMES_REFUSED), refused + 3);
}

/* ---- bounds */

static void test_calls_to_a_node_are_bounded(void **state)
{
    struct probe *c = check_calloc(PEER_NODE_CALLS_MAX + 1, sizeof *c);
    struct probe *more = &c[PEER_NODE_CALLS_MAX];

    (void)state;
    for (unsigned i = 0; i < PEER_NODE_CALLS_MAX; i++)
        probe_call(&s, &c[i], "", "");
    probe_init(more, "", "");
    assert_int_equal(peer_call(s.a.peers, s.loop, &more->call), ERR_FULL);
    pump(&s);
    assert_int_equal(s.b.ask_count, PEER_NODE_ASKS_MAX);
    answer(&s.b, 0, 0, "", "");
    pump(&s);
    assert_int_equal(c[0].ended, 1);
    assert_int_equal(peer_call(s.a.peers, s.loop, &more->call), 0); /* there is room again */
    link_set(&s, WIRE_BULK, false);
    pump(&s);
    for (unsigned i = 0; i <= PEER_NODE_CALLS_MAX; i++)
        assert_int_equal(c[i].ended, 1);
    free(c);
}

static void test_who_is_asked_too_much_says_so(void **state)
{
    uint64_t refused = metric_get(M_PEER_ASKS_REFUSED);
    unsigned count = PEER_NODE_BYTES_MAX / (1u << 19) + 1;
    struct probe *c = check_calloc(count, sizeof *c);
    char *bytes = check_calloc(1, 1u << 19);

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        probe_init(&c[i], "", "");
        c[i].call.body = span_of(bytes, 1u << 19);
        assert_int_equal(peer_call(s.a.peers, s.loop, &c[i].call), 0);
        pump(&s);
    }
    assert_true(metric_get(M_PEER_ASKS_REFUSED) > refused);
    assert_int_equal(c[count - 1].rv, ERR_FULL);
    assert_true(c[count - 1].call.is_answered);
    assert_int_equal(c[0].ended, 0);
    for (unsigned i = 0; i < s.b.ask_count; i++)
        answer(&s.b, i, 0, "", "");
    pump(&s);
    assert_int_equal(c[0].rv, 0);
    free(bytes);
    free(c);
}

static void test_a_full_lane_keeps_the_order_and_is_bounded(void **state)
{
    char *bytes = check_calloc(1, 1u << 19);
    struct probe c[64], *last = NULL;
    unsigned n = 0;
    int rv = 0;

    (void)state;
    s.a.is_full[WIRE_BULK] = true;
    while (rv == 0) {
        assert_in_range(n, 0, 40);
        last = &c[n++];
        probe_init(last, "", "");
        last->number[0] = (char)n;
        last->call.request = span_of(last->number, 1);
        last->call.body = span_of(bytes, 1u << 19);
        rv = peer_call(s.a.peers, s.loop, &last->call);
    }
    assert_int_equal(rv, ERR_FULL);
    pump(&s);
    assert_int_equal(s.b.ask_count, 0);
    room(&s, WIRE_BULK);
    pump(&s);
    assert_int_equal(s.b.ask_count + 1, n);
    for (unsigned i = 0; i < s.b.ask_count; i++)
        assert_int_equal(s.b.asks[i]->request.p[0], i + 1);
    link_set(&s, WIRE_BULK, false);
    pump(&s);
    free(bytes);
}

static void test_a_call_that_waited_too_long_is_never_sent(void **state)
{
    struct probe first, c;

    (void)state;
    s.a.is_full[WIRE_BULK] = true;
    probe_call(&s, &first, "first", "");
    probe_init(&c, "second", "");
    c.call.within_ms = 1;
    assert_int_equal(peer_call(s.a.peers, s.loop, &c.call), 0);
    while (c.ended == 0)
        pump(&s);
    assert_int_equal(c.rv, ERR_TIMEOUT);
    assert_false(c.call.was_sent);
    room(&s, WIRE_BULK);
    pump(&s);
    assert_int_equal(s.b.ask_count, 1);
    assert_true(span_eq(s.b.asks[0]->request, SPAN_LIT("first")));
    answer(&s.b, 0, 0, "", "");
    pump(&s);
}

/* ---- who is there */

static unsigned changes;
static void on_change(struct peer_watch *w)
{
    (void)w;
    changes++;
}

static void test_who_comes_and_goes_is_told(void **state)
{
    struct peer_watch w = { .loop = s.loop, .on_change = on_change };
    struct peer_link up[WIRE_PEERS_MAX];
    uint64_t generation;

    (void)state;
    changes = 0;
    peers_watch(s.a.peers, &w);
    assert_int_equal(peers_up(s.a.peers, up), 1);
    assert_int_equal(up[0].node, 2);
    generation = up[0].generation;
    link_set(&s, WIRE_LOG, false);
    pump(&s);
    assert_int_equal(changes, 0); /* of the bulk lane only */
    link_set(&s, WIRE_BULK, false);
    assert_int_equal(peers_up(s.a.peers, up), 0);
    assert_false(peers_is_up(s.a.peers, 2));
    link_set(&s, WIRE_BULK, true);
    pump(&s);
    assert_int_equal(changes, 1); /* two are one letter */
    assert_int_equal(peers_up(s.a.peers, up), 1);
    assert_true(up[0].generation > generation);
    peers_stop(s.a.peers);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_call_is_answered_by_the_service_of_its_kind),
        T(what_the_other_node_says_is_told_as_its_word),
        T(answers_may_come_in_another_order),
        T(a_kind_that_nobody_serves_is_answered),
        T(frames_of_others_go_on),
        T(bytes_that_are_too_long_are_not_sent),
        T(a_lane_that_goes_down_ends_its_calls_at_once),
        T(a_lane_that_is_down_takes_no_call),
        T(an_answer_does_not_go_to_the_next_connection),
        T(a_late_answer_is_dropped_and_counted),
        T(an_answer_to_another_question_is_dropped),
        T(a_later_incarnation_uses_no_number_again),
        T(the_stop_ends_what_waits),
        T(bytes_that_are_no_frame_are_refused_and_counted),
        T(calls_to_a_node_are_bounded),
        T(who_is_asked_too_much_says_so),
        T(a_full_lane_keeps_the_order_and_is_bounded),
        T(a_call_that_waited_too_long_is_never_sent),
        T(who_comes_and_goes_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
