/* command - what is packed unpacks equal; what must not be in a command is refused on both ways;
 * names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/proto.h"

/* One command of each kind that passes; tests spoil one thing in it. */
struct sample {
    Angarium__Command c;
    Angarium__Accept accept;
    Angarium__BodyFacts body;
    Angarium__HeaderField field, *fields[1];
    Angarium__Origin origin;
    Angarium__Recipient recipient, *recipients[PROTO_RECIPIENTS_MAX + 1];
    uint64_t chunks[PROTO_CHUNKS_MAX + 1];
    Angarium__Chunk chunk;
    Angarium__Claim claim;
    Angarium__Expire expire;
    Angarium__RecipientRef ref, *refs[PROTO_REFS_MAX + 1];
    Angarium__Outcome outcome;
    Angarium__RecipientOutcome one, *outcomes[PROTO_REFS_MAX + 1];
    Angarium__Reply reply;
    Angarium__Hold hold;
    Angarium__Release release;
    Angarium__Cancel cancel;
    uint32_t numbers[PROTO_RECIPIENTS_MAX + 1];
    Angarium__Purge purge;
};

static ProtobufCBinaryData text(const char *s)
{
    return proto_bytes(span_cstr(s));
}

/* n bytes of 'a', valid until the end of the program. */
static ProtobufCBinaryData long_text(size_t n)
{
    static uint8_t bytes[4096];

    CHECK(n <= sizeof bytes);
    memset(bytes, 'a', sizeof bytes);
    return proto_bytes(span_of(bytes, n));
}

static void sample_accept(struct sample *s)
{
    angarium__accept__init(&s->accept);
    angarium__body_facts__init(&s->body);
    angarium__header_field__init(&s->field);
    angarium__origin__init(&s->origin);
    angarium__recipient__init(&s->recipient);
    s->field.length = 20;
    s->field.name_length = 4;
    s->fields[0] = &s->field;
    s->body.size = 1000;
    s->body.header_size = 200;
    s->body.fields = s->fields;
    s->body.n_fields = 1;
    s->body.hash_simple = s->body.hash_relaxed = long_text(32);
    s->origin.helo = text("client.example");
    s->origin.tenant = text("acme");
    s->recipient.address = text("b@y.example");
    s->recipient.domain = text("y.example");
    for (size_t i = 0; i <= PROTO_RECIPIENTS_MAX; i++)
        s->recipients[i] = &s->recipient;
    for (size_t i = 0; i <= PROTO_CHUNKS_MAX; i++)
        s->chunks[i] = 10 + i;
    s->accept.time_ms = 1000;
    s->accept.mail_from = text("a@x.example");
    s->accept.recipients = s->recipients;
    s->accept.n_recipients = 2;
    s->accept.body = &s->body;
    s->accept.origin = &s->origin;
    s->accept.chunks = s->chunks;
}

static void sample_attempts(struct sample *s)
{
    angarium__claim__init(&s->claim);
    angarium__expire__init(&s->expire);
    angarium__recipient_ref__init(&s->ref);
    angarium__outcome__init(&s->outcome);
    angarium__recipient_outcome__init(&s->one);
    angarium__reply__init(&s->reply);
    s->ref.index = s->one.index = 5;
    s->one.result = ANGARIUM__RESULT__RESULT_DEFERRED;
    s->one.reply = &s->reply;
    s->reply.code = 451;
    s->reply.text = text("later");
    for (size_t i = 0; i <= PROTO_REFS_MAX; i++) {
        s->refs[i] = &s->ref;
        s->outcomes[i] = &s->one;
    }
    s->claim.recipients = s->expire.recipients = s->refs;
    s->claim.n_recipients = s->expire.n_recipients = 2;
    s->outcome.recipients = s->outcomes;
    s->outcome.n_recipients = 2;
}

