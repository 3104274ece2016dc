/* raft_cluster - three nodes, three processes on this machine: RocksDB, TLS, everything as in production.
 *
 *   bench_raft_cluster load [--dir DIR] [--seconds N] [--groups N] [--bytes N] [--flight N] [--others DIR] [--json]
 *       committed entries a second of 1 KiB and 16 KiB at 1, 16 and 256 groups (or those that are named), with latencies,
 *       beside one RocksDB that writes the same batches synced, and three of them at once; CPU (leader, a follower),
 *       switches of 1,000 entries and frames an entry of the leader. --flight: proposals on their way, in all. --others: the
 *       followers' logs are there: on a disk of their own, as nodes have it, or in memory, which leaves the leader's disk to
 *       the leader
 *   bench_raft_cluster elect [--dir DIR] [--times N]
 *       from the death (SIGKILL), and from the silence (SIGSTOP: to the others the same as a cut cable), of the node that
 *       leads until the others are told, and another one leads
 *   bench_raft_cluster idle [--dir DIR] [--groups N] [--seconds N]
 *       what groups at rest cost, beside nodes without any
 *
 * Node 1 is preferred and leads all groups of "load". A node is a fork of this program, from a process that has never called
 * the wire. What nodes tell goes through shared memory.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <rocksdb/c.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "proto/ground/metric.h"
#include "raft/raft.h"
#include "tests/unit/raft/wire/rig.h"

#define NODES      3
#define GROUPS_MAX 10000
#define FLIGHT_MAX 4096
#define CUT_BYTES  (16u << 20) /* of all groups: the log holds two of it, as a node's */
#define SAMPLES    200000

struct cost { /* of a node, in the window */
    double cpu_us, switches, turns, frames, resident;
};
struct shared { /* between the processes */
    atomic_uint ports[NODES + 1];
    atomic_uint leads[NODES + 1]; /* groups that a node leads, ready */
    atomic_uint rests[NODES + 1]; /* groups that rest on a node, when it last looked */
    _Atomic uint64_t
        down_us[NODES + 1][NODES + 1]; /* node, other: when its control lane was told down; */
    _Atomic uint64_t gone_us[NODES + 1][NODES + 1]; /* when loop 0 knew the node down */
    _Atomic uint64_t led_us[NODES + 1];             /* when it began to lead the last one */
    atomic_uint stop, done;
    atomic_uint window; /* 1: what nodes cost is counted; 2: no more */
    struct cost costs[NODES + 1];
    double entries, per_s, per_batch, syncs_per_s, p50, p99, p999;
    double bare[NODES];
};
static struct shared *shared;
static struct pki pki;
static struct {
    const char *dir, *others;
    unsigned seconds, groups, bytes, flight, times;
    bool json;
} o = { .dir = ".", .flight = 1024, .times = 50 };
static char base[4096];
static char others[4096]; /* where the logs of nodes 2 and 3 are; "": there too */

struct group {
    struct raft_group *group;
    uint64_t applied, cut_next;
    bool leads;
};
struct flight {
    struct raft_proposal p;
    struct group *group;
    uint64_t left_us;
};
static struct node {
    struct raft *raft;
    struct wire *wire;
    unsigned number, group_count;
    struct group groups[GROUPS_MAX];
    sem_t wake;
    uint64_t next_ms;
    bool running;
    unsigned in_flight, window;
    struct wire_events events; /* the library's */
    bool knows_gone[NODES + 1];
    struct cost at_begin;
    uint64_t answered, turns, uncut_bytes;
    uint32_t samples[SAMPLES];
    struct flight flights[FLIGHT_MAX];
} node;
static uint8_t body[16384];
static size_t memtable_bytes; /* of the log; 0: the library's own */

/* ---- a node */

static void node_dir(unsigned number, char out[4200])
{
    snprintf(out, 4200, "%s/node%u", number > 1 && others[0] ? others : base, number);
}

static void on_wake(void *arg)
{
    (void)arg;
    sem_post(&node.wake);
}

static void on_apply(void *arg, const struct raft_entry *e)
{
    ((struct group *)arg)->applied = e->index;
    node.uncut_bytes += e->body.n;
}

static void on_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    struct group *g = arg;

    (void)term;
    (void)leader;
    if (g->leads == (role == RAFT_LEADER)) return;
    g->leads = role == RAFT_LEADER;
    if (g->leads) {
        atomic_store(&shared->led_us[node.number], clock_mono_us());
        atomic_fetch_add(&shared->leads[node.number], 1);
    } else {
        atomic_fetch_sub(&shared->leads[node.number], 1);
    }
}

