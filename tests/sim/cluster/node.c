/* node - the host of the cores of one node: carries updates out in the order that raft/core/core.h asks for,
 * and may die between any two steps of it. */
#include <stdlib.h>

#include "proto/ground/mutation.h"
#include "tests/sim/cluster/world.h"

uint64_t node_mono_ms(const struct world *w, const struct node *n)
{
    return (n->mono_base_us + (w->now_us - n->boot_us) * n->rate_permille / 1000) / MS;
}

uint64_t node_wall_ms(const struct world *w, const struct node *n)
{
    return (uint64_t)((int64_t)(w->now_us / MS) + n->wall_offset_ms);
}

bool node_runs(const struct world *w, const struct node *n)
{
    return n->exists && n->up && !n->dying && n->paused_until_us <= w->now_us;
}

bool node_point(struct world *w, struct node *n)
{
    if (n->dying) return true;
    if (n->crash_in == 0 || --n->crash_in > 0) return false;
    TRACE(w, "n%u dies between two steps", n->at + 1);
    n->dying = true;
    world_at(w, 0, &(struct action){ .kind = ACT_DIE, .node = n->at, .life = n->life });
    return true;
}

/* ---- sending */

/* The bytes of an append, out of the log as it is now; NULL when it is no longer what the core meant. */
static struct packet *pack_append(struct host *h, unsigned group, const struct core_msg *m,
                                  uint64_t first, unsigned count)
{
    uint64_t prev_term = log_term(&h->log, first - 1);
    struct packet *p;

    if (count > 0 && (first < h->log.first || first + count - 1 > log_last(&h->log))) return NULL;
    if (prev_term == 0 && first > 1) return NULL;
    if (first == m->prev.index + 1 && m->prev.term != 0 && prev_term != m->prev.term) return NULL;
    p = packet_new(group, m, count);
    p->msg.prev = (struct core_pos){ first - 1, prev_term };
    p->msg.first = first;
    for (unsigned i = 0; i < count; i++)
        p->entries[i] = entry_ref(log_at(&h->log, first + i)->entry);
    if (count > 0 && p->entries[count - 1]->term > m->term) {
        packet_unref(p);
        return NULL;
    }
    return p;
}

static void send_append(struct world *w, struct node *n, unsigned group, const struct core_msg *m)
{
    struct host *h = &n->hosts[group];
    uint64_t first = m->prev.index + 1;
    unsigned left = m->count;

    CHECK(left == 0 || m->first == first);
    do {
        bool split = left > 1 && world_chance(w, w->plan.split_permille);
        unsigned count = split ? 1 + (unsigned)world_below(w, left - 1) : left;
        struct packet *p = pack_append(h, group, m, first, count);

        if (!p) return;
        net_send(w, n, p);
        first += count;
        left -= count;
    } while (left > 0);
}

/* The transfer of a snapshot takes its time; then it is there, or not. */
static void send_snapshot(struct world *w, struct node *n, unsigned group, const struct core_msg *m)
{
    struct host *h = &n->hosts[group];
    struct packet *p = packet_new(group, m, 0);

    p->from_life = n->life;
    p->to_life = w->nodes[m->to - 1].life;
    p->snapshot = machine_save(w, n, group);
    if (p->snapshot) {
        p->msg.prev = snapshot_pos(p->snapshot);
        if (h->sending == 0 || p->msg.prev.index < h->sending_upto)
            h->sending_upto = p->msg.prev.index;
    }
    h->sending++;
    world_at(
        w, world_between(w, 5 * MS, SECOND),
        &(struct action){
            .kind = ACT_SNAPSHOT, .node = n->at, .group = group, .life = n->life, .thing = p });
}

static void send(struct world *w, struct node *n, unsigned group, const struct core_msg *m)
{
    check_sent(w, n, group, m);
    trace_mix(w, m->kind, m->from << 8 | m->to, m->term ^ m->match << 20 ^ m->commit << 40);
    TRACE(
        w,
        "n%u g%u send %s to n%llu term %llu prev %llu/%llu count %u commit %llu match %llu%s%s%s%s",
        n->at + 1, group, trace_kind(m->kind), (unsigned long long)m->to,
        (unsigned long long)m->term, (unsigned long long)m->prev.index,
        (unsigned long long)m->prev.term, m->count, (unsigned long long)m->commit,
        (unsigned long long)m->match, m->reject ? " reject" : "", m->rest ? " rest" : "",
        m->lost ? " lost" : "", m->busy ? " busy" : "");
    if (m->kind == CORE_MSG_APPEND)
        send_append(w, n, group, m);
    else if (m->kind == CORE_MSG_SNAPSHOT)
        send_snapshot(w, n, group, m);
    else
        net_send(w, n, packet_new(group, m, 0));
}

