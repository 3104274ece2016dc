/* follow - see follow.h. A shard is asked of one node at a time; what it answered is told whole before the shard is asked again, so
 * the place of a shard moves with what is told, and the cursor never says more than that.
 *
 * Two guards besides that: an event that does not lie behind its shard's place is dropped, and no answer moves a place back.
 */
#include "node/ops/follow.h"

#include <stdlib.h>

#include "node/emit/emit.h"
#include "proto/ground/check.h"

struct track { /* a shard */
    struct follow_at at;
    uint64_t asked;                 /* of that node, until its answer is told; 0: of nobody */
    uint64_t avoid, avoid_until_ms; /* it does not hold the shard, it says */
    bool has_nobody, is_gone;
};
struct source { /* a node */
    uint64_t node, bad_until_ms;
    const char *why; /* it did not answer; NULL: it did */
    bool is_out;
    unsigned count; /* shards of the question that is being made */
    json_t *answer; /* told up to here */
    size_t told;
};
struct follow {
    struct follow_calls calls;
    struct event_filter filter;
    uint64_t since_ms;
    bool has_shards, knows_since;
    unsigned resume_count, track_count, source_count, turn;
    struct follow_at *resume; /* as the cursor said */
    struct track *tracks;     /* ascending */
    struct source sources[CONTROL_NODES_MAX];
    uint64_t now_ms; /* as of the last call that said it */
    struct follow_question q;
    struct follow_at shown[QUESTION_SHARDS_MAX];
};

static uint64_t early(uint64_t ms)
{
    return ms > FOLLOW_OVERLAP_MS ? ms - FOLLOW_OVERLAP_MS : 0;
}

struct follow *follow_new(const struct follow_calls *calls, const struct event_filter *filter,
                          uint64_t now_ms)
{
    struct follow *f = check_calloc(1, sizeof *f);

    f->calls = *calls;
    f->filter = *filter;
    f->since_ms = early(now_ms);
    f->knows_since = true;
    return f;
}

void follow_free(struct follow **pf)
{
    struct follow *f = *pf;

    if (!f) return;
    *pf = NULL;
    for (unsigned i = 0; i < f->source_count; i++)
        json_decref(f->sources[i].answer);
    free(f->resume);
    free(f->tracks);
    free(f);
}

/* ---- where it begins */

int follow_resume(struct follow *f, struct span cursor)
{
    struct follow_at *list = check_calloc(QUESTION_SHARDS_MAX, sizeof *list);
    int rv = 0;

    if (emit_event_id_parse(cursor, &list->shard, &list->entry, &list->number) == 0 &&
        list->shard > 0) {
        list->mode = FOLLOW_EVENT;
        f->resume_count = 1;
        f->knows_since = false;
    } else {
        rv = follow_cursor_parse(cursor, &f->since_ms, list, &f->resume_count);
    }
    if (rv == 0)
        f->resume = list;
    else
        free(list);
    return rv;
}

static struct follow_at beginning(const struct follow *f, uint32_t shard)
{
    for (unsigned i = 0; i < f->resume_count; i++)
        if (f->resume[i].shard == shard) return f->resume[i];
    return (struct follow_at){ .shard = shard,
                               .mode = f->resume || f->has_shards ? FOLLOW_SINCE : FOLLOW_END };
}

static struct track *track_of(const struct follow *f, uint32_t shard)
{
    unsigned low = 0, high = f->track_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (f->tracks[middle].at.shard < shard)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->track_count && f->tracks[low].at.shard == shard ? &f->tracks[low] : NULL;
}

/* A shard that is not there any more keeps its place: it may come back to a node. */
void follow_set_shards(struct follow *f, const uint32_t *shards, unsigned count)
{
    struct track *now = check_calloc(f->track_count + count + 1, sizeof *now);
    unsigned n = 0, i = 0, k = 0;

    while (i < f->track_count || k < count) {
        uint32_t old = i < f->track_count ? f->tracks[i].at.shard : UINT32_MAX;
        uint32_t new = k < count ? shards[k] : UINT32_MAX;

        if (old <= new)
            now[n] = f->tracks[i++];
        else
            now[n].at = beginning(f, new);
        now[n].is_gone = new > old;
        if (new <= old) k++;
        if (now[n].is_gone) now[n].has_nobody = false;
        if (n < QUESTION_SHARDS_MAX) n++;
    }
    free(f->tracks);
    f->tracks = now;
    f->track_count = n;
    f->has_shards = true;
}

