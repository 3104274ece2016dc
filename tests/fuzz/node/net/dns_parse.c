/* dns_parse - any bytes as record data: refused, or a name that can be asked for again. */
#include "node/net/dns_parse.h"

#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_name(const char *name)
{
    CHECK(strlen(name) <= 253);
    CHECK(name[0] == '\0' || dns_name_is_valid(name));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct dns_answer a, list[DNS_ANSWERS_MAX];
    char name[256];
    unsigned count = 0;

    if (dns_parse_name(span_of(p, n), name) == 0) check_name(name);
    if (dns_parse_address(span_of(p, n), &a) == 0) CHECK(strlen(a.text) >= 2);
    if (dns_parse_mx(span_of(p, n), &a) == 0) check_name(a.text);
    for (size_t i = 0; i + 1 < n; i += 2) { /* the same bytes as preferences */
        a.preference = (uint16_t)(p[i] * 256 + p[i + 1]);
        dns_insert_mx(list, &count, &a);
    }
    for (unsigned i = 1; i < count; i++)
        CHECK(list[i - 1].preference <= list[i].preference);
    return 0;
}
