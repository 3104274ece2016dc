/* transaction - the envelope of one mail (RFC 5321 3.3), and its way to commit.
 *
 * Recipients are kept as commit will get them, so that nothing is copied twice. The same recipient
 * given twice stands there twice: whoever sends it twice has asked for that.
 */
#include "node/accept/transaction.h"

#include "proto/ground/check.h"
#include "proto/ground/metric.h"

#define RECIPIENTS_FIRST 16

/* One word each, on both sides of the waist. */
_Static_assert((int)SMTP_NOTIFY_NEVER == (int)PROTO_NOTIFY_NEVER &&
                   (int)SMTP_NOTIFY_SUCCESS == (int)PROTO_NOTIFY_SUCCESS &&
                   (int)SMTP_NOTIFY_FAILURE == (int)PROTO_NOTIFY_FAILURE &&
                   (int)SMTP_NOTIFY_DELAY == (int)PROTO_NOTIFY_DELAY,
               "NOTIFY");
_Static_assert((int)SMTP_RET_FULL == (int)PROTO_RET_FULL &&
                   (int)SMTP_RET_HDRS == (int)PROTO_RET_HDRS,
               "RET");
static const uint32_t body_types[] = { [SMTP_BODY_7BIT] = PROTO_BODY_7BIT,
                                       [SMTP_BODY_8BITMIME] = PROTO_BODY_8BITMIME,
                                       [SMTP_BODY_BINARYMIME] = PROTO_BODY_BINARYMIME };

int transaction_open(struct transaction *t, const struct smtp_mail *mail)
{
    *t = (struct transaction){ .dead = TRANSACTION_ALIVE };
    arena_init(&t->arena, TRANSACTION_SIZE_MAX);
    t->from = arena_dup(&t->arena, mail->from.text);
    t->envid = arena_dup(&t->arena, mail->envid);
    t->ret = mail->ret;
    t->smtputf8 = mail->smtputf8;
    t->body_type = mail->has_body ? body_types[mail->body] : 0;
    return t->from.p && t->envid.p ? 0 : ERR_FULL;
}

void transaction_close(struct transaction *t)
{
    if (t->is_committing) commit_mail_forget(&t->mail);
    t->is_committing = false;
    if (t->body_is_open) body_close(&t->body);
    t->body_is_open = false;
    arena_deinit(&t->arena);
    t->recipients = NULL;
    t->recipient_count = t->recipient_cap = 0;
    t->tenant = NULL;
}

static int grow(struct transaction *t)
{
    unsigned cap = t->recipient_cap > 0 ? t->recipient_cap * 2 : RECIPIENTS_FIRST;
    Angarium__Recipient **list = arena_alloc(&t->arena, cap * sizeof(Angarium__Recipient *));

    if (!list) return ERR_FULL;
    if (t->recipient_count > 0)
        memcpy(list, t->recipients, t->recipient_count * sizeof(Angarium__Recipient *));
    t->recipients = list;
    t->recipient_cap = cap;
    return 0;
}

int transaction_add(struct transaction *t, const struct smtp_rcpt *rcpt, struct span address,
                    struct span domain)
{
    Angarium__Recipient *r;
    struct span orcpt;

    if (t->recipient_count == t->recipient_cap && grow(t) != 0) return ERR_FULL;
    r = arena_alloc(&t->arena, sizeof *r);
    address = arena_dup(&t->arena, address);
    domain = arena_dup(&t->arena, domain);
    orcpt = arena_dup(&t->arena, rcpt->orcpt);
    if (!r || !address.p || !domain.p || !orcpt.p) return ERR_FULL;
    angarium__recipient__init(r);
    r->address = proto_bytes(address);
    r->domain = proto_bytes(domain);
    r->notify = rcpt->notify;
    r->orcpt = proto_bytes(orcpt);
    t->recipients[t->recipient_count++] = r;
    return 0;
}

/* ---- to commit */

static void fill_origin(Angarium__Origin *out, const struct transaction_origin *o,
                        const char *tenant)
{
    angarium__origin__init(out);
    out->session = proto_bytes(o->session);
    out->client_address = proto_bytes(o->client_address);
    out->client_port = o->client_port;
    out->helo = proto_bytes(o->helo);
    out->protocol = proto_bytes(o->protocol);
    out->tls = proto_bytes(o->tls);
    out->tenant = proto_bytes(span_cstr(tenant));
    out->credential = proto_bytes(o->credential);
    out->listener = proto_bytes(o->listener);
    out->hostname = proto_bytes(o->hostname);
    out->node = o->node;
    out->submitted = o->submitted;
}

/* The body goes into the mail on success; before and on failure it is the transaction's. */
static int propose(struct transaction *t, struct commit *c, struct loop *l)
{
    struct body *b = &t->body;
    int rv;

    if (!b->upload && !b->filling) b->filling = blob_new(1);
    t->mail.body = b->upload ? NULL : b->filling;
    t->mail.upload = b->upload;
    rv = commit_mail(c, l, &t->mail);
    if (rv) return rv;
    b->filling = NULL;
    b->upload = NULL;
    t->is_committing = true;
    return 0;
}

int transaction_commit(struct transaction *t, const struct transaction_origin *origin,
                       void (*on_done)(struct commit_mail *m, int rv, uint64_t id))
{
    struct accept *a = t->body.accept;
    struct commit_facts facts;
    struct commit_tags tags;
    Angarium__Origin from;
    Angarium__Accept accept;

    CHECK(!body_is_full(&t->body));
    commit_facts_fill(&facts, t->body.facts);
    fill_origin(&from, origin, t->tenant);
    angarium__accept__init(&accept);
    accept.time_ms = origin->time_ms;
    accept.mail_from = proto_bytes(t->from);
    accept.n_recipients = t->recipient_count;
    accept.recipients = t->recipients;
    accept.body = &facts.body;
    accept.origin = &from;
    accept.expires_at_ms = origin->time_ms + origin->expire_ms;
    accept.envid = proto_bytes(t->envid);
    accept.ret = t->ret;
    accept.smtputf8 = t->smtputf8;
    accept.hold_in_doubt = origin->hold_in_doubt;
    accept.body_type = t->body_type;
    commit_tags_fill(&tags, t->body.scan);
    accept.n_tags = tags.n;
    accept.tags = tags.list;
    t->mail = (struct commit_mail){ .accept = &accept, .on_done = on_done };
    t->committing_since_ms = loop_mono_ms(a->loop);
    return propose(t, a->commit, a->loop);
}
