/* SPDX-License-Identifier: MIT */
#include "thread/host_signals.h"

#include <stdatomic.h>
#include <stdint.h>

#include "formats/json.h"
#include "interpose/abi.h"

#define SIGNALS_MAX 64

/* Bit n - 1: signal n. Each bit is written by whoever changes that signal's action last. */
static _Atomic uint64_t handled;
static _Atomic uint64_t ignored;

static void put(_Atomic uint64_t *set, uint64_t bit, int on)
{
    if (on)
        atomic_fetch_or_explicit(set, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(set, ~bit, memory_order_relaxed);
}

void rth__host_signals_note_sigsafe(int signal_number, int kind)
{
    if (signal_number < 1 || signal_number > SIGNALS_MAX)
        return;
    uint64_t bit = UINT64_C(1) << (signal_number - 1);
    put(&handled, bit, kind == RTH_SIGNAL_HANDLER);
    put(&ignored, bit, kind == RTH_SIGNAL_IGNORE);
}

static void write_set(struct rth_json *json, const char *key, uint64_t set)
{
    rth__json_key(json, key);
    rth__json_array_begin(json);
    for (int number = 1; number <= SIGNALS_MAX; number++)
        if ((set >> (number - 1) & 1) != 0)
            rth__json_int(json, number);
    rth__json_array_end(json);
}

void rth__host_signals_write(struct rth_json *json)
{
    write_set(json, "signals_handled", handled);
    write_set(json, "signals_ignored", ignored);
}
