/* base32 - a 64-bit number as 13 characters, sorting like the number (Crockford's digits, lower case
 * printed, both cases read; o is 0, i and l are 1). */
#ifndef GROUND_BASE32_H
#define GROUND_BASE32_H

#include "proto/ground/span.h"

#define BASE32_SIZE 14 /* 13 characters and the terminator */
void base32_print(uint64_t v, char out[BASE32_SIZE]);
int base32_parse(struct span text, uint64_t *out); /* 0, ERR_SYNTAX, ERR_RANGE */

#endif
