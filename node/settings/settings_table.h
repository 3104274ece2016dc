/* settings_table - every key of a settings file, once: type, default, range, meaning. Parsing,
 * checking, printing and freeing all read these tables; a new setting is a new row and a member of
 * struct settings.
 *
 * X(section, key, type, default, min, max, help)
 *   default: as it would stand in the file; NULL: the key is needed; "": not set
 *   min, max: of NUMBER in itself, of BYTES in bytes, of SPAN in ms; of texts the length
 */
#ifndef SETTINGS_SETTINGS_TABLE_H
#define SETTINGS_SETTINGS_TABLE_H

#define KIB (1024ull)
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)
#define TIB (1024ull * GIB)
#define SEC (1000ull)
#define MIN (60ull * SEC)
#define HRS (60ull * MIN)
#define DAY (24ull * HRS)

/* clang-format off */
#define SETTINGS_TABLE(X)                                                                                              \
    X(node, id, NUMBER, NULL, 1, UINT32_MAX, "number of this node, never used twice")                                  \
    X(node, hostname, DOMAIN, NULL, 1, 253, "name in greetings, trace headers and bounces")                            \
    X(node, data_dir, PATH, NULL, 1, 3000, "where log, state and inbox are")                                           \
    X(node, shards, NUMBER, "4", 1, 1024, "queues side by side; may grow, never shrink")                               \
    X(node, loops, NUMBER, "0", 0, 64, "event loops; 0: one per core")                                                 \
    X(cluster, id, TEXT, "", 0, 32, "32 hex digits, the same on all nodes; not set: this node is alone")                  \
    X(cluster, address, ADDRESS, "", 0, 64, "where peers find this node, and it listens for them")                     \
    X(cluster, ca, PATH, "", 0, 3000, "PEM, who signs the certificates of this cluster's nodes, and nothing else")     \
    X(cluster, certificate, PATH, "", 0, 3000, "PEM chain with the name angarium://ID/node/NUMBER")                    \
    X(cluster, key, PATH, "", 0, 3000, "PEM key of the certificate")                                                   \
    X(cluster, zone, TEXT, "", 0, 63, "what fails together: a rack, a data centre; shards are spread over zones")      \
    X(cluster, region, TEXT, "", 0, 63, "where the zone is")                                                           \
    X(cluster, seeds, TEXT, "", 0, 1024, "HTTP addresses of nodes, with blanks between; a disk that is new joins there") \
    X(cluster, token_file, PATH, "", 0, 3000, "holds a join token, for a disk that is new")                             \
    X(cluster, shards_per_node, NUMBER, "4", 1, 64, "taken when the cluster begins")                                   \
    X(cluster, replicas, NUMBER, "3", 1, 7, "voters of a shard, when there are nodes enough; taken when the cluster begins") \
    X(cluster, spread, TEXT, "zone", 0, 6, "voters of a shard over zones of one region, or over regions (a commit needs two); taken when the cluster begins") \
    X(http, address, ADDRESS, "", 0, 64, "API, health and metrics; not set: none")                                     \
    X(http, token_file, PATH, "", 0, 3000, "holds the bearer token of the API, at least 16 characters")                \
    X(http, certificate, PATH, "", 0, 3000, "PEM chain; not set: in clear, on a loopback address only")                \
    X(http, key, PATH, "", 0, 3000, "PEM key of the certificate")                                                      \
    X(tls, certificate, PATH, "", 0, 3000, "PEM chain for the SMTP listeners, the default")                                         \
    X(tls, key, PATH, "", 0, 3000, "PEM key of the certificate")                                                       \
    X(tls, warn_days, NUMBER, "30", 1, 3650, "first warning before a certificate expires; then at 14, 7, 3, 1, 0")     \
    X(resolver, address, ADDRESS, "", 0, 64, "DNS server; not set: the system's")                                      \
    X(resolver, mx_port, NUMBER, "25", 1, 65535, "port of mail exchangers; another one is for tests")                  \
    X(log, level, LEVEL, "info", 0, 8, "debug, info, warn or error")                                                   \
    X(log, format, FORMAT, "logfmt", 0, 8, "logfmt or json")                                                           \
    X(limits, message_size_max, BYTES, "50MiB", 1 * KIB, 1 * GIB, "largest mail, told by SIZE")                        \
    X(limits, recipients_max, NUMBER, "1000", 100, 1000, "recipients of one mail (RFC 5321 4.5.3.1.8: at least 100)")  \
    X(limits, line_size_max, BYTES, "2048", 512, 64 * KIB, "one SMTP command line")                                    \
    X(limits, header_size_max, BYTES, "256KiB", 4 * KIB, 256 * KIB, "header of a mail")                                \
    X(limits, hops_max, NUMBER, "50", 10, 200, "Received fields; more is a loop")                                      \
    X(limits, sessions_max, NUMBER, "10000", 1, 1000000, "SMTP sessions at once")                                      \
    X(limits, session_transactions_max, NUMBER, "1000", 1, 1000000, "mails of one session")                            \
    X(limits, session_errors_max, NUMBER, "20", 1, 1000, "refused commands of one session")                            \
    X(limits, greeting_delay_ms, SPAN, "0", 0, 1 * MIN, "MX service waits so long before its greeting; who talks is refused") \
    X(limits, session_idle_ms, SPAN, "5m", 1 * SEC, 1 * HRS, "silence between commands")                               \
    X(limits, session_life_ms, SPAN, "1h", 1 * SEC, 1 * DAY, "life of a session")                                      \
    X(limits, data_idle_ms, SPAN, "3m", 1 * SEC, 1 * HRS, "silence while a mail arrives")                              \
    X(limits, header_fields_max, NUMBER, "1000", 100, 100000, "fields of a header")                                    \
    X(limits, session_unknown_max, NUMBER, "10", 1, 1000, "unknown commands of one session")                           \
    X(limits, data_rate_min, BYTES, "100", 0, 1 * MIB, "bytes a second that a mail comes with at least; less: 421")    \
    X(limits, data_window_ms, SPAN, "1m", 1 * SEC, 1 * HRS, "the time over which data_rate_min is measured")           \
    X(limits, sessions_memory_max, BYTES, "1GiB", 1 * MIB, 1 * TIB, "memory of all sessions without bodies; more: 421, 452")\
    X(limits, clients_max, NUMBER, "65536", 16, 16000000, "client addresses, and usernames, that are remembered")      \
    X(limits, address_sessions_max, NUMBER, "1000", 1, 1000000, "sessions of one client address (IPv6: of one /64); more: 421")\
    X(limits, address_rate_max, NUMBER, "3000", 1, 1000000, "new connections a minute of one client address; more: 421")\
    X(limits, credential_sessions_max, NUMBER, "1000", 1, 1000000, "sessions of one credential; more: 421")            \
    X(limits, auth_failures_max, NUMBER, "20", 1, 100000, "failures of AUTH of an address or username; more: 421, 454")\
    X(limits, auth_forget_ms, SPAN, "1m", 1 * SEC, 1 * DAY, "one such failure is forgotten each")                      \
    X(limits, auth_delay_ms, SPAN, "500ms", 0, 1 * MIN, "the second failure is answered so late; doubles")             \
    X(limits, auth_delay_max_ms, SPAN, "10s", 0, 10 * MIN, "the longest of these delays")                              \
    X(limits, auth_cache_ms, SPAN, "5m", 0, 1 * DAY, "a verified password is remembered so long")                      \
    X(limits, auth_inflight_max, NUMBER, "64", 1, 10000, "passwords verified at once; more: 454")                      \
    X(limits, queue_messages_max, NUMBER, "10000000", 1, 1000000000, "messages in the queue; more: 452")               \
    X(limits, queue_bytes_max, BYTES, "100GiB", 1 * MIB, 1024 * TIB, "bytes in the queue; more: 452")                  \
    X(limits, disk_reserve_bytes, BYTES, "1GiB", 0, 1024 * TIB, "disk space that mail never takes")                    \
    X(limits, bodies_memory_max, BYTES, "512MiB", 16 * MIB, 1 * TIB, "memory for bodies on their way; more: 452")           \
    X(limits, body_cache_bytes, BYTES, "64MiB", 0, 1 * TIB, "memory for bodies of fresh mail")                         \
    X(delivery, retry_base_ms, SPAN, "1m", 100, 1 * DAY, "pause after the first failed attempt; doubles")              \
    X(delivery, retry_cap_ms, SPAN, "4h", 100, 7 * DAY, "longest pause between attempts")                              \
    X(delivery, retry_jitter_permille, NUMBER, "200", 0, 900, "pauses vary by so much")                                \
    X(delivery, expire_ms, SPAN, "5d", 1 * SEC, 30 * DAY, "a recipient is given up after so long")                     \
    X(delivery, delay_dsn_ms, SPAN, "4h", 1 * SEC, 30 * DAY, "a mail that waits so long is late: who asked is told")   \
    X(delivery, site_connections_max, NUMBER, "20", 1, 10000, "connections to one destination")                        \
    X(delivery, connections_max, NUMBER, "400", 1, 100000, "connections to all destinations")                          \
    X(delivery, idle_ms, SPAN, "3s", 0, 5 * MIN, "a connection without work is kept so long")                          \
    X(delivery, connect_timeout_ms, SPAN, "30s", 100, 10 * MIN, "to connect")                                          \
    X(delivery, greeting_timeout_ms, SPAN, "60s", 100, 10 * MIN, "for the greeting")                                   \
    X(delivery, command_timeout_ms, SPAN, "5m", 100, 10 * MIN, "for the reply to a command (RFC 5321 4.5.3.2)")        \
    X(delivery, data_timeout_ms, SPAN, "3m", 100, 10 * MIN, "for a piece of the mail to leave")                        \
    X(delivery, dot_timeout_ms, SPAN, "10m", 100, 30 * MIN, "for the reply to the final dot")                          \
    X(delivery, retention_ms, SPAN, "7d", 1 * SEC, 365 * DAY, "what is over stays visible so long")                     \
    X(content, gtube, BOOL, "false", 0, 0, "a mail with the GTUBE test text is refused: 554 5.7.1")

