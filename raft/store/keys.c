/* keys - how the log's records look on disk.
 *
 *   key     | group u64 BE | kind u8 | index u64 BE |      kind 'c' cut, 'e' entry, 'h' hard state
 *   entry   | format u8 | kind u8 | term u64 BE | head length u32 BE | head ... | body ... |
 *   hard    | format u8 | term u64 BE | vote u64 BE |
 *   cut     | format u8 | index u64 BE | term u64 BE |     of the last entry that was forgotten
 *
 * Group 0xffffffffffffffff holds the store's own records: 'f' format version, 'b' number of the last batch.
 */
#include "raft/store/inside.h"

void key_print(uint8_t out[KEY_SIZE], uint64_t group, uint8_t kind, uint64_t index)
{
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(group >> (56 - 8 * i));
        out[9 + i] = (uint8_t)(index >> (56 - 8 * i));
    }
    out[8] = kind;
}

int key_parse(struct span key, uint64_t *group, uint8_t *kind, uint64_t *index)
{
    struct cursor c;

    cursor_init(&c, key);
    *group = cursor_u64be(&c);
    *kind = cursor_u8(&c);
    *index = cursor_u64be(&c);
    return cursor_done(&c) ? 0 : ERR_CORRUPT;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

void entry_front_print(uint8_t out[ENTRY_FRONT_SIZE], const struct store_entry *e)
{
    uint32_t n = (uint32_t)e->head.n;

    out[0] = STORE_FORMAT;
    out[1] = (uint8_t)e->kind;
    put_u64(out + 2, e->term);
    out[10] = (uint8_t)(n >> 24);
    out[11] = (uint8_t)(n >> 16);
    out[12] = (uint8_t)(n >> 8);
    out[13] = (uint8_t)n;
}

int entry_parse(struct span value, struct store_entry *out)
{
    struct cursor c;
    uint8_t format, kind;
    uint32_t head_size;

    cursor_init(&c, value);
    format = cursor_u8(&c);
    kind = cursor_u8(&c);
    out->term = cursor_u64be(&c);
    head_size = cursor_u32be(&c);
    out->head = cursor_span(&c, head_size);
    if (c.failed || kind < CORE_NOOP || kind > CORE_CONFIG) return ERR_CORRUPT;
    if (format != STORE_FORMAT) return ERR_VERSION;
    out->kind = (enum core_entry_kind)kind;
    out->body = cursor_rest(&c);
    return 0;
}

void pair_print(uint8_t out[PAIR_SIZE], uint64_t a, uint64_t b)
{
    out[0] = STORE_FORMAT;
    put_u64(out + 1, a);
    put_u64(out + 9, b);
}

int pair_parse(struct span value, uint64_t *a, uint64_t *b)
{
    struct cursor c;
    uint8_t format;

    cursor_init(&c, value);
    format = cursor_u8(&c);
    *a = cursor_u64be(&c);
    *b = cursor_u64be(&c);
    if (!cursor_done(&c)) return ERR_CORRUPT;
    return format == STORE_FORMAT ? 0 : ERR_VERSION;
}
