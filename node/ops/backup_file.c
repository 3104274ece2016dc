/* backup_file - one file of a backup: head, state, sum (backup.h). */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/ops/backup.h"
#include "proto/ground/check.h"

#define MAGIC      "angarium"
#define MAGIC_SIZE 8u
#define PIECE_SIZE (256u << 10)

/* ---- the head */

void backup_head_put(const struct backup_head *h, struct buf *out)
{
    size_t from = out->n;

    buf_add(out, MAGIC, MAGIC_SIZE);
    buf_add_u32be(out, BACKUP_FORMAT);
    buf_add_u32be(out, proto_format());
    buf_add(out, h->cluster, sizeof h->cluster);
    buf_add_u32be(out, h->shard);
    buf_add_u64be(out, h->index);
    buf_add_u64be(out, h->term);
    buf_add_u64be(out, h->digest);
    buf_add_u64be(out, h->time_ms);
    buf_add_u64be(out, XXH3_64bits(out->p + from, out->n - from));
    CHECK(out->n - from == BACKUP_HEAD_SIZE);
}

int backup_head_take(struct span bytes, struct backup_head *out)
{
    uint32_t format;
    struct cursor c;

    if (bytes.n != BACKUP_HEAD_SIZE || memcmp(bytes.p, MAGIC, MAGIC_SIZE) != 0) return ERR_CORRUPT;
    cursor_init(&c, span_from(bytes, MAGIC_SIZE));
    format = cursor_u32be(&c);
    out->format = cursor_u32be(&c);
    if (format > BACKUP_FORMAT) return ERR_VERSION; /* what follows may be anything */
    memcpy(out->cluster, cursor_span(&c, sizeof out->cluster).p, sizeof out->cluster);
    out->shard = cursor_u32be(&c);
    out->index = cursor_u64be(&c);
    out->term = cursor_u64be(&c);
    out->digest = cursor_u64be(&c);
    out->time_ms = cursor_u64be(&c);
    if (cursor_u64be(&c) != XXH3_64bits(bytes.p, BACKUP_HEAD_SIZE - 8)) return ERR_CORRUPT;
    if (out->format > PROTO_FORMAT_VERSION) return ERR_VERSION;
    if (format == 0 || out->format == 0 || out->shard > PROTO_SHARD_MAX) return ERR_CORRUPT;
    return out->index > PROTO_INDEX_MAX ? ERR_CORRUPT : 0;
}

/* ---- the whole */

struct backup_check {
    uint32_t shard;
    struct queue_staging *staging; /* NULL: control */
    struct buf control;
    struct buf head;
    struct backup_head taken;
    crypto_hash_sha256_state sum;
    uint64_t bytes;
    int rv;
};

void backup_check_open(struct backup_check **out, uint32_t shard, struct queue_store *store)
{
    struct backup_check *k = check_calloc(1, sizeof *k);

    CHECK(sodium_init() >= 0);
    k->shard = shard;
    if (shard > 0) queue_staging_open(&k->staging, store, shard);
    buf_init(&k->control, CONTROL_STATE_SIZE_MAX);
    buf_init(&k->head, BACKUP_HEAD_SIZE);
    crypto_hash_sha256_init(&k->sum);
    *out = k;
}

void backup_check_close(struct backup_check **pk)
{
    struct backup_check *k = *pk;

    if (!k) return;
    *pk = NULL;
    queue_staging_close(&k->staging);
    buf_deinit(&k->control);
    buf_deinit(&k->head);
    free(k);
}

static int take_head(struct backup_check *k, struct span *bytes)
{
    size_t n = BACKUP_HEAD_SIZE - k->head.n;
    int rv;

    if (n == 0) return 0;
    if (n > bytes->n) n = bytes->n;
    buf_add(&k->head, bytes->p, n);
    *bytes = span_from(*bytes, n);
    if (k->head.n < BACKUP_HEAD_SIZE) return 0;
    rv = backup_head_take(buf_span(&k->head), &k->taken);
    return rv == 0 && k->taken.shard != k->shard ? ERR_CORRUPT : rv;
}

static int take_state(struct backup_check *k, struct span bytes)
{
    while (k->staging && bytes.n > 0) {
        size_t n = bytes.n < QUEUE_CHUNK_SIZE_MAX ? bytes.n : QUEUE_CHUNK_SIZE_MAX;
        int rv = queue_staging_add(k->staging, span_sub(bytes, 0, n));

        if (rv != 0) return rv;
        bytes = span_from(bytes, n);
    }
    if (!k->staging) buf_add_span(&k->control, bytes);
    return buf_failed(&k->control) ? ERR_CORRUPT : 0;
}

int backup_check_add(struct backup_check *k, struct span bytes)
{
    if (k->rv != 0) return k->rv;
    k->bytes += bytes.n;
    crypto_hash_sha256_update(&k->sum, bytes.p, bytes.n);
    k->rv = take_head(k, &bytes);
    if (k->rv == 0 && bytes.n > 0) k->rv = take_state(k, bytes);
    return k->rv;
}

