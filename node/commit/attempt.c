/* attempt - claims, outcomes and expiries of one loop turn travel as one entry each.
 *
 * Rules: P2 a claim's on_done with 0 comes only after its entry is committed in the leader's term (the
 *   proposal carries the term) and applied. P4 claims that a new leader finds in the queue have no outcome:
 *   each becomes in_doubt once, before deliver may touch the shard.
 * A process may have slept (SIGSTOP, a machine that was paused) between proposal and commit, and another leader may have
 *   told the recipients in doubt since: a claim that took long counts only after a read barrier, and only if that was short.
 * An outcome that cannot be proposed because the log is full, or the leadership about to be handed over, waits for a later
 * turn; one that is lost with the leadership is the next leader's doubt.
 */
#include "node/commit/shard.h"

/* So long a leadership that was just proved is believed. A follower that heard a leader elects nobody for longer
 * (election_ms of raft.h). */
#define BELIEVED_MS 300

struct claim_batch {
    struct command cmd;
    struct list claims;
    uint64_t proved_ms; /* mono; this node led at that moment, or later */
    struct raft_read read;
};

struct outcome_batch {
    struct list link;
    struct command cmd;
    struct arena arena;
    Angarium__RecipientOutcome *list[PROTO_REFS_MAX];
    unsigned count;
    bool settles_doubt;
};

struct expire_batch {
    struct command cmd;
};

void attempt_init(struct shard *s)
{
    list_init(&s->claims);
    list_init(&s->outcome_batches);
    s->expires = check_calloc(PROTO_REFS_MAX, sizeof *s->expires);
}

static void drop_claims(struct shard *s, int rv)
{
    struct list *it;

    while ((it = list_take_first(&s->claims)) != NULL) {
        struct commit_claim *claim = CONTAINER_OF(it, struct commit_claim, link);

        claim->on_done(claim, rv);
    }
    s->claim_refs = 0;
}

static void outcome_batch_free(struct outcome_batch *b)
{
    list_remove(&b->link);
    command_deinit(&b->cmd);
    arena_deinit(&b->arena);
    free(b);
}

void attempt_deinit(struct shard *s)
{
    LIST_FOR_SAFE(it, &s->outcome_batches)
        outcome_batch_free(CONTAINER_OF(it, struct outcome_batch, link));
    drop_claims(s, ERR_CLOSED);
    free(s->expires);
    s->expires = NULL;
}

static void on_outcomes(struct command *cmd, int rv, uint64_t entry);

void attempt_drop(struct shard *s)
{
    struct list *it;

    drop_claims(s, ERR_NOT_LEADER);
    s->expire_count = 0;
    while ((it = list_take_first(&s->outcome_batches)) != NULL)
        on_outcomes(&CONTAINER_OF(it, struct outcome_batch, link)->cmd, ERR_NOT_LEADER, 0);
}

bool attempt_waits(const struct shard *s)
{
    return !list_empty(&s->claims) || !list_empty(&s->outcome_batches) || s->expire_count > 0;
}

/* ---- claims */

int commit_claim(struct commit *c, uint32_t shard, struct commit_claim *claim)
{
    struct shard *s = commit_shard(c, shard);

    CHECK(s && claim->count > 0 && claim->count <= PROTO_REFS_MAX);
    if (!s->leads) return ERR_NOT_LEADER;
    if (place_hands_over(s)) return ERR_BUSY;
    list_add(&s->claims, &claim->link);
    s->claim_refs += claim->count;
    loop_again(s->loop);
    return 0;
}

static void answer_claims(struct claim_batch *b, int rv)
{
    struct list *it;

    while ((it = list_take_first(&b->claims)) != NULL) {
        struct commit_claim *claim = CONTAINER_OF(it, struct commit_claim, link);

        claim->on_done(claim, rv);
    }
    command_deinit(&b->cmd);
    free(b);
}

/* Who was not waiting any more is told at once: the shard forgets it after this. */
static void mark_refused(struct claim_batch *b, uint64_t entry)
{
    LIST_FOR(it, &b->claims) {
        struct commit_claim *claim = CONTAINER_OF(it, struct commit_claim, link);

        for (unsigned i = 0; i < claim->count; i++) {
            struct commit_ref *r = &claim->refs[i];

            r->refused = command_refused(b->cmd.shard, entry, r->index, r->recipient);
        }
    }
}

