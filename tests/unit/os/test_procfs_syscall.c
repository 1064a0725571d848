/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "helper/unit.h"
#include "os/procfs.h"
#include "os/rawsys.h"

static int parse(const char *text, struct rth_proc_syscall *ret_syscall)
{
    return rth__proc_syscall_parse(text, strlen(text), ret_syscall);
}

static void a_thread_in_a_call_has_number_sp_and_pc(void **state)
{
    (void)state;
    struct rth_proc_syscall call;
    assert_int_equal(parse("7 0x1 0x2 0x3 0x0 0x0 0x0 0x7ffc5d2 0x7f1c09\n", &call), 0);
    assert_false(call.running);
    assert_int_equal(call.number, 7);
    assert_int_equal(call.sp, 0x7ffc5d2);
    assert_int_equal(call.pc, 0x7f1c09);
}

static void a_thread_outside_calls_has_sp_and_pc_alone(void **state)
{
    (void)state;
    struct rth_proc_syscall call;
    assert_int_equal(parse("-1 0x10 0x20\n", &call), 0);
    assert_int_equal(call.number, -1);
    assert_int_equal(call.sp, 0x10);
    assert_int_equal(call.pc, 0x20);
}

static void a_running_thread_has_nothing(void **state)
{
    (void)state;
    struct rth_proc_syscall call;
    assert_int_equal(parse("running\n", &call), 0);
    assert_true(call.running);
}

static void what_the_kernel_would_not_write_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\n",
        "running",
        "running \n",
        "7\n",
        "7 0x1\n",
        "-2 0x1 0x2\n",
        "-1 0x1 0x2 0x3\n",
        "7 1 2 3 4 5 6 7 8\n",
        "7 0x1 0x2 0x3 0x0 0x0 0x0 0x7ffc5d2\n",
        "7 0x1 0x2 0x3 0x0 0x0 0x0 0x10000000000000000 0x1\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rth_proc_syscall call = {.number = 99};
        assert_int_equal(parse(bad[i], &call), -EBADMSG);
        assert_int_equal(call.number, 99);
    }
}

static int pipe_fds[2];
static _Atomic int reader_tid;

static void *read_from_pipe(void *unused)
{
    char byte;
    reader_tid = rth__raw_gettid_sigsafe();
    (void)!read(pipe_fds[0], &byte, 1);
    return unused;
}

static void a_thread_that_reads_from_a_pipe_is_found_in_read(void **state)
{
    (void)state;
    pthread_t reader;
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_from_pipe, NULL), 0);
    int root_fd = open("/", O_RDONLY | O_DIRECTORY);
    struct rth_proc_syscall call = {.number = -1};
    int error = 0;
    for (int i = 0; i < 1000 && error == 0 && call.number != SYS_read; i++) {
        test_pause_us(1000);
        if (reader_tid != 0)
            error = rth__proc_syscall_read(root_fd, 0, reader_tid, &call);
    }
    (void)!write(pipe_fds[1], "x", 1);
    (void)pthread_join(reader, NULL);
    (void)close(root_fd);
    if (error == -EACCES || error == -ENOENT)
        RTH_SKIP("the kernel does not show system calls of threads");
    assert_int_equal(error, 0);
    assert_int_equal(call.number, SYS_read);
    assert_true(call.sp != 0 && call.pc != 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_thread_in_a_call_has_number_sp_and_pc),
              cmocka_unit_test(a_thread_outside_calls_has_sp_and_pc_alone),
              cmocka_unit_test(a_running_thread_has_nothing),
              cmocka_unit_test(what_the_kernel_would_not_write_is_refused),
              cmocka_unit_test(a_thread_that_reads_from_a_pipe_is_found_in_read))
