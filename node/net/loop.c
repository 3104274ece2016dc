/* loop - one libuv loop: the order of a turn, letters, hooks, signals and the sleep.
 *
 * A turn is: before the sleep, streams that owe a call-back, timers that are due, hooks in their
 * order, then the out-queues of the streams (so all that a turn wrote leaves at once); the sleep,
 * which ends at the earliest of timers and hook wishes; then sockets and letters.
 *
 * Invariants: time is read when libuv has woken, once, and seen by all call-backs of the turn; what
 * asks for another turn (loop_again, a stream that owes a call-back) keeps the sleep at nothing.
 */
#include "node/net/loop_private.h"

#include <signal.h>
#include <stdlib.h>

#include "proto/ground/check.h"

#define CLOSE_TURNS_MAX 1000 /* closing call-backs may close more */

struct loop_signal {
    struct list link;
    uv_signal_t uv;
    void (*on_signal)(void *arg, int signum);
    void *arg;
};

/* ---- time ---- */

static void read_clock(struct loop *l)
{
    l->uv_seen_ms = uv_now(&l->uv);
    l->mono_ms = clock_mono_ms(l->clock);
    l->wall_ms = clock_wall_ms(l->clock);
}

/* libuv looks at its clock when it wakes; so then do we, when somebody asks. */
static const struct loop *with_time(const struct loop *l)
{
    if (uv_now(&l->uv) != l->uv_seen_ms) read_clock((struct loop *)(uintptr_t)l);
    return l;
}

uint64_t loop_mono_ms(const struct loop *l)
{
    return with_time(l)->mono_ms;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    return with_time(l)->wall_ms;
}

void loop_set_clock(struct loop *l, const struct clock *clock)
{
    l->clock = clock;
    read_clock(l);
}

const struct clock *loop_clock(const struct loop *l)
{
    return l->clock;
}

/* ---- hooks ---- */

void loop_hook_add(struct loop *l, struct loop_hook *hook)
{
    list_add(&l->hooks, &hook->link);
    loop_again(l);
}

void loop_hook_remove(struct loop *l, struct loop_hook *hook)
{
    if (l->hook_next == hook) {
        struct list *next = hook->link.next;
        l->hook_next = next == &l->hooks ? NULL : CONTAINER_OF(next, struct loop_hook, link);
    }
    list_remove(&hook->link);
}

void loop_again(struct loop *l)
{
    l->again = true;
}

/* The earliest wish. A hook may remove itself or any other. */
static uint64_t run_hooks(struct loop *l)
{
    uint64_t wish_ms = UINT64_MAX;
    struct list *first = list_first(&l->hooks);
    struct loop_hook *hook = first ? CONTAINER_OF(first, struct loop_hook, link) : NULL;

    for (; hook; hook = l->hook_next) {
        struct list *next = hook->link.next;
        l->hook_next = next == &l->hooks ? NULL : CONTAINER_OF(next, struct loop_hook, link);
        uint64_t at_ms = hook->on_turn(hook, l->mono_ms);
        if (at_ms < wish_ms) wish_ms = at_ms;
    }
    return wish_ms;
}

/* ---- the phase before the sleep ---- */

static void on_sleep_over(uv_timer_t *t)
{
    struct loop *l = t->data;
    l->sleep_due_ms = UINT64_MAX;
}

static void arm_sleep(struct loop *l, uint64_t due_ms)
{
    if (l->again || !list_empty(&l->soon) || !list_empty(&l->dirty)) due_ms = 0;
    if (due_ms == l->sleep_due_ms && due_ms > l->mono_ms) return;
    l->sleep_due_ms = due_ms;
    if (due_ms == UINT64_MAX) {
        uv_timer_stop(&l->sleep);
        return;
    }
    uv_timer_start(&l->sleep, on_sleep_over, due_ms > l->mono_ms ? due_ms - l->mono_ms : 0, 0);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *l = handle->data;
    uint64_t wish_ms, timer_ms;

    uv_update_time(&l->uv);
    read_clock(l);
    l->again = false;
    stream_run_soon(l);
    timer_heap_fire(&l->timers, l->mono_ms);
    wish_ms = run_hooks(l);
    stream_run_dirty(l);
    timer_ms = timer_heap_due(&l->timers);
    if (timer_ms < wish_ms) wish_ms = timer_ms;
    if (l->turn_end_ms < wish_ms) wish_ms = l->turn_end_ms;
    arm_sleep(l, wish_ms);
}

/* ---- letters ---- */

static void on_async(uv_async_t *handle)
{
    struct loop *l = handle->data;
    struct mpsc_node *node;

    if (atomic_load(&l->stopping)) uv_stop(&l->uv);
    node = mpsc_take_all(&l->letters);
    while (node) {
        struct loop_letter *letter = CONTAINER_OF(node, struct loop_letter, node);
        node = node->next; /* the letter may be gone after this */
        letter->on_arrive(letter);
    }
}

