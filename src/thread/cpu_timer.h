/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_CPU_TIMER_H
#define RTH_THREAD_CPU_TIMER_H

/*
 * Kernel timers on CPU clocks. Such a timer runs only while its thread does and its signal is
 * delivered on the way back to user mode, so a thread that sleeps is never interrupted (from kernel
 * 5.9 on).
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define RTH_CPU_NO_TIMER (-1)

/* tid: the thread whose clock it is and who gets the signal. Returns 0; -EAGAIN when
 * RLIMIT_SIGPENDING is used up; -EINVAL when the thread is gone. */
int rth__cpu_timer_create(int tid, int signal_number, union sigval value, int *ret_timer_id);
/* The same on a clock that always passes: its signal reaches a sleeper too, and may end its system
 * call. Unlike a signal that is sent, it cannot lose its cookie when RLIMIT_SIGPENDING is used up.
 */
int rth__wall_timer_create(int tid, int signal_number, union sigval value, int *ret_timer_id);
/* First expiry after first_ns of its clock, then every interval_ns (0: once). 0 or a negative
 * errno. */
int rth__cpu_timer_set(int timer_id, int64_t first_ns, int64_t interval_ns);
/* CPU time to the next expiry; 0 once the thread has ended: its timer stays until it is deleted,
 * but never fires. An expiry that the kernel has not noticed yet (it looks at ticks only) is 1. */
int64_t rth__cpu_timer_left_ns(int timer_id);
void rth__cpu_timer_delete(int timer_id);
/* Kernels before 5.9 (uname's release) send the signal when the clock's tick finds the time over,
 * wherever the thread is by then: a wait that it has just begun may end with EINTR. */
bool rth__cpu_timer_may_interrupt(const char *kernel_release);
/* The kernel's tick: CPU timers fire on ticks only. */
int64_t rth__cpu_timer_tick_ns(void);

#endif /* RTH_THREAD_CPU_TIMER_H */
