/* SPDX-License-Identifier: MIT */
#include "os/clock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "os/rawsys.h"

#define SECONDS_PER_DAY INT64_C(86400)
/* Days of 400 years, after which the Gregorian calendar repeats; of 100, 4 and 1. */
#define DAYS_PER_ERA      146097
#define YEARS_PER_ERA     400
#define EPOCH_DAY         719468                           /* days from 0000-03-01 to 1970-01-01 */
#define CIVIL_SECONDS_MAX (INT64_C(2000000000) * 31556952) /* keeps the year in an int */

/* Bounds of four-digit years: 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
#define YEAR_0000_S INT64_C(-62167219200)
#define YEAR_9999_S INT64_C(253402300799)

/* Bits of a CPU clock id, linux/posix-timers_types.h: ~id << 3, thread, scheduler time. */
#define CPU_CLOCK_SCHED  2u
#define CPU_CLOCK_THREAD 4u
/* The kernel's limit of ids. The encoding drops an id's upper bits: from 29 on another's clock, or
 * the caller's own, would be read. */
#define ID_MAX (4 * 1024 * 1024)

static int64_t timespec_ns(const struct timespec *time)
{
    return (int64_t)time->tv_sec * RTH_NS_PER_S + time->tv_nsec;
}

static int64_t floor_divide(int64_t value, int64_t divisor)
{
    int64_t quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

int64_t rth__clock_own_cpu_ns_sigsafe(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return timespec_ns(&used);
}

int64_t rth__clock_monotonic_ns_sigsafe(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return timespec_ns(&now);
}

int64_t rth__clock_realtime_ns_sigsafe(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return timespec_ns(&now);
}

static int64_t cpu_clock_ns(int id, unsigned kind)
{
    if (id < 0)
        return -EINVAL;
    if (id > ID_MAX)
        return -ESRCH;
    struct timespec used;
    clockid_t clock = (clockid_t)(~(unsigned)id << 3 | kind);
    long result = RTH__RAW(SYS_clock_gettime, clock, &used);
    if (result == -EINVAL)
        return -ESRCH; /* how the kernel says that nobody has this id */
    return result < 0 ? (int64_t)result : timespec_ns(&used);
}

int64_t rth__clock_thread_cpu_ns_sigsafe(int tid)
{
    /* 0 would be the calling thread to the kernel; to us it is a thread that isn't there yet. */
    if (tid == 0)
        return -ESRCH;
    return cpu_clock_ns(tid, CPU_CLOCK_SCHED | CPU_CLOCK_THREAD);
}

int64_t rth__clock_process_cpu_ns_sigsafe(int pid)
{
    return cpu_clock_ns(pid, CPU_CLOCK_SCHED);
}

void rth__clock_sleep_until(int64_t deadline_ns)
{
    if (deadline_ns < 0)
        return;
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / RTH_NS_PER_S),
        .tv_nsec = (long)(deadline_ns % RTH_NS_PER_S),
    };
    while (RTH__RAW(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) == -EINTR)
        continue;
}

/*
 * Counts from 1 March, so that the leap day is the last of its year: year = days over a 400-year
 * era with the leap days taken out, month = five-month groups of 153 days.
 */
void rth__clock_civil_sigsafe(int64_t unix_seconds, struct rth_civil_time *ret_time)
{
    if (unix_seconds > CIVIL_SECONDS_MAX)
        unix_seconds = CIVIL_SECONDS_MAX;
    if (unix_seconds < -CIVIL_SECONDS_MAX)
        unix_seconds = -CIVIL_SECONDS_MAX;
    int64_t days = floor_divide(unix_seconds, SECONDS_PER_DAY);
    int second_of_day = (int)(unix_seconds - days * SECONDS_PER_DAY);
    int64_t shifted = days + EPOCH_DAY;
    int64_t era = floor_divide(shifted, DAYS_PER_ERA);
    int day_of_era = (int)(shifted - era * DAYS_PER_ERA);
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_PER_ERA - 1)) /
        365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    int month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *ret_time = (struct rth_civil_time){
        .year = (int)(era * YEARS_PER_ERA) + year_of_era + (month <= 2 ? 1 : 0),
        .month = month,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
        .hour = second_of_day / 3600,
        .minute = second_of_day / 60 % 60,
        .second = second_of_day % 60,
        .weekday = (int)((days % 7 + 11) % 7), /* 1970-01-01 was a Thursday */
    };
}

static void civil_four_digits(int64_t unix_seconds, struct rth_civil_time *ret_time)
{
    if (unix_seconds < YEAR_0000_S)
        unix_seconds = YEAR_0000_S;
    if (unix_seconds > YEAR_9999_S)
        unix_seconds = YEAR_9999_S;
    rth__clock_civil_sigsafe(unix_seconds, ret_time);
}

static char *put_digits(char *at, int value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + width;
}

static char *put_text(char *at, const char *text, size_t size_bytes)
{
    memcpy(at, text, size_bytes);
    return at + size_bytes;
}

static char *put_time_of_day(char *at, const struct rth_civil_time *time)
{
    at = put_digits(at, time->hour, 2);
    *at++ = ':';
    at = put_digits(at, time->minute, 2);
    *at++ = ':';
    return put_digits(at, time->second, 2);
}

void rth__clock_http_date_sigsafe(int64_t unix_seconds, char ret_date[RTH_HTTP_DATE_BYTES])
{
    static const char weekdays[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct rth_civil_time time;
    civil_four_digits(unix_seconds, &time);
    char *at = put_text(ret_date, weekdays + 3 * time.weekday, 3);
    at = put_text(at, ", ", 2);
    at = put_digits(at, time.day, 2);
    *at++ = ' ';
    at = put_text(at, months + 3 * (time.month - 1), 3);
    *at++ = ' ';
    at = put_digits(at, time.year, 4);
    *at++ = ' ';
    at = put_time_of_day(at, &time);
    (void)put_text(at, " GMT", sizeof(" GMT"));
}

void rth__clock_rfc3339_sigsafe(int64_t unix_ns, char ret_text[RTH_RFC3339_BYTES])
{
    int64_t seconds = floor_divide(unix_ns, RTH_NS_PER_S);
    int64_t rest_ns = unix_ns % RTH_NS_PER_S;
    int milliseconds = (int)((rest_ns < 0 ? rest_ns + RTH_NS_PER_S : rest_ns) / RTH_NS_PER_MS);
    struct rth_civil_time time;
    civil_four_digits(seconds, &time);
    char *at = put_digits(ret_text, time.year, 4);
    *at++ = '-';
    at = put_digits(at, time.month, 2);
    *at++ = '-';
    at = put_digits(at, time.day, 2);
    *at++ = 'T';
    at = put_time_of_day(at, &time);
    *at++ = '.';
    at = put_digits(at, milliseconds, 3);
    (void)put_text(at, "Z", sizeof("Z"));
}
