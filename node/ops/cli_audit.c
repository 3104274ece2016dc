/* cli_audit - angarium audit: prove from a node's data that every accepted recipient is pending or
 * has exactly one terminal event (P3).
 *
 * Offline, directory by directory: what the log holds beyond the state is applied to the state in
 * memory, as the node would do at its start; then every shard's invariants are checked by scanning
 * (queue_verify) and its sums compared. Nothing of this is flushed: the directory stays as it was.
 * With one voter every entry that is in the log is committed; with several all but the last ones of a node that was killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"
#include "raft/store/store.h"

#define MEMTABLE_BYTES (32u << 20)
#define LIST_BATCH     256
#define PROGRESS_EVERY 4096
#define DIRS_MAX       64
#define PATH_SIZE      4200

struct audit {
    const char *dir;
    bool list, json, in_cluster;
    struct ops_identity identity;
    struct store *log;
    struct queue_store *state;
    struct cli_table table;
    struct queue_counts total;
    json_t *shards, *recipients, *failures;
    unsigned failed;
    char first_failure[600];
};

/* One shard's part of it. */
struct shard_audit {
    uint32_t number;
    struct queue *queue;
    uint64_t first, last, seen;
    struct errmsg why; /* text "": all is well */
};

/* ---- progress */

static void show_progress(const struct shard_audit *s, const char *what)
{
    if (!cli_is_terminal(stderr)) return;
    fprintf(stderr, "\r\033[Kshard %" PRIu32 ": %s %" PRIu64 " of %" PRIu64, s->number, what,
            s->seen, s->last + 1 - s->first);
}

static void end_progress(void)
{
    if (cli_is_terminal(stderr)) fprintf(stderr, "\r\033[K");
}

/* ---- opening */

/* Who holds the lock of a database; 0: nobody. */
static pid_t lock_owner(const char *dir, const char *name)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char path[PATH_SIZE];
    int fd;

    snprintf(path, sizeof path, "%s/%s/LOCK", dir, name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return 0;
    if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) lock.l_pid = 0;
    close(fd);
    return lock.l_pid;
}

static int refuse_if_running(const char *dir)
{
    pid_t owner = lock_owner(dir, "log/db");

    if (owner == 0) owner = lock_owner(dir, "state");
    if (owner == 0) return CLI_DONE;
    return cli_fail(
        CLI_REFUSED,
        "%s is in use by process %d; stop the node first (an audit reads what is at rest)", dir,
        (int)owner);
}

static int open_stores(struct audit *a)
{
    char log_dir[PATH_SIZE], state_dir[PATH_SIZE];
    struct errmsg why = { "" };
    bool tainted = false;
    int rv;

    snprintf(log_dir, sizeof log_dir, "%s/log", a->dir);
    snprintf(state_dir, sizeof state_dir, "%s/state", a->dir);
    if (access(log_dir, F_OK) != 0)
        return cli_fail(CLI_NOT_FOUND, "%s: is not there; has the node ever run?", log_dir);
    rv = store_open(&a->log,
                    &(struct store_options){ .dir = log_dir, .memtable_bytes = MEMTABLE_BYTES },
                    &tainted, &why);
    if (rv == 0) rv = queue_store_open(&a->state, state_dir, &why);
    if (rv != 0) return cli_fail(rv == ERR_BUSY ? CLI_REFUSED : CLI_FAILED, "%s", why.text);
    if (!tainted) return CLI_DONE;
    a->failed++;
    snprintf(a->first_failure, sizeof a->first_failure,
             "%s: the log lost writes that the disk had confirmed", a->dir);
    json_array_append_new(a->failures, json_string(a->first_failure));
    return CLI_DONE;
}

static void close_stores(struct audit *a)
{
    queue_store_close(&a->state);
    store_close(&a->log);
}

/* ---- replay */

static bool on_entry(void *arg, const struct store_entry *entry)
{
    struct shard_audit *s = arg;
    Angarium__Command *command = NULL;

    if (++s->seen % PROGRESS_EVERY == 0) show_progress(s, "replaying entry");
    if (entry->kind != CORE_COMMAND) return true;
    if (proto_command_unpack(entry->head, &command) != 0) {
        errmsg_set(&s->why, ERR_CORRUPT, "entry %" PRIu64 " of the log is damaged", entry->index);
        return false;
    }
    proto_command_free(&command);
    queue_apply(s->queue, entry->index, entry->head, entry->body.n, NULL);
    return true;
}

