/* offer - what a server offers in its reply to EHLO (RFC 5321 4.1.1.1).
 *
 * Keywords are compared without case. "AUTH=LOGIN", a form older than RFC 2554, counts as AUTH. A
 * SIZE that is not a number counts as one that tells nothing.
 */
#include "node/smtp/reply.h"

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

static void take_line(struct span line, struct smtp_offer *out)
{
    size_t end = 0;

    line = span_trim(line);
    while (end < line.n && line.p[end] != ' ' && line.p[end] != '=')
        end++;
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (!span_eq_nocase(span_sub(line, 0, end), span_cstr(keywords[i].keyword))) continue;
        *(bool *)((char *)out + keywords[i].offset) = true;
    }
    if (span_eq_nocase(span_sub(line, 0, end), SPAN_LIT("SIZE")) && end < line.n) {
        uint64_t size_max;
        struct span value = span_trim(span_from(line, end + 1));
        if (span_u64(value, UINT64_MAX, &size_max) == 0) out->size_max = size_max;
    }
}

void smtp_offer_parse(struct span text, struct smtp_offer *out)
{
    static const char between[] = " / ";
    bool is_greeting = true;

    *out = (struct smtp_offer){ .size_max = 0 };
    while (text.n > 0) {
        const uint8_t *p = memmem(text.p, text.n, between, 3);
        size_t n = p ? (size_t)(p - text.p) : text.n;
        if (!is_greeting) take_line(span_sub(text, 0, n), out);
        is_greeting = false;
        text = span_from(text, p ? n + 3 : n);
    }
}
