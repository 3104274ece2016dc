/* event_id - the cursors of the API: what parses prints as something that parses to the same. */
#include "node/emit/emit.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint32_t shard, number, shard2, number2;
    uint64_t entry, entry2;
    char text[EMIT_EVENT_ID_SIZE];

    if (emit_event_id_parse(span_of(bytes, size), &shard, &entry, &number) != 0) return 0;
    emit_event_id(shard, entry, number, text);
    CHECK(emit_event_id_parse(span_cstr(text), &shard2, &entry2, &number2) == 0);
    CHECK(shard == shard2 && entry == entry2 && number == number2);
    return 0;
}
