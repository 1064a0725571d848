/* SPDX-License-Identifier: MIT */
/* Kept descriptors over a tree that changes between looks and during them. */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/procfs.h"

#define S   "sys/fs/cgroup"
#define MIB UINT64_C(1048576)

static char top[32];
static int root_fd = -1;
static struct rth_cgroup_watch watch;

static void make_folders(const char *path)
{
    char folder[4096];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    for (char *slash = strchr(folder, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(root_fd, folder, 0700) < 0)
            assert_int_equal(errno, EEXIST);
        *slash = '/';
    }
}

/* Into the file that is there: kept descriptors see it. */
static void put(const char *path, const char *text)
{
    make_folders(path);
    int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static void remove_tree(void)
{
    if (root_fd < 0)
        return;
    (void)close(root_fd);
    root_fd = -1;
    (void)nftw(top, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* /app/worker of version 2, without limits. */
static void make_tree(void)
{
    remove_tree();
    (void)snprintf(top, sizeof(top), "/tmp/rth-cgroup-XXXXXX");
    assert_non_null(mkdtemp(top));
    assert_int_equal(atexit(remove_tree), 0);
    root_fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    put("proc/self/cgroup", "0::/app/worker\n");
    put("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put(S "/cgroup.controllers", "cpu memory\n");
    put(S "/app/memory.max", "max\n");
    put(S "/app/memory.current", "1000\n");
    put(S "/app/memory.stat", "inactive_file 10\nactive_file 20\nslab_reclaimable 30\n");
    put(S "/app/cpu.max", "max 100000\n");
    put(S "/app/cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_usec 1\n");
    put(S "/app/worker/memory.max", "max\n");
    put(S "/app/worker/memory.current", "500\n");
    put(S "/app/worker/memory.stat", "inactive_file 1\nactive_file 2\nslab_reclaimable 3\n");
    put(S "/app/worker/cpu.max", "max 100000\n");
    put(S "/app/worker/cpu.stat", "nr_periods 9\nnr_throttled 8\nthrottled_usec 7\n");
}

static void limits_that_come_and_change_and_go_are_followed(void **state)
{
    (void)state;
    make_tree();
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_NONE);
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 0);
    put(S "/app/worker/memory.max", "104857600\n");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_SET);
    assert_int_equal(watch.memory.max.value, 100 * MIB);
    assert_string_equal(watch.memory.max.source, "cgroup2:/app/worker/memory.max");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 0);
    put(S "/app/worker/memory.max", "52428800\n");
    put(S "/app/worker/cpu.max", "150000 100000\n");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
    assert_int_equal(watch.memory.max.value, 50 * MIB);
    assert_int_equal(watch.cpu.quota.value, 150000);
    assert_string_equal(watch.cpu.quota.source, "cgroup2:/app/worker/cpu.max");
    put(S "/app/worker/memory.max", "max\n");
    put(S "/app/worker/cpu.max", "max 100000\n");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_NONE);
    assert_int_equal(watch.cpu.quota.kind, RTH_LIMIT_NONE);
    assert_string_equal(watch.memory.max.source, "");
    rth__cgroup_watch_close(&watch);
}

static void usage_and_throttling_are_of_the_level_that_decides_now(void **state)
{
    struct rth_cgroup_memory_usage usage;
    struct rth_cgroup_throttling throttling;
    (void)state;
    make_tree();
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    assert_int_equal(rth__cgroup_watch_usage_read(&watch, &usage), 0);
    assert_int_equal(usage.current_bytes, 500);
    assert_int_equal(usage.reclaimable_bytes, 6);
    assert_true(usage.peak_bytes == UINT64_MAX);
    assert_int_equal(rth__cgroup_watch_throttling_read(&watch, &throttling), 0);
    assert_int_equal(throttling.periods, 9);
    put(S "/app/memory.max", "104857600\n");
    put(S "/app/cpu.max", "25000 100000\n");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
    assert_string_equal(watch.memory.usage_folder, S "/app");
    assert_int_equal(watch.memory.max.level, 1);
    assert_int_equal(rth__cgroup_watch_usage_read(&watch, &usage), 0);
    assert_int_equal(usage.current_bytes, 1000);
    assert_int_equal(usage.reclaimable_bytes, 60);
    assert_int_equal(rth__cgroup_watch_throttling_read(&watch, &throttling), 0);
    assert_int_equal(throttling.periods, 1);
    put(S "/app/memory.current", "2000\n");
    put(S "/app/memory.peak", "3000\n");
    assert_int_equal(rth__cgroup_watch_usage_read_all(&watch, &usage), 0);
    assert_int_equal(usage.current_bytes, 2000);
    assert_int_equal(usage.peak_bytes, 3000);
    rth__cgroup_watch_close(&watch);
}

