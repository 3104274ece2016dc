/* save - DATA/control: the state of group 0 as a whole. It is written by the DISK pool when the log has grown, which is then cut,
 * when a node has come or moved, when a record has changed (so that a node that starts while it is cut off knows credentials and
 * routes), when a shard has ended, when this node has heard that it was removed, and when a snapshot comes; a node that is behind the
 * cut gets it in pieces.
 *
 * Rule: no shard ends here that this node's disk does not know to have ended (tell.c). Else a node that restarts would open it
 *   once more, empty and without its votes, until it hears of the end, and what came for it meanwhile would go.
 * Rule: nobody becomes a member of group 0 whom this node's disk does not know (keep.c). Else a node that restarts might need, to
 *   learn what its log says, a quorum whose addresses only the log tells.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "node/cluster/inside.h"

static uint64_t nodes_mark(const struct cluster *c)
{
    unsigned count = control_node_count(c->control);
    uint64_t mark = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct control_node *n = control_node_at(c->control, i);

        mark = XXH64(n->address, strlen(n->address), mark ^ n->id ^ (uint64_t)n->state << 32);
    }
    return mark;
}

uint64_t save_records_mark(const struct cluster *c)
{
    uint64_t mark = 0;

    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++)
        mark += control_changed(c->control, (enum control_kind)kind);
    return mark;
}

static unsigned ended_mark(const struct cluster *c)
{
    unsigned count = control_shard_count(c->control), ended = 0;

    for (unsigned i = 1; i <= count; i++)
        ended += control_shard(c->control, i)->state == CONTROL_CLOSED;
    return ended;
}

bool save_knows_ended(const struct cluster *c)
{
    return c->ended_on_disk == ended_mark(c);
}

bool save_knows_nodes(const struct cluster *c)
{
    return c->nodes_on_disk == nodes_mark(c);
}

static bool knows_removed(const struct cluster *c)
{
    return c->self.removed || !c->is_removed;
}

bool save_knows_self(const struct cluster *c)
{
    return knows_removed(c) && !format_differs(c);
}

int save_load(struct cluster *c, struct errmsg *why)
{
    struct buf bytes;
    int rv;

    buf_init(&bytes, CONTROL_STATE_SIZE_MAX);
    rv = file_read(c->dir, "control", &bytes, why);
    if (rv == 0) rv = control_load(c->control, buf_span(&bytes));
    buf_deinit(&bytes);
    if (rv == 0) c->nodes_on_disk = nodes_mark(c);
    if (rv == 0) c->records_on_disk = save_records_mark(c);
    if (rv == 0) c->ended_on_disk = ended_mark(c);
    if (rv == ERR_NOT_FOUND) return 0; /* all of it is in the log */
    if (rv == ERR_VERSION || rv == ERR_CORRUPT)
        return errmsg_set(why, rv, "%s/control: %s", c->dir, err_text(rv));
    return rv;
}

static void run_save(struct loop_work *w)
{
    struct cluster *c = CONTAINER_OF(w, struct cluster, work);
    struct errmsg why = { "" };

    if (file_replace(c->dir, "control", buf_span(&c->saved), &why) != 0)
        check_last_word("control", "writing", why.text);
    format_write(c);
}

static bool log_is_long(const struct cluster *c)
{
    struct raft_group_view view;

    raft_group_see(c->group, &view);
    return view.log_bytes >= CUT_BYTES;
}

static void on_saved(struct loop_work *w)
{
    struct cluster *c = CONTAINER_OF(w, struct cluster, work);

    c->saving = false;
    format_written(c);
    c->nodes_on_disk = c->nodes_saving;
    c->records_on_disk = c->records_saving;
    c->ended_on_disk = c->ended_saving;
    if (c->closing) return;
    if (!c->is_install) {
        if (log_is_long(c)) raft_group_cut(c->group, c->saved_upto);
        tell_shards(c); /* some may have waited for it */
        save_maybe(c);
        return;
    }
    CHECK(control_load(c->control, buf_span(&c->saved)) == 0); /* it was checked before */
    c->nodes_on_disk = nodes_mark(c);
    c->records_on_disk = save_records_mark(c);
    c->ended_on_disk = ended_mark(c);
    tell_peers(c);
    tell_shards(c);
    tell_records(c);
    raft_group_installed(c->group, true);
}

