/* commit - a real commit on real loops, log and store: mails, chunks, claims, doubt after a crash, orders, bodies
 * after the log was cut. A crash is a child process that ends without closing anything.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/commit/commit.h"
#include "proto/ground/check.h"

#define TURNS_MAX 20000 /* of 5 ms: a test that waits for more hangs */

struct world {
    char dir[64];
    struct loop *loops[2];
    struct raft *raft;
    struct queue_store *store;
    struct commit *commit;
    struct commit_watcher watcher;
    unsigned events[16], leading;
    uint64_t retention_ms;       /* 0: default */
    uint64_t rest_ms;            /* the same */
    uint64_t disk_reserve_bytes;
    uint64_t doubts;
};

static void on_effects(void *arg, uint32_t shard, uint64_t entry,
                       const struct queue_effects *effects)
{
    struct world *w = arg;

    (void)shard;
    (void)entry;
    for (size_t i = 0; i < effects->count; i++)
        if (effects->list[i].kind == QUEUE_EVENT) w->events[effects->list[i].event->type]++;
}

static void on_lead(void *arg, uint32_t shard, bool leads)
{
    struct world *w = arg;

    (void)shard;
    w->leading += leads ? 1 : -1u;
}

static void turn(struct world *w)
{
    loop_turn(w->loops[0], 1);
    loop_turn(w->loops[1], 1);
}

static void wait_for(struct world *w, bool (*fact)(struct world *w, void *arg), void *arg)
{
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        if (fact(w, arg)) return;
        turn(w);
    }
    CHECK(!"it never came true");
}

static bool all_lead(struct world *w, void *arg)
{
    return w->leading == *(unsigned *)arg;
}

static void open_world(struct world *w, unsigned shards, size_t cut_bytes)
{
    struct raft_loop_port ports[2];
    char path[128];
    struct errmsg why = { "" };

    w->leading = 0;
    memset(w->events, 0, sizeof w->events);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(loop_new(&w->loops[i], i, &why) == 0);
        ports[i] = (struct raft_loop_port){ .arg = w->loops[i], .wake = loop_wake_arg };
    }
    snprintf(path, sizeof path, "%s/log", w->dir);
    CHECK(raft_open(&w->raft,
                    &(struct raft_options){ .dir = path,
                                            .node_id = 1,
                                            .loops = ports,
                                            .loop_count = 2,
                                            .memtable_bytes = 4u << 20 },
                    NULL, &why) == 0);
    snprintf(path, sizeof path, "%s/state", w->dir);
    CHECK(queue_store_open(&w->store, path, &why) == 0);
    CHECK(commit_open(&w->commit,
                      &(struct commit_options){
                          .loops = w->loops,
                          .loop_count = 2,
                          .raft = w->raft,
                          .store = w->store,
                          .data_dir = w->dir,
                          .node = 1,
                          .shard_count = shards,
                          .limits.disk_reserve_bytes = w->disk_reserve_bytes,
                          .limits.body_cache_bytes = 1u << 20,
                          .cut_bytes = cut_bytes,
                          .rest_ms = w->rest_ms,
                          .limits.queue_messages_max = 5000,
                          .limits.retention_ms = w->retention_ms },
                      &why) == 0);
    w->watcher = (struct commit_watcher){ .arg = w, .on_effects = on_effects, .on_lead = on_lead };
    commit_watch(w->commit, &w->watcher);
    wait_for(w, all_lead, &shards);
}

static void close_world(struct world *w)
{
    loop_settle(w->loops[0]);
    loop_settle(w->loops[1]);
    commit_close(&w->commit);
    raft_close(&w->raft);
    queue_store_close(&w->store);
    loop_free(&w->loops[0]);
    loop_free(&w->loops[1]);
}

/* ---- one mail */

struct send {
    struct commit_mail mail;
    int rv; /* 1: no answer yet */
    uint64_t id;
};

