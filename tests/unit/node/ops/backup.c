/* backup - files of a backup are believed only whole, unchanged, of this cluster, and of a format that is known. */
#include "tests/unit/queue/scene.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "node/ops/backup.h"
#include "node/ops/cli.h"

#define FILE_MAX (8u << 20)

static const char cluster_bytes[] = "0123456789abcdef";

struct saved {
    char dir[64];
    struct backup_manifest manifest;
    struct backup_entry shard;
};

static struct backup_head head_of(uint32_t shard, uint64_t index, uint64_t digest)
{
    struct backup_head h = {
        .shard = shard, .index = index, .term = 3, .digest = digest, .time_ms = 77
    };

    memcpy(h.cluster, cluster_bytes, sizeof h.cluster);
    return h;
}

/* ---- what a node would send */

static int read_body(void *arg, uint64_t entry, struct blob **out)
{
    (void)arg, (void)entry;
    *out = blob_new(5);
    assert_int_equal(blob_add(*out, "a\r\nb\n", 5, 5), 0);
    return 0;
}

static void put_shard(struct buf *out)
{
    struct queue_snapshot *n;
    struct backup_head h;
    struct scene s;
    bool last = false;

    scene_open(&s);
    scene_accept(&s, "a@example.test", "b@one.test", "c@two.test");
    scene_claim(&s, scene_accept(&s, "a@example.test", "d@one.test", NULL), 0);
    h = head_of(SHARD, queue_applied(s.q), queue_digest(s.q));
    backup_head_put(&h, out);
    queue_snapshot_open(&n, s.q, read_body, NULL);
    while (!last)
        assert_int_equal(queue_snapshot_next(n, out, &last), 0);
    queue_snapshot_close(&n);
    scene_close(&s);
}

static void control_do(struct control *c, uint64_t index, Angarium__ControlCommand *command)
{
    struct control_answer answer;
    struct buf b;

    buf_init(&b, CONTROL_COMMAND_SIZE_MAX);
    assert_int_equal(control_pack(command, &b), 0);
    control_apply(c, index, buf_span(&b), &answer);
    assert_int_equal(answer.error, 0);
    buf_deinit(&b);
}

static void put_control(struct buf *out)
{
    Angarium__ControlCommand c = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlBorn born = ANGARIUM__CONTROL_BORN__INIT;
    struct control *control = control_new();
    struct backup_head h;

    born.cluster = proto_bytes(span_of(cluster_bytes, 16));
    born.shards_per_node = born.replicas = 3;
    c.time_ms = 1;
    c.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_BORN;
    c.born = &born;
    control_do(control, 4, &c);
    h = head_of(0, 4, control_digest(control));
    backup_head_put(&h, out);
    assert_int_equal(control_save(control, out), 0);
    control_free(&control);
}

/* ---- reading it */

/* In pieces of so many bytes. */
static int check(uint32_t shard, struct span bytes, size_t piece, struct backup_file *out)
{
    struct backup_check *k;
    int rv = 0;

    backup_check_open(&k, shard, NULL);
    while (rv == 0 && bytes.n > 0) {
        size_t n = bytes.n < piece ? bytes.n : piece;

        rv = backup_check_add(k, span_sub(bytes, 0, n));
        bytes = span_from(bytes, n);
    }
    if (rv == 0)
        rv = backup_check_end(k, out);
    else
        assert_int_equal(backup_check_end(k, out), rv); /* it stays so */
    backup_check_close(&k);
    return rv;
}

static void make(uint32_t shard, struct buf *out)
{
    buf_init(out, FILE_MAX);
    if (shard == 0)
        put_control(out);
    else
        put_shard(out);
}

static const uint32_t kinds[] = { 0, SHARD };

static void what_was_written_is_read_in_any_pieces(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        static const size_t pieces[] = { 1, 7, 76, 77, 1000000 };
        struct buf file;

        make(kinds[i], &file);
        for (unsigned k = 0; k < 5; k++) {
            struct backup_file f;

            assert_int_equal(check(kinds[i], buf_span(&file), pieces[k], &f), 0);
            assert_int_equal(f.bytes, file.n);
            assert_int_equal(f.head.term, 3);
            assert_int_equal(f.counts.claimed, i);
            assert_int_equal(f.counts.waiting, 2 * i);
        }
        buf_deinit(&file);
    }
}

