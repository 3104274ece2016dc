/* verify - each way in which a state can be wrong is found, and told under the rule that it breaks;
 * and when the damage is taken back, all is well again: so it was that damage that was found. */
#include "tests/unit/queue/scene.h"
#include "queue/keys.h"

/* Entries of the scene that all tests damage. */
struct stage {
    struct scene s;
    uint64_t waiting;   /* b@y.example waiting, c@z.example held */
    uint64_t claimed;   /* b@y.example */
    uint64_t delivered; /* b@y.example, at delivered_entry */
    uint64_t delivered_entry;
    uint64_t owing; /* b@y.example bounced, c@z.example waiting */
    uint64_t owing_entry;
    uint64_t chunk; /* of an open upload */
    uint64_t doubtful;
};

static int open_stage(void **state)
{
    struct stage *t = check_calloc(1, sizeof *t);
    struct scene *s = &t->s;

    scene_open(s);
    t->waiting = scene_accept(s, "a@x.example", "b@y.example", "c@z.example");
    scene_hold(s, t->waiting, (uint32_t[]){ 1 }, 1);
    t->claimed = scene_accept(s, "a@x.example", "b@y.example", NULL);
    scene_claim(s, t->claimed, 0);
    t->delivered = scene_accept(s, "a@x.example", "b@y.example", NULL);
    scene_claim(s, t->delivered, 0);
    t->delivered_entry = scene_outcome(s, t->delivered, 0, ANGARIUM__RESULT__RESULT_DELIVERED, 0);
    t->owing = scene_accept(s, "a@x.example", "b@y.example", "c@z.example");
    t->owing_entry = scene_outcome(s, t->owing, 0, ANGARIUM__RESULT__RESULT_BOUNCED, 0);
    t->chunk = scene_chunk(s, "up-1", 0, 10);
    t->doubtful = scene_accept(s, "a@x.example", "b@y.example", "c@z.example");
    scene_claim(s, t->doubtful, 0);
    scene_outcome(s, t->doubtful, 0, ANGARIUM__RESULT__RESULT_IN_DOUBT, s->now_ms);
    *state = t;
    return 0;
}

static int close_stage(void **state)
{
    struct stage *t = *state;

    scene_close(&t->s);
    free(t);
    return 0;
}

/* ---- doing damage and taking it back */

#define DAMAGE_MAX 2

struct damage {
    struct queue_key keys[DAMAGE_MAX];
    struct buf values[DAMAGE_MAX], before[DAMAGE_MAX];
    bool is_delete[DAMAGE_MAX], was_there[DAMAGE_MAX];
    size_t count;
};

static struct buf *damage_put(struct damage *d, struct queue_key key)
{
    d->keys[d->count] = key;
    d->is_delete[d->count] = false;
    buf_init(&d->values[d->count], 1u << 20);
    buf_init(&d->before[d->count], 1u << 20);
    return &d->values[d->count++];
}

static void damage_delete(struct damage *d, struct queue_key key)
{
    damage_put(d, key);
    d->is_delete[d->count - 1] = true;
}

static void write_all(struct stage *t, struct damage *d, bool take_back)
{
    const struct queue_store *store = t->s.store;
    struct queue_change changes[DAMAGE_MAX];

    memset(changes, 0, sizeof changes);
    for (size_t i = 0; i < d->count; i++) {
        changes[i].key = queue_key_span(&d->keys[i]);
        changes[i].value = buf_span(take_back ? &d->before[i] : &d->values[i]);
        changes[i].is_delete = take_back ? !d->was_there[i] : d->is_delete[i];
    }
    store->calls->write(store->self, changes, d->count);
}

