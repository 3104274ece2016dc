/* shard - the machine that raft drives: entries are applied to the queue, effects told to the watchers.
 *
 * Way:   raft -> on_apply -> queue_apply -> watchers; raft -> on_role -> doubts settled -> watchers.
 * Rules: effects of entries that were in the log when it was opened are not told (they were, in an earlier
 *        life); what they left behind is found in the queue when the shard begins to lead.
 */
#include "node/commit/shard.h"

#include "node/commit/leaders.h"

static void note_refusal(struct shard *s, uint64_t entry, const struct queue_effect *e)
{
    if (s->refusal_count == s->refusal_cap) {
        s->refusal_cap = s->refusal_cap ? 2 * s->refusal_cap : 16;
        s->refusals = check_realloc(s->refusals, s->refusal_cap * sizeof *s->refusals);
    }
    s->refusals[s->refusal_count++] = (struct refusal){
        .entry = entry, .index = e->index, .recipient = e->recipient, .error = e->error
    };
}

/* The body of an own mail stays in memory: deliver is about to ask for it. */
static void keep_body(struct shard *s, uint64_t entry)
{
    while (s->apply_at != &s->in_flight) {
        struct command *cmd = CONTAINER_OF(s->apply_at, struct command, link);

        if (cmd->proposal.index > entry) return;
        s->apply_at = s->apply_at->next;
        if (cmd->proposal.index < entry) continue;
        if (cmd->keep_body && cmd->body) body_cache_put(&s->cache, entry, cmd->body);
        return;
    }
}

static void tell_effects(struct shard *s, uint64_t entry, const struct queue_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct queue_effect *e = &effects->list[i];

        if (e->kind == QUEUE_REFUSED) note_refusal(s, entry, e);
        if (e->kind == QUEUE_BODY_GONE) body_cache_drop(&s->cache, e->index);
    }
    LIST_FOR(it, &s->commit->watchers) {
        struct commit_watcher *w = CONTAINER_OF(it, struct commit_watcher, link);

        if (w->on_effects && (w->everywhere || s->is_leader))
            w->on_effects(w->arg, s->number, entry, effects);
    }
}

static void on_apply(void *arg, const struct raft_entry *entry)
{
    struct shard *s = arg;
    struct queue_effects effects = { 0 };
    bool is_replay = entry->index <= s->replay_to;

    if (!is_replay) keep_body(s, entry->index);
    queue_apply(s->queue, entry->index, entry->head, entry->body.n, is_replay ? NULL : &effects);
    if (!is_replay) tell_effects(s, entry->index, &effects);
}

static void on_applied(void *arg, uint64_t upto)
{
    (void)upto;
    shard_see(arg);
}

void shard_offer(struct shard *s, bool offered)
{
    bool takes = place_takes_mail(s) && !atomic_load(&s->commit->cordoned);

    s->is_offered = offered;
    atomic_store(&s->leads_shared, s->leads);
    atomic_store(&s->takes_shared, offered && takes);
    leaders_changed(s->commit);
}

static void tell_lead(struct shard *s, bool leads)
{
    s->leads = leads;
    shard_offer(s, leads);
    log_event(LOG_INFO, leads ? "shard.leads" : "shard.follows", LOG_NUM("shard", s->number),
              LOG_NUM("term", s->term), LOG_NUM("applied", queue_applied(s->queue)));
    LIST_FOR(it, &s->commit->watchers) {
        struct commit_watcher *w = CONTAINER_OF(it, struct commit_watcher, link);

        if (w->on_lead) w->on_lead(w->arg, s->number, leads);
    }
}

void shard_lead(struct shard *s)
{
    CHECK(!s->leads);
    tell_lead(s, true);
    shard_see(s);
}

