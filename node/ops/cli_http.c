/* cli_http - requests of the command line to a node's HTTP API, by libcurl.
 *
 * What the API refuses is told in its own words (problem+json) on stderr, and becomes an exit code.
 * A request that changes something and whose answer never came is CLI_UNKNOWN: it may have
 * happened.
 */
#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"
#include "proto/ground/clock.h"

#define ANSWER_SIZE_MAX    (256u << 20)
#define CONNECT_TIMEOUT_MS 5000
#define ANSWER_TIMEOUT_MS  60000
#define LINE_SIZE_MAX      (1u << 20)
#define AGAIN_MS           100

/* ---- setting one up */

static void open_curl(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static CURL *new_handle(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CURL *c;

    pthread_once(&once, open_curl);
    c = curl_easy_init();
    CHECK(c);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "angarium/" ANGARIUM_VERSION);
    return c;
}

static struct curl_slist *add_line(struct curl_slist *list, const char *name, const char *value)
{
    char line[512];
    struct curl_slist *more;

    snprintf(line, sizeof line, "%s: %s", name, value);
    more = curl_slist_append(list, line);
    CHECK(more);
    return more;
}

static struct curl_slist *set_up(CURL *c, const struct cli_target *t, const char *path,
                                 const char *content_type)
{
    struct curl_slist *headers = NULL;
    char bearer[300];
    struct buf url;

    buf_init(&url, 64u << 10);
    buf_addf(&url, "%s%s", t->url, path);
    curl_easy_setopt(c, CURLOPT_URL, buf_cstr(&url));
    buf_deinit(&url);
    if (t->ca_path[0]) curl_easy_setopt(c, CURLOPT_CAINFO, t->ca_path);
    snprintf(bearer, sizeof bearer, "Bearer %s", t->token);
    if (t->token[0]) headers = add_line(headers, "Authorization", bearer);
    if (content_type) headers = add_line(headers, "Content-Type", content_type);
    if (t->if_match[0]) headers = add_line(headers, "If-Match", t->if_match);
    headers = add_line(headers, "Expect", "");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    return headers;
}

/* ---- what a refusal means */

int cli_exit_of(long status, const char *type)
{
    const char *name = strrchr(type, ':');

    name = name ? name + 1 : "";
    if (strcmp(name, "no-quorum") == 0 || strcmp(name, "not-reached") == 0) return CLI_NO_QUORUM;
    if (strcmp(name, "outcome-unknown") == 0) return CLI_UNKNOWN;
    if (status == 404 || status == 410) return CLI_NOT_FOUND;
    if (status == 401 || status == 403) return CLI_NOT_ALLOWED;
    if (status == 409 || status == 412) return CLI_REFUSED;
    return CLI_FAILED;
}

static int tell_refusal(struct cli_answer *a)
{
    const char *detail = cli_text(a->json, "detail"), *title = cli_text(a->json, "title");
    struct buf shown;

    if (!a->json && a->body.n > 0 &&
        a->body.n < 200) { /* the server itself refuses in plain text */
        while (a->body.n > 0 && a->body.p[a->body.n - 1] == '\n')
            a->body.n--;
        detail = buf_cstr(&a->body);
    }

    buf_init(&shown, 64u << 10);
    cli_plain(*detail ? detail : *title ? title : "no reason was given", &shown);
    fprintf(stderr, "angarium: %s (%ld)\n", buf_cstr(&shown), a->status);
    buf_deinit(&shown);
    return cli_exit_of(a->status, cli_text(a->json, "type"));
}

static int tell_broken(CURLcode code, const struct cli_target *t, bool changes)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return cli_fail(CLI_FAILED, "no node answers at %s: %s", t->url, curl_easy_strerror(code));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return cli_fail(CLI_FAILED, "%s: no TLS: %s; whom to trust is said by --ca-file FILE, or ANGARIUM_CA_FILE", t->url,
                        curl_easy_strerror(code));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return cli_fail(CLI_USAGE, "%s is no endpoint; write it as http://127.0.0.1:12502", t->url);
    default:
        if (changes)
            return cli_fail(CLI_UNKNOWN, "%s did not answer (%s): whether it was done is not known",
                            t->url, curl_easy_strerror(code));
        return cli_fail(CLI_FAILED, "%s: %s", t->url, curl_easy_strerror(code));
    }
}

/* ---- one request */

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct buf *body = arg;

    buf_add(body, p, size * n);
    return buf_failed(body) ? 0 : size * n;
}

int cli_call(const struct cli_target *t, const char *method, const char *path,
             const char *content_type, struct span body, struct cli_answer *out)
{
    CURL *c = new_handle();
    struct curl_slist *headers = set_up(c, t, path, content_type);
    bool changes = strcmp(method, "GET") != 0;
    uint64_t until_ms = clock_mono_ms(&clock_real) + t->patience_ms;
    CURLcode code;

    *out = (struct cli_answer){ 0 };
    buf_init(&out->body, ANSWER_SIZE_MAX);
    if (changes) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.n > 0 ? (const char *)body.p : "");
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    }
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)ANSWER_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &out->body);
    for (;;) {
        code = curl_easy_perform(c);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &out->status);
        if (code != CURLE_OK || out->status != 503 || clock_mono_ms(&clock_real) >= until_ms) break;
        buf_reset(&out->body);
        poll(NULL, 0, AGAIN_MS);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    if (code != CURLE_OK) return tell_broken(code, t, changes);
    out->json = json_loadb((const char *)out->body.p, out->body.n, 0, NULL);
    return out->status >= 300 ? tell_refusal(out) : CLI_DONE;
}

