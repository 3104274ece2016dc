/* life - one life of a node over a memory log that outlives it: one loop, some groups, machines
 * that note what they are told.
 */
#ifndef TEST_ENGINE_LIFE_H
#define TEST_ENGINE_LIFE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/blob.h"
#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "raft/engine/engine.h"

#define LIFE_GROUPS 8

struct machine {
    struct buf story; /* "role leader 2, apply 3 head, applied 3, done 3 committed" */
    uint64_t applied, apply_count;
    enum raft_role role;
    uint64_t term;
    bool is_quiet; /* the story is not wanted */
    void (*on_apply)(struct machine *m, const struct raft_entry *e);
    void *arg;
};

struct life {
    struct raft *raft;
    struct raft_group *groups[LIFE_GROUPS];
    struct machine machines[LIFE_GROUPS];
    uint64_t now_ms;
    unsigned wakes;
};

struct ask {
    struct raft_proposal proposal;
    struct machine *machine;
    char head[24];
    int answer; /* enum raft_answer; -1: none yet */
    unsigned answers;
};

static const struct core_config life_config = RAFT_ALONE(1);

static inline void life_tell(struct machine *m, const char *text, uint64_t n)
{
    if (!m->is_quiet) buf_addf(&m->story, "%s %llu\n", text, (unsigned long long)n);
}

static inline void life_apply(void *arg, const struct raft_entry *e)
{
    struct machine *m = arg;
    char text[64];

    CHECK(e->index > m->applied);
    m->applied = e->index;
    m->apply_count++;
    snprintf(text, sizeof text, "apply %.*s", SPAN_ARG(e->head));
    life_tell(m, text, e->index);
    if (m->on_apply) m->on_apply(m, e);
}

static inline void life_applied(void *arg, uint64_t upto)
{
    struct machine *m = arg;

    CHECK(upto >= m->applied);
    m->applied = upto;
    life_tell(m, "applied", upto);
}

static inline void life_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    struct machine *m = arg;
    char text[32];

    CHECK(leader == (role == RAFT_LEADER ? 1 : 0));
    m->role = role;
    m->term = term;
    snprintf(text, sizeof text, "role %s", raft_role_name(role));
    life_tell(m, text, term);
}

static inline void life_wake(void *arg)
{
    ((struct life *)arg)->wakes++;
}

static inline struct raft_machine life_machine(struct machine *m)
{
    return (struct raft_machine){
        .arg = m, .apply = life_apply, .applied = life_applied, .role = life_role
    };
}

static inline int life_open_group(struct life *l, unsigned i, uint64_t applied, struct errmsg *why)
{
    struct raft_machine machine = life_machine(&l->machines[i]);

    l->machines[i].applied = applied;
    return raft_group_open(l->raft, i + 1, 0, &life_config, &machine, applied, &l->groups[i], why);
}

static inline void life_begin_tainted(struct life *l, struct store *s, bool tainted)
{
    struct raft_loop_port port = { l, life_wake };

    memset(l, 0, sizeof *l);
    l->raft = raft_open_over(
        s, tainted, &(struct raft_options){ .node_id = 1, .loops = &port, .loop_count = 1 });
    for (unsigned i = 0; i < LIFE_GROUPS; i++)
        buf_init(&l->machines[i].story, 1u << 20);
}

static inline void life_begin(struct life *l, struct store *s)
{
    life_begin_tainted(l, s, false);
}

static inline void life_end(struct life *l)
{
    raft_close(&l->raft);
    assert_null(l->raft);
    for (unsigned i = 0; i < LIFE_GROUPS; i++)
        buf_deinit(&l->machines[i].story);
}

static inline void life_turn(struct life *l)
{
    raft_turn(l->raft, 0, ++l->now_ms);
}

/* Turns with syncs between, until nothing is left to do. */
static inline void life_settle(struct life *l)
{
    do {
        l->wakes = 0;
        life_turn(l);
        store_mem_sync(raft_store_of(l->raft), SIZE_MAX);
    } while (l->wakes > 0);
}

/* Opens one group, or ends the test. */
static inline struct raft_group *life_open(struct life *l, unsigned i, uint64_t applied)
{
    struct errmsg why = { "" };

    if (life_open_group(l, i, applied, &why) != 0) fail_msg("%s", why.text);
    return l->groups[i];
}

static inline void life_lead(struct life *l, unsigned i)
{
    life_open(l, i, 0);
    life_settle(l);
    CHECK(l->machines[i].role == RAFT_LEADER);
    buf_reset(&l->machines[i].story);
}

static inline void ask_on_done(struct raft_proposal *p, enum raft_answer answer, uint64_t index,
                               uint64_t term)
{
    static const char *const names[] = { "committed", "superseded", "unknown" };
    struct ask *a = CONTAINER_OF(p, struct ask, proposal);

    (void)term;
    CHECK(index == p->index);
    a->answer = (int)answer;
    a->answers++;
    if (a->machine) life_tell(a->machine, names[answer], index);
}

static inline void ask_init(struct ask *a, struct machine *m, const char *head)
{
    *a = (struct ask){ .machine = m, .answer = -1 };
    snprintf(a->head, sizeof a->head, "%s", head);
    a->proposal.head = span_cstr(a->head);
    a->proposal.body = SPAN_LIT("the body");
    a->proposal.on_done = ask_on_done;
}

static inline int ask(struct life *l, unsigned i, struct ask *a, const char *head)
{
    ask_init(a, &l->machines[i], head);
    return raft_propose(l->groups[i], &a->proposal);
}

static inline struct raft_group_view life_see(const struct life *l, unsigned i)
{
    struct raft_group_view v;

    raft_group_see(l->groups[i], &v);
    return v;
}

static inline struct store *open_mem_log(void)
{
    struct store *s;

    CHECK(store_open(&s, &(struct store_options){ 0 }, NULL, NULL) == 0);
    return s;
}

#define story_is(l, i, expected) assert_string_equal(buf_cstr(&(l)->machines[i].story), expected)

#endif
