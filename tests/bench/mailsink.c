/* mailsink - an SMTP server that takes everything, verifies it and writes down what came.
 *
 * One thread, one epoll. A line per mail goes into --log before the mail is answered 250:
 *   id  ok|bad|foreign  mono-ms  recipient-count  recipients,..  queue-id  taken|dropped
 * id is X-Test-Id ("-": none), queue-id the one in the topmost Received header. "dropped": the
 * connection was closed instead of the reply (--drop-permille), so the sender cannot know.
 */
#include "tests/bench/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define MAIL_MAX   (80u << 20)
#define KEEP_BYTES (1u << 20)

struct conn {
    struct wire wire;
    struct bytes mail, rcpts;
    unsigned rcpt_count;
    bool in_mail, in_text, line_start, after_cr, closing;
    size_t chunk_left; /* of BDAT */
    bool chunk_last, in_chunk;
    uint64_t reply_us; /* the answer to the mail waits until then; 0: none waits */
    struct conn *next; /* in the list of those that wait, or that are to be freed */
    bool dead;
};

struct sink {
    int listener, epoll, log_fd;
    uint64_t delay_us, refuse_permille, drop_permille, seed;
    bool pipelining, chunking, quiet;
    uint64_t taken, bad, foreign, refused, dropped, connections;
    struct conn *wait_first, *wait_last, *dead;
};

static struct sink sink = { .log_fd = -1, .seed = 1, .pipelining = true };
static volatile sig_atomic_t told_to_stop;

/* ---- connections */

static void conn_close(struct conn *c)
{
    if (c->dead) return;
    wire_close(&c->wire);
    c->dead = true;
    if (c->reply_us) return; /* freed when it leaves the list of those that wait */
    c->next = sink.dead;
    sink.dead = c;
}

static void free_dead(void)
{
    while (sink.dead) {
        struct conn *c = sink.dead;

        sink.dead = c->next;
        bytes_free(&c->wire.in);
        bytes_free(&c->wire.out);
        bytes_free(&c->mail);
        bytes_free(&c->rcpts);
        free(c);
    }
}

static void say(struct conn *c, const char *text)
{
    bytes_add(&c->wire.out, text, strlen(text));
}

static void forget_mail(struct conn *c)
{
    c->in_mail = c->in_text = c->in_chunk = false;
    c->rcpt_count = 0;
    c->rcpts.n = 0;
    c->mail.n = 0;
    if (c->mail.cap > KEEP_BYTES) bytes_free(&c->mail);
}

/* ---- a whole mail */

static bool by_chance(uint64_t permille)
{
    return permille > 0 && letter_mix(&sink.seed) % 1000 < permille;
}

static void write_down(struct conn *c, bool dropped)
{
    static const char *const words[] = { "ok", "bad", "foreign" };
    static struct bytes line;
    char id[LETTER_ID_SIZE], queue[LETTER_ID_SIZE];
    enum letter_state state = letter_read(c->mail.p, c->mail.n, id, queue);

    sink.taken++;
    sink.bad += state == LETTER_BAD;
    sink.foreign += state == LETTER_FOREIGN;
    if (sink.log_fd < 0) return;
    line.n = 0;
    bytes_addf(&line, "%s %s %llu %u ", id, words[state],
               (unsigned long long)(wire_now_us() / 1000), c->rcpt_count);
    bytes_add(&line, c->rcpts.p, c->rcpts.n > 0 ? c->rcpts.n - 1 : 0);
    bytes_addf(&line, " %s %s\n", queue, dropped ? "dropped" : "taken");
    if (write(sink.log_fd, line.p, line.n) != (ssize_t)line.n) {
        perror("mailsink: --log");
        exit(1);
    }
}

static void wait_in_line(struct conn *c)
{
    c->reply_us = wire_now_us() + sink.delay_us;
    c->next = NULL;
    if (sink.wait_last)
        sink.wait_last->next = c;
    else
        sink.wait_first = c;
    sink.wait_last = c;
}

static void mail_end(struct conn *c)
{
    if (by_chance(sink.refuse_permille)) {
        sink.refused++;
        say(c, "451 4.3.0 not now\r\n");
    } else if (by_chance(sink.drop_permille)) {
        sink.dropped++;
        write_down(c, true);
        c->closing = true;
    } else {
        write_down(c, false);
        if (sink.delay_us > 0)
            wait_in_line(c);
        else
            say(c, "250 2.0.0 taken\r\n");
    }
    forget_mail(c);
}

/* ---- DATA */

