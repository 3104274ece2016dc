/* letter - writes and recognises the mails of the tests. */
#include "tests/bench/letter.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_CHARS  70
#define PIECE_BYTES (64u << 10)  /* of a body that is made at a time */
#define WHOLE_BYTES (256u << 10) /* a smaller body is made once */

char *bytes_room(struct bytes *b, size_t n)
{
    if (b->cap - b->n < n) {
        size_t cap = b->cap ? b->cap : 4096;

        while (cap - b->n < n)
            cap *= 2;
        b->p = realloc(b->p, cap);
        if (!b->p) abort();
        b->cap = cap;
    }
    return b->p + b->n;
}

void bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (n == 0) return;
    memcpy(bytes_room(b, n), p, n);
    b->n += n;
}

void bytes_addf(struct bytes *b, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(bytes_room(b, 2048), 2048, fmt, args);
    va_end(args);
    if (n < 0 || n >= 2048) abort();
    b->n += (size_t)n;
}

void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){ 0 };
}

uint64_t letter_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static EVP_MD_CTX *sum; /* the one that is being taken */

static void sum_begin(const char *id)
{
    if (!sum) sum = EVP_MD_CTX_new();
    EVP_DigestInit_ex(sum, EVP_sha256(), NULL);
    EVP_DigestUpdate(sum, id, strlen(id));
}

static void sum_add(const char *p, size_t n)
{
    EVP_DigestUpdate(sum, p, n);
}

static void sum_end(char out[LETTER_SUM_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[32];
    unsigned length = 0;

    EVP_DigestFinal_ex(sum, digest, &length);
    for (unsigned i = 0; i < 32; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[64] = '\0';
}

/* ---- writing */

static uint64_t seed_of(const char *id)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 0x100000001b3u;
    return h;
}

static void add_line(struct bytes *out, uint64_t *state, size_t number, size_t chars)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+ ";
    char *p = bytes_room(out, chars + 2);
    uint64_t bits = 0;

    for (size_t i = 0; i < chars; i++) {
        if (i % 10 == 0) bits = letter_mix(state);
        p[i] = alphabet[bits & 63];
        bits >>= 6;
    }
    if (chars > 0 && number % 11 == 3) p[0] = '.';
    p[chars] = '\r';
    p[chars + 1] = '\n';
    out->n += chars + 2;
}

/* Whole lines, until `out` has a piece more; false: the body is all made. */
static bool add_piece(struct bytes *out, struct letter_body *b)
{
    size_t enough = out->n + PIECE_BYTES;

    while (b->left > 2 && out->n < enough) {
        size_t left = b->left - 2, number = b->number++;
        size_t chars = number % 17 == 9 ? 0 : left < LINE_CHARS ? left : LINE_CHARS;

        add_line(out, &b->state, number, chars);
        b->left -= chars + 2;
    }
    return b->left > 2;
}

/* Makes the body for its sum; what is small stays. Returns its size. */
static size_t sum_body(struct letter *l, const char *id, char out[LETTER_SUM_SIZE])
{
    struct letter_body begin = l->body;
    size_t from = l->made.n, size = 0;
    bool keep = l->body.left <= WHOLE_BYTES, more;

    sum_begin(id);
    do {
        size_t at = l->made.n;

        more = add_piece(&l->made, &l->body);
        sum_add(l->made.p + at, l->made.n - at);
        size += l->made.n - at;
        if (!keep) l->made.n = from;
    } while (more);
    sum_end(out);
    if (!keep) l->body = begin;
    return size;
}

void letter_begin(struct letter *l, const char *id, size_t size, const char *from, const char *to)
{
    struct bytes *out = &l->made;
    char digest[LETTER_SUM_SIZE];
    size_t sum_at, body_at;

    out->n = l->taken = 0;
    bytes_addf(out, "From: <%s>\r\nTo: <%s>\r\nSubject: test mail %s\r\n", from, to, id);
    bytes_addf(out, "Date: Tue, 24 Nov 2026 01:00:00 +0000\r\nMessage-ID: <%s@load.invalid>\r\n",
               id);
    bytes_addf(out, "X-Test-Id: %s\r\nX-Test-Sum: ", id);
    sum_at = out->n;
    bytes_addf(out, "%064d\r\n\r\n", 0);
    body_at = out->n;
    l->body = (struct letter_body){ .state = seed_of(id),
                                    .left = size > body_at + 16 ? size - body_at : 16 };
    l->size = body_at + sum_body(l, id, digest);
    memcpy(out->p + sum_at, digest, LETTER_SUM_SIZE - 1);
}

