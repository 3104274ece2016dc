/* ascii - classes of bytes and lower case, of ASCII: no locale is ever asked. */
#ifndef GROUND_ASCII_H
#define GROUND_ASCII_H

#include <stdbool.h>
#include <stdint.h>

static inline bool ascii_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static inline uint8_t ascii_lower(uint8_t c)
{
    return ascii_is_upper(c) ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* A letter or a digit. */
static inline bool ascii_is_alnum(uint8_t c)
{
    uint8_t l = ascii_lower(c);

    return ascii_is_digit(c) || (l >= 'a' && l <= 'z');
}

static inline void ascii_make_lower(char *text)
{
    for (; *text; text++)
        *text = (char)ascii_lower((uint8_t)*text);
}

#endif
