/* log_thread - collects what all loops submit and writes it as one batch with one sync: group commit with no
 * timer, because while one batch is being synced the next one gathers.
 *
 * Rules: order of submission is order of writing and of completion. A batch holds at most
 *   STORE_BATCH_BYTES_MAX of payload (one submission always fits). Cuts alone need no sync.
 */
#include <stdlib.h>

#include "proto/ground/clock.h"
#include "raft/store/inside.h"

static size_t write_bytes(const struct store_write *w, bool *needs_sync)
{
    size_t bytes = 0;

    for (size_t i = 0; i < w->op_count; i++) {
        const struct store_op *op = &w->ops[i];

        if (op->kind != STORE_CUT) *needs_sync = true;
        if (op->kind == STORE_APPEND) bytes += op->entry.head.n + op->entry.body.n;
        if (op->kind == STORE_APPEND) metric_add(M_LOG_ENTRIES, 1);
        if (op->kind == STORE_CUT) metric_add(M_LOG_CUTS, 1);
    }
    return bytes;
}

/* One batch from the front of the list; returns what is left. */
static struct mpsc_node *write_batch(struct store *s, struct mpsc_node *first)
{
    struct mpsc_node *end = first, *next;
    size_t bytes = 0;
    bool needs_sync = false;
    uint64_t began;

    while (end) {
        struct store_write *w = CONTAINER_OF(end, struct store_write, node);

        if (bytes >= STORE_BATCH_BYTES_MAX) break;
        bytes += write_bytes(w, &needs_sync);
        for (size_t i = 0; i < w->op_count; i++)
            s->calls->batch_add(s->self, &w->ops[i]);
        end = end->next;
    }
    began = clock_mono_us();
    s->calls->batch_write(s->self, needs_sync);
    if (needs_sync) {
        metric_add(M_LOG_SYNCS, 1);
        metric_time_us(M_LOG_SYNC_TIME, clock_mono_us() - began);
    }
    metric_add(M_LOG_BYTES, bytes);
    for (; first != end; first = next) {
        struct store_write *w = CONTAINER_OF(first, struct store_write, node);

        next = first->next; /* on_done gives the write back */
        w->on_done(w);
    }
    return end;
}

static bool wait_for_work(struct store *s)
{
    bool go_on;

    pthread_mutex_lock(&s->lock);
    while (!s->is_awake && !s->stopping)
        pthread_cond_wait(&s->wake, &s->lock);
    go_on = s->is_awake || !s->stopping;
    s->is_awake = false;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct store *s = arg;

    while (wait_for_work(s)) {
        struct mpsc_node *list;

        while ((list = mpsc_take_all(&s->submitted)) != NULL)
            while (list)
                list = write_batch(s, list);
    }
    return NULL;
}

void log_thread_start(struct store *s)
{
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    CHECK(pthread_create(&s->thread, NULL, run, s) == 0);
    s->has_thread = true;
}

void log_thread_stop(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
}

void store_submit(struct store *s, struct store_write *w)
{
    if (!mpsc_put(&s->submitted, &w->node) || !s->has_thread) return;
    pthread_mutex_lock(&s->lock);
    s->is_awake = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}
