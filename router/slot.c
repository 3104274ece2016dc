/* slot - how many connections to one site at once, and pauses for sites that cannot be reached.
 *
 * Invariants:
 * - No slot is given while open >= site_connections_max, whatever happens.
 * - A site whose connections fail pause_after_failures times in a row is paused. Failures of
 *   connections that were open when the pause began do not make it longer.
 * - Behind a pause one slot is given, the probe; the next one when a connection to the site ended.
 * A connection that was OK ends the trouble, a failure begins a longer pause.
 * - At most sites_max sites are known. A new one takes the place of the idle one that was unused
 * for the longest time; sites in trouble are forgotten last, since what they know protects them.
 */
#include "router/inside.h"

#include <stdlib.h>

#include "proto/ground/check.h"

#define FULL_RETRY_MS 1000 /* all places are taken by sites in use: ask again then */

void router_sites_free(struct router *r)
{
    struct site *s, *next;

    HASH_ITER(hh, r->sites, s, next)
    {
        HASH_DEL(r->sites, s);
        free(s);
    }
}

static void forget(struct router *r, struct site *s)
{
    CHECK(s->open == 0);
    list_remove(&s->rest);
    HASH_DEL(r->sites, s);
    free(s);
}

/* A new site; NULL when there is no place for it. */
static struct site *add_site(struct router *r, const char *name, size_t name_size)
{
    struct site *s;

    if (HASH_COUNT(r->sites) >= r->options.sites_max) {
        struct list *oldest = list_first(&r->idle);
        if (!oldest) oldest = list_first(&r->troubled);
        if (!oldest) return NULL;
        forget(r, CONTAINER_OF(oldest, struct site, rest));
    }
    s = check_calloc(1, sizeof *s);
    memcpy(s->name, name, name_size);
    list_init(&s->rest);
    list_add(&r->idle, &s->rest);
    HASH_ADD_KEYPTR(hh, r->sites, s->name, (unsigned)name_size, s);
    return s;
}

static struct site *find_site(struct router *r, const char *name, size_t name_size)
{
    struct site *s;

    HASH_FIND(hh, r->sites, name, (unsigned)name_size, s);
    return s;
}

static size_t name_size_of(const char *site)
{
    size_t n = strnlen(site, SITE_NAME_SIZE);

    CHECK(n < SITE_NAME_SIZE);
    return n;
}

static bool in_trouble(const struct router *r, const struct site *s)
{
    return s->failures >= r->options.pause_after_failures;
}

static enum router_slot wait_for_release(struct site *s)
{
    s->waiting = true;
    return ROUTER_SLOT_BUSY;
}

enum router_slot router_slot_take(struct router *r, const char *site, uint64_t now_ms,
                                  uint64_t *until_ms)
{
    size_t name_size = name_size_of(site);
    struct site *s = find_site(r, site, name_size);

    *until_ms = 0;
    if (!s) s = add_site(r, site, name_size);
    if (!s) {
        *until_ms = now_ms + FULL_RETRY_MS;
        return ROUTER_SLOT_BUSY;
    }
    if (s->paused_until_ms > now_ms) {
        *until_ms = s->paused_until_ms;
        return ROUTER_SLOT_PAUSED;
    }
    if (s->open >= r->options.site_connections_max) return wait_for_release(s);
    if (in_trouble(r, s)) {
        if (s->probing) return wait_for_release(s);
        s->probing = true;
    }
    s->open++;
    list_remove(&s->rest);
    return ROUTER_SLOT_YES;
}

static void note_failure(struct router *r, struct site *s, uint64_t now_ms)
{
    const struct router_options *o = &r->options;

    if (s->paused_until_ms > now_ms) return;
    if (s->failures < UINT32_MAX) s->failures++;
    if (!in_trouble(r, s)) return;
    s->paused_until_ms = now_ms + router_interval_ms(o->pause_base_ms, o->pause_cap_ms,
                                                     s->failures - o->pause_after_failures + 1);
}

bool router_slot_release(struct router *r, const char *site, enum router_result result,
                         uint64_t now_ms)
{
    struct site *s = find_site(r, site, name_size_of(site));
    bool waiting;

    CHECK(s != NULL);
    CHECK(s->open > 0);
    s->open--;
    s->probing = false;
    if (result == ROUTER_CONN_OK) {
        s->failures = 0;
        s->paused_until_ms = 0;
    } else if (result == ROUTER_CONN_FAILED) {
        note_failure(r, s, now_ms);
    }
    if (s->open == 0) list_add(s->failures > 0 ? &r->troubled : &r->idle, &s->rest);
    waiting = s->waiting;
    s->waiting = false;
    return waiting;
}
