/* SPDX-License-Identifier: MIT */
/*
 * DWARF expressions as they occur in call frame information: arithmetic over registers and words of
 * the stack. No branches, so the length bounds the work.
 */
#include "unwind/walk.h"

#include <string.h>

#include "unwind/leb.h"

enum {
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST8S = 0x0f,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_SWAP = 0x16,
    OP_AND = 0x1a,
    OP_MINUS = 0x1c,
    OP_MUL = 0x1e,
    OP_NEG = 0x1f,
    OP_NOT = 0x20,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_SHRA = 0x26,
    OP_XOR = 0x27,
    OP_EQ = 0x29,
    OP_GE = 0x2a,
    OP_GT = 0x2b,
    OP_LE = 0x2c,
    OP_LT = 0x2d,
    OP_NE = 0x2e,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_NOP = 0x96,
};

#define STACK_WORDS 16u

struct evaluation {
    struct walk *walk;
    const uint8_t *at, *end;
    uint64_t stack[STACK_WORDS];
    unsigned depth;
    bool failed;
};

static uint64_t take_bytes(struct evaluation *evaluation, unsigned size_bytes, bool is_signed)
{
    uint64_t value = 0;
    if ((size_t)(evaluation->end - evaluation->at) < size_bytes) {
        evaluation->failed = true;
        return 0;
    }
    memcpy(&value, evaluation->at, size_bytes);
    evaluation->at += size_bytes;
    unsigned shift = 64 - 8 * size_bytes;
    return is_signed ? (uint64_t)((int64_t)(value << shift) >> shift) : value;
}

static uint64_t take_leb(struct evaluation *evaluation, bool is_signed)
{
    uint64_t value;
    if (!rth__leb_read(&evaluation->at, evaluation->end, is_signed, &value)) {
        evaluation->failed = true;
        return 0;
    }
    return value;
}

static void push(struct evaluation *evaluation, uint64_t value)
{
    if (evaluation->depth == STACK_WORDS)
        evaluation->failed = true;
    else
        evaluation->stack[evaluation->depth++] = value;
}

static uint64_t pop(struct evaluation *evaluation)
{
    if (evaluation->depth == 0) {
        evaluation->failed = true;
        return 0;
    }
    return evaluation->stack[--evaluation->depth];
}

static void push_register(struct evaluation *evaluation, unsigned reg)
{
    uint64_t value = 0;
    uint64_t offset = take_leb(evaluation, true);
    if (!rth__walk_register_sigsafe(evaluation->walk, reg, &value))
        evaluation->failed = true;
    push(evaluation, value + offset);
}

static void push_word(struct evaluation *evaluation, uint64_t address)
{
    uint64_t word = 0;
    if (evaluation->failed || !rth__walk_read_sigsafe(evaluation->walk, address, &word))
        evaluation->failed = true;
    push(evaluation, word);
}

static uint64_t shift_right(int64_t value, uint64_t count)
{
    return (uint64_t)(value >> (count < 64 ? count : 63));
}

/* Two operands, the upper one on top; false when the opcode is none of these. */
static bool binary(uint8_t opcode, uint64_t lower, uint64_t upper, uint64_t *ret_value)
{
    int64_t left = (int64_t)lower, right = (int64_t)upper;
    switch (opcode) {
    case OP_AND:
        *ret_value = lower & upper;
        return true;
    case OP_OR:
        *ret_value = lower | upper;
        return true;
    case OP_XOR:
        *ret_value = lower ^ upper;
        return true;
    case OP_PLUS:
        *ret_value = lower + upper;
        return true;
    case OP_MINUS:
        *ret_value = lower - upper;
        return true;
    case OP_MUL:
        *ret_value = lower * upper;
        return true;
    case OP_SHL:
        *ret_value = upper < 64 ? lower << upper : 0;
        return true;
    case OP_SHR:
        *ret_value = upper < 64 ? lower >> upper : 0;
        return true;
    case OP_SHRA:
        *ret_value = shift_right(left, upper);
        return true;
    case OP_EQ:
        *ret_value = left == right;
        return true;
    case OP_GE:
        *ret_value = left >= right;
        return true;
    case OP_GT:
        *ret_value = left > right;
        return true;
    case OP_LE:
        *ret_value = left <= right;
        return true;
    case OP_LT:
        *ret_value = left < right;
        return true;
    case OP_NE:
        *ret_value = left != right;
        return true;
    default:
        return false;
    }
}

static void apply_binary(struct evaluation *evaluation, uint8_t opcode)
{
    uint64_t value = 0;
    uint64_t upper = pop(evaluation);
    uint64_t lower = pop(evaluation);
    if (!binary(opcode, lower, upper, &value))
        evaluation->failed = true;
    push(evaluation, value);
}

static void apply_stack(struct evaluation *evaluation, uint8_t opcode)
{
    uint64_t top = pop(evaluation);
    uint64_t second = opcode == OP_OVER || opcode == OP_SWAP ? pop(evaluation) : 0;
    switch (opcode) {
    case OP_DUP:
        push(evaluation, top);
        push(evaluation, top);
        break;
    case OP_OVER:
        push(evaluation, second);
        push(evaluation, top);
        push(evaluation, second);
        break;
    case OP_SWAP:
        push(evaluation, top);
        push(evaluation, second);
        break;
    case OP_DEREF:
        push_word(evaluation, top);
        break;
    case OP_NEG:
        push(evaluation, 0 - top);
        break;
    case OP_NOT:
        push(evaluation, ~top);
        break;
    case OP_PLUS_UCONST:
        push(evaluation, top + take_leb(evaluation, false));
        break;
    default: /* OP_DROP */
        break;
    }
}

static void apply(struct evaluation *evaluation)
{
    uint8_t opcode = *evaluation->at++;
    if (opcode >= OP_LIT0 && opcode <= OP_LIT31) {
        push(evaluation, opcode - OP_LIT0);
    } else if (opcode >= OP_BREG0 && opcode <= OP_BREG31) {
        push_register(evaluation, opcode - OP_BREG0);
    } else if (opcode >= OP_CONST1U && opcode <= OP_CONST8S) {
        unsigned index = opcode - OP_CONST1U; /* 1u 1s 2u 2s 4u 4s 8u 8s */
        push(evaluation, take_bytes(evaluation, 1u << index / 2, index & 1));
    } else {
        switch (opcode) {
        case OP_NOP:
            break;
        case OP_CONSTU:
        case OP_CONSTS:
            push(evaluation, take_leb(evaluation, opcode == OP_CONSTS));
            break;
        case OP_DUP:
        case OP_DROP:
        case OP_OVER:
        case OP_SWAP:
        case OP_DEREF:
        case OP_NEG:
        case OP_NOT:
        case OP_PLUS_UCONST:
            apply_stack(evaluation, opcode);
            break;
        default:
            apply_binary(evaluation, opcode);
            break;
        }
    }
}

bool rth__expression_sigsafe(struct walk *walk, const uint8_t *expression, size_t size_bytes,
                             const uint64_t *initial, uint64_t *ret_value)
{
    struct evaluation evaluation = {.walk = walk, .at = expression, .end = expression + size_bytes};
    if (initial != NULL)
        push(&evaluation, *initial);
    while (evaluation.at < evaluation.end && !evaluation.failed)
        apply(&evaluation);
    uint64_t value = pop(&evaluation);
    if (evaluation.failed)
        return false;
    *ret_value = value;
    return true;
}
