/* words - sizes first, then the message, then each field; a command in one passes the checks of every command. */
#include "node/commit/words.h"

int words_leads(struct span bytes, struct arena *a, Angarium__PeerLeads **out)
{
    ProtobufCAllocator allocator = proto_allocator(a);

    if (bytes.n > WORDS_SMALL_MAX) return ERR_TOO_LONG;
    *out = angarium__peer_leads__unpack(&allocator, bytes.n, bytes.p);
    if (!*out || (*out)->region.len > WORDS_REGION_MAX || (*out)->n_shards > WORDS_SHARDS_MAX)
        return ERR_CORRUPT;
    return 0;
}

static bool upload_ok(ProtobufCBinaryData name)
{
    return name.len == WORDS_UPLOAD_SIZE;
}

int words_chunk(struct span bytes, struct arena *a, Angarium__PeerChunk **out)
{
    ProtobufCAllocator allocator = proto_allocator(a);

    if (bytes.n > WORDS_SMALL_MAX) return ERR_TOO_LONG;
    *out = angarium__peer_chunk__unpack(&allocator, bytes.n, bytes.p);
    if (!*out || !upload_ok((*out)->upload) || (*out)->number >= PROTO_CHUNKS_MAX)
        return ERR_CORRUPT;
    return 0;
}

int words_mail(struct span bytes, struct arena *a, Angarium__PeerMail **out,
               Angarium__Command **command)
{
    ProtobufCAllocator allocator = proto_allocator(a);
    const Angarium__Accept *accept;
    int rv;

    if (bytes.n > WORDS_REQUEST_MAX) return ERR_TOO_LONG;
    *out = angarium__peer_mail__unpack(&allocator, bytes.n, bytes.p);
    if (!*out || ((*out)->upload.len > 0 && !upload_ok((*out)->upload))) return ERR_CORRUPT;
    rv = proto_command_unpack_in(proto_span((*out)->command), a, command);
    if (rv != 0) return rv;
    if ((*command)->kind_case != ANGARIUM__COMMAND__KIND_ACCEPT) return ERR_CORRUPT;
    accept = (*command)->accept;
    return accept->bounce_of == 0 && accept->n_chunks == 0 ? 0 : ERR_CORRUPT;
}

static bool is_order(const Angarium__Command *c)
{
    return c->kind_case == ANGARIUM__COMMAND__KIND_HOLD ||
           c->kind_case == ANGARIUM__COMMAND__KIND_RELEASE ||
           c->kind_case == ANGARIUM__COMMAND__KIND_CANCEL;
}

int words_order(struct span bytes, struct arena *a, Angarium__PeerOrder **out,
                Angarium__Command **command)
{
    ProtobufCAllocator allocator = proto_allocator(a);
    int rv;

    if (bytes.n > WORDS_REQUEST_MAX) return ERR_TOO_LONG;
    *out = angarium__peer_order__unpack(&allocator, bytes.n, bytes.p);
    if (!*out || (*out)->shard == 0 || (*out)->shard > PROTO_SHARD_MAX) return ERR_CORRUPT;
    rv = proto_command_unpack_in(proto_span((*out)->command), a, command);
    if (rv != 0) return rv;
    return is_order(*command) ? 0 : ERR_CORRUPT;
}

int words_mail_answer(struct span bytes, uint64_t *id_out)
{
    struct arena a;
    ProtobufCAllocator allocator = proto_allocator(&a);
    Angarium__PeerMailAnswer *m;
    int rv = ERR_CORRUPT;

    if (bytes.n > WORDS_SMALL_MAX) return ERR_TOO_LONG;
    arena_init(&a, WORDS_SMALL_MAX);
    m = angarium__peer_mail_answer__unpack(&allocator, bytes.n, bytes.p);
    if (m && proto_id_shard(m->id) != 0 && proto_id_index(m->id) != 0) {
        *id_out = m->id;
        rv = 0;
    }
    arena_deinit(&a);
    return rv;
}
