/* inside - the state of a router, for the files of this room only. */
#ifndef ROUTER_INSIDE_H
#define ROUTER_INSIDE_H

#include <uthash.h>

#include "proto/ground/list.h"
#include "router/router.h"

#define SITE_NAME_SIZE 300

/* A site that somebody uses or used lately. In `idle` or `troubled` while nothing is open there. */
struct site {
    char name[SITE_NAME_SIZE];
    unsigned open;     /* slots taken */
    unsigned failures; /* in a row */
    uint64_t paused_until_ms;
    bool probing; /* a slot was given to find out whether the site is back */
    bool waiting; /* a take was BUSY since the last release */
    struct list rest;
    UT_hash_handle hh;
};

struct router {
    struct router_options options;
    struct router_rule *rules; /* a copy; options.rules points here */
    struct rng rng;
    struct site *sites;         /* by name */
    struct list idle, troubled; /* nothing open; the longest unused first; troubled: failures > 0 */
};

/* Lower case, no dot at the end; cut at out_size - 1. */
void router_name_copy(char *out, size_t out_size, struct span name);
const struct router_rule *router_rule_find(const struct router *r, struct span domain);
/* rule NULL: none matches. */
void router_rule_tls(const struct router_rule *rule, struct router_plan *out);
void router_sites_free(struct router *r);
/* The words of a reply: lower case, without addresses and URLs, cut. */
#define ROUTER_WORDS_SIZE 1025
void router_words(const char *text, char out[ROUTER_WORDS_SIZE]);
/* The needle is in lower case; |word| stands alone, between bytes that are no letters or digits. */
bool router_has_needle(const char *words, const char *needle);
/* `enhanced` is "subject.detail" of the reply, "" when it has none; wanted "7." is the whole subject. */
bool router_has_enhanced(const char *enhanced, const char *wanted);
/* base * 2^(n-1), at most cap; n from 1. */
uint64_t router_interval_ms(uint64_t base_ms, uint64_t cap_ms, unsigned n);

#endif