/* Takes text at *p; false when more bytes are needed to go on. */
static bool take_line_start(struct conn *c, const char **p, const char *end)
{
    size_t left = (size_t)(end - *p);

    if (**p != '.') {
        c->line_start = false;
        return true;
    }
    if (left < 2 || ((*p)[1] == '\r' && left < 3)) return false;
    if ((*p)[1] == '\r' && (*p)[2] == '\n') {
        *p += 3;
        c->in_text = false;
        return true;
    }
    (*p)++;
    c->line_start = false;
    return true;
}

static void take_line_rest(struct conn *c, const char **p, const char *end)
{
    const char *newline = memchr(*p, '\n', (size_t)(end - *p));
    const char *next = newline ? newline + 1 : end;

    if (newline) c->line_start = newline > *p ? newline[-1] == '\r' : c->after_cr;
    bytes_add(&c->mail, *p, (size_t)(next - *p));
    c->after_cr = next[-1] == '\r';
    *p = next;
}

static void take_text(struct conn *c)
{
    const char *p = c->wire.in.p + c->wire.in_at, *end = c->wire.in.p + c->wire.in.n;

    while (p < end && c->in_text) {
        if (c->line_start && !take_line_start(c, &p, end)) break;
        if (c->in_text && p < end) take_line_rest(c, &p, end);
    }
    c->wire.in_at = (size_t)(p - c->wire.in.p);
    if (c->mail.n > MAIL_MAX) conn_close(c);
    if (!c->in_text) mail_end(c);
}

/* ---- BDAT */

static void take_chunk(struct conn *c)
{
    size_t left = c->wire.in.n - c->wire.in_at;
    size_t n = left < c->chunk_left ? left : c->chunk_left;

    bytes_add(&c->mail, c->wire.in.p + c->wire.in_at, n);
    c->wire.in_at += n;
    c->chunk_left -= n;
    if (c->chunk_left > 0) return;
    c->in_chunk = false;
    if (c->chunk_last)
        mail_end(c);
    else
        say(c, "250 2.0.0 go on\r\n");
}

static void begin_chunk(struct conn *c, const char *args)
{
    char *end;

    c->chunk_left = (size_t)strtoull(args, &end, 10);
    c->chunk_last = strcasestr(end, "LAST") != NULL;
    c->in_chunk = true;
    if (c->chunk_left > MAIL_MAX || c->mail.n > MAIL_MAX) conn_close(c);
}

/* ---- commands */

static void say_offer(struct conn *c)
{
    say(c, "250-sink.invalid\r\n");
    if (sink.pipelining) say(c, "250-PIPELINING\r\n");
    if (sink.chunking) say(c, "250-CHUNKING\r\n");
    say(c, "250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 83886080\r\n");
}

static void take_rcpt(struct conn *c, const char *line)
{
    const char *from = strchr(line, '<'), *to = from ? strchr(from, '>') : NULL;

    if (!c->in_mail || !to) {
        say(c, "503 5.5.1 no\r\n");
        return;
    }
    bytes_add(&c->rcpts, from + 1, (size_t)(to - from - 1));
    bytes_add(&c->rcpts, ",", 1);
    c->rcpt_count++;
    say(c, "250 2.1.5 ok\r\n");
}

static void begin_text(struct conn *c)
{
    if (c->rcpt_count == 0) {
        say(c, "503 5.5.1 no recipients\r\n");
        return;
    }
    c->in_text = c->line_start = true;
    c->after_cr = false;
    say(c, "354 go on\r\n");
}

static bool is_verb(const char *line, const char *verb)
{
    return strncasecmp(line, verb, 4) == 0;
}

static void take_command(struct conn *c, const char *line)
{
    if (is_verb(line, "RCPT")) {
        take_rcpt(c, line);
    } else if (is_verb(line, "DATA")) {
        begin_text(c);
    } else if (is_verb(line, "BDAT") && sink.chunking) {
        begin_chunk(c, line + 4);
    } else if (is_verb(line, "EHLO")) {
        forget_mail(c);
        say_offer(c);
    } else if (is_verb(line, "QUIT")) {
        say(c, "221 2.0.0 bye\r\n");
        c->closing = true;
    } else if (is_verb(line, "MAIL") || is_verb(line, "RSET") || is_verb(line, "HELO") ||
               is_verb(line, "NOOP")) {
        if (!is_verb(line, "NOOP")) forget_mail(c);
        c->in_mail = is_verb(line, "MAIL");
        say(c, "250 2.0.0 ok\r\n");
    } else {
        say(c, "502 5.5.1 unknown\r\n");
    }
}

static void take_all(struct conn *c)
{
    size_t n;

    while (!c->dead && !c->closing && !c->reply_us) {
        size_t before = c->wire.in_at;

        if (c->in_text) {
            take_text(c);
            if (c->wire.in_at == before) return;
        } else if (c->in_chunk) {
            take_chunk(c);
            if (c->in_chunk) return;
        } else {
            char *line = wire_line(&c->wire, &n);

            if (!line) return;
            take_command(c, line);
        }
    }
}

