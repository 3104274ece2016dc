/* inbox - what comes from other threads to a loop: frames, links, what loop 0 found, reads that are done.
 *
 * A frame is unpacked and checked on the wire's thread, once, and goes to each loop that owns one of its groups. What was
 * received and not stepped is counted for each peer and lane: over the bound the log and bulk lanes are read no more until
 * the loops have caught up; a control frame is dropped (its like comes again).
 */
#include <limits.h>

#include "proto/ground/mutation.h"
#include "raft/engine/inside.h"

struct arrival {
    struct frame frame;
    enum wire_lane lane;
    unsigned peer;
    size_t bytes;
    atomic_uint refs; /* loops that have not stepped it yet */
    struct parcel {
        struct mail mail;
        struct arrival *arrival;
    } parcels[]; /* one for each loop */
};
struct link_mail {
    struct mail mail;
    unsigned peer;
    enum wire_lane lane;
    bool up;
    uint64_t incarnation, generation; /* MAIL_PEER */
};

void inbox_put(struct engine_loop *l, struct mail *m)
{
    if (mpsc_put(&l->inbox, &m->node)) l->port.wake(l->port.arg);
}

/* ---- which loop owns a group */

void directory_add(struct raft_group *g)
{
    struct raft *r = g->raft;

    pthread_rwlock_wrlock(&r->directory_lock);
    HASH_ADD(directory_hh, r->directory, number, sizeof g->number, g);
    pthread_rwlock_unlock(&r->directory_lock);
}

void directory_remove(struct raft_group *g)
{
    struct raft *r = g->raft;

    pthread_rwlock_wrlock(&r->directory_lock);
    HASH_DELETE(directory_hh, r->directory, g);
    pthread_rwlock_unlock(&r->directory_lock);
}

bool directory_has(struct raft *r, uint64_t group)
{
    struct raft_group *g;

    pthread_rwlock_rdlock(&r->directory_lock);
    HASH_FIND(directory_hh, r->directory, &group, sizeof group, g);
    pthread_rwlock_unlock(&r->directory_lock);
    return g != NULL;
}

static unsigned whose(struct raft *r, uint64_t group)
{
    struct raft_group *g;

    HASH_FIND(directory_hh, r->directory, &group, sizeof group, g);
    if (!g) metric_add(M_RAFT_GROUPS_UNKNOWN, 1);
    return g ? g->loop->number : UINT_MAX;
}

/* ---- on the wire's threads */

static void address(struct raft *r, struct frame *f, bool *wanted)
{
    pthread_rwlock_rdlock(&r->directory_lock);
    for (size_t i = 0; i < f->message_count; i++) {
        f->messages[i].loop = whose(r, f->messages[i].group);
        if (f->messages[i].loop != UINT_MAX) wanted[f->messages[i].loop] = true;
    }
    for (size_t i = 0; i < f->chunk_count; i++) {
        f->chunks[i].loop = whose(r, f->chunks[i].group);
        if (f->chunks[i].loop != UINT_MAX) wanted[f->chunks[i].loop] = true;
    }
    for (size_t i = 0; i < f->reply_count; i++) {
        f->replies[i].loop = whose(r, f->replies[i].group);
        if (f->replies[i].loop != UINT_MAX) wanted[f->replies[i].loop] = true;
    }
    pthread_rwlock_unlock(&r->directory_lock);
    if (f->beat) wanted[0] = true;
}

static void let_go(struct raft *r, struct arrival *a)
{
    struct engine_peer *p = &r->peers[a->peer];
    size_t left;

    if (atomic_fetch_sub(&a->refs, 1) > 1) return;
    left = atomic_fetch_sub(&p->inbox_bytes[a->lane], a->bytes) - a->bytes;
    if (left <= r->inbox_bytes_max / 2 && atomic_exchange(&p->paused[a->lane], false) &&
        !MUTATED(ENGINE_NEVER_RESUMES))
        wire_resume(r->wire, p->node, a->lane);
    frame_deinit(&a->frame);
    free(a);
}

