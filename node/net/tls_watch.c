/* tls_watch - looks at the files of certificates now and then, reads them when they have changed, warns in time.
 *
 * Invariants: while `is_looking`, a thread of the pool has `look`, which holds all that it reads and writes; the
 * loop keeps its hands off it. What stat told is taken before the files are read: a file that changes while it is
 * read is read again at the next look.
 */
#include "node/net/tls_watch.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "proto/ground/check.h"
#include "proto/ground/list.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

struct stamp { /* what a file is known by */
    uint64_t device, inode, size, changed_ns, modified_ns;
};

struct look { /* by the pool */
    struct loop_work work;
    struct stamp *stamps, *fresh_stamps; /* two for each pair, and that of the file beside them */
    bool changed;
    struct tls *fresh;
    int rv;
    struct errmsg why;
};

struct tls_watch {
    struct tls_watch_options o;
    struct tls_pair *pairs;
    struct tls *current;
    unsigned *told; /* the stage that was told, for each certificate */
    struct loop_timer timer;
    struct look look;
    bool is_looking, is_closed;
};

/* ---- expiry */

unsigned tls_expiry_stage(int64_t days_left, unsigned warn_days)
{
    static const int64_t steps[] = { 14, 7, 3, 1, 0 };
    unsigned stage = days_left < (int64_t)warn_days ? 1 : 0;

    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (stage > 0 && days_left < steps[i]) stage = i + 2;
    return stage;
}

static void tell_expiry(const struct tls_watch *w, const struct tls_certificate *c, int64_t days)
{
    char until[CLOCK_RFC3339_SIZE];

    clock_rfc3339(c->not_after_ms, until);
    log_event(days < 1 ? LOG_ERROR : LOG_WARN, "tls.certificate_expires", LOG_TEXT("use", w->o.use),
              LOG_TEXT("file", c->file), LOG_TEXT("names", c->names), LOG_TEXT("not_after", until),
              LOG_NUM("days_left", days),
              LOG_TEXT("help",
                       days < 0 ? "it has expired: clients refuse it; put a new one in its place"
                                : "put a new one in its place; it is taken up without a restart"));
}

static void note_expiry(struct tls_watch *w)
{
    uint64_t now = loop_wall_ms(w->o.loop);

    for (unsigned i = 0; i < tls_certificate_count(w->current); i++) {
        const struct tls_certificate *c = tls_certificate(w->current, i);
        int64_t days = tls_days_left(c, now);
        unsigned stage = tls_expiry_stage(days, w->o.warn_days);

        if (stage > w->told[i]) tell_expiry(w, c, days);
        w->told[i] = stage;
    }
}

/* ---- what comes into force */

static void tell_certificates(const struct tls_watch *w)
{
    uint64_t now = loop_wall_ms(w->o.loop);

    for (unsigned i = 0; i < tls_certificate_count(w->current); i++) {
        const struct tls_certificate *c = tls_certificate(w->current, i);
        char from[CLOCK_RFC3339_SIZE], until[CLOCK_RFC3339_SIZE];

        clock_rfc3339(c->not_before_ms, from);
        clock_rfc3339(c->not_after_ms, until);
        log_event(LOG_INFO, "tls.certificate", LOG_TEXT("use", w->o.use), LOG_TEXT("file", c->file),
                  LOG_TEXT("names", c->names), LOG_TEXT("not_after", until),
                  LOG_NUM("days_left", tls_days_left(c, now)), LOG_TEXT("sha256", c->sha256),
                  LOG_TEXT("spki_sha256", c->spki_sha256), LOG_NUM("chain", c->chain_count));
        if (c->doubt)
            log_event(LOG_WARN, "tls.certificate_doubt", LOG_TEXT("file", c->file),
                      LOG_TEXT("error", c->doubt),
                      LOG_TEXT("help", "clients that verify may refuse it"));
        if (c->not_before_ms > now)
            log_event(LOG_WARN, "tls.certificate_doubt", LOG_TEXT("file", c->file),
                      LOG_TEXT("error", "it is not valid yet"), LOG_TEXT("not_before", from),
                      LOG_TEXT("help", "look at this machine's clock, or wait"));
    }
}

static void take(struct tls_watch *w, struct tls *fresh)
{
    tls_unref(&w->current);
    w->current = fresh;
    for (unsigned i = 0; i < w->o.pair_count; i++)
        w->told[i] = 0;
    tell_certificates(w);
    note_expiry(w);
}

/* ---- looking, on the pool */

static struct stamp stamp_of(const char *file)
{
    struct stat st;

    if (stat(file, &st) != 0) return (struct stamp){ 0 };
    return (struct stamp){
        .device = st.st_dev,
        .inode = st.st_ino,
        .size = (uint64_t)st.st_size,
        .changed_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec,
        .modified_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
    };
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed_ns == b->changed_ns && a->modified_ns == b->modified_ns;
}

/* Takes the stamps of now; true: one is not what it was. */
static bool stamps_changed(struct tls_watch *w)
{
    struct look *k = &w->look;
    bool changed = false;

    for (unsigned i = 0; i < w->o.pair_count; i++) {
        k->fresh_stamps[2 * i] = stamp_of(w->pairs[i].certificate);
        k->fresh_stamps[2 * i + 1] = stamp_of(w->pairs[i].key);
    }
    k->fresh_stamps[2 * w->o.pair_count] = stamp_of(w->o.beside ? w->o.beside : "");
    for (unsigned i = 0; i <= 2 * w->o.pair_count; i++) {
        changed = changed || !same_stamp(&k->stamps[i], &k->fresh_stamps[i]);
        k->stamps[i] = k->fresh_stamps[i];
    }
    return changed;
}

