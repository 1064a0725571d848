/* SPDX-License-Identifier: MIT */
/* unshare and setns with a thread of ours in the process. */
#include "helper/unit.h"
#include <stdlib.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "unit/interpose/helper/fake.h"

static pthread_t service;
static int service_stop[2];

static void *serve(void *argument)
{
    (void)argument;
    struct pollfd stop = {.fd = service_stop[0], .events = POLLIN};
    while (poll(&stop, 1, -1) < 0)
        ;
    return NULL;
}

static void start_service(void)
{
    if (pipe2(service_stop, O_CLOEXEC) != 0 || pthread_create(&service, NULL, serve, NULL) != 0)
        abort();
}

static void stop_service(void)
{
    (void)close(service_stop[1]);
    (void)pthread_join(service, NULL);
    (void)close(service_stop[0]);
}

static void attach_with_a_service_thread(void)
{
    assert_int_equal(fake_runtime_attach(), 0);
    fake.prepares_nothing = true;
    fake.on_quiesce = stop_service;
    fake.on_resume = start_service;
    start_service();
}

/* Without us: what the kernel answers a single thread here. */
static bool bare_unshare_works(int flags)
{
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(flags) == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

static void user_namespace_is_unshared_as_by_a_single_thread(void **state)
{
    (void)state;
    if (!bare_unshare_works(CLONE_NEWUSER))
        RTH_SKIP("user namespaces are not allowed here");
    attach_with_a_service_thread();
    errno = 77;
    assert_int_equal(unshare(CLONE_NEWUSER), 0);
    assert_int_equal(errno, 77);
    assert_int_equal(fake.quiesced, 1);
    assert_int_equal(fake.resumed, 1);
    stop_service();
}

static void many_user_namespaces_never_meet_a_thread_that_was_joined(void **state)
{
    (void)state;
    if (!bare_unshare_works(CLONE_NEWUSER))
        RTH_SKIP("user namespaces are not allowed here");
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            /* The child is a first process of its own. */
            attach_with_a_service_thread();
            _exit(unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
        }
        int status = 1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void *serve_and_linger(void *argument)
{
    const struct timespec linger = {.tv_nsec = 5000000};
    (void)serve(argument);
    (void)nanosleep(&linger, NULL);
    return NULL;
}

static void let_the_service_end(void)
{
    (void)close(service_stop[1]);
}

static void thread_that_the_kernel_still_counts_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    fake.prepares_nothing = true;
    fake.on_quiesce = let_the_service_end;
    if (pipe2(service_stop, O_CLOEXEC) != 0)
        abort();
    assert_int_equal(pthread_create(&service, NULL, serve_and_linger, NULL), 0);
    assert_int_equal(pthread_detach(service), 0);
    assert_int_equal(unshare(CLONE_VM), 0);
    (void)close(service_stop[0]);
}

static void flags_that_other_threads_do_not_hurt_leave_ours_alone(void **state)
{
    (void)state;
    attach_with_a_service_thread();
    assert_int_equal(unshare(0), 0);
    assert_int_equal(unshare(CLONE_FS), 0);
    assert_int_equal(fake.quiesced, 0);
    stop_service();
}

static void host_with_threads_gets_the_kernels_refusal(void **state)
{
    (void)state;
    attach_with_a_service_thread();
    fake.on_quiesce = NULL; /* a thread that stays, as one of the host's would */
    fake.on_resume = NULL;
    errno = 0;
    assert_int_equal(unshare(CLONE_VM), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(fake.quiesced, 1);
    assert_int_equal(fake.resumed, 1);
    stop_service();
}

static void setns_quiesces_and_keeps_the_kernels_answer(void **state)
{
    (void)state;
    attach_with_a_service_thread();
    errno = 0;
    assert_int_equal(setns(-1, 0), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(fake.quiesced, 0);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    errno = 0;
    assert_int_equal(setns(fd, 0), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(fake.quiesced, 1);
    assert_int_equal(fake.resumed, 1);
    (void)close(fd);
    stop_service();
}

static void children_leave_the_owners_threads_alone(void **state)
{
    (void)state;
    attach_with_a_service_thread();
    int status = 1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_VM) == 0 && fake.quiesced == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    stop_service();
}

RTH_TEST_MAIN(cmocka_unit_test(user_namespace_is_unshared_as_by_a_single_thread),
              cmocka_unit_test(many_user_namespaces_never_meet_a_thread_that_was_joined),
              cmocka_unit_test(thread_that_the_kernel_still_counts_is_waited_for),
              cmocka_unit_test(flags_that_other_threads_do_not_hurt_leave_ours_alone),
              cmocka_unit_test(host_with_threads_gets_the_kernels_refusal),
              cmocka_unit_test(setns_quiesces_and_keeps_the_kernels_answer),
              cmocka_unit_test(children_leave_the_owners_threads_alone))
