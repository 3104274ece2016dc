/* parse - a settings file in YAML becomes a struct settings, by the tables of fields.c.
 *
 * libyaml makes the tree of the file (with positions); the tables are walked over it. The tree may
 * be as deep or as shared (anchors) as it likes: the walk is only as deep as the tables. Reading
 * goes on after an error, so that one run tells up to SETTINGS_ERRORS_MAX of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/settings/inside.h"
#include "proto/ground/check.h"
#include "proto/ground/list.h"

#define FILE_SIZE_MAX (1u << 20)
#define KEY_SHOWN_MAX 60

/* ---- errors */

void parse_error(struct parse *p, yaml_mark_t at, const char *fmt, ...)
{
    char text[640];
    va_list ap;

    p->error_count++;
    if (p->error_count > SETTINGS_ERRORS_MAX) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    if (p->file) buf_addf(p->errors, "%s:%zu:%zu: ", p->file, at.line + 1, at.column + 1);
    buf_addf(p->errors, "%s\n", text);
}

static bool is_enough(const struct parse *p)
{
    return p->error_count >= SETTINGS_ERRORS_MAX;
}

/* ---- the tree */

static yaml_node_t *node_at(struct parse *p, int number)
{
    return yaml_document_get_node(&p->doc, number);
}

static struct span scalar(const yaml_node_t *n)
{
    return span_of(n->data.scalar.value, n->data.scalar.length);
}

static size_t pair_count(const yaml_node_t *map)
{
    return (size_t)(map->data.mapping.pairs.top - map->data.mapping.pairs.start);
}

static size_t item_count(const yaml_node_t *list)
{
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

static yaml_node_t *find_key(struct parse *p, const yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE) return NULL;
    for (size_t i = 0; i < pair_count(map); i++) {
        yaml_node_t *k = node_at(p, map->data.mapping.pairs.start[i].key);

        if (k->type == YAML_SCALAR_NODE && span_eq(scalar(k), span_cstr(key)))
            return node_at(p, map->data.mapping.pairs.start[i].value);
    }
    return NULL;
}

static yaml_mark_t nearest(const yaml_node_t *a, const yaml_node_t *b, const yaml_node_t *c)
{
    const yaml_node_t *n = a ? a : b ? b : c;

    return n ? n->start_mark : (yaml_mark_t){ 0 };
}

yaml_mark_t parse_mark(struct parse *p, const char *section, const char *key)
{
    yaml_node_t *root = yaml_document_get_root_node(&p->doc);
    yaml_node_t *map = find_key(p, root, section);

    return nearest(find_key(p, map, key), map, root);
}

yaml_mark_t parse_mark_of(struct parse *p, const char *list, unsigned number, const char *key)
{
    yaml_node_t *root = yaml_document_get_root_node(&p->doc);
    yaml_node_t *items = find_key(p, root, list), *item = NULL;

    if (items && items->type == YAML_SEQUENCE_NODE && number < item_count(items))
        item = node_at(p, items->data.sequence.items.start[number]);
    return nearest(find_key(p, item, key), item, items);
}

/* ---- unknown keys */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to change, add or drop (Levenshtein); words of up to 31 letters. */
static size_t distance(struct span a, struct span b)
{
    size_t row[32];

    if (a.n >= 32 || b.n >= 32) return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t here = corner + (a.p[i - 1] != b.p[j - 1]);

            corner = row[j];
            row[j] = smaller(here, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.n];
}

struct guess {
    const char *word;
    size_t distance;
};

static void guess_word(struct guess *g, struct span text, const char *word)
{
    size_t d = distance(text, span_cstr(word));

    if (d >= g->distance) return;
    *g = (struct guess){ word, d };
}

static void tell_unknown(struct parse *p, const yaml_node_t *key, const char *where,
                         const struct guess *g)
{
    struct span text = scalar(key);
    int n = (int)smaller(text.n, KEY_SHOWN_MAX);

    parse_error(p, key->start_mark, "unknown key \"%.*s\"%s%s%s%s%s", n, (const char *)text.p,
                *where ? " in " : "", where, g->word ? "; is \"" : "", g->word ? g->word : "",
                g->word ? "\" meant?" : "");
}

