/* known - see known.h. Tables with open addressing that double. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/explore/known.h"

#define NOTES_MAX 60000

struct slot { /* key 0: free */
    uint64_t key;
    uint32_t value;
};
struct table {
    struct slot *slots;
    uint64_t size, count;
};

static const uint8_t maps[ORDERS][NODES + 1] = { { 0, 1, 2, 3 }, { 0, 1, 3, 2 }, { 0, 2, 1, 3 },
                                                 { 0, 2, 3, 1 }, { 0, 3, 1, 2 }, { 0, 3, 2, 1 } };

static struct table states_by_hash, notes_by_hash;
static struct node **states; /* apart from their sums: those are looked at all the time */
static struct sums *state_sums, *note_sums;
static struct known_of { /* what comes of each event: numbers of results, from 1; 0: not computed */
    uint32_t count, *at;
} * known_of;
static struct note *notes;
static uint16_t *note_places; /* among those for the same node */
static uint16_t place_counts[NODES + 1];
static struct result *results;
static uint16_t *sent;
static uint32_t state_count, note_count, result_count, sent_count;
static char breach[120];

/* ---- tables */

static struct slot *find(const struct table *t, uint64_t key)
{
    uint64_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (t->size - 1);

    while (t->slots[at].key != 0 && t->slots[at].key != key)
        at = (at + 1) & (t->size - 1);
    return &t->slots[at];
}

static void begin(struct table *t)
{
    *t = (struct table){ .size = 1 << 16 };
    t->slots = check_calloc(t->size, sizeof t->slots[0]);
}

static struct slot *add(struct table *t, uint64_t key, uint32_t value)
{
    struct slot *s;

    if (t->count >= t->size / 2) {
        struct table bigger = { .size = 2 * t->size, .count = t->count };

        bigger.slots = check_calloc(bigger.size, sizeof bigger.slots[0]);
        for (uint64_t i = 0; i < t->size; i++)
            if (t->slots[i].key != 0) *find(&bigger, t->slots[i].key) = t->slots[i];
        free(t->slots);
        *t = bigger;
    }
    s = find(t, key);
    *s = (struct slot){ key, value };
    t->count++;
    return s;
}

/* Room for one more of an array that doubles. */
static void *grown(void *p, uint32_t count, size_t size)
{
    if (count >= 1024 ? (count & (count - 1)) != 0 : count != 0) return p;
    return check_realloc(p, (count ? 2ul * count : 1024ul) * size);
}

/* ---- states and messages */

static uint64_t key_of(XXH128_hash_t h)
{
    return (h.low64 ^ h.high64 * 3) | 1;
}

static struct sum sum_of(XXH128_hash_t h)
{
    return (struct sum){ h.low64, h.high64 };
}

static uint32_t state_of(const struct node *n)
{
    uint64_t key = key_of(node_hash(n, maps[0]));
    struct slot *s = find(&states_by_hash, key);

    if (s->key != 0) return s->value;
    states = grown(states, state_count, sizeof states[0]);
    state_sums = grown(state_sums, state_count, sizeof state_sums[0]);
    known_of = grown(known_of, state_count, sizeof known_of[0]);
    known_of[state_count] = (struct known_of){ .count = 0 };
    states[state_count] = check_malloc(sizeof *n);
    *states[state_count] = *n;
    for (unsigned i = 0; i < ORDERS; i++)
        state_sums[state_count].under[i] = sum_of(node_hash(n, maps[i]));
    add(&states_by_hash, key, state_count);
    return state_count++;
}

static uint16_t note_of(const struct note *m)
{
    uint64_t key = key_of(note_hash(m, maps[0]));
    struct slot *s = find(&notes_by_hash, key);

    if (s->key != 0) return (uint16_t)s->value;
    CHECK(note_count < NOTES_MAX);
    notes = grown(notes, note_count, sizeof notes[0]);
    note_sums = grown(note_sums, note_count, sizeof note_sums[0]);
    note_places = grown(note_places, note_count, sizeof note_places[0]);
    note_places[note_count] = place_counts[m->to]++;
    notes[note_count] = *m;
    for (unsigned i = 0; i < ORDERS; i++)
        note_sums[note_count].under[i] = sum_of(note_hash(m, maps[i]));
    add(&notes_by_hash, key, note_count);
    return (uint16_t)note_count++;
}