static void deliver(struct raft *r, struct arrival *a)
{
    bool wanted[UINT8_MAX + 1] = { false };

    CHECK(r->loop_count <= UINT8_MAX + 1);
    address(r, &a->frame, wanted);
    for (unsigned i = 0; i < r->loop_count; i++)
        if (wanted[i]) atomic_fetch_add(&a->refs, 1);
    for (unsigned i = 0; i < r->loop_count; i++) {
        if (!wanted[i]) continue;
        a->parcels[i].arrival = a;
        a->parcels[i].mail.kind = MAIL_FRAME;
        inbox_put(&r->loops[i], &a->parcels[i].mail);
    }
    let_go(r, a); /* this function's own */
}

/* Whether the lane is to be read on. */
static bool goes_on(struct raft *r, struct engine_peer *p, enum wire_lane lane)
{
    if (lane == WIRE_CONTROL || atomic_load(&p->inbox_bytes[lane]) <= r->inbox_bytes_max)
        return true;
    metric_add(M_RAFT_INBOX_FULL, 1);
    atomic_store(&p->paused[lane], true);
    if (atomic_load(&p->inbox_bytes[lane]) > r->inbox_bytes_max / 2) return false;
    atomic_store(&p->paused[lane], false); /* caught up meanwhile */
    return true;
}

static bool on_frame(void *arg, uint64_t node, enum wire_lane lane, struct blob *blob)
{
    struct raft *r = arg;
    unsigned number = 0;
    struct engine_peer *p = peer_find(r, node, &number);
    size_t bytes = blob->n;
    struct arrival *a;

    if (!p || (lane == WIRE_CONTROL && atomic_load(&p->inbox_bytes[lane]) > r->inbox_bytes_max)) {
        metric_add(M_RAFT_FRAMES_DROPPED, 1);
        blob_unref(&blob);
        return true;
    }
    a = check_calloc(1, sizeof *a + r->loop_count * sizeof a->parcels[0]);
    if (frame_unpack(blob, node, r->node_id, &a->frame) != 0) {
        metric_add(M_RAFT_FRAMES_REFUSED, 1);
        free(a);
        return true;
    }
    a->lane = lane;
    a->peer = number;
    a->bytes = bytes;
    atomic_store(&a->refs, 1);
    atomic_fetch_add(&p->inbox_bytes[lane], bytes);
    deliver(r, a);
    return goes_on(r, p, lane);
}

static void post_link(struct raft *r, enum mail_kind kind, uint64_t node, enum wire_lane lane,
                      bool up)
{
    unsigned number = 0;
    struct engine_peer *p = peer_add(r, node);

    if (!p) return;
    number = (unsigned)(p - r->peers);
    for (unsigned i = 0; i < r->loop_count; i++) {
        struct link_mail *m = check_calloc(1, sizeof *m);

        m->mail.kind = kind;
        m->peer = number;
        m->lane = lane;
        m->up = up;
        inbox_put(&r->loops[i], &m->mail);
    }
}

static void on_peer(void *arg, const struct wire_link *link)
{
    struct engine_peer *p = peer_add(arg, link->node);

    if (p && link->up) atomic_store(&p->format, link->format);
    post_link(arg, MAIL_LINK, link->node, link->lane, link->up);
}

static void on_room(void *arg, uint64_t node, enum wire_lane lane)
{
    post_link(arg, MAIL_ROOM, node, lane, true);
}

struct wire_events raft_wire_events(struct raft *r)
{
    return (struct wire_events){
        .arg = r, .on_frame = on_frame, .on_peer = on_peer, .on_room = on_room
    };
}

void inbox_post_peer(struct engine_loop *l, unsigned number, bool up, uint64_t incarnation,
                     uint64_t generation)
{
    struct link_mail *m = check_calloc(1, sizeof *m);

    m->mail.kind = MAIL_PEER;
    m->peer = number;
    m->up = up;
    m->incarnation = incarnation;
    m->generation = generation;
    inbox_put(l, &m->mail);
}

/* ---- on the loop */

