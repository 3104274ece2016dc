/* cli_shard - angarium shard ls, show, create, close, transfer, move. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/ops/cli_change.h"

#define PATH_SIZE 512

struct shard_args {
    struct cli_change change;
    const char *to, *node, *spread, *voters, *words[2];
    unsigned count;
};

static void put_list(char *out, size_t size, const json_t *list)
{
    const json_t *one;
    size_t i, n = 0;

    out[0] = '\0';
    json_array_foreach(list, i, one)
    {
        n += (size_t)snprintf(out + n, size - n, "%s%" JSON_INTEGER_FORMAT, i ? "," : "",
                              json_integer_value(one));
        if (n >= size) return;
    }
}

static void print_placements(const json_t *items)
{
    static const char *const heads[] = { ">SHARD", "STATE", ">LEADER", "VOTERS", "MOVES" };
    struct cli_table t;
    const json_t *s;
    size_t i;
    char list[128];

    cli_table_start(&t, heads, 5);
    json_array_foreach(items, i, s)
    {
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(s, "id"));
        cli_table_add(&t, "%s", cli_text(s, "state"));
        if (json_is_integer(json_object_get(s, "leader")))
            cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(s, "leader"));
        else
            cli_table_add(&t, "-");
        put_list(list, sizeof list, json_object_get(s, "voters"));
        cli_table_add(&t, "%s", list);
        put_list(list, sizeof list, json_object_get(s, "holders"));
        if (json_is_true(json_object_get(s, "in_force")))
            cli_table_add(&t, "-");
        else
            cli_table_add(&t, "of %s", list);
    }
    cli_table_print(&t, stdout);
}

static int list(const struct cli_target *t)
{
    struct cli_answer a = { 0 };
    int rv = cli_call(t, "GET", "/api/v1/placements", NULL, (struct span){ 0 }, &a);

    if (rv == CLI_DONE && t->json)
        cli_print_json(a.json);
    else if (rv == CLI_DONE)
        print_placements(json_object_get(a.json, "items"));
    cli_answer_free(&a);
    return rv;
}

static int change(const struct shard_args *a, const char *path, const char *key, const char *value)
{
    struct buf full;
    int rv;

    buf_init(&full, PATH_SIZE);
    buf_add_cstr(&full, path);
    cli_add_query(&full, "dry_run", a->change.dry_run ? "true" : NULL);
    if (key) cli_add_query(&full, key, value);
    if (strcmp(a->words[0], "create") == 0) cli_add_query(&full, "spread", a->spread);
    rv = buf_failed(&full) ? cli_usage("shard", "%s is too long", key)
                           : cli_change(&a->change, buf_cstr(&full));
    buf_deinit(&full);
    return rv;
}

static int change_one(const struct shard_args *a, const char *verb)
{
    char path[PATH_SIZE];
    uint64_t shard;
    int rv = cli_number("number of a shard", a->words[1], 1, UINT32_MAX, &shard);

    if (rv != 0) return rv;
    snprintf(path, sizeof path, "/api/v1/shards/%" PRIu64, shard);
    if (strcmp(verb, "show") == 0) return cli_change_show(&a->change.target, path);
    snprintf(path, sizeof path, "/api/v1/shards/%" PRIu64 "/%s", shard, verb);
    if (strcmp(verb, "close") == 0) return change(a, path, NULL, NULL);
    if (strcmp(verb, "transfer") == 0 && a->to) return change(a, path, "to", a->to);
    if (strcmp(verb, "move") == 0 && a->voters) return change(a, path, "voters", a->voters);
    return strcmp(verb, "transfer") == 0 ? cli_usage("shard", "transfer: to which of its voters? --to NODE")
                                         : cli_usage("shard", "move: to which nodes? --voters NODE,NODE,..., the first one leads");
}

static int run_args(const struct shard_args *a)
{
    static const char *const verbs[] = { "show", "close", "transfer", "move" };

    if (a->count == 1 && strcmp(a->words[0], "ls") == 0) return list(&a->change.target);
    if (a->count == 1 && strcmp(a->words[0], "create") == 0)
        return change(a, "/api/v1/shards", "node", a->node);
    for (unsigned i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i], a->words[0]) != 0) continue;
        if (a->count == 2) return change_one(a, verbs[i]);
        return cli_usage("shard", "%s: which shard? its number, as angarium shard ls shows it", verbs[i]);
    }
    return cli_usage("shard", "ls, create, or show, close, transfer, move and a shard's number?");
}

static int run(int argc, char **argv)
{
    struct shard_args a = { .words = { "", "" } };
    const struct cli_option options[] = { CLI_CHANGE_OPTIONS(a.change),
                                          { .name = "to", .text = &a.to },
                                          { .name = "node", .text = &a.node },
                                          { .name = "spread", .text = &a.spread },
                                          { .name = "voters", .text = &a.voters } };
    int rv =
        cli_read(argc, argv, options, sizeof options / sizeof options[0], a.words, 2, &a.count);

    if (rv == 0) rv = cli_target_find(&a.change.target);
    return rv == 0 ? run_args(&a) : rv;
}

const struct cli_verb cli_verb_shard = {
    .name = "shard",
    .usage = "ls | show N | create [--node ID] [--spread zone|region] | close N | transfer N --to ID | move N --voters "
             "ID,ID,...",
    .line = "place, create and close shards",
    .help =
        "ls shows where all shards of the cluster are, and which of them move; show one of them.\n"
        "create makes one more, led by the node that --node names; --spread: its voters over zones of one region, or over\n"
        "regions, and a commit needs two of them (as the cluster's are).\n"
        "close: it takes no new mail, what is in it is delivered; its history is readable until "
        "delivery.retention\n"
        "is over, then it is gone. Refused (5) for the last one that is open.\n"
        "transfer: a voter of it leads it from now on. move: these nodes hold it from now on, the "
        "first one leads;\n"
        "who is new learns first. Refused (5) when no quorum of them lives.\n"
        "  --dry-run    only say what it would do\n"
        "  --no-wait    do not wait until it is done\n"
        "\n"
        "Examples:\n"
        "  angarium shard ls\n"
        "  angarium shard transfer 5 --to 2\n"
        "  angarium shard move 5 --voters 1,3,4 --dry-run\n"
        "  angarium shard close 5\n",
    .run = run,
};
