/* upload - chunks of a body on their way into a shard's log, while the client is still sending: a shard's that is led here, or
 * one of another node's (PEER_CHUNK).
 *
 * Rules: at most COMMIT_UPLOAD_WINDOW chunks in flight, so that a 50 MiB mail costs about 1 MiB here. Chunks
 *   are proposed in order and commit in order. An upload that is aborted, or whose client vanished, is
 *   purged from the queue by name; one that a crash left behind is purged by age.
 *   A shard that is about to be handed over gets no new ones where there is another way, and waits for those that it has:
 *   their chunks are in its log, they cannot go elsewhere.
 * A chunk belongs to the shard's loop while it is away; the upload itself lives on the asker's loop.
 */
#include "node/commit/upload.h"

#include "node/commit/forward.h"

struct chunk {
    struct loop_letter letter;
    struct command cmd;    /* to a shard here */
    struct peer_call call; /* or to a node */
    struct commit_upload *upload;
    uint32_t number;
    int rv;
    uint64_t entry;
};

struct commit_upload {
    struct commit *commit;
    struct shard *shard; /* NULL: `to` chooses it */
    uint64_t to;         /* a node; 0: here */
    struct loop *from;
    uint8_t name[WORDS_UPLOAD_SIZE];
    uint64_t *entries; /* by chunk number; 0: not committed yet */
    uint32_t sent, committed, cap;
    unsigned in_flight;
    bool dropped; /* aborted: goes away with its last chunk */
    bool room_wanted;
    int error;
    void (*on_room)(void *arg);
    void *on_room_arg;
    void (*on_chunk)(void *arg, int rv);
    void *on_chunk_arg;
    void (*on_complete)(void *arg, int rv);
    void *on_complete_arg;
    struct loop_letter complete_letter;
};

static struct commit_upload *upload_new(struct commit *c, struct loop *l, struct shard *s,
                                        uint64_t to)
{
    struct commit_upload *u = check_calloc(1, sizeof *u);
    struct buf name;

    u->commit = c;
    u->shard = s;
    u->to = to;
    u->from = l;
    buf_init(&name, sizeof u->name);
    buf_add_u64be(&name, c->o.node);
    buf_add_u64be(&name, c->started_ms);
    buf_add_u64be(&name, atomic_fetch_add(&c->upload_counter, 1));
    memcpy(u->name, name.p, sizeof u->name);
    buf_deinit(&name);
    return u;
}

/* ---- the shard */

void upload_hold(struct shard *s)
{
    atomic_fetch_add(&s->uploads_shared, 1);
}

void upload_release(struct shard *s)
{
    CHECK(atomic_load(&s->uploads_shared) > 0);
    if (atomic_fetch_sub(&s->uploads_shared, 1) == 1 && atomic_load(&s->hands_over_shared))
        loop_wake(s->loop);
}

/* One that stays here, held; NULL: none. A hand-over that begins at the same moment is seen here, or sees the hold. */
static struct shard *hold_one_that_stays(struct commit *c, struct loop *l, bool anywhere)
{
    unsigned count = commit_shard_count(c);

    for (unsigned i = 0; i < 2 * count; i++) {
        struct shard *s = commit_choose_shard(c, l, anywhere || i >= count);

        if (!s) return NULL;
        upload_hold(s);
        if (!atomic_load(&s->hands_over_shared)) return s;
        upload_release(s);
    }
    return NULL;
}

static struct shard *hold_any(struct commit *c, struct loop *l, bool anywhere)
{
    struct shard *s = commit_choose_shard(c, l, anywhere);

    if (s) upload_hold(s);
    return s;
}

/* ---- the upload */

struct commit_upload *commit_upload_open_to(struct commit *c, struct loop *l, uint64_t node)
{
    return upload_new(c, l, NULL, node);
}

int commit_upload_open_here(struct commit *c, struct loop *l, struct commit_upload **out)
{
    struct shard *s = hold_one_that_stays(c, l, true);

    if (!s) s = hold_any(c, l, true);
    if (!s) return ERR_NOT_LEADER;
    *out = upload_new(c, l, s, 0);
    return 0;
}

int commit_upload_open(struct commit *c, struct loop *l, struct commit_upload **out)
{
    int rv = commit_takes_here(c, 0);
    struct shard *s = rv == 0 ? hold_one_that_stays(c, l, false) : NULL;
    uint64_t to = s || rv == ERR_CLOSED ? 0 : leaders_choose(c, NULL, 0);

    if (!s && to == 0 && rv == 0) s = hold_any(c, l, false);
    if (!s && to == 0) return rv != 0 ? rv : ERR_NOT_LEADER;
    *out = upload_new(c, l, s, to);
    return 0;
}

struct shard *commit_upload_shard(const struct commit_upload *u)
{
    return u->shard;
}

