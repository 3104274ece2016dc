/* bodyhash - both body hashes of DKIM over a stream (RFC 6376 3.4.3, 3.4.4).
 *
 * simple:  empty lines at the end are ignored, one CR LF stands at the end; an empty body is CR LF.
 * relaxed: runs of white space become one space, none stands at the end of a line, empty lines at
 * the end are ignored; an empty body is nothing.
 *
 * Rules of the work:
 * - The hash of the tail (struct bodyhash_tail) is the same for both; before the relaxed one stands
 * a filter for white space. So the simple hash reads the caller's bytes in place.
 * - Most mails have nothing that the filter would change. Until the first piece that has, one hash
 * is computed for both forms; then it forks. A piece that ends in white space forks too: what
 * follows is not known.
 * - CR and LF alone are content like any other byte.
 */
#include "node/mail/bodyhash.h"

#include "proto/ground/check.h"

#define BLOCK_SIZE 64

/* ---- the tail */

static void tail_hash(struct bodyhash_tail *t, const void *p, size_t n)
{
    CHECK(EVP_DigestUpdate(t->md, p, n) == 1);
    t->any = true;
}

/* Hashes what was held back. */
static void tail_flush(struct bodyhash_tail *t)
{
    static const char crlf[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
    const uint64_t lines = (sizeof crlf - 1) / 2;

    while (t->crlf_count > 0) {
        uint64_t n = t->crlf_count < lines ? t->crlf_count : lines;
        tail_hash(t, crlf, (size_t)n * 2);
        t->crlf_count -= n;
    }
    if (t->cr) tail_hash(t, "\r", 1);
    t->cr = false;
}

static void tail_feed(struct bodyhash_tail *t, const uint8_t *p, size_t n)
{
    size_t end = n;
    uint64_t crlf_count = 0;
    bool cr;

    if (n == 0) return;
    if (t->cr && p[0] == '\n') {
        t->cr = false;
        t->crlf_count++;
        p++;
        end = --n;
    }
    cr = end > 0 && p[end - 1] == '\r';
    if (cr) end--;
    for (; end >= 2 && p[end - 1] == '\n' && p[end - 2] == '\r'; end -= 2)
        crlf_count++;
    if (n > 0 && (end > 0 || t->cr)) { /* something stands behind what was held */
        tail_flush(t);
        if (end > 0) tail_hash(t, p, end);
    }
    t->crlf_count += crlf_count;
    t->cr = t->cr || cr;
}

static void tail_start(struct bodyhash_tail *t, const EVP_MD *sha256)
{
    CHECK(EVP_DigestInit_ex(t->md, sha256, NULL) == 1);
    t->crlf_count = 0;
    t->cr = t->any = false;
}

static void tail_fork(struct bodyhash_tail *to, const struct bodyhash_tail *from)
{
    CHECK(EVP_MD_CTX_copy_ex(to->md, from->md) == 1);
    to->crlf_count = from->crlf_count;
    to->cr = from->cr;
    to->any = from->any;
}

/* `empty_is_line`: a body without content is one CR LF, not nothing. */
static void tail_finish(struct bodyhash_tail *t, bool empty_is_line, uint8_t out[32])
{
    if (t->cr) tail_flush(t);
    if (t->any || empty_is_line) tail_hash(t, "\r\n", 2);
    CHECK(EVP_DigestFinal_ex(t->md, out, NULL) == 1);
}

/* ---- the filter for white space */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* One block and the byte behind it: a tab, or a space that is not between two other bytes. The
 * compiler makes wide instructions of this loop. */
static bool is_odd_block(const uint8_t *p)
{
    uint8_t odd = 0;

    for (int i = 0; i < BLOCK_SIZE; i++) {
        uint8_t is_space = p[i] == ' ', is_tab = p[i] == '\t';
        uint8_t next_blank = (p[i + 1] == ' ') | (p[i + 1] == '\t'), next_cr = p[i + 1] == '\r';
        odd |= (uint8_t)(is_tab | (is_space & (next_blank | next_cr)));
    }
    return odd != 0;
}

/* Would the filter change the piece, or need to know what follows it? */
static bool is_odd(struct span s)
{
    size_t i = 0;

    if (s.n == 0) return false;
    if (is_blank(s.p[s.n - 1])) return true;
    for (; i + BLOCK_SIZE < s.n; i += BLOCK_SIZE)
        if (is_odd_block(s.p + i)) return true;
    for (; i + 1 < s.n; i++) {
        bool ends = is_blank(s.p[i + 1]) || s.p[i + 1] == '\r';
        if (s.p[i] == '\t' || (s.p[i] == ' ' && ends)) return true;
    }
    return false;
}

static void canon_flush(struct bodyhash *h)
{
    tail_feed(&h->relaxed, h->canon, h->canon_size);
    h->canon_size = 0;
}

static void canon_add(struct bodyhash *h, const void *p, size_t n)
{
    if (n > sizeof h->canon - h->canon_size) canon_flush(h);
    if (n > sizeof h->canon / 2) {
        canon_flush(h);
        tail_feed(&h->relaxed, p, n);
        return;
    }
    memcpy(h->canon + h->canon_size, p, n);
    h->canon_size += n;
}

/* White space was seen; c is what comes then. True: c is dealt with. */
static bool end_blank(struct bodyhash *h, uint8_t c)
{
    if (h->blank_cr) {
        h->blank = h->blank_cr = false;
        canon_add(h, c == '\n' ? "\r\n" : " \r", 2);
        return c == '\n';
    }
    if (is_blank(c)) return true;
    if (c == '\r') {
        h->blank_cr = true;
        return true;
    }
    h->blank = false;
    canon_add(h, " ", 1);
    return false;
}

static void filter(struct bodyhash *h, struct span s)
{
    const uint8_t *p = s.p, *end = s.p + s.n;

    while (p < end) {
        const uint8_t *run;
        if (h->blank && end_blank(h, *p)) {
            p++;
            continue;
        }
        run = p;
        while (end - p > BLOCK_SIZE && !is_odd_block(p))
            p += BLOCK_SIZE;
        for (; p < end; p++) { /* single spaces between words stay in the run */
            if (!is_blank(*p)) continue;
            if (*p == '\t' || p + 1 == end || is_blank(p[1]) || p[1] == '\r') break;
        }
        if (p > run) canon_add(h, run, (size_t)(p - run));
        if (p < end) {
            h->blank = true;
            p++;
        }
    }
}

/* ---- both */

void bodyhash_init(struct bodyhash *h)
{
    h->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    CHECK(h->sha256 != NULL);
    h->simple.md = EVP_MD_CTX_new();
    CHECK(h->simple.md != NULL);
    h->relaxed.md = EVP_MD_CTX_new();
    CHECK(h->relaxed.md != NULL);
    bodyhash_start(h);
}

void bodyhash_deinit(struct bodyhash *h)
{
    EVP_MD_CTX_free(h->relaxed.md);
    EVP_MD_CTX_free(h->simple.md);
    EVP_MD_free(h->sha256);
    h->relaxed.md = h->simple.md = NULL;
    h->sha256 = NULL;
}

void bodyhash_start(struct bodyhash *h)
{
    tail_start(&h->simple, h->sha256);
    h->forked = h->blank = h->blank_cr = false;
    h->canon_size = 0;
}

void bodyhash_feed(struct bodyhash *h, struct span piece)
{
    if (piece.n == 0) return;
    if (!h->forked && is_odd(piece)) {
        tail_fork(&h->relaxed, &h->simple);
        h->forked = true;
    }
    if (h->forked) filter(h, piece);
    tail_feed(&h->simple, piece.p, piece.n);
}

void bodyhash_finish(struct bodyhash *h, uint8_t simple[32], uint8_t relaxed[32])
{
    if (!h->forked) {
        tail_fork(&h->relaxed, &h->simple);
    } else if (h->blank_cr) {
        canon_add(h, " \r", 2);
    } /* white space at the very end is dropped */
    canon_flush(h);
    tail_finish(&h->simple, true, simple);
    tail_finish(&h->relaxed, false, relaxed);
}
