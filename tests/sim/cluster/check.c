/* check - what may never happen, looked at after each step: elections, votes, logs, commits, machines, reads.
 *
 * The canonical history of a group is what was committed first at each index, by anybody. Entries are
 * shared, so "the same entry" is the same pointer; each remembers the term of the one before it, so that two
 * logs that agree on an entry agree on all before it (log matching), by induction.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/mutation.h"
#include "tests/sim/shared/members.h"
#include "tests/sim/cluster/world.h"

_Noreturn void check_broken(struct world *w, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "broken at %.6f s: ", (double)w->now_us / (double)SECOND);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nreplay: ./tests/run.sh sim/seed=%llu\n", (unsigned long long)w->seed);
    exit(1);
}

void check_free(struct world *w)
{
    struct check *c = &w->check;

    for (unsigned g = 0; g < GROUPS_MAX; g++) {
        for (uint64_t i = 0; i < c->canon[g].count; i++)
            entry_unref(c->canon[g].entries[i]);
        free(c->canon[g].entries);
        free(c->canon[g].terms);
        free(c->canon[g].digests);
        free(c->leaders[g].list);
    }
    free(c->votes.list);
    *c = (struct check){ 0 };
}

struct entry *check_canon(const struct world *w, unsigned group, uint64_t index)
{
    const struct canon *c = &w->check.canon[group];

    return index >= 1 && index <= c->count ? c->entries[index - 1] : NULL;
}

/* ---- log matching */

void check_made(struct world *w, struct node *n, struct entry *e)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        const struct slot *a = log_at(&w->nodes[i].hosts[e->group].log, e->index);
        const struct slot *b = log_at(&w->nodes[i].disk.kept[e->group].log, e->index);

        EXPECT(w, !(a && a->entry->term == e->term) && !(b && b->entry->term == e->term),
               "n%u g%u makes a second entry %llu in term %llu; n%u has the other", n->at + 1,
               e->group, (unsigned long long)e->index, (unsigned long long)e->term, i + 1);
    }
}

void check_appended(struct world *w, struct node *n, unsigned group, uint64_t index)
{
    struct host *h = &n->hosts[group];
    const struct entry *e = log_at(&h->log, index)->entry;

    EXPECT(w, !n->disk.failed, "n%u g%u: writes on, and its disk failed (R2)", n->at + 1, group);
    /* what a disk lost comes again, the same */
    EXPECT(w, index > h->commit || check_canon(w, group, index) == e,
           "n%u g%u: entry %llu is committed here and is written over", n->at + 1, group,
           (unsigned long long)index);
    EXPECT(w, log_term(&h->log, index - 1) == e->prev_term,
           "n%u g%u: entry %llu stands behind another one than at its leader (log matching)",
           n->at + 1, group, (unsigned long long)index);
}

/* ---- elections and votes */

static void expect_complete(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    const struct canon *c = &w->check.canon[group];

    for (uint64_t i = h->log.first; i <= c->count; i++) {
        const struct entry *e = c->entries[i - 1];
        const struct slot *s = log_at(&h->log, i);

        if (c->terms[i - 1] >= h->term) continue; /* a leader that learns late that it won */
        EXPECT(
            w, s && s->entry == e,
            "n%u g%u leads in term %llu and lacks the committed entry %llu (leader completeness)",
            n->at + 1, group, (unsigned long long)h->term, (unsigned long long)i);
    }
}

static void note_leader(struct world *w, struct node *n, unsigned group)
{
    uint64_t term = n->hosts[group].term;
    uint64_t before = leaders_note(&w->check.leaders[group], term, n->at + 1);

    EXPECT(w, before == 0 || before == n->at + 1,
           "g%u: n%llu and n%u lead in term %llu (election safety)", group,
           (unsigned long long)before, n->at + 1, (unsigned long long)term);
    w->elections += before == 0;
}

void check_role(struct world *w, struct node *n, unsigned group)
{
    if (n->hosts[group].role != CORE_LEADER) return;
    EXPECT(w, !n->disk.failed, "n%u g%u leads with a disk that failed", n->at + 1, group);
    EXPECT(w, !faults_impaired(n, group), "n%u g%u leads and lost what it had promised", n->at + 1,
           group);
    note_leader(w, n, group);
    expect_complete(w, n, group);
}

static void note_vote(struct world *w, struct node *n, unsigned group, uint64_t term, uint64_t to)
{
    uint64_t before = votes_note(&w->check.votes, n->at, group, term, to);

    EXPECT(w, before == 0 || before == to, "n%u g%u votes for n%llu and n%llu in term %llu",
           n->at + 1, group, (unsigned long long)before, (unsigned long long)to,
           (unsigned long long)term);
}

void check_sent(struct world *w, struct node *n, unsigned group, const struct core_msg *m)
{
    const struct kept *k = &n->disk.kept[group];

    EXPECT(w, m->from == n->at + 1, "n%u g%u sends as n%llu", n->at + 1, group,
           (unsigned long long)m->from);
    if (m->kind == CORE_MSG_VOTE) note_vote(w, n, group, m->term, n->at + 1);
    if (m->kind != CORE_MSG_VOTE_REPLY || m->reject) return;
    note_vote(w, n, group, m->term, m->to);
    EXPECT(w, k->hard.term > m->term || (k->hard.term == m->term && k->hard.vote == m->to),
           "n%u g%u says that it votes in term %llu and has not written it (R4)", n->at + 1, group,
           (unsigned long long)m->term);
    EXPECT(w, !faults_impaired(n, group), "n%u g%u votes and lost what it had promised", n->at + 1,
           group);
}

/* ---- commits */

struct holder {
    struct member_ask ask; /* first */
    const struct world *w;
    const struct entry *e;
    unsigned at; /* who says that it is committed */
};

