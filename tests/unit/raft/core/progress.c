/* progress - what a leader sends to each peer, over many drawn lives of one leader: whatever the others answer, however their
 * nodes come and go, the windows are kept, a question waits for its answer, a snapshot goes alone, who is down gets nothing
 * (thesis 10.2.1; progress.c, send.c).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/ground/check.h"
#include "proto/ground/err.h"
#include "proto/ground/rng.h"
#include "raft/core/core.h"

#define LIVES     150
#define STEPS     400
#define PEERS     4 /* 1 leads, 2 and 3 vote, 4 learns */
#define LOG_MAX   2000
#define HEARTBEAT 10
#define WINDOW    8 /* entries */
#define APPEND    4
#define BYTES     500
#define AT_ONCE   200
#define MIN(a, b) ((a) < (b) ? (a) : (b))

struct peer {
    struct core_peer_view view;
    bool up, waits; /* waits: was asked, and has not answered */
    uint64_t asked_ms;
    unsigned snapshots; /* asked for, and not reported on: several when an answer came between */
};
static struct leader {
    struct core *core;
    struct core_update u;
    struct rng rng;
    uint64_t now_ms, first, last, applied, weight;
    uint64_t terms[LOG_MAX];
    struct peer peers[PEERS + 1];
    unsigned came; /* or went, in this step */
    bool leads;
} at;

/* What was looked at, so that nothing is held by never being met. */
static unsigned met_windows_full, met_waits, met_snapshots, met_downs;

static uint64_t draw(uint64_t n)
{
    return rng_below(&at.rng, n);
}

/* ---- what must hold */

static void look_at_append(const struct core_msg *m, struct peer *p, const struct peer *before)
{
    uint64_t upto = m->prev.index + m->count;

    assert_int_equal(m->first, m->prev.index + 1);
    assert_true(m->prev.index + 1 >= at.first && upto <= at.last);
    if (m->prev.term != 0) assert_int_equal(m->prev.term, at.terms[m->prev.index]);
    assert_true(m->count <= APPEND);
    assert_true(m->count <= 1 ||
                m->count * at.weight <= AT_ONCE + at.weight); /* a no-op weighs nothing */
    assert_int_not_equal(p->view.progress, CORE_SNAPSHOTS);
    if (p->view.progress != CORE_PROBES) return;
    if (p->waits && before->view.progress == CORE_PROBES)
        assert_true(at.now_ms >= p->asked_ms + HEARTBEAT);
    assert_int_equal(m->prev.index + 1, p->view.next); /* and moves nothing */
    p->waits = true;
    p->asked_ms = at.now_ms;
}

static void look_at_send(const struct core_msg *m, const struct peer *before)
{
    struct peer *p = &at.peers[m->to];

    assert_true(p->up || m->kind == CORE_MSG_TIMEOUT_NOW);
    switch (m->kind) {
    case CORE_MSG_APPEND:
        look_at_append(m, p, before);
        break;
    case CORE_MSG_HEARTBEAT:
        assert_true(m->commit <= p->view.match);
        break;
    case CORE_MSG_SNAPSHOT:
        assert_int_equal(p->view.progress, CORE_SNAPSHOTS);
        assert_true(before->view.progress != CORE_SNAPSHOTS || at.came == m->to);
        p->snapshots++;
        met_snapshots++;
        break;
    default:
        fail_msg("a leader sends no message of kind %d", (int)m->kind);
    }
}

static void look_at_peer(const struct peer *p, const struct peer *before)
{
    uint64_t sent = p->view.next - 1 - p->view.match,
             weighed = sent; /* what is cut weighs nothing */

    if (at.first - 1 > p->view.match) weighed = p->view.next - MIN(p->view.next, at.first);
    assert_true(p->view.match >= before->view.match);
    assert_true(p->view.match < p->view.next && p->view.next <= at.last + 1);
    met_waits += p->waits;
    met_downs += !p->up;
    if (p->view.progress != CORE_REPLICATES) return;
    assert_true(sent < WINDOW + APPEND);
    assert_true(weighed <= 1 || (weighed - 1) * at.weight < BYTES + AT_ONCE);
    met_windows_full += sent >= WINDOW || weighed * at.weight >= BYTES;
}