/* What a node keeps until it is started again: X(section, key); and dev. */
#define SETTINGS_FIXED(X)                                                                                              \
    X(node, id) X(node, hostname) X(node, data_dir) X(node, shards) X(node, loops)                                     \
    X(cluster, id) X(cluster, address) X(cluster, zone)                                                                \
    X(cluster, region) X(cluster, seeds) X(cluster, token_file) X(cluster, shards_per_node) X(cluster, replicas) X(cluster, spread)       \
    X(http, address) X(resolver, address) X(log, format)

/* Members of the lists' elements: X(list, key, type, default, min, max, help) */
#define SETTINGS_LISTENER(X)                                                                                           \
    X(listener, kind, KIND, NULL, 0, 0, "submission, submissions or mx")                                               \
    X(listener, address, ADDRESS, NULL, 1, 64, "\"127.0.0.1:587\", \"[::]:25\"")                                      \
    X(listener, bare_newlines, BARE, "refuse", 0, 10, "refuse; normalise: a bare CR or LF from who authenticated becomes CR LF") \
    X(listener, auth, AUTH, "plain login", 0, 20, "AUTH mechanisms: plain login, plain, or login")
#define SETTINGS_CERTIFICATE(X)                                                                                        \
    X(certificate, certificate, PATH, NULL, 1, 3000, "PEM chain, shown to who asks for one of its names (SNI)")        \
    X(certificate, key, PATH, NULL, 1, 3000, "PEM key of the certificate")