static void a_process_that_was_moved_is_told_and_found_again(void **state)
{
    (void)state;
    make_tree();
    put(S "/other/memory.max", "1048576\n");
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    put("proc/self/cgroup", "0::/other\n");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), -ESTALE);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_NONE);
    rth__cgroup_watch_close(&watch);
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 0);
    assert_string_equal(watch.memory.max.source, "cgroup2:/other/memory.max");
    rth__cgroup_watch_close(&watch);
}

static void a_mount_that_moves_is_found_by_the_next_watch(void **state)
{
    (void)state;
    make_tree();
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    rth__cgroup_watch_close(&watch);
    assert_int_equal(renameat(root_fd, S, root_fd, "sys/fs/moved"), 0);
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_UNREADABLE);
    assert_int_equal(watch.memory.max.error, -ENOENT);
    rth__cgroup_watch_close(&watch);
    put("proc/self/mountinfo", "30 23 0:26 / /sys/fs/moved rw - cgroup2 cgroup2 rw\n");
    put("sys/fs/moved/app/memory.max", "1048576\n");
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    assert_int_equal(watch.memory.max.value, MIB);
    assert_string_equal(watch.memory.usage_folder, "sys/fs/moved/app");
    rth__cgroup_watch_close(&watch);
}

static void a_value_that_breaks_off_is_unreadable_until_it_is_whole(void **state)
{
    struct rth_cgroup_memory_usage usage = {.current_bytes = 77};
    (void)state;
    make_tree();
    put(S "/app/worker/memory.max", "104857600\n");
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    put(S "/app/worker/memory.max", "10485");
    put(S "/app/worker/memory.stat", "inactive_file 1\nactive_fi");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_UNREADABLE);
    assert_int_equal(watch.memory.max.error, -EBADMSG);
    assert_int_equal(watch.memory.max.value, 0);
    assert_int_equal(rth__cgroup_watch_usage_read(&watch, &usage), -EBADMSG);
    assert_int_equal(usage.current_bytes, 77);
    put(S "/app/worker/memory.max", "104857600\n");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_SET);
    assert_int_equal(watch.memory.max.error, 0);
    rth__cgroup_watch_close(&watch);
}

/* Rewrites one file over and over, each number in two halves, until it is ended. */
static void rewrite_for_ever(const char *path)
{
    int fd = openat(root_fd, path, O_WRONLY | O_CLOEXEC);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (fd >= 0) {
        if (ftruncate(fd, 0) < 0 || pwrite(fd, "10737", 5, 0) != 5 ||
            pwrite(fd, "41824\n", 6, 5) != 6 || ftruncate(fd, 0) < 0 ||
            pwrite(fd, "524", 3, 0) != 3 || pwrite(fd, "28800\n", 6, 3) != 6)
            break;
    }
    _exit(1);
}

static void a_limit_rewritten_during_the_look_is_one_of_the_two_or_unreadable(void **state)
{
    unsigned seen = 0;
    (void)state;
    make_tree();
    put(S "/app/memory.max", "52428800\n");
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    pid_t writer = fork();
    if (writer == 0)
        rewrite_for_ever(S "/app/memory.max");
    assert_true(writer > 0);
    for (int look = 0; look < 20000; look++) {
        int result = rth__cgroup_watch_refresh(&watch);
        assert_true(result == 0 || result == 1);
        seen += result == 1;
        if (watch.memory.max.kind == RTH_LIMIT_SET)
            assert_true(watch.memory.max.value == 1024 * MIB || watch.memory.max.value == 50 * MIB);
        else
            assert_int_equal(watch.memory.max.error, -EBADMSG);
    }
    assert_int_equal(kill(writer, SIGKILL), 0);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    assert_true(seen > 0);
    rth__cgroup_watch_close(&watch);
}