/* ---- results */

static struct result keep(const struct node *n, const struct outcome *out)
{
    struct result r = { .sent = sent_count, .sent_count = (uint8_t)out->sent_count };

    r.to = state_of(n);
    r.flags = (uint8_t)((out->won ? WON : 0) | (out->committed ? COMMITTED : 0) |
                        (out->logged ? LOGGED : 0) | (out->breach[0] ? BREACHED : 0));
    if (out->breach[0]) snprintf(breach, sizeof breach, "%s", out->breach);
    for (unsigned i = 0; i < out->sent_count; i++) {
        sent = grown(sent, sent_count, sizeof sent[0]);
        sent[sent_count++] = note_of(&out->sent[i]);
    }
    return r;
}

static struct result compute(uint32_t state, uint32_t event)
{
    struct outcome out = { .sent_count = 0 };
    bool is_note = event < NOTES_MAX;
    struct node *n = states[state];

    if (is_note && node_is_past(n, &notes[event]))
        return (struct result){ .to = state, .flags = PAST };
    if (!is_note && !node_may(node_take_up(n), (enum happening)(UINT32_MAX - event)))
        return (struct result){ .to = state, .flags = NEVER_HERE };
    n = node_take_up(n);
    if (is_note) {
        struct note m = notes[event];

        node_hears(n, &m, &out);
    } else {
        node_happens(n, (enum happening)(UINT32_MAX - event), &out);
    }
    return keep(n, &out);
}

static uint32_t *place_of(uint32_t state, uint32_t event)
{
    struct known_of *k = &known_of[state];
    uint32_t place =
        event < NOTES_MAX ? note_places[event] + (uint32_t)HAPPENINGS : UINT32_MAX - event;

    if (place >= k->count) {
        uint32_t count = place + 32;

        k->at = check_realloc(k->at, count * sizeof k->at[0]);
        memset(k->at + k->count, 0, (count - k->count) * sizeof k->at[0]);
        k->count = count;
    }
    return &k->at[place];
}

const struct result *known_result(uint32_t state, uint32_t event)
{
    uint32_t *place = place_of(state, event);

    if (*place == 0) {
        struct result r = compute(state, event);

        results = grown(results, result_count, sizeof results[0]);
        results[result_count++] = r;
        place = place_of(state, event); /* there may be more states now */
        *place = result_count;
    }
    return &results[*place - 1];
}

uint32_t known_first(unsigned id)
{
    struct outcome out = { .sent_count = 0 };
    struct result r = keep(node_boot(id, &out), &out);

    CHECK(r.sent_count == 0 && r.flags == 0);
    return r.to;
}

/* ---- seeing */

const uint16_t *known_sent(const struct result *r)
{
    return sent + r->sent;
}

const struct node *known_node(uint32_t state)
{
    return states[state];
}

const struct note *known_note(uint16_t note)
{
    return &notes[note];
}

const struct sums *known_node_sums(uint32_t state)
{
    return &state_sums[state];
}

const struct sums *known_note_sums(uint16_t note)
{
    return &note_sums[note];
}

const char *known_breach(void)
{
    return breach;
}

unsigned known_states(void)
{
    return state_count;
}

unsigned known_notes(void)
{
    return note_count;
}

void known_begin(void)
{
    begin(&states_by_hash);
    begin(&notes_by_hash);
    memset(place_counts, 0, sizeof place_counts);
    known_of = NULL;
    note_places = NULL;
    states = NULL;
    state_sums = note_sums = NULL;
    notes = NULL;
    results = NULL;
    sent = NULL;
    state_count = note_count = result_count = sent_count = 0;
}

void known_end(void)
{
    for (uint32_t i = 0; i < state_count; i++)
        free(states[i]), free(known_of[i].at);
    free(states);
    free(state_sums);
    free(note_sums);
    free(notes);
    free(results);
    free(sent);
    free(states_by_hash.slots);
    free(notes_by_hash.slots);
    free(known_of);
    free(note_places);
}
