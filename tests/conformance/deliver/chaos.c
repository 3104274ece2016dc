/* chaos - see chaos.h. A connection reads lines; in the data it waits for the dot. */
#include "tests/conformance/deliver/chaos.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/rng.h"

#define BOXES_MAX 2000

struct box {
    char address[64];
    unsigned taken;
};
struct chaos {
    struct world *w;
    struct rng rng;
    unsigned percent_wrong;
    struct list guests;
    struct box boxes[BOXES_MAX];
    unsigned box_count;
};
struct guest {
    struct list link;
    struct chaos *c;
    struct stream *stream;
    struct buf in;
    bool in_body, has_mail;
    char to[128][64]; /* taken in this transaction */
    unsigned to_count;
};

static bool dice(struct chaos *c, unsigned percent)
{
    return rng_below(&c->rng, 100) < percent;
}

static struct box *box_of(struct chaos *c, const char *address)
{
    for (unsigned i = 0; i < c->box_count; i++)
        if (strcmp(c->boxes[i].address, address) == 0) return &c->boxes[i];
    CHECK(c->box_count < BOXES_MAX);
    snprintf(c->boxes[c->box_count].address, sizeof c->boxes[0].address, "%s", address);
    return &c->boxes[c->box_count++];
}

unsigned chaos_taken(const struct chaos *c, const char *address)
{
    for (unsigned i = 0; i < c->box_count; i++)
        if (strcmp(c->boxes[i].address, address) == 0) return c->boxes[i].taken;
    return 0;
}

static void leave(struct guest *g)
{
    if (dice(g->c, 50))
        stream_abort(&g->stream);
    else
        stream_close(&g->stream);
}

static void answer(struct guest *g, const char *text)
{
    (void)stream_write(g->stream, span_cstr(text));
}

/* The first ones would be a yes in some places. */
enum wrong_from { ANY_WRONG = 0, WRONG_TO_DATA = 1, WRONG_TO_RCPT = 3, WRONG_TO_DOT = 3 };

/* True: something went wrong instead of the right answer. */
static bool go_wrong(struct guest *g, enum wrong_from from)
{
    static const char *const wrongs[] = {
        "354 go on\r\n",
        "250 what?\r\n",
        "220 hello?\r\n",
        "421 4.3.2 going down\r\n",
        "450 4.2.0 greylisted\r\n",
        "451 4.3.0 busy\r\n",
        "452 4.5.3 too many\r\n",
        "550 5.1.1 no such user\r\n",
        "250-half\r\n550 other half\r\n",
        "nonsense\r\n",
        "999 beyond\r\n",
    };
    unsigned n = sizeof wrongs / sizeof wrongs[0];

    if (!dice(g->c, g->c->percent_wrong)) return false;
    if (dice(g->c, 30))
        leave(g);
    else if (dice(g->c, 95)) /* else silence: their deadline must pass */
        answer(g, wrongs[from + rng_below(&g->c->rng, n - from)]);
    return true;
}

static void take_dot(struct guest *g)
{
    struct world *w = g->c->w;

    for (unsigned i = 0; i < g->to_count; i++)
        if (!world_is_claimed(w, g->to[i]))
            world_wrong(w, 0, "a dot for %s came before the claim", g->to[i]);
    if (go_wrong(g, WRONG_TO_DOT)) return;
    for (unsigned i = 0; i < g->to_count; i++)
        box_of(g->c, g->to[i])->taken++;
    answer(g, "250 2.0.0 taken\r\n");
}

static void take_rcpt(struct guest *g, const char *line)
{
    const char *from = strchr(line, '<'), *to = strchr(line, '>');

    if (go_wrong(g, WRONG_TO_RCPT)) return;
    CHECK(from && to && g->to_count < 128);
    snprintf(g->to[g->to_count++], sizeof g->to[0], "%.*s", (int)(to - from - 1), from + 1);
    answer(g, "250 2.1.5 ok\r\n");
}

static void take_command(struct guest *g, const char *line)
{
    if (strncmp(line, "EHLO", 4) == 0) {
        const char *text = dice(g->c, 50) ? "250-chaos\r\n250 PIPELINING\r\n" : "250 chaos\r\n";

        if (!go_wrong(g, ANY_WRONG)) answer(g, text);
    } else if (strncmp(line, "MAIL", 4) == 0) {
        g->to_count = 0;
        g->has_mail = !go_wrong(g, ANY_WRONG);
        if (g->has_mail) answer(g, "250 2.1.0 ok\r\n");
    } else if (strncmp(line, "RCPT", 4) == 0) {
        if (g->has_mail)
            take_rcpt(g, line);
        else
            answer(g, "503 5.5.1 MAIL first\r\n");
    } else if (strncmp(line, "DATA", 4) == 0) {
        if (g->to_count == 0) {
            answer(g, "554 5.5.1 no valid recipients\r\n");
        } else if (!go_wrong(g, WRONG_TO_DATA)) {
            g->in_body = true;
            answer(g, "354 go on\r\n");
        }
    } else if (!go_wrong(g, ANY_WRONG)) {
        g->has_mail = false;
        answer(g, strncmp(line, "QUIT", 4) == 0 ? "221 bye\r\n" : "250 ok\r\n");
    }
}

/* False: more bytes are needed. */
static bool take_next(struct guest *g)
{
    const char *end = g->in_body ? "\r\n.\r\n" : "\r\n";
    const uint8_t *p = memmem(g->in.p, g->in.n, end, strlen(end));
    char line[1000];

    if (!p) return false;
    snprintf(line, sizeof line, "%.*s", (int)(p - g->in.p), (const char *)g->in.p);
    buf_drop(&g->in, (size_t)(p - g->in.p) + strlen(end));
    if (g->in_body) {
        g->in_body = g->has_mail = false;
        take_dot(g);
    } else {
        take_command(g, line);
    }
    return true;
}

static size_t on_read(void *arg, struct span bytes)
{
    struct guest *g = arg;

    buf_add_span(&g->in, bytes);
    while (g->stream && g->in.n > 0 && take_next(g))
        ;
    return bytes.n;
}

static void on_end(void *arg, int err)
{
    struct guest *g = arg;

    (void)err;
    stream_close(&g->stream);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static const struct stream_calls calls = { .on_read = on_read,
                                           .on_end = on_end,
                                           .on_closed = on_closed };

void chaos_connection(struct chaos *c, struct listener *li)
{
    struct guest *g = check_calloc(1, sizeof *g);
    struct stream_options o = { .calls = &calls, .arg = g };

    g->c = c;
    buf_init(&g->in, 16u << 20);
    list_add(&c->guests, &g->link);
    CHECK(stream_accept(&g->stream, li, &o) == 0);
    if (!go_wrong(g, ANY_WRONG)) answer(g, "220 chaos\r\n");
}

struct chaos *chaos_open(struct world *w, uint64_t seed, unsigned percent_wrong)
{
    struct chaos *c = check_calloc(1, sizeof *c);

    c->w = w;
    c->percent_wrong = percent_wrong;
    rng_seed(&c->rng, seed);
    list_init(&c->guests);
    return c;
}

void chaos_close(struct chaos **pc)
{
    struct chaos *c = *pc;
    struct list *it;

    *pc = NULL;
    if (!c) return;
    while ((it = list_take_first(&c->guests)) != NULL) {
        struct guest *g = CONTAINER_OF(it, struct guest, link);

        if (g->stream) stream_abort(&g->stream);
        buf_deinit(&g->in);
        free(g);
    }
    free(c);
}
