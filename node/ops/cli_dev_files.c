/* cli_dev_files - the directory of a dev cluster:
 *
 *   cluster.json   what runs where, for programs; written whole when the cluster can commit
 *   dev.json       what was chosen when it was made, so that it can be started again
 *   ca.pem ca.key node.pem node.key   password   api.token   node-1.yaml   node-1.log   node-1/
 *   of several nodes: cluster.id, and for each N node-N.pem node-N.key node-N.token node-N.yaml node-N.log node-N/
 *
 * Files that hold a secret are readable by their owner only. What exists is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/net/tls.h"
#include "node/ops/cli.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

#define SECRET_BYTES     24
#define HASH_PASSES      2
#define HASH_MEMORY      (19u << 20)
#define SETTINGS_SIZE    (256u << 10)
#define LEADER_WITHIN_MS  10000 /* a node may be ready before control has a leader */
#define SETTLED_WITHIN_MS 60000
#define SETTLED_LOOK_MS   50

static const char *const port_names[CLI_DEV_PORTS] = { "submission", "submissions", "http",
                                                       "mx",         "peer",        "sandbox" };

void cli_dev_select(struct cli_dev *d, unsigned id)
{
    struct cli_dev_node *n = &d->node;

    CHECK(id >= 1 && id <= CLI_DEV_NODES_MAX);
    n->id = id;
    n->pid = d->pids[id - 1];
    for (unsigned k = 0; k < CLI_DEV_PORTS; k++)
        snprintf(n->ports[k], sizeof n->ports[k], "127.0.0.1:%" PRIu64,
                 d->base_port + (uint64_t)10 * (id - 1) + k);
    snprintf(n->store_dir, sizeof n->store_dir, "%s/node-%u", d->dir, id);
    snprintf(n->log_file, sizeof n->log_file, "%s/node-%u.log", d->dir, id);
    snprintf(n->settings_file, sizeof n->settings_file, "%s/node-%u.yaml", d->dir, id);
    snprintf(d->ca_file, sizeof d->ca_file, "%s/ca.pem", d->dir);
}

/* ---- files */

int cli_dev_write_file(const char *path, struct span bytes, mode_t mode, struct errmsg *why)
{
    char beside[4300];
    int fd;
    bool ok;

    snprintf(beside, sizeof beside, "%s.new", path);
    unlink(beside);
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    ok = fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n && fsync(fd) == 0;
    if (fd >= 0) ok = close(fd) == 0 && ok;
    if (ok && rename(beside, path) == 0) return 0;
    return errmsg_set(why, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
}

static int write_json(const char *path, json_t *j, struct errmsg *why)
{
    char *text = json_dumps(j, JSON_INDENT(2));
    struct buf line;
    int rv;

    buf_init(&line, SETTINGS_SIZE);
    buf_addf(&line, "%s\n", text);
    rv = cli_dev_write_file(path, buf_span(&line), 0600, why);
    buf_deinit(&line);
    free(text);
    return rv;
}

static void path_in(char out[4200], const struct cli_dev *d, const char *name)
{
    snprintf(out, 4200, "%s/%s", d->dir, name);
}

/* The secret in DIR/name, made when it is not there. */
static int keep_secret(const struct cli_dev *d, const char *name, char *out, size_t out_size,
                       struct errmsg *why)
{
    uint8_t bytes[SECRET_BYTES];
    char path[4200], text[2 * SECRET_BYTES + 1];
    struct buf line;
    int rv;

    path_in(path, d, name);
    if (access(path, F_OK) == 0) return cli_read_secret(path, out, out_size, why);
    CHECK(sodium_init() >= 0);
    randombytes_buf(bytes, sizeof bytes);
    /* hex: nothing that a shell or an option parser could take for something else */
    sodium_bin2hex(text, sizeof text, bytes, sizeof bytes);
    snprintf(out, out_size, "%s", text);
    buf_init(&line, 256);
    buf_addf(&line, "%s\n", text);
    rv = cli_dev_write_file(path, buf_span(&line), 0600, why);
    buf_deinit(&line);
    return rv;
}

/* ---- cluster.json */

static json_t *node_json(const struct cli_dev_node *n)
{
    json_t *node = json_pack("{s:i, s:i}", "id", (int)n->id, "pid", (int)n->pid);

    for (unsigned k = 0; k < CLI_DEV_PORTS; k++)
        json_object_set_new(node, port_names[k], json_string(n->ports[k]));
    json_object_set_new(node, "data_dir", json_string(n->store_dir));
    json_object_set_new(node, "log_file", json_string(n->log_file));
    return node;
}

json_t *cli_dev_cluster_json(const struct cli_dev *d)
{
    struct cli_dev *each = check_malloc(sizeof *each);
    json_t *nodes = json_array();

    *each = *d;
    for (unsigned i = 1; i <= d->nodes; i++) {
        cli_dev_select(each, i);
        json_array_append_new(nodes, node_json(&each->node));
    }
    free(each);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "username", d->username, "password", d->password,
                     "api_token", d->token, "ca_file", d->ca_file, "nodes", nodes);
}

