/* params - what follows MAIL, RCPT and BDAT (RFC 5321 4.1.2, 4.1.1.11; RFC 1870, 6152, 3030, 4954, 3461,
 * 6531).
 *
 * The path must stand in < >: other forms are refused, not guessed. One space after the colon is
 * the only liberty taken. Parameters are read from left to right and the first wrong one decides
 * the answer. Keywords that some listener offers are known; who does not offer them says so (555).
 */
#include "node/smtp/command.h"

#include "proto/ground/ascii.h"
#include "proto/ground/err.h"
#include "proto/ground/hex.h"

#define SIZE_DIGITS_MAX 20 /* RFC 1870 3, RFC 3030 2 */

/* The position of the '>' that ends a path which begins behind '<'; s.n when there is none. Quoted
 * strings may hold '>' and, behind a backslash, '"'. */
static size_t path_end(struct span s, size_t from)
{
    bool quoted = false;

    for (size_t i = from; i < s.n; i++) {
        if (quoted && s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == '>' && !quoted)
            return i;
    }
    return s.n;
}

/* Takes "KEYWORD:" and "<path>" from the front of *arg; what is left are the parameters. */
static enum smtp_param_error take_path(struct span *arg, struct span keyword, struct span *inside)
{
    struct span s = *arg;
    size_t end;

    if (!span_starts_nocase(s, keyword)) return SMTP_PARAM_SYNTAX;
    s = span_from(s, keyword.n);
    if (s.n > 0 && s.p[0] == ' ') s = span_from(s, 1);
    if (s.n == 0 || s.p[0] != '<') return SMTP_PARAM_ADDRESS;
    end = path_end(s, 1);
    if (end == s.n) return SMTP_PARAM_ADDRESS;
    *inside = span_sub(s, 1, end - 1);
    s = span_from(s, end + 1);
    if (s.n > 0 && s.p[0] != ' ') return SMTP_PARAM_SYNTAX;
    *arg = s;
    return SMTP_PARAM_OK;
}

struct param {
    struct span keyword, value;
    bool has_value;
};

/* esmtp-param of RFC 5321 4.1.2. False: the word is no parameter. */
static bool split_param(struct span word, struct param *out)
{
    size_t at = span_find(word, 0, '=');

    out->keyword = span_sub(word, 0, at);
    out->has_value = at < word.n;
    out->value = out->has_value ? span_from(word, at + 1) : span_of(NULL, 0);
    if (out->keyword.n == 0 || !ascii_is_alnum(out->keyword.p[0])) return false;
    for (size_t i = 0; i < out->keyword.n; i++)
        if (!ascii_is_alnum(out->keyword.p[i]) && out->keyword.p[i] != '-') return false;
    if (out->has_value && out->value.n == 0) return false;
    for (size_t i = 0, n; i < out->value.n; i += n) {
        n = span_utf8_size(span_from(out->value, i)); /* RFC 6531 3.3 */
        if (n == 0 || out->value.p[i] < 33 || out->value.p[i] == 127 || out->value.p[i] == '=')
            return false;
    }
    return true;
}

/* Takes the next word; false when there is none. */
static bool take_word(struct span *rest, struct span *word)
{
    size_t from = 0, end;

    while (from < rest->n && rest->p[from] == ' ')
        from++;
    if (from == rest->n) return false;
    end = span_find(*rest, from, ' ');
    *word = span_sub(*rest, from, end - from);
    *rest = span_from(*rest, end);
    return true;
}

/* Up to 20 digits; more than a uint64_t holds counts as its largest value: the size is too large
 * then, the syntax is not wrong. */
static bool read_size(struct span text, uint64_t *out)
{
    int err;

    if (text.n > SIZE_DIGITS_MAX) return false;
    err = span_u64(text, UINT64_MAX, out);
    if (err == ERR_RANGE) *out = UINT64_MAX;
    return err != ERR_SYNTAX;
}

static bool read_body(struct span text, enum smtp_body *out)
{
    static const char *const names[] = { "7BIT", "8BITMIME", "BINARYMIME" };

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!span_eq_nocase(text, span_cstr(names[i]))) continue;
        *out = (enum smtp_body)i;
        return true;
    }
    return false;
}

/* xtext (RFC 3461 4), or "<>" (RFC 4954 5). */
static bool auth_ok(struct span text)
{
    if (text.n == 0) return false;
    if (span_eq(text, SPAN_LIT("<>"))) return true;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '+') continue;
        if (text.n - i < 3 || hex_value_upper(text.p[i + 1]) < 0 ||
            hex_value_upper(text.p[i + 2]) < 0)
            return false;
        i += 2;
    }
    return true;
}

