/* offline - the log of a process that does not run, for tools that restore and rescue (raft.h, raft_offline).
 *
 * recover writes what a node would have left that stood for `term`, got the votes of who is left, appended the configuration of a
 * new era and the commands behind it, and died: hard state and entries in one synced batch. recover.c in the core says why that
 * is all that a recovery is; here nobody is asked, so the term has to be over all that those who are left have seen.
 */
#include <stdlib.h>
#include <unistd.h>

#include "proto/proto.h"
#include "raft/engine/frame.h"
#include "raft/engine/inside.h"

#define MEMTABLE_BYTES (32u << 20)

int raft_offline_open(struct raft_offline **out, const char *dir, bool *tainted, struct errmsg *why)
{
    struct raft_offline *o = check_calloc(1, sizeof *o);
    int rv = store_open(&o->store,
                        &(struct store_options){ .dir = dir, .memtable_bytes = MEMTABLE_BYTES },
                        tainted, why);

    if (rv != 0) {
        free(o);
        return rv;
    }
    *out = o;
    return 0;
}

void raft_offline_close(struct raft_offline **po)
{
    struct raft_offline *o = *po;

    if (!o) return;
    *po = NULL;
    store_close(&o->store);
    free(o);
}

int raft_offline_see(struct raft_offline *o, uint64_t group, struct raft_offline_view *out,
                     struct errmsg *why)
{
    struct store_group *g = check_calloc(1, sizeof *g);
    int rv = store_group_read(o->store, group, g, why);

    *out = (struct raft_offline_view){ 0 };
    if (rv == 0) {
        out->known = g->known;
        out->tainted = g->tainted;
        out->hard = g->hard;
        out->first = g->first;
        out->last = (struct core_pos){ g->last, g->last_term };
        out->installing = g->intent.index != 0;
        if (g->config.n > 0)
            rv = config_unpack(span_of(g->config.bytes, g->config.n), &out->config);
        out->config.index = g->config.index;
        if (rv != 0)
            errmsg_set(why, rv, "group %llu: its configuration is damaged",
                       (unsigned long long)group);
    }
    free(g);
    return rv;
}

int raft_offline_each(struct raft_offline *o, uint64_t group, uint64_t from, void *arg,
                      bool (*each)(void *arg, const struct raft_entry *entry))
{
    struct store_group *g = check_calloc(1, sizeof *g);
    struct errmsg why;
    int rv = store_group_read(o->store, group, g, &why);

    for (uint64_t i = from < g->first ? g->first : from; rv == 0 && i <= g->last; i++) {
        struct raft_entry e = { .index = i };
        struct blob *head = NULL, *body = NULL;
        enum core_entry_kind kind;

        rv = store_entry_read(o->store, group, i, &kind, &e.term, &head, &body);
        if (rv != 0) break;
        e.head = blob_span(head);
        e.body = blob_span(body);
        if (kind == CORE_COMMAND && !each(arg, &e)) i = g->last;
        blob_unref(&head);
        blob_unref(&body);
    }
    free(g);
    return rv;
}

/* ---- writing */

static void on_done(struct store_write *w)
{
    (void)w; /* the drain waits for it */
}

static void write_all(struct raft_offline *o, struct store_op *ops, size_t count)
{
    struct store_write w = { .ops = ops, .op_count = count, .on_done = on_done };

    store_submit(o->store, &w);
    store_drain(o->store);
}

void raft_offline_begin(struct raft_offline *o, uint64_t group, struct core_pos at,
                        const struct core_config *config)
{
    struct core_config c = *config;
    struct store_op ops[3] = { { .kind = STORE_HARD, .hard = { .term = at.term } },
                               { .kind = STORE_INTENT, .pos = at },
                               { .kind = STORE_BEGIN, .pos = at } };
    struct buf bytes;

    c.index = at.index;
    c.version = 1;
    CHECK(core_config_check(&c) == 0);
    buf_init(&bytes, STORE_CONFIG_SIZE_MAX);
    config_pack(&c, &bytes);
    for (unsigned i = 0; i < 3; i++)
        ops[i].entry = (struct store_entry){ .group = group,
                                             .index = at.index,
                                             .head = buf_span(&bytes) };
    write_all(o, ops, 3);
    buf_deinit(&bytes);
}

void raft_offline_vote(struct raft_offline *o, uint64_t group, uint64_t term, uint64_t vote)
{
    struct store_op op = { .kind = STORE_HARD,
                           .entry = { .group = group },
                           .hard = { .term = term, .vote = vote } };

    write_all(o, &op, 1);
}

int raft_offline_recover(struct raft_offline *o, uint64_t group, uint64_t self, uint64_t term,
                         const struct core_config *config, const struct span *commands,
                         unsigned count, struct errmsg *why)
{
    struct raft_offline_view v;
    struct store_op ops[2 + RAFT_OFFLINE_COMMANDS_MAX];
    struct core_config c = *config;
    struct buf bytes;
    int rv = raft_offline_see(o, group, &v, why);

    if (rv != 0) return rv;
    CHECK(count <= RAFT_OFFLINE_COMMANDS_MAX && term > v.hard.term && term > v.last.term);
    c.index = v.last.index + 1;
    c.version = v.config.version + 1;
    c.era = v.config.era + 1;
    c.joint = false;
    rv = core_config_check(&c);
    if (rv != 0) return errmsg_set(why, rv, "group %llu: its members cannot be", (unsigned long long)group);
    buf_init(&bytes, STORE_CONFIG_SIZE_MAX);
    config_pack(&c, &bytes);
    memset(ops, 0, sizeof ops);
    ops[0] = (struct store_op){ .kind = STORE_HARD,
                                .entry = { .group = group },
                                .hard = { .term = term, .vote = self } };
    for (unsigned i = 0; i <= count; i++)
        ops[i + 1] = (struct store_op){ .kind = STORE_APPEND,
                                        .entry = { .group = group,
                                                   .index = c.index + i,
                                                   .term = term,
                                                   .kind = i == 0 ? CORE_CONFIG : CORE_COMMAND,
                                                   .head = i == 0 ? buf_span(&bytes)
                                                                  : commands[i - 1] } };
    write_all(o, ops, 2 + count);
    buf_deinit(&bytes);
    return 0;
}
