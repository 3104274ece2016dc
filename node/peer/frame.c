/* frame - the bytes of a call or an answer: sizes first, then the envelope, then each field of it. */
#include "node/peer/inside.h"
#include "proto/peer.pb-c.h"
#include "proto/proto.h"

#define ARENA_SIZE_MAX (16u << 10) /* what unpacking an envelope may cost */

struct blob *peer_frame_pack(const struct peer_frame *f)
{
    Angarium__PeerEnvelope e = ANGARIUM__PEER_ENVELOPE__INIT;
    size_t size, all;
    struct blob *b;

    CHECK(f->head.n <= PEER_BYTES_ONE_MAX && f->body.n <= PEER_BYTES_ONE_MAX - f->head.n);
    e.call = f->number;
    e.kind = f->kind;
    e.is_answer = f->is_answer;
    e.status = f->status;
    e.head_size = (uint32_t)f->head.n;
    size = angarium__peer_envelope__get_packed_size(&e);
    CHECK(size <= PEER_ENVELOPE_MAX);
    all = PEER_LEAD_SIZE + size + f->head.n + f->body.n;
    b = blob_new(all);
    b->p[0] = PEER_FRAME;
    b->p[1] = 0;
    b->p[2] = (uint8_t)(size >> 8);
    b->p[3] = (uint8_t)size;
    angarium__peer_envelope__pack(&e, b->p + PEER_LEAD_SIZE);
    b->n = PEER_LEAD_SIZE + size;
    CHECK(blob_add(b, f->head.p, f->head.n, all) == 0);
    CHECK(blob_add(b, f->body.p, f->body.n, all) == 0);
    return b;
}

static bool envelope_ok(const Angarium__PeerEnvelope *e, size_t bytes)
{
    if (e->call == 0 || e->kind == PEER_NONE || e->kind > UINT8_MAX) return false;
    if (e->status > 0 || (!e->is_answer && e->status != 0)) return false;
    return e->head_size <= bytes;
}

int peer_frame_unpack(struct span frame, struct peer_frame *out)
{
    Angarium__PeerEnvelope *e;
    ProtobufCAllocator allocator;
    struct arena arena;
    struct span rest;
    size_t size;
    int rv = ERR_SYNTAX;

    if (frame.n < PEER_LEAD_SIZE || frame.p[0] != PEER_FRAME) return ERR_SYNTAX;
    size = (size_t)frame.p[1] << 16 | (size_t)frame.p[2] << 8 | frame.p[3];
    if (size > PEER_ENVELOPE_MAX || frame.n > WIRE_FRAME_MAX) return ERR_TOO_LONG;
    if (size > frame.n - PEER_LEAD_SIZE) return ERR_SYNTAX;
    rest = span_from(frame, PEER_LEAD_SIZE + size);
    if (rest.n > PEER_BYTES_ONE_MAX) return ERR_TOO_LONG;
    arena_init(&arena, ARENA_SIZE_MAX);
    allocator = proto_allocator(&arena);
    e = angarium__peer_envelope__unpack(&allocator, size, frame.p + PEER_LEAD_SIZE);
    if (e && envelope_ok(e, rest.n)) {
        *out = (struct peer_frame){ .number = e->call,
                                    .kind = e->kind,
                                    .is_answer = e->is_answer,
                                    .status = e->status,
                                    .head = span_sub(rest, 0, e->head_size),
                                    .body = span_from(rest, e->head_size) };
        rv = 0;
    }
    arena_deinit(&arena);
    return rv;
}
