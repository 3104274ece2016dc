/* pool - work that would hold up a loop, on threads of its own: one pool for the processor, one for
 * the disk, one for what other hosts answer, so that password hashing never waits behind a slow disk and the other way
 * round, and nothing behind a silent host.
 *
 * Invariants: a work is in one queue, or with one thread, or on its way back as a letter. A queue
 * holds at most LOOP_POOL_QUEUE_MAX. The threads live from the first loop to the last, and take no
 * signals.
 */
#include "node/net/loop_private.h"

#include <pthread.h>
#include <signal.h>

#include "proto/ground/check.h"

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct list queue;
    unsigned queued;
    bool ending;
    pthread_t threads[LOOP_POOL_THREADS];
};

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned pools_users;
static struct pool pools[LOOP_POOL_COUNT] = {
    { .lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER },
    { .lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER },
    { .lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER },
};

/* Sleeps until there is work; NULL when the pool ends. */
static struct loop_work *take_work(struct pool *p)
{
    struct list *first;

    pthread_mutex_lock(&p->lock);
    while (!(first = list_take_first(&p->queue)) && !p->ending)
        pthread_cond_wait(&p->filled, &p->lock);
    if (first) p->queued--;
    pthread_mutex_unlock(&p->lock);
    return first ? CONTAINER_OF(first, struct loop_work, link) : NULL;
}

static void *run_thread(void *arg)
{
    struct loop_work *w;

    while ((w = take_work(arg))) {
        w->run(w);
        loop_post(w->loop, &w->letter);
    }
    return NULL;
}

static void start_one(struct pool *p)
{
    list_init(&p->queue);
    p->queued = 0;
    p->ending = false;
    for (unsigned i = 0; i < LOOP_POOL_THREADS; i++)
        CHECK(pthread_create(&p->threads[i], NULL, run_thread, p) == 0);
}

static void stop_one(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->filled);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < LOOP_POOL_THREADS; i++)
        pthread_join(p->threads[i], NULL);
}

void pool_start(void)
{
    sigset_t all, before;

    pthread_mutex_lock(&pools_lock);
    if (pools_users++ == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        for (unsigned i = 0; i < LOOP_POOL_COUNT; i++)
            start_one(&pools[i]);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_mutex_unlock(&pools_lock);
}

void pool_stop(void)
{
    pthread_mutex_lock(&pools_lock);
    CHECK(pools_users > 0);
    if (--pools_users == 0)
        for (unsigned i = 0; i < LOOP_POOL_COUNT; i++)
            stop_one(&pools[i]);
    pthread_mutex_unlock(&pools_lock);
}

static void work_is_back(struct loop_letter *letter)
{
    struct loop_work *w = CONTAINER_OF(letter, struct loop_work, letter);

    w->loop->works--;
    w->on_done(w);
}

int loop_work(struct loop *l, enum loop_pool pool, struct loop_work *w)
{
    struct pool *p = &pools[pool];
    int err = 0;

    CHECK(pool < LOOP_POOL_COUNT);
    w->loop = l;
    w->letter.on_arrive = work_is_back;
    list_init(&w->link);
    pthread_mutex_lock(&p->lock);
    if (p->queued >= LOOP_POOL_QUEUE_MAX) {
        err = ERR_FULL;
    } else {
        list_add(&p->queue, &w->link);
        p->queued++;
        pthread_cond_signal(&p->filled);
    }
    pthread_mutex_unlock(&p->lock);
    if (err == 0) l->works++;
    return err;
}
