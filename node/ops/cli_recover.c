/* cli_recover - angarium recover: a quorum is lost for good; the nodes that are left go on with what they have.
 *
 * Way:   the directories of all nodes that are left, stopped -> for each group, control first, the newest log of those (last term,
 *        last index) -> what may be missing is told -> only with --yes-data-may-be-lost: DATA/cluster of each names the lost
 *        ones, which are not talked to again; the newest log of each group goes on with those that are left, in a new era
 *        (raft_offline_recover); the log of control says that the lost ones are gone and who votes in the shards.
 * Rules: every voter is either given or named lost, so that nobody who is alive and away can be outvoted. A group that lost a
 *        voter and has a quorum is treated alike: who is left, all of it here and at rest, is that quorum.
 * Again: an interrupted run is repeated with the same words; groups that are through are left as they are.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/ops/cli_backup.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

#define DIRS_MAX  16
#define PATH_SIZE 4200

struct survivor {
    const char *dir;
    struct cluster_self self;
    struct raft_offline *log;
    struct queue_store *state;
    bool tainted;
};

enum verdict { FITS, RECOVERS, IS_LOST };
static const char *const verdicts[] = { "complete", "recovers", "LOST" };

/* What becomes of a group. */
struct plan {
    uint32_t group;
    enum verdict verdict;
    bool had_quorum, is_stated; /* is_stated: control is told of its voters */
    unsigned chosen;            /* of the survivors; of a group that is lost: none */
    struct core_config config;  /* that it goes on with */
    struct core_pos last[DIRS_MAX]; /* of each survivor; index 0: it has none of it */
    uint64_t applied, term;
};

struct recover {
    struct survivor list[DIRS_MAX];
    unsigned count;
    uint64_t lost[CONTROL_NODES_MAX];
    unsigned lost_count;
    bool dry_run, yes, json;
    struct control *control;
    struct plan *plans; /* control, then shards */
    unsigned plan_count;
};

static bool is_among(const uint64_t *list, unsigned count, uint64_t node)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == node) return true;
    return false;
}

static bool is_lost(const struct recover *r, uint64_t node)
{
    return is_among(r->lost, r->lost_count, node);
}

static bool is_given(const struct recover *r, uint64_t node)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->list[i].self.node == node) return true;
    return false;
}

/* ---- what is there */

static int take_lost(struct recover *r, const char *text)
{
    while (text && *text) {
        size_t n = strcspn(text, ",");
        uint64_t node = 0;

        if (span_u64(span_of(text, n), UINT64_MAX, &node) != 0 || node == 0 ||
            r->lost_count == CONTROL_NODES_MAX)
            return cli_usage("recover", "--lost: numbers of nodes, like 2,3");
        r->lost[r->lost_count++] = node;
        text += n + (text[n] == ',');
    }
    if (r->lost_count > 0) return CLI_DONE;
    return cli_usage("recover", "--lost: which nodes are lost for good?");
}

static int open_one(struct recover *r, struct survivor *s)
{
    struct errmsg why = { "" };
    char path[PATH_SIZE];
    int rv = cluster_self_read(s->dir, &s->self, &why);

    if (rv != 0) return cli_fail(rv == ERR_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "%s", why.text);
    if (memcmp(s->self.cluster, r->list[0].self.cluster, sizeof s->self.cluster) != 0)
        return cli_fail(CLI_REFUSED, "%s: is of another cluster than %s", s->dir, r->list[0].dir);
    if (is_lost(r, s->self.node))
        return cli_fail(CLI_REFUSED, "%s: is of node %" PRIu64 ", which is named lost", s->dir,
                        s->self.node);
    snprintf(path, sizeof path, "%s/log", s->dir);
    if (access(path, F_OK) != 0) return cli_fail(CLI_NOT_FOUND, "%s: is not there", path);
    rv = raft_offline_open(&s->log, path, &s->tainted, &why);
    snprintf(path, sizeof path, "%s/state", s->dir);
    if (rv == 0) rv = queue_store_open(&s->state, path, &why);
    if (rv == 0) return CLI_DONE;
    return cli_fail(rv == ERR_BUSY ? CLI_REFUSED : CLI_FAILED, "%s%s", why.text,
                    rv == ERR_BUSY ? ": stop the node first" : "");
}

