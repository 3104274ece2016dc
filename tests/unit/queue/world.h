/* world - a shard under test: commands in few words, each followed by queue_verify.
 *
 * Use: world_open(&w, NULL); m = accept(&w, "s@a.test", "r@b.test"); assert_true(claim(&w, m, 0));
 * ... `told` holds the effects of the last command.
 */
#ifndef TESTS_UNIT_QUEUE_WORLD_H
#define TESTS_UNIT_QUEUE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/ground/check.h"
#include "queue/keys.h"
#include "queue/store.h"

#define SHARD        3
#define START_MS     1000000
#define LIFE_MS      100000
#define BODY_SIZE    120
#define NAMED_MAX    8
#define OK           0
#define TYPE(name)   ANGARIUM__EVENT_TYPE__EVENT_##name
#define STATE(name)  ANGARIUM__RECIPIENT_STATE__RECIPIENT_##name
#define RESULT(name) ANGARIUM__RESULT__RESULT_##name

struct world {
    struct queue_store *store;
    struct queue *queue;
    uint64_t entry, now_ms;
    struct queue_effects told;
    bool unchecked; /* queue_verify is the test's own affair */
};

static inline void world_open(struct world *w, const char *dir)
{
    struct errmsg why = { "" };

    *w = (struct world){ .now_ms = START_MS };
    if (queue_store_open(&w->store, dir, &why) != 0) fail_msg("store: %s", why.text);
    assert_int_equal(queue_open(&w->queue, w->store, SHARD, &why), OK);
    w->entry = queue_applied(w->queue);
}

static inline void world_close(struct world *w)
{
    queue_close(&w->queue);
    queue_store_close(&w->store);
}

static inline void world_verify(struct world *w)
{
    struct errmsg why = { "" };

    if (queue_verify(w->store, SHARD, &why) != 0)
        fail_msg("entry %llu: %s", (unsigned long long)w->entry, why.text);
}

/* Applies the command as the next entry; returns its index. */
static inline uint64_t apply(struct world *w, Angarium__Command *c, size_t body_size)
{
    struct buf head;

    buf_init(&head, PROTO_COMMAND_SIZE_MAX);
    assert_int_equal(proto_command_pack(c, &head), OK);
    queue_apply(w->queue, ++w->entry, buf_span(&head), body_size, &w->told);
    buf_deinit(&head);
    assert_int_equal(queue_applied(w->queue), w->entry);
    if (!w->unchecked) world_verify(w);
    return w->entry;
}

/* ---- what was told */

static inline unsigned told(const struct world *w, enum queue_effect_kind kind)
{
    unsigned n = 0;

    for (size_t i = 0; i < w->told.count; i++)
        n += w->told.list[i].kind == kind;
    return n;
}

/* The nth effect of a kind. */
static inline const struct queue_effect *effect(const struct world *w, enum queue_effect_kind kind,
                                                unsigned nth)
{
    for (size_t i = 0; i < w->told.count; i++)
        if (w->told.list[i].kind == kind && nth-- == 0) return &w->told.list[i];
    fail_msg("no such effect");
    return NULL;
}

static inline const Angarium__Event *event(const struct world *w, unsigned nth)
{
    return effect(w, QUEUE_EVENT, nth)->event;
}

/* 0, or the error of the first refusal. */
static inline int refusal(const struct world *w)
{
    return told(w, QUEUE_REFUSED) > 0 ? effect(w, QUEUE_REFUSED, 0)->error : 0;
}

static inline bool says(ProtobufCBinaryData d, const char *text)
{
    return span_eq(proto_span(d), span_cstr(text));
}

/* ---- commands */

struct mail {
    const char *from, *to; /* addresses separated by one space */
    const char *upload;
    const uint64_t *chunks;
    size_t chunk_count;
    uint64_t bounce_of, expires_at_ms, body_size;
};