static void read_files(struct tls_watch *w)
{
    struct look *k = &w->look;

    k->changed = stamps_changed(w);
    if (k->changed)
        k->rv = tls_server_new(&k->fresh, w->pairs, w->o.pair_count, w->o.tickets, &k->why);
}

static void run_look(struct loop_work *work)
{
    read_files(CONTAINER_OF(work, struct tls_watch, look.work));
}

/* ---- on the loop */

static void watch_free(struct tls_watch *w)
{
    for (unsigned i = 0; i < w->o.pair_count; i++) {
        free((char *)(uintptr_t)w->pairs[i].certificate);
        free((char *)(uintptr_t)w->pairs[i].key);
    }
    free(w->pairs);
    free((char *)(uintptr_t)w->o.beside);
    free(w->told);
    free(w->look.stamps);
    free(w->look.fresh_stamps);
    tls_unref(&w->look.fresh);
    tls_unref(&w->current);
    tls_tickets_unref(&w->o.tickets);
    free(w);
}

static void heed(struct tls_watch *w)
{
    struct look *k = &w->look;
    struct tls *fresh = k->fresh;

    k->fresh = NULL;
    if (k->rv != 0) {
        metric_add(M_TLS_RELOADS_REFUSED, 1);
        log_event(
            LOG_ERROR, "tls.reload_refused", LOG_TEXT("use", w->o.use),
            LOG_TEXT("error", k->why.text),
            LOG_TEXT(
                "help",
                "the certificates in force are kept; the files are read again when they change"));
        return;
    }
    metric_add(M_TLS_RELOADS, 1);
    log_event(LOG_INFO, "tls.reloaded", LOG_TEXT("use", w->o.use),
              LOG_TEXT("why", "a file has changed"));
    take(w, fresh);
    w->o.on_change(w->o.arg, w->current);
}

static void on_looked(struct loop_work *work)
{
    struct tls_watch *w = CONTAINER_OF(work, struct tls_watch, look.work);

    w->is_looking = false;
    if (w->is_closed) {
        watch_free(w);
        return;
    }
    loop_timer_start(&w->timer, w->o.every_ms);
    if (w->look.changed) heed(w);
}

static void on_timer(struct loop_timer *t)
{
    struct tls_watch *w = CONTAINER_OF(t, struct tls_watch, timer);

    note_expiry(w);
    if (w->o.tickets) tls_tickets_turn(w->o.tickets);
    w->look.work.run = run_look;
    w->look.work.on_done = on_looked;
    w->is_looking = loop_work(w->o.loop, LOOP_POOL_DISK, &w->look.work) == 0;
    if (!w->is_looking) loop_timer_start(t, w->o.every_ms); /* the pool is full: next time */
}

/* ---- life */

static void copy_pairs(struct tls_watch *w)
{
    const struct tls_pair *from = w->o.pairs;

    w->pairs = check_calloc(w->o.pair_count, sizeof *w->pairs);
    for (unsigned i = 0; i < w->o.pair_count; i++)
        w->pairs[i] =
            (struct tls_pair){ check_strdup(from[i].certificate), check_strdup(from[i].key) };
    w->o.pairs = w->pairs;
    if (w->o.beside) w->o.beside = check_strdup(w->o.beside);
}

int tls_watch_open(struct tls_watch **out, const struct tls_watch_options *o, struct errmsg *why)
{
    struct tls_watch *w = check_calloc(1, sizeof *w);

    *out = NULL;
    w->o = *o;
    if (w->o.every_ms == 0) w->o.every_ms = TLS_WATCH_MS;
    if (o->tickets) tls_tickets_ref(o->tickets);
    copy_pairs(w);
    w->told = check_calloc(o->pair_count, sizeof *w->told);
    w->look.stamps = check_calloc(2 * o->pair_count + 1, sizeof *w->look.stamps);
    w->look.fresh_stamps = check_calloc(2 * o->pair_count + 1, sizeof *w->look.fresh_stamps);
    loop_timer_init(&w->timer, o->loop, on_timer);
    stamps_changed(w);
    w->look.rv = tls_server_new(&w->look.fresh, w->pairs, o->pair_count, o->tickets, why);
    if (w->look.rv != 0) {
        int rv = w->look.rv;

        watch_free(w);
        return rv;
    }
    w->current = w->look.fresh;
    w->look.fresh = NULL;
    *out = w;
    return 0;
}

struct tls *tls_watch_current(const struct tls_watch *w)
{
    return w->current;
}

void tls_watch_start(struct tls_watch *w)
{
    tell_certificates(w);
    note_expiry(w);
    loop_timer_start(&w->timer, w->o.every_ms);
}

void tls_watch_close(struct tls_watch **pw)
{
    struct tls_watch *w = *pw;

    if (!w) return;
    *pw = NULL;
    loop_timer_stop(&w->timer);
    w->is_closed = true;
    if (!w->is_looking) watch_free(w);
}
