/* sasl - the client's side of AUTH (RFC 4954, 4616, 7628). Messages are built in buffers that are wiped: they hold
 * the secret.
 */
#include "node/smtp/sasl.h"

#include "node/smtp/base64.h"
#include "proto/ground/check.h"
#include "proto/ground/secret.h"

#define COMMAND_SIZE_MAX 512u /* RFC 5321 4.5.3.1.4, with CR LF */

static const struct {
    enum smtp_mechanism mechanism;
    const char *name;
} mechanisms[] = { /* the best one first */
                   { SMTP_OAUTHBEARER, "OAUTHBEARER" },
                   { SMTP_XOAUTH2, "XOAUTH2" },
                   { SMTP_PLAIN, "PLAIN" },
                   { SMTP_LOGIN, "LOGIN" }
};
#define COUNT (sizeof mechanisms / sizeof mechanisms[0])

const char *smtp_mechanism_name(enum smtp_mechanism m)
{
    for (size_t i = 0; i < COUNT; i++)
        if (mechanisms[i].mechanism == m) return mechanisms[i].name;
    return "";
}

enum smtp_mechanism smtp_mechanism_best(unsigned set)
{
    for (size_t i = 0; i < COUNT; i++)
        if ((set & mechanisms[i].mechanism) != 0) return mechanisms[i].mechanism;
    return 0;
}

unsigned smtp_mechanisms_parse(struct span words)
{
    unsigned set = 0;

    while (words.n > 0) {
        size_t end = span_find(words, 0, ' ');

        for (size_t i = 0; i < COUNT; i++)
            if (span_eq_nocase(span_sub(words, 0, end), span_cstr(mechanisms[i].name)))
                set |= mechanisms[i].mechanism;
        words = span_from(words, end < words.n ? end + 1 : end);
    }
    return set;
}

void smtp_mechanisms_print(unsigned set, struct buf *out)
{
    const char *between = "";

    if (set == 0) buf_add_cstr(out, "none");
    for (size_t i = 0; i < COUNT; i++) {
        if ((set & mechanisms[i].mechanism) == 0) continue;
        buf_addf(out, "%s%s", between, mechanisms[i].name);
        between = ", ";
    }
}

/* ---- messages */

static void add_plain(const struct smtp_sasl_facts *f, struct buf *out)
{
    buf_add_u8(out, 0);
    buf_add_span(out, f->user);
    buf_add_u8(out, 0);
    buf_add_span(out, f->secret);
}

static void add_xoauth2(const struct smtp_sasl_facts *f, struct buf *out)
{
    buf_add_cstr(out, "user=");
    buf_add_span(out, f->user);
    buf_add_cstr(out, "\001auth=Bearer ");
    buf_add_span(out, f->secret);
    buf_add_cstr(out, "\001\001");
}

/* RFC 5801 4: the two bytes that mean something in a header of GS2. */
static void add_saslname(struct span name, struct buf *out)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == ',')
            buf_add_cstr(out, "=2C");
        else if (name.p[i] == '=')
            buf_add_cstr(out, "=3D");
        else
            buf_add_u8(out, name.p[i]);
    }
}

static void add_oauthbearer(const struct smtp_sasl_facts *f, struct buf *out)
{
    buf_add_cstr(out, "n,a=");
    add_saslname(f->user, out);
    buf_add_cstr(out, ",\001host=");
    buf_add_span(out, f->host);
    buf_addf(out, "\001port=%u\001auth=Bearer ", f->port);
    buf_add_span(out, f->secret);
    buf_add_cstr(out, "\001\001");
}

/* The n-th message (from 0); false: there is none. */
static bool add_message(const struct smtp_sasl *s, const struct smtp_sasl_facts *f, struct buf *out)
{
    unsigned n = s->said;

    switch (s->mechanism) {
    case SMTP_PLAIN:
        if (n == 0) add_plain(f, out);
        return n == 0;
    case SMTP_LOGIN:
        if (n < 2) buf_add_span(out, n == 0 ? f->user : f->secret);
        return n < 2;
    case SMTP_XOAUTH2:
        if (n == 0) add_xoauth2(f, out);
        return n < 2; /* the second one is empty */
    case SMTP_OAUTHBEARER:
        if (n == 0) add_oauthbearer(f, out);
        if (n == 1) buf_add_u8(out, 1); /* RFC 7628 3.2.3 */
        return n < 2;
    }
    UNREACHED();
}

