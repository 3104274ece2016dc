/* gen_mail - one mail, as steps: MAIL, RCPT.., then DATA and the text, or BDAT chunks. With
 * pipelining all steps that need no answer go out together. */
#include "tests/bench/gen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BDAT_CHUNK (96u << 10)
#define OUT_ENOUGH (256u << 10) /* chunks queued before the queue has run empty */

enum step { STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_TEXT, STEP_BDAT };

static enum step step_at(const struct gen_session *s, unsigned at)
{
    unsigned recipients = s->gen->plan.recipients;

    if (at == 0) return STEP_MAIL;
    if (at <= recipients) return STEP_RCPT;
    if (s->can_bdat) return STEP_BDAT;
    return at == recipients + 1 ? STEP_DATA : STEP_TEXT;
}

static bool is_last(const struct gen_session *s, unsigned at)
{
    return at + 1 == s->mail.steps;
}

/* Sizes are spread evenly over their logarithm: small ones are as usual as large ones. */
static size_t size_of(struct gen *g)
{
    double least = (double)g->plan.size_least, most = (double)g->plan.size_most;
    double x = (double)(letter_mix(&g->seed) >> 11) / 9007199254740992.0;

    if (g->plan.size_least == g->plan.size_most) return g->plan.size_least;
    return (size_t)(least * pow(most / least, x));
}

static void recipient(const struct gen_session *s, unsigned number, char *out, size_t size)
{
    const struct gen_plan *p = &s->gen->plan;
    uint64_t which = s->gen->mail_next + number;

    snprintf(out, size, "r%u-%s@%s", number, s->mail.id, p->domains[which % p->domain_count]);
}

void gen_mail_begin(struct gen_session *s, uint64_t now_us)
{
    struct gen *g = s->gen;
    struct gen_mail *m = &s->mail;
    char to[256];

    snprintf(m->id, sizeof m->id, "%s-%llu", g->plan.id_prefix, (unsigned long long)++g->mail_next);
    recipient(s, 0, to, sizeof to);
    letter_begin(&m->letter, m->id, size_of(g), g->plan.from, to);
    m->sent = m->replied = m->accepted = 0;
    m->failed = 0;
    m->in_text = m->end_sent = false;
    m->begun_us = now_us;
    m->steps = 1 + g->plan.recipients +
               (s->can_bdat ? (unsigned)((m->letter.size + BDAT_CHUNK - 1) / BDAT_CHUNK) : 2);
    s->phase = GEN_MAIL;
    g->in_flight++;
    gen_mail_send(s);
}

/* ---- sending */

static bool may_send(const struct gen_session *s, unsigned at)
{
    const struct gen_mail *m = &s->mail;

    if (m->failed || at >= m->steps) return false;
    if (step_at(s, at) == STEP_TEXT || !s->can_pipeline) return m->replied == at;
    return step_at(s, at) != STEP_BDAT || s->wire.out.n < OUT_ENOUGH;
}

static void put_mail(struct gen_session *s)
{
    if (s->can_size)
        bytes_addf(&s->wire.out, "MAIL FROM:<%s> SIZE=%zu\r\n", s->gen->plan.from, s->mail.letter.size);
    else
        bytes_addf(&s->wire.out, "MAIL FROM:<%s>\r\n", s->gen->plan.from);
}

static void end_sent(struct gen_mail *m)
{
    m->end_sent = true;
    m->dot_us = wire_now_us();
}

static void put_chunk(struct gen_session *s, unsigned at)
{
    struct gen_mail *m = &s->mail;
    size_t left = m->letter.size - (size_t)(at - 1 - s->gen->plan.recipients) * BDAT_CHUNK;
    size_t n = left < BDAT_CHUNK ? left : BDAT_CHUNK;

    bytes_addf(&s->wire.out, "BDAT %zu%s\r\n", n, is_last(s, at) ? " LAST" : "");
    letter_take(&m->letter, n, &s->wire.out);
    if (is_last(s, at)) end_sent(m);
}

static void put_text(struct gen_session *s)
{
    s->mail.in_text = letter_take_text(&s->mail.letter, &s->wire.out);
    if (!s->mail.in_text) end_sent(&s->mail);
}

