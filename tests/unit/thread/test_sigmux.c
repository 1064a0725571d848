/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "os/rawsys.h"
#include "thread/sigmux.h"

static volatile sig_atomic_t ours, hosts, host_code;
static volatile uint32_t our_argument;

static void on_ours(uint32_t argument, const siginfo_t *info, void *ucontext)
{
    (void)info;
    (void)ucontext;
    our_argument = argument;
    ours++;
}

static void on_hosts(int number, siginfo_t *info, void *ucontext)
{
    (void)number;
    (void)ucontext;
    host_code = info->si_code;
    hosts++;
}

static void plain_handler(int number)
{
    (void)number;
    hosts++;
}

static sigjmp_buf before_fault;

static void leave_by_longjmp(int number)
{
    siglongjmp(before_fault, number);
}

static void set_errno(int number)
{
    (void)number;
    errno = 88;
}

static int start(void)
{
    ours = hosts = 0;
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__sigmux_init(NULL);
    rth__sigmux_handle(RTH_SIGMUX_CPU, on_ours);
    int number = rth__sigmux_acquire();
    assert_true(number > 0);
    return number;
}

static void queue_to_self(int number, union sigval value)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = number;
    info.si_code = SI_TIMER;
    info.si_pid = getpid();
    info.si_value = value;
    assert_int_equal(
        RTH__RAW(SYS_rt_tgsigqueueinfo, getpid(), rth__raw_gettid_sigsafe(), number, &info), 0);
}

static void a_signal_with_our_cookie_reaches_our_handler(void **state)
{
    (void)state;
    int number = start();
    assert_int_equal(number, SIGPROF);
    errno = 77;
    queue_to_self(number, rth__sigmux_cookie(RTH_SIGMUX_CPU, 4711));
    assert_int_equal(errno, 77);
    assert_int_equal(ours, 1);
    assert_int_equal(our_argument, 4711);
}

static void a_foreign_signal_reaches_the_hosts_handler_with_its_siginfo(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_sigaction = on_hosts, .sa_flags = SA_SIGINFO};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    queue_to_self(number, (union sigval){.sival_int = 5});
    assert_int_equal(host_code, SI_TIMER);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 2);
    assert_int_equal(ours, 0);
    assert_int_equal(rth__sigmux_forwarded(), 2);
}

/* What the kernel answers without us, flags and mask that it changes included. */
static void the_host_reads_back_what_the_kernel_would_tell(void **state)
{
    (void)state;
    int number = start();
    struct sigaction before, again, bare;
    struct sigaction action = {.sa_handler = plain_handler, .sa_flags = SA_NODEFER | 0x20000000};
    (void)sigaddset(&action.sa_mask, SIGUSR2);
    (void)sigaddset(&action.sa_mask, SIGKILL);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, &before), 0);
    assert_true(before.sa_handler == SIG_DFL);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, NULL, &again), 0);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, NULL, &bare), 0);
    assert_true(again.sa_handler == plain_handler);
    assert_int_equal(again.sa_flags, bare.sa_flags);
    assert_true(again.sa_restorer == bare.sa_restorer);
    assert_memory_equal(&again.sa_mask, &bare.sa_mask, 8);
    assert_int_equal(sigismember(&again.sa_mask, SIGUSR2), 1);
    assert_true(rth__sigmux_installed());
}

/* The host read the kernel's table by a raw system call, and puts back what it found. */
static void our_own_handler_put_back_by_the_host_does_not_loop(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = plain_handler}, ours_seen, seen;
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    assert_int_equal(sigaction(number, NULL, &ours_seen), 0);
    assert_true(ours_seen.sa_handler != plain_handler);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &ours_seen, NULL), 0);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, NULL, &seen), 0);
    assert_true(seen.sa_handler == plain_handler);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 1);
}

/* Children inherit an ignored signal; so the kernel must know that it is one. */
static void a_signal_that_the_host_comes_to_ignore_is_given_up(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = SIG_IGN}, kernel;
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    assert_int_equal(sigaction(number, NULL, &kernel), 0);
    assert_true(kernel.sa_handler == SIG_IGN);
    assert_false(rth__sigmux_installed());
    int other = rth__sigmux_acquire();
    assert_true(other > 0);
    assert_int_not_equal(other, number);
    assert_int_equal(rth__sigmux_signal(), other);
    queue_to_self(other, rth__sigmux_cookie(RTH_SIGMUX_CPU, 3));
    assert_int_equal(ours, 1);
    /* The first one is all the host's again. */
    action.sa_handler = plain_handler;
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, &kernel), 0);
    assert_true(kernel.sa_handler == SIG_IGN);
    assert_int_equal(sigaction(number, NULL, &kernel), 0);
    assert_true(kernel.sa_handler == plain_handler);
}

