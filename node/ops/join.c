/* join - a node's first start in a cluster: it begins one (angarium cluster init), or asks to be let into one. Both end with
 * DATA/cluster, after which the log of group 0 tells the rest. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"
#include "proto/ground/log.h"

#define JOIN_MS   60000
#define PAUSE_MS  500
#define BODY_SIZE 4096

/* ---- beginning a cluster */

static int make_dir(const char *dir, struct errmsg *why)
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST) return 0;
    return errmsg_set(why, ERR_IO, "%s: cannot make the directory: %s", dir, strerror(errno));
}

static int check_new(const char *dir, struct errmsg *why)
{
    struct cluster_self self;
    char log_dir[4200];
    int rv = cluster_self_read(dir, &self, why);

    if (rv == 0) return errmsg_set(why, ERR_EXISTS, "%s: belongs to a cluster already", dir);
    if (rv != ERR_NOT_FOUND) return rv;
    snprintf(log_dir, sizeof log_dir, "%s/log", dir);
    if (access(log_dir, F_OK) != 0) return 0;
    return errmsg_set(
        why, ERR_EXISTS,
        "%s: holds the mail of a node that was alone; a cluster begins on an empty disk", dir);
}

int ops_cluster_init(const struct settings *s, struct errmsg *why)
{
    struct cluster_self self = { .node = s->node.id,
                                 .peer_count = 1,
                                 .format = PROTO_FORMAT_VERSION };
    struct ops_identity identity;
    int rv;

    if (cluster_parse_id(s->cluster.id, self.cluster) != 0)
        return errmsg_set(why, ERR_CONFIG, "cluster: id is not set");
    rv = make_dir(s->node.data_dir, why);
    if (rv == 0) rv = check_new(s->node.data_dir, why);
    if (rv == 0)
        rv = ops_identity_open(s->node.data_dir, s->node.id, (uint32_t)s->node.shards, &identity,
                               why);
    if (rv != 0) return rv;
    snprintf(self.uuid, sizeof self.uuid, "%s", identity.uuid);
    self.peers[0] = (struct cluster_peer){ .node = s->node.id, .votes = true };
    snprintf(self.peers[0].address, sizeof self.peers[0].address, "%s", s->cluster.address);
    return cluster_self_write(s->node.data_dir, &self, why);
}

/* ---- joining one */

static int take_answer(struct cluster_self *out, const json_t *j)
{
    const json_t *nodes = json_object_get(j, "nodes"), *n;
    size_t i;

    if (cluster_parse_id(cli_text(j, "cluster"), out->cluster) != 0) return ERR_SYNTAX;
    json_array_foreach(nodes, i, n)
    {
        struct cluster_peer *p = &out->peers[out->peer_count];

        if (out->peer_count == CONTROL_NODES_MAX) return ERR_SYNTAX;
        p->node = (uint64_t)cli_int(n, "id");
        p->votes = json_is_true(json_object_get(n, "votes"));
        snprintf(p->address, sizeof p->address, "%s", cli_text(n, "address"));
        if (p->node != 0) out->peer_count++;
    }
    out->format = (uint32_t)cli_int(j, "format");
    if (out->format < PROTO_FORMAT_MIN || out->format > PROTO_FORMAT_VERSION) return ERR_VERSION;
    return out->peer_count > 0 ? 0 : ERR_SYNTAX;
}

static char *question(const struct settings *s, const char *uuid, const char *token)
{
    json_t *j = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s}", "token", token, "node",
                          (json_int_t)s->node.id, "uuid", uuid, "address", s->cluster.address,
                          "zone", s->cluster.zone, "region", s->cluster.region);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

    json_decref(j);
    return text;
}

/* One seed; the CA of the cluster is trusted besides those of the system. 0; ERR_AGAIN: it could not say; ERR_DENIED: it said no. */
static int ask_seed(const char *url, const char *ca_file, const char *body, struct cluster_self *out)
{
    struct cli_target t = { 0 };
    struct cli_answer a = { 0 };
    int rv;

    snprintf(t.url, sizeof t.url, "%s", url);
    snprintf(t.ca_path, sizeof t.ca_path, "%s", ca_file);
    rv = cli_call(&t, "POST", "/api/v1/join", "application/json", span_cstr(body), &a);
    if (rv == CLI_DONE)
        rv = take_answer(out, a.json);
    else
        rv = a.status >= 400 && a.status < 500 ? ERR_DENIED : ERR_AGAIN;
    cli_answer_free(&a);
    return rv;
}

static int ask_seeds(const struct settings *s, const char *body, struct cluster_self *out)
{
    const char *seeds = s->cluster.seeds;
    int rv = ERR_AGAIN;

    while (*seeds && rv == ERR_AGAIN) {
        size_t n = strcspn(seeds, " ");
        char url[256];

        snprintf(url, sizeof url, "%.*s", (int)n, seeds);
        if (n > 0) rv = ask_seed(url, s->cluster.ca, body, out);
        seeds += n + strspn(seeds + n, " ");
    }
    return rv;
}

static int ask_around(const struct settings *s, const char *body, struct cluster_self *out)
{
    uint64_t until_ms = clock_mono_ms(&clock_real) + JOIN_MS;
    int rv = ask_seeds(s, body, out);

    while (rv == ERR_AGAIN && clock_mono_ms(&clock_real) < until_ms) {
        poll(NULL, 0, PAUSE_MS);
        rv = ask_seeds(s, body, out);
    }
    return rv;
}

int ops_join(const struct settings *s, const char *uuid, struct cluster_self *out,
             struct errmsg *why)
{
    char token[256], *body;
    int rv;

    *out = (struct cluster_self){ .node = s->node.id };
    snprintf(out->uuid, sizeof out->uuid, "%s", uuid);
    if (!s->cluster.seeds[0] || !s->cluster.token_file[0])
        return errmsg_set(
            why, ERR_CONFIG,
            "%s: the disk is new. To begin a cluster: angarium cluster init -c %s. To "
            "join one: cluster: seeds and token_file",
            s->node.data_dir, s->file);
    rv = cli_read_secret(s->cluster.token_file, token, sizeof token, why);
    if (rv != 0) return rv;
    body = question(s, uuid, token);
    if (!body) return errmsg_set(why, ERR_CONFIG, "the join token or a setting is not UTF-8");
    log_event(LOG_INFO, "cluster.joining", LOG_TEXT("seeds", s->cluster.seeds));
    rv = ask_around(s, body, out);
    free(body);
    if (rv == ERR_VERSION)
        return errmsg_set(why, rv,
                          "the cluster writes format %u, this angarium knows formats %u to %u: install "
                          "another version",
                          out->format, PROTO_FORMAT_MIN, PROTO_FORMAT_VERSION);
    if (rv != 0)
        return errmsg_set(why, rv, "no seed lets this node in: %s; what they said stands above",
                          err_text(rv));
    return cluster_self_write(s->node.data_dir, out, why);
}
