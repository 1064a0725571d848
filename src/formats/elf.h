/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_ELF_H
#define RTH_FORMATS_ELF_H

/*
 * Facts of an ELF file, read with pread alone: no allocation, no mapping (a file that shrinks
 * under a mapping is a SIGBUS), no libelf. Both classes and both byte orders are understood, so
 * that a foreign program is named and not just refused. Input is hostile: every offset and size
 * is checked, and work is bounded whatever the file says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_ELF_INTERPRETER_BYTES 256
#define RTH_ELF_BUILD_ID_BYTES    64

/* Name of the note in a program that has librthooks linked in statically. */
#define RTH_ELF_NOTE_NAME "rthooks"

struct rth_elf_facts {
    uint8_t class_bits; /* 32 or 64 */
    bool big_endian;
    uint16_t type;    /* ET_EXEC, ET_DYN, … */
    uint16_t machine; /* EM_X86_64, … */
    bool has_dynamic; /* PT_DYNAMIC */
    bool has_interpreter;
    char interpreter[RTH_ELF_INTERPRETER_BYTES]; /* PT_INTERP, "" without one */
    uint8_t build_id_bytes;                      /* 0: none */
    uint8_t build_id[RTH_ELF_BUILD_ID_BYTES];    /* NT_GNU_BUILD_ID */
    bool has_rthooks_note;
};

/*
 * Reads the facts of the file behind fd; its offset does not move.
 * Returns 0; -ENOEXEC when it is no ELF file; -EBADMSG when it is a broken one; another negative
 * errno from pread.
 */
int rth__elf_facts_read(int fd, struct rth_elf_facts *ret_facts);

/* Whether the kernel starts the program without a dynamic loader: nothing can be preloaded. */
static inline bool rth__elf_is_static(const struct rth_elf_facts *facts)
{
    return !facts->has_interpreter;
}

/* The build-id as lower-case hexadecimal, "" when there is none. text: 2 * RTH_ELF_BUILD_ID_BYTES
 * + 1 bytes hold any. Returns its length; -ENOSPC when it does not fit. */
int rth__elf_build_id_text(const struct rth_elf_facts *facts, char *ret_text, size_t text_size);

/* Text of the ".comment" section, "GCC: (Debian 12.2.0-14) 12.2.0", cut at comment_size. Returns
 * its length; -ENOENT when there is none; -ENOTSUP for another class or byte order; -ENOEXEC or
 * -EBADMSG for a file that is no ELF file or a broken one. */
int rth__elf_comment_read(int fd, char *ret_comment, size_t comment_size);

/* "x86-64", "i386", "aarch64"…; "unknown" otherwise. Static text. */
const char *rth__elf_machine_name(uint16_t machine);

/* The class and machine this code was compiled for. */
uint8_t rth__elf_own_class_bits(void);
uint16_t rth__elf_own_machine(void);

#endif /* RTH_FORMATS_ELF_H */
