/* records_of - the lists of a settings file as records of the whole cluster. */
#include <stdlib.h>

#include "node/settings/inside.h"
#include "node/settings/records.h"
#include "proto/ground/check.h"

static ProtobufCBinaryData own(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    ProtobufCBinaryData d = { .len = n };

    if (n == 0) return d;
    d.data = check_malloc(n);
    memcpy(d.data, text, n);
    return d;
}

static Angarium__ControlRecord *add_record(struct settings_records *out, enum control_kind kind,
                                           const char *name, const char *tenant)
{
    Angarium__ControlRecord *r = check_calloc(1, sizeof *r);

    angarium__control_record__init(r);
    r->kind = kind;
    r->name = own(name);
    r->tenant = own(tenant);
    out->list = check_realloc(out->list, (out->count + 1) * sizeof(Angarium__ControlRecord *));
    return out->list[out->count++] = r;
}

/* Nothing for what is not set. */
static void add_field(Angarium__ControlRecord *r, const char *name, const char *value)
{
    Angarium__ControlField *f;

    if (!value || !*value) return;
    f = check_calloc(1, sizeof *f);
    angarium__control_field__init(f);
    f->name = own(name);
    f->value = own(value);
    r->fields = check_realloc(r->fields, (r->n_fields + 1) * sizeof(Angarium__ControlField *));
    r->fields[r->n_fields++] = f;
}

static void add_login(Angarium__ControlRecord *r, const struct settings_login *a)
{
    add_field(r, "auth.username", a->username);
    add_field(r, "auth.password_file", a->password_file);
    add_field(r, "auth.access_token_file", a->access_token_file);
    add_field(r, "auth.oauth.token_url", a->oauth.token_url);
    add_field(r, "auth.oauth.client_id", a->oauth.client_id);
    add_field(r, "auth.oauth.client_secret_file", a->oauth.client_secret_file);
    add_field(r, "auth.oauth.refresh_token_file", a->oauth.refresh_token_file);
    add_field(r, "auth.oauth.scope", a->oauth.scope);
    add_field(r, "auth.oauth.ca_file", a->oauth.ca_file);
}

static void add_route(struct settings_records *out, const struct settings_route *from)
{
    static const char *const vias[] = { "mx", "host", "inbox" };
    Angarium__ControlRecord *r = add_record(out, CONTROL_ROUTE, from->match, NULL);

    add_field(r, "via", vias[from->via]);
    add_field(r, "host", from->host);
    add_field(r, "tls", from->tls);
    add_field(r, "tls_min", from->tls_min);
    add_field(r, "tls_ca_file", from->tls_ca_file);
    for (unsigned i = 0; i < from->pin_count; i++)
        add_field(r, "pins", from->pins[i]);
    if (from->auth.username) add_login(r, &from->auth);
}

static void add_rule(struct settings_records *out, const struct settings_content_rule *from)
{
    Angarium__ControlRecord *r = add_record(out, CONTROL_RULE, from->name, from->tenant);

    add_field(r, "part", from->part);
    add_field(r, "field", from->field);
    add_field(r, "match", from->match);
    add_field(r, "action", from->action);
    add_field(r, "text", from->text);
}

void settings_records_of(const struct settings *s, struct settings_records *out)
{
    *out = (struct settings_records){ 0 };
    for (unsigned i = 0; i < s->tenant_count; i++) {
        Angarium__ControlRecord *r = add_record(out, CONTROL_TENANT, s->tenants[i].name, NULL);

        if (strcmp(s->tenants[i].in_doubt, "hold") == 0) add_field(r, "in_doubt", "hold");
    }
    for (unsigned i = 0; i < s->tenant_count; i++)
        for (unsigned k = 0; k < s->tenants[i].domain_count; k++)
            add_record(out, CONTROL_DOMAIN, s->tenants[i].domains[k], s->tenants[i].name);
    for (unsigned i = 0; i < s->credential_count; i++) {
        const struct settings_credential *c = &s->credentials[i];
        Angarium__ControlRecord *r = add_record(out, CONTROL_CREDENTIAL, c->username, c->tenant);

        add_field(r, "password_hash", c->password_hash);
        add_field(r, "addresses", c->addresses);
    }
    for (unsigned i = 0; i < s->route_count; i++)
        add_route(out, &s->routes[i]);
    for (unsigned i = 0; i < s->content_rule_count; i++)
        add_rule(out, &s->content_rules[i]);
}

void settings_records_free(struct settings_records *r)
{
    for (size_t i = 0; i < r->count; i++)
        angarium__control_record__free_unpacked(r->list[i], NULL);
    free(r->list);
    *r = (struct settings_records){ 0 };
}

/* ---- beside what control has */

static bool is_same(const Angarium__ControlRecord *a, const Angarium__ControlRecord *b)
{
    if (!span_eq(proto_span(a->tenant), proto_span(b->tenant)) || a->n_fields != b->n_fields)
        return false;
    for (size_t i = 0; i < a->n_fields; i++)
        if (!span_eq(proto_span(a->fields[i]->name), proto_span(b->fields[i]->name)) ||
            !span_eq(proto_span(a->fields[i]->value), proto_span(b->fields[i]->value)))
            return false;
    return true;
}

unsigned settings_records_missing(const struct settings_records *r, const struct control *c)
{
    unsigned missing = 0;

    for (size_t i = 0; i < r->count; i++) {
        const Angarium__ControlRecord *there =
            control_record(c, (enum control_kind)r->list[i]->kind, proto_span(r->list[i]->name));

        missing += !there || !is_same(r->list[i], there);
    }
    return missing;
}
