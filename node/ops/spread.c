/* spread - see spread.h. A part is what one node is asked at once; a shard belongs to the part that it was put into last. */
#include "node/ops/spread.h"

#include "proto/ground/check.h"

void spread_begin(struct spread *s, const struct spread_calls *calls, const uint32_t *shards,
                  unsigned count, uint64_t now_ms)
{
    *s = (struct spread){ .calls = *calls,
                          .begun_ms = now_ms,
                          .now_ms = now_ms,
                          .shards = shards,
                          .shard_count = count };
}

/* ---- asking */

static bool is_passed_over(const struct spread *s, uint64_t node)
{
    for (unsigned i = 0; i < s->part_count; i++)
        if (s->parts[i].node == node && (s->parts[i].is_failed || s->parts[i].is_slow)) return true;
    return false;
}

static bool has_part(const struct spread *s, unsigned shard)
{
    unsigned part = s->part_of[shard];

    return part > 0 && s->parts[part - 1].is_out && !s->parts[part - 1].is_slow;
}

/* SPREAD_PARTS_MAX: nobody. */
static unsigned choose(struct spread *s, unsigned from, uint32_t shard)
{
    uint64_t nodes[QUESTION_HOLDERS_MAX];
    unsigned n = s->calls.holders(s->calls.arg, shard, nodes), k = 0;

    while (k < n && is_passed_over(s, nodes[k]))
        k++;
    if (k == n) return SPREAD_PARTS_MAX;
    for (unsigned i = from; i < s->part_count; i++)
        if (s->parts[i].node == nodes[k]) return i;
    if (s->part_count == SPREAD_PARTS_MAX) return SPREAD_PARTS_MAX;
    s->parts[s->part_count].node = nodes[k];
    return s->part_count++;
}

/* False: it failed at once. */
static bool send(struct spread *s, unsigned part)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->shard_count; i++)
        if (!s->is_answered[i] && s->part_of[i] == part + 1) s->list[n++] = s->shards[i];
    s->parts[part].is_out = true;
    s->parts[part].asked_ms = s->now_ms;
    s->out++;
    if (s->calls.ask(s->calls.arg, part, s->parts[part].node, s->list, n) == 0) return true;
    s->parts[part].is_out = false;
    s->parts[part].is_failed = true;
    s->out--;
    return false;
}

/* False: somebody could not be asked, and others may be. */
static bool divide(struct spread *s)
{
    unsigned from = s->part_count;
    bool all = true;

    for (unsigned i = 0; i < s->shard_count; i++) {
        unsigned part;

        if (s->is_answered[i] || has_part(s, i)) continue;
        part = choose(s, from, s->shards[i]);
        if (part < SPREAD_PARTS_MAX) s->part_of[i] = (uint16_t)(part + 1);
    }
    for (unsigned i = from; i < s->part_count; i++)
        all = send(s, i) && all;
    return all;
}

void spread_ask_node(struct spread *s, uint64_t node)
{
    if (s->part_count == SPREAD_PARTS_MAX) return;
    s->parts[s->part_count].node = node;
    send(s, s->part_count++);
}

void spread_turn(struct spread *s, uint64_t now_ms)
{
    if (now_ms >= s->begun_ms + SPREAD_WITHIN_MS) return;
    s->now_ms = now_ms;
    for (unsigned i = 0; i < s->part_count; i++)
        if (s->parts[i].is_out && now_ms >= s->parts[i].asked_ms + SPREAD_HEDGE_MS)
            s->parts[i].is_slow = true;
    while (!divide(s)) {
    }
}

/* ---- answers */

static void end_part(struct spread *s, unsigned part)
{
    CHECK(part < s->part_count && s->parts[part].is_out);
    s->parts[part].is_out = false;
    s->out--;
}

void spread_fail(struct spread *s, unsigned part)
{
    end_part(s, part);
    s->parts[part].is_failed = true;
}

/* Both ascending. How many of them are answered; `mark`: now they are. */
static unsigned go_through(struct spread *s, const uint32_t *shards, unsigned count, bool mark)
{
    unsigned k = 0, answered = 0;

    for (unsigned i = 0; i < s->shard_count && k < count; i++) {
        if (s->shards[i] != shards[k]) continue;
        answered += s->is_answered[i];
        s->is_answered[i] |= mark;
        k++;
    }
    return answered;
}

bool spread_take(struct spread *s, unsigned part, const uint32_t *shards, unsigned count)
{
    end_part(s, part);
    s->parts[part].is_slow = false;
    if (go_through(s, shards, count, false) > 0) return false;
    go_through(s, shards, count, true);
    return true;
}

bool spread_waits_for(const struct spread *s, uint64_t node)
{
    for (unsigned i = 0; i < s->part_count; i++)
        if (s->parts[i].node == node && s->parts[i].is_out) return true;
    return false;
}

bool spread_is_done(const struct spread *s, uint64_t now_ms)
{
    unsigned answered = 0;

    for (unsigned i = 0; i < s->shard_count; i++)
        answered += s->is_answered[i];
    return s->out == 0 || now_ms >= s->begun_ms + SPREAD_WITHIN_MS ||
           (s->shard_count > 0 && answered == s->shard_count);
}

uint64_t spread_next_ms(const struct spread *s)
{
    uint64_t next = s->begun_ms + SPREAD_WITHIN_MS;

    for (unsigned i = 0; i < s->part_count; i++) {
        uint64_t slow = s->parts[i].asked_ms + SPREAD_HEDGE_MS;

        if (s->parts[i].is_out && !s->parts[i].is_slow && slow < next) next = slow;
    }
    return next;
}

uint32_t spread_left_ms(const struct spread *s, uint64_t now_ms)
{
    uint64_t end = s->begun_ms + SPREAD_WITHIN_MS;

    return now_ms < end ? (uint32_t)(end - now_ms) : 1;
}