static int open_all(struct recover *r)
{
    int rv = CLI_DONE;

    for (unsigned i = 0; rv == CLI_DONE && i < r->count; i++) {
        rv = open_one(r, &r->list[i]);
        for (unsigned k = 0; rv == CLI_DONE && k < i; k++)
            if (r->list[k].self.node == r->list[i].self.node)
                rv = cli_fail(CLI_REFUSED, "%s and %s are of the same node", r->list[k].dir,
                              r->list[i].dir);
    }
    return rv;
}

static void close_all(struct recover *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        queue_store_close(&r->list[i].state);
        raft_offline_close(&r->list[i].log);
    }
}

/* ---- a group */

static bool is_newer(struct core_pos a, struct core_pos b)
{
    return a.term > b.term || (a.term == b.term && a.index > b.index);
}

static bool is_voter(const struct core_config *c, uint64_t node)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->members[i].node == node)
            return (c->members[i].flags & (CORE_VOTES_NEW | CORE_VOTES_OLD)) != 0;
    return false;
}

/* Its configuration, or that which its log was opened with. */
static int see(struct recover *r, unsigned i, uint32_t group, struct raft_offline_view *v)
{
    struct errmsg why = { "" };

    if (raft_offline_see(r->list[i].log, group, v, &why) == 0) return CLI_DONE;
    return cli_fail(CLI_FAILED, "%s: %s", r->list[i].dir, why.text);
}

/* The newest log, of voters first; UINT_MAX: nobody has any. */
static int choose(struct recover *r, struct plan *p, struct core_config *out)
{
    bool votes = false;
    int rv = CLI_DONE;

    p->chosen = DIRS_MAX;
    for (unsigned i = 0; rv == CLI_DONE && i < r->count; i++) {
        struct raft_offline_view v;
        bool is_better;

        rv = see(r, i, p->group, &v);
        if (rv != CLI_DONE || !v.known || v.config.count == 0) continue;
        if (v.tainted || r->list[i].tainted || v.installing)
            return cli_fail(CLI_REFUSED,
                            v.installing
                                ? "%s: group %" PRIu32 " was being installed: start the node once"
                                : "%s: group %" PRIu32 " has lost synced data: it cannot be relied "
                                  "upon; restore a backup",
                            r->list[i].dir, p->group);
        p->last[i] = v.last;
        if (v.hard.term > p->term) p->term = v.hard.term;
        if (v.last.term > p->term) p->term = v.last.term;
        is_better = p->chosen == DIRS_MAX || is_newer(v.last, p->last[p->chosen]);
        if (p->chosen < DIRS_MAX && votes != is_voter(&v.config, r->list[i].self.node))
            is_better = !votes;
        if (!is_better) continue;
        p->chosen = i;
        votes = is_voter(&v.config, r->list[i].self.node);
        *out = v.config;
    }
    return rv;
}

static bool has_quorum(const struct recover *r, const struct core_config *c, unsigned flag)
{
    unsigned n = 0, left = 0;

    for (unsigned i = 0; i < c->count; i++) {
        if (!(c->members[i].flags & flag)) continue;
        n++;
        left += !is_lost(r, c->members[i].node);
    }
    return n == 0 || left > n / 2;
}

/* Those that are left: voters; if there are none, those that learn. */
static void keep_left(const struct recover *r, const struct core_config *was,
                      struct core_config *out)
{
    bool any = false;

    for (unsigned i = 0; i < was->count; i++)
        any = any || (is_voter(was, was->members[i].node) && !is_lost(r, was->members[i].node));
    *out = *was;
    out->count = 0;
    out->joint = false;
    for (unsigned i = 0; i < was->count; i++) {
        struct core_member m = was->members[i];

        if (is_lost(r, m.node) || !is_given(r, m.node)) continue;
        m.flags = any && !is_voter(was, m.node) ? CORE_LEARNS : CORE_VOTES_NEW;
        out->members[out->count++] = m;
    }
}

