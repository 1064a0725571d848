/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/rawsys.h"

static void monotonic_time_does_not_go_back(void **state)
{
    (void)state;
    int64_t last_ns = rth__clock_monotonic_ns_sigsafe();
    for (int i = 0; i < 1000; i++) {
        int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
        assert_true(now_ns >= last_ns);
        last_ns = now_ns;
    }
    assert_true(rth__clock_realtime_ns_sigsafe() > INT64_C(1577836800) * RTH_NS_PER_S);
}

static void cpu_time_of_self_grows_with_work(void **state)
{
    (void)state;
    int tid = rth__raw_gettid_sigsafe();
    int64_t before_ns = rth__clock_thread_cpu_ns_sigsafe(tid);
    int64_t after_ns = before_ns;
    assert_true(before_ns > 0);
    while (after_ns == before_ns)
        after_ns = rth__clock_thread_cpu_ns_sigsafe(tid);
    assert_true(after_ns > before_ns);
    assert_true(rth__clock_process_cpu_ns_sigsafe(0) >= after_ns);
    assert_true(rth__clock_process_cpu_ns_sigsafe(getpid()) >= after_ns);
}

static void *tell_tid(void *userdata)
{
    int *tid = userdata;
    *tid = rth__raw_gettid_sigsafe();
    return NULL;
}

static void cpu_time_of_nobody_is_an_error_and_errno_is_kept(void **state)
{
    (void)state;
    pthread_t thread;
    int tid = 0;
    assert_int_equal(pthread_create(&thread, NULL, tell_tid, &tid), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    errno = 77;
    /* The join returns when the kernel cleared the tid, just before the thread is unhashed. */
    while (rth__clock_thread_cpu_ns_sigsafe(tid) >= 0)
        continue;
    assert_int_equal(rth__clock_thread_cpu_ns_sigsafe(tid), -ESRCH);
    assert_int_equal(rth__clock_thread_cpu_ns_sigsafe(0), -ESRCH);
    assert_int_equal(rth__clock_thread_cpu_ns_sigsafe(-1), -EINVAL);
    assert_int_equal(rth__clock_process_cpu_ns_sigsafe(-1), -EINVAL);
    assert_int_equal(rth__clock_process_cpu_ns_sigsafe(INT32_MAX), -ESRCH);
    assert_int_equal(rth__clock_thread_cpu_ns_sigsafe(1 << 29), -ESRCH);
    assert_int_equal(errno, 77);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

static void signals_do_not_cut_a_sleep_short(void **state)
{
    (void)state;
    struct sigaction action;
    struct itimerval every_millisecond = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    memset(&action, 0, sizeof(action));
    action.sa_handler = count_alarm;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every_millisecond, NULL), 0);
    int64_t deadline_ns = rth__clock_monotonic_ns_sigsafe() + 30 * RTH_NS_PER_MS;
    rth__clock_sleep_until(deadline_ns);
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    assert_true(now_ns >= deadline_ns);
    assert_true(alarms > 0);
    /* Times gone by are no sleep. */
    rth__clock_sleep_until(0);
    rth__clock_sleep_until(-1);
}

static void civil_time_is_what_libc_says(void **state)
{
    (void)state;
    /* Every 13 days and some hours over 1,200 years, so that all kinds of leap year are met. */
    for (int64_t seconds = INT64_C(-20000000000); seconds < INT64_C(20000000000);
         seconds += 13 * 86400 + 7919) {
        struct rth_civil_time time;
        struct tm wanted;
        time_t libc_time = (time_t)seconds;
        rth__clock_civil_sigsafe(seconds, &time);
        assert_non_null(gmtime_r(&libc_time, &wanted));
        assert_int_equal(time.year, wanted.tm_year + 1900);
        assert_int_equal(time.month, wanted.tm_mon + 1);
        assert_int_equal(time.day, wanted.tm_mday);
        assert_int_equal(time.hour, wanted.tm_hour);
        assert_int_equal(time.minute, wanted.tm_min);
        assert_int_equal(time.second, wanted.tm_sec);
        assert_int_equal(time.weekday, wanted.tm_wday);
    }
}

static void the_ends_of_time_do_not_overflow(void **state)
{
    (void)state;
    struct rth_civil_time time;
    rth__clock_civil_sigsafe(INT64_MAX, &time);
    assert_true(time.year > 1000000000);
    rth__clock_civil_sigsafe(INT64_MIN, &time);
    assert_true(time.year < -1000000000);
    assert_in_range(time.month, 1, 12);
    assert_in_range(time.weekday, 0, 6);
}

static void http_dates_are_as_the_standard_writes_them(void **state)
{
    (void)state;
    char date[RTH_HTTP_DATE_BYTES];
    rth__clock_http_date_sigsafe(784111777, date);
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    rth__clock_http_date_sigsafe(0, date);
    assert_string_equal(date, "Thu, 01 Jan 1970 00:00:00 GMT");
    rth__clock_http_date_sigsafe(951782400, date);
    assert_string_equal(date, "Tue, 29 Feb 2000 00:00:00 GMT");
    rth__clock_http_date_sigsafe(INT64_MAX, date);
    assert_string_equal(date, "Fri, 31 Dec 9999 23:59:59 GMT");
    rth__clock_http_date_sigsafe(INT64_MIN, date);
    assert_string_equal(date, "Sat, 01 Jan 0000 00:00:00 GMT");
}

static void rfc3339_is_cut_to_milliseconds(void **state)
{
    (void)state;
    char text[RTH_RFC3339_BYTES];
    rth__clock_rfc3339_sigsafe(INT64_C(784111777123456789), text);
    assert_string_equal(text, "1994-11-06T08:49:37.123Z");
    rth__clock_rfc3339_sigsafe(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    rth__clock_rfc3339_sigsafe(INT64_MAX, text);
    assert_string_equal(text, "2262-04-11T23:47:16.854Z");
    rth__clock_rfc3339_sigsafe(INT64_MIN, text);
    assert_string_equal(text, "1677-09-21T00:12:43.145Z");
}

RTH_TEST_MAIN(cmocka_unit_test(monotonic_time_does_not_go_back),
              cmocka_unit_test(cpu_time_of_self_grows_with_work),
              cmocka_unit_test(cpu_time_of_nobody_is_an_error_and_errno_is_kept),
              cmocka_unit_test(signals_do_not_cut_a_sleep_short),
              cmocka_unit_test(civil_time_is_what_libc_says),
              cmocka_unit_test(the_ends_of_time_do_not_overflow),
              cmocka_unit_test(http_dates_are_as_the_standard_writes_them),
              cmocka_unit_test(rfc3339_is_cut_to_milliseconds))
