/* promises - see promises.h. */
#include <stdio.h>

#include "tests/sim/explore/promises.h"

static bool same(const struct entry *a, const struct entry *b)
{
    return a->term == b->term && a->maker == b->maker && a->kind == b->kind;
}

/* Entries 1 .. upto are the same in both. */
static bool agree(const struct text *a, const struct text *b, unsigned upto)
{
    if (upto > a->count || upto > b->count) return false;
    for (unsigned i = 0; i < upto; i++)
        if (!same(&a->at[i], &b->at[i])) return false;
    return true;
}

static unsigned term_of(const struct node *n)
{
    return (unsigned)node_core(n)->hard.term;
}

static const char *election_safety(const struct node *n, const struct node *o)
{
    return o != n && o->led >> term_of(n) & 1 ? "election safety: two lead one term" : NULL;
}

/* What is known to be committed was committed in an earlier term than the one that was just won, unless somebody has led
 * a later one. */
static const char *completeness_of_winner(const struct node *const nodes[NODES],
                                          const struct node *n, const struct node *o)
{
    unsigned term = term_of(n), later = 0;

    for (unsigned i = 0; i < NODES; i++)
        later |= nodes[i]->led >> (term + 1);
    if (later != 0 && term_of(o) > term) return NULL;
    if (agree(&n->elected[term], &o->sure, o->sure.count)) return NULL;
    return "leader completeness: a leader lacks what is committed";
}

/* A leader commits; who has led a later term already held it when it won. */
static const char *completeness_of_others(const struct node *n, const struct node *o)
{
    if (node_core(n)->role != CORE_LEADER) return NULL;
    for (unsigned t = term_of(n) + 1; t <= TERMS_MAX; t++)
        if ((o->led >> t & 1) && !agree(&o->elected[t], &n->sure, n->sure.count))
            return "leader completeness: what is committed now lacks a later leader";
    return NULL;
}

static const char *machine_safety(const struct node *n, const struct node *o)
{
    unsigned upto = MIN(n->sure.count, o->sure.count);

    return agree(&n->sure, &o->sure, upto) ? NULL
                                           : "state machine safety: two commit different entries";
}

static const char *log_matching(const struct node *n, const struct node *o)
{
    const struct text *a = &n->memory, *b = &o->memory;
    unsigned i = MIN(a->count, b->count);

    while (i > 0 && a->at[i - 1].term != b->at[i - 1].term)
        i--;
    return agree(a, b, i) ? NULL
                          : "log matching: two logs are the same at an index, and not before";
}

void promises_look(const struct node *const nodes[NODES], unsigned at, bool won, bool committed,
                   bool logged, char *breach, size_t size)
{
    const struct node *n = nodes[at];
    const char *what = NULL;

    for (unsigned i = 0; i < NODES && !what; i++) {
        const struct node *o = nodes[i];

        if (won) what = election_safety(n, o);
        if (won && !what) what = completeness_of_winner(nodes, n, o);
        if (committed && !what) what = machine_safety(n, o);
        if (committed && !what) what = completeness_of_others(n, o);
        if (logged && !what) what = log_matching(n, o);
        if (what) snprintf(breach, size, "%s (%u, %u)", what, n->id, o->id);
    }
}