static int replay(struct audit *a, struct shard_audit *s)
{
    struct store_group g;
    uint64_t applied = queue_applied(s->queue);
    int rv = store_group_read(a->log, s->number, &g, &s->why);

    if (rv != 0 || !g.known || g.last <= applied) return rv;
    if (g.first > applied + 1)
        return errmsg_set(&s->why, ERR_CORRUPT,
                          "entries %" PRIu64 " to %" PRIu64
                          " are neither in the state nor in the log",
                          applied + 1, g.first - 1);
    s->first = applied + 1;
    s->last = g.last;
    rv = store_entries_each(a->log, s->number, s->first, s->last, s, on_entry);
    if (s->why.text[0]) return ERR_CORRUPT;
    if (rv != 0) return errmsg_set(&s->why, rv, "the log cannot be read: %s", err_text(rv));
    if (s->seen == s->last + 1 - s->first) return 0;
    return errmsg_set(&s->why, ERR_CORRUPT, "the log has %" PRIu64 " of %" PRIu64 " entries",
                      s->seen, s->last + 1 - s->first);
}

/* ---- judging */

static uint64_t pending(const struct queue_counts *c)
{
    return c->waiting + c->claimed + c->held;
}

static uint64_t terminal(const struct queue_counts *c)
{
    return c->delivered + c->bounced + c->expired + c->suppressed + c->cancelled;
}

static void judge(struct audit *a, struct shard_audit *s, const struct queue_counts *c)
{
    if (s->why.text[0]) return;
    if (c->accepted != pending(c) + terminal(c)) {
        errmsg_set(&s->why, ERR_CORRUPT,
                   "%" PRIu64 " recipients accepted, but %" PRIu64 " pending and %" PRIu64 " ended",
                   c->accepted, pending(c), terminal(c));
        return;
    }
    show_progress(s, "verifying");
    queue_verify(a->state, s->number, &s->why);
}

static void add_total(struct queue_counts *t, const struct queue_counts *c)
{
    t->kept_messages += c->kept_messages;
    t->accepted += c->accepted;
    t->waiting += c->waiting;
    t->claimed += c->claimed;
    t->held += c->held;
    t->delivered += c->delivered;
    t->bounced += c->bounced;
    t->expired += c->expired;
    t->suppressed += c->suppressed;
    t->cancelled += c->cancelled;
    t->in_doubt += c->in_doubt;
}

static void add_counts(struct cli_table *t, const struct queue_counts *c)
{
    const uint64_t list[] = { c->kept_messages, c->accepted, pending(c),   c->delivered,
                              c->bounced,       c->expired,  c->cancelled, c->in_doubt };

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        cli_table_add(t, "%" PRIu64, list[i]);
}

static void put_counts(json_t *j, const struct queue_counts *c)
{
#define PUT(name, value) json_object_set_new(j, name, json_integer((json_int_t)(value)))
    PUT("messages", c->kept_messages);
    PUT("accepted", c->accepted);
    PUT("pending", pending(c));
    PUT("delivered", c->delivered);
    PUT("bounced", c->bounced);
    PUT("expired", c->expired);
    PUT("suppressed", c->suppressed);
    PUT("cancelled", c->cancelled);
    PUT("in_doubt", c->in_doubt);
#undef PUT
}

