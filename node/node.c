/* node - builds and connects everything, in the order of a mail's way, and takes it down again.
 *
 * Threads: the main thread runs loop 0 (signals, HTTP, and its share of everything), others run loops 1..n-1.
 *   Every loop has its own accept, deliver, emit and dns, and the shards (number - 1) % loops.
 * Start:   settings -> identity -> log and state stores -> loops -> commit (replay) -> emit, deliver, accept
 *          -> ops -> loops run. A failure before the loops run is told on stderr and ends the process.
 * Stop:    SIGTERM -> unready, leaderships are handed over, NODE_LEAVE_MS at most -> accept and deliver drain -> all idle, or NODE_DRAIN_MS is over -> loops stop ->
 *          state is flushed, stores are closed. What was not done is in the queue; what was in the air is in
 *          doubt and said so at the next start.
 */
#include "node/node.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/accept/accept.h"
#include "node/certificates.h"
#include "node/cluster/cluster.h"
#include "node/commit/commit.h"
#include "node/deliver/deliver.h"
#include "node/emit/emit.h"
#include "node/logins.h"
#include "node/net/dns.h"
#include "node/ops/ops.h"
#include "node/peer/peer.h"
#include "node/settings/records.h"
#include "node/settings/settings.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define NODE_DRAIN_MS       10000
#define NODE_DRAIN_CHECK_MS 25
#define NODE_LEAVE_MS       3000
#define NODE_HOLD_MS        3000 /* at a start: so long clients wait for somebody who leads */
#define NODE_LOOPS_MAX      64
#define NODE_FILES_OTHER    512 /* of the stores, HTTP, listeners, the resolver */

struct node;
struct node_loop {
    struct node *node;
    unsigned number;
    struct loop *loop;
    pthread_t thread;
    struct dns *dns;
    struct accept *accept;
    struct deliver *deliver;
    struct emit *emit;
    struct loop_letter drain_letter, idle_letter;
    struct loop_timer drain_timer;
};

struct node {
    struct settings *settings; /* in force; loop 0's: other loops get a reference of their own */
    struct settings *begun;    /* those of the start: rooms borrow texts that cannot change */
    struct settings
        *file; /* as it was read; in force are, of a node of several, control's records with it */
    struct settings_records own; /* the file's lists at the start, for a cluster that has none */
    struct ops_identity identity;
    struct cluster_self self; /* of a node of several */
    struct raft *raft;
    struct wire *wire;
    struct peers *peers;     /* NULL: alone, as the next */
    struct cluster *cluster; /* the replica of group 0 */
    struct queue_store *store;
    struct commit *commit;
    struct tls_tickets *tickets;
    struct certificates certificates;
    struct tls *client_tls;
    struct logins logins;
    struct deliver_routes *routes;
    struct accept_auth *auth;
    struct mail_content *content;   /* NULL: no content rules */
    struct accept_clients *clients; /* of all loops */
    struct ops *ops;
    struct node_loop loops[NODE_LOOPS_MAX];
    struct raft_loop_port ports[NODE_LOOPS_MAX];
    struct loop *loop_list[NODE_LOOPS_MAX];
    unsigned loop_count;
    unsigned idle_count;   /* loops that are drained; loop 0 only, like the next two */
    unsigned reloads_away; /* letters */
    bool reload_again;     /* a signal came meanwhile */
    bool records_again;    /* control's records changed meanwhile */
    bool is_making;        /* what they mean is being made, on the pool */
    bool is_records;       /* that is what is away */
    uint64_t records_seen[CONTROL_KIND_END]; /* control_changed of what is in force, or on its way there */
    uint64_t records_entry;                  /* control_applied of it */
    bool stopping;
    struct loop_timer drain_deadline, leave_timer;
    uint64_t leave_until_ms; /* mono */
    char inbox_dir[4096];
};

/* ---- what is shared by the loops */

static int make_dir(const char *dir, struct errmsg *why)
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST) return 0;
    return errmsg_set(why, ERR_IO, "%s: cannot make the directory: %s", dir, strerror(errno));
}

static int path_in(char *out, size_t size, const char *dir, const char *name, struct errmsg *why)
{
    int n = snprintf(out, size, "%s/%s", dir, name);

    if (n > 0 && (size_t)n < size) return 0;
    return errmsg_set(why, ERR_TOO_LONG, "%s: the path is too long", dir);
}

static bool is_set(const char *text)
{
    return text && *text;
}

/* ---- among others */

static bool is_alone(const struct node *n)
{
    return !is_set(n->file->cluster.id);
}

static int check_self(const struct node *n, struct errmsg *why)
{
    uint8_t id[CONTROL_CLUSTER_SIZE];

    CHECK(cluster_parse_id(n->settings->cluster.id, id) == 0); /* the settings were checked */
    if (n->self.node != n->settings->node.id || memcmp(id, n->self.cluster, sizeof id) != 0)
        return errmsg_set(why, ERR_CONFIG,
                          "%s: belongs to another node or another cluster than the settings say",
                          n->settings->node.data_dir);
    return 0;
}

/* Who this node is. A disk that is new asks to be let in. */
static int know_self(struct node *n, struct errmsg *why)
{
    const char *dir = n->settings->node.data_dir;
    int rv;

    if (is_alone(n)) return 0;
    rv = cluster_self_read(dir, &n->self, why);
    if (rv == ERR_NOT_FOUND) rv = ops_join(n->settings, n->identity.uuid, &n->self, why);
    if (rv == 0) rv = check_self(n, why);
    if (rv == 0) proto_format_set(n->self.format);
    return rv == 0 ? cluster_self_start(dir, &n->self, why) : rv;
}

static void on_removed(void *arg, uint64_t by);

static int open_wire(struct node *n, struct errmsg *why)
{
    const struct settings *s = n->settings;
    struct wire_options o = { .node = s->node.id,
                              .incarnation = n->self.incarnation,
                              .format_min = n->self.format,
                              .format_max = PROTO_FORMAT_VERSION,
                              .listen = s->cluster.address,
                              .certificate = s->cluster.certificate,
                              .key = s->cluster.key,
                              .ca = s->cluster.ca,
                              .on_removed = on_removed,
                              .removed_arg = n,
                              .events = peers_wire_events(n->peers) };
    int rv;

    memcpy(o.cluster, n->self.cluster, sizeof o.cluster);
    rv = wire_open(&n->wire, &o, why);
    if (rv != 0) return rv;
    raft_wire_attach(n->raft, n->wire);
    peers_attach(n->peers, n->wire);
    return 0;
}

static void on_shard(void *arg, const struct cluster_shard *s)
{
    struct node *n = arg;
    struct commit_placement p = { .shard = s->shard,
                                  .founders = *s->founders,
                                  .wanted = *s->wanted,
                                  .version = s->version,
                                  .in_force = s->in_force,
                                  .closes = s->closes };

    commit_place(n->commit, &p);
}

static void on_shard_ended(void *arg, uint32_t shard)
{
    struct node *n = arg;

    commit_forget(n->commit, shard);
}

static void on_shard_left(void *arg, uint32_t shard)
{
    commit_vacate(((struct node *)arg)->commit, shard);
}

static void on_not_held(void *arg, uint32_t shard, uint64_t question)
{
    commit_not_held(((struct node *)arg)->commit, shard, question);
}

static void on_state(void *arg, enum control_node_state state)
{
    struct node *n = arg;

    commit_set_cordoned(n->commit, state == CONTROL_CORDONED || state == CONTROL_DRAINING ||
                                       state == CONTROL_GONE);
    log_event(LOG_INFO, "node.state", LOG_TEXT("state", control_node_state_name(state)));
    if (state == CONTROL_GONE)
        log_event(LOG_WARN, "node.removed", LOG_NUM("node", n->self.node),
                  LOG_TEXT("help", "this node was removed from the cluster for ever: stop it, its data can go; with "
                                   "an empty data directory, a new number and a new token it is a new node"));
}

