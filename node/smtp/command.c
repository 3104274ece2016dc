/* command - splits a command line and checks the HELO name (RFC 5321 4.1.1.1, 4.1.1.10, 4.1.4).
 *
 * Verbs are compared without case (RFC 5321 2.4). A line with control bytes is not a command at
 * all: it is answered like an unknown verb, so that no later stage has to think of such bytes. A
 * tab may stand in the argument only.
 */
#include "node/smtp/command.h"

#include "proto/ground/err.h"

#define VERB_NAME_(v) #v,
static const char *const verb_names[SMTP_VERB_COUNT] = { "", SMTP_VERB_TABLE(VERB_NAME_) };
#undef VERB_NAME_

static bool has_controls(struct span line, size_t verb_size)
{
    for (size_t i = 0; i < line.n; i++) {
        uint8_t c = line.p[i];
        if (c == 0x7f || (c < 0x20 && !(c == '\t' && i > verb_size))) return true;
    }
    return false;
}

static enum smtp_verb find_verb(struct span word)
{
    for (unsigned v = 1; v < SMTP_VERB_COUNT; v++)
        if (span_eq_nocase(word, span_cstr(verb_names[v]))) return (enum smtp_verb)v;
    return SMTP_VERB_UNKNOWN;
}

enum smtp_verb smtp_command_parse(struct span line, struct span *arg_out)
{
    size_t verb_size = span_find(line, 0, ' ');
    struct span arg = span_of(NULL, 0);
    enum smtp_verb verb = SMTP_VERB_UNKNOWN;

    if (!has_controls(line, verb_size)) verb = find_verb(span_sub(line, 0, verb_size));
    if (verb != SMTP_VERB_UNKNOWN && verb_size < line.n) {
        arg = span_from(line, verb_size + 1);
        while (arg.n > 0 && arg.p[arg.n - 1] == ' ')
            arg.n--;
    }
    *arg_out = arg;
    return verb;
}

const char *smtp_verb_name(enum smtp_verb v)
{
    if (v <= SMTP_VERB_UNKNOWN || v >= SMTP_VERB_COUNT) return "?";
    return verb_names[v];
}

int smtp_helo_check(struct span arg)
{
    char address[46];
    bool is_ipv6;

    if (arg.n == 0 || arg.n > SMTP_DOMAIN_SIZE_MAX) return ERR_SYNTAX;
    if (arg.p[0] == '[') return smtp_literal_parse(arg, address, &is_ipv6);
    return smtp_domain_ok(arg) ? 0 : ERR_SYNTAX;
}
