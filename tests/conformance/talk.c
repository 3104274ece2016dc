/* talk - the words of the client: what it sends, hears, and how it goes away. */
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/smtp/base64.h"
#include "node/smtp/reply.h"
#include "tests/conformance/story.h"

#define CUT_MS     15 /* between two writes that shall not become one */
#define NOTHING_MS 40

static bool connect_as(struct story *st, unsigned number)
{
    uint16_t port = st->world->accept ? accept_port(st->world->accept, 0) : 0;

    if (port == 0) return story_wrong(st, "there is no listener");
    st->current = number;
    client_free(&st->clients[number]);
    if (client_connect(&st->clients[number], st->world->loop, st->from[0] ? st->from : "127.0.0.1",
                       port, st->is_narrow) != 0)
        return story_wrong(st, "the connection failed");
    return true;
}

static bool word_listen_only(struct story *st, char *rest)
{
    static const char *const kinds[] = { "submission", "submissions", "mx" };
    struct errmsg why = { "" };

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(rest, kinds[i]) != 0) continue;
        st->kind = (enum accept_kind)i;
        if (world_listen(st->world, st->kind, &why) == 0) return true;
        return story_wrong(st, "%s", why.text);
    }
    return story_wrong(st, "no such listener: %s", rest);
}

static bool word_handshake(struct story *st, char *rest);

static bool word_listener(struct story *st, char *rest)
{
    char nothing[] = "";

    if (!word_listen_only(st, rest) || !connect_as(st, 0)) return false;
    return st->kind == ACCEPT_SUBMISSIONS ? word_handshake(st, nothing) : true;
}

static bool word_connect(struct story *st, char *rest)
{
    uint64_t number;

    return story_number(st, rest, &number) && connect_as(st, number % STORY_CLIENTS_MAX);
}

/* from ADDRESS: connections from here on come from there. */
static bool word_from(struct story *st, char *rest)
{
    snprintf(st->from, sizeof st->from, "%s", rest);
    return true;
}

static bool word_client(struct story *st, char *rest)
{
    uint64_t number;

    if (!story_number(st, rest, &number)) return false;
    st->current = number % STORY_CLIENTS_MAX;
    return story_client(st) != NULL;
}

/* ---- sending */

static bool send_bytes(struct story *st, struct span bytes)
{
    struct client *c = story_client(st);
    int rv = c ? client_send(c, bytes, false) : 0;

    if (rv) return story_wrong(st, "sending failed: %s", err_text(rv));
    return c != NULL;
}

static bool word_say(struct story *st, char *rest)
{
    struct buf line;
    bool is_sent;

    buf_init(&line, STORY_LINE_MAX + 2);
    buf_addf(&line, "%s\r\n", rest);
    is_sent = send_bytes(st, buf_span(&line));
    buf_deinit(&line);
    return is_sent;
}

static bool send_pieces(struct story *st, const struct story_bytes *all)
{
    size_t from = 0;

    for (unsigned i = 0; i <= all->cut_count; i++) {
        size_t to = i < all->cut_count ? all->cuts[i] : all->bytes.n;
        if (!send_bytes(st, span_sub(buf_span(&all->bytes), from, to - from))) return false;
        if (i < all->cut_count) world_turn(st->world, CUT_MS);
        from = to;
    }
    return true;
}

static bool word_say_raw(struct story *st, char *rest)
{
    struct story_bytes all = { .cut_count = 0 };
    bool is_sent;

    buf_init(&all.bytes, 1u << 20);
    is_sent = story_unquote(st, rest, &all) && send_pieces(st, &all);
    buf_deinit(&all.bytes);
    return is_sent;
}

/* say-bytewise "...": each byte in a write of its own. */
static bool word_say_bytewise(struct story *st, char *rest)
{
    struct story_bytes all = { .cut_count = 0 };
    bool is_sent;

    buf_init(&all.bytes, 1u << 20);
    is_sent = story_unquote(st, rest, &all) != NULL;
    for (size_t i = 0; is_sent && i < all.bytes.n; i++) {
        is_sent = send_bytes(st, span_of(all.bytes.p + i, 1));
        loop_turn(st->world->loop, 1);
    }
    buf_deinit(&all.bytes);
    return is_sent;
}

