/* durable - what completed writes mean (R1), and what a failed one means (R2).
 *
 * Writes complete in order, so one id tells of all before it. Up to where the log is durable with a
 * write is kept as marks; a leader writes one entry a write, so its whole term is one mark. When the
 * marks are used up the two newest become one, which only makes it know later.
 */
#include "raft/core/inside.h"

void marks_add(struct marks *m, uint64_t write, uint64_t index)
{
    unsigned last = m->count - 1;

    if (m->count > 0 && write == m->runs[last].write + m->runs[last].count &&
        index == m->runs[last].index + m->runs[last].count) {
        m->runs[last].count++;
        return;
    }
    if (m->count == MARKS) m->count--;
    m->runs[m->count].write = write;
    m->runs[m->count].index = index;
    m->runs[m->count++].count = 1;
}

/* The log was cut off behind `index`: what earlier writes hold beyond it says nothing any more. */
void marks_clip(struct marks *m, uint64_t index)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (m->runs[i].index > index) {
            m->runs[i].index = index;
            m->runs[i].count = 1;
        }
        if (m->runs[i].index + m->runs[i].count - 1 > index)
            m->runs[i].count = index - m->runs[i].index + 1;
    }
}

uint64_t marks_take(struct marks *m, uint64_t write, uint64_t index)
{
    unsigned gone = 0;

    for (unsigned i = 0; i < m->count && m->runs[i].write <= write; i++) {
        uint64_t n = MIN(write - m->runs[i].write, m->runs[i].count - 1);

        index = m->runs[i].index + n; /* the newest counts, also where it is lower */
        if (n + 1 == m->runs[i].count) {
            gone = i + 1;
            continue;
        }
        m->runs[i].write += n + 1;
        m->runs[i].index += n + 1;
        m->runs[i].count -= n + 1;
    }
    m->count -= gone;
    memmove(m->runs, m->runs + gone, m->count * sizeof m->runs[0]);
    return index;
}

void durable_upto(struct core *c, uint64_t write_id, struct core_update *u)
{
    if (c->role == CORE_BROKEN) return; /* R2: nothing heals it */
    CHECK(write_id > c->durable_write);
    CHECK(write_id <= c->last_write);
    c->durable_write = write_id;
    c->durable = marks_take(&c->marks, write_id, c->durable);
    if (MUTATED(DURABLE_BY_INDEX)) c->durable = c->last;
    CHECK(c->durable <= c->last);
    if (c->role == CORE_CANDIDATE && write_id >= c->vote_write) elect_on_durable(c, u);
}

/* Nobody knows what the disk holds now at the indexes in flight: they must never hold anything
 * else. */
void durable_failed(struct core *c, struct core_update *u)
{
    if (c->role == CORE_BROKEN || MUTATED(R2_GOES_ON)) return;
    become_broken(c, u);
}
