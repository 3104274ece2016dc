/* secret - counted bytes that are wiped, and the files that they come from. */
#include "proto/ground/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/ground/check.h"

#define RIGHTS_TOO_WIDE 0027u /* others' all, the group's to write */

struct secret {
    atomic_uint refs;
    size_t n;
    uint8_t bytes[];
};

void secret_wipe(void *p, size_t n)
{
    if (n > 0) explicit_bzero(p, n);
}

struct secret *secret_new(struct span bytes)
{
    struct secret *s = check_malloc(sizeof *s + bytes.n);

    CHECK(bytes.n <= SECRET_SIZE_MAX);
    atomic_init(&s->refs, 1);
    s->n = bytes.n;
    if (bytes.n > 0) memcpy(s->bytes, bytes.p, bytes.n);
    return s;
}

struct secret *secret_ref(struct secret *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void secret_unref(struct secret **sp)
{
    struct secret *s = *sp;

    *sp = NULL;
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    secret_wipe(s->bytes, s->n);
    free(s);
}

struct span secret_bytes(const struct secret *s)
{
    return span_of(s->bytes, s->n);
}

bool secret_eq(const struct secret *a, const struct secret *b)
{
    unsigned differs = 0;

    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        differs |= a->bytes[i] ^ b->bytes[i];
    return differs == 0;
}

/* ---- files */

static int judge(const char *path, const struct stat *st, struct errmsg *why)
{
    if (!S_ISREG(st->st_mode)) return errmsg_set(why, ERR_IO, "%s is no plain file", path);
    if ((st->st_mode & RIGHTS_TOO_WIDE) != 0)
        return errmsg_set(why, ERR_DENIED,
                          "%s holds a secret, and its mode %03o lets others at it: chmod 600", path,
                          (unsigned)(st->st_mode & 0777));
    if ((uint64_t)st->st_size > SECRET_SIZE_MAX)
        return errmsg_set(why, ERR_TOO_LONG, "%s is larger than %u bytes: that is no secret", path,
                          SECRET_SIZE_MAX);
    return 0;
}

/* The descriptor of a file that is as it should be, or an error. */
static int open_checked(const char *path, int *fd, struct errmsg *why)
{
    struct stat st;
    int rv;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe in its place holds nobody up */
    if (*fd < 0)
        return errmsg_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s cannot be read: %s",
                          path, strerror(errno));
    if (fstat(*fd, &st) != 0)
        rv = errmsg_set(why, ERR_IO, "%s cannot be read: %s", path, strerror(errno));
    else
        rv = judge(path, &st, why);
    if (rv != 0) close(*fd);
    return rv;
}

int secret_file_check(const char *path, struct errmsg *why)
{
    int fd;
    int rv = open_checked(path, &fd, why);

    if (rv == 0) close(fd);
    return rv;
}

static struct span without_line_end(struct span s)
{
    if (s.n > 0 && s.p[s.n - 1] == '\n') s.n--;
    if (s.n > 0 && s.p[s.n - 1] == '\r') s.n--;
    return s;
}

static bool has_controls(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f) return true;
    return false;
}

int secret_file_read(const char *path, struct secret **out, struct errmsg *why)
{
    uint8_t bytes[SECRET_SIZE_MAX + 1];
    struct span content;
    size_t n = 0;
    ssize_t got = 1;
    int fd;
    int rv = open_checked(path, &fd, why);

    *out = NULL;
    if (rv != 0) return rv;
    while (got > 0 && n < sizeof bytes) {
        got = read(fd, bytes + n, sizeof bytes - n);
        if (got > 0) n += (size_t)got;
    }
    if (got < 0) rv = errmsg_set(why, ERR_IO, "%s cannot be read: %s", path, strerror(errno));
    close(fd);
    content = without_line_end(span_of(bytes, n));
    if (rv == 0 && content.n > SECRET_SIZE_MAX)
        rv = errmsg_set(why, ERR_TOO_LONG, "%s is larger than %u bytes", path, SECRET_SIZE_MAX);
    if (rv == 0 && (content.n == 0 || has_controls(content)))
        rv = errmsg_set(why, ERR_SYNTAX, "%s %s", path,
                        content.n == 0 ? "is empty" : "holds control characters");
    if (rv == 0) *out = secret_new(content);
    secret_wipe(bytes, n);
    return rv;
}

static int write_whole(int fd, struct span bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);

        if (n <= 0) return ERR_IO;
        bytes = span_from(bytes, (size_t)n);
    }
    return fsync(fd) == 0 ? 0 : ERR_IO;
}

/* The name in the folder has to last, too. */
static int sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int fd, rv;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ERR_IO;
    rv = fsync(fd) == 0 ? 0 : ERR_IO;
    close(fd);
    return rv;
}

int secret_file_write(const char *path, const struct secret *s, struct errmsg *why)
{
    char fresh[4096];
    int n = snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd, rv;

    if (n < 0 || (size_t)n >= sizeof fresh)
        return errmsg_set(why, ERR_TOO_LONG, "%s: the path is too long", path);
    unlink(fresh); /* of one that was cut short */
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return errmsg_set(why, ERR_IO, "%s cannot be written: %s", fresh, strerror(errno));
    rv = write_whole(fd, secret_bytes(s));
    if (close(fd) != 0) rv = ERR_IO;
    if (rv == 0 && rename(fresh, path) != 0) rv = ERR_IO;
    if (rv == 0) rv = sync_folder(path);
    if (rv == 0) return 0;
    errmsg_set(why, rv, "%s cannot be written: %s", path, strerror(errno));
    unlink(fresh);
    return rv;
}
