/* SPDX-License-Identifier: MIT */
/*
 * Symbol tables by section headers, and the stream of symbols itself. The two classes differ in
 * the size and the order of fields alone: each header is taken into the 64-bit struct of <elf.h>
 * once, and everything behind that knows one form.
 */
#include "formats/elf_symbols.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "os/rawsys.h"

#define OWN_DATA   (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)
#define OTHER_DATA (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2MSB : ELFDATA2LSB)

static int read_fd(const struct rth_elf_source *source, uint64_t offset, void *ret_bytes,
                   size_t size_bytes)
{
    uint8_t *out = ret_bytes;
    if (size_bytes > INT64_MAX || offset > (uint64_t)INT64_MAX - size_bytes)
        return -EBADMSG;
    while (size_bytes > 0) {
        long got = RTH__RAW(SYS_pread64, source->fd, out, size_bytes, offset);
        if (got == -EINTR)
            continue;
        if (got < 0)
            return (int)got;
        if (got == 0)
            return -EBADMSG;
        out += got;
        offset += (uint64_t)got;
        size_bytes -= (size_t)got;
    }
    return 0;
}

struct rth_elf_source rth__elf_source_of_fd(int fd)
{
    return (struct rth_elf_source){.read = read_fd, .fd = fd};
}

/* ---- headers ------------------------------------------------------------------------------- */

/* The file header, either class in the 64-bit form. */
static int read_header(const struct rth_elf_source *source, Elf64_Ehdr *ret_header)
{
    Elf64_Ehdr header;
    int error = source->read(source, 0, header.e_ident, EI_NIDENT);
    if (error == -EBADMSG || (error == 0 && memcmp(header.e_ident, ELFMAG, SELFMAG) != 0))
        return -ENOEXEC;
    if (error != 0)
        return error;
    if (header.e_ident[EI_DATA] != OWN_DATA)
        return header.e_ident[EI_DATA] == OTHER_DATA ? -ENOTSUP : -EBADMSG;
    if (header.e_ident[EI_CLASS] == ELFCLASS64) {
        error = source->read(source, 0, &header, sizeof(header));
        if (error == 0)
            *ret_header = header;
        return error;
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS32)
        return -EBADMSG;
    Elf32_Ehdr narrow;
    error = source->read(source, 0, &narrow, sizeof(narrow));
    if (error != 0)
        return error;
    header.e_shoff = narrow.e_shoff;
    header.e_shentsize = narrow.e_shentsize;
    header.e_shnum = narrow.e_shnum;
    *ret_header = header;
    return 0;
}

static int read_section(const struct rth_elf_source *source, const Elf64_Ehdr *header,
                        uint64_t index, Elf64_Shdr *ret_section)
{
    bool is_narrow = header->e_ident[EI_CLASS] == ELFCLASS32;
    size_t entry_bytes = is_narrow ? sizeof(Elf32_Shdr) : sizeof(Elf64_Shdr);
    uint64_t offset;
    if (__builtin_add_overflow(header->e_shoff, index * entry_bytes, &offset))
        return -EBADMSG;
    if (!is_narrow)
        return source->read(source, offset, ret_section, sizeof(*ret_section));
    Elf32_Shdr narrow;
    int error = source->read(source, offset, &narrow, sizeof(narrow));
    if (error == 0)
        *ret_section = (Elf64_Shdr){
            .sh_type = narrow.sh_type,
            .sh_flags = narrow.sh_flags,
            .sh_addr = narrow.sh_addr,
            .sh_offset = narrow.sh_offset,
            .sh_size = narrow.sh_size,
            .sh_link = narrow.sh_link,
            .sh_entsize = narrow.sh_entsize,
        };
    return error;
}

/* e_shnum, or what it points at when it does not fit there. */
static int count_sections(const struct rth_elf_source *source, const Elf64_Ehdr *header,
                          uint64_t *ret_count)
{
    bool is_narrow = header->e_ident[EI_CLASS] == ELFCLASS32;
    if (header->e_shoff == 0)
        return -ENOENT;
    if (header->e_shentsize != (is_narrow ? sizeof(Elf32_Shdr) : sizeof(Elf64_Shdr)))
        return -EBADMSG;
    uint64_t count = header->e_shnum;
    if (count == 0) {
        Elf64_Shdr first;
        int error = read_section(source, header, 0, &first);
        if (error != 0)
            return error;
        count = first.sh_size;
    }
    if (count > RTH_ELF_SECTIONS_MAX)
        return -E2BIG;
    *ret_count = count;
    return 0;
}

