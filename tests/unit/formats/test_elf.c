/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/elf.h"
#include "os/fd.h"

#define LOADER "/lib64/ld-linux-x86-64.so.2"

/* A whole small program: file header, three program headers, interpreter, notes. */
struct image {
    Elf64_Ehdr header;
    Elf64_Phdr interpreter, dynamic, notes;
    char interpreter_text[sizeof(LOADER)];
    _Alignas(4) unsigned char note_bytes[256];
};

static size_t note_add(struct image *image, size_t at, const char *name, uint32_t name_bytes,
                       uint32_t type, const void *desc, uint32_t desc_bytes)
{
    Elf64_Nhdr header = {.n_namesz = name_bytes, .n_descsz = desc_bytes, .n_type = type};
    memcpy(image->note_bytes + at, &header, sizeof(header));
    at += sizeof(header);
    memcpy(image->note_bytes + at, name, name_bytes);
    at += (name_bytes + 3u) & ~3u;
    memcpy(image->note_bytes + at, desc, desc_bytes);
    at += (desc_bytes + 3u) & ~3u;
    image->notes.p_filesz = at;
    return at;
}

static const unsigned char build_id[20] = {0xde, 0xad, 0xbe, 0xef, 1,  2,  3,  4,  5,  6,
                                           7,    8,    9,    10,   11, 12, 13, 14, 15, 0xff};

static struct image image_new(void)
{
    struct image image = {
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                            EV_CURRENT},
                .e_type = ET_DYN,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_phoff = offsetof(struct image, interpreter),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 3,
                .e_ehsize = sizeof(Elf64_Ehdr),
            },
        .interpreter =
            {
                .p_type = PT_INTERP,
                .p_offset = offsetof(struct image, interpreter_text),
                .p_filesz = sizeof(LOADER),
            },
        .dynamic = {.p_type = PT_DYNAMIC},
        .notes =
            {
                .p_type = PT_NOTE,
                .p_offset = offsetof(struct image, note_bytes),
                .p_align = 4,
            },
        .interpreter_text = LOADER,
    };
    size_t at = note_add(&image, 0, "stapsdt", 8, 3, "1234567", 7);
    (void)note_add(&image, at, "GNU", 4, NT_GNU_BUILD_ID, build_id, sizeof(build_id));
    return image;
}

