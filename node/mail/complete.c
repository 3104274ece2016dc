/* complete - see complete.h. An added Message-ID is the message's id at the host that accepted it: the
 * same for all recipients and attempts.
 */
#include "node/mail/complete.h"

#include "node/mail/field.h"
#include "node/mail/write.h"

/* An address as it was given in the envelope holds no controls. */
static void add_address(struct buf *out, const char *name, struct span address)
{
    buf_addf(out, "%s: <", name);
    buf_add_span(out, address);
    buf_add_cstr(out, ">\r\n");
}

void mail_completion_print(struct buf *out, const struct mail_completion *c)
{
    if (c->lacks_date) write_date(out, "Date", c->time_ms);
    if (c->lacks_message_id)
        buf_addf(out, "Message-ID: <%s@%.*s>\r\n", c->id, SPAN_ARG(c->hostname));
    if (c->lacks_from && c->return_path.n > 0) add_address(out, "From", c->return_path);
    if (c->lacks_header) buf_add_cstr(out, "\r\n");
}

bool mail_field_is_private(struct span name)
{
    return span_eq_nocase(name, SPAN_LIT("Bcc")) || span_eq_nocase(name, SPAN_LIT("Resent-Bcc")) ||
           span_eq_nocase(name, SPAN_LIT("Return-Path"));
}

bool mail_private_next(struct span header, size_t from, size_t *begin, size_t *end)
{
    struct span rest = span_from(header, from);
    struct mail_header_field f;

    while (mail_field_next(&rest, &f)) {
        if (!mail_field_is_private(f.name)) continue;
        *end = header.n - rest.n;
        *begin = *end - f.whole.n;
        return true;
    }
    return false;
}