/* ---- values */

static void read_scalar(struct parse *p, const struct field *f, const yaml_node_t *n, void *slot)
{
    struct errmsg why = { "" };

    if (n->type != YAML_SCALAR_NODE) {
        parse_error(p, n->start_mark, "%s: one value is needed here, not a list or mapping",
                    f->key);
        return;
    }
    if (scalar(n).n == 0 && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        parse_error(p, n->start_mark, "%s: has no value", f->key);
        return;
    }
    if (field_is_text(f->type)) {
        char *text = NULL;

        if (value_read(f, scalar(n), p->base, &text, &why) == 0) {
            free(*(char **)slot);
            *(char **)slot = text;
            return;
        }
    } else if (value_read(f, scalar(n), p->base, slot, &why) == 0) {
        return;
    }
    parse_error(p, n->start_mark, "%s: %s", f->key, why.text);
}

/* The items of a list of texts. */
static void read_texts(struct parse *p, const struct field *f, const yaml_node_t *n, void *slot)
{
    struct text_list list = field_list(f, slot);
    size_t count = n->type == YAML_SEQUENCE_NODE ? item_count(n) : 0;

    if (n->type != YAML_SEQUENCE_NODE) {
        parse_error(p, n->start_mark, "%s: a list is needed here", f->key);
        return;
    }
    if (count > list.max) {
        parse_error(p, n->start_mark, "%s: at most %u are possible", f->key, list.max);
        return;
    }
    *list.texts = check_calloc(count + 1, sizeof **list.texts);
    for (size_t i = 0; i < count && !is_enough(p); i++) {
        const yaml_node_t *item = node_at(p, n->data.sequence.items.start[i]);
        struct errmsg why = { "" };

        if (item->type != YAML_SCALAR_NODE || scalar(item).n == 0)
            parse_error(p, item->start_mark, "%s: %s is needed here", f->key,
                        f->type == FIELD_DOMAINS ? "a domain name" : "a hash");
        else if (value_read(f, scalar(item), p->base, &(*list.texts)[*list.count], &why) != 0)
            parse_error(p, item->start_mark, "%s: %s", f->key, why.text);
        else
            (*list.count)++;
    }
}

void parse_fallbacks(const struct field_set *set, void *object)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct field *f = &set->fields[i];
        struct errmsg why = { "" };

        if (field_inner(f)) parse_fallbacks(field_inner(f), field_slot(f, object));
        if (!f->fallback || f->type >= FIELD_DOMAINS) continue;
        CHECK(value_read(f, span_cstr(f->fallback), "", field_slot(f, object), &why) == 0);
    }
}

static const struct field *find_field(struct parse *p, const struct field_set *set,
                                      const yaml_node_t *key)
{
    struct guess g = { NULL, 4 };

    for (size_t i = 0; i < set->count; i++) {
        if (span_eq(scalar(key), span_cstr(set->fields[i].key))) return &set->fields[i];
        guess_word(&g, scalar(key), set->fields[i].key);
    }
    tell_unknown(p, key, set->name, &g);
    return NULL;
}

/* One mapping by its table into `object`, which has the fallbacks already. */
static void read_mapping(struct parse *p, const struct field_set *set, const yaml_node_t *map,
                         void *object)
{
    bool seen[FIELD_SET_MAX] = { false };

    if (map->type != YAML_MAPPING_NODE) {
        parse_error(p, map->start_mark, "%s: keys and values are needed here", set->name);
        return;
    }
    for (size_t i = 0; i < pair_count(map) && !is_enough(p); i++) {
        const yaml_node_t *key = node_at(p, map->data.mapping.pairs.start[i].key);
        const yaml_node_t *value = node_at(p, map->data.mapping.pairs.start[i].value);
        const struct field *f;

        if (key->type != YAML_SCALAR_NODE) {
            parse_error(p, key->start_mark, "%s: a key must be a word", set->name);
            continue;
        }
        f = find_field(p, set, key);
        if (!f) continue;
        if (seen[f - set->fields]) {
            parse_error(p, key->start_mark, "%s: stands here twice", f->key);
            continue;
        }
        seen[f - set->fields] = true;
        if (field_inner(f))
            read_mapping(p, field_inner(f), value, field_slot(f, object));
        else if (field_is_list(f->type))
            read_texts(p, f, value, field_slot(f, object));
        else
            read_scalar(p, f, value, field_slot(f, object));
    }
    for (size_t i = 0; i < set->count; i++)
        if (!set->fields[i].fallback && !seen[i])
            parse_error(p, map->start_mark, "%s: %s is missing", set->name, set->fields[i].key);
}

