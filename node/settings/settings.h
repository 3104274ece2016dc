/* settings - the one table of settings of a node: read from YAML, checked, shown. Errors are
 * `file:line:col: what is wrong`; unknown keys are errors; every value has its range in the table
 * (settings_table.h). Rooms get their own option structs from node.c; only node.c and ops see this
 * one.
 *
 * Example (every key: angarium check-config --print-effective FILE):
 *
 *   node: { id: 1, hostname: relay1.example.test, data_dir: /var/lib/angarium, shards: 4 }
 *   listeners:
 *     - { kind: submission,  address: "127.0.0.1:12500" }
 *     - { kind: submissions, address: "127.0.0.1:12501" }
 *     - { kind: mx,          address: "127.0.0.1:12503" }
 *   http: { address: "127.0.0.1:12502", token_file: api.token }
 *   tls: { certificate: node.pem, key: node.key }
 *   tenants: [ { name: demo, domains: [ example.test ] } ]
 *   credentials: [ { username: demo, tenant: demo, password_hash: "$argon2id$..." } ]
 *   routes: [ { match: "*", via: mx } ]
 */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include <stdatomic.h>

#include "proto/ground/buf.h"
#include "proto/ground/err.h"

#define SETTINGS_LIST_MAX          256 /* certificates 255, the next ones fewer, others this */
#define SETTINGS_LISTENERS_MAX     16
#define SETTINGS_PINS_MAX          16 /* of one route */
#define SETTINGS_CONTENT_RULES_MAX 32

enum settings_listener_kind { SETTINGS_SUBMISSION, SETTINGS_SUBMISSIONS, SETTINGS_MX };
struct settings_listener {
    enum settings_listener_kind kind;
    char *address;       /* "127.0.0.1:587", "[::]:25" */
    char *bare_newlines; /* "refuse", "normalise" */
    char *auth;          /* "plain login", "plain", "login" */
};
struct settings_certificate {
    char *certificate, *key;
};
struct settings_tenant {
    char *name;
    char *in_doubt; /* "retry", "hold" */
    char **domains; /* verified: may be used as senders; MX service takes mail for them */
    unsigned domain_count;
};
struct settings_credential {
    char *username, *tenant, *password_hash; /* argon2id, "$argon2id$v=19$..." */
    char *addresses;                         /* "192.0.2.0/24, 2001:db8::/32"; empty: any */
};
enum settings_via { SETTINGS_VIA_MX, SETTINGS_VIA_HOST, SETTINGS_VIA_INBOX };
struct settings_oauth {
    char *token_url, *client_id, *client_secret_file, *refresh_token_file, *scope, *ca_file;
};
struct settings_login { /* username NULL: there is none */
    char *username, *password_file, *access_token_file;
    struct settings_oauth oauth; /* token_url NULL: there is none */
};
struct settings_route {
    char *match; /* "*", "example.test", ".example.test" */
    enum settings_via via;
    char *host; /* via host: "name:port" or "address:port" */
    char *tls; /* "none", "may", "encrypt", "verify"; with auth or pins never less than they need */
    char *tls_min;     /* "1.2", "1.3" */
    char *tls_ca_file; /* empty: the system's */
    char **pins;       /* 64 digits of hex each */
    unsigned pin_count;
    struct settings_login auth;
};
struct settings_content_rule { /* node/mail/content.h */
    char *name;
    char *part; /* "header", "body", "file" */
    char *field, *match;
    char *action; /* "reject", "tag" */
    char *text, *tenant;
};

/* Counted, and never changed once it is read: who uses it in another thread or later has a reference. */
struct settings {
    atomic_uint refs;
    char *file; /* for messages */
    struct {
        uint64_t id;
        char *hostname, *data_dir;
        uint64_t shards, loops; /* loops 0: one per core */
    } node;
    struct { /* id empty: a node alone */
        char *id, *address, *ca, *certificate, *key, *zone, *region, *seeds, *token_file;
        uint64_t shards_per_node, replicas;
        char *spread;
    } cluster;
    struct settings_listener *listeners;
    unsigned listener_count;
    struct {
        char *address, *token_file, *certificate,
            *key; /* certificate and key empty: in clear, loopback only */
    } http;
    struct {
        char *certificate, *key; /* shown to who asks for none of the names of `certificates` */
        uint64_t warn_days;
    } tls;
    struct settings_certificate *certificates;
    unsigned certificate_count;
    struct settings_tenant *tenants;
    unsigned tenant_count;
    struct settings_credential *credentials;
    unsigned credential_count;
    struct settings_route *routes;
    unsigned route_count;
    struct settings_content_rule *content_rules;
    unsigned content_rule_count;
    struct {
        char *address; /* "127.0.0.1:53"; empty: the system's */
        uint64_t mx_port;
    } resolver;
    struct {
        char *level, *format; /* debug info warn error; logfmt json */
    } log;
    struct { /* all with defaults; sizes in bytes, times in ms (written "5d", "30s", "250ms",
                "50MiB") */
        uint64_t message_size_max, recipients_max, line_size_max, header_size_max, hops_max;
        uint64_t bodies_memory_max;
        uint64_t sessions_max, session_transactions_max, session_errors_max;
        uint64_t greeting_delay_ms;
        uint64_t session_idle_ms, session_life_ms, data_idle_ms;
        uint64_t header_fields_max, session_unknown_max, data_rate_min, data_window_ms;
        uint64_t sessions_memory_max, clients_max, address_sessions_max, address_rate_max,
            credential_sessions_max;
        uint64_t auth_failures_max, auth_forget_ms, auth_delay_ms, auth_delay_max_ms;
        uint64_t auth_cache_ms, auth_inflight_max;
        uint64_t queue_messages_max, queue_bytes_max, disk_reserve_bytes;
        uint64_t body_cache_bytes;
    } limits;
    struct {
        uint64_t retry_base_ms, retry_cap_ms, retry_jitter_permille, expire_ms, delay_dsn_ms;
        uint64_t site_connections_max, connections_max, idle_ms;
        uint64_t connect_timeout_ms, greeting_timeout_ms, command_timeout_ms, data_timeout_ms,
            dot_timeout_ms;
        uint64_t retention_ms;
    } delivery;
    struct {
        bool gtube;
    } content;
    struct { /* set by `angarium dev` only; refused in a file unless dev: true stands in it */
        bool enabled;
    } dev;
};

/* Relative paths in the file are taken from the file's directory. Several errors are all told (one
 * a line, at most 20). */
int settings_read(struct settings **out, const char *file, struct buf *errors);
/* The same from text; `file` is the name in messages and the base of relative paths. */
int settings_parse(struct settings **out, const char *file, struct span text, struct buf *errors);
struct settings *settings_ref(struct settings *s); /* any thread */
void settings_unref(struct settings **s);          /* any thread; takes NULL */
/* May a node that runs with `now` go on with `fresh`? ERR_CONFIG: no; why names what cannot change (SETTINGS_FIXED). */
int settings_check_change(const struct settings *now, const struct settings *fresh,
                          struct errmsg *why);
/* All keys with the values in force, as YAML that settings_parse takes. Hashes are shown as
 * "(hidden)" unless with_secrets. */
void settings_print(const struct settings *s, bool with_secrets, struct buf *out);

#endif