#define SETTINGS_TENANT(X)                                                                                             \
    X(tenant, name, NAME, NULL, 1, 64, "letters, digits, dot, hyphen, underscore")                                     \
    X(tenant, in_doubt, DOUBT, "retry", 0, 5, "what may have arrived: retry; hold: until an operator releases or cancels it") \
    X(tenant, domains, DOMAINS, "", 0, 0, "verified: senders use them, the MX service takes mail for them")
#define SETTINGS_CREDENTIAL(X)                                                                                         \
    X(credential, username, TEXT, NULL, 1, 255, "as given to AUTH")                                                    \
    X(credential, tenant, NAME, NULL, 1, 64, "whose mail it is")                                                       \
    X(credential, password_hash, HASH, NULL, 1, 512, "argon2id")                                                       \
    X(credential, addresses, NETWORKS, "", 0, 1024, "networks that it may come from, with commas; not set: anywhere")
#define SETTINGS_ROUTE(X)                                                                                              \
    X(route, match, MATCH, NULL, 1, 254, "\"*\", \"example.test\" or \".example.test\" (its subdomains)")              \
    X(route, via, VIA, NULL, 0, 0, "mx, host or inbox")                                                                \
    X(route, host, HOST_PORT, "", 0, 262, "next hop of via: host, \"name:port\" or \"address:port\"")                  \
    X(route, tls, TLS, "may", 0, 8, "none; may: where it is offered; encrypt: always; verify: and only to that name")   \
    X(route, tls_min, TLS_VERSION, "1.2", 0, 4, "1.2 or 1.3")                                                          \
    X(route, tls_ca_file, PATH, "", 0, 3000, "PEM, whom tls: verify trusts; not set: the system's")                     \
    X(route, pins, PINS, "", 0, 64, "public keys of the host, SHA-256 of the SPKI in hex or base64; one of them must be shown") \
    X(route, auth, LOGIN, "", 0, 0, "the account to log in with at the host of via: host")
