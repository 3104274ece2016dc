/* cli_message - angarium message ID: one mail's story, from acceptance to its end; and hold,
 * release, cancel. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/cli.h"

#define PATH_SIZE 512

struct message_args {
    struct cli_target target;
    bool body;
    const char *recipient;
    const char *words[2]; /* id, action */
};

/* A foreign text on the terminal. */
static void put(const char *text)
{
    struct buf shown;

    buf_init(&shown, 64u << 10);
    cli_plain(text, &shown);
    fputs(buf_cstr(&shown), stdout);
    buf_deinit(&shown);
}

static void put_line(const char *name, const char *text)
{
    if (!*text) return;
    printf("%-10s", name);
    put(text);
    putchar('\n');
}

/* ---- the envelope */

static void print_origin(const json_t *o)
{
    printf("%-10s", "came by");
    put(cli_text(o, "protocol"));
    if (*cli_text(o, "helo")) printf(" from ");
    put(cli_text(o, "helo"));
    if (*cli_text(o, "client_address")) printf(" [");
    put(cli_text(o, "client_address"));
    if (*cli_text(o, "client_address")) putchar(']');
    if (*cli_text(o, "tls")) printf(", ");
    put(cli_text(o, "tls"));
    if (*cli_text(o, "credential")) printf(", as ");
    put(cli_text(o, "credential"));
    printf(", at node %" JSON_INTEGER_FORMAT "\n", cli_int(o, "node"));
}

static void print_envelope(const json_t *m)
{
    char accepted[20], expires[20], size[16];

    cli_short_time(cli_text(m, "accepted_at"), accepted);
    cli_short_time(cli_text(m, "expires_at"), expires);
    cli_short_size((uint64_t)cli_int(m, "size"), size);
    put_line("message", cli_text(m, "id"));
    put_line("from", *cli_text(m, "mail_from") ? cli_text(m, "mail_from") : "<> (a bounce)");
    put_line("bounce of", cli_text(m, "bounce_of"));
    put_line("tenant", cli_text(json_object_get(m, "origin"), "tenant"));
    put_line("size", size);
    print_origin(json_object_get(m, "origin"));
    printf("%-10s%s, expires %s\n", "accepted", accepted, expires);
}

static void print_recipients(const json_t *list)
{
    static const char *const heads[] = { ">NO",       "RECIPIENT", "STATE",
                                         ">ATTEMPTS", ">DOUBTS",   "NEXT ATTEMPT" };
    struct cli_table t;
    const json_t *r;
    size_t i;
    char next[20];

    putchar('\n');
    cli_table_start(&t, heads, 6);
    json_array_foreach(list, i, r)
    {
        cli_short_time(cli_text(r, "next_attempt_at"), next);
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(r, "number"));
        cli_table_add(&t, "%s", cli_text(r, "address"));
        cli_table_add(&t, "%s", cli_text(r, "state"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(r, "attempts"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(r, "doubts"));
        cli_table_add(&t, "%s", *next ? next : "-");
    }
    cli_table_print(&t, stdout);
}

/* ---- the story */

static void print_attempt(const json_t *e)
{
    const json_t *reply = json_object_get(e, "reply");
    char next[20];

    if (cli_int(e, "attempt") > 0)
        printf("  attempt %" JSON_INTEGER_FORMAT " by node %" JSON_INTEGER_FORMAT, cli_int(e, "attempt"),
               cli_int(e, "node"));
    if (*cli_text(e, "remote_host")) printf(" at ");
    put(cli_text(e, "remote_host"));
    if (*cli_text(e, "remote_address")) printf(" [");
    put(cli_text(e, "remote_address"));
    if (*cli_text(e, "remote_address")) putchar(']');
    if (*cli_text(e, "tls")) printf(", ");
    put(cli_text(e, "tls"));
    if (*cli_text(e, "class")) printf("  (");
    put(cli_text(e, "class"));
    if (*cli_text(e, "class")) putchar(')');
    if (*cli_text(e, "by")) printf("  by ");
    put(cli_text(e, "by"));
    putchar('\n');
    if (reply) {
        printf("%34s", "");
        if (cli_int(reply, "code") > 0) printf("%" JSON_INTEGER_FORMAT " ", cli_int(reply, "code"));
        put(cli_text(reply, "text"));
        putchar('\n');
    }
    cli_short_time(cli_text(e, "next_attempt_at"), next);
    if (*next) printf("%34snext attempt %s\n", "", next);
}

static int compare_times(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    int by_time = strcmp(cli_text(x, "time"), cli_text(y, "time"));

    return by_time ? by_time : strcmp(cli_text(x, "id"), cli_text(y, "id"));
}

static void print_story(const json_t *items)
{
    size_t n = json_array_size(items);
    const json_t **events = calloc(n + 1, sizeof *events);

    if (!events) return;
    for (size_t i = 0; i < n; i++)
        events[i] = json_array_get(items, i);
    qsort(events, n, sizeof *events, compare_times);
    putchar('\n');
    for (size_t i = 0; i < n; i++) {
        printf("%.23s  %-9s  ", cli_text(events[i], "time"), cli_text(events[i], "type"));
        put(cli_text(events[i], "recipient"));
        print_attempt(events[i]);
    }
    free(events);
}

/* ---- doing it */

static int get(const struct cli_target *t, const char *id, const char *what, struct cli_answer *a)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "/api/v1/messages/%s%s", id, what);
    return cli_call(t, "GET", path, NULL, (struct span){ 0 }, a);
}

