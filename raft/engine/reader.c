/* reader - what reads the disk for peers and waits for it: one thread, jobs in order, so that no loop does.
 *
 * Without the thread (raft_open_over, reads_inline) a job runs at once; its result still comes by the loop's inbox.
 */
#include <errno.h>

#include "proto/ground/mutation.h"
#include "raft/engine/inside.h"

struct reader {
    struct mpsc jobs;
    sem_t wake;
    pthread_t thread;
    atomic_bool stopping;
};

static void *run(void *arg)
{
    struct reader *r = arg;
    bool last_round;

    do {
        struct mpsc_node *list, *next;

        while (sem_wait(&r->wake) != 0)
            CHECK(errno == EINTR);
        last_round = atomic_load(&r->stopping);
        for (list = mpsc_take_all(&r->jobs); list; list = next) {
            struct read_job *job = CONTAINER_OF(list, struct read_job, node);

            next = list->next;
            job->run(job);
        }
    } while (!last_round);
    return NULL;
}

void reader_open(struct raft *r)
{
    r->reader = check_calloc(1, sizeof *r->reader);
    mpsc_init(&r->reader->jobs);
    atomic_init(&r->reader->stopping, false);
    CHECK(sem_init(&r->reader->wake, 0, 0) == 0);
    CHECK(pthread_create(&r->reader->thread, NULL, run, r->reader) == 0);
}

void reader_close(struct raft *r)
{
    if (!r->reader) return;
    atomic_store(&r->reader->stopping, true);
    CHECK(sem_post(&r->reader->wake) == 0);
    CHECK(pthread_join(r->reader->thread, NULL) == 0);
    sem_destroy(&r->reader->wake);
    free(r->reader);
    r->reader = NULL;
}

void reader_do(struct raft *r, struct read_job *job)
{
    if (!r->reader)
        job->run(job);
    else if (mpsc_put(&r->reader->jobs, &job->node))
        CHECK(sem_post(&r->reader->wake) == 0);
}

struct barrier {
    struct read_job job;
    sem_t passed;
};

static void pass(struct read_job *job)
{
    sem_post(&CONTAINER_OF(job, struct barrier, job)->passed);
}

void reader_drain(struct raft *r)
{
    struct barrier b = { .job.run = pass };

    CHECK(sem_init(&b.passed, 0, 0) == 0);
    reader_do(r, &b.job);
    while (sem_wait(&b.passed) != 0)
        CHECK(errno == EINTR);
    sem_destroy(&b.passed);
}

/* ---- entries for an APPEND */

struct fetch {
    struct mail mail;
    struct read_job job;
    struct list link; /* in loop.fetches */
    struct engine_loop *loop;
    struct outgoing *message; /* NULL: not wanted any more. The loop's */
    unsigned peer;
    uint64_t group, first;
    uint64_t durable; /* when it began: entries up to here were on the disk */
    unsigned count;
    int rv;
    struct fetched *result;
};

void fetched_free(struct fetched **pf)
{
    struct fetched *f = *pf;

    *pf = NULL;
    for (unsigned i = 0; f && i < f->count; i++) {
        blob_unref(&f->entries[i].head);
        blob_unref(&f->entries[i].body);
    }
    free(f);
}

static void run_fetch(struct read_job *job)
{
    struct fetch *f = CONTAINER_OF(job, struct fetch, job);

    f->result = check_calloc(1, sizeof *f->result + f->count * sizeof f->result->entries[0]);
    for (unsigned i = 0; i < f->count && f->rv == 0; i++) {
        struct fetched_entry *e = &f->result->entries[i];

        f->rv = store_entry_read(f->loop->raft->store, f->group, f->first + i, &e->kind, &e->term,
                                 &e->head, &e->body);
        if (f->rv == 0) f->result->count++;
    }
    metric_add(M_RAFT_LOG_READS, 1);
    inbox_put(f->loop, &f->mail);
}

void fetch_begin(struct engine_loop *l, struct outgoing *m, unsigned peer)
{
    struct fetch *f = check_calloc(1, sizeof *f);
    struct core_view v;

    core_see(m->group->core, &v);
    f->mail.kind = MAIL_FETCHED;
    f->job.run = run_fetch;
    f->loop = l;
    f->message = m;
    f->peer = peer;
    f->group = m->group->number;
    f->first = m->msg.first;
    f->durable = v.durable;
    f->count = m->msg.count;
    list_init(&f->link);
    list_add(&l->fetches, &f->link);
    reader_do(l->raft, &f->job);
}

/* It was there, is not cut, and who leads truncates nothing: another block is where it was. */
static bool is_hole(const struct fetch *f)
{
    const struct raft_group *g = f->message->group;
    uint64_t index = f->first + f->result->count;
    struct core_view v;

    core_see(g->core, &v);
    return f->rv == ERR_NOT_FOUND && index >= g->first && index <= f->durable &&
           v.role == CORE_LEADER && v.term == f->message->msg.term && !MUTATED(ENGINE_HOLE_SKIPPED);
}

/* What was cut meanwhile is not there any more: the message goes as an empty one would; the core finds out and sends a
 * snapshot. What does not read well is the end of this node: others must not wait for it. */
void fetch_done(struct engine_loop *l, struct mail *mail)
{
    struct fetch *f = CONTAINER_OF(mail, struct fetch, mail);
    struct outgoing *m = f->message;

    (void)l;
    list_remove(&f->link);
    if (m && f->rv != 0 && (f->rv != ERR_NOT_FOUND || is_hole(f)))
        engine_end(f->loop->raft, "read of entries for a peer", f->rv);
    if (m) {
        m->group->fetching[f->peer / 64] &= ~(1ull << (f->peer % 64));
        m->waits = false;
        if (f->rv == 0) {
            m->fetched = f->result;
            f->result = NULL;
        } else {
            m->msg.count = 0;
            m->msg.first = 0;
        }
    }
    fetched_free(&f->result);
    free(f);
}

void fetch_forget(struct outgoing *m)
{
    if (!m->waits) return;
    LIST_FOR(it, &m->group->loop->fetches) {
        struct fetch *f = CONTAINER_OF(it, struct fetch, link);

        if (f->message == m) f->message = NULL;
    }
}