static bool has_lost(const struct recover *r, const struct core_config *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (is_lost(r, c->members[i].node)) return true;
    return false;
}

static int check_members(const struct recover *r, const struct plan *p, const struct core_config *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        uint64_t node = c->members[i].node;

        if (is_lost(r, node) || is_given(r, node)) continue;
        return cli_fail(CLI_REFUSED,
                        "node %" PRIu64 " is a member of group %" PRIu32
                        ": give its directory, too, or name it lost",
                        node, p->group);
    }
    return CLI_DONE;
}

static int plan_group(struct recover *r, struct plan *p)
{
    struct core_config was = { .count = 0 };
    int rv = choose(r, p, &was);

    if (rv != CLI_DONE) return rv;
    if (p->chosen == DIRS_MAX) {
        p->verdict = IS_LOST;
        return CLI_DONE;
    }
    rv = check_members(r, p, &was);
    if (rv != CLI_DONE) return rv;
    p->had_quorum = has_quorum(r, &was, CORE_VOTES_NEW) && has_quorum(r, &was, CORE_VOTES_OLD);
    p->verdict = has_lost(r, &was) ? RECOVERS : FITS;
    p->config = was;
    if (p->verdict == RECOVERS) keep_left(r, &was, &p->config);
    return CLI_DONE;
}

static void see_applied(const struct recover *r, struct plan *p)
{
    struct errmsg why;
    struct queue *q = NULL;

    if (p->group == 0 || p->verdict == IS_LOST) return;
    if (queue_open(&q, r->list[p->chosen].state, p->group, &why) != 0) return;
    p->applied = queue_applied(q);
    queue_close(&q);
}

/* ---- control */

static bool on_entry(void *arg, const struct raft_entry *e)
{
    struct recover *r = arg;
    struct control_answer answer;

    if (e->index > control_applied(r->control))
        control_apply(r->control, e->index, e->head, &answer);
    return true;
}

/* What control says when all of the newest log counts. */
static int read_control(struct recover *r, const struct plan *p)
{
    const struct survivor *s = &r->list[p->chosen];
    struct errmsg why = { "" };
    struct buf saved;
    int rv;

    if (p->verdict == IS_LOST)
        return cli_fail(CLI_REFUSED, "nobody who is left has a log of control");
    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    rv = cluster_state_read(s->dir, &saved, &why);
    if (rv == 0) rv = control_load(r->control, buf_span(&saved));
    if (rv == ERR_NOT_FOUND) rv = 0; /* all of it is in the log */
    buf_deinit(&saved);
    if (rv == 0)
        rv = raft_offline_each(s->log, 0, control_applied(r->control) + 1, r, on_entry);
    if (rv != 0) return cli_fail(CLI_FAILED, "%s: control: %s", s->dir, err_text(rv));
    p = &r->plans[0];
    r->plans[0].applied = control_applied(r->control);
    for (unsigned i = 0; i < r->lost_count; i++) {
        const struct control_node *n = control_node(r->control, r->lost[i]);

        if (!n) return cli_fail(CLI_NOT_FOUND, "there is no node %" PRIu64, r->lost[i]);
        if (n->state == CONTROL_GONE && p->verdict == FITS)
            return cli_fail(CLI_REFUSED, "node %" PRIu64 " is gone already", r->lost[i]);
    }
    return CLI_DONE;
}

static bool holds_lost(const struct recover *r, const struct control_shard *s)
{
    for (unsigned i = 0; i < r->lost_count; i++)
        if (control_holds(s, r->lost[i])) return true;
    return false;
}

