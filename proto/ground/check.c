/* check - how the process ends when a fact does not hold, and memory that is never missing.
 *
 * check_failed() allocates nothing and takes no lock of ours: it may be called from anywhere, also
 * with a broken heap. (backtrace() loads its helper library on the first call; a process that
 * cannot load it loses the trace, not the message.)
 */
#include "proto/ground/check.h"

#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACE_DEPTH_MAX 64

static void stderr_add(const char *text)
{
    size_t n = strlen(text);

    while (n > 0) {
        ssize_t wrote = write(STDERR_FILENO, text, n);
        if (wrote <= 0) return;
        text += wrote;
        n -= (size_t)wrote;
    }
}

static void stderr_add_number(unsigned number)
{
    char text[16];
    size_t at = sizeof text - 1;

    text[at] = '\0';
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    stderr_add(text + at);
}

void check_failed(const char *fact, const char *file, int line, const char *func)
{
    void *frames[TRACE_DEPTH_MAX];

    stderr_add("CHECK failed: ");
    stderr_add(fact);
    stderr_add(" at ");
    stderr_add(file);
    stderr_add(":");
    stderr_add_number((unsigned)line);
    stderr_add(" in ");
    stderr_add(func);
    stderr_add("\n");
    backtrace_symbols_fd(frames, backtrace(frames, TRACE_DEPTH_MAX), STDERR_FILENO);
    abort();
}

static void on_abort(int signal)
{
    (void)signal; /* when it returns, abort() ends the process */
    stderr_add(
        "angarium: the check above did not hold: ending now, so that nothing is promised that is not on the disk. When it "
        "names a file of RocksDB, a write has failed: check the disk and the file system (is it full?), then start again. "
        "Else please report it, with the lines above.\n");
}

void check_explain_aborts(void)
{
    struct sigaction action = { .sa_handler = on_abort };

    CHECK(sigaction(SIGABRT, &action, NULL) == 0);
}

void *check_malloc(unsigned long size)
{
    void *p = malloc(size > 0 ? size : 1);

    CHECK(p != NULL);
    return p;
}

void *check_calloc(unsigned long count, unsigned long size)
{
    bool empty = count == 0 || size == 0;
    void *p = calloc(empty ? 1 : count, empty ? 1 : size);

    CHECK(p != NULL);
    return p;
}

void *check_realloc(void *old, unsigned long size)
{
    void *p = realloc(old, size > 0 ? size : 1);

    CHECK(p != NULL);
    return p;
}

char *check_strdup(const char *text)
{
    char *p = strdup(text);

    CHECK(p != NULL);
    return p;
}

void check_last_word(const char *store, const char *what, const char *error)
{
    fprintf(stderr,
            "angarium: %s (%s): %s\n"
            "angarium: ending now, so that nothing is promised that is not on the disk. Check the "
            "disk and the file "
            "system, then start again.\n",
            store, what, error);
    _exit(70);
}
