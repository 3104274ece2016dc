/* outbox - a loop's messages to each peer, packed into one frame a lane at the end of a turn.
 *
 * Lanes: votes, heartbeats and replies on control; APPENDs on log; snapshots on bulk. A message that waits for a write stays
 * with its group until that is durable. An APPEND is filled with its entries when its frame is packed: from memory, else it
 * waits for a read, and with it the later ones of its group to that peer. A full lane keeps the frame it refused; what
 * gathers behind it is bounded by OUTBOX_MESSAGES_MAX: what comes then is dropped, and the core sends it again. Control is never
 * full: when thousands of groups have something to say in one turn, what has gathered leaves before the end of it.
 */
#include "proto/ground/mutation.h"
#include "raft/engine/inside.h"

struct reply_out {
    struct list link;
    struct frame_reply reply;
};

static void free_outgoing(struct outgoing *m)
{
    fetch_forget(m);
    fetched_free(&m->fetched);
    free(m);
}

struct outbox *outbox_of(struct engine_loop *l, unsigned number)
{
    struct outbox *o = &l->outboxes[number];

    if (o->peer) return o;
    o->peer = &l->raft->peers[number];
    o->up = true;
    for (unsigned i = 0; i < WIRE_LANES; i++)
        list_init(&o->lanes[i]);
    list_init(&o->replies);
    if (number >= l->outbox_count) l->outbox_count = number + 1;
    return o;
}

static enum wire_lane lane_of(const struct core_msg *m)
{
    return m->kind == CORE_MSG_APPEND ? WIRE_LOG : WIRE_CONTROL;
}

static void drop(struct outbox *o, enum wire_lane lane, struct outgoing *m)
{
    list_remove(&m->link);
    o->counts[lane]--;
    free_outgoing(m);
}

static void send_control(struct engine_loop *l, struct outbox *o);

static void leave(struct raft_group *g, struct outgoing *m)
{
    enum wire_lane lane = lane_of(&m->msg);
    struct outbox *o;
    unsigned number;

    if (!g->raft->wire || !peer_find(g->raft, m->msg.to, &number)) {
        free_outgoing(m);
        return;
    }
    o = outbox_of(g->loop, number);
    if (lane == WIRE_CONTROL && o->counts[lane] == OUTBOX_MESSAGES_MAX) send_control(g->loop, o);
    if (o->counts[lane] == OUTBOX_MESSAGES_MAX) {
        metric_add(M_RAFT_OUTBOX_FULL, 1);
        free_outgoing(m);
        return;
    }
    o->counts[lane]++;
    list_add(&o->lanes[lane], &m->link);
}

void outbox_put(struct raft_group *g, const struct core_send *send)
{
    const struct core_msg *msg = &send->msg;
    struct outgoing *m;

    if (msg->kind == CORE_MSG_SNAPSHOT) {
        shipment_begin(g, msg->to);
        return;
    }
    m = check_calloc(1, sizeof *m);
    list_init(&m->link);
    m->group = g;
    m->after_write = send->after_write;
    m->again = send->again;
    m->msg = *msg;
    if (msg->kind == CORE_MSG_APPEND && msg->prev.index > 0 && msg->prev.term == 0)
        m->msg.prev.term = group_term_at(g, msg->prev.index);
    if (send->after_write != 0 && !MUTATED(ENGINE_SENDS_EARLY))
        list_add(&g->held, &m->link);
    else
        leave(g, m);
}

void outbox_release(struct raft_group *g, uint64_t write_id)
{
    LIST_FOR_SAFE(it, &g->held) {
        struct outgoing *m = CONTAINER_OF(it, struct outgoing, link);

        if (m->after_write > write_id) continue;
        list_remove(it);
        leave(g, m);
    }
    if (!list_empty(&g->superseded) && write_id >= g->superseded_write)
        group_answer(&g->superseded, RAFT_SUPERSEDED);
}

void outbox_forget(struct raft_group *g)
{
    struct engine_loop *l = g->loop;
    struct list *it;

    while ((it = list_take_first(&g->held)) != NULL)
        free_outgoing(CONTAINER_OF(it, struct outgoing, link));
    for (unsigned i = 0; i < l->outbox_count; i++) {
        struct outbox *o = &l->outboxes[i];

        for (unsigned lane = 0; o->peer && lane < WIRE_LANES; lane++) {
            LIST_FOR_SAFE(at, &o->lanes[lane]) {
                struct outgoing *m = CONTAINER_OF(at, struct outgoing, link);

                if (m->group == g) drop(o, (enum wire_lane)lane, m);
            }
        }
    }
}

void outbox_reply(struct engine_loop *l, uint64_t node, const struct frame_reply *reply)
{
    struct reply_out *r;
    unsigned number;

    if (!l->raft->wire || !peer_find(l->raft, node, &number)) return;
    r = check_calloc(1, sizeof *r);
    r->reply = *reply;
    list_init(&r->link);
    list_add(&outbox_of(l, number)->replies, &r->link);
}

