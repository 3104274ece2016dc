/* boot - the first event: what the disk held when the process began.
 *
 * What the machine has applied was committed in an earlier life, so commit begins there; entries
 * behind it wait for an entry of a new term (R3). Facts of the disk that cannot be are ERR_CORRUPT,
 * not a CHECK:
 *
 *   machine   ... applied]
 *   log          [first ... last]      applied < first - 1   R7, a gap: entries are nowhere
 *                                      applied > last        the log lost entries that were acted
 * upon term of last > hard   an entry without the vote that made its leader A tainted log is known
 * to have lost its end: then the second is no surprise, the group just follows.
 */
#include "raft/core/inside.h"

int boot(struct core *c, const struct core_event *e)
{
    CHECK(e->u.boot.first > 0);
    CHECK(e->u.boot.last + 1 >= e->u.boot.first);
    if (e->u.boot.applied + 1 < e->u.boot.first) return ERR_CORRUPT; /* R7 */
    if (e->u.boot.applied > e->u.boot.last && !e->u.boot.tainted) return ERR_CORRUPT;
    if (e->u.boot.last_term > e->u.boot.hard.term && !e->u.boot.tainted) return ERR_CORRUPT;
    c->hard = e->u.boot.hard;
    c->first = e->u.boot.first;
    c->last = e->u.boot.last;
    c->applied = e->u.boot.applied;
    c->commit = e->u.boot.applied;
    c->tainted = e->u.boot.tainted;
    c->booted = true;
    elect_set_timer(c);
    return 0;
}
