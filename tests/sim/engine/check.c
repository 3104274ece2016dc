/* check - what may never happen, looked at as frames leave, entries are applied, and after each turn of a node.
 *
 * The history of a group is what was committed first at each index, by anybody: term and hash of the entry. An entry that
 * leaves in an APPEND is the only one of its index and term, and stands behind the same one everywhere (log matching).
 */
#define XXH_INLINE_ALL
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "proto/ground/mutation.h"
#include "raft/engine/frame.h"
#include "tests/sim/shared/members.h"
#include "tests/sim/engine/world.h"

_Noreturn void check_broken(const struct world *w, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "broken at %.6f s: ", (double)w->now_us / (double)SECOND);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nreplay: ./tests/run.sh sim/%s-seed=%llu\n",
            world_above ? world_above->name : "engine", (unsigned long long)w->seed);
    exit(1);
}

void check_free(struct world *w)
{
    struct check *c = &w->check;

    for (unsigned g = 0; g < GROUPS_MAX; g++) {
        free(c->canon[g].facts);
        free(c->canon[g].digests);
        free(c->leaders[g].list);
    }
    free(c->votes.list);
    free(c->made);
    *c = (struct check){ 0 };
}

uint64_t check_hash(enum core_entry_kind kind, struct span head, struct span body)
{
    uint64_t h = XXH3_64bits(head.p, head.n) * 31 + XXH3_64bits(body.p, body.n);

    return h * 7 + (uint64_t)kind + head.n;
}

const struct fact *check_canon(const struct world *w, unsigned group, uint64_t index)
{
    const struct canon *c = &w->check.canon[group];

    return index >= 1 && index <= c->count ? &c->facts[index - 1] : NULL;
}

/* ---- log matching */

static bool is_same(const struct made *a, const struct made *b)
{
    return a->index == b->index && a->term == b->term && a->group == b->group && a->era == b->era;
}

static size_t place_of(const struct check *c, const struct made *m)
{
    uint64_t key = (m->index * 0x9e3779b97f4a7c15u) ^ (m->term << 20) ^ m->group ^ m->era << 4;
    size_t at = (size_t)(key ^ key >> 32) & (c->made_cap - 1);

    while (c->made[at].term != 0 && !is_same(&c->made[at], m))
        at = (at + 1) & (c->made_cap - 1);
    return at;
}

static void grow(struct check *c)
{
    struct made *old = c->made;
    size_t cap = c->made_cap;

    c->made_cap = cap ? 2 * cap : 1024;
    c->made = check_calloc(c->made_cap, sizeof *c->made);
    for (size_t i = 0; i < cap; i++)
        if (old[i].term != 0) c->made[place_of(c, &old[i])] = old[i];
    free(old);
}

static void expect_one(struct world *w, const struct node *n, const struct made *m)
{
    struct check *c = &w->check;
    size_t at;

    if (2 * c->made_count >= c->made_cap) grow(c);
    at = place_of(c, m);
    if (c->made[at].term == 0) {
        c->made[at] = *m;
        c->made_count++;
        return;
    }
    EXPECT(w, c->made[at].hash == m->hash, "n%u g%u sends another entry %llu of term %llu",
           n->at + 1, m->group, (unsigned long long)m->index, (unsigned long long)m->term);
    EXPECT(w, c->made[at].prev_term == m->prev_term,
           "n%u g%u: entry %llu of term %llu stands behind another one than before (log matching)",
           n->at + 1, m->group, (unsigned long long)m->index, (unsigned long long)m->term);
}

/* ---- frames that leave */

static void note_vote(struct world *w, const struct node *n, unsigned group, uint64_t term,
                      uint64_t to)
{
    uint64_t before = votes_note(&w->check.votes, n->at, group, term, to);

    EXPECT(w, before == 0 || before == to, "n%u g%u votes for n%llu and n%llu in term %llu",
           n->at + 1, group, (unsigned long long)before, (unsigned long long)to,
           (unsigned long long)term);
}

static void check_vote(struct world *w, const struct host *h, uint64_t term, uint64_t to)
{
    struct core_hard hard = store_mem_hard(h->node->store, world_group(h->group));

    note_vote(w, h->node, h->group, term, to);
    EXPECT(w, hard.term > term || (hard.term == term && hard.vote == to),
           "n%u g%u votes in term %llu and has not written it (R4)", h->node->at + 1, h->group,
           (unsigned long long)term);
    EXPECT(w, !h->impaired, "n%u g%u votes and lost what it had promised", h->node->at + 1,
           h->group);
}

