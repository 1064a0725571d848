/* SPDX-License-Identifier: MIT */

/* Any bytes as an ELF file and as an image in memory: no crash, no read outside of them, bounded
 * work, and names that are text. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/elf_symbols.h"
#include "symbols/resolve.h"

#define FRAMES 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct image {
    const uint8_t *data;
    size_t size;
};

static int read_image(const struct rth_elf_source *source, uint64_t offset, void *ret_bytes,
                      size_t size_bytes)
{
    const struct image *image = source->userdata;
    if (offset > image->size || size_bytes > image->size - offset)
        return -EBADMSG;
    memcpy(ret_bytes, image->data + offset, size_bytes);
    return 0;
}

static void check_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= RTH_SYMBOL_NAME_BYTES || strchr(name, '\n') != NULL)
        abort();
}

/* Frames all over the ranges of code. */
static size_t spread_frames(const struct rth_elf_symbol_table *table, rth_frame *frames)
{
    size_t count = 0;
    for (unsigned i = 0; i < table->code_range_count && count < FRAMES; i++) {
        uint64_t bytes = table->code_ranges[i].limit - table->code_ranges[i].start;
        for (unsigned k = 0; k < 8 && count < FRAMES; k++)
            frames[count++] = rth__frame_make(1, table->code_ranges[i].start + bytes / 8 * k);
    }
    rth__symbols_sort(frames, count);
    return count;
}

static void use_table(const struct rth_elf_symbol_table *table)
{
    static uint8_t buffer[RTH_SYMBOL_BUFFER_BYTES];
    static char window[RTH_SYMBOL_WINDOW_BYTES];
    rth_frame frames[FRAMES];
    uint64_t keys[FRAMES];
    struct rth_symbol_match matches[FRAMES] = {0};
    struct rth_symbol found[FRAMES] = {0};
    struct rth_symbol_names names = {0};
    struct rth_symbol_job job = {
        .table = table, .frames = frames, .matches = matches, .buffer = buffer, .window = window};
    if (table->symbol_count > RTH_ELF_SYMBOLS_MAX ||
        table->code_range_count > RTH_ELF_CODE_RANGES_MAX)
        abort();
    job.count = spread_frames(table, frames);
    if (job.count > 0 && rth__symbols_match(&job) == 0)
        (void)rth__symbol_names_read(&names, &job, keys, found);
    for (size_t i = 0; i < job.count; i++) {
        if (found[i].name != NULL)
            check_name(found[i].name);
    }
    rth__symbol_names_free(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("elf", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    struct rth_elf_symbol_table table;
    struct rth_elf_source file = rth__elf_source_of_fd(fd);
    if (rth__elf_symbol_table_open(&file, &table) == 0)
        use_table(&table);
    struct image image = {data, size};
    struct rth_elf_source memory = {.read = read_image, .userdata = &image};
    if (rth__elf_symbol_table_open_image(&memory, 0, size, 0x10000, &table) == 0)
        use_table(&table);
    return 0;
}