static int open_sample(void **state)
{
    struct sample *s = check_calloc(1, sizeof *s);

    angarium__command__init(&s->c);
    sample_accept(s);
    sample_attempts(s);
    angarium__chunk__init(&s->chunk);
    angarium__hold__init(&s->hold);
    angarium__release__init(&s->release);
    angarium__cancel__init(&s->cancel);
    angarium__purge__init(&s->purge);
    s->chunk.upload = s->purge.upload = text("1-2-3");
    s->hold.index = s->release.index = s->cancel.index = 5;
    s->hold.recipients = s->release.recipients = s->cancel.recipients = s->numbers;
    s->hold.n_recipients = s->release.n_recipients = s->cancel.n_recipients = 2;
    *state = s;
    return 0;
}

static int close_sample(void **state)
{
    free(*state);
    return 0;
}

static void choose(struct sample *s, Angarium__Command__KindCase kind)
{
    void *const bodies[] = { NULL,       &s->accept, &s->chunk,   &s->claim,  &s->outcome,
                             &s->expire, &s->hold,   &s->release, &s->cancel, &s->purge };

    s->c.kind_case = kind;
    s->c.accept = bodies[kind]; /* all kinds share their place */
}

#define CHOOSE(kind) choose(s, ANGARIUM__COMMAND__KIND_##kind)

static void expect_passes(struct sample *s)
{
    struct buf packed, again;
    Angarium__Command *out = NULL, *in_arena = NULL;
    struct arena a;

    buf_init(&packed, PROTO_COMMAND_SIZE_MAX);
    buf_init(&again, PROTO_COMMAND_SIZE_MAX);
    arena_init(&a, 32u << 20);
    assert_int_equal(proto_command_pack(&s->c, &packed), 0);
    assert_int_equal(proto_command_unpack(buf_span(&packed), &out), 0);
    assert_int_equal(out->kind_case, s->c.kind_case);
    assert_int_equal(proto_command_pack(out, &again), 0);
    assert_true(span_eq(buf_span(&packed), buf_span(&again)));
    assert_int_equal(proto_command_unpack_in(buf_span(&packed), &a, &in_arena), 0);
    buf_reset(&again);
    assert_int_equal(proto_command_pack(in_arena, &again), 0);
    assert_true(span_eq(buf_span(&packed), buf_span(&again)));
    proto_command_free(&out);
    assert_null(out);
    arena_deinit(&a);
    buf_deinit(&packed);
    buf_deinit(&again);
}

/* Neither packed by us nor taken from somebody who packed it anyway. */
static void expect_refused(struct sample *s)
{
    struct buf packed;
    Angarium__Command *out = NULL;
    struct arena a;

    assert_int_equal(proto_command_check(&s->c), ERR_CORRUPT);
    buf_init(&packed, 8u << 20);
    assert_int_equal(proto_command_pack(&s->c, &packed), ERR_CORRUPT);
    assert_int_equal(packed.n, 0);
    proto_pack(&s->c.base, &packed);
    arena_init(&a, 32u << 20);
    assert_int_equal(proto_command_unpack(buf_span(&packed), &out), ERR_CORRUPT);
    assert_null(out);
    assert_int_equal(proto_command_unpack_in(buf_span(&packed), &a, &out), ERR_CORRUPT);
    arena_deinit(&a);
    buf_deinit(&packed);
}

/* ---- round trips */

static void every_kind_comes_back(void **state)
{
    struct sample *s = *state;

    for (int kind = ANGARIUM__COMMAND__KIND_ACCEPT; kind <= ANGARIUM__COMMAND__KIND_PURGE; kind++) {
        choose(s, (Angarium__Command__KindCase)kind);
        expect_passes(s);
    }
}

static void the_largest_lists_come_back(void **state)
{
    struct sample *s = *state;

    s->accept.n_recipients = PROTO_RECIPIENTS_MAX;
    s->accept.n_chunks = PROTO_CHUNKS_MAX;
    s->accept.upload = text("1-2-3");
    CHOOSE(ACCEPT);
    expect_passes(s);
    s->claim.n_recipients = s->outcome.n_recipients = PROTO_REFS_MAX;
    CHOOSE(CLAIM);
    expect_passes(s);
    CHOOSE(OUTCOME);
    expect_passes(s);
    s->hold.n_recipients = PROTO_RECIPIENTS_MAX;
    CHOOSE(HOLD);
    expect_passes(s);
}

