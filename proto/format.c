/* format - the one fact of a process that decides what it writes. */
#include <stdatomic.h>

#include "proto/ground/check.h"
#include "proto/proto.h"

static _Atomic(uint32_t) in_force = PROTO_FORMAT_VERSION;

uint32_t proto_format(void)
{
    return atomic_load(&in_force);
}

bool proto_writes(uint32_t added)
{
    return proto_format() >= added;
}

void proto_format_set(uint32_t format)
{
    CHECK(format >= PROTO_FORMAT_MIN && format <= PROTO_FORMAT_VERSION);
    atomic_store(&in_force, format);
}
