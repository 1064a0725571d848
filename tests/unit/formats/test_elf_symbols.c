/* SPDX-License-Identifier: MIT */
#include "helper/elf_file.h"

#include <errno.h>
#include <sys/auxv.h>

#include "formats/elf_symbols.h"
#include "os/fd.h"

static int open_bytes(const void *bytes, size_t size_bytes, int *ret_fd,
                      struct rth_elf_symbol_table *ret_table)
{
    *ret_fd = elf_file_fd(bytes, size_bytes);
    struct rth_elf_source source = rth__elf_source_of_fd(*ret_fd);
    return rth__elf_symbol_table_open(&source, ret_table);
}

static int open_only(const struct elf_file *file)
{
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    return open_bytes(file, sizeof(*file), &fd, &table);
}

/* Names of the symbols of code, "a b c", through a buffer of so many bytes. */
static int list_names(const struct rth_elf_symbol_table *table, size_t buffer_bytes, char *ret_list,
                      size_t list_size)
{
    uint64_t buffer[512];
    struct rth_elf_symbol_cursor cursor;
    struct rth_elf_symbol symbol;
    int got;
    size_t used = 0;
    assert_true(buffer_bytes <= sizeof(buffer));
    ret_list[0] = '\0';
    rth__elf_symbol_cursor_init(&cursor, table, buffer, buffer_bytes);
    while ((got = rth__elf_symbol_next(&cursor, &symbol)) > 0) {
        char name[64];
        if (!rth__elf_symbol_is_code(table, &symbol))
            continue;
        int length = rth__elf_strings_read(table, symbol.name_offset, name, sizeof(name));
        assert_true(length > 0);
        used += (size_t)snprintf(ret_list + used, list_size - used, "%s%.*s", used > 0 ? " " : "",
                                 length, name);
    }
    return got;
}

static void symtab_is_taken_before_dynsym(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    char list[256];
    (void)elf_file_add(&file, DYNSYM, "exported", 0x1000, 16, STT_FUNC, STB_GLOBAL);
    (void)elf_file_function(&file, "first", 0x1000, 16);
    (void)elf_file_function(&file, "second", 0x2000, 16);
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_false(table.exported_only);
    assert_int_equal(table.symbol_count, 3);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), 0);
    assert_string_equal(list, "first second");
}

static void stripped_file_gives_its_dynsym(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    char list[256];
    (void)elf_file_add(&file, DYNSYM, "exported", 0x1000, 16, STT_FUNC, STB_GLOBAL);
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_true(table.exported_only);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), 0);
    assert_string_equal(list, "exported");
}

static void small_buffer_gives_the_same_symbols(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    char whole[512], pieces[512];
    for (unsigned i = 0; i < 20; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "f%u", i);
        (void)elf_file_function(&file, name, 0x1000 + i * 16, 16);
    }
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_int_equal(list_names(&table, 4096, whole, sizeof(whole)), 0);
    assert_int_equal(list_names(&table, sizeof(Elf64_Sym), pieces, sizeof(pieces)), 0);
    assert_string_equal(pieces, whole);
    assert_int_equal(list_names(&table, sizeof(Elf64_Sym) - 1, pieces, sizeof(pieces)), -EINVAL);
}

static void only_defined_code_with_a_name_is_code(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    char list[256];
    (void)elf_file_function(&file, "undefined", 0x1000, 16);
    file.symtab[1].st_shndx = SHN_UNDEF;
    (void)elf_file_function(&file, "absolute", 0x1000, 16);
    file.symtab[2].st_shndx = SHN_ABS;
    (void)elf_file_function(&file, "in_data", ELF_FILE_DATA_START, 16);
    (void)elf_file_add(&file, SYMTAB, "object", 0x1000, 16, STT_OBJECT, STB_GLOBAL);
    (void)elf_file_add(&file, SYMTAB, "section", 0x1000, 0, STT_SECTION, STB_LOCAL);
    (void)elf_file_function(&file, "nameless", 0x1000, 16);
    file.symtab[6].st_name = 0;
    (void)elf_file_function(&file, "at_the_end", ELF_FILE_TEXT_LIMIT, 16);
    (void)elf_file_add(&file, SYMTAB, "indirect", 0x1100, 16, STT_GNU_IFUNC, STB_GLOBAL);
    (void)elf_file_add(&file, SYMTAB, "label", 0x1200, 0, STT_NOTYPE, STB_GLOBAL);
    (void)elf_file_function(&file, "many_sections", 0x1300, 16);
    file.symtab[10].st_shndx = SHN_XINDEX;
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), 0);
    assert_string_equal(list, "indirect label many_sections");
}

