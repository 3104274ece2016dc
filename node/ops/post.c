/* post - a mail out of a request: {from, to, subject, text, html}, {from, to, raw}, or
 * message/rfc822 with ?from=&to=. The same rules hold as for SMTP: the sender's domain is a
 * tenant's, addresses follow RFC 5321, sizes and hops have their limits.
 */
#include "node/ops/post.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/mail/senders.h"
#include "proto/ground/check.h"

#define TO_HEADER_MAX                                                                              \
    100 /* more recipients are not listed in the header, they get it all the same */

void post_init(struct post *p)
{
    *p = (struct post){ 0 };
    arena_init(&p->arena, POST_ARENA_SIZE);
}

void post_deinit(struct post *p)
{
    for (unsigned i = 0; i < p->piece_count; i++)
        blob_unref(&p->pieces[i]);
    free(p->pieces);
    mail_content_scan_free(&p->scan);
    arena_deinit(&p->arena);
    *p = (struct post){ 0 };
}

static int refuse(struct post *p, enum problem problem, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(struct post *p, enum problem problem, const char *fmt, ...)
{
    va_list ap;

    p->problem = problem;
    va_start(ap, fmt);
    vsnprintf(p->detail, sizeof p->detail, fmt, ap);
    va_end(ap);
    return ERR_SYNTAX;
}

/* ---- the envelope */

/* "Name <a@b>" or "a@b": what stands in the envelope. */
static struct span bare_address(struct span text)
{
    struct span s = span_trim(text);

    if (s.n > 1 && s.p[s.n - 1] == '>') {
        size_t open = s.n - 1;

        while (open > 0 && s.p[open - 1] != '<')
            open--;
        if (open > 0) return span_sub(s, open, s.n - 1 - open);
    }
    return s;
}

static bool parse_address(struct post *p, struct span text, struct span *address,
                          struct span *domain)
{
    struct smtp_address a;
    struct buf key;

    if (smtp_address_parse(bare_address(text), false, false, &a) != 0) return false;
    p->smtputf8 |= a.is_utf8;
    buf_init(&key, 512);
    smtp_domain_key(a.domain, &key);
    *address = arena_dup(&p->arena, a.text);
    *domain = arena_dup(&p->arena, buf_span(&key));
    buf_deinit(&key);
    return address->p && domain->p;
}

static const char *tenant_of(const struct settings *s, struct span domain)
{
    for (unsigned i = 0; i < s->tenant_count; i++)
        for (unsigned k = 0; k < s->tenants[i].domain_count; k++)
            if (span_eq_nocase(domain, span_cstr(s->tenants[i].domains[k])))
                return s->tenants[i].name;
    return NULL;
}

static bool holds_doubts(const struct settings *s, const char *tenant)
{
    for (unsigned i = 0; i < s->tenant_count; i++)
        if (strcmp(s->tenants[i].name, tenant) == 0)
            return strcmp(s->tenants[i].in_doubt, "hold") == 0;
    return false;
}

static int take_from(struct post *p, struct span text, const struct settings *s)
{
    struct span domain;

    if (!parse_address(p, text, &p->from, &domain))
        return refuse(p, PROBLEM_NOT_A_MAIL, "from: an address as me@example.test is needed");
    p->tenant = tenant_of(s, domain);
    if (p->tenant) {
        p->hold_in_doubt = holds_doubts(s, p->tenant);
        return 0;
    }
    return refuse(p, PROBLEM_NOT_ALLOWED, "from: the domain %.*s is no tenant's",
                  (int)(domain.n < 100 ? domain.n : 100), (const char *)domain.p);
}

static int add_recipient(struct post *p, struct span text, const struct settings *s)
{
    Angarium__Recipient *r = arena_alloc(&p->arena, sizeof *r);
    struct span address, domain;

    if (p->recipient_count >= s->limits.recipients_max)
        return refuse(p, PROBLEM_NOT_A_MAIL, "to: at most %" PRIu64 " recipients",
                      s->limits.recipients_max);
    if (!r || !parse_address(p, text, &address, &domain))
        return refuse(p, PROBLEM_NOT_A_MAIL, "to: \"%.*s\" is no address",
                      (int)(text.n < 100 ? text.n : 100), (const char *)text.p);
    angarium__recipient__init(r);
    r->address = proto_bytes(address);
    r->domain = proto_bytes(domain);
    p->recipients[p->recipient_count++] = r;
    return 0;
}

static int room_for_recipients(struct post *p, const struct settings *s)
{
    p->recipients = arena_alloc(&p->arena, s->limits.recipients_max * sizeof(void *));
    return p->recipients ? 0 : refuse(p, PROBLEM_BROKEN, "no room for recipients");
}

/* ---- the body */

static void add_piece(struct post *p, struct span bytes)
{
    struct blob *b = blob_new(bytes.n > 0 ? bytes.n : 1);

    CHECK(blob_add(b, bytes.p, bytes.n, COMMIT_INLINE_SIZE_MAX) == 0);
    p->pieces = check_realloc(p->pieces, (p->piece_count + 1) * sizeof(struct blob *));
    p->pieces[p->piece_count++] = b;
}

static int judge(struct post *p, const struct settings *s)
{
    const struct mail_facts *f = &p->facts;

    if (f->has_bare_cr || f->has_nul)
        return refuse(p, PROBLEM_NOT_A_MAIL, "the mail holds a %s",
                      f->has_nul ? "NUL byte" : "CR without LF");
    if (f->header_too_large || f->header_size > s->limits.header_size_max)
        return refuse(p, PROBLEM_NOT_A_MAIL,
                      "the header of the mail is larger than %" PRIu64 " bytes",
                      s->limits.header_size_max);
    if (f->received_count > s->limits.hops_max)
        return refuse(p, PROBLEM_NOT_A_MAIL, "the mail has passed too many hops; that is a loop");
    return 0;
}

/* The header's senders are of the tenant, as over SMTP (node/mail/senders.h). */
struct sender_rule {
    const struct settings *settings;
    const char *tenant;
};

static bool may_write_from(void *arg, struct span domain)
{
    const struct sender_rule *rule = arg;
    const char *tenant;
    struct buf key;

    if (smtp_is_ascii(domain) && !smtp_domain_ok(domain)) return false;
    buf_init(&key, SMTP_DOMAIN_SIZE_MAX + 1);
    tenant = smtp_domain_key(domain, &key) == 0 ? tenant_of(rule->settings, buf_span(&key)) : NULL;
    buf_deinit(&key);
    return tenant && strcmp(tenant, rule->tenant) == 0;
}

static int check_senders(struct post *p, struct span mail, const struct settings *s)
{
    struct sender_rule rule = { .settings = s, .tenant = p->tenant };
    struct mail_senders_rules rules = { .may = may_write_from,
                                        .arg = &rule,
                                        .may_lack_from = true };
    char cause[MAIL_SENDERS_CAUSE_SIZE];

    if (mail_senders_check(mail, &rules, cause) == 0) return 0;
    return refuse(p, PROBLEM_NOT_ALLOWED, "the header: %s", cause);
}

struct mail_content *ops_content_new(const struct settings *s)
{
    static const enum mail_content_part parts[] = {
        ['h'] = MAIL_CONTENT_HEADER, ['b'] = MAIL_CONTENT_BODY, ['f'] = MAIL_CONTENT_FILE
    };
    struct mail_content_rule rules[SETTINGS_CONTENT_RULES_MAX];

    _Static_assert(SETTINGS_CONTENT_RULES_MAX <= MAIL_CONTENT_RULES_MAX, "all rules have room");
    for (unsigned i = 0; i < s->content_rule_count; i++) {
        const struct settings_content_rule *r = &s->content_rules[i];

        rules[i] = (struct mail_content_rule){ .name = r->name,
                                               .part = parts[(uint8_t)r->part[0]],
                                               .field = r->field,
                                               .match = r->match,
                                               .tags = strcmp(r->action, "tag") == 0,
                                               .text = r->text,
                                               .tenant = r->tenant };
    }
    return mail_content_new(rules, s->content_rule_count, s->content.gtube);
}

/* As over SMTP. */
static int check_content(struct post *p, struct span mail, const struct settings *s)
{
    struct mail_content *content = ops_content_new(s);
    struct mail_content_hit hit;

    p->scan = mail_content_scan_new(content, span_cstr(p->tenant));
    mail_content_unref(&content);
    mail_content_scan_feed(p->scan, mail);
    mail_content_scan_finish(p->scan);
    p->is_rejected = mail_content_refused(p->scan, &hit);
    if (!p->is_rejected) return 0;
    commit_content_count(&hit);
    return refuse(p, PROBLEM_NOT_ALLOWED, "the content is refused, rule %s", hit.said);
}

static int take_body(struct post *p, struct span mail, const struct settings *s)
{
    struct span whole = mail;
    struct mail_reader *reader;
    int rv;

    if (mail.n > s->limits.message_size_max)
        return refuse(p, PROBLEM_TOO_LARGE, "the mail is larger than %" PRIu64 " bytes",
                      s->limits.message_size_max);
    reader = mail_reader_new();
    mail_reader_start(reader, false);
    do {
        size_t n = mail.n < COMMIT_INLINE_SIZE_MAX ? mail.n : COMMIT_INLINE_SIZE_MAX;

        mail_reader_feed(reader, span_sub(mail, 0, n));
        add_piece(p, span_sub(mail, 0, n));
        mail = span_from(mail, n);
    } while (mail.n > 0);
    p->facts = *mail_reader_finish(reader);
    mail_reader_free(&reader);
    rv = judge(p, s);
    if (rv == 0) rv = check_senders(p, whole, s);
    return rv == 0 ? check_content(p, whole, s) : rv;
}

static int take_printed(struct post *p, const struct buf *mail, const struct settings *s)
{
    if (buf_failed(mail))
        return refuse(p, PROBLEM_TOO_LARGE, "the mail is larger than %" PRIu64 " bytes",
                      s->limits.message_size_max);
    return take_body(p, buf_span(mail), s);
}

/* Line ends as SMTP wants them: a lone LF becomes CR LF. */
static int take_raw(struct post *p, struct span raw, const struct settings *s)
{
    struct buf mail;
    size_t begin = 0;
    int rv;

    buf_init(&mail, s->limits.message_size_max + 1);
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] != '\n' || (i > 0 && raw.p[i - 1] == '\r')) continue;
        buf_add_span(&mail, span_sub(raw, begin, i - begin));
        buf_add_u8(&mail, '\r');
        begin = i;
    }
    buf_add_span(&mail, span_from(raw, begin));
    rv = take_printed(p, &mail, s);
    buf_deinit(&mail);
    return rv;
}

