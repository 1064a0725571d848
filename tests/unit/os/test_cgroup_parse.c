/* SPDX-License-Identifier: MIT */
/* The texts themselves: every number is the kernel's or none. */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/cgroup_parse.h"

static int memory_limit(const char *text, uint64_t *bytes)
{
    return rth__cgroup_memory_limit_parse(text, strlen(text), bytes);
}

static void memory_limits(void **state)
{
    static const char *const bad[] = {
        "",       "\n",    "max",  "maximum\n",  "1",
        "-1\n",   "1 \n",  " 1\n", "1\n\n",      "1\n2\n",
        "0x10\n", "1e9\n", "+1\n", "1048576K\n", "9223372036854775808\n"};
    uint64_t bytes = 77;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(memory_limit(bad[i], &bytes), -EBADMSG);
    assert_int_equal(memory_limit("max\n", &bytes), 0);
    assert_int_equal(memory_limit("9223372036854775807\n", &bytes), 0);
    assert_int_equal(memory_limit("9223372036854771712\n", &bytes), 0);
    assert_int_equal(memory_limit("9223372036854710272\n", &bytes), 0);
    assert_int_equal(bytes, 77);
    assert_int_equal(memory_limit("9223372036854644736\n", &bytes), 1);
    assert_true(bytes == UINT64_C(9223372036854644736));
    assert_int_equal(memory_limit("0\n", &bytes), 1);
    assert_int_equal(bytes, 0);
}

static int cpu_max(const char *text, uint64_t *quota_us, uint64_t *period_us)
{
    return rth__cgroup_cpu_max_parse(text, strlen(text), quota_us, period_us);
}

static void quotas(void **state)
{
    static const char *const bad[] = {"max\n",       "100000\n",      "100000 0\n", "0 100000\n",
                                      "-1 100000\n", "max -100000\n", "max 0\n",    "1 2 3\n",
                                      "1  100000\n", "100000 100000", "",           "maxi 1\n"};
    static const char *const bad_cfs[] = {"",      "-1",    "-2\n",  "0\n",
                                          "max\n", "- 1\n", "--1\n", "9223372036854775808\n"};
    uint64_t quota_us = 77, period_us = 77;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cpu_max(bad[i], &quota_us, &period_us), -EBADMSG);
    for (size_t i = 0; i < sizeof(bad_cfs) / sizeof(bad_cfs[0]); i++)
        assert_int_equal(rth__cgroup_cfs_quota_parse(bad_cfs[i], strlen(bad_cfs[i]), &quota_us),
                         -EBADMSG);
    assert_int_equal(cpu_max("max 100000\n", &quota_us, &period_us), 0);
    assert_int_equal(rth__cgroup_cfs_quota_parse("-1\n", 3, &quota_us), 0);
    assert_int_equal(quota_us, 77);
    assert_int_equal(period_us, 77);
    assert_int_equal(cpu_max("150000 100000\n", &quota_us, &period_us), 1);
    assert_int_equal(quota_us, 150000);
    assert_int_equal(period_us, 100000);
    assert_int_equal(rth__cgroup_cfs_quota_parse("25000\n", 6, &quota_us), 1);
    assert_int_equal(quota_us, 25000);
}

static void words_are_whole(void **state)
{
    static const char list[] = "cpuset cpu io memory\n";
    (void)state;
    assert_true(rth__cgroup_word_is_in(list, sizeof(list) - 1, "memory"));
    assert_true(rth__cgroup_word_is_in(list, sizeof(list) - 1, "cpu"));
    assert_false(rth__cgroup_word_is_in(list, sizeof(list) - 1, "mem"));
    assert_false(rth__cgroup_word_is_in("cpuset\n", 7, "cpu"));
    assert_false(rth__cgroup_word_is_in("", 0, "cpu"));
}

static const struct rth_cgroup_key keys[] = {RTH_CGROUP_KEY("oom"), RTH_CGROUP_KEY("oom_kill")};

static int two_keys(const char *text, uint64_t values[2])
{
    values[0] = values[1] = UINT64_MAX;
    return rth__cgroup_keys_parse(text, strlen(text), keys, 2, values);
}

static void keys_are_whole_and_only_once(void **state)
{
    uint64_t values[2];
    (void)state;
    assert_int_equal(two_keys("low 1\noom 2\nmax x\noom_kill 3\noom_group_kill 4\n", values), 2);
    assert_int_equal(values[0], 2);
    assert_int_equal(values[1], 3);
    assert_int_equal(two_keys("oom_kill_disable 0\noo 1\n\nword\n", values), 0);
    assert_int_equal(two_keys("oom 1\noom 1\n", values), -EBADMSG);
    assert_int_equal(two_keys("oom -1\n", values), -EBADMSG);
    assert_int_equal(two_keys("oom \n", values), -EBADMSG);
    assert_int_equal(two_keys("oom 1 2\n", values), -EBADMSG);
    assert_int_equal(two_keys("oom 9223372036854775808\n", values), -EBADMSG);
    assert_int_equal(two_keys("oom 1", values), -EBADMSG);
}

static void keys_go_on_in_the_next_piece(void **state)
{
    uint64_t values[2];
    (void)state;
    assert_int_equal(two_keys("oom 1\n", values), 1);
    assert_int_equal(rth__cgroup_keys_parse("oom_kill 2\n", 11, keys, 2, values), 2);
    assert_int_equal(values[0], 1);
    assert_int_equal(values[1], 2);
}

