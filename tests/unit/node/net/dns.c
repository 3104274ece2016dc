/* The resolver against a small name server that lives in a hook of the same loop. */
#include "tests/unit/node/net/net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "node/net/dns.h"

enum { A = 1, CNAME = 5, SOA = 6, MX = 15, AAAA = 28 };

struct record {
    const char *name;
    unsigned type;
    struct span rdata;
};
#define R(name, type, text)                                                                        \
    {                                                                                              \
        name, type,                                                                                \
        {                                                                                          \
            (const uint8_t *)(text), sizeof(text) - 1                                              \
        }                                                                                          \
    }
static const struct record zone[] = {
    R("mx.test", MX, "\0\24\1b\4test\0"),
    R("mx.test", MX, "\0\12\1A\4test\0"),
    R("mx.test", MX, "\0\36\1c\4test\0"),
    R("null.test", MX, "\0\0\0"),
    R("odd.test", MX, "\0\12\3a b\4test\0"),
    R("half.test", MX, "\0\12\3a b\4test\0"),
    R("half.test", MX, "\0\24\2ok\4test\0"),
    R("both.test", AAAA, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"),
    R("both.test", A, "\xc0\0\2\1"),
    R("both.test", A, "\xc0\0\2\2"),
    R("six.test", AAAA, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\6"),
    R("four.test", A, "\xc0\0\2\4"),
    R("localhost", A, "\x7f\0\0\3"),
    R("big.test", MX, "\0\12\3big\4test\0"),
    R("alias.test", CNAME, "\5inner\4test\0"),
    R("inner.test", CNAME, "\4both\4test\0"),
    R("mail.test", CNAME, "\2mx\4test\0"),
    R("round.test", CNAME, "\3and\4test\0"),
    R("and.test", CNAME, "\5round\4test\0"),
    R("nowhere.test", CNAME, "\2nx\4test\0"),
    R("now.test", MX, "\0\12\2mx\4test\0"),
};

struct site {
    struct loop *loop;
    struct dns *dns;
    struct loop_hook hook;
    struct listener *tcp;
    struct stream *tcp_stream;
    int udp;
    uint16_t port;
    bool deaf;
    unsigned asked, done;
    struct dns_query q[4];
};

/* ---- the name server ---- */

struct question {
    char name[256];
    unsigned type;
    size_t size; /* of the question section */
};

static void read_question(struct span packet, struct question *q)
{
    size_t at = 12, n = 0;

    while (packet.p[at] != 0) {
        if (n > 0) q->name[n++] = '.';
        for (unsigned i = 1; i <= packet.p[at]; i++)
            q->name[n++] = (char)(packet.p[at + i] | 0x20);
        at += packet.p[at] + 1u;
    }
    q->name[n] = '\0';
    q->type = (unsigned)packet.p[at + 1] * 256u + packet.p[at + 2];
    q->size = at + 5 - 12;
}

static unsigned rcode_of(const char *name)
{
    if (strncmp(name, "fail", 4) == 0) return 2;
    return strncmp(name, "nx", 2) == 0 ? 3 : 0;
}

/* A record answers a question of its type; an alias answers all of them. */
static bool answers(const struct record *r, const struct question *q)
{
    return strcmp(r->name, q->name) == 0 && (r->type == q->type || r->type == CNAME);
}

/* What is not there may be remembered as long as the zone says (RFC 2308). */
static void add_soa(struct buf *out)
{
    buf_add(out, "\4test\0", 6);
    buf_add_u16be(out, SOA);
    buf_add_u16be(out, 1);
    buf_add_u32be(out, 300);
    buf_add_u16be(out, 22);
    buf_add(out, "\0\0", 2);
    for (unsigned i = 0; i < 5; i++)
        buf_add_u32be(out, 300);
}

static void make_answer(struct span packet, bool tcp, struct buf *out)
{
    struct question q;
    unsigned count = 0, rcode;
    bool cut;

    read_question(packet, &q);
    rcode = rcode_of(q.name);
    cut = !tcp && strncmp(q.name, "big", 3) == 0;
    if (strncmp(q.name, "only6", 5) == 0 && q.type == A) rcode = 2;
    for (unsigned i = 0; i < sizeof zone / sizeof zone[0]; i++)
        count += !cut && answers(&zone[i], &q);
    buf_add(out, packet.p, 2);
    buf_add_u16be(out, (uint16_t)(0x8180 | rcode | (cut ? 0x200 : 0)));
    buf_add_u16be(out, 1);
    buf_add_u16be(out, (uint16_t)count);
    buf_add_u32be(out, count == 0 && rcode != 2 ? 0x10000 : 0);
    buf_add(out, packet.p + 12, q.size);
    for (unsigned i = 0; i < sizeof zone / sizeof zone[0]; i++) {
        if (cut || !answers(&zone[i], &q)) continue;
        buf_add_u16be(out, 0xc00c);
        buf_add_u16be(out, (uint16_t)zone[i].type);
        buf_add_u16be(out, 1);
        buf_add_u32be(out, strcmp(q.name, "now.test") == 0 ? 0 : 300);
        buf_add_u16be(out, (uint16_t)zone[i].rdata.n);
        buf_add_span(out, zone[i].rdata);
    }
    if (count == 0 && rcode != 2) add_soa(out);
}

static uint64_t serve_udp(struct loop_hook *hook, uint64_t mono_ms)
{
    struct site *site = CONTAINER_OF(hook, struct site, hook);
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    uint8_t packet[2048];
    ssize_t n;

    while ((n = recvfrom(site->udp, packet, sizeof packet, 0, (struct sockaddr *)&from, &size)) >
           12) {
        struct buf out;
        site->asked++;
        if (site->deaf) continue;
        buf_init(&out, 65536);
        make_answer(span_of(packet, (size_t)n), false, &out);
        sendto(site->udp, out.p, out.n, 0, (struct sockaddr *)&from, size);
        buf_deinit(&out);
    }
    return mono_ms + 1;
}

static size_t serve_tcp(void *arg, struct span bytes)
{
    struct site *site = arg;
    struct buf out;
    size_t n = bytes.n > 1 ? bytes.p[0] * 256u + bytes.p[1] : SIZE_MAX - 2;

    if (bytes.n < n + 2) return 0;
    buf_init(&out, 65536);
    buf_add_u16be(&out, 0);
    make_answer(span_sub(bytes, 2, n), true, &out);
    out.p[0] = (uint8_t)((out.n - 2) / 256);
    out.p[1] = (uint8_t)((out.n - 2) % 256);
    assert_int_equal(stream_write(site->tcp_stream, buf_span(&out)), 0);
    buf_deinit(&out);
    return n + 2;
}

static void tcp_ended(void *arg, int err)
{
    struct site *site = arg;

    (void)err;
    stream_close(&site->tcp_stream);
}

static void on_tcp(void *arg, struct listener *li)
{
    static const struct stream_calls calls = { .on_read = serve_tcp, .on_end = tcp_ended };
    struct site *site = arg;
    struct stream_options o = { .calls = &calls, .arg = site };

    stream_close(&site->tcp_stream);
    stream_accept(&site->tcp_stream, li, &o);
}

static void open_servers(struct site *site)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    struct listener_options o = { .at = { .text = "127.0.0.1" },
                                  .on_connection = on_tcp,
                                  .arg = site };
    struct errmsg why;

    assert_int_equal(listener_open(&site->tcp, site->loop, &o, &why), 0);
    site->port = listener_port(site->tcp);
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    at.sin_port = htons(site->port);
    site->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(site->udp, (struct sockaddr *)&at, sizeof at), 0);
    site->hook.on_turn = serve_udp;
    loop_hook_add(site->loop, &site->hook);
}

