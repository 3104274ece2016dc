/* story - reading .smtp files: lines into stories, short forms into the long ones. */
#include "tests/conformance/deliver/story.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/hex.h"

struct story_file {
    const char *path;
    FILE *in;
    int number;
    char *held; /* the line "story ..." that ended the last one */
    struct story story;
};

/* ---- words */

static char *unquote(char **at)
{
    char *p = *at, *out = p, *start = p;
    bool quoted = false;

    for (; *p && (quoted || !isspace((unsigned char)*p)); p++) {
        if (*p == '"')
            quoted = !quoted;
        else
            *out++ = *p;
    }
    if (*p) p++;
    *out = '\0';
    *at = p;
    return start;
}

void words_split(struct words *w, const char *line)
{
    char *at = w->text;

    w->count = 0;
    CHECK(strlen(line) < sizeof w->text);
    snprintf(w->text, sizeof w->text, "%s", line);
    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (!*at) return;
        CHECK(w->count < STORY_WORDS_MAX);
        w->of[w->count++] = unquote(&at);
    }
}

const char *words_value(const struct words *w, const char *key)
{
    size_t n = strlen(key);

    for (unsigned i = 0; i < w->count; i++)
        if (strncmp(w->of[i], key, n) == 0 && w->of[i][n] == '=') return w->of[i] + n + 1;
    return NULL;
}

bool words_have(const struct words *w, const char *word)
{
    for (unsigned i = 0; i < w->count; i++)
        if (strcmp(w->of[i], word) == 0) return true;
    return false;
}

void text_unescape(const char *text, struct buf *out)
{
    for (const char *p = text; *p; p++) {
        if (*p != '\\' || !p[1]) {
            buf_add_u8(out, (uint8_t)*p);
            continue;
        }
        p++;
        if (*p == 'x' && p[1] && hex_pair((uint8_t)p[1], (uint8_t)p[2]) >= 0) {
            buf_add_u8(out, (uint8_t)hex_pair((uint8_t)p[1], (uint8_t)p[2]));
            p += 2;
        } else {
            buf_add_u8(out, *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == 't' ? '\t' : (uint8_t)*p);
        }
    }
}

bool text_matches(const char *glob, const char *text)
{
    if (*glob == '*') {
        for (;; text++) {
            if (text_matches(glob + 1, text)) return true;
            if (!*text) return false;
        }
    }
    if (!*glob) return !*text;
    return *glob == *text && text_matches(glob + 1, text + 1);
}

/* ---- lines */

static char *next_line(struct story_file *f)
{
    char *line = NULL;
    size_t cap = 0;

    if (f->held) {
        line = f->held;
        f->held = NULL;
        return line;
    }
    if (getline(&line, &cap, f->in) < 0) {
        free(line);
        return NULL;
    }
    f->number++;
    return line;
}

static char *trim(char *text)
{
    size_t n;

    while (isspace((unsigned char)*text))
        text++;
    n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

static void add_line(struct line *lines, unsigned *count, int number, const char *verb,
                     const char *rest)
{
    struct line *l = &lines[(*count)++];

    CHECK(*count <= STORY_LINES_MAX);
    l->number = number;
    CHECK(strlen(verb) < sizeof l->verb);
    snprintf(l->verb, sizeof l->verb, "%s", verb);
    l->rest = check_strdup(rest);
}

static void add_step(struct script *s, int number, const char *verb, const char *rest)
{
    if (!s->lines) s->lines = check_calloc(STORY_LINES_MAX, sizeof *s->lines);
    add_line(s->lines, &s->count, number, verb, rest);
}

/* ---- short forms */

static void add_open(struct script *s, int number, const char *offers)
{
    struct words w;
    char text[300];

    words_split(&w, offers);
    add_step(s, number, "say", "220 mx.test ESMTP");
    add_step(s, number, "hear", "EHLO node.test");
    add_step(s, number, "say", w.count ? "250-mx.test" : "250 mx.test");
    for (unsigned i = 0; i < w.count; i++) {
        snprintf(text, sizeof text, "250%c%.250s", i + 1 < w.count ? '-' : ' ', w.of[i]);
        add_step(s, number, "say", text);
    }
}

/* How many recipients the mail has: its line stands before. */
static unsigned recipients_of(const struct story *st, const char *mail)
{
    struct words w;

    for (unsigned i = 0; i < st->setup_count; i++) {
        const char *to;
        unsigned n = 1;

        if (strcmp(st->setup[i].verb, "mail") != 0) continue;
        words_split(&w, st->setup[i].rest);
        if (strcmp(w.of[0], mail) != 0) continue;
        to = words_value(&w, "to");
        for (const char *p = to; *p; p++)
            n += *p == ',';
        return n;
    }
    UNREACHED();
}

static void add_transaction(const struct story *st, struct script *s, int number, const char *mail)
{
    add_step(s, number, "hear", "MAIL FROM:<*");
    add_step(s, number, "say", "250 2.1.0 ok");
    for (unsigned i = recipients_of(st, mail); i > 0; i--) {
        add_step(s, number, "hear", "RCPT TO:<*>");
        add_step(s, number, "say", "250 2.1.5 ok");
    }
    add_step(s, number, "hear", "DATA");
    add_step(s, number, "say", "354 go on");
    add_step(s, number, "body", mail);
    add_step(s, number, "say", "250 2.0.0 taken");
}

static void add_bye(struct script *s, int number)
{
    add_step(s, number, "hear", "QUIT");
    add_step(s, number, "say", "221 2.0.0 bye");
    add_step(s, number, "end", "");
}

static void add_to_script(struct story *st, int number, const char *verb, const char *rest)
{
    struct script *s = &st->scripts[st->script_count - 1];

    if (strcmp(verb, "open") == 0)
        add_open(s, number, rest);
    else if (strcmp(verb, "transaction") == 0)
        add_transaction(st, s, number, rest);
    else if (strcmp(verb, "bye") == 0)
        add_bye(s, number);
    else
        add_step(s, number, verb, rest);
}

/* ---- stories */

static bool is_in(const char *verb, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(verb, *list) == 0) return true;
    return false;
}