/* Every bit of it: damage is told by what is in the file, or gives another sum. */
static void a_flipped_bit_is_seen(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct backup_file whole, f;
        struct buf file;

        make(kinds[i], &file);
        assert_int_equal(check(kinds[i], buf_span(&file), 4096, &whole), 0);
        for (size_t bit = 0; bit < 8 * file.n; bit++) {
            int rv;

            file.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            rv = check(kinds[i], buf_span(&file), 4096, &f);
            file.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (rv == 0) {
                assert_true(bit >= 8 * BACKUP_HEAD_SIZE); /* the head has a sum of its own */
                assert_int_equal(kinds[i], 0);            /* and so have the records of a shard */
                assert_string_not_equal(f.sha256, whole.sha256);
            }
        }
        buf_deinit(&file);
    }
}

static void a_part_is_no_file(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct backup_file f, whole;
        struct buf file;

        make(kinds[i], &file);
        assert_int_equal(check(kinds[i], buf_span(&file), 4096, &whole), 0);
        for (size_t n = 0; n < file.n; n++)
            if (check(kinds[i], span_of(file.p, n), 4096, &f) == 0)
                assert_true(kinds[i] == 0 && strcmp(f.sha256, whole.sha256) != 0);
        buf_add_u8(&file, 'x');
        assert_int_equal(check(kinds[i], buf_span(&file), 4096, &f), ERR_CORRUPT);
        buf_deinit(&file);
    }
}

static void a_file_of_another_shard_is_refused(void **state)
{
    struct backup_file f;
    struct buf file;

    (void)state;
    make(SHARD, &file);
    assert_int_equal(check(SHARD + 1, buf_span(&file), 4096, &f), ERR_CORRUPT);
    assert_int_equal(check(0, buf_span(&file), 4096, &f), ERR_CORRUPT);
    buf_deinit(&file);
}

static void sum_head(uint8_t *head)
{
    struct buf sum;

    buf_init(&sum, 8);
    buf_add_u64be(&sum, XXH3_64bits(head, BACKUP_HEAD_SIZE - 8));
    memcpy(head + BACKUP_HEAD_SIZE - 8, sum.p, 8);
    buf_deinit(&sum);
}

static void a_newer_format_is_refused_as_such(void **state)
{
    struct backup_file f;
    struct buf file;

    (void)state;
    make(SHARD, &file);
    file.p[11] = BACKUP_FORMAT + 1; /* its sum may be made in any way */
    assert_int_equal(check(SHARD, buf_span(&file), 4096, &f), ERR_VERSION);
    file.p[11] = BACKUP_FORMAT;
    assert_int_equal(check(SHARD, buf_span(&file), 4096, &f), 0);
    file.p[15] = PROTO_FORMAT_VERSION + 1;
    assert_int_equal(check(SHARD, buf_span(&file), 4096, &f),
                     ERR_CORRUPT); /* not what was summed */
    sum_head(file.p);
    assert_int_equal(check(SHARD, buf_span(&file), 4096, &f), ERR_VERSION);
    buf_deinit(&file);
}

/* ---- a directory */

static void write_file(const char *dir, const char *name, struct span bytes)
{
    struct errmsg why;
    char path[200];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(cli_dev_write_file(path, bytes, 0600, &why), 0);
}

static void write_manifest(struct saved *s)
{
    json_t *j = backup_manifest_json(&s->manifest);
    char *text = json_dumps(j, 0);

    write_file(s->dir, "manifest.json", span_cstr(text));
    free(text);
    json_decref(j);
}

