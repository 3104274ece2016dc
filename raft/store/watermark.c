/* watermark - a small file beside the database that tells at boot whether synced data was lost.
 *
 *   slot | magic u64 | format u64 | sequence u64 | batch u64 | term_max u64 | zeros | checksum u64 (XXH64 of the rest) |
 *        0           8            16             24          32             40      56                               64
 *   file | slot 0, block 0 | slot 1, block 1 |
 *
 * Written after each synced batch, in turn, and synced itself only now and then: what it says was
 * on the disk before it said so. So it may be behind the log, never ahead of it, also after a power
 * cut; a log behind it has lost something. The newest slot that reads well counts; a torn one, a
 * missing or an empty file say nothing. The file also carries the lock of the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "raft/store/inside.h"

#define MAGIC       0x616e67617277746dull /* "angarwtm" */
#define CHECKSUM_AT (WATERMARK_SLOT_SIZE - 8)

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
    return p + 8;
}

void watermark_slot_pack(uint8_t out[WATERMARK_SLOT_SIZE], const struct watermark_slot *slot)
{
    uint8_t *p = out;

    memset(out, 0, WATERMARK_SLOT_SIZE);
    p = put_u64(p, MAGIC);
    p = put_u64(p, STORE_FORMAT);
    p = put_u64(p, slot->sequence);
    p = put_u64(p, slot->batch);
    put_u64(p, slot->term_max);
    put_u64(out + CHECKSUM_AT, XXH64(out, CHECKSUM_AT, 0));
}

int watermark_slot_unpack(struct span bytes, struct watermark_slot *out)
{
    struct cursor c;
    uint64_t magic, format, checksum;

    cursor_init(&c, bytes);
    magic = cursor_u64be(&c);
    format = cursor_u64be(&c);
    out->sequence = cursor_u64be(&c);
    out->batch = cursor_u64be(&c);
    out->term_max = cursor_u64be(&c);
    cursor_span(&c, CHECKSUM_AT - 40);
    checksum = cursor_u64be(&c);
    if (!cursor_done(&c) || magic != MAGIC || checksum != XXH64(bytes.p, CHECKSUM_AT, 0))
        return ERR_CORRUPT;
    return format > STORE_FORMAT ? ERR_VERSION : 0;
}

/* ---- opening */

static int failed(const struct watermark *w, const char *what, struct errmsg *why)
{
    return errmsg_set(why, ERR_IO, "%s: cannot %s: %s", w->path, what, strerror(errno));
}

static int open_and_lock(struct watermark *w, struct errmsg *why)
{
    w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->fd < 0) return failed(w, "open", why);
    if (flock(w->fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK) return failed(w, "lock", why);
    return errmsg_set(why, ERR_BUSY,
                      "%s: another process has this log open; stop it, or give this node a "
                      "directory of its own",
                      w->path);
}

/* All of the file's blocks exist, so that no later write asks the file system for room. */
static int fill_up(struct watermark *w, struct errmsg *why)
{
    static const uint8_t zeros[WATERMARK_FILE_SIZE];
    struct stat st;
    size_t have;

    if (fstat(w->fd, &st) != 0) return failed(w, "look at", why);
    if (st.st_size >= WATERMARK_FILE_SIZE) return 0;
    have = (size_t)st.st_size;
    if (pwrite(w->fd, zeros, sizeof zeros - have, (off_t)have) != (ssize_t)(sizeof zeros - have) ||
        fsync(w->fd) != 0)
        return failed(w, "write", why);
    return 0;
}

static int read_slots(struct watermark *w, struct errmsg *why)
{
    uint8_t bytes[WATERMARK_FILE_SIZE];

    if (pread(w->fd, bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return failed(w, "read", why);
    for (unsigned i = 0; i < 2; i++) {
        struct watermark_slot slot;
        int rv = watermark_slot_unpack(
            span_of(bytes + i * WATERMARK_SLOT_SPACE, WATERMARK_SLOT_SIZE), &slot);

        if (rv == ERR_VERSION)
            return errmsg_set(why, rv, "%s: written by a newer version", w->path);
        if (rv == 0 && slot.sequence > w->now.sequence) w->now = slot;
    }
    return 0;
}

int watermark_open(struct watermark *w, const char *dir, struct errmsg *why)
{
    size_t size = strlen(dir) + sizeof "/watermark";
    int rv;

    *w = (struct watermark){ .fd = -1, .path = check_malloc(size) };
    snprintf(w->path, size, "%s/watermark", dir);
    rv = open_and_lock(w, why);
    if (rv == 0) rv = fill_up(w, why);
    if (rv == 0) rv = read_slots(w, why);
    if (rv != 0) watermark_close(w);
    return rv;
}

/* ---- writing */

static void sync_file(struct watermark *w)
{
    if (fdatasync(w->fd) != 0) check_last_word(w->path, "sync of the watermark", strerror(errno));
    w->unsynced = 0;
}

void watermark_set(struct watermark *w, uint64_t batch, uint64_t term_max)
{
    uint8_t bytes[WATERMARK_SLOT_SIZE];
    off_t at;

    CHECK(batch > w->now.batch || w->now.sequence == 0);
    w->now.sequence++;
    w->now.batch = batch;
    if (term_max > w->now.term_max) w->now.term_max = term_max;
    watermark_slot_pack(bytes, &w->now);
    at = (off_t)(w->now.sequence % 2) * WATERMARK_SLOT_SPACE;
    if (pwrite(w->fd, bytes, sizeof bytes, at) != (ssize_t)sizeof bytes)
        check_last_word(w->path, "write of the watermark", strerror(errno));
    if (++w->unsynced >= WATERMARK_SYNC_EVERY) sync_file(w);
}

void watermark_close(struct watermark *w)
{
    if (w->fd >= 0) {
        if (w->unsynced > 0) sync_file(w);
        close(w->fd); /* and with it the lock */
    }
    free(w->path);
    *w = (struct watermark){ .fd = -1 };
}