static void look(const struct peer *before)
{
    unsigned appends[PEERS + 1] = { 0 };

    for (unsigned i = 2; i <= PEERS; i++)
        assert_true(core_see_peer(at.core, i - 1, &at.peers[i].view));
    for (unsigned i = 0; i < at.u.send_count; i++) {
        const struct core_msg *m = &at.u.sends[i].msg;

        look_at_send(m, &before[m->to]);
        appends[m->to] += m->kind == CORE_MSG_APPEND;
    }
    for (unsigned i = 2; i <= PEERS; i++) {
        look_at_peer(&at.peers[i], &before[i]);
        if (at.peers[i].view.progress == CORE_PROBES) assert_true(appends[i] <= 1);
    }
}

/* ---- events */

static int step(struct core_event *e)
{
    struct peer before[PEERS + 1];
    int rv;

    memcpy(before, at.peers, sizeof before);
    e->now_ms = at.now_ms;
    rv = core_step(at.core, e, &at.u);
    if (at.u.flags & CORE_APPEND) {
        at.last = at.u.append.index;
        at.terms[at.last] = at.u.append.term;
    }
    at.leads |= at.u.role == CORE_LEADER;
    if (!at.leads) return rv;
    assert_int_equal(at.u.role, CORE_LEADER);
    look(before);
    return rv;
}

static void hear(struct core_msg m)
{
    struct core_event e = { .kind = CORE_RECV, .u.recv = &m };

    m.to = 1;
    if (m.term == 0) m.term = at.u.term;
    if (m.kind == CORE_MSG_APPEND_REPLY) at.peers[m.from].waits = false;
    CHECK(step(&e) == 0);
}

static void sync_all(void)
{
    struct core_view v;
    struct core_event e = { .kind = CORE_DURABLE };

    core_see(at.core, &v);
    if (v.durable_write == v.last_write) return;
    e.u.durable.write_id = v.durable_write + 1 + draw(v.last_write - v.durable_write);
    step(&e);
}

static void apply_all(void)
{
    struct core_event e = { .kind = CORE_APPLIED, .u.applied.index = at.u.commit };

    if (at.u.commit == at.applied) return;
    at.applied = at.u.commit;
    step(&e);
}

static void cut(void)
{
    struct core_event e = { .kind = CORE_CUT };

    if (at.applied < at.first) return;
    e.u.cut.index = at.first + draw(at.applied - at.first + 1);
    e.u.cut.term = at.terms[e.u.cut.index];
    at.first = e.u.cut.index + 1;
    step(&e);
}

static void answer(unsigned from)
{
    const struct core_peer_view *v = &at.peers[from].view;
    struct core_msg m = { .kind = CORE_MSG_APPEND_REPLY, .from = from };

    if (draw(4) == 0) { /* anything that could have been said by whom */
        m.reject = true;
        m.prev.index = draw(at.last + 2);
        m.hint.index = draw(at.last + 2);
        m.hint.term = m.hint.index ? 1 + draw(4) : 0;
    } else {
        m.match = draw(3) ? v->match + draw(v->next - v->match) : draw(at.last + 1);
        m.busy = draw(10) == 0;
    }
    hear(m);
}

static void beat(unsigned from)
{
    struct core_msg m = { .kind = CORE_MSG_HEARTBEAT_REPLY, .from = from };

    m.hint = (struct core_pos){ draw(at.last + 3), 1 + draw(4) };
    hear(m);
}

static void report(unsigned to)
{
    struct core_event e = { .kind = CORE_SNAPSHOT_SENT, .u.snapshot_sent.to = to };

    if (at.peers[to].snapshots == 0) return;
    at.peers[to].snapshots--;
    at.peers[to].waits = false;
    e.u.snapshot_sent.ok = at.applied > 0 && draw(2);
    e.u.snapshot_sent.pos = (struct core_pos){ at.applied, at.terms[at.applied] };
    step(&e);
}

static void come_or_go(unsigned node)
{
    struct core_event e = { .kind = CORE_PEER, .u.peer.node = node };

    e.u.peer.up = at.peers[node].up = draw(2);
    at.peers[node].waits = false;
    at.came = node;
    step(&e);
    at.came = 0;
}

