/* cli_events - angarium events: what happened, and with --follow what happens. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"

#define PATH_SIZE  4096
#define PAGES_MAX  200 /* looked through for one answer */
#define LIMIT_MAX  10000
#define PAGE_LIMIT "500"

struct events_args {
    struct cli_target target;
    const char *type, *message, *recipient, *since, *limit, *cursor;
    bool follow;
};

/* ---- one event on a line */

static void print_event(const json_t *e)
{
    const json_t *reply = json_object_get(e, "reply");
    struct buf line;

    buf_init(&line, 256u << 10);
    cli_plain(cli_text(e, "recipient"), &line);
    if (*cli_text(e, "remote_host")) {
        buf_add_cstr(&line, "  ");
        cli_plain(cli_text(e, "remote_host"), &line);
    }
    if (cli_int(reply, "code") > 0)
        buf_addf(&line, "  %" JSON_INTEGER_FORMAT, cli_int(reply, "code"));
    if (*cli_text(reply, "text")) {
        buf_add_u8(&line, ' ');
        cli_plain(cli_text(reply, "text"), &line);
    }
    printf("%.23s  %-9s  %s  %s\n", cli_text(e, "time"), cli_text(e, "type"),
           cli_text(e, "message_id"), buf_cstr(&line));
    buf_deinit(&line);
}

