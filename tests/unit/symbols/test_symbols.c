/* SPDX-License-Identifier: MIT */
#include "helper/elf_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/arena.h"
#include "os/fd.h"
#include "symbols/resolve.h"
#include "symbols/symbols.h"

static char folder[32];
static char path[64]; /* of the file that module 1 was mapped from */
static struct rth_module module;
static int root_fd;

static const struct rth_module *test_module(uint32_t id)
{
    return id == 1 ? &module : NULL;
}

/* Saves the file and makes module 1 what a refresh makes of it, unloaded. */
static void save(const struct elf_file *file)
{
    if (folder[0] == '\0') {
        (void)snprintf(folder, sizeof(folder), "/tmp/rth-symbols-XXXXXX");
        assert_non_null(mkdtemp(folder));
        (void)snprintf(path, sizeof(path), "%s/file", folder);
        root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    elf_file_save(file, sizeof(*file), path);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    module = (struct rth_module){
        .id = 1,
        .build_id_bytes = ELF_FILE_BUILD_ID,
        .dev_major = major(status.st_dev),
        .dev_minor = minor(status.st_dev),
        .inode = status.st_ino,
    };
    (void)snprintf(module.path, sizeof(module.path), "%s", path);
    memcpy(module.build_id, file->note.build_id, ELF_FILE_BUILD_ID);
}

static void clean_up(void)
{
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
    folder[0] = '\0';
    (void)close(root_fd);
}

/* What module 1 calls an address, "-" where it has no name; valid until the next call. */
static const char *name_at(uint64_t vaddr)
{
    static char name[256];
    rth_frame frame = rth__frame_make(1, vaddr);
    struct rth_symbol_set *set = rth__symbol_set_new(&frame, 1);
    assert_non_null(set);
    assert_int_equal(rth__symbol_set_resolve_with(set, test_module, root_fd, NULL, NULL), 0);
    struct rth_symbol symbol = rth__symbol_find(set, frame);
    (void)snprintf(name, sizeof(name), "%s", symbol.name != NULL ? symbol.name : "-");
    rth__symbol_set_free(set);
    return name;
}

static void function_that_covers_the_address_names_it(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "second", 0x2000, 0x100);
    (void)elf_file_function(&file, "first", 0x1000, 0x100);
    save(&file);
    assert_string_equal(name_at(0x1000), "first");
    assert_string_equal(name_at(0x10ff), "first");
    assert_string_equal(name_at(0x2050), "second");
    clean_up();
}

static void address_between_functions_stays_unnamed(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 0x100);
    (void)elf_file_function(&file, "second", 0x2000, 0x100);
    save(&file);
    assert_string_equal(name_at(0xfff), "-");
    assert_string_equal(name_at(0x1100), "-");
    assert_string_equal(name_at(0x1fff), "-");
    assert_string_equal(name_at(0x2100), "-");
    clean_up();
}

static void innermost_function_names_the_address(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "inner", 0x1040, 0x10);
    (void)elf_file_function(&file, "outer", 0x1000, 0x100);
    save(&file);
    assert_string_equal(name_at(0x103f), "outer");
    assert_string_equal(name_at(0x1040), "inner");
    assert_string_equal(name_at(0x1050), "outer");
    clean_up();
}

static void global_name_beats_weak_beats_local(void **state)
{
    (void)state;
    static const unsigned bindings[] = {STB_LOCAL, STB_WEAK, STB_GLOBAL};
    static const char *const names[] = {"local", "weak", "global"};
    for (unsigned best = 0; best < 3; best++) {
        /* Either order in the file. */
        struct elf_file up = elf_file_new(), down = elf_file_new();
        for (unsigned i = 0; i <= best; i++) {
            (void)elf_file_add(&up, SYMTAB, names[i], 0x1000, 16, STT_FUNC, bindings[i]);
            (void)elf_file_add(&down, SYMTAB, names[best - i], 0x1000, 16, STT_FUNC,
                               bindings[best - i]);
        }
        save(&up);
        assert_string_equal(name_at(0x1008), names[best]);
        save(&down);
        assert_string_equal(name_at(0x1008), names[best]);
    }
    clean_up();
}

