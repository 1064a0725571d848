/* SPDX-License-Identifier: MIT */
/*
 * The checked TSC. A kernel may mark the TSC unstable on a machine where it is fine (a virtual
 * one, mostly) and may trust one that is not; so it is measured against CLOCK_MONOTONIC. The check
 * cannot prove that CPUs which it never ran on agree: it is a reason to use the TSC for events
 * whose order within a thread matters, not for order across threads to the nanosecond.
 */
#include "os/clock.h"

#define TSC_SHIFT             32
#define TSC_DEVIATION_PPM     200
#define TSC_DURATION_MIN_NS   RTH_NS_PER_MS
#define TSC_READINGS          64
#define TSC_TRIES_PER_READING 5

static void refuse(struct rth_tsc *ret_tsc, const char *reason)
{
    *ret_tsc = (struct rth_tsc){.reason = reason};
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

void rth__clock_tsc_fit(const struct rth_tsc_reading *readings, size_t count,
                        struct rth_tsc *ret_tsc)
{
    if (count < RTH_TSC_READINGS_MIN)
        return refuse(ret_tsc, "too few readings");
    for (size_t i = 1; i < count; i++) {
        if (readings[i].tsc_ticks < readings[i - 1].tsc_ticks)
            return refuse(ret_tsc, "the TSC went backwards");
        if (readings[i].monotonic_ns < readings[i - 1].monotonic_ns)
            return refuse(ret_tsc, "CLOCK_MONOTONIC went backwards");
    }

    const struct rth_tsc_reading *first = &readings[0];
    const struct rth_tsc_reading *middle = &readings[count / 2];
    const struct rth_tsc_reading *last = &readings[count - 1];
    uint64_t first_ticks = middle->tsc_ticks - first->tsc_ticks;
    uint64_t first_ns = (uint64_t)(middle->monotonic_ns - first->monotonic_ns);
    if (first_ticks == 0)
        return refuse(ret_tsc, "the TSC stands still");
    if (first_ns == 0)
        return refuse(ret_tsc, "CLOCK_MONOTONIC stands still");

    unsigned __int128 multiplier = ((unsigned __int128)first_ns << TSC_SHIFT) / first_ticks;
    if (multiplier == 0 || multiplier > UINT64_MAX)
        return refuse(ret_tsc, "the TSC rate is out of range");

    struct rth_tsc fit = {
        .usable = true,
        .shift = TSC_SHIFT,
        .multiplier = (uint64_t)multiplier,
        .base_tsc = first->tsc_ticks,
        .base_ns = first->monotonic_ns,
    };

    /* Every later reading must lie where the first half says, within the tolerance of the time
     * since the middle: a step shows at once, a drift at the end. */
    uint64_t half_ns = (uint64_t)(last->monotonic_ns - middle->monotonic_ns);
    uint64_t allowed_ns = (uint64_t)((unsigned __int128)half_ns * TSC_DEVIATION_PPM / 1000000);
    if (half_ns == 0)
        return refuse(ret_tsc, "CLOCK_MONOTONIC stands still");
    for (size_t i = count / 2 + 1; i < count; i++) {
        uint64_t real_ns = (uint64_t)(readings[i].monotonic_ns - middle->monotonic_ns);
        unsigned __int128 product =
            (unsigned __int128)(readings[i].tsc_ticks - middle->tsc_ticks) * fit.multiplier;
        unsigned __int128 fitted_ns = product >> TSC_SHIFT;

        if (fitted_ns > UINT64_MAX || distance((uint64_t)fitted_ns, real_ns) > allowed_ns)
            return refuse(ret_tsc, "the TSC rate is not stable");
    }
    *ret_tsc = fit;
}

int64_t rth__clock_tsc_to_ns(const struct rth_tsc *tsc, uint64_t tsc_ticks)
{
    /* Signed: an event may have been stamped just before the base. */
    __int128 ticks = (__int128)(int64_t)(tsc_ticks - tsc->base_tsc);

    return tsc->base_ns + (int64_t)((ticks * (__int128)tsc->multiplier) >> tsc->shift);
}

#if defined(__x86_64__)
/* The closest of some tries: an interrupt between the two clocks spoils one, not all. */
static struct rth_tsc_reading read_both(void)
{
    struct rth_tsc_reading best = {0};
    uint64_t best_width_ticks = UINT64_MAX;

    for (int i = 0; i < TSC_TRIES_PER_READING; i++) {
        unsigned cpu;
        uint64_t before = __builtin_ia32_rdtscp(&cpu);
        int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
        uint64_t after = __builtin_ia32_rdtscp(&cpu);

        if (after < before) {
            /* Kept as it is: the fit must see it. */
            best = (struct rth_tsc_reading){.tsc_ticks = after, .monotonic_ns = now_ns};
            break;
        }
        if (after - before < best_width_ticks) {
            best_width_ticks = after - before;
            best = (struct rth_tsc_reading){.tsc_ticks = before + (after - before) / 2,
                                            .monotonic_ns = now_ns};
        }
    }
    return best;
}

void rth__clock_tsc_check(struct rth_tsc *ret_tsc, int64_t duration_ns)
{
    struct rth_tsc_reading readings[TSC_READINGS];

    if (duration_ns < TSC_DURATION_MIN_NS)
        duration_ns = TSC_DURATION_MIN_NS;

    int64_t start_ns = rth__clock_monotonic_ns_sigsafe();
    for (int i = 0; i < TSC_READINGS; i++) {
        /* Sleeping lets the scheduler move us: readings come from several CPUs. */
        rth__clock_sleep_until(start_ns + duration_ns / (TSC_READINGS - 1) * i);
        readings[i] = read_both();
    }
    rth__clock_tsc_fit(readings, TSC_READINGS, ret_tsc);
}
#else
void rth__clock_tsc_check(struct rth_tsc *ret_tsc, int64_t duration_ns)
{
    (void)duration_ns;
    refuse(ret_tsc, "this architecture has no TSC");
}
#endif
