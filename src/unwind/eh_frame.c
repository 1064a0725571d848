/* SPDX-License-Identifier: MIT */
/*
 * The compiler of rows.
 *
 * Purpose: walking a stack must not parse DWARF. Here rth-work runs the program of every FDE of a
 * module once, in order of address, and keeps the rules that come out.
 * Shape: the list of FDEs comes from the search table of .eh_frame_hdr, or from the records
 * themselves where there is none; a window into the image moves along with it.
 * Failure: an entry that cannot be understood leaves its code without a rule, counted; memory that
 * is unmapped meanwhile ends the attempt. Work is bounded by the size of the image, whatever the
 * records say. Cost: some 100 ns per row, once per file.
 */
#include "unwind/eh_frame.h"

#include <errno.h>
#include <string.h>

#include "core/arena.h"
#include "unwind/cfi.h"

#define WINDOW_BYTES 32768u
#define SEARCH_BYTES 256u /* what a search reads at a time: it jumps about */
#define CIE_COUNT    8u
#define TABLE_ENCODING                                                                             \
    0x3bu /* signed 32 bits from the start of .eh_frame_hdr: what linkers write */
#define HDR_HEAD_BYTES 32u
#define WORK_SPARE     65536u
#define PADDING_MAX    16u /* what lies between two functions */

struct entry {
    uint32_t start;  /* of the code, from vaddr_low */
    uint32_t record; /* of the FDE, from vaddr_low */
};

struct compiler {
    struct rth_image_reader *reader;
    const struct rth_eh_frame_image *image;
    struct rth_eh_frame_counts counts;
    uint64_t records_low, records_high;
    uint64_t work_left_bytes;
    /* Code below this offset has its rows. */
    bool has_rows;
    uint32_t done_until;
    struct rth_rows_builder *builder;
    struct entry *entries;
    size_t entry_count, entry_bytes;
    struct rth_cfi_machine machine;
    struct rth_rule_draft draft;
    unsigned next_cie;
    bool cie_good[CIE_COUNT];
    struct rth_cfi_cie cie[CIE_COUNT];
    uint64_t window_vaddr;
    size_t window_used_bytes, window_fill_bytes;
    uint8_t window[WINDOW_BYTES];
};

/* ---- the image through a window ---------------------------------------------------------------
 */

/* A cursor over exactly size_bytes at vaddr, valid until the next call: 0 or a negative errno. */
static int image_at(struct compiler *compiler, uint64_t vaddr, uint64_t size_bytes,
                    struct rth_cfi_cursor *ret_cursor)
{
    const struct rth_eh_frame_image *image = compiler->image;
    if (vaddr < image->vaddr_low || vaddr >= image->vaddr_high ||
        size_bytes > image->vaddr_high - vaddr || size_bytes > WINDOW_BYTES)
        return -EBADMSG;
    uint64_t ahead = vaddr - compiler->window_vaddr;
    if (vaddr < compiler->window_vaddr || ahead > compiler->window_used_bytes ||
        size_bytes > compiler->window_used_bytes - ahead) {
        uint64_t wanted = image->vaddr_high - vaddr;
        uint64_t fill = compiler->window_fill_bytes;
        fill = fill < size_bytes ? size_bytes : fill;
        ssize_t got =
            rth__image_read_some(compiler->reader, image->load_bias + vaddr, compiler->window,
                                 wanted < fill ? (size_t)wanted : (size_t)fill);
        compiler->window_vaddr = vaddr;
        compiler->window_used_bytes = got < 0 ? 0 : (size_t)got;
        ahead = 0;
        if (got < 0)
            return (int)got;
        if (size_bytes > (uint64_t)got)
            return -EFAULT;
    }
    const uint8_t *at = compiler->window + ahead;
    *ret_cursor = (struct rth_cfi_cursor){
        .start = at, .at = at, .end = at + size_bytes, .start_vaddr = vaddr};
    return 0;
}

static struct rth_cfi_base pointer_base(const struct compiler *compiler)
{
    return (struct rth_cfi_base){.load_bias = compiler->image->load_bias,
                                 .data_vaddr = compiler->image->hdr_vaddr};
}

/* A record: where its content begins and ends, and the CIE it names (0 for a CIE itself). */
struct record {
    uint64_t content_vaddr, content_bytes;
    uint64_t cie_vaddr;
};

