/* send - messages: what they say of the sender, when they may leave, who gets entries now.
 *
 * R4: nothing leaves before the term it speaks for is durable. What a leader appends goes to the others at once,
 * in parallel with its own write (thesis 10.2.1).
 */
#include "raft/core/inside.h"

struct core_msg *send_new(struct core *c, enum core_msg_kind kind, uint64_t to,
                          uint64_t after_write, struct core_update *u)
{
    struct core_send *s = &u->sends[u->send_count];

    CHECK(u->send_count < CORE_SENDS_MAX);
    CHECK(to != c->o.self);
    u->send_count++;
    if (!MUTATED(R4_VOTE_UNSYNCED)) after_write = MAX(after_write, c->hard_write);
    *s = (struct core_send){ .after_write = after_write > c->durable_write ? after_write : 0 };
    s->msg.kind = kind;
    s->msg.from = c->o.self;
    s->msg.to = to;
    s->msg.term = c->hard.term;
    s->msg.era = c->config->era;
    return &s->msg;
}

/* ---- heartbeats */

void send_heartbeat(struct core *c, unsigned i, bool rest, struct core_update *u)
{
    struct progress *p = &c->peers[i];
    struct core_msg *m = send_new(c, CORE_MSG_HEARTBEAT, p->node, 0, u);

    m->commit = MUTATED(HEARTBEAT_COMMITS_ALL)
                    ? c->commit
                    : MIN(c->commit, p->match); /* what it surely holds */
    m->context = c->round;
    m->rest = rest;
    if (!rest) return;
    m->prev = core_end(c);
    p->may_rest = true;
}

void send_heartbeats(struct core *c, struct core_update *u)
{
    bool rest = rest_may(c);

    for (unsigned i = 0; i < c->config->count; i++) {
        if (c->peers[i].node == c->o.self || !c->peers[i].up) continue;
        if (!rest || !c->peers[i].rests) send_heartbeat(c, i, rest, u);
    }
    c->heartbeat_at_ms = c->now_ms + c->o.heartbeat_ms;
    progress_tick(c);
}

/* ---- entries */

/* Votes, heartbeats and replies of this step are there already: what is left is for entries. */
static bool is_full(const struct core_update *u)
{
    return u->send_count == CORE_SENDS_MAX;
}

static void send_snapshot(struct core *c, struct progress *p, struct core_update *u)
{
    send_new(c, CORE_MSG_SNAPSHOT, p->node, 0, u);
    p->state = CORE_SNAPSHOTS;
    p->asked_ms = c->now_ms;
}

/* How many of after + 1 .. upto went to it before. One range is remembered: what stands before it did not, as far as is known. */
static unsigned note_sent(struct progress *p, uint64_t after, uint64_t upto)
{
    uint64_t known = MAX(after, MIN(upto, p->sent));

    if (after == upto) return 0;
    if (p->sent == 0 || after + 1 < p->sent_from || after > p->sent) {
        p->sent_from = after + 1;
        p->sent = known = after;
    }
    p->sent = MAX(p->sent, upto);
    return (unsigned)(known - after);
}

static void send_append(struct core *c, struct progress *p, uint64_t upto, struct core_update *u)
{
    struct core_msg *m = send_new(c, CORE_MSG_APPEND, p->node, 0, u);
    uint64_t after = p->next - 1;

    m->prev = (struct core_pos){ after, trail_term(&c->trail, after) };
    m->commit = c->commit;
    m->first = p->next;
    m->count = (unsigned)(upto - after);
    u->sends[u->send_count - 1].again = note_sent(p, after, upto);
}

static uint64_t reach(const struct core *c, const struct progress *p)
{
    uint64_t after = p->next - 1, last = MIN(c->last, after + c->o.append_entries_max);

    return after == last ? last : window_upto(&c->window, after, last, c->o.append_bytes_max);
}

/* The log holds what comes behind it, and its term. */
static bool is_there(const struct core *c, uint64_t index)
{
    return index + 1 >= c->first;
}

static void probe(struct core *c, struct progress *p, struct core_update *u)
{
    if (p->waits) return;
    if (p->match == c->last && p->next > p->match && !p->lost)
        return; /* nothing to learn or to tell */
    if (!is_there(c, p->next - 1)) {
        send_snapshot(c, p, u);
        return;
    }
    send_append(c, p, p->asked ? p->next - 1 : reach(c, p), u);
    p->waits = p->asked = true;
    p->asked_ms = c->now_ms;
}

/* One message to this peer; false: it is to wait, or has all. */
static bool send_next(struct core *c, struct progress *p, struct core_update *u)
{
    unsigned before = u->send_count;
    uint64_t upto;

    if (p->node == c->o.self || !p->up) return false;
    if (p->state == CORE_PROBES) {
        probe(c, p, u);
    } else if (p->state == CORE_REPLICATES && p->next <= c->last && progress_has_room(c, p)) {
        if (!is_there(c, p->next - 1)) { /* cut meanwhile */
            send_snapshot(c, p, u);
            return true;
        }
        upto = reach(c, p);
        send_append(c, p, upto, u);
        p->next = upto + 1;
    }
    return u->send_count > before;
}

void send_appends(struct core *c, struct core_update *u)
{
    bool sent = true;

    while (sent) { /* in turns, so that a peer far behind starves no other */
        sent = false;
        for (unsigned i = 0; i < c->config->count; i++) {
            if (is_full(u)) {
                c->sends_left = true;
                return;
            }
            sent |= send_next(c, &c->peers[i], u);
        }
    }
}
