/* SPDX-License-Identifier: MIT */
/*
 * dlopen, dlmopen, dlclose: count, then do the original.
 *
 * dlopen takes its caller's object from its return address: that object's RUNPATH, $ORIGIN and
 * namespace decide what a bare name means. A wrapper written in C would put itself in that place,
 * so the two are jumps that leave the stack and the argument registers as they found them. Other
 * architectures leave them unwrapped until they have their jump: the generation then counts
 * dlclose alone, and its reader compares the module list as well.
 */
#include "interpose/dl.h"

#include "interpose/real.h"

volatile uint64_t rth__dl_generation;
void *rth__dl_real_dlopen;
void *rth__dl_real_dlmopen;

RTH__EXPORT int dlclose(void *handle)
{
    __atomic_fetch_add(&rth__dl_generation, 1, __ATOMIC_RELAXED);
    return rth__real()->dlclose(handle);
}

#ifdef __x86_64__
/* The three pushes keep the arguments and align the stack for the call. */
#define RTH__JUMP(name)                                                                            \
    ".globl " #name "\n"                                                                           \
    ".type " #name ", @function\n"                                                                 \
    ".p2align 4\n" #name ":\n"                                                                     \
    ".cfi_startproc\n"                                                                             \
    "endbr64\n"                                                                                    \
    "lock incq rth__dl_generation(%rip)\n"                                                         \
    "movq rth__dl_real_" #name "(%rip), %rax\n"                                                    \
    "testq %rax, %rax\n"                                                                           \
    "je 1f\n"                                                                                      \
    "jmp *%rax\n"                                                                                  \
    "1:\n"                                                                                         \
    "pushq %rdi\n"                                                                                 \
    ".cfi_adjust_cfa_offset 8\n"                                                                   \
    "pushq %rsi\n"                                                                                 \
    ".cfi_adjust_cfa_offset 8\n"                                                                   \
    "pushq %rdx\n"                                                                                 \
    ".cfi_adjust_cfa_offset 8\n"                                                                   \
    "call rth__real_resolve\n"                                                                     \
    "popq %rdx\n"                                                                                  \
    ".cfi_adjust_cfa_offset -8\n"                                                                  \
    "popq %rsi\n"                                                                                  \
    ".cfi_adjust_cfa_offset -8\n"                                                                  \
    "popq %rdi\n"                                                                                  \
    ".cfi_adjust_cfa_offset -8\n"                                                                  \
    "jmp *rth__dl_real_" #name "(%rip)\n"                                                          \
    ".cfi_endproc\n"                                                                               \
    ".size " #name ", . - " #name "\n"

__asm__(".pushsection .text\n" RTH__JUMP(dlopen) RTH__JUMP(dlmopen) ".popsection\n");
#endif
