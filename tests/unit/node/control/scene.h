/* scene - a control state and the shortest way to command it; after every step the invariants are checked, and that what was refused was
 * known to be before. */
#ifndef CONTROL_SCENE_H
#define CONTROL_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/control.h"
#include "proto/ground/check.h"

struct scene {
    struct control *control;
    uint64_t index, now_ms;
    struct control_answer answer;
};

static inline void scene_open(struct scene *s)
{
    *s = (struct scene){ .control = control_new(), .now_ms = 1000 };
}

static inline int scene_apply(struct scene *s, Angarium__ControlCommand *c)
{
    struct errmsg why = { "" };
    struct buf head;
    int refusal;

    buf_init(&head, CONTROL_COMMAND_SIZE_MAX);
    c->time_ms = s->now_ms;
    assert_int_equal(control_pack(c, &head), 0);
    refusal = control_refusal(s->control, c);
    control_apply(s->control, ++s->index, buf_span(&head), &s->answer);
    buf_deinit(&head);
    if (refusal != 0 || c->kind_case == ANGARIUM__CONTROL_COMMAND__KIND_JOIN ||
        c->kind_case == ANGARIUM__CONTROL_COMMAND__KIND_MOVE)
        assert_int_equal(refusal, s->answer.error);
    if (control_verify(s->control, &why) != 0) fail_msg("%s", why.text);
    return s->answer.error;
}

#define SCENE_COMMAND(KIND, member, value)                                                         \
    Angarium__ControlCommand c = ANGARIUM__CONTROL_COMMAND__INIT;                                  \
    c.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_##KIND;                                          \
    c.member = (value)

static inline int scene_born_with(struct scene *s, uint32_t shards_per_node, uint32_t replicas)
{
    Angarium__ControlBorn born = ANGARIUM__CONTROL_BORN__INIT;
    SCENE_COMMAND(BORN, born, &born);

    born.cluster = proto_bytes(SPAN_LIT("0123456789abcdef"));
    born.shards_per_node = shards_per_node;
    born.replicas = replicas;
    return scene_apply(s, &c);
}

static inline int scene_born_over(struct scene *s, enum control_spread spread)
{
    Angarium__ControlBorn born = ANGARIUM__CONTROL_BORN__INIT;
    SCENE_COMMAND(BORN, born, &born);

    born.cluster = proto_bytes(SPAN_LIT("0123456789abcdef"));
    born.shards_per_node = 4;
    born.replicas = 3;
    born.spread = spread;
    return scene_apply(s, &c);
}

static inline int scene_drain_region(struct scene *s, const char *region)
{
    Angarium__ControlRegionDrain drain = ANGARIUM__CONTROL_REGION_DRAIN__INIT;
    SCENE_COMMAND(REGION_DRAIN, region_drain, &drain);

    drain.region = proto_bytes(span_cstr(region));
    return scene_apply(s, &c);
}

static inline int scene_born(struct scene *s)
{
    return scene_born_with(s, 4, 3);
}

struct scene_node {
    Angarium__ControlNode node;
    char uuid[CONTROL_UUID_SIZE + 1], address[64];
};
static inline Angarium__ControlNode *scene_node(struct scene_node *n, uint64_t id, uint64_t disk,
                                                const char *zone, const char *region)
{
    angarium__control_node__init(&n->node);
    snprintf(n->uuid, sizeof n->uuid, "00000000-0000-4000-8000-%012llu", (unsigned long long)disk);
    snprintf(n->address, sizeof n->address, "10.0.0.%llu:2600", (unsigned long long)disk);
    n->node.id = id;
    n->node.uuid = proto_bytes(span_cstr(n->uuid));
    n->node.address = proto_bytes(span_cstr(n->address));
    n->node.zone = proto_bytes(span_cstr(zone));
    n->node.region = proto_bytes(span_cstr(region));
    return &n->node;
}

static inline void scene_hash(uint8_t out[CONTROL_TOKEN_SIZE], const char *token)
{
    memset(out, 0, CONTROL_TOKEN_SIZE);
    snprintf((char *)out, CONTROL_TOKEN_SIZE, "%s", token);
}

static inline int scene_token(struct scene *s, const char *text, uint64_t expires_ms)
{
    uint8_t hash[CONTROL_TOKEN_SIZE];
    Angarium__ControlToken token = ANGARIUM__CONTROL_TOKEN__INIT;
    SCENE_COMMAND(TOKEN, token, &token);

    scene_hash(hash, text);
    token.hash = proto_bytes(span_of(hash, sizeof hash));
    token.expires_ms = expires_ms;
    return scene_apply(s, &c);
}

static inline int scene_join(struct scene *s, const char *token, Angarium__ControlNode *node)
{
    uint8_t hash[CONTROL_TOKEN_SIZE];
    Angarium__ControlJoin join = ANGARIUM__CONTROL_JOIN__INIT;
    SCENE_COMMAND(JOIN, join, &join);

    scene_hash(hash, token);
    join.node = node;
    if (token[0]) join.token = proto_bytes(span_of(hash, sizeof hash));
    return scene_apply(s, &c);
}

static inline int scene_state(struct scene *s, uint64_t id, enum control_node_state state)
{
    Angarium__ControlNodeState n = ANGARIUM__CONTROL_NODE_STATE__INIT;
    SCENE_COMMAND(NODE_STATE, node_state, &n);

    n.id = id;
    n.state = state;
    return scene_apply(s, &c);
}

