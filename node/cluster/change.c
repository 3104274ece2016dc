/* change - changes of control that cross nodes: this node asks the one that leads control, and is asked when it leads.
 *
 * Way:   cluster_propose -> change_ask -> PEER_CHANGE -> there: cluster_serve -> its log -> ControlAnswer -> here, until the entry
 *        is applied here, too -> on_done.
 * Rule:  a change is brought once; whether one that was not answered took place is not known (ERR_UNKNOWN).
 * Log:   what machines ask for again and again (control_refusal) gets no entry while it is refused: a node that is not let in, or anybody
 *        with a wrong token, would keep all disks busy. It is refused by a state that is no older than the question.
 * Times: in commands are the leader's: it sets them anew.
 */
#include <stdlib.h>

#include "node/cluster/inside.h"

#define NEWS_ROUNDS_MAX 32u /* then the next heartbeat tells */

/* ---- asking */

static void done(struct cluster_ask *a, int rv)
{
    list_remove(&a->link);
    a->cluster->ask_count--;
    a->on_done(a, rv);
}

/* 0, or why the answer cannot be used. */
static int take_answer(struct cluster_ask *a, struct span bytes)
{
    Angarium__ControlAnswer *m = angarium__control_answer__unpack(NULL, bytes.n, bytes.p);

    if (!m) return ERR_UNKNOWN;
    a->answer =
        (struct control_answer){ .error = m->error, .shard = m->shard, .version = m->version };
    a->index = m->index;
    angarium__control_answer__free_unpacked(m, NULL);
    return 0;
}

static int befell(const struct peer_call *call, int rv)
{
    if (!call->was_sent) return ERR_NOT_LEADER;
    return call->is_answered ? rv : ERR_UNKNOWN;
}

static void on_answer(struct peer_call *call, int rv, struct span answer, struct span body)
{
    struct cluster_ask *a = CONTAINER_OF(call, struct cluster_ask, call);
    struct cluster *c = a->cluster;

    (void)body;
    rv = rv == 0 ? take_answer(a, answer) : befell(call, rv);
    if (rv == 0) rv = a->answer.error;
    if (rv != 0 || a->index <= control_applied(c->control)) {
        done(a, rv);
        return;
    }
    list_remove(&a->link);
    list_add(&c->behind, &a->link);
    a->until_ms = loop_mono_ms(c->o.loop) + CLUSTER_ASK_MS;
}

int change_ask(struct cluster *c, struct cluster_ask *a, const Angarium__ControlCommand *command)
{
    struct buf head;
    int rv;

    if (c->leader == 0 || !c->o.peers) return ERR_NOT_LEADER;
    if (c->ask_count == CLUSTER_ASKS_MAX) return ERR_FULL;
    buf_init(&head, CONTROL_COMMAND_SIZE_MAX);
    rv = control_pack(command, &head);
    a->cluster = c;
    a->answer = (struct control_answer){ 0 };
    a->index = 0;
    a->call = (struct peer_call){ .to = c->leader,
                                  .kind = PEER_CHANGE,
                                  .lane = WIRE_BULK,
                                  .within_ms = CLUSTER_ASK_MS,
                                  .request = buf_span(&head),
                                  .on_done = on_answer };
    if (rv == 0) rv = peer_call(c->o.peers, c->o.loop, &a->call);
    buf_deinit(&head);
    if (rv != 0) return rv == ERR_CLOSED ? ERR_NOT_LEADER : rv;
    list_init(&a->link);
    list_add(&c->away, &a->link);
    c->ask_count++;
    return 0;
}

/* It is in force where control is led; here it is when its entry is. */
void change_applied(struct cluster *c)
{
    uint64_t applied = control_applied(c->control);
    struct list *it = c->behind.next;

    while (it != &c->behind) {
        struct cluster_ask *a = CONTAINER_OF(it, struct cluster_ask, link);

        it = it->next;
        if (a->index <= applied) done(a, 0);
    }
}

