/* SPDX-License-Identifier: MIT */
/* One step of a walk: from the registers of a frame to those of its caller. */
#include "unwind/walk.h"

#include <errno.h>
#include <string.h>

#include "os/rawsys.h"
#include "record/ranges.h"

#define BIT(reg) (1u << (reg))

#define PRESERVED                                                                                  \
    (BIT(RTH_REG_RBX) | BIT(RTH_REG_RBP) | BIT(RTH_REG_R8 + 4) | BIT(RTH_REG_R8 + 5) |             \
     BIT(RTH_REG_R8 + 6) | BIT(RTH_REG_R15))

/* In the order of rth_rule.saved_words. */
static const uint8_t saved_register[RTH_SAVED_COUNT] = {
    RTH_REG_RBX, RTH_REG_RBP, RTH_REG_R8 + 4, RTH_REG_R8 + 5, RTH_REG_R8 + 6, RTH_REG_R15,
};

/* ---- memory and registers ---------------------------------------------------------------------
 */

/* rt_sigprocmask looks at the set before it looks at what to do with it: a `how` that does not
 * exist changes nothing, and tells EFAULT from EINVAL. */
bool rth__unwind_can_read_sigsafe(uint64_t address)
{
    return RTH__RAW(SYS_rt_sigprocmask, ~0ul, (unsigned long)address, NULL, 8ul) == -EINVAL;
}

bool rth__walk_probe_sigsafe(struct walk *walk, uint64_t address)
{
    uint64_t page = address & ~(RTH_ARCH_PAGE_BYTES - 1);
    if (page == 0 || page >= RTH_ARCH_ADDRESS_LIMIT)
        return false;
    for (unsigned i = 0; i < PROBED_PAGES; i++) {
        if (walk->readable_page[i] == page)
            return true;
    }
    if (!rth__unwind_can_read_sigsafe(page))
        return false;
    for (unsigned i = PROBED_PAGES - 1; i > 0; i--)
        walk->readable_page[i] = walk->readable_page[i - 1];
    walk->readable_page[0] = page;
    return true;
}

READS_FOREIGN_STACKS bool rth__walk_read_sigsafe(struct walk *walk, uint64_t address,
                                                 uint64_t *ret_word)
{
    if (address >= walk->low && address < walk->limit) {
        *ret_word = word_at(address + walk->copy_delta);
        return true;
    }
    if (!walk->probe || address % sizeof(uint64_t) != 0 || !rth__walk_probe_sigsafe(walk, address))
        return false;
    *ret_word = word_at(address);
    return true;
}

bool rth__walk_register_sigsafe(struct walk *walk, unsigned reg, uint64_t *ret_value)
{
    if (reg >= RTH_REG_COUNT || !(walk->regs.known & BIT(reg))) {
        if (walk->registers_skipped && reg < RTH_REG_COUNT && (PRESERVED & BIT(reg)))
            walk->registers_missed = true;
        return false;
    }
    *ret_value = walk->regs.value[reg];
    return true;
}

static bool ended(struct walk *walk, enum rth_unwind_end end)
{
    walk->end = end;
    return false;
}

/* The stack grows down, so a caller's is above; only a function that has not pushed anything yet,
 * or has popped it all, may stand where its caller stands. */
static bool may_advance(struct walk *walk, uint64_t sp, uint64_t caller_sp, uint64_t caller_pc)
{
    if (caller_sp < sp || (caller_sp == sp && !walk->pc_is_exact))
        return ended(walk, RTH_UNWIND_STUCK);
    if (caller_pc == 0)
        return ended(walk, RTH_UNWIND_ROOT);
    return true;
}

static bool advance(struct walk *walk, const struct rth_registers *caller)
{
    if (!may_advance(walk, walk->regs.value[RTH_REG_RSP], caller->value[RTH_REG_RSP],
                     caller->value[RTH_REG_RA]))
        return false;
    walk->regs = *caller;
    walk->pc_is_exact = false;
    return true;
}

/* The same out of a signal frame: an alternate stack may lie above the one that was interrupted,
 * and pc 0 is where a call through a null pointer was caught. */
static bool advance_interrupted(struct walk *walk, const struct rth_registers *caller)
{
    if (caller->value[RTH_REG_RSP] == walk->regs.value[RTH_REG_RSP] &&
        caller->value[RTH_REG_RA] == walk->regs.value[RTH_REG_RA])
        return ended(walk, RTH_UNWIND_STUCK);
    walk->regs = *caller;
    walk->pc_is_exact = true;
    return true;
}

/* ---- by a rule --------------------------------------------------------------------------------
 */

