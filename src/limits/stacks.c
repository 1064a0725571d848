/* SPDX-License-Identifier: MIT */
#include "limits/stacks.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/service_thread.h"
#include "os/dir.h"
#include "os/maps.h"
#include "os/procfs.h"
#include "os/rawsys.h"

#define THREADS_MAX       1024 /* more are not told apart from one another: not known */
#define STACK_BYTES_MAX   (UINT64_C(8) << 20)
#define PAGES_AT_A_TIME   256
#define STOPPED_READS_MAX 3

struct stacks {
    uint64_t pointers[THREADS_MAX];
    size_t count;
    struct rth_dir dir;
    struct rth_maps_reader maps;
};

/* The stack pointer of a thread; false while it runs. */
static bool read_pointer(int root_fd, int tid, uint64_t *ret_pointer)
{
    struct rth_proc_syscall where;
    for (int i = 0; i < STOPPED_READS_MAX; i++) {
        if (rth__proc_syscall_read(root_fd, 0, tid, &where) != 0)
            return false;
        if (!where.running) {
            *ret_pointer = where.sp;
            return true;
        }
    }
    return false;
}

/* Of all threads but the main one, the caller and ours. False when one is not known. */
static bool read_pointers(struct stacks *stacks, int root_fd)
{
    if (rth__dir_open(&stacks->dir, root_fd, "proc/self/task") != 0)
        return false;
    int self = rth__raw_gettid_sigsafe();
    int main_tid = rth__raw_getpid_sigsafe();
    bool all = true;
    int tid;
    while (all && (tid = rth__dir_next_number(&stacks->dir, NULL)) > 0) {
        if (tid == self || tid == main_tid || rth__service_thread_has(tid))
            continue;
        all = stacks->count < THREADS_MAX &&
              read_pointer(root_fd, tid, &stacks->pointers[stacks->count]);
        stacks->count += all;
    }
    rth__dir_close(&stacks->dir);
    return all;
}

static int64_t resident_bytes(uint64_t from, uint64_t to)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    int64_t resident = 0;
    unsigned char pages[PAGES_AT_A_TIME];
    for (uint64_t at = from & ~(page_bytes - 1); at < to; at += sizeof(pages) * page_bytes) {
        uint64_t size = to - at < sizeof(pages) * page_bytes ? to - at : sizeof(pages) * page_bytes;
        if (RTH__RAW(SYS_mincore, at, size, pages) != 0)
            return resident;
        for (uint64_t i = 0; i < size / page_bytes; i++)
            resident += (pages[i] & 1u) != 0 ? (int64_t)page_bytes : 0;
    }
    return resident;
}

static int64_t sum(struct stacks *stacks, int root_fd)
{
    if (stacks->count == 0)
        return 0;
    if (rth__maps_open(&stacks->maps, root_fd, 0) != 0)
        return -1;
    int64_t total = 0;
    size_t found = 0;
    while (rth__maps_next(&stacks->maps) == 1) {
        const struct rth_map *map = &stacks->maps.map;
        for (size_t i = 0; i < stacks->count; i++) {
            uint64_t pointer = stacks->pointers[i];
            if (pointer < map->start || pointer >= map->limit)
                continue;
            uint64_t end =
                map->limit - pointer > STACK_BYTES_MAX ? pointer + STACK_BYTES_MAX : map->limit;
            total += resident_bytes(pointer, end);
            found++;
        }
    }
    rth__maps_close(&stacks->maps);
    return found == stacks->count ? total : -1;
}

int64_t rth__stacks_resident_bytes(int root_fd)
{
    struct rth_proc_status status;
    struct stacks *stacks = rth__arena_alloc_nomalloc(sizeof(*stacks));
    int64_t total = -1;
    if (stacks != NULL && rth__proc_status_read(root_fd, 0, 0, &status) == 0 &&
        read_pointers(stacks, root_fd))
        total = sum(stacks, root_fd);
    rth__arena_free_nomalloc(stacks, sizeof(*stacks));
    return total < 0 ? -1 : total + (int64_t)status.vm_stack_kib * 1024;
}
