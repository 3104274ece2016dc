/* base64 - strict decoding, encoding, and the message of AUTH PLAIN (RFC 4648 4, RFC 4954 4, RFC
 * 4616 2).
 *
 * One text for one run of bytes: padding is required, the unused bits are zero, nothing else may
 * stand in the text. So two different texts never mean one credential, and an error never says how
 * far the text was right.
 */
#include "node/smtp/base64.h"

#include "proto/ground/base64.h"
#include "proto/ground/err.h"

static const char digits[] = BASE64_DIGITS;

static size_t pad_size(struct span text)
{
    if (text.n == 0 || text.p[text.n - 1] != '=') return 0;
    return text.p[text.n - 2] == '=' ? 2 : 1;
}

int base64_decode(struct span text, uint8_t *out, size_t out_size, size_t *n_out)
{
    size_t pad, digit_count, n = 0;
    unsigned bits = 0, bit_count = 0;

    *n_out = 0;
    if (text.n % 4 != 0) return ERR_SYNTAX;
    pad = pad_size(text);
    digit_count = text.n - pad;
    if (text.n / 4 * 3 - pad > out_size) return ERR_TOO_LONG;
    for (size_t i = 0; i < digit_count; i++) {
        int v = base64_value(text.p[i]);
        if (v < 0) return ERR_SYNTAX;
        bits = bits << 6 | (unsigned)v;
        bit_count += 6;
        if (bit_count < 8) continue;
        bit_count -= 8;
        out[n++] = (uint8_t)(bits >> bit_count);
        bits &= (1u << bit_count) - 1;
    }
    if (bits != 0) return ERR_SYNTAX;
    *n_out = n;
    return 0;
}

void base64_encode(struct span bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)bytes.p[i] << 16;
        char four[4];
        if (left > 1) v |= (uint32_t)bytes.p[i + 1] << 8;
        if (left > 2) v |= bytes.p[i + 2];
        four[0] = digits[v >> 18];
        four[1] = digits[v >> 12 & 63];
        four[2] = left > 1 ? digits[v >> 6 & 63] : '=';
        four[3] = left > 2 ? digits[v & 63] : '=';
        buf_add(out, four, sizeof four);
    }
}

int sasl_plain_split(struct span message, struct span *authzid, struct span *authcid,
                     struct span *passwd)
{
    size_t first = span_find(message, 0, 0), second;

    if (first == message.n) return ERR_SYNTAX;
    second = span_find(message, first + 1, 0);
    if (second == message.n) return ERR_SYNTAX;
    if (span_find(message, second + 1, 0) != message.n) return ERR_SYNTAX;
    *authzid = span_sub(message, 0, first);
    *authcid = span_sub(message, first + 1, second - first - 1);
    *passwd = span_from(message, second + 1);
    return authcid->n > 0 && passwd->n > 0 ? 0 : ERR_SYNTAX;
}
