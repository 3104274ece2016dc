/* cli_restore - angarium cluster restore DIR: a backup becomes the data directory of the first node of a new cluster.
 *
 * Way:   everything is checked -> state: each shard is staged and installed, what was in the air and what is pending gets the
 *        policy as commands -> log: each group begins behind its state, with this node as its only voter -> DATA/control,
 *        DATA/cluster, and last identity.json: a directory without it is refused at a start.
 * Rules: a new id, so that nodes of the old cluster are strangers. Indexes begin anew RESTORE_GAP apart, so that no message id of
 *        the old cluster, also of one that the backup does not know, is given to another mail.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "node/ops/cli_backup.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

#define RESTORE_GAP (UINT64_C(1) << 32)
#define BATCH       256

struct restore {
    const struct cli_restore *o;
    struct settings *settings;
    const char *data_dir;
    bool holds;
    struct backup_manifest manifest;
    struct control *control;
    struct cluster_self self;
    struct ops_identity identity;
    struct queue_store *store;
    uint64_t *ends; /* of each shard of the manifest: where its log begins */
    uint64_t now_ms, held, doubts;
};

/* ---- what is asked for */

int cli_cluster_settings(const char *file, struct settings **out)
{
    struct buf errors;
    int rv;

    if (!file) return cli_usage("cluster", "whose settings? -c FILE");
    buf_init(&errors, 64u << 10);
    rv = settings_read(out, file, &errors);
    if (rv != 0) fprintf(stderr, "%s", buf_cstr(&errors));
    buf_deinit(&errors);
    if (rv != 0) return CLI_FAILED;
    if ((*out)->cluster.id && (*out)->cluster.id[0]) return CLI_DONE;
    return cli_fail(CLI_FAILED, "%s: has no cluster: id", file);
}

static int take_policy(struct restore *r)
{
    const char *p = r->o->in_doubt;

    r->holds = p && strcmp(p, "hold") == 0;
    if (r->holds || (p && strcmp(p, "retry") == 0)) return CLI_DONE;
    return cli_usage("cluster",
                     "restore: what is pending in the backup may have been delivered since it was "
                     "made: --in-doubt retry (it is tried, some of it a second time) or hold (it "
                     "waits until it is released)?");
}

static int take_ids(struct restore *r)
{
    CHECK(cluster_parse_id(r->settings->cluster.id, r->self.cluster) == 0); /* it was checked */
    if (memcmp(r->self.cluster, r->manifest.cluster, sizeof r->self.cluster) == 0)
        return cli_fail(CLI_REFUSED,
                        "%s: is the id of the cluster that the backup is of; a restored one is a "
                        "new cluster: make an id and certificates for it",
                        r->settings->cluster.id);
    return CLI_DONE;
}

/* ---- a shard */

static uint64_t begin_behind(uint64_t index)
{
    return (index / RESTORE_GAP + 1) * RESTORE_GAP;
}

static void apply(struct restore *r, struct queue *q, const Angarium__Command *c)
{
    struct buf head;

    (void)r;
    buf_init(&head, PROTO_COMMAND_SIZE_MAX);
    CHECK(proto_command_pack(c, &head) == 0);
    queue_apply(q, queue_applied(q) + 1, buf_span(&head), 0, NULL);
    buf_deinit(&head);
}

/* All its recipients; those in the air when their attempt is over. */
static void hold(struct restore *r, struct queue *q, uint64_t message)
{
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    Angarium__Hold h = ANGARIUM__HOLD__INIT;

    h.time_ms = r->now_ms;
    h.node = r->self.node;
    h.index = message;
    h.by = proto_bytes(SPAN_LIT("restore"));
    c.kind_case = ANGARIUM__COMMAND__KIND_HOLD;
    c.hold = &h;
    apply(r, q, &c);
}

static void hold_all(struct restore *r, struct queue *q)
{
    uint64_t list[BATCH], after = 0;
    size_t n;

    do {
        n = queue_messages(r->store, queue_shard(q), after, true, list, BATCH);
        for (size_t i = 0; i < n; i++)
            hold(r, q, list[i]);
        if (n > 0) after = list[n - 1];
    } while (n == BATCH);
}

