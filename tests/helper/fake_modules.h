/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_FAKE_MODULES_H
#define RTH_TESTS_HELPER_FAKE_MODULES_H

/*
 * Modules and symbols that a test makes up, in the place of src/record's and src/symbols': a test
 * that includes this links without those. Addresses are vaddr + last_load_bias; symbols are sorted
 * neither by name nor address.
 */

#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "record/module.h"
#include "symbols/symbols.h"

struct fake_symbol {
    uint32_t module_id;
    uint64_t start_vaddr, size_bytes;
    const char *name;
};

static struct rth_module fake_modules[8]; /* by id; id 0: not there */
static struct fake_symbol fake_symbols[16];
static uint32_t fake_executable_id;
static int fake_resolve_result, fake_sets_out;

static inline void fake_module(uint32_t id, const char *path, uint64_t load_bias,
                               uint64_t exec_start, uint64_t exec_limit, uint64_t file_offset)
{
    struct rth_module *module = &fake_modules[id];
    *module = (struct rth_module){
        .id = id,
        .last_load_bias = load_bias,
        .last_exec_start = exec_start,
        .last_exec_limit = exec_limit,
        .last_exec_file_offset = file_offset,
        .loaded = true,
    };
    (void)snprintf(module->path, sizeof(module->path), "%s", path);
}

static inline void fake_symbol(size_t index, uint32_t module_id, uint64_t start_vaddr,
                               uint64_t size_bytes, const char *name)
{
    fake_symbols[index] = (struct fake_symbol){module_id, start_vaddr, size_bytes, name};
}

const struct rth_module *rth__module_by_id_sigsafe(uint32_t id)
{
    return id < 8 && fake_modules[id].id != 0 ? &fake_modules[id] : NULL;
}

uint64_t rth__frame_address(rth_frame frame)
{
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    return rth__frame_vaddr(frame) + (module != NULL ? module->last_load_bias : 0);
}

/* The only address that the code under test asks for is the program's entry point. */
rth_frame rth__frame_of_address_sigsafe(uint64_t address)
{
    return rth__frame_make(fake_executable_id, address & 0xfff);
}

struct rth_symbol_set {
    size_t count;
    bool resolved;
};

struct rth_symbol_set *rth__symbol_set_new(const rth_frame *frames, size_t count)
{
    struct rth_symbol_set *set = rth__arena_alloc_nomalloc(sizeof(*set));
    if (set != NULL) {
        assert_true(frames != NULL && count > 0);
        set->count = count;
        fake_sets_out++;
    }
    return set;
}

void rth__symbol_set_free(struct rth_symbol_set *set)
{
    fake_sets_out -= set != NULL;
    rth__arena_free_nomalloc(set, sizeof(*set));
}

int rth__symbol_set_resolve(struct rth_symbol_set *set, int root_fd,
                            bool (*cancelled)(void *userdata), void *userdata)
{
    (void)root_fd;
    if (cancelled != NULL && cancelled(userdata))
        return -ECANCELED;
    set->resolved = true;
    return fake_resolve_result;
}

struct rth_symbol rth__symbol_find(const struct rth_symbol_set *set, rth_frame frame)
{
    assert_true(set->resolved);
    for (size_t i = 0; i < sizeof(fake_symbols) / sizeof(fake_symbols[0]); i++) {
        const struct fake_symbol *symbol = &fake_symbols[i];
        if (symbol->name != NULL && symbol->module_id == rth__frame_module_id(frame) &&
            rth__frame_vaddr(frame) - symbol->start_vaddr < symbol->size_bytes)
            return (struct rth_symbol){symbol->name, symbol->start_vaddr};
    }
    return (struct rth_symbol){NULL, 0};
}

bool rth__symbol_set_has_names(const struct rth_symbol_set *set, uint32_t module_id)
{
    assert_true(set->resolved);
    for (size_t i = 0; i < sizeof(fake_symbols) / sizeof(fake_symbols[0]); i++) {
        if (fake_symbols[i].name != NULL && fake_symbols[i].module_id == module_id)
            return true;
    }
    return false;
}

#endif /* RTH_TESTS_HELPER_FAKE_MODULES_H */
