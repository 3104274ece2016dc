/* cli_backup - what angarium cluster backup, restore and recover are called with, and share. All return an enum cli_exit. */
#ifndef OPS_CLI_BACKUP_H
#define OPS_CLI_BACKUP_H

#include "node/ops/cli.h"

int cli_backup(struct cli_target *t, const char *const *from, unsigned from_count, const char *dir);
int cli_backup_verify(const char *dir, bool json);
/* Makes the directory; CLI_REFUSED: there is something in it. */
int cli_make_empty(const char *dir);

#endif
