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

/* ---- what groups of several members need */

static struct store_op op_config(enum store_op_kind kind, uint64_t group, uint64_t index,
                                 const char *bytes)
{
    return (struct store_op){
        .kind = kind, .entry = { .group = group, .index = index, .head = span_cstr(bytes) }
    };
}

static struct store_op op_truncate(uint64_t group, uint64_t from, uint64_t to)
{
    return (struct store_op){ .kind = STORE_TRUNCATE,
                              .entry = { .group = group, .index = from },
                              .truncate_to = to };
}

static bool config_is(const struct store_config *c, uint64_t index, const char *bytes)
{
    return c->n > 0 && c->index == index && span_eq(span_of(c->bytes, c->n), span_cstr(bytes));
}

static void a_suffix_gives_way_to_other_entries_in_one_write(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_op ops[] = { op_truncate(5, 3, 6), op_entry(5, 3, 2, "new", "three"),
                              op_entry(5, 4, 2, "new", "four") };
    struct store_group g;
    struct blob *body;

    write_entries(s, 4, 1, 6, 1);
    write_entries(s, 5, 1, 6, 1);
    write_entries(s, 6, 1, 6, 1);
    write_ops(s, ops, 3);
    g = read_group(s, 5);
    assert_true(g.first == 1 && g.last == 4 && g.last_term == 2);
    assert_int_equal(store_entry_read(s, 5, 3, NULL, NULL, NULL, &body), 0);
    assert_true(span_eq(blob_span(body), SPAN_LIT("three")));
    blob_unref(&body);
    assert_int_equal(store_entry_read(s, 5, 5, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    assert_int_equal(read_group(s, 4).last, 6); /* the neighbours */
    assert_int_equal(read_group(s, 6).last, 6);
    write_one(s, op_truncate(5, 1, 4));
    assert_int_equal(read_group(s, 5).last, 0);
}

static void terms_are_told_as_runs(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_group g;

    write_entries(s, 5, 1, 3, 2);
    write_entries(s, 5, 4, 4, 5);
    write_entries(s, 5, 5, 9, 6);
    g = read_group(s, 5);
    assert_int_equal(g.run_count, 3);
    assert_true(g.runs[0].first == 1 && g.runs[0].term == 2);
    assert_true(g.runs[1].first == 4 && g.runs[1].term == 5);
    assert_true(g.runs[2].first == 5 && g.runs[2].term == 6);
    write_one(s, op_cut(5, 1, 2, 2));
    g = read_group(s, 5);
    assert_true(g.run_count == 3 && g.runs[0].first == 3 && g.cut_term == 2);
    for (uint64_t i = 0; i < 2 * STORE_RUNS_MAX; i++)
        write_entries(s, 5, 10 + i, 10 + i, 7 + i);
    g = read_group(s, 5);
    assert_int_equal(g.run_count, STORE_RUNS_MAX); /* the last ones */
    assert_int_equal(g.runs[0].first, 10 + STORE_RUNS_MAX);
    assert_int_equal(g.runs[STORE_RUNS_MAX - 1].term, g.last_term);
}

static void the_last_two_configurations_are_found(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_op entry = op_entry(5, 2, 1, "at two", "");
    struct store_group g;

    write_one(s, op_config(STORE_CONFIG, 5, 0, "the first"));
    write_entries(s, 5, 1, 1, 1);
    g = read_group(s, 5);
    assert_true(config_is(&g.config, 0, "the first") && g.before.n == 0);
    entry.entry.kind = CORE_CONFIG;
    write_one(s, entry);
    g = read_group(s, 5);
    assert_true(config_is(&g.config, 2, "at two") && config_is(&g.before, 0, "the first"));
    entry.entry.index = 3;
    entry.entry.head = SPAN_LIT("at three");
    write_one(s, entry);
    g = read_group(s, 5);
    assert_true(config_is(&g.config, 3, "at three") && config_is(&g.before, 2, "at two"));
    assert_true(config_is(&g.kept, 0, "the first"));
    write_one(s, op_config(STORE_CONFIG, 5, 2, "at two")); /* before the cut that takes its entry */
    write_one(s, op_cut(5, 1, 2, 1));
    g = read_group(s, 5);
    assert_true(config_is(&g.config, 3, "at three") && config_is(&g.before, 2, "at two"));
}

static void an_intended_snapshot_is_remembered_until_it_is_installed(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_op intent = op_config(STORE_INTENT, 5, 7, "as of nine");
    struct store_op begin = op_config(STORE_BEGIN, 5, 7, "as of nine");
    struct store_group g;

    intent.pos = begin.pos = (struct core_pos){ 9, 4 };
    write_one(s, op_hard(5, 4, 2));
    write_entries(s, 5, 1, 3, 1);
    write_one(s, intent);
    g = read_group(s, 5);
    assert_true(g.intent.index == 9 && g.intent.term == 4 && g.last == 3);
    assert_true(config_is(&g.intent_config, 7, "as of nine"));
    write_one(s, (struct store_op){ .kind = STORE_DROP, .entry = { .group = 5 } });
    assert_int_equal(read_group(s, 5).intent.index, 0);
    write_one(s, intent);
    write_one(s, begin);
    g = read_group(s, 5);
    assert_true(g.intent.index == 0 && config_is(&g.config, 7, "as of nine"));
    assert_true(g.first == 10 && g.last == 9 && g.cut_term == 4 && g.last_term == 4);
    assert_true(g.hard.term == 4 && g.hard.vote == 2);
    assert_int_equal(store_entry_read(s, 5, 3, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    write_entries(s, 5, 10, 11, 4);
    assert_int_equal(read_group(s, 5).last, 11);
}

static void a_group_that_is_forgotten_leaves_nothing(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_op intent = op_config(STORE_INTENT, 5, 7, "as of nine");
    struct store_group g;

    intent.pos = (struct core_pos){ 9, 4 };
    for (uint64_t group = 4; group <= 6; group++) {
        write_one(s, op_config(STORE_CONFIG, group, 0, "the first"));
        write_one(s, op_hard(group, 4, 2));
        write_entries(s, group, 1, 3, 1);
    }
    write_one(s, intent);
    write_one(s, (struct store_op){ .kind = STORE_FORGET, .entry = { .group = 5 } });
    g = read_group(s, 5);
    assert_false(g.known);
    assert_true(g.hard.term == 0 && g.hard.vote == 0 && g.first == 1 && g.last == 0);
    assert_true(g.config.n == 0 && g.kept.n == 0 && g.intent.index == 0);
    for (uint64_t index = 1; index <= 3; index++)
        assert_int_equal(store_entry_read(s, 5, index, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    for (uint64_t group = 4; group <= 6; group += 2) { /* its neighbours are whole */
        g = read_group(s, group);
        assert_true(g.known && g.hard.term == 4 && g.last == 3 && g.config.n > 0);
    }
}

static void fill(struct store *s, uint64_t group)
{
    struct store_op intent = op_config(STORE_INTENT, group, 7, "as of nine");

    intent.pos = (struct core_pos){ 9, 4 };
    write_one(s, op_config(STORE_CONFIG, group, 0, "the first"));
    write_one(s, op_hard(group, 4, 2));
    write_entries(s, group, 1, 5, 1);
    write_one(s, (struct store_op){ .kind = STORE_CUT,
                                    .entry = { .group = group },
                                    .cut_from = 1,
                                    .cut_to = 2,
                                    .cut_term = 1 });
    write_one(s, intent);
}

/* A tombstone: what was promised stays, all else goes, and it says so until what was lost is here again. */
static void a_group_that_is_buried_keeps_its_promises(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_group g;

    for (uint64_t group = 4; group <= 6; group++)
        fill(s, group);
    write_one(s, (struct store_op){ .kind = STORE_BURY,
                                    .entry = { .group = 5 },
                                    .pos = { .index = 4 } });
    g = read_group(s, 5);
    assert_true(g.known && g.hard.term == 4 && g.hard.vote == 2);
    assert_true(g.buried && g.tainted && g.lost_index == 4 && g.lost_term == 0);
    assert_true(g.first == 1 && g.last == 0 && g.last_term == 0 && g.bytes == 0);
    assert_true(g.config.n == 0 && g.kept.n == 0 && g.intent.index == 0);
    for (uint64_t index = 1; index <= 5; index++)
        assert_int_equal(store_entry_read(s, 5, index, NULL, NULL, NULL, NULL), ERR_NOT_FOUND);
    for (uint64_t group = 4; group <= 6; group += 2) { /* its neighbours are whole */
        g = read_group(s, group);
        assert_true(g.known && !g.buried && !g.tainted && g.lost_index == 0);
        assert_true(g.first == 3 && g.last == 5 && g.config.n > 0 && g.intent.index == 9);
    }
}

static void a_tombstone_stays_until_the_group_is_whole_again(void **state)
{
    struct store *s = ((struct both *)*state)->store;
    struct store_group g;

    fill(s, 5);
    write_one(s, (struct store_op){ .kind = STORE_BURY,
                                    .entry = { .group = 5 },
                                    .pos = { .index = 4 } });
    write_one(s, op_hard(5, 6, 0));
    write_entries(s, 5, 1, 4, 6);
    g = read_group(s, 5);
    assert_true(g.buried && g.tainted && g.lost_index == 4 && g.last == 4 && g.hard.term == 6);
    write_one(s, (struct store_op){ .kind = STORE_UNTAINT, .entry = { .group = 5 } });
    g = read_group(s, 5);
    assert_true(!g.buried && !g.tainted && g.lost_index == 0 && g.last == 4);
    write_one(s, (struct store_op){ .kind = STORE_BURY, .entry = { .group = 5 } });
    assert_true(read_group(s, 5).buried);
    write_one(s, (struct store_op){ .kind = STORE_FORGET, .entry = { .group = 5 } });
    g = read_group(s, 5);
    assert_true(!g.buried && !g.tainted && !g.known);
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
        FOR_BOTH(a_suffix_gives_way_to_other_entries_in_one_write),
        FOR_BOTH(terms_are_told_as_runs),
        FOR_BOTH(the_last_two_configurations_are_found),
        FOR_BOTH(an_intended_snapshot_is_remembered_until_it_is_installed),
        FOR_BOTH(a_group_that_is_forgotten_leaves_nothing),
        FOR_BOTH(a_group_that_is_buried_keeps_its_promises),
        FOR_BOTH(a_tombstone_stays_until_the_group_is_whole_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