/* ---- tables -------------------------------------------------------------------------------- */

static size_t symbol_bytes(const struct rth_elf_symbol_table *table)
{
    return table->class_bits == 32 ? sizeof(Elf32_Sym) : sizeof(Elf64_Sym);
}

static int add_code_range(struct rth_elf_symbol_table *table, const Elf64_Shdr *section)
{
    uint64_t limit;
    if ((section->sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) != (SHF_ALLOC | SHF_EXECINSTR) ||
        section->sh_size == 0)
        return 0;
    if (__builtin_add_overflow(section->sh_addr, section->sh_size, &limit))
        return -EBADMSG;
    if (table->code_range_count == RTH_ELF_CODE_RANGES_MAX)
        return -E2BIG;
    table->code_ranges[table->code_range_count++] =
        (struct rth_elf_code_range){section->sh_addr, limit};
    return 0;
}

/* Walks the sections once: collects the ranges of code and the symbol section to use. */
static int scan_sections(const struct rth_elf_source *source, const Elf64_Ehdr *header,
                         uint64_t count, struct rth_elf_symbol_table *table,
                         Elf64_Shdr *ret_symbols)
{
    Elf64_Shdr section, chosen = {.sh_type = SHT_NULL};
    for (uint64_t i = 0; i < count; i++) {
        int error = read_section(source, header, i, &section);
        if (error == 0)
            error = add_code_range(table, &section);
        if (error != 0)
            return error;
        /* A table of nothing but the obligatory null symbol says nothing. */
        bool is_full = section.sh_size > symbol_bytes(table);
        if ((section.sh_type == SHT_SYMTAB && is_full && chosen.sh_type != SHT_SYMTAB) ||
            (section.sh_type == SHT_DYNSYM && is_full && chosen.sh_type == SHT_NULL))
            chosen = section;
    }
    if (chosen.sh_type == SHT_NULL)
        return -ENOENT;
    *ret_symbols = chosen;
    return 0;
}

int rth__elf_symbol_table_open(const struct rth_elf_source *source,
                               struct rth_elf_symbol_table *ret_table)
{
    Elf64_Ehdr header;
    Elf64_Shdr symbols, strings;
    uint64_t count;
    struct rth_elf_symbol_table table = {.source = *source};
    int error = read_header(source, &header);
    if (error == 0)
        error = count_sections(source, &header, &count);
    if (error != 0)
        return error;
    table.class_bits = header.e_ident[EI_CLASS] == ELFCLASS32 ? 32 : 64;
    error = scan_sections(source, &header, count, &table, &symbols);
    if (error != 0)
        return error;
    if (symbols.sh_entsize != symbol_bytes(&table) || symbols.sh_link >= count)
        return -EBADMSG;
    error = read_section(source, &header, symbols.sh_link, &strings);
    if (error != 0)
        return error;
    if (strings.sh_type != SHT_STRTAB)
        return -EBADMSG;
    table.exported_only = symbols.sh_type == SHT_DYNSYM;
    table.symbols_offset = symbols.sh_offset;
    table.symbol_count = symbols.sh_size / symbol_bytes(&table);
    table.strings_offset = strings.sh_offset;
    table.strings_bytes = strings.sh_size;
    if (table.symbol_count > RTH_ELF_SYMBOLS_MAX)
        return -E2BIG;
    *ret_table = table;
    return 0;
}

const struct rth_elf_code_range *rth__elf_code_range_find(const struct rth_elf_symbol_table *table,
                                                          uint64_t vaddr)
{
    for (unsigned i = 0; i < table->code_range_count; i++) {
        if (vaddr >= table->code_ranges[i].start && vaddr < table->code_ranges[i].limit)
            return &table->code_ranges[i];
    }
    return NULL;
}

