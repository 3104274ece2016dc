/* route_metrics - /metrics: the node's metrics, what the shards say of themselves, and which
 * program this is. */
#include <inttypes.h>
#include <stdlib.h>

#include "node/ops/inside.h"
#include "proto/ground/blob.h"
#include "proto/ground/check.h"
#include "proto/ground/metric.h"

#define METRICS_SIZE_MAX (8u << 20)

struct shard_metric {
    const char *name, *help;
    uint64_t (*value)(const struct commit_shard_view *v);
};

#define VALUE(name, expression)                                                                    \
    static uint64_t name(const struct commit_shard_view *v)                                        \
    {                                                                                              \
        return (uint64_t)(expression);                                                             \
    }
VALUE(of_leads, v->leads)
VALUE(of_term, v->raft.term)
VALUE(of_commit, v->raft.commit)
VALUE(of_applied, v->raft.applied)
VALUE(of_log_bytes, v->raft.log_bytes)
VALUE(of_uncommitted, v->raft.uncommitted_bytes)
VALUE(of_messages, v->counts.messages)
VALUE(of_bytes, v->counts.bytes)
VALUE(of_kept, v->counts.kept_messages)
VALUE(of_in_doubt, v->counts.in_doubt)
VALUE(of_in_doubt_now, v->counts.in_doubt_now)

static const struct shard_metric shard_metrics[] = {
    { "shard_leads", "1: this node leads the shard", of_leads },
    { "shard_term", "Term of the shard's group", of_term },
    { "shard_commit_index", "Last committed entry", of_commit },
    { "shard_applied_index", "Last applied entry", of_applied },
    { "shard_log_bytes", "Bytes in the log since the last cut", of_log_bytes },
    { "shard_uncommitted_bytes", "Bytes proposed and not committed", of_uncommitted },
    { "shard_messages", "Messages with recipients pending", of_messages },
    { "shard_bytes", "Bytes of messages with recipients pending", of_bytes },
    { "shard_kept_messages", "Messages kept, finished ones included", of_kept },
    { "shard_in_doubt", "Attempts that ended in doubt, ever", of_in_doubt },
    { "shard_in_doubt_now", "Recipients pending that may have arrived all the same", of_in_doubt_now },
};

static void print_shards(struct commit *commit, struct buf *out)
{
    unsigned shards = commit_shard_count(commit);
    struct commit_shard_view *views = check_calloc(shards + 1, sizeof *views);

    for (uint32_t i = 0; i < shards; i++)
        commit_shard_see(commit, i + 1, &views[i]);
    for (unsigned m = 0; m < sizeof shard_metrics / sizeof shard_metrics[0]; m++) {
        const struct shard_metric *what = &shard_metrics[m];

        buf_addf(out, "# HELP angarium_%s %s\n# TYPE angarium_%s gauge\n", what->name, what->help,
                 what->name);
        for (uint32_t i = 0; i < shards; i++)
            if (views[i].is_open)
                buf_addf(out, "angarium_%s{shard=\"%" PRIu32 "\"} %" PRIu64 "\n", what->name, i + 1,
                         what->value(&views[i]));
    }
    free(views);
}

/* A label's value: backslash, quote and end of line are escaped; the text is a path or names. */
static void add_label(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') buf_add_u8(out, '\\');
        buf_add_u8(out, (unsigned char)*text < 0x20 ? '?' : (uint8_t)*text);
    }
}

struct certificates_printed {
    struct buf *out;
    uint64_t now_ms;
};

static void print_certificate(void *arg, const char *use, const struct tls_certificate *c)
{
    struct certificates_printed *p = arg;

    buf_addf(p->out, "angarium_tls_certificate_days_left{use=\"%s\",file=\"", use);
    add_label(p->out, c->file);
    buf_add_cstr(p->out, "\",names=\"");
    add_label(p->out, c->names);
    buf_addf(p->out, "\",spki_sha256=\"%s\"} %" PRId64 "\n", c->spki_sha256,
             tls_days_left(c, p->now_ms));
}

static void print_certificates(const struct ops *ops, struct buf *out)
{
    struct certificates_printed p = { out, loop_wall_ms(ops->o.loop) };

    buf_add_cstr(out, "# HELP angarium_tls_certificate_days_left Days until a certificate expires\n"
                      "# TYPE angarium_tls_certificate_days_left gauge\n");
    certificates_each(ops, print_certificate, &p);
}

void route_metrics(struct call *c)
{
    const struct ops *ops = c->ops;
    struct buf out;

    buf_init(&out, METRICS_SIZE_MAX);
    metric_print(&out);
    print_shards(ops->o.commit, &out);
    print_certificates(ops, &out);
    buf_addf(
        &out,
        "# HELP angarium_build_info Which program this is\n# TYPE angarium_build_info gauge\n"
        "angarium_build_info{version=\"%s\",node=\"%" PRIu64 "\"} 1\n"
        "# HELP angarium_bodies_bytes Memory of bodies on their way, in and out, and in the cache\n"
        "# TYPE angarium_bodies_bytes gauge\nangarium_bodies_bytes %zu\n"
        "# HELP angarium_draining 1: the node is shutting down\n# TYPE angarium_draining gauge\n"
        "angarium_draining %d\n"
        "# HELP angarium_event_stream_clients Readers of the live event stream\n"
        "# TYPE angarium_event_stream_clients gauge\nangarium_event_stream_clients %u\n"
        "# HELP angarium_start_time_seconds When the process started\n"
        "# TYPE angarium_start_time_seconds gauge\nangarium_start_time_seconds %.3f\n",
        ANGARIUM_VERSION, ops->o.node, blob_bytes_total(), ops->draining ? 1 : 0,
        feed_client_count(ops->feed), (double)ops->started_ms / 1000);
    call_answer_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&out));
    buf_deinit(&out);
}