static void on_peer(void *arg, const struct wire_link *link)
{
    if (link->lane == WIRE_CONTROL && !link->up)
        atomic_store(&shared->down_us[node.number][link->node], clock_mono_us());
    node.events.on_peer(arg, link);
}

static void open_wire(uint64_t incarnation)
{
    char name[16], certificate[PKI_PATH_SIZE], key[PKI_PATH_SIZE], ca[PKI_PATH_SIZE], listen[32];
    struct errmsg why = { "" };
    struct wire_options w = { .node = node.number,
                              .incarnation = incarnation,
                              .format_min = 1,
                              .format_max = 1,
                              .listen = listen,
                              .events = raft_wire_events(node.raft) };

    snprintf(name, sizeof name, "node%u", node.number);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", atomic_load(&shared->ports[node.number]));
    node.events = w.events;
    w.events.on_peer = on_peer;
    w.certificate = pki_path(&pki, name, "pem", certificate);
    w.key = pki_path(&pki, name, "key", key);
    w.ca = pki_path(&pki, "ca", "pem", ca);
    memcpy(w.cluster, rig_cluster, sizeof rig_cluster);
    if (wire_open(&node.wire, &w, &why) != 0) {
        fprintf(stderr, "node %u: %s\n", node.number, why.text);
        _exit(1);
    }
    atomic_store(&shared->ports[node.number], wire_port(node.wire));
    raft_wire_attach(node.raft, node.wire);
}

/* Ports are any that are free: each waits until the others have theirs. */
static void meet(void)
{
    for (unsigned i = 1; i <= NODES; i++) {
        struct wire_peer peer = { .node = i };

        if (i == node.number) continue;
        while (atomic_load(&shared->ports[i]) == 0)
            usleep(1000);
        snprintf(peer.address, sizeof peer.address, "127.0.0.1:%u", atomic_load(&shared->ports[i]));
        CHECK(wire_peer(node.wire, &peer) == 0);
    }
}

