/* lanes - frames a second between two nodes, two processes on this machine, through raft/wire with TLS.
 *
 *   bench_lanes [FRAME-BYTES [SECONDS [LANES]]]    as many as go, one way, on 1 lane (log) or 2 (and bulk); 16384, 3, 1
 *   bench_lanes trip [FRAME-BYTES [TIMES]]         one frame there and back at a time, on the control lane; 64, 20000
 *
 * The receiver is this program again: "bench_lanes receive DIR PORT ECHOES".
 */
#include <fcntl.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "proto/ground/log.h"
#include "tests/unit/raft/wire/rig.h"

extern char **environ;

static struct wire *wire;
static _Atomic(uint64_t) came_frames, came_bytes;
static atomic_uint lanes_up;
static bool echoes;
static sem_t came, room;

static uint64_t number(const char *text)
{
    uint64_t v = 0;

    if (span_u64(span_cstr(text), UINT64_MAX, &v) != 0) {
        fprintf(stderr, "%s is no number\n", text);
        exit(2);
    }
    return v;
}

/* ---- both ends */

static bool on_frame(void *arg, uint64_t peer, enum wire_lane lane, struct blob *frame)
{
    (void)arg;
    atomic_fetch_add_explicit(&came_frames, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&came_bytes, frame->n, memory_order_relaxed);
    if (echoes) wire_send(wire, peer, lane, frame);
    blob_unref(&frame);
    if (!echoes) sem_post(&came);
    return true;
}

static void on_peer(void *arg, const struct wire_link *link)
{
    (void)arg;
    if (link->up) atomic_fetch_add(&lanes_up, 1);
}

static void on_room(void *arg, uint64_t peer, enum wire_lane lane)
{
    (void)arg;
    (void)peer;
    (void)lane;
    sem_post(&room);
}

static void open_node(const struct pki *p, uint64_t self, uint64_t peer, unsigned port)
{
    char name[16], certificate[PKI_PATH_SIZE], key[PKI_PATH_SIZE], ca[PKI_PATH_SIZE];
    struct wire_peer other = { .node = peer };
    struct errmsg why = { "" };
    struct wire_options o = { .node = self,
                              .incarnation = 1,
                              .format_min = 1,
                              .format_max = 1,
                              .listen = "127.0.0.1:0",
                              .events = { NULL, on_frame, on_peer, on_room } };

    snprintf(name, sizeof name, "node%u", (unsigned)self);
    o.certificate = pki_path(p, name, "pem", certificate);
    o.key = pki_path(p, name, "key", key);
    o.ca = pki_path(p, "ca", "pem", ca);
    memcpy(o.cluster, rig_cluster, sizeof rig_cluster);
    if (wire_open(&wire, &o, &why) != 0) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    snprintf(other.address, sizeof other.address, "127.0.0.1:%u", port ? port : 1);
    CHECK(wire_peer(wire, &other) == 0);
}

