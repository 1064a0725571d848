/* SPDX-License-Identifier: MIT */
#include "unwind/cfi.h"

#include <errno.h>
#include <string.h>

enum {
    CFA_NOP = 0x00,
    CFA_SET_LOC = 0x01,
    CFA_ADVANCE_LOC1 = 0x02,
    CFA_ADVANCE_LOC2 = 0x03,
    CFA_ADVANCE_LOC4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER_STATE = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_OFFSET = 0x14,
    CFA_VAL_OFFSET_SF = 0x15,
    CFA_VAL_EXPRESSION = 0x16,
    CFA_MIPS_ADVANCE_LOC8 = 0x1d,
    CFA_GNU_ARGS_SIZE = 0x2e,
    CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
    /* With an operand in the low six bits. */
    CFA_ADVANCE_LOC = 0x40,
    CFA_OFFSET = 0x80,
    CFA_RESTORE = 0xc0,
    CFA_WITH_OPERAND = 0xc0,
};

/* One run: what the instructions need beside the machine. */
struct run {
    struct rth_cfi_machine *machine;
    const struct rth_cfi_cie *cie;
    struct rth_cfi_cursor *program;
    uint64_t limit;
    rth_cfi_row_fn row; /* NULL in the program of a CIE, which has no place */
    void *context;
};

/* Registers beyond ours (vector ones) are read past: no caller is found by them. */
static void place_set(struct run *run, uint64_t reg, struct rth_cfi_place place)
{
    if (reg < RTH_REG_COUNT)
        run->machine->now.reg[reg] = place;
}

static int offset_place(uint8_t kind, int64_t factor, int64_t align,
                        struct rth_cfi_place *ret_place)
{
    int64_t offset;
    if (__builtin_mul_overflow(factor, align, &offset) || offset < INT32_MIN || offset > INT32_MAX)
        return -EBADMSG;
    *ret_place = (struct rth_cfi_place){.kind = kind, .offset = (int32_t)offset};
    return 0;
}

static int set_offset(struct run *run, uint8_t kind, uint64_t reg, int64_t factor)
{
    struct rth_cfi_place place;
    int error = offset_place(kind, factor, run->cie->data_align, &place);
    if (error == 0)
        place_set(run, reg, place);
    return error;
}

static int unsigned_factor(uint64_t value, int64_t *ret_factor)
{
    if (value > INT32_MAX)
        return -EBADMSG;
    *ret_factor = (int64_t)value;
    return 0;
}

static int set_cfa(struct run *run, uint64_t reg, int64_t factor, int64_t align)
{
    struct rth_cfi_place place;
    if (reg >= RTH_REG_RA)
        return -EBADMSG;
    int error = offset_place(RTH_PLACE_REGISTER, factor, align, &place);
    if (error < 0)
        return error;
    place.source_register = (uint8_t)reg;
    run->machine->now.cfa = place;
    return 0;
}

/* A new offset from the register the CFA has already. */
static int set_cfa_offset(struct run *run, int64_t factor, int64_t align)
{
    const struct rth_cfi_place *cfa = &run->machine->now.cfa;
    if (cfa->kind != RTH_PLACE_REGISTER)
        return -EBADMSG;
    return set_cfa(run, cfa->source_register, factor, align);
}

static int expression_place(struct run *run, uint8_t kind, struct rth_cfi_place *ret_place)
{
    uint64_t size_bytes = rth__cfi_uleb(run->program);
    const uint8_t *expression = rth__cfi_skip(run->program, size_bytes);
    if (expression == NULL || size_bytes == 0 || size_bytes > UINT8_MAX)
        return -EBADMSG;
    *ret_place = (struct rth_cfi_place){
        .kind = kind, .expression_bytes = (uint8_t)size_bytes, .expression = expression};
    return 0;
}

static int set_expression(struct run *run, uint8_t kind)
{
    struct rth_cfi_place place;
    uint64_t reg = rth__cfi_uleb(run->program);
    int error = expression_place(run, kind, &place);
    if (error == 0)
        place_set(run, reg, place);
    return error;
}

