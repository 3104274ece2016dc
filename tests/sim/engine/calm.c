/* calm - the second phase: a quorum of each group heals, chosen at random and as small as may be; all else stays broken as
 * it is, for ever. Then all groups must agree and all mail must come to its end.
 *
 * Where there are regions, one of them and all others may be cut off from each other, for ever, when each group has a quorum
 * on one side: there it must go on, and on the other one nothing is committed (check.c).
 */
#include <stdio.h>

#include "tests/sim/engine/world.h"

#define CALM_US (180 * SECOND)

static void choose_apart(struct world *w, const bool set[NODES_MAX])
{
    if (w->plan.regions.count == 0 || w->rescue.on || world_chance(w, 300)) return;
    w->apart = (uint16_t)(1 + world_below(w, w->plan.regions.count));
    if (!faults_all_quorate(w, set)) w->apart = 0;
    if (w->apart == 0) return;
    TRACE(w, "region %u is cut off for ever", w->apart);
    for (unsigned g = 0; g < w->plan.groups; g++)
        for (unsigned i = 0; i < w->node_count; i++) {
            uint64_t last = peek_last(&w->nodes[i].hosts[g]);

            if (last > w->apart_last[g]) w->apart_last[g] = last;
        }
}

static bool may_heal(const struct world *w, const bool set[NODES_MAX])
{
    return faults_all_quorate(w, set) && (!world_above || world_above->may_heal(w, set));
}

static void choose_core_set(struct world *w)
{
    bool set[NODES_MAX] = { false };
    unsigned from = (unsigned)world_below(w, w->node_count);
    bool all = w->rescue.on || (world_above && world_above->calm(w));

    for (unsigned i = 0; i < w->node_count; i++)
        set[i] = !w->nodes[i].lost;
    choose_apart(w, set);
    for (unsigned i = 0; !all && i < w->node_count; i++) {
        unsigned at = (from + i) % w->node_count;
        bool was = set[at];

        if (world_chance(w, 300)) continue;
        set[at] = false;
        if (!may_heal(w, set)) set[at] = was;
    }
    memcpy(w->core_set, set, sizeof set);
}

static void heal(struct world *w, struct node *n)
{
    n->paused_until_us = 0;
    n->crash_in = 0;
    n->failing = false;
    n->stalled_until_us = 0;
    n->slow = 1;
    n->free_permille = 500;
    if (n->cluster != 0 || n->format_min > w->format ||
        n->format_max < w->format) { /* it is itself again, of a version that all know */
        node_crash(w, n);
        n->cluster = 0;
        n->format_min = n->format_max = w->format;
    }
    if (n->up) raft_disk(n->raft, n->free_permille);
    for (unsigned i = 0; n->up && i < w->plan.loops; i++)
        node_wake(n, i);
    if (n->up && n->syncing) /* a sync that hung for ever ends */
        world_at(w, MS,
                 &(struct action){ .kind = ACT_SYNCED, .node = n->at, .life = n->incarnation });
    if (!n->up && !n->banished) node_start_later(w, n, SECOND);
}

static void freeze_links(struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++)
        for (unsigned k = 0; k < w->node_count; k++) {
            if (i == k) continue;
            if (faults_apart(w, i, k))
                net_cut(w, i, k, FOREVER);
            else if (w->core_set[i] && w->core_set[k])
                net_heal(w, i, k);
            else if (!net_open(w, i, k))
                w->paths[i][k].cut_until_us = FOREVER;
        }
}

static void freeze(struct world *w, struct node *n)
{
    if (n->paused_until_us > w->now_us) n->paused_until_us = FOREVER;
    if (n->stalled_until_us > w->now_us) n->stalled_until_us = FOREVER;
}

void calm_begin(struct world *w)
{
    int64_t latest_ms = w->wall_latest_ms;

    choose_core_set(w);
    w->calm = true;
    w->calm_until_us = w->now_us + CALM_US;
    for (unsigned i = 0; i < w->node_count; i++)
        if (w->nodes[i].wall_offset_ms > latest_ms) latest_ms = w->nodes[i].wall_offset_ms;
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];

        n->wall_offset_ms = latest_ms + 3600000;
        TRACE(w, "n%u %s", i + 1, w->core_set[i] ? "heals" : "stays as it is");
        if (w->core_set[i])
            heal(w, n);
        else if (world_above) /* who stands above waits for a leader that runs, and is cut off */
            node_crash(w, n);
        else
            freeze(w, n);
    }
    freeze_links(w);
    net_dial_all(w);
    world_at(w, SECOND, &(struct action){ .kind = ACT_CALM });
}

static struct host *leader_of(struct world *w, unsigned group)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        struct host *h = &w->nodes[i].hosts[group];
        struct raft_group_view v;

        if (!node_runs(w, &w->nodes[i]) || !h->raft || h->role != RAFT_LEADER) continue;
        raft_group_see(h->raft, &v);
        if (v.commit == v.last && v.applied == v.commit) return h;
    }
    return NULL;
}