/* The state is what the head says. */
static int check_control(const struct backup_check *k)
{
    struct control *c = control_new();
    int rv = control_load(c, buf_span(&k->control));

    if (rv == 0 && (!control_is_born(c) || control_applied(c) != k->taken.index ||
                    control_digest(c) != k->taken.digest ||
                    memcmp(control_cluster(c), k->taken.cluster, CONTROL_CLUSTER_SIZE) != 0))
        rv = ERR_CORRUPT;
    control_free(&c);
    return rv;
}

static int check_shard(const struct backup_check *k, struct queue_counts *counts)
{
    struct queue_state state;
    int rv = queue_staging_end(k->staging, &state);

    *counts = state.counts;
    return rv == 0 && (state.applied != k->taken.index || state.digest != k->taken.digest)
               ? ERR_CORRUPT
               : rv;
}

int backup_check_end(struct backup_check *k, struct backup_file *out)
{
    uint8_t sum[BACKUP_SHA256_SIZE];

    *out = (struct backup_file){ 0 };
    if (k->rv == 0 && k->head.n < BACKUP_HEAD_SIZE) k->rv = ERR_CORRUPT;
    if (k->rv == 0) k->rv = k->staging ? check_shard(k, &out->counts) : check_control(k);
    if (k->rv != 0) return k->rv;
    crypto_hash_sha256_final(&k->sum, sum);
    out->head = k->taken;
    out->bytes = k->bytes;
    sodium_bin2hex(out->sha256, sizeof out->sha256, sum, sizeof sum);
    return 0;
}

struct queue_staging *backup_check_staging(struct backup_check *k)
{
    return k->staging;
}

struct span backup_check_control(const struct backup_check *k)
{
    return buf_span(&k->control);
}

/* ---- in a directory */

void backup_file_name(uint32_t shard, char out[24])
{
    if (shard == 0)
        snprintf(out, 24, "control");
    else
        snprintf(out, 24, "shard-%05u", shard);
}

static int read_all(const char *path, struct backup_check *k, struct errmsg *why)
{
    uint8_t *piece = check_malloc(PIECE_SIZE);
    int fd = open(path, O_RDONLY | O_CLOEXEC), rv = 0;
    ssize_t n = fd >= 0 ? 1 : -1;

    while (rv == 0 && n > 0) {
        n = read(fd, piece, PIECE_SIZE);
        if (n > 0) rv = backup_check_add(k, span_of(piece, (size_t)n));
    }
    if (n < 0)
        rv = errmsg_set(why, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    else if (rv == ERR_VERSION)
        errmsg_set(why, rv, "%s: is of a newer format; use a newer program", path);
    else if (rv != 0)
        errmsg_set(why, rv, "%s: is damaged near byte %llu", path, (unsigned long long)k->bytes);
    if (fd >= 0) close(fd);
    free(piece);
    return rv;
}

static int compare(const char *path, const struct backup_manifest *m, const struct backup_entry *e,
                   const struct backup_file *f, struct errmsg *why)
{
    if (memcmp(f->head.cluster, m->cluster, sizeof m->cluster) != 0)
        return errmsg_set(why, ERR_CORRUPT, "%s: is of another cluster than manifest.json says",
                          path);
    if (f->head.format > m->format)
        return errmsg_set(why, ERR_CORRUPT, "%s: is of a newer format than manifest.json says",
                          path);
    if (f->bytes != e->file.bytes || strcmp(f->sha256, e->file.sha256) != 0 ||
        f->head.index != e->file.head.index || f->head.term != e->file.head.term ||
        f->head.digest != e->file.head.digest)
        return errmsg_set(why, ERR_CORRUPT, "%s: is not the file that manifest.json tells of",
                          path);
    if (f->counts.messages != e->file.counts.messages ||
        f->counts.waiting != e->file.counts.waiting ||
        f->counts.claimed != e->file.counts.claimed || f->counts.held != e->file.counts.held)
        return errmsg_set(why, ERR_CORRUPT, "%s: counts what manifest.json does not", path);
    return 0;
}

int backup_file_check(const char *dir, const struct backup_manifest *m,
                      const struct backup_entry *e, struct queue_store *store,
                      struct backup_check **out, struct errmsg *why)
{
    struct backup_check *k;
    struct backup_file f;
    char name[24], path[4200];
    int rv;

    backup_file_name(e->file.head.shard, name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    backup_check_open(&k, e->file.head.shard, store);
    rv = read_all(path, k, why);
    if (rv == 0 && (rv = backup_check_end(k, &f)) != 0)
        errmsg_set(why, rv, "%s: %s", path,
                   rv == ERR_VERSION ? "is of a newer format; use a newer program"
                                     : "is not whole");
    if (rv == 0) rv = compare(path, m, e, &f, why);
    if (rv == 0 && out)
        *out = k;
    else
        backup_check_close(&k);
    return rv;
}
