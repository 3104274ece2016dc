/* see - the words about the other side: settings before it listens, what commit shall answer, what
 * it got, what was logged. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/ground/log.h"
#include "tests/conformance/story.h"

#define COUNT_WAIT_MS 3000

uint64_t stream_writes_total(void); /* node/net tells it to tests only */

/* ---- before */

/* limit NAME VALUE */
static bool word_limit(struct story *st, char *rest)
{
    struct accept_limits *l = &st->world->limits;
    const char *name = story_cut(&rest);
    uint64_t value;

    if (!story_number(st, rest, &value)) return false;
#define LIMIT(field)                                                                               \
    if (strcmp(name, #field) == 0) return l->field = value, true
    LIMIT(message_size_max);
    LIMIT(recipients_max);
    LIMIT(line_size_max);
    LIMIT(header_size_max);
    LIMIT(hops_max);
    LIMIT(bodies_size_max);
    LIMIT(sessions_max);
    LIMIT(transactions_max);
    LIMIT(errors_max);
    LIMIT(greeting_ms);
    LIMIT(idle_ms);
    LIMIT(data_idle_ms);
    LIMIT(life_ms);
    LIMIT(header_fields_max);
    LIMIT(unknown_max);
    LIMIT(data_rate_min);
    LIMIT(data_window_ms);
    LIMIT(sessions_memory_max);
    LIMIT(clients_max);
    LIMIT(address_sessions_max);
    LIMIT(address_rate_max);
    LIMIT(credential_sessions_max);
    LIMIT(auth_failures_max);
    LIMIT(auth_forget_ms);
    LIMIT(auth_delay_ms);
    LIMIT(auth_delay_max_ms);
#undef LIMIT
    if (strcmp(name, "inflight_max") != 0) return story_wrong(st, "no such limit: %s", name);
    st->world->inflight_max = (unsigned)value;
    return true;
}

/* without tls */
static bool word_without(struct story *st, char *rest)
{
    if (strcmp(rest, "tls") != 0) return story_wrong(st, "without what?");
    st->world->has_tls = false;
    return true;
}

/* repairs newlines */
static bool word_repairs(struct story *st, char *rest)
{
    if (strcmp(rest, "newlines") != 0) return story_wrong(st, "repairs what?");
    st->world->bare = ACCEPT_BARE_NORMALISE;
    return true;
}

/* mechanism plain|login: no other is offered */
static bool word_mechanism(struct story *st, char *rest)
{
    bool is_plain = strcmp(rest, "plain") == 0;

    if (!is_plain && strcmp(rest, "login") != 0) return story_wrong(st, "no such mechanism");
    st->world->mechanisms = is_plain ? ACCEPT_AUTH_PLAIN : ACCEPT_AUTH_LOGIN;
    return true;
}

/* carries binary */
static bool word_carries(struct story *st, char *rest)
{
    if (strcmp(rest, "binary") != 0) return story_wrong(st, "carries what?");
    st->world->carries_binary = true;
    return true;
}

/* rule NAME PART FIELD ACTION TENANT TEXT MATCH: a content rule; "-": not set; MATCH is the rest of the line. */
static bool word_rule(struct story *st, char *rest)
{
    struct world *w = st->world;
    char *words[6], *line = w->rule_lines[w->rule_count];
    struct mail_content_rule *r = &w->rules[w->rule_count];

    snprintf(line, sizeof w->rule_lines[0], "%s", rest);
    for (unsigned i = 0; i < 6; i++) {
        words[i] = story_cut(&line);
        if (strcmp(words[i], "-") == 0) words[i] = NULL;
    }
    if (!words[0] || !words[1] || !words[3] || !*line) return story_wrong(st, "what rule?");
    *r = (struct mail_content_rule){ .name = words[0],
                                     .part = words[1][0] == 'h'   ? MAIL_CONTENT_HEADER
                                             : words[1][0] == 'b' ? MAIL_CONTENT_BODY
                                                                  : MAIL_CONTENT_FILE,
                                     .field = words[2],
                                     .match = line,
                                     .tags = strcmp(words[3], "tag") == 0,
                                     .text = words[5],
                                     .tenant = words[4] };
    w->rule_count++;
    return true;
}

/* gtube: the test text is refused. */
static bool word_gtube(struct story *st, char *rest)
{
    (void)rest;
    st->world->has_gtube = true;
    return true;
}

/* serves hostname */
static bool word_serves(struct story *st, char *rest)
{
    if (strcmp(rest, "hostname") != 0) return story_wrong(st, "serves what?");
    st->world->serves_hostname = true;
    return true;
}

/* ---- what commit does */

static bool set_error(struct story *st, const char *name, int *to)
{
    return story_error(name, to) ? true : story_wrong(st, "no such error: %s", name);
}

static bool word_commit(struct story *st, char *rest)
{
    struct commit_double *d = double_of(st->world->commit);
    char *what = strchr(rest, ' ');

    if (strcmp(rest, "goes-on") == 0) return double_go_on(st->world->commit), true;
    if (!what) return story_wrong(st, "commit does what?");
    *what++ = '\0';
    if (strcmp(rest, "answers") == 0) return set_error(st, what, &d->answer);
    if (strcmp(rest, "refuses") == 0) return set_error(st, what, &d->refuse);
    if (strcmp(rest, "takes") == 0) return set_error(st, what, &d->take);
    if (strcmp(rest, "opens") == 0) return set_error(st, what, &d->upload_open);
    if (strcmp(rest, "chunks") == 0) return set_error(st, what, &d->upload_chunk);
    if (strcmp(rest, "holds") != 0) return story_wrong(st, "commit does not know %s", rest);
    d->is_silent = strcmp(what, "mails") == 0;
    d->holds_chunks = strcmp(what, "chunks") == 0;
    return true;
}

/* ---- what it got */

static unsigned *counter(struct commit_double *d, const char *name)
{
    if (strcmp(name, "mails") == 0) return &d->mails;
    if (strcmp(name, "forgotten") == 0) return &d->forgotten;
    if (strcmp(name, "uploads") == 0) return &d->uploads;
    if (strcmp(name, "aborted") == 0) return &d->aborted;
    if (strcmp(name, "chunks") == 0) return &d->chunks;
    if (strcmp(name, "in-flight-most") == 0) return &d->in_flight_most;
    return NULL;
}

/* count NAME N: becomes so soon. */
static bool word_count(struct story *st, char *rest)
{
    uint64_t until = clock_mono_ms(&clock_real) + COUNT_WAIT_MS;
    const char *name = story_cut(&rest);
    uint64_t wanted;
    unsigned *is;

    if (!story_number(st, rest, &wanted)) return false;
    is = counter(double_of(st->world->commit), name);
    if (!is) return story_wrong(st, "no such count: %s", name);
    while (*is != wanted && clock_mono_ms(&clock_real) < until)
        world_turn(st->world, 1);
    return *is == wanted ? true : story_wrong(st, "%s are %u, not %s", name, *is, rest);
}

static const Angarium__Accept *last_mail(struct story *st)
{
    const Angarium__Accept *a = double_of(st->world->commit)->accept;

    if (!a) story_wrong(st, "commit got no mail");
    return a;
}

static bool same_bytes(struct story *st, struct span is, struct span wanted)
{
    size_t at = 0;

    if (span_eq(is, wanted)) return true;
    while (at < is.n && at < wanted.n && is.p[at] == wanted.p[at])
        at++;
    return story_wrong(st, "the mail has %zu bytes, not %zu, and differs at %zu: \"%.40s\"", is.n,
                       wanted.n, at, at < is.n ? (const char *)is.p + at : "");
}

/* mail-is "bytes" */
static bool word_mail_is(struct story *st, char *rest)
{
    struct story_bytes wanted = { .cut_count = 0 };
    bool is_so;

    if (!last_mail(st)) return false;
    buf_init(&wanted.bytes, 1u << 20);
    is_so = story_unquote(st, rest, &wanted) &&
            same_bytes(st, buf_span(&double_of(st->world->commit)->body), buf_span(&wanted.bytes));
    buf_deinit(&wanted.bytes);
    return is_so;
}

/* mail-fill N */
static bool word_mail_fill(struct story *st, char *rest)
{
    struct buf wanted;
    uint64_t n;
    bool is_so;

    if (!last_mail(st) || !story_number(st, rest, &n)) return false;
    buf_init(&wanted, 128u << 20);
    story_fill(n, &wanted);
    is_so = same_bytes(st, buf_span(&double_of(st->world->commit)->body), buf_span(&wanted));
    buf_deinit(&wanted);
    return is_so;
}

static bool same_text(struct story *st, const char *what, ProtobufCBinaryData is,
                      const char *wanted)
{
    char text[1024];

    snprintf(text, sizeof text, "%.*s", (int)is.len, (const char *)is.data);
    if (story_matches(wanted, text)) return true;
    return story_wrong(st, "%s is \"%s\", not \"%s\"", what, text, wanted);
}

/* mail-from ADDRESS */
static bool word_mail_from(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);

    return a && same_text(st, "the sender", a->mail_from, rest);
}

/* mail-to NUMBER ADDRESS DOMAIN */
static bool word_mail_to(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);
    const char *address, *domain;
    uint64_t number;

    if (!a || !story_number(st, story_cut(&rest), &number)) return false;
    address = story_cut(&rest);
    domain = story_cut(&rest);
    if (number >= a->n_recipients)
        return story_wrong(st, "there are %zu recipients", a->n_recipients);
    return same_text(st, "the recipient", a->recipients[number]->address, address) &&
           same_text(st, "its domain", a->recipients[number]->domain, domain);
}

