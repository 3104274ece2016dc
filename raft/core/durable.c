/* durable - what is on our disk, told by write ids (R1), and what commits with it (R3).
 *
 * Writes of a group complete in order; each is remembered with what it held, so that an acknowledgement never
 * names an index.
 */
#include "raft/core/inside.h"

bool durable_has_room(const struct core *c)
{
    return c->write_count < CORE_WRITES_MAX - 2; /* a vote and a no-op always fit */
}

struct core_write *durable_expect(struct core *c, struct core_update *out)
{
    struct core_write *w;

    CHECK(out->write_id == 0 && c->write_count < CORE_WRITES_MAX);
    w = &c->writes[(c->write_first + c->write_count++) % CORE_WRITES_MAX];
    *w = (struct core_write){ .write_id = c->next_write_id++, .term = c->hard.term };
    out->write_id = w->write_id;
    return w;
}

static void write_done(struct core *c, const struct core_write *w, struct core_update *out)
{
    CHECK(w->write_id == c->durable_write + 1);
    c->durable_write = w->write_id;
    if (w->is_vote) {
        /* thesis 3.4: one voter, one vote: a majority */
        if (c->role == CORE_CANDIDATE && w->term == c->hard.term) become_leader(c, out);
        return;
    }
    CHECK(w->last > c->durable);
    c->durable = w->last;
    CHECK(c->uncommitted_bytes >= w->weight);
    c->uncommitted_bytes -= w->weight;
    /* thesis 3.6.2: only entries of the current term commit by counting; the rest with them (R3) */
    if (c->role == CORE_LEADER && w->term == c->hard.term && c->durable > c->commit) c->commit = c->durable;
}

int durable_upto(struct core *c, uint64_t write_id, struct core_update *out)
{
    CHECK(write_id < c->next_write_id);
    if (c->role == CORE_BROKEN) return 0; /* R2 */
    while (c->write_count > 0 && c->writes[c->write_first].write_id <= write_id) {
        struct core_write w = c->writes[c->write_first];

        c->write_first = (c->write_first + 1) % CORE_WRITES_MAX;
        c->write_count--;
        write_done(c, &w, out);
    }
    return 0;
}
