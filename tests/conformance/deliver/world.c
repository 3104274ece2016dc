/* world - mails taken in, what a story does while it runs, and what it wants to be true. */
#include "tests/conformance/deliver/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/mail/mail.h"
#include "proto/ground/check.h"
#include "tests/conformance/deliver/chaos.h"

void world_wrong(struct world *w, int line, const char *fmt, ...)
{
    va_list args;
    int n;

    if (w->wrong[0]) return; /* the first is what matters */
    n = snprintf(w->wrong, sizeof w->wrong, "line %d: ", line);
    va_start(args, fmt);
    vsnprintf(w->wrong + n, sizeof w->wrong - (size_t)n, fmt, args);
    va_end(args);
}

struct world_mail *world_mail(struct world *w, const char *name)
{
    for (unsigned i = 0; i < w->mail_count; i++)
        if (strcmp(w->mails[i].name, name) == 0) return &w->mails[i];
    fprintf(stderr, "no mail %s\n", name);
    UNREACHED();
}

/* ---- mails */

static uint64_t number_of(const struct words *words, const char *key, uint64_t otherwise)
{
    const char *value = words_value(words, key);

    return value ? strtoull(value, NULL, 10) : otherwise;
}

static void make_body(struct world_mail *m, const struct words *words)
{
    const char *text = words_value(words, "body");
    uint64_t lines = number_of(words, "lines", 0);

    buf_init(&m->body, 16u << 20);
    text_unescape(text ? text : "Subject: test\\r\\n\\r\\nHello.\\r\\n", &m->body);
    for (uint64_t i = 0; i < lines; i++)
        buf_addf(&m->body, "%sline %08" PRIu64 " of a long, long letter that goes on and on\r\n",
                 i % 7 == 0 ? "." : "", i);
}

static unsigned split_body(const struct world_mail *m, size_t size, struct span *out, unsigned max)
{
    struct span rest = buf_span(&m->body);
    unsigned n = 0;

    do {
        CHECK(n < max);
        out[n++] = span_sub(rest, 0, rest.n < size ? rest.n : size);
        rest = span_from(rest, out[n - 1].n);
    } while (rest.n > 0);
    return n;
}

static unsigned split_recipients(char *to, Angarium__Recipient *list, Angarium__Recipient **out)
{
    unsigned n = 0;

    for (char *p = strtok_r(to, ",", &to); p; p = strtok_r(NULL, ",", &to)) {
        const char *at = strrchr(p, '@');

        angarium__recipient__init(&list[n]);
        list[n].address = proto_bytes(span_cstr(p));
        list[n].domain = proto_bytes(span_cstr(at ? at + 1 : ""));
        out[n] = &list[n];
        n++;
    }
    return n;
}

static void fill_facts(Angarium__BodyFacts *facts, struct span body)
{
    static uint8_t hash[32];

    facts->size = body.n;
    facts->header_size = (uint32_t)body.n;
    for (size_t i = 0; i < body.n; i++)
        if (body.p[i] > 127) facts->eight_bit = true;
    facts->hash_simple = facts->hash_relaxed = proto_bytes(span_of(hash, sizeof hash));
}

/* What accept learns of a submitted mail. */
static void fill_header_facts(Angarium__BodyFacts *facts, struct span body)
{
    static Angarium__HeaderField first, *fields[] = { &first };
    struct mail_reader *reader = mail_reader_new();
    const struct mail_facts *f;

    mail_reader_start(reader, false);
    mail_reader_feed(reader, body);
    f = mail_reader_finish(reader);
    facts->header_size = f->header_size;
    facts->has_date = f->has_date;
    facts->has_message_id = f->has_message_id;
    facts->has_from = f->has_from;
    facts->has_private = f->has_private;
    angarium__header_field__init(&first);
    first.length = f->fields[0].length;
    first.name_length = f->fields[0].name_length;
    facts->n_fields = f->field_count > 0;
    facts->fields = fields;
    mail_reader_free(&reader);
}

static void fill_origin(Angarium__Origin *o)
{
    o->session = proto_bytes(SPAN_LIT("session"));
    o->client_address = proto_bytes(SPAN_LIT("192.0.2.7"));
    o->helo = proto_bytes(SPAN_LIT("client.test"));
    o->protocol = proto_bytes(SPAN_LIT("ESMTPSA"));
    o->tenant = proto_bytes(SPAN_LIT("demo"));
    o->hostname = proto_bytes(SPAN_LIT("relay.test"));
    o->node = 1;
}

static uint64_t expiry_of(const struct words *words, uint64_t now_ms)
{
    const char *value = words_value(words, "expires");

    if (!value) return now_ms + 86400000;
    return strcmp(value, "past") == 0 ? now_ms - 1 : now_ms + strtoull(value, NULL, 10);
}

