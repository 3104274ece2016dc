/* story - reads a file of words, one a line, and does them in order. */
#include "tests/conformance/story.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/hex.h"
#include "proto/ground/log.h"

bool story_wrong(const struct story *st, const char *fmt, ...)
{
    va_list args;

    printf("%s:%u: ", st->file, st->line);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
    return false;
}

struct client *story_client(struct story *st)
{
    if (!st->clients[st->current]) story_wrong(st, "there is no connection");
    return st->clients[st->current];
}

char *story_cut(char **rest)
{
    char *word = *rest + strspn(*rest, " ");
    char *end = word + strcspn(word, " ");

    *rest = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

bool story_number(const struct story *st, const char *text, uint64_t *out)
{
    *out = 0;
    if (span_u64(span_cstr(text), UINT64_MAX, out) == 0) return true;
    return story_wrong(st, "not a number: \"%s\"", text);
}

bool story_matches(const char *pattern, const char *text)
{
    size_t n = strlen(pattern);

    if (n > 0 && pattern[n - 1] == '*') return strncmp(pattern, text, n - 1) == 0;
    return strcmp(pattern, text) == 0;
}

bool story_error(const char *name, int *out)
{
    *out = 0;
    if (strcmp(name, "ok") == 0) return true;
    for (int e = -1; e > -64; e--) {
        if (!span_eq_nocase(span_cstr(err_name(e)), span_cstr(name))) continue;
        *out = e;
        return true;
    }
    return false;
}

void story_fill(size_t n, struct buf *out)
{
    static const char line[] =
        "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    buf_add_cstr(out, "Subject: fill\r\n\r\n");
    n -= 17;
    while (n > 0) {
        size_t size = n >= 74 ? 72 : n;
        buf_add(out, line, size - 2);
        buf_add_cstr(out, "\r\n");
        n -= size;
    }
}

/* ---- quoted bytes */

static char *unescape(struct story *st, char *p, struct story_bytes *out)
{
    static const char names[] = "rnt\\\"0", values[] = "\r\n\t\\\"\0";
    const char *at = *p ? strchr(names, *p) : NULL;

    if (*p == '|') {
        if (out->cut_count == STORY_CUTS_MAX) return NULL;
        out->cuts[out->cut_count++] = out->bytes.n;
        return p + 1;
    }
    if (*p == 'x' && hex_value((uint8_t)p[1]) >= 0 && hex_value((uint8_t)p[2]) >= 0) {
        buf_add_u8(&out->bytes, (uint8_t)hex_pair((uint8_t)p[1], (uint8_t)p[2]));
        return p + 3;
    }
    if (!at) {
        story_wrong(st, "no such escape: \\%c", *p);
        return NULL;
    }
    buf_add_u8(&out->bytes, (uint8_t)values[at - names]);
    return p + 1;
}

char *story_unquote(struct story *st, char *text, struct story_bytes *out)
{
    char *p = strchr(text, '"');

    if (!p) {
        story_wrong(st, "a quote is missing");
        return NULL;
    }
    for (p++; p && *p && *p != '"';) {
        if (*p == '\\')
            p = unescape(st, p + 1, out);
        else
            buf_add_u8(&out->bytes, (uint8_t)*p++);
    }
    if (p && *p == '"') return p + 1;
    if (p) story_wrong(st, "the closing quote is missing");
    return NULL;
}

/* ---- the file */

static bool run_line(struct story *st, char *line)
{
    char *rest = line + strcspn(line, " ");
    story_word *word;

    if (*rest) *rest++ = '\0';
    word = talk_word(line);
    if (!word) word = check_word(line);
    return word ? word(st, rest) : story_wrong(st, "no such word: %s", line);
}

static bool run_file(struct story *st, FILE *f)
{
    char line[STORY_LINE_MAX];

    while (fgets(line, sizeof line, f)) {
        st->line++;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#') continue;
        if (!run_line(st, line)) return false;
    }
    return true;
}

static void end(struct story *st)
{
    for (unsigned i = 0; i < STORY_CLIENTS_MAX; i++)
        client_free(&st->clients[i]);
    world_end(st->world);
    log_close();
    fclose(st->log);
}

bool story_run(struct story *st, const char *file)
{
    FILE *f = fopen(file, "re");
    struct world *world = st->world;
    bool is_right;

    *st = (struct story){ .world = world, .file = file };
    if (!f) return story_wrong(st, "cannot be opened");
    for (unsigned m = 0; m < METRIC_COUNT; m++)
        st->metrics[m] = metric_get((enum metric)m);
    st->log = tmpfile();
    CHECK(st->log);
    log_open(fileno(st->log), LOG_INFO, LOG_LOGFMT, "7");
    world_begin(world);
    is_right = run_file(st, f);
    end(st);
    fclose(f);
    return is_right;
}
