/* answer - what a token endpoint says, read out of JSON of whoever is there (RFC 6749 5.1, 5.2).
 *
 * A token is taken only if it can stand in AUTH and in a header (RFC 6750 2.1): visible ASCII. The texts of errors are
 * not repeated, only the code; some endpoints put into the text what they were sent.
 */
#include "node/login/inside.h"

#include <jansson.h>
#include <stdio.h>

#define LIFE_S_DEFAULT 3600u /* RFC 6749 5.1: it may be left out */
#define LIFE_S_MIN     10u
#define LIFE_S_MAX     86400u

static struct span text_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    if (!json_is_string(v)) return span_of(NULL, 0);
    return span_of(json_string_value(v), json_string_length(v));
}

static bool is_visible(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f) return false;
    return s.n > 0 && s.n <= SECRET_SIZE_MAX;
}

/* Some say the number in quotes. */
static uint64_t life_s(const json_t *object)
{
    const json_t *v = json_object_get(object, "expires_in");
    uint64_t s = LIFE_S_DEFAULT;

    if (json_is_integer(v))
        s = json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
    else if (json_is_real(v))
        s = json_real_value(v) > 0 && json_real_value(v) < LIFE_S_MAX ? (uint64_t)json_real_value(v)
                                                                      : 0;
    else if (json_is_string(v) && span_u64(text_of(object, "expires_in"), UINT32_MAX, &s) != 0)
        s = LIFE_S_DEFAULT;
    if (s < LIFE_S_MIN) return LIFE_S_MIN;
    return s < LIFE_S_MAX ? s : LIFE_S_MAX;
}

static int read_token(const json_t *object, struct login_token *out, struct errmsg *why)
{
    struct span access = text_of(object, "access_token"), type = text_of(object, "token_type");
    struct span refresh = text_of(object, "refresh_token");

    if (!is_visible(access))
        return errmsg_set(why, ERR_SYNTAX, "the answer holds no access_token that can be used");
    if (type.n > 0 && !span_eq_nocase(type, SPAN_LIT("bearer")))
        return errmsg_set(why, ERR_SYNTAX, "the answer's token_type is not Bearer");
    if (refresh.n > 0 && !is_visible(refresh))
        return errmsg_set(why, ERR_SYNTAX, "the answer holds a refresh_token that cannot be used");
    out->access = secret_new(access);
    if (refresh.n > 0) out->refresh = secret_new(refresh);
    out->life_ms = life_s(object) * 1000;
    return 0;
}

/* A code of RFC 6749 5.2, of its characters. */
static void read_error(const json_t *object, struct login_token *out)
{
    struct span code = text_of(object, "error");

    if (!is_visible(code) || code.n >= sizeof out->error) return;
    for (size_t i = 0; i < code.n; i++)
        if (code.p[i] == '"' || code.p[i] == '\\') return;
    memcpy(out->error, code.p, code.n);
    out->error[code.n] = '\0';
}

static void wipe(const json_t *object, const char *key)
{
    struct span s = text_of(object, key);

    secret_wipe((void *)(uintptr_t)s.p, s.n);
}

int login_token_read(unsigned status, struct span body, struct login_token *out, struct errmsg *why)
{
    bool is_refusal = status >= 400 && status < 500 && status != 408 && status != 429;
    json_t *object;
    int rv;

    *out = (struct login_token){ .access = NULL };
    object = body.n <= LOGIN_ANSWER_SIZE
                 ? json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL)
                 : NULL;
    read_error(object, out);
    if (status != 200)
        rv = errmsg_set(why, is_refusal ? ERR_DENIED : ERR_IO, "the answer is %u%s%s", status,
                        out->error[0] ? ": " : "", out->error);
    else if (!json_is_object(object))
        rv = errmsg_set(why, ERR_SYNTAX, "the answer is no JSON object");
    else
        rv = read_token(object, out, why);
    wipe(object, "access_token");
    wipe(object, "refresh_token");
    json_decref(object);
    return rv;
}

void login_token_deinit(struct login_token *t)
{
    secret_unref(&t->access);
    secret_unref(&t->refresh);
}
