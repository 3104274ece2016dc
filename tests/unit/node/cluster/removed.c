/* removed - what a node makes of the word that it was removed: it is kept on the disk, and whoever says so is heard again until it is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/cluster/inside.h"

#define TURNS_MAX 6000u /* of 10 ms: for what must come; nothing is measured by it */

static char dir[64];
static struct loop *loop;
static struct raft_loop_port port;
static struct raft *raft;
static struct cluster *cluster;
static unsigned peers_told, forgotten;
static enum control_node_state told_state;

/* ---- a wire to nobody */

static int send(struct wire *wire, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    (void)wire, (void)node, (void)lane, (void)frame;
    return ERR_CLOSED;
}

static int peer(struct wire *wire, const struct wire_peer *p)
{
    (void)wire;
    assert_int_equal(p->node, 1);
    peers_told++;
    return 0;
}

static void forget(struct wire *wire, uint64_t node)
{
    (void)wire;
    assert_int_equal(node, 1);
    forgotten++;
}

static const struct wire_calls wire_calls = { .send = send, .peer = peer, .forget = forget };
static struct wire wire = { &wire_calls };

/* ---- node 2 of two */

static void on_state(void *arg, enum control_node_state state)
{
    (void)arg;
    told_state = state;
}

static struct cluster_self disk(void)
{
    struct cluster_self self;

    assert_int_equal(cluster_self_read(dir, &self, NULL), 0);
    return self;
}

static void start(void)
{
    struct cluster_self self = disk();

    peers_told = forgotten = 0;
    told_state = CONTROL_SERVING;
    assert_int_equal(loop_new(&loop, 0, NULL), 0);
    port = (struct raft_loop_port){ .arg = loop, .wake = loop_wake_arg };
    assert_int_equal(
        raft_open(&raft, &(struct raft_options){ .node_id = 2, .loops = &port, .loop_count = 1 }, NULL,
                  NULL),
        0);
    raft_wire_attach(raft, &wire);
    assert_int_equal(cluster_open(&cluster,
                                  &(struct cluster_options){ .loop = loop,
                                                             .raft = raft,
                                                             .wire = &wire,
                                                             .dir = dir,
                                                             .self = &self,
                                                             .address = "127.0.0.1:2",
                                                             .zone = "",
                                                             .region = "",
                                                             .calls.on_state = on_state },
                                  NULL),
                     0);
}

static void stop(void)
{
    loop_settle(loop);
    cluster_close(&cluster);
    raft_close(&raft);
    loop_free(&loop);
}

static int set_up(void **state)
{
    struct cluster_self self = { .node = 2, .format = PROTO_FORMAT_VERSION, .peer_count = 1 };

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/angarium-removed-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(self.uuid, sizeof self.uuid, "00000000-0000-4000-8000-000000000002");
    self.peers[0] = (struct cluster_peer){ .node = 1, .votes = true, .address = "127.0.0.1:1" };
    assert_int_equal(cluster_self_write(dir, &self, NULL), 0);
    start();
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    stop();
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static void wait_for_disk(void)
{
    for (unsigned i = 0; !disk().removed; i++) {
        assert_true(i < TURNS_MAX);
        loop_turn(loop, 10);
    }
    loop_settle(loop);
}

/* ---- */

/* A node that dies before its disk says so has forgotten: who said it must not take it for told. */
static void who_says_so_is_heard_until_the_disk_says_so(void **state)
{
    (void)state;
    assert_int_equal(peers_told, 1);
    cluster_hear_removed(cluster, 1);
    assert_true(cluster_is_removed(cluster));
    assert_int_equal(told_state, CONTROL_GONE);
    assert_int_equal(forgotten, 0);
    wait_for_disk();
    cluster_hear_removed(cluster, 1);
    assert_int_equal(forgotten, 1);
    stop();
    start();
    assert_true(cluster_is_removed(cluster));
    assert_int_equal(peers_told, 0);
}

/* ---- the disk's pool is full, as it is taken while a snapshot is installed */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned back;

static void wait_at_gate(struct loop_work *w)
{
    (void)w;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void come_back(struct loop_work *w)
{
    back++;
    free(w);
}

static bool put_work(void)
{
    struct loop_work *w = check_calloc(1, sizeof *w);

    w->run = wait_at_gate;
    w->on_done = come_back;
    if (loop_work(loop, LOOP_POOL_DISK, w) == 0) return true;
    free(w);
    return false;
}

/* The queue is full, and its threads are at the gate: nothing makes room. */
static unsigned fill_pool(void)
{
    unsigned count = 0;

    while (count < LOOP_POOL_QUEUE_MAX + LOOP_POOL_THREADS)
        if (put_work())
            count++;
        else
            sched_yield();
    return count;
}

static void it_is_kept_without_another_change(void **state)
{
    unsigned count;

    (void)state;
    pthread_mutex_lock(&gate);
    count = fill_pool();
    back = 0;
    cluster_hear_removed(cluster, 1);
    assert_false(cluster->saving);
    pthread_mutex_unlock(&gate);
    wait_for_disk();
    assert_int_equal(back, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_says_so_is_heard_until_the_disk_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_kept_without_another_change, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
