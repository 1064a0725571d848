/* SPDX-License-Identifier: MIT */

/*
 * The ELF facts reader. Fields are taken byte by byte out of small buffers, so neither alignment
 * nor byte order nor class of the file matters, and nothing is ever cast onto a struct.
 *
 * Bounds on work: the kernel refuses more than 64 KiB of program headers, so we do; notes beyond
 * NOTES_MAX or NOTE_SEGMENT_BYTES_MAX are left unread, which costs a fact and nothing else.
 */

#include "formats/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM_HEADERS_BYTES_MAX 65536u
#define NOTE_SEGMENT_BYTES_MAX    (1u << 20)
#define NOTES_MAX                 1024u
#define NOTE_HEADER_BYTES         12u
#define NOTE_NAME_BYTES_MAX       8u /* "rthooks" with its NUL; "GNU" is shorter */

/* Where the fields of one class lie. */
struct layout {
    uint8_t header_bytes, phdr_bytes;
    uint8_t phoff, phentsize, phnum;           /* in the file header */
    uint8_t offset, filesz, align, word_bytes; /* in a program header */
};

static const struct layout layout_32 = {
    .header_bytes = 52,
    .phdr_bytes = 32,
    .phoff = 28,
    .phentsize = 42,
    .phnum = 44,
    .offset = 4,
    .filesz = 16,
    .align = 28,
    .word_bytes = 4,
};

static const struct layout layout_64 = {
    .header_bytes = 64,
    .phdr_bytes = 56,
    .phoff = 32,
    .phentsize = 54,
    .phnum = 56,
    .offset = 8,
    .filesz = 32,
    .align = 48,
    .word_bytes = 8,
};

struct reader {
    int fd;
    bool big_endian;
    unsigned notes_left;
    const struct layout *layout;
};

struct segment {
    uint32_t type;
    uint64_t offset, size_bytes, align;
};

static uint64_t field(const struct reader *reader, const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | bytes[reader->big_endian ? i : size - 1 - i];
    return value;
}

