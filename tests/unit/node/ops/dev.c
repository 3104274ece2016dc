/* dev - the directory of a dev cluster: cluster.json in the form that scripts rely on, settings
 * that are right, secrets that stay.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/ops/cli.h"

static void fill(struct cli_dev *d)
{
    *d = (struct cli_dev){ .base_port = 12500, .nodes = 1, .mx_port = 25 };
    snprintf(d->dir, sizeof d->dir, "/tmp/x");
    snprintf(d->username, sizeof d->username, "demo");
    snprintf(d->password, sizeof d->password, "secret");
    snprintf(d->token, sizeof d->token, "token");
    cli_dev_select(d, 1);
    d->pids[0] = 42;
    cli_dev_select(d, 1);
}

static void cluster_json(void **state)
{
    struct cli_dev d;
    json_t *j;
    char *text;

    (void)state;
    fill(&d);
    j = cli_dev_cluster_json(&d);
    text = json_dumps(j, JSON_COMPACT);
    assert_string_equal(
        text,
        "{\"username\":\"demo\",\"password\":\"secret\",\"api_token\":\"token\",\"ca_file\":\"/tmp/"
        "x/ca.pem\","
        "\"nodes\":[{\"id\":1,\"pid\":42,\"submission\":\"127.0.0.1:12500\",\"submissions\":\"127."
        "0.0.1:12501\","
        "\"http\":\"127.0.0.1:12502\",\"mx\":\"127.0.0.1:12503\",\"peer\":\"127.0.0.1:12504\","
        "\"sandbox\":\"127.0.0.1:12505\",\"data_dir\":\"/tmp/x/node-1\",\"log_file\":\"/tmp/x/"
        "node-1.log\"}]}");
    free(text);
    json_decref(j);
}

static struct settings *settings_of(const struct cli_dev *d)
{
    struct settings *s = NULL;
    struct buf text, errors;

    buf_init(&text, 64u << 10);
    buf_init(&errors, 64u << 10);
    cli_dev_settings(d, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", &text);
    settings_parse(&s, "/tmp/x/node-1.yaml", buf_span(&text), &errors);
    assert_string_equal(buf_cstr(&errors), "");
    buf_deinit(&text);
    buf_deinit(&errors);
    return s;
}

static void settings_are_right(void **state)
{
    struct cli_dev d;
    struct settings *s;

    (void)state;
    fill(&d);
    s = settings_of(&d);
    assert_true(s->dev.enabled);
    assert_string_equal(s->node.data_dir, "/tmp/x/node-1");
    assert_string_equal(s->http.address, "127.0.0.1:12502");
    assert_string_equal(s->tenants[0].name, "demo");
    assert_string_equal(s->tenants[0].domains[0], "example.test");
    assert_int_equal(s->listener_count, 3);
    assert_string_equal(s->listeners[2].address, "127.0.0.1:12503");
    assert_int_equal(s->routes[0].via, SETTINGS_VIA_INBOX);
    settings_unref(&s);
}

static void a_cluster_of_three(void **state)
{
    struct cli_dev d;
    struct settings *s;
    json_t *j, *nodes;

    (void)state;
    fill(&d);
    d.nodes = 3;
    snprintf(d.cluster_id, sizeof d.cluster_id, "0123456789abcdef0123456789abcdef");
    cli_dev_select(&d, 3);
    s = settings_of(&d);
    assert_int_equal(s->node.id, 3);
    assert_string_equal(s->cluster.id, d.cluster_id);
    assert_string_equal(s->cluster.address, "127.0.0.1:12524");
    assert_string_equal(s->cluster.certificate, "/tmp/x/node-3.pem");
    assert_string_equal(s->cluster.seeds, "http://127.0.0.1:12502 http://127.0.0.1:12512 ");
    assert_string_equal(s->http.address, "127.0.0.1:12522");
    assert_int_equal(s->tenant_count + s->credential_count + s->route_count, 0);
    settings_unref(&s);
    /* the one that begins the cluster has them, until it is known to have been up */
    cli_dev_select(&d, 1);
    s = settings_of(&d);
    assert_int_equal(s->tenant_count, 1);
    assert_int_equal(s->credential_count, 1);
    assert_int_equal(s->route_count, 1);
    settings_unref(&s);
    d.is_known = true;
    s = settings_of(&d);
    assert_int_equal(s->tenant_count + s->credential_count + s->route_count, 0);
    settings_unref(&s);
    j = cli_dev_cluster_json(&d);
    nodes = json_object_get(j, "nodes");
    assert_int_equal(json_array_size(nodes), 3);
    assert_string_equal(cli_text(json_array_get(nodes, 1), "peer"), "127.0.0.1:12514");
    assert_string_equal(cli_text(json_array_get(nodes, 2), "data_dir"), "/tmp/x/node-3");
    assert_int_equal(cli_int(json_array_get(nodes, 0), "pid"), 42);
    json_decref(j);
}

