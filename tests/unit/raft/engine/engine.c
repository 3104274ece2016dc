/* engine - proposals through core and store: order, restart, power cut, cuts, many loops on the real log. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/ground/blob.h"
#include "proto/ground/check.h"
#include "raft/engine/engine.h"

#define APPLIED_MAX 4096

struct machine {
    uint64_t indexes[APPLIED_MAX];
    char heads[APPLIED_MAX][16];
    unsigned count;
    enum raft_role role;
    uint64_t term, upto;
};

static void on_apply(void *arg, const struct raft_entry *e)
{
    struct machine *m = arg;

    CHECK(m->count < APPLIED_MAX);
    CHECK(m->count == 0 || m->indexes[m->count - 1] < e->index);
    m->indexes[m->count] = e->index;
    snprintf(m->heads[m->count++], 16, "%.*s", SPAN_ARG(e->head));
}

static void on_applied(void *arg, uint64_t upto)
{
    ((struct machine *)arg)->upto = upto;
}

static void on_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    struct machine *m = arg;

    (void)leader;
    m->role = role;
    m->term = term;
}

static struct raft_machine calls(struct machine *m)
{
    return (
        struct raft_machine){ .arg = m, .apply = on_apply, .applied = on_applied, .role = on_role };
}

static void wake_nobody(void *arg)
{
    (void)arg;
}

static const struct core_config config = RAFT_ALONE(1);

static struct raft *open_mem(void)
{
    struct raft_loop_port port = { .wake = wake_nobody };
    struct raft *r;

    assert_int_equal(
        raft_open(&r, &(struct raft_options){ .node_id = 1, .loops = &port, .loop_count = 1 }, NULL,
                  NULL),
        0);
    return r;
}

static struct raft_group *open_group(struct raft *r, struct machine *m, uint64_t applied)
{
    struct raft_machine machine = calls(m);
    struct raft_group *g;
    struct errmsg why = { "" };
    int rv = raft_group_open(r, 7, 0, &config, &machine, applied, &g, &why);

    if (rv != 0) print_error("%s\n", why.text);
    assert_int_equal(rv, 0);
    return g;
}

static void turns(struct raft *r, unsigned n, uint64_t *now)
{
    for (unsigned i = 0; i < n; i++) {
        raft_turn(r, 0, (*now)++);
        store_mem_sync(raft_store_of(r), SIZE_MAX);
    }
    raft_turn(r, 0, (*now)++);
}

struct ask {
    struct raft_proposal p;
    char head[16];
    int answer; /* -1: none yet */
};

static void on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index, uint64_t term)
{
    struct ask *a = CONTAINER_OF(p, struct ask, p);

    (void)index;
    (void)term;
    CHECK(a->answer == -1);
    a->answer = (int)answer;
}

static void ask_init(struct ask *a, unsigned n)
{
    memset(a, 0, sizeof *a);
    snprintf(a->head, sizeof a->head, "cmd%u", n);
    a->p.head = span_cstr(a->head);
    a->p.body = SPAN_LIT("body");
    a->p.on_done = on_done;
    a->answer = -1;
}

static void leads_after_its_own_entry_commits(void **state)
{
    struct machine m = { 0 };
    struct raft *r = open_mem();
    struct raft_group *g = open_group(r, &m, 0);
    struct ask early;
    uint64_t now = 1;

    (void)state;
    ask_init(&early, 0);
    assert_int_equal(raft_propose(g, &early.p), ERR_NOT_LEADER);
    raft_turn(r, 0, now++); /* vote written, not durable */
    raft_turn(r, 0, now++);
    assert_int_not_equal(m.role, RAFT_LEADER);
    turns(r, 3, &now);
    assert_int_equal(m.role, RAFT_LEADER);
    assert_int_equal(m.term, 1);
    raft_group_close(&g);
    raft_close(&r);
}

static void answers_only_what_is_synced(void **state)
{
    struct machine m = { 0 };
    struct raft *r = open_mem();
    struct raft_group *g = open_group(r, &m, 0);
    struct ask a[10];
    uint64_t now = 1;

    (void)state;
    turns(r, 3, &now);
    for (unsigned i = 0; i < 10; i++) {
        ask_init(&a[i], i);
        assert_int_equal(raft_propose(g, &a[i].p), 0);
        assert_int_equal(a[i].answer, -1);
    }
    raft_turn(r, 0, now++);
    raft_turn(r, 0, now++);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(a[i].answer, -1); /* written, not synced */
    turns(r, 1, &now);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(a[i].answer, RAFT_COMMITTED);
    assert_int_equal(m.count, 10);
    assert_string_equal(m.heads[9], "cmd9");
    raft_group_close(&g);
    raft_close(&r);
}

