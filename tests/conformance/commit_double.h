/* commit_double - stands in for node/commit when only what accept does with it is of interest. It
 * keeps the last mail that it was given, and answers what it is told to answer. */
#ifndef CONFORMANCE_COMMIT_DOUBLE_H
#define CONFORMANCE_COMMIT_DOUBLE_H

#include "node/commit/commit.h"

/* What the stories set and see. */
struct commit_double {
    int take;          /* commit_may_take answers */
    int refuse;        /* commit_mail answers at once */
    int answer;        /* on_done's rv */
    bool is_silent;    /* on_done does not come until this is false again (double_go_on) */
    int upload_open;   /* commit_upload_open answers */
    int upload_chunk;  /* commit_upload_chunk answers; ERR_FULL is not for this */
    bool holds_chunks; /* chunks stay in flight until this is false again (double_go_on) */

    unsigned mails, forgotten, uploads, aborted, chunks, in_flight_most;
    Angarium__Accept *accept; /* of the last mail */
    struct buf body;
};

struct commit *double_new(struct loop *l);
void double_free(struct commit **c); /* when the loop has no letters of it any more */
struct commit_double *double_of(struct commit *c);
/* Answers what was held back. */
void double_go_on(struct commit *c);

#endif
