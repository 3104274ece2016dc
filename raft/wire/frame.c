/* frame - bytes to frames and back, hello and name: nothing of a peer's is believed before it is checked here. */
#include "raft/wire/frame.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/ground/check.h"
#include "proto/ground/hex.h"
#include "proto/wire.pb-c.h"

#define LENGTH_MASK 0xffffffu

_Static_assert(WIRE_FRAME_MAX <= LENGTH_MASK, "the lead has 24 bits for the length");

void wire_frame_lead(uint8_t out[FRAME_LEAD_SIZE], enum frame_kind kind, size_t n)
{
    CHECK(n <= WIRE_FRAME_MAX);
    out[0] = (uint8_t)kind;
    out[1] = (uint8_t)(n >> 16);
    out[2] = (uint8_t)(n >> 8);
    out[3] = (uint8_t)n;
}

struct wire_frame_space wire_frame_space(struct frame_in *f)
{
    if (f->frame)
        return (struct wire_frame_space){ f->frame->p + f->frame->n, f->length - f->frame->n };
    return (struct wire_frame_space){ f->lead + f->lead_n, FRAME_LEAD_SIZE - f->lead_n };
}

/* The bound comes before the memory. */
static int take_lead(struct frame_in *f)
{
    enum frame_kind expected = f->is_open ? FRAME_PAYLOAD : FRAME_HELLO;
    bool is_renewal = f->is_open && f->lead[0] == FRAME_RENEW;

    f->length = (uint32_t)f->lead[1] << 16 | (uint32_t)f->lead[2] << 8 | f->lead[3];
    if (is_renewal ? f->length > 0 : f->lead[0] != expected) return ERR_SYNTAX;
    if (f->length > (f->is_open ? WIRE_FRAME_MAX : HELLO_SIZE_MAX)) return ERR_TOO_LONG;
    if (f->length == 0 && !f->is_open) return ERR_SYNTAX;
    f->asks_renewal = f->asks_renewal || is_renewal;
    if (f->length == 0)
        f->lead_n = 0; /* a sign of life */
    else
        f->frame = blob_new(f->length);
    return 0;
}

int wire_frame_took(struct frame_in *f, size_t n, struct blob **whole_out)
{
    *whole_out = NULL;
    CHECK(n <= wire_frame_space(f).n);
    if (!f->frame) {
        f->lead_n += (uint32_t)n;
        return f->lead_n == FRAME_LEAD_SIZE ? take_lead(f) : 0;
    }
    f->frame->n += n;
    if (f->frame->n < f->length) return 0;
    *whole_out = f->frame;
    f->frame = NULL;
    f->lead_n = 0;
    f->is_open = true;
    return 0;
}

void wire_frame_deinit(struct frame_in *f)
{
    blob_unref(&f->frame);
    f->lead_n = 0;
}

size_t wire_hello_pack(const struct hello *h, uint8_t out[HELLO_FRAME_SIZE])
{
    Angarium__Hello m = ANGARIUM__HELLO__INIT;
    size_t n;

    m.cluster.data = (uint8_t *)(uintptr_t)h->cluster;
    m.cluster.len = sizeof h->cluster;
    m.node = h->node;
    m.to = h->to;
    m.incarnation = h->incarnation;
    m.lane = h->lane;
    m.format_min = h->format_min;
    m.format_max = h->format_max;
    m.refused = h->refused;
    n = angarium__hello__get_packed_size(&m);
    CHECK(n <= HELLO_SIZE_MAX);
    angarium__hello__pack(&m, out + FRAME_LEAD_SIZE);
    wire_frame_lead(out, FRAME_HELLO, n);
    return FRAME_LEAD_SIZE + n;
}

int wire_hello_unpack(struct span payload, struct hello *out)
{
    Angarium__Hello *m;
    int rv = ERR_SYNTAX;

    if (payload.n > HELLO_SIZE_MAX) return ERR_SYNTAX;
    m = angarium__hello__unpack(NULL, payload.n, payload.p);
    if (!m) return ERR_SYNTAX;
    if (m->cluster.len == WIRE_CLUSTER_SIZE && m->node != 0 && m->lane < WIRE_LANES &&
        m->format_min <= m->format_max) {
        *out = (struct hello){ .node = m->node,
                               .to = m->to,
                               .incarnation = m->incarnation,
                               .lane = (enum wire_lane)m->lane,
                               .format_min = m->format_min,
                               .format_max = m->format_max,
                               .refused = m->refused };
        memcpy(out->cluster, m->cluster.data, WIRE_CLUSTER_SIZE);
        rv = 0;
    }
    angarium__hello__free_unpacked(m, NULL);
    return rv;
}

/* ---- names */

#define NAME_SCHEME "angarium://"
#define NAME_NODE   "/node/"
#define HEX_SIZE    (2 * WIRE_CLUSTER_SIZE)

void wire_name(char out[WIRE_NAME_SIZE], const uint8_t cluster[WIRE_CLUSTER_SIZE], uint64_t node)
{
    char hex[HEX_SIZE + 1];

    hex_print(cluster, WIRE_CLUSTER_SIZE, hex);
    snprintf(out, WIRE_NAME_SIZE, NAME_SCHEME "%s" NAME_NODE "%" PRIu64, hex, node);
}

/* One node has one name: what does not come out again as the same bytes is no name. */
int wire_name_parse(struct span uri, uint8_t cluster_out[WIRE_CLUSTER_SIZE], uint64_t *node_out)
{
    const size_t hex_at = strlen(NAME_SCHEME), node_at = hex_at + HEX_SIZE + strlen(NAME_NODE);
    char again[WIRE_NAME_SIZE];

    if (uri.n <= node_at || uri.n >= WIRE_NAME_SIZE) return ERR_SYNTAX;
    for (size_t i = 0; i < WIRE_CLUSTER_SIZE; i++) {
        int byte = hex_pair(uri.p[hex_at + 2 * i], uri.p[hex_at + 2 * i + 1]);

        if (byte < 0) return ERR_SYNTAX;
        cluster_out[i] = (uint8_t)byte;
    }
    if (span_u64(span_of(uri.p + node_at, uri.n - node_at), UINT64_MAX, node_out) != 0 ||
        *node_out == 0)
        return ERR_SYNTAX;
    wire_name(again, cluster_out, *node_out);
    return span_eq(uri, span_of((const uint8_t *)again, strlen(again))) ? 0 : ERR_SYNTAX;
}
