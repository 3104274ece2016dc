/* classify - what a reply means (RFC 5321 4.2, 4.3.2, 4.5.3.1.10; RFC 3463; RFC 7504, 7505).
 *
 * The verdict follows the first digit: 2yz behind the last dot is delivered, 4yz is later, 5yz is
 * never. Exceptions, all of them here:
 * - 5yz to the connection or to HELO refuses us, not the recipient: later, at the next host.
 * - 552 to RCPT that means "too many recipients" is later (RFC 5321 4.5.3.1.10).
 * - Quotas of senders that pass with time are later, though some hosts say them with 5yz.
 * - A reply that does not fit its stage, or none (code 0), is later.
 *
 * The class says why. Rules are tried in the order of their table: words first, because hosts use
 * codes and enhanced codes loosely ("550 5.1.1 blocked"), then enhanced code, then code. Words in
 * addresses and URLs do not count. Refusals of us come before "user unknown": to take a block for a
 * dead mailbox would do more harm than the other way round. A bare 550 is "refused", not
 * "user_unknown".
 */
#include "router/inside.h"

#include "proto/ground/ascii.h"

/* The needle is in lower case; |word| stands alone, between bytes that are no letters or digits.
 * `enhanced` is "" or the subject.detail that must be there too. */
struct text_rule {
    const char *needle, *enhanced, *class;
};

static const struct text_rule text_rules[] = {
    /* these say "user unknown" with words or codes that mean something else below */
    { "recipient address rejected: access denied", "4.1", "user_unknown" },
    { "recipient address rejected: user unknown", "", "user_unknown" },
    { "mailbox unavailable or access denied", "", "throttled" },
    { "mailbox unavailable", "5.0", "user_unknown" },

    { "greylist", "", "greylist" },
    { "graylist", "", "greylist" },
    { "grey list", "", "greylist" },
    { "grey-list", "", "greylist" },

    { "too many recipients", "", "too_many_recipients" },
    { "size per transaction exceeded", "", "too_many_recipients" },
    { "multiple destination domains per transaction", "", "too_many_recipients" },

    { "rate limit", "", "throttled" },
    { "rate-limit", "", "throttled" },
    { "ratelimit", "", "throttled" },
    { "throttl", "", "throttled" },
    { "unusual rate", "", "throttled" },
    { "unusual sending activity", "", "throttled" },
    { "at a rate that", "", "throttled" },
    { "too quickly", "", "throttled" },
    { "too many messages", "", "throttled" },
    { "too many recent messages", "", "throttled" },
    { "too many connections", "", "throttled" },
    { "too many concurrent", "", "throttled" },
    { "too many sessions", "", "throttled" },
    { "maximum number of connections", "", "throttled" },
    { "maximum number of concurrent", "", "throttled" },
    { "excessive volume", "", "throttled" },
    { "unexpected volume", "", "throttled" },
    { "frequency limited", "", "throttled" },
    { "sending limit", "", "throttled" },
    { "exceeded per hour", "", "throttled" },
    { "per-hour limit", "", "throttled" },
    { "message rate", "", "throttled" },

    { "tls required", "", "tls" },
    { "starttls", "", "tls" },
    { "encryption required", "", "tls" },
    { "without ssl/tls", "", "tls" },

    { "|spf|", "", "auth" },
    { "|dkim|", "", "auth" },
    { "|dmarc|", "", "auth" },
    { "sender is unauthenticated", "", "auth" },
    { "required authentication level", "", "auth" },

    { "virus", "", "content" },
    { "malware", "", "content" },
    { "attachment", "", "content" },

    { "block list", "", "policy" },
    { "blocklist", "", "policy" },
    { "blacklist", "", "policy" },
    { "black list", "", "policy" },
    { "denylist", "", "policy" },
    { "spamhaus", "", "policy" },
    { "spamcop", "", "policy" },
    { "|rbl|", "", "policy" },
    { "dnsbl", "", "policy" },
    { "|banned|", "", "policy" },
    { "|blocked|", "", "policy" },
    { "reputation", "", "policy" },
    { "|spam|", "", "spam" },
    { "unsolicited", "", "spam" },
    { "|junk|", "", "spam" },

    { "relaying denied", "", "relay_denied" },
    { "relay access denied", "", "relay_denied" },
    { "relaying not allowed", "", "relay_denied" },
    { "relay not permitted", "", "relay_denied" },
    { "unable to relay", "", "relay_denied" },
    { "not permitted to relay", "", "relay_denied" },

    { "sender address rejected", "", "bad_sender" },
    { "sender domain", "", "bad_sender" },
    { "from domain", "", "bad_sender" },

    { "mailbox full", "", "mailbox_full" },
    { "mailbox is full", "", "mailbox_full" },
    { "over quota", "", "mailbox_full" },
    { "overquota", "", "mailbox_full" },
    { "quota exceeded", "2.2", "mailbox_full" },
    { "mailbox quota", "", "mailbox_full" },
    { "user quota", "", "mailbox_full" },
    { "out of storage", "", "mailbox_full" },
    { "exceeded storage", "", "mailbox_full" },

    { "message too large", "", "too_large" },
    { "message too big", "", "too_large" },
    { "message is too large", "", "too_large" },
    { "message size exceeds", "", "too_large" },
    { "exceeds fixed maximum", "", "too_large" },
    { "exceeds size limit", "", "too_large" },
    { "size limit exceeded", "", "too_large" },

    { "policy", "", "policy" },

    { "user unknown", "", "user_unknown" },
    { "unknown user", "", "user_unknown" },
    { "user not found", "", "user_unknown" },
    { "no such user", "", "user_unknown" },
    { "no such recipient", "", "user_unknown" },
    { "no such mailbox", "", "user_unknown" },
    { "no mailbox", "", "user_unknown" },
    { "mailbox not found", "", "user_unknown" },
    { "recipient not found", "", "user_unknown" },
    { "recipientnotfound", "", "user_unknown" },
    { "recipient unknown", "", "user_unknown" },
    { "unknown recipient", "", "user_unknown" },
    { "unknown mailbox", "", "user_unknown" },
    { "invalid mailbox", "", "user_unknown" },
    { "invalid recipient", "", "user_unknown" },
    { "user doesn't exist", "", "user_unknown" },
    { "user does not exist", "", "user_unknown" },
    { "account does not exist", "", "user_unknown" },
    { "account that you tried to reach does not exist", "", "user_unknown" },
    { "user doesn't have a", "", "user_unknown" },
    { "mailbox is disabled", "", "mailbox_disabled" },
    { "mailbox disabled", "", "mailbox_disabled" },
    { "deactivated mailbox", "", "mailbox_disabled" },
    { "account is disabled", "", "mailbox_disabled" },
};

