/* SPDX-License-Identifier: MIT */
#include "unwind/rows.h"

#include "unwind/row_code.h"

uint32_t rth__rows_find_sigsafe(const struct rth_rows *rows, uint64_t offset)
{
    const uint32_t *block_pc = rows->block_pc;
    uint32_t low = 0, count = rows->block_count;
    if (offset > UINT32_MAX || count == 0 || offset < block_pc[0])
        return 0;
    uint32_t wanted = (uint32_t)offset;
    /* The last block that starts at or below; without a branch to mispredict. */
    while (count > 1) {
        uint32_t half = count / 2;
        low = block_pc[low + half] <= wanted ? low + half : low;
        count -= half;
    }
    const uint8_t *block = rows->blocks[low];
    const uint8_t *at = block + ROW_HEAD_BYTES, *end = block + RTH_ROW_BLOCK_BYTES;
    uint32_t pc = block_pc[low];
    uint32_t middle_pc = pc + (block[1] | (uint32_t)block[2] << 8);
    bool from_middle = block[0] != 0 && wanted >= middle_pc;
    at = from_middle ? block + block[0] : at;
    pc = from_middle ? middle_pc : pc;
    uint32_t rule = row_rule_read(&at);
    while (at < end && *at != 0) {
        pc += row_distance_read(&at);
        if (pc > wanted)
            break;
        rule = row_rule_read(&at);
    }
    return rule;
}
