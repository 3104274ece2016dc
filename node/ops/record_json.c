/* record_json - records of the cluster as the API speaks of them: a JSON object, in which inner mappings are objects ("auth":
 * {"username": ...}) and several fields of one name are a list ("pins": [...]). */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ops/inside.h"
#include "node/settings/records.h"
#include "proto/ground/check.h"

#define DEPTH_MAX   3
#define HASH_PASSES 2
#define HASH_MEMORY (19u << 20)
#define HASH_FIELD  "password_hash"

/* ---- passwords */

int record_hash(const char *password, char *out, size_t size)
{
    CHECK(size >= crypto_pwhash_STRBYTES);
    if (sodium_init() < 0) return ERR_UNSUPPORTED;
    return crypto_pwhash_str(out, password, strlen(password), HASH_PASSES, HASH_MEMORY) == 0
               ? 0
               : ERR_FULL;
}

bool record_hash_ok(struct span hash)
{
    char text[crypto_pwhash_STRBYTES];

    if (hash.n >= sizeof text || !span_starts_nocase(hash, SPAN_LIT("$argon2id$"))) return false;
    memcpy(text, hash.p, hash.n);
    text[hash.n] = '\0';
    return strlen(text) == hash.n &&
           crypto_pwhash_str_needs_rehash(text, crypto_pwhash_OPSLIMIT_MIN,
                                          crypto_pwhash_MEMLIMIT_MIN) != -1;
}

/* ---- to JSON */

/* The object that a path's last member stands in, and that member's name. */
static json_t *object_of(json_t *j, struct span path, struct span *key)
{
    size_t dot = span_find(path, 0, '.');
    char name[CONTROL_FIELD_SIZE_MAX + 1];
    json_t *inner;

    *key = path;
    if (dot == path.n) return j;
    snprintf(name, sizeof name, "%.*s", (int)dot, (const char *)path.p);
    inner = json_object_get(j, name);
    if (!json_is_object(inner)) {
        inner = json_object();
        json_object_set_new(j, name, inner);
    }
    return object_of(inner, span_from(path, dot + 1), key);
}

static void put_field(json_t *j, const Angarium__ControlField *f)
{
    struct span key;
    json_t *object = object_of(j, proto_span(f->name), &key), *value, *there, *list;
    char name[CONTROL_FIELD_SIZE_MAX + 1];

    snprintf(name, sizeof name, "%.*s", SPAN_ARG(key));
    value = json_of_bytes(proto_span(f->value));
    there = json_object_get(object, name);
    if (!there && strcmp(name, "pins") != 0) {
        json_object_set_new(object, name, value);
        return;
    }
    list = json_is_array(there) ? json_incref(there) : json_array();
    if (there && !json_is_array(there)) json_array_append(list, there);
    json_array_append_new(list, value);
    json_object_set_new(object, name, list);
}

json_t *json_of_record(const Angarium__ControlRecord *r)
{
    json_t *j = json_object();

    json_object_set_new(j, "name", json_of_bytes(proto_span(r->name)));
    json_object_set_new(j, "version", json_integer((json_int_t)r->version));
    json_put_bytes(j, "tenant", proto_span(r->tenant));
    for (size_t i = 0; i < r->n_fields; i++)
        if (!span_eq(proto_span(r->fields[i]->name), SPAN_LIT(HASH_FIELD)))
            put_field(j, r->fields[i]);
    return j;
}

/* ---- from JSON */

static ProtobufCBinaryData own(struct span s)
{
    ProtobufCBinaryData d = { .len = s.n };

    if (s.n == 0) return d;
    d.data = check_malloc(s.n);
    memcpy(d.data, s.p, s.n);
    return d;
}

void record_add_field(Angarium__ControlRecord *r, struct span name, struct span value)
{
    Angarium__ControlField *f = check_calloc(1, sizeof *f);

    angarium__control_field__init(f);
    f->name = own(name);
    f->value = own(value);
    r->fields = check_realloc(r->fields, (r->n_fields + 1) * sizeof(Angarium__ControlField *));
    r->fields[r->n_fields++] = f;
}

static int refuse(struct errmsg *why, const char *path, const char *fault)
{
    return errmsg_set(why, ERR_CONFIG, "%s: %s", path, fault);
}

static int take_scalar(Angarium__ControlRecord *r, const char *path, const json_t *v,
                       struct errmsg *why)
{
    char number[32];

    if (r->n_fields == CONTROL_FIELDS_MAX) return refuse(why, path, "there are too many fields");
    if (json_is_integer(v)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        record_add_field(r, span_cstr(path), span_cstr(number));
    } else if (json_is_boolean(v)) {
        record_add_field(r, span_cstr(path), span_cstr(json_is_true(v) ? "true" : "false"));
    } else if (json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v)) {
        record_add_field(r, span_cstr(path), span_cstr(json_string_value(v)));
    } else if (!json_is_null(v)) {
        return refuse(why, path, "a text is needed");
    }
    return 0;
}

