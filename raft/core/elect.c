/* elect - when a node stands for election, and what votes are worth.
 *
 * It asks first, in the old term, whether it could win (thesis 9.6, pre-vote), then takes a new term. The
 * new term and the vote in it are one record (R4); requests leave and the own vote counts when that record is
 * durable, known by its write id (R1). A term is never won twice: each vote is such a record somewhere.
 *
 * When the leader's node is known to be down (a hint), the waits are short. Two may stand at once then and share the
 * votes: whoever sees that it cannot win any more waits a short while again, twice as long as before, HINT_ROUNDS times;
 * then the whole timeout. A leader that lives after all is not disturbed: those who hear it refuse. Who knows that those who
 * are up could commit nothing asks nobody.
 */
#include "raft/core/inside.h"

#define HINT_ROUNDS 3

/* Drawn, so that not all stand at once. */
void elect_set_timer(struct core *c)
{
    uint64_t least = c->o.election_ms, range = c->o.election_ms;

    if (c->hinted) {
        least = 0;
        range = (uint64_t)c->o.hint_ms << (c->hint_round - 1);
    }
    if (!config_has_others(c)) least = range = 0; /* the only voter waits for nobody */
    c->election_at_ms = c->now_ms + least;
    if (range > 0) c->election_at_ms += rng_below(&c->rng, range);
}

void elect_hint(struct core *c)
{
    c->hinted = true;
    c->hint_round = 1;
    elect_set_timer(c);
}

void elect_again(struct core *c)
{
    if (c->hint_round == 0 || c->hint_round == HINT_ROUNDS || c->hinted) return;
    c->hinted = true;
    c->hint_round++;
    elect_set_timer(c);
}

void elect_forget_hint(struct core *c)
{
    c->hinted = false;
    c->hint_round = 0;
}

bool elect_leader_lives(const struct core *c)
{
    if (c->role == CORE_LEADER) return true; /* by check-quorum */
    return c->leader != 0 && c->now_ms < c->lease_until_ms;
}

/* Thesis 4.2.2: who is out of a configuration that is not committed yet still stands: the others may be in need of
 * its log. It then wins without counting itself. */
static bool is_voter(const struct core *c)
{
    if (config_is_voter(c->config, c->o.self) || c->rescue.on) return true;
    return !config_is_committed(c) && c->has_before && config_is_voter(c->before, c->o.self);
}

/* Its own vote counts where it is a voter. */
static void vote_for_self(struct core *c)
{
    struct progress *own = progress_of(c, c->o.self);

    if (own) own->yes = true;
}

bool elect_may_stand(const struct core *c)
{
    if (c->role == CORE_LEADER || c->role == CORE_BROKEN) return false;
    if (c->tainted || c->installing || c->resting) return false;
    if (c->role == CORE_CANDIDATE && c->vote_write > c->durable_write)
        return false; /* on its way */
    return is_voter(c);
}

/* Thesis 3.6.1: the later term at the end, then the longer log. */
bool elect_is_newer(const struct core *c, struct core_pos last)
{
    struct core_pos own = core_end(c);

    if (MUTATED(OLD_LOG_WINS)) return true;
    return last.term > own.term || (last.term == own.term && last.index >= own.index);
}

static void ask_votes(struct core *c, enum core_msg_kind kind, uint64_t term, bool disrupt,
                      struct core_update *u)
{
    for (unsigned i = 0; i < c->config->count; i++) {
        const struct core_member *member = &c->config->members[i];
        bool votes = member->flags & (CORE_VOTES_NEW | CORE_VOTES_OLD);
        struct core_msg *m;

        if (c->rescue.on) votes = c->rescue.voters >> i & 1;
        if (!votes || member->node == c->o.self) continue;
        m = send_new(c, kind, member->node, 0, u);
        m->term = term;
        m->prev = core_end(c);
        m->disrupt = disrupt;
    }
}

static void forget_votes(struct core *c)
{
    for (unsigned i = 0; i < c->config->count; i++)
        c->peers[i].yes = c->peers[i].no = false;
}

static enum tally tally_half(const struct core *c, unsigned flag, bool by_up)
{
    struct quorum_voter v[CORE_MEMBERS_MAX];
    unsigned n = config_half(c, flag, v);

