/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_CGROUP_CASE_H
#define RTH_TESTS_HELPER_CGROUP_CASE_H

/* A tree of tests/fixtures/cgroup and all that has to be found in it. What is left out of the
 * expectation has to be absent: no limit, an empty string, version 0. */

#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/cgroup.h"

struct expected_limit {
    enum rth_limit_kind kind;
    uint64_t value;
    unsigned level;
    const char *source;
    uint64_t period_us;
    int error;
};
#define SET(value, level, source)                                                                  \
    {                                                                                              \
        RTH_LIMIT_SET, value, level, source, 0, 0                                                  \
    }
#define QUOTA(value, period_us, level, source)                                                     \
    {                                                                                              \
        RTH_LIMIT_SET, value, level, source, period_us, 0                                          \
    }
#define UNREADABLE(error)                                                                          \
    {                                                                                              \
        RTH_LIMIT_UNREADABLE, 0, 0, NULL, 0, error                                                 \
    }

struct expected_place {
    int version;
    unsigned levels;
    const char *folder, *hierarchy, *note;
    int error;
};

struct expected_cgroups {
    int error;
    struct expected_place memory, cpu;
    struct expected_limit max, high, swap, quota;
    const char *usage_folder, *throttle_folder;
    unsigned affinity;
};

static inline int cgroup_tree(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof(path), RTH_FIXTURES "/cgroup/%s", name);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static inline void check_place(const struct rth_cgroup_place *place,
                               const struct expected_place *expected)
{
    assert_int_equal(place->error, expected->error);
    assert_int_equal(place->version, expected->version);
    assert_string_equal(place->folder, text_or_empty(expected->folder));
    assert_int_equal(place->levels, expected->levels);
    assert_string_equal(text_or_empty(place->note), text_or_empty(expected->note));
    if (expected->version == 0)
        return;
    assert_string_equal(place->hierarchy, text_or_empty(expected->hierarchy));
    assert_int_equal(strncmp(place->folder, place->mount, strlen(place->mount)), 0);
}

static inline void check_limit(const struct rth_cgroup_limit *limit,
                               const struct expected_limit *expected)
{
    assert_int_equal(limit->kind, expected->kind);
    assert_int_equal(limit->error, expected->error);
    assert_int_equal(limit->value, expected->value);
    assert_int_equal(limit->period_us, expected->period_us);
    assert_int_equal(limit->level, expected->level);
    assert_string_equal(limit->source, text_or_empty(expected->source));
}

static inline void check_tree_of(const char *name, int pid, const struct expected_cgroups *expected)
{
    struct rth_cgroups cgroups;
    struct rth_cgroup_memory_limits memory;
    struct rth_cgroup_cpu_limits cpu;
    uint64_t total_bytes = 0;
    int root_fd = cgroup_tree(name);

    (void)rth__meminfo_total_read(root_fd, &total_bytes);
    assert_int_equal(rth__cgroups_find(root_fd, pid, &cgroups), expected->error);
    assert_int_equal(cgroups.error, expected->error);
    check_place(&cgroups.memory, &expected->memory);
    check_place(&cgroups.cpu, &expected->cpu);
    rth__cgroup_memory_limits_read(root_fd, &cgroups, total_bytes, &memory);
    check_limit(&memory.max, &expected->max);
    check_limit(&memory.high, &expected->high);
    check_limit(&memory.swap, &expected->swap);
    assert_string_equal(memory.usage_folder, text_or_empty(expected->usage_folder));
    rth__cgroup_cpu_limits_read(root_fd, pid, &cgroups, &cpu);
    check_limit(&cpu.quota, &expected->quota);
    assert_string_equal(cpu.throttle_folder, text_or_empty(expected->throttle_folder));
    assert_int_equal(cpu.affinity, expected->affinity);
    assert_int_equal(close(root_fd), 0);
}

/* One case: the tree of its name. */
#define TREE(name, ...)                                                                            \
    static void name(void **state)                                                                 \
    {                                                                                              \
        const struct expected_cgroups expected = {__VA_ARGS__};                                    \
        (void)state;                                                                               \
        check_tree_of(#name, 0, &expected);                                                        \
    }

#endif /* RTH_TESTS_HELPER_CGROUP_CASE_H */
