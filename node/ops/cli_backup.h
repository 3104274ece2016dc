/* cli_backup - what angarium cluster backup, restore and recover are called with, and share. All return an enum cli_exit. */
#ifndef OPS_CLI_BACKUP_H
#define OPS_CLI_BACKUP_H

#include "node/ops/backup.h"
#include "node/ops/cli.h"

int cli_backup(struct cli_target *t, const char *const *from, unsigned from_count, const char *dir);
int cli_backup_verify(const char *dir, bool json);
struct cli_restore {
    const char *from, *data_dir, *config, *in_doubt; /* as given; NULL: not */
    bool dry_run;
};
int cli_restore(const struct cli_restore *o);
/* Makes the directory; CLI_REFUSED: there is something in it. */
int cli_make_empty(const char *dir);
int cli_check_empty(const char *dir); /* the same, without making it */
/* manifest.json and control, loaded; tells what is wrong. deinit and free in any case. */
int cli_backup_open(const char *dir, struct backup_manifest *m, struct control *control);
/* The settings in FILE of a node of a cluster; tells what is wrong. */
int cli_cluster_settings(const char *file, struct settings **out);

#endif
