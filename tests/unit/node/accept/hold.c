/* hold - a node that has just started lets nobody in before somebody leads, and not for ever. */
#include "tests/unit/node/commit/town.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "node/accept/accept.h"

#define SHARD   1
#define HOLD_MS 3000

static struct accept_auth *auth;
static struct accept *server;
static int client;

static int connect_to(uint16_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0);
    return fd;
}

static int begin_with(struct accept_options o)
{
    const struct stream_address any = { .text = "127.0.0.1" };
    struct errmsg why = { "" };

    o.hostname = "relay.test";
    o.hold_ms = HOLD_MS;
    if (town_make("hold") != 0) return -1;
    for (unsigned i = 1; i <= TOWN_NODES; i++)
        town_start(i, &(struct town_start){ .commit.shard_max = 8 });
    if (accept_auth_new(&auth, NULL, 0, NULL, 0, 0, 1, &why) != 0) return -1;
    town_turn();
    accept_limits_default(&o.limits);
    o.loop = town.nodes[1].loop;
    o.commit = town.nodes[1].commit;
    o.auth = auth;
    if (accept_new(&server, &o, &why) != 0) return -1;
    if (accept_listen(server, &(struct accept_service){ .kind = ACCEPT_MX }, &any, &why) != 0)
        return -1;
    client = connect_to(accept_port(server, 0));
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_with((struct accept_options){ 0 });
}

static int begin_without_auth(void **state)
{
    (void)state;
    return begin_with((struct accept_options){ .lacks_auth = true });
}

static int end(void **state)
{
    (void)state;
    close(client);
    accept_drain(server);
    for (unsigned i = 0; i < TOWN_TURNS_MAX && !accept_is_idle(server); i++)
        town_turn();
    accept_free(&server);
    accept_auth_unref(&auth);
    return town_remove();
}

static bool is_greeted(void)
{
    char text[64];

    return recv(client, text, sizeof text, MSG_DONTWAIT | MSG_PEEK) > 3 &&
           memcmp(text, "220", 3) == 0;
}

static void place_shard(void)
{
    const struct commit_placement p = { .shard = SHARD,
                                        .version = 1,
                                        .founders = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3),
                                        .wanted = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3) };

    for (unsigned i = 1; i <= TOWN_NODES; i++)
        commit_place(town.nodes[i].commit, &p);
}

static void who_comes_early_waits_until_somebody_leads(void **state)
{
    (void)state;
    town_turns(20);
    assert_false(is_greeted());
    place_shard();
    while (commit_may_take(town.nodes[1].commit, 0) != 0) {
        assert_false(is_greeted());
        town_turn();
    }
    TOWN_UNTIL(is_greeted());
}

static void who_comes_early_waits_until_it_is_known_whose_mail_is_taken(void **state)
{
    (void)state;
    place_shard();
    TOWN_UNTIL(commit_may_take(town.nodes[1].commit, 0) == 0);
    town_turns(20);
    assert_false(is_greeted());
    accept_set_auth(server, auth);
    TOWN_UNTIL(is_greeted());
}

static void who_comes_early_does_not_wait_for_ever(void **state)
{
    uint64_t begun_ms = town.now_ms;

    (void)state;
    TOWN_UNTIL(is_greeted());
    assert_true(town.now_ms - begun_ms >= HOLD_MS - 10 * TOWN_TURN_MS); /* of simulated time */
    assert_int_equal(commit_may_take(town.nodes[1].commit, 0), ERR_NOT_LEADER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_comes_early_waits_until_somebody_leads, begin, end),
        cmocka_unit_test_setup_teardown(
            who_comes_early_waits_until_it_is_known_whose_mail_is_taken, begin_without_auth, end),
        cmocka_unit_test_setup_teardown(who_comes_early_does_not_wait_for_ever, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
