/* hint - whatever the words are: no time, or one within its bounds; the next attempt keeps to it. */
#include <stdlib.h>

#include "proto/ground/check.h"
#include "router/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define NOW_MS 1795873200000u

/* two bytes of the code, one of the attempts, the text */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct router_options o;
    struct router *r;
    uint64_t hint_ms, at_ms;
    unsigned attempts;
    char *text;

    if (n < 3) return 0;
    text = span_dup(span_of(bytes + 3, n - 3));
    attempts = 1 + bytes[2] % 8;
    hint_ms = router_hint_ms((bytes[0] * 256u + bytes[1]) % 600, "4.7.28", text, NOW_MS);
    CHECK(hint_ms == 0 || (hint_ms >= ROUTER_HINT_MIN_MS && hint_ms <= ROUTER_HINT_MAX_MS));
    router_options_default(&o);
    r = router_new(&o);
    at_ms = router_retry_at_ms(r, attempts, hint_ms, NOW_MS, UINT64_MAX) - NOW_MS;
    CHECK(at_ms >= hint_ms);
    if (hint_ms > 0 && attempts <= ROUTER_HINT_TRUST_MAX)
        CHECK(at_ms <= hint_ms + hint_ms / 10 + ROUTER_HINT_SLACK_MS);
    router_free(&r);
    free(text);
    return 0;
}
