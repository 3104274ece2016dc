/* verbs - what an operator does to nodes and shards, by the API and the command line, in a cluster of two nodes, of which one never was up:
 * it is looked at, refused with the reason, or done and waited for; what is only looked at changes nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/node/ops/ops_world.h"

#include "node/cluster/inside.h"
#include "node/peer/peer.h"

static struct world w;
static struct cluster *cluster;
static struct peers *peers;
static struct cluster_self self;
static atomic_uint ended, ended_on_disk; /* shards; of these, such as DATA/control said so */

/* ---- a wire to nobody */

static int send(struct wire *wire, uint64_t node, enum wire_lane lane, struct blob *frame)
{
    (void)wire, (void)node, (void)lane, (void)frame;
    return ERR_CLOSED;
}

static void resume(struct wire *wire, uint64_t node, enum wire_lane lane)
{
    (void)wire, (void)node, (void)lane;
}

static int peer(struct wire *wire, const struct wire_peer *p)
{
    (void)wire, (void)p;
    return 0;
}

static void forget(struct wire *wire, uint64_t node)
{
    (void)wire, (void)node;
}

static void remove_peer(struct wire *wire, const struct wire_peer *p)
{
    (void)wire, (void)p;
}

static const struct wire_calls wire_calls = {
    .send = send, .resume = resume, .peer = peer, .forget = forget, .remove = remove_peer
};
static struct wire wire = { &wire_calls };

/* ---- a cluster of one */

static void on_shard(void *arg, const struct cluster_shard *s)
{
    const struct commit_placement p = { .shard = s->shard,
                                        .founders = *s->founders,
                                        .wanted = *s->wanted,
                                        .version = s->version,
                                        .in_force = s->in_force,
                                        .closes = s->closes };

    (void)arg;
    commit_place(w.commit, &p);
}

static bool disk_says_ended(uint32_t shard)
{
    struct control *c = control_new();
    const struct control_shard *s = NULL;
    struct buf bytes;
    bool said;

    buf_init(&bytes, CONTROL_STATE_SIZE_MAX);
    if (file_read(w.dir, "control", &bytes, NULL) == 0 && control_load(c, buf_span(&bytes)) == 0)
        s = control_shard(c, shard);
    said = s && s->state == CONTROL_CLOSED;
    buf_deinit(&bytes);
    control_free(&c);
    return said;
}

static void on_shard_ended(void *arg, uint32_t shard)
{
    (void)arg;
    if (disk_says_ended(shard)) atomic_fetch_add(&ended_on_disk, 1);
    atomic_fetch_add(&ended, 1);
}

static void on_state(void *arg, enum control_node_state state)
{
    (void)arg;
    commit_set_cordoned(w.commit, state != CONTROL_SERVING);
}

struct told {
    struct loop_letter letter;
    uint32_t shard, version;
};

static void on_told(struct loop_letter *letter)
{
    struct told *t = CONTAINER_OF(letter, struct told, letter);

    if (cluster && t->version > 0) cluster_placed(cluster, t->shard, t->version);
    if (cluster && t->version == 0) cluster_emptied(cluster, t->shard);
    free(t);
}

static void on_placed(void *arg, uint32_t shard, uint32_t version)
{
    struct told *t = check_calloc(1, sizeof *t);

    (void)arg;
    *t = (struct told){ .letter.on_arrive = on_told, .shard = shard, .version = version };
    loop_post(w.loop, &t->letter);
}

static void on_empty(void *arg, uint32_t shard)
{
    on_placed(arg, shard, 0);
}

static void make_self(void)
{
    struct ops_identity identity;

    assert_int_equal(ops_identity_open(w.dir, 1, 2, &identity, NULL), 0);
    self = (struct cluster_self){ .node = 1, .format = PROTO_FORMAT_VERSION, .peer_count = 1 };
    memset(self.cluster, 7, sizeof self.cluster);
    memcpy(self.uuid, identity.uuid, sizeof self.uuid);
    self.peers[0] = (struct cluster_peer){ .node = 1, .votes = true, .address = "127.0.0.1:9" };
    assert_int_equal(cluster_self_start(w.dir, &self, NULL), 0);
}

