/* emit - listens to what commits: each event becomes a log line and a count; a bounce owed wakes bounce.c. */
#include "node/emit/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/base32.h"
#include "proto/ground/hex.h"

void emit_event_id(uint32_t shard, uint64_t entry, uint32_t number, char out[EMIT_EVENT_ID_SIZE])
{
    char id[BASE32_SIZE];

    base32_print(proto_id(shard, entry), id);
    snprintf(out, EMIT_EVENT_ID_SIZE, "%s.%04x", id, number);
}

int emit_event_id_parse(struct span text, uint32_t *shard, uint64_t *entry, uint32_t *number)
{
    uint64_t id, n = 0;
    size_t dot = span_find(text, 0, '.');
    int rv;

    if (dot == text.n || text.n - dot - 1 == 0 || text.n - dot - 1 > 8) return ERR_SYNTAX;
    rv = base32_parse(span_sub(text, 0, dot), &id);
    if (rv != 0) return rv;
    for (size_t i = dot + 1; i < text.n; i++) {
        int digit = hex_value_lower(text.p[i]);

        if (digit < 0) return ERR_SYNTAX;
        n = n * 16 + (unsigned)digit;
    }
    *shard = proto_id_shard(id);
    *entry = proto_id_index(id);
    *number = (uint32_t)n;
    return 0;
}

static void count_event(const Angarium__Event *event)
{
    switch (event->type) {
    case ANGARIUM__EVENT_TYPE__EVENT_DELIVERED:
        metric_add(M_ATTEMPTS_DELIVERED, 1);
        break;
    case ANGARIUM__EVENT_TYPE__EVENT_DEFERRED:
        metric_add(M_ATTEMPTS_DEFERRED, 1);
        break;
    case ANGARIUM__EVENT_TYPE__EVENT_BOUNCED:
        metric_add(M_ATTEMPTS_BOUNCED, 1);
        break;
    case ANGARIUM__EVENT_TYPE__EVENT_IN_DOUBT:
        metric_add(M_ATTEMPTS_IN_DOUBT, 1);
        break;
    case ANGARIUM__EVENT_TYPE__EVENT_EXPIRED:
        metric_add(M_EXPIRED, 1);
        break;
    default: /* the others have no counter of their own */
        break;
    }
}

static void log_one(uint32_t shard, const struct queue_effect *e)
{
    const Angarium__Event *event = e->event;
    char id[BASE32_SIZE], name[32];
    bool has_reply = event->reply && event->reply->code > 0;
    bool has_host = event->remote_host.len > 0;

    if (!log_wanted(LOG_INFO)) return;
    base32_print(proto_id(shard, event->index), id);
    snprintf(name, sizeof name, "recipient.%s", proto_event_name(event->type));
    log_event(LOG_INFO, name, LOG_TEXT("message", id),
              LOG_SPAN("recipient", proto_span(event->recipient)),
              LOG_SPAN("tenant", proto_span(event->tenant)),
              event->attempt ? LOG_NUM("attempt", event->attempt) : LOG_SKIP,
              has_host ? LOG_SPAN("host", proto_span(event->remote_host)) : LOG_SKIP,
              has_host ? LOG_SPAN("address", proto_span(event->remote_address)) : LOG_SKIP,
              event->tls.len ? LOG_SPAN("tls", proto_span(event->tls)) : LOG_SKIP,
              has_reply ? LOG_NUM("code", event->reply->code) : LOG_SKIP,
              event->reply && event->reply->text.len
                  ? LOG_SPAN("reply", proto_span(event->reply->text))
                  : LOG_SKIP,
              event->class_.len ? LOG_SPAN("class", proto_span(event->class_)) : LOG_SKIP,
              event->next_attempt_at_ms ? LOG_NUM("next_attempt_ms", event->next_attempt_at_ms)
                                        : LOG_SKIP);
}

static void on_effects(void *arg, uint32_t shard, uint64_t entry,
                       const struct queue_effects *effects)
{
    struct emit *e = arg;

    (void)entry;
    if (commit_shard_loop(e->o.commit, shard) != e->o.loop) return;
    for (size_t i = 0; i < effects->count; i++) {
        const struct queue_effect *f = &effects->list[i];

        if (f->kind == QUEUE_EVENT) {
            count_event(f->event);
            log_one(shard, f);
        } else if (f->kind == QUEUE_BOUNCE) {
            bounce_wake(e, shard, EMIT_BOUNCE_GATHER_MS);
        }
    }
}

static void on_lead(void *arg, uint32_t shard, bool leads)
{
    struct emit *e = arg;

    if (commit_shard_loop(e->o.commit, shard) != e->o.loop) return;
    if (leads) bounce_wake(e, shard, 0);
}

int emit_new(struct emit **out, const struct emit_options *o)
{
    struct emit *e = check_calloc(1, sizeof *e);

    e->o = *o;
    e->o.hostname = check_strdup(o->hostname);
    bounce_init(e);
    e->watcher.arg = e;
    e->watcher.on_effects = on_effects;
    e->watcher.on_lead = on_lead;
    commit_watch(o->commit, &e->watcher);
    *out = e;
    return 0;
}

void emit_set_expire(struct emit *e, uint64_t expire_ms)
{
    e->o.expire_ms = expire_ms;
}

void emit_free(struct emit **pe)
{
    struct emit *e = *pe;

    if (!e) return;
    *pe = NULL;
    list_remove(&e->watcher.link);
    bounce_deinit(e);
    free((char *)(uintptr_t)e->o.hostname);
    free(e);
}

bool emit_is_idle(const struct emit *e)
{
    return e->bounce_count == 0;
}
