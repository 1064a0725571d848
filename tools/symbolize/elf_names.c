/* SPDX-License-Identifier: MIT */
#include "symbolize/elf_names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "profile/memory.h"

/* Functions may lie inside others, by hand-written assembly; not deeper than this. */
#define ENCLOSING_MAX 16

static int rank_of(const GElf_Sym *symbol, const char *name)
{
    int binding = GELF_ST_BIND(symbol->st_info);
    int rank = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
    bool is_function = GELF_ST_TYPE(symbol->st_info) != STT_NOTYPE;
    return 2 * rank + (name[0] == '_' && name[1] != 'Z') + (is_function ? 0 : 8);
}

static bool is_code(const GElf_Sym *symbol, GElf_Word section, const char *name)
{
    int type = GELF_ST_TYPE(symbol->st_info);
    if (name == NULL || name[0] == '\0' || section == SHN_UNDEF || section == SHN_ABS)
        return false;
    return type == STT_FUNC || type == STT_GNU_IFUNC ||
           (type == STT_NOTYPE && name[0] != '$' && name[0] != '.');
}

static int by_start(const void *left_pointer, const void *right_pointer)
{
    const struct elf_name *left = left_pointer, *right = right_pointer;
    if (left->start != right->start)
        return left->start < right->start ? -1 : 1;
    /* The one to be shown comes last: look-ups go backwards. */
    if (left->rank != right->rank)
        return left->rank > right->rank ? -1 : 1;
    return strcmp(right->name, left->name);
}

void elf_names_read(Dwfl_Module *module, struct elf_names *ret_names)
{
    struct elf_names names = {0};
    int count = dwfl_module_getsymtab(module);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        GElf_Word section;
        const char *name =
            dwfl_module_getsym_info(module, i, &symbol, &address, &section, NULL, NULL);
        if (!is_code(&symbol, section, name))
            continue;
        names.list = grow(names.list, names.count, &names.capacity, sizeof(*names.list));
        names.list[names.count++] = (struct elf_name){
            .start = address,
            .end = address + symbol.st_size,
            .name = name,
            .rank = rank_of(&symbol, name),
        };
    }
    if (names.count > 0)
        qsort(names.list, names.count, sizeof(*names.list), by_start);
    *ret_names = names;
}

const char *elf_name_at(const struct elf_names *names, GElf_Addr address)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (names->list[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t back = 0; back < ENCLOSING_MAX && low > 0; back++) {
        const struct elf_name *name = &names->list[--low];
        /* Without a size it reaches to the next symbol. */
        if (address < name->end || (name->end == name->start && back == 0))
            return name->name;
    }
    return NULL;
}