static uint64_t now_ms(const struct shard *s)
{
    return clock_mono_ms(loop_clock(s->loop)); /* not the turn's: it may have slept since */
}

static void prove(struct claim_batch *b);

static void on_proved(struct raft_read *read, int rv)
{
    struct claim_batch *b = CONTAINER_OF(read, struct claim_batch, read);

    if (rv != 0)
        answer_claims(b, rv);
    else
        prove(b);
}

/* The claims count when this node leads in the term that they were made in, and did so a short while ago. */
static void prove(struct claim_batch *b)
{
    struct shard *s = b->cmd.shard;
    uint64_t now = now_ms(s);
    int rv = s->leads && s->term == b->cmd.proposal.term ? 0 : ERR_NOT_LEADER;

    if (rv == 0 && now - b->proved_ms > BELIEVED_MS) {
        metric_add(M_CLAIMS_PROVED, 1);
        b->proved_ms = now;
        b->read.on_done = on_proved;
        rv = raft_group_read(s->group, &b->read);
        if (rv == 0) return;
    }
    answer_claims(b, rv);
}

static void on_claimed(struct command *cmd, int rv, uint64_t entry)
{
    struct claim_batch *b = CONTAINER_OF(cmd, struct claim_batch, cmd);

    cmd->shard->claims_away--;
    if (rv != 0) {
        answer_claims(b, rv);
        return;
    }
    mark_refused(b, entry);
    prove(b);
}

/* Takes claims off the shard's list into a batch, as many as fit one entry. */
static unsigned take_claims(struct shard *s, struct list *into)
{
    unsigned refs = 0;

    LIST_FOR_SAFE(it, &s->claims) {
        struct commit_claim *claim = CONTAINER_OF(it, struct commit_claim, link);

        if (refs + claim->count > PROTO_REFS_MAX) break;
        refs += claim->count;
        list_remove(it);
        list_add(into, it);
    }
    s->claim_refs -= refs;
    return refs;
}

/* Its number among the claim's hosts; 0: it has none, there are too many, or the format in force has no place for it. */
static uint32_t host_of(Angarium__Claim *claim, struct span host)
{
    if (host.n == 0 || !proto_writes(PROTO_ADDED_CLAIM_HOSTS)) return 0;
    for (size_t i = 0; i < claim->n_hosts; i++)
        if (span_eq(proto_span(claim->hosts[i]), host)) return (uint32_t)i + 1;
    if (claim->n_hosts == PROTO_HOSTS_MAX) return 0;
    claim->hosts[claim->n_hosts++] = proto_bytes(host);
    return (uint32_t)claim->n_hosts;
}

static int send_claims(struct shard *s, struct claim_batch *b, unsigned refs)
{
    Angarium__Claim claim = ANGARIUM__CLAIM__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    Angarium__RecipientRef *all = check_calloc(refs, sizeof *all);
    Angarium__RecipientRef **list = check_calloc(refs, sizeof *list);
    ProtobufCBinaryData hosts[PROTO_HOSTS_MAX];
    unsigned n = 0;
    int rv;

    claim.hosts = hosts;
    LIST_FOR(it, &b->claims) {
        struct commit_claim *c = CONTAINER_OF(it, struct commit_claim, link);
        uint32_t host = host_of(&claim, c->host);

        for (unsigned i = 0; i < c->count; i++, n++) {
            angarium__recipient_ref__init(&all[n]);
            all[n].index = c->refs[i].index;
            all[n].recipient = c->refs[i].recipient;
            all[n].host = host;
            list[n] = &all[n];
        }
    }
    CHECK(n == refs);
    claim.time_ms = loop_wall_ms(s->loop);
    claim.node = s->commit->o.node;
    claim.n_recipients = n;
    claim.recipients = list;
    command.kind_case = ANGARIUM__COMMAND__KIND_CLAIM;
    command.claim = &claim;
    rv = command_send(&b->cmd, &command);
    free(list);
    free(all);
    return rv;
}

