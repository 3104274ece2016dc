/* scene - one shard on a store, and commands for it in few words: what the tests of the queue
 * share.
 *
 * Each scene_*() makes a command, packs it as the log would carry it, and applies it as the next
 * entry, one second after the one before. They return the entry's index; effects stay until the
 * next one.
 */
#ifndef TESTS_QUEUE_SCENE_H
#define TESTS_QUEUE_SCENE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "queue/queue.h"
#include "queue/store.h"

#define SHARD          3u
#define SCENE_START_MS 1000000u
#define SCENE_BODY     100u

struct scene {
    struct queue_store *store;
    struct queue *q;
    uint64_t next, now_ms;
    bool verify_each;
    struct queue_effects effects;
    struct arena arena; /* of the command that is being made */
    struct buf head;
    /* sees every entry before it is applied: tests that keep the log */
    void (*on_entry)(void *arg, uint64_t index, struct span head, size_t body_size);
    void *arg;
};

struct scene_mail {
    const char *from;      /* NULL: the null return path */
    const char *const *to; /* "local@domain" */
    size_t to_count;
    uint64_t size; /* 0: SCENE_BODY */
    uint64_t expires_at_ms, bounce_of;
    const char *upload;
    uint64_t *chunks;
    size_t chunk_count;
    const char *tag;           /* NULL: none */
    const char *envid, *orcpt; /* orcpt and notify: of each recipient; NULL, 0: not said */
    uint32_t ret, body_type, notify;
    const uint32_t *told; /* with bounce_of: pairs of recipient and debts */
    size_t told_count;
    bool smtputf8, hold_in_doubt;
};

static inline void scene_open_on(struct scene *s, struct queue_store *store)
{
    struct errmsg why = { "" };

    *s = (struct scene){ .store = store, .now_ms = SCENE_START_MS };
    assert_int_equal(queue_open(&s->q, store, SHARD, &why), 0);
    s->next = queue_applied(s->q) + 1;
    arena_init(&s->arena, 16u << 20);
    buf_init(&s->head, PROTO_COMMAND_SIZE_MAX);
}

static inline void scene_open(struct scene *s)
{
    struct queue_store *store = NULL;

    assert_int_equal(queue_store_open(&store, NULL, NULL), 0);
    scene_open_on(s, store);
    s->verify_each = true;
}

/* Leaves the store open. */
static inline void scene_leave(struct scene *s)
{
    queue_close(&s->q);
    arena_deinit(&s->arena);
    buf_deinit(&s->head);
}

static inline void scene_close(struct scene *s)
{
    scene_leave(s);
    queue_store_close(&s->store);
}

static inline void scene_verify(struct scene *s)
{
    struct errmsg why = { "" };

    if (queue_verify(s->store, SHARD, &why) != 0) fail_msg("%s", why.text);
}

static inline void *scene_new(struct scene *s, size_t size)
{
    void *p = arena_alloc(&s->arena, size);

    CHECK(p);
    return p;
}

static inline uint64_t scene_apply(struct scene *s, Angarium__Command__KindCase kind, void *body,
                                   size_t body_size)
{
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    uint64_t index = s->next++;

    c.kind_case = kind;
    c.accept = body; /* all kinds share their place */
    buf_reset(&s->head);
    assert_int_equal(proto_command_pack(&c, &s->head), 0);
    if (s->on_entry) s->on_entry(s->arg, index, buf_span(&s->head), body_size);
    queue_apply(s->q, index, buf_span(&s->head), body_size, &s->effects);
    assert_int_equal(queue_applied(s->q), index);
    arena_reset(&s->arena);
    if (s->verify_each) scene_verify(s);
    return index;
}

static inline ProtobufCBinaryData scene_text(const char *text)
{
    return proto_bytes(span_cstr(text ? text : ""));
}

/* ---- commands */