static const char *const setup_verbs[] = { "option", "own",   "rule",  "login",  "mx", "address",
                                           "mail",   "mails", "chaos", "claims", NULL };
static const char *const wanted_verbs[] = { "expect", "event",     "none", "file",  "claims-made",
                                            "reads",  "blobs-max", "idle", "ended", NULL };

static void add_server(struct story *st, const char *address)
{
    CHECK(st->server_count < STORY_SERVERS_MAX);
    snprintf(st->servers[st->server_count++], 46, "%s", address);
}

static void add_connection(struct story *st)
{
    CHECK(st->script_count < STORY_SCRIPTS_MAX);
    CHECK(st->server_count > 0);
    st->scripts[st->script_count++] = (struct script){ .server = st->server_count - 1 };
}

static void take_line(struct story *st, int number, char *text)
{
    char *rest = text + strcspn(text, " \t");

    if (*rest) *rest++ = '\0';
    rest = trim(rest);
    if (is_in(text, setup_verbs))
        add_line(st->setup, &st->setup_count, number, text, rest);
    else if (is_in(text, wanted_verbs))
        add_line(st->wanted, &st->wanted_count, number, text, rest);
    else if (strcmp(text, "server") == 0)
        add_server(st, rest);
    else if (strcmp(text, "connection") == 0)
        add_connection(st);
    else if (st->script_count > 0)
        add_to_script(st, number, text, rest);
    else
        UNREACHED();
}

static void forget(struct story *st)
{
    for (unsigned i = 0; i < st->setup_count; i++)
        free(st->setup[i].rest);
    for (unsigned i = 0; i < st->wanted_count; i++)
        free(st->wanted[i].rest);
    for (unsigned i = 0; i < st->script_count; i++) {
        for (unsigned n = 0; n < st->scripts[i].count; n++)
            free(st->scripts[i].lines[n].rest);
        free(st->scripts[i].lines);
    }
    memset(st, 0, sizeof *st);
}

struct story *story_next(struct story_file *f)
{
    struct story *st = &f->story;
    char *line;

    forget(st);
    while ((line = next_line(f)) != NULL) {
        char *text = trim(line);

        if (strncmp(text, "story ", 6) == 0) {
            if (st->name[0]) {
                f->held = line;
                break;
            }
            st->file = f->path;
            st->number = f->number;
            snprintf(st->name, sizeof st->name, "%s", trim(text + 6));
        } else if (*text && *text != '#') {
            take_line(st, f->number, text);
        }
        free(line);
    }
    return st->name[0] ? st : NULL;
}

int story_file_read(struct story_file **out, const char *path)
{
    struct story_file *f = check_calloc(1, sizeof *f);

    f->path = path;
    f->in = fopen(path, "r");
    *out = f;
    if (f->in) return 0;
    fprintf(stderr, "%s cannot be read\n", path);
    return 1;
}

void story_file_free(struct story_file **pf)
{
    struct story_file *f = *pf;

    *pf = NULL;
    forget(&f->story);
    if (f->in) fclose(f->in);
    free(f->held);
    free(f);
}
