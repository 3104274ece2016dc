/* command - what unpacks and passes the checks packs again, and unpacks to the same; both ways of
 * unpacking say the same. */
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void expect_again(const Angarium__Command *c)
{
    Angarium__Command *again = NULL;
    struct buf packed, twice;

    buf_init(&packed, 2 * PROTO_COMMAND_SIZE_MAX);
    buf_init(&twice, 2 * PROTO_COMMAND_SIZE_MAX);
    CHECK(proto_command_pack(c, &packed) == 0);
    CHECK(proto_command_unpack(buf_span(&packed), &again) == 0);
    CHECK(again->kind_case == c->kind_case);
    CHECK(proto_command_pack(again, &twice) == 0);
    CHECK(span_eq(buf_span(&packed), buf_span(&twice)));
    proto_command_free(&again);
    buf_deinit(&packed);
    buf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    Angarium__Command *c = NULL, *in_arena = NULL;
    struct arena a;
    int rv = proto_command_unpack(span_of(bytes, n), &c);

    arena_init(&a, 256u << 20);
    CHECK(proto_command_unpack_in(span_of(bytes, n), &a, &in_arena) == rv);
    CHECK((c != NULL) == (rv == 0));
    if (rv == 0) {
        expect_again(c);
        expect_again(in_arena);
    }
    proto_command_free(&c);
    arena_deinit(&a);
    return 0;
}