    for (unsigned i = 0; i < n && by_up; i++)
        v[i].no |= !v[i].yes && !c->peers[config_find(c->config, v[i].node)].up;
    return quorum_tally(v, n);
}

/* By_up: a node that is known to be down will not answer. */
static enum tally tally(const struct core *c, bool by_up)
{
    enum tally new = tally_half(c, CORE_VOTES_NEW, by_up);
    enum tally old = tally_half(c, CORE_VOTES_OLD, by_up);

    if (new == TALLY_LOST || old == TALLY_LOST) return TALLY_LOST;
    return new == TALLY_WON && old == TALLY_WON ? TALLY_WON : TALLY_OPEN;
}

/* With spread a majority may elect who can commit nothing: each time one more term in the log that is not committed, for
 * nothing. */
static bool is_fruitless(const struct core *c)
{
    return c->config->spread != CORE_SPREAD_NONE && !c->rescue.on && !commit_could(c, true);
}

void elect_begin(struct core *c, struct core_update *u)
{
    if (c->role != CORE_PRECANDIDATE) become(c, CORE_PRECANDIDATE);
    c->hinted = false;
    elect_set_timer(c);
    forget_votes(c);
    vote_for_self(c);
    if (tally(c, false) == TALLY_WON) { /* the only voter need not ask */
        elect_stand(c, false, u);
        return;
    }
    if (!is_fruitless(c)) ask_votes(c, CORE_MSG_PREVOTE, c->hard.term + 1, false, u);
}

void elect_stand(struct core *c, bool disrupt, struct core_update *u)
{
    if (c->role == CORE_CANDIDATE) become(c, CORE_PRECANDIDATE);
    become(c, CORE_CANDIDATE);
    c->disrupts = disrupt;
    become_hard(c, (struct core_hard){ .term = c->hard.term + 1, .vote = c->o.self }, u);
    c->vote_write = c->hard_write;
    c->hinted = false;
    elect_set_timer(c);
    forget_votes(c);
    ask_votes(c, CORE_MSG_VOTE, c->hard.term, disrupt, u);
}

/* One term, one leader: a candidate that a quorum voted for. Its first entry, of its own term, lets what came
 * before commit (R3). A recovery's is the configuration that it asks for. */
static void win(struct core *c, struct core_update *u)
{
    bool is_rescue = c->rescue.on;
    struct core_config next;

    if (is_rescue) recover_config(c, &next);
    become(c, CORE_LEADER);
    elect_forget_hint(c);
    progress_begin(c);
    c->round = 0;
    c->busy_ms = c->now_ms;
    c->heartbeat_at_ms = c->now_ms + c->o.heartbeat_ms; /* the first entry goes to all at once */
    c->quorum_at_ms = c->now_ms + c->o.election_ms;
    c->own_first = c->last + 1;
    if (is_rescue)
        config_append(c, &next, u);
    else
        append_own(c, CORE_NOOP, 0, u);
}

void elect_count(struct core *c, struct core_update *u)
{
    enum tally result = tally(c, false);

    CHECK(c->role == CORE_PRECANDIDATE || c->role == CORE_CANDIDATE);
    if (result == TALLY_WON) {
        if (c->role == CORE_PRECANDIDATE)
            elect_stand(c, false, u);
        else
            win(c, u);
        return;
    }
    if (result == TALLY_LOST) become(c, CORE_FOLLOWER); /* its timer runs on */
    if (tally(c, true) == TALLY_LOST) elect_again(c);   /* an answer that comes yet counts */
}

void elect_on_durable(struct core *c, struct core_update *u)
{
    CHECK(c->hard.vote == c->o.self);
    vote_for_self(c);
    elect_set_timer(c); /* the requests leave only now */
    elect_count(c, u);
}

void elect_on_time(struct core *c, struct core_update *u)
{
    if (!elect_may_stand(c) || c->now_ms < c->election_at_ms) return;
    if ((c->stalled || c->now_ms < c->backoff_until_ms) && config_has_others(c)) { /* R9 */
        elect_set_timer(c);
        return;
    }
    if (c->role == CORE_FOLLOWER && priority_waits(c)) {
        elect_set_timer(c);
        return;
    }
    elect_begin(c, u);
}
