/* SPDX-License-Identifier: MIT */
#include "limits/state.h"

#include "formats/budget.h"
#include "rthooks/limits.h"

#define NONE INT64_MAX

/* Near a threshold the distance is taken for no less: slow growth needs no fast looks. */
#define HEADROOM_MIN_BYTES (INT64_C(64) * 1024)
/* From SHED on what is done about it is to be seen soon. */
#define PERIOD_BUSY_NS (25 * RTH_NS_PER_MS)
#define PERIOD_WARM_NS (100 * RTH_NS_PER_MS)
#define FAST_S         0.1
#define SLOW_S         1.0

/* bytes * numerator / denominator without overflow; denominator > numerator. */
static int64_t part(int64_t bytes, int64_t numerator, int64_t denominator)
{
    return bytes / denominator * numerator + bytes % denominator * numerator / denominator;
}

void rth__memory_thresholds(int64_t limit_bytes, int64_t hard_bytes,
                            struct rth_memory_thresholds *ret_thresholds)
{
    if (limit_bytes == NONE) {
        *ret_thresholds = (struct rth_memory_thresholds){NONE, NONE, NONE, 0, NONE};
        return;
    }
    *ret_thresholds = (struct rth_memory_thresholds){
        .elevated_bytes = part(limit_bytes, 9, 10),
        .shed_bytes = limit_bytes,
        .critical_bytes = rth__budget_critical_bytes(limit_bytes, hard_bytes),
        .leave_bytes = part(limit_bytes, 1, 20),
        .predict_bytes = part(limit_bytes, 8, 10),
    };
}

/* Where a state begins. */
static int64_t begins_at(const struct rth_memory_thresholds *thresholds, int state)
{
    switch (state) {
    case RTH_MEMORY_OK:
        return 0;
    case RTH_MEMORY_ELEVATED:
        return thresholds->elevated_bytes;
    case RTH_MEMORY_SHED:
        return thresholds->shed_bytes;
    default:
        return thresholds->critical_bytes;
    }
}

static int state_of(const struct rth_memory_thresholds *thresholds, int64_t usage_bytes)
{
    return usage_bytes >= thresholds->critical_bytes   ? RTH_MEMORY_CRITICAL
           : usage_bytes >= thresholds->shed_bytes     ? RTH_MEMORY_SHED
           : usage_bytes >= thresholds->elevated_bytes ? RTH_MEMORY_ELEVATED
                                                       : RTH_MEMORY_OK;
}

static int state_below(int state)
{
    return state == RTH_MEMORY_EXHAUSTED  ? RTH_MEMORY_CRITICAL
           : state == RTH_MEMORY_CRITICAL ? RTH_MEMORY_SHED
           : state == RTH_MEMORY_SHED     ? RTH_MEMORY_ELEVATED
                                          : RTH_MEMORY_OK;
}

static int state_above(int state)
{
    return state == RTH_MEMORY_OK         ? RTH_MEMORY_ELEVATED
           : state == RTH_MEMORY_ELEVATED ? RTH_MEMORY_SHED
           : state == RTH_MEMORY_SHED     ? RTH_MEMORY_CRITICAL
                                          : state;
}

static bool enter(struct rth_memory_machine *machine, int state)
{
    machine->is_ending = false;
    if (machine->state == state)
        return false;
    machine->state = state;
    return true;
}

static void average(double *value, double sample, double elapsed_s, double window_s)
{
    *value += (sample - *value) * (elapsed_s / (elapsed_s + window_s));
}

static void note_growth(struct rth_memory_machine *machine, const struct rth_memory_look *look)
{
    int64_t elapsed_ns = look->now_ns - machine->read_ns;
    if (machine->read_ns != 0 && elapsed_ns > 0) {
        double elapsed_s = (double)elapsed_ns / 1e9;
        double sample = (double)(look->usage_bytes - machine->usage_bytes) / elapsed_s;
        average(&machine->fast_bytes_per_s, sample, elapsed_s, FAST_S);
        average(&machine->slow_bytes_per_s, sample, elapsed_s, SLOW_S);
    }
    machine->read_ns = look->now_ns;
    machine->usage_bytes = look->usage_bytes;
}

