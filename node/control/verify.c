/* verify - K1 to K13, by looking at everything. */
#include "node/control/inside.h"

static int broken(struct errmsg *why, const char *which, uint64_t number)
{
    return errmsg_set(why, ERR_CORRUPT, "%s (%llu)", which, (unsigned long long)number);
}

static int verify_node(const struct control *c, unsigned i, struct errmsg *why)
{
    const struct control_node *n = &c->nodes[i];

    if (!words_node_state_ok(n->state)) return broken(why, "K8: a node's state is none", n->id);
    if (n->state != CONTROL_GONE && control_address_taken(c, n->id, n->address))
        return broken(why, "K3: two nodes share an address", n->id);
    for (unsigned k = 0; k < i; k++)
        if (c->nodes[k].id == n->id || strcmp(c->nodes[k].uuid, n->uuid) == 0)
            return broken(why, "K2: a node's number or disk is there twice", n->id);
    return 0;
}

/* Founders may be gone by now; voters may not. */
static bool founders_ok(const struct control *c, const struct control_shard *s)
{
    if (s->founder_count == 0 || s->founder_count > CONTROL_VOTERS_MAX) return false;
    for (unsigned i = 0; i < s->founder_count; i++)
        if (!control_node(c, s->founders[i])) return false;
    return true;
}

static bool voters_ok(const struct control *c, const struct control_shard *s)
{
    if (s->state == CONTROL_CLOSED) return s->voter_count == 0;
    return voters_check(c, s->voters, s->voter_count) == 0;
}

/* Each once, none gone, all voters among them; when the placement is in force, nobody else. */
static bool holders_ok(const struct control *c, const struct control_shard *s)
{
    if (s->holder_count > CONTROL_HOLDERS_MAX || s->holder_count < s->voter_count) return false;
    if (s->settled_count > s->holder_count) return false;
    for (unsigned i = 0; i < s->holder_count; i++) {
        const struct control_node *n = control_node(c, s->holders[i]);

        if (!n || n->state == CONTROL_GONE || list_has(s->holders, i, s->holders[i])) return false;
    }
    for (unsigned i = 0; i < s->voter_count; i++)
        if (!control_holds(s, s->voters[i])) return false;
    return s->in_force != s->version || !control_moves(s);
}

static int verify_shard(const struct control *c, unsigned i, struct errmsg *why)
{
    const struct control_shard *s = &c->shards[i];

    if (s->number != i + 1) return broken(why, "K4: a shard's number is not its place", i + 1);
    if (s->version == 0 || s->in_force > s->version)
        return broken(why, "K6: a placement's version cannot be", s->number);
    if (!words_shard_state_ok(s->state))
        return broken(why, "K8: a shard's state is none", s->number);
    if (!voters_ok(c, s) || !founders_ok(c, s))
        return broken(why, "K5: the voters of a shard cannot be", s->number);
    if (!holders_ok(c, s)) return broken(why, "K12: the holders of a shard cannot be", s->number);
    return 0;
}

static int verify_tokens(const struct control *c, struct errmsg *why)
{
    for (unsigned i = 0; i < c->token_count; i++)
        for (unsigned k = 0; k < i; k++)
            if (memcmp(c->tokens[i].hash, c->tokens[k].hash, CONTROL_TOKEN_SIZE) == 0)
                return broken(why, "K7: a token is there twice", i);
    return 0;
}

static int verify_record(const struct control *c, const struct table *t, unsigned i,
                         struct errmsg *why)
{
    const Angarium__ControlRecord *r = t->list[i];

    if (i > 0 && record_order(proto_span(t->list[i - 1]->name), proto_span(r->name)) >= 0)
        return broken(why, "K9: a record is not in the order of names", i);
    if (r->version == 0 || r->version > c->applied)
        return broken(why, "K9: a record's version is no applied entry's", r->version);
    return record_tenant_ok(c, r) ? 0 : broken(why, "K10: a record's tenant is not there", i);
}

static int verify_records(const struct control *c, struct errmsg *why)
{
    size_t size = 0;
    int rv = 0;

    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++) {
        const struct table *t = &c->tables[kind];

        if (t->count > record_max(kind)) return broken(why, "K8: a count is over its bound", kind);
        if (t->count > 0 && !c->is_configured)
            return broken(why, "K11: a record is before the import", kind);
        for (unsigned i = 0; rv == 0 && i < t->count; i++) {
            size += angarium__control_record__get_packed_size(t->list[i]);
            rv = verify_record(c, t, i, why);
        }
    }
    if (rv == 0 && (size != c->records_size || size > CONTROL_RECORDS_SIZE_MAX))
        rv = broken(why, "K11: the records' bytes are not what is counted", size);
    return rv;
}

int control_verify(const struct control *c, struct errmsg *why)
{
    int rv = verify_tokens(c, why);

    if (rv == 0) rv = verify_records(c, why);

    if (c->node_count > CONTROL_NODES_MAX || c->token_count > CONTROL_TOKENS_MAX ||
        c->shard_count > CONTROL_SHARDS_MAX)
        return broken(why, "K8: a count is over its bound", 0);
    if (c->format < PROTO_FORMAT_MIN || c->format > PROTO_FORMAT_VERSION)
        return broken(why, "K13: the format in force is not known here", c->format);
    if (!c->is_born && (c->node_count || c->token_count || c->shard_count || c->is_configured))
        return broken(why, "K1: something is before the cluster is born", 0);
    for (unsigned i = 0; rv == 0 && i < c->node_count; i++)
        rv = verify_node(c, i, why);
    for (unsigned i = 0; rv == 0 && i < c->shard_count; i++)
        rv = verify_shard(c, i, why);
    return rv;
}
