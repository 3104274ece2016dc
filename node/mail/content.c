/* content - see content.h. Text passes through a window, in lower case: the end of what has been looked at, as long as
 * a pattern can reach back into it, and what is new. */
#include "node/mail/content.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/mail/field.h"
#include "node/mail/params.h"
#include "node/mail/parts.h"
#include "node/mail/shown.h"
#include "node/mail/write.h"
#include "proto/ground/ascii.h"
#include "proto/ground/check.h"

#define WINDOW_SIZE 4096u
#define GTUBE       "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
#define ALL_MAX     (MAIL_CONTENT_RULES_MAX + 1)

struct rule {
    enum mail_content_part part;
    bool tags;
    char *field, *match, *tenant; /* match: of HEADER and FILE a glob, else in lower case */
    char said[MAIL_CONTENT_SAID_SIZE];
};
struct mail_content {
    atomic_uint refs;
    unsigned count;
    struct rule rules[ALL_MAX];
};
struct mail_content_scan {
    struct mail_content *rules;
    uint64_t wanted, found; /* bits of rules */
    int refused;            /* the first that refuses; -1: none */
    size_t reach;           /* bytes that a pattern can begin before what is new */
    struct parts *parts;
    size_t window_size;
    uint8_t window[WINDOW_SIZE];
};

_Static_assert(ALL_MAX <= 64, "a bit for each rule");
_Static_assert(sizeof GTUBE <= MAIL_CONTENT_MATCH_MAX, "it is a pattern like others");
_Static_assert(MAIL_CONTENT_MATCH_MAX < WINDOW_SIZE / 2, "the window moves on");

/* ---- rules */

static void add_rule(struct mail_content *c, const struct mail_content_rule *from)
{
    struct rule *r = &c->rules[c->count++];
    bool has_text = from->text && *from->text;

    CHECK(c->count <= ALL_MAX);
    CHECK(*from->match && strlen(from->match) <= MAIL_CONTENT_MATCH_MAX);
    r->part = from->part;
    r->tags = from->tags;
    r->field = check_strdup(from->field ? from->field : "");
    r->match = check_strdup(from->match);
    r->tenant = check_strdup(from->tenant ? from->tenant : "");
    ascii_make_lower(r->match);
    snprintf(r->said, sizeof r->said, "%s%s%s", from->name, has_text ? ": " : "",
             has_text ? from->text : "");
    for (char *p = r->said; *p; p++)
        if (*p < 0x20 || *p > 0x7e) *p = '?';
}

struct mail_content *mail_content_new(const struct mail_content_rule *rules, unsigned count,
                                      bool is_gtube)
{
    static const struct mail_content_rule gtube = { .name = "gtube",
                                                    .part = MAIL_CONTENT_GTUBE,
                                                    .match = GTUBE };
    struct mail_content *c;

    CHECK(count <= MAIL_CONTENT_RULES_MAX);
    if (count == 0 && !is_gtube) return NULL;
    c = check_calloc(1, sizeof *c);
    atomic_init(&c->refs, 1);
    for (unsigned i = 0; i < count; i++)
        add_rule(c, &rules[i]);
    if (is_gtube) add_rule(c, &gtube);
    return c;
}

