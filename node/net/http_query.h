/* http_query - the request target and its query: pure, so that it can be fuzzed. */
#ifndef NET_HTTP_QUERY_H
#define NET_HTTP_QUERY_H

#include "proto/ground/span.h"

struct http_target {
    struct span path;  /* begins with '/', or is "*" */
    struct span query; /* without '?' */
};
/* "/a?b", "http://host/a?b" or "*": 0 or ERR_SYNTAX. */
int http_target_split(struct span target, struct http_target *out);
/* The value of the first `key` in "a=1&b=2", decoded and terminated ('+' is a space). False: not
 * there, malformed, holding a NUL, or longer than out. */
bool http_query_value(struct span query, const char *key, char *out, size_t out_size);

#endif
