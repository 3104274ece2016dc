/* cli_target - which cluster a verb talks to, and with what token: the options; ANGARIUM_ENDPOINT,
 * ANGARIUM_TOKEN and ANGARIUM_CA_FILE; the cluster.json of a dev cluster (--dir, or ./angarium-dev).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ops/cli.h"

#define DEV_DIR       "./angarium-dev"
#define JSON_SIZE_MAX (1u << 20)

int cli_read_secret(const char *file, char *out, size_t out_size, struct errmsg *why)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, out_size) : -1;
    int error = errno;

    if (fd >= 0) close(fd);
    if (n < 0) return errmsg_set(why, ERR_IO, "%s: cannot be read: %s", file, strerror(error));
    if ((size_t)n == out_size)
        return errmsg_set(why, ERR_TOO_LONG, "%s: is too long for a secret", file);
    while (n > 0 && strchr(" \t\r\n", out[n - 1]))
        n--;
    out[n] = '\0';
    return n > 0 ? 0 : errmsg_set(why, ERR_SYNTAX, "%s: is empty", file);
}

json_t *cli_read_json(const char *file, struct errmsg *why)
{
    json_error_t e;
    json_t *j = json_load_file(file, 0, &e);

    if (!j && e.line < 0)
        errmsg_set(why, ERR_NOT_FOUND, "%s: cannot be read", file);
    else if (!j)
        errmsg_set(why, ERR_SYNTAX, "%s:%d:%d: %s", file, e.line, e.column, e.text);
    return j;
}

/* The first one whose process is there; else the first. */
static const json_t *living_node(const json_t *nodes)
{
    const json_t *node;
    size_t i;

    json_array_foreach(nodes, i, node)
    {
        json_int_t pid = cli_int(node, "pid");

        if (pid > 0 && kill((pid_t)pid, 0) == 0) return node;
    }
    return json_array_get(nodes, 0);
}

/* Where a node of the dev cluster answers; what was said on the command line stays. */
static int from_dev(struct cli_target *t, const char *dir)
{
    char path[4200];
    struct errmsg why = { "" };
    const char *http;
    json_t *j;

    snprintf(path, sizeof path, "%s/cluster.json", dir);
    j = cli_read_json(path, &why);
    if (!j)
        return cli_fail(CLI_USAGE, "%s; is there a dev cluster? start one: angarium dev --dir %s",
                        why.text, dir);
    http = cli_text(living_node(json_object_get(j, "nodes")), "http");
    if (!t->url[0]) snprintf(t->url, sizeof t->url, "http://%s", http);
    if (!t->token[0]) snprintf(t->token, sizeof t->token, "%s", cli_text(j, "api_token"));
    json_decref(j);
    return 0;
}

static int read_format(struct cli_target *t)
{
    if (!t->format || strcmp(t->format, "table") == 0) return 0;
    if (strcmp(t->format, "json") != 0)
        return cli_fail(CLI_USAGE, "-o is table or json, not \"%s\"", t->format);
    t->json = true;
    return 0;
}

static int read_token(struct cli_target *t)
{
    struct errmsg why = { "" };
    const char *env = getenv("ANGARIUM_TOKEN");

    if (t->token_file && cli_read_secret(t->token_file, t->token, sizeof t->token, &why) != 0)
        return cli_fail(CLI_USAGE, "%s", why.text);
    if (!t->token_file && env && !t->dir) snprintf(t->token, sizeof t->token, "%s", env);
    return 0;
}

static void read_endpoint(struct cli_target *t)
{
    const char *env = getenv("ANGARIUM_ENDPOINT");
    const char *from = t->endpoint ? t->endpoint : t->dir ? NULL : env;
    size_t n;

    if (!from) return;
    snprintf(t->url, sizeof t->url, "%s%s", strstr(from, "://") ? "" : "http://", from);
    n = strlen(t->url);
    if (n > 0 && t->url[n - 1] == '/') t->url[n - 1] = '\0';
}

static void read_ca_file(struct cli_target *t)
{
    const char *env = getenv("ANGARIUM_CA_FILE");
    const char *from = t->ca_file ? t->ca_file : t->dir ? NULL : env;

    if (from) snprintf(t->ca_path, sizeof t->ca_path, "%s", from);
}

int cli_target_find(struct cli_target *t)
{
    int rv = read_format(t);

    if (rv == 0) rv = read_token(t);
    if (rv != 0) return rv;
    read_endpoint(t);
    read_ca_file(t);
    if (t->dir) return from_dev(t, t->dir);
    if (!t->url[0] && access(DEV_DIR "/cluster.json", R_OK) == 0) return from_dev(t, DEV_DIR);
    if (!t->url[0])
        return cli_fail(
            CLI_USAGE,
            "which cluster? give --endpoint URL (or ANGARIUM_ENDPOINT), or --dir DIR of a "
            "dev cluster");
    if (!t->token[0])
        return cli_fail(CLI_USAGE, "a token is needed: --token-file FILE or ANGARIUM_TOKEN");
    return 0;
}