static int show(const struct message_args *a)
{
    struct cli_answer message = { 0 }, events = { 0 };
    int rv = get(&a->target, a->words[0], "", &message);

    if (rv == CLI_DONE) rv = get(&a->target, a->words[0], "/events", &events);
    if (rv == CLI_DONE && a->target.json) {
        json_object_set(message.json, "events", json_object_get(events.json, "items"));
        cli_print_json(message.json);
    } else if (rv == CLI_DONE) {
        print_envelope(message.json);
        print_recipients(json_object_get(message.json, "recipients"));
        print_story(json_object_get(events.json, "items"));
    }
    cli_answer_free(&message);
    cli_answer_free(&events);
    return rv;
}

static int show_body(const struct message_args *a)
{
    struct cli_answer body = { 0 };
    struct buf path;
    int rv;

    buf_init(&path, PATH_SIZE);
    buf_addf(&path, "/api/v1/messages/%s/body", a->words[0]);
    cli_add_query(&path, "recipient", a->recipient);
    rv = cli_call(&a->target, "GET", buf_cstr(&path), NULL, (struct span){ 0 }, &body);
    if (rv == CLI_DONE) fwrite(body.body.p, 1, body.body.n, stdout);
    cli_answer_free(&body);
    buf_deinit(&path);
    return rv;
}

static int give_order(const struct message_args *a)
{
    static const char *const orders[] = { "hold", "release", "cancel" };
    struct cli_answer answer = { 0 };
    bool is_known = false;
    struct buf path;
    int rv;

    for (unsigned i = 0; i < sizeof orders / sizeof orders[0]; i++)
        is_known = is_known || strcmp(a->words[1], orders[i]) == 0;
    if (!is_known)
        return cli_usage("message", "\"%s\" is none of: hold, release, cancel", a->words[1]);
    buf_init(&path, PATH_SIZE);
    buf_addf(&path, "/api/v1/messages/%s/%s", a->words[0], a->words[1]);
    cli_add_query(&path, "recipient", a->recipient);
    rv = cli_call(&a->target, "POST", buf_cstr(&path), NULL, (struct span){ 0 }, &answer);
    if (rv == CLI_DONE && a->target.json) cli_print_json(answer.json);
    if (rv == CLI_DONE && !a->target.json)
        fprintf(stderr, "%s: %s done\n", a->words[0], a->words[1]);
    cli_answer_free(&answer);
    buf_deinit(&path);
    return rv;
}

static bool is_id(const char *text)
{
    uint64_t v;

    return base32_parse(span_cstr(text), &v) == 0;
}

static int run(int argc, char **argv)
{
    struct message_args a = { 0 };
    unsigned words = 0;
    const struct cli_option options[] = {
        CLI_TARGET_OPTIONS(a.target),
        { .name = "body", .flag = &a.body },
        { .name = "recipient", .text = &a.recipient },
    };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], a.words, 2, &words);

    if (rv != 0) return rv;
    if (words == 0)
        return cli_usage(argv[0], "which message? its id is what `250 ... queued as` said");
    if (words == 2 && is_id(a.words[1]))
        return cli_usage(argv[0], "the id stands first: angarium message %s %s", a.words[1], a.words[0]);
    if (!is_id(a.words[0]))
        return cli_usage(argv[0], "\"%s\" is no message id (13 characters)", a.words[0]);
    if (words == 2 && a.body)
        return cli_usage(argv[0], "--body and %s exclude each other", a.words[1]);
    rv = cli_target_find(&a.target);
    if (rv != 0) return rv;
    if (words == 2) return give_order(&a);
    return a.body ? show_body(&a) : show(&a);
}

const struct cli_verb cli_verb_message = {
    .name = "message",
    .usage = "ID [hold|release|cancel] [--body] [--recipient N] [-o table|json]",
    .line = "show one message's story, or hold, release, cancel it",
    .help = "Shows the envelope, the state of every recipient, and what happened in order of time: "
            "every attempt, the\n"
            "host, and its reply. The id is what the sender was told: 250 2.0.0 OK: queued as ID.\n"
            "  --body         print the mail itself, as it was kept in the inbox or is kept for "
            "delivery\n"
            "  --recipient N  only that recipient (with --body, hold, release, cancel)\n"
            "  hold           keep it back; release: deliver it after all; cancel: end it without "
            "delivery\n"
            "\n"
            "Examples:\n"
            "  angarium message 0004000000042\n"
            "  angarium message 0004000000042 --body | less\n"
            "  angarium message 0004000000042 hold\n",
    .run = run,
};
