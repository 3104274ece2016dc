/* view - reading: any thread, straight from the store.
 *
 * What is read is our own and checksummed by the store: a record that does not decode is damage.
 */
#include "queue/inside.h"

#include <stdlib.h>

#define VIEW_VALUE_SIZE_MAX (8u << 20)

uint64_t queue_read_u64(struct span bytes, size_t at)
{
    uint64_t v = 0;

    CHECK(at + 8 <= bytes.n);
    for (size_t i = 0; i < 8; i++)
        v = v << 8 | bytes.p[at + i];
    return v;
}

uint32_t queue_read_u32(struct span bytes, size_t at)
{
    uint32_t v = 0;

    CHECK(at + 4 <= bytes.n);
    for (size_t i = 0; i < 4; i++)
        v = v << 8 | bytes.p[at + i];
    return v;
}

static int read_record(struct queue_store *s, const struct queue_key *key,
                       const ProtobufCMessageDescriptor *type, ProtobufCMessage **out)
{
    struct buf value;
    int rv;

    buf_init(&value, VIEW_VALUE_SIZE_MAX);
    rv = s->calls->get(s->self, queue_key_span(key), &value);
    if (rv == 0) {
        *out = protobuf_c_message_unpack(type, NULL, value.n, value.p);
        if (!*out) rv = ERR_CORRUPT;
    }
    buf_deinit(&value);
    return rv;
}

int queue_message_get(struct queue_store *s, uint32_t shard, uint64_t index,
                      Angarium__MessageRecord **out)
{
    struct queue_key key = queue_key_1(shard, 'm', index);
    ProtobufCMessage *m = NULL;
    int rv = read_record(s, &key, &angarium__message_record__descriptor, &m);

    if (rv == 0) *out = (Angarium__MessageRecord *)m;
    return rv;
}

void queue_message_free(Angarium__MessageRecord **m)
{
    if (*m) angarium__message_record__free_unpacked(*m, NULL);
    *m = NULL;
}

int queue_recipient_get(struct queue_store *s, uint32_t shard, uint64_t index, uint32_t recipient,
                        Angarium__RecipientRecord **out)
{
    struct queue_key key = queue_key_ref(shard, 'r', index, recipient);
    ProtobufCMessage *m = NULL;
    int rv = read_record(s, &key, &angarium__recipient_record__descriptor, &m);

    if (rv == 0) *out = (Angarium__RecipientRecord *)m;
    return rv;
}

void queue_recipient_free(Angarium__RecipientRecord **r)
{
    if (*r) angarium__recipient_record__free_unpacked(*r, NULL);
    *r = NULL;
}

/* ---- many records */

struct queue_reader {
    struct queue_store *store;
    uint32_t shard;
    void *messages, *recipients; /* seekers */
};

static void *seeker_of(struct queue_store *s, uint32_t shard, char kind)
{
    struct queue_key prefix = queue_key(shard, kind);

    return s->calls->seeker_open(s->self, queue_key_span(&prefix));
}

struct queue_reader *queue_reader_new(struct queue_store *s, uint32_t shard)
{
    struct queue_reader *r = check_calloc(1, sizeof *r);

    r->store = s;
    r->shard = shard;
    r->messages = seeker_of(s, shard, 'm');
    r->recipients = seeker_of(s, shard, 'r');
    return r;
}

void queue_reader_free(struct queue_reader **p)
{
    struct queue_reader *r = *p;

    if (!r) return;
    *p = NULL;
    r->store->calls->seeker_close(r->store->self, r->messages);
    r->store->calls->seeker_close(r->store->self, r->recipients);
    free(r);
}

static int seek_record(struct queue_reader *r, void *seeker, const struct queue_key *key,
                       const ProtobufCMessageDescriptor *type, ProtobufCMessage **out)
{
    struct span value;
    int rv = r->store->calls->seeker_get(r->store->self, seeker, queue_key_span(key), &value);

    if (rv != 0) return rv;
    *out = protobuf_c_message_unpack(type, NULL, value.n, value.p);
    return *out ? 0 : ERR_CORRUPT;
}

int queue_reader_message(struct queue_reader *r, uint64_t index, Angarium__MessageRecord **out)
{
    struct queue_key key = queue_key_1(r->shard, 'm', index);
    ProtobufCMessage *m = NULL;
    int rv = seek_record(r, r->messages, &key, &angarium__message_record__descriptor, &m);

    if (rv == 0) *out = (Angarium__MessageRecord *)m;
    return rv;
}

int queue_reader_recipient(struct queue_reader *r, uint64_t index, uint32_t recipient,
                           Angarium__RecipientRecord **out)
{
    struct queue_key key = queue_key_ref(r->shard, 'r', index, recipient);
    ProtobufCMessage *m = NULL;
    int rv = seek_record(r, r->recipients, &key, &angarium__recipient_record__descriptor, &m);

    if (rv == 0) *out = (Angarium__RecipientRecord *)m;
    return rv;
}

/* ---- lists of message indexes */

struct index_list {
    uint64_t *out;
    size_t count, max;
    uint64_t to;
};