static int move_to(struct run *run, uint64_t pc)
{
    struct rth_cfi_machine *machine = run->machine;
    if (run->row == NULL || pc < machine->pc)
        return -EBADMSG;
    if (pc == machine->pc)
        return 0;
    if (machine->pc < run->limit) {
        int result = run->row(run->context, machine->pc, &machine->now);
        if (result < 0)
            return result;
    }
    machine->pc = pc;
    return 0;
}

static int advance(struct run *run, uint64_t delta)
{
    uint64_t distance, pc;
    if (__builtin_mul_overflow(delta, run->cie->code_align, &distance) ||
        __builtin_add_overflow(run->machine->pc, distance, &pc))
        return -EBADMSG;
    return move_to(run, pc);
}

static int restore(struct run *run, uint64_t reg)
{
    if (run->row == NULL)
        return -EBADMSG; /* in a CIE there is nothing to go back to */
    if (reg < RTH_REG_COUNT)
        run->machine->now.reg[reg] = run->cie->initial.reg[reg];
    return 0;
}

static int remember(struct rth_cfi_machine *machine)
{
    if (machine->remembered_count == RTH_CFI_REMEMBER_MAX)
        return -EBADMSG;
    machine->remembered[machine->remembered_count++] = machine->now;
    return 0;
}

static int recall(struct rth_cfi_machine *machine)
{
    if (machine->remembered_count == 0)
        return -EBADMSG;
    machine->now = machine->remembered[--machine->remembered_count];
    return 0;
}

static int step_cfa(struct run *run, uint8_t opcode)
{
    struct rth_cfi_cursor *program = run->program;
    int64_t align = run->cie->data_align;
    int64_t factor;
    uint64_t reg;
    switch (opcode) {
    case CFA_DEF_CFA:
        reg = rth__cfi_uleb(program);
        return unsigned_factor(rth__cfi_uleb(program), &factor) < 0 ? -EBADMSG
                                                                    : set_cfa(run, reg, factor, 1);
    case CFA_DEF_CFA_SF:
        reg = rth__cfi_uleb(program);
        return set_cfa(run, reg, rth__cfi_sleb(program), align);
    case CFA_DEF_CFA_REGISTER:
        if (run->machine->now.cfa.kind != RTH_PLACE_REGISTER)
            return -EBADMSG;
        return set_cfa(run, rth__cfi_uleb(program), run->machine->now.cfa.offset, 1);
    case CFA_DEF_CFA_OFFSET:
        return unsigned_factor(rth__cfi_uleb(program), &factor) < 0
                   ? -EBADMSG
                   : set_cfa_offset(run, factor, 1);
    case CFA_DEF_CFA_OFFSET_SF:
        return set_cfa_offset(run, rth__cfi_sleb(program), align);
    case CFA_DEF_CFA_EXPRESSION:
        return expression_place(run, RTH_PLACE_EXPRESSION, &run->machine->now.cfa);
    default:
        return -EBADMSG;
    }
}

static int step_register(struct run *run, uint8_t opcode)
{
    struct rth_cfi_cursor *program = run->program;
    uint64_t reg = rth__cfi_uleb(program);
    int64_t factor;
    uint64_t source;
    switch (opcode) {
    case CFA_RESTORE_EXTENDED:
        return restore(run, reg);
    case CFA_UNDEFINED:
        place_set(run, reg, (struct rth_cfi_place){.kind = RTH_PLACE_UNDEFINED});
        return 0;
    case CFA_SAME_VALUE:
        place_set(run, reg, (struct rth_cfi_place){.kind = RTH_PLACE_SAME});
        return 0;
    case CFA_REGISTER:
        source = rth__cfi_uleb(program);
        place_set(run, reg,
                  source < RTH_REG_COUNT
                      ? (struct rth_cfi_place){.kind = RTH_PLACE_REGISTER,
                                               .source_register = (uint8_t)source}
                      : (struct rth_cfi_place){.kind = RTH_PLACE_UNDEFINED});
        return 0;
    case CFA_OFFSET_EXTENDED_SF:
        return set_offset(run, RTH_PLACE_AT_OFFSET, reg, rth__cfi_sleb(program));
    case CFA_VAL_OFFSET_SF:
        return set_offset(run, RTH_PLACE_OFFSET, reg, rth__cfi_sleb(program));
    default:
        break;
    }
    if (unsigned_factor(rth__cfi_uleb(program), &factor) < 0)
        return -EBADMSG;
    if (opcode == CFA_GNU_NEGATIVE_OFFSET_EXTENDED)
        factor = -factor;
    return set_offset(run, opcode == CFA_VAL_OFFSET ? RTH_PLACE_OFFSET : RTH_PLACE_AT_OFFSET, reg,
                      factor);
}

