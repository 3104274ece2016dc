/* watermark - a small file beside the log that tells at boot whether synced data was lost.
 *
 *   slot | magic u64 | sequence u64 | batch u64 | checksum u64 (FNV-1a of what stands before) | zeros |
 *
 * Two slots, written in turn, so that a torn write leaves the other one good. It is written after each synced
 * batch and not synced itself: it may be behind the log, never ahead of it. A file that is missing or bad in
 * both slots says nothing; a good slot with a batch number over the log's says that the log lost its tail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "raft/store/inside.h"

#define WATERMARK_MAGIC 0x616e676172757731ull

static uint64_t checksum(const uint8_t *p, size_t n)
{
    uint64_t h = 1469598103934665603ull;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211ull;
    return h;
}

void watermark_slot_print(uint8_t out[WATERMARK_SLOT_SIZE], uint64_t sequence, uint64_t batch)
{
    const uint64_t words[3] = { WATERMARK_MAGIC, sequence, batch };
    uint64_t sum;

    memset(out, 0, WATERMARK_SLOT_SIZE);
    for (unsigned w = 0; w < 3; w++)
        for (unsigned i = 0; i < 8; i++)
            out[8 * w + i] = (uint8_t)(words[w] >> (56 - 8 * i));
    sum = checksum(out, 24);
    for (unsigned i = 0; i < 8; i++)
        out[24 + i] = (uint8_t)(sum >> (56 - 8 * i));
}

int watermark_slot_parse(struct span slot, uint64_t *sequence, uint64_t *batch)
{
    struct cursor c;
    uint64_t magic, sum;

    cursor_init(&c, slot);
    magic = cursor_u64be(&c);
    *sequence = cursor_u64be(&c);
    *batch = cursor_u64be(&c);
    sum = cursor_u64be(&c);
    if (c.failed || magic != WATERMARK_MAGIC || sum != checksum(slot.p, 24)) return ERR_CORRUPT;
    return 0;
}

int watermark_open(struct watermark *w, const char *dir, struct errmsg *why)
{
    uint8_t slots[2 * WATERMARK_SLOT_SIZE];
    char path[4096];
    ssize_t n;

    snprintf(path, sizeof path, "%s/watermark", dir);
    *w = (struct watermark){ .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) };
    if (w->fd < 0) return errmsg_set(why, ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    n = pread(w->fd, slots, sizeof slots, 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t sequence, batch;

        if (n < (ssize_t)((i + 1) * WATERMARK_SLOT_SIZE)) break;
        if (watermark_slot_parse(span_of(slots + i * WATERMARK_SLOT_SIZE, WATERMARK_SLOT_SIZE), &sequence,
                                 &batch) != 0)
            continue;
        if (sequence <= w->sequence) continue;
        w->sequence = sequence;
        w->batch = batch;
        w->next = 1 - i;
    }
    return 0;
}

void watermark_set(struct watermark *w, uint64_t batch)
{
    uint8_t slot[WATERMARK_SLOT_SIZE];

    w->sequence++;
    w->batch = batch;
    watermark_slot_print(slot, w->sequence, batch);
    /* a failure here loses no promise: the file says less than it could */
    if (pwrite(w->fd, slot, sizeof slot, w->next * WATERMARK_SLOT_SIZE) == sizeof slot) w->next = 1 - w->next;
}

void watermark_close(struct watermark *w)
{
    if (w->fd < 0) return;
    fsync(w->fd);
    close(w->fd);
    w->fd = -1;
}
