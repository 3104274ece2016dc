/* verify - every damage that an invariant forbids is found, and called by its number. */
#include "tests/unit/queue/world.h"

/* One of everything; the rest of the file damages it. */
struct scene {
    struct world w;
    uint64_t open, owing, finished, part; /* messages, and a chunk */
};

static void make(struct scene *s)
{
    struct world *w = &s->w;

    world_open(w, NULL);
    w->unchecked = true;
    s->open = accept(w, "s@a.test", "waits@b.test claimed@b.test held@b.test");
    assert_true(claim(w, s->open, 1) && order(w, HOLD, s->open, 2));
    s->owing = accept(w, "s@a.test", "bounced@b.test");
    assert_true(bounced(w, s->owing, 0));
    s->finished = accept(w, "s@a.test", "delivered@b.test");
    assert_true(claim(w, s->finished, 0) && delivered(w, s->finished, 0));
    s->part = chunk(w, "up", 0);
    world_verify(w);
}

static void put(struct scene *s, struct queue_key key, struct span value)
{
    struct queue_change c = { .key = queue_key_span(&key), .value = value };

    s->w.store->calls->write(s->w.store->self, &c, 1);
}

static void drop(struct scene *s, struct queue_key key)
{
    struct queue_change c = { .key = queue_key_span(&key), .is_delete = true };
    struct buf value;

    buf_init(&value, 10000);
    assert_int_equal(s->w.store->calls->get(s->w.store->self, c.key, &value),
                     OK); /* there is something to drop */
    buf_deinit(&value);
    s->w.store->calls->write(s->w.store->self, &c, 1);
}

static void put_record(struct scene *s, struct queue_key key, const ProtobufCMessage *m)
{
    struct buf b;

    buf_init(&b, 10000);
    proto_pack(m, &b);
    put(s, key, buf_span(&b));
    buf_deinit(&b);
}

static struct queue_key ref_key(char kind, uint64_t index, uint32_t n)
{
    return queue_key_ref(SHARD, kind, index, n);
}

static struct queue_key key_1(char kind, uint64_t index)
{
    return queue_key_1(SHARD, kind, index);
}

/* ---- the damages */

static struct span nothing(void)
{
    return span_of("", 0);
}

static void recipient_missing(struct scene *s)
{
    drop(s, ref_key('r', s->open, 2));
}

static void recipient_of_nobody(struct scene *s)
{
    Angarium__RecipientRecord r = ANGARIUM__RECIPIENT_RECORD__INIT;

    put_record(s, ref_key('r', 999, 0), &r.base);
}

static void recipient_garbage(struct scene *s)
{
    put(s, ref_key('r', s->open, 0), SPAN_LIT("\xff\xff\xff"));
}

static void message_garbage(struct scene *s)
{
    put(s, key_1('m', s->open), SPAN_LIT("\xff\xff\xff"));
}

static void with_message(struct scene *s, uint64_t index,
                         void (*change)(Angarium__MessageRecord *m))
{
    Angarium__MessageRecord *m = NULL;

    assert_int_equal(queue_message_get(s->w.store, SHARD, index, &m), OK);
    change(m);
    put_record(s, key_1('m', index), &m->base);
    queue_message_free(&m);
}

static void with_recipient(struct scene *s, uint64_t index, uint32_t n,
                           void (*change)(Angarium__RecipientRecord *r))
{
    Angarium__RecipientRecord *r = recipient(&s->w, index, n);

    change(r);
    put_record(s, ref_key('r', index, n), &r->base);
    queue_recipient_free(&r);
}

