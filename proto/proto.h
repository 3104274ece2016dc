/* proto - the words: what goes into the log and over wires, packed and unpacked with limits, and
 * the address of a mail.
 *
 * A mail's id is its address in the log: shard (20 bits) and index of its entry (44 bits), printed
 * as 13 characters of base32; every node finds a mail from its id alone. Shard numbers start at 1
 * and are never used twice.
 *
 * Everything that is decoded is checked here before anybody sees it: size first, then the message,
 * then its fields (proto_command_check). A command that fails is ERR_CORRUPT; nothing is half
 * taken.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "proto/ground/arena.h"
#include "proto/ground/base32.h"
#include "proto/ground/buf.h"
#include "proto/ground/err.h"
#include "proto/queue.pb-c.h"

/* Formats of commands, records, frames and stores: the oldest and the newest that this program reads and can write; announced,
 * checked in every store. The build ANGARIUM_FORMAT_VERSION=previous knows one less: what tests upgrade from. */
#define PROTO_FORMAT_MIN 1u
#ifdef ANGARIUM_FORMAT_PREVIOUS
#define PROTO_FORMAT_VERSION 1u
#else
#define PROTO_FORMAT_VERSION 2u
#endif
/* What a format added, and which: written only where proto_writes says so, by whoever proposes; never asked in apply (P6). */
#define PROTO_ADDED_WRITTEN_AS   2u /* ControlCommand.written_as */
#define PROTO_ADDED_CLAIM_HOSTS  2u /* Claim.hosts, RecipientRef.host */
#define PROTO_ADDED_REGION_DRAIN 2u /* ControlRegionDrain */
#define PROTO_ADDED_TOMBSTONES   2u /* DATA/log: who does not know them would vote with an empty log */
#define PROTO_SHARD_MAX        ((1u << 20) - 1)
#define PROTO_INDEX_MAX        ((1ull << 44) - 1)
#define PROTO_COMMAND_SIZE_MAX (768u << 10) /* a packed head */
#define PROTO_RECIPIENTS_MAX   1000u        /* of one message */
#define PROTO_REFS_MAX         4096u        /* recipients in one claim, outcome, expire */
#define PROTO_HOSTS_MAX        256u        /* that one claim names */
#define PROTO_CHUNKS_MAX       4096u        /* of one body */
#define PROTO_CHUNK_SIZE_MAX   (256u << 10)
#define PROTO_ADDRESS_SIZE_MAX 320u
#define PROTO_FIELDS_MAX       256u
#define PROTO_ENVID_SIZE_MAX   100u /* RFC 3461 4.4 */
#define PROTO_ORCPT_SIZE_MAX   500u /* RFC 3461 4.2 */
#define PROTO_TAGS_MAX         32u
#define PROTO_TAG_SIZE_MAX     200u

/* Values of Recipient.notify, Accept.ret and Accept.body_type; 0 is "not said". */
enum {
    PROTO_NOTIFY_NEVER = 1,
    PROTO_NOTIFY_SUCCESS = 2,
    PROTO_NOTIFY_FAILURE = 4,
    PROTO_NOTIFY_DELAY = 8
};
enum { PROTO_RET_FULL = 1, PROTO_RET_HDRS = 2 };
enum { PROTO_BODY_7BIT = 1, PROTO_BODY_8BITMIME = 2, PROTO_BODY_BINARYMIME = 3 };

static inline uint64_t proto_id(uint32_t shard, uint64_t index)
{
    return ((uint64_t)shard << 44) | index;
}
static inline uint32_t proto_id_shard(uint64_t id)
{
    return (uint32_t)(id >> 44);
}
static inline uint64_t proto_id_index(uint64_t id)
{
    return id & PROTO_INDEX_MAX;
}

static inline struct span proto_span(ProtobufCBinaryData d)
{
    return span_of(d.data, d.len);
}
/* Borrows: valid as long as s. */
static inline ProtobufCBinaryData proto_bytes(struct span s)
{
    return (ProtobufCBinaryData){ .len = s.n, .data = (uint8_t *)(uintptr_t)s.p };
}

/* Debts of a recipient (RecipientRecord.bounce_owed): what a DSN has to tell, to whom it was not said otherwise. */
#define PROTO_OWED_FAILED       1u
#define PROTO_OWED_DELAYED      2u
#define PROTO_OWED_RELAYED      4u
#define PROTO_OWED_DELIVERED    8u
#define PROTO_OWED_ALL          15u
#define PROTO_CONFIRM_RELAYED   1u /* RecipientOutcome.confirm */
#define PROTO_CONFIRM_DELIVERED 2u

/* Appends the packed command to out. ERR_CORRUPT when it does not pass the checks, ERR_FULL
 * when it is over PROTO_COMMAND_SIZE_MAX or out is full. */
int proto_command_pack(const Angarium__Command *c, struct buf *out);
/* Unpacks and checks; *out is freed with proto_command_free. ERR_CORRUPT, ERR_TOO_LONG. */
int proto_command_unpack(struct span head, Angarium__Command **out);
/* The same in an arena, which owns it; nothing to free. */
int proto_command_unpack_in(struct span head, struct arena *a, Angarium__Command **out);
/* For the generated unpack functions: memory of the arena. */
ProtobufCAllocator proto_allocator(struct arena *a);
void proto_command_free(Angarium__Command **c);
/* The checks alone: counts, sizes, ranges, enums, needed fields. 0 or ERR_CORRUPT. */
int proto_command_check(const Angarium__Command *c);
/* Parts of it, for records: NEVER stands alone (RFC 3461 4.1); sizes and ranges. */
bool proto_notify_ok(uint32_t notify);
bool proto_request_ok(struct span envid, uint32_t ret, uint32_t body_type);
bool proto_tags_ok(const ProtobufCBinaryData *tags, size_t n);

/* Any generated message: packed size known first, one copy. */
void proto_pack(const ProtobufCMessage *m, struct buf *out);

const char *proto_event_name(Angarium__EventType t); /* "delivered"; "?" for none */
int proto_event_parse(struct span name, Angarium__EventType *out);
const char *proto_state_name(Angarium__RecipientState s); /* "waiting" ... */
bool proto_state_is_terminal(Angarium__RecipientState s);
const char *proto_result_name(Angarium__Result r);

/* The format that this process writes: the newest, or what its cluster has in force (docs/ARCHITECTURE.md, Formats). Any thread. */
uint32_t proto_format(void);
bool proto_writes(uint32_t added); /* PROTO_ADDED_*: the format in force has it */
void proto_format_set(uint32_t format); /* PROTO_FORMAT_MIN to PROTO_FORMAT_VERSION */

#endif
