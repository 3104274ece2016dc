/* post - the body of POST /api/v1/messages, as JSON and as a raw mail. The first byte says which. */
#include "node/ops/post.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char settings_text[] = "node: { id: 1, hostname: a.test, data_dir: /nowhere }\n"
                                        "listeners: [ { kind: mx, address: \"127.0.0.1:25\" } ]\n"
                                        "tenants: [ { name: demo, domains: [ example.test ] } ]\n";
    static struct settings *settings;
    struct post_input in = { .time_ms = 1 };
    struct post post;

    if (size == 0) return 0;
    if (!settings) {
        struct buf errors;

        buf_init(&errors, 65536);
        CHECK(settings_parse(&settings, "fuzz", span_cstr(settings_text), &errors) == 0);
        buf_deinit(&errors);
    }
    in.body = span_of(bytes + 1, size - 1);
    in.content_type = bytes[0] & 1 ? SPAN_LIT("application/json") : SPAN_LIT("message/rfc822");
    in.query_from = "a@example.test";
    in.query_to = "b@example.org";
    post_init(&post);
    if (post_make(&post, &in, settings) == 0)
        CHECK(post.recipient_count > 0 && post.piece_count > 0);
    post_deinit(&post);
    return 0;
}
