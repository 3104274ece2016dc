/* churn - a node that lives on while its peers, processes of their own, are killed again and again with all lanes under
 * load both ways: every lane comes back each time, and nothing is left behind.
 *
 * Two peers dial the node, two are dialled by it. CHURN_KILLS=N sets how many are killed (each has three lanes);
 * the peers are this program again: "churn NODE INCARNATION DIR PORT OWN-PORT".
 */
#include "tests/unit/raft/wire/rig.h"

#include <dirent.h>
#include <malloc.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "proto/ground/log.h"

extern char **environ;

#define KILLS     120u
#define SELF      5u
#define SLOTS     4u
#define QUIET_MAX (1u << 20) /* bytes in use more than before: what threads keep, not 360 leaks */

static const uint64_t slot_nodes[SLOTS] = { 1, 2, 8, 9 };

static void rest_ms(unsigned ms)
{
    struct timespec t = { .tv_nsec = (long)ms * 1000000 };

    nanosleep(&t, NULL);
}

static uint64_t number(const char *text)
{
    uint64_t v = 0;

    CHECK(span_u64(span_cstr(text), UINT64_MAX, &v) == 0);
    return v;
}

/* ---- load */

struct load {
    struct rig_node *node;
    uint64_t to;
    atomic_bool stops;
    pthread_t thread;
};

/* Frames of all sizes on all lanes as long as there is room, to a peer that may not be there. */
static void *load_run(void *arg)
{
    struct load *l = arg;
    struct rng r;

    rng_seed(&r, l->to);
    while (!atomic_load(&l->stops)) {
        size_t n = 1 + (size_t)rng_below(&r, rng_below(&r, 20) == 0 ? 300000 : 9000);
        struct blob *b = rig_frame(n, (uint8_t)n);
        unsigned sent = 0;

        for (unsigned lane = 0; lane < WIRE_LANES; lane++)
            sent += wire_send(l->node->wire, l->to, lane, b) == 0;
        blob_unref(&b);
        if (sent < 2) rest_ms(1); /* control always takes one more */
    }
    return NULL;
}

static void load_start(struct load *l, struct rig_node *n, uint64_t to)
{
    l->node = n;
    l->to = to;
    CHECK(pthread_create(&l->thread, NULL, load_run, l) == 0);
}

static void load_stop(struct load *l)
{
    atomic_store(&l->stops, true);
    pthread_join(l->thread, NULL);
}

static void small_queues(struct rig_node *n)
{
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        n->o.queue_bytes_max[lane] = 2u << 20;
    n->o.dial_first_ms = 2;
    n->o.dial_max_ms = 20;
}

/* ---- a peer: until it is killed */

static int be_peer(char **argv)
{
    static struct rig_node n;
    static struct load load;
    struct pki pki;
    char name[32], listen[48];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(pki.dir, sizeof pki.dir, "%s", argv[3]);
    rig_init(&n, number(argv[1]));
    n.o.incarnation = number(argv[2]);
    snprintf(listen, sizeof listen, "127.0.0.1:%s", argv[5]);
    n.o.listen = n.o.node > SELF ? listen : NULL;
    small_queues(&n);
    snprintf(name, sizeof name, "node%s", argv[1]);
    rig_open(&n, &pki, name);
    rig_meet(&n, SELF, (uint16_t)number(argv[4]));
    load_start(&load, &n, SELF);
    rest_ms(999);
    for (unsigned i = 0; i < 120; i++)
        rest_ms(999);
    return 1; /* forgotten */
}

/* ---- the node and its slots */

struct slot {
    struct rig_node *node;
    const struct pki *pki;
    uint64_t peer;
    uint16_t port, own_port;
    unsigned kills; /* to be done */
    uint64_t incarnation;
    unsigned bad;           /* lanes that did not come up, or not go down */
    uint64_t down_us_worst; /* from the end of the process to the last lane's down */
    pthread_t thread;
};

