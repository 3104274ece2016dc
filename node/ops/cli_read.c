/* cli_read - options and words of a verb: --name VALUE, --name=VALUE, -n VALUE, flags; -- ends the
 * options. */
#include <inttypes.h>
#include <stdio.h>

#include "node/ops/cli.h"

static const struct cli_option *find_option(const struct cli_option *options, unsigned count,
                                            const char *arg, size_t n)
{
    for (unsigned i = 0; i < count; i++) {
        if (n == 2 && options[i].letter && arg[1] == options[i].letter) return &options[i];
        if (n > 2 && arg[1] == '-' && span_eq(span_of(arg + 2, n - 2), span_cstr(options[i].name)))
            return &options[i];
    }
    return NULL;
}

static int put_value(const char *verb, const struct cli_option *o, const char *value)
{
    if (o->text) {
        *o->text = value;
        return 0;
    }
    if (*o->list_count == o->list_max)
        return cli_usage(verb, "--%s is possible %u times", o->name, o->list_max);
    o->list[(*o->list_count)++] = value;
    return 0;
}

/* The option at argv[*at]; moves *at over its value. */
static int read_option(int argc, char **argv, int *at, const struct cli_option *options,
                       unsigned count)
{
    const char *arg = argv[*at], *equals = strchr(arg, '=');
    size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
    const struct cli_option *o = find_option(options, count, arg, n);

    if (!o) return cli_usage(argv[0], "there is no option %.*s", (int)n, arg);
    if (o->flag) {
        if (equals) return cli_usage(argv[0], "--%s takes no value", o->name);
        *o->flag = true;
        return 0;
    }
    if (equals) return put_value(argv[0], o, equals + 1);
    if (*at + 1 >= argc) return cli_usage(argv[0], "--%s needs a value", o->name);
    (*at)++;
    return put_value(argv[0], o, argv[*at]);
}

int cli_read(int argc, char **argv, const struct cli_option *options, unsigned option_count,
             const char **words, unsigned words_max, unsigned *word_count)
{
    bool only_words = false;

    *word_count = 0;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            int rv = read_option(argc, argv, &i, options, option_count);

            if (rv != 0) return rv;
        } else if (*word_count == words_max) {
            return cli_usage(argv[0], "\"%s\" is too much", argv[i]);
        } else {
            words[(*word_count)++] = argv[i];
        }
    }
    return 0;
}

int cli_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    if (span_u64(span_cstr(text), max, out) == 0 && *out >= min) return 0;
    return cli_fail(CLI_USAGE, "%s%s: \"%s\" is not a number from %" PRIu64 " to %" PRIu64,
                    strchr(option, ' ') ? "" : "--", option, text, min, max);
}
