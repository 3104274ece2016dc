/* follow - the way of a reader through the events of all shards, over a cluster that the test plays: nodes die, hang, lag and lead no
 * more, readers go and come back with their cursor; each event comes once, in its shard's order, none is left out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "node/emit/emit.h"
#include "node/ops/follow.h"
#include "proto/ground/check.h"
#include "proto/ground/rng.h"

#define NODES     4u
#define SHARDS    5u
#define ENTRY_MAX 4000u
#define STEP_MS   100u

/* ---- a cluster: shard s is held by all nodes but one; each holder has its log up to somewhere */

struct town {
    uint64_t now_ms, end[SHARDS + 1], has[NODES + 1][SHARDS + 1]; /* entries 1..end */
    unsigned leader[SHARDS + 1];
    bool is_up[NODES + 1], hangs[NODES + 1];
    struct { /* a question that is out */
        bool is_out;
        uint64_t since_ms;
        struct follow_question q;
    } out[NODES + 1];
    struct follow *follow;
    struct buf cursor;
    uint64_t told[SHARDS + 1]; /* the last entry that the reader got */
    unsigned seen, asked;
    uint64_t begun[SHARDS + 1];
    struct rng rng;
};

static bool holds(unsigned node, uint32_t shard)
{
    return node % SHARDS != shard % SHARDS;
}

static unsigned town_holders(void *arg, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX])
{
    const struct town *t = arg;
    unsigned n = 0;

    if (t->is_up[t->leader[shard]]) out[n++] = t->leader[shard];
    for (unsigned node = 1; node <= NODES; node++)
        if (t->is_up[node] && holds(node, shard) && node != t->leader[shard]) out[n++] = node;
    return n;
}

static int town_ask(void *arg, uint64_t node, const struct follow_question *q)
{
    struct town *t = arg;

    assert_false(t->out[node].is_out);
    assert_true(q->count > 0);
    if (!t->is_up[node]) return ERR_CLOSED;
    t->out[node].is_out = true;
    t->out[node].since_ms = t->now_ms;
    t->out[node].q = *q;
    t->asked++;
    return 0;
}

static const struct follow_calls *calls_of(struct town *t)
{
    static struct follow_calls calls;

    calls = (struct follow_calls){ t, town_holders, town_ask };
    return &calls;
}

static json_t *event(uint32_t shard, uint64_t entry)
{
    char id[EMIT_EVENT_ID_SIZE];

    emit_event_id(shard, entry, 0, id);
    return json_pack("{s:s, s:s}", "id", id, "type", "accepted");
}

static uint64_t time_of(uint64_t entry)
{
    return 1000000 + entry * 1000;
}

static void say_shard(const struct town *t, unsigned node, const struct follow_question *q,
                      struct follow_at at, json_t *answer)
{
    uint64_t end = t->has[node][at.shard];
    json_t *items = json_object_get(answer, "items");
    unsigned n = 0;

    if (at.mode == FOLLOW_END) {
        at.entry = end + 1;
    } else if (at.mode == FOLLOW_EVENT) {
        if (at.entry <= end)
            json_object_set_new(answer, "time_ms", json_integer((json_int_t)time_of(at.entry)));
        at.number++;
    } else {
        uint64_t entry = at.number > 0 ? at.entry + 1 : at.entry;

        for (entry = entry ? entry : 1; entry <= end && n < 7; entry++) {
            at.entry = entry;
            at.number = 1;
            if (at.mode == FOLLOW_SINCE && time_of(entry) < q->since_ms) continue;
            json_array_append_new(items, event(at.shard, entry));
            n++;
        }
        if (entry <= end) { /* full: its mode stays */
            json_array_append_new(json_object_get(answer, "at"), follow_at_json(&at));
            return;
        }
    }
    at.mode = FOLLOW_FROM;
    json_array_append_new(json_object_get(answer, "at"), follow_at_json(&at));
}

