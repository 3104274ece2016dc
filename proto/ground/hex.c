/* hex - digits of base 16: read in the case that is asked for, written in lower case. */
#include "proto/ground/hex.h"

static int value_from(uint8_t c, uint8_t a)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= a && c < a + 6 ? c - a + 10 : -1;
}

int hex_value_lower(uint8_t c)
{
    return value_from(c, 'a');
}

int hex_value_upper(uint8_t c)
{
    return value_from(c, 'A');
}

int hex_value(uint8_t c)
{
    return c >= 'a' ? hex_value_lower(c) : hex_value_upper(c);
}

int hex_pair(uint8_t high, uint8_t low)
{
    int h = hex_value(high), l = hex_value(low);

    return h < 0 || l < 0 ? -1 : h * 16 + l;
}

bool hex_is_lower(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (hex_value_lower((uint8_t)text[i]) < 0) return false; /* the terminator is no digit */
    return text[n] == '\0';
}

void hex_print(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}
