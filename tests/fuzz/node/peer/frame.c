/* frame - any bytes as a call or an answer of another node: refused, or taken, and then packed and taken again the same. */
#include "node/peer/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct peer_frame f, again;
    struct blob *b;

    if (peer_frame_unpack(span_of(p, n), &f) != 0) return 0;
    CHECK(f.number != 0 && f.head.n + f.body.n <= PEER_BYTES_ONE_MAX);
    b = peer_frame_pack(&f);
    CHECK(peer_frame_unpack(blob_span(b), &again) == 0);
    CHECK(again.number == f.number && again.kind == f.kind && again.status == f.status);
    CHECK(again.is_answer == f.is_answer && span_eq(again.head, f.head));
    CHECK(span_eq(again.body, f.body));
    blob_unref(&b);
    return 0;
}
