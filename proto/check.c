/* check - every command is checked here before anybody acts on it: what must be there, counts,
 * sizes, ranges.
 *
 * Text that we send or write into headers (addresses, trace facts) has no control bytes: one in
 * them could begin a line of its own. A remote's words are bounded only; who shows them escapes
 * them.
 */
#include "proto/proto.h"

#include "proto/ground/ascii.h"

#define TEXT_SIZE_MAX   1024u /* a remote's reply */
#define UPLOAD_SIZE_MAX 64u   /* the name of an upload */
#define HASH_SIZE       32u
#define DOMAIN_SIZE_MAX 255u
#define REPLY_CODE_MAX  999u
#define HOST_SIZE_MAX   300u

static bool text_ok(ProtobufCBinaryData d, size_t size_max)
{
    return d.len <= size_max;
}

/* Addresses go into SMTP commands: a control byte in one would be a command of its own. */
static bool address_ok(ProtobufCBinaryData d, size_t size_max)
{
    if (d.len > size_max) return false;
    for (size_t i = 0; i < d.len; i++)
        if (d.data[i] < 0x20 || d.data[i] == 0x7f) return false;
    return true;
}

/* Lower case, ASCII; or an address literal, "[192.0.2.1]". */
static bool domain_ok(ProtobufCBinaryData d)
{
    bool is_literal = d.len > 2 && d.data[0] == '[' && d.data[d.len - 1] == ']';

    if (d.len == 0 || !address_ok(d, DOMAIN_SIZE_MAX)) return false;
    for (size_t i = 0; i < d.len; i++) {
        uint8_t c = d.data[i];

        if (c == ' ' || c >= 0x80) return false;
        if (!is_literal && (ascii_is_upper(c) || c == '[' || c == ']')) return false;
    }
    return true;
}

static bool field_ok(const Angarium__HeaderField *f, uint32_t header_size)
{
    return f->offset <= header_size && f->length <= header_size - f->offset &&
           f->name_length <= f->length;
}

static bool body_ok(const Angarium__BodyFacts *b)
{
    if (!b || b->n_fields > PROTO_FIELDS_MAX || b->header_size > b->size) return false;
    if (b->hash_simple.len != 0 && b->hash_simple.len != HASH_SIZE) return false;
    if (b->hash_relaxed.len != 0 && b->hash_relaxed.len != HASH_SIZE) return false;
    for (size_t i = 0; i < b->n_fields; i++)
        if (!field_ok(b->fields[i], b->header_size)) return false;
    return true;
}

static bool origin_ok(const Angarium__Origin *o)
{
    return o && address_ok(o->session, 128) && address_ok(o->client_address, 64) &&
           o->client_port <= UINT16_MAX && address_ok(o->helo, 512) &&
           address_ok(o->protocol, 32) && address_ok(o->tls, 128) && text_ok(o->tenant, 256) &&
           text_ok(o->credential, 512) && text_ok(o->listener, 64) && address_ok(o->hostname, 256);
}

bool proto_notify_ok(uint32_t notify)
{
    return notify <= PROTO_NOTIFY_NEVER ||
           (notify &
            ~(uint32_t)(PROTO_NOTIFY_SUCCESS | PROTO_NOTIFY_FAILURE | PROTO_NOTIFY_DELAY)) == 0;
}

bool proto_request_ok(struct span envid, uint32_t ret, uint32_t body_type)
{
    return address_ok(proto_bytes(envid), PROTO_ENVID_SIZE_MAX) && ret <= PROTO_RET_HDRS &&
           body_type <= PROTO_BODY_BINARYMIME;
}

bool proto_tags_ok(const ProtobufCBinaryData *tags, size_t n)
{
    if (n > PROTO_TAGS_MAX) return false;
    for (size_t i = 0; i < n; i++) {
        if (tags[i].len == 0 || tags[i].len > PROTO_TAG_SIZE_MAX) return false;
        for (size_t k = 0; k < tags[i].len; k++)
            if (tags[i].data[k] < 0x20 || tags[i].data[k] > 0x7e) return false;
    }
    return true;
}