static bool add_index(void *arg, struct span key, struct span value)
{
    struct index_list *l = arg;
    uint64_t index = queue_read_u64(key, 5);

    (void)value;
    if (l->count == l->max || index > l->to) return false;
    l->out[l->count++] = index;
    return true;
}

static size_t list_indexes(struct queue_store *s, uint32_t shard, char kind, uint64_t from,
                           struct index_list *l)
{
    struct queue_key prefix = queue_key(shard, kind), at = queue_key_1(shard, kind, from);

    s->calls->each(s->self, queue_key_span(&prefix), queue_key_span(&at), false, l, add_index);
    return l->count;
}

size_t queue_messages(struct queue_store *s, uint32_t shard, uint64_t after, bool only_pending,
                      uint64_t *out, size_t max)
{
    struct index_list l = { .out = out, .max = max, .to = UINT64_MAX };

    return after < PROTO_INDEX_MAX ? list_indexes(s, shard, only_pending ? 'p' : 'm', after + 1, &l)
                                   : 0;
}

size_t queue_bounces(struct queue_store *s, uint32_t shard, uint64_t after, uint64_t *out,
                     size_t max)
{
    struct index_list l = { .out = out, .max = max, .to = UINT64_MAX };

    return after < PROTO_INDEX_MAX ? list_indexes(s, shard, 'b', after + 1, &l) : 0;
}

size_t queue_live_bodies(struct queue_store *s, uint32_t shard, uint64_t from, uint64_t to,
                         uint64_t *out, size_t max)
{
    struct index_list l = { .out = out, .max = max, .to = to };

    return list_indexes(s, shard, 'l', from, &l);
}

static bool take_time(void *arg, struct span key, struct span value)
{
    (void)value;
    *(uint64_t *)arg = queue_read_u64(key, 5);
    return false;
}

uint64_t queue_finished_first_ms(struct queue_store *s, uint32_t shard)
{
    struct queue_key prefix = queue_key(shard, 'f');
    uint64_t first = UINT64_MAX;

    s->calls->each(s->self, queue_key_span(&prefix), queue_key_span(&prefix), false, &first,
                   take_time);
    return first;
}

static bool take_upload(void *arg, struct span key, struct span value)
{
    Angarium__UploadRecord *u = angarium__upload_record__unpack(NULL, value.n, value.p);
    uint64_t *first_ms = arg;

    (void)key;
    if (!u) check_last_word("the queue's store is damaged", "decode", "UploadRecord");
    if (u->last_at_ms < *first_ms) *first_ms = u->last_at_ms;
    angarium__upload_record__free_unpacked(u, NULL);
    return true;
}

uint64_t queue_uploads_first_ms(struct queue_store *s, uint32_t shard)
{
    struct queue_key prefix = queue_key(shard, 'u');
    uint64_t first_ms = UINT64_MAX;

    s->calls->each(s->self, queue_key_span(&prefix), queue_key_span(&prefix), false, &first_ms,
                   take_upload);
    return first_ms;
}

/* ---- events */

struct event_walk {
    queue_event_fn *each;
    void *arg;
    struct queue_store *store;
    uint32_t shard;
};

static bool give_event(void *arg, struct span key, struct span value)
{
    struct event_walk *walk = arg;
    Angarium__Event *e = angarium__event__unpack(NULL, value.n, value.p);
    bool more;

    if (!e) check_last_word("the queue's store is damaged", "decode", "Event");
    more = walk->each(walk->arg, queue_read_u64(key, 5), queue_read_u32(key, 13), e);
    angarium__event__free_unpacked(e, NULL);
    return more;
}

void queue_events(struct queue_store *s, uint32_t shard, uint64_t from_entry, uint32_t from_number,
                  queue_event_fn *each, void *arg)
{
    struct event_walk walk = { .each = each, .arg = arg };
    struct queue_key prefix = queue_key(shard, 'e'),
                     at = queue_key_ref(shard, 'e', from_entry, from_number);

    s->calls->each(s->self, queue_key_span(&prefix), queue_key_span(&at), false, &walk, give_event);
}

static bool give_story_event(void *arg, struct span key, struct span value)
{
    struct event_walk *walk = arg;
    uint64_t entry = queue_read_u64(key, 13);
    uint32_t number = queue_read_u32(key, 21);
    struct queue_key at = queue_key_ref(walk->shard, 'e', entry, number);
    ProtobufCMessage *m = NULL;
    bool more;

    (void)value;
    if (read_record(walk->store, &at, &angarium__event__descriptor, &m) != 0)
        return true; /* purged meanwhile */
    more = walk->each(walk->arg, entry, number, (Angarium__Event *)m);
    protobuf_c_message_free_unpacked(m, NULL);
    return more;
}

void queue_story(struct queue_store *s, uint32_t shard, uint64_t message_index,
                 queue_event_fn *each, void *arg)
{
    struct event_walk walk = { .each = each, .arg = arg, .store = s, .shard = shard };
    struct queue_key prefix = queue_key_1(shard, 's', message_index);

    s->calls->each(s->self, queue_key_span(&prefix), queue_key_span(&prefix), false, &walk,
                   give_story_event);
}
