/* cli_dev_process - the node of a dev cluster as a process: started, watched until it is ready,
 * signalled.
 *
 * A pid alone is no proof: a process counts as the node only while its command line names our
 * settings file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/ops/cli.h"
#include "proto/ground/clock.h"

#define READY_TIMEOUT_MS 60000
#define STOP_TIMEOUT_MS  15000
#define PROBE_EVERY_MS   50
#define PROBE_TIMEOUT_MS 1000
#define TAIL_SIZE        4096
#define TAIL_LINES       12

/* ---- is it there */

bool cli_dev_is_running(const struct cli_dev *d)
{
    char path[64], line[8192];
    ssize_t n;
    int fd;

    if (d->node.pid <= 0) return false;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)d->node.pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    n = read(fd, line, sizeof line - 1);
    close(fd);
    for (ssize_t i = 0; i < n; i++)
        if (line[i] == '\0') line[i] = ' ';
    line[n > 0 ? n : 0] = '\0'; /* a zombie has none */
    return strstr(line, d->node.settings_file) != NULL;
}

/* ---- signals */

static const int waited[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };

static void waited_set(sigset_t *set)
{
    sigemptyset(set);
    for (unsigned i = 0; i < sizeof waited / sizeof waited[0]; i++)
        sigaddset(set, waited[i]);
}

void cli_dev_block_signals(void)
{
    sigset_t set;

    waited_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int cli_dev_wait_signal(unsigned timeout_ms)
{
    struct timespec t = { .tv_sec = timeout_ms / 1000,
                          .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
    sigset_t set;
    int signum;

    waited_set(&set);
    signum = sigtimedwait(&set, NULL, &t);
    if (signum == SIGHUP) return SIGTERM; /* the terminal is gone */
    return signum > 0 ? signum : 0;
}

int cli_dev_signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = { { "KILL", SIGKILL }, { "TERM", SIGTERM }, { "INT", SIGINT },
                    { "HUP", SIGHUP },   { "STOP", SIGSTOP }, { "CONT", SIGCONT },
                    { "QUIT", SIGQUIT }, { "ABRT", SIGABRT }, { "SEGV", SIGSEGV },
                    { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 } };
    uint64_t number = 0;

    if (strncmp(name, "SIG", 3) == 0) name += 3;
    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (strcmp(signals[i].name, name) == 0) return signals[i].number;
    if (span_u64(span_cstr(name), 64, &number) == 0 && number > 0) return (int)number;
    return -1;
}

/* ---- starting */

/* Listeners share their port with others of the same user, so a second cluster on the same ports
 * would start and take half of the connections: it is refused here. */
static bool is_free(const char *address)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    uint64_t port = 0;
    bool ok;

    span_u64(span_cstr(strchr(address, ':') + 1), 65535, &port);
    at.sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ok = bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
    close(fd);
    return ok;
}

static int check_ports(const struct cli_dev *d, struct errmsg *why)
{
    for (unsigned i = 0; i < CLI_DEV_PORTS; i++)
        if (!is_free(d->node.ports[i]))
            return errmsg_set(why, ERR_BUSY,
                              "%s is in use by another program; choose other ports: --base-port",
                              d->node.ports[i]);
    return 0;
}

/* This program's file, so that the process bears its name; its link when the file was replaced
 * meanwhile. */
static void own_path(char out[4096])
{
    ssize_t n = readlink("/proc/self/exe", out, 4095);

    out[n > 0 ? n : 0] = '\0';
    if (n <= 0 || access(out, X_OK) != 0) snprintf(out, 4096, "/proc/self/exe");
}

static _Noreturn void become_node(const struct cli_dev *d, int log, bool detached)
{
    int nothing = open("/dev/null", O_RDONLY);
    char path[4096];
    sigset_t none;

    own_path(path);
    setsid(); /* Ctrl-C is ours to pass on */
    if (!detached) prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close_range(3, ~0U, 0);
    execl(path, "angarium", "node", "-c", d->node.settings_file, (char *)NULL);
    _exit(127);
}

