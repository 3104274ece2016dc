/* login - who gets the secret, and when: a small machine under one lock.
 *
 * Those who ask stand in `waiting`. serve() looks at them after everything that happens: it answers as many as it can,
 * and says whether something has to be fetched first. Answers are letters to the loops of those who asked, so nothing
 * of theirs runs under the lock or on a pool's thread.
 *
 *     is_proven    the current secret was accepted: everybody has it at once
 *     is_tried     it is not proven, and somebody is trying it: the others wait
 *     is_suspect   it was refused: what is fetched next must be another one
 *     is_renewed   a token has been renewed for a refusal, and none was accepted since
 */
#include "node/login/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

struct login_ask {
    struct list link; /* in login->waiting */
    struct loop_letter letter;
    struct login *login; /* a reference */
    struct loop *loop;
    void (*done)(void *arg, const struct login_answer *a);
    void *arg;
    struct login_ask **owner; /* nulled when it is answered; NULL: cancelled */
    struct login_answer answer;
    char why[512];
};
struct fetch {
    struct loop_work work;
    struct login *login; /* a reference */
};

static uint64_t now_of(const struct login *l)
{
    return clock_mono_ms(l->clock);
}

static uint64_t doubled(uint64_t base_ms, uint64_t max_ms, unsigned times)
{
    uint64_t ms = base_ms;

    for (unsigned i = 1; i < times && ms < max_ms; i++)
        ms *= 2;
    return ms < max_ms ? ms : max_ms;
}

/* ---- answers */

static void ask_free(struct login_ask *a)
{
    login_unref(&a->login);
    free(a);
}

static void on_answer(struct loop_letter *letter)
{
    struct login_ask *a = CONTAINER_OF(letter, struct login_ask, letter);

    if (a->owner) {
        *a->owner = NULL;
        a->answer.why = a->why;
        a->done(a->arg, &a->answer);
    } else if (a->answer.secret) {
        login_tell(a->login, a->loop, &a->answer.secret, LOGIN_UNTRIED);
    }
    ask_free(a);
}

/* Under the lock. */
static void answer(struct login *l, struct login_ask *a, int result, uint64_t again_at_ms)
{
    list_remove(&a->link);
    l->waiting_count--;
    a->answer = (struct login_answer){ .result = result, .again_at_ms = again_at_ms };
    if (result == 0) a->answer.secret = secret_ref(l->current);
    a->letter.on_arrive = on_answer;
    loop_post(a->loop, &a->letter);
}

static void refuse(struct login *l, struct login_ask *a, int result, uint64_t again_at_ms)
{
    snprintf(a->why, sizeof a->why, "%s", l->why);
    answer(l, a, result, again_at_ms);
}

/* ---- what can be done for those who wait */

enum step { STEP_DONE, STEP_WAIT, STEP_FETCH };

/* For the first of them. A file may hold another secret by now: it is looked at even while there is a pause. */
static enum step serve_one(struct login *l, struct login_ask *a, uint64_t now_ms)
{
    bool is_file = l->kind != LOGIN_ENDPOINT;

    if (l->is_fetching) return STEP_WAIT;
    if (l->failed_until_ms > now_ms) {
        refuse(l, a, l->failed, l->failed_until_ms);
        return STEP_DONE;
    }
    if (l->refused_until_ms > now_ms && !is_file) {
        refuse(l, a, ERR_DENIED, l->refused_until_ms);
        return STEP_DONE;
    }
    if (!l->current || l->is_suspect || l->current_until_ms <= now_ms) return STEP_FETCH;
    if (l->refused_until_ms > now_ms) {
        refuse(l, a, ERR_DENIED, l->refused_until_ms);
        return STEP_DONE;
    }
    if (!l->is_proven && l->is_tried) return STEP_WAIT;
    if (!l->is_proven) l->is_tried = true;
    answer(l, a, 0, 0);
    return STEP_DONE;
}

/* Under the lock. True: a fetch has to begin. */
static bool serve(struct login *l)
{
    uint64_t now_ms = now_of(l);
    struct list *first;

    while ((first = list_first(&l->waiting)) != NULL) {
        switch (serve_one(l, CONTAINER_OF(first, struct login_ask, link), now_ms)) {
        case STEP_DONE:
            continue;
        case STEP_WAIT:
            return false;
        case STEP_FETCH:
            return true;
        }
    }
    return false;
}

/* ---- fetching */

