/* cmd_join - a node comes in: the first one as it is, every other one with a token that has not ended.
 *
 * A node that asks again, because it did not hear the answer, is told 0 again and needs no other token: number and
 * disk are the same.
 */
#include "node/control/inside.h"

static struct token *find_token(struct control *c, ProtobufCBinaryData hash)
{
    for (unsigned i = 0; i < c->token_count; i++)
        if (memcmp(c->tokens[i].hash, hash.data, CONTROL_TOKEN_SIZE) == 0) return &c->tokens[i];
    return NULL;
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

int cmd_join(struct work *w, const Angarium__ControlJoin *join)
{
    struct control *c = w->control;
    const struct control_node *same = control_node(c, join->node->id);
    struct token *token = NULL;
    struct control_node asked = { 0 };

    node_take(&asked, join->node);
    if (same && same->state != CONTROL_GONE && strcmp(same->uuid, asked.uuid) == 0) return 0;
    if (same || uuid_taken(c, join->node->uuid)) return ERR_EXISTS;
    if (c->node_count == 0 && join->token.len > 0)
        return ERR_AGAIN; /* the first one comes first, and knows no token */
    if (c->node_count > 0) {
        token = join->token.len > 0 ? find_token(c, join->token) : NULL;
        if (!token || token->expires_ms <= w->time_ms) return ERR_DENIED;
    }
    if (node_address_taken(c, asked.id, asked.address)) return ERR_EXISTS;
    if (c->node_count == CONTROL_NODES_MAX) return ERR_FULL;
    if (token) *token = c->tokens[--c->token_count];
    add(w, join->node);
    return 0;
}
