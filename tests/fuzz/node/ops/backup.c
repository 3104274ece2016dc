/* backup - what lies in a backup directory is any bytes: refused, or read within its bounds.
 *
 * Input: u8: 0 a manifest, 1 control, 2 shard 3; u8: into pieces of how many bytes a file is taken apart (0: one); then the bytes.
 */
#include "node/ops/backup.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_manifest(struct span text)
{
    json_t *j = json_loadb((const char *)text.p, text.n, 0, NULL);
    struct backup_manifest m = { 0 };
    struct errmsg why;

    if (j && backup_manifest_take(j, &m, &why) == 0) {
        json_t *again = backup_manifest_json(&m);
        struct backup_manifest same;

        CHECK(backup_manifest_take(again, &same, &why) == 0);
        CHECK(same.shard_count == m.shard_count && m.shard_count <= CONTROL_SHARDS_MAX);
        backup_manifest_deinit(&same);
        json_decref(again);
    }
    backup_manifest_deinit(&m);
    json_decref(j);
}

static void read_file(uint32_t shard, size_t piece, struct span rest)
{
    struct backup_check *k;
    struct backup_file f;
    int rv = 0;

    if (piece == 0) piece = rest.n + 1;
    backup_check_open(&k, shard, NULL);
    while (rv == 0 && rest.n > 0) {
        size_t n = rest.n < piece ? rest.n : piece;

        rv = backup_check_add(k, span_sub(rest, 0, n));
        rest = span_from(rest, n);
    }
    CHECK(rv == 0 || rv == ERR_CORRUPT || rv == ERR_VERSION);
    rv = backup_check_end(k, &f);
    CHECK(rv == 0 || rv == ERR_CORRUPT || rv == ERR_VERSION);
    if (rv == 0) CHECK(f.head.shard == shard && f.head.index <= PROTO_INDEX_MAX);
    backup_check_close(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span rest;

    if (n < 2) return 0;
    rest = span_of(bytes + 2, n - 2);
    if (bytes[0] % 3 == 0)
        read_manifest(rest);
    else
        read_file(bytes[0] % 3 == 1 ? 0 : 3, bytes[1], rest);
    return 0;
}