static uint32_t notify_of(const char *text)
{
    uint32_t notify = 0;

    if (!text) return 0;
    if (strstr(text, "NEVER")) notify |= PROTO_NOTIFY_NEVER;
    if (strstr(text, "SUCCESS")) notify |= PROTO_NOTIFY_SUCCESS;
    if (strstr(text, "FAILURE")) notify |= PROTO_NOTIFY_FAILURE;
    if (strstr(text, "DELAY")) notify |= PROTO_NOTIFY_DELAY;
    return notify;
}

/* What the client asked for: of all recipients alike. */
static void fill_request(Angarium__Accept *a, const struct words *words)
{
    const char *ret = words_value(words, "ret"), *envid = words_value(words, "envid");
    const char *orcpt = words_value(words, "orcpt");

    if (ret) a->ret = strcmp(ret, "FULL") == 0 ? PROTO_RET_FULL : PROTO_RET_HDRS;
    a->envid = proto_bytes(span_cstr(envid ? envid : ""));
    a->smtputf8 = words_have(words, "smtputf8");
    a->body_type = words_have(words, "binarymime") ? PROTO_BODY_BINARYMIME : 0;
    for (size_t i = 0; i < a->n_recipients; i++) {
        a->recipients[i]->notify = notify_of(words_value(words, "notify"));
        a->recipients[i]->orcpt = proto_bytes(span_cstr(orcpt ? orcpt : ""));
    }
}

void world_take_in(struct world *w, struct world_mail *m)
{
    static Angarium__Recipient list[1000], *pointers[1000];
    static struct span chunks[64];
    Angarium__Accept accept = ANGARIUM__ACCEPT__INIT;
    Angarium__BodyFacts facts = ANGARIUM__BODY_FACTS__INIT;
    Angarium__Origin origin = ANGARIUM__ORIGIN__INIT;
    struct double_body body = { .chunks = chunks };
    ProtobufCBinaryData tag;
    struct words words;
    const char *in, *from;
    char to[8192];

    words_split(&words, m->line);
    make_body(m, &words);
    in = words_value(&words, "in");
    from = words_value(&words, "from");
    snprintf(to, sizeof to, "%s", words_value(&words, "to"));
    body.in_memory = !in || strcmp(in, "memory") == 0;
    body.is_lost = in && strcmp(in, "nowhere") == 0;
    body.chunk_count = split_body(m, number_of(&words, "chunk", SIZE_MAX), chunks, 64);
    accept.time_ms = loop_wall_ms(w->loop);
    accept.mail_from = proto_bytes(span_cstr(from ? from : ""));
    accept.n_recipients = split_recipients(to, list, pointers);
    accept.recipients = pointers;
    fill_facts(&facts, buf_span(&m->body));
    facts.eight_bit_header = words_have(&words, "eight-bit-header");
    origin.submitted = words_value(&words, "submitted") != NULL;
    if (origin.submitted) fill_header_facts(&facts, buf_span(&m->body));
    accept.body = &facts;
    fill_origin(&origin);
    accept.origin = &origin;
    accept.expires_at_ms = expiry_of(&words, accept.time_ms);
    fill_request(&accept, &words);
    tag = proto_bytes(span_cstr(words_value(&words, "tag")));
    accept.tags = &tag;
    accept.n_tags = tag.len > 0;
    m->index = double_mail(w->commit, &accept, &body);
}

/* ---- logins */

void world_login_file(const struct world *w, unsigned n, char *out, size_t size)
{
    snprintf(out, size, "%s.login-%u", w->inbox_dir, n);
}

/* As a short text, or so many letters: "*3000". */
void world_login_write(const struct world *w, unsigned n, const char *secret)
{
    size_t size = secret[0] == '*' ? strtoul(secret + 1, NULL, 10) : strlen(secret);
    char path[128], bytes[4096];
    struct errmsg why = { "" };
    struct secret *s;

    CHECK(size <= sizeof bytes);
    if (secret[0] == '*')
        memset(bytes, 'x', size);
    else
        memcpy(bytes, secret, size);
    world_login_file(w, n, path, sizeof path);
    s = secret_new(span_of(bytes, size));
    CHECK(secret_file_write(path, s, &why) == 0);
    secret_unref(&s);
}

/* ---- doing */

static int error_named(const char *name)
{
    for (int rv = -1; rv > -40; rv--)
        if (strcmp(err_name(rv), name) == 0) return rv;
    return 0;
}