static void pass_time(void)
{
    struct core_event e = { .kind = CORE_TIME };

    at.now_ms += draw(2 * HEARTBEAT);
    step(&e);
}

static void propose(void)
{
    struct core_event e = { .kind = CORE_PROPOSE };

    e.u.propose.weight = (uint32_t)at.weight;
    e.u.propose.more = draw(4) == 0;
    step(&e);
}

static void happen(void)
{
    unsigned who = 2 + (unsigned)draw(PEERS - 1);

    switch (draw(16)) {
    case 0:
        come_or_go(who);
        break;
    case 1:
        cut();
        break;
    case 2:
        report(who);
        break;
    case 3:
        pass_time();
        break;
    case 4:
        beat(who);
        break;
    case 5:
        sync_all();
        break;
    case 6:
        apply_all();
        break;
    case 7:
    case 8:
    case 9:
        answer(who);
        break;
    default:
        propose();
    }
}

/* ---- a life: a log of some terms, an election, and then whatever comes */

static void boot(uint64_t last)
{
    struct core_event e = { .kind = CORE_BOOT };
    struct core_run runs[4];
    unsigned run_count = 0;

    for (uint64_t i = 1; i <= last; i++) {
        at.terms[i] = i == 1 ? 1 : at.terms[i - 1] + (at.terms[i - 1] < 3 && draw(3) == 0);
        if (i == 1 || at.terms[i] != at.terms[i - 1])
            runs[run_count++] = (struct core_run){ i, at.terms[i] };
    }
    at.last = last;
    at.first = 1;
    e.u.boot.hard.term = 3;
    e.u.boot.first = 1;
    e.u.boot.last = last;
    e.u.boot.last_term = at.terms[last];
    e.u.boot.runs = runs;
    e.u.boot.run_count = run_count;
    e.u.boot.bytes = last * at.weight;
    CHECK(step(&e) == 0);
}

static void lead(void)
{
    at.now_ms = at.u.wake_at_ms;
    pass_time();
    hear((struct core_msg){ .kind = CORE_MSG_PREVOTE_REPLY, .from = 2, .term = 4 });
    sync_all();
    hear((struct core_msg){ .kind = CORE_MSG_VOTE_REPLY, .from = 2 });
    assert_true(at.leads);
}

static void live(uint64_t seed)
{
    struct core_options o = { .self = 1,
                              .election_ms = 1u
                                             << 30, /* nobody loses its office for being silent */
                              .heartbeat_ms = HEARTBEAT,
                              .window_entries = WINDOW,
                              .window_bytes = BYTES,
                              .append_entries_max = APPEND,
                              .append_bytes_max = AT_ONCE,
                              .uncommitted_bytes_max = 3000,
                              .seed = seed,
                              .limits = { .members_max = PEERS },
                              .config = { .count = PEERS } };

    memset(&at, 0, sizeof at);
    rng_seed(&at.rng, seed);
    at.weight = 1 + draw(150);
    for (unsigned i = 1; i <= PEERS; i++) {
        o.config.members[i - 1] = (struct core_member){
            .node = i, .flags = i == PEERS ? CORE_LEARNS : CORE_VOTES_NEW, .priority = 1
        };
        at.peers[i].up = true;
    }
    at.core = check_calloc(1, core_size(&o.limits));
    CHECK(core_init(at.core, &o) == 0);
    boot(draw(20));
    lead();
    for (unsigned i = 0; i < STEPS && at.last + 2 < LOG_MAX; i++)
        happen();
    free(at.core);
}

static void windows_are_kept(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= LIVES; seed++)
        live(seed);
    assert_true(met_windows_full > 1000);
}

/* Held in each step of the lives before: here only that it was met. */
static void a_question_waits_for_its_answer(void **state)
{
    (void)state;
    assert_true(met_waits > 1000);
}

static void a_peer_that_gets_a_snapshot_gets_nothing_else(void **state)
{
    (void)state;
    assert_true(met_snapshots > 100);
}

static void who_is_down_gets_nothing(void **state)
{
    (void)state;
    assert_true(met_downs > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_kept),
        cmocka_unit_test(a_question_waits_for_its_answer),
        cmocka_unit_test(a_peer_that_gets_a_snapshot_gets_nothing_else),
        cmocka_unit_test(who_is_down_gets_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
