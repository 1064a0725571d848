/* SPDX-License-Identifier: MIT */
/* Questions to threads, and their answers. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "os/rawsys.h"
#include "profile/threads/mailbox.h"
#include "thread/sigmux.h"

static int root_fd;
static _Atomic int other_tid, interrupted;
static _Atomic bool stop;
static pthread_t other;

static void *runs(void *unused)
{
    (void)unused;
    other_tid = rth__raw_gettid_sigsafe();
    while (!stop)
        continue;
    return NULL;
}

static void *sleeps(void *unused)
{
    (void)unused;
    other_tid = rth__raw_gettid_sigsafe();
    while (!stop)
        interrupted += nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL) != 0;
    return NULL;
}

static void *runs_with_signals_blocked(void *argument)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    return runs(argument);
}

static void start(void *(*function)(void *))
{
    root_fd = open("/", O_PATH | O_DIRECTORY);
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__sigmux_init(NULL);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    other_tid = interrupted = 0;
    stop = false;
    assert_int_equal(pthread_create(&other, NULL, function, NULL), 0);
    while (other_tid == 0)
        test_pause_us(1000);
}

static void end(void)
{
    stop = true;
    assert_int_equal(pthread_join(other, NULL), 0);
}

/* Waits for the answer; the number of its frames. */
static unsigned wait_for(struct rth_mailbox *mailbox)
{
    struct rth_mailbox_answer answer;
    while ((answer = rth__mailbox_answer(mailbox)).count == 0)
        test_pause_us(1000);
    assert_int_equal(answer.end, RTH_UNWIND_ROOT);
    return answer.count;
}

static bool is_answered(const struct rth_mailbox *mailbox)
{
    return rth__mailbox_answer(mailbox).count != 0;
}

static void a_running_thread_answers(void **state)
{
    (void)state;
    struct rth_mailbox *mailbox;
    start(runs);
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, false, &mailbox), 0);
    assert_true(wait_for(mailbox) >= 2);
    rth__mailbox_close(mailbox);
    end();
}

static void a_sleeper_is_reached_by_an_interruption_alone(void **state)
{
    (void)state;
    struct rth_mailbox *mailbox;
    start(sleeps);
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, true, &mailbox), 0);
    (void)wait_for(mailbox);
    rth__mailbox_close(mailbox);
    test_pause_us(50000);
    int before = interrupted;
    assert_int_equal(before, 1);
    assert_int_equal(rth__mailbox_ask(root_fd, getpid(), false, &mailbox), 0);
    test_pause_us(100000);
    assert_int_equal(interrupted, before);
    rth__mailbox_close(mailbox);
    end();
}

static void a_thread_that_blocks_the_signal_is_not_asked(void **state)
{
    (void)state;
    struct rth_mailbox *mailbox;
    start(runs_with_signals_blocked);
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, false, &mailbox), -EPERM);
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, true, &mailbox), -EPERM);
    end();
}

static void a_thread_that_has_ended_cannot_be_asked(void **state)
{
    (void)state;
    struct rth_mailbox *mailbox;
    start(runs);
    end();
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, false, &mailbox), -ESRCH);
}

static void without_a_timer_nobody_is_asked(void **state)
{
    (void)state;
    struct rth_mailbox *mailbox;
    start(runs);
    assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){0, 0}), 0);
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, false, &mailbox), -EAGAIN);
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, true, &mailbox), -EAGAIN);
    end();
}

static void mailboxes_run_out_and_are_used_again(void **state)
{
    (void)state;
    struct rth_mailbox *mailbox[RTH_MAILBOXES + 1];
    start(sleeps);
    for (unsigned i = 0; i < RTH_MAILBOXES; i++) {
        int error = rth__mailbox_ask(root_fd, getpid(), false, &mailbox[i]);
        if (error == -EAGAIN)
            RTH_SKIP("RLIMIT_SIGPENDING is small");
        assert_int_equal(error, 0);
    }
    struct rth_mailbox **last = &mailbox[RTH_MAILBOXES];
    assert_int_equal(rth__mailbox_ask(root_fd, getpid(), false, last), -ENOBUFS);
    rth__mailbox_close(mailbox[100]);
    assert_int_equal(rth__mailbox_ask(root_fd, getpid(), false, last), 0);
    assert_ptr_equal(*last, mailbox[100]);
    for (unsigned i = 0; i < RTH_MAILBOXES; i++)
        rth__mailbox_close(mailbox[i]);
    end();
}

static void answer_by_hand(uint32_t argument)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = rth__sigmux_signal();
    info.si_code = SI_TIMER;
    info.si_pid = getpid();
    info.si_value = rth__sigmux_cookie(RTH_SIGMUX_THREAD, argument);
    assert_int_equal(
        RTH__RAW(SYS_rt_tgsigqueueinfo, getpid(), rth__raw_gettid_sigsafe(), info.si_signo, &info),
        0);
}

static void a_late_answer_is_not_taken_for_the_next_question(void **state)
{
    (void)state;
    struct rth_mailbox *mailbox;
    start(sleeps);
    /* The first two questions of this process, in the first mailbox. */
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, false, &mailbox), 0);
    rth__mailbox_close(mailbox);
    assert_int_equal(rth__mailbox_ask(root_fd, other_tid, false, &mailbox), 0);
    answer_by_hand(1u << 16);
    assert_false(is_answered(mailbox));
    answer_by_hand(2u << 16 | 1);
    assert_false(is_answered(mailbox));
    answer_by_hand(0xffffffff);
    assert_false(is_answered(mailbox));
    answer_by_hand(2u << 16);
    assert_true(is_answered(mailbox));
    rth__mailbox_close(mailbox);
    answer_by_hand(2u << 16); /* to nobody */
    end();
}

RTH_TEST_MAIN(cmocka_unit_test(a_late_answer_is_not_taken_for_the_next_question),
              cmocka_unit_test(a_running_thread_answers),
              cmocka_unit_test(a_sleeper_is_reached_by_an_interruption_alone),
              cmocka_unit_test(a_thread_that_blocks_the_signal_is_not_asked),
              cmocka_unit_test(a_thread_that_has_ended_cannot_be_asked),
              cmocka_unit_test(mailboxes_run_out_and_are_used_again),
              cmocka_unit_test(without_a_timer_nobody_is_asked))
