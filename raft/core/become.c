/* become - the only place where a core's role changes.
 *
 *   follower ──> precandidate ──> candidate ──> leader     one voter, or TIMEOUT_NOW: no need to ask
 *    ^  └───────────────┴────────────^│           │        first. Broken has no way out (R2).
 *    └──────────────────┴─────────────┴───────────┘
 */
#include "raft/core/inside.h"

#define TO(role) (1u << (role))

static const unsigned successors[] = {
    [CORE_FOLLOWER] = TO(CORE_PRECANDIDATE) | TO(CORE_CANDIDATE) | TO(CORE_BROKEN),
    [CORE_PRECANDIDATE] = TO(CORE_FOLLOWER) | TO(CORE_CANDIDATE) | TO(CORE_BROKEN),
    [CORE_CANDIDATE] =
        TO(CORE_FOLLOWER) | TO(CORE_PRECANDIDATE) | TO(CORE_LEADER) | TO(CORE_BROKEN),
    [CORE_LEADER] = TO(CORE_FOLLOWER) | TO(CORE_BROKEN),
    [CORE_BROKEN] = 0,
};

static void set_leader(struct core *c, uint64_t leader)
{
    if (leader == 0 && c->leader != 0) c->alone_since_ms = c->now_ms;
    c->leader = leader;
}

void become(struct core *c, enum core_role role)
{
    CHECK(successors[c->role] & TO(role));
    c->role = role;
    c->ready = false;
    c->resting = false;
    set_leader(c, role == CORE_LEADER ? c->o.self : 0);
    if (role == CORE_LEADER) c->rescue.on = false;
}

/* R4: term and vote are one record; the vote begins anew only with a term. */
void become_hard(struct core *c, struct core_hard hard, struct core_update *u)
{
    CHECK(hard.term >= c->hard.term);
    CHECK(hard.term > c->hard.term || c->hard.vote == 0 || c->hard.vote == hard.vote ||
          !c->booted || hard.vote == CORE_VOTE_LOST);
    c->hard = hard;
    c->hard_write = append_write(c, u);
    u->flags |= CORE_HARD;
}

/* What only a leader has ends with its office. */
static void resign(struct core *c, uint64_t leader, struct core_update *u)
{
    if (leader == 0 && rest_is_owed(c)) u->flags |= CORE_UNREST;
    if (leader == 0 && !MUTATED(RESIGNS_AHEAD))
        priority_reset(c); /* it waits like others: it may be unable to lead, and they not */
    read_fail(c, u);
    transfer_end(c, c->transfer.sent, u);
}

void become_follower(struct core *c, uint64_t term, uint64_t leader, struct core_update *u)
{
    bool is_new = term > c->hard.term || leader != c->leader || c->role != CORE_FOLLOWER;

    CHECK(term >= c->hard.term);
    if (c->role == CORE_LEADER) resign(c, leader, u);
    if (c->role != CORE_FOLLOWER) become(c, CORE_FOLLOWER);
    if (term > c->hard.term) become_hard(c, (struct core_hard){ .term = term }, u);
    if (MUTATED(R4_VOTE_FORGOTTEN) && leader == 0) c->hard.vote = 0;
    set_leader(c, leader);
    if (!is_new) return;
    c->resting = false;
    c->lease_until_ms = 0;
    elect_set_timer(c);
    if (leader == 0) elect_again(c);
}

void become_broken(struct core *c, struct core_update *u)
{
    if (c->role == CORE_LEADER) resign(c, 0, u);
    become(c, CORE_BROKEN);
    c->installing = false;
}

int become_follower_of(struct core *c, const struct core_msg *m, struct core_update *u)
{
    CHECK(m->term >= c->hard.term);
    if (m->term == c->hard.term && (c->role == CORE_LEADER || (c->leader && c->leader != m->from)))
        return ERR_CORRUPT;
    become_follower(c, m->term, m->from, u);
    c->lease_until_ms = c->now_ms + c->o.election_ms;
    c->rescue.on = false;
    elect_forget_hint(c);
    priority_heard(c);
    elect_set_timer(c);
    if (MUTATED(TAINT_ENDS_EARLY)) taint_heard(c, m->commit);
    return 0;
}