static void borders_pass(void **state)
{
    struct sample *s = *state;

    s->accept.mail_from = text(""); /* the null return path */
    s->accept.bounce_of = PROTO_INDEX_MAX;
    s->recipient.domain = text("[192.0.2.1]");
    CHOOSE(ACCEPT);
    expect_passes(s);
    s->recipient.address = long_text(PROTO_ADDRESS_SIZE_MAX);
    s->recipient.domain = long_text(255);
    expect_passes(s);
    s->ref.index = PROTO_INDEX_MAX;
    s->ref.recipient = PROTO_RECIPIENTS_MAX - 1;
    CHOOSE(CLAIM);
    expect_passes(s);
    s->one.result = ANGARIUM__RESULT__RESULT_IN_DOUBT;
    s->one.reply = NULL; /* there was none */
    CHOOSE(OUTCOME);
    expect_passes(s);
    s->cancel.n_recipients = 0; /* all */
    CHOOSE(CANCEL);
    expect_passes(s);
    s->purge.upload = text("");
    CHOOSE(PURGE);
    expect_passes(s);
}

/* ---- accept */

static void accept_counts_are_bounded(void **state)
{
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    s->accept.n_recipients = 0;
    expect_refused(s);
    s->accept.n_recipients = PROTO_RECIPIENTS_MAX + 1;
    expect_refused(s);
    s->accept.n_recipients = 1;
    s->accept.upload = text("1-2-3");
    s->accept.n_chunks = PROTO_CHUNKS_MAX + 1;
    expect_refused(s);
    s->accept.n_chunks = 1;
    expect_passes(s);
}

static void accept_needs_its_parts(void **state)
{
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    s->accept.body = NULL;
    expect_refused(s);
    s->accept.body = &s->body;
    s->accept.origin = NULL;
    expect_refused(s);
    s->accept.origin = &s->origin;
    s->accept.n_chunks = 1; /* of which upload? */
    expect_refused(s);
    s->accept.n_chunks = 0;
    s->accept.upload = text("1-2-3"); /* which chunks? */
    expect_refused(s);
    s->accept.n_chunks = 1;
    s->accept.upload = long_text(65);
    expect_refused(s);
}

/* A control byte in an address would end the command that carries it. */
static void addresses_have_no_control_bytes(void **state)
{
    static const char *const bad[] = { "a\r\n@x.example", "a@x.example\n", "\x7f@x.example",
                                       "a\t@x.example" };
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        s->accept.mail_from = text(bad[i]);
        expect_refused(s);
        s->accept.mail_from = text("a@x.example");
        s->recipient.address = text(bad[i]);
        expect_refused(s);
        s->recipient.address = text("b@y.example");
        s->origin.helo = text(bad[i]);
        expect_refused(s);
        s->origin.helo = text("client.example");
    }
    s->recipient.address = proto_bytes(span_of("a\0@x", 4));
    expect_refused(s);
    s->recipient.address = text("");
    expect_refused(s);
    s->recipient.address = long_text(PROTO_ADDRESS_SIZE_MAX + 1);
    expect_refused(s);
    s->recipient.address = text("b@y.example");
    s->accept.mail_from = long_text(PROTO_ADDRESS_SIZE_MAX + 1);
    expect_refused(s);
    s->accept.mail_from = text("j\xc3\xbcrgen@x.example"); /* UTF-8 is fine (RFC 6531) */
    expect_passes(s);
}

static void domains_are_lower_case_ascii(void **state)
{
    static const char *const bad[] = { "",          "Y.example", "y.exampl\xc3\xa9",
                                       "y example", "y\0x",      "y.example\r" };
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        s->recipient.domain = i == 4 ? proto_bytes(span_of("y\0x", 3)) : text(bad[i]);
        expect_refused(s);
    }
    s->recipient.domain = long_text(256);
    expect_refused(s);
    s->recipient.domain = text("[IPv6:2001:db8::1]");
    expect_passes(s);
}

