/* powercut - an LD_PRELOAD layer that knows what a power cut would take away.
 *
 * Everything under POWERCUT_DIR that is written, resized, made, renamed or removed is written down
 * in POWERCUT_JOURNAL before or as it happens, and every fsync and fdatasync after it succeeded.
 * When the process is killed, powercut_apply.py undoes what no sync covered. sync_file_range
 * promises nothing and is taken as nothing. What the layer cannot follow (shared writable mappings,
 * copy_file_range, hard links) ends the process with a message. Writes of stdio streams are inside
 * libc and count as durable.
 */
#include "cluster-test/lib/powercut.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- syncs */

static void put_sync(uint64_t ino, uint64_t covers)
{
    struct powercut_record r = { .act = POWERCUT_SYNC, .ino = ino, .covers = covers };

    powercut_put(&r, NULL, NULL, NULL);
}

/* A number such that all finished acts on this file, or in this directory, are below it. */
static uint64_t covers_of(const struct powercut_file *f)
{
    uint64_t covers;

    if (f->is_dir) powercut_lock_names();
    powercut_lock(f->ino);
    covers = powercut_now();
    powercut_unlock(f->ino);
    if (f->is_dir) powercut_unlock_names();
    return covers;
}

static int sync_by(long number, int fd)
{
    struct powercut_file f;
    uint64_t covers;

    if (!powercut_seen(fd, &f)) return (int)syscall(number, fd);
    covers = covers_of(&f);
    if (!powercut_is_fast() && syscall(number, fd) != 0) return -1;
    put_sync(f.ino, covers);
    return 0;
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
    struct powercut_record r = { .act = POWERCUT_SYNC_ALL, .covers = powercut_now() };
    int rv = (int)syscall(SYS_syncfs, fd);

    if (rv == 0) powercut_put(&r, NULL, NULL, NULL);
    return rv;
}

/* ---- writes: under the inode's lock, its record first */

static void *old_bytes(int fd, uint64_t from, uint64_t *n)
{
    int reader;
    char link[64], *p;
    ssize_t got;

    if (*n == 0) return NULL;
    p = malloc(*n);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    reader = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
    if (!p || reader < 0) powercut_give_up("old bytes cannot be read");
    got = (ssize_t)syscall(SYS_pread64, reader, p, *n, from);
    syscall(SYS_close, reader);
    if (got < 0) powercut_give_up("old bytes cannot be read");
    *n = (uint64_t)got;
    return p;
}

static void put_write(int fd, const struct powercut_file *f, uint64_t offset, uint64_t length)
{
    struct powercut_record r = { .act = POWERCUT_WRITE,
                                 .ino = f->ino,
                                 .offset = offset,
                                 .length = length,
                                 .old_size = f->size };
    uint64_t end = offset + length < f->size ? offset + length : f->size;
    void *old;

    r.old_n = end > offset ? end - offset : 0;
    old = old_bytes(fd, offset, &r.old_n);
    powercut_put(&r, NULL, NULL, old);
    free(old);
}

struct bulk {
    const struct iovec *parts;
    int count;
    int64_t offset; /* -1: where the descriptor stands */
};

static uint64_t bulk_bytes(const struct bulk *b)
{
    uint64_t n = 0;

    for (int i = 0; i < b->count; i++)
        n += b->parts[i].iov_len;
    return n;
}

static ssize_t bulk_write(int fd, const struct bulk *b)
{
    if (b->offset < 0) return (ssize_t)syscall(SYS_writev, fd, b->parts, b->count);
    return (ssize_t)syscall(SYS_pwritev, fd, b->parts, b->count, (long)b->offset, 0L);
}

static uint64_t bulk_offset(int fd, const struct bulk *b, uint64_t size)
{
    long flags = syscall(SYS_fcntl, fd, F_GETFL, 0L);

    if (flags & O_APPEND) return size;
    return b->offset >= 0 ? (uint64_t)b->offset : (uint64_t)syscall(SYS_lseek, fd, 0L, SEEK_CUR);
}

static ssize_t watched_write(int fd, const struct bulk *b, uint64_t ino)
{
    struct powercut_file f = { 0 };
    ssize_t n;

    powercut_lock(ino);
    if (powercut_seen(fd, &f)) put_write(fd, &f, bulk_offset(fd, b, f.size), bulk_bytes(b));
    n = bulk_write(fd, b);
    powercut_unlock(ino);
    if (n >= 0 && f.is_synced) put_sync(ino, covers_of(&f));
    return n;
}