static void step_frame(struct engine_loop *l, struct arrival *a)
{
    struct frame *f = &a->frame;
    struct outbox *o = outbox_of(l, a->peer);

    if (f->beat && l->number == 0)
        peer_heard(l, &l->raft->peers[a->peer], f->incarnation, f->rest_generation);
    else if (f->incarnation == o->incarnation && f->rest_generation > o->generation)
        peer_judged(l, a->peer, o->up, f->incarnation, f->rest_generation);
    for (size_t i = 0; i < f->message_count; i++) {
        struct raft_group *g;

        if (f->messages[i].loop != l->number) continue;
        g = group_find(l, f->messages[i].group);
        if (g) group_receive(g, &f->messages[i], f->blob, f->rest_generation);
    }
    for (size_t i = 0; i < f->chunk_count; i++) {
        struct raft_group *g;

        if (f->chunks[i].loop != l->number) continue;
        g = group_find(l, f->chunks[i].group);
        if (g) stage_take(g, f->from, &f->chunks[i]);
    }
    for (size_t i = 0; i < f->reply_count; i++) {
        struct raft_group *g;

        if (f->replies[i].loop != l->number) continue;
        g = group_find(l, f->replies[i].group);
        if (g) shipment_reply(g, f->from, &f->replies[i]);
    }
}

static void take_link(struct engine_loop *l, struct link_mail *m)
{
    struct engine_peer *p = &l->raft->peers[m->peer];

    if (m->mail.kind == MAIL_PEER) {
        peer_judged(l, m->peer, m->up, m->incarnation, m->generation);
    } else if (m->mail.kind == MAIL_ROOM) {
        outbox_room(l, m->peer, m->lane);
    } else {
        if (!m->up) outbox_down(l, m->peer, m->lane);
        if (l->number == 0) peer_link(l, p, m->lane, m->up);
    }
    free(m);
}

static void take(struct engine_loop *l, struct mail *m)
{
    switch (m->kind) {
    case MAIL_FRAME: {
        struct arrival *a = CONTAINER_OF(m, struct parcel, mail)->arrival;

        step_frame(l, a);
        let_go(l->raft, a);
        return;
    }
    case MAIL_LINK:
    case MAIL_ROOM:
    case MAIL_PEER:
        take_link(l, CONTAINER_OF(m, struct link_mail, mail));
        return;
    case MAIL_FETCHED:
        fetch_done(l, m);
        return;
    case MAIL_CHUNK:
        shipment_chunk_done(l, m);
        return;
    case MAIL_REPLAY:
        replay_done(l, m);
        return;
    }
    UNREACHED();
}

void inbox_take(struct engine_loop *l)
{
    struct mpsc_node *node = mpsc_take_all(&l->inbox), *next;

    for (; node; node = next) {
        next = node->next;
        take(l, CONTAINER_OF(node, struct mail, node));
    }
}

/* Nobody steps any more: what is there is freed. Reads are done: the reader has stopped. */
void inbox_close(struct engine_loop *l)
{
    struct mpsc_node *node = mpsc_take_all(&l->inbox), *next;

    for (; node; node = next) {
        struct mail *m = CONTAINER_OF(node, struct mail, node);

        next = node->next;
        if (m->kind == MAIL_FRAME) {
            struct arrival *a = CONTAINER_OF(m, struct parcel, mail)->arrival;

            if (atomic_fetch_sub(&a->refs, 1) > 1) continue;
            frame_deinit(&a->frame);
            free(a);
        } else if (m->kind == MAIL_FETCHED) {
            fetch_done(l, m);
        } else if (m->kind == MAIL_CHUNK) {
            shipment_chunk_done(l, m);
        } else if (m->kind == MAIL_REPLAY) {
            replay_done(l, m);
        } else {
            free(CONTAINER_OF(m, struct link_mail, mail));
        }
    }
}

void directory_close(struct raft *r)
{
    CHECK(r->directory == NULL); /* all groups are closed */
    pthread_rwlock_destroy(&r->directory_lock);
}
