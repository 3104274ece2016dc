/* cli - options and words, exit codes, help, and what is shown.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ops/cli.h"

static bool flag;
static const char *text;
static const char *list[2];
static unsigned list_count;
static const struct cli_option options[] = {
    { .name = "flag", .letter = 'f', .flag = &flag },
    { .name = "text", .letter = 't', .text = &text },
    { .name = "list", .list = list, .list_count = &list_count, .list_max = 2 },
};

static int read_words(const char *const *words_in, const char **words, unsigned max,
                      unsigned *count)
{
    static char verb[] = "verb";
    char *argv[16] = { verb };
    int argc = 1;

    flag = false;
    text = NULL;
    list_count = 0;
    for (; words_in[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words_in[argc - 1];
    return cli_read(argc, argv, options, 3, words, max, count);
}
#define READ(...) read_words((const char *const[]){ __VA_ARGS__, NULL }, words, 2, &count)

static void options_and_words(void **state)
{
    const char *words[2];
    unsigned count;

    (void)state;
    assert_int_equal(READ("a", "--text", "x", "b", "-f"), 0);
    assert_int_equal(count, 2);
    assert_string_equal(words[1], "b");
    assert_string_equal(text, "x");
    assert_true(flag);
    assert_int_equal(READ("--text=x=y"), 0);
    assert_string_equal(text, "x=y");
    assert_int_equal(READ("-t", "-"), 0);
    assert_string_equal(text, "-");
    assert_int_equal(READ("--", "--text"), 0);
    assert_string_equal(words[0], "--text");
    assert_int_equal(READ("-"), 0);
    assert_string_equal(words[0], "-");
    assert_int_equal(READ("--list", "1", "--list=2"), 0);
    assert_int_equal(list_count, 2);
    assert_string_equal(list[1], "2");
}

static void wrong_usage(void **state)
{
    const char *words[2];
    unsigned count;

    (void)state;
    assert_int_equal(READ("--nothing"), CLI_USAGE);
    assert_int_equal(READ("-x"), CLI_USAGE);
    assert_int_equal(READ("--tex", "x"), CLI_USAGE);
    assert_int_equal(READ("--text"), CLI_USAGE);
    assert_int_equal(READ("--flag=1"), CLI_USAGE);
    assert_int_equal(READ("a", "b", "c"), CLI_USAGE);
    assert_int_equal(READ("--list", "1", "--list", "2", "--list", "3"), CLI_USAGE);
}

static void numbers(void **state)
{
    uint64_t v = 0;

    (void)state;
    assert_int_equal(cli_number("n", "10", 1, 10, &v), 0);
    assert_int_equal(v, 10);
    assert_int_equal(cli_number("n", "0", 1, 10, &v), CLI_USAGE);
    assert_int_equal(cli_number("n", "11", 1, 10, &v), CLI_USAGE);
    assert_int_equal(cli_number("n", "1x", 1, 10, &v), CLI_USAGE);
    assert_int_equal(cli_number("n", "", 0, 10, &v), CLI_USAGE);
}

static void exits_of_refusals(void **state)
{
    (void)state;
    assert_int_equal(cli_exit_of(404, "urn:angarium:problem:not-found"), CLI_NOT_FOUND);
    assert_int_equal(cli_exit_of(410, "urn:angarium:problem:gone"), CLI_NOT_FOUND);
    assert_int_equal(cli_exit_of(401, "urn:angarium:problem:token-needed"), CLI_NOT_ALLOWED);
    assert_int_equal(cli_exit_of(403, ""), CLI_NOT_ALLOWED);
    assert_int_equal(cli_exit_of(503, "urn:angarium:problem:no-quorum"), CLI_NO_QUORUM);
    assert_int_equal(cli_exit_of(503, "urn:angarium:problem:shutting-down"), CLI_FAILED);
    assert_int_equal(cli_exit_of(504, "urn:angarium:problem:outcome-unknown"), CLI_UNKNOWN);
    assert_int_equal(cli_exit_of(500, ""), CLI_FAILED);
}

static int ran_with;
static char ran_word[32];
static int run_more(int argc, char **argv)
{
    ran_with = argc;
    snprintf(ran_word, sizeof ran_word, "%s", argc > 1 ? argv[1] : "");
    return CLI_NO_QUORUM;
}
static const struct cli_verb more = { .name = "more",
                                      .usage = "X",
                                      .line = "a verb of the root",
                                      .help = "Words.\n\nExamples:\n  x\n",
                                      .run = run_more };

static int run_main(const char *const *words)
{
    char *argv[16] = { 0 };
    int argc = 0;

    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    return cli_main(argc, argv, &more, 1);
}
#define RUN(...) run_main((const char *const[]){ "angarium", __VA_ARGS__, NULL })

static void verbs(void **state)
{
    (void)state;
    assert_int_equal(RUN("more", "a", "b"), CLI_NO_QUORUM);
    assert_int_equal(ran_with, 3);
    assert_int_equal(RUN("--endpoint", "x", "more", "b"), CLI_NO_QUORUM);
    assert_int_equal(ran_with, 4);
    assert_string_equal(ran_word, "--endpoint");
    assert_int_equal(RUN("--endpoint=x", "more"), CLI_NO_QUORUM);
    assert_string_equal(ran_word, "--endpoint=x");
    assert_int_equal(RUN("nothing"), CLI_USAGE);
    assert_int_equal(RUN("help", "nothing"), CLI_USAGE);
    assert_int_equal(run_main((const char *const[]){ "angarium", NULL }), CLI_USAGE);
    assert_int_equal(RUN("version", "x"), CLI_USAGE);
    assert_int_equal(RUN("audit"), CLI_USAGE);
    assert_int_equal(RUN("audit", "/nowhere/at/all"), CLI_NOT_FOUND);
    assert_int_equal(RUN("check-config"), CLI_USAGE);
    assert_int_equal(RUN("check-config", "/nowhere/at/all"), CLI_FAILED);
    assert_int_equal(RUN("message", "short"), CLI_USAGE);
    assert_int_equal(RUN("send", "--from", "a@b.test"), CLI_USAGE);
    assert_int_equal(RUN("dev", "--nodes", "16", "--dir", "/nowhere/at/all"), CLI_USAGE);
    assert_int_equal(RUN("dev", "--nodes", "2", "--regions", "3", "--dir", "/nowhere/at/all"), CLI_USAGE);
    assert_int_equal(RUN("dev", "--nodes", "6", "--zones", "7", "--dir", "/nowhere/at/all"), CLI_USAGE);
    assert_int_equal(RUN("dev", "--nodes", "5", "--regions", "2", "--zones", "3", "--dir", "/nowhere/at/all"), CLI_USAGE);
    assert_int_equal(RUN("dev", "--spread", "rack", "--dir", "/nowhere/at/all"), CLI_USAGE);
    assert_int_equal(RUN("dev", "--base-port", "80", "--dir", "/nowhere/at/all"), CLI_USAGE);
    assert_int_equal(RUN("dev", "dance"), CLI_USAGE);
    assert_int_equal(RUN("dev", "stop", "--dir", "/nowhere/at/all"), CLI_NOT_FOUND);
    assert_int_equal(RUN("completion", "fish"), CLI_USAGE);
}

/* Every verb has a line, a paragraph and examples, and shows them. */
static void help(void **state)
{
    const struct cli_verb *v;

    (void)state;
    assert_int_equal(RUN("help"), CLI_DONE);
    assert_int_equal(RUN("--help"), CLI_DONE);
    for (unsigned i = 0; (v = cli_verb_at(i)) != NULL; i++) {
        char name[32];

        snprintf(name, sizeof name, "%s", v->name);
        assert_non_null(v->usage);
        assert_true(strlen(v->line) > 8);
        assert_non_null(strstr(v->help, "\nExamples:\n"));
        assert_ptr_equal(cli_find_verb(v->name), v);
        assert_int_equal(RUN(name, "--help"), CLI_DONE);
        assert_int_equal(RUN("help", name), CLI_DONE);
    }
    assert_null(cli_find_verb("nothing"));
    assert_int_equal(RUN("completion", "bash"), CLI_DONE);
    assert_int_equal(RUN("completion", "zsh"), CLI_DONE);
}

