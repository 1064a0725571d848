/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_SYMBOLIZE_DWARF_UNIT_H
#define RTH_TOOLS_SYMBOLIZE_DWARF_UNIT_H

/*
 * From an address to its source line and to the functions inlined there. Tables of our own, since
 * libdw's look-up by address needs .debug_aranges, which not every compiler writes, and walks a
 * whole unit for each address. Only in the child of isolate.h.
 */

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>

#include "profile/intern.h"
#include "profile/memory.h"

#define UNIT_FRAMES_MAX 64

struct unit_range {
    Dwarf_Addr low, high;
    Dwarf_Die die; /* of the unit, or of the function */
};

struct unit_table {
    struct unit_range *ranges; /* by low */
    size_t count, capacity;
};

struct dwarf_units {
    Dwarf_Addr bias; /* of the module's debug information in the address space of libdwfl */
    struct unit_table units;
    /* The unit of the last address. */
    Dwarf_Die unit;
    bool has_unit;
    struct unit_table functions;
    bool is_cxx;
    /* Functions in namespaces and classes, by their entry, and the units in which they were looked
     * for. */
    struct intern scoped, scanned;
    const char **scopes; /* "ns::Type::", by number in scoped */
    size_t scope_capacity;
    struct pool pool; /* of scopes and names; never given back, the process is short-lived */
};

struct source_frame {
    const char *name;   /* mangled where it is C++; NULL: not known */
    const char *file;   /* NULL: not known */
    const char *folder; /* of file when that is relative; NULL: not known */
    int line;
};

/* Reads which unit covers which addresses. false: the module has no debug information. */
bool dwarf_units_read(Dwfl_Module *module, struct dwarf_units *ret_units);

/* The frames at an address of libdwfl's address space, innermost first. Returns how many. */
size_t dwarf_frames(struct dwarf_units *units, Dwarf_Addr address,
                    struct source_frame ret_frames[static UNIT_FRAMES_MAX]);

#endif /* RTH_TOOLS_SYMBOLIZE_DWARF_UNIT_H */