int cli_dev_write_cluster(const struct cli_dev *d, struct errmsg *why)
{
    char path[4200];
    json_t *j = cli_dev_cluster_json(d);
    int rv;

    path_in(path, d, "cluster.json");
    rv =
        j ? write_json(path, j, why) : errmsg_set(why, ERR_SYNTAX, "%s: a path is not UTF-8", path);
    json_decref(j);
    return rv;
}

static int make_absolute(struct cli_dev *d, const char *dir, struct errmsg *why)
{
    char *whole = realpath(dir, NULL);
    int rv = 0;

    if (!whole) return errmsg_set(why, ERR_NOT_FOUND, "%s: %s", dir, strerror(errno));
    if (strlen(whole) >= sizeof d->dir)
        rv = errmsg_set(why, ERR_TOO_LONG, "%s: the path is too long", whole);
    else
        snprintf(d->dir, sizeof d->dir, "%s", whole);
    free(whole);
    return rv;
}

int cli_dev_read_cluster(struct cli_dev *d, const char *dir, struct errmsg *why)
{
    char path[4200];
    json_t *j;
    int rv = make_absolute(d, dir, why);

    if (rv == 0) rv = cli_dev_recall(d, why);
    if (rv != 0) return rv;
    path_in(path, d, "cluster.json");
    j = cli_read_json(path, why);
    if (!j) return ERR_NOT_FOUND;
    snprintf(d->username, sizeof d->username, "%s", cli_text(j, "username"));
    snprintf(d->password, sizeof d->password, "%s", cli_text(j, "password"));
    snprintf(d->token, sizeof d->token, "%s", cli_text(j, "api_token"));
    json_decref(j);
    return 0;
}

/* ---- dev.json: what was chosen */

static int remember(const struct cli_dev *d, struct errmsg *why)
{
    char path[4200];
    json_t *sets = json_array(), *j;
    int rv;

    for (unsigned i = 0; i < d->set_count; i++)
        json_array_append_new(sets, json_string(d->sets[i]));
    j = json_pack("{s:I, s:I, s:I, s:s, s:I, s:s, s:s, s:I, s:o}", "nodes", (json_int_t)d->nodes,
                  "regions", (json_int_t)d->regions, "zones", (json_int_t)d->zones, "spread",
                  d->spread, "base_port", (json_int_t)d->base_port, "next_hop", d->next_hop, "resolver", d->resolver,
                  "mx_port", (json_int_t)d->mx_port, "set", sets);
    if (!j) return errmsg_set(why, ERR_SYNTAX, "an option is not UTF-8");
    path_in(path, d, "dev.json");
    rv = write_json(path, j, why);
    json_decref(j);
    return rv;
}

