/* save - all of the state as one message, and back. What is loaded is checked like a stranger's: words, bounds, and the
 * invariants, before anything changes. */
#include "node/control/inside.h"

struct saving {
    Angarium__ControlState state;
    Angarium__ControlBorn born;
    Angarium__ControlNode nodes[CONTROL_NODES_MAX], *node_list[CONTROL_NODES_MAX];
    Angarium__ControlToken tokens[CONTROL_TOKENS_MAX], *token_list[CONTROL_TOKENS_MAX];
    Angarium__ControlShard shards[CONTROL_SHARDS_MAX], *shard_list[CONTROL_SHARDS_MAX];
    Angarium__ControlRecord **record_list;
};

static ProtobufCBinaryData text(const char *t)
{
    return proto_bytes(span_cstr(t));
}

static void put_node(struct saving *v, const struct control_node *n, unsigned i)
{
    Angarium__ControlNode *to = v->node_list[i] = &v->nodes[i];

    angarium__control_node__init(to);
    to->id = n->id;
    to->uuid = text(n->uuid);
    to->address = text(n->address);
    to->zone = text(n->zone);
    to->region = text(n->region);
    to->state = n->state;
    to->joined_ms = n->joined_ms;
    to->promoted = n->promoted;
}

static void put_token(struct saving *v, const struct token *t, unsigned i)
{
    Angarium__ControlToken *to = v->token_list[i] = &v->tokens[i];

    angarium__control_token__init(to);
    to->hash = proto_bytes(span_of(t->hash, sizeof t->hash));
    to->expires_ms = t->expires_ms;
}

static void put_shard(struct saving *v, const struct control_shard *s, unsigned i)
{
    Angarium__ControlShard *to = v->shard_list[i] = &v->shards[i];

    angarium__control_shard__init(to);
    to->number = s->number;
    to->version = s->version;
    to->n_founders = s->founder_count;
    to->founders = (uint64_t *)(uintptr_t)s->founders;
    to->n_voters = s->voter_count;
    to->voters = (uint64_t *)(uintptr_t)s->voters;
    to->state = s->state;
    to->in_force = s->in_force;
    to->settled = s->settled_count;
    to->spread = s->spread == CONTROL_SPREAD_REGION ? s->spread : 0;
    to->n_holders = s->holder_count;
    to->holders = (uint64_t *)(uintptr_t)s->holders;
}

static void put_records(struct saving *v, const struct control *c)
{
    size_t count = 0;

    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++)
        count += c->tables[kind].count;
    v->record_list = check_calloc(count + 1, sizeof(Angarium__ControlRecord *));
    v->state.records = v->record_list;
    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++)
        for (unsigned i = 0; i < c->tables[kind].count; i++)
            v->record_list[v->state.n_records++] = c->tables[kind].list[i];
}

static void put_head(struct saving *v, const struct control *c)
{
    angarium__control_state__init(&v->state);
    angarium__control_born__init(&v->born);
    v->state.format = proto_format();
    v->state.applied = c->applied;
    v->state.digest = c->digest;
    if (c->is_born) v->state.born = &v->born;
    v->born.cluster = proto_bytes(span_of(c->cluster, sizeof c->cluster));
    v->born.shards_per_node = c->shards_per_node;
    v->born.replicas = c->replicas;
    v->born.format = c->format;
    v->born.spread = c->spread == CONTROL_SPREAD_REGION ? c->spread : 0;
    v->state.n_nodes = c->node_count;
    v->state.nodes = v->node_list;
    v->state.n_tokens = c->token_count;
    v->state.tokens = v->token_list;
    v->state.n_shards = c->shard_count;
    v->state.shards = v->shard_list;
}

int control_save(const struct control *c, struct buf *out)
{
    struct saving *v = check_calloc(1, sizeof *v);

    put_head(v, c);
    for (unsigned i = 0; i < c->node_count; i++)
        put_node(v, &c->nodes[i], i);
    for (unsigned i = 0; i < c->token_count; i++)
        put_token(v, &c->tokens[i], i);
    for (unsigned i = 0; i < c->shard_count; i++)
        put_shard(v, &c->shards[i], i);
    v->state.configured = c->is_configured;
    put_records(v, c);
    proto_pack(&v->state.base, out);
    free(v->record_list);
    free(v);
    return buf_failed(out) ? ERR_FULL : 0;
}

/* ---- and back */

static bool take_nodes(struct control *c, const Angarium__ControlState *s)
{
    if (s->n_nodes > CONTROL_NODES_MAX) return false;
    for (size_t i = 0; i < s->n_nodes; i++) {
        struct control_node *n = &c->nodes[i];

        if (!words_node_ok(s->nodes[i])) return false;
        node_take(n, s->nodes[i]);
        n->promoted = s->nodes[i]->promoted;
        n->state = (enum control_node_state)s->nodes[i]->state;
        n->joined_ms = s->nodes[i]->joined_ms;
    }
    c->node_count = (unsigned)s->n_nodes;
    return true;
}

