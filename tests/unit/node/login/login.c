/* login - who gets the secret and when: one at a time until it is accepted, another one after a refusal, pauses that
 * grow, files that change; and tokens from an endpoint on this host.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/login/login.h"
#include "node/net/http.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"

#define TURNS_MAX 3000
#define UNTIL(fact)                                                                                \
    do {                                                                                           \
        for (unsigned turn_ = 0; turn_ < TURNS_MAX && !(fact); turn_++)                            \
            loop_turn(w.loop, 5);                                                                  \
        assert_true(fact);                                                                         \
    } while (0)

static struct {
    struct loop *loop;
    struct login *login;
    uint64_t now_ms;
    char dir[64], file[96], refresh[96];

    struct http_server *server;
    unsigned requests, status, refreshes_refused;
    char form[1024], body[70000], url[64];
} w;

static uint64_t now(void *arg)
{
    (void)arg;
    return w.now_ms;
}
static const struct clock fake = { .mono_ms = now, .wall_ms = now };

static void put(const char *path, const char *text, unsigned mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void expect_file(const char *path, const char *text)
{
    char got[200] = "";
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_non_null(fgets(got, sizeof got, f));
    fclose(f);
    assert_string_equal(got, text);
}

/* ---- asking */

struct asked {
    struct login_ask *ask;
    bool is_done;
    int result;
    struct secret *secret;
    uint64_t again_at_ms;
    char why[512];
};

static void on_answer(void *arg, const struct login_answer *a)
{
    struct asked *q = arg;

    assert_null(q->ask);
    q->is_done = true;
    q->result = a->result;
    q->secret = a->secret;
    q->again_at_ms = a->again_at_ms;
    snprintf(q->why, sizeof q->why, "%s", a->why);
}

static void begin(struct asked *q)
{
    *q = (struct asked){ 0 };
    login_ask(w.login, w.loop, on_answer, q, &q->ask);
    assert_false(q->is_done);
}

static void turns(void)
{
    for (int i = 0; i < 20; i++)
        loop_turn(w.loop, 2);
}

static void expect_secret(struct asked *q, const char *text)
{
    begin(q);
    UNTIL(q->is_done);
    if (q->result != 0) fail_msg("%s", q->why);
    assert_true(span_eq(secret_bytes(q->secret), span_cstr(text)));
}

static void expect_none(int result, uint64_t in_ms)
{
    struct asked q;

    begin(&q);
    UNTIL(q.is_done);
    assert_int_equal(q.result, result);
    assert_null(q.secret);
    assert_int_equal(q.again_at_ms, w.now_ms + in_ms);
}

static void tell(struct asked *q, enum login_result result)
{
    login_tell(w.login, w.loop, &q->secret, result);
    assert_null(q->secret);
}

/* ---- begin and end */

static int set_up(void **state)
{
    struct errmsg why;

    (void)state;
    memset(&w, 0, sizeof w);
    w.now_ms = 1000000;
    w.status = 200;
    snprintf(w.dir, sizeof w.dir, "/tmp/unit_login.XXXXXX");
    CHECK(mkdtemp(w.dir));
    snprintf(w.file, sizeof w.file, "%s/secret", w.dir);
    snprintf(w.refresh, sizeof w.refresh, "%s/refresh", w.dir);
    return loop_new(&w.loop, 0, &why);
}

static int take_down(void **state)
{
    char fresh[128];

    (void)state;
    login_unref(&w.login);
    if (w.server) http_server_close(&w.server);
    loop_settle(w.loop);
    turns();
    loop_free(&w.loop);
    unlink(w.file);
    unlink(w.refresh);
    snprintf(fresh, sizeof fresh, "%s.new", w.refresh);
    rmdir(fresh);
    return rmdir(w.dir);
}

static void open_password(const char *text)
{
    put(w.file, text, 0600);
    w.login = login_new(
        &(struct login_options){ .username = "user", .password_file = w.file, .clock = &fake });
}

/* ---- files */