static void expect_broken(struct stage *t, struct damage *d, const char *rule, const char *words)
{
    const struct queue_store *store = t->s.store;
    struct errmsg why = { "" };

    for (size_t i = 0; i < d->count; i++)
        d->was_there[i] =
            store->calls->get(store->self, queue_key_span(&d->keys[i]), &d->before[i]) == 0;
    write_all(t, d, false);
    assert_int_equal(queue_verify(t->s.store, SHARD, &why), ERR_CORRUPT);
    if (!strstr(why.text, rule) || !strstr(why.text, words))
        fail_msg("not \"%s ... %s\": %s", rule, words, why.text);
    write_all(t, d, true);
    scene_verify(&t->s);
    for (size_t i = 0; i < d->count; i++) {
        buf_deinit(&d->values[i]);
        buf_deinit(&d->before[i]);
    }
    *d = (struct damage){ .count = 0 };
}

/* Record keys and changed records. */

static struct queue_key message_key(uint64_t index)
{
    return queue_key_1(SHARD, 'm', index);
}

static struct queue_key recipient_key(uint64_t index, uint32_t n)
{
    return queue_key_ref(SHARD, 'r', index, n);
}

static Angarium__MessageRecord *message_of_stage(struct stage *t, uint64_t index)
{
    Angarium__MessageRecord *m = NULL;

    assert_int_equal(queue_message_get(t->s.store, SHARD, index, &m), 0);
    return m;
}

static void put_message(struct damage *d, uint64_t index, Angarium__MessageRecord *m)
{
    proto_pack(&m->base, damage_put(d, message_key(index)));
    queue_message_free(&m);
}

static Angarium__RecipientRecord *recipient_of_stage(struct stage *t, uint64_t index, uint32_t n)
{
    Angarium__RecipientRecord *r = NULL;

    assert_int_equal(queue_recipient_get(t->s.store, SHARD, index, n, &r), 0);
    return r;
}

static void put_recipient(struct damage *d, uint64_t index, uint32_t n,
                          Angarium__RecipientRecord *r)
{
    proto_pack(&r->base, damage_put(d, recipient_key(index, n)));
    queue_recipient_free(&r);
}

static void put_event(struct damage *d, uint64_t entry, uint32_t number, uint64_t index,
                      uint32_t recipient, Angarium__EventType type)
{
    Angarium__Event e = ANGARIUM__EVENT__INIT;

    e.type = type;
    e.index = index;
    e.recipient_number = recipient;
    proto_pack(&e.base, damage_put(d, queue_key_ref(SHARD, 'e', entry, number)));
}

/* ---- Q1 */

static void q1_a_recipient_is_missing(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    damage_delete(&d, recipient_key(t->waiting, 1));
    expect_broken(t, &d, "Q1", "record is missing");
}

static void q1_pending_is_counted_wrong(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__MessageRecord *m = message_of_stage(t, t->waiting);

    m->pending_count--;
    put_message(&d, t->waiting, m);
    expect_broken(t, &d, "Q1", "pending_count");
}

static void q1_a_state_does_not_exist(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__RecipientRecord *r = recipient_of_stage(t, t->waiting, 0);

    r->state = (Angarium__RecipientState)99;
    put_recipient(&d, t->waiting, 0, r);
    expect_broken(t, &d, "Q1", "does not exist");
}

static void q1_a_message_does_not_decode(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    buf_add(damage_put(&d, message_key(t->waiting)), "\xff\xff\xff", 3);
    expect_broken(t, &d, "Q1", "does not decode");
    damage_put(&d, message_key(t->waiting)); /* empty: without its facts */
    expect_broken(t, &d, "Q1", "does not decode");
}

static void q1_recipients_of_no_message(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    damage_delete(&d, message_key(t->claimed));
    expect_broken(t, &d, "Q1", "without a message");
    put_recipient(&d, 900, 0, recipient_of_stage(t, t->delivered, 0));
    expect_broken(t, &d, "Q1", "without a message");
}

/* ---- Q2 */

static void q2_an_end_without_its_event(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    damage_delete(&d, queue_key_ref(SHARD, 'e', t->delivered_entry, 0));
    expect_broken(t, &d, "Q2", "do not agree");
    damage_delete(&d, queue_key_story(SHARD, t->delivered, t->delivered_entry, 0));
    expect_broken(t, &d, "Q2", "do not agree");
}