static void put_step(struct gen_session *s, unsigned at)
{
    char to[256];

    switch (step_at(s, at)) {
    case STEP_MAIL:
        put_mail(s);
        break;
    case STEP_RCPT:
        recipient(s, at - 1, to, sizeof to);
        bytes_addf(&s->wire.out, "RCPT TO:<%s>\r\n", to);
        break;
    case STEP_DATA:
        bytes_addf(&s->wire.out, "DATA\r\n");
        break;
    case STEP_TEXT:
        put_text(s);
        break;
    case STEP_BDAT:
        put_chunk(s, at);
        break;
    }
}

void gen_mail_send(struct gen_session *s)
{
    struct gen_mail *m = &s->mail;

    while (may_send(s, m->sent)) {
        put_step(s, m->sent);
        m->sent++;
    }
}

bool gen_mail_more(struct gen_session *s)
{
    if (s->mail.in_text)
        put_text(s);
    else
        gen_mail_send(s);
    return s->wire.out.n > 0;
}

/* ---- replies */

static void fail(struct gen_mail *m, int code)
{
    if (!m->failed) m->failed = code;
}

static void take_rcpt(struct gen_session *s, int code)
{
    struct gen_mail *m = &s->mail;

    if (code / 100 == 2)
        m->accepted++;
    else if (m->replied == 1 + s->gen->plan.recipients && m->accepted == 0) /* behind MAIL */
        fail(m, code);
}

/* DATA was allowed although nothing is to be sent: an empty mail ends it. */
static void take_data(struct gen_session *s, int code)
{
    struct gen_mail *m = &s->mail;

    if (code != 354) {
        fail(m, code);
    } else if (m->failed) {
        bytes_addf(&s->wire.out, ".\r\n");
        m->sent++;
    }
}

/* The id in "2.0.0 OK: queued as <id>". */
static const char *queue_id(const char *text)
{
    const char *last = strrchr(text, ' ');

    return last && last[1] ? last + 1 : "-";
}

static void take_end(struct gen_session *s, const char *text)
{
    struct gen_tally *t = &s->gen->tally;
    struct gen_mail *m = &s->mail;
    uint64_t now = wire_now_us();

    gen_note(t->acked_fd, m->id, queue_id(text), m->accepted);
    if (t->acked++ == 0) t->first_us = now;
    t->last_us = t->progress_us = now;
    t->bytes += m->letter.size;
    gen_sample(&t->whole, now - m->begun_us);
    gen_sample(&t->dot, now - m->dot_us);
}

static void end_failed(struct gen_session *s)
{
    struct gen_tally *t = &s->gen->tally;
    struct gen_mail *m = &s->mail;

    t->by_code[m->failed > 0 && m->failed < GEN_CODES ? m->failed : 0]++;
    gen_note_failed(s);
    if (m->failed / 100 == 5) {
        t->refused++;
    } else if (m->end_sent) {
        t->unsure++;
        gen_note(t->unsure_fd, m->id, "-", m->accepted);
    }
}

bool gen_mail_reply(struct gen_session *s, int code, const char *text)
{
    struct gen_mail *m = &s->mail;
    unsigned at = m->replied++;
    enum step step = step_at(s, at);

    if (step == STEP_RCPT)
        take_rcpt(s, code);
    else if (step == STEP_DATA)
        take_data(s, code);
    else if (code / 100 != 2)
        fail(m, code);
    else if (is_last(s, at) && !m->failed)
        take_end(s, text);
    if (m->replied < m->sent || (!m->failed && m->replied < m->steps)) return false;
    s->gen->in_flight--;
    if (m->failed) end_failed(s);
    return true;
}

void gen_mail_lost(struct gen_session *s)
{
    struct gen_tally *t = &s->gen->tally;

    s->gen->in_flight--;
    t->lost++;
    gen_note_failed(s);
    if (!s->mail.end_sent) return;
    t->unsure++;
    gen_note(t->unsure_fd, s->mail.id, "-", s->mail.accepted);
}
