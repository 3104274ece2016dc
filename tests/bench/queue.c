/* bench_queue - how fast a shard applies, and opens with a long queue.
 *
 * Use: bench_queue DIR [mails [queued]]     DIR: a new or empty folder
 *
 * Young mail: `mails` times accept, claim of a batch, outcome of a batch (as one loop turn brings
 * them). Then a queue of `queued` waiting mails is made, flushed, closed, opened, and its first due
 * items are read.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/ground/check.h"
#include "proto/ground/clock.h"
#include "queue/queue.h"

#define SHARD     1
#define BATCH     32
#define FIELDS    12
#define BODY_SIZE 16384
#define MAILS     100000
#define QUEUED    200000
#define SITES     50

struct bench {
    struct queue_store *store;
    struct queue *queue;
    uint64_t entry, now_ms;
    struct buf head;
    const char *dir;
};

static void apply(struct bench *b, const Angarium__Command *c, size_t body_size)
{
    struct queue_effects effects;

    buf_reset(&b->head);
    CHECK(proto_command_pack(c, &b->head) == 0);
    queue_apply(b->queue, ++b->entry, buf_span(&b->head), body_size, &effects);
}

static void accept(struct bench *b, unsigned number)
{
    static uint8_t hash[32];
    Angarium__HeaderField fields[FIELDS], *field_list[FIELDS];
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    Angarium__Recipient to = ANGARIUM__RECIPIENT__INIT, *list[1] = { &to };
    Angarium__Accept a = ANGARIUM__ACCEPT__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;
    char address[64], domain[32];

    snprintf(address, sizeof address, "recipient.%u@site%u.example", number, number % SITES);
    snprintf(domain, sizeof domain, "site%u.example", number % SITES);
    for (unsigned i = 0; i < FIELDS; i++) {
        angarium__header_field__init(&fields[i]);
        fields[i].offset = 60 * i;
        fields[i].length = 60;
        fields[i].name_length = 12;
        field_list[i] = &fields[i];
    }
    facts.size = BODY_SIZE;
    facts.header_size = 60 * FIELDS + 2;
    facts.hash_simple = facts.hash_relaxed = proto_bytes(span_of(hash, sizeof hash));
    facts.fields = field_list;
    facts.n_fields = FIELDS;
    origin.session = proto_bytes(SPAN_LIT("01hq3m5v8c2xa"));
    origin.client_address = proto_bytes(SPAN_LIT("192.0.2.17"));
    origin.helo = proto_bytes(SPAN_LIT("app.example"));
    origin.protocol = proto_bytes(SPAN_LIT("ESMTPSA"));
    origin.tls = proto_bytes(SPAN_LIT("TLSv1.3 TLS_AES_256_GCM_SHA384"));
    origin.tenant = proto_bytes(SPAN_LIT("tenant"));
    origin.hostname = proto_bytes(SPAN_LIT("relay.example"));
    to.address = proto_bytes(span_cstr(address));
    to.domain = proto_bytes(span_cstr(domain));
    a.time_ms = b->now_ms;
    a.expires_at_ms = b->now_ms + 400000000;
    a.mail_from = proto_bytes(SPAN_LIT("bounces@app.example"));
    a.body = &facts;
    a.origin = &origin;
    a.recipients = list;
    a.n_recipients = 1;
    c.kind_case = ANGARIUM__COMMAND__KIND_ACCEPT;
    c.accept = &a;
    apply(b, &c, BODY_SIZE);
}

static void claim(struct bench *b, uint64_t first)
{
    Angarium__RecipientRef refs[BATCH], *list[BATCH];
    Angarium__Claim k = ANGARIUM__CLAIM__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    for (unsigned i = 0; i < BATCH; i++) {
        angarium__recipient_ref__init(&refs[i]);
        refs[i].index = first + i;
        list[i] = &refs[i];
    }
    k.time_ms = b->now_ms;
    k.recipients = list;
    k.n_recipients = BATCH;
    c.kind_case = ANGARIUM__COMMAND__KIND_CLAIM;
    c.claim = &k;
    apply(b, &c, 0);
}

static void outcome(struct bench *b, uint64_t first)
{
    Angarium__RecipientOutcome all[BATCH], *list[BATCH];
    Angarium__Reply reply = ANGARIUM__REPLY__INIT;
    Angarium__Outcome o = ANGARIUM__OUTCOME__INIT;
    Angarium__Command c = ANGARIUM__COMMAND__INIT;

    reply.code = 250;
    reply.enhanced = proto_bytes(SPAN_LIT("2.0.0"));
    reply.text = proto_bytes(SPAN_LIT("OK: queued as 4XyZ9k2w8Lz1"));
    for (unsigned i = 0; i < BATCH; i++) {
        angarium__recipient_outcome__init(&all[i]);
        all[i].index = first + i;
        all[i].result = ANGARIUM__RESULT__RESULT_DELIVERED;
        all[i].reply = &reply;
        all[i].remote_host = proto_bytes(SPAN_LIT("mx1.site.example"));
        all[i].remote_address = proto_bytes(SPAN_LIT("198.51.100.25:25"));
        all[i].tls = proto_bytes(SPAN_LIT("TLSv1.3"));
        list[i] = &all[i];
    }
    o.time_ms = b->now_ms;
    o.recipients = list;
    o.n_recipients = BATCH;
    c.kind_case = ANGARIUM__COMMAND__KIND_OUTCOME;
    c.outcome = &o;
    apply(b, &c, 0);
}

static void open_all(struct bench *b)
{
    struct errmsg why = { "" };

    if (queue_store_open(&b->store, b->dir, &why) != 0 ||
        queue_open(&b->queue, b->store, SHARD, &why) != 0) {
        fprintf(stderr, "bench_queue: %s\n", why.text);
        exit(1);
    }
    b->entry = queue_applied(b->queue);
}

static void close_all(struct bench *b)
{
    queue_close(&b->queue);
    queue_store_close(&b->store);
}

static void tell(const char *what, unsigned n, uint64_t since_us)
{
    uint64_t us = clock_mono_us() - since_us;

    printf("%-44s %8u in %7.1f ms, %9.0f/s\n", what, n, (double)us / 1000,
           (double)n * 1e6 / (double)(us ? us : 1));
}

static void run_young(struct bench *b, unsigned mails)
{
    uint64_t start = clock_mono_us();

    for (unsigned i = 0; i < mails; i += BATCH) {
        uint64_t first = b->entry + 1;

        b->now_ms++;
        for (unsigned n = 0; n < BATCH; n++)
            accept(b, i + n);
        claim(b, first);
        outcome(b, first);
    }
    tell("young mails (accept, claim, outcome)", mails, start);
}

/* What a lane does for each mail of a busy destination: a look from the start of its index. */
static void run_looks(struct bench *b)
{
    struct queue_place place;
    struct queue_due due[16];
    uint64_t start = clock_mono_us();
    unsigned n = 200;

    for (unsigned i = 0; i < n; i++) {
        place = (struct queue_place){ 0 };
        queue_due_by_domain(b->store, SHARD, SPAN_LIT("site1.example"), &place, UINT64_MAX, due,
                            16);
    }
    tell("looks at a destination that had much mail", n, start);
}