/* say-long N TEXT: TEXT, then letters until the line has N bytes with its CR LF. */
static bool word_say_long(struct story *st, char *rest)
{
    uint64_t n;
    struct buf line;
    bool is_sent;

    if (!story_number(st, story_cut(&rest), &n)) return false;
    buf_init(&line, 1u << 20);
    buf_add_cstr(&line, rest);
    while (line.n + 2 < n)
        buf_add_u8(&line, 'x');
    buf_add_cstr(&line, "\r\n");
    is_sent = send_bytes(st, buf_span(&line));
    buf_deinit(&line);
    return is_sent;
}

static bool say_many(struct story *st, char *rest, bool deaf)
{
    struct client *c = story_client(st);
    uint64_t n;
    struct buf lines;
    int rv;

    if (!story_number(st, story_cut(&rest), &n)) return false;
    buf_init(&lines, 64u << 20);
    while (n-- > 0)
        buf_addf(&lines, "%s\r\n", rest);
    rv = c ? client_send(c, buf_span(&lines), deaf) : ERR_CLOSED;
    buf_deinit(&lines);
    return rv && !deaf ? story_wrong(st, "sending failed: %s", err_text(rv)) : true;
}

/* say-many N TEXT: as fast as it goes. */
static bool word_say_many(struct story *st, char *rest)
{
    return say_many(st, rest, false);
}

/* The same without hearing anything: what does not go through is left. */
static bool word_say_many_deaf(struct story *st, char *rest)
{
    return say_many(st, rest, true);
}

static bool word_narrow(struct story *st, char *rest)
{
    (void)rest;
    st->is_narrow = true;
    return true;
}

/* say-base64 PREFIX "bytes": the prefix, the bytes in base64, CR LF. */
static bool word_say_base64(struct story *st, char *rest)
{
    struct story_bytes secret = { .cut_count = 0 };
    char *quote = strchr(rest, '"');
    struct buf line;
    bool is_sent;

    buf_init(&secret.bytes, STORY_LINE_MAX);
    buf_init(&line, 4 * STORY_LINE_MAX);
    if (quote) buf_add(&line, rest, (size_t)(quote - rest));
    is_sent = story_unquote(st, rest, &secret) != NULL;
    base64_encode(buf_span(&secret.bytes), &line);
    buf_add_cstr(&line, "\r\n");
    is_sent = is_sent && send_bytes(st, buf_span(&line));
    buf_deinit(&secret.bytes);
    buf_deinit(&line);
    return is_sent;
}

static bool word_data_fill(struct story *st, char *rest)
{
    struct buf mail;
    uint64_t n;
    bool is_sent;

    if (!story_number(st, rest, &n)) return false;
    buf_init(&mail, 128u << 20);
    story_fill(n, &mail);
    is_sent = send_bytes(st, buf_span(&mail));
    buf_deinit(&mail);
    return is_sent;
}

/* bdat-fill TOTAL CHUNK: the same mail in chunks of that size, all at once. */
static bool word_bdat_fill(struct story *st, char *rest)
{
    uint64_t total, chunk;
    struct buf mail, out;
    bool is_sent;

    if (!story_number(st, story_cut(&rest), &total)) return false;
    if (!story_number(st, story_cut(&rest), &chunk)) return false;
    buf_init(&mail, 128u << 20);
    buf_init(&out, 128u << 20);
    story_fill(total, &mail);
    for (uint64_t from = 0; from < total; from += chunk) {
        uint64_t n = total - from < chunk ? total - from : chunk;
        buf_addf(&out, "BDAT %zu%s\r\n", (size_t)n, from + n == total ? " LAST" : "");
        buf_add(&out, mail.p + from, n);
    }
    is_sent = send_bytes(st, buf_span(&out));
    buf_deinit(&mail);
    buf_deinit(&out);
    return is_sent;
}

/* ---- hearing */

/* C072, C087: every line that the server says stands in SMTP_REPLY_TABLE, with its enhanced code; the
 * greeting, which begins with the host's name, and EHLO's list are the only ones of another form. */
