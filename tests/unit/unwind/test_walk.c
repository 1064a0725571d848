/* SPDX-License-Identifier: MIT */
#include "helper/written_stack.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/seccomp.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static void every_return_address_is_a_frame_and_callers_are_one_byte_before(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_pushed);
    word[3] = RETURN_TO(code_pushed); /* 24 bytes: rbx at [2], the return address at [3] */
    word[6] = RETURN_TO(code_root);
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 4);
        assert_int_equal(frame_at(0), ADDRESS(code_plain));
        assert_int_equal(frame_at(1), RETURN_TO(code_pushed) - 1);
        assert_int_equal(frame_at(2), RETURN_TO(code_pushed) - 1);
        assert_int_equal(frame_at(3), RETURN_TO(code_root) - 1);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void frames_name_the_module_of_their_code(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_root);
    walk_from(ADDRESS(code_plain), 0);
    const struct rth_module *module = rth__module_by_id_sigsafe(rth__frame_module_id(walked[0]));
    assert_non_null(module);
    assert_int_equal(rth__frame_vaddr(walked[0]) + module->last_load_bias, ADDRESS(code_plain));
}

static void a_return_address_of_zero_is_the_root(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_plain);
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 2);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void a_frame_pointer_rule_needs_the_frame_pointer(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_fp);
    word[4] = ADDRESS(&word[8]);
    word[5] = RETURN_TO(code_fp);
    word[9] = RETURN_TO(code_root);
    start.value[RTH_REG_RBP] = ADDRESS(&word[4]);
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 4);
        assert_ends(RTH_UNWIND_ROOT);
    });
    THRICE({
        rth__registers_from_pc_sp_sigsafe(ADDRESS(code_plain), ADDRESS(word), 0, 0, &start);
        walk_registers(&start, &stack, cached ? test_cache() : NULL);
        assert_int_equal(walked_count, 2);
        assert_ends(RTH_UNWIND_NO_RULE);
    });
    rth__registers_from_pc_sp_sigsafe(ADDRESS(code_plain), ADDRESS(word), 1, ADDRESS(&word[4]),
                                      &start);
    walk_registers(&start, &stack, NULL);
    assert_ends(RTH_UNWIND_ROOT);
}

static void a_register_saved_far_inside_is_there_when_an_outer_frame_needs_it(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_pushed);
    word[2] = ADDRESS(&word[20]); /* rbx, which code_by_rbx counts from */
    word[3] = RETURN_TO(code_by_rbx);
    word[21] = RETURN_TO(code_root);
    start.value[RTH_REG_RBX] = UINT64_C(0x5555555555555555);
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 4);
        assert_int_equal(frame_at(2), RETURN_TO(code_by_rbx) - 1);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void a_realigned_stack_is_followed_through_the_kept_cfa(void **state)
{
    (void)state;
    prepare();
    word[0] = RETURN_TO(code_realigned);
    word[9] = ADDRESS(&word[14]); /* the CFA, at rbp - 8 */
    word[10] = ADDRESS(&word[16]);
    word[13] = RETURN_TO(code_fp);
    word[17] = RETURN_TO(code_root);
    start.value[RTH_REG_RBP] = ADDRESS(&word[10]);
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 4);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void a_plt_entry_is_unwound_before_and_after_its_push(void **state)
{
    (void)state;
    prepare();
    word[1] = RETURN_TO(code_root);
    for (unsigned offset = 0; offset < 16; offset++) {
        THRICE({
            walk_from(ADDRESS(code_plt) + offset, offset >= 11 ? 0 : 1);
            assert_int_equal(walked_count, 2);
            assert_ends(RTH_UNWIND_ROOT);
        });
    }
}

static void an_expression_over_registers_of_the_leaf_is_computed(void **state)
{
    (void)state;
    prepare();
    word[7] = RETURN_TO(code_root);
    start.value[RTH_REG_R8 + 1] = 7;
    THRICE({
        walk_from(ADDRESS(code_computed), 0);
        assert_int_equal(walked_count, 2);
        assert_ends(RTH_UNWIND_ROOT);
    });
    /* In a caller r9 is gone: no rule, and no guess. */
    word[0] = RETURN_TO(code_computed);
    walk_from(ADDRESS(code_plain), 0);
    assert_int_equal(walked_count, 2);
    assert_ends(RTH_UNWIND_NO_RULE);
}