static void open_rooms(void)
{
    char path[128];
    struct wire_events behind;

    assert_int_equal(loop_new(&w.loop, 0, NULL), 0);
    w.port = (struct raft_loop_port){ .arg = w.loop, .wake = loop_wake_arg };
    snprintf(path, sizeof path, "%s/log", w.dir);
    assert_int_equal(raft_open(&w.raft,
                               &(struct raft_options){ .dir = path,
                                                       .node_id = 1,
                                                       .loops = &w.port,
                                                       .loop_count = 1,
                                                       .memtable_bytes = 4u << 20 },
                               NULL, NULL),
                     0);
    snprintf(path, sizeof path, "%s/state", w.dir);
    assert_int_equal(queue_store_open(&w.store, path, NULL), 0);
    behind = raft_wire_events(w.raft);
    peers = peers_new(1, self.incarnation, &behind);
    assert_int_equal(commit_open(&w.commit,
                                 &(struct commit_options){ .loops = &w.loop,
                                                           .loop_count = 1,
                                                           .raft = w.raft,
                                                           .peers = peers,
                                                           .region = "here",
                                                           .store = w.store,
                                                           .data_dir = w.dir,
                                                           .node = 1,
                                                           .shard_max = CONTROL_SHARDS_MAX,
                                                           .calls = { NULL, on_placed, on_empty },
                                                           .limits.body_cache_bytes = 1u << 20 },
                                 NULL),
                     0);
    raft_wire_attach(w.raft, &wire);
    peers_attach(peers, &wire);
}

static void open_cluster(void)
{
    assert_int_equal(cluster_open(&cluster,
                                  &(struct cluster_options){
                                      .loop = w.loop,
                                      .raft = w.raft,
                                      .wire = &wire,
                                      .peers = peers,
                                      .dir = w.dir,
                                      .self = &self,
                                      .address = "127.0.0.1:9",
                                      .zone = "a",
                                      .region = "here",
                                      .shards_per_node = 2,
                                      .replicas = 1,
                                      .calls = { .on_shard = on_shard,
                                                 .on_shard_ended = on_shard_ended,
                                                 .on_state = on_state } },
                                  NULL),
                     0);
    assert_int_equal(ops_open(&w.ops,
                              &(struct ops_options){ .loop = w.loop,
                                                     .commit = w.commit,
                                                     .cluster = cluster,
                                                     .peers = peers,
                                                     .settings = w.settings,
                                                     .token = WORLD_TOKEN,
                                                     .node = 1 },
                              NULL),
                     0);
}