static uint64_t cpu_ms(int who)
{
    struct rusage u;

    getrusage(who, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* ---- the receiver: until the sender closes its standard input; then what it counted */

static int receive(char **argv)
{
    struct pki p;
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(p.dir, sizeof p.dir, "%s", argv[2]);
    echoes = number(argv[4]) != 0;
    open_node(&p, 1, 2, (unsigned)number(argv[3]));
    while (read(STDIN_FILENO, &byte, 1) == 1) { /* asked: how much came so far */
        uint64_t now[2] = { atomic_load(&came_bytes), cpu_ms(RUSAGE_SELF) };

        if (write(STDOUT_FILENO, now, sizeof now) < 0) break;
    }
    wire_close(&wire);
    return 0;
}

struct receiver {
    pid_t pid;
    int ask, answer;
};

static void receiver_start(struct receiver *r, const struct pki *p, bool echo)
{
    char program[] = "bench_lanes", role[] = "receive", dir[64], port[8],
         mode[2] = { echo ? '1' : '0' };
    char *argv[] = { program, role, dir, port, mode, NULL };
    posix_spawn_file_actions_t actions;
    int in[2], out[2];

    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    snprintf(dir, sizeof dir, "%s", p->dir);
    snprintf(port, sizeof port, "%u", wire_port(wire));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    CHECK(posix_spawn(&r->pid, "/proc/self/exe", &actions, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    r->ask = in[1];
    r->answer = out[0];
}

static void receiver_ask(const struct receiver *r, uint64_t now[2])
{
    CHECK(write(r->ask, "?", 1) == 1);
    CHECK(read(r->answer, now, 2 * sizeof now[0]) == 2 * sizeof now[0]);
}

static void receiver_end(struct receiver *r)
{
    close(r->ask);
    waitpid(r->pid, NULL, 0);
    close(r->answer);
}

static void wait_for_lanes(void)
{
    while (atomic_load(&lanes_up) < WIRE_LANES) {
        struct timespec t = { .tv_nsec = 1000000 };

        nanosleep(&t, NULL);
    }
}

/* ---- measuring */

static void send_until(uint64_t end_us, size_t size, unsigned lanes)
{
    struct blob *frame =
        rig_frame(size, 'x'); /* the same bytes each time: nothing is made for a frame */

    while (clock_mono_us() < end_us)
        for (unsigned i = 0; i < lanes; i++)
            if (wire_send(wire, 1, i == 0 ? WIRE_LOG : WIRE_BULK, frame) == ERR_FULL && lanes == 1)
                sem_wait(&room);
    blob_unref(&frame);
}

static void measure_flood(const struct pki *p, size_t size, uint64_t seconds, unsigned lanes)
{
    struct receiver r;
    uint64_t from[2], to[2], began_us, took_us, cpu;
    double mb;

    receiver_start(&r, p, false);
    wait_for_lanes();
    send_until(clock_mono_us() + 300000, size, lanes); /* until buffers and windows are large */
    receiver_ask(&r, from);
    cpu = cpu_ms(RUSAGE_SELF);
    began_us = clock_mono_us();
    send_until(began_us + seconds * 1000000, size, lanes);
    receiver_ask(&r, to);
    took_us = clock_mono_us() - began_us;
    cpu = cpu_ms(RUSAGE_SELF) - cpu;
    mb = (double)(to[0] - from[0]) / 1e6;
    printf("%zu bytes, %u lane(s): %.0f MB/s, %.0f frames/s; processor seconds: sender %.2f, "
           "receiver %.2f of %.2f\n",
           size, lanes, mb / ((double)took_us / 1e6),
           mb * 1e6 / (double)size / ((double)took_us / 1e6), (double)cpu / 1000,
           (double)(to[1] - from[1]) / 1000, (double)took_us / 1e6);
    receiver_end(&r);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void measure_trips(const struct pki *p, size_t size, size_t times)
{
    uint64_t *took_us = check_calloc(times, sizeof *took_us);
    struct blob *frame = rig_frame(size, 'x');
    struct receiver r;

    receiver_start(&r, p, true);
    wait_for_lanes();
    for (size_t i = 0; i < times; i++) {
        uint64_t began_us = clock_mono_us();

        CHECK(wire_send(wire, 1, WIRE_CONTROL, frame) == 0);
        while (sem_wait(&came) != 0)
            ;
        took_us[i] = clock_mono_us() - began_us;
    }
    qsort(took_us, times, sizeof *took_us, by_value);
    printf("%zu bytes there and back: median %llu us, p99 %llu us, worst %llu us\n", size,
           (unsigned long long)took_us[times / 2], (unsigned long long)took_us[times * 99 / 100],
           (unsigned long long)took_us[times - 1]);
    receiver_end(&r);
    blob_unref(&frame);
    free(took_us);
}

int main(int argc, char **argv)
{
    bool trips = argc > 1 && strcmp(argv[1], "trip") == 0;
    const char *first = argc > 1 + trips ? argv[1 + trips] : NULL,
               *second = argc > 2 + trips ? argv[2 + trips] : NULL;
    struct pki p;

    log_set_level(LOG_WARN);
    CHECK(sem_init(&came, 0, 0) == 0 && sem_init(&room, 0, 0) == 0);
    if (argc == 5 && strcmp(argv[1], "receive") == 0) return receive(argv);
    rig_pki(&p);
    open_node(&p, 2, 1, 0);
    if (trips)
        measure_trips(&p, first ? number(first) : 64, second ? number(second) : 20000);
    else
        measure_flood(&p, first ? number(first) : 16384, second ? number(second) : 3,
                      argc > 3 ? (unsigned)number(argv[3]) : 1);
    wire_close(&wire);
    pki_end(&p);
    return 0;
}
