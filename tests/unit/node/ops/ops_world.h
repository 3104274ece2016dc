/* ops_world - a whole commit with its API, on one loop in a thread of its own, over a directory in
 * /tmp: for the tests of this folder. Nothing is delivered, so mails wait. */
#ifndef TESTS_OPS_WORLD_H
#define TESTS_OPS_WORLD_H

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/cli.h"
#include "node/ops/ops.h"
#include "proto/ground/check.h"

#define WORLD_TOKEN "sesame-0123456789"

struct world {
    char dir[64];
    struct settings *settings;
    struct loop *loop;
    struct raft *raft;
    struct queue_store *store;
    void (*on_store)(struct queue_store *store); /* NULL, or called when it is open */
    struct commit *commit;
    struct ops *ops;
    pthread_t thread;
    struct raft_loop_port port;
    struct cli_target target;
};

static inline void world_read_settings(struct world *w)
{
    static const char text[] = "node: { id: 1, hostname: relay.test, data_dir: d, shards: 2 }\n"
                               "http: { address: \"127.0.0.1:0\", token_file: t }\n"
                               "tenants: [ { name: demo, domains: [ example.test ] } ]\n"
                               "limits: { message_size_max: 4MiB }\n";
    struct buf errors;

    buf_init(&errors, 4096);
    CHECK(settings_parse(&w->settings, "x", SPAN_LIT(text), &errors) == 0);
    buf_deinit(&errors);
}

static inline void world_open_commit(struct world *w)
{
    struct ops_identity identity;
    char path[128];

    CHECK(loop_new(&w->loop, 0, NULL) == 0);
    w->port = (struct raft_loop_port){ .arg = w->loop, .wake = loop_wake_arg };
    CHECK(ops_identity_open(w->dir, 1, 2, &identity, NULL) == 0);
    snprintf(path, sizeof path, "%s/log", w->dir);
    CHECK(raft_open(&w->raft,
                    &(struct raft_options){ .dir = path,
                                            .node_id = 1,
                                            .loops = &w->port,
                                            .loop_count = 1,
                                            .memtable_bytes = 4u << 20 },
                    NULL, NULL) == 0);
    snprintf(path, sizeof path, "%s/state", w->dir);
    CHECK(queue_store_open(&w->store, path, NULL) == 0);
    if (w->on_store) w->on_store(w->store);
    CHECK(commit_open(&w->commit,
                      &(struct commit_options){ .loops = &w->loop,
                                                .loop_count = 1,
                                                .raft = w->raft,
                                                .store = w->store,
                                                .data_dir = w->dir,
                                                .node = 1,
                                                .shard_count = 2,
                                                .limits.body_cache_bytes = 1u << 20 },
                      NULL) == 0);
}

static inline void *world_run(void *arg)
{
    loop_run(arg);
    return NULL;
}

/* Open and ready; w->dir is a new directory unless it is set. */
static inline void world_open(struct world *w)
{
    char probe[300];

    if (!w->dir[0]) {
        snprintf(w->dir, sizeof w->dir, "/tmp/angarium-ops-XXXXXX");
        CHECK(mkdtemp(w->dir));
    }
    world_read_settings(w);
    world_open_commit(w);
    CHECK(ops_open(&w->ops,
                   &(struct ops_options){ .loop = w->loop,
                                          .commit = w->commit,
                                          .settings = w->settings,
                                          .token = WORLD_TOKEN,
                                          .node = 1 },
                   NULL) == 0);
    snprintf(w->target.url, sizeof w->target.url, "http://127.0.0.1:%u",
             (unsigned)ops_port(w->ops));
    snprintf(w->target.token, sizeof w->target.token, "%s", WORLD_TOKEN);
    CHECK(pthread_create(&w->thread, NULL, world_run, w->loop) == 0);
    snprintf(probe, sizeof probe, "%s/readyz", w->target.url);
    for (unsigned i = 0; cli_probe(probe, 1000) != 200; i++)
        CHECK(i < 2000);
}

static inline void world_close(struct world *w)
{
    loop_stop(w->loop);
    pthread_join(w->thread, NULL);
    ops_close(&w->ops);
    commit_close(&w->commit);
    raft_close(&w->raft);
    queue_store_close(&w->store);
    loop_free(&w->loop);
    settings_unref(&w->settings);
}

static inline int world_remove_one(const char *path, const struct stat *st, int type,
                                   struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void world_remove(const char *path)
{
    nftw(path, world_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A mail by the API: its id (the caller frees), or NULL. */
static inline char *world_post(struct world *w, const char *json)
{
    struct cli_answer a;
    char *id = NULL;

    if (cli_call(&w->target, "POST", "/api/v1/messages", "application/json", span_cstr(json), &a) ==
        CLI_DONE)
        id = check_strdup(cli_text(a.json, "id"));
    cli_answer_free(&a);
    return id;
}

#endif
