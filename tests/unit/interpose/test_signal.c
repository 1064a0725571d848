/* SPDX-License-Identifier: MIT */
/* The sigaction family. */
#include "helper/unit.h"

#include <stdbool.h>
#include <sys/wait.h>

#include "unit/interpose/helper/fake.h"

extern sighandler_t bsd_signal(int signal_number, sighandler_t handler);
extern sighandler_t __sysv_signal(int signal_number, sighandler_t handler);

static void on_signal(int signal_number)
{
    (void)signal_number;
}

static void on_info(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    (void)context;
}

static void expect(int count, int signal_number, int kind)
{
    assert_int_equal(fake.signals, count);
    assert_int_equal(fake.last_signal, signal_number);
    assert_int_equal(fake.last_kind, kind);
}

static void sigaction_is_reported_with_its_kind(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    expect(1, SIGUSR1, RTH_SIGNAL_HANDLER);
    action.sa_handler = SIG_IGN;
    assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
    expect(2, SIGUSR2, RTH_SIGNAL_IGNORE);
    action = (struct sigaction){.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGUSR2, &action, &before), 0);
    assert_true(before.sa_handler == SIG_IGN);
    expect(3, SIGUSR2, RTH_SIGNAL_HANDLER);
    action = (struct sigaction){.sa_handler = SIG_DFL};
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_true(before.sa_handler == on_signal);
    expect(4, SIGUSR1, RTH_SIGNAL_DEFAULT);
}

static void older_forms_are_reported(void **state)
{
    (void)state;
    sighandler_t (*const forms[])(int, sighandler_t) = {signal, bsd_signal, ssignal, sysv_signal,
                                                        __sysv_signal};
    assert_int_equal(fake_runtime_attach(), 0);
    for (int i = 0; i < 5; i++) {
        assert_true(forms[i](SIGUSR1, on_signal) == SIG_DFL);
        expect(2 * i + 1, SIGUSR1, RTH_SIGNAL_HANDLER);
        assert_true(forms[i](SIGUSR1, SIG_DFL) == on_signal);
        expect(2 * i + 2, SIGUSR1, RTH_SIGNAL_DEFAULT);
    }
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void system_v_forms_are_reported_but_not_a_mere_hold(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    assert_true(sigset(SIGUSR1, on_signal) == SIG_DFL);
    expect(1, SIGUSR1, RTH_SIGNAL_HANDLER);
    assert_true(sigset(SIGUSR1, SIG_HOLD) == on_signal);
    assert_int_equal(fake.signals, 1);
    assert_int_equal(sigignore(SIGUSR1), 0);
    expect(2, SIGUSR1, RTH_SIGNAL_IGNORE);
}

static void query_and_failure_are_not_reported(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal};
    assert_int_equal(fake_runtime_attach(), 0);
    assert_int_equal(sigaction(SIGUSR1, NULL, &action), 0);
    errno = 0;
    assert_int_equal(sigaction(SIGKILL, &action, NULL), -1);
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_true(signal(SIGSTOP, on_signal) == SIG_ERR);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(sigignore(-1), -1);
    assert_int_equal(fake.signals, 0);
}

static void children_do_not_speak_for_the_owner(void **state)
{
    (void)state;
    (void)signal(SIGUSR1, SIG_DFL);
    assert_int_equal(fake_runtime_attach(), 0);
    int status = 1;
    pid_t pid = vfork();
    if (pid == 0)
        _exit(signal(SIGUSR1, SIG_IGN) == SIG_DFL ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(fake.signals, 0);
    pid = fork();
    if (pid == 0)
        _exit(signal(SIGUSR1, SIG_IGN) == SIG_DFL && fake.signals == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Whatever the older form: the kernel's action stays the runtime's, the host sees its own. */
static void a_signal_of_the_runtime_is_answered_by_it_in_every_form(void **state)
{
    (void)state;
    struct sigaction kernel, seen;
    assert_int_equal(fake_runtime_attach(), 0);
    fake.owned_signal = SIGPROF;
    assert_true(signal(SIGPROF, on_signal) == SIG_DFL);
    assert_true((fake.host_action.sa_flags & SA_RESTART) != 0);
    assert_true(bsd_signal(SIGPROF, SIG_IGN) == on_signal);
    assert_true(sysv_signal(SIGPROF, on_signal) == SIG_IGN);
    assert_int_equal(fake.host_action.sa_flags, (int)(SA_RESETHAND | SA_NODEFER | SA_INTERRUPT));
    assert_int_equal(sigignore(SIGPROF), 0);
    assert_int_equal(siginterrupt(SIGPROF, 0), 0);
    assert_true((fake.host_action.sa_flags & SA_RESTART) != 0);
    assert_int_equal(siginterrupt(SIGPROF, 1), 0);
    assert_true((fake.host_action.sa_flags & SA_RESTART) == 0);
    assert_int_equal(sigaction(SIGPROF, NULL, &seen), 0);
    assert_true(seen.sa_handler == SIG_IGN);
    fake.owned_signal = 0;
    assert_int_equal(sigaction(SIGPROF, NULL, &kernel), 0);
    assert_true(kernel.sa_handler == SIG_DFL);
}

static void sigset_holds_and_releases_a_signal_of_the_runtime(void **state)
{
    (void)state;
    sigset_t mask;
    assert_int_equal(fake_runtime_attach(), 0);
    fake.owned_signal = SIGPROF;
    assert_true(sigset(SIGPROF, on_signal) == SIG_DFL);
    assert_true(sigset(SIGPROF, SIG_HOLD) == on_signal);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGPROF), 1);
    assert_true(sigset(SIGPROF, SIG_HOLD) == SIG_HOLD);
    assert_true(sigset(SIGPROF, SIG_DFL) == SIG_HOLD);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGPROF), 0);
    assert_true(fake.host_action.sa_handler == SIG_DFL);
}

