/* run - tells the stories of .smtp files to a real deliver on a real loop: remote servers on
 * loopback follow their scripts, commit and the resolver are doubles, the queue is the real one.
 * Usage: conformance_deliver
 * [-s TEXT] [-v] FILE... (-s: only stories whose names contain TEXT; -v: with the log).
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/net/stream_private.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "tests/conformance/deliver/chaos.h"
#include "tests/conformance/deliver/world.h"

#define DEADLINE_MS     30000
#define ROUTE_TLS_COUNT 6

static struct tls *server_tls, *server12_tls, *client_tls;
static struct tls *route_tls
    [ROUTE_TLS_COUNT]; /* 1: trusts others, 2: trusts the servers' CA, 3: and wants TLS 1.3, 4: wants the
                                  * servers' key, 5: another one, 6: that or the servers' */
static char tmp_dir[64];

/* ---- before the story */

static void set_option(struct world *w, int line, const struct words *v)
{
    struct deliver_options *o = &w->options;
    uint64_t n = strtoull(v->of[1], NULL, 10);
    const struct {
        const char *key;
        uint64_t *at;
        unsigned *small;
    } rows[] = {
        { "idle_ms", &o->idle_ms, NULL },
        { "delay_dsn_ms", &o->delay_dsn_ms, NULL },
        { "connect_timeout_ms", &o->connect_timeout_ms, NULL },
        { "greeting_timeout_ms", &o->greeting_timeout_ms, NULL },
        { "command_timeout_ms", &o->command_timeout_ms, NULL },
        { "data_timeout_ms", &o->data_timeout_ms, NULL },
        { "dot_timeout_ms", &o->dot_timeout_ms, NULL },
        { "retry_base_ms", &o->router.retry_base_ms, NULL },
        { "retry_cap_ms", &o->router.retry_cap_ms, NULL },
        { "pause_base_ms", &o->router.pause_base_ms, NULL },
        { "pause_cap_ms", &o->router.pause_cap_ms, NULL },
        { "pause_after_failures", NULL, &o->router.pause_after_failures },
        { "site_connections_max", NULL, &o->router.site_connections_max },
        { "connections_max", NULL, &o->connections_max },
        { "lanes_max", NULL, &o->lanes_max },
        { "recipients_per_transaction_max", NULL, &o->recipients_per_transaction_max },
        { "transactions_per_connection_max", NULL, &o->transactions_per_connection_max },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].key, v->of[0]) != 0) continue;
        if (rows[i].at)
            *rows[i].at = n;
        else
            *rows[i].small = (unsigned)n;
        return;
    }
    world_wrong(w, line, "no such option: %s", v->of[0]);
}

static enum router_tls tls_named(const struct words *v)
{
    if (words_have(v, "verify")) return ROUTER_TLS_VERIFY;
    if (words_have(v, "encrypt")) return ROUTER_TLS_ENCRYPT;
    return words_have(v, "tls") ? ROUTER_TLS_MAY : ROUTER_TLS_NONE;
}

static void add_rule(struct world *w, const struct words *v)
{
    struct router_rule *r = &w->rules[w->options.router.rule_count++];

    snprintf(r->match, sizeof r->match, "%s", v->of[0]);
    r->via = strcmp(v->of[1], "inbox") == 0  ? ROUTER_VIA_INBOX
             : strcmp(v->of[1], "host") == 0 ? ROUTER_VIA_HOST
                                             : ROUTER_VIA_MX;
    if (r->via == ROUTER_VIA_HOST) snprintf(r->host, sizeof r->host, "%s", v->of[2]);
    r->tls = tls_named(v);
    if (r->tls == ROUTER_TLS_VERIFY)
        r->tls_context = words_have(v, "stranger") ? 1 : words_have(v, "1.3") ? 3 : 2;
    if (words_have(v, "pinned"))
        r->tls_context = words_have(v, "to-another") ? 5 : words_have(v, "to-two") ? 6 : 4;
    if (words_value(v, "login")) r->login = (unsigned)strtoul(words_value(v, "login"), NULL, 10);
}

