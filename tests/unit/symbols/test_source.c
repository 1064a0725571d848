/* SPDX-License-Identifier: MIT */
/* Names of functions of the test's own process, as a refresh of the modules finds it. */
#include "helper/unit.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "record/module.h"
#include "symbols/resolve.h"
#include "symbols/symbols.h"

static __attribute__((noinline)) int function_of_this_file(int number)
{
    __asm__ volatile("" : "+r"(number));
    return number + 1;
}

static const char *own_name(const void *address, struct rth_symbol_set **ret_set)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    assert_true(rth__modules_refresh(root_fd) >= 0);
    rth_frame frame = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)address);
    assert_int_not_equal(rth__frame_module_id(frame), 0);
    *ret_set = rth__symbol_set_new(&frame, 1);
    assert_int_equal(rth__symbol_set_resolve(*ret_set, root_fd, NULL, NULL), 0);
    (void)close(root_fd);
    return rth__symbol_find(*ret_set, frame).name;
}

static void static_function_of_this_program_has_its_name(void **state)
{
    (void)state;
    struct rth_symbol_set *set;
    assert_string_equal(own_name((const char *)(uintptr_t)function_of_this_file + 2, &set),
                        "function_of_this_file");
    rth__symbol_set_free(set);
}

static void function_of_libc_has_its_name(void **state)
{
    (void)state;
    struct rth_symbol_set *set;
    assert_string_equal(own_name((const char *)(uintptr_t)getenv + 1, &set), "getenv");
    rth__symbol_set_free(set);
}

static void vdso_is_read_from_memory(void **state)
{
    (void)state;
    const unsigned char *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);
    if (vdso == NULL)
        RTH_SKIP("no vDSO");
    const Elf64_Ehdr *header = (const void *)vdso;
    const Elf64_Shdr *section = (const void *)(vdso + header->e_shoff);
    while (section->sh_type != SHT_DYNSYM)
        section++;
    const Elf64_Sym *symbol = (const void *)(vdso + section->sh_offset);
    while (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_size < 2 ||
           ELF64_ST_BIND(symbol->st_info) != STB_GLOBAL)
        symbol++;
    struct rth_symbol_set *set;
    const char *name = own_name(vdso + symbol->st_value + 1, &set);
    assert_non_null(name);
    assert_int_equal(strncmp(name, "__vdso_", 7), 0);
    rth__symbol_set_free(set);
}

static struct rth_module own_module;
static const struct rth_module *test_own_module(uint32_t id)
{
    return id == own_module.id ? &own_module : NULL;
}

static void loaded_module_whose_file_is_gone_has_its_exported_names(void **state)
{
    (void)state;
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__modules_refresh(root_fd) >= 0);
    const void *address = (const char *)(uintptr_t)getenv + 1;
    rth_frame frame = rth__frame_of_address_sigsafe((uint64_t)(uintptr_t)address);
    own_module = *rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    (void)snprintf(own_module.path, sizeof(own_module.path), "/nosuch/libc.so.6");
    own_module.last_exec_limit += 4096; /* nothing in map_files has this name */
    struct rth_symbol_set *set = rth__symbol_set_new(&frame, 1);
    assert_int_equal(rth__symbol_set_resolve_with(set, test_own_module, root_fd, NULL, NULL), 0);
    assert_string_equal(rth__symbol_find(set, frame).name, "getenv");
    rth__symbol_set_free(set);
    /* Another image in its place is not believed. */
    own_module.build_id[0]++;
    set = rth__symbol_set_new(&frame, 1);
    assert_int_equal(rth__symbol_set_resolve_with(set, test_own_module, root_fd, NULL, NULL), 0);
    assert_null(rth__symbol_find(set, frame).name);
    rth__symbol_set_free(set);
    (void)close(root_fd);
}

RTH_TEST_MAIN(cmocka_unit_test(static_function_of_this_program_has_its_name),
              cmocka_unit_test(function_of_libc_has_its_name),
              cmocka_unit_test(vdso_is_read_from_memory),
              cmocka_unit_test(loaded_module_whose_file_is_gone_has_its_exported_names))
