/* value - one value of a settings file: out of its text, back into text, with its range checked.
 *
 * Times need a unit (ms, s, m, h, d), so that nobody has to guess; sizes may have one (KiB, MiB,
 * GiB, TiB). No value holds control characters. A value that is a secret is never repeated in a
 * message.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/settings/inside.h"
#include "node/smtp/base64.h"
#include "proto/ground/ascii.h"
#include "proto/ground/check.h"
#include "proto/ground/hex.h"
#include "proto/ground/network.h"

#define SHOWN_MAX 60 /* bytes of a wrong value in a message */

struct unit {
    const char *name;
    uint64_t factor;
};
/* Larger ones first: printing takes the first that divides. */
static const struct unit span_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit size_units[] = {
    { "TiB", 1ull << 40 },
    { "GiB", 1ull << 30 },
    { "MiB", 1ull << 20 },
    { "KiB", 1ull << 10 },
};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- words */

static const char *const kinds[] = { "submission", "submissions", "mx", NULL };
static const char *const vias[] = { "mx", "host", "inbox", NULL };
static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const formats[] = { "logfmt", "json", NULL };
static const char *const tlses[] = { "none", "may", "encrypt", "verify", NULL };
static const char *const tls_versions[] = { "1.2", "1.3", NULL };
static const char *const doubts[] = { "retry", "hold", NULL };
static const char *const bares[] = { "refuse", "normalise", NULL };
static const char *const parts[] = { "header", "body", "file", NULL };
static const char *const actions[] = { "reject", "tag", NULL };
static const char *const auths[] = { "plain login", "plain", "login", NULL };
static const char *const bools[] = { "false", "true", NULL };

static const char *const *words_of(enum field_type t)
{
    switch (t) {
    case FIELD_KIND:
        return kinds;
    case FIELD_VIA:
        return vias;
    case FIELD_LEVEL:
        return levels;
    case FIELD_FORMAT:
        return formats;
    case FIELD_TLS:
        return tlses;
    case FIELD_TLS_VERSION:
        return tls_versions;
    case FIELD_BARE:
        return bares;
    case FIELD_DOUBT:
        return doubts;
    case FIELD_PART:
        return parts;
    case FIELD_ACTION:
        return actions;
    case FIELD_AUTH:
        return auths;
    case FIELD_BOOL:
        return bools;
    default:
        return NULL;
    }
}

static int shown(struct span text)
{
    return text.n > SHOWN_MAX ? SHOWN_MAX : (int)text.n;
}
#define SHOWN(text) shown(text), (const char *)(text).p

static int read_word(const struct field *f, struct span text, void *slot, struct errmsg *why)
{
    const char *const *words = words_of(f->type);
    unsigned i = 0;

    while (words[i] && !span_eq(text, span_cstr(words[i])))
        i++;
    if (!words[i])
        return errmsg_set(why, ERR_CONFIG, "\"%.*s\" is none of: %s, %s%s%s%s%s", SHOWN(text),
                          words[0], words[1], words[2] ? ", " : "", words[2] ? words[2] : "",
                          words[2] && words[3] ? ", " : "", words[2] && words[3] ? words[3] : "");
    if (f->type == FIELD_KIND)
        *(enum settings_listener_kind *)slot = (enum settings_listener_kind)i;
    else if (f->type == FIELD_VIA)
        *(enum settings_via *)slot = (enum settings_via)i;
    else if (f->type == FIELD_BOOL)
        *(bool *)slot = i == 1;
    else
        *(char **)slot = check_strdup(words[i]);
    return 0;
}

/* ---- numbers */

static void print_unit(uint64_t v, const struct unit *units, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (v == 0 || v % units[i].factor != 0) continue;
        buf_addf(out, "%" PRIu64 "%s", v / units[i].factor, units[i].name);
        return;
    }
    buf_addf(out, "%" PRIu64, v);
}

static void print_number(enum field_type t, uint64_t v, struct buf *out)
{
    if (t == FIELD_SPAN)
        print_unit(v, span_units, COUNT(span_units), out);
    else if (t == FIELD_BYTES)
        print_unit(v, size_units, COUNT(size_units), out);
    else
        buf_addf(out, "%" PRIu64, v);
}