static void flush_claims(struct shard *s)
{
    while (!list_empty(&s->claims)) {
        struct claim_batch *b = check_calloc(1, sizeof *b);
        unsigned refs;
        int rv;

        command_init(&b->cmd, s);
        b->cmd.on_result = on_claimed;
        list_init(&b->claims);
        b->proved_ms = now_ms(s);
        refs = take_claims(s, &b->claims);
        rv = send_claims(s, b, refs);
        if (rv == 0)
            s->claims_away++;
        else
            answer_claims(b, rv);
    }
}

/* ---- outcomes */

static ProtobufCBinaryData keep(struct arena *a, ProtobufCBinaryData d)
{
    struct span copy = arena_dup(a, proto_span(d));

    CHECK(copy.p || d.len == 0);
    return proto_bytes(copy);
}

static void add_outcome(struct outcome_batch *b, const Angarium__RecipientOutcome *from)
{
    Angarium__RecipientOutcome *o = arena_alloc(&b->arena, sizeof *o);

    *o = *from;
    o->remote_host = keep(&b->arena, from->remote_host);
    o->remote_address = keep(&b->arena, from->remote_address);
    o->source_address = keep(&b->arena, from->source_address);
    o->tls = keep(&b->arena, from->tls);
    o->class_ = keep(&b->arena, from->class_);
    if (from->reply) {
        o->reply = arena_alloc(&b->arena, sizeof *o->reply);
        *o->reply = *from->reply;
        o->reply->enhanced = keep(&b->arena, from->reply->enhanced);
        o->reply->text = keep(&b->arena, from->reply->text);
    }
    b->list[b->count++] = o;
}

static void on_outcomes(struct command *cmd, int rv, uint64_t entry)
{
    struct outcome_batch *b = CONTAINER_OF(cmd, struct outcome_batch, cmd);
    struct shard *s = cmd->shard;
    bool settles = b->settles_doubt;
    bool is_current = s->is_leader && !s->leads && s->term == cmd->proposal.term;

    (void)entry;
    if (rv != 0)
        log_event(LOG_WARN, "outcome.lost", LOG_NUM("shard", s->number),
                  LOG_NUM("recipients", b->count), LOG_TEXT("error", err_name(rv)));
    outcome_batch_free(b);
    if (settles && rv == 0 && is_current) attempt_settle_doubt(s);
}

/* Room for one more outcome whose strings need `size` bytes. */
static struct outcome_batch *open_batch(struct shard *s, size_t size)
{
    struct outcome_batch *b = NULL;

    if (!list_empty(&s->outcome_batches))
        b = CONTAINER_OF(s->outcome_batches.prev, struct outcome_batch, link);
    /* half of the head's bound for strings leaves room for the framing of PROTO_REFS_MAX outcomes */
    if (b && b->count < PROTO_REFS_MAX && b->arena.used + size < PROTO_COMMAND_SIZE_MAX / 2)
        return b;
    b = check_calloc(1, sizeof *b);
    command_init(&b->cmd, s);
    b->cmd.on_result = on_outcomes;
    arena_init(&b->arena, COMMIT_BATCH_ARENA_MAX);
    list_init(&b->link);
    list_add(&s->outcome_batches, &b->link);
    return b;
}

static size_t outcome_size(const Angarium__RecipientOutcome *o)
{
    size_t n = sizeof *o + o->remote_host.len + o->remote_address.len + o->source_address.len +
               o->tls.len + o->class_.len + 256;

    if (o->reply) n += sizeof *o->reply + o->reply->text.len + o->reply->enhanced.len;
    return n;
}

void commit_outcome(struct commit *c, uint32_t shard, const Angarium__RecipientOutcome *list,
                    unsigned count)
{
    struct shard *s = commit_shard(c, shard);

    CHECK(s);
    if (!s->leads) return; /* it is the next leader's doubt */
    for (unsigned i = 0; i < count; i++)
        add_outcome(open_batch(s, outcome_size(&list[i])), &list[i]);
    loop_again(s->loop);
}