static void one_at_a_time_until_it_is_accepted(void **state)
{
    struct asked a, b, c;

    (void)state;
    open_password("brass\n");
    assert_false(login_is_token(w.login));
    expect_secret(&a, "brass");
    begin(&b);
    begin(&c);
    turns();
    assert_false(b.is_done || c.is_done);
    tell(&a, LOGIN_UNTRIED); /* the connection broke before AUTH: the next one tries */
    UNTIL(b.is_done);
    turns();
    assert_false(c.is_done);
    tell(&b, LOGIN_ACCEPTED);
    UNTIL(c.is_done);
    expect_secret(&a, "brass"); /* from now on all at once */
    tell(&a, LOGIN_ACCEPTED);
    tell(&c, LOGIN_ACCEPTED);
}

static void a_refused_password_is_left_alone(void **state)
{
    struct asked a, b;

    (void)state;
    open_password("wrong");
    expect_secret(&a, "wrong");
    begin(&b);
    tell(&a, LOGIN_REFUSED);
    UNTIL(b.is_done); /* it was read again, and is the same */
    assert_int_equal(b.result, ERR_DENIED);
    assert_int_equal(b.again_at_ms, w.now_ms + LOGIN_PAUSE_MS);
    assert_null(strstr(b.why, "wrong"));
    w.now_ms += LOGIN_PAUSE_MS - 1;
    expect_none(ERR_DENIED, 1);
    for (unsigned pause = 2; pause <= 6;
         pause++) { /* once behind each pause, which doubles up to its limit */
        uint64_t ms = LOGIN_PAUSE_MS << (pause - 1);

        w.now_ms += 1 + LOGIN_PAUSE_MAX_MS;
        expect_secret(&a, "wrong");
        tell(&a, LOGIN_REFUSED);
        expect_none(ERR_DENIED, ms < LOGIN_PAUSE_MAX_MS ? ms : LOGIN_PAUSE_MAX_MS);
    }
}

static void another_password_ends_the_pause(void **state)
{
    struct asked a;

    (void)state;
    open_password("wrong");
    expect_secret(&a, "wrong");
    tell(&a, LOGIN_REFUSED);
    expect_none(ERR_DENIED, LOGIN_PAUSE_MS);
    put(w.file, "right\n", 0600);
    w.now_ms += LOGIN_LOOK_MS;
    expect_secret(&a, "right");
    tell(&a, LOGIN_ACCEPTED);
    put(w.file, "newer", 0600); /* a change without a refusal */
    w.now_ms += LOGIN_LOOK_MS;
    expect_secret(&a, "newer");
    tell(&a, LOGIN_REFUSED);
    put(w.file, "newest", 0600); /* a change while it was refused: no pause at all */
    expect_secret(&a, "newest");
    tell(&a, LOGIN_ACCEPTED);
}

static void what_came_back_late_changes_nothing(void **state)
{
    struct asked a, b;

    (void)state;
    open_password("old");
    expect_secret(&a, "old");
    put(w.file, "new", 0600);
    w.now_ms += LOGIN_LOOK_MS;
    expect_secret(&b, "new"); /* nobody is trying it yet */
    tell(&a, LOGIN_REFUSED);  /* of the old one */
    tell(&b, LOGIN_ACCEPTED);
    expect_secret(&a, "new");
    tell(&a, LOGIN_ACCEPTED);
}

static void a_file_that_others_can_read_is_refused(void **state)
{
    struct asked a;

    (void)state;
    open_password("secret");
    for (unsigned mode = 0; mode < 0777; mode++) {
        struct errmsg why = { "" };
        bool is_safe = (mode & 0027) == 0;

        if ((mode & 0400) == 0) continue;
        assert_int_equal(chmod(w.file, mode), 0);
        assert_int_equal(secret_file_check(w.file, &why), is_safe ? 0 : ERR_DENIED);
    }
    assert_int_equal(chmod(w.file, 0644), 0);
    begin(&a);
    UNTIL(a.is_done);
    assert_int_equal(a.result, ERR_DENIED);
    assert_int_equal(a.again_at_ms, w.now_ms + LOGIN_BACKOFF_MS);
    assert_non_null(strstr(a.why, "mode 644"));
    assert_null(strstr(a.why, "secret_"));
    assert_int_equal(chmod(w.file, 0600), 0);
    w.now_ms += LOGIN_BACKOFF_MS;
    expect_secret(&a, "secret");
    tell(&a, LOGIN_ACCEPTED);
}