/* Who is cut off from a leader that serves a majority has to wait (a bridge). */
static bool all_follow(struct world *w, const struct host *leader)
{
    const struct core_config *c = raft_group_config(leader->raft);

    if (c->joint) return false;
    for (unsigned i = 0; i < c->count; i++) {
        const struct node *n = &w->nodes[c->members[i].node - 1];
        const struct host *h = &n->hosts[leader->group];

        if (!net_open(w, leader->node->at, n->at) || !net_open(w, n->at, leader->node->at))
            continue;
        if (n->lost || h->damaged || h->reverted ||
            (n->at != leader->node->at && !net_agree(w, n->at, leader->node->at)))
            continue;
        if (w->core_set[n->at] && (!h->raft || h->applied != leader->applied)) return false;
    }
    return true;
}

/* The client asks again: refused, or no answer for long (who took it does not lead any more). */
static bool is_given_up(const struct world *w, unsigned token)
{
    const struct token *t = &w->tokens[token];

    return t->state == TOKEN_UNKNOWN || t->state == TOKEN_REFUSED ||
           (t->state == TOKEN_ASKED && w->now_us - t->asked_us > 20 * SECOND);
}

static const char *what_is_missing(struct world *w, unsigned group)
{
    struct host *leader = leader_of(w, group);
    unsigned probe = w->probes[group];
    bool is_over = false;
    const char *missing = world_above ? world_above->missing(w, group, &is_over) : NULL;

    if (missing || is_over) return missing;

    if (w->rescue.on) return "the quorum is lost, and no recovery came to pass";
    if (!leader) return "nobody leads with all committed";
    if (probe == 0 || is_given_up(w, probe)) {
        w->probes[group] = mail_ask(w, group);
        return "no new mail was taken";
    }
    if (w->tokens[probe].state != TOKEN_ACKED) return "a new mail is not answered";
    if (!mail_drained(leader)) return "mail is left";
    if (!all_follow(w, leader)) return "not all healed members have all";
    return NULL;
}

static void say_members(const struct world *w, const struct node *n, unsigned group)
{
    const struct host *h = &n->hosts[group];
    const struct core_config *c = raft_group_config(h->raft);
    struct core_peer_view v;

    for (unsigned i = 0; i < c->count; i++) {
        const struct core_member *m = &c->members[i];
        unsigned lanes = 0;

        for (unsigned lane = 0; m->node != n->at + 1 && lane < WIRE_LANES; lane++)
            lanes += w->paths[n->at][m->node - 1].told_up[lane];
        fprintf(stderr, "  n%llu flags %u priority %u lanes %u", (unsigned long long)m->node,
                m->flags, m->priority, lanes);
        if (peek_peer(h, i, &v))
            fprintf(stderr, " progress %d match %llu next %llu%s%s", (int)v.progress,
                    (unsigned long long)v.match, (unsigned long long)v.next, v.up ? "" : " down",
                    v.active ? "" : " silent");
    }
    fprintf(stderr, "\n");
}

/* How the group stands, for who has to find out why it does not come to rest. */
static void say_group(struct world *w, unsigned group)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        const struct node *n = &w->nodes[i];
        const struct core_config *c;
        struct core_view v;

        if (!n->up || !n->hosts[group].raft) {
            fprintf(stderr, "n%u%s\n", i + 1,
                    n->lost ? " is lost"
                    : n->up ? " has no part"
                            : " is down");
            continue;
        }
        peek_core(&n->hosts[group], &v);
        c = raft_group_config(n->hosts[group].raft);
        fprintf(stderr,
                "n%u%s role %d term %llu leader %llu log %llu..%llu commit %llu durable %llu "
                "applied %llu config %u era %u (%u members)%s%s%s%s%s%s\n",
                i + 1, w->core_set[i] ? "" : " (broken)", (int)v.role, (unsigned long long)v.term,
                (unsigned long long)v.leader, (unsigned long long)v.first,
                (unsigned long long)v.last, (unsigned long long)v.commit,
                (unsigned long long)v.durable, (unsigned long long)v.applied, c->version, c->era,
                c->count, v.tainted ? " tainted" : "", v.ready ? " ready" : "",
                v.resting ? " resting" : "", v.installing ? " installing" : "",
                v.stalled ? " stalled" : "", node_runs(w, n) ? "" : " asleep");
        say_members(w, n, group);
    }
}

void calm_look(struct world *w)
{
    const char *missing = NULL;
    unsigned group = 0;

    for (unsigned g = 0; g < w->plan.groups && !missing; g++) {
        missing = what_is_missing(w, g);
        group = g;
    }
    if (!missing) {
        w->over = true;
        return;
    }
    if (w->now_us >= w->calm_until_us) say_group(w, group);
    if (w->now_us >= w->calm_until_us && world_above && group > 0) say_group(w, 0);
    EXPECT(w, w->now_us < w->calm_until_us, "g%u does not come to rest: %s", group, missing);
    world_at(w, SECOND / 4, &(struct action){ .kind = ACT_CALM });
}
