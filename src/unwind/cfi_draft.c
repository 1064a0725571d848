/* SPDX-License-Identifier: MIT */
/*
 * From a state of the CFI program to the shortest rule that says the same. Nearly all code has its
 * CFA at a register plus an offset and what it saved below; the rest is recognised by form, and
 * what has no form of its own becomes a list of places.
 */
#include "unwind/cfi.h"

#include <string.h>
#include <ucontext.h>

/* The opcodes of DWARF expressions that the forms below are made of. */
enum {
    OP_DEREF = 0x06,
    OP_PLUS_UCONST = 0x23,
    OP_BREG0 = 0x70,
    OP_BREG15 = 0x7f,
};

/* What the linker writes for lazily bound PLT entries, around the threshold in byte 6:
 * rsp + 8 + ((rip & 15) >= N) << 3. */
static const uint8_t plt_head[] = {0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a};
static const uint8_t plt_tail[] = {0x2a, 0x33, 0x24, 0x22};
#define PLT_FORM_BYTES 11u
#define OP_LIT0        0x30u
#define OP_LIT31       0x4fu

static bool is_plt(const struct rth_cfi_place *cfa, struct rth_rule *rule)
{
    const uint8_t *expression = cfa->expression;
    if (cfa->expression_bytes != PLT_FORM_BYTES ||
        memcmp(expression, plt_head, sizeof(plt_head)) != 0 ||
        memcmp(expression + 7, plt_tail, sizeof(plt_tail)) != 0 || expression[6] < OP_LIT0 ||
        expression[6] > OP_LIT31)
        return false;
    rule->kind = RTH_RULE_PLT;
    rule->cfa_register = RTH_REG_RSP;
    rule->cfa_offset = 8;
    rule->addend = (int16_t)(expression[6] - OP_LIT0);
    return true;
}

/* breg OFFSET, deref [, plus_uconst ADDEND]: gcc's realigned stacks, hand-written assembly. */
static bool is_deref(const struct rth_cfi_place *cfa, struct rth_rule *rule)
{
    struct rth_cfi_cursor cursor = {.start = cfa->expression,
                                    .at = cfa->expression,
                                    .end = cfa->expression + cfa->expression_bytes};
    uint64_t opcode = rth__cfi_uint(&cursor, 1);
    int64_t offset = rth__cfi_sleb(&cursor);
    uint64_t addend = 0;
    if (opcode < OP_BREG0 || opcode > OP_BREG15 || rth__cfi_uint(&cursor, 1) != OP_DEREF)
        return false;
    if (!cursor.failed && cursor.at < cursor.end) {
        if (rth__cfi_uint(&cursor, 1) != OP_PLUS_UCONST)
            return false;
        addend = rth__cfi_uleb(&cursor);
    }
    if (cursor.failed || cursor.at != cursor.end || offset < INT32_MIN || offset > INT32_MAX ||
        addend > INT16_MAX)
        return false;
    rule->kind = RTH_RULE_DEREF;
    rule->cfa_register = (uint8_t)(opcode - OP_BREG0);
    rule->cfa_offset = (int32_t)offset;
    rule->addend = (int16_t)addend;
    return true;
}

static bool cfa_form(const struct rth_cfi_place *cfa, struct rth_rule *rule)
{
    if (cfa->kind == RTH_PLACE_REGISTER) {
        rule->kind = RTH_RULE_REGISTER;
        rule->cfa_register = cfa->source_register;
        rule->cfa_offset = cfa->offset;
        return true;
    }
    return is_plt(cfa, rule) || is_deref(cfa, rule);
}

/* The kernel's signal frame, as libc describes it: the CFA is the rsp in the ucontext at rsp. */
static bool is_ucontext(const struct rth_cfi_state *state)
{
    struct rth_rule rule = {.kind = RTH_RULE_NONE};
    return state->cfa.kind == RTH_PLACE_EXPRESSION && is_deref(&state->cfa, &rule) &&
           rule.cfa_register == RTH_REG_RSP && rule.addend == 0 &&
           rule.cfa_offset == (int32_t)offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP]);
}

