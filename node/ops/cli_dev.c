/* cli_dev - angarium dev: a cluster on this machine, for trying and for tests.
 *
 * Foreground: the nodes are our children, Ctrl-C stops them. --detach: they go on without us. In
 * both cases DIR/cluster.json says what runs where, and stop, kill and start find the nodes by it.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"

#define DEFAULT_DIR       "./angarium-dev"
#define DEFAULT_BASE_PORT 12500
#define DEFAULT_NODES     3

struct dev_args {
    const char *dir, *nodes, *regions, *zones, *base_port, *next_hop, *resolver, *mx_port, *node, *signal,
        *spread;
    const char *sets[CLI_LIST_MAX];
    unsigned set_count;
    bool detach;
    const char *word;
};

/* ---- what was asked for */

static int keep_text(char *to, size_t size, const char *option, const char *from)
{
    if (strlen(from) >= size) return cli_fail(CLI_USAGE, "--%s: too long", option);
    snprintf(to, size, "%s", from);
    return 0;
}

static int take_route(struct cli_dev *d, const struct dev_args *a)
{
    int rv = 0;

    if (a->next_hop && a->resolver)
        return cli_usage(
            "dev", "--next-hop and --resolver exclude each other: relay to one server, or by MX");
    d->route_given = a->next_hop || a->resolver;
    if (d->route_given) d->next_hop[0] = d->resolver[0] = '\0';
    if (a->next_hop) rv = keep_text(d->next_hop, sizeof d->next_hop, "next-hop", a->next_hop);
    if (a->resolver) rv = keep_text(d->resolver, sizeof d->resolver, "resolver", a->resolver);
    if (rv == 0 && a->mx_port) rv = cli_number("mx-port", a->mx_port, 1, 65535, &d->mx_port);
    return rv;
}

static int take_sets(struct cli_dev *d, const struct dev_args *a)
{
    if (a->set_count > 0) d->set_count = 0;
    for (unsigned i = 0; i < a->set_count; i++) {
        const char *dot = strchr(a->sets[i], '.'), *equals = strchr(a->sets[i], '=');

        if (!dot || !equals || dot > equals)
            return cli_usage("dev", "--set %s: write it as --set delivery.retry_base_ms=1s",
                             a->sets[i]);
        if (keep_text(d->sets[d->set_count++], sizeof d->sets[0], "set", a->sets[i]) != 0)
            return CLI_USAGE;
    }
    return 0;
}

static int take_counts(struct cli_dev *d, const struct dev_args *a)
{
    uint64_t nodes = d->nodes ? d->nodes : DEFAULT_NODES, regions = d->regions ? d->regions : 1;
    uint64_t zones = d->zones;
    int rv = 0;

    if (a->nodes) rv = cli_number("nodes", a->nodes, 1, CLI_DEV_NODES_MAX, &nodes);
    if (rv == 0 && a->regions) rv = cli_number("regions", a->regions, 1, 9, &regions);
    if (rv == 0 && a->zones) rv = cli_number("zones", a->zones, 1, 9, &zones);
    if (rv != 0) return rv;
    if (regions > nodes)
        return cli_usage("dev", "there are more --regions than --nodes");
    if (zones > nodes / regions)
        return cli_usage("dev", "there are more --zones in a region than nodes");
    if (d->regions != 0 && d->regions != regions)
        return cli_fail(CLI_REFUSED, "the cluster in %s has %" PRIu64 " regions", d->dir, d->regions);
    if (d->regions != 0 && d->zones != zones)
        return cli_fail(CLI_REFUSED, "the cluster in %s has other zones", d->dir);
    if (a->spread && strcmp(a->spread, "zone") != 0 && strcmp(a->spread, "region") != 0)
        return cli_usage("dev", "--spread: zone or region?");
    if (a->spread) snprintf(d->spread, sizeof d->spread, "%s", a->spread);
    d->regions = regions;
    d->zones = zones;
    if (d->nodes != 0 && d->nodes != nodes)
        return cli_fail(CLI_REFUSED, "the cluster in %s has %" PRIu64 " nodes", d->dir, d->nodes);
    d->nodes = nodes;
    return 0;
}

static int take_args(struct cli_dev *d, const struct dev_args *a)
{
    int rv = take_counts(d, a);

    if (rv == 0 && a->base_port)
        rv = cli_number("base-port", a->base_port, 1024, 65535 - 10 * CLI_DEV_NODES_MAX,
                        &d->base_port);
    if (rv == 0) rv = take_route(d, a);
    if (rv == 0) rv = take_sets(d, a);
    return rv;
}

