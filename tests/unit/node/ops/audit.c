/* audit - what a node leaves behind, orderly or by a crash, is proved; what is missing is found; a
 * running node is left alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raft/store/store.h"
#include "tests/unit/node/ops/ops_world.h"

#define MAIL "{\"from\":\"me@example.test\",\"to\":[\"a@one.test\",\"b@two.test\"],\"text\":\"hi\"}"

static int audit(const char *dir, const char *option)
{
    static char name[] = "angarium", verb[] = "audit";
    char *argv[5] = { name, verb, (char *)(uintptr_t)dir, (char *)(uintptr_t)option, NULL };

    return cli_main(option ? 4 : 3, argv, NULL, 0);
}

/* The same, and what it prints. */
static int audit_text(const char *dir, const char *option, char *out, size_t size)
{
    int saved = dup(STDOUT_FILENO), rv;
    FILE *f = tmpfile();

    assert_non_null(f);
    fflush(stdout);
    dup2(fileno(f), STDOUT_FILENO);
    rv = audit(dir, option);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(f);
    out[fread(out, 1, size - 1, f)] = '\0';
    fclose(f);
    return rv;
}

static void make_dir(struct world *w)
{
    *w = (struct world){ 0 };
    snprintf(w->dir, sizeof w->dir, "/tmp/angarium-ops-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
}

/* A node that takes mails and then ends in some way, in a process of its own. */
static pid_t run_node(struct world *w, int mails, void (*end)(struct world *w))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0) return pid;
    alarm(60);
    world_open(w);
    for (int i = 0; i < mails; i++)
        free(world_post(w, MAIL));
    end(w);
    _exit(0);
}

static void end_well(struct world *w)
{
    world_close(w);
}

static void crash(struct world *w)
{
    (void)w;
    raise(SIGKILL);
}

static void stay(struct world *w)
{
    char path[128];

    snprintf(path, sizeof path, "%s/here", w->dir);
    CHECK(mkdir(path, 0700) == 0);
    for (;;)
        pause();
}

static void proved(void (*end)(struct world *w))
{
    struct world w;
    char text[8192];
    pid_t pid;

    make_dir(&w);
    pid = run_node(&w, 5, end);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 2; i++) { /* an audit changes nothing */
        assert_int_equal(audit_text(w.dir, NULL, text, sizeof text), CLI_DONE);
        assert_non_null(strstr(text, "\naudit: ok\n"));
        assert_non_null(strstr(text, "5        10       10"));
    }
    assert_int_equal(audit_text(w.dir, "--list", text, sizeof text), CLI_DONE);
    assert_non_null(strstr(text, " b@two.test waiting 0 0\n"));
    world_remove(w.dir);
}

static void after_an_orderly_end(void **state)
{
    (void)state;
    proved(end_well);
}

static void after_a_crash(void **state)
{
    (void)state;
    proved(crash);
}

static void a_running_node_is_left_alone(void **state)
{
    struct world w;
    char path[128];
    pid_t pid;

    (void)state;
    make_dir(&w);
    pid = run_node(&w, 1, stay);
    snprintf(path, sizeof path, "%s/here", w.dir);
    while (access(path, F_OK) != 0)
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_int_equal(audit(w.dir, NULL), CLI_REFUSED);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(audit(w.dir, NULL), CLI_DONE);
    world_remove(w.dir);
}

static void on_cut(struct store_write *write)
{
    (void)write;
}

/* The state is gone and the log was cut: mails are missing, and that is said. */
static void what_is_missing_is_found(void **state)
{
    struct world w;
    char path[128], text[8192];
    struct store *store = NULL;
    struct store_op cut = { .kind = STORE_CUT, .cut_from = 1, .cut_to = 3, .cut_term = 1 };
    struct store_write write = { .ops = &cut, .op_count = 1, .on_done = on_cut };
    pid_t pid;

    (void)state;
    make_dir(&w);
    pid = run_node(&w, 5, crash);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    snprintf(path, sizeof path, "%s/state", w.dir);
    world_remove(path);
    snprintf(path, sizeof path, "%s/log", w.dir);
    cut.entry.group = 1;
    assert_int_equal(store_open(&store,
                                &(struct store_options){ .dir = path, .memtable_bytes = 4u << 20 },
                                NULL, NULL),
                     0);
    store_submit(store, &write);
    store_close(&store);
    assert_int_equal(audit_text(w.dir, NULL, text, sizeof text), CLI_FAILED);
    assert_non_null(strstr(text, "entries 1 to 3 are neither in the state nor in the log"));
    assert_non_null(strstr(text, "\naudit: FAILED: shard 1: "));
    world_remove(w.dir);
}

static void no_node(void **state)
{
    struct world w;

    (void)state;
    make_dir(&w);
    assert_int_equal(audit(w.dir, NULL), CLI_NOT_FOUND);
    world_remove(w.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_an_orderly_end),
        cmocka_unit_test(after_a_crash),
        cmocka_unit_test(a_running_node_is_left_alone),
        cmocka_unit_test(what_is_missing_is_found),
        cmocka_unit_test(no_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