static void read_list(struct parse *p, const struct list_kind *kind, const yaml_node_t *n)
{
    void **list = (void **)(void *)((char *)p->s + kind->list_offset);
    unsigned *count = (unsigned *)(void *)((char *)p->s + kind->count_offset);

    if (n->type != YAML_SEQUENCE_NODE) {
        parse_error(p, n->start_mark, "%s: a list is needed here", kind->set.name);
        return;
    }
    if (item_count(n) > kind->max) {
        parse_error(p, n->start_mark, "%s: at most %u are possible", kind->set.name, kind->max);
        return;
    }
    *list = check_calloc(item_count(n) + 1, kind->element_size);
    for (size_t i = 0; i < item_count(n) && !is_enough(p); i++) {
        void *element = (char *)*list + i * kind->element_size;

        parse_fallbacks(&kind->set, element);
        (*count)++;
        read_mapping(p, &kind->set, node_at(p, n->data.sequence.items.start[i]), element);
    }
}

/* ---- the root */

/* Which of the root's keys: sections, then lists, then `dev`; -1: unknown. */
static int root_number(struct parse *p, const yaml_node_t *key)
{
    struct guess g = { NULL, 4 };
    int n = 0;

    for (size_t i = 0; i < field_section_count; i++, n++) {
        if (span_eq(scalar(key), span_cstr(field_sections[i].name))) return n;
        guess_word(&g, scalar(key), field_sections[i].name);
    }
    for (size_t i = 0; i < field_list_count; i++, n++) {
        if (span_eq(scalar(key), span_cstr(field_lists[i].set.name))) return n;
        guess_word(&g, scalar(key), field_lists[i].set.name);
    }
    if (span_eq(scalar(key), span_cstr(field_dev.key))) return n;
    tell_unknown(p, key, "", &g);
    return -1;
}

static void read_root_value(struct parse *p, size_t number, const yaml_node_t *value)
{
    if (number < field_section_count)
        read_mapping(p, &field_sections[number], value, p->s);
    else if (number < field_section_count + field_list_count)
        read_list(p, &field_lists[number - field_section_count], value);
    else
        read_scalar(p, &field_dev, value, &p->s->dev.enabled);
}

static void read_root(struct parse *p)
{
    const yaml_node_t *root = yaml_document_get_root_node(&p->doc);
    bool seen[FIELD_SET_MAX] = { false };

    if (!root || root->type != YAML_MAPPING_NODE) {
        parse_error(p, nearest(root, NULL, NULL), "the file must hold keys and values, as `node:`");
        return;
    }
    for (size_t i = 0; i < pair_count(root) && !is_enough(p); i++) {
        const yaml_node_t *key = node_at(p, root->data.mapping.pairs.start[i].key);
        int number = key->type == YAML_SCALAR_NODE ? root_number(p, key) : -1;

        if (key->type != YAML_SCALAR_NODE) parse_error(p, key->start_mark, "a key must be a word");
        if (number < 0) continue;
        if (seen[number]) {
            parse_error(p, key->start_mark, "%.*s: stands here twice", SPAN_ARG(scalar(key)));
            continue;
        }
        seen[number] = true;
        read_root_value(p, (size_t)number, node_at(p, root->data.mapping.pairs.start[i].value));
    }
    if (!seen[0])
        parse_error(p, root->start_mark, "node is missing: id, hostname and data_dir are needed");
}

