/* model - random commands on a naive model and on the queue: they must agree on what is refused and
 * on what is there; memory and RocksDB must have one digest; a crash and a replay of the log must
 * come to the same.
 *
 * Use: unit_queue_model [seed [commands]]     without arguments: SEEDS of them
 */
#include "proto/ground/rng.h"
#include "tests/unit/queue/folder.h"
#include "tests/unit/queue/world.h"

#define SEEDS          6
#define COMMANDS       2500
#define VERIFY_EVERY   97
#define COMPARE_EVERY  211
#define MAILS_MAX      4096
#define RECIPIENTS_MAX 4
#define CHUNKS_MAX     8
#define UPLOADS_MAX    6

struct person {
    Angarium__RecipientState state;
    uint32_t attempts, doubts;
    uint64_t due_ms;
    bool hold, cancel, owed;
};
struct mail_model {
    uint64_t index, expires_ms, finished_ms, size;
    uint64_t chunks[CHUNKS_MAX];
    unsigned chunk_count, count;
    bool null_path, done, purged;
    struct person people[RECIPIENTS_MAX];
};
struct upload_model {
    uint64_t chunks[CHUNKS_MAX];
    unsigned count;
    uint64_t last_ms;
};

/* The log, for replays. */
struct log_entry {
    struct buf head;
    size_t body_size;
};

struct model {
    uint64_t seed;
    struct rng rng;
    struct mail_model *mails;
    unsigned mail_count;
    struct upload_model uploads[UPLOADS_MAX];
    struct log_entry *log;
    struct world mem, disk;
    struct folder folder;
    uint64_t now_ms;
    unsigned refused; /* as the model says, of this command */
};

static const char *const domains[] = { "a.test", "b.test", "bb.test", "c.test" };

static uint64_t below(struct model *m, uint64_t n)
{
    return rng_below(&m->rng, n);
}

/* ---- the rules again, in the plainest way */

static bool is_over(Angarium__RecipientState s)
{
    return s != STATE(WAITING) && s != STATE(CLAIMED) && s != STATE(HELD);
}

static void settle(struct model *m, struct mail_model *mail)
{
    for (unsigned i = 0; i < mail->count; i++)
        if (!is_over(mail->people[i].state) || mail->people[i].owed) return;
    if (mail->done) return;
    mail->done = true;
    mail->finished_ms = m->now_ms;
}

static void end(struct model *m, struct mail_model *mail, struct person *p,
                Angarium__RecipientState s)
{
    p->state = s;
    p->hold = p->cancel = false;
    p->owed = (s == STATE(BOUNCED) || s == STATE(EXPIRED)) && !mail->null_path;
    settle(m, mail);
}

static struct mail_model *find(struct model *m, uint64_t index)
{
    for (unsigned i = 0; i < m->mail_count; i++)
        if (m->mails[i].index == index && !m->mails[i].purged) return &m->mails[i];
    return NULL;
}

static struct person *person(struct model *m, uint64_t index, uint32_t number)
{
    struct mail_model *mail = find(m, index);

    return mail && number < mail->count ? &mail->people[number] : NULL;
}

/* ---- running a command on all */

static void run(struct model *m, const Angarium__Command *c, size_t body_size)
{
    struct log_entry *e = &m->log[m->mem.entry];
    unsigned refused;

    buf_init(&e->head, PROTO_COMMAND_SIZE_MAX);
    assert_int_equal(proto_command_pack(c, &e->head), OK);
    e->body_size = body_size;
    queue_apply(m->mem.queue, ++m->mem.entry, buf_span(&e->head), body_size, &m->mem.told);
    refused = told(&m->mem, QUEUE_REFUSED);
    queue_apply(m->disk.queue, ++m->disk.entry, buf_span(&e->head), body_size,
                NULL); /* as in a replay */
    if (refused != m->refused)
        fail_msg("seed %llu, entry %llu: %u refused, the model says %u",
                 (unsigned long long)m->seed, (unsigned long long)m->mem.entry, refused,
                 m->refused);
    if (queue_digest(m->mem.queue) != queue_digest(m->disk.queue))
        fail_msg("seed %llu, entry %llu: digests differ", (unsigned long long)m->seed,
                 (unsigned long long)m->mem.entry);
}