static pid_t spawn(struct slot *s)
{
    char program[] = "churn", node[24], incarnation[24], dir[64], port[8], own_port[8];
    char *argv[] = { program, node, incarnation, dir, port, own_port, NULL };
    pid_t pid;

    snprintf(node, sizeof node, "%llu", (unsigned long long)s->peer);
    snprintf(incarnation, sizeof incarnation, "%llu", (unsigned long long)++s->incarnation);
    snprintf(dir, sizeof dir, "%s", s->pki->dir);
    snprintf(port, sizeof port, "%u", s->port);
    snprintf(own_port, sizeof own_port, "%u", s->own_port);
    CHECK(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) == 0);
    return pid;
}

/* All lanes are up with this incarnation and have brought a frame; or all are down. Under the lock. */
static bool slot_is(const struct slot *s, bool up, const unsigned frames[WIRE_LANES])
{
    for (unsigned lane = 0; lane < WIRE_LANES; lane++) {
        const struct rig_lane *l = &s->node->lanes[s->peer][lane];

        if (l->is_up != up) return false;
        if (up && (l->last.incarnation != s->incarnation || l->frames == frames[lane]))
            return false;
    }
    return true;
}

static bool slot_wait(const struct slot *s, bool up, const unsigned frames[WIRE_LANES])
{
    struct timespec until = rig_deadline();
    int rv = 0;
    bool is;

    pthread_mutex_lock(&s->node->lock);
    while (!(is = slot_is(s, up, frames)) && rv == 0)
        rv = pthread_cond_timedwait(&s->node->changed, &s->node->lock, &until);
    pthread_mutex_unlock(&s->node->lock);
    return is;
}

static void kill_once(struct slot *s, struct rng *r)
{
    unsigned frames[WIRE_LANES];
    uint64_t began_us, took_us;
    pid_t pid;

    pthread_mutex_lock(&s->node->lock);
    for (unsigned lane = 0; lane < WIRE_LANES; lane++)
        frames[lane] = s->node->lanes[s->peer][lane].frames;
    pthread_mutex_unlock(&s->node->lock);
    pid = spawn(s);
    s->bad += !slot_wait(s, true, frames);
    rest_ms((unsigned)rng_below(r, 6));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    began_us = clock_mono_us();
    s->bad += !slot_wait(s, false, frames);
    took_us = clock_mono_us() - began_us;
    if (took_us > s->down_us_worst) s->down_us_worst = took_us;
}

static void *slot_run(void *arg)
{
    struct slot *s = arg;
    struct rng r;

    rng_seed(&r, s->peer);
    for (unsigned i = 0; i < s->kills && s->bad == 0; i++)
        kill_once(s, &r);
    return NULL;
}

/* ---- what is left */

struct remains {
    unsigned descriptors, threads;
    size_t heap_bytes;
};

