/* cmd_join - a node comes in: the first one as it is, every other one with a token that has not ended.
 *
 * A node that asks again, because it did not hear the answer, is told 0 again and needs no other token: number and
 * disk are the same.
 */
#include "node/control/inside.h"

static const struct token *find_token(const struct control *c, ProtobufCBinaryData hash)
{
    for (unsigned i = 0; hash.len > 0 && i < c->token_count; i++)
        if (memcmp(c->tokens[i].hash, hash.data, CONTROL_TOKEN_SIZE) == 0) return &c->tokens[i];
    return NULL;
}

static void use_token(struct control *c, const struct token *t)
{
    c->tokens[t - c->tokens] = c->tokens[c->token_count - 1];
    c->token_count--;
}

static bool uuid_taken(const struct control *c, ProtobufCBinaryData uuid)
{
    for (unsigned i = 0; i < c->node_count; i++)
        if (memcmp(c->nodes[i].uuid, uuid.data, CONTROL_UUID_SIZE) == 0) return true;
    return false;
}

static void add(struct work *w, const Angarium__ControlNode *node)
{
    struct control_node *n = &w->control->nodes[w->control->node_count++];

    *n = (struct control_node){ .state = CONTROL_JOINING, .joined_ms = w->time_ms };
    node_take(n, node);
}

static bool is_in(const struct control *c, const Angarium__ControlNode *node)
{
    const struct control_node *same = control_node(c, node->id);

    return same && same->state != CONTROL_GONE &&
           memcmp(same->uuid, node->uuid.data, CONTROL_UUID_SIZE) == 0;
}

int join_may(const struct control *c, const Angarium__ControlJoin *join, uint64_t time_ms)
{
    struct control_node asked = { 0 };
    const struct token *token;

    if (is_in(c, join->node)) return 0;
    if (control_node(c, join->node->id) || uuid_taken(c, join->node->uuid)) return ERR_EXISTS;
    if (c->node_count == 0 && join->token.len > 0)
        return ERR_AGAIN; /* the first one comes first, and knows no token */
    token = find_token(c, join->token);
    if (c->node_count > 0 && (!token || token->expires_ms <= time_ms)) return ERR_DENIED;
    node_take(&asked, join->node);
    if (control_address_taken(c, asked.id, asked.address)) return ERR_EXISTS;
    return c->node_count == CONTROL_NODES_MAX ? ERR_FULL : 0;
}

int cmd_join(struct work *w, const Angarium__ControlJoin *join)
{
    struct control *c = w->control;
    int rv = join_may(c, join, w->time_ms);

    if (rv != 0 || is_in(c, join->node)) return rv;
    if (c->node_count > 0) use_token(c, find_token(c, join->token));
    add(w, join->node);
    return 0;
}
