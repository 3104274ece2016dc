/* staging - the state of a shard comes in (layout: snapshot.h): every record is checked before it is staged, and nothing of
 * it is read before all of it is here and takes the place of the old state, as one.
 *
 * What is checked: the order of keys, that each is one of ours and its value decodes, that each live body follows its
 * record, sizes, and the count and hash at the end. That the records belong together is the sender's word, as in a log entry.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>

#include "queue/inside.h"
#include "queue/snapshot.h"

#define STATE_SIZE  (18 * 8) /* applied, digest, counts */
#define STATE_LEAST (17 * 8) /* as it was before in_doubt_now */
#define CHANGES_MAX 1024     /* of one write */
#define REST_MAX    (2 * SNAPSHOT_VALUE_MAX)

struct queue_staging {
    struct queue_store *store;
    uint32_t shard;
    struct buf rest; /* of an item that is not whole yet */
    struct queue_change *changes;
    struct queue_key keys[CHANGES_MAX];
    unsigned count;
    struct queue_key last_key;
    uint8_t state[STATE_SIZE];  /* of a shard that has applied nothing there is no record */
    uint64_t items, hash, live; /* live: its body must come next; 0: none */
    bool is_whole, is_installed;
    int rv;
};

void queue_staging_open(struct queue_staging **out, struct queue_store *s, uint32_t shard)
{
    struct queue_staging *g = check_calloc(1, sizeof *g);

    g->store = s;
    g->shard = shard;
    g->changes = check_calloc(CHANGES_MAX, sizeof *g->changes);
    buf_init(&g->rest, REST_MAX);
    if (s) s->calls->unstage(s->self, shard);
    *out = g;
}

void queue_staging_close(struct queue_staging **pg)
{
    struct queue_staging *g = *pg;

    if (!g) return;
    *pg = NULL;
    if (g->store && !g->is_installed) g->store->calls->unstage(g->store->self, g->shard);
    buf_deinit(&g->rest);
    free(g->changes);
    free(g);
}

/* ---- records */

/* Kinds of keys.h. size: of the key behind its kind; 0: any. value: its size, -1: any; or a message. */
static const struct kind {
    char kind;
    uint8_t size;
    int value;
    const ProtobufCMessageDescriptor *type;
} kinds[] = {
    { 'S', 0, -1, NULL },
    { 'b', 8, 0, NULL },
    { 'c', 12, 0, NULL },
    { 'd', 0, 0, NULL },
    { 'e', 12, -1, &angarium__event__descriptor },
    { 'f', 16, 0, NULL },
    { 'i', 12, 0, NULL },
    { 'l', 8, 8, NULL },
    { 'm', 8, -1, &angarium__message_record__descriptor },
    { 'p', 8, 0, NULL },
    { 'r', 12, -1, &angarium__recipient_record__descriptor },
    { 's', 20, 0, NULL },
    { 't', 20, -1, NULL },
    { 'u', 0, -1, &angarium__upload_record__descriptor },
    { 'x', 0, 0, NULL },
};

static const struct kind *kind_of(char c)
{
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].kind == c) return &kinds[i];
    return NULL;
}

static bool decodes(const ProtobufCMessageDescriptor *type, struct span value)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, value.n, value.p);

    if (m) protobuf_c_message_free_unpacked(m, NULL);
    return m != NULL;
}

static bool is_record(struct span key, struct span value)
{
    const struct kind *k = key.n > 0 ? kind_of((char)key.p[0]) : NULL;

    if (!k || (k->size > 0 && key.n != 1u + k->size)) return false;
    if ((k->kind == 'S' || k->kind == 'x') && key.n != 1) return false;
    if (k->kind == 'S' && value.n != STATE_SIZE && value.n != STATE_LEAST) return false;
    if (k->kind == 'd' && key.n < 1 + 1 + 20) return false; /* domain 0 due index recipient */
    if (k->value >= 0 && value.n != (size_t)k->value) return false;
    return !k->type || decodes(k->type, value);
}

static void flush(struct queue_staging *g)
{
    if (g->store && g->count > 0) g->store->calls->write(g->store->self, g->changes, g->count);
    g->count = 0;
}

/* The value is borrowed until the next flush. */
static void stage(struct queue_staging *g, const struct queue_key *key, struct span value,
                  bool is_body)
{
    g->keys[g->count] = *key;
    g->changes[g->count] = (struct queue_change){ .key = queue_key_span(&g->keys[g->count]),
                                                  .value = value,
                                                  .is_body = is_body,
                                                  .is_staged = true };
    if (++g->count == CHANGES_MAX) flush(g);
}

static int take_record(struct queue_staging *g, struct span name, struct span value)
{
    struct queue_key key = { .n = 0 };

    if (g->live != 0 || name.n + 4 > QUEUE_KEY_SIZE_MAX || !is_record(name, value))
        return ERR_CORRUPT;
    queue_key_u32(&key, g->shard);
    queue_key_bytes(&key, name);
    if (g->last_key.n > 0 && span_compare(queue_key_span(&g->last_key), queue_key_span(&key)) >= 0)
        return ERR_CORRUPT;
    g->last_key = key;
    if (name.p[0] == 'S') memcpy(g->state, value.p, value.n);
    if (name.p[0] == 'l') {
        g->live = queue_read_u64(name, 1);
        if (g->live == 0) return ERR_CORRUPT;
    }
    stage(g, &key, value, false);
    return 0;
}

static int take_body(struct queue_staging *g, uint64_t entry, struct span body)
{
    struct queue_key key = body_key(g->shard, entry);

    if (g->live == 0 || entry != g->live) return ERR_CORRUPT;
    g->live = 0;
    stage(g, &key, body, true);
    return 0;
}