/* What a shard reports or asks, or the wire hears, from its thread to the first loop. */
struct told {
    struct loop_letter letter;
    struct node *node;
    uint32_t shard, version; /* 0: it is empty */
    uint64_t term;           /* is that placement the newest one? 0: it is in force */
    uint64_t question;       /* is it held here? 0: it is not asked */
    uint64_t removed_by;     /* that node says that this one was removed */
};

static void on_told(struct loop_letter *letter)
{
    struct told *t = CONTAINER_OF(letter, struct told, letter);

    struct cluster *c = t->node->cluster;

    if (t->node->stopping)
        ;
    else if (t->removed_by != 0)
        cluster_hear_removed(c, t->removed_by);
    else if (t->question != 0)
        cluster_ask_held(c, t->shard, t->question);
    else if (t->term != 0)
        cluster_confirm(c, t->shard, t->version, t->term);
    else if (t->version != 0)
        cluster_placed(c, t->shard, t->version);
    else
        cluster_emptied(c, t->shard);
    free(t);
}

static void tell(struct node *n, struct told what)
{
    struct told *t = check_calloc(1, sizeof *t);

    *t = what;
    t->node = n;
    t->letter.on_arrive = on_told;
    loop_post(n->loops[0].loop, &t->letter);
}

static void on_removed(void *arg, uint64_t by)
{
    tell(arg, (struct told){ .removed_by = by });
}

static void on_placed(void *arg, uint32_t shard, uint32_t version)
{
    tell(arg, (struct told){ .shard = shard, .version = version });
}

static void on_empty(void *arg, uint32_t shard)
{
    tell(arg, (struct told){ .shard = shard });
}

static void on_confirm(void *arg, uint32_t shard, uint32_t version, uint64_t term)
{
    tell(arg, (struct told){ .shard = shard, .version = version, .term = term });
}

static void on_ask_held(void *arg, uint32_t shard, uint64_t question)
{
    tell(arg, (struct told){ .shard = shard, .question = question });
}

static void on_confirmed(void *arg, uint32_t shard, uint32_t version, uint64_t term)
{
    commit_confirm(((struct node *)arg)->commit, shard, version, term);
}

/* A change of control that another node brings. */
static void on_change(void *arg, struct peer_ask *ask)
{
    struct node *n = arg;

    if (n->cluster)
        cluster_serve(n->cluster, ask);
    else
        peer_answer(ask, ERR_CLOSED, (struct span){ 0 }, (struct span){ 0 });
}

static void on_records(void *arg);

static void on_format(void *arg, uint32_t format)
{
    struct node *n = arg;

    proto_format_set(format);
    wire_formats(n->wire, format);
}

static int open_cluster(struct node *n, struct errmsg *why)
{
    const struct settings *s = n->settings;
    int rv;

    if (is_alone(n)) return 0;
    rv = open_wire(n, why);
    if (rv != 0) return rv;
    return cluster_open(&n->cluster,
                        &(struct cluster_options){
                            .loop = n->loops[0].loop,
                            .raft = n->raft,
                            .wire = n->wire,
                            .dir = s->node.data_dir,
                            .self = &n->self,
                            .address = s->cluster.address,
                            .zone = s->cluster.zone,
                            .region = s->cluster.region,
                            .shards_per_node = (uint32_t)s->cluster.shards_per_node,
                            .replicas = (uint32_t)s->cluster.replicas,
                            .spread = strcmp(s->cluster.spread, "region") == 0
                                          ? CONTROL_SPREAD_REGION
                                          : CONTROL_SPREAD_ZONE,
                            .peers = n->peers,
                            .import = n->own.list,
                            .import_count = n->own.count,
                            .calls = { .arg = n,
                                       .on_format = on_format,
                                       .on_shard = on_shard,
                                       .on_confirmed = on_confirmed,
                                       .on_shard_ended = on_shard_ended,
                                       .on_shard_left = on_shard_left,
                                       .on_not_held = on_not_held,
                                       .on_state = on_state,
                                       .on_records = on_records } },
                        why);
}

/* Rooms serve calls and call from their opening on; the wire comes later. */
static void open_peers(struct node *n)
{
    const struct wire_events behind = raft_wire_events(n->raft);

    if (is_alone(n)) return;
    n->peers = peers_new(n->self.node, n->self.incarnation, &behind);
    peer_serve(n->peers, PEER_CHANGE, n->loops[0].loop, on_change, n);
}

/* ---- stores */

/* The two stores know nothing of each other: the state is opened while the log, which takes longer, reads back what it wrote last. */
struct opening {
    pthread_t thread;
    const char *dir;
    struct queue_store *store;
    struct errmsg why;
    int rv;
};

static void *open_state(void *arg)
{
    struct opening *o = arg;

    o->rv = queue_store_open(&o->store, o->dir, &o->why);
    return NULL;
}

/* What is wrong with the log is said first. */
static int open_log_and_state(struct node *n, const struct raft_options *log, const char *state_dir,
                              bool *tainted, struct errmsg *why)
{
    struct opening state = { .dir = state_dir };
    int rv;

    if (pthread_create(&state.thread, NULL, open_state, &state) != 0)
        return errmsg_set(why, ERR_IO, "cannot start a thread that opens %s", state_dir);
    rv = raft_open(&n->raft, log, tainted, why);
    pthread_join(state.thread, NULL);
    n->store = state.store;
    if (rv == 0 && state.rv != 0) *why = state.why;
    return rv != 0 ? rv : state.rv;
}

static int open_stores(struct node *n, struct errmsg *why)
{
    const struct settings *s = n->settings;
    char log_dir[4096], state_dir[4096];
    bool tainted = false;
    int rv = make_dir(s->node.data_dir, why);

    if (rv == 0) rv = path_in(log_dir, sizeof log_dir, s->node.data_dir, "log", why);
    if (rv == 0) rv = path_in(state_dir, sizeof state_dir, s->node.data_dir, "state", why);
    if (rv == 0) rv = path_in(n->inbox_dir, sizeof n->inbox_dir, s->node.data_dir, "inbox", why);
    if (rv == 0) rv = make_dir(n->inbox_dir, why);
    if (rv == 0)
        rv = ops_identity_open(s->node.data_dir, s->node.id, (uint32_t)s->node.shards, &n->identity,
                               why);
    if (rv == 0) rv = know_self(n, why);
    if (rv == 0)
        rv = open_log_and_state(
            n,
            &(struct raft_options){ .dir = log_dir,
                                    .node_id = s->node.id,
                                    .loops = n->ports,
                                    .loop_count = n->loop_count,
                                    .incarnation = n->self.incarnation,
                                    .seed = clock_wall_ms(&clock_real) ^ s->node.id },
            state_dir, &tainted, why);
    if (rv != 0) return rv;
    open_peers(n);
    if (tainted)
        log_event(
            LOG_ERROR, "log.tainted", LOG_TEXT("dir", log_dir),
            LOG_TEXT(
                "help",
                "the disk lost writes that it had confirmed: this node will not lead; replace the "
                "disk, restore from a replica or a backup"));
    return 0;
}