static void routes_and_sets(void **state)
{
    struct cli_dev d;
    struct settings *s;

    (void)state;
    fill(&d);
    snprintf(d.next_hop, sizeof d.next_hop, "127.0.0.1:2525");
    snprintf(d.sets[0], sizeof d.sets[0], "delivery.retry_base_ms=1s");
    snprintf(d.sets[1], sizeof d.sets[1], "limits.recipients_max=100");
    snprintf(d.sets[2], sizeof d.sets[2], "delivery.expire_ms=1h");
    d.set_count = 3;
    s = settings_of(&d);
    assert_int_equal(s->routes[0].via, SETTINGS_VIA_HOST);
    assert_string_equal(s->routes[0].host, "127.0.0.1:2525");
    assert_string_equal(s->routes[0].tls, "none");
    assert_int_equal(s->delivery.retry_base_ms, 1000);
    assert_int_equal(s->delivery.expire_ms, 3600000);
    assert_int_equal(s->limits.recipients_max, 100);
    assert_int_equal(s->limits.address_sessions_max, 1000000);
    settings_unref(&s);
    d.next_hop[0] = '\0';
    d.set_count = 0;
    d.mx_port = 2526;
    snprintf(d.resolver, sizeof d.resolver, "127.0.0.1:5353");
    s = settings_of(&d);
    assert_int_equal(s->routes[0].via, SETTINGS_VIA_MX);
    assert_string_equal(s->resolver.address, "127.0.0.1:5353");
    assert_int_equal(s->resolver.mx_port, 2526);
    settings_unref(&s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static unsigned mode_of(const struct cli_dev *d, const char *name)
{
    char path[4200];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

/* Made, remembered, and the same when it is made again. */
static void prepared_twice(void **state)
{
    static const char *const secret[] = { "password",    "api.token",    "node.key", "ca.key",
                                          "node-1.yaml", "cluster.json", "dev.json" };
    char dir[] = "/tmp/angarium-dev-XXXXXX";
    struct cli_dev first = { .nodes = 1, .base_port = 15000, .mx_port = 25 },
                   again = { .nodes = 1, .base_port = 12500, .mx_port = 25 };
    struct cli_dev read = { 0 };
    struct errmsg why = { "" };

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(first.dir, sizeof first.dir, "%s", dir);
    snprintf(first.next_hop, sizeof first.next_hop, "127.0.0.1:2525");
    snprintf(again.dir, sizeof again.dir, "%s", dir);
    assert_int_equal(cli_dev_recall(&first, &why), ERR_NOT_FOUND);
    assert_int_equal(cli_dev_prepare(&first, &why), 0);
    assert_true(strlen(first.password) >= 16);
    first.pids[0] = 4242;
    assert_int_equal(cli_dev_write_cluster(&first, &why), 0);
    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
        assert_int_equal(mode_of(&first, secret[i]), 0600);
    assert_int_equal(cli_dev_recall(&again, &why), 0);
    assert_int_equal(cli_dev_prepare(&again, &why), 0);
    assert_string_equal(first.password, again.password);
    assert_string_equal(first.token, again.token);
    assert_string_equal(first.node.ports[0], again.node.ports[0]);
    assert_string_equal(again.next_hop, "127.0.0.1:2525");
    assert_int_equal(cli_dev_read_cluster(&read, dir, &why), 0);
    assert_int_equal(read.node.pid, 4242);
    assert_string_equal(read.password, first.password);
    assert_false(cli_dev_is_running(&read)); /* whatever 4242 is, it is not ours */
    assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void what_cannot_be_set(void **state)
{
    char dir[] = "/tmp/angarium-dev-XXXXXX";
    struct cli_dev d = { .nodes = 1, .base_port = 15000, .mx_port = 25, .set_count = 1 };
    struct errmsg why = { "" };

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(d.dir, sizeof d.dir, "%s", dir);
    snprintf(d.sets[0], sizeof d.sets[0], "node.id=2");
    assert_int_equal(cli_dev_prepare(&d, &why), ERR_CONFIG);
    snprintf(d.sets[0], sizeof d.sets[0], "delivery.nothing=2");
    assert_int_equal(cli_dev_prepare(&d, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "unknown key \"nothing\""));
    assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void signals(void **state)
{
    (void)state;
    assert_int_equal(cli_dev_signal_number("KILL"), SIGKILL);
    assert_int_equal(cli_dev_signal_number("SIGSTOP"), SIGSTOP);
    assert_int_equal(cli_dev_signal_number("15"), 15);
    assert_int_equal(cli_dev_signal_number("0"), -1);
    assert_int_equal(cli_dev_signal_number("nothing"), -1);
    assert_int_equal(cli_dev_signal_number(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster_json),
        cmocka_unit_test(settings_are_right),
        cmocka_unit_test(a_cluster_of_three),
        cmocka_unit_test(routes_and_sets),
        cmocka_unit_test(prepared_twice),
        cmocka_unit_test(what_cannot_be_set),
        cmocka_unit_test(signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