static void of_equal_aliases_the_one_with_fewest_underscores_wins(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "__libc_malloc", 0x1000, 16);
    (void)elf_file_function(&file, "malloc", 0x1000, 16);
    (void)elf_file_function(&file, "_malloc", 0x1000, 16);
    (void)elf_file_function(&file, "also_plain", 0x1000, 16);
    save(&file);
    assert_string_equal(name_at(0x1008), "malloc");
    clean_up();
}

static void function_without_size_reaches_to_the_next_symbol_of_its_section(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "assembly", 0x1000, 0);
    (void)elf_file_add(&file, SYMTAB, "label", 0x1100, 0, STT_NOTYPE, STB_GLOBAL);
    (void)elf_file_function(&file, "sized", 0x1200, 0x10);
    (void)elf_file_function(&file, "last", 0x8000, 0);
    (void)elf_file_function(&file, "_init", ELF_FILE_INIT_START, 0);
    save(&file);
    assert_string_equal(name_at(0x10ff), "assembly");
    assert_string_equal(name_at(0x1150), "label");
    assert_string_equal(name_at(0x1208), "sized");
    /* What follows the sized one is not the label's any more. */
    assert_string_equal(name_at(0x1210), "-");
    assert_string_equal(name_at(ELF_FILE_TEXT_LIMIT - 1), "last");
    assert_string_equal(name_at(ELF_FILE_TEXT_LIMIT), "-");
    assert_string_equal(name_at(ELF_FILE_INIT_START + 4), "_init");
    clean_up();
}

static void alias_without_size_does_not_stretch_a_function(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_add(&file, SYMTAB, "entry", 0x1000, 0, STT_NOTYPE, STB_GLOBAL);
    (void)elf_file_function(&file, "sized", 0x1000, 0x10);
    (void)elf_file_add(&file, SYMTAB, "also_entry", 0x1000, 0, STT_FUNC, STB_GLOBAL);
    save(&file);
    assert_string_equal(name_at(0x1008), "sized");
    assert_string_equal(name_at(0x1010), "-");
    clean_up();
}

static void inner_labels_and_mapping_symbols_name_nothing(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "assembly", 0x1000, 0);
    (void)elf_file_add(&file, SYMTAB, ".L12", 0x1010, 0, STT_NOTYPE, STB_LOCAL);
    (void)elf_file_add(&file, SYMTAB, ".Lsized", 0x1010, 64, STT_NOTYPE, STB_LOCAL);
    (void)elf_file_add(&file, SYMTAB, "$x", 0x1020, 0, STT_NOTYPE, STB_LOCAL);
    (void)elf_file_add(&file, SYMTAB, "local_function", 0x1030, 0, STT_NOTYPE, STB_LOCAL);
    save(&file);
    assert_string_equal(name_at(0x1018), "assembly");
    assert_string_equal(name_at(0x1028), "assembly");
    assert_string_equal(name_at(0x1038), "local_function");
    clean_up();
}

static void exported_function_without_size_does_not_swallow_static_ones(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_add(&file, DYNSYM, "exported", 0x1000, 0, STT_FUNC, STB_GLOBAL);
    (void)elf_file_add(&file, DYNSYM, "sized", 0x2000, 16, STT_FUNC, STB_GLOBAL);
    save(&file);
    assert_string_equal(name_at(0x1000), "exported");
    assert_string_equal(name_at(0x1001), "-");
    assert_string_equal(name_at(0x2008), "sized");
    assert_string_equal(name_at(0x2010), "-");
    clean_up();
}

static void size_that_leaves_the_section_is_cut(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "liar", 0x8000, UINT64_MAX - 5);
    save(&file);
    assert_string_equal(name_at(ELF_FILE_TEXT_LIMIT - 1), "liar");
    assert_string_equal(name_at(ELF_FILE_INIT_START), "-");
    clean_up();
}