/* ---- {from, to, ...} */

static struct span text_of(const json_t *object, const char *key)
{
    const json_t *j = json_object_get(object, key);

    return span_of(json_string_value(j), json_string_length(j));
}

static int take_to(struct post *p, const json_t *to, const struct settings *s)
{
    const json_t *one;
    size_t i;
    int rv = 0;

    if (json_is_string(to))
        return add_recipient(p, span_of(json_string_value(to), json_string_length(to)), s);
    json_array_foreach(to, i, one)
    {
        if (rv == 0)
            rv = add_recipient(p, span_of(json_string_value(one), json_string_length(one)), s);
    }
    if (rv == 0 && p->recipient_count == 0)
        rv = refuse(p, PROBLEM_NOT_A_MAIL, "to: at least one recipient is needed");
    return rv;
}

static size_t list_to(const json_t *to, struct span *out)
{
    const json_t *one;
    size_t i, n = 0;

    if (json_is_string(to)) {
        out[0] = span_of(json_string_value(to), json_string_length(to));
        return 1;
    }
    json_array_foreach(to, i, one) if (n < TO_HEADER_MAX) out[n++] =
        span_of(json_string_value(one), json_string_length(one));
    return n;
}

static int write_draft(struct post *p, const json_t *j, uint64_t time_ms, const struct settings *s)
{
    struct span to[TO_HEADER_MAX];
    char message_id[400], boundary[BASE32_SIZE], number[BASE32_SIZE];
    struct mail_draft d = { .from = text_of(j, "from"),
                            .subject = text_of(j, "subject"),
                            .text = text_of(j, "text"),
                            .html = text_of(j, "html"),
                            .to = to,
                            .time_ms = time_ms,
                            .boundary = boundary };
    struct buf mail;
    uint64_t random[2];
    int rv;

    CHECK(sodium_init() >= 0);
    randombytes_buf(random, sizeof random);
    base32_print(random[0], number);
    base32_print(random[1], boundary);
    snprintf(message_id, sizeof message_id, "<%s.%" PRIu64 "@%s>", number, time_ms,
             s->node.hostname);
    d.message_id = span_cstr(message_id);
    d.to_count = list_to(json_object_get(j, "to"), to);
    buf_init(&mail, s->limits.message_size_max + 1);
    rv = mail_draft_print(&mail, &d);
    if (rv != 0)
        rv = refuse(p, PROBLEM_NOT_A_MAIL,
                    "from, to or subject: holds what cannot stand in a header");
    else
        rv = take_printed(p, &mail, s);
    buf_deinit(&mail);
    return rv;
}