struct mail_content *mail_content_ref(struct mail_content *c)
{
    if (c) atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void mail_content_unref(struct mail_content **pc)
{
    struct mail_content *c = *pc;

    *pc = NULL;
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
    for (unsigned i = 0; i < c->count; i++) {
        free(c->rules[i].field);
        free(c->rules[i].match);
        free(c->rules[i].tenant);
    }
    free(c);
}

/* ---- matching */

/* Goes back to the last star only: no pattern takes more than pattern.n * text.n steps. */
bool mail_content_glob(struct span pattern, struct span text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;

    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = ++p;
            mark = t;
        } else if (p < pattern.n &&
                   (pattern.p[p] == '?' || ascii_lower(pattern.p[p]) == ascii_lower(text.p[t]))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

static bool wants(const struct mail_content_scan *s, unsigned i, enum mail_content_part part)
{
    return s->rules->rules[i].part == part && (s->wanted & ~s->found & 1ull << i) != 0;
}

static void hit(struct mail_content_scan *s, unsigned i)
{
    s->found |= 1ull << i;
    if (!s->rules->rules[i].tags && s->refused < 0) s->refused = (int)i;
}

/* A value or file name as it is seen; where that cannot be told, as it is. */
static void look_at(struct mail_content_scan *s, enum mail_content_part part, struct span field,
                    struct span value)
{
    struct buf shown;
    struct span text = span_trim(value);

    buf_init(&shown, value.n + 1);
    if (mail_shown(text, &shown) == 0) text = span_trim(buf_span(&shown));
    if (text.n > MAIL_CONTENT_VALUE_MAX) text.n = MAIL_CONTENT_VALUE_MAX;
    for (unsigned i = 0; i < s->rules->count; i++) {
        const struct rule *r = &s->rules->rules[i];

        if (!wants(s, i, part)) continue;
        if (part == MAIL_CONTENT_HEADER && !span_eq_nocase(field, span_cstr(r->field))) continue;
        if (mail_content_glob(span_cstr(r->match), text)) hit(s, i);
    }
    buf_deinit(&shown);
}

static bool wants_any(const struct mail_content_scan *s, enum mail_content_part part)
{
    for (unsigned i = 0; i < s->rules->count; i++)
        if (wants(s, i, part)) return true;
    return false;
}

static bool is_field_wanted(const struct mail_content_scan *s, struct span name)
{
    for (unsigned i = 0; i < s->rules->count; i++)
        if (wants(s, i, MAIL_CONTENT_HEADER) &&
            span_eq_nocase(name, span_cstr(s->rules->rules[i].field)))
            return true;
    return false;
}

static void look_at_file(void *arg, struct span name)
{
    look_at(arg, MAIL_CONTENT_FILE, span_of(NULL, 0), name);
}

/* Every field of the name counts: readers differ in which one they take. */
static void look_for_files(struct mail_content_scan *s, const struct mail_header_field *f)
{
    bool is_disposition = span_eq_nocase(f->name, SPAN_LIT("Content-Disposition"));
    struct buf line;

    if (!is_disposition && !span_eq_nocase(f->name, SPAN_LIT("Content-Type"))) return;
    buf_init(&line, f->value.n + 1);
    for (size_t i = 0; i < f->value.n; i++)
        if (f->value.p[i] != '\r' && f->value.p[i] != '\n') buf_add_u8(&line, f->value.p[i]);
    params_each(buf_span(&line), is_disposition ? SPAN_LIT("filename") : SPAN_LIT("name"),
                look_at_file, s);
    buf_deinit(&line);
}

static void look_through(struct mail_content_scan *s)
{
    for (unsigned i = 0; i < s->rules->count; i++) {
        const char *match = s->rules->rules[i].match;

        if (!wants(s, i, MAIL_CONTENT_BODY) && !wants(s, i, MAIL_CONTENT_GTUBE)) continue;
        if (memmem(s->window, s->window_size, match, strlen(match))) hit(s, i);
    }
}

static void end_text(struct mail_content_scan *s)
{
    if (s->window_size > 0) look_through(s);
    s->window_size = 0;
}

static void keep_tail(struct mail_content_scan *s)
{
    size_t kept = s->reach;

    memmove(s->window, s->window + s->window_size - kept, kept);
    s->window_size = kept;
}

static void on_text(void *arg, struct span text)
{
    struct mail_content_scan *s = arg;

    if (text.n == 0) end_text(s);
    while (text.n > 0) {
        size_t n = WINDOW_SIZE - s->window_size;

        if (n > text.n) n = text.n;
        for (size_t i = 0; i < n; i++)
            s->window[s->window_size + i] = ascii_lower(text.p[i]);
        s->window_size += n;
        text = span_from(text, n);
        if (s->window_size < WINDOW_SIZE) return;
        look_through(s);
        keep_tail(s);
    }
}

static void on_header(void *arg, struct span header, bool is_top)
{
    struct mail_content_scan *s = arg;
    bool wants_files = wants_any(s, MAIL_CONTENT_FILE);
    struct mail_header_field f;

    end_text(s);
    while (mail_field_next(&header, &f)) {
        if (is_top && is_field_wanted(s, f.name)) look_at(s, MAIL_CONTENT_HEADER, f.name, f.value);
        if (wants_files) look_for_files(s, &f);
    }
}

/* ---- a look at one mail */

static uint64_t wanted_by(const struct mail_content *c, struct span tenant)
{
    uint64_t wanted = 0;

    for (unsigned i = 0; i < c->count; i++)
        if (!*c->rules[i].tenant || span_eq(tenant, span_cstr(c->rules[i].tenant)))
            wanted |= 1ull << i;
    return wanted;
}

struct mail_content_scan *mail_content_scan_new(struct mail_content *c, struct span tenant)
{
    static const struct parts_calls calls = { .on_header = on_header, .on_text = on_text };
    uint64_t wanted = c ? wanted_by(c, tenant) : 0;
    struct mail_content_scan *s;

    if (wanted == 0) return NULL;
    s = check_calloc(1, sizeof *s);
    s->rules = mail_content_ref(c);
    s->wanted = wanted;
    s->refused = -1;
    for (unsigned i = 0; i < c->count; i++)
        if (wants(s, i, MAIL_CONTENT_BODY) || wants(s, i, MAIL_CONTENT_GTUBE)) {
            size_t n = strlen(c->rules[i].match) - 1;

            if (n > s->reach) s->reach = n;
        }
    s->parts = parts_new(&calls, s);
    return s;
}

void mail_content_scan_free(struct mail_content_scan **ps)
{
    struct mail_content_scan *s = *ps;

    *ps = NULL;
    if (!s) return;
    parts_free(&s->parts);
    mail_content_unref(&s->rules);
    free(s);
}

void mail_content_scan_feed(struct mail_content_scan *s, struct span run)
{
    if (s && (s->wanted & ~s->found) != 0) parts_feed(s->parts, run);
}

void mail_content_scan_finish(struct mail_content_scan *s)
{
    if (!s) return;
    parts_finish(s->parts);
    end_text(s);
}

static void tell(const struct mail_content_scan *s, unsigned i, struct mail_content_hit *out)
{
    const struct rule *r = &s->rules->rules[i];

    out->part = r->part;
    out->tags = r->tags;
    memcpy(out->said, r->said, sizeof out->said);
}

bool mail_content_refused(const struct mail_content_scan *s, struct mail_content_hit *out)
{
    if (!s || s->refused < 0) return false;
    tell(s, (unsigned)s->refused, out);
    return true;
}

bool mail_content_tagged(const struct mail_content_scan *s, unsigned *at,
                         struct mail_content_hit *out)
{
    while (s && *at < s->rules->count) {
        unsigned i = (*at)++;

        if (!s->rules->rules[i].tags || (s->found & 1ull << i) == 0) continue;
        tell(s, i, out);
        return true;
    }
    return false;
}

void mail_content_tag_print(struct buf *out, struct span said)
{
    write_field(out, "X-Angarium-Content", said);
}
