/* frame - private to the engine: what a frame holds, and how it is packed and unpacked.
 *
 *   | 'R' | size u24 BE | PeerFrame (proto/raft.proto) ... | payload ... |
 *
 * The bytes of entries and chunks stand in the payload, outside of the protobuf message: they are copied once, when a frame
 * is packed, and never when one arrives: spans point into the frame's blob.
 */
#ifndef RAFT_ENGINE_FRAME_H
#define RAFT_ENGINE_FRAME_H

#include <stdatomic.h>

#include "proto/ground/arena.h"
#include "proto/ground/blob.h"
#include "proto/ground/buf.h"
#include "proto/ground/mpsc.h"
#include "raft/core/core.h"
#include "raft/raft.h"

#define FRAME_LEAD_SIZE    4u
#define FRAME_MESSAGES_MAX 4096u      /* of all kinds together */
#define FRAME_APPEND_MAX   1024u      /* entries of one message */
#define FRAME_ENTRIES_MAX  16384u     /* of all messages together */
#define FRAME_ARENA_MAX    (8u << 20) /* what unpacking a frame may cost */

/* ---- configurations as bytes */

void config_pack(const struct core_config *config, struct buf *out);
struct blob *config_blob(const struct core_config *config);
/* ERR_CORRUPT: not one, or one that core_config_check refuses. */
int config_unpack(struct span bytes, struct core_config *out);

/* ---- a frame that came */

enum frame_reply_state { FRAME_REPLY_GO_ON, FRAME_REPLY_DONE, FRAME_REPLY_FAILED };

struct frame_entry {
    struct span head, body;
};
struct frame_message {
    uint64_t group;
    unsigned loop;       /* that owns the group; UINT_MAX: none here */
    struct core_msg msg; /* entries: borrowed from the frame */
    const struct frame_entry *bytes;
};
struct frame_chunk {
    uint64_t group, term, number, offset;
    unsigned loop;
    struct core_pos pos;
    bool last;
    struct span bytes;
    struct core_config config;
};
struct frame_reply {
    uint64_t group, number, offset;
    unsigned loop;
    uint32_t state;
};
struct frame {
    struct arena arena; /* holds all of this */
    struct blob *blob;
    uint64_t from, incarnation, rest_generation;
    bool beat;
    size_t message_count, chunk_count, reply_count;
    struct frame_message *messages;
    struct frame_chunk *chunks;
    struct frame_reply *replies;
};
/* Takes the reference of the blob in any case. 0 (frame_deinit later) or ERR_SYNTAX: not a frame of ours, ERR_TOO_LONG: more
 * in it than may be. Nothing that arrives fails a CHECK. */
int frame_unpack(struct blob *blob, uint64_t from, uint64_t to, struct frame *out);
void frame_deinit(struct frame *f);

/* ---- a frame that goes */

struct frame_out {
    struct arena arena;
    void *frame; /* Angarium__PeerFrame */
    size_t room; /* bytes that may still be added */
    struct payload {
        struct span bytes;
    } * payload;
    size_t payload_count, payload_cap, payload_bytes;
};
void frame_begin(struct frame_out *f);
void frame_end(struct frame_out *f); /* frees; may be called twice */
bool frame_is_empty(const struct frame_out *f);
/* False: it does not fit any more (nothing was added): pack this one and begin another. An empty frame takes any one. Bytes
 * are borrowed until frame_pack. */
/* How many of these entries one message may carry, so that an empty frame takes it: at least one. The core knows sizes only about. */
unsigned frame_entries_fit(const struct frame_entry *bytes, unsigned count);
bool frame_add(struct frame_out *f, uint64_t group, const struct core_msg *m,
               const struct frame_entry *bytes);
bool frame_add_chunk(struct frame_out *f, const struct frame_chunk *chunk);
bool frame_add_reply(struct frame_out *f, const struct frame_reply *reply);
struct blob *frame_pack(struct frame_out *f, uint64_t incarnation, uint64_t rest_generation,
                        bool beat);

#endif