#define SETTINGS_LOGIN(X)                                                                                              \
    X(auth, username, TEXT, NULL, 1, 255, "name of the account")                                                       \
    X(auth, password_file, PATH, "", 0, 3000, "holds the password; mode 600")                                          \
    X(auth, access_token_file, PATH, "", 0, 3000, "holds an OAuth access token that somebody else renews; mode 600")    \
    X(auth, oauth, OAUTH, "", 0, 0, "where access tokens come from")
#define SETTINGS_OAUTH(X)                                                                                              \
    X(oauth, token_url, URL, NULL, 1, 1024, "token endpoint: https://, or http:// on this host")                       \
    X(oauth, client_id, TEXT, NULL, 1, 512, "as the provider has registered it")                                       \
    X(oauth, client_secret_file, PATH, "", 0, 3000, "holds the client's secret, if it has one; mode 600")               \
    X(oauth, refresh_token_file, PATH, NULL, 1, 3000, "holds the refresh token, and gets each new one; mode 600")       \
    X(oauth, scope, TEXT, "", 0, 1024, "what to ask for; not set: what the refresh token is for")                       \
    X(oauth, ca_file, PATH, "", 0, 3000, "PEM, whom the endpoint's certificate must come from; not set: the system's")
#define SETTINGS_CONTENT_RULE(X)                                                                                       \
    X(content_rule, name, NAME, NULL, 1, 64, "said to who is refused, and in the field that is added")                 \
    X(content_rule, part, PART, NULL, 0, 0, "header: the fields called `field`; body: the text; file: names of attachments") \
    X(content_rule, field, NAME, "", 0, 64, "of part: header, the name of the field")                                  \
    X(content_rule, match, TEXT, NULL, 1, 128, "header, file: a glob (* and ?) for all of it; body: what stands in it")\
    X(content_rule, action, ACTION, "reject", 0, 0, "reject: 554 5.7.1; tag: the mail goes out with X-Angarium-Content")\
    X(content_rule, text, TEXT, "", 0, 120, "said behind the name; printable ASCII")                                   \
    X(content_rule, tenant, NAME, "", 0, 64, "whose mail it looks at; not set: everybody's")
/* clang-format on */

#endif
