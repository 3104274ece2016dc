/* keys - how the log's records look on disk. Numbers are big-endian, so that keys sort by them.
 *
 *   key    | group u64 | kind u8 | index u64 |              index 0 but for entries
 *
 *   'c'    | format u8 | index u64 | term u64 |             of the last entry that was cut away
 *   'd'    | format u8 | upto u64 | 0 |                     the group was buried: all is gone but what it promised ('h')
 *   'e'    | format u8 | kind u8 | term u64 | head length u32 | head ... | body ... |
 *   'g'    as 'e', kind 3, no body: the configuration that counts behind the cut; its index stands as the term
 *   'h'    | format u8 | term u64 | vote u64 |
 *   'i'    as 'e', kind 3: a snapshot to be installed; its index and term are the body; head as for 'g', its index the term
 *   'u'    | format u8 | batch u64 | 0 |                    the taint that the group has overcome
 *
 * Under group 2^64 - 1:
 *   'b'    | format u8 | batch u64 | 0 |                    number of the last synced batch
 *   't'    | format u8 | batch u64 | term u64 |             written to a tainted log: where it should have been
 *   'f'    | format u8 | format u64 | 0 |                   of the store; a newer one is refused
 */
#include "raft/store/inside.h"

static void put_u64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Reads the first byte of each value. */
static int take_format(struct cursor *c)
{
    uint8_t format = cursor_u8(c);

    if (c->failed || format == 0) return ERR_CORRUPT;
    return format > STORE_FORMAT ? ERR_VERSION : 0;
}

void key_pack(uint8_t out[KEY_SIZE], uint64_t group, uint8_t kind, uint64_t index)
{
    put_u64(out, group);
    out[8] = kind;
    put_u64(out + 9, index);
}

int key_unpack(struct span key, uint64_t *group, uint8_t *kind, uint64_t *index)
{
    struct cursor c;

    cursor_init(&c, key);
    *group = cursor_u64be(&c);
    *kind = cursor_u8(&c);
    *index = cursor_u64be(&c);
    return cursor_done(&c) ? 0 : ERR_CORRUPT;
}

void entry_lead_pack(uint8_t out[ENTRY_LEAD_SIZE], const struct store_entry *e)
{
    CHECK(e->head.n <= UINT32_MAX);
    out[0] = STORE_FORMAT;
    out[1] = (uint8_t)e->kind;
    put_u64(out + 2, e->term);
    put_u32(out + 10, (uint32_t)e->head.n);
}

int entry_unpack(struct span value, struct store_entry *out)
{
    struct cursor c;
    uint8_t kind;
    int rv;

    cursor_init(&c, value);
    rv = take_format(&c);
    if (rv != 0) return rv;
    kind = cursor_u8(&c);
    out->term = cursor_u64be(&c);
    out->head = cursor_span(&c, cursor_u32be(&c));
    out->body = cursor_rest(&c);
    if (c.failed || kind < CORE_NOOP || kind > CORE_CONFIG) return ERR_CORRUPT;
    out->kind = (enum core_entry_kind)kind;
    return 0;
}

void pair_pack(uint8_t out[PAIR_SIZE], uint64_t a, uint64_t b)
{
    out[0] = STORE_FORMAT;
    put_u64(out + 1, a);
    put_u64(out + 9, b);
}

int pair_unpack(struct span value, uint64_t *a, uint64_t *b)
{
    struct cursor c;
    int rv;

    cursor_init(&c, value);
    rv = take_format(&c);
    if (rv != 0) return rv;
    *a = cursor_u64be(&c);
    *b = cursor_u64be(&c);
    return cursor_done(&c) ? 0 : ERR_CORRUPT;
}
