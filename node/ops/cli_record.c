/* cli_record - angarium tenant, credential, domain, route, rule, setting: the records of the cluster. One verb for each kind, all
 * with ls, show, set and rm. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ops/cli.h"
#include "node/ops/inside.h"
#include "node/settings/records.h"
#include "proto/ground/check.h"

#define PATH_SIZE      4096
#define WORDS_MAX      40
#define PAGE           "500"
#define PASSWORD_BYTES 18 /* of a new one, from the system; 24 characters */
#define SECRET_SIZE    1100

struct record_args {
    struct cli_target target;
    const char *kind; /* "tenant" */
    const char *tenant, *password_file, *version;
    bool generate;
    const char *words[WORDS_MAX];
    unsigned word_count;
};

static void make_path(const struct record_args *a, const char *name, struct buf *path)
{
    buf_init(path, PATH_SIZE);
    buf_addf(path, "/api/v1/%ss", a->kind);
    if (name) buf_add_u8(path, '/');
    if (name) cli_add_piece(path, name);
}

/* ---- ls and show */

/* "via=host auth.username=me": the fields, in one line. */
static void put_fields(const json_t *j, const char *prefix, bool is_inner, struct buf *out)
{
    const char *key;
    json_t *v;
    size_t i;

    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        char path[160];
        json_t *item;

        if (!is_inner &&
            (strcmp(key, "name") == 0 || strcmp(key, "version") == 0 || strcmp(key, "tenant") == 0))
            continue;
        snprintf(path, sizeof path, "%s%s%s", prefix, is_inner ? "." : "", key);
        if (json_is_object(v)) put_fields(v, path, true, out);
        if (json_is_string(v))
            buf_addf(out, "%s%s=%s", out->n > 0 ? " " : "", path, json_string_value(v));
        json_array_foreach(v, i, item)
            buf_addf(out, "%s%s=%s", out->n > 0 ? " " : "", path, json_string_value(item));
    }
}

static void add_row(struct cli_table *t, const json_t *record)
{
    struct buf fields, plain;

    buf_init(&fields, 64u << 10);
    buf_init(&plain, 256u << 10);
    put_fields(record, "", false, &fields);
    cli_plain(buf_cstr(&fields), &plain);
    cli_table_add(t, "%s", cli_text(record, "name"));
    cli_table_add(t, "%s", cli_text(record, "tenant"));
    cli_table_add(t, "%lld", (long long)cli_int(record, "version"));
    cli_table_add(t, "%s", buf_cstr(&plain));
    buf_deinit(&fields);
    buf_deinit(&plain);
}

static void print_records(const struct record_args *a, const json_t *items)
{
    static const char *const heads[] = { "name", "tenant", ">version", "fields" };
    struct cli_table t;
    json_t *item;
    size_t i;

    if (a->target.json) {
        json_t *page = json_pack("{s:O, s:n}", "items", items, "next_cursor");

        cli_print_json(page);
        json_decref(page);
        return;
    }
    cli_table_start(&t, heads, sizeof heads / sizeof heads[0]);
    json_array_foreach(items, i, item) add_row(&t, item);
    cli_table_print(&t, stdout);
}

/* The page behind the cursor into `items`; the next cursor, or "". */
static int take_page(const struct record_args *a, char *cursor, size_t size, json_t *items)
{
    struct cli_answer answer = { 0 };
    struct buf path;
    int rv;

    make_path(a, NULL, &path);
    cli_add_query(&path, "limit", PAGE);
    cli_add_query(&path, "tenant", a->tenant);
    cli_add_query(&path, "cursor", *cursor ? cursor : NULL);
    rv = cli_call(&a->target, "GET", buf_cstr(&path), NULL, (struct span){ 0 }, &answer);
    if (rv == CLI_DONE) {
        json_array_extend(items, json_object_get(answer.json, "items"));
        snprintf(cursor, size, "%s", cli_text(answer.json, "next_cursor"));
    }
    cli_answer_free(&answer);
    buf_deinit(&path);
    return rv;
}

static int run_ls(const struct record_args *a)
{
    json_t *items = json_array();
    char cursor[1024] = "";
    int rv;

    do
        rv = take_page(a, cursor, sizeof cursor, items);
    while (rv == CLI_DONE && *cursor);
    if (rv == CLI_DONE) print_records(a, items);
    json_decref(items);
    return rv;
}

