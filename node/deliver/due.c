/* due - a lane's view of the due index: what comes next, what is over, what travels together.
 *
 * The index still shows recipients whose claim, expiry or outcome is on its way: those that are in
 * the air are passed. Items are read ahead, so each is looked at again before it is taken: its
 * recipient must wait, and stand where it was read. Messages that are over go to commit_expire
 * instead of a host.
 */
#include "node/deliver/inside.h"

#define EXPIRE_BATCH   32
#define EXPIRE_LOOK_MS 60000

static struct air_key key_of(const struct lane *l, uint64_t index, uint32_t recipient)
{
    return (struct air_key){ .index = index, .shard = l->shard, .recipient = recipient };
}

static void read_ahead(struct lane *l)
{
    struct queue_due items[DELIVER_LANE_AHEAD];

    l->ahead_at = 0;
    l->ahead_count =
        (unsigned)queue_due_by_domain(l->d->store, l->shard, lane_domain(l), &l->place,
                                      deliver_wall_ms(l->d), items, DELIVER_LANE_AHEAD);
    for (unsigned i = 0; i < l->ahead_count; i++)
        l->ahead[i] = (struct lane_item){ .due_at_ms = items[i].due_at_ms,
                                          .index = items[i].index,
                                          .recipient = items[i].recipient };
}

/* The next due item that is not in the air. At the end of the index once more from its start, if
 * the caller may_wrap: items may have come in before the place. */
const struct lane_item *due_peek(struct lane *l, bool may_wrap)
{
    bool is_whole = !may_wrap || !l->place.started;

    l->saw_air = false;
    for (;;) {
        for (; l->ahead_at < l->ahead_count; l->ahead_at++) {
            const struct lane_item *i = &l->ahead[l->ahead_at];

            if (!air_has(l->d, key_of(l, i->index, i->recipient))) return i;
            l->saw_air = true;
        }
        read_ahead(l);
        if (l->ahead_count > 0) continue;
        l->place = (struct queue_place){ 0 };
        if (is_whole) return NULL;
        is_whole = true;
    }
}

/* ---- what is over */

struct expiring {
    struct lane *lane;
    Angarium__MessageRecord *message; /* the last one looked at */
    uint64_t index;
    struct queue_ref refs[DELIVER_EXPIRE_SLICE];
    unsigned count;
};

static const Angarium__MessageRecord *message_of(struct expiring *e, uint64_t index)
{
    if (e->index == index) return e->message;
    queue_message_free(&e->message);
    e->index = index;
    if (queue_message_get(e->lane->d->store, e->lane->shard, index, &e->message) != 0)
        e->message = NULL;
    return e->message;
}

static bool is_full(const struct expiring *e)
{
    return e->count == DELIVER_EXPIRE_SLICE || e->lane->d->air_count >= DELIVER_AIR_MAX;
}

static void expire(struct expiring *e, uint64_t index, uint32_t recipient)
{
    air_await(e->lane->d, key_of(e->lane, index, recipient));
    e->refs[e->count++] = (struct queue_ref){ .index = index, .recipient = recipient };
}

static void expire_all(struct expiring *e)
{
    struct deliver *d = e->lane->d;

    queue_message_free(&e->message);
    if (e->count == 0) return;
    commit_expire(d->commit, e->lane->shard, e->refs, e->count);
    d->has_proposed = true;
}

/* What is over of a batch is expired. When the first of the others will be (wall ms). */
static uint64_t expire_batch(struct expiring *e, const struct queue_due *items, size_t n,
                             uint64_t now_ms)
{
    struct lane *l = e->lane;
    uint64_t next_ms = UINT64_MAX;

    for (size_t i = 0; i < n && !is_full(e); i++) {
        const Angarium__MessageRecord *m = message_of(e, items[i].index);

        if (!m || air_has(l->d, key_of(l, items[i].index, items[i].recipient))) continue;
        if (m->expires_at_ms <= now_ms)
            expire(e, items[i].index, items[i].recipient);
        else if (m->expires_at_ms < next_ms)
            next_ms = m->expires_at_ms;
    }
    return next_ms;
}

/* A slice of what is due while nothing may be sent. In how many ms to look again. */
uint64_t due_expire(struct lane *l)
{
    struct expiring e = { .lane = l };
    struct queue_due items[EXPIRE_BATCH];
    uint64_t now_ms = deliver_wall_ms(l->d), look_at_ms = now_ms + EXPIRE_LOOK_MS;
    size_t n = EXPIRE_BATCH;

    for (unsigned seen = 0; n == EXPIRE_BATCH && seen < DELIVER_EXPIRE_SLICE;
         seen += EXPIRE_BATCH) {
        uint64_t next_ms;

        n = queue_due_by_domain(l->d->store, l->shard, lane_domain(l), &l->expire_place, now_ms,
                                items, EXPIRE_BATCH);
        next_ms = expire_batch(&e, items, n, now_ms);
        if (next_ms < look_at_ms) look_at_ms = next_ms;
    }
    expire_all(&e);
    if (n == EXPIRE_BATCH) return DELIVER_AGAIN_MS; /* there is more */
    l->expire_place = (struct queue_place){ 0 };
    return look_at_ms - now_ms;
}

/* ---- taking */

struct taking {
    struct expiring expiring; /* holds the message, too */
    uint64_t index;
    unsigned count, max;
    uint32_t numbers[DELIVER_TRANSACTION_MAX];
    Angarium__RecipientRecord *records[DELIVER_TRANSACTION_MAX];
};

/* What was read ahead may be stale: somebody cancelled or held it, or it stands elsewhere by now.
 */
static void take(struct taking *t, const struct lane_item *i)
{
    struct lane *l = t->expiring.lane;
    Angarium__RecipientRecord *r = NULL;

    if (queue_recipient_get(l->d->store, l->shard, i->index, i->recipient, &r) != 0) return;
    if (r->state != ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING || r->due_at_ms != i->due_at_ms) {
        queue_recipient_free(&r);
        return;
    }
    t->index = i->index;
    t->numbers[t->count] = i->recipient;
    t->records[t->count++] = r;
}

static void take_all(struct taking *t)
{
    struct lane *l = t->expiring.lane;
    uint64_t now_ms = deliver_wall_ms(l->d);
    const struct lane_item *i;

    while (t->count < t->max && !is_full(&t->expiring) &&
           (i = due_peek(l, t->count == 0)) != NULL) {
        const Angarium__MessageRecord *m;

        if (t->count > 0 && i->index != t->index) break;
        l->ahead_at++;
        m = message_of(&t->expiring, i->index);
        if (!m) continue;
        if (m->expires_at_ms <= now_ms)
            expire(&t->expiring, i->index, i->recipient);
        else
            take(t, i);
    }
}

/* The next recipients, all of one message; NULL: none this time (stale or expired ones are passed).
 */
struct delivery *due_take(struct lane *l, unsigned max)
{
    struct taking t;
    struct delivery *y = NULL;

    t.expiring.lane = l;
    t.expiring.message = NULL;
    t.expiring.index = 0;
    t.expiring.count = 0;
    t.index = 0;
    t.count = 0;
    t.max = max;
    take_all(&t);
    if (t.count > 0) {
        y = delivery_new(l, t.index, t.expiring.message, t.count);
        t.expiring.message = NULL; /* y's now */
        for (unsigned i = 0; i < t.count; i++) {
            y->list[i].number = t.numbers[i];
            y->list[i].record = t.records[i];
            air_add(l->d, &y->list[i].air, key_of(l, t.index, t.numbers[i]));
        }
    }
    expire_all(&t.expiring);
    return y;
}
