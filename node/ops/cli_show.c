/* cli_show - what people see: tables whose columns stand under each other, short times and sizes,
 * foreign text without its control characters.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ops/cli.h"
#include "proto/ground/check.h"

#define CELL_SIZE_MAX 1024
#define COLUMN_GAP    2

bool cli_is_terminal(FILE *f)
{
    return isatty(fileno(f)) == 1;
}

/* ---- tables */

void cli_table_start(struct cli_table *t, const char *const *heads, unsigned columns)
{
    CHECK(columns <= CLI_COLUMNS_MAX);
    *t = (struct cli_table){ .columns = columns };
    for (unsigned i = 0; i < columns; i++)
        t->heads[i] = heads[i];
}

void cli_table_add(struct cli_table *t, const char *fmt, ...)
{
    char text[CELL_SIZE_MAX];
    struct buf shown;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (t->cell_count == t->cell_cap) {
        t->cell_cap = t->cell_cap ? 2 * t->cell_cap : 64;
        t->cells = check_realloc(t->cells, t->cell_cap * sizeof *t->cells);
    }
    buf_init(&shown, 8 * CELL_SIZE_MAX);
    cli_plain(text, &shown);
    t->cells[t->cell_count++] = check_strdup(buf_cstr(&shown));
    buf_deinit(&shown);
}

/* Characters of UTF-8, as far as they are one column wide. */
static unsigned width(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static const char *cell(const struct cli_table *t, size_t row, unsigned column)
{
    size_t at = row * t->columns + column;

    return at < t->cell_count ? t->cells[at] : "";
}

static const char *head(const struct cli_table *t, unsigned column)
{
    return t->heads[column] + (t->heads[column][0] == '>');
}

static void print_cell(const struct cli_table *t, unsigned column, const char *text,
                       unsigned widest, FILE *to)
{
    int pad = (int)(widest - width(text));
    bool right = t->heads[column][0] == '>', last = column + 1 == t->columns;

    if (right)
        fprintf(to, "%*s%s", pad, "", text);
    else
        fprintf(to, "%s%*s", text, last ? 0 : pad, "");
    fprintf(to, "%*s", last ? 0 : COLUMN_GAP, "");
    if (last) fputc('\n', to);
}

void cli_table_print(struct cli_table *t, FILE *to)
{
    unsigned widest[CLI_COLUMNS_MAX];
    size_t rows = t->columns ? (t->cell_count + t->columns - 1) / t->columns : 0;

    for (unsigned c = 0; c < t->columns; c++) {
        widest[c] = width(head(t, c));
        for (size_t r = 0; r < rows; r++)
            if (width(cell(t, r, c)) > widest[c]) widest[c] = width(cell(t, r, c));
    }
    for (unsigned c = 0; c < t->columns; c++)
        print_cell(t, c, head(t, c), widest[c], to);
    for (size_t r = 0; r < rows; r++)
        for (unsigned c = 0; c < t->columns; c++)
            print_cell(t, c, cell(t, r, c), widest[c], to);
    for (size_t i = 0; i < t->cell_count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct cli_table){ 0 };
}

/* ---- values */

void cli_print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    fputc('\n', stdout);
}

const char *cli_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

json_int_t cli_int(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

void cli_short_time(const char *rfc3339, char out[20])
{
    snprintf(out, 20, "%.19s", rfc3339);
    if (strlen(out) == 19 && out[10] == 'T') out[10] = ' ';
}

void cli_short_size(uint64_t bytes, char out[16])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double v = (double)bytes;
    unsigned i = 0;

    for (; v >= 1024 && i + 1 < sizeof units / sizeof units[0]; i++)
        v /= 1024;
    if (i == 0)
        snprintf(out, 16, "%" PRIu64 " B", bytes);
    else
        snprintf(out, 16, "%.1f %s", v, units[i]);
}

void cli_plain(const char *text, struct buf *out)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f)
            buf_addf(out, "\\x%02x", c);
        else if (c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0)
            buf_addf(out, "\\u%04x", (unsigned)(unsigned char)*++text); /* C1 controls */
        else
            buf_add_u8(out, c);
    }
}

void cli_tell_missing(const json_t *page)
{
    const json_t *unanswered = json_object_get(page, "unanswered"), *m, *shard;
    struct buf shown;
    size_t i;

    json_array_foreach(json_object_get(page, "missing"), i, m)
    {
        buf_init(&shown, 8 * CELL_SIZE_MAX);
        cli_plain(cli_text(m, "why"), &shown);
        fprintf(stderr, "angarium: node %" JSON_INTEGER_FORMAT " is missing here: %s\n",
                cli_int(m, "node"), buf_cstr(&shown));
        buf_deinit(&shown);
    }
    if (json_array_size(unanswered) == 0) return;
    fprintf(stderr, "angarium: nobody answered for shards");
    json_array_foreach(unanswered, i, shard)
        fprintf(stderr, " %" JSON_INTEGER_FORMAT, json_integer_value(shard));
    fprintf(stderr, "\n");
}
