/* SPDX-License-Identifier: MIT */
/* Trees of version 2 and of both: where the cgroups are, and what all levels together allow. */
#include "helper/cgroup_case.h"

#define S "sys/fs/cgroup"
#define APP                                                                                        \
    {                                                                                              \
        2, 2, S "/app", "/app", NULL, 0                                                            \
    }
#define APP_WORKER                                                                                 \
    {                                                                                              \
        2, 3, S "/app/worker", "/app/worker", NULL, 0                                              \
    }
#define A_B                                                                                        \
    {                                                                                              \
        2, 3, S "/a/b", "/a/b", NULL, 0                                                            \
    }
#define MIB UINT64_C(1048576)

TREE(v2_private_namespace, .memory = {2, 1, S, "/", NULL, 0}, .cpu = {2, 1, S, "/", NULL, 0},
     .max = SET(1024 * MIB, 0, "cgroup2:/memory.max"),
     .swap = SET(0, 0, "cgroup2:/memory.swap.max"),
     .quota = QUOTA(150000, 100000, 0, "cgroup2:/cpu.max"), .usage_folder = S, .throttle_folder = S,
     .affinity = 4)

#define POD   "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice"
#define SCOPE POD "/cri-containerd-c1.scope"
TREE(v2_host_namespace, .memory = {2, 5, S SCOPE, SCOPE, NULL, 0},
     .cpu = {2, 5, S SCOPE, SCOPE, NULL, 0},
     .max = SET(500 * MIB, 0, "cgroup2:" SCOPE "/memory.max"),
     .quota = QUOTA(50000, 100000, 0, "cgroup2:" SCOPE "/cpu.max"), .usage_folder = S SCOPE,
     .throttle_folder = S SCOPE)

#define SERVICE "/system.slice/checkout.service"
TREE(v2_systemd_slice, .memory = {2, 3, S SERVICE, SERVICE, NULL, 0},
     .cpu = {2, 3, S SERVICE, SERVICE, NULL, 0},
     .max = SET(2000003072, 0, "cgroup2:" SERVICE "/memory.max"),
     .high = SET(3000000000, 1, "cgroup2:/system.slice/memory.high"), .usage_folder = S SERVICE,
     .throttle_folder = S SERVICE)

TREE(v2_limit_of_the_parent_only, .memory = APP_WORKER, .cpu = APP_WORKER,
     .max = SET(256 * MIB, 1, "cgroup2:/app/memory.max"), .usage_folder = S "/app",
     .throttle_folder = S "/app/worker")

TREE(v2_tighter_grandparent, .memory = {2, 4, S "/a/b/c", "/a/b/c", NULL, 0},
     .cpu = {2, 4, S "/a/b/c", "/a/b/c", NULL, 0},
     .max = SET(100003840, 2, "cgroup2:/a/memory.max"),
     .quota = QUOTA(100000, 100000, 2, "cgroup2:/a/cpu.max"), .usage_folder = S "/a",
     .throttle_folder = S "/a")

TREE(v2_max_everywhere, .memory = A_B, .cpu = A_B, .usage_folder = S "/a/b",
     .throttle_folder = S "/a/b")

TREE(v2_equal_limits, .memory = A_B, .cpu = A_B,
     .max = SET(100 * MIB, 0, "cgroup2:/a/b/memory.max"),
     .quota = QUOTA(100000, 100000, 0, "cgroup2:/a/b/cpu.max"), .usage_folder = S "/a/b",
     .throttle_folder = S "/a/b")

#define HOST "run/host/cgroup"
TREE(v2_bind_mount_elsewhere, .memory = {2, 2, HOST "/app", "/app", NULL, 0},
     .cpu = {2, 2, HOST "/app", "/app", NULL, 0},
     .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"), .usage_folder = HOST "/app",
     .throttle_folder = HOST "/app")

/* The one shows the container alone, the other also what is above it, where the limit is. */
#define C1 "cgroup-in/docker/c1"
TREE(v2_two_mounts_one_shows_more, .memory = {2, 3, C1, "/docker/c1", NULL, 0},
     .cpu = {2, 3, C1, "/docker/c1", NULL, 0},
     .max = SET(250 * MIB, 1, "cgroup2:/docker/memory.max"), .usage_folder = "cgroup-in/docker",
     .throttle_folder = C1)

TREE(v2_two_mounts_alike, .memory = APP, .cpu = APP,
     .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"), .usage_folder = S "/app",
     .throttle_folder = S "/app")

TREE(v2_hidden_mount, .memory = {2, 2, "mnt/cgroup/app", "/app", NULL, 0},
     .cpu = {2, 2, "mnt/cgroup/app", "/app", NULL, 0},
     .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"), .usage_folder = "mnt/cgroup/app",
     .throttle_folder = "mnt/cgroup/app")

TREE(v2_root_is_a_string_prefix, .memory = {2, 1, S, "/docker/abc", NULL, 0},
     .cpu = {2, 1, S, "/docker/abc", NULL, 0},
     .max = SET(100 * MIB, 0, "cgroup2:/docker/abc/memory.max"), .usage_folder = S,
     .throttle_folder = S)

