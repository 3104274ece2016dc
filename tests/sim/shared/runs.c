/* runs - runs seeds, says how fast, hashes and prints what happened: runs.h. */
#include "tests/sim/shared/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/ground/span.h"

#define TWICE_EACH 16u

struct total {
    uint64_t runs, us, events;
};

static uint64_t run(const struct runs *r, uint64_t seed, bool loud, struct total *t)
{
    struct run_facts f = r->run(seed, loud);

    t->runs++;
    t->us += f.us;
    t->events += f.events;
    return f.hash;
}

static void run_twice(const struct runs *r, uint64_t seed, struct total *t)
{
    if (run(r, seed, false, t) == run(r, seed, false, t)) return;
    fprintf(stderr, "seed %llu: two runs differ, something is not decided by the seed\n",
            (unsigned long long)seed);
    exit(1);
}

static void report(const struct runs *r, const struct total *t, clock_t began)
{
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC + 1e-9;

    printf("%llu runs: ", (unsigned long long)t->runs);
    r->report();
    printf("%llu runs ok, %.0f a second, %.0f events/s, %.2f h simulated in %.1f s: %.0f simulated "
           "hours an hour\n",
           (unsigned long long)t->runs, (double)t->runs / seconds, (double)t->events / seconds,
           (double)t->us / 3.6e9, seconds, (double)t->us / 1e6 / seconds);
}

static _Noreturn void refuse(const struct runs *r, const char *what)
{
    fprintf(stderr, "%s: %s: run FIRST COUNT, kept FILE, seed SEED\n", r->name, what);
    exit(2);
}

static uint64_t number(const struct runs *r, const char *text)
{
    uint64_t n;

    if (span_u64(span_cstr(text), UINT64_MAX, &n) != 0) refuse(r, "a number is missing");
    return n;
}

static void run_range(const struct runs *r, uint64_t first, uint64_t count)
{
    struct total t = { 0 };
    clock_t began = clock();

    for (uint64_t seed = first; seed < first + count; seed++) {
        if (seed % TWICE_EACH == 0)
            run_twice(r, seed, &t);
        else
            run(r, seed, false, &t);
    }
    printf("seeds %llu to %llu\n", (unsigned long long)first,
           (unsigned long long)(first + count - 1));
    report(r, &t, began);
}

static void run_kept(const struct runs *r, const char *path)
{
    struct total t = { 0 };
    clock_t began = clock();
    char line[512];
    FILE *f = fopen(path, "r");

    if (!f) refuse(r, "the file cannot be read");
    while (fgets(line, sizeof line, f)) {
        struct span word = span_cstr(line);
        uint64_t seed;

        word.n = span_find(word, 0, ' ');
        if (span_u64(word, UINT64_MAX, &seed) == 0) run_twice(r, seed, &t);
    }
    fclose(f);
    report(r, &t, began);
}

static void run_loud(const struct runs *r, uint64_t seed)
{
    struct total t = { 0 };
    uint64_t hash = run(r, seed, true, &t);

    printf("ok, hash %016llx, %.1f s\n", (unsigned long long)hash, (double)t.us / 1e6);
}

int runs_main(const struct runs *r, int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "run") == 0 && argc == 4)
        run_range(r, number(r, argv[2]), number(r, argv[3]));
    else if (strcmp(what, "kept") == 0 && argc == 3)
        run_kept(r, argv[2]);
    else if (strcmp(what, "seed") == 0 && argc == 3)
        run_loud(r, number(r, argv[2]));
    else
        refuse(r, "what to do");
    return 0;
}

uint64_t runs_mix(uint64_t hash, uint64_t now_us, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t parts[] = { now_us, a, b, c };

    for (unsigned i = 0; i < 4; i++) {
        hash ^= parts[i];
        hash *= UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return hash;
}

void runs_say(uint64_t now_us, const char *format, va_list args)
{
    printf("%10.6f ", (double)now_us / 1e6);
    vprintf(format, args);
    printf("\n");
}
