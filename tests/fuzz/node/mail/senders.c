/* senders - a header is judged without harm, and what passes has no other domain in it, read by
 * another way than the parser's: no '@' in a From or Sender is followed by anything but ours. */
#include "node/mail/field.h"
#include "node/mail/senders.h"
#include "node/mail/shown.h"
#include "proto/ground/check.h"
#include "proto/ground/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool may(void *arg, struct span domain)
{
    (void)arg;
    return span_eq_nocase(domain, SPAN_LIT("a.b"));
}

static bool is_ours(struct span behind)
{
    return behind.n >= 3 && span_eq_nocase(span_sub(behind, 0, 3), SPAN_LIT("a.b"));
}

/* Outside of quotes and comments an '@' belongs to an address. */
static void expect_ours(struct span value)
{
    unsigned depth = 0;
    bool is_quoted = false;

    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.p[i];

        if (c == '\\')
            i++;
        else if (c == '"' && depth == 0)
            is_quoted = !is_quoted;
        else if (c == '(' && !is_quoted)
            depth++;
        else if (c == ')' && !is_quoted && depth > 0)
            depth--;
        else if (c == '@' && !is_quoted && depth == 0)
            CHECK(is_ours(span_from(value, i + 1)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span header = span_of(bytes, n), rest = header;
    struct mail_senders_rules rules = { .may = may };
    char cause[MAIL_SENDERS_CAUSE_SIZE];
    struct mail_header_field f;
    unsigned from_count = 0;
    size_t total = 0;
    int rv = mail_senders_check(header, &rules, cause);

    CHECK(rv == 0 || rv == ERR_DENIED);
    CHECK((rv == 0) == (cause[0] == '\0'));
    while (mail_field_next(&rest, &f)) {
        CHECK(f.whole.n > 0 && f.name.n + f.value.n <= f.whole.n);
        total += f.whole.n;
        if (rv != 0 || !span_eq_nocase(f.name, SPAN_LIT("From"))) continue;
        from_count++;
        expect_ours(f.value);
    }
    CHECK(total + rest.n == n);
    if (rv == 0) CHECK(from_count == 1);
    return 0;
}
