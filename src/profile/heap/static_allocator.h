/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_HEAP_STATIC_ALLOCATOR_H
#define RTH_PROFILE_HEAP_STATIC_ALLOCATOR_H

/*
 * An allocator that is linked into the program, or into a library of its own: its calls are bound
 * inside the file, where no wrapper can come between. It is known by the names of its functions, or
 * in a stripped file by its messages. Both are evidence that it is there, not that every
 * allocation goes to it.
 */

#include <stdbool.h>

#include "record/module.h"

#define RTH_STATIC_ALLOCATOR_EVIDENCE_BYTES 32

struct rth_static_allocator {
    const char *kind; /* "jemalloc" */
    bool in_executable;
    char evidence[RTH_STATIC_ALLOCATOR_EVIDENCE_BYTES]; /* the function, or the message */
    char module_path[RTH_MODULE_PATH_BYTES];
};

/*
 * Looks at the executable, then at the modules of the last rth__modules_refresh; files that define
 * malloc as well are such allocators as can be wrapped, and only the executable's is looked for.
 * 0; -ENOENT when there is none; -ENOMEM. rth-work. Cost: reads the symbol names of every file once
 * and constant data of 64 MiB at most: some milliseconds, 100 for a program with 10^6 symbols.
 */
int rth__static_allocator_find(int root_fd, struct rth_static_allocator *ret_found);

/* One file; fills kind and evidence. is_executable: its own malloc does not matter. 0; -ENOENT when
 * there is none; -ENOMEM; another negative errno for what is no ELF file of ours. */
int rth__static_allocator_in_file(int fd, bool is_executable,
                                  struct rth_static_allocator *ret_found);

#endif /* RTH_PROFILE_HEAP_STATIC_ALLOCATOR_H */
