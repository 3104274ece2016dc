/* The loop: timers, letters from threads, hooks, pools, signals, its sleep. */
#include "tests/unit/node/net/net_test.h"

#include <pthread.h>
#include <signal.h>

#include "proto/ground/rng.h"

static struct loop *new_loop(void)
{
    struct loop *l;
    struct errmsg why;

    assert_int_equal(loop_new(&l, 3, &why), 0);
    assert_int_equal(loop_number(l), 3);
    return l;
}

/* ---- timers ---- */

struct watch {
    struct loop_timer timer;
    unsigned fired, again_left;
    unsigned order; /* the how manieth of all */
    struct watch *stops;
};
static unsigned fired_total;

static void on_watch(struct loop_timer *t)
{
    struct watch *w = CONTAINER_OF(t, struct watch, timer);

    assert_false(loop_timer_is_running(t));
    w->fired++;
    w->order = ++fired_total;
    if (w->stops) loop_timer_stop(&w->stops->timer);
    if (w->again_left > 0) {
        w->again_left--;
        loop_timer_start(t, 0);
    }
}

static void test_timer_order(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct watch w[4] = { 0 };
    static const unsigned in_ms[4] = { 3, 1, 2, 1 };

    fired_total = 0;
    for (unsigned i = 0; i < 4; i++) {
        loop_timer_init(&w[i].timer, l, on_watch);
        assert_false(loop_timer_is_running(&w[i].timer));
        loop_timer_start(&w[i].timer, in_ms[i]);
        assert_true(loop_timer_is_running(&w[i].timer));
    }
    UNTIL(l, fired_total == 4);
    assert_int_equal(w[1].order, 1);
    assert_int_equal(w[3].order, 2); /* same time: as started */
    assert_int_equal(w[2].order, 3);
    assert_int_equal(w[0].order, 4);
    loop_free(&l);
    assert_null(l);
}

static void test_timer_moves(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct watch moved = { 0 }, other = { 0 };

    fired_total = 0;
    loop_timer_init(&moved.timer, l, on_watch);
    loop_timer_init(&other.timer, l, on_watch);
    loop_timer_start(&moved.timer, 1);
    loop_timer_start(&other.timer, 5);
    loop_timer_start(&moved.timer, 10); /* later */
    UNTIL(l, fired_total == 2);
    assert_int_equal(other.order, 1);
    assert_int_equal(moved.fired, 1);
    loop_timer_start(&moved.timer, 100000);
    loop_timer_start(&moved.timer, 0); /* earlier */
    UNTIL(l, moved.fired == 2);
    loop_timer_start(&moved.timer, UINT64_MAX); /* never, but running */
    assert_true(loop_timer_is_running(&moved.timer));
    loop_timer_stop(&moved.timer);
    loop_timer_stop(&moved.timer);
    assert_false(loop_timer_is_running(&moved.timer));
    loop_free(&l);
}

/* A turn that comes after all of them: the order is that of their times all the same. */
static void test_moved_timers_keep_their_order_in_a_late_turn(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct watch moved = { 0 }, other = { 0 };
    uint64_t begin = clock_mono_ms(&clock_real);

    fired_total = 0;
    loop_timer_init(&moved.timer, l, on_watch);
    loop_timer_init(&other.timer, l, on_watch);
    loop_timer_start(&moved.timer, 1);
    loop_timer_start(&other.timer, 3);
    loop_timer_start(&moved.timer, 6); /* later */
    while (clock_mono_ms(&clock_real) < begin + 20)
        continue;
    UNTIL(l, fired_total == 2);
    assert_int_equal(other.order, 1);
    assert_int_equal(moved.order, 2);
    loop_free(&l);
}

static void test_timer_stops_another_that_is_due(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct watch first = { 0 }, second = { 0 };

    loop_timer_init(&first.timer, l, on_watch);
    loop_timer_init(&second.timer, l, on_watch);
    first.stops = &second;
    loop_timer_start(&first.timer, 0);
    loop_timer_start(&second.timer, 0);
    UNTIL(l, first.fired == 1);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(l, 1);
    assert_int_equal(second.fired, 0);
    loop_free(&l);
}

static void test_timer_that_starts_itself_holds_nobody_up(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct watch self = { .again_left = 50 };

    loop_timer_init(&self.timer, l, on_watch);
    loop_timer_start(&self.timer, 0);
    loop_turn(l, 0);
    assert_int_equal(self.fired, 1); /* once per turn */
    UNTIL(l, self.fired == 51);
    loop_free(&l);
}

