/* format - versions that write differently, on nodes that are changed one after the other.
 *
 * A process reads all formats up to the highest that its version knows, and writes the one that an operator has raised the
 * cluster to, once every node could read it: here all at once, noted on each disk before the first entry is written so. From
 * then on no node starts, or is talked to, with a version that cannot read it. A new one begins with the lowest, and learns by
 * the hello. Formats differ in what is behind a command: a field that versions before do not know, and refuse.
 *
 * The rule is a model's: what the product does with its formats is node/control's; raft carries what it is given.
 */
#include <stdio.h>

#include "proto/ground/mutation.h"
#include "tests/sim/engine/world.h"

/* Field 500, bytes: "f" and the format. */
#define TAIL_SIZE 5u

static bool has_tail(struct span head)
{
    const uint8_t *p = head.p + head.n - TAIL_SIZE;

    return head.n >= TAIL_SIZE && p[0] == 0xa2 && p[1] == 0x1f && p[2] == 2 && p[3] == 'f';
}

struct blob *format_pack(const struct node *n, struct blob *head)
{
    uint32_t format = MUTATED(ENGINE_FORMAT_EARLY) ? n->format_max : n->format;
    const uint8_t tail[TAIL_SIZE] = { 0xa2, 0x1f, 2, 'f', (uint8_t)format };
    struct blob *longer;

    if (format == n->world->plan.format_min) return head;
    longer = blob_new(head->n + TAIL_SIZE);
    CHECK(blob_add(longer, head->p, head->n, head->n) == 0);
    CHECK(blob_add(longer, tail, TAIL_SIZE, longer->n + TAIL_SIZE) == 0);
    blob_unref(&head);
    return longer;
}

struct span format_read(const struct world *w, const struct node *n, struct span head)
{
    if (!has_tail(head)) return head;
    EXPECT(w, !n || head.p[head.n - 1] <= n->format_max,
           "n%u is given an entry of format %u and knows %u at most", n ? n->at + 1 : 0,
           head.p[head.n - 1], n ? n->format_max : 0);
    return span_of(head.p, head.n - TAIL_SIZE);
}

uint32_t format_min(const struct node *n)
{
    return n->format > n->format_min ? n->format : n->format_min;
}

/* A node that cannot read it, or is not there to be asked; NULL: all can. */
static struct node *lacking(struct world *w, uint32_t format)
{
    for (unsigned i = 0; i < w->node_count; i++) {
        struct node *n = &w->nodes[i];

        if (!n->lost && (!node_runs(w, n) || n->format_max < format || n->cluster != 0)) return n;
    }
    return NULL;
}

/* The operator's next step: one node more gets the new version; when all have it, it is made use of. */
void format_upgrade(struct world *w)
{
    struct node *n = lacking(w, w->format + 1);

    if (w->format == w->plan.format_max) return;
    if (n) {
        if (!node_runs(w, n) || n->cluster != 0) return;
        faults_crash(w, n);
        n->format_max = w->plan.format_max;
        TRACE(w, "n%u gets a version that knows format %u", n->at + 1, n->format_max);
        return;
    }
    w->format++;
    w->upgrades++;
    for (unsigned i = 0; i < w->node_count; i++)
        w->nodes[i].format = w->format;
    TRACE(w, "all nodes can read format %u: it is written from now on", w->format);
}