static enum dns_status status_named(const char *word)
{
    if (strcmp(word, "fails") == 0 || strcmp(word, "bogus") == 0) return DNS_FAILED;
    return strcmp(word, "none") == 0 ? DNS_NO_DATA : DNS_OK;
}

static void add_record(struct world *w, enum dns_type type, const struct words *v)
{
    enum dns_status status = status_named(v->of[1]);

    if (status != DNS_OK)
        double_dns_status(w->dns, type, v->of[0], status,
                          strcmp(v->of[1], "bogus") == 0 ? "validation failed" : "server failure");
    else if (type == DNS_MX)
        double_dns_add(w->dns, type, v->of[0], strcmp(v->of[2], ".") == 0 ? "" : v->of[2],
                       (uint16_t)strtoul(v->of[1], NULL, 10));
    else
        for (unsigned i = 1; i < v->count; i++)
            double_dns_add(w->dns, type, v->of[0], v->of[i], 0);
}

static void add_own(struct world *w, const char *text)
{
    struct stream_address *a = &w->own[w->options.own_count++];

    CHECK(w->options.own_count <= sizeof w->own / sizeof w->own[0]);
    snprintf(a->text, sizeof a->text, "%s", text);
}

static void add_mail(struct world *w, const struct words *v, const char *line)
{
    struct world_mail *m = &w->mails[w->mail_count++];

    CHECK(w->mail_count <= WORLD_MAILS_MAX);
    snprintf(m->name, sizeof m->name, "%s", v->of[0]);
    snprintf(m->line, sizeof m->line, "%s", line);
}

static void add_mails(struct world *w, const struct words *v)
{
    unsigned count = (unsigned)strtoul(v->of[0], NULL, 10);
    unsigned recipients = (unsigned)strtoul(v->of[1], NULL, 10);

    for (unsigned i = 0; i < count; i++) {
        struct world_mail *m = &w->mails[w->mail_count++];
        int n;

        CHECK(w->mail_count <= WORLD_MAILS_MAX);
        snprintf(m->name, sizeof m->name, "%u", i);
        n = snprintf(m->line, sizeof m->line, "%u from=s@x.test to=", i);
        for (unsigned r = 0; r < recipients; r++)
            n += snprintf(m->line + n, sizeof m->line - (size_t)n, "%sr%u.%u@d%u.test",
                          r ? "," : "", i, r, (i + r / 3) % 5);
        for (unsigned k = 2; k < v->count; k++)
            n += snprintf(m->line + n, sizeof m->line - (size_t)n, " %s", v->of[k]);
    }
}

static void add_login(struct world *w, const struct words *v)
{
    struct login_options o = { .username = v->of[1], .clock = &clock_real };
    unsigned n = ++w->login_count;
    char path[128];

    CHECK(n <= sizeof w->logins / sizeof w->logins[0]);
    world_login_file(w, n, path, sizeof path);
    if (strcmp(v->of[0], "token") == 0)
        o.access_token_file = path;
    else
        o.password_file = path;
    if (v->count > 2)
        world_login_write(w, n, v->of[2]);
    else
        unlink(path);
    w->logins[n - 1] = login_new(&o);
}

static void set_up(struct world *w, const struct line *l)
{
    struct words v;

    words_split(&v, l->rest);
    if (strcmp(l->verb, "option") == 0)
        set_option(w, l->number, &v);
    else if (strcmp(l->verb, "own") == 0)
        add_own(w, v.of[0]);
    else if (strcmp(l->verb, "rule") == 0)
        add_rule(w, &v);
    else if (strcmp(l->verb, "mx") == 0)
        add_record(w, DNS_MX, &v);
    else if (strcmp(l->verb, "address") == 0)
        add_record(w, DNS_ADDRESS, &v);
    else if (strcmp(l->verb, "mail") == 0)
        add_mail(w, &v, l->rest);
    else if (strcmp(l->verb, "login") == 0)
        add_login(w, &v);
    else if (strcmp(l->verb, "mails") == 0)
        add_mails(w, &v);
    else if (strcmp(l->verb, "chaos") == 0)
        w->chaos = chaos_open(w, strtoull(v.of[0], NULL, 10), (unsigned)strtoul(v.of[1], NULL, 10));
    else if (strcmp(v.of[0], "held") == 0)
        double_hold_claims(w->commit, true);
    else
        double_fail_claims(w->commit, ERR_UNKNOWN);
}

