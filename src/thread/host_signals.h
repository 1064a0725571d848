/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_HOST_SIGNALS_H
#define RTH_THREAD_HOST_SIGNALS_H

/*
 * Which signals the host handles or ignores, as its own calls told the interposer. For the status:
 * an operator sees whether SIGTERM reaches the program, and who owns SIGPROF.
 */

struct rth_json;

/* For struct rth_interpose_ops; kind is RTH_SIGNAL_* of interpose/abi.h. Signal-safe. */
void rth__host_signals_note_sigsafe(int signal_number, int kind);
/* Adds "signals_handled" and "signals_ignored", arrays of numbers. */
void rth__host_signals_write(struct rth_json *json);

#endif /* RTH_THREAD_HOST_SIGNALS_H */
