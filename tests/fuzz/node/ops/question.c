/* question - any bytes as a question of another node: refused, or taken, and then it is the same when it is said again. */
#include <stdlib.h>

#include "node/ops/question.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct question q, again;
    char *text;

    if (question_parse(span_of(p, n), &q) != 0) return 0;
    CHECK(q.kind < QUESTION_KINDS && q.limit >= 1 && q.limit <= OPS_LIMIT_MAX);
    text = question_print(&q);
    CHECK(question_parse(span_cstr(text), &again) == 0);
    CHECK(again.kind == q.kind && again.shard_count == q.shard_count && again.limit == q.limit);
    CHECK(place_compare(again.after, q.after) == 0);
    free(text);
    return 0;
}