static void town_answer(struct town *t, unsigned node)
{
    const struct follow_question *q = &t->out[node].q;
    json_t *answer = json_pack("{s:[], s:[]}", "items", "at");

    t->out[node].is_out = false;
    for (unsigned i = 0; i < q->count; i++)
        if (holds(node, q->at[i].shard)) say_shard(t, node, q, q->at[i], answer);
    follow_answered(t->follow, node, 0, NULL, answer, t->now_ms);
}

static void town_fail(struct town *t, unsigned node, int rv)
{
    t->out[node].is_out = false;
    follow_answered(t->follow, node, rv, "it went away", NULL, t->now_ms);
}

/* What is due of what is out: who is up and does not hang answers, a hanging one fails in its time. */
static void turn(struct town *t, bool answers)
{
    t->now_ms += STEP_MS;
    for (unsigned node = 1; node <= NODES; node++) {
        if (!t->out[node].is_out) continue;
        if (!t->is_up[node])
            town_fail(t, node, ERR_CLOSED);
        else if (t->hangs[node]) {
            if (t->now_ms >= t->out[node].since_ms + FOLLOW_WITHIN_MS)
                town_fail(t, node, ERR_TIMEOUT);
        } else if (answers)
            town_answer(t, node);
    }
    follow_pump(t->follow, t->now_ms);
}

static void drop_out(struct town *t)
{
    for (unsigned node = 1; node <= NODES; node++)
        t->out[node].is_out = false;
}

static void read_some(struct town *t, unsigned max)
{
    const json_t *e;
    struct buf cursor;

    buf_init(&cursor, FOLLOW_CURSOR_MAX + 1);
    while (max-- > 0 && (e = follow_next(t->follow, &cursor)) != NULL) {
        struct place p;

        assert_true(place_of_item(QUESTION_EVENTS, e, &p));
        if (p.entry != t->told[p.shard] + 1)
            fail_msg("shard %u: entry %u after %u", p.shard, (unsigned)p.entry,
                     (unsigned)t->told[p.shard]);
        t->told[p.shard] = p.entry;
        t->seen++;
        buf_reset(&t->cursor);
        buf_add_span(&t->cursor, buf_span(&cursor));
        buf_reset(&cursor);
    }
    buf_deinit(&cursor);
}

static void write_some(struct town *t)
{
    for (uint32_t s = 1; s <= SHARDS; s++) {
        unsigned leader = t->leader[s];

        if (t->is_up[leader] && !t->hangs[leader] && t->end[s] < ENTRY_MAX &&
            t->has[leader][s] == t->end[s])
            t->end[s] += rng_below(&t->rng, 4);
        for (unsigned node = 1; node <= NODES; node++)
            if (holds(node, s) && t->is_up[node] && (node == leader || rng_below(&t->rng, 3) == 0))
                t->has[node][s] = t->end[s];
    }
}

static const uint32_t all_shards[SHARDS] = { 1, 2, 3, 4, 5 };

static void begin(struct town *t, struct span cursor)
{
    const struct event_filter any = { 0 };

    t->follow = follow_new(calls_of(t), &any, time_of(1));
    if (cursor.n > 0) assert_int_equal(follow_resume(t->follow, cursor), 0);
    follow_set_shards(t->follow, all_shards, SHARDS);
    follow_pump(t->follow, t->now_ms);
}

static void come_again(struct town *t)
{
    follow_free(&t->follow);
    drop_out(t);
    begin(t, buf_span(&t->cursor));
}

static void town_open(struct town *t, uint64_t seed)
{
    *t = (struct town){ .now_ms = 50000 };
    rng_seed(&t->rng, seed);
    buf_init(&t->cursor, FOLLOW_CURSOR_MAX + 1);
    for (unsigned node = 1; node <= NODES; node++)
        t->is_up[node] = true;
    for (uint32_t s = 1; s <= SHARDS; s++) {
        t->end[s] = 3;
        t->leader[s] = s % NODES + 1;
        if (!holds(t->leader[s], s)) t->leader[s] = t->leader[s] % NODES + 1;
        for (unsigned node = 1; node <= NODES; node++)
            t->has[node][s] = holds(node, s) ? t->end[s] : 0;
    }
}