static unsigned count_in(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;

    CHECK(d != NULL);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* The number after the last `key` in the text. */
static size_t last_number(const char *text, const char *key)
{
    const char *at = NULL;

    for (const char *next = text; (next = strstr(next, key)) != NULL; next++)
        at = next + strlen(key);
    return at ? strtoull(at, NULL, 10) : 0;
}

/* Bytes in use of all arenas of malloc; under a sanitizer, which has its own ways, next to nothing. */
static size_t heap_bytes(void)
{
    char *text = NULL;
    size_t n = 0, bytes;
    FILE *f = open_memstream(&text, &n);

    CHECK(f && malloc_info(0, f) == 0 && fclose(f) == 0);
    bytes = last_number(text, "<system type=\"current\" size=\"");
    for (const char *type = "fast"; type; type = strcmp(type, "fast") == 0 ? "rest" : NULL) {
        char key[48];
        const char *at = NULL;

        snprintf(key, sizeof key, "<total type=\"%s\" ", type);
        for (const char *next = text; (next = strstr(next, key)) != NULL; next++)
            at = next;
        if (at) at = strstr(at, "size=\"");
        if (at) bytes -= strtoull(at + 6, NULL, 10);
    }
    free(text);
    return bytes;
}

static struct remains look(void)
{
    return (struct remains){ .descriptors = count_in("/proc/self/fd"),
                             .threads = count_in("/proc/self/task"),
                             .heap_bytes = heap_bytes() };
}

/* Nobody is there; the node may have attempts to dial on their way: it is told to forget first. */
static void wait_until_nobody(struct rig_node *n)
{
    for (unsigned i = 0; i < SLOTS; i++)
        wire_forget(n->wire, slot_nodes[i]);
    for (unsigned i = 0; (metric_get(M_WIRE_CONNECTIONS) > 0 || blob_bytes_total() > 0); i++) {
        if (i > RIG_WAIT_S * 1000u) fail_msg("connections or frames are left");
        rest_ms(1);
    }
}

static bool is_more(const struct remains *a, const struct remains *b)
{
    return a->descriptors > b->descriptors || a->threads > b->threads;
}

/* NNG closes descriptors on a thread of its own: as few as there were before, some time. */
static struct remains look_until(const struct remains *before)
{
    struct remains now = look();

    for (unsigned i = 0; i < RIG_WAIT_S * 100u && is_more(&now, before); i++) {
        rest_ms(10);
        now = look();
    }
    return now;
}

static void churn(struct rig_node *n, struct slot slots[SLOTS], unsigned kills)
{
    struct load loads[SLOTS] = { 0 };

    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i].kills = (kills + SLOTS - 1 - i) / SLOTS;
        rig_meet(n, slot_nodes[i], slots[i].own_port);
        load_start(&loads[i], n, slot_nodes[i]);
        CHECK(pthread_create(&slots[i].thread, NULL, slot_run, &slots[i]) == 0);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        pthread_join(slots[i].thread, NULL);
        load_stop(&loads[i]);
    }
}

/* One that is free now; its slot uses it again and again. */
static uint16_t free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void peers_are_killed_under_load_and_nothing_is_left(void **state)
{
    static struct rig_node n;
    struct slot slots[SLOTS];
    struct remains before, after;
    const char *text = getenv("CHURN_KILLS");
    unsigned kills = text ? (unsigned)number(text) : KILLS, done = 0;
    uint64_t worst_us = 0;
    struct pki pki;

    (void)state;
    rig_pki(&pki);
    rig_init(&n, SELF);
    small_queues(&n);
    rig_open(&n, &pki, "node5");
    for (unsigned i = 0; i < SLOTS; i++)
        slots[i] = (struct slot){ .node = &n,
                                  .pki = &pki,
                                  .peer = slot_nodes[i],
                                  .port = wire_port(n.wire),
                                  .own_port = free_port() };
    churn(&n, slots, kills / 10 + SLOTS); /* until everything is as large as it gets */
    wait_until_nobody(&n);
    rest_ms(100); /* or it is compared to a little more than there was */
    before = look();
    churn(&n, slots, kills);
    wait_until_nobody(&n);
    after = look_until(&before);
    for (unsigned i = 0; i < SLOTS; i++) {
        assert_int_equal(slots[i].bad, 0);
        done += (unsigned)slots[i].incarnation;
        if (slots[i].down_us_worst > worst_us) worst_us = slots[i].down_us_worst;
    }
    print_message("%u peers killed, 3 lanes each; %llu frames came; descriptors %u then %u, "
                  "threads %u then %u, "
                  "heap %zu then %zu; last lane down at worst %llu us after the process was gone\n",
                  done,
                  (unsigned long long)(metric_get(M_WIRE_FRAMES_IN_CONTROL) +
                                       metric_get(M_WIRE_FRAMES_IN_LOG) +
                                       metric_get(M_WIRE_FRAMES_IN_BULK)),
                  before.descriptors, after.descriptors, before.threads, after.threads,
                  before.heap_bytes, after.heap_bytes, (unsigned long long)worst_us);
    assert_false(is_more(&after, &before));
    assert_true(after.heap_bytes < before.heap_bytes + QUIET_MAX);
    rig_close(&n);
    pki_end(&pki);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_are_killed_under_load_and_nothing_is_left),
    };

    log_set_level(LOG_ERROR);
    return argc == 6 ? be_peer(argv) : cmocka_run_group_tests(tests, NULL, NULL);
}
