/* world - one story while it runs: the deliver under test, what stands around it, the remote
 * servers. */
#ifndef CONFORMANCE_DELIVER_WORLD_H
#define CONFORMANCE_DELIVER_WORLD_H

#include "node/deliver/deliver.h"
#include "tests/conformance/deliver/commit_double.h"
#include "tests/conformance/deliver/dns_double.h"
#include "tests/conformance/deliver/story.h"

#define WORLD_MAILS_MAX   300
#define WORLD_SIGNALS_MAX 16

struct world_mail {
    char name[32];
    char line[8192]; /* what the story says of it */
    uint64_t index;  /* 0: not yet taken in */
    struct buf body;
};
struct remote_session;
struct chaos;
struct world {
    const struct story *story;
    struct loop *loop;
    struct commit *commit;
    struct dns *dns;
    struct tls *server_tls, *server12_tls, *client_tls; /* borrowed */
    struct deliver *deliver;
    struct deliver_options options;
    struct router_rule rules[16];
    struct login *logins[4];
    unsigned login_count;
    struct stream_address own[8];
    struct listener *listeners[STORY_SERVERS_MAX];
    uint16_t port;
    bool script_taken[STORY_SCRIPTS_MAX], script_done[STORY_SCRIPTS_MAX];
    struct list sessions;
    struct world_mail mails[WORLD_MAILS_MAX];
    unsigned mail_count;
    char signals[WORLD_SIGNALS_MAX][32];
    unsigned signal_count;
    struct chaos *chaos; /* instead of scripts, when the story has no connections */
    char inbox_dir[64];
    char wrong[1024]; /* what went wrong first */
};

void world_wrong(struct world *w, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
struct world_mail *world_mail(struct world *w, const char *name);
/* Is the recipient of that address claimed now? */
bool world_is_claimed(struct world *w, const char *address);
/* The file that login n has its secret from. */
void world_login_file(const struct world *w, unsigned n, char *out, size_t size);
void world_login_write(const struct world *w, unsigned n, const char *secret);
void world_take_in(struct world *w, struct world_mail *m);
void world_do(struct world *w, int line, const char *what); /* the verb `do` */
/* Is what the line wants so now? `why` says what is instead. */
bool world_has(struct world *w, const struct line *wanted, char *why, size_t why_size);

/* remote.c */
void remote_listen(struct world *w);
void remote_close(struct world *w);
bool remote_is_done(const struct world *w);
void remote_signalled(struct world *w);

#endif