static void ranges_of_code_are_the_executable_sections(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    (void)elf_file_function(&file, "first", 0x1000, 16);
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_int_equal(table.code_range_count, 2);
    assert_null(rth__elf_code_range_find(&table, ELF_FILE_TEXT_START - 1));
    assert_int_equal(rth__elf_code_range_find(&table, ELF_FILE_TEXT_START)->limit,
                     ELF_FILE_TEXT_LIMIT);
    assert_null(rth__elf_code_range_find(&table, ELF_FILE_TEXT_LIMIT));
    assert_int_equal(rth__elf_code_range_find(&table, ELF_FILE_INIT_LIMIT - 1)->start,
                     ELF_FILE_INIT_START);
}

static void file_without_symbols_or_section_headers_is_enoent(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    assert_int_equal(open_only(&file), -ENOENT);
    (void)elf_file_function(&file, "first", 0x1000, 16);
    assert_int_equal(open_only(&file), 0);
    file.header.e_shoff = 0;
    file.header.e_shnum = 0;
    assert_int_equal(open_only(&file), -ENOENT);
}

static void what_is_no_elf_file_of_ours_is_told_apart(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int text = -1, nothing = -1, head = -1;
    assert_int_equal(open_bytes("#!/bin/sh\nexec true\n", 20, &text, &table), -ENOEXEC);
    assert_int_equal(open_bytes("", 0, &nothing, &table), -ENOEXEC);
    assert_int_equal(open_bytes(&file, 40, &head, &table), -EBADMSG);
    file.header.e_ident[EI_DATA] = ELFDATA2MSB;
    assert_int_equal(open_only(&file), -ENOTSUP);
    file.header.e_ident[EI_DATA] = 9;
    assert_int_equal(open_only(&file), -EBADMSG);
    file.header.e_ident[EI_DATA] = ELFDATA2LSB;
    file.header.e_ident[EI_CLASS] = 3;
    assert_int_equal(open_only(&file), -EBADMSG);
}

static void broken_section_headers_are_refused(void **state)
{
    (void)state;
    struct elf_file good = elf_file_new(), file;
    (void)elf_file_function(&good, "first", 0x1000, 16);
    file = good;
    file.header.e_shentsize = 0;
    assert_int_equal(open_only(&file), -EBADMSG);
    file = good;
    file.header.e_shoff = UINT64_MAX - 10;
    assert_int_equal(open_only(&file), -EBADMSG);
    file = good;
    file.header.e_shoff = sizeof(file) - 10;
    assert_int_equal(open_only(&file), -EBADMSG);
    file = good;
    file.header.e_shnum = 0;
    file.section[0].sh_size = UINT64_C(1) << 40;
    assert_int_equal(open_only(&file), -E2BIG);
    file = good;
    file.section[TEXT].sh_size = UINT64_MAX;
    assert_int_equal(open_only(&file), -EBADMSG);
}

static void section_count_may_stand_in_the_first_header(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    (void)elf_file_function(&file, "first", 0x1000, 16);
    file.header.e_shnum = 0;
    file.section[0].sh_size = SECTIONS;
    assert_int_equal(open_only(&file), 0);
}

static void broken_symbol_tables_are_refused(void **state)
{
    (void)state;
    struct elf_file good = elf_file_new(), file;
    (void)elf_file_function(&good, "first", 0x1000, 16);
    file = good;
    file.section[SYMTAB].sh_entsize = 0;
    assert_int_equal(open_only(&file), -EBADMSG);
    file = good;
    file.section[SYMTAB].sh_entsize = 16;
    assert_int_equal(open_only(&file), -EBADMSG);
    file = good;
    file.section[SYMTAB].sh_size = sizeof(Elf64_Sym) * (UINT64_C(1) << 40);
    assert_int_equal(open_only(&file), -E2BIG);
    file = good;
    file.section[SYMTAB].sh_link = SECTIONS;
    assert_int_equal(open_only(&file), -EBADMSG);
    file = good;
    file.section[SYMTAB].sh_link = TEXT; /* not a table of strings */
    assert_int_equal(open_only(&file), -EBADMSG);
}

