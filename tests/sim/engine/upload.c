/* upload - mails of 50 MB: as many chunk entries as such a one has, two at a time, then the mail that names them.
 *
 * Chunks are of up to 1,000 bytes in place of 256 KiB, so that a run takes no longer; limits of lanes, windows, caches and
 * inboxes are drawn as small (draw.c). All are proposed under one term: what is committed of it is a beginning of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/engine/world.h"

#define PARTS  200u /* 50 MB in chunks of 256 KiB */
#define WINDOW 2u

struct upload {
    struct host *host;
    unsigned token, asked, open; /* open: without an answer */
    bool failed;
    uint64_t term, count;
    uint64_t chunks[PARTS];
};

static size_t name_of(unsigned token, char out[16])
{
    return (size_t)snprintf(out, 16, "u%u", token);
}

static struct blob *make_part(const struct upload *u, size_t size)
{
    struct blob *b = blob_new(size);

    for (size_t i = 0; i < size; i++)
        b->p[i] = mail_byte(u->token, u->asked * size + i);
    b->n = size;
    return b;
}

static void ask_part(struct world *w, struct upload *u)
{
    Angarium__Chunk c = ANGARIUM__CHUNK__INIT;
    struct ask *a = mail_ask_new(u->host, ASK_CHUNK);
    char name[16];

    c.time_ms = node_wall_ms(w, u->host->node);
    c.upload = proto_bytes(span_of((uint8_t *)name, name_of(u->token, name)));
    c.number = u->asked;
    a->token = u->token;
    a->upload = u;
    a->body = make_part(u, w->plan.part_size);
    a->head = mail_pack(w, ANGARIUM__COMMAND__KIND_CHUNK, &c);
    u->asked++;
    u->open++;
    if (mail_propose(u->host, a, u->term) == 0) return;
    u->open--;
    u->failed = true;
}

static void ask_mail(struct world *w, struct upload *u)
{
    struct ask *a = mail_ask_new(u->host, ASK_ACCEPT);

    a->token = u->token;
    a->head = mail_pack_accept(w, u->host->node, u->token, PARTS * w->plan.part_size, u);
    w->uploads++;
    if (mail_propose(u->host, a, u->term) != 0) w->tokens[u->token].state = TOKEN_REFUSED;
}

static void go_on(struct world *w, struct upload *u)
{
    while (!u->failed && u->open < WINDOW && u->asked < PARTS)
        ask_part(w, u);
    if (u->open > 0) return;
    if (u->failed)
        w->tokens[u->token].state = TOKEN_REFUSED; /* nobody was asked to take the mail itself */
    else
        ask_mail(w, u);
    node_wake(u->host->node, u->host->group);
    free(u);
}

void upload_begin(struct world *w, unsigned group)
{
    struct node *n = mail_leader(w, group);
    struct upload *u;

    if (!n || w->token_count >= TOKENS_MAX / 2) return;
    u = check_calloc(1, sizeof *u);
    u->host = &n->hosts[group];
    u->term = u->host->term;
    u->token = ++w->token_count;
    w->tokens[u->token] =
        (struct token){ .state = TOKEN_ASKED, .group = group, .asked_us = w->now_us };
    TRACE(w, "client begins a mail of %u chunks, %u, at n%u g%u", PARTS, u->token, n->at + 1,
          group);
    node_wake(n, group);
    go_on(w, u);
}

void upload_answered(struct world *w, struct ask *a, enum raft_answer answer, uint64_t index)
{
    struct upload *u = a->upload;

    u->open--;
    if (answer != RAFT_COMMITTED || a->host->node->dying)
        u->failed = true;
    else
        u->chunks[u->count++] = index;
    go_on(w, u);
}

void upload_name(const struct upload *u, Angarium__Accept *out)
{
    static char name[16]; /* packed before another one is asked for */

    out->upload = proto_bytes(span_of((uint8_t *)name, name_of(u->token, name)));
    out->n_chunks = (size_t)u->count;
    out->chunks = (uint64_t *)(uintptr_t)u->chunks;
}

/* ---- what the history says */

static uint64_t mix(uint64_t hash, uint64_t index)
{
    return (hash + index) * UINT64_C(0x9e3779b97f4a7c15);
}

void upload_learn_chunk(struct world *w, uint64_t index, const Angarium__Chunk *c, struct span body)
{
    struct span name = proto_span(c->upload);
    struct token *t;
    uint64_t token;

    CHECK(name.n > 1 && span_u64(span_of(name.p + 1, name.n - 1), w->token_count, &token) == 0);
    t = &w->tokens[token];
    EXPECT(w, c->number == t->chunk_count && body.n == w->plan.part_size,
           "mail %llu: chunk %u of %zu bytes comes behind %u", (unsigned long long)token, c->number,
           body.n, t->chunk_count);
    for (size_t i = 0; i < body.n; i++)
        EXPECT(w, body.p[i] == mail_byte((unsigned)token, c->number * body.n + i),
               "mail %llu has another byte at %zu of chunk %u", (unsigned long long)token, i,
               c->number);
    t->chunk_count++;
    t->chunk_hash = mix(t->chunk_hash, index);
}

void upload_learn_accept(struct world *w, unsigned token, const Angarium__Accept *c)
{
    const struct token *t = &w->tokens[token];
    uint64_t hash = 0;

    for (size_t i = 0; i < c->n_chunks; i++)
        hash = mix(hash, c->chunks[i]);
    EXPECT(w, c->n_chunks == PARTS && hash == t->chunk_hash && t->chunk_count == PARTS,
           "mail %u is taken with other chunks than were committed", token);
}