static int make_auth(const struct settings *s, struct accept_auth **out, struct errmsg *why)
{
    struct accept_credential *credentials =
        check_calloc(s->credential_count + 1, sizeof *credentials);
    struct accept_tenant *tenants = check_calloc(s->tenant_count + 1, sizeof *tenants);
    int rv;

    for (unsigned i = 0; i < s->credential_count; i++)
        credentials[i] =
            (struct accept_credential){ .username = s->credentials[i].username,
                                        .tenant = s->credentials[i].tenant,
                                        .password_hash = s->credentials[i].password_hash,
                                        .addresses = s->credentials[i].addresses };
    for (unsigned i = 0; i < s->tenant_count; i++)
        tenants[i] = (struct accept_tenant){ .name = s->tenants[i].name,
                                             .holds_doubts = !strcmp(s->tenants[i].in_doubt, "hold"),
                                             .domains = (const char *const *)s->tenants[i].domains,
                                             .domain_count = s->tenants[i].domain_count };
    rv = accept_auth_new(out, credentials, s->credential_count, tenants, s->tenant_count,
                         s->limits.auth_cache_ms, (unsigned)s->limits.auth_inflight_max, why);
    free(credentials);
    free(tenants);
    return rv;
}

static void push_tls(struct node *n, struct tls *tls);

static void show_certificates(struct node *n)
{
    const struct certificates *c = &n->certificates;

    if (n->ops)
        ops_set_tls(n->ops, certificates_smtp(c), certificates_http(c), certificates_peers(c));
}

/* A file has changed; sessions that are open keep what they have. */
static void on_smtp_certificates(void *arg, struct tls *fresh)
{
    struct node *n = arg;

    push_tls(n, fresh);
    show_certificates(n);
}

static void on_http_certificate(void *arg, struct tls *fresh)
{
    (void)fresh;
    show_certificates(arg);
}

/* What the peers see. What could not be read now is told, and read again when it changes again. */
static void reload_wire(struct node *n)
{
    const struct settings *s = n->settings;
    struct errmsg why = { "" };

    if (!n->wire || wire_reload(n->wire, s->cluster.certificate, s->cluster.key, s->cluster.ca,
                                &why) == 0)
        return;
    metric_add(M_TLS_RELOADS_REFUSED, 1);
    log_event(LOG_ERROR, "tls.reload_refused", LOG_TEXT("use", "peers"),
              LOG_TEXT("error", why.text),
              LOG_TEXT("help", "what the peers see is what it was; the files are read again when "
                               "they change"));
}

static void on_peer_certificate(void *arg, struct tls *fresh)
{
    (void)fresh;
    reload_wire(arg);
    show_certificates(arg);
}

static int read_certificates(struct node *n, const struct settings *s, struct certificates *out,
                             struct errmsg *why)
{
    const struct certificates_calls calls = { on_smtp_certificates, on_http_certificate,
                                              on_peer_certificate, n };

    return certificates_open(out, n->loops[0].loop, s, n->tickets, &calls, why);
}

static enum router_tls tls_of(const struct settings_route *r)
{
    static const char *const words[] = { "none", "may", "encrypt", "verify" };

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(r->tls, words[i]) == 0) return (enum router_tls)i;
    return ROUTER_TLS_MAY;
}

static bool has_own_tls(const struct settings_route *r)
{
    return tls_of(r) == ROUTER_TLS_VERIFY || strcmp(r->tls_min, "1.3") == 0 || r->pin_count > 0;
}

/* One client context for each route that demands something. */
static int open_one_tls(const struct settings_route *r, struct tls **out, struct errmsg *why)
{
    int rv = tls_client_new(
        out, tls_of(r) == ROUTER_TLS_VERIFY ? TLS_VERIFY_PEER : TLS_VERIFY_NONE,
        is_set(r->tls_ca_file) ? r->tls_ca_file : NULL, why);

    if (rv != 0) return rv;
    if (strcmp(r->tls_min, "1.3") == 0) tls_need_13(*out);
    if (r->pin_count > 0) tls_pin(*out, (const char *const *)r->pins, r->pin_count);
    return 0;
}

/* A route of the whole cluster whose CA this node cannot read lets nobody through, and its mail waits: it must not hold up
 * everything else that changes, nor may the mail go another way. */
static int close_route(const struct settings_route *r, struct tls **out, struct errmsg *why)
{
    static const char *const nobody[] = {
        "0000000000000000000000000000000000000000000000000000000000000000"
    };

    log_event(LOG_ERROR, "control.route_closed", LOG_TEXT("match", r->match),
              LOG_TEXT("error", why->text),
              LOG_TEXT("help", "mail that goes this way waits on this node; put the file there, then "
                               "send it SIGHUP"));
    if (tls_client_new(out, TLS_VERIFY_NONE, NULL, why) != 0) return ERR_TLS;
    tls_pin(*out, nobody, 1);
    return 0;
}

static int open_route_tls(const struct settings *s, struct tls **out, unsigned *count,
                          struct errmsg *why)
{
    for (unsigned i = 0; i < s->route_count; i++) {
        const struct settings_route *r = &s->routes[i];
        struct tls **t = &out[*count];
        int rv;

        if (!has_own_tls(r)) continue;
        rv = open_one_tls(r, t, why);
        if (rv != 0 && is_set(s->cluster.id)) rv = close_route(r, t, why);
        if (rv != 0) return rv;
        ++*count;
    }
    return 0;
}

static int open_routes(const struct settings *s, const struct logins *logins,
                       struct deliver_routes **out, struct errmsg *why)
{
    struct tls *tls[SETTINGS_LIST_MAX];
    unsigned count = 0;
    int rv = open_route_tls(s, tls, &count, why);

    if (rv == 0) *out = deliver_routes_new(tls, count, logins->list, logins->count);
    for (unsigned i = 0; i < count; i++)
        tls_unref(&tls[i]);
    return rv;
}

/* What the file lists may become the cluster's: what cannot be is told now, as of a node alone. */
static int check_lists(const struct node *n, struct errmsg *why)
{
    struct accept_auth *trial = NULL;
    int rv = is_alone(n) ? 0 : make_auth(n->file, &trial, why);

    accept_auth_unref(&trial);
    return rv;
}

static int open_security(struct node *n, struct errmsg *why)
{
    const struct settings *s = n->settings;
    int rv = make_auth(s, &n->auth, why);

    if (rv == 0) rv = check_lists(n, why);
    n->content = ops_content_new(s);
    n->tickets = tls_tickets_new(&clock_real);
    if (rv == 0) rv = read_certificates(n, s, &n->certificates, why);
    if (rv == 0) rv = tls_client_new(&n->client_tls, TLS_VERIFY_NONE, NULL, why);
    if (rv == 0) logins_open(&n->logins, s, NULL);
    if (rv == 0) rv = open_routes(s, &n->logins, &n->routes, why);
    return rv;
}

static struct commit_limits commit_limits_of(const struct settings *s)
{
    return (struct commit_limits){ .body_cache_bytes = s->limits.body_cache_bytes,
                                   .queue_messages_max = s->limits.queue_messages_max,
                                   .queue_bytes_max = s->limits.queue_bytes_max,
                                   .disk_reserve_bytes = s->limits.disk_reserve_bytes,
                                   .retention_ms = s->delivery.retention_ms };
}

static int open_commit(struct node *n, struct errmsg *why)
{
    const struct settings *s = n->settings;
    uint64_t began = clock_mono_ms(&clock_real);
    int rv =
        commit_open(&n->commit,
                    &(struct commit_options){ .loops = n->loop_list,
                                              .loop_count = n->loop_count,
                                              .raft = n->raft,
                                              .peers = n->peers,
                                              .region = s->cluster.region,
                                              .store = n->store,
                                              .data_dir = s->node.data_dir,
                                              .node = s->node.id,
                                              .shard_count = is_alone(n) ? n->identity.shards : 0,
                                              .shard_max = CONTROL_SHARDS_MAX,
                                              .calls = { n, on_placed, on_empty, on_confirm, on_ask_held },
                                              .limits = commit_limits_of(s) },
                    why);

    if (rv == 0)
        log_event(LOG_INFO, "shards.open", LOG_NUM("shards", n->identity.shards),
                  LOG_NUM("took_ms", clock_mono_ms(&clock_real) - began));
    return rv;
}

/* ---- what each loop has */

