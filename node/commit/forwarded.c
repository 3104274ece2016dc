/* forwarded - mail of other nodes that is committed here, and their orders: answered when they have committed and applied.
 *
 * Way:    PEER_CHUNK 0 opens an upload, the others follow in order, each answered when it has committed -> PEER_MAIL -> commit_mail
 *         -> its answer. All on loop 0; the shards are of any loop.
 * Bounds: FORWARD_UPLOADS_MAX uploads; each COMMIT_UPLOAD_WINDOW chunks; mails and orders are bounded by peer's asks.
 * An upload ends with its mail, when its node gives it up or goes, or when nothing came for FORWARD_IDLE_MS.
 */
#include <uthash.h>

#include "node/commit/forward.h"
#include "node/commit/upload.h"

#define LOOK_EVERY_MS 5000

struct incoming_upload {
    uint8_t name[WORDS_UPLOAD_SIZE];
    struct forwarded *forwarded;
    uint64_t from, generation, touched_ms;
    struct commit_upload *upload;
    struct peer_ask *asks[COMMIT_UPLOAD_WINDOW]; /* chunks on their way, the oldest first */
    unsigned ask_count;
    UT_hash_handle hh;
};
struct taken { /* a mail */
    struct commit_mail mail;
    struct peer_ask *ask;
    struct list link;
};
struct ordered {
    struct commit_order order;
    struct peer_ask *ask;
    struct list link;
};
struct forwarded {
    struct commit *commit;
    struct loop *loop;
    struct peer_watch watch;
    struct loop_timer timer;
    struct incoming_upload *uploads; /* by name */
    struct list mails, orders;
};

static void answer(struct peer_ask *a, int rv)
{
    peer_answer(a, rv, span_of(NULL, 0), span_of(NULL, 0));
}

/* ---- uploads */

static struct incoming_upload *find(struct forwarded *s, const struct peer_ask *a, struct span name)
{
    struct incoming_upload *u;

    CHECK(name.n == WORDS_UPLOAD_SIZE); /* words.c */
    HASH_FIND(hh, s->uploads, name.p, WORDS_UPLOAD_SIZE, u);
    return u && u->from == a->from && u->generation == a->generation ? u : NULL;
}

/* Chunks that are on their way are answered: they may commit, but no mail will have them. */
static void drop(struct forwarded *s, struct incoming_upload *u)
{
    for (unsigned i = 0; i < u->ask_count; i++)
        answer(u->asks[i], ERR_NOT_FOUND);
    HASH_DELETE(hh, s->uploads, u);
    commit_upload_abort(&u->upload);
    free(u);
}

static void on_chunk_back(void *arg, int rv)
{
    struct incoming_upload *u = arg;
    struct peer_ask *a = u->asks[0];

    CHECK(u->ask_count > 0);
    u->ask_count--;
    memmove(u->asks, u->asks + 1, u->ask_count * sizeof u->asks[0]);
    answer(a, rv);
}

static int open_upload(struct forwarded *s, const struct peer_ask *a, struct span name,
                       struct incoming_upload **out)
{
    struct incoming_upload *u;
    int rv = commit_takes_here(s->commit, 0);

    HASH_FIND(hh, s->uploads, name.p, WORDS_UPLOAD_SIZE, u);
    if (u) return ERR_EXISTS;
    if (rv == 0 && HASH_COUNT(s->uploads) >= FORWARD_UPLOADS_MAX) rv = ERR_FULL;
    if (rv != 0) return rv;
    u = check_calloc(1, sizeof *u);
    u->forwarded = s;
    u->from = a->from;
    u->generation = a->generation;
    memcpy(u->name, name.p, name.n);
    rv = commit_upload_open_here(s->commit, s->loop, &u->upload);
    if (rv != 0) {
        free(u);
        return rv;
    }
    commit_upload_on_chunk(u->upload, on_chunk_back, u);
    HASH_ADD(hh, s->uploads, name, WORDS_UPLOAD_SIZE, u);
    *out = u;
    return 0;
}

