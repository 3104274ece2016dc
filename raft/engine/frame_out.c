/* frame_out - a frame that goes: messages gather, then all of it is packed by one copy.
 *
 * Sizes are bounded from above while it gathers (MESSAGE_COST and so on hold for the largest numbers), so that what was
 * added always fits.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/proto.h"
#include "raft/engine/config.h"
#include "raft/engine/frame.h"

#define FRAME_COST   64u /* of a frame without anything */
#define FRAME_ROOM   (WIRE_FRAME_MAX - FRAME_LEAD_SIZE - FRAME_COST)
#define MESSAGE_COST 160u /* 15 fields, at most 11 bytes each */
#define ENTRY_COST   32u
#define CHUNK_COST   160u
#define CONFIG_COST  (40u + 32u * CORE_MEMBERS_MAX)
#define REPLY_COST   48u
#define OUT_ARENA    (16u << 20) /* all that fits into a frame, as structs, is less */

struct gathering {
    Angarium__PeerFrame frame;
    Angarium__GroupMessage *messages[FRAME_MESSAGES_MAX];
    Angarium__SnapshotChunk *chunks[8];
    Angarium__SnapshotReply *replies[64];
    size_t entries;
};

static struct gathering *gathering_of(const struct frame_out *f)
{
    return f->frame;
}

static void *must_alloc(struct frame_out *f, size_t size)
{
    void *p = arena_alloc(&f->arena, size);

    CHECK(p != NULL);
    return p;
}

static void reset(struct frame_out *f)
{
    struct gathering *g = f->frame;

    angarium__peer_frame__init(&g->frame);
    g->frame.messages = g->messages;
    g->frame.chunks = g->chunks;
    g->frame.replies = g->replies;
    g->entries = 0;
    arena_reset(&f->arena);
    f->room = FRAME_ROOM;
    f->payload_count = f->payload_bytes = 0;
}

void frame_begin(struct frame_out *f)
{
    *f = (struct frame_out){ .frame = check_malloc(sizeof(struct gathering)) };
    arena_init(&f->arena, OUT_ARENA);
    reset(f);
}

void frame_end(struct frame_out *f)
{
    arena_deinit(&f->arena);
    free(f->frame);
    free(f->payload);
    *f = (struct frame_out){ 0 };
}

bool frame_is_empty(const struct frame_out *f)
{
    const struct gathering *g = gathering_of(f);

    return g->frame.n_messages + g->frame.n_chunks + g->frame.n_replies == 0;
}

static void add_payload(struct frame_out *f, struct span bytes)
{
    if (bytes.n == 0) return;
    if (f->payload_count == f->payload_cap) {
        f->payload_cap = f->payload_cap ? 2 * f->payload_cap : 64;
        f->payload = check_realloc(f->payload, f->payload_cap * sizeof *f->payload);
    }
    f->payload[f->payload_count++].bytes = bytes;
    f->payload_bytes += bytes.n;
}

static bool reserve(struct frame_out *f, size_t cost)
{
    if (cost > f->room) {
        CHECK(!frame_is_empty(f));
        return false;
    }
    f->room -= cost;
    return true;
}

/* ---- messages */

static void add_entries(struct frame_out *f, Angarium__GroupMessage *to, const struct core_msg *m,
                        const struct frame_entry *bytes)
{
    to->n_entries = m->count;
    to->entries = must_alloc(f, m->count * sizeof *to->entries);
    for (unsigned i = 0; i < m->count; i++) {
        Angarium__EntryLead *lead = must_alloc(f, sizeof *lead);

        angarium__entry_lead__init(lead);
        lead->term = m->entries[i].term;
        lead->kind = (uint32_t)m->entries[i].kind;
        lead->head_size = (uint32_t)bytes[i].head.n;
        lead->body_size = (uint32_t)bytes[i].body.n;
        to->entries[i] = lead;
        add_payload(f, bytes[i].head);
        add_payload(f, bytes[i].body);
    }
}

unsigned frame_entries_fit(const struct frame_entry *bytes, unsigned count)
{
    size_t room = FRAME_ROOM - MESSAGE_COST;
    unsigned n = 0;

    for (; n < count; n++) {
        size_t cost = ENTRY_COST + bytes[n].head.n + bytes[n].body.n;

        if (cost > room) break;
        room -= cost;
    }
    CHECK(n > 0); /* an entry is bounded so that one fits */
    return n;
}

