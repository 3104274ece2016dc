/* loop_private - what the files of node/net know of a loop. Nobody else includes this. */
#ifndef NET_LOOP_PRIVATE_H
#define NET_LOOP_PRIVATE_H

#include <stdatomic.h>
#include <uv.h>

#include "node/net/loop.h"

#define LOOP_READ_SIZE  (64u << 10)                    /* one read from a socket */
#define LOOP_PLAIN_SIZE (LOOP_READ_SIZE + (20u << 10)) /* what it may decrypt to, a record more */

/* Waiting timers: a binary heap by (due, order of starting). An entry's due may be earlier than its
 * timer's: the timer was moved later and is put right when the entry comes up. */
struct timer_entry {
    uint64_t due_ms;
    uint64_t order;
    struct loop_timer *timer;
};
struct timer_heap {
    struct timer_entry *entries;
    size_t n, cap;
    uint64_t order_next;
};
void timer_heap_deinit(struct timer_heap *h);
/* Fires what is due; each timer at most once. */
void timer_heap_fire(struct timer_heap *h, uint64_t mono_ms);
uint64_t timer_heap_due(const struct timer_heap *h); /* UINT64_MAX: none */

/* A turn: [soon, timers, hooks, late] then sleep, then sockets and letters. */
struct loop {
    uv_loop_t uv;
    unsigned number;
    const struct clock *clock;
    uint64_t uv_seen_ms; /* uv_now() when the clock was last read */
    uint64_t mono_ms, wall_ms;
    uint64_t turn_end_ms; /* loop_turn: do not sleep over this */

    uv_async_t async;
    uv_prepare_t prepare;
    uv_timer_t sleep; /* bounds the sleep, does nothing when it fires */
    uint64_t sleep_due_ms;
    struct mpsc letters;
    atomic_bool stopping;
    bool again;

    struct timer_heap timers;
    struct list hooks;
    struct loop_hook *hook_next;
    struct list signals;
    unsigned works; /* given to the pools, not yet back */

    struct list streams; /* all that live */
    struct list soon;    /* streams with a call-back owed */
    struct list dirty;   /* streams with bytes to leave this turn */
    unsigned http_connections;
    uint8_t *read_bytes;  /* LOOP_READ_SIZE, lent for the time of one read */
    uint8_t *plain_bytes; /* LOOP_PLAIN_SIZE, lent for the time of one read */
};

/* Run by the loop at the beginning and at the end of the phase before it sleeps. */
void stream_run_soon(struct loop *l);
void stream_run_dirty(struct loop *l);
/* Aborts the streams that are closing (the loop ends); CHECKs that no other is left. */
void stream_end_all(struct loop *l);

void pool_start(void); /* counted: the first starts the threads, the last stop ends them */
void pool_stop(void);

void signal_end_all(struct loop *l);

/* A libuv or errno number (negative) as ours. */
int loop_err(int uv_err);

#endif
