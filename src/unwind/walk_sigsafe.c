/* SPDX-License-Identifier: MIT */
/*
 * The walker.
 *
 * Purpose: the frames of a stack, from a signal handler as from anywhere, for a few nanoseconds
 * each. Shape: a program counter leads to a rule, through the caller's cache or by two binary
 * searches; the rule leads to the caller's registers. The fast path takes frames whose rule is in
 * the cache and says no more than where the CFA and rbp are, which is nearly all of them, and
 * follows no other register; when a frame further out needs one, the walk is done again with all.
 * Threads: any, with a cache of its own each. No lock, no allocation, no call into the loader.
 * Reads: the stack inside the limits; elsewhere only pages the kernel said to be readable; and
 * rows, which are never taken back. Failure: the walk ends and says why. Every step moves up the
 * stack, out of a signal frame excepted, and the capacity bounds those.
 */
#include "unwind/unwind.h"

#include "record/ranges.h"
#include "unwind/module_rows.h"
#include "unwind/walk.h"

/*
 * The value of a cache slot, for the fast path in one load:
 *   bits 0-1   what the CFA is counted from: nothing (the rule is not that simple), rsp, rbp
 *   bits 2-9   rbp is saved at CFA + 8 * this (signed); 0: unchanged
 *   bits 10-25 index of the range      bits 26-41 number of the rule
 *   bits 42-63 CFA offset (signed)
 * The time of a frame is the time from one return address to the next through this word, so the
 * offset takes one shift, and slots are found by the plainest hash there is.
 */
enum { FAST_NOT, FAST_RSP, FAST_RBP };
#define FAST_OFFSET_MAX   (1 << 21)
#define FAST_OFFSET_SHIFT 42

static inline unsigned value_range(uint64_t value)
{
    return value >> 10 & 0xffff;
}

static inline unsigned value_rule(uint64_t value)
{
    return value >> 26 & 0xffff;
}

/* Addresses of user space have 47 bits. The 17 above count generations: a slot that is older by
 * just their number looks current, so what it says is checked against the tables all the same. */
#define KEY_GENERATION_SHIFT 47u

static uint64_t key_tag(const struct rth_loaded_ranges *ranges)
{
    return (uint64_t)ranges->generation << KEY_GENERATION_SHIFT;
}

/* Slots go by the address behind the one that is looked up: a return address as it stands. */
static inline unsigned slot_of(uint64_t return_address)
{
    return (unsigned)(return_address % CACHE_SLOTS);
}

static uint64_t fast_value(const struct rth_rule *rule)
{
    if (rule->kind != RTH_RULE_REGISTER || rule->cfa_offset >= FAST_OFFSET_MAX ||
        rule->cfa_offset < -FAST_OFFSET_MAX)
        return FAST_NOT;
    uint64_t kind = rule->cfa_register == RTH_REG_RSP   ? FAST_RSP
                    : rule->cfa_register == RTH_REG_RBP ? FAST_RBP
                                                        : FAST_NOT;
    uint64_t rbp_words = (uint8_t)rule->saved_words[RTH_SAVED_RBP];
    return kind | rbp_words << 2 | (uint64_t)(int64_t)rule->cfa_offset << FAST_OFFSET_SHIFT;
}

/* A signal handler that walks with the same cache may come in between: the value is written while
 * no key claims it, and read before the key is looked at. Where it comes into the clearing of the
 * cache, a key may be left with a value of 0, which is taken for no value. */
static void cache_put(struct walk *walk, uint64_t lookup, uint64_t value)
{
    unsigned slot = slot_of(lookup + 1);
    if (walk->cache == NULL)
        return;
    __atomic_store_n(&walk->cache->slot[slot].key, 0, __ATOMIC_RELAXED);
    atomic_signal_fence(memory_order_seq_cst);
    __atomic_store_n(&walk->cache->slot[slot].value, value, __ATOMIC_RELAXED);
    atomic_signal_fence(memory_order_seq_cst);
    __atomic_store_n(&walk->cache->slot[slot].key, (lookup + 1) ^ key_tag(walk->ranges),
                     __ATOMIC_RELAXED);
}