static void record_shard(struct audit *a, const struct shard_audit *s, const struct queue_counts *c)
{
    bool ok = s->why.text[0] == '\0';
    char digest[20] = "-";
    json_t *j = json_object();
    uint64_t applied = s->queue ? queue_applied(s->queue) : 0;

    if (s->queue) snprintf(digest, sizeof digest, "%016" PRIx64, queue_digest(s->queue));
    cli_table_add(&a->table, "%" PRIu32, s->number);
    cli_table_add(&a->table, "%" PRIu64, applied);
    add_counts(&a->table, c);
    cli_table_add(&a->table, "%s", digest);
    cli_table_add(&a->table, "%s", ok ? "ok" : s->why.text);
    json_object_set_new(j, "dir", json_string(a->dir));
    json_object_set_new(j, "shard", json_integer(s->number));
    json_object_set_new(j, "applied", json_integer((json_int_t)applied));
    put_counts(j, c);
    json_object_set_new(j, "digest", json_string(digest));
    json_object_set_new(j, "verdict", json_string(ok ? "ok" : s->why.text));
    json_array_append_new(a->shards, j);
    add_total(&a->total, c);
    if (ok) return;
    if (a->failed++ == 0)
        snprintf(a->first_failure, sizeof a->first_failure, "shard %" PRIu32 ": %s", s->number,
                 s->why.text);
    json_array_append_new(
        a->failures, json_sprintf("%s: shard %" PRIu32 ": %s", a->dir, s->number, s->why.text));
}

/* ---- every recipient on a line */

static void list_recipient(struct audit *a, uint64_t id, const Angarium__RecipientRecord *r)
{
    char *address = span_dup(proto_span(r->address)), text[BASE32_SIZE];
    struct buf shown;

    base32_print(id, text);
    buf_init(&shown, 64u << 10);
    cli_plain(address, &shown);
    if (a->json)
        json_array_append_new(a->recipients,
                              json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", text, "recipient",
                                        buf_cstr(&shown), "state", proto_state_name(r->state),
                                        "attempts", (json_int_t)r->attempts, "doubts",
                                        (json_int_t)r->doubts));
    else
        printf("%s %s %s %" PRIu32 " %" PRIu32 "\n", text, buf_cstr(&shown),
               proto_state_name(r->state), r->attempts, r->doubts);
    buf_deinit(&shown);
    free(address);
}

static void list_message(struct audit *a, uint32_t shard, uint64_t index)
{
    Angarium__MessageRecord *m = NULL;

    if (queue_message_get(a->state, shard, index, &m) != 0) return;
    for (uint32_t i = 0; i < m->recipient_count; i++) {
        Angarium__RecipientRecord *r = NULL;

        if (queue_recipient_get(a->state, shard, index, i, &r) != 0) continue;
        list_recipient(a, proto_id(shard, index), r);
        queue_recipient_free(&r);
    }
    queue_message_free(&m);
}

static void list_shard(struct audit *a, uint32_t shard)
{
    uint64_t list[LIST_BATCH], after = 0;
    size_t n;

    do {
        n = queue_messages(a->state, shard, after, false, list, LIST_BATCH);
        for (size_t i = 0; i < n; i++)
            list_message(a, shard, list[i]);
        if (n > 0) after = list[n - 1];
    } while (n == LIST_BATCH);
}

/* ---- one directory */

static void audit_shard(struct audit *a, uint32_t number)
{
    struct shard_audit s = { .number = number, .first = 1 };
    struct queue_counts c = { 0 };

    if (queue_open(&s.queue, a->state, number, &s.why) == 0) {
        replay(a, &s);
        queue_counts(s.queue, &c);
        judge(a, &s, &c);
    }
    end_progress();
    if (a->list) list_shard(a, number);
    record_shard(a, &s, &c);
    queue_close(&s.queue);
}

/* A node of several holds those shards that its log knows; of those that moved away a tombstone is left. */
static uint32_t shards_max(const struct audit *a)
{
    return a->in_cluster ? CONTROL_SHARDS_MAX : a->identity.shards;
}

static bool is_held(struct audit *a, uint32_t shard)
{
    struct store_group g;
    struct errmsg why;

    if (!a->in_cluster) return true;
    return store_group_read(a->log, shard, &g, &why) != 0 || (g.known && (!g.buried || g.last > 0));
}

static int audit_dir(struct audit *a, const char *dir)
{
    struct errmsg why = { "" };
    struct cluster_self self;
    int rv;

    a->dir = dir;
    rv = ops_identity_read(dir, &a->identity, &why);
    if (rv != 0) return cli_fail(rv == ERR_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "%s", why.text);
    rv = cluster_self_read(dir, &self, &why);
    if (rv != 0 && rv != ERR_NOT_FOUND) return cli_fail(CLI_FAILED, "%s", why.text);
    a->in_cluster = rv == 0;
    rv = refuse_if_running(dir);
    if (rv == CLI_DONE) rv = open_stores(a);
    for (uint32_t i = 1; rv == CLI_DONE && i <= shards_max(a); i++)
        if (is_held(a, i)) audit_shard(a, i);
    close_stores(a);
    return rv;
}

