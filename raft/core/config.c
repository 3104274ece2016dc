/* config - who counts. A change of voters goes through a joint configuration (thesis 4.3): while it
 * counts, elections and commits need a majority of the old voters and one of the new.
 *
 *   {A B C} ──append──> {A B C | A B D} ──commit──> append {A B D} ──commit──> C, who is out, may go
 *
 * R6: the newest one in the log counts from its append, committed or not. One change at a time: the next is
 * appended when the last has committed, so at most one is not committed, and when it is cut off the one
 * before it counts again. That is why a pair is all there is to remember.
 */
#include "raft/core/inside.h"

/* ---- what may stand in an entry */

static int check_member(const struct core_config *g, unsigned i)
{
    const struct core_member *m = &g->members[i];
    unsigned votes = m->flags & (CORE_VOTES_NEW | CORE_VOTES_OLD);

    if (m->node == 0 || m->node >= BOUND) return ERR_RANGE;
    if (m->flags == 0 || m->flags > (CORE_PROMOTE | CORE_LEARNS | CORE_VOTES_OLD)) return ERR_RANGE;
    if ((m->flags & CORE_VOTES_OLD) && !g->joint) return ERR_RANGE;
    if ((m->flags & CORE_LEARNS) && (votes & CORE_VOTES_NEW)) return ERR_RANGE;
    if ((m->flags & CORE_PROMOTE) && !(m->flags & CORE_LEARNS)) return ERR_RANGE;
    for (unsigned j = 0; j < i; j++)
        if (g->members[j].node == m->node) return ERR_RANGE;
    return 0;
}

int core_config_check(const struct core_config *g)
{
    unsigned new = 0, old = 0;

    if (g->count == 0 || g->count > CORE_MEMBERS_MAX) return ERR_RANGE;
    if (g->spread > CORE_SPREAD_REGION) return ERR_RANGE;
    for (unsigned i = 0; i < g->count; i++) {
        if (check_member(g, i) != 0) return ERR_RANGE;
        new += (g->members[i].flags & CORE_VOTES_NEW) != 0;
        old += (g->members[i].flags & CORE_VOTES_OLD) != 0;
    }
    if (new == 0 || new > CORE_VOTERS_MAX || old > CORE_VOTERS_MAX) return ERR_RANGE;
    return g->joint != (old > 0) ? ERR_RANGE : 0;
}

void config_copy(struct core_config *to, const struct core_config *from)
{
    memcpy(to, from, offsetof(struct core_config, members) + from->count * sizeof from->members[0]);
}

int config_find(const struct core_config *g, uint64_t node)
{
    for (unsigned i = 0; i < g->count; i++)
        if (g->members[i].node == node) return (int)i;
    return -1;
}

bool config_is_voter(const struct core_config *g, uint64_t node)
{
    int i = config_find(g, node);

    return i >= 0 && (g->members[i].flags & (CORE_VOTES_NEW | CORE_VOTES_OLD));
}

bool config_same_voters(const struct core_config *a, const struct core_config *b)
{
    unsigned in_a = 0, in_b = 0;

    for (unsigned i = 0; i < a->count; i++) {
        if (!(a->members[i].flags & CORE_VOTES_NEW)) continue;
        if (!config_is_voter(b, a->members[i].node)) return false;
        in_a++;
    }
    for (unsigned i = 0; i < b->count; i++)
        in_b += config_is_voter(b, b->members[i].node);
    return in_a == in_b;
}

unsigned config_half(const struct core *c, unsigned flag, struct quorum_voter out[CORE_MEMBERS_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->config->count; i++) {
        const struct core_member *m = &c->config->members[i];
        const struct progress *p = &c->peers[i];
        bool counts = m->flags & flag;

        if (MUTATED(LEARNER_COUNTED)) counts = counts || (m->flags & CORE_LEARNS);
        if (c->rescue.on) counts = flag == CORE_VOTES_NEW && (c->rescue.voters >> i & 1);
        if (!counts || (MUTATED(R6_ONE_HALF) && flag == CORE_VOTES_OLD)) continue;
        out[n++] = (struct quorum_voter){
            .node = m->node,
            .match =
                m->node == c->o.self ? (MUTATED(R1_SELF_ACK) ? c->last : c->durable) : p->match,
            .place = c->config->spread == CORE_SPREAD_REGION ? m->region : m->zone,
            .yes = p->yes,
            .no = p->no,
        };
    }
    return n;
}

