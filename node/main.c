/* main - the one binary: the verbs of ops, and `node`, which only the root of the tree can wire. */
#include <string.h>

#include "node/node.h"
#include "node/ops/ops.h"

static int run_node(int argc, char **argv)
{
    if (argc == 3 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "--config") == 0))
        return node_run(argv[2]);
    return cli_node(argc, argv);
}

int main(int argc, char **argv)
{
    static const struct cli_verb node = {
        .name = "node",
        .usage = "-c FILE | ls | show ID | cordon ID | uncordon ID | drain ID | remove ID "
                 "[--force] | promote ID",
        .line = "run a node in the foreground; or see to the cluster's nodes",
        .help =
            "Runs one node of the relay with the settings in FILE, in the foreground; log lines go "
            "to\n"
            "standard error. SIGTERM: leave politely (sessions are told 421, what was accepted "
            "stays\n"
            "in the queue). SIGHUP: reload credentials, tenants, certificates, the API token and "
            "the\n"
            "log level.\n"
            "\n"
            "The other words talk to a running cluster. cordon: nothing new comes to the node, and "
            "it "
            "keeps what it has;\n"
            "uncordon: it serves again. drain: its leaderships, then its replicas move away; with "
            "progress until it holds\n"
            "nothing. remove: it is gone for ever, when it is drained; --force: also one that is "
            "down "
            "for good and holds\n"
            "replicas, when each shard has a quorum without it. promote: it votes in control "
            "before "
            "others. What would\n"
            "lose a quorum is refused (5).\n"
            "  --dry-run    only say what it would do\n"
            "  --no-wait    do not wait until it is done\n"
            "\n"
            "Examples:\n"
            "  angarium check-config /etc/angarium/node.yaml && angarium node -c "
            "/etc/angarium/node.yaml\n"
            "  angarium node drain 2 --dry-run\n"
            "  angarium node drain 2 && angarium node remove 2\n",
        .run = run_node,
    };

    return cli_main(argc, argv, &node, 1);
}