uint64_t commit_upload_to(const struct commit_upload *u)
{
    return u->to;
}

struct span commit_upload_own_name(const struct commit_upload *u)
{
    return span_of(u->name, sizeof u->name);
}

uint32_t commit_upload_sent(const struct commit_upload *u)
{
    return u->sent;
}

static void upload_free(struct commit_upload *u)
{
    if (u->shard) upload_release(u->shard);
    free(u->entries);
    free(u);
}

static void tell_complete(struct commit_upload *u)
{
    void (*on_complete)(void *arg, int rv) = u->on_complete;

    u->on_complete = NULL;
    on_complete(u->on_complete_arg, u->error);
}

static void chunk_back(struct chunk *k)
{
    struct commit_upload *u = k->upload;

    u->in_flight--;
    if (k->rv == 0) {
        u->entries[k->number] = k->entry;
        u->committed++;
    } else if (u->error == 0) {
        u->error = k->rv;
    }
    if (u->shard) command_deinit(&k->cmd);
    if (u->on_chunk && !u->dropped) u->on_chunk(u->on_chunk_arg, k->rv);
    free(k);
    if (u->dropped) {
        if (u->in_flight == 0) upload_free(u);
        return;
    }
    if (u->on_complete && u->in_flight == 0) {
        tell_complete(u);
    } else if (u->room_wanted && u->on_room) {
        u->room_wanted = false;
        u->on_room(u->on_room_arg);
    }
}

static void on_chunk_back(struct loop_letter *letter)
{
    chunk_back(CONTAINER_OF(letter, struct chunk, letter));
}

static void send_back(struct chunk *k, int rv, uint64_t entry)
{
    k->rv = rv;
    k->entry = entry;
    k->letter.on_arrive = on_chunk_back;
    loop_post(k->upload->from, &k->letter);
}

static void on_result(struct command *cmd, int rv, uint64_t entry)
{
    struct chunk *k = CONTAINER_OF(cmd, struct chunk, cmd);

    if (rv == 0) rv = command_refusal(cmd->shard, entry);
    send_back(k, rv, entry);
}

static void propose(struct chunk *k)
{
    int rv = command_offer(&k->cmd);

    if (rv != 0) send_back(k, rv, 0);
}

static void on_chunk_arrives(struct loop_letter *letter)
{
    propose(CONTAINER_OF(letter, struct chunk, letter));
}

static void propose_chunk(struct chunk *k, struct blob *body)
{
    struct commit_upload *u = k->upload;
    Angarium__Chunk what = ANGARIUM__CHUNK__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;

    command_init(&k->cmd, u->shard);
    k->cmd.on_result = on_result;
    what.time_ms = loop_wall_ms(u->from);
    what.upload = proto_bytes(commit_upload_own_name(u));
    what.number = k->number;
    command.kind_case = ANGARIUM__COMMAND__KIND_CHUNK;
    command.chunk = &what;
    CHECK(proto_command_pack(&command, &k->cmd.head) == 0);
    k->cmd.body = body;
    k->letter.on_arrive = on_chunk_arrives;
    if (u->from == u->shard->loop)
        propose(k);
    else
        loop_post(u->shard->loop, &k->letter);
}

/* ---- to another node */

static void on_chunk_answered(struct peer_call *call, int rv, struct span answer, struct span body)
{
    struct chunk *k = CONTAINER_OF(call, struct chunk, call);

    (void)answer, (void)body;
    k->rv = forward_error(call, rv);
    if (k->rv == ERR_UNKNOWN) k->rv = ERR_NOT_LEADER; /* of the mail itself nothing was said yet */
    chunk_back(k);
}

static int call_with(struct commit_upload *u, struct peer_call *call, const Angarium__PeerChunk *k,
                     struct span body)
{
    struct buf request;
    int rv;

    buf_init(&request, WORDS_SMALL_MAX);
    proto_pack(&k->base, &request);
    call->to = u->to;
    call->kind = PEER_CHUNK;
    call->lane = WIRE_BULK;
    call->within_ms = FORWARD_WITHIN_MS;
    call->request = buf_span(&request);
    call->body = body;
    rv = peer_call(u->commit->o.peers, u->from, call);
    buf_deinit(&request);
    return rv;
}

static int send_chunk(struct chunk *k, struct span body)
{
    Angarium__PeerChunk what = ANGARIUM__PEER_CHUNK__INIT;

    what.upload = proto_bytes(commit_upload_own_name(k->upload));
    what.number = k->number;
    k->call.on_done = on_chunk_answered;
    return call_with(k->upload, &k->call, &what, body);
}

static void on_abandoned(struct peer_call *call, int rv, struct span answer, struct span body)
{
    (void)rv, (void)answer, (void)body; /* else it is forgotten there with the lane, or in time */
    free(call);
}

