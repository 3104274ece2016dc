/* field - cuts a header in fields (RFC 5322 2.2, 2.2.3, 4.5). The same rules as reader.c, for who has
 * the header whole. */
#include "node/mail/field.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

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

static size_t field_end(struct span s)
{
    size_t end = line_end(s, 0);

    while (end < s.n && is_blank(s.p[end]))
        end = line_end(s, end);
    return end;
}

static void split(struct mail_header_field *f)
{
    size_t n = 0, colon;

    while (n < f->whole.n && f->whole.p[n] > 32 && f->whole.p[n] < 127 && f->whole.p[n] != ':')
        n++;
    colon = n;
    while (colon < f->whole.n && is_blank(f->whole.p[colon]))
        colon++;
    if (n == 0 || colon == f->whole.n || f->whole.p[colon] != ':') return;
    f->name = span_sub(f->whole, 0, n);
    f->value = span_from(f->whole, colon + 1);
    if (f->value.n >= 2 && f->value.p[f->value.n - 2] == '\r' && f->value.p[f->value.n - 1] == '\n')
        f->value.n -= 2;
    f->is_spaced = colon > n;
}

bool mail_field_next(struct span *header, struct mail_header_field *out)
{
    size_t end;

    *out = (struct mail_header_field){ .is_spaced = false };
    if (header->n == 0 || (header->n >= 2 && header->p[0] == '\r' && header->p[1] == '\n'))
        return false;
    end = field_end(*header);
    out->whole = span_sub(*header, 0, end);
    split(out);
    *header = span_from(*header, end);
    return true;
}
