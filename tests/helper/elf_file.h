/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_ELF_FILE_H
#define RTH_TESTS_HELPER_ELF_FILE_H

/* A small ELF file with symbols, made by hand, so that each field of it can be spoiled. */

#include "helper/unit.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ELF_FILE_MAYBE      __attribute__((unused))
#define ELF_FILE_SYMBOLS    64
#define ELF_FILE_TEXT_START 0x1000u
#define ELF_FILE_TEXT_LIMIT 0x9000u
#define ELF_FILE_INIT_START 0xa000u
#define ELF_FILE_INIT_LIMIT 0xa100u
#define ELF_FILE_DATA_START 0xb000u
#define ELF_FILE_BUILD_ID   20

enum { TEXT = 1, INIT, DATA, SYMTAB, STRTAB, DYNSYM, DYNSTR, SECTIONS };

struct elf_file {
    Elf64_Ehdr header;
    Elf64_Phdr note_segment;
    struct {
        Elf64_Nhdr header;
        char name[4];
        unsigned char build_id[ELF_FILE_BUILD_ID];
    } note;
    Elf64_Shdr section[SECTIONS];
    Elf64_Sym symtab[ELF_FILE_SYMBOLS], dynsym[ELF_FILE_SYMBOLS];
    char strtab[4096], dynstr[4096];
};

ELF_FILE_MAYBE static const Elf64_Shdr elf_file_sections[SECTIONS] = {
    [TEXT] = {.sh_type = SHT_PROGBITS,
              .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
              .sh_addr = ELF_FILE_TEXT_START,
              .sh_size = ELF_FILE_TEXT_LIMIT - ELF_FILE_TEXT_START},
    [INIT] = {.sh_type = SHT_PROGBITS,
              .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
              .sh_addr = ELF_FILE_INIT_START,
              .sh_size = ELF_FILE_INIT_LIMIT - ELF_FILE_INIT_START},
    [DATA] = {.sh_type = SHT_PROGBITS,
              .sh_flags = SHF_ALLOC | SHF_WRITE,
              .sh_addr = ELF_FILE_DATA_START,
              .sh_size = 0x1000},
    [SYMTAB] = {.sh_type = SHT_SYMTAB,
                .sh_offset = offsetof(struct elf_file, symtab),
                .sh_size = sizeof(Elf64_Sym),
                .sh_link = STRTAB,
                .sh_entsize = sizeof(Elf64_Sym)},
    [STRTAB] = {.sh_type = SHT_STRTAB,
                .sh_offset = offsetof(struct elf_file, strtab),
                .sh_size = 1},
    [DYNSYM] = {.sh_type = SHT_DYNSYM,
                .sh_offset = offsetof(struct elf_file, dynsym),
                .sh_size = sizeof(Elf64_Sym),
                .sh_link = DYNSTR,
                .sh_entsize = sizeof(Elf64_Sym)},
    [DYNSTR] = {.sh_type = SHT_STRTAB,
                .sh_offset = offsetof(struct elf_file, dynstr),
                .sh_size = 1},
};

ELF_FILE_MAYBE static struct elf_file elf_file_new(void)
{
    struct elf_file file = {
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                            EV_CURRENT},
                .e_type = ET_DYN,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phoff = offsetof(struct elf_file, note_segment),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 1,
                .e_shoff = offsetof(struct elf_file, section),
                .e_shentsize = sizeof(Elf64_Shdr),
                .e_shnum = SECTIONS,
            },
        .note_segment =
            {
                .p_type = PT_NOTE,
                .p_offset = offsetof(struct elf_file, note),
                .p_filesz = sizeof(file.note),
                .p_align = 4,
            },
        .note =
            {
                .header = {.n_namesz = 4, .n_descsz = ELF_FILE_BUILD_ID, .n_type = NT_GNU_BUILD_ID},
                .name = "GNU",
                .build_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
            },
    };
    memcpy(file.section, elf_file_sections, sizeof(elf_file_sections));
    return file;
}

/* table: SYMTAB or DYNSYM. */
ELF_FILE_MAYBE static Elf64_Sym *elf_file_add(struct elf_file *file, int table, const char *name,
                                              uint64_t value, uint64_t size, unsigned type,
                                              unsigned binding)
{
    Elf64_Sym *symbols = table == SYMTAB ? file->symtab : file->dynsym;
    char *strings = table == SYMTAB ? file->strtab : file->dynstr;
    size_t index = file->section[table].sh_size / sizeof(Elf64_Sym);
    size_t at = file->section[table + 1].sh_size;
    assert_true(index < ELF_FILE_SYMBOLS && at + strlen(name) + 1 <= sizeof(file->strtab));
    memcpy(strings + at, name, strlen(name) + 1);
    file->section[table + 1].sh_size = at + strlen(name) + 1;
    file->section[table].sh_size += sizeof(Elf64_Sym);
    symbols[index] = (Elf64_Sym){
        .st_name = (Elf64_Word)at,
        .st_info = ELF64_ST_INFO(binding, type),
        .st_shndx = value >= ELF_FILE_DATA_START   ? DATA
                    : value >= ELF_FILE_INIT_START ? INIT
                                                   : TEXT,
        .st_value = value,
        .st_size = size,
    };
    return &symbols[index];
}

ELF_FILE_MAYBE static Elf64_Sym *elf_file_function(struct elf_file *file, const char *name,
                                                   uint64_t value, uint64_t size)
{
    return elf_file_add(file, SYMTAB, name, value, size, STT_FUNC, STB_GLOBAL);
}

/* The bytes behind a descriptor without a name. */
ELF_FILE_MAYBE static int elf_file_fd(const void *bytes, size_t size_bytes)
{
    int fd = memfd_create("elf", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size_bytes), size_bytes);
    return fd;
}

ELF_FILE_MAYBE static void elf_file_save(const void *bytes, size_t size_bytes, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size_bytes), size_bytes);
    (void)close(fd);
}

#endif /* RTH_TESTS_HELPER_ELF_FILE_H */