static void empty_lane(struct engine_loop *l, struct outbox *o, enum wire_lane lane)
{
    struct list *it;

    (void)l;
    blob_unref(&o->stuck[lane]);
    while ((it = list_first(&o->lanes[lane])) != NULL) {
        struct outgoing *m = CONTAINER_OF(it, struct outgoing, link);

        if (m->waits)
            m->group->fetching[(o - l->outboxes) / 64] &= ~(1ull << ((o - l->outboxes) % 64));
        drop(o, lane, m);
    }
    while (lane == WIRE_CONTROL && (it = list_take_first(&o->replies)) != NULL)
        free(CONTAINER_OF(it, struct reply_out, link));
}

void outbox_down(struct engine_loop *l, unsigned number, enum wire_lane lane)
{
    struct outbox *o = outbox_of(l, number);

    empty_lane(l, o, lane);
    if (lane == WIRE_BULK) shipments_down(l, o->peer->node);
}

void outbox_room(struct engine_loop *l, unsigned number, enum wire_lane lane)
{
    struct outbox *o = outbox_of(l, number);

    if (!o->stuck[lane] || MUTATED(ENGINE_ROOM_UNHEARD)) return;
    if (wire_send(l->raft->wire, o->peer->node, lane, o->stuck[lane]) != ERR_FULL)
        blob_unref(&o->stuck[lane]);
}

/* ---- filling */

static bool fill_from_ring(struct engine_loop *l, const struct outgoing *m)
{
    for (unsigned i = 0; i < m->msg.count; i++) {
        const struct slot *s = ring_at(&m->group->ring, m->msg.first + i);

        if (!s) return false;
        l->entries[i] = (struct core_entry){ .term = s->term,
                                             .kind = s->kind,
                                             .weight = (uint32_t)(s->head.n + s->body.n) };
        l->bytes[i] = (struct frame_entry){ s->head, s->body };
    }
    return true;
}

static void fill_from_log(struct engine_loop *l, const struct outgoing *m)
{
    CHECK(m->fetched->count == m->msg.count);
    for (unsigned i = 0; i < m->msg.count; i++) {
        const struct fetched_entry *e = &m->fetched->entries[i];

        l->entries[i] = (struct core_entry){ .term = e->term, .kind = e->kind };
        l->bytes[i] = (struct frame_entry){ blob_span(e->head), blob_span(e->body) };
    }
}

/* While this node leads in the message's term, its log holds what the message speaks of. */
static bool still_leads(const struct outgoing *m)
{
    struct core_view v;

    core_see(m->group->core, &v);
    return v.role == CORE_LEADER && v.term == m->msg.term;
}

static bool is_fetching(const struct raft_group *g, unsigned peer)
{
    return g->fetching[peer / 64] >> (peer % 64) & 1;
}

enum filled { FILLED, FILL_WAITS, FILL_STALE };
static enum filled fill(struct engine_loop *l, struct outgoing *m, unsigned peer)
{
    CHECK(m->msg.count <= FRAME_APPEND_MAX);
    if (m->msg.count > 0 && !still_leads(m)) return FILL_STALE;
    if (m->fetched) {
        fill_from_log(l, m);
        return FILLED;
    }
    if (is_fetching(m->group, peer)) return FILL_WAITS;
    if (fill_from_ring(l, m)) return FILLED;
    if (m->msg.first < m->group->first) return FILL_STALE; /* cut: the core will send a snapshot */
    m->group->fetching[peer / 64] |= 1ull << (peer % 64);
    m->waits = true;
    fetch_begin(l, m, peer);
    return FILL_WAITS;
}

/* ---- leaving */

bool outbox_send_frame(struct engine_loop *l, struct outbox *o, enum wire_lane lane)
{
    struct raft *r = l->raft;
    bool beat = lane == WIRE_CONTROL && o->must_beat;
    struct blob *b = frame_pack(&l->frame, r->incarnation, atomic_load(&r->rest_generation), beat);
    int rv = wire_send(r->wire, o->peer->node, lane, b);

    if (lane == WIRE_CONTROL) o->must_beat = false;
    metric_add(M_RAFT_FRAMES_SENT, 1);
    if (rv == ERR_FULL && lane != WIRE_CONTROL) {
        o->stuck[lane] = b;
        return false;
    }
    blob_unref(&b);
    return rv == 0;
}

