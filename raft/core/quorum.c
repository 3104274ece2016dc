/* quorum - what a set of voters agrees on. Arithmetic only; joint halves are counted one by one by
 * their users, and both must agree (thesis 4.3).
 */
#include "raft/core/inside.h"

unsigned quorum_size(unsigned voters)
{
    return MUTATED(HALF_IS_ENOUGH) && voters > 1 ? (voters + 1) / 2 : voters / 2 + 1;
}

static void sort_down(uint64_t *v, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        uint64_t x = v[i];
        unsigned j = i;

        for (; j > 0 && v[j - 1] < x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

/* The largest index that two places hold; NEVER when there is only one place. */
static uint64_t spread_index(const struct quorum_voter *v, unsigned n)
{
    uint64_t best = 0, other = 0;
    uint32_t place = 0;
    bool has_other = false;

    for (unsigned i = 0; i < n; i++) {
        if (i == 0 || v[i].match > best) {
            best = v[i].match;
            place = v[i].place;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (v[i].place == place) continue;
        has_other = true;
        other = MAX(other, v[i].match);
    }
    return has_other ? MIN(best, other) : NEVER;
}

uint64_t quorum_index(const struct quorum_voter *v, unsigned n, bool spread)
{
    uint64_t matches[CORE_MEMBERS_MAX], index;

    CHECK(n <= CORE_MEMBERS_MAX);
    if (n == 0) return NEVER;
    for (unsigned i = 0; i < n; i++)
        matches[i] = v[i].match;
    sort_down(matches, n);
    index = matches[quorum_size(n) - 1];
    if (spread) index = MIN(index, spread_index(v, n));
    return index;
}

enum tally quorum_tally(const struct quorum_voter *v, unsigned n)
{
    unsigned yes = 0, no = 0;

    for (unsigned i = 0; i < n; i++) {
        yes += v[i].yes;
        no += v[i].no;
    }
    if (n == 0 || yes >= quorum_size(n)) return TALLY_WON;
    return n - no < quorum_size(n) ? TALLY_LOST : TALLY_OPEN;
}