/* What it says to hold is on its disk. An answer to a leader of an earlier term may leave when what it was for is cut off
 * again, by the next write of the same sync. */
static void check_match(struct world *w, const struct host *h, const struct core_msg *m)
{
    struct raft_group_view v;
    int rv;

    if (m->match == 0) return;
    raft_group_see(h->raft, &v);
    if (m->match < v.first || m->term < v.term) return;
    rv = peek_read(h, m->match, NULL, NULL, NULL, NULL);
    EXPECT(w, rv == 0 || rv == ERR_CORRUPT || h->damaged,
           "n%u g%u answers for entry %llu, which is not on its disk (R1)", h->node->at + 1,
           h->group, (unsigned long long)m->match);
}

static void check_entries(struct world *w, const struct host *h, const struct frame_message *f)
{
    const struct core_msg *m = &f->msg;
    uint64_t prev_term = m->prev.term;

    for (unsigned i = 0; i < m->count; i++) {
        const struct core_entry *e = &m->entries[i];

        if (i > 0 || m->prev.index + 1 == m->first)
            expect_one(w, h->node,
                       &(struct made){ m->first + i, e->term,
                                       check_hash(e->kind, f->bytes[i].head, f->bytes[i].body),
                                       prev_term, h->group, m->era });
        prev_term = e->term;
    }
}

static void check_message(struct world *w, struct node *n, const struct frame_message *f)
{
    const struct core_msg *m = &f->msg;
    uint64_t at = f->group - world_group(0);
    struct host *h = &n->hosts[at];

    CHECK(at < w->plan.groups && h->raft);
    EXPECT(w, m->from == n->at + 1, "n%u sends as n%llu", n->at + 1, (unsigned long long)m->from);
    if (m->kind == CORE_MSG_VOTE) check_vote(w, h, m->term, n->at + 1);
    if (m->kind == CORE_MSG_VOTE_REPLY && !m->reject) check_vote(w, h, m->term, m->to);
    if (m->kind == CORE_MSG_APPEND) check_entries(w, h, f);
    if (m->kind == CORE_MSG_APPEND_REPLY && !m->reject) check_match(w, h, m);
}

void check_frame(struct world *w, struct node *n, unsigned to, struct blob *blob)
{
    struct frame f;
    int rv;

    if (blob->p[0] != RAFT_FRAME) return; /* of who stands above */
    rv = frame_unpack(blob_ref(blob), n->at + 1, to + 1, &f);
    EXPECT(w, rv == 0, "n%u sends a frame that is none: %s", n->at + 1, err_name(rv));
    for (size_t i = 0; i < f.message_count; i++)
        check_message(w, n, &f.messages[i]);
    frame_deinit(&f);
}

/* ---- leaders */

static void note_leader(struct world *w, const struct host *h, uint64_t term)
{
    unsigned group = h->group, at = h->node->at;
    uint64_t before = leaders_note(&w->check.leaders[group], term, at + 1);

    EXPECT(w, before == 0 || before == at + 1,
           "g%u: n%llu and n%u lead in term %llu (election safety)", group,
           (unsigned long long)before, at + 1, (unsigned long long)term);
    w->elections += before == 0;
}

static void expect_complete(struct world *w, const struct host *h, const struct core_view *v)
{
    const struct canon *c = &w->check.canon[h->group];

    for (uint64_t i = v->first; i <= c->count; i++) {
        const struct fact *f = &c->facts[i - 1];
        struct peeked e;

        if (f->commit_term >= v->term || h->damaged) continue; /* it learns late that it won */
        EXPECT(
            w, i <= v->last && peek_entry(h, i, &e) && e.term == f->term && e.hash == f->hash,
            "n%u g%u leads in term %llu and lacks the committed entry %llu (leader completeness)",
            h->node->at + 1, h->group, (unsigned long long)v->term, (unsigned long long)i);
    }
}

static void check_leader(struct world *w, struct host *h, const struct core_view *v)
{
    if (v->role != CORE_LEADER || v->term == h->led_term) return;
    h->led_term = v->term;
    EXPECT(w, !h->impaired, "n%u g%u leads and lost what it had promised", h->node->at + 1,
           h->group);
    EXPECT(w, !h->outcast, "n%u g%u leads, of an era that is over", h->node->at + 1, h->group);
    TRACE(w, "n%u g%u is elected in term %llu", h->node->at + 1, h->group,
          (unsigned long long)v->term);
    if (raft_group_config(h->raft)->era > w->check.canon[h->group].config.era) rescue_led(w, h);
    note_leader(w, h, v->term);
    expect_complete(w, h, v);
}