static inline uint64_t accept_mail(struct world *w, struct mail mail)
{
    Angarium__Accept a = ANGARIUM__ACCEPT__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    Angarium__Recipient all[NAMED_MAX], *list[NAMED_MAX];
    struct span rest = span_cstr(mail.to);

    a.time_ms = w->now_ms;
    a.mail_from = proto_bytes(span_cstr(mail.from));
    a.expires_at_ms = mail.expires_at_ms ? mail.expires_at_ms : w->now_ms + LIFE_MS;
    facts.size = mail.body_size;
    facts.header_size = mail.body_size > 20 ? 20 : 0;
    origin.tenant = proto_bytes(SPAN_LIT("tenant"));
    origin.node = 7;
    a.body = &facts;
    a.origin = &origin;
    a.recipients = list;
    while (rest.n > 0) {
        size_t end = span_find(rest, 0, ' ');
        struct span address = span_sub(rest, 0, end);
        Angarium__Recipient *r = &all[a.n_recipients];

        assert_true(a.n_recipients < NAMED_MAX);
        angarium__recipient__init(r);
        r->address = proto_bytes(address);
        r->domain = proto_bytes(span_from(address, span_find(address, 0, '@') + 1));
        list[a.n_recipients++] = r;
        rest = span_from(rest, end < rest.n ? end + 1 : end);
    }
    if (mail.upload) {
        a.upload = proto_bytes(span_cstr(mail.upload));
        a.chunks = (uint64_t *)(uintptr_t)mail.chunks;
        a.n_chunks = mail.chunk_count;
    }
    a.bounce_of = mail.bounce_of;
    c.kind_case = ANGARIUM__COMMAND__KIND_ACCEPT;
    c.accept = &a;
    return apply(w, &c, mail.upload ? 0 : mail.body_size);
}

static inline uint64_t accept(struct world *w, const char *from, const char *to)
{
    return accept_mail(w, (struct mail){ .from = from, .to = to, .body_size = BODY_SIZE });
}

static inline uint64_t chunk(struct world *w, const char *upload, uint32_t number)
{
    Angarium__Chunk k = ANGARIUM__CHUNK__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    k.time_ms = w->now_ms;
    k.upload = proto_bytes(span_cstr(upload));
    k.number = number;
    c.kind_case = ANGARIUM__COMMAND__KIND_CHUNK;
    c.chunk = &k;
    return apply(w, &c, 1000);
}

/* False: refused. */
static inline bool claim(struct world *w, uint64_t index, uint32_t recipient)
{
    Angarium__RecipientRef ref = ANGARIUM__RECIPIENT_REF__INIT, *list[1] = { &ref };
    Angarium__Claim k = ANGARIUM__CLAIM__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    ref.index = index;
    ref.recipient = recipient;
    k.time_ms = w->now_ms;
    k.node = 7;
    k.recipients = list;
    k.n_recipients = 1;
    c.kind_case = ANGARIUM__COMMAND__KIND_CLAIM;
    c.claim = &k;
    apply(w, &c, 0);
    return refusal(w) == 0;
}

static inline bool expire(struct world *w, uint64_t index, uint32_t recipient)
{
    Angarium__RecipientRef ref = ANGARIUM__RECIPIENT_REF__INIT, *list[1] = { &ref };
    Angarium__Expire k = ANGARIUM__EXPIRE__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    ref.index = index;
    ref.recipient = recipient;
    k.time_ms = w->now_ms;
    k.recipients = list;
    k.n_recipients = 1;
    c.kind_case = ANGARIUM__COMMAND__KIND_EXPIRE;
    c.expire = &k;
    apply(w, &c, 0);
    return refusal(w) == 0;
}

struct result {
    Angarium__Result result;
    uint32_t code;
    uint64_t next_ms;
    bool counts;
};

static inline bool outcome_of(struct world *w, uint64_t index, uint32_t recipient, struct result r)
{
    Angarium__RecipientOutcome one = ANGARIUM__RECIPIENT_OUTCOME__INIT, *list[1] = { &one };
    Angarium__Reply reply = ANGARIUM__REPLY__INIT;
    Angarium__Outcome o = ANGARIUM__OUTCOME__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    one.index = index;
    one.recipient = recipient;
    one.result = r.result;
    one.next_attempt_at_ms = r.next_ms;
    one.counts = r.counts;
    one.remote_host = proto_bytes(SPAN_LIT("mx.b.test"));
    one.class_ = proto_bytes(SPAN_LIT("class"));
    reply.code = r.code;
    reply.text = proto_bytes(SPAN_LIT("words"));
    one.reply = &reply;
    o.time_ms = w->now_ms;
    o.node = 7;
    o.recipients = list;
    o.n_recipients = 1;
    c.kind_case = ANGARIUM__COMMAND__KIND_OUTCOME;
    c.outcome = &o;
    apply(w, &c, 0);
    return refusal(w) == 0;
}