static void q2_an_event_without_its_end(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    put_event(&d, 900, 0, t->waiting, 0, ANGARIUM__EVENT_TYPE__EVENT_EXPIRED);
    damage_put(&d, queue_key_story(SHARD, t->waiting, 900, 0));
    expect_broken(t, &d, "Q2", "do not agree");
}

static void q2_two_ends(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    put_event(&d, 900, 0, t->delivered, 0, ANGARIUM__EVENT_TYPE__EVENT_DELIVERED);
    damage_put(&d, queue_key_story(SHARD, t->delivered, 900, 0));
    expect_broken(t, &d, "Q2", "more than one");
}

static void q2_another_end(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    put_event(&d, t->delivered_entry, 0, t->delivered, 0, ANGARIUM__EVENT_TYPE__EVENT_BOUNCED);
    expect_broken(t, &d, "Q2", "another kind");
}

/* ---- Q3, Q4 */

static void q3_waiting_but_not_due(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__RecipientRecord *r = recipient_of_stage(t, t->waiting, 0);
    uint64_t due = r->due_at_ms;

    damage_delete(&d, queue_key_time(SHARD, due, t->waiting, 0));
    expect_broken(t, &d, "Q3", "due index by time");
    damage_delete(&d, queue_key_domain(SHARD, SPAN_LIT("y.example"), due, t->waiting, 0));
    expect_broken(t, &d, "Q3", "due index by destination");
    r->due_at_ms++; /* it stands there, at another time */
    put_recipient(&d, t->waiting, 0, r);
    expect_broken(t, &d, "Q3", "due index");
}

static void q3_due_but_not_waiting(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    buf_add_cstr(damage_put(&d, queue_key_time(SHARD, 5, t->claimed, 0)), "y.example");
    expect_broken(t, &d, "Q3", "entries of nobody");
    damage_put(&d, queue_key_domain(SHARD, SPAN_LIT("y.example"), 5, t->claimed, 0));
    expect_broken(t, &d, "Q3", "entries of nobody");
}

static void q4_claims_and_the_claim_index(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    damage_delete(&d, queue_key_ref(SHARD, 'c', t->claimed, 0));
    expect_broken(t, &d, "Q4", "missing in the claim index");
    damage_put(&d, queue_key_ref(SHARD, 'c', t->waiting, 0));
    expect_broken(t, &d, "Q4", "entries of nobody");
}

/* ---- Q5 */

static void q5_debts_and_the_bounce_index(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    damage_delete(&d, queue_key_1(SHARD, 'b', t->owing));
    expect_broken(t, &d, "Q5", "missing in the bounce index");
    damage_put(&d, queue_key_1(SHARD, 'b', t->waiting));
    expect_broken(t, &d, "Q5", "entries of nobody");
}

static void q5_debts_are_counted_wrong(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__MessageRecord *m = message_of_stage(t, t->owing);
    Angarium__RecipientRecord *r = recipient_of_stage(t, t->owing, 0);

    m->bounce_owed++;
    put_message(&d, t->owing, m);
    expect_broken(t, &d, "Q5", "number of debts");
    r->bounce_owed = false;
    put_recipient(&d, t->owing, 0, r);
    expect_broken(t, &d, "Q5", "number of debts");
}

static void q5_what_nobody_asked_for(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__RecipientRecord *r = recipient_of_stage(t, t->owing, 0);

    r->bounce_owed = PROTO_OWED_FAILED | PROTO_OWED_RELAYED;
    put_recipient(&d, t->owing, 0, r);
    expect_broken(t, &d, "Q5", "nobody asked for");
    r = recipient_of_stage(t, t->owing, 0);
    r->notify = PROTO_NOTIFY_NEVER;
    put_recipient(&d, t->owing, 0, r);
    expect_broken(t, &d, "Q5", "nobody asked for");
}

static void q5_nobody_is_owed(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__MessageRecord *m = message_of_stage(t, t->owing);

    m->mail_from.len = 0;
    put_message(&d, t->owing, m);
    expect_broken(t, &d, "Q5", "owed to nobody");
}

/* ---- Q6 */