bool follow_is_open(const struct follow *f)
{
    if (!f->has_shards) return false;
    for (unsigned i = 0; i < f->track_count; i++)
        if (f->tracks[i].at.mode != FOLLOW_FROM && f->tracks[i].at.mode != FOLLOW_SINCE)
            return false;
    return f->knows_since;
}

bool follow_open_now(struct follow *f)
{
    for (unsigned i = 0; i < f->track_count; i++) {
        if (f->tracks[i].at.mode == FOLLOW_EVENT) return false;
        if (f->tracks[i].at.mode == FOLLOW_END) f->tracks[i].at.mode = FOLLOW_SINCE;
    }
    f->knows_since = true;
    return true;
}

/* ---- asking */

static struct source *source_of(struct follow *f, uint64_t node)
{
    for (unsigned i = 0; i < f->source_count; i++)
        if (f->sources[i].node == node) return &f->sources[i];
    if (f->source_count == CONTROL_NODES_MAX) return NULL;
    f->sources[f->source_count] = (struct source){ .node = node };
    return &f->sources[f->source_count++];
}

/* The best one that has not just failed. */
static struct source *choose(struct follow *f, const struct track *t)
{
    uint64_t nodes[QUESTION_HOLDERS_MAX];
    unsigned n = f->calls.holders(f->calls.arg, t->at.shard, nodes);

    for (unsigned i = 0; i < n; i++) {
        struct source *s = source_of(f, nodes[i]);

        if (!s || f->now_ms < s->bad_until_ms) continue;
        if (s->node != t->avoid || f->now_ms >= t->avoid_until_ms) return s;
    }
    return NULL;
}

static void assign(struct follow *f)
{
    for (unsigned i = 0; i < f->track_count; i++) {
        struct track *t = &f->tracks[i];
        struct source *s;

        if (t->asked != 0 || t->is_gone) continue;
        s = choose(f, t);
        t->has_nobody = !s;
        if (!s || s->is_out || s->answer) continue;
        if (!f->knows_since && t->at.mode != FOLLOW_EVENT) continue;
        t->asked = s->node;
        s->count++;
    }
}

static void release(struct follow *f, uint64_t node)
{
    for (unsigned i = 0; i < f->track_count; i++)
        if (f->tracks[i].asked == node) f->tracks[i].asked = 0;
}

static void fail(struct follow *f, struct source *s, const char *why)
{
    s->why = why;
    s->bad_until_ms = f->now_ms + FOLLOW_BAD_MS;
    release(f, s->node);
}

/* Which of a node's shards is read first changes from time to time. */
static void ask(struct follow *f, struct source *s)
{
    f->q = (struct follow_question){ .filter = f->filter,
                                     .since_ms = f->since_ms,
                                     .wait_ms = FOLLOW_WAIT_MS };
    s->count = 0;
    for (unsigned i = 0; i < f->track_count; i++) {
        const struct track *t = &f->tracks[(i + f->turn) % f->track_count];

        if (t->asked != s->node) continue;
        f->q.at[f->q.count++] = t->at;
        if (t->at.mode == FOLLOW_END || t->at.mode == FOLLOW_EVENT) f->q.wait_ms = 0;
    }
    if (f->calls.ask(f->calls.arg, s->node, &f->q) == 0)
        s->is_out = true;
    else
        fail(f, s, "it cannot be asked now");
}

void follow_pump(struct follow *f, uint64_t mono_ms)
{
    f->now_ms = mono_ms;
    assign(f);
    f->turn++;
    for (unsigned i = 0; i < f->source_count; i++)
        if (f->sources[i].count > 0) ask(f, &f->sources[i]);
}

/* ---- answers */

/* When the cursor's event was; it may be forgotten: then everything is told. */
static void learn_since(struct follow *f, const json_t *answer)
{
    const json_t *time = json_object_get(answer, "time_ms");

    f->since_ms = json_is_integer(time) && json_integer_value(time) > 0
                      ? early((uint64_t)json_integer_value(time))
                      : 0;
    f->knows_since = true;
}

