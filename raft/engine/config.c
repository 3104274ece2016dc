/* config - configurations as bytes: the heads of CONFIG entries, and beside snapshots and cuts. */
#include "proto/proto.h"
#include "proto/raft.pb-c.h"
#include "raft/engine/frame.h"
#include "raft/engine/config.h"
#include "raft/store/store.h"

#define CONFIG_ARENA_MAX (64u << 10)

struct core_config raft_config_of(const uint64_t *voters, unsigned count)
{
    struct core_config c = { .count = count };

    CHECK(count <= CORE_MEMBERS_MAX);
    for (unsigned i = 0; i < count; i++)
        c.members[i] =
            (struct core_member){ .node = voters[i], .flags = CORE_VOTES_NEW, .priority = 1 };
    return c;
}

void config_to_wire(const struct core_config *config, struct config_wire *out)
{
    angarium__group_config__init(&out->config);
    out->config.index = config->index;
    out->config.version = config->version;
    out->config.era = config->era;
    out->config.spread = config->spread;
    out->config.joint = config->joint;
    out->config.n_members = config->count;
    out->config.members = out->list;
    for (unsigned i = 0; i < config->count; i++) {
        const struct core_member *from = &config->members[i];
        Angarium__GroupMember *to = &out->members[i];

        angarium__group_member__init(to);
        to->node = from->node;
        to->zone = from->zone;
        to->region = from->region;
        to->flags = from->flags;
        to->priority = from->priority;
        out->list[i] = to;
    }
}

static bool member_from_wire(const Angarium__GroupMember *from, struct core_member *to)
{
    const uint32_t flags = CORE_VOTES_NEW | CORE_VOTES_OLD | CORE_LEARNS | CORE_PROMOTE;

    if (from->node == 0 || from->zone > UINT16_MAX || from->region > UINT16_MAX) return false;
    if ((from->flags & ~flags) != 0 || from->priority > UINT8_MAX) return false;
    *to = (struct core_member){ .node = from->node,
                                .zone = (uint16_t)from->zone,
                                .region = (uint16_t)from->region,
                                .flags = (uint8_t)from->flags,
                                .priority = (uint8_t)from->priority };
    return true;
}

bool config_from_wire(const Angarium__GroupConfig *from, struct core_config *to)
{
    if (!from || from->n_members > CORE_MEMBERS_MAX || from->spread > CORE_SPREAD_REGION)
        return false;
    memset(to, 0, sizeof *to);
    to->index = from->index;
    to->version = from->version;
    to->era = from->era;
    to->spread = (uint8_t)from->spread;
    to->joint = from->joint != 0;
    to->count = (unsigned)from->n_members;
    for (unsigned i = 0; i < to->count; i++)
        if (!member_from_wire(from->members[i], &to->members[i])) return false;
    return core_config_check(to) == 0;
}

void config_pack(const struct core_config *config, struct buf *out)
{
    struct config_wire w;

    config_to_wire(config, &w);
    proto_pack(&w.config.base, out);
    CHECK(!buf_failed(out));
}

struct blob *config_blob(const struct core_config *config)
{
    struct buf bytes;
    struct blob *b;

    buf_init(&bytes, STORE_CONFIG_SIZE_MAX);
    config_pack(config, &bytes);
    b = blob_copy(buf_span(&bytes));
    buf_deinit(&bytes);
    return b;
}

int config_unpack(struct span bytes, struct core_config *out)
{
    Angarium__GroupConfig *c;
    struct arena a;
    ProtobufCAllocator allocator;
    bool ok;

    arena_init(&a, CONFIG_ARENA_MAX);
    allocator = proto_allocator(&a);
    c = angarium__group_config__unpack(&allocator, bytes.n, bytes.p);
    ok = c && config_from_wire(c, out);
    arena_deinit(&a);
    return ok ? 0 : ERR_CORRUPT;
}