static void files_that_hold_no_secret(void **state)
{
    struct errmsg why;
    struct secret *s;
    FILE *f;

    (void)state;
    put(w.file, "", 0600);
    assert_int_equal(secret_file_read(w.file, &s, &why), ERR_SYNTAX);
    put(w.file, "\n", 0600);
    assert_int_equal(secret_file_read(w.file, &s, &why), ERR_SYNTAX);
    put(w.file, "a\nb\n", 0600); /* would end a command */
    assert_int_equal(secret_file_read(w.file, &s, &why), ERR_SYNTAX);
    assert_null(s);
    f = fopen(w.file, "w");
    for (unsigned i = 0; i < SECRET_SIZE_MAX + 1; i++)
        fputc('x', f);
    fclose(f);
    assert_int_equal(secret_file_read(w.file, &s, &why), ERR_TOO_LONG);
    assert_int_equal(secret_file_read(w.dir, &s, &why), ERR_IO);
    unlink(w.file);
    assert_int_equal(secret_file_read(w.file, &s, &why), ERR_NOT_FOUND);
    assert_int_equal(mkfifo(w.file, 0600), 0); /* nobody writes there: it must not wait */
    assert_int_equal(secret_file_read(w.file, &s, &why), ERR_IO);
}

static void who_asks_may_go(void **state)
{
    struct asked a, b, c;

    (void)state;
    open_password("brass");
    begin(&a);
    login_ask_cancel(&a.ask); /* while it waits */
    expect_secret(&a, "brass");
    begin(&b);
    begin(&c);
    tell(&a, LOGIN_UNTRIED);  /* b's answer is on its way */
    login_ask_cancel(&b.ask); /* and nobody is there to take it */
    UNTIL(c.is_done);
    assert_false(b.is_done);
    assert_int_equal(c.result, 0);
    tell(&c, LOGIN_ACCEPTED);
    login_ask_cancel(&b.ask); /* harmless */
}

/* Who only looks is told whether to wait, and has the file looked at. */
static void a_held_account_is_looked_after(void **state)
{
    struct asked a;
    uint64_t until;

    (void)state;
    open_password("wrong");
    assert_false(login_is_held(w.login, w.loop, &until));
    expect_secret(&a, "wrong");
    tell(&a, LOGIN_REFUSED);
    expect_none(ERR_DENIED, LOGIN_PAUSE_MS);
    assert_true(login_is_held(w.login, w.loop, &until));
    assert_int_equal(until, w.now_ms + LOGIN_LOOK_MS);
    put(w.file, "right", 0600);
    w.now_ms += LOGIN_LOOK_MS;
    UNTIL(!login_is_held(w.login, w.loop, &until));
    unlink(w.file);
    w.now_ms += LOGIN_LOOK_MS;
    expect_none(ERR_NOT_FOUND, LOGIN_BACKOFF_MS);
    assert_true(login_is_held(w.login, w.loop, &until));
    assert_int_equal(until, w.now_ms + LOGIN_BACKOFF_MS);
    w.now_ms += LOGIN_BACKOFF_MS; /* still: until one was found */
    assert_true(login_is_held(w.login, w.loop, &until));
    turns();
    assert_true(login_is_held(w.login, w.loop, &until));
    put(w.file, "right", 0600);
    w.now_ms += LOGIN_BACKOFF_MS;
    UNTIL(!login_is_held(w.login, w.loop, &until));
    expect_secret(&a, "right");
    tell(&a, LOGIN_ACCEPTED);
}

/* ---- loops on threads of their own */

#define LOOPS     3u
#define ROUNDS    300u
#define ASKS_EACH 4u

static _Atomic uint64_t shared_ms = 1000000;
static atomic_uint
    holders; /* of a secret that nobody has accepted yet; one secret, never replaced */
static atomic_bool is_accepted;

