/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_ARCH_X86_64_H
#define RTH_UNWIND_ARCH_X86_64_H

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* DWARF register numbers of x86-64 (System V ABI). */
enum {
    RTH_REG_RAX = 0,
    RTH_REG_RDX = 1,
    RTH_REG_RCX = 2,
    RTH_REG_RBX = 3,
    RTH_REG_RSI = 4,
    RTH_REG_RDI = 5,
    RTH_REG_RBP = 6,
    RTH_REG_RSP = 7,
    RTH_REG_R8 = 8,
    RTH_REG_R15 = 15,
    RTH_REG_RA = 16,
    RTH_REG_COUNT = 17,
};

/* The registers a walk starts from. */
struct rth_registers {
    uint64_t value[RTH_REG_COUNT]; /* by DWARF number; [RTH_REG_RA] is the program counter */
    uint32_t known; /* bit per register: a sleeper's /proc entry gives pc and sp only */
};

#define RTH_REGISTERS_ALL ((1u << RTH_REG_COUNT) - 1)

/* The granule of memory protection; addresses of user space lie below the limit. */
#define RTH_ARCH_PAGE_BYTES    UINT64_C(4096)
#define RTH_ARCH_ADDRESS_LIMIT (UINT64_C(1) << 47)

/* Where a register lies in a ucontext_t. */
unsigned rth__ucontext_offset_sigsafe(unsigned reg);

/* From the context of a signal handler. */
void rth__registers_from_ucontext_sigsafe(const ucontext_t *context,
                                          struct rth_registers *ret_registers);
/* From a program counter and stack pointer, and a frame pointer when has_fp is not 0. */
void rth__registers_from_pc_sp_sigsafe(uint64_t pc, uint64_t sp, int has_fp, uint64_t fp,
                                       struct rth_registers *ret_registers);

/* The caller's, at the point of the call: the preserved ones, the stack pointer and the address of
 * an instruction here. */
static inline __attribute__((always_inline)) void
rth__registers_here_sigsafe(struct rth_registers *ret_registers)
{
    ret_registers->known = 1u << RTH_REG_RBX | 1u << RTH_REG_RBP | 1u << RTH_REG_RSP |
                           0xfu << (RTH_REG_R15 - 3) | 1u << RTH_REG_RA;
    __asm__ volatile("movq %%rbx, 24(%0)\n\t"
                     "movq %%rbp, 48(%0)\n\t"
                     "movq %%rsp, 56(%0)\n\t"
                     "movq %%r12, 96(%0)\n\t"
                     "movq %%r13, 104(%0)\n\t"
                     "movq %%r14, 112(%0)\n\t"
                     "movq %%r15, 120(%0)\n\t"
                     "leaq 0(%%rip), %%rcx\n\t"
                     "movq %%rcx, 128(%0)"
                     :
                     : "a"(ret_registers->value)
                     : "rcx", "memory");
}

#endif /* RTH_UNWIND_ARCH_X86_64_H */
