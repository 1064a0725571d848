/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_EH_FRAME_H
#define RTH_UNWIND_EH_FRAME_H

/* Compiles the .eh_frame of one image in memory into rows; finds one function in it. */

#include "record/image.h"
#include "unwind/rows.h"

struct rth_eh_frame_image {
    uint64_t load_bias;
    uint64_t vaddr_low, vaddr_high;
    uint64_t hdr_vaddr, hdr_bytes; /* .eh_frame_hdr */
};

struct rth_eh_frame_counts {
    uint64_t eh_frame_bytes; /* from the first to the last record that was used */
    uint64_t fdes, fdes_refused;
};

/*
 * Returns 0 with the rows (to be freed by rth__rows_free); -ENOENT when the header leads to no
 * table and no records; -EBADMSG for a header nobody can read; -ENOMEM; another negative errno when
 * the image cannot be read (any more).
 */
int rth__eh_frame_compile(struct rth_image_reader *reader, const struct rth_eh_frame_image *image,
                          struct rth_rows **ret_rows, struct rth_eh_frame_counts *ret_counts);

/* The code from its first to behind its last byte that one FDE describes, vaddr in it: 0; -ENOENT
 * when the header's search table has none; -EBADMSG; -ENOMEM; another negative errno when the image
 * cannot be read. Cost: 15 us. */
int rth__eh_frame_function_at(struct rth_image_reader *reader,
                              const struct rth_eh_frame_image *image, uint64_t vaddr,
                              uint64_t *ret_start, uint64_t *ret_limit);

#endif /* RTH_UNWIND_EH_FRAME_H */
