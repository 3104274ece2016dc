/* checksum - CRC32C (RFC 3720 appendix B.4) by the processor's own instructions, in the place of RocksDB's. Why: docs/decisions/0009-allocator-and-checksum.md
 */
#include <isa-l/crc.h>

#include "raft/store/inside.h"

#define PIECE_MAX (1u << 30) /* the library counts in int */

uint32_t checksum_extend(uint32_t crc, const char *data, size_t size)
{
    while (size > 0) {
        size_t piece = size < PIECE_MAX ? size : PIECE_MAX;

        crc = ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)piece, ~crc);
        data += piece;
        size -= piece;
    }
    return crc;
}

void checksum_check(void)
{
    CHECK(checksum_extend(0, "123456789", 9) == 0xe3069283);
}