static int set_up(void **state)
{
    char probe[300];

    (void)state;
    snprintf(w.dir, sizeof w.dir, "/tmp/angarium-verbs-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    world_read_settings(&w);
    make_self();
    open_rooms();
    open_cluster();
    snprintf(w.target.url, sizeof w.target.url, "http://127.0.0.1:%u", (unsigned)ops_port(w.ops));
    snprintf(w.target.token, sizeof w.target.token, "%s", WORLD_TOKEN);
    assert_int_equal(pthread_create(&w.thread, NULL, world_run, w.loop), 0);
    snprintf(probe, sizeof probe, "%s/readyz", w.target.url);
    for (unsigned i = 0; cli_probe(probe, 1000) != 200; i++)
        assert_true(i < 20000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_stop(w.loop);
    pthread_join(w.thread, NULL);
    peers_stop(peers);
    loop_settle(w.loop);
    loop_turn(w.loop, 0);
    ops_close(&w.ops);
    cluster_close(&cluster);
    commit_close(&w.commit);
    peers_free(&peers);
    raft_close(&w.raft);
    queue_store_close(&w.store);
    loop_free(&w.loop);
    settings_unref(&w.settings);
    world_remove(w.dir);
    return 0;
}

/* ---- asking */

static json_t *ask(const char *method, const char *path, enum cli_exit wanted, long status)
{
    struct cli_answer a;
    char whole[256];
    enum cli_exit got;
    json_t *j;

    snprintf(whole, sizeof whole, "/api/v1/%s", path);
    got = (enum cli_exit)cli_call(&w.target, method, whole, NULL, span_of(NULL, 0), &a);
    if (got != wanted || a.status != status)
        fail_msg("%s %s: %ld, exit %d: %s", method, path, a.status, (int)got, buf_cstr(&a.body));
    j = json_incref(a.json);
    cli_answer_free(&a);
    return j;
}

static json_t *done(const char *path)
{
    json_t *j = ask("POST", path, CLI_DONE, 200);

    assert_true(json_array_size(json_object_get(j, "does")) > 0);
    assert_true(json_is_boolean(json_object_get(j, "dry_run")));
    return j;
}

static void do_it(const char *path)
{
    json_decref(done(path));
}

static void refused(const char *path, enum cli_exit wanted, long status, const char *type)
{
    json_t *j = ask("POST", path, wanted, status);
    const char *got = cli_text(j, "type");
    size_t n = strlen(got), m = strlen(type);

    if (n < m || strcmp(got + n - m, type) != 0) fail_msg("%s: %s, not %s", path, got, type);
    assert_true(*cli_text(j, "detail"));
    json_decref(j);
}

static void is_over(const char *path, const char *text)
{
    json_t *j = ask("GET", path, CLI_DONE, 200);

    assert_true(json_is_true(json_object_get(j, "done")));
    if (!strstr(cli_text(j, "progress"), text)) fail_msg("%s: %s", path, cli_text(j, "progress"));
    json_decref(j);
}

static void state_is(const char *wanted)
{
    json_t *j = ask("GET", "nodes/1", CLI_DONE, 200);

    assert_string_equal(cli_text(j, "state"), wanted);
    json_decref(j);
}

static size_t count_placements(const char *of_state)
{
    json_t *j = ask("GET", "placements", CLI_DONE, 200), *item;
    size_t i, n = 0;

    json_array_foreach(json_object_get(j, "items"), i, item) n +=
        !of_state || strcmp(cli_text(item, "state"), of_state) == 0;
    json_decref(j);
    return n;
}

static bool is_settled(void)
{
    json_t *j = ask("GET", "placements", CLI_DONE, 200);
    bool is = json_is_true(json_object_get(j, "settled"));

    assert_true(json_is_boolean(json_object_get(j, "settled")));
    json_decref(j);
    return is;
}

/* ---- the command line */

static int run(int argc, const char *const *words)
{
    char name[] = "angarium", url[300], token_file[200], token[200];
    char *argv[16] = { name };
    FILE *file;
    int n = 1;

    for (int i = 0; i < argc; i++)
        argv[n++] = (char *)(uintptr_t)words[i];
    snprintf(url, sizeof url, "--endpoint=%s", w.target.url);
    snprintf(token_file, sizeof token_file, "%s/token", w.dir);
    snprintf(token, sizeof token, "--token-file=%s/token", w.dir);
    file = fopen(token_file, "w");
    assert_non_null(file);
    assert_true(fputs(WORLD_TOKEN "\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(token_file, 0600), 0);
    argv[n++] = url;
    argv[n++] = token;
    return strcmp(argv[1], "node") == 0 ? cli_node(n - 1, argv + 1) : cli_main(n, argv, NULL, 0);
}
#define RUN(...)                                                                                   \
    run((int)(sizeof(const char *[]){ __VA_ARGS__ } / sizeof(char *)),                             \
        (const char *[]){ __VA_ARGS__ })

/* ---- a second node, which is down */

struct proposal {
    struct loop_letter letter;
    struct cluster_ask ask;
    const Angarium__ControlCommand *command;
    atomic_int rv; /* 1: not yet */
};

static void on_proposed(struct cluster_ask *a, int rv)
{
    atomic_store(&CONTAINER_OF(a, struct proposal, ask)->rv, rv);
}

static void on_proposal(struct loop_letter *letter)
{
    struct proposal *p = CONTAINER_OF(letter, struct proposal, letter);
    int rv;

    p->ask.on_done = on_proposed;
    rv = cluster_propose(cluster, &p->ask, p->command);
    if (rv != 0) atomic_store(&p->rv, rv);
}

static void a_turn_goes_by(void)
{
    json_decref(ask("GET", "nodes/1", CLI_DONE, 200));
}

static void propose(const Angarium__ControlCommand *command)
{
    struct proposal p = { .letter.on_arrive = on_proposal, .command = command, .rv = 1 };

    loop_post(w.loop, &p.letter);
    do { /* also what was answered is behind it then */
        a_turn_goes_by();
    } while (atomic_load(&p.rv) == 1);
    assert_int_equal(atomic_load(&p.rv), 0);
}

#define UUID_OF(digit) "01234567-89ab-4cde-8f01-23456789abc" digit

static void join(const char *token, int number, const char *uuid, const char *address, long status,
                 const char *type)
{
    json_t *node =
        json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "token", token, "node", number, "uuid", uuid,
                  "address", address, "zone", "b", "region", "there");
    char *text = json_dumps(node, 0);
    struct cli_answer a;

    cli_call(&w.target, "POST", "/api/v1/join", "application/json", span_cstr(text), &a);
    if (a.status != status || !strstr(cli_text(a.json, "type"), type))
        fail_msg("%s: %ld: %s", text, a.status, buf_cstr(&a.body));
    cli_answer_free(&a);
    free(text);
    json_decref(node);
}

static void a_second_node_comes(void **state)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlNodeState serving = ANGARIUM__CONTROL_NODE_STATE__INIT;
    json_t *j = ask("POST", "join-tokens", CLI_DONE, 200);

    (void)state;
    join(cli_text(j, "token"), 2, UUID_OF("2"), "127.0.0.1:8", 200, "");
    json_decref(j);
    serving.id = 2;
    serving.state = CONTROL_SERVING;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_NODE_STATE;
    command.node_state = &serving;
    propose(&command);
    j = ask("GET", "nodes/2", CLI_DONE, 200);
    assert_string_equal(cli_text(j, "state"), "serving");
    assert_false(json_is_true(json_object_get(j, "up")));
    json_decref(j);
}

/* The command line waits for it, too. */
static void a_region_that_is_down_is_drained(void **state)
{
    json_t *j;

    (void)state;
    is_over("operations/drain-region-there", "no node of region there is drained any more");
    json_decref(ask("GET", "operations/drain-region-nowhere", CLI_NOT_FOUND, 404));
    json_decref(ask("GET", "operations/drain-region-", CLI_NOT_FOUND, 404));
    j = done("regions/there/drain?dry_run=1");
    assert_string_equal(cli_text(j, "operation"), "drain-region-there");
    json_decref(j);
    assert_int_equal(RUN("region", "drain", "there"), CLI_DONE);
    is_over("operations/drain-region-there", "hold nothing");
    j = done("regions/there/drain"); /* what is so already is no refusal */
    assert_string_equal(cli_text(j, "operation"), "drain-region-there");
    json_decref(j);
    do_it("nodes/2/uncordon");
    is_over("operations/drain-region-there", "no node of region there is drained any more");
}

/* The command line waits for the drain, which is through: it holds nothing. */
static void a_node_that_is_down_is_drained_and_removed(void **state)
{
    json_t *j;

    (void)state;
    do_it("nodes/2/drain?dry_run=1");
    assert_int_equal(RUN("node", "show", "2"), CLI_DONE);
    assert_int_equal(RUN("node", "drain", "2"), CLI_DONE);
    is_over("operations/drain-2", "holds nothing");
    assert_int_equal(RUN("node", "remove", "2"), CLI_DONE);
    j = ask("GET", "nodes/2", CLI_DONE, 200);
    assert_string_equal(cli_text(j, "state"), "gone");
    json_decref(j);
    assert_int_equal(RUN("node", "remove", "1"), CLI_REFUSED);
}

/* ---- nodes */

static void a_node_is_cordoned_and_back(void **state)
{
    json_t *j;

    (void)state;
    j = done("nodes/1/cordon?dry_run=1");
    assert_true(json_is_true(json_object_get(j, "dry_run")));
    json_decref(j);
    state_is("serving");
    j = done("nodes/1/cordon");
    assert_false(json_is_true(json_object_get(j, "dry_run")));
    json_decref(j);
    state_is("cordoned");
    j = done("nodes/1/cordon"); /* what is so already is no refusal */
    assert_int_equal(
        strncmp(json_string_value(json_array_get(json_object_get(j, "does"), 0)), "nothing", 7), 0);
    json_decref(j);
    do_it("nodes/1/uncordon?dry_run=true");
    state_is("cordoned");
    do_it("nodes/1/uncordon");
    state_is("serving");
}

static void the_last_node_stays(void **state)
{
    (void)state;
    refused("nodes/1/drain", CLI_REFUSED, 409, "refused-for-safety");
    refused("nodes/1/drain?dry_run=1", CLI_REFUSED, 409, "refused-for-safety");
    refused("nodes/1/remove", CLI_REFUSED, 409, "refused-for-safety");
    refused("nodes/1/remove?force=true", CLI_REFUSED, 409, "refused-for-safety");
    refused("regions/here/drain", CLI_REFUSED, 409, "refused-for-safety");
    state_is("serving");
}

static void nodes_that_are_not_there(void **state)
{
    static const char *const verbs[] = { "cordon", "uncordon", "drain", "remove", "promote" };
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        snprintf(path, sizeof path, "nodes/9/%s", verbs[i]);
        refused(path, CLI_NOT_FOUND, 404, "not-found");
        snprintf(path, sizeof path, "nodes/x/%s?dry_run=1", verbs[i]);
        refused(path, CLI_NOT_FOUND, 404, "not-found");
        snprintf(path, sizeof path, "nodes/0/%s", verbs[i]);
        refused(path, CLI_NOT_FOUND, 404, "not-found");
    }
    refused("regions/nowhere/drain", CLI_NOT_FOUND, 404, "not-found");
    proto_format_set(PROTO_ADDED_REGION_DRAIN - 1); /* until the upgrade is finalized nobody could read it */
    refused("regions/nowhere/drain", CLI_REFUSED, 409, "refused-for-safety");
    proto_format_set(PROTO_FORMAT_VERSION);
    json_decref(ask("GET", "nodes/9", CLI_NOT_FOUND, 404));
}

static void a_node_is_promoted(void **state)
{
    json_t *j;

    (void)state;
    do_it("nodes/1/promote?dry_run=1");
    j = ask("GET", "nodes/1", CLI_DONE, 200);
    assert_false(json_is_true(json_object_get(j, "promoted")));
    assert_string_equal(cli_text(j, "control"), "leader");
    json_decref(j);
    do_it("nodes/1/promote");
    j = ask("GET", "nodes/1", CLI_DONE, 200);
    assert_true(json_is_true(json_object_get(j, "promoted")));
    json_decref(j);
}

/* ---- shards */

/* The command line waits until the operation is through. */
static void a_shard_is_born_and_closed(void **state)
{
    size_t before = count_placements(NULL);
    char shard[16], path[64];
    json_t *j;

    (void)state;
    do_it("shards?dry_run=1");
    assert_int_equal(count_placements(NULL), before);
    j = done("shards");
    snprintf(shard, sizeof shard, "%d", (int)cli_int(j, "shard"));
    json_decref(j);
    assert_int_equal(count_placements(NULL), before + 1);
    snprintf(path, sizeof path, "shards/%s/close?dry_run=1", shard);
    do_it(path);
    assert_int_equal(count_placements("open"), before + 1);
    assert_int_equal(RUN("shard", "close", shard), CLI_DONE);
    assert_int_equal(count_placements("open"), before);
    snprintf(path, sizeof path, "operations/close-%s", shard);
    j = ask("GET", path, CLI_DONE, 200);
    assert_true(json_is_true(json_object_get(j, "done")));
    json_decref(j);
    for (unsigned i = 0; atomic_load(&ended) == 0; i++) {
        assert_true(i < 20000);
        json_decref(ask("GET", path, CLI_DONE, 200));
    }
    assert_int_equal(atomic_load(&ended_on_disk), 1); /* else who restarts would open it again */
}

static void a_shard_stays_where_it_can_be(void **state)
{
    (void)state;
    refused("shards/1/transfer?to=2", CLI_REFUSED, 409, "refused-for-safety");
    refused("shards/1/transfer?to=x", CLI_FAILED, 400, "bad-request");
    refused("shards/1/transfer", CLI_FAILED, 400, "bad-request");
    refused("shards/1/move?voters=1,", CLI_FAILED, 400, "bad-request");
    refused("shards/1/move?voters=a", CLI_FAILED, 400, "bad-request");
    refused("shards/1/move?voters=", CLI_FAILED, 400, "bad-request");
    refused("shards/999/move?voters=1", CLI_NOT_FOUND, 404, "not-found");
    refused("shards/999/close", CLI_NOT_FOUND, 404, "not-found");
    refused("shards/999/transfer?to=1", CLI_NOT_FOUND, 404, "not-found");
    refused("shards?node=9", CLI_NOT_FOUND, 404, "not-found");
}

static void the_last_open_shard_stays(void **state)
{
    size_t open = count_placements("open");
    char path[64];

    (void)state;
    assert_true(open >= 2);
    for (unsigned i = 1; i <= open; i++) {
        snprintf(path, sizeof path, "shards/%u/close", i);
        if (i < open) do_it(path);
    }
    snprintf(path, sizeof path, "shards/%u/close", (unsigned)open);
    refused(path, CLI_REFUSED, 409, "refused-for-safety");
    assert_int_equal(count_placements("open"), 1);
}

/* ---- a third one, which is not let in at first, and is down, too */

struct deed {
    struct loop_letter letter;
    bool (*act)(void); /* false: not yet */
    atomic_bool done;
};

static void on_deed(struct loop_letter *letter)
{
    struct deed *d = CONTAINER_OF(letter, struct deed, letter);

    if (d->act())
        atomic_store(&d->done, true);
    else
        loop_post(w.loop, letter);
}

static void on_loop(bool (*act)(void))
{
    struct deed d = { .letter.on_arrive = on_deed, .act = act };

    loop_post(w.loop, &d.letter);
    for (unsigned i = 0; !atomic_load(&d.done); i++) {
        CHECK(i < 20000); /* the letter is on this stack */
        a_turn_goes_by();
    }
}

static uint64_t last_entry; /* of control's log */

static bool see_last(void)
{
    struct raft_group_view v;

    raft_group_see(cluster->group, &v);
    last_entry = v.last;
    return true;
}

static bool is_of_kind(uint64_t index, Angarium__ControlCommand__KindCase kind)
{
    Angarium__ControlCommand *command = NULL;
    struct blob *head = NULL;
    bool is;

    if (raft_entry_read(w.raft, CLUSTER_GROUP, index, &head, NULL) != 0) return false;
    is = control_unpack(blob_span(head), &command) == 0 && command->kind_case == kind;
    control_command_free(&command);
    blob_unref(&head);
    return is;
}

static unsigned in_log(Angarium__ControlCommand__KindCase kind)
{
    unsigned n = 0;

    on_loop(see_last);
    for (uint64_t i = 1; i <= last_entry; i++)
        n += is_of_kind(i, kind);
    return n;
}

static unsigned joins_in_log(void)
{
    return in_log(ANGARIUM__CONTROL_COMMAND__KIND_JOIN);
}

/* It may ask for ever, also without a token: no disk writes for it. */
static void who_is_not_let_in_leaves_nothing_in_the_log(void **state)
{
    json_t *j = ask("POST", "join-tokens", CLI_DONE, 200);
    const char *token = cli_text(j, "token");
    unsigned before = joins_in_log();

    (void)state;
    assert_int_equal(before, 2);
    for (unsigned i = 0; i < 10; i++) {
        join(token, 1, UUID_OF("3"), "127.0.0.1:7", 409, ":taken");
        join(token, 3, UUID_OF("2"), "127.0.0.1:7", 409, ":taken"); /* also of one that is gone */
        join(token, 3, UUID_OF("3"), "127.0.0.1:9", 409, ":taken");
        join("guess", 3, UUID_OF("3"), "127.0.0.1:7", 403, ":not-allowed");
    }
    assert_int_equal(joins_in_log(), before);
    join(token, 3, UUID_OF("3"), "127.0.0.1:7", 200, "");
    assert_int_equal(joins_in_log(), before + 1);
    join(token, 3, UUID_OF("3"), "127.0.0.1:7", 200, ""); /* it has not heard the answer */
    json_decref(j);
}

/* What is planned would take the shard back at once. */
static bool stop_planning(void)
{
    if (cluster->step_out) return false;
    cluster->step_out = true;
    return true;
}

static bool go_on_planning(void)
{
    cluster->step_out = false;
    return true;
}

static void place(json_int_t shard, uint64_t *voters, size_t count)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPlace what = ANGARIUM__CONTROL_PLACE__INIT;
    char path[64];
    json_t *j;

    snprintf(path, sizeof path, "shards/%d", (int)shard);
    j = ask("GET", path, CLI_DONE, 200);
    what.shard = (uint32_t)shard;
    what.version = (uint32_t)cli_int(j, "version");
    what.voters = voters;
    what.n_voters = count;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PLACE;
    command.place = &what;
    propose(&command);
    json_decref(j);
}