/* ---- random commands */

/* Mostly a mail that is there, and one of its people. */
static void pick(struct model *m, uint64_t *index, uint32_t *number)
{
    unsigned recent = m->mail_count < 40 ? m->mail_count : 40;

    if (m->mail_count == 0 || below(m, 30) == 0) {
        *index = 1 + below(m, m->mem.entry + 10);
        *number = (uint32_t)below(m, RECIPIENTS_MAX);
        return;
    }
    *index = m->mails[m->mail_count - 1 - below(m, recent)].index;
    *number = (uint32_t)below(m, RECIPIENTS_MAX - (below(m, 4) != 0));
}

static struct mail_model *find_owing(struct model *m)
{
    for (unsigned i = 0; i < m->mail_count; i++)
        for (unsigned n = 0; n < m->mails[i].count; n++)
            if (m->mails[i].people[n].owed) return &m->mails[i];
    return NULL;
}

/* Fills the model's mail; the upload's name is the digit at `upload`. */
static void random_accept(struct model *m)
{
    Angarium__Accept a = ANGARIUM__ACCEPT__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    Angarium__Recipient all[RECIPIENTS_MAX], *list[RECIPIENTS_MAX];
    struct mail_model *mail = &m->mails[m->mail_count],
                      *owing = below(m, 3) == 0 ? find_owing(m) : NULL;
    struct upload_model *u = NULL;
    char name[2] = { (char)('0' + below(m, UPLOADS_MAX)), 0 };
    bool refuse = false;

    assert_true(m->mail_count < MAILS_MAX);
    memset(mail, 0, sizeof *mail);
    mail->index = m->mem.entry + 1;
    mail->count = 1 + (unsigned)below(m, RECIPIENTS_MAX);
    mail->expires_ms = m->now_ms + below(m, 400);
    mail->size = below(m, 5000);
    a.time_ms = m->now_ms;
    a.expires_at_ms = mail->expires_ms;
    if (below(m, 4) == 0) {
        u = &m->uploads[name[0] - '0'];
        a.upload = proto_bytes(span_cstr(name));
        mail->chunk_count = u->count ? u->count : 1;
        memcpy(mail->chunks, u->chunks, sizeof mail->chunks);
        if (u->count == 0 || below(m, 10) == 0) mail->chunks[0] += 1;
        refuse = u->count == 0 || memcmp(mail->chunks, u->chunks, sizeof mail->chunks) != 0;
        a.chunks = mail->chunks;
        a.n_chunks = mail->chunk_count;
    }
    if (owing || below(m, 40) == 0) {
        a.bounce_of = owing ? owing->index : 1 + below(m, m->mem.entry + 1);
        owing = refuse ? NULL : find(m, a.bounce_of);
        bool owes = false;
        for (unsigned i = 0; owing && i < owing->count; i++) {
            owes |= owing->people[i].owed;
            owing->people[i].owed = false;
        }
        if (owes) settle(m, owing);
        refuse |= !owes;
    }
    mail->null_path = a.bounce_of != 0 || below(m, 5) == 0;
    a.mail_from = proto_bytes(span_cstr(mail->null_path ? "" : "s@s.test"));
    for (unsigned i = 0; i < mail->count; i++) {
        angarium__recipient__init(&all[i]);
        all[i].address = proto_bytes(SPAN_LIT("r@x.test"));
        all[i].domain = proto_bytes(span_cstr(domains[below(m, 4)]));
        list[i] = &all[i];
        mail->people[i].due_ms = m->now_ms;
    }
    a.recipients = list;
    a.n_recipients = mail->count;
    facts.size = mail->size;
    a.body = &facts;
    a.origin = &origin;
    m->refused = refuse;
    if (!refuse) {
        if (u) u->count = 0;
        if (u) memset(u->chunks, 0, sizeof u->chunks);
        m->mail_count++;
    }
    c.kind_case = ANGARIUM__COMMAND__KIND_ACCEPT;
    c.accept = &a;
    run(m, &c, mail->size);
}

