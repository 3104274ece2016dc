/* hint - when a host wants to be tried again, by its own words: "try again in 5 minutes", "come back in
 * 00:05:00", "greylisted for 300 seconds", a date, or by what is known of the host (RFC 5321 4.5.4.1 leaves
 * the time to the client; greylisting refuses whoever comes too early).
 *
 * What counts as a stated time:
 * - a number with a unit, alone or several in a row ("1 hour 30 minutes"), or HH:MM:SS, behind a word that
 *   looks forward: for, in, after, wait, within, least, until;
 * - in a text that speaks of greylisting, a number with a unit behind any word but one that looks back or
 *   counts ("in the last 10 minutes", "20 connections per 60 seconds");
 * - "Retry-After: 300";
 * - a date in the future (RFC 5322, RFC 3339), where the text tells to come again;
 * - a reply whose meaning is known by its code or tag.
 * Addresses and URLs are no words (router_words). The first stated time counts.
 *
 * The host is not trusted with our queue: a time is at least ROUTER_HINT_MIN_MS and at most
 * ROUTER_HINT_MAX_MS.
 */
#include <stdio.h>

#include "proto/ground/clock.h"
#include "router/inside.h"

#define SECOND 1000ull
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

struct unit {
    const char *name;
    uint64_t ms;
};
static const struct unit units[] = {
    { "s", SECOND },       { "sec", SECOND },     { "secs", SECOND }, { "second", SECOND },
    { "seconds", SECOND }, { "m", MINUTE },       { "min", MINUTE },  { "mins", MINUTE },
    { "minute", MINUTE },  { "minutes", MINUTE }, { "h", HOUR },      { "hr", HOUR },
    { "hrs", HOUR },       { "hour", HOUR },      { "hours", HOUR },
};

static const struct {
    const char *name;
    unsigned value;
} numerals[] = {
    { "a", 1 },        { "an", 1 },      { "one", 1 },     { "two", 2 },
    { "three", 3 },    { "four", 4 },    { "five", 5 },    { "ten", 10 },
    { "fifteen", 15 }, { "twenty", 20 }, { "thirty", 30 }, { "sixty", 60 },
};

/* Words that look forward; words between them and the number; words that look back or count. */
static const char *const forward[] = { "for",   "in",    "after", "wait",    "within",  "least",
                                       "until", "delay", "again", "minimum", "another", NULL };
static const char *const between[] = { "about", "approximately", "around", "the",   "next",
                                       "a",     "another",       "at",     "least", "further",
                                       NULL };
static const char *const backward[] = { "last",  "past", "per", "every",    "previous", "than",
                                        "since", "each", "of",  "exceeded", NULL };
static const char *const again[] = { "again", "retry", "until", "after", "back", "later", NULL };

