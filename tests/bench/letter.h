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

/* The mail of this id, about size bytes, into out (emptied first); lines end with CRLF, no dots
 * doubled. */
void letter_write(struct bytes *out, const char *id, size_t size, const char *from, const char *to);
/* The same with the dots of its lines doubled and the final dot. */
void letter_stuff(struct bytes *out, const char *p, size_t n);

enum letter_state { LETTER_OK, LETTER_BAD, LETTER_FOREIGN };
/* What a mail that arrived is. id_out is "-" when it has none; queue_out is the id in its topmost
 * Received header, or "-". */
enum letter_state letter_read(const char *p, size_t n, char id_out[LETTER_ID_SIZE],
                              char queue_out[LETTER_ID_SIZE]);

#endif