static void take_failure(struct login *l, const struct login_catch *c, uint64_t now_ms)
{
    l->failures++;
    l->failed = c->result;
    l->failed_until_ms = now_ms + doubled(LOGIN_BACKOFF_MS, LOGIN_BACKOFF_MAX_MS,
                                          l->kind == LOGIN_ENDPOINT ? l->failures : 1);
    snprintf(l->why, sizeof l->why, "%s", c->why.text);
    secret_unref(&l->current);
    l->is_proven = l->is_tried = false;
    log_event(LOG_WARN, "login.failed", LOG_TEXT("username", l->username), LOG_TEXT("why", l->why),
              LOG_NUM("again_in_ms", l->failed_until_ms - now_ms));
}

static void pause_it(struct login *l, uint64_t now_ms)
{
    l->refusals++;
    l->refused_until_ms = now_ms + doubled(LOGIN_PAUSE_MS, LOGIN_PAUSE_MAX_MS, l->refusals);
    snprintf(l->why, sizeof l->why, "the host has refused %s, and is not asked again for a while",
             l->username);
    log_event(LOG_ERROR, "login.refused", LOG_TEXT("username", l->username),
              LOG_NUM("times", l->refusals), LOG_NUM("again_in_ms", l->refused_until_ms - now_ms),
              LOG_TEXT("help", l->kind == LOGIN_PASSWORD
                                   ? "the password in password_file is not what the host wants"
                                   : "the account may not send, or its grant was taken back"));
}

static void take_secret(struct login *l, struct login_catch *c, uint64_t now_ms)
{
    bool is_same = l->current && secret_eq(l->current, c->secret);

    l->failures = 0;
    l->failed_until_ms = 0;
    l->current_until_ms = now_ms + c->life_ms;
    if (is_same) {
        secret_unref(&c->secret);
        if (l->is_suspect && l->refused_until_ms <= now_ms) pause_it(l, now_ms);
        return;
    }
    if (l->current && l->kind != LOGIN_ENDPOINT) {
        l->refusals = 0;
        l->refused_until_ms = 0;
    }
    secret_unref(&l->current);
    l->current = c->secret;
    l->is_proven = l->is_tried = false;
}

static void run_fetch(struct loop_work *w)
{
    struct login *l = CONTAINER_OF(w, struct fetch, work)->login;
    struct login_catch c = { 0 };

    login_fetch(l, &c);
    pthread_mutex_lock(&l->lock);
    l->is_fetching = false;
    if (c.result == 0)
        take_secret(l, &c, now_of(l));
    else
        take_failure(l, &c, now_of(l));
    l->is_suspect = false;
    (void)serve(l); /* nothing to fetch: this was it */
    pthread_mutex_unlock(&l->lock);
}

static void on_fetched(struct loop_work *w)
{
    struct fetch *f = CONTAINER_OF(w, struct fetch, work);

    login_unref(&f->login);
    free(f);
}

/* Under the lock, on a loop. */
static void begin_fetch(struct login *l, struct loop *loop)
{
    enum loop_pool pool = l->kind == LOGIN_ENDPOINT ? LOOP_POOL_REMOTE : LOOP_POOL_DISK;
    struct fetch *f = check_calloc(1, sizeof *f);
    struct list *first;

    f->login = login_ref(l);
    f->work.run = run_fetch;
    f->work.on_done = on_fetched;
    l->is_fetching = !atomic_load(&l->is_stopped) && loop_work(loop, pool, &f->work) == 0;
    if (l->is_fetching) return;
    login_unref(&f->login); /* not the last one: who asks has one, too */
    free(f);
    snprintf(l->why, sizeof l->why, "too much work at once");
    while ((first = list_first(&l->waiting)) != NULL)
        refuse(l, CONTAINER_OF(first, struct login_ask, link), ERR_FULL, 0);
}

/* ---- the door */

void login_ask(struct login *l, struct loop *loop,
               void (*done)(void *arg, const struct login_answer *a), void *arg,
               struct login_ask **ask)
{
    struct login_ask *a = check_calloc(1, sizeof *a);

    a->login = login_ref(l);
    a->loop = loop;
    a->done = done;
    a->arg = arg;
    a->owner = ask;
    *ask = a;
    pthread_mutex_lock(&l->lock);
    list_add(&l->waiting, &a->link);
    l->waiting_count++;
    if (l->waiting_count > LOGIN_ASKS_MAX) {
        snprintf(a->why, sizeof a->why, "too many wait for the account %s", l->username);
        answer(l, a, ERR_FULL, 0);
    } else if (serve(l)) {
        begin_fetch(l, loop);
    }
    pthread_mutex_unlock(&l->lock);
}

