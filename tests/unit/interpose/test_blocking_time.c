/* SPDX-License-Identifier: MIT */
/* The waits for time and for signals, in a child that waits for its adoption. */
#include "unit/interpose/helper/stage.h"

/* ---- the calls: each fills result and extra ---- */

static void call_nanosleep(const struct scene *scene, struct answer *answer)
{
    struct timespec wait = limit_of(scene);
    struct timespec left = {-1, -1};
    answer->result = FUNCTION(scene, nanosleep)(&wait, &left);
    answer->extra = left.tv_sec;
}

static void call_clock_nanosleep(const struct scene *scene, struct answer *answer)
{
    struct timespec wait = limit_of(scene);
    struct timespec left = {-1, -1};
    answer->result = FUNCTION(scene, clock_nanosleep)(CLOCK_REALTIME, 0, &wait, &left);
    answer->extra = left.tv_sec;
}

static void call_clock_nanosleep_until(const struct scene *scene, struct answer *answer)
{
    struct timespec wait = limit_of(scene);
    struct timespec until;
    struct timespec left = {-1, -1};
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait.tv_sec + 1;
    until.tv_nsec = scene->event == BAD_ARGUMENT ? -1 : until.tv_nsec;
    if (wait.tv_sec == 0) {
        until.tv_sec -= 1;
        until.tv_nsec += wait.tv_nsec;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    }
    answer->result =
        FUNCTION(scene, clock_nanosleep)(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, &left);
    answer->extra = left.tv_sec;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    bool reached =
        now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec);
    answer->extra += 100 * reached;
}

static void call_sleep(const struct scene *scene, struct answer *answer)
{
    answer->result = FUNCTION(scene, sleep)(scene->event == NOTHING ? 1 : 20);
}

static void call_usleep(const struct scene *scene, struct answer *answer)
{
    answer->result = FUNCTION(scene, usleep)((useconds_t)limit_ms(scene) * 1000);
}

static void call_pause(const struct scene *scene, struct answer *answer)
{
    answer->result = FUNCTION(scene, pause)();
}

/* SIGUSR1 is blocked but in the call. */
static void call_sigsuspend(const struct scene *scene, struct answer *answer)
{
    sigset_t blocked;
    sigset_t before;
    sigset_t after;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    answer->result = FUNCTION(scene, sigsuspend)(&before);
    answer->error = errno;
    (void)sigprocmask(SIG_SETMASK, NULL, &after);
    answer->extra = sigismember(&after, SIGUSR1);
    errno = answer->error;
}
static void call_sigwait(const struct scene *scene, struct answer *answer)
{
    sigset_t set = waited_set();
    int number = -1;
    errno = 77;
    answer->result = FUNCTION(scene, sigwait)(&set, &number);
    answer->extra = number;
}

static void call_sigwaitinfo(const struct scene *scene, struct answer *answer)
{
    sigset_t set = waited_set();
    siginfo_t info = {0};
    answer->result = FUNCTION(scene, sigwaitinfo)(&set, &info);
    answer->extra = info.si_signo * 1000L + info.si_code;
}

static void call_sigtimedwait(const struct scene *scene, struct answer *answer)
{
    sigset_t set = waited_set();
    siginfo_t info = {0};
    struct timespec limit = limit_of(scene);
    answer->result = FUNCTION(scene, sigtimedwait)(&set, &info, limited(scene) ? &limit : NULL);
    answer->extra = info.si_signo * 1000L + info.si_code;
}

/* ---- the cases ---- */

static void sleeps_like_bare(call_fn call)
{
    compare_late(call, false, NOTHING);
    compare_early(call, false, SIGNAL_EARLY);
    compare_late(call, false, SIGNAL_LATE);
    attach_once();
    struct answer ours = run_call(call, false, SIGNAL_AT_ADOPTION, false);
    struct answer bare = run_call(call, false, SIGNAL_LATE, true);
    assert_int_equal(ours.result, bare.result);
    assert_int_equal(ours.error, bare.error);
    assert_int_equal(ours.extra, bare.extra);
}

static void nanosleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_nanosleep);
    (void)compare(call_nanosleep, false, BAD_ARGUMENT);
}

static void clock_nanosleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_clock_nanosleep);
    (void)compare(call_clock_nanosleep, false, BAD_ARGUMENT);
}

static void clock_nanosleep_until_a_time_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_clock_nanosleep_until);
    (void)compare(call_clock_nanosleep_until, false, BAD_ARGUMENT);
}

static void sleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_sleep);
}

static void usleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_usleep);
}

static void pause_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_pause, false, SIGNAL_EARLY);
    compare_late(call_pause, false, SIGNAL_LATE);
    handler_between_parts_interrupts(call_pause, false);
}

static void sigsuspend_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_sigsuspend, false, SIGNAL_EARLY);
    compare_late(call_sigsuspend, false, SIGNAL_LATE);
}

/* The signal is there before the call, and one comes while the child is adopted: both blocked
 * outside of the call, so neither may be lost. */
static void sigsuspend_sees_what_was_pending(void **state)
{
    (void)state;
    attach_once();
    struct answer ours = run_call(call_sigsuspend, false, SIGNAL_AT_ADOPTION, false);
    assert_int_equal(ours.result, -1);
    assert_int_equal(ours.error, EINTR);
    assert_int_equal(ours.extra, 1);
    assert_int_equal(ours.handled, 1);
    pid_t child = fork();
    if (child == 0) {
        sigset_t blocked;
        sigset_t before;
        (void)signal(SIGUSR1, on_signal);
        (void)sigemptyset(&blocked);
        (void)sigaddset(&blocked, SIGUSR1);
        (void)sigprocmask(SIG_BLOCK, &blocked, &before);
        (void)raise(SIGUSR1);
        errno = 0;
        handler_answer = &ours;
        ours.handled = 0;
        _exit(sigsuspend(&before) == -1 && errno == EINTR && ours.handled == 1 ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void sigwait_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_sigwait, false, READY_EARLY);
    compare_late(call_sigwait, false, READY_LATE);
    /* It is not interrupted. */
    compare_early(call_sigwait, false, RESTART_EARLY);
}

static void sigwaitinfo_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_sigwaitinfo, false, READY_EARLY);
    compare_late(call_sigwaitinfo, false, READY_LATE);
    compare_early(call_sigwaitinfo, false, SIGNAL_EARLY);
    compare_late(call_sigwaitinfo, false, SIGNAL_LATE);
    handler_between_parts_interrupts(call_sigwaitinfo, false);
}

static void sigtimedwait_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_sigtimedwait);
    (void)compare(call_sigtimedwait, false, BAD_ARGUMENT);
}

RTH_TEST_MAIN(cmocka_unit_test(nanosleep_answers_as_bare),
              cmocka_unit_test(clock_nanosleep_answers_as_bare),
              cmocka_unit_test(clock_nanosleep_until_a_time_answers_as_bare),
              cmocka_unit_test(sleep_answers_as_bare), cmocka_unit_test(usleep_answers_as_bare),
              cmocka_unit_test(pause_answers_as_bare), cmocka_unit_test(sigsuspend_answers_as_bare),
              cmocka_unit_test(sigsuspend_sees_what_was_pending),
              cmocka_unit_test(sigwait_answers_as_bare),
              cmocka_unit_test(sigwaitinfo_answers_as_bare),
              cmocka_unit_test(sigtimedwait_answers_as_bare))
