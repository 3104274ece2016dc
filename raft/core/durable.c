/* durable - what completed writes mean (R1), and what a failed one means (R2).
 *
 * Writes complete in order, so one id tells of all before it. Only a leader counts, and only
 * entries of its own term; entries of earlier terms commit with the first of them (R3;
 * thesis 3.6.2).
 */
#include "raft/core/inside.h"

static void count_commit(struct core *c)
{
    uint64_t durable;

    if (c->durable_write < c->own_first_write) return;
    durable = c->own_first + (c->durable_write - c->own_first_write);
    CHECK(durable <= c->last);
    if (durable <= c->commit) return;
    c->commit = durable;
    window_drop_upto(&c->window, durable);
}

void durable_upto(struct core *c, uint64_t write_id, struct core_update *u)
{
    if (c->role == CORE_BROKEN) return; /* R2: nothing heals it */
    CHECK(write_id > c->durable_write);
    CHECK(write_id <= c->last_write);
    c->durable_write = write_id;
    if (c->role == CORE_CANDIDATE && write_id >= c->vote_write) elect_on_vote_durable(c, u);
    if (c->role == CORE_LEADER) count_commit(c);
}

/* Nobody knows what the disk holds now at the indexes in flight: they must never hold anything
 * else. */
void durable_failed(struct core *c)
{
    if (c->role != CORE_BROKEN) become(c, CORE_BROKEN);
}
