/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_WRITTEN_STACK_H
#define RTH_TESTS_HELPER_WRITTEN_STACK_H

/* Stacks written by hand: words of an array, and code of which only addresses and rules count. */

#include "helper/walk.h"

/* code_NAME: 32 bytes each. */
__asm__(".text\n"
        ".macro code name\n"
        ".balign 16\n"
        "\\name:\n"
        ".cfi_startproc\n"
        ".endm\n"
        ".macro done\n"
        ".fill 32, 1, 0x90\n"
        ".cfi_endproc\n"
        ".endm\n"
        "code code_root\n"
        ".cfi_undefined rip\n"
        "done\n"
        "code code_plain\n" /* CFA rsp+8 */
        "done\n"
        "code code_pushed\n" /* CFA rsp+24, rbx saved */
        ".cfi_def_cfa_offset 24\n"
        ".cfi_offset rbx, -16\n"
        "done\n"
        "code code_fp\n"
        ".cfi_def_cfa rbp, 16\n"
        ".cfi_offset rbp, -16\n"
        "done\n"
        "code code_by_rbx\n"
        ".cfi_def_cfa rbx, 16\n"
        "done\n"
        "code code_realigned\n" /* the CFA was kept at rbp-8, rbp itself is saved at rbp */
        ".cfi_escape 0x0f, 3, 0x76, 0x78, 0x06\n"
        ".cfi_escape 0x10, 6, 2, 0x76, 0\n"
        "done\n"
        "code code_plt\n"
        ".cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22\n"
        "done\n"
        "code code_computed\n" /* CFA = rsp + 8 * r9 + 8: leaf code of cryptographic libraries */
        ".cfi_escape 0x0f, 9, 0x77, 0, 0x79, 0, 0x38, 0x1e, 0x22, 0x23, 8\n"
        "done\n"
        "code code_popped\n" /* the return address was popped into rdi, as in vfork */
        ".cfi_def_cfa_offset 0\n"
        ".cfi_register rip, rdi\n"
        "done\n"
        "code code_ends_in_call\n" /* CFA rsp+16; the last instruction is the call */
        ".cfi_def_cfa_offset 16\n"
        "done\n"
        "code code_after_call\n" /* CFA rsp+8 */
        "done\n"
        "code code_circle\n" /* claims to be its own caller */
        ".cfi_def_cfa_offset 0\n"
        "done\n"
        ".balign 16\n"
        "code_bare:\n" /* no unwind information */
        ".fill 64, 1, 0x90\n"
        "code_bare_signal_return:\n"
        "mov $15, %rax\n"
        "syscall\n"
        ".fill 64, 1, 0x90\n"
        "code code_last\n"
        "done\n");

extern const char code_root[], code_plain[], code_pushed[], code_fp[], code_by_rbx[],
    code_realigned[], code_plt[], code_computed[], code_popped[], code_ends_in_call[],
    code_after_call[], code_circle[], code_bare[], code_bare_signal_return[];

#define WORDS 512
static uint64_t word[WORDS];
static struct rth_registers start;
static struct rth_unwind_stack stack;
static bool cached;

#define RETURN_TO(code) (ADDRESS(code) + 5)

static inline void prepare(void)
{
    tables_refresh();
    memset(word, 0, sizeof(word));
    memset(&start, 0, sizeof(start));
    memset(&walk_cache, 0, sizeof(walk_cache));
    stack = (struct rth_unwind_stack){.low = ADDRESS(word), .high = ADDRESS(word + WORDS)};
    cached = false;
}

/* From pc with rsp at word[top]; every register known, as in a signal handler. */
static inline void walk_from(uint64_t pc, unsigned top)
{
    start.known = RTH_REGISTERS_ALL;
    start.value[RTH_REG_RA] = pc;
    start.value[RTH_REG_RSP] = ADDRESS(&word[top]);
    walk_registers(&start, &stack, cached ? test_cache() : NULL);
}

/* Each case, without a cache, with an empty one and with a warm one. */
#define THRICE(...)                                                                                \
    do {                                                                                           \
        for (unsigned turn_ = 0; turn_ < 3; turn_++) {                                             \
            cached = turn_ > 0;                                                                    \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

static inline void put_context(unsigned index, uint64_t pc, uint64_t sp)
{
    ucontext_t *context = (ucontext_t *)(void *)&word[index];
    memset(context, 0, sizeof(*context));
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
    context->uc_mcontext.gregs[REG_RBP] = 0x1234;
    context->uc_mcontext.gregs[REG_CSGSFS] = 0x2b000000000033;
}

#endif /* RTH_TESTS_HELPER_WRITTEN_STACK_H */