static void on_mail(struct commit_mail *m, int rv, uint64_t id)
{
    struct send *s = CONTAINER_OF(m, struct send, mail);

    CHECK(s->rv == 1);
    s->rv = rv;
    s->id = id;
}

static bool is_answered(struct world *w, void *arg)
{
    (void)w;
    return ((struct send *)arg)->rv != 1;
}

static int begin_send(struct world *w, struct send *s, const char *body, size_t size,
                      unsigned recipients, struct commit_upload *upload)
{
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__Recipient all[8], *list[8];
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;

    for (unsigned i = 0; i < recipients; i++) {
        angarium__recipient__init(&all[i]);
        all[i].address = proto_bytes(SPAN_LIT("to@example.org"));
        all[i].domain = proto_bytes(SPAN_LIT("example.org"));
        list[i] = &all[i];
    }
    facts.size = size;
    accept.time_ms = loop_wall_ms(w->loops[0]);
    accept.mail_from = proto_bytes(SPAN_LIT("from@example.test"));
    accept.recipients = list;
    accept.n_recipients = recipients;
    accept.body = &facts;
    accept.origin = &origin;
    accept.expires_at_ms = accept.time_ms + 1000000;
    *s = (struct send){ .rv = 1 };
    s->mail.accept = &accept;
    s->mail.upload = upload;
    s->mail.on_done = on_mail;
    if (!upload) s->mail.body = blob_copy(span_of(body, size));
    return commit_mail(w->commit, w->loops[0], &s->mail);
}

static uint64_t send_one(struct world *w, const char *body, unsigned recipients)
{
    struct send s;

    CHECK(begin_send(w, &s, body, strlen(body), recipients, NULL) == 0);
    CHECK(s.rv == 1); /* never inside */
    wait_for(w, is_answered, &s);
    CHECK(s.rv == 0);
    return s.id;
}

/* ---- reading a body back */

struct fetch {
    struct commit_read read;
    int rv;
    struct blob *body;
};

static void on_fetched(struct commit_read *r, int rv, struct blob *body)
{
    struct fetch *f = CONTAINER_OF(r, struct fetch, read);

    f->rv = rv;
    f->body = body;
}

static bool is_fetched(struct world *w, void *arg)
{
    (void)w;
    return ((struct fetch *)arg)->rv != 1;
}

static void assert_body(struct world *w, uint32_t shard, uint64_t entry, const char *text)
{
    struct fetch f = { .rv = 1 };

    f.read.shard = shard;
    f.read.entry = entry;
    f.read.on_done = on_fetched;
    assert_int_equal(commit_body_read(w->commit, w->loops[0], &f.read), 0);
    wait_for(w, is_fetched, &f);
    assert_int_equal(f.rv, 0);
    assert_int_equal(f.body->n, strlen(text));
    assert_memory_equal(f.body->p, text, f.body->n);
    blob_unref(&f.body);
}

/* ---- claims and outcomes */

struct ask {
    struct commit_claim claim;
    struct commit_ref refs[8];
    int rv;
};

static void on_claimed(struct commit_claim *c, int rv)
{
    CONTAINER_OF(c, struct ask, claim)->rv = rv;
}

static bool claim_is_answered(struct world *w, void *arg)
{
    (void)w;
    return ((struct ask *)arg)->rv != 1;
}

static void claim(struct world *w, struct ask *a, uint64_t id, unsigned count)
{
    *a = (struct ask){ .rv = 1 };
    for (unsigned i = 0; i < count; i++)
        a->refs[i] = (struct commit_ref){ .index = proto_id_index(id), .recipient = i };
    a->claim.refs = a->refs;
    a->claim.count = count;
    a->claim.on_done = on_claimed;
    assert_int_equal(commit_claim(w->commit, proto_id_shard(id), &a->claim), 0);
    assert_int_equal(a->rv, 1);
    wait_for(w, claim_is_answered, a);
}

