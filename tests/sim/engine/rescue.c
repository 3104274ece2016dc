/* rescue - more voters of a group are lost than may be, and an operator goes on with those that are left.
 *
 * What only the lost ones had is lost: the history is cut back to what the new leader has, and what clients were told
 * before is excused. Some of the lost ones come back later, a minority of the old voters: of an era that is over, they
 * must neither lead nor be heard. Other promises hold as ever.
 */
#include <stdlib.h>

#include "tests/sim/shared/members.h"
#include "tests/sim/engine/world.h"

static bool is_left(const struct rescue *r, uint64_t number)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->nodes[i] == number) return true;
    return false;
}

/* Everybody's newest configuration is the committed one: nothing else is on its way. */
static bool is_plain(const struct world *w, unsigned group)
{
    const struct core_config *c = &w->check.canon[group].config;

    for (unsigned i = 0; i < w->node_count; i++) {
        const struct host *h = &w->nodes[i].hosts[group];
        uint64_t at = c->index;
        struct peeked e;

        if (w->nodes[i].lost || h->impaired || h->damaged) return false;
        if (peek_config_after(h, &at, &e)) return false;
    }
    return !c->joint;
}

static bool is_empty(const struct world *w, unsigned group, uint64_t number)
{
    const struct node *n = &w->nodes[number - 1];
    struct store_group *log = check_malloc(sizeof *log);
    bool empty = store_group_read(n->store, world_group(group), log, NULL) != 0 || log->last == 0;

    free(log);
    return empty;
}

static void excuse(struct world *w, unsigned group, uint64_t kept)
{
    for (unsigned i = 1; i <= w->token_count; i++) {
        struct token *t = &w->tokens[i];

        if (t->group != group) continue;
        t->excused = true;
        if (t->accepted_index > kept) t->accepted_index = 0; /* another one may have its place */
    }
}

static void banish(struct world *w, struct node *n)
{
    TRACE(w, "n%u is gone, and may come back", n->at + 1);
    if (n->up) node_crash(w, n);
    n->banished = true;
}

static void lose_others(struct world *w, unsigned group, const uint64_t *voters, unsigned count)
{
    unsigned banished = 0;

    for (unsigned i = 0; i < count; i++) {
        struct node *n = &w->nodes[voters[i] - 1];

        if (is_left(&w->rescue, voters[i])) continue;
        n->hosts[group].outcast = true;
        if (2 * (banished + 1) <= count && world_chance(w, 500)) {
            banish(w, n);
            banished++;
        } else {
            node_lose(w, n);
        }
    }
}

void rescue_begin(struct world *w, unsigned group)
{
    const struct core_config *c = &w->check.canon[group].config;
    uint64_t voters[CORE_VOTERS_MAX];
    unsigned count = 0;

    if (w->rescue.on || w->rescued[group] || w->plan.groups > 1 || !is_plain(w, group)) return;
    if (w->check.canon[group].count < 3) return;
    for (unsigned i = 0; i < c->count; i++)
        if (c->members[i].flags & CORE_VOTES_NEW) voters[count++] = c->members[i].node;
    if (count < 2) return;
    for (unsigned i = 0; i < count; i++)
        if (is_empty(w, group, voters[i])) return; /* who has nothing cannot go on */
    w->rescue = (struct rescue){ .on = true, .group = group, .era = c->era };
    w->rescue.count = 1 + (unsigned)world_below(w, (count + 1) / 2);
    if (2 * w->rescue.count > count) w->rescue.count = count / 2;
    for (unsigned i = 0; i < w->rescue.count; i++) {
        unsigned at = i + (unsigned)world_below(w, count - i);
        uint64_t number = voters[at];

        voters[at] = voters[i];
        voters[i] = w->rescue.nodes[i] = number;
    }
    TRACE(w, "g%u loses its quorum, %u of %u voters are left", group, w->rescue.count, count);
    excuse(w, group, UINT64_MAX);
    lose_others(w, group, voters, count);
    world_at(w, 2 * SECOND, &(struct action){ .kind = ACT_RESCUE });
}

/* ---- the operator */