static void saved_restore(struct walk *walk, const struct rth_rule *rule, unsigned index,
                          uint64_t cfa)
{
    unsigned reg = saved_register[index];
    if (rule->saved_words[index] == 0)
        return;
    if (rth__walk_read_sigsafe(walk, cfa + (uint64_t)(8 * (int64_t)rule->saved_words[index]),
                               &walk->regs.value[reg]))
        walk->regs.known |= BIT(reg);
    else
        walk->regs.known &= ~BIT(reg);
}

static bool step_plain(struct walk *walk, const struct rth_rule *rule)
{
    uint64_t cfa;
    if (!rth__walk_register_sigsafe(walk, rule->cfa_register, &cfa))
        return ended(walk, RTH_UNWIND_NO_RULE);
    cfa += (uint64_t)(int64_t)rule->cfa_offset;
    if (rule->kind == RTH_RULE_DEREF) {
        if (!rth__walk_read_sigsafe(walk, cfa, &cfa))
            return ended(walk, RTH_UNWIND_UNREADABLE);
        cfa += (uint64_t)(int64_t)rule->addend;
    } else if (rule->kind == RTH_RULE_PLT &&
               (walk->regs.value[RTH_REG_RA] & 15) >= (uint64_t)rule->addend) {
        cfa += 8;
    }
    uint64_t return_address;
    if (!rth__walk_read_sigsafe(walk, cfa - 8, &return_address))
        return ended(walk, RTH_UNWIND_UNREADABLE);
    if (!may_advance(walk, walk->regs.value[RTH_REG_RSP], cfa, return_address))
        return false;
    walk->regs.value[RTH_REG_RSP] = cfa;
    walk->regs.value[RTH_REG_RA] = return_address;
    walk->pc_is_exact = false;
    if (walk->follow_registers) {
        walk->regs.known &= PRESERVED | BIT(RTH_REG_RSP) | BIT(RTH_REG_RA);
        for (unsigned i = 0; i < RTH_SAVED_COUNT; i++)
            saved_restore(walk, rule, i, cfa);
    } else {
        walk->registers_skipped = true;
        walk->regs.known &= BIT(RTH_REG_RSP) | BIT(RTH_REG_RBP) | BIT(RTH_REG_RA);
        saved_restore(walk, rule, RTH_SAVED_RBP, cfa);
    }
    return true;
}

/* The value a place gives; false when it cannot be known. */
static bool place_value(struct walk *walk, const struct rth_rows *rows,
                        const struct rth_place *place, uint64_t cfa, uint64_t *ret_value)
{
    uint64_t address;
    const uint8_t *expression = rows->expressions + place->offset;
    switch (place->kind) {
    case RTH_PLACE_AT_OFFSET:
        return rth__walk_read_sigsafe(walk, cfa + (uint64_t)(int64_t)place->offset, ret_value);
    case RTH_PLACE_OFFSET:
        *ret_value = cfa + (uint64_t)(int64_t)place->offset;
        return true;
    case RTH_PLACE_REGISTER:
        return rth__walk_register_sigsafe(walk, place->source_register, ret_value);
    case RTH_PLACE_AT_EXPRESSION:
        return rth__expression_sigsafe(walk, expression, place->expression_bytes, &cfa, &address) &&
               rth__walk_read_sigsafe(walk, address, ret_value);
    case RTH_PLACE_EXPRESSION:
        return rth__expression_sigsafe(walk, expression, place->expression_bytes, &cfa, ret_value);
    default: /* undefined */
        return false;
    }
}

static bool cfa_value(struct walk *walk, const struct rth_rows *rows, const struct rth_place *place,
                      uint64_t *ret_cfa)
{
    if (place->kind == RTH_PLACE_REGISTER) {
        if (!rth__walk_register_sigsafe(walk, place->source_register, ret_cfa))
            return false;
        *ret_cfa += (uint64_t)(int64_t)place->offset;
        return true;
    }
    return rth__expression_sigsafe(walk, rows->expressions + place->offset, place->expression_bytes,
                                   NULL, ret_cfa);
}

