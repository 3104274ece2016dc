/* pack - commands to bytes and back. Sizes are known before anything is written or decoded. */
#include "proto/proto.h"

#include "proto/ground/check.h"

void proto_pack(const ProtobufCMessage *m, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *room = buf_room(out, n);

    if (!room) return;
    CHECK(protobuf_c_message_pack(m, room) == n);
    buf_added(out, n);
}

int proto_command_pack(const Angarium__Command *c, struct buf *out)
{
    int rv = proto_command_check(c);

    if (rv != 0) return rv;
    if (angarium__command__get_packed_size(c) > PROTO_COMMAND_SIZE_MAX) return ERR_FULL;
    proto_pack(&c->base, out);
    return buf_failed(out) ? ERR_FULL : 0;
}

int proto_command_unpack(struct span head, Angarium__Command **out)
{
    Angarium__Command *c;
    int rv;

    if (head.n > PROTO_COMMAND_SIZE_MAX) return ERR_TOO_LONG;
    c = angarium__command__unpack(NULL, head.n, head.p);
    if (!c) return ERR_CORRUPT;
    rv = proto_command_check(c);
    if (rv != 0) {
        proto_command_free(&c);
        return rv;
    }
    *out = c;
    return 0;
}

static void *alloc_in(void *arg, size_t size)
{
    return arena_alloc(arg, size);
}

static void free_in(void *arg, void *p)
{
    (void)arg; /* goes away with the arena */
    (void)p;
}

ProtobufCAllocator proto_allocator(struct arena *a)
{
    return (ProtobufCAllocator){ .alloc = alloc_in, .free = free_in, .allocator_data = a };
}

int proto_command_unpack_in(struct span head, struct arena *a, Angarium__Command **out)
{
    ProtobufCAllocator allocator = proto_allocator(a);

    if (head.n > PROTO_COMMAND_SIZE_MAX) return ERR_TOO_LONG;
    *out = angarium__command__unpack(&allocator, head.n, head.p);
    if (*out && proto_command_check(*out) != 0) *out = NULL;
    return *out ? 0 : ERR_CORRUPT;
}

void proto_command_free(Angarium__Command **c)
{
    if (*c) angarium__command__free_unpacked(*c, NULL);
    *c = NULL;
}