static void show_one(const struct events_args *a, const json_t *e)
{
    if (a->target.json) {
        json_dumpf(e, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_event(e);
    }
}

/* ---- what happens */

static const struct span missing = { (const uint8_t *)": missing ", 10 };

static bool on_line(void *arg, struct span line)
{
    json_t *e;

    if (span_starts_nocase(line, missing)) {
        e = json_loadb((const char *)line.p + missing.n, line.n - missing.n, 0, NULL);
        if (e) cli_tell_missing(e);
        json_decref(e);
        return true;
    }
    if (line.n < 6 || !span_eq(span_sub(line, 0, 6), SPAN_LIT("data: "))) return true;
    e = json_loadb((const char *)line.p + 6, line.n - 6, 0, NULL);
    if (e) show_one(arg, e);
    json_decref(e);
    return fflush(stdout) == 0;
}

static void add_filters(const struct events_args *a, struct buf *path)
{
    cli_add_query(path, "type", a->type);
    cli_add_query(path, "message", a->message);
    cli_add_query(path, "recipient", a->recipient);
}

static int follow(const struct events_args *a)
{
    struct buf path;
    int rv;

    buf_init(&path, PATH_SIZE);
    buf_add_cstr(&path, "/api/v1/events/stream");
    add_filters(a, &path);
    cli_add_query(&path, "cursor", a->cursor);
    rv = cli_follow(&a->target, buf_cstr(&path), on_line, (void *)(uintptr_t)a);
    buf_deinit(&path);
    return rv;
}

/* ---- what happened: all pages, then the latest in order of time */

static int compare_times(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int by_time = strcmp(cli_text(x, "time"), cli_text(y, "time"));

    return by_time ? by_time : strcmp(cli_text(x, "id"), cli_text(y, "id"));
}

struct found {
    json_t **events;
    size_t count, cap;
};

static void keep_latest(struct found *f, size_t limit)
{
    size_t drop = f->count > limit ? f->count - limit : 0;

    if (f->count > 0) qsort(f->events, f->count, sizeof *f->events, compare_times);
    for (size_t i = 0; i < drop; i++)
        json_decref(f->events[i]);
    if (drop > 0) memmove(f->events, f->events + drop, (f->count - drop) * sizeof *f->events);
    f->count -= drop;
}

static void take_page(struct found *f, const json_t *items, size_t limit)
{
    json_t *e;
    size_t i;

    json_array_foreach(items, i, e)
    {
        if (f->count == f->cap) {
            f->cap = f->cap ? 2 * f->cap : 256;
            f->events = check_realloc(f->events, f->cap * sizeof *f->events);
        }
        f->events[f->count++] = json_incref(e);
    }
    if (f->count > 4 * limit + 1000) keep_latest(f, limit);
}

static int get_page(const struct events_args *a, const char *cursor, struct cli_answer *answer)
{
    struct buf path;
    int rv;

    buf_init(&path, PATH_SIZE);
    buf_add_cstr(&path, "/api/v1/events?limit=" PAGE_LIMIT);
    add_filters(a, &path);
    cli_add_query(&path, "since", a->since);
    cli_add_query(&path, "cursor", *cursor ? cursor : NULL);
    rv = cli_call(&a->target, "GET", buf_cstr(&path), NULL, (struct span){ 0 }, answer);
    buf_deinit(&path);
    return rv;
}

static int search(const struct events_args *a, size_t limit)
{
    char cursor[128] = "";
    struct found f = { 0 };
    int rv = CLI_DONE;
    unsigned pages = 0;

    if (a->cursor) snprintf(cursor, sizeof cursor, "%s", a->cursor);
    do {
        struct cli_answer answer = { 0 };

        rv = get_page(a, cursor, &answer);
        if (rv == CLI_DONE) take_page(&f, json_object_get(answer.json, "items"), limit);
        if (rv == CLI_DONE && pages == 0) cli_tell_missing(answer.json);
        snprintf(cursor, sizeof cursor, "%s",
                 rv == CLI_DONE ? cli_text(answer.json, "next_cursor") : "");
        cli_answer_free(&answer);
    } while (*cursor && ++pages < PAGES_MAX);
    keep_latest(&f, limit);
    for (size_t i = 0; rv == CLI_DONE && i < f.count; i++)
        show_one(a, f.events[i]);
    if (rv == CLI_DONE && *cursor)
        fprintf(stderr, "not all was looked through; go on with --cursor %s\n", cursor);
    keep_latest(&f, 0);
    free(f.events);
    return rv;
}

static int run(int argc, char **argv)
{
    struct events_args a = { 0 };
    unsigned words = 0;
    uint64_t limit = 50;
    const struct cli_option options[] = {
        CLI_TARGET_OPTIONS(a.target),
        { .name = "type", .text = &a.type },
        { .name = "message", .text = &a.message },
        { .name = "recipient", .text = &a.recipient },
        { .name = "since", .text = &a.since },
        { .name = "limit", .letter = 'n', .text = &a.limit },
        { .name = "cursor", .text = &a.cursor },
        { .name = "follow", .letter = 'f', .flag = &a.follow },
    };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], NULL, 0, &words);

    if (rv == 0 && a.limit) rv = cli_number("limit", a.limit, 1, LIMIT_MAX, &limit);
    if (rv == 0) rv = cli_target_find(&a.target);
    if (rv != 0) return rv;
    return a.follow ? follow(&a) : search(&a, (size_t)limit);
}

const struct cli_verb cli_verb_events = {
    .name = "events",
    .usage = "[--follow] [--type T] [--message ID] [--recipient A] [--since TIME] [--limit N] [-o "
             "table|json]",
    .line = "show what happened to mails, or follow it live",
    .help = "Shows the latest events in order of time, one a line; with -o json one JSON object a "
            "line.\n"
            "  --follow       show what happens from now on in the whole cluster (with --cursor "
            "EVENT: from\n"
            "                 there on); nodes that are missing are named on standard error\n"
            "  --type T       accepted deferred delivered bounced expired suppressed cancelled "
            "in_doubt held released\n"
            "  --message ID, --recipient ADDRESS, --since 2026-11-24T01:48:09Z\n"
            "  --limit N      the latest N (50)\n"
            "\n"
            "Examples:\n"
            "  angarium events --type bounced --since 2026-11-24T00:00:00Z\n"
            "  angarium events --follow -o json | jq -r 'select(.type == \"delivered\") | "
            ".recipient'\n",
    .run = run,
};