static int out_of_range(const struct field *f, struct span text, struct errmsg *why)
{
    struct buf least, most;

    buf_init(&least, 64);
    buf_init(&most, 64);
    print_number(f->type, f->min, &least);
    print_number(f->type, f->max, &most);
    errmsg_set(why, ERR_CONFIG, "%.*s is out of range: %s to %s", SHOWN(text), buf_cstr(&least),
               buf_cstr(&most));
    buf_deinit(&least);
    buf_deinit(&most);
    return ERR_CONFIG;
}

/* The factor of the unit behind the digits; 0: no such unit, or one is needed. */
static uint64_t unit_factor(enum field_type t, struct span unit, bool is_zero)
{
    const struct unit *units = t == FIELD_SPAN ? span_units : size_units;
    size_t count = t == FIELD_SPAN ? COUNT(span_units) : COUNT(size_units);

    if (unit.n == 0) return t != FIELD_SPAN || is_zero ? 1 : 0;
    for (size_t i = 0; t != FIELD_NUMBER && i < count; i++)
        if (span_eq(unit, span_cstr(units[i].name))) return units[i].factor;
    return 0;
}

static int read_number(const struct field *f, struct span text, uint64_t *out, struct errmsg *why)
{
    static const char *const shapes[] = { "a number, as 1000", "a size, as 1000 or 50MiB",
                                          "a time with its unit, as 250ms, 30s, 5m, 4h or 5d" };
    size_t digits = 0;
    uint64_t v = 0, factor;
    int rv;

    while (digits < text.n && ascii_is_digit(text.p[digits]))
        digits++;
    rv = span_u64(span_sub(text, 0, digits), UINT64_MAX, &v);
    factor = unit_factor(f->type, span_from(text, digits), v == 0);
    if (digits == 0 || factor == 0)
        return errmsg_set(why, ERR_CONFIG, "\"%.*s\" is not %s", SHOWN(text),
                          shapes[f->type - FIELD_NUMBER]);
    if (rv != 0 || v > UINT64_MAX / factor || v * factor < f->min || v * factor > f->max)
        return out_of_range(f, text, why);
    *out = v * factor;
    return 0;
}

/* ---- texts */

bool value_domain_ok(struct span text)
{
    size_t label = 0;

    if (text.n == 0 || text.n > 253) return false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        bool ends = i + 1 == text.n || text.p[i + 1] == '.';

        if (c == '.') {
            if (label == 0 || ends) return false;
            label = 0;
            continue;
        }
        label++;
        if (!ascii_is_alnum(c) && c != '_' && (c != '-' || label == 1 || ends)) return false;
        if (label > 63) return false;
    }
    return true;
}

static bool name_ok(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && text.p[i] != '.' && text.p[i] != '-' && text.p[i] != '_')
            return false;
    return text.n > 0;
}

/* Splits "host:port" and "[v6]:port"; false when there is no port or brackets are wrong. */
static bool split_port(struct span text, struct span *host, bool *bracketed, uint64_t *port)
{
    size_t colon = text.n;

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || span_u64(span_from(text, colon), 65535, port) != 0) return false;
    *host = span_sub(text, 0, colon - 1);
    *bracketed = host->n > 2 && host->p[0] == '[' && host->p[host->n - 1] == ']';
    if (*bracketed) *host = span_sub(*host, 1, host->n - 2);
    return *bracketed || span_find(*host, 0, ':') == host->n;
}

