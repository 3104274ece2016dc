/* calm - the second phase: a quorum of each group heals, chosen at random and as small as may be; all else
 * stays broken as it is, for ever. Then all groups must agree and all mail must come to its end.
 *
 * Faults that always heal never show a livelock: one node that can still send and hears nothing is enough.
 *
 * Where there are regions, one of them and all others may be cut off from each other, for ever, when each group has a quorum
 * on one side: there it must go on, and on the other one nothing is committed (check.c).
 */
#include <stdio.h>

#include "tests/sim/cluster/world.h"

#define CALM_US (180 * SECOND)

static void choose_apart(struct world *w, const bool set[NODES_MAX])
{
    if (w->plan.regions.count == 0 || world_chance(w, 300)) return;
    w->apart = (uint16_t)(1 + world_below(w, w->plan.regions.count));
    w->apart_us = w->now_us;
    if (!faults_all_quorate(w, set)) w->apart = 0;
    if (w->apart > 0) TRACE(w, "region %u is cut off for ever", w->apart);
}

static void choose_core_set(struct world *w)
{
    bool set[NODES_MAX] = { false };
    unsigned from = (unsigned)world_below(w, w->node_count);

    for (unsigned i = 0; i < w->node_count; i++)
        set[i] = !w->nodes[i].lost;
    choose_apart(w, set);
    for (unsigned i = 0; i < w->node_count; i++) {
        unsigned at = (from + i) % w->node_count;
        bool was = set[at];

        if (world_chance(w, 300)) continue;
        set[at] = false;
        if (!faults_all_quorate(w, set)) set[at] = was;
    }
    memcpy(w->core_set, set, sizeof set);
}

static void heal(struct world *w, struct node *n)
{
    n->paused_until_us = 0;
    n->crash_in = 0;
    n->disk.failing = false;
    n->disk.stalled_until_us = 0;
    n->disk.slow = 1;
    n->disk.free_permille = 500;
    if (!n->up || n->dying)
        world_at(w, world_below(w, SECOND), &(struct action){ .kind = ACT_START, .node = n->at });
}

static void freeze_links(struct world *w)
{
    for (unsigned i = 0; i < w->node_count; i++)
        for (unsigned k = 0; k < w->node_count; k++) {
            struct link_state *l = &w->links[i][k];

            if (faults_apart(w, i, k))
                l->cut_until_us = NEVER;
            else if (w->core_set[i] && w->core_set[k])
                *l = (struct link_state){ .last_at_us = l->last_at_us, .packets = l->packets };
            else if (l->cut_until_us > w->now_us)
                l->cut_until_us = NEVER;
        }
}

static void freeze(struct world *w, struct node *n)
{
    if (n->paused_until_us > w->now_us) n->paused_until_us = NEVER;
    if (n->disk.stalled_until_us > w->now_us) n->disk.stalled_until_us = NEVER;
}

void calm_begin(struct world *w)
{
    int64_t latest_ms = w->wall_latest_ms;

    zombie_end(w);
    choose_core_set(w);
    w->calm = true;
    w->calm_until_us = w->now_us + CALM_US;
    freeze_links(w);
    for (unsigned i = 0; i < w->node_count; i++)
        if (w->nodes[i].wall_offset_ms > latest_ms) latest_ms = w->nodes[i].wall_offset_ms;
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];

        n->wall_offset_ms = latest_ms + 3600000;
        TRACE(w, "n%u %s", i + 1, w->core_set[i] ? "heals" : "stays as it is");
        if (w->core_set[i] && n->disk.failed) boot_crash(w, n);
        if (w->core_set[i])
            heal(w, n);
        else
            freeze(w, n);
    }
    for (unsigned i = 0; i < w->old_count; i++) /* what was sent long ago comes once more */
        if (world_chance(w, 500)) net_replay(w);
    world_at(w, SECOND, &(struct action){ .kind = ACT_CALM });
}

static struct node *leader_of(struct world *w, unsigned group)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];
        const struct host *h = &n->hosts[group];

        if (node_runs(w, n) && h->open && h->role == CORE_LEADER && h->ready &&
            h->commit == log_last(&h->log) && h->applied == h->commit)
            return n;
    }
    return NULL;
}

/* Who is cut off from a leader that serves a majority has to wait (a bridge). */
static bool all_follow(struct world *w, unsigned group, struct node *leader)
{
    const struct core_config *c = core_config_now(leader->hosts[group].core);

    if (c->joint) return false;
    for (unsigned i = 0; i < c->count; i++) {
        const struct node *n = &w->nodes[c->members[i].node - 1];

        if (!net_open(w, leader->at, n->at) || !net_open(w, n->at, leader->at)) continue;
        if (w->core_set[n->at] &&
            (!n->hosts[group].open || n->hosts[group].applied != leader->hosts[group].applied))
            return false;
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
    struct node *leader = leader_of(w, group);
    unsigned probe = w->probes[group];

    if (!leader) return "nobody leads with all committed";
    if (probe == 0 || is_given_up(w, probe)) {
        w->probes[group] = mail_ask(w, group);
        return "no new mail was taken";
    }
    if (w->tokens[probe].state != TOKEN_ACKED) return "a new mail is not answered";
    if (!mail_drained(leader, group)) return "mail is left";
    if (!all_follow(w, group, leader)) return "not all healed members have all";
    return NULL;
}

/* How the group stands, for who has to find out why it does not come to rest. */
static void say_group(const struct world *w, unsigned group)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        const struct node *n = &w->nodes[i];
        struct core_view v;

        if (!n->up || !n->hosts[group].open) {
            fprintf(stderr, "n%u%s\n", i + 1,
                    n->lost ? " is lost"
                    : n->up ? " has no part"
                            : " is down");
            continue;
        }
        core_see(n->hosts[group].core, &v);
        fprintf(
            stderr,
            "n%u%s role %d term %llu leader %llu log %llu..%llu commit %llu durable %llu applied "
            "%llu "
            "config %u (%u members)%s%s%s%s%s%s\n",
            i + 1, w->core_set[i] ? "" : " (broken)", (int)v.role, (unsigned long long)v.term,
            (unsigned long long)v.leader, (unsigned long long)v.first, (unsigned long long)v.last,
            (unsigned long long)v.commit, (unsigned long long)v.durable,
            (unsigned long long)v.applied, core_config_now(n->hosts[group].core)->version,
            core_config_now(n->hosts[group].core)->count, v.tainted ? " tainted" : "",
            v.ready ? " ready" : "", v.resting ? " resting" : "", v.installing ? " installing" : "",
            v.stalled ? " stalled" : "", node_runs(w, n) ? "" : " asleep");
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
    EXPECT(w, w->now_us < w->calm_until_us, "g%u does not come to rest: %s", group, missing);
    world_at(w, SECOND / 4, &(struct action){ .kind = ACT_CALM });
}
