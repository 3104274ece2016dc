/* secret - a password or token in memory: counted, never printed, wiped when the last holder lets go. Any thread.
 *
 * It comes from a file that others cannot read (secret_file_check), or is made from parts (secret_new). Whoever
 * copies its bytes into a buffer wipes that (secret_wipe). */
#ifndef GROUND_SECRET_H
#define GROUND_SECRET_H

#include "proto/ground/err.h"
#include "proto/ground/span.h"

#define SECRET_SIZE_MAX 16384u /* bytes; tokens have a few thousand */

struct secret;

struct secret *secret_new(struct span bytes); /* a copy; at most SECRET_SIZE_MAX */
struct secret *secret_ref(struct secret *s);
void secret_unref(struct secret **s); /* NULL inside is harmless */
struct span secret_bytes(const struct secret *s);
bool secret_eq(const struct secret *a,
               const struct secret *b); /* in constant time for equal sizes */

/* Whether the file may hold a secret: a plain file, not larger than SECRET_SIZE_MAX, without any right for others and
 * without the group's to write. 0; ERR_NOT_FOUND, ERR_IO, ERR_DENIED, ERR_TOO_LONG with the reason. */
int secret_file_check(const char *path, struct errmsg *why);
/* The same, and its content without the line's end. ERR_SYNTAX: it is empty, or holds control characters. Reads the
 * disk: not on a loop. */
int secret_file_read(const char *path, struct secret **out, struct errmsg *why);
/* Puts another secret into the file's place: whole or not at all, synced, mode 0600. Not on a loop. */
int secret_file_write(const char *path, const struct secret *s, struct errmsg *why);

void secret_wipe(void *p, size_t n);

#endif
