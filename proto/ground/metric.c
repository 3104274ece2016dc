/* metric - the numbers of metric_table.h and their Prometheus text.
 *
 * Invariants: every number is one relaxed atomic of its own: a reader may see one of two related
 * numbers before the other, never a torn one. A histogram stores each bucket alone and is summed up
 * when printed, so that its _count is always its +Inf bucket. Adding to a metric of the wrong type
 * is a bug of ours (CHECK). A gauge that went below zero is printed as negative, so that the
 * imbalance is seen.
 */
#include "proto/ground/metric.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "proto/ground/check.h"

#define METRIC_PREFIX "angarium_"

enum metric_type { COUNTER, GAUGE, HISTOGRAM };

struct metric_row {
    const char *name, *labels, *help;
    enum metric_type type;
};

static const struct metric_row rows[METRIC_COUNT] = {
#define METRIC_ROW_(id, type_, name_, labels_, help_)                                              \
    [M_##id] = { .name = name_, .labels = labels_, .help = help_, .type = type_ },
    METRIC_TABLE(METRIC_ROW_)
#undef METRIC_ROW_
};

/* Upper ends of the buckets: three per factor of ten. */
static const struct bucket {
    uint64_t end_us;
    const char *le;
} buckets[] = {
    { 100, "0.0001" },  { 200, "0.0002" },  { 500, "0.0005" },    { 1000, "0.001" },
    { 2000, "0.002" },  { 5000, "0.005" },  { 10000, "0.01" },    { 20000, "0.02" },
    { 50000, "0.05" },  { 100000, "0.1" },  { 200000, "0.2" },    { 500000, "0.5" },
    { 1000000, "1" },   { 2000000, "2" },   { 5000000, "5" },     { 10000000, "10" },
    { 20000000, "20" }, { 50000000, "50" }, { 100000000, "100" }, { UINT64_MAX, "+Inf" },
};

#define BUCKET_COUNT (sizeof buckets / sizeof buckets[0])

static _Atomic(uint64_t) values[METRIC_COUNT]; /* of a histogram: the sum in microseconds */
static _Atomic(uint64_t) counts[METRIC_COUNT][BUCKET_COUNT];

void metric_add(enum metric m, uint64_t n)
{
    CHECK(rows[m].type != HISTOGRAM);
    atomic_fetch_add_explicit(&values[m], n, memory_order_relaxed);
}

void metric_sub(enum metric m, uint64_t n)
{
    CHECK(rows[m].type == GAUGE);
    atomic_fetch_sub_explicit(&values[m], n, memory_order_relaxed);
}

void metric_set(enum metric m, uint64_t v)
{
    CHECK(rows[m].type == GAUGE);
    atomic_store_explicit(&values[m], v, memory_order_relaxed);
}

void metric_time_us(enum metric m, uint64_t us)
{
    size_t i = 0;

    CHECK(rows[m].type == HISTOGRAM);
    while (us > buckets[i].end_us)
        i++;
    atomic_fetch_add_explicit(&counts[m][i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&values[m], us, memory_order_relaxed);
}

uint64_t metric_get(enum metric m)
{
    uint64_t count = 0;

    if (rows[m].type != HISTOGRAM) return atomic_load_explicit(&values[m], memory_order_relaxed);
    for (size_t i = 0; i < BUCKET_COUNT; i++)
        count += atomic_load_explicit(&counts[m][i], memory_order_relaxed);
    return count;
}

static void print_head(struct buf *out, const struct metric_row *row)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };

    buf_addf(out, "# HELP " METRIC_PREFIX "%s %s\n", row->name, row->help);
    buf_addf(out, "# TYPE " METRIC_PREFIX "%s %s\n", row->name, types[row->type]);
}

/* The name with its suffix, and its labels in braces when it has any. */
static void print_name(struct buf *out, const struct metric_row *row, const char *suffix)
{
    buf_addf(out, METRIC_PREFIX "%s%s", row->name, suffix);
    if (row->labels[0] != '\0') buf_addf(out, "{%s}", row->labels);
}

static void print_histogram(struct buf *out, enum metric m)
{
    const struct metric_row *row = &rows[m];
    uint64_t sum_us = atomic_load_explicit(&values[m], memory_order_relaxed);
    uint64_t count = 0;

    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        count += atomic_load_explicit(&counts[m][i], memory_order_relaxed);
        buf_addf(out, METRIC_PREFIX "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", row->name,
                 row->labels, row->labels[0] != '\0' ? "," : "", buckets[i].le, count);
    }
    print_name(out, row, "_sum");
    buf_addf(out, " %" PRIu64 ".%06" PRIu64 "\n", sum_us / 1000000, sum_us % 1000000);
    print_name(out, row, "_count");
    buf_addf(out, " %" PRIu64 "\n", count);
}

static void print_number(struct buf *out, enum metric m)
{
    uint64_t v = metric_get(m);

    print_name(out, &rows[m], "");
    if (rows[m].type == GAUGE)
        buf_addf(out, " %" PRId64 "\n", (int64_t)v);
    else
        buf_addf(out, " %" PRIu64 "\n", v);
}

void metric_print(struct buf *out)
{
    for (enum metric m = 0; m < METRIC_COUNT; m++) {
        bool is_first = m == 0 || strcmp(rows[m].name, rows[m - 1].name) != 0;
        if (is_first) print_head(out, &rows[m]);
        if (rows[m].type == HISTOGRAM)
            print_histogram(out, m);
        else
            print_number(out, m);
    }
}
