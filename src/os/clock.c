/* SPDX-License-Identifier: MIT */
#include "os/clock.h"

#include <errno.h>
#include <time.h>

#include "os/rawsys.h"

static int64_t timespec_to_ns(const struct timespec *time)
{
    return (int64_t)time->tv_sec * RTH_NS_PER_S + time->tv_nsec;
}

int64_t rth__clock_monotonic_ns_sigsafe(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return timespec_to_ns(&now);
}

int64_t rth__clock_realtime_ns_sigsafe(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return timespec_to_ns(&now);
}

/* The kernel's encoding of a CPU clock: ~id shifted by three, 2 = scheduler's count, 4 = one
 * thread. It answers -EINVAL for an id that is gone; we say -ESRCH. */
#define CPU_CLOCK_SCHED      2u
#define CPU_CLOCK_PER_THREAD 4u

static int64_t cpu_clock_ns(int id, uint32_t kind)
{
    clockid_t clock_id = (clockid_t)((~(uint32_t)id << 3) | kind);
    struct timespec used;
    long result = RTH__RAW(SYS_clock_gettime, clock_id, &used);

    if (result < 0)
        return result == -EINVAL ? -ESRCH : result;
    return timespec_to_ns(&used);
}

int64_t rth__clock_thread_cpu_ns_sigsafe(int tid)
{
    /* 0 would be the calling thread to the kernel. */
    if (tid <= 0)
        return -ESRCH;
    return cpu_clock_ns(tid, CPU_CLOCK_SCHED | CPU_CLOCK_PER_THREAD);
}

int64_t rth__clock_process_cpu_ns_sigsafe(int pid)
{
    if (pid < 0)
        return -ESRCH;
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

/* Days from 1970-01-01 to a date. Years are counted from March, so that the leap day is the last
 * of its year, in eras of 400 years = 146097 days. */
#define DAYS_PER_ERA         146097
#define DAYS_FROM_0000_MARCH 719468 /* to 1970-01-01 */
#define SECONDS_PER_DAY      86400

void rth__clock_civil_sigsafe(int64_t unix_seconds, struct rth_civil_time *ret_time)
{
    int64_t days = unix_seconds / SECONDS_PER_DAY;
    int64_t second_of_day = unix_seconds % SECONDS_PER_DAY;

    if (second_of_day < 0) {
        second_of_day += SECONDS_PER_DAY;
        days--;
    }

    int64_t shifted_days = days + DAYS_FROM_0000_MARCH;
    int64_t era =
        (shifted_days >= 0 ? shifted_days : shifted_days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = shifted_days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

    ret_time->year = (int)(year_of_era + era * 400 + (month <= 2));
    ret_time->month = (int)month;
    ret_time->day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    ret_time->hour = (int)(second_of_day / 3600);
    ret_time->minute = (int)(second_of_day / 60 % 60);
    ret_time->second = (int)(second_of_day % 60);
    /* 1970-01-01 was a Thursday. */
    ret_time->weekday = (int)(((days + 4) % 7 + 7) % 7);
}

/* Decimal digits with leading zeros; values are reduced to what fits. */
static char *put_digits(char *out, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + digits;
}

static char *put_text(char *out, const char *text, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++)
        *out++ = text[i];
    return out;
}

/* Both formats have four digits for the year: what lies outside is shown as the nearest. */
#define YEAR_0000_UNIX_S INT64_C(-62167219200)
#define YEAR_9999_UNIX_S INT64_C(253402300799)

static int64_t clamp_unix_seconds(int64_t unix_seconds)
{
    if (unix_seconds < YEAR_0000_UNIX_S)
        return YEAR_0000_UNIX_S;
    return unix_seconds > YEAR_9999_UNIX_S ? YEAR_9999_UNIX_S : unix_seconds;
}

void rth__clock_http_date_sigsafe(int64_t unix_seconds, char ret_date[RTH_HTTP_DATE_BYTES])
{
    static const char day_names[] = "SunMonTueWedThuFriSat";
    static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct rth_civil_time time;
    char *out = ret_date;

    rth__clock_civil_sigsafe(clamp_unix_seconds(unix_seconds), &time);
    out = put_text(out, day_names + 3 * time.weekday, 3);
    out = put_text(out, ", ", 2);
    out = put_digits(out, time.day, 2);
    *out++ = ' ';
    out = put_text(out, month_names + 3 * (time.month - 1), 3);
    *out++ = ' ';
    out = put_digits(out, time.year, 4);
    *out++ = ' ';
    out = put_digits(out, time.hour, 2);
    *out++ = ':';
    out = put_digits(out, time.minute, 2);
    *out++ = ':';
    out = put_digits(out, time.second, 2);
    out = put_text(out, " GMT", 4);
    *out = '\0';
}

void rth__clock_rfc3339_sigsafe(int64_t unix_ns, char ret_text[RTH_RFC3339_BYTES])
{
    struct rth_civil_time time;
    int64_t seconds = unix_ns / RTH_NS_PER_S;
    int64_t ns_of_second = unix_ns % RTH_NS_PER_S;
    char *out = ret_text;

    if (ns_of_second < 0) {
        ns_of_second += RTH_NS_PER_S;
        seconds--;
    }
    rth__clock_civil_sigsafe(seconds, &time);
    out = put_digits(out, time.year, 4);
    *out++ = '-';
    out = put_digits(out, time.month, 2);
    *out++ = '-';
    out = put_digits(out, time.day, 2);
    *out++ = 'T';
    out = put_digits(out, time.hour, 2);
    *out++ = ':';
    out = put_digits(out, time.minute, 2);
    *out++ = ':';
    out = put_digits(out, time.second, 2);
    *out++ = '.';
    out = put_digits(out, (int)(ns_of_second / RTH_NS_PER_MS), 3);
    *out++ = 'Z';
    *out = '\0';
}