static void town_close(struct town *t)
{
    follow_free(&t->follow);
    buf_deinit(&t->cursor);
}

/* From now on: what was before is not told. */
static void open_live(struct town *t)
{
    begin(t, span_of(NULL, 0));
    assert_false(follow_is_open(t->follow));
    for (unsigned i = 0; i < 5 && !follow_is_open(t->follow); i++)
        turn(t, true);
    assert_true(follow_is_open(t->follow));
    for (uint32_t s = 1; s <= SHARDS; s++)
        t->told[s] = t->begun[s] = t->end[s];
}

static void settle(struct town *t)
{
    for (unsigned node = 1; node <= NODES; node++) {
        t->is_up[node] = true;
        t->hangs[node] = false;
    }
    for (unsigned i = 0; i < 1200; i++) {
        for (uint32_t s = 1; s <= SHARDS; s++)
            for (unsigned node = 1; node <= NODES; node++)
                if (holds(node, s)) t->has[node][s] = t->end[s];
        turn(t, true);
        read_some(t, 100);
    }
    for (uint32_t s = 1; s <= SHARDS; s++)
        assert_int_equal(t->told[s], t->end[s]);
}

/* ---- the tests */

static void from_now_on(void **state)
{
    struct town t;

    (void)state;
    town_open(&t, 1);
    open_live(&t);
    for (unsigned i = 0; i < 50; i++) {
        write_some(&t);
        turn(&t, true);
        read_some(&t, 100);
    }
    settle(&t);
    assert_true(t.seen > 100);
    town_close(&t);
}

static void mischief(struct town *t)
{
    unsigned node = 1 + (unsigned)rng_below(&t->rng, NODES);
    uint32_t s = 1 + (uint32_t)rng_below(&t->rng, SHARDS);

    switch (rng_below(&t->rng, 12)) {
    case 0:
        t->is_up[node] = !t->is_up[node];
        break;
    case 1:
        t->hangs[node] = !t->hangs[node];
        break;
    case 2:
        if (holds(node, s) && t->has[node][s] == t->end[s]) t->leader[s] = node;
        break;
    default:
        break;
    }
}

static void each_event_once_whatever_happens(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct town t;

        town_open(&t, seed);
        open_live(&t);
        for (unsigned i = 0; i < 300; i++) {
            mischief(&t);
            write_some(&t);
            turn(&t, rng_below(&t.rng, 3) > 0);
            read_some(&t, (unsigned)rng_below(&t.rng, 30));
            if (t.cursor.n > 0 && rng_below(&t.rng, 25) == 0) come_again(&t);
        }
        settle(&t);
        town_close(&t);
    }
}

static void a_dead_leader_costs_nothing_and_a_hanging_one_one_wait(void **state)
{
    struct town t;
    unsigned leader;
    uint64_t begun;

    (void)state;
    town_open(&t, 3);
    open_live(&t);
    leader = t.leader[1];
    t.hangs[leader] = true;
    turn(&t, true);
    t.end[1] += 5;
    for (unsigned node = 1; node <= NODES; node++)
        if (node != leader && holds(node, 1)) t.has[node][1] = t.end[1];
    for (begun = t.now_ms; t.told[1] != t.end[1];) {
        turn(&t, true);
        read_some(&t, 10);
        assert_true(t.now_ms <= begun + FOLLOW_WITHIN_MS + 2 * STEP_MS);
    }
    assert_string_equal(follow_why_missing(t.follow, leader), "it went away");
    t.hangs[leader] = false;
    t.is_up[leader] = false;
    t.end[1] += 5;
    for (unsigned node = 1; node <= NODES; node++)
        if (node != leader && holds(node, 1)) t.has[node][1] = t.end[1];
    turn(&t, true);
    turn(&t, true);
    read_some(&t, 10);
    assert_int_equal(t.told[1], t.end[1]);
    town_close(&t);
}