static void wipe(struct buf *b)
{
    secret_wipe(b->p, b->n);
    buf_deinit(b);
}

/* Room for a message at once: a buffer that grows leaves copies behind. */
static void message_init(struct buf *b, const struct smtp_sasl_facts *f)
{
    buf_init(b, SMTP_SASL_LINE_MAX);
    CHECK(buf_room(b, 3 * f->user.n + f->secret.n + f->host.n + 64) != NULL);
}

static bool add_base64(struct smtp_sasl *s, const struct smtp_sasl_facts *f, struct buf *line)
{
    struct buf message;
    bool is_there;

    message_init(&message, f);
    is_there = add_message(s, f, &message);
    if (is_there) base64_encode(buf_span(&message), line);
    wipe(&message);
    s->said++;
    return is_there;
}

static void line_reserve(const struct smtp_sasl_facts *f, struct buf *line)
{
    CHECK(buf_room(line, 4 * (f->user.n + f->secret.n) + f->host.n + 128) != NULL);
}

/* ---- the exchange */

static size_t first_size(enum smtp_mechanism m, const struct smtp_sasl_facts *f)
{
    struct smtp_sasl probe = { .mechanism = m };
    struct buf message;
    size_t n;

    message_init(&message, f);
    (void)add_message(&probe, f, &message);
    n = (message.n + 2) / 3 * 4;
    wipe(&message);
    return n;
}

void smtp_sasl_begin(struct smtp_sasl *s, enum smtp_mechanism m, const struct smtp_sasl_facts *f,
                     struct buf *line)
{
    const char *name = smtp_mechanism_name(m);
    size_t lead = strlen("AUTH ") + strlen(name) + strlen(" \r\n");

    *s = (struct smtp_sasl){ .mechanism = m };
    line_reserve(f, line);
    buf_addf(line, "AUTH %s", name);
    if (m != SMTP_LOGIN && lead + first_size(m, f) <= COMMAND_SIZE_MAX) {
        buf_add_u8(line, ' ');
        (void)add_base64(s, f, line);
    }
    buf_add_cstr(line, "\r\n");
}

bool smtp_sasl_answer(struct smtp_sasl *s, const struct smtp_sasl_facts *f, struct buf *line)
{
    bool is_there;

    line_reserve(f, line);
    is_there = add_base64(s, f, line);
    if (!is_there) buf_add_u8(line, '*');
    buf_add_cstr(line, "\r\n");
    return is_there;
}

/* ---- what must not be kept */

#define PIECE_SIZE_MIN 8u

static bool has(struct span text, struct span piece)
{
    return piece.n > 0 && piece.n <= text.n && memmem(text.p, text.n, piece.p, piece.n) != NULL;
}

/* A word of the text, or the front of one, that stands in the base64. */
static bool repeats_word(struct span text, struct span base64)
{
    for (size_t at = 0; at + PIECE_SIZE_MIN <= text.n; at++)
        if (has(base64, span_sub(text, at, PIECE_SIZE_MIN))) return true;
    return false;
}

bool smtp_sasl_is_repeated(const struct smtp_sasl *s, const struct smtp_sasl_facts *f,
                           struct span text)
{
    struct smtp_sasl again = { .mechanism = s->mechanism };
    bool is_repeated = has(text, f->secret);
    struct buf line;

    buf_init(&line, SMTP_SASL_LINE_MAX);
    line_reserve(f, &line);
    while (!is_repeated && again.said < s->said) {
        buf_reset(&line);
        (void)add_base64(&again, f, &line);
        is_repeated = repeats_word(text, buf_span(&line));
        secret_wipe(line.p, line.n);
    }
    wipe(&line);
    return is_repeated;
}