static void version_is_no_part_of_the_name(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "read@@GLIBC_2.2.5", 0x1000, 16);
    (void)elf_file_function(&file, "old@GLIBC_2.0", 0x1010, 16);
    (void)elf_file_function(&file, "@odd", 0x1020, 16);
    save(&file);
    assert_string_equal(name_at(0x1000), "read");
    assert_string_equal(name_at(0x1010), "old");
    assert_string_equal(name_at(0x1020), "@odd");
    clean_up();
}

static void name_that_would_break_an_answer_is_left_out(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "two\nlines", 0x1000, 16);
    (void)elf_file_function(&file, "\xff\xfe", 0x1010, 16);
    (void)elf_file_function(&file, "gr\xc3\xbc\xc3\x9f", 0x1020, 16);
    (void)elf_file_function(&file, "del\x7f", 0x1030, 16);
    (void)elf_file_function(&file, " ", 0x1060, 16);
    (void)elf_file_function(&file, "far", 0x1040, 16);
    file.symtab[6].st_name = 4000; /* beyond the strings */
    (void)elf_file_function(&file, "endless", 0x1050, 16);
    file.section[STRTAB].sh_size--; /* without its NUL */
    save(&file);
    assert_string_equal(name_at(0x1000), "-");
    assert_string_equal(name_at(0x1010), "-");
    assert_string_equal(name_at(0x1020), "gr\xc3\xbc\xc3\x9f");
    assert_string_equal(name_at(0x1060), "-");
    assert_string_equal(name_at(0x1030), "-");
    assert_string_equal(name_at(0x1040), "-");
    assert_string_equal(name_at(0x1050), "-");
    clean_up();
}

static void file_with_another_build_id_gives_no_name(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 16);
    save(&file);
    assert_string_equal(name_at(0x1008), "first");
    module.build_id[19]++;
    assert_string_equal(name_at(0x1008), "-");
    module.build_id[19]--;
    module.build_id_bytes = 8;
    assert_string_equal(name_at(0x1008), "-");
    clean_up();
}

static void file_without_build_id_must_be_the_same_inode(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 16);
    file.header.e_phnum = 0;
    save(&file);
    module.build_id_bytes = 0;
    assert_string_equal(name_at(0x1008), "first");
    module.inode++;
    assert_string_equal(name_at(0x1008), "-");
    module.inode--;
    module.dev_minor++;
    assert_string_equal(name_at(0x1008), "-");
    clean_up();
}

static void replaced_file_gives_no_name(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new(), other = elf_file_new();
    (void)elf_file_function(&file, "old", 0x1000, 16);
    (void)elf_file_function(&other, "new", 0x1000, 16);
    other.note.build_id[0]++;
    save(&file);
    assert_string_equal(name_at(0x1008), "old");
    elf_file_save(&other, sizeof(other), path);
    assert_string_equal(name_at(0x1008), "-");
    assert_int_equal(unlink(path), 0);
    assert_string_equal(name_at(0x1008), "-");
    clean_up();
}

static void path_that_became_a_fifo_or_folder_is_not_waited_for(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    save(&file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_string_equal(name_at(0x1008), "-");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_string_equal(name_at(0x1008), "-");
    assert_int_equal(rmdir(path), 0);
    clean_up();
}

static void broken_file_leaves_only_its_own_frames_unnamed(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 16);
    file.section[SYMTAB].sh_size = 24 * 1000000; /* far beyond the end of the file */
    save(&file);
    assert_string_equal(name_at(0x1008), "-");
    file.section[SYMTAB].sh_size = 48;
    file.section[STRTAB].sh_offset = UINT64_MAX - 3;
    save(&file);
    assert_string_equal(name_at(0x1008), "-");
    clean_up();
}

/* ---- sets ---------------------------------------------------------------------------------- */