static int file_of(const void *bytes, size_t size)
{
    int fd = memfd_create("elf", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(rth__write_full(fd, bytes, size), size);
    return fd;
}

static int read_bytes(const void *bytes, size_t size, struct rth_elf_facts *ret_facts)
{
    RTH__AUTO_CLOSE int fd = file_of(bytes, size);
    return rth__elf_facts_read(fd, ret_facts);
}

static int read_image(const struct image *image, struct rth_elf_facts *ret_facts)
{
    return read_bytes(image, sizeof(*image), ret_facts);
}

static void dynamic_program_gives_class_machine_interpreter_and_build_id(void **state)
{
    (void)state;
    struct image image = image_new();
    struct rth_elf_facts facts;
    assert_int_equal(read_image(&image, &facts), 0);
    assert_int_equal(facts.class_bits, 64);
    assert_int_equal(facts.machine, EM_X86_64);
    assert_int_equal(facts.type, ET_DYN);
    assert_false(facts.big_endian);
    assert_true(facts.has_dynamic);
    assert_false(rth__elf_is_static(&facts));
    assert_string_equal(facts.interpreter, LOADER);
    assert_false(facts.has_rthooks_note);
    assert_int_equal(facts.build_id_bytes, sizeof(build_id));
    assert_memory_equal(facts.build_id, build_id, sizeof(build_id));
    char text[2 * RTH_ELF_BUILD_ID_BYTES + 1];
    assert_int_equal(rth__elf_build_id_text(&facts, text, sizeof(text)), 40);
    assert_string_equal(text, "deadbeef0102030405060708090a0b0c0d0e0fff");
}

static void build_id_text_that_does_not_fit_is_enospc(void **state)
{
    (void)state;
    struct image image = image_new();
    struct rth_elf_facts facts;
    assert_int_equal(read_image(&image, &facts), 0);
    char text[40];
    assert_int_equal(rth__elf_build_id_text(&facts, text, sizeof(text)), -ENOSPC);
}

static void program_without_interpreter_is_static(void **state)
{
    (void)state;
    struct image image = image_new();
    image.interpreter.p_type = PT_LOAD;
    struct rth_elf_facts facts;
    assert_int_equal(read_image(&image, &facts), 0);
    assert_true(rth__elf_is_static(&facts));
    assert_string_equal(facts.interpreter, "");
}

static void rthooks_note_is_found_by_its_whole_name(void **state)
{
    (void)state;
    struct image image = image_new();
    struct rth_elf_facts facts;
    (void)note_add(&image, 0, "rthooks", 8, 1, "1", 1);
    assert_int_equal(read_image(&image, &facts), 0);
    assert_true(facts.has_rthooks_note);
    assert_int_equal(facts.build_id_bytes, 0);

    (void)note_add(&image, 0, "rthookz", 8, 1, "1", 1);
    assert_int_equal(read_image(&image, &facts), 0);
    assert_false(facts.has_rthooks_note);
    /* No terminating NUL in the name: not ours. */
    (void)note_add(&image, 0, "rthooks", 7, 1, "1", 1);
    assert_int_equal(read_image(&image, &facts), 0);
    assert_false(facts.has_rthooks_note);
}

static void first_of_two_build_ids_counts(void **state)
{
    (void)state;
    struct image image = image_new();
    size_t at = note_add(&image, 0, "GNU", 4, NT_GNU_BUILD_ID, "\1\2", 2);
    (void)note_add(&image, at, "GNU", 4, NT_GNU_BUILD_ID, "\3\4\5", 3);
    struct rth_elf_facts facts;
    assert_int_equal(read_image(&image, &facts), 0);
    assert_int_equal(facts.build_id_bytes, 2);
    assert_int_equal(facts.build_id[1], 2);
}

static void notes_of_unknown_owner_and_type_are_skipped(void **state)
{
    (void)state;
    struct image image = image_new();
    size_t at = note_add(&image, 0, "a name longer than ours", 24, 99, "x", 1);
    at = note_add(&image, at, "", 0, NT_GNU_BUILD_ID, "no owner", 8);
    at = note_add(&image, at, "GNU", 4, NT_GNU_ABI_TAG, "0123456789abcdef", 16);
    (void)note_add(&image, at, "GNU", 4, NT_GNU_BUILD_ID, "\7", 1);
    struct rth_elf_facts facts;
    assert_int_equal(read_image(&image, &facts), 0);
    assert_int_equal(facts.build_id_bytes, 1);
    assert_int_equal(facts.build_id[0], 7);
}

static void build_id_that_is_too_long_or_empty_is_no_build_id(void **state)
{
    (void)state;
    struct image image = image_new();
    unsigned char long_id[RTH_ELF_BUILD_ID_BYTES + 1] = {1};
    struct rth_elf_facts facts;
    (void)note_add(&image, 0, "GNU", 4, NT_GNU_BUILD_ID, long_id, sizeof(long_id));
    assert_int_equal(read_image(&image, &facts), 0);
    assert_int_equal(facts.build_id_bytes, 0);
    (void)note_add(&image, 0, "GNU", 4, NT_GNU_BUILD_ID, "", 0);
    assert_int_equal(read_image(&image, &facts), 0);
    assert_int_equal(facts.build_id_bytes, 0);
}

static void text_and_empty_files_are_not_elf(void **state)
{
    (void)state;
    struct rth_elf_facts facts;
    assert_int_equal(read_bytes("", 0, &facts), -ENOEXEC);
    assert_int_equal(read_bytes("\177EL", 3, &facts), -ENOEXEC);
    assert_int_equal(read_bytes("#!/bin/sh\necho more than sixteen bytes\n", 39, &facts), -ENOEXEC);
}

static void every_truncation_is_an_error_and_writes_nothing(void **state)
{
    (void)state;
    struct image image = image_new();
    size_t used_bytes = image.notes.p_offset + image.notes.p_filesz;
    for (size_t size = 0; size < used_bytes; size++) {
        struct rth_elf_facts facts, before;
        memset(&facts, 0x5a, sizeof(facts));
        memcpy(&before, &facts, sizeof(facts));
        int error = read_bytes(&image, size, &facts);
        assert_int_equal(error, size < EI_NIDENT ? -ENOEXEC : -EBADMSG);
        assert_memory_equal(&facts, &before, sizeof(facts));
    }
    struct rth_elf_facts facts;
    assert_int_equal(read_bytes(&image, used_bytes, &facts), 0);
}

static void unknown_class_and_byte_order_are_refused(void **state)
{
    (void)state;
    struct rth_elf_facts facts;
    struct image image = image_new();
    image.header.e_ident[EI_CLASS] = 3;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.header.e_ident[EI_DATA] = 0;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
}

static void program_header_table_that_lies_is_refused(void **state)
{
    (void)state;
    struct rth_elf_facts facts;
    struct image image = image_new();
    image.header.e_phentsize = sizeof(Elf64_Phdr) - 1;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.header.e_phnum = 65535;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.header.e_phoff = UINT64_MAX - 8;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.header.e_phoff = sizeof(image) + 4096;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
}

static void interpreter_that_lies_is_refused(void **state)
{
    (void)state;
    struct rth_elf_facts facts;
    struct image image = image_new();
    image.interpreter.p_filesz = 1;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.interpreter.p_filesz = UINT64_MAX;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.interpreter.p_filesz = sizeof(LOADER) - 1; /* its NUL is outside */
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.interpreter.p_offset = UINT64_MAX;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.dynamic = image.interpreter; /* two of them */
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
}

static void note_that_lies_about_its_sizes_is_refused(void **state)
{
    (void)state;
    struct rth_elf_facts facts;
    struct image image = image_new();
    Elf64_Nhdr header = {.n_namesz = UINT32_MAX, .n_descsz = UINT32_MAX, .n_type = 1};
    memcpy(image.note_bytes, &header, sizeof(header));
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    header = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = UINT32_MAX, .n_type = NT_GNU_BUILD_ID};
    memcpy(image.note_bytes, &header, sizeof(header));
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
    image = image_new();
    image.notes.p_offset = UINT64_MAX - 4;
    assert_int_equal(read_image(&image, &facts), -EBADMSG);
}