static bool same_number(struct story *st, const char *what, uint64_t is, const char *wanted)
{
    uint64_t number;

    if (!story_number(st, wanted, &number)) return false;
    if (is == number) return true;
    return story_wrong(st, "%s is %llu, not %s", what, (unsigned long long)is, wanted);
}

/* recipients N */
static bool word_recipients(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);

    return a && same_number(st, "the number of recipients", a->n_recipients, rest);
}

/* asked envid|ret|smtputf8|body-type VALUE: what MAIL asked for, as proto/queue.proto keeps it. */
static bool word_asked(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);
    char *value = rest + strcspn(rest, " ");

    if (!a) return false;
    if (*value) *value++ = '\0';
    if (strcmp(rest, "envid") == 0) return same_text(st, rest, a->envid, value);
    if (strcmp(rest, "ret") == 0) return same_number(st, rest, a->ret, value);
    if (strcmp(rest, "smtputf8") == 0) return same_number(st, rest, a->smtputf8, value);
    if (strcmp(rest, "body-type") == 0) return same_number(st, rest, a->body_type, value);
    return story_wrong(st, "MAIL cannot ask for %s", rest);
}

/* asked-of NUMBER NOTIFY [ORCPT]: what RCPT asked for. */
static bool word_asked_of(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);
    uint64_t number;
    const char *notify;

    if (!a || !story_number(st, story_cut(&rest), &number)) return false;
    if (number >= a->n_recipients)
        return story_wrong(st, "there are %zu recipients", a->n_recipients);
    notify = story_cut(&rest);
    return same_number(st, "notify", a->recipients[number]->notify, notify) &&
           same_text(st, "orcpt", a->recipients[number]->orcpt, rest);
}