static void body_facts_fit_each_other(void **state)
{
    Angarium__HeaderField *many[PROTO_FIELDS_MAX + 1];
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    s->body.header_size = 1001; /* of 1000 bytes */
    expect_refused(s);
    s->body.header_size = 200;
    s->body.hash_simple = long_text(33);
    expect_refused(s);
    s->body.hash_simple = long_text(32);
    s->body.hash_relaxed = long_text(33);
    expect_refused(s);
    s->body.hash_relaxed = long_text(32);
    for (size_t i = 0; i <= PROTO_FIELDS_MAX; i++)
        many[i] = &s->field;
    s->body.fields = many;
    s->body.n_fields = PROTO_FIELDS_MAX;
    expect_passes(s);
    s->body.n_fields++;
    expect_refused(s);
}

static void origin_texts_are_bounded(void **state)
{
    struct sample *s = *state;
    ProtobufCBinaryData *const texts[] = { &s->origin.session,  &s->origin.client_address,
                                           &s->origin.protocol, &s->origin.tls,
                                           &s->origin.tenant,   &s->origin.credential,
                                           &s->origin.listener, &s->origin.hostname,
                                           &s->origin.helo };

    CHOOSE(ACCEPT);
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ProtobufCBinaryData before = *texts[i];

        *texts[i] = long_text(513);
        expect_refused(s);
        *texts[i] = before;
    }
    expect_passes(s);
}

static void a_bounce_has_no_return_path(void **state)
{
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    s->accept.bounce_of = 5;
    expect_refused(s);
    s->accept.mail_from = text("");
    expect_passes(s);
    s->accept.bounce_of = PROTO_INDEX_MAX + 1;
    expect_refused(s);
}

static void what_the_client_asks_for_is_in_range(void **state)
{
    static const uint32_t notify_bad[] = { PROTO_NOTIFY_NEVER | PROTO_NOTIFY_FAILURE, 3, 16, 18 };
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    s->accept.smtputf8 = true;
    s->accept.envid = long_text(PROTO_ENVID_SIZE_MAX);
    s->accept.ret = PROTO_RET_HDRS;
    s->accept.body_type = PROTO_BODY_BINARYMIME;
    s->recipient.orcpt = long_text(PROTO_ORCPT_SIZE_MAX);
    for (s->recipient.notify = 0; s->recipient.notify <= 14; s->recipient.notify += 2)
        expect_passes(s);
    s->recipient.notify = PROTO_NOTIFY_NEVER;
    expect_passes(s);
    for (unsigned i = 0; i < sizeof notify_bad / sizeof notify_bad[0]; i++) {
        s->recipient.notify = notify_bad[i];
        expect_refused(s);
    }
    s->recipient.notify = 0;
    s->recipient.orcpt = long_text(PROTO_ORCPT_SIZE_MAX + 1);
    expect_refused(s);
    s->recipient.orcpt = text("rfc822;b\r\n@y.example"); /* a line of its own in a DSN */
    expect_refused(s);
    s->recipient.orcpt = text("");
    s->accept.envid = long_text(PROTO_ENVID_SIZE_MAX + 1);
    expect_refused(s);
    s->accept.envid = text("a\nb");
    expect_refused(s);
    s->accept.envid = text("");
    s->accept.ret = PROTO_RET_HDRS + 1;
    expect_refused(s);
    s->accept.ret = 0;
    s->accept.body_type = PROTO_BODY_BINARYMIME + 1;
    expect_refused(s);
}

/* They become lines of a header. */
static void tags_are_printable_and_few(void **state)
{
    ProtobufCBinaryData tags[PROTO_TAGS_MAX + 1];
    struct sample *s = *state;

    CHOOSE(ACCEPT);
    for (unsigned i = 0; i <= PROTO_TAGS_MAX; i++)
        tags[i] = text("bulk: seen");
    s->accept.tags = tags;
    s->accept.n_tags = PROTO_TAGS_MAX;
    tags[0] = long_text(PROTO_TAG_SIZE_MAX);
    expect_passes(s);
    tags[0] = long_text(PROTO_TAG_SIZE_MAX + 1);
    expect_refused(s);
    tags[0] = text("a\r\nB: c");
    expect_refused(s);
    tags[0] = text("");
    expect_refused(s);
    tags[0] = text("a");
    s->accept.n_tags = PROTO_TAGS_MAX + 1;
    expect_refused(s);
}

/* ---- the others */

