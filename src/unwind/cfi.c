/* SPDX-License-Identifier: MIT */
#include "unwind/cfi.h"

#include <errno.h>
#include <string.h>

#include "unwind/leb.h"

#define LENGTH_64_BIT UINT64_C(0xffffffff)

/* DW_EH_PE_*: format in the low nibble, what it is relative to above it. */
enum {
    POINTER_ABSPTR = 0x00,
    POINTER_ULEB128 = 0x01,
    POINTER_UDATA2 = 0x02,
    POINTER_UDATA4 = 0x03,
    POINTER_UDATA8 = 0x04,
    POINTER_SLEB128 = 0x09,
    POINTER_SDATA2 = 0x0a,
    POINTER_SDATA4 = 0x0b,
    POINTER_SDATA8 = 0x0c,
    POINTER_FORMAT = 0x0f,
    POINTER_PCREL = 0x10,
    POINTER_DATAREL = 0x30,
    POINTER_ALIGNED = 0x50,
    POINTER_BASE = 0x70,
};

/* ---- reading ----------------------------------------------------------------------------------
 */

const uint8_t *rth__cfi_skip(struct rth_cfi_cursor *cursor, uint64_t size_bytes)
{
    if (cursor->failed || size_bytes > (uint64_t)(cursor->end - cursor->at)) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *at = cursor->at;
    cursor->at += size_bytes;
    return at;
}

uint64_t rth__cfi_uint(struct rth_cfi_cursor *cursor, unsigned size_bytes)
{
    uint64_t value = 0;
    const uint8_t *bytes = rth__cfi_skip(cursor, size_bytes);
    if (bytes != NULL)
        memcpy(&value, bytes, size_bytes); /* little-endian, as the processor */
    return value;
}

static int64_t read_int(struct rth_cfi_cursor *cursor, unsigned size_bytes)
{
    unsigned shift = 64 - 8 * size_bytes;
    return (int64_t)(rth__cfi_uint(cursor, size_bytes) << shift) >> shift;
}

static uint64_t read_leb(struct rth_cfi_cursor *cursor, bool is_signed)
{
    uint64_t value;
    if (cursor->failed || !rth__leb_read(&cursor->at, cursor->end, is_signed, &value)) {
        cursor->failed = true;
        return 0;
    }
    return value;
}

uint64_t rth__cfi_uleb(struct rth_cfi_cursor *cursor)
{
    return read_leb(cursor, false);
}

int64_t rth__cfi_sleb(struct rth_cfi_cursor *cursor)
{
    return (int64_t)read_leb(cursor, true);
}

static uint64_t read_formatted(struct rth_cfi_cursor *cursor, uint8_t format)
{
    switch (format) {
    case POINTER_ABSPTR:
    case POINTER_UDATA8:
    case POINTER_SDATA8:
        return rth__cfi_uint(cursor, 8);
    case POINTER_ULEB128:
        return rth__cfi_uleb(cursor);
    case POINTER_SLEB128:
        return (uint64_t)rth__cfi_sleb(cursor);
    case POINTER_UDATA2:
        return rth__cfi_uint(cursor, 2);
    case POINTER_UDATA4:
        return rth__cfi_uint(cursor, 4);
    case POINTER_SDATA2:
        return (uint64_t)read_int(cursor, 2);
    case POINTER_SDATA4:
        return (uint64_t)read_int(cursor, 4);
    default:
        cursor->failed = true;
        return 0;
    }
}

uint64_t rth__cfi_pointer(struct rth_cfi_cursor *cursor, const struct rth_cfi_base *base,
                          uint8_t encoding)
{
    if (encoding == RTH_CFI_POINTER_OMIT)
        return 0;
    uint64_t vaddr = cursor->start_vaddr + (uint64_t)(cursor->at - cursor->start);
    switch (encoding & POINTER_BASE) {
    case POINTER_ALIGNED:
        (void)rth__cfi_skip(cursor, (0 - vaddr) & 7);
        return rth__cfi_uint(cursor, 8) - base->load_bias;
    case POINTER_PCREL:
        return vaddr + read_formatted(cursor, encoding & POINTER_FORMAT);
    case POINTER_DATAREL:
        return base->data_vaddr + read_formatted(cursor, encoding & POINTER_FORMAT);
    case 0:
        return read_formatted(cursor, encoding & POINTER_FORMAT) - base->load_bias;
    default: /* relative to text or function: nothing that x86-64 produces */
        cursor->failed = true;
        return 0;
    }
}

unsigned rth__cfi_record_length(struct rth_cfi_cursor *cursor, uint64_t *ret_content_bytes)
{
    uint64_t content_bytes = rth__cfi_uint(cursor, 4);
    unsigned length_bytes = 4;
    if (content_bytes == LENGTH_64_BIT) {
        content_bytes = rth__cfi_uint(cursor, 8);
        length_bytes = 12;
    }
    *ret_content_bytes = content_bytes;
    return length_bytes;
}