static void move(struct follow *f, const struct source *s, const json_t *said)
{
    struct follow_at at;
    struct track *t;

    if (!follow_at_of(said, &at)) return;
    t = track_of(f, at.shard);
    if (!t || t->asked != s->node) return;
    t->asked = 0;
    t->avoid = 0;
    if (at.mode != FOLLOW_FROM && at.mode != FOLLOW_SINCE) {
        t->avoid = s->node;
        t->avoid_until_ms = f->now_ms + FOLLOW_BAD_MS;
        return;
    }
    if (t->at.mode != FOLLOW_END &&
        (at.entry < t->at.entry || (at.entry == t->at.entry && at.number < t->at.number)))
        return;
    if (t->at.mode == FOLLOW_FROM) at.mode = FOLLOW_FROM;
    t->at = at;
}

/* All of it is told. Shards that it says nothing of it does not hold. */
static void settle(struct follow *f, struct source *s)
{
    const json_t *list = json_object_get(s->answer, "at");

    for (size_t i = 0; i < json_array_size(list); i++)
        move(f, s, json_array_get(list, i));
    for (unsigned i = 0; i < f->track_count; i++) {
        struct track *t = &f->tracks[i];

        if (t->asked != s->node) continue;
        t->asked = 0;
        t->avoid = s->node;
        t->avoid_until_ms = f->now_ms + FOLLOW_BAD_MS;
    }
    json_decref(s->answer);
    s->answer = NULL;
    s->told = 0;
}

void follow_answered(struct follow *f, uint64_t node, int rv, const char *why, json_t *answer,
                     uint64_t mono_ms)
{
    struct source *s = source_of(f, node);

    CHECK(s && s->is_out);
    f->now_ms = mono_ms;
    s->is_out = false;
    if (rv == 0 && !json_is_object(answer)) {
        rv = ERR_CORRUPT;
        why = err_text(rv);
    }
    if (rv != 0) {
        json_decref(answer);
        fail(f, s, why);
        return;
    }
    s->why = NULL;
    s->bad_until_ms = 0;
    s->answer = answer;
    if (!f->knows_since) learn_since(f, answer);
    if (json_array_size(json_object_get(answer, "items")) == 0) settle(f, s);
}

/* ---- telling */

static bool is_behind(const struct follow_at *at, uint64_t entry, uint32_t number)
{
    return entry > at->entry || (entry == at->entry && number >= at->number);
}

/* The event's shard moves behind it. */
static bool pass(struct follow *f, const struct source *s, const json_t *item)
{
    struct place p;
    struct track *t;

    if (!place_of_item(QUESTION_EVENTS, item, &p)) return false;
    t = track_of(f, p.shard);
    if (!t || t->asked != s->node || !is_behind(&t->at, p.entry, p.number)) return false;
    t->at.entry = p.number == UINT32_MAX ? p.entry + 1 : p.entry;
    t->at.number = p.number + 1;
    return true;
}

static void show_cursor(struct follow *f, struct buf *out)
{
    for (unsigned i = 0; i < f->track_count; i++)
        f->shown[i] = f->tracks[i].at;
    follow_cursor_print(f->since_ms, f->shown, f->track_count, out);
}

const json_t *follow_next(struct follow *f, struct buf *cursor)
{
    for (unsigned i = 0; i < f->source_count; i++) {
        struct source *s = &f->sources[i];
        const json_t *items = json_object_get(s->answer, "items");

        while (s->answer && s->told < json_array_size(items)) {
            const json_t *item = json_array_get(items, s->told++);

            if (!pass(f, s, item)) continue;
            show_cursor(f, cursor);
            return item;
        }
        if (s->answer) settle(f, s);
    }
    return NULL;
}

/* ---- what is missing */

const char *follow_why_missing(const struct follow *f, uint64_t node)
{
    for (unsigned i = 0; i < f->source_count; i++)
        if (f->sources[i].node == node && f->now_ms < f->sources[i].bad_until_ms)
            return f->sources[i].why;
    return NULL;
}

unsigned follow_unanswered(const struct follow *f, uint32_t out[QUESTION_SHARDS_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < f->track_count; i++)
        if (f->tracks[i].has_nobody) out[n++] = f->tracks[i].at.shard;
    return n;
}
