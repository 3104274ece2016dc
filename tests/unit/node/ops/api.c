/* api - the HTTP API over a real commit: mails in, their story, orders, searches, the live stream.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/store.h"
#include "tests/unit/node/ops/ops_world.h"

#define MAIL "{\"from\":\"me@example.test\",\"to\":[\"a@one.test\",\"b@two.test\"],\"text\":\"hi\"}"

static struct world *world;

static const struct queue_store_calls *beneath;
static atomic_uint seekers;
static atomic_bool is_listed_late; /* what is read was frozen before it was known what is to be read */

static void *seeker_seen(void *self, struct span prefix)
{
    atomic_fetch_add(&seekers, 1);
    return beneath->seeker_open(self, prefix);
}

static void seeker_ended(void *self, void *seeker)
{
    beneath->seeker_close(self, seeker);
    atomic_fetch_sub(&seekers, 1);
}

static void each_seen(void *self, struct span prefix, struct span from, bool backwards, void *arg,
                      bool (*each)(void *arg, struct span key, struct span value))
{
    if (prefix.n > 4 && prefix.p[4] == 'p' && atomic_load(&seekers) > 0)
        atomic_store(&is_listed_late, true);
    beneath->each(self, prefix, from, backwards, arg, each);
}

/* Before any other thread knows the store. */
static void watch(struct queue_store *store)
{
    static struct queue_store_calls calls;

    beneath = store->calls;
    calls = *beneath;
    calls.seeker_open = seeker_seen;
    calls.seeker_close = seeker_ended;
    calls.each = each_seen;
    store->calls = &calls;
}

