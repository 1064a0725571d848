/* SPDX-License-Identifier: MIT */
/*
 * Where the symbols of a module are, and whether they are the module's.
 *
 * The file is looked for twice: behind the mapping itself (/proc/self/map_files reaches a file that
 * was deleted or replaced on disk, but takes a privilege), then by its path. Neither is believed
 * before its build-id is the module's; a module without one must have its device and inode. What
 * can't be opened is read from memory, where the exported names of a loaded module are.
 *
 * Opening never waits: a path may have become a FIFO meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "formats/elf.h"
#include "os/fd.h"
#include "symbols/resolve.h"

#define MAP_FILES_BYTES 80

static bool is_the_module(int fd, const struct rth_module *module)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    if (module->build_id_bytes == 0)
        return status.st_ino == module->inode && major(status.st_dev) == module->dev_major &&
               minor(status.st_dev) == module->dev_minor;
    struct rth_elf_facts facts;
    return rth__elf_facts_read(fd, &facts) == 0 && facts.build_id_bytes == module->build_id_bytes &&
           memcmp(facts.build_id, module->build_id, module->build_id_bytes) == 0;
}

static int open_file(const struct rth_module *module, int root_fd, const char *path,
                     struct rth_module_symbols *ret_symbols)
{
    int fd = rth__openat(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    int error = -ESTALE;
    if (is_the_module(fd, module)) {
        struct rth_elf_source source = rth__elf_source_of_fd(fd);
        error = rth__elf_symbol_table_open(&source, &ret_symbols->table);
    }
    ret_symbols->fd = error == 0 ? fd : rth__close(fd);
    return error;
}

static int read_memory(const struct rth_elf_source *source, uint64_t offset, void *ret_bytes,
                       size_t size_bytes)
{
    struct rth_module_symbols *symbols = source->userdata;
    int error =
        rth__image_read(&symbols->reader, offset + symbols->load_bias, ret_bytes, size_bytes);
    return error == -EFAULT || error == -EIO ? -EBADMSG : error;
}

/* Another file may have been mapped in the place of one that was unloaded since the last look. */
static bool is_still_there(struct rth_module_symbols *symbols, const struct rth_module *module)
{
    struct rth_image_facts facts;
    return rth__image_facts_read(&symbols->reader, module->image_vaddr_low + symbols->load_bias,
                                 &facts) == 0 &&
           facts.build_id_bytes == module->build_id_bytes &&
           memcmp(facts.build_id, module->build_id, module->build_id_bytes) == 0 &&
           facts.vaddr_high == module->image_vaddr_high;
}

static int open_image(const struct rth_module *module, int root_fd,
                      struct rth_module_symbols *ret_symbols)
{
    *ret_symbols = (struct rth_module_symbols){
        .fd = -1, .reader = {.root_fd = root_fd}, .load_bias = module->last_load_bias};
    struct rth_elf_source source = {.read = read_memory, .userdata = ret_symbols};
    int error = -ESTALE;
    if (is_still_there(ret_symbols, module))
        error = rth__elf_symbol_table_open_image(&source, module->image_vaddr_low,
                                                 module->image_vaddr_high, module->last_load_bias,
                                                 &ret_symbols->table);
    if (error != 0)
        rth__image_reader_close(&ret_symbols->reader);
    return error;
}

int rth__module_symbols_open(const struct rth_module *module, int root_fd,
                             struct rth_module_symbols *ret_symbols)
{
    int error = -ENOENT;
    if (module->loaded && !module->is_vdso) {
        char path[MAP_FILES_BYTES];
        (void)snprintf(path, sizeof(path), "proc/self/map_files/%llx-%llx",
                       (unsigned long long)module->last_exec_start,
                       (unsigned long long)module->last_exec_limit);
        error = open_file(module, root_fd, path, ret_symbols);
    }
    if (error != 0 && module->path[0] == '/')
        error = open_file(module, root_fd, module->path + 1, ret_symbols);
    if (error != 0 && module->loaded)
        error = open_image(module, root_fd, ret_symbols);
    return error;
}

void rth__module_symbols_close(struct rth_module_symbols *symbols)
{
    if (symbols->fd < 0)
        rth__image_reader_close(&symbols->reader);
    symbols->fd = rth__close(symbols->fd);
}