static void a_power_cut_loses_only_what_was_not_answered(void **state)
{
    struct machine m = { 0 };
    struct raft *r = open_mem();
    struct raft_group *g = open_group(r, &m, 0);
    struct ask kept, lost;
    struct store_group log;
    uint64_t now = 1;

    (void)state;
    turns(r, 3, &now);
    ask_init(&kept, 1);
    ask_init(&lost, 2);
    assert_int_equal(raft_propose(g, &kept.p), 0);
    turns(r, 1, &now);
    assert_int_equal(raft_propose(g, &lost.p), 0);
    raft_turn(r, 0, now++);
    store_mem_power_cut(raft_store_of(r));
    raft_turn(r, 0, now++);
    assert_int_equal(kept.answer, RAFT_COMMITTED);
    assert_int_equal(lost.answer, -1);
    assert_int_equal(store_group_read(raft_store_of(r), 7, &log, NULL), 0);
    assert_int_equal(log.last, kept.p.index);
    raft_group_close(&g);
    assert_int_equal(lost.answer, RAFT_UNKNOWN);
    raft_close(&r);
}

static void a_restart_applies_the_rest_under_a_new_term(void **state)
{
    struct machine m = { 0 }, again = { 0 };
    struct raft *r = open_mem();
    struct raft_group *g = open_group(r, &m, 0);
    struct ask a[5], stale;
    uint64_t now = 1, term;

    (void)state;
    turns(r, 3, &now);
    for (unsigned i = 0; i < 5; i++) {
        ask_init(&a[i], i);
        assert_int_equal(raft_propose(g, &a[i].p), 0);
    }
    turns(r, 1, &now);
    term = m.term;
    raft_group_close(&g);
    g = open_group(r, &again, a[1].p.index); /* the machine has two of the five */
    turns(r, 4, &now);
    assert_int_equal(again.role, RAFT_LEADER);
    assert_int_equal(again.term, term + 1);
    assert_int_equal(again.count, 3);
    assert_string_equal(again.heads[0], "cmd2");
    ask_init(&stale, 9);
    stale.p.term = term; /* R8 */
    assert_int_equal(raft_propose(g, &stale.p), ERR_SUPERSEDED);
    raft_group_close(&g);
    raft_close(&r);
}

static void a_cut_log_opens_only_for_a_machine_that_has_it(void **state)
{
    struct machine m = { 0 };
    struct raft *r = open_mem();
    struct raft_group *g = open_group(r, &m, 0);
    struct raft_machine machine = calls(&m);
    struct errmsg why = { "" };
    struct blob *head = NULL, *body = NULL;
    struct ask a[3];
    uint64_t now = 1;

    (void)state;
    turns(r, 3, &now);
    for (unsigned i = 0; i < 3; i++) {
        ask_init(&a[i], i);
        assert_int_equal(raft_propose(g, &a[i].p), 0);
    }
    turns(r, 1, &now);
    raft_group_cut(g, a[1].p.index);
    turns(r, 1, &now);
    assert_int_equal(raft_entry_read(r, 7, a[1].p.index, &head, &body), ERR_NOT_FOUND);
    assert_int_equal(raft_entry_read(r, 7, a[2].p.index, &head, &body), 0);
    assert_memory_equal(head->p, "cmd2", 4);
    assert_memory_equal(body->p, "body", 4);
    blob_unref(&head);
    blob_unref(&body);
    raft_group_close(&g);
    /* R7: a gap between state and log is fatal */
    assert_int_equal(raft_group_open(r, 7, 0, &config, &machine, 0, &g, &why), ERR_CORRUPT);
    raft_close(&r);
}

static void bytes_in_flight_are_bounded(void **state)
{
    struct raft_loop_port port = { .wake = wake_nobody };
    struct machine m = { 0 };
    struct raft_group *g;
    struct raft *r;
    struct ask a[3];
    uint64_t now = 1;

    (void)state;
    assert_int_equal(raft_open(&r,
                               &(struct raft_options){ .node_id = 1,
                                                       .loops = &port,
                                                       .loop_count = 1,
                                                       .group_uncommitted_bytes_max = 16 },
                               NULL, NULL),
                     0);
    g = open_group(r, &m, 0);
    turns(r, 3, &now);
    for (unsigned i = 0; i < 3; i++)
        ask_init(&a[i], i); /* 8 bytes each */
    assert_int_equal(raft_propose(g, &a[0].p), 0);
    assert_int_equal(raft_propose(g, &a[1].p), 0);
    assert_int_equal(raft_propose(g, &a[2].p), ERR_FULL);
    turns(r, 1, &now);
    assert_int_equal(raft_propose(g, &a[2].p), 0);
    turns(r, 1, &now);
    raft_group_close(&g);
    raft_close(&r);
}

/* ---- the real log: two loops with threads, four groups */

#define REAL_EACH 250