static int take_fields(Angarium__ControlRecord *r, const char *prefix, const json_t *j,
                       unsigned depth, struct errmsg *why);

static int take_value(Angarium__ControlRecord *r, const char *path, const json_t *v, unsigned depth,
                      struct errmsg *why)
{
    const json_t *item;
    size_t i;
    int rv = 0;

    if (json_is_object(v) && depth == DEPTH_MAX) return refuse(why, path, "is too deep");
    if (json_is_object(v)) return take_fields(r, path, v, depth + 1, why);
    if (!json_is_array(v)) return take_scalar(r, path, v, why);
    json_array_foreach(v, i, item)
    {
        if (rv == 0) rv = take_scalar(r, path, item, why);
    }
    return rv;
}

/* Members that are the record's own, not fields of it. */
static bool is_own(const char *key, unsigned depth)
{
    static const char *const names[] = { "name", "version", "tenant", "password" };

    for (size_t i = 0; depth == 0 && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(key, names[i]) == 0) return true;
    return false;
}

static int take_fields(Angarium__ControlRecord *r, const char *prefix, const json_t *j,
                       unsigned depth, struct errmsg *why)
{
    char path[CONTROL_FIELD_SIZE_MAX + 1];
    const json_t *v;
    const char *key;
    int rv = 0;

    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        int n = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", key);

        if (is_own(key, depth)) continue;
        if (n < 1 || (size_t)n >= sizeof path || strpbrk(key, ". ") || !*key)
            return errmsg_set(why, ERR_CONFIG, "\"%.60s\": there is no such field", key);
        rv = take_value(r, path, v, depth, why);
        if (rv != 0) return rv;
    }
    return 0;
}

static int take_name(enum control_kind kind, const char *name, const json_t *j,
                     Angarium__ControlRecord *r, struct errmsg *why)
{
    const json_t *given = json_object_get(j, "name");
    const char *text = given ? json_string_value(given) : name;
    char *copy;

    if (!text || !*text || strlen(text) > CONTROL_NAME_SIZE_MAX ||
        (given && strlen(text) != json_string_length(given)))
        return errmsg_set(why, ERR_CONFIG, "name: a text of 1 to %u bytes is needed",
                          CONTROL_NAME_SIZE_MAX);
    if (name && strcmp(text, name) != 0)
        return errmsg_set(why, ERR_CONFIG, "name: is another one than in the path; a name stays");
    copy = check_strdup(text);
    settings_record_name(kind, copy);
    r->name = own(span_cstr(copy));
    free(copy);
    return 0;
}

static int take_password(enum control_kind kind, const json_t *j, char **out, struct errmsg *why)
{
    const json_t *v = json_object_get(j, "password");
    size_t n = v && json_is_string(v) ? json_string_length(v) : 0;

    if (!v || json_is_null(v)) return 0;
    if (kind != CONTROL_CREDENTIAL) return refuse(why, "password", "there is no such field");
    if (n < OPS_PASSWORD_SIZE_MIN || n > OPS_PASSWORD_SIZE_MAX || strlen(json_string_value(v)) != n)
        return errmsg_set(why, ERR_CONFIG, "password: a text of %d to %d bytes is needed",
                          OPS_PASSWORD_SIZE_MIN, OPS_PASSWORD_SIZE_MAX);
    if (json_object_get(j, HASH_FIELD))
        return refuse(why, "password", "is given, and password_hash as well");
    *out = check_strdup(json_string_value(v));
    return 0;
}

/* Who has one, needs one. */
static int take_tenant(enum control_kind kind, const json_t *j, Angarium__ControlRecord *r,
                       struct errmsg *why)
{
    const json_t *v = json_object_get(j, "tenant");
    bool needed = kind == CONTROL_CREDENTIAL || kind == CONTROL_DOMAIN;
    const char *text = json_string_value(v);

    if (v && !json_is_null(v) && (!text || strlen(text) > CONTROL_NAME_SIZE_MAX))
        return refuse(why, "tenant", "a name is needed");
    if (needed && (!text || !*text)) return refuse(why, "tenant", "is missing");
    if (!needed && kind != CONTROL_RULE && v && !json_is_null(v))
        return refuse(why, "tenant", "there is no such field");
    r->tenant = own(span_cstr(text ? text : ""));
    return 0;
}

int record_of_json(enum control_kind kind, const char *name, const json_t *j,
                   Angarium__ControlRecord **out, char **password, struct errmsg *why)
{
    Angarium__ControlRecord *r = check_calloc(1, sizeof *r);
    int rv;

    *password = NULL;
    *out = NULL;
    angarium__control_record__init(r);
    r->kind = kind;
    rv = take_name(kind, name, j, r, why);
    if (rv == 0) rv = take_tenant(kind, j, r, why);
    if (rv == 0) rv = take_fields(r, "", j, 0, why);
    if (rv == 0) rv = take_password(kind, j, password, why);
    if (rv != 0) {
        angarium__control_record__free_unpacked(r, NULL);
        return rv;
    }
    *out = r;
    return 0;
}
