/* SPDX-License-Identifier: MIT */
/* Threads as the runtime is told of them. */
#include "helper/unit.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <threads.h>

#include "unit/interpose/helper/fake.h"

static void *add_one(void *argument)
{
    return (char *)argument + 1;
}

static int negative_seven(void *argument)
{
    *(int *)argument = 1;
    return -7;
}

static void *create_and_join(void)
{
    pthread_t thread;
    void *result = NULL;
    assert_int_equal(pthread_create(&thread, NULL, add_one, (void *)41), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    return result;
}

static void detached_create_is_plain(void **state)
{
    (void)state;
    assert_ptr_equal(create_and_join(), (void *)42);
}

static void new_thread_runs_through_the_runtime(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    assert_ptr_equal(create_and_join(), (void *)42);
    assert_int_equal(fake.prepared, 1);
    assert_int_equal(fake.ran, 1);
    assert_int_equal(fake.abandoned, 0);
}

static void thread_without_a_handle_is_created_unseen(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    fake.prepares_nothing = true;
    assert_ptr_equal(create_and_join(), (void *)42);
    assert_int_equal(fake.ran, 0);
}

static void failed_create_is_abandoned(void **state)
{
    (void)state;
    pthread_attr_t attributes;
    pthread_t thread;
    assert_int_equal(fake_runtime_attach(), 0);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, (size_t)1 << 60), 0);
    assert_int_not_equal(pthread_create(&thread, &attributes, add_one, NULL), 0);
    assert_int_equal(fake.prepared, 1);
    assert_int_equal(fake.abandoned, 1);
    assert_int_equal(fake.ran, 0);
    assert_int_equal(pthread_attr_destroy(&attributes), 0);
}

static void c11_thread_keeps_its_result(void **state)
{
    (void)state;
    thrd_t thread;
    int ran = 0;
    int result = 0;
    assert_int_equal(fake_runtime_attach(), 0);
    assert_int_equal(thrd_create(&thread, negative_seven, &ran), thrd_success);
    assert_int_equal(thrd_join(thread, &result), thrd_success);
    assert_int_equal(result, -7);
    assert_int_equal(ran, 1);
    assert_int_equal(fake.ran, 1);
}

static void create_in_an_unadopted_child_is_a_calm_point(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool right = create_and_join() == (void *)42 && fake.calm_points == 1 && fake.prepared == 0;
        /* Due: the same call adopts, and the thread is one of ours. */
        fake.due_ns = 1;
        right = right && create_and_join() == (void *)42 && fake.calm_points == 2 &&
                fake.prepared == 1 && fake.ran == 1;
        _exit(right ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(detached_create_is_plain),
              cmocka_unit_test(new_thread_runs_through_the_runtime),
              cmocka_unit_test(thread_without_a_handle_is_created_unseen),
              cmocka_unit_test(failed_create_is_abandoned),
              cmocka_unit_test(c11_thread_keeps_its_result),
              cmocka_unit_test(create_in_an_unadopted_child_is_a_calm_point))