static void chunks_have_a_name_and_a_number(void **state)
{
    struct sample *s = *state;

    CHOOSE(CHUNK);
    s->chunk.upload = text("");
    expect_refused(s);
    s->chunk.upload = long_text(65);
    expect_refused(s);
    s->chunk.upload = long_text(64);
    s->chunk.number = PROTO_CHUNKS_MAX;
    expect_refused(s);
    s->chunk.number--;
    expect_passes(s);
}

static void references_are_in_range(void **state)
{
    static const struct {
        uint64_t index;
        uint32_t recipient;
    } bad[] = { { 0, 0 }, { PROTO_INDEX_MAX + 1, 0 }, { 5, PROTO_RECIPIENTS_MAX } };
    struct sample *s = *state;

    for (int k = 0; k < 3; k++) {
        choose(s, k == 0   ? ANGARIUM__COMMAND__KIND_CLAIM
                  : k == 1 ? ANGARIUM__COMMAND__KIND_EXPIRE
                           : ANGARIUM__COMMAND__KIND_OUTCOME);
        for (unsigned i = 0; i < 3; i++) {
            s->ref.index = s->one.index = bad[i].index;
            s->ref.recipient = s->one.recipient = bad[i].recipient;
            expect_refused(s);
        }
        s->ref.index = s->one.index = 5;
        s->ref.recipient = s->one.recipient = 0;
        s->claim.n_recipients = s->expire.n_recipients = s->outcome.n_recipients = 0;
        expect_refused(s);
        s->claim.n_recipients = s->expire.n_recipients = s->outcome.n_recipients =
            PROTO_REFS_MAX + 1;
        expect_refused(s);
        s->claim.n_recipients = s->expire.n_recipients = s->outcome.n_recipients = 2;
        expect_passes(s);
    }
}

static void only_claims_name_hosts(void **state)
{
    struct sample *s = *state;
    ProtobufCBinaryData hosts[PROTO_HOSTS_MAX + 1];

    for (unsigned i = 0; i <= PROTO_HOSTS_MAX; i++)
        hosts[i] = text("mx.example");
    CHOOSE(CLAIM);
    s->claim.hosts = hosts;
    s->claim.n_hosts = 2;
    s->ref.host = 2;
    expect_passes(s);
    s->ref.host = 3;
    expect_refused(s);
    s->ref.host = 0;
    s->claim.n_hosts = PROTO_HOSTS_MAX;
    expect_passes(s);
    s->claim.n_hosts = PROTO_HOSTS_MAX + 1;
    expect_refused(s);
    s->claim.n_hosts = 1;
    hosts[0] = text("");
    expect_refused(s);
    hosts[0] = long_text(301);
    expect_refused(s);
    s->claim.n_hosts = 0;
    CHOOSE(EXPIRE);
    s->ref.host = 1;
    expect_refused(s);
}

static void results_are_of_the_enum(void **state)
{
    static const int bad[] = { 0, 5, 99, -1 };
    struct sample *s = *state;

    CHOOSE(OUTCOME);
    for (unsigned i = 0; i < 4; i++) {
        s->one.result = (Angarium__Result)bad[i];
        expect_refused(s);
    }
}

static void outcome_texts_are_bounded(void **state)
{
    struct sample *s = *state;
    ProtobufCBinaryData *const texts[] = {
        &s->reply.enhanced,     &s->one.remote_host, &s->one.remote_address,
        &s->one.source_address, &s->one.tls,         &s->one.class_
    };

    CHOOSE(OUTCOME);
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i] = long_text(301);
        expect_refused(s);
        *texts[i] = text("");
    }
    s->reply.text = long_text(1025);
    expect_refused(s);
    s->reply.text = long_text(1024);
    expect_passes(s);
    s->reply.code = 1000;
    expect_refused(s);
}

