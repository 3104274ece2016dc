/* fuzz_main - runs a fuzz target without libFuzzer: the corpus, then mutations of it.
 *
 * Use:  target [-runs=N] [-seed=S] [-max_len=N] [folder or file]...
 *
 * The flags are those of libFuzzer, so that a script calls both in one way; other -name=value flags
 * are ignored. Runs every corpus file as it is, then N inputs that are made from the corpus by bit
 * flips, inserts, deletes and splices. The same seed over the same corpus makes the same inputs:
 * the files are sorted first. Each input stands in memory of exactly its size, so that a sanitizer
 * sees the first byte read too far. When a run fails, its input is written to crash-S-N in the
 * current folder, which is itself a corpus file to call the target with.
 */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "proto/ground/check.h"
#include "proto/ground/rng.h"
#include "proto/ground/span.h"

#define RUNS_DEFAULT  10000u
#define MAX_LEN_MIN   4096u /* inputs grow at least to this, or to the largest corpus file */
#define FILE_SIZE_MAX (64u << 20)
#define MUTATIONS_MAX 8u
#define PATH_SIZE     4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct input {
    uint8_t *p;
    size_t n;
};

struct fuzz {
    uint64_t runs, seed;
    size_t max_len;
    struct rng rng;
    char **paths;
    size_t path_count;
    struct input *corpus; /* same order as paths */
};

/* What runs now: read by the call-backs of a crash only. */
static struct {
    struct input input;
    uint64_t seed, number;
} now;

/* ---- crashes ---- */

static void save_input(void)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "crash-%" PRIu64 "-%" PRIu64, now.seed, now.number);
    fprintf(stderr, "fuzz: failed in input %" PRIu64 " of seed %" PRIu64 ", saved as %s\n",
            now.number, now.seed, path);
    file = fopen(path, "wb");
    if (!file) return;
    fwrite(now.input.p, 1, now.input.n, file);
    fclose(file);
}

static void on_signal(int number)
{
    signal(number, SIG_DFL);
    save_input();
    raise(number);
}

/* A sanitizer's own handler for a bad address knows more than ours. */
static void watch_for_crashes(void)
{
    signal(SIGABRT, on_signal);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(save_input);
        return;
    }
    signal(SIGSEGV, on_signal);
    signal(SIGBUS, on_signal);
    signal(SIGFPE, on_signal);
    signal(SIGILL, on_signal);
}

/* ---- corpus ---- */

static void paths_add(struct fuzz *f, const char *path)
{
    f->paths = check_realloc(f->paths, (f->path_count + 1) * sizeof *f->paths);
    f->paths[f->path_count++] = check_strdup(path);
}

/* Files of the folder, and of those in it; names that start with a dot are left out. */
static void paths_add_tree(struct fuzz *f, const char *path)
{
    char inner[PATH_SIZE];
    struct dirent *entry;
    DIR *dir = opendir(path);

    if (!dir) {
        paths_add(f, path);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        int n = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && n < (int)sizeof inner) paths_add_tree(f, inner);
    }
    closedir(dir);
}

static int path_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct input input_read(const char *path)
{
    struct input in = { NULL, 0 };
    struct stat st;
    FILE *file = fopen(path, "rb");

    if (!file || fstat(fileno(file), &st) != 0 || st.st_size > (off_t)FILE_SIZE_MAX) {
        fprintf(stderr, "fuzz: cannot read %s\n", path);
        exit(2);
    }
    in.p = check_malloc((size_t)st.st_size);
    in.n = fread(in.p, 1, (size_t)st.st_size, file);
    fclose(file);
    return in;
}

static void corpus_read(struct fuzz *f)
{
    if (f->path_count > 0) qsort(f->paths, f->path_count, sizeof *f->paths, path_compare);
    f->corpus = check_calloc(f->path_count, sizeof *f->corpus);
    for (size_t i = 0; i < f->path_count; i++)
        f->corpus[i] = input_read(f->paths[i]);
}

static void corpus_free(struct fuzz *f)
{
    for (size_t i = 0; i < f->path_count; i++) {
        free(f->corpus[i].p);
        free(f->paths[i]);
    }
    free(f->corpus);
    free(f->paths);
}

/* ---- mutations: each changes `in` in place; its memory has room for max_len bytes ---- */

static size_t below(struct fuzz *f, size_t n)
{
    return (size_t)rng_below(&f->rng, n);
}

static void flip_bit(struct fuzz *f, struct input *in)
{
    if (in->n > 0) in->p[below(f, in->n)] ^= (uint8_t)(1u << below(f, 8));
}

/* One of the bytes that end or open something in the grammars of mail, or any. */
static uint8_t pick_byte(struct fuzz *f)
{
    static const uint8_t sharp[] = "\0\r\n\t .,:;<>()[]\"\\@=-%0\x7f\x80\xff";

    return below(f, 2) == 0 ? sharp[below(f, sizeof sharp - 1)] : (uint8_t)below(f, 256);
}

