/* SPDX-License-Identifier: MIT */
/*
 * The readers over a tree of files: 100 is a good process with a thread 101, 200 is wrong
 * everywhere, 300 a kernel thread of an old kernel.
 */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/procfs.h"

static int root_fd(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open(RTH_FIXTURES "/procfs", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void stat_of_a_process_and_of_a_thread(void **state)
{
    (void)state;
    struct rth_proc_stat stat;
    assert_int_equal(rth__proc_stat_read(root_fd(), 100, 0, &stat), 0);
    assert_int_equal(stat.pid, 100);
    assert_string_equal(stat.comm, "a) R 9 (b c");
    assert_int_equal(stat.state, 'S');
    assert_int_equal(stat.ppid, 1);
    assert_int_equal(stat.utime_ticks, 51);
    assert_int_equal(stat.stime_ticks, 62);
    assert_int_equal(stat.cutime_ticks, 73);
    assert_int_equal(stat.cstime_ticks, 84);
    assert_int_equal(stat.num_threads, 4);
    assert_int_equal(stat.starttime_ticks, 127527);
    assert_int_equal(stat.vsize_bytes, 3133440);
    assert_int_equal(stat.rss_pages, 382);
    assert_int_equal(stat.processor, 3);
    assert_int_equal(rth__proc_stat_read(root_fd(), 0, 0, &stat), 0);
    assert_string_equal(stat.comm, "self");
    /* A thread's exit signal is -1. */
    assert_int_equal(rth__proc_stat_read(root_fd(), 100, 101, &stat), 0);
    assert_string_equal(stat.comm, "rth (worker");
    assert_int_equal(stat.pid, 101);
    assert_int_equal(stat.processor, 0);
}

static void status_with_lines_longer_than_any_buffer(void **state)
{
    (void)state;
    struct rth_proc_status status;
    assert_int_equal(rth__proc_status_read(root_fd(), 100, 0, &status), 0);
    assert_string_equal(status.name, "a) R 9 (b c");
    assert_int_equal(status.tgid, 100);
    assert_int_equal(status.ppid, 1);
    assert_int_equal(status.tracer_pid, 55);
    assert_int_equal(status.ns_pid, 2);
    assert_int_equal(status.uid[0], 1000);
    assert_int_equal(status.uid[3], UINT32_MAX);
    assert_int_equal(status.gid[2], 2002);
    assert_int_equal(status.threads, 4);
    assert_int_equal(status.vm_rss_kib, 1752);
    assert_int_equal(status.vm_size_kib, 3060);
    assert_int_equal(status.vm_data_kib, 316);
    assert_int_equal(status.rss_anon_kib, 112);
    assert_int_equal(status.rss_file_kib, 1600);
    assert_int_equal(status.rss_shmem_kib, 40);
    assert_int_equal(status.vm_stack_kib, 132);
    assert_int_equal(status.cap_permitted, 0x1fffeffffff);
    assert_int_equal(status.cap_effective, 0xa80425fb);
    assert_int_equal(status.no_new_privs, 1);
    assert_int_equal(status.seccomp, 2);
    assert_true(status.sig_blocked == UINT64_C(0xfffffffe3bfa3a00));
    assert_int_equal(status.sig_ignored, 0x1000);
    assert_int_equal(status.sig_caught, 0x1800044eb);
    assert_int_equal(status.sig_queued, 3);
    assert_int_equal(status.sig_queued_limit, 96364);
    assert_int_equal(rth__proc_status_read(root_fd(), 100, 101, &status), 0);
    assert_string_equal(status.name, " two\nlines\\");
    assert_int_equal(status.tgid, 100);
}

static void a_kernel_thread_has_no_memory_and_an_old_kernel_says_less(void **state)
{
    (void)state;
    struct rth_proc_status status;
    struct rth_proc_stat stat;
    assert_int_equal(rth__proc_status_read(root_fd(), 300, 0, &status), 0);
    assert_string_equal(status.name, "kworker/u8:3-events_unbound");
    assert_int_equal(status.vm_rss_kib, 0);
    assert_int_equal(status.ns_pid, 300);
    assert_int_equal(status.no_new_privs, -1);
    assert_int_equal(status.seccomp, -1);
    assert_int_equal(rth__proc_stat_read(root_fd(), 300, 0, &stat), 0);
    assert_string_equal(stat.comm, "kworker/u8:3-events_unbound");
}

static void schedstat_takes_all_64_bits_and_fields_to_come(void **state)
{
    (void)state;
    struct rth_proc_schedstat schedstat;
    assert_int_equal(rth__proc_schedstat_read(root_fd(), 100, 0, &schedstat), 0);
    assert_int_equal(schedstat.run_ns, 1083086);
    assert_int_equal(schedstat.wait_ns, 107858);
    assert_int_equal(schedstat.slices, 2);
    assert_int_equal(rth__proc_schedstat_read(root_fd(), 100, 101, &schedstat), 0);
    assert_true(schedstat.run_ns == UINT64_MAX);
    assert_int_equal(schedstat.slices, 7);
}

static void limits_zero_and_unlimited_are_apart(void **state)
{
    (void)state;
    struct rth_proc_limits limits;
    assert_int_equal(rth__proc_limits_read(root_fd(), 100, &limits), 0);
    assert_int_equal(limits.open_files_soft, 1024);
    assert_int_equal(limits.open_files_hard, 524288);
    assert_true(limits.address_space_soft == RTH_PROC_UNLIMITED);
    assert_true(limits.address_space_hard == RTH_PROC_UNLIMITED);
    assert_int_equal(limits.sigpending_soft, 0);
    assert_true(limits.sigpending_hard == UINT64_MAX - 1);
}

static void octets_come_from_ip_ext_alone(void **state)
{
    (void)state;
    struct rth_proc_netstat netstat;
    assert_int_equal(rth__proc_netstat_read(root_fd(), 100, &netstat), 0);
    assert_int_equal(netstat.in_octets, 87397125);
    assert_true(netstat.out_octets == UINT64_MAX);
}

static void boot_time_is_found_behind_a_line_of_any_length(void **state)
{
    (void)state;
    uint64_t boot_time_s = 0;
    assert_int_equal(rth__proc_boot_time_read(root_fd(), &boot_time_s), 0);
    assert_int_equal(boot_time_s, 1795580991);
}

static void wait_channels_are_names_or_nothing(void **state)
{
    (void)state;
    char wchan[32] = "before";
    assert_int_equal(rth__proc_wchan_read(root_fd(), 100, 0, wchan, sizeof(wchan)), 0);
    assert_string_equal(wchan, "ep_poll");
    assert_int_equal(rth__proc_wchan_read(root_fd(), 100, 0, wchan, 7), -ENAMETOOLONG);
    assert_string_equal(wchan, "ep_poll");
    assert_int_equal(rth__proc_wchan_read(root_fd(), 100, 101, wchan, sizeof(wchan)), 0);
    assert_string_equal(wchan, "");
    assert_int_equal(rth__proc_wchan_read(root_fd(), 200, 0, wchan, sizeof(wchan)), -EFBIG);
}

static void command_lines_keep_their_nuls_and_are_cut_at_the_capacity(void **state)
{
    (void)state;
    static const char whole[] = "/usr/bin/prog ram\0--name=\xff\0";
    char cmdline[64];
    assert_int_equal(rth__proc_cmdline_read(root_fd(), 100, cmdline, sizeof(cmdline)),
                     sizeof(whole));
    assert_memory_equal(cmdline, whole, sizeof(whole));
    assert_int_equal(rth__proc_cmdline_read(root_fd(), 100, cmdline, 4), 4);
    assert_int_equal(rth__proc_cmdline_read(root_fd(), 300, cmdline, sizeof(cmdline)), 0);
}

static void descriptors_are_counted_with_number_zero(void **state)
{
    (void)state;
    assert_int_equal(rth__proc_fd_count(root_fd(), 100), 4);
    assert_int_equal(rth__proc_fd_count(root_fd(), 300), -ENOENT);
}

static void a_deleted_executable_is_told(void **state)
{
    (void)state;
    char path[64] = "before";
    bool deleted = false;
    assert_int_equal(rth__proc_exe_read(root_fd(), 100, path, sizeof(path), &deleted), 0);
    assert_string_equal(path, "/opt/my app/program");
    assert_true(deleted);
    assert_int_equal(rth__proc_exe_read(root_fd(), 200, path, sizeof(path), &deleted),
                     -ENAMETOOLONG);
    assert_string_equal(path, "/opt/my app/program");
    assert_int_equal(rth__proc_exe_read(root_fd(), 300, path, sizeof(path), &deleted), -ENOENT);
}

static void what_the_kernel_would_not_write_is_refused_and_nothing_written(void **state)
{
    (void)state;
    struct rth_proc_stat stat = {.pid = -7};
    struct rth_proc_status status = {.tgid = -7};
    struct rth_proc_schedstat schedstat = {.slices = 7};
    struct rth_proc_limits limits = {.open_files_soft = 7};
    struct rth_proc_netstat netstat = {.in_octets = 7};
    assert_int_equal(rth__proc_stat_read(root_fd(), 200, 0, &stat), -EBADMSG);
    assert_int_equal(rth__proc_status_read(root_fd(), 200, 0, &status), -EBADMSG);
    assert_int_equal(rth__proc_schedstat_read(root_fd(), 200, 0, &schedstat), -EBADMSG);
    assert_int_equal(rth__proc_limits_read(root_fd(), 200, &limits), -EBADMSG);
    assert_int_equal(rth__proc_netstat_read(root_fd(), 200, &netstat), -EBADMSG);
    assert_int_equal(stat.pid, -7);
    assert_int_equal(status.tgid, -7);
    assert_int_equal(schedstat.slices, 7);
    assert_int_equal(limits.open_files_soft, 7);
    assert_int_equal(netstat.in_octets, 7);
}

static void nobody_is_no_entry_and_never_oneself(void **state)
{
    (void)state;
    struct rth_proc_stat stat;
    struct rth_proc_status status;
    assert_int_equal(rth__proc_stat_read(root_fd(), 999, 0, &stat), -ENOENT);
    assert_int_equal(rth__proc_stat_read(root_fd(), -1, 0, &stat), -ENOENT);
    assert_int_equal(rth__proc_stat_read(root_fd(), 0, -1, &stat), -ENOENT);
    assert_int_equal(rth__proc_status_read(root_fd(), 999, 0, &status), -ENOENT);
}

RTH_TEST_MAIN(cmocka_unit_test(stat_of_a_process_and_of_a_thread),
              cmocka_unit_test(status_with_lines_longer_than_any_buffer),
              cmocka_unit_test(a_kernel_thread_has_no_memory_and_an_old_kernel_says_less),
              cmocka_unit_test(schedstat_takes_all_64_bits_and_fields_to_come),
              cmocka_unit_test(limits_zero_and_unlimited_are_apart),
              cmocka_unit_test(octets_come_from_ip_ext_alone),
              cmocka_unit_test(boot_time_is_found_behind_a_line_of_any_length),
              cmocka_unit_test(wait_channels_are_names_or_nothing),
              cmocka_unit_test(command_lines_keep_their_nuls_and_are_cut_at_the_capacity),
              cmocka_unit_test(descriptors_are_counted_with_number_zero),
              cmocka_unit_test(a_deleted_executable_is_told),
              cmocka_unit_test(what_the_kernel_would_not_write_is_refused_and_nothing_written),
              cmocka_unit_test(nobody_is_no_entry_and_never_oneself))
