/* staging - a snapshot that comes is any bytes: refused, or staged; the state that is there stays as it is until the whole of
 * a snapshot takes its place, and then the checks can be run over it.
 *
 * Input: u8, into pieces of how many bytes it is taken apart (0: one piece); then the stream.
 */
#include "proto/ground/check.h"
#include "queue/queue.h"

#define SHARD 3 /* as in the corpus */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int add_all(struct queue_staging *g, struct span stream, size_t piece)
{
    int rv = 0;

    if (piece == 0) piece = stream.n + 1;
    while (stream.n > 0 && rv == 0) {
        size_t take = stream.n < piece ? stream.n : piece;

        rv = queue_staging_add(g, span_sub(stream, 0, take));
        stream = span_from(stream, take);
    }
    return rv;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct queue_store *store = NULL;
    struct queue_staging *g;
    struct queue *q = NULL;
    struct errmsg why = { "" };
    int rv;

    if (n == 0) return 0;
    CHECK(queue_store_open(&store, NULL, &why) == 0);
    CHECK(queue_open(&q, store, SHARD, &why) == 0);
    queue_staging_open(&g, store, SHARD);
    rv = add_all(g, span_of(bytes + 1, n - 1), bytes[0]);
    CHECK(rv == 0 || rv == ERR_CORRUPT || rv == ERR_VERSION);
    CHECK(queue_verify(store, SHARD, &why) == 0); /* nothing of it is seen */
    if (queue_staging_install(g, PROTO_INDEX_MAX) == 0) {
        CHECK(queue_reload(q, &why) == 0);
        CHECK(queue_applied(q) == PROTO_INDEX_MAX);
        (void)queue_verify(store, SHARD, &why); /* it may be anything that hashes well */
    } else {
        CHECK(queue_applied(q) == 0);
    }
    queue_staging_close(&g);
    queue_close(&q);
    queue_store_close(&store);
    return 0;
}
