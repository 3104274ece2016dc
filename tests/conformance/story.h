/* story - one conversation out of a file: README.md tells the words. */
#ifndef CONFORMANCE_STORY_H
#define CONFORMANCE_STORY_H

#include <stdio.h>

#include "proto/ground/metric.h"
#include "tests/conformance/world.h"

#define STORY_CLIENTS_MAX 4
#define STORY_LINE_MAX    4096

struct story {
    struct world *world;
    const char *file;
    unsigned line;
    struct client *clients[STORY_CLIENTS_MAX];
    unsigned current;
    enum accept_kind kind;
    uint64_t writes_before; /* as of `mark` */
    bool is_narrow;         /* connections from here on */
    char from[46];          /* the same; "": 127.0.0.1 */
    FILE *log;
    uint64_t metrics[METRIC_COUNT]; /* as of the story's begin */
};

/* Each word: true when all is as told; else it has said what is not. `rest` is what follows the
 * word. */
typedef bool story_word(struct story *st, char *rest);

/* True when every line held. `file` is named in what is said. */
bool story_run(struct story *st, const char *file);

/* For words. */
bool story_wrong(const struct story *st, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct client *story_client(struct story *st); /* NULL, and said, when there is none */
/* "..." with C escapes, appended to out; \| becomes a cut (cuts: positions). Returns behind the
 * closing quote, NULL when it is none. */
#define STORY_CUTS_MAX 256
struct story_bytes {
    struct buf bytes;
    size_t cuts[STORY_CUTS_MAX];
    unsigned cut_count;
};
char *story_unquote(struct story *st, char *text, struct story_bytes *out);
/* Cuts the next word off *rest: terminated; "" when there is none. */
char *story_cut(char **rest);
/* A decimal number; says so when it is none. */
bool story_number(const struct story *st, const char *text, uint64_t *out);
bool story_matches(const char *pattern, const char *text); /* * at the end: anything */
/* A mail of exactly n bytes (at least 19): header, empty line, lines. */
void story_fill(size_t n, struct buf *out);
bool story_error(const char *name, int *out); /* "ok", "full", "not_leader" ... */

story_word *talk_word(const char *name);  /* talk.c: what the client does and hears */
story_word *check_word(const char *name); /* see.c: what the other side got, and what it shall do */

#endif
