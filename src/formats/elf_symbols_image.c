/* SPDX-License-Identifier: MIT */
/*
 * The dynamic symbol table of a loaded image, by PT_DYNAMIC: for the vDSO, which has no file, and
 * for modules whose file can't be opened. An image has no section headers, so the ranges of code
 * are its executable segments, and the number of symbols comes out of the hash table that the
 * dynamic loader looks names up in. 64-bit images.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "formats/elf_symbols.h"

#define SEGMENTS_MAX       128u
#define DYNAMIC_MAX        4096u
#define HASH_BUCKETS_MAX   (1u << 22)
#define HASH_PIECE_ENTRIES 256u

struct image {
    const struct rth_elf_source *source;
    uint64_t low, high, load_bias;
    uint64_t dynamic_vaddr, dynamic_bytes;
    uint64_t symbols, strings, strings_bytes, symbol_bytes, hash, gnu_hash; /* 0: not there */
};

static int read_at(const struct image *image, uint64_t vaddr, void *ret_bytes, size_t size_bytes)
{
    if (vaddr < image->low || vaddr >= image->high || size_bytes > image->high - vaddr)
        return -EBADMSG;
    return image->source->read(image->source, vaddr, ret_bytes, size_bytes);
}

/* An address of the dynamic section as a vaddr: glibc relocates them in place, other loaders and
 * the kernel (for the vDSO) do not. */
static uint64_t vaddr_of(const struct image *image, uint64_t address)
{
    uint64_t unbiased = address - image->load_bias;
    return unbiased >= image->low && unbiased < image->high ? unbiased : address;
}

static int read_segments(struct image *image, struct rth_elf_symbol_table *table)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    int error = read_at(image, image->low, &header, sizeof(header));
    if (error != 0)
        return error;
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return -ENOEXEC;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] !=
            (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
        return -ENOTSUP;
    if (header.e_phentsize != sizeof(segment) || header.e_phnum > SEGMENTS_MAX)
        return -EBADMSG;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        uint64_t at, limit;
        if (__builtin_add_overflow(image->low, header.e_phoff, &at) ||
            __builtin_add_overflow(at, i * sizeof(segment), &at))
            return -EBADMSG;
        error = read_at(image, at, &segment, sizeof(segment));
        if (error != 0)
            return error;
        if (segment.p_type == PT_DYNAMIC) {
            image->dynamic_vaddr = segment.p_vaddr;
            image->dynamic_bytes = segment.p_memsz;
        }
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0)
            continue;
        if (__builtin_add_overflow(segment.p_vaddr, segment.p_memsz, &limit) ||
            table->code_range_count == RTH_ELF_CODE_RANGES_MAX)
            return -EBADMSG;
        table->code_ranges[table->code_range_count++] =
            (struct rth_elf_code_range){segment.p_vaddr, limit};
    }
    return image->dynamic_vaddr != 0 ? 0 : -ENOENT;
}

static int read_dynamic(struct image *image)
{
    uint64_t count = image->dynamic_bytes / sizeof(Elf64_Dyn);
    for (uint64_t i = 0; i < count && i < DYNAMIC_MAX; i++) {
        Elf64_Dyn entry;
        uint64_t at;
        if (__builtin_add_overflow(image->dynamic_vaddr, i * sizeof(entry), &at))
            return -EBADMSG;
        int error = read_at(image, at, &entry, sizeof(entry));
        if (error != 0)
            return error;
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_SYMTAB)
            image->symbols = vaddr_of(image, entry.d_un.d_ptr);
        else if (entry.d_tag == DT_STRTAB)
            image->strings = vaddr_of(image, entry.d_un.d_ptr);
        else if (entry.d_tag == DT_STRSZ)
            image->strings_bytes = entry.d_un.d_val;
        else if (entry.d_tag == DT_SYMENT)
            image->symbol_bytes = entry.d_un.d_val;
        else if (entry.d_tag == DT_HASH)
            image->hash = vaddr_of(image, entry.d_un.d_ptr);
        else if (entry.d_tag == DT_GNU_HASH)
            image->gnu_hash = vaddr_of(image, entry.d_un.d_ptr);
    }
    if (image->symbols == 0 || image->strings == 0 || (image->hash == 0 && image->gnu_hash == 0))
        return -ENOENT;
    return image->symbol_bytes == sizeof(Elf64_Sym) ? 0 : -EBADMSG;
}