static int take_node(struct cli_dev *d, const struct dev_args *a)
{
    uint64_t n = 0;

    if (!a->node) return cli_usage("dev", "which node? --node 1");
    if (cli_number("node", a->node, 1, 99, &n) != 0) return CLI_USAGE;
    if (n > d->nodes)
        return cli_fail(CLI_NOT_FOUND, "there is no node %" PRIu64 "; this cluster has %" PRIu64, n,
                        d->nodes);
    cli_dev_select(d, (unsigned)n);
    return 0;
}

static int find_cluster(struct cli_dev *d, const struct dev_args *a)
{
    struct errmsg why = { "" };
    const char *dir = a->dir ? a->dir : DEFAULT_DIR;
    int rv = cli_dev_read_cluster(d, dir, &why);

    if (rv == 0) return 0;
    return cli_fail(CLI_NOT_FOUND, "%s; is %s the directory of a dev cluster?", why.text, dir);
}

/* ---- running */

static void print_summary(const struct cli_dev *d, bool detached)
{
    printf("angarium is ready: %" PRIu64 " node%s in %s; the first one:\n"
           "\n"
           "  submission   %-18s STARTTLS, then AUTH\n"
           "  submissions  %-18s TLS from the first byte\n"
           "  MX service   %-18s mail for example.test\n"
           "  HTTP API     http://%s/api/v1\n"
           "\n"
           "  user %s, password in %s/password, API token in %s/api.token, CA in %s\n"
           "  mail goes to %s%s\n"
           "\n"
           "Send one:\n"
           "  swaks --server %s --tls --tls-ca-path %s --auth PLAIN --auth-user %s \\\n"
           "        --auth-password \"$(cat %s/password)\" --from me@example.test --to "
           "you@example.org\n"
           "See it:\n"
           "  angarium queue --dir %s\n"
           "%s%s%s",
           d->nodes, d->nodes > 1 ? "s" : "", d->dir, d->node.ports[0], d->node.ports[1],
           d->node.ports[3], d->node.ports[2], d->username, d->dir, d->dir, d->ca_file,
           d->next_hop[0]   ? d->next_hop
           : d->resolver[0] ? "its MX, asked at "
                            : "the built-in inbox (angarium message ID --body)",
           d->next_hop[0] ? "" : d->resolver, d->node.ports[0], d->ca_file, d->username, d->dir,
           d->dir, detached ? "Stop it:\n  angarium dev stop --dir " : "Ctrl-C stops it.\n",
           detached ? d->dir : "", detached ? "\n" : "");
    fflush(stdout);
}

/* True when the child has ended as it was asked to; says so when it ended otherwise. */
static bool child_ended(const struct cli_dev *d)
{
    int status = 0;

    if (waitpid(d->node.pid, &status, WNOHANG) != d->node.pid) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFSIGNALED(status))
        fprintf(stderr, "angarium: node %u was ended by signal %d\n", d->node.id, WTERMSIG(status));
    else
        fprintf(stderr, "angarium: node %u ended with %d; see %s\n", d->node.id,
                WEXITSTATUS(status), d->node.log_file);
    fprintf(stderr,
            "angarium: start it again: angarium dev start --dir %s --node %u; Ctrl-C ends this\n",
            d->dir, d->node.id);
    return false;
}

/* All of them, as far as they are our children. */
static bool children_ended(struct cli_dev *d)
{
    unsigned ended = 0;

    for (unsigned i = 1; i <= d->nodes; i++) {
        cli_dev_select(d, i);
        ended += child_ended(d) || (d->nodes > 1 && !cli_dev_is_running(d) && ended == i - 1);
    }
    return ended == d->nodes;
}

static int stay_in_front(struct cli_dev *d)
{
    for (;;) {
        int signum = cli_dev_wait_signal(1000);
        struct errmsg why = { "" };

        if (children_ended(d)) return CLI_DONE;
        if (signum != SIGINT && signum != SIGTERM) continue;
        fprintf(stderr, "angarium: stopping\n");
        if (cli_dev_read_cluster(d, d->dir, &why) != 0) fprintf(stderr, "angarium: %s\n", why.text);
        return cli_dev_stop(d);
    }
}

static int spawn(struct cli_dev *d, bool detached)
{
    struct errmsg why = { "" };

    if (cli_dev_spawn(d, detached, &why) == 0) return CLI_DONE;
    return cli_fail(CLI_FAILED, "%s", why.text);
}

/* Those that were there before start together, for only together they can commit; the others are let in one after the other. */
static int spawn_all(struct cli_dev *d, bool detached)
{
    bool is_new[CLI_DEV_NODES_MAX + 1] = { false };
    struct errmsg why = { "" };
    int rv = CLI_DONE;

    if (d->nodes > 1 && cli_dev_begin(d, &why) != 0) return cli_fail(CLI_FAILED, "%s", why.text);
    for (unsigned i = 1; rv == CLI_DONE && i <= d->nodes; i++) {
        cli_dev_select(d, i);
        is_new[i] = !cli_dev_has_joined(d);
        if (!is_new[i]) rv = spawn(d, detached);
    }
    for (unsigned i = 1; rv == CLI_DONE && i <= d->nodes; i++) {
        if (!is_new[i]) continue;
        cli_dev_select(d, 1);
        rv = cli_dev_wait_ready(d);
        cli_dev_select(d, i);
        if (rv == CLI_DONE) rv = cli_dev_let_in(d);
        if (rv == CLI_DONE) rv = spawn(d, detached);
    }
    return rv;
}

