/* run - runs stories: files, or directories of *.smtp. Says which line of which file did not hold;
 * ends with a count. 0: all held. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ground/check.h"
#include "tests/conformance/story.h"

#define FILES_MAX 1024

struct files {
    char *list[FILES_MAX];
    int count;
};

static void add_file(struct files *files, const char *dir, const char *name)
{
    char path[1024];

    CHECK(files->count < FILES_MAX);
    snprintf(path, sizeof path, "%s%s%s", dir, *dir ? "/" : "", name);
    files->list[files->count++] = check_strdup(path);
}

static bool is_story(const char *name)
{
    size_t n = strlen(name);

    return n > 5 && strcmp(name + n - 5, ".smtp") == 0;
}

static void add(struct files *files, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir) {
        add_file(files, "", path);
        return;
    }
    while ((entry = readdir(dir)))
        if (is_story(entry->d_name)) add_file(files, path, entry->d_name);
    closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
    struct files files = { .count = 0 };
    struct world world = { .dir = "" };
    struct story story = { .world = &world };
    int wrong = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: conformance FILE.smtp | DIRECTORY ...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++)
        add(&files, argv[i]);
    qsort(files.list, (size_t)files.count, sizeof files.list[0], by_name);
    for (int i = 0; i < files.count; i++) {
        if (!story_run(&story, files.list[i])) wrong++;
        fflush(stdout);
        free(files.list[i]);
    }
    world_clean(&world);
    printf("%d stories, %d wrong\n", files.count, wrong);
    return wrong == 0 ? 0 : 1;
}