static void more_pending(Angarium__MessageRecord *m)
{
    m->pending_count++;
}
static void pending_count_wrong(struct scene *s)
{
    with_message(s, s->open, more_pending);
}
static void no_recipients(Angarium__MessageRecord *m)
{
    m->recipient_count = 0;
}
static void recipient_count_wrong(struct scene *s)
{
    with_message(s, s->open, no_recipients);
}
static void state_12(Angarium__RecipientRecord *r)
{
    r->state = (Angarium__RecipientState)12;
}
static void state_unknown(struct scene *s)
{
    with_recipient(s, s->open, 0, state_12);
}
static void state_delivered(Angarium__RecipientRecord *r)
{
    r->state = STATE(DELIVERED);
    r->attempts = 1;
}
static void ended_without_event(struct scene *s)
{
    with_recipient(s, s->open, 2, state_delivered);
}
static void ended_otherwise(struct scene *s)
{
    with_recipient(s, s->owing, 0, state_delivered);
}
static void ended_twice(struct scene *s)
{
    Angarium__Event e = ANGARIUM__EVENT__INIT;

    e.type = TYPE(DELIVERED);
    put_record(s, ref_key('e', 900, 0), &e.base);
    put(s, queue_key_story(SHARD, s->finished, 900, 0), nothing());
}
static void not_due_by_time(struct scene *s)
{
    drop(s, queue_key_time(SHARD, START_MS, s->open, 0));
}
static void due_elsewhere(struct scene *s)
{
    put(s, queue_key_time(SHARD, START_MS, s->open, 0), SPAN_LIT("other.test"));
}
static void not_due_by_domain(struct scene *s)
{
    drop(s, queue_key_domain(SHARD, SPAN_LIT("b.test"), START_MS, s->open, 0));
}
static void due_by_time_of_nobody(struct scene *s)
{
    put(s, queue_key_time(SHARD, START_MS, s->open, 1), SPAN_LIT("b.test"));
}
static void due_by_domain_of_nobody(struct scene *s)
{
    put(s, queue_key_domain(SHARD, SPAN_LIT("b.test"), START_MS, s->open, 1), nothing());
}
static void claim_missing(struct scene *s)
{
    drop(s, ref_key('c', s->open, 1));
}
static void claim_of_nobody(struct scene *s)
{
    put(s, ref_key('c', s->open, 0), nothing());
}
static void owes_not(Angarium__RecipientRecord *r)
{
    r->bounce_owed = false;
}
static void debt_count_wrong(struct scene *s)
{
    with_recipient(s, s->owing, 0, owes_not);
}
static void owes(Angarium__RecipientRecord *r)
{
    r->bounce_owed = true;
}
static void debt_of_the_waiting(struct scene *s)
{
    with_recipient(s, s->open, 0, owes);
}
static void from_nobody(Angarium__MessageRecord *m)
{
    m->mail_from.len = 0;
}
static void debt_to_nobody(struct scene *s)
{
    with_message(s, s->owing, from_nobody);
}
static void debt_missing(struct scene *s)
{
    drop(s, key_1('b', s->owing));
}
static void debt_of_nobody(struct scene *s)
{
    put(s, key_1('b', s->open), nothing());
}
static void body_dead(struct scene *s)
{
    drop(s, key_1('l', s->open));
}
static void body_of_another(struct scene *s)
{
    put(s, key_1('l', s->open), SPAN_LIT("\0\0\0\0\0\0\0\11"));
}
static void body_of_nobody(struct scene *s)
{
    put(s, key_1('l', s->finished), SPAN_LIT("\0\0\0\0\0\0\0\1"));
}
static void chunk_dead(struct scene *s)
{
    drop(s, key_1('l', s->part));
}
static void upload_garbage(struct scene *s)
{
    struct queue_key k = queue_key(SHARD, 'u');

    queue_key_bytes(&k, SPAN_LIT("up"));
    put(s, k, SPAN_LIT("\xff\xff"));
}
static void gone(Angarium__MessageRecord *m)
{
    m->body_gone = true;
}
static void body_gone_too_soon(struct scene *s)
{
    with_message(s, s->open, gone);
}
static void count_wrong(struct scene *s, unsigned which, uint8_t value)
{
    struct queue_key key = queue_key(SHARD, 'S');
    struct buf b;

    buf_init(&b, 1000);
    assert_int_equal(s->w.store->calls->get(s->w.store->self, queue_key_span(&key), &b), OK);
    b.p[8 * which + 7] = value;
    put(s, key, buf_span(&b));
    buf_deinit(&b);
}
static void count_of_messages(struct scene *s)
{
    count_wrong(s, 2, 77);
}
static void count_of_waiting(struct scene *s)
{
    count_wrong(s, 4, 77);
}
static void count_of_accepted(struct scene *s)
{
    count_wrong(s, 7, 77);
}
static void event_of_nobody(struct scene *s)
{
    Angarium__Event e = ANGARIUM__EVENT__INIT;

    put_record(s, ref_key('e', 901, 0), &e.base);
}
static void story_of_nobody(struct scene *s)
{
    put(s, queue_key_story(SHARD, 999, 1, 0), nothing());
}
static void pending_missing(struct scene *s)
{
    drop(s, key_1('p', s->open));
}
static void pending_of_nobody(struct scene *s)
{
    put(s, key_1('p', s->finished), nothing());
}
static void finished_missing(struct scene *s)
{
    struct queue_key k = key_1('f', START_MS);

    queue_key_u64(&k, s->finished);
    drop(s, k);
}
static void no_attempt(Angarium__RecipientRecord *r)
{
    r->attempts = 0;
}
static void claimed_without_attempt(struct scene *s)
{
    with_recipient(s, s->open, 1, no_attempt);
}

