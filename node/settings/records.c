/* records - a record becomes an element of a list of the settings, by the tables of fields.c. */
#include <stdlib.h>

#include "node/settings/inside.h"
#include "node/settings/records.h"
#include "node/smtp/address.h"
#include "proto/ground/ascii.h"
#include "proto/ground/check.h"

const struct record_shape record_shapes[CONTROL_KIND_END] = {
    [CONTROL_TENANT] = { "tenants", "name", NULL },
    [CONTROL_CREDENTIAL] = { "credentials", "username", "tenant" },
    [CONTROL_ROUTE] = { "routes", "match", NULL },
    [CONTROL_RULE] = { "content_rules", "name", "tenant" },
};
static const char *const shared_sections[] = { "limits", "delivery", "content" };

const struct list_kind *record_list(enum control_kind kind)
{
    for (size_t i = 0; record_shapes[kind].list && i < field_list_count; i++)
        if (strcmp(field_lists[i].set.name, record_shapes[kind].list) == 0) return &field_lists[i];
    return NULL;
}

/* ---- one value */

/* The field behind a path of members, and its slot; NULL: there is none. */
static const struct field *find_path(const struct field_set *set, struct span path, void *object,
                                     void **slot)
{
    size_t dot = span_find(path, 0, '.');
    struct span key = span_sub(path, 0, dot);

    for (size_t i = 0; i < set->count; i++) {
        const struct field *f = &set->fields[i];
        const struct field_set *inner = field_inner(f);

        if (!span_eq(key, span_cstr(f->key))) continue;
        *slot = field_slot(f, object);
        if (!inner) return dot == path.n ? f : NULL;
        return dot < path.n ? find_path(inner, span_from(path, dot + 1), *slot, slot) : NULL;
    }
    return NULL;
}

static int set_value(const struct field *f, void *slot, struct span value, struct errmsg *why)
{
    char *text = NULL;
    int rv;

    if (f->type == FIELD_PATH && value.n > 0 && value.p[0] != '/')
        return errmsg_set(why, ERR_CONFIG, "must be a whole path, from /, the same on every node");
    if (field_is_list(f->type)) {
        struct text_list list = field_list(f, slot);

        if (*list.count == list.max) return errmsg_set(why, ERR_CONFIG, "at most %u", list.max);
        if (!*list.texts) *list.texts = check_calloc(list.max, sizeof **list.texts);
        rv = value_read(f, value, "", &(*list.texts)[*list.count], why);
        if (rv == 0) ++*list.count;
        return rv;
    }
    if (!field_is_text(f->type)) return value_read(f, value, "", slot, why);
    rv = value_read(f, value, "", &text, why);
    if (rv != 0) return rv;
    free(*(char **)slot);
    *(char **)slot = text;
    return 0;
}

static int set_member(const struct field_set *set, void *element, struct span path,
                      struct span value, struct errmsg *why)
{
    void *slot = NULL;
    const struct field *f = find_path(set, path, element, &slot);
    int rv;

    if (!f) return errmsg_set(why, ERR_CONFIG, "%.*s: there is no such field", SPAN_ARG(path));
    rv = set_value(f, slot, value, why);
    return rv == 0 ? 0 : errmsg_wrap(why, rv, "%.*s", SPAN_ARG(path));
}

/* ---- one element */

static bool is_given(const Angarium__ControlRecord *r, const char *key)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (span_eq(proto_span(r->fields[i]->name), span_cstr(key))) return true;
    return false;
}

/* A mapping of which something is given needs what it needs. */
static int check_inner(const struct field_set *set, void *element, struct errmsg *why)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct field *f = &set->fields[i];
        const struct field_set *inner = field_inner(f);
        void *at = field_slot(f, element);
        bool some = false;

        for (size_t k = 0; inner && k < inner->count; k++) {
            const struct field *m = &inner->fields[k];
            const char *text = field_is_text(m->type) ? *(char **)field_slot(m, at) : NULL;

            some = some || (text && *text);
            if (field_inner(m))
                some = some || *(char **)field_slot(field_inner(m)->fields, field_slot(m, at));
        }
        for (size_t k = 0; some && k < inner->count; k++)
            if (!inner->fields[k].fallback && !*(char **)field_slot(&inner->fields[k], at))
                return errmsg_set(why, ERR_CONFIG, "%s.%s is missing", f->key,
                                  inner->fields[k].key);
        if (inner && check_inner(inner, at, why) != 0)
            return errmsg_wrap(why, ERR_CONFIG, "%s", f->key);
    }
    return 0;
}