static inline Angarium__Recipient *scene_recipient(struct scene *s, const char *address)
{
    Angarium__Recipient *r = scene_new(s, sizeof *r);
    struct span text = span_cstr(address);

    angarium__recipient__init(r);
    r->address = proto_bytes(text);
    r->domain = proto_bytes(span_from(text, span_find(text, 0, '@') + 1));
    return r;
}

static inline Angarium__Told *scene_told(struct scene *s, const uint32_t *pair)
{
    Angarium__Told *t = scene_new(s, sizeof *t);

    angarium__told__init(t);
    t->recipient = pair[0];
    t->debts = pair[1];
    return t;
}

static inline uint64_t scene_accept_mail(struct scene *s, const struct scene_mail *m)
{
    Angarium__Accept a = ANGARIUM__ACCEPT__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    ProtobufCBinaryData tag;

    facts.size = m->size ? m->size : SCENE_BODY;
    origin.tenant = scene_text("acme");
    origin.node = 1;
    a.time_ms = s->now_ms += 1000;
    a.mail_from = scene_text(m->from);
    a.body = &facts;
    a.origin = &origin;
    a.expires_at_ms = m->expires_at_ms ? m->expires_at_ms : s->now_ms + 86400000;
    a.bounce_of = m->bounce_of;
    a.upload = scene_text(m->upload);
    a.n_chunks = m->chunk_count;
    a.chunks = m->chunks;
    a.n_recipients = m->to_count;
    a.recipients = scene_new(s, m->to_count * sizeof(void *));
    a.envid = scene_text(m->envid);
    tag = scene_text(m->tag);
    a.tags = &tag;
    a.n_tags = tag.len > 0;
    a.ret = m->ret;
    a.smtputf8 = m->smtputf8;
    a.hold_in_doubt = m->hold_in_doubt;
    a.body_type = m->body_type;
    a.n_told = m->told_count;
    a.told = scene_new(s, m->told_count * sizeof(void *) + 1);
    for (size_t i = 0; i < m->told_count; i++)
        a.told[i] = scene_told(s, m->told + 2 * i);
    for (size_t i = 0; i < m->to_count; i++) {
        a.recipients[i] = scene_recipient(s, m->to[i]);
        a.recipients[i]->notify = m->notify;
        a.recipients[i]->orcpt = scene_text(m->orcpt);
    }
    return scene_apply(s, ANGARIUM__COMMAND__KIND_ACCEPT, &a,
                       m->chunk_count ? 0 : (size_t)facts.size);
}

/* One or two recipients (two NULL: one). */
static inline uint64_t scene_accept(struct scene *s, const char *from, const char *one,
                                    const char *two)
{
    const char *const to[] = { one, two };

    return scene_accept_mail(
        s, &(struct scene_mail){ .from = from, .to = to, .to_count = two ? 2 : 1 });
}

static inline uint64_t scene_chunk(struct scene *s, const char *upload, uint32_t number,
                                   size_t size)
{
    Angarium__Chunk c = ANGARIUM__CHUNK__INIT;

    c.time_ms = s->now_ms += 1000;
    c.upload = scene_text(upload);
    c.number = number;
    return scene_apply(s, ANGARIUM__COMMAND__KIND_CHUNK, &c, size);
}

static inline Angarium__RecipientRef **scene_refs(struct scene *s, const struct queue_ref *refs,
                                                  size_t n)
{
    Angarium__RecipientRef **list = scene_new(s, n * sizeof *list);

    for (size_t i = 0; i < n; i++) {
        list[i] = scene_new(s, sizeof *list[i]);
        angarium__recipient_ref__init(list[i]);
        list[i]->index = refs[i].index;
        list[i]->recipient = refs[i].recipient;
    }
    return list;
}

