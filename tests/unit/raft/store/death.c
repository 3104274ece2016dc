/* death - the log and other processes: killed with it open, ended by its disk (P7), holding it.
 *
 * The other process is this program again: "death ROLE DIR".
 */
#include "tests/unit/raft/store/place.h"

#include <spawn.h>

extern char **environ;

/* ---- the other process */

static void die_by_a_signal(const struct place *p)
{
    struct store *s = open_log(p, NULL);

    write_one(s, op_hard(9, 1, 1));
    write_entries(s, 9, 1, 50, 1);
    write_one(s, op_cut(9, 1, 20, 1)); /* not synced, but the kernel has it */
    kill(getpid(), SIGKILL);
}

static void hold(const struct place *p)
{
    struct store *s = open_log(p, NULL);

    kill(getpid(), SIGSTOP);
    store_close(&s);
}

static void write_until_it_fails(const struct place *p)
{
    static const struct rlimit small = { 200000, 200000 };
    struct store *s = open_log(p, NULL);
    char body[4096] = "";

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small); /* from there on write() says EFBIG */
    memset(body, 'x', sizeof body - 1);
    for (uint64_t i = 1; i < 1000; i++)
        write_one(s, op_entry(9, i, 1, "", body));
}

static const struct {
    const char *name;
    void (*play)(const struct place *p);
} roles[] = { { "die", die_by_a_signal }, { "hold", hold }, { "fail", write_until_it_fails } };

static int play(const char *name, const char *log)
{
    struct place p;

    snprintf(p.log, sizeof p.log, "%s", log);
    for (unsigned i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i].name, name) == 0) roles[i].play(&p);
    return 0;
}

/* Its stderr goes to the given end, if it is one. */
static pid_t start(const char *role, const struct place *p, int stderr_to)
{
    char name[8], log[96], program[] = "death";
    char *argv[] = { program, name, log, NULL };
    posix_spawn_file_actions_t actions;
    pid_t child;

    snprintf(name, sizeof name, "%s", role);
    snprintf(log, sizeof log, "%s", p->log);
    posix_spawn_file_actions_init(&actions);
    if (stderr_to >= 0) posix_spawn_file_actions_adddup2(&actions, stderr_to, STDERR_FILENO);
    CHECK(posix_spawn(&child, "/proc/self/exe", &actions, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

/* ---- the tests */

static void what_was_synced_survives_a_kill(void **state)
{
    struct store_group g;
    struct store *s;
    struct place p;
    bool tainted = true;
    int status;

    (void)state;
    place_open(&p);
    waitpid(start("die", &p, -1), &status, 0);
    assert_true(WIFSIGNALED(status));
    s = open_log(&p, &tainted);
    assert_false(tainted);
    g = read_group(s, 9);
    assert_true(g.first == 21 && g.last == 50 && g.hard.term == 1);
    store_close(&s);
    place_close(&p);
}

static void a_log_in_use_is_refused(void **state)
{
    struct errmsg why = { "" };
    struct place p;
    struct store *s;
    int status;
    pid_t child;

    (void)state;
    place_open(&p);
    child = start("hold", &p, -1);
    waitpid(child, &status, WUNTRACED);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(try_open(&p, &why), ERR_BUSY);
    assert_non_null(strstr(why.text, "another process"));
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(try_open(&p, &why), 0);
    s = open_log(&p, NULL); /* and within one process */
    assert_int_equal(try_open(&p, &why), ERR_BUSY);
    store_close(&s);
    place_close(&p);
}

static void a_failed_write_ends_the_process_with_a_last_word(void **state)
{
    char said[4096] = "";
    size_t n = 0;
    ssize_t got;
    struct place p;
    int ends[2], status;
    pid_t child;

    (void)state;
    place_open(&p);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    child = start("fail", &p, ends[1]);
    close(ends[1]);
    while ((got = read(ends[0], said + n, sizeof said - 1 - n)) > 0)
        n += (size_t)got;
    waitpid(child, &status, 0);
    close(ends[0]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
    assert_non_null(strstr(said, p.log));
    assert_non_null(strstr(said, "File too large"));
    place_close(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_survives_a_kill),
        cmocka_unit_test(a_log_in_use_is_refused),
        cmocka_unit_test(a_failed_write_ends_the_process_with_a_last_word),
    };

    if (argc == 3) return play(argv[1], argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
