/* cli - what the verbs of the command line share: options, the cluster they talk to, tables. Not
 * used outside of cli*.c and their tests.
 */
#ifndef OPS_CLI_H
#define OPS_CLI_H

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

#include "node/ops/ops.h"
#include "proto/ground/buf.h"

/* ---- options and words */

struct cli_option {
    const char *name;  /* without the hyphens */
    char letter;       /* 0: none */
    const char **text; /* takes a value; NULL: a flag */
    bool *flag;
    const char **list; /* takes a value, several times: up to list_max of them */
    unsigned *list_count, list_max;
};
#define CLI_LIST_MAX 32

/* Reads argv[1..]: options into their places, the rest into words. 0, or CLI_USAGE and why on
 * stderr. */
int cli_read(int argc, char **argv, const struct cli_option *options, unsigned option_count,
             const char **words, unsigned words_max, unsigned *word_count);
/* A number in its range: 0, or CLI_USAGE and why on stderr. An option's name has no blank; what has one is said as it is. */
int cli_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* Says what is wrong on stderr; returns CLI_USAGE. */
int cli_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, for any exit. */
int cli_fail(int exit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- the cluster that is talked to */

struct cli_target {
    const char *endpoint, *token_file, *ca_file, *dir, *format; /* as given */
    bool json;
    char url[256], token[256], ca_path[4096];
    char if_match[32]; /* ETag that a change is for; "": any */
    unsigned
        patience_ms; /* what is refused for want of a leader (503: not done) is asked again for so long */
};
#define CLI_PATIENCE_MS 3000 /* an election of control's leader may be on its way */
#define CLI_TARGET_OPTIONS(t)                                                                      \
    { .name = "endpoint", .text = &(t).endpoint },                                                 \
        { .name = "token-file", .text = &(t).token_file },                                         \
        { .name = "ca-file", .text = &(t).ca_file }, { .name = "dir", .text = &(t).dir },          \
    {                                                                                              \
        .name = "output", .letter = 'o', .text = &(t).format                                       \
    }
/* Fills url, token and json from options, the environment, or the dev cluster's file. An enum
 * cli_exit. */
int cli_target_find(struct cli_target *t);
/* The text of a small file (a token), without white space at its end. 0, or an error and why. */
int cli_read_secret(const char *file, char *out, size_t out_size, struct errmsg *why);
json_t *cli_read_json(const char *file, struct errmsg *why);

struct cli_answer {
    long status;
    struct buf body;
    json_t *json; /* NULL: not JSON */
};
/* One request; tells what went wrong on stderr. An enum cli_exit; `out` is to be freed in any case.
 */
int cli_call(const struct cli_target *t, const char *method, const char *path,
             const char *content_type, struct span body, struct cli_answer *out);
void cli_answer_free(struct cli_answer *a);
/* GET of a stream: each line without its end, until it ends or the call-back returns false. */
int cli_follow(const struct cli_target *t, const char *path,
               bool (*on_line)(void *arg, struct span line), void *arg);
/* GET of bytes, as they come, until they end or the call-back returns false (then CLI_FAILED). Nothing on stderr: why says
 * what went wrong. An enum cli_exit. */
int cli_fetch(const struct cli_target *t, const char *path,
              bool (*take)(void *arg, struct span bytes), void *arg, struct errmsg *why);
/* A status alone, without a token or a word on stderr: 0 when nobody answers. */
long cli_probe(const char *url, unsigned timeout_ms);
/* Appends ?key=value or &key=value, the value percent-encoded; nothing for a NULL value. */
void cli_add_query(struct buf *path, const char *key, const char *value);
/* Appends the text, percent-encoded, as one piece of a path. */
void cli_add_piece(struct buf *path, const char *text);
/* Puts the lists of a settings file into the cluster; an enum cli_exit, told. */
int cli_import(struct cli_target *t, const char *file);
/* A join token of the cluster; an enum cli_exit, told on stderr. */
/* angarium cluster upgrade WORD. */
int cli_upgrade(struct cli_target *t, const char *word, bool dry_run);
int cli_cluster_token(const struct cli_target *t, uint64_t lives_s, char *out, size_t out_size);
/* What exit a refusal of the API means. */
int cli_exit_of(long status, const char *type);

/* ---- what is shown */

#define CLI_COLUMNS_MAX 16
struct cli_table {
    const char *heads[CLI_COLUMNS_MAX]; /* ">head": numbers, to the right */
    unsigned columns;
    char **cells;
    size_t cell_count, cell_cap;
};
void cli_table_start(struct cli_table *t, const char *const *heads, unsigned columns);
void cli_table_add(struct cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_table_print(struct cli_table *t, FILE *to); /* and frees */
/* On stderr: nodes that did not answer, and shards that nobody answered for. */
void cli_tell_missing(const json_t *page);
void cli_print_json(const json_t *j);
/* Texts out of an answer; "" when they are not there. */
const char *cli_text(const json_t *object, const char *key);
json_int_t cli_int(const json_t *object, const char *key);
/* "2026-11-24T01:48:09.123Z" -> "2026-11-24 01:48:09"; out holds 20. */
void cli_short_time(const char *rfc3339, char out[20]);
/* Bytes as "12.3 MiB". */
void cli_short_size(uint64_t bytes, char out[16]);
/* Controls of foreign text made visible, so that it cannot play with the terminal. */
void cli_plain(const char *text, struct buf *out);
bool cli_is_terminal(FILE *f);

/* ---- verbs */

/* The table of `angarium nodes`. */
int cli_nodes_show(const struct cli_target *t);

#define CLI_VERBS(X)                                                                               \
    X(check_config)                                                                                \
    X(cluster)                                                                                     \
    X(tenant)                                                                                      \
    X(credential)                                                                                  \
    X(domain)                                                                                      \
    X(route)                                                                                       \
    X(rule)                                                                                        \
    X(setting)                                                                                     \
    X(dev)                                                                                         \
    X(status)                                                                                      \
    X(nodes)                                                                                       \
    X(certificates)                                                                                \
    X(recover)                                                                                     \
    X(shards)                                                                                      \
    X(shard)                                                                                       \
    X(region) X(queue) X(message) X(events) X(send) X(audit) X(version) X(help) X(completion)
#define CLI_DECLARE_(name) extern const struct cli_verb cli_verb_##name;
CLI_VERBS(CLI_DECLARE_)
#undef CLI_DECLARE_

/* All verbs, ours and the root's; NULL: no such verb. */
const struct cli_verb *cli_find_verb(const char *name);
const struct cli_verb *cli_verb_at(unsigned i); /* NULL: no more */

/* ---- the dev cluster (cli_dev*.c) */

#define CLI_DEV_PORTS     6
#define CLI_DEV_NODES_MAX 15
struct cli_dev_node {
    unsigned id;
    pid_t pid;
    char ports[CLI_DEV_PORTS][32]; /* submission, submissions, http, mx, peer, sandbox */
    char store_dir[4096], log_file[4096], settings_file[4096];
};
struct cli_dev {
    char dir[4000]; /* absolute */
    char username[64], password[64], token[128], ca_file[4096], cluster_id[33];
    uint64_t base_port, nodes, regions, mx_port; /* regions 0: not chosen yet */
    uint64_t zones; /* of each region; 0: each node has one of its own */
    char spread[8];                              /* empty: zone */
    char next_hop[300], resolver[80];
    char sets[CLI_LIST_MAX][160]; /* "delivery.retry_base_ms=1s" */
    unsigned set_count;
    bool is_known;    /* of several nodes: it has been up, so control has its records */
    bool route_given; /* on this command line */
    pid_t pids[CLI_DEV_NODES_MAX];
    struct cli_dev_node node; /* the one that is spoken of: cli_dev_select */
};
/* Node `id`, from 1, is spoken of from now on: its ports and paths from dir and base_port, its pid. */
void cli_dev_select(struct cli_dev *d, unsigned id);
json_t *cli_dev_cluster_json(const struct cli_dev *d);
void cli_dev_settings(const struct cli_dev *d, const char *password_hash, struct buf *out);
int cli_dev_read_cluster(struct cli_dev *d, const char *dir, struct errmsg *why);
int cli_dev_write_cluster(const struct cli_dev *d, struct errmsg *why);
/* Makes the directory and all that is missing in it, writes the settings of all nodes. */
int cli_dev_prepare(struct cli_dev *d, struct errmsg *why);
/* What was chosen when the directory was made; ERR_NOT_FOUND: it is new. */
int cli_dev_recall(struct cli_dev *d, struct errmsg *why);
int cli_dev_write_file(const char *path, struct span bytes, mode_t mode, struct errmsg *why);

/* A cluster of several: node 1 begins it; the node that is spoken of has not joined yet, and gets a join token. */
int cli_dev_begin(struct cli_dev *d, struct errmsg *why);
bool cli_dev_has_joined(const struct cli_dev *d);
int cli_dev_let_in(struct cli_dev *d); /* an enum cli_exit; tells on stderr */
/* Of a new cluster: until each shard has a leader and the voters that it can have; before, a mail might be on the disk of one node alone. The same. */
int cli_dev_wait_settled(struct cli_dev *d);
/* Where mail goes is another place than before, in the records of a cluster of several that is up: the same. */
int cli_dev_put_route(struct cli_dev *d);

/* Processes of a dev cluster: of the node that is spoken of, but for stop. */
bool cli_dev_is_running(const struct cli_dev *d);
bool cli_dev_runs(struct cli_dev *d); /* any of its nodes, which is spoken of then */
int cli_dev_spawn(struct cli_dev *d, bool detached, struct errmsg *why);
int cli_dev_wait_ready(struct cli_dev *d);   /* an enum cli_exit; tells on stderr */
int cli_dev_stop(struct cli_dev *d);         /* all nodes; an enum cli_exit; tells on stderr */
int cli_dev_signal_number(const char *name); /* -1: no such signal */
void cli_dev_block_signals(void);
/* Waits for SIGINT, SIGTERM or SIGCHLD: the signal, 0 when the time is over. */
int cli_dev_wait_signal(unsigned timeout_ms);

#endif