/* A node that lags says that it is done all the same: it is, only not to be seen here yet. */
static void end_late(struct cluster *c)
{
    uint64_t now = loop_mono_ms(c->o.loop);
    struct list *it = c->behind.next;

    while (it != &c->behind) {
        struct cluster_ask *a = CONTAINER_OF(it, struct cluster_ask, link);

        it = it->next;
        if (a->until_ms <= now) done(a, 0);
    }
}

/* ---- the news that it is in force: a node that asked hears with the next heartbeat that its entry is committed, as far as its own disk is
 * known to have it. So that it waits for no beat's time, a read barrier makes the beats, until all that are up have the entry. */

static bool all_have(const struct cluster *c, uint64_t index)
{
    const struct core_config *now = raft_group_config(c->group);
    struct core_peer_view v;

    for (unsigned i = 0; i < now->count; i++)
        if (raft_group_peer(c->group, i, &v) && v.up && v.match < index) return false;
    return true;
}

static void on_news(struct raft_read *read, int rv);

static void tell_news(struct cluster *c)
{
    c->news_are_last = all_have(c, c->news_upto);
    c->news = (struct raft_read){ .on_done = on_news };
    c->news_out = raft_group_read(c->group, &c->news) == 0;
    if (c->news_out)
        loop_again(c->o.loop);
    else
        c->news_are_last = false;
}

static void on_news(struct raft_read *read, int rv)
{
    struct cluster *c = CONTAINER_OF(read, struct cluster, news);

    c->news_out = false;
    if (rv != 0) c->news_are_last = false;
    if (rv == 0 && !c->closing && !c->news_are_last && ++c->news_rounds < NEWS_ROUNDS_MAX)
        tell_news(c);
}

void change_spread_news(struct cluster *c, uint64_t index)
{
    c->news_upto = index;
    c->news_rounds = 0;
    c->news_are_last = false; /* of a round that is out: it began without this one */
    if (!c->news_out && !c->closing) tell_news(c);
}

bool change_is_told(const struct cluster *c, uint64_t index)
{
    return c->news_upto >= index && c->news_are_last && !c->news_out;
}

/* ---- being asked */

struct served {
    struct cluster_ask ask;
    struct peer_ask *from;
};

static void on_served(struct cluster_ask *a, int rv)
{
    struct served *v = CONTAINER_OF(a, struct served, ask);
    Angarium__ControlAnswer m = ANGARIUM__CONTROL_ANSWER__INIT;
    struct buf bytes;

    m.error = a->answer.error;
    m.shard = a->answer.shard;
    m.version = a->answer.version;
    m.index = a->index;
    if (rv == m.error) rv = 0; /* control's own word */
    buf_init(&bytes, 256);
    proto_pack(&m.base, &bytes);
    peer_answer(v->from, rv, buf_span(&bytes), (struct span){ 0 });
    buf_deinit(&bytes);
    if (rv == 0 && a->index != 0) change_spread_news(a->cluster, a->index);
    free(v);
}

void cluster_serve(struct cluster *c, struct peer_ask *ask)
{
    Angarium__ControlCommand *command = NULL;
    struct served *v;
    int rv = control_unpack(ask->request, &command);

    if (rv != 0) {
        peer_answer(ask, rv, (struct span){ 0 }, (struct span){ 0 });
        return;
    }
    v = check_calloc(1, sizeof *v);
    v->from = ask;
    v->ask.on_done = on_served;
    command->time_ms = loop_wall_ms(c->o.loop);
    rv = c->closing ? ERR_CLOSED : change_propose(c, &v->ask, command);
    control_command_free(&command);
    if (rv == 0) return;
    peer_answer(ask, rv, (struct span){ 0 }, (struct span){ 0 });
    free(v);
}

/* ---- what this node reports of shards that it leads: one report of a shard at a time */

struct report {
    struct cluster_ask ask;
    struct list link;
    uint32_t shard, version; /* version: of a question */
    uint64_t term;
    uint64_t question; /* of another one: is it held here? */
};