static void split_host_port(const char *text, char *host, size_t host_size, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    uint64_t v = 25;

    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    if (colon && span_u64(span_cstr(colon + 1), 65535, &v) != 0) v = 25;
    snprintf(host, host_size, "%.*s", (int)n, text);
    *port = (uint16_t)v;
}

static struct router_rule *rules_of(const struct settings *s, const struct logins *logins)
{
    struct router_rule *rules = check_calloc(s->route_count + 1, sizeof *rules);
    unsigned contexts = 0;

    for (unsigned i = 0; i < s->route_count; i++) {
        const struct settings_route *from = &s->routes[i];
        struct router_rule *to = &rules[i];

        *to = (struct router_rule){ .tls = tls_of(from),
                                    .tls_context = has_own_tls(from) ? ++contexts : 0,
                                    .login = logins->of_route[i] };
        snprintf(to->match, sizeof to->match, "%s", from->match);
        to->via = from->via == SETTINGS_VIA_HOST    ? ROUTER_VIA_HOST
                  : from->via == SETTINGS_VIA_INBOX ? ROUTER_VIA_INBOX
                                                    : ROUTER_VIA_MX;
        if (from->via == SETTINGS_VIA_HOST)
            split_host_port(from->host, to->host, sizeof to->host, &to->port);
    }
    return rules;
}

/* A limit of the node, divided among its loops. */
static unsigned share(uint64_t limit, unsigned loops)
{
    uint64_t n = (limit + loops - 1) / loops;

    return n > 0 ? (unsigned)n : 1;
}

/* An MX that leads to one of our MX listeners is ourselves. Returns how many addresses. */
static unsigned own_addresses(const struct settings *s, struct stream_address *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->listener_count; i++) {
        struct stream_address at;

        if (s->listeners[i].kind != SETTINGS_MX) continue;
        if (stream_address_parse(span_cstr(s->listeners[i].address), &at) != 0) continue;
        n += stream_own_addresses(&at, out + n, DELIVER_OWN_MAX - n);
    }
    return n;
}

/* Everything but its own addresses. */
static struct deliver_options deliver_options_of(const struct node_loop *l,
                                                 const struct settings *s,
                                                 struct deliver_routes *routes,
                                                 const struct router_rule *rules)
{
    const struct node *n = l->node;
    struct deliver_options o;

    deliver_options_default(&o);
    o.loop = l->loop;
    o.commit = n->commit;
    o.dns = l->dns;
    o.tls = n->client_tls;
    o.routes = routes;
    o.hostname = s->node.hostname;
    o.node = s->node.id;
    router_options_default(&o.router);
    o.router.rules = rules;
    o.router.rule_count = s->route_count;
    o.router.mx_port = (uint16_t)s->resolver.mx_port;
    o.router.site_connections_max = share(s->delivery.site_connections_max, n->loop_count);
    o.router.retry_base_ms = s->delivery.retry_base_ms;
    o.router.retry_cap_ms = s->delivery.retry_cap_ms;
    o.router.retry_jitter_permille = (unsigned)s->delivery.retry_jitter_permille;
    o.router.seed = clock_wall_ms(&clock_real) + l->number;
    o.inbox_dir = n->inbox_dir;
    o.connections_max = share(s->delivery.connections_max, n->loop_count);
    o.idle_ms = s->delivery.idle_ms;
    o.delay_dsn_ms = s->delivery.delay_dsn_ms;
    o.connect_timeout_ms = s->delivery.connect_timeout_ms;
    o.greeting_timeout_ms = s->delivery.greeting_timeout_ms;
    o.command_timeout_ms = s->delivery.command_timeout_ms;
    o.data_timeout_ms = s->delivery.data_timeout_ms;
    o.dot_timeout_ms = s->delivery.dot_timeout_ms;
    return o;
}

static int open_deliver(struct node *n, struct node_loop *l, struct errmsg *why)
{
    struct router_rule *rules = rules_of(n->settings, &n->logins);
    struct deliver_options o = deliver_options_of(l, n->settings, n->routes, rules);
    struct stream_address own[DELIVER_OWN_MAX];
    int rv;

    o.own = own;
    o.own_count = own_addresses(n->settings, own);
    rv = deliver_new(&l->deliver, &o, why);
    free(rules);
    return rv;
}

static void fill_limits(const struct settings *s, struct accept_limits *l)
{
    accept_limits_default(l);
    l->message_size_max = s->limits.message_size_max;
    l->recipients_max = (unsigned)s->limits.recipients_max;
    l->line_size_max = s->limits.line_size_max;
    l->header_size_max = s->limits.header_size_max;
    l->hops_max = (unsigned)s->limits.hops_max;
    l->bodies_size_max = s->limits.bodies_memory_max;
    l->sessions_max = (unsigned)s->limits.sessions_max;
    l->transactions_max = (unsigned)s->limits.session_transactions_max;
    l->errors_max = (unsigned)s->limits.session_errors_max;
    l->greeting_ms = s->limits.greeting_delay_ms;
    l->idle_ms = s->limits.session_idle_ms;
    l->data_idle_ms = s->limits.data_idle_ms;
    l->life_ms = s->limits.session_life_ms;
    l->header_fields_max = (unsigned)s->limits.header_fields_max;
    l->clients_max = (unsigned)s->limits.clients_max;
    l->address_sessions_max = (unsigned)s->limits.address_sessions_max;
    l->address_rate_max = (unsigned)s->limits.address_rate_max;
    l->credential_sessions_max = (unsigned)s->limits.credential_sessions_max;
    l->auth_failures_max = (unsigned)s->limits.auth_failures_max;
    l->unknown_max = (unsigned)s->limits.session_unknown_max;
    l->data_rate_min = s->limits.data_rate_min;
    l->data_window_ms = s->limits.data_window_ms;
    l->sessions_memory_max = s->limits.sessions_memory_max;
    l->auth_forget_ms = s->limits.auth_forget_ms;
    l->auth_delay_ms = s->limits.auth_delay_ms;
    l->auth_delay_max_ms = s->limits.auth_delay_max_ms;
}

static int door_of(const struct settings_listener *li, struct accept_door *out, struct errmsg *why)
{
    int rv;

    *out = (struct accept_door){ .socket = -1 };
    out->service.kind = li->kind == SETTINGS_SUBMISSION    ? ACCEPT_SUBMISSION
                        : li->kind == SETTINGS_SUBMISSIONS ? ACCEPT_SUBMISSIONS
                                                           : ACCEPT_MX;
    out->service.bare =
        strcmp(li->bare_newlines, "normalise") == 0 ? ACCEPT_BARE_NORMALISE : ACCEPT_BARE_REFUSE;
    out->service.mechanisms = (strstr(li->auth, "plain") ? ACCEPT_AUTH_PLAIN : 0) |
                              (strstr(li->auth, "login") ? ACCEPT_AUTH_LOGIN : 0);
    rv = stream_address_parse(span_cstr(li->address), &out->at);
    return rv == 0 ? 0 : errmsg_set(why, rv, "listener address %s is wrong", li->address);
}

static int open_accept(struct node *n, struct node_loop *l, struct errmsg *why)
{
    const struct settings *s = n->settings;
    struct accept_options o = { .loop = l->loop,
                                .commit = n->commit,
                                .auth = n->auth,
                                .content = n->content,
                                .tls = certificates_smtp(&n->certificates),
                                .hostname = s->node.hostname,
                                .node = s->node.id,
                                .start = clock_wall_ms(&clock_real),
                                .expire_ms = s->delivery.expire_ms,
                                .hold_ms = is_alone(n) ? 0 : NODE_HOLD_MS,
                                .lacks_auth = !is_alone(n),
                                .carries_binary = true };
    int rv;

    fill_limits(s, &o.limits);
    if (!n->clients) n->clients = accept_clients_new(&o.limits);
    o.clients = n->clients;
    rv = accept_new(&l->accept, &o, why);
    for (unsigned i = 0; rv == 0 && i < s->listener_count; i++) {
        struct accept_door door;

        rv = door_of(&s->listeners[i], &door, why);
        if (rv == 0) rv = accept_listen(l->accept, &door.service, &door.at, why);
    }
    return rv;
}

