/* powercut_probe - does what its arguments say, one file act each, then waits to be killed; the
 * test of the preload layer drives it.
 *
 *   make F | open F | append F N BYTE | over F OFFSET N BYTE | cut F SIZE | sync F | syncdir D |
 * close F mkdir D | rename A B | unlink F | reserve F N | race D THREADS: until killed, threads
 * append to files of their own and tell on stdout, unbuffered, what is synced: "thread bytes"
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX   16
#define THREADS_MAX 16

struct open_file {
    const char *name;
    int fd;
};

static struct open_file files[FILES_MAX];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long number(const char *text)
{
    return strtol(text, NULL, 10);
}

static int *file_fd(const char *name)
{
    for (unsigned i = 0; i < FILES_MAX; i++)
        if (files[i].name && strcmp(files[i].name, name) == 0) return &files[i].fd;
    fail(name);
}

static void file_open(const char *name, int flags)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        if (files[i].name) continue;
        files[i] = (struct open_file){ name, open(name, O_RDWR | O_CLOEXEC | flags, 0600) };
        if (files[i].fd < 0) fail(name);
        return;
    }
    fail("too many files");
}

static void file_close(const char *name)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        if (!files[i].name || strcmp(files[i].name, name) != 0) continue;
        close(files[i].fd);
        files[i].name = NULL;
    }
}

static void file_write(const char *name, long offset, long n, char byte)
{
    char *p = malloc((size_t)n);
    int fd = *file_fd(name);
    ssize_t done;

    if (!p) abort();
    memset(p, byte, (size_t)n);
    if (offset < 0) {
        lseek(fd, 0, SEEK_END);
        done = write(fd, p, (size_t)n);
    } else {
        done = pwrite(fd, p, (size_t)n, offset);
    }
    free(p);
    if (done != n) fail(name);
}

static void dir_sync(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0) fail(dir);
    close(fd);
}

/* ---- race */

struct racer {
    pthread_t thread;
    const char *dir;
    unsigned number;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    char path[512], block[700];
    size_t whole = 0;
    int fd;

    snprintf(path, sizeof path, "%s/racer%u", r->dir, r->number);
    memset(block, 'a' + (int)r->number, sizeof block);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) fail(path);
    for (unsigned turn = 1;; turn++) {
        char line[64];
        size_t n = 1 + (turn * 37u) % sizeof block;

        if (write(fd, block, n) != (ssize_t)n) fail(path);
        whole += n;
        if (turn % 3 != 0) continue;
        if (fdatasync(fd) != 0) fail(path);
        snprintf(line, sizeof line, "%u %zu\n", r->number, whole);
        if (write(1, line, strlen(line)) < 0) fail("stdout");
    }
}

static void race_all(const char *dir, long threads)
{
    static struct racer racers[THREADS_MAX];

    for (long i = 0; i < threads && i < THREADS_MAX; i++) {
        racers[i] = (struct racer){ .dir = dir, .number = (unsigned)i };
        if (pthread_create(&racers[i].thread, NULL, race, &racers[i]) != 0) fail("thread");
    }
    pause();
}

/* ---- acts */

static bool is_act(const char *word, const char *act)
{
    return strcmp(word, act) == 0;
}

static void check(int rv, const char *what)
{
    if (rv != 0) fail(what);
}

/* Does one act; returns how many arguments it took. */
static int act(char **a)
{
    if (is_act(a[0], "make")) return file_open(a[1], O_CREAT), 2;
    if (is_act(a[0], "open")) return file_open(a[1], 0), 2;
    if (is_act(a[0], "append")) return file_write(a[1], -1, number(a[2]), *a[3]), 4;
    if (is_act(a[0], "over")) return file_write(a[1], number(a[2]), number(a[3]), *a[4]), 5;
    if (is_act(a[0], "cut")) return check(ftruncate(*file_fd(a[1]), number(a[2])), a[1]), 3;
    if (is_act(a[0], "reserve"))
        return check(fallocate(*file_fd(a[1]), FALLOC_FL_KEEP_SIZE, 0, number(a[2])), a[1]), 3;
    if (is_act(a[0], "sync")) return check(fdatasync(*file_fd(a[1])), a[1]), 2;
    if (is_act(a[0], "syncdir")) return dir_sync(a[1]), 2;
    if (is_act(a[0], "close")) return file_close(a[1]), 2;
    if (is_act(a[0], "mkdir")) return check(mkdir(a[1], 0700), a[1]), 2;
    if (is_act(a[0], "rename")) return check(rename(a[1], a[2]), a[1]), 3;
    if (is_act(a[0], "unlink")) return check(unlink(a[1]), a[1]), 2;
    if (is_act(a[0], "race")) return race_all(a[1], number(a[2])), 3;
    errno = EINVAL;
    fail(a[0]);
}

int main(int argc, char **argv)
{
    for (int at = 1; at < argc;)
        at += act(argv + at);
    if (write(1, "done\n", 5) != 5) return 1;
    pause();
    return 0;
}
