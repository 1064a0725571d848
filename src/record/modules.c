/* SPDX-License-Identifier: MIT */
/*
 * Modules.
 *
 * Purpose: one number for each ELF file that code of this process ever came from, and a table from
 * addresses to them that a signal handler can read. Nothing asks the loader: its lock may be held
 * by the very thread that is interrupted. What is mapped comes from /proc/self/maps, facts of a
 * file from its image in memory, so neither a deleted file nor a concurrent dlclose matters, and a
 * program started through ld.so is like any other.
 * Shape: a table of pointers that are written once, and the ranges of src/record/ranges.c. An
 * executable mapping belongs to the file whose first page was mapped last before it; executable
 * memory of no ELF file (JIT) is a range of module 0, so that code there is known to be code.
 * Threads: rth__modules_refresh one at a time, all else from anywhere, without a lock.
 * Failure: a full table or arena leaves code as module 0, counted. Cost of a refresh: one pass over
 * /proc/self/maps when nothing changed; else two, and some six system calls per module.
 */
#include "record/module.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/arena.h"
#include "os/maps.h"
#include "record/image.h"
#include "record/ranges.h"

#define ADDRESS_LIMIT (UINT64_C(1) << 47)
#define PAGE_BYTES    UINT64_C(4096)
#define VDSO_PATH     "[vdso]"

static _Atomic(struct rth_module *) module_table[RTH_MODULES_MAX]; /* [0] stays NULL */
static _Atomic uint32_t module_limit = 1;                          /* ids below it are given */
static _Atomic uint64_t modules_dropped;

/* The refresh's own; too large for the stack of rth-work. */
static uint64_t identity_hash[RTH_MODULES_MAX];
static bool module_seen[RTH_MODULES_MAX];
static struct rth_maps_reader maps;
static uint64_t published_hash; /* of the executable mappings behind the published ranges */

struct refresh {
    struct rth_image_reader reader;
    struct rth_loaded_ranges *ranges;
    uint32_t capacity;
    uint64_t hash;
    uint64_t dropped;
    bool has_image;
    struct rth_map image; /* where the start of a file was mapped last */
    bool image_read;      /* the two below are known */
    uint32_t image_module_id;
    struct rth_image_facts facts;
};
static struct refresh current;

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size_bytes)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size_bytes; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}
#define HASH_START UINT64_C(0xcbf29ce484222325)

static uint64_t hash_map(uint64_t hash, const struct rth_map *map)
{
    const uint64_t numbers[] = {map->start, map->limit, map->offset, map->inode,
                                (uint64_t)map->dev_major << 32 | map->dev_minor};
    hash = hash_bytes(hash, numbers, sizeof(numbers));
    return hash_bytes(hash, map->path, strlen(map->path));
}

/* ---- the table of modules ---------------------------------------------------------------------
 */

static struct rth_module *module_at(uint32_t id)
{
    return atomic_load_explicit(&module_table[id], memory_order_acquire);
}

/* A file without a build-id is the same only while it is the same inode. */
static uint64_t identity_of(const struct rth_map *map, const struct rth_image_facts *facts)
{
    uint64_t hash = hash_bytes(HASH_START, map->path, strlen(map->path));
    if (facts->build_id_bytes != 0)
        return hash_bytes(hash, facts->build_id, facts->build_id_bytes);
    const uint64_t file[] = {map->inode, map->dev_major, map->dev_minor};
    return hash_bytes(hash, file, sizeof(file));
}

static bool is_same_module(const struct rth_module *module, const struct rth_map *map,
                           const struct rth_image_facts *facts)
{
    if (strncmp(module->path, map->path, sizeof(module->path) - 1) != 0 ||
        module->build_id_bytes != facts->build_id_bytes)
        return false;
    if (facts->build_id_bytes != 0)
        return memcmp(module->build_id, facts->build_id, facts->build_id_bytes) == 0;
    return module->inode == map->inode && module->dev_major == map->dev_major &&
           module->dev_minor == map->dev_minor;
}

static struct rth_module *module_new(uint32_t id, const struct rth_map *map,
                                     const struct rth_image_facts *facts)
{
    struct rth_module *module = rth__arena_alloc_nomalloc(sizeof(*module));
    if (module == NULL)
        return NULL;
    module->id = id;
    memcpy(module->path, map->path, strnlen(map->path, sizeof(module->path) - 1));
    module->is_vdso = strcmp(map->path, VDSO_PATH) == 0;
    module->build_id_bytes = facts->build_id_bytes;
    memcpy(module->build_id, facts->build_id, facts->build_id_bytes);
    module->dev_major = map->dev_major;
    module->dev_minor = map->dev_minor;
    module->inode = map->inode;
    module->image_vaddr_low = facts->vaddr_low;
    module->image_vaddr_high = facts->vaddr_high;
    module->eh_frame_hdr_vaddr = facts->eh_frame_hdr_vaddr;
    module->eh_frame_hdr_bytes = facts->eh_frame_hdr_bytes;
    return module;
}