static bool is_known(const char *line)
{
    struct buf known;
    bool is_so = strncmp(line, "220 relay.test ESMTP ready", 26) == 0 ||
                 strcmp(line, "250 relay.test") == 0 || strncmp(line, "250-", 4) == 0 ||
                 strcmp(line, "250 CHUNKING") == 0;

    buf_init(&known, STORY_LINE_MAX);
    for (unsigned i = 0; i < SMTP_REPLY_COUNT && !is_so; i++) {
        size_t n;

        buf_reset(&known);
        smtp_reply_print(&known, (enum smtp_reply_id)i, NULL);
        n = known.n - 2; /* what stands behind it is its "more" */
        is_so = strncmp(line, buf_cstr(&known), n) == 0 && (line[n] == '\0' || line[n] == ' ');
    }
    buf_deinit(&known);
    return is_so;
}

static bool hear(struct story *st, char *out, size_t out_size)
{
    struct client *c = story_client(st);
    int rv = c ? client_line(c, out, out_size, CLIENT_WAIT_MS) : ERR_CLOSED;

    if (rv == ERR_CLOSED) return story_wrong(st, "the connection is closed");
    if (rv == ERR_TIMEOUT) return story_wrong(st, "nothing came");
    if (rv != 0) return story_wrong(st, "a line ends with LF alone");
    return is_known(out) ? true : story_wrong(st, "not in SMTP_REPLY_TABLE: \"%s\"", out);
}

static bool word_expect(struct story *st, char *rest)
{
    char line[STORY_LINE_MAX];

    if (!hear(st, line, sizeof line)) return false;
    if (story_matches(rest, line)) return true;
    return story_wrong(st, "expected \"%s\", came \"%s\"", rest, line);
}

static bool word_expect_nothing(struct story *st, char *rest)
{
    struct client *c = story_client(st);
    char line[STORY_LINE_MAX];

    (void)rest;
    if (!c || !client_has_input(c, NOTHING_MS)) return c != NULL;
    if (client_line(c, line, sizeof line, NOTHING_MS) != 0) snprintf(line, sizeof line, "the end");
    return story_wrong(st, "expected nothing, came \"%s\"", line);
}

static bool word_closed(struct story *st, char *rest)
{
    struct client *c = story_client(st);
    char line[STORY_LINE_MAX];
    int rv;

    (void)rest;
    if (!c) return false;
    rv = client_closed(c);
    if (rv == ERR_TIMEOUT) return story_wrong(st, "the connection is still open");
    if (rv == ERR_IO) return story_wrong(st, "the connection did not end in order");
    if (rv == 0) {
        client_finish(c);
        return true;
    }
    if (client_line(c, line, sizeof line, NOTHING_MS) != 0) snprintf(line, sizeof line, "?");
    return story_wrong(st, "expected the end, came \"%s\"", line);
}

/* The end, in order or not. */
static bool word_gone(struct story *st, char *rest)
{
    struct client *c = story_client(st);
    int rv = c ? client_closed(c) : ERR_TIMEOUT;

    (void)rest;
    if (rv != 0 && rv != ERR_IO) return story_wrong(st, "the connection is still open");
    client_finish(c);
    return true;
}

/* ---- TLS, and words that are made of others */

static bool word_handshake(struct story *st, char *rest)
{
    int version = strcmp(rest, "1.2") == 0   ? TLS1_2_VERSION
                  : strcmp(rest, "1.1") == 0 ? TLS1_1_VERSION
                                             : 0;
    int rv = client_handshake(st->clients[st->current], version);

    return rv == 0 ? true : story_wrong(st, "the handshake failed: %s", err_text(rv));
}

static bool word_handshake_fails(struct story *st, char *rest)
{
    int version = strcmp(rest, "1.1") == 0 ? TLS1_1_VERSION : 0;

    if (client_handshake(st->clients[st->current], version) == ERR_TLS) return true;
    return story_wrong(st, "the handshake did not fail");
}

static bool do_line(struct story *st, story_word *word, const char *text)
{
    char line[STORY_LINE_MAX];

    snprintf(line, sizeof line, "%s", text);
    return word(st, line);
}

static bool word_hello(struct story *st, char *rest)
{
    char line[STORY_LINE_MAX];

    if (!do_line(st, word_say, *rest ? rest : "EHLO client.test")) return false;
    do {
        if (!hear(st, line, sizeof line)) return false;
        if (strncmp(line, "250", 3) != 0) return story_wrong(st, "EHLO got \"%s\"", line);
    } while (line[3] == '-');
    return true;
}

