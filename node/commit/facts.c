/* facts - what was learned of a body while it passed, in the words of the command. */
#include "node/commit/commit.h"

#include "proto/ground/metric.h"

_Static_assert(MAIL_CONTENT_RULES_MAX <= PROTO_TAGS_MAX, "all tags have room");
_Static_assert(MAIL_CONTENT_SAID_SIZE <= PROTO_TAG_SIZE_MAX, "a tag has room");

void commit_facts_fill(struct commit_facts *out, const struct mail_facts *f)
{
    size_t n = f->field_count < MAIL_FIELDS_MAX ? f->field_count : MAIL_FIELDS_MAX;

    for (size_t i = 0; i < n; i++) {
        angarium__header_field__init(&out->fields[i]);
        out->fields[i].offset = f->fields[i].offset;
        out->fields[i].length = f->fields[i].length;
        out->fields[i].name_length = f->fields[i].name_length;
        out->list[i] = &out->fields[i];
    }
    angarium__body_facts__init(&out->body);
    out->body.size = f->size;
    out->body.header_size = f->header_size;
    out->body.eight_bit = f->eight_bit;
    out->body.eight_bit_header = f->eight_bit_header;
    out->body.line_length_max = f->line_length_max;
    if (f->has_hashes) {
        out->body.hash_simple = proto_bytes(span_of(f->hash_simple, sizeof f->hash_simple));
        out->body.hash_relaxed = proto_bytes(span_of(f->hash_relaxed, sizeof f->hash_relaxed));
    }
    out->body.n_fields = n;
    out->body.fields = out->list;
    out->body.has_date = f->has_date;
    out->body.has_message_id = f->has_message_id;
    out->body.has_from = f->has_from;
    out->body.received_count = f->received_count;
    out->body.has_private = f->has_private;
}

void commit_tags_fill(struct commit_tags *out, const struct mail_content_scan *s)
{
    static const enum metric metrics[] = { [MAIL_CONTENT_HEADER] = M_CONTENT_TAGGED_HEADER,
                                           [MAIL_CONTENT_BODY] = M_CONTENT_TAGGED_BODY,
                                           [MAIL_CONTENT_FILE] = M_CONTENT_TAGGED_FILE };
    unsigned at = 0;

    out->n = 0;
    while (mail_content_tagged(s, &at, &out->hits[out->n])) {
        const struct mail_content_hit *h = &out->hits[out->n];

        out->list[out->n++] = proto_bytes(span_cstr(h->said));
        metric_add(metrics[h->part], 1);
    }
}

void commit_content_count(const struct mail_content_hit *refused)
{
    static const enum metric metrics[] = { [MAIL_CONTENT_HEADER] = M_CONTENT_REJECTED_HEADER,
                                           [MAIL_CONTENT_BODY] = M_CONTENT_REJECTED_BODY,
                                           [MAIL_CONTENT_FILE] = M_CONTENT_REJECTED_FILE,
                                           [MAIL_CONTENT_GTUBE] = M_CONTENT_REJECTED_GTUBE };

    metric_add(metrics[refused->part], 1);
}
