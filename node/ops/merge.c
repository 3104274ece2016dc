/* merge - pages of several nodes, of different shards each, as one page in the order of shards.
 *
 * Invariant: the cursor says that all up to its place was looked at, on every node. So what stands behind the earliest place where
 * one of them ended early is left for the next page, although it is there already.
 */
#include <stdlib.h>

#include "node/ops/question.h"
#include "node/ops/text.h"
#include "proto/ground/check.h"

struct item {
    struct place place;
    json_t *json; /* NULL: a row */
    struct span text;
};

static int compare(const void *a, const void *b)
{
    return place_compare(((const struct item *)a)->place, ((const struct item *)b)->place);
}

/* The earliest place where one ended early; false: none did. */
static bool earliest_stop(const struct answer *answers, unsigned count, struct place *out)
{
    bool is_any = false;

    for (unsigned i = 0; i < count; i++) {
        struct place p;

        if (!place_of(json_object_get(answers[i].json, "stop"), &p)) continue;
        if (!is_any || place_compare(p, *out) < 0) *out = p;
        is_any = true;
    }
    return is_any;
}

static size_t count_items(const struct answer *answers, unsigned count)
{
    size_t n = 0;

    for (unsigned i = 0; i < count; i++)
        n += answers[i].rows ? answers[i].rows->count
                             : json_array_size(json_object_get(answers[i].json, "items"));
    return n;
}

static size_t take_rows(const struct rows *rows, struct item *out)
{
    for (unsigned i = 0; i < rows->count; i++)
        out[i] = (struct item){ .place = rows->list[i].place, .text = rows_text(rows, i) };
    return rows->count;
}

static size_t take_values(enum question_kind kind, json_t *list, struct item *out)
{
    json_t *item;
    size_t k, n = 0;

    json_array_foreach(list, k, item)
    {
        if (!place_of_item(kind, item, &out[n].place)) continue;
        out[n++].json = item;
    }
    return n;
}

static size_t take_items(const struct question *q, const struct answer *answers, unsigned count,
                         struct item *out)
{
    size_t n = 0;

    for (unsigned i = 0; i < count; i++)
        n += answers[i].rows
                 ? take_rows(answers[i].rows, out + n)
                 : take_values(q->kind, json_object_get(answers[i].json, "items"), out + n);
    if (n > 0 && count > 1) qsort(out, n, sizeof *out, compare); /* one alone is in order */
    return n;
}

static void add_item(struct buf *text, const struct item *item)
{
    if (text->n > 0) buf_add_cstr(text, ",");
    if (item->json)
        text_add_json(text, item->json);
    else
        buf_add_span(text, item->text);
}

static void add_counts(json_t *sum, json_t *counts)
{
    const char *key;
    json_t *value;

    json_object_foreach(counts, key, value) json_object_set_new(
        sum, key,
        json_integer(json_integer_value(json_object_get(sum, key)) + json_integer_value(value)));
}

json_t *merge_pages(const struct question *q, const struct answer *answers, unsigned count,
                    struct buf *items)
{
    struct item *all = check_calloc(count_items(answers, count) + 1, sizeof *all);
    size_t n = take_items(q, answers, count, all), i = 0;
    json_t *page = json_object(), *counts = json_object();
    struct place stop = { 0 };
    bool ended_early = earliest_stop(answers, count, &stop);

    for (; i < n && i < q->limit; i++) {
        if (ended_early && place_compare(all[i].place, stop) > 0) break;
        add_item(items, &all[i]);
    }
    if (i < n && i > 0 && i == q->limit) {
        stop = all[i - 1].place; /* the page is full before that */
        ended_early = true;
    }
    json_object_set_new(page, "next_cursor",
                        ended_early ? place_cursor(q->kind, stop) : json_null());
    for (unsigned k = 0; k < count; k++)
        add_counts(counts, json_object_get(answers[k].json, "counts"));
    if (q->kind == QUESTION_QUEUE)
        json_object_set_new(page, "counts", counts);
    else
        json_decref(counts);
    free(all);
    return page;
}
