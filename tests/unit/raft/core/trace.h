/* trace - tells a core events and writes down what it answers, one line an event:
 *
 *   event -> write 2: append 6@4 noop, commit 5, leader 4 by 1, ready, wake 150
 *
 * Only what the update says is there is printed; "-" is nothing. A test compares the whole trace.
 */
#ifndef TEST_CORE_TRACE_H
#define TEST_CORE_TRACE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/ground/buf.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "raft/core/core.h"

struct trace {
    struct core *core;
    struct buf text;
    uint64_t now_ms;
    struct core_update last;
    int rv;
};

struct trace_log { /* what the disk holds */
    struct core_hard hard;
    uint64_t first, last, last_term, applied;
    bool tainted;
};

static const char *const trace_roles[] = { "follower", "precandidate", "candidate", "leader",
                                           "broken" };
static const char *const trace_kinds[] = { "?", "noop", "command", "config" };

static inline void trace_open(struct trace *t, const struct core_options *o)
{
    *t = (struct trace){ .core = check_calloc(1, core_size(&o->limits)) };
    buf_init(&t->text, 1u << 20);
    CHECK(core_init(t->core, o) == 0);
}

static inline void trace_close(struct trace *t)
{
    free(t->core);
    buf_deinit(&t->text);
}

static inline void trace_update(struct trace *t)
{
    const struct core_update *u = &t->last;
    const char *gap = "";

    if (t->rv != 0) {
        buf_addf(&t->text, "%s\n", err_name(t->rv));
        return;
    }
    if (u->write_id) buf_addf(&t->text, "write %" PRIu64 ":", u->write_id);
    if (u->flags & CORE_HARD)
        buf_addf(&t->text, " hard %" PRIu64 "/%" PRIu64, u->hard.term, u->hard.vote);
    if (u->flags & CORE_APPEND)
        buf_addf(&t->text, " append %" PRIu64 "@%" PRIu64 " %s", u->append.index, u->append.term,
                 trace_kinds[u->append.kind]);
    if (u->write_id) gap = ", ";
    if (u->flags & CORE_COMMIT) buf_addf(&t->text, "%scommit %" PRIu64, gap, u->commit), gap = ", ";
    if (u->flags & CORE_ROLE) {
        buf_addf(&t->text, "%s%s %" PRIu64, gap, trace_roles[u->role], u->term), gap = ", ";
        if (u->leader) buf_addf(&t->text, " by %" PRIu64, u->leader);
        if (u->ready) buf_addf(&t->text, ", ready");
    }
    if (u->wake_at_ms != UINT64_MAX)
        buf_addf(&t->text, "%swake %" PRIu64, gap, u->wake_at_ms), gap = ", ";
    buf_add_cstr(&t->text, *gap ? "\n" : "-\n");
}

static inline int trace_step(struct trace *t, struct core_event *e)
{
    e->now_ms = t->now_ms;
    t->rv = core_step(t->core, e, &t->last);
    trace_update(t);
    return t->rv;
}

static inline int trace_boot(struct trace *t, const struct trace_log *log)
{
    struct core_event e = { .kind = CORE_BOOT };

    e.u.boot.hard = log->hard;
    e.u.boot.first = log->first;
    e.u.boot.last = log->last;
    e.u.boot.last_term = log->last_term;
    e.u.boot.applied = log->applied;
    e.u.boot.tainted = log->tainted;
    buf_addf(&t->text, "boot %" PRIu64 "..%" PRIu64 " applied %" PRIu64 " -> ", log->first,
             log->last, log->applied);
    return trace_step(t, &e);
}

static inline void trace_time(struct trace *t, uint64_t now_ms)
{
    struct core_event e = { .kind = CORE_TIME };

    t->now_ms = now_ms;
    buf_addf(&t->text, "time %" PRIu64 " -> ", now_ms);
    trace_step(t, &e);
}

static inline int trace_propose(struct trace *t, uint32_t weight, uint64_t fence)
{
    struct core_event e = { .kind = CORE_PROPOSE };

    e.u.propose.term = fence;
    e.u.propose.weight = weight;
    buf_addf(&t->text, "propose %u -> ", weight);
    return trace_step(t, &e);
}

static inline void trace_durable(struct trace *t, uint64_t write_id)
{
    struct core_event e = { .kind = CORE_DURABLE };

    e.u.durable.write_id = write_id;
    buf_addf(&t->text, "durable %" PRIu64 " -> ", write_id);
    trace_step(t, &e);
}

static inline void trace_applied(struct trace *t, uint64_t index)
{
    struct core_event e = { .kind = CORE_APPLIED };

    e.u.applied.index = index;
    buf_addf(&t->text, "applied %" PRIu64 " -> ", index);
    trace_step(t, &e);
}

static inline void trace_iofail(struct trace *t)
{
    struct core_event e = { .kind = CORE_IOFAIL };

    buf_addf(&t->text, "iofail -> ");
    trace_step(t, &e);
}

/* Until it is ready: term 1, its no-op is entry 1, the next write is 3. */
static inline void trace_lead(struct trace *t)
{
    trace_boot(t, &(struct trace_log){ .first = 1 });
    trace_time(t, t->last.wake_at_ms);
    trace_durable(t, 1);
    trace_durable(t, 2);
    trace_applied(t, 1);
    CHECK(t->last.ready);
    buf_reset(&t->text);
}

static inline struct core_view trace_see(const struct trace *t)
{
    struct core_view v;

    core_see(t->core, &v);
    return v;
}

#define trace_expect(t, expected) assert_string_equal(buf_cstr(&(t)->text), expected)

/* True when the call ends the process by a failed CHECK. */
static inline bool dies(void (*call)(struct trace *t), struct trace *t)
{
    int status = 0;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        call(t);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static const struct core_options trace_options = {
    .self = 1,
    .limits = { .members_max = 3 },
    .config = { .count = 1, .members = { { .node = 1, .flags = CORE_VOTES_NEW, .priority = 1 } } },
    .uncommitted_bytes_max = 1000,
    .seed = 7
};

#endif