/* Starts the nodes and waits until they can commit; cluster.json then says where they are. */
static int bring_up(struct cli_dev *d, bool detached)
{
    struct errmsg why = { "" };
    int rv = spawn_all(d, detached);

    for (unsigned i = 1; rv == CLI_DONE && i <= d->nodes; i++) {
        cli_dev_select(d, i);
        rv = cli_dev_wait_ready(d);
    }
    if (rv == CLI_DONE && d->nodes > 1 && d->is_known && d->route_given) rv = cli_dev_put_route(d);
    if (rv == CLI_DONE && d->nodes > 1 && !d->is_known) rv = cli_dev_wait_settled(d);
    if (rv == CLI_DONE && cli_dev_write_cluster(d, &why) != 0)
        rv = cli_fail(CLI_FAILED, "%s", why.text);
    if (rv != CLI_DONE) cli_dev_stop(d);
    cli_dev_select(d, 1);
    return rv;
}

static int run_cluster(const struct dev_args *a)
{
    struct cli_dev *d = check_calloc(1, sizeof *d);
    struct errmsg why = { "" };
    const char *dir = a->dir ? a->dir : DEFAULT_DIR;
    int rv = CLI_DONE;

    d->base_port = DEFAULT_BASE_PORT;
    d->mx_port = 25;
    if (strlen(dir) >= sizeof d->dir) rv = cli_fail(CLI_USAGE, "--dir: too long");
    if (rv == CLI_DONE) snprintf(d->dir, sizeof d->dir, "%s", dir);
    if (rv == CLI_DONE) {
        int err = cli_dev_recall(d, &why);

        if (err != 0 && err != ERR_NOT_FOUND) rv = cli_fail(CLI_FAILED, "%s", why.text);
    }
    if (rv == CLI_DONE) rv = take_args(d, a);
    if (rv == CLI_DONE && cli_dev_runs(d))
        rv = cli_fail(CLI_REFUSED,
                      "this cluster runs already (pid %d); stop it: angarium dev stop --dir %s",
                      (int)d->node.pid, d->dir);
    if (rv == CLI_DONE && cli_dev_prepare(d, &why) != 0) rv = cli_fail(CLI_FAILED, "%s", why.text);
    cli_dev_block_signals();
    if (rv == CLI_DONE) rv = bring_up(d, a->detach);
    if (rv == CLI_DONE) print_summary(d, a->detach);
    if (rv == CLI_DONE && !a->detach) rv = stay_in_front(d);
    free(d);
    return rv;
}

/* ---- stop, kill, start */

static int stop_cluster(struct cli_dev *d, const struct dev_args *a)
{
    int rv = find_cluster(d, a);

    if (rv != 0) return rv;
    if (!cli_dev_runs(d)) {
        fprintf(stderr, "angarium: nothing runs in %s\n", d->dir);
        return CLI_DONE;
    }
    return cli_dev_stop(d);
}

static int kill_node(struct cli_dev *d, const struct dev_args *a)
{
    int signum = cli_dev_signal_number(a->signal ? a->signal : "KILL");
    int rv = find_cluster(d, a);

    if (rv == 0) rv = take_node(d, a);
    if (rv != 0) return rv;
    if (signum < 0) return cli_usage("dev", "there is no signal %s", a->signal);
    if (!cli_dev_is_running(d))
        return cli_fail(CLI_NOT_FOUND, "node %u of %s does not run", d->node.id, d->dir);
    if (kill(d->node.pid, signum) != 0)
        return cli_fail(CLI_FAILED, "node %u (pid %d): %s", d->node.id, (int)d->node.pid,
                        strerror(errno));
    for (unsigned i = 0; signum == SIGKILL && i < 200 && cli_dev_is_running(d); i++)
        cli_dev_wait_signal(25);
    fprintf(stderr, "angarium: node %u (pid %d) was sent signal %d\n", d->node.id, (int)d->node.pid,
            signum);
    return CLI_DONE;
}