static void test_many_timers(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct loop *l = new_loop();
    struct watch *w = check_calloc(COUNT, sizeof *w);
    struct rng rng;
    unsigned running = 0;

    rng_seed(&rng, 7);
    for (unsigned i = 0; i < COUNT; i++) {
        loop_timer_init(&w[i].timer, l, on_watch);
        loop_timer_start(&w[i].timer, rng_below(&rng, 20));
    }
    for (unsigned i = 0; i < COUNT * 5; i++) {
        struct loop_timer *t = &w[rng_below(&rng, COUNT)].timer;
        if (rng_below(&rng, 4) == 0)
            loop_timer_stop(t);
        else
            loop_timer_start(t, rng_below(&rng, 20));
    }
    for (unsigned i = 0; i < COUNT; i++)
        running += loop_timer_is_running(&w[i].timer);
    fired_total = 0;
    UNTIL(l, fired_total == running);
    for (unsigned i = 0; i < COUNT; i++)
        assert_false(loop_timer_is_running(&w[i].timer));
    loop_turn(l, 5);
    assert_int_equal(fired_total, running);
    loop_free(&l);
    free(w);
}

static void test_idle_restarts_are_cheap(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct watch w = { 0 };

    loop_timer_init(&w.timer, l, on_watch);
    for (unsigned i = 0; i < 1000000; i++)
        loop_timer_start(&w.timer, 60000 + i % 7);
    loop_timer_stop(&w.timer);
    loop_turn(l, 0);
    assert_int_equal(w.fired, 0);
    loop_free(&l);
}

/* ---- letters ---- */

enum { LETTER_THREADS = 4, LETTERS_EACH = 5000 };
struct numbered {
    struct loop_letter letter;
    unsigned thread, number;
};
static unsigned letters_in, letters_next[LETTER_THREADS];

static void on_letter(struct loop_letter *letter)
{
    struct numbered *n = CONTAINER_OF(letter, struct numbered, letter);

    assert_int_equal(n->number, letters_next[n->thread]); /* in order, per sender */
    letters_next[n->thread]++;
    letters_in++;
    free(n);
}

struct sender {
    struct loop *loop;
    unsigned thread;
};

static void *send_letters(void *arg)
{
    struct sender *s = arg;

    for (unsigned i = 0; i < LETTERS_EACH; i++) {
        struct numbered *n = check_calloc(1, sizeof *n);
        n->letter.on_arrive = on_letter;
        n->thread = s->thread;
        n->number = i;
        loop_post(s->loop, &n->letter);
    }
    return NULL;
}

static void test_letters(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    pthread_t threads[LETTER_THREADS];
    struct sender senders[LETTER_THREADS];

    letters_in = 0;
    memset(letters_next, 0, sizeof letters_next);
    for (unsigned i = 0; i < LETTER_THREADS; i++) {
        senders[i] = (struct sender){ l, i };
        pthread_create(&threads[i], NULL, send_letters, &senders[i]);
    }
    UNTIL(l, letters_in == LETTER_THREADS * LETTERS_EACH);
    for (unsigned i = 0; i < LETTER_THREADS; i++)
        pthread_join(threads[i], NULL);
    loop_free(&l);
}

/* ---- hooks ---- */

struct hook {
    struct loop_hook hook;
    struct loop *loop;
    unsigned runs, order;
    uint64_t wish_in_ms; /* 0: none */
    bool again;
    struct hook *removes;
};
static unsigned hooks_total;

static uint64_t on_turn(struct loop_hook *hook, uint64_t mono_ms)
{
    struct hook *h = CONTAINER_OF(hook, struct hook, hook);

    h->runs++;
    h->order = ++hooks_total;
    assert_int_equal(mono_ms, loop_mono_ms(h->loop));
    if (h->again) loop_again(h->loop);
    if (h->removes) loop_hook_remove(h->loop, &h->removes->hook);
    return h->wish_in_ms > 0 ? mono_ms + h->wish_in_ms : UINT64_MAX;
}

static void add_hook(struct hook *h, struct loop *l)
{
    h->loop = l;
    h->hook.on_turn = on_turn;
    loop_hook_add(l, &h->hook);
}

static void test_hooks_run_in_order(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct hook a = { 0 }, b = { 0 }, c = { 0 };

    hooks_total = 0;
    add_hook(&a, l);
    add_hook(&b, l);
    add_hook(&c, l);
    loop_turn(l, 0);
    assert_int_equal(a.order, 1);
    assert_int_equal(b.order, 2);
    assert_int_equal(c.order, 3);
    a.removes = &b; /* the next one */
    loop_turn(l, 0);
    assert_int_equal(b.runs, 1);
    assert_int_equal(c.runs, 2);
    a.removes = &a; /* itself */
    loop_turn(l, 0);
    loop_turn(l, 0);
    assert_int_equal(a.runs, 3);
    assert_int_equal(c.runs, 4);
    loop_free(&l);
}

