/* follow - any bytes as a question of another node's live stream, and as a cursor of a reader: refused, or taken, and then it is the
 * same when it is said again. */
#include <stdlib.h>
#include <string.h>

#include "node/ops/follow.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void try_question(struct span text)
{
    static struct follow_question q, again;
    char *said;

    if (follow_parse(text, &q) != 0) return;
    said = follow_print(&q);
    CHECK(follow_parse(span_cstr(said), &again) == 0);
    CHECK(memcmp(&q, &again, sizeof q) == 0);
    free(said);
}

static void try_cursor(struct span text)
{
    static struct follow_at at[QUESTION_SHARDS_MAX];
    uint64_t since_ms;
    unsigned count;
    struct buf said;

    if (follow_cursor_parse(text, &since_ms, at, &count) != 0) return;
    buf_init(&said, FOLLOW_CURSOR_MAX + 1);
    follow_cursor_print(since_ms, at, count, &said);
    CHECK(span_eq(buf_span(&said), text));
    buf_deinit(&said);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    try_question(span_of(p, n));
    try_cursor(span_of(p, n));
    return 0;
}
