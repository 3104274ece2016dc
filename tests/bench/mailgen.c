/* mailgen - an SMTP load generator that remembers what it was promised.
 *
 * Sends mails that can be recognised and verified (letter.h) over many sessions, notes every id
 * that was answered 250 at once (--acked) and every id of which nobody can know (--unsure), and
 * tells rate and latency. An ordinary client: it does what the server's EHLO allows, and sets no
 * socket options.
 */
#include "tests/bench/gen.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define GRACE_US    10000000u
#define LATE_US     100000u
#define EVENTS_MAX  256
#define DOMAINS_MAX 65536

static volatile sig_atomic_t told_to_stop;

static const char usage[] =
    "usage: mailgen --to HOST:PORT [options]\n"
    "  --tls none|starttls|implicit  --ca FILE  --resume  --user NAME  --password TEXT\n"
    "  --sessions N (1)  --mails N | --seconds S  --per-session M (0: all)  --rate R (0: closed "
    "loop)\n"
    "  --size BYTES | LEAST-MOST (2048)  --recipients R (1)  --from ADDRESS  --rcpt-domain D[,D..] "
    "| @FILE\n"
    "  --bdat  --no-pipelining  --quickack  --nodelay  --id-prefix P  --seed N\n"
    "  --acked FILE (id, queue id, mono ms, recipients)  --unsure FILE  --json FILE\n"
    "  --failed FILE (id, reply or 0: connection gone, mono ms, 1: all was sent)\n"
    "  --drop-late (with --rate: what was due while nobody took it is not made up for)\n"
    "  --keep-trying (never give a broken server up)  --give-up S (60; without progress)\n";

/* ---- options */

static _Noreturn void wrong(const char *what)
{
    fprintf(stderr, "mailgen: %s\n%s", what, usage);
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);

    if (end == text || *end) wrong("a number is expected");
    return v;
}

static void take_size(struct gen_plan *p, const char *text)
{
    char *end;

    p->size_least = p->size_most = (size_t)strtoull(text, &end, 10);
    if (*end == '-') p->size_most = (size_t)strtoull(end + 1, &end, 10);
    if (*end || p->size_least == 0 || p->size_most < p->size_least)
        wrong("--size BYTES or LEAST-MOST");
}

static void add_domain(struct gen_plan *p, const char *from, size_t n)
{
    if (n == 0 || p->domain_count == DOMAINS_MAX) return;
    p->domains = realloc(p->domains, (p->domain_count + 1) * sizeof *p->domains);
    if (!p->domains) abort();
    p->domains[p->domain_count++] = strndup(from, n);
}

static void split_domains(struct gen_plan *p, const char *text, const char *separators)
{
    while (*text) {
        size_t n = strcspn(text, separators);

        add_domain(p, text, n);
        text += n + (text[n] != '\0');
    }
}

static void take_domains(struct gen_plan *p, const char *text)
{
    FILE *f;
    char line[512];

    if (*text != '@') {
        split_domains(p, text, ",");
        return;
    }
    f = fopen(text + 1, "r");
    if (!f) wrong("the file of domains cannot be read");
    while (fgets(line, sizeof line, f))
        split_domains(p, line, " \r\n");
    fclose(f);
}

static enum gen_tls tls_of(const char *text)
{
    static const char *const names[] = { "none", "starttls", "implicit" };

    for (unsigned i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) return (enum gen_tls)i;
    wrong("--tls none, starttls or implicit");
}

static int note_file(const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0) wrong("a file cannot be written");
    return fd;
}

enum option_id {
    O_TO = 1,
    O_TLS,
    O_CA,
    O_RESUME,
    O_USER,
    O_PASSWORD,
    O_SESSIONS,
    O_MAILS,
    O_SECONDS,
    O_PER_SESSION,
    O_SIZE,
    O_RECIPIENTS,
    O_FROM,
    O_DOMAIN,
    O_BDAT,
    O_NO_PIPELINING,
    O_PREFIX,
    O_ACKED,
    O_UNSURE,
    O_FAILED,
    O_RATE,
    O_DROP_LATE,
    O_QUICKACK,
    O_NODELAY,
    O_KEEP_TRYING,
    O_GIVE_UP,
    O_JSON,
    O_SEED,
    O_HELP,
};