static struct site *site_new(void)
{
    struct site *site = check_calloc(1, sizeof *site);
    char resolver[32];
    struct errmsg why;

    assert_int_equal(loop_new(&site->loop, 0, &why), 0);
    open_servers(site);
    snprintf(resolver, sizeof resolver, "127.0.0.1:%u", site->port);
    assert_int_equal(dns_open(&site->dns, site->loop, resolver, &why), 0);
    return site;
}

static void site_free(struct site *site)
{
    dns_close(&site->dns);
    stream_close(&site->tcp_stream);
    listener_close(&site->tcp);
    close(site->udp);
    loop_hook_remove(site->loop, &site->hook);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(site->loop, 1);
    loop_free(&site->loop);
    free(site);
}

/* ---- asking ---- */

static struct site *the_site;

static void on_done(struct dns_query *q)
{
    (void)q;
    the_site->done++;
}

static struct dns_query *look(struct site *site, enum dns_type type, const char *name)
{
    struct dns_query *q = &site->q[0];

    the_site = site;
    site->done = 0;
    q->on_done = on_done;
    assert_int_equal(dns_ask(site->dns, q, type, name), 0);
    assert_int_equal(site->done, 0);
    UNTIL(site->loop, site->done == 1);
    return q;
}

static void test_mx(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *q = look(site, DNS_MX, "mx.test");

    assert_int_equal(q->status, DNS_OK);
    assert_int_equal(q->count, 3);
    assert_string_equal(q->answers[0].text, "a.test");
    assert_int_equal(q->answers[0].preference, 10);
    assert_string_equal(q->answers[1].text, "b.test");
    assert_string_equal(q->answers[2].text, "c.test");
    site_free(site);
}

static void test_null_mx(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *q = look(site, DNS_MX, "null.test");

    assert_int_equal(q->status, DNS_OK);
    assert_int_equal(q->count, 1);
    assert_string_equal(q->answers[0].text, "");
    site_free(site);
}