static void q6_bodies_that_are_needed(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    damage_delete(&d, queue_key_1(SHARD, 'l', t->waiting));
    expect_broken(t, &d, "Q6", "not in the live index");
    damage_delete(&d, queue_key_1(SHARD, 'l', t->owing)); /* for the bounce */
    expect_broken(t, &d, "Q6", "not in the live index");
    damage_delete(&d, queue_key_1(SHARD, 'l', t->chunk));
    expect_broken(t, &d, "Q6", "chunk of an open upload");
}

static void q6_bodies_that_nobody_needs(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    buf_add_u64be(damage_put(&d, queue_key_1(SHARD, 'l', t->delivered)), t->delivered);
    expect_broken(t, &d, "Q6", "nobody needs");
}

static void q6_gone_or_not(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__MessageRecord *m = message_of_stage(t, t->waiting);

    m->body_gone = true;
    put_message(&d, t->waiting, m);
    expect_broken(t, &d, "Q6", "body_gone");
    m = message_of_stage(t, t->delivered);
    m->body_gone = false;
    put_message(&d, t->delivered, m);
    expect_broken(t, &d, "Q6", "body_gone");
}

static void q6_an_upload_does_not_decode(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    struct queue_key key = queue_key(SHARD, 'u');

    queue_key_bytes(&key, SPAN_LIT("up-1"));
    buf_add(damage_put(&d, key), "\xff\xff\xff", 3);
    expect_broken(t, &d, "Q6", "does not decode");
}

/* ---- Q7 */

/* The state record with one number changed. */
static void put_count(struct stage *t, struct damage *d, unsigned which)
{
    const struct queue_store *store = t->s.store;
    struct queue_key key = queue_key(SHARD, 'S');
    struct buf *value = damage_put(d, key);

    assert_int_equal(store->calls->get(store->self, queue_key_span(&key), value), 0);
    assert_true(8u * which + 7 < value->n);
    value->p[8u * which + 7] ^= 1;
}

static void q7_counts(void **state)
{
    /* by their place in the record, see work.c */
    static const struct {
        unsigned which;
        const char *rule;
    } counts[] = { { 2, "Q7" },  { 3, "Q7" },  { 4, "Q7" },  { 5, "Q7" },  { 6, "Q7" },
                   { 7, "Q2" },  { 8, "Q2" },  { 9, "Q2" },  { 10, "Q2" }, { 11, "Q2" },
                   { 12, "Q2" }, { 14, "Q7" }, { 15, "Q7" }, { 16, "Q7" } };
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        put_count(t, &d, counts[i].which);
        expect_broken(t, &d, counts[i].rule, "");
    }
}

static void q7_the_index_of_finished_messages(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__MessageRecord *m = message_of_stage(t, t->delivered);
    struct queue_key key = queue_key_1(SHARD, 'f', m->finished_at_ms);

    queue_message_free(&m);
    queue_key_u64(&key, t->delivered);
    damage_delete(&d, key);
    expect_broken(t, &d, "Q7", "index by time");
    key = queue_key_1(SHARD, 'f', 5);
    queue_key_u64(&key, t->waiting);
    damage_put(&d, key);
    expect_broken(t, &d, "Q7", "entries of nobody");
}

static void q7_events_and_stories_of_nobody(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };

    put_event(&d, 900, 0, t->waiting, 0, ANGARIUM__EVENT_TYPE__EVENT_DEFERRED);
    expect_broken(t, &d, "Q7", "no story");
    damage_put(&d, queue_key_story(SHARD, 901, 900, 0));
    expect_broken(t, &d, "Q7", "without a message");
}

/* ---- the whole */

static void a_cut_state_record_is_refused_at_open(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    struct errmsg why = { "" };
    struct queue *q = NULL;

    buf_add(damage_put(&d, queue_key(SHARD, 'S')), "short", 5);
    write_all(t, &d, false);
    assert_int_equal(queue_open(&q, t->s.store, SHARD, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "state record"));
    assert_null(q);
    assert_int_equal(queue_verify(t->s.store, SHARD, &why), ERR_CORRUPT);
    buf_deinit(&d.values[0]);
}