static void take_recalled(struct cli_dev *d, const json_t *j)
{
    const json_t *sets = json_object_get(j, "set"), *one;
    size_t i;

    json_int_t nodes = cli_int(j, "nodes");

    d->nodes = nodes > 0 && nodes <= CLI_DEV_NODES_MAX ? (uint64_t)nodes : 1;
    d->regions = cli_int(j, "regions") > 0 ? (uint64_t)cli_int(j, "regions") : 1;
    d->zones = cli_int(j, "zones") > 0 ? (uint64_t)cli_int(j, "zones") : 0;
    snprintf(d->spread, sizeof d->spread, "%s", cli_text(j, "spread"));
    if (cli_int(j, "base_port") > 0) d->base_port = (uint64_t)cli_int(j, "base_port");
    if (cli_int(j, "mx_port") > 0) d->mx_port = (uint64_t)cli_int(j, "mx_port");
    snprintf(d->next_hop, sizeof d->next_hop, "%s", cli_text(j, "next_hop"));
    snprintf(d->resolver, sizeof d->resolver, "%s", cli_text(j, "resolver"));
    json_array_foreach(sets, i, one) if (d->set_count < CLI_LIST_MAX)
        snprintf(d->sets[d->set_count++], sizeof d->sets[0], "%s", json_string_value(one));
}

int cli_dev_recall(struct cli_dev *d, struct errmsg *why)
{
    char path[4200];
    struct errmsg ignored;
    json_t *j;

    make_absolute(d, d->dir,
                  &ignored); /* a directory that is not there yet has nothing to recall */
    path_in(path, d, "dev.json");
    if (access(path, F_OK) != 0) return errmsg_set(why, ERR_NOT_FOUND, "%s: is not there", path);
    j = cli_read_json(path, why);
    if (!j) return ERR_CORRUPT;
    d->set_count = 0;
    take_recalled(d, j);
    json_decref(j);
    path_in(path, d, "cluster.json");
    j = access(path, F_OK) == 0 ? cli_read_json(path, why) : NULL;
    for (unsigned i = 0; j && i < d->nodes; i++)
        d->pids[i] = (pid_t)cli_int(json_array_get(json_object_get(j, "nodes"), i), "pid");
    json_decref(j);
    cli_dev_select(d, 1);
    return 0;
}

/* ---- settings of the node */

static bool is_set_to(const struct cli_dev *d, const char *section, const char *key)
{
    char start[80];

    snprintf(start, sizeof start, "%s.%s=", section, key);
    for (unsigned i = 0; i < d->set_count; i++)
        if (strncmp(d->sets[i], start, strlen(start)) == 0) return true;
    return false;
}

/* Here all clients come from one address, and most of them with one credential. */
static bool print_one_address(const struct cli_dev *d, const char *section, struct buf *out)
{
    static const char *const keys[] = { "address_sessions_max", "address_rate_max",
                                        "credential_sessions_max" };

    if (strcmp(section, "limits") != 0) return false;
    buf_addf(out, "%s:\n", section);
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!is_set_to(d, section, keys[i])) buf_addf(out, "  %s: 1000000\n", keys[i]);
    return true;
}

static void print_set_section(const struct cli_dev *d, const char *section, struct buf *out)
{
    size_t n = strlen(section);
    bool is_open = print_one_address(d, section, out);

    for (unsigned i = 0; i < d->set_count; i++) {
        const char *set = d->sets[i], *equals = strchr(set, '=');

        if (strncmp(set, section, n) != 0 || set[n] != '.') continue;
        if (!is_open) buf_addf(out, "%s:\n", section);
        is_open = true;
        buf_addf(out, "  %.*s: %s\n", (int)(equals - set - (long)n - 1), set + n + 1, equals + 1);
    }
}

static void print_route(const struct cli_dev *d, struct buf *out)
{
    if (d->next_hop[0])
        buf_addf(out, "routes: [ { match: \"*\", via: host, host: \"%s\", tls: none } ]\n",
                 d->next_hop);
    else
        buf_addf(out, "routes: [ { match: \"*\", via: %s } ]\n", d->resolver[0] ? "mx" : "inbox");
}

/* The lists of a cluster of several stand in the file of the node that begins it, until that has put them into control. */
static void print_lists(const struct cli_dev *d, const char *password_hash, struct buf *out)
{
    if (d->nodes > 1 && (d->node.id > 1 || d->is_known)) return;
    buf_addf(out,
             "tenants: [ { name: demo, domains: [ example.test ] } ]\n"
             "credentials: [ { username: \"%s\", tenant: demo, password_hash: \"%s\" } ]\n",
             d->username, password_hash);
    print_route(d, out);
}

