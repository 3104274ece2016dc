/* identity - a data directory is one node's for ever; its shards may only grow.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/ops/ops.h"

struct fixture {
    char dir[64], path[96];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    snprintf(f->dir, sizeof f->dir, "/tmp/angarium-identity-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/identity.json", f->dir);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char log[96];

    snprintf(log, sizeof log, "%s/log", f->dir);
    rmdir(log);
    unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static void write_text(const struct fixture *f, const char *text)
{
    FILE *file = fopen(f->path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void made_once(void **state)
{
    const struct fixture *f = *state;
    struct ops_identity first, second;
    struct errmsg why = { "" };
    struct stat st;

    assert_int_equal(ops_identity_read(f->dir, &first, &why), ERR_NOT_FOUND);
    assert_int_equal(ops_identity_open(f->dir, 7, 4, &first, &why), 0);
    assert_int_equal(first.node, 7);
    assert_int_equal(first.shards, 4);
    assert_int_equal(strlen(first.uuid), 36);
    assert_int_equal(first.uuid[14], '4');
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(ops_identity_open(f->dir, 7, 4, &second, &why), 0);
    assert_string_equal(first.uuid, second.uuid);
    assert_int_equal(ops_identity_read(f->dir, &second, &why), 0);
    assert_string_equal(first.uuid, second.uuid);
}

static void another_node(void **state)
{
    const struct fixture *f = *state;
    struct ops_identity id;
    struct errmsg why = { "" };

    assert_int_equal(ops_identity_open(f->dir, 7, 4, &id, &why), 0);
    assert_int_equal(ops_identity_open(f->dir, 8, 4, &id, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "belongs to node 7"));
}

static void shards_grow(void **state)
{
    const struct fixture *f = *state;
    struct ops_identity id, again;
    struct errmsg why = { "" };

    assert_int_equal(ops_identity_open(f->dir, 7, 4, &id, &why), 0);
    assert_int_equal(ops_identity_open(f->dir, 7, 6, &again, &why), 0);
    assert_int_equal(again.shards, 6);
    assert_string_equal(id.uuid, again.uuid);
    assert_int_equal(ops_identity_open(f->dir, 7, 4, &id, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "may only grow"));
    assert_int_equal(ops_identity_read(f->dir, &id, &why), 0);
    assert_int_equal(id.shards, 6);
}

static void a_newer_format(void **state)
{
    const struct fixture *f = *state;
    struct ops_identity id;
    struct errmsg why = { "" };

    write_text(f, "{\"format\": 2, \"node\": 1, \"shards\": 4, \"uuid\": \"x\"}");
    assert_int_equal(ops_identity_open(f->dir, 1, 4, &id, &why), ERR_VERSION);
}

static void damaged(void **state)
{
    static const char *const texts[] = {
        "", "{", "[]", "{\"format\": 1}",
        "{\"format\": 1, \"node\": 1, \"shards\": 0, \"uuid\": \"x\"}"
    };
    const struct fixture *f = *state;
    struct ops_identity id;
    struct errmsg why = { "" };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text(f, texts[i]);
        assert_int_equal(ops_identity_open(f->dir, 1, 4, &id, &why), ERR_CORRUPT);
    }
}

/* A log without its identity is not made somebody else's. */
static void lost(void **state)
{
    const struct fixture *f = *state;
    struct ops_identity id;
    struct errmsg why = { "" };
    char log[96];

    snprintf(log, sizeof log, "%s/log", f->dir);
    assert_int_equal(mkdir(log, 0700), 0);
    assert_int_equal(ops_identity_open(f->dir, 1, 4, &id, &why), ERR_CORRUPT);
    assert_int_not_equal(access(f->path, F_OK), 0);
}

static void no_directory(void **state)
{
    struct ops_identity id;
    struct errmsg why = { "" };

    (void)state;
    assert_int_equal(ops_identity_open("/nowhere/at/all", 1, 4, &id, &why), ERR_IO);
    assert_int_equal(ops_identity_read("/nowhere/at/all", &id, &why), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_node, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shards_grow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost, set_up, tear_down),
        cmocka_unit_test(no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
