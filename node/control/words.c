/* words - commands to bytes and back; what may stand in them. */
#include "node/control/inside.h"

/* Names and addresses go into files, logs and certificates: visible ASCII only. */
static bool text_ok(ProtobufCBinaryData d, size_t size_min, size_t size_max)
{
    if (d.len < size_min || d.len > size_max) return false;
    for (size_t i = 0; i < d.len; i++)
        if (d.data[i] <= 0x20 || d.data[i] >= 0x7f) return false;
    return true;
}

bool words_born_ok(const Angarium__ControlBorn *b)
{
    bool is_zero = true;

    if (!b || b->cluster.len != CONTROL_CLUSTER_SIZE) return false;
    for (size_t i = 0; i < b->cluster.len; i++)
        is_zero = is_zero && b->cluster.data[i] == 0;
    return !is_zero && b->shards_per_node >= 1 && b->shards_per_node <= CONTROL_PER_NODE_MAX &&
           b->replicas >= 1 && b->replicas <= CONTROL_VOTERS_MAX &&
           b->spread <= CONTROL_SPREAD_REGION && b->format <= PROTO_FORMAT_VERSION;
}

bool words_node_ok(const Angarium__ControlNode *n)
{
    return n && n->id >= 1 && n->id <= UINT32_MAX &&
           text_ok(n->uuid, CONTROL_UUID_SIZE, CONTROL_UUID_SIZE) &&
           text_ok(n->address, 3, CONTROL_ADDRESS_SIZE_MAX) &&
           text_ok(n->zone, 0, CONTROL_PLACE_SIZE_MAX) &&
           text_ok(n->region, 0, CONTROL_PLACE_SIZE_MAX);
}

bool words_node_state_ok(uint32_t state)
{
    return state >= CONTROL_JOINING && state <= CONTROL_CORDONED;
}

bool words_shard_state_ok(uint32_t state)
{
    return state >= CONTROL_OPEN && state <= CONTROL_CLOSED;
}

bool words_token_ok(const Angarium__ControlToken *t)
{
    return t && t->hash.len == CONTROL_TOKEN_SIZE;
}

/* Bytes that a person may have chosen: no controls. */
static bool plain(ProtobufCBinaryData d, size_t size_min, size_t size_max)
{
    if (d.len < size_min || d.len > size_max) return false;
    for (size_t i = 0; i < d.len; i++)
        if (d.data[i] < 0x20 || d.data[i] == 0x7f) return false;
    return true;
}

static bool kind_ok(uint32_t kind)
{
    return kind >= CONTROL_TENANT && kind < CONTROL_KIND_END;
}

/* Who has a tenant: a credential and a domain always, a rule perhaps. */
static bool tenant_fits(const Angarium__ControlRecord *r)
{
    if (r->kind == CONTROL_CREDENTIAL || r->kind == CONTROL_DOMAIN) return r->tenant.len > 0;
    return r->kind == CONTROL_RULE || r->tenant.len == 0;
}

bool words_record_ok(const Angarium__ControlRecord *r)
{
    if (!r || !kind_ok(r->kind) || !plain(r->name, 1, CONTROL_NAME_SIZE_MAX)) return false;
    if (!plain(r->tenant, 0, CONTROL_NAME_SIZE_MAX) || !tenant_fits(r)) return false;
    if (r->n_fields > CONTROL_FIELDS_MAX) return false;
    for (size_t i = 0; i < r->n_fields; i++)
        if (!text_ok(r->fields[i]->name, 1, CONTROL_FIELD_SIZE_MAX) ||
            !plain(r->fields[i]->value, 0, CONTROL_VALUE_SIZE_MAX))
            return false;
    return angarium__control_record__get_packed_size(r) <= CONTROL_RECORD_SIZE_MAX;
}

static bool put_ok(const Angarium__ControlPut *p)
{
    return p && words_record_ok(p->record) && p->record->version == 0 &&
           p->fence <= CONTROL_FENCE_VERSION;
}

static bool import_ok(const Angarium__ControlImport *p)
{
    if (!p) return false;
    for (size_t i = 0; i < p->n_records; i++)
        if (!words_record_ok(p->records[i]) || p->records[i]->version != 0) return false;
    return true;
}

static bool recover_ok(const Angarium__ControlRecover *r)
{
    if (!r || r->n_lost > CONTROL_NODES_MAX || r->n_shards > CONTROL_SHARDS_MAX) return false;
    for (size_t i = 0; i < r->n_shards; i++)
        if (r->shards[i]->n_voters > CONTROL_VOTERS_MAX) return false;
    return true;
}