static void random_chunk(struct model *m)
{
    Angarium__Chunk k = ANGARIUM__CHUNK__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    char name[2] = { (char)('0' + below(m, UPLOADS_MAX)), 0 };
    struct upload_model *u = &m->uploads[name[0] - '0'];

    k.time_ms = m->now_ms;
    k.upload = proto_bytes(span_cstr(name));
    k.number = below(m, 10) ? u->count : (uint32_t)below(m, CHUNKS_MAX);
    m->refused = k.number != u->count;
    if (u->count == CHUNKS_MAX) return;
    if (!m->refused) {
        u->chunks[u->count++] = m->mem.entry + 1;
        u->last_ms = m->now_ms;
    }
    c.kind_case = ANGARIUM__COMMAND__KIND_CHUNK;
    c.chunk = &k;
    run(m, &c, 300);
}

#define REFS_MAX 5
struct refs {
    Angarium__RecipientRef all[REFS_MAX], *list[REFS_MAX];
    unsigned n;
};

static void random_refs(struct model *m, struct refs *r)
{
    r->n = 1 + (unsigned)below(m, REFS_MAX);
    for (unsigned i = 0; i < r->n; i++) {
        angarium__recipient_ref__init(&r->all[i]);
        pick(m, &r->all[i].index, &r->all[i].recipient);
        r->list[i] = &r->all[i];
    }
}

static void random_claim(struct model *m)
{
    Angarium__Claim k = ANGARIUM__CLAIM__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    struct refs r;

    random_refs(m, &r);
    m->refused = 0;
    for (unsigned i = 0; i < r.n; i++) {
        struct person *p = person(m, r.all[i].index, r.all[i].recipient);

        if (!p || p->state != STATE(WAITING)) {
            m->refused++;
            continue;
        }
        p->state = STATE(CLAIMED);
        p->attempts++;
    }
    k.time_ms = m->now_ms;
    k.recipients = r.list;
    k.n_recipients = r.n;
    c.kind_case = ANGARIUM__COMMAND__KIND_CLAIM;
    c.claim = &k;
    run(m, &c, 0);
}

static void random_expire(struct model *m)
{
    Angarium__Expire k = ANGARIUM__EXPIRE__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    struct refs r;

    random_refs(m, &r);
    m->refused = 0;
    for (unsigned i = 0; i < r.n; i++) {
        struct mail_model *mail = find(m, r.all[i].index);
        struct person *p = person(m, r.all[i].index, r.all[i].recipient);

        if (p && mail->expires_ms <= m->now_ms &&
            (p->state == STATE(WAITING) || p->state == STATE(HELD)))
            end(m, mail, p, STATE(EXPIRED));
        else
            m->refused++;
    }
    k.time_ms = m->now_ms;
    k.recipients = r.list;
    k.n_recipients = r.n;
    c.kind_case = ANGARIUM__COMMAND__KIND_EXPIRE;
    c.expire = &k;
    run(m, &c, 0);
}

static bool model_outcome(struct model *m, const Angarium__RecipientOutcome *o)
{
    struct mail_model *mail = find(m, o->index);
    struct person *p = person(m, o->index, o->recipient);
    bool claimed = p && p->state == STATE(CLAIMED);
    bool waiting = p && p->state == STATE(WAITING);
    bool needs_claim = o->result == RESULT(DELIVERED) || o->result == RESULT(IN_DOUBT);

    if (!claimed && (needs_claim || !waiting)) return false;
    if (waiting && o->counts) p->attempts++;
    if (o->result == RESULT(DELIVERED)) {
        end(m, mail, p, STATE(DELIVERED));
    } else if (o->result == RESULT(BOUNCED)) {
        end(m, mail, p, STATE(BOUNCED));
    } else {
        p->doubts += o->result == RESULT(IN_DOUBT);
        p->state = p->hold ? STATE(HELD) : STATE(WAITING);
        p->due_ms = o->next_attempt_at_ms;
        if (p->cancel) end(m, mail, p, STATE(CANCELLED));
        p->hold = p->cancel = false;
    }
    return true;
}

