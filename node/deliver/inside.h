/* inside - private to deliver: its parts and how they lean on each other.
 *
 *     deliver.c  options, life, the watcher, the hook of each turn
 *     pump.c     a shard's due index by time: marks destinations ready
 *     lane.c     a destination of a shard: what is due there, taken in order, a delivery at a time
 *     due.c      its view of the due index: what is next, what is over
 *     plan.c     where to: router and MX records
 *     site.c     hosts reached alike: idle connections, lanes that wait for one, slots
 *     conn.c     one connection's life; step.c: what was said, what was heard; find.c: from a plan to a greeting;
 *                secure.c: TLS as the route demands; verb_*.c: one command of SMTP each, say_x(), hear_x()
 *     delivery.c recipients of one message on their way together: claim, verdicts, outcomes
 *     body.c     the body's bytes, chunk by chunk; inbox.c: mail that is kept here
 *     air.c      which recipients are in the air
 *
 * Rules: D1 a recipient is in the air at most once (air.c). D2 the final dot is written by
 * dot_try() alone, which looks at the claim (P2). D3 an outcome with a remote's words is proposed
 * behind a committed claim. D4 every due item before a pump's place belongs to a destination that
 * has a lane. D5 a connection is freed at the end of the turn only: call-backs may end it and look
 * at it afterwards.
 */
#ifndef DELIVER_INSIDE_H
#define DELIVER_INSIDE_H

#include <stdatomic.h>
#include <uthash.h>

#include "node/deliver/deliver.h"
#include "node/mail/complete.h"
#include "node/mail/mail.h"
#include "node/smtp/data.h"
#include "node/smtp/reply.h"
#include "node/smtp/sasl.h"
#include "proto/ground/arena.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define DELIVER_AIR_MAX       10000u
#define DELIVER_PUMP_SLICE    256u /* due items a shard's pump reads in a turn */
#define DELIVER_LANE_TURNS    64u  /* lanes that get their turn before the loop looks at sockets */
#define DELIVER_LANE_STARTS   8u   /* deliveries a lane starts in a turn */
#define DELIVER_LANE_AHEAD    32u  /* due items a lane reads at a time */
#define DELIVER_EXPIRE_SLICE  256u /* expiries a lane proposes in a turn */
#define DELIVER_PLAN_FRESH_MS 30000u
#define DELIVER_AGAIN_MS      1000u /* after a claim that could not be made, a full resolver, ... */
#define DELIVER_AWAIT_MS                                                                           \
    10000u /* what was proposed and is not applied by then is taken up again                       \
            */
#define DELIVER_TRANSACTION_MAX 500u /* recipients, whatever the options say */
#define DELIVER_ADDRESSES_MAX   16u  /* of one host */
#define DELIVER_QUIT_MS         5000u
#define DELIVER_OUT_MAX         (256u << 10) /* bytes queued in a stream */
#define DELIVER_OUT_SLICE       (16u << 10)  /* bytes of a body that are stuffed at a time */
#define DELIVER_CONVERT_SLICE   (4u << 10)   /* ... that are converted to 7 bits */
#define DELIVER_CHUNK           (64u << 10)  /* ... of one BDAT */
#define DELIVER_BDAT_MIN        (256u << 10) /* from here on BDAT helps: no stuffing, an early no */
#define DELIVER_CLEAR_MAX       256u    /* addresses whose TLS has failed, remembered at once */
#define DELIVER_CLEAR_MS        600000u /* ... and for so long */
#define DELIVER_INBOX_MAX       16u     /* files being written at once */
#define DELIVER_SPARE_MAX       64u     /* deliveries kept for reuse */

struct lane;
struct site;
struct conn;
struct delivery;

/* ---- air.c */

struct air_key {
    uint64_t index;
    uint32_t shard, recipient;
};
struct air {
    struct air_key key;
    bool is_in, is_awaited;
    UT_hash_handle hh;
};
bool air_has(const struct deliver *d, struct air_key key);
void air_add(struct deliver *d, struct air *a, struct air_key key);
void air_remove(struct deliver *d, struct air *a); /* twice is harmless */
/* Expiries, and outcomes of what was not claimed, have no answer: their recipients are in the air
 * until the effect is seen, or for DELIVER_AWAIT_MS. */
