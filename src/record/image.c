/* SPDX-License-Identifier: MIT */
#include "record/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/rawsys.h"

#define PAGE_BYTES           UINT64_C(4096) /* the least a segment is aligned to */
#define PROGRAM_HEADERS_MAX  1024u
#define PROGRAM_HEADER_BATCH 16u
#define NOTE_BYTES_MAX       4096u
#define NOTE_SEGMENTS_MAX    16u
#define VADDR_LIMIT          (UINT64_C(1) << 47)

static ssize_t read_vm(uint64_t address, void *buffer, size_t size_bytes)
{
    struct iovec local = {.iov_base = buffer, .iov_len = size_bytes};
    /* An address of the image, never dereferenced here. */
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size_bytes};
    return RTH__RAW(SYS_process_vm_readv, rth__raw_gettid_sigsafe(), &local, 1ul, &remote, 1ul,
                    0ul);
}

static ssize_t read_mem(struct rth_image_reader *reader, uint64_t address, void *buffer,
                        size_t size_bytes)
{
    if (!reader->has_mem_fd) {
        int fd = rth__openat(reader->root_fd, "proc/thread-self/mem", O_RDONLY);
        if (fd < 0)
            return fd;
        reader->mem_fd = fd;
        reader->has_mem_fd = true;
    }
    if (address > (uint64_t)INT64_MAX)
        return -EFAULT;
    return RTH__RAW(SYS_pread64, reader->mem_fd, buffer, size_bytes, (off_t)address);
}

ssize_t rth__image_read_some(struct rth_image_reader *reader, uint64_t address, void *buffer,
                             size_t size_bytes)
{
    ssize_t got = -ENOSYS;
    if (!reader->has_mem_fd)
        got = read_vm(address, buffer, size_bytes);
    if (got == -ENOSYS || got == -EPERM)
        got = read_mem(reader, address, buffer, size_bytes);
    return got == 0 ? -EFAULT : got;
}

int rth__image_read(struct rth_image_reader *reader, uint64_t address, void *buffer,
                    size_t size_bytes)
{
    ssize_t got = rth__image_read_some(reader, address, buffer, size_bytes);
    if (got < 0)
        return (int)got;
    return (size_t)got == size_bytes ? 0 : -EFAULT;
}

void rth__image_reader_close(struct rth_image_reader *reader)
{
    if (reader->has_mem_fd)
        (void)rth__close(reader->mem_fd);
    reader->has_mem_fd = false;
}

/* What the headers say before the bias is known: note segments are read last. */
struct header_walk {
    struct rth_image_reader *reader;
    uint64_t address; /* of the ELF header */
    bool has_load, has_header;
    unsigned note_count;
    struct {
        uint64_t vaddr, size_bytes, align;
    } note[NOTE_SEGMENTS_MAX];
    struct rth_image_facts *facts;
};

static int take_load(struct header_walk *walk, const Elf64_Phdr *phdr)
{
    struct rth_image_facts *facts = walk->facts;
    uint64_t limit;
    if (__builtin_add_overflow(phdr->p_vaddr, phdr->p_memsz, &limit) || limit > VADDR_LIMIT ||
        phdr->p_filesz > phdr->p_memsz)
        return -EBADMSG;
    uint64_t low = phdr->p_vaddr & ~(PAGE_BYTES - 1);
    if (!walk->has_load || low < facts->vaddr_low)
        facts->vaddr_low = low;
    if (!walk->has_load || limit > facts->vaddr_high)
        facts->vaddr_high = limit;
    walk->has_load = true;
    /* The page that holds the start of the file, even when the segment begins later in it. */
    if (!walk->has_header && phdr->p_offset < PAGE_BYTES && phdr->p_vaddr >= phdr->p_offset) {
        facts->header_vaddr = phdr->p_vaddr - phdr->p_offset;
        walk->has_header = true;
    }
    if ((phdr->p_flags & PF_X) && facts->exec_segment_count < RTH_IMAGE_EXEC_SEGMENTS_MAX) {
        unsigned index = facts->exec_segment_count++;
        facts->exec_segment[index].file_offset = phdr->p_offset;
        facts->exec_segment[index].vaddr = phdr->p_vaddr;
        facts->exec_segment[index].file_bytes = phdr->p_filesz;
    }
    return 0;
}

static int take_program_header(struct header_walk *walk, const Elf64_Phdr *phdr)
{
    if (phdr->p_type == PT_LOAD)
        return take_load(walk, phdr);
    if (phdr->p_type == PT_GNU_EH_FRAME) {
        walk->facts->eh_frame_hdr_vaddr = phdr->p_vaddr;
        walk->facts->eh_frame_hdr_bytes = phdr->p_memsz;
    } else if (phdr->p_type == PT_NOTE && walk->note_count < NOTE_SEGMENTS_MAX) {
        unsigned index = walk->note_count++;
        walk->note[index].vaddr = phdr->p_vaddr;
        walk->note[index].size_bytes = phdr->p_memsz;
        walk->note[index].align = phdr->p_align == 8 ? 8 : 4;
    }
    return 0;
}

