/* outage - 20,000 mails wait for a site that is down for two hours; another site is well.
 *
 * Use: sim_outage [seed]       without a seed: SEEDS of them
 *
 * Two lanes use the router as delivery does: mails sorted by their due time, a slot before each
 * connection, one mail per connection; a connection that fails defers its own mail only. Time goes
 * in ticks. What is promised, and checked at every second:
 * - while the site is down it gets at most PROBES_MAX attempts in all, and after the first minute
 * at most one per second;
 * - when it is back it never gets more attempts per second than its connections can carry;
 * - every mail is delivered, within a time that follows from the longest pause and the pace;
 * - the mails of the other site never wait.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "router/router.h"

#define SEEDS           5
#define TICK_MS         100
#define DOWN_MS         (2 * 3600 * 1000)
#define ARRIVALS_MS     (3600 * 1000)
#define MAILS_DOWN      20000
#define MAILS_WELL      5000
#define TRANSACTION_MS  500
#define PROBES_MAX      80
#define BURST_MS        (60 * 1000) /* until the trouble is known */
#define WELL_WAIT_MS    1000
#define CONNECTIONS_MAX 64
#define NEVER           UINT64_MAX

struct mail {
    uint64_t arrival_ms, due_ms;
    unsigned attempts;
};

/* Mails of one site; heap[0] is due first. */
struct lane {
    const char *site;
    bool is_down_site;
    struct mail *mails;
    unsigned *heap;
    unsigned waiting, delivered, count;
    uint64_t wake_ms; /* not before; NEVER: when a slot is released */
    uint64_t wait_ms_max;
    unsigned attempts_this_second, attempts_per_second_max; /* the maximum: behind the outage */
    unsigned attempts_down;
};

struct connection {
    struct lane *lane; /* NULL: free */
    unsigned mail;
    uint64_t end_ms;
    bool ok;
};

struct sim {
    uint64_t seed, now_ms, failure_ms;
    struct router *router;
    struct router_options options;
    struct lane lanes[2];
    struct connection connections[CONNECTIONS_MAX];
};

static void expect(const struct sim *s, bool fact, const char *promise)
{
    if (fact) return;
    fprintf(stderr, "outage: broken at %.1f s: %s; replay: sim_outage %llu\n",
            (double)s->now_ms / 1000, promise, (unsigned long long)s->seed);
    exit(1);
}

/* ---- the heap */

static bool is_before(const struct lane *l, unsigned a, unsigned b)
{
    return l->mails[l->heap[a]].due_ms < l->mails[l->heap[b]].due_ms;
}

static void swap(struct lane *l, unsigned a, unsigned b)
{
    unsigned t = l->heap[a];

    l->heap[a] = l->heap[b];
    l->heap[b] = t;
}

