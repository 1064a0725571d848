/* SPDX-License-Identifier: MIT */
/* Trees that deny, lie or break off: "it cannot be read" is an answer of its own, and what can be
 * read beside it still counts. */
#include "helper/cgroup_case.h"

#define S "sys/fs/cgroup"
#define APP                                                                                        \
    {                                                                                              \
        2, 2, S "/app", "/app", NULL, 0                                                            \
    }
#define CPU_APP                                                                                    \
    {                                                                                              \
        1, 2, S "/cpu/app", "/app", NULL, 0                                                        \
    }
#define HALF QUOTA(50000, 100000, 0, "cgroup1:/app/cpu.cfs_quota_us")
#define NOTHING(error)                                                                             \
    {                                                                                              \
        0, 0, NULL, NULL, NULL, error                                                              \
    }
#define MIB UINT64_C(1048576)

TREE(unreadable_leaf, .memory = {2, 3, S "/app/worker", "/app/worker", NULL, 0},
     .cpu = {2, 3, S "/app/worker", "/app/worker", NULL, 0},
     .max = {RTH_LIMIT_SET, 256 * MIB, 1, "cgroup2:/app/memory.max", 0, -EISDIR},
     .high = UNREADABLE(-EISDIR),
     .quota = {RTH_LIMIT_SET, 100000, 1, "cgroup2:/app/cpu.max", 100000, -EISDIR},
     .usage_folder = S "/app", .throttle_folder = S "/app")

TREE(malformed_numbers, .memory = {2, 4, S "/a/b/c", "/a/b/c", NULL, 0},
     .cpu = {2, 4, S "/a/b/c", "/a/b/c", NULL, 0}, .max = UNREADABLE(-EBADMSG),
     .high = UNREADABLE(-EBADMSG), .swap = UNREADABLE(-EBADMSG), .quota = UNREADABLE(-EBADMSG),
     .usage_folder = S "/a/b/c", .throttle_folder = S "/a/b/c")

TREE(malformed_level_beside_a_good_one, .memory = {1, 3, S "/memory/a/b", "/a/b", NULL, 0},
     .cpu = {1, 3, S "/cpu/a/b", "/a/b", NULL, 0},
     .max = {RTH_LIMIT_SET, 256 * MIB, 1, "cgroup1:/a/memory.limit_in_bytes", 0, -EBADMSG},
     .quota = {RTH_LIMIT_SET, 150000, 1, "cgroup1:/a/cpu.cfs_quota_us", 100000, -EBADMSG},
     .usage_folder = S "/memory/a", .throttle_folder = S "/cpu/a")

TREE(empty_files, .memory = APP, .cpu = APP, .max = UNREADABLE(-EBADMSG),
     .high = UNREADABLE(-EBADMSG), .swap = UNREADABLE(-EBADMSG), .quota = UNREADABLE(-EBADMSG),
     .usage_folder = S "/app", .throttle_folder = S "/app")

/* A kernel without any hierarchy. */
TREE(empty_membership, .error = 0)

#define ALL_UNREADABLE(code)                                                                       \
    .memory = NOTHING(code), .cpu = NOTHING(code), .max = UNREADABLE(code),                        \
    .high = UNREADABLE(code), .swap = UNREADABLE(code), .quota = UNREADABLE(code)

TREE(denied, .error = -ENOENT, ALL_UNREADABLE(-ENOENT))

TREE(no_mountinfo, .error = -ENOENT, ALL_UNREADABLE(-ENOENT))

#define NOT_MOUNTED                                                                                \
    {                                                                                              \
        0, 0, NULL, NULL, "not mounted", -ENOENT                                                   \
    }
TREE(not_mounted, .memory = NOT_MOUNTED, .cpu = NOT_MOUNTED, .max = UNREADABLE(-ENOENT),
     .high = UNREADABLE(-ENOENT), .swap = UNREADABLE(-ENOENT), .quota = UNREADABLE(-ENOENT))

TREE(line_of_many_pages, .memory = APP, .cpu = APP,
     .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"), .usage_folder = S "/app",
     .throttle_folder = S "/app")

TREE(path_of_many_pages, .memory = NOTHING(-ENAMETOOLONG), .cpu = CPU_APP,
     .max = UNREADABLE(-ENAMETOOLONG), .high = UNREADABLE(-ENAMETOOLONG),
     .swap = UNREADABLE(-ENAMETOOLONG), .quota = HALF, .throttle_folder = S "/cpu/app")

/* The line that is broken may be memory's: version 2 is not believed then. */
TREE(malformed_membership, .memory = NOTHING(-EBADMSG), .cpu = CPU_APP, .max = UNREADABLE(-EBADMSG),
     .high = UNREADABLE(-EBADMSG), .swap = UNREADABLE(-EBADMSG), .quota = HALF,
     .throttle_folder = S "/cpu/app")

TREE(membership_without_its_end, .memory = NOTHING(-EBADMSG), .cpu = CPU_APP,
     .max = UNREADABLE(-EBADMSG), .high = UNREADABLE(-EBADMSG), .swap = UNREADABLE(-EBADMSG),
     .quota = HALF, .throttle_folder = S "/cpu/app")

TREE(malformed_mount_of_another_kind, .memory = APP, .cpu = APP,
     .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"), .usage_folder = S "/app",
     .throttle_folder = S "/app")

TREE(mount_without_source, .memory = APP, .cpu = APP,
     .max = SET(100 * MIB, 0, "cgroup2:/app/memory.max"), .usage_folder = S "/app",
     .throttle_folder = S "/app")

RTH_TEST_MAIN(cmocka_unit_test(unreadable_leaf), cmocka_unit_test(malformed_numbers),
              cmocka_unit_test(malformed_level_beside_a_good_one), cmocka_unit_test(empty_files),
              cmocka_unit_test(empty_membership), cmocka_unit_test(denied),
              cmocka_unit_test(no_mountinfo), cmocka_unit_test(not_mounted),
              cmocka_unit_test(line_of_many_pages), cmocka_unit_test(path_of_many_pages),
              cmocka_unit_test(malformed_membership), cmocka_unit_test(membership_without_its_end),
              cmocka_unit_test(malformed_mount_of_another_kind),
              cmocka_unit_test(mount_without_source))