static void more_ranges_of_code_than_any_program_has_are_refused(void **state)
{
    (void)state;
    struct {
        struct elf_file file;
        Elf64_Shdr section[RTH_ELF_CODE_RANGES_MAX + 2];
    } many = {.file = elf_file_new()};
    many.file.header.e_shoff = offsetof(__typeof__(many), section);
    many.file.header.e_shnum = RTH_ELF_CODE_RANGES_MAX + 2;
    for (unsigned i = 1; i < RTH_ELF_CODE_RANGES_MAX + 2; i++)
        many.section[i] = many.file.section[TEXT];
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    assert_int_equal(open_bytes(&many, sizeof(many), &fd, &table), -E2BIG);
}

static void symbols_beyond_the_end_of_the_file_are_an_error(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    char list[256];
    (void)elf_file_function(&file, "first", 0x1000, 16);
    file.section[SYMTAB].sh_size = sizeof(Elf64_Sym) * 100000;
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), -EBADMSG);
}

static void file_that_shrinks_while_it_is_read_is_an_error(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    char list[256];
    (void)elf_file_function(&file, "first", 0x1000, 16);
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), 0);
    assert_int_equal(ftruncate(fd, offsetof(struct elf_file, symtab) + 30), 0);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), -EBADMSG);
    assert_int_equal(rth__elf_strings_read(&table, 1, list, sizeof(list)), -EBADMSG);
}

static void strings_end_where_their_section_ends(void **state)
{
    (void)state;
    struct elf_file file = elf_file_new();
    struct rth_elf_symbol_table table;
    RTH__AUTO_CLOSE int fd = -1;
    char text[64];
    (void)elf_file_function(&file, "first", 0x1000, 16);
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_int_equal(rth__elf_strings_read(&table, 1, text, sizeof(text)), 6);
    assert_string_equal(text, "first");
    assert_int_equal(rth__elf_strings_read(&table, 1, text, 3), 3);
    assert_int_equal(rth__elf_strings_read(&table, 7, text, sizeof(text)), -EBADMSG);
    assert_int_equal(rth__elf_strings_read(&table, UINT64_MAX, text, sizeof(text)), -EBADMSG);
    table.strings_offset = UINT64_MAX - 2;
    assert_int_equal(rth__elf_strings_read(&table, 3, text, sizeof(text)), -EBADMSG);
}

static void file_of_32_bits_is_read(void **state)
{
    (void)state;
    struct {
        Elf32_Ehdr header;
        Elf32_Shdr section[4];
        Elf32_Sym symbol[2];
        char strings[8];
    } file = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
                               EV_CURRENT},
                   .e_shoff = sizeof(Elf32_Ehdr),
                   .e_shentsize = sizeof(Elf32_Shdr),
                   .e_shnum = 4},
        .section = {[1] = {.sh_type = SHT_PROGBITS,
                           .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                           .sh_addr = 0x1000,
                           .sh_size = 0x1000},
                    [2] = {.sh_type = SHT_SYMTAB,
                           .sh_size = sizeof(file.symbol),
                           .sh_link = 3,
                           .sh_entsize = sizeof(Elf32_Sym)},
                    [3] = {.sh_type = SHT_STRTAB, .sh_size = sizeof(file.strings)}},
        .symbol = {[1] = {.st_name = 1,
                          .st_value = 0x1010,
                          .st_size = 5,
                          .st_info = ELF32_ST_INFO(STB_WEAK, STT_FUNC),
                          .st_shndx = 1}},
        .strings = "\0narrow",
    };
    file.section[2].sh_offset = offsetof(__typeof__(file), symbol);
    file.section[3].sh_offset = offsetof(__typeof__(file), strings);
    struct rth_elf_symbol_table table;
    struct rth_elf_symbol_cursor cursor;
    struct rth_elf_symbol symbol;
    unsigned char buffer[64];
    char list[64];
    RTH__AUTO_CLOSE int fd = -1;
    assert_int_equal(open_bytes(&file, sizeof(file), &fd, &table), 0);
    assert_int_equal(list_names(&table, 64, list, sizeof(list)), 0);
    assert_string_equal(list, "narrow");
    rth__elf_symbol_cursor_init(&cursor, &table, buffer, sizeof(buffer));
    assert_int_equal(rth__elf_symbol_next(&cursor, &symbol), 1);
    assert_int_equal(rth__elf_symbol_next(&cursor, &symbol), 1);
    assert_int_equal(symbol.value, 0x1010);
    assert_int_equal(symbol.size_bytes, 5);
    assert_int_equal(symbol.binding, STB_WEAK);
    assert_int_equal(rth__elf_symbol_next(&cursor, &symbol), 0);
}

