/* post - one request to a token endpoint, by libcurl: bounded in time and size, no redirects, no other protocol than
 * the URL's, certificates verified.
 */
#include "node/login/inside.h"

#include <curl/curl.h>

#include "proto/ground/check.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_curl(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

/* What does not fit ends the request: CURLE_WRITE_ERROR. */
static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct buf *body = arg;

    if (size * count > LOGIN_ANSWER_SIZE - body->n) return 0;
    buf_add(body, bytes, size * count);
    return size * count;
}

/* Asked about once a second. */
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct login *l = arg;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load(&l->is_stopped);
}

static bool is_https(const struct login *l)
{
    return span_starts_nocase(span_cstr(l->token_url), SPAN_LIT("https://"));
}

static void set_up(CURL *c, const struct login *l, const char *form, struct buf *body)
{
    curl_easy_setopt(c, CURLOPT_URL, l->token_url);
    CHECK(curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, is_https(l) ? "https" : "http") == CURLE_OK);
    if (!is_https(l)) curl_easy_setopt(c, CURLOPT_PROXY, ""); /* loopback: no detour in clear */
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (*l->token_ca_file) curl_easy_setopt(c, CURLOPT_CAINFO, l->token_ca_file);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)LOGIN_ANSWER_MS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)LOGIN_ANSWER_MS / 3);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, l);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "angarium/" ANGARIUM_VERSION);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, form); /* not copied */
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
}

static int error_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        return ERR_TLS;
    case CURLE_WRITE_ERROR:
        return ERR_TOO_LONG;
    default:
        return ERR_IO;
    }
}

int login_post(const struct login *l, const char *form, unsigned *status, struct buf *body,
               struct errmsg *why)
{
    long code = 0;
    CURLcode done;
    CURL *c;

    pthread_once(&once, open_curl);
    c = curl_easy_init();
    CHECK(c != NULL);
    set_up(c, l, form, body);
    done = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_cleanup(c);
    *status = (unsigned)code;
    if (done == CURLE_OK) return 0;
    return errmsg_set(why, error_of(done), "%s",
                      done == CURLE_WRITE_ERROR ? "the answer is too long"
                                                : curl_easy_strerror(done));
}
