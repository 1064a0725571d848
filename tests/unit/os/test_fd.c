/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "os/fd.h"

static int file_with(const char *text)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(rth__write_full(fd, text, strlen(text)), strlen(text));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* Through /proc/self/fd, a path. */
static ssize_t read_back(int fd, char *buffer, size_t capacity_bytes)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return rth__read_file_at(AT_FDCWD, path, buffer, capacity_bytes);
}

static void a_file_that_fits_is_read_whole_and_terminated(void **state)
{
    (void)state;
    char buffer[8];
    RTH__AUTO_CLOSE int fd = file_with("1234567");
    memset(buffer, 'x', sizeof(buffer));
    assert_int_equal(read_back(fd, buffer, sizeof(buffer)), 7);
    assert_string_equal(buffer, "1234567");
}

static void a_file_one_byte_too_long_is_refused_and_its_start_kept(void **state)
{
    (void)state;
    char buffer[8];
    RTH__AUTO_CLOSE int fd = file_with("12345678");
    assert_int_equal(read_back(fd, buffer, sizeof(buffer)), -EFBIG);
    assert_string_equal(buffer, "1234567");
}

static void an_empty_file_gives_an_empty_string(void **state)
{
    (void)state;
    char buffer[8] = "before";
    RTH__AUTO_CLOSE int fd = file_with("");
    assert_int_equal(read_back(fd, buffer, sizeof(buffer)), 0);
    assert_string_equal(buffer, "");
}

static void a_missing_file_and_no_room_are_told(void **state)
{
    (void)state;
    char buffer[8];
    assert_int_equal(rth__read_file_at(AT_FDCWD, "/nowhere/at/all", buffer, 8), -ENOENT);
    assert_int_equal(rth__read_file_at(AT_FDCWD, "/proc/self/stat", buffer, 0), -EINVAL);
    assert_int_equal(rth__read_file_at(AT_FDCWD, "/", buffer, 8), -EISDIR);
}

static void descriptors_are_close_on_exec_and_errno_is_kept(void **state)
{
    (void)state;
    errno = 77;
    RTH__AUTO_CLOSE int fd = rth__openat(AT_FDCWD, "/dev/null", O_RDWR);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(rth__openat(AT_FDCWD, "/nowhere/at/all", O_RDONLY), -ENOENT);
    assert_int_equal(errno, 77);
}

static void close_leaves_no_stale_number(void **state)
{
    (void)state;
    int fd = file_with("");
    int number = fd;
    fd = rth__close(fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    assert_int_equal(rth__close(-1), -1);
}

static void scope_ends_close_the_descriptor(void **state)
{
    (void)state;
    int number;
    {
        RTH__AUTO_CLOSE int fd = file_with("");
        number = fd;
    }
    assert_int_equal(fcntl(number, F_GETFD), -1);
}

#define BULK_BYTES (1 << 20) /* far more than a pipe holds */
static char bulk_in[BULK_BYTES], bulk_out[BULK_BYTES];

static void *write_bulk(void *userdata)
{
    const int *fd = userdata;
    ssize_t put = rth__write_full(*fd, bulk_out, BULK_BYTES);
    (void)rth__close(*fd);
    return (void *)(intptr_t)put;
}

static void short_reads_and_writes_are_continued(void **state)
{
    (void)state;
    int pipe_fds[2];
    pthread_t writer;
    void *put;
    for (size_t i = 0; i < BULK_BYTES; i++)
        bulk_out[i] = (char)(i * 31 + i / 4096);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_bulk, &pipe_fds[1]), 0);
    assert_int_equal(rth__read_full(pipe_fds[0], bulk_in, BULK_BYTES), BULK_BYTES);
    assert_int_equal(pthread_join(writer, &put), 0);
    assert_int_equal((intptr_t)put, BULK_BYTES);
    assert_memory_equal(bulk_in, bulk_out, BULK_BYTES);
    assert_int_equal(rth__read_full(pipe_fds[0], bulk_in, BULK_BYTES), 0);
    (void)rth__close(pipe_fds[0]);
}

static void errors_of_the_kernel_come_back(void **state)
{
    (void)state;
    char byte = 0;
    int pipe_fds[2];
    assert_int_equal(rth__read_full(-1, &byte, 1), -EBADF);
    assert_int_equal(rth__read_some(-1, &byte, 1), -EBADF);
    assert_int_equal(rth__write_full(-1, &byte, 1), -EBADF);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    (void)rth__close(pipe_fds[0]);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    assert_int_equal(rth__write_full(pipe_fds[1], &byte, 1), -EPIPE);
    (void)rth__close(pipe_fds[1]);
}

RTH_TEST_MAIN(cmocka_unit_test(a_file_that_fits_is_read_whole_and_terminated),
              cmocka_unit_test(a_file_one_byte_too_long_is_refused_and_its_start_kept),
              cmocka_unit_test(an_empty_file_gives_an_empty_string),
              cmocka_unit_test(a_missing_file_and_no_room_are_told),
              cmocka_unit_test(descriptors_are_close_on_exec_and_errno_is_kept),
              cmocka_unit_test(close_leaves_no_stale_number),
              cmocka_unit_test(scope_ends_close_the_descriptor),
              cmocka_unit_test(short_reads_and_writes_are_continued),
              cmocka_unit_test(errors_of_the_kernel_come_back))
