/* control - the state, applying to it, and seeing it. */
#include "node/control/inside.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct control *control_new(void)
{
    struct control *c = check_calloc(1, sizeof *c);

    c->shards = check_calloc(CONTROL_SHARDS_MAX, sizeof *c->shards);
    c->format = PROTO_FORMAT_MIN;
    c->spread = CONTROL_SPREAD_ZONE;
    return c;
}

void control_free(struct control **c)
{
    if (!*c) return;
    records_clear(*c);
    for (unsigned i = 0; i < CONTROL_KIND_END; i++)
        free((*c)->tables[i].list);
    free((*c)->shards);
    free(*c);
    *c = NULL;
}

const char *control_node_state_name(enum control_node_state state)
{
    static const char *const names[] = {
        "?", "joining", "serving", "draining", "gone", "cordoned"
    };

    return state >= CONTROL_JOINING && state <= CONTROL_CORDONED ? names[state] : names[0];
}

const char *control_shard_state_name(enum control_shard_state state)
{
    static const char *const names[] = { "?", "open", "closing", "closed" };

    return state >= CONTROL_OPEN && state <= CONTROL_CLOSED ? names[state] : names[0];
}

/* ---- applying */

static int dispatch(struct work *w, const Angarium__ControlCommand *c)
{
    if (c->kind_case == ANGARIUM__CONTROL_COMMAND__KIND_BORN) return cmd_born(w, c->born);
    if (!w->control->is_born) return ERR_DENIED;
    switch (c->kind_case) {
    case ANGARIUM__CONTROL_COMMAND__KIND_JOIN:
        return cmd_join(w, c->join);
    case ANGARIUM__CONTROL_COMMAND__KIND_MOVE:
        return cmd_move(w, c->move);
    case ANGARIUM__CONTROL_COMMAND__KIND_NODE_STATE:
        return cmd_node_state(w, c->node_state);
    case ANGARIUM__CONTROL_COMMAND__KIND_TOKEN:
        return cmd_token(w, c->token);
    case ANGARIUM__CONTROL_COMMAND__KIND_CREATE:
        return cmd_create(w, c->create);
    case ANGARIUM__CONTROL_COMMAND__KIND_PLACE:
        return cmd_place(w, c->place);
    case ANGARIUM__CONTROL_COMMAND__KIND_PUT:
        return cmd_put(w, c->put);
    case ANGARIUM__CONTROL_COMMAND__KIND_DROP:
        return cmd_drop(w, c->drop);
    case ANGARIUM__CONTROL_COMMAND__KIND_IMPORT:
        return cmd_import(w, c->import);
    case ANGARIUM__CONTROL_COMMAND__KIND_RECOVER:
        return cmd_recover(w, c->recover);
    case ANGARIUM__CONTROL_COMMAND__KIND_PLACED:
        return cmd_placed(w, c->placed);
    case ANGARIUM__CONTROL_COMMAND__KIND_SHARD_STATE:
        return cmd_shard_state(w, c->shard_state);
    case ANGARIUM__CONTROL_COMMAND__KIND_PROMOTE:
        return cmd_promote(w, c->promote);
    case ANGARIUM__CONTROL_COMMAND__KIND_REGION_DRAIN:
        return cmd_region_drain(w, c->region_drain);
    case ANGARIUM__CONTROL_COMMAND__KIND_FORMAT:
        return cmd_format(w, c->format);
    case ANGARIUM__CONTROL_COMMAND__KIND_BORN:
    case ANGARIUM__CONTROL_COMMAND__KIND__NOT_SET:
    case _ANGARIUM__CONTROL_COMMAND__KIND__CASE_IS_INT_SIZE:
        break;
    }
    UNREACHED();
}

/* Chained over index, command and answer. */
static uint64_t chain(uint64_t digest, uint64_t index, struct span head, int error)
{
    uint64_t parts[] = { digest, index, XXH64(head.p, head.n, 0), (uint64_t)(int64_t)error };

    return XXH64(parts, sizeof parts, 0);
}