static int plan_shards(struct recover *r)
{
    int rv = CLI_DONE;

    for (uint32_t i = 1; rv == CLI_DONE && i <= control_shard_count(r->control); i++) {
        struct plan *p = &r->plans[r->plan_count];

        if (control_shard(r->control, i)->state == CONTROL_CLOSED) continue;
        p->group = i;
        rv = plan_group(r, p);
        p->is_stated = p->verdict != FITS || holds_lost(r, control_shard(r->control, i));
        see_applied(r, p);
        r->plan_count++;
    }
    return rv;
}

static int make_plan(struct recover *r)
{
    bool needs = false;
    int rv = plan_group(r, &r->plans[0]);

    r->plan_count = 1;
    if (rv == CLI_DONE) rv = read_control(r, &r->plans[0]);
    if (rv == CLI_DONE) rv = plan_shards(r);
    for (unsigned i = 0; i < r->plan_count; i++)
        needs = needs || r->plans[i].verdict == IS_LOST ||
                (r->plans[i].verdict == RECOVERS && !r->plans[i].had_quorum);
    if (rv != CLI_DONE || needs) return rv;
    /* what an interrupted run left: control was to be last */
    if (r->plans[0].verdict == RECOVERS && r->list[0].self.lost_count > 0) return rv;
    return cli_fail(CLI_REFUSED, "every group has a majority without the lost nodes: start the "
                                 "others, and remove the lost ones by command");
}

/* ---- what is told */

static json_t *json_of_plan(const struct recover *r, const struct plan *p)
{
    json_t *j = json_pack("{s:i, s:s, s:b}", "group", (int)p->group, "verdict",
                          verdicts[p->verdict], "had_quorum", (int)p->had_quorum);
    json_t *logs = json_array(), *members = json_array();

    for (unsigned i = 0; i < r->count; i++)
        if (p->last[i].index > 0)
            json_array_append_new(logs, json_pack("{s:I, s:I, s:I}", "node",
                                                  (json_int_t)r->list[i].self.node, "last",
                                                  (json_int_t)p->last[i].index, "term",
                                                  (json_int_t)p->last[i].term));
    for (unsigned i = 0; i < p->config.count; i++)
        json_array_append_new(members, json_integer((json_int_t)p->config.members[i].node));
    json_object_set_new(j, "logs", logs);
    json_object_set_new(j, "members", members);
    json_object_set_new(j, "state", json_integer((json_int_t)p->applied));
    if (p->verdict != IS_LOST)
        json_object_set_new(j, "from",
                            json_integer((json_int_t)r->list[p->chosen].self.node));
    return j;
}

static void tell_plan(const struct recover *r, const struct plan *p)
{
    char name[24];

    snprintf(name, sizeof name, "shard %" PRIu32, p->group);
    printf("%s: ", p->group == 0 ? "control" : name);
    if (p->verdict == IS_LOST) {
        printf("LOST: nobody who is left holds it; all its mail is missing, and it is closed\n");
        return;
    }
    if (p->verdict == FITS) {
        printf("complete: no lost node is a member\n");
        return;
    }
    printf("goes on from node %" PRIu64 ", whose log ends at index %" PRIu64 " of term %" PRIu64
           " (state: %" PRIu64 "); ",
           r->list[p->chosen].self.node, p->last[p->chosen].index, p->last[p->chosen].term,
           p->applied);
    if (p->had_quorum)
        printf("nothing is missing: a majority is left\n");
    else
        printf("missing is what the lost nodes alone had behind index %" PRIu64
               ": mail they acknowledged, and what became of mail\n",
               p->last[p->chosen].index);
    for (unsigned i = 0; i < r->count; i++)
        if (i != p->chosen && p->last[i].index > 0)
            printf("    node %" PRIu64 ": index %" PRIu64 " of term %" PRIu64 "\n",
                   r->list[i].self.node, p->last[i].index, p->last[i].term);
}

static void tell(const struct recover *r)
{
    if (r->json) {
        json_t *groups = json_array(), *j;

        for (unsigned i = 0; i < r->plan_count; i++)
            json_array_append_new(groups, json_of_plan(r, &r->plans[i]));
        j = json_pack("{s:b, s:o}", "done", (int)!r->dry_run, "groups", groups);
        cli_print_json(j);
        json_decref(j);
        return;
    }
    for (unsigned i = 0; i < r->plan_count; i++)
        tell_plan(r, &r->plans[i]);
}

