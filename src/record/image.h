/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_IMAGE_H
#define RTH_RECORD_IMAGE_H

/*
 * The image of an ELF file in our own memory, read by system calls: what another thread unmaps
 * meanwhile is an error and not a fault. The content is hostile: every offset is checked, and work
 * is bounded whatever the headers say.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/elf.h"

/* Reads with process_vm_readv, or with pread on proc/self/mem below root_fd where a seccomp filter
 * refuses the former. Zero initialised but for root_fd; close gives the descriptor back. */
struct rth_image_reader {
    int root_fd;
    bool has_mem_fd;
    int mem_fd;
};
/* As many of the bytes from address on as are readable without a gap: their number (at least 1) or
 * a negative errno. */
ssize_t rth__image_read_some(struct rth_image_reader *reader, uint64_t address, void *buffer,
                             size_t size_bytes);
/* All of them: 0, or a negative errno. */
int rth__image_read(struct rth_image_reader *reader, uint64_t address, void *buffer,
                    size_t size_bytes);
void rth__image_reader_close(struct rth_image_reader *reader);

#define RTH_IMAGE_EXEC_SEGMENTS_MAX 8

/* Addresses as the file has them (vaddr). */
struct rth_image_facts {
    uint64_t vaddr_low, vaddr_high; /* of all PT_LOAD, vaddr_low at the start of its page */
    uint64_t header_vaddr;          /* of file offset 0 */
    uint64_t eh_frame_hdr_vaddr, eh_frame_hdr_bytes;
    uint8_t build_id_bytes;
    uint8_t build_id[RTH_ELF_BUILD_ID_BYTES];
    unsigned exec_segment_count;
    struct {
        uint64_t file_offset, vaddr, file_bytes;
    } exec_segment[RTH_IMAGE_EXEC_SEGMENTS_MAX];
};

/* Facts of the image whose ELF header lies at `address`. 0; -ENOEXEC when there is none of our own
 * class and machine; -EBADMSG when it is broken; another negative errno when it cannot be read. */
int rth__image_facts_read(struct rth_image_reader *reader, uint64_t address,
                          struct rth_image_facts *ret_facts);
/* What is to be added to the vaddr of code that was mapped at `start` from file_offset on; false
 * when no executable segment has it. */
bool rth__image_bias(const struct rth_image_facts *facts, uint64_t start, uint64_t limit,
                     uint64_t file_offset, uint64_t *ret_load_bias);

#endif /* RTH_RECORD_IMAGE_H */