/* ---- events */

static void pump(struct conn *c)
{
    enum wire_turn turn = WIRE_MOVED;

    take_all(c);
    while (turn == WIRE_MOVED && !c->dead && !c->closing) {
        turn = wire_fill(&c->wire);
        take_all(c);
        if (c->wire.in.n - c->wire.in_at > KEEP_BYTES) break; /* only while the answer waits */
    }
    if (c->dead) return;
    if (wire_flush(&c->wire) == WIRE_BROKEN || turn == WIRE_BROKEN || c->closing) conn_close(c);
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(sink.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = c };

        if (!c) abort();
        sink.connections++;
        wire_adopt(&c->wire, fd);
        epoll_ctl(sink.epoll, EPOLL_CTL_ADD, fd, &e);
        say(c, "220 sink.invalid ESMTP\r\n");
        pump(c);
    }
}

/* Answers whose time has come; returns milliseconds to the next. */
static int answer_waiting(void)
{
    uint64_t now_us = wire_now_us();

    while (sink.wait_first && sink.wait_first->reply_us <= now_us) {
        struct conn *c = sink.wait_first;

        sink.wait_first = c->next;
        if (!sink.wait_first) sink.wait_last = NULL;
        c->reply_us = 0;
        if (c->dead) {
            c->next = sink.dead;
            sink.dead = c;
        } else {
            say(c, "250 2.0.0 taken\r\n");
            pump(c);
        }
    }
    return sink.wait_first ? (int)((sink.wait_first->reply_us - now_us + 999) / 1000) : 500;
}

static void on_signal(int signum)
{
    (void)signum;
    told_to_stop = 1;
}

static void run(void)
{
    struct epoll_event events[EVENTS_MAX];

    while (!told_to_stop) {
        int n = epoll_wait(sink.epoll, events, EVENTS_MAX, answer_waiting());

        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr)
                accept_all();
            else if (!((struct conn *)events[i].data.ptr)->dead)
                pump(events[i].data.ptr);
        }
        free_dead();
    }
}

/* ---- options */

static const char usage[] =
    "usage: mailsink --listen HOST:PORT [--log FILE] [--delay MS] [--refuse-permille N] "
    "[--drop-permille N]\n"
    "                [--pipelining on|off] [--chunking on|off] [--seed N] [--quiet]\n";

static _Noreturn void wrong(const char *what)
{
    fprintf(stderr, "mailsink: %s\n%s", what, usage);
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);

    if (end == text || *end) wrong("a number is expected");
    return v;
}

static int log_file(const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0) wrong("--log: the file cannot be written");
    return fd;
}

static const struct option options[] = {
    { "listen", 1, NULL, 'l' },        { "log", 1, NULL, 'o' },
    { "delay", 1, NULL, 'd' },         { "refuse-permille", 1, NULL, 'r' },
    { "drop-permille", 1, NULL, 'x' }, { "pipelining", 1, NULL, 'p' },
    { "chunking", 1, NULL, 'c' },      { "seed", 1, NULL, 's' },
    { "quiet", 0, NULL, 'q' },         { NULL, 0, NULL, 0 },
};

static const char *read_options(int argc, char **argv)
{
    const char *listen_at = NULL;
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (id) {
        case 'l':
            listen_at = optarg;
            break;
        case 'o':
            sink.log_fd = log_file(optarg);
            break;
        case 'd':
            sink.delay_us = number(optarg) * 1000;
            break;
        case 'r':
            sink.refuse_permille = number(optarg);
            break;
        case 'x':
            sink.drop_permille = number(optarg);
            break;
        case 'p':
            sink.pipelining = strcmp(optarg, "on") == 0;
            break;
        case 'c':
            sink.chunking = strcmp(optarg, "on") == 0;
            break;
        case 's':
            sink.seed = number(optarg);
            break;
        case 'q':
            sink.quiet = true;
            break;
        default:
            wrong("unknown option");
        }
    }
    if (!listen_at || optind != argc) wrong("--listen HOST:PORT is needed");
    return listen_at;
}

int main(int argc, char **argv)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };

    sink.listener = wire_listen(read_options(argc, argv));
    sink.epoll = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    epoll_ctl(sink.epoll, EPOLL_CTL_ADD, sink.listener, &e);
    run();
    if (!sink.quiet)
        printf("mailsink: %llu mails over %llu connections; %llu bad, %llu foreign, %llu dropped, "
               "%llu refused\n",
               (unsigned long long)sink.taken, (unsigned long long)sink.connections,
               (unsigned long long)sink.bad, (unsigned long long)sink.foreign,
               (unsigned long long)sink.dropped, (unsigned long long)sink.refused);
    return 0;
}