static bool step_rare(struct walk *walk, const struct rth_rows *rows, const struct rth_rule *rule)
{
    const struct rth_place *places = rows->places + rule->cfa_offset;
    uint64_t cfa;
    if (!cfa_value(walk, rows, &places[0], &cfa))
        return ended(walk, RTH_UNWIND_NO_RULE);
    struct rth_registers caller = walk->regs;
    if (!rule->is_signal_frame)
        caller.known &= PRESERVED;
    caller.known |= BIT(RTH_REG_RSP);
    caller.known &= ~BIT(RTH_REG_RA);
    caller.value[RTH_REG_RSP] = cfa;
    for (unsigned i = 1; i < rule->rare_count; i++) {
        unsigned reg = places[i].target;
        if (place_value(walk, rows, &places[i], cfa, &caller.value[reg]))
            caller.known |= BIT(reg);
        else
            caller.known &= ~BIT(reg);
    }
    const uint32_t needed = BIT(RTH_REG_RA) | BIT(RTH_REG_RSP);
    if ((caller.known & needed) != needed)
        return ended(walk, walk->registers_missed ? RTH_UNWIND_NO_RULE : RTH_UNWIND_UNREADABLE);
    return rule->is_signal_frame ? advance_interrupted(walk, &caller) : advance(walk, &caller);
}

bool rth__step_signal_sigsafe(struct walk *walk)
{
    uint64_t context = walk->regs.value[RTH_REG_RSP];
    struct rth_registers caller = {.known = RTH_REGISTERS_ALL};
    for (unsigned reg = 0; reg < RTH_REG_COUNT; reg++) {
        if (!rth__walk_read_sigsafe(walk, context + rth__ucontext_offset_sigsafe(reg),
                                    &caller.value[reg]))
            return ended(walk, RTH_UNWIND_UNREADABLE);
    }
    return advance_interrupted(walk, &caller);
}

bool rth__step_by_rule_sigsafe(struct walk *walk, const struct rth_rows *rows,
                               const struct rth_rule *rule)
{
    switch (rule->kind) {
    case RTH_RULE_ROOT:
        return ended(walk, RTH_UNWIND_ROOT);
    case RTH_RULE_SIGNAL:
        return rth__step_signal_sigsafe(walk);
    case RTH_RULE_RARE:
        return step_rare(walk, rows, rule);
    case RTH_RULE_NONE:
        return ended(walk, RTH_UNWIND_NO_RULE);
    default:
        return step_plain(walk, rule);
    }
}

/* ---- without a rule ---------------------------------------------------------------------------
 */

/* mov $15, %rax; syscall: what returns from a signal handler, in libraries that do not describe it.
 * The frame must look like one before the code is read, which takes a system call. */
static bool is_signal_return(struct walk *walk)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
    const uint64_t user_code_segment = 0x33;
    uint64_t pc = walk->regs.value[RTH_REG_RA];
    uint64_t context = walk->regs.value[RTH_REG_RSP];
    uint64_t segments, interrupted_pc;
    if (!rth__walk_read_sigsafe(walk, context + offsetof(ucontext_t, uc_mcontext.gregs[REG_CSGSFS]),
                                &segments) ||
        (segments & 0xffff) != user_code_segment ||
        !rth__walk_read_sigsafe(walk, context + rth__ucontext_offset_sigsafe(RTH_REG_RA),
                                &interrupted_pc) ||
        rth__ranges_find_sigsafe(walk->ranges, interrupted_pc) < 0 ||
        rth__ranges_find_sigsafe(walk->ranges, pc) < 0)
        return false;
    return rth__walk_probe_sigsafe(walk, pc) &&
           rth__walk_probe_sigsafe(walk, pc + sizeof(code) - 1) &&
           memcmp((const void *)(uintptr_t)pc, code, sizeof(code)) == 0;
}

bool rth__step_by_frame_pointer_sigsafe(struct walk *walk)
{
    if (is_signal_return(walk))
        return rth__step_signal_sigsafe(walk);
    uint64_t fp;
    struct rth_registers caller = {.known = BIT(RTH_REG_RSP) | BIT(RTH_REG_RBP) | BIT(RTH_REG_RA)};
    if (!rth__walk_register_sigsafe(walk, RTH_REG_RBP, &fp) || fp < walk->regs.value[RTH_REG_RSP] ||
        fp % sizeof(uint64_t) != 0 ||
        !rth__walk_read_sigsafe(walk, fp, &caller.value[RTH_REG_RBP]) ||
        !rth__walk_read_sigsafe(walk, fp + 8, &caller.value[RTH_REG_RA]))
        return ended(walk, RTH_UNWIND_NO_RULE);
    uint64_t pc = caller.value[RTH_REG_RA];
    /* A guess is followed only to where code is. */
    if (pc != 0 && rth__ranges_find_sigsafe(walk->ranges, pc - 1) < 0)
        return ended(walk, RTH_UNWIND_NO_RULE);
    caller.value[RTH_REG_RSP] = fp + 16;
    return advance(walk, &caller);
}