static size_t voter_count(json_int_t shard)
{
    char path[64];
    json_t *j;
    size_t n;

    snprintf(path, sizeof path, "shards/%d", (int)shard);
    j = ask("GET", path, CLI_DONE, 200);
    n = json_array_size(json_object_get(j, "voters"));
    json_decref(j);
    return n;
}

static json_int_t open_shard(void)
{
    json_t *j = ask("GET", "placements", CLI_DONE, 200), *item;
    json_int_t shard = 0;
    size_t i;

    json_array_foreach(json_object_get(j, "items"), i, item)
    {
        if (strcmp(cli_text(item, "state"), "open") == 0) shard = cli_int(item, "id");
    }
    json_decref(j);
    return shard;
}

static void a_voter_that_is_down_is_not_given_the_leadership(void **state)
{
    static const char *const flags[] = { "", "&dry_run=1" };
    uint64_t voters[] = { 1, 3 };
    json_int_t shard = open_shard();
    char path[64];

    (void)state;
    on_loop(stop_planning);
    place(shard, voters, 2);
    assert_false(is_settled());
    for (unsigned i = 0; i < 2; i++) {
        json_t *j;

        snprintf(path, sizeof path, "shards/%d/transfer?to=3%s", (int)shard, flags[i]);
        refused(path, CLI_REFUSED, 409, "refused-for-safety");
        j = ask("POST", path, CLI_REFUSED, 409);
        assert_non_null(strstr(cli_text(j, "detail"), "node 3 is down"));
        json_decref(j);
    }
    snprintf(path, sizeof path, "%d", (int)shard);
    assert_int_equal(RUN("shard", "transfer", path, "--to=3"), CLI_REFUSED);
    on_loop(go_on_planning);
}

