/* data - reading and writing the lines of DATA (RFC 5321 4.1.1.4, 4.5.2, 2.3.8).
 *
 * Invariants:
 * - Only CR LF . CR LF ends the data; at the start of the data the CR LF of the command counts.
 * - Every byte but stuffed dots and the last ". CR LF" is given, once and in order. Only ". CR" at
 * a line's start is held back: whether the CR is content is known at the next byte.
 * - Bare CR and bare LF are content and noticed; neither begins a line. So a dot behind them is not
 *   taken away, and ". LF" ends nothing.
 * - The result does not depend on how the stream is cut in pieces.
 */
#include "node/smtp/data.h"

#include "proto/ground/check.h"
#include "proto/ground/err.h"

enum reader_state {
    READER_LINE,   /* at the start of a line */
    READER_TEXT,   /* in a line */
    READER_CR,     /* behind a CR that was given */
    READER_DOT,    /* behind a dot at the start of a line, not given */
    READER_DOT_CR, /* behind ". CR" at the start of a line, not given */
    READER_DONE,
};

void smtp_data_reader_init(struct smtp_data_reader *r)
{
    *r = (struct smtp_data_reader){ .state = READER_LINE };
}

/* One piece on its way: `run` up to `at` is content that was not given yet. */
struct piece {
    const uint8_t *run, *at, *end;
    int (*give)(void *arg, struct span run);
    void *arg;
};

static int give_run(struct piece *p)
{
    struct span run = span_of(p->run, (size_t)(p->at - p->run));

    p->run = p->at;
    return run.n > 0 ? p->give(p->arg, run) : 0;
}

/* Behind a CR: it ends a line, and no dot begins the next one. */
static bool is_plain_end(const struct piece *p)
{
    return p->end - p->at >= 2 && p->at[0] == '\n' && p->at[1] != '.';
}

/* To behind the next CR that is to be looked at, or to the end. */
static void pass_text(struct smtp_data_reader *r, struct piece *p)
{
    for (;;) {
        size_t left = (size_t)(p->end - p->at);
        const uint8_t *cr = memchr(p->at, '\r', left);
        size_t n = cr ? (size_t)(cr - p->at) : left;

        if (!r->bare_lf && memchr(p->at, '\n', n)) r->bare_lf = true;
        p->at += n;
        if (!cr) return;
        p->at++;
        if (!is_plain_end(p)) break;
        p->at++;
    }
    r->state = READER_CR;
}

static void pass_cr(struct smtp_data_reader *r, struct piece *p)
{
    if (*p->at == '\n') {
        r->state = READER_LINE;
        p->at++;
        return;
    }
    r->bare_cr = true;
    r->state = READER_TEXT; /* the byte is looked at again: it may be a CR too */
}

static int pass_line_start(struct smtp_data_reader *r, struct piece *p)
{
    int err;

    r->state = READER_TEXT;
    if (*p->at != '.') return 0;
    r->state = READER_DOT;
    err = give_run(p);
    p->run = ++p->at;
    return err;
}

static void pass_dot(struct smtp_data_reader *r, struct piece *p)
{
    r->state = READER_TEXT;
    if (*p->at != '\r') return;
    r->state = READER_DOT_CR;
    p->run = ++p->at;
}

static int pass_dot_cr(struct smtp_data_reader *r, struct piece *p)
{
    if (*p->at == '\n') {
        r->state = READER_DONE;
        p->run = ++p->at;
        return 0;
    }
    r->state = READER_CR; /* it will find that the CR is bare */
    return p->give(p->arg, SPAN_LIT("\r"));
}

static int pass(struct smtp_data_reader *r, struct piece *p)
{
    switch ((enum reader_state)r->state) {
    case READER_LINE:
        return pass_line_start(r, p);
    case READER_TEXT:
        pass_text(r, p);
        return 0;
    case READER_CR:
        pass_cr(r, p);
        return 0;
    case READER_DOT:
        pass_dot(r, p);
        return 0;
    case READER_DOT_CR:
        return pass_dot_cr(r, p);
    case READER_DONE:
        break;
    }
    UNREACHED();
}

int smtp_data_read(struct smtp_data_reader *r, struct span *in,
                   int (*give)(void *arg, struct span run), void *arg)
{
    struct piece p = { .give = give, .arg = arg };
    int err = 0;

    CHECK(r->state != READER_DONE);
    if (in->n == 0) return ERR_AGAIN;
    p.run = p.at = in->p;
    p.end = in->p + in->n;
    while (!err && p.at < p.end && r->state != READER_DONE)
        err = pass(r, &p);
    if (!err) err = give_run(&p);
    *in = span_of(p.at, (size_t)(p.end - p.at));
    if (err) return err;
    return r->state == READER_DONE ? 0 : ERR_AGAIN;
}

void smtp_data_writer_init(struct smtp_data_writer *w)
{
    *w = (struct smtp_data_writer){ .any = false };
}

static bool at_line_start(const struct smtp_data_writer *w)
{
    return !w->any || (w->last[0] == '\r' && w->last[1] == '\n');
}

static void write_byte(struct smtp_data_writer *w, uint8_t c, struct buf *out)
{
    if (c == '.' && at_line_start(w)) buf_add_u8(out, '.');
    buf_add_u8(out, c);
    w->last[0] = w->last[1];
    w->last[1] = c;
    w->any = true;
}

void smtp_data_write(struct smtp_data_writer *w, struct span run, struct buf *out)
{
    size_t at = 0; /* bytes written */

    while (at < run.n && at < 2) /* their line may have begun in the run before */
        write_byte(w, run.p[at++], out);
    if (at == run.n) return;
    for (size_t from = 0; from < run.n;) { /* by line: memmem looks at each byte, memchr at a word */
        const uint8_t *p = memchr(run.p + from, '\n', run.n - from);
        if (!p) break;
        from = (size_t)(p - run.p) + 1;
        if (from < 2 || p[-1] != '\r' || from == run.n || run.p[from] != '.') continue;
        from++;
        buf_add(out, run.p + at, from - at);
        buf_add_u8(out, '.');
        at = from;
    }
    buf_add(out, run.p + at, run.n - at);
    w->last[0] = run.p[run.n - 2];
    w->last[1] = run.p[run.n - 1];
}

void smtp_data_finish(struct smtp_data_writer *w, struct buf *out)
{
    if (!at_line_start(w)) buf_add_cstr(out, "\r\n");
    buf_add_cstr(out, ".\r\n");
}