static void test_odd_records(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *q = look(site, DNS_MX, "odd.test");

    assert_int_equal(q->status, DNS_FAILED);
    assert_string_equal(q->why, "malformed records");
    q = look(site, DNS_MX, "half.test");
    assert_int_equal(q->status, DNS_OK);
    assert_int_equal(q->count, 1);
    assert_string_equal(q->answers[0].text, "ok.test");
    site_free(site);
}

static void test_addresses(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *q = look(site, DNS_ADDRESS, "both.test");

    assert_int_equal(q->status, DNS_OK);
    assert_int_equal(q->count, 3);
    assert_true(strncmp(q->answers[0].text, "192.0.2.", 8) == 0);
    assert_true(strncmp(q->answers[1].text, "192.0.2.", 8) == 0);
    assert_string_equal(q->answers[2].text, "2001:db8::1");
    q = look(site, DNS_ADDRESS, "six.test");
    assert_int_equal(q->count, 1);
    assert_string_equal(q->answers[0].text, "2001:db8::6");
    q = look(site, DNS_ADDRESS, "four.test");
    assert_int_equal(q->count, 1);
    assert_string_equal(q->answers[0].text, "192.0.2.4");
    q = look(site, DNS_ADDRESS, "localhost"); /* also this one is asked for */
    assert_int_equal(q->count, 1);
    assert_string_equal(q->answers[0].text, "127.0.0.3");
    site_free(site);
}

static void test_nothing_there(void **state)
{
    (void)state;
    struct site *site = site_new();

    assert_int_equal(look(site, DNS_MX, "nx.test")->status, DNS_NO_NAME);
    assert_int_equal(look(site, DNS_ADDRESS, "nx2.test")->status, DNS_NO_NAME);
    assert_int_equal(look(site, DNS_MX, "four.test")->status, DNS_NO_DATA);
    assert_int_equal(look(site, DNS_ADDRESS, "mx.test")->status, DNS_NO_DATA);
    assert_int_equal(look(site, DNS_MX, "fail.test")->status, DNS_FAILED);
    assert_string_equal(site->q[0].why, "server failure");
    assert_int_equal(site->q[0].count, 0);
    site_free(site);
}

static void test_cut_short_comes_by_tcp(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *q = look(site, DNS_MX, "big.test");

    assert_int_equal(q->status, DNS_OK);
    assert_string_equal(q->answers[0].text, "big.test");
    site_free(site);
}

static void test_cache(void **state)
{
    (void)state;
    struct site *site = site_new();
    unsigned asked;

    look(site, DNS_MX, "mx.test");
    asked = site->asked;
    assert_int_equal(look(site, DNS_MX, "MX.test.")->count, 3);
    assert_int_equal(site->asked, asked);
    site_free(site);
}

static unsigned asked_by(struct site *site, enum dns_type type, const char *name)
{
    unsigned before = site->asked;

    look(site, type, name);
    return site->asked - before;
}

/* Kept as long as it may be, also what is not there (RFC 2308), and no longer. */
static void test_cache_by_ttl(void **state)
{
    (void)state;
    struct site *site = site_new();

    assert_int_equal(asked_by(site, DNS_MX, "now.test"), 1);
    assert_int_equal(asked_by(site, DNS_MX, "now.test"), 1);
    assert_int_equal(asked_by(site, DNS_MX, "nx3.test"), 1);
    assert_int_equal(asked_by(site, DNS_MX, "nx3.test"), 0);
    assert_int_equal(site->q[0].status, DNS_NO_NAME);
    assert_int_equal(asked_by(site, DNS_MX, "four.test"), 1);
    assert_int_equal(asked_by(site, DNS_MX, "four.test"), 0);
    assert_int_equal(site->q[0].status, DNS_NO_DATA);
    site_free(site);
}

/* RFC 5321 5.1: an alias is followed, for the MX of a domain and for the addresses of a host. */
static void test_aliases(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *q = look(site, DNS_ADDRESS, "alias.test");

    assert_int_equal(q->count, 3); /* in any order */
    q = look(site, DNS_MX, "mail.test");
    assert_int_equal(q->count, 3);
    assert_string_equal(q->answers[0].text, "a.test");
    assert_int_equal(look(site, DNS_MX, "alias.test")->status, DNS_NO_DATA);
    assert_int_equal(look(site, DNS_ADDRESS, "nowhere.test")->status, DNS_NO_NAME);
    assert_int_equal(look(site, DNS_ADDRESS, "round.test")->status, DNS_FAILED);
    site_free(site);
}