/* ---- images in memory ---------------------------------------------------------------------- */

struct image {
    const unsigned char *bytes;
    size_t size_bytes;
};

static int read_image(const struct rth_elf_source *source, uint64_t offset, void *ret_bytes,
                      size_t size_bytes)
{
    const struct image *image = source->userdata;
    if (offset > image->size_bytes || size_bytes > image->size_bytes - offset)
        return -EBADMSG;
    memcpy(ret_bytes, image->bytes + offset, size_bytes);
    return 0;
}

static int open_image(struct image *image, uint64_t high, uint64_t load_bias,
                      struct rth_elf_symbol_table *ret_table)
{
    struct rth_elf_source source = {.read = read_image, .userdata = image};
    return rth__elf_symbol_table_open_image(&source, 0, high, load_bias, ret_table);
}

static void vdso_gives_its_functions(void **state)
{
    (void)state;
    const unsigned char *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);
    if (vdso == NULL)
        RTH_SKIP("no vDSO");
    const Elf64_Ehdr *header = (const void *)vdso;
    const Elf64_Phdr *load = (const void *)(vdso + header->e_phoff);
    while (load->p_type != PT_LOAD)
        load++;
    struct image image = {vdso, load->p_memsz};
    struct rth_elf_symbol_table table;
    char list[2048];
    assert_int_equal(open_image(&image, load->p_memsz, (uint64_t)(uintptr_t)vdso, &table), 0);
    assert_true(table.exported_only);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), 0);
    assert_non_null(strstr(list, "__vdso_clock_gettime"));
}

/* An image whose symbols are counted by the GNU hash table. */
struct hashed {
    Elf64_Ehdr header;
    Elf64_Phdr segment[2];
    Elf64_Dyn dynamic[6];
    uint32_t hash[4 + 2 + 2 + 3]; /* head, one bloom word, buckets, chains */
    Elf64_Sym symbol[4];
    char strings[16];
};

static struct hashed hashed_new(uint64_t load_bias)
{
    struct hashed image = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                               EV_CURRENT},
                   .e_phoff = offsetof(struct hashed, segment),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2},
        .segment = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_memsz = sizeof(image)},
                    {.p_type = PT_DYNAMIC,
                     .p_vaddr = offsetof(struct hashed, dynamic),
                     .p_memsz = sizeof(image.dynamic)}},
        .dynamic = {{DT_SYMTAB, {offsetof(struct hashed, symbol) + load_bias}},
                    {DT_STRTAB, {offsetof(struct hashed, strings) + load_bias}},
                    {DT_STRSZ, {sizeof(image.strings)}},
                    {DT_SYMENT, {sizeof(Elf64_Sym)}},
                    {DT_GNU_HASH, {offsetof(struct hashed, hash) + load_bias}},
                    {DT_NULL, {0}}},
        /* Two buckets, hashed symbols from 1 on; 1 is a chain of its own, 2 and 3 another. */
        .hash = {2, 1, 1, 6, 0, 0, 2, 1, 0x11, 0x20, 0x31},
        .strings = "\0one\0two\0three",
    };
    static const unsigned names[] = {0, 1, 5, 9};
    for (unsigned i = 1; i < 4; i++)
        image.symbol[i] = (Elf64_Sym){.st_name = names[i],
                                      .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                      .st_shndx = 1,
                                      .st_value = i * 16,
                                      .st_size = 16};
    return image;
}

static int open_hashed(const struct hashed *hashed, uint64_t load_bias,
                       struct rth_elf_symbol_table *ret_table)
{
    static struct image image;
    image = (struct image){(const void *)hashed, sizeof(*hashed)};
    return open_image(&image, sizeof(*hashed), load_bias, ret_table);
}