/* What hosts mean without saying it. */
static const struct {
    unsigned code;
    const char *enhanced, *needle;
    uint64_t ms;
} known[] = {
    { 451, "", "|dt:spm|", 2 * MINUTE },  /* NetEase */
    { 451, "", "|mi:sfq|", 15 * MINUTE }, /* NetEase */
    { 421, "7.28", "", 10 * MINUTE },     /* Google */
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- tokens: numbers, words, "00:05:00"; punctuation is skipped */

#define TOKENS_MAX 256u
enum token_kind { TOKEN_WORD, TOKEN_NUMBER, TOKEN_CLOCK };
struct token {
    enum token_kind kind;
    const char *at;
    unsigned size;
    uint64_t value; /* of a number; of a clock, in ms */
    bool glued;     /* no space before it: "60s" */
};
struct tokens {
    struct token of[TOKENS_MAX];
    unsigned count;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (unsigned char)c > 0x7f || c == '\'';
}

static unsigned digits_at(const char *p)
{
    unsigned n = 0;

    while (is_digit(p[n]))
        n++;
    return n;
}

/* "HH:MM:SS" with nothing of a number or name around it. */
static bool take_clock(const char *p, struct token *t)
{
    unsigned h = digits_at(p);

    if (h < 1 || h > 2 || p[h] != ':' || digits_at(p + h + 1) != 2 || p[h + 3] != ':' ||
        digits_at(p + h + 4) != 2)
        return false;
    if (is_letter(p[h + 6]) || p[h + 6] == ':') return false;
    t->kind = TOKEN_CLOCK;
    t->size = h + 6;
    t->value = 0;
    for (unsigned i = 0, part = 0; i < t->size; i++) {
        if (p[i] == ':') {
            t->value = (t->value + part) * 60;
            part = 0;
        } else {
            part = part * 10 + (unsigned)(p[i] - '0');
        }
        if (i + 1 == t->size) t->value = (t->value + part) * SECOND;
    }
    return true;
}

/* A run of digits that is no part of an address, a version or a queue id. */
static bool take_number(const char *text, const char *p, struct token *t)
{
    unsigned n = digits_at(p);
    char before = p > text ? p[-1] : ' ', after = p[n];
    bool is_part = before == '.' || before == '#' || before == '-' || before == '_' ||
                   (after == '.' && is_digit(p[n + 1]));

    t->kind = TOKEN_NUMBER;
    t->size = n;
    t->value = 0;
    for (unsigned i = 0; i < n && i < 9; i++)
        t->value = t->value * 10 + (uint64_t)(p[i] - '0');
    return n <= 6 && !is_part;
}

static void split(const char *text, struct tokens *out)
{
    const char *p = text;
    bool glued = false;

    out->count = 0;
    while (*p && out->count < TOKENS_MAX) {
        struct token *t = &out->of[out->count];

        t->at = p;
        t->glued = glued;
        glued = true;
        if (is_digit(*p) && !take_clock(p, t) && !take_number(text, p, t)) {
            p += t->size;
            continue;
        }
        if (!is_digit(*p)) {
            t->kind = TOKEN_WORD;
            for (t->size = 0; is_letter(p[t->size]);)
                t->size++;
        }
        if (t->size == 0) {
            glued = false;
            p++;
            continue;
        }
        p += t->size;
        out->count++;
    }
}

static bool is_word(const struct token *t, const char *word)
{
    return t->kind == TOKEN_WORD && strlen(word) == t->size && memcmp(t->at, word, t->size) == 0;
}

static bool is_one_of(const struct token *t, const char *const *list)
{
    for (; *list; list++)
        if (is_word(t, *list)) return true;
    return false;
}

/* ---- durations */

static uint64_t unit_ms(const struct token *t)
{
    for (size_t i = 0; i < COUNT(units); i++)
        if (is_word(t, units[i].name)) return units[i].ms;
    return 0;
}

static bool read_value(const struct token *t, uint64_t *out)
{
    *out = t->value;
    if (t->kind == TOKEN_NUMBER) return true;
    for (size_t i = 0; i < COUNT(numerals); i++) {
        if (!is_word(t, numerals[i].name)) continue;
        *out = numerals[i].value;
        return true;
    }
    return false;
}

/* The duration that begins at token `at`: its size in tokens, 0: none does. */
static unsigned duration_at(const struct tokens *s, unsigned at, uint64_t *ms_out)
{
    unsigned begin = at;
    uint64_t value;

    *ms_out = 0;
    if (s->of[at].kind == TOKEN_CLOCK) {
        *ms_out = s->of[at].value;
        return 1;
    }
    while (at + 1 < s->count && read_value(&s->of[at], &value) && unit_ms(&s->of[at + 1]) > 0) {
        *ms_out += value * unit_ms(&s->of[at + 1]);
        at += 2;
        if (at + 2 < s->count && is_word(&s->of[at], "and")) {
            bool goes_on = read_value(&s->of[at + 1], &value) && unit_ms(&s->of[at + 2]) > 0;
            at += goes_on ? 1 : 0;
        }
    }
    return at - begin;
}

/* How the words before token `at` look: 1 forward, -1 back, 0 neither. */
static int look_before(const struct tokens *s, unsigned at)
{
    while (at > 0) {
        const struct token *t = &s->of[--at];

        if (is_one_of(t, backward)) return -1;
        if (is_one_of(t, forward)) return 1;
        if (!is_one_of(t, between)) return 0;
    }
    return 0;
}

static bool find_duration(const struct tokens *s, bool is_greylisting, uint64_t *ms_out)
{
    for (unsigned at = 0; at < s->count;) {
        unsigned n = duration_at(s, at, ms_out);
        int looks = n > 0 ? look_before(s, at) : 0;
        bool is_over = n > 0 && at + n < s->count && is_word(&s->of[at + n], "ago");
        bool is_clock = s->of[at].kind == TOKEN_CLOCK;

        if (n > 0 && !is_over && (looks > 0 || (looks == 0 && is_greylisting && !is_clock)))
            return true;
        at += n > 0 ? n : 1;
    }
    return false;
}

/* "Retry-After: 300" */
static bool find_retry_after(const struct tokens *s, uint64_t *ms_out)
{
    for (unsigned at = 0; at + 2 < s->count; at++) {
        if (!is_word(&s->of[at], "retry") || !is_word(&s->of[at + 1], "after")) continue;
        if (s->of[at + 2].kind != TOKEN_NUMBER) continue;
        if (at + 3 < s->count && unit_ms(&s->of[at + 3]) > 0) continue; /* a duration */
        *ms_out = s->of[at + 2].value * SECOND;
        return true;
    }
    return false;
}

/* ---- dates */

static unsigned month_of(const struct token *t)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

    if (t->kind != TOKEN_WORD || t->size < 3) return 0;
    for (unsigned m = 0; m < 12; m++)
        if (memcmp(t->at, names + 3 * m, 3) == 0) return m + 1;
    return 0;
}

/* The offset behind the time, in minutes east: "+0200", "-05:00"; names and nothing count as UTC. */
static int zone_at(const char *p)
{
    int sign, h, m;

    while (*p == ' ')
        p++;
    if (*p != '+' && *p != '-') return 0;
    sign = *p++ == '-' ? -1 : 1;
    if (digits_at(p) < 2) return 0;
    h = (p[0] - '0') * 10 + (p[1] - '0');
    p += p[2] == ':' ? 3 : 2;
    if (digits_at(p) < 2) return 0;
    m = (p[0] - '0') * 10 + (p[1] - '0');
    return sign * (h * 60 + m);
}