static void run_queued(struct bench *b, unsigned queued)
{
    struct errmsg why = { "" };
    struct queue_due due[256];
    struct queue_place place = { 0 };
    uint64_t start = clock_mono_us();

    for (unsigned i = 0; i < queued; i++) {
        b->now_ms += i % 8 == 0;
        accept(b, i);
    }
    tell("mails queued", queued, start);
    start = clock_mono_us();
    CHECK(queue_store_flush(b->store, &why) == 0);
    tell("flushed", 1, start);
    close_all(b);
    start = clock_mono_us();
    open_all(b);
    tell("opened with all of them", 1, start);
    start = clock_mono_us();
    CHECK(queue_due_by_time(b->store, SHARD, &place, UINT64_MAX, due, 256) ==
          (queued < 256 ? queued : 256));
    tell("due items read", 256, start);
    printf("%-44s %8.1f MB\n", "size of the store", (double)queue_store_bytes(b->store) / 1e6);
}

int main(int argc, char **argv)
{
    struct bench b = { .now_ms = 1000000 };
    unsigned mails = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : MAILS;
    unsigned queued = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : QUEUED;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_queue DIR [mails [queued]]\n");
        return 64;
    }
    b.dir = argv[1];
    buf_init(&b.head, PROTO_COMMAND_SIZE_MAX);
    open_all(&b);
    run_young(&b, mails);
    run_looks(&b);
    run_queued(&b, queued);
    close_all(&b);
    buf_deinit(&b.head);
    return 0;
}