static void more_levels_than_are_kept_are_read_all_the_same(void **state)
{
    char path[1024] = S, membership[1024];
    (void)state;
    make_tree();
    for (int level = 0; level < 2 * RTH_CGROUP_WATCH_LEVELS; level++)
        (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/l%d", level);
    (void)snprintf(membership, sizeof(membership), "0::%s\n", path + strlen(S));
    put("proc/self/cgroup", membership);
    (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/memory.max");
    put(path, "max\n");
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
    assert_int_equal(watch.cgroups.memory.levels, 2 * RTH_CGROUP_WATCH_LEVELS + 1);
    put(S "/l0/memory.max", "1048576\n");
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
    assert_string_equal(watch.memory.max.source, "cgroup2:/l0/memory.max");
    rth__cgroup_watch_close(&watch);
}

static void nothing_to_watch_is_no_error_of_the_watch(void **state)
{
    struct rth_cgroup_memory_usage usage;
    struct rth_cgroup_throttling throttling;
    (void)state;
    make_tree();
    assert_int_equal(unlinkat(root_fd, "proc/self/cgroup", 0), 0);
    assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), -ENOENT);
    assert_int_equal(watch.memory.max.kind, RTH_LIMIT_UNREADABLE);
    assert_int_equal(rth__cgroup_watch_refresh(&watch), 0);
    assert_int_equal(rth__cgroup_watch_usage_read(&watch, &usage), -ENODATA);
    assert_int_equal(rth__cgroup_watch_usage_read_all(&watch, &usage), -ENODATA);
    assert_int_equal(rth__cgroup_watch_throttling_read(&watch, &throttling), -ENODATA);
    rth__cgroup_watch_close(&watch);
}

static void closing_leaves_no_descriptor(void **state)
{
    (void)state;
    make_tree();
    put(S "/app/memory.max", "52428800\n");
    int live_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int before = rth__proc_fd_count(live_fd, 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(rth__cgroup_watch_open(&watch, root_fd, 0, 0), 0);
        assert_true(rth__proc_fd_count(live_fd, 0) > before);
        put(S "/app/worker/memory.max", round % 2 == 0 ? "4096\n" : "max\n");
        assert_int_equal(rth__cgroup_watch_refresh(&watch), 1);
        rth__cgroup_watch_close(&watch);
        assert_int_equal(rth__proc_fd_count(live_fd, 0), before);
    }
    assert_int_equal(close(live_fd), 0);
}

#define MOUNT "/sys/fs/cgroup/memory"

/* Moves this process. */
static int enter(const char *folder)
{
    char path[256], pid[32];
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int size_bytes = snprintf(pid, sizeof(pid), "%d\n", getpid());
    int result = fd >= 0 && write(fd, pid, (size_t)size_bytes) == size_bytes ? 0 : -errno;
    if (fd >= 0)
        (void)close(fd);
    return result;
}

static void a_cgroup_that_is_removed_is_told(void **state)
{
    struct rth_cgroup_memory_usage usage;
    struct rth_cgroups now;
    char folder[128], home[1100];
    (void)state;
    int live_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(live_fd >= 0);
    assert_int_equal(rth__cgroup_watch_open(&watch, live_fd, 0, 0), 0);
    (void)snprintf(home, sizeof(home), "/%s", watch.cgroups.memory.folder);
    int version = watch.cgroups.memory.version;
    rth__cgroup_watch_close(&watch);
    (void)snprintf(folder, sizeof(folder), MOUNT "/rth-test-%d", getpid());
    if (version != 1 || mkdir(folder, 0700) < 0)
        RTH_SKIP("no version 1 memory cgroup can be made here");
    assert_int_equal(enter(folder), 0);
    assert_int_equal(rth__cgroup_watch_open(&watch, live_fd, 0, 0), 0);
    int first = rth__cgroup_watch_usage_read(&watch, &usage);
    int back = enter(home);
    int removed = rmdir(folder);
    assert_int_equal(back, 0);
    assert_int_equal(removed, 0);
    assert_int_equal(first, 0);
    assert_int_equal(rth__cgroup_watch_usage_read(&watch, &usage), -ENODEV);
    assert_int_equal(rth__cgroup_watch_usage_read_all(&watch, &usage), -ENODEV);
    assert_int_equal(rth__cgroup_watch_refresh(&watch), -ESTALE);
    /* As if the process had not been moved before. */
    assert_int_equal(rth__cgroups_find(live_fd, 0, &now), 0);
    watch.cgroups.membership = now.membership;
    assert_int_equal(rth__cgroup_watch_refresh(&watch), -ENODEV);
    rth__cgroup_watch_close(&watch);
    assert_int_equal(close(live_fd), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(limits_that_come_and_change_and_go_are_followed),
              cmocka_unit_test(usage_and_throttling_are_of_the_level_that_decides_now),
              cmocka_unit_test(a_process_that_was_moved_is_told_and_found_again),
              cmocka_unit_test(a_mount_that_moves_is_found_by_the_next_watch),
              cmocka_unit_test(a_value_that_breaks_off_is_unreadable_until_it_is_whole),
              cmocka_unit_test(a_limit_rewritten_during_the_look_is_one_of_the_two_or_unreadable),
              cmocka_unit_test(more_levels_than_are_kept_are_read_all_the_same),
              cmocka_unit_test(nothing_to_watch_is_no_error_of_the_watch),
              cmocka_unit_test(closing_leaves_no_descriptor),
              cmocka_unit_test(a_cgroup_that_is_removed_is_told))
