/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_CLOCK_H
#define RTH_OS_CLOCK_H

/*
 * Time. Two clocks: the kernel's monotonic clock, and a checked TSC for events that can't afford
 * 15 ns. The TSC is used only after it was verified against CLOCK_MONOTONIC (rate stable, no step
 * backwards between CPUs); a kernel that marks it unstable is not believed blindly, nor is the
 * TSC: rth__clock_tsc_check measures, and everything falls back to clock_gettime otherwise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_NS_PER_S  INT64_C(1000000000)
#define RTH_NS_PER_MS INT64_C(1000000)
#define RTH_NS_PER_US INT64_C(1000)

/* CLOCK_MONOTONIC in ns. Signal-safe (vDSO). */
int64_t rth__clock_monotonic_ns_sigsafe(void);
/* CLOCK_REALTIME in ns since the epoch. Signal-safe. */
int64_t rth__clock_realtime_ns_sigsafe(void);
/* CPU time of one thread of this process in ns; a negative errno when it is gone. */
int64_t rth__clock_thread_cpu_ns_sigsafe(int tid);
/* CPU time of the calling thread in ns. */
int64_t rth__clock_own_cpu_ns_sigsafe(void);
/* CPU time of a whole process (0 = self) in ns; a negative errno when it is gone. */
int64_t rth__clock_process_cpu_ns_sigsafe(int pid);
/* Sleeps until an absolute CLOCK_MONOTONIC time; signals do not cut it short. */
void rth__clock_sleep_until(int64_t deadline_ns);

struct rth_tsc {
    bool usable;
    uint32_t shift;
    uint64_t multiplier; /* ns = base_ns + ((tsc - base_tsc) * multiplier >> shift) */
    uint64_t base_tsc;
    int64_t base_ns;
    const char *reason; /* why it is not usable; NULL when it is */
};
/* One look at both clocks, taken as close together as the CPU allows. */
struct rth_tsc_reading {
    uint64_t tsc_ticks;
    int64_t monotonic_ns;
};
#define RTH_TSC_READINGS_MIN 8
/* The arithmetic of the check below, on readings in the order they were taken. */
void rth__clock_tsc_fit(const struct rth_tsc_reading *readings, size_t count,
                        struct rth_tsc *ret_tsc);
/* Verifies the TSC over duration_ns of wall time (>= 1 ms): takes paired readings, fits the rate
 * on the first half, demands that the second half agrees within 200 ppm and that no reading goes
 * backwards. Runs on rth-work, never on a host thread. */
void rth__clock_tsc_check(struct rth_tsc *ret_tsc, int64_t duration_ns);
int64_t rth__clock_tsc_to_ns(const struct rth_tsc *tsc, uint64_t tsc_ticks);

/* Date in the proleptic Gregorian calendar, UTC, without libc's time-zone lock. */
struct rth_civil_time {
    int year, month, day, hour, minute, second, weekday; /* month 1-12, weekday 0 = Sunday */
};
void rth__clock_civil_sigsafe(int64_t unix_seconds, struct rth_civil_time *ret_time);
#define RTH_HTTP_DATE_BYTES 30
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void rth__clock_http_date_sigsafe(int64_t unix_seconds, char ret_date[RTH_HTTP_DATE_BYTES]);
#define RTH_RFC3339_BYTES 32
/* "1994-11-06T08:49:37.123456789Z" is cut to milliseconds: "1994-11-06T08:49:37.123Z" */
void rth__clock_rfc3339_sigsafe(int64_t unix_ns, char ret_text[RTH_RFC3339_BYTES]);

#endif /* RTH_OS_CLOCK_H */
