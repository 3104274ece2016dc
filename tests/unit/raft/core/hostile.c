/* hostile - whatever a peer sends, no CHECK of the core fails: messages drawn field by field, mostly near what would
 * be right, at a core that follows, stands, leads, installs. What it then holds is of no account.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "proto/ground/check.h"
#include "proto/ground/rng.h"
#include "raft/core/core.h"

#define CORES    6000
#define MESSAGES 60
#define LOG_MAX  512

static struct rng rng;
static uint64_t memory[1024];
static struct core *const core = (struct core *)memory;
static struct core_update update;
static struct core_config config;
static uint64_t now_ms, applied, log_terms[LOG_MAX];
static unsigned taken, led, appended, cut, installs, asked; /* it went as deep as it should */

static uint64_t draw(uint64_t n)
{
    return rng_below(&rng, n);
}

static void keep_terms(const struct core_event *e)
{
    for (unsigned i = 0; i < update.append.count; i++) {
        CHECK(update.append.index + i < LOG_MAX);
        log_terms[update.append.index + i] =
            update.append.own ? update.append.term
                              : e->u.recv->entries[update.append.skip + i].term;
    }
}

static void step(struct core_event *e)
{
    e->now_ms = now_ms;
    taken += core_step(core, e, &update) == 0 && e->kind == CORE_RECV;
    led += update.role == CORE_LEADER;
    if (update.flags & CORE_APPEND) keep_terms(e);
    appended += (update.flags & CORE_APPEND) && !update.append.own;
    cut += update.append.truncate_from != 0;
    installs += (update.flags & CORE_INSTALL) != 0;
}

static void begin(void)
{
    struct core_options o = { .self = 1,
                              .election_ms = 100,
                              .heartbeat_ms = 20,
                              .rest_after_ms = (uint32_t)draw(2) * 20,
                              .uncommitted_bytes_max = 1000,
                              .limits = { .members_max = 5, .runs_max = 4 },
                              .config = { .count = 3 } };
    struct core_event e = { .kind = CORE_BOOT, .u.boot.first = 1 };

    for (unsigned i = 0; i < 3; i++)
        o.config.members[i] = (struct core_member){ .node = i + 1, .flags = CORE_VOTES_NEW };
    config = o.config;
    CHECK(core_size(&o.limits) <= sizeof memory);
    CHECK(core_init(core, &o) == 0);
    now_ms = applied = 0;
    step(&e);
}

static uint64_t near(uint64_t x)
{
    uint64_t way = draw(100);

    if (way == 0) return draw(2) ? UINT64_MAX : UINT64_C(1) << draw(64);
    return way < 75 ? x : x + draw(4) > 1 ? x + draw(4) - 1 : 0;
}

static void hostile_message(void)
{
    struct core_entry entries[4];
    struct core_config other = config;
    struct core_view v;
    struct core_msg m = { .kind = draw(3) ? draw(CORE_MSG_KINDS + 1) : CORE_MSG_APPEND,
                          .to = draw(20) ? 1 : draw(3) };
    struct core_event e = { .kind = CORE_RECV, .u.recv = &m };

    core_see(core, &v);
    m.from = draw(20) ? 2 + draw(2) : draw(5);
    m.term = near(v.term + draw(2));
    m.reject = draw(2);
    m.disrupt = draw(2);
    m.rest = draw(2);
    m.busy = draw(4) == 0;
    m.lost = draw(4) == 0;
    m.era = (uint32_t)draw(2);
    m.prev.index = near(draw(2) ? v.last : v.commit + draw(v.last - v.commit + 1));
    m.prev.term = near(m.prev.index <= v.last ? log_terms[m.prev.index] : v.last_term);
    m.commit = near(draw(4) ? v.commit : v.last);
    m.context = near(draw(3));
    m.match = near(v.last);
    m.hint = (struct core_pos){ near(v.last), near(v.last_term) };
    m.first = draw(10) ? m.prev.index + 1 : near(v.last);
    m.count = (unsigned)draw(5);
    for (unsigned i = 0; i < 4; i++)
        entries[i] = (struct core_entry){ near(m.term), (uint32_t)near(10),
                                          draw(20) ? 1 + draw(3) : draw(5), &other };
    m.entries = draw(20) ? entries : NULL;
    other.index = near(1);
    other.joint = draw(6) == 0;
    other.count = (unsigned)(draw(6) ? 1 + draw(4) : draw(70));
    if (other.count > 3 && other.count < 6)
        for (unsigned i = 3; i < other.count; i++)
            other.members[i] = (struct core_member){ near(i + 1), 0, 0, (uint8_t)draw(16), 0 };
    m.config = draw(20) ? &other : NULL;
    m.here = core_asks_here(core, &m) > 0 ? log_terms + m.prev.index : NULL;
    asked += m.here != NULL;
    step(&e);
}

/* The host does its part. */
static void host(void)
{
    struct core_event e = { .kind = CORE_TIME };
    struct core_view v;

    core_see(core, &v);
    if (draw(3) == 0 && v.last_write > v.durable_write) {
        e.kind = CORE_DURABLE;
        e.u.durable.write_id = v.last_write;
        step(&e);
    }
    if (update.commit > applied && draw(2)) {
        e.kind = CORE_APPLIED;
        e.u.applied.index = applied = update.commit;
        step(&e);
    }
    core_see(core, &v);
    if (v.installing && v.last_write == v.durable_write) {
        e.kind = CORE_SNAPSHOT_INSTALLED;
        e.u.installed.ok = false;
        step(&e);
    }
    e.kind = draw(4) ? CORE_TIME : CORE_PROPOSE;
    now_ms += draw(60);
    step(&e);
}

static void no_message_fails_a_check(void **state)
{
    (void)state;
    rng_seed(&rng, 5);
    for (unsigned i = 0; i < CORES; i++) {
        begin();
        for (unsigned k = 0; k < MESSAGES; k++) {
            hostile_message();
            host();
        }
    }
    printf("%u taken, led %u, appended %u, cut off %u, installed %u, asked for terms %u\n", taken,
           led, appended, cut, installs, asked);
    assert_true(taken > CORES && led > CORES && appended > CORES && cut > 50 && installs > 50);
    assert_true(asked > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_message_fails_a_check) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
