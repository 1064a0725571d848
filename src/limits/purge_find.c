/* SPDX-License-Identifier: MIT */
/*
 * Which function gives the allocator's free memory back.
 *
 * Several allocators may be in a process (libc's always is); the one that counts is the one whose
 * malloc answers the program. So a function is taken only if it lies in the same object as that
 * malloc. An allocator inside the executable is found if the executable exports its functions; a
 * copy with hidden names in some library serves that library alone and is never touched.
 *
 * Threads: found once, on a thread of the host, since the loader's lock may be held by a dlopen for
 * as long as that takes; called by rth-reclaim.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/env.h"
#include "limits/purge.h"

/* jemalloc's index for all arenas at once: a constant from 5.0 on, before it the number of arenas.
 */
#define JEMALLOC_ALL_ARENAS 4096u
/* tcmalloc gives back by pieces: long enough to be worth a call, short enough not to stall. */
#define TCMALLOC_PIECE_MIN_BYTES (UINT64_C(8) << 20)
#define TCMALLOC_PIECE_MAX_BYTES (UINT64_C(32) << 20)

/* malloc.h's, for libraries that lack it. */
#define GLIBC_M_ARENA_MAX (-8)

typedef int (*mallctl_fn)(const char *name, void *old, size_t *old_bytes, void *new_value,
                          size_t new_bytes);

/* Written by rth__purge_find, before rth-reclaim exists. */
static const char *method;
static void (*purge_now)(uint64_t wanted_bytes);
static union {
    int (*malloc_trim)(size_t pad);
    mallctl_fn mallctl;
    void (*release_to_system)(size_t size_bytes);          /* gperftools */
    size_t (*release_memory_to_system)(size_t size_bytes); /* tcmalloc */
    void (*mi_collect)(bool force);
} allocator;
static char jemalloc_purge[32]; /* "arena.4096.purge" */

static size_t piece_of(uint64_t wanted_bytes)
{
    return wanted_bytes < TCMALLOC_PIECE_MIN_BYTES   ? (size_t)TCMALLOC_PIECE_MIN_BYTES
           : wanted_bytes > TCMALLOC_PIECE_MAX_BYTES ? (size_t)TCMALLOC_PIECE_MAX_BYTES
                                                     : (size_t)wanted_bytes;
}

static void purge_glibc(uint64_t wanted_bytes)
{
    (void)wanted_bytes;
    (void)allocator.malloc_trim(0);
}

static void purge_jemalloc(uint64_t wanted_bytes)
{
    (void)wanted_bytes;
    (void)allocator.mallctl(jemalloc_purge, NULL, NULL, NULL, 0);
}

static void purge_gperftools(uint64_t wanted_bytes)
{
    allocator.release_to_system(piece_of(wanted_bytes));
}

static void purge_tcmalloc(uint64_t wanted_bytes)
{
    (void)allocator.release_memory_to_system(piece_of(wanted_bytes));
}

static void purge_mimalloc(uint64_t wanted_bytes)
{
    (void)wanted_bytes;
    allocator.mi_collect(true);
}

/* The name of that node: jemalloc knows itself how it counts. */
static bool name_jemalloc_node(mallctl_fn mallctl)
{
    const char *version = NULL;
    size_t size_bytes = sizeof(version);
    unsigned arenas = 0, all = JEMALLOC_ALL_ARENAS;
    if (mallctl("version", &version, &size_bytes, NULL, 0) != 0 || version == NULL ||
        version[0] < '0' || version[0] > '9')
        return false;
    bool has_constant = version[0] >= '5' || version[1] != '.';
    size_bytes = sizeof(arenas);
    if (!has_constant) {
        if (mallctl("arenas.narenas", &arenas, &size_bytes, NULL, 0) != 0)
            return false;
        all = arenas;
    }
    (void)snprintf(jemalloc_purge, sizeof(jemalloc_purge), "arena.%u.purge", all);
    return true;
}

static const void *object_of(const void *address)
{
    Dl_info info;
    return address != NULL && dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

/* The function of that name, if it is of that object. */
static void *function_in(const void *object, const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    return function != NULL && object_of(function) == object ? function : NULL;
}

static void find_in(const void *object)
{
    void *function;
    if ((function = function_in(object, "mallctl")) != NULL) {
        memcpy(&allocator.mallctl, &function, sizeof(function));
        if (name_jemalloc_node(allocator.mallctl)) {
            method = "jemalloc";
            purge_now = purge_jemalloc;
        }
    } else if ((function = function_in(object, "MallocExtension_ReleaseToSystem")) != NULL) {
        memcpy(&allocator.release_to_system, &function, sizeof(function));
        method = "gperftools";
        purge_now = purge_gperftools;
    } else if ((function = function_in(object, "MallocExtension_Internal_ReleaseMemoryToSystem")) !=
               NULL) {
        memcpy(&allocator.release_memory_to_system, &function, sizeof(function));
        method = "tcmalloc";
        purge_now = purge_tcmalloc;
    } else if ((function = function_in(object, "mi_collect")) != NULL) {
        memcpy(&allocator.mi_collect, &function, sizeof(function));
        method = "mimalloc";
        purge_now = purge_mimalloc;
    } else if ((function = function_in(object, "malloc_trim")) != NULL) {
        memcpy(&allocator.malloc_trim, &function, sizeof(function));
        method = "malloc_trim";
        purge_now = purge_glibc;
    }
}

void rth__purge_find(const void *serving_malloc)
{
    method = NULL;
    purge_now = NULL;
    if (serving_malloc == NULL)
        serving_malloc = dlsym(RTLD_DEFAULT, "malloc");
    const void *object = object_of(serving_malloc);
    if (object != NULL)
        find_in(object);
}

const char *rth__purge_method(void)
{
    return method;
}

void rth__purge_call(uint64_t wanted_bytes)
{
    if (purge_now != NULL)
        purge_now(wanted_bytes);
}

unsigned rth__purge_cap_arenas(unsigned workers)
{
    const char *const *environment = (const char *const *)environ;
    const char *tunables = rth__env_get(environment, "GLIBC_TUNABLES");
    if (method == NULL || purge_now != purge_glibc ||
        rth__env_get(environment, "MALLOC_ARENA_MAX") != NULL ||
        (tunables != NULL && strstr(tunables, "glibc.malloc.arena_max") != NULL))
        return 0;
    void *function = dlsym(RTLD_DEFAULT, "mallopt");
    int (*mallopt_of_libc)(int parameter, int value);
    if (function == NULL || object_of(function) != object_of(dlsym(RTLD_DEFAULT, "malloc_trim")))
        return 0;
    memcpy(&mallopt_of_libc, &function, sizeof(function));
    unsigned cap = workers > 2 ? workers : 2;
    return mallopt_of_libc(GLIBC_M_ARENA_MAX, (int)cap) == 1 ? cap : 0;
}
