/* script - runs a text that tells a group of cores what happens (lines with "> ") and holds, below each, what they
 * did (scripts.c, script_mutants.h).
 *
 * Commands (N, M: nodes; everything else is optional):
 *   group N [learners=K] [election= heartbeat= rest= window= entries= unapplied= uncommitted= stall= low= runs=]
 *         [spread=zone|region] [zones=1,1,2] [prio=9,5,5]      nodes 1..N vote, the next K learn; all boot
 *   spare N                      a node that is no member
 *   timeout N | time N MS | tick MS                            until its wake time; that much; all of them
 *   deliver [N M] | drop [N M] | again N M | back              what is on its way (from N to M); `again`: leave a
 *                                copy; `back`: the newest first
 *   run                          syncs, delivers and applies until nothing moves
 *   cut N M | way N M | isolate N | heal                       both ways; only from N to M
 *   sync N [COUNT] | apply N | iofail N
 *   propose N [x=K] [more] [fence=T]
 *   crash N [keep=K] | boot N [lost=T] | lose N FROM           lose: synced entries from FROM on, while down
 *   cutlog N UPTO | install N [fail] | snapshots fail|work
 *   read N CONTEXT | transfer N [to=M] [within=MS] | recover N nodes=1,2 [within=MS] [dry]
 *   reconf N MEMBER... [spread=] [version=] [hasty]            MEMBER: 4, 4l learns, 4p learns and is promoted;
 *                                then /ZONE, !PRIORITY
 *   peer N M up|down|woke | disk N age=MS [free=PERMILLE]
 *   state | log | peers N | quiet | loud
 */
#ifndef TEST_CORE_SCRIPT_H
#define TEST_CORE_SCRIPT_H

#include <errno.h>
#include <stdio.h>

#include "tests/unit/raft/core/toy.h"

#define FOLDER    "tests/unit/raft/core/scripts"
#define WORDS_MAX 16

static struct toy toy;
static bool is_quiet, failed;

/* ---- words */

struct line {
    unsigned count;
    const char *words[WORDS_MAX];
    char text[256];
};

static void split(struct line *l, const char *text, size_t n)
{
    char *p;

    CHECK(n < sizeof l->text);
    memcpy(l->text, text, n);
    l->text[n] = '\0';
    l->count = 0;
    for (p = l->text; *p && l->count < WORDS_MAX;) {
        while (*p == ' ')
            *p++ = '\0';
        if (*p) l->words[l->count++] = p;
        while (*p && *p != ' ')
            p++;
    }
}

static const char *word(const struct line *l, unsigned i)
{
    return i < l->count ? l->words[i] : "";
}

static uint64_t number(const struct line *l, unsigned i)
{
    return strtoull(word(l, i), NULL, 10);
}

static bool has(const struct line *l, const char *name)
{
    for (unsigned i = 1; i < l->count; i++)
        if (strcmp(l->words[i], name) == 0) return true;
    return false;
}

static const char *value(const struct line *l, const char *name)
{
    size_t n = strlen(name);

    for (unsigned i = 1; i < l->count; i++)
        if (strncmp(l->words[i], name, n) == 0 && l->words[i][n] == '=') return l->words[i] + n + 1;
    return NULL;
}

static uint64_t value_or(const struct line *l, const char *name, uint64_t otherwise)
{
    const char *v = value(l, name);

    return v ? strtoull(v, NULL, 10) : otherwise;
}

/* The i-th number of "1,2,3"; the last one stands for those behind it. */
static uint64_t nth(const char *list, unsigned i, uint64_t otherwise)
{
    if (!list) return otherwise;
    while (i-- > 0 && strchr(list, ','))
        list = strchr(list, ',') + 1;
    return strtoull(list, NULL, 10);
}

static unsigned node_of(const struct line *l, unsigned i)
{
    uint64_t n = number(l, i);

    if (n == 0 || n > TOY_NODES || !toy.nodes[n].made) {
        buf_addf(toy_text, "no such node: %s\n", word(l, i));
        failed = true;
        return 0;
    }
    return (unsigned)n;
}

/* ---- commands */