int cli_dev_spawn(struct cli_dev *d, bool detached, struct errmsg *why)
{
    int log = open(d->node.log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid;
    int rv;

    if (log < 0) return errmsg_set(why, ERR_IO, "%s: %s", d->node.log_file, strerror(errno));
    rv = check_ports(d, why);
    if (rv != 0) {
        close(log);
        return rv;
    }
    fflush(stdout);
    fflush(stderr);
    pid = fork();
    if (pid == 0) become_node(d, log, detached);
    close(log);
    if (pid < 0) return errmsg_set(why, ERR_IO, "cannot start a process: %s", strerror(errno));
    d->node.pid = d->pids[d->node.id - 1] = pid;
    return 0;
}

/* ---- waiting */

static void print_tail(const char *file)
{
    char bytes[TAIL_SIZE + 1];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    ssize_t n = 0;
    unsigned lines = 0;

    if (fd < 0) return;
    n = pread(fd, bytes, TAIL_SIZE, size > TAIL_SIZE ? size - TAIL_SIZE : 0);
    close(fd);
    if (n <= 0) return;
    bytes[n] = '\0';
    while (n > 0 && lines <= TAIL_LINES)
        if (bytes[--n] == '\n') lines++;
    fprintf(stderr, "the end of %s:\n%s", file, bytes + n + (lines > TAIL_LINES));
}

static void show_progress(uint64_t waited_ms, bool is_last)
{
    if (!cli_is_terminal(stderr)) return;
    if (is_last)
        fprintf(stderr, "\r\033[K");
    else if (waited_ms % 1000 < PROBE_EVERY_MS)
        fprintf(stderr, "\rwaiting for the nodes ... %llu s", (unsigned long long)waited_ms / 1000);
}

static int tell_death(const struct cli_dev *d, int status)
{
    show_progress(0, true);
    if (WIFSIGNALED(status))
        fprintf(stderr, "angarium: node %u was ended by signal %d while it started\n", d->node.id,
                WTERMSIG(status));
    else
        fprintf(stderr, "angarium: node %u ended with %d while it started\n", d->node.id,
                WEXITSTATUS(status));
    print_tail(d->node.log_file);
    return CLI_FAILED;
}

int cli_dev_wait_ready(struct cli_dev *d)
{
    uint64_t began = clock_mono_ms(&clock_real), waited_ms = 0;
    char url[128];
    int status, signum;

    snprintf(url, sizeof url, "http://%s/readyz", d->node.ports[2]);
    for (; waited_ms < READY_TIMEOUT_MS; waited_ms = clock_mono_ms(&clock_real) - began) {
        show_progress(waited_ms, false);
        if (waitpid(d->node.pid, &status, WNOHANG) == d->node.pid) return tell_death(d, status);
        if (cli_probe(url, PROBE_TIMEOUT_MS) == 200) {
            show_progress(0, true);
            return CLI_DONE;
        }
        signum = cli_dev_wait_signal(PROBE_EVERY_MS);
        if (signum == SIGINT || signum == SIGTERM) return cli_fail(CLI_FAILED, "interrupted");
    }
    show_progress(0, true);
    fprintf(stderr, "angarium: node %u is not ready after %d s\n", d->node.id,
            READY_TIMEOUT_MS / 1000);
    print_tail(d->node.log_file);
    return CLI_FAILED;
}

static bool wait_gone(const struct cli_dev *d, uint64_t timeout_ms)
{
    uint64_t began = clock_mono_ms(&clock_real);

    while (cli_dev_is_running(d)) {
        if (clock_mono_ms(&clock_real) - began > timeout_ms) return false;
        waitpid(d->node.pid, NULL, WNOHANG);
        poll(NULL, 0, 20);
    }
    return true;
}

bool cli_dev_runs(struct cli_dev *d)
{
    for (unsigned i = 1; i <= d->nodes; i++) {
        cli_dev_select(d, i);
        if (cli_dev_is_running(d)) return true;
    }
    cli_dev_select(d, 1);
    return false;
}

static int wait_end(struct cli_dev *d)
{
    if (wait_gone(d, STOP_TIMEOUT_MS)) return CLI_DONE;
    fprintf(stderr, "angarium: node %u (pid %d) did not end within %d s and is killed\n",
            d->node.id, (int)d->node.pid, STOP_TIMEOUT_MS / 1000);
    kill(d->node.pid, SIGKILL);
    return wait_gone(d, 5000) ? CLI_DONE
                              : cli_fail(CLI_FAILED, "node %u (pid %d) does not end", d->node.id,
                                         (int)d->node.pid);
}

int cli_dev_stop(struct cli_dev *d)
{
    int rv = CLI_DONE;

    for (unsigned i = 1; i <= d->nodes; i++) {
        cli_dev_select(d, i);
        if (!cli_dev_is_running(d)) continue;
        kill(d->node.pid, SIGTERM);
        kill(d->node.pid, SIGCONT); /* a stopped one could not hear */
    }
    for (unsigned i = 1; i <= d->nodes; i++) {
        cli_dev_select(d, i);
        if (cli_dev_is_running(d) && wait_end(d) != CLI_DONE) rv = CLI_FAILED;
    }
    return rv;
}