static void random_outcome(struct model *m)
{
    static const Angarium__Result results[] = { RESULT(DELIVERED), RESULT(DELIVERED),
                                                RESULT(DEFERRED),  RESULT(DEFERRED),
                                                RESULT(BOUNCED),   RESULT(IN_DOUBT) };
    Angarium__RecipientOutcome all[REFS_MAX], *list[REFS_MAX];
    Angarium__Reply reply = ANGARIUM__REPLY__INIT;
    Angarium__Outcome o = ANGARIUM__OUTCOME__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    unsigned n = 1 + (unsigned)below(m, REFS_MAX);

    reply.text = proto_bytes(SPAN_LIT("words"));
    m->refused = 0;
    for (unsigned i = 0; i < n; i++) {
        angarium__recipient_outcome__init(&all[i]);
        pick(m, &all[i].index, &all[i].recipient);
        all[i].result = results[below(m, sizeof results / sizeof results[0])];
        all[i].next_attempt_at_ms = m->now_ms + below(m, 50);
        all[i].counts = below(m, 2);
        all[i].reply = below(m, 2) ? &reply : NULL;
        list[i] = &all[i];
        m->refused += !model_outcome(m, &all[i]);
    }
    o.time_ms = m->now_ms;
    o.recipients = list;
    o.n_recipients = n;
    c.kind_case = ANGARIUM__COMMAND__KIND_OUTCOME;
    c.outcome = &o;
    run(m, &c, 0);
}

static bool model_order(struct model *m, enum order what, struct mail_model *mail, struct person *p)
{
    bool claimed = p->state == STATE(CLAIMED);

    if (what == RELEASE) {
        if (claimed && p->hold) {
            p->hold = false;
            return true;
        }
        if (p->state != STATE(HELD)) return false;
        p->state = STATE(WAITING);
        p->due_ms = m->now_ms;
        return true;
    }
    if (is_over(p->state)) return false;
    if (claimed) {
        if (what == HOLD) p->hold = true;
        if (what == CANCEL) p->cancel = true;
        return true;
    }
    if (what == CANCEL) {
        end(m, mail, p, STATE(CANCELLED));
        return true;
    }
    if (p->state != STATE(WAITING)) return false;
    p->state = STATE(HELD);
    return true;
}

static void random_order(struct model *m)
{
    Angarium__Hold hold = ANGARIUM__HOLD__INIT;
    Angarium__Release release = ANGARIUM__RELEASE__INIT;
    Angarium__Cancel cancel = ANGARIUM__CANCEL__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    enum order what = (enum order)(below(m, 5) == 0 ? 2 : below(m, 2));
    uint32_t numbers[2];
    uint64_t index;
    size_t n = below(m, 3);
    struct mail_model *mail;
    bool took = false;

    pick(m, &index, &numbers[0]);
    numbers[1] = (uint32_t)below(m, RECIPIENTS_MAX);
    mail = find(m, index);
    m->refused = 0;
    for (uint32_t i = 0; mail && i < (n ? n : mail->count); i++) {
        uint32_t number = n ? numbers[i] : i;

        if (number < mail->count && model_order(m, what, mail, &mail->people[number]))
            took = true;
        else
            m->refused += n > 0;
    }
    if (!mail || (n == 0 && !took)) m->refused++;
    hold.time_ms = release.time_ms = cancel.time_ms = m->now_ms;
    hold.index = release.index = cancel.index = index;
    hold.recipients = release.recipients = cancel.recipients = numbers;
    hold.n_recipients = release.n_recipients = cancel.n_recipients = n;
    if (what == HOLD) c.kind_case = ANGARIUM__COMMAND__KIND_HOLD, c.hold = &hold;
    if (what == RELEASE) c.kind_case = ANGARIUM__COMMAND__KIND_RELEASE, c.release = &release;
    if (what == CANCEL) c.kind_case = ANGARIUM__COMMAND__KIND_CANCEL, c.cancel = &cancel;
    run(m, &c, 0);
}

