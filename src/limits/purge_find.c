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
#define TCMALLOC_PIECE_MIN_BYTES (UINT64_C(16) << 20)
#define TCMALLOC_PIECE_MAX_BYTES (UINT64_C(64) << 20)

/* Of the limit, for all thread caches together. */
#define THREAD_CACHES_DIVISOR   32
#define THREAD_CACHES_MIN_BYTES (UINT64_C(4) << 20)

/* malloc.h's, for libraries that lack it. */
#define GLIBC_M_ARENA_MAX (-8)

typedef int (*mallctl_fn)(const char *name, void *old, size_t *old_bytes, void *new_value,
                          size_t new_bytes);

/* Written by rth__purge_find, before rth-reclaim exists. */
static const void *serving_object; /* whose malloc answers the program */
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
    if (wanted_bytes < TCMALLOC_PIECE_MAX_BYTES)
        wanted_bytes *= 2; /* the wish is a guess */
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
    serving_object = object_of(serving_malloc);
    if (serving_object != NULL)
        find_in(serving_object);
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

void rth__purge_own_heap(void)
{
    if (purge_now == purge_mimalloc)
        allocator.mi_collect(true);
    else if (purge_now == purge_jemalloc)
        (void)allocator.mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
}

/* ---- caps ------------------------------------------------------------------------------------ */

static unsigned cap_arenas(const char *const *environment, unsigned workers)
{
    const char *tunables = rth__env_get(environment, "GLIBC_TUNABLES");
    if (rth__env_get(environment, "MALLOC_ARENA_MAX") != NULL ||
        (tunables != NULL && strstr(tunables, "glibc.malloc.arena_max") != NULL))
        return 0;
    void *function = function_in(serving_object, "mallopt");
    int (*mallopt_of_libc)(int parameter, int value);
    if (function == NULL)
        return 0;
    memcpy(&mallopt_of_libc, &function, sizeof(function));
    unsigned cap = workers > 2 ? workers : 2;
    return mallopt_of_libc(GLIBC_M_ARENA_MAX, (int)cap) == 1 ? cap : 0;
}

static uint64_t cap_thread_caches(const char *const *environment, int64_t limit_bytes)
{
    static const char property[] = "tcmalloc.max_total_thread_cache_bytes";
    int (*get)(const char *name, size_t *ret_value), (*set)(const char *name, size_t value);
    void *getter = function_in(serving_object, "MallocExtension_GetNumericProperty");
    void *setter = function_in(serving_object, "MallocExtension_SetNumericProperty");
    if (rth__env_get(environment, "TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES") != NULL ||
        getter == NULL || setter == NULL)
        return 0;
    memcpy(&get, &getter, sizeof(getter));
    memcpy(&set, &setter, sizeof(setter));
    size_t before_bytes;
    uint64_t cap_bytes = (uint64_t)limit_bytes / THREAD_CACHES_DIVISOR;
    if (cap_bytes < THREAD_CACHES_MIN_BYTES)
        cap_bytes = THREAD_CACHES_MIN_BYTES;
    return get(property, &before_bytes) != 0 && before_bytes > cap_bytes &&
                   set(property, (size_t)cap_bytes) != 0
               ? cap_bytes
               : 0;
}

void rth__purge_cap_caches(unsigned workers, int64_t limit_bytes, struct rth_purge_caps *ret_caps)
{
    const char *const *environment = (const char *const *)environ;
    *ret_caps = (struct rth_purge_caps){0};
    if (purge_now == purge_glibc)
        ret_caps->arenas_max = cap_arenas(environment, workers);
    else if (purge_now == purge_gperftools)
        ret_caps->thread_caches_max_bytes = cap_thread_caches(environment, limit_bytes);
}