/* ---- CIE and FDE ------------------------------------------------------------------------------
 */

static int augmentation_read(struct rth_cfi_cursor *content, const struct rth_cfi_base *base,
                             const char *letters, struct rth_cfi_cie *cie)
{
    struct rth_cfi_cursor data = *content;
    if (*letters == 'z') {
        uint64_t data_bytes = rth__cfi_uleb(content);
        data = *content;
        if (rth__cfi_skip(content, data_bytes) == NULL)
            return -EBADMSG;
        data.end = content->at;
        cie->has_augmentation_data = true;
        letters++;
    } else if (*letters != '\0') {
        return -ENOTSUP; /* "eh" of gcc 2: no length to skip what is not known */
    }
    for (; *letters != '\0'; letters++) {
        switch (*letters) {
        case 'R':
            cie->fde_encoding = (uint8_t)rth__cfi_uint(&data, 1);
            break;
        case 'L':
            (void)rth__cfi_uint(&data, 1);
            break;
        case 'P':
            (void)rth__cfi_pointer(&data, base, (uint8_t)rth__cfi_uint(&data, 1) & 0x7f);
            break;
        case 'S':
            cie->is_signal_frame = true;
            break;
        case 'B': /* return addresses signed with the other key, and tagged stacks: no data */
        case 'G':
            break;
        default:
            return -ENOTSUP;
        }
    }
    return data.failed ? -EBADMSG : 0;
}

int rth__cfi_cie_read(struct rth_cfi_machine *machine, struct rth_cfi_cursor *content,
                      uint64_t vaddr, struct rth_cfi_cie *ret_cie)
{
    size_t content_bytes = (size_t)(content->end - content->at);
    if (content_bytes > sizeof(ret_cie->content))
        return -ENOTSUP;
    memset(ret_cie, 0, sizeof(*ret_cie));
    memcpy(ret_cie->content, content->at, content_bytes);
    struct rth_cfi_cursor own = {
        .start = ret_cie->content,
        .at = ret_cie->content,
        .end = ret_cie->content + content_bytes,
        .start_vaddr = content->start_vaddr + (uint64_t)(content->at - content->start),
    };
    unsigned version = (unsigned)rth__cfi_uint(&own, 1);
    if (version != 1 && version != 3 && version != 4)
        return -ENOTSUP;
    const char *letters = (const char *)own.at;
    if (memchr(letters, '\0', (size_t)(own.end - own.at)) == NULL)
        return -EBADMSG;
    own.at += strlen(letters) + 1;
    if (version == 4 && (rth__cfi_uint(&own, 1) != 8 || rth__cfi_uint(&own, 1) != 0))
        return -ENOTSUP; /* other address or segment sizes */
    ret_cie->code_align = rth__cfi_uleb(&own);
    ret_cie->data_align = rth__cfi_sleb(&own);
    uint64_t return_column = version == 1 ? rth__cfi_uint(&own, 1) : rth__cfi_uleb(&own);
    if (own.failed)
        return -EBADMSG;
    if (return_column != RTH_REG_RA)
        return -ENOTSUP;
    int error = augmentation_read(&own, &machine->base, letters, ret_cie);
    if (error < 0)
        return error;
    error = rth__cfi_run_initial(machine, ret_cie, &own);
    if (error < 0)
        return error;
    ret_cie->initial = machine->now;
    ret_cie->vaddr = vaddr;
    return 0;
}

int rth__cfi_fde_read(struct rth_cfi_cursor *content, const struct rth_cfi_cie *cie,
                      const struct rth_cfi_base *base, struct rth_cfi_fde *ret_fde)
{
    if (cie->fde_encoding == RTH_CFI_POINTER_OMIT || (cie->fde_encoding & 0x80))
        return -EBADMSG;
    uint64_t start = rth__cfi_pointer(content, base, cie->fde_encoding);
    uint64_t size_bytes = read_formatted(content, cie->fde_encoding & POINTER_FORMAT);
    /* The length is no offset: what it is relative to does not apply, nor does a sign. */
    switch (cie->fde_encoding & POINTER_FORMAT) {
    case POINTER_SDATA4:
        size_bytes = (uint32_t)size_bytes;
        break;
    case POINTER_SDATA2:
        size_bytes = (uint16_t)size_bytes;
        break;
    default:
        break;
    }
    if (cie->has_augmentation_data)
        (void)rth__cfi_skip(content, rth__cfi_uleb(content));
    uint64_t limit;
    if (content->failed || __builtin_add_overflow(start, size_bytes, &limit))
        return -EBADMSG;
    ret_fde->start = start;
    ret_fde->limit = limit;
    ret_fde->program = *content;
    return 0;
}
