/* cli_region - angarium region ls, drain. */
#include <stdio.h>
#include <string.h>

#include "node/ops/cli_change.h"

#define PATH_SIZE 256

static void print_regions(const json_t *items)
{
    static const char *const heads[] = { "REGION", ">NODES", ">UP", ">SERVING", ">REPLICAS", ">LEADS" };
    static const char *const keys[] = { "nodes", "up", "serving", "replicas", "leads" };
    struct cli_table t;
    const json_t *r;
    size_t i;

    cli_table_start(&t, heads, sizeof heads / sizeof heads[0]);
    json_array_foreach(items, i, r)
    {
        const char *name = cli_text(r, "region");

        cli_table_add(&t, "%s", *name ? name : "-");
        for (unsigned k = 0; k < sizeof keys / sizeof keys[0]; k++)
            cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(r, keys[k]));
    }
    cli_table_print(&t, stdout);
}

static int list(const struct cli_target *t)
{
    struct cli_answer a = { 0 };
    int rv = cli_call(t, "GET", "/api/v1/regions", NULL, span_of("", 0), &a);

    if (rv == CLI_DONE && t->json)
        cli_print_json(a.json);
    else if (rv == CLI_DONE)
        print_regions(json_object_get(a.json, "items"));
    cli_answer_free(&a);
    return rv;
}

static bool is_name(const char *name)
{
    return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
                        strlen(name);
}

static int run(int argc, char **argv)
{
    struct cli_change change = { 0 };
    const char *words[2] = { "", "" };
    char path[PATH_SIZE];
    unsigned count = 0;
    const struct cli_option options[] = { CLI_CHANGE_OPTIONS(change) };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], words, 2, &count);

    if (rv == 0) rv = cli_target_find(&change.target);
    if (rv != 0) return rv;
    if (count == 1 && strcmp(words[0], "ls") == 0) return list(&change.target);
    if (count == 1 && strcmp(words[0], "drain") == 0)
        return cli_usage("region", "drain: which region? its name, as angarium region ls shows it");
    if (count != 2 || strcmp(words[0], "drain") != 0 || !is_name(words[1]))
        return cli_usage("region", "ls, or drain and a region's name?");
    snprintf(path, sizeof path, "/api/v1/regions/%.120s/drain?dry_run=%d", words[1], change.dry_run);
    return cli_change(&change, path);
}

const struct cli_verb cli_verb_region = {
    .name = "region",
    .usage = "ls | drain REGION [--dry-run] [--no-wait]",
    .line = "list the regions, move everything away from one",
    .help = "ls shows how many nodes a region has and what they hold. drain: its nodes get nothing new, and all\n"
            "replicas and leaderships move to nodes of other regions; waited for, with its progress, unless --no-wait.\n"
            "Refused (5) when nobody else could take them, or a shard would lose its quorum. `angarium node uncordon`\n"
            "takes nodes back, one by one.\n"
            "\n"
            "Examples:\n"
            "  angarium region ls\n"
            "  angarium region drain eu-west --dry-run\n",
    .run = run,
};
