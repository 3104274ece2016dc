/* records_of - the lists of a settings file as records of the whole cluster. */
#include <stdio.h>
#include <stdlib.h>

#include "node/settings/inside.h"
#include "node/settings/records.h"
#include "proto/ground/check.h"

#define VALUE_SIZE 8192

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

/* A value as it would stand in a file; nothing when it is what is meant without it. */
static void add_value(Angarium__ControlRecord *r, const char *name, const struct field *f,
                      const void *slot)
{
    struct buf text;

    buf_init(&text, VALUE_SIZE);
    if (field_is_text(f->type))
        buf_add_cstr(&text, *(char *const *)slot ? *(char *const *)slot : "");
    else
        value_print(f, slot, true, &text);
    if (!f->fallback || strcmp(buf_cstr(&text), f->fallback) != 0)
        add_field(r, name, buf_cstr(&text));
    buf_deinit(&text);
}

/* All members but those that the record has itself. */
static void add_members(Angarium__ControlRecord *r, const struct field_set *set, void *object,
                        const char *prefix, const struct record_shape *shape)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct field *f = &set->fields[i];
        void *slot = field_slot(f, object);
        char name[CONTROL_FIELD_SIZE_MAX + 1];

        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", f->key);
        if (shape && record_shape_has(shape, span_cstr(f->key))) continue;
        if (field_inner(f)) {
            add_members(r, field_inner(f), slot, name, NULL);
        } else if (field_is_list(f->type)) {
            struct text_list list = field_list(f, slot);

            for (unsigned k = 0; k < *list.count; k++)
                add_field(r, name, (*list.texts)[k]);
        } else {
            add_value(r, name, f, slot);
        }
    }
}

static const char *text_of(const struct field_set *set, void *element, const char *key)
{
    for (size_t i = 0; key && i < set->count; i++)
        if (strcmp(set->fields[i].key, key) == 0)
            return *(char **)field_slot(&set->fields[i], element);
    return NULL;
}

static void add_list(struct settings_records *out, const struct settings *s, enum control_kind kind)
{
    const struct record_shape *shape = &record_shapes[kind];
    const struct list_kind *list = record_list(kind);
    char *elements = *(char *const *)(const void *)((const char *)s + list->list_offset);
    unsigned count = *(const unsigned *)(const void *)((const char *)s + list->count_offset);

    for (unsigned i = 0; i < count; i++) {
        void *element = elements + i * list->element_size;

        add_members(add_record(out, kind, text_of(&list->set, element, shape->name),
                               text_of(&list->set, element, shape->tenant)),
                    &list->set, element, "", shape);
    }
}

void settings_records_of(const struct settings *s, struct settings_records *out)
{
    *out = (struct settings_records){ 0 };
    add_list(out, s, CONTROL_TENANT);
    for (unsigned i = 0; i < s->tenant_count; i++)
        for (unsigned k = 0; k < s->tenants[i].domain_count; k++)
            add_record(out, CONTROL_DOMAIN, s->tenants[i].domains[k], s->tenants[i].name);
    add_list(out, s, CONTROL_CREDENTIAL);
    add_list(out, s, CONTROL_ROUTE);
    add_list(out, s, CONTROL_RULE);
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
