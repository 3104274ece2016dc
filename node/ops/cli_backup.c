/* cli_backup - angarium cluster backup DIR, angarium cluster backup verify DIR.
 *
 * Way:   control from the node that leads it, then each shard from the node that leads the shard, one after the other, checked as
 *        it comes and synced; at last manifest.json. Who leads may change meanwhile: then it is asked for again.
 * Rule:  what is acknowledged before the backup begins is in it; a shard is consistent in itself, shards are of different moments.
 *        A backup that was interrupted has no manifest and is not gone on with: another one needs another directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/ops/backup.h"
#include "node/ops/cli_backup.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

#define TRIES    40
#define PAUSE_MS 250

struct backup {
    const char *dir;
    struct cli_target sources[CONTROL_NODES_MAX];
    uint64_t nodes[CONTROL_NODES_MAX]; /* the number of each source; 0: not known yet */
    unsigned source_count;
    struct backup_manifest manifest;
    struct control *control;
    unsigned shards_wanted;
};

/* ---- sources */

static void add_source(struct backup *b, const struct cli_target *t, const char *url)
{
    struct cli_target *to;

    if (b->source_count == CONTROL_NODES_MAX) return;
    to = &b->sources[b->source_count++];
    *to = *t;
    snprintf(to->url, sizeof to->url, "%s%s", strstr(url, "://") ? "" : "http://", url);
}

/* Of a dev cluster: all its nodes. */
static void add_dev_sources(struct backup *b, const struct cli_target *t)
{
    char path[4200];
    struct errmsg why;
    json_t *j, *one;
    size_t i;

    snprintf(path, sizeof path, "%s/cluster.json", t->dir);
    j = cli_read_json(path, &why);
    json_array_foreach(json_object_get(j, "nodes"), i, one)
    {
        if (!strstr(t->url, cli_text(one, "http"))) add_source(b, t, cli_text(one, "http"));
    }
    json_decref(j);
}

static bool take_bytes(void *arg, struct span bytes)
{
    buf_add_span(arg, bytes);
    return !buf_failed((struct buf *)arg);
}

/* GET of JSON, quietly; NULL: no answer. */
static json_t *ask(const struct cli_target *t, const char *path)
{
    struct errmsg why;
    struct buf body;
    json_t *j = NULL;

    buf_init(&body, 64u << 20);
    if (cli_fetch(t, path, take_bytes, &body, &why) == CLI_DONE)
        j = json_loadb((const char *)body.p, body.n, 0, NULL);
    buf_deinit(&body);
    return j;
}

/* The item of `page` with that id (0: any) where `key` is what is wanted: the number under `node`; 0: there is none. */
static uint64_t find(const json_t *page, uint32_t id, const char *key, const char *node)
{
    const json_t *one, *value;
    size_t i;

    json_array_foreach(json_object_get(page, "items"), i, one)
    {
        value = json_object_get(one, key);
        if (id != 0 && cli_int(one, "id") != id) continue;
        if (json_is_true(value) || strcmp(cli_text(one, key), "leader") == 0)
            return (uint64_t)cli_int(one, node);
    }
    return 0;
}

/* Who leads the shard, or control (0); any node can say. 0: nobody knows. */
static uint64_t leader_of(const struct backup *b, uint32_t shard)
{
    uint64_t leader = 0;

    for (unsigned i = 0; leader == 0 && i < b->source_count; i++) {
        json_t *j = ask(&b->sources[i], shard ? "/api/v1/shards" : "/api/v1/nodes");

        leader = shard ? find(j, shard, "leads", "node") : find(j, 0, "control", "id");
        json_decref(j);
    }
    return leader;
}

/* ---- one file */

struct fetching {
    struct backup_check *check;
    int fd;
    uint64_t bytes;
    const char *name;
    bool is_shown;
    int rv; /* of the disk, or of the check */
};

static bool on_bytes(void *arg, struct span bytes)
{
    struct fetching *f = arg;
    char size[16];

    if (write(f->fd, bytes.p, bytes.n) != (ssize_t)bytes.n) f->rv = ERR_IO;
    if (f->rv == 0) f->rv = backup_check_add(f->check, bytes);
    f->bytes += bytes.n;
    cli_short_size(f->bytes, size);
    if (f->is_shown) fprintf(stderr, "\r\033[K%s: %s", f->name, size);
    return f->rv == 0;
}

static int fetch_from(struct backup *b, unsigned source, uint32_t shard, struct backup_entry *e,
                      struct errmsg *why)
{
    char name[24], path[4200], url[64];
    struct fetching f = { .name = name, .is_shown = cli_is_terminal(stderr) };
    int rv;

