/* commit_double - stands where node/commit stands: one shard, no raft; commands go straight into a
 * real queue on its memory store, at the end of a turn. Claims can be held back, and leadership be
 * taken away. */
#ifndef CONFORMANCE_COMMIT_DOUBLE_H
#define CONFORMANCE_COMMIT_DOUBLE_H

#include "node/commit/commit.h"

#define DOUBLE_SHARD 1u

struct double_body {
    const struct span *chunks; /* copied; one: the body is in the message's own entry */
    unsigned chunk_count;
    bool in_memory; /* commit_body_cached knows it; else commit_body_read */
    bool is_lost;   /* nobody can read it */
};

struct commit *double_open(struct loop *l);
void double_close(struct commit **c);
void double_lead(struct commit *c, bool leads);
/* Takes a mail in: the index of its entry. The body's size, 8-bit marks and chunks are filled in
 * here. */
uint64_t double_mail(struct commit *c, Angarium__Accept *accept, const struct double_body *body);
void double_cancel(struct commit *c, uint64_t index, uint32_t recipient);
void double_hold_claims(struct commit *c, bool held);
void double_fail_claims(struct commit *c, int rv); /* the next ones; 0: no more */
unsigned double_claims(const struct commit *c);    /* recipients claimed so far */
/* The last event of that type about a recipient, packed; empty: none. */
struct span double_event(const struct commit *c, uint64_t index, uint32_t recipient,
                         Angarium__EventType type);
unsigned double_reads(const struct commit *c);        /* chunks read from the "disk" */
size_t double_blob_bytes_max(const struct commit *c); /* most at once, seen at the end of turns */

#endif