static bool take_address_of_another(void)
{
    cluster->o.address = "127.0.0.1:7";
    return true;
}

static bool take_address_of_nobody(void)
{
    cluster->o.address = "127.0.0.1:6";
    return true;
}

static void node_is_at(const char *address)
{
    for (unsigned i = 0;; i++) {
        json_t *j = ask("GET", "nodes/1", CLI_DONE, 200);
        bool is = strcmp(cli_text(j, "address"), address) == 0;

        json_decref(j);
        if (is) return;
        assert_true(i < 20000);
    }
}

/* Planned is what takes the shard back from a node that does not come. */
static void who_has_the_address_of_another_goes_on_and_moves_later(void **state)
{
    uint64_t voters[] = { 1, 3 };
    json_int_t shard = open_shard();
    unsigned left;

    (void)state;
    on_loop(stop_planning);
    place(shard, voters, 2);
    on_loop(take_address_of_another);
    on_loop(go_on_planning);
    for (left = 20000; left > 0 && voter_count(shard) > 1; left--)
        ;
    assert_int_not_equal(left, 0);
    assert_int_equal(in_log(ANGARIUM__CONTROL_COMMAND__KIND_MOVE), 0);
    node_is_at("127.0.0.1:9");
    on_loop(take_address_of_nobody);
    node_is_at("127.0.0.1:6");
}

static void operations_that_are_not_there(void **state)
{
    static const char *const none[] = { "operations/close-999", "operations/drain-9",
                                        "operations/drain-x",   "operations/move-1-4000000",
                                        "operations/tidy-1",    "operations/-" };

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        json_decref(ask("GET", none[i], CLI_NOT_FOUND, 404));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_node_stays),
        cmocka_unit_test(nodes_that_are_not_there),
        cmocka_unit_test(a_node_is_promoted),
        cmocka_unit_test(a_shard_is_born_and_closed),
        cmocka_unit_test(a_shard_stays_where_it_can_be),
        cmocka_unit_test(operations_that_are_not_there),
        cmocka_unit_test(a_second_node_comes),
        cmocka_unit_test(a_node_is_cordoned_and_back),
        cmocka_unit_test(a_region_that_is_down_is_drained),
        cmocka_unit_test(a_node_that_is_down_is_drained_and_removed),
        cmocka_unit_test(the_last_open_shard_stays),
        cmocka_unit_test(who_is_not_let_in_leaves_nothing_in_the_log),
        cmocka_unit_test(a_voter_that_is_down_is_not_given_the_leadership),
        cmocka_unit_test(who_has_the_address_of_another_goes_on_and_moves_later),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