/* ---- doing it */

/* The lost ones are strangers from the next start on, before any log says so. */
static int fence(struct recover *r)
{
    struct errmsg why = { "" };

    for (unsigned i = 0; i < r->count; i++) {
        struct cluster_self *self = &r->list[i].self;

        for (unsigned k = 0; k < r->lost_count; k++)
            if (!is_among(self->lost, self->lost_count, r->lost[k]) &&
                self->lost_count < CONTROL_NODES_MAX)
                self->lost[self->lost_count++] = r->lost[k];
        self->removed = false; /* it is among those who go on */
        if (cluster_self_write(r->list[i].dir, self, &why) != 0)
            return cli_fail(CLI_FAILED, "%s", why.text);
    }
    return CLI_DONE;
}

static unsigned voters_of(const struct core_config *c, uint64_t out[CORE_MEMBERS_MAX])
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->count; i++)
        if (is_voter(c, c->members[i].node)) out[n++] = c->members[i].node;
    return n;
}

/* The others first: none of them votes for anybody else in that term. */
static int carry_out(struct recover *r, const struct plan *p, const struct span *command)
{
    const struct survivor *s = &r->list[p->chosen];
    struct errmsg why = { "" };

    if (p->verdict != RECOVERS) return CLI_DONE;
    for (unsigned i = 0; i < r->count; i++)
        if (i != p->chosen && p->last[i].index > 0)
            raft_offline_vote(r->list[i].log, p->group, p->term + 1, s->self.node);
    if (raft_offline_recover(s->log, p->group, s->self.node, p->term + 1, &p->config, command,
                             command ? 1 : 0, &why) == 0)
        return CLI_DONE;
    return cli_fail(CLI_FAILED, "%s", why.text);
}

static int pack_command(const struct recover *r, struct buf *out)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlRecover recover = ANGARIUM__CONTROL_RECOVER__INIT;
    Angarium__ControlPlace *places = check_calloc(r->plan_count, sizeof *places);
    Angarium__ControlPlace **list = check_calloc(r->plan_count, sizeof *list);
    uint64_t(*voters)[CORE_MEMBERS_MAX] = check_calloc(r->plan_count, sizeof *voters);
    int rv;

    for (unsigned i = 1; i < r->plan_count; i++) {
        Angarium__ControlPlace *p = &places[recover.n_shards];

        if (!r->plans[i].is_stated) continue;
        angarium__control_place__init(p);
        p->shard = r->plans[i].group;
        p->n_voters = voters_of(&r->plans[i].config, voters[i]);
        p->voters = voters[i];
        list[recover.n_shards++] = p;
    }
    recover.shards = list;
    recover.n_lost = r->lost_count;
    recover.lost = (uint64_t *)(uintptr_t)r->lost;
    command.time_ms = clock_wall_ms(&clock_real);
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_RECOVER;
    command.recover = &recover;
    rv = control_pack(&command, out);
    free(places);
    free(list);
    free(voters);
    return rv;
}

/* It will be applied as the first thing: what it would answer is known now. */
static int try_command(struct recover *r, struct span command)
{
    struct control_answer answer = { 0 };
    struct errmsg why = { "" };

    control_apply(r->control, r->plans[0].last[r->plans[0].chosen].index + 2, command, &answer);
    if (answer.error == 0) answer.error = control_verify(r->control, &why);
    if (answer.error == 0) return CLI_DONE;
    return cli_fail(CLI_FAILED, "control would not take it: %s%s", err_text(answer.error), why.text);
}

