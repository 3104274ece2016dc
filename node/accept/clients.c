/* clients - see clients.h. One mutex: sessions of all loops come here, once for a connection and once
 * or twice for an AUTH. Memory is one number that nobody waits for.
 */
#include "node/accept/clients.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "proto/ground/check.h"
#include "proto/ground/metric.h"
#include "proto/ground/network.h"

#define KEY_SIZE   16
#define EVICT_LOOK 8 /* so many of the oldest are looked at for one without failures */
#define MINUTE_US  60000000u
#define DELAY_BITS 16 /* doublings, at most */

struct tally {
    uint8_t key[KEY_SIZE];
    unsigned sessions;
    uint64_t rate_us; /* when the rate is used up no more (generic cell rate, ITU-T I.371 A) */
    unsigned failures;
    uint64_t failed_ms;      /* as of when */
    uint8_t right[KEY_SIZE]; /* of an address: the username that was right last */
    UT_hash_handle hh;
    struct list link; /* in table->idle while no session is open */
};

struct table {
    struct tally *tallies;
    struct list idle; /* used longest ago first */
    unsigned max;
};

struct accept_clients {
    atomic_uint refs;
    uint8_t secret[crypto_generichash_KEYBYTES];
    atomic_size_t memory, memory_max;
    pthread_mutex_t lock; /* of all below */
    struct accept_limits limits;
    unsigned sessions;
    struct table addresses, usernames;
};

/* ---- making and unmaking */

static void table_init(struct table *t, unsigned max)
{
    t->tallies = NULL;
    t->max = max;
    list_init(&t->idle);
}

static void table_deinit(struct table *t)
{
    struct tally *y, *next;

    HASH_ITER(hh, t->tallies, y, next)
    {
        HASH_DEL(t->tallies, y);
        free(y);
    }
}

struct accept_clients *accept_clients_new(const struct accept_limits *limits)
{
    struct accept_clients *c = check_calloc(1, sizeof *c);

    CHECK(sodium_init() >= 0);
    atomic_init(&c->refs, 1);
    atomic_init(&c->memory, 0);
    atomic_init(&c->memory_max, limits->sessions_memory_max);
    c->limits = *limits;
    crypto_generichash_keygen(c->secret);
    pthread_mutex_init(&c->lock, NULL);
    table_init(&c->addresses, limits->clients_max);
    table_init(&c->usernames, limits->clients_max);
    return c;
}

