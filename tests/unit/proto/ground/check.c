/* check - a fact that does not hold ends the process with a message; memory is never NULL. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/ground/check.h"

struct ending {
    int status;
    char text[4096];
};

/* Runs what in a child; its stderr and how it ended. */
static struct ending run_child(void (*what)(void))
{
    struct ending end = { 0 };
    size_t n = 0;
    ssize_t got;
    int fds[2];
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        what();
        _exit(0);
    }
    close(fds[1]);
    while (n < sizeof end.text - 1 &&
           (got = read(fds[0], end.text + n, sizeof end.text - 1 - n)) > 0)
        n += (size_t)got;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &end.status, 0), pid);
    return end;
}

static void fail_a_check(void)
{
    int apples = 3;

    CHECK(apples == 4);
}

static void abort_like_a_library(void)
{
    check_explain_aborts();
    abort();
}

static void reach_the_unreached(void)
{
    UNREACHED();
}

static void hold(void)
{
    CHECK(1 + 1 == 2);
}

static void a_false_fact_prints_and_aborts(void **state)
{
    struct ending end = run_child(fail_a_check);

    (void)state;
    assert_true(WIFSIGNALED(end.status));
    assert_int_equal(WTERMSIG(end.status), SIGABRT);
    assert_non_null(strstr(end.text, "CHECK failed: apples == 4 at "));
    assert_non_null(strstr(end.text, "check.c:"));
    assert_non_null(strstr(end.text, " in fail_a_check\n"));

    end = run_child(reach_the_unreached);
    assert_true(WIFSIGNALED(end.status));
    assert_non_null(strstr(end.text, "never reached"));
}

static void a_true_fact_does_nothing(void **state)
{
    struct ending end = run_child(hold);

    (void)state;
    assert_true(WIFEXITED(end.status));
    assert_int_equal(WEXITSTATUS(end.status), 0);
    assert_string_equal(end.text, "");
}

static void memory_is_never_null(void **state)
{
    char *p = check_malloc(0);
    char *zeros = check_calloc(4, 4);
    char *none = check_calloc(0, 8);
    char *text = check_strdup("abc");

    (void)state;
    assert_non_null(p);
    p = check_realloc(p, 0);
    assert_non_null(p);
    p = check_realloc(p, 10);
    assert_memory_equal(zeros, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_non_null(none);
    assert_string_equal(text, "abc");
    free(p);
    free(zeros);
    free(none);
    free(text);
}

#ifndef ANGARIUM_SANITIZED /* a sanitizer ends such a process in its own way */
static void ask_for_too_much(void)
{
    volatile unsigned long huge = ~0ul / 2;

    free(check_calloc(huge, 16));
}

static void memory_that_is_out_ends_the_process(void **state)
{
    struct ending end = run_child(ask_for_too_much);

    (void)state;
    assert_true(WIFSIGNALED(end.status));
    assert_int_equal(WTERMSIG(end.status), SIGABRT);
}
#endif

static void an_abort_is_explained_and_still_one(void **state)
{
    struct ending end = run_child(abort_like_a_library);

    (void)state;
    assert_true(WIFSIGNALED(end.status));
    assert_int_equal(WTERMSIG(end.status), SIGABRT);
    assert_non_null(strstr(end.text, "check the disk and the file system"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_false_fact_prints_and_aborts),
        cmocka_unit_test(a_true_fact_does_nothing),
        cmocka_unit_test(memory_is_never_null),
        cmocka_unit_test(an_abort_is_explained_and_still_one),
#ifndef ANGARIUM_SANITIZED
        cmocka_unit_test(memory_that_is_out_ends_the_process),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
