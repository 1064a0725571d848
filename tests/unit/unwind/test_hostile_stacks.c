/* SPDX-License-Identifier: MIT */
/* What a stack may hold that is none: garbage, circles, the edges of memory. */
#include "helper/written_stack.h"

#include <sys/mman.h>

static void a_frame_pointer_that_does_not_advance_is_not_followed(void **state)
{
    (void)state;
    prepare();
    word[4] = ADDRESS(&word[4]);
    word[5] = RETURN_TO(code_bare);
    start.value[RTH_REG_RBP] = ADDRESS(&word[4]);
    walk_from(ADDRESS(code_bare) + 20, 0);
    assert_int_equal(walked_count, 2);
    assert_ends(RTH_UNWIND_NO_RULE);
    start.value[RTH_REG_RBP] = ADDRESS(&word[4]);
    walk_from(ADDRESS(code_bare) + 20, 5); /* below the stack pointer */
    assert_int_equal(walked_count, 1);
    assert_ends(RTH_UNWIND_NO_RULE);
    word[4] = ADDRESS(&word[8]);
    word[5] = ADDRESS(word); /* leads to data */
    walk_from(ADDRESS(code_bare) + 20, 0);
    assert_int_equal(walked_count, 1);
    assert_ends(RTH_UNWIND_NO_RULE);
}

/* rbp is a register like any other where no rule says otherwise (gperftools 1426). */
static void garbage_in_the_frame_pointer_is_never_followed_off_the_stack(void **state)
{
    (void)state;
    prepare();
    long page_bytes = sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, (size_t)page_bytes * 3, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages, (size_t)page_bytes, PROT_NONE), 0);
    assert_int_equal(munmap(pages + 2 * page_bytes, (size_t)page_bytes), 0);
    const uint64_t garbage[] = {0,
                                1,
                                7,
                                8,
                                ADDRESS(pages),
                                ADDRESS(pages) + (uint64_t)page_bytes - 8,
                                ADDRESS(pages) + (uint64_t)page_bytes - 1,
                                ADDRESS(pages) + 2 * (uint64_t)page_bytes - 8,
                                ADDRESS(pages) + 2 * (uint64_t)page_bytes - 4,
                                ADDRESS(pages) + 2 * (uint64_t)page_bytes,
                                UINT64_C(0x7ffffffffff8),
                                UINT64_C(0x7fffffffffff),
                                UINT64_C(0x800000000000),
                                UINT64_C(0xdeadbeefdeadbeef),
                                UINT64_C(0xffffffffff600000),
                                UINT64_MAX - 15,
                                UINT64_MAX - 7,
                                UINT64_MAX,
                                ADDRESS(&word[WORDS - 1]),
                                ADDRESS(&word[WORDS])};
    for (unsigned probe = 0; probe < 2; probe++) {
        for (unsigned i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
            stack.probe = probe;
            start.value[RTH_REG_RBP] = garbage[i];
            walk_from(ADDRESS(code_bare) + 20, 0);
            assert_int_equal(walked_count, 1);
            assert_true(walked_end == RTH_UNWIND_NO_RULE || walked_end == RTH_UNWIND_ROOT);
            /* The same where a rule counts from it. */
            walk_from(ADDRESS(code_fp), 0);
            assert_int_equal(walked_count, 1);
            assert_true(walked_end != RTH_UNWIND_DEPTH);
        }
    }
    assert_int_equal(munmap(pages, (size_t)page_bytes * 2), 0);
}

static void garbage_in_the_stack_pointer_ends_the_walk_at_its_leaf(void **state)
{
    (void)state;
    prepare();
    const uint64_t garbage[] = {0,
                                1,
                                8,
                                4096,
                                ADDRESS(word) - 8,
                                ADDRESS(&word[WORDS]),
                                ADDRESS(&word[WORDS]) - 7,
                                UINT64_C(0x7ffffffffff8),
                                UINT64_C(0x800000000000),
                                UINT64_C(0xffff800000000000),
                                UINT64_MAX - 8,
                                UINT64_MAX};
    for (unsigned i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        THRICE({
            walk_from(ADDRESS(code_plain), 0);
            start.value[RTH_REG_RSP] = garbage[i];
            walk_registers(&start, &stack, cached ? test_cache() : NULL);
            assert_int_equal(walked_count, 1);
            assert_ends(RTH_UNWIND_UNREADABLE);
        });
    }
}

static void the_depth_is_where_the_callers_array_ends(void **state)
{
    (void)state;
    prepare();
    for (unsigned i = 0; i < WORDS - 1; i++)
        word[i] = RETURN_TO(code_plain);
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, RTH_UNWIND_FRAMES_MAX);
        assert_ends(RTH_UNWIND_DEPTH);
        rth_frame few[3] = {0, 0, 77};
        assert_int_equal(
            rth__unwind_sigsafe(&start, &stack, cached ? test_cache() : NULL, few, 2, &walked_end),
            2);
        assert_int_equal(few[2], 77);
        assert_ends(RTH_UNWIND_DEPTH);
    });
}

/* A walker that stays where it is goes on for ever (pystack 3). */
static void a_frame_that_is_its_own_caller_ends_the_walk(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_circle);
    word[1] = RETURN_TO(code_circle);
    THRICE({
        walk_from(ADDRESS(code_plain), 1);
        assert_int_equal(walked_count, 2);
        assert_ends(RTH_UNWIND_STUCK);
    });
}

static void signal_frames_that_lead_to_each_other_are_bounded(void **state)
{
    (void)state;
    prepare();
    word[0] = ADDRESS(code_bare_signal_return);
    word[200] = ADDRESS(code_bare_signal_return);
    put_context(1, ADDRESS(code_plain), ADDRESS(&word[200]));
    put_context(201, ADDRESS(code_plain), ADDRESS(&word[0]));
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, RTH_UNWIND_FRAMES_MAX);
        assert_ends(RTH_UNWIND_DEPTH);
    });
}

static void a_call_through_a_null_pointer_is_a_frame(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_root);
    THRICE({
        walk_from(0, 0);
        assert_int_equal(walked_count, 1);
        assert_int_equal(walked[0], 0);
        assert_ends(RTH_UNWIND_NO_RULE);
    });
}

RTH_TEST_MAIN(cmocka_unit_test(a_frame_pointer_that_does_not_advance_is_not_followed),
              cmocka_unit_test(garbage_in_the_frame_pointer_is_never_followed_off_the_stack),
              cmocka_unit_test(garbage_in_the_stack_pointer_ends_the_walk_at_its_leaf),
              cmocka_unit_test(the_depth_is_where_the_callers_array_ends),
              cmocka_unit_test(a_frame_that_is_its_own_caller_ends_the_walk),
              cmocka_unit_test(signal_frames_that_lead_to_each_other_are_bounded),
              cmocka_unit_test(a_call_through_a_null_pointer_is_a_frame), )
