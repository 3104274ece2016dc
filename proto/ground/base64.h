/* base64 - its digits (RFC 4648 4). */
#ifndef GROUND_BASE64_H
#define GROUND_BASE64_H

#include "proto/ground/ascii.h"

#define BASE64_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* 0 to 63; -1: no digit. */
static inline int base64_value(uint8_t c)
{
    if (ascii_is_upper(c)) return c - 'A';
    if (ascii_is_digit(c)) return c - '0' + 52;
    if (ascii_is_alnum(c)) return c - 'a' + 26;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

#endif