/* The answer is to be freed in any case. */
static int call_one(const struct record_args *a, const char *method, struct cli_answer *answer)
{
    struct buf path;
    int rv;

    make_path(a, a->words[1], &path);
    rv = cli_call(&a->target, method, buf_cstr(&path), NULL, (struct span){ 0 }, answer);
    buf_deinit(&path);
    if (rv == CLI_DONE && a->target.json) cli_print_json(answer->json);
    return rv;
}

static int run_show(const struct record_args *a)
{
    struct cli_answer answer = { 0 };
    int rv = call_one(a, "GET", &answer);

    if (rv == CLI_DONE && !a->target.json) {
        json_t *items = json_pack("[O]", answer.json);

        print_records(a, items);
        json_decref(items);
    }
    cli_answer_free(&answer);
    return rv;
}

/* ---- set and rm */

/* FIELD=VALUE into the object; a field that is given again makes a list. */
static int take_field(const struct record_args *a, json_t *j, const char *word)
{
    const char *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : 0;
    struct span path = span_of(word, n);
    json_t *object = j, *value, *there;
    char key[80];

    if (n == 0 || n >= sizeof key)
        return cli_usage(a->kind, "\"%s\": a field is written FIELD=VALUE", word);
    for (size_t dot; (dot = span_find(path, 0, '.')) < path.n; path = span_from(path, dot + 1)) {
        json_t *inner;

        snprintf(key, sizeof key, "%.*s", (int)dot, (const char *)path.p);
        inner = json_object_get(object, key);
        if (!json_is_object(inner)) {
            inner = json_object();
            json_object_set_new(object, key, inner);
        }
        object = inner;
    }
    snprintf(key, sizeof key, "%.*s", SPAN_ARG(path));
    value = json_string(equals + 1);
    if (!value) return cli_usage(a->kind, "%s: is not UTF-8", key);
    there = json_object_get(object, key);
    if (there)
        value = json_is_array(there) ? json_pack("[o]", value) : json_pack("[O, o]", there, value);
    if (json_is_array(there))
        json_array_extend(there, value), json_decref(value);
    else
        json_object_set_new(object, key, value);
    return CLI_DONE;
}

