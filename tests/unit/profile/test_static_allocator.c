/* SPDX-License-Identifier: MIT */
/* Allocators inside files, by their functions and by their messages. */
#include "helper/unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "helper/elf_file.h"
#include "profile/heap/static_allocator.h"

static struct rth_static_allocator found;

/* What follows the headers of the file is constant data, behind a segment header of its own. */
struct file_with_data {
    struct elf_file file;
    Elf64_Phdr segments[2];
    char data[200000];
};

static int look(const struct elf_file *file, bool is_executable)
{
    int fd = elf_file_fd(file, sizeof(*file));
    int error = rth__static_allocator_in_file(fd, is_executable, &found);
    (void)close(fd);
    return error;
}

static int look_at_data(const struct file_with_data *with_data, bool is_executable)
{
    int fd = elf_file_fd(with_data, sizeof(*with_data));
    int error = rth__static_allocator_in_file(fd, is_executable, &found);
    (void)close(fd);
    return error;
}

static struct file_with_data *data_file_new(uint32_t flags)
{
    static struct file_with_data with_data;
    memset(&with_data, 0, sizeof(with_data));
    with_data.file = elf_file_new();
    with_data.file.header.e_phoff = offsetof(struct file_with_data, segments);
    with_data.file.header.e_phnum = 2;
    with_data.segments[0] = with_data.file.note_segment;
    with_data.segments[1] = (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_flags = flags,
        .p_offset = offsetof(struct file_with_data, data),
        .p_filesz = sizeof(with_data.data),
    };
    return &with_data;
}

/* In two parts: whole, this program would be found to hold it. */
static const char *put(struct file_with_data *with_data, size_t at, const char *one,
                       const char *other)
{
    static char message[64];
    (void)snprintf(message, sizeof(message), "%s%s", one, other);
    memcpy(with_data->data + at, message, strlen(message));
    return message;
}

static void functions_of_each_kind_are_known(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"je_malloc", "jemalloc"},
        {"_rjem_malloc", "jemalloc"},
        {"jemalloc_constructor", "jemalloc"},
        {"mi_malloc", "mimalloc"},
        {"tc_malloc", "tcmalloc"},
        {"TCMallocInternalMalloc", "tcmalloc"},
        {"rpmalloc", "rpmalloc"},
        {"sn_malloc", "snmalloc"},
        {"xxmalloc", "hoard"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct elf_file file = elf_file_new();
        elf_file_function(&file, "first", 0x1000, 16);
        elf_file_function(&file, names[i][0], 0x1100, 16);
        elf_file_function(&file, "last", 0x1200, 16);
        assert_int_equal(look(&file, true), 0);
        assert_string_equal(found.kind, names[i][1]);
        assert_string_equal(found.evidence, names[i][0]);
        assert_true(found.in_executable);
        assert_int_equal(look(&file, false), 0);
        assert_false(found.in_executable);
    }
}

static void local_functions_and_dynamic_symbols_count(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    elf_file_add(&file, SYMTAB, "je_malloc", 0x1100, 16, STT_FUNC, STB_LOCAL);
    assert_int_equal(look(&file, true), 0);
    struct elf_file stripped = elf_file_new();
    stripped.section[SYMTAB].sh_type = SHT_NULL;
    elf_file_add(&stripped, DYNSYM, "mi_malloc", 0x1100, 16, STT_FUNC, STB_GLOBAL);
    assert_int_equal(look(&stripped, true), 0);
    assert_string_equal(found.kind, "mimalloc");
}

static void the_end_of_a_longer_string_is_a_name_only_where_a_symbol_begins(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    Elf64_Sym *longer = elf_file_function(&file, "my_je_malloc", 0x1100, 16);
    assert_int_equal(look(&file, true), -ENOENT);
    longer->st_name += 3; /* as linkers share strings */
    assert_int_equal(look(&file, true), 0);
    struct elf_file other = elf_file_new();
    elf_file_function(&other, "je_malloc_conf", 0x1100, 16);
    elf_file_function(&other, "zmalloc", 0x1200, 16);
    assert_int_equal(look(&other, true), -ENOENT);
}

