/* SPDX-License-Identifier: MIT */
/*
 * Where an entry leads. Before main: to the next definition in the loader's order, and nowhere if
 * there is none. A library that comes later with RTLD_LOCAL (a plugin's allocator) is not in that
 * order, though its users' calls find our names first; then the caller's own dependencies tell,
 * anew after each dlopen and dlclose, since such a library may go. Two libraries of one kind, each
 * for its own users, are not told apart between two changes.
 */
#include "interpose/entry.h"

#include "interpose/dl.h"

#include <dlfcn.h>
#include <link.h>

extern struct rth__entry *const __start_rth_heap_entries[] __attribute__((visibility("hidden")));
extern struct rth__entry *const __stop_rth_heap_entries[] __attribute__((visibility("hidden")));

static bool are_resolved;

void rth__entries_resolve(void)
{
    if (__atomic_load_n(&are_resolved, __ATOMIC_ACQUIRE))
        return;
    for (struct rth__entry *const *listed = __start_rth_heap_entries;
         listed < __stop_rth_heap_entries; listed++) {
        struct rth__entry *entry = *listed;
        void *found = rth__alloc_find(entry->name);
        entry->original = found;
        __atomic_store_n(&entry->known, found, __ATOMIC_RELEASE);
        __atomic_store_n(&entry->is_settled, found != NULL || !entry->is_late, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&are_resolved, true, __ATOMIC_RELEASE);
    (void)dlerror(); /* what was not found is nobody's error */
}

void *rth__entry_in_scope_of(const void *caller, const char *name)
{
    Dl_info info;
    struct link_map *map = NULL;
    if (dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 || map == NULL ||
        map->l_name[0] == '\0' || rth__real()->dlclose == NULL || rth__dl_real_dlopen == NULL)
        return NULL;
    void *(*real_dlopen)(const char *, int) = (void *(*)(const char *, int))rth__dl_real_dlopen;
    void *handle = real_dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL)
        return NULL;
    void *found = dlsym(handle, name);
    (void)rth__real()->dlclose(handle);
    return found;
}

void *rth__entry_seek(struct rth__entry *entry, const void *caller)
{
    if (__atomic_load_n(&entry->is_settled, __ATOMIC_ACQUIRE))
        return entry->original;
    if (!__atomic_load_n(&are_resolved, __ATOMIC_ACQUIRE))
        return rth__alloc_find(entry->name);
    uint64_t generation = __atomic_load_n(&rth__dl_generation, __ATOMIC_RELAXED);
    if (__atomic_load_n(&entry->loader_generation, __ATOMIC_ACQUIRE) == generation + 1)
        return __atomic_load_n(&entry->original, __ATOMIC_RELAXED);
    void *found = rth__entry_in_scope_of(caller, entry->name);
    __atomic_store_n(&entry->original, found, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->loader_generation, generation + 1, __ATOMIC_RELEASE);
    return found;
}
