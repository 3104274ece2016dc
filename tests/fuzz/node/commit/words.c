/* words - any bytes as what another node says about mail: refused, or taken within the memory that it may cost. */
#include "node/commit/words.h"
#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    const struct span rest = n > 0 ? span_of(p + 1, n - 1) : span_of(NULL, 0);
    Angarium__PeerLeads *leads;
    Angarium__PeerChunk *chunk;
    Angarium__PeerMail *mail;
    Angarium__PeerOrder *order;
    Angarium__Command *c;
    struct arena a;
    uint64_t id;

    arena_init(&a, WORDS_ARENA_MAX);
    switch (n > 0 ? p[0] % 5 : 0) {
    case 0:
        if (words_leads(rest, &a, &leads) == 0) CHECK(leads->n_shards <= WORDS_SHARDS_MAX);
        break;
    case 1:
        if (words_chunk(rest, &a, &chunk) == 0) CHECK(chunk->upload.len == WORDS_UPLOAD_SIZE);
        break;
    case 2:
        if (words_mail(rest, &a, &mail, &c) == 0) CHECK(proto_command_check(c) == 0);
        break;
    case 3:
        if (words_order(rest, &a, &order, &c) == 0) CHECK(proto_command_check(c) == 0);
        break;
    default:
        if (words_mail_answer(rest, &id) == 0) CHECK(proto_id_index(id) != 0);
    }
    arena_deinit(&a);
    return 0;
}
