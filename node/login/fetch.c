/* fetch - where the secret comes from: a file, or the token endpoint (RFC 6749 6). On a pool's thread, one at a time.
 *
 * A refresh token that comes with an answer takes the place of the one before (RFC 6749 6): it is written into
 * refresh_token_file. Where that cannot be, it is kept in memory, until somebody puts another one into the file.
 */
#include "node/login/inside.h"

#include <stdio.h>

#include "proto/ground/ascii.h"
#include "proto/ground/check.h"
#include "proto/ground/log.h"
#include "proto/ground/metric.h"

#define FORM_SIZE_MAX (6 * SECRET_SIZE_MAX + 8192) /* two secrets, each byte as %XX */

/* ---- the form (RFC 6749 appendix B) */

static bool is_plain(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static void add_value(struct buf *form, const char *key, struct span value)
{
    static const char hex[] = "0123456789ABCDEF";

    buf_addf(form, "%s%s=", form->n > 0 ? "&" : "", key);
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.p[i];
        char escaped[3] = { '%', hex[c >> 4], hex[c & 15] };

        if (is_plain(c))
            buf_add_u8(form, c);
        else
            buf_add(form, escaped, sizeof escaped);
    }
}

static void fill_form(const struct login *l, const struct secret *refresh,
                      const struct secret *client_secret, struct buf *form)
{
    CHECK(buf_room(form, FORM_SIZE_MAX) != NULL); /* at once: what grows leaves copies behind */
    add_value(form, "grant_type", SPAN_LIT("refresh_token"));
    add_value(form, "refresh_token", secret_bytes(refresh));
    if (*l->client_id) add_value(form, "client_id", span_cstr(l->client_id));
    if (client_secret) add_value(form, "client_secret", secret_bytes(client_secret));
    if (*l->scope) add_value(form, "scope", span_cstr(l->scope));
}

/* ---- the refresh token */

static int read_refresh(struct login *l, struct secret **out, struct errmsg *why)
{
    int rv = secret_file_read(l->refresh_token_file, out, why);

    if (rv != 0 || !l->rotated) return rv;
    if (secret_eq(*out, l->replaced)) {
        secret_unref(out);
        *out = secret_ref(l->rotated);
    } else { /* somebody has been here */
        secret_unref(&l->rotated);
        secret_unref(&l->replaced);
    }
    return 0;
}

/* `used` has come to its end. */
static void keep_rotated(struct login *l, const struct secret *used, struct secret *fresh)
{
    struct errmsg why = { "" };
    struct secret *in_file = l->replaced ? secret_ref(l->replaced) : secret_new(secret_bytes(used));

    secret_unref(&l->rotated);
    secret_unref(&l->replaced);
    if (secret_file_write(l->refresh_token_file, fresh, &why) == 0) {
        secret_unref(&in_file);
        return;
    }
    l->rotated = secret_ref(fresh);
    l->replaced = in_file;
    log_event(LOG_ERROR, "login.refresh_token_not_kept", LOG_TEXT("username", l->username),
              LOG_TEXT("why", why.text),
              LOG_TEXT("help", "the endpoint gave a new refresh token; it is in memory only, and a "
                               "restart will need a new grant: let the node write the file"));
}

/* ---- asking the endpoint */

static int ask(struct login *l, const char *form, struct login_token *token, struct errmsg *why)
{
    unsigned status = 0;
    struct buf body;
    int rv;

    buf_init(&body, LOGIN_ANSWER_SIZE);
    CHECK(buf_room(&body, LOGIN_ANSWER_SIZE) != NULL);
    rv = login_post(l, form, &status, &body, why);
    if (rv == 0) rv = login_token_read(status, buf_span(&body), token, why);
    secret_wipe(body.p, body.n);
    buf_deinit(&body);
    if (rv != 0) errmsg_wrap(why, rv, "%s", l->token_url);
    return rv;
}

static int refresh_with(struct login *l, const struct secret *refresh, struct login_token *token,
                        struct errmsg *why)
{
    struct secret *client_secret = NULL;
    struct buf form;
    int rv = 0;

    if (*l->client_secret_file) rv = secret_file_read(l->client_secret_file, &client_secret, why);
    if (rv != 0) return rv;
    buf_init(&form, FORM_SIZE_MAX);
    fill_form(l, refresh, client_secret, &form);
    rv = ask(l, buf_cstr(&form), token, why);
    secret_wipe(form.p, form.n);
    buf_deinit(&form);
    secret_unref(&client_secret);
    return rv;
}

static uint64_t early_ms(uint64_t life_ms)
{
    return life_ms / 10 < LOGIN_EARLY_MS ? life_ms / 10 : LOGIN_EARLY_MS;
}

static void fetch_token(struct login *l, struct login_catch *out)
{
    struct login_token token = { .access = NULL };
    struct secret *refresh = NULL;

    out->result = read_refresh(l, &refresh, &out->why);
    if (out->result == 0) out->result = refresh_with(l, refresh, &token, &out->why);
    if (out->result == 0) {
        if (token.refresh && !secret_eq(token.refresh, refresh))
            keep_rotated(l, refresh, token.refresh);
        out->secret = secret_ref(token.access);
        out->life_ms = token.life_ms - early_ms(token.life_ms);
        log_event(LOG_INFO, "login.token", LOG_TEXT("username", l->username),
                  LOG_NUM("life_ms", token.life_ms));
    }
    metric_add(out->result == 0            ? M_TOKENS_OK
               : out->result == ERR_DENIED ? M_TOKENS_REFUSED
                                           : M_TOKENS_FAILED,
               1);
    login_token_deinit(&token);
    secret_unref(&refresh);
}

void login_fetch(struct login *l, struct login_catch *out)
{
    if (l->kind == LOGIN_ENDPOINT) {
        fetch_token(l, out);
        return;
    }
    out->result = secret_file_read(l->file, &out->secret, &out->why);
    out->life_ms = LOGIN_LOOK_MS;
}
