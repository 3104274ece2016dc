/* backoff - growing, capped intervals, and the time of the next attempt (RFC 5321 4.5.4.1).
 *
 * A host that says when to come again is taken at its word (hint.c): never before it, at most a tenth and
 * ROUTER_HINT_SLACK_MS later. But a host that keeps on refusing is not believed for ever.
 *
 * Jitter comes after the cap, so that mails which failed together do not come back together.
 * Arithmetic saturates: no setting can make a time in the past.
 */
#include "router/inside.h"

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t router_interval_ms(uint64_t base_ms, uint64_t cap_ms, unsigned n)
{
    uint64_t ms = base_ms < cap_ms ? base_ms : cap_ms;

    for (; n > 1 && ms > 0 && ms < cap_ms; n--)
        ms = ms > cap_ms / 2 ? cap_ms : ms * 2;
    return ms;
}

static uint64_t with_jitter(struct router *r, uint64_t ms)
{
    uint64_t permille = r->options.retry_jitter_permille;
    uint64_t width = ms / 1000 * permille + ms % 1000 * permille / 1000;

    if (width == 0) return ms;
    if (width > UINT64_MAX / 2 - 1) width = UINT64_MAX / 2 - 1;
    return add_saturating(ms - width, rng_below(&r->rng, 2 * width + 1));
}

/* What the host said, a little later, and spread, so that what failed together does not come together. */
static uint64_t hinted(struct router *r, uint64_t hint_ms)
{
    return hint_ms + ROUTER_HINT_SLACK_MS + rng_below(&r->rng, hint_ms / 10 + 1);
}

uint64_t router_retry_at_ms(struct router *r, unsigned attempts, uint64_t hint_ms, uint64_t now_ms,
                            uint64_t expires_at_ms)
{
    const struct router_options *o = &r->options;
    uint64_t delay_ms = router_interval_ms(o->retry_base_ms, o->retry_cap_ms, attempts);
    uint64_t at_ms;

    delay_ms = with_jitter(r, delay_ms);
    if (hint_ms > 0) {
        uint64_t said_ms = hinted(r, hint_ms < ROUTER_HINT_MAX_MS ? hint_ms : ROUTER_HINT_MAX_MS);

        if (attempts <= ROUTER_HINT_TRUST_MAX || said_ms > delay_ms) delay_ms = said_ms;
    }
    at_ms = add_saturating(now_ms, delay_ms);
    if (at_ms > expires_at_ms) at_ms = expires_at_ms;
    return at_ms > now_ms ? at_ms : now_ms;
}