static void notes_without_end_are_read_up_to_a_bound(void **state)
{
    (void)state;
    struct image image = image_new();
    /* A megabyte of empty notes, then more: bounded work, the other facts stay. */
    image.notes.p_filesz = 64u << 20;
    memset(image.note_bytes, 0, sizeof(image.note_bytes));
    RTH__AUTO_CLOSE int fd = file_of(&image, sizeof(image));
    assert_int_equal(ftruncate(fd, 128 << 20), 0);
    struct rth_elf_facts facts;
    assert_int_equal(rth__elf_facts_read(fd, &facts), 0);
    assert_string_equal(facts.interpreter, LOADER);
    assert_int_equal(facts.build_id_bytes, 0);
}

static void thirty_two_bit_program_is_read_and_named(void **state)
{
    (void)state;
    struct {
        Elf32_Ehdr header;
        Elf32_Phdr interpreter;
        char text[sizeof("/lib/ld-linux.so.2")];
    } image = {
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB},
                .e_type = ET_EXEC,
                .e_machine = EM_386,
                .e_phoff = sizeof(Elf32_Ehdr),
                .e_phentsize = sizeof(Elf32_Phdr),
                .e_phnum = 1,
            },
        .interpreter =
            {
                .p_type = PT_INTERP,
                .p_offset = sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
                .p_filesz = sizeof("/lib/ld-linux.so.2"),
            },
        .text = "/lib/ld-linux.so.2",
    };
    struct rth_elf_facts facts;
    assert_int_equal(read_bytes(&image, sizeof(image), &facts), 0);
    assert_int_equal(facts.class_bits, 32);
    assert_string_equal(facts.interpreter, "/lib/ld-linux.so.2");
    assert_string_equal(rth__elf_machine_name(facts.machine), "i386");
    assert_string_equal(rth__elf_machine_name(0xfefe), "unknown");
}

static void big_endian_header_is_read_in_its_own_order(void **state)
{
    (void)state;
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2MSB},
        .e_type = __builtin_bswap16(ET_EXEC),
        .e_machine = __builtin_bswap16(EM_S390),
    };
    struct rth_elf_facts facts;
    assert_int_equal(read_bytes(&header, sizeof(header), &facts), 0);
    assert_true(facts.big_endian);
    assert_int_equal(facts.type, ET_EXEC);
    assert_string_equal(rth__elf_machine_name(facts.machine), "s390");
}

static void own_executable_is_readable_and_its_offset_stays(void **state)
{
    (void)state;
    RTH__AUTO_CLOSE int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct rth_elf_facts facts;
    assert_int_equal(rth__elf_facts_read(fd, &facts), 0);
    assert_int_equal(facts.class_bits, rth__elf_own_class_bits());
    assert_int_equal(facts.machine, rth__elf_own_machine());
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
}

static void bad_descriptor_gives_its_errno(void **state)
{
    (void)state;
    struct rth_elf_facts facts;
    assert_int_equal(rth__elf_facts_read(-1, &facts), -EBADF);
    RTH__AUTO_CLOSE int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(rth__elf_facts_read(directory, &facts), -EISDIR);
}

RTH_TEST_MAIN(cmocka_unit_test(dynamic_program_gives_class_machine_interpreter_and_build_id),
              cmocka_unit_test(build_id_text_that_does_not_fit_is_enospc),
              cmocka_unit_test(program_without_interpreter_is_static),
              cmocka_unit_test(rthooks_note_is_found_by_its_whole_name),
              cmocka_unit_test(first_of_two_build_ids_counts),
              cmocka_unit_test(notes_of_unknown_owner_and_type_are_skipped),
              cmocka_unit_test(build_id_that_is_too_long_or_empty_is_no_build_id),
              cmocka_unit_test(text_and_empty_files_are_not_elf),
              cmocka_unit_test(every_truncation_is_an_error_and_writes_nothing),
              cmocka_unit_test(unknown_class_and_byte_order_are_refused),
              cmocka_unit_test(program_header_table_that_lies_is_refused),
              cmocka_unit_test(interpreter_that_lies_is_refused),
              cmocka_unit_test(note_that_lies_about_its_sizes_is_refused),
              cmocka_unit_test(notes_without_end_are_read_up_to_a_bound),
              cmocka_unit_test(thirty_two_bit_program_is_read_and_named),
              cmocka_unit_test(big_endian_header_is_read_in_its_own_order),
              cmocka_unit_test(own_executable_is_readable_and_its_offset_stays),
              cmocka_unit_test(bad_descriptor_gives_its_errno))