/* The id of the mapped file, a new one when it was never seen; 0 when there is no room. */
static uint32_t module_id_of(const struct rth_map *map, const struct rth_image_facts *facts)
{
    uint64_t hash = identity_of(map, facts);
    uint32_t limit = atomic_load_explicit(&module_limit, memory_order_relaxed);
    for (uint32_t id = 1; id < limit; id++) {
        if (identity_hash[id] == hash && is_same_module(module_at(id), map, facts))
            return id;
    }
    struct rth_module *module = limit < RTH_MODULES_MAX ? module_new(limit, map, facts) : NULL;
    if (module == NULL) {
        current.dropped++;
        return 0;
    }
    identity_hash[limit] = hash;
    atomic_store_explicit(&module_table[limit], module, memory_order_release);
    atomic_store_explicit(&module_limit, limit + 1, memory_order_release);
    return limit;
}

/* ---- one pass over the mappings ---------------------------------------------------------------
 */

static bool is_of_file(const struct rth_map *map)
{
    return map->path[0] == '/' || strcmp(map->path, VDSO_PATH) == 0;
}

static bool is_of_image(const struct rth_map *map)
{
    const struct rth_map *image = &current.image;
    return current.has_image && map->inode == image->inode && map->dev_major == image->dev_major &&
           map->dev_minor == image->dev_minor && strcmp(map->path, image->path) == 0;
}

static void image_begin(const struct rth_map *map)
{
    current.has_image = true;
    current.image_read = false;
    current.image_module_id = 0;
    current.image = *map;
}

static void image_read(void)
{
    current.image_read = true;
    if (rth__image_facts_read(&current.reader, current.image.start, &current.facts) == 0)
        current.image_module_id = module_id_of(&current.image, &current.facts);
}

static uint64_t image_bias(void)
{
    return current.image.start - current.facts.header_vaddr;
}