static inline bool delivered(struct world *w, uint64_t index, uint32_t recipient)
{
    return outcome_of(w, index, recipient, (struct result){ RESULT(DELIVERED), 250, 0, true });
}

static inline bool bounced(struct world *w, uint64_t index, uint32_t recipient)
{
    return outcome_of(w, index, recipient, (struct result){ RESULT(BOUNCED), 550, 0, true });
}

static inline bool deferred(struct world *w, uint64_t index, uint32_t recipient, uint64_t next_ms)
{
    return outcome_of(w, index, recipient, (struct result){ RESULT(DEFERRED), 450, next_ms, true });
}

static inline bool in_doubt(struct world *w, uint64_t index, uint32_t recipient)
{
    return outcome_of(w, index, recipient,
                      (struct result){ RESULT(IN_DOUBT), 0, w->now_ms, false });
}

enum order { HOLD, RELEASE, CANCEL };

/* An order to one recipient, or to all (recipient < 0). False: something was refused. */
static inline bool order(struct world *w, enum order what, uint64_t index, int recipient)
{
    Angarium__Hold hold = ANGARIUM__HOLD__INIT;
    Angarium__Release release = ANGARIUM__RELEASE__INIT;
    Angarium__Cancel cancel = ANGARIUM__CANCEL__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    uint32_t number = (uint32_t)recipient;
    size_t n = recipient < 0 ? 0 : 1;
    ProtobufCBinaryData by = proto_bytes(SPAN_LIT("admin"));

    hold.time_ms = release.time_ms = cancel.time_ms = w->now_ms;
    hold.index = release.index = cancel.index = index;
    hold.recipients = release.recipients = cancel.recipients = &number;
    hold.n_recipients = release.n_recipients = cancel.n_recipients = n;
    hold.by = release.by = cancel.by = by;
    c.kind_case = what == HOLD      ? ANGARIUM__COMMAND__KIND_HOLD
                  : what == RELEASE ? ANGARIUM__COMMAND__KIND_RELEASE
                                    : ANGARIUM__COMMAND__KIND_CANCEL;
    if (what == HOLD) c.hold = &hold;
    if (what == RELEASE) c.release = &release;
    if (what == CANCEL) c.cancel = &cancel;
    apply(w, &c, 0);
    return refusal(w) == 0;
}

struct purge {
    uint64_t before_ms;
    uint32_t limit;
    const char *upload;
    uint64_t uploads_before_ms;
};

static inline void purge(struct world *w, struct purge what)
{
    Angarium__Purge k = ANGARIUM__PURGE__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    k.time_ms = w->now_ms;
    k.before_ms = what.before_ms;
    k.limit = what.limit;
    k.upload = proto_bytes(span_cstr(what.upload ? what.upload : ""));
    k.uploads_before_ms = what.uploads_before_ms;
    c.kind_case = ANGARIUM__COMMAND__KIND_PURGE;
    c.purge = &k;
    apply(w, &c, 0);
}

/* ---- what is there */

/* The record; the caller frees it. */
static inline Angarium__RecipientRecord *recipient(struct world *w, uint64_t index, uint32_t number)
{
    Angarium__RecipientRecord *r = NULL;

    assert_int_equal(queue_recipient_get(w->store, SHARD, index, number, &r), OK);
    return r;
}

static inline Angarium__RecipientState state_of(struct world *w, uint64_t index, uint32_t number)
{
    Angarium__RecipientRecord *r = recipient(w, index, number);
    Angarium__RecipientState s = r->state;

    queue_recipient_free(&r);
    return s;
}

static inline bool is_live(struct world *w, uint64_t entry)
{
    uint64_t found;

    return queue_live_bodies(w->store, SHARD, entry, entry, &found, 1) == 1 && found == entry;
}

static inline struct queue_counts counts(struct world *w)
{
    struct queue_counts c;

    queue_counts(w->queue, &c);
    return c;
}

#endif
