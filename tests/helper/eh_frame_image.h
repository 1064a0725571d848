/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_EH_FRAME_IMAGE_H
#define RTH_TESTS_HELPER_EH_FRAME_IMAGE_H

/*
 * An image with call frame information written by hand: code (only its addresses count) at
 * CODE_VADDR, .eh_frame_hdr at HDR_VADDR, .eh_frame at FRAME_VADDR.
 */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "unwind/eh_frame.h"

#define IMAGE_BYTES   65536u
#define CODE_VADDR    0x100u
#define HDR_VADDR     0x4000u
#define FRAME_VADDR   0x8000u
#define ENCODING_OMIT 0xff

struct frame_image {
    uint8_t bytes[IMAGE_BYTES];
    uint32_t at;          /* where the next byte goes */
    uint32_t length_at;   /* of the record that is open */
    uint32_t content_at;  /* behind its length */
    bool is_wide;         /* its length has 64 bits */
    uint32_t entry_count; /* of the search table */
    uint32_t hdr_bytes;   /* 0: as large as the table needs */
    uint64_t vaddr_high;  /* 0: IMAGE_BYTES */
    bool without_table;
};

static inline void image_init(struct frame_image *image)
{
    memset(image, 0, sizeof(*image));
    image->at = FRAME_VADDR;
}

static inline void put(struct frame_image *image, uint64_t value, unsigned size_bytes)
{
    assert(image->at + size_bytes <= IMAGE_BYTES);
    memcpy(image->bytes + image->at, &value, size_bytes);
    image->at += size_bytes;
}

static inline void put_bytes(struct frame_image *image, const void *bytes, size_t size_bytes)
{
    assert(image->at + size_bytes <= IMAGE_BYTES);
    memcpy(image->bytes + image->at, bytes, size_bytes);
    image->at += (uint32_t)size_bytes;
}

static inline void put_uleb(struct frame_image *image, uint64_t value)
{
    do {
        uint8_t byte = value & 0x7f;
        value >>= 7;
        put(image, byte | (value != 0 ? 0x80 : 0), 1);
    } while (value != 0);
}

static inline void put_sleb(struct frame_image *image, int64_t value)
{
    for (;;) {
        uint8_t byte = value & 0x7f;
        value >>= 7;
        bool last = (value == 0 && !(byte & 0x40)) || (value == -1 && (byte & 0x40));
        put(image, byte | (last ? 0 : 0x80), 1);
        if (last)
            return;
    }
}

/* Returns the vaddr of the record. */
static inline uint32_t record_begin(struct frame_image *image, bool is_wide)
{
    uint32_t record = image->at;
    image->is_wide = is_wide;
    if (is_wide)
        put(image, 0xffffffff, 4);
    image->length_at = image->at;
    put(image, 0, is_wide ? 8 : 4);
    image->content_at = image->at;
    return record;
}

static inline void record_end(struct frame_image *image)
{
    while (image->at % 4 != 0)
        put(image, 0, 1); /* DW_CFA_nop */
    uint64_t content_bytes = image->at - image->content_at;
    memcpy(image->bytes + image->length_at, &content_bytes, image->is_wide ? 8 : 4);
}

/* Opens a CIE: the caller adds augmentation data and instructions, then record_end. */
static inline uint32_t cie_begin(struct frame_image *image, const char *augmentation)
{
    uint32_t record = record_begin(image, image->is_wide);
    put(image, 0, 4);
    put(image, 1, 1);
    put_bytes(image, augmentation, strlen(augmentation) + 1);
    put_uleb(image, 1);
    put_sleb(image, -8);
    put(image, 16, 1);
    return record;
}

/* def_cfa rsp+8; the return address at cfa-8: what every x86-64 CIE begins with. */
static inline void put_usual_start(struct frame_image *image)
{
    put_bytes(image, (const uint8_t[]){0x0c, 7, 8, 0x80 | 16, 1}, 5);
}

static inline uint32_t usual_cie(struct frame_image *image)
{
    uint32_t record = cie_begin(image, "zR");
    put_uleb(image, 1);
    put(image, 0x1b, 1);
    put_usual_start(image);
    record_end(image);
    return record;
}

/* A row of the search table. */
static inline void entry_put(struct frame_image *image, uint32_t start, uint32_t record)
{
    int32_t pair[2] = {(int32_t)(start - HDR_VADDR), (int32_t)(record - HDR_VADDR)};
    memcpy(image->bytes + HDR_VADDR + 12 + (size_t)8 * image->entry_count++, pair, sizeof(pair));
}

/* Opens an FDE behind its CIE pointer. */
static inline uint32_t fde_open(struct frame_image *image, uint32_t cie, bool is_wide)
{
    uint32_t record = record_begin(image, is_wide);
    put(image, image->content_at - cie, 4);
    return record;
}

/* Opens an FDE of a usual CIE up to its instructions, and enters it into the table. */
static inline uint32_t usual_fde(struct frame_image *image, uint32_t cie, uint32_t start,
                                 uint32_t size_bytes)
{
    uint32_t record = fde_open(image, cie, false);
    put(image, start - image->at, 4);
    put(image, size_bytes, 4);
    put_uleb(image, 0);
    entry_put(image, start, record);
    return record;
}

/* Writes the header; the image as the reader takes it. */
static inline struct rth_eh_frame_image image_finish(struct frame_image *image)
{
    uint8_t *hdr = image->bytes + HDR_VADDR;
    uint32_t count = image->entry_count;
    int32_t frame = (int32_t)(FRAME_VADDR - (HDR_VADDR + 4));
    put(image, 0, 4); /* the terminator */
    memcpy(hdr,
           (const uint8_t[]){1, 0x1b, image->without_table ? ENCODING_OMIT : 0x03,
                             image->without_table ? ENCODING_OMIT : 0x3b},
           4);
    memcpy(hdr + 4, &frame, 4);
    memcpy(hdr + 8, &count, 4);
    return (struct rth_eh_frame_image){
        .load_bias = (uint64_t)(uintptr_t)image->bytes,
        .vaddr_low = 0,
        .vaddr_high = image->vaddr_high != 0 ? image->vaddr_high : IMAGE_BYTES,
        .hdr_vaddr = HDR_VADDR,
        .hdr_bytes = image->hdr_bytes != 0 ? image->hdr_bytes : 12 + 8 * count,
    };
}

static inline int image_compile(struct frame_image *image, struct rth_rows **ret_rows,
                                struct rth_eh_frame_counts *ret_counts)
{
    struct rth_eh_frame_image finished = image_finish(image);
    struct rth_image_reader reader = {0};
    int error = rth__eh_frame_compile(&reader, &finished, ret_rows, ret_counts);
    rth__image_reader_close(&reader);
    return error;
}

static inline int image_function_at(struct frame_image *image, uint64_t vaddr, uint64_t *ret_start,
                                    uint64_t *ret_limit)
{
    struct rth_eh_frame_image finished = image_finish(image);
    struct rth_image_reader reader = {0};
    int error = rth__eh_frame_function_at(&reader, &finished, vaddr, ret_start, ret_limit);
    rth__image_reader_close(&reader);
    return error;
}

#endif /* RTH_TESTS_HELPER_EH_FRAME_IMAGE_H */
