/* metric_table - every metric of the node: X(id, type, name, labels, help). Rows of one name stand
 * together. Add rows freely; never change a name without a changelog entry. */
#ifndef GROUND_METRIC_TABLE_H
#define GROUND_METRIC_TABLE_H

#define METRIC_TABLE(X)                                                                            \
    X(LOG_LINES_DROPPED, COUNTER, "log_lines_dropped_total", "", "Log lines lost to a full ring")  \
    X(SESSIONS_OPEN, GAUGE, "smtp_sessions", "", "SMTP sessions open now")                         \
    X(SESSIONS, COUNTER, "smtp_sessions_total", "", "SMTP sessions accepted")                      \
    X(SESSIONS_REFUSED_ALL, COUNTER, "smtp_sessions_refused_total", "limit=\"sessions\"",          \
      "Connections turned away at a limit")                                                        \
    X(SESSIONS_REFUSED_MEMORY, COUNTER, "smtp_sessions_refused_total", "limit=\"memory\"",         \
      "Connections turned away at a limit")                                                        \
    X(SESSIONS_REFUSED_TABLE, COUNTER, "smtp_sessions_refused_total", "limit=\"clients\"",         \
      "Connections turned away at a limit")                                                        \
    X(SESSIONS_REFUSED_ADDRESS, COUNTER, "smtp_sessions_refused_total",                            \
      "limit=\"address_sessions\"", "Connections turned away at a limit")                          \
    X(SESSIONS_REFUSED_RATE, COUNTER, "smtp_sessions_refused_total", "limit=\"address_rate\"",     \
      "Connections turned away at a limit")                                                        \
    X(SESSIONS_MEMORY, GAUGE, "smtp_sessions_memory_bytes", "",                                    \
      "What sessions hold without bodies, as estimated")                                           \
    X(CLIENTS_EVICTED, COUNTER, "smtp_clients_evicted_total", "",                                  \
      "Client addresses and usernames forgotten because their table was full")                     \
    X(SESSIONS_EARLY, COUNTER, "smtp_sessions_early_total", "",                                    \
      "Sessions refused: the client talked before the greeting")                                   \
    X(SESSION_LIMIT_IDLE, COUNTER, "smtp_session_limits_total", "limit=\"idle\"",                  \
      "Sessions ended at a limit")                                                                 \
    X(SESSION_LIMIT_LIFE, COUNTER, "smtp_session_limits_total", "limit=\"life\"",                  \
      "Sessions ended at a limit")                                                                 \
    X(SESSION_LIMIT_ERRORS, COUNTER, "smtp_session_limits_total", "limit=\"errors\"",              \
      "Sessions ended at a limit")                                                                 \
    X(SESSION_LIMIT_MAILS, COUNTER, "smtp_session_limits_total", "limit=\"transactions\"",         \
      "Sessions ended at a limit")                                                                 \
    X(SESSION_LIMIT_UNKNOWN, COUNTER, "smtp_session_limits_total", "limit=\"unknown_commands\"",   \
      "Sessions ended at a limit")                                                                 \
    X(SESSION_LIMIT_RATE, COUNTER, "smtp_session_limits_total", "limit=\"data_rate\"",             \
      "Sessions ended at a limit")                                                                 \
    X(SESSION_LIMIT_CREDENTIAL, COUNTER, "smtp_session_limits_total",                              \
      "limit=\"credential_sessions\"", "Sessions ended at a limit")                                \
    X(LIMIT_LINE, COUNTER, "smtp_refused_at_limit_total", "limit=\"line\"",                        \
      "Commands and mails refused at a limit")                                                     \
    X(LIMIT_RECIPIENTS, COUNTER, "smtp_refused_at_limit_total", "limit=\"recipients\"",            \
      "Commands and mails refused at a limit")                                                     \
    X(LIMIT_SIZE, COUNTER, "smtp_refused_at_limit_total", "limit=\"message_size\"",                \
      "Commands and mails refused at a limit")                                                     \
    X(LIMIT_HEADER, COUNTER, "smtp_refused_at_limit_total", "limit=\"header_size\"",               \
      "Commands and mails refused at a limit")                                                     \
    X(LIMIT_FIELDS, COUNTER, "smtp_refused_at_limit_total", "limit=\"header_fields\"",             \
      "Commands and mails refused at a limit")                                                     \
    X(LIMIT_HOPS, COUNTER, "smtp_refused_at_limit_total", "limit=\"hops\"",                        \
      "Commands and mails refused at a limit")                                                     \
    X(SETTINGS_RELOADS, COUNTER, "settings_reloads_total", "result=\"ok\"",                        \
      "Settings read again (SIGHUP)")                                                              \
    X(SETTINGS_RELOADS_REFUSED, COUNTER, "settings_reloads_total", "result=\"refused\"",           \
      "Settings read again (SIGHUP)")                                                              \
    X(CONTROL_CHANGES, COUNTER, "control_changes_total", "result=\"ok\"",                          \
      "Changes of the cluster's records that came into force on this node, or were refused")       \
    X(CONTROL_CHANGES_REFUSED, COUNTER, "control_changes_total", "result=\"refused\"",             \
      "Changes of the cluster's records that came into force on this node, or were refused")       \
    X(SETTINGS_TIME, GAUGE, "settings_time_seconds", "",                                           \
      "When the settings in force were read, in seconds since 1970")                               \
    X(TLS_RELOADS, COUNTER, "tls_reloads_total", "result=\"ok\"",                                  \
      "Certificate files that changed")                                                            \
    X(TLS_RELOADS_REFUSED, COUNTER, "tls_reloads_total", "result=\"refused\"",                     \
      "Certificate files that changed")                                                            \
    X(TLS_RESUMED, COUNTER, "tls_handshakes_total", "session=\"resumed\"",                         \
      "TLS handshakes as server")                                                                  \
    X(TLS_FULL, COUNTER, "tls_handshakes_total", "session=\"new\"", "TLS handshakes as server")    \
    X(TLS_FAILED, COUNTER, "tls_handshakes_failed_total", "",                                      \
      "TLS handshakes as server that failed")                                                      \
    X(AUTH_OK, COUNTER, "smtp_auth_total", "result=\"ok\"", "AUTH by result")                      \
    X(AUTH_CACHED, COUNTER, "smtp_auth_total", "result=\"ok_cached\"", "AUTH by result")           \
    X(AUTH_FAILED, COUNTER, "smtp_auth_total", "result=\"failed\"", "AUTH by result")              \
    X(AUTH_BUSY, COUNTER, "smtp_auth_total", "result=\"busy\"", "AUTH by result")                  \
    X(AUTH_THROTTLED, COUNTER, "smtp_auth_total", "result=\"throttled\"", "AUTH by result")        \
    X(MAILS_ACCEPTED, COUNTER, "mails_accepted_total", "", "Mails answered 250")                   \
    X(MAILS_ACCEPTED_BYTES, COUNTER, "mails_accepted_bytes_total", "", "Bytes of accepted mails")  \
    X(MAILS_REFUSED_LATER, COUNTER, "mails_refused_total", "class=\"4yz\"",                        \
      "Mails refused at end of data")                                                              \
    X(MAILS_REFUSED_NEVER, COUNTER, "mails_refused_total", "class=\"5yz\"",                        \
      "Mails refused at end of data")                                                              \
    X(CONTENT_REJECTED_HEADER, COUNTER, "content_rejected_total", "part=\"header\"",               \
      "Mails refused by a content rule")                                                           \
    X(CONTENT_REJECTED_BODY, COUNTER, "content_rejected_total", "part=\"body\"",                   \
      "Mails refused by a content rule")                                                           \
    X(CONTENT_REJECTED_FILE, COUNTER, "content_rejected_total", "part=\"file\"",                   \
      "Mails refused by a content rule")                                                           \
    X(CONTENT_REJECTED_GTUBE, COUNTER, "content_rejected_total", "part=\"gtube\"",                 \
      "Mails refused by a content rule")                                                           \
    X(CONTENT_TAGGED_HEADER, COUNTER, "content_tagged_total", "part=\"header\"",                   \
      "Content rules that tagged a mail")                                                          \
    X(CONTENT_TAGGED_BODY, COUNTER, "content_tagged_total", "part=\"body\"",                       \
      "Content rules that tagged a mail")                                                          \
    X(CONTENT_TAGGED_FILE, COUNTER, "content_tagged_total", "part=\"file\"",                       \
      "Content rules that tagged a mail")                                                          \
    X(MAILS_REPAIRED, COUNTER, "mails_repaired_total", "",                                         \
      "Mails whose bare CR or LF became CR LF")                                                    \
    X(BODIES_FULL, COUNTER, "bodies_full_total", "",                                               \
      "Mails refused: memory of all bodies at its limit")                                          \
    X(ACCEPT_TIME, HISTOGRAM, "accept_commit_seconds", "", "End of data to commit")                \
    X(LOG_SYNCS, COUNTER, "log_syncs_total", "", "Synced batches of the log thread")               \
    X(LOG_ENTRIES, COUNTER, "log_entries_total", "", "Entries written to the log")                 \
    X(LOG_BYTES, COUNTER, "log_bytes_total", "", "Payload bytes written to the log")               \
    X(LOG_SYNC_TIME, HISTOGRAM, "log_sync_seconds", "", "Duration of one synced batch")            \
    X(LOG_CUTS, COUNTER, "log_cuts_total", "", "Times the log was cut")                            \
    X(RAFT_CACHE_BYTES, GAUGE, "raft_cache_bytes", "", "Bytes of log entries kept in memory")      \
    X(RAFT_CACHE_EVICTED, COUNTER, "raft_cache_evicted_total", "",                                 \
      "Entries that left the memory at its limit")                                                 \
    X(RAFT_LOG_READS, COUNTER, "raft_log_reads_total", "", "Reads of the log for peers behind")    \
    X(RAFT_TERMS_READ, COUNTER, "raft_terms_read_total", "",                                       \
      "Terms of entries read out of the log, on a loop, for they are not remembered")              \
    X(RAFT_FRAMES_SENT, COUNTER, "raft_frames_sent_total", "", "Frames packed for other nodes")    \
    X(RAFT_MESSAGES_SENT, COUNTER, "raft_messages_sent_total", "", "Messages of groups sent")      \
    X(RAFT_ENTRIES_SENT, COUNTER, "raft_entries_sent_total", "", "Entries sent to other nodes")    \
    X(RAFT_ENTRIES_RESENT, COUNTER, "raft_entries_resent_total", "",                               \
      "Of them those sent to a node that was sent them before, by the same leader")                \
    X(RAFT_ENTRY_BYTES_SENT, COUNTER, "raft_entry_bytes_sent_total", "",                           \
      "Bytes of entries sent to other nodes")                                                      \
    X(RAFT_ENTRY_BYTES_RESENT, COUNTER, "raft_entry_bytes_resent_total", "",                       \
      "Of them those of entries that were sent before")                                            \
    X(RAFT_FRAMES_REFUSED, COUNTER, "raft_frames_refused_total", "",                               \
      "Frames that were not what they should be")                                                  \
    X(RAFT_FRAMES_DROPPED, COUNTER, "raft_frames_dropped_total", "",                               \
      "Frames of strangers, or over the limit of the control lane")                                \
    X(RAFT_MESSAGES_REFUSED, COUNTER, "raft_messages_refused_total", "",                           \
      "Messages that contradict what is known")                                                    \
    X(RAFT_GROUPS_UNKNOWN, COUNTER, "raft_groups_unknown_total", "",                               \
      "Messages to groups that are not open here")                                                 \
    X(RAFT_INBOX_FULL, COUNTER, "raft_inbox_full_total", "",                                       \
      "Times a peer's lane was paused: received and not stepped")                                  \
    X(RAFT_OUTBOX_FULL, COUNTER, "raft_outbox_full_total", "",                                     \
      "Messages dropped: too many wait for a peer")                                                \
    X(RAFT_PEER_DOWNS, COUNTER, "raft_peer_downs_total", "", "Times a node was found to be down")  \
    X(RAFT_PEERS_FULL, COUNTER, "raft_peers_full_total", "",                                       \
      "Members that no process life has room for")                                                 \
    X(RAFT_UNRESTS, COUNTER, "raft_unrests_total", "", "Times resting groups were woken")          \
    X(RAFT_TRANSFERS, COUNTER, "raft_transfers_total", "result=\"ok\"", "Leaderships handed over") \
    X(RAFT_TRANSFERS_FAILED, COUNTER, "raft_transfers_total", "result=\"failed\"",                 \
      "Leaderships handed over")                                                                   \
    X(RAFT_SNAPSHOTS_SENT, COUNTER, "raft_snapshots_sent_total", "result=\"ok\"",                  \
      "Snapshots sent to peers")                                                                   \
    X(RAFT_SNAPSHOTS_FAILED, COUNTER, "raft_snapshots_sent_total", "result=\"failed\"",            \
      "Snapshots sent to peers")                                                                   \
    X(RAFT_SNAPSHOTS_REFUSED, COUNTER, "raft_snapshots_refused_total", "",                         \
      "Snapshots that could not begin: no machine for it, or too many at once")                    \
    X(RAFT_SNAPSHOTS_INSTALLED, COUNTER, "raft_snapshots_installed_total", "",                     \
      "Snapshots installed here")                                                                  \
    X(RAFT_SNAPSHOT_BYTES, COUNTER, "raft_snapshot_bytes_total", "direction=\"out\"",              \
      "Bytes of snapshots")                                                                        \
    X(RAFT_SNAPSHOT_BYTES_IN, COUNTER, "raft_snapshot_bytes_total", "direction=\"in\"",            \
      "Bytes of snapshots")                                                                        \
    X(CLAIMS_PROVED, COUNTER, "claims_proved_total", "",                                           \
      "Claims that took long and waited for a proof that this node still leads")                   \
    X(BODIES_MOVED, COUNTER, "bodies_moved_total", "", "Bodies that outlived the log")             \
    X(BODIES_MOVED_BYTES, COUNTER, "bodies_moved_bytes_total", "",                                 \
      "Bytes of bodies that outlived the log")                                                     \
    X(SHARDS_CLOSED_REMOVED, COUNTER, "shards_removed_total", "reason=\"closed\"",                \
      "Shards whose data went from this node's disk")                                             \
    X(SHARDS_MOVED_AWAY, COUNTER, "shards_removed_total", "reason=\"moved\"",                     \
      "Shards whose data went from this node's disk")                                             \
    X(BODY_CACHE_BYTES, GAUGE, "body_cache_bytes", "", "Bytes of bodies kept in memory")           \
    X(BODY_CACHE_HITS, COUNTER, "body_reads_total", "from=\"memory\"", "Body reads by place")      \
    X(BODY_LOG_READS, COUNTER, "body_reads_total", "from=\"disk\"", "Body reads by place")         \
    X(QUEUE_MESSAGES, GAUGE, "queue_messages", "", "Messages with recipients pending")             \
    X(QUEUE_WAITING, GAUGE, "queue_recipients", "state=\"waiting\"", "Recipients by state")        \
    X(QUEUE_CLAIMED, GAUGE, "queue_recipients", "state=\"claimed\"", "Recipients by state")        \
    X(QUEUE_HELD, GAUGE, "queue_recipients", "state=\"held\"", "Recipients by state")              \
    X(QUEUE_BYTES, GAUGE, "queue_bytes", "", "Bytes of messages with recipients pending")          \
    X(ATTEMPTS_DELIVERED, COUNTER, "attempts_total", "result=\"delivered\"",                       \
      "Recipient attempts by result")                                                              \
    X(ATTEMPTS_DEFERRED, COUNTER, "attempts_total", "result=\"deferred\"",                         \
      "Recipient attempts by result")                                                              \
    X(ATTEMPTS_BOUNCED, COUNTER, "attempts_total", "result=\"bounced\"",                           \
      "Recipient attempts by result")                                                              \
    X(ATTEMPTS_IN_DOUBT, COUNTER, "attempts_total", "result=\"in_doubt\"",                         \
      "Recipient attempts by result")                                                              \
    X(EXPIRED, COUNTER, "recipients_expired_total", "", "Recipients that expired")                 \
    X(BOUNCES, COUNTER, "bounces_total", "", "Delivery status notifications made")                 \
    X(CONNS_OUT_OPEN, GAUGE, "deliver_connections", "", "Connections to next hops open now")       \
    X(CONNS_OUT, COUNTER, "deliver_connections_total", "result=\"ok\"",                            \
      "Connections to next hops by result")                                                        \
    X(CONNS_OUT_FAILED, COUNTER, "deliver_connections_total", "result=\"failed\"",                 \
      "Connections to next hops by result")                                                        \
    X(TLS_OUT_FAILED, COUNTER, "deliver_tls_failed_total", "",                                     \
      "Next hops that gave no TLS where it was wanted")                                            \
    X(PINS_FAILED, COUNTER, "deliver_pins_failed_total", "",                                       \
      "Next hops whose key was none of the route's pins")                                          \
    X(AUTH_OUT_OK, COUNTER, "deliver_auth_total", "result=\"ok\"", "AUTH at next hops by result")  \
    X(AUTH_OUT_REFUSED, COUNTER, "deliver_auth_total", "result=\"refused\"",                       \
      "AUTH at next hops by result")                                                               \
    X(AUTH_OUT_LATER, COUNTER, "deliver_auth_total", "result=\"later\"",                           \
      "AUTH at next hops by result")                                                               \
    X(AUTH_OUT_NOT_OFFERED, COUNTER, "deliver_auth_total", "result=\"not_offered\"",               \
      "AUTH at next hops by result")                                                               \
    X(AUTH_OUT_NO_SECRET, COUNTER, "deliver_auth_total", "result=\"no_secret\"",                   \
      "AUTH at next hops by result")                                                               \
    X(TOKENS_OK, COUNTER, "oauth_refreshes_total", "result=\"ok\"",                                \
      "Access tokens asked of token endpoints")                                                    \
    X(TOKENS_REFUSED, COUNTER, "oauth_refreshes_total", "result=\"refused\"",                      \
      "Access tokens asked of token endpoints")                                                    \
    X(TOKENS_FAILED, COUNTER, "oauth_refreshes_total", "result=\"failed\"",                        \
      "Access tokens asked of token endpoints")                                                    \
    X(LANES, GAUGE, "deliver_lanes", "", "Destinations with work in memory")                       \
    X(LANES_FULL, COUNTER, "deliver_lanes_full_total", "", "Times no lane was free")               \
    X(HTTP_REQUESTS, COUNTER, "http_requests_total", "", "HTTP requests answered")                 \
    X(HTTP_BODIES_FULL, COUNTER, "http_bodies_full_total", "",                                     \
      "Requests refused: bodies of all at their limit")                                            \
    X(HTTP_REFUSED, COUNTER, "http_requests_refused_total", "",                                    \
      "HTTP requests refused (token, limits)")                                                     \
    X(MAILS_FORWARDED, COUNTER, "mails_forwarded_total", "direction=\"out\"",                      \
      "Mails that another node committed for this one, or this one for another")                   \
    X(MAILS_TAKEN, COUNTER, "mails_forwarded_total", "direction=\"in\"",                           \
      "Mails that another node committed for this one, or this one for another")                   \
    X(PEER_CALLS, COUNTER, "peer_calls_total", "result=\"begun\"", "Calls to other nodes")         \
    X(PEER_CALLS_REFUSED, COUNTER, "peer_calls_total", "result=\"refused\"", "Calls to other nodes")\
    X(PEER_CALLS_LATE, COUNTER, "peer_calls_late_total", "",                                       \
      "Calls to other nodes that got no answer in time")                                           \
    X(PEER_CALLS_OPEN, GAUGE, "peer_calls_open", "", "Calls to other nodes that wait for an answer")\
    X(PEER_ASKS, COUNTER, "peer_asks_total", "", "Calls of other nodes")                           \
    X(PEER_ASKS_REFUSED, COUNTER, "peer_asks_refused_total", "",                                   \
      "Calls of other nodes refused at a limit, or of a kind not known here")                      \
    X(PEER_ASKS_OPEN, GAUGE, "peer_asks_open", "", "Calls of other nodes that are not answered yet")\
    X(PEER_ANSWERS_DROPPED_CALLER, COUNTER, "peer_answers_dropped_total", "why=\"no_call\"",       \
      "Answers that nobody waits for any more")                                                    \
    X(PEER_ANSWERS_DROPPED_GONE, COUNTER, "peer_answers_dropped_total", "why=\"no_lane\"",         \
      "Answers that nobody waits for any more")                                                    \
    X(PEER_FRAMES_REFUSED, COUNTER, "peer_frames_refused_total", "",                               \
      "Calls and answers that were not what they should be")                                       \
    X(WIRE_FRAMES_IN_CONTROL, COUNTER, "wire_frames_total", "lane=\"control\",direction=\"in\"",   \
      "Frames between nodes")                                                                      \
    X(WIRE_FRAMES_IN_LOG, COUNTER, "wire_frames_total", "lane=\"log\",direction=\"in\"",           \
      "Frames between nodes")                                                                      \
    X(WIRE_FRAMES_IN_BULK, COUNTER, "wire_frames_total", "lane=\"bulk\",direction=\"in\"",         \
      "Frames between nodes")                                                                      \
    X(WIRE_FRAMES_OUT_CONTROL, COUNTER, "wire_frames_total", "lane=\"control\",direction=\"out\"", \
      "Frames between nodes")                                                                      \
    X(WIRE_FRAMES_OUT_LOG, COUNTER, "wire_frames_total", "lane=\"log\",direction=\"out\"",         \
      "Frames between nodes")                                                                      \
    X(WIRE_FRAMES_OUT_BULK, COUNTER, "wire_frames_total", "lane=\"bulk\",direction=\"out\"",       \
      "Frames between nodes")                                                                      \
    X(WIRE_BYTES_IN_CONTROL, COUNTER, "wire_bytes_total", "lane=\"control\",direction=\"in\"",     \
      "Payload bytes of frames between nodes")                                                     \
    X(WIRE_BYTES_IN_LOG, COUNTER, "wire_bytes_total", "lane=\"log\",direction=\"in\"",             \
      "Payload bytes of frames between nodes")                                                     \
    X(WIRE_BYTES_IN_BULK, COUNTER, "wire_bytes_total", "lane=\"bulk\",direction=\"in\"",           \
      "Payload bytes of frames between nodes")                                                     \
    X(WIRE_BYTES_OUT_CONTROL, COUNTER, "wire_bytes_total", "lane=\"control\",direction=\"out\"",   \
      "Payload bytes of frames between nodes")                                                     \
    X(WIRE_BYTES_OUT_LOG, COUNTER, "wire_bytes_total", "lane=\"log\",direction=\"out\"",           \
      "Payload bytes of frames between nodes")                                                     \
    X(WIRE_BYTES_OUT_BULK, COUNTER, "wire_bytes_total", "lane=\"bulk\",direction=\"out\"",         \
      "Payload bytes of frames between nodes")                                                     \
    X(WIRE_DROPPED_CONTROL, COUNTER, "wire_frames_dropped_total", "lane=\"control\"",              \
      "Frames dropped: the oldest of a full control lane, and what waited on a lane that went "    \
      "down")                                                                                      \
    X(WIRE_DROPPED_LOG, COUNTER, "wire_frames_dropped_total", "lane=\"log\"",                      \
      "Frames dropped: the oldest of a full control lane, and what waited on a lane that went "    \
      "down")                                                                                      \
    X(WIRE_DROPPED_BULK, COUNTER, "wire_frames_dropped_total", "lane=\"bulk\"",                    \
      "Frames dropped: the oldest of a full control lane, and what waited on a lane that went "    \
      "down")                                                                                      \
    X(WIRE_FULL_CONTROL, COUNTER, "wire_full_total", "lane=\"control\"",                           \
      "Times a lane was full: its oldest frame dropped (control) or the sender pushed back")       \
    X(WIRE_FULL_LOG, COUNTER, "wire_full_total", "lane=\"log\"",                                   \
      "Times a lane was full: its oldest frame dropped (control) or the sender pushed back")       \
    X(WIRE_FULL_BULK, COUNTER, "wire_full_total", "lane=\"bulk\"",                                 \
      "Times a lane was full: its oldest frame dropped (control) or the sender pushed back")       \
    X(WIRE_LANES_UP, GAUGE, "wire_lanes_up", "", "Lanes to other nodes that are up now")           \
    X(WIRE_UPS, COUNTER, "wire_ups_total", "", "Times a lane to another node came up")             \
    X(WIRE_CONNECTIONS, GAUGE, "wire_connections", "",                                             \
      "Connections between nodes open now, those not yet known included")                          \
    X(WIRE_DIALS, COUNTER, "wire_dials_total", "result=\"ok\"",                                    \
      "Attempts to connect to another node")                                                       \
    X(WIRE_DIALS_FAILED, COUNTER, "wire_dials_total", "result=\"failed\"",                         \
      "Attempts to connect to another node")                                                       \
    X(WIRE_ACCEPTS_FAILED, COUNTER, "wire_accepts_failed_total", "",                               \
      "Times the system gave no connection to accept (descriptors)")                               \
    X(WIRE_REFUSED_TLS, COUNTER, "wire_refused_total", "reason=\"tls\"",                           \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_CERTIFICATE, COUNTER, "wire_refused_total", "reason=\"certificate\"",           \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_EXPIRED, COUNTER, "wire_refused_total", "reason=\"expired\"",                   \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_NAME, COUNTER, "wire_refused_total", "reason=\"name\"",                         \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_MEMBER, COUNTER, "wire_refused_total", "reason=\"member\"",                     \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_NODE, COUNTER, "wire_refused_total", "reason=\"node\"",                         \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_HELLO, COUNTER, "wire_refused_total", "reason=\"hello\"",                       \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_CLUSTER, COUNTER, "wire_refused_total", "reason=\"cluster\"",                   \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_INCARNATION, COUNTER, "wire_refused_total", "reason=\"incarnation\"",           \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_FORMAT, COUNTER, "wire_refused_total", "reason=\"format\"",                     \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_FRAME, COUNTER, "wire_refused_total", "reason=\"frame\"",                       \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_SLOW, COUNTER, "wire_refused_total", "reason=\"slow\"",                         \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_LIMIT, COUNTER, "wire_refused_total", "reason=\"limit\"",                       \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_REMOVED, COUNTER, "wire_refused_total", "reason=\"removed\"",                   \
      "Connections between nodes that were refused here")                                          \
    X(WIRE_REFUSED_BY_PEER, COUNTER, "wire_refused_by_peer_total", "",                             \
      "Connections that another node refused")                                                     \
    X(WIRE_SILENT, COUNTER, "wire_silent_total", "", "Connections closed because nothing came")

#endif