/* The first rule leads to another host, in clear; no rule has a TLS context any more. */
static void reload(struct world *w, const char *host)
{
    struct deliver_options o = w->options;

    snprintf(w->rules[0].host, sizeof w->rules[0].host, "%s", host);
    w->rules[0].tls = ROUTER_TLS_NONE;
    w->rules[0].tls_context = 0;
    o.routes = deliver_routes_new(NULL, 0, NULL, 0);
    deliver_set_options(w->deliver, &o);
    deliver_routes_unref(&o.routes);
}

void world_do(struct world *w, int line, const char *what)
{
    struct words v;

    words_split(&v, what);
    if (strcmp(v.of[0], "hold") == 0)
        double_hold_claims(w->commit, true);
    else if (strcmp(v.of[0], "release") == 0)
        double_hold_claims(w->commit, false);
    else if (strcmp(v.of[0], "fail") == 0)
        double_fail_claims(w->commit, error_named(v.of[1]));
    else if (strcmp(v.of[0], "cancel") == 0)
        double_cancel(w->commit, world_mail(w, v.of[1])->index,
                      (uint32_t)strtoul(v.of[2], NULL, 10));
    else if (strcmp(v.of[0], "lose") == 0)
        double_lead(w->commit, false);
    else if (strcmp(v.of[0], "lead") == 0)
        double_lead(w->commit, true);
    else if (strcmp(v.of[0], "mail") == 0)
        world_take_in(w, world_mail(w, v.of[1]));
    else if (strcmp(v.of[0], "login") == 0)
        world_login_write(w, (unsigned)strtoul(v.of[1], NULL, 10), v.of[2]);
    else if (strcmp(v.of[0], "drain") == 0)
        deliver_drain(w->deliver);
    else if (strcmp(v.of[0], "reload") == 0)
        reload(w, v.of[1]);
    else
        world_wrong(w, line, "nobody can do: %s", what);
}

/* ---- wanting */

/* One fact, told by the caller as key and value. */
struct facts {
    const struct words *wanted;
    char *why;
    size_t why_size;
    bool ok;
};

static void fact_text(struct facts *f, const char *key, const char *is)
{
    const char *glob = words_value(f->wanted, key);

    if (!glob || text_matches(glob, is)) return;
    f->ok = false;
    snprintf(f->why, f->why_size, "%s is \"%s\" instead of \"%s\"", key, is, glob);
}

static void fact_number(struct facts *f, const char *key, uint64_t is)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, is);
    fact_text(f, key, text);
}

static void fact_bytes(struct facts *f, const char *key, ProtobufCBinaryData is)
{
    char text[2048];

    snprintf(text, sizeof text, "%.*s", (int)is.len, is.len ? (const char *)is.data : "");
    fact_text(f, key, text);
}

static void fact_reply(struct facts *f, const Angarium__Reply *r)
{
    static const Angarium__Reply none = ANGARIUM__REPLY__INIT;

    if (!r) r = &none;
    fact_number(f, "code", r->code);
    fact_bytes(f, "enhanced", r->enhanced);
    fact_bytes(f, "text", r->text);
}

static const char *owed_name(uint32_t owed)
{
    return owed == 0                   ? ""
           : owed & PROTO_OWED_FAILED  ? "failed"
           : owed & PROTO_OWED_DELAYED ? "delayed"
           : owed & PROTO_OWED_RELAYED ? "relayed"
                                       : "delivered";
}

static bool has_recipient(struct world *w, struct facts *f, uint64_t index, uint32_t number)
{
    Angarium__RecipientRecord *r = NULL;

    if (queue_recipient_get(commit_store(w->commit), DOUBLE_SHARD, index, number, &r) != 0) {
        snprintf(f->why, f->why_size, "there is no such recipient");
        return false;
    }
    fact_reply(f, r->last_reply);
    fact_bytes(f, "class", r->class_);
    fact_bytes(f, "host", r->last_host);
    fact_number(f, "attempts", r->attempts);
    fact_number(f, "doubts", r->doubts);
    fact_text(f, "owes", owed_name(r->bounce_owed));
    fact_text(f, "state", proto_state_name(r->state));
    queue_recipient_free(&r);
    return f->ok;
}

static struct span event_of(struct world *w, const struct words *v, uint64_t index, uint32_t number)
{
    Angarium__EventType type;

    CHECK(proto_event_parse(span_cstr(v->of[2]), &type) == 0);
    return double_event(w->commit, index, number, type);
}