static ssize_t any_write(int fd, const void *p, size_t n, int64_t offset)
{
    struct iovec part = { (void *)(uintptr_t)p, n };
    struct bulk b = { &part, 1, offset };
    struct powercut_file f;

    if (powercut_seen(fd, &f)) return watched_write(fd, &b, f.ino);
    if (offset < 0) return (ssize_t)syscall(SYS_write, fd, p, n);
    return (ssize_t)syscall(SYS_pwrite64, fd, p, n, offset);
}

static ssize_t any_writev(int fd, const struct iovec *parts, int count, int64_t offset)
{
    struct bulk b = { parts, count, offset };
    struct powercut_file f;

    return powercut_seen(fd, &f) ? watched_write(fd, &b, f.ino) : bulk_write(fd, &b);
}

ssize_t write(int fd, const void *p, size_t n)
{
    return any_write(fd, p, n, -1);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    return any_write(fd, p, n, offset);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t offset)
{
    return any_write(fd, p, n, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return any_writev(fd, parts, count, -1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return any_writev(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return any_writev(fd, parts, count, offset);
}

/* ---- sizes */

static void put_resize(int fd, const struct powercut_file *f, uint64_t size)
{
    struct powercut_record r = {
        .act = POWERCUT_RESIZE, .ino = f->ino, .offset = size, .old_size = f->size
    };
    void *old;

    r.old_n = f->size > size ? f->size - size : 0;
    old = old_bytes(fd, size, &r.old_n);
    powercut_put(&r, NULL, NULL, old);
    free(old);
}

static int any_truncate(int fd, int64_t size)
{
    struct powercut_file f;
    uint64_t ino;
    int rv;

    if (!powercut_seen(fd, &f)) return (int)syscall(SYS_ftruncate, fd, size);
    ino = f.ino;
    powercut_lock(ino);
    if (powercut_seen(fd, &f) && f.size != (uint64_t)size) put_resize(fd, &f, (uint64_t)size);
    rv = (int)syscall(SYS_ftruncate, fd, size);
    powercut_unlock(ino);
    return rv;
}

int ftruncate(int fd, off_t size)
{
    return any_truncate(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return any_truncate(fd, size);
}

/* Space beyond the end changes nothing that can be read. A hole inside of the file is not followed.
 */
static int any_allocate(int fd, int mode, int64_t offset, int64_t n)
{
    struct powercut_file f;
    uint64_t ino;
    int rv;

    if (!powercut_seen(fd, &f)) return (int)syscall(SYS_fallocate, fd, mode, offset, n);
    ino = f.ino;
    powercut_lock(ino);
    if (powercut_seen(fd, &f)) {
        if ((mode & ~FALLOC_FL_KEEP_SIZE) && (uint64_t)offset < f.size)
            powercut_give_up("a hole inside of a file is not followed");
        if (!(mode & FALLOC_FL_KEEP_SIZE) && (uint64_t)(offset + n) > f.size)
            put_resize(fd, &f, (uint64_t)(offset + n));
    }
    rv = (int)syscall(SYS_fallocate, fd, mode, offset, n);
    powercut_unlock(ino);
    return rv;
}

int fallocate(int fd, int mode, off_t offset, off_t n)
{
    return any_allocate(fd, mode, offset, n);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t n)
{
    return any_allocate(fd, mode, offset, n);
}

int posix_fallocate(int fd, off_t offset, off_t n)
{
    int saved = errno, rv = any_allocate(fd, 0, offset, n) == 0 ? 0 : errno;

    errno = saved;
    return rv;
}

/* ---- opening */

static void put_name(enum powercut_act act, const struct powercut_place *p, uint64_t ino)
{
    struct powercut_record r = { .act = act, .ino = ino, .dir = p->dir_ino };

    powercut_put(&r, p->name, NULL, NULL);
}

/* O_TRUNC is taken out and done as a resize, so that the old bytes are kept. */
static int open_made(const struct powercut_place *p, int flags, mode_t mode)
{
    struct stat st;
    int fd;

    powercut_lock_names();
    fd = (int)syscall(SYS_openat, p->dir_fd, p->name, (flags | O_EXCL) & ~O_TRUNC, mode);
    if (fd >= 0 && fstat(fd, &st) == 0) put_name(POWERCUT_CREATE, p, st.st_ino);
    if (fd < 0 && errno == EEXIST && !(flags & O_EXCL))
        fd = (int)syscall(SYS_openat, p->dir_fd, p->name, flags & ~O_TRUNC, mode);
    powercut_unlock_names();
    return fd;
}

static int any_open(int at, const char *path, int flags, mode_t mode)
{
    struct powercut_place p = { .dir_fd = -1 };
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    int fd;

    if (((flags & O_CREAT) || (writes && (flags & O_TRUNC))) && powercut_place(at, path, &p)) {
        fd = (flags & O_CREAT) ? open_made(&p, flags, mode)
                               : (int)syscall(SYS_openat, at, path, flags & ~O_TRUNC, mode);
        powercut_release(&p);
        powercut_watch(fd, flags);
        if (fd >= 0 && (flags & O_TRUNC)) any_truncate(fd, 0);
        return fd;
    }
    fd = (int)syscall(SYS_openat, at, path, flags, mode);
    powercut_watch(fd, flags);
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define OPEN_LIKE(name)                                                                            \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        mode_t mode;                                                                               \
                                                                                                   \
        va_start(args, flags);                                                                     \
        mode = mode_of(flags, args);                                                               \
        va_end(args);                                                                              \
        return any_open(AT_FDCWD, path, flags, mode);                                              \
    }
#define OPENAT_LIKE(name)                                                                          \
    int name(int at, const char *path, int flags, ...)                                             \
    {                                                                                              \
        va_list args;                                                                              \
        mode_t mode;                                                                               \
                                                                                                   \
        va_start(args, flags);                                                                     \
        mode = mode_of(flags, args);                                                               \
        va_end(args);                                                                              \
        return any_open(at, path, flags, mode);                                                    \
    }

OPEN_LIKE(open)
OPEN_LIKE(open64)
OPENAT_LIKE(openat)
OPENAT_LIKE(openat64)

int creat(const char *path, mode_t mode)
{
    return any_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return any_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* What _FORTIFY_SOURCE makes of open without a mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return any_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return any_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int at, const char *path, int flags)
{
    return any_open(at, path, flags, 0);
}

int __openat64_2(int at, const char *path, int flags)
{
    return any_open(at, path, flags, 0);
}

/* ---- descriptors */

int close(int fd)
{
    powercut_forget(fd);
    return (int)syscall(SYS_close, fd);
}

int dup(int fd)
{
    int copy = (int)syscall(SYS_dup, fd);

    powercut_copy(fd, copy);
    return copy;
}

int dup2(int fd, int to)
{
    int copy = (int)syscall(SYS_dup2, fd, to);

    powercut_copy(fd, copy);
    return copy;
}

int dup3(int fd, int to, int flags)
{
    int copy = (int)syscall(SYS_dup3, fd, to, flags);

    powercut_copy(fd, copy);
    return copy;
}

static int any_fcntl(int fd, int command, long arg)
{
    int rv = (int)syscall(SYS_fcntl, fd, command, arg);

    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) powercut_copy(fd, rv);
    return rv;
}

#define FCNTL_LIKE(name)                                                                           \
    int name(int fd, int command, ...)                                                             \
    {                                                                                              \
        va_list args;                                                                              \
        long arg;                                                                                  \
                                                                                                   \
        va_start(args, command);                                                                   \
        arg = va_arg(args, long);                                                                  \
        va_end(args);                                                                              \
        return any_fcntl(fd, command, arg);                                                        \
    }

FCNTL_LIKE(fcntl)
FCNTL_LIKE(fcntl64)

/* ---- names */

static uint64_t ino_at(const struct powercut_place *p)
{
    struct stat st;

    return fstatat(p->dir_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static int any_unlink(int at, const char *path, int flags)
{
    struct powercut_place p;
    struct powercut_record r;
    int rv;

    if (!powercut_place(at, path, &p)) return (int)syscall(SYS_unlinkat, at, path, flags);
    powercut_lock_names();
    r = (struct powercut_record){ .act = flags & AT_REMOVEDIR ? POWERCUT_RMDIR : POWERCUT_UNLINK,
                                  .ino = ino_at(&p),
                                  .dir = p.dir_ino };
    if (r.ino && (flags & AT_REMOVEDIR)) powercut_put(&r, p.name, NULL, NULL);
    if (r.ino && !(flags & AT_REMOVEDIR)) powercut_put_as(powercut_keep(&p), &r, p.name, NULL);
    rv = (int)syscall(SYS_unlinkat, p.dir_fd, p.name, flags);
    powercut_unlock_names();
    powercut_release(&p);
    return rv;
}

int unlink(const char *path)
{
    return any_unlink(AT_FDCWD, path, 0);
}

int unlinkat(int at, const char *path, int flags)
{
    return any_unlink(at, path, flags);
}

int rmdir(const char *path)
{
    return any_unlink(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int rv = any_unlink(AT_FDCWD, path, 0);

    return rv != 0 && errno == EISDIR ? any_unlink(AT_FDCWD, path, AT_REMOVEDIR) : rv;
}

static int rename_watched(const struct powercut_place *from, const struct powercut_place *to,
                          unsigned flags)
{
    struct powercut_record r = { .act = POWERCUT_RENAME,
                                 .ino = ino_at(from),
                                 .dir = from->dir_ino,
                                 .dir2 = to->dir_ino,
                                 .old_ino = ino_at(to) };

    if (flags) powercut_give_up("renameat2 with flags is not followed");
    if (r.ino) powercut_put_as(powercut_keep(to), &r, from->name, to->name);
    return (int)syscall(SYS_renameat2, from->dir_fd, from->name, to->dir_fd, to->name, 0u);
}

static int any_rename(int from_at, const char *from_path, int to_at, const char *to_path,
                      unsigned flags)
{
    struct powercut_place from, to;
    bool leaves = powercut_place(from_at, from_path, &from),
         comes = powercut_place(to_at, to_path, &to);
    int rv;

    if (leaves != comes)
        powercut_give_up("a rename across the border of POWERCUT_DIR is not followed");
    if (!leaves) return (int)syscall(SYS_renameat2, from_at, from_path, to_at, to_path, flags);
    powercut_lock_names();
    rv = rename_watched(&from, &to, flags);
    powercut_unlock_names();
    powercut_release(&from);
    powercut_release(&to);
    return rv;
}

int rename(const char *from, const char *to)
{
    return any_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return any_rename(from_at, from, to_at, to, 0);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    return any_rename(from_at, from, to_at, to, flags);
}

static int any_mkdir(int at, const char *path, mode_t mode)
{
    char plain[4096];
    struct powercut_place p;
    size_t n = strlen(path);
    int rv;

    while (n > 1 && path[n - 1] == '/')
        n--;
    snprintf(plain, sizeof plain, "%.*s", (int)n, path);
    if (!powercut_place(at, plain, &p)) return (int)syscall(SYS_mkdirat, at, path, mode);
    powercut_lock_names();
    rv = (int)syscall(SYS_mkdirat, p.dir_fd, p.name, mode);
    if (rv == 0) put_name(POWERCUT_MKDIR, &p, ino_at(&p));
    powercut_unlock_names();
    powercut_release(&p);
    return rv;
}

int mkdir(const char *path, mode_t mode)
{
    return any_mkdir(AT_FDCWD, path, mode);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    return any_mkdir(at, path, mode);
}

/* ---- what is not followed */

int link(const char *from, const char *to)
{
    struct powercut_place p;

    if (powercut_place(AT_FDCWD, to, &p)) powercut_give_up("hard links are not followed");
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int truncate(const char *path, off_t size)
{
    struct powercut_place p;

    if (powercut_place(AT_FDCWD, path, &p)) powercut_give_up("truncate by name is not followed");
    return (int)syscall(SYS_truncate, path, size);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
    struct powercut_file f;

    if (powercut_seen(out, &f)) powercut_give_up("copy_file_range is not followed");
    return (ssize_t)syscall(SYS_copy_file_range, in, in_at, out, out_at, n, flags);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
    struct powercut_file f;

    if (powercut_seen(out, &f)) powercut_give_up("sendfile is not followed");
    return (ssize_t)syscall(SYS_sendfile, out, in, offset, n);
}

void *mmap(void *at, size_t n, int access, int flags, int fd, off_t offset)
{
    struct powercut_file f;

    if ((flags & MAP_SHARED) && (access & PROT_WRITE) && powercut_seen(fd, &f))
        powercut_give_up("shared writable mappings are not followed");
    return (void *)syscall(SYS_mmap, at, n, access, flags, fd, offset);
}
