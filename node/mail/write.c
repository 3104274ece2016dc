/* write - header text: plain, folded, dates (RFC 5322 2.1.1, 2.2.3, 3.3). */
#include "node/mail/write.h"

#include "proto/ground/clock.h"

#define WORD_SIZE_MAX 900 /* a longer word is broken: no line may pass 998 bytes */

bool write_is_ascii(struct span s)
{
    uint8_t all = 0;

    for (size_t i = 0; i < s.n; i++)
        all |= s.p[i];
    return all < 0x80;
}

bool write_has_controls(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f) return true;
    return false;
}

bool write_is_utf8(struct span s)
{
    while (s.n > 0) {
        size_t n = span_utf8_size(s);
        if (n == 0) return false;
        s = span_from(s, n);
    }
    return true;
}

void write_plain(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_add_u8(out, s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?');
}

/* One word, broken when it is far too long. */
static void write_word(struct buf *out, struct span word, const char *indent, size_t *column)
{
    while (word.n > WORD_SIZE_MAX) {
        write_plain(out, span_sub(word, 0, WORD_SIZE_MAX));
        buf_addf(out, "\r\n%s", indent);
        word = span_from(word, WORD_SIZE_MAX);
        *column = 1;
    }
    write_plain(out, word);
    *column += word.n;
}

void write_folded(struct buf *out, struct span s, const char *indent, size_t *column)
{
    bool first = true;

    while (s.n > 0) {
        size_t end = span_find(s, 0, ' ');
        struct span word = span_sub(s, 0, end);
        s = span_from(s, end < s.n ? end + 1 : end);
        if (word.n == 0) continue;
        if (!first && *column + 1 + word.n > WRITE_LINE_SIZE) {
            buf_addf(out, "\r\n%s", indent);
            *column = strlen(indent);
        } else if (!first) {
            buf_add_u8(out, ' ');
            ++*column;
        }
        write_word(out, word, indent, column);
        first = false;
    }
}

void write_field(struct buf *out, const char *name, struct span text)
{
    size_t column = strlen(name) + 2;

    buf_addf(out, "%s: ", name);
    write_folded(out, text, " ", &column);
    buf_add_cstr(out, "\r\n");
}

void write_date(struct buf *out, const char *name, uint64_t time_ms)
{
    char date[CLOCK_RFC5322_SIZE];

    if (time_ms == 0) return;
    clock_rfc5322(time_ms, date);
    buf_addf(out, "%s: %s\r\n", name, date);
}