/* 0; -ENOENT for the terminator; -EBADMSG or an errno of reading. */
static int record_at(struct compiler *compiler, uint64_t vaddr, struct record *ret_record)
{
    struct rth_cfi_cursor cursor;
    /* A terminator of 4 bytes may end the image. */
    int error = image_at(compiler, vaddr, 4, &cursor);
    if (error < 0)
        return error;
    uint64_t content_bytes;
    if (rth__cfi_uint(&cursor, 4) == UINT32_MAX)
        error = image_at(compiler, vaddr, 12, &cursor);
    else
        cursor.at = cursor.start;
    if (error < 0)
        return error;
    unsigned length_bytes = rth__cfi_record_length(&cursor, &content_bytes);
    if (content_bytes == 0)
        return -ENOENT;
    uint64_t content_vaddr = vaddr + length_bytes;
    if (content_bytes < 4 || content_bytes > WINDOW_BYTES)
        return -EBADMSG;
    error = image_at(compiler, content_vaddr, content_bytes, &cursor);
    if (error < 0)
        return error;
    /* 32 bits in .eh_frame whatever the length was, counted back from here; 0 marks a CIE. */
    uint64_t back = rth__cfi_uint(&cursor, 4);
    if (back > content_vaddr)
        return -EBADMSG;
    *ret_record = (struct record){.content_vaddr = content_vaddr,
                                  .content_bytes = content_bytes,
                                  .cie_vaddr = back == 0 ? 0 : content_vaddr - back};
    return 0;
}

static void record_used(struct compiler *compiler, uint64_t vaddr, const struct record *record)
{
    uint64_t limit = record->content_vaddr + record->content_bytes;
    if (compiler->records_high == 0 || vaddr < compiler->records_low)
        compiler->records_low = vaddr;
    if (limit > compiler->records_high)
        compiler->records_high = limit;
}

/* The CIE at vaddr, read once; NULL when it is no good. */
static const struct rth_cfi_cie *cie_at(struct compiler *compiler, uint64_t vaddr)
{
    for (unsigned i = 0; i < CIE_COUNT; i++) {
        if (compiler->cie[i].vaddr == vaddr && vaddr != 0)
            return compiler->cie_good[i] ? &compiler->cie[i] : NULL;
    }
    unsigned index = compiler->next_cie;
    compiler->next_cie = (index + 1) % CIE_COUNT;
    struct rth_cfi_cie *cie = &compiler->cie[index];
    struct record record;
    struct rth_cfi_cursor content;
    compiler->cie_good[index] = false;
    bool good = record_at(compiler, vaddr, &record) == 0 && record.cie_vaddr == 0 &&
                image_at(compiler, record.content_vaddr, record.content_bytes, &content) == 0;
    if (good) {
        (void)rth__cfi_skip(&content, 4);
        good = rth__cfi_cie_read(&compiler->machine, &content, vaddr, cie) == 0;
    }
    cie->vaddr = vaddr;
    compiler->cie_good[index] = good;
    if (good)
        record_used(compiler, vaddr, &record);
    return good ? cie : NULL;
}

/* The FDE at vaddr and its CIE: 0, -ENOENT for the terminator, -EBADMSG. */
static int fde_at(struct compiler *compiler, uint64_t vaddr, const struct rth_cfi_cie **ret_cie,
                  struct rth_cfi_fde *ret_fde)
{
    struct record record;
    int error = record_at(compiler, vaddr, &record);
    if (error < 0)
        return error;
    if (record.cie_vaddr == 0)
        return -EBADMSG;
    const struct rth_cfi_cie *cie = cie_at(compiler, record.cie_vaddr);
    struct rth_cfi_cursor content;
    if (cie == NULL)
        return -EBADMSG;
    error = image_at(compiler, record.content_vaddr, record.content_bytes, &content);
    if (error < 0)
        return error;
    (void)rth__cfi_skip(&content, 4);
    struct rth_cfi_base base = pointer_base(compiler);
    error = rth__cfi_fde_read(&content, cie, &base, ret_fde);
    if (error < 0)
        return error;
    record_used(compiler, vaddr, &record);
    *ret_cie = cie;
    return 0;
}

/* ---- the list of FDEs -------------------------------------------------------------------------
 */

static bool offset_in_image(const struct compiler *compiler, uint64_t vaddr, uint32_t *ret_offset)
{
    const struct rth_eh_frame_image *image = compiler->image;
    if (vaddr < image->vaddr_low || vaddr >= image->vaddr_high ||
        vaddr - image->vaddr_low >= UINT32_MAX)
        return false;
    *ret_offset = (uint32_t)(vaddr - image->vaddr_low);
    return true;
}

static int entries_reserve(struct compiler *compiler, uint64_t count)
{
    if (count > UINT32_MAX)
        return -ENOMEM;
    compiler->entry_bytes = (size_t)count * sizeof(struct entry);
    compiler->entries = rth__arena_alloc_nomalloc(compiler->entry_bytes);
    return compiler->entries == NULL ? -ENOMEM : 0;
}