/* A keyword, read from its value; `has` says whether it was there before. */
static enum smtp_param_error mail_param(const struct param *p, struct smtp_mail *out)
{
    bool had, ok;

    if (span_eq_nocase(p->keyword, SPAN_LIT("SIZE"))) {
        had = out->has_size;
        out->has_size = ok = read_size(p->value, &out->size);
    } else if (span_eq_nocase(p->keyword, SPAN_LIT("BODY"))) {
        had = out->has_body;
        out->has_body = ok = read_body(p->value, &out->body);
    } else if (span_eq_nocase(p->keyword, SPAN_LIT("AUTH"))) {
        had = out->has_auth;
        out->has_auth = ok = auth_ok(p->value);
    } else if (span_eq_nocase(p->keyword, SPAN_LIT("SMTPUTF8"))) {
        had = out->smtputf8;
        out->smtputf8 = ok = !p->has_value;
    } else if (span_eq_nocase(p->keyword, SPAN_LIT("RET"))) {
        had = out->ret != 0;
        ok = smtp_ret_parse(p->value, &out->ret) == 0;
    } else if (span_eq_nocase(p->keyword, SPAN_LIT("ENVID"))) {
        had = out->envid.n > 0;
        ok = smtp_envid_check(p->value) == 0;
        out->envid = p->value;
    } else {
        return SMTP_PARAM_UNKNOWN;
    }
    return had ? SMTP_PARAM_TWICE : ok ? SMTP_PARAM_OK : SMTP_PARAM_VALUE;
}

enum smtp_param_error smtp_mail_parse(struct span arg, struct smtp_mail *out)
{
    struct span inside, word;
    struct param p;
    enum smtp_param_error e;

    *out = (struct smtp_mail){ .body = SMTP_BODY_7BIT };
    e = take_path(&arg, SPAN_LIT("FROM:"), &inside);
    if (e != SMTP_PARAM_OK) return e;
    if (smtp_address_parse(inside, true, false, &out->from) != 0) return SMTP_PARAM_ADDRESS;
    while (take_word(&arg, &word)) {
        if (!split_param(word, &p)) return SMTP_PARAM_SYNTAX;
        e = mail_param(&p, out);
        if (e != SMTP_PARAM_OK) return e;
    }
    return out->from.is_utf8 && !out->smtputf8 ? SMTP_PARAM_UTF8 : SMTP_PARAM_OK;
}

static enum smtp_param_error rcpt_param(const struct param *p, bool smtputf8, struct smtp_rcpt *out)
{
    bool had, ok;

    if (span_eq_nocase(p->keyword, SPAN_LIT("NOTIFY"))) {
        had = out->notify != 0;
        ok = smtp_notify_parse(p->value, &out->notify) == 0;
    } else if (span_eq_nocase(p->keyword, SPAN_LIT("ORCPT"))) {
        had = out->orcpt.n > 0;
        ok = smtp_orcpt_check(p->value, smtputf8) == 0;
        out->orcpt = p->value;
    } else {
        return SMTP_PARAM_UNKNOWN;
    }
    return had ? SMTP_PARAM_TWICE : ok ? SMTP_PARAM_OK : SMTP_PARAM_VALUE;
}

enum smtp_param_error smtp_rcpt_parse(struct span arg, bool smtputf8, struct smtp_rcpt *out)
{
    struct span inside, word;
    struct param p;
    enum smtp_param_error e;

    *out = (struct smtp_rcpt){ 0 };
    e = take_path(&arg, SPAN_LIT("TO:"), &inside);
    if (e != SMTP_PARAM_OK) return e;
    if (smtp_address_parse(inside, false, true, &out->to) != 0) return SMTP_PARAM_ADDRESS;
    if (out->to.is_utf8 && !smtputf8) return SMTP_PARAM_UTF8;
    while (take_word(&arg, &word)) {
        if (!split_param(word, &p)) return SMTP_PARAM_SYNTAX;
        e = rcpt_param(&p, smtputf8, out);
        if (e != SMTP_PARAM_OK) return e;
    }
    return SMTP_PARAM_OK;
}

enum smtp_param_error smtp_bdat_parse(struct span arg, struct smtp_bdat *out)
{
    struct span size, last, more;

    *out = (struct smtp_bdat){ 0 };
    if (!take_word(&arg, &size)) return SMTP_PARAM_SYNTAX;
    if (!read_size(size, &out->size)) return SMTP_PARAM_VALUE;
    if (!take_word(&arg, &last)) return SMTP_PARAM_OK;
    if (!span_eq_nocase(last, SPAN_LIT("LAST"))) return SMTP_PARAM_SYNTAX;
    if (take_word(&arg, &more)) return SMTP_PARAM_SYNTAX;
    out->last = true;
    return SMTP_PARAM_OK;
}
