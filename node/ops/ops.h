/* ops - to see and to steer: the HTTP API, health and metrics; the command line.
 *
 * One file per thing that arrives: route_*.c (HTTP), cli_*.c (verbs). The API and the command line
 * show the same words. Errors of the API are problem+json (RFC 9457) with type, title, status,
 * detail.
 *
 * Threads: the HTTP server runs on one loop; it reads queues through their stores (any thread) and
 * sends orders through commit.
 */
#ifndef OPS_OPS_H
#define OPS_OPS_H

#include "node/accept/accept.h"
#include "node/cluster/cluster.h"
#include "node/commit/commit.h"
#include "node/net/http.h"
#include "node/settings/settings.h"

struct ops;
struct ops_options {
    struct loop *loop;
    struct commit *commit;
    struct cluster *cluster;   /* NULL: a node alone; so the next */
    struct peers *peers;       /* whom questions are asked */
    struct settings *settings; /* referenced */
    struct tls *tls;                 /* of the HTTP listener; NULL: in clear */
    struct tls *smtp_tls;            /* of the SMTP listeners, to be shown; NULL: none */
    struct tls *peers_tls;           /* of the peers, to be shown; NULL: alone */
    const char *token;               /* copied; bearer token of /api/v1 */
    const char *inbox_dir;           /* copied; NULL: none */
    uint64_t node;
};
int ops_open(struct ops **out, const struct ops_options *o, struct errmsg *why);
/* Other settings and another token (NULL: the same one) are in force from now on; a call that has begun keeps its own, the listener stays. On
 * the loop. */
void ops_reload(struct ops *o, struct settings *settings, const char *token);
/* Other certificates are in force (NULL: none): referenced, and shown. On the loop. */
void ops_set_tls(struct ops *o, struct tls *smtp, struct tls *http, struct tls *peers);
uint16_t ops_port(const struct ops *o);
void ops_set_draining(struct ops *o); /* readyz turns red */
void ops_close(struct ops **o);

/* The content rules of settings, for SMTP as the API has them; NULL: there are none. Any thread. */
struct mail_content *ops_content_new(const struct settings *s);

/* What identifies a data directory: DIR/identity.json, made at first start, never changed
 * afterwards but for shards, which may grow. ERR_VERSION: written by a newer format. ERR_CONFIG:
 * another node's directory. */
struct ops_identity {
    uint64_t node;
    uint32_t shards;
    char uuid[37];
};
/* Of a disk that is being made: a new uuid; written last, for without it the rest is refused at a start. */
void ops_identity_make(struct ops_identity *out, uint64_t node, uint32_t shards);
int ops_identity_write(const char *data_dir, const struct ops_identity *id, struct errmsg *why);
int ops_identity_open(const char *data_dir, uint64_t node, uint32_t shards,
                      struct ops_identity *out, struct errmsg *why);
/* Writes DATA/cluster of a cluster that begins with this node. ERR_EXISTS: the disk is not new. Blocks. */
int ops_cluster_init(const struct settings *s, struct errmsg *why);
/* Asks the seeds to let this node, whose disk is new, into their cluster; writes DATA/cluster. Blocks, for a minute at most. */
int ops_join(const struct settings *s, const char *uuid, struct cluster_self *out,
             struct errmsg *why);
int ops_identity_read(const char *data_dir, struct ops_identity *out, struct errmsg *why);

/* ---- the command line */

/* `angarium node` without -c: ls, show, cordon, uncordon, drain, remove, promote. */
int cli_node(int argc, char **argv);

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_NOT_ALLOWED = 4,
    CLI_REFUSED = 5,
    CLI_UNKNOWN = 6,
    CLI_NO_QUORUM = 7,
};
struct cli_verb {
    const char *name, *usage;          /* "queue", "[options]" */
    const char *line, *help;           /* one line; a paragraph and examples */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns enum cli_exit */
};
/* Runs argv[1] out of ops's own verbs and `more` (the root's: node), or shows help. */
int cli_main(int argc, char **argv, const struct cli_verb *more, unsigned more_count);

#endif