static void set_byte(struct fuzz *f, struct input *in)
{
    if (in->n > 0) in->p[below(f, in->n)] = pick_byte(f);
}

/* Makes room for n bytes at `at`, as far as the limit allows; returns how many. */
static size_t open_gap(struct fuzz *f, struct input *in, size_t at, size_t n)
{
    if (n > f->max_len - in->n) n = f->max_len - in->n;
    memmove(in->p + at + n, in->p + at, in->n - at);
    in->n += n;
    return n;
}

static void insert_bytes(struct fuzz *f, struct input *in)
{
    size_t at = below(f, in->n + 1);
    size_t n = open_gap(f, in, at, 1 + below(f, 8));
    uint8_t byte = pick_byte(f);
    bool is_run = below(f, 2) == 0;

    for (size_t i = 0; i < n; i++)
        in->p[at + i] = is_run ? byte : pick_byte(f);
}

static void delete_bytes(struct fuzz *f, struct input *in)
{
    size_t at, n;

    if (in->n == 0) return;
    at = below(f, in->n);
    n = 1 + below(f, below(f, 4) == 0 ? in->n - at : 1);
    memmove(in->p + at, in->p + at + n, in->n - at - n);
    in->n -= n;
}

/* A piece of another corpus file, put in between. */
static void splice(struct fuzz *f, struct input *in)
{
    const struct input *other;
    size_t at = below(f, in->n + 1), from, n;

    if (f->path_count == 0) return;
    other = &f->corpus[below(f, f->path_count)];
    if (other->n == 0) return;
    from = below(f, other->n);
    n = open_gap(f, in, at, 1 + below(f, other->n - from));
    memcpy(in->p + at, other->p + from, n);
}

static void mutate(struct fuzz *f, struct input *in)
{
    static void (*const ways[])(struct fuzz *, struct input *) = { flip_bit, set_byte, insert_bytes,
                                                                   delete_bytes, splice };
    size_t times = 1 + below(f, MUTATIONS_MAX);

    while (times-- > 0)
        ways[below(f, sizeof ways / sizeof ways[0])](f, in);
}

/* ---- runs ---- */

static void run_one(const uint8_t *p, size_t n)
{
    struct input in = { check_malloc(n), n };

    if (n > 0) memcpy(in.p, p, n);
    now.input = in;
    LLVMFuzzerTestOneInput(in.p, in.n);
    now.input = (struct input){ NULL, 0 };
    now.number++;
    free(in.p);
}

static void run_mutations(struct fuzz *f)
{
    struct input in = { check_malloc(f->max_len), 0 };

    for (uint64_t i = 0; i < f->runs; i++) {
        in.n = 0;
        if (f->path_count > 0) {
            const struct input *base = &f->corpus[below(f, f->path_count)];
            in.n = base->n < f->max_len ? base->n : f->max_len;
            memcpy(in.p, base->p, in.n);
        }
        mutate(f, &in);
        run_one(in.p, in.n);
    }
    free(in.p);
}

/* True when arg is -name=NUMBER; a number that is none leaves the default. */
static bool take_flag(const char *arg, const char *name, uint64_t *out)
{
    size_t n = strlen(name);

    if (strncmp(arg, name, n) != 0) return false;
    (void)span_u64(span_cstr(arg + n), UINT64_MAX, out);
    return true;
}

static void take_arguments(struct fuzz *f, int argc, char **argv)
{
    uint64_t max_len = 0;

    for (int i = 1; i < argc; i++) {
        if (take_flag(argv[i], "-runs=", &f->runs)) continue;
        if (take_flag(argv[i], "-seed=", &f->seed)) continue;
        if (take_flag(argv[i], "-max_len=", &max_len)) continue;
        if (argv[i][0] != '-') paths_add_tree(f, argv[i]);
    }
    corpus_read(f);
    f->max_len = MAX_LEN_MIN;
    for (size_t i = 0; i < f->path_count; i++)
        if (f->corpus[i].n > f->max_len) f->max_len = f->corpus[i].n;
    if (max_len > 0) f->max_len = (size_t)max_len;
}

int main(int argc, char **argv)
{
    struct fuzz f = { .runs = RUNS_DEFAULT, .seed = 1 };

    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
    take_arguments(&f, argc, argv);
    rng_seed(&f.rng, f.seed);
    now.seed = f.seed;
    watch_for_crashes();
    for (size_t i = 0; i < f.path_count; i++)
        run_one(f.corpus[i].p, f.corpus[i].n);
    run_mutations(&f);
    printf("fuzz: %zu files, %" PRIu64 " mutations, ok\n", f.path_count, f.runs);
    corpus_free(&f);
    return 0;
}