static int check_needed(const struct list_kind *kind, const struct record_shape *shape,
                        const Angarium__ControlRecord *r, void *element, struct errmsg *why)
{
    for (size_t i = 0; i < kind->set.count; i++) {
        const struct field *f = &kind->set.fields[i];

        if (f->fallback || strcmp(f->key, shape->name) == 0) continue;
        if (shape->tenant && strcmp(f->key, shape->tenant) == 0) continue;
        if (!is_given(r, f->key)) return errmsg_set(why, ERR_CONFIG, "%s is missing", f->key);
    }
    return check_inner(&kind->set, element, why);
}

bool record_shape_has(const struct record_shape *shape, struct span key)
{
    return span_eq(key, span_cstr(shape->name)) ||
           (shape->tenant && span_eq(key, span_cstr(shape->tenant))) ||
           span_eq(key, SPAN_LIT("domains"));
}

static int fill_element(const struct list_kind *kind, const Angarium__ControlRecord *r,
                        void *element, struct errmsg *why)
{
    const struct record_shape *shape = &record_shapes[r->kind];
    int rv;

    parse_fallbacks(&kind->set, element);
    rv = set_member(&kind->set, element, span_cstr(shape->name), proto_span(r->name), why);
    if (rv == 0 && shape->tenant && r->tenant.len > 0)
        rv = set_member(&kind->set, element, span_cstr(shape->tenant), proto_span(r->tenant), why);
    for (size_t i = 0; rv == 0 && i < r->n_fields; i++) {
        struct span key = proto_span(r->fields[i]->name);

        if (record_shape_has(shape, key))
            rv = errmsg_set(why, ERR_CONFIG, "%.*s: there is no such field", SPAN_ARG(key));
        else
            rv = set_member(&kind->set, element, key, proto_span(r->fields[i]->value), why);
    }
    return rv == 0 ? check_needed(kind, shape, r, element, why) : rv;
}

static void *list_room(struct settings *s, const struct list_kind *kind, unsigned **count)
{
    void **list = (void **)(void *)((char *)s + kind->list_offset);

    *count = (unsigned *)(void *)((char *)s + kind->count_offset);
    return (char *)*list + **count * kind->element_size;
}

static void list_begin(struct settings *s, const struct list_kind *kind, unsigned count)
{
    void **list = (void **)(void *)((char *)s + kind->list_offset);

    *list = check_calloc(count + 1, kind->element_size);
    *(unsigned *)(void *)((char *)s + kind->count_offset) = 0;
}

/* The element that was begun is given up. */
static void drop_last(const struct list_kind *kind, void *element, unsigned *count)
{
    for (size_t i = 0; i < kind->set.count; i++)
        value_free(&kind->set.fields[i], field_slot(&kind->set.fields[i], element));
    memset(element, 0, kind->element_size);
    --*count;
}

/* What the members of one element say together; check.c and check_route.c say it of files, too. */
static int check_last(struct settings *s, enum control_kind kind, bool with_files,
                      struct errmsg *why)
{
    struct buf errors;
    struct parse p = { .s = s, .with_files = with_files, .errors = &errors };
    int rv = 0;

    buf_init(&errors, 64u << 10);
    if (kind == CONTROL_ROUTE) check_route(&p, s->route_count - 1);
    if (kind == CONTROL_RULE) check_content_rule(&p, s->content_rule_count - 1);
    if (p.error_count > 0) {
        size_t end = span_find(buf_span(&errors), 0, '\n');

        rv = errmsg_set(why, ERR_CONFIG, "%.*s", (int)end, (const char *)errors.p);
    }
    buf_deinit(&errors);
    return rv;
}

static int add_element(struct settings *s, const Angarium__ControlRecord *r, bool with_files,
                       struct errmsg *why)
{
    const struct list_kind *kind = record_list((enum control_kind)r->kind);
    unsigned *count;
    void *element = list_room(s, kind, &count);
    int rv;

    ++*count;
    rv = fill_element(kind, r, element, why);
    if (rv == 0) rv = check_last(s, (enum control_kind)r->kind, with_files, why);
    if (rv != 0) drop_last(kind, element, count);
    return rv;
}

/* ---- domains and settings */