static void set_answers_for_its_frames_alone(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 0x100);
    (void)elf_file_function(&file, "second", 0x2000, 0x100);
    save(&file);
    const rth_frame frames[] = {
        rth__frame_make(1, 0x2010), rth__frame_make(1, 0x1010), rth__frame_make(1, 0x2010),
        rth__frame_make(0, 0x1010), rth__frame_make(7, 0x1010), rth__frame_make(1, 0x1020),
    };
    struct rth_symbol_set *set = rth__symbol_set_new(frames, 6);
    assert_non_null(set);
    assert_null(rth__symbol_find(set, frames[0]).name);
    assert_false(rth__symbol_set_has_names(set, 1));
    assert_int_equal(rth__symbol_set_resolve_with(set, test_module, root_fd, NULL, NULL), 0);
    assert_string_equal(rth__symbol_find(set, frames[0]).name, "second");
    assert_int_equal(rth__symbol_find(set, frames[0]).start_vaddr, 0x2000);
    /* One copy of a name. */
    assert_ptr_equal(rth__symbol_find(set, frames[1]).name, rth__symbol_find(set, frames[5]).name);
    assert_null(rth__symbol_find(set, frames[3]).name);
    assert_null(rth__symbol_find(set, frames[4]).name);
    assert_null(rth__symbol_find(set, rth__frame_make(1, 0x1030)).name);
    assert_true(rth__symbol_set_has_names(set, 1));
    assert_false(rth__symbol_set_has_names(set, 0));
    assert_false(rth__symbol_set_has_names(set, 7));
    assert_false(rth__symbol_set_has_names(set, UINT32_MAX));
    rth__symbol_set_free(set);
    rth__symbol_set_free(NULL);
    clean_up();
}

static void empty_set_is_fine(void **state)
{
    (void)state;
    struct rth_symbol_set *set = rth__symbol_set_new(NULL, 0);
    assert_non_null(set);
    assert_int_equal(rth__symbol_set_resolve_with(set, test_module, root_fd, NULL, NULL), 0);
    assert_null(rth__symbol_find(set, rth__frame_make(1, 1)).name);
    rth__symbol_set_free(set);
}

static bool count_down(void *userdata)
{
    int *left = userdata;
    return (*left)-- <= 0;
}

static void question_ends_when_nobody_waits_any_more(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 16);
    save(&file);
    rth_frame frame = rth__frame_make(1, 0x1008);
    struct rth_symbol_set *set = rth__symbol_set_new(&frame, 1);
    int left = 0;
    assert_int_equal(rth__symbol_set_resolve_with(set, test_module, root_fd, count_down, &left),
                     -ECANCELED);
    left = 1000;
    assert_int_equal(rth__symbol_set_resolve_with(set, test_module, root_fd, count_down, &left), 0);
    assert_true(left < 1000);
    assert_string_equal(rth__symbol_find(set, frame).name, "first");
    rth__symbol_set_free(set);
    clean_up();
}

/* A file whose symbols come by the hundred thousand. */
static void save_many(struct elf_file *file, size_t count, Elf64_Sym (*symbol)(size_t index))
{
    Elf64_Sym *symbols = calloc(count, sizeof(*symbols));
    assert_non_null(symbols);
    file->section[SYMTAB].sh_offset = sizeof(*file);
    file->section[SYMTAB].sh_size = count * sizeof(*symbols);
    for (size_t i = 1; i < count; i++)
        symbols[i] = symbol(i);
    save(file);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, symbols, count * sizeof(*symbols)), count * sizeof(*symbols));
    (void)close(fd);
    free(symbols);
}

static Elf64_Sym symbol_over_all(size_t index)
{
    return (Elf64_Sym){.st_name = 1,
                       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                       .st_shndx = TEXT,
                       .st_value = ELF_FILE_TEXT_START,
                       .st_size = 0x100000 - index};
}

#define MANY 10000
static rth_frame many_frames[MANY];

static void symbols_that_all_overlap_are_given_up(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 16);
    save_many(&file, 200000, symbol_over_all); /* two thousand million pairs */
    for (size_t i = 0; i < MANY; i++)
        many_frames[i] = rth__frame_make(1, ELF_FILE_TEXT_START + i);
    struct rth_symbol_set *set = rth__symbol_set_new(many_frames, MANY);
    assert_int_equal(rth__symbol_set_resolve_with(set, test_module, root_fd, NULL, NULL), 0);
    assert_null(rth__symbol_find(set, many_frames[0]).name);
    assert_false(rth__symbol_set_has_names(set, 1));
    rth__symbol_set_free(set);
    clean_up();
}