static void abandon_there(struct commit_upload *u)
{
    Angarium__PeerChunk what = ANGARIUM__PEER_CHUNK__INIT;
    struct peer_call *call = check_calloc(1, sizeof *call);

    what.upload = proto_bytes(commit_upload_own_name(u));
    what.abandon = true;
    call->on_done = on_abandoned;
    if (call_with(u, call, &what, span_of(NULL, 0)) != 0) free(call);
}

/* ---- both */

static void make_room(struct commit_upload *u)
{
    if (u->sent < u->cap) return;
    u->cap = u->cap ? 2 * u->cap : 8;
    u->entries = check_realloc(u->entries, u->cap * sizeof *u->entries);
}

int commit_upload_chunk(struct commit_upload *u, struct blob **chunk)
{
    struct chunk *k;
    int rv;

    CHECK((*chunk)->n > 0 && (*chunk)->n <= PROTO_CHUNK_SIZE_MAX);
    if (u->error != 0) return u->error == ERR_FULL ? ERR_BUSY : u->error;
    if (u->in_flight == COMMIT_UPLOAD_WINDOW) {
        u->room_wanted = true;
        return ERR_FULL;
    }
    if (u->sent == PROTO_CHUNKS_MAX) return ERR_TOO_LONG;
    make_room(u);
    k = check_calloc(1, sizeof *k);
    k->upload = u;
    k->number = u->sent;
    rv = u->shard ? 0 : send_chunk(k, blob_span(*chunk));
    if (rv != 0) {
        free(k);
        u->error = rv == ERR_FULL ? ERR_FULL : ERR_NOT_LEADER;
        return rv == ERR_FULL ? ERR_BUSY : ERR_NOT_LEADER;
    }
    u->entries[u->sent++] = 0;
    u->in_flight++;
    if (u->shard)
        propose_chunk(k, *chunk);
    else
        blob_unref(chunk);
    *chunk = NULL;
    return 0;
}

void commit_upload_on_chunk(struct commit_upload *u, void (*on_chunk)(void *arg, int rv), void *arg)
{
    u->on_chunk = on_chunk;
    u->on_chunk_arg = arg;
}

void commit_upload_on_room(struct commit_upload *u, void (*on_room)(void *arg), void *arg)
{
    u->on_room = on_room;
    u->on_room_arg = arg;
}

static void on_complete_letter(struct loop_letter *letter)
{
    tell_complete(CONTAINER_OF(letter, struct commit_upload, complete_letter));
}

void commit_upload_on_complete(struct commit_upload *u, void (*on_complete)(void *arg, int rv),
                               void *arg)
{
    u->on_room = NULL;
    u->on_complete = on_complete;
    u->on_complete_arg = arg;
    if (u->in_flight > 0) return;
    u->complete_letter.on_arrive = on_complete_letter;
    loop_post(u->from, &u->complete_letter);
}

void commit_upload_name(const struct commit_upload *u, Angarium__Accept *accept)
{
    accept->upload = proto_bytes(span_of(u->name, sizeof u->name));
    accept->chunks = u->entries;
    accept->n_chunks = u->sent;
}

void commit_upload_unname(Angarium__Accept *accept)
{
    accept->upload = (ProtobufCBinaryData){ 0 };
    accept->chunks = NULL;
    accept->n_chunks = 0;
}

void commit_upload_done(struct commit_upload **u)
{
    CHECK((*u)->in_flight == 0 && !(*u)->on_complete);
    upload_free(*u);
    *u = NULL;
}

/* The queue forgets the chunks by the upload's name; behind those that are still on their way. */
struct abandon {
    struct loop_letter letter;
    struct shard *shard;
    uint8_t name[WORDS_UPLOAD_SIZE];
};

static void on_abandon_arrives(struct loop_letter *letter)
{
    struct abandon *a = CONTAINER_OF(letter, struct abandon, letter);

    house_purge_upload(a->shard, span_of(a->name, sizeof a->name));
    free(a);
}

static void abandon_here(struct commit_upload *u)
{
    struct abandon *a = check_calloc(1, sizeof *a);

    a->shard = u->shard;
    memcpy(a->name, u->name, sizeof a->name);
    a->letter.on_arrive = on_abandon_arrives;
    loop_post(u->shard->loop, &a->letter);
}

void commit_upload_abort(struct commit_upload **pu)
{
    struct commit_upload *u = *pu;

    if (!u) return;
    *pu = NULL;
    if (u->sent > 0 && u->shard)
        abandon_here(u);
    else if (u->sent > 0)
        abandon_there(u);
    u->on_complete = NULL;
    u->dropped = true;
    if (u->in_flight == 0) upload_free(u);
}
