/* commit_double - the functions of node/commit/commit.h that accept calls, kept to its promises:
 * on_done and on_room never come inside a call; a window of COMMIT_UPLOAD_WINDOW chunks; what is
 * forgotten is silent.
 */
#include "tests/conformance/commit_double.h"

#include <stdlib.h>

#include "proto/ground/check.h"

#define BODY_SIZE_MAX (128u << 20)

struct commit {
    struct commit_double face;
    struct loop *loop;
    struct list requests, in_flight; /* waiting for their letters, or held back */
    uint64_t counter;
};
struct commit_mail_request {
    struct loop_letter letter;
    struct list link;
    struct commit *commit;
    struct commit_mail *mail; /* NULL: forgotten */
    bool is_posted;
};
struct commit_upload {
    struct commit *commit;
    struct buf body;
    unsigned flying;
    bool is_room_wanted, is_over;
    void (*on_room)(void *arg);
    void *arg;
};
struct chunk {
    struct loop_letter letter;
    struct list link;
    struct commit_upload *upload;
    bool is_posted;
};

struct commit *double_new(struct loop *l)
{
    struct commit *c = check_calloc(1, sizeof *c);

    c->loop = l;
    list_init(&c->requests);
    list_init(&c->in_flight);
    buf_init(&c->face.body, BODY_SIZE_MAX);
    return c;
}

struct commit_double *double_of(struct commit *c)
{
    return &c->face;
}

/* ---- mails */

static void on_mail_letter(struct loop_letter *letter)
{
    struct commit_mail_request *r = CONTAINER_OF(letter, struct commit_mail_request, letter);
    struct commit *c = r->commit;
    struct commit_mail *m = r->mail;

    list_remove(&r->link);
    free(r);
    if (!m) return;
    m->request = NULL;
    m->on_done(m, c->face.answer, c->face.answer == 0 ? proto_id(1, ++c->counter) : 0);
}

static void post_mail(struct commit_mail_request *r)
{
    if (r->is_posted || (r->commit->face.is_silent && r->mail)) return;
    r->is_posted = true;
    r->letter.on_arrive = on_mail_letter;
    loop_post(r->commit->loop, &r->letter);
}

static void upload_free(struct commit_upload *u)
{
    buf_deinit(&u->body);
    free(u);
}

static void keep_mail(struct commit *c, const struct commit_mail *m)
{
    size_t size = angarium__accept__get_packed_size(m->accept);
    uint8_t *packed = check_malloc(size + 1);

    angarium__accept__pack(m->accept, packed);
    if (c->face.accept) angarium__accept__free_unpacked(c->face.accept, NULL);
    c->face.accept = angarium__accept__unpack(NULL, size, packed);
    CHECK(c->face.accept);
    free(packed);
    buf_reset(&c->face.body);
    buf_add_span(&c->face.body, m->upload ? buf_span(&m->upload->body) : blob_span(m->body));
    c->face.mails++;
}

int commit_mail(struct commit *c, struct loop *l, struct commit_mail *m)
{
    struct commit_mail_request *r;

    CHECK(l == c->loop);
    CHECK((m->body != NULL) != (m->upload != NULL));
    if (c->face.refuse) return c->face.refuse;
    keep_mail(c, m);
    blob_unref(&m->body);
    if (m->upload) {
        m->upload->is_over = true;
        if (m->upload->flying == 0) upload_free(m->upload);
        m->upload = NULL;
    }
    r = check_calloc(1, sizeof *r);
    r->commit = c;
    r->mail = m;
    m->request = r;
    list_add(&c->requests, &r->link);
    post_mail(r);
    return 0;
}

void commit_mail_forget(struct commit_mail *m)
{
    struct commit_mail_request *r = m->request;

    if (!r) return;
    r->mail = NULL;
    m->request = NULL;
    r->commit->face.forgotten++;
    post_mail(r);
}

int commit_may_take(struct commit *c, uint64_t size)
{
    (void)size;
    return c->face.take;
}

/* ---- uploads */

int commit_upload_open(struct commit *c, struct loop *l, struct commit_upload **out)
{
    struct commit_upload *u;

    CHECK(l == c->loop);
    if (c->face.upload_open) return c->face.upload_open;
    u = check_calloc(1, sizeof *u);
    u->commit = c;
    buf_init(&u->body, BODY_SIZE_MAX);
    c->face.uploads++;
    *out = u;
    return 0;
}

static void on_chunk_letter(struct loop_letter *letter)
{
    struct chunk *k = CONTAINER_OF(letter, struct chunk, letter);
    struct commit_upload *u = k->upload;

    list_remove(&k->link);
    free(k);
    u->flying--;
    if (u->is_over) {
        if (u->flying == 0) upload_free(u);
    } else if (u->is_room_wanted) {
        u->is_room_wanted = false;
        u->on_room(u->arg);
    }
}

static void post_chunk(struct chunk *k)
{
    if (k->is_posted || (k->upload->commit->face.holds_chunks && !k->upload->is_over)) return;
    k->is_posted = true;
    k->letter.on_arrive = on_chunk_letter;
    loop_post(k->upload->commit->loop, &k->letter);
}

int commit_upload_chunk(struct commit_upload *u, struct blob **chunk)
{
    struct commit_double *face = &u->commit->face;
    struct chunk *k;

    CHECK((*chunk)->n > 0 && (*chunk)->n <= COMMIT_INLINE_SIZE_MAX);
    if (face->upload_chunk) return face->upload_chunk;
    if (u->flying == COMMIT_UPLOAD_WINDOW) {
        u->is_room_wanted = true;
        return ERR_FULL;
    }
    buf_add_span(&u->body, blob_span(*chunk));
    blob_unref(chunk);
    face->chunks++;
    if (++u->flying > face->in_flight_most) face->in_flight_most = u->flying;
    k = check_calloc(1, sizeof *k);
    k->upload = u;
    list_add(&u->commit->in_flight, &k->link);
    post_chunk(k);
    return 0;
}

void commit_upload_on_room(struct commit_upload *u, void (*on_room)(void *arg), void *arg)
{
    u->on_room = on_room;
    u->arg = arg;
}

static void post_all(struct commit *c)
{
    LIST_FOR(it, &c->requests)
        post_mail(CONTAINER_OF(it, struct commit_mail_request, link));
    LIST_FOR(it, &c->in_flight)
        post_chunk(CONTAINER_OF(it, struct chunk, link));
}

void commit_upload_abort(struct commit_upload **upload)
{
    struct commit_upload *u = *upload;

    *upload = NULL;
    if (!u) return;
    u->commit->face.aborted++;
    u->is_over = true;
    post_all(u->commit);
    if (u->flying == 0) upload_free(u);
}

void double_go_on(struct commit *c)
{
    c->face.is_silent = c->face.holds_chunks = false;
    post_all(c);
}

void double_free(struct commit **commit)
{
    struct commit *c = *commit;

    *commit = NULL;
    if (!c) return;
    CHECK(list_empty(&c->requests));
    CHECK(list_empty(&c->in_flight));
    if (c->face.accept) angarium__accept__free_unpacked(c->face.accept, NULL);
    buf_deinit(&c->face.body);
    free(c);
}