static inline int scene_create(struct scene *s, uint64_t *voters, size_t count)
{
    Angarium__ControlCreate create = ANGARIUM__CONTROL_CREATE__INIT;
    SCENE_COMMAND(CREATE, create, &create);

    create.voters = voters;
    create.n_voters = count;
    return scene_apply(s, &c);
}

static inline int scene_create_step(struct scene *s, struct control_step *step)
{
    Angarium__ControlCreate create = ANGARIUM__CONTROL_CREATE__INIT;
    SCENE_COMMAND(CREATE, create, &create);

    create.voters = step->voters;
    create.n_voters = step->voter_count;
    create.spread = step->spread;
    return scene_apply(s, &c);
}

static inline int scene_place(struct scene *s, uint32_t shard, uint32_t version, uint64_t *voters,
                              size_t count)
{
    Angarium__ControlPlace place = ANGARIUM__CONTROL_PLACE__INIT;
    SCENE_COMMAND(PLACE, place, &place);

    place.shard = shard;
    place.version = version;
    place.voters = voters;
    place.n_voters = count;
    return scene_apply(s, &c);
}

/* ---- records */

struct scene_record {
    Angarium__ControlRecord record, *list[1];
    Angarium__ControlField field, *fields[1];
};
static inline Angarium__ControlRecord *scene_record(struct scene_record *r, enum control_kind kind,
                                                    const char *name, const char *tenant,
                                                    const char *value)
{
    angarium__control_record__init(&r->record);
    angarium__control_field__init(&r->field);
    r->record.kind = kind;
    r->record.name = proto_bytes(span_cstr(name));
    r->record.tenant = proto_bytes(span_cstr(tenant));
    r->field.name = proto_bytes(SPAN_LIT("value"));
    r->field.value = proto_bytes(span_cstr(value));
    r->fields[0] = &r->field;
    r->record.fields = r->fields;
    r->record.n_fields = value[0] ? 1 : 0;
    return r->list[0] = &r->record;
}

/* fence: enum control_fence */
static inline int scene_put(struct scene *s, Angarium__ControlRecord *r, uint32_t fence,
                            uint64_t version)
{
    Angarium__ControlPut put = ANGARIUM__CONTROL_PUT__INIT;
    SCENE_COMMAND(PUT, put, &put);

    put.record = r;
    put.fence = fence;
    put.version = version;
    return scene_apply(s, &c);
}

static inline int scene_drop(struct scene *s, enum control_kind kind, const char *name,
                             uint64_t version)
{
    Angarium__ControlDrop drop = ANGARIUM__CONTROL_DROP__INIT;
    SCENE_COMMAND(DROP, drop, &drop);

    drop.kind = kind;
    drop.name = proto_bytes(span_cstr(name));
    drop.version = version;
    return scene_apply(s, &c);
}

static inline int scene_import(struct scene *s, Angarium__ControlRecord **records, size_t count)
{
    Angarium__ControlImport import = ANGARIUM__CONTROL_IMPORT__INIT;
    SCENE_COMMAND(IMPORT, import, &import);

    import.records = records;
    import.n_records = count;
    return scene_apply(s, &c);
}

static inline int scene_placed(struct scene *s, uint32_t shard, uint32_t version)
{
    Angarium__ControlPlaced placed = ANGARIUM__CONTROL_PLACED__INIT;
    SCENE_COMMAND(PLACED, placed, &placed);

    placed.shard = shard;
    placed.version = version;
    return scene_apply(s, &c);
}

static inline int scene_shard_state(struct scene *s, uint32_t shard, enum control_shard_state to)
{
    Angarium__ControlShardState state = ANGARIUM__CONTROL_SHARD_STATE__INIT;
    SCENE_COMMAND(SHARD_STATE, shard_state, &state);

    state.shard = shard;
    state.state = to;
    return scene_apply(s, &c);
}

static inline int scene_promote(struct scene *s, uint64_t id, bool promoted)
{
    Angarium__ControlPromote promote = ANGARIUM__CONTROL_PROMOTE__INIT;
    SCENE_COMMAND(PROMOTE, promote, &promote);

    promote.id = id;
    promote.promoted = promoted;
    return scene_apply(s, &c);
}

/* Gone although it holds shards. */
static inline int scene_force(struct scene *s, uint64_t id)
{
    Angarium__ControlNodeState n = ANGARIUM__CONTROL_NODE_STATE__INIT;
    SCENE_COMMAND(NODE_STATE, node_state, &n);

    n.id = id;
    n.state = CONTROL_GONE;
    n.force = true;
    return scene_apply(s, &c);
}

/* Nodes 1..n, each in a zone of its own: "z1", "z2", ... */
static inline void scene_nodes(struct scene *s, unsigned n)
{
    for (unsigned i = 1; i <= n; i++) {
        struct scene_node node;
        char token[16], zone[16];

        snprintf(token, sizeof token, "%s%u", i > 1 ? "t" : "", i);
        if (i > 1) assert_int_equal(scene_token(s, token, s->now_ms + 1000), 0);
        snprintf(zone, sizeof zone, "z%u", i);
        assert_int_equal(scene_join(s, i > 1 ? token : "", scene_node(&node, i, i, zone, "r")), 0);
    }
}

#endif
