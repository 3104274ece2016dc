/* policy - who may relay (RFC 6409 6.1, RFC 5321 7.1 and F.2: no open relay).
 *
 * - Submission: a credential sends from its tenant's domains, to anywhere. The null return path is
 *   nobody's domain: whoever is authenticated may use it, as notifications need it. The same holds
 *   for the fields of the header that name a sender (node/mail/senders.h); a From that is missing is
 *   the return path's, at delivery.
 * - MX service: anybody sends to tenants' domains, and nowhere else, also not by a route that is
 *   hidden in the local part. A message belongs to one
 * tenant, whose operators see it whole: a recipient of another tenant has to come in a transaction
 * of its own.
 */
#include "node/accept/session.h"

bool policy_sender(const struct session *s, struct span domain_key)
{
    if (!session_is_submission(s)) return true;
    return auth_tenant_has_domain(s->auth, span_cstr(s->credential->tenant), domain_key);
}

static bool may_write_from(void *arg, struct span domain)
{
    struct buf key;
    bool may;

    const struct session *s = arg;

    if (smtp_is_ascii(domain) && !smtp_domain_ok(domain)) return false;
    buf_init(&key, SMTP_DOMAIN_SIZE_MAX + 1);
    may =
        smtp_domain_key(domain, &key) == 0 && !buf_failed(&key) && policy_sender(s, buf_span(&key));
    buf_deinit(&key);
    return may;
}

bool policy_header(struct session *s, struct span header, char cause[MAIL_SENDERS_CAUSE_SIZE])
{
    struct mail_senders_rules rules = { .may = may_write_from,
                                        .arg = s,
                                        .may_lack_from = s->transaction.from.n > 0 };

    return !session_is_submission(s) || mail_senders_check(header, &rules, cause) == 0;
}

/* "user%elsewhere@ours", "elsewhere!user@ours", "\"user@elsewhere\"@ours": a route that the next host
 * could follow, which trusts us. */
static bool has_route(struct span local)
{
    for (size_t i = 0; i < local.n; i++)
        if (local.p[i] == '%' || local.p[i] == '!' || local.p[i] == '@') return true;
    return false;
}

enum smtp_reply_id policy_recipient(struct session *s, struct span local, struct span domain_key)
{
    struct transaction *t = &s->transaction;
    const char *tenant;

    if (session_is_submission(s)) return SMTP_REPLY_RECIPIENT_OK;
    if (has_route(local)) return SMTP_REPLY_RELAY_DENIED;
    tenant = auth_tenant_of_domain(s->auth, domain_key);
    if (!tenant) return SMTP_REPLY_RELAY_DENIED;
    if (t->recipient_count > 0 && strcmp(tenant, t->tenant) != 0)
        return SMTP_REPLY_TOO_MANY_RECIPIENTS;
    t->tenant = tenant;
    return SMTP_REPLY_RECIPIENT_OK;
}
