/* cli_status - angarium status, nodes, certificates, shards: how the cluster stands. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ops/cli.h"

static int read_target(int argc, char **argv, struct cli_target *t)
{
    unsigned words = 0;
    const struct cli_option options[] = { CLI_TARGET_OPTIONS(*t) };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], NULL, 0, &words);

    return rv == 0 ? cli_target_find(t) : rv;
}

static int get(const struct cli_target *t, const char *path, struct cli_answer *a)
{
    return cli_call(t, "GET", path, NULL, (struct span){ 0 }, a);
}

/* ---- status */

/* What control says of it, and whether it can be reached. */
static const char *state_of(const json_t *node, char out[40])
{
    const char *state = cli_text(node, "state");
    bool down = json_is_false(json_object_get(node, "up")) && strcmp(state, "gone") != 0;

    snprintf(out, 40, "%s%s", state, down ? ", down" : "");
    return out;
}

static const char *or_dash(const char *text)
{
    return *text ? text : "-";
}

static void print_status(const json_t *nodes, const json_t *queue, const json_t *shards)
{
    const json_t *counts = json_object_get(queue, "counts"), *shard, *node;
    size_t i, led = 0, all = json_array_size(json_object_get(shards, "items"));
    char size[16], state[40];

    json_array_foreach(json_object_get(shards, "items"), i, shard) led +=
        cli_int(shard, "leader") > 0;
    json_array_foreach(json_object_get(nodes, "items"), i, node)
    {
        if (strcmp(cli_text(node, "state"), "gone") == 0) continue;
        printf("node      %" JSON_INTEGER_FORMAT " %s  %s  angarium %s  leads %" JSON_INTEGER_FORMAT
               " of %" JSON_INTEGER_FORMAT " shards\n",
               cli_int(node, "id"), or_dash(cli_text(node, "hostname")), state_of(node, state),
               or_dash(cli_text(node, "version")), cli_int(node, "leads"), cli_int(node, "shards"));
    }
    printf("verdict   %s\n",
           led == all ? "ok" : "DEGRADED: shards without a leader; see: angarium shards");
    cli_short_size((uint64_t)cli_int(counts, "bytes"), size);
    printf("queue     %" JSON_INTEGER_FORMAT " messages, %s; recipients: %" JSON_INTEGER_FORMAT
           " waiting, %" JSON_INTEGER_FORMAT " in the air, %" JSON_INTEGER_FORMAT " held\n",
           cli_int(counts, "messages"), size, cli_int(counts, "waiting"),
           cli_int(counts, "claimed"), cli_int(counts, "held"));
    printf("ever      %" JSON_INTEGER_FORMAT " accepted, %" JSON_INTEGER_FORMAT
           " delivered, %" JSON_INTEGER_FORMAT " bounced, %" JSON_INTEGER_FORMAT
           " expired, %" JSON_INTEGER_FORMAT " cancelled, %" JSON_INTEGER_FORMAT " in doubt\n",
           cli_int(counts, "accepted"), cli_int(counts, "delivered"), cli_int(counts, "bounced"),
           cli_int(counts, "expired"), cli_int(counts, "cancelled"), cli_int(counts, "in_doubt"));
}

static int show_status(const struct cli_target *t)
{
    static const char *const paths[] = { "/api/v1/nodes", "/api/v1/queue?limit=1",
                                         "/api/v1/shards" };
    struct cli_answer a[3] = { { 0 } };
    int rv = CLI_DONE;

    for (unsigned i = 0; rv == CLI_DONE && i < 3; i++)
        rv = get(t, paths[i], &a[i]);
    if (rv == CLI_DONE && t->json) {
        json_t *all = json_pack("{s:O, s:O, s:O}", "nodes", json_object_get(a[0].json, "items"),
                                "counts", json_object_get(a[1].json, "counts"), "shards",
                                json_object_get(a[2].json, "items"));

        cli_print_json(all);
        json_decref(all);
    } else if (rv == CLI_DONE) {
        print_status(a[0].json, a[1].json, a[2].json);
    }
    if (rv == CLI_DONE) cli_tell_missing(a[2].json); /* nodes, and shards */
    for (unsigned i = 0; i < 3; i++)
        cli_answer_free(&a[i]);
    return rv;
}

static int run_status(int argc, char **argv)
{
    struct cli_target t = { 0 };
    int rv = read_target(argc, argv, &t);

    return rv == 0 ? show_status(&t) : rv;
}

const struct cli_verb cli_verb_status = {
    .name = "status",
    .usage = "[-o table|json]",
    .line = "show how the cluster stands, in a few lines",
    .help = "Shows the nodes, whether every shard has a leader, and what is in the queue.\n"
            "\n"
            "Examples:\n"
            "  angarium status\n"
            "  angarium status --endpoint http://127.0.0.1:12502 --token-file "
            "/etc/angarium/api.token -o json\n",
    .run = run_status,
};

/* ---- nodes and shards */

static int show_items(const struct cli_target *t, const char *path,
                      void (*print)(const json_t *items))
{
    struct cli_answer a = { 0 };
    int rv = get(t, path, &a);

    if (rv == CLI_DONE && t->json)
        cli_print_json(a.json);
    else if (rv == CLI_DONE)
        print(json_object_get(a.json, "items"));
    if (rv == CLI_DONE) cli_tell_missing(a.json);
    cli_answer_free(&a);
    return rv;
}