/* ---- the verb */

static void print_table(struct audit *a)
{
    cli_table_add(&a->table, "total");
    cli_table_add(&a->table, "%s", "");
    add_counts(&a->table, &a->total);
    cli_table_add(&a->table, "%s", "");
    cli_table_add(&a->table, "%s", a->failed ? "FAILED" : "ok");
    cli_table_print(&a->table, a->list ? stderr : stdout);
}

static void print_verdict(struct audit *a)
{
    FILE *to = a->json ? stderr : stdout;

    fflush(stderr);
    if (a->failed)
        fprintf(to, "audit: FAILED: %s%s\n", a->first_failure, a->failed > 1 ? " (and more)" : "");
    else
        fprintf(to, "audit: ok\n");
}

static void print_result(struct audit *a)
{
    if (a->json) {
        json_t *total = json_object(), *all;

        put_counts(total, &a->total);
        all = json_pack("{s:s, s:O, s:o, s:O}", "verdict", a->failed ? "failed" : "ok", "shards",
                        a->shards, "total", total, "failures", a->failures);
        if (a->list) json_object_set(all, "recipients", a->recipients);
        cli_print_json(all);
        json_decref(all);
    } else {
        print_table(a);
    }
    print_verdict(a);
}

static int audit_all(struct audit *a, const char *const *dirs, unsigned count)
{
    static const char *const heads[] = { ">SHARD",     ">APPLIED",   ">MESSAGES", ">ACCEPTED",
                                         ">PENDING",   ">DELIVERED", ">BOUNCED",  ">EXPIRED",
                                         ">CANCELLED", ">IN DOUBT",  "DIGEST",    "VERDICT" };
    int rv = CLI_DONE;

    a->shards = json_array();
    a->recipients = json_array();
    a->failures = json_array();
    cli_table_start(&a->table, heads, 12);
    for (unsigned i = 0; rv == CLI_DONE && i < count; i++)
        rv = audit_dir(a, dirs[i]);
    if (rv == CLI_DONE) print_result(a);
    json_decref(a->shards);
    json_decref(a->recipients);
    json_decref(a->failures);
    if (rv != CLI_DONE) return rv;
    return a->failed ? CLI_FAILED : CLI_DONE;
}

static int run(int argc, char **argv)
{
    struct audit a = { 0 };
    const char *dirs[DIRS_MAX], *format = NULL;
    unsigned count = 0;
    const struct cli_option options[] = {
        { .name = "list", .flag = &a.list },
        { .name = "output", .letter = 'o', .text = &format },
    };
    int rv = cli_read(argc, argv, options, 2, dirs, DIRS_MAX, &count);

    if (rv != 0) return rv;
    if (count == 0)
        return cli_usage(argv[0], "which data directory? (node.data_dir of the settings)");
    if (format && strcmp(format, "json") != 0 && strcmp(format, "table") != 0)
        return cli_usage(argv[0], "-o is table or json, not \"%s\"", format);
    a.json = format && strcmp(format, "json") == 0;
    return audit_all(&a, dirs, count);
}

const struct cli_verb cli_verb_audit = {
    .name = "audit",
    .usage = "DATA_DIR... [--list] [-o table|json]",
    .line = "prove from the data that no accepted mail is lost",
    .help = "Reads the data directories of stopped nodes and checks every shard: each accepted "
            "recipient is pending or\n"
            "has exactly one terminal event, and all indexes agree. What the log holds beyond the "
            "state is replayed\n"
            "in memory; the directory stays as it was. The last line is `audit: ok` or `audit: "
            "FAILED: why`.\n"
            "Exit: 0 all is well, 1 not, 3 no data there, 5 the node still runs.\n"
            "  --list   one line for every recipient of all kept messages: id recipient state "
            "attempts doubts\n"
            "           (the table then goes to standard error)\n"
            "\n"
            "Examples:\n"
            "  angarium audit /var/lib/angarium\n"
            "  angarium audit --list ./angarium-dev/node-1 | awk '$3 == \"delivered\"' | wc -l\n",
    .run = run,
};
