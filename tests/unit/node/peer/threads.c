/* Two nodes with two loops each, on threads, over the real wire: every loop asks the other node, which answers from another
 * thread; meanwhile all connections are cut, again and again. Each call ends once; what is answered is what was asked. */
#include "tests/unit/raft/wire/rig.h"

#include "node/peer/inside.h"

#define LOOPS 2u
#define SLOTS 24u
#define CALLS 1500u /* answered, of each loop */
#define CUTS  6u

struct side;
struct slot {
    struct peer_call call;
    struct caller *caller;
    struct loop_timer again;
    uint64_t value;
    bool is_out;
};
struct caller {
    struct side *side;
    struct loop *loop;
    pthread_t thread;
    struct loop_letter begin;
    struct slot slots[SLOTS];
    uint64_t values;
    atomic_uint answered, ended;
};
struct side {
    struct rig_node rig;
    uint64_t node, other;
    struct peers *peers;
    struct caller callers[LOOPS];
    struct pki *pki;
};
static struct pki pki;
static struct side sides[2];

/* ---- asking */

static void ask(struct slot *s);

static void on_again(struct loop_timer *t)
{
    ask(CONTAINER_OF(t, struct slot, again));
}

static void on_done(struct peer_call *c, int rv, struct span answer, struct span body)
{
    struct slot *s = CONTAINER_OF(c, struct slot, call);

    CHECK(s->is_out);
    s->is_out = false;
    atomic_fetch_add(&s->caller->ended, 1);
    if (rv == 0) {
        CHECK(c->is_answered && answer.n == sizeof s->value && body.n == s->value % 3000);
        CHECK(memcmp(answer.p, &s->value, sizeof s->value) == 0);
        if (atomic_fetch_add(&s->caller->answered, 1) + 1 >= CALLS) return;
    } else {
        CHECK(rv == ERR_CLOSED && !c->is_answered);
    }
    ask(s);
}

static void ask(struct slot *s)
{
    static const uint8_t filling[3000];
    struct caller *c = s->caller;

    s->value = ++c->values;
    s->call = (struct peer_call){ .to = c->side->other,
                                  .kind = PEER_QUERY,
                                  .lane = s->value % 2 ? WIRE_BULK : WIRE_LOG,
                                  .within_ms = 600000,
                                  .request = span_of(&s->value, sizeof s->value),
                                  .body = span_of(filling, s->value % 3000),
                                  .on_done = on_done };
    s->is_out = true;
    if (peer_call(c->side->peers, c->loop, &s->call) == 0) return;
    s->is_out = false; /* the lane is down: it comes again */
    loop_timer_start(&s->again, 1);
}

static void on_begin(struct loop_letter *letter)
{
    struct caller *c = CONTAINER_OF(letter, struct caller, begin);

    for (unsigned i = 0; i < SLOTS; i++) {
        c->slots[i].caller = c;
        loop_timer_init(&c->slots[i].again, c->loop, on_again);
        ask(&c->slots[i]);
    }
}

/* ---- answering, on the other loop than the one that was asked */

struct errand {
    struct loop_letter letter;
    struct peer_ask *ask;
};

static void on_errand(struct loop_letter *letter)
{
    struct errand *e = CONTAINER_OF(letter, struct errand, letter);

    peer_answer(e->ask, 0, e->ask->request, e->ask->body);
    free(e);
}

static void on_ask(void *arg, struct peer_ask *a)
{
    struct side *s = arg;
    struct errand *e = check_calloc(1, sizeof *e);

    e->ask = a;
    e->letter.on_arrive = on_errand;
    loop_post(s->callers[1].loop, &e->letter);
}

/* ---- the nodes */

static void side_open(struct side *s, uint64_t node)
{
    struct wire_events behind;
    char name[16];

    rig_init(&s->rig, node);
    behind = s->rig.o.events;
    s->node = node;
    s->other = 3 - node;
    s->peers = peers_new(node, 1, &behind);
    s->rig.o.events = peers_wire_events(s->peers);
    for (unsigned i = 0; i < LOOPS; i++) {
        struct errmsg why;

        s->callers[i] = (struct caller){ .side = s };
        assert_int_equal(loop_new(&s->callers[i].loop, i, &why), 0);
    }
    peer_serve(s->peers, PEER_QUERY, s->callers[0].loop, on_ask, s);
    snprintf(name, sizeof name, "node%u", (unsigned)node);
    rig_open(&s->rig, &pki, name);
    peers_attach(s->peers, s->rig.wire);
}

static void *run(void *arg)
{
    struct caller *c = arg;

    loop_run(c->loop);
    return NULL;
}

static void side_begin(struct side *s)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        s->callers[i].begin.on_arrive = on_begin;
        loop_post(s->callers[i].loop, &s->callers[i].begin);
        CHECK(pthread_create(&s->callers[i].thread, NULL, run, &s->callers[i]) == 0);
    }
}

static void side_join(struct side *s)
{
    for (unsigned i = 0; i < LOOPS; i++)
        loop_stop(s->callers[i].loop);
    for (unsigned i = 0; i < LOOPS; i++)
        pthread_join(s->callers[i].thread, NULL);
    peers_stop(s->peers);
    for (unsigned turn = 0; turn < 3; turn++)
        for (unsigned i = 0; i < LOOPS; i++)
            loop_turn(s->callers[i].loop, 0);
}

static void side_close(struct side *s)
{
    rig_close(&s->rig);
    peers_free(&s->peers);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_free(&s->callers[i].loop);
}

static void meet(void)
{
    rig_meet(&sides[1].rig, 1, wire_port(sides[0].rig.wire));
    rig_meet(&sides[0].rig, 2, wire_port(sides[1].rig.wire));
}

/* All connections end and come again: the wire forgets the node and is told of it anew. */
static void cut(void)
{
    wire_forget(sides[0].rig.wire, 2);
    rig_meet(&sides[0].rig, 2, wire_port(sides[1].rig.wire));
}

static unsigned answered(void)
{
    unsigned n = UINT32_MAX;

    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < LOOPS; k++) {
            unsigned is = atomic_load(&sides[i].callers[k].answered);

            if (is < n) n = is;
        }
    return n;
}

static void wait_for(unsigned count)
{
    for (unsigned i = 0; answered() < count; i++) {
        struct timespec tick = { .tv_nsec = 1000000 };

        if (i > RIG_WAIT_S * 2000u) rig_never("answers", __FILE__, __LINE__);
        nanosleep(&tick, NULL);
    }
}

static void test_each_call_ends_once_and_with_its_own_answer(void **state)
{
    (void)state;
    side_open(&sides[0], 1);
    side_open(&sides[1], 2);
    meet();
    for (unsigned i = 0; i < 2; i++)
        side_begin(&sides[i]);
    for (unsigned i = 1; i <= CUTS; i++) {
        wait_for(i * CALLS / (CUTS + 1));
        cut();
    }
    wait_for(CALLS);
    for (unsigned i = 0; i < 2; i++)
        side_join(&sides[i]);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < LOOPS; k++)
            for (unsigned n = 0; n < SLOTS; n++)
                assert_false(sides[i].callers[k].slots[n].is_out);
    for (unsigned i = 0; i < 2; i++)
        side_close(&sides[i]);
    assert_int_equal(metric_get(M_PEER_CALLS_OPEN), 0);
    assert_int_equal(metric_get(M_PEER_ASKS_OPEN), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_ends_once_and_with_its_own_answer),
    };
    int rv;

    rig_pki(&pki);
    rv = cmocka_run_group_tests(tests, NULL, NULL);
    pki_end(&pki);
    return rv;
}
