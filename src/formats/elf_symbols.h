/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_ELF_SYMBOLS_H
#define RTH_FORMATS_ELF_SYMBOLS_H

/*
 * Function symbols of an ELF file, streamed through the caller's buffer: no allocation, no mapping
 * (a file that shrinks under a mapping is a SIGBUS), no libelf. Two ways in: by section headers,
 * which is how a file has its tables, and by PT_DYNAMIC, which is all that is left of them in a
 * loaded image. Both classes, our own byte order. Input is hostile: every offset and size is
 * checked and work is bounded whatever it says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the bytes come from. */
struct rth_elf_source {
    /* Reads exactly size_bytes at offset: 0; -EBADMSG beyond the end; another negative errno. */
    int (*read)(const struct rth_elf_source *source, uint64_t offset, void *ret_bytes,
                size_t size_bytes);
    int fd; /* of a file */
    void *userdata;
};

/* The file behind fd, by pread: its offset does not move. The fd stays the caller's. */
struct rth_elf_source rth__elf_source_of_fd(int fd);

/* Limits on what a file may claim: beyond them -E2BIG. */
#define RTH_ELF_SECTIONS_MAX    65536u
#define RTH_ELF_SYMBOLS_MAX     (UINT64_C(1) << 24)
#define RTH_ELF_CODE_RANGES_MAX 64u

/* Addresses that hold code: an executable section, or segment where there are no sections. */
struct rth_elf_code_range {
    uint64_t start, limit;
};

struct rth_elf_symbol_table {
    struct rth_elf_source source;
    uint8_t class_bits;
    bool exported_only; /* .dynsym: functions of file scope are missing */
    uint64_t symbols_offset, symbol_count;
    uint64_t strings_offset, strings_bytes;
    unsigned code_range_count;
    struct rth_elf_code_range code_ranges[RTH_ELF_CODE_RANGES_MAX];
};

/*
 * Finds .symtab, else .dynsym. Returns 0; -ENOENT when the file has neither (or no section
 * headers); -ENOEXEC when it is no ELF file; -ENOTSUP for the other byte order; -EBADMSG for a
 * broken one; -E2BIG; another negative errno from the source.
 */
int rth__elf_symbol_table_open(const struct rth_elf_source *source,
                               struct rth_elf_symbol_table *ret_table);
/*
 * Finds the dynamic symbols of an image: offsets of the source are vaddrs, image_vaddr_low is where
 * the ELF header is. load_bias: the dynamic loader has relocated some of the addresses in there.
 * Returns as above.
 */
int rth__elf_symbol_table_open_image(const struct rth_elf_source *source, uint64_t image_vaddr_low,
                                     uint64_t image_vaddr_high, uint64_t load_bias,
                                     struct rth_elf_symbol_table *ret_table);

/* The range that holds vaddr, NULL when no code is there. */
const struct rth_elf_code_range *rth__elf_code_range_find(const struct rth_elf_symbol_table *table,
                                                          uint64_t vaddr);

struct rth_elf_symbol {
    uint64_t value, size_bytes;
    uint32_t name_offset; /* in the strings; 0: no name */
    uint16_t section_index;
    uint8_t type, binding; /* STT_*, STB_* */
};

/* Reads symbols in order. */
struct rth_elf_symbol_cursor {
    const struct rth_elf_symbol_table *table;
    uint8_t *buffer;
    size_t capacity_bytes; /* at least 24 */
    uint64_t next_index;   /* of the symbol that _next gives */
    unsigned buffered, taken;
};
void rth__elf_symbol_cursor_init(struct rth_elf_symbol_cursor *cursor,
                                 const struct rth_elf_symbol_table *table, void *buffer,
                                 size_t capacity_bytes);
/* 1 with the symbol, 0 at the end, a negative errno. */
int rth__elf_symbol_next(struct rth_elf_symbol_cursor *cursor, struct rth_elf_symbol *ret_symbol);

/* Whether a symbol names code: a function, an indirect one, or a label (functions written in
 * assembly often have neither type nor size), defined, with a name, in a range of code. */
bool rth__elf_symbol_is_code(const struct rth_elf_symbol_table *table,
                             const struct rth_elf_symbol *symbol);

/*
 * Reads the strings from offset on into ret_text, as many as there are up to capacity_bytes.
 * Returns the number of bytes; -EBADMSG where offset or the strings lie outside; another errno.
 */
int rth__elf_strings_read(const struct rth_elf_symbol_table *table, uint64_t offset, char *ret_text,
                          size_t capacity_bytes);

#endif /* RTH_FORMATS_ELF_SYMBOLS_H */