/* Until our timers have moved, theirs must not reach the handler the host then installs. */
static void a_handler_after_ignoring_does_not_get_our_signals(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = SIG_IGN};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    action.sa_handler = plain_handler;
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    queue_to_self(number, rth__sigmux_cookie(RTH_SIGMUX_CPU, 3));
    assert_int_equal(hosts, 0);
    assert_int_equal(ours, 1);
}

static void a_handler_replaced_behind_our_back_is_respected(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = plain_handler}, seen;
    assert_int_equal(sigaction(number, &action, NULL), 0);
    assert_false(rth__sigmux_installed());
    int other = rth__sigmux_acquire();
    assert_true(other > 0);
    assert_int_not_equal(other, number);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, NULL, &seen), 0);
    assert_true(seen.sa_handler == plain_handler);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 1);
}

static void an_adopted_child_goes_on_with_the_hosts_view(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = plain_handler};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        rth__enable_on(getpid(), 2);
        rth__sigmux_child_reset();
        struct sigaction seen;
        bool fine = rth__sigmux_host_action_sigsafe(number, NULL, &seen) == 0 &&
                    seen.sa_handler == plain_handler && rth__sigmux_acquire() == number;
        (void)raise(number);
        _exit(fine && hosts == 1 ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void what_a_handler_leaves_in_errno_stays(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = set_errno};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    errno = 1;
    assert_int_equal(raise(number), 0);
    assert_int_equal(errno, 88);
}

/* A host that saves the old action and installs it again does not install ours above itself. */
static void putting_back_what_was_read_does_not_loop(void **state)
{
    (void)state;
    int number = start();
    struct sigaction saved;
    struct sigaction action = {.sa_handler = plain_handler};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, NULL, &saved), 0);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &saved, NULL), 0);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 1);
}

static void other_signals_are_none_of_its_business(void **state)
{
    (void)state;
    (void)start();
    assert_int_equal(rth__sigmux_host_action_sigsafe(SIGUSR1, NULL, NULL), 1);
    assert_int_equal(rth__sigmux_host_action_sigsafe(0, NULL, NULL), 1);
}

static void a_one_shot_handler_runs_once_and_then_the_default_holds(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int number = start();
        struct sigaction action = {.sa_handler = plain_handler, .sa_flags = (int)SA_RESETHAND};
        (void)rth__sigmux_host_action_sigsafe(number, &action, NULL);
        (void)raise(number);
        if (hosts != 1)
            _exit(1);
        (void)raise(number);
        _exit(2);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF);
}

static void a_foreign_signal_with_the_default_action_kills_as_without_us(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int number = start();
        (void)raise(number);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF);
}

static void an_ignored_signal_is_dropped(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = SIG_IGN};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 0);
}

static volatile sig_atomic_t blocked_inside;

static void look_at_the_mask(int number)
{
    sigset_t mask;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    blocked_inside = sigismember(&mask, number) | sigismember(&mask, SIGUSR2) << 1 |
                     sigismember(&mask, SIGUSR1) << 2;
}

static void the_hosts_handler_runs_with_the_mask_it_asked_for(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = look_at_the_mask};
    (void)sigaddset(&action.sa_mask, SIGUSR2);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    assert_int_equal(raise(number), 0);
    assert_int_equal(blocked_inside, 3);
    action.sa_flags = SA_NODEFER;
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    assert_int_equal(raise(number), 0);
    assert_int_equal(blocked_inside, 2);
}

static void a_host_that_owns_sigprof_keeps_it_and_another_signal_is_taken(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = plain_handler};
    assert_int_equal(sigaction(SIGPROF, &action, NULL), 0);
    int number = start();
    assert_int_not_equal(number, SIGPROF);
    assert_int_equal(raise(SIGPROF), 0);
    assert_int_equal(hosts, 1);
    queue_to_self(number, rth__sigmux_cookie(RTH_SIGMUX_CPU, 1));
    assert_int_equal(ours, 1);
}