static int open_loop_rooms(struct node *n, struct node_loop *l, struct errmsg *why)
{
    const struct settings *s = n->settings;
    int rv =
        dns_open(&l->dns, l->loop, is_set(s->resolver.address) ? s->resolver.address : NULL, why);

    if (rv == 0)
        rv = emit_new(&l->emit, &(struct emit_options){ .loop = l->loop,
                                                        .commit = n->commit,
                                                        .hostname = s->node.hostname,
                                                        .node = s->node.id,
                                                        .expire_ms = s->delivery.expire_ms });
    if (rv == 0) rv = open_deliver(n, l, why);
    if (rv == 0) rv = open_accept(n, l, why);
    return rv;
}

static int read_token(const char *file, char *out, size_t size, struct errmsg *why)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return errmsg_set(why, ERR_IO, "%s: cannot read the API token: %s", file, strerror(errno));
    n = read(fd, out, size - 1);
    close(fd);
    while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r' || out[n - 1] == ' '))
        n--;
    if (n < 16)
        return errmsg_set(why, ERR_CONFIG, "%s: an API token has at least 16 characters", file);
    out[n] = '\0';
    return 0;
}

static int open_ops(struct node *n, struct errmsg *why)
{
    char token[256];
    int rv;

    if (!is_set(n->settings->http.address)) return 0;
    rv = read_token(n->settings->http.token_file, token, sizeof token, why);
    if (rv != 0) return rv;
    return ops_open(&n->ops,
                    &(struct ops_options){ .loop = n->loops[0].loop,
                                           .commit = n->commit,
                                           .cluster = n->cluster,
                                           .peers = n->peers,
                                           .settings = n->settings,
                                           .tls = certificates_http(&n->certificates),
                                           .smtp_tls = certificates_smtp(&n->certificates),
                                           .peers_tls = certificates_peers(&n->certificates),
                                           .token = token,
                                           .inbox_dir = n->inbox_dir,
                                           .node = n->settings->node.id },
                    why);
}

/* ---- start */

static int open_loops(struct node *n, struct errmsg *why)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t wanted =
        n->settings->node.loops ? n->settings->node.loops : (uint64_t)(cores > 0 ? cores : 1);

    n->loop_count = wanted < NODE_LOOPS_MAX ? (unsigned)wanted : NODE_LOOPS_MAX;
    for (unsigned i = 0; i < n->loop_count; i++) {
        int rv = loop_new(&n->loops[i].loop, i, why);

        if (rv != 0) return rv;
        n->loops[i].node = n;
        n->loops[i].number = i;
        n->loop_list[i] = n->loops[i].loop;
        n->ports[i] = (struct raft_loop_port){ .arg = n->loops[i].loop, .wake = loop_wake_arg };
    }
    return 0;
}

/* Every session and connection is an open file. What is missing is told: at the limit new sessions would wait in
 * the kernel instead of being told 421. */
static void raise_file_limit(const struct settings *s)
{
    uint64_t needed = s->limits.sessions_max + s->delivery.connections_max + NODE_FILES_OTHER;
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_max >= needed) return;
    log_event(LOG_WARN, "node.few_files", LOG_NUM("limit", r.rlim_max), LOG_NUM("needed", needed),
              LOG_TEXT("help", "raise the limit of open files (LimitNOFILE=, ulimit -n), or lower "
                               "limits.sessions_max and delivery.connections_max"));
}

static enum log_level least_level(const struct settings *s)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };

    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(s->log.level, levels[i]) == 0) return (enum log_level)i;
    return LOG_INFO;
}

static void open_log(const struct settings *s)
{
    char node[24];

    snprintf(node, sizeof node, "%llu", (unsigned long long)s->node.id);
    log_open(2, least_level(s), strcmp(s->log.format, "json") == 0 ? LOG_JSON : LOG_LOGFMT, node);
}

static void settings_in_force(void)
{
    metric_set(M_SETTINGS_TIME, clock_wall_ms(&clock_real) / 1000);
}

static void begin_records(struct node *n);

static int start(struct node *n, struct errmsg *why)
{
    int rv = open_loops(n, why);

    if (rv == 0) rv = open_stores(n, why);
    if (rv == 0) rv = open_security(n, why);
    if (rv == 0) rv = open_commit(n, why);
    for (unsigned i = 0; rv == 0 && i < n->loop_count; i++)
        rv = open_loop_rooms(n, &n->loops[i], why);
    if (rv == 0) rv = open_cluster(n, why);
    if (rv == 0 && n->cluster) begin_records(n);
    if (rv == 0) rv = open_ops(n, why);
    if (rv == 0) certificates_start(&n->certificates);
    if (rv == 0) settings_in_force();
    return rv;
}

/* ---- stop: drain every loop, then stop them all */

static void stop_loops(struct node *n)
{
    commit_drain(n->commit);
    for (unsigned i = 0; i < n->loop_count; i++)
        loop_stop(n->loops[i].loop);
}

static void on_loop_idle(struct loop_letter *letter)
{
    struct node *n = CONTAINER_OF(letter, struct node_loop, idle_letter)->node;

    n->idle_count++;
    if (n->idle_count == n->loop_count) stop_loops(n);
}

static void tell_idle(struct node_loop *l)
{
    l->idle_letter.on_arrive = on_loop_idle;
    loop_post(l->node->loops[0].loop, &l->idle_letter);
}

static void on_drain_check(struct loop_timer *t)
{
    struct node_loop *l = CONTAINER_OF(t, struct node_loop, drain_timer);

    if (accept_is_idle(l->accept) && deliver_is_idle(l->deliver) && emit_is_idle(l->emit))
        tell_idle(l);
    else
        loop_timer_start(t, NODE_DRAIN_CHECK_MS);
}

static void on_drain(struct loop_letter *letter)
{
    struct node_loop *l = CONTAINER_OF(letter, struct node_loop, drain_letter);

    accept_drain(l->accept);
    deliver_drain(l->deliver);
    loop_timer_init(&l->drain_timer, l->loop, on_drain_check);
    loop_timer_start(&l->drain_timer, 0);
}

static void on_drain_deadline(struct loop_timer *t)
{
    log_event(
        LOG_WARN, "node.drain_cut", LOG_NUM("after_ms", NODE_DRAIN_MS),
        LOG_TEXT("help", "what was in the air is in doubt and is tried again at the next start"));
    stop_loops(CONTAINER_OF(t, struct node, drain_deadline));
}

static void drain(struct node *n)
{
    for (unsigned i = 0; i < n->loop_count; i++) {
        n->loops[i].drain_letter.on_arrive = on_drain;
        loop_post(n->loops[i].loop, &n->loops[i].drain_letter);
    }
    loop_timer_init(&n->drain_deadline, n->loops[0].loop, on_drain_deadline);
    loop_timer_start(&n->drain_deadline, NODE_DRAIN_MS);
}

/* Of several: others lead first what this node led, so that nobody waits for an election. */
static void on_leave_check(struct loop_timer *t)
{
    struct node *n = CONTAINER_OF(t, struct node, leave_timer);
    unsigned left = commit_leaving(n->commit);

    if (left > 0 && loop_mono_ms(n->loops[0].loop) < n->leave_until_ms) {
        loop_timer_start(t, NODE_DRAIN_CHECK_MS);
        return;
    }
    log_event(left > 0 ? LOG_WARN : LOG_INFO, "node.left", LOG_NUM("leads", left));
    drain(n);
}

