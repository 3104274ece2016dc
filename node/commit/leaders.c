/* leaders - the table of what nodes say, and the telling of what this one leads. All but the table is on loop 0. */
#include "node/commit/leaders.h"

#include "node/commit/forward.h"
#include "node/commit/shard.h"
#include "node/commit/words.h"

#define TELL_EVERY_MS  100 /* what changed without a word, and what was not heard */
#define TELL_WITHIN_MS 10000

struct told {
    struct peer_call call;
    struct leaders *leaders;
    uint64_t node, generation; /* of the connection over which it was told last */
    uint64_t version, sending; /* of what was told; of what is on its way */
    bool is_out;
};
struct leader {
    uint64_t node, generation;
    bool takes, leaves, is_near; /* of our region */
    bool is_silent;              /* its lane is up, and nothing comes */
    uint8_t *shards;     /* a bit each, by number - 1 */
};
struct leaders {
    struct commit *commit;
    struct loop *loop;
    struct peers *peers;
    struct peer_watch watch;
    struct loop_timer timer;
    struct loop_letter letter;
    atomic_bool is_posted;
    struct buf saying, said; /* PeerLeads: now, and when it was given its version */
    uint64_t version;
    struct told told[WIRE_PEERS_MAX];
    unsigned told_count;
    atomic_uint takers, turn;
    pthread_mutex_t lock; /* guards the table */
    struct leader table[WIRE_PEERS_MAX];
    unsigned count;
};

/* ---- the table */

static void count_takers(struct leaders *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->count; i++)
        n += s->table[i].takes && !s->table[i].is_silent;
    atomic_store(&s->takers, n);
}

static bool is_up(const struct peer_link *up, unsigned count, const struct leader *e)
{
    for (unsigned i = 0; i < count; i++)
        if (up[i].node == e->node) return up[i].generation == e->generation;
    return false;
}

static void forget_gone(struct leaders *s, const struct peer_link *up, unsigned count)
{
    unsigned kept = 0;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->count; i++) {
        if (is_up(up, count, &s->table[i]))
            s->table[kept++] = s->table[i];
        else
            free(s->table[i].shards);
    }
    s->count = kept;
    pthread_mutex_unlock(&s->lock);
}

/* Over a cable that is cut a lane stays up until its silence is too long; what is sent meanwhile waits as long. */
static void mark_silent(struct leaders *s)
{
    uint64_t now_ms = loop_mono_ms(s->loop);

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->count; i++) {
        struct leader *e = &s->table[i];
        struct raft_peer_view v;

        e->is_silent = raft_peer_see(s->commit->o.raft, e->node, &v) && !v.up;
        if (!e->is_silent || now_ms < v.heard_ms + FORWARD_SILENT_MS) continue;
        peers_end_calls(s->peers, e->node, PEER_MAIL);
        peers_end_calls(s->peers, e->node, PEER_CHUNK);
    }
    count_takers(s);
    pthread_mutex_unlock(&s->lock);
}

static struct leader *entry_of(struct leaders *s, uint64_t node)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->table[i].node == node) return &s->table[i];
    if (s->count == WIRE_PEERS_MAX) return NULL;
    s->table[s->count] = (struct leader){ .node = node };
    s->table[s->count].shards = check_calloc(1, s->commit->shard_max / 8 + 1);
    return &s->table[s->count++];
}