struct enhanced_rule {
    const char *enhanced; /* subject.detail; "7." is the whole subject */
    unsigned class_digit; /* 0: both */
    const char *class;
};

static const struct enhanced_rule enhanced_rules[] = {
    { "1.1", 5, "user_unknown" },
    { "1.6", 5, "user_unknown" },
    { "1.2", 0, "bad_domain" },
    { "1.10", 5, "bad_domain" },
    { "1.3", 0, "bad_address" },
    { "1.7", 0, "bad_sender" },
    { "1.8", 0, "bad_sender" },
    { "2.1", 5, "mailbox_disabled" },
    { "2.2", 0, "mailbox_full" },
    { "2.3", 0, "too_large" },
    { "3.4", 0, "too_large" },
    { "3.", 0, "unavailable" },
    { "4.5", 5, "throttled" },
    { "4.6", 0, "loop" },
    { "4.", 0, "unavailable" },
    { "5.3", 0, "too_many_recipients" },
    { "5.", 5, "protocol" },
    { "6.", 5, "content" },
    { "7.8", 0, "login" },
    { "7.9", 0, "login" },
    { "7.20", 0, "auth" },
    { "7.21", 0, "auth" },
    { "7.22", 0, "auth" },
    { "7.23", 0, "auth" },
    { "7.24", 0, "auth" },
    { "7.25", 0, "auth" },
    { "7.26", 0, "auth" },
    { "7.27", 0, "auth" },
    { "7.28", 0, "throttled" },
    { "7.29", 0, "tls" },
    { "7.30", 0, "auth" },
    { "7.32", 0, "auth" },
    { "7.40", 0, "auth" },
    { "7.509", 0, "auth" },
    { "7.515", 0, "auth" },
    { "7.10", 0, "tls" },
    { "7.13", 5, "mailbox_disabled" },
    { "7.", 5, "policy" },
    { "7.1", 4, "policy" },
};

#define STAGE(s) (1u << ROUTER_AT_##s)
#define ANY      0xffu

struct code_rule {
    unsigned from, to, stages;
    const char *class;
};

static const struct code_rule code_rules[] = {
    { 400, 499, ANY, "unavailable" },
    { 500, 504, ANY & ~(STAGE(GREETING) | STAGE(HELO)), "protocol" },
    { 552, 552, STAGE(RCPT), "mailbox_full" },
    { 552, 552, ANY, "too_large" },
    { 553, 553, STAGE(MAIL), "bad_sender" },
    { 553, 553, STAGE(RCPT), "bad_address" },
    { 554, 554, STAGE(MAIL) | STAGE(RCPT) | STAGE(DATA) | STAGE(DOT), "policy" },
    { 555, 555, ANY, "protocol" },
    { 556, 556, ANY, "bad_domain" },
    { 571, 571, ANY, "policy" },
    { 500, 599, STAGE(GREETING) | STAGE(HELO), "unavailable" },
    { 500, 599, ANY, "refused" },
};

