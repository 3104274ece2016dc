/* cli_change - private to cli_node.c, cli_region.c and cli_shard.c. */
#ifndef OPS_CLI_CHANGE_H
#define OPS_CLI_CHANGE_H

#include "node/ops/cli.h"

struct cli_change {
    struct cli_target target;
    bool dry_run, no_wait;
};
#define CLI_CHANGE_OPTIONS(c)                                                                      \
    CLI_TARGET_OPTIONS((c).target), { .name = "dry-run", .flag = &(c).dry_run },                   \
    {                                                                                              \
        .name = "no-wait", .flag = &(c).no_wait                                                    \
    }
/* POST; says what it does, and waits for its operation. An enum cli_exit, told on stderr. */
int cli_change(const struct cli_change *c, const char *path);
int cli_change_show(const struct cli_target *t, const char *path); /* as JSON */

#endif
