/* SPDX-License-Identifier: MIT */
/* A plugin that brings its allocator for itself alone. */
#include <stdbool.h>
#include <stddef.h>

void *mi_malloc(size_t size_bytes);
void *mi_realloc(void *block, size_t size_bytes);
void mi_free(void *block);
bool mi_is_in_heap_region(const void *block);
void *mi_heap_malloc(void *heap, size_t size_bytes);
void *mi_heap_get_default(void);
int plugin_run(void);

int plugin_run(void)
{
    for (int i = 0; i < 1000; i++) {
        void *block = mi_malloc(100);
        if (!mi_is_in_heap_region(block))
            return 1;
        block = mi_realloc(block, 5000);
        if (!mi_is_in_heap_region(block))
            return 2;
        mi_free(block);
        mi_free(mi_heap_malloc(mi_heap_get_default(), 300));
    }
    return 0;
}