static void a_return_address_in_a_register_is_taken_from_there(void **state)
{
    (void)state;
    prepare();
    start.value[RTH_REG_RDI] = RETURN_TO(code_plain);
    word[4] = RETURN_TO(code_root);
    THRICE({
        walk_from(ADDRESS(code_popped), 4);
        assert_int_equal(walked_count, 3);
        assert_int_equal(frame_at(1), RETURN_TO(code_plain) - 1);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

/* A call that does not return may be the last instruction: its return address is the next function
 * already (otel-ebpf-profiler 1382). */
static void a_call_at_the_end_of_a_function_stays_with_that_function(void **state)
{
    (void)state;
    prepare();
    word[0] = ADDRESS(code_after_call);
    word[2] = RETURN_TO(code_root); /* by the rule of code_ends_in_call */
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 3);
        assert_int_equal(frame_at(1), ADDRESS(code_after_call) - 1);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void code_without_rules_is_left_by_its_frame_pointer(void **state)
{
    (void)state;
    prepare();
    word[4] = ADDRESS(&word[8]);
    word[5] = RETURN_TO(code_bare);
    word[8] = 0;
    word[9] = RETURN_TO(code_plain);
    word[10] = RETURN_TO(code_root);
    start.value[RTH_REG_RBP] = ADDRESS(&word[4]);
    THRICE({
        walk_from(ADDRESS(code_bare) + 20, 0);
        assert_int_equal(walked_count, 4);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void a_copy_of_the_stack_is_walked_like_the_stack(void **state)
{
    (void)state;
    prepare();
    static uint64_t copy[WORDS];
    word[0] = RETURN_TO(code_fp);
    word[4] = ADDRESS(&word[8]);
    word[5] = RETURN_TO(code_pushed);
    word[8] = RETURN_TO(code_root);
    start.value[RTH_REG_RBP] = ADDRESS(&word[4]);
    memcpy(copy, word, sizeof(copy));
    memset(word, 0xff, sizeof(word)); /* the thread has moved on */
    stack.copy = copy;
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 4);
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void a_trampoline_without_unwind_information_is_known_by_its_bytes(void **state)
{
    (void)state;
    prepare();
    word[0] = ADDRESS(code_bare_signal_return);
    put_context(1, ADDRESS(code_plain) + 9, ADDRESS(&word[300]));
    word[300] = RETURN_TO(code_root);
    THRICE({
        walk_from(ADDRESS(code_plain), 0);
        assert_int_equal(walked_count, 4);
        assert_int_equal(frame_at(2), ADDRESS(code_plain) + 9); /* interrupted: exact */
        assert_ends(RTH_UNWIND_ROOT);
    });
}

static void code_that_nobody_knows_asks_for_a_refresh(void **state)
{
    (void)state;
    prepare();
    assert_false(rth__unwind_refresh_wanted());
    word[0] = RETURN_TO(code_root);
    walk_from(ADDRESS(code_plain), 0);
    assert_false(rth__unwind_refresh_wanted());
    walk_from(ADDRESS(word), 0);
    assert_int_equal(walked_count, 1);
    assert_int_equal(walked[0], ADDRESS(word)); /* module 0: the address itself */
    assert_true(rth__unwind_refresh_wanted());
    tables_refresh();
    assert_false(rth__unwind_refresh_wanted());
}

static void code_of_the_vdso_has_rules(void **state)
{
    (void)state;
    prepare();
    void *vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void *function = vdso == NULL ? NULL : dlsym(vdso, "__vdso_clock_gettime");
    if (function == NULL)
        RTH_SKIP("no vDSO");
    word[0] = RETURN_TO(code_root);
    THRICE({
        walk_from(ADDRESS(function), 0);
        assert_int_equal(walked_count, 2);
        assert_ends(RTH_UNWIND_ROOT);
        assert_string_equal(rth__module_by_id_sigsafe(rth__frame_module_id(walked[0]))->path,
                            "[vdso]");
    });
}

/* In strict mode every system call but read, write and exit is death (libunwind 301). */
static void inside_the_limits_no_system_call_is_made(void **state)
{
    (void)state;
    prepare();
    if (SANITIZED)
        RTH_SKIP("the sanitizer makes system calls of its own");
    word[0] = RETURN_TO(code_realigned);
    word[9] = ADDRESS(&word[14]);
    word[10] = ADDRESS(&word[16]);
    word[13] = RETURN_TO(code_fp);
    word[17] = RETURN_TO(code_root);
    start.value[RTH_REG_RBP] = ADDRESS(&word[10]);
    stack.probe = true;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        walk_from(ADDRESS(code_plain), 0);
        bool good = walked_count == 4;
        cached = true;
        walk_from(ADDRESS(code_plain), 0);
        walk_from(ADDRESS(code_plain), 0);
        good = good && walked_count == 4 && walked_end == RTH_UNWIND_ROOT;
        (void)syscall(SYS_exit, good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void errno_is_as_before(void **state)
{
    (void)state;
    prepare();
    stack.probe = true;
    word[0] = RETURN_TO(code_fp);
    start.value[RTH_REG_RBP] = 4096; /* probed, and refused by the kernel */
    errno = 77;
    walk_from(ADDRESS(code_plain), 0);
    assert_int_equal(errno, 77);
    assert_ends(RTH_UNWIND_UNREADABLE);
}

static void a_cache_of_earlier_mappings_is_not_believed(void **state)
{
    (void)state;
    prepare();
    cached = true;
    word[0] = RETURN_TO(code_root);
    walk_from(ADDRESS(code_plain), 0);
    rth_frame before = walked[0];
    uint32_t generation = rth__ranges_enter_sigsafe()->generation;
    rth__ranges_leave_sigsafe();
    /* Code below ours moves every range of ours on by one. */
    void *page = mmap((void *)0x10000, 4096, PROT_READ | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED)
        RTH_SKIP("no mapping at a low address");
    tables_refresh();
    assert_true(rth__ranges_enter_sigsafe()->generation != generation);
    rth__ranges_leave_sigsafe();
    walk_from(ADDRESS(code_plain), 0);
    assert_int_equal(walked_count, 2);
    assert_int_equal(walked[0], before);
    assert_int_equal(munmap(page, 4096), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(every_return_address_is_a_frame_and_callers_are_one_byte_before),
              cmocka_unit_test(frames_name_the_module_of_their_code),
              cmocka_unit_test(a_return_address_of_zero_is_the_root),
              cmocka_unit_test(a_frame_pointer_rule_needs_the_frame_pointer),
              cmocka_unit_test(a_register_saved_far_inside_is_there_when_an_outer_frame_needs_it),
              cmocka_unit_test(a_realigned_stack_is_followed_through_the_kept_cfa),
              cmocka_unit_test(a_plt_entry_is_unwound_before_and_after_its_push),
              cmocka_unit_test(an_expression_over_registers_of_the_leaf_is_computed),
              cmocka_unit_test(a_return_address_in_a_register_is_taken_from_there),
              cmocka_unit_test(a_call_at_the_end_of_a_function_stays_with_that_function),
              cmocka_unit_test(code_without_rules_is_left_by_its_frame_pointer),
              cmocka_unit_test(a_copy_of_the_stack_is_walked_like_the_stack),
              cmocka_unit_test(a_trampoline_without_unwind_information_is_known_by_its_bytes),
              cmocka_unit_test(code_that_nobody_knows_asks_for_a_refresh),
              cmocka_unit_test(code_of_the_vdso_has_rules),
              cmocka_unit_test(inside_the_limits_no_system_call_is_made),
              cmocka_unit_test(errno_is_as_before),
              cmocka_unit_test(a_cache_of_earlier_mappings_is_not_believed), )