static void default_options(struct world *w)
{
    struct deliver_options *o = &w->options;

    deliver_options_default(o);
    o->loop = w->loop;
    o->commit = w->commit;
    o->dns = w->dns;
    o->tls = w->client_tls;
    o->hostname = "node.test";
    o->node = 1;
    o->inbox_dir = w->inbox_dir;
    o->own = w->own;
    o->idle_ms = 20;
    o->connect_timeout_ms = 3000;
    o->greeting_timeout_ms = o->command_timeout_ms = 8000;
    o->data_timeout_ms = o->dot_timeout_ms = 8000;
    o->router.rules = w->rules;
    o->router.retry_base_ms = o->router.retry_cap_ms = 3600000;
    o->router.retry_jitter_permille = 0;
    o->router.seed = 7;
}

static void open_world(struct world *w)
{
    struct errmsg why = { "" };

    CHECK(loop_new(&w->loop, 0, &why) == 0);
    w->commit = double_open(w->loop);
    w->dns = double_dns_open(w->loop);
    w->server_tls = server_tls;
    w->server12_tls = server12_tls;
    w->client_tls = client_tls;
    list_init(&w->sessions);
    snprintf(w->inbox_dir, sizeof w->inbox_dir, "%.40s/inbox", tmp_dir);
    default_options(w);
    for (unsigned i = 0; i < w->story->setup_count; i++)
        set_up(w, &w->story->setup[i]);
    w->options.routes = deliver_routes_new(route_tls, ROUTE_TLS_COUNT, w->logins, w->login_count);
    remote_listen(w);
    w->options.router.mx_port = w->port ? w->port : 25;
    for (unsigned i = 0; i < w->options.router.rule_count; i++)
        w->rules[i].port = w->port;
    for (unsigned i = 0; i < w->options.own_count; i++)
        w->own[i].port = w->options.router.mx_port;
    CHECK(deliver_new(&w->deliver, &w->options, &why) == 0);
    double_lead(w->commit, true);
    for (unsigned i = 0; i < w->mail_count; i++)
        if (!strstr(w->mails[i].line, " later")) world_take_in(w, &w->mails[i]);
}

static void close_world(struct world *w)
{
    deliver_free(&w->deliver);
    deliver_routes_unref(&w->options.routes);
    remote_close(w);
    double_dns_close(&w->dns);
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 1);
    loop_settle(w->loop); /* a read of a body may be on its way */
    double_close(&w->commit);
    for (unsigned i = 0; i < w->login_count; i++)
        login_unref(&w->logins[i]);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    for (unsigned i = 0; i < w->mail_count; i++)
        buf_deinit(&w->mails[i].body);
}

/* ---- the story */

/* Are all wishes true? Else what is not, first. */
static bool is_as_wanted(struct world *w, char *why, size_t size)
{
    char reason[900];

    for (unsigned i = 0; i < w->story->wanted_count; i++) {
        const struct line *l = &w->story->wanted[i];

        if (world_has(w, l, reason, sizeof reason)) continue;
        snprintf(why, size, "line %d: %s %s: %s", l->number, l->verb, l->rest, reason);
        return false;
    }
    return true;
}

static void live(struct world *w)
{
    uint64_t end_ms = loop_mono_ms(w->loop) + DEADLINE_MS;
    char why[1200] = "";

    while (!w->wrong[0] && loop_mono_ms(w->loop) < end_ms) {
        loop_turn(w->loop, 20);
        if (!remote_is_done(w)) continue;
        if (is_as_wanted(w, why, sizeof why)) return;
    }
    if (w->wrong[0]) return;
    if (!remote_is_done(w))
        world_wrong(w, w->story->number, "the scripts did not end; %s", why);
    else
        world_wrong(w, w->story->number, "%s", why);
}