static bool pack_part(struct engine_loop *l, struct outbox *o, enum wire_lane lane,
                      const struct outgoing *m, unsigned from, unsigned count)
{
    struct core_msg part = m->msg;

    part.entries = l->entries + from;
    part.count = count;
    if (from > 0) {
        part.first += from;
        part.prev = (struct core_pos){ part.first - 1, l->entries[from - 1].term };
    }
    if (frame_add(&l->frame, m->group->number, &part, l->bytes + from)) return true;
    if (!outbox_send_frame(l, o, lane)) return false;
    CHECK(frame_add(&l->frame, m->group->number, &part, l->bytes + from));
    return true;
}

/* What the core took for one message may be larger than a frame: it goes in parts, each behind the one before. One that finds the
 * lane full goes on with the part that did not leave. */
static bool pack(struct engine_loop *l, struct outbox *o, enum wire_lane lane, struct outgoing *m)
{
    do {
        unsigned left = m->msg.count - m->packed;
        unsigned count = left > 0 ? frame_entries_fit(l->bytes + m->packed, left) : 0;

        if (!pack_part(l, o, lane, m, m->packed, count)) return false;
        m->packed += count;
    } while (m->packed < m->msg.count);
    return true;
}

static void count_entries(const struct engine_loop *l, const struct outgoing *m)
{
    uint64_t all = 0, again = 0;

    for (unsigned i = 0; i < m->msg.count; i++) {
        all += l->bytes[i].head.n + l->bytes[i].body.n;
        if (i + 1 == m->again) again = all;
    }
    metric_add(M_RAFT_ENTRIES_SENT, m->msg.count);
    metric_add(M_RAFT_ENTRY_BYTES_SENT, all);
    if (m->again == 0) return;
    metric_add(M_RAFT_ENTRIES_RESENT, m->again);
    metric_add(M_RAFT_ENTRY_BYTES_RESENT, again);
}

static void send_replies(struct engine_loop *l, struct outbox *o)
{
    struct list *it;

    while ((it = list_take_first(&o->replies)) != NULL) {
        struct reply_out *r = CONTAINER_OF(it, struct reply_out, link);

        if (!frame_add_reply(&l->frame, &r->reply)) {
            outbox_send_frame(l, o, WIRE_CONTROL);
            CHECK(frame_add_reply(&l->frame, &r->reply));
        }
        free(r);
    }
}

static void send_control(struct engine_loop *l, struct outbox *o)
{
    LIST_FOR_SAFE(it, &o->lanes[WIRE_CONTROL]) {
        struct outgoing *m = CONTAINER_OF(it, struct outgoing, link);

        pack(l, o, WIRE_CONTROL, m);
        drop(o, WIRE_CONTROL, m);
        metric_add(M_RAFT_MESSAGES_SENT, 1);
    }
    send_replies(l, o);
    if (!frame_is_empty(&l->frame) || o->must_beat) outbox_send_frame(l, o, WIRE_CONTROL);
}

static void send_log(struct engine_loop *l, struct outbox *o, unsigned number)
{
    struct list spent, *left;

    list_init(&spent);
    LIST_FOR_SAFE(it, &o->lanes[WIRE_LOG]) {
        struct outgoing *m = CONTAINER_OF(it, struct outgoing, link);
        enum filled filled;

        if (o->stuck[WIRE_LOG]) break;
        filled = m->waits && !m->fetched ? FILL_WAITS : fill(l, m, number);
        if (filled == FILL_WAITS) continue;
        if (filled == FILLED && !pack(l, o, WIRE_LOG, m) && o->stuck[WIRE_LOG])
            break; /* this one is first when there is room */
        if (filled == FILLED && m->packed == m->msg.count) count_entries(l, m);
        list_remove(it);
        o->counts[WIRE_LOG]--;
        list_add(&spent, it); /* the frame may borrow from it */
        metric_add(M_RAFT_MESSAGES_SENT, 1);
    }
    if (!frame_is_empty(&l->frame)) outbox_send_frame(l, o, WIRE_LOG);
    while ((left = list_take_first(&spent)) != NULL)
        free_outgoing(CONTAINER_OF(left, struct outgoing, link));
}

void outboxes_send(struct engine_loop *l)
{
    if (!l->raft->wire) return;
    for (unsigned i = 0; i < l->outbox_count; i++) {
        struct outbox *o = &l->outboxes[i];

        if (!o->peer) continue;
        if (!list_empty(&o->lanes[WIRE_CONTROL]) || !list_empty(&o->replies) || o->must_beat)
            send_control(l, o);
        if (!list_empty(&o->lanes[WIRE_LOG]) && !o->stuck[WIRE_LOG]) send_log(l, o, i);
    }
    if (!list_empty(&l->shipments)) shipments_send(l);
}

void outboxes_close(struct engine_loop *l)
{
    for (unsigned i = 0; i < l->outbox_count; i++)
        for (unsigned lane = 0; l->outboxes[i].peer && lane < WIRE_LANES; lane++)
            empty_lane(l, &l->outboxes[i], (enum wire_lane)lane);
}
