/* powercut_track - which descriptors are watched, and the journal of what they did. Only raw system
 * calls: the layer must not call what it replaces. */
#include "cluster-test/lib/powercut.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS       65536
#define LOCKS     64
#define PATH_SIZE 4096

struct seen {
    atomic_uint_fast64_t ino; /* 0: not watched */
    bool is_synced;
};

static struct seen seen[FDS];
static pthread_mutex_t locks[LOCKS];
static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char root[PATH_SIZE];
static size_t root_n;
static dev_t device;
static int journal = -1, kept_dir = -1;
static bool fast;
static atomic_uint_fast64_t next_seq = 1;

_Noreturn void powercut_give_up(const char *what)
{
    static const char prefix[] = "powercut: ";

    syscall(SYS_write, 2, prefix, sizeof prefix - 1);
    syscall(SYS_write, 2, what, strlen(what));
    syscall(SYS_write, 2, "\n", 1);
    abort();
}

/* ---- start */

static int open_dir(const char *path)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A journal may be carried on by a second process. Its size in bytes is above every number in it.
 */
static void go_on(void)
{
    struct stat st;

    if (fstat(journal, &st) == 0) atomic_store(&next_seq, (uint64_t)st.st_size + 1);
}

static void open_journal(const char *dir)
{
    int fd = open_dir(dir);

    if (fd < 0) powercut_give_up("POWERCUT_JOURNAL is no directory");
    syscall(SYS_mkdirat, fd, "kept", 0700);
    kept_dir = (int)syscall(SYS_openat, fd, "kept", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    journal =
        (int)syscall(SYS_openat, fd, "journal", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    syscall(SYS_close, fd);
    if (journal < 0 || kept_dir < 0) powercut_give_up("the journal cannot be opened");
    go_on();
}

/* "node-3" when the process is `angarium node -c .../node-3.yaml`; else false. */
static bool find_name(char *name, size_t size)
{
    static const char verb[] = "node";
    char line[4096] = "", *at = line, *end;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : syscall(SYS_read, fd, line, sizeof line - 1);

    if (fd >= 0) syscall(SYS_close, fd);
    at += strlen(at) + 1;
    if (n <= 0 || at >= line + n || strcmp(at, verb) != 0) return false;
    at += sizeof verb;
    while (at < line + n && !strstr(at, ".yaml"))
        at += strlen(at) + 1;
    if (at >= line + n) return false;
    if (strrchr(at, '/')) at = strrchr(at, '/') + 1;
    end = strstr(at, ".yaml");
    if (!end || (size_t)(end - at) >= size) return false;
    memcpy(name, at, (size_t)(end - at));
    name[end - at] = '\0';
    return true;
}

/* A "%" in it stands for the node's name, so that nodes of a cluster have one environment. False: not for this process. */
static bool name_dir(const char *variable, char *out, size_t size)
{
    const char *value = getenv(variable), *mark = value ? strchr(value, '%') : NULL;
    char name[64] = "";
    int n;

    if (!value || (mark && !find_name(name, sizeof name))) return false;
    n = mark ? snprintf(out, size, "%.*s%s%s", (int)(mark - value), value, name, mark + 1)
             : snprintf(out, size, "%s", value);
    if (n < 0 || (size_t)n >= size) powercut_give_up("a directory's name is too long");
    return true;
}

static void start(void)
{
    char dir[PATH_SIZE], to[PATH_SIZE];
    struct stat st;

    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&locks[i], NULL);
    if (!name_dir("POWERCUT_DIR", dir, sizeof dir) || !name_dir("POWERCUT_JOURNAL", to, sizeof to))
        return;
    if (!realpath(dir, root) || stat(root, &st) != 0)
        powercut_give_up("POWERCUT_DIR is no directory");
    device = st.st_dev;
    root_n = strlen(root);
    fast = getenv("POWERCUT_FAST") != NULL;
    open_journal(to);
}

static bool is_on(void)
{
    pthread_once(&once, start);
    return journal >= 0;
}

__attribute__((constructor)) static void begin(void)
{
    is_on();
}

bool powercut_is_fast(void)
{
    return fast;
}

/* ---- descriptors */

static bool is_below(int fd)
{
    char link[64], path[4096];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < 0 || (size_t)n < root_n) return false;
    path[n] = '\0';
    return memcmp(path, root, root_n) == 0 && (path[root_n] == '/' || path[root_n] == '\0');
}

