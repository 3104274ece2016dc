/* letter - the mail that tests send: its bytes are a function of its id, so that whoever gets it
 * can tell whether it is whole and its own.
 *
 * X-Test-Id names it, X-Test-Sum is the SHA-256 of the id and the body. Lines that begin with a dot
 * and empty lines are part of every body that is long enough.
 */
#ifndef BENCH_LETTER_H
#define BENCH_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LETTER_ID_SIZE  64
#define LETTER_SUM_SIZE 65 /* hex and the terminator */

/* Bytes that grow; the owner frees p. */
struct bytes {
    char *p;
    size_t n, cap;
};
char *bytes_room(struct bytes *b, size_t n);
void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_addf(struct bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bytes_free(struct bytes *b);

/* splitmix64: one step of a seeded generator. */
uint64_t letter_mix(uint64_t *state);

/* A mail on its way out. A large one is never whole in memory: its body is made twice, for the sum
 * and for the wire. Zeroed before the first letter_begin, letter_free at the end. */
struct letter {
    size_t size; /* bytes of all of it, as BDAT counts */
    struct bytes made;
    size_t taken; /* of made */
    struct letter_body {
        uint64_t state;
        size_t number, left; /* of the next line; bytes that may still be made */
    } body;
};
/* The mail of this id, about size bytes; lines end with CRLF. */
void letter_begin(struct letter *l, const char *id, size_t size, const char *from, const char *to);
/* Adds the next n bytes, which must be there. */
void letter_take(struct letter *l, size_t n, struct bytes *out);
/* Adds some of the next lines with their dots doubled, and the final dot behind the last: then false. */
bool letter_take_text(struct letter *l, struct bytes *out);
void letter_free(struct letter *l);

enum letter_state { LETTER_OK, LETTER_BAD, LETTER_FOREIGN };
/* What a mail that arrived is. id_out is "-" when it has none; queue_out is the id in its topmost
 * Received header, or "-". */
enum letter_state letter_read(const char *p, size_t n, char id_out[LETTER_ID_SIZE],
                              char queue_out[LETTER_ID_SIZE]);

#endif
