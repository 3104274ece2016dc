/* network - what is a network, and what is in it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/ground/err.h"
#include "proto/ground/network.h"

static void what_is_a_network(void **state)
{
    static const struct {
        const char *text;
        int rv;
        unsigned bits;
    } cases[] = {
        { "192.0.2.0/24", 0, 120 },
        { "192.0.2.1", 0, 128 },
        { "192.0.2.1/32", 0, 128 },
        { "0.0.0.0/0", 0, 96 },
        { "2001:db8::/32", 0, 32 },
        { "2001:db8::1", 0, 128 },
        { "::/0", 0, 0 },
        { "::ffff:192.0.2.0/120", 0, 120 },
        { "192.0.2.1/24", ERR_RANGE, 0 },
        { "192.0.2.0/33", ERR_RANGE, 0 },
        { "2001:db8::/129", ERR_RANGE, 0 },
        { "2001:db8::1/64", ERR_RANGE, 0 },
        { "", ERR_SYNTAX, 0 },
        { "/24", ERR_SYNTAX, 0 },
        { "192.0.2.0/", ERR_SYNTAX, 0 },
        { "192.0.2.0/x", ERR_SYNTAX, 0 },
        { "192.0.2/24", ERR_SYNTAX, 0 },
        { "[::1]", ERR_SYNTAX, 0 },
        { "example.test", ERR_SYNTAX, 0 },
        { "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", ERR_SYNTAX, 0 },
    };
    struct network n;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(network_parse(span_cstr(cases[i].text), &n), cases[i].rv);
        if (cases[i].rv == 0) assert_int_equal(n.bits, cases[i].bits);
    }
}

static void what_is_in_it(void **state)
{
    static const struct {
        const char *list, *address;
        bool has;
    } cases[] = {
        { "192.0.2.0/24", "192.0.2.255", true },
        { "192.0.2.0/24", "192.0.3.0", false },
        { "192.0.2.0/25", "192.0.2.127", true },
        { "192.0.2.0/25", "192.0.2.128", false },
        { "192.0.2.0/24", "::ffff:192.0.2.7", true },
        { "2001:db8::/33", "2001:db8:7fff::1", true },
        { "2001:db8::/33", "2001:db8:8000::1", false },
        { "10.0.0.0/8 , 192.0.2.7,2001:db8::/32", "192.0.2.7", true },
        { "10.0.0.0/8,192.0.2.7,2001:db8::/32", "2001:db8::1", true },
        { "10.0.0.0/8,192.0.2.7,2001:db8::/32", "192.0.2.8", false },
        { "", "192.0.2.8", true },
        { " ", "192.0.2.8", true },
        { "::/0", "192.0.2.8", true },
        { "0.0.0.0/0", "2001:db8::1", false },
        { "192.0.2.8", "nonsense", false },
        { "nonsense,192.0.2.8", "192.0.2.8", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(network_list_has(span_cstr(cases[i].list), cases[i].address),
                         cases[i].has);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_network),
        cmocka_unit_test(what_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