static void test_hook_wishes(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct hook h = { .wish_in_ms = 2 };

    add_hook(&h, l);
    loop_turn(l, 0);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(l, 60000); /* each would sleep long */
    assert_in_range(h.runs, 5, 7);
    h.wish_in_ms = 0;
    h.again = true;
    for (unsigned i = 0; i < 100; i++)
        loop_turn(l, 60000);
    assert_true(h.runs >= 100);
    loop_free(&l);
}

static void *wake_it(void *arg)
{
    for (unsigned i = 0; i < 1000; i++)
        loop_wake_arg(arg);
    loop_wake(arg);
    return NULL;
}

static void test_wake(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct hook h = { 0 };
    pthread_t thread;

    add_hook(&h, l);
    loop_turn(l, 0);
    pthread_create(&thread, NULL, wake_it, l);
    loop_turn(l, 60000);
    loop_turn(l, 0);
    assert_true(h.runs >= 2);
    pthread_join(thread, NULL);
    loop_free(&l);
}

/* ---- running ---- */

static void *run_it(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void test_run_and_stop(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    pthread_t thread;

    for (unsigned i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, run_it, l);
        loop_stop(l); /* before, while or after it begins */
        pthread_join(thread, NULL);
    }
    assert_true(loop_wall_ms(l) > 1600000000000u);
    loop_free(&l);
    loop_free(&l);
}

/* ---- pools ---- */

struct job {
    struct loop_work work;
    pthread_t on, loop_thread;
    unsigned value;
};
static unsigned jobs_done;

static void run_job(struct loop_work *w)
{
    struct job *j = CONTAINER_OF(w, struct job, work);
    j->on = pthread_self();
    j->value *= 2;
}

static void job_done(struct loop_work *w)
{
    struct job *j = CONTAINER_OF(w, struct job, work);

    assert_true(pthread_equal(pthread_self(), j->loop_thread));
    assert_false(pthread_equal(pthread_self(), j->on));
    jobs_done++;
}

static void test_pools(void **state)
{
    (void)state;
    enum { JOBS = 1000 };
    struct loop *l = new_loop(), *second = new_loop();
    struct job *jobs = check_calloc(JOBS, sizeof *jobs);

    jobs_done = 0;
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){ .value = i, .loop_thread = pthread_self() };
        jobs[i].work.run = run_job;
        jobs[i].work.on_done = job_done;
        assert_int_equal(
            loop_work(i % 3 ? l : second, i % 2 ? LOOP_POOL_CPU : LOOP_POOL_DISK, &jobs[i].work),
            0);
    }
    loop_free(&second); /* waits for its own */
    assert_int_equal(jobs_done, (JOBS + 2) / 3);
    UNTIL(l, jobs_done == JOBS);
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].value, 2 * i);
    loop_free(&l);
    free(jobs);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void run_behind_gate(struct loop_work *w)
{
    (void)w;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void gate_done(struct loop_work *w)
{
    (void)w;
    jobs_done++;
}

static void test_pool_is_bounded(void **state)
{
    (void)state;
    enum { JOBS = LOOP_POOL_QUEUE_MAX + LOOP_POOL_THREADS + 1 };
    struct loop *l = new_loop();
    struct loop_work *works = check_calloc(JOBS, sizeof *works);
    unsigned taken = 0;

    jobs_done = 0;
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < JOBS; i++) {
        works[i].run = run_behind_gate;
        works[i].on_done = gate_done;
        int err = loop_work(l, LOOP_POOL_CPU, &works[i]);
        if (err)
            assert_int_equal(err, ERR_FULL);
        else
            taken++;
    }
    assert_in_range(taken, LOOP_POOL_QUEUE_MAX, JOBS - 1);
    pthread_mutex_unlock(&gate);
    UNTIL(l, jobs_done == taken);
    loop_free(&l);
    free(works);
}

/* ---- signals ---- */

static void on_signal(void *arg, int signum)
{
    *(int *)arg = signum;
}

static void test_signals(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    int seen = 0;

    assert_int_equal(loop_on_signal(l, SIGUSR1, on_signal, &seen), 0);
    raise(SIGUSR1);
    UNTIL(l, seen == SIGUSR1);
    raise(SIGPIPE); /* does not end us */
    loop_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_order),
        cmocka_unit_test(test_timer_moves),
        cmocka_unit_test(test_moved_timers_keep_their_order_in_a_late_turn),
        cmocka_unit_test(test_timer_stops_another_that_is_due),
        cmocka_unit_test(test_timer_that_starts_itself_holds_nobody_up),
        cmocka_unit_test(test_many_timers),
        cmocka_unit_test(test_idle_restarts_are_cheap),
        cmocka_unit_test(test_letters),
        cmocka_unit_test(test_hooks_run_in_order),
        cmocka_unit_test(test_hook_wishes),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_run_and_stop),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_pool_is_bounded),
        cmocka_unit_test(test_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
