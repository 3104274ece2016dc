/* backup - what a backup directory holds, and the checks of it; used by the API (heads), the command line and their tests.
 *
 * Files:   control and shard-N: a head, then the bytes of the state (control.proto ControlState, queue/snapshot.h). manifest.json
 *          says which there are and how each must look; it is written last, so a directory without one is no backup.
 * Head:    "angarium" | format u32 | format of the state u32 | cluster 16 bytes | shard u32, 0: control | index u64 | term u64 |
 *          digest u64 | time u64, ms | XXH3-64 of all before. Big-endian.
 * Foreign: everything in the directory is a stranger's: read within bounds, checked before it is used.
 */
#ifndef OPS_BACKUP_H
#define OPS_BACKUP_H

#include <jansson.h>

#include "node/control/control.h"
#include "proto/ground/buf.h"
#include "queue/queue.h"

#define BACKUP_FORMAT    1u
#define BACKUP_HEAD_SIZE 76u
#define BACKUP_TYPE      "application/vnd.angarium.backup"

struct backup_head {
    uint8_t cluster[CONTROL_CLUSTER_SIZE];
    uint32_t shard; /* 0: control */
    uint32_t format; /* of the state, as it was read; written is the one in force */
    uint64_t index, term, digest, time_ms;
};
void backup_head_put(const struct backup_head *h, struct buf *out);
/* ERR_CORRUPT; ERR_VERSION: of a newer format. */
int backup_head_take(struct span bytes, struct backup_head *out);

/* ---- one file, piece by piece: its head, its state, its sum */

#define BACKUP_SHA256_SIZE 32u
struct backup_check;
/* store NULL: only checked; else the shard is staged there. shard 0: control, which is kept in memory. */
void backup_check_open(struct backup_check **out, uint32_t shard, struct queue_store *store);
int backup_check_add(struct backup_check *k, struct span bytes); /* ERR_CORRUPT, ERR_VERSION */
/* All came: 0 when it is whole, with head, size, sum (in hex). Else ERR_CORRUPT or what add said. */
struct backup_file {
    struct backup_head head;
    struct queue_counts counts; /* of a shard, as its state says */
    uint64_t bytes;
    char sha256[2 * BACKUP_SHA256_SIZE + 1];
};
int backup_check_end(struct backup_check *k, struct backup_file *out);
/* After backup_check_end said 0: what was staged, or the state of control. Still the check's. */
struct queue_staging *backup_check_staging(struct backup_check *k);
struct span backup_check_control(const struct backup_check *k);
void backup_check_close(struct backup_check **k);

/* ---- the manifest */

struct backup_entry {
    struct backup_file file;
    uint64_t node; /* that it was taken from */
};
struct backup_manifest {
    uint8_t cluster[CONTROL_CLUSTER_SIZE];
    uint32_t format; /* the newest that a file is of: what who reads them must know */
    uint64_t begun_ms, ended_ms;
    struct backup_entry control;
    struct backup_entry *shards; /* ascending by head.shard */
    unsigned shard_count;
};
json_t *backup_manifest_json(const struct backup_manifest *m);
/* Whole, or an error and why. ERR_CORRUPT, ERR_VERSION. deinit in any case. */
int backup_manifest_take(const json_t *j, struct backup_manifest *out, struct errmsg *why);
void backup_manifest_deinit(struct backup_manifest *m);
/* DIR/manifest.json. ERR_NOT_FOUND: no backup, or one that did not end. */
int backup_manifest_read(const char *dir, struct backup_manifest *out, struct errmsg *why);

/* "control", "shard-00017" */
void backup_file_name(uint32_t shard, char out[24]);
/* Reads the file of an entry and checks it against the manifest. store as above; *out (NULL allowed) is then the caller's. */
int backup_file_check(const char *dir, const struct backup_manifest *m,
                      const struct backup_entry *e, struct queue_store *store,
                      struct backup_check **out, struct errmsg *why);

#endif