static void orders_name_a_message_and_recipients(void **state)
{
    struct sample *s = *state;

    for (int kind = ANGARIUM__COMMAND__KIND_HOLD; kind <= ANGARIUM__COMMAND__KIND_CANCEL; kind++) {
        choose(s, (Angarium__Command__KindCase)kind);
        s->hold.index = s->release.index = s->cancel.index = 0;
        expect_refused(s);
        s->hold.index = s->release.index = s->cancel.index = PROTO_INDEX_MAX + 1;
        expect_refused(s);
        s->hold.index = s->release.index = s->cancel.index = 5;
        s->numbers[1] = PROTO_RECIPIENTS_MAX;
        expect_refused(s);
        s->numbers[1] = 1;
        s->hold.by = s->release.by = s->cancel.by = long_text(257);
        expect_refused(s);
        s->hold.by = s->release.by = s->cancel.by = text("ops");
        s->hold.n_recipients = s->release.n_recipients = s->cancel.n_recipients =
            PROTO_RECIPIENTS_MAX + 1;
        expect_refused(s);
        s->hold.n_recipients = s->release.n_recipients = s->cancel.n_recipients = 2;
        expect_passes(s);
    }
}

static void purge_names_an_upload_of_bounded_size(void **state)
{
    struct sample *s = *state;

    CHOOSE(PURGE);
    s->purge.upload = long_text(65);
    expect_refused(s);
}

/* ---- the whole */

static void a_command_without_a_kind_is_refused(void **state)
{
    struct sample *s = *state;
    Angarium__Command *out = NULL;

    assert_int_equal(proto_command_check(&s->c), ERR_CORRUPT);
    assert_int_equal(proto_command_unpack(span_of("", 0), &out), ERR_CORRUPT);
    assert_int_equal(proto_command_unpack(SPAN_LIT("\xff\xff\xff"), &out), ERR_CORRUPT);
    assert_int_equal(proto_command_unpack(SPAN_LIT("\x0a\x7f"), &out), ERR_CORRUPT); /* cut */
    assert_null(out);
}

/* Refused before anything is decoded. */
static void size_is_bounded(void **state)
{
    size_t n = PROTO_COMMAND_SIZE_MAX + 1;
    uint8_t *bytes = check_calloc(1, n);
    Angarium__Command *out = NULL;
    struct arena a;

    (void)state;
    arena_init(&a, 1u << 20);
    assert_int_equal(proto_command_unpack(span_of(bytes, n), &out), ERR_TOO_LONG);
    assert_int_equal(proto_command_unpack_in(span_of(bytes, n), &a, &out), ERR_TOO_LONG);
    assert_null(out);
    arena_deinit(&a);
    free(bytes);
}

static void what_does_not_fit_is_full(void **state)
{
    struct sample *s = *state;
    struct buf packed;

    /* 4096 outcomes with long words: well formed, and too large */
    CHOOSE(OUTCOME);
    s->outcome.n_recipients = PROTO_REFS_MAX;
    s->reply.text = long_text(1024);
    buf_init(&packed, 16u << 20);
    assert_int_equal(proto_command_check(&s->c), 0);
    assert_int_equal(proto_command_pack(&s->c, &packed), ERR_FULL);
    assert_int_equal(packed.n, 0);
    buf_deinit(&packed);
    s->outcome.n_recipients = 2;
    buf_init(&packed, 100);
    assert_int_equal(proto_command_pack(&s->c, &packed), ERR_FULL);
    buf_deinit(&packed);
}

static void an_arena_that_is_full_is_an_error(void **state)
{
    struct sample *s = *state;
    Angarium__Command *out = NULL;
    int rv = ERR_CORRUPT;
    struct buf packed;
    struct arena a;

    CHOOSE(ACCEPT);
    buf_init(&packed, 1u << 20);
    assert_int_equal(proto_command_pack(&s->c, &packed), 0);
    for (size_t room = 0; rv != 0; room += 16) {
        arena_init(&a, room);
        rv = proto_command_unpack_in(buf_span(&packed), &a, &out);
        assert_true(rv == 0 || rv == ERR_CORRUPT);
        assert_true(rv != 0 || room > packed.n);
        arena_deinit(&a);
    }
    buf_deinit(&packed);
}

static void ids_are_shard_and_index(void **state)
{
    uint64_t id = proto_id(PROTO_SHARD_MAX, PROTO_INDEX_MAX);

    (void)state;
    assert_int_equal(id, UINT64_MAX);
    assert_int_equal(proto_id_shard(id), PROTO_SHARD_MAX);
    assert_int_equal(proto_id_index(id), PROTO_INDEX_MAX);
    id = proto_id(3, 77);
    assert_int_equal(proto_id_shard(id), 3);
    assert_int_equal(proto_id_index(id), 77);
}