static void flush_outcomes(struct shard *s)
{
    LIST_FOR_SAFE(it, &s->outcome_batches) {
        struct outcome_batch *b = CONTAINER_OF(it, struct outcome_batch, link);
        Angarium__Outcome outcome = ANGARIUM__OUTCOME__INIT;
        Angarium__Command command = ANGARIUM__COMMAND__INIT;
        int rv;

        outcome.time_ms = loop_wall_ms(s->loop);
        outcome.node = s->commit->o.node;
        outcome.n_recipients = b->count;
        outcome.recipients = b->list;
        command.kind_case = ANGARIUM__COMMAND__KIND_OUTCOME;
        command.outcome = &outcome;
        rv = command_send(&b->cmd, &command);
        if (rv == ERR_FULL || rv == ERR_BUSY)
            return; /* the log is full, or about to be handed over: stays for a later turn */
        list_remove(&b->link);
        if (rv != 0) on_outcomes(&b->cmd, rv, 0);
    }
}

/* ---- expiries */

void commit_expire(struct commit *c, uint32_t shard, const struct queue_ref *refs, unsigned count)
{
    struct shard *s = commit_shard(c, shard);

    CHECK(s);
    if (!s->leads) return;
    for (unsigned i = 0; i < count; i++) {
        if (s->expire_count == PROTO_REFS_MAX) attempt_flush(s);
        if (s->expire_count == PROTO_REFS_MAX)
            return; /* it is still due: deliver will come again */
        s->expires[s->expire_count++] = refs[i];
    }
    loop_again(s->loop);
}

static void on_expired(struct command *cmd, int rv, uint64_t entry)
{
    (void)rv;
    (void)entry;
    command_deinit(cmd);
    free(CONTAINER_OF(cmd, struct expire_batch, cmd));
}

static void flush_expires(struct shard *s)
{
    static _Thread_local Angarium__RecipientRef all[PROTO_REFS_MAX], *list[PROTO_REFS_MAX];
    Angarium__Expire expire = ANGARIUM__EXPIRE__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    struct expire_batch *b;
    int rv;

    if (s->expire_count == 0) return;
    for (unsigned i = 0; i < s->expire_count; i++) {
        angarium__recipient_ref__init(&all[i]);
        all[i].index = s->expires[i].index;
        all[i].recipient = s->expires[i].recipient;
        list[i] = &all[i];
    }
    expire.time_ms = loop_wall_ms(s->loop);
    expire.node = s->commit->o.node;
    expire.n_recipients = s->expire_count;
    expire.recipients = list;
    command.kind_case = ANGARIUM__COMMAND__KIND_EXPIRE;
    command.expire = &expire;
    b = check_calloc(1, sizeof *b);
    command_init(&b->cmd, s);
    b->cmd.on_result = on_expired;
    rv = command_send(&b->cmd, &command);
    if (rv != ERR_FULL && rv != ERR_BUSY) s->expire_count = 0;
    if (rv != 0) on_expired(&b->cmd, rv, 0);
}

void attempt_flush(struct shard *s)
{
    flush_claims(s);
    flush_outcomes(s);
    flush_expires(s);
}

/* ---- doubt */

void attempt_settle_doubt(struct shard *s)
{
    struct queue_ref refs[1024];
    struct queue_place place = { 0 };
    struct outcome_batch *b = NULL;
    struct queue_counts counts;
    size_t n = 0;

    queue_counts(s->queue, &counts);
    if (counts.claimed > 0) n = queue_claims(s->commit->o.store, s->number, &place, refs, 1024);
    CHECK((n > 0) == (counts.claimed > 0)); /* Q4, Q7 */
    if (n == 0) {
        shard_lead(s);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        Angarium__RecipientOutcome o = ANGARIUM__RECIPIENT_OUTCOME__INIT;

        o.index = refs[i].index;
        o.recipient = refs[i].recipient;
        o.result = ANGARIUM__RESULT__RESULT_IN_DOUBT;
        o.next_attempt_at_ms = loop_wall_ms(s->loop);
        o.class_ = proto_bytes(SPAN_LIT("leader_lost"));
        b = open_batch(s, outcome_size(&o));
        add_outcome(b, &o);
    }
    b->settles_doubt = true; /* the last of them: batches commit in order */
    log_event(LOG_WARN, "shard.in_doubt", LOG_NUM("shard", s->number), LOG_NUM("recipients", n));
    loop_again(s->loop);
}