static void shown(void **state)
{
    char time[20], size[16];
    struct buf b;

    (void)state;
    cli_short_time("2026-11-24T01:48:09.123Z", time);
    assert_string_equal(time, "2026-11-24 01:48:09");
    cli_short_time("", time);
    assert_string_equal(time, "");
    cli_short_size(1023, size);
    assert_string_equal(size, "1023 B");
    cli_short_size(1536, size);
    assert_string_equal(size, "1.5 KiB");
    cli_short_size(UINT64_MAX, size);
    assert_string_equal(size, "16384.0 PiB");
    buf_init(&b, 1024);
    cli_plain("a\x1b[31m\n\xc3\xbc\xc2\x9b", &b);
    assert_string_equal(buf_cstr(&b), "a\\x1b[31m\\x0a\xc3\xbc\\u009b");
    buf_deinit(&b);
}

static void queries(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1024);
    buf_add_cstr(&b, "/x");
    cli_add_query(&b, "a", NULL);
    cli_add_query(&b, "b", "me+you@x.test");
    cli_add_query(&b, "c", "\xc3\xbc &");
    assert_string_equal(buf_cstr(&b), "/x?b=me%2Byou%40x.test&c=%C3%BC%20%26");
    buf_deinit(&b);
}

static void tables(void **state)
{
    static const char *const heads[] = { ">N", "NAME", "LAST" };
    char got[256] = "";
    FILE *f = tmpfile();
    struct cli_table t;

    (void)state;
    assert_non_null(f);
    cli_table_start(&t, heads, 3);
    cli_table_add(&t, "%d", 5);
    cli_table_add(&t, "%s",
                  "\xc3\xbc"
                  "b");
    cli_table_add(&t, "%s", "x");
    cli_table_add(&t, "%d", 500);
    cli_table_add(&t, "%s", "longer");
    cli_table_add(&t, "%s", "y\n");
    cli_table_print(&t, f);
    rewind(f);
    assert_true(fread(got, 1, sizeof got - 1, f) > 0);
    fclose(f);
    assert_string_equal(got, "  N  NAME    LAST\n"
                             "  5  \xc3\xbc"
                             "b      x\n"
                             "500  longer  y\\x0a\n");
}