static void imports_and_data_are_no_allocator(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    elf_file_function(&file, "je_malloc", 0x1100, 16)->st_shndx = SHN_UNDEF;
    assert_int_equal(look(&file, true), -ENOENT);
    struct elf_file data = elf_file_new();
    elf_file_add(&data, SYMTAB, "je_malloc", 0xb010, 8, STT_OBJECT, STB_GLOBAL);
    assert_int_equal(look(&data, true), -ENOENT);
}

static void a_library_that_offers_its_malloc_can_be_wrapped(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    elf_file_function(&file, "je_mallocx", 0x1100, 16);
    Elf64_Sym *malloc_symbol = elf_file_function(&file, "malloc", 0x1200, 16);
    assert_int_equal(look(&file, false), -ENOENT);
    assert_int_equal(look(&file, true), 0);
    malloc_symbol->st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC); /* for itself alone */
    assert_int_equal(look(&file, false), 0);
}

static void names_are_found_wherever_the_strings_are_cut(void **state)
{
    (void)state;
    /* Strings beyond one buffer, the name across its end at every possible place. */
    enum { STRINGS = 150000, BUFFER = 65536 };
    static struct {
        struct elf_file file;
        char strings[STRINGS];
    } large;
    for (uint32_t at = BUFFER - 34; at <= BUFFER + 2; at++) {
        memset(&large, 0, sizeof(large));
        large.file = elf_file_new();
        elf_file_function(&large.file, "x", 0x1100, 16)->st_name = at;
        memset(large.strings + 1, 'a', STRINGS - 2);
        memcpy(large.strings + at, "je_malloc", sizeof("je_malloc"));
        large.file.section[STRTAB].sh_offset = sizeof(struct elf_file);
        large.file.section[STRTAB].sh_size = STRINGS;
        int fd = elf_file_fd(&large, sizeof(large));
        assert_int_equal(rth__static_allocator_in_file(fd, true, &found), 0);
        (void)close(fd);
    }
}

static void messages_tell_what_is_in_a_stripped_file(void **state)
{
    (void)state;
    static const char *const messages[][3] = {
        {"<jemal", "loc>: ", "jemalloc"},
        {"mimal", "loc: error: ", "mimalloc"},
        {"tcmal", "loc: large alloc", "tcmalloc"},
    };
    static const size_t places[] = {0, 5000, 65536 - 7, 65536 - 31, 2 * 65536 - 40, 190000};
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
            struct file_with_data *with_data = data_file_new(k % 2 == 0 ? PF_R : PF_R | PF_X);
            const char *message = put(with_data, places[k], messages[i][0], messages[i][1]);
            assert_int_equal(look_at_data(with_data, true), 0);
            assert_string_equal(found.kind, messages[i][2]);
            assert_string_equal(found.evidence, message);
        }
    }
}

static void messages_in_writable_data_are_somebody_elses(void **state)
{
    (void)state;
    struct file_with_data *with_data = data_file_new(PF_R | PF_W);
    (void)put(with_data, 100, "<jemal", "loc>: ");
    assert_int_equal(look_at_data(with_data, true), -ENOENT);
    with_data = data_file_new(PF_R);
    memcpy(with_data->data + 100, "jemalloc is mentioned", 21);
    assert_int_equal(look_at_data(with_data, true), -ENOENT);
}

static void messages_beside_a_malloc_for_others_do_not_count_in_a_library(void **state)
{
    (void)state;
    struct file_with_data *with_data = data_file_new(PF_R);
    elf_file_function(&with_data->file, "malloc", 0x1100, 16);
    (void)put(with_data, 100, "<jemal", "loc>: ");
    assert_int_equal(look_at_data(with_data, false), -ENOENT);
    assert_int_equal(look_at_data(with_data, true), 0);
}