bool value_address_ok(struct span text, bool *is_loopback, bool *is_any_port)
{
    static const uint8_t loopback6[16] = { [15] = 1 };
    struct span host = { 0 };
    bool bracketed = false;
    uint64_t port = 0;
    uint8_t bytes[16];
    char name[64];

    if (!split_port(text, &host, &bracketed, &port) || host.n >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", SPAN_ARG(host));
    if (inet_pton(bracketed ? AF_INET6 : AF_INET, name, bytes) != 1) return false;
    *is_loopback = bracketed ? memcmp(bytes, loopback6, sizeof loopback6) == 0 : bytes[0] == 127;
    *is_any_port = port == 0;
    return true;
}

static bool host_port_ok(struct span text)
{
    struct span host = { 0 };
    bool bracketed = false, loopback, any_port;
    uint64_t port = 0;

    if (!split_port(text, &host, &bracketed, &port) || port == 0) return false;
    return bracketed ? value_address_ok(text, &loopback, &any_port) : value_domain_ok(host);
}

static bool match_ok(struct span text)
{
    if (span_eq(text, SPAN_LIT("*"))) return true;
    if (text.n > 1 && text.p[0] == '.') text = span_from(text, 1);
    return value_domain_ok(text);
}

static const char *networks_fault(struct span text)
{
    struct network n;
    int rv;

    while ((rv = network_list_next(&text, &n)) == 0)
        ;
    if (rv == ERR_CLOSED) return NULL;
    return rv == ERR_RANGE
               ? "networks without bits behind their prefix, as 192.0.2.0/24 (not 192.0.2.1/24)"
               : "networks with commas between, as 192.0.2.0/24, 2001:db8::/32";
}

int value_pin(struct span text, char out[65])
{
    uint8_t hash[32];
    size_t n = 0;

    if (text.n == 44 && base64_decode(text, hash, sizeof hash, &n) == 0 && n == sizeof hash) {
        hex_print(hash, sizeof hash, out);
        return 0;
    }
    if (text.n != 64) return ERR_SYNTAX;
    for (unsigned i = 0; i < 64; i++) {
        if (hex_value(text.p[i]) < 0) return ERR_SYNTAX;
        out[i] = (char)ascii_lower(text.p[i]);
    }
    out[64] = '\0';
    return 0;
}

static bool is_this_host(struct span host)
{
    struct span address = host;
    uint8_t bytes[16];
    char name[64];

    if (span_eq_nocase(host, SPAN_LIT("localhost")) || span_eq(host, SPAN_LIT("[::1]")))
        return true;
    if (address.n >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", SPAN_ARG(address));
    return inet_pton(AF_INET, name, bytes) == 1 && bytes[0] == 127;
}

/* The host of "://host:port/path?query"; n = 0: there is none that could be read in one way only. */
static struct span url_host(struct span url)
{
    size_t from = span_find(url, 0, ':') + 3, end, port;

    if (from > url.n) return span_of(NULL, 0);
    url = span_from(url, from);
    for (end = 0; end < url.n && url.p[end] != '/' && url.p[end] != '?'; end++)
        if (url.p[end] == '@' || url.p[end] == '\\' || url.p[end] == '#' || url.p[end] == '%' ||
            url.p[end] == ' ')
            return span_of(NULL, 0);
    url = span_sub(url, 0, end);
    if (url.n > 0 && url.p[0] == '[') {
        port = span_find(url, 0, ']') + 1;
        if (port > url.n || (port < url.n && url.p[port] != ':')) return span_of(NULL, 0);
        return span_sub(url, 0, port);
    }
    return span_sub(url, 0, span_find(url, 0, ':'));
}

static const char *url_fault(struct span text)
{
    struct span host = url_host(text);

    if (host.n > 0 && span_starts_nocase(text, SPAN_LIT("https://"))) return NULL;
    if (host.n > 0 && span_starts_nocase(text, SPAN_LIT("http://")) && is_this_host(host))
        return NULL;
    return "an URL that begins with https:// (http:// only with a loopback host)";
}

/* What a text of that type has to be, or NULL when it is. */
static const char *text_fault(const struct field *f, struct span text)
{
    bool loopback, any_port;
    char pin[65];

    switch (f->type) {
    case FIELD_NAME:
        return name_ok(text) ? NULL : "a name of letters, digits, dots, hyphens and underscores";
    case FIELD_DOMAIN:
    case FIELD_DOMAINS:
        return value_domain_ok(text) ? NULL
                                     : "a domain name (ASCII; other letters in their xn-- form)";
    case FIELD_ADDRESS:
        return value_address_ok(text, &loopback, &any_port)
                   ? NULL
                   : "an address and a port, as 127.0.0.1:587 or [::1]:587";
    case FIELD_HOST_PORT:
        return host_port_ok(text) ? NULL : "a host and a port, as mx.example.test:25 or [::1]:25";
    case FIELD_NETWORKS:
        return networks_fault(text);
    case FIELD_PINS:
        return value_pin(text, pin) == 0
                   ? NULL
                   : "a SHA-256: 64 digits of hex, or 44 characters of base64";
    case FIELD_URL:
        return url_fault(text);
    case FIELD_MATCH:
        return match_ok(text) ? NULL : "\"*\", a domain, or a domain behind a dot";
    default:
        return NULL;
    }
}

static bool has_controls(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 0x20 || text.p[i] == 0x7f) return true;
    return false;
}

static bool is_domain_like(enum field_type t)
{
    return t == FIELD_DOMAIN || t == FIELD_DOMAINS || t == FIELD_MATCH || t == FIELD_HOST_PORT;
}

static char *path_from(const char *base, struct span text)
{
    size_t base_n = text.p[0] == '/' ? 0 : strlen(base);
    char *path = check_malloc(base_n + text.n + 1);

    memcpy(path, base, base_n);
    memcpy(path + base_n, text.p, text.n);
    path[base_n + text.n] = '\0';
    return path;
}

static int read_text(const struct field *f, struct span text, const char *base, char **out,
                     struct errmsg *why)
{
    const char *fault;

    if (text.n < f->min) return errmsg_set(why, ERR_CONFIG, "must not be empty");
    if (text.n > f->max && f->max > 0)
        return errmsg_set(why, ERR_CONFIG, "is longer than %" PRIu64 " bytes", f->max);
    if (has_controls(text)) return errmsg_set(why, ERR_CONFIG, "holds a control character");
    if (f->type == FIELD_HASH && !span_starts_nocase(text, SPAN_LIT("$argon2id$")))
        return errmsg_set(why, ERR_CONFIG,
                          "must begin with $argon2id$ (other hashes are not taken)");
    fault = text.n > 0 ? text_fault(f, text) : NULL;
    if (fault) return errmsg_set(why, ERR_CONFIG, "\"%.*s\" is not %s", SHOWN(text), fault);
    if (f->type == FIELD_PINS) {
        *out = check_calloc(1, 65);
        return value_pin(text, *out);
    }
    *out = f->type == FIELD_PATH && text.n > 0 ? path_from(base, text) : span_dup(text);
    if (is_domain_like(f->type)) ascii_make_lower(*out);
    return 0;
}

int value_read(const struct field *f, struct span text, const char *base, void *slot,
               struct errmsg *why)
{
    if (words_of(f->type)) return read_word(f, text, slot, why);
    if (f->type <= FIELD_SPAN) return read_number(f, text, slot, why);
    return read_text(f, text, base, slot, why);
}

/* ---- printing */

/* One UTF-8 character; damaged bytes stand for themselves. */
static uint32_t next_char(struct span text, size_t at, size_t *n)
{
    uint8_t c = text.p[at];
    size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    uint32_t v = more == 3 ? c & 0x07u : more == 2 ? c & 0x0fu : more == 1 ? c & 0x1fu : c;

    *n = 1;
    if (at + more >= text.n) return c;
    for (size_t i = 1; i <= more; i++)
        v = (v << 6) | (text.p[at + i] & 0x3fu);
    *n = 1 + more;
    return v;
}

/* Characters that YAML does not take raw, or takes for the end of a line. */
static bool needs_escape(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           c == 0xfffe || c == 0xffff;
}

void value_print_text(const char *text, struct buf *out)
{
    struct span s = span_cstr(text);
    size_t n;

    buf_add_u8(out, '"');
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t c = next_char(s, i, &n);

        if (needs_escape(c))
            buf_addf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", (char)c);
        else
            buf_add(out, s.p + i, n);
    }
    buf_add_u8(out, '"');
}