static bool start(struct cluster *c, bool is_install)
{
    c->is_install = is_install;
    c->work.run = run_save;
    c->work.on_done = on_saved;
    c->saving = loop_work(c->o.loop, LOOP_POOL_DISK, &c->work) == 0;
    return c->saving;
}

void save_maybe(struct cluster *c)
{
    if (c->saving || !c->group || c->closing) return;
    if (!log_is_long(c) && save_knows_nodes(c) && save_knows_ended(c) &&
        c->records_on_disk == save_records_mark(c) && save_knows_self(c))
        return;
    buf_reset(&c->saved);
    if (control_save(c->control, &c->saved) != 0) return;
    c->saved_upto = control_applied(c->control);
    c->nodes_saving = nodes_mark(c);
    c->records_saving = save_records_mark(c);
    c->ended_saving = ended_mark(c);
    c->raised = c->self;
    c->raised.removed = c->is_removed;
    c->raised.format = format_differs(c) ? control_format(c->control) : knows_removed(c) ? 0 : c->self.format;
    start(c, false);
}

/* ---- to a node that is behind */

struct outgoing {
    struct buf bytes;
    size_t at;
};

static int on_open(void *arg, void **out)
{
    struct cluster *c = arg;
    struct outgoing *o = check_calloc(1, sizeof *o);

    buf_init(&o->bytes, CONTROL_STATE_SIZE_MAX);
    CHECK(control_save(c->control, &o->bytes) == 0);
    *out = o;
    return 0;
}

static int on_next(void *arg, void *snapshot, struct buf *out, bool *last)
{
    struct outgoing *o = snapshot;
    size_t n = o->bytes.n - o->at;

    (void)arg;
    if (n > RAFT_CHUNK_SIZE_MAX) n = RAFT_CHUNK_SIZE_MAX;
    buf_add(out, o->bytes.p + o->at, n);
    o->at += n;
    *last = o->at == o->bytes.n;
    return buf_failed(out) ? ERR_FULL : 0;
}

static void on_close(void *arg, void *snapshot)
{
    struct outgoing *o = snapshot;

    (void)arg;
    buf_deinit(&o->bytes);
    free(o);
}

/* ---- from one */

static int on_begin(void *arg, uint64_t index)
{
    struct cluster *c = arg;

    (void)index;
    buf_reset(&c->incoming);
    return 0;
}

static int on_chunk(void *arg, struct span bytes)
{
    struct cluster *c = arg;

    buf_add_span(&c->incoming, bytes);
    return buf_failed(&c->incoming) ? ERR_TOO_LONG : 0;
}

static int on_commit(void *arg, uint64_t index, uint64_t term)
{
    struct cluster *c = arg;
    struct control *trial = control_new();
    int rv = control_load(trial, buf_span(&c->incoming));

    (void)term;
    if (rv == 0 && control_applied(trial) > index) rv = ERR_CORRUPT;
    if (rv == 0 && c->saving) rv = ERR_BUSY;
    if (rv == 0) {
        control_reach(trial, index);
        buf_reset(&c->saved);
        rv = control_save(trial, &c->saved);
    }
    control_free(&trial);
    if (rv != 0) return rv;
    return start(c, true) ? ERR_AGAIN : ERR_BUSY;
}

static void on_drop(void *arg)
{
    struct cluster *c = arg;

    buf_reset(&c->incoming);
}

struct raft_snapshot_calls save_snapshot_calls(void)
{
    return (struct raft_snapshot_calls){ .open = on_open,
                                         .next = on_next,
                                         .close = on_close,
                                         .begin = on_begin,
                                         .chunk = on_chunk,
                                         .commit = on_commit,
                                         .drop = on_drop };
}