static void hold(struct host *h, const struct core_send *s)
{
    struct held *x = check_malloc(sizeof *x);

    x->after_write = s->after_write;
    x->msg = s->msg;
    list_add(&h->held, &x->link);
    h->held_count++;
}

static void send_all(struct world *w, struct node *n, unsigned group, const struct core_update *u)
{
    for (unsigned i = 0; i < u->send_count; i++) {
        if (node_point(w, n)) return;
        if (u->sends[i].after_write == 0)
            send(w, n, group, &u->sends[i].msg);
        else
            hold(&n->hosts[group], &u->sends[i]);
    }
}

/* ---- writing */

/* Whoever is to be a member opens the group by and by, whatever becomes of the one who wants it. */
static void want_members(struct world *w, unsigned group, const struct core_config *c)
{
    for (unsigned i = 0; i < c->count; i++)
        w->wanted[group][c->members[i].node - 1] = true;
}

static struct entry *make_own(struct world *w, struct node *n, unsigned group,
                              const struct core_update *u, const struct entry *draft)
{
    struct host *h = &n->hosts[group];
    struct entry what = { .index = u->append.index,
                          .term = u->append.term,
                          .prev_term = log_term(&h->log, u->append.index - 1),
                          .made_us = w->now_us,
                          .kind = u->append.kind };
    struct entry *e;

    CHECK(u->append.count == 1);
    if (what.kind == CORE_CONFIG) {
        what.config = (struct core_config *)(uintptr_t)u->append.config;
        want_members(w, group, what.config);
    }
    CHECK((what.kind == CORE_COMMAND) == (draft != NULL));
    if (draft) what.weight = draft->weight;
    e = entry_new(group, &what, draft ? span_of(draft->head, draft->head_size) : span_of(NULL, 0));
    check_made(w, n, e);
    return e;
}

/* Mutation: the head of the entry is written, the bytes beside it are not. */
static bool misses_body(struct world *w)
{
    return MUTATED(BODY_MISSING) && world_chance(w, 20);
}

static void write_update(struct world *w, struct node *n, unsigned group,
                         const struct core_update *u, const struct packet *p,
                         const struct entry *draft)
{
    struct host *h = &n->hosts[group];
    struct write *x = check_calloc(1, sizeof *x);

    x->kind = WRITE_LOG;
    x->group = group;
    x->id = u->write_id;
    x->has_hard = (u->flags & CORE_HARD) != 0;
    x->hard = u->hard;
    if (u->flags & CORE_APPEND) {
        x->truncate_from = u->append.truncate_from;
        x->count = u->append.count;
        x->slots = check_calloc(x->count + 1, sizeof *x->slots);
        if (x->truncate_from) log_truncate(&h->log, x->truncate_from);
    }
    for (unsigned i = 0; i < x->count; i++) {
        struct slot *s = &x->slots[i];

        if (u->append.own) {
            *s = (struct slot){ make_own(w, n, group, u, draft), true };
        } else {
            CHECK(u->append.skip + i < p->count);
            *s = (struct slot){ entry_ref(p->entries[u->append.skip + i]), !misses_body(w) };
        }
        log_add(&h->log, (struct slot){ entry_ref(s->entry), s->has_body });
        check_appended(w, n, group, s->entry->index);
    }
    disk_write(w, n, x);
}

static void untaint(struct world *w, struct node *n, unsigned group)
{
    struct write *x = check_calloc(1, sizeof *x);

    TRACE(w, "n%u g%u has back what it lost", n->at + 1, group);
    x->kind = WRITE_UNTAINT;
    x->group = group;
    disk_write(w, n, x);
}

/* ---- the rest of an update */

