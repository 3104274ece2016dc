/* spread - whom a question about shards is asked, within one bounded wait: no clock, no socket; times are mono ms.
 *
 * Way:     each shard is asked of the best node that can be reached. What fails is asked of the next one at once; what has no answer
 *          after SPREAD_HEDGE_MS is asked of the next one besides. Whoever answers first counts.
 * Promise: it is done SPREAD_WITHIN_MS after its begin at the latest, and each shard has one answer that counts, or none.
 * Bounds:  SPREAD_PARTS_MAX parts; a node that failed, or is slow, gets no other one.
 */
#ifndef OPS_SPREAD_H
#define OPS_SPREAD_H

#include "node/ops/question.h"

#define SPREAD_WITHIN_MS 2000
#define SPREAD_HEDGE_MS  600
#define SPREAD_PARTS_MAX (3 * CONTROL_NODES_MAX)

struct spread_calls {
    void *arg;
    /* Who can be asked about the shard, the best first. */
    unsigned (*holders)(void *arg, uint32_t shard, uint64_t out[QUESTION_HOLDERS_MAX]);
    /* Asks the node about these shards, as part number `part`. 0: spread_take comes, never inside. */
    int (*ask)(void *arg, unsigned part, uint64_t node, const uint32_t *shards, unsigned count);
};
struct spread {
    struct spread_calls calls;
    uint64_t begun_ms, now_ms;
    unsigned shard_count, part_count, out;
    const uint32_t *shards; /* borrowed */
    bool is_answered[QUESTION_SHARDS_MAX];
    uint16_t part_of[QUESTION_SHARDS_MAX]; /* who was asked last: its number + 1 */
    struct {
        uint64_t node, asked_ms;
        bool is_out, is_slow, is_failed;
    } parts[SPREAD_PARTS_MAX];
    uint32_t list[QUESTION_SHARDS_MAX];
};
void spread_begin(struct spread *s, const struct spread_calls *calls, const uint32_t *shards,
                  unsigned count, uint64_t now_ms);
/* A node is asked about itself. */
void spread_ask_node(struct spread *s, uint64_t node);
/* Asks whoever is to be asked now: at the begin, after each spread_take, and at spread_next_ms. */
void spread_turn(struct spread *s, uint64_t now_ms);
/* A part has its answer, about these shards. False: one of them is answered already, and this answer does not count. */
bool spread_take(struct spread *s, unsigned part, const uint32_t *shards, unsigned count);
void spread_fail(struct spread *s, unsigned part); /* it has none */
/* The node has been asked, and its answer is not there. */
bool spread_waits_for(const struct spread *s, uint64_t node);
bool spread_is_done(const struct spread *s, uint64_t now_ms);
uint64_t spread_next_ms(const struct spread *s); /* after spread_turn */
/* What is left for an answer; > 0. */
uint32_t spread_left_ms(const struct spread *s, uint64_t now_ms);

#endif
