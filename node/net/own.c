/* own - at which addresses of this host a listener is reached. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <uv.h>

#include "node/net/stream.h"

static bool is_wildcard(const struct stream_address *a)
{
    struct in6_addr six;
    struct in_addr four;

    if (inet_pton(AF_INET, a->text, &four) == 1) return four.s_addr == INADDR_ANY;
    return inet_pton(AF_INET6, a->text, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six);
}

/* "0.0.0.0" takes IPv4 only, "::" both. */
static bool is_reached(const struct stream_address *at, const uv_interface_address_t *i)
{
    return strchr(at->text, ':') != NULL || i->address.address4.sin_family == AF_INET;
}

static void print(const uv_interface_address_t *i, char out[46])
{
    if (i->address.address4.sin_family == AF_INET)
        uv_ip4_name(&i->address.address4, out, 46);
    else
        uv_ip6_name(&i->address.address6, out, 46);
}

unsigned stream_own_addresses(const struct stream_address *at, struct stream_address *out,
                              unsigned max)
{
    uv_interface_address_t *list;
    unsigned n = 0;
    int count;

    if (max == 0) return 0;
    if (!is_wildcard(at)) {
        out[0] = *at;
        return 1;
    }
    if (uv_interface_addresses(&list, &count) != 0) return 0;
    for (int i = 0; i < count && n < max; i++) {
        if (!is_reached(at, &list[i])) continue;
        out[n].port = at->port;
        print(&list[i], out[n++].text);
    }
    uv_free_interface_addresses(list, count);
    return n;
}
