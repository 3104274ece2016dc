/* cli_queue - angarium queue: what waits, and why. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/cli.h"

#define PATH_SIZE 4096

static void print_counts(const json_t *counts)
{
    char size[16];

    cli_short_size((uint64_t)cli_int(counts, "bytes"), size);
    fprintf(stderr,
            "%" JSON_INTEGER_FORMAT " messages, %s; recipients: %" JSON_INTEGER_FORMAT
            " waiting, %" JSON_INTEGER_FORMAT " in the air, %" JSON_INTEGER_FORMAT
            " held; %" JSON_INTEGER_FORMAT " in doubt\n",
            cli_int(counts, "messages"), size, cli_int(counts, "waiting"),
            cli_int(counts, "claimed"), cli_int(counts, "held"), cli_int(counts, "in_doubt_now"));
}

static void add_row(struct cli_table *t, const json_t *message, const json_t *r)
{
    const json_t *reply = json_object_get(r, "last_reply");
    char accepted[20], next[20], size[16];

    cli_short_time(cli_text(message, "accepted_at"), accepted);
    cli_short_time(cli_text(r, "next_attempt_at"), next);
    cli_short_size((uint64_t)cli_int(message, "size"), size);
    cli_table_add(t, "%s", cli_text(message, "id"));
    cli_table_add(t, "%s", accepted);
    cli_table_add(t, "%s", size);
    cli_table_add(t, "%s", *cli_text(message, "mail_from") ? cli_text(message, "mail_from") : "<>");
    cli_table_add(t, "%s", cli_text(r, "address"));
    cli_table_add(t, "%s", cli_text(r, "state"));
    cli_table_add(t, "%" JSON_INTEGER_FORMAT, cli_int(r, "attempts"));
    cli_table_add(t, "%s", *next ? next : "-");
    if (cli_int(reply, "code") > 0)
        cli_table_add(t, "%" JSON_INTEGER_FORMAT " %s", cli_int(reply, "code"),
                      cli_text(reply, "text"));
    else
        cli_table_add(t, "%s", reply ? cli_text(reply, "text") : cli_text(r, "class"));
}

static void add_doubt(struct cli_table *t, const json_t *message, const json_t *r)
{
    char since[20];

    cli_short_time(cli_text(r, "in_doubt_since"), since);
    cli_table_add(t, "%s", cli_text(message, "id"));
    cli_table_add(t, "%" JSON_INTEGER_FORMAT, cli_int(r, "number"));
    cli_table_add(t, "%s", *cli_text(message, "mail_from") ? cli_text(message, "mail_from") : "<>");
    cli_table_add(t, "%s", cli_text(r, "address"));
    cli_table_add(t, "%s", cli_text(r, "state"));
    cli_table_add(t, "%s", since);
    cli_table_add(t, "%" JSON_INTEGER_FORMAT, cli_int(r, "doubts"));
    cli_table_add(t, "%s", *cli_text(r, "last_host") ? cli_text(r, "last_host") : "-");
}

/* A row for each recipient of each message. */
static void print_items(const json_t *items, const char *const *heads, unsigned count,
                        void (*add)(struct cli_table *t, const json_t *message, const json_t *r))
{
    struct cli_table t;
    const json_t *message, *r;
    size_t i, k;

    if (json_array_size(items) == 0) return;
    cli_table_start(&t, heads, count);
    json_array_foreach(items, i, message)
    {
        json_t *recipients = json_object_get(message, "recipients");

        json_array_foreach(recipients, k, r) add(&t, message, r);
    }
    cli_table_print(&t, stdout);
}

static const char *const doubt_heads[] = { "ID",      ">NO",      "FROM",
                                           "TO",      "STATE",    "IN DOUBT SINCE",
                                           ">DOUBTS", "LAST HOST" };
static const char *const row_heads[] = { "ID",    "ACCEPTED",  ">SIZE",        "FROM",      "TO",
                                         "STATE", ">ATTEMPTS", "NEXT ATTEMPT", "LAST REPLY" };

struct queue_args {
    struct cli_target target;
    const char *limit, *cursor, *state, *domain;
    bool in_doubt;
};

static void make_path(const struct queue_args *a, struct buf *path)
{
    buf_add_cstr(path, "/api/v1/queue");
    cli_add_query(path, "limit", a->limit);
    cli_add_query(path, "cursor", a->cursor);
    cli_add_query(path, "state", a->state);
    cli_add_query(path, "domain", a->domain);
    cli_add_query(path, "in_doubt", a->in_doubt ? "true" : NULL);
}

static int show(const struct queue_args *a)
{
    struct cli_answer answer = { 0 };
    struct buf path;
    int rv;

    buf_init(&path, PATH_SIZE);
    make_path(a, &path);
    rv = cli_call(&a->target, "GET", buf_cstr(&path), NULL, (struct span){ 0 }, &answer);
    if (rv == CLI_DONE && a->target.json) {
        cli_print_json(answer.json);
    } else if (rv == CLI_DONE) {
        if (a->in_doubt)
            print_items(json_object_get(answer.json, "items"), doubt_heads, 8, add_doubt);
        else
            print_items(json_object_get(answer.json, "items"), row_heads, 9, add_row);
        print_counts(json_object_get(answer.json, "counts"));
        if (*cli_text(answer.json, "next_cursor"))
            fprintf(stderr, "there is more: --cursor %s\n", cli_text(answer.json, "next_cursor"));
    }
    if (rv == CLI_DONE) cli_tell_missing(answer.json);
    cli_answer_free(&answer);
    buf_deinit(&path);
    return rv;
}

static int run(int argc, char **argv)
{
    struct queue_args a = { 0 };
    unsigned words = 0;
    const struct cli_option options[] = {
        CLI_TARGET_OPTIONS(a.target),
        { .name = "limit", .text = &a.limit },
        { .name = "cursor", .text = &a.cursor },
        { .name = "state", .text = &a.state },
        { .name = "domain", .text = &a.domain },
        { .name = "in-doubt", .flag = &a.in_doubt },
    };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], NULL, 0, &words);

    if (rv == 0) rv = cli_target_find(&a.target);
    return rv == 0 ? show(&a) : rv;
}

const struct cli_verb cli_verb_queue = {
    .name = "queue",
    .usage = "[--state waiting|claimed|held] [--in-doubt] [--domain D] [--limit N] [--cursor C] "
             "[-o table|json]",
    .line = "show the messages that wait, and why",
    .help = "Shows pending recipients message by message with the last reply and the time of the "
            "next attempt.\n"
            "  --state S    only recipients in that state (claimed: an attempt is in the air)\n"
            "  --domain D   only recipients at that domain\n"
            "  --in-doubt   only recipients that may have arrived although they are pending: since "
            "when, and the\n"
            "               host of the last attempt; end it with angarium message ID release, or "
            "cancel\n"
            "  --limit N    messages of a page (50); --cursor C: the next page\n"
            "\n"
            "Examples:\n"
            "  angarium queue\n"
            "  angarium queue --domain example.org --state waiting\n"
            "  angarium queue --in-doubt\n"
            "  angarium queue -o json --limit 500 | jq .counts\n",
    .run = run,
};
