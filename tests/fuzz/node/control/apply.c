/* apply - a log of whatever passes the checks: every entry applies, the invariants hold, and a state that is saved and
 * loaded between any two entries goes on to the same digest. The bytes are also taken as a saved state.
 *
 * Input: pieces, each a length (u16, big-endian) and so many bytes; pieces that are no command are left out.
 */
#include "node/control/control.h"
#include "proto/ground/check.h"

#define ENTRIES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const struct control *c)
{
    struct errmsg why = { "" };

    CHECK(control_verify(c, &why) == 0);
}

static void reload(struct control **c)
{
    struct control *fresh = control_new();
    struct buf saved;

    buf_init(&saved, CONTROL_STATE_SIZE_MAX);
    CHECK(control_save(*c, &saved) == 0);
    CHECK(control_load(fresh, buf_span(&saved)) == 0);
    buf_deinit(&saved);
    control_free(c);
    *c = fresh;
}

static void apply_log(const uint8_t *bytes, size_t n)
{
    struct control *kept = control_new(), *reloaded = control_new();
    struct control_answer a, b;
    struct cursor cursor;
    uint64_t index = 0;

    cursor_init(&cursor, span_of(bytes, n));
    while (index < ENTRIES_MAX) {
        struct span piece = cursor_span(&cursor, cursor_u16be(&cursor));
        Angarium__ControlCommand *c = NULL;

        if (piece.n == 0) break;
        if (control_unpack(piece, &c) != 0) continue;
        control_command_free(&c);
        index++;
        control_apply(kept, index, piece, &a);
        control_apply(reloaded, index, piece, &b);
        CHECK(a.error == b.error && a.shard == b.shard);
        check(kept);
        if (index % 8 == 1) reload(&reloaded);
    }
    CHECK(control_digest(kept) == control_digest(reloaded));
    control_free(&kept);
    control_free(&reloaded);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct control *c = control_new();

    if (control_load(c, span_of(bytes, n)) == 0) check(c);
    control_free(&c);
    apply_log(bytes, n);
    return 0;
}