/* Permanent codes for what passes with time. */
static const struct {
    unsigned code;
    const char *enhanced, *needle;
    unsigned stages;
} later_rules[] = {
    { 550, "4.5", "limit", ANY },
    { 550, "", "daily user sending limit", ANY },
    { 550, "", "smtp relay sending limit", ANY },
    { 550, "", "frequency limited", ANY },
    { 550, "", "too many messages. try again", ANY },
    { 552, "", "too many recipients", STAGE(RCPT) },
    { 552, "5.3", "", STAGE(RCPT) },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- the words of a reply */

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* An address or a URL: what is in it are no words of the host. */
static bool is_name(const char *word, size_t n)
{
    struct span s = span_of(word, n);

    return span_find(s, 0, '@') < n || memmem(word, n, "://", 3) != NULL;
}

void router_words(const char *text, char out[ROUTER_WORDS_SIZE])
{
    size_t n = 0;

    while (*text && n < ROUTER_WORDS_SIZE - 1) {
        size_t size = strcspn(text, " ");
        bool skip = is_name(text, size);
        for (size_t i = 0; i < size && !skip && n < ROUTER_WORDS_SIZE - 1; i++)
            out[n++] = (char)ascii_lower((uint8_t)text[i]);
        text += size;
        if (*text && n < ROUTER_WORDS_SIZE - 1) out[n++] = *text++;
    }
    out[n] = '\0';
}

static bool has_word(const char *words, const char *word, size_t n)
{
    const char *at = words;

    while ((at = memmem(at, strlen(at), word, n)) != NULL) {
        bool starts = at == words || !is_word_byte(at[-1]);
        if (starts && !is_word_byte(at[n])) return true;
        at++;
    }
    return false;
}

bool router_has_needle(const char *words, const char *needle)
{
    if (needle[0] != '|') return strstr(words, needle) != NULL;
    return has_word(words, needle + 1, strlen(needle) - 2);
}

bool router_has_enhanced(const char *enhanced, const char *wanted)
{
    size_t n = strlen(wanted);

    if (n > 0 && wanted[n - 1] == '.') return strncmp(enhanced, wanted, n) == 0;
    return n == 0 || strcmp(enhanced, wanted) == 0;
}

/* ---- the class */

static const char *find_class(enum router_stage stage, unsigned code, const char *enhanced,
                              const char *words)
{
    for (size_t i = 0; i < COUNT(text_rules); i++) {
        const struct text_rule *t = &text_rules[i];
        if (router_has_enhanced(enhanced, t->enhanced) && router_has_needle(words, t->needle))
            return t->class;
    }
    if (code == 454 || (code >= 530 && code <= 538)) return "login"; /* RFC 4954 6 */
    for (size_t i = 0; i < COUNT(enhanced_rules) && enhanced[0]; i++) {
        const struct enhanced_rule *e = &enhanced_rules[i];
        bool fits = e->class_digit == 0 || e->class_digit == code / 100;
        if (fits && router_has_enhanced(enhanced, e->enhanced)) return e->class;
    }
    for (size_t i = 0; i < COUNT(code_rules); i++) {
        const struct code_rule *c = &code_rules[i];
        if (code >= c->from && code <= c->to && c->stages & (1u << stage)) return c->class;
    }
    return "protocol";
}

static bool is_later(enum router_stage stage, unsigned code, const char *enhanced,
                     const char *words)
{
    for (size_t i = 0; i < COUNT(later_rules); i++) {
        if (code != later_rules[i].code || !(later_rules[i].stages & (1u << stage))) continue;
        if (!router_has_enhanced(enhanced, later_rules[i].enhanced)) continue;
        if (router_has_needle(words, later_rules[i].needle)) return true;
    }
    return false;
}

/* ---- the meaning */

/* No reply: the connection was not made or broke. Behind the dot another host might get a copy of
 * what this one took. */
static void no_reply(enum router_stage stage, const char *words, struct router_meaning *out)
{
    bool timeout = router_has_needle(words, "timeout") || router_has_needle(words, "timed out");

    out->verdict = ROUTER_LATER;
    out->class = timeout ? "timeout" : "connect";
    out->closes = true;
    out->next_host = stage != ROUTER_AT_DOT;
}

/* Neither 4yz nor 5yz. */
static void no_refusal(enum router_stage stage, unsigned code, struct router_meaning *out)
{
    bool delivered = stage == ROUTER_AT_DOT && code / 100 == 2;

    out->verdict = delivered ? ROUTER_DELIVERED : ROUTER_LATER;
    out->class = delivered ? "ok" : "protocol";
    out->closes = !delivered;
    out->next_host = false;
}

void router_classify(enum router_stage stage, unsigned code, const char *enhanced, const char *text,
                     struct router_meaning *out)
{
    bool at_door = stage == ROUTER_AT_GREETING || stage == ROUTER_AT_HELO;
    char words[ROUTER_WORDS_SIZE];

    router_words(text ? text : "", words);
    if (code == 0) {
        no_reply(stage, words, out);
        return;
    }
    if (code / 100 != 4 && code / 100 != 5) {
        no_refusal(stage, code, out);
        return;
    }
    enhanced = enhanced && enhanced[0] && enhanced[1] == '.' ? enhanced + 2 : "";
    out->class = find_class(stage, code, enhanced, words);
    out->verdict = code / 100 == 4 || at_door || is_later(stage, code, enhanced, words)
                       ? ROUTER_LATER
                       : ROUTER_NEVER;
    out->closes = code == 421 || at_door;
    out->next_host = at_door || (code == 421 && strcmp(out->class, "throttled") != 0);
}