/* Who reads nothing is asked nothing for: one answer a node waits, at most. */
static void a_slow_reader_makes_no_work(void **state)
{
    struct town t;

    (void)state;
    town_open(&t, 4);
    open_live(&t);
    for (unsigned i = 0; i < 20; i++) {
        write_some(&t);
        turn(&t, true);
    }
    t.asked = 0;
    for (unsigned i = 0; i < 100; i++) {
        write_some(&t);
        turn(&t, true);
    }
    assert_int_equal(t.asked, 0);
    settle(&t);
    town_close(&t);
}

static void nobody_says_where_now_is(void **state)
{
    struct town t;
    uint32_t missing[QUESTION_SHARDS_MAX];

    (void)state;
    town_open(&t, 5);
    for (unsigned node = 1; node <= NODES; node++)
        t.is_up[node] = false;
    begin(&t, span_of(NULL, 0));
    turn(&t, true);
    assert_false(follow_is_open(t.follow));
    assert_int_equal(follow_unanswered(t.follow, missing), SHARDS);
    assert_true(follow_open_now(t.follow));
    assert_true(follow_is_open(t.follow));
    settle(&t); /* by time: all that was not long before it began */
    assert_int_equal(follow_unanswered(t.follow, missing), 0);
    town_close(&t);
}

/* An event's own id: what came after it in its shard, in the others what is not much older. */
static void an_event_is_a_cursor(void **state)
{
    struct town t;
    char id[EMIT_EVENT_ID_SIZE];

    (void)state;
    town_open(&t, 6);
    for (uint32_t s = 1; s <= SHARDS; s++) {
        t.end[s] = 40;
        t.told[s] = 20 - FOLLOW_OVERLAP_MS / 1000 - 1;
    }
    t.told[2] = 20;
    for (uint32_t s = 1; s <= SHARDS; s++)
        for (unsigned node = 1; node <= NODES; node++)
            t.has[node][s] = holds(node, s) ? t.end[s] : 0;
    emit_event_id(2, 20, 0, id);
    begin(&t, span_cstr(id));
    assert_false(follow_is_open(t.follow));
    settle(&t);
    town_close(&t);
}

static void nobody_knows_the_cursors_event(void **state)
{
    struct town t;
    char id[EMIT_EVENT_ID_SIZE];

    (void)state;
    town_open(&t, 7);
    for (unsigned node = 1; node <= NODES; node++)
        t.is_up[node] = false;
    emit_event_id(2, 20, 0, id);
    begin(&t, span_cstr(id));
    assert_false(follow_open_now(t.follow));
    town_close(&t);
}

static void a_new_shard_is_told_whole(void **state)
{
    struct town t;
    const struct event_filter any = { 0 };

    (void)state;
    town_open(&t, 8);
    t.follow = follow_new(calls_of(&t), &any, time_of(1));
    follow_set_shards(t.follow, all_shards, SHARDS - 1);
    follow_pump(t.follow, t.now_ms);
    while (!follow_is_open(t.follow))
        turn(&t, true);
    for (uint32_t s = 1; s < SHARDS; s++)
        t.told[s] = t.end[s];
    follow_set_shards(t.follow, all_shards, SHARDS);
    settle(&t);
    follow_set_shards(t.follow, all_shards, SHARDS - 1); /* it goes, and comes back */
    turn(&t, true);
    follow_set_shards(t.follow, all_shards, SHARDS);
    write_some(&t);
    settle(&t);
    town_close(&t);
}

/* ---- words */

