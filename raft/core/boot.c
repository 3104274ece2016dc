/* boot - the first event: what the disk held when the process began.
 *
 * What the machine has applied was committed in an earlier life, so commit begins there; what stands
 * behind it waits for an entry of a new term (R3). Facts of the disk that cannot be are ERR_CORRUPT,
 * not a CHECK:
 *
 *   machine   ... applied]
 *   log          [first ... last]      applied < first - 1   R7, a gap: entries are nowhere
 *                                      applied > last        the log lost entries that were acted upon
 *                                      term of last > hard   an entry without the term it came in
 *
 * A tainted log is known to have lost its end: then the latter two are no surprise.
 */
#include "raft/core/inside.h"

static int check(const struct core *c, const struct core_event *e)
{
    if (e->u.boot.applied + 1 < e->u.boot.first && !MUTATED(R7_GAP_SKIPPED))
        return ERR_CORRUPT; /* R7 */
    if (e->u.boot.applied > e->u.boot.last && !e->u.boot.tainted) return ERR_CORRUPT;
    if (e->u.boot.last_term > e->u.boot.hard.term && !e->u.boot.tainted) return ERR_CORRUPT;
    if (e->u.boot.config) {
        if (core_config_check(e->u.boot.config) != 0) return ERR_RANGE;
        if (e->u.boot.config->count > c->o.limits.members_max) return ERR_RANGE;
        if (e->u.boot.config->index > e->u.boot.last && !e->u.boot.tainted) return ERR_CORRUPT;
    }
    return 0;
}

static void take_log(struct core *c, const struct core_event *e)
{
    uint64_t first = e->u.boot.first, last = e->u.boot.last;
    uint64_t cut_term = last < first ? e->u.boot.last_term : e->u.boot.cut_term;
    unsigned skip = 0;

    trail_init(&c->trail, (struct core_pos){ first - 1, cut_term });
    window_init(&c->window, first - 1);
    if (last < first) return;
    c->trail.last = last;
    if (e->u.boot.run_count > c->trail.max) skip = e->u.boot.run_count - c->trail.max;
    for (unsigned i = skip; i < e->u.boot.run_count; i++) {
        CHECK(i == skip || e->u.boot.runs[i].term > e->u.boot.runs[i - 1].term);
        CHECK(i == skip || e->u.boot.runs[i].first > e->u.boot.runs[i - 1].first);
        CHECK(e->u.boot.runs[i].first >= first && e->u.boot.runs[i].first <= last);
        c->trail.runs[c->trail.count++] = e->u.boot.runs[i];
    }
    if (skip > 0)
        c->trail.edge =
            (struct core_pos){ c->trail.runs[0].first - 1, e->u.boot.runs[skip - 1].term };
    if (c->trail.count == 0) {
        if (last > first) c->trail.edge = (struct core_pos){ .index = last - 1 };
        c->trail.runs[c->trail.count++] = (struct core_run){ last, e->u.boot.last_term };
    }
    CHECK(c->trail.runs[0].first == c->trail.edge.index + 1);
    CHECK(c->trail.runs[c->trail.count - 1].term == e->u.boot.last_term);
    window_add(&c->window, last, e->u.boot.bytes);
}

static void take_config(struct core *c, const struct core_event *e)
{
    if (e->u.boot.config) config_adopt(c, e->u.boot.config, e->u.boot.config->index);
    c->has_before = e->u.boot.before != NULL;
    if (c->has_before) config_copy(c->before, e->u.boot.before);
}

/* R4 for who lost synced data: terms and votes may be among it. It takes part in later terms only than any it
 * may have promised something in, and votes for nobody in the first of them. */
static void take_loss(struct core *c, const struct core_event *e, struct core_update *u)
{
    c->tainted = e->u.boot.tainted && !MUTATED(TAINT_IGNORED);
    if (!c->tainted) return;
    c->taint_goal = NEVER;
    c->lost_index = e->u.boot.lost_upto.index;
    if (e->u.boot.lost_upto.term < c->hard.term || e->u.boot.lost_upto.term == 0 ||
        MUTATED(TAINTED_OLD_TERM))
        return;
    become_hard(c, (struct core_hard){ e->u.boot.lost_upto.term, CORE_VOTE_LOST }, u);
}

int boot(struct core *c, const struct core_event *e, struct core_update *u)
{
    int rv;

    CHECK(e->u.boot.first > 0);
    CHECK(e->u.boot.last + 1 >= e->u.boot.first);
    rv = check(c, e);
    if (rv != 0) return rv;
    c->hard = e->u.boot.hard;
    c->first = e->u.boot.first;
    c->last = c->durable = e->u.boot.last;
    c->applied = c->commit = c->told_commit = e->u.boot.applied;
    c->alone_since_ms = c->now_ms;
    c->booted = true;
    take_log(c, e);
    take_config(c, e);
    CHECK(e->u.boot.run_count > 0 || c->last < c->first || !config_has_others(c));
    take_loss(c, e, u);
    priority_reset(c);
    elect_set_timer(c);
    return 0;
}
