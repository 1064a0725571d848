/* SPDX-License-Identifier: MIT */
/* Trees of version 1. */
#include "helper/cgroup_case.h"

#define S      "sys/fs/cgroup"
#define MEMORY S "/memory"
#define CPU    S "/cpu,cpuacct"
#define MIB    UINT64_C(1048576)
#define MOUNT_ONLY(folder, root)                                                                   \
    {                                                                                              \
        1, 1, folder, root, "outside of the mount", 0                                              \
    }
#define IN(levels, path)                                                                           \
    {                                                                                              \
        1, levels, MEMORY path, path, NULL, 0                                                      \
    }

TREE(v1_container, .memory = {1, 1, MEMORY, "/docker/c1", NULL, 0},
     .cpu = {1, 1, CPU, "/docker/c1", NULL, 0},
     .max = SET(512 * MIB, 0, "cgroup1:/docker/c1/memory.limit_in_bytes"),
     .swap = SET(1024 * MIB, 0, "cgroup1:/docker/c1/memory.memsw.limit_in_bytes"),
     .quota = QUOTA(150000, 100000, 0, "cgroup1:/docker/c1/cpu.cfs_quota_us"),
     .usage_folder = MEMORY, .throttle_folder = CPU, .affinity = 3)

TREE(v1_private_namespace, .memory = {1, 1, MEMORY, "/", NULL, 0}, .cpu = {1, 1, CPU, "/", NULL, 0},
     .max = SET(256 * MIB, 0, "cgroup1:/memory.limit_in_bytes"), .usage_folder = MEMORY,
     .throttle_folder = CPU)

TREE(v1_limit_of_the_parent_only, .memory = IN(3, "/svc/worker"),
     .cpu = {1, 3, S "/cpu/svc/worker", "/svc/worker", NULL, 0},
     .max = SET(256 * MIB, 1, "cgroup1:/svc/memory.limit_in_bytes"),
     .quota = QUOTA(25000, 100000, 1, "cgroup1:/svc/cpu.cfs_quota_us"),
     .usage_folder = MEMORY "/svc", .throttle_folder = S "/cpu/svc")

TREE(v1_tighter_grandparent, .memory = IN(4, "/a/b/c"),
     .max = SET(100003840, 2, "cgroup1:/a/memory.limit_in_bytes"), .usage_folder = MEMORY "/a")

TREE(v1_sentinel_of_4k_pages, .memory = IN(2, "/app"), .usage_folder = MEMORY "/app")

TREE(v1_sentinel_of_64k_pages, .memory = IN(2, "/app"), .usage_folder = MEMORY "/app")

/* A task's limit above its container's, which only memory.stat tells of. */
TREE(v1_limit_beyond_the_mount, .memory = {1, 1, MEMORY, "/ecs/task1/c1", NULL, 0},
     .max = SET(512 * MIB, 1, "cgroup1:/ecs/task1/c1/memory.stat"), .usage_folder = MEMORY)

TREE(v1_without_hierarchy, .memory = IN(1, "/a/b"),
     .max = SET(256 * MIB, 0, "cgroup1:/a/b/memory.limit_in_bytes"), .usage_folder = MEMORY "/a/b")

TREE(v1_path_is_not_in_the_mount, .memory = MOUNT_ONLY(MEMORY, "/"), .cpu = MOUNT_ONLY(CPU, "/"),
     .max = SET(256 * MIB, 0, "cgroup1:/memory.limit_in_bytes"),
     .quota = QUOTA(50000, 100000, 0, "cgroup1:/cpu.cfs_quota_us"), .usage_folder = MEMORY,
     .throttle_folder = CPU)

TREE(v1_nearest_folder_above,
     .memory = {1, 3, MEMORY "/kubepods/pod1", "/kubepods/pod1",
                "not below the mount: the nearest folder above", 0},
     .max = SET(256 * MIB, 0, "cgroup1:/kubepods/pod1/memory.limit_in_bytes"),
     .usage_folder = MEMORY "/kubepods/pod1")

TREE(v1_relative_to_the_mount,
     .memory = {1, 2, MEMORY "/inner", "/inner", "taken relative to the mount", 0},
     .max = SET(256 * MIB, 0, "cgroup1:/inner/memory.limit_in_bytes"),
     .usage_folder = MEMORY "/inner")

TREE(v1_mount_root_is_elsewhere, .memory = MOUNT_ONLY(MEMORY, "/docker/c1"),
     .max = SET(256 * MIB, 0, "cgroup1:/docker/c1/memory.limit_in_bytes"), .usage_folder = MEMORY)

TREE(v1_all_in_one, .memory = {1, 2, "cgroup/app", "/app", NULL, 0},
     .cpu = {1, 2, "cgroup/app", "/app", NULL, 0},
     .max = SET(256 * MIB, 0, "cgroup1:/app/memory.limit_in_bytes"),
     .quota = QUOTA(75000, 50000, 0, "cgroup1:/app/cpu.cfs_quota_us"), .usage_folder = "cgroup/app",
     .throttle_folder = "cgroup/app", .affinity = 1)

TREE(cpuset_without_status, .affinity = 4)

TREE(rounded_to_pages, .memory = IN(2, "/app"),
     .max = SET(199999488, 0, "cgroup1:/app/memory.limit_in_bytes"), .usage_folder = MEMORY "/app")

/* No memory.stat, no list of controllers, no hierarchy. */
TREE(sandbox_that_imitates, .memory = {1, 1, MEMORY, "/", NULL, 0},
     .cpu = {1, 1, S "/cpu", "/", NULL, 0},
     .max = SET(256 * MIB, 0, "cgroup1:/memory.limit_in_bytes"),
     .quota = QUOTA(200000, 100000, 0, "cgroup1:/cpu.cfs_quota_us"), .usage_folder = MEMORY,
     .throttle_folder = S "/cpu")

RTH_TEST_MAIN(cmocka_unit_test(v1_container), cmocka_unit_test(v1_private_namespace),
              cmocka_unit_test(v1_limit_of_the_parent_only),
              cmocka_unit_test(v1_tighter_grandparent), cmocka_unit_test(v1_sentinel_of_4k_pages),
              cmocka_unit_test(v1_sentinel_of_64k_pages),
              cmocka_unit_test(v1_limit_beyond_the_mount), cmocka_unit_test(v1_without_hierarchy),
              cmocka_unit_test(v1_path_is_not_in_the_mount),
              cmocka_unit_test(v1_nearest_folder_above), cmocka_unit_test(v1_relative_to_the_mount),
              cmocka_unit_test(v1_mount_root_is_elsewhere), cmocka_unit_test(v1_all_in_one),
              cmocka_unit_test(cpuset_without_status), cmocka_unit_test(rounded_to_pages),
              cmocka_unit_test(sandbox_that_imitates))