void air_await(struct deliver *d, struct air_key key);
void air_applied(struct deliver *d, struct air_key key);
/* Forgets those whose time is over; when the next one will be (mono ms). */
uint64_t air_sweep(struct deliver *d, uint64_t mono_ms);
void air_drop_shard(struct deliver *d, uint32_t shard); /* 0: of all */

/* ---- pump.c */

struct pump {
    struct deliver *d;
    uint32_t shard;
    bool leads;
    bool is_full;     /* stands before an item whose destination got no lane */
    struct list link; /* in d->pumps_ready */
    struct loop_timer timer;
    struct queue_place place;
};
void pump_init(struct pump *p, struct deliver *d, uint32_t shard);
void pump_start(struct pump *p);
void pump_stop(struct pump *p);
void pump_mark(struct pump *p);
void pump_due(struct pump *p, struct span domain, uint64_t due_at_ms); /* the queue says so */
void pump_turn(struct pump *p);
void pump_lane_freed(struct deliver *d);

/* ---- routes.c */

struct deliver_routes {
    atomic_uint refs;
    struct tls **tls;
    struct login **logins;
    unsigned tls_count, login_count;
};

/* ---- plan.c */

struct plan {
    unsigned refs;
    uint64_t made_at_ms; /* mono */
    struct router_plan p;
    struct deliver_routes *routes; /* what the numbers in p mean */
};
bool plan_is_past(const struct deliver *d, const struct plan *p); /* routes are others by now */
struct plan *plan_ref(struct plan *p);
void plan_unref(struct plan **p);
/* Makes lane->plan. 0; ERR_AGAIN: lane_planned() comes; ERR_FULL: try later. */
int plan_make(struct lane *l);
void plan_cancel(struct lane *l);

/* ---- lane.c */

enum lane_state {
    LANE_STILL,    /* nothing to begin; deliveries run, or it is being freed */
    LANE_READY,    /* in d->lanes_ready */
    LANE_PLANNING, /* MX are asked for */
    LANE_AT_SITE,  /* in site->waiting: for a connection there */
    LANE_AT_DOOR,  /* in d->lanes_waiting: the loop's own limits are reached */
    LANE_ASLEEP,   /* until its timer */
};
struct lane_item {
    uint64_t due_at_ms, index;
    uint32_t recipient;
};
struct lane {
    UT_hash_handle hh;
    struct deliver *d;
    uint32_t shard;
    enum lane_state state;
    bool saw_air; /* the last look at the index passed recipients that are in the air */
    bool is_dead; /* the shard is led no more: not in d->lanes; freed with its last delivery */
    struct list link;
    struct loop_timer timer;
    struct list deliveries; /* struct delivery, by lane_link */
    struct plan *plan;
    struct plan_ask *ask;
    uint64_t paused_until_ms; /* mono; 0: not paused */
    struct queue_place place, expire_place;
    struct lane_item ahead[DELIVER_LANE_AHEAD];
    unsigned ahead_at, ahead_count;
    unsigned key_size;
    char key[4 + 256]; /* shard, domain; terminated */
};
/* The lane of that destination, made when it is missing and marked ready. NULL: lanes_max is
 * reached. */
struct lane *lane_want(struct deliver *d, uint32_t shard, struct span domain);
struct span lane_domain(const struct lane *l);
void lane_mark(struct lane *l);
void lane_wake(struct lane *l);   /* ends a wait, not a sleep */
void lane_replan(struct lane *l); /* routes are others: ends both */
void lane_turn(struct lane *l);
void lane_planned(struct lane *l);
void lane_sleep(struct lane *l, uint64_t ms);
void lane_delivery_over(struct lane *l);
void lane_drop_shard(struct deliver *d, uint32_t shard); /* 0: all */

