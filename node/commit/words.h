/* words - private to commit: what nodes say to each other about mail (proto/peer.proto), packed, and checked when it comes. */
#ifndef COMMIT_WORDS_H
#define COMMIT_WORDS_H

#include "proto/ground/arena.h"
#include "proto/peer.pb-c.h"
#include "proto/proto.h"

#define WORDS_UPLOAD_SIZE 24u
#define WORDS_REGION_MAX  64u
#define WORDS_SHARDS_MAX  4096u
#define WORDS_REQUEST_MAX (PROTO_COMMAND_SIZE_MAX + 256u)
#define WORDS_BOTH_MAX    ((1u << 20) - 2048u) /* an Accept and its body in one call */
#define WORDS_ARENA_MAX   (8u << 20)           /* what unpacking one may cost */
#define WORDS_SMALL_MAX   (16u << 10)

/* 0, or ERR_CORRUPT, ERR_TOO_LONG. What is unpacked is the arena's. */
int words_leads(struct span bytes, struct arena *a, Angarium__PeerLeads **out);
int words_chunk(struct span bytes, struct arena *a, Angarium__PeerChunk **out);
/* The command is an Accept of no bounce and with no chunks of its own. */
int words_mail(struct span bytes, struct arena *a, Angarium__PeerMail **out,
               Angarium__Command **command);
/* The command is one of an operator. */
int words_order(struct span bytes, struct arena *a, Angarium__PeerOrder **out,
                Angarium__Command **command);
int words_mail_answer(struct span bytes, uint64_t *id_out);

#endif
