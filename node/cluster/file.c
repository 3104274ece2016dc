/* file - the small files of a node: read whole, and written beside, synced and renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/cluster/inside.h"

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rv = fd >= 0 ? fsync(fd) : -1;

    if (fd >= 0) close(fd);
    return rv;
}

int file_replace(const char *dir, const char *name, struct span bytes, struct errmsg *why)
{
    char path[PATH_SIZE], beside[PATH_SIZE];
    bool ok;
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(beside, sizeof beside, "%s/%s.new", dir, name);
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ok = fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n && fsync(fd) == 0;
    if (fd >= 0) ok = close(fd) == 0 && ok;
    if (ok && rename(beside, path) == 0 && sync_dir(dir) == 0) return 0;
    return errmsg_set(why, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
}

int file_read(const char *dir, const char *name, struct buf *out, struct errmsg *why)
{
    char path[PATH_SIZE];
    ssize_t n = 1;
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return errmsg_set(why, ERR_NOT_FOUND, "%s: is not there", path);
    if (fd < 0) return errmsg_set(why, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    while (n > 0) {
        uint8_t *room = buf_room(out, 65536);

        n = room ? read(fd, room, 65536) : -1;
        if (n > 0) buf_added(out, (size_t)n);
    }
    close(fd);
    if (n == 0) return 0;
    return errmsg_set(why, ERR_IO, "%s: cannot be read: %s", path,
                      buf_failed(out) ? "it is too large" : strerror(errno));
}
