/* SPDX-License-Identifier: MIT */
#include "symbolize/dwarf_unit.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/names.h"

#define NESTING_MAX    64
#define REFERENCES_MAX 4 /* from an inlined call to its function's declaration */

struct die_key {
    Dwarf *file;
    Dwarf_Off offset;
};

static void add_ranges(struct unit_table *table, Dwarf_Die *of, const Dwarf_Die *die)
{
    Dwarf_Addr base, low, high;
    ptrdiff_t offset = 0;
    while ((offset = dwarf_ranges(of, offset, &base, &low, &high)) > 0) {
        if (low >= high)
            continue;
        table->ranges = grow(table->ranges, table->count, &table->capacity, sizeof(*table->ranges));
        table->ranges[table->count++] = (struct unit_range){low, high, *die};
    }
}

static int by_low(const void *left, const void *right)
{
    const struct unit_range *one = left, *other = right;
    return (one->low > other->low) - (one->low < other->low);
}

static void sort_table(struct unit_table *table)
{
    if (table->count > 0)
        qsort(table->ranges, table->count, sizeof(*table->ranges), by_low);
}

/* The last range that begins at or before the address, when it reaches that far. */
static const struct unit_range *find_range(const struct unit_table *table, Dwarf_Addr address)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && address < table->ranges[low - 1].high ? &table->ranges[low - 1] : NULL;
}

bool dwarf_units_read(Dwfl_Module *module, struct dwarf_units *ret_units)
{
    struct dwarf_units units = {0};
    Dwarf_Addr bias = 0;
    if (dwfl_module_getdwarf(module, &units.bias) == NULL)
        return false;
    for (Dwarf_Die *die = NULL; (die = dwfl_module_nextcu(module, die, &bias)) != NULL;)
        add_ranges(&units.units, die, die);
    sort_table(&units.units);
    *ret_units = units;
    return true;
}

/* With split debug information the functions are in another file. */
static Dwarf_Die split_unit(Dwarf_Die *unit)
{
    Dwarf_Die split;
    uint8_t type;
    if (dwarf_cu_info(unit->cu, NULL, &type, NULL, &split, NULL, NULL, NULL) == 0 &&
        type == DW_UT_skeleton && split.addr != NULL)
        return split;
    return *unit;
}

static bool may_hold_functions(int tag)
{
    switch (tag) {
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
    case DW_TAG_subprogram:
    case DW_TAG_lexical_block:
        return true;
    default:
        return false;
    }
}

static bool is_cxx(Dwarf_Die *unit)
{
    switch (dwarf_srclang(unit)) {
    case DW_LANG_C_plus_plus:
    case DW_LANG_C_plus_plus_03:
    case DW_LANG_C_plus_plus_11:
    case DW_LANG_C_plus_plus_14:
        return true;
    default:
        return false;
    }
}

/* scope with the name of what is inside it; other things than namespaces and types add nothing. */
static const char *inner_scope(struct dwarf_units *units, Dwarf_Die *die, const char *scope)
{
    int tag = dwarf_tag(die);
    if (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block)
        return scope;
    const char *name = dwarf_diename(die);
    if (name == NULL)
        name = tag == DW_TAG_namespace ? "(anonymous namespace)" : "{unnamed type}";
    size_t size = strlen(scope) + strlen(name) + sizeof("::");
    char *text = pool_take(&units->pool, size);
    snprintf(text, size, "%s%s::", scope, name);
    return text;
}

/* Which entry it is: split and shared debug information is several files. */
static struct die_key key_of(Dwarf_Die *die)
{
    return (struct die_key){dwarf_cu_getdwarf(die->cu), dwarf_dieoffset(die)};
}

/* Whether the entry is new to the table, which then has it. */
static bool add_key(struct dwarf_units *units, struct intern *table, struct die_key key)
{
    size_t known = table->count;
    uint32_t number = intern_number(table, (const char *)&key, sizeof(key));
    if (table->count == known)
        return false;
    struct die_key *kept = pool_take(&units->pool, sizeof(*kept));
    *kept = key;
    table->keys[number] = (const char *)kept;
    return true;
}

static void add_scope(struct dwarf_units *units, struct die_key key, const char *scope)
{
    if (!add_key(units, &units->scoped, key))
        return;
    units->scopes = grow(units->scopes, units->scoped.count - 1, &units->scope_capacity,
                         sizeof(*units->scopes));
    units->scopes[units->scoped.count - 1] = scope;
}

/* scope NULL: functions need no scope. functions NULL: only the scopes are wanted. */
static void scan(struct dwarf_units *units, Dwarf_Die *parent, const char *scope,
                 struct unit_table *functions, unsigned depth)
{
    Dwarf_Die child;
    if (depth > NESTING_MAX || dwarf_child(parent, &child) != 0)
        return;
    do {
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_subprogram && functions != NULL)
            add_ranges(functions, &child, &child);
        if (tag == DW_TAG_subprogram && scope != NULL && scope[0] != '\0')
            add_scope(units, key_of(&child), scope);
        if (may_hold_functions(tag) && dwarf_haschildren(&child))
            scan(units, &child, scope != NULL ? inner_scope(units, &child, scope) : NULL, functions,
                 depth + 1);
    } while (dwarf_siblingof(&child, &child) == 0);
}