/* The last chain of the GNU hash table ends with the last symbol: its entry has bit 0 set. */
static int follow_chain(const struct image *image, uint64_t chains, uint64_t first_hashed,
                        uint64_t index, uint64_t *ret_count)
{
    for (; index < RTH_ELF_SYMBOLS_MAX; index++) {
        uint32_t hash;
        int error =
            read_at(image, chains + (index - first_hashed) * sizeof(hash), &hash, sizeof(hash));
        if (error != 0)
            return error;
        if ((hash & 1) != 0) {
            *ret_count = index + 1;
            return 0;
        }
    }
    return -E2BIG;
}

static int count_by_gnu_hash(const struct image *image, uint64_t *ret_count)
{
    struct {
        uint32_t buckets, first_hashed, bloom_words, bloom_shift;
    } head;
    int error = read_at(image, image->gnu_hash, &head, sizeof(head));
    if (error != 0)
        return error;
    if (head.buckets > HASH_BUCKETS_MAX)
        return -E2BIG;
    uint64_t buckets = image->gnu_hash + sizeof(head) + head.bloom_words * sizeof(uint64_t);
    uint32_t last = 0;
    for (uint32_t i = 0; i < head.buckets; i += HASH_PIECE_ENTRIES) {
        uint32_t piece[HASH_PIECE_ENTRIES];
        uint32_t count =
            head.buckets - i < HASH_PIECE_ENTRIES ? head.buckets - i : HASH_PIECE_ENTRIES;
        error = read_at(image, buckets + i * sizeof(uint32_t), piece, count * sizeof(uint32_t));
        if (error != 0)
            return error;
        for (uint32_t k = 0; k < count; k++)
            last = piece[k] > last ? piece[k] : last;
    }
    if (last < head.first_hashed) { /* nothing is exported */
        *ret_count = head.first_hashed;
        return 0;
    }
    return follow_chain(image, buckets + head.buckets * sizeof(uint32_t), head.first_hashed, last,
                        ret_count);
}

static int count_symbols(const struct image *image, uint64_t *ret_count)
{
    if (image->hash == 0)
        return count_by_gnu_hash(image, ret_count);
    uint32_t head[2]; /* buckets, chains: one chain entry per symbol */
    int error = read_at(image, image->hash, head, sizeof(head));
    if (error == 0)
        *ret_count = head[1];
    return error;
}

int rth__elf_symbol_table_open_image(const struct rth_elf_source *source, uint64_t image_vaddr_low,
                                     uint64_t image_vaddr_high, uint64_t load_bias,
                                     struct rth_elf_symbol_table *ret_table)
{
    struct image image = {
        .source = source, .low = image_vaddr_low, .high = image_vaddr_high, .load_bias = load_bias};
    struct rth_elf_symbol_table table = {
        .source = *source, .class_bits = 64, .exported_only = true};
    int error = read_segments(&image, &table);
    if (error == 0)
        error = read_dynamic(&image);
    if (error == 0)
        error = count_symbols(&image, &table.symbol_count);
    if (error != 0)
        return error;
    if (table.symbol_count > RTH_ELF_SYMBOLS_MAX)
        return -E2BIG;
    /* Both tables inside the image: what is read later is never somebody else's memory. */
    uint64_t symbols_bytes = table.symbol_count * sizeof(Elf64_Sym);
    if (image.symbols < image.low || image.symbols >= image.high ||
        symbols_bytes > image.high - image.symbols || image.strings < image.low ||
        image.strings >= image.high || image.strings_bytes > image.high - image.strings)
        return -EBADMSG;
    table.symbols_offset = image.symbols;
    table.strings_offset = image.strings;
    table.strings_bytes = image.strings_bytes;
    *ret_table = table;
    return 0;
}
