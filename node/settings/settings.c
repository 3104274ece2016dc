/* settings - shown as a file that says the same, and let go of. Reading is in parse.c. */
#include <stdlib.h>

#include "node/settings/inside.h"

#define COMMENT_COLUMN 44

/* ---- freeing */

static void free_fields(const struct field_set *set, void *object)
{
    for (size_t i = 0; i < set->count; i++)
        value_free(&set->fields[i], field_slot(&set->fields[i], object));
}

struct settings *settings_ref(struct settings *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void settings_unref(struct settings **ps)
{
    struct settings *s = *ps;

    *ps = NULL;
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
    for (size_t i = 0; i < field_section_count; i++)
        free_fields(&field_sections[i], s);
    for (size_t i = 0; i < field_list_count; i++) {
        const struct list_kind *kind = &field_lists[i];
        void *list = *(void **)(void *)((char *)s + kind->list_offset);
        unsigned count = *(unsigned *)(void *)((char *)s + kind->count_offset);

        for (unsigned k = 0; k < count; k++)
            free_fields(&kind->set, (char *)list + k * kind->element_size);
        free(list);
    }
    free(s->file);
    free(s);
}

/* ---- printing */

static void print_comment(struct buf *out, size_t line_start, const char *help)
{
    size_t column = out->n - line_start;

    buf_addf(out, "%*s# %s\n", column < COMMENT_COLUMN ? (int)(COMMENT_COLUMN - column) : 1, "",
             help);
}

static void print_field(const struct field *f, void *object, bool with_secrets, struct buf *out)
{
    size_t line_start = out->n;

    buf_addf(out, "  %s: ", f->key);
    value_print(f, field_slot(f, object), with_secrets, out);
    print_comment(out, line_start, f->help);
}

static void print_texts(struct text_list list, struct buf *out)
{
    buf_add_cstr(out, "[ ");
    for (unsigned i = 0; i < *list.count; i++) {
        if (i > 0) buf_add_cstr(out, ", ");
        value_print_text((*list.texts)[i], out);
    }
    buf_add_cstr(out, " ]");
}

/* A mapping that is not there is not shown: it would lack what it needs. */
static bool is_there(const struct field *f, void *slot)
{
    const struct field_set *inner = field_inner(f);

    for (size_t i = 0; inner && i < inner->count; i++)
        if (!inner->fields[i].fallback)
            return *(char **)field_slot(&inner->fields[i], slot) != NULL;
    return true;
}

static void print_member(const struct field *f, void *slot, bool with_secrets, struct buf *out)
{
    const struct field_set *inner = field_inner(f);
    const char *between = "";

    if (field_is_list(f->type)) {
        print_texts(field_list(f, slot), out);
        return;
    }
    if (!inner) {
        value_print(f, slot, with_secrets, out);
        return;
    }
    buf_add_cstr(out, "{ ");
    for (size_t i = 0; i < inner->count; i++) {
        const struct field *m = &inner->fields[i];

        if (!is_there(m, field_slot(m, slot))) continue;
        buf_addf(out, "%s%s: ", between, m->key);
        print_member(m, field_slot(m, slot), with_secrets, out);
        between = ", ";
    }
    buf_add_cstr(out, " }");
}

static void print_element(const struct list_kind *kind, void *element, bool with_secrets,
                          struct buf *out)
{
    for (size_t i = 0; i < kind->set.count; i++) {
        const struct field *f = &kind->set.fields[i];

        if (!is_there(f, field_slot(f, element))) continue;
        buf_addf(out, "%s%s: ", i == 0 ? "  - " : "    ", f->key);
        print_member(f, field_slot(f, element), with_secrets, out);
        buf_add_u8(out, '\n');
    }
}

static void print_list(const struct list_kind *kind, struct settings *s, bool with_secrets,
                       struct buf *out)
{
    char *list = *(void **)(void *)((char *)s + kind->list_offset);
    unsigned count = *(unsigned *)(void *)((char *)s + kind->count_offset);

    buf_addf(out, "%s:%s\n", kind->set.name, count == 0 ? " []" : "");
    for (unsigned i = 0; i < count; i++)
        print_element(kind, list + i * kind->element_size, with_secrets, out);
}

void settings_print(const struct settings *settings, bool with_secrets, struct buf *out)
{
    struct settings *s = (struct settings *)(uintptr_t)settings; /* the tables know no const */

    if (s->dev.enabled) buf_add_cstr(out, "dev: true\n");
    for (size_t i = 0; i < field_section_count; i++) {
        buf_addf(out, "%s:\n", field_sections[i].name);
        for (size_t k = 0; k < field_sections[i].count; k++)
            print_field(&field_sections[i].fields[k], s, with_secrets, out);
    }
    for (size_t i = 0; i < field_list_count; i++)
        print_list(&field_lists[i], s, with_secrets, out);
}
