/* place - a directory of a test's own, and store writes that say when they are done. */
#ifndef TEST_STORE_PLACE_H
#define TEST_STORE_PLACE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raft/store/inside.h"

struct place {
    char dir[64];
    char log[96]; /* what store_open is given */
};

static inline void place_open(struct place *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/angarium-test-XXXXXX");
    CHECK(mkdtemp(p->dir) != NULL);
    snprintf(p->log, sizeof p->log, "%s/log", p->dir);
}

static inline int place_remove_one(const char *path, const struct stat *st, int type,
                                   struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void place_close(struct place *p)
{
    CHECK(nftw(p->dir, place_remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* ---- one write and its end */

struct awaited {
    struct store_write write;
    sem_t done;
};

static inline void awaited_on_done(struct store_write *w)
{
    sem_post(&CONTAINER_OF(w, struct awaited, write)->done);
}

static inline void write_ops(struct store *s, struct store_op *ops, size_t count)
{
    struct awaited a = { .write = { .ops = ops, .op_count = count, .on_done = awaited_on_done } };

    sem_init(&a.done, 0, 0);
    store_submit(s, &a.write);
    store_drain(s); /* a memory store writes now */
    sem_wait(&a.done);
    sem_destroy(&a.done);
}

static inline struct store_op op_hard(uint64_t group, uint64_t term, uint64_t vote)
{
    return (
        struct store_op){ .kind = STORE_HARD, .entry = { .group = group }, .hard = { term, vote } };
}

static inline struct store_op op_entry(uint64_t group, uint64_t index, uint64_t term,
                                       const char *head, const char *body)
{
    return (struct store_op){ .kind = STORE_APPEND,
                              .entry = { group, index, term, CORE_COMMAND, span_cstr(head),
                                         span_cstr(body) } };
}

static inline struct store_op op_cut(uint64_t group, uint64_t from, uint64_t to, uint64_t term)
{
    return (struct store_op){ .kind = STORE_CUT,
                              .entry = { .group = group },
                              .cut_from = from,
                              .cut_to = to,
                              .cut_term = term };
}

static inline void write_one(struct store *s, struct store_op op)
{
    write_ops(s, &op, 1);
}

/* Entries first..last of one term, with the index as head. */
static inline void write_entries(struct store *s, uint64_t group, uint64_t first, uint64_t last,
                                 uint64_t term)
{
    for (uint64_t i = first; i <= last; i++) {
        char head[32];

        snprintf(head, sizeof head, "%llu", (unsigned long long)i);
        write_one(s, op_entry(group, i, term, head, "body"));
    }
}

static inline struct store *open_log(const struct place *p, bool *tainted)
{
    struct store *s = NULL;
    struct errmsg why = { "" };
    int rv = store_open(&s, &(struct store_options){ .dir = p->log, .memtable_bytes = 4u << 20 },
                        tainted, &why);

    if (rv != 0) print_error("%s\n", why.text);
    assert_int_equal(rv, 0);
    return s;
}

static inline int try_open(const struct place *p, struct errmsg *why)
{
    struct store *s = NULL;
    bool tainted;
    int rv = store_open(&s, &(struct store_options){ .dir = p->log, .memtable_bytes = 4u << 20 },
                        &tainted, why);

    store_close(&s);
    return rv;
}

static inline struct store_group read_group(struct store *s, uint64_t group)
{
    struct store_group g;
    struct errmsg why = { "" };
    int rv = store_group_read(s, group, &g, &why);

    if (rv != 0) print_error("%s\n", why.text);
    assert_int_equal(rv, 0);
    return g;
}

#endif
