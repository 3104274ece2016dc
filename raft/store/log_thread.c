/* log_thread - collects what all loops submit and writes it as one batch with one sync.
 *
 * Group commit without a timer: while one batch is being synced the next one gathers. Where cores are scarce, the loops that
 * woke up by a batch's end would be overtaken by the next sync: so after a batch of several entries those that are ready run
 * first, and what they submit comes along. One mail at a time never waits for anybody.
 * Rules: order of submission is order of writing and of completion. A batch holds whole
 * submissions, up to LOG_BATCH_BYTES_MAX of payload (one is always taken). Cuts alone are written
 * without a sync: a log that remembers more than it must harms nobody.
 */
#include <errno.h>
#include <sched.h>

#include "proto/ground/clock.h"
#include "proto/ground/metric.h"
#include "raft/store/inside.h"

struct tally {
    size_t bytes, entries, cuts, ops;
    bool must_sync;
};

static struct store_write *write_of(struct mpsc_node *node)
{
    return CONTAINER_OF(node, struct store_write, node);
}

static size_t payload(const struct store_write *w)
{
    size_t bytes = 0;

    for (size_t i = 0; i < w->op_count; i++)
        if (w->ops[i].kind == STORE_APPEND)
            bytes += w->ops[i].entry.head.n + w->ops[i].entry.body.n;
    return bytes;
}

static void add_write(struct log_thread *t, const struct store_write *w, struct tally *tally)
{
    for (size_t i = 0; i < w->op_count; i++) {
        const struct store_op *op = &w->ops[i];

        t->sink.add(t->sink.arg, op);
        tally->entries += op->kind == STORE_APPEND;
        tally->cuts += op->kind == STORE_CUT;
        tally->must_sync |= op->kind != STORE_CUT;
    }
    tally->ops += w->op_count;
}

static void write_tally(struct log_thread *t, const struct tally *tally)
{
    uint64_t began = clock_mono_us();

    if (tally->ops == 0) return;
    t->sink.write(t->sink.arg, tally->must_sync);
    metric_add(M_LOG_ENTRIES, tally->entries);
    metric_add(M_LOG_BYTES, tally->bytes);
    metric_add(M_LOG_CUTS, tally->cuts);
    if (!tally->must_sync) return;
    metric_add(M_LOG_SYNCS, 1);
    metric_time_us(M_LOG_SYNC_TIME, clock_mono_us() - began);
}

/* Writes one batch from the front of the list; returns what is left. */
static struct mpsc_node *write_batch(struct log_thread *t, struct mpsc_node *first,
                                     size_t *entries_out)
{
    struct tally tally = { 0 };
    struct mpsc_node *end = first;

    while (end) {
        size_t bytes = payload(write_of(end));

        if (end != first && tally.bytes + bytes > LOG_BATCH_BYTES_MAX) break;
        tally.bytes += bytes;
        add_write(t, write_of(end), &tally);
        end = end->next;
    }
    write_tally(t, &tally);
    *entries_out = tally.entries;
    while (first != end) {
        struct store_write *w = write_of(first);

        first = first->next; /* on_done gives w away */
        w->on_done(w);
    }
    return end;
}

static void *run(void *arg)
{
    struct log_thread *t = arg;
    size_t entries = 0; /* of the last batch */
    bool last_round;

    /* One post for each time that the queue ceased to be empty, and one take for each post. */
    do {
        struct mpsc_node *list;

        while (sem_wait(&t->wake) != 0)
            CHECK(errno == EINTR);
        last_round = atomic_load(&t->stopping); /* what is submitted before stopping is written */
        if (entries > 1) sched_yield();
        list = mpsc_take_all(&t->submitted);
        while (list)
            list = write_batch(t, list, &entries);
    } while (!last_round);
    return NULL;
}

void log_thread_start(struct log_thread *t, const struct log_sink *sink)
{
    t->sink = *sink;
    mpsc_init(&t->submitted);
    atomic_init(&t->stopping, false);
    CHECK(sem_init(&t->wake, 0, 0) == 0);
    CHECK(pthread_create(&t->thread, NULL, run, t) == 0);
}

void log_thread_submit(struct log_thread *t, struct store_write *w)
{
    if (mpsc_put(&t->submitted, &w->node)) CHECK(sem_post(&t->wake) == 0);
}

/* ---- draining: a submission of nothing, waited for */

struct barrier {
    struct store_write write;
    sem_t passed;
};

static void on_barrier(struct store_write *w)
{
    sem_post(&CONTAINER_OF(w, struct barrier, write)->passed);
}

void log_thread_drain(struct log_thread *t)
{
    struct barrier b = { .write = { .on_done = on_barrier } };

    CHECK(sem_init(&b.passed, 0, 0) == 0);
    log_thread_submit(t, &b.write);
    while (sem_wait(&b.passed) != 0)
        CHECK(errno == EINTR);
    sem_destroy(&b.passed);
}

void log_thread_stop(struct log_thread *t)
{
    atomic_store(&t->stopping, true);
    CHECK(sem_post(&t->wake) == 0);
    CHECK(pthread_join(t->thread, NULL) == 0);
    sem_destroy(&t->wake);
}
