/* text - JSON as text. */
#include "node/ops/text.h"

#include "proto/ground/base32.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void text_key(struct buf *b, const char *key)
{
    if (b->n > 0 && b->p[b->n - 1] != '{') buf_add(b, ",", 1);
    buf_add(b, "\"", 1);
    buf_add_cstr(b, key);
    buf_add(b, "\":", 2);
}

void text_put_number(struct buf *b, const char *key, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    text_key(b, key);
    buf_add(b, digits + at, sizeof digits - at);
}

/* RFC 8259 7: quotes, backslashes and control characters. */
static void add_escaped(struct buf *b, uint8_t c)
{
    static const char hex[] = "0123456789ABCDEF", letters[] = "btn\0fr";
    char text[6] = { '\\', (char)c };
    size_t n = 2;

    if (c >= '\b' && c <= '\r' && letters[c - '\b']) {
        text[1] = letters[c - '\b'];
    } else if (c < ' ') {
        memcpy(text, "\\u00", 4);
        text[4] = hex[c >> 4];
        text[5] = hex[c & 15];
        n = 6;
    }
    buf_add(b, text, n);
}

static bool is_plain(uint8_t c)
{
    return c >= ' ' && c < 0x80 && c != '"' && c != '\\';
}

/* What needs a look at the front of `rest`: an escape, or a character that is not ASCII. Returns its size. */
static size_t add_special(struct buf *b, struct span rest)
{
    size_t n = span_utf8_size(rest);

    if (n == 0)
        buf_add_cstr(b, REPLACEMENT);
    else if (n == 1)
        add_escaped(b, rest.p[0]);
    else
        buf_add(b, rest.p, n);
    return n > 0 ? n : 1;
}

static void add_string(struct buf *b, struct span bytes)
{
    size_t at = 0;

    buf_add(b, "\"", 1);
    while (at < bytes.n) {
        size_t end = at;

        while (end < bytes.n && is_plain(bytes.p[end]))
            end++;
        buf_add(b, bytes.p + at, end - at);
        at = end < bytes.n ? end + add_special(b, span_from(bytes, end)) : end;
    }
    buf_add(b, "\"", 1);
}

void text_put_bytes(struct buf *b, const char *key, struct span bytes)
{
    text_key(b, key);
    add_string(b, bytes);
}

void text_put_id(struct buf *b, const char *key, uint64_t id)
{
    char text[BASE32_SIZE];

    base32_print(id, text);
    text_put_bytes(b, key, span_cstr(text));
}

void text_put_time(struct buf *b, const char *key, uint64_t wall_ms)
{
    char text[CLOCK_RFC3339_SIZE];

    text_key(b, key);
    if (wall_ms == 0) {
        buf_add_cstr(b, "null");
        return;
    }
    clock_rfc3339(wall_ms, text);
    add_string(b, span_cstr(text));
}

static int add_piece(const char *piece, size_t n, void *arg)
{
    buf_add(arg, piece, n);
    return 0;
}

void text_add_json(struct buf *b, const json_t *j)
{
    CHECK(json_dump_callback(j, add_piece, b, JSON_COMPACT) == 0);
}

void text_add_page(struct buf *b, struct span items, const json_t *rest)
{
    size_t brace;

    buf_add_cstr(b, "{\"items\":[");
    buf_add_span(b, items);
    buf_add_cstr(b, "]");
    brace = b->n;
    CHECK(json_object_size(rest) > 0);
    text_add_json(b, rest);
    if (!buf_failed(b)) b->p[brace] = ','; /* in place of its first one */
}