static bool has_events(struct world *w, void *arg)
{
    const unsigned *want = arg; /* type, count */

    return w->events[want[0]] >= want[1];
}

static void deliver_all(struct world *w, uint64_t id, unsigned count)
{
    Angarium__RecipientOutcome list[8];

    for (unsigned i = 0; i < count; i++) {
        angarium__recipient_outcome__init(&list[i]);
        list[i].index = proto_id_index(id);
        list[i].recipient = i;
        list[i].result = ANGARIUM__RESULT__RESULT_DELIVERED;
    }
    commit_outcome(w->commit, proto_id_shard(id), list, count);
}

static void assert_sound(struct world *w, unsigned shards)
{
    for (uint32_t i = 1; i <= shards; i++) {
        struct errmsg why = { "" };

        if (queue_verify(w->store, i, &why) != 0) fail_msg("%s", why.text);
    }
}

/* ---- the tests */

static void make_dir(struct world *w)
{
    snprintf(w->dir, sizeof w->dir, "/tmp/angarium-commit-XXXXXX");
    CHECK(mkdtemp(w->dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_dir(struct world *w)
{
    nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void a_mail_is_accepted_claimed_and_delivered_once(void **state)
{
    struct world w = { .leading = 0 };
    unsigned want[2] = { ANGARIUM__EVENT_TYPE__EVENT_DELIVERED, 2 };
    struct ask a, b;
    uint64_t id;

    (void)state;
    make_dir(&w);
    open_world(&w, 4, 0);
    id = send_one(&w, "body", 2);
    assert_int_equal(w.events[ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED], 2);
    claim(&w, &a, id, 2);
    assert_int_equal(a.rv, 0);
    assert_false(a.refs[0].refused || a.refs[1].refused);
    claim(&w, &b, id, 2); /* the second claim gets nobody */
    assert_int_equal(b.rv, 0);
    assert_true(b.refs[0].refused && b.refs[1].refused);
    deliver_all(&w, id, 2);
    wait_for(&w, has_events, want);
    deliver_all(&w, id, 2); /* too late: nothing changes */
    for (unsigned i = 0; i < 20; i++)
        turn(&w);
    assert_int_equal(w.events[ANGARIUM__EVENT_TYPE__EVENT_DELIVERED], 2);
    assert_sound(&w, 4);
    close_world(&w);
    remove_dir(&w);
}

/* The host that recipient 0 of a mail is claimed for, as the state says it. */
static void assert_claimed_for(struct world *w, const char *host)
{
    uint64_t id = send_one(w, "body", 1);
    Angarium__RecipientRecord *r;
    struct ask a = { .rv = 1 };

    a.refs[0] = (struct commit_ref){ .index = proto_id_index(id) };
    a.claim = (struct commit_claim){
        .refs = a.refs, .count = 1, .on_done = on_claimed, .host = span_cstr("mx.one.test")
    };
    assert_int_equal(commit_claim(w->commit, proto_id_shard(id), &a.claim), 0);
    wait_for(w, claim_is_answered, &a);
    assert_int_equal(a.rv, 0);
    assert_int_equal(
        queue_recipient_get(w->store, proto_id_shard(id), proto_id_index(id), 0, &r), 0);
    assert_int_equal(r->state, ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED);
    assert_true(span_eq(proto_span(r->claimed_host), span_cstr(host)));
    queue_recipient_free(&r);
}

static void a_claim_names_its_host_when_the_format_in_force_has_it(void **state)
{
    struct world w = { .leading = 0 };

    (void)state;
    make_dir(&w);
    open_world(&w, 1, 0);
    assert_claimed_for(&w, "mx.one.test");
    proto_format_set(PROTO_ADDED_CLAIM_HOSTS - 1);
    assert_claimed_for(&w, "");
    proto_format_set(PROTO_FORMAT_VERSION);
    assert_claimed_for(&w, "mx.one.test");
    assert_sound(&w, 1);
    close_world(&w);
    remove_dir(&w);
}

/* What a killed process leaves behind: 3 mails, of one the recipients are claimed. */
static void crash(const char *dir, uint64_t ids[3], int out)
{
    struct world w = { .leading = 0 };
    struct ask a;

    snprintf(w.dir, sizeof w.dir, "%s", dir);
    open_world(&w, 2, 0);
    for (unsigned i = 0; i < 3; i++)
        ids[i] = send_one(&w, "kept", 1);
    claim(&w, &a, ids[1], 1);
    CHECK(write(out, ids, 3 * sizeof *ids) == 3 * sizeof *ids);
    _exit(0);
}

static void after_a_crash_doubt_is_exact(void **state)
{
    struct world w = { .leading = 0 };
    uint64_t ids[3], doubts = 0;
    int pipes[2], status;
    pid_t child;

    (void)state;
    make_dir(&w);
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) crash(w.dir, ids, pipes[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(pipes[0], ids, sizeof ids), sizeof ids);
    open_world(&w, 2, 0);
    assert_int_equal(w.events[ANGARIUM__EVENT_TYPE__EVENT_ACCEPTED],
                     0); /* told in the earlier life */
    assert_int_equal(w.events[ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT], 1);
    for (unsigned i = 0; i < 3; i++) {
        Angarium__RecipientRecord *r = NULL;

        assert_int_equal(
            queue_recipient_get(w.store, proto_id_shard(ids[i]), proto_id_index(ids[i]), 0, &r), 0);
        assert_int_equal(r->state, ANGARIUM__RECIPIENT_STATE__RECIPIENT_WAITING);
        assert_int_equal(r->doubts, i == 1);
        doubts += r->doubts;
        queue_recipient_free(&r);
        assert_body(&w, proto_id_shard(ids[i]), proto_id_index(ids[i]), "kept");
    }
    assert_int_equal(doubts, 1);
    assert_sound(&w, 2);
    close_world(&w);
    close(pipes[0]);
    close(pipes[1]);
    remove_dir(&w);
}

static bool log_is_cut(struct world *w, void *arg)
{
    struct commit_shard_view v;

    commit_shard_see(w->commit, proto_id_shard(*(uint64_t *)arg), &v);
    return v.cut >= proto_id_index(*(uint64_t *)arg);
}

static void a_body_outlives_the_log(void **state)
{
    struct world w = { .leading = 0 };
    char big[20001];
    struct ask a;
    uint64_t id, other;

    (void)state;
    make_dir(&w);
    open_world(&w, 1, 100000); /* cut at 100 kB */
    id = send_one(&w, "the one that stays", 1);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    for (unsigned i = 0; i < TURNS_MAX && !log_is_cut(&w, &id); i++) {
        other = send_one(&w, big, 1);
        claim(&w, &a, other, 1);
        deliver_all(&w, other, 1);
    }
    assert_true(log_is_cut(&w, &id));
    assert_body(&w, proto_id_shard(id), proto_id_index(id), "the one that stays");
    close_world(&w);
    open_world(&w, 1, 100000); /* also after a restart */
    assert_body(&w, proto_id_shard(id), proto_id_index(id), "the one that stays");
    assert_sound(&w, 1);
    close_world(&w);
    remove_dir(&w);
}

/* The log's own first entry of a leadership is not shown to the queue: a cut that follows it leaves the
 * queue's state short of where the log begins, and the node would refuse to start (R7). */
static void an_idle_shard_is_cut_no_further_than_its_state(void **state)
{
    struct world w = { .leading = 0 };
    uint64_t id;

    (void)state;
    make_dir(&w);
    open_world(&w, 1, 0);
    id = send_one(&w, "kept", 1);
    close_world(&w);
    open_world(&w, 1, 1); /* every byte is too much */
    wait_for(&w, log_is_cut, &id);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned t = 0; t < 20; t++) /* the cut goes to the log */
            turn(&w);
        close_world(&w);
        open_world(&w, 1, 1);
        assert_body(&w, proto_id_shard(id), proto_id_index(id), "kept");
    }
    assert_sound(&w, 1);
    close_world(&w);
    remove_dir(&w);
}

static bool has_table(const char *dir, const char *name)
{
    char path[128];
    struct dirent *e;
    bool found = false;
    DIR *d;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    d = opendir(path);
    CHECK(d);
    while ((e = readdir(d)) != NULL)
        found = found || strstr(e->d_name, ".sst") != NULL;
    closedir(d);
    return found;
}

static bool has_tables(struct world *w, void *arg)
{
    (void)arg;
    return has_table(w->dir, "log/db") && has_table(w->dir, "state");
}

/* Nothing is full and nothing is cut: who starts again has less to read all the same, and has everything. */
static void what_is_in_memory_is_written_out_after_a_while(void **state)
{
    struct world w = { .rest_ms = 1 };
    struct queue_store *store;
    struct queue *queue;
    char big[20001], path[128];
    uint64_t id;

    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    make_dir(&w);
    open_world(&w, 1, 0);
    id = send_one(&w, "kept", 1);
    for (unsigned i = 0; i < 40; i++)
        send_one(&w, big, 1);
    wait_for(&w, has_tables, NULL);
    close_world(&w);
    snprintf(path, sizeof path, "%s/state", w.dir);
    assert_int_equal(queue_store_open(&store, path, NULL), 0);
    assert_int_equal(queue_open(&queue, store, 1, NULL), 0);
    assert_true(queue_applied(queue) >= proto_id_index(id));
    queue_close(&queue);
    queue_store_close(&store);
    open_world(&w, 1, 0);
    assert_body(&w, proto_id_shard(id), proto_id_index(id), "kept");
    assert_sound(&w, 1);
    close_world(&w);
    remove_dir(&w);
}

static bool has_room(struct world *w, void *arg)
{
    (void)w;
    return *(bool *)arg;
}

static void on_room(void *arg)
{
    *(bool *)arg = true;
}

static void send_chunks(struct world *w, struct commit_upload *u, unsigned count)
{
    bool room = false;

    commit_upload_on_room(u, on_room, &room);
    for (unsigned i = 0; i < count; i++) {
        struct blob *chunk = blob_copy(SPAN_LIT("0123456789abcdef"));
        int rv;

        while ((rv = commit_upload_chunk(u, &chunk)) == ERR_FULL) {
            room = false;
            wait_for(w, has_room, &room);
        }
        assert_int_equal(rv, 0);
    }
}

static uint64_t uploads_open(struct world *w)
{
    uint64_t n = 0;

    for (uint32_t i = 1; i <= commit_shard_count(w->commit); i++) {
        struct commit_shard_view v;

        commit_shard_see(w->commit, i, &v);
        n += v.counts.uploads;
    }
    return n;
}

static bool no_upload(struct world *w, void *arg)
{
    (void)arg;
    return uploads_open(w) == 0;
}

static void chunks_become_a_mail_or_are_forgotten(void **state)
{
    struct world w = { .leading = 0 };
    struct commit_upload *u;
    Angarium__MessageRecord *m = NULL;
    struct send s;
    uint64_t live;

    (void)state;
    make_dir(&w);
    open_world(&w, 2, 0);
    assert_int_equal(commit_upload_open(w.commit, w.loops[0], &u), 0);
    send_chunks(&w, u, 5);
    assert_int_equal(begin_send(&w, &s, NULL, 80, 1, u), 0);
    wait_for(&w, is_answered, &s);
    assert_int_equal(s.rv, 0);
    assert_int_equal(queue_message_get(w.store, proto_id_shard(s.id), proto_id_index(s.id), &m), 0);
    assert_int_equal(m->n_chunks, 5);
    assert_body(&w, proto_id_shard(s.id), m->chunks[4], "0123456789abcdef");
    queue_message_free(&m);
    assert_int_equal(uploads_open(&w), 0);
    /* a client that vanishes */
    assert_int_equal(commit_upload_open(w.commit, w.loops[0], &u), 0);
    send_chunks(&w, u, 3);
    commit_upload_abort(&u);
    wait_for(&w, no_upload, NULL);
    for (unsigned i = 0; i < 20; i++)
        turn(&w);
    assert_int_equal(uploads_open(&w), 0);
    assert_int_equal(queue_live_bodies(w.store, 2, 1, UINT64_MAX, &live, 1) +
                         queue_live_bodies(w.store, 1, 1, UINT64_MAX, &live, 1),
                     1); /* the first mail's shard still has live bodies, the other none */
    assert_sound(&w, 2);
    close_world(&w);
    remove_dir(&w);
}

struct order {
    struct commit_order order;
    int rv;
};

static void on_ordered(struct commit_order *o, int rv)
{
    CONTAINER_OF(o, struct order, order)->rv = rv;
}

static bool is_ordered(struct world *w, void *arg)
{
    (void)w;
    return ((struct order *)arg)->rv != 1;
}

static int cancel(struct world *w, uint64_t id)
{
    Angarium__Cancel what = ANGARIUM__CANCEL__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    struct order o = { .rv = 1 };

    what.index = proto_id_index(id);
    what.time_ms = loop_wall_ms(w->loops[0]);
    command.kind_case = ANGARIUM__COMMAND__KIND_CANCEL;
    command.cancel = &what;
    o.order = (struct commit_order){ .command = &command,
                                     .shard = proto_id_shard(id),
                                     .on_done = on_ordered };
    if (commit_order(w->commit, w->loops[0], &o.order) != 0) return ERR_NOT_FOUND;
    wait_for(w, is_ordered, &o);
    return o.rv;
}

static void orders_reach_the_shard_of_any_loop(void **state)
{
    struct world w = { .leading = 0 };

    (void)state;
    make_dir(&w);
    open_world(&w, 4, 0);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t id = send_one(&w, "x", 2);

        assert_int_equal(cancel(&w, id), 0);
        assert_int_not_equal(cancel(&w, id), 0); /* nothing left to cancel */
    }
    assert_int_equal(cancel(&w, proto_id(2, 4711)), ERR_NOT_FOUND);
    assert_int_equal(cancel(&w, proto_id(99, 1)), ERR_NOT_FOUND);
    assert_int_equal(w.events[ANGARIUM__EVENT_TYPE__EVENT_CANCELLED], 8);
    assert_sound(&w, 4);
    close_world(&w);
    remove_dir(&w);
}

/* More than one slice of them; whatever the pool is doing just then, who is gone is forgotten, who is not is kept. */
static void bodies_that_die_while_they_are_moved_are_forgotten(void **state)
{
    enum { MAILS = 300 };
    struct world w = { .leading = 0 };
    uint64_t ids[MAILS];
    unsigned gone = 0;

    (void)state;
    make_dir(&w);
    open_world(&w, 1, 30000);
    for (unsigned i = 0; i < MAILS; i++)
        ids[i] = send_one(&w, "one of many", 1);
    for (unsigned i = 0; i < TURNS_MAX && !log_is_cut(&w, &ids[MAILS - 1]); i++) {
        if (gone < MAILS / 3)
            assert_int_equal(cancel(&w, ids[3 * gone++]), 0);
        else
            send_one(&w, "one more", 1);
    }
    assert_true(log_is_cut(&w, &ids[MAILS - 1]));
    for (unsigned i = 0; i < MAILS; i++) {
        uint64_t entry = proto_id_index(ids[i]);
        struct blob *body = NULL;

        if (i % 3 != 0 || i / 3 >= gone)
            assert_body(&w, 1, entry, "one of many");
        else
            assert_int_equal(queue_body_get(w.store, 1, entry, &body), ERR_NOT_FOUND);
    }
    assert_sound(&w, 1);
    close_world(&w);
    remove_dir(&w);
}

static void at_the_end_and_at_a_reserve_mail_is_refused(void **state)
{
    struct world w = { .leading = 0 };
    struct send s;

    (void)state;
    make_dir(&w);
    open_world(&w, 1, 0);
    assert_int_equal(commit_may_take(w.commit, 101ull << 30), ERR_FULL);
    assert_int_equal(commit_may_take(w.commit, 1000), 0);
    commit_set_limits(w.commit, &(struct commit_limits){ .queue_bytes_max = 999 });
    assert_int_equal(commit_may_take(w.commit, 1000), ERR_FULL);
    assert_int_equal(commit_may_take(w.commit, 999), 0);
    commit_set_limits(w.commit, &(struct commit_limits){ 0 });
    assert_int_equal(commit_may_take(w.commit, 1000), 0);
    commit_drain(w.commit);
    assert_int_equal(begin_send(&w, &s, "x", 1, 1, NULL), ERR_CLOSED);
    assert_non_null(s.mail.body); /* still ours */
    blob_unref(&s.mail.body);
    close_world(&w);
    remove_dir(&w);
}

static bool nothing_is_kept(struct world *w, void *arg)
{
    struct commit_shard_view v;

    (void)arg;
    commit_shard_see(w->commit, 1, &v);
    return v.counts.kept_messages == 0;
}

static void what_is_over_is_purged_without_pause(void **state)
{
    struct world w = { .leading = 0 };
    unsigned want[2] = { ANGARIUM__EVENT_TYPE__EVENT_DELIVERED,
                         350 }; /* more than one purge takes */

    (void)state;
    make_dir(&w);
    w.retention_ms = 1;
    open_world(&w, 1, 0);
    for (unsigned i = 0; i < 350; i++) {
        struct ask a;
        uint64_t id = send_one(&w, "x", 1);

        claim(&w, &a, id, 1);
        deliver_all(&w, id, 1);
    }
    wait_for(&w, has_events, want);
    wait_for(&w, nothing_is_kept, NULL);
    assert_sound(&w, 1);
    close_world(&w);
    remove_dir(&w);
}

static void under_the_disk_reserve_mail_is_refused_and_the_node_is_not_ready(void **state)
{
    struct world w = { .disk_reserve_bytes = 1ull << 62 }; /* no disk has so much */
    struct send s;
    char why[200];

    (void)state;
    make_dir(&w);
    open_world(&w, 1, 0);
    assert_int_equal(commit_may_take(w.commit, 1), ERR_FULL);
    assert_int_equal(begin_send(&w, &s, "x", 1, 1, NULL), ERR_FULL);
    blob_unref(&s.mail.body); /* still ours */
    assert_false(commit_is_ready(w.commit, why, sizeof why));
    assert_non_null(strstr(why, "reserve"));
    close_world(&w);
    remove_dir(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            after_a_crash_doubt_is_exact), /* forks: first, while there are no threads */
        cmocka_unit_test(a_mail_is_accepted_claimed_and_delivered_once),
        cmocka_unit_test(a_claim_names_its_host_when_the_format_in_force_has_it),
        cmocka_unit_test(a_body_outlives_the_log),
        cmocka_unit_test(an_idle_shard_is_cut_no_further_than_its_state),
        cmocka_unit_test(what_is_in_memory_is_written_out_after_a_while),
        cmocka_unit_test(chunks_become_a_mail_or_are_forgotten),
        cmocka_unit_test(orders_reach_the_shard_of_any_loop),
        cmocka_unit_test(what_is_over_is_purged_without_pause),
        cmocka_unit_test(under_the_disk_reserve_mail_is_refused_and_the_node_is_not_ready),
        cmocka_unit_test(bodies_that_die_while_they_are_moved_are_forgotten),
        cmocka_unit_test(at_the_end_and_at_a_reserve_mail_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
