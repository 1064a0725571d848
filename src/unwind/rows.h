/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_ROWS_H
#define RTH_UNWIND_ROWS_H

/*
 * Rows: for every program counter of a module the rule that finds the caller, compiled from
 * .eh_frame ahead of time.
 *
 * A row is (pc, number of a rule). Few rules are distinct (some hundreds in a large library), so
 * they are kept once, and rows take 2 to 4 bytes: the distance to the row before, and the number.
 * Rows live in blocks of one cache line; the first pc of each block is in an array of its own, for
 * the binary search. Rules are position-independent; a table never changes once built.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_ROW_BLOCK_BYTES 64u
#define RTH_RULES_MAX       4336u /* what one or two bytes can name, see rows.c */

enum rth_rule_kind {
    RTH_RULE_NONE,     /* no unwind information here */
    RTH_RULE_ROOT,     /* the return address is undefined: the first function of a thread */
    RTH_RULE_REGISTER, /* CFA = register + offset */
    RTH_RULE_DEREF,    /* CFA = the word at (register + offset), + addend */
    RTH_RULE_PLT,      /* CFA = rsp + offset, + 8 when (pc & 15) >= addend */
    RTH_RULE_SIGNAL,   /* the kernel's signal frame: a ucontext lies at rsp */
    RTH_RULE_RARE,     /* a list of places, see below */
};

/* The registers a function must preserve and that rules save: bit and array order of saved_words.
 */
enum { RTH_SAVED_RBX, RTH_SAVED_RBP, RTH_SAVED_R12, RTH_SAVED_COUNT = 6 };

/* In all kinds but RARE, SIGNAL: the return address is the word below the CFA, and the caller's rsp
 * is the CFA. */
struct rth_rule {
    uint8_t kind;
    uint8_t cfa_register;
    int16_t addend;
    int32_t cfa_offset;
    int8_t saved_words[RTH_SAVED_COUNT]; /* saved at CFA + 8 * n; 0: unchanged */
    uint8_t is_signal_frame;             /* the caller was interrupted: its pc is exact */
    uint8_t rare_count;                  /* RARE: places; the first, for the CFA, at cfa_offset */
};
_Static_assert(sizeof(struct rth_rule) == 16, "rules are copied and compared as bytes");

/* Where the caller's value of a register comes from. */
enum rth_place_kind {
    RTH_PLACE_SAME,          /* unchanged */
    RTH_PLACE_UNDEFINED,     /* lost */
    RTH_PLACE_AT_OFFSET,     /* saved at CFA + offset */
    RTH_PLACE_OFFSET,        /* is CFA + offset */
    RTH_PLACE_REGISTER,      /* in another register (+ offset when the place is the CFA's own) */
    RTH_PLACE_AT_EXPRESSION, /* saved at the address the expression gives */
    RTH_PLACE_EXPRESSION,    /* is what the expression gives */
};

struct rth_place {
    uint8_t target; /* DWARF register; RTH_PLACE_CFA in the first of a rule */
    uint8_t kind;
    uint8_t source_register;
    uint8_t expression_bytes;
    int32_t offset; /* or where the expression begins in the table's expressions */
};
#define RTH_PLACE_CFA 0xffu

struct rth_rows {
    size_t size_bytes; /* of the one block of memory that holds all */
    uint32_t block_count, rule_count, place_count, expression_bytes;
    uint32_t row_count;
    uint64_t vaddr_low;       /* offsets count from here; set by who had it built */
    const uint32_t *block_pc; /* offset of the first row of each block */
    const uint8_t (*blocks)[RTH_ROW_BLOCK_BYTES];
    const struct rth_rule *rules; /* [0] is NONE */
    const struct rth_place *places;
    const uint8_t *expressions;
};

/* Number of the rule at an offset; 0 (NONE) where there is no row. */
uint32_t rth__rows_find_sigsafe(const struct rth_rows *rows, uint64_t offset);

/* ---- building, on rth-work --------------------------------------------------------------------
 */

/* A rule as the builder takes it: places[0] is the CFA's when the kind is RARE. */
struct rth_rule_draft {
    struct rth_rule rule;
    unsigned place_count;
    struct rth_place places[20];
    const uint8_t *expression[20]; /* of each place that has one */
};

struct rth_rows_builder;
struct rth_rows_builder *rth__rows_builder_new(void);
/* Rows come in rising order of offset; a row equal to the one before is left out. Returns 0;
 * -ENOMEM; -ENOSPC when there are too many distinct rules (the row then says NONE); -EINVAL when
 * the order is broken. */
int rth__rows_builder_add(struct rth_rows_builder *builder, uint32_t offset,
                          const struct rth_rule_draft *draft);
/* The finished table, to be given back by rth__rows_free; NULL when memory is short. */
struct rth_rows *rth__rows_builder_finish(struct rth_rows_builder *builder);
void rth__rows_builder_free(struct rth_rows_builder *builder);
void rth__rows_free(struct rth_rows *rows);

#endif /* RTH_UNWIND_ROWS_H */
