/* cmd_token - one more node may come, until the token's end. Those that are over make room. */
#include "node/control/inside.h"

static void forget_ended(struct control *c, uint64_t now_ms)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < c->token_count; i++)
        if (c->tokens[i].expires_ms > now_ms) c->tokens[kept++] = c->tokens[i];
    c->token_count = kept;
}

int cmd_token(struct work *w, const Angarium__ControlToken *token)
{
    struct control *c = w->control;
    struct token *t;

    if (token->expires_ms <= w->time_ms) return ERR_RANGE;
    forget_ended(c, w->time_ms);
    for (unsigned i = 0; i < c->token_count; i++)
        if (memcmp(c->tokens[i].hash, token->hash.data, CONTROL_TOKEN_SIZE) == 0) return ERR_EXISTS;
    if (c->token_count == CONTROL_TOKENS_MAX) return ERR_FULL;
    t = &c->tokens[c->token_count++];
    memcpy(t->hash, token->hash.data, CONTROL_TOKEN_SIZE);
    t->expires_ms = token->expires_ms;
    return 0;
}