bool config_has_peers(const struct core *c)
{
    return c->config->count > 1 ||
           (c->config->count == 1 && c->config->members[0].node != c->o.self);
}

bool config_has_others(const struct core *c)
{
    for (unsigned i = 0; i < c->config->count; i++) {
        const struct core_member *m = &c->config->members[i];

        if (m->node != c->o.self && (m->flags & (CORE_VOTES_NEW | CORE_VOTES_OLD))) return true;
    }
    return false;
}

/* ---- from one to the next */

static struct core_member *add(struct core_config *g, const struct core_member *m)
{
    if (g->count == CORE_MEMBERS_MAX) return NULL;
    g->members[g->count] = *m;
    return &g->members[g->count++];
}

int config_towards(const struct core_config *now, const struct core_config *aim,
                   struct core_config *out)
{
    CHECK(!now->joint);
    *out =
        (struct core_config){ .version = now->version + 1, .era = now->era, .spread = aim->spread };
    out->joint = !config_same_voters(now, aim) && !MUTATED(NO_JOINT);
    for (unsigned i = 0; i < aim->count; i++) {
        struct core_member *m = add(out, &aim->members[i]);

        if (out->joint && config_is_voter(now, m->node)) m->flags |= CORE_VOTES_OLD;
    }
    for (unsigned i = 0; i < now->count && out->joint; i++) {
        const struct core_member *m = &now->members[i];
        struct core_member *old;

        if (config_find(aim, m->node) >= 0 || !config_is_voter(now, m->node)) continue;
        old = add(out, m);
        if (!old) return ERR_RANGE;
        old->flags = CORE_VOTES_OLD;
    }
    return 0;
}

void config_end(const struct core_config *joint, struct core_config *out)
{
    CHECK(joint->joint);
    *out = (struct core_config){ .version = joint->version + 1,
                                 .era = joint->era,
                                 .spread = joint->spread };
    for (unsigned i = 0; i < joint->count; i++) {
        struct core_member m = joint->members[i];

        m.flags &= (uint8_t)~CORE_VOTES_OLD;
        if (m.flags != 0) add(out, &m);
    }
}

/* ---- which one counts */

bool config_is_committed(const struct core *c)
{
    return c->config->index <= c->commit;
}

/* The members' progress goes with them. */
static void move_peers(struct core *c, const struct core_config *next)
{
    struct progress moved[CORE_MEMBERS_MAX];

    for (unsigned i = 0; i < next->count; i++) {
        int at = config_find(c->config, next->members[i].node);

        if (at >= 0) {
            moved[i] = c->peers[at];
            continue;
        }
        moved[i] = (struct progress){ .node = next->members[i].node,
                                      .up = true,
                                      .active = true,
                                      .next = c->last + 1,
                                      .goal = c->last,
                                      .round_ms = c->now_ms };
    }
    memcpy(c->peers, moved, next->count * sizeof moved[0]);
}

void config_adopt(struct core *c, const struct core_config *g, uint64_t index)
{
    struct core_config *back;

    CHECK(g->count <= c->o.limits.members_max);
    move_peers(c, g);
    c->has_before = true;
    back = c->before;
    c->before = c->config;
    c->config = back;
    config_copy(c->config, g);
    c->config->index = index;
    c->rescue.on = false;
}

void config_roll_back(struct core *c)
{
    struct core_config *gone = c->config;

    if (c->config->index <= c->last || MUTATED(R6_NOT_ROLLED_BACK)) return;
    CHECK(c->has_before); /* one change at a time: the one before it is committed somewhere */
    CHECK(c->before->index <= c->last);
    move_peers(c, c->before);
    c->config = c->before;
    c->before = gone;
    c->has_before = false;
}

/* ---- changing it */

