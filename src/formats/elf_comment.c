/* SPDX-License-Identifier: MIT */
/*
 * The ".comment" section: which compiler built the file, where it was not stripped off. 64-bit
 * files of our own byte order; others answer -ENOTSUP.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "formats/elf.h"

#define SECTIONS_MAX 256

static int pread_exact(int fd, void *buffer, size_t size_bytes, uint64_t offset)
{
    if (offset > INT64_MAX)
        return -EBADMSG;
    ssize_t got = pread(fd, buffer, size_bytes, (off_t)offset);
    if (got < 0)
        return -errno;
    return (size_t)got == size_bytes ? 0 : -EBADMSG;
}

static int read_header(int fd, Elf64_Ehdr *ret_header)
{
    Elf64_Ehdr header;
    int error = pread_exact(fd, &header, sizeof(header), 0);
    if (error != 0)
        return error;
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return -ENOEXEC;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] !=
            (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
        return -ENOTSUP;
    if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum > SECTIONS_MAX ||
        header.e_shstrndx >= header.e_shnum)
        return -EBADMSG;
    *ret_header = header;
    return 0;
}

static int read_section(int fd, const Elf64_Ehdr *header, unsigned index, Elf64_Shdr *ret_section)
{
    uint64_t offset;
    if (__builtin_add_overflow(header->e_shoff, (uint64_t)index * sizeof(Elf64_Shdr), &offset))
        return -EBADMSG;
    return pread_exact(fd, ret_section, sizeof(*ret_section), offset);
}

int rth__elf_comment_read(int fd, char *ret_comment, size_t comment_size)
{
    static const char wanted[] = ".comment";
    Elf64_Ehdr header;
    Elf64_Shdr names, section;
    int error = read_header(fd, &header);
    if (error == 0)
        error = read_section(fd, &header, header.e_shstrndx, &names);
    for (unsigned i = 0; error == 0 && i < header.e_shnum; i++) {
        char name[sizeof(wanted)];
        uint64_t name_offset;
        error = read_section(fd, &header, i, &section);
        if (error != 0 || section.sh_name >= names.sh_size ||
            __builtin_add_overflow(names.sh_offset, section.sh_name, &name_offset) ||
            pread_exact(fd, name, sizeof(name), name_offset) != 0 ||
            memcmp(name, wanted, sizeof(wanted)) != 0)
            continue;
        size_t length = section.sh_size < comment_size - 1 ? section.sh_size : comment_size - 1;
        error = pread_exact(fd, ret_comment, length, section.sh_offset);
        if (error != 0)
            return error;
        /* Several compilers are separated by NUL: the first is the one that counts. */
        ret_comment[length] = '\0';
        return (int)strlen(ret_comment);
    }
    return error != 0 ? error : -ENOENT;
}
