/* frame - the bytes of a lane as frames, and the hello: all that reads foreign bytes before anybody else.
 *
 * A frame is its lead, 4 bytes big-endian (kind in the highest 8 bits, length in the others), and its payload.
 * The first frame each way is a HELLO, every other one a FRAME; a FRAME of length 0 says only "I am alive", a RENEW (always of
 * length 0) asks who dialled to dial this lane anew.
 * The lead is judged before a byte of the payload is taken or room for it is made.
 */
#ifndef RAFT_WIRE_FRAME_H
#define RAFT_WIRE_FRAME_H

#include "raft/wire/wire.h"

#define FRAME_LEAD_SIZE 4u
#define HELLO_SIZE_MAX  256u

enum frame_kind { FRAME_PAYLOAD = 0, FRAME_HELLO = 1, FRAME_RENEW = 2 };

/* The frame that is arriving. Zeroed is ready, and expects a hello. */
struct frame_in {
    uint8_t lead[FRAME_LEAD_SIZE];
    uint32_t lead_n; /* bytes of it that are there */
    uint32_t length; /* when the lead is whole */
    bool is_open;    /* the hello is over */
    bool asks_renewal; /* one came; who sees it clears it */
    struct blob *frame;
};

struct wire_frame_space {
    uint8_t *p;
    size_t n; /* > 0 */
};
/* Where the next bytes belong. */
struct wire_frame_space wire_frame_space(struct frame_in *f);
/* n bytes were put there. *whole_out: the frame that is whole now (the caller's), or NULL.
 * ERR_SYNTAX: a kind that is not expected; ERR_TOO_LONG. After an error nothing more is put in. */
int wire_frame_took(struct frame_in *f, size_t n, struct blob **whole_out);
void wire_frame_deinit(struct frame_in *f);

void wire_frame_lead(uint8_t out[FRAME_LEAD_SIZE], enum frame_kind kind, size_t n);

struct hello {
    uint8_t cluster[WIRE_CLUSTER_SIZE];
    uint64_t node, to, incarnation;
    enum wire_lane lane;
    uint32_t format_min, format_max;
    uint32_t refused; /* enum wire_refusal of the speaker; 0: none */
};
#define HELLO_FRAME_SIZE (FRAME_LEAD_SIZE + HELLO_SIZE_MAX)
/* Lead and payload; returns the size. */
size_t wire_hello_pack(const struct hello *h, uint8_t out[HELLO_FRAME_SIZE]);
/* ERR_SYNTAX when it is no hello, or a field of it is out of its range. */
int wire_hello_unpack(struct span payload, struct hello *out);

/* "angarium://CLUSTER/node/N", in this form exactly, or ERR_SYNTAX. */
int wire_name_parse(struct span uri, uint8_t cluster_out[WIRE_CLUSTER_SIZE], uint64_t *node_out);

#endif