void powercut_watch(int fd, int flags)
{
    struct stat st;

    if (!is_on() || fd < 0 || fd >= FDS) return;
    atomic_store(&seen[fd].ino, 0);
    if (fstat(fd, &st) != 0 || st.st_dev != device || !is_below(fd)) return;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return;
    seen[fd].is_synced = (flags & O_DSYNC) != 0;
    atomic_store(&seen[fd].ino, st.st_ino);
}

/* Descriptors may be closed inside libc, unseen: the inode tells whether it is still the same file.
 */
bool powercut_seen(int fd, struct powercut_file *out)
{
    struct stat st;
    uint64_t ino;

    if (fd < 0 || fd >= FDS || (ino = atomic_load(&seen[fd].ino)) == 0) return false;
    if (fstat(fd, &st) != 0 || st.st_ino != ino || st.st_dev != device) {
        atomic_store(&seen[fd].ino, 0);
        return false;
    }
    *out = (struct powercut_file){ .ino = ino,
                                   .size = (uint64_t)st.st_size,
                                   .is_dir = S_ISDIR(st.st_mode),
                                   .is_synced = seen[fd].is_synced };
    return true;
}

void powercut_copy(int from, int to)
{
    if (from < 0 || from >= FDS || to < 0 || to >= FDS) return;
    seen[to].is_synced = seen[from].is_synced;
    atomic_store(&seen[to].ino, atomic_load(&seen[from].ino));
}

void powercut_forget(int fd)
{
    if (fd >= 0 && fd < FDS) atomic_store(&seen[fd].ino, 0);
}

/* ---- places */

bool powercut_place(int at, const char *path, struct powercut_place *out)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char dir[4096];
    struct stat st;

    out->dir_fd = -1;
    if (!is_on() || *name == '\0' || strlen(name) >= sizeof out->name) return false;
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    if (slash == path) snprintf(dir, sizeof dir, "/");
    out->dir_fd = (int)syscall(SYS_openat, at, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->dir_fd < 0) return false;
    if (fstat(out->dir_fd, &st) != 0 || st.st_dev != device || !is_below(out->dir_fd)) {
        powercut_release(out);
        return false;
    }
    out->dir_ino = st.st_ino;
    snprintf(out->name, sizeof out->name, "%s", name);
    return true;
}

void powercut_release(struct powercut_place *p)
{
    if (p->dir_fd >= 0) syscall(SYS_close, p->dir_fd);
    p->dir_fd = -1;
}

/* ---- locks */

void powercut_lock(uint64_t ino)
{
    pthread_mutex_lock(&locks[ino % LOCKS]);
}

void powercut_unlock(uint64_t ino)
{
    pthread_mutex_unlock(&locks[ino % LOCKS]);
}

void powercut_lock_names(void)
{
    pthread_mutex_lock(&names);
}

void powercut_unlock_names(void)
{
    pthread_mutex_unlock(&names);
}

/* ---- records */

static void put(uint64_t seq, struct powercut_record *r, const char *name, const char *name2,
                const void *old)
{
    struct iovec parts[4] = { { r, sizeof *r },
                              { (void *)(uintptr_t)name, name ? strlen(name) : 0 },
                              { (void *)(uintptr_t)name2, name2 ? strlen(name2) : 0 },
                              { (void *)(uintptr_t)old, old ? r->old_n : 0 } };
    size_t whole = 0;

    r->magic = POWERCUT_MAGIC;
    r->seq = seq;
    r->name_n = (uint32_t)parts[1].iov_len;
    r->name2_n = (uint32_t)parts[2].iov_len;
    r->old_n = parts[3].iov_len;
    for (unsigned i = 0; i < 4; i++)
        whole += parts[i].iov_len;
    if (syscall(SYS_writev, journal, parts, 4) != (long)whole)
        powercut_give_up("the journal cannot be written");
}

uint64_t powercut_put(struct powercut_record *r, const char *name, const char *name2,
                      const void *old)
{
    uint64_t seq = atomic_fetch_add(&next_seq, 1);

    put(seq, r, name, name2, old);
    return seq;
}

void powercut_put_as(uint64_t seq, struct powercut_record *r, const char *name, const char *name2)
{
    put(seq, r, name, name2, NULL);
}

uint64_t powercut_now(void)
{
    return atomic_load(&next_seq);
}

uint64_t powercut_keep(const struct powercut_place *p)
{
    uint64_t seq = atomic_fetch_add(&next_seq, 1);
    char name[32];

    snprintf(name, sizeof name, "%llu", (unsigned long long)seq);
    if (syscall(SYS_linkat, p->dir_fd, p->name, kept_dir, name, 0) != 0 && errno != ENOENT &&
        errno != EPERM)
        powercut_give_up("cannot keep a link: is POWERCUT_JOURNAL on the same file system?");
    return seq;
}