void loop_wake(struct loop *l)
{
    uv_async_send(&l->async); /* a thousand of these before the loop looks are one system call */
}

void loop_wake_arg(void *l)
{
    loop_wake(l);
}

void loop_post(struct loop *l, struct loop_letter *letter)
{
    if (mpsc_put(&l->letters, &letter->node)) loop_wake(l);
}

/* ---- signals ---- */

static void on_uv_signal(uv_signal_t *handle, int signum)
{
    struct loop_signal *s = handle->data;
    s->on_signal(s->arg, signum);
}

static void on_signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int loop_on_signal(struct loop *l, int signum, void (*on_signal)(void *arg, int signum), void *arg)
{
    struct loop_signal *s = check_calloc(1, sizeof *s);
    int err;

    s->on_signal = on_signal;
    s->arg = arg;
    s->uv.data = s;
    err = uv_signal_init(&l->uv, &s->uv);
    if (err) {
        free(s);
        return loop_err(err);
    }
    list_add(&l->signals, &s->link);
    return loop_err(uv_signal_start(&s->uv, on_uv_signal, signum));
}

void signal_end_all(struct loop *l)
{
    struct list *first;

    while ((first = list_take_first(&l->signals)))
        uv_close((uv_handle_t *)&CONTAINER_OF(first, struct loop_signal, link)->uv,
                 on_signal_closed);
}

/* ---- life ---- */

static int open_handles(struct loop *l)
{
    int err = uv_async_init(&l->uv, &l->async, on_async);

    if (err) return err;
    uv_prepare_init(&l->uv, &l->prepare);
    uv_prepare_start(&l->prepare, on_prepare);
    uv_timer_init(&l->uv, &l->sleep);
    l->async.data = l->prepare.data = l->sleep.data = l;
    return 0;
}

int loop_new(struct loop **out, unsigned number, struct errmsg *why)
{
    struct loop *l = check_calloc(1, sizeof *l);
    int err = uv_loop_init(&l->uv);

    *out = NULL;
    if (err) goto fail;
    err = open_handles(l);
    if (err) {
        uv_loop_close(&l->uv);
        goto fail;
    }
    l->number = number;
    l->clock = &clock_real;
    l->sleep_due_ms = l->turn_end_ms = UINT64_MAX;
    mpsc_init(&l->letters);
    list_init(&l->hooks);
    list_init(&l->signals);
    list_init(&l->streams);
    list_init(&l->soon);
    list_init(&l->dirty);
    l->read_bytes = check_malloc(LOOP_READ_SIZE);
    l->plain_bytes = check_malloc(LOOP_PLAIN_SIZE);
    read_clock(l);
    signal(SIGPIPE, SIG_IGN); /* a write to a gone peer is an error code, not the end of us */
    pool_start();
    *out = l;
    return 0;
fail:
    free(l);
    return errmsg_set(why, loop_err(err), "event loop: %s", uv_strerror(err));
}

void loop_settle(struct loop *l)
{
    while (l->works > 0)
        loop_turn(l, 100);
}

void loop_free(struct loop **lp)
{
    struct loop *l = *lp;

    if (!l) return;
    *lp = NULL;
    loop_settle(l);
    pool_stop();
    stream_end_all(l);
    signal_end_all(l);
    uv_close((uv_handle_t *)&l->async, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->sleep, NULL);
    for (unsigned i = 0; i < CLOSE_TURNS_MAX && uv_loop_alive(&l->uv); i++)
        uv_run(&l->uv, UV_RUN_NOWAIT);
    CHECK(uv_loop_close(&l->uv) ==
          0); /* a listener, resolver or server of this loop was not closed */
    timer_heap_deinit(&l->timers);
    free(l->read_bytes);
    free(l->plain_bytes);
    free(l);
}

void loop_run(struct loop *l)
{
    while (!atomic_load(&l->stopping))
        uv_run(&l->uv, UV_RUN_DEFAULT);
    atomic_store(&l->stopping, false);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    loop_wake(l);
}

void loop_turn(struct loop *l, unsigned wait_ms)
{
    uv_update_time(&l->uv);
    read_clock(l);
    l->turn_end_ms = l->mono_ms + wait_ms;
    uv_run(&l->uv, wait_ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    l->turn_end_ms = UINT64_MAX;
}

unsigned loop_number(const struct loop *l)
{
    return l->number;
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

int loop_err(int uv_err)
{
    switch (uv_err) {
    case 0:
        return 0;
    case UV_EOF:
    case UV_EPIPE:
        return ERR_CLOSED;
    case UV_ECONNREFUSED:
        return ERR_REFUSED;
    case UV_ETIMEDOUT:
        return ERR_TIMEOUT;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS:
    case UV_ENOMEM:
        return ERR_FULL;
    case UV_EACCES:
    case UV_EPERM:
        return ERR_DENIED;
    case UV_EADDRINUSE:
        return ERR_BUSY;
    case UV_EINVAL:
        return ERR_RANGE;
    default:
        return ERR_IO;
    }
}
