/* cli_change - what verbs of nodes, regions and shards share: a change is asked for, what it does is told, and what takes long is waited
 * for, with its progress on standard error. Stopping to wait stops nothing.
 */
#include <poll.h>
#include <stdio.h>

#include "node/ops/cli_change.h"

#define ASK_EVERY_MS  500
#define ASK_FAILS_MAX 20 /* in a row: the node that is asked may restart */
#define PATH_SIZE     512

static void say_does(const json_t *answer)
{
    const json_t *line;
    bool dry = json_is_true(json_object_get(answer, "dry_run"));
    size_t i;

    json_array_foreach(json_object_get(answer, "does"), i, line)
        printf("%s%s\n", dry ? "would: " : "", json_string_value(line));
    if (json_object_get(answer, "shard"))
        printf("shard %" JSON_INTEGER_FORMAT "\n", cli_int(answer, "shard"));
    fflush(stdout); /* before what is told while one waits */
}

/* One more line when it has changed; on a terminal in the place of the last one. */
static void say_progress(const json_t *operation, char last[300])
{
    const char *text = cli_text(operation, "progress");

    if (strcmp(text, last) == 0) return;
    snprintf(last, 300, "%s", text);
    if (cli_is_terminal(stderr))
        fprintf(stderr, "\r\033[K%s", text);
    else
        fprintf(stderr, "%s\n", text);
}

static int wait_for(const struct cli_target *t, const char *operation)
{
    char path[PATH_SIZE], last[300] = "";
    unsigned fails = 0;
    bool done = false;
    int rv = CLI_DONE;

    snprintf(path, sizeof path, "/api/v1/operations/%s", operation);
    while (!done && fails < ASK_FAILS_MAX) {
        struct cli_answer a = { 0 };

        rv = cli_call(t, "GET", path, NULL, (struct span){ 0 }, &a);
        fails = rv == CLI_DONE ? 0 : fails + 1;
        if (rv == CLI_DONE) say_progress(a.json, last);
        done = rv == CLI_DONE && json_is_true(json_object_get(a.json, "done"));
        cli_answer_free(&a);
        if (rv == CLI_NOT_FOUND || rv == CLI_NOT_ALLOWED) return rv;
        if (!done) poll(NULL, 0, ASK_EVERY_MS);
    }
    if (last[0] && cli_is_terminal(stderr)) fputc('\n', stderr);
    return done ? CLI_DONE
                : cli_fail(CLI_UNKNOWN, "how far it is is not known; ask again: %s", path);
}

int cli_change(const struct cli_change *c, const char *path)
{
    struct cli_target t = c->target;
    struct cli_answer a = { 0 };
    const char *operation;
    int rv;

    t.patience_ms = CLI_PATIENCE_MS;
    rv = cli_call(&t, "POST", path, NULL, (struct span){ 0 }, &a);
    if (a.status == 400) rv = CLI_USAGE; /* an option's value */
    if (rv == CLI_DONE && c->target.json) cli_print_json(a.json);
    if (rv == CLI_DONE && !c->target.json) say_does(a.json);
    operation = rv == CLI_DONE ? cli_text(a.json, "operation") : "";
    if (operation[0] && !c->dry_run && !c->no_wait) rv = wait_for(&c->target, operation);
    cli_answer_free(&a);
    return rv;
}

int cli_change_show(const struct cli_target *t, const char *path)
{
    struct cli_answer a = { 0 };
    int rv = cli_call(t, "GET", path, NULL, (struct span){ 0 }, &a);

    if (rv == CLI_DONE) cli_print_json(a.json);
    cli_answer_free(&a);
    return rv;
}