TREE(v2_only_a_string_prefix, .memory = {2, 1, S, "/docker/ab", "outside of the mount", 0},
     .cpu = {2, 1, S, "/docker/ab", "outside of the mount", 0},
     .max = SET(100 * MIB, 0, "cgroup2:/docker/ab/memory.max"), .usage_folder = S,
     .throttle_folder = S)

TREE(v2_outside_of_the_namespace, .memory = {2, 1, S, "/", "outside of the mount", 0},
     .cpu = {2, 1, S, "/", "outside of the mount", 0},
     .max = SET(100 * MIB, 0, "cgroup2:/memory.max"), .usage_folder = S, .throttle_folder = S)

TREE(v2_mount_above_the_namespace, .memory = {2, 2, "host-cgroup/peer", "/../peer", NULL, 0},
     .cpu = {2, 2, "host-cgroup/peer", "/../peer", NULL, 0},
     .max = SET(100 * MIB, 0, "cgroup2:/../peer/memory.max"), .usage_folder = "host-cgroup/peer",
     .throttle_folder = "host-cgroup/peer")

#define ESCAPED "mnt/my cgroups#/c\\d"
TREE(octal_escapes, .memory = {2, 2, ESCAPED, "/a b/c\\d", NULL, 0},
     .cpu = {2, 2, ESCAPED, "/a b/c\\d", NULL, 0},
     .max = SET(100 * MIB, 0, "cgroup2:/a b/c\\d/memory.max"), .usage_folder = ESCAPED,
     .throttle_folder = ESCAPED)

#define BLUE "/system.slice/app:1:blue.service"
TREE(colons_in_the_path, .memory = {2, 3, S BLUE, BLUE, NULL, 0},
     .cpu = {2, 3, S BLUE, BLUE, NULL, 0}, .max = SET(100 * MIB, 0, "cgroup2:" BLUE "/memory.max"),
     .usage_folder = S BLUE, .throttle_folder = S BLUE)

TREE(unified_line_not_first, .memory = APP, .cpu = APP,
     .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"), .usage_folder = S "/app",
     .throttle_folder = S "/app")

#define MEMORY S "/memory"
TREE(hybrid, .memory = {1, 2, MEMORY "/app", "/app", NULL, 0},
     .cpu = {1, 1, S "/cpu", "/", NULL, 0},
     .max = SET(256 * MIB, 0, "cgroup1:/app/memory.limit_in_bytes"), .usage_folder = MEMORY "/app",
     .throttle_folder = S "/cpu")

static void hybrid_has_the_unified_place_for_pressure(void **state)
{
    struct rth_cgroups cgroups;
    int root_fd = cgroup_tree("hybrid");
    (void)state;
    assert_int_equal(rth__cgroups_find(root_fd, 0, &cgroups), 0);
    assert_int_equal(cgroups.unified.version, 2);
    assert_string_equal(cgroups.unified.folder, S "/unified/mine");
    assert_string_equal(cgroups.unified.mount, S "/unified");
    assert_int_equal(cgroups.cpuset.version, 0);
    assert_int_equal(cgroups.cpuset.error, 0);
    assert_int_equal(close(root_fd), 0);
}

TREE(hybrid_cpu_is_version_2, .memory = {1, 2, MEMORY "/app", "/app", NULL, 0},
     .cpu = {2, 2, S "/unified/app", "/app", NULL, 0},
     .max = SET(256 * MIB, 0, "cgroup1:/app/memory.limit_in_bytes"),
     .quota = QUOTA(300000, 100000, 0, "cgroup2:/app/cpu.max"), .usage_folder = MEMORY "/app",
     .throttle_folder = S "/unified/app")

/* The machine has 1 GiB: what allows that or more allows everything. Swap is beside it. */
TREE(limit_is_all_of_the_memory, .memory = A_B, .cpu = A_B,
     .high = SET(1073737728, 0, "cgroup2:/a/b/memory.high"),
     .swap = SET(4096 * MIB, 1, "cgroup2:/a/memory.swap.max"), .usage_folder = S "/a/b",
     .throttle_folder = S "/a/b")

TREE(controllers_without_memory, .cpu = APP,
     .quota = QUOTA(200000, 100000, 0, "cgroup2:/app/cpu.max"), .throttle_folder = S "/app")

TREE(leaf_without_memory_controller, .memory = APP_WORKER, .cpu = APP_WORKER,
     .usage_folder = S "/app", .throttle_folder = S "/app/worker")

TREE(root_cgroup_of_the_machine, .memory = {2, 1, S, "/", NULL, 0}, .cpu = {2, 1, S, "/", NULL, 0},
     .throttle_folder = S)

TREE(quota_of_one_and_a_half, .memory = APP, .cpu = APP,
     .quota = QUOTA(150000, 100000, 0, "cgroup2:/app/cpu.max"), .throttle_folder = S "/app")

TREE(quarter_of_the_parent, .memory = APP_WORKER, .cpu = APP_WORKER,
     .quota = QUOTA(25000, 100000, 1, "cgroup2:/app/cpu.max"), .throttle_folder = S "/app")

