/* inside - what the files of node/settings share. Nobody else includes this. */
#ifndef SETTINGS_INSIDE_H
#define SETTINGS_INSIDE_H

#include <yaml.h>

#include "node/settings/records.h"

#define SETTINGS_ERRORS_MAX       20
#define SETTINGS_CERTIFICATES_MAX 255 /* beside the default */

enum field_type {
    FIELD_NUMBER,
    FIELD_BYTES, /* "50MiB", "1000" */
    FIELD_SPAN,  /* of time: "5d", "250ms" */
    FIELD_BOOL,
    FIELD_KIND, /* enum settings_listener_kind */
    FIELD_VIA,  /* enum settings_via */
    FIELD_TEXT, /* from here on: char * */
    FIELD_NAME,
    FIELD_DOMAIN,
    FIELD_PATH,
    FIELD_ADDRESS,
    FIELD_HOST_PORT,
    FIELD_MATCH,
    FIELD_NETWORKS, /* "192.0.2.0/24, 2001:db8::/32" */
    FIELD_HASH,
    FIELD_LEVEL,
    FIELD_FORMAT,
    FIELD_TLS,
    FIELD_TLS_VERSION,
    FIELD_BARE,
    FIELD_DOUBT,
    FIELD_PART,
    FIELD_ACTION,
    FIELD_AUTH,
    FIELD_URL,
    FIELD_DOMAINS, /* from here on lists, char ** and a count: of a tenant */
    FIELD_PINS,    /* of a route */
    FIELD_LOGIN,   /* from here on: a mapping in its place, with fields of its own */
    FIELD_OAUTH,
};

struct field {
    const char *section, *key, *fallback, *help;
    enum field_type type;
    size_t offset; /* in struct settings, or in the element */
    uint64_t min, max;
};
struct field_set {
    const char *name; /* of the section or list */
    const struct field *fields;
    size_t count;
};
#define FIELD_SET_MAX 64 /* fields of one set */

/* A list of the file: where its elements stand. */
struct list_kind {
    struct field_set set;
    size_t element_size, list_offset, count_offset;
    unsigned max;
};

extern const struct field_set field_sections[];
extern const size_t field_section_count;
extern const struct list_kind field_lists[];
extern const size_t field_list_count;
extern const struct field field_dev; /* the one value without a section */

static inline bool field_is_text(enum field_type t)
{
    return t >= FIELD_TEXT && t <= FIELD_URL;
}
static inline bool field_is_list(enum field_type t)
{
    return t == FIELD_DOMAINS || t == FIELD_PINS;
}
/* The fields of a mapping; NULL: the field is none. */
const struct field_set *field_inner(const struct field *f);
/* Where a list and its count are. */
struct text_list {
    char ***texts;
    unsigned *count;
    unsigned max;
};
struct text_list field_list(const struct field *f, void *slot);
static inline void *field_slot(const struct field *f, void *object)
{
    return (char *)object + f->offset;
}

/* One value out of its text. `base`: the directory that relative paths are taken from, "" or ending
 * in a slash. Texts are new (check_malloc). 0, or ERR_CONFIG and what is wrong. */
int value_read(const struct field *f, struct span text, const char *base, void *slot,
               struct errmsg *why);
void value_print(const struct field *f, const void *slot, bool with_secrets, struct buf *out);
/* A text in double quotes, as YAML. */
void value_print_text(const char *text, struct buf *out);
void value_free(const struct field *f, void *slot);

/* 64 digits of hex or 44 of base64, as 64 lower-case digits of hex into out[65]. */
int value_pin(struct span text, char out[65]);
bool value_domain_ok(struct span text);
/* "127.0.0.1:25", "[::1]:25" */
bool value_address_ok(struct span text, bool *is_loopback, bool *is_any_port);

/* A reading of one file. */
struct parse {
    const char *file, *base; /* file NULL: there is none, errors name no place */
    bool with_files;         /* also look whether the files that are named can be read */
    struct settings *s;
    yaml_document_t doc;
    struct buf *errors;
    unsigned error_count;
};
void parse_error(struct parse *p, yaml_mark_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Where a value stands: "http", "address"; or that of the nearest thing around it that is there. */
yaml_mark_t parse_mark(struct parse *p, const char *section, const char *key);
yaml_mark_t parse_mark_of(struct parse *p, const char *list, unsigned number, const char *key);
/* What one value alone cannot tell. */
void check_all(struct parse *p);
void check_route(struct parse *p, unsigned i);
void check_content_rule(struct parse *p, unsigned i);
/* What a kind of records is in a file; list NULL: no list of its own. Members that name and tenant stand in. */
struct record_shape {
    const char *list, *name, *tenant;
};
extern const struct record_shape record_shapes[];
const struct list_kind *record_list(enum control_kind kind); /* NULL */
/* The member is no field of the record: it is its name or tenant, or a record of its own. */
bool record_shape_has(const struct record_shape *shape, struct span key);
/* All values of a new object that have one by default. */
void parse_fallbacks(const struct field_set *set, void *object);

#endif
