/* threads - the real log under real threads: four groups on two loops, proposals, cuts, reads,
 * restarts. */
#include "tests/unit/raft/engine/life.h"

#include <ftw.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#define GROUPS    4
#define LOOPS     2
#define EACH      250 /* proposals of a group */
#define IN_FLIGHT 32

struct member {
    struct raft_group *group;
    struct machine machine;
    uint64_t number;
    unsigned proposed, answered;
    struct ask asks[EACH];
};

struct runner {
    struct raft *raft;
    unsigned number;
    sem_t wake;
    pthread_t thread;
    struct member *members[GROUPS / LOOPS];
    bool is_restart; /* propose nothing, only lead */
};

/* RocksDB is not built for the thread sanitizer, which therefore does not see its atomics. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:librocksdb\nrace:libstdc++\n";
}

static struct member members[GROUPS];
static struct runner runners[LOOPS];

static void wake_runner(void *arg)
{
    sem_post(&((struct runner *)arg)->wake);
}

/* True when it proposed something, which the next turn takes along. */
static bool propose_some(struct member *m)
{
    bool did = false;

    while (m->answered < m->proposed && m->asks[m->answered].answer == RAFT_COMMITTED)
        m->answered++;
    for (; m->proposed < EACH && m->proposed - m->answered < IN_FLIGHT; did = true) {
        struct ask *a = &m->asks[m->proposed];

        ask_init(a, NULL, "");
        snprintf(a->head, sizeof a->head, "%u", m->proposed);
        a->proposal.head = span_cstr(a->head);
        CHECK(raft_propose(m->group, &a->proposal) == 0);
        m->proposed++;
    }
    if (m->machine.applied % 16 == 0) raft_group_cut(m->group, m->machine.applied / 2);
    return did;
}

static bool is_done(const struct runner *r, const struct member *m)
{
    return m->machine.role == RAFT_LEADER && (r->is_restart || m->answered == EACH);
}

/* A loop sleeps only when every member waits for the log. */
static void sleep_until_woken(struct runner *r)
{
    while (sem_wait(&r->wake) != 0)
        continue;
    while (sem_trywait(&r->wake) == 0)
        continue;
}

static void *run(void *arg)
{
    struct runner *r = arg;
    uint64_t now_ms = 0;

    for (;;) {
        bool did = false, done = true;

        raft_turn(r->raft, r->number, ++now_ms);
        for (unsigned i = 0; i < GROUPS / LOOPS; i++) {
            struct member *m = r->members[i];

            if (m->machine.role == RAFT_LEADER && !r->is_restart) did |= propose_some(m);
            done &= is_done(r, m);
        }
        if (done) return NULL;
        if (!did) sleep_until_woken(r);
    }
}

static struct raft *open_all(const char *dir, bool is_restart)
{
    struct raft_loop_port ports[LOOPS];
    struct errmsg why = { "" };
    bool tainted = true;
    struct raft *r;

    for (unsigned i = 0; i < LOOPS; i++)
        ports[i] = (struct raft_loop_port){ &runners[i], wake_runner };
    if (raft_open(&r,
                  &(struct raft_options){ .dir = dir,
                                          .node_id = 1,
                                          .loops = ports,
                                          .loop_count = LOOPS,
                                          .memtable_bytes = 1u << 20 },
                  &tainted, &why) != 0)
        fail_msg("%s", why.text);
    assert_false(tainted);
    for (unsigned i = 0; i < LOOPS; i++) {
        runners[i].raft = r;
        runners[i].number = i;
        runners[i].is_restart = is_restart;
        sem_init(&runners[i].wake, 0, 0);
    }
    return r;
}

static void open_groups(struct raft *r, const uint64_t applied[GROUPS])
{
    for (unsigned i = 0; i < GROUPS; i++) {
        struct raft_machine machine = life_machine(&members[i].machine);
        struct errmsg why = { "" };

        memset(&members[i], 0, sizeof members[i]);
        members[i].number = i + 1;
        members[i].machine.is_quiet = true;
        members[i].machine.applied = applied[i];
        runners[i % LOOPS].members[i / LOOPS] = &members[i];
        if (raft_group_open(r, i + 1, i % LOOPS, &life_config, &machine, applied[i],
                            &members[i].group, &why) != 0)
            fail_msg("%s", why.text);
    }
}

static void run_all(void)
{
    for (unsigned i = 0; i < LOOPS; i++)
        CHECK(pthread_create(&runners[i].thread, NULL, run, &runners[i]) == 0);
    for (unsigned i = 0; i < LOOPS; i++)
        CHECK(pthread_join(runners[i].thread, NULL) == 0);
}

static void close_all(struct raft **r)
{
    for (unsigned i = 0; i < GROUPS; i++)
        raft_group_close(&members[i].group);
    raft_close(r);
    for (unsigned i = 0; i < LOOPS; i++)
        sem_destroy(&runners[i].wake);
}

/* Reads while loops write and cut: an entry is there with its bytes, or it is not. */
struct reader {
    struct raft *raft;
    pthread_t thread;
    atomic_bool stop;
    unsigned found;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;

    for (uint64_t i = 0; !atomic_load(&r->stop) || r->found == 0; i++) {
        struct blob *head = NULL, *body = NULL;
        int rv = raft_entry_read(r->raft, 1 + i % GROUPS, 2 + i % EACH, &head, &body);

        CHECK(rv == 0 || rv == ERR_NOT_FOUND);
        if (rv == 0) CHECK(span_eq(blob_span(body), SPAN_LIT("the body")));
        r->found += rv == 0;
        blob_unref(&head);
        blob_unref(&body);
    }
    return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void four_groups_on_two_loops_share_one_log(void **state)
{
    char dir[] = "/tmp/angarium-test-XXXXXX";
    uint64_t applied[GROUPS] = { 0 };
    struct reader reader = { NULL };
    struct raft *r;

    (void)state;
    CHECK(mkdtemp(dir) != NULL);
    r = open_all(dir, false);
    open_groups(r, applied);
    reader.raft = r;
    CHECK(pthread_create(&reader.thread, NULL, read_on, &reader) == 0);
    run_all();
    atomic_store(&reader.stop, true);
    CHECK(pthread_join(reader.thread, NULL) == 0);
    assert_true(reader.found > 0);
    for (unsigned i = 0; i < GROUPS; i++) {
        assert_int_equal(members[i].machine.apply_count, EACH);
        assert_int_equal(members[i].machine.applied, EACH + 1); /* and its no-op */
        applied[i] = EACH + 1 - 100 * (i % 2);
    }
    close_all(&r);

    r = open_all(dir, true);
    open_groups(r, applied);
    run_all();
    for (unsigned i = 0; i < GROUPS; i++) {
        assert_int_equal(members[i].machine.apply_count, 100 * (i % 2));
        assert_int_equal(members[i].machine.term, 2);
    }
    close_all(&r);
    CHECK(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(four_groups_on_two_loops_share_one_log) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