static struct mail_model *oldest_done(struct model *m, uint64_t before_ms)
{
    struct mail_model *found = NULL;

    for (unsigned i = 0; i < m->mail_count; i++) {
        struct mail_model *mail = &m->mails[i];

        if (!mail->done || mail->purged || mail->finished_ms >= before_ms) continue;
        if (!found || mail->finished_ms < found->finished_ms) found = mail;
    }
    return found;
}

static void random_purge(struct model *m)
{
    Angarium__Purge k = ANGARIUM__PURGE__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    char name[2] = { (char)('0' + below(m, UPLOADS_MAX)), 0 };

    k.time_ms = m->now_ms;
    k.before_ms = m->now_ms - below(m, 100);
    k.limit = (uint32_t)below(m, 20);
    if (below(m, 3) == 0) k.upload = proto_bytes(span_cstr(name));
    if (below(m, 3) == 0) k.uploads_before_ms = m->now_ms - below(m, 100);
    for (unsigned i = 0; i < UPLOADS_MAX; i++) {
        struct upload_model *u = &m->uploads[i];
        bool named = k.upload.len > 0 && name[0] - '0' == (int)i;

        if (u->count > 0 && (named || u->last_ms < k.uploads_before_ms))
            *u = (struct upload_model){ .count = 0 };
    }
    for (uint32_t i = 0; i < k.limit; i++) {
        struct mail_model *mail = oldest_done(m, k.before_ms);

        if (mail) mail->purged = true;
    }
    m->refused = 0;
    c.kind_case = ANGARIUM__COMMAND__KIND_PURGE;
    c.purge = &k;
    run(m, &c, 0);
}

static void random_command(struct model *m)
{
    uint64_t dice = below(m, 100);

    m->now_ms += below(m, 3);
    if (dice < 22) {
        random_accept(m);
    } else if (dice < 30) {
        random_chunk(m);
    } else if (dice < 55) {
        random_claim(m);
    } else if (dice < 83) {
        random_outcome(m);
    } else if (dice < 89) {
        random_expire(m);
    } else if (dice < 97) {
        random_order(m);
    } else {
        random_purge(m);
    }
}

/* ---- comparing */

static void compare_person(struct model *m, struct world *w, const struct mail_model *mail,
                           uint32_t n)
{
    Angarium__RecipientRecord *r = recipient(w, mail->index, n);
    const struct person *p = &mail->people[n];

    if (r->state != p->state || r->attempts != p->attempts || r->doubts != p->doubts ||
        r->hold_wanted != p->hold || r->cancel_wanted != p->cancel || r->bounce_owed != p->owed ||
        (p->state == STATE(WAITING) && r->due_at_ms != p->due_ms))
        fail_msg("seed %llu, entry %llu: recipient %u of %llu is %s, the model says %s",
                 (unsigned long long)m->seed, (unsigned long long)w->entry, n,
                 (unsigned long long)mail->index, proto_state_name(r->state),
                 proto_state_name(p->state));
    queue_recipient_free(&r);
}