/* Thesis 4.2.1: a voter that has to catch up first would hold up commits. */
static bool must_learn(const struct core *c, const struct core_member *m)
{
    int at = config_find(c->config, m->node);

    if (!(m->flags & CORE_VOTES_NEW) || config_is_voter(c->config, m->node)) return false;
    return at < 0 || !progress_is_near(c, &c->peers[at]);
}

static bool is_same(const struct core_config *a, const struct core_config *b)
{
    if (a->count != b->count || a->spread != b->spread) return false;
    for (unsigned i = 0; i < b->count; i++) {
        const struct core_member *y = &b->members[i], *x;
        int at = config_find(a, y->node);

        if (at < 0) return false;
        x = &a->members[at];
        if (x->flags != y->flags || x->priority != y->priority || x->zone != y->zone ||
            x->region != y->region)
            return false;
    }
    return true;
}

void config_append(struct core *c, const struct core_config *next, struct core_update *u)
{
    CHECK(core_config_check(next) == 0);
    append_own(c, CORE_CONFIG, 0, u);
    config_adopt(c, next, c->last);
    u->append.config = c->config;
}

int config_reconf(struct core *c, const struct core_event *e, struct core_update *u)
{
    const struct core_config *aim = e->u.reconf.config;
    struct core_config next;

    if (!c->ready) return ERR_NOT_LEADER; /* R6: not before an entry of its own term is committed */
    if (e->u.reconf.version != 0 && e->u.reconf.version != c->config->version)
        return ERR_SUPERSEDED;
    if (c->config->joint || !config_is_committed(c) || c->transfer.to != 0) return ERR_BUSY;
    if (core_config_check(aim) != 0 || aim->joint) return ERR_RANGE;
    if (c->o.election_ms == 0 || c->o.heartbeat_ms == 0) return ERR_RANGE; /* made for one alone */
    if (is_same(c->config, aim)) return ERR_EXISTS;
    for (unsigned i = 0; i < aim->count && !e->u.reconf.hasty; i++)
        if (must_learn(c, &aim->members[i])) return ERR_AGAIN;
    if (config_towards(c->config, aim, &next) != 0) return ERR_RANGE;
    if (next.count > c->o.limits.members_max) return ERR_RANGE;
    if (c->last - c->commit >= CORE_UNCOMMITTED_MAX) return ERR_FULL;
    config_append(c, &next, u);
    return 0;
}

/* A learner that has caught up becomes a voter, if it is meant to. */
static bool promote(const struct core *c, struct core_config *next)
{
    struct core_config aim;
    unsigned voters = 0;
    bool found = false;

    config_copy(&aim, c->config);
    for (unsigned i = 0; i < aim.count; i++)
        voters += (aim.members[i].flags & CORE_VOTES_NEW) != 0;
    for (unsigned i = 0; i < aim.count; i++) {
        struct core_member *m = &aim.members[i];

        if (!(m->flags & CORE_PROMOTE) || !progress_is_near(c, &c->peers[i])) continue;
        if (c->peers[i].match < c->config->index) continue; /* alive since it was asked for its vote */
        if (voters == CORE_VOTERS_MAX) break;
        m->flags = CORE_VOTES_NEW;
        voters++;
        found = true;
    }
    return found && config_towards(c->config, &aim, next) == 0;
}

/* Thesis 4.2.2: a leader that is no voter any more leads until that is committed, and hands over. */
static void leave(struct core *c, struct core_update *u)
{
    int to = transfer_best(c);

    if (to >= 0) send_new(c, CORE_MSG_TIMEOUT_NOW, c->config->members[to].node, 0, u);
    become_follower(c, c->hard.term, 0, u);
}

void config_settle(struct core *c, struct core_update *u)
{
    struct core_config next;

    if (c->role != CORE_LEADER || !config_is_committed(c) || c->commit < c->own_first) return;
    if (u->flags & CORE_APPEND) return; /* one entry a step; there is a next one */
    if (c->config->joint) {
        config_end(c->config, &next);
        config_append(c, &next, u);
    } else if (!config_is_voter(c->config, c->o.self)) {
        leave(c, u);
    } else if (c->ready && c->transfer.to == 0 && promote(c, &next)) {
        config_append(c, &next, u);
    }
}