static int check_keys(struct post *p, json_t *j)
{
    static const char *const texts[] = { "from", "subject", "text", "html", "raw" };
    const char *key;
    json_t *value;

    json_object_foreach(j, key, value)
    {
        bool known = strcmp(key, "to") == 0;

        for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            if (strcmp(key, texts[i]) != 0) continue;
            known = true;
            if (!json_is_string(value))
                return refuse(p, PROBLEM_BAD_REQUEST, "%s: a text is needed", key);
        }
        if (!known) return refuse(p, PROBLEM_BAD_REQUEST, "there is no field \"%.60s\"", key);
    }
    if (!json_is_string(json_object_get(j, "to")) && !json_is_array(json_object_get(j, "to")))
        return refuse(p, PROBLEM_NOT_A_MAIL, "to: an address or a list of addresses is needed");
    return 0;
}

static int make_from_fields(struct post *p, json_t *j, uint64_t time_ms, const struct settings *s)
{
    bool has_raw = json_object_get(j, "raw") != NULL;
    int rv = check_keys(p, j);

    if (rv == 0) rv = take_from(p, text_of(j, "from"), s);
    if (rv == 0) rv = room_for_recipients(p, s);
    if (rv == 0) rv = take_to(p, json_object_get(j, "to"), s);
    if (rv != 0) return rv;
    if (has_raw &&
        (json_object_get(j, "text") || json_object_get(j, "html") || json_object_get(j, "subject")))
        return refuse(p, PROBLEM_BAD_REQUEST,
                      "raw is the whole mail: subject, text and html do not go with it");
    if (has_raw) return take_raw(p, text_of(j, "raw"), s);
    if (!json_object_get(j, "text") && !json_object_get(j, "html"))
        return refuse(p, PROBLEM_NOT_A_MAIL, "text, html or raw is needed");
    return write_draft(p, j, time_ms, s);
}

