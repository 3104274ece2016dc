/* main - the one binary: the verbs of ops, and `node`, which only the root of the tree can wire. */
#include <stdio.h>
#include <string.h>

#include "node/node.h"
#include "node/ops/ops.h"

static int run_node(int argc, char **argv)
{
    if (argc == 3 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "--config") == 0))
        return node_run(argv[2]);
    fprintf(
        stderr,
        "usage: angarium node -c FILE\n"
        "FILE holds the settings; `angarium check-config FILE` tells what is wrong with them.\n");
    return CLI_USAGE;
}

int main(int argc, char **argv)
{
    static const struct cli_verb node = {
        .name = "node",
        .usage = "-c FILE",
        .line = "run a node in the foreground",
        .help =
            "Runs one node of the relay with the settings in FILE, in the foreground; log lines go "
            "to\n"
            "standard error. SIGTERM: leave politely (sessions are told 421, what was accepted "
            "stays\n"
            "in the queue). SIGHUP: reload credentials, tenants, certificates, the API token and the\n"
                "log level.\n"
            "\n"
            "Examples:\n"
            "  angarium check-config /etc/angarium/node.yaml && angarium node -c "
            "/etc/angarium/node.yaml\n",
        .run = run_node,
    };

    return cli_main(argc, argv, &node, 1);
}