    backup_file_name(shard, name);
    snprintf(path, sizeof path, "%s/%s", b->dir, name);
    snprintf(url, sizeof url, "/api/v1/backups/%" PRIu32, shard);
    f.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (f.fd < 0) return errmsg_set(why, ERR_IO, "%s: %s", path, strerror(errno));
    backup_check_open(&f.check, shard, NULL);
    rv = cli_fetch(&b->sources[source], url, on_bytes, &f, why) == CLI_DONE ? 0 : ERR_AGAIN;
    if (f.rv == ERR_IO || (rv == 0 && fsync(f.fd) != 0))
        rv = errmsg_set(why, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    else if (f.rv == ERR_VERSION)
        rv = errmsg_set(why, ERR_VERSION, "the node writes a newer format; use its program");
    else if (rv == 0 && backup_check_end(f.check, &e->file) != 0)
        rv = errmsg_set(why, ERR_AGAIN, "%s: what came from node %" PRIu64 " is not whole", name,
                        e->node);
    if (f.is_shown) fprintf(stderr, "\r\033[K");
    close(f.fd);
    backup_check_close(&f.check);
    return rv;
}

/* From whoever leads it, asked for again while that changes. */
static int fetch(struct backup *b, uint32_t shard, struct backup_entry *e, struct errmsg *why)
{
    int rv = ERR_AGAIN;

    errmsg_set(why, ERR_AGAIN, "none of the endpoints leads it; give those of all nodes: --from");
    for (unsigned try = 0; rv == ERR_AGAIN && try < TRIES; try++) {
        if (try > 0) poll(NULL, 0, PAUSE_MS);
        e->node = leader_of(b, shard);
        for (unsigned i = 0; e->node != 0 && rv == ERR_AGAIN && i < b->source_count; i++) {
            if (b->nodes[i] != 0 && b->nodes[i] != e->node) continue;
            rv = fetch_from(b, i, shard, e, why);
            if (rv == 0) b->nodes[i] = e->node; /* it led */
        }
    }
    return rv;
}

/* The file of `e` is in the backup. */
static void count_file(struct backup *b, const struct backup_entry *e)
{
    struct backup_manifest *m = &b->manifest;

    if (e->file.head.shard > 0) m->shard_count++;
    if (m->format < e->file.head.format) m->format = e->file.head.format;
}

static void tell_file(const struct backup *b, const struct backup_entry *e)
{
    char name[24], size[16];

    backup_file_name(e->file.head.shard, name);
    cli_short_size(e->file.bytes, size);
    fprintf(stderr, "%s: %s from node %" PRIu64 ", index %" PRIu64, name, size, e->node,
            e->file.head.index);
    if (e->file.head.shard > 0)
        fprintf(stderr, ", %" PRIu64 " messages (%u of %u)", e->file.counts.messages,
                b->manifest.shard_count, b->shards_wanted);
    fprintf(stderr, "\n");
}

/* ---- the directory */

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    bool empty = d != NULL;
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) empty = false;
    if (d) closedir(d);
    return empty;
}

int cli_check_empty(const char *dir)
{
    if (access(dir, F_OK) != 0 && errno == ENOENT) return CLI_DONE;
    if (is_empty(dir)) return CLI_DONE;
    return cli_fail(CLI_REFUSED, "%s: is there and not an empty directory", dir);
}

int cli_make_empty(const char *dir)
{
    int rv = cli_check_empty(dir);

    if (rv != CLI_DONE || mkdir(dir, 0700) == 0 || errno == EEXIST) return rv;
    return cli_fail(CLI_FAILED, "%s: cannot be made: %s", dir, strerror(errno));
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rv = fd >= 0 ? fsync(fd) : -1;

    if (fd >= 0) close(fd);
    return rv;
}

static int write_manifest(const struct backup *b)
{
    json_t *j = backup_manifest_json(&b->manifest);
    char *text = json_dumps(j, JSON_INDENT(2)), path[4200];
    struct errmsg why = { "" };
    int rv;

    CHECK(text);
    snprintf(path, sizeof path, "%s/manifest.json", b->dir);
    rv = cli_dev_write_file(path, span_cstr(text), 0600, &why);
    free(text);
    json_decref(j);
    if (rv == 0 && sync_dir(b->dir) != 0)
        rv = errmsg_set(&why, ERR_IO, "%s: cannot be synced: %s", b->dir, strerror(errno));
    return rv == 0 ? CLI_DONE : cli_fail(CLI_FAILED, "%s", why.text);
}

/* ---- all of it */

static int take_control(const char *dir, const struct backup_manifest *m, struct control *control)
{
    struct backup_check *k = NULL;
    struct errmsg why = { "" };
    int rv = backup_file_check(dir, m, &m->control, NULL, &k, &why);

    if (rv == 0) rv = control_load(control, backup_check_control(k));
    backup_check_close(&k);
    return rv == 0 ? CLI_DONE
                   : cli_fail(CLI_FAILED, "%s", why.text[0] ? why.text : err_text(rv));
}

static int load_control(struct backup *b)
{
    int rv = take_control(b->dir, &b->manifest, b->control);

    if (rv != CLI_DONE) return rv;
    for (uint32_t i = 1; i <= control_shard_count(b->control); i++)
        b->shards_wanted += control_shard(b->control, i)->state != CONTROL_CLOSED;
    return CLI_DONE;
}