/* ---- commits */

struct holder {
    struct member_ask ask; /* first */
    const struct world *w;
    unsigned group;
    uint64_t index;
    const struct fact *f;
    unsigned at; /* who says that it is committed */
};

static bool holds(const struct member_ask *ask, const struct core_member *m)
{
    const struct holder *x = CONTAINER_OF(ask, struct holder, ask);
    const struct fact *f = x->f;
    uint64_t index = x->index;
    unsigned group = x->group;
    const struct node *n = &x->w->nodes[m->node - 1];
    const struct host *h = &n->hosts[group];
    struct store_group *log;
    struct peeked e;
    bool is_cut;
    int rv;

    if (index > x->w->apart_last[group] && faults_apart(x->w, x->at, n->at)) return false;
    if (n->lost) return true; /* it may have had it, nobody knows any more */
    if (h->impaired && index <= h->lost_upto) return true;
    rv = peek_read(h, index, NULL, NULL, NULL, NULL);
    if (rv == ERR_CORRUPT || (rv != 0 && h->damaged)) return true;
    if (rv == 0) {
        struct host on_disk = { .node = h->node, .group = group };

        return peek_entry(&on_disk, index, &e) && e.term == f->term && e.hash == f->hash;
    }
    log = check_malloc(sizeof *log);
    is_cut = store_group_read(n->store, world_group(group), log, NULL) != 0 || index < log->first;
    free(log);
    return is_cut;
}

/* The quorum was one of the configuration at the entry, or of a later one in its leader's log (R6). Who is cut off for ever is
 * none of it. */
static bool is_replicated(const struct world *w, const struct holder *x)
{
    unsigned group = x->group;
    uint64_t index = x->index;

    if (members_quorum(&w->check.canon[group].config, &x->ask)) return true;
    for (unsigned i = 0; i < w->node_count; i++) {
        const struct host *h = &w->nodes[i].hosts[group];
        struct core_view v;
        struct peeked e;

        if (!h->raft) continue;
        peek_core(h, &v);
        for (uint64_t k = v.last; k > index && k >= v.first; k--)
            if (peek_entry(h, k, &e) && e.is_config && members_quorum(&e.config, &x->ask))
                return true;
    }
    return false;
}

static void add_fact(struct world *w, const struct host *h, uint64_t index, struct peeked *e,
                     uint64_t commit_term)
{
    struct canon *c = &w->check.canon[h->group];
    struct fact f = { e->term, e->hash, commit_term };
    struct holder x = { { holds }, w, h->group, index, &f, h->node->at };

    CHECK(index == c->count + 1);
    if (c->count == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 64;
        c->facts = check_realloc(c->facts, c->cap * sizeof *c->facts);
    }
    c->facts[c->count++] = f;
    if (e->kind == CORE_CONFIG) {
        CHECK(e->is_config);
        if (world_above) world_above->config(w, h->group, &c->config, &e->config);
        c->config = e->config;
        c->config.index = index;
    }
    w->commits++;
    EXPECT(w, is_replicated(w, &x), "n%u g%u: entry %llu is committed and no quorum has it on disk",
           h->node->at + 1, h->group, (unsigned long long)index);
}

static void check_commits(struct world *w, struct host *h, const struct core_view *v)
{
    if (h->commit_seen + 1 < v->first) h->commit_seen = v->first - 1;
    while (h->commit_seen < v->commit) {
        uint64_t i = h->commit_seen + 1;
        const struct fact *known = check_canon(w, h->group, i);
        struct peeked e;

        if (!peek_entry(h, i, &e)) {
            EXPECT(w, h->damaged, "n%u g%u: commits %llu, which is not in its log", h->node->at + 1,
                   h->group, (unsigned long long)i);
            if (!known) return; /* others will tell */
            h->commit_seen = i;
            continue;
        }
        h->commit_seen = i;
        EXPECT(w, !known || (known->term == e.term && known->hash == e.hash),
               "n%u g%u: entry %llu of term %llu is committed, and so is another one of term %llu "
               "(state machine safety)",
               h->node->at + 1, h->group, (unsigned long long)i, (unsigned long long)e.term,
               (unsigned long long)(known ? known->term : 0));
        if (!known) add_fact(w, h, i, &e, v->term);
        trace_mix(w, h->node->at, h->group, i);
    }
}

