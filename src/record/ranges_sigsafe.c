/* SPDX-License-Identifier: MIT */
/*
 * Readers of the loaded ranges: any thread, any context.
 *
 * One atomic pointer and one count of readers. A reader counts itself before it loads the pointer;
 * the writer looks at the count after it stored a new pointer. Both in the one order of seq_cst, so
 * a count of 0 means that whoever comes later sees the new ranges: what was replaced before that
 * look can be given back. A count above 0 only postpones it; nobody waits.
 */
#include "record/ranges_internal.h"

_Atomic(struct rth_published_ranges *) rth__ranges_current_sigsafe;
_Atomic uint32_t rth__ranges_readers_sigsafe;

static const struct rth_loaded_ranges no_ranges = {.generation = 1, .count = 0};

const struct rth_loaded_ranges *rth__ranges_enter_sigsafe(void)
{
    (void)atomic_fetch_add_explicit(&rth__ranges_readers_sigsafe, 1, memory_order_seq_cst);
    struct rth_published_ranges *published =
        atomic_load_explicit(&rth__ranges_current_sigsafe, memory_order_seq_cst);
    return published == NULL ? &no_ranges : &published->ranges;
}

void rth__ranges_leave_sigsafe(void)
{
    (void)atomic_fetch_sub_explicit(&rth__ranges_readers_sigsafe, 1, memory_order_release);
}

int rth__ranges_find_sigsafe(const struct rth_loaded_ranges *ranges, uint64_t address)
{
    /* The last range that starts at or below the address; without a branch to mispredict. */
    const struct rth_loaded_range *range = ranges->range;
    uint32_t low = 0, count = ranges->count;
    while (count > 1) {
        uint32_t half = count / 2;
        low += range[low + half].start <= address ? half : 0;
        count -= half;
    }
    if (count == 0 || address < range[low].start || address >= range[low].limit)
        return -1;
    return (int)low;
}

rth_frame rth__frame_of_address_sigsafe(uint64_t address)
{
    const struct rth_loaded_ranges *ranges = rth__ranges_enter_sigsafe();
    int index = rth__ranges_find_sigsafe(ranges, address);
    rth_frame frame = index < 0 ? rth__frame_make(0, address)
                                : rth__frame_make(ranges->range[index].module_id,
                                                  address - ranges->range[index].load_bias);
    rth__ranges_leave_sigsafe();
    return frame;
}