static bool is_canonical(struct span name)
{
    struct buf key;
    bool same;

    buf_init(&key, SMTP_DOMAIN_SIZE_MAX);
    same = smtp_domain_key(name, &key) == 0 && !buf_failed(&key);
    buf_deinit(&key);
    return same;
}

static int check_domain(const Angarium__ControlRecord *r, struct errmsg *why)
{
    if (r->n_fields > 0) return errmsg_set(why, ERR_CONFIG, "a domain has no fields");
    if (value_domain_ok(proto_span(r->name)) && is_canonical(proto_span(r->name))) return 0;
    return errmsg_set(why, ERR_CONFIG, "\"%.*s\" is not a domain name (ASCII; xn-- form)",
                      SPAN_ARG(proto_span(r->name)));
}

static int compare_tenant(const void *key, const void *element)
{
    return strcmp(key, ((const struct settings_tenant *)element)->name);
}

/* The tenants are there, in the order of their names. */
static void add_domain(struct settings *s, const Angarium__ControlRecord *r)
{
    char *name = span_dup(proto_span(r->tenant));
    struct settings_tenant *t =
        bsearch(name, s->tenants, s->tenant_count, sizeof *t, compare_tenant);

    free(name);
    if (!t) return;
    t->domains = check_realloc(t->domains, (t->domain_count + 1) * sizeof *t->domains);
    t->domains[t->domain_count++] = span_dup(proto_span(r->name));
}

static const struct field *find_shared(struct span name, struct settings *s, void **slot)
{
    size_t dot = span_find(name, 0, '.');

    for (size_t i = 0; dot < name.n && i < sizeof shared_sections / sizeof *shared_sections; i++)
        for (size_t k = 0; k < field_section_count; k++)
            if (strcmp(field_sections[k].name, shared_sections[i]) == 0 &&
                span_eq(span_sub(name, 0, dot), span_cstr(shared_sections[i])))
                return find_path(&field_sections[k], span_from(name, dot + 1), s, slot);
    return NULL;
}

static int set_setting(struct settings *s, const Angarium__ControlRecord *r, struct errmsg *why)
{
    void *slot = NULL;
    const struct field *f = find_shared(proto_span(r->name), s, &slot);
    int rv;

    if (!f)
        return errmsg_set(
            why, ERR_CONFIG,
            "there is no such setting of a cluster; limits.*, delivery.* and content.* are");
    if (r->n_fields != 1 || !span_eq(proto_span(r->fields[0]->name), SPAN_LIT("value")))
        return errmsg_set(why, ERR_CONFIG, "value is missing");
    rv = set_value(f, slot, proto_span(r->fields[0]->value), why);
    return rv == 0 ? 0 : errmsg_wrap(why, rv, "value");
}

/* ---- one record alone */

int settings_record_check(const Angarium__ControlRecord *r, bool with_files, struct errmsg *why)
{
    struct settings *s = check_calloc(1, sizeof *s);
    const struct list_kind *kind = record_list((enum control_kind)r->kind);
    int rv;

    atomic_init(&s->refs, 1);
    if (r->kind == CONTROL_DOMAIN) {
        rv = check_domain(r, why);
    } else if (r->kind == CONTROL_SETTING) {
        rv = set_setting(s, r, why);
    } else {
        list_begin(s, record_list(CONTROL_TENANT), 1);
        if (r->tenant.len > 0) { /* that he is there is for control to say */
            s->tenants[0].name = span_dup(proto_span(r->tenant));
            s->tenant_count = 1;
        }
        if (kind != record_list(CONTROL_TENANT)) list_begin(s, kind, 1);
        rv = add_element(s, r, with_files, why);
    }
    settings_unref(&s);
    return rv;
}

void settings_record_name(enum control_kind kind, char *name)
{
    if (kind == CONTROL_DOMAIN || kind == CONTROL_ROUTE) ascii_make_lower(name);
}

/* ---- all of them */

static void copy_fields(const struct field_set *set, void *object)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct field *f = &set->fields[i];
        char **slot = field_slot(f, object);

        CHECK(!field_is_list(f->type)); /* only of lists that records replace */
        if (field_inner(f)) copy_fields(field_inner(f), slot);
        if (field_is_text(f->type) && *slot) *slot = check_strdup(*slot);
    }
}

static void copy_list(const struct list_kind *kind, const struct settings *from,
                      struct settings *to)
{
    const void *list = *(void *const *)(const void *)((const char *)from + kind->list_offset);
    unsigned n = *(const unsigned *)(const void *)((const char *)from + kind->count_offset), *count;
    void *room;

