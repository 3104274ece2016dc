/* cli_check_config - angarium check-config: is a settings file right? */
#include <inttypes.h>
#include <stdlib.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"

#define OUTPUT_SIZE_MAX (16u << 20)

/* ---- certificates: do they serve, and how long? */

static void show_certificate(const struct tls_certificate *c)
{
    fprintf(stderr, "%s: %s: %" PRId64 " days left%s%s\n", c->file, c->names,
            tls_days_left(c, clock_wall_ms(&clock_real)), c->doubt ? "; " : "",
            c->doubt ? c->doubt : "");
}

static int check_pairs(const char *file, const struct tls_pair *pairs, unsigned count, bool show)
{
    struct errmsg why = { "" };
    struct tls *t;

    if (tls_server_new(&t, pairs, count, NULL, &why) != 0) {
        fprintf(stderr, "%s: %s\n", file, why.text);
        return ERR_TLS;
    }
    for (unsigned i = 0; show && i < tls_certificate_count(t); i++)
        show_certificate(tls_certificate(t, i));
    tls_unref(&t);
    return 0;
}

static int check_certificates(const struct settings *s, const char *file, bool show)
{
    struct tls_pair *pairs = check_calloc(s->certificate_count + 1, sizeof *pairs);
    int rv = 0;

    pairs[0] = (struct tls_pair){ s->tls.certificate, s->tls.key };
    for (unsigned i = 0; i < s->certificate_count; i++)
        pairs[i + 1] = (struct tls_pair){ s->certificates[i].certificate, s->certificates[i].key };
    if (*s->tls.certificate) rv = check_pairs(file, pairs, s->certificate_count + 1, show);
    free(pairs);
    if (rv == 0 && *s->http.certificate)
        rv = check_pairs(file, &(struct tls_pair){ s->http.certificate, s->http.key }, 1, show);
    return rv;
}

/* Lists that do nothing on a node of a cluster, but where that begins. */
static void tell_lists(const struct settings *s, const char *file)
{
    if (!*s->cluster.id ||
        s->tenant_count + s->credential_count + s->route_count + s->content_rule_count == 0)
        return;
    fprintf(stderr,
            "%s: tenants, credentials, routes and content_rules count only where a cluster begins; later "
            "ones: angarium cluster import\n",
            file);
}

static int check(const char *file, bool print)
{
    struct settings *s = NULL;
    struct buf errors, shown;
    int rv;

    buf_init(&errors, 256u << 10);
    buf_init(&shown, OUTPUT_SIZE_MAX);
    rv = settings_read(&s, file, &errors);
    fputs(buf_cstr(&errors), stderr);
    if (rv == 0) rv = check_certificates(s, file, !print);
    if (rv == 0 && print) {
        settings_print(s, false, &shown);
        fputs(buf_cstr(&shown), stdout);
    }
    if (rv == 0 && !print) tell_lists(s, file);
    if (rv == 0 && !print) fprintf(stderr, "%s: ok\n", file);
    settings_unref(&s);
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
            "readable, and certificates must fit their keys; how long each is valid is told. Exit "
            "0: it is right.\n"
            "  --print-effective   show all keys with the values in force, and what they mean; "
            "hashes are hidden\n"
            "\n"
            "Examples:\n"
            "  angarium check-config /etc/angarium/node.yaml\n"
            "  angarium check-config --print-effective /etc/angarium/node.yaml | less\n",
    .run = run,
};
