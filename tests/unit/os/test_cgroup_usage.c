/* SPDX-License-Identifier: MIT */
/* What a cgroup uses, and how often it was throttled; over the same trees. */
#include "helper/cgroup_case.h"

#define S "sys/fs/cgroup"

static int usage_of(const char *tree, int version, const char *folder,
                    struct rth_cgroup_memory_usage *ret_usage)
{
    int root_fd = cgroup_tree(tree);
    int error = rth__cgroup_memory_usage_read(root_fd, version, folder, ret_usage);
    assert_int_equal(close(root_fd), 0);
    return error;
}

static int throttling_of(const char *tree, int version, const char *folder,
                         struct rth_cgroup_throttling *ret_throttling)
{
    int root_fd = cgroup_tree(tree);
    int error = rth__cgroup_throttling_read(root_fd, version, folder, ret_throttling);
    assert_int_equal(close(root_fd), 0);
    return error;
}

static void v2_file_pages_and_slab_are_reclaimable_and_shmem_is_not(void **state)
{
    struct rth_cgroup_memory_usage usage;
    (void)state;
    assert_int_equal(usage_of("v2_private_namespace", 2, S, &usage), 0);
    assert_int_equal(usage.current_bytes, 734003200);
    assert_int_equal(usage.reclaimable_bytes, 400000000 + 19000000 + 4003200);
    assert_int_equal(rth__cgroup_memory_held(&usage), 311000000);
    assert_int_equal(usage.peak_bytes, 900000000);
    assert_int_equal(usage.swap_bytes, 8192);
    assert_int_equal(usage.events_high, 3);
    assert_int_equal(usage.events_max, 41);
    assert_int_equal(usage.events_oom, 2);
    assert_int_equal(usage.events_oom_kill, 1);
}

static void v1_takes_the_hierarchical_numbers(void **state)
{
    struct rth_cgroup_memory_usage usage;
    (void)state;
    assert_int_equal(usage_of("v1_container", 1, S "/memory", &usage), 0);
    assert_int_equal(usage.current_bytes, 4096);
    assert_int_equal(usage.reclaimable_bytes, 1024 + 2048);
    assert_int_equal(usage.peak_bytes, 500000000);
    assert_int_equal(usage.swap_bytes, 512);
    assert_int_equal(usage.events_max, 17);
    assert_int_equal(usage.events_oom_kill, 4);
    assert_true(usage.events_high == UINT64_MAX);
    assert_true(usage.events_oom == UINT64_MAX);
}

static void what_a_kernel_does_not_have_is_absent(void **state)
{
    struct rth_cgroup_memory_usage usage;
    (void)state;
    assert_int_equal(usage_of("sandbox_that_imitates", 1, S "/memory", &usage), 0);
    assert_int_equal(usage.current_bytes, 1048576);
    assert_true(usage.reclaimable_bytes == UINT64_MAX);
    assert_true(usage.peak_bytes == UINT64_MAX);
    assert_true(usage.swap_bytes == UINT64_MAX);
    assert_true(usage.events_max == UINT64_MAX);
    assert_true(usage.events_oom_kill == UINT64_MAX);
    assert_int_equal(rth__cgroup_memory_held(&usage), 1048576);
}

static void more_reclaimable_than_used_is_nothing_held(void **state)
{
    const struct rth_cgroup_memory_usage crossed = {.current_bytes = 10, .reclaimable_bytes = 11};
    (void)state;
    assert_int_equal(rth__cgroup_memory_held(&crossed), 0);
}

static void what_is_not_there_or_malformed_is_told_apart(void **state)
{
    struct rth_cgroup_memory_usage usage = {.current_bytes = 77};
    (void)state;
    assert_int_equal(usage_of("v2_private_namespace", 2, S "/gone", &usage), -ENODEV);
    assert_int_equal(usage_of("v2_private_namespace", 2, S "/memory.max", &usage), -ENODEV);
    assert_int_equal(usage_of("root_cgroup_of_the_machine", 2, S, &usage), -ENOENT);
    assert_int_equal(usage_of("malformed_numbers", 2, S "/a", &usage), -EBADMSG);
    assert_int_equal(usage_of("malformed_numbers", 2, S "/a/b/c", &usage), -EBADMSG);
    assert_int_equal(usage_of("empty_files", 2, S "/app", &usage), -EBADMSG);
    assert_int_equal(usage_of("empty_files", 0, S "/app", &usage), -ENODATA);
    assert_int_equal(usage.current_bytes, 77);
}

static void throttling_is_in_nanoseconds_whatever_the_version(void **state)
{
    struct rth_cgroup_throttling throttling;
    (void)state;
    assert_int_equal(throttling_of("v2_private_namespace", 2, S, &throttling), 0);
    assert_int_equal(throttling.periods, 120);
    assert_int_equal(throttling.throttled_periods, 7);
    assert_int_equal(throttling.throttled_ns, 4500000);
    assert_int_equal(throttling_of("v1_container", 1, S "/cpu,cpuacct", &throttling), 0);
    assert_int_equal(throttling.periods, 10);
    assert_int_equal(throttling.throttled_periods, 2);
    assert_int_equal(throttling.throttled_ns, 123456789);
}

static void without_a_cpu_controller_nothing_counts_throttling(void **state)
{
    struct rth_cgroup_throttling throttling = {.periods = 77};
    (void)state;
    assert_int_equal(throttling_of("root_cgroup_of_the_machine", 2, S, &throttling), -ENODATA);
    assert_int_equal(throttling_of("weight_only", 2, S "/app", &throttling), -ENODATA);
    assert_int_equal(throttling_of("weight_only", 2, S "/gone", &throttling), -ENODEV);
    assert_int_equal(throttling_of("empty_files", 2, S "/app", &throttling), -EBADMSG);
    assert_int_equal(throttling.periods, 77);
}

RTH_TEST_MAIN(cmocka_unit_test(v2_file_pages_and_slab_are_reclaimable_and_shmem_is_not),
              cmocka_unit_test(v1_takes_the_hierarchical_numbers),
              cmocka_unit_test(what_a_kernel_does_not_have_is_absent),
              cmocka_unit_test(more_reclaimable_than_used_is_nothing_held),
              cmocka_unit_test(what_is_not_there_or_malformed_is_told_apart),
              cmocka_unit_test(throttling_is_in_nanoseconds_whatever_the_version),
              cmocka_unit_test(without_a_cpu_controller_nothing_counts_throttling))