static bool lies_in_image(const struct rth_map *map)
{
    return map->start >= image_bias() + current.facts.vaddr_low &&
           map->limit <=
               ((image_bias() + current.facts.vaddr_high + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
}

/* Which module the executable mapping belongs to, 0 for none, and its bias. */
static uint32_t module_of_map(const struct rth_map *map, uint64_t *ret_load_bias)
{
    *ret_load_bias = 0;
    bool is_file = is_of_file(map);
    if (is_file ? !is_of_image(map) : !current.has_image)
        return 0;
    if (!current.image_read) {
        /* Files that hold no code are not looked into: theirs may be a page on a dead server. Text
         * that was copied to anonymous (huge) pages in place follows the file's first segment. */
        if (!is_file && map->start != current.image.limit)
            return 0;
        image_read();
    }
    if (current.image_module_id == 0)
        return 0;
    if (is_file &&
        rth__image_bias(&current.facts, map->start, map->limit, map->offset, ret_load_bias))
        return current.image_module_id;
    /* Copied text, or a file that was mapped whole as it lies. */
    if (!lies_in_image(map))
        return 0;
    *ret_load_bias = image_bias();
    return current.image_module_id;
}

/* What the kernel says, or, for text that was copied elsewhere, where it was copied from. */
static uint64_t file_offset_of(const struct rth_map *map, uint64_t load_bias)
{
    uint64_t vaddr = map->start - load_bias;
    for (unsigned i = 0; i < current.facts.exec_segment_count && !is_of_file(map); i++) {
        uint64_t segment_page = current.facts.exec_segment[i].vaddr & ~(PAGE_BYTES - 1);
        if (vaddr >= segment_page &&
            vaddr - segment_page < current.facts.exec_segment[i].file_bytes)
            return current.facts.exec_segment[i].file_offset + vaddr -
                   current.facts.exec_segment[i].vaddr;
    }
    return map->offset;
}

static void module_mapped(uint32_t id, const struct rth_map *map, uint64_t load_bias)
{
    struct rth_module *module = module_at(id);
    uint64_t file_offset = file_offset_of(map, load_bias);
    if (module_seen[id]) {
        uint32_t count = module->more_count;
        if (load_bias == module->last_load_bias && count < RTH_MODULE_MORE_MAX) {
            module->more[count] = (struct rth_module_mapping){map->start, map->limit, file_offset};
            __atomic_store_n(&module->more_count, count + 1, __ATOMIC_RELEASE);
        }
        return;
    }
    module_seen[id] = true;
    __atomic_store_n(&module->more_count, 0, __ATOMIC_RELAXED);
    /* Read by others while written: each value is whole, and any of them was true once. */
    __atomic_store_n(&module->last_load_bias, load_bias, __ATOMIC_RELAXED);
    __atomic_store_n(&module->last_exec_start, map->start, __ATOMIC_RELAXED);
    __atomic_store_n(&module->last_exec_limit, map->limit, __ATOMIC_RELAXED);
    __atomic_store_n(&module->last_exec_file_offset, file_offset, __ATOMIC_RELAXED);
}

/* 0, or -ENOSPC when there are more ranges than were counted. */
static int range_add(const struct rth_map *map)
{
    struct rth_loaded_ranges *ranges = current.ranges;
    uint64_t load_bias;
    uint32_t id = module_of_map(map, &load_bias);
    if (id != 0)
        module_mapped(id, map, load_bias);
    struct rth_loaded_range *last = ranges->count > 0 ? &ranges->range[ranges->count - 1] : NULL;
    if (last != NULL && map->start < last->limit)
        return 0; /* the kernel moved mappings while the text was read: the next refresh sees */
    if (last != NULL && last->limit == map->start && last->module_id == id &&
        last->load_bias == load_bias) {
        last->limit = map->limit;
        return 0;
    }
    if (ranges->count == current.capacity)
        return -ENOSPC;
    ranges->range[ranges->count++] = (struct rth_loaded_range){
        .start = map->start, .limit = map->limit, .load_bias = load_bias, .module_id = id};
    return 0;
}

/* Calls step for every mapping of user space; a negative result ends the pass. */
static int for_each_map(int root_fd, int (*step)(const struct rth_map *map))
{
    int result = rth__maps_open(&maps, root_fd, 0);
    if (result < 0)
        return result;
    while ((result = rth__maps_next(&maps)) != 0) {
        if (result == -EBADMSG)
            continue; /* one line; a path longer than any we keep */
        if (result > 0 && maps.map.limit <= ADDRESS_LIMIT)
            result = step(&maps.map);
        if (result < 0)
            break;
    }
    rth__maps_close(&maps);
    return result;
}

static int count_map(const struct rth_map *map)
{
    if (!(map->flags & RTH_MAP_EXEC))
        return 0;
    current.hash = hash_map(current.hash, map);
    if (current.capacity < RTH_RANGES_MAX)
        current.capacity++;
    return 0;
}

static int take_map(const struct rth_map *map)
{
    if (map->offset == 0 && (map->flags & RTH_MAP_READ) && is_of_file(map))
        image_begin(map);
    if (!(map->flags & RTH_MAP_EXEC))
        return 0;
    current.hash = hash_map(current.hash, map);
    return range_add(map);
}

static int ranges_read(int root_fd)
{
    current.ranges = rth__ranges_new(current.capacity);
    if (current.ranges == NULL)
        return -ENOMEM;
    memset(module_seen, 0, sizeof(module_seen));
    current.hash = HASH_START;
    int error = for_each_map(root_fd, take_map);
    rth__image_reader_close(&current.reader);
    if (error == -ENOSPC) {
        /* What was counted before; the next refresh finds another hash and takes the rest. */
        current.hash = 0;
        error = 0;
    }
    if (error < 0)
        rth__ranges_drop(current.ranges);
    return error;
}

int rth__modules_refresh(int root_fd)
{
    memset(&current, 0, sizeof(current));
    current.reader.root_fd = root_fd;
    current.hash = HASH_START;
    int error = for_each_map(root_fd, count_map);
    if (error < 0)
        return error;
    if (current.hash == published_hash)
        return 0;
    error = ranges_read(root_fd);
    if (error < 0)
        return error;
    published_hash = current.hash;
    atomic_store_explicit(&modules_dropped, current.dropped, memory_order_relaxed);
    uint32_t limit = atomic_load_explicit(&module_limit, memory_order_relaxed);
    for (uint32_t id = 1; id < limit; id++)
        __atomic_store_n(&module_at(id)->loaded, module_seen[id], __ATOMIC_RELAXED);
    rth__ranges_publish(current.ranges);
    return 1;
}

/* ---- readers ----------------------------------------------------------------------------------
 */

const struct rth_module *rth__module_by_id_sigsafe(uint32_t id)
{
    return id < RTH_MODULES_MAX ? module_at(id) : NULL;
}

uint32_t rth__module_count(void)
{
    return atomic_load_explicit(&module_limit, memory_order_acquire) - 1;
}

uint64_t rth__modules_dropped(void)
{
    return atomic_load_explicit(&modules_dropped, memory_order_relaxed);
}

uint64_t rth__frame_address(rth_frame frame)
{
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(frame));
    uint64_t bias = module == NULL ? 0 : __atomic_load_n(&module->last_load_bias, __ATOMIC_RELAXED);
    return rth__frame_vaddr(frame) + bias;
}

void rth__modules_child_reset(void)
{
    /* Modules and ranges are as true in the child as they were in the parent. */
    rth__ranges_child_reset();
}