struct accept_clients *accept_clients_ref(struct accept_clients *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void accept_clients_unref(struct accept_clients **clients)
{
    struct accept_clients *c = *clients;

    *clients = NULL;
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
    table_deinit(&c->addresses);
    table_deinit(&c->usernames);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- keys */

/* IPv4 as mapped, IPv6 by its /64; what is neither (a socket without a name) is one client. */
static void address_key(const struct stream_address *from, uint8_t key[KEY_SIZE])
{
    static const struct network mapped = { .address = { [10] = 0xff, [11] = 0xff }, .bits = 96 };

    if (network_address_parse(from->text, key) != 0) memset(key, 0, KEY_SIZE);
    if (!network_has(&mapped, key)) memset(key + 8, 0, 8);
}

static void username_key(const struct accept_clients *c, struct span username,
                         uint8_t key[KEY_SIZE])
{
    crypto_generichash(key, KEY_SIZE, username.p, username.n, c->secret, sizeof c->secret);
}

/* ---- a table */

static void forget(const struct accept_clients *c, struct tally *y, uint64_t now_ms)
{
    uint64_t n = c->limits.auth_forget_ms;

    if (y->failures == 0 || n == 0 || now_ms <= y->failed_ms) return;
    n = (now_ms - y->failed_ms) / n;
    y->failures -= n < y->failures ? (unsigned)n : y->failures;
    y->failed_ms += n * c->limits.auth_forget_ms;
}

static void evict(struct accept_clients *c, struct table *t, uint64_t now_ms)
{
    struct tally *victim = NULL;
    unsigned looked = 0;

    LIST_FOR(it, &t->idle) {
        struct tally *y = CONTAINER_OF(it, struct tally, link);

        forget(c, y, now_ms);
        if (!victim || y->failures < victim->failures) victim = y;
        if (victim->failures == 0 || ++looked == EVICT_LOOK) break;
    }
    if (!victim) return;
    metric_add(M_CLIENTS_EVICTED, 1);
    list_remove(&victim->link);
    HASH_DEL(t->tallies, victim);
    free(victim);
}

static struct tally *find(struct table *t, const uint8_t key[KEY_SIZE])
{
    struct tally *y = NULL;

    HASH_FIND(hh, t->tallies, key, KEY_SIZE, y);
    return y;
}

/* The tally of the key, made when it is not there; NULL: no room. */
static struct tally *take(struct accept_clients *c, struct table *t, const uint8_t key[KEY_SIZE],
                          uint64_t now_ms)
{
    struct tally *y = find(t, key);

    if (!y) {
        if (HASH_COUNT(t->tallies) >= t->max) evict(c, t, now_ms);
        if (HASH_COUNT(t->tallies) >= t->max) return NULL;
        y = check_calloc(1, sizeof *y);
        memcpy(y->key, key, KEY_SIZE);
        list_init(&y->link);
        HASH_ADD(hh, t->tallies, key, KEY_SIZE, y);
    }
    list_remove(&y->link);
    if (y->sessions == 0) list_add(&t->idle, &y->link);
    forget(c, y, now_ms);
    return y;
}

/* Down to its size, but for those with sessions. */
static void shrink(struct accept_clients *c, struct table *t)
{
    t->max = c->limits.clients_max;
    while (HASH_COUNT(t->tallies) > t->max && !list_empty(&t->idle))
        evict(c, t, 0);
}

void accept_clients_set_limits(struct accept_clients *c, const struct accept_limits *limits)
{
    pthread_mutex_lock(&c->lock);
    c->limits = *limits;
    atomic_store_explicit(&c->memory_max, limits->sessions_memory_max, memory_order_relaxed);
    shrink(c, &c->addresses);
    shrink(c, &c->usernames);
    pthread_mutex_unlock(&c->lock);
}

static void enter(struct tally *y)
{
    list_remove(&y->link);
    y->sessions++;
}

static void leave(struct table *t, struct tally *y)
{
    CHECK(y->sessions > 0);
    if (--y->sessions == 0) list_add(&t->idle, &y->link);
}

/* ---- sessions */

/* One more connection of this minute's: does it fit? */
static bool passes_rate(const struct accept_clients *c, struct tally *y, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000, cost_us = MINUTE_US / c->limits.address_rate_max;

    if (y->rate_us < now_us) y->rate_us = now_us;
    if (y->rate_us + cost_us > now_us + MINUTE_US) return false;
    y->rate_us += cost_us;
    return true;
}

static enum clients_answer judge(struct accept_clients *c, struct tally *y, uint64_t now_ms)
{
    if (!y) return CLIENTS_TABLE_FULL;
    if (!passes_rate(c, y, now_ms)) return CLIENTS_ADDRESS_RATE;
    if (y->sessions >= c->limits.address_sessions_max) return CLIENTS_ADDRESS_SESSIONS;
    if (c->sessions >= c->limits.sessions_max) return CLIENTS_ALL_SESSIONS;
    return clients_have_memory(c) ? CLIENTS_COME_IN : CLIENTS_ALL_MEMORY;
}

enum clients_answer clients_enter(struct accept_clients *c, const struct stream_address *from,
                                  uint64_t now_ms, struct tally **out)
{
    uint8_t key[KEY_SIZE];
    enum clients_answer answer;
    struct tally *y;

    address_key(from, key);
    pthread_mutex_lock(&c->lock);
    y = take(c, &c->addresses, key, now_ms);
    answer = judge(c, y, now_ms);
    if (answer == CLIENTS_COME_IN) {
        enter(y);
        c->sessions++;
        *out = y;
    }
    pthread_mutex_unlock(&c->lock);
    return answer;
}

void clients_leave(struct accept_clients *c, struct tally **address)
{
    if (!*address) return;
    pthread_mutex_lock(&c->lock);
    leave(&c->addresses, *address);
    c->sessions--;
    pthread_mutex_unlock(&c->lock);
    *address = NULL;
}

bool clients_enter_as(struct accept_clients *c, struct span username, uint64_t now_ms,
                      struct tally **out)
{
    uint8_t key[KEY_SIZE];
    struct tally *y;
    bool fits;

    username_key(c, username, key);
    pthread_mutex_lock(&c->lock);
    y = take(c, &c->usernames, key, now_ms);
    fits = y && y->sessions < c->limits.credential_sessions_max;
    if (fits) {
        enter(y);
        *out = y;
    }
    pthread_mutex_unlock(&c->lock);
    return fits;
}

void clients_leave_as(struct accept_clients *c, struct tally **username)
{
    if (!*username) return;
    pthread_mutex_lock(&c->lock);
    leave(&c->usernames, *username);
    pthread_mutex_unlock(&c->lock);
    *username = NULL;
}

void clients_weigh(struct accept_clients *c, size_t before, size_t after)
{
    atomic_fetch_add_explicit(&c->memory, after - before, memory_order_relaxed);
    metric_add(M_SESSIONS_MEMORY, after - before);
}

bool clients_have_memory(const struct accept_clients *c)
{
    return atomic_load_explicit(&c->memory, memory_order_relaxed) <
           atomic_load_explicit(&c->memory_max, memory_order_relaxed);
}

/* ---- AUTH */

enum clients_gate clients_gate(struct accept_clients *c, struct tally *address,
                               struct span username, uint64_t now_ms)
{
    uint8_t key[KEY_SIZE];
    enum clients_gate gate = CLIENTS_MAY_TRY;
    struct tally *y;

    username_key(c, username, key);
    pthread_mutex_lock(&c->lock);
    y = find(&c->usernames, key);
    if (y) forget(c, y, now_ms);
    forget(c, address, now_ms);
    if (address->failures >= c->limits.auth_failures_max)
        gate = CLIENTS_ADDRESS_WAITS;
    else if (y && y->failures >= c->limits.auth_failures_max &&
             memcmp(address->right, key, KEY_SIZE) != 0)
        gate = CLIENTS_USERNAME_WAITS;
    pthread_mutex_unlock(&c->lock);
    return gate;
}

static unsigned count_failure(struct tally *y, uint64_t now_ms)
{
    if (y->failures++ == 0) y->failed_ms = now_ms;
    return y->failures;
}

/* The first failure is a slip; then twice as long each time. */
static uint64_t delay_of(const struct accept_limits *l, unsigned failures)
{
    unsigned doublings = failures < 2 ? 0 : failures - 2;
    uint64_t delay;

    if (failures < 2) return 0;
    delay = l->auth_delay_ms << (doublings < DELAY_BITS ? doublings : DELAY_BITS);
    return delay < l->auth_delay_max_ms ? delay : l->auth_delay_max_ms;
}

uint64_t clients_failed(struct accept_clients *c, struct tally *address, struct span username,
                        uint64_t now_ms)
{
    uint8_t key[KEY_SIZE];
    unsigned of_address, of_username = 0;
    uint64_t delay_ms;
    struct tally *y;

    username_key(c, username, key);
    pthread_mutex_lock(&c->lock);
    forget(c, address, now_ms);
    of_address = count_failure(address, now_ms);
    y = take(c, &c->usernames, key, now_ms);
    if (y) of_username = count_failure(y, now_ms);
    delay_ms = delay_of(&c->limits, of_address > of_username ? of_address : of_username);
    pthread_mutex_unlock(&c->lock);
    return delay_ms;
}

void clients_succeeded(struct accept_clients *c, struct tally *address, struct span username)
{
    uint8_t key[KEY_SIZE];

    username_key(c, username, key);
    pthread_mutex_lock(&c->lock);
    memcpy(address->right, key, KEY_SIZE);
    pthread_mutex_unlock(&c->lock);
}

unsigned clients_count(struct accept_clients *c)
{
    unsigned n;

    pthread_mutex_lock(&c->lock);
    n = HASH_COUNT(c->addresses.tallies) + HASH_COUNT(c->usernames.tallies);
    pthread_mutex_unlock(&c->lock);
    return n;
}