static bool take_tokens(struct control *c, const Angarium__ControlState *s)
{
    if (s->n_tokens > CONTROL_TOKENS_MAX) return false;
    for (size_t i = 0; i < s->n_tokens; i++) {
        if (!words_token_ok(s->tokens[i])) return false;
        memcpy(c->tokens[i].hash, s->tokens[i]->hash.data, CONTROL_TOKEN_SIZE);
        c->tokens[i].expires_ms = s->tokens[i]->expires_ms;
    }
    c->token_count = (unsigned)s->n_tokens;
    return true;
}

/* What was saved before shards had states says nothing of them: open, and the placement in force. */
static bool take_holders(struct control_shard *to, const Angarium__ControlShard *from)
{
    bool is_old = from->state == 0;

    if (from->n_holders > CONTROL_HOLDERS_MAX) return false;
    to->state = is_old ? CONTROL_OPEN : (enum control_shard_state)from->state;
    to->in_force = is_old ? from->version : from->in_force;
    to->holder_count = is_old ? to->voter_count : (unsigned)from->n_holders;
    to->settled_count = is_old ? to->voter_count : from->settled;
    if (is_old)
        memcpy(to->holders, to->voters, sizeof to->voters);
    else if (from->n_holders > 0)
        memcpy(to->holders, from->holders, from->n_holders * sizeof *to->holders);
    return true;
}

static bool take_shards(struct control *c, const Angarium__ControlState *s)
{
    if (s->n_shards > CONTROL_SHARDS_MAX) return false;
    for (size_t i = 0; i < s->n_shards; i++) {
        const Angarium__ControlShard *from = s->shards[i];
        struct control_shard *to = &c->shards[i];

        if (from->n_voters > CONTROL_VOTERS_MAX || from->n_founders > CONTROL_VOTERS_MAX)
            return false;
        if (from->spread > CONTROL_SPREAD_REGION) return false;
        *to = (struct control_shard){ .number = from->number,
                                      .version = from->version,
                                      .spread = spread_take(from->spread) };
        to->founder_count = voters_take(to->founders, from->founders, from->n_founders);
        to->voter_count = voters_take(to->voters, from->voters, from->n_voters);
        if (!take_holders(to, from)) return false;
    }
    c->shard_count = (unsigned)s->n_shards;
    return true;
}

static bool take_records(struct control *c, Angarium__ControlState *s)
{
    c->is_configured = s->configured;
    for (size_t i = 0; i < s->n_records; i++)
        if (!words_record_ok(s->records[i]) || !record_append(c, &s->records[i])) return false;
    return true;
}

static bool take_state(struct control *c, Angarium__ControlState *s)
{
    c->applied = s->applied;
    c->digest = s->digest;
    if (s->born) {
        if (!words_born_ok(s->born)) return false;
        c->is_born = true;
        memcpy(c->cluster, s->born->cluster.data, CONTROL_CLUSTER_SIZE);
        c->shards_per_node = s->born->shards_per_node;
        c->replicas = s->born->replicas;
        c->spread = spread_take(s->born->spread);
        c->format = s->born->format != 0 ? s->born->format : PROTO_FORMAT_MIN;
    }
    return take_nodes(c, s) && take_tokens(c, s) && take_shards(c, s) && take_records(c, s) &&
           control_verify(c, NULL) == 0;
}

static void swap(struct control *a, struct control *b)
{
    struct control keep = *a;

    *a = *b;
    *b = keep;
}

int control_load(struct control *c, struct span saved)
{
    Angarium__ControlState *s;
    struct control *fresh;
    int rv = 0;

    if (saved.n > CONTROL_STATE_SIZE_MAX) return ERR_CORRUPT;
    s = angarium__control_state__unpack(NULL, saved.n, saved.p);
    if (!s) return ERR_CORRUPT;
    fresh = control_new();
    if (s->format > PROTO_FORMAT_VERSION)
        rv = ERR_VERSION;
    else if (s->format == 0 || !take_state(fresh, s))
        rv = ERR_CORRUPT;
    if (rv == 0) swap(c, fresh);
    for (unsigned i = 0; rv == 0 && i < CONTROL_KIND_END; i++)
        c->tables[i].changed = fresh->tables[i].changed + 1;
    control_free(&fresh);
    angarium__control_state__free_unpacked(s, NULL);
    return rv;
}

void control_reach(struct control *c, uint64_t index)
{
    CHECK(index >= c->applied);
    c->applied = index;
}
