/* http_query - any bytes as a target, with a key before the first line feed: what is decoded is
 * terminated, holds no NUL, and is never longer than what it was decoded from. */
#include "node/net/http.h"
#include "node/net/http_query.h"

#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_decoded(const char *out, size_t size, struct span from)
{
    CHECK(memchr(out, '\0', size) != NULL);
    CHECK(strlen(out) <= from.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct span all = span_of(p, n);
    size_t end = span_find(all, 0, '\n');
    struct span target = span_from(all, end < n ? end + 1 : 0);
    char key[64] = "", out[128], small[5];
    struct http_target t;

    if (end < n && end < sizeof key) memcpy(key, p, end);
    if (http_decode(all, out, sizeof out)) check_decoded(out, sizeof out, all);
    if (http_target_split(target, &t)) return 0;
    CHECK(t.path.n + t.query.n <= target.n);
    CHECK(t.path.p[0] == '/' || t.path.p[0] == '*');
    if (http_query_value(t.query, key, out, sizeof out)) check_decoded(out, sizeof out, t.query);
    if (http_query_value(t.query, key, small, sizeof small))
        check_decoded(small, sizeof small, t.query);
    return 0;
}