static void on_role(void *arg, enum raft_role role, uint64_t term, uint64_t leader)
{
    struct shard *s = arg;

    (void)leader;
    if (role == RAFT_LEADER && s->is_leader && s->term == term) return;
    s->is_leader = false;
    if (s->leads) tell_lead(s, false);
    attempt_drop(s);
    s->term = term;
    s->is_leader = role == RAFT_LEADER;
    if (s->is_leader) attempt_settle_doubt(s);
    shard_see(s);
}

int shard_open(struct shard *s, const struct core_config *config, struct errmsg *why)
{
    const struct raft_machine machine = { .arg = s,
                                          .apply = on_apply,
                                          .applied = on_applied,
                                          .role = on_role,
                                          .snapshot = snapshot_calls() };
    struct raft_group_view view;
    int rv;

    list_init(&s->in_flight);
    s->apply_at = &s->in_flight;
    attempt_init(s);
    rv = queue_open(&s->queue, s->commit->o.store, s->number, why);
    if (rv != 0) return rv;
    /* the library may apply entries inside of raft_group_open: all of them are replay */
    s->replay_to = UINT64_MAX;
    rv = raft_group_open(s->commit->o.raft, s->number, loop_number(s->loop), config, &machine,
                         queue_applied(s->queue), &s->group, why);
    if (rv != 0) {
        attempt_deinit(s);
        queue_close(&s->queue);
        return rv;
    }
    raft_group_see(s->group, &view);
    s->replay_to = view.last;
    s->cut = view.first - 1;
    s->mark = s->cut;
    queue_set_moved(s->queue, s->cut);
    s->is_open = true;
    shard_see(s);
    atomic_store(&s->is_open_shared, true);
    return 0;
}

void shard_close(struct shard *s)
{
    s->is_closing = true;
    raft_group_close(&s->group);
    attempt_deinit(s);
    queue_close(&s->queue);
    body_cache_clear(&s->cache);
    free(s->refusals);
}

/* The node's gauges are the sums over its shards: each adds what changed. */
static void gauge(enum metric m, uint64_t before, uint64_t now)
{
    if (now > before) metric_add(m, now - before);
    if (now < before) metric_sub(m, before - now);
}

static void show_gauges(const struct queue_counts *before, const struct queue_counts *now)
{
    gauge(M_QUEUE_MESSAGES, before->messages, now->messages);
    gauge(M_QUEUE_BYTES, before->bytes, now->bytes);
    gauge(M_QUEUE_WAITING, before->waiting, now->waiting);
    gauge(M_QUEUE_CLAIMED, before->claimed, now->claimed);
    gauge(M_QUEUE_HELD, before->held, now->held);
}

static void show(struct shard *s, const struct commit_shard_view *v)
{
    atomic_store(&s->messages_shared, v->counts.messages);
    atomic_store(&s->bytes_shared, v->counts.bytes);
    atomic_store(&s->log_bytes_shared, v->raft.log_bytes);
    show_gauges(&s->view.counts, &v->counts); /* only this thread writes the view */
    pthread_mutex_lock(&s->view_lock);
    s->view = *v;
    pthread_mutex_unlock(&s->view_lock);
}

void shard_end(struct shard *s)
{
    const struct commit_shard_view gone = { .shard = s->number };

    s->is_leader = false;
    if (s->leads) tell_lead(s, false);
    attempt_drop(s);
    place_close(s);
    shard_close(s);
    s->is_open = s->is_closing = false;
    atomic_store(&s->is_open_shared, false);
    s->refusals = NULL;
    s->refusal_count = s->refusal_cap = 0;
    s->cut = s->moved = s->cut_waits = s->mark = 0;
    show(s, &gone);
}

void shard_see(struct shard *s)
{
    struct commit_shard_view v = {
        .shard = s->number, .is_open = s->is_open, .leads = s->leads, .cut = s->cut
    };

    if (s->group) raft_group_see(s->group, &v.raft);
    queue_counts(s->queue, &v.counts);
    v.digest = queue_digest(s->queue);
    v.state = queue_applied(s->queue);
    v.is_closed = queue_is_closed(s->queue);
    show(s, &v);
}