static const char *certificate_of(const struct cli_dev *d, char out[32])
{
    if (d->nodes == 1)
        snprintf(out, 32, "node");
    else
        snprintf(out, 32, "node-%u", d->node.id);
    return out;
}

/* Nodes go round the regions, those of a region round its zones. */
static unsigned zone_of(const struct cli_dev *d)
{
    unsigned within = (d->node.id - 1) / (d->regions > 1 ? (unsigned)d->regions : 1);

    return (d->zones ? within % (unsigned)d->zones : within) + 1;
}

/* The others are the seeds; the token's file is there once the node is let in. */
static void print_cluster(const struct cli_dev *d, struct buf *out)
{
    const struct cli_dev_node *n = &d->node;
    char name[32];

    char region[32] = "";

    if (d->nodes == 1) return;
    if (d->regions > 1)
        snprintf(region, sizeof region, "region-%u", (unsigned)((n->id - 1) % d->regions + 1));
    certificate_of(d, name);
    buf_addf(out,
             "cluster:\n"
             "  id: \"%s\"\n"
             "  address: \"%s\"\n"
             "  ca: ca.pem\n"
             "  certificate: %s.pem\n"
             "  key: %s.key\n"
             "  zone: zone-%u\n"
             "%s%s%s"
             "  spread: %s\n"
             "  token_file: node-%u.token\n"
             "  seeds: \"",
             d->cluster_id, n->ports[4], name, name, zone_of(d), d->regions > 1 ? "  region: " : "",
             region, d->regions > 1 ? "\n" : "", d->spread[0] ? d->spread : "zone", n->id);
    for (unsigned i = 1; i <= d->nodes; i++)
        if (i != n->id)
            buf_addf(out, "http://127.0.0.1:%" PRIu64 " ",
                     d->base_port + (uint64_t)10 * (i - 1) + 2);
    buf_add_cstr(out, "\"\n");
}

void cli_dev_settings(const struct cli_dev *d, const char *password_hash, struct buf *out)
{
    static const char *const open_sections[] = { "limits", "delivery", "log" };
    const struct cli_dev_node *n = &d->node;
    char name[32];

    certificate_of(d, name);
    buf_addf(out,
             "# Made by `angarium dev`, which writes it anew at each start; not for production.\n"
             "dev: true\n"
             "node: { id: %u, hostname: node-%u.example.test, data_dir: node-%u }\n",
             n->id, n->id, n->id);
    print_cluster(d, out);
    buf_addf(out,
             "listeners:\n"
             "  - { kind: submission, address: \"%s\" }\n"
             "  - { kind: submissions, address: \"%s\" }\n"
             "  - { kind: mx, address: \"%s\" }\n"
             "http: { address: \"%s\", token_file: api.token }\n"
             "tls: { certificate: %s.pem, key: %s.key }\n",
             n->ports[0], n->ports[1], n->ports[3], n->ports[2], name, name);
    print_lists(d, password_hash, out);
    if (d->resolver[0])
        buf_addf(out, "resolver: { address: \"%s\", mx_port: %" PRIu64 " }\n", d->resolver,
                 d->mx_port);
    for (unsigned i = 0; i < sizeof open_sections / sizeof open_sections[0]; i++)
        print_set_section(d, open_sections[i], out);
}

/* A --set for a section that cannot be set would silently do nothing. */
static int check_sets(const struct cli_dev *d, struct errmsg *why)
{
    for (unsigned i = 0; i < d->set_count; i++)
        if (strncmp(d->sets[i], "limits.", 7) != 0 && strncmp(d->sets[i], "delivery.", 9) != 0 &&
            strncmp(d->sets[i], "log.", 4) != 0)
            return errmsg_set(why, ERR_CONFIG, "--set %s: only limits, delivery and log can be set",
                              d->sets[i]);
    return 0;
}