TREE(smaller_share_in_a_longer_period, .memory = APP_WORKER, .cpu = APP_WORKER,
     .quota = QUOTA(300000, 400000, 1, "cgroup2:/app/cpu.max"), .throttle_folder = S "/app")

TREE(weight_only, .memory = APP, .cpu = APP, .usage_folder = S "/app", .throttle_folder = S "/app")

TREE(cpuset_narrower_than_quota, .memory = APP, .cpu = APP,
     .quota = QUOTA(400000, 100000, 0, "cgroup2:/app/cpu.max"), .throttle_folder = S "/app",
     .affinity = 2)

/* The parent is slowed down before the child is killed: its usage is what counts. */
TREE(high_and_swap, .memory = A_B, .cpu = A_B, .max = SET(1000001536, 0, "cgroup2:/a/b/memory.max"),
     .high = SET(900000768, 1, "cgroup2:/a/memory.high"),
     .swap = SET(0, 1, "cgroup2:/a/memory.swap.max"), .usage_folder = S "/a",
     .throttle_folder = S "/a/b")

TREE(limit_of_zero, .memory = APP, .cpu = APP, .max = SET(0, 0, "cgroup2:/app/memory.max"),
     .usage_folder = S "/app", .throttle_folder = S "/app")

#define INNER "/docker/outer/docker/inner"
TREE(nested_docker, .memory = {2, 5, S INNER, INNER, NULL, 0},
     .cpu = {2, 5, S INNER, INNER, NULL, 0},
     .max = SET(300 * MIB, 2, "cgroup2:/docker/outer/memory.max"),
     .quota = QUOTA(50000, 100000, 2, "cgroup2:/docker/outer/cpu.max"),
     .usage_folder = S "/docker/outer", .throttle_folder = S "/docker/outer")

static void another_process(void **state)
{
    const struct expected_cgroups expected = {
        .memory = APP,
        .cpu = APP,
        .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"),
        .quota = QUOTA(50000, 100000, 0, "cgroup2:/app/cpu.max"),
        .usage_folder = S "/app",
        .throttle_folder = S "/app",
        .affinity = 4,
    };
    (void)state;
    check_tree_of("another_process", 42, &expected);
}

static void the_machine_itself_can_be_asked(void **state)
{
    struct rth_cgroups cgroups;
    struct rth_cgroup_cpu_limits cpu;
    uint64_t total_bytes;
    int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)state;
    assert_true(root_fd >= 0);
    assert_int_equal(rth__cgroups_find(root_fd, 0, &cgroups), 0);
    rth__cgroup_cpu_limits_read(root_fd, 0, &cgroups, &cpu);
    assert_int_equal(rth__meminfo_total_read(root_fd, &total_bytes), 0);
    assert_true(total_bytes > 16 * MIB);
    assert_in_range(cpu.affinity, 1, sysconf(_SC_NPROCESSORS_CONF));
    /* By its number: from /proc, where the first question went to the scheduler. */
    unsigned affinity = cpu.affinity;
    rth__cgroup_cpu_limits_read(root_fd, getpid(), &cgroups, &cpu);
    assert_int_equal(cpu.affinity, affinity);
    assert_int_equal(close(root_fd), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(v2_private_namespace), cmocka_unit_test(v2_host_namespace),
              cmocka_unit_test(v2_systemd_slice), cmocka_unit_test(v2_limit_of_the_parent_only),
              cmocka_unit_test(v2_tighter_grandparent), cmocka_unit_test(v2_max_everywhere),
              cmocka_unit_test(v2_equal_limits), cmocka_unit_test(v2_bind_mount_elsewhere),
              cmocka_unit_test(v2_two_mounts_one_shows_more), cmocka_unit_test(v2_two_mounts_alike),
              cmocka_unit_test(v2_hidden_mount), cmocka_unit_test(v2_root_is_a_string_prefix),
              cmocka_unit_test(v2_only_a_string_prefix),
              cmocka_unit_test(v2_outside_of_the_namespace),
              cmocka_unit_test(v2_mount_above_the_namespace), cmocka_unit_test(octal_escapes),
              cmocka_unit_test(colons_in_the_path), cmocka_unit_test(unified_line_not_first),
              cmocka_unit_test(hybrid), cmocka_unit_test(hybrid_has_the_unified_place_for_pressure),
              cmocka_unit_test(hybrid_cpu_is_version_2),
              cmocka_unit_test(limit_is_all_of_the_memory),
              cmocka_unit_test(controllers_without_memory),
              cmocka_unit_test(leaf_without_memory_controller),
              cmocka_unit_test(root_cgroup_of_the_machine),
              cmocka_unit_test(quota_of_one_and_a_half), cmocka_unit_test(quarter_of_the_parent),
              cmocka_unit_test(smaller_share_in_a_longer_period), cmocka_unit_test(weight_only),
              cmocka_unit_test(cpuset_narrower_than_quota), cmocka_unit_test(high_and_swap),
              cmocka_unit_test(limit_of_zero), cmocka_unit_test(nested_docker),
              cmocka_unit_test(another_process), cmocka_unit_test(the_machine_itself_can_be_asked))