static inline uint64_t scene_claim_all(struct scene *s, const struct queue_ref *refs, size_t n)
{
    Angarium__Claim c = ANGARIUM__CLAIM__INIT;

    c.time_ms = s->now_ms += 1000;
    c.node = 1;
    c.n_recipients = n;
    c.recipients = scene_refs(s, refs, n);
    return scene_apply(s, ANGARIUM__COMMAND__KIND_CLAIM, &c, 0);
}

static inline uint64_t scene_claim(struct scene *s, uint64_t index, uint32_t recipient)
{
    return scene_claim_all(s, &(struct queue_ref){ index, recipient }, 1);
}

static inline uint64_t scene_expire_all(struct scene *s, const struct queue_ref *refs, size_t n)
{
    Angarium__Expire c = ANGARIUM__EXPIRE__INIT;

    c.time_ms = s->now_ms += 1000;
    c.n_recipients = n;
    c.recipients = scene_refs(s, refs, n);
    return scene_apply(s, ANGARIUM__COMMAND__KIND_EXPIRE, &c, 0);
}

static inline uint64_t scene_expire(struct scene *s, uint64_t index, uint32_t recipient)
{
    return scene_expire_all(s, &(struct queue_ref){ index, recipient }, 1);
}

static inline uint64_t scene_outcomes(struct scene *s, Angarium__RecipientOutcome **list, size_t n)
{
    Angarium__Outcome c = ANGARIUM__OUTCOME__INIT;

    c.time_ms = s->now_ms += 1000;
    c.node = 1;
    c.n_recipients = n;
    c.recipients = list;
    return scene_apply(s, ANGARIUM__COMMAND__KIND_OUTCOME, &c, 0);
}

/* A reply of 250 or 550 or 451, as it fits; next_at_ms for DEFERRED and IN_DOUBT. */
static inline uint64_t scene_outcome(struct scene *s, uint64_t index, uint32_t recipient,
                                     Angarium__Result result, uint64_t next_at_ms)
{
    static const uint32_t codes[] = { 0, 250, 451, 550, 0 };
    Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT, *list = &o;
    Angarium__Reply reply = ANGARIUM__REPLY__INIT;

    reply.code = codes[result];
    reply.enhanced = scene_text("4.0.0");
    reply.text = scene_text("so it is");
    o.index = index;
    o.recipient = recipient;
    o.result = result;
    o.reply = &reply;
    o.remote_host = scene_text("mx.example");
    o.remote_address = scene_text("192.0.2.1");
    o.class_ = scene_text("greylist");
    o.next_attempt_at_ms = next_at_ms;
    o.counts = true;
    return scene_outcomes(s, &list, 1);
}

/* Orders for some recipients (n 0: all) of one message. */
static inline uint64_t scene_hold(struct scene *s, uint64_t index, uint32_t *list, size_t n)
{
    Angarium__Hold c = ANGARIUM__HOLD__INIT;

    c.time_ms = s->now_ms += 1000;
    c.index = index;
    c.recipients = list;
    c.n_recipients = n;
    c.by = scene_text("ops@acme");
    return scene_apply(s, ANGARIUM__COMMAND__KIND_HOLD, &c, 0);
}

static inline uint64_t scene_release(struct scene *s, uint64_t index, uint32_t *list, size_t n)
{
    Angarium__Release c = ANGARIUM__RELEASE__INIT;

    c.time_ms = s->now_ms += 1000;
    c.index = index;
    c.recipients = list;
    c.n_recipients = n;
    c.by = scene_text("ops@acme");
    return scene_apply(s, ANGARIUM__COMMAND__KIND_RELEASE, &c, 0);
}

static inline uint64_t scene_cancel(struct scene *s, uint64_t index, uint32_t *list, size_t n)
{
    Angarium__Cancel c = ANGARIUM__CANCEL__INIT;

    c.time_ms = s->now_ms += 1000;
    c.index = index;
    c.recipients = list;
    c.n_recipients = n;
    c.by = scene_text("ops@acme");
    return scene_apply(s, ANGARIUM__COMMAND__KIND_CANCEL, &c, 0);
}

