/* vacate - a replica that moved away: what this node has of the shard goes; of its log a tombstone stays (raft_group_bury).
 *
 * Danger: control's copy here may be old, and the shard on its way back: this node would give up what a quorum counts on.
 * Order: 1. a question to control, and a note of what the group has   2. an entry of control's log, behind the question, says that
 *        no placement in force, or on its way, has this node   3. nothing has come for the group since the note: so nobody counts on
 *        anything that came later; and it is closed in the same turn, so that nothing will   4. the log is buried, synced
 *        5. the state is forgotten, synced.
 * A crash leaves a part of 4 and 5. At each start what is here of shards that are not held is looked for, and control asked anew;
 *   who holds the shard again by then finishes it first (ERR_AGAIN of raft_group_open), then opens. A placement that comes while
 *   the pool is at it waits.
 * Bounds: one shard of a node at a time is asked for and removed; asked again after ASK_MS while there is no answer. What cannot be
 *   read stays: shard.not_removed.
 */
#include "node/commit/shard.h"

#define ASK_MS 1000

enum stage { VACATE_LOOKS, VACATE_WAITS, VACATE_GOES, VACATE_STAYS };

/* What a member acknowledges, or is told, changes one of these. */
struct mark {
    uint64_t term, last, commit, applied, config;
    uint32_t version;
    bool installing;
};

struct vacating {
    enum stage stage;
    uint64_t question, ask_ms; /* question 0: none is out */
    struct mark mark;
    bool is_back; /* while the pool was at it the shard was placed here */
    struct commit_placement back;
};

struct removal {
    struct house_job job;
    bool had;
    struct errmsg why;
};

/* ---- on the pool */

/* Where the state of a shard that is not open ends. */
static int state_end(struct shard *s, uint64_t *out, struct errmsg *why)
{
    struct queue *q = NULL;
    int rv = queue_open(&q, s->commit->o.store, s->number, why);

    if (rv != 0) return rv;
    *out = queue_applied(q);
    queue_close(&q);
    return 0;
}

static void run_look(struct house_job *j)
{
    struct removal *r = CONTAINER_OF(j, struct removal, job);
    bool remains = false, buried;
    uint64_t end = 0;

    j->rv =
        raft_group_remains(j->shard->commit->o.raft, j->shard->number, &remains, &buried, &r->why);
    if (j->rv == 0) j->rv = state_end(j->shard, &end, &r->why);
    if (j->rv == 0) j->rv = remains || end > 0 ? ERR_EXISTS : ERR_NOT_FOUND;
}

static void run_removal(struct house_job *j)
{
    struct removal *r = CONTAINER_OF(j, struct removal, job);
    struct commit *c = j->shard->commit;
    uint64_t end = 0;
    bool had_state;

    j->rv = state_end(j->shard, &end, &r->why);
    if (j->rv == 0) j->rv = raft_group_bury(c->o.raft, j->shard->number, end, &r->had, &r->why);
    if (j->rv != 0) return;
    had_state = queue_forget(c->o.store, j->shard->number);
    r->had = r->had || had_state;
}

/* ---- one at a time */

static bool take_turn(struct shard *s)
{
    uint32_t nobody = 0;

    return atomic_compare_exchange_strong(&s->commit->vacates, &nobody, s->number) ||
           nobody == s->number;
}

static void give_turn(struct shard *s)
{
    uint32_t self = s->number;

    atomic_compare_exchange_strong(&s->commit->vacates, &self, 0);
}

static void begin(struct shard *s, enum stage stage)
{
    s->vacating = check_calloc(1, sizeof *s->vacating);
    s->vacating->stage = stage;
    atomic_fetch_add(&s->commit->vacating_count, 1);
}

void vacate_end(struct shard *s)
{
    if (!s->vacating) return;
    free(s->vacating);
    s->vacating = NULL;
    atomic_fetch_sub(&s->commit->vacating_count, 1);
    give_turn(s);
}

unsigned commit_vacating(struct commit *c)
{
    return atomic_load(&c->vacating_count);
}

/* ---- the pool is done */

static void tell_kept(const struct shard *s, const struct removal *r)
{
    log_event(LOG_ERROR, "shard.not_removed", LOG_NUM("shard", s->number),
              LOG_TEXT("error", r->why.text));
}

/* It is here again: as if it had been placed only now. */
static void come_back(struct shard *s)
{
    const struct commit_placement back = s->vacating->back;

    vacate_end(s);
    place_take(s, &back);
}

static void on_looked(struct house_job *j)
{
    struct removal *r = CONTAINER_OF(j, struct removal, job);
    struct shard *s = j->shard;

    if (j->rv == ERR_CLOSED) {
        ;
    } else if (s->vacating->is_back) {
        come_back(s);
    } else if (j->rv == ERR_NOT_FOUND || s->has_ended) {
        vacate_end(s);
    } else {
        s->vacating->stage = j->rv == ERR_EXISTS ? VACATE_WAITS : VACATE_STAYS;
        if (j->rv != ERR_EXISTS) tell_kept(s, r);
        shard_count(s->commit, s->number);
        loop_again(s->loop);
    }
    free(r);
}