static void take_role(struct world *w, struct node *n, unsigned group, const struct core_update *u)
{
    struct host *h = &n->hosts[group];
    bool led = h->role == CORE_LEADER && h->ready;

    if (h->role == u->role && h->term == u->term && h->leader == u->leader && h->ready == u->ready)
        return;
    h->role = u->role;
    h->term = u->term;
    h->leader = u->leader;
    h->ready = u->ready;
    TRACE(w, "n%u g%u role %d term %llu leader %llu%s", n->at + 1, group, (int)u->role,
          (unsigned long long)u->term, (unsigned long long)u->leader, u->ready ? " ready" : "");
    trace_mix(w, u->role, u->term, u->leader);
    check_role(w, n, group);
    if (led || (h->role == CORE_LEADER && h->ready)) mail_role(w, n, group);
}

static void take_members(struct world *w, struct node *n, unsigned group,
                         const struct core_update *u)
{
    TRACE(w, "n%u g%u configuration %u at %llu, %u members%s%s", n->at + 1, group,
          u->config->version, (unsigned long long)u->config->index, u->config->count,
          u->config->joint ? " joint" : "", u->config_committed ? " committed" : "");
    for (unsigned i = 0; i < u->config->count; i++) {
        const struct core_member *m = &u->config->members[i];

        TRACE(w, "  n%llu:%s%s%s%s priority %u", (unsigned long long)m->node,
              m->flags & CORE_VOTES_OLD ? " voted" : "", m->flags & CORE_VOTES_NEW ? " votes" : "",
              m->flags & CORE_LEARNS ? " learns" : "", m->flags & CORE_PROMOTE ? " to vote" : "",
              m->priority);
    }
}

static void take_commit(struct world *w, struct node *n, unsigned group,
                        const struct core_update *u)
{
    struct host *h = &n->hosts[group];

    EXPECT(w, u->commit >= h->commit, "n%u g%u: commit went back from %llu to %llu", n->at + 1,
           group, (unsigned long long)h->commit, (unsigned long long)u->commit);
    if (u->commit == h->commit) return;
    check_committed(w, n, group, h->commit + 1, u->commit);
    h->commit = u->commit;
    if (h->apply_at_us != 0) return;
    h->apply_at_us = w->now_us + world_below(w, w->plan.apply_delay_us + 1);
    world_at(w, h->apply_at_us - w->now_us,
             &(struct action){ .kind = ACT_APPLY, .node = n->at, .group = group, .life = n->life });
}

static void set_timer(struct world *w, struct node *n, unsigned group, uint64_t wake_at_ms)
{
    struct host *h = &n->hosts[group];
    uint64_t now_ms = node_mono_ms(w, n), delay = 0;

    h->timer++;
    if (wake_at_ms == NEVER) return;
    if (wake_at_ms > now_ms) delay = (wake_at_ms * MS - now_ms * MS) * 1000 / n->rate_permille + 1;
    world_at(
        w, delay,
        &(struct action){
            .kind = ACT_TIMER, .node = n->at, .group = group, .life = n->life, .a = h->timer });
}

static void take_install(struct world *w, struct node *n, unsigned group,
                         const struct core_update *u, struct packet *p)
{
    struct host *h = &n->hosts[group];

    CHECK(p && p->snapshot && !h->installing);
    h->installing = true;
    h->install_pos = u->install;
    h->staged = snapshot_ref(p->snapshot);
    world_at(
        w, world_below(w, 300 * MS),
        &(struct action){ .kind = ACT_INSTALL, .node = n->at, .group = group, .life = n->life });
}

static void carry_out(struct world *w, struct node *n, unsigned group, struct packet *p,
                      const struct entry *own)
{
    const struct core_update *u = &w->update;

    if (node_point(w, n)) return;
    if (u->write_id) write_update(w, n, group, u, p, own);
    take_role(w, n, group, u);
    if (node_point(w, n)) return;
    send_all(w, n, group, u);
    if (n->dying) return;
    take_commit(w, n, group, u);
    if (u->flags & CORE_MEMBERS) take_members(w, n, group, u);
    if (u->flags & CORE_INSTALL) take_install(w, n, group, u, p);
    if (u->flags & CORE_UNREST) n->rest_generation++;
    if (u->flags & CORE_UNTAINTED) untaint(w, n, group);
    for (unsigned i = 0; i < u->read_count; i++)
        check_read_end(w, group, &u->reads[i]);
    set_timer(w, n, group, u->wake_at_ms);
}

