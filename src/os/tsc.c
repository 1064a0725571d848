/* SPDX-License-Identifier: MIT */
/*
 * Is the time stamp counter a clock? Asked of measurements, not of the kernel's opinion: a virtual
 * machine often says "unstable" of a TSC that is fine, and the reverse happens too.
 *
 * Readings pair the TSC with CLOCK_MONOTONIC, which the kernel keeps consistent across CPUs. A CPU
 * whose counter is offset, or a counter that changes its rate, leaves the line that the first half
 * of the readings fits. The check sees the CPUs that the scheduler gives it while it sleeps between
 * readings; it does not move itself around, because sched_setaffinity is a call that a host's
 * seccomp filter may answer with SIGSYS. Users therefore clamp differences at zero.
 */
#include "os/clock.h"

#include <sys/prctl.h>

#include "os/rawsys.h"

#define TOLERANCE_PPM     200
#define STEP_TOLERANCE_NS 1000 /* a paired reading is that exact unless we were preempted in it */
#define READINGS          64
#define TRIES_PER_READING 8
#define SHIFT             32

static void refuse(struct rth_tsc *ret_tsc, const char *reason)
{
    *ret_tsc = (struct rth_tsc){.usable = false, .reason = reason};
}

/* NULL, or why the readings are out of order. */
static const char *check_order(const struct rth_tsc_reading *readings, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (readings[i].monotonic_ns <= readings[i - 1].monotonic_ns)
            return "the monotonic clock did not advance between readings";
        if (readings[i].tsc_ticks <= readings[i - 1].tsc_ticks)
            return "the TSC went backwards or stood still";
    }
    return NULL;
}

/* ns per 2^SHIFT ticks between two readings; 0 when it is no sane rate. */
static uint64_t rate_between(const struct rth_tsc_reading *first,
                             const struct rth_tsc_reading *last)
{
    uint64_t ticks = last->tsc_ticks - first->tsc_ticks;
    uint64_t ns = (uint64_t)last->monotonic_ns - (uint64_t)first->monotonic_ns;
    unsigned __int128 rate = ((unsigned __int128)ns << SHIFT) / ticks;
    /* 10 MHz to 100 GHz */
    if (rate > UINT64_C(100) << SHIFT || rate < (UINT64_C(1) << SHIFT) / 100)
        return 0;
    return (uint64_t)rate;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* All readings lie on the line through the first with the given rate. */
static bool on_line(const struct rth_tsc_reading *readings, size_t count, uint64_t rate)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t ns = (uint64_t)readings[i].monotonic_ns - (uint64_t)readings[0].monotonic_ns;
        uint64_t ticks = readings[i].tsc_ticks - readings[0].tsc_ticks;
        uint64_t line_ns = (uint64_t)(((unsigned __int128)ticks * rate) >> SHIFT);
        uint64_t allowed_ns = STEP_TOLERANCE_NS + ns / (1000000 / TOLERANCE_PPM);
        if (distance(ns, line_ns) > allowed_ns)
            return false;
    }
    return true;
}

void rth__clock_tsc_fit(const struct rth_tsc_reading *readings, size_t count,
                        struct rth_tsc *ret_tsc)
{
    if (count < RTH_TSC_READINGS_MIN) {
        refuse(ret_tsc, "too few readings");
        return;
    }
    const char *disorder = check_order(readings, count);
    if (disorder != NULL) {
        refuse(ret_tsc, disorder);
        return;
    }
    const struct rth_tsc_reading *middle = &readings[count / 2], *last = &readings[count - 1];
    uint64_t first_rate = rate_between(&readings[0], middle);
    uint64_t second_rate = rate_between(middle, last);
    if (first_rate == 0 || second_rate == 0) {
        refuse(ret_tsc, "the rate of the TSC is implausible");
        return;
    }
    if (distance(first_rate, second_rate) > first_rate / (1000000 / TOLERANCE_PPM)) {
        refuse(ret_tsc, "the rate of the TSC is not stable");
        return;
    }
    if (!on_line(readings, count, first_rate)) {
        refuse(ret_tsc, "the TSC stepped against the monotonic clock");
        return;
    }
    *ret_tsc = (struct rth_tsc){
        .usable = true,
        .shift = SHIFT,
        .multiplier = rate_between(&readings[0], last),
        .base_tsc = last->tsc_ticks,
        .base_ns = last->monotonic_ns,
    };
}

int64_t rth__clock_tsc_to_ns(const struct rth_tsc *tsc, uint64_t tsc_ticks)
{
    /* Events from before the base lie before it. */
    __int128 ticks = (int64_t)(tsc_ticks - tsc->base_tsc);
    return tsc->base_ns + (int64_t)(ticks * (__int128)tsc->multiplier >> tsc->shift);
}

#if defined(__x86_64__)
static uint64_t tsc_now(void)
{
    /* The fence keeps the read in its place; rdtscp would too, but not every CPU has it. */
    __builtin_ia32_lfence();
    return __builtin_ia32_rdtsc();
}

/* The narrowest of some tries: one in which nothing came between the clocks. */
static void take_reading(struct rth_tsc_reading *ret_reading)
{
    uint64_t narrowest = UINT64_MAX;
    for (int i = 0; i < TRIES_PER_READING; i++) {
        uint64_t before = tsc_now();
        int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
        uint64_t width = tsc_now() - before;
        if (width >= narrowest)
            continue;
        narrowest = width;
        ret_reading->tsc_ticks = before + width / 2;
        ret_reading->monotonic_ns = now_ns;
    }
}

/* A process may have asked for a SIGSEGV on every rdtsc. */
static bool tsc_allowed(void)
{
    int mode = 0;
    return RTH__RAW(SYS_prctl, PR_GET_TSC, &mode, 0, 0, 0) == 0 && mode == PR_TSC_ENABLE;
}

void rth__clock_tsc_check(struct rth_tsc *ret_tsc, int64_t duration_ns)
{
    struct rth_tsc_reading readings[READINGS];
    if (!tsc_allowed()) {
        refuse(ret_tsc, "the process may not read the TSC");
        return;
    }
    if (duration_ns < RTH_NS_PER_MS)
        duration_ns = RTH_NS_PER_MS;
    int64_t start_ns = rth__clock_monotonic_ns_sigsafe();
    for (int i = 0; i < READINGS; i++) {
        rth__clock_sleep_until(start_ns + duration_ns * i / (READINGS - 1));
        take_reading(&readings[i]);
    }
    rth__clock_tsc_fit(readings, READINGS, ret_tsc);
}
#else
void rth__clock_tsc_check(struct rth_tsc *ret_tsc, int64_t duration_ns)
{
    (void)duration_ns;
    refuse(ret_tsc, "this CPU has no TSC");
}
#endif
