/* text - ids, times and numbers as they come in queries: what parses prints as something that parses to the same. */
#include "proto/ground/base32.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span text = span_of(bytes, size);
    char id[BASE32_SIZE], time[CLOCK_RFC3339_SIZE];
    uint64_t v, again;

    if (base32_parse(text, &v) == 0) {
        base32_print(v, id);
        CHECK(base32_parse(span_cstr(id), &again) == 0 && again == v);
    }
    if (clock_parse_rfc3339(text, &v) == 0) {
        clock_rfc3339(v, time);
        CHECK(clock_parse_rfc3339(span_cstr(time), &again) == 0 && again == v);
    }
    if (span_u64(text, 1000000, &v) == 0) CHECK(v <= 1000000);
    return 0;
}