/* ---- due.c */

/* The next due item that is not in the air; NULL: there is none. At the end of the index it begins
 * once more at its start, if the caller may_wrap. Borrowed until the next call. */
const struct lane_item *due_peek(struct lane *l, bool may_wrap);
/* The next recipients, all of one message; NULL: none this time (stale and expired ones are
 * passed). */
struct delivery *due_take(struct lane *l, unsigned max);
/* Expires a slice of what is over; in how many ms to look again. */
uint64_t due_expire(struct lane *l);

/* ---- site.c */

struct site {
    UT_hash_handle hh;
    struct deliver *d;
    struct list idle;    /* struct conn, by idle_link; longest idle first */
    struct list waiting; /* struct lane */
    unsigned conns;
    char name[300];
};
enum site_answer { SITE_REUSE, SITE_CONNECT, SITE_BUSY, SITE_PAUSED, SITE_NO_ROOM };
/* How a delivery may go to the plan's site. REUSE: *conn_out is idle no more. CONNECT: a slot is
 * taken. */
enum site_answer site_ask(struct deliver *d, const struct plan *p, struct conn **conn_out,
                          uint64_t *until_ms);
struct site *site_want(struct deliver *d, const char *name);
struct site *site_find(struct deliver *d, const char *name);
void site_wait(struct site *s, struct lane *l);
void site_give_back(struct deliver *d, const char *name, enum router_result result);
void site_offer(struct site *s); /* an idle connection to the lane that waits longest */
void site_tidy(struct site *s);  /* frees it when nothing holds it */

/* ---- conn.c, step.c, find.c: a connection */

enum step {
    STEP_NONE,
    STEP_GREETING, /* "said" by connecting */
    STEP_EHLO,
    STEP_HELO,
    STEP_STARTTLS,
    STEP_AUTH,
    STEP_RSET,
    STEP_MAIL,
    STEP_RCPT,
    STEP_DATA,
    STEP_BODY,
    STEP_BDAT, /* one chunk */
    STEP_DOT,  /* or "BDAT 0 LAST" */
    STEP_QUIT,
    STEP_COUNT,
};
enum conn_phase {
    CONN_FINDING, /* addresses are asked for */
    CONN_CONNECTING,
    CONN_OPENING, /* greeting to EHLO */
    CONN_IDLE,
    CONN_BUSY, /* with a delivery */
    CONN_QUITTING,
    CONN_GONE,
};
struct remote {
    char host[256];
    char address[46];
    char source[46];
    char tls[64];
};
/* What became of a recipient, or of all that is not decided yet. */
struct verdict {
    Angarium__Result result;
    unsigned code;
    bool counts;
    bool at_once;     /* due again now */
    unsigned confirm; /* DELIVERED: PROTO_CONFIRM_*, who tells those that asked to hear of it */
    uint64_t hint_ms; /* the remote named a time for the next attempt; 0: it did not */
    char enhanced[16];
    char class[32];
    char text[SMTP_REPLY_TEXT_SIZE_MAX + 1];
};
struct conn_expected {
    enum step step;
    unsigned times;
};
struct conn {
    struct list link;      /* in d->conns, at last in d->conns_gone */
    struct list idle_link; /* in site->idle, and in d->conns_idle by all_link */
    struct list all_link;
    struct deliver *d;
    struct site *site;
    struct plan *plan;
    struct delivery *y;
    struct stream *stream;
    struct loop_timer timer;
    enum conn_phase phase;
    enum step said, heard;
    struct conn_expected expected[4]; /* replies that are still to come, in order */
    unsigned expected_count;

    struct find_ask *ask;
    unsigned host, host_next, host_count; /* of the plan; count: up to ourselves */
    unsigned scouted; /* hosts before this one are not ourselves, as far as is known */
    unsigned address, address_count;
    struct stream_address addresses[DELIVER_ADDRESSES_MAX];
    bool clear_only; /* TLS has failed at this address lately */
    bool tls_begun;
    bool has_slot;

