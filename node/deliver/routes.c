/* routes - what rules mean by their numbers, counted: a plan keeps what was in force when it was made. */
#include "node/deliver/inside.h"

#include <stdlib.h>

struct deliver_routes *deliver_routes_new(struct tls *const *tls, unsigned tls_count,
                                          struct login *const *logins, unsigned login_count)
{
    struct deliver_routes *r = check_calloc(1, sizeof *r);

    atomic_init(&r->refs, 1);
    r->tls = check_calloc(tls_count, sizeof(struct tls *));
    r->tls_count = tls_count;
    for (unsigned i = 0; i < tls_count; i++)
        r->tls[i] = tls_ref(tls[i]);
    r->logins = check_calloc(login_count, sizeof(struct login *));
    r->login_count = login_count;
    for (unsigned i = 0; i < login_count; i++)
        r->logins[i] = login_ref(logins[i]);
    return r;
}

struct deliver_routes *deliver_routes_ref(struct deliver_routes *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void deliver_routes_unref(struct deliver_routes **out)
{
    struct deliver_routes *r = *out;

    *out = NULL;
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1) return;
    for (unsigned i = 0; i < r->tls_count; i++)
        tls_unref(&r->tls[i]);
    free(r->tls);
    for (unsigned i = 0; i < r->login_count; i++)
        login_unref(&r->logins[i]);
    free(r->logins);
    free(r);
}
