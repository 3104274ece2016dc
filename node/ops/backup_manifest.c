/* backup_manifest - manifest.json of a backup: what it holds (backup.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/ops/backup.h"
#include "node/ops/cli.h"
#include "proto/ground/check.h"
#include "proto/ground/hex.h"

/* ---- out */

static json_t *json_of_entry(const struct backup_entry *e)
{
    const struct backup_file *f = &e->file;
    char name[24], digest[20];
    json_t *j;

    backup_file_name(f->head.shard, name);
    snprintf(digest, sizeof digest, "%016" PRIx64, f->head.digest);
    j = json_pack("{s:s, s:I, s:I, s:s, s:I, s:s, s:I, s:I}", "file", name, "index",
                  (json_int_t)f->head.index, "term", (json_int_t)f->head.term, "digest", digest,
                  "bytes", (json_int_t)f->bytes, "sha256", f->sha256, "time_ms",
                  (json_int_t)f->head.time_ms, "node", (json_int_t)e->node);
    CHECK(j);
    if (f->head.shard == 0) return j;
    json_object_set_new(j, "shard", json_integer(f->head.shard));
    json_object_set_new(j, "messages", json_integer((json_int_t)f->counts.messages));
    json_object_set_new(j, "waiting", json_integer((json_int_t)f->counts.waiting));
    json_object_set_new(j, "claimed", json_integer((json_int_t)f->counts.claimed));
    json_object_set_new(j, "held", json_integer((json_int_t)f->counts.held));
    return j;
}

json_t *backup_manifest_json(const struct backup_manifest *m)
{
    char id[2 * CONTROL_CLUSTER_SIZE + 1];
    json_t *shards = json_array(), *j;

    cluster_print_id(m->cluster, id);
    for (unsigned i = 0; i < m->shard_count; i++)
        json_array_append_new(shards, json_of_entry(&m->shards[i]));
    j = json_pack("{s:i, s:i, s:s, s:s, s:I, s:I, s:o, s:o}", "format", (int)BACKUP_FORMAT,
                  "state_format", (int)m->format, "version", ANGARIUM_VERSION, "cluster",
                  id, "begun_ms", (json_int_t)m->begun_ms, "ended_ms", (json_int_t)m->ended_ms,
                  "control", json_of_entry(&m->control), "shards", shards);
    CHECK(j);
    return j;
}

/* ---- and back */

static bool take_number(const json_t *j, const char *key, uint64_t *out)
{
    const json_t *v = json_object_get(j, key);

    *out = (uint64_t)json_integer_value(v);
    return json_is_integer(v) && json_integer_value(v) >= 0;
}

static bool take_file(const json_t *j, struct backup_file *f)
{
    const char *sha256 = cli_text(j, "sha256"), *digest = cli_text(j, "digest");
    char name[24];

    backup_file_name(f->head.shard, name);
    if (strcmp(cli_text(j, "file"), name) != 0) return false; /* no other path is ever opened */
    if (!hex_is_lower(digest, 16) || !hex_is_lower(sha256, sizeof f->sha256 - 1)) return false;
    f->head.digest = strtoull(digest, NULL, 16);
    snprintf(f->sha256, sizeof f->sha256, "%s", sha256);
    return take_number(j, "index", &f->head.index) && take_number(j, "term", &f->head.term) &&
           take_number(j, "bytes", &f->bytes) && take_number(j, "time_ms", &f->head.time_ms);
}

static bool take_shard(const json_t *j, uint32_t after, struct backup_entry *e)
{
    uint64_t shard;

    if (!take_number(j, "shard", &shard) || shard <= after || shard > CONTROL_SHARDS_MAX)
        return false;
    e->file.head.shard = (uint32_t)shard;
    return take_file(j, &e->file) && take_number(j, "node", &e->node) &&
           take_number(j, "messages", &e->file.counts.messages) && take_number(j, "waiting", &e->file.counts.waiting) &&
           take_number(j, "claimed", &e->file.counts.claimed) && take_number(j, "held", &e->file.counts.held);
}

static bool take(const json_t *j, struct backup_manifest *m)
{
    const json_t *shards = json_object_get(j, "shards"), *one;
    uint32_t after = 0;
    size_t i;

    if (cluster_parse_id(cli_text(j, "cluster"), m->cluster) != 0) return false;
    if (!take_number(j, "begun_ms", &m->begun_ms) || !take_number(j, "ended_ms", &m->ended_ms) ||
        !take_file(json_object_get(j, "control"), &m->control.file) ||
        !take_number(json_object_get(j, "control"), "node", &m->control.node))
        return false;
    if (!json_is_array(shards) || json_array_size(shards) > CONTROL_SHARDS_MAX) return false;
    m->shards = check_calloc(json_array_size(shards) + 1, sizeof *m->shards);
    json_array_foreach(shards, i, one)
    {
        if (!take_shard(one, after, &m->shards[i])) return false;
        after = m->shards[i].file.head.shard;
        m->shard_count++;
    }
    return true;
}

int backup_manifest_take(const json_t *j, struct backup_manifest *out, struct errmsg *why)
{
    uint64_t format, state_format;

    *out = (struct backup_manifest){ 0 };
    if (!take_number(j, "format", &format) || !take_number(j, "state_format", &state_format) ||
        format == 0 || state_format == 0)
        return errmsg_set(why, ERR_CORRUPT, "manifest.json: says no format");
    if (format > BACKUP_FORMAT || state_format > PROTO_FORMAT_VERSION)
        return errmsg_set(why, ERR_VERSION,
                          "manifest.json: the backup is of format %" PRIu64 ".%" PRIu64
                          ", this program knows %u.%u; use a newer one",
                          format, state_format, BACKUP_FORMAT, PROTO_FORMAT_VERSION);
    out->format = (uint32_t)state_format;
    if (!take(j, out))
        return errmsg_set(why, ERR_CORRUPT, "manifest.json: says nothing that makes sense");
    return 0;
}

void backup_manifest_deinit(struct backup_manifest *m)
{
    free(m->shards);
    m->shards = NULL;
}

int backup_manifest_read(const char *dir, struct backup_manifest *out, struct errmsg *why)
{
    char path[4200];
    json_t *j;
    int rv;

    *out = (struct backup_manifest){ 0 };
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    if (access(path, F_OK) != 0)
        return errmsg_set(why, ERR_NOT_FOUND,
                          "%s: is not there; %s is no backup, or one that did not end", path, dir);
    j = cli_read_json(path, why);
    if (!j) return ERR_CORRUPT;
    rv = backup_manifest_take(j, out, why);
    json_decref(j);
    return rv;
}
