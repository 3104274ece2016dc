/* question - what nodes ask each other: it comes as it was sent, or is refused; pages of several nodes are one page, which
 * goes on where it ended: nothing twice, nothing left out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/question.h"
#include "node/ops/text.h"

/* ---- words */

static struct question there_and_back(const struct question *q)
{
    char *text = question_print(q);
    struct question out;

    assert_true(strlen(text) < QUESTION_TEXT_MAX);
    assert_int_equal(question_parse(span_cstr(text), &out), 0);
    free(text);
    return out;
}

static void questions_come_as_they_were_sent(void **state)
{
    struct question q = { .kind = QUESTION_QUEUE,
                          .limit = 7,
                          .after = { 3, PROTO_INDEX_MAX, 0 },
                          .domain = "b\xc3\xbc"
                                    "cher.example",
                          .by_state = true,
                          .by_doubt = true,
                          .state = ANGARIUM__RECIPIENT_STATE__RECIPIENT_HELD,
                          .shard_count = 2,
                          .shards = { 4, PROTO_SHARD_MAX } },
                    got = there_and_back(&q);

    (void)state;
    assert_memory_equal(&q, &got, sizeof q);
    q = (struct question){ .kind = QUESTION_EVENTS,
                           .limit = 500,
                           .after = { PROTO_SHARD_MAX, 1, UINT32_MAX },
                           .filter = { .type = ANGARIUM__EVENT_TYPE__EVENT_BOUNCED,
                                       .message = UINT64_MAX,
                                       .since_ms = 1764000000000,
                                       .recipient = "a@example.org" } };
    got = there_and_back(&q);
    assert_memory_equal(&q, &got, sizeof q);
    q = (struct question){ .kind = QUESTION_STORY,
                           .id = proto_id(PROTO_SHARD_MAX, 9),
                           .skip = 5,
                           .limit = OPS_LIMIT_DEFAULT,
                           .shard_count = 1,
                           .shards = { PROTO_SHARD_MAX } };
    got = there_and_back(&q);
    assert_memory_equal(&q, &got, sizeof q);
    q.kind = QUESTION_PIECE;
    q.from = PIECE_INBOX;
    q.recipient_first = 3;
    q.recipient_last = PROTO_RECIPIENTS_MAX;
    got = there_and_back(&q);
    assert_memory_equal(&q, &got, sizeof q);
}

static void all_shards_fit(void **state)
{
    struct question q = { .kind = QUESTION_SHARDS, .limit = OPS_LIMIT_DEFAULT }, got;

    (void)state;
    for (uint32_t i = 0; i < QUESTION_SHARDS_MAX; i++)
        q.shards[q.shard_count++] = PROTO_SHARD_MAX - QUESTION_SHARDS_MAX + i;
    got = there_and_back(&q);
    assert_memory_equal(&q, &got, sizeof q);
}

static void what_is_no_question_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        "{\"kind\":\"queue\"}",
        "{\"kind\":\"quack\",\"shards\":[]}",
        "{\"kind\":\"queue\",\"shards\":[0]}",
        "{\"kind\":\"queue\",\"shards\":[2,2]}",
        "{\"kind\":\"queue\",\"shards\":[2,1]}",
        "{\"kind\":\"queue\",\"shards\":[1048576]}",
        "{\"kind\":\"queue\",\"shards\":[1],\"limit\":501}",
        "{\"kind\":\"queue\",\"shards\":[1],\"limit\":-1}",
        "{\"kind\":\"queue\",\"shards\":[1],\"limit\":\"5\"}",
        "{\"kind\":\"queue\",\"shards\":[1],\"state\":\"delivered\"}",
        "{\"kind\":\"queue\",\"shards\":[1],\"state\":3}",
        "{\"kind\":\"queue\",\"shards\":[1],\"domain\":\"a\\u0000b\"}",
        "{\"kind\":\"queue\",\"shards\":[1],\"after\":[1,2]}",
        "{\"kind\":\"queue\",\"shards\":[1],\"after\":[1,2,-3]}",
        "{\"kind\":\"events\",\"shards\":[1],\"type\":13}",
        "{\"kind\":\"events\",\"shards\":[1],\"since_ms\":-5}",
        "{\"kind\":\"events\",\"shards\":[1],\"message\":\"x\"}",
        "{\"kind\":\"message\",\"shards\":[1],\"id\":\"0004g00000002\"}",
        "{\"kind\":\"message\",\"shards\":[],\"id\":\"0004g00000002\"}",
        "{\"kind\":\"queue\",\"kind\":\"queue\",\"shards\":[]}",
    };
    struct question q;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (question_parse(span_cstr(wrong[i]), &q) == 0) fail_msg("taken: %s", wrong[i]);
}

/* ---- pages */

#define NODES      3u
#define SHARDS     7u
#define ENTRIES    40u
#define LOOKED_MAX 25u

/* What one node would say: it holds every third shard; in each are messages 1..ENTRIES, of which those fit that fits() says. */
static bool fits(uint32_t shard, uint64_t entry, unsigned seed)
{
    return (shard * 31 + entry * 7 + seed) % 3 != 0;
}