static Elf64_Sym symbol_of_its_own(size_t index)
{
    return (Elf64_Sym){.st_name = 1,
                       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                       .st_shndx = TEXT,
                       .st_value = ELF_FILE_TEXT_START + index * 16,
                       .st_size = 16};
}

static void ten_thousand_frames_take_less_than_8_mib(void **state)
{
    (void)state;
    struct rth_arena_stats before, most;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 16);
    file.section[TEXT].sh_size = 16 * 300000;
    file.section[INIT].sh_size = 0;
    file.section[DATA].sh_size = 0;
    save_many(&file, 200000, symbol_of_its_own);
    for (size_t i = 0; i < MANY; i++)
        many_frames[MANY - 1 - i] = rth__frame_make(1, ELF_FILE_TEXT_START + 16 + i * 320 - i % 16);
    rth__arena_stats(&before);
    struct rth_symbol_set *set = rth__symbol_set_new(many_frames, MANY);
    assert_int_equal(rth__symbol_set_resolve_with(set, test_module, root_fd, NULL, NULL), 0);
    for (size_t i = 0; i < MANY; i++)
        assert_string_equal(rth__symbol_find(set, many_frames[i]).name, "first");
    /* What the arena keeps for reuse is what was used at most. */
    rth__arena_stats(&most);
    assert_true(most.mapped_bytes - before.mapped_bytes < 8u << 20);
    rth__symbol_set_free(set);
    rth__arena_stats(&most);
    assert_int_equal(most.used_bytes, before.used_bytes);
    clean_up();
}

static void sort_orders_any_numbers(void **state)
{
    (void)state;
    static uint64_t keys[5000];
    for (size_t count = 0; count < 5000; count = count * 3 + 1) {
        uint64_t number = 12345 + count, sum = 0, sorted_sum = 0;
        for (size_t i = 0; i < count; i++) {
            number = number * UINT64_C(6364136223846793005) + 1442695040888963407;
            keys[i] = number >> (i % 3 == 0 ? 60 : 1); /* many equal ones */
            sum += keys[i];
        }
        rth__symbols_sort(keys, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(i == 0 || keys[i - 1] <= keys[i]);
            sorted_sum += keys[i];
        }
        assert_int_equal(sum, sorted_sum);
    }
}

RTH_TEST_MAIN(cmocka_unit_test(function_that_covers_the_address_names_it),
              cmocka_unit_test(address_between_functions_stays_unnamed),
              cmocka_unit_test(innermost_function_names_the_address),
              cmocka_unit_test(global_name_beats_weak_beats_local),
              cmocka_unit_test(of_equal_aliases_the_one_with_fewest_underscores_wins),
              cmocka_unit_test(function_without_size_reaches_to_the_next_symbol_of_its_section),
              cmocka_unit_test(alias_without_size_does_not_stretch_a_function),
              cmocka_unit_test(inner_labels_and_mapping_symbols_name_nothing),
              cmocka_unit_test(exported_function_without_size_does_not_swallow_static_ones),
              cmocka_unit_test(size_that_leaves_the_section_is_cut),
              cmocka_unit_test(version_is_no_part_of_the_name),
              cmocka_unit_test(name_that_would_break_an_answer_is_left_out),
              cmocka_unit_test(file_with_another_build_id_gives_no_name),
              cmocka_unit_test(file_without_build_id_must_be_the_same_inode),
              cmocka_unit_test(replaced_file_gives_no_name),
              cmocka_unit_test(path_that_became_a_fifo_or_folder_is_not_waited_for),
              cmocka_unit_test(broken_file_leaves_only_its_own_frames_unnamed),
              cmocka_unit_test(set_answers_for_its_frames_alone),
              cmocka_unit_test(empty_set_is_fine),
              cmocka_unit_test(question_ends_when_nobody_waits_any_more),
              cmocka_unit_test(symbols_that_all_overlap_are_given_up),
              cmocka_unit_test(ten_thousand_frames_take_less_than_8_mib),
              cmocka_unit_test(sort_orders_any_numbers))