/* tags N [TEXT]: so many, and the last one is so. */
static bool word_tags(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);
    const char *count = story_cut(&rest);

    if (!a || !same_number(st, "the number of tags", a->n_tags, count)) return false;
    return a->n_tags == 0 || same_text(st, "the tag", a->tags[a->n_tags - 1], rest);
}

/* origin FIELD VALUE */
static bool word_origin(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);
    char *value = rest + strcspn(rest, " ");

    if (!a) return false;
    if (*value) *value++ = '\0';
#define FIELD(field)                                                                               \
    if (strcmp(rest, #field) == 0) return same_text(st, #field, a->origin->field, value)
    FIELD(session);
    FIELD(client_address);
    FIELD(helo);
    FIELD(protocol);
    FIELD(tls);
    FIELD(tenant);
    FIELD(credential);
    FIELD(listener);
    FIELD(hostname);
#undef FIELD
    if (strcmp(rest, "node") == 0) return same_number(st, "node", a->origin->node, value);
    if (strcmp(rest, "submitted") == 0)
        return same_number(st, "submitted", a->origin->submitted, value);
    return story_wrong(st, "no such field of the origin: %s", rest);
}

/* fact FIELD NUMBER */
static bool word_fact(struct story *st, char *rest)
{
    const Angarium__Accept *a = last_mail(st);
    char *value = rest + strcspn(rest, " ");

    if (!a) return false;
    if (*value) *value++ = '\0';
#define FIELD(field)                                                                               \
    if (strcmp(rest, #field) == 0) return same_number(st, #field, a->body->field, value)
    FIELD(size);
    FIELD(header_size);
    FIELD(eight_bit);
    FIELD(eight_bit_header);
    FIELD(n_fields);
    FIELD(has_date);
    FIELD(has_from);
    FIELD(has_message_id);
    FIELD(has_private);
    FIELD(received_count);
    FIELD(line_length_max);
#undef FIELD
    if (strcmp(rest, "days") == 0)
        return same_number(st, "days", (a->expires_at_ms - a->time_ms) / 86400000, value);
    return story_wrong(st, "no such fact: %s", rest);
}

/* ---- the server itself */

static bool word_drain(struct story *st, char *rest)
{
    (void)rest;
    accept_drain(st->world->accept);
    return true;
}

static bool word_idle(struct story *st, char *rest)
{
    uint64_t until = clock_mono_ms(&clock_real) + COUNT_WAIT_MS;

    (void)rest;
    while (!accept_is_idle(st->world->accept) && clock_mono_ms(&clock_real) < until)
        world_turn(st->world, 1);
    return accept_is_idle(st->world->accept) ? true : story_wrong(st, "sessions are left");
}

static bool word_wait(struct story *st, char *rest)
{
    uint64_t ms;

    if (!story_number(st, rest, &ms)) return false;
    world_turn(st->world, (unsigned)ms);
    return true;
}

static bool word_mark(struct story *st, char *rest)
{
    (void)rest;
    world_turn(st->world, 5);
    st->writes_before = stream_writes_total();
    return true;
}

/* writes N: of the server, since the mark. */
static bool word_writes(struct story *st, char *rest)
{
    return same_number(st, "the number of writes", stream_writes_total() - st->writes_before, rest);
}

/* ---- the log */

static bool log_contains(struct story *st, const char *text)
{
    char line[STORY_LINE_MAX];
    bool does = false;

    log_close();
    rewind(st->log);
    while (!does && fgets(line, sizeof line, st->log))
        does = strstr(line, text) != NULL;
    fseek(st->log, 0, SEEK_END);
    log_open(fileno(st->log), LOG_INFO, LOG_LOGFMT, "7");
    return does;
}

static bool word_log_has(struct story *st, char *rest)
{
    return log_contains(st, rest) ? true : story_wrong(st, "the log lacks \"%s\"", rest);
}

static bool word_log_lacks(struct story *st, char *rest)
{
    return log_contains(st, rest) ? story_wrong(st, "the log has \"%s\"", rest) : true;
}

/* counted METRIC N: since the story began. */
static bool word_counted(struct story *st, char *rest)
{
#define METRIC_NAME_(id, type, name, labels, help) #id,
    static const char *const names[] = { METRIC_TABLE(METRIC_NAME_) };
#undef METRIC_NAME_
    const char *name = story_cut(&rest);

    for (unsigned m = 0; m < METRIC_COUNT; m++)
        if (strcmp(names[m], name) == 0)
            return same_number(st, name, metric_get((enum metric)m) - st->metrics[m], rest);
    return story_wrong(st, "no such metric: %s", name);
}

story_word *check_word(const char *name)
{
    static const struct {
        const char *name;
        story_word *word;
    } words[] = {
        { "limit", word_limit },
        { "without", word_without },
        { "rule", word_rule },
        { "gtube", word_gtube },
        { "tags", word_tags },
        { "serves", word_serves },
        { "commit", word_commit },
        { "count", word_count },
        { "mail-is", word_mail_is },
        { "mail-fill", word_mail_fill },
        { "mail-from", word_mail_from },
        { "mail-to", word_mail_to },
        { "recipients", word_recipients },
        { "origin", word_origin },
        { "fact", word_fact },
        { "drain", word_drain },
        { "idle", word_idle },
        { "wait", word_wait },
        { "mark", word_mark },
        { "writes", word_writes },
        { "log-has", word_log_has },
        { "log-lacks", word_log_lacks },
        { "carries", word_carries },
        { "repairs", word_repairs },
        { "asked", word_asked },
        { "asked-of", word_asked_of },
        { "counted", word_counted },
        { "mechanism", word_mechanism },
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].name, name) == 0) return words[i].word;
    return NULL;
}
