/* explore - a group of three nodes, and every order in which things can happen to it within a scope (search.h).
 *
 *   sim_explore short        what the default run takes, ten seconds or two
 *   sim_explore full         the larger scopes, minutes each
 *   sim_explore TERMS ENTRIES CRASHES [slow] [beats] [names] [silence] [past]
 *                            one of your own; the latter three: not left out
 *
 * A scope: terms in which a node may stand, entries up to which a leader takes proposals (its no-op is one), crashes of all
 * nodes together; `slow`: writes take their time; `beats`: leaders send heartbeats, whenever.
 */
#include <stdio.h>

#include "proto/ground/span.h"
#include "tests/sim/explore/search.h"

#define STATES_MAX 117000000 /* in 2 GiB, and 1 GiB while the table grows for the last time */

static const struct scope short_scopes[] = {
    { .name = "orders", .terms = 2, .entries = 3, .slow = true },
    { .name = "crash", .terms = 1, .entries = 2, .crashes = 1, .slow = true },
    { .name = "beats", .terms = 1, .entries = 1, .slow = true, .beats = true },
};
static const struct scope full_scopes[] = {
    { .name = "orders", .terms = 2, .entries = 3, .slow = true },
    { .name = "terms", .terms = 3, .entries = 1, .slow = true },
    { .name = "crash", .terms = 2, .entries = 1, .crashes = 1, .slow = true },
    { .name = "crashes", .terms = 1, .entries = 3, .crashes = 2, .slow = true },
    { .name = "crashes", .terms = 2, .entries = 1, .crashes = 2, .slow = true },
    { .name = "writes", .terms = 2, .entries = 1, .slow = true, .all_slow = true },
};

static struct found run(const struct scope *s)
{
    struct found f = search(s, STATES_MAX);

    printf("%s: %u terms, %u entries, %u crashes%s%s%s:\n  %llu states, %llu steps, %u deep (%u "
           "states of a node, %u messages): %s\n",
           s->name, s->terms, s->entries, s->crashes,
           s->all_slow ? ", all writes slow"
           : s->slow   ? ", slow writes"
                       : "",
           s->beats ? ", heartbeats" : "", s->plain ? ", less left out" : "",
           (unsigned long long)f.states, (unsigned long long)f.steps, f.depth, f.node_states,
           f.notes,
           f.broken  ? "BROKEN"
           : f.whole ? "complete"
                     : "NOT COMPLETE");
    fflush(stdout);
    return f;
}

static bool run_all(const struct scope *scopes, unsigned count)
{
    unsigned well = 0;

    for (unsigned i = 0; i < count; i++) {
        struct found f = run(&scopes[i]);

        well += f.whole && !f.broken;
    }
    printf("%u of %u scopes complete, no promise broken in them\n", well, count);
    return well == count;
}

/* What is left out changes nothing: the same three nodes meet as when it is followed, too. */
static bool compare(struct scope s, unsigned plain)
{
    struct found all, some;

    s.name = "compared";
    s.counts_meetings = true;
    some = run(&s);
    s.plain = plain;
    all = run(&s);
    printf("%llu and %llu different three nodes\n", (unsigned long long)some.meetings,
           (unsigned long long)all.meetings);
    return some.whole && all.whole && some.meetings == all.meetings;
}

static bool run_short(void)
{
    static const struct scope longer = { .terms = 1, .entries = 2, .slow = true };
    static const struct scope wider = { .terms = 2, .entries = 1, .slow = true };

    return compare(longer, NAMES | SILENCE | PAST_ANSWERS) &&
           compare(wider, NAMES | PAST_ANSWERS) && compare(wider, SILENCE) &&
           run_all(short_scopes, sizeof short_scopes / sizeof short_scopes[0]);
}

static bool run_own(int argc, char **argv)
{
    struct scope s = { .name = "own" };
    uint64_t numbers[3];

    for (int i = 0; i < 3; i++)
        if (span_u64(span_cstr(argv[1 + i]), i == 0 ? TERMS_MAX : LOG_MAX - TERMS_MAX,
                     &numbers[i]) != 0)
            return false;
    s.terms = (uint8_t)numbers[0];
    s.entries = (uint8_t)numbers[1];
    s.crashes = (uint8_t)numbers[2];
    for (int i = 4; i < argc; i++) {
        s.slow |= strcmp(argv[i], "slow") == 0;
        s.beats |= strcmp(argv[i], "beats") == 0;
        if (strcmp(argv[i], "names") == 0) s.plain |= NAMES;
        if (strcmp(argv[i], "silence") == 0) s.plain |= SILENCE;
        if (strcmp(argv[i], "past") == 0) s.plain |= PAST_ANSWERS;
    }
    return run_all(&s, 1);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "short") == 0) return !run_short();
    if (argc == 2 && strcmp(argv[1], "full") == 0)
        return !run_all(full_scopes, sizeof full_scopes / sizeof full_scopes[0]);
    if (argc >= 4) return !run_own(argc, argv);
    fprintf(stderr, "use: sim_explore short | full | TERMS ENTRIES CRASHES [slow] [beats] [names] "
                    "[silence] [past]\n");
    return 2;
}