void cli_answer_free(struct cli_answer *a)
{
    json_decref(a->json);
    a->json = NULL;
    buf_deinit(&a->body);
}

long cli_probe(const char *url, unsigned timeout_ms)
{
    CURL *c = new_handle();
    struct buf body;
    long status = 0;

    buf_init(&body, 64u << 10);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
    if (curl_easy_perform(c) == CURLE_OK) curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(c);
    buf_deinit(&body);
    return status;
}

/* ---- bytes */

#define FETCH_SILENCE_S 60L

struct fetch {
    CURL *curl;
    struct buf refusal;
    bool (*take)(void *arg, struct span bytes);
    void *arg;
};

static size_t on_fetched(char *p, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;
    long status = 0;

    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 300) return f->take(f->arg, span_of(p, size * n)) ? size * n : 0;
    buf_add(&f->refusal, p, size * n);
    return buf_failed(&f->refusal) ? 0 : size * n;
}

static int fetch_refused(struct fetch *f, long status, struct errmsg *why)
{
    json_t *j = json_loadb((const char *)f->refusal.p, f->refusal.n, 0, NULL);
    int rv = cli_exit_of(status, cli_text(j, "type"));
    struct buf shown;

    buf_init(&shown, 64u << 10);
    cli_plain(cli_text(j, "detail"), &shown);
    errmsg_set(why, ERR_REFUSED, "%s (%ld)", buf_cstr(&shown), status);
    buf_deinit(&shown);
    json_decref(j);
    return rv;
}

int cli_fetch(const struct cli_target *t, const char *path,
              bool (*take)(void *arg, struct span bytes), void *arg, struct errmsg *why)
{
    struct fetch f = { .curl = new_handle(), .take = take, .arg = arg };
    struct curl_slist *headers = set_up(f.curl, t, path, NULL);
    long status = 0;
    CURLcode code;
    int rv = CLI_DONE;

    buf_init(&f.refusal, 64u << 10);
    curl_easy_setopt(f.curl, CURLOPT_WRITEFUNCTION, on_fetched);
    curl_easy_setopt(f.curl, CURLOPT_WRITEDATA, &f);
    curl_easy_setopt(f.curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(f.curl, CURLOPT_LOW_SPEED_TIME, FETCH_SILENCE_S);
    code = curl_easy_perform(f.curl);
    curl_easy_getinfo(f.curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300) {
        rv = fetch_refused(&f, status, why);
    } else if (code != CURLE_OK) {
        errmsg_set(why, ERR_IO, "%s: %s", t->url, curl_easy_strerror(code));
        rv = CLI_FAILED;
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(f.curl);
    buf_deinit(&f.refusal);
    return rv;
}

/* ---- a stream of lines */

struct follow {
    CURL *curl;
    struct buf line;
    struct buf refusal;
    bool (*on_line)(void *arg, struct span line);
    void *arg;
    bool stopped;
};

static size_t on_stream(char *p, size_t size, size_t n, void *arg)
{
    struct follow *f = arg;
    struct span bytes = span_of(p, size * n);
    long status = 0;

    curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300) {
        buf_add_span(&f->refusal, bytes);
        return bytes.n;
    }
    while (bytes.n > 0 && !f->stopped) {
        size_t end = span_find(bytes, 0, '\n');

        buf_add_span(&f->line, span_sub(bytes, 0, end));
        if (end == bytes.n) break;
        f->stopped = !f->on_line(f->arg, buf_span(&f->line));
        buf_reset(&f->line);
        bytes = span_from(bytes, end + 1);
    }
    return f->stopped ? 0 : size * n;
}

int cli_follow(const struct cli_target *t, const char *path,
               bool (*on_line)(void *arg, struct span line), void *arg)
{
    struct follow f = { .curl = new_handle(), .on_line = on_line, .arg = arg };
    struct curl_slist *headers = set_up(f.curl, t, path, NULL);
    struct cli_answer refusal = { 0 };
    CURLcode code;
    int rv = CLI_DONE;

    buf_init(&f.line, LINE_SIZE_MAX);
    buf_init(&f.refusal, 64u << 10);
    curl_easy_setopt(f.curl, CURLOPT_WRITEFUNCTION, on_stream);
    curl_easy_setopt(f.curl, CURLOPT_WRITEDATA, &f);
    code = curl_easy_perform(f.curl);
    curl_easy_getinfo(f.curl, CURLINFO_RESPONSE_CODE, &refusal.status);
    if (refusal.status >= 300) {
        refusal.json = json_loadb((const char *)f.refusal.p, f.refusal.n, 0, NULL);
        rv = tell_refusal(&refusal);
        json_decref(refusal.json);
    } else if (!f.stopped && code != CURLE_OK) {
        rv = tell_broken(code, t, false);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(f.curl);
    buf_deinit(&f.line);
    buf_deinit(&f.refusal);
    return rv;
}

/* ---- paths */

void cli_add_piece(struct buf *path, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_add_u8(path, (uint8_t)*text);
        else
            buf_addf(path, "%%%02X", (unsigned)(uint8_t)*text);
    }
}

void cli_add_query(struct buf *path, const char *key, const char *value)
{
    if (!value) return;
    buf_addf(path, "%c%s=", span_find(buf_span(path), 0, '?') < path->n ? '&' : '?', key);
    cli_add_piece(path, value);
}