static double resident(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long all = 0, pages = 0;

    malloc_trim(0); /* what a burst has left behind, free, is nobody's */
    if (!f || fscanf(f, "%lu %lu", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void open_node(unsigned number, unsigned groups, uint64_t incarnation, bool is_preferred)
{
    struct core_config config = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3);
    struct raft_loop_port port = { NULL, on_wake };
    struct raft_options r = { .node_id = number,
                              .incarnation = incarnation,
                              .loops = &port,
                              .loop_count = 1,
                              .seed = number + incarnation * 100 };
    struct errmsg why = { "" };
    char dir[4200];
    int rv;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (groups >
        1000) /* all begin at once: on a busy machine a turn takes longer than 500 ms then */
        r.times = (struct raft_times){ .suspect_ms = 10000, .election_ms = 5000 };
    node_dir(number, dir);
    r.dir = dir;
    r.memtable_bytes = memtable_bytes;
    node.number = number;
    node.group_count = groups;
    config.members[0].priority = is_preferred ? 9 : 1;
    sem_init(&node.wake, 0, 0);
    atomic_store(&shared->leads[number], 0);
    rv = raft_open(&node.raft, &r, NULL, &why);
    if (rv == 0) open_wire(incarnation);
    for (unsigned i = 0; i < groups && rv == 0; i++) {
        struct raft_machine m = { .arg = &node.groups[i], .apply = on_apply, .role = on_role };

        rv = raft_group_open(node.raft, i + 1, 0, &config, &m, 0, &node.groups[i].group, &why);
    }
    if (rv != 0) {
        fprintf(stderr, "node %u: %s\n", number, why.text);
        _exit(1);
    }
    meet();
}

/* Up to what was applied at the last cut: what has come since is the peers' reach. */
static void cut(void)
{
    if (node.uncut_bytes < CUT_BYTES) return;
    node.uncut_bytes = 0;
    for (unsigned i = 0; i < node.group_count; i++) {
        struct group *g = &node.groups[i];

        if (g->cut_next > 0) raft_group_cut(g->group, g->cut_next);
        g->cut_next = g->applied;
    }
}

static struct cost cost_now(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (struct cost){ (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
                              (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec),
                          (double)(u.ru_nvcsw + u.ru_nivcsw), (double)node.turns,
                          (double)metric_get(M_RAFT_FRAMES_SENT), 0 };
}

static void look_at_window(void)
{
    unsigned window = atomic_load(&shared->window);
    struct cost c;

    if (window == node.window) return;
    node.window = window;
    c = cost_now();
    if (window == 1) node.at_begin = c;
    if (window == 2)
        shared->costs[node.number] =
            (struct cost){ c.cpu_us - node.at_begin.cpu_us, c.switches - node.at_begin.switches,
                           c.turns - node.at_begin.turns, c.frames - node.at_begin.frames,
                           resident() };
}

/* When the core has been told of a node that is gone. */
static void look_at_peers(void)
{
    for (unsigned i = 1; i <= NODES; i++) {
        struct raft_peer_view v;
        bool gone;

        if (i == node.number || !raft_peer_see(node.raft, i, &v)) continue;
        gone = !v.up;
        if (gone && !node.knows_gone[i])
            atomic_store(&shared->gone_us[node.number][i], clock_mono_us());
        node.knows_gone[i] = gone;
    }
}

static void turn(void)
{
    uint64_t next, now;
    struct timespec until;

    node.turns++;
    look_at_window();
    next = raft_turn(node.raft, 0, clock_mono_us() / 1000);
    look_at_peers();
    cut();
    now = clock_mono_us() / 1000;
    if (next > now + 1000) next = now + 1000;
    until = (struct timespec){ (time_t)(next / 1000), (long)(next % 1000) * 1000000 };
    while (sem_clockwait(&node.wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
        continue;
    while (sem_trywait(&node.wake) == 0)
        continue;
}

/* ---- load */

static void propose(struct flight *f);

static void on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index, uint64_t term)
{
    struct flight *f = CONTAINER_OF(p, struct flight, p);

    (void)index;
    (void)term;
    CHECK(answer == RAFT_COMMITTED);
    node.in_flight--;
    if (node.answered < SAMPLES)
        node.samples[node.answered] = (uint32_t)(clock_mono_us() - f->left_us);
    node.answered++;
    if (node.running) propose(f);
}

static void propose(struct flight *f)
{
    f->left_us = clock_mono_us();
    CHECK(raft_propose(f->group->group, &f->p) == 0);
    node.in_flight++;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile(double p)
{
    uint64_t n = node.answered < SAMPLES ? node.answered : SAMPLES;

    return n ? node.samples[(size_t)((double)(n - 1) * p)] / 1000.0 : 0;
}

static void load(size_t size, uint64_t run_us)
{
    uint64_t syncs, began, took;

    while (atomic_load(&shared->leads[1]) < node.group_count)
        turn();
    node.running = true;
    for (unsigned i = 0; i < o.flight; i++) {
        node.flights[i] =
            (struct flight){ .group = &node.groups[i % node.group_count],
                             .p = { .body = span_of(body, size), .on_done = on_done } };
        propose(&node.flights[i]);
    }
    for (began = clock_mono_us(); clock_mono_us() - began < run_us / 4;) /* warm */
        turn();
    node.answered = 0;
    syncs = metric_get(M_LOG_SYNCS);
    atomic_store(&shared->window, 1);
    began = clock_mono_us();
    while ((took = clock_mono_us() - began) < run_us)
        turn();
    atomic_store(&shared->window, 2);
    shared->entries = (double)node.answered;
    shared->syncs_per_s = (double)(metric_get(M_LOG_SYNCS) - syncs) * 1e6 / (double)took;
    shared->per_s = (double)node.answered * 1e6 / (double)took;
    shared->per_batch = (double)node.answered / (double)(metric_get(M_LOG_SYNCS) - syncs);
    node.running = false;
    while (node.in_flight > 0)
        turn();
    qsort(node.samples, node.answered < SAMPLES ? node.answered : SAMPLES, sizeof node.samples[0],
          by_number);
    shared->p50 = percentile(0.5);
    shared->p99 = percentile(0.99);
    shared->p999 = percentile(0.999);
}

static pid_t fork_node(unsigned number, unsigned groups, uint64_t incarnation, bool is_preferred,
                       size_t size, uint64_t run_us)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid > 0) return pid;
    open_node(number, groups, incarnation, is_preferred);
    if (size > 0 && number == 1) {
        load(size, run_us);
        atomic_store(&shared->done, 1);
    }
    while (!atomic_load(&shared->stop))
        turn();
    _exit(0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void clear(void)
{
    for (unsigned i = 1; i <= NODES; i++) {
        char dir[4200];

        node_dir(i, dir);
        nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    memset(shared, 0, sizeof *shared);
}

/* ---- bare RocksDB: the same batches */

static double run_rocks(unsigned number, size_t size, unsigned per_batch, uint64_t run_us)
{
    rocksdb_options_t *opts = rocksdb_options_create();
    rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    uint64_t began, took, done = 0, key = 0;
    char dir[4200], *error = NULL;
    rocksdb_t *db;

    snprintf(dir, sizeof dir, "%s/bare%u", base, number);
    rocksdb_options_set_create_if_missing(opts, 1);
    rocksdb_options_set_compression(opts, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(opts, 128u << 20);
    db = rocksdb_open(opts, dir, &error);
    CHECK(error == NULL);
    rocksdb_writeoptions_set_sync(wo, 1);
    began = clock_mono_us();
    while ((took = clock_mono_us() - began) < run_us) {
        for (unsigned i = 0; i < per_batch; i++, key++)
            rocksdb_writebatch_put(batch, (const char *)&key, sizeof key, (const char *)body, size);
        rocksdb_write(db, wo, batch, &error);
        CHECK(error == NULL);
        rocksdb_writebatch_clear(batch);
        done += per_batch;
    }
    rocksdb_writebatch_destroy(batch);
    rocksdb_writeoptions_destroy(wo);
    rocksdb_close(db);
    rocksdb_options_destroy(opts);
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return (double)done * 1e6 / (double)took;
}

/* What the machine can do at most: three of them share its disk and its cores, as the nodes do. */
static double run_three(size_t size, unsigned per_batch, uint64_t run_us)
{
    double least = 0;

    for (unsigned i = 0; i < NODES; i++) {
        if (fork() != 0) continue;
        shared->bare[i] = run_rocks(i, size, per_batch, run_us);
        _exit(0);
    }
    for (unsigned i = 0; i < NODES; i++)
        wait(NULL);
    for (unsigned i = 0; i < NODES; i++)
        if (i == 0 || shared->bare[i] < least) least = shared->bare[i];
    return least;
}

static pid_t run_one(size_t size, unsigned per_batch, uint64_t run_us)
{
    pid_t pid = fork();

    if (pid == 0) {
        shared->bare[0] = run_rocks(0, size, per_batch, run_us);
        _exit(0);
    }
    return pid;
}

static void measure(unsigned groups, size_t size, uint64_t run_us)
{
    pid_t pids[NODES + 1];
    unsigned per_batch;
    double bare, three;
    const struct cost *c = shared->costs;

    clear();
    for (unsigned i = 1; i <= NODES; i++)
        pids[i] = fork_node(i, groups, 1, true, size, run_us);
    for (unsigned i = 0; i < 60000 && !atomic_load(&shared->done); i++)
        usleep(1000);
    atomic_store(&shared->stop, 1);
    for (unsigned i = 1; i <= NODES; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    if (!atomic_load(&shared->done)) {
        printf("%6u %8zu   not done in a minute\n", groups, size);
        return;
    }
    per_batch = (unsigned)(shared->per_batch + 0.5);
    if (per_batch == 0) per_batch = 1;
    waitpid(run_one(size, per_batch, run_us / 2), NULL, 0);
    bare = shared->bare[0];
    three = run_three(size, per_batch, run_us / 2);
    if (o.json) {
        printf("{\"groups\": %u, \"bytes\": %zu, \"flight\": %u, \"per_s\": %.0f, \"batch\": %.1f, "
               "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"bare_per_s\": %.0f, \"three_per_s\": %.0f}\n",
               groups, size, o.flight, shared->per_s, shared->per_batch, shared->p50, shared->p99,
               bare, three);
        fflush(stdout);
        return;
    }
    printf("%6u %6zu %8.0f %6.1f %7.0f %7.2f %7.2f %7.2f %7.0f %6.0f %6.0f %6.2f %9.0f %5.0f %% "
           "%9.0f %5.0f %%\n",
           groups, size, shared->per_s, shared->per_batch, shared->syncs_per_s, shared->p50,
           shared->p99, shared->p999, c[1].cpu_us / shared->entries, c[2].cpu_us / shared->entries,
           1000 * c[1].switches / shared->entries, c[1].frames / shared->entries, bare,
           100 * shared->per_s / bare, three, 100 * shared->per_s / three);
    fflush(stdout);
}

static void load_all(void)
{
    static const unsigned groups[] = { 1, 16, 256 };
    static const size_t sizes[] = { 1024, 16384 };
    uint64_t run_us = (o.seconds ? o.seconds : 4) * 1000000u;

    if (!o.json)
        printf("%6s %6s %8s %6s %7s %7s %7s %7s %7s %6s %6s %6s %9s %7s %9s %7s\n", "groups",
               "bytes", "per s", "batch", "syncs/s", "p50 ms", "p99 ms", "p99.9", "cpu us", "foll.",
               "sw/k", "frames", "bare/s", "of it", "3 bare/s", "of it");
    for (unsigned s = 0; s < (o.bytes ? 1 : 2); s++)
        for (unsigned g = 0; g < (o.groups ? 1 : 3); g++)
            measure(o.groups ? o.groups : groups[g], o.bytes ? o.bytes : sizes[s], run_us);
}

/* ---- elections */

static unsigned wait_for_leader(unsigned gone)
{
    for (unsigned ms = 0; ms < 20000; ms++) {
        for (unsigned i = 1; i <= NODES; i++)
            if (i != gone && atomic_load(&shared->leads[i]) > 0) return i;
        usleep(200);
    }
    fprintf(stderr, "nobody leads\n");
    exit(1);
}

static void print_times(const char *what, uint32_t *us, unsigned n)
{
    qsort(us, n, sizeof us[0], by_number);
    printf("%-46s %5u times: p50 %6.1f ms, p99 %6.1f ms, most %6.1f ms\n", what, n,
           us[n / 2] / 1000.0, us[n * 99 / 100] / 1000.0, us[n - 1] / 1000.0);
    fflush(stdout);
}

static void elect(unsigned times, bool is_killed)
{
    static uint32_t took[10000], down[2 * 10000], gone[2 * 10000];
    pid_t pids[NODES + 1];
    uint64_t incarnation = 1;
    unsigned told = 0;

    clear();
    for (unsigned i = 1; i <= NODES; i++)
        pids[i] = fork_node(i, 1, 1, false, 0, 0);
    for (unsigned k = 0; k < times; k++) {
        unsigned leader = wait_for_leader(0), next;
        uint64_t began;

        usleep(700000 + 1000 * (k * 37 % 600)); /* followers are in step, at rest or not yet */
        leader = wait_for_leader(0);
        began = clock_mono_us();
        kill(pids[leader], is_killed ? SIGKILL : SIGSTOP);
        next = wait_for_leader(leader);
        took[k] = (uint32_t)(atomic_load(&shared->led_us[next]) - began);
        for (unsigned i = 1; is_killed && i <= NODES; i++) {
            uint64_t a = atomic_load(&shared->down_us[i][leader]);
            uint64_t b = atomic_load(&shared->gone_us[i][leader]);

            if (i == leader || a < began || b < began) continue;
            down[told] = (uint32_t)(a - began);
            gone[told++] = (uint32_t)(b - began);
        }
        if (is_killed) {
            waitpid(pids[leader], NULL, 0);
            pids[leader] = fork_node(leader, 1, ++incarnation, false, 0, 0);
        } else {
            kill(pids[leader], SIGCONT);
        }
    }
    for (unsigned i = 1; i <= NODES; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    print_times(is_killed ? "another one leads after SIGKILL of the leader:"
                          : "another one leads after silence of the leader:",
                took, times);
    if (told == 0) return;
    print_times("  until a lane was told down:", down, told);
    print_times("  until the core knew:", gone, told);
}

/* ---- idle groups */

static unsigned count_resting(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < node.group_count; i++) {
        struct raft_group_view v;

        raft_group_see(node.groups[i].group, &v);
        n += v.resting;
    }
    return n;
}

/* A node of the idle ones: tells how many of its groups rest until all do. */
static void rest_node(unsigned number, unsigned groups)
{
    uint64_t look_ms = 0;

    open_node(number, groups, 1, true);
    while (!atomic_load(&shared->stop)) {
        uint64_t now_ms = clock_mono_us() / 1000;

        turn();
        if (now_ms < look_ms || atomic_load(&shared->rests[number]) == groups) continue;
        look_ms = now_ms + 500;
        atomic_store(&shared->rests[number], count_resting());
    }
    _exit(0);
}

static unsigned all_resting(void)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= NODES; i++)
        n += atomic_load(&shared->rests[i]);
    return n;
}

static void measure_window(unsigned seconds)
{
    atomic_store(&shared->window, 1);
    sleep(seconds);
    atomic_store(&shared->window, 2);
    sleep(2); /* each has had a turn */
}

/* Returns the bytes that a node has resident. */
static double idle(unsigned groups, unsigned seconds, double empty)
{
    pid_t pids[NODES + 1];
    uint64_t began = clock_mono_us();

    clear();
    /* What is as large without groups is none of their cost: the log's buffer, heaps that threads have for themselves. */
    memtable_bytes = 1u << 20;
    mallopt(M_ARENA_MAX, 1);
    for (unsigned i = 1; i <= NODES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) rest_node(i, groups);
    }
    for (unsigned ms = 0; ms < 120000 && all_resting() < NODES * groups; ms += 100)
        usleep(100000);
    printf("%u groups on each of %u nodes: %u of %u rest after %.1f s\n", groups, NODES,
           all_resting(), NODES * groups, (double)(clock_mono_us() - began) / 1e6);
    measure_window(seconds);
    for (unsigned i = 1; i <= NODES; i++)
        printf("node %u (leads %u): %.2f %% of a core, %.0f turns, %.0f frames and %.0f switches a "
               "second, "
               "%.0f bytes a group resident\n",
               i, atomic_load(&shared->leads[i]), shared->costs[i].cpu_us / 1e4 / seconds,
               shared->costs[i].turns / seconds, shared->costs[i].frames / seconds,
               shared->costs[i].switches / seconds,
               groups ? (shared->costs[i].resident - empty) / groups : 0);
    for (unsigned i = 1; i <= NODES; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    return shared->costs[1].resident;
}

static void make_keys(void)
{
    pki_begin(&pki);
    pki_make(&pki, NULL, "ca", NULL, -60, 86400);
    for (unsigned i = 1; i <= NODES; i++) {
        char name[16], uri[WIRE_NAME_SIZE], sans[WIRE_NAME_SIZE + 8];

        snprintf(name, sizeof name, "node%u", i);
        wire_name(uri, rig_cluster, i);
        snprintf(sans, sizeof sans, "URI:%s", uri);
        pki_make(&pki, "ca", name, sans, -60, 86400);
    }
}

static int usage(void)
{
    fprintf(
        stderr,
        "bench_raft_cluster load [--dir DIR] [--seconds N] [--groups N] [--bytes N] [--flight N] "
        "[--others DIR] [--json]\n"
        "                   elect [--dir DIR] [--times N]\n"
        "                   idle [--dir DIR] [--groups N] [--seconds N]\n");
    return 2;
}

static unsigned number(unsigned most)
{
    uint64_t v;

    if (span_u64(span_cstr(optarg), most, &v) != 0 || v == 0) exit(usage());
    return (unsigned)v;
}

static void read_options(int argc, char **argv)
{
    static const struct option options[] = {
        { "dir", 1, NULL, 'd' },    { "others", 1, NULL, 'o' }, { "seconds", 1, NULL, 's' },
        { "groups", 1, NULL, 'g' }, { "bytes", 1, NULL, 'b' },  { "flight", 1, NULL, 'f' },
        { "times", 1, NULL, 't' },  { "json", 0, NULL, 'j' },   { NULL, 0, NULL, 0 }
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'd':
            o.dir = optarg;
            break;
        case 'o':
            o.others = optarg;
            break;
        case 's':
            o.seconds = number(3600);
            break;
        case 'g':
            o.groups = number(GROUPS_MAX);
            break;
        case 'b':
            o.bytes = number(sizeof body);
            break;
        case 'f':
            o.flight = number(FLIGHT_MAX);
            break;
        case 't':
            o.times = number(10000);
            break;
        case 'j':
            o.json = true;
            break;
        default:
            exit(usage());
        }
    }
    if (optind + 1 != argc) exit(usage());
}

static void make_place(const char *in, char out[4096])
{
    snprintf(out, 4096, "%s/angarium-bench-XXXXXX", in);
    if (mkdtemp(out)) return;
    fprintf(stderr, "%s: %s\n", in, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    const char *what;
    int status = 0;

    read_options(argc, argv);
    what = argv[optind];
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    make_place(o.dir, base);
    if (o.others) make_place(o.others, others);
    make_keys();
    if (strcmp(what, "load") == 0) {
        load_all();
    } else if (strcmp(what, "idle") == 0) {
        unsigned seconds = o.seconds ? o.seconds : 10;

        idle(o.groups ? o.groups : GROUPS_MAX, seconds, idle(0, seconds, 0));
    } else if (strcmp(what, "elect") == 0) {
        elect(o.times, true);
        elect(o.times, false);
    } else {
        status = usage();
    }
    clear();
    pki_end(&pki);
    if (others[0]) rmdir(others);
    rmdir(base);
    return status;
}