static int add_chunk(struct incoming_upload *u, struct peer_ask *a, uint32_t number)
{
    struct blob *chunk;
    int rv;

    if (a->body.n == 0 || a->body.n > PROTO_CHUNK_SIZE_MAX) return ERR_CORRUPT;
    if (number != commit_upload_sent(u->upload)) return ERR_CORRUPT;
    if (u->ask_count == COMMIT_UPLOAD_WINDOW) return ERR_FULL;
    chunk = blob_copy(a->body);
    u->touched_ms = loop_mono_ms(u->forwarded->loop);
    rv = commit_upload_chunk(u->upload, &chunk);
    blob_unref(&chunk);
    if (rv == 0) u->asks[u->ask_count++] = a;
    return rv == ERR_BUSY ? ERR_FULL : rv;
}

static int take_chunk(struct forwarded *s, struct peer_ask *a, const Angarium__PeerChunk *k,
                      bool *kept_out)
{
    struct incoming_upload *u = find(s, a, proto_span(k->upload));
    int rv = 0;

    if (k->abandon) {
        if (u) drop(s, u);
        return 0;
    }
    if (!u && k->number > 0) return ERR_NOT_FOUND;
    if (!u) rv = open_upload(s, a, proto_span(k->upload), &u);
    if (rv == 0) rv = add_chunk(u, a, k->number);
    *kept_out = rv == 0;
    return rv;
}

static void on_chunk(void *arg, struct peer_ask *a)
{
    struct forwarded *s = arg;
    Angarium__PeerChunk *k;
    struct arena arena;
    bool is_kept = false;
    int rv;

    arena_init(&arena, WORDS_ARENA_MAX);
    rv = words_chunk(a->request, &arena, &k);
    if (rv == 0) rv = take_chunk(s, a, k, &is_kept);
    arena_deinit(&arena);
    if (!is_kept) answer(a, rv);
}

static bool is_over(const struct forwarded *s, const struct incoming_upload *u,
                    const struct peer_link *up, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (up[i].node == u->from && up[i].generation == u->generation)
            return loop_mono_ms(s->loop) - u->touched_ms > FORWARD_IDLE_MS;
    return true;
}

static void look(struct forwarded *s)
{
    struct peer_link up[WIRE_PEERS_MAX];
    unsigned count = peers_up(s->commit->o.peers, up);
    struct incoming_upload *u, *next;

    HASH_ITER(hh, s->uploads, u, next)
    if (is_over(s, u, up, count)) drop(s, u);
}

static void on_timer(struct loop_timer *t)
{
    look(CONTAINER_OF(t, struct forwarded, timer));
    loop_timer_start(t, LOOK_EVERY_MS);
}

static void on_link(struct peer_watch *w)
{
    look(CONTAINER_OF(w, struct forwarded, watch));
}

/* ---- mails */

static void on_committed(struct commit_mail *m, int rv, uint64_t id)
{
    struct taken *t = CONTAINER_OF(m, struct taken, mail);
    Angarium__PeerMailAnswer said = ANGARIUM__PEER_MAIL_ANSWER__INIT;
    struct buf bytes;

    buf_init(&bytes, WORDS_SMALL_MAX);
    said.id = id;
    if (rv == 0) {
        metric_add(M_MAILS_TAKEN, 1);
        proto_pack(&said.base, &bytes);
    }
    peer_answer(t->ask, rv, buf_span(&bytes), span_of(NULL, 0));
    buf_deinit(&bytes);
    list_remove(&t->link);
    free(t);
}

/* The mail has its body in it, or its upload is complete. */
static int find_body(struct forwarded *s, struct peer_ask *a, const Angarium__PeerMail *m,
                     struct commit_mail *mail)
{
    struct incoming_upload *u;

    if (m->upload.len == 0) {
        if (a->body.n > COMMIT_INLINE_SIZE_MAX) return ERR_CORRUPT;
        mail->body = blob_copy(a->body);
        return 0;
    }
    u = find(s, a, proto_span(m->upload));
    if (!u) return ERR_NOT_FOUND;
    if (u->ask_count > 0 || a->body.n > 0) return ERR_CORRUPT;
    mail->upload = u->upload;
    u->upload = NULL;
    drop(s, u);
    return 0;
}

