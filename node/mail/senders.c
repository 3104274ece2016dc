/* senders - see senders.h. What was learned from: RFC 5322, RFC 7489 6.6.1, and the published attacks
 * that let two parsers see two authors (several or folded From fields, groups, routes, quoted and
 * encoded parts, comments, cut lines).
 */
#include "node/mail/senders.h"

#include <stdarg.h>
#include <stdio.h>

#include "node/mail/field.h"
#include "node/mail/mailbox.h"
#include "node/mail/shown.h"
#include "proto/ground/err.h"

#define DOMAIN_SHOWN_MAX 80 /* bytes of a foreign domain in the cause */

enum role { ROLE_FROM, ROLE_SENDER, ROLE_RESENT_FROM, ROLE_RESENT_SENDER, ROLE_COUNT };
static const char *const role_names[ROLE_COUNT] = { "From", "Sender", "Resent-From",
                                                    "Resent-Sender" };

struct check {
    const struct mail_senders_rules *rules;
    char *cause;
    unsigned counts[ROLE_COUNT];
    unsigned author_count; /* of From */
    bool is_broken;        /* a line was no field */
};

static int deny(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int deny(struct check *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(c->cause, MAIL_SENDERS_CAUSE_SIZE, fmt, args);
    va_end(args);
    for (char *p = c->cause; *p; p++)
        if (*p < 0x20 || *p > 0x7e) *p = '?';
    return ERR_DENIED;
}

static struct span cut(struct span s)
{
    return s.n > DOMAIN_SHOWN_MAX ? span_sub(s, 0, DOMAIN_SHOWN_MAX) : s;
}

/* ---- one field */

static int check_mailbox(struct check *c, const char *name, const struct mailbox *m)
{
    for (unsigned i = 0; i < MAILBOX_ODD_COUNT; i++)
        if (m->odd & (1u << i)) return deny(c, "%s: an address %s", name, mailbox_odd_words(i));
    if (!c->rules->may(c->rules->arg, m->domain))
        return deny(c, "%s: this credential may not send from %.*s", name,
                    SPAN_ARG(cut(m->domain)));
    return 0;
}

static int check_mailboxes(struct check *c, const char *name, struct span value, unsigned *count)
{
    struct mailbox_reader r;
    struct mailbox m;
    int rv, denied;

    *count = 0;
    mailbox_reader_init(&r, value);
    while ((rv = mailbox_next(&r, &m)) == 0) {
        denied = check_mailbox(c, name, &m);
        if (denied) return denied;
        ++*count;
    }
    if (rv != ERR_CLOSED) return deny(c, "%s: cannot be read as addresses", name);
    if (r.group_count > 0) return deny(c, "%s: a group stands in it", name);
    if (r.empty_count > 0) return deny(c, "%s: a comma too many", name);
    return *count > 0 ? 0 : deny(c, "%s: no address stands in it", name);
}

/* Names and comments: nobody else's address, as written and as shown. */
static int check_text(struct check *c, const char *name, struct span text)
{
    struct span domain;
    size_t at = 0;

    while (mail_shown_next_domain(text, &at, &domain))
        if (!c->rules->may(c->rules->arg, domain))
            return deny(c, "%s: it shows an address of %.*s, which this credential may not use",
                        name, SPAN_ARG(cut(domain)));
    return 0;
}

static int check_shown(struct check *c, const char *name, struct span value)
{
    struct buf shown;
    int rv;

    buf_init(&shown, MAIL_SENDERS_FIELD_SIZE_MAX);
    if (mail_shown(value, &shown) != 0)
        rv = deny(c, "%s: an encoded word is in a charset that is not taken here", name);
    else if (buf_failed(&shown) || mail_shown_deceives(buf_span(&shown)))
        rv = deny(c, "%s: control characters are hidden in it", name);
    else
        rv = check_text(c, name, value);
    if (rv == 0) rv = check_text(c, name, buf_span(&shown));
    buf_deinit(&shown);
    return rv;
}

static int check_field(struct check *c, enum role role, const struct mail_header_field *f)
{
    const char *name = role_names[role];
    bool is_sender = role == ROLE_SENDER || role == ROLE_RESENT_SENDER;
    unsigned count;
    int rv;

    if (f->is_spaced) return deny(c, "%s: white space stands before the colon", name);
    if (f->whole.n > MAIL_SENDERS_FIELD_SIZE_MAX)
        return deny(c, "%s: longer than %d bytes", name, MAIL_SENDERS_FIELD_SIZE_MAX);
    rv = check_mailboxes(c, name, f->value, &count);
    if (rv == 0) rv = check_shown(c, name, f->value);
    if (rv) return rv;
    if (is_sender && count > 1) return deny(c, "%s: more than one address", name);
    if (role == ROLE_FROM) c->author_count = count;
    return 0;
}

/* ---- the header */

static enum role role_of(struct span name)
{
    unsigned role = 0;

    while (role < ROLE_COUNT && !span_eq_nocase(name, span_cstr(role_names[role])))
        role++;
    return (enum role)role;
}

/* A line that is no field: some readers end the header there, none finds a name without a colon. */
static int check_unnamed(struct check *c, struct span line, unsigned number)
{
    bool may_be_field = line.p[0] == ' ' || line.p[0] == '\t' ||
                        span_starts_nocase(line, SPAN_LIT("From ")) ||
                        span_find(line, 0, ':') < line.n;

    c->is_broken = true;
    return may_be_field ? deny(c, "field %u of the header has no proper name", number) : 0;
}

static int check_counts(struct check *c)
{
    if (c->counts[ROLE_FROM] > 1) return deny(c, "more than one From field");
    if (c->counts[ROLE_SENDER] > 1) return deny(c, "more than one Sender field");
    if (c->counts[ROLE_FROM] == 0 && !c->rules->may_lack_from)
        return deny(c, "From is missing, and the return path is null");
    if (c->author_count > 1 && c->counts[ROLE_SENDER] == 0)
        return deny(c, "From has several authors, and Sender is missing (RFC 5322 3.6.2)");
    return 0;
}

int mail_senders_check(struct span header, const struct mail_senders_rules *rules,
                       char cause[MAIL_SENDERS_CAUSE_SIZE])
{
    struct check c = { .rules = rules, .cause = cause };
    struct mail_header_field f;
    unsigned number = 0;

    cause[0] = '\0';
    while (mail_field_next(&header, &f)) {
        enum role role = role_of(f.name);
        int rv = 0;

        number++;
        if (f.name.n == 0)
            rv = check_unnamed(&c, f.whole, number);
        else if (role < ROLE_COUNT && c.is_broken)
            rv = deny(&c, "%s: stands behind a line that is no field", role_names[role]);
        else if (role < ROLE_COUNT && (++c.counts[role] == 1 || role >= ROLE_RESENT_FROM))
            rv = check_field(&c, role, &f);
        if (rv) return rv;
    }
    return check_counts(&c);
}