static void after_siginterrupt_signal_installs_what_libc_would(void **state)
{
    (void)state;
    struct sigaction libcs;
    assert_int_equal(fake_runtime_attach(), 0);
    for (int interrupts = 1; interrupts >= 0; interrupts--) {
        fake.owned_signal = 0;
        assert_int_equal(siginterrupt(SIGPROF, interrupts), 0);
        assert_true(signal(SIGPROF, on_signal) != SIG_ERR);
        assert_int_equal(sigaction(SIGPROF, NULL, &libcs), 0);
        fake.owned_signal = SIGPROF;
        assert_true(signal(SIGPROF, on_signal) != SIG_ERR);
        assert_int_equal(fake.host_action.sa_flags & SA_RESTART, libcs.sa_flags & SA_RESTART);
    }
    assert_int_equal(fake.host_action.sa_flags & SA_RESTART, SA_RESTART);
}

/* Ours and the host's are both in the queue, in this order; each form sees the host's alone. */
static void queue_both(int number)
{
    assert_int_equal(sigqueue(getpid(), number, (union sigval){.sival_int = FAKE_COOKIE}), 0);
    assert_int_equal(sigqueue(getpid(), number, (union sigval){.sival_int = 7}), 0);
}

static void waiting_for_signals_skips_those_of_the_runtime(void **state)
{
    (void)state;
    sigset_t set;
    siginfo_t info;
    const struct timespec soon = {.tv_nsec = 1000000}, late = {.tv_sec = 20};
    int expected = SIGRTMIN + 3, number = 0;
    assert_int_equal(fake_runtime_attach(), 0);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, expected);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    queue_both(expected);
    assert_int_equal(sigtimedwait(&set, &info, &late), expected);
    assert_int_equal(info.si_value.sival_int, 7);
    queue_both(expected);
    assert_int_equal(sigwaitinfo(&set, &info), expected);
    assert_int_equal(info.si_value.sival_int, 7);
    queue_both(expected);
    assert_int_equal(sigwaitinfo(&set, NULL), expected);
    queue_both(expected);
    assert_int_equal(sigwait(&set, &number), 0);
    assert_int_equal(number, expected);
    assert_int_equal(fake.signals_asked, 8);
    assert_int_equal(sigqueue(getpid(), expected, (union sigval){.sival_int = FAKE_COOKIE}), 0);
    assert_int_equal(sigtimedwait(&set, &info, &soon), -1);
    assert_int_equal(errno, EAGAIN);
}

RTH_TEST_MAIN(cmocka_unit_test(after_siginterrupt_signal_installs_what_libc_would),
              cmocka_unit_test(waiting_for_signals_skips_those_of_the_runtime),
              cmocka_unit_test(a_signal_of_the_runtime_is_answered_by_it_in_every_form),
              cmocka_unit_test(sigset_holds_and_releases_a_signal_of_the_runtime),
              cmocka_unit_test(sigaction_is_reported_with_its_kind),
              cmocka_unit_test(older_forms_are_reported),
              cmocka_unit_test(system_v_forms_are_reported_but_not_a_mere_hold),
              cmocka_unit_test(query_and_failure_are_not_reported),
              cmocka_unit_test(children_do_not_speak_for_the_owner))