static void broken_files_are_refused(void **state)
{
    (void)state;
    struct file_with_data *with_data = data_file_new(PF_R);
    with_data->segments[1].p_filesz = UINT64_MAX / 2;
    assert_int_equal(look_at_data(with_data, true), -EBADMSG);
    with_data->segments[1].p_offset = UINT64_MAX - 10;
    assert_int_equal(look_at_data(with_data, true), -EBADMSG);
    with_data->segments[1].p_filesz = UINT64_MAX;
    assert_true(look_at_data(with_data, true) < 0);
    with_data = data_file_new(PF_R);
    with_data->file.header.e_phoff = UINT64_MAX - 3;
    assert_true(look_at_data(with_data, true) < 0);
    with_data = data_file_new(PF_R);
    with_data->file.header.e_phnum = 0xffff;
    assert_true(look_at_data(with_data, true) < 0);
    with_data = data_file_new(PF_R);
    with_data->file.section[STRTAB].sh_size = UINT64_MAX;
    with_data->file.section[STRTAB].sh_offset = 64;
    assert_true(look_at_data(with_data, true) < 0);
    static const char text[] = "#!/bin/sh\n";
    int fd = elf_file_fd(text, sizeof(text));
    assert_true(rth__static_allocator_in_file(fd, true, &found) < 0);
    (void)close(fd);
    assert_true(rth__static_allocator_in_file(-1, true, &found) < 0);
}

/* This program has the search linked in, with all it looks for, and says nothing of it itself. */
static void a_program_that_has_rthooks_linked_in_is_not_taken_for_one(void **state)
{
    (void)state;
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__modules_refresh(root_fd) >= 0);
    assert_int_equal(rth__static_allocator_find(root_fd, &found), -ENOENT);
    (void)close(root_fd);
}

/* False where there is no compiler. */
static bool compile(const char *source, const char *library)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("cc", "cc", "-shared", "-fPIC", "-o", library, source, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void a_library_of_the_process_is_found_after_the_executable(void **state)
{
    (void)state;
    static const char text[] = "void *_rjem_malloc(unsigned long n) { return (void *)n; }\n";
    char folder[] = "/tmp/rth-allocator-XXXXXX", source[64], path[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(source, sizeof(source), "%s/own.c", folder);
    (void)snprintf(path, sizeof(path), "%s/libown.so", folder);
    elf_file_save(text, sizeof(text) - 1, source);
    bool compiled = compile(source, path);
    (void)unlink(source);
    if (!compiled) {
        (void)rmdir(folder);
        RTH_SKIP("no cc");
    }
    void *library = dlopen(path, RTLD_NOW);
    assert_non_null(library);
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__modules_refresh(root_fd) >= 0);
    assert_int_equal(rth__static_allocator_find(root_fd, &found), 0);
    assert_string_equal(found.kind, "jemalloc");
    assert_string_equal(found.evidence, "_rjem_malloc");
    assert_string_equal(found.module_path, path);
    assert_false(found.in_executable);
    (void)unlink(path); /* another file could stand there */
    assert_int_equal(rth__static_allocator_find(root_fd, &found), -ENOENT);
    (void)rmdir(folder);
    (void)close(root_fd);
    (void)dlclose(library);
}

RTH_TEST_MAIN(cmocka_unit_test(functions_of_each_kind_are_known),
              cmocka_unit_test(local_functions_and_dynamic_symbols_count),
              cmocka_unit_test(the_end_of_a_longer_string_is_a_name_only_where_a_symbol_begins),
              cmocka_unit_test(imports_and_data_are_no_allocator),
              cmocka_unit_test(a_library_that_offers_its_malloc_can_be_wrapped),
              cmocka_unit_test(names_are_found_wherever_the_strings_are_cut),
              cmocka_unit_test(messages_tell_what_is_in_a_stripped_file),
              cmocka_unit_test(messages_in_writable_data_are_somebody_elses),
              cmocka_unit_test(messages_beside_a_malloc_for_others_do_not_count_in_a_library),
              cmocka_unit_test(broken_files_are_refused),
              cmocka_unit_test(a_program_that_has_rthooks_linked_in_is_not_taken_for_one),
              cmocka_unit_test(a_library_of_the_process_is_found_after_the_executable))
