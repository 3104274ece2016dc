/* scripts - data-driven text tests: each file of scripts/ tells a group of cores what happens (lines with "> ")
 * and holds, below each, what they did. The file is run again and must come out the same, letter for letter.
 *
 *   unit_raft_core_scripts [--rewrite] [FILE ...]     run from the top of the tree
 *
 * Commands: script.h.
 */
#include <dirent.h>

#include "tests/unit/raft/core/script.h"

#define FILES_MAX 200

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static unsigned list_files(char files[FILES_MAX][256])
{
    DIR *dir = opendir(FOLDER);
    struct dirent *e;
    unsigned count = 0;

    if (!dir) {
        fprintf(stderr, FOLDER ": %s (run from the top of the tree)\n", strerror(errno));
        exit(2);
    }
    while ((e = readdir(dir)) != NULL && count < FILES_MAX)
        if (strstr(e->d_name, ".txt"))
            snprintf(files[count++], sizeof files[0], FOLDER "/%.200s", e->d_name);
    closedir(dir);
    qsort(files, count, sizeof files[0], by_name);
    return count;
}

int main(int argc, char **argv)
{
    static char files[FILES_MAX][256];
    bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    int first = rewrite ? 2 : 1;
    unsigned count = 0, bad = 0;

    if (first < argc) {
        for (int i = first; i < argc && count < FILES_MAX; i++)
            snprintf(files[count++], sizeof files[0], "%s", argv[i]);
    } else {
        count = list_files(files);
    }
    for (unsigned i = 0; i < count; i++) {
        failed = false;
        run_file(files[i], rewrite);
        bad += failed;
    }
    printf("%u scripts, %u failed\n", count, bad);
    return bad > 0 || count == 0;
}