/* Reads exactly size bytes: 0, -EBADMSG at the end of the file, or the errno of pread. */
static int read_exactly(const struct reader *reader, uint64_t offset, void *buffer, size_t size)
{
    uint8_t *out = buffer;
    if (offset > (uint64_t)INT64_MAX - size)
        return -EBADMSG;
    while (size > 0) {
        ssize_t got = pread(reader->fd, out, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EBADMSG;
        out += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static int read_interpreter(const struct reader *reader, const struct segment *segment,
                            struct rth_elf_facts *facts)
{
    if (facts->has_interpreter)
        return -EBADMSG; /* the kernel takes the first; such a file is broken all the same */
    if (segment->size_bytes < 2 || segment->size_bytes > sizeof(facts->interpreter))
        return -EBADMSG;
    int error = read_exactly(reader, segment->offset, facts->interpreter, segment->size_bytes);
    if (error < 0)
        return error;
    if (facts->interpreter[segment->size_bytes - 1] != '\0' || facts->interpreter[0] == '\0')
        return -EBADMSG;
    facts->has_interpreter = true;
    return 0;
}

static int read_note(const struct reader *reader, uint64_t name_offset, uint64_t desc_offset,
                     const uint8_t *header, struct rth_elf_facts *facts)
{
    uint32_t name_bytes = (uint32_t)field(reader, header, 4);
    uint32_t desc_bytes = (uint32_t)field(reader, header + 4, 4);
    uint32_t type = (uint32_t)field(reader, header + 8, 4);
    char name[NOTE_NAME_BYTES_MAX];
    if (name_bytes > sizeof(name))
        return 0;
    int error = read_exactly(reader, name_offset, name, name_bytes);
    if (error < 0)
        return error;
    if (name_bytes == sizeof(RTH_ELF_NOTE_NAME) && memcmp(name, RTH_ELF_NOTE_NAME, name_bytes) == 0)
        facts->has_rthooks_note = true;
    /* The first build-id counts, as in every other reader of them. */
    if (type != NT_GNU_BUILD_ID || facts->build_id_bytes != 0 ||
        name_bytes != sizeof(ELF_NOTE_GNU) || memcmp(name, ELF_NOTE_GNU, name_bytes) != 0)
        return 0;
    if (desc_bytes == 0 || desc_bytes > sizeof(facts->build_id))
        return 0;
    error = read_exactly(reader, desc_offset, facts->build_id, desc_bytes);
    if (error < 0)
        return error;
    facts->build_id_bytes = (uint8_t)desc_bytes;
    return 0;
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

/* A segment that ends in the middle of a note is broken; one that is merely long is cut. */
static int read_notes(struct reader *reader, const struct segment *segment,
                      struct rth_elf_facts *facts)
{
    uint64_t align = segment->align == 8 ? 8 : 4;
    uint64_t size_bytes = segment->size_bytes;
    if (segment->offset > (uint64_t)INT64_MAX - size_bytes)
        return -EBADMSG;
    if (size_bytes > NOTE_SEGMENT_BYTES_MAX)
        size_bytes = NOTE_SEGMENT_BYTES_MAX;
    for (uint64_t at = 0; at + NOTE_HEADER_BYTES <= size_bytes && reader->notes_left > 0;) {
        uint8_t header[NOTE_HEADER_BYTES];
        reader->notes_left--;
        int error = read_exactly(reader, segment->offset + at, header, sizeof(header));
        if (error < 0)
            return error;
        uint64_t desc_at = align_up(at + NOTE_HEADER_BYTES + field(reader, header, 4), align);
        uint64_t desc_end = desc_at + field(reader, header + 4, 4);
        if (desc_end > segment->size_bytes)
            return -EBADMSG;
        error = read_note(reader, segment->offset + at + NOTE_HEADER_BYTES,
                          segment->offset + desc_at, header, facts);
        if (error < 0)
            return error;
        at = align_up(desc_end, align);
    }
    return 0;
}

static int read_segments(struct reader *reader, uint64_t offset, unsigned count,
                         struct rth_elf_facts *facts)
{
    const struct layout *layout = reader->layout;
    if (offset > (uint64_t)INT64_MAX - PROGRAM_HEADERS_BYTES_MAX)
        return -EBADMSG;
    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[56];
        int error = read_exactly(reader, offset + (uint64_t)i * layout->phdr_bytes, bytes,
                                 layout->phdr_bytes);
        if (error < 0)
            return error;
        struct segment segment = {
            .type = (uint32_t)field(reader, bytes, 4),
            .offset = field(reader, bytes + layout->offset, layout->word_bytes),
            .size_bytes = field(reader, bytes + layout->filesz, layout->word_bytes),
            .align = field(reader, bytes + layout->align, layout->word_bytes),
        };
        if (segment.type == PT_INTERP)
            error = read_interpreter(reader, &segment, facts);
        else if (segment.type == PT_NOTE)
            error = read_notes(reader, &segment, facts);
        else if (segment.type == PT_DYNAMIC)
            facts->has_dynamic = true;
        if (error < 0)
            return error;
    }
    return 0;
}

int rth__elf_facts_read(int fd, struct rth_elf_facts *ret_facts)
{
    struct reader reader = {.fd = fd, .notes_left = NOTES_MAX};
    struct rth_elf_facts facts = {0};
    uint8_t header[64];
    int error = read_exactly(&reader, 0, header, EI_NIDENT);
    if (error == -EBADMSG || (error == 0 && memcmp(header, ELFMAG, SELFMAG) != 0))
        return -ENOEXEC;
    if (error < 0)
        return error;
    if ((header[EI_CLASS] != ELFCLASS32 && header[EI_CLASS] != ELFCLASS64) ||
        (header[EI_DATA] != ELFDATA2LSB && header[EI_DATA] != ELFDATA2MSB))
        return -EBADMSG;
    facts.class_bits = header[EI_CLASS] == ELFCLASS64 ? 64 : 32;
    facts.big_endian = reader.big_endian = header[EI_DATA] == ELFDATA2MSB;
    reader.layout = header[EI_CLASS] == ELFCLASS64 ? &layout_64 : &layout_32;
    error = read_exactly(&reader, 0, header, reader.layout->header_bytes);
    if (error < 0)
        return error;
    facts.type = (uint16_t)field(&reader, header + 16, 2);
    facts.machine = (uint16_t)field(&reader, header + 18, 2);

    uint64_t offset = field(&reader, header + reader.layout->phoff, reader.layout->word_bytes);
    unsigned entry_bytes = (unsigned)field(&reader, header + reader.layout->phentsize, 2);
    unsigned count = (unsigned)field(&reader, header + reader.layout->phnum, 2);
    if (count > 0) {
        if (entry_bytes != reader.layout->phdr_bytes ||
            count * entry_bytes > PROGRAM_HEADERS_BYTES_MAX)
            return -EBADMSG;
        error = read_segments(&reader, offset, count, &facts);
        if (error < 0)
            return error;
    }
    *ret_facts = facts;
    return 0;
}

int rth__elf_build_id_text(const struct rth_elf_facts *facts, char *ret_text, size_t text_size)
{
    static const char digits[] = "0123456789abcdef";
    size_t length = 2u * facts->build_id_bytes;
    if (text_size < length + 1)
        return -ENOSPC;
    for (unsigned i = 0; i < facts->build_id_bytes; i++) {
        ret_text[2 * i] = digits[facts->build_id[i] >> 4];
        ret_text[2 * i + 1] = digits[facts->build_id[i] & 15];
    }
    ret_text[length] = '\0';
    return (int)length;
}

const char *rth__elf_machine_name(uint16_t machine)
{
    static const struct {
        uint16_t machine;
        const char *name;
    } names[] = {
        {EM_X86_64, "x86-64"},   {EM_386, "i386"},    {EM_AARCH64, "aarch64"},
        {EM_ARM, "arm"},         {EM_RISCV, "riscv"}, {EM_PPC64, "ppc64"},
        {EM_PPC, "ppc"},         {EM_S390, "s390"},   {EM_MIPS, "mips"},
        {EM_SPARCV9, "sparc64"}, {EM_IA_64, "ia64"},  {EM_LOONGARCH, "loongarch"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].machine == machine)
            return names[i].name;
    }
    return "unknown";
}

uint8_t rth__elf_own_class_bits(void)
{
    return sizeof(void *) * 8;
}

uint16_t rth__elf_own_machine(void)
{
#if defined(__x86_64__)
    return EM_X86_64;
#elif defined(__aarch64__)
    return EM_AARCH64;
#elif defined(__i386__)
    return EM_386;
#elif defined(__riscv)
    return EM_RISCV;
#else
    return EM_NONE;
#endif
}