static int take_head(struct queue_staging *g, uint32_t format, uint32_t shard)
{
    if (format > PROTO_FORMAT_VERSION) return ERR_VERSION;
    return g->items == 0 && shard == g->shard ? 0 : ERR_CORRUPT;
}

static int take_end(struct queue_staging *g, uint64_t items, uint64_t hash)
{
    if (items != g->items || hash != g->hash || g->live != 0) return ERR_CORRUPT;
    g->is_whole = true;
    return 0;
}

/* ---- bytes */

/* The next item: 0 and its size; ERR_AGAIN: not all of it is here; ERR_CORRUPT. */
static int take_item(struct queue_staging *g, struct cursor *c)
{
    uint8_t kind = cursor_u8(c);
    int rv = ERR_CORRUPT;
    uint32_t a, b;
    uint64_t n;

    if (g->is_whole || (g->items == 0 && kind != 'H')) return ERR_CORRUPT;
    if (kind == 'H') {
        a = cursor_u32be(c);
        b = cursor_u32be(c);
        rv = c->failed ? ERR_AGAIN : take_head(g, a, b);
    } else if (kind == 'R') {
        struct span key, value;

        a = cursor_u16be(c);
        b = cursor_u32be(c);
        if (a > QUEUE_KEY_SIZE_MAX || b > SNAPSHOT_VALUE_MAX) return ERR_CORRUPT;
        key = cursor_span(c, a);
        value = cursor_span(c, b);
        rv = c->failed ? ERR_AGAIN : take_record(g, key, value);
    } else if (kind == 'B') {
        struct span body;

        n = cursor_u64be(c);
        b = cursor_u32be(c);
        if (b > SNAPSHOT_VALUE_MAX) return ERR_CORRUPT;
        body = cursor_span(c, b);
        rv = c->failed ? ERR_AGAIN : take_body(g, n, body);
    } else if (kind == 'E') {
        uint64_t hash;

        n = cursor_u64be(c);
        hash = cursor_u64be(c);
        rv = c->failed ? ERR_AGAIN : take_end(g, n, hash);
    }
    return rv;
}

/* All whole items of the bytes; how many bytes they are. */
static int take_items(struct queue_staging *g, struct span bytes, size_t *taken)
{
    *taken = 0;
    while (*taken < bytes.n) {
        struct span rest = span_from(bytes, *taken);
        struct cursor c;
        size_t size;
        int rv;

        cursor_init(&c, rest);
        rv = take_item(g, &c);
        if (rv == ERR_AGAIN) return 0;
        if (rv != 0) return rv;
        size = (size_t)(c.p - rest.p);
        g->hash = XXH3_64bits_withSeed(rest.p, size, g->hash);
        g->items++;
        *taken += size;
    }
    return 0;
}

int queue_staging_add(struct queue_staging *g, struct span bytes)
{
    bool is_joined = g->rest.n > 0;
    size_t taken;

    if (g->rv != 0) return g->rv;
    if (is_joined) buf_add_span(&g->rest, bytes);
    CHECK(!buf_failed(&g->rest)); /* less than an item, and a chunk */
    g->rv = take_items(g, is_joined ? buf_span(&g->rest) : bytes, &taken);
    if (g->rv != 0) return g->rv;
    flush(g); /* what it borrows goes now */
    if (is_joined)
        buf_drop(&g->rest, taken);
    else
        buf_add_span(&g->rest, span_from(bytes, taken));
    return 0;
}

/* ---- installing */

/* The state has applied all up to index (raft's own entries stand between its commands), and its bodies are here. */
static void stage_index(struct queue_staging *g, uint64_t index)
{
    struct queue_key state = queue_key(g->shard, 'S'), moved = queue_key(g->shard, 'M'),
                     number = { .n = 0 };

    queue_key_u64(&number, index);
    memcpy(g->state, number.p, number.n);
    stage(g, &state, span_of(g->state, STATE_SIZE), false);
    stage(g, &moved, queue_key_span(&number), true);
    flush(g);
}

int queue_staging_end(const struct queue_staging *g, struct queue_state *out)
{
    if (g->rv != 0 || !g->is_whole || g->rest.n > 0) return ERR_CORRUPT;
    return queue_state_take(span_of(g->state, STATE_SIZE), out) ? 0 : ERR_CORRUPT;
}

bool queue_forget(struct queue_store *s, uint32_t shard)
{
    struct queue_key key = queue_key(shard, 'S');
    struct buf state;
    int rv;

    buf_init(&state, STATE_SIZE);
    rv = s->calls->get(s->self, queue_key_span(&key), &state);
    buf_deinit(&state);
    if (rv == ERR_NOT_FOUND) return false;
    s->calls->unstage(s->self, shard);
    s->calls->swap(s->self, shard);
    first_forget_all(s->first);
    CHECK(s->calls->flush(s->self, NULL) == 0); /* a failed write ended the process already */
    s->calls->reclaim(s->self, shard);
    return true;
}

int queue_staging_install(struct queue_staging *g, uint64_t index)
{
    const struct queue_store *s = g->store;

    CHECK(s);
    if (g->rv != 0 || !g->is_whole || g->rest.n > 0) return ERR_CORRUPT;
    if (queue_read_u64(span_of(g->state, STATE_SIZE), 0) > index) return ERR_CORRUPT;
    stage_index(g, index);
    s->calls->swap(s->self, g->shard);
    first_forget_all(s->first);
    g->is_installed = true;
    CHECK(s->calls->flush(s->self, NULL) == 0); /* a failed write ended the process already */
    return 0;
}