static int step_location(struct run *run, uint8_t opcode)
{
    switch (opcode) {
    case CFA_SET_LOC:
        return move_to(run,
                       rth__cfi_pointer(run->program, &run->machine->base, run->cie->fde_encoding));
    case CFA_ADVANCE_LOC1:
        return advance(run, rth__cfi_uint(run->program, 1));
    case CFA_ADVANCE_LOC2:
        return advance(run, rth__cfi_uint(run->program, 2));
    case CFA_ADVANCE_LOC4:
        return advance(run, rth__cfi_uint(run->program, 4));
    default:
        return advance(run, rth__cfi_uint(run->program, 8));
    }
}

static int step_extended(struct run *run, uint8_t opcode)
{
    switch (opcode) {
    case CFA_NOP:
        return 0;
    case CFA_SET_LOC:
    case CFA_ADVANCE_LOC1:
    case CFA_ADVANCE_LOC2:
    case CFA_ADVANCE_LOC4:
    case CFA_MIPS_ADVANCE_LOC8:
        return step_location(run, opcode);
    case CFA_REMEMBER_STATE:
        return remember(run->machine);
    case CFA_RESTORE_STATE:
        return recall(run->machine);
    case CFA_EXPRESSION:
        return set_expression(run, RTH_PLACE_AT_EXPRESSION);
    case CFA_VAL_EXPRESSION:
        return set_expression(run, RTH_PLACE_EXPRESSION);
    case CFA_GNU_ARGS_SIZE:
        (void)rth__cfi_uleb(run->program);
        return 0;
    case CFA_OFFSET_EXTENDED:
    case CFA_RESTORE_EXTENDED:
    case CFA_UNDEFINED:
    case CFA_SAME_VALUE:
    case CFA_REGISTER:
    case CFA_OFFSET_EXTENDED_SF:
    case CFA_VAL_OFFSET:
    case CFA_VAL_OFFSET_SF:
    case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
        return step_register(run, opcode);
    default:
        return step_cfa(run, opcode);
    }
}

static int run_program(struct run *run)
{
    while (run->program->at < run->program->end) {
        uint8_t opcode = (uint8_t)rth__cfi_uint(run->program, 1);
        uint8_t operand = opcode & 0x3f;
        int result;
        switch (opcode & CFA_WITH_OPERAND) {
        case CFA_ADVANCE_LOC:
            result = advance(run, operand);
            break;
        case CFA_OFFSET: {
            int64_t factor;
            result = unsigned_factor(rth__cfi_uleb(run->program), &factor);
            if (result == 0)
                result = set_offset(run, RTH_PLACE_AT_OFFSET, operand, factor);
            break;
        }
        case CFA_RESTORE:
            result = restore(run, operand);
            break;
        default:
            result = step_extended(run, opcode);
            break;
        }
        if (result < 0)
            return result;
        if (run->program->failed)
            return -EBADMSG;
    }
    return 0;
}

int rth__cfi_run_initial(struct rth_cfi_machine *machine, const struct rth_cfi_cie *cie,
                         struct rth_cfi_cursor *program)
{
    struct run run = {.machine = machine, .cie = cie, .program = program};
    memset(&machine->now, 0, sizeof(machine->now));
    machine->remembered_count = 0;
    return run_program(&run);
}

int rth__cfi_run(struct rth_cfi_machine *machine, const struct rth_cfi_cie *cie,
                 const struct rth_cfi_fde *fde, rth_cfi_row_fn row, void *context)
{
    struct rth_cfi_cursor program = fde->program;
    struct run run = {.machine = machine,
                      .cie = cie,
                      .program = &program,
                      .limit = fde->limit,
                      .row = row,
                      .context = context};
    machine->now = cie->initial;
    machine->remembered_count = 0;
    machine->pc = fde->start;
    int result = run_program(&run);
    if (result < 0)
        return result;
    return machine->pc < fde->limit ? row(context, machine->pc, &machine->now) : 0;
}