static bool word_starttls(struct story *st, char *rest)
{
    return do_line(st, word_say, "STARTTLS") &&
           do_line(st, word_expect, "220 2.0.0 Ready to start TLS") && word_handshake(st, rest);
}

/* auth USERNAME PASSWORD */
static bool word_auth(struct story *st, char *rest)
{
    char line[STORY_LINE_MAX];
    char *password = strchr(rest, ' ');

    if (!password) return story_wrong(st, "auth needs a name and a password");
    *password++ = '\0';
    snprintf(line, sizeof line, "AUTH PLAIN \"\\0%s\\0%s\"", rest, password);
    return word_say_base64(st, line) &&
           do_line(st, word_expect, "235 2.7.0 Authentication successful");
}

/* greeted KIND: listener, greeting, EHLO. */
static bool word_greeted(struct story *st, char *rest)
{
    return word_listener(st, rest) && do_line(st, word_expect, "220 relay.test ESMTP ready") &&
           do_line(st, word_hello, "");
}

/* submitter: an authenticated session of demo on a submission listener. */
static bool word_submitter(struct story *st, char *rest)
{
    (void)rest;
    return do_line(st, word_greeted, "submission") && do_line(st, word_starttls, "") &&
           do_line(st, word_hello, "") && do_line(st, word_auth, "demo secret");
}

/* envelope: a sender and a recipient that are fine, whoever talks. */
static bool word_envelope(struct story *st, char *rest)
{
    (void)rest;
    return do_line(st, word_say, "MAIL FROM:<a@example.test>") &&
           do_line(st, word_expect, "250 2.1.0 OK") &&
           do_line(st, word_say, "RCPT TO:<b@example.test>") &&
           do_line(st, word_expect, "250 2.1.5 OK");
}

/* data: envelope, DATA, 354. */
static bool word_data(struct story *st, char *rest)
{
    return word_envelope(st, rest) && do_line(st, word_say, "DATA") &&
           do_line(st, word_expect, "354 Start mail input; end with <CRLF>.<CRLF>");
}

static bool word_repeat(struct story *st, char *rest)
{
    uint64_t n;
    story_word *word;
    char *name;

    if (!story_number(st, story_cut(&rest), &n)) return false;
    name = story_cut(&rest);
    word = talk_word(name);
    for (uint64_t i = 0; word && i < n; i++)
        if (!do_line(st, word, rest)) return false;
    return word ? true : story_wrong(st, "no such word: %s", name);
}

/* ---- going away */

static bool word_finish(struct story *st, char *rest)
{
    struct client *c = story_client(st);

    (void)rest;
    if (c) client_finish(c);
    return c != NULL;
}

static bool word_drop(struct story *st, char *rest)
{
    struct client *c = story_client(st);

    (void)rest;
    if (c) client_drop(c);
    return c != NULL;
}

story_word *talk_word(const char *name)
{
    static const struct {
        const char *name;
        story_word *word;
    } words[] = {
        { "listener", word_listener },
        { "listen-only", word_listen_only },
        { "connect", word_connect },
        { "client", word_client },
        { "from", word_from },
        { "say", word_say },
        { "say-raw", word_say_raw },
        { "say-bytewise", word_say_bytewise },
        { "say-long", word_say_long },
        { "say-many", word_say_many },
        { "say-many-deaf", word_say_many_deaf },
        { "narrow", word_narrow },
        { "say-base64", word_say_base64 },
        { "data-fill", word_data_fill },
        { "bdat-fill", word_bdat_fill },
        { "expect", word_expect },
        { "expect-nothing", word_expect_nothing },
        { "closed", word_closed },
        { "gone", word_gone },
        { "handshake", word_handshake },
        { "handshake-fails", word_handshake_fails },
        { "hello", word_hello },
        { "starttls", word_starttls },
        { "auth", word_auth },
        { "greeted", word_greeted },
        { "submitter", word_submitter },
        { "envelope", word_envelope },
        { "data", word_data },
        { "repeat", word_repeat },
        { "finish", word_finish },
        { "drop", word_drop },
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].name, name) == 0) return words[i].word;
    return NULL;
}
