/* cli_upgrade - angarium cluster upgrade status, finalize. */
#include <stdio.h>
#include <string.h>

#include "node/ops/cli.h"

static void print_state(const json_t *j)
{
    const json_t *nodes = json_object_get(j, "nodes"), *n;
    size_t i;

    printf("format in force %" JSON_INTEGER_FORMAT ", known here up to %" JSON_INTEGER_FORMAT "\n",
           cli_int(j, "format"), cli_int(j, "known"));
    json_array_foreach(nodes, i, n)
    {
        const json_t *known = json_object_get(n, "known");

        printf("node %" JSON_INTEGER_FORMAT "  %s  ", cli_int(n, "id"),
               json_is_true(json_object_get(n, "up")) ? "up" : "down");
        if (json_is_integer(known))
            printf("knows formats up to %" JSON_INTEGER_FORMAT "\n", json_integer_value(known));
        else
            printf("has not said what it knows\n");
    }
    if (json_is_true(json_object_get(j, "may_finalize")))
        printf("format %" JSON_INTEGER_FORMAT " may be put in force: angarium cluster upgrade finalize\n",
               cli_int(j, "known"));
    else
        printf("%s\n", cli_text(j, "why"));
}

static int call(const struct cli_target *t, const char *method, const char *path)
{
    struct cli_answer a = { 0 };
    int rv = cli_call(t, method, path, "application/json", span_of("", 0), &a);

    if (rv == CLI_DONE && t->json)
        cli_print_json(a.json);
    else if (rv == CLI_DONE)
        print_state(a.json);
    cli_answer_free(&a);
    return rv;
}

int cli_upgrade(struct cli_target *t, const char *word, bool dry_run)
{
    int rv;

    if (strcmp(word, "status") != 0 && strcmp(word, "finalize") != 0)
        return cli_usage("cluster", "upgrade: status or finalize?");
    rv = cli_target_find(t);
    if (rv != CLI_DONE) return rv;
    t->patience_ms = CLI_PATIENCE_MS;
    if (strcmp(word, "status") == 0) return call(t, "GET", "/api/v1/upgrade");
    return call(t, "POST",
                dry_run ? "/api/v1/upgrade/finalize?dry_run=1" : "/api/v1/upgrade/finalize");
}
