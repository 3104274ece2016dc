/* cli_node - angarium node ls, show, cordon, uncordon, drain, remove, promote. `angarium node -c FILE`, which runs one, is the
 * root's (main.c).
 */
#include <stdio.h>
#include <string.h>

#include "node/ops/cli_change.h"

#define PATH_SIZE 256

struct node_args {
    struct cli_change change;
    bool force;
    const char *words[2];
    unsigned count;
};

static bool is_verb(const char *word)
{
    static const char *const verbs[] = { "cordon", "uncordon", "drain", "remove", "promote" };

    for (unsigned i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i], word) == 0) return true;
    return false;
}

static int run(struct node_args *a)
{
    const char *verb = a->words[0];
    char path[PATH_SIZE];
    uint64_t id;
    int rv;

    if (a->count == 1 && strcmp(verb, "ls") == 0) return cli_nodes_show(&a->change.target);
    if (a->count == 1 && (is_verb(verb) || strcmp(verb, "show") == 0))
        return cli_usage("node", "%s: which node? its number, as angarium node ls shows it", verb);
    if (a->count != 2 || (!is_verb(verb) && strcmp(verb, "show") != 0))
        return cli_usage("node", "-c FILE, ls, or show, cordon, uncordon, drain, remove, promote "
                                 "and a node's number?");
    rv = cli_number("number of a node", a->words[1], 1, UINT32_MAX, &id);
    if (rv != 0) return rv;
    snprintf(path, sizeof path, "/api/v1/nodes/%llu%s%s?dry_run=%d%s", (unsigned long long)id,
             is_verb(verb) ? "/" : "", is_verb(verb) ? verb : "", a->change.dry_run,
             a->force ? "&force=true" : "");
    if (is_verb(verb)) return cli_change(&a->change, path);
    *strchr(path, '?') = '\0';
    return cli_change_show(&a->change.target, path);
}

int cli_node(int argc, char **argv)
{
    struct node_args a = { .words = { "", "" } };
    const struct cli_option options[] = { CLI_CHANGE_OPTIONS(a.change),
                                          { .name = "force", .flag = &a.force } };
    int rv =
        cli_read(argc, argv, options, sizeof options / sizeof options[0], a.words, 2, &a.count);

    if (rv != 0) return rv;
    if (a.count == 0) return cli_usage("node", "-c FILE, or what of the cluster's nodes?");
    rv = cli_target_find(&a.change.target);
    return rv == 0 ? run(&a) : rv;
}
