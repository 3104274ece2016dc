/* hex - bytes as digits of base 16 (RFC 4648 8). */
#ifndef GROUND_HEX_H
#define GROUND_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 to 15; -1: no digit. */
int hex_value(uint8_t c); /* of either case */
int hex_value_lower(uint8_t c);
int hex_value_upper(uint8_t c);
/* The byte that two digits of either case mean; -1: they are none. */
int hex_pair(uint8_t high, uint8_t low);
/* Exactly n lower-case digits. */
bool hex_is_lower(const char *text, size_t n);
/* Lower-case digits and a terminator: 2 * n + 1 characters. */
void hex_print(const uint8_t *bytes, size_t n, char *out);

#endif
