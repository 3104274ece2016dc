/* frame - any bytes as those of a lane: cut into pieces in any way they give the same frames, none over its bound; a hello
 * that is taken is written again as one that says the same; a name that is taken is written again as the same bytes.
 *
 * The first byte chooses: 0 a stream whose first frame is the hello, 1 one after it, 2 a hello, 3 a name; the second is
 * the seed of the pieces.
 */
#include "raft/wire/frame.h"

#include "proto/ground/check.h"
#include "proto/ground/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct heard {
    unsigned frames;
    size_t bytes;
    uint64_t digest;
    int rv;
};

static void hear(struct heard *h, const struct frame_in *f, struct blob *frame)
{
    CHECK(frame->n > 0 && frame->n <= WIRE_FRAME_MAX && frame->cap == frame->n);
    CHECK(f->is_open);
    h->frames++;
    h->bytes += frame->n;
    for (size_t i = 0; i < frame->n; i++)
        h->digest = (h->digest ^ frame->p[i]) * 1099511628211u;
    blob_unref(&frame);
}

/* At most piece_max bytes at a time. */
static struct heard listen_to(struct span bytes, bool is_open, size_t piece_max, uint64_t seed)
{
    struct frame_in f = { .is_open = is_open };
    struct heard h = { 0 };
    struct rng r;

    rng_seed(&r, seed);
    while (bytes.n > 0 && h.rv == 0) {
        struct wire_frame_space space = wire_frame_space(&f);
        size_t n = 1 + (size_t)rng_below(&r, piece_max);
        struct blob *whole;

        CHECK(space.n > 0);
        if (n > space.n) n = space.n;
        if (n > bytes.n) n = bytes.n;
        memcpy(space.p, bytes.p, n);
        bytes = span_from(bytes, n);
        h.rv = wire_frame_took(&f, n, &whole);
        if (whole) hear(&h, &f, whole);
        CHECK(!f.frame || f.frame->cap <= (f.is_open ? WIRE_FRAME_MAX : HELLO_SIZE_MAX));
    }
    wire_frame_deinit(&f);
    CHECK(blob_bytes_total() == 0);
    return h;
}

static void try_stream(struct span bytes, bool is_open, uint64_t seed)
{
    struct heard a = listen_to(bytes, is_open, SIZE_MAX / 2, seed),
                 b = listen_to(bytes, is_open, 7, seed);

    CHECK(a.frames == b.frames && a.bytes == b.bytes && a.digest == b.digest && a.rv == b.rv);
}

static void try_hello(struct span bytes)
{
    uint8_t packed[HELLO_FRAME_SIZE];
    struct hello h, again;
    size_t n;

    if (wire_hello_unpack(bytes, &h) != 0) return;
    CHECK(h.node != 0 && h.lane < WIRE_LANES && h.format_min <= h.format_max);
    n = wire_hello_pack(&h, packed);
    CHECK(wire_hello_unpack(span_of(packed + FRAME_LEAD_SIZE, n - FRAME_LEAD_SIZE), &again) == 0);
    CHECK(memcmp(h.cluster, again.cluster, sizeof h.cluster) == 0 && h.node == again.node &&
          h.to == again.to && h.incarnation == again.incarnation && h.lane == again.lane &&
          h.format_min == again.format_min && h.format_max == again.format_max &&
          h.refused == again.refused);
}

static void try_name(struct span bytes)
{
    uint8_t cluster[WIRE_CLUSTER_SIZE];
    char again[WIRE_NAME_SIZE];
    uint64_t node;

    if (wire_name_parse(bytes, cluster, &node) != 0) return;
    wire_name(again, cluster, node);
    CHECK(span_eq(bytes, span_cstr(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct span bytes;

    if (n < 2) return 0;
    bytes = span_of(p + 2, n - 2);
    switch (p[0] % 4) {
    case 0:
        try_stream(bytes, false, p[1]);
        break;
    case 1:
        try_stream(bytes, true, p[1]);
        break;
    case 2:
        try_hello(bytes);
        break;
    case 3:
        try_name(bytes);
        break;
    }
    return 0;
}
