/* SPDX-License-Identifier: MIT */
/* Here libc serves, whatever else is about; other allocators are tried in programs that have them
 * (tests/integration/test_memory_pressure.py). */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "helper/unit.h"
#include "limits/purge.h"

#define MIB ((size_t)1 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKIP_WITHOUT_GLIBC() RTH_SKIP("the sanitizer's malloc serves")
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SKIP_WITHOUT_GLIBC() RTH_SKIP("the sanitizer's malloc serves")
#endif
#endif
#ifndef SKIP_WITHOUT_GLIBC
#define SKIP_WITHOUT_GLIBC() (void)0
#endif

static void glibc_serves_and_is_found(void **state)
{
    (void)state;
    SKIP_WITHOUT_GLIBC();
    rth__purge_find(NULL);
    assert_string_equal(rth__purge_method(), "malloc_trim");
    rth__purge_find(dlsym(RTLD_DEFAULT, "malloc"));
    assert_string_equal(rth__purge_method(), "malloc_trim");
}

static void *malloc_of_the_test(size_t size_bytes)
{
    return calloc(1, size_bytes);
}

static void an_allocator_that_nobody_knows_is_left_alone(void **state)
{
    struct rth_purge_caps caps;
    void *(*function)(size_t) = malloc_of_the_test;
    const void *address;
    (void)state;
    memcpy(&address, &function, sizeof(address));
    rth__purge_find(address);
    assert_null(rth__purge_method());
    rth__purge_call(1);
    rth__purge_own_heap();
    rth__purge_cap_caches(2, 300 * MIB, &caps);
    assert_int_equal(caps.arenas_max, 0);
    assert_int_equal(caps.thread_caches_max_bytes, 0);
}

enum { BLOCKS = 2000, BLOCK_BYTES = 20000 };

static size_t resident_pages(const void *first, const void *last)
{
    static unsigned char pages[BLOCKS * BLOCK_BYTES / 4096 * 2];
    uintptr_t begin = (uintptr_t)first & ~(uintptr_t)4095;
    size_t size_bytes = (uintptr_t)last - begin, count = 0;
    assert_true(size_bytes / 4096 < sizeof(pages));
    assert_int_equal(mincore((char *)begin, size_bytes, pages), 0);
    for (size_t i = 0; i < size_bytes / 4096; i++)
        count += pages[i] & 1u;
    return count;
}

static void a_purge_gives_back_what_is_free_in_the_middle(void **state)
{
    static void *blocks[BLOCKS];
    (void)state;
    SKIP_WITHOUT_GLIBC();
    rth__purge_find(NULL);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    for (int i = 1; i < BLOCKS - 1; i++)
        free(blocks[i]);
    size_t before = resident_pages(blocks[0], blocks[BLOCKS - 1]);
    rth__purge_call(1);
    size_t after = resident_pages(blocks[0], blocks[BLOCKS - 1]);
    assert_true(before > BLOCKS * (size_t)BLOCK_BYTES / 4096 * 9 / 10);
    assert_true(after < before / 10);
    free(blocks[0]);
    free(blocks[BLOCKS - 1]);
}

static void arenas_are_capped_unless_the_environment_says_how_many(void **state)
{
    struct rth_purge_caps caps;
    (void)state;
    SKIP_WITHOUT_GLIBC();
    rth__purge_find(NULL);
    rth__purge_cap_caches(1, 300 * MIB, &caps);
    assert_int_equal(caps.arenas_max, 2);
    rth__purge_cap_caches(6, 300 * MIB, &caps);
    assert_int_equal(caps.arenas_max, 6);
    assert_int_equal(setenv("MALLOC_ARENA_MAX", "3", 1), 0);
    rth__purge_cap_caches(6, 300 * MIB, &caps);
    assert_int_equal(caps.arenas_max, 0);
    assert_int_equal(unsetenv("MALLOC_ARENA_MAX"), 0);
    assert_int_equal(setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=4", 1), 0);
    rth__purge_cap_caches(6, 300 * MIB, &caps);
    assert_int_equal(caps.arenas_max, 0);
    assert_int_equal(setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=4", 1), 0);
    rth__purge_cap_caches(6, 300 * MIB, &caps);
    assert_int_equal(caps.arenas_max, 6);
}

RTH_TEST_MAIN(cmocka_unit_test(glibc_serves_and_is_found),
              cmocka_unit_test(an_allocator_that_nobody_knows_is_left_alone),
              cmocka_unit_test(a_purge_gives_back_what_is_free_in_the_middle),
              cmocka_unit_test(arenas_are_capped_unless_the_environment_says_how_many))
