/* offer - what a server offers in its reply to EHLO (RFC 5321 4.1.1.1).
 *
 * Keywords are compared without case. "AUTH=LOGIN", a form older than RFC 2554, counts as AUTH. A
 * SIZE that is not a number counts as one that tells nothing.
 */
#include "node/smtp/reply.h"
#include "node/smtp/sasl.h"

#include <stddef.h>

static const struct {
    const char *keyword;
    size_t offset; /* of a bool in struct smtp_offer */
} keywords[] = {
    { "PIPELINING", offsetof(struct smtp_offer, pipelining) },
    { "STARTTLS", offsetof(struct smtp_offer, starttls) },
    { "8BITMIME", offsetof(struct smtp_offer, eight_bit_mime) },
    { "CHUNKING", offsetof(struct smtp_offer, chunking) },
    { "ENHANCEDSTATUSCODES", offsetof(struct smtp_offer, enhanced_status) },
    { "SMTPUTF8", offsetof(struct smtp_offer, smtputf8) },
    { "DSN", offsetof(struct smtp_offer, dsn) },
    { "SIZE", offsetof(struct smtp_offer, size) },
    { "BINARYMIME", offsetof(struct smtp_offer, binarymime) },
    { "AUTH", offsetof(struct smtp_offer, auth) },
};

/* What stands behind the keyword. Both forms of AUTH may come, and count together. */
static void take_values(struct span keyword, struct span values, struct smtp_offer *out)
{
    uint64_t size_max;

    if (span_eq_nocase(keyword, SPAN_LIT("AUTH"))) out->mechanisms |= smtp_mechanisms_parse(values);
    if (span_eq_nocase(keyword, SPAN_LIT("SIZE")) &&
        span_u64(span_trim(values), UINT64_MAX, &size_max) == 0)
        out->size_max = size_max;
}

void smtp_offer_add(struct smtp_offer *out, struct span line)
{
    size_t end = 0;

    line = span_trim(line);
    while (end < line.n && line.p[end] != ' ' && line.p[end] != '=')
        end++;
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (!span_eq_nocase(span_sub(line, 0, end), span_cstr(keywords[i].keyword))) continue;
        *(bool *)((char *)out + keywords[i].offset) = true;
    }
    if (end < line.n) take_values(span_sub(line, 0, end), span_from(line, end + 1), out);
}
