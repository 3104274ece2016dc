/* bounds - what may not grow without end, looked at after every step of a core, every write and every packet.
 *
 * Windows are exact sums over entries. The bounds of queues are those of the false host: a few times what was ever
 * seen, so that what sends or writes in circles is told where it begins.
 */
#include "tests/sim/cluster/world.h"

#define HELD_MAX   2000u /* messages of a group that wait for a write; a disk stalls for 10 s */
#define WRITES_MAX 1500u /* of a node that are not synced */
#define PACKETS_MAX                                                                                \
    3000u /* on one way between two nodes, doubles and those a sleeper has not taken among them */
#define ENTRY_MAX 4096u /* bytes: of the simulated mails */

static uint64_t weigh(struct log *l, uint64_t after, uint64_t upto)
{
    uint64_t sum = 0;

    for (uint64_t i = after + 1 < l->first ? l->first : after + 1; i <= upto; i++) {
        const struct slot *s = log_at(l, i);

        if (s) sum += s->entry->weight;
    }
    return sum;
}

static void see_peer(struct world *w, struct node *n, unsigned group,
                     const struct core_peer_view *p)
{
    struct log *l = &n->hosts[group].log;
    const struct plan *plan = &w->plan;
    uint64_t sent = p->next - 1 - p->match;
    uint64_t known = p->match > n->hosts[group].boot_last ? p->match : n->hosts[group].boot_last;

    if (p->node == n->at + 1 || p->progress != CORE_REPLICATES) return;
    EXPECT(w, sent < plan->window_entries + plan->append_entries_max,
           "n%u g%u: %llu entries are sent to n%llu and not acknowledged", n->at + 1, group,
           (unsigned long long)sent, (unsigned long long)p->node);
    EXPECT(w, weigh(l, known, p->next - 1) <= 5 * plan->append_bytes_max + 2 * ENTRY_MAX,
           "n%u g%u: %llu bytes are sent to n%llu and not acknowledged", n->at + 1, group,
           (unsigned long long)weigh(l, known, p->next - 1), (unsigned long long)p->node);
}

void bounds_step(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    struct core_peer_view p;

    if (h->held_count > w->peak.held) w->peak.held = h->held_count;
    EXPECT(w, h->held_count <= HELD_MAX, "n%u g%u: %u messages wait for a write", n->at + 1, group,
           h->held_count);
    if (h->role != CORE_LEADER || n->dying) return;
    EXPECT(w, log_last(&h->log) - h->commit <= CORE_UNCOMMITTED_MAX + 2,
           "n%u g%u: %llu entries are not committed", n->at + 1, group,
           (unsigned long long)(log_last(&h->log) - h->commit));
    for (unsigned i = 0; core_see_peer(h->core, i, &p); i++)
        see_peer(w, n, group, &p);
}

/* A proposal was just taken: its entry is the last one. */
void bounds_proposed(struct world *w, struct node *n, unsigned group)
{
    struct host *h = &n->hosts[group];
    uint64_t last = log_last(&h->log), uncommitted, unapplied;
    struct core_view v;

    core_see(h->core, &v);
    uncommitted = weigh(&h->log, v.commit, last);
    unapplied = weigh(&h->log, v.applied, v.commit);
    EXPECT(w, last - v.commit <= 1 || uncommitted <= w->plan.uncommitted_bytes_max + ENTRY_MAX,
           "n%u g%u: a proposal is taken and %llu bytes are not committed", n->at + 1, group,
           (unsigned long long)uncommitted);
    EXPECT(w,
           w->plan.unapplied_bytes_max == 0 || unapplied <= w->plan.unapplied_bytes_max + ENTRY_MAX,
           "n%u g%u: a proposal is taken and %llu bytes are not applied", n->at + 1, group,
           (unsigned long long)unapplied);
}

void bounds_flushed(struct world *w, struct node *n, unsigned group)
{
    const struct host *h = &n->hosts[group];

    if (h->sending > 0 || h->installing) return;
    if (log_last(&h->log) < h->applied) return; /* it lost them */
    EXPECT(w, h->log.count <= w->plan.keep_entries + log_last(&h->log) - h->applied + 1,
           "n%u g%u: a log of %zu entries is left", n->at + 1, group, h->log.count);
}

void bounds_written(struct world *w, const struct node *n)
{
    if (n->disk.write_count > w->peak.writes) w->peak.writes = n->disk.write_count;
    EXPECT(w, n->disk.write_count <= WRITES_MAX, "n%u: %u writes wait for the disk", n->at + 1,
           n->disk.write_count);
}

void bounds_sent(struct world *w, const struct packet *p)
{
    unsigned *count = &w->links[p->msg.from - 1][p->msg.to - 1].packets;

    if (++*count > w->peak.packets) w->peak.packets = *count;
    EXPECT(w, *count <= PACKETS_MAX, "%u packets are on their way from n%llu to n%llu", *count,
           (unsigned long long)p->msg.from, (unsigned long long)p->msg.to);
}

void bounds_arrived(struct world *w, const struct packet *p)
{
    unsigned *count = &w->links[p->msg.from - 1][p->msg.to - 1].packets;

    CHECK(*count > 0);
    --*count;
}
