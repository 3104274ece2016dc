/* address - paths, mailboxes, domains and address literals (RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3).
 *
 * Strict where two readers could disagree (quotes, controls, a second '@'), lenient where the field
 * is harmless: underscores in domains and one trailing dot pass. Source routes are checked and
 * dropped (RFC 5321 4.1.1.3, F.2). IPv4 and IPv6 texts are read by inet_pton, which touches no
 * network. UTF-8 domains are mapped and checked by libidn2 (IDNA 2008), for which they are copied.
 */
#include "node/smtp/address.h"

#include <arpa/inet.h>
#include <idn2.h>

#include "proto/ground/ascii.h"
#include "proto/ground/err.h"

#define LABEL_SIZE_MAX 63 /* RFC 1035 2.3.4 */

/* RFC 5322 3.2.3 */
static bool is_atext(uint8_t c)
{
    return ascii_is_alnum(c) || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_printable(uint8_t c)
{
    return c >= 0x20 && c < 0x7f;
}

/* Size of the character at the front that RFC 6531 3.3 adds to atext, qtext and domains; 0: none. What
 * steers a terminal or turns text around is no part of a name. */
static size_t utf8_char(struct span s)
{
    size_t n = span_utf8_size(s);

    if (n < 2) return 0;
    if (s.p[0] == 0xc2 && s.p[1] < 0xa0) return 0; /* C1 */
    if (n == 3 && s.p[0] == 0xe2 && s.p[1] == 0x80 && s.p[2] >= 0xa8 && s.p[2] <= 0xae)
        return 0; /* U+2028..202E */
    if (n == 3 && s.p[0] == 0xe2 && s.p[1] == 0x81 && s.p[2] >= 0xa6 && s.p[2] <= 0xa9)
        return 0; /* U+2066..2069 */
    return n;
}

static bool has_utf8(struct span s)
{
    uint8_t all = 0;

    for (size_t i = 0; i < s.n; i++)
        all |= s.p[i];
    return all >= 0x80;
}

bool smtp_is_ascii(struct span s)
{
    return !has_utf8(s);
}

static bool label_ok(struct span label)
{
    if (label.n == 0 || label.n > LABEL_SIZE_MAX) return false;
    if (label.p[0] == '-' || label.p[label.n - 1] == '-') return false;
    for (size_t i = 0; i < label.n; i++)
        if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_') return false;
    return true;
}

bool smtp_domain_ok(struct span domain)
{
    size_t from = 0;

    if (domain.n == 0 || domain.n > SMTP_DOMAIN_SIZE_MAX) return false;
    if (domain.p[domain.n - 1] == '.') domain.n--;
    for (;;) {
        size_t dot = span_find(domain, from, '.');
        if (!label_ok(span_sub(domain, from, dot - from))) return false;
        if (dot == domain.n) return true;
        from = dot + 1;
    }
}

int smtp_literal_parse(struct span domain, char out[46], bool *is_ipv6_out)
{
    static const struct span tag = { (const uint8_t *)"IPv6:", 5 };
    struct span inside;
    uint8_t bytes[16];
    char text[INET6_ADDRSTRLEN];
    int family = AF_INET;

    if (domain.n < 2 || domain.p[0] != '[' || domain.p[domain.n - 1] != ']') return ERR_SYNTAX;
    inside = span_sub(domain, 1, domain.n - 2);
    if (span_starts_nocase(inside, tag)) {
        inside = span_from(inside, tag.n);
        family = AF_INET6;
    }
    if (inside.n == 0 || inside.n >= sizeof text || memchr(inside.p, 0, inside.n))
        return ERR_SYNTAX;
    memcpy(text, inside.p, inside.n);
    text[inside.n] = '\0';
    if (inet_pton(family, text, bytes) != 1) return ERR_SYNTAX;
    if (!inet_ntop(family, bytes, out, 46)) return ERR_SYNTAX;
    *is_ipv6_out = family == AF_INET6;
    return 0;
}

static void add_lower(struct span domain, struct buf *out)
{
    for (size_t i = 0; i < domain.n; i++)
        buf_add_u8(out, ascii_lower(domain.p[i]));
}

/* A-labels of a domain with UTF-8, no dot at its end. */
static int add_ascii(struct span domain, struct buf *out)
{
    uint8_t text[SMTP_DOMAIN_SIZE_MAX + 1], *ascii = NULL;
    struct span result;
    size_t n;
    bool ok;

    if (domain.n == 0 || domain.n > SMTP_DOMAIN_SIZE_MAX) return ERR_SYNTAX;
    for (size_t i = 0; i < domain.n; i += n) {
        n = is_printable(domain.p[i]) ? 1 : utf8_char(span_from(domain, i));
        if (n == 0) return ERR_SYNTAX;
    }
    memcpy(text, domain.p, domain.n);
    text[domain.n] = '\0';
    if (idn2_lookup_u8(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return ERR_SYNTAX;
    result = span_cstr((const char *)ascii);
    ok = smtp_domain_ok(result) && result.p[result.n - 1] != '.';
    if (ok) add_lower(result, out);
    idn2_free(ascii);
    return ok ? 0 : ERR_SYNTAX;
}

int smtp_domain_key(struct span domain, struct buf *out)
{
    char address[46];
    bool is_ipv6;

    if (domain.n > 0 && domain.p[0] == '[' && smtp_literal_parse(domain, address, &is_ipv6) == 0) {
        buf_addf(out, "[%s%s]", is_ipv6 ? "ipv6:" : "", address);
        return 0;
    }
    if (domain.n > 0 && domain.p[domain.n - 1] == '.') domain.n--;
    if (has_utf8(domain)) return add_ascii(domain, out);
    add_lower(domain, out);
    return 0;
}

/* "@a,@b:" in front is taken away. */
static int drop_route(struct span *s)
{
    struct span domain, rest = *s;

    if (rest.n == 0 || rest.p[0] != '@') return 0;
    for (;;) {
        size_t end = 1;
        if (rest.n == 0 || rest.p[0] != '@') return ERR_SYNTAX;
        while (end < rest.n && rest.p[end] != ',' && rest.p[end] != ':')
            end++;
        if (end == rest.n) return ERR_SYNTAX;
        domain = span_sub(rest, 1, end - 1);
        if (!smtp_domain_ok(domain)) return ERR_SYNTAX;
        rest = span_from(rest, end + 1);
        if (rest.p[-1] == ':') break;
    }
    *s = rest;
    return 0;
}

/* Quoted-string of RFC 5321 4.1.2 at the front: its size with the quotes, 0 when it is none. */
static size_t quoted_size(struct span s)
{
    size_t i = 1, n;

    while (i < s.n && s.p[i] != '"') {
        bool is_pair = s.p[i] == '\\';

        i += is_pair;
        if (i == s.n) return 0;
        n = is_printable(s.p[i]) ? 1 : is_pair ? 0 : utf8_char(span_from(s, i));
        if (n == 0) return 0;
        i += n;
    }
    return i < s.n ? i + 1 : 0;
}

/* Dot-string at the front: its size, 0 when it is none. */
static size_t dotted_size(struct span s)
{
    size_t i = 0;
    bool dot = true; /* an atom must follow */

    while (i < s.n) {
        size_t n = is_atext(s.p[i]) || s.p[i] == '.' ? 1 : utf8_char(span_from(s, i));

        if (n == 0) break;
        if (s.p[i] == '.' && dot) return 0;
        dot = s.p[i] == '.';
        i += n;
    }
    return dot ? 0 : i;
}

static int check_domain(struct smtp_address *a)
{
    char text[46];
    bool is_ipv6;
    struct buf key;
    int err;

    if (a->domain.n > SMTP_DOMAIN_SIZE_MAX) return ERR_TOO_LONG;
    a->is_literal = a->domain.n > 0 && a->domain.p[0] == '[';
    if (a->is_literal) return smtp_literal_parse(a->domain, text, &is_ipv6);
    if (!has_utf8(a->domain)) return smtp_domain_ok(a->domain) ? 0 : ERR_SYNTAX;
    buf_init(&key, SMTP_DOMAIN_SIZE_MAX + 1);
    err = smtp_domain_key(a->domain, &key);
    buf_deinit(&key);
    return err;
}

int smtp_address_parse(struct span inside, bool allow_empty, bool allow_postmaster,
                       struct smtp_address *out)
{
    size_t local_size;
    int err;

    *out = (struct smtp_address){ .text = span_of(NULL, 0) };
    if (inside.n == 0) return allow_empty ? 0 : ERR_SYNTAX;
    err = drop_route(&inside);
    if (err) return err;
    if (inside.n == 0) return ERR_SYNTAX;

    local_size = inside.p[0] == '"' ? quoted_size(inside) : dotted_size(inside);
    if (local_size == 0) return ERR_SYNTAX;
    if (local_size > SMTP_LOCAL_SIZE_MAX) return ERR_TOO_LONG;
    if (inside.n > SMTP_ADDRESS_SIZE_MAX) return ERR_TOO_LONG;
    out->text = inside;
    out->is_utf8 = has_utf8(inside);
    out->local = span_sub(inside, 0, local_size);
    if (local_size == inside.n) {
        bool ok = allow_postmaster && span_eq_nocase(out->local, SPAN_LIT("postmaster"));
        return ok ? 0 : ERR_SYNTAX;
    }
    if (inside.p[local_size] != '@') return ERR_SYNTAX;
    out->domain = span_from(inside, local_size + 1);
    return check_domain(out);
}

int smtp_address_ascii(struct span text, struct buf *out)
{
    struct buf key;
    size_t at = text.n;
    int rv;

    if (!has_utf8(text)) {
        buf_add_span(out, text);
        return 0;
    }
    while (at > 0 && text.p[at - 1] != '@')
        at--;
    if (has_utf8(span_sub(text, 0, at))) return ERR_SYNTAX;
    buf_init(&key, SMTP_DOMAIN_SIZE_MAX + 1);
    rv = smtp_domain_key(span_from(text, at), &key);
    if (rv == 0) buf_add_span(out, span_sub(text, 0, at));
    if (rv == 0) buf_add_span(out, buf_span(&key));
    buf_deinit(&key);
    return rv;
}