static int set_up(void **state)
{
    (void)state;
    world = check_calloc(1, sizeof *world);
    world->on_store = watch;
    world_open(world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(world);
    world_remove(world->dir);
    free(world);
    return 0;
}

/* GET of a path with one %s: the JSON, the caller frees. */
static json_t *get(const char *path, const char *id)
{
    struct cli_answer a;
    struct buf whole;
    json_t *j;

    buf_init(&whole, 4096);
    buf_add_cstr(&whole, "/api/v1/");
    buf_add_cstr(&whole, path);
    buf_add_cstr(&whole, id);
    assert_int_equal(cli_call(&world->target, "GET", buf_cstr(&whole), NULL, span_of(NULL, 0), &a),
                     CLI_DONE);
    j = json_incref(a.json);
    cli_answer_free(&a);
    buf_deinit(&whole);
    return j;
}

/* The status and problem of a request that is refused. */
static void refused(const char *method, const char *path, long status, const char *problem)
{
    struct cli_answer a;

    assert_int_not_equal(cli_call(&world->target, method, path, NULL, span_of(NULL, 0), &a),
                         CLI_DONE);
    assert_int_equal(a.status, status);
    assert_string_equal(strrchr(cli_text(a.json, "type"), ':') + 1, problem);
    assert_int_equal(cli_int(a.json, "status"), status);
    cli_answer_free(&a);
}

static void a_mail_and_its_story(void **state)
{
    char *id = world_post(world, MAIL);
    struct buf path;
    json_t *j, *list;

    (void)state;
    assert_non_null(id);
    assert_int_equal(strlen(id), 13);
    j = get("messages/", id);
    assert_string_equal(cli_text(j, "id"), id);
    assert_string_equal(cli_text(j, "mail_from"), "me@example.test");
    assert_int_equal(cli_int(j, "pending"), 2);
    list = json_object_get(j, "recipients");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(cli_text(json_array_get(list, 1), "domain"), "two.test");
    assert_string_equal(cli_text(json_array_get(list, 1), "state"), "waiting");
    assert_string_equal(cli_text(json_object_get(j, "origin"), "protocol"), "HTTP");
    assert_string_equal(cli_text(json_object_get(j, "origin"), "tenant"), "demo");
    json_decref(j);
    buf_init(&path, 256);
    buf_addf(&path, "%s/events", id);
    j = get("messages/", buf_cstr(&path));
    list = json_object_get(j, "items");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(cli_text(json_array_get(list, 0), "type"), "accepted");
    assert_string_equal(cli_text(json_array_get(list, 0), "recipient"), "a@one.test");
    assert_string_equal(cli_text(json_array_get(list, 0), "message_id"), id);
    json_decref(j);
    buf_deinit(&path);
    free(id);
}

/* Larger than one entry: it goes up in pieces and comes back whole. */
static void a_large_body(void **state)
{
    size_t n = 3u << 20;
    char *mail = check_malloc(n), path[256];
    struct cli_answer a, back;

    (void)state;
    memset(mail, 'y', n);
    memcpy(mail, "A: b\r\n\r\n", 8);
    mail[n - 1] = 'z';
    assert_int_equal(cli_call(&world->target, "POST",
                              "/api/v1/messages?from=me@example.test&to=a@one.test",
                              "message/rfc822", span_of(mail, n), &a),
                     CLI_DONE);
    assert_int_equal(a.status, 202);
    snprintf(path, sizeof path, "/api/v1/messages/%s/body", cli_text(a.json, "id"));
    assert_int_equal(cli_call(&world->target, "GET", path, NULL, span_of(NULL, 0), &back),
                     CLI_DONE);
    assert_int_equal(back.body.n, n);
    assert_memory_equal(back.body.p, mail, n);
    cli_answer_free(&a);
    cli_answer_free(&back);
    free(mail);
}

static void orders(void **state)
{
    static const struct {
        const char *order;
        int exit;
        const char *becomes;
    } steps[] = {
        { "hold", CLI_DONE, "held" },         { "hold", CLI_REFUSED, "held" },
        { "release", CLI_DONE, "waiting" },   { "release", CLI_REFUSED, "waiting" },
        { "cancel", CLI_DONE, "cancelled" },  { "cancel", CLI_REFUSED, "cancelled" },
        { "hold", CLI_REFUSED, "cancelled" },
    };
    char *id = world_post(world, MAIL), path[256];

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct cli_answer a;
        json_t *j;

        snprintf(path, sizeof path, "/api/v1/messages/%s/%s?recipient=1", id, steps[i].order);
        assert_int_equal(cli_call(&world->target, "POST", path, NULL, span_of(NULL, 0), &a),
                         steps[i].exit);
        cli_answer_free(&a);
        j = get("messages/", id);
        assert_string_equal(cli_text(json_array_get(json_object_get(j, "recipients"), 0), "state"),
                            "waiting");
        assert_string_equal(cli_text(json_array_get(json_object_get(j, "recipients"), 1), "state"),
                            steps[i].becomes);
        json_decref(j);
    }
    snprintf(path, sizeof path, "/api/v1/messages/%s/cancel", id);
    refused("POST", "/api/v1/messages/0000g0000zzzz/cancel", 409, "nothing-to-do");
    refused("POST", "/api/v1/messages/0000g0000zzzz/cancel?recipient=x", 400, "bad-request");
    free(id);
}

/* All pages together show each message once. */
static size_t walk(const char *path, const char *limit)
{
    char cursor[64] = "", whole[256];
    size_t n = 0, pages = 0;

    do {
        json_t *j;

        snprintf(whole, sizeof whole, "%s?limit=%s%s%s", path, limit, *cursor ? "&cursor=" : "",
                 cursor);
        j = get(whole, "");
        n += json_array_size(json_object_get(j, "items"));
        snprintf(cursor, sizeof cursor, "%s", cli_text(j, "next_cursor"));
        json_decref(j);
        assert_true(++pages < 1000);
    } while (*cursor);
    return n;
}

