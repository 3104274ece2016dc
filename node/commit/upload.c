/* upload - chunks of a body on their way into a shard's log, while the client is still sending.
 *
 * Rules: at most COMMIT_UPLOAD_WINDOW chunks in flight, so that a 50 MiB mail costs about 1 MiB here. Chunks
 *   are proposed in order and commit in order. An upload that is aborted, or whose client vanished, is
 *   purged from the queue by name; one that a crash left behind is purged by age.
 * A chunk belongs to the shard's loop while it is away; the upload itself lives on the asker's loop.
 */
#include "node/commit/upload.h"

struct chunk {
    struct loop_letter letter;
    struct command cmd;
    struct commit_upload *upload;
    uint32_t number;
    int rv;
    uint64_t entry;
};

struct commit_upload {
    struct commit *commit;
    struct shard *shard;
    struct loop *from;
    uint8_t name[24];
    uint64_t *entries; /* by chunk number; 0: not committed yet */
    uint32_t sent, committed, cap;
    unsigned in_flight;
    bool dropped; /* aborted: goes away with its last chunk */
    bool room_wanted;
    int error;
    void (*on_room)(void *arg);
    void *on_room_arg;
    void (*on_complete)(void *arg, int rv);
    void *on_complete_arg;
    struct loop_letter complete_letter;
};

int commit_upload_open(struct commit *c, struct loop *l, struct commit_upload **out)
{
    struct shard *s = commit_choose_shard(c, l);
    struct commit_upload *u;
    struct buf name;

    if (!s) return ERR_NOT_LEADER;
    u = check_calloc(1, sizeof *u);
    u->commit = c;
    u->shard = s;
    u->from = l;
    buf_init(&name, sizeof u->name);
    buf_add_u64be(&name, c->o.node);
    buf_add_u64be(&name, c->started_ms);
    buf_add_u64be(&name, atomic_fetch_add(&c->upload_counter, 1));
    memcpy(u->name, name.p, sizeof u->name);
    buf_deinit(&name);
    *out = u;
    return 0;
}

struct shard *commit_upload_shard(const struct commit_upload *u)
{
    return u->shard;
}

static void upload_free(struct commit_upload *u)
{
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
    command_deinit(&k->cmd);
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
    int rv = k->cmd.shard->leads ? command_propose(&k->cmd) : ERR_NOT_LEADER;

    if (rv != 0) send_back(k, rv, 0);
}

static void on_chunk_arrives(struct loop_letter *letter)
{
    propose(CONTAINER_OF(letter, struct chunk, letter));
}

int commit_upload_chunk(struct commit_upload *u, struct blob **chunk)
{
    Angarium__Chunk what = ANGARIUM__CHUNK__INIT;
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    struct chunk *k;

    CHECK((*chunk)->n > 0 && (*chunk)->n <= PROTO_CHUNK_SIZE_MAX);
    if (u->error != 0) return u->error;
    if (u->in_flight == COMMIT_UPLOAD_WINDOW) {
        u->room_wanted = true;
        return ERR_FULL;
    }
    if (u->sent == PROTO_CHUNKS_MAX) return ERR_TOO_LONG;
    if (u->sent == u->cap) {
        u->cap = u->cap ? 2 * u->cap : 8;
        u->entries = check_realloc(u->entries, u->cap * sizeof *u->entries);
    }
    k = check_calloc(1, sizeof *k);
    command_init(&k->cmd, u->shard);
    k->cmd.on_result = on_result;
    k->upload = u;
    k->number = u->sent;
    what.time_ms = loop_wall_ms(u->from);
    what.upload = proto_bytes(span_of(u->name, sizeof u->name));
    what.number = k->number;
    command.kind_case = ANGARIUM__COMMAND__KIND_CHUNK;
    command.chunk = &what;
    CHECK(proto_command_pack(&command, &k->cmd.head) == 0);
    k->cmd.body = *chunk;
    *chunk = NULL;
    u->entries[u->sent++] = 0;
    u->in_flight++;
    k->letter.on_arrive = on_chunk_arrives;
    if (u->from == u->shard->loop)
        propose(k);
    else
        loop_post(u->shard->loop, &k->letter);
    return 0;
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
    uint8_t name[24];
};

static void on_abandon_arrives(struct loop_letter *letter)
{
    struct abandon *a = CONTAINER_OF(letter, struct abandon, letter);

    house_purge_upload(a->shard, span_of(a->name, sizeof a->name));
    free(a);
}

void commit_upload_abort(struct commit_upload **pu)
{
    struct commit_upload *u = *pu;
    struct abandon *a;

    if (!u) return;
    *pu = NULL;
    if (u->sent > 0) {
        a = check_calloc(1, sizeof *a);
        a->shard = u->shard;
        memcpy(a->name, u->name, sizeof a->name);
        a->letter.on_arrive = on_abandon_arrives;
        loop_post(u->shard->loop, &a->letter);
    }
    u->on_complete = NULL;
    u->dropped = true;
    if (u->in_flight == 0) upload_free(u);
}
