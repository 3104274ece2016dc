/* frame_in - a frame that came, checked whole before anybody sees a part of it.
 *
 * Sizes first, then counts, then each field; memory is bounded by the arena before anything is unpacked. The payload must
 * be exactly as long as the message says: a byte too many or too few refuses the frame.
 */
#include <limits.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proto/proto.h"
#include "raft/engine/config.h"
#include "raft/engine/frame.h"

#define FLAG_REJECT  1u
#define FLAG_DISRUPT 2u
#define FLAG_REST    4u
#define FLAG_BUSY    8u
#define FLAG_LOST    16u
#define FLAGS_ALL    31u

struct reader {
    struct frame *out;
    uint64_t to;
    struct span payload; /* what is left of it */
    size_t entries;
};

static bool take(struct reader *r, size_t n, struct span *out)
{
    if (n > r->payload.n) return false;
    *out = span_sub(r->payload, 0, n);
    r->payload = span_from(r->payload, n);
    return true;
}

static bool take_config(struct reader *r, struct span head, const struct core_config **out)
{
    struct core_config *config = arena_alloc(&r->out->arena, sizeof *config);

    *out = config;
    return config && config_unpack(head, config) == 0;
}

static bool take_entry(struct reader *r, const Angarium__EntryLead *lead, struct core_entry *e,
                       struct frame_entry *bytes)
{
    if (lead->kind < CORE_NOOP || lead->kind > CORE_CONFIG || lead->term == 0) return false;
    if (lead->head_size > RAFT_ENTRY_SIZE_MAX ||
        lead->body_size > RAFT_ENTRY_SIZE_MAX - lead->head_size)
        return false;
    if (!take(r, lead->head_size, &bytes->head) || !take(r, lead->body_size, &bytes->body))
        return false;
    e->term = lead->term;
    e->kind = (enum core_entry_kind)lead->kind;
    e->weight = lead->head_size + lead->body_size;
    return e->kind != CORE_CONFIG || take_config(r, bytes->head, &e->config);
}

static bool take_entries(struct reader *r, const Angarium__GroupMessage *m,
                         struct frame_message *out)
{
    struct core_entry *entries;
    struct frame_entry *bytes;

    r->entries += m->n_entries;
    if (m->n_entries > FRAME_APPEND_MAX) return false;
    if (r->entries > FRAME_ENTRIES_MAX) return false;
    if (m->n_entries == 0) return true;
    entries = arena_alloc(&r->out->arena, m->n_entries * sizeof *entries);
    bytes = arena_alloc(&r->out->arena, m->n_entries * sizeof *bytes);
    if (!entries || !bytes) return false;
    for (size_t i = 0; i < m->n_entries; i++)
        if (!take_entry(r, m->entries[i], &entries[i], &bytes[i])) return false;
    out->msg.count = (unsigned)m->n_entries;
    out->msg.entries = entries;
    out->bytes = bytes;
    return true;
}

static bool take_message(struct reader *r, const Angarium__GroupMessage *m,
                         struct frame_message *out)
{
    if (m->kind < CORE_MSG_PREVOTE || m->kind >= CORE_MSG_KINDS || m->kind == CORE_MSG_SNAPSHOT)
        return false;
    if ((m->flags & ~FLAGS_ALL) != 0 || m->free_permille > 1000 || m->group == UINT64_MAX)
        return false;
    if (m->n_entries > 0 && m->kind != CORE_MSG_APPEND) return false;
    out->group = m->group;
    out->loop = UINT_MAX;
    out->msg = (struct core_msg){ .kind = (enum core_msg_kind)m->kind,
                                  .reject = m->flags & FLAG_REJECT,
                                  .disrupt = m->flags & FLAG_DISRUPT,
                                  .rest = m->flags & FLAG_REST,
                                  .busy = m->flags & FLAG_BUSY,
                                  .lost = m->flags & FLAG_LOST,
                                  .free_permille = (uint16_t)m->free_permille,
                                  .era = m->era,
                                  .from = r->out->from,
                                  .to = r->to,
                                  .term = m->term,
                                  .prev = { m->prev_index, m->prev_term },
                                  .commit = m->commit,
                                  .context = m->context,
                                  .match = m->match,
                                  .hint = { m->hint_index, m->hint_term },
                                  .first = m->first };
    return take_entries(r, m, out);
}