/* What was in the air is told as in doubt; it waits again, or is held. */
static void doubt_all(struct restore *r, struct queue *q)
{
    struct queue_ref refs[BATCH];
    size_t n;

    do {
        struct queue_place from_start = { 0 };
        Angarium__RecipientOutcome one[BATCH], *list[BATCH];
        Angarium__Command c = ANGARIUM__COMMAND__INIT;
        Angarium__Outcome o = ANGARIUM__OUTCOME__INIT;

        n = queue_claims(r->store, queue_shard(q), &from_start, refs, BATCH);
        for (size_t i = 0; i < n; i++) {
            angarium__recipient_outcome__init(&one[i]);
            one[i].index = refs[i].index;
            one[i].recipient = refs[i].recipient;
            one[i].result = ANGARIUM__RESULT__RESULT_IN_DOUBT;
            one[i].next_attempt_at_ms = r->now_ms;
            one[i].class_ = proto_bytes(SPAN_LIT("restored"));
            list[i] = &one[i];
        }
        o.time_ms = r->now_ms;
        o.node = r->self.node;
        o.n_recipients = n;
        o.recipients = list;
        c.kind_case = ANGARIUM__COMMAND__KIND_OUTCOME;
        c.outcome = &o;
        if (n > 0) apply(r, q, &c);
        r->doubts += n;
    } while (n > 0);
}

static int settle(struct restore *r, uint32_t shard, uint64_t *end, struct errmsg *why)
{
    struct queue_counts counts;
    struct queue *q = NULL;
    int rv = queue_open(&q, r->store, shard, why);

    if (rv != 0) return rv;
    if (r->holds) hold_all(r, q);
    doubt_all(r, q);
    queue_counts(q, &counts);
    r->held += counts.held;
    *end = queue_applied(q);
    queue_close(&q);
    return queue_verify(r->store, shard, why);
}

static int restore_shard(struct restore *r, unsigned i)
{
    const struct backup_entry *e = &r->manifest.shards[i];
    uint32_t shard = e->file.head.shard;
    uint64_t index = begin_behind(e->file.head.index);
    struct backup_check *k = NULL;
    struct errmsg why = { "" };
    int rv = backup_file_check(r->o->from, &r->manifest, e, r->o->dry_run ? NULL : r->store, &k,
                               &why);

    if (rv == 0 && index + RESTORE_GAP > PROTO_INDEX_MAX)
        rv = errmsg_set(&why, ERR_RANGE, "shard %" PRIu32 ": its indexes are at their end", shard);
    if (rv == 0 && !r->o->dry_run) {
        rv = queue_staging_install(backup_check_staging(k), index);
        if (rv == 0) rv = settle(r, shard, &r->ends[i], &why);
    }
    backup_check_close(&k);
    if (rv != 0) return cli_fail(CLI_FAILED, "%s", why.text[0] ? why.text : err_text(rv));
    fprintf(stderr,
            "shard %" PRIu32 ": %" PRIu64 " messages, %" PRIu64 " recipients waiting, %" PRIu64
            " in the air, %" PRIu64 " held (%u of %u)\n",
            shard, e->file.counts.messages, e->file.counts.waiting, e->file.counts.claimed,
            e->file.counts.held, i + 1, r->manifest.shard_count);
    return CLI_DONE;
}

static int restore_shards(struct restore *r)
{
    struct errmsg why = { "" };
    char dir[4200];
    int rv = CLI_DONE;

    snprintf(dir, sizeof dir, "%s/state", r->data_dir);
    if (!r->o->dry_run && queue_store_open(&r->store, dir, &why) != 0)
        return cli_fail(CLI_FAILED, "%s", why.text);
    for (unsigned i = 0; rv == CLI_DONE && i < r->manifest.shard_count; i++)
        rv = restore_shard(r, i);
    if (!r->store) return rv;
    if (rv == CLI_DONE && queue_store_flush(r->store, &why) != 0)
        rv = cli_fail(CLI_FAILED, "%s", why.text);
    queue_store_close(&r->store);
    return rv;
}

/* ---- log, control, identity */

static int write_logs(struct restore *r, uint64_t control_index)
{
    struct core_config alone = raft_config_of(&r->self.node, 1);
    const struct backup_manifest *m = &r->manifest;
    struct raft_offline *log = NULL;
    struct errmsg why = { "" };
    char dir[4200];

    snprintf(dir, sizeof dir, "%s/log", r->data_dir);
    if (raft_offline_open(&log, dir, NULL, &why) != 0) return cli_fail(CLI_FAILED, "%s", why.text);
    raft_offline_begin(log, CLUSTER_GROUP,
                       (struct core_pos){ control_index, m->control.file.head.term + 1 }, &alone);
    for (unsigned i = 0; i < m->shard_count; i++) {
        struct core_pos at = { r->ends[i], m->shards[i].file.head.term + 1 };

        raft_offline_begin(log, m->shards[i].file.head.shard, at, &alone);
    }
    raft_offline_close(&log);
    return CLI_DONE;
}

static void make_self(struct restore *r)
{
    const struct settings *s = r->settings;

    ops_identity_make(&r->identity, s->node.id, (uint32_t)s->node.shards);
    r->self.node = s->node.id;
    snprintf(r->self.uuid, sizeof r->self.uuid, "%s", r->identity.uuid);
    r->self.peer_count = 1;
    r->self.peers[0] = (struct cluster_peer){ .node = s->node.id, .votes = true };
    snprintf(r->self.peers[0].address, sizeof r->self.peers[0].address, "%s", s->cluster.address);
}