static void leave(struct node *n)
{
    cluster_leave(n->cluster);
    commit_leave(n->commit);
    n->leave_until_ms = loop_mono_ms(n->loops[0].loop) + NODE_LEAVE_MS;
    loop_timer_init(&n->leave_timer, n->loops[0].loop, on_leave_check);
    loop_timer_start(&n->leave_timer, NODE_DRAIN_CHECK_MS);
}

static void begin_stop(struct node *n, int signum)
{
    if (n->stopping) return;
    n->stopping = true;
    log_event(LOG_INFO, "node.stopping", LOG_NUM("signal", signum));
    if (n->ops) ops_set_draining(n->ops);
    if (n->cluster)
        leave(n);
    else
        drain(n);
}

/* ---- reload: all of a settings file or nothing of it. What can fail is done here first, on loop 0; then each loop gets
 * a letter with references to what it goes by from then on. When all have come back it is in force; a signal meanwhile
 * begins the next one then, so that it finds open what this one opened and closed what it closed. */

struct reload {
    struct loop_letter letter;
    struct node_loop *to;
    struct accept_auth *auth;     /* NULL, here and below: as it is */
    struct mail_content *content; /* with auth */
    struct tls *tls;
    struct settings *settings;
    struct deliver_routes *routes; /* with settings; so are these: */
    struct router_rule *rules;
    struct accept_door doors[SETTINGS_LISTENERS_MAX];
    struct stream_address own[DELIVER_OWN_MAX];
    unsigned own_count;
};

static void reload_settings(struct reload *r)
{
    const struct settings *s = r->settings;
    struct accept_limits limits;
    struct deliver_options o = deliver_options_of(r->to, s, r->routes, r->rules);

    fill_limits(s, &limits);
    accept_set_limits(r->to->accept, &limits, s->delivery.expire_ms);
    accept_set_doors(r->to->accept, r->doors, s->listener_count);
    o.own = r->own;
    o.own_count = r->own_count;
    deliver_set_options(r->to->deliver, &o);
    emit_set_expire(r->to->emit, s->delivery.expire_ms);
}

static void on_reload_back(struct loop_letter *letter);
static void go_on(struct node *n);

static void on_reload(struct loop_letter *letter)
{
    struct reload *r = CONTAINER_OF(letter, struct reload, letter);
    const bool is_whole = r->settings != NULL;

    if (r->auth) accept_set_auth(r->to->accept, r->auth);
    if (r->auth) accept_set_content(r->to->accept, r->content);
    if (r->tls || r->settings)
        accept_set_tls(r->to->accept, r->tls); /* the settings may have none */
    if (r->settings) reload_settings(r);
    accept_auth_unref(&r->auth);
    mail_content_unref(&r->content);
    tls_unref(&r->tls);
    settings_unref(&r->settings);
    deliver_routes_unref(&r->routes);
    free(r->rules);
    r->rules = NULL;
    r->letter.on_arrive = on_reload_back;
    if (is_whole)
        loop_post(r->to->node->loops[0].loop, &r->letter);
    else
        free(r);
}

static void send_reload(struct reload *r, struct node_loop *to)
{
    r->to = to;
    r->letter.on_arrive = on_reload;
    loop_post(to->loop, &r->letter);
}

/* SMTP certificates alone. */
static void push_tls(struct node *n, struct tls *tls)
{
    for (unsigned i = 0; i < n->loop_count; i++) {
        struct reload *r = check_calloc(1, sizeof *r);

        r->tls = tls_ref(tls);
        send_reload(r, &n->loops[i]);
    }
}

/* What a settings file brings into force. */
struct fresh {
    struct settings *settings, *file; /* file NULL: it is as it was */
    struct accept_auth *auth;
    struct mail_content *content;
    struct certificates certificates;
    struct logins logins;
    struct deliver_routes *routes;
    struct accept_door doors[SETTINGS_LISTENERS_MAX];
    int sockets[SETTINGS_LISTENERS_MAX]
               [NODE_LOOPS_MAX]; /* of listeners that are not open yet; -1 */
    char token[256];
};

static struct fresh *fresh_new(void)
{
    struct fresh *f = check_calloc(1, sizeof *f);

    memset(f->sockets, -1, sizeof f->sockets);
    return f;
}

static void fresh_free(struct fresh *f)
{
    for (unsigned i = 0; i < SETTINGS_LISTENERS_MAX; i++)
        for (unsigned k = 0; k < NODE_LOOPS_MAX; k++)
            if (f->sockets[i][k] >= 0) close(f->sockets[i][k]);
    accept_auth_unref(&f->auth);
    mail_content_unref(&f->content);
    certificates_close(&f->certificates);
    deliver_routes_unref(&f->routes);
    logins_close(&f->logins);
    settings_unref(&f->settings);
    settings_unref(&f->file);
    free(f);
}

/* Listeners before number `end` at that address. */
static unsigned listeners_at(const struct settings *s, unsigned end, const char *address)
{
    unsigned n = 0;

    for (unsigned i = 0; i < end; i++)
        n += strcmp(s->listeners[i].address, address) == 0;
    return n;
}

static bool is_open(const struct settings *now, const struct settings *fresh, unsigned number)
{
    const char *address = fresh->listeners[number].address;

    return listeners_at(fresh, number, address) < listeners_at(now, now->listener_count, address);
}

static int fresh_listen(struct node *n, struct fresh *f, struct errmsg *why)
{
    const struct settings *s = f->settings;
    int rv = 0;

    for (unsigned i = 0; rv == 0 && i < s->listener_count; i++) {
        rv = door_of(&s->listeners[i], &f->doors[i], why);
        if (is_open(n->settings, s, i)) continue;
        for (unsigned k = 0; rv == 0 && k < n->loop_count; k++)
            rv = listener_socket(&f->doors[i].at, 0, k == 0, &f->sockets[i][k], why);
    }
    return rv;
}

static int fresh_check(struct node *n, const struct settings *s, struct errmsg *why)
{
    const struct deliver_options o = deliver_options_of(&n->loops[0], s, NULL, NULL);
    struct accept_limits limits;
    int rv = settings_check_change(n->settings, s, why);

    fill_limits(s, &limits);
    if (rv == 0) rv = accept_limits_check(&limits, why);
    if (rv == 0) rv = deliver_options_check(&o, why);
    return rv;
}

static void tell_left_out(unsigned left_out, const struct errmsg *first)
{
    log_event(LOG_ERROR, "control.left_out", LOG_NUM("records", left_out),
              LOG_TEXT("first", first->text),
              LOG_TEXT("help", "this node cannot go by them; is it of an older version?"));
}

/* What a file brings into force: of a node of several, with control's records in the place of its lists. */
static struct settings *in_force(struct node *n, struct settings *file)
{
    struct control *none = NULL;
    struct settings *s;
    struct errmsg why = { "" };
    unsigned left_out;

    if (is_alone(n)) return settings_ref(file);
    if (!n->cluster) none = control_new();
    s = settings_with_records(file, none ? none : cluster_control(n->cluster), &left_out, &why);
    control_free(&none);
    if (left_out > 0) tell_left_out(left_out, &why);
    return s;
}

static void records_seen(struct node *n)
{
    n->records_again = false;
    for (unsigned kind = CONTROL_TENANT; n->cluster && kind < CONTROL_KIND_END; kind++)
        n->records_seen[kind] =
            control_changed(cluster_control(n->cluster), (enum control_kind)kind);
}