int node_step(struct world *w, struct node *n, unsigned group, struct core_event *e,
              struct packet *p, struct entry *own)
{
    struct host *h = &n->hosts[group];
    int rv;

    CHECK(h->open);
    e->now_ms = node_mono_ms(w, n);
    w->steps++;
    rv = core_step(h->core, e, &w->update);
    carry_out(w, n, group, p, own);
    bounds_step(w, n, group);
    return rv;
}

/* ---- events */

void node_durable(struct world *w, struct node *n, unsigned group, uint64_t id)
{
    struct host *h = &n->hosts[group];

    if (!h->open) return;
    LIST_FOR_SAFE(at, &h->held) {
        struct held *x = CONTAINER_OF(at, struct held, link);

        if (x->after_write > id) continue;
        if (node_point(w, n)) return;
        list_remove(&x->link);
        h->held_count--;
        send(w, n, group, &x->msg);
        free(x);
    }
    if (node_point(w, n)) return;
    node_step(w, n, group, &(struct core_event){ .kind = CORE_DURABLE, .u.durable.write_id = id },
              NULL, NULL);
}

void node_snapshot_sent(struct world *w, struct node *n, struct packet *p)
{
    struct host *h = &n->hosts[p->group];
    unsigned to = (unsigned)p->msg.to - 1;
    bool arrives = p->snapshot && net_open(w, n->at, to) && !world_chance(w, 100);
    struct core_event e = { .kind = CORE_SNAPSHOT_SENT };

    if (--h->sending == 0) h->sending_upto = 0;
    e.u.snapshot_sent.to = p->msg.to;
    e.u.snapshot_sent.ok = arrives && !world_chance(w, 50);
    e.u.snapshot_sent.pos = p->msg.prev;
    for (unsigned i = world_chance(w, 100) ? 2 : 1; arrives && i > 0; i--) {
        p->refs++;
        net_deliver(w, p, world_below(w, 20 * MS));
    }
    node_step(w, n, p->group, &e, NULL, NULL);
    packet_unref(p);
}

/* A log that does not know how much it lost leans on its connections: none outlives the process (raft/wire). */
static bool is_of_before_loss(const struct world *w, const struct node *n, const struct packet *p)
{
    return !w->plan.knows_lost &&
           (p->to_life <= n->lied_life || p->from_life <= w->nodes[p->msg.from - 1].lied_life);
}

static void hear(struct world *w, struct node *n, const struct node *from);

/* The connection of a new process ends that of the old one: nothing it says is answered to the other. */
static void hear_hello(struct world *w, struct node *n, unsigned from, const struct packet *p)
{
    const struct node *z = &w->zombie;

    if (z->up && z->at == from && n->peers[from].life == z->life &&
        p->from_life == w->nodes[from].life)
        hear(w, n, &w->nodes[from]);
}

/* The terms that the core asks for. */
static const uint64_t *fill_here(const struct host *h, const struct core_msg *m,
                                 uint64_t here[ENTRIES_MAX + 1])
{
    unsigned count = core_asks_here(h->core, m);

    for (unsigned i = 0; i < count; i++)
        here[i] = log_term(&h->log, m->prev.index + i);
    return count > 0 ? here : NULL;
}

void node_arrive(struct world *w, struct node *n, struct packet *p)
{
    uint64_t here[ENTRIES_MAX + 1];
    struct core_entry entries[ENTRIES_MAX];
    struct core_msg m = p->msg;
    unsigned from = (unsigned)m.from - 1;
    int rv;

    if (!n->hosts[p->group].open || n->hosts[p->group].installing) return;
    if (is_of_before_loss(w, n, p)) return;
    if (p->is_of_zombie && n->peers[from].life != p->from_life) return; /* it knows the new one */
    hear_hello(w, n, from, p);
    CHECK(p->count <= ENTRIES_MAX);
    for (unsigned i = 0; i < p->count; i++)
        entries[i] = (struct core_entry){ p->entries[i]->term, p->entries[i]->weight,
                                          p->entries[i]->kind, p->entries[i]->config };
    m.entries = entries;
    if (p->snapshot) m.config = snapshot_config(p->snapshot);
    if (m.rest && m.kind == CORE_MSG_HEARTBEAT && p->generation < n->peers[from].generation)
        m.rest = false;
    m.here = fill_here(&n->hosts[p->group], &m, here);
    rv =
        node_step(w, n, p->group, &(struct core_event){ .kind = CORE_RECV, .u.recv = &m }, p, NULL);
    EXPECT(w, rv == 0, "n%u g%u: a %s of n%llu in term %llu was refused: %s", n->at + 1, p->group,
           trace_kind(m.kind), (unsigned long long)m.from, (unsigned long long)m.term,
           err_name(rv));
}

