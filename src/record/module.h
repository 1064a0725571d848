/* SPDX-License-Identifier: MIT */
#ifndef RTH_RECORD_MODULE_H
#define RTH_RECORD_MODULE_H

/*
 * Modules: the ELF files that code of this process comes from. A module id names one (build-id,
 * path); it survives dlclose and is never given to another file, so evidence recorded by id stays
 * readable. What is mapped now is a second thing: loaded ranges, found by address.
 *
 * Facts of a module are read from its image in memory (through process_vm_readv, so that a dlclose
 * meanwhile is an error and not a fault): a file deleted or replaced on disk changes nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "formats/elf.h"

#define RTH_MODULES_MAX       4096
#define RTH_MODULE_PATH_BYTES 512
#define RTH_MODULE_MORE_MAX   7

/* An executable mapping as the kernel lists it. */
struct rth_module_mapping {
    uint64_t start, limit, file_offset;
};

/* Immutable once published, but for the fields said to be otherwise. */
struct rth_module {
    uint32_t id;                      /* 1 … RTH_MODULES_MAX - 1 */
    char path[RTH_MODULE_PATH_BYTES]; /* as /proc/self/maps has it; "[vdso]" */
    bool is_vdso;
    uint8_t build_id_bytes; /* 0: none */
    uint8_t build_id[RTH_ELF_BUILD_ID_BYTES];
    /* The file as it was mapped; the symbol reader compares before it trusts a path. */
    uint32_t dev_major, dev_minor;
    uint64_t inode;
    /* Addresses as the file has them (vaddr); run-time address = vaddr + load_bias. */
    uint64_t image_vaddr_low, image_vaddr_high; /* of all PT_LOAD */
    uint64_t eh_frame_hdr_vaddr;                /* PT_GNU_EH_FRAME, 0 when there is none */
    uint64_t eh_frame_hdr_bytes;
    /* First executable mapping, for pprof: written again when it is mapped elsewhere later. */
    uint64_t last_load_bias;
    uint64_t last_exec_start, last_exec_limit, last_exec_file_offset;
    /* The others at that bias, of a file with more than one. */
    uint32_t more_count;
    struct rth_module_mapping more[RTH_MODULE_MORE_MAX];
    bool loaded; /* at the last refresh */
};

/* One executable mapping; sorted by start, not overlapping. */
struct rth_loaded_range {
    uint64_t start, limit;
    uint64_t load_bias;
    uint32_t module_id;
};

/*
 * A frame as everything records it: module id in the upper 16 bits, vaddr in the lower 48; id 0 is
 * code outside every known module (JIT, a module not yet seen) with the address itself. Leaf
 * frames hold the program counter, callers the return address minus one, so that both name the
 * instruction that was executing.
 */
typedef uint64_t rth_frame;

static inline rth_frame rth__frame_make(uint32_t module_id, uint64_t vaddr)
{
    return (uint64_t)module_id << 48 | (vaddr & UINT64_C(0xffffffffffff));
}
static inline uint32_t rth__frame_module_id(rth_frame frame)
{
    return (uint32_t)(frame >> 48);
}
static inline uint64_t rth__frame_vaddr(rth_frame frame)
{
    return frame & UINT64_C(0xffffffffffff);
}

/*
 * Reads /proc/self/maps, gives ids to modules seen for the first time and publishes the ranges.
 * Returns 1 when the ranges changed, 0 when not, a negative errno. Runs on rth-work (in an adopted
 * child on rth-admin): one at a time.
 */
int rth__modules_refresh(int root_fd);

/* A module by id; NULL for 0 and ids never given. The pointer stays valid for ever. Signal-safe. */
const struct rth_module *rth__module_by_id_sigsafe(uint32_t id);
uint32_t rth__module_count(void);
/* Modules that got no id because the table or memory is full: their frames have id 0. */
uint64_t rth__modules_dropped(void);

/* The absolute address of a frame, by the module's last load bias. */
uint64_t rth__frame_address(rth_frame frame);
/* The frame of an absolute address now; id 0 when it lies in no executable range. Signal-safe. */
rth_frame rth__frame_of_address_sigsafe(uint64_t address);

/* The published ranges, for the walker. Enter and leave bracket every use of the array: what is
 * replaced is given back only when nobody is inside. Signal-safe, nests, never waits. */
struct rth_loaded_ranges {
    uint32_t generation; /* rises with each publication; never 0 */
    uint32_t count;
    struct rth_loaded_range range[];
};
const struct rth_loaded_ranges *rth__ranges_enter_sigsafe(void);
void rth__ranges_leave_sigsafe(void);

void rth__modules_child_reset(void);

#endif /* RTH_RECORD_MODULE_H */