static int write_control(struct restore *r, uint64_t index)
{
    struct control_node only = { .id = r->self.node, .joined_ms = r->now_ms };
    const struct settings *s = r->settings;
    struct errmsg why = { "" };
    struct buf saved;
    int rv;

    snprintf(only.uuid, sizeof only.uuid, "%s", r->self.uuid);
    snprintf(only.address, sizeof only.address, "%s", s->cluster.address);
    snprintf(only.zone, sizeof only.zone, "%s", s->cluster.zone);
    snprintf(only.region, sizeof only.region, "%s", s->cluster.region);
    control_refound(r->control, r->self.cluster, &only);
    r->self.format = control_format(r->control);
    proto_format_set(r->self.format);
    control_reach(r->control, index);
    rv = control_verify(r->control, &why);
    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    if (rv == 0) rv = control_save(r->control, &saved);
    if (rv == 0) rv = cluster_state_write(r->data_dir, buf_span(&saved), &why);
    buf_deinit(&saved);
    if (rv == 0) rv = cluster_self_write(r->data_dir, &r->self, &why);
    if (rv == 0) rv = ops_identity_write(r->data_dir, &r->identity, &why);
    return rv == 0 ? CLI_DONE
                   : cli_fail(CLI_FAILED, "%s", why.text[0] ? why.text : err_text(rv));
}

static int restore_all(struct restore *r)
{
    uint64_t control_index = begin_behind(r->manifest.control.file.head.index);
    int rv = r->o->dry_run ? CLI_DONE : cli_make_empty(r->data_dir);

    if (rv == CLI_DONE) make_self(r);
    if (rv == CLI_DONE) rv = restore_shards(r);
    if (rv != CLI_DONE || r->o->dry_run) return rv;
    rv = write_logs(r, control_index);
    return rv == CLI_DONE ? write_control(r, control_index) : rv;
}

/* ---- the verb */

static void print_done(const struct restore *r)
{
    const struct backup_manifest *m = &r->manifest;
    uint64_t messages = 0, waiting = 0, claimed = 0, held = 0;

    for (unsigned i = 0; i < m->shard_count; i++) {
        messages += m->shards[i].file.counts.messages;
        waiting += m->shards[i].file.counts.waiting;
        claimed += m->shards[i].file.counts.claimed;
        held += m->shards[i].file.counts.held;
    }
    printf("%s %u shards, %" PRIu64 " pending messages: %" PRIu64 " recipients waiting, %" PRIu64
           " in the air, %" PRIu64 " held\n",
           r->o->dry_run ? "would restore" : "restored", m->shard_count, messages, waiting,
           claimed, held);
    if (r->holds)
        printf("%s held until they are released: %" PRIu64 " recipients\n",
               r->o->dry_run ? "would be" : "are", waiting + claimed + held);
    else
        printf("%s tried, whether they were delivered since the backup or not: %" PRIu64
               " recipients\n",
               r->o->dry_run ? "would be" : "are", waiting + claimed);
    if (r->o->dry_run) return;
    if (strcmp(r->data_dir, r->settings->node.data_dir) != 0)
        printf("node.data_dir of the settings is another directory: %s\n",
               r->settings->node.data_dir);
    else
        printf("cluster %s begins with node %" PRIu64 "; start it: angarium node -c %s\n",
               r->settings->cluster.id, r->self.node, r->o->config);
}

static int check_asked(struct restore *r)
{
    int rv = take_policy(r);

    if (rv == CLI_DONE) rv = cli_cluster_settings(r->o->config, &r->settings);
    if (rv != CLI_DONE) return rv;
    r->data_dir = r->o->data_dir ? r->o->data_dir : r->settings->node.data_dir;
    rv = cli_check_empty(r->data_dir);
    if (rv == CLI_DONE) rv = cli_backup_open(r->o->from, &r->manifest, r->control);
    return rv == CLI_DONE ? take_ids(r) : rv;
}

int cli_restore(const struct cli_restore *o)
{
    struct restore *r = check_calloc(1, sizeof *r);
    int rv;

    r->o = o;
    r->control = control_new();
    r->now_ms = clock_wall_ms(&clock_real);
    rv = check_asked(r);
    r->ends = check_calloc(r->manifest.shard_count + 1, sizeof *r->ends);
    if (rv == CLI_DONE) rv = restore_all(r);
    if (rv == CLI_DONE) print_done(r);
    backup_manifest_deinit(&r->manifest);
    control_free(&r->control);
    settings_unref(&r->settings);
    free(r->ends);
    free(r);
    return rv;
}
