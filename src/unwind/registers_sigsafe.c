/* SPDX-License-Identifier: MIT */
#include "unwind/arch.h"

/* gregs index of each DWARF register. */
static const uint8_t greg_of_register[RTH_REG_COUNT] = {
    REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
    REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
};

unsigned rth__ucontext_offset_sigsafe(unsigned reg)
{
    return (unsigned)offsetof(ucontext_t, uc_mcontext.gregs) +
           (unsigned)sizeof(greg_t) * greg_of_register[reg];
}

void rth__registers_from_ucontext_sigsafe(const ucontext_t *context,
                                          struct rth_registers *ret_registers)
{
    for (unsigned reg = 0; reg < RTH_REG_COUNT; reg++)
        ret_registers->value[reg] = (uint64_t)context->uc_mcontext.gregs[greg_of_register[reg]];
    ret_registers->known = RTH_REGISTERS_ALL;
}

void rth__registers_from_pc_sp_sigsafe(uint64_t pc, uint64_t sp, int has_fp, uint64_t fp,
                                       struct rth_registers *ret_registers)
{
    *ret_registers = (struct rth_registers){.known = 1u << RTH_REG_RA | 1u << RTH_REG_RSP};
    ret_registers->value[RTH_REG_RA] = pc;
    ret_registers->value[RTH_REG_RSP] = sp;
    if (has_fp) {
        ret_registers->value[RTH_REG_RBP] = fp;
        ret_registers->known |= 1u << RTH_REG_RBP;
    }
}