static void test_bad_names(void **state)
{
    (void)state;
    struct site *site = site_new();

    site->q[0].on_done = on_done;
    assert_int_equal(dns_ask(site->dns, &site->q[0], DNS_MX, ""), ERR_SYNTAX);
    assert_int_equal(dns_ask(site->dns, &site->q[0], DNS_MX, "a b"), ERR_SYNTAX);
    dns_cancel(&site->q[0]); /* harmless */
    site_free(site);
}

static void cancel_the_other(struct dns_query *q)
{
    on_done(q);
    dns_cancel(q == &the_site->q[0] ? &the_site->q[1] : &the_site->q[0]);
}

static void test_cancel(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *mine = check_calloc(1, sizeof *mine);

    the_site = site;
    site->deaf = true;
    mine->on_done = on_done;
    assert_int_equal(dns_ask(site->dns, mine, DNS_ADDRESS, "both.test"), 0);
    for (unsigned i = 0; i < 5; i++)
        loop_turn(site->loop, 1);
    dns_cancel(mine);
    dns_cancel(mine);
    free(mine); /* its answers find nobody */
    site->deaf = false;
    look(site, DNS_ADDRESS, "both.test"); /* the same question, from now on answered */
    site->done = 0;
    for (unsigned i = 0; i < 2; i++) {
        site->q[i].on_done = cancel_the_other;
        assert_int_equal(dns_ask(site->dns, &site->q[i], DNS_ADDRESS, "both.test"), 0);
    }
    UNTIL(site->loop, site->done == 1);
    for (unsigned i = 0; i < 10; i++)
        loop_turn(site->loop, 1);
    assert_int_equal(site->done, 1);
    site_free(site);
}

static void close_all(struct dns_query *q)
{
    on_done(q);
    dns_close(&the_site->dns);
}

static void test_close_inside_on_done(void **state)
{
    (void)state;
    struct site *site = site_new();

    the_site = site;
    for (unsigned i = 0; i < 4; i++) {
        site->q[i].on_done = close_all;
        assert_int_equal(dns_ask(site->dns, &site->q[i], DNS_MX, "mx.test"), 0);
    }
    UNTIL(site->loop, site->done > 0);
    for (unsigned i = 0; i < 10; i++)
        loop_turn(site->loop, 1);
    assert_int_equal(site->done, 1);
    dns_cancel(&site->q[3]); /* harmless */
    site_free(site);
}

static void test_time_is_bounded(void **state)
{
    (void)state;
    struct site *site = site_new();

    the_site = site;
    site->deaf = true;
    site->q[0].on_done = on_done;
    assert_int_equal(dns_ask(site->dns, &site->q[0], DNS_ADDRESS, "both.test"), 0);
    assert_true(loop_timer_is_running(&site->q[0].limit));
    loop_timer_start(&site->q[0].limit, 0);
    UNTIL(site->loop, site->done == 1);
    assert_int_equal(site->q[0].status, DNS_FAILED);
    assert_string_equal(site->q[0].why, "timed out");
    site_free(site);
}

static void test_bounded(void **state)
{
    (void)state;
    struct site *site = site_new();
    struct dns_query *q = check_calloc(DNS_QUERIES_MAX + 1, sizeof *q);
    char name[32];

    the_site = site;
    site->deaf = true;
    for (unsigned i = 0; i < DNS_QUERIES_MAX; i++) {
        q[i].on_done = on_done;
        snprintf(name, sizeof name, "nx%u.test", i);
        assert_int_equal(dns_ask(site->dns, &q[i], DNS_MX, name), 0);
    }
    assert_int_equal(dns_ask(site->dns, &q[DNS_QUERIES_MAX], DNS_MX, "one.test"), ERR_FULL);
    dns_cancel(&q[DNS_QUERIES_MAX]); /* harmless */
    dns_cancel(&q[7]);
    assert_int_equal(dns_ask(site->dns, &q[7], DNS_MX, "one.test"), 0);
    dns_close(&site->dns); /* with all of them in flight */
    assert_int_equal(site->done, 0);
    site_free(site);
    free(q);
}

static void test_resolver_texts(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "127.0.0.1", "localhost:53", "127.0.0.1:x" };
    struct loop *l;
    struct dns *d;
    struct errmsg why;

    assert_int_equal(loop_new(&l, 0, &why), 0);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(dns_open(&d, l, bad[i], &why), ERR_CONFIG);
        assert_null(d);
    }
    assert_int_equal(dns_open(&d, l, "[::1]:5353", &why), 0);
    dns_close(&d);
    int err = dns_open(&d, l, NULL, &why); /* what the system says, if it says anything */
    assert_true(err == 0 || err == ERR_CONFIG);
    dns_close(&d);
    loop_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mx),
        cmocka_unit_test(test_null_mx),
        cmocka_unit_test(test_odd_records),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_cut_short_comes_by_tcp),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_by_ttl),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_close_inside_on_done),
        cmocka_unit_test(test_time_is_bounded),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_resolver_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