static void targets(void **state)
{
    struct cli_target t = { .endpoint = "127.0.0.1:1/" };

    (void)state;
    unsetenv("ANGARIUM_ENDPOINT");
    setenv("ANGARIUM_TOKEN", "secret", 1);
    assert_int_equal(cli_target_find(&t), 0);
    assert_string_equal(t.url, "http://127.0.0.1:1");
    assert_string_equal(t.token, "secret");
    t = (struct cli_target){ 0 };
    setenv("ANGARIUM_ENDPOINT", "https://relay.test:8443", 1);
    assert_int_equal(cli_target_find(&t), 0);
    assert_string_equal(t.url, "https://relay.test:8443");
    t = (struct cli_target){ .format = "xml" };
    assert_int_equal(cli_target_find(&t), CLI_USAGE);
    t = (struct cli_target){ .format = "json", .endpoint = "x" };
    assert_int_equal(cli_target_find(&t), 0);
    assert_true(t.json);
    t = (struct cli_target){ .dir = "/nowhere/at/all" };
    assert_int_equal(cli_target_find(&t), CLI_USAGE);
    t = (struct cli_target){ .token_file = "/nowhere/at/all" };
    assert_int_equal(cli_target_find(&t), CLI_USAGE);
    unsetenv("ANGARIUM_TOKEN");
    t = (struct cli_target){ .endpoint = "x" };
    assert_int_equal(cli_target_find(&t), CLI_USAGE);
    unsetenv("ANGARIUM_ENDPOINT");
}

static void nobody_answers(void **state)
{
    struct cli_target t = { .url = "http://127.0.0.1:1", .token = "x" };
    struct cli_answer a;

    (void)state;
    assert_int_equal(cli_call(&t, "GET", "/", NULL, span_of(NULL, 0), &a), CLI_FAILED);
    cli_answer_free(&a);
    assert_int_equal(cli_call(&t, "POST", "/", NULL, span_of(NULL, 0), &a), CLI_FAILED);
    cli_answer_free(&a);
    assert_int_equal(cli_probe("http://127.0.0.1:1/livez", 200), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(numbers),
        cmocka_unit_test(exits_of_refusals),
        cmocka_unit_test(verbs),
        cmocka_unit_test(help),
        cmocka_unit_test(shown),
        cmocka_unit_test(queries),
        cmocka_unit_test(tables),
        cmocka_unit_test(targets),
        cmocka_unit_test(nobody_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