static bool tell(const struct story *story)
{
    static struct world w;
    bool is_good;

    w = (struct world){ .story = story };
    open_world(&w);
    live(&w);
    close_world(&w);
    is_good = !w.wrong[0];
    printf("%s  %s: %s\n", is_good ? "ok  " : "FAIL", story->file, story->name);
    if (!is_good) printf("      %s\n", w.wrong);
    fflush(stdout);
    return is_good;
}

static unsigned tell_file(const char *path, const char *only, unsigned *told)
{
    struct story_file *f;
    const struct story *story;
    unsigned failed = 0;

    if (story_file_read(&f, path) != 0) return 1;
    while ((story = story_next(f)) != NULL) {
        if (only && !strstr(story->name, only)) continue;
        (*told)++;
        failed += !tell(story);
    }
    story_file_free(&f);
    return failed;
}

static void make_certificates(void)
{
    static const char *const hosts[] = { "mx.test", "127.0.0.1" };
    struct errmsg why = { "" };
    static const char another[] =
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const char *pins[2];
    char cert[128], key[128], ca[128], other_dir[128], other_ca[150];

    snprintf(tmp_dir, sizeof tmp_dir, "/tmp/conformance_deliver.XXXXXX");
    CHECK(mkdtemp(tmp_dir));
    CHECK(tls_make_dev_files(tmp_dir, hosts, 2, &why) == 0);
    snprintf(cert, sizeof cert, "%s/node.pem", tmp_dir);
    snprintf(key, sizeof key, "%s/node.key", tmp_dir);
    CHECK(tls_server_new(&server_tls, &(struct tls_pair){ cert, key }, 1, NULL, &why) == 0);
    CHECK(tls_server_new(&server12_tls, &(struct tls_pair){ cert, key }, 1, NULL, &why) == 0);
    CHECK(SSL_CTX_set_max_proto_version(server12_tls->ctx, TLS1_2_VERSION) == 1);
    snprintf(ca, sizeof ca, "%s/ca.pem", tmp_dir);
    snprintf(other_dir, sizeof other_dir, "%s/other", tmp_dir);
    snprintf(other_ca, sizeof other_ca, "%s/ca.pem", other_dir);
    CHECK(mkdir(other_dir, 0700) == 0);
    CHECK(tls_make_dev_files(other_dir, hosts, 2, &why) == 0);
    CHECK(tls_client_new(&client_tls, TLS_VERIFY_NONE, ca, &why) == 0);
    CHECK(tls_client_new(&route_tls[0], TLS_VERIFY_PEER, other_ca, &why) == 0);
    CHECK(tls_client_new(&route_tls[1], TLS_VERIFY_PEER, ca, &why) == 0);
    CHECK(tls_client_new(&route_tls[2], TLS_VERIFY_PEER, ca, &why) == 0);
    tls_need_13(route_tls[2]);
    for (unsigned i = 3; i < ROUTE_TLS_COUNT; i++)
        CHECK(tls_client_new(&route_tls[i], TLS_VERIFY_NONE, NULL, &why) == 0);
    pins[0] = another;
    pins[1] = tls_certificate(server_tls, 0)->spki_sha256;
    tls_pin(route_tls[3], pins + 1, 1);
    tls_pin(route_tls[4], pins, 1);
    tls_pin(route_tls[5], pins, 2);
}

static void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        char file[400];

        if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.')) continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (unlink(file) != 0) remove_dir(file);
    }
    if (d) closedir(d);
    rmdir(path);
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    unsigned told = 0, failed = 0;
    bool verbose = false;
    int option;

    while ((option = getopt(argc, argv, "s:v")) != -1) {
        if (option == 's') only = optarg;
        if (option == 'v') verbose = true;
    }
    log_set_level(verbose ? LOG_DEBUG : LOG_ERROR);
    make_certificates();
    for (int i = optind; i < argc; i++)
        failed += tell_file(argv[i], only, &told);
    tls_unref(&server_tls);
    tls_unref(&server12_tls);
    tls_unref(&client_tls);
    for (unsigned i = 0; i < ROUTE_TLS_COUNT; i++)
        tls_unref(&route_tls[i]);
    remove_dir(tmp_dir);
    printf("%u stories, %u failed\n", told, failed);
    return failed > 0 || told == 0;
}