static inline uint64_t scene_purge(struct scene *s, uint64_t before_ms, uint32_t limit)
{
    Angarium__Purge c = ANGARIUM__PURGE__INIT;

    c.time_ms = s->now_ms += 1000;
    c.before_ms = before_ms;
    c.limit = limit;
    return scene_apply(s, ANGARIUM__COMMAND__KIND_PURGE, &c, 0);
}

static inline uint64_t scene_seal(struct scene *s)
{
    Angarium__Close c = ANGARIUM__CLOSE__INIT;

    c.time_ms = s->now_ms += 1000;
    return scene_apply(s, ANGARIUM__COMMAND__KIND_CLOSE, &c, 0);
}

static inline uint64_t scene_purge_uploads(struct scene *s, const char *name, uint64_t before_ms)
{
    Angarium__Purge c = ANGARIUM__PURGE__INIT;

    c.time_ms = s->now_ms += 1000;
    c.upload = scene_text(name);
    c.uploads_before_ms = before_ms;
    return scene_apply(s, ANGARIUM__COMMAND__KIND_PURGE, &c, 0);
}

/* ---- what the last command did */

static inline size_t scene_count(const struct scene *s, enum queue_effect_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < s->effects.count; i++)
        n += s->effects.list[i].kind == kind;
    return n;
}

/* The nth effect of the kind; NULL: there are fewer. */
static inline const struct queue_effect *scene_effect(const struct scene *s,
                                                      enum queue_effect_kind kind, size_t nth)
{
    for (size_t i = 0; i < s->effects.count; i++)
        if (s->effects.list[i].kind == kind && nth-- == 0) return &s->effects.list[i];
    return NULL;
}

/* Nothing happened but one refusal, with that error. */
static inline void scene_expect_refused(const struct scene *s, uint64_t index, uint32_t recipient,
                                        int error)
{
    assert_int_equal(s->effects.count, 1);
    assert_int_equal(s->effects.list[0].kind, QUEUE_REFUSED);
    assert_int_equal(s->effects.list[0].index, index);
    assert_int_equal(s->effects.list[0].recipient, recipient);
    assert_int_equal(s->effects.list[0].error, error);
}

static inline void scene_expect_event(const struct scene *s, size_t nth, Angarium__EventType type,
                                      uint64_t index, uint32_t recipient)
{
    const struct queue_effect *e = scene_effect(s, QUEUE_EVENT, nth);

    assert_non_null(e);
    assert_string_equal(proto_event_name(e->event->type), proto_event_name(type));
    assert_int_equal(e->index, index);
    assert_int_equal(e->recipient, recipient);
    assert_int_equal(e->event->index, index);
    assert_int_equal(e->event->recipient_number, recipient);
    assert_int_equal(e->event->time_ms, s->now_ms);
    assert_int_equal(e->number, nth);
}

static inline Angarium__RecipientState scene_state(struct scene *s, uint64_t index,
                                                   uint32_t recipient)
{
    Angarium__RecipientRecord *r = NULL;
    Angarium__RecipientState state;

    assert_int_equal(queue_recipient_get(s->store, SHARD, index, recipient, &r), 0);
    state = r->state;
    queue_recipient_free(&r);
    return state;
}

static inline void scene_expect_state(struct scene *s, uint64_t index, uint32_t recipient,
                                      const char *name)
{
    assert_string_equal(proto_state_name(scene_state(s, index, recipient)), name);
}

static inline bool scene_body_is_live(struct scene *s, uint64_t entry)
{
    uint64_t found;

    return queue_live_bodies(s->store, SHARD, entry, entry, &found, 1) == 1;
}

/* ---- a directory of its own */

static inline int scene_remove_one(const char *path, const struct stat *st, int type,
                                   struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void scene_remove(const char *dir)
{
    nftw(dir, scene_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
