/* faults - an LD_PRELOAD layer for nodes of a test: what is wrong with a node's disk and with its ways to others stands in files.
 *
 *   FAULTS_DIR/node-N.disk   "full": writes under the node's data fail with ENOSPC; "sick": syncs fail with EIO;
 *                            "slow MS": each sync takes so much longer. No file: nothing is wrong.
 *   FAULTS_DIR/node-N.ways   lines "PORT OTHER": a connection to PORT on this host goes to OTHER, where the test's own relay
 *                            stands (cluster-test/lib/relay.py). Read when the process begins.
 *
 * Which node it is in is taken from its settings file: `angarium node -c .../node-N.yaml`. In any other process it does nothing.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define WAYS_MAX  16
#define PATH_SIZE 512

static char disk_file[PATH_SIZE], data_mark[32];
static struct way {
    unsigned port, other;
} ways[WAYS_MAX];
static unsigned way_count;

/* "node-3" of ".../node-3.yaml"; false: not a node. */
static bool find_name(char *name, size_t size)
{
    char line[4096] = "";
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    char *at = NULL, *end;

    if (fd >= 0) close(fd);
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(line + i) + 1)
        if (strstr(line + i, "/node-")) at = strrchr(line + i, '/') + 1;
    end = at ? strstr(at, ".yaml") : NULL;
    if (!end || (size_t)(end - at) >= size) return false;
    snprintf(name, size, "%.*s", (int)(end - at), at);
    return true;
}

__attribute__((constructor)) static void begin(void)
{
    const char *dir = getenv("FAULTS_DIR");
    char name[24], path[PATH_SIZE];
    FILE *f;

    if (!dir || !find_name(name, sizeof name)) return;
    snprintf(disk_file, sizeof disk_file, "%s/%s.disk", dir, name);
    snprintf(data_mark, sizeof data_mark, "/%s/", name);
    snprintf(path, sizeof path, "%s/%s.ways", dir, name);
    f = fopen(path, "re");
    while (f && way_count < WAYS_MAX &&
           fscanf(f, "%u %u", &ways[way_count].port, &ways[way_count].other) == 2)
        way_count++;
    if (f) fclose(f);
}

static void *next_of(const char *name)
{
    void *call = dlsym(RTLD_NEXT, name);

    if (!call) abort();
    return call;
}
/* The function behind this one, looked up once. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *call;                                                                 \
    if (!call) {                                                                                   \
        void *found = next_of(#name);                                                               \
        memcpy(&call, &found, sizeof call);                                                        \
    }

/* ---- disk */

static bool is_wrong(char *what, size_t size)
{
    int fd = disk_file[0] && access(disk_file, F_OK) == 0 ? open(disk_file, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? -1 : read(fd, what, size - 1);

    if (fd >= 0) close(fd);
    if (n <= 0) return false;
    what[n] = '\0';
    return true;
}

static bool is_data(int fd)
{
    char link[32], path[PATH_SIZE];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return false;
    path[n] = '\0';
    return strstr(path, data_mark) != NULL;
}

static bool is_full(int fd)
{
    int saved = errno;
    char what[32];
    bool full = is_wrong(what, sizeof what) && strncmp(what, "full", 4) == 0 && is_data(fd);

    errno = full ? ENOSPC : saved;
    return full;
}

static bool is_sick(void)
{
    int saved = errno;
    char what[32];
    bool wrong = is_wrong(what, sizeof what), sick = wrong && strncmp(what, "sick", 4) == 0;

    if (wrong && strncmp(what, "slow ", 5) == 0) {
        long ms = strtol(what + 5, NULL, 10);
        struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

        nanosleep(&pause, NULL);
    }
    errno = sick ? EIO : saved;
    return sick;
}

ssize_t write(int fd, const void *p, size_t n)
{
    NEXT(write)
    return is_full(fd) ? -1 : call(fd, p, n);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
    NEXT(pwrite64)
    return is_full(fd) ? -1 : call(fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    NEXT(pwrite)
    return is_full(fd) ? -1 : call(fd, p, n, at);
}

int fsync(int fd)
{
    NEXT(fsync)
    return is_sick() ? -1 : call(fd);
}

int fdatasync(int fd)
{
    NEXT(fdatasync)
    return is_sick() ? -1 : call(fd);
}

/* ---- ways */

int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t size)
{
    NEXT(connect)
    struct sockaddr_in in;

    if (way_count == 0 || to.__sockaddr__->sa_family != AF_INET || size < sizeof in) return call(fd, to, size);
    memcpy(&in, to.__sockaddr__, sizeof in);
    for (unsigned i = 0; i < way_count; i++)
        if (ways[i].port == ntohs(in.sin_port)) in.sin_port = htons((uint16_t)ways[i].other);
    return call(fd, (__CONST_SOCKADDR_ARG){ .__sockaddr_in__ = &in }, size);
}