/* Lists in the file of which control knows nothing are told: they do nothing. */
static void tell_lists(const struct node *n, const struct settings *file)
{
    struct settings_records lists;
    unsigned missing;

    if (!n->cluster || !control_is_configured(cluster_control(n->cluster))) return;
    settings_records_of(file, &lists);
    missing = settings_records_missing(&lists, cluster_control(n->cluster));
    settings_records_free(&lists);
    if (missing > 0)
        log_event(
            LOG_WARN, "control.file_not_in_force", LOG_NUM("entries", missing),
            LOG_TEXT("file", file->file),
            LOG_TEXT(
                "help",
                "tenants, credentials, routes and content_rules of a cluster are not its nodes' "
                "files'; `angarium cluster import FILE` puts them in"));
}

static int fresh_read(struct node *n, struct fresh *f, struct errmsg *why)
{
    struct buf errors;
    int rv;

    buf_init(&errors, 64u << 10);
    rv = settings_read(&f->file, n->settings->file, &errors);
    if (rv != 0) errmsg_set(why, rv, "%s", buf_cstr(&errors));
    buf_deinit(&errors);
    if (rv == 0) f->settings = in_force(n, f->file);
    if (rv == 0) rv = fresh_check(n, f->settings, why);
    if (rv == 0) rv = make_auth(f->settings, &f->auth, why);
    if (rv == 0) f->content = ops_content_new(f->settings);
    if (rv == 0) rv = read_certificates(n, f->settings, &f->certificates, why);
    if (rv == 0 && n->wire)
        rv = wire_check(n->wire, f->settings->cluster.certificate, f->settings->cluster.key,
                        f->settings->cluster.ca, why);
    if (rv == 0)
        logins_open(&f->logins, f->settings, &(struct logins_before){ &n->logins, n->settings });
    if (rv == 0) rv = open_routes(f->settings, &f->logins, &f->routes, why);
    if (rv == 0 && n->ops)
        rv = read_token(f->settings->http.token_file, f->token, sizeof f->token, why);
    if (rv == 0) rv = fresh_listen(n, f, why); /* the last: somebody may connect from here on */
    return rv;
}

static void push_settings(struct node *n, struct fresh *f)
{
    struct tls *tls = certificates_smtp(&n->certificates);

    n->reloads_away = n->loop_count;
    for (unsigned k = 0; k < n->loop_count; k++) {
        struct reload *r = check_calloc(1, sizeof *r);

        r->auth = accept_auth_ref(f->auth);
        r->content = mail_content_ref(f->content);
        r->tls = tls ? tls_ref(tls) : NULL;
        r->settings = settings_ref(f->settings);
        r->routes = deliver_routes_ref(f->routes);
        r->rules = rules_of(f->settings, &f->logins);
        r->own_count = own_addresses(f->settings, r->own);
        for (unsigned i = 0; i < f->settings->listener_count; i++) {
            r->doors[i] = f->doors[i];
            r->doors[i].socket = f->sockets[i][k];
            f->sockets[i][k] = -1;
        }
        send_reload(r, &n->loops[k]);
    }
}

/* What was in force goes with f. */
static void swap_settings(struct node *n, struct fresh *f)
{
    struct settings *settings = n->settings, *file = n->file;
    struct accept_auth *auth = n->auth;
    struct deliver_routes *routes = n->routes;
    struct logins logins = n->logins;

    n->settings = f->settings;
    n->routes = f->routes;
    n->logins = f->logins;
    n->auth = f->auth;
    f->auth = auth;
    if (f->file) n->file = f->file;
    if (f->file) f->file = file;
    f->settings = settings;
    f->routes = routes;
    f->logins = logins;
}

static void fresh_enforce(struct node *n, struct fresh *f)
{
    struct accept_limits limits;
    const struct commit_limits commit = commit_limits_of(f->settings);

    n->is_records = !f->file;
    raise_file_limit(f->settings);
    fill_limits(f->settings, &limits);
    accept_clients_set_limits(n->clients, &limits);
    commit_set_limits(n->commit, &commit);
    push_settings(n, f);
    log_set_level(least_level(f->settings));
    swap_settings(n, f);
}

static void fresh_apply(struct node *n, struct fresh *f)
{
    certificates_close(&n->certificates);
    n->certificates = f->certificates;
    f->certificates = (struct certificates){ 0 };
    certificates_start(&n->certificates);
    records_seen(n);
    fresh_enforce(n, f);
    reload_wire(n);
    settings_in_force();
    tell_lists(n, n->file);
    if (!n->ops) return;
    ops_reload(n->ops, n->settings, f->token);
    show_certificates(n);
}

static void reload(struct node *n)
{
    struct fresh *f;
    struct errmsg why = { "" };

    if (n->stopping) return;
    n->reload_again = n->reloads_away > 0 || n->is_making;
    if (n->reload_again) return;
    f = fresh_new();
    if (fresh_read(n, f, &why) == 0) {
        fresh_apply(n, f);
    } else {
        metric_add(M_SETTINGS_RELOADS_REFUSED, 1);
        log_event(LOG_ERROR, "node.reload_refused", LOG_TEXT("error", why.text),
                  LOG_TEXT("help", "the settings in force are kept"));
    }
    fresh_free(f);
    if (n->reloads_away == 0 && n->records_again) on_records(n);
}

/* The records of control come into force on this node: as a reload, but that the file and the certificates are as they were, and
 * passwords and routes stay what they are unless something of theirs has changed. There may be thousands of them: what they mean is
 * made on the DISK pool, out of a copy; one at a time, and what changes meanwhile goes together in the next. */
struct making {
    struct loop_work work;
    struct node *node;
    struct fresh *fresh;
    struct settings *file;
    struct buf saved;                /* control's state */
    uint64_t entry, seen[CONTROL_KIND_END]; /* control_applied, control_changed of it */
    bool auth, routes;               /* have changed */
    int rv;
    struct errmsg why;
    unsigned left_out;
    struct errmsg first; /* of those */
};

static struct making *making_new(struct node *n)
{
    const struct control *c = cluster_control(n->cluster);
    struct making *m = check_calloc(1, sizeof *m);

    m->node = n;
    m->fresh = fresh_new();
    m->file = settings_ref(n->file);
    m->entry = control_applied(c);
    buf_init(&m->saved, CONTROL_STATE_SIZE_MAX);
    CHECK(control_save(c, &m->saved) == 0);
    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++) {
        bool is_new;

        m->seen[kind] = control_changed(c, (enum control_kind)kind);
        is_new = m->seen[kind] != n->records_seen[kind];
        m->auth = m->auth || (is_new && (kind <= CONTROL_DOMAIN || kind == CONTROL_SETTING));
        m->routes = m->routes || (is_new && kind == CONTROL_ROUTE);
    }
    return m;
}

static void making_free(struct making *m)
{
    fresh_free(m->fresh);
    settings_unref(&m->file);
    buf_deinit(&m->saved);
    free(m);
}

/* On the pool. */
static void run_making(struct loop_work *w)
{
    struct making *m = CONTAINER_OF(w, struct making, work);
    struct control *c = control_new();

    CHECK(control_load(c, buf_span(&m->saved)) == 0);
    m->fresh->settings = settings_with_records(m->file, c, &m->left_out, &m->first);
    control_free(&c);
    if (m->auth) m->rv = make_auth(m->fresh->settings, &m->fresh->auth, &m->why);
    if (m->rv == 0) m->fresh->content = ops_content_new(m->fresh->settings);
}

/* What belongs to the loop. All listeners are open: only their doors are made. */
static int finish_making(struct node *n, struct making *m)
{
    struct fresh *f = m->fresh;
    int rv = m->rv;

    if (rv == 0) rv = fresh_check(n, f->settings, &m->why);
    if (rv == 0 && !m->auth) f->auth = accept_auth_ref(n->auth);
    if (rv == 0)
        logins_open(&f->logins, f->settings, &(struct logins_before){ &n->logins, n->settings });
    if (rv == 0 && m->routes)
        rv = open_routes(f->settings, &f->logins, &f->routes, &m->why);
    else if (rv == 0)
        f->routes = deliver_routes_ref(n->routes);
    return rv == 0 ? fresh_listen(n, f, &m->why) : rv;
}