void control_apply(struct control *c, uint64_t index, struct span head, struct control_answer *out)
{
    Angarium__ControlCommand *command = NULL;
    struct work w = { .control = c, .index = index, .answer = out };

    CHECK(index > c->applied);
    CHECK(control_unpack(head, &command) == 0);
    *out = (struct control_answer){ 0 };
    w.time_ms = command->time_ms;
    out->error = dispatch(&w, command);
    control_command_free(&command);
    c->digest = chain(c->digest, index, head, out->error);
    c->applied = index;
}

int control_refusal(const struct control *c, const Angarium__ControlCommand *command)
{
    bool joins = command->kind_case == ANGARIUM__CONTROL_COMMAND__KIND_JOIN,
         moves = command->kind_case == ANGARIUM__CONTROL_COMMAND__KIND_MOVE;

    if (!joins && !moves) return 0;
    if (!c->is_born) return ERR_DENIED;
    return joins ? join_may(c, command->join, command->time_ms) : move_may(c, command->move);
}

const char *control_spread_name(enum control_spread spread)
{
    return spread == CONTROL_SPREAD_REGION ? "region" : "zone";
}

enum control_spread control_spread(const struct control *c)
{
    return c->spread;
}

uint32_t control_format(const struct control *c)
{
    return c->format;
}

/* ---- nodes and voters */

const struct control_node *control_node(const struct control *c, uint64_t id)
{
    for (unsigned i = 0; i < c->node_count; i++)
        if (c->nodes[i].id == id) return &c->nodes[i];
    return NULL;
}

struct control_node *node_find(struct control *c, uint64_t id)
{
    return (struct control_node *)(uintptr_t)control_node(c, id);
}

bool control_address_taken(const struct control *c, uint64_t but, const char *address)
{
    for (unsigned i = 0; i < c->node_count; i++) {
        const struct control_node *n = &c->nodes[i];

        if (n->id != but && n->state != CONTROL_GONE && strcmp(n->address, address) == 0)
            return true;
    }
    return false;
}

static void take_text(char *to, ProtobufCBinaryData from)
{
    if (from.len > 0) memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

void node_take(struct control_node *to, const Angarium__ControlNode *from)
{
    to->id = from->id;
    take_text(to->uuid, from->uuid);
    take_text(to->address, from->address);
    take_text(to->zone, from->zone);
    take_text(to->region, from->region);
}

/* ---- seeing */

uint64_t control_applied(const struct control *c)
{
    return c->applied;
}

uint64_t control_digest(const struct control *c)
{
    return c->digest;
}

bool control_is_born(const struct control *c)
{
    return c->is_born;
}

const uint8_t *control_cluster(const struct control *c)
{
    return c->cluster;
}

uint32_t control_shards_per_node(const struct control *c)
{
    return c->shards_per_node;
}

uint32_t control_replicas(const struct control *c)
{
    return c->replicas;
}

unsigned control_node_count(const struct control *c)
{
    return c->node_count;
}

const struct control_node *control_node_at(const struct control *c, unsigned i)
{
    CHECK(i < c->node_count);
    return &c->nodes[i];
}

unsigned control_shard_count(const struct control *c)
{
    return c->shard_count;
}

const struct control_shard *control_shard(const struct control *c, uint32_t number)
{
    return number >= 1 && number <= c->shard_count ? &c->shards[number - 1] : NULL;
}

/* The number is the place of the first node that named it; nodes are never forgotten, so it stays. */
uint16_t control_zone_number(const struct control *c, uint64_t node)
{
    const struct control_node *n = control_node(c, node);

    if (!n || !n->zone[0]) return 0;
    for (unsigned i = 0; i < c->node_count; i++)
        if (strcmp(c->nodes[i].zone, n->zone) == 0 && strcmp(c->nodes[i].region, n->region) == 0)
            return (uint16_t)(i + 1);
    UNREACHED();
}

uint16_t control_region_number(const struct control *c, uint64_t node)
{
    const struct control_node *n = control_node(c, node);

    if (!n || !n->region[0]) return 0;
    for (unsigned i = 0; i < c->node_count; i++)
        if (strcmp(c->nodes[i].region, n->region) == 0) return (uint16_t)(i + 1);
    UNREACHED();
}