    /* the account, where the route has one: verb_auth.c */
    struct login *login;         /* a reference, from the first question on */
    struct login_ask *login_ask; /* while the secret is asked for */
    struct secret *secret;       /* until it is accepted or refused */
    struct smtp_sasl sasl;
    unsigned auth_tried; /* mechanisms, on this stream */
    bool auth_cancelled, is_authenticated;
    bool auth_refused; /* a secret was refused, and another one is tried: once */

    bool fail_set;
    struct verdict fail; /* of the addresses tried so far */

    unsigned deliveries; /* begun on this stream */
    unsigned replies;    /* heard for the delivery that runs */
    size_t out_seen;     /* bytes of a body that waited when its deadline was last looked at */
    bool must_reset;     /* MAIL was taken and nothing ended it */
    struct smtp_offer offer;
    struct remote remote;
    struct smtp_reply_reader reader;
};
const char *step_name(enum step step);
struct conn *conn_new(struct deliver *d, struct plan *plan, struct delivery *y);
/* Says a step: moves `said`, queues the bytes, expects `replies` replies. */
void conn_say(struct conn *c, enum step step, struct span bytes, unsigned replies);
void conn_ready(struct conn *c);                     /* greeted, and EHLO is behind us */
void conn_begin(struct conn *c, struct delivery *y); /* an idle or ready one takes a delivery */
void conn_rest(struct conn *c);             /* nothing to do: kept for the site's next delivery */
void conn_again(struct conn *c);            /* its delivery moves to a new stream */
struct delivery *conn_part(struct conn *c); /* it and its delivery know each other no more */
void conn_delivery_over(struct conn *c);    /* all is heard; the connection goes on */
/* Every step of the delivery that is not decided gets what the reply means; true: the connection is
 * over. */
