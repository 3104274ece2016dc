/* network - see network.h. */
#include "proto/ground/network.h"

#include <arpa/inet.h>

#include "proto/ground/err.h"

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

int network_address_parse(const char *text, uint8_t out[16])
{
    memset(out, 0, 16);
    if (inet_pton(AF_INET, text, out + 12) == 1) {
        memcpy(out, mapped, sizeof mapped);
        return 0;
    }
    return inet_pton(AF_INET6, text, out) == 1 ? 0 : ERR_SYNTAX;
}

static bool bit_is_set(const uint8_t address[16], unsigned bit)
{
    return (address[bit / 8] & (0x80u >> bit % 8)) != 0;
}

int network_parse(struct span text, struct network *out)
{
    char address[INET6_ADDRSTRLEN];
    size_t slash = span_find(text, 0, '/');
    bool is_ipv6 = span_find(text, 0, ':') < text.n;
    uint64_t bits = is_ipv6 ? 128 : 32;

    if (slash == 0 || slash >= sizeof address || span_find(text, 0, '\0') < text.n)
        return ERR_SYNTAX;
    memcpy(address, text.p, slash);
    address[slash] = '\0';
    if (network_address_parse(address, out->address) != 0) return ERR_SYNTAX;
    if (slash < text.n) {
        int rv = span_u64(span_from(text, slash + 1), bits, &bits);
        if (rv) return rv;
    }
    out->bits = (unsigned)bits + (is_ipv6 ? 0 : 96);
    for (unsigned bit = out->bits; bit < 128; bit++)
        if (bit_is_set(out->address, bit)) return ERR_RANGE;
    return 0;
}

bool network_has(const struct network *n, const uint8_t address[16])
{
    unsigned bytes = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->address, address, bytes) != 0) return false;
    return rest == 0 || (n->address[bytes] ^ address[bytes]) >> (8 - rest) == 0;
}

int network_list_next(struct span *list, struct network *out)
{
    size_t comma = span_find(*list, 0, ',');
    struct span one = span_trim(span_sub(*list, 0, comma));

    if (list->n == 0) return ERR_CLOSED;
    *list = span_from(*list, comma < list->n ? comma + 1 : comma);
    return network_parse(one, out);
}

bool network_list_has(struct span list, const char *address)
{
    uint8_t bytes[16];
    struct network n;

    if (span_trim(list).n == 0) return true;
    if (network_address_parse(address, bytes) != 0) return false;
    while (network_list_next(&list, &n) == 0)
        if (network_has(&n, bytes)) return true;
    return false;
}