    list_begin(to, kind, n);
    room = list_room(to, kind, &count);
    if (n > 0) memcpy(room, list, n * kind->element_size);
    *count = n;
    for (unsigned i = 0; i < n; i++)
        copy_fields(&kind->set, (char *)room + i * kind->element_size);
}

static const struct record_shape *shape_of(const struct list_kind *kind)
{
    for (unsigned i = CONTROL_TENANT; i < CONTROL_KIND_END; i++)
        if (record_shapes[i].list && strcmp(record_shapes[i].list, kind->set.name) == 0)
            return &record_shapes[i];
    return NULL;
}

/* All of `file` but the lists that records replace, which are empty. */
static struct settings *copy_of(const struct settings *file, const struct control *c)
{
    struct settings *s = check_malloc(sizeof *s);

    memcpy(s, file, sizeof *s);
    atomic_init(&s->refs, 1);
    s->file = check_strdup(file->file);
    for (size_t i = 0; i < field_section_count; i++)
        copy_fields(&field_sections[i], s);
    for (size_t i = 0; i < field_list_count; i++) {
        const struct record_shape *shape = shape_of(&field_lists[i]);

        if (shape)
            list_begin(s, &field_lists[i],
                       control_record_count(c, (enum control_kind)(shape - record_shapes)));
        else
            copy_list(&field_lists[i], file, s);
    }
    return s;
}

/* A name before the domains below one, longer ones first, "*" last. */
static int match_rank(struct span match)
{
    return span_eq(match, SPAN_LIT("*")) ? 2 : match.p[0] == '.' ? 1 : 0;
}

static int compare_matches(const void *x, const void *y)
{
    const Angarium__ControlRecord *const *a = x, *const *b = y;
    struct span m = proto_span((*a)->name), n = proto_span((*b)->name);

    if (match_rank(m) != match_rank(n)) return match_rank(m) - match_rank(n);
    if (m.n != n.n) return m.n > n.n ? -1 : 1;
    return memcmp(m.p, n.p, m.n);
}

struct taking {
    struct settings *s;
    unsigned left_out;
    struct errmsg *why; /* of the first */
};

static void take(struct taking *t, const Angarium__ControlRecord *r)
{
    struct errmsg why = { "" };
    int rv = 0;

    if (r->kind == CONTROL_DOMAIN) {
        rv = check_domain(r, &why);
        if (rv == 0) add_domain(t->s, r);
    } else if (r->kind == CONTROL_SETTING) {
        rv = set_setting(t->s, r, &why);
    } else {
        rv = add_element(t->s, r, false, &why);
    }
    if (rv == 0) return;
    if (t->left_out++ == 0)
        errmsg_set(t->why, rv, "%s %.*s: %.300s", control_kind_name((enum control_kind)r->kind),
                   SPAN_ARG(proto_span(r->name)), why.text);
}

static void take_kind(struct taking *t, const struct control *c, enum control_kind kind)
{
    unsigned count = control_record_count(c, kind);
    const Angarium__ControlRecord **list = check_calloc(count + 1, sizeof *list);

    for (unsigned i = 0; i < count; i++)
        list[i] = control_record_at(c, kind, i);
    if (kind == CONTROL_ROUTE) qsort(list, count, sizeof *list, compare_matches);
    for (unsigned i = 0; i < count; i++)
        take(t, list[i]);
    free(list);
}

/* Each setting is in its range, but the two do not fit: those of the file are kept. */
static void fit_delivery(struct taking *t, const struct settings *file)
{
    if (t->s->delivery.retry_base_ms <= t->s->delivery.retry_cap_ms) return;
    t->s->delivery.retry_base_ms = file->delivery.retry_base_ms;
    t->s->delivery.retry_cap_ms = file->delivery.retry_cap_ms;
    if (t->left_out++ == 0)
        errmsg_set(t->why, ERR_CONFIG, "delivery: retry_base_ms is longer than retry_cap_ms");
}

struct settings *settings_with_records(const struct settings *file, const struct control *c,
                                       unsigned *left_out, struct errmsg *why)
{
    struct taking t = { .s = copy_of(file, c), .why = why };

    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++)
        take_kind(&t, c, (enum control_kind)kind);
    fit_delivery(&t, file);
    *left_out = t.left_out;
    return t.s;
}