static void put(struct lane *l, unsigned mail)
{
    unsigned at = l->waiting++;

    l->heap[at] = mail;
    for (; at > 0 && is_before(l, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(l, at, (at - 1) / 2);
}

static unsigned take_first(struct lane *l)
{
    unsigned first = l->heap[0], at = 0;

    l->heap[0] = l->heap[--l->waiting];
    for (;;) {
        unsigned least = at;
        for (unsigned child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < l->waiting && is_before(l, child, least)) least = child;
        if (least == at) return first;
        swap(l, at, least);
        at = least;
    }
}

/* ---- the work of a lane */

static bool is_down(const struct sim *s, const struct lane *l)
{
    return l->is_down_site && s->now_ms < DOWN_MS;
}

static void count_attempt(struct sim *s, struct lane *l)
{
    uint64_t wait_ms = s->now_ms - l->mails[l->heap[0]].due_ms;

    l->attempts_this_second++;
    if (is_down(s, l)) l->attempts_down++;
    if (wait_ms > l->wait_ms_max) l->wait_ms_max = wait_ms;
}

static void connect_one(struct sim *s, struct lane *l)
{
    struct connection *c = s->connections;

    while (c->lane)
        c++;
    CHECK(c < s->connections + CONNECTIONS_MAX);
    count_attempt(s, l);
    c->lane = l;
    c->mail = take_first(l);
    c->ok = !is_down(s, l);
    c->end_ms = s->now_ms + (c->ok ? TRANSACTION_MS : s->failure_ms);
}

static void run_lane(struct sim *s, struct lane *l)
{
    uint64_t until_ms;

    while (l->waiting > 0 && l->mails[l->heap[0]].due_ms <= s->now_ms) {
        if (l->wake_ms > s->now_ms) return;
        switch (router_slot_take(s->router, l->site, s->now_ms, &until_ms)) {
        case ROUTER_SLOT_YES:
            connect_one(s, l);
            break;
        case ROUTER_SLOT_BUSY:
            l->wake_ms = until_ms ? until_ms : NEVER;
            return;
        case ROUTER_SLOT_PAUSED:
            expect(s, until_ms > s->now_ms, "a pause ends in the future");
            l->wake_ms = until_ms;
            return;
        }
    }
}

static void end_connection(struct sim *s, struct connection *c)
{
    struct lane *l = c->lane;
    struct mail *m = &l->mails[c->mail];
    enum router_result result = c->ok ? ROUTER_CONN_OK : ROUTER_CONN_FAILED;

    if (c->ok) {
        l->delivered++;
    } else {
        m->attempts++;
        m->due_ms = router_retry_at_ms(s->router, m->attempts, 0, s->now_ms, NEVER);
        put(l, c->mail);
    }
    c->lane = NULL;
    if (router_slot_release(s->router, l->site, result, s->now_ms)) l->wake_ms = 0;
}

/* ---- what is promised */

static unsigned pace_max(const struct sim *s)
{
    return s->options.site_connections_max * 1000 / TRANSACTION_MS;
}

static void end_second(struct sim *s)
{
    for (unsigned i = 0; i < 2; i++) {
        struct lane *l = &s->lanes[i];
        unsigned n = l->attempts_this_second;
        l->attempts_this_second = 0;
        expect(s, n <= pace_max(s) || is_down(s, l), "no more attempts than slots can carry");
        if (is_down(s, l) && s->now_ms > BURST_MS + s->failure_ms)
            expect(s, n <= 1, "one attempt per second while the site is down");
        if (!is_down(s, l) && n > l->attempts_per_second_max) l->attempts_per_second_max = n;
    }
}

/* The longest pause, the mails at full pace, the last retries of the mails that were probes. */
static uint64_t deadline_ms(const struct sim *s)
{
    return DOWN_MS + s->options.pause_cap_ms + MAILS_DOWN / pace_max(s) * 1000 +
           2 * s->options.retry_cap_ms;
}

static void expect_end(const struct sim *s)
{
    const struct lane *down = &s->lanes[0], *well = &s->lanes[1];

    expect(s, down->delivered == MAILS_DOWN, "every mail is delivered");
    expect(s, well->delivered == MAILS_WELL, "every mail of the other site is delivered");
    expect(s, down->attempts_down <= PROBES_MAX, "few attempts while the site is down");
    expect(s, well->wait_ms_max <= WELL_WAIT_MS, "the other site's mails do not wait");
}

/* ---- the run */

static void fill_lane(struct lane *l, const char *site, unsigned count, struct rng *rng)
{
    *l = (struct lane){ .site = site, .count = count };
    l->mails = check_calloc(count, sizeof *l->mails);
    l->heap = check_calloc(count, sizeof *l->heap);
    for (unsigned i = 0; i < count; i++) {
        l->mails[i].arrival_ms = l->mails[i].due_ms = rng_below(rng, ARRIVALS_MS);
        put(l, i);
    }
}

static void start(struct sim *s, uint64_t seed, uint64_t failure_ms)
{
    struct rng rng;

    *s = (struct sim){ .seed = seed, .failure_ms = failure_ms };
    rng_seed(&rng, seed);
    router_options_default(&s->options);
    s->options.seed = rng_next(&rng);
    s->router = router_new(&s->options);
    fill_lane(&s->lanes[0], "mx.down.example", MAILS_DOWN, &rng);
    fill_lane(&s->lanes[1], "mx.well.example", MAILS_WELL, &rng);
    s->lanes[0].is_down_site = true;
}

/* The worst of all runs. */
struct outcome {
    uint64_t attempts_down, per_second, recovery_ms, well_wait_ms;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void run(uint64_t seed, uint64_t failure_ms, struct outcome *worst)
{
    static struct sim s;
    struct lane *down = &s.lanes[0], *well = &s.lanes[1];

    start(&s, seed, failure_ms);
    for (; down->delivered + well->delivered < MAILS_DOWN + MAILS_WELL; s.now_ms += TICK_MS) {
        expect(&s, s.now_ms < deadline_ms(&s), "all is delivered in time");
        for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
            if (s.connections[i].lane && s.connections[i].end_ms <= s.now_ms)
                end_connection(&s, &s.connections[i]);
        run_lane(&s, down);
        run_lane(&s, well);
        if (s.now_ms % 1000 == 1000 - TICK_MS) end_second(&s);
    }
    expect_end(&s);
    worst->attempts_down = larger(worst->attempts_down, down->attempts_down);
    worst->per_second = larger(worst->per_second, down->attempts_per_second_max);
    worst->recovery_ms = larger(worst->recovery_ms, s.now_ms - DOWN_MS);
    worst->well_wait_ms = larger(worst->well_wait_ms, well->wait_ms_max);
    for (unsigned i = 0; i < 2; i++) {
        free(s.lanes[i].mails);
        free(s.lanes[i].heap);
    }
    router_free(&s.router);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t last = argc > 1 ? first : SEEDS;
    struct outcome worst = { 0 };

    for (uint64_t seed = first; seed <= last; seed++) {
        run(seed, 100, &worst);       /* refused at once */
        run(seed, 30 * 1000, &worst); /* no answer */
    }
    printf("outage: seeds %llu to %llu: at most %llu attempts in 2 h, then %llu per second, "
           "all delivered %llu s after the end; the other site waited %llu ms\n",
           (unsigned long long)first, (unsigned long long)last,
           (unsigned long long)worst.attempts_down, (unsigned long long)worst.per_second,
           (unsigned long long)worst.recovery_ms / 1000, (unsigned long long)worst.well_wait_ms);
    return 0;
}