static uint8_t spread_of(const char *name)
{
    if (!name) return CORE_SPREAD_NONE;
    return strcmp(name, "zone") == 0 ? CORE_SPREAD_ZONE : CORE_SPREAD_REGION;
}

static void do_group(const struct line *l)
{
    unsigned voters = (unsigned)number(l, 1), learners = (unsigned)value_or(l, "learners", 0);
    struct core_options o = { .election_ms = (uint32_t)value_or(l, "election", 100),
                              .heartbeat_ms = (uint32_t)value_or(l, "heartbeat", 10),
                              .rest_after_ms = (uint32_t)value_or(l, "rest", 0),
                              .disk_stall_ms = (uint32_t)value_or(l, "stall", 0),
                              .low_permille = (uint16_t)value_or(l, "low", 0),
                              .window_entries = (uint32_t)value_or(l, "window", 0),
                              .append_entries_max = (uint32_t)value_or(l, "entries", 0),
                              .append_bytes_max = (uint32_t)value_or(l, "bytes", 0),
                              .uncommitted_bytes_max = value_or(l, "uncommitted", 1000),
                              .unapplied_bytes_max = value_or(l, "unapplied", 0),
                              .limits = { .members_max = 9,
                                          .runs_max = (unsigned)value_or(l, "runs", 0) } };

    o.config.spread = spread_of(value(l, "spread"));
    o.config.count = voters + learners;
    for (unsigned i = 0; i < o.config.count; i++)
        o.config.members[i] =
            (struct core_member){ .node = i + 1,
                                  .flags = i < voters ? CORE_VOTES_NEW : CORE_LEARNS,
                                  .zone = (uint16_t)nth(value(l, "zones"), i, 0),
                                  .region = (uint16_t)nth(value(l, "regions"), i, 0),
                                  .priority = (uint8_t)nth(value(l, "prio"), i, 1) };
    toy_init(&toy, &o);
    for (unsigned n = 1; n <= o.config.count; n++)
        toy_make(&toy, n);
}

static bool matches(const struct toy_msg *p, const struct line *l)
{
    if (p->after_write > 0) return false;
    return l->count < 3 || (p->m.from == number(l, 1) && p->m.to == number(l, 2));
}

/* What is on its way now; what comes meanwhile waits. */
static void do_deliver(const struct line *l)
{
    unsigned left = toy.msg_count;

    for (unsigned i = 0; left > 0; left--) {
        if (matches(&toy.msgs[i], l))
            toy_deliver(&toy, i);
        else
            i++;
    }
}

static void do_back(const struct line *l)
{
    for (unsigned i = toy.msg_count; i-- > 0;)
        if (matches(&toy.msgs[i], l)) toy_deliver(&toy, i);
}

static void do_again(const struct line *l)
{
    unsigned count = toy.msg_count;

    for (unsigned i = 0; i < count; i++)
        if (matches(&toy.msgs[i], l)) toy_recv(&toy, &toy.msgs[i]);
}

static void do_drop(const struct line *l)
{
    for (unsigned i = 0; i < toy.msg_count;) {
        if (matches(&toy.msgs[i], l))
            toy_lose(&toy, i);
        else
            i++;
    }
}

static bool move(unsigned n)
{
    struct toy_node *node = &toy.nodes[n];
    bool moved = false;

    if (!node->up) return false;
    if (node->write_count > 0) toy_sync(&toy, n, TOY_WRITES), moved = true;
    if (node->installing.index > 0) toy_install(&toy, n, true), moved = true;
    if (node->applied < node->commit) toy_apply(&toy, n), moved = true;
    if (node->wake_at_ms <= node->now_ms) toy_time(&toy, n, node->now_ms), moved = true;
    return moved;
}

static void do_run(void)
{
    static const struct line all = { .count = 1 };

    for (unsigned round = 0; round < 100; round++) {
        bool moved = false;

        for (unsigned n = 1; n <= TOY_NODES; n++)
            moved |= move(n);
        for (unsigned i = 0; i < toy.msg_count; i++)
            moved |= toy.msgs[i].after_write == 0;
        do_deliver(&all);
        if (!moved) return;
    }
    TOY_SAY("still moving\n");
    failed = true;
}

