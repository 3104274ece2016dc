/* change - whether other settings may take the place of those in force while the node runs. */
#include "node/settings/inside.h"
#include "node/settings/settings_table.h"
#include "proto/ground/check.h"

#define NAMES_MAX 1024
#define SHOWN_MAX (32u << 10) /* the longest text of a setting, escaped */

static const struct field *find_field(const char *section, const char *key)
{
    for (size_t i = 0; i < field_section_count; i++)
        for (size_t k = 0; k < field_sections[i].count; k++) {
            const struct field *f = &field_sections[i].fields[k];

            if (strcmp(f->section, section) == 0 && strcmp(f->key, key) == 0) return f;
        }
    UNREACHED();
}

static bool is_same(const struct field *f, const struct settings *a, const struct settings *b)
{
    const void *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
    struct buf shown[2];
    bool same;

    for (unsigned i = 0; i < 2; i++) {
        buf_init(&shown[i], SHOWN_MAX);
        value_print(f, i == 0 ? x : y, true, &shown[i]);
    }
    same = span_eq(buf_span(&shown[0]), buf_span(&shown[1]));
    buf_deinit(&shown[0]);
    buf_deinit(&shown[1]);
    return same;
}

static void add_name(struct buf *names, const char *section, const char *key)
{
    buf_addf(names, "%s%s%s%s", names->n > 0 ? ", " : "", section ? section : "", section ? "." : "",
             key);
}

/* Between clear and TLS the API's listener does not change either. */
int settings_check_change(const struct settings *now, const struct settings *fresh,
                          struct errmsg *why)
{
    static const struct {
        const char *section, *key;
    } fixed[] = {
#define ROW(section, key) { #section, #key },
        SETTINGS_FIXED(ROW)
#undef ROW
    };
    struct buf names;
    int rv = 0;

    buf_init(&names, NAMES_MAX);
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (!is_same(find_field(fixed[i].section, fixed[i].key), now, fresh))
            add_name(&names, fixed[i].section, fixed[i].key);
    if (!*now->http.certificate != !*fresh->http.certificate) add_name(&names, "http", "certificate");
    if (now->dev.enabled != fresh->dev.enabled) add_name(&names, NULL, "dev");
    if (names.n > 0)
        rv = errmsg_set(why, ERR_CONFIG, "%s: cannot change while the node runs: start it again",
                        buf_cstr(&names));
    buf_deinit(&names);
    return rv;
}
