/* step - what was said and what was heard on a connection: two machines that walk one table.
 *
 * `said` moves when a command is queued (conn_say), `heard` when the reply to it is read; with
 * PIPELINING (RFC 2920) the first runs ahead of the second. The replies that are still to come
 * stand in `expected`, in order. Within a delivery neither goes back: MAIL, RCPT, DATA, BODY, DOT, or MAIL, RCPT, BDAT, DOT.
 * Each step names the deadline for its reply and the verb_*.c function that hears it.
 */
#include "node/deliver/inside.h"

#include <stddef.h>

#define BIT(step) (1u << STEP_##step)
#define AT(name)  offsetof(struct deliver_options, name##_timeout_ms)

struct step_row {
    const char *name;
    unsigned next; /* steps that may be said, or heard, after it */
    size_t timeout_at;
    void (*hear)(struct conn *c, const struct smtp_reply *r);
};
static const struct step_row rows[STEP_COUNT] = {
    [STEP_NONE] = { "", BIT(GREETING), 0, NULL },
    [STEP_GREETING] = { "the connection", BIT(EHLO), AT(greeting), hear_greeting },
    [STEP_EHLO] = { "EHLO", BIT(HELO) | BIT(STARTTLS) | BIT(AUTH) | BIT(MAIL) | BIT(QUIT),
                    AT(command), hear_ehlo },
    [STEP_HELO] = { "HELO", BIT(MAIL) | BIT(QUIT), AT(command), hear_helo },
    [STEP_STARTTLS] = { "STARTTLS", BIT(EHLO), AT(command), hear_starttls },
    [STEP_AUTH] = { "AUTH", BIT(AUTH) | BIT(MAIL) | BIT(QUIT), AT(command), hear_auth },
    [STEP_RSET] = { "RSET", BIT(MAIL) | BIT(QUIT), AT(command), hear_rset },
    [STEP_MAIL] = { "MAIL", BIT(RCPT) | BIT(MAIL) | BIT(QUIT), AT(command), hear_mail },
    [STEP_RCPT] = { "RCPT", BIT(RCPT) | BIT(DATA) | BIT(BDAT) | BIT(RSET) | BIT(QUIT), AT(command),
                    hear_rcpt },
    [STEP_DATA] = { "DATA", BIT(BODY) | BIT(DOT) | BIT(RSET) | BIT(MAIL) | BIT(QUIT), AT(command),
                    hear_data },
    [STEP_BODY] = { "the body", BIT(DOT), AT(data), NULL },
    [STEP_BDAT] = { "BDAT", BIT(BDAT) | BIT(DOT), AT(command), hear_bdat },
    [STEP_DOT] = { "the final dot", BIT(MAIL) | BIT(RSET) | BIT(QUIT), AT(dot), hear_dot },
    [STEP_QUIT] = { "QUIT", 0, AT(command), hear_quit },
};

const char *step_name(enum step step)
{
    return rows[step].name;
}

static uint64_t timeout_of(const struct conn *c, enum step step)
{
    uint64_t ms;

    if (step == STEP_QUIT) return DELIVER_QUIT_MS;
    memcpy(&ms, (const char *)&c->d->o + rows[step].timeout_at, sizeof ms);
    return ms;
}

void conn_wait_for(struct conn *c, uint64_t ms)
{
    loop_timer_start(&c->timer, ms);
}

/* ---- saying */

void conn_expect(struct conn *c, enum step step, unsigned replies)
{
    struct conn_expected *last = c->expected_count ? &c->expected[c->expected_count - 1] : NULL;

    if (replies == 0) return;
    if (last && last->step == step) {
        last->times += replies;
        return;
    }
    CHECK(c->expected_count < sizeof c->expected / sizeof c->expected[0]);
    c->expected[c->expected_count++] = (struct conn_expected){ .step = step, .times = replies };
    if (c->expected_count == 1) conn_wait_for(c, timeout_of(c, step));
}

void conn_say(struct conn *c, enum step step, struct span bytes, unsigned replies)
{
    CHECK((rows[c->said].next & (1u << step)) != 0);
    c->said = step;
    /* a stream that takes no more tells so by on_end, or the deadline passes */
    if (bytes.n > 0) (void)stream_write(c->stream, bytes);
    conn_expect(c, step, replies);
}

/* ---- hearing */

static void take_expected(struct conn *c)
{
    if (--c->expected[0].times == 0) {
        c->expected_count--;
        memmove(c->expected, c->expected + 1, c->expected_count * sizeof c->expected[0]);
    }
    if (c->expected_count > 0)
        conn_wait_for(c, timeout_of(c, c->expected[0].step));
    else
        loop_timer_stop(&c->timer);
}

/* Said by the server of its own accord: 421 before it closes, or a no in the middle of the body. */
static void unasked(struct conn *c, const struct smtp_reply *r)
{
    if (c->phase == CONN_BUSY && reply_refuses(r)) {
        struct delivery *y = c->y;

        if (conn_refused(c, STEP_DATA, r)) return;
        conn_part(c);
        conn_drop(c, ROUTER_CONN_OK);
        delivery_over(y);
    } else {
        conn_broken(c, "protocol", "a reply that nobody asked for: %u %s", r->code, r->text);
    }
}

static void hear(struct conn *c, const struct smtp_reply *r)
{
    enum step step;

    if (c->phase == CONN_BUSY) c->replies++;
    if (c->expected_count == 0) {
        unasked(c, r);
        return;
    }
    step = c->expected[0].step;
    CHECK((rows[c->heard].next & (1u << step)) != 0);
    c->heard = step;
    take_expected(c);
    rows[step].hear(c, r);
}

size_t conn_read(void *arg, struct span bytes)
{
    struct conn *c = arg;
    const struct stream *s = c->stream;
    struct span in = bytes;

    while (in.n > 0) {
        int rv = smtp_reply_read(&c->reader, &in);

        if (rv == ERR_AGAIN) break;
        if (c->tls_begun && !stream_has_tls(c->stream))
            break; /* clear text behind STARTTLS: dropped */
        if (rv != 0)
            conn_broken(c, "protocol", "what came is no SMTP reply");
        else
            hear(c, &c->reader.reply);
        if (c->phase == CONN_GONE || c->stream != s) break;
    }
    return bytes.n;
}

void conn_nonsense(struct conn *c, enum step step, const struct smtp_reply *r)
{
    conn_broken(c, "protocol", "an answer to %s that makes no sense: %u %s", step_name(step),
                r->code, r->text);
}