/* What was asked for is in force here: then so is all that control did before the question. */
static void confirm(struct cluster *c, const struct report *r)
{
    const struct control_shard *s = control_shard(c->control, r->shard);

    if (c->closing || r->ask.index > control_applied(c->control)) return;
    if (s && s->version == r->version && c->o.calls.on_confirmed)
        c->o.calls.on_confirmed(c->o.calls.arg, r->shard, r->version, r->term);
}

static void tell_not_held(struct cluster *c, const struct report *r)
{
    const struct control_shard *s = control_shard(c->control, r->shard);

    if (c->closing || r->ask.index > control_applied(c->control)) return;
    if (s && !control_holds(s, c->self.node) && c->o.calls.on_not_held)
        c->o.calls.on_not_held(c->o.calls.arg, r->shard, r->question);
}

static void on_report(struct cluster_ask *a, int rv)
{
    struct report *r = CONTAINER_OF(a, struct report, ask);

    list_remove(&r->link);
    if (r->version != 0 && rv == 0) confirm(a->cluster, r);
    if (r->question != 0 && rv == 0) tell_not_held(a->cluster, r);
    free(r); /* who reported it, or asked, looks again */
}

static bool is_reported(const struct cluster *c, uint32_t shard)
{
    LIST_FOR(it, &c->reports)
        if (CONTAINER_OF(it, struct report, link)->shard == shard) return true;
    return false;
}

static void send_report(struct cluster *c, const struct report *what,
                        Angarium__ControlCommand *command)
{
    struct report *r;

    if (is_reported(c, what->shard)) return;
    r = check_calloc(1, sizeof *r);
    *r = *what;
    r->ask.on_done = on_report;
    command->time_ms = loop_wall_ms(c->o.loop);
    list_init(&r->link);
    if (cluster_propose(c, &r->ask, command) == 0)
        list_add(&c->reports, &r->link);
    else
        free(r);
}

void cluster_placed(struct cluster *c, uint32_t shard, uint32_t version)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPlaced placed = ANGARIUM__CONTROL_PLACED__INIT;
    const struct control_shard *s = control_shard(c->control, shard);

    if (!s || s->version != version || s->in_force == version) return;
    placed.shard = shard;
    placed.version = version;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PLACED;
    command.placed = &placed;
    send_report(c, &(struct report){ .shard = shard }, &command);
}

/* A question is a change that changes nothing, this node's own address, so that the answer has its place in control's log. */
static void send_question(struct cluster *c, const struct report *what)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlMove move = ANGARIUM__CONTROL_MOVE__INIT;
    Angarium__ControlNode self = ANGARIUM__CONTROL_NODE__INIT;

    keep_fill_self(c, &self);
    move.node = &self;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_MOVE;
    command.move = &move;
    send_report(c, what, &command);
}

void cluster_confirm(struct cluster *c, uint32_t shard, uint32_t version, uint64_t term)
{
    const struct control_shard *s = control_shard(c->control, shard);

    if (!s || s->version != version) return;
    send_question(c, &(struct report){ .shard = shard, .version = version, .term = term });
}

void cluster_ask_held(struct cluster *c, uint32_t shard, uint64_t question)
{
    send_question(c, &(struct report){ .shard = shard, .question = question });
}

void cluster_emptied(struct cluster *c, uint32_t shard)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlShardState state = ANGARIUM__CONTROL_SHARD_STATE__INIT;
    const struct control_shard *s = control_shard(c->control, shard);

    if (!s || s->state != CONTROL_CLOSING) return;
    state.shard = shard;
    state.state = CONTROL_CLOSED;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_SHARD_STATE;
    command.shard_state = &state;
    send_report(c, &(struct report){ .shard = shard }, &command);
}

/* ---- the rest */

void change_tick(struct cluster *c)
{
    end_late(c);
}

void change_close(struct cluster *c)
{
    struct list *const lists[] = { &c->away, &c->behind };

    for (unsigned i = 0; i < 2; i++)
        while (!list_empty(lists[i]))
            done(CONTAINER_OF(list_first(lists[i]), struct cluster_ask, link), ERR_UNKNOWN);
    CHECK(list_empty(&c->reports));
}