/* What .eh_frame_hdr leads to. */
struct header {
    uint64_t table_vaddr, table_count; /* 0: no search table that we can read */
    bool has_records;
    uint64_t records_vaddr; /* of .eh_frame */
};

static int header_read(struct compiler *compiler, struct header *ret_header)
{
    const struct rth_eh_frame_image *image = compiler->image;
    struct rth_cfi_base base = pointer_base(compiler);
    struct rth_cfi_cursor head;
    uint64_t head_bytes = image->hdr_bytes < HDR_HEAD_BYTES ? image->hdr_bytes : HDR_HEAD_BYTES;
    int error = image_at(compiler, image->hdr_vaddr, head_bytes, &head);
    if (error < 0)
        return error;
    unsigned version = (unsigned)rth__cfi_uint(&head, 1);
    uint8_t pointer_encoding = (uint8_t)rth__cfi_uint(&head, 1);
    uint8_t count_encoding = (uint8_t)rth__cfi_uint(&head, 1);
    uint8_t table_encoding = (uint8_t)rth__cfi_uint(&head, 1);
    if (head.failed || version != 1)
        return -EBADMSG;
    struct header header = {0};
    header.records_vaddr = rth__cfi_pointer(&head, &base, pointer_encoding);
    uint64_t count = rth__cfi_pointer(&head, &(struct rth_cfi_base){0}, count_encoding);
    uint64_t table_offset = (uint64_t)(head.at - head.start);
    if (!head.failed && table_encoding == TABLE_ENCODING &&
        count_encoding != RTH_CFI_POINTER_OMIT && count > 0 &&
        count <= (image->hdr_bytes - table_offset) / 8) {
        header.table_vaddr = image->hdr_vaddr + table_offset;
        header.table_count = count;
    }
    header.has_records = pointer_encoding != RTH_CFI_POINTER_OMIT && !head.failed;
    *ret_header = header;
    return 0;
}

/* Not good: it leads out of the image. 0 or a negative errno. */
static int table_entry_read(struct compiler *compiler, const struct header *header, uint64_t index,
                            struct entry *ret_entry, bool *ret_good)
{
    struct rth_cfi_cursor cursor;
    int error = image_at(compiler, header->table_vaddr + index * 8, 8, &cursor);
    if (error < 0)
        return error;
    int32_t start = (int32_t)rth__cfi_uint(&cursor, 4);
    int32_t record = (int32_t)rth__cfi_uint(&cursor, 4);
    uint64_t hdr_vaddr = compiler->image->hdr_vaddr;
    *ret_good =
        offset_in_image(compiler, hdr_vaddr + (uint64_t)(int64_t)start, &ret_entry->start) &&
        offset_in_image(compiler, hdr_vaddr + (uint64_t)(int64_t)record, &ret_entry->record);
    return 0;
}

static int entries_from_table(struct compiler *compiler, const struct header *header)
{
    int error = entries_reserve(compiler, header->table_count);
    for (uint64_t i = 0; i < header->table_count && error == 0; i++) {
        bool good = false;
        error =
            table_entry_read(compiler, header, i, &compiler->entries[compiler->entry_count], &good);
        compiler->entry_count += good;
        compiler->counts.fdes_refused += error == 0 && !good;
    }
    return error;
}

/* Counts the FDEs of the section, or fills the entries; the end of the image ends it, too. */
static void scan_records(struct compiler *compiler, uint64_t eh_frame_vaddr, uint64_t *count)
{
    struct record record;
    uint64_t vaddr = eh_frame_vaddr;
    uint64_t capacity = compiler->entry_bytes / sizeof(struct entry);
    *count = 0;
    while (record_at(compiler, vaddr, &record) == 0) {
        const struct rth_cfi_cie *cie;
        struct rth_cfi_fde fde;
        uint64_t next = record.content_vaddr + record.content_bytes;
        if (record.cie_vaddr != 0) {
            if (compiler->entries != NULL && *count < capacity) {
                struct entry *entry = &compiler->entries[compiler->entry_count];
                if (fde_at(compiler, vaddr, &cie, &fde) == 0 &&
                    offset_in_image(compiler, fde.start, &entry->start) &&
                    offset_in_image(compiler, vaddr, &entry->record))
                    compiler->entry_count++;
                else
                    compiler->counts.fdes_refused++;
            }
            ++*count;
        }
        vaddr = next;
    }
}

