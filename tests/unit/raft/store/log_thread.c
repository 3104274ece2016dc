/* log_thread - over a sink that only notes: order, bounds of a batch, what needs a sync, drain,
 * stop. */
#include "tests/unit/raft/store/place.h"

#include <sched.h>

#define OPS_MAX     4096
#define BATCHES_MAX 1024

struct notes {
    sem_t may_write; /* each write waits for one */
    bool gated;
    uint64_t indexes[OPS_MAX];
    unsigned op_count;
    struct {
        unsigned ops;
        bool sync;
    } batches[BATCHES_MAX];
    unsigned batch_count;
    atomic_uint done;
};

static struct notes notes;

static void note_add(void *arg, const struct store_op *op)
{
    struct notes *n = arg;

    n->indexes[n->op_count++] = op->entry.index;
    n->batches[n->batch_count].ops++;
}

static void note_write(void *arg, bool sync)
{
    struct notes *n = arg;

    n->batches[n->batch_count++].sync = sync;
    if (n->gated) sem_wait(&n->may_write);
}

static void note_done(struct store_write *w)
{
    (void)w;
    atomic_fetch_add(&notes.done, 1);
}

static void start(struct log_thread *t, bool gated)
{
    memset(&notes, 0, sizeof notes);
    notes.gated = gated;
    sem_init(&notes.may_write, 0, 0);
    log_thread_start(t, &(struct log_sink){ &notes, note_add, note_write });
}

static void submit(struct log_thread *t, struct store_write *w, struct store_op *op)
{
    *w = (struct store_write){ .ops = op, .op_count = 1, .on_done = note_done };
    log_thread_submit(t, w);
}

static void wait_for_batch(void)
{
    int waiting;

    do { /* the thread waits at the gate, so nothing of `notes` changes now */
        sched_yield();
        sem_getvalue(&notes.may_write, &waiting);
    } while (waiting > 0);
}

static void what_gathers_during_a_sync_is_one_batch(void **state)
{
    struct log_thread t;
    struct store_op ops[100];
    struct store_write writes[100];

    (void)state;
    start(&t, true);
    for (unsigned i = 0; i < 100; i++)
        ops[i] = op_entry(1, i, 1, "h", "b");
    submit(&t, &writes[0], &ops[0]);
    sem_post(&notes.may_write);
    wait_for_batch();
    while (atomic_load(&notes.done) < 1)
        sched_yield();
    submit(&t, &writes[1], &ops[1]);
    for (unsigned i = 2; i < 100; i++)
        submit(&t, &writes[i], &ops[i]);
    for (unsigned i = 1; i < 100; i++)
        sem_post(&notes.may_write);
    log_thread_drain(&t);
    assert_int_equal(atomic_load(&notes.done), 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(notes.indexes[i], i);
    assert_int_equal(notes.batches[0].ops, 1);
    assert_true(notes.batch_count <=
                3); /* the first, what was there when it began again, the rest */
    log_thread_stop(&t);
}

static void a_batch_is_bounded_in_bytes(void **state)
{
    static uint8_t bytes[LOG_BATCH_BYTES_MAX + 1];
    const struct span eighth = span_of(bytes, LOG_BATCH_BYTES_MAX / 8),
                      too_much = span_of(bytes, sizeof bytes);
    struct store_op ops[21];
    struct store_write writes[21], first;
    struct store_op small = op_entry(1, 99, 1, "", "");
    struct log_thread t;

    (void)state;
    start(&t, true);
    submit(&t, &first, &small); /* holds the thread at the gate */
    while (atomic_load(&t.submitted.top) != NULL)
        sched_yield();
    for (unsigned i = 0; i < 21; i++) {
        ops[i] = op_entry(1, i, 1, "", "");
        ops[i].entry.body = i == 20 ? too_much : eighth;
        submit(&t, &writes[i], &ops[i]);
    }
    for (unsigned i = 0; i < 10; i++)
        sem_post(&notes.may_write);
    log_thread_drain(&t);
    assert_int_equal(notes.batch_count, 5);
    assert_int_equal(notes.batches[1].ops, 8);
    assert_int_equal(notes.batches[2].ops, 8);
    assert_int_equal(notes.batches[3].ops, 4);
    assert_int_equal(notes.batches[4].ops, 1); /* too big for any, so alone */
    log_thread_stop(&t);
}

static void cuts_alone_need_no_sync(void **state)
{
    struct store_op cut = op_cut(1, 1, 2, 1), hard = op_hard(1, 1, 1);
    struct store_op both[] = { op_cut(1, 1, 2, 1), op_entry(1, 3, 1, "", "") };
    struct store_write a, b, c = { .ops = both, .op_count = 2, .on_done = note_done };
    struct log_thread t;

    (void)state;
    start(&t, false);
    submit(&t, &a, &cut);
    log_thread_drain(&t);
    submit(&t, &b, &hard);
    log_thread_drain(&t);
    log_thread_submit(&t, &c);
    log_thread_drain(&t);
    assert_int_equal(notes.batch_count, 3);
    assert_false(notes.batches[0].sync);
    assert_true(notes.batches[1].sync);
    assert_true(notes.batches[2].sync);
    log_thread_stop(&t);
}

static void stopping_writes_what_was_submitted(void **state)
{
    static struct store_op ops[500];
    static struct store_write writes[500];

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct log_thread t;

        start(&t, false);
        for (unsigned i = 0; i < 500; i++) {
            ops[i] = op_entry(1, i, 1, "", "");
            submit(&t, &writes[i], &ops[i]);
        }
        log_thread_stop(&t);
        assert_int_equal(atomic_load(&notes.done), 500);
    }
}

struct putter {
    pthread_t thread;
    struct log_thread *t;
    unsigned number;
    struct store_op ops[200];
    struct store_write writes[200];
};

static void *put_all(void *arg)
{
    struct putter *p = arg;

    for (unsigned i = 0; i < 200; i++) {
        p->ops[i] = op_entry(1, p->number * 1000 + i, 1, "", "");
        submit(p->t, &p->writes[i], &p->ops[i]);
        if (i % 7 == 0) log_thread_drain(p->t);
    }
    log_thread_drain(p->t);
    return NULL;
}

static void each_submitter_is_served_in_order(void **state)
{
    static struct putter putters[4];
    uint64_t next[4] = { 0 };
    struct log_thread t;

    (void)state;
    start(&t, false);
    for (unsigned i = 0; i < 4; i++) {
        putters[i].t = &t;
        putters[i].number = i;
        pthread_create(&putters[i].thread, NULL, put_all, &putters[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(putters[i].thread, NULL);
    log_thread_stop(&t);
    assert_int_equal(atomic_load(&notes.done), 800);
    for (unsigned i = 0; i < notes.op_count; i++)
        assert_int_equal(notes.indexes[i] % 1000, next[notes.indexes[i] / 1000]++);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_gathers_during_a_sync_is_one_batch),
        cmocka_unit_test(a_batch_is_bounded_in_bytes),
        cmocka_unit_test(cuts_alone_need_no_sync),
        cmocka_unit_test(stopping_writes_what_was_submitted),
        cmocka_unit_test(each_submitter_is_served_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