static void save(struct saved *s)
{
    struct buf file;

    memset(s, 0, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "/tmp/angarium-backup-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    memcpy(s->manifest.cluster, cluster_bytes, 16);
    make(0, &file);
    assert_int_equal(check(0, buf_span(&file), 4096, &s->manifest.control.file), 0);
    write_file(s->dir, "control", buf_span(&file));
    buf_deinit(&file);
    make(SHARD, &file);
    assert_int_equal(check(SHARD, buf_span(&file), 4096, &s->shard.file), 0);
    write_file(s->dir, "shard-00003", buf_span(&file));
    buf_deinit(&file);
    s->manifest.shards = &s->shard;
    s->manifest.shard_count = 1;
    s->manifest.format = s->shard.file.head.format;
    write_manifest(s);
}

static void clear(struct saved *s)
{
    static const char *const names[] = { "control", "shard-00003", "manifest.json" };
    char path[200];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", s->dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(s->dir), 0);
}

static int check_dir(const char *dir, struct errmsg *why)
{
    struct backup_manifest m;
    int rv = backup_manifest_read(dir, &m, why);

    if (rv == 0) rv = backup_file_check(dir, &m, &m.control, NULL, NULL, why);
    for (unsigned i = 0; rv == 0 && i < m.shard_count; i++)
        rv = backup_file_check(dir, &m, &m.shards[i], NULL, NULL, why);
    backup_manifest_deinit(&m);
    return rv;
}

static void a_directory_is_what_its_manifest_says(void **state)
{
    struct errmsg why = { "" };
    struct saved s;

    (void)state;
    save(&s);
    assert_int_equal(check_dir(s.dir, &why), 0);
    s.manifest.cluster[0] ^= 1; /* files of a foreign cluster */
    write_manifest(&s);
    assert_int_equal(check_dir(s.dir, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "another cluster"));
    s.manifest.cluster[0] ^= 1;
    s.shard.file.counts.waiting++;
    write_manifest(&s);
    assert_int_equal(check_dir(s.dir, &why), ERR_CORRUPT);
    s.shard.file.counts.waiting--;
    s.shard.file.sha256[0] = s.shard.file.sha256[0] == 'a' ? 'b' : 'a';
    write_manifest(&s);
    assert_int_equal(check_dir(s.dir, &why), ERR_CORRUPT);
    clear(&s);
}

/* Not the newest that the program knows: who goes back to an older one can still restore. */
static void a_manifest_says_the_format_in_force(void **state)
{
    struct errmsg why = { "" };
    struct backup_manifest m;
    struct saved s;
    json_t *j;

    (void)state;
    proto_format_set(PROTO_FORMAT_MIN);
    save(&s);
    proto_format_set(PROTO_FORMAT_VERSION);
    assert_int_equal(s.manifest.control.file.head.format, PROTO_FORMAT_MIN);
    j = backup_manifest_json(&s.manifest);
    assert_int_equal(json_integer_value(json_object_get(j, "state_format")), PROTO_FORMAT_MIN);
    assert_int_equal(backup_manifest_take(j, &m, &why), 0);
    assert_int_equal(m.format, PROTO_FORMAT_MIN);
    backup_manifest_deinit(&m);
    json_object_set_new(j, "state_format", json_integer(PROTO_FORMAT_VERSION + 1));
    assert_int_equal(backup_manifest_take(j, &m, &why), ERR_VERSION);
    assert_non_null(strstr(why.text, "use a newer one"));
    backup_manifest_deinit(&m);
    json_decref(j);
    s.manifest.format = 0; /* a file of a newer format than it says */
    assert_int_equal(backup_file_check(s.dir, &s.manifest, &s.shard, NULL, NULL, &why),
                     ERR_CORRUPT);
    assert_non_null(strstr(why.text, "newer format"));
    clear(&s);
}

static void without_a_manifest_it_is_no_backup(void **state)
{
    struct errmsg why = { "" };
    struct saved s;
    char path[200];

    (void)state;
    save(&s);
    snprintf(path, sizeof path, "%s/manifest.json", s.dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(check_dir(s.dir, &why), ERR_NOT_FOUND);
    write_file(s.dir, "manifest.json", span_cstr("{\"format\":2,\"state_format\":1}"));
    assert_int_equal(check_dir(s.dir, &why), ERR_VERSION);
    write_file(s.dir, "manifest.json", span_cstr("{\"format\":1"));
    assert_int_equal(check_dir(s.dir, &why), ERR_CORRUPT);
    clear(&s);
}

/* No name of a file but our own is ever opened. */
static void a_manifest_names_no_other_files(void **state)
{
    struct errmsg why = { "" };
    struct backup_manifest m;
    struct saved s;
    json_t *j;

    (void)state;
    save(&s);
    j = backup_manifest_json(&s.manifest);
    json_object_set_new(json_array_get(json_object_get(j, "shards"), 0), "file",
                        json_string("../shard-00003"));
    assert_int_equal(backup_manifest_take(j, &m, &why), ERR_CORRUPT);
    backup_manifest_deinit(&m);
    json_decref(j);
    clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_in_any_pieces),
        cmocka_unit_test(a_flipped_bit_is_seen),
        cmocka_unit_test(a_part_is_no_file),
        cmocka_unit_test(a_file_of_another_shard_is_refused),
        cmocka_unit_test(a_newer_format_is_refused_as_such),
        cmocka_unit_test(a_directory_is_what_its_manifest_says),
        cmocka_unit_test(a_manifest_says_the_format_in_force),
        cmocka_unit_test(without_a_manifest_it_is_no_backup),
        cmocka_unit_test(a_manifest_names_no_other_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