static void pages(void **state)
{
    json_t *j = get("queue?limit=500", "");
    size_t messages = json_array_size(json_object_get(j, "items")), events;

    (void)state;
    assert_int_equal(cli_int(json_object_get(j, "counts"), "messages"), messages);
    json_decref(j);
    events = walk("events", "500");
    for (int i = 0; i < 7; i++)
        free(world_post(world, MAIL));
    assert_int_equal(walk("queue", "500"), messages + 7);
    assert_int_equal(walk("queue", "1"), messages + 7);
    assert_int_equal(walk("queue", "3"), messages + 7);
    assert_int_equal(walk("events", "1"), events + 14);
    assert_int_equal(walk("events", "4"), events + 14);
}

/* ---- pages of a queue that changes meanwhile */

struct mails {
    char *ids[64];
    unsigned count;
};

static void post_one(struct mails *m)
{
    assert_true(m->count < 64);
    m->ids[m->count++] = world_post(world, MAIL);
}

static void cancel_one(const char *id)
{
    struct cli_answer a;
    char path[128];

    snprintf(path, sizeof path, "/api/v1/messages/%s/cancel", id);
    assert_int_equal(cli_call(&world->target, "POST", path, NULL, span_of(NULL, 0), &a), CLI_DONE);
    cli_answer_free(&a);
}

/* Takes a page of two; ids are ascending over all pages. */
static void take_page(char cursor[64], char last[64], struct mails *seen)
{
    char path[128];
    json_t *j, *item;
    size_t i;

    snprintf(path, sizeof path, "queue?limit=2%s%s", *cursor ? "&cursor=" : "", cursor);
    j = get(path, "");
    json_array_foreach(json_object_get(j, "items"), i, item)
    {
        assert_true(strcmp(cli_text(item, "id"), last) > 0);
        snprintf(last, 64, "%s", cli_text(item, "id"));
        assert_true(seen->count < 64);
        seen->ids[seen->count++] = check_strdup(last);
    }
    snprintf(cursor, 64, "%s", cli_text(j, "next_cursor"));
    json_decref(j);
}

static bool is_in(const struct mails *m, const char *id)
{
    for (unsigned i = 0; i < m->count; i++)
        if (strcmp(m->ids[i], id) == 0) return true;
    return false;
}

static void forget(struct mails *m)
{
    for (unsigned i = 0; i < m->count; i++)
        free(m->ids[i]);
}

/* Who was there all the time is shown once, whatever comes and goes; who comes behind the cursor, too. */
static void pages_of_a_queue_that_changes(void **state)
{
    struct mails stay = { .count = 0 }, come = { .count = 0 }, seen = { .count = 0 };
    char cursor[64] = "", last[64] = "";

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        post_one(&stay);
    do {
        struct mails gone = { .count = 0 };

        post_one(&gone);
        take_page(cursor, last, &seen);
        cancel_one(gone.ids[0]);
        if (come.count < 5) {
            post_one(&come);
            if (strcmp(come.ids[come.count - 1], last) < 0) free(come.ids[--come.count]);
        }
        forget(&gone);
    } while (*cursor);
    for (unsigned i = 0; i < stay.count; i++)
        assert_true(is_in(&seen, stay.ids[i]));
    for (unsigned i = 0; i < come.count; i++)
        assert_true(is_in(&seen, come.ids[i]) || strcmp(come.ids[i], last) > 0);
    assert_false(is_listed_late);
    forget(&stay);
    forget(&come);
    forget(&seen);
}

static size_t count(const char *path)
{
    json_t *j = get(path, "");
    size_t n = json_array_size(json_object_get(j, "items"));

    json_decref(j);
    return n;
}