static int take(struct leaders *s, const struct peer_ask *a, const Angarium__PeerLeads *said)
{
    const char *region = s->commit->o.region ? s->commit->o.region : "";
    struct leader *e;

    pthread_mutex_lock(&s->lock);
    e = entry_of(s, a->from);
    if (e) {
        memset(e->shards, 0, s->commit->shard_max / 8 + 1);
        e->generation = a->generation;
        e->takes = said->takes && said->n_shards > 0;
        e->leaves = said->leaves;
        e->is_near = span_eq(proto_span(said->region), span_cstr(region));
        for (size_t i = 0; i < said->n_shards; i++) {
            uint32_t bit = said->shards[i] - 1;

            if (bit < s->commit->shard_max) e->shards[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
        count_takers(s);
    }
    pthread_mutex_unlock(&s->lock);
    return e ? 0 : ERR_FULL;
}

static void on_ask(void *arg, struct peer_ask *a)
{
    struct leaders *s = arg;
    Angarium__PeerLeads *said;
    struct arena arena;
    int rv;

    arena_init(&arena, WORDS_ARENA_MAX);
    rv = words_leads(a->request, &arena, &said);
    if (rv == 0) rv = take(s, a, said);
    arena_deinit(&arena);
    peer_answer(a, rv, span_of(NULL, 0), span_of(NULL, 0));
}

/* ---- what is asked of it */

static bool is_among(uint64_t node, const uint64_t *nodes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (nodes[i] == node) return true;
    return false;
}

static uint64_t choose(struct leaders *s, const uint64_t *tried, unsigned count)
{
    unsigned from = atomic_fetch_add_explicit(&s->turn, 1, memory_order_relaxed);

    for (unsigned near = 1; near <= 2; near++)
        for (unsigned i = 0; i < s->count; i++) {
            const struct leader *e = &s->table[(from + i) % s->count];

            if (!e->takes || e->is_silent || e->is_near != (near == 1) || is_among(e->node, tried, count)) continue;
            return e->node;
        }
    return 0;
}

uint64_t leaders_choose(struct commit *c, const uint64_t *tried, unsigned count)
{
    struct leaders *s = c->leaders;
    uint64_t node;

    if (!s || atomic_load(&s->takers) == 0) return 0;
    pthread_mutex_lock(&s->lock);
    node = choose(s, tried, count);
    pthread_mutex_unlock(&s->lock);
    return node;
}

bool leaders_leaves(struct commit *c, uint64_t node)
{
    struct leaders *s = c->leaders;
    bool leaves = false;

    if (!s) return false;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->count; i++)
        leaves = leaves || (s->table[i].node == node && s->table[i].leaves);
    pthread_mutex_unlock(&s->lock);
    return leaves;
}

bool leaders_any(struct commit *c)
{
    return c->leaders && atomic_load(&c->leaders->takers) > 0;
}

uint64_t leaders_of(struct commit *c, uint32_t shard)
{
    struct leaders *s = c->leaders;
    const uint32_t bit = shard - 1;
    uint64_t node = 0;

    if (!s || bit >= c->shard_max) return 0;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->count && node == 0; i++)
        if (!s->table[i].is_silent && s->table[i].shards[bit / 8] & 1u << bit % 8)
            node = s->table[i].node;
    pthread_mutex_unlock(&s->lock);
    return node;
}

/* ---- the telling */

static void say(struct leaders *s)
{
    Angarium__PeerLeads l = ANGARIUM__PEER_LEADS__INIT;
    struct commit *c = s->commit;
    unsigned count = commit_shard_count(c);
    uint32_t shards[WORDS_SHARDS_MAX];

    for (unsigned i = 0; i < count && l.n_shards < WORDS_SHARDS_MAX; i++)
        if (atomic_load_explicit(&c->shards[i].leads_shared, memory_order_relaxed))
            shards[l.n_shards++] = i + 1;
    l.shards = shards;
    l.takes = commit_takes_here(c, 0) == 0;
    l.leaves = atomic_load(&c->leaving);
    l.region = proto_bytes(span_cstr(c->o.region ? c->o.region : ""));
    buf_reset(&s->saying);
    proto_pack(&l.base, &s->saying);
    CHECK(!buf_failed(&s->saying));
    if (s->version > 0 && span_eq(buf_span(&s->saying), buf_span(&s->said))) return;
    buf_reset(&s->said);
    buf_add_span(&s->said, buf_span(&s->saying));
    s->version++;
}