static void do_cut(const struct line *l, bool both)
{
    toy.cut[number(l, 1)][number(l, 2)] = true;
    if (both) toy.cut[number(l, 2)][number(l, 1)] = true;
}

static void do_isolate(uint64_t n)
{
    for (unsigned o = 1; o <= TOY_NODES; o++)
        toy.cut[n][o] = toy.cut[o][n] = true;
}

static void do_tick(uint64_t ms)
{
    for (unsigned n = 1; n <= TOY_NODES; n++) {
        struct toy_node *node = &toy.nodes[n];

        node->now_ms += ms;
        if (node->up && node->wake_at_ms <= node->now_ms) toy_time(&toy, n, 0);
    }
}

static void do_event(unsigned n, struct core_event *e)
{
    toy_step(&toy, n, e, NULL);
}

static void do_reconf(unsigned n, const struct line *l)
{
    struct core_event e = { .kind = CORE_RECONF };
    struct core_config g = { .spread = spread_of(value(l, "spread")) };

    for (unsigned i = 2; i < l->count; i++) {
        struct core_member *m = &g.members[g.count];
        char *p;

        m->node = strtoull(l->words[i], &p, 10);
        if (p == l->words[i]) continue;
        m->flags = CORE_VOTES_NEW;
        m->priority = 1;
        if (*p == 'l') m->flags = CORE_LEARNS, p++;
        if (*p == 'p') m->flags = CORE_LEARNS | CORE_PROMOTE, p++;
        if (*p == '/') m->zone = (uint16_t)strtoul(p + 1, &p, 10);
        if (*p == '!') m->priority = (uint8_t)strtoul(p + 1, &p, 10);
        g.count++;
    }
    e.u.reconf.config = &g;
    e.u.reconf.version = (uint32_t)value_or(l, "version", 0);
    e.u.reconf.hasty = has(l, "hasty");
    TOY_SAY("%u reconf", n);
    do_event(n, &e);
}

static void do_recover(unsigned n, const struct line *l)
{
    struct core_event e = { .kind = CORE_RECOVER };
    const char *list = value(l, "nodes");
    uint64_t nodes[CORE_VOTERS_MAX];
    unsigned count = 1;

    for (const char *p = list; *p; p++)
        count += *p == ',';
    for (unsigned i = 0; i < count; i++)
        nodes[i] = nth(list, i, 0);
    e.u.recover.nodes = nodes;
    e.u.recover.count = count;
    e.u.recover.within_ms = (uint32_t)value_or(l, "within", 1000);
    e.u.recover.dry = has(l, "dry");
    TOY_SAY("%u recover", n);
    do_event(n, &e);
}

static void do_lose(unsigned n, uint64_t from)
{
    struct toy_node *node = &toy.nodes[n];

    CHECK(!node->up);
    node->disk.last = from - 1;
    node->memory = node->disk;
    node->is_tainted = true;
}

static void show_state(void)
{
    for (unsigned n = 1; n <= TOY_NODES; n++) {
        struct core_view v;

        if (!toy.nodes[n].made) continue;
        if (!toy.nodes[n].up) {
            buf_addf(toy_text, "%u down\n", n);
            continue;
        }
        core_see(toy_core(&toy, n), &v);
        buf_addf(toy_text, "%u %s t%u", n, toy_roles[v.role], U(v.term));
        if (v.vote == CORE_VOTE_LOST)
            buf_add_cstr(toy_text, " vote lost");
        else if (v.vote)
            buf_addf(toy_text, " vote %u", U(v.vote));
        if (v.leader && v.role != CORE_LEADER) buf_addf(toy_text, " of %u", U(v.leader));
        buf_addf(toy_text, " log %u..%u@%u commit %u applied %u%s%s%s%s | ", U(v.first), U(v.last),
                 U(v.last_term), U(v.commit), U(v.applied), v.ready ? " ready" : "",
                 v.resting ? " resting" : "", v.tainted ? " tainted" : "",
                 v.recovering ? " recovering" : "");
        toy_print_config(toy_text, core_config_now(toy_core(&toy, n)));
        buf_addf(toy_text, "%s\n", v.config_committed ? "" : " (not committed)");
    }
}