/* What is made and not taken, and more when that is nothing; 0: there is no more. */
static size_t ready(struct letter *l)
{
    if (l->taken == l->made.n) {
        l->made.n = l->taken = 0;
        add_piece(&l->made, &l->body);
    }
    return l->made.n - l->taken;
}

void letter_take(struct letter *l, size_t n, struct bytes *out)
{
    while (n > 0) {
        size_t some = ready(l);

        if (some == 0) abort();
        if (some > n) some = n;
        bytes_add(out, l->made.p + l->taken, some);
        l->taken += some;
        n -= some;
    }
}

bool letter_take_text(struct letter *l, struct bytes *out)
{
    size_t n = ready(l);
    const char *p = l->made.p + l->taken, *end = p + n;

    while (p < end) {
        const char *next = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;

        if (*p == '.') bytes_add(out, ".", 1);
        bytes_add(out, p, (size_t)(next - p));
        p = next;
    }
    l->taken += n;
    if (l->body.left > 2) return true;
    bytes_add(out, ".\r\n", 3);
    return false;
}

void letter_free(struct letter *l)
{
    bytes_free(&l->made);
}

/* ---- reading */

/* The end of the header, where the body begins; NULL when there is none. */
static const char *body_of(const char *p, size_t n)
{
    const char *blank;

    if (n >= 2 && memcmp(p, "\r\n", 2) == 0) return p + 2;
    blank = memmem(p, n, "\r\n\r\n", 4);
    return blank ? blank + 4 : NULL;
}

/* The value of the first header of this name, up to the first space or line end. */
static bool header_word(const char *p, const char *end, const char *name, char *out, size_t size)
{
    size_t name_n = strlen(name);

    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *next = newline ? newline + 1 : end;

        if ((size_t)(next - p) > name_n && strncasecmp(p, name, name_n) == 0 && p[name_n] == ':') {
            size_t n = 0;

            for (p += name_n + 1; p < next && *p == ' ';)
                p++;
            while (p < next && !isspace((unsigned char)*p) && n + 1 < size)
                out[n++] = *p++;
            out[n] = '\0';
            return n > 0;
        }
        p = next;
    }
    return false;
}

/* The word after " id " in the topmost Received header, folded lines included. */
static void queue_id(const char *p, const char *end, char out[LETTER_ID_SIZE])
{
    const char *line = p, *stop, *at;
    size_t n = 0;

    memcpy(out, "-", 2);
    while (line < end && strncasecmp(line, "Received:", 9) != 0) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));

        line = newline ? newline + 1 : end;
    }
    for (stop = line; stop < end; stop++)
        if (*stop == '\n' && stop + 1 < end && stop[1] != ' ' && stop[1] != '\t') break;
    for (at = line; at + 4 < stop; at++)
        if (isspace((unsigned char)at[0]) && strncasecmp(at + 1, "id ", 3) == 0) break;
    if (at + 4 >= stop) return;
    for (at += 4; at < stop && isalnum((unsigned char)*at) && n + 1 < LETTER_ID_SIZE;)
        out[n++] = *at++;
    if (n > 0) out[n] = '\0';
}

enum letter_state letter_read(const char *p, size_t n, char id_out[LETTER_ID_SIZE],
                              char queue_out[LETTER_ID_SIZE])
{
    const char *body = body_of(p, n), *end = body ? body : p + n;
    char told[LETTER_SUM_SIZE + 1], found[LETTER_SUM_SIZE];

    memcpy(id_out, "-", 2);
    queue_id(p, end, queue_out);
    if (!header_word(p, end, "X-Test-Id", id_out, LETTER_ID_SIZE)) return LETTER_FOREIGN;
    if (!body || !header_word(p, end, "X-Test-Sum", told, sizeof told)) return LETTER_BAD;
    sum_begin(id_out);
    sum_add(body, n - (size_t)(body - p));
    sum_end(found);
    return strcmp(found, told) == 0 ? LETTER_OK : LETTER_BAD;
}