static int check_settings(const struct cli_dev *d, struct errmsg *why)
{
    struct settings *s = NULL;
    struct buf errors;
    int rv;

    buf_init(&errors, SETTINGS_SIZE);
    rv = settings_read(&s, d->node.settings_file, &errors);
    if (rv != 0) {
        while (errors.n > 0 && errors.p[errors.n - 1] == '\n')
            errors.n--;
        errmsg_set(why, rv, "%s", buf_cstr(&errors));
    }
    settings_unref(&s);
    buf_deinit(&errors);
    return rv;
}

static int write_settings(struct cli_dev *d, struct errmsg *why)
{
    char hash[crypto_pwhash_STRBYTES];
    struct buf text;
    int rv = check_sets(d, why);

    if (rv != 0) return rv;
    CHECK(sodium_init() >= 0);
    if (crypto_pwhash_str(hash, d->password, strlen(d->password), HASH_PASSES, HASH_MEMORY) != 0)
        return errmsg_set(why, ERR_FULL, "out of memory for the password's hash");
    for (unsigned i = 1; rv == 0 && i <= d->nodes; i++) {
        cli_dev_select(d, i);
        buf_init(&text, SETTINGS_SIZE);
        cli_dev_settings(d, hash, &text);
        rv = cli_dev_write_file(d->node.settings_file, buf_span(&text), 0600, why);
        buf_deinit(&text);
        if (rv == 0) rv = check_settings(d, why);
    }
    cli_dev_select(d, 1);
    return rv;
}

/* ---- several nodes */

/* 32 hex digits of DIR/cluster.id, made when it is not there. */
static int keep_cluster_id(struct cli_dev *d, struct errmsg *why)
{
    char text[128] = "";
    int rv = keep_secret(d, "cluster.id", text, sizeof text, why);

    if (rv == 0 && strlen(text) < 32) rv = errmsg_set(why, ERR_CORRUPT, "%s/cluster.id", d->dir);
    snprintf(d->cluster_id, sizeof d->cluster_id, "%.32s", text);
    return rv;
}

static int make_leaf(struct cli_dev *d, unsigned id, struct errmsg *why)
{
    char name[32], host[64], peer[120];
    const char *hosts[] = { "localhost", "127.0.0.1", "::1", host, peer };

    snprintf(name, sizeof name, "node-%u", id);
    snprintf(host, sizeof host, "node-%u.example.test", id);
    snprintf(peer, sizeof peer, "angarium://%s/node/%u", d->cluster_id, id);
    return tls_make_dev_leaf(d->dir, name, hosts, sizeof hosts / sizeof hosts[0], why);
}

static int make_certificates(struct cli_dev *d, struct errmsg *why)
{
    static const char *const hosts[] = { "localhost", "127.0.0.1", "::1", "node-1.example.test" };
    int rv;

    if (d->nodes == 1)
        return tls_make_dev_files(d->dir, hosts, sizeof hosts / sizeof hosts[0], why);
    rv = keep_cluster_id(d, why);
    for (unsigned i = 1; rv == 0 && i <= d->nodes; i++)
        rv = make_leaf(d, i, why);
    return rv;
}

bool cli_dev_has_joined(const struct cli_dev *d)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/cluster", d->node.store_dir);
    return d->nodes == 1 || access(path, F_OK) == 0;
}

int cli_dev_begin(struct cli_dev *d, struct errmsg *why)
{
    struct settings *s = NULL;
    struct buf errors;
    int rv;

    cli_dev_select(d, 1);
    if (cli_dev_has_joined(d)) return 0;
    buf_init(&errors, SETTINGS_SIZE);
    rv = settings_read(&s, d->node.settings_file, &errors);
    if (rv != 0) errmsg_set(why, rv, "%s", buf_cstr(&errors));
    if (rv == 0) rv = ops_cluster_init(s, why);
    settings_unref(&s);
    buf_deinit(&errors);
    return rv;
}

static struct cli_target target_of(const struct cli_dev *d)
{
    struct cli_target t = { .patience_ms = LEADER_WITHIN_MS };