static const struct option options[] = {
    { "to", 1, NULL, O_TO },
    { "tls", 1, NULL, O_TLS },
    { "ca", 1, NULL, O_CA },
    { "resume", 0, NULL, O_RESUME },
    { "user", 1, NULL, O_USER },
    { "password", 1, NULL, O_PASSWORD },
    { "sessions", 1, NULL, O_SESSIONS },
    { "mails", 1, NULL, O_MAILS },
    { "seconds", 1, NULL, O_SECONDS },
    { "per-session", 1, NULL, O_PER_SESSION },
    { "size", 1, NULL, O_SIZE },
    { "recipients", 1, NULL, O_RECIPIENTS },
    { "from", 1, NULL, O_FROM },
    { "rcpt-domain", 1, NULL, O_DOMAIN },
    { "bdat", 0, NULL, O_BDAT },
    { "no-pipelining", 0, NULL, O_NO_PIPELINING },
    { "id-prefix", 1, NULL, O_PREFIX },
    { "acked", 1, NULL, O_ACKED },
    { "unsure", 1, NULL, O_UNSURE },
    { "failed", 1, NULL, O_FAILED },
    { "rate", 1, NULL, O_RATE },
    { "drop-late", 0, NULL, O_DROP_LATE },
    { "quickack", 0, NULL, O_QUICKACK },
    { "nodelay", 0, NULL, O_NODELAY },
    { "keep-trying", 0, NULL, O_KEEP_TRYING },
    { "give-up", 1, NULL, O_GIVE_UP },
    { "json", 1, NULL, O_JSON },
    { "seed", 1, NULL, O_SEED },
    { "help", 0, NULL, O_HELP },
    { NULL, 0, NULL, 0 },
};

struct files {
    const char *ca, *json, *to;
};

static void take_flag(struct gen_plan *p, int id)
{
    switch (id) {
    case O_RESUME:
        p->resume = true;
        break;
    case O_BDAT:
        p->bdat = true;
        break;
    case O_NO_PIPELINING:
        p->pipelining = false;
        break;
    case O_QUICKACK:
        p->quickack = true;
        break;
    case O_NODELAY:
        p->nodelay = true;
        break;
    case O_KEEP_TRYING:
        p->keep_trying = true;
        break;
    case O_DROP_LATE:
        p->drop_late = true;
        break;
    case O_HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        wrong("unknown option");
    }
}

static void take_option(struct gen *g, struct files *f, int id, const char *v)
{
    struct gen_plan *p = &g->plan;

    switch (id) {
    case O_TO:
        f->to = v;
        break;
    case O_TLS:
        p->tls = tls_of(v);
        break;
    case O_CA:
        f->ca = v;
        break;
    case O_USER:
        p->user = v;
        break;
    case O_PASSWORD:
        p->password = v;
        break;
    case O_SESSIONS:
        p->sessions = (unsigned)number(v);
        break;
    case O_MAILS:
        p->mails = number(v);
        break;
    case O_SECONDS:
        p->seconds = number(v);
        break;
    case O_PER_SESSION:
        p->per_session = (unsigned)number(v);
        break;
    case O_SIZE:
        take_size(p, v);
        break;
    case O_RECIPIENTS:
        p->recipients = (unsigned)number(v);
        break;
    case O_FROM:
        p->from = v;
        break;
    case O_DOMAIN:
        take_domains(p, v);
        break;
    case O_PREFIX:
        p->id_prefix = v;
        break;
    case O_ACKED:
        g->tally.acked_fd = note_file(v);
        break;
    case O_UNSURE:
        g->tally.unsure_fd = note_file(v);
        break;
    case O_FAILED:
        g->tally.failed_fd = note_file(v);
        break;
    case O_RATE:
        p->rate = (double)number(v);
        break;
    case O_GIVE_UP:
        p->give_up_s = number(v);
        break;
    case O_JSON:
        f->json = v;
        break;
    case O_SEED:
        p->seed = number(v);
        break;
    default:
        take_flag(p, id);
    }
}

static void read_options(struct gen *g, struct files *f, int argc, char **argv)
{
    struct gen_plan *p = &g->plan;
    int id;

    *p = (struct gen_plan){ .from = "load@example.test",
                            .id_prefix = "m",
                            .sessions = 1,
                            .recipients = 1,
                            .size_least = 2048,
                            .size_most = 2048,
                            .give_up_s = 60,
                            .pipelining = true,
                            .seed = 1 };
    g->tally.acked_fd = g->tally.unsure_fd = g->tally.failed_fd = -1;
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(g, f, id, optarg);
    if (!f->to || optind != argc) wrong("--to HOST:PORT is needed");
    if (p->sessions == 0 || p->recipients == 0) wrong("--sessions and --recipients are at least 1");
    if (strlen(p->id_prefix) > 32) wrong("--id-prefix has at most 32 characters");
    if (p->mails == 0 && p->seconds == 0) p->mails = 1;
    if (p->domain_count == 0) take_domains(p, "example.test");
    wire_address(f->to, &p->to);
    if (p->tls != GEN_TLS_NONE) p->ctx = wire_context(f->ca, p->resume);
    g->seed = p->seed;
}