static struct node *best_of(struct world *w)
{
    struct core_view best = { 0 };
    struct node *chosen = NULL;

    for (unsigned i = 0; i < w->rescue.count; i++) {
        struct node *n = &w->nodes[w->rescue.nodes[i] - 1];
        struct core_view v;

        if (!node_runs(w, n) || !n->hosts[w->rescue.group].raft) return NULL;
        peek_core(&n->hosts[w->rescue.group], &v);
        if (chosen && (v.last_term < best.last_term ||
                       (v.last_term == best.last_term && v.last <= best.last)))
            continue;
        best = v;
        chosen = n;
    }
    return chosen;
}

/* The new era is committed, and on the disks of all that are left: else those and the lost ones could be a quorum of the
 * old one. */
static bool is_known(const struct world *w)
{
    const struct rescue *r = &w->rescue;
    const struct core_config *c = &w->check.canon[r->group].config;

    for (unsigned i = 0; i < r->count; i++) {
        const struct node *n = &w->nodes[r->nodes[i] - 1];
        struct raft_group_view v;

        if (!n->up || !n->hosts[r->group].raft) return false;
        raft_group_see(n->hosts[r->group].raft, &v);
        if (v.applied < c->index) return false; /* what is applied is durable here */
    }
    return c->era > r->era;
}

static void let_back(struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        if (!w->nodes[i].banished) continue;
        w->nodes[i].banished = false;
        node_start_later(w, &w->nodes[i], 5 * SECOND);
    }
}

static void end(struct world *w)
{
    struct rescue *r = &w->rescue;
    const struct core_config *c = &w->check.canon[r->group].config;

    TRACE(w, "g%u: the new era is known to all that are left", r->group);
    for (unsigned i = 0; i < w->node_count; i++)
        if (!members_has(c, i + 1) && w->nodes[i].hosts[r->group].exists)
            w->nodes[i].hosts[r->group].outcast = true;
    r->on = false;
    w->rescued[r->group] = true;
    w->rescues++;
    let_back(w);
}

void rescue_look(struct world *w)
{
    struct rescue *r = &w->rescue;
    struct node *n = best_of(w);
    int rv;

    if (is_known(w)) {
        end(w);
        return;
    }
    if (n && raft_group_config(n->hosts[r->group].raft)->era == r->era) {
        rv = raft_group_recover(n->hosts[r->group].raft, r->nodes, r->count, 5000, false);
        TRACE(w, "n%u g%u is told to go on with %u voters: %s", n->at + 1, r->group, r->count,
              err_name(rv));
        EXPECT(w, rv != ERR_RANGE, "n%u g%u: a recovery with voters that are left is refused",
               n->at + 1, r->group);
    }
    world_at(w, SECOND, &(struct action){ .kind = ACT_RESCUE });
}

/* ---- a new era */

static bool has(const struct host *h, const struct core_view *v, uint64_t index,
                const struct fact *f)
{
    struct peeked e;

    if (index < v->first) return true;
    return index <= v->last && peek_entry(h, index, &e) && e.term == f->term && e.hash == f->hash;
}

void rescue_led(struct world *w, struct host *h)
{
    struct canon *c = &w->check.canon[h->group];
    uint64_t kept = 0;
    struct core_view v;

    EXPECT(w, w->rescue.on && w->rescue.group == h->group && is_left(&w->rescue, h->node->at + 1),
           "n%u g%u leads in a new era, and nobody asked for it", h->node->at + 1, h->group);
    peek_core(h, &v);
    while (kept < c->count && has(h, &v, kept + 1, &c->facts[kept]))
        kept++;
    TRACE(w, "g%u: a new era under n%u; of %llu entries %llu are kept", h->group, h->node->at + 1,
          (unsigned long long)c->count, (unsigned long long)kept);
    c->count = kept;
    for (uint64_t i = kept; i < c->digest_cap; i++)
        c->digests[i] = 0;
    memset(w->check.leaders[h->group].list, 0, w->check.leaders[h->group].cap * sizeof(uint64_t));
    excuse(w, h->group, kept);
}
