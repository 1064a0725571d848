/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_CFI_H
#define RTH_UNWIND_CFI_H

/*
 * Call frame information (.eh_frame): one CIE, one FDE, and the program in them. Bytes are hostile:
 * reading past the end is an error, nothing loops longer than its input.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/arch.h"
#include "unwind/rows.h"

/* Bytes of an image with the address that the first of them has in the file. */
struct rth_cfi_cursor {
    const uint8_t *start, *at, *end;
    uint64_t start_vaddr;
    bool failed; /* sticky: everything read since is 0 */
};

/* What encoded pointers are relative to. */
struct rth_cfi_base {
    uint64_t load_bias;  /* absolute pointers in memory are run-time addresses */
    uint64_t data_vaddr; /* of .eh_frame_hdr */
};

uint64_t rth__cfi_uint(struct rth_cfi_cursor *cursor, unsigned size_bytes);
uint64_t rth__cfi_uleb(struct rth_cfi_cursor *cursor);
int64_t rth__cfi_sleb(struct rth_cfi_cursor *cursor);
/* Moves on, and gives where it was; NULL when there are fewer bytes. */
const uint8_t *rth__cfi_skip(struct rth_cfi_cursor *cursor, uint64_t size_bytes);
/* A pointer encoded as `encoding` (DW_EH_PE_*) says. Indirect ones are given as they stand. */
uint64_t rth__cfi_pointer(struct rth_cfi_cursor *cursor, const struct rth_cfi_base *base,
                          uint8_t encoding);
/* Size of a record from its first bytes: at least 4 are there. Returns the bytes of the length
 * itself (4 or 12) and how many follow it; 0 follow in the terminator. */
unsigned rth__cfi_record_length(struct rth_cfi_cursor *cursor, uint64_t *ret_content_bytes);

#define RTH_CFI_POINTER_OMIT 0xffu

/* A place as the program has it: rth_place with a pointer to its expression. */
struct rth_cfi_place {
    uint8_t kind; /* enum rth_place_kind */
    uint8_t source_register;
    uint8_t expression_bytes;
    int32_t offset;
    const uint8_t *expression;
};
struct rth_cfi_state {
    struct rth_cfi_place cfa; /* REGISTER with offset, or EXPRESSION; SAME: none yet */
    struct rth_cfi_place reg[RTH_REG_COUNT];
};

#define RTH_CFI_CIE_BYTES_MAX 512u

struct rth_cfi_cie {
    uint64_t vaddr;
    uint64_t code_align;
    int64_t data_align;
    uint8_t fde_encoding;
    bool has_augmentation_data;
    bool is_signal_frame;
    struct rth_cfi_state initial;
    uint8_t content[RTH_CFI_CIE_BYTES_MAX]; /* expressions of the initial state point here */
};

struct rth_cfi_fde {
    uint64_t start, limit; /* vaddr of the code */
    struct rth_cfi_cursor program;
};

#define RTH_CFI_REMEMBER_MAX 16u

/* Runs programs; large, so it lives with whoever compiles. */
struct rth_cfi_machine {
    const struct rth_cfi_cie *cie;
    struct rth_cfi_base base;
    uint64_t pc;
    struct rth_cfi_state now;
    unsigned remembered_count;
    struct rth_cfi_state remembered[RTH_CFI_REMEMBER_MAX];
};

/* content: the record behind its length and CIE id; vaddr names it. Fills ret_cie, its initial
 * state included (machine is used for it). 0, -EBADMSG, -ENOTSUP for an augmentation or return
 * address column nobody has described. */
int rth__cfi_cie_read(struct rth_cfi_machine *machine, struct rth_cfi_cursor *content,
                      uint64_t vaddr, struct rth_cfi_cie *ret_cie);
/* content: the record behind its length and CIE pointer. 0 or -EBADMSG. */
int rth__cfi_fde_read(struct rth_cfi_cursor *content, const struct rth_cfi_cie *cie,
                      const struct rth_cfi_base *base, struct rth_cfi_fde *ret_fde);

/* Gets the state from vaddr on; a negative result ends the run with it. */
typedef int (*rth_cfi_row_fn)(void *context, uint64_t vaddr, const struct rth_cfi_state *state);
/*
 * Runs the FDE's program and reports every row below its limit, in rising order. Returns 0, what
 * row returned, or -EBADMSG: machine->pc then says from where on the rules are unknown.
 */
int rth__cfi_run(struct rth_cfi_machine *machine, const struct rth_cfi_cie *cie,
                 const struct rth_cfi_fde *fde, rth_cfi_row_fn row, void *context);
/* The program of a CIE, from the empty state in machine->now. 0 or -EBADMSG. */
int rth__cfi_run_initial(struct rth_cfi_machine *machine, const struct rth_cfi_cie *cie,
                         struct rth_cfi_cursor *program);

/* The state as a rule; what cannot be said becomes NONE. */
void rth__cfi_draft(const struct rth_cfi_state *state, bool is_signal_frame,
                    struct rth_rule_draft *ret_draft);

#endif /* RTH_UNWIND_CFI_H */