static int read_program_headers(struct header_walk *walk, const Elf64_Ehdr *header)
{
    Elf64_Phdr batch[PROGRAM_HEADER_BATCH];
    uint64_t at;
    if (__builtin_add_overflow(walk->address, header->e_phoff, &at) || at >= VADDR_LIMIT)
        return -EBADMSG;
    for (unsigned done = 0; done < header->e_phnum;) {
        unsigned count = header->e_phnum - done;
        if (count > PROGRAM_HEADER_BATCH)
            count = PROGRAM_HEADER_BATCH;
        int error = rth__image_read(walk->reader, at + done * sizeof(*batch), batch,
                                    count * sizeof(*batch));
        if (error < 0)
            return error;
        for (unsigned i = 0; i < count; i++) {
            error = take_program_header(walk, &batch[i]);
            if (error < 0)
                return error;
        }
        done += count;
    }
    return walk->has_load && walk->has_header ? 0 : -EBADMSG;
}

/* One segment of notes; anything odd in it costs the build-id and nothing else. */
static void find_build_id(const uint8_t *notes, size_t size_bytes, uint64_t align,
                          struct rth_image_facts *facts)
{
    size_t at = 0;
    while (size_bytes - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof(note));
        at += sizeof(note);
        if (note.n_namesz > size_bytes || note.n_descsz > size_bytes)
            return;
        size_t name_at = at;
        size_t desc_at = (name_at + note.n_namesz + align - 1) & ~(size_t)(align - 1);
        size_t next_at = (desc_at + note.n_descsz + align - 1) & ~(size_t)(align - 1);
        if (desc_at > size_bytes || note.n_descsz > size_bytes - desc_at)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) &&
            memcmp(notes + name_at, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0 && note.n_descsz > 0 &&
            note.n_descsz <= sizeof(facts->build_id)) {
            memcpy(facts->build_id, notes + desc_at, note.n_descsz);
            facts->build_id_bytes = (uint8_t)note.n_descsz;
            return;
        }
        if (next_at > size_bytes)
            return;
        at = next_at;
    }
}

static void read_build_id(struct header_walk *walk, uint64_t load_bias)
{
    uint8_t notes[NOTE_BYTES_MAX];
    for (unsigned i = 0; i < walk->note_count && walk->facts->build_id_bytes == 0; i++) {
        size_t size_bytes = walk->note[i].size_bytes < sizeof(notes)
                                ? (size_t)walk->note[i].size_bytes
                                : sizeof(notes);
        if (size_bytes == 0)
            continue;
        if (rth__image_read(walk->reader, load_bias + walk->note[i].vaddr, notes, size_bytes) == 0)
            find_build_id(notes, size_bytes, walk->note[i].align, walk->facts);
    }
}

int rth__image_facts_read(struct rth_image_reader *reader, uint64_t address,
                          struct rth_image_facts *ret_facts)
{
    Elf64_Ehdr header;
    int error = rth__image_read(reader, address, &header, sizeof(header));
    if (error < 0)
        return error;
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != rth__elf_own_machine())
        return -ENOEXEC;
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
        header.e_phnum > PROGRAM_HEADERS_MAX)
        return -EBADMSG;
    struct rth_image_facts facts = {0};
    struct header_walk walk = {.reader = reader, .address = address, .facts = &facts};
    error = read_program_headers(&walk, &header);
    if (error < 0)
        return error;
    if (facts.eh_frame_hdr_vaddr < facts.vaddr_low ||
        facts.eh_frame_hdr_vaddr >= facts.vaddr_high ||
        facts.eh_frame_hdr_bytes > facts.vaddr_high - facts.eh_frame_hdr_vaddr) {
        facts.eh_frame_hdr_vaddr = 0;
        facts.eh_frame_hdr_bytes = 0;
    }
    read_build_id(&walk, address - facts.header_vaddr);
    *ret_facts = facts;
    return 0;
}

bool rth__image_bias(const struct rth_image_facts *facts, uint64_t start, uint64_t limit,
                     uint64_t file_offset, uint64_t *ret_load_bias)
{
    uint64_t file_limit = file_offset + (limit - start);
    for (unsigned i = 0; i < facts->exec_segment_count; i++) {
        uint64_t segment = facts->exec_segment[i].file_offset;
        uint64_t segment_limit = segment + facts->exec_segment[i].file_bytes;
        if (segment >= file_limit || segment_limit <= file_offset)
            continue;
        *ret_load_bias = start - file_offset + segment - facts->exec_segment[i].vaddr;
        return true;
    }
    return false;
}