static void show_logs(void)
{
    for (unsigned n = 1; n <= TOY_NODES; n++) {
        const struct toy_disk *d = &toy.nodes[n].memory;

        if (!toy.nodes[n].made) continue;
        buf_addf(toy_text, "%u:", n);
        for (uint64_t i = d->first; i <= d->last; i++)
            buf_addf(toy_text, " %u@%u%s", U(i), U(d->log[i].term),
                     d->log[i].kind == CORE_CONFIG ? "c" : "");
        buf_add_cstr(toy_text, "\n");
    }
}

static void show_peers(unsigned n)
{
    static const char *const progress[] = { "probes", "replicates", "snapshots" };
    struct core_peer_view v;

    for (unsigned i = 0; core_see_peer(toy_core(&toy, n), i, &v); i++)
        buf_addf(toy_text, "%u: %u %s match %u next %u%s%s%s\n", n, U(v.node), progress[v.progress],
                 U(v.match), U(v.next), v.up ? "" : " down", v.active ? "" : " silent",
                 v.resting ? " resting" : "");
}

static bool on_world(const struct line *l)
{
    const char *verb = word(l, 0);

    if (strcmp(verb, "group") == 0) return do_group(l), true;
    if (strcmp(verb, "spare") == 0) return toy_make(&toy, (unsigned)number(l, 1)), true;
    if (strcmp(verb, "tick") == 0) return do_tick(number(l, 1)), true;
    if (strcmp(verb, "deliver") == 0) return do_deliver(l), true;
    if (strcmp(verb, "back") == 0) return do_back(l), true;
    if (strcmp(verb, "again") == 0) return do_again(l), true;
    if (strcmp(verb, "drop") == 0) return do_drop(l), true;
    if (strcmp(verb, "run") == 0) return do_run(), true;
    if (strcmp(verb, "cut") == 0) return do_cut(l, true), true;
    if (strcmp(verb, "way") == 0) return do_cut(l, false), true;
    if (strcmp(verb, "isolate") == 0) return do_isolate(number(l, 1)), true;
    if (strcmp(verb, "heal") == 0) return memset(toy.cut, 0, sizeof toy.cut), true;
    if (strcmp(verb, "snapshots") == 0) return toy.drops_snapshots = has(l, "fail"), true;
    if (strcmp(verb, "state") == 0) return show_state(), true;
    if (strcmp(verb, "log") == 0) return show_logs(), true;
    if (strcmp(verb, "quiet") == 0) return is_quiet = true, true;
    if (strcmp(verb, "loud") == 0) return is_quiet = false, true;
    return false;
}

static bool on_node(const struct line *l, unsigned n)
{
    const char *verb = word(l, 0);
    struct core_event e = { .kind = CORE_TIME };

    if (strcmp(verb, "timeout") == 0) return toy_timeout(&toy, n), true;
    if (strcmp(verb, "time") == 0)
        return toy_time(&toy, n, toy.nodes[n].now_ms + number(l, 2)), true;
    if (strcmp(verb, "sync") == 0)
        return toy_sync(&toy, n, l->count > 2 ? (unsigned)number(l, 2) : TOY_WRITES), true;
    if (strcmp(verb, "apply") == 0) return toy_apply(&toy, n), true;
    if (strcmp(verb, "crash") == 0)
        return toy_crash(&toy, n, (unsigned)value_or(l, "keep", 0)), true;
    if (strcmp(verb, "boot") == 0) return toy_boot(&toy, n, value_or(l, "lost", 0)), true;
    if (strcmp(verb, "lose") == 0) return do_lose(n, number(l, 2)), true;
    if (strcmp(verb, "cutlog") == 0) return toy_cut(&toy, n, number(l, 2)), true;
    if (strcmp(verb, "install") == 0) return toy_install(&toy, n, !has(l, "fail")), true;
    if (strcmp(verb, "reconf") == 0) return do_reconf(n, l), true;
    if (strcmp(verb, "recover") == 0) return do_recover(n, l), true;
    if (strcmp(verb, "peers") == 0) return show_peers(n), true;
    if (strcmp(verb, "propose") == 0) {
        for (uint64_t i = value_or(l, "x", 1); i > 0; i--)
            toy_propose(&toy, n, value_or(l, "fence", 0), has(l, "more"));
        return true;
    }
    if (strcmp(verb, "iofail") == 0) return toy_iofail(&toy, n), true;
    if (strcmp(verb, "read") == 0) {
        e.kind = CORE_READ;
        e.u.read.context = number(l, 2);
    } else if (strcmp(verb, "transfer") == 0) {
        e.kind = CORE_TRANSFER;
        e.u.transfer.to = value_or(l, "to", 0);
        e.u.transfer.within_ms = (uint32_t)value_or(l, "within", 0);
    } else if (strcmp(verb, "peer") == 0) {
        e.kind = CORE_PEER;
        e.u.peer.node = number(l, 2);
        e.u.peer.up = !has(l, "down");
        e.u.peer.woke = has(l, "woke");
    } else if (strcmp(verb, "disk") == 0) {
        e.kind = CORE_DISK;
        e.u.disk.oldest_ms = (uint32_t)value_or(l, "age", 0);
        e.u.disk.free_permille = (uint16_t)value_or(l, "free", 0);
    } else {
        return false;
    }
    TOY_SAY("%u %s", n, verb);
    do_event(n, &e);
    return true;
}

