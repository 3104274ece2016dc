/* fake - a deliver with its lists, a loop and a real queue in memory, but without commit, hook,
 * sockets: enough for the parts that only read the queue and keep books. Included once by each
 * test; its functions of commit.h only take notes. */
#ifndef UNIT_DELIVER_FAKE_H
#define UNIT_DELIVER_FAKE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/deliver/inside.h"

#define SHARD 1u

struct commit {
    struct loop *loop;
    struct queue_ref expired[4096];
    unsigned expired_count;
};
struct fake {
    struct deliver d;
    struct commit commit;
    struct loop *loop;
    struct queue_store *store;
    struct queue *queue;
    uint64_t entry;
};
static struct fake fake;

/* ---- commit.h */

void commit_watch(struct commit *c, struct commit_watcher *w)
{
    (void)c;
    list_init(&w->link);
}
int commit_claim(struct commit *c, uint32_t shard, struct commit_claim *claim)
{
    (void)c;
    (void)shard;
    (void)claim;
    return ERR_NOT_LEADER;
}
void commit_outcome(struct commit *c, uint32_t shard, const Angarium__RecipientOutcome *list,
                    unsigned count)
{
    (void)c;
    (void)shard;
    (void)list;
    (void)count;
}
void commit_expire(struct commit *c, uint32_t shard, const struct queue_ref *refs, unsigned count)
{
    (void)shard;
    assert_true(c->expired_count + count <= 4096);
    memcpy(c->expired + c->expired_count, refs, count * sizeof *refs);
    c->expired_count += count;
}
struct blob *commit_body_cached(struct commit *c, uint32_t shard, uint64_t entry)
{
    (void)c;
    (void)shard;
    (void)entry;
    return NULL;
}
int commit_body_read(struct commit *c, struct loop *l, struct commit_read *r)
{
    (void)c;
    (void)l;
    (void)r;
    return ERR_FULL;
}
struct queue_store *commit_store(struct commit *c)
{
    (void)c;
    return fake.store;
}
unsigned commit_shard_count(const struct commit *c)
{
    (void)c;
    return SHARD;
}

unsigned commit_shard_max(const struct commit *c)
{
    (void)c;
    return SHARD;
}
struct loop *commit_shard_loop(const struct commit *c, uint32_t shard)
{
    return shard == SHARD ? c->loop : NULL;
}

/* ---- the queue */

static void fake_apply(const Angarium__Command *command)
{
    struct buf head;

    buf_init(&head, PROTO_COMMAND_SIZE_MAX);
    assert_int_equal(proto_command_pack(command, &head), 0);
    queue_apply(fake.queue, ++fake.entry, buf_span(&head), 0, NULL);
    buf_deinit(&head);
}

/* A message with `count` recipients at that domain, due since `time_ms`. Its index. */
static inline uint64_t fake_mail(const char *domain, unsigned count, uint64_t time_ms,
                                 uint64_t expires_at_ms)
{
    static Angarium__Recipient list[1000], *pointers[1000];
    static uint8_t hash[32];
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;

    for (unsigned i = 0; i < count; i++) {
        angarium__recipient__init(&list[i]);
        list[i].address = proto_bytes(SPAN_LIT("someone@somewhere.test"));
        list[i].domain = proto_bytes(span_cstr(domain));
        pointers[i] = &list[i];
    }
    facts.hash_simple = facts.hash_relaxed = proto_bytes(span_of(hash, sizeof hash));
    accept.time_ms = time_ms;
    accept.n_recipients = count;
    accept.recipients = pointers;
    accept.body = &facts;
    accept.origin = &origin;
    accept.expires_at_ms = expires_at_ms;
    command.kind_case = ANGARIUM__COMMAND__KIND_ACCEPT;
    command.accept = &accept;
    fake_apply(&command);
    return fake.entry;
}

/* The attempt of one recipient is put off until then. */
static inline void fake_defer(uint64_t index, uint32_t recipient, uint64_t until_ms)
{
    Angarium__RecipientOutcome one = ANGARIUM__RECIPIENT_OUTCOME__INIT, *list = &one;
    Angarium__Outcome outcome = ANGARIUM__OUTCOME__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;

    one.index = index;
    one.recipient = recipient;
    one.result = ANGARIUM__RESULT__RESULT_DEFERRED;
    one.next_attempt_at_ms = until_ms;
    outcome.time_ms = 1;
    outcome.n_recipients = 1;
    outcome.recipients = &list;
    command.kind_case = ANGARIUM__COMMAND__KIND_OUTCOME;
    command.outcome = &outcome;
    fake_apply(&command);
}

/* ---- life */

static inline int fake_open(void **state)
{
    struct deliver *d = &fake.d;
    struct errmsg why;

    (void)state;
    memset(&fake, 0, sizeof fake);
    assert_int_equal(loop_new(&fake.loop, 0, &why), 0);
    assert_int_equal(queue_store_open(&fake.store, NULL, &why), 0);
    assert_int_equal(queue_open(&fake.queue, fake.store, SHARD, &why), 0);
    fake.commit.loop = fake.loop;
    deliver_options_default(&d->o);
    d->loop = fake.loop;
    d->commit = &fake.commit;
    d->store = fake.store;
    d->transaction_max = 100;
    d->pump_count = SHARD;
    d->pumps = check_calloc(1, sizeof *d->pumps);
    list_init(&d->pumps_ready);
    list_init(&d->lanes_ready);
    list_init(&d->lanes_waiting);
    list_init(&d->lanes_dead);
    list_init(&d->conns);
    list_init(&d->conns_idle);
    list_init(&d->conns_gone);
    list_init(&d->awaited);
    list_init(&d->deliveries);
    list_init(&d->spare);
    pump_init(&d->pumps[0], d, SHARD);
    return 0;
}

static inline int fake_close(void **state)
{
    struct deliver *d = &fake.d;

    (void)state;
    pump_stop(&d->pumps[0]);
    lane_drop_shard(d, 0);
    air_drop_shard(d, 0);
    delivery_detach_all(d);
    assert_null(d->air);
    assert_null(d->lanes);
    assert_int_equal(d->air_count, 0);
    assert_int_equal(d->lane_count, 0);
    free(d->pumps);
    queue_close(&fake.queue);
    queue_store_close(&fake.store);
    loop_free(&fake.loop);
    return 0;
}

static inline uint64_t fake_now_ms(void)
{
    return loop_wall_ms(fake.loop);
}

static inline struct lane *fake_lane(const char *domain)
{
    struct lane *l = lane_want(&fake.d, SHARD, span_cstr(domain));

    assert_non_null(l);
    return l;
}

#define FAKE_TEST(f) cmocka_unit_test_setup_teardown(f, fake_open, fake_close)

#endif