static bool take_messages(struct reader *r, const Angarium__PeerFrame *f)
{
    r->out->message_count = f->n_messages;
    r->out->messages = arena_alloc(&r->out->arena, f->n_messages * sizeof *r->out->messages);
    if (!r->out->messages) return false;
    for (size_t i = 0; i < f->n_messages; i++)
        if (!take_message(r, f->messages[i], &r->out->messages[i])) return false;
    return true;
}

static bool take_chunk(struct reader *r, const Angarium__SnapshotChunk *c, struct frame_chunk *out)
{
    if (c->size > RAFT_CHUNK_SIZE_MAX || c->group == UINT64_MAX || c->pos_index == 0) return false;
    *out = (struct frame_chunk){ .group = c->group,
                                 .term = c->term,
                                 .number = c->number,
                                 .offset = c->offset,
                                 .loop = UINT_MAX,
                                 .pos = { c->pos_index, c->pos_term },
                                 .last = c->last != 0 };
    if (!take(r, c->size, &out->bytes)) return false;
    if (XXH64(out->bytes.p, out->bytes.n, 0) != c->checksum) return false;
    return config_from_wire(c->config, &out->config);
}

static bool take_chunks(struct reader *r, const Angarium__PeerFrame *f)
{
    r->out->chunk_count = f->n_chunks;
    r->out->chunks = arena_alloc(&r->out->arena, f->n_chunks * sizeof *r->out->chunks);
    if (!r->out->chunks) return false;
    for (size_t i = 0; i < f->n_chunks; i++)
        if (!take_chunk(r, f->chunks[i], &r->out->chunks[i])) return false;
    return true;
}

static bool take_replies(struct reader *r, const Angarium__PeerFrame *f)
{
    r->out->reply_count = f->n_replies;
    r->out->replies = arena_alloc(&r->out->arena, f->n_replies * sizeof *r->out->replies);
    if (!r->out->replies) return false;
    for (size_t i = 0; i < f->n_replies; i++) {
        const Angarium__SnapshotReply *from = f->replies[i];

        if (from->state > FRAME_REPLY_FAILED) return false;
        r->out->replies[i] =
            (struct frame_reply){ from->group, from->number, from->offset, UINT_MAX, from->state };
    }
    return true;
}

static int unpack(struct frame *out, uint64_t to)
{
    struct span all = blob_span(out->blob);
    struct reader r = { .out = out, .to = to };
    ProtobufCAllocator allocator = proto_allocator(&out->arena);
    Angarium__PeerFrame *f;
    size_t size;

    if (all.n < FRAME_LEAD_SIZE || all.p[0] != RAFT_FRAME) return ERR_SYNTAX;
    size = (size_t)all.p[1] << 16 | (size_t)all.p[2] << 8 | all.p[3];
    if (size > all.n - FRAME_LEAD_SIZE) return ERR_SYNTAX;
    f = angarium__peer_frame__unpack(&allocator, size, all.p + FRAME_LEAD_SIZE);
    if (!f) return ERR_SYNTAX;
    if (f->n_messages + f->n_chunks + f->n_replies > FRAME_MESSAGES_MAX) return ERR_TOO_LONG;
    r.payload = span_from(all, FRAME_LEAD_SIZE + size);
    out->incarnation = f->incarnation;
    out->rest_generation = f->rest_generation;
    out->beat = f->beat != 0;
    if (!take_messages(&r, f) || !take_chunks(&r, f) || !take_replies(&r, f)) return ERR_SYNTAX;
    return r.payload.n == 0 ? 0 : ERR_SYNTAX;
}

int frame_unpack(struct blob *blob, uint64_t from, uint64_t to, struct frame *out)
{
    int rv;

    *out = (struct frame){ .blob = blob, .from = from };
    arena_init(&out->arena, FRAME_ARENA_MAX);
    rv = blob->n <= WIRE_FRAME_MAX ? unpack(out, to) : ERR_TOO_LONG;
    if (rv != 0) frame_deinit(out);
    return rv;
}

void frame_deinit(struct frame *f)
{
    arena_deinit(&f->arena);
    blob_unref(&f->blob);
}