static int show_list(int argc, char **argv, const char *path, void (*print)(const json_t *items))
{
    struct cli_target t = { 0 };
    int rv = read_target(argc, argv, &t);

    return rv == 0 ? show_items(&t, path, print) : rv;
}

static void print_nodes(const json_t *items)
{
    static const char *const heads[] = { ">ID",     "HOSTNAME", "STATE",  "VERSION",
                                         ">SHARDS", ">LEADS",   "STARTED" };
    struct cli_table t;
    const json_t *n;
    size_t i;
    char started[20], state[40];

    cli_table_start(&t, heads, 7);
    json_array_foreach(items, i, n)
    {
        cli_short_time(cli_text(n, "started_at"), started);
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(n, "id"));
        cli_table_add(&t, "%s", or_dash(cli_text(n, "hostname")));
        cli_table_add(&t, "%s", state_of(n, state));
        cli_table_add(&t, "%s", or_dash(cli_text(n, "version")));
        if (strcmp(cli_text(n, "state"), "gone") == 0) {
            cli_table_add(&t, "-");
            cli_table_add(&t, "-");
        } else {
            cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(n, "shards"));
            cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(n, "leads"));
        }
        cli_table_add(&t, "%s", or_dash(started));
    }
    cli_table_print(&t, stdout);
}

int cli_nodes_show(const struct cli_target *t)
{
    return show_items(t, "/api/v1/nodes", print_nodes);
}

static int run_nodes(int argc, char **argv)
{
    return show_list(argc, argv, "/api/v1/nodes", print_nodes);
}

const struct cli_verb cli_verb_nodes = {
    .name = "nodes",
    .usage = "[-o table|json]",
    .line = "list the nodes",
    .help = "Lists the nodes of the cluster with their state and how many shards they lead.\n"
            "\n"
            "Examples:\n"
            "  angarium nodes\n"
            "  angarium nodes --dir ./angarium-dev -o json\n",
    .run = run_nodes,
};

static void print_certificates(const json_t *items)
{
    static const char *const heads[] = { ">NODE", "USE",         "NAMES", "EXPIRES",
                                         ">DAYS", "SPKI-SHA256", "FILE" };
    struct cli_table t;
    const json_t *n, *c;
    size_t i, k;
    char expires[20];

    cli_table_start(&t, heads, 7);
    json_array_foreach(items, i, n)
    {
        json_array_foreach(json_object_get(n, "certificates"), k, c)
        {
            cli_short_time(cli_text(c, "not_after"), expires);
            cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(n, "id"));
            cli_table_add(&t, "%s", cli_text(c, "use"));
            cli_table_add(&t, "%s", cli_text(c, "names"));
            cli_table_add(&t, "%s", expires);
            cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(c, "days_left"));
            cli_table_add(&t, "%s", cli_text(c, "spki_sha256"));
            cli_table_add(&t, "%s", cli_text(c, "file"));
        }
    }
    cli_table_print(&t, stdout);
}

static int run_certificates(int argc, char **argv)
{
    return show_list(argc, argv, "/api/v1/nodes", print_certificates);
}

const struct cli_verb cli_verb_certificates = {
    .name = "certificates",
    .usage = "[-o table|json]",
    .line = "list the certificates in force: names, expiry, pins",
    .help = "Lists the certificates that the nodes show, with the day on which each expires and "
            "the SHA-256 of its\n"
            "public key (SPKI), in hex: what a client pins, and what a TLSA 3 1 1 record holds.\n"
            "\n"
            "Examples:\n"
            "  angarium certificates\n"
            "  angarium nodes -o json | jq -r '.items[].certificates[] | select(.days_left < 14) | "
            ".file'\n",
    .run = run_certificates,
};

static void print_shards(const json_t *items)
{
    static const char *const heads[] = { ">SHARD",   "ROLE",    ">LEADER", ">TERM",
                                         ">APPLIED", ">BEHIND", ">LOG",    ">MESSAGES",
                                         ">KEPT",    ">DOUBT",  "DIGEST" };
    struct cli_table t;
    const json_t *s;
    size_t i;
    char size[16];

    cli_table_start(&t, heads, 11);
    json_array_foreach(items, i, s)
    {
        const json_t *counts = json_object_get(s, "counts");

        cli_short_size((uint64_t)cli_int(s, "log_bytes"), size);
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(s, "id"));
        cli_table_add(&t, "%s", cli_text(s, "role"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(s, "leader"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(s, "term"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(s, "applied"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(s, "commit") - cli_int(s, "applied"));
        cli_table_add(&t, "%s", size);
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(counts, "messages"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(counts, "kept_messages"));
        cli_table_add(&t, "%" JSON_INTEGER_FORMAT, cli_int(counts, "in_doubt"));
        cli_table_add(&t, "%s", cli_text(s, "digest"));
    }
    cli_table_print(&t, stdout);
}

static int run_shards(int argc, char **argv)
{
    return show_list(argc, argv, "/api/v1/shards", print_shards);
}

const struct cli_verb cli_verb_shards = {
    .name = "shards",
    .usage = "[-o table|json]",
    .line = "list the shards: leader, log, queue",
    .help = "Lists the shards of the queue, each as one node says: its leader, or another holder. BEHIND: committed and not yet "
            "applied. DIGEST is\n"
            "the same on every replica that has applied the same entries.\n"
            "\n"
            "Examples:\n"
            "  angarium shards\n"
            "  angarium shards -o json | jq '.items[] | select(.leads | not)'\n",
    .run = run_shards,
};
