/* header - the value of a field in a raw header (RFC 5322 2.2, 2.2.3).
 *
 * Only CR LF ends a line. Unfolding takes the CR LF away and leaves the white space behind it;
 * other controls become spaces, so that the value is one line of text wherever it is shown.
 */
#include "node/mail/mail.h"

#include "node/mail/field.h"

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
    struct mail_header_field f;

    if (out_size == 0) return false;
    out[0] = '\0';
    if (name.n == 0) return false;
    while (mail_field_next(&header, &f)) {
        if (!span_eq_nocase(f.name, name)) continue;
        copy_value(f.value, out, out_size);
        return true;
    }
    return false;
}