static void cursors_come_as_they_went(void **state)
{
    static struct follow_at at[QUESTION_SHARDS_MAX], got[QUESTION_SHARDS_MAX];
    struct buf text;
    uint64_t since;
    unsigned count;

    (void)state;
    for (unsigned i = 0; i < QUESTION_SHARDS_MAX; i++)
        at[i] = (struct follow_at){ .shard = PROTO_SHARD_MAX - QUESTION_SHARDS_MAX + i + 1,
                                    .entry = PROTO_INDEX_MAX - i,
                                    .number = UINT32_MAX - i,
                                    .mode = i % 2 ? FOLLOW_SINCE : FOLLOW_FROM };
    buf_init(&text, FOLLOW_CURSOR_MAX);
    follow_cursor_print(1764000000000, at, QUESTION_SHARDS_MAX, &text);
    assert_false(buf_failed(&text));
    assert_int_equal(follow_cursor_parse(buf_span(&text), &since, got, &count), 0);
    assert_int_equal(count, QUESTION_SHARDS_MAX);
    assert_int_equal(since, 1764000000000);
    assert_memory_equal(at, got, sizeof at);
    for (size_t n = 0; n < text.n; n += 97) /* cut anywhere it is refused, or means less */
        if (follow_cursor_parse(span_sub(buf_span(&text), 0, n), &since, got, &count) == 0)
            assert_true(count < QUESTION_SHARDS_MAX);
    buf_deinit(&text);
}

static void questions_come_as_they_went(void **state)
{
    static struct follow_question q, got;
    char *text;

    (void)state;
    q = (struct follow_question){ .filter = { .type = ANGARIUM__EVENT_TYPE__EVENT_BOUNCED,
                                              .message = UINT64_MAX,
                                              .since_ms = 5,
                                              .recipient = "a@example.org" },
                                  .since_ms = 1764000000000,
                                  .wait_ms = FOLLOW_WAIT_MS };
    for (; q.count < QUESTION_SHARDS_MAX; q.count++)
        q.at[q.count] = (struct follow_at){ .shard = PROTO_SHARD_MAX,
                                            .entry = PROTO_INDEX_MAX,
                                            .number = UINT32_MAX,
                                            .mode = FOLLOW_EVENT };
    text = follow_print(&q);
    assert_int_equal(follow_parse(span_cstr(text), &got), 0);
    assert_memory_equal(&q, &got, sizeof q);
    free(text);
}

static void what_is_none_is_refused(void **state)
{
    static const char *const cursors[] = { "",    "x",   "~",     "~A",    "~AA",    "~AgA",
                                           "~!!", "~AQ", "~AQAA", "~AQD_", "~AQACAA" };
    static struct follow_at at[QUESTION_SHARDS_MAX];
    static struct follow_question q;
    uint64_t since;
    unsigned count;

    (void)state;
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++)
        if (follow_cursor_parse(span_cstr(cursors[i]), &since, at, &count) == 0)
            fail_msg("taken: %s", cursors[i]);
    assert_int_equal(follow_parse(SPAN_LIT("{}"), &q), ERR_SYNTAX);
    assert_int_equal(
        follow_parse(SPAN_LIT("{\"at\":[[0,0,0,0]],\"since_ms\":0,\"wait_ms\":0,\"type\":0,"
                              "\"message\":\"0000000000000\",\"not_before_ms\":0,"
                              "\"recipient\":\"\"}"),
                     &q),
        ERR_SYNTAX);
    assert_int_equal(
        follow_parse(SPAN_LIT("{\"at\":[[1,0,0,0]],\"since_ms\":0,\"wait_ms\":0,\"type\":0,"
                              "\"message\":\"0000000000000\",\"not_before_ms\":0,"
                              "\"recipient\":\"\"}"),
                     &q),
        0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_now_on),
        cmocka_unit_test(each_event_once_whatever_happens),
        cmocka_unit_test(a_dead_leader_costs_nothing_and_a_hanging_one_one_wait),
        cmocka_unit_test(a_slow_reader_makes_no_work),
        cmocka_unit_test(nobody_says_where_now_is),
        cmocka_unit_test(an_event_is_a_cursor),
        cmocka_unit_test(nobody_knows_the_cursors_event),
        cmocka_unit_test(a_new_shard_is_told_whole),
        cmocka_unit_test(cursors_come_as_they_went),
        cmocka_unit_test(questions_come_as_they_went),
        cmocka_unit_test(what_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