/* ---- the plan */

static bool all_begun(const struct gen *g)
{
    return g->plan.mails > 0 && g->tally.acked + g->tally.refused + g->in_flight >= g->plan.mails;
}

bool gen_may_begin(struct gen *g, uint64_t now_us, uint64_t *due_us)
{
    *due_us = now_us;
    if (all_begun(g)) {
        *due_us = UINT64_MAX;
        return false;
    }
    if (g->plan.rate > 0) {
        *due_us =
            g->begun_us + g->late_us + (uint64_t)((double)g->mail_next * 1e6 / g->plan.rate);
        if (g->plan.drop_late && *due_us + LATE_US < now_us) {
            g->late_us += now_us - *due_us;
            *due_us = now_us;
        }
        return *due_us <= now_us;
    }
    return true;
}

static bool is_done(const struct gen *g)
{
    return g->plan.mails > 0 && g->tally.acked + g->tally.refused >= g->plan.mails;
}

static void stop_when_over(struct gen *g, uint64_t now_us)
{
    bool late = g->plan.seconds > 0 && now_us >= g->begun_us + g->plan.seconds * 1000000;
    bool stuck =
        !g->plan.keep_trying && now_us > g->tally.progress_us + g->plan.give_up_s * 1000000;

    if (told_to_stop || late || stuck || is_done(g)) g->stopping = true;
}

/* ---- run */

static void on_signal(int signum)
{
    (void)signum;
    told_to_stop = 1;
}

/* All sessions' turns, first of the one behind that which began a mail last: at a rate, mails are shared by all of them. Returns when
 * the next is due, or 0 when all are gone. */
static uint64_t turn_all(struct gen *g, uint64_t now_us)
{
    uint64_t next = now_us + 100000;
    unsigned gone = 0, first = g->turn_next;

    for (unsigned k = 0; k < g->plan.sessions; k++) {
        unsigned i = (first + k) % g->plan.sessions;
        uint64_t begun = g->mail_next, at = gen_session_turn(&g->sessions[i], now_us);

        if (g->mail_next != begun) g->turn_next = i + 1;
        if (at < next) next = at;
        gone += g->sessions[i].phase == GEN_GONE;
    }
    return gone == g->plan.sessions ? 0 : next;
}

static void wait_events(struct gen *g, uint64_t until_us)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_us = wire_now_us();
    int wait_ms = until_us > now_us ? (int)((until_us - now_us + 999) / 1000) : 0;
    int n = epoll_wait(g->epoll, events, EVENTS_MAX, wait_ms);

    for (int i = 0; i < n; i++)
        gen_session_event(events[i].data.ptr, events[i].events);
}

static void run(struct gen *g)
{
    uint64_t stop_us = 0, next;

    g->begun_us = g->tally.progress_us = wire_now_us();
    while ((next = turn_all(g, wire_now_us())) != 0) {
        wait_events(g, next);
        stop_when_over(g, wire_now_us());
        if (g->stopping && stop_us == 0) stop_us = wire_now_us();
        if (g->stopping && wire_now_us() > stop_us + GRACE_US) break;
    }
    for (unsigned i = 0; i < g->plan.sessions; i++)
        if (g->sessions[i].phase == GEN_MAIL) gen_mail_lost(&g->sessions[i]);
}

int main(int argc, char **argv)
{
    static struct gen g;
    struct files files = { 0 };

    read_options(&g, &files, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    g.epoll = epoll_create1(EPOLL_CLOEXEC);
    g.sessions = calloc(g.plan.sessions, sizeof *g.sessions);
    if (!g.sessions) abort();
    for (unsigned i = 0; i < g.plan.sessions; i++)
        g.sessions[i] = (struct gen_session){ .gen = &g, .wire = { .fd = -1 } };
    run(&g);
    gen_print(&g, files.json);
    return g.plan.mails > 0 && !is_done(&g) ? 1 : 0;
}