static int fetch_all(struct backup *b)
{
    struct backup_manifest *m = &b->manifest;
    struct errmsg why = { "" };
    int rv;

    if (fetch(b, 0, &m->control, &why) != 0)
        return cli_fail(CLI_NO_QUORUM, "control: %s", why.text);
    count_file(b, &m->control);
    tell_file(b, &m->control);
    memcpy(m->cluster, m->control.file.head.cluster, sizeof m->cluster);
    rv = load_control(b);
    m->shards = check_calloc(b->shards_wanted + 1, sizeof *m->shards);
    for (uint32_t i = 1; rv == CLI_DONE && i <= control_shard_count(b->control); i++) {
        struct backup_entry *e = &m->shards[m->shard_count];

        if (control_shard(b->control, i)->state == CONTROL_CLOSED) continue;
        if (fetch(b, i, e, &why) != 0)
            return cli_fail(CLI_NO_QUORUM, "shard %" PRIu32 ": %s", i, why.text);
        count_file(b, e);
        tell_file(b, e);
    }
    return rv;
}

static int print_done(const struct backup *b, bool json)
{
    const struct backup_manifest *m = &b->manifest;
    char id[2 * CONTROL_CLUSTER_SIZE + 1];
    uint64_t messages = 0;

    if (json) {
        json_t *j = backup_manifest_json(m);

        cli_print_json(j);
        json_decref(j);
        return CLI_DONE;
    }
    for (unsigned i = 0; i < m->shard_count; i++)
        messages += m->shards[i].file.counts.messages;
    cluster_print_id(m->cluster, id);
    printf("backup of cluster %s: %u shards, %" PRIu64 " pending messages\n", id, m->shard_count,
           messages);
    return CLI_DONE;
}

int cli_backup(struct cli_target *t, const char *const *from, unsigned from_count, const char *dir)
{
    struct backup *b;
    int rv = cli_target_find(t);

    if (rv != CLI_DONE) return rv;
    rv = cli_make_empty(dir);
    if (rv != CLI_DONE) return rv;
    b = check_calloc(1, sizeof *b);
    b->dir = dir;
    b->control = control_new();
    add_source(b, t, t->url);
    for (unsigned i = 0; i < from_count; i++)
        add_source(b, t, from[i]);
    if (t->dir && !t->endpoint) add_dev_sources(b, t);
    b->manifest.begun_ms = clock_wall_ms(&clock_real);
    rv = fetch_all(b);
    b->manifest.ended_ms = clock_wall_ms(&clock_real);
    if (rv == CLI_DONE) rv = write_manifest(b);
    if (rv == CLI_DONE) rv = print_done(b, t->json);
    backup_manifest_deinit(&b->manifest);
    control_free(&b->control);
    free(b);
    return rv;
}

/* ---- verifying */

/* All shards of control that are not closed, and no others. */
static int compare_shards(const struct backup_manifest *m, const struct control *control)
{
    unsigned at = 0;

    for (uint32_t i = 1; i <= control_shard_count(control); i++) {
        if (control_shard(control, i)->state == CONTROL_CLOSED) continue;
        if (at == m->shard_count || m->shards[at].file.head.shard != i)
            return cli_fail(CLI_FAILED, "shard %" PRIu32 " is missing in manifest.json", i);
        at++;
    }
    if (at == m->shard_count) return CLI_DONE;
    return cli_fail(CLI_FAILED, "manifest.json: control knows no shard %" PRIu32,
                    m->shards[at].file.head.shard);
}

int cli_backup_open(const char *dir, struct backup_manifest *m, struct control *control)
{
    struct errmsg why = { "" };
    int rv = backup_manifest_read(dir, m, &why);

    if (rv != 0) return cli_fail(rv == ERR_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "%s", why.text);
    rv = take_control(dir, m, control);
    return rv == CLI_DONE ? compare_shards(m, control) : rv;
}

int cli_backup_verify(const char *dir, bool json)
{
    struct backup *b = check_calloc(1, sizeof *b);
    const struct backup_manifest *m = &b->manifest;
    struct errmsg why = { "" };
    int rv;

    b->dir = dir;
    b->control = control_new();
    rv = cli_backup_open(dir, &b->manifest, b->control);
    for (unsigned i = 0; rv == CLI_DONE && i < m->shard_count; i++)
        if (backup_file_check(dir, m, &m->shards[i], NULL, NULL, &why) != 0)
            rv = cli_fail(CLI_FAILED, "%s", why.text);
    if (rv == CLI_DONE) rv = print_done(b, json);
    if (!json) printf("backup: %s\n", rv == CLI_DONE ? "ok" : "FAILED");
    backup_manifest_deinit(&b->manifest);
    control_free(&b->control);
    free(b);
    return rv;
}