static int take_mail(struct forwarded *s, struct peer_ask *a, const Angarium__PeerMail *m,
                     Angarium__Accept *accept)
{
    struct taken *t = check_calloc(1, sizeof *t);
    const uint64_t now_ms = loop_wall_ms(s->loop);
    int rv;

    t->ask = a;
    list_init(&t->link);
    if (accept->time_ms > now_ms)
        accept->time_ms = now_ms; /* its clock is ahead: due at once all the same */
    accept->upload = (ProtobufCBinaryData){ 0 };
    t->mail = (struct commit_mail){ .accept = accept, .only_here = true, .on_done = on_committed };
    rv = find_body(s, a, m, &t->mail);
    if (rv == 0) rv = commit_mail(s->commit, s->loop, &t->mail);
    if (rv == 0) {
        list_add(&s->mails, &t->link);
        return 0;
    }
    blob_unref(&t->mail.body);
    commit_upload_abort(&t->mail.upload);
    free(t);
    return rv;
}

static void on_mail(void *arg, struct peer_ask *a)
{
    struct forwarded *s = arg;
    Angarium__Command *command;
    Angarium__PeerMail *m;
    struct arena arena;
    int rv;

    arena_init(&arena, WORDS_ARENA_MAX);
    rv = words_mail(a->request, &arena, &m, &command);
    if (rv == 0) rv = take_mail(s, a, m, command->accept);
    arena_deinit(&arena);
    if (rv != 0) answer(a, rv);
}

/* ---- orders */

static void on_ordered(struct commit_order *order, int rv)
{
    struct ordered *o = CONTAINER_OF(order, struct ordered, order);

    answer(o->ask, rv);
    list_remove(&o->link);
    free(o);
}

static int take_order(struct forwarded *s, struct peer_ask *a, uint32_t shard,
                      const Angarium__Command *command)
{
    struct ordered *o = check_calloc(1, sizeof *o);
    int rv;

    o->ask = a;
    list_init(&o->link);
    o->order = (struct commit_order){
        .command = command, .shard = shard, .only_here = true, .on_done = on_ordered
    };
    rv = commit_order(s->commit, s->loop, &o->order);
    if (rv != 0)
        free(o);
    else
        list_add(&s->orders, &o->link);
    return rv;
}

static void on_order(void *arg, struct peer_ask *a)
{
    struct forwarded *s = arg;
    Angarium__Command *command;
    Angarium__PeerOrder *o;
    struct arena arena;
    int rv;

    arena_init(&arena, WORDS_ARENA_MAX);
    rv = words_order(a->request, &arena, &o, &command);
    if (rv == 0) rv = take_order(s, a, o->shard, command);
    arena_deinit(&arena);
    if (rv != 0) answer(a, rv);
}

/* ---- opening */

void forwarded_open(struct commit *c)
{
    struct peers *p = c->o.peers;
    struct forwarded *s;

    if (!p) return;
    s = check_calloc(1, sizeof *s);
    s->commit = c;
    s->loop = c->o.loops[0];
    list_init(&s->mails);
    list_init(&s->orders);
    c->forwarded = s;
    peer_serve(p, PEER_CHUNK, s->loop, on_chunk, s);
    peer_serve(p, PEER_MAIL, s->loop, on_mail, s);
    peer_serve(p, PEER_ORDER, s->loop, on_order, s);
    s->watch = (struct peer_watch){ .loop = s->loop, .on_change = on_link };
    peers_watch(p, &s->watch);
    loop_timer_init(&s->timer, s->loop, on_timer);
    loop_timer_start(&s->timer, LOOK_EVERY_MS);
}

/* The peers may be gone: nobody is answered any more. */
void forwarded_close(struct commit *c)
{
    struct forwarded *s = c->forwarded;
    struct incoming_upload *u, *next;

    if (!s) return;
    c->forwarded = NULL;
    loop_timer_stop(&s->timer);
    HASH_ITER(hh, s->uploads, u, next)
    {
        u->ask_count = 0;
        drop(s, u);
    }
    for (struct list *it; (it = list_take_first(&s->mails)) != NULL;) {
        struct taken *t = CONTAINER_OF(it, struct taken, link);

        commit_mail_forget(&t->mail);
        free(t);
    }
    for (struct list *it; (it = list_take_first(&s->orders)) != NULL;) {
        struct ordered *o = CONTAINER_OF(it, struct ordered, link);

        commit_order_forget(&o->order);
        free(o);
    }
    free(s);
}