/* ---- symbols ------------------------------------------------------------------------------- */

void rth__elf_symbol_cursor_init(struct rth_elf_symbol_cursor *cursor,
                                 const struct rth_elf_symbol_table *table, void *buffer,
                                 size_t capacity_bytes)
{
    *cursor = (struct rth_elf_symbol_cursor){
        .table = table, .buffer = buffer, .capacity_bytes = capacity_bytes};
}

static int fill(struct rth_elf_symbol_cursor *cursor)
{
    const struct rth_elf_symbol_table *table = cursor->table;
    size_t entry_bytes = symbol_bytes(table);
    uint64_t left = table->symbol_count - cursor->next_index;
    uint64_t fits = cursor->capacity_bytes / entry_bytes;
    uint64_t count = left < fits ? left : fits;
    uint64_t offset;
    if (count > UINT_MAX)
        count = UINT_MAX;
    if (count == 0)
        return -EINVAL; /* the caller's buffer holds no symbol */
    if (__builtin_add_overflow(table->symbols_offset, cursor->next_index * entry_bytes, &offset))
        return -EBADMSG;
    int error =
        table->source.read(&table->source, offset, cursor->buffer, (size_t)count * entry_bytes);
    if (error != 0)
        return error;
    cursor->buffered = (unsigned)count;
    cursor->taken = 0;
    return 0;
}

int rth__elf_symbol_next(struct rth_elf_symbol_cursor *cursor, struct rth_elf_symbol *ret_symbol)
{
    if (cursor->next_index >= cursor->table->symbol_count)
        return 0;
    if (cursor->taken == cursor->buffered) {
        int error = fill(cursor);
        if (error != 0)
            return error;
    }
    if (cursor->table->class_bits == 32) {
        Elf32_Sym narrow;
        memcpy(&narrow, cursor->buffer + cursor->taken * sizeof(narrow), sizeof(narrow));
        *ret_symbol = (struct rth_elf_symbol){
            .value = narrow.st_value,
            .size_bytes = narrow.st_size,
            .name_offset = narrow.st_name,
            .section_index = narrow.st_shndx,
            .type = ELF32_ST_TYPE(narrow.st_info),
            .binding = ELF32_ST_BIND(narrow.st_info),
        };
    } else {
        Elf64_Sym wide;
        memcpy(&wide, cursor->buffer + cursor->taken * sizeof(wide), sizeof(wide));
        *ret_symbol = (struct rth_elf_symbol){
            .value = wide.st_value,
            .size_bytes = wide.st_size,
            .name_offset = wide.st_name,
            .section_index = wide.st_shndx,
            .type = ELF64_ST_TYPE(wide.st_info),
            .binding = ELF64_ST_BIND(wide.st_info),
        };
    }
    cursor->taken++;
    cursor->next_index++;
    return 1;
}

bool rth__elf_symbol_is_code(const struct rth_elf_symbol_table *table,
                             const struct rth_elf_symbol *symbol)
{
    if (symbol->type != STT_FUNC && symbol->type != STT_GNU_IFUNC && symbol->type != STT_NOTYPE)
        return false;
    if (symbol->name_offset == 0 || symbol->section_index == SHN_UNDEF ||
        (symbol->section_index >= SHN_LORESERVE && symbol->section_index != SHN_XINDEX))
        return false;
    return rth__elf_code_range_find(table, symbol->value) != NULL;
}

int rth__elf_strings_read(const struct rth_elf_symbol_table *table, uint64_t offset, char *ret_text,
                          size_t capacity_bytes)
{
    if (offset >= table->strings_bytes || capacity_bytes > INT_MAX)
        return -EBADMSG;
    uint64_t left_bytes = table->strings_bytes - offset;
    size_t size_bytes = left_bytes < capacity_bytes ? (size_t)left_bytes : capacity_bytes;
    uint64_t at;
    if (__builtin_add_overflow(table->strings_offset, offset, &at))
        return -EBADMSG;
    int error = table->source.read(&table->source, at, ret_text, size_bytes);
    return error != 0 ? error : (int)size_bytes;
}
