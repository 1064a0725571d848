/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/procfs.h"

#define STAT_TAIL                                                                                  \
    " S 1 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 3 0 900 4096 -5 18446744073709551615 1 1 0 0 " \
    "0 0 0 0 0 0 0 0 17 1 0 0\n"
#define STATUS                                                                                     \
    "Name:\ta\\\\b c\nTgid:\t7\nPid:\t8\nPPid:\t1\nTracerPid:\t0\nUid:\t0\t1\t2\t3\n"              \
    "Gid:\t4\t5\t6\t7\n"                                                                           \
    "Threads:\t5\nSigQ:\t2/96364\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"          \
    "SigCgt:\t0000000180004a02\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000002\n"

static void stat_names_may_hold_blanks_and_parentheses(void **state)
{
    (void)state;
    static const char text[] = "7 (a b) S 9)" STAT_TAIL;
    struct rth_proc_stat stat;

    assert_int_equal(rth__proc_stat_parse(text, sizeof(text) - 1, &stat), 0);
    assert_string_equal(stat.comm, "a b) S 9");
    assert_int_equal(stat.state, 'S');
    assert_int_equal(stat.ppid, 1);
    assert_int_equal(stat.utime_ticks, 50);
    assert_int_equal(stat.cstime_ticks, 80);
    assert_int_equal(stat.num_threads, 3);
    assert_int_equal(stat.starttime_ticks, 900);
    assert_int_equal(stat.rss_pages, -5);
    assert_int_equal(stat.processor, 1);
}

static void every_cut_of_a_stat_is_refused_and_writes_nothing(void **state)
{
    (void)state;
    static const char text[] = "7 (a b)" STAT_TAIL;

    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        struct rth_proc_stat stat = {.pid = -1};

        assert_int_equal(rth__proc_stat_parse(text, size, &stat), -EBADMSG);
        assert_int_equal(stat.pid, -1);
    }
}

static void a_status_is_read_with_unknown_fields_and_without_optional_ones(void **state)
{
    (void)state;
    static const char text[] = "Future:\t1 2\n" STATUS;
    struct rth_proc_status status;

    assert_int_equal(rth__proc_status_parse(text, sizeof(text) - 1, &status), 0);
    assert_string_equal(status.name, "a\\b c");
    assert_int_equal(status.uid[3], 3);
    assert_int_equal(status.ns_pid, 8);
    assert_int_equal(status.no_new_privs, -1);
    assert_int_equal(status.seccomp, -1);
    assert_int_equal(status.sig_caught, 0x180004a02);
    assert_int_equal(status.sig_queued_limit, 96364);
    assert_int_equal(status.seccomp_filters, -1);
}

static void a_status_tells_pending_signals_and_filters(void **state)
{
    (void)state;
    static const char text[] = STATUS "SigPnd:\t0000000004000000\nShdPnd:\t0000000000000400\n"
                                      "Seccomp:\t2\nSeccomp_filters:\t3\n";
    struct rth_proc_status status;

    assert_int_equal(rth__proc_status_parse(text, sizeof(text) - 1, &status), 0);
    assert_int_equal(status.sig_pending, 0x4000000);
    assert_int_equal(status.sig_pending_shared, 0x400);
    assert_int_equal(status.seccomp, 2);
    assert_int_equal(status.seccomp_filters, 3);
}

static void a_status_with_a_field_twice_or_one_missing_is_refused(void **state)
{
    (void)state;
    static const char twice[] = STATUS "Tgid:\t7\n";
    static const char missing[] = "Name:\ta\nTgid:\t7\n";
    struct rth_proc_status status;

    assert_int_equal(rth__proc_status_parse(twice, sizeof(twice) - 1, &status), -EBADMSG);
    assert_int_equal(rth__proc_status_parse(missing, sizeof(missing) - 1, &status), -EBADMSG);
}

static void limits_know_unlimited_and_refuse_a_missing_row(void **state)
{
    (void)state;
    static const char text[] = "Limit  Soft Limit  Hard Limit  Units \n"
                               "Max open files            1024      unlimited     files     \n"
                               "Max address space         unlimited unlimited     bytes     \n"
                               "Max pending signals       5         6             signals   \n";
    struct rth_proc_limits limits;

    assert_int_equal(rth__proc_limits_parse(text, sizeof(text) - 1, &limits), 0);
    assert_int_equal(limits.open_files_soft, 1024);
    assert_true(limits.open_files_hard == RTH_PROC_UNLIMITED);
    assert_int_equal(limits.sigpending_hard, 6);
    assert_int_equal(rth__proc_limits_parse(text, 100, &limits), -EBADMSG);
}

static void netstat_pairs_names_with_values_and_refuses_a_missing_ip_ext(void **state)
{
    (void)state;
    static const char text[] = "TcpExt: InOctets\nTcpExt: 9\n"
                               "IpExt: X InOctets OutOctets New\nIpExt: 0 12 34 5\n";
    struct rth_proc_netstat netstat;

    assert_int_equal(rth__proc_netstat_parse(text, sizeof(text) - 1, &netstat), 0);
    assert_int_equal(netstat.in_octets, 12);
    assert_int_equal(netstat.out_octets, 34);
    assert_int_equal(rth__proc_netstat_parse(text, 27, &netstat), -EBADMSG);
}

static void this_process_is_read_from_the_real_proc(void **state)
{
    (void)state;
    int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct rth_proc_stat stat;
    struct rth_proc_status status;
    struct rth_proc_limits limits;
    uint64_t boot_time_s = 0;
    char path[4096];
    bool deleted = true;

    assert_true(root_fd >= 0);
    assert_int_equal(rth__proc_stat_read(root_fd, 0, (int)gettid(), &stat), 0);
    assert_int_equal(stat.pid, getpid());
    assert_int_equal(rth__proc_status_read(root_fd, getpid(), 0, &status), 0);
    assert_int_equal(status.uid[1], geteuid());
    assert_int_equal(status.ppid, getppid());
    assert_int_equal(rth__proc_limits_read(root_fd, 0, &limits), 0);
    assert_int_equal(rth__proc_boot_time_read(root_fd, &boot_time_s), 0);
    assert_true(boot_time_s > 0);
    assert_int_equal(rth__proc_exe_read(root_fd, 0, path, sizeof(path), &deleted), 0);
    assert_false(deleted);
    assert_non_null(strstr(path, "test_procfs"));
    int before = rth__proc_fd_count(root_fd, 0);
    int extra = dup(root_fd);
    assert_int_equal(rth__proc_fd_count(root_fd, 0), before + 1);
    assert_int_equal(rth__proc_stat_read(root_fd, 0, 1 << 30, &stat), -ENOENT);
    (void)close(extra);
    (void)close(root_fd);
}

RTH_TEST_MAIN(cmocka_unit_test(stat_names_may_hold_blanks_and_parentheses),
              cmocka_unit_test(every_cut_of_a_stat_is_refused_and_writes_nothing),
              cmocka_unit_test(a_status_is_read_with_unknown_fields_and_without_optional_ones),
              cmocka_unit_test(a_status_tells_pending_signals_and_filters),
              cmocka_unit_test(a_status_with_a_field_twice_or_one_missing_is_refused),
              cmocka_unit_test(limits_know_unlimited_and_refuse_a_missing_row),
              cmocka_unit_test(netstat_pairs_names_with_values_and_refuses_a_missing_ip_ext),
              cmocka_unit_test(this_process_is_read_from_the_real_proc))
