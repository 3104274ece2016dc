/* stage - a snapshot that comes: chunks are staged by the machine beside its state, then it is installed as one.
 *
 *   chunk ... last -> core: RECV SNAPSHOT -> INSTALL -> INTENT into the log -> machine.commit -> BEGIN into the log
 *                  -> core: SNAPSHOT_INSTALLED
 *
 * A log that lost synced entries may end before the state that the machine holds. A snapshot that is no news to the machine
 * is to the log then: it begins behind it, and the machine is not asked.
 *
 * R7: when the process ends between commit and BEGIN, the intent in the log tells the next life that the machine is ahead of
 * the log because it was meant to be. A chunk out of order is answered with where to go on; a shipment of which nothing is
 * here begins at 0, or fails. While the machine stages one chunk the next ones wait: no more than the sender has on its way.
 */
#include "proto/ground/mutation.h"
#include "raft/engine/inside.h"

struct waiting {
    struct blob *bytes;
    uint64_t term;
    bool last;
};
struct stage {
    uint64_t from, number, term;
    struct core_pos pos;
    struct core_config config;
    uint64_t offset, taken; /* bytes that are staged; that are here */
    struct waiting
        chunks[RAFT_CHUNKS_AWAY_MAX]; /* oldest first; is_staging: the machine has the first */
    unsigned count;
    bool is_staging;
    bool is_staged; /* the machine holds something */
    bool is_whole;  /* stepped; from here on it ends by installing */
    bool failed;
};

static void reply(struct raft_group *g, const struct stage *s, enum frame_reply_state state)
{
    outbox_reply(
        g->loop, s->from,
        &(struct frame_reply){
            .group = g->number, .number = s->number, .offset = s->offset, .state = state });
}

static void drop_staged(struct raft_group *g)
{
    if (g->stage && g->stage->is_staged) g->machine.snapshot.drop(g->machine.arg);
    if (g->stage) g->stage->is_staged = false;
}

static void pop_chunk(struct stage *s)
{
    blob_unref(&s->chunks[0].bytes);
    s->count--;
    memmove(s->chunks, s->chunks + 1, s->count * sizeof s->chunks[0]);
}

void stage_forget(struct raft_group *g)
{
    drop_staged(g);
    while (g->stage && g->stage->count > 0)
        pop_chunk(g->stage);
    free(g->stage);
    g->stage = NULL;
    g->stage_installs = false;
}

static void refuse(struct raft_group *g, enum frame_reply_state state)
{
    reply(g, g->stage, state);
    stage_forget(g);
}

static bool begin(struct raft_group *g, uint64_t from, const struct frame_chunk *c)
{
    stage_forget(g);
    g->stage = check_calloc(1, sizeof *g->stage);
    g->stage->from = from;
    g->stage->number = c->number;
    g->stage->pos = c->pos;
    g->stage->config = c->config;
    if (c->offset != 0) { /* of another life: nothing of it is here */
        refuse(g, FRAME_REPLY_FAILED);
        return false;
    }
    if (c->pos.index <= g->applied) return true; /* the core will say what is here */
    if (!g->machine.snapshot.begin ||
        g->machine.snapshot.begin(g->machine.arg, c->pos.index) != 0) {
        metric_add(M_RAFT_SNAPSHOTS_REFUSED, 1);
        refuse(g, FRAME_REPLY_FAILED);
        return false;
    }
    g->stage->is_staged = true;
    return true;
}

/* The whole of it is here: does the core want it? */
static void step_whole(struct raft_group *g)
{
    struct stage *s = g->stage;
    struct core_event e = { .kind = CORE_RECV };
    struct core_msg m = { .kind = CORE_MSG_SNAPSHOT,
                          .from = s->from,
                          .to = g->raft->node_id,
                          .era = s->config.era,
                          .term = s->term,
                          .prev = s->pos,
                          .config = &s->config };
    int rv;

    s->is_whole = true;
    e.u.recv = &m;
    group_fill_here(g, &m);
    rv = group_step(g, &e, &g->loop->update);
    if (rv != 0) {
        metric_add(M_RAFT_MESSAGES_REFUSED, 1);
        refuse(g, FRAME_REPLY_FAILED);
        return;
    }
    group_carry_out(g, &g->loop->update, NULL, NULL);
    if (g->stage && !g->stage_installs) refuse(g, FRAME_REPLY_DONE); /* nothing of it is news */
}

/* The machine holds the first chunk that waits, or nobody needs it. False: the stage is over. */
static bool staged_first(struct raft_group *g, int rv)
{
    struct stage *s = g->stage;
    struct waiting *w = &s->chunks[0];
    bool last = w->last;

    s->is_staging = false;
    if (rv != 0) {
        refuse(g, FRAME_REPLY_FAILED);
        return false;
    }
    s->offset += w->bytes->n;
    s->term = w->term;
    metric_add(M_RAFT_SNAPSHOT_BYTES_IN, w->bytes->n);
    pop_chunk(s);
    if (last)
        step_whole(g);
    else
        reply(g, s, FRAME_REPLY_GO_ON);
    return !last;
}

