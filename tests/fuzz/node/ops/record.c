/* record - the body of PUT and POST of a record of the cluster: whatever JSON it is, it becomes a record that is refused by name, or
 * that control takes and shows again as it was said. The first byte says which kind. */
#include <stdlib.h>

#include "node/ops/inside.h"
#include "node/settings/records.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What control would take, it packs; and what is shown is read to the same record. */
static void check_taken(const Angarium__ControlRecord *r)
{
    Angarium__ControlCommand command = ANGARIUM__CONTROL_COMMAND__INIT;
    Angarium__ControlPut put = ANGARIUM__CONTROL_PUT__INIT;
    struct errmsg why = { "" };
    struct buf head;
    Angarium__ControlCommand *back = NULL;

    if (settings_record_check(r, false, &why) != 0) {
        CHECK(why.text[0]);
        return;
    }
    put.record = (Angarium__ControlRecord *)(uintptr_t)r;
    command.kind_case = ANGARIUM__CONTROL_COMMAND__KIND_PUT;
    command.put = &put;
    buf_init(&head, CONTROL_COMMAND_SIZE_MAX);
    if (control_pack(&command, &head) == 0) {
        CHECK(control_unpack(buf_span(&head), &back) == 0);
        control_command_free(&back);
    }
    buf_deinit(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    Angarium__ControlRecord *r = NULL, *again = NULL;
    struct errmsg why = { "" };
    char *password = NULL;
    enum control_kind kind;
    json_t *j, *shown;

    if (size == 0) return 0;
    kind = (enum control_kind)(CONTROL_TENANT + bytes[0] % (CONTROL_KIND_END - CONTROL_TENANT));
    j = json_loadb((const char *)bytes + 1, size - 1, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(j)) {
        json_decref(j);
        return 0;
    }
    if (record_of_json(kind, "a.test", j, &r, &password, &why) == 0) {
        check_taken(r);
        shown = json_of_record(r);
        free(password);
        if (record_of_json(kind, "a.test", shown, &again, &password, &why) == 0)
            angarium__control_record__free_unpacked(again, NULL);
        json_decref(shown);
        angarium__control_record__free_unpacked(r, NULL);
    } else {
        CHECK(why.text[0] && !password);
    }
    free(password);
    json_decref(j);
    return 0;
}