static int make_from_json(struct post *p, const struct post_input *in, const struct settings *s)
{
    json_error_t e;
    json_t *j = json_loadb((const char *)in->body.p, in->body.n,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    int rv;

    if (!j)
        return refuse(p, PROBLEM_BAD_REQUEST, "the body is no JSON: line %d, column %d: %s", e.line,
                      e.column, e.text);
    if (json_is_object(j))
        rv = make_from_fields(p, j, in->time_ms, s);
    else
        rv = refuse(p, PROBLEM_BAD_REQUEST, "a JSON object is needed");
    json_decref(j);
    return rv;
}

/* ---- message/rfc822 with ?from=&to=a,b */

static int take_to_list(struct post *p, struct span list, const struct settings *s)
{
    int rv = 0;

    while (rv == 0 && list.n > 0) {
        size_t comma = span_find(list, 0, ',');

        rv = add_recipient(p, span_sub(list, 0, comma), s);
        list = span_from(list, comma < list.n ? comma + 1 : comma);
    }
    if (rv == 0 && p->recipient_count == 0)
        rv = refuse(p, PROBLEM_NOT_A_MAIL, "?to= is needed: addresses with commas between them");
    return rv;
}

static int make_from_mail(struct post *p, const struct post_input *in, const struct settings *s)
{
    int rv = take_from(p, span_cstr(in->query_from), s);

    if (rv == 0) rv = room_for_recipients(p, s);
    if (rv == 0) rv = take_to_list(p, span_cstr(in->query_to), s);
    return rv == 0 ? take_raw(p, in->body, s) : rv;
}

int post_make(struct post *p, const struct post_input *in, const struct settings *s)
{
    struct span type =
        span_trim(span_sub(in->content_type, 0, span_find(in->content_type, 0, ';')));

    if (span_eq_nocase(type, SPAN_LIT("application/json"))) return make_from_json(p, in, s);
    if (span_eq_nocase(type, SPAN_LIT("message/rfc822"))) return make_from_mail(p, in, s);
    return refuse(p, PROBLEM_WRONG_TYPE, "Content-Type: application/json or message/rfc822");
}
