/* SPDX-License-Identifier: MIT */
#ifndef RTH_SYMBOLS_SYMBOLS_H
#define RTH_SYMBOLS_SYMBOLS_H

/*
 * Names of frames, from .symtab or .dynsym of the module's file, as the file has them (mangled).
 * Nothing is kept: the symbols are streamed through a fixed buffer and matched against the frames
 * asked for, so memory follows the question and not the size of the binary.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/module.h"

/* Answer for one frame. */
struct rth_symbol {
    const char *name;     /* NULL: unknown; else NUL-terminated, in the set's memory */
    uint64_t start_vaddr; /* of the symbol */
};

/* Distinct frames, sorted, and their names. */
struct rth_symbol_set;

/* Copies the frames (any order, duplicates allowed). NULL when memory is short. */
struct rth_symbol_set *rth__symbol_set_new(const rth_frame *frames, size_t count);
void rth__symbol_set_free(struct rth_symbol_set *set); /* NULL is fine */
/* Opens each module's file once and fills the names. A file that is missing, replaced (another
 * build-id, or without one another inode), unreadable or malformed leaves its frames unnamed.
 * cancelled: asked between pieces of work; NULL when that cannot happen. 0, -ECANCELED, -ENOMEM. */
int rth__symbol_set_resolve(struct rth_symbol_set *set, int root_fd,
                            bool (*cancelled)(void *userdata), void *userdata);
/* The answer for a frame of the set; all NULL when it is unknown. */
struct rth_symbol rth__symbol_find(const struct rth_symbol_set *set, rth_frame frame);
/* Whether the module has symbols at all: decides has_functions. False also when it was not asked.
 */
bool rth__symbol_set_has_names(const struct rth_symbol_set *set, uint32_t module_id);

#endif /* RTH_SYMBOLS_SYMBOLS_H */