static void image_is_counted_by_its_gnu_hash_table(void **state)
{
    (void)state;
    struct rth_elf_symbol_table table;
    char list[64];
    /* As the file has the addresses, and as glibc leaves them. */
    for (uint64_t relocated = 0; relocated < 2; relocated++) {
        uint64_t load_bias = UINT64_C(0x7f0000000000);
        struct hashed hashed = hashed_new(relocated * load_bias);
        assert_int_equal(open_hashed(&hashed, load_bias, &table), 0);
        assert_int_equal(table.symbol_count, 4);
        assert_int_equal(list_names(&table, 4096, list, sizeof(list)), 0);
        assert_string_equal(list, "one two three");
    }
}

static void image_that_exports_nothing_has_no_names(void **state)
{
    (void)state;
    struct rth_elf_symbol_table table;
    struct hashed hashed = hashed_new(0);
    char list[64];
    hashed.hash[6] = hashed.hash[7] = 0;
    assert_int_equal(open_hashed(&hashed, 0, &table), 0);
    assert_int_equal(list_names(&table, 4096, list, sizeof(list)), 0);
    assert_string_equal(list, "");
}

static void broken_images_are_refused(void **state)
{
    (void)state;
    struct rth_elf_symbol_table table;
    struct hashed good = hashed_new(0), hashed;
    hashed = good;
    hashed.header.e_ident[0] = 0;
    assert_int_equal(open_hashed(&hashed, 0, &table), -ENOEXEC);
    hashed = good;
    hashed.header.e_phoff = UINT64_MAX - 8;
    assert_int_equal(open_hashed(&hashed, 0, &table), -EBADMSG);
    hashed = good;
    hashed.segment[1].p_type = PT_NULL;
    assert_int_equal(open_hashed(&hashed, 0, &table), -ENOENT);
    hashed = good;
    hashed.segment[1].p_vaddr = UINT64_MAX - 8;
    assert_int_equal(open_hashed(&hashed, 0, &table), -EBADMSG);
    hashed = good;
    hashed.dynamic[3].d_un.d_val = 16;
    assert_int_equal(open_hashed(&hashed, 0, &table), -EBADMSG);
    hashed = good;
    hashed.dynamic[4].d_tag = DT_DEBUG;
    assert_int_equal(open_hashed(&hashed, 0, &table), -ENOENT);
    hashed = good;
    hashed.hash[0] = UINT32_MAX; /* buckets */
    assert_int_equal(open_hashed(&hashed, 0, &table), -E2BIG);
    hashed = good;
    hashed.hash[2] = UINT32_MAX; /* bloom words */
    assert_int_equal(open_hashed(&hashed, 0, &table), -EBADMSG);
    hashed = good;
    hashed.hash[6] = UINT32_MAX; /* a chain far away */
    assert_true(open_hashed(&hashed, 0, &table) < 0);
    hashed = good;
    hashed.dynamic[2].d_un.d_val = UINT64_MAX; /* strings */
    assert_int_equal(open_hashed(&hashed, 0, &table), -EBADMSG);
    hashed = good;
    hashed.dynamic[0].d_un.d_ptr = sizeof(hashed) - 24; /* symbols */
    assert_int_equal(open_hashed(&hashed, 0, &table), -EBADMSG);
}

RTH_TEST_MAIN(cmocka_unit_test(symtab_is_taken_before_dynsym),
              cmocka_unit_test(stripped_file_gives_its_dynsym),
              cmocka_unit_test(small_buffer_gives_the_same_symbols),
              cmocka_unit_test(only_defined_code_with_a_name_is_code),
              cmocka_unit_test(ranges_of_code_are_the_executable_sections),
              cmocka_unit_test(file_without_symbols_or_section_headers_is_enoent),
              cmocka_unit_test(what_is_no_elf_file_of_ours_is_told_apart),
              cmocka_unit_test(broken_section_headers_are_refused),
              cmocka_unit_test(section_count_may_stand_in_the_first_header),
              cmocka_unit_test(broken_symbol_tables_are_refused),
              cmocka_unit_test(more_ranges_of_code_than_any_program_has_are_refused),
              cmocka_unit_test(symbols_beyond_the_end_of_the_file_are_an_error),
              cmocka_unit_test(file_that_shrinks_while_it_is_read_is_an_error),
              cmocka_unit_test(strings_end_where_their_section_ends),
              cmocka_unit_test(file_of_32_bits_is_read), cmocka_unit_test(vdso_gives_its_functions),
              cmocka_unit_test(image_is_counted_by_its_gnu_hash_table),
              cmocka_unit_test(image_that_exports_nothing_has_no_names),
              cmocka_unit_test(broken_images_are_refused))
