/* command - what unpacks and passes the checks packs again, and unpacks to the same; both ways of
 * unpacking say the same. */
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The nth message that the field holds; NULL: there are no more. */
static const ProtobufCMessage *child(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                                     size_t n)
{
    const char *p = (const char *)m + f->offset,
               *quantifier = (const char *)m + f->quantifier_offset;
    ProtobufCMessage *const *list;
    size_t count;
    int chosen;

    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&list, &p, sizeof list);
        memcpy(&chosen, quantifier, sizeof chosen);
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && (uint32_t)chosen != f->id) return NULL;
        return n == 0 ? *list : NULL;
    }
    memcpy(&count, quantifier, sizeof count);
    memcpy(&list, p, sizeof list);
    return n < count ? list[n] : NULL;
}

/* Fields of no version of ours are kept by the library as they came, also when it cannot read them
 * again. */
static bool has_unknown(const ProtobufCMessage *m)
{
    const ProtobufCMessage *inner;

    if (m->n_unknown_fields > 0) return true;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];

        if (f->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        for (size_t n = 0; (inner = child(m, f, n)) != NULL; n++)
            if (has_unknown(inner)) return true;
    }
    return false;
}

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
    if (rv == 0 && !has_unknown(&c->base)) {
        expect_again(c);
        expect_again(in_arena);
    }
    proto_command_free(&c);
    arena_deinit(&a);
    return 0;
}