void check_turn(struct world *w, struct node *n)
{
    for (unsigned g = 0; g < w->plan.groups; g++) {
        struct host *h = &n->hosts[g];
        struct core_view v;

        if (!h->raft) continue;
        peek_core(h, &v);
        EXPECT(w, v.commit >= h->commit_floor, "n%u g%u: commit goes back from %llu to %llu (R5)",
               n->at + 1, g, (unsigned long long)h->commit_floor, (unsigned long long)v.commit);
        h->commit_floor = v.commit;
        check_leader(w, h, &v);
        if (!h->outcast) check_commits(w, h, &v);
    }
    peek_bounds(w, n);
}

/* ---- what is applied */

void check_entry(struct world *w, struct host *h, const struct raft_entry *e)
{
    const struct fact *f;
    struct core_view v;

    if (h->outcast) return;
    peek_core(h, &v);
    check_leader(w, h, &v);
    check_commits(w, h, &v);
    f = check_canon(w, h->group, e->index);
    EXPECT(w, f, "n%u g%u applies entry %llu, which nobody committed", h->node->at + 1, h->group,
           (unsigned long long)e->index);
    EXPECT(w, f->term == e->term && f->hash == check_hash(CORE_COMMAND, e->head, e->body),
           "n%u g%u applies another entry %llu than was committed", h->node->at + 1, h->group,
           (unsigned long long)e->index);
}

static uint64_t *digest_at(struct canon *c, uint64_t index)
{
    uint64_t cap = c->digest_cap;

    if (index > cap) {
        cap = 2 * index + 64;
        c->digests = check_realloc(c->digests, cap * sizeof(uint64_t));
        memset(c->digests + c->digest_cap, 0, (cap - c->digest_cap) * sizeof(uint64_t));
        c->digest_cap = cap;
    }
    return &c->digests[index - 1];
}

bool check_applied(struct world *w, struct host *h, uint64_t index)
{
    uint64_t *known = digest_at(&w->check.canon[h->group], index);
    uint64_t digest = queue_digest(h->queue) | 1;
    bool is_new = *known == 0;

    if (h->outcast) return false;
    if (is_new) *known = digest;
    EXPECT(w, *known == digest, "n%u g%u: another state behind entry %llu than elsewhere",
           h->node->at + 1, h->group, (unsigned long long)index);
    return is_new;
}

/* The state behind the last command at or before index: what stands between is no command. */
void check_installed(struct world *w, const struct host *h, uint64_t index, uint64_t digest)
{
    struct canon *c = &w->check.canon[h->group];

    while (index > 0 && *digest_at(c, index) == 0)
        index--;
    EXPECT(w, index == 0 || *digest_at(c, index) == (digest | 1),
           "n%u g%u: a snapshot holds another state behind entry %llu than elsewhere",
           h->node->at + 1, h->group, (unsigned long long)index);
}

void check_answer(struct world *w, const struct ask *a, uint64_t index, uint64_t term)
{
    const struct host *h = a->host;
    const struct fact *f = check_canon(w, h->group, index);

    if (h->node->dying) return;
    EXPECT(w, f && f->term == term && f->hash == check_hash(CORE_COMMAND, a->p.head, a->p.body),
           "n%u g%u: a proposal is answered as committed at %llu, and that is another entry",
           h->node->at + 1, h->group, (unsigned long long)index);
    EXPECT(w, h->applied >= index, "n%u g%u: answered before entry %llu is applied",
           h->node->at + 1, h->group, (unsigned long long)index);
}

/* ---- the end */

void check_end(struct world *w)
{
    EXPECT(w, !MUTATED(CANARY), "nothing is, but this run has to fail");
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];

        for (unsigned g = 0; node_runs(w, n) && w->core_set[i] && g < w->plan.groups; g++) {
            struct errmsg why = { "" };

            if (!n->hosts[g].raft || !n->hosts[g].store) continue;
            EXPECT(w, queue_verify(n->hosts[g].store, (uint32_t)world_group(g), &why) == 0, "n%u g%u: %s", i + 1, g,
                   why.text);
        }
    }
    mail_expect_end(w);
}
