/* disk - the small files of a node (node/cluster/file.c): whole, or as they were; a crash comes before or after. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/control/town.h"

#define FILE_MAX (CONTROL_STATE_SIZE_MAX + 4096u)

static struct town *town; /* the one that is simulated: a file has a name, and no world */

void disk_begin(struct town *t)
{
    town = t;
}

static struct stand *disk_of(const char *dir)
{
    uint64_t at;

    CHECK(span_u64(span_cstr(dir), NODES_MAX - 1, &at) == 0);
    return &town->stands[at];
}

static struct file *find(struct stand *s, const char *name)
{
    for (unsigned i = 0; i < s->file_count; i++)
        if (strcmp(s->files[i].name, name) == 0) return &s->files[i];
    return NULL;
}

bool disk_has(const struct stand *s, const char *name)
{
    for (unsigned i = 0; i < s->file_count; i++)
        if (strcmp(s->files[i].name, name) == 0) return true;
    return false;
}

int file_replace(const char *dir, const char *name, struct span bytes, struct errmsg *why)
{
    struct stand *s = disk_of(dir);
    struct file *f = find(s, name);

    (void)why;
    if (node_point(s->node)) return 0;
    if (!f) {
        CHECK(s->file_count < FILES_MAX);
        f = &s->files[s->file_count++];
        snprintf(f->name, sizeof f->name, "%s", name);
        buf_init(&f->bytes, FILE_MAX);
    }
    buf_reset(&f->bytes);
    buf_add_span(&f->bytes, bytes);
    CHECK(!buf_failed(&f->bytes));
    return 0;
}

int file_read(const char *dir, const char *name, struct buf *out, struct errmsg *why)
{
    struct stand *s = disk_of(dir);
    const struct file *f = find(s, name);

    if (!f) return errmsg_set(why, ERR_NOT_FOUND, "%s/%s: is not there", dir, name);
    buf_add_span(out, buf_span(&f->bytes));
    return 0;
}

void disk_free(struct stand *s)
{
    for (unsigned i = 0; i < s->file_count; i++)
        buf_deinit(&s->files[i].bytes);
    s->file_count = 0;
}