static void stage_waiting(struct raft_group *g)
{
    struct stage *s = g->stage;

    while (s->count > 0 && !s->is_staging) {
        struct span bytes = blob_span(s->chunks[0].bytes);
        int rv = 0;

        if (s->is_staged && bytes.n > 0) rv = g->machine.snapshot.chunk(g->machine.arg, bytes);
        s->is_staging = rv == ERR_AGAIN;
        if (!s->is_staging && !staged_first(g, rv)) return;
    }
}

void raft_group_staged(struct raft_group *g, int rv)
{
    CHECK(g->stage && g->stage->is_staging);
    if (staged_first(g, rv)) stage_waiting(g);
    g->loop->port.wake(g->loop->port.arg);
}

static bool put_waiting(struct stage *s, const struct frame_chunk *c)
{
    if (s->count == RAFT_CHUNKS_AWAY_MAX) return false; /* more than there can be on their way */
    s->chunks[s->count++] =
        (struct waiting){ .bytes = blob_copy(c->bytes), .term = c->term, .last = c->last };
    s->taken += c->bytes.n;
    return true;
}

void stage_take(struct raft_group *g, uint64_t from, const struct frame_chunk *c)
{
    struct stage *s = g->stage;

    if (s && s->is_whole) return; /* being installed: the leader waits for its end */
    if (!s || s->from != from || s->number != c->number) {
        if (!begin(g, from, c)) return;
        s = g->stage;
    }
    if ((c->offset != s->taken && !MUTATED(ENGINE_CHUNK_GAP)) ||
        (s->count > 0 && s->chunks[s->count - 1].last)) {
        reply(g, s, FRAME_REPLY_GO_ON);
        return;
    }
    if (put_waiting(s, c))
        stage_waiting(g);
    else
        refuse(g, FRAME_REPLY_FAILED);
}

/* ---- installing */

static void put_op(struct raft_group *g, enum store_op_kind kind, enum todo_mark mark)
{
    struct stage *s = g->stage;
    struct blob *config = config_blob(&s->config);
    struct store_op op = {
        .kind = kind,
        .entry = { .group = g->number, .index = s->config.index, .head = blob_span(config) },
        .pos = s->pos
    };

    todo_op(g, &op, config, mark);
}

static void tell_installed(struct raft_group *g, bool ok)
{
    struct core_event e = { .kind = CORE_SNAPSHOT_INSTALLED };
    struct core_config config = { 0 };

    if (g->stage) config = g->stage->config;
    e.u.installed.ok = ok;
    e.u.installed.config = ok ? &config : NULL;
    if (g->stage) {
        g->stage->is_staged = g->stage->is_staged && !ok;
        refuse(g, ok ? FRAME_REPLY_DONE : FRAME_REPLY_FAILED);
    }
    g->stage_installs = false;
    group_event(g, &e);
}

static void begin_log(struct raft_group *g)
{
    put_op(g, STORE_BEGIN, TODO_BEGIN);
}

void stage_install(struct raft_group *g, struct core_pos pos)
{
    struct stage *s = g->stage;

    g->stage_installs = true;
    if (s && !s->is_staged && s->pos.index == pos.index && pos.index <= g->applied)
        begin_log(g);
    else if (s && s->is_staged && s->pos.index == pos.index)
        put_op(g, STORE_INTENT, TODO_INTENT);
    else /* not staged: it was thought to be here */
        tell_installed(g, false);
}

static void give_up(struct raft_group *g)
{
    todo_op(g, &(struct store_op){ .kind = STORE_DROP, .entry = { .group = g->number } }, NULL,
            TODO_NONE);
    tell_installed(g, false);
}

void stage_intended(struct raft_group *g)
{
    int rv = g->machine.snapshot.commit(g->machine.arg, g->stage->pos.index, g->stage->pos.term);

    if (rv == 0)
        begin_log(g);
    else if (rv != ERR_AGAIN)
        give_up(g);
}

void raft_group_installed(struct raft_group *g, bool ok)
{
    CHECK(g->stage && g->stage_installs);
    if (ok)
        begin_log(g);
    else
        give_up(g);
    g->loop->port.wake(g->loop->port.arg);
}

/* The log is empty and begins behind the snapshot: what was in memory of the old one goes. */
void stage_begun(struct raft_group *g)
{
    struct core_pos pos = g->stage->pos;
    struct list open;

    list_init(&open);
    cache_clear(g, &open);
    replay_drop(g);
    g->first = pos.index + 1;
    if (g->applied < pos.index) g->applied = g->commit = pos.index;
    g->cut_to = 0;
    blob_unref(&g->cut_config);
    g->kept_config_index = g->stage->config.index;
    weight_deinit(&g->weight);
    weight_init(&g->weight, pos.index);
    metric_add(M_RAFT_SNAPSHOTS_INSTALLED, 1);
    tell_installed(g, true);
    group_answer(&open, RAFT_UNKNOWN); /* the snapshot may hold them */
}