static void without_a_free_signal_acquire_says_so(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = plain_handler};
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &action, NULL);
    rth__sigmux_init(NULL);
    assert_int_equal(rth__sigmux_acquire(), -EBUSY);
    assert_int_equal(rth__sigmux_signal(), 0);
}

static void a_forked_child_passes_signals_on_and_sees_its_own_actions(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = plain_handler};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction seen;
        (void)raise(number);
        bool fine = hosts == 1;
        /* The kernel has our handler; the host must not see it. */
        fine = fine && rth__sigmux_host_action_sigsafe(number, NULL, &seen) == 0 &&
               seen.sa_handler == plain_handler;
        struct sigaction reset = {.sa_handler = SIG_DFL};
        fine = fine && rth__sigmux_host_action_sigsafe(number, &reset, &seen) == 0 &&
               seen.sa_handler == plain_handler && !rth__sigmux_installed();
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(rth__sigmux_installed());
}

static void after_the_runtime_stopped_our_signals_do_nothing(void **state)
{
    (void)state;
    int number = start();
    rth__enable_off();
    queue_to_self(number, rth__sigmux_cookie(RTH_SIGMUX_CPU, 1));
    assert_int_equal(ours, 0);
}

static _Atomic bool stop;

static void *raise_for_ever(void *argument)
{
    int number = *(int *)argument;
    while (!stop)
        (void)raise(number);
    return NULL;
}

static void there_is_no_moment_at_which_the_default_action_holds(void **state)
{
    (void)state;
    int number = start();
    struct sigaction actions[2] = {{.sa_handler = plain_handler},
                                   {.sa_sigaction = on_hosts, .sa_flags = SA_SIGINFO}};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &actions[0], NULL), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, raise_for_ever, &number), 0);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(rth__sigmux_host_action_sigsafe(number, &actions[i & 1], NULL), 0);
    stop = true;
    (void)pthread_join(thread, NULL);
    assert_true(hosts > 0);
}

static void release(void)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY);
    assert_true(root_fd >= 0);
    rth__sigmux_release(root_fd);
    (void)close(root_fd);
}

static void (*kernels_handler(int number))(int)
{
    struct sigaction action;
    assert_int_equal(sigaction(number, NULL, &action), 0);
    return action.sa_handler;
}

static void after_release_the_kernel_has_the_hosts_own_action(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = plain_handler, .sa_flags = SA_NODEFER}, seen, kernel;
    (void)sigaddset(&action.sa_mask, SIGUSR2);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, NULL, &seen), 0);
    release();
    assert_int_equal(rth__sigmux_signal(), 0);
    assert_int_equal(sigaction(number, NULL, &kernel), 0);
    assert_true(kernel.sa_handler == plain_handler);
    assert_int_equal(kernel.sa_flags, seen.sa_flags);
    assert_memory_equal(&kernel.sa_mask, &seen.sa_mask, 8);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 1);
    /* What the host does from now on is the kernel's affair. */
    action.sa_handler = set_errno;
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, &seen), 0);
    assert_true(seen.sa_handler == plain_handler);
    assert_true(kernels_handler(number) == set_errno);
}

static void after_release_the_default_and_the_ignored_action_are_back(void **state)
{
    (void)state;
    int number = start();
    release();
    assert_true(kernels_handler(number) == SIG_DFL);
    assert_int_equal(rth__sigmux_acquire(), number);
    struct sigaction action = {.sa_handler = SIG_IGN};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    release();
    assert_true(kernels_handler(number) == SIG_IGN);
}

static void a_signal_can_be_acquired_again_after_release(void **state)
{
    (void)state;
    int number = start();
    release();
    assert_int_equal(rth__sigmux_acquire(), number);
    assert_true(rth__sigmux_installed());
    queue_to_self(number, rth__sigmux_cookie(RTH_SIGMUX_CPU, 3));
    assert_int_equal(ours, 1);
    struct sigaction action = {.sa_handler = plain_handler};
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    release();
    int other = rth__sigmux_acquire();
    assert_int_not_equal(other, number);
    queue_to_self(other, rth__sigmux_cookie(RTH_SIGMUX_CPU, 3));
    assert_int_equal(ours, 2);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 1);
}