struct worker {
    struct loop *loop;
    pthread_t thread;
    unsigned rounds, running;
    struct login_ask *asks[ASKS_EACH];
    struct worker_ask {
        struct worker *worker;
        unsigned number;
    } of[ASKS_EACH];
};

static uint64_t shared_now(void *arg)
{
    (void)arg;
    return atomic_load(&shared_ms);
}
static const struct clock shared_clock = { .mono_ms = shared_now, .wall_ms = shared_now };

static void ask_again(struct worker_ask *a);

static void on_worker_answer(void *arg, const struct login_answer *answer)
{
    struct worker_ask *a = arg;
    struct worker *k = a->worker;
    struct secret *s = answer->secret;

    CHECK(answer->result == 0);
    atomic_fetch_add(&shared_ms, LOGIN_LOOK_MS / 10);
    if (!atomic_load(&is_accepted)) {
        CHECK(atomic_fetch_add(&holders, 1) == 0);
        if (k->rounds > ROUNDS / 2) atomic_store(&is_accepted, true);
        atomic_fetch_sub(&holders, 1);
    }
    login_tell(w.login, k->loop, &s, atomic_load(&is_accepted) ? LOGIN_ACCEPTED : LOGIN_UNTRIED);
    if (++k->rounds < ROUNDS)
        ask_again(a);
    else if (--k->running == 0)
        loop_stop(k->loop);
}

static void ask_again(struct worker_ask *a)
{
    struct worker *k = a->worker;

    login_ask(w.login, k->loop, on_worker_answer, a, &k->asks[a->number]);
    if (k->rounds % 7 == 0) { /* who asks may go, and come back */
        login_ask_cancel(&k->asks[a->number]);
        login_ask(w.login, k->loop, on_worker_answer, a, &k->asks[a->number]);
    }
}

static void *work(void *arg)
{
    struct worker *k = arg;

    k->running = ASKS_EACH;
    for (unsigned i = 0; i < ASKS_EACH; i++) {
        k->of[i] = (struct worker_ask){ k, i };
        ask_again(&k->of[i]);
    }
    loop_run(k->loop);
    return NULL;
}

static void loops_share_an_account(void **state)
{
    static struct worker workers[LOOPS];
    struct errmsg why;

    (void)state;
    put(w.file, "brass", 0600);
    w.login = login_new(&(struct login_options){
        .username = "user", .password_file = w.file, .clock = &shared_clock });
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(loop_new(&workers[i].loop, i + 1, &why), 0);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < LOOPS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_settle(workers[i].loop);
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_true(workers[i].rounds >= ROUNDS);
        loop_turn(workers[i].loop, 0);
        loop_free(&workers[i].loop);
    }
}

/* ---- an endpoint */

static void on_request(void *arg, struct http_request *r)
{
    (void)arg;
    w.requests++;
    snprintf(w.form, sizeof w.form, "%.*s", SPAN_ARG(http_body(r)));
    http_answer(r, w.status, "application/json", span_cstr(w.body));
}

static void open_endpoint(void)
{
    struct http_server_options o = { .at = { "127.0.0.1", 0 },
                                     .body_size_max = 65536,
                                     .on_request = on_request };
    struct errmsg why = { "" };

    CHECK(http_server_open(&w.server, w.loop, &o, &why) == 0);
    snprintf(w.url, sizeof w.url, "http://127.0.0.1:%u/token", http_server_port(w.server));
    put(w.refresh, "r+1\n", 0600);
    put(w.file, "c&secret", 0600);
    w.login = login_new(&(struct login_options){ .username = "user",
                                                 .token_url = w.url,
                                                 .client_id = "client 7",
                                                 .client_secret_file = w.file,
                                                 .refresh_token_file = w.refresh,
                                                 .scope = "https://mail.test/",
                                                 .clock = &fake });
}

static void answer_with(const char *text)
{
    snprintf(w.body, sizeof w.body, "%s", text);
}

