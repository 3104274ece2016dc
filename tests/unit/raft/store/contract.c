/* contract - what both implementations promise, told to each in turn. */
#include "tests/unit/raft/store/place.h"

struct both {
    struct place place;
    struct store *store;
};

static int open_rocks(void **state)
{
    struct both *b = check_calloc(1, sizeof *b);

    place_open(&b->place);
    b->store = open_log(&b->place, NULL);
    *state = b;
    return 0;
}

static int close_rocks(void **state)
{
    struct both *b = *state;

    store_close(&b->store);
    assert_null(b->store);
    place_close(&b->place);
    free(b);
    return 0;
}

static int open_mem(void **state)
{
    struct both *b = check_calloc(1, sizeof *b);
    bool tainted = true;

    assert_int_equal(store_open(&b->store, &(struct store_options){ 0 }, &tainted, NULL), 0);
    assert_false(tainted);
    *state = b;
    return 0;
}

static int close_mem(void **state)
{
    struct both *b = *state;

    store_close(&b->store);
    free(b);
    return 0;
}

static void a_group_never_written_is_empty(void **state)
{
    struct store_group g = read_group(((struct both *)*state)->store, 5);

    assert_false(g.known);
    assert_true(g.first == 1 && g.last == 0 && g.last_term == 0 && g.bytes == 0 &&
                g.hard.term == 0);
}

static void what_is_written_is_read(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_op ops[] = { op_hard(5, 3, 1), op_entry(5, 1, 3, "head", "body one"),
                              op_entry(6, 1, 1, "", ""), op_entry(5, 2, 3, "", "body two") };
    enum core_entry_kind kind;
    struct store_group g;
    struct blob *head, *body;
    uint64_t term;

    write_ops(s, ops, 4);
    g = read_group(s, 5);
    assert_true(g.known && g.hard.term == 3 && g.hard.vote == 1);
    assert_true(g.first == 1 && g.last == 2 && g.last_term == 3 && g.bytes == 4 + 8 + 8);
    assert_int_equal(store_entry_read(s, 5, 1, &kind, &term, &head, &body), 0);
    assert_true(kind == CORE_COMMAND && term == 3);
    assert_true(span_eq(blob_span(head), SPAN_LIT("head")) &&
                span_eq(blob_span(body), SPAN_LIT("body one")));
    blob_unref(&head);
    blob_unref(&body);
    assert_int_equal(store_entry_read(s, 5, 2, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(store_entry_read(s, 5, 3, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_entry_read(s, 7, 1, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    assert_false(read_group(s, 6).known); /* entries, no hard state */
}

static void a_cut_forgets_and_remembers_where(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_group g;

    write_one(s, op_hard(5, 2, 1));
    write_entries(s, 5, 1, 6, 2);
    write_entries(s, 4, 1, 3, 1);
    write_entries(s, 6, 1, 3, 1);
    write_one(s, op_cut(5, 1, 2, 2));
    write_one(s, op_cut(5, 3, 4, 2));
    for (uint64_t i = 1; i <= 6; i++)
        assert_int_equal(store_entry_read(s, 5, i, NULL, NULL, NULL, NULL),
                         i <= 4 ? ERR_NOT_FOUND : 0);
    g = read_group(s, 5);
    assert_true(g.first == 5 && g.last == 6 && g.bytes == 10);
    write_one(s, op_cut(5, 5, 6, 2));
    g = read_group(s, 5);
    assert_true(g.known && g.first == 7 && g.last == 6 && g.last_term == 2 && g.bytes == 0);
    assert_int_equal(read_group(s, 4).last, 3); /* the neighbours */
    assert_int_equal(read_group(s, 6).last, 3);
    write_entries(s, 5, 7, 7, 3);
    assert_int_equal(read_group(s, 5).last, 7);
}

struct walk {
    uint64_t next, stop_at;
};

static bool walk_on(void *arg, const struct store_entry *e)
{
    struct walk *w = arg;
    char head[32];

    assert_int_equal(e->index, w->next++);
    snprintf(head, sizeof head, "%llu", (unsigned long long)e->index);
    assert_true(span_eq(e->head, span_cstr(head)) && span_eq(e->body, SPAN_LIT("body")));
    return e->index != w->stop_at;
}

static void entries_come_in_order_until_told_to_stop(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct walk w = { .next = 3 };

    write_entries(s, 5, 1, 300, 1); /* index bytes carry over */
    write_entries(s, 6, 1, 5, 1);
    assert_int_equal(store_entries_each(s, 5, 3, 300, &w, walk_on), 0);
    assert_int_equal(w.next, 301);
    w = (struct walk){ .next = 250, .stop_at = 260 };
    assert_int_equal(store_entries_each(s, 5, 250, 300, &w, walk_on), 0);
    assert_int_equal(w.next, 261);
    w = (struct walk){ .next = 299 };
    assert_int_equal(store_entries_each(s, 5, 299, 301, &w, walk_on), ERR_NOT_FOUND);
    w = (struct walk){ .next = 1 };
    assert_int_equal(store_entries_each(s, 5, 2, 1, &w, walk_on), 0); /* an empty range */
    assert_int_equal(w.next, 1);
}

#define FOR_BOTH(test)                                                                             \
    { #test " (rocks)", test, open_rocks, close_rocks, NULL },                                     \
    {                                                                                              \
#test " (mem)", test, open_mem, close_mem, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOR_BOTH(a_group_never_written_is_empty),
        FOR_BOTH(what_is_written_is_read),
        FOR_BOTH(a_cut_forgets_and_remembers_where),
        FOR_BOTH(entries_come_in_order_until_told_to_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