static const uint8_t saved_register[RTH_SAVED_COUNT] = {
    RTH_REG_RBX, RTH_REG_RBP, RTH_REG_R8 + 4, RTH_REG_R8 + 5, RTH_REG_R8 + 6, RTH_REG_R15,
};

static bool saved_form(const struct rth_cfi_state *state, struct rth_rule *rule)
{
    const struct rth_cfi_place *ra = &state->reg[RTH_REG_RA];
    const struct rth_cfi_place *rsp = &state->reg[RTH_REG_RSP];
    if (ra->kind != RTH_PLACE_AT_OFFSET || ra->offset != -8)
        return false;
    if (rsp->kind != RTH_PLACE_SAME && !(rsp->kind == RTH_PLACE_OFFSET && rsp->offset == 0))
        return false;
    for (unsigned i = 0; i < RTH_SAVED_COUNT; i++) {
        const struct rth_cfi_place *place = &state->reg[saved_register[i]];
        if (place->kind == RTH_PLACE_SAME)
            continue;
        int32_t words = place->offset / 8;
        if (place->kind != RTH_PLACE_AT_OFFSET || place->offset % 8 != 0 || words == 0 ||
            words < INT8_MIN || words > INT8_MAX)
            return false;
        rule->saved_words[i] = (int8_t)words;
    }
    return true;
}

static void place_add(struct rth_rule_draft *draft, uint8_t target,
                      const struct rth_cfi_place *place)
{
    unsigned index = draft->place_count++;
    draft->places[index] = (struct rth_place){.target = target,
                                              .kind = place->kind,
                                              .source_register = place->source_register,
                                              .expression_bytes = place->expression_bytes,
                                              .offset = place->offset};
    draft->expression[index] = place->expression;
}

/* Registers that a call destroys say nothing of the caller, unless it was interrupted. */
static bool is_preserved(unsigned reg)
{
    if (reg == RTH_REG_RSP || reg == RTH_REG_RA)
        return true;
    return memchr(saved_register, (int)reg, sizeof(saved_register)) != NULL;
}

static void draft_rare(const struct rth_cfi_state *state, bool is_signal_frame,
                       struct rth_rule_draft *draft)
{
    draft->rule = (struct rth_rule){.kind = RTH_RULE_RARE, .is_signal_frame = is_signal_frame};
    place_add(draft, RTH_PLACE_CFA, &state->cfa);
    for (unsigned reg = 0; reg < RTH_REG_COUNT; reg++) {
        if (state->reg[reg].kind != RTH_PLACE_SAME && (is_signal_frame || is_preserved(reg)))
            place_add(draft, (uint8_t)reg, &state->reg[reg]);
    }
}

void rth__cfi_draft(const struct rth_cfi_state *state, bool is_signal_frame,
                    struct rth_rule_draft *ret_draft)
{
    const struct rth_cfi_place *ra = &state->reg[RTH_REG_RA];
    ret_draft->rule = (struct rth_rule){.kind = RTH_RULE_NONE};
    ret_draft->place_count = 0;
    if (ra->kind == RTH_PLACE_UNDEFINED) {
        ret_draft->rule.kind = RTH_RULE_ROOT;
        return;
    }
    if (state->cfa.kind == RTH_PLACE_SAME || ra->kind == RTH_PLACE_SAME)
        return;
    if (is_signal_frame && is_ucontext(state)) {
        ret_draft->rule.kind = RTH_RULE_SIGNAL;
        ret_draft->rule.is_signal_frame = 1;
        return;
    }
    struct rth_rule rule = {.kind = RTH_RULE_NONE};
    if (!is_signal_frame && cfa_form(&state->cfa, &rule) && saved_form(state, &rule)) {
        ret_draft->rule = rule;
        return;
    }
    draft_rare(state, is_signal_frame, ret_draft);
}