static void a_token_is_asked_once_and_kept(void **state)
{
    struct asked many[10], a;

    (void)state;
    open_endpoint();
    assert_true(login_is_token(w.login));
    answer_with("{\"access_token\":\"t1\",\"token_type\":\"Bearer\",\"expires_in\":3600}");
    for (unsigned i = 0; i < 10; i++)
        begin(&many[i]);
    UNTIL(many[0].is_done);
    assert_int_equal(many[0].result, 0);
    assert_string_equal(w.form, "grant_type=refresh_token&refresh_token=r%2B1&client_id=client%207&"
                                "client_secret=c%26secret&scope=https%3A%2F%2Fmail.test%2F");
    tell(&many[0], LOGIN_ACCEPTED);
    for (unsigned i = 1; i < 10; i++) {
        UNTIL(many[i].is_done);
        tell(&many[i], LOGIN_ACCEPTED);
    }
    assert_int_equal(w.requests, 1);
    answer_with("{\"access_token\":\"t2\",\"token_type\":\"bearer\",\"expires_in\":\"3600\"}");
    w.now_ms += 3600000 - LOGIN_EARLY_MS - 1;
    expect_secret(&a, "t1");
    tell(&a, LOGIN_ACCEPTED);
    w.now_ms += 1; /* shortly before its end */
    expect_secret(&a, "t2");
    tell(&a, LOGIN_ACCEPTED);
    assert_int_equal(w.requests, 2);
    expect_file(w.refresh, "r+1\n");
}

static void a_refused_token_is_renewed_once(void **state)
{
    struct asked a;

    (void)state;
    open_endpoint();
    answer_with("{\"access_token\":\"t1\"}");
    expect_secret(&a, "t1");
    tell(&a, LOGIN_ACCEPTED);
    expect_secret(&a, "t1");
    answer_with("{\"access_token\":\"t2\"}");
    tell(&a, LOGIN_REFUSED);
    expect_secret(&a, "t2");
    assert_int_equal(w.requests, 2);
    tell(&a, LOGIN_REFUSED);
    expect_none(ERR_DENIED, LOGIN_PAUSE_MS);
    assert_int_equal(w.requests, 2);
    w.now_ms += LOGIN_PAUSE_MS;
    answer_with("{\"access_token\":\"t3\"}");
    expect_secret(&a, "t3");
    tell(&a, LOGIN_REFUSED); /* none was accepted since: no renewal */
    expect_none(ERR_DENIED, 2 * LOGIN_PAUSE_MS);
    assert_int_equal(w.requests, 3);
}

