/* cli - the verbs: which there are, their help, and how one is run. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"

#define VERBS_MAX     32
#define ARGUMENTS_MAX 1024
#define NAME_COLUMN   14

static const struct cli_verb *verbs[VERBS_MAX];
static unsigned verb_count;

const struct cli_verb *cli_verb_at(unsigned i)
{
    return i < verb_count ? verbs[i] : NULL;
}

const struct cli_verb *cli_find_verb(const char *name)
{
    for (unsigned i = 0; i < verb_count; i++)
        if (strcmp(verbs[i]->name, name) == 0) return verbs[i];
    return NULL;
}

static void add_verb(const struct cli_verb *v)
{
    CHECK(verb_count < VERBS_MAX);
    verbs[verb_count++] = v;
}

static void collect_verbs(const struct cli_verb *more, unsigned more_count)
{
#define ADD_(name) add_verb(&cli_verb_##name);
    verb_count = 0;
    for (unsigned i = 0; i < more_count; i++)
        add_verb(&more[i]);
    CLI_VERBS(ADD_)
#undef ADD_
}

/* ---- words on stderr */

int cli_fail(int exit, const char *fmt, ...)
{
    va_list ap;

    fputs("angarium: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return exit;
}

int cli_usage(const char *verb, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "angarium %s: ", verb);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nsee: angarium %s --help\n", verb);
    return CLI_USAGE;
}

/* ---- help */

static void show_all(FILE *to)
{
    fputs("angarium - an SMTP relay that a mail cannot fall out of\n"
          "\n"
          "usage: angarium VERB [options]\n"
          "\n",
          to);
    for (unsigned i = 0; i < verb_count; i++)
        fprintf(to, "  %-*s %s\n", NAME_COLUMN, verbs[i]->name, verbs[i]->line);
    fputs("\n"
          "Verbs that talk to a cluster take --endpoint URL, --token-file FILE, --ca-file FILE, or "
          "--dir DIR of\n"
          "a dev cluster; -o table or -o json; without options ANGARIUM_ENDPOINT, "
          "ANGARIUM_TOKEN and\n"
          "ANGARIUM_CA_FILE, then ./angarium-dev. Results are on standard output, talk on standard error.\n"
          "Exit: 0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 refused for safety,\n"
          "      6 outcome unknown, 7 no quorum.\n"
          "\n"
          "Help on one verb: angarium VERB --help\n",
          to);
}

static void show_verb(const struct cli_verb *v)
{
    printf("angarium %s - %s\n\nusage: angarium %s%s%s\n\n%s", v->name, v->line, v->name,
           *v->usage ? " " : "", v->usage, v->help);
}

static int run_help(int argc, char **argv)
{
    const struct cli_verb *v;

    if (argc < 2) {
        show_all(stdout);
        return CLI_DONE;
    }
    v = cli_find_verb(argv[1]);
    if (!v) return cli_fail(CLI_USAGE, "there is no verb \"%s\"; see: angarium help", argv[1]);
    show_verb(v);
    return CLI_DONE;
}

const struct cli_verb cli_verb_help = {
    .name = "help",
    .usage = "[VERB]",
    .line = "show the verbs, or one of them",
    .help = "Shows what there is, or a paragraph and examples of one verb.\n"
            "\n"
            "Examples:\n"
            "  angarium help\n"
            "  angarium help queue\n",
    .run = run_help,
};

static int run_version(int argc, char **argv)
{
    if (argc > 1) return cli_usage(argv[0], "\"%s\" is too much", argv[1]);
    printf("angarium %s (formats: log and state %u)\n", ANGARIUM_VERSION, PROTO_FORMAT_VERSION);
    return CLI_DONE;
}

const struct cli_verb cli_verb_version = {
    .name = "version",
    .usage = "",
    .line = "show the version of this program",
    .help = "Shows the version, and the version of the formats that it writes to disk.\n"
            "\n"
            "Examples:\n"
            "  angarium version\n",
    .run = run_version,
};

/* ---- running */

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

/* Options before the verb go behind it: --endpoint URL status is status --endpoint URL. */
static int verb_position(int argc, char **argv)
{
    int i = 1;

    while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--help") != 0 &&
           strcmp(argv[i], "-h") != 0 && strcmp(argv[i], "--version") != 0)
        i += strchr(argv[i], '=') ? 1 : 2;
    return i;
}

static int run_verb(const struct cli_verb *v, int argc, char **argv, int at)
{
    char *moved[ARGUMENTS_MAX + 1];
    int n = 0;

    if (argc > ARGUMENTS_MAX) return cli_fail(CLI_USAGE, "too many arguments");
    moved[n++] = argv[at];
    for (int i = 1; i < at; i++)
        moved[n++] = argv[i];
    for (int i = at + 1; i < argc; i++)
        moved[n++] = argv[i];
    moved[n] = NULL;
    if (wants_help(n, moved)) {
        show_verb(v);
        return CLI_DONE;
    }
    return v->run(n, moved);
}

int cli_main(int argc, char **argv, const struct cli_verb *more, unsigned more_count)
{
    const struct cli_verb *v;
    int at, rv;

    collect_verbs(more, more_count);
    at = verb_position(argc, argv);
    if (at >= argc) {
        show_all(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
        show_all(stdout);
        return CLI_DONE;
    }
    if (strcmp(argv[at], "--version") == 0) return run_version(1, argv);
    v = cli_find_verb(argv[at]);
    if (!v) return cli_fail(CLI_USAGE, "there is no verb \"%s\"; see: angarium help", argv[at]);
    rv = run_verb(v, argc, argv, at);
    if (fflush(stdout) != 0 && rv == CLI_DONE)
        return cli_fail(CLI_FAILED, "the output could not be written");
    return rv;
}
