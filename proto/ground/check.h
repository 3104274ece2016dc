/* check - facts that must hold, also in production.
 *
 * CHECK(fact) prints the fact, file and line on stderr and aborts when it does not hold. It is never
 * compiled out. One fact each. It guards our own bugs only: nothing that a peer, a disk or a user does
 * may make a CHECK fail.
 */
#ifndef GROUND_CHECK_H
#define GROUND_CHECK_H

_Noreturn void check_failed(const char *fact, const char *file, int line, const char *func);

#define CHECK(fact) ((fact) ? (void)0 : check_failed(#fact, __FILE__, __LINE__, __func__))
#define UNREACHED() check_failed("never reached", __FILE__, __LINE__, __func__)

/* A disk that fails ends the process (P7): says what failed, and what to do, and exits with 70. Never returns,
 * never retries: after a failed write or sync nobody knows what is on the disk. */
_Noreturn void check_last_word(const char *store, const char *what, const char *error);

/* From now on a process that aborts says so, too: a library may find that a write has failed before we do (RocksDB has
 * assertions of its own), and its words say nothing to whoever is paged. It ends by SIGABRT as before. */
void check_explain_aborts(void);

/* malloc, calloc, realloc that end the process when memory is out (small, bounded things only). */
void *check_malloc(unsigned long size);
void *check_calloc(unsigned long count, unsigned long size);
void *check_realloc(void *old, unsigned long size);
char *check_strdup(const char *text);

#endif