static json_t *say(const struct question *q, unsigned node, unsigned seed, unsigned looked_max)
{
    json_t *items = json_array(), *page;
    struct place at = { 0 };
    unsigned looked = 0;
    bool early = false;

    for (uint32_t shard = node + 1; shard <= SHARDS && !early; shard += NODES)
        for (uint64_t entry = 1; entry <= ENTRIES && !early; entry++) {
            struct place here = { shard, entry, 0 };
            json_t *item;

            if (place_compare(here, q->after) <= 0) continue;
            early = json_array_size(items) >= q->limit || looked >= looked_max;
            if (early) break;
            looked++;
            at = here;
            if (!fits(shard, entry, seed)) continue;
            item = json_object();
            json_put_id(item, "id", proto_id(shard, entry));
            json_array_append_new(items, item);
        }
    page = json_page(items, NULL);
    json_object_set_new(page, "counts", json_pack("{s:i}", "messages", (int)node + 1));
    if (early) json_object_set_new(page, "stop", place_json(at));
    return page;
}

/* The items of a page as rows, as a node has its own. */
static struct rows *rows_of(const struct question *q, json_t *page)
{
    json_t *items = json_object_get(page, "items"), *item;
    struct rows *rows = rows_new(q->limit);
    struct place at;
    size_t i;

    json_array_foreach(items, i, item)
    {
        assert_true(place_of_item(q->kind, item, &at));
        text_add_json(&rows->text, item);
        rows_added(rows, at);
    }
    json_object_del(page, "items");
    return rows;
}

static json_t *merged(const struct question *q, const struct answer *answers, unsigned count)
{
    struct buf items, text;
    json_t *rest, *page;

    buf_init(&items, SIZE_MAX / 2);
    buf_init(&text, SIZE_MAX / 2);
    rest = merge_pages(q, answers, count, &items);
    text_add_page(&text, buf_span(&items), rest);
    page = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(page);
    json_decref(rest);
    buf_deinit(&items);
    buf_deinit(&text);
    return page;
}

static json_t *page_of(const struct question *q, unsigned seed)
{
    struct answer answers[NODES];
    struct rows *rows[NODES] = { NULL };
    json_t *page;

    for (unsigned i = 0; i < NODES; i++) {
        answers[i].json =
            say(q, (i + seed) % NODES, seed, 1 + (LOOKED_MAX * (i + 1) + seed) % LOOKED_MAX);
        if ((i + seed) % 2 == 0) rows[i] = rows_of(q, answers[i].json);
        answers[i].rows = rows[i];
    }
    page = merged(q, answers, NODES);
    for (unsigned i = 0; i < NODES; i++) {
        json_decref(answers[i].json);
        rows_free(&rows[i]);
    }
    return page;
}

static void next_wanted(struct place *p, unsigned seed)
{
    do {
        if (p->shard == 0 || p->entry == ENTRIES)
            *p = (struct place){ p->shard + 1, 1, 0 };
        else
            p->entry++;
    } while (p->shard <= SHARDS && !fits(p->shard, p->entry, seed));
}

static void walk(unsigned seed, unsigned limit)
{
    struct question q = { .kind = QUESTION_QUEUE, .limit = limit };
    struct place wanted = { 0 };
    bool goes_on = true;
    unsigned pages = 0;

    next_wanted(&wanted, seed);
    while (goes_on) {
        json_t *page = page_of(&q, seed), *items = json_object_get(page, "items"), *item, *cursor;
        struct place before = q.after;
        size_t i;

        assert_true(json_array_size(items) <= limit);
        json_array_foreach(items, i, item)
        {
            struct place p;

            assert_true(place_of_item(q.kind, item, &p));
            assert_int_equal(place_compare(p, wanted), 0);
            next_wanted(&wanted, seed);
        }
        assert_int_equal(
            json_integer_value(json_object_get(json_object_get(page, "counts"), "messages")), 6);
        cursor = json_object_get(page, "next_cursor");
        goes_on = json_is_string(cursor);
        if (goes_on) {
            uint64_t id;

            assert_int_equal(base32_parse(span_cstr(json_string_value(cursor)), &id), 0);
            q.after = (struct place){ proto_id_shard(id), proto_id_index(id), 0 };
            assert_true(place_compare(q.after, before) > 0);
        }
        json_decref(page);
        assert_true(++pages < 2000);
    }
    assert_int_equal(wanted.shard, SHARDS + 1);
}

static void pages_of_several_nodes_are_one_list(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 30; seed++)
        for (unsigned limit = 1; limit < 60; limit += 7)
            walk(seed, limit);
}

static void nobody_answers(void **state)
{
    struct question q = { .kind = QUESTION_EVENTS, .limit = 5 };
    json_t *page = merged(&q, NULL, 0);

    (void)state;
    assert_int_equal(json_array_size(json_object_get(page, "items")), 0);
    assert_true(json_is_null(json_object_get(page, "next_cursor")));
    json_decref(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_come_as_they_were_sent),
        cmocka_unit_test(all_shards_fit),
        cmocka_unit_test(what_is_no_question_is_refused),
        cmocka_unit_test(pages_of_several_nodes_are_one_list),
        cmocka_unit_test(nobody_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