static void processors_in_masks_and_lists(void **state)
{
    static struct rth_cpus cpus;
    (void)state;
    assert_int_equal(rth__cpus_mask_parse("80000000,00000005", 17, &cpus), 0);
    assert_int_equal(cpus.words[0], 5);
    assert_true(cpus.words[1] == UINT32_C(0x80000000));
    assert_int_equal(rth__cpus_mask_parse("ff", 2, &cpus), 0);
    assert_int_equal(cpus.words[0], 255);
    assert_int_equal(rth__cpus_mask_parse("", 0, &cpus), -EBADMSG);
    assert_int_equal(rth__cpus_mask_parse("1,", 2, &cpus), -EBADMSG);
    assert_int_equal(rth__cpus_mask_parse("100000000", 9, &cpus), -EBADMSG);
    assert_int_equal(rth__cpus_list_parse("0-2,33\n", 7, &cpus), 0);
    assert_int_equal(cpus.words[0], 7);
    assert_int_equal(cpus.words[1], 2);
    assert_int_equal(rth__cpus_list_parse("\n", 1, &cpus), 0);
    assert_int_equal(rth__cpus_list_parse("8191\n", 5, &cpus), 0);
    assert_int_equal(rth__cpus_list_parse("8192\n", 5, &cpus), -EBADMSG);
    assert_int_equal(rth__cpus_list_parse("3-1\n", 4, &cpus), -EBADMSG);
    assert_int_equal(rth__cpus_list_parse("1,\n", 3, &cpus), -EBADMSG);
    assert_int_equal(rth__cpus_list_parse("1-\n", 3, &cpus), -EBADMSG);
    assert_int_equal(rth__cpus_list_parse("1", 1, &cpus), -EBADMSG);
}

static void total_of_meminfo(void **state)
{
    static const char good[] = "MemFree: 1 kB\nMemTotal:       16384 kB\ncut";
    uint64_t bytes = 77;
    (void)state;
    assert_int_equal(rth__meminfo_total_parse(good, sizeof(good) - 1, &bytes), 0);
    assert_int_equal(bytes, 16777216);
    assert_int_equal(rth__meminfo_total_parse("MemTotal: 1 MB\n", 15, &bytes), -EBADMSG);
    assert_int_equal(rth__meminfo_total_parse("MemTotal: 1 kB", 14, &bytes), -EBADMSG);
    assert_int_equal(rth__meminfo_total_parse("", 0, &bytes), -EBADMSG);
    assert_int_equal(bytes, 16777216);
}

/* Pieces of one character make every boundary one between two reads. */
static void mounts_come_out_alike_in_pieces_of_any_size(void **state)
{
    static const char text[] =
        "30 23 0:26 /a\\040b /mnt/x\\134y rw shared:9 master:1 - cgroup2 none rw,a b\n"
        "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    static struct rth_cgroup_mount mount;
    char piece[64];
    (void)state;
    for (size_t size = 1; size <= sizeof(piece); size++) {
        int ends[2];
        struct rth_chars chars;
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], text, sizeof(text) - 1), sizeof(text) - 1);
        assert_int_equal(close(ends[1]), 0);
        rth__chars_of_fd(&chars, ends[0], piece, size);
        assert_int_equal(rth__cgroup_mount_next(&chars, &mount), 1);
        assert_int_equal(mount.version, 2);
        assert_string_equal(mount.root, "/a b");
        assert_string_equal(mount.mount, "/mnt/x\\y");
        assert_int_equal(rth__cgroup_mount_next(&chars, &mount), 1);
        assert_int_equal(mount.version, 1);
        assert_int_equal(mount.controllers, RTH_CGROUP_CPU);
        assert_int_equal(rth__cgroup_mount_next(&chars, &mount), 0);
        assert_int_equal(close(ends[0]), 0);
    }
}

static void a_read_that_fails_is_told_always(void **state)
{
    static struct rth_cgroup_mount mount;
    static struct rth_cgroups cgroups;
    char piece[16];
    struct rth_chars chars;
    (void)state;
    rth__chars_of_fd(&chars, 1 << 20, piece, sizeof(piece));
    assert_int_equal(rth__cgroup_mount_next(&chars, &mount), -EBADF);
    assert_int_equal(rth__cgroup_mount_next(&chars, &mount), -EBADF);
    rth__chars_of_fd(&chars, 1 << 20, piece, sizeof(piece));
    assert_int_equal(rth__cgroup_membership_parse(&chars, &cgroups), -EBADF);
    assert_int_equal(cgroups.memory.error, -EBADF);
    assert_int_equal(cgroups.unified.error, -EBADF);
}

RTH_TEST_MAIN(cmocka_unit_test(memory_limits), cmocka_unit_test(quotas),
              cmocka_unit_test(words_are_whole), cmocka_unit_test(keys_are_whole_and_only_once),
              cmocka_unit_test(keys_go_on_in_the_next_piece),
              cmocka_unit_test(processors_in_masks_and_lists), cmocka_unit_test(total_of_meminfo),
              cmocka_unit_test(mounts_come_out_alike_in_pieces_of_any_size),
              cmocka_unit_test(a_read_that_fails_is_told_always))
