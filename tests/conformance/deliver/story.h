/* clang-format off */
/* story - what a .smtp file of this folder says: what is to be delivered, what the remote servers do, what must have
 * become of it.
 *
 *   story NAME                      begins one; the rest of its lines belong to it
 *   option KEY VALUE                of deliver (idle_ms 50) or its router (retry_base_ms 10)
 *   own ADDRESS                     the relay listens there, too (on the servers' port)
 *   rule MATCH mx|host NAME|inbox [tls|encrypt|verify] [1.3|stranger]   first match wins; default: * mx
 *                                   1.3: at least; stranger: only another CA is trusted; pinned: the servers' key is
 *                                   wanted (pinned to-another: somebody else's, pinned to-two: one of both); login=N: an
 *                                   account
 *   login password|token USER [SECRET]            an account, from 1 on; its secret is in a file (*N: N letters; none: no file)
 *   mx DOMAIN PREFERENCE HOST, mx DOMAIN none|fails|bogus, address HOST ADDRESS..., address HOST none|fails
 *   mail NAME from=A to=B,C [submitted=1] [body="..."] [lines=N] [chunk=BYTES] [in=memory|disk|nowhere] [expires=past|MS] [later]
 *        [ret=FULL|HDRS] [envid=X] [notify=NEVER|SUCCESS,FAILURE,DELAY] [orcpt=X] [smtputf8] [binarymime] [eight-bit-header]
 *   claims held|failing             from the start, until a script releases them
 *   mails COUNT RECIPIENTS [KEY=...]             so many: names 0, 1, ..., addresses rN.M@dK.test, K below 5
 *   chaos SEED PERCENT              no scripts: the servers answer by the dice, so often wrongly
 *
 *   server ADDRESS                  a remote host; all listen on one port
 *   connection                      what it does with its next connection, in order:
 *     say TEXT, say-raw TEXT        hear GLOB, hear+ GLOB (it came in the same write as the last line)
 *     open KEYWORD...               220, EHLO, and these offers
 *     transaction NAME              a whole one, all taken
 *     body NAME                     up to the dot; must be a trace header and that mail
 *     chunks NAME                   the same by BDAT, each chunk answered 250 but the last
 *     chunks-but-last NAME          ... and the last one does not come yet
 *     ends-with-dot                 up to the dot, whatever it is
 *     repeat N TEXT                 says so N times
 *     trace GLOB                    the Received field, unfolded
 *     bye                           QUIT, 221, closed
 *     starttls [1.2]                the server's handshake, with nothing newer
 *     dribble on|off                say byte by byte
 *     quiet MS                      nothing may come
 *     sleep MS                      stall, resume: reading; close, abort
 *     end                           the client must close (gone: whatever it said before)
 *     signal X, await X             between connections
 *     do hold|release|fail ERROR|cancel NAME N|lose|lead|mail NAME|login N SECRET|drain
 *
 *   expect NAME N KEY=GLOB...       recipient N of a mail: state code enhanced class text attempts doubts host
 *                                   owes (what a DSN has to tell: failed, delayed, relayed, delivered)
 *   event NAME N TYPE KEY=GLOB...   its last event: remote_host remote_address source_address tls class code
 *                                   waits (seconds until the next attempt)
 *   none NAME N TYPE                there is no such event
 *   file NAME N GLOB                of the inbox
 *   claims-made N, reads N, blobs-max BYTES, idle
 *
 * In texts \r \n \t \\ and \xNN are bytes; in a GLOB * is anything.
 */
/* clang-format on */
#ifndef CONFORMANCE_DELIVER_STORY_H
#define CONFORMANCE_DELIVER_STORY_H

#include "proto/ground/buf.h"

#define STORY_LINES_MAX   400
#define STORY_SERVERS_MAX 8
#define STORY_SCRIPTS_MAX 64
#define STORY_WORDS_MAX   24

struct line {
    int number;
    char verb[24];
    char *rest; /* after the verb, trimmed */
};
struct script {
    unsigned server;
    struct line *lines;
    unsigned count;
};
struct story {
    const char *file;
    char name[200];
    int number; /* of its first line */
    struct line setup[STORY_LINES_MAX];
    unsigned setup_count;
    struct line wanted[STORY_LINES_MAX];
    unsigned wanted_count;
    char servers[STORY_SERVERS_MAX][46];
    unsigned server_count;
    struct script scripts[STORY_SCRIPTS_MAX];
    unsigned script_count;
};

struct story_file;
/* Reads the file. 0, or 1 after it said what is wrong. */
int story_file_read(struct story_file **out, const char *path);
void story_file_free(struct story_file **f);
/* The next story, or NULL. Borrowed until the next call. */
struct story *story_next(struct story_file *f);

struct words {
    char text[8192];
    char *of[STORY_WORDS_MAX];
    unsigned count;
};
/* Splits at spaces; "..." keeps them. */
void words_split(struct words *w, const char *line);
/* The value of key=value among the words, or NULL. */
const char *words_value(const struct words *w, const char *key);
bool words_have(const struct words *w, const char *word);
void text_unescape(const char *text, struct buf *out);
bool text_matches(const char *glob, const char *text);

#endif