/* A new password is said once, on stdout. */
static int take_password(const struct record_args *a, json_t *j, char out[SECRET_SIZE])
{
    unsigned char bytes[PASSWORD_BYTES];
    struct errmsg why = { "" };

    out[0] = '\0';
    if (a->password_file && a->generate)
        return cli_usage(a->kind, "--password-file or --generate, not both");
    if (a->generate) {
        if (sodium_init() < 0) return cli_fail(CLI_FAILED, "libsodium does not start");
        randombytes_buf(bytes, sizeof bytes);
        sodium_bin2base64(out, SECRET_SIZE, bytes, sizeof bytes,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        sodium_memzero(bytes, sizeof bytes);
    } else if (a->password_file) {
        const char *file = strcmp(a->password_file, "-") == 0 ? "/dev/stdin" : a->password_file;

        if (cli_read_secret(file, out, SECRET_SIZE, &why) != 0)
            return cli_fail(CLI_USAGE, "%s", why.text);
    }
    if (*out) json_object_set_new(j, "password", json_string(out));
    return CLI_DONE;
}

static int put(const struct record_args *a, const char *name, const json_t *j,
               struct cli_answer *answer)
{
    char *text = json_dumps(j, JSON_COMPACT);
    struct buf path;
    int rv;

    CHECK(text);
    make_path(a, name, &path);
    rv = cli_call(&a->target, "PUT", buf_cstr(&path), "application/json", span_cstr(text), answer);
    sodium_memzero(text, strlen(text));
    free(text);
    buf_deinit(&path);
    return rv;
}

static int run_set(const struct record_args *a)
{
    bool is_setting = strcmp(a->kind, "setting") == 0;
    struct cli_answer answer = { 0 };
    char password[SECRET_SIZE];
    json_t *j = json_object();
    int rv = take_password(a, j, password);

    if (a->tenant) json_object_set_new(j, "tenant", json_string(a->tenant));
    if (is_setting && a->word_count == 3 && !strchr(a->words[2], '='))
        json_object_set_new(j, "value", json_string(a->words[2]));
    else
        for (unsigned i = 2; rv == CLI_DONE && i < a->word_count; i++)
            rv = take_field(a, j, a->words[i]);
    if (rv == CLI_DONE) rv = put(a, a->words[1], j, &answer);
    if (rv == CLI_DONE && a->generate)
        json_object_set_new(answer.json, "password", json_string(password));
    if (rv == CLI_DONE && a->target.json)
        cli_print_json(answer.json);
    else if (rv == CLI_DONE && a->generate)
        printf("%s\n", password);
    cli_answer_free(&answer);
    sodium_memzero(password, sizeof password);
    json_decref(j);
    return rv;
}

static int run_rm(const struct record_args *a)
{
    struct cli_answer answer = { 0 };
    int rv = call_one(a, "DELETE", &answer);

    cli_answer_free(&answer);
    return rv;
}

/* ---- the verbs */

static int find_command(const struct record_args *a, int (**out)(const struct record_args *a))
{
    const char *word = a->word_count > 0 ? a->words[0] : "";

    *out = NULL;
    if (strcmp(word, "ls") == 0 && a->word_count == 1) *out = run_ls;
    if (strcmp(word, "show") == 0 && a->word_count == 2) *out = run_show;
    if (strcmp(word, "rm") == 0 && a->word_count == 2) *out = run_rm;
    if (strcmp(word, "set") == 0 && a->word_count >= 2) *out = run_set;
    return *out ? CLI_DONE
                : cli_usage(a->kind, "ls, show NAME, set NAME [FIELD=VALUE ...] or rm NAME?");
}

static int run(int argc, char **argv)
{
    struct record_args a = { .kind = argv[0] };
    int (*command)(const struct record_args *a) = NULL;
    uint64_t version = 0;
    const struct cli_option options[] = { CLI_TARGET_OPTIONS(a.target),
                                          { .name = "tenant", .text = &a.tenant },
                                          { .name = "password-file", .text = &a.password_file },
                                          { .name = "generate", .flag = &a.generate },
                                          { .name = "if-version", .text = &a.version } };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], a.words, WORDS_MAX,
                      &a.word_count);

    if (rv == 0) rv = find_command(&a, &command);
    if (rv == 0 && a.version)
        rv = cli_number("if-version", a.version, 1, PROTO_INDEX_MAX, &version);
    if (rv == 0 && (a.password_file || a.generate) && strcmp(a.kind, "credential") != 0)
        rv = cli_usage(a.kind, "only a credential has a password");
    if (rv == 0) rv = cli_target_find(&a.target);
    if (rv != 0) return rv;
    a.target.patience_ms = CLI_PATIENCE_MS;
    if (version > 0)
        snprintf(a.target.if_match, sizeof a.target.if_match, "\"%llu\"",
                 (unsigned long long)version);
    return command(&a);
}

/* ---- angarium cluster import */

static json_t *json_of(const Angarium__ControlRecord *r)
{
    json_t *j = json_of_record(r);
    struct span hash = control_field(r, "password_hash");

    json_object_del(j, "version");
    json_put_bytes(j, "password_hash", hash);
    return j;
}

static int import_one(const struct cli_target *t, const Angarium__ControlRecord *r)
{
    struct record_args a = { .target = *t, .kind = control_kind_name((enum control_kind)r->kind) };
    char *name = span_dup(proto_span(r->name));
    struct cli_answer answer = { 0 };
    json_t *j = json_of(r);
    int rv = put(&a, name, j, &answer);

    if (rv != CLI_DONE) fprintf(stderr, "angarium: that was %s %s\n", a.kind, name);
    cli_answer_free(&answer);
    json_decref(j);
    free(name);
    return rv;
}

int cli_import(struct cli_target *t, const char *file)
{
    struct settings_records records = { 0 };
    struct settings *s = NULL;
    struct buf errors;
    int rv = cli_target_find(t);
    size_t done = 0;

    if (rv != CLI_DONE) return rv;
    t->patience_ms = CLI_PATIENCE_MS;
    buf_init(&errors, 64u << 10);
    if (settings_read(&s, file, &errors) != 0) {
        fprintf(stderr, "%s", buf_cstr(&errors));
        rv = CLI_FAILED;
    } else {
        settings_records_of(s, &records);
    }
    buf_deinit(&errors);
    for (; rv == CLI_DONE && done < records.count; done++)
        rv = import_one(t, records.list[done]);
    if (rv == CLI_DONE) printf("%zu records of %s are in force\n", done, file);
    settings_records_free(&records);
    settings_unref(&s);
    return rv;
}

