/* rows - the items of a page as text. */
#include <stdlib.h>

#include "node/ops/question.h"
#include "proto/ground/check.h"

struct rows *rows_new(unsigned max)
{
    struct rows *rows = check_calloc(1, sizeof *rows);

    buf_init(&rows->text, SIZE_MAX / 2);
    rows->list = check_calloc(max, sizeof *rows->list);
    rows->max = max;
    return rows;
}

void rows_free(struct rows **p)
{
    struct rows *rows = *p;

    if (!rows) return;
    *p = NULL;
    buf_deinit(&rows->text);
    free(rows->list);
    free(rows);
}

void rows_added(struct rows *rows, struct place place)
{
    CHECK(rows->count < rows->max && !buf_failed(&rows->text));
    rows->list[rows->count++] = (struct row){ place, rows->text.n };
}

struct span rows_text(const struct rows *rows, unsigned i)
{
    size_t from = i > 0 ? rows->list[i - 1].end : 0;

    return span_sub(buf_span(&rows->text), from, rows->list[i].end - from);
}