static void searches(void **state)
{
    char *id = world_post(
             world, "{\"from\":\"me@example.test\",\"to\":\"Only@three.test\",\"text\":\"x\"}"),
         path[256];

    (void)state;
    assert_int_equal(count("queue?domain=three.test"), 1);
    assert_int_equal(count("queue?domain=four.test"), 0);
    assert_int_equal(count("queue?domain=three.test&state=held"), 0);
    assert_int_equal(count("events?recipient=only@THREE.test"), 1);
    assert_int_equal(count("events?recipient=only@three.test&type=accepted"), 1);
    assert_int_equal(count("events?recipient=only@three.test&type=bounced"), 0);
    assert_int_equal(count("events?recipient=only@three.test&since=2100-01-01T00:00:00Z"), 0);
    snprintf(path, sizeof path, "events?message=%s", id);
    assert_int_equal(count(path), 1);
    free(id);
    refused("GET", "/api/v1/queue?limit=0", 400, "bad-request");
    refused("GET", "/api/v1/queue?limit=501", 400, "bad-request");
    refused("GET", "/api/v1/queue?state=delivered", 400, "bad-request");
    refused("GET", "/api/v1/queue?cursor=x", 400, "bad-request");
    refused("GET", "/api/v1/events?type=x", 400, "bad-request");
    refused("GET", "/api/v1/events?message=x", 400, "bad-request");
    refused("GET", "/api/v1/events?since=x", 400, "bad-request");
    refused("GET", "/api/v1/events?cursor=x", 400, "bad-request");
    refused("GET", "/api/v1/events/stream?cursor=x", 400, "bad-request");
}

static void what_is_not_there(void **state)
{
    (void)state;
    refused("GET", "/api/v1/messages/0000g0000zzzz", 404, "not-found");
    refused("GET", "/api/v1/messages/0000g0000zzzz/events", 404, "not-found");
    refused("GET", "/api/v1/messages/0000g0000zzzz/body", 404, "not-found");
    refused("GET", "/api/v1/messages/zzz", 404, "not-found");
    refused("GET", "/api/v1/messages/00zzz00000001", 404, "not-found"); /* no such shard */
    refused("GET", "/api/v1/nothing", 404, "not-found");
    refused("POST", "/api/v1/queue", 405, "method-not-allowed");
    refused("POST", "/api/v1/messages", 415, "unsupported-media-type");
}

/* A node alone says where its tenants and the others stand. */
static void records_are_a_clusters(void **state)
{
    static const char *const kinds[] = { "tenants", "credentials", "domains",
                                         "routes",  "rules",       "settings" };

    (void)state;
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char list[64], one[64];

        snprintf(list, sizeof list, "/api/v1/%s", kinds[i]);
        snprintf(one, sizeof one, "/api/v1/%s/a.test", kinds[i]);
        refused("GET", list, 409, "alone");
        refused("POST", list, 409, "alone");
        refused("GET", one, 409, "alone");
        refused("PUT", one, 409, "alone");
        refused("DELETE", one, 409, "alone");
        refused("PATCH", one, 405, "method-not-allowed");
    }
}

static void without_a_token(void **state)
{
    struct cli_target strange = world->target;
    struct cli_answer a;

    (void)state;
    snprintf(strange.token, sizeof strange.token, "another-0123456789");
    assert_int_equal(cli_call(&strange, "GET", "/api/v1/queue", NULL, span_of(NULL, 0), &a),
                     CLI_NOT_ALLOWED);
    assert_int_equal(a.status, 401);
    cli_answer_free(&a);
    strange.token[0] = '\0';
    assert_int_equal(cli_call(&strange, "POST", "/api/v1/messages", NULL, span_of(NULL, 0), &a),
                     CLI_NOT_ALLOWED);
    cli_answer_free(&a);
    assert_int_equal(cli_call(&strange, "GET", "/livez", NULL, span_of(NULL, 0), &a), CLI_DONE);
    assert_string_equal(buf_cstr(&a.body), "ok\n");
    cli_answer_free(&a);
    assert_int_equal(cli_call(&strange, "GET", "/readyz?verbose", NULL, span_of(NULL, 0), &a),
                     CLI_DONE);
    assert_string_equal(buf_cstr(&a.body),
                        "[+]shards ok\n[+]serving ok\n[+]room ok\nreadyz check passed\n");
    cli_answer_free(&a);
    assert_int_equal(cli_call(&strange, "GET", "/metrics", NULL, span_of(NULL, 0), &a), CLI_DONE);
    assert_non_null(strstr(buf_cstr(&a.body), "\nangarium_shard_leads{shard=\"2\"} 1\n"));
    cli_answer_free(&a);
}