#define USAGE "ls | show NAME | rm NAME | set NAME "
#define COMMON                                                                                     \
    "set writes it whole: a field that is not given is not set. --if-version N: only when that "   \
    "is "                                                                                          \
    "its last version.\n"                                                                          \
    "A change is in force on all nodes within a second. A node alone has no such records: there "  \
    "they are lists of\n"                                                                          \
    "its settings file.\n"                                                                         \
    "\n"                                                                                           \
    "Examples:\n"

const struct cli_verb cli_verb_tenant = {
    .name = "tenant",
    .usage = USAGE "[-o table|json]",
    .line = "the tenants of the cluster",
    .help = "A tenant goes only when it has no credentials, domains and rules any more.\n" COMMON
            "  angarium tenant ls\n"
            "  angarium tenant set acme\n"
            "  angarium tenant set acme in_doubt=hold   mail that may have arrived is not sent "
            "again by itself\n"
            "  angarium tenant rm acme\n",
    .run = run,
};

const struct cli_verb cli_verb_credential = {
    .name = "credential",
    .usage = USAGE "--tenant T [--password-file FILE | --generate] [addresses=NETWORKS]",
    .line = "who may log in, and for which tenant",
    .help = "The password comes from a file (- is standard input), or is made and printed, once; "
            "what is kept is its "
            "argon2id\n"
            "hash. Without either a credential that is there keeps its password. addresses=: where "
            "it may come from.\n" COMMON "  angarium credential ls --tenant acme\n"
            "  angarium credential set app1 --tenant acme --generate\n"
            "  angarium credential set app2 --tenant acme --password-file - < password\n"
            "  angarium credential set app1 --tenant acme addresses=192.0.2.0/24\n"
            "  angarium credential rm app2\n",
    .run = run,
};

const struct cli_verb cli_verb_domain = {
    .name = "domain",
    .usage = USAGE "--tenant T",
    .line = "which domains are whose",
    .help = "A tenant uses its domains in senders; the MX service takes mail for them.\n" COMMON
            "  angarium domain set acme.example --tenant acme\n"
            "  angarium domain ls --tenant acme\n"
            "  angarium domain rm acme.example\n",
    .run = run,
};

const struct cli_verb cli_verb_route = {
    .name = "route",
    .usage = USAGE "via=mx|host|inbox [host=H:P] [tls=none|may|encrypt|verify] [FIELD=VALUE ...]",
    .line = "where mail goes",
    .help =
        "NAME is what it matches: a domain, .domain (all below it), or '*'. The one that says most "
        "wins. Fields are "
        "those of\n"
        "routes in a settings file; those of its account as auth.username=, auth.password_file=, "
        "auth.oauth.token_url=. Files\n"
        "have to be on each node, under the same whole path.\n" COMMON "  angarium route ls\n"
        "  angarium route set '*' via=mx\n"
        "  angarium route set example.org via=host host=smart.example.net:587 tls=verify "
        "auth.username=me "
        "auth.password_file=/etc/angarium/smart.password\n"
        "  angarium route rm example.org\n",
    .run = run,
};

const struct cli_verb cli_verb_rule = {
    .name = "rule",
    .usage = USAGE
    "part=header|body|file match=PATTERN [field=F] [action=reject|tag] [text=T] [--tenant T]",
    .line = "what mail may say",
    .help = "Content rules, as content_rules of a settings file; they are looked at in the order "
            "of their names.\n" COMMON
            "  angarium rule set no-exe part=file 'match=*.exe' 'text=no programs, please'\n"
            "  angarium rule ls\n"
            "  angarium rule rm no-exe\n",
    .run = run,
};

const struct cli_verb cli_verb_setting = {
    .name = "setting",
    .usage = USAGE "VALUE",
    .line = "settings of the whole cluster",
    .help = "limits.*, delivery.* and content.* of a settings file, for all nodes: it wins over "
            "their files. Without it "
            "each file counts.\n" COMMON "  angarium setting set delivery.expire_ms 2d\n"
            "  angarium setting ls\n"
            "  angarium setting rm delivery.expire_ms\n",
    .run = run,
};