static void compare(struct model *m, struct world *w)
{
    uint64_t messages = 0, kept = 0, uploads = 0;
    struct queue_counts c = counts(w);

    for (unsigned i = 0; i < m->mail_count; i++) {
        const struct mail_model *mail = &m->mails[i];
        Angarium__MessageRecord *r = NULL;
        bool pending = false;

        assert_int_equal(queue_message_get(w->store, SHARD, mail->index, &r),
                         mail->purged ? ERR_NOT_FOUND : OK);
        if (mail->purged) continue;
        assert_int_equal(r->body_gone != 0, mail->done);
        if (mail->done) assert_int_equal(r->finished_at_ms, mail->finished_ms);
        queue_message_free(&r);
        for (uint32_t n = 0; n < mail->count; n++) {
            compare_person(m, w, mail, n);
            pending |= !is_over(mail->people[n].state);
        }
        if (mail->chunk_count == 0) assert_int_equal(is_live(w, mail->index), !mail->done);
        for (unsigned k = 0; k < mail->chunk_count; k++)
            assert_int_equal(is_live(w, mail->chunks[k]), !mail->done);
        messages += pending;
        kept++;
    }
    for (unsigned i = 0; i < UPLOADS_MAX; i++)
        uploads += m->uploads[i].count > 0;
    assert_int_equal(c.messages, messages);
    assert_int_equal(c.kept_messages, kept);
    assert_int_equal(c.uploads, uploads);
}

/* ---- crashes */

static void replay(struct model *m, struct world *w, uint64_t last)
{
    struct errmsg why = { "" };

    assert_int_equal(queue_open(&w->queue, w->store, SHARD, &why), OK);
    w->entry = queue_applied(w->queue);
    world_verify(w);
    while (w->entry < last) {
        const struct log_entry *e = &m->log[w->entry];

        queue_apply(w->queue, ++w->entry, buf_span(&e->head), e->body_size, NULL);
    }
}

static void crash_both(struct model *m)
{
    uint64_t digest = queue_digest(m->mem.queue), entry = m->mem.entry;
    struct errmsg why = { "" };

    queue_close(&m->mem.queue);
    queue_store_mem_crash(m->mem.store);
    replay(m, &m->mem, entry);
    queue_close(&m->disk.queue);
    queue_store_close(&m->disk.store);
    assert_int_equal(queue_store_open(&m->disk.store, m->folder.path, &why), OK);
    replay(m, &m->disk, entry);
    assert_int_equal(m->mem.entry, entry);
    assert_true(queue_digest(m->mem.queue) == digest);
    assert_true(queue_digest(m->disk.queue) == digest);
}

static void run_seed(uint64_t seed, unsigned commands)
{
    struct model *m = check_calloc(1, sizeof *m);
    struct errmsg why = { "" };

    m->seed = seed;
    rng_seed(&m->rng, seed);
    m->mails = check_calloc(MAILS_MAX, sizeof *m->mails);
    m->log = check_calloc(commands + 1, sizeof *m->log);
    m->now_ms = START_MS;
    folder_make(&m->folder);
    world_open(&m->mem, NULL);
    world_open(&m->disk, m->folder.path);
    for (unsigned i = 1; i <= commands && m->mail_count < MAILS_MAX; i++) {
        random_command(m);
        if (i % VERIFY_EVERY == 0) world_verify(&m->mem);
        if (i % COMPARE_EVERY == 0) compare(m, &m->mem);
        if (below(m, 150) == 0) assert_int_equal(queue_store_flush(m->mem.store, &why), OK);
        if (below(m, 400) == 0) assert_int_equal(queue_store_flush(m->disk.store, &why), OK);
        if (below(m, 500) == 0) crash_both(m);
    }
    crash_both(m);
    world_verify(&m->mem);
    world_verify(&m->disk);
    compare(m, &m->mem);
    compare(m, &m->disk);
    for (unsigned i = 0; i < commands; i++)
        buf_deinit(&m->log[i].head);
    world_close(&m->mem);
    world_close(&m->disk);
    folder_remove(&m->folder);
    free(m->mails);
    free(m->log);
    free(m);
}

static void queue_and_model_agree(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed, COMMANDS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(queue_and_model_agree) };

    if (argc > 1) {
        run_seed(strtoull(argv[1], NULL, 10),
                 argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : COMMANDS);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