static void nodes_and_shards(void **state)
{
    json_t *j = get("nodes", "");

    (void)state;
    assert_int_equal(cli_int(json_array_get(json_object_get(j, "items"), 0), "id"), 1);
    assert_int_equal(cli_int(json_array_get(json_object_get(j, "items"), 0), "leads"), 2);
    json_decref(j);
    j = get("shards", "");
    assert_int_equal(json_array_size(json_object_get(j, "items")), 2);
    assert_true(
        json_is_true(json_object_get(json_array_get(json_object_get(j, "items"), 1), "leads")));
    json_decref(j);
}

/* ---- the stream */

struct listener_state {
    size_t seen, wanted;
    char last[512]; /* cursor */
    json_t *ids;
};

static bool on_line(void *arg, struct span line)
{
    struct listener_state *l = arg;

    if (line.n > 4 && span_eq(span_sub(line, 0, 4), SPAN_LIT("id: "))) {
        snprintf(l->last, sizeof l->last, "%.*s", (int)(line.n - 4), (const char *)line.p + 4);
        assert_null(json_object_get(l->ids, l->last)); /* none twice */
        json_object_set_new(l->ids, l->last, json_true());
        l->seen++;
    }
    return l->seen < l->wanted;
}

static void *post_many(void *arg)
{
    for (int i = 0; i < *(int *)arg; i++)
        free(world_post(world, MAIL));
    return NULL;
}

/* From the first event on: what is old and what happens meanwhile, each once. */
static void followed(void **state)
{
    struct listener_state l = { .ids = json_object() };
    json_t *first = get("events?limit=1", "");
    char path[256];
    pthread_t thread;
    int mails = 40;

    (void)state;
    l.wanted = walk("events", "500") - 1 + 2 * (size_t)mails;
    snprintf(path, sizeof path, "/api/v1/events/stream?cursor=%s",
             cli_text(json_array_get(json_object_get(first, "items"), 0), "id"));
    assert_int_equal(pthread_create(&thread, NULL, post_many, &mails), 0);
    assert_int_equal(cli_follow(&world->target, path, on_line, &l), CLI_DONE);
    pthread_join(thread, NULL);
    assert_int_equal(l.seen, l.wanted);
    json_decref(l.ids);
    json_decref(first);
}

static bool go_on(void *arg, struct span line)
{
    (void)arg;
    (void)line;
    return true;
}

static void *follow_for_ever(void *target)
{
    cli_follow(target, "/api/v1/events/stream", go_on, NULL);
    return NULL;
}

/* Readers that are still there when the node ends are let go. */
static void closed_under_a_reader(void **state)
{
    struct cli_target target = world->target;
    struct cli_answer a;
    bool is_there;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, follow_for_ever, &target), 0);
    do {
        assert_int_equal(cli_call(&world->target, "GET", "/metrics", NULL, span_of(NULL, 0), &a),
                         CLI_DONE);
        is_there = strstr(buf_cstr(&a.body), "event_stream_clients 1") != NULL;
        cli_answer_free(&a);
    } while (!is_there);
    tear_down(state);
    pthread_join(thread, NULL);
    set_up(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_and_its_story),
        cmocka_unit_test(a_large_body),
        cmocka_unit_test(orders),
        cmocka_unit_test(pages),
        cmocka_unit_test(pages_of_a_queue_that_changes),
        cmocka_unit_test(searches),
        cmocka_unit_test(what_is_not_there),
        cmocka_unit_test(records_are_a_clusters),
        cmocka_unit_test(without_a_token),
        cmocka_unit_test(nodes_and_shards),
        cmocka_unit_test(followed),
        cmocka_unit_test(closed_under_a_reader),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