struct real_loop {
    sem_t wake;
    struct raft *r;
    unsigned number, answered;
    struct machine m[2];
    struct raft_group *g[2];
    struct ask *asks;
};

static void wake_real(void *arg)
{
    sem_post(&((struct real_loop *)arg)->wake);
}

static bool both_lead(const struct real_loop *l)
{
    return l->m[0].role == RAFT_LEADER && l->m[1].role == RAFT_LEADER;
}

static unsigned answered(const struct real_loop *l)
{
    unsigned n = 0;

    for (unsigned i = 0; i < 2 * REAL_EACH; i++)
        n += l->asks[i].answer == RAFT_COMMITTED;
    return n;
}

static void *run_real(void *arg)
{
    struct real_loop *l = arg;
    uint64_t now = 1;

    while (!both_lead(l)) {
        raft_turn(l->r, l->number, now++);
        if (!both_lead(l)) sem_wait(&l->wake);
    }
    for (unsigned i = 0; i < 2 * REAL_EACH; i++) {
        ask_init(&l->asks[i], i);
        CHECK(raft_propose(l->g[i % 2], &l->asks[i].p) == 0);
        if (i % 16 == 0) raft_turn(l->r, l->number, now++);
    }
    for (;;) {
        raft_turn(l->r, l->number, now++);
        if (answered(l) == 2 * REAL_EACH) return NULL;
        sem_wait(&l->wake);
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static struct raft *open_real(const char *dir, struct real_loop *loops, uint64_t applied)
{
    struct raft_loop_port ports[2] = { { &loops[0], wake_real }, { &loops[1], wake_real } };
    struct errmsg why = { "" };
    bool tainted = true;
    struct raft *r;

    assert_int_equal(raft_open(&r,
                               &(struct raft_options){ .dir = dir,
                                                       .node_id = 1,
                                                       .loops = ports,
                                                       .loop_count = 2,
                                                       .memtable_bytes = 4u << 20 },
                               &tainted, &why),
                     0);
    assert_false(tainted);
    for (unsigned i = 0; i < 4; i++) {
        struct real_loop *l = &loops[i / 2];
        struct raft_machine machine = calls(&l->m[i % 2]);

        l->r = r;
        l->number = i / 2;
        assert_int_equal(
            raft_group_open(r, i + 1, i / 2, &config, &machine, applied, &l->g[i % 2], &why), 0);
    }
    return r;
}

static void close_real(struct raft **r, struct real_loop *loops)
{
    for (unsigned i = 0; i < 4; i++)
        raft_group_close(&loops[i / 2].g[i % 2]);
    raft_close(r);
}

static void many_groups_share_the_real_log(void **state)
{
    char dir[] = "/tmp/angarium-engine-XXXXXX";
    static struct real_loop loops[2];
    struct raft_loop_port port = { .wake = wake_nobody };
    struct errmsg why = { "" };
    struct raft *r, *second;
    pthread_t threads[2];

    (void)state;
    assert_non_null(mkdtemp(dir));
    memset(loops, 0, sizeof loops);
    for (unsigned i = 0; i < 2; i++) {
        sem_init(&loops[i].wake, 0, 0);
        loops[i].asks = calloc(2 * REAL_EACH, sizeof *loops[i].asks);
    }
    r = open_real(dir, loops, 0);
    assert_int_equal(raft_open(&second,
                               &(struct raft_options){
                                   .dir = dir, .node_id = 1, .loops = &port, .loop_count = 1 },
                               NULL, &why),
                     ERR_BUSY);
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run_real, &loops[i]);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(loops[i / 2].m[i % 2].count, REAL_EACH);
    close_real(&r, loops);
    /* another life: everything is there */
    for (unsigned i = 0; i < 2; i++) {
        memset(loops[i].m, 0, sizeof loops[i].m);
    }
    r = open_real(dir, loops, 0);
    for (unsigned i = 0; i < 2; i++)
        for (uint64_t now = 1; !both_lead(&loops[i]); now++) {
            raft_turn(r, i, now);
            if (!both_lead(&loops[i]) && loops[i].m[0].count == REAL_EACH) sem_wait(&loops[i].wake);
        }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(loops[i / 2].m[i % 2].count, REAL_EACH);
        assert_int_equal(loops[i / 2].m[i % 2].term, 2);
    }
    close_real(&r, loops);
    for (unsigned i = 0; i < 2; i++)
        free(loops[i].asks);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leads_after_its_own_entry_commits),
        cmocka_unit_test(answers_only_what_is_synced),
        cmocka_unit_test(a_power_cut_loses_only_what_was_not_answered),
        cmocka_unit_test(a_restart_applies_the_rest_under_a_new_term),
        cmocka_unit_test(a_cut_log_opens_only_for_a_machine_that_has_it),
        cmocka_unit_test(bytes_in_flight_are_bounded),
        cmocka_unit_test(many_groups_share_the_real_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
