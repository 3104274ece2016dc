/* metric - numbers told once, in metric_table.h, read by /metrics. Any thread; relaxed atomics. */
#ifndef GROUND_METRIC_H
#define GROUND_METRIC_H

#include "proto/ground/buf.h"
#include "proto/ground/metric_table.h"

#define METRIC_ENUM_(id, type, name, labels, help) M_##id,
enum metric { METRIC_TABLE(METRIC_ENUM_) METRIC_COUNT };
#undef METRIC_ENUM_

void metric_add(enum metric m, uint64_t n);      /* COUNTER or GAUGE */
void metric_sub(enum metric m, uint64_t n);      /* GAUGE */
void metric_set(enum metric m, uint64_t v);      /* GAUGE */
void metric_time_us(enum metric m, uint64_t us); /* HISTOGRAM of seconds; buckets 100 us .. 100 s */
uint64_t metric_get(enum metric m);              /* for a HISTOGRAM: the count */
/* Prometheus text exposition of all of them, HELP and TYPE once per name. */
void metric_print(struct buf *out);

#endif
