/* records - tenants, credentials, domains, routes, rules and settings: found, put and taken away. */
#include "node/control/inside.h"

const char *control_kind_name(enum control_kind kind)
{
    static const char *const names[] = { "?",     "tenant", "credential", "domain",
                                         "route", "rule",   "setting" };

    return kind >= CONTROL_TENANT && kind < CONTROL_KIND_END ? names[kind] : names[0];
}

unsigned record_max(enum control_kind kind)
{
    static const unsigned most[] = { 0,
                                     CONTROL_TENANTS_MAX,
                                     CONTROL_CREDENTIALS_MAX,
                                     CONTROL_DOMAINS_MAX,
                                     CONTROL_ROUTES_MAX,
                                     CONTROL_RULES_MAX,
                                     CONTROL_SETTINGS_MAX };

    return most[kind];
}

static size_t size_of(const Angarium__ControlRecord *r)
{
    return angarium__control_record__get_packed_size(r);
}

int record_order(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

unsigned record_find(const struct control *c, enum control_kind kind, struct span name, bool *found)
{
    const struct table *t = &c->tables[kind];
    unsigned low = 0, high = t->count;

    *found = false;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = record_order(proto_span(t->list[middle]->name), name);

        if (order == 0) *found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool record_tenant_ok(const struct control *c, const Angarium__ControlRecord *r)
{
    return r->tenant.len == 0 || control_record(c, CONTROL_TENANT, proto_span(r->tenant)) != NULL;
}

bool record_tenant_used(const struct control *c, struct span tenant)
{
    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++)
        for (unsigned i = 0; i < c->tables[kind].count; i++)
            if (span_eq(proto_span(c->tables[kind].list[i]->tenant), tenant)) return true;
    return false;
}

static void insert(struct table *t, unsigned at, Angarium__ControlRecord *r)
{
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 16;
        t->list = check_realloc(t->list, t->room * sizeof(Angarium__ControlRecord *));
    }
    memmove(t->list + at + 1, t->list + at, (t->count - at) * sizeof(Angarium__ControlRecord *));
    t->list[at] = r;
    t->count++;
}

int record_put(struct control *c, Angarium__ControlRecord **r)
{
    enum control_kind kind = (enum control_kind)(*r)->kind;
    struct table *t = &c->tables[kind];
    size_t size = c->records_size + size_of(*r);
    bool found;
    unsigned at = record_find(c, kind, proto_span((*r)->name), &found);

    if (!record_tenant_ok(c, *r)) return ERR_NOT_FOUND;
    if (found && kind != CONTROL_RULE &&
        !span_eq(proto_span(t->list[at]->tenant), proto_span((*r)->tenant)))
        return ERR_EXISTS;
    if (found) size -= size_of(t->list[at]);
    if (size > CONTROL_RECORDS_SIZE_MAX || (!found && t->count == record_max(kind)))
        return ERR_FULL;
    if (found) record_remove(c, kind, at);
    insert(t, at, *r);
    c->records_size = size;
    t->changed++;
    *r = NULL;
    return 0;
}

void record_remove(struct control *c, enum control_kind kind, unsigned at)
{
    struct table *t = &c->tables[kind];

    CHECK(at < t->count);
    c->records_size -= size_of(t->list[at]);
    angarium__control_record__free_unpacked(t->list[at], NULL);
    t->count--;
    memmove(t->list + at, t->list + at + 1, (t->count - at) * sizeof(Angarium__ControlRecord *));
    t->changed++;
}

bool record_append(struct control *c, Angarium__ControlRecord **r)
{
    enum control_kind kind = (enum control_kind)(*r)->kind;
    struct table *t = &c->tables[kind];

    if (t->count == record_max(kind)) return false;
    if (t->count > 0 &&
        record_order(proto_span(t->list[t->count - 1]->name), proto_span((*r)->name)) >= 0)
        return false;
    c->records_size += size_of(*r);
    insert(t, t->count, *r);
    *r = NULL;
    return true;
}

void records_clear(struct control *c)
{
    for (unsigned kind = CONTROL_TENANT; kind < CONTROL_KIND_END; kind++)
        while (c->tables[kind].count > 0)
            record_remove(c, kind, c->tables[kind].count - 1);
}

/* ---- seeing */

bool control_is_configured(const struct control *c)
{
    return c->is_configured;
}

uint64_t control_changed(const struct control *c, enum control_kind kind)
{
    return c->tables[kind].changed;
}

unsigned control_record_count(const struct control *c, enum control_kind kind)
{
    return c->tables[kind].count;
}

const Angarium__ControlRecord *control_record_at(const struct control *c, enum control_kind kind,
                                                 unsigned i)
{
    CHECK(i < c->tables[kind].count);
    return c->tables[kind].list[i];
}

const Angarium__ControlRecord *control_record(const struct control *c, enum control_kind kind,
                                              struct span name)
{
    bool found;
    unsigned at = record_find(c, kind, name, &found);

    return found ? c->tables[kind].list[at] : NULL;
}

unsigned control_record_behind(const struct control *c, enum control_kind kind, struct span name)
{
    bool found;
    unsigned at = record_find(c, kind, name, &found);

    return found ? at + 1 : at;
}

struct span control_field(const Angarium__ControlRecord *r, const char *name)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (span_eq(proto_span(r->fields[i]->name), span_cstr(name)))
            return proto_span(r->fields[i]->value);
    return span_of("", 0);
}