static bool predict(const struct rth_memory_machine *machine,
                    const struct rth_memory_thresholds *thresholds)
{
    int64_t left_bytes = thresholds->critical_bytes - machine->usage_bytes;
    return thresholds->critical_bytes != NONE &&
           machine->usage_bytes >= thresholds->predict_bytes && machine->slow_bytes_per_s > 0 &&
           left_bytes > 0 &&
           (double)left_bytes / machine->slow_bytes_per_s < (double)RTH_MEMORY_PREDICTION_NS / 1e9;
}

/* A look that failed. */
static bool look_failed(struct rth_memory_machine *machine, const struct rth_memory_look *look)
{
    int64_t since_ns = machine->read_ns != 0 ? machine->read_ns : machine->begun_ns;
    if (machine->is_stale ||
        look->now_ns - since_ns <= RTH_MEMORY_STALE_PERIODS * machine->period_ns)
        return false;
    machine->is_stale = true;
    machine->is_predicted = false;
    return enter(machine, state_above(machine->state));
}

bool rth__memory_machine_look(struct rth_memory_machine *machine,
                              const struct rth_memory_look *look)
{
    if (machine->begun_ns == 0)
        machine->begun_ns = look->now_ns;
    if (machine->period_ns == 0)
        machine->period_ns = RTH_MEMORY_PERIOD_MAX_NS;
    if (look->usage_bytes < 0 && look->limit_bytes != NONE)
        return look_failed(machine, look);
    bool was_stale = machine->is_stale;
    machine->is_stale = false;
    if (look->usage_bytes >= 0)
        note_growth(machine, look);
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(look->limit_bytes, look->hard_bytes, &thresholds);
    machine->is_predicted = look->usage_bytes >= 0 && predict(machine, &thresholds);
    if (look->limit_bytes == NONE)
        return enter(machine, RTH_MEMORY_OK);

    int seen = state_of(&thresholds, look->usage_bytes);
    if (seen == RTH_MEMORY_CRITICAL && look->is_futile)
        seen = RTH_MEMORY_EXHAUSTED;
    if (seen > machine->state)
        return enter(machine, seen);
    bool yields_again = machine->state == RTH_MEMORY_EXHAUSTED && !look->is_futile;
    int64_t end_bytes = begins_at(&thresholds, machine->state) - thresholds.leave_bytes;
    if (seen == machine->state || (look->usage_bytes >= end_bytes && !yields_again)) {
        machine->is_ending = false;
        return false;
    }
    if (!machine->is_ending)
        machine->ending_ns = look->now_ns - (was_stale ? RTH_MEMORY_DWELL_NS : 0);
    machine->is_ending = true;
    return look->now_ns - machine->ending_ns >= RTH_MEMORY_DWELL_NS &&
           enter(machine, state_below(machine->state));
}

int64_t rth__memory_headroom_bytes(const struct rth_memory_thresholds *thresholds,
                                   int64_t hard_bytes, int64_t usage_bytes)
{
    if (thresholds->shed_bytes == NONE)
        return NONE;
    const int64_t steps[] = {thresholds->elevated_bytes, thresholds->shed_bytes,
                             thresholds->critical_bytes, hard_bytes};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (usage_bytes < steps[i] && steps[i] != NONE)
            return steps[i] - usage_bytes;
    return 0;
}

int64_t rth__memory_machine_period_ns(const struct rth_memory_machine *machine,
                                      const struct rth_memory_look *look)
{
    int64_t most_ns = machine->state >= RTH_MEMORY_SHED       ? PERIOD_BUSY_NS
                      : machine->state >= RTH_MEMORY_ELEVATED ? PERIOD_WARM_NS
                                                              : RTH_MEMORY_PERIOD_MAX_NS;
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(look->limit_bytes, look->hard_bytes, &thresholds);
    if (look->limit_bytes == NONE || look->usage_bytes < 0 || machine->fast_bytes_per_s < 1)
        return most_ns;
    int64_t headroom_bytes =
        rth__memory_headroom_bytes(&thresholds, look->hard_bytes, look->usage_bytes);
    if (headroom_bytes < HEADROOM_MIN_BYTES)
        headroom_bytes = HEADROOM_MIN_BYTES;
    double period_ns = (double)headroom_bytes * 1e9 / (4 * machine->fast_bytes_per_s);
    return period_ns >= (double)most_ns                   ? most_ns
           : period_ns < (double)RTH_MEMORY_PERIOD_MIN_NS ? RTH_MEMORY_PERIOD_MIN_NS
                                                          : (int64_t)period_ns;
}