static void enter_unit(struct dwarf_units *units, Dwarf_Die unit)
{
    if (units->has_unit && dwarf_dieoffset(&units->unit) == dwarf_dieoffset(&unit))
        return;
    units->unit = unit;
    units->has_unit = true;
    units->functions.count = 0;
    Dwarf_Die functions = split_unit(&units->unit);
    units->is_cxx = is_cxx(&functions);
    bool is_new = add_key(units, &units->scanned, key_of(&functions));
    scan(units, &functions, units->is_cxx && is_new ? "" : NULL, &units->functions, 0);
    sort_table(&units->functions);
}

/* A block of the source that the compiler gave no addresses: its children have theirs. */
static bool is_transparent(Dwarf_Die *die)
{
    return dwarf_tag(die) == DW_TAG_lexical_block && !dwarf_hasattr(die, DW_AT_low_pc) &&
           !dwarf_hasattr(die, DW_AT_ranges);
}

/* Adds what is inlined at pc below parent, outermost first. Returns whether anything was. */
static bool add_inlined(Dwarf_Die *parent, Dwarf_Addr pc, Dwarf_Die *path, size_t *length,
                        unsigned depth)
{
    Dwarf_Die child;
    if (depth > NESTING_MAX || dwarf_child(parent, &child) != 0)
        return false;
    do {
        int tag = dwarf_tag(&child);
        bool inlined = tag == DW_TAG_inlined_subroutine;
        if (!inlined && tag != DW_TAG_lexical_block)
            continue;
        if (!is_transparent(&child) && dwarf_haspc(&child, pc) <= 0)
            continue;
        if (inlined && *length < UNIT_FRAMES_MAX)
            path[(*length)++] = child;
        bool below = add_inlined(&child, pc, path, length, depth + 1);
        if (inlined || below)
            return true;
    } while (dwarf_siblingof(&child, &child) == 0);
    return false;
}

/* "ns::Type::" of a function that is declared, or inlined from, somewhere else: with link-time
 * optimisation in another unit. */
static const char *scope_of(struct dwarf_units *units, Dwarf_Die die)
{
    static const unsigned references[] = {DW_AT_abstract_origin, DW_AT_specification};
    Dwarf_Attribute attribute;
    for (unsigned step = 0; step < REFERENCES_MAX; step++) {
        Dwarf_Die unit;
        if (dwarf_diecu(&die, &unit, NULL, NULL) != NULL &&
            add_key(units, &units->scanned, key_of(&unit)))
            scan(units, &unit, "", NULL, 0);
        struct die_key key = key_of(&die);
        add_scope(units, key, "");
        uint32_t number = intern_number(&units->scoped, (const char *)&key, sizeof(key));
        if (units->scopes[number][0] != '\0')
            return units->scopes[number];
        Dwarf_Die *next = NULL;
        for (size_t i = 0; i < 2 && next == NULL; i++)
            next = dwarf_formref_die(dwarf_attr(&die, references[i], &attribute), &die);
        if (next == NULL)
            break;
    }
    return "";
}

static const char *function_name(struct dwarf_units *units, Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute));
    if (name == NULL)
        name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute));
    if (name != NULL)
        return name;
    name = dwarf_diename(die);
    if (name == NULL || !units->is_cxx)
        return name;
    /* What is only ever inlined has no mangled name. */
    const char *scope = scope_of(units, *die);
    size_t size = strlen(scope) + strlen(name) + 1;
    char *text = pool_take(&units->pool, size);
    snprintf(text, size, "%s%s", scope, name);
    shorten_cxx_name(text);
    return text;
}

/* Where the caller called what is inlined as die. */
static void call_site(Dwarf_Die *unit, Dwarf_Die *die, struct source_frame *frame)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    Dwarf_Files *files;
    size_t count;
    frame->file = NULL;
    frame->line = 0;
    if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attribute), &value) == 0 &&
        value <= INT32_MAX)
        frame->line = (int)value;
    if (dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attribute), &value) == 0 &&
        dwarf_getsrcfiles(unit, &files, &count) == 0 && value < count)
        frame->file = dwarf_filesrc(files, value, NULL, NULL);
}

size_t dwarf_frames(struct dwarf_units *units, Dwarf_Addr address,
                    struct source_frame ret_frames[static UNIT_FRAMES_MAX])
{
    Dwarf_Addr pc = address - units->bias;
    const struct unit_range *range = find_range(&units->units, pc);
    if (range == NULL)
        return 0;
    enter_unit(units, range->die);
    Dwarf_Attribute attribute;
    struct source_frame frame = {
        .folder = dwarf_formstring(dwarf_attr(&units->unit, DW_AT_comp_dir, &attribute)),
    };
    Dwarf_Line *line = dwarf_getsrc_die(&units->unit, pc);
    if (line != NULL) {
        frame.file = dwarf_linesrc(line, NULL, NULL);
        (void)dwarf_lineno(line, &frame.line);
    }
    const struct unit_range *function = find_range(&units->functions, pc);
    if (function == NULL) {
        ret_frames[0] = frame;
        return line != NULL ? 1 : 0;
    }
    Dwarf_Die path[UNIT_FRAMES_MAX] = {function->die};
    size_t length = 1;
    (void)add_inlined(&path[0], pc, path, &length, 0);
    /* A split unit has its own list of files. */
    Dwarf_Die files_of = split_unit(&units->unit);
    for (size_t i = 0; i < length; i++) {
        Dwarf_Die *die = &path[length - 1 - i];
        frame.name = function_name(units, die);
        ret_frames[i] = frame;
        call_site(&files_of, die, &frame);
    }
    return length;
}
