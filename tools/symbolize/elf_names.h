/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_SYMBOLIZE_ELF_NAMES_H
#define RTH_TOOLS_SYMBOLIZE_ELF_NAMES_H

/*
 * Function names by address from a module's symbol tables, sorted once: libdwfl's own look-up goes
 * through all symbols for every address. Only in the child of isolate.h.
 */

#include <elfutils/libdwfl.h>
#include <stddef.h>

struct elf_name {
    GElf_Addr start, end; /* end == start: of unknown size */
    const char *name;
    int rank; /* of several at one address the lowest is shown */
};

struct elf_names {
    struct elf_name *list; /* by start */
    size_t count, capacity;
};

void elf_names_read(Dwfl_Module *module, struct elf_names *ret_names);
/* NULL: no function is known there. */
const char *elf_name_at(const struct elf_names *names, GElf_Addr address);

#endif /* RTH_TOOLS_SYMBOLIZE_ELF_NAMES_H */