static void enforce_making(struct node *n, struct making *m)
{
    if (m->left_out > 0) tell_left_out(m->left_out, &m->first);
    if (finish_making(n, m) == 0) {
        memcpy(n->records_seen, m->seen, sizeof n->records_seen);
        n->records_entry = m->entry;
        fresh_enforce(n, m->fresh);
        if (n->ops) ops_reload(n->ops, n->settings, NULL);
        return;
    }
    metric_add(M_CONTROL_CHANGES_REFUSED, 1);
    log_event(LOG_ERROR, "control.refused", LOG_TEXT("error", m->why.text),
              LOG_TEXT("help", "what was in force on this node is kept"));
}

static void on_made(struct loop_work *w)
{
    struct making *m = CONTAINER_OF(w, struct making, work);
    struct node *n = m->node;

    n->is_making = false;
    if (!n->stopping) enforce_making(n, m);
    making_free(m);
    if (n->reloads_away == 0) go_on(n); /* it was refused */
}

static void on_records(void *arg)
{
    struct node *n = arg;
    struct making *m;

    if (n->stopping || !n->cluster || !control_is_configured(cluster_control(n->cluster))) return;
    n->records_again = n->reloads_away > 0 || n->is_making;
    if (n->records_again) return;
    m = making_new(n);
    m->work.run = run_making;
    m->work.on_done = on_made;
    n->is_making = loop_work(n->loops[0].loop, LOOP_POOL_DISK, &m->work) == 0;
    if (n->is_making) return;
    run_making(&m->work); /* the pool is full */
    on_made(&m->work);
}

/* Those that this node knew when it stopped: before the loops run, so that nobody is answered without them. */
static void begin_records(struct node *n)
{
    if (control_is_configured(cluster_control(n->cluster))) {
        struct making *m = making_new(n);

        run_making(&m->work);
        enforce_making(n, m);
        making_free(m);
    }
    tell_lists(n, n->file);
}

/* What came meanwhile. */
static void go_on(struct node *n)
{
    if (n->reload_again)
        reload(n);
    else if (n->records_again)
        on_records(n);
}

static void tell_records(const struct node *n)
{
    const struct control *c = cluster_control(n->cluster);

    metric_add(M_CONTROL_CHANGES, 1);
    log_event(LOG_INFO, "control.in_force", LOG_NUM("entry", n->records_entry),
              LOG_NUM("tenants", control_record_count(c, CONTROL_TENANT)),
              LOG_NUM("credentials", control_record_count(c, CONTROL_CREDENTIAL)),
              LOG_NUM("domains", control_record_count(c, CONTROL_DOMAIN)),
              LOG_NUM("routes", control_record_count(c, CONTROL_ROUTE)),
              LOG_NUM("rules", control_record_count(c, CONTROL_RULE)));
}

static void tell_reload(const struct node *n)
{
    metric_add(M_SETTINGS_RELOADS, 1);
    log_event(LOG_INFO, "node.reloaded", LOG_TEXT("file", n->settings->file));
}

static void on_reload_back(struct loop_letter *letter)
{
    struct reload *r = CONTAINER_OF(letter, struct reload, letter);
    struct node *n = r->to->node;

    free(r);
    if (--n->reloads_away > 0) return;
    if (n->is_records)
        tell_records(n);
    else
        tell_reload(n);
    go_on(n);
}

static void on_signal(void *arg, int signum)
{
    if (signum == SIGHUP)
        reload(arg);
    else
        begin_stop(arg, signum);
}

/* ---- run */

static void *run_loop(void *arg)
{
    struct node_loop *l = arg;

    loop_run(l->loop);
    return NULL;
}

static int run_loops(struct node *n, struct errmsg *why)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        int rv = loop_on_signal(n->loops[0].loop, signals[i], on_signal, n);

        if (rv != 0) return errmsg_set(why, rv, "cannot watch signal %d", signals[i]);
    }
    for (unsigned i = 1; i < n->loop_count; i++)
        if (pthread_create(&n->loops[i].thread, NULL, run_loop, &n->loops[i]) != 0)
            return errmsg_set(why, ERR_IO, "cannot start the thread of loop %u", i);
    loop_run(n->loops[0].loop);
    for (unsigned i = 1; i < n->loop_count; i++)
        pthread_join(n->loops[i].thread, NULL);
    return 0;
}

/* The loops have stopped, their threads are gone. First the pools' work comes back (reads, moves and flushes use
 * the stores), then the rooms go, upper ones first. */
static void take_down(struct node *n)
{
    logins_stop(&n->logins);
    if (n->peers) peers_stop(n->peers);
    for (unsigned i = 0; i < n->loop_count; i++)
        loop_settle(n->loops[i].loop);
    for (unsigned i = 0; i < n->loop_count; i++)
        loop_turn(n->loops[i].loop, 0); /* letters of the last works to other loops */
    ops_close(&n->ops);
    certificates_close(&n->certificates);
    for (unsigned i = 0; i < n->loop_count; i++) {
        struct node_loop *l = &n->loops[i];

        accept_free(&l->accept);
        deliver_free(&l->deliver);
        emit_free(&l->emit);
        dns_close(&l->dns);
    }
    wire_close(&n->wire);
    cluster_close(&n->cluster);
    commit_close(&n->commit);
    peers_free(&n->peers); /* those above have answered whom they were asked by */
    raft_close(&n->raft);
    queue_store_close(&n->store);
    for (unsigned i = 0; i < n->loop_count; i++)
        loop_free(&n->loops[i].loop);
    tls_unref(&n->client_tls);
    deliver_routes_unref(&n->routes);
    logins_close(&n->logins);
    tls_tickets_unref(&n->tickets);
    accept_auth_unref(&n->auth);
    mail_content_unref(&n->content);
    accept_clients_unref(&n->clients);
}

int node_run(const char *settings_file)
{
    struct node *n = check_calloc(1, sizeof *n);
    struct errmsg why = { "" };
    struct buf errors;
    int rv;

    check_explain_aborts();
    buf_init(&errors, 64u << 10);
    rv = settings_read(&n->settings, settings_file, &errors);
    if (rv != 0) {
        fprintf(stderr, "%s", buf_cstr(&errors));
        buf_deinit(&errors);
        free(n);
        return CLI_FAILED;
    }
    buf_deinit(&errors);
    n->file = n->settings;
    n->settings = in_force(n, n->file);
    if (!is_alone(n)) settings_records_of(n->file, &n->own);
    n->begun = settings_ref(n->settings);
    open_log(n->settings);
    raise_file_limit(n->settings);
    log_event(LOG_INFO, "node.starting", LOG_TEXT("version", ANGARIUM_VERSION),
              LOG_TEXT("hostname", n->settings->node.hostname),
              LOG_TEXT("data_dir", n->settings->node.data_dir));
    rv = start(n, &why);
    if (rv == 0) {
        log_event(LOG_INFO, "node.started", LOG_NUM("loops", n->loop_count),
                  LOG_NUM("shards", n->identity.shards));
        rv = run_loops(n, &why);
    }
    if (rv != 0) {
        log_event(LOG_ERROR, "node.failed", LOG_TEXT("error", why.text));
        log_close();
        fprintf(stderr, "angarium node: %s\n", why.text);
        _exit(
            CLI_FAILED); /* half-built rooms and running threads: the kernel takes them down best */
    }
    take_down(n);
    log_event(LOG_INFO, "node.stopped", LOG_SKIP);
    log_close();
    settings_unref(&n->settings);
    settings_unref(&n->begun);
    settings_unref(&n->file);
    settings_records_free(&n->own);
    free(n);
    return CLI_DONE;
}
