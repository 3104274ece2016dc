/* auth - private to accept: who may. Credentials and tenants never change once made; a reload makes
 * a new accept_auth. The cache of verified passwords has a mutex: sessions of all loops share it.
 */
#ifndef ACCEPT_AUTH_H
#define ACCEPT_AUTH_H

#include "node/accept/accept.h"

#define AUTH_CACHE_MAX    4096
#define AUTH_USERNAME_MAX 255
#define AUTH_SECRET_MAX   12288 /* a line of AUTH, decoded: never more */

struct credential {
    char *username, *tenant, *password_hash, *addresses;
};

/* Verifies a password, for a client at the address `from`; from where the credential may not come it
 * is as wrong as any, and as long to find out. 0: right, *out is set (it lives as long as a). ERR_AGAIN: on_done(arg, rv,
 * credential) comes on loop l, not inside; forget with auth_attempt_forget. ERR_FULL: too many at
 * once. A wrong password or an unknown name is told by on_done only, with ERR_DENIED; ERR_IO: it
 * could not be found out. */
struct auth_attempt;
int auth_verify(struct accept_auth *a, struct loop *l, const char *from, struct span username,
                struct span password, const struct credential **out,
                struct auth_attempt **attempt_out,
                void (*on_done)(void *arg, int rv, const struct credential *credential), void *arg);
/* For the log: was it the address? */
bool auth_is_elsewhere(const struct accept_auth *a, const char *from, struct span username);
/* on_done does not come any more; nulls; takes NULL. */
void auth_attempt_forget(struct auth_attempt **attempt);

/* The tenant that a domain belongs to, or NULL. `key` as smtp_domain_key prints it. */
const char *auth_tenant_of_domain(const struct accept_auth *a, struct span key);
bool auth_tenant_holds_doubts(const struct accept_auth *a, const char *tenant);
bool auth_tenant_has_domain(const struct accept_auth *a, struct span tenant, struct span key);

/* For tests. */
size_t auth_cache_count(struct accept_auth *a);
#define AUTH_HASH_SIZE 128 /* crypto_pwhash_STRBYTES */
/* What the password of an unknown name is verified against. */
void auth_dummy_hash(const struct accept_auth *a, struct span username, char out[AUTH_HASH_SIZE]);

#endif