static bool has_event(struct world *w, struct facts *f, uint64_t index, uint32_t number)
{
    struct span packed = event_of(w, f->wanted, index, number);
    Angarium__Event *e;

    if (packed.n == 0) {
        snprintf(f->why, f->why_size, "there is no such event");
        return false;
    }
    e = angarium__event__unpack(NULL, packed.n, packed.p);
    CHECK(e);
    fact_bytes(f, "remote_host", e->remote_host);
    fact_bytes(f, "remote_address", e->remote_address);
    fact_bytes(f, "source_address", e->source_address);
    fact_bytes(f, "tls", e->tls);
    fact_bytes(f, "class", e->class_);
    fact_number(f, "waits", (e->next_attempt_at_ms - e->time_ms) / 1000);
    fact_reply(f, e->reply);
    angarium__event__free_unpacked(e, NULL);
    return f->ok;
}

static bool has_file(struct world *w, struct facts *f, uint64_t index, uint32_t number)
{
    char path[300], text[8192];
    FILE *in;
    size_t n;

    deliver_inbox_path(w->inbox_dir, proto_id(DOUBLE_SHARD, index), number, path, sizeof path);
    in = fopen(path, "r");
    snprintf(f->why, f->why_size, "there is no file %s", path);
    if (!in) return false;
    n = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\r' || text[i] == '\n') text[i] = '|';
    snprintf(f->why, f->why_size, "it is %s", text);
    return text_matches(f->wanted->of[2], text);
}

static bool has_number(struct facts *f, uint64_t is, bool at_most)
{
    uint64_t wanted = strtoull(f->wanted->of[0], NULL, 10);

    snprintf(f->why, f->why_size, "it is %" PRIu64, is);
    return at_most ? is <= wanted : is == wanted;
}

/* Each recipient of each mail until `each` says stop; true: it never did. */
static bool for_recipients(struct world *w,
                           bool (*each)(struct world *w, const Angarium__RecipientRecord *r,
                                        void *arg),
                           void *arg)
{
    for (unsigned i = 0; i < w->mail_count; i++) {
        Angarium__RecipientRecord *r = NULL;
        struct queue_store *store = commit_store(w->commit);

        for (uint32_t n = 0;
             queue_recipient_get(store, DOUBLE_SHARD, w->mails[i].index, n, &r) == 0; n++) {
            bool goes_on = each(w, r, arg);

            queue_recipient_free(&r);
            if (!goes_on) return false;
        }
    }
    return true;
}

static bool is_other(struct world *w, const Angarium__RecipientRecord *r, void *arg)
{
    (void)w;
    return !span_eq(proto_span(r->address), span_cstr(arg)) ||
           r->state != ANGARIUM__RECIPIENT_STATE__RECIPIENT_CLAIMED;
}

bool world_is_claimed(struct world *w, const char *address)
{
    return !for_recipients(w, is_other, (char *)(uintptr_t)address);
}

static bool has_ended(struct world *w, const Angarium__RecipientRecord *r, void *arg)
{
    struct facts *f = arg;
    char address[200];
    unsigned taken;

    snprintf(address, sizeof address, "%.*s", SPAN_ARG(proto_span(r->address)));
    taken = chaos_taken(w->chaos, address);
    snprintf(f->why, f->why_size, "%s is %s, taken %u times, %u doubts", address,
             proto_state_name(r->state), taken, r->doubts);
    if (!proto_state_is_terminal(r->state)) return false;
    if (r->state == ANGARIUM__RECIPIENT_STATE__RECIPIENT_DELIVERED)
        return taken >= 1 && taken <= 1 + r->doubts;
    return taken <= r->doubts;
}

bool world_has(struct world *w, const struct line *wanted, char *why, size_t why_size)
{
    struct words v;
    struct facts f = { .wanted = &v, .why = why, .why_size = why_size, .ok = true };
    const char *verb = wanted->verb;
    uint64_t index;
    uint32_t number;

    words_split(&v, wanted->rest);
    snprintf(why, why_size, "it is not so");
    if (strcmp(verb, "ended") == 0) return for_recipients(w, has_ended, &f);
    if (strcmp(verb, "idle") == 0) return deliver_is_idle(w->deliver);
    if (strcmp(verb, "claims-made") == 0) return has_number(&f, double_claims(w->commit), false);
    if (strcmp(verb, "reads") == 0) return has_number(&f, double_reads(w->commit), false);
    if (strcmp(verb, "blobs-max") == 0)
        return has_number(&f, double_blob_bytes_max(w->commit), true);
    index = world_mail(w, v.of[0])->index;
    number = (uint32_t)strtoul(v.of[1], NULL, 10);
    if (strcmp(verb, "expect") == 0) return has_recipient(w, &f, index, number);
    if (strcmp(verb, "event") == 0) return has_event(w, &f, index, number);
    if (strcmp(verb, "file") == 0) return has_file(w, &f, index, number);
    CHECK(strcmp(verb, "none") == 0);
    return event_of(w, &v, index, number).n == 0;
}
