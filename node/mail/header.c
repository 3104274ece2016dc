/* header - the value of a field in a raw header (RFC 5322 2.2, 2.2.3).
 *
 * Only CR LF ends a line. Unfolding takes the CR LF away and leaves the white space behind it;
 * other controls become spaces, so that the value is one line of text wherever it is shown.
 */
#include "node/mail/mail.h"

/* The position behind the line that begins at `from`. */
static size_t line_end(struct span s, size_t from)
{
    for (size_t at = from;;) {
        size_t lf = span_find(s, at, '\n');
        if (lf == s.n) return s.n;
        if (lf > from && s.p[lf - 1] == '\r') return lf + 1;
        at = lf + 1;
    }
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* The field at the front of s with the lines that continue it. */
static struct span first_field(struct span s)
{
    size_t end = line_end(s, 0);

    while (end < s.n && is_blank(s.p[end]))
        end = line_end(s, end);
    return span_sub(s, 0, end);
}

/* What stands behind "name:"; false when the field has another name. */
static bool value_of(struct span field, struct span name, struct span *out)
{
    size_t at = name.n;

    if (!span_starts_nocase(field, name)) return false;
    while (at < field.n && is_blank(field.p[at]))
        at++;
    if (at == field.n || field.p[at] != ':') return false;
    *out = span_from(field, at + 1);
    return true;
}

static void copy_value(struct span value, char *out, size_t out_size)
{
    size_t n = 0, used = 0; /* used: without white space at the end */

    for (size_t i = 0; i < value.n && n + 1 < out_size; i++) {
        uint8_t c = value.p[i];
        bool is_fold = c == '\r' && i + 1 < value.n && value.p[i + 1] == '\n';
        if (is_fold) i++;
        if (is_fold) continue;
        if (c < 0x20 || c == 0x7f) c = ' ';
        if (c == ' ' && used == 0) continue;
        out[n++] = (char)c;
        if (c != ' ') used = n;
    }
    out[used] = '\0';
}

bool mail_header_value(struct span header, struct span name, char *out, size_t out_size)
{
    struct span field, value;

    if (out_size == 0) return false;
    out[0] = '\0';
    if (name.n == 0) return false;
    while (header.n > 0) {
        field = first_field(header);
        if (span_eq(field, SPAN_LIT("\r\n"))) return false; /* the body begins */
        header = span_from(header, field.n);
        if (!value_of(field, name, &value)) continue;
        copy_value(value, out, out_size);
        return true;
    }
    return false;
}