static bool holds(const struct member_ask *ask, const struct core_member *m)
{
    const struct holder *x = CONTAINER_OF(ask, struct holder, ask);
    const struct entry *e = x->e;
    const struct node *n = &x->w->nodes[m->node - 1];
    const struct kept *k = &n->disk.kept[e->group];

    if (e->made_us > x->w->apart_us && faults_apart(x->w, x->at, n->at)) return false;
    if (n->lost) return true; /* it may have had it, nobody knows any more */
    if (k->tainted && e->index <= k->lost_upto.index) return true;
    if (e->index < k->log.first) return true;
    return e->index <= log_last(&k->log) && k->log.list[e->index - k->log.first].entry == e;
}

static bool quorum_holds(const struct world *w, const struct core_config *c, const struct entry *e,
                         unsigned at)
{
    struct holder x = { { holds }, w, e, at };

    return members_quorum(c, &x.ask);
}

static bool later_quorum_holds(const struct world *w, const struct log *l, const struct entry *e,
                               unsigned at)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct entry *later = l->list[i].entry;

        if (later->index > e->index && later->kind == CORE_CONFIG &&
            quorum_holds(w, later->config, e, at))
            return true;
    }
    return false;
}

/* The quorum was one of the configuration at the entry, or of a later one in the leader's log (R6), which is not
 * always the log of who tells first. Who is cut off for ever is none of it. */
static bool is_replicated(struct world *w, struct node *n, const struct entry *e)
{
    const struct core_config *c = log_config(&n->hosts[e->group].log, e->index);

    if (quorum_holds(w, c ? c : &w->first_config[e->group], e, n->at)) return true;
    for (unsigned i = 0; i < w->node_count; i++)
        if (later_quorum_holds(w, &w->nodes[i].hosts[e->group].log, e, n->at)) return true;
    return false;
}

static void add_canon(struct world *w, struct node *n, struct entry *e)
{
    struct canon *c = &w->check.canon[e->group];

    EXPECT(w, is_replicated(w, n, e),
           "n%u g%u: entry %llu is committed and no quorum has it on disk", n->at + 1, e->group,
           (unsigned long long)e->index);
    if (c->count == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 64;
        c->entries = check_realloc(c->entries, c->cap * sizeof(void *));
        c->terms = check_realloc(c->terms, c->cap * sizeof(uint64_t));
        c->digests = check_realloc(c->digests, c->cap * sizeof(uint64_t));
    }
    c->terms[c->count] = n->hosts[e->group].term;
    c->digests[c->count] = 0;
    c->entries[c->count++] = entry_ref(e);
    if (e->kind == CORE_CONFIG) c->config = *e->config;
    w->commits++;
}

void check_committed(struct world *w, struct node *n, unsigned group, uint64_t from, uint64_t upto)
{
    struct host *h = &n->hosts[group];

    for (uint64_t i = from; i <= upto; i++) {
        const struct slot *s = log_at(&h->log, i);
        const struct entry *known = check_canon(w, group, i);

        EXPECT(w, s != NULL, "n%u g%u: commits %llu, which is not in its log", n->at + 1, group,
               (unsigned long long)i);
        EXPECT(w, !known || known == s->entry,
               "n%u g%u: entry %llu of term %llu is committed, and so is another one of term %llu "
               "(state machine safety)",
               n->at + 1, group, (unsigned long long)i, (unsigned long long)s->entry->term,
               (unsigned long long)known->term);
        if (known) continue;
        CHECK(i == w->check.canon[group].count + 1);
        add_canon(w, n, s->entry);
    }
    trace_mix(w, n->at, group, upto);
}

bool check_applied(struct world *w, struct node *n, unsigned group, uint64_t index)
{
    struct canon *c = &w->check.canon[group];
    uint64_t digest = queue_digest(n->hosts[group].queue) | 1;
    bool is_new;

    CHECK(index <= c->count);
    is_new = c->digests[index - 1] == 0;
    if (is_new) c->digests[index - 1] = digest;
    EXPECT(w, c->digests[index - 1] == digest,
           "n%u g%u: another state behind entry %llu than elsewhere", n->at + 1, group,
           (unsigned long long)index);
    return is_new;
}

/* ---- reads */

uint64_t check_read_begin(struct world *w, unsigned group)
{
    struct check *c = &w->check;
    uint64_t context = ++c->read_next;

    c->reads[context % 64].context = context;
    c->reads[context % 64].floor = c->canon[group].count;
    c->reads[context % 64].group = group;
    return context;
}

void check_read_end(struct world *w, unsigned group, const struct core_read *r)
{
    const struct check *c = &w->check;

    if (r->index == 0 || c->reads[r->context % 64].context != r->context) return;
    CHECK(c->reads[r->context % 64].group == group);
    EXPECT(w, r->index >= c->reads[r->context % 64].floor,
           "g%u: a read sees entry %llu, and %llu was committed when it began (stale read)", group,
           (unsigned long long)r->index, (unsigned long long)c->reads[r->context % 64].floor);
}

/* ---- the end */

void check_end(struct world *w)
{
    EXPECT(w, !MUTATED(CANARY), "nothing is, but this run has to fail");
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];

        if (!node_runs(w, n) || !w->core_set[i]) continue;
        machine_flush(w, n);
        for (unsigned g = 0; g < w->plan.groups; g++) {
            struct errmsg why = { "" };

            if (!n->hosts[g].open) continue;
            bounds_flushed(w, n, g);
            EXPECT(w, queue_verify(n->disk.kept[g].store, g + 1, &why) == 0, "n%u g%u: %s", i + 1,
                   g, why.text);
        }
    }
    mail_expect_end(w);
}