static void an_empty_shard_and_its_neighbours_are_well(void **state)
{
    struct stage *t = *state;
    struct errmsg why = { "" };

    assert_int_equal(queue_verify(t->s.store, SHARD - 1, &why), 0);
    assert_int_equal(queue_verify(t->s.store, SHARD + 1, &why), 0);
    assert_int_equal(queue_verify(t->s.store, PROTO_SHARD_MAX, &why), 0);
}

/* ---- Q9 */

static void q11_doubts_and_the_doubt_index(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__RecipientRecord *r = recipient_of_stage(t, t->doubtful, 0);

    damage_delete(&d, queue_key_ref(SHARD, 'i', t->doubtful, 0));
    expect_broken(t, &d, "Q11", "missing in their index");
    damage_put(&d, queue_key_ref(SHARD, 'i', t->doubtful, 1));
    expect_broken(t, &d, "Q11", "entries of nobody");
    r->in_doubt_since_ms = 0;
    put_recipient(&d, t->doubtful, 0, r);
    expect_broken(t, &d, "Q11", "entries of nobody");
    r = recipient_of_stage(t, t->doubtful, 0);
    r->doubts = 0;
    put_recipient(&d, t->doubtful, 0, r);
    expect_broken(t, &d, "Q11", "without an attempt that ended so");
    r = recipient_of_stage(t, t->delivered, 0);
    r->in_doubt_since_ms = 5;
    put_recipient(&d, t->delivered, 0, r);
    expect_broken(t, &d, "Q11", "a recipient that ended is in doubt");
}

static void q9_requests_out_of_range(void **state)
{
    struct stage *t = *state;
    struct damage d = { .count = 0 };
    Angarium__RecipientRecord *r = recipient_of_stage(t, t->waiting, 0);
    Angarium__MessageRecord *m = message_of_stage(t, t->waiting);

    r->notify = PROTO_NOTIFY_NEVER | PROTO_NOTIFY_DELAY;
    put_recipient(&d, t->waiting, 0, r);
    expect_broken(t, &d, "Q9", "NOTIFY");
    m->ret = PROTO_RET_HDRS + 1;
    put_message(&d, t->waiting, m);
    expect_broken(t, &d, "Q9", "RET");
}

int main(void)
{
#define STAGE_TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)
    const struct CMUnitTest tests[] = {
        STAGE_TEST(q1_a_recipient_is_missing),
        STAGE_TEST(q1_pending_is_counted_wrong),
        STAGE_TEST(q1_a_state_does_not_exist),
        STAGE_TEST(q1_a_message_does_not_decode),
        STAGE_TEST(q1_recipients_of_no_message),
        STAGE_TEST(q2_an_end_without_its_event),
        STAGE_TEST(q2_an_event_without_its_end),
        STAGE_TEST(q2_two_ends),
        STAGE_TEST(q2_another_end),
        STAGE_TEST(q3_waiting_but_not_due),
        STAGE_TEST(q3_due_but_not_waiting),
        STAGE_TEST(q4_claims_and_the_claim_index),
        STAGE_TEST(q5_debts_and_the_bounce_index),
        STAGE_TEST(q5_debts_are_counted_wrong),
        STAGE_TEST(q5_what_nobody_asked_for),
        STAGE_TEST(q5_nobody_is_owed),
        STAGE_TEST(q6_bodies_that_are_needed),
        STAGE_TEST(q6_bodies_that_nobody_needs),
        STAGE_TEST(q6_gone_or_not),
        STAGE_TEST(q6_an_upload_does_not_decode),
        STAGE_TEST(q7_counts),
        STAGE_TEST(q7_the_index_of_finished_messages),
        STAGE_TEST(q7_events_and_stories_of_nobody),
        STAGE_TEST(q9_requests_out_of_range),
        STAGE_TEST(q11_doubts_and_the_doubt_index),
        STAGE_TEST(a_cut_state_record_is_refused_at_open),
        STAGE_TEST(an_empty_shard_and_its_neighbours_are_well),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
