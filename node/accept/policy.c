/* policy - who may relay (RFC 6409 6.1, RFC 5321 7.1 and F.2: no open relay).
 *
 * - Submission: a credential sends from its tenant's domains, to anywhere. The null return path is
 *   nobody's domain: whoever is authenticated may use it, as notifications need it.
 * - MX service: anybody sends to tenants' domains, and nowhere else. A message belongs to one
 * tenant, whose operators see it whole: a recipient of another tenant has to come in a transaction
 * of its own.
 */
#include "node/accept/session.h"

bool policy_sender(const struct session *s, struct span domain_key)
{
    if (!session_is_submission(s)) return true;
    return auth_tenant_has_domain(s->auth, span_cstr(s->credential->tenant), domain_key);
}

enum smtp_reply_id policy_recipient(struct session *s, struct span domain_key)
{
    struct transaction *t = &s->transaction;
    const char *tenant;

    if (session_is_submission(s)) return SMTP_REPLY_RECIPIENT_OK;
    tenant = auth_tenant_of_domain(s->auth, domain_key);
    if (!tenant) return SMTP_REPLY_RELAY_DENIED;
    if (t->recipient_count > 0 && strcmp(tenant, t->tenant) != 0)
        return SMTP_REPLY_TOO_MANY_RECIPIENTS;
    t->tenant = tenant;
    return SMTP_REPLY_RECIPIENT_OK;
}