/* Milliseconds of a date and the time in `clock`; false: there is no such day. */
static bool read_date(unsigned year, unsigned month, unsigned day, const struct token *clock,
                      uint64_t *at_ms)
{
    char text[CLOCK_RFC3339_SIZE];
    uint64_t utc_ms, shift_ms;
    int zone = zone_at(clock->at + clock->size);

    if (year < 1970 || year > 9999 || clock->value >= 24 * HOUR) return false;
    snprintf(text, sizeof text, "%04u-%02u-%02uT00:00:00Z", year % 10000, month % 100, day % 100);
    if (clock_parse_rfc3339(span_cstr(text), &utc_ms) != 0) return false;
    shift_ms = (uint64_t)(zone < 0 ? -zone : zone) * MINUTE;
    utc_ms += clock->value;
    if (zone > 0 && shift_ms > utc_ms) return false;
    *at_ms = zone > 0 ? utc_ms - shift_ms : utc_ms + shift_ms;
    return true;
}

/* "28 Nov 2026 13:40:00 +0000" */
static bool date_at(const struct tokens *s, unsigned at, uint64_t *at_ms)
{
    const struct token *t = &s->of[at];

    if (at + 3 >= s->count || t[0].kind != TOKEN_NUMBER || t[2].kind != TOKEN_NUMBER) return false;
    if (month_of(&t[1]) == 0 || t[3].kind != TOKEN_CLOCK) return false;
    return read_date((unsigned)t[2].value, month_of(&t[1]), (unsigned)t[0].value, &t[3], at_ms);
}

/* "2026-11-28 13:40:00" and "2026-11-28t13:40:00z": read from the bytes, for its parts are no tokens. */
static bool iso_date_at(const char *p, uint64_t *at_ms)
{
    struct token clock = { .at = p + 11 };

    if (digits_at(p) != 4 || p[4] != '-' || digits_at(p + 5) != 2 || p[7] != '-' ||
        digits_at(p + 8) != 2 || (p[10] != ' ' && p[10] != 't'))
        return false;
    if (digits_at(p + 11) != 2 || p[13] != ':' || digits_at(p + 14) != 2 || p[16] != ':' ||
        digits_at(p + 17) != 2)
        return false;
    clock.size = 8;
    clock.value = ((uint64_t)((p[11] - '0') * 10 + p[12] - '0') * 60 +
                   (uint64_t)((p[14] - '0') * 10 + p[15] - '0')) *
                      MINUTE +
                  (uint64_t)((p[17] - '0') * 10 + p[18] - '0') * SECOND;
    return read_date(
        (unsigned)((p[0] - '0') * 1000 + (p[1] - '0') * 100 + (p[2] - '0') * 10 + p[3] - '0'),
        (unsigned)((p[5] - '0') * 10 + p[6] - '0'), (unsigned)((p[8] - '0') * 10 + p[9] - '0'),
        &clock, at_ms);
}

static bool find_date(const char *words, const struct tokens *s, uint64_t *at_ms)
{
    bool tells_again = false;

    for (unsigned i = 0; i < s->count; i++)
        tells_again |= is_one_of(&s->of[i], again);
    if (!tells_again) return false;
    for (unsigned at = 0; at < s->count; at++)
        if (date_at(s, at, at_ms)) return true;
    for (const char *p = words; *p; p++)
        if (is_digit(*p) && (p == words || !is_digit(p[-1])) && iso_date_at(p, at_ms)) return true;
    return false;
}

/* ---- the hint */

static bool find_known(unsigned code, const char *enhanced, const char *words, uint64_t *ms_out)
{
    for (size_t i = 0; i < COUNT(known); i++) {
        if (code != known[i].code || !router_has_enhanced(enhanced, known[i].enhanced)) continue;
        if (!router_has_needle(words, known[i].needle)) continue;
        *ms_out = known[i].ms;
        return true;
    }
    return false;
}

uint64_t router_hint_ms(unsigned code, const char *enhanced, const char *text, uint64_t wall_ms)
{
    char words[ROUTER_WORDS_SIZE];
    struct tokens s;
    uint64_t ms = 0, at_ms = 0;
    bool is_greylisting;

    router_words(text ? text : "", words);
    enhanced = enhanced && enhanced[0] && enhanced[1] == '.' ? enhanced + 2 : "";
    split(words, &s);
    is_greylisting = strstr(words, "greylist") || strstr(words, "graylist");
    if (find_date(words, &s, &at_ms)) {
        if (at_ms <= wall_ms) return 0;
        ms = at_ms - wall_ms;
    } else if (!find_duration(&s, is_greylisting, &ms) && !find_retry_after(&s, &ms) &&
               !find_known(code, enhanced, words, &ms)) {
        return 0;
    }
    if (ms == 0) return 0;
    if (ms < ROUTER_HINT_MIN_MS) return ROUTER_HINT_MIN_MS;
    return ms > ROUTER_HINT_MAX_MS ? ROUTER_HINT_MAX_MS : ms;
}
