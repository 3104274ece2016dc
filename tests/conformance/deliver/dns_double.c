/* dns_double - dns.h over a table. Answers come by a letter, so never inside dns_ask. */
#include "tests/conformance/deliver/dns_double.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"

struct row {
    struct list link;
    enum dns_type type;
    enum dns_status status;
    const char *why;
    char name[256];
    struct dns_answer answers[DNS_ANSWERS_MAX];
    unsigned count;
};
struct pending {
    struct loop_letter letter;
    struct list link;
    struct dns_query *query; /* NULL: cancelled */
    const struct row *row;
};
struct dns {
    struct loop *loop;
    struct list rows, pending;
};

struct dns *double_dns_open(struct loop *l)
{
    struct dns *d = check_calloc(1, sizeof *d);

    d->loop = l;
    list_init(&d->rows);
    list_init(&d->pending);
    return d;
}

void double_dns_close(struct dns **pd)
{
    struct dns *d = *pd;
    struct list *it;

    *pd = NULL;
    while (!list_empty(&d->pending))
        loop_turn(d->loop, 10);
    while ((it = list_take_first(&d->rows)) != NULL)
        free(CONTAINER_OF(it, struct row, link));
    free(d);
}

static struct row *find(struct dns *d, enum dns_type type, const char *name)
{
    LIST_FOR(it, &d->rows) {
        struct row *r = CONTAINER_OF(it, struct row, link);

        if (r->type == type && strcmp(r->name, name) == 0) return r;
    }
    return NULL;
}

static struct row *want(struct dns *d, enum dns_type type, const char *name)
{
    struct row *r = find(d, type, name);

    if (r) return r;
    r = check_calloc(1, sizeof *r);
    r->type = type;
    snprintf(r->name, sizeof r->name, "%s", name);
    list_add(&d->rows, &r->link);
    return r;
}

void double_dns_add(struct dns *d, enum dns_type type, const char *name, const char *answer,
                    uint16_t preference)
{
    struct row *r = want(d, type, name);
    struct dns_answer *a = &r->answers[r->count++];

    CHECK(r->count <= DNS_ANSWERS_MAX);
    r->status = DNS_OK;
    snprintf(a->text, sizeof a->text, "%s", answer);
    a->preference = preference;
}

void double_dns_status(struct dns *d, enum dns_type type, const char *name, enum dns_status status,
                       const char *why)
{
    struct row *r = want(d, type, name);

    r->status = status;
    r->why = why;
}

static void on_arrive(struct loop_letter *letter)
{
    struct pending *p = CONTAINER_OF(letter, struct pending, letter);
    struct dns_query *q = p->query;
    const struct row *r = p->row;

    list_remove(&p->link);
    free(p);
    if (!q) return;
    q->status = r ? r->status : DNS_NO_NAME;
    q->count = r ? r->count : 0;
    q->why[0] = '\0';
    if (q->status == DNS_FAILED) snprintf(q->why, sizeof q->why, "%s", r->why);
    for (unsigned i = 0; i < q->count; i++)
        q->answers[i] = r->answers[i];
    q->on_done(q);
}

int dns_ask(struct dns *d, struct dns_query *q, enum dns_type type, const char *name)
{
    struct pending *p = check_calloc(1, sizeof *p);

    p->query = q;
    p->row = find(d, type, name);
    p->letter.on_arrive = on_arrive;
    q->dns = d;
    list_add(&d->pending, &p->link);
    loop_post(d->loop, &p->letter);
    return 0;
}

void dns_cancel(struct dns_query *q)
{
    LIST_FOR(it, &q->dns->pending) {
        struct pending *p = CONTAINER_OF(it, struct pending, link);

        if (p->query == q) p->query = NULL;
    }
}