int node_propose(struct world *w, struct node *n, unsigned group, struct span head, uint64_t term,
                 struct proposal *p)
{
    struct host *h = &n->hosts[group];
    uint64_t last = log_last(&h->log);
    struct entry draft = { .weight = (uint32_t)head.n + 16 };
    struct core_event e = { .kind = CORE_PROPOSE };
    struct entry *own;
    int rv;

    e.u.propose.term = term;
    e.u.propose.weight = draft.weight;
    e.u.propose.more = world_chance(w, 300);
    own = entry_new(group, &draft, head);
    rv = node_step(w, n, group, &e, NULL, own);
    entry_unref(own);
    if (rv != 0 || n->dying || log_last(&h->log) != last + 1) return rv ? rv : ERR_CLOSED;
    p->entry = entry_ref(log_at(&h->log, last + 1)->entry);
    p->index = p->entry->index;
    p->term = p->entry->term;
    EXPECT(w, term == 0 || p->term == term,
           "n%u g%u: a proposal of term %llu is made in term %llu (R8)", n->at + 1, group,
           (unsigned long long)term, (unsigned long long)p->term);
    list_add(&h->proposals, &p->link);
    bounds_proposed(w, n, group);
    return 0;
}

/* ---- beats: one for each pair of nodes, for all groups */

void node_peer_told(struct world *w, struct node *n, unsigned peer, bool up, bool woke)
{
    n->peers[peer].up = up;
    TRACE(w, "n%u hears n%u is %s%s", n->at + 1, peer + 1, up ? "up" : "down",
          woke ? ", woke" : "");
    for (unsigned g = 0; g < w->plan.groups && !n->dying; g++) {
        struct core_event e = { .kind = CORE_PEER };

        if (!n->hosts[g].open) continue;
        e.u.peer.node = peer + 1;
        e.u.peer.up = up;
        e.u.peer.woke = woke;
        node_step(w, n, g, &e, NULL, NULL);
    }
}

static void hear(struct world *w, struct node *n, const struct node *from)
{
    struct peer *p = &n->peers[from->at];
    bool new_life = p->life != 0 && p->life != from->life,
         woke = p->generation < from->rest_generation;

    p->heard_us = w->now_us;
    p->life = from->life;
    p->generation = from->rest_generation;
    if (new_life && p->up) node_peer_told(w, n, from->at, false, false);
    if (!p->up || woke) node_peer_told(w, n, from->at, true, woke);
}

static bool stalls(const struct world *w, const struct node *n)
{
    return !MUTATED(R9_DISK_IGNORED) && w->plan.disk_stall_ms &&
           disk_oldest_ms(w, n) > w->plan.disk_stall_ms;
}

void node_beat(struct world *w, struct node *n)
{
    for (unsigned i = 0; i < w->node_count && !n->dying; i++) {
        struct node *from = &w->nodes[i];
        struct peer *p = &n->peers[i];

        if (i == n->at) continue;
        if (node_runs(w, from) && !stalls(w, from) && net_beat_passes(w, i, n->at))
            hear(w, n, from);
        else if (w->zombie.up && w->zombie.at == i && p->life == w->zombie.life &&
                 !stalls(w, &w->zombie))
            hear(w, n, &w->zombie);
        else if (p->up && w->now_us - p->heard_us > w->plan.suspicion_ms * MS)
            node_peer_told(w, n, i, false, false);
    }
    for (unsigned g = 0; g < w->plan.groups && !n->dying; g++) {
        struct core_event e = { .kind = CORE_DISK };

        if (n != &w->zombie && !n->hosts[g].open && w->wanted[g][n->at] && world_chance(w, 200))
            boot_open(w, n, g);
        if (!n->hosts[g].open) continue;
        e.u.disk.oldest_ms = disk_oldest_ms(w, n);
        e.u.disk.free_permille = n->disk.free_permille;
        node_step(w, n, g, &e, NULL, NULL);
    }
}
