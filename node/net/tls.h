/* tls - TLS contexts (OpenSSL): 1.2 and 1.3, ECDHE with AEAD only, session tickets; reference counted, so
 * that a reload swaps the context under running listeners. Contexts may be used by streams of any loop. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "proto/ground/err.h"

struct tls;

/* Server: certificate chain and key, PEM files. ERR_TLS with the reason (file, what is wrong). */
int tls_server_new(struct tls **out, const char *cert_file, const char *key_file,
                   struct errmsg *why);
enum tls_verify { TLS_VERIFY_NONE /* opportunistic */, TLS_VERIFY_PEER };
/* Client: ca_file NULL: the system's roots. */
int tls_client_new(struct tls **out, enum tls_verify verify, const char *ca_file,
                   struct errmsg *why);
struct tls *tls_ref(struct tls *t); /* any thread */
void tls_unref(struct tls **t);     /* any thread */
/* Makes a CA and a certificate for hosts signed by it (P-256), PEM, mode 0600 for keys: for `angarium dev`
 * and tests. Files: dir/ca.pem, dir/ca.key, dir/node.pem, dir/node.key; what exists is kept. */
int tls_make_dev_files(const char *dir, const char *const *hosts, unsigned host_count,
                       struct errmsg *why);

#endif