/* ---- the file */

static void tell_syntax(struct parse *p, const yaml_parser_t *y)
{
    const char *problem = y->problem ? y->problem : "this is not YAML";

    if (y->error == YAML_READER_ERROR)
        parse_error(p, y->mark, "%s (byte %zu of the file)", problem, y->problem_offset);
    else if (y->context)
        parse_error(p, y->problem_mark, "%s, %s", y->context, problem);
    else
        parse_error(p, y->problem_mark, "%s", problem);
}

/* Nothing may follow the first document. */
static void check_end(struct parse *p, yaml_parser_t *y)
{
    yaml_document_t more;
    const yaml_node_t *root;

    if (!yaml_parser_load(y, &more)) {
        tell_syntax(p, y);
        return;
    }
    root = yaml_document_get_root_node(&more);
    if (root) parse_error(p, root->start_mark, "a second document begins here; one is possible");
    yaml_document_delete(&more);
}

static int parse_text(struct settings **out, const char *file, const char *base, bool with_files,
                      struct span text, struct buf *errors)
{
    struct parse p = { .file = file, .base = base, .with_files = with_files, .errors = errors };
    yaml_parser_t y;

    CHECK(yaml_parser_initialize(&y));
    yaml_parser_set_encoding(&y, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y, text.p ? text.p : (const uint8_t *)"", text.n);
    p.s = check_calloc(1, sizeof *p.s);
    atomic_init(&p.s->refs, 1);
    p.s->file = check_strdup(file);
    for (size_t i = 0; i < field_section_count; i++)
        parse_fallbacks(&field_sections[i], p.s);
    if (!yaml_parser_load(&y, &p.doc)) {
        tell_syntax(&p, &y);
    } else {
        read_root(&p);
        if (p.error_count == 0) check_all(&p);
        if (p.error_count == 0) check_end(&p, &y);
        yaml_document_delete(&p.doc);
    }
    yaml_parser_delete(&y);
    if (p.error_count > SETTINGS_ERRORS_MAX)
        buf_addf(errors, "%s: and more; these %d first\n", file, SETTINGS_ERRORS_MAX);
    if (p.error_count > 0) settings_unref(&p.s);
    *out = p.s;
    return p.error_count > 0 ? ERR_CONFIG : 0;
}

/* The directory of `file` with its slash, "" when it has none. Caller frees. */
static char *dir_of(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash ? span_dup(span_of(file, (size_t)(slash - file) + 1)) : check_strdup("");
}

int settings_parse(struct settings **out, const char *file, struct span text, struct buf *errors)
{
    char *base = dir_of(file);
    int rv = parse_text(out, file, base, false, text, errors);

    free(base);
    return rv;
}

static int read_whole(const char *file, struct buf *text, struct buf *errors)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    while (fd >= 0 && n > 0 && text->n <= FILE_SIZE_MAX) {
        n = read(fd, buf_room(text, 64u << 10), 64u << 10);
        if (n > 0) buf_added(text, (size_t)n);
    }
    if (fd < 0 || n < 0) buf_addf(errors, "%s: cannot be read: %s\n", file, strerror(errno));
    if (fd >= 0) close(fd);
    if (fd < 0 || n < 0) return ERR_IO;
    if (text->n <= FILE_SIZE_MAX) return 0;
    buf_addf(errors, "%s: is larger than %u bytes; that is no settings file\n", file,
             FILE_SIZE_MAX);
    return ERR_CONFIG;
}

int settings_read(struct settings **out, const char *file, struct buf *errors)
{
    char *whole = realpath(file, NULL);
    char *base = dir_of(whole ? whole : file);
    struct buf text;
    int rv;

    *out = NULL;
    buf_init(&text, 2 * FILE_SIZE_MAX);
    rv = read_whole(file, &text, errors);
    if (rv == 0) rv = parse_text(out, file, base, true, buf_span(&text), errors);
    buf_deinit(&text);
    free(base);
    free(whole);
    return rv;
}
