/* world - a real accept on a real loop on loopback, with the double of commit behind it; one a
 * story. */
#ifndef CONFORMANCE_WORLD_H
#define CONFORMANCE_WORLD_H

#include "node/accept/accept.h"
#include "tests/conformance/client.h"
#include "tests/conformance/commit_double.h"

/* Tenant demo owns example.test, Other.Test and relay.test's postmaster; tenant second owns
 * second.test. Credentials: demo/secret of demo, second/geheim of second. */
struct world {
    struct loop *loop;
    struct commit *commit;
    struct accept_auth *auth;
    struct tls *tls;
    struct accept *accept;
    struct accept_limits limits; /* used when the listener opens */
    unsigned inflight_max;
    enum accept_bare bare;
    unsigned mechanisms; /* 0: all */
    bool has_tls, serves_hostname, carries_binary;
    bool has_gtube;
    struct mail_content_rule rules[MAIL_CONTENT_RULES_MAX];
    char rule_lines[MAIL_CONTENT_RULES_MAX][256]; /* their words */
    unsigned rule_count;
    struct mail_content *content;
    char dir[64]; /* certificates; kept from story to story */
};

void world_begin(struct world *w);
int world_listen(struct world *w, enum accept_kind kind, struct errmsg *why);
void world_turn(struct world *w, unsigned ms);
void world_end(struct world *w);
void world_clean(const struct world *w); /* the certificates */

#endif
