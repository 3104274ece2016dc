/* loop - one event loop on one thread: timers, letters from other threads, work on thread pools, and hooks
 * that run once per turn before the loop sleeps. Everything here runs on the loop's thread but for what is
 * marked "any thread".
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "proto/ground/clock.h"
#include "proto/ground/err.h"
#include "proto/ground/list.h"
#include "proto/ground/mpsc.h"

struct loop;
struct uv_loop_s;

int loop_new(struct loop **out, unsigned number, struct errmsg *why);
/* After loop_run returned (or never ran). Works that are out come back first; streams that are closing are
 * cut off, and their on_closed comes. All else of the loop must have been closed. */
void loop_free(struct loop **l);
/* For tests, at once after loop_new: what it takes for the time. Borrowed; sleeps are as long as they would be. */
void loop_set_clock(struct loop *l, const struct clock *clock);
unsigned loop_number(const struct loop *l);
struct uv_loop_s *loop_uv(struct loop *l); /* for node/net only */
/* Runs until loop_stop. Call it on the thread that is to be the loop's. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread */
/* After loop_run: turns until no work of this loop is with the pools, so that what the work uses can be closed. */
void loop_settle(struct loop *l);
/* For tests: one turn; waits for something to do at most wait_ms. */
void loop_turn(struct loop *l, unsigned wait_ms);

uint64_t loop_mono_ms(const struct loop *l); /* as of this turn */
uint64_t loop_wall_ms(const struct loop *l);
const struct clock *loop_clock(const struct loop *l);

/* A letter: how anything reaches the loop from another thread. on_arrive may free it. */
struct loop_letter {
    struct mpsc_node node;
    void (*on_arrive)(struct loop_letter *letter);
};
void loop_post(struct loop *l, struct loop_letter *letter); /* any thread; never fails */
void loop_wake(struct loop *l);                             /* any thread: have a turn soon */
/* The same for a signal like raft_loop_port: arg is the struct loop. */
void loop_wake_arg(void *l);

/* Hooks run in the order added, once per turn, before the loop sleeps; a hook returns when it wants to run
 * again at the latest (mono ms; UINT64_MAX: no wish). A hook that makes work for an earlier one must
 * loop_again(). */
struct loop_hook {
    struct list link;
    uint64_t (*on_turn)(struct loop_hook *hook, uint64_t mono_ms);
};
void loop_hook_add(struct loop *l, struct loop_hook *hook);
void loop_hook_remove(struct loop *l, struct loop_hook *hook);
void loop_again(struct loop *l); /* do not sleep: another turn at once */

/* Timers: init once; start moves the deadline; stop twice is harmless. Embedded in the owner. */
struct loop_timer {
    struct loop *loop;
    uint64_t due_ms; /* mono; UINT64_MAX: not running */
    size_t slot;     /* private */
    void (*on_fire)(struct loop_timer *t);
};
void loop_timer_init(struct loop_timer *t, struct loop *l, void (*on_fire)(struct loop_timer *t));
void loop_timer_start(struct loop_timer *t, uint64_t in_ms);
void loop_timer_stop(struct loop_timer *t);
static inline bool loop_timer_is_running(const struct loop_timer *t)
{
    return t->due_ms != UINT64_MAX;
}

/* Work off the loop: `run` on a pool's thread, then `on_done` on the loop. Bounded: ERR_FULL. */
enum loop_pool {
    LOOP_POOL_CPU /* password hashing */,
    LOOP_POOL_DISK /* reads, scans, flushes */,
    LOOP_POOL_REMOTE /* questions to other hosts that may take long */,
    LOOP_POOL_COUNT
};
#define LOOP_POOL_THREADS   2
#define LOOP_POOL_QUEUE_MAX 4096
struct loop_work {
    struct loop_letter letter; /* private */
    struct list link;          /* private */
    struct loop *loop;         /* private */
    void (*run)(struct loop_work *w);
    void (*on_done)(struct loop_work *w);
};
int loop_work(struct loop *l, enum loop_pool pool, struct loop_work *w);
/* The pools are the process's: started by the first loop_new, ended by the last loop_free. */

/* Signals, on this loop: on_signal(arg, signum). */
int loop_on_signal(struct loop *l, int signum, void (*on_signal)(void *arg, int signum), void *arg);

#endif