static void the_refresh_token_rotates(void **state)
{
    struct asked a;
    struct stat st;

    (void)state;
    open_endpoint();
    answer_with("{\"access_token\":\"t1\",\"refresh_token\":\"r2\"}");
    expect_secret(&a, "t1");
    tell(&a, LOGIN_REFUSED);
    expect_file(w.refresh, "r2");
    assert_int_equal(stat(w.refresh, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    answer_with("{\"access_token\":\"t2\"}");
    expect_secret(&a, "t2");
    tell(&a, LOGIN_ACCEPTED);
    assert_non_null(strstr(w.form, "refresh_token=r2&"));
}

static void a_rotated_token_that_cannot_be_written_is_remembered(void **state)
{
    char in_the_way[128];
    struct asked a;

    (void)state;
    open_endpoint();
    snprintf(in_the_way, sizeof in_the_way, "%s.new", w.refresh);
    assert_int_equal(mkdir(in_the_way, 0700), 0);
    for (unsigned i = 2; i < 5; i++) { /* r+1 in the file; r2, r3, r4 in memory */
        char answer[100], used[40];

        snprintf(answer, sizeof answer,
                 "{\"access_token\":\"t%u\",\"refresh_token\":\"r%u\",\"expires_in\":100}", i, i);
        snprintf(used, sizeof used, i == 2 ? "refresh_token=r%%2B1&" : "refresh_token=r%u&", i - 1);
        answer_with(answer);
        begin(&a);
        UNTIL(a.is_done);
        assert_int_equal(a.result, 0);
        tell(&a, LOGIN_ACCEPTED);
        assert_non_null(strstr(w.form, used));
        w.now_ms += 100000;
    }
    expect_file(w.refresh, "r+1\n");
    put(w.refresh, "granted-anew", 0600); /* somebody has been there */
    begin(&a);
    UNTIL(a.is_done);
    tell(&a, LOGIN_ACCEPTED);
    assert_non_null(strstr(w.form, "refresh_token=granted-anew&"));
}

static void an_endpoint_that_refuses_is_not_asked_again_at_once(void **state)
{
    struct asked a;

    (void)state;
    open_endpoint();
    w.status = 400;
    answer_with("{\"error\":\"invalid_grant\",\"error_description\":\"r+1 is over\"}");
    begin(&a);
    UNTIL(a.is_done);
    assert_int_equal(a.result, ERR_DENIED);
    assert_int_equal(a.again_at_ms, w.now_ms + LOGIN_BACKOFF_MS);
    assert_non_null(strstr(a.why, "the answer is 400: invalid_grant"));
    assert_null(strstr(a.why, "r+1"));
    expect_none(ERR_DENIED, LOGIN_BACKOFF_MS);
    assert_int_equal(w.requests, 1);
    w.now_ms += LOGIN_BACKOFF_MS;
    w.status = 503;
    expect_none(ERR_IO, 2 * LOGIN_BACKOFF_MS);
    assert_int_equal(w.requests, 2);
    w.now_ms += 2 * LOGIN_BACKOFF_MS;
    w.status = 200;
    answer_with("{\"access_token\":\"t1\"}");
    expect_secret(&a, "t1");
    tell(&a, LOGIN_ACCEPTED);
}

static void answers_that_are_none(void **state)
{
    static const char *const texts[] = { "",
                                         "no",
                                         "[]",
                                         "{}",
                                         "{\"access_token\":5}",
                                         "{\"access_token\":\"\"}",
                                         "{\"access_token\":\"a\\u0001auth=\"}",
                                         "{\"access_token\":\"a\\r\\nQUIT\"}",
                                         "{\"access_token\":\"a\",\"token_type\":\"mac\"}",
                                         "{\"access_token\":\"a\",\"access_token\":\"b\"}",
                                         "{\"access_token\":\"a\",\"refresh_token\":\"b c\"}" };
    uint64_t backoff_ms = LOGIN_BACKOFF_MS;

    (void)state;
    open_endpoint();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        answer_with(texts[i]);
        expect_none(ERR_SYNTAX, backoff_ms);
        w.now_ms += backoff_ms;
        backoff_ms = 2 * backoff_ms < LOGIN_BACKOFF_MAX_MS ? 2 * backoff_ms : LOGIN_BACKOFF_MAX_MS;
    }
    memset(w.body, ' ', sizeof w.body - 1);
    expect_none(ERR_TOO_LONG, backoff_ms);
    w.now_ms += backoff_ms;
    http_server_close(&w.server);
    expect_none(ERR_IO, backoff_ms);
    w.now_ms += backoff_ms;
    login_stop(w.login);
    expect_none(ERR_FULL, (uint64_t)0 - w.now_ms); /* no time is named */
}

int main(void)
{
#define LOGIN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, take_down)
    const struct CMUnitTest tests[] = {
        LOGIN_TEST(one_at_a_time_until_it_is_accepted),
        LOGIN_TEST(a_refused_password_is_left_alone),
        LOGIN_TEST(another_password_ends_the_pause),
        LOGIN_TEST(what_came_back_late_changes_nothing),
        LOGIN_TEST(a_file_that_others_can_read_is_refused),
        LOGIN_TEST(files_that_hold_no_secret),
        LOGIN_TEST(who_asks_may_go),
        LOGIN_TEST(a_held_account_is_looked_after),
        LOGIN_TEST(loops_share_an_account),
        LOGIN_TEST(a_token_is_asked_once_and_kept),
        LOGIN_TEST(a_refused_token_is_renewed_once),
        LOGIN_TEST(the_refresh_token_rotates),
        LOGIN_TEST(a_rotated_token_that_cannot_be_written_is_remembered),
        LOGIN_TEST(an_endpoint_that_refuses_is_not_asked_again_at_once),
        LOGIN_TEST(answers_that_are_none),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