static inline bool cache_get(const struct rth_unwind_cache *cache, uint64_t return_address,
                             uint64_t tag, uint64_t *ret_value)
{
    unsigned slot = slot_of(return_address);
    uint64_t value = __atomic_load_n(&cache->slot[slot].value, __ATOMIC_RELAXED);
    atomic_signal_fence(memory_order_seq_cst);
    if (__atomic_load_n(&cache->slot[slot].key, __ATOMIC_RELAXED) != (return_address ^ tag))
        return false;
    *ret_value = value;
    return true;
}

/* ---- the fast path ----------------------------------------------------------------------------
 */

/* Takes frames while all is simple. False when that was the whole stack. */
READS_FOREIGN_STACKS static bool walk_fast(struct walk *walk)
{
    uint64_t sp = walk->regs.value[RTH_REG_RSP], fp = walk->regs.value[RTH_REG_RBP];
    uint64_t ra = walk->regs.value[RTH_REG_RA] + walk->pc_is_exact; /* one above the lookup */
    uint64_t low = walk->low, limit = walk->limit, delta = walk->copy_delta;
    uint64_t tag = key_tag(walk->ranges), least_cfa = sp + !walk->pc_is_exact;
    bool fp_known = walk->regs.known & 1u << RTH_REG_RBP;
    unsigned first = walk->count, count = first;
    uint64_t value;
    while (count < walk->capacity && cache_get(walk->cache, ra, tag, &value)) {
        uint64_t offset = (uint64_t)((int64_t)value >> FAST_OFFSET_SHIFT), cfa = sp + offset;
        unsigned kind = value & 3, range_index = value_range(value);
        if (kind != FAST_RSP) {
            if (kind != FAST_RBP || !fp_known)
                break;
            cfa = fp + offset;
        }
        uint64_t return_at = cfa - 8, fp_words = (uint64_t)(int64_t)(int8_t)(value >> 2);
        if (cfa < least_cfa || return_at < low || return_at >= limit ||
            range_index >= walk->ranges->count)
            break;
        if (fp_words != 0) {
            uint64_t fp_at = cfa + 8 * fp_words;
            if (fp_at < low || fp_at >= limit)
                break;
            fp = word_at(fp_at + delta);
            fp_known = true;
        }
        const struct rth_loaded_range *range = &walk->ranges->range[range_index];
        walk->frames[count++] = rth__frame_make(range->module_id, ra - 1 - range->load_bias);
        ra = word_at(return_at + delta);
        sp = cfa;
        least_cfa = sp + 1;
        if (ra == 0)
            break;
    }
    if (count == first)
        return true;
    walk->count = count;
    walk->pc_is_exact = false;
    walk->registers_skipped = true;
    walk->regs.value[RTH_REG_RSP] = sp;
    walk->regs.value[RTH_REG_RBP] = fp;
    walk->regs.value[RTH_REG_RA] = ra;
    walk->regs.known = 1u << RTH_REG_RSP | 1u << RTH_REG_RA | (unsigned)fp_known << RTH_REG_RBP;
    if (ra == 0)
        walk->end = RTH_UNWIND_ROOT;
    return ra != 0;
}

/* ---- any frame --------------------------------------------------------------------------------
 */

/* What is known of the code in hand; rows NULL when nothing is. */
struct found {
    const struct rth_loaded_range *range; /* NULL: no code that we know of */
    const struct rth_rows *rows;
    uint32_t rule;
};

static int range_of(struct walk *walk, uint64_t lookup)
{
    const struct rth_loaded_ranges *ranges = walk->ranges;
    if (walk->range_hint < ranges->count && lookup >= ranges->range[walk->range_hint].start &&
        lookup < ranges->range[walk->range_hint].limit)
        return (int)walk->range_hint;
    int index = rth__ranges_find_sigsafe(ranges, lookup);
    if (index >= 0)
        walk->range_hint = (uint32_t)index;
    return index;
}

