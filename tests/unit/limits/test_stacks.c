/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "helper/unit.h"
#include "limits/stacks.h"

#define DEPTH_BYTES ((size_t)4 << 20)

static _Atomic int is_deep;
static int wait_pipe[2];

/* Touches that much of its stack, and waits there. */
static void *go_deep(void *userdata)
{
    (void)userdata;
    volatile char bytes[DEPTH_BYTES];
    for (size_t i = 0; i < sizeof(bytes); i += 1024)
        bytes[i] = 1;
    is_deep = 1;
    char byte;
    (void)!read(wait_pipe[0], &byte, 1);
    return (void *)(uintptr_t)bytes[0];
}

/* A thread is on its way into the call at first. */
static int64_t measure(int root_fd)
{
    int64_t bytes = -1;
    for (int i = 0; i < 5000 && bytes < 0; i++) {
        bytes = rth__stacks_resident_bytes(root_fd);
        if (bytes < 0)
            test_pause_us(1000);
    }
    return bytes;
}

static void stacks_count_as_far_as_they_are_touched(void **state)
{
    (void)state;
    int root_fd = open("/", O_RDONLY | O_DIRECTORY);
    int64_t before = measure(root_fd);
    assert_true(before > 0);
    pthread_t thread;
    assert_int_equal(pipe(wait_pipe), 0);
    assert_int_equal(pthread_create(&thread, NULL, go_deep, NULL), 0);
    while (!is_deep)
        test_pause_us(1000);
    int64_t after = measure(root_fd);
    assert_int_equal(write(wait_pipe[1], "x", 1), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(after - before >= (int64_t)DEPTH_BYTES);
    assert_true(after - before <= (int64_t)8 << 20); /* for what lies above it no more than that */
    assert_int_equal(close(root_fd), 0);
}

static _Atomic int must_stop;

static void *spin(void *userdata)
{
    is_deep = 1;
    while (!must_stop)
        ;
    return userdata;
}

static void a_thread_that_runs_makes_them_unknown(void **state)
{
    (void)state;
    int root_fd = open("/", O_RDONLY | O_DIRECTORY);
    pthread_t thread;
    is_deep = 0;
    assert_int_equal(pthread_create(&thread, NULL, spin, NULL), 0);
    while (!is_deep)
        test_pause_us(1000);
    assert_int_equal(rth__stacks_resident_bytes(root_fd), -1);
    must_stop = 1;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(close(root_fd), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(stacks_count_as_far_as_they_are_touched),
              cmocka_unit_test(a_thread_that_runs_makes_them_unknown), )
