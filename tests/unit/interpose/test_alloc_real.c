/* SPDX-License-Identifier: MIT */
/* Allocation before the originals are known. A copy of the file of its own, so that a case can
 * stand inside the look-up. */
#include "helper/unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "interpose/alloc_real.c"

#define REAL rth__alloc_real

/* Its free is the first one, and the next one is not its own. */
#if defined(__SANITIZE_ADDRESS__)
#define SKIP_BEHIND_A_SANITIZER() RTH_SKIP("the sanitizer's malloc comes before the originals")
#else
#define SKIP_BEHIND_A_SANITIZER() (void)0
#endif

static bool is_zero(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void inside_the_look_up_blocks_come_from_the_arena(void **state)
{
    (void)state;
    resolving = true;
    void *blocks[] = {
        REAL.malloc(100),
        REAL.calloc(10, 10),
        REAL.realloc(NULL, 100),
        REAL.reallocarray(NULL, 10, 10),
        REAL.memalign(64, 100),
        REAL.aligned_alloc(64, 100),
        REAL.valloc(100),
        REAL.pvalloc(100),
        NULL,
    };
    size_t count = sizeof(blocks) / sizeof(blocks[0]);
    int error = REAL.posix_memalign(&blocks[count - 1], 256, 100);
    resolving = false;
    assert_int_equal(error, 0);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(blocks[i]);
        assert_true(rth__boot_owns(blocks[i]));
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        assert_true(rth__boot_size(blocks[i]) >= 100);
        assert_true(is_zero(blocks[i], 100));
    }
    assert_int_equal((uintptr_t)blocks[4] % 64, 0);
    assert_int_equal((uintptr_t)blocks[6] % 4096, 0);
    assert_int_equal(rth__boot_size(blocks[7]), 4096);
    assert_int_equal((uintptr_t)blocks[count - 1] % 256, 0);
    /* None lies in another. */
    for (size_t i = 0; i < count; i++)
        memset(blocks[i], (int)i + 1, 100);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < 100; k++)
            assert_int_equal(((unsigned char *)blocks[i])[k], i + 1);
}

static void blocks_of_the_arena_live_on_after_the_look_up(void **state)
{
    (void)state;
    SKIP_BEHIND_A_SANITIZER();
    resolving = true;
    char *kept = REAL.malloc(100), *freed = REAL.malloc(50), *moved = REAL.malloc(30),
         *array = REAL.malloc(30);
    memcpy(kept, "kept", 5);
    memcpy(moved, "moved", 6);
    memcpy(array, "array", 6);
    char *grown = REAL.realloc(array, 60); /* still inside */
    REAL.free(freed);
    resolving = false;
    assert_true(rth__boot_owns(grown));
    assert_string_equal(grown, "array");
    char *ordinary = REAL.malloc(1000);
    assert_non_null(ordinary);
    assert_false(rth__boot_owns(ordinary));
    assert_ptr_not_equal(REAL.malloc, malloc_first);
    assert_string_equal(kept, "kept");
    assert_int_equal(REAL.malloc_usable_size(kept), 100);
    assert_int_equal(REAL.malloc_usable_size(NULL), 0);
    assert_true(REAL.malloc_usable_size(ordinary) >= 1000);
    char *elsewhere = REAL.realloc(moved, 5000);
    assert_false(rth__boot_owns(elsewhere));
    assert_string_equal(elsewhere, "moved");
    char *smaller = REAL.realloc(kept, 3);
    assert_memory_equal(smaller, "kep", 3);
    char *elements = REAL.reallocarray(grown, 10, 20);
    assert_false(rth__boot_owns(elements));
    assert_string_equal(elements, "array");
    errno = 0;
    assert_null(REAL.reallocarray(freed, SIZE_MAX / 2, 3));
    assert_int_equal(errno, ENOMEM);
    REAL.free(kept);
    REAL.free_sized(freed, 50);
    REAL.free_aligned_sized(grown, 16, 60);
    REAL.free(ordinary);
    REAL.free_sized(elsewhere, 5000);
    REAL.free_aligned_sized(smaller, 16, 3);
    REAL.free(elements);
    REAL.free(NULL);
}

static void without_the_arena_nothing_stands_before_the_originals(void **state)
{
    (void)state;
    SKIP_BEHIND_A_SANITIZER();
    char *block = REAL.malloc(100);
    assert_non_null(block);
    assert_int_equal(boot_used, 0);
    assert_ptr_equal(REAL.free, rth__alloc_next()->free);
    assert_ptr_equal(REAL.realloc, rth__alloc_next()->realloc);
    assert_ptr_equal(REAL.malloc_usable_size, rth__alloc_next()->malloc_usable_size);
    REAL.free_sized(block, 100); /* whether libc has it or not */
    REAL.free_aligned_sized(REAL.aligned_alloc(64, 128), 64, 128);
}

static void the_arena_ends_and_says_so(void **state)
{
    size_t blocks = 0;
    (void)state;
    resolving = true;
    errno = 0;
    assert_null(REAL.malloc(RTH__BOOT_BYTES));
    assert_int_equal(errno, ENOMEM);
    assert_null(REAL.malloc(SIZE_MAX));
    assert_null(REAL.calloc(SIZE_MAX / 2, 3));
    assert_null(REAL.reallocarray(NULL, SIZE_MAX / 2, 3));
    assert_null(REAL.memalign(8192, 16)); /* more than the arena has itself */
    assert_null(REAL.memalign((size_t)1 << 63, 16));
    while (REAL.malloc(1000) != NULL)
        blocks++;
    assert_in_range(blocks, 60, 65);
    void *block = NULL;
    assert_int_equal(REAL.posix_memalign(&block, 64, 4000), ENOMEM);
    /* Somebody else's block, while nobody knows whose. */
    char foreign[64] = "foreign";
    errno = 0;
    assert_null(REAL.realloc(foreign, 100));
    assert_int_equal(errno, ENOMEM);
    assert_string_equal(foreign, "foreign");
    resolving = false;
    assert_non_null(block = REAL.malloc(100000));
    REAL.free(block);
}

static void *resolves(void *unused)
{
    char *block = REAL.malloc(64);
    bool fine = block != NULL && !rth__boot_owns(block);
    REAL.free(block);
    return fine ? unused : NULL;
}

static void threads_that_come_first_together_find_the_same(void **state)
{
    pthread_t threads[8];
    int mark;
    (void)state;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, resolves, &mark), 0);
    for (size_t i = 0; i < 8; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &mark);
    }
    errno = 55;
    assert_true(rth__alloc_resolve());
    assert_int_equal(errno, 55);
    assert_null(rth__alloc_find("no_such_function_of_any_allocator"));
    assert_non_null(rth__alloc_find("malloc"));
}

RTH_TEST_MAIN(cmocka_unit_test(inside_the_look_up_blocks_come_from_the_arena),
              cmocka_unit_test(blocks_of_the_arena_live_on_after_the_look_up),
              cmocka_unit_test(without_the_arena_nothing_stands_before_the_originals),
              cmocka_unit_test(the_arena_ends_and_says_so),
              cmocka_unit_test(threads_that_come_first_together_find_the_same))
