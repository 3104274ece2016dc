/* folder - a folder of the test's own, removed with all that is in it. */
#ifndef TESTS_UNIT_QUEUE_FOLDER_H
#define TESTS_UNIT_QUEUE_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ground/check.h"

struct folder {
    char path[64];
};

static inline void folder_make(struct folder *f)
{
    strncpy(f->path, "/tmp/angarium-queue-XXXXXX", sizeof f->path);
    CHECK(mkdtemp(f->path) != NULL);
}

static inline int folder_remove_one(const char *path, const struct stat *st, int type,
                                    struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void folder_remove(struct folder *f)
{
    CHECK(nftw(f->path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

#endif