/* ---- names */

static void names_of_events_go_both_ways(void **state)
{
    Angarium__EventType back = ANGARIUM__EVENT_TYPE__EVENT_NONE;

    (void)state;
    for (int t = 1; t <= ANGARIUM__EVENT_TYPE__EVENT_REJECTED; t++) {
        const char *name = proto_event_name((Angarium__EventType)t);

        assert_string_not_equal(name, "?");
        assert_int_equal(proto_event_parse(span_cstr(name), &back), 0);
        assert_int_equal(back, t);
    }
    assert_string_equal(proto_event_name(ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT), "in_doubt");
    assert_string_equal(proto_event_name(ANGARIUM__EVENT_TYPE__EVENT_NONE), "?");
    assert_string_equal(proto_event_name((Angarium__EventType)99), "?");
    assert_string_equal(proto_event_name((Angarium__EventType)-1), "?");
    assert_int_equal(proto_event_parse(SPAN_LIT("?"), &back), ERR_NOT_FOUND);
    assert_int_equal(proto_event_parse(SPAN_LIT("Delivered"), &back), ERR_NOT_FOUND);
    assert_int_equal(proto_event_parse(SPAN_LIT("deliver"), &back), ERR_NOT_FOUND);
    assert_int_equal(proto_event_parse(span_of("", 0), &back), ERR_NOT_FOUND);
}

static void names_of_states_and_results(void **state)
{
    static const char *const states[] = { "waiting", "claimed", "held",      "delivered",
                                          "bounced", "expired", "cancelled", "suppressed" };
    static const char *const results[] = { "?", "delivered", "deferred", "bounced", "in_doubt" };

    (void)state;
    for (int i = 0; i < 8; i++) {
        assert_string_equal(proto_state_name((Angarium__RecipientState)i), states[i]);
        assert_int_equal(proto_state_is_terminal((Angarium__RecipientState)i), i >= 3);
    }
    assert_string_equal(proto_state_name((Angarium__RecipientState)8), "?");
    for (int i = 0; i < 5; i++)
        assert_string_equal(proto_result_name((Angarium__Result)i), results[i]);
    assert_string_equal(proto_result_name((Angarium__Result)5), "?");
}

int main(void)
{
#define SAMPLE_TEST(name) cmocka_unit_test_setup_teardown(name, open_sample, close_sample)
    const struct CMUnitTest tests[] = {
        SAMPLE_TEST(every_kind_comes_back),
        SAMPLE_TEST(the_largest_lists_come_back),
        SAMPLE_TEST(borders_pass),
        SAMPLE_TEST(accept_counts_are_bounded),
        SAMPLE_TEST(accept_needs_its_parts),
        SAMPLE_TEST(addresses_have_no_control_bytes),
        SAMPLE_TEST(domains_are_lower_case_ascii),
        SAMPLE_TEST(body_facts_fit_each_other),
        SAMPLE_TEST(origin_texts_are_bounded),
        SAMPLE_TEST(what_the_client_asks_for_is_in_range),
        SAMPLE_TEST(tags_are_printable_and_few),
        SAMPLE_TEST(a_bounce_has_no_return_path),
        SAMPLE_TEST(chunks_have_a_name_and_a_number),
        SAMPLE_TEST(references_are_in_range),
        SAMPLE_TEST(only_claims_name_hosts),
        SAMPLE_TEST(results_are_of_the_enum),
        SAMPLE_TEST(outcome_texts_are_bounded),
        SAMPLE_TEST(orders_name_a_message_and_recipients),
        SAMPLE_TEST(purge_names_an_upload_of_bounded_size),
        SAMPLE_TEST(a_command_without_a_kind_is_refused),
        cmocka_unit_test(size_is_bounded),
        SAMPLE_TEST(what_does_not_fit_is_full),
        SAMPLE_TEST(an_arena_that_is_full_is_an_error),
        cmocka_unit_test(ids_are_shard_and_index),
        cmocka_unit_test(names_of_events_go_both_ways),
        cmocka_unit_test(names_of_states_and_results),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
