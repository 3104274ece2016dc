/* cli_check_config - angarium check-config: is a settings file right? */
#include "node/ops/cli.h"

#define OUTPUT_SIZE_MAX (16u << 20)

static int check(const char *file, bool print)
{
    struct settings *s = NULL;
    struct buf errors, shown;
    int rv;

    buf_init(&errors, 256u << 10);
    buf_init(&shown, OUTPUT_SIZE_MAX);
    rv = settings_read(&s, file, &errors);
    fputs(buf_cstr(&errors), stderr);
    if (rv == 0 && print) {
        settings_print(s, false, &shown);
        fputs(buf_cstr(&shown), stdout);
    }
    if (rv == 0 && !print) fprintf(stderr, "%s: ok\n", file);
    settings_free(&s);
    buf_deinit(&errors);
    buf_deinit(&shown);
    return rv == 0 ? CLI_DONE : CLI_FAILED;
}

static int run(int argc, char **argv)
{
    bool print = false;
    const char *file = NULL;
    unsigned words = 0;
    const struct cli_option options[] = {
        { .name = "print-effective", .flag = &print },
        { .name = "config", .letter = 'c', .text = &file },
    };
    const char *word = NULL;
    int rv = cli_read(argc, argv, options, 2, &word, 1, &words);

    if (rv != 0) return rv;
    if (words == 1) file = word;
    if (!file) return cli_usage(argv[0], "which file?");
    return check(file, print);
}

const struct cli_verb cli_verb_check_config = {
    .name = "check-config",
    .usage = "FILE [--print-effective]",
    .line = "tell what is wrong with a settings file",
    .help = "Reads a settings file as a node would: every error is told with its place, "
            "file:line:col, at most 20\n"
            "at once. Unknown keys are errors. The files that it names (certificates, keys, the "
            "token) must be\n"
            "readable. Exit 0: it is right.\n"
            "  --print-effective   show all keys with the values in force, and what they mean; "
            "hashes are hidden\n"
            "\n"
            "Examples:\n"
            "  angarium check-config /etc/angarium/node.yaml\n"
            "  angarium check-config --print-effective /etc/angarium/node.yaml | less\n",
    .run = run,
};
