/* SPDX-License-Identifier: MIT */
#include "thread/cpu_timer.h"

#include <time.h>

#include "os/clock.h"
#include "os/rawsys.h"

/* As the kernel builds the clock of a thread's scheduled time: CPUCLOCK_PERTHREAD_MASK | SCHED. */
static clockid_t clock_of_thread(int tid)
{
    return (clockid_t)(~(unsigned)tid << 3 | 6u);
}

static int create(clockid_t clock, int tid, int signal_number, union sigval value,
                  int *ret_timer_id)
{
    struct sigevent event = {.sigev_value = value, .sigev_signo = signal_number};
    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = tid;
    int timer_id;
    long result = RTH__RAW(SYS_timer_create, clock, &event, &timer_id);
    if (result == 0)
        *ret_timer_id = timer_id;
    return (int)result;
}

int rth__cpu_timer_create(int tid, int signal_number, union sigval value, int *ret_timer_id)
{
    return create(clock_of_thread(tid), tid, signal_number, value, ret_timer_id);
}

int rth__wall_timer_create(int tid, int signal_number, union sigval value, int *ret_timer_id)
{
    return create(CLOCK_MONOTONIC, tid, signal_number, value, ret_timer_id);
}

int rth__cpu_timer_set(int timer_id, int64_t first_ns, int64_t interval_ns)
{
    struct itimerspec times = {
        .it_value = {first_ns / RTH_NS_PER_S, first_ns % RTH_NS_PER_S},
        .it_interval = {interval_ns / RTH_NS_PER_S, interval_ns % RTH_NS_PER_S},
    };
    return (int)RTH__RAW(SYS_timer_settime, timer_id, 0, &times, NULL);
}

int64_t rth__cpu_timer_left_ns(int timer_id)
{
    struct itimerspec left = {0};
    if (RTH__RAW(SYS_timer_gettime, timer_id, &left) != 0)
        return 0;
    return left.it_value.tv_sec * RTH_NS_PER_S + left.it_value.tv_nsec;
}

void rth__cpu_timer_delete(int timer_id)
{
    (void)RTH__RAW(SYS_timer_delete, timer_id);
}

int64_t rth__cpu_timer_tick_ns(void)
{
    struct timespec tick;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0)
        return RTH_NS_PER_S / 100;
    return tick.tv_sec * RTH_NS_PER_S + tick.tv_nsec;
}

static const char *read_number(const char *text, unsigned *ret_number)
{
    unsigned number = 0;
    for (; *text >= '0' && *text <= '9' && number < 10000; text++)
        number = number * 10 + (unsigned)(*text - '0');
    *ret_number = number;
    return text;
}

bool rth__cpu_timer_may_interrupt(const char *kernel_release)
{
    unsigned major, minor = 0;
    const char *rest = read_number(kernel_release, &major);
    if (*rest == '.')
        (void)read_number(rest + 1, &minor);
    return major < 5 || (major == 5 && minor < 9);
}