static void on_removed(struct house_job *j)
{
    struct removal *r = CONTAINER_OF(j, struct removal, job);
    struct shard *s = j->shard;

    if (j->rv == ERR_CLOSED) {
        free(r);
        return;
    }
    if (j->rv != 0) tell_kept(s, r);
    if (j->rv == 0 && r->had) {
        metric_add(M_SHARDS_MOVED_AWAY, 1);
        log_event(LOG_INFO, "shard.removed", LOG_NUM("shard", s->number),
                  LOG_TEXT("reason", "moved"));
    }
    if (s->vacating->is_back && j->rv != 0) /* it can neither be read nor be opened */
        check_last_word("shard", "removal of what was left", r->why.text);
    if (s->vacating->is_back && !s->has_ended) {
        come_back(s);
    } else if (j->rv == 0 || s->has_ended) {
        vacate_end(s);
    } else {
        s->vacating->stage = VACATE_STAYS;
        give_turn(s);
    }
    free(r);
}

static void to_pool(struct shard *s, void (*run)(struct house_job *j),
                    void (*done)(struct house_job *j))
{
    struct removal *r = check_calloc(1, sizeof *r);

    r->job = (struct house_job){ .shard = s, .run = run, .done = done };
    house_do(&r->job);
}

static void look(struct shard *s)
{
    begin(s, VACATE_LOOKS);
    to_pool(s, run_look, on_looked);
}

static void go(struct shard *s)
{
    s->vacating->stage = VACATE_GOES;
    if (s->is_open) shard_end(s);
    to_pool(s, run_removal, on_removed);
}

/* ---- control is asked */

static struct mark mark_of(const struct shard *s)
{
    struct raft_group_view v;
    const struct core_config *config;

    if (!s->is_open) return (struct mark){ 0 }; /* nothing can come */
    raft_group_see(s->group, &v);
    config = raft_group_config(s->group);
    return (struct mark){ v.term,        v.last,          v.commit,    v.applied,
                          config->index, config->version, v.installing };
}

static bool is_same(const struct mark *a, const struct mark *b)
{
    return a->term == b->term && a->last == b->last && a->commit == b->commit &&
           a->applied == b->applied && a->config == b->config && a->version == b->version &&
           a->installing == b->installing;
}

static bool may_go(const struct shard *s)
{
    return !s->is_open || (!s->is_leader && !forget_waits(s));
}

void vacate_turn(struct shard *s, uint64_t mono_ms)
{
    const struct commit_calls *calls = &s->commit->o.calls;
    struct vacating *v = s->vacating;

    if (!v || v->stage != VACATE_WAITS) return;
    if (s->has_ended) {
        vacate_end(s);
        return;
    }
    if (mono_ms < v->ask_ms) return;
    v->ask_ms = mono_ms + ASK_MS;
    v->question = 0;
    if (!calls->on_ask_held || !proto_writes(PROTO_ADDED_TOMBSTONES) || !may_go(s)) {
        give_turn(s);
        return;
    }
    if (!take_turn(s)) return;
    v->question = atomic_fetch_add(&s->commit->questions, 1) + 1;
    v->mark = mark_of(s);
    calls->on_ask_held(calls->arg, s->number, v->question);
}

static void take_answer(struct shard *s, uint64_t question)
{
    struct vacating *v = s->vacating;
    struct mark now;

    if (!v || v->stage != VACATE_WAITS || v->question != question || s->has_ended) return;
    v->question = 0;
    now = mark_of(s);
    if (may_go(s) && is_same(&v->mark, &now)) go(s);
}

/* ---- being told */

struct told {
    struct loop_letter letter;
    struct shard *shard;
    uint64_t question; /* that control has answered: not held; 0: its copy here says so */
};

static void on_left(struct shard *s)
{
    if (s->has_ended) return;
    if (s->vacating)
        s->vacating->is_back = false;
    else if (s->is_open)
        begin(s, VACATE_WAITS);
    else
        look(s);
    loop_again(s->loop);
}

static void on_told(struct loop_letter *letter)
{
    struct told *t = CONTAINER_OF(letter, struct told, letter);

    if (t->question != 0)
        take_answer(t->shard, t->question);
    else
        on_left(t->shard);
    free(t);
}

static void tell(struct commit *c, uint32_t shard, uint64_t question)
{
    struct told *t = check_calloc(1, sizeof *t);

    t->shard = commit_shard(c, shard);
    CHECK(t->shard && c->o.shard_count == 0);
    t->question = question;
    t->letter.on_arrive = on_told;
    loop_post(t->shard->loop, &t->letter);
}

void commit_vacate(struct commit *c, uint32_t shard)
{
    tell(c, shard, 0);
}

void commit_not_held(struct commit *c, uint32_t shard, uint64_t question)
{
    CHECK(question != 0);
    tell(c, shard, question);
}

bool vacate_defers(struct shard *s, const struct commit_placement *p)
{
    struct vacating *v = s->vacating;

    if (!v || (v->stage != VACATE_LOOKS && v->stage != VACATE_GOES)) {
        vacate_end(s); /* it stays */
        return false;
    }
    v->is_back = true;
    v->back = *p;
    return true;
}

void vacate_finish(struct shard *s, const struct commit_placement *p)
{
    begin(s, VACATE_GOES);
    s->vacating->is_back = true;
    s->vacating->back = *p;
    to_pool(s, run_removal, on_removed);
}