/* So that the node that goes on with control knows at once who is left and where. */
static int write_control(const struct recover *r)
{
    struct errmsg why = { "" };
    struct buf saved;
    int rv;

    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    rv = control_save(r->control, &saved);
    if (rv == 0)
        rv = cluster_state_write(r->list[r->plans[0].chosen].dir, buf_span(&saved), &why);
    buf_deinit(&saved);
    return rv == 0 ? CLI_DONE : cli_fail(CLI_FAILED, "%s", why.text);
}

static int do_all(struct recover *r)
{
    struct span span;
    struct buf command;
    int rv = CLI_DONE;

    buf_init(&command, CONTROL_COMMAND_SIZE_MAX);
    if (pack_command(r, &command) != 0) rv = cli_fail(CLI_FAILED, "it is too much for one entry");
    span = buf_span(&command);
    if (rv == CLI_DONE) rv = try_command(r, span);
    if (rv == CLI_DONE && !r->dry_run) {
        rv = fence(r);
        for (unsigned i = 1; rv == CLI_DONE && i < r->plan_count; i++)
            rv = carry_out(r, &r->plans[i], NULL);
        if (rv == CLI_DONE) rv = carry_out(r, &r->plans[0], &span);
        if (rv == CLI_DONE) rv = write_control(r);
    }
    buf_deinit(&command);
    return rv;
}

static int recover(struct recover *r)
{
    int rv;

    r->control = control_new();
    r->plans = check_calloc(CONTROL_SHARDS_MAX + 1, sizeof *r->plans);
    rv = open_all(r);
    if (rv == CLI_DONE) rv = make_plan(r);
    if (rv == CLI_DONE) rv = do_all(r);
    if (rv == CLI_DONE) tell(r);
    close_all(r);
    control_free(&r->control);
    free(r->plans);
    if (rv != CLI_DONE || r->json) return rv;
    printf(r->dry_run ? "nothing was changed; to do it: --yes-data-may-be-lost\n"
                      : "done: the lost nodes are gone for ever; start those that are left\n");
    return rv;
}

static int run(int argc, char **argv)
{
    struct recover *r = check_calloc(1, sizeof *r);
    const char *lost = NULL, *format = NULL, *dirs[DIRS_MAX];
    const struct cli_option options[] = {
        { .name = "lost", .text = &lost },
        { .name = "dry-run", .flag = &r->dry_run },
        { .name = "yes-data-may-be-lost", .flag = &r->yes },
        { .name = "output", .letter = 'o', .text = &format },
    };
    int rv = cli_read(argc, argv, options, 4, dirs, DIRS_MAX, &r->count);

    if (rv == 0 && r->count == 0)
        rv = cli_usage("recover", "which data directories? of all nodes that are left");
    if (rv == 0 && r->dry_run == r->yes)
        rv = cli_usage("recover", "--dry-run, or, after reading what it says, "
                                  "--yes-data-may-be-lost");
    for (unsigned i = 0; rv == 0 && i < r->count; i++)
        r->list[i].dir = dirs[i];
    r->json = format && strcmp(format, "json") == 0;
    if (rv == 0) rv = take_lost(r, lost);
    if (rv == 0) rv = recover(r);
    free(r);
    return rv;
}

const struct cli_verb cli_verb_recover = {
    .name = "recover",
    .usage = "DATA_DIR... --lost N,N --dry-run|--yes-data-may-be-lost [-o table|json]",
    .line = "go on after a majority of nodes is lost for good",
    .help = "Give the data directories of all nodes that are left, stopped, and the numbers of all "
            "that are lost for\n"
            "good. Each shard, and control, goes on from the newest log among them; what only the "
            "lost ones had is\n"
            "missing. --dry-run says, group by group, where the logs end and what may be missing, "
            "and changes nothing.\n"
            "The lost nodes are gone for ever: they are not talked to if they come back. Refused "
            "(5) when a majority is\n"
            "left, when a node is neither given nor lost, when a node runs.\n"
            "\n"
            "Examples:\n"
            "  angarium recover /var/lib/angarium --lost 2,3 --dry-run\n"
            "  angarium recover /var/lib/angarium --lost 2,3 --yes-data-may-be-lost\n",
    .run = run,
};