static int start_node(struct cli_dev *d, const struct dev_args *a)
{
    struct errmsg why = { "" };
    int rv = find_cluster(d, a);

    if (rv == 0) rv = take_node(d, a);
    if (rv != 0) return rv;
    if (cli_dev_is_running(d))
        return cli_fail(CLI_REFUSED, "node %u of %s runs already (pid %d)", d->node.id, d->dir,
                        (int)d->node.pid);
    rv = spawn(d, true);
    if (rv == CLI_DONE && cli_dev_write_cluster(d, &why) != 0)
        rv = cli_fail(CLI_FAILED, "%s", why.text);
    if (rv == CLI_DONE) rv = cli_dev_wait_ready(d);
    if (rv == CLI_DONE)
        fprintf(stderr, "angarium: node %u is ready (pid %d)\n", d->node.id, (int)d->node.pid);
    return rv;
}

static int run_action(const struct dev_args *a)
{
    static const struct {
        const char *word;
        int (*run)(struct cli_dev *d, const struct dev_args *a);
    } actions[] = { { "stop", stop_cluster }, { "kill", kill_node }, { "start", start_node } };
    struct cli_dev *d;
    int rv = CLI_USAGE;

    for (unsigned i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].word, a->word) != 0) continue;
        d = check_calloc(1, sizeof *d);
        cli_dev_block_signals();
        rv = actions[i].run(d, a);
        free(d);
        return rv;
    }
    return cli_usage("dev", "\"%s\" is none of: stop, kill, start", a->word);
}

static int run(int argc, char **argv)
{
    struct dev_args a = { 0 };
    unsigned words = 0;
    const struct cli_option options[] = {
        { .name = "dir", .text = &a.dir },
        { .name = "nodes", .text = &a.nodes },
        { .name = "regions", .text = &a.regions },
        { .name = "zones", .text = &a.zones },
        { .name = "spread", .text = &a.spread },
        { .name = "base-port", .text = &a.base_port },
        { .name = "next-hop", .text = &a.next_hop },
        { .name = "resolver", .text = &a.resolver },
        { .name = "mx-port", .text = &a.mx_port },
        { .name = "node", .text = &a.node },
        { .name = "signal", .text = &a.signal },
        { .name = "detach", .flag = &a.detach },
        { .name = "set", .list = a.sets, .list_count = &a.set_count, .list_max = CLI_LIST_MAX },
    };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], &a.word, 1, &words);

    if (rv != 0) return rv;
    return words == 1 ? run_action(&a) : run_cluster(&a);
}

const struct cli_verb cli_verb_dev = {
    .name = "dev",
    .usage =
        "[--nodes 3] [--regions 1] [--zones N] [--spread zone] [--dir DIR] [--base-port 12500] [--next-hop HOST:PORT | "
        "--resolver HOST:PORT] [--detach]\n"
        "       angarium dev stop --dir DIR | dev kill --dir DIR --node 1 [--signal KILL] | dev "
        "start --dir DIR "
        "--node 1",
    .line = "run a whole cluster on this machine, for trying and testing",
    .help = "Makes a directory with a CA, certificates, a tenant `demo` with the domain "
            "example.test, a user with a\n"
            "password and an API token, and runs the cluster. DIR/cluster.json tells it all to "
            "programs; it is written\n"
            "when the cluster can commit. The data stays; the same command starts the same cluster "
            "again.\n"
            "\n"
            "  --dir DIR            where everything is kept (./angarium-dev)\n"
            "  --nodes N            nodes, at most 15 (3)\n"
            "  --regions N          regions; node 1 is in region-1, node 2 in region-2 and so on, round robin (1)\n"
            "  --zones N            zones of each region, its nodes round robin (each node one of its own)\n"
            "  --spread WHERE       where a shard's voters are: over zones of one region, or over regions (zone)\n"
            "  --base-port P        first port of node 1, of node 2 P+10: P submission, P+1 "
            "submissions, P+2 HTTP, "
            "P+3 MX service,\n"
            "                       P+4 peers and P+5 sandbox, which is kept free (12500)\n"
            "  --next-hop HOST:PORT relay everything to that SMTP server, in clear\n"
            "  --resolver HOST:PORT real routing by MX, asking that DNS server\n"
            "  --mx-port P          port of mail exchangers with --resolver, for tests (25)\n"
            "  --set KEY=VALUE      one setting of the node, for tests: delivery.retry_base_ms=1s; "
            "several times\n"
            "  --detach             leave it running, return 0 when it is ready\n"
            "Without --next-hop and --resolver all mail goes to the built-in inbox: angarium "
            "message ID --body.\n"
            "\n"
            "  stop   stops the cluster: SIGTERM, and SIGKILL after 15 s\n"
            "  kill   sends a signal to one node (KILL)\n"
            "  start  starts one node again\n"
            "\n"
            "Examples:\n"
            "  angarium dev\n"
            "  angarium dev --dir /tmp/a --base-port 14000 --next-hop 127.0.0.1:2525 --detach\n"
            "  angarium dev kill --dir /tmp/a --node 1; angarium dev start --dir /tmp/a --node 1\n"
            "  angarium dev stop --dir /tmp/a\n",
    .run = run,
};