static void on_told(struct peer_call *call, int rv, struct span answer, struct span body)
{
    struct told *t = CONTAINER_OF(call, struct told, call);

    (void)answer, (void)body;
    t->is_out = false;
    if (rv != 0) return; /* the timer says it again */
    t->version = t->sending;
    if (t->version != t->leaders->version) leaders_changed(t->leaders->commit);
}

static struct told *told_of(struct leaders *s, uint64_t node)
{
    for (unsigned i = 0; i < s->told_count; i++)
        if (s->told[i].node == node) return &s->told[i];
    for (unsigned i = 0; i < s->told_count && s->told_count == WIRE_PEERS_MAX; i++)
        if (!s->told[i].is_out && !peers_is_up(s->peers, s->told[i].node)) return &s->told[i];
    return s->told_count < WIRE_PEERS_MAX ? &s->told[s->told_count++] : NULL;
}

static void tell(struct leaders *s, const struct peer_link *to)
{
    struct told *t = told_of(s, to->node);

    if (!t || t->is_out) return;
    if (t->node == to->node && t->generation == to->generation && t->version == s->version) return;
    t->leaders = s;
    t->node = to->node;
    t->generation = to->generation;
    t->sending = s->version;
    t->version = 0;
    t->call = (struct peer_call){ .to = to->node,
                                  .kind = PEER_LEADS,
                                  .lane = WIRE_BULK,
                                  .within_ms = TELL_WITHIN_MS,
                                  .request = buf_span(&s->said),
                                  .on_done = on_told };
    t->is_out = peer_call(s->peers, s->loop, &t->call) == 0;
}

static void tell_all(struct leaders *s)
{
    struct peer_link up[WIRE_PEERS_MAX];
    unsigned count = peers_up(s->peers, up);

    say(s);
    forget_gone(s, up, count);
    mark_silent(s);
    for (unsigned i = 0; i < count; i++)
        tell(s, &up[i]);
}

static void on_timer(struct loop_timer *t)
{
    tell_all(CONTAINER_OF(t, struct leaders, timer));
    loop_timer_start(t, TELL_EVERY_MS);
}

static void on_link(struct peer_watch *w)
{
    tell_all(CONTAINER_OF(w, struct leaders, watch));
}

static void on_changed(struct loop_letter *letter)
{
    struct leaders *s = CONTAINER_OF(letter, struct leaders, letter);

    atomic_store(&s->is_posted, false);
    tell_all(s);
}

void leaders_changed(struct commit *c)
{
    struct leaders *s = c->leaders;

    if (s && !atomic_exchange(&s->is_posted, true)) loop_post(s->loop, &s->letter);
}

/* ---- opening */

void leaders_open(struct commit *c)
{
    struct leaders *s;

    if (!c->o.peers) return;
    s = check_calloc(1, sizeof *s);
    s->commit = c;
    s->loop = c->o.loops[0];
    s->peers = c->o.peers;
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    buf_init(&s->saying, WORDS_SMALL_MAX);
    buf_init(&s->said, WORDS_SMALL_MAX);
    s->letter.on_arrive = on_changed;
    c->leaders = s;
    peer_serve(s->peers, PEER_LEADS, s->loop, on_ask, s);
    s->watch = (struct peer_watch){ .loop = s->loop, .on_change = on_link };
    peers_watch(s->peers, &s->watch);
    loop_timer_init(&s->timer, s->loop, on_timer);
    loop_timer_start(&s->timer, TELL_EVERY_MS);
}

void leaders_close(struct commit *c)
{
    struct leaders *s = c->leaders;

    if (!s) return;
    c->leaders = NULL;
    loop_timer_stop(&s->timer);
    for (unsigned i = 0; i < s->count; i++)
        free(s->table[i].shards);
    buf_deinit(&s->saying);
    buf_deinit(&s->said);
    CHECK(pthread_mutex_destroy(&s->lock) == 0);
    free(s);
}