static bool recipient_ok(const Angarium__Recipient *r)
{
    return r->address.len > 0 && address_ok(r->address, PROTO_ADDRESS_SIZE_MAX) &&
           domain_ok(r->domain) && proto_notify_ok(r->notify) &&
           address_ok(r->orcpt, PROTO_ORCPT_SIZE_MAX);
}

static bool told_ok(const Angarium__Told *t)
{
    return t->recipient < PROTO_RECIPIENTS_MAX && t->debts > 0 && t->debts <= PROTO_OWED_ALL;
}

static bool index_ok(uint64_t index)
{
    return index > 0 && index <= PROTO_INDEX_MAX;
}

static bool accept_ok(const Angarium__Accept *a)
{
    if (a->n_recipients == 0 || a->n_recipients > PROTO_RECIPIENTS_MAX) return false;
    if (a->n_chunks > PROTO_CHUNKS_MAX || a->upload.len > UPLOAD_SIZE_MAX) return false;
    if ((a->n_chunks > 0) != (a->upload.len > 0)) return false;
    if (!address_ok(a->mail_from, PROTO_ADDRESS_SIZE_MAX) || !body_ok(a->body) ||
        !origin_ok(a->origin))
        return false;
    if (a->bounce_of != 0 && a->mail_from.len > 0) return false;
    if (a->bounce_of > PROTO_INDEX_MAX) return false;
    if (!proto_request_ok(proto_span(a->envid), a->ret, a->body_type)) return false;
    if (!proto_tags_ok(a->tags, a->n_tags)) return false;
    if (a->n_told > (a->bounce_of != 0 ? PROTO_RECIPIENTS_MAX : 0)) return false;
    for (size_t i = 0; i < a->n_told; i++)
        if (!told_ok(a->told[i])) return false;
    for (size_t i = 0; i < a->n_chunks; i++)
        if (!index_ok(a->chunks[i])) return false;
    for (size_t i = 0; i < a->n_recipients; i++)
        if (!recipient_ok(a->recipients[i])) return false;
    return true;
}

static bool refs_ok(Angarium__RecipientRef **refs, size_t n)
{
    if (n == 0 || n > PROTO_REFS_MAX) return false;
    for (size_t i = 0; i < n; i++)
        if (!index_ok(refs[i]->index) || refs[i]->recipient >= PROTO_RECIPIENTS_MAX) return false;
    return true;
}

/* Only a claim's recipients name hosts. */
static bool hosts_ok(Angarium__RecipientRef **refs, size_t n, const ProtobufCBinaryData *hosts,
                     size_t host_count)
{
    if (host_count > PROTO_HOSTS_MAX) return false;
    for (size_t i = 0; i < host_count; i++)
        if (hosts[i].len == 0 || !text_ok(hosts[i], HOST_SIZE_MAX)) return false;
    for (size_t i = 0; i < n; i++)
        if (refs[i]->host > host_count) return false;
    return true;
}

static bool outcome_ok(const Angarium__RecipientOutcome *o)
{
    if (!index_ok(o->index) || o->recipient >= PROTO_RECIPIENTS_MAX) return false;
    if (o->result <= ANGARIUM__RESULT__RESULT_NONE || o->result > ANGARIUM__RESULT__RESULT_IN_DOUBT)
        return false;
    if (o->confirm > PROTO_CONFIRM_DELIVERED) return false;
    if (o->reply && (o->reply->code > REPLY_CODE_MAX || !text_ok(o->reply->enhanced, 32) ||
                     !text_ok(o->reply->text, TEXT_SIZE_MAX)))
        return false;
    return text_ok(o->remote_host, HOST_SIZE_MAX) && text_ok(o->remote_address, 64) &&
           text_ok(o->source_address, 64) && text_ok(o->tls, 128) && text_ok(o->class_, 64);
}