static int entries_from_records(struct compiler *compiler, uint64_t eh_frame_vaddr)
{
    uint64_t count;
    scan_records(compiler, eh_frame_vaddr, &count);
    if (count == 0)
        return -ENOENT;
    int error = entries_reserve(compiler, count);
    if (error == 0)
        scan_records(compiler, eh_frame_vaddr, &count);
    return error;
}

static int entries_read(struct compiler *compiler)
{
    struct header header;
    int error = header_read(compiler, &header);
    if (error < 0)
        return error;
    if (header.table_count > 0)
        return entries_from_table(compiler, &header);
    return header.has_records ? entries_from_records(compiler, header.records_vaddr) : -ENOENT;
}

static void sift_down(struct entry *entries, size_t root, size_t count)
{
    struct entry moved = entries[root];
    for (size_t child = root * 2 + 1; child < count; child = root * 2 + 1) {
        if (child + 1 < count && entries[child + 1].start > entries[child].start)
            child++;
        if (entries[child].start <= moved.start)
            break;
        entries[root] = entries[child];
        root = child;
    }
    entries[root] = moved;
}

/* By start; linkers sort, so this is hardly ever needed. */
static void entries_sort(struct entry *entries, size_t count)
{
    bool sorted = true;
    for (size_t i = 1; i < count; i++)
        sorted = sorted && entries[i - 1].start <= entries[i].start;
    if (sorted)
        return;
    for (size_t i = count / 2; i-- > 0;)
        sift_down(entries, i, count);
    for (size_t last = count - 1; last > 0; last--) {
        struct entry largest = entries[0];
        entries[0] = entries[last];
        entries[last] = largest;
        sift_down(entries, 0, last);
    }
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static int draft_add(struct compiler *compiler, uint32_t offset)
{
    int error = rth__rows_builder_add(compiler->builder, offset, &compiler->draft);
    if (error == -ENOSPC) {
        compiler->counts.fdes_refused++;
        error = 0;
    }
    if (error == 0)
        compiler->has_rows = true;
    return error;
}

static int none_add(struct compiler *compiler, uint32_t offset)
{
    compiler->draft.rule = (struct rth_rule){.kind = RTH_RULE_NONE};
    compiler->draft.place_count = 0;
    return draft_add(compiler, offset);
}

struct row_context {
    struct compiler *compiler;
    bool is_signal_frame;
};

static int row_take(void *context, uint64_t vaddr, const struct rth_cfi_state *state)
{
    struct row_context *row = context;
    uint32_t offset = (uint32_t)(vaddr - row->compiler->image->vaddr_low);
    rth__cfi_draft(state, row->is_signal_frame, &row->compiler->draft);
    return draft_add(row->compiler, offset);
}

/* Padding between functions is never executed, and saying so would cost a row for each: there the
 * rule of the function before stays. A longer gap is code without unwind information. */
static int gap_close(struct compiler *compiler, uint32_t start)
{
    if (!compiler->has_rows || start - compiler->done_until < PADDING_MAX)
        return 0;
    return none_add(compiler, compiler->done_until);
}

/* The rows of one FDE, below next_start. 0, or -ENOMEM; what is refused is counted. */
static int fde_compile(struct compiler *compiler, const struct entry *entry, uint64_t next_start)
{
    const struct rth_cfi_cie *cie;
    struct rth_cfi_fde fde;
    uint64_t low = compiler->image->vaddr_low;
    if (fde_at(compiler, low + entry->record, &cie, &fde) < 0 || fde.start != low + entry->start) {
        compiler->counts.fdes_refused++;
        return 0;
    }
    if (fde.limit > low + next_start)
        fde.limit = low + next_start;
    if (fde.start >= fde.limit || (compiler->has_rows && entry->start < compiler->done_until))
        return 0;
    uint64_t program_bytes = (uint64_t)(fde.program.end - fde.program.at) + 1;
    if (program_bytes > compiler->work_left_bytes) {
        compiler->counts.fdes_refused++;
        return 0;
    }
    compiler->work_left_bytes -= program_bytes;
    compiler->counts.fdes++;
    int error = gap_close(compiler, entry->start);
    if (error < 0)
        return error;
    struct row_context row = {.compiler = compiler, .is_signal_frame = cie->is_signal_frame};
    error = rth__cfi_run(&compiler->machine, cie, &fde, row_take, &row);
    if (error == -EBADMSG) {
        compiler->counts.fdes_refused++;
        error = compiler->machine.pc < fde.limit
                    ? none_add(compiler, (uint32_t)(compiler->machine.pc - low))
                    : 0;
    }
    compiler->done_until = (uint32_t)(fde.limit - low);
    return error;
}

static int entries_compile(struct compiler *compiler)
{
    uint64_t image_bytes = compiler->image->vaddr_high - compiler->image->vaddr_low;
    uint64_t code_limit = image_bytes < UINT32_MAX ? image_bytes : UINT32_MAX;
    size_t next = 0;
    for (size_t i = 0; i < compiler->entry_count; i++) {
        const struct entry *entry = &compiler->entries[i];
        while (next < compiler->entry_count && compiler->entries[next].start <= entry->start)
            next++;
        int error =
            fde_compile(compiler, entry,
                        next < compiler->entry_count ? compiler->entries[next].start : code_limit);
        if (error < 0)
            return error;
    }
    if (!compiler->has_rows)
        return -ENOENT;
    return none_add(compiler, compiler->done_until);
}

static int compile(struct compiler *compiler)
{
    int error = entries_read(compiler);
    if (error < 0)
        return error;
    entries_sort(compiler->entries, compiler->entry_count);
    compiler->builder = rth__rows_builder_new();
    return compiler->builder == NULL ? -ENOMEM : entries_compile(compiler);
}

static struct compiler *compiler_new(struct rth_image_reader *reader,
                                     const struct rth_eh_frame_image *image,
                                     size_t window_fill_bytes)
{
    struct compiler *compiler = rth__arena_alloc_nomalloc(sizeof(*compiler));
    if (compiler == NULL)
        return NULL;
    compiler->reader = reader;
    compiler->image = image;
    compiler->window_fill_bytes = window_fill_bytes;
    compiler->machine.base = pointer_base(compiler);
    return compiler;
}

int rth__eh_frame_compile(struct rth_image_reader *reader, const struct rth_eh_frame_image *image,
                          struct rth_rows **ret_rows, struct rth_eh_frame_counts *ret_counts)
{
    struct compiler *compiler = compiler_new(reader, image, WINDOW_BYTES);
    if (compiler == NULL)
        return -ENOMEM;
    compiler->work_left_bytes = image->vaddr_high - image->vaddr_low + WORK_SPARE;
    int error = compile(compiler);
    struct rth_rows *rows = NULL;
    if (error == 0) {
        rows = rth__rows_builder_finish(compiler->builder);
        error = rows == NULL ? -ENOMEM : 0;
    }
    if (error == 0) {
        rows->vaddr_low = image->vaddr_low;
        compiler->counts.eh_frame_bytes = compiler->records_high - compiler->records_low;
        *ret_rows = rows;
        *ret_counts = compiler->counts;
    }
    rth__rows_builder_free(compiler->builder);
    rth__arena_free_nomalloc(compiler->entries, compiler->entry_bytes);
    rth__arena_free_nomalloc(compiler, sizeof(*compiler));
    return error;
}

/* ---- one function -----------------------------------------------------------------------------
 */

/* The last entry of the table, which is sorted, that starts at offset or below. */
static int table_search(struct compiler *compiler, uint32_t offset, struct entry *ret_entry)
{
    struct header header;
    int error = header_read(compiler, &header);
    if (error < 0)
        return error;
    struct entry found = {0}, entry;
    bool any = false, good;
    uint64_t low = 0, high = header.table_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        error = table_entry_read(compiler, &header, middle, &entry, &good);
        if (error < 0)
            return error;
        if (!good)
            return -EBADMSG;
        if (entry.start <= offset) {
            found = entry;
            any = true;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (!any)
        return -ENOENT;
    *ret_entry = found;
    return 0;
}

int rth__eh_frame_function_at(struct rth_image_reader *reader,
                              const struct rth_eh_frame_image *image, uint64_t vaddr,
                              uint64_t *ret_start, uint64_t *ret_limit)
{
    struct compiler *compiler = compiler_new(reader, image, SEARCH_BYTES);
    if (compiler == NULL)
        return -ENOMEM;
    const struct rth_cfi_cie *cie;
    struct rth_cfi_fde fde;
    struct entry entry;
    uint32_t offset;
    int error = offset_in_image(compiler, vaddr, &offset) ? table_search(compiler, offset, &entry)
                                                          : -ENOENT;
    if (error == 0)
        error = fde_at(compiler, image->vaddr_low + entry.record, &cie, &fde);
    if (error == 0 && (fde.start != image->vaddr_low + entry.start || vaddr >= fde.limit))
        error = -ENOENT;
    if (error == 0) {
        *ret_start = fde.start;
        *ret_limit = fde.limit;
    }
    rth__arena_free_nomalloc(compiler, sizeof(*compiler));
    return error;
}
