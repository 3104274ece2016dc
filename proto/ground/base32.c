/* base32 - 64 bits as 13 digits of 5 bits; the first digit holds 4 bits only, so it is 0..f.
 *
 * Invariant: text order is number order, because the digits stand in ASCII order in DIGITS and all
 * texts have one length. Fails with ERR_SYNTAX (length, a byte that is no digit) and ERR_RANGE (the
 * first digit over f).
 */
#include "proto/ground/ascii.h"
#include "proto/ground/base32.h"

#include "proto/ground/err.h"

#define DIGIT_COUNT (BASE32_SIZE - 1)

static const char DIGITS[] = "0123456789abcdefghjkmnpqrstvwxyz";

void base32_print(uint64_t v, char out[BASE32_SIZE])
{
    for (int i = DIGIT_COUNT - 1; i >= 0; i--) {
        out[i] = DIGITS[v & 31];
        v >>= 5;
    }
    out[DIGIT_COUNT] = '\0';
}

/* 0..31, or -1 for a byte that is no digit. */
static int digit_value(uint8_t c)
{
    const char *at;

    c = ascii_lower(c);
    if (c == 'o') c = '0';
    if (c == 'i' || c == 'l') c = '1';
    at = c != '\0' ? strchr(DIGITS, c) : NULL;
    return at ? (int)(at - DIGITS) : -1;
}

int base32_parse(struct span text, uint64_t *out)
{
    uint64_t v = 0;

    if (text.n != DIGIT_COUNT) return ERR_SYNTAX;
    for (size_t i = 0; i < text.n; i++) {
        int digit = digit_value(text.p[i]);
        if (digit < 0) return ERR_SYNTAX;
        v = v << 5 | (uint64_t)digit;
    }
    if (digit_value(text.p[0]) > 15) return ERR_RANGE;
    *out = v;
    return 0;
}