static struct found find(struct walk *walk, uint64_t lookup)
{
    struct found found = {0};
    uint64_t value;
    bool hit = walk->cache != NULL && lookup < RTH_ARCH_ADDRESS_LIMIT &&
               cache_get(walk->cache, lookup + 1, key_tag(walk->ranges), &value) && value != 0 &&
               value_range(value) < walk->ranges->count;
    int index = hit ? (int)value_range(value) : range_of(walk, lookup);
    if (index < 0) {
        atomic_store_explicit(&rth__unknown_code_met_sigsafe, true, memory_order_relaxed);
        return found;
    }
    found.range = &walk->ranges->range[index];
    found.rows = atomic_load_explicit(&rth__rows_of_module_sigsafe[found.range->module_id],
                                      memory_order_acquire);
    if (found.rows == NULL)
        return found; /* not kept: rows may come */
    if (hit && value_rule(value) < found.rows->rule_count) {
        found.rule = value_rule(value);
        return found;
    }
    uint64_t offset = lookup - found.range->load_bias - found.rows->vaddr_low;
    found.rule = rth__rows_find_sigsafe(found.rows, offset);
    cache_put(walk, lookup,
              fast_value(&found.rows->rules[found.rule]) | (uint64_t)index << 10 |
                  (uint64_t)found.rule << 26);
    return found;
}

/* Records the frame in hand and goes on to its caller; false at the end. */
static bool walk_one(struct walk *walk)
{
    if (walk->count == walk->capacity) {
        walk->end = RTH_UNWIND_DEPTH;
        return false;
    }
    uint64_t lookup = walk->regs.value[RTH_REG_RA] - !walk->pc_is_exact;
    struct found found = find(walk, lookup);
    walk->frames[walk->count++] =
        found.range == NULL
            ? rth__frame_make(0, lookup)
            : rth__frame_make(found.range->module_id, lookup - found.range->load_bias);
    if (found.rows == NULL || found.rows->rules[found.rule].kind == RTH_RULE_NONE)
        return rth__step_by_frame_pointer_sigsafe(walk);
    return rth__step_by_rule_sigsafe(walk, found.rows, &found.rows->rules[found.rule]);
}

static void walk_all(struct walk *walk)
{
    bool more = true;
    while (more) {
        if (walk->cache != NULL && !walk->follow_registers && !walk_fast(walk))
            return;
        more = walk_one(walk);
    }
}

unsigned rth__unwind_sigsafe(const struct rth_registers *registers,
                             const struct rth_unwind_stack *stack, struct rth_unwind_cache *cache,
                             rth_frame *ret_frames, unsigned capacity, enum rth_unwind_end *ret_end)
{
    struct walk walk = {
        .regs = *registers,
        .pc_is_exact = true,
        .low = stack->low,
        .limit = stack->low,
        .probe = stack->probe,
        .cache = cache,
        .frames = ret_frames,
        .capacity = capacity < RTH_UNWIND_FRAMES_MAX ? capacity : RTH_UNWIND_FRAMES_MAX,
    };
    if (stack->high > stack->low && stack->high - stack->low >= sizeof(uint64_t))
        walk.limit = stack->high - sizeof(uint64_t) + 1;
    if (stack->copy != NULL)
        walk.copy_delta = (uint64_t)(uintptr_t)stack->copy - stack->low;
    walk.ranges = rth__ranges_enter_sigsafe();
    walk_all(&walk);
    if (walk.registers_missed && walk.end != RTH_UNWIND_ROOT) {
        walk.regs = *registers;
        walk.pc_is_exact = true;
        walk.follow_registers = true;
        walk.registers_skipped = false;
        walk.registers_missed = false;
        walk.count = 0;
        walk_all(&walk);
    }
    rth__ranges_leave_sigsafe();
    *ret_end = walk.end;
    return walk.count;
}

const char *rth__unwind_end_name(enum rth_unwind_end end)
{
    static const char *const names[RTH_UNWIND_END_COUNT] = {
        [RTH_UNWIND_ROOT] = "root",       [RTH_UNWIND_DEPTH] = "depth",
        [RTH_UNWIND_NO_RULE] = "no_rule", [RTH_UNWIND_UNREADABLE] = "unreadable",
        [RTH_UNWIND_STUCK] = "stuck",
    };
    return (unsigned)end < RTH_UNWIND_END_COUNT ? names[end] : "unknown";
}