static bool command_ok(const Angarium__ControlCommand *c)
{
    switch (c->kind_case) {
    case ANGARIUM__CONTROL_COMMAND__KIND_BORN:
        return words_born_ok(c->born);
    case ANGARIUM__CONTROL_COMMAND__KIND_JOIN:
        return c->join && words_node_ok(c->join->node) &&
               (c->join->token.len == 0 || c->join->token.len == CONTROL_TOKEN_SIZE);
    case ANGARIUM__CONTROL_COMMAND__KIND_MOVE:
        return c->move && words_node_ok(c->move->node);
    case ANGARIUM__CONTROL_COMMAND__KIND_NODE_STATE:
        return c->node_state && words_node_state_ok(c->node_state->state) &&
               c->node_state->state != CONTROL_JOINING;
    case ANGARIUM__CONTROL_COMMAND__KIND_TOKEN:
        return words_token_ok(c->token);
    case ANGARIUM__CONTROL_COMMAND__KIND_CREATE:
        return c->create && c->create->n_voters <= CONTROL_VOTERS_MAX &&
               c->create->spread <= CONTROL_SPREAD_REGION;
    case ANGARIUM__CONTROL_COMMAND__KIND_PLACE:
        return c->place && c->place->n_voters <= CONTROL_VOTERS_MAX;
    case ANGARIUM__CONTROL_COMMAND__KIND_PUT:
        return put_ok(c->put);
    case ANGARIUM__CONTROL_COMMAND__KIND_DROP:
        return c->drop && kind_ok(c->drop->kind) && plain(c->drop->name, 1, CONTROL_NAME_SIZE_MAX);
    case ANGARIUM__CONTROL_COMMAND__KIND_IMPORT:
        return import_ok(c->import);
    case ANGARIUM__CONTROL_COMMAND__KIND_RECOVER:
        return recover_ok(c->recover);
    case ANGARIUM__CONTROL_COMMAND__KIND_PLACED:
        return c->placed != NULL;
    case ANGARIUM__CONTROL_COMMAND__KIND_SHARD_STATE:
        return c->shard_state && words_shard_state_ok(c->shard_state->state);
    case ANGARIUM__CONTROL_COMMAND__KIND_PROMOTE:
        return c->promote != NULL;
    case ANGARIUM__CONTROL_COMMAND__KIND_REGION_DRAIN:
        return c->region_drain && plain(c->region_drain->region, 1, CONTROL_PLACE_SIZE_MAX);
    case ANGARIUM__CONTROL_COMMAND__KIND_FORMAT:
        return c->format && c->format->format >= PROTO_FORMAT_MIN &&
               c->format->format <= PROTO_FORMAT_VERSION;
    case ANGARIUM__CONTROL_COMMAND__KIND__NOT_SET:
    case _ANGARIUM__CONTROL_COMMAND__KIND__CASE_IS_INT_SIZE:
        break;
    }
    return false;
}

int control_pack(const Angarium__ControlCommand *command, struct buf *out)
{
    Angarium__ControlCommand said = *command;

    if (!command_ok(command)) return ERR_CORRUPT;
    if (command->kind_case == ANGARIUM__CONTROL_COMMAND__KIND_REGION_DRAIN &&
        !proto_writes(PROTO_ADDED_REGION_DRAIN))
        return ERR_VERSION;
    said.written_as = proto_writes(PROTO_ADDED_WRITTEN_AS) ? proto_format() : 0;
    proto_pack(&said.base, out);
    return buf_failed(out) ? ERR_FULL : 0;
}

int control_unpack(struct span head, Angarium__ControlCommand **out)
{
    Angarium__ControlCommand *c;

    *out = NULL;
    if (head.n > CONTROL_COMMAND_SIZE_MAX) return ERR_TOO_LONG;
    c = angarium__control_command__unpack(NULL, head.n, head.p);
    if (c && c->written_as > PROTO_FORMAT_VERSION) {
        control_command_free(&c);
        return ERR_VERSION;
    }
    if (c && !command_ok(c)) control_command_free(&c);
    *out = c;
    return c ? 0 : ERR_CORRUPT;
}

void control_command_free(Angarium__ControlCommand **command)
{
    if (*command) angarium__control_command__free_unpacked(*command, NULL);
    *command = NULL;
}