static void a_pending_signal_keeps_our_handler_in_its_place(void **state)
{
    (void)state;
    int number = start();
    sigset_t set, before;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, number);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &before), 0);
    queue_to_self(number, rth__sigmux_cookie(RTH_SIGMUX_CPU, 1));
    release();
    assert_true(kernels_handler(number) != SIG_DFL);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(ours, 1);
    assert_int_equal(rth__sigmux_acquire(), number);
    release();
    assert_true(kernels_handler(number) == SIG_DFL);
}

/* The host's pointers are its own risk, also when they fault in the call. */
static void a_fault_on_the_hosts_pointer_leaves_no_lock_behind(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int number = start();
        struct sigaction action = {.sa_handler = plain_handler}, on_fault = {0};
        on_fault.sa_handler = leave_by_longjmp;
        on_fault.sa_flags = SA_NODEFER;
        (void)sigaction(SIGSEGV, &on_fault, NULL);
        if (sigsetjmp(before_fault, 1) == 0) {
            (void)rth__sigmux_host_action_sigsafe(number, &action, (struct sigaction *)16);
            _exit(1);
        }
        (void)alarm(10);
        _exit(rth__sigmux_host_action_sigsafe(number, &action, NULL) == 0 ? 0 : 2);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Memory is shared with a child of vfork, the table of actions is not. */
static void a_child_that_borrows_memory_takes_no_one_shot_handler_from_its_parent(void **state)
{
    (void)state;
    int number = start();
    struct sigaction action = {.sa_handler = plain_handler, .sa_flags = (int)SA_RESETHAND}, seen;
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, &action, NULL), 0);
    pid_t pid = vfork();
    if (pid == 0) {
        (void)RTH__RAW(SYS_tgkill, rth__raw_getpid_sigsafe(), rth__raw_gettid_sigsafe(), number);
        _exit(0);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(hosts, 1);
    assert_int_equal(rth__sigmux_host_action_sigsafe(number, NULL, &seen), 0);
    assert_true(seen.sa_handler == plain_handler);
    assert_int_equal(raise(number), 0);
    assert_int_equal(hosts, 2);
}

RTH_TEST_MAIN(
    cmocka_unit_test(a_signal_with_our_cookie_reaches_our_handler),
    cmocka_unit_test(a_foreign_signal_reaches_the_hosts_handler_with_its_siginfo),
    cmocka_unit_test(the_host_reads_back_what_the_kernel_would_tell),
    cmocka_unit_test(our_own_handler_put_back_by_the_host_does_not_loop),
    cmocka_unit_test(a_signal_that_the_host_comes_to_ignore_is_given_up),
    cmocka_unit_test(a_handler_after_ignoring_does_not_get_our_signals),
    cmocka_unit_test(a_handler_replaced_behind_our_back_is_respected),
    cmocka_unit_test(an_adopted_child_goes_on_with_the_hosts_view),
    cmocka_unit_test(what_a_handler_leaves_in_errno_stays),
    cmocka_unit_test(putting_back_what_was_read_does_not_loop),
    cmocka_unit_test(other_signals_are_none_of_its_business),
    cmocka_unit_test(a_one_shot_handler_runs_once_and_then_the_default_holds),
    cmocka_unit_test(a_foreign_signal_with_the_default_action_kills_as_without_us),
    cmocka_unit_test(an_ignored_signal_is_dropped),
    cmocka_unit_test(the_hosts_handler_runs_with_the_mask_it_asked_for),
    cmocka_unit_test(a_host_that_owns_sigprof_keeps_it_and_another_signal_is_taken),
    cmocka_unit_test(without_a_free_signal_acquire_says_so),
    cmocka_unit_test(a_forked_child_passes_signals_on_and_sees_its_own_actions),
    cmocka_unit_test(after_the_runtime_stopped_our_signals_do_nothing),
    cmocka_unit_test(after_release_the_kernel_has_the_hosts_own_action),
    cmocka_unit_test(after_release_the_default_and_the_ignored_action_are_back),
    cmocka_unit_test(a_signal_can_be_acquired_again_after_release),
    cmocka_unit_test(a_pending_signal_keeps_our_handler_in_its_place),
    cmocka_unit_test(a_fault_on_the_hosts_pointer_leaves_no_lock_behind),
    cmocka_unit_test(a_child_that_borrows_memory_takes_no_one_shot_handler_from_its_parent),
    cmocka_unit_test(there_is_no_moment_at_which_the_default_action_holds))