void login_ask_cancel(struct login_ask **ask)
{
    struct login_ask *a = *ask;
    struct login *l;
    bool is_waiting;

    if (!a) return;
    *ask = NULL;
    a->owner = NULL;
    l = a->login;
    pthread_mutex_lock(&l->lock);
    is_waiting = !list_empty(&a->link);
    if (is_waiting) {
        list_remove(&a->link);
        l->waiting_count--;
    }
    pthread_mutex_unlock(&l->lock);
    if (is_waiting) ask_free(a); /* else its letter is on the way */
}

static bool held(struct login *l, uint64_t now_ms, bool *must_fetch, uint64_t *until_ms)
{
    bool is_file = l->kind != LOGIN_ENDPOINT;

    *must_fetch = false;
    if (l->failures > 0) {
        *must_fetch = l->failed_until_ms <= now_ms;
        *until_ms = *must_fetch ? now_ms + LOGIN_POLL_MS : l->failed_until_ms;
        return true;
    }
    if (l->refused_until_ms <= now_ms) return false;
    *must_fetch = is_file && l->current_until_ms <= now_ms;
    *until_ms = now_ms + (*must_fetch ? LOGIN_POLL_MS : LOGIN_LOOK_MS);
    if (!is_file || l->refused_until_ms < *until_ms) *until_ms = l->refused_until_ms;
    return true;
}

bool login_is_held(struct login *l, struct loop *loop, uint64_t *until_ms)
{
    bool is_held, must_fetch;

    pthread_mutex_lock(&l->lock);
    is_held = held(l, now_of(l), &must_fetch, until_ms);
    if (must_fetch && !l->is_fetching) begin_fetch(l, loop);
    pthread_mutex_unlock(&l->lock);
    return is_held;
}

/* The secret was refused: another one is looked for, but not for ever. */
static void take_refusal(struct login *l)
{
    bool is_file = l->kind != LOGIN_ENDPOINT;

    l->is_proven = l->is_tried = false;
    l->is_suspect = true;
    if (is_file) return; /* what is read next is the same, or another */
    secret_unref(&l->current);
    if (l->is_renewed) pause_it(l, now_of(l));
    l->is_renewed = true;
}

void login_tell(struct login *l, struct loop *loop, struct secret **s, enum login_result result)
{
    pthread_mutex_lock(&l->lock);
    if (*s == l->current) { /* else it has been replaced meanwhile */
        l->is_tried = false;
        if (result == LOGIN_ACCEPTED) {
            l->is_proven = true;
            l->is_renewed = false;
            l->refusals = 0;
        } else if (result == LOGIN_REFUSED) {
            take_refusal(l);
        }
    }
    if (serve(l)) begin_fetch(l, loop);
    pthread_mutex_unlock(&l->lock);
    secret_unref(s);
}

/* ---- life */

static char *copy(const char *text)
{
    return check_strdup(text ? text : "");
}

struct login *login_new(const struct login_options *o)
{
    struct login *l = check_calloc(1, sizeof *l);
    bool has_password = o->password_file && *o->password_file;
    bool has_token = o->access_token_file && *o->access_token_file;

    atomic_init(&l->refs, 1);
    atomic_init(&l->is_stopped, false);
    l->kind = has_password ? LOGIN_PASSWORD : has_token ? LOGIN_TOKEN_FILE : LOGIN_ENDPOINT;
    l->username = copy(o->username);
    l->file = copy(has_password ? o->password_file : o->access_token_file);
    l->token_url = copy(o->token_url);
    l->client_id = copy(o->client_id);
    l->client_secret_file = copy(o->client_secret_file);
    l->refresh_token_file = copy(o->refresh_token_file);
    l->scope = copy(o->scope);
    l->token_ca_file = copy(o->token_ca_file);
    l->clock = o->clock;
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    list_init(&l->waiting);
    return l;
}

struct login *login_ref(struct login *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void login_unref(struct login **lp)
{
    struct login *l = *lp;

    *lp = NULL;
    if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1) return;
    CHECK(list_empty(&l->waiting));
    secret_unref(&l->current);
    secret_unref(&l->rotated);
    secret_unref(&l->replaced);
    pthread_mutex_destroy(&l->lock);
    free(l->username);
    free(l->file);
    free(l->token_url);
    free(l->client_id);
    free(l->client_secret_file);
    free(l->refresh_token_file);
    free(l->scope);
    free(l->token_ca_file);
    free(l);
}

const char *login_username(const struct login *l)
{
    return l->username;
}

bool login_is_token(const struct login *l)
{
    return l->kind != LOGIN_PASSWORD;
}

void login_stop(struct login *l)
{
    atomic_store(&l->is_stopped, true);
}
