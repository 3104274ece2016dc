/* classify - the rules that hold for every reply, whatever its words say. */
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/span.h"
#include "router/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void expect_meaning(enum router_stage stage, unsigned code, const struct router_meaning *m)
{
    CHECK(m->class != NULL);
    CHECK(m->class[0] != '\0');
    if (m->verdict == ROUTER_DELIVERED) CHECK(stage == ROUTER_AT_DOT && code / 100 == 2);
    if (m->verdict == ROUTER_NEVER) CHECK(code / 100 == 5 && stage > ROUTER_AT_HELO);
    if (code / 100 == 4) CHECK(m->verdict == ROUTER_LATER);
    if (code == 421 || code == 0) CHECK(m->closes);
    if (stage == ROUTER_AT_DOT && code == 0) CHECK(!m->next_host);
}

/* stage, two bytes of the code, the enhanced code up to a space, the text */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct router_meaning m;
    struct span rest;
    enum router_stage stage;
    unsigned code;
    size_t space;
    char *enhanced, *text;

    if (n < 3) return 0;
    stage = (enum router_stage)(bytes[0] % (ROUTER_AT_DOT + 1));
    code = (bytes[1] * 256u + bytes[2]) % 600;
    if (code < 200) code = code % 2 ? 550 : 0;
    rest = span_of(bytes + 3, n - 3);
    space = span_find(rest, 0, ' ');
    enhanced = span_dup(span_sub(rest, 0, space));
    text = span_dup(span_from(rest, space));
    router_classify(stage, code, enhanced, text, &m);
    expect_meaning(stage, code, &m);
    free(text);
    free(enhanced);
    return 0;
}