bool conn_refused(struct conn *c, enum step step, const struct smtp_reply *r);
void conn_broken(struct conn *c, const char *class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void conn_drop(struct conn *c, enum router_result result); /* now; no words */
void conn_wait_for(struct conn *c, uint64_t ms);
void conn_free_gone(struct deliver *d);
void conn_quit(struct conn *c, bool waits); /* waits: for its 221 */
void conn_expect(struct conn *c, enum step step, unsigned replies);
void conn_detach(struct conn *c); /* ends timer and stream */
void conn_leave(struct conn *c);  /* the same, with QUIT */
size_t conn_read(void *arg, struct span bytes);
extern const struct stream_calls conn_calls;

void find_start(struct conn *c); /* the first host of the plan */
void find_failed(struct conn *c,
                 const struct verdict *v); /* this address is of no use: the next one */
void find_again(struct conn *c);           /* this address again */
void find_go(
    struct conn *c); /* what comes next, without a stream: this address, the next, the end */
void find_note(struct conn *c, const struct verdict *v); /* why this address is of no use */
/* No further address; v NULL: what was noted last is the verdict. */
void find_give_up(struct conn *c, const struct verdict *v, enum router_result result);
void find_cancel(struct conn *c);

/* ---- verbs */

void hear_greeting(struct conn *c, const struct smtp_reply *r);
void say_ehlo(struct conn *c);
void hear_ehlo(struct conn *c, const struct smtp_reply *r);
void hear_helo(struct conn *c, const struct smtp_reply *r);
void say_starttls(struct conn *c);
void hear_starttls(struct conn *c, const struct smtp_reply *r);
void say_auth(struct conn *c);
void hear_auth(struct conn *c, const struct smtp_reply *r);
bool auth_is_needed(const struct conn *c);
/* The plan's account may not be tried before *until_ms. */
bool auth_is_held(const struct deliver *d, const struct plan *p, uint64_t *until_ms);
void auth_start(struct conn *c); /* asks for the secret: find_go() or find_give_up() comes */
void auth_drop(struct conn *c);  /* gives back what it has */
void auth_broken(struct conn *c, const struct verdict *v); /* in the middle of it */
void say_mail(struct conn *c);                             /* with PIPELINING also RCPT and DATA */
void hear_mail(struct conn *c, const struct smtp_reply *r);
void say_rcpt(struct conn *c); /* the next one, or with PIPELINING all */
void hear_rcpt(struct conn *c, const struct smtp_reply *r);
void say_data(struct conn *c); /* or the first chunk */
void hear_data(struct conn *c, const struct smtp_reply *r);
void say_bdat(struct conn *c, struct span chunk);
void hear_bdat(struct conn *c, const struct smtp_reply *r);
void data_go(struct conn *c); /* as much of the body as there is room for */
void dot_try(struct conn *c); /* when the body is out and the claim is in */
void dot_lone(struct conn *c);
void hear_dot(struct conn *c, const struct smtp_reply *r);
void say_rset(struct conn *c);
void hear_rset(struct conn *c, const struct smtp_reply *r);
void say_quit(struct conn *c);
void hear_quit(struct conn *c, const struct smtp_reply *r);
static inline bool reply_is(const struct smtp_reply *r, unsigned first_digit)
{
    return r->code / 100 == first_digit;
}
static inline bool reply_refuses(const struct smtp_reply *r)
{
    return r->code >= 400;
}
/* A reply that no step can mean. */
void conn_nonsense(struct conn *c, enum step step, const struct smtp_reply *r);

/* ---- delivery.c, outcome.c */

enum claim_state { CLAIM_NONE, CLAIM_ASKED, CLAIM_DONE, CLAIM_FAILED };
struct delivery_recipient {
    struct air air;
    uint32_t number;
    bool taken; /* RCPT was answered 2yz */
    Angarium__RecipientRecord *record;
    const struct verdict *verdict; /* NULL: not decided */
};
struct delivery {
    struct list lane_link, link; /* in lane->deliveries, in d->deliveries (or d->spare) */
    struct deliver *d;           /* NULL: deliver is gone, only pins hold it */
    struct lane *lane;
    struct conn *c;
    uint32_t shard;
    uint64_t index;
    char id[BASE32_SIZE];
    Angarium__MessageRecord *message;
    struct delivery_recipient *list;
    unsigned count;
    unsigned said, heard, taken; /* RCPT */
    bool is_orphan;              /* the shard is led no more: no outcome */
    bool is_over;                /* the remote's part is */
    bool is_told;                /* its outcomes are proposed */
    bool is_closed;              /* only pins keep it */
    bool is_new_conn;            /* it has moved to a new connection once */
    bool dot_said, lone_dot;
    unsigned pins; /* call-backs that are still to come */
    enum claim_state claim_state;
    struct commit_claim claim;
    struct remote remote;
    struct arena arena;
    struct buf trace;

    uint64_t own_entry;
    const uint64_t *entries;
    size_t entry_count, entry_next;
    struct blob *blob;
    size_t blob_at;
    size_t private_begin, private_end; /* the next field of blob that does not go out */
    bool is_reading;
    bool body_out; /* all of it is in the stream */
    struct commit_read read;
    struct smtp_data_writer writer;
    bool by_bdat;                     /* RFC 3030, instead of DATA */
    bool asks_utf8;                   /* MAIL was said with SMTPUTF8 */
    bool converts;                    /* to 7 bits, on its way (RFC 6152 3) */
    struct mail_downgrade *downgrade; /* while it does */
    struct inbox_job *inbox;
};
/* A place for a delivery of `count` recipients; the caller fills list[].number and .record. */
struct delivery *delivery_new(struct lane *l, uint64_t index, Angarium__MessageRecord *message,
                              unsigned count);
void delivery_claim(struct delivery *y);              /* once; harmless later */
struct verdict *delivery_verdict(struct delivery *y); /* a fresh one, kept as long as y */
struct verdict *delivery_words(struct delivery *y, Angarium__Result result, const char *class,
                               const char *fmt, ...) __attribute__((format(printf, 4, 5)));
struct verdict *delivery_reply(struct delivery *y, enum router_stage stage,
                               const struct smtp_reply *r, struct router_meaning *meaning);
void verdict_reply(const struct deliver *d, struct verdict *v, enum router_stage stage,
                   const struct smtp_reply *r, struct router_meaning *meaning);
/* Decides every recipient that is not decided. */
void delivery_judge(struct delivery *y, const struct verdict *v);
/* The remote's part is over: outcomes are proposed now, or when the claim is known. y may be gone
 * after. */
void delivery_over(struct delivery *y);
/* No outcome: it leaves the air and the lane. y may be gone after. */
void delivery_close(struct delivery *y);
void delivery_orphan(struct delivery *y);
void delivery_pin(struct delivery *y);
bool delivery_unpin(struct delivery *y);     /* false: y is gone, or has no deliver any more */
void delivery_trace(struct delivery *y);     /* trace header and what is added, into y->trace */
void delivery_detach_all(struct deliver *d); /* deliver goes */
void outcome_propose(struct delivery *y);

/* ---- body.c */

void body_source_start(struct delivery *y);
/* 0: y->blob has bytes at blob_at. ERR_AGAIN: on_body() comes. ERR_NOT_FOUND ...: it cannot be
 * read. ERR_CLOSED: all is read. */
int body_source_next(struct delivery *y);
/* After 0: the next bytes that go out, at most `max`; y->blob_at stands behind them. */
struct span body_source_take(struct delivery *y, size_t max);
void data_body(struct conn *c, int rv); /* a chunk came from the disk, or did not */

/* ---- inbox.c */

void inbox_start(struct delivery *y);
void inbox_claimed(struct delivery *y);
void inbox_body(struct delivery *y, int rv); /* a chunk came from the disk, or did not */
void inbox_over(struct delivery *y);

/* ---- fit.c */

/* Whether the server can take this mail, and how. False: all recipients are judged. */
bool fit(struct conn *c);
bool fit_needs_8bit(const struct delivery *y);
bool fit_needs_utf8(const struct delivery *y); /* of itself: no host without SMTPUTF8 can take it */
bool fit_is_ascii(struct span s);
bool fit_is_binary(const struct delivery *y);

/* ---- secure.c */

/* An address whose TLS has failed: mail that may goes there in clear for a while. */
struct clear {
    struct stream_address at;
    uint64_t until_ms; /* mono */
};
struct tls *secure_context(const struct conn *c); /* NULL: there is none */
bool secure_is_needed(const struct conn *c);
bool secure_is_wanted(const struct conn *c);
bool secure_is_clear(const struct deliver *d, const struct stream_address *a);
/* No TLS with this address: once more in clear, or the next address, as the route demands. */
void secure_failed(struct conn *c, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- deliver.c */

struct deliver {
    struct deliver_options o;
    struct loop *loop;
    struct commit *commit;
    struct queue_store *store;
    struct router *router;
    struct tls *tls;
    struct deliver_routes *routes;
    struct clear clear[DELIVER_CLEAR_MAX];
    char *hostname, *inbox_dir;
    struct stream_address *own;
    unsigned transaction_max;
    struct commit_watcher watcher;
    struct loop_hook hook;
    struct pump *pumps; /* by shard - 1 */
    unsigned pump_count, pumps_full;
    struct list pumps_ready;
    struct lane *lanes;
    unsigned lane_count;
    struct list lanes_ready, lanes_waiting, lanes_dead;
    struct site *sites;
    struct list conns, conns_idle, conns_gone;
    unsigned conn_count;
    struct air *air;
    unsigned air_count;
    struct list awaited;
    struct list deliveries, spare;
    unsigned spare_count, inbox_count;
    struct buf scratch;
    bool draining, has_proposed;
};
static inline uint64_t deliver_mono_ms(const struct deliver *d)
{
    return loop_mono_ms(d->loop);
}
static inline uint64_t deliver_wall_ms(const struct deliver *d)
{
    return loop_wall_ms(d->loop);
}
bool deliver_has_room(const struct deliver *d); /* for one more delivery in the air */

#endif
