/* frame - any bytes as a frame of another node: refused, or taken whole, and then what it holds is packed and comes back
 * the same. */
#include <stdlib.h>

#include "proto/ground/check.h"
#include "raft/engine/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct blob *packed(const struct frame *f, struct frame_out *out)
{
    for (size_t i = 0; i < f->message_count; i++)
        if (!frame_add(out, f->messages[i].group, &f->messages[i].msg, f->messages[i].bytes))
            return NULL;
    for (size_t i = 0; i < f->chunk_count; i++)
        if (!frame_add_chunk(out, &f->chunks[i])) return NULL;
    for (size_t i = 0; i < f->reply_count; i++)
        if (!frame_add_reply(out, &f->replies[i])) return NULL;
    return frame_pack(out, f->incarnation, f->rest_generation, f->beat);
}

static void compare(const struct frame *a, const struct frame *b)
{
    CHECK(a->message_count == b->message_count && a->chunk_count == b->chunk_count);
    CHECK(a->reply_count == b->reply_count && a->beat == b->beat);
    for (size_t i = 0; i < a->message_count; i++) {
        const struct core_msg *x = &a->messages[i].msg, *y = &b->messages[i].msg;

        CHECK(x->kind == y->kind && x->term == y->term && x->count == y->count);
        CHECK(x->first == y->first && x->prev.index == y->prev.index && x->rest == y->rest);
        for (unsigned k = 0; k < x->count; k++) {
            CHECK(span_eq(a->messages[i].bytes[k].head, b->messages[i].bytes[k].head));
            CHECK(span_eq(a->messages[i].bytes[k].body, b->messages[i].bytes[k].body));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct core_config config;
    struct frame f, again;
    struct frame_out out;
    struct blob *b;

    (void)config_unpack(span_of(p, n), &config);
    if (frame_unpack(blob_copy(span_of(p, n)), 1, 2, &f) != 0) return 0;
    frame_begin(&out);
    b = packed(&f, &out);
    if (b) {
        CHECK(frame_unpack(b, 1, 2, &again) == 0);
        compare(&f, &again);
        frame_deinit(&again);
    }
    frame_end(&out);
    frame_deinit(&f);
    return 0;
}