    snprintf(t.url, sizeof t.url, "http://127.0.0.1:%" PRIu64, d->base_port + 2);
    snprintf(t.token, sizeof t.token, "%s", d->token);
    return t;
}

int cli_dev_put_route(struct cli_dev *d)
{
    struct cli_target t = target_of(d);
    struct cli_answer answer = { 0 };
    json_t *j = json_object();
    char *text;
    int rv;

    json_object_set_new(j, "via",
                        json_string(d->next_hop[0]   ? "host"
                                    : d->resolver[0] ? "mx"
                                                     : "inbox"));
    if (d->next_hop[0]) json_object_set_new(j, "host", json_string(d->next_hop));
    if (d->next_hop[0]) json_object_set_new(j, "tls", json_string("none"));
    text = json_dumps(j, JSON_COMPACT);
    CHECK(text);
    rv = cli_call(&t, "PUT", "/api/v1/routes/%2A", "application/json", span_cstr(text), &answer);
    cli_answer_free(&answer);
    free(text);
    json_decref(j);
    return rv;
}

int cli_dev_let_in(struct cli_dev *d)
{
    struct cli_target t = target_of(d);
    struct errmsg why = { "" };
    char token[128], name[32], path[4200];
    int rv;

    rv = cli_cluster_token(&t, 600, token, sizeof token);
    if (rv != CLI_DONE) return rv;
    snprintf(name, sizeof name, "node-%u.token", d->node.id);
    path_in(path, d, name);
    if (cli_dev_write_file(path, span_cstr(token), 0600, &why) == 0) return CLI_DONE;
    return cli_fail(CLI_FAILED, "%s", why.text);
}

static bool all_led(const json_t *placements)
{
    const json_t *item;
    size_t i;

    json_array_foreach(placements, i, item)
    {
        if (!json_is_integer(json_object_get(item, "leader"))) return false;
    }
    return json_array_size(placements) > 0;
}

static int ask_settled(const struct cli_target *t, bool *out)
{
    struct cli_answer answer = { 0 };
    int rv = cli_call(t, "GET", "/api/v1/placements", NULL, span_of(NULL, 0), &answer);

    *out = rv == CLI_DONE && json_is_true(json_object_get(answer.json, "settled")) &&
           all_led(json_object_get(answer.json, "items"));
    cli_answer_free(&answer);
    return rv;
}

int cli_dev_wait_settled(struct cli_dev *d)
{
    struct cli_target t = target_of(d);
    uint64_t until_ms = clock_mono_ms(&clock_real) + SETTLED_WITHIN_MS;
    bool settled = false;
    int signum, rv;

    for (;;) {
        rv = ask_settled(&t, &settled);
        if (rv != CLI_DONE || settled) return rv;
        if (clock_mono_ms(&clock_real) > until_ms)
            return cli_fail(CLI_FAILED, "not all shards have their voters after %d s; see %s",
                            SETTLED_WITHIN_MS / 1000, d->dir);
        signum = cli_dev_wait_signal(SETTLED_LOOK_MS);
        if (signum == SIGINT || signum == SIGTERM) return cli_fail(CLI_FAILED, "interrupted");
    }
}

int cli_dev_prepare(struct cli_dev *d, struct errmsg *why)
{
    char known[4200];
    int rv;

    if (mkdir(d->dir, 0700) != 0 && errno != EEXIST)
        return errmsg_set(why, ERR_IO, "%s: cannot make the directory: %s", d->dir,
                          strerror(errno));
    rv = make_absolute(d, d->dir, why);
    if (rv != 0) return rv;
    path_in(known, d, "cluster.json");
    d->is_known = access(known, F_OK) == 0;
    cli_dev_select(d, 1);
    snprintf(d->username, sizeof d->username, "demo");
    rv = make_certificates(d, why);
    if (rv == 0) rv = keep_secret(d, "password", d->password, sizeof d->password, why);
    if (rv == 0) rv = keep_secret(d, "api.token", d->token, sizeof d->token, why);
    if (rv == 0) rv = write_settings(d, why);
    if (rv == 0) rv = remember(d, why);
    return rv;
}
