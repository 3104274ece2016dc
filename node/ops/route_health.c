/* route_health - /livez, /readyz, /startupz: for those who decide whether to restart us or to send
 * us mail.
 *
 * livez: the loop turns, nothing else; a restart would not cure anything else. readyz: mail that
 * comes now can be committed. startupz: it could once. ?verbose tells every check, one a line.
 */
#include <stdio.h>

#include "node/ops/inside.h"

struct check {
    const char *name;
    bool ok;
    char why[160];
};

static void answer(struct call *c, const char *what, const struct check *checks, unsigned count)
{
    char unused[4];
    bool verbose = http_query(c->request, "verbose", unused, sizeof unused), ok = true;
    struct buf text;

    buf_init(&text, 8192);
    for (unsigned i = 0; i < count; i++) {
        ok = ok && checks[i].ok;
        if (!verbose && checks[i].ok) continue;
        if (checks[i].ok)
            buf_addf(&text, "[+]%s ok\n", checks[i].name);
        else
            buf_addf(&text, "[-]%s failed: %s\n", checks[i].name, checks[i].why);
    }
    if (verbose || !ok)
        buf_addf(&text, "%s %s\n", what, ok ? "check passed" : "check failed");
    else
        buf_add_cstr(&text, "ok\n");
    call_answer_text(c, ok ? 200 : 503, "text/plain; charset=utf-8", buf_span(&text));
    buf_deinit(&text);
}

static struct check shards_check(struct ops *ops)
{
    struct check check = { .name = "shards" };

    check.ok = commit_is_ready(ops->o.commit, check.why, sizeof check.why);
    if (check.ok) ops->was_ready = true;
    return check;
}

/* Tenants and domains are the cluster's: before they have come, everybody would be refused. */
static struct check records_check(const struct ops *ops)
{
    struct check check = { .name = "records" };

    check.ok = ops->o.cluster && control_is_configured(cluster_control(ops->o.cluster));
    snprintf(check.why, sizeof check.why, "the records of the cluster have not come yet");
    return check;
}

static struct check member_check(const struct ops *ops)
{
    struct check check = { .name = "member", .ok = true };

    if (ops->o.cluster) check.ok = !cluster_is_removed(ops->o.cluster);
    snprintf(check.why, sizeof check.why, "this node was removed from the cluster: stop it, its data can go");
    return check;
}

void route_livez(struct call *c)
{
    struct check checks[] = { { .name = "loop", .ok = true } };

    answer(c, "livez", checks, 1);
}

void route_startupz(struct call *c)
{
    struct check checks[] = { shards_check(c->ops) };

    if (c->ops->was_ready) checks[0].ok = true;
    answer(c, "startupz", checks, 1);
}

void route_readyz(struct call *c)
{
    struct ops *ops = c->ops;
    struct check checks[] = {
        shards_check(ops), { .name = "serving" }, { .name = "room" }, records_check(ops),
        member_check(ops)
    };
    int rv = commit_may_take(ops->o.commit, 0);

    checks[1].ok = !ops->draining;
    snprintf(checks[1].why, sizeof checks[1].why, "the node is shutting down");
    checks[2].ok = rv != ERR_FULL;
    snprintf(checks[2].why, sizeof checks[2].why, "the queue or the disk has reached its reserve");
    answer(c, "readyz", checks, ops->o.cluster ? 5 : 3);
}