static void do_command(const char *text, size_t n, struct buf *out)
{
    struct line l;
    struct buf hidden;
    unsigned node;

    split(&l, text, n);
    if (l.count == 0) return;
    buf_init(&hidden, 1u << 20);
    toy_text = is_quiet ? &hidden : out;
    if (strcmp(word(&l, 0), "state") == 0 || strcmp(word(&l, 0), "log") == 0 ||
        strcmp(word(&l, 0), "peers") == 0)
        toy_text = out;
    if (!on_world(&l) && (node = node_of(&l, 1)) != 0 && !on_node(&l, node)) {
        buf_addf(out, "no such command\n");
        failed = true;
    }
    if (toy.broken) {
        buf_addf(out, "BROKEN: %s\n", toy.breach);
        failed = true;
    }
    toy_text = NULL;
    buf_deinit(&hidden);
}

/* ---- files */

static void run_text(const char *text, struct buf *out)
{
    while (*text) {
        size_t n = strcspn(text, "\n");

        if (n == 0 || *text == '#' || *text == '>') {
            buf_add(out, text, n);
            buf_add_cstr(out, "\n");
        }
        if (*text == '>') do_command(text + 1, n - 1, out);
        text += n + (text[n] == '\n');
    }
}

static void show_difference(const char *path, const char *old, const char *new)
{
    unsigned line = 1;
    size_t a = 0, b = 0;

    while (strcspn(old + a, "\n") == strcspn(new + b, "\n") &&
           strncmp(old + a, new + b, strcspn(old + a, "\n")) == 0 && old[a] && new[b]) {
        a += strcspn(old + a, "\n") + 1;
        b += strcspn(new + b, "\n") + 1;
        line++;
    }
    fprintf(stderr, "%s:%u:\n  expected: %.*s\n  came:     %.*s\n(--rewrite takes what came)\n",
            path, line, (int)strcspn(old + a, "\n"), old + a, (int)strcspn(new + b, "\n"), new + b);
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = check_calloc(1, 1u << 20);

    if (!f) {
        fprintf(stderr, "%s: %s (run from the top of the tree)\n", path, strerror(errno));
        exit(2);
    }
    CHECK(fread(text, 1, (1u << 20) - 1, f) < (1u << 20) - 1);
    fclose(f);
    return text;
}

static void run_file(const char *path, bool rewrite)
{
    char *text = read_file(path);
    struct buf out;

    buf_init(&out, 1u << 20);
    is_quiet = false;
    memset(&toy, 0, sizeof toy);
    run_text(text, &out);
    if (strcmp(text, buf_cstr(&out)) != 0) {
        if (rewrite) {
            FILE *f = fopen(path, "w");

            CHECK(f && fwrite(out.p, 1, out.n, f) == out.n && fclose(f) == 0);
        } else {
            show_difference(path, text, buf_cstr(&out));
            failed = true;
        }
    }
    if (toy.broken) fprintf(stderr, "%s: %s\n", path, toy.breach);
    if (failed) fprintf(stderr, "%s: failed\n", path);
    buf_deinit(&out);
    free(text);
}

#endif