void value_print(const struct field *f, const void *slot, bool with_secrets, struct buf *out)
{
    if (f->type <= FIELD_SPAN)
        print_number(f->type, *(const uint64_t *)slot, out);
    else if (f->type == FIELD_KIND)
        buf_add_cstr(out, kinds[*(const enum settings_listener_kind *)slot]);
    else if (f->type == FIELD_VIA)
        buf_add_cstr(out, vias[*(const enum settings_via *)slot]);
    else if (f->type == FIELD_BOOL)
        buf_add_cstr(out, bools[*(const bool *)slot ? 1 : 0]);
    else if (f->type == FIELD_HASH && !with_secrets)
        buf_add_cstr(out, "\"(hidden)\"");
    else
        value_print_text(*(char *const *)slot ? *(char *const *)slot : "", out);
}

void value_free(const struct field *f, void *slot)
{
    const struct field_set *inner = field_inner(f);

    if (field_is_list(f->type)) {
        struct text_list list = field_list(f, slot);

        for (unsigned i = 0; i < *list.count; i++)
            free((*list.texts)[i]);
        free(*list.texts);
    } else if (field_is_text(f->type)) {
        free(*(char **)slot);
    }
    for (size_t i = 0; inner && i < inner->count; i++)
        value_free(&inner->fields[i], field_slot(&inner->fields[i], slot));
}
