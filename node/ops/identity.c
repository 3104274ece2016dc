/* identity - whose data a directory holds: DIR/identity.json.
 *
 * It is written before the first log entry and only ever replaced as a whole (written beside,
 * synced, renamed), so it is there and right whenever a log is there. A log without it is
 * somebody's lost identity: refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/ops/ops.h"
#include "proto/ground/check.h"

#define IDENTITY_FORMAT 1
#define PATH_SIZE       4200

static void path_of(char out[PATH_SIZE], const char *dir, const char *name)
{
    snprintf(out, PATH_SIZE, "%s/%s", dir, name);
}

static int damaged(const char *path, struct errmsg *why, const char *what)
{
    return errmsg_set(why, ERR_CORRUPT,
                      "%s: %s; put back the file from a backup, it is never changed by hand", path,
                      what);
}

static int take(const json_t *j, const char *path, struct ops_identity *out, struct errmsg *why)
{
    json_int_t format = json_integer_value(json_object_get(j, "format"));
    json_int_t node = json_integer_value(json_object_get(j, "node"));
    json_int_t shards = json_integer_value(json_object_get(j, "shards"));
    const char *uuid = json_string_value(json_object_get(j, "uuid"));

    if (format > IDENTITY_FORMAT)
        return errmsg_set(why, ERR_VERSION,
                          "%s: has format %" PRId64 ", this program knows %d; use a newer one",
                          path, (int64_t)format, IDENTITY_FORMAT);
    if (format < 1 || node < 1 || shards < 1 || shards > PROTO_SHARD_MAX || !uuid ||
        strlen(uuid) != 36)
        return damaged(path, why, "says nothing that makes sense");
    out->node = (uint64_t)node;
    out->shards = (uint32_t)shards;
    snprintf(out->uuid, sizeof out->uuid, "%s", uuid);
    return 0;
}

int ops_identity_read(const char *data_dir, struct ops_identity *out, struct errmsg *why)
{
    char path[PATH_SIZE];
    json_error_t e;
    json_t *j;
    int rv;

    path_of(path, data_dir, "identity.json");
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return errmsg_set(why, ERR_NOT_FOUND,
                          "%s: is not there; is %s the data directory of a node?", path, data_dir);
    j = json_load_file(path, 0, &e);
    if (!j && e.line < 0) return errmsg_set(why, ERR_IO, "%s: cannot be read", path);
    if (!j) return damaged(path, why, "is no JSON");
    rv = take(j, path, out, why);
    json_decref(j);
    return rv;
}

/* ---- writing */

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rv = fd >= 0 ? fsync(fd) : -1;

    if (fd >= 0) close(fd);
    return rv;
}

static int write_synced(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;

    if (fd >= 0) ok = close(fd) == 0 && ok;
    return ok ? 0 : ERR_IO;
}

int ops_identity_write(const char *data_dir, const struct ops_identity *id, struct errmsg *why)
{
    char path[PATH_SIZE], beside[PATH_SIZE], text[256];

    path_of(path, data_dir, "identity.json");
    path_of(beside, data_dir, "identity.json.new");
    snprintf(text, sizeof text,
             "{\n  \"format\": %d,\n  \"node\": %" PRIu64 ",\n  \"shards\": %" PRIu32
             ",\n  \"uuid\": \"%s\"\n}\n",
             IDENTITY_FORMAT, id->node, id->shards, id->uuid);
    if (write_synced(beside, text) != 0 || rename(beside, path) != 0 || sync_dir(data_dir) != 0)
        return errmsg_set(why, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}

static void make_uuid(char out[37])
{
    uint8_t b[16];

    CHECK(sodium_init() >= 0);
    randombytes_buf(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

void ops_identity_make(struct ops_identity *out, uint64_t node, uint32_t shards)
{
    *out = (struct ops_identity){ .node = node, .shards = shards };
    make_uuid(out->uuid);
}

static int make_identity(const char *data_dir, uint64_t node, uint32_t shards,
                         struct ops_identity *out, struct errmsg *why)
{
    char log_dir[PATH_SIZE];

    path_of(log_dir, data_dir, "log");
    if (access(log_dir, F_OK) == 0)
        return errmsg_set(why, ERR_CORRUPT,
                          "%s: holds a log but no identity.json; put it back from a backup, or "
                          "move the directory "
                          "away to begin anew",
                          data_dir);
    ops_identity_make(out, node, shards);
    return ops_identity_write(data_dir, out, why);
}

int ops_identity_open(const char *data_dir, uint64_t node, uint32_t shards,
                      struct ops_identity *out, struct errmsg *why)
{
    int rv = ops_identity_read(data_dir, out, why);

    if (rv == ERR_NOT_FOUND) return make_identity(data_dir, node, shards, out, why);
    if (rv != 0) return rv;
    if (out->node != node)
        return errmsg_set(why, ERR_CONFIG,
                          "%s: belongs to node %" PRIu64 ", the settings say node %" PRIu64
                          "; a directory is one "
                          "node's for ever",
                          data_dir, out->node, node);
    if (out->shards > shards)
        return errmsg_set(why, ERR_CONFIG,
                          "%s: holds %" PRIu32 " shards, the settings say %" PRIu32
                          "; their number may only grow",
                          data_dir, out->shards, shards);
    if (out->shards == shards) return 0;
    out->shards = shards;
    return ops_identity_write(data_dir, out, why);
}
