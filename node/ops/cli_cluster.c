/* cli_cluster - angarium cluster init, token, backup, restore. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ops/cli_backup.h"

static int run_init(const char *file)
{
    struct settings *s = NULL;
    struct errmsg why = { "" };
    struct buf errors;
    int rv;

    if (!file) return cli_usage("cluster", "whose settings? -c FILE");
    buf_init(&errors, 64u << 10);
    rv = settings_read(&s, file, &errors);
    if (rv != 0) fprintf(stderr, "%s", buf_cstr(&errors));
    buf_deinit(&errors);
    if (rv != 0) return CLI_FAILED;
    rv = ops_cluster_init(s, &why);
    if (rv == 0)
        printf("cluster %s begins with node %llu; start it: angarium node -c %s\n", s->cluster.id,
               (unsigned long long)s->node.id, file);
    settings_unref(&s);
    if (rv == 0) return CLI_DONE;
    return cli_fail(rv == ERR_EXISTS ? CLI_REFUSED : CLI_FAILED, "%s", why.text);
}

int cli_cluster_token(const struct cli_target *t, uint64_t lives_s, char *out, size_t out_size)
{
    struct cli_answer a = { 0 };
    char body[64];
    int rv;

    snprintf(body, sizeof body, "{\"lives_s\":%llu}", (unsigned long long)lives_s);
    rv = cli_call(t, "POST", "/api/v1/join-tokens", "application/json", span_cstr(body), &a);
    if (rv == CLI_DONE) snprintf(out, out_size, "%s", cli_text(a.json, "token"));
    cli_answer_free(&a);
    return rv;
}

static int run_token(struct cli_target *t, const char *lives)
{
    uint64_t lives_s = 3600;
    char token[128];
    int rv = CLI_DONE;

    if (lives) rv = cli_number("lives", lives, 1, 7ull * 24 * 3600, &lives_s);
    if (rv == CLI_DONE) rv = cli_target_find(t);
    t->patience_ms = CLI_PATIENCE_MS;
    if (rv == CLI_DONE) rv = cli_cluster_token(t, lives_s, token, sizeof token);
    if (rv == CLI_DONE) printf("%s\n", token);
    return rv;
}

static int run_backup(struct cli_target *t, const char *const *words, unsigned count,
                      const char *const *from, unsigned from_count)
{
    bool verifies = count > 1 && strcmp(words[1], "verify") == 0;
    bool json = t->format && strcmp(t->format, "json") == 0;

    if (count != (verifies ? 3u : 2u)) return cli_usage("cluster", "backup: which directory?");
    if (verifies) return cli_backup_verify(words[2], json);
    return cli_backup(t, from, from_count, words[1]);
}

static int run(int argc, char **argv)
{
    struct cli_target t = { 0 };
    const char *file = NULL, *lives = NULL, *words[3] = { "", "", "" }, *from[CLI_LIST_MAX];
    unsigned count = 0, from_count = 0;
    struct cli_restore restore = { 0 };
    const struct cli_option options[] = { CLI_TARGET_OPTIONS(t),
                                          { .name = "config", .letter = 'c', .text = &file },
                                          { .name = "data-dir", .text = &restore.data_dir },
                                          { .name = "in-doubt", .text = &restore.in_doubt },
                                          { .name = "dry-run", .flag = &restore.dry_run },
                                          { .name = "lives", .text = &lives },
                                          { .name = "from",
                                            .list = from,
                                            .list_count = &from_count,
                                            .list_max = CLI_LIST_MAX } };
    int rv = cli_read(argc, argv, options, sizeof options / sizeof options[0], words, 3, &count);

    if (rv != 0) return rv;
    if (count == 1 && strcmp(words[0], "init") == 0) return run_init(file);
    if (count == 1 && strcmp(words[0], "token") == 0) return run_token(&t, lives);
    if (count == 2 && strcmp(words[0], "import") == 0) return cli_import(&t, words[1]);
    if (count == 2 && strcmp(words[0], "upgrade") == 0) return cli_upgrade(&t, words[1], restore.dry_run);
    if (strcmp(words[0], "backup") == 0) return run_backup(&t, words, count, from, from_count);
    if (count == 2 && strcmp(words[0], "restore") == 0) {
        restore.from = words[1];
        restore.config = file;
        return cli_restore(&restore);
    }
    if (count == 1 && strcmp(words[0], "import") == 0)
        return cli_usage("cluster", "import: the lists of which settings file?");
    if (count == 1 && strcmp(words[0], "upgrade") == 0)
        return cli_usage("cluster", "upgrade: status or finalize?");
    if (count == 1 && strcmp(words[0], "restore") == 0)
        return cli_usage("cluster", "restore: which backup? its directory");
    return cli_usage("cluster", "init, token, import, upgrade, backup or restore?");
}

const struct cli_verb cli_verb_cluster = {
    .name = "cluster",
    .usage = "init -c FILE | token [--lives SECONDS] | import FILE | upgrade status |\n"
             "       angarium cluster upgrade finalize [--dry-run] | backup DIR | backup verify DIR |\n"
             "       angarium cluster restore DIR -c FILE --in-doubt retry|hold [--data-dir NEW] [--dry-run]",
    .line = "begin a cluster, let nodes into it, back it up",
    .help = "init marks the empty data directory of the settings in FILE as the first node of a "
            "new cluster, whose id\n"
            "they name. It is refused (5) when the directory belongs to a node already.\n"
            "token prints a join token, which lets one node in with an empty disk, once, within "
            "its time (3600 s).\n"
            "Write it to the file that cluster: token_file of the new node names, with one of ours "
            "in cluster: seeds.\n"
            "import puts the tenants, credentials, routes and content rules of a settings file into "
            "the cluster: what\n"
            "is there already under the same name is written anew, the rest stays.\n"
            "\n"
            "Examples:\n"
            "  angarium cluster init -c /etc/angarium/node.yaml && angarium node -c "
            "/etc/angarium/node.yaml\n"
            "  angarium cluster token --lives 600 > join.token\n"
            "\n"
            "upgrade status shows which format of stores and messages is in force, and which ones the nodes know. When all\n"
            "nodes run the new version, upgrade finalize puts its format in force, for good; until then the older one is\n"
            "written, and going back to the older version works. It is refused (5) while a node does not know it, or is down\n"
            "and has not said so.\n"
            "\n"
            "backup takes the state of control and of every shard from the nodes that lead them, "
            "while mail flows,\n"
            "into a new or empty directory; --from names the other nodes' endpoints. backup verify "
            "reads all of it.\n"
            "The directory holds mail and password hashes. Exit: 3 no backup there, 5 it is not "
            "empty, 7 somebody\n"
            "does not lead.\n"
            "\n"
            "Examples:\n"
            "  angarium cluster backup /backup/monday --endpoint http://10.0.0.1:8080 --from "
            "http://10.0.0.2:8080 \\\n"
            "      --from http://10.0.0.3:8080 --token-file api.token\n"
            "  angarium cluster backup verify /backup/monday\n"
            "\n"
            "restore makes the data directory of the first node of a new cluster, with the id in FILE, "
            "out of a backup:\n"
            "mail, events, tenants; other nodes join it. What is pending may have been delivered since "
            "the backup:\n"
            "--in-doubt says whether it is tried or held. Refused (5) when there is something, or the "
            "id is the old one.\n"
            "\n"
            "Examples:\n"
            "  angarium cluster restore /backup/monday -c /etc/angarium/node.yaml --in-doubt hold "
            "--dry-run\n",
    .run = run,
};
