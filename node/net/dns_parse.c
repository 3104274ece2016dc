/* dns_parse - record data to text. libunbound hands it out as it came, with names uncompressed, so
 * lengths and labels are checked here once more.
 *
 * Invariant: out is written only as a whole and terminated; on an error its content means nothing.
 */
#include "node/net/dns_parse.h"

#include "proto/ground/ascii.h"

#include <arpa/inet.h>

#define LABEL_SIZE_MAX 63
#define NAME_SIZE_MAX  253 /* as text */

static bool is_host_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '_';
}

/* Appends one label; false when it is not a host's, or too much. */
static bool add_label(struct span label, char *out, size_t *n)
{
    size_t dot = *n > 0 ? 1 : 0;

    if (label.n > LABEL_SIZE_MAX || *n + dot + label.n > NAME_SIZE_MAX) return false;
    if (dot) out[(*n)++] = '.';
    for (size_t i = 0; i < label.n; i++) {
        if (!is_host_byte(label.p[i])) return false;
        out[(*n)++] = (char)ascii_lower(label.p[i]);
    }
    return true;
}

int dns_parse_name(struct span wire, char out[256])
{
    struct cursor c;
    size_t n = 0;

    cursor_init(&c, wire);
    for (;;) {
        struct span label = cursor_span(&c, cursor_u8(&c));
        if (c.failed) return ERR_SYNTAX;
        if (label.n == 0) break;
        if (!add_label(label, out, &n)) return ERR_SYNTAX;
    }
    out[n] = '\0';
    return cursor_done(&c) ? 0 : ERR_SYNTAX;
}

int dns_parse_mx(struct span rdata, struct dns_answer *out)
{
    struct cursor c;

    cursor_init(&c, rdata);
    out->preference = cursor_u16be(&c);
    return c.failed ? ERR_SYNTAX : dns_parse_name(cursor_rest(&c), out->text);
}

int dns_parse_address(struct span rdata, struct dns_answer *out)
{
    if (rdata.n != 4 && rdata.n != 16) return ERR_SYNTAX;
    out->preference = 0;
    inet_ntop(rdata.n == 4 ? AF_INET : AF_INET6, rdata.p, out->text, sizeof out->text);
    return 0;
}

bool dns_name_is_valid(const char *name)
{
    struct span s = span_cstr(name);

    if (s.n > 0 && s.p[s.n - 1] == '.') s.n--;
    if (s.n == 0 || s.n > NAME_SIZE_MAX) return false;
    for (size_t at = 0; at <= s.n;) {
        size_t end = span_find(s, at, '.');
        if (end == at || end - at > LABEL_SIZE_MAX) return false;
        for (; at < end; at++)
            if (!is_host_byte(s.p[at])) return false;
        at = end + 1;
    }
    return s.p[s.n - 1] != '.';
}

void dns_insert_mx(struct dns_answer *answers, unsigned *count, const struct dns_answer *a)
{
    unsigned at = *count;

    while (at > 0 && answers[at - 1].preference > a->preference)
        at--;
    if (at == DNS_ANSWERS_MAX) return;
    if (*count < DNS_ANSWERS_MAX) (*count)++;
    memmove(&answers[at + 1], &answers[at], (*count - at - 1) * sizeof *answers);
    answers[at] = *a;
}