static void every_damage_is_found(void **state)
{
    static const struct {
        const char *rule, *name;
        void (*damage)(struct scene *s);
    } cases[] = {
#define CASE(rule, damage) { rule, #damage, damage }
        CASE("Q1:", recipient_missing),
        CASE("Q1:", recipient_of_nobody),
        CASE("Q1:", recipient_garbage),
        CASE("Q1:", message_garbage),
        CASE("Q1:", pending_count_wrong),
        CASE("Q1:", recipient_count_wrong),
        CASE("Q1:", state_unknown),
        CASE("Q2:", ended_without_event),
        CASE("Q2:", ended_otherwise),
        CASE("Q2:", ended_twice),
        CASE("Q2:", count_of_accepted),
        CASE("Q3:", not_due_by_time),
        CASE("Q3:", due_elsewhere),
        CASE("Q3:", not_due_by_domain),
        CASE("Q3:", due_by_time_of_nobody),
        CASE("Q3:", due_by_domain_of_nobody),
        CASE("Q4:", claim_missing),
        CASE("Q4:", claim_of_nobody),
        CASE("Q5:", debt_count_wrong),
        CASE("Q5:", debt_of_the_waiting),
        CASE("Q5:", debt_to_nobody),
        CASE("Q5:", debt_missing),
        CASE("Q5:", debt_of_nobody),
        CASE("Q6:", body_dead),
        CASE("Q6:", body_of_another),
        CASE("Q6:", body_of_nobody),
        CASE("Q6:", chunk_dead),
        CASE("Q6:", upload_garbage),
        CASE("Q6:", body_gone_too_soon),
        CASE("Q7:", count_of_messages),
        CASE("Q7:", count_of_waiting),
        CASE("Q7:", event_of_nobody),
        CASE("Q7:", story_of_nobody),
        CASE("Q7:", pending_missing),
        CASE("Q7:", pending_of_nobody),
        CASE("Q7:", finished_missing),
        CASE("Q8:", claimed_without_attempt),
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scene s;
        struct errmsg why = { "" };
        int rv;

        make(&s);
        cases[i].damage(&s);
        rv = queue_verify(s.w.store, SHARD, &why);
        if (rv != ERR_CORRUPT || !strstr(why.text, cases[i].rule))
            fail_msg("%s: %s, \"%s\"", cases[i].name, err_name(rv), why.text);
        world_close(&s.w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_damage_is_found) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