static bool outcomes_ok(const Angarium__Outcome *o)
{
    if (o->n_recipients == 0 || o->n_recipients > PROTO_REFS_MAX) return false;
    for (size_t i = 0; i < o->n_recipients; i++)
        if (!outcome_ok(o->recipients[i])) return false;
    return true;
}

static bool order_ok(uint64_t index, const uint32_t *recipients, size_t n, ProtobufCBinaryData by)
{
    if (!index_ok(index) || n > PROTO_RECIPIENTS_MAX || !text_ok(by, 256)) return false;
    for (size_t i = 0; i < n; i++)
        if (recipients[i] >= PROTO_RECIPIENTS_MAX) return false;
    return true;
}

/* P6: two replicas of different versions must not read different things out of one command, so a field that is not
 * known here is an error, not something to skip. Our types are at most three deep and never recursive. */
static bool knows_all(const ProtobufCMessage *m, unsigned depth)
{
    const ProtobufCMessageDescriptor *type = m->descriptor;

    if (m->n_unknown_fields > 0) return false;
    for (unsigned i = 0; depth > 0 && i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        const char *member = (const char *)m + f->offset;
        const char *quantifier = (const char *)m + f->quantifier_offset;

        if (f->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            ProtobufCMessage *const *list = *(ProtobufCMessage *const *const *)(const void *)member;
            size_t n = *(const size_t *)(const void *)quantifier;

            for (size_t k = 0; k < n; k++)
                if (!knows_all(list[k], depth - 1)) return false;
            continue;
        }
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            *(const uint32_t *)(const void *)quantifier != f->id)
            continue;
        if (*(ProtobufCMessage *const *)(const void *)member &&
            !knows_all(*(ProtobufCMessage *const *)(const void *)member, depth - 1))
            return false;
    }
    return true;
}

static bool command_ok(const Angarium__Command *c)
{
    switch (c->kind_case) {
    case ANGARIUM__COMMAND__KIND_ACCEPT:
        return accept_ok(c->accept);
    case ANGARIUM__COMMAND__KIND_CHUNK:
        return c->chunk->upload.len > 0 && c->chunk->upload.len <= UPLOAD_SIZE_MAX &&
               c->chunk->number < PROTO_CHUNKS_MAX;
    case ANGARIUM__COMMAND__KIND_CLAIM:
        return refs_ok(c->claim->recipients, c->claim->n_recipients) &&
               hosts_ok(c->claim->recipients, c->claim->n_recipients, c->claim->hosts,
                        c->claim->n_hosts);
    case ANGARIUM__COMMAND__KIND_OUTCOME:
        return outcomes_ok(c->outcome);
    case ANGARIUM__COMMAND__KIND_EXPIRE:
        return refs_ok(c->expire->recipients, c->expire->n_recipients) &&
               hosts_ok(c->expire->recipients, c->expire->n_recipients, NULL, 0);
    case ANGARIUM__COMMAND__KIND_HOLD:
        return order_ok(c->hold->index, c->hold->recipients, c->hold->n_recipients, c->hold->by);
    case ANGARIUM__COMMAND__KIND_RELEASE:
        return order_ok(c->release->index, c->release->recipients, c->release->n_recipients,
                        c->release->by);
    case ANGARIUM__COMMAND__KIND_CANCEL:
        return order_ok(c->cancel->index, c->cancel->recipients, c->cancel->n_recipients,
                        c->cancel->by);
    case ANGARIUM__COMMAND__KIND_PURGE:
        return c->purge->upload.len <= UPLOAD_SIZE_MAX;
    case ANGARIUM__COMMAND__KIND_CLOSE:
        return true;
    case ANGARIUM__COMMAND__KIND__NOT_SET:
    case _ANGARIUM__COMMAND__KIND__CASE_IS_INT_SIZE:
        return false;
    }
    return false;
}

int proto_command_check(const Angarium__Command *c)
{
    return knows_all(&c->base, 4) && command_ok(c) ? 0 : ERR_CORRUPT;
}
