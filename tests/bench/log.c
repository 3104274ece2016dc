/* log - how many proposals a second one group commits, each synced, by how many are in flight.
 *
 * Use: bench_log [DIR]. For 2 KiB and 16 KiB, and 1, 16 and 256 in flight: proposals a second
 * through the whole of raft/, and beside it what bare RocksDB does with synced batches of the size
 * that was reached.
 */
#include <ftw.h>
#include <inttypes.h>
#include <rocksdb/c.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/clock.h"
#include "proto/ground/metric.h"
#include "raft/raft.h"

#define RUN_US       2000000u
#define INFLIGHT_MAX 256
#define CUT_EVERY    1024

struct bench {
    struct raft *raft;
    struct raft_group *group;
    sem_t wake;
    bool leads;
    uint64_t applied, done, cut;
    bool running;
    unsigned in_flight;
    struct raft_proposal proposals[INFLIGHT_MAX];
};

static struct bench bench;
static uint8_t body[16384];

static void on_wake(void *arg)
{
    (void)arg;
    sem_post(&bench.wake);
}

static void on_apply(void *arg, const struct raft_entry *e)
{
    (void)arg;
    bench.applied = e->index;
}

static void on_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    (void)arg;
    (void)term;
    (void)leader;
    bench.leads = role == RAFT_LEADER;
}

static void on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index, uint64_t term)
{
    (void)index;
    (void)term;
    CHECK(answer == RAFT_COMMITTED);
    bench.done++;
    bench.in_flight--;
    if (!bench.running) return;
    CHECK(raft_propose(bench.group, p) == 0);
    bench.in_flight++;
}

static void turn(void)
{
    raft_turn(bench.raft, 0, clock_mono_us() / 1000);
    if (bench.applied > bench.cut + CUT_EVERY) {
        bench.cut = bench.applied;
        raft_group_cut(bench.group, bench.cut);
    }
    if (bench.leads && bench.in_flight == 0) return; /* nothing more will come */
    while (sem_wait(&bench.wake) != 0)
        continue;
}

static void open_raft(const char *dir)
{
    static const struct core_config config = RAFT_ALONE(1);
    const struct raft_loop_port port = { NULL, on_wake };
    const struct raft_machine machine = { .apply = on_apply, .role = on_role };
    struct errmsg why = { "" };

    sem_init(&bench.wake, 0, 0);
    if (raft_open(
            &bench.raft,
            &(struct raft_options){ .dir = dir, .node_id = 1, .loops = &port, .loop_count = 1 },
            NULL, &why) != 0 ||
        raft_group_open(bench.raft, 1, 0, &config, &machine, 0, &bench.group, &why) != 0) {
        fprintf(stderr, "bench_log: %s\n", why.text);
        exit(1);
    }
    while (!bench.leads)
        turn();
}

struct result {
    double per_s, per_batch;
};

static struct result run_raft(size_t size, unsigned in_flight)
{
    uint64_t syncs = metric_get(M_LOG_SYNCS), began = clock_mono_us(), took;
    struct result r;

    bench.done = 0;
    bench.running = true;
    for (bench.in_flight = 0; bench.in_flight < in_flight; bench.in_flight++) {
        struct raft_proposal *p = &bench.proposals[bench.in_flight];

        *p = (struct raft_proposal){ .body = span_of(body, size), .on_done = on_done };
        CHECK(raft_propose(bench.group, p) == 0);
    }
    while ((took = clock_mono_us() - began) < RUN_US)
        turn();
    r.per_s = (double)bench.done * 1e6 / (double)took;
    r.per_batch = (double)bench.done / (double)(metric_get(M_LOG_SYNCS) - syncs);
    bench.running = false;
    while (bench.in_flight > 0)
        turn();
    return r;
}

static double run_rocks(rocksdb_t *db, size_t size, unsigned per_batch)
{
    rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    uint64_t began = clock_mono_us(), took, done = 0;
    static uint64_t key;
    char *error = NULL;

    rocksdb_writeoptions_set_sync(wo, 1);
    while ((took = clock_mono_us() - began) < RUN_US) {
        for (unsigned i = 0; i < per_batch; i++, key++)
            rocksdb_writebatch_put(batch, (const char *)&key, sizeof key, (const char *)body, size);
        rocksdb_write(db, wo, batch, &error);
        CHECK(error == NULL);
        rocksdb_writebatch_clear(batch);
        done += per_batch;
    }
    rocksdb_writebatch_destroy(batch);
    rocksdb_writeoptions_destroy(wo);
    return (double)done * 1e6 / (double)took;
}

static rocksdb_t *open_rocks(const char *dir, rocksdb_options_t *o)
{
    char *error = NULL;
    rocksdb_t *db;

    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_compression(o, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(o, 128u << 20);
    db = rocksdb_open(o, dir, &error);
    CHECK(error == NULL);
    return db;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = { 2048, 16384 };
    static const unsigned in_flights[] = { 1, 16, INFLIGHT_MAX };
    rocksdb_options_t *o = rocksdb_options_create();
    char dir[4096], path[4200];
    rocksdb_t *db;

    snprintf(dir, sizeof dir, "%s/angarium-bench-XXXXXX", argc > 1 ? argv[1] : ".");
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/log", dir);
    open_raft(path);
    snprintf(path, sizeof path, "%s/bare", dir);
    db = open_rocks(path, o);
    printf("%8s %10s %14s %10s %16s\n", "bytes", "in flight", "proposals/s", "a batch",
           "bare RocksDB/s");
    for (unsigned s = 0; s < 2; s++)
        for (unsigned f = 0; f < 3; f++) {
            struct result r = run_raft(sizes[s], in_flights[f]);
            unsigned per_batch = (unsigned)(r.per_batch + 0.5);

            printf("%8zu %10u %14.0f %10.1f %16.0f\n", sizes[s], in_flights[f], r.per_s,
                   r.per_batch, run_rocks(db, sizes[s], per_batch > 0 ? per_batch : 1));
        }
    raft_group_close(&bench.group);
    raft_close(&bench.raft);
    rocksdb_close(db);
    rocksdb_options_destroy(o);
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