bool frame_add(struct frame_out *f, uint64_t group, const struct core_msg *m,
               const struct frame_entry *bytes)
{
    struct gathering *g = gathering_of(f);
    size_t cost = MESSAGE_COST + m->count * ENTRY_COST;
    Angarium__GroupMessage *to;

    for (unsigned i = 0; i < m->count; i++)
        cost += bytes[i].head.n + bytes[i].body.n;
    if (g->frame.n_messages == FRAME_MESSAGES_MAX - 128 ||
        g->entries + m->count > FRAME_ENTRIES_MAX || !reserve(f, cost))
        return false;
    to = must_alloc(f, sizeof *to);
    angarium__group_message__init(to);
    to->group = group;
    to->kind = (uint32_t)m->kind;
    to->flags = (m->reject ? 1u : 0) | (m->disrupt ? 2u : 0) | (m->rest ? 4u : 0) |
                (m->busy ? 8u : 0) | (m->lost ? 16u : 0);
    to->free_permille = m->free_permille;
    to->era = m->era;
    to->term = m->term;
    to->prev_index = m->prev.index;
    to->prev_term = m->prev.term;
    to->commit = m->commit;
    to->context = m->context;
    to->match = m->match;
    to->hint_index = m->hint.index;
    to->hint_term = m->hint.term;
    to->first = m->first;
    if (m->count > 0) add_entries(f, to, m, bytes);
    g->entries += m->count;
    g->messages[g->frame.n_messages++] = to;
    return true;
}

/* ---- snapshots */

bool frame_add_chunk(struct frame_out *f, const struct frame_chunk *chunk)
{
    struct gathering *g = gathering_of(f);
    Angarium__SnapshotChunk *to;
    struct config_wire *config;

    CHECK(chunk->bytes.n <= RAFT_CHUNK_SIZE_MAX);
    if (g->frame.n_chunks == sizeof g->chunks / sizeof g->chunks[0] ||
        !reserve(f, CHUNK_COST + CONFIG_COST + chunk->bytes.n))
        return false;
    to = must_alloc(f, sizeof *to);
    config = must_alloc(f, sizeof *config);
    angarium__snapshot_chunk__init(to);
    config_to_wire(&chunk->config, config);
    to->group = chunk->group;
    to->term = chunk->term;
    to->pos_index = chunk->pos.index;
    to->pos_term = chunk->pos.term;
    to->number = chunk->number;
    to->offset = chunk->offset;
    to->last = chunk->last;
    to->checksum = XXH64(chunk->bytes.p, chunk->bytes.n, 0);
    to->size = (uint32_t)chunk->bytes.n;
    to->config = &config->config;
    add_payload(f, chunk->bytes);
    g->chunks[g->frame.n_chunks++] = to;
    return true;
}

bool frame_add_reply(struct frame_out *f, const struct frame_reply *reply)
{
    struct gathering *g = gathering_of(f);
    Angarium__SnapshotReply *to;

    if (g->frame.n_replies == sizeof g->replies / sizeof g->replies[0] || !reserve(f, REPLY_COST))
        return false;
    to = must_alloc(f, sizeof *to);
    angarium__snapshot_reply__init(to);
    to->group = reply->group;
    to->number = reply->number;
    to->offset = reply->offset;
    to->state = reply->state;
    g->replies[g->frame.n_replies++] = to;
    return true;
}

/* ---- packing */

static struct blob *new_blob(size_t size)
{
    struct blob *b = blob_new(size);

    CHECK(b->cap >= size);
    return b;
}

struct blob *frame_pack(struct frame_out *f, uint64_t incarnation, uint64_t rest_generation,
                        bool beat)
{
    Angarium__PeerFrame *frame = &gathering_of(f)->frame;
    struct blob *b;
    size_t size;

    frame->incarnation = incarnation;
    frame->rest_generation = rest_generation;
    frame->beat = beat;
    size = angarium__peer_frame__get_packed_size(frame);
    b = new_blob(FRAME_LEAD_SIZE + size + f->payload_bytes);
    b->p[0] = RAFT_FRAME;
    b->p[1] = (uint8_t)(size >> 16);
    b->p[2] = (uint8_t)(size >> 8);
    b->p[3] = (uint8_t)size;
    CHECK(angarium__peer_frame__pack(frame, b->p + FRAME_LEAD_SIZE) == size);
    b->n = FRAME_LEAD_SIZE + size;
    for (size_t i = 0; i < f->payload_count; i++) {
        memcpy(b->p + b->n, f->payload[i].bytes.p, f->payload[i].bytes.n);
        b->n += f->payload[i].bytes.n;
    }
    CHECK(b->n <= WIRE_FRAME_MAX);
    reset(f);
    return b;
}
