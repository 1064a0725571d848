/* SPDX-License-Identifier: MIT */
#include "limits/purge.h"

#include "os/clock.h"
#include "rthooks/limits.h"

/* Worth its price: 1 MiB for 10 ms of CPU time. */
static bool is_fruitful(int64_t cost_ns, uint64_t yield_bytes)
{
    if (yield_bytes < RTH_PURGE_YIELD_MIN)
        return false;
    return (double)yield_bytes * (double)(10 * RTH_NS_PER_MS) >=
           (double)cost_ns * (double)(UINT64_C(1) << 20);
}

static int64_t backoff_ns(const struct rth_purge_model *model, bool is_pressing)
{
    if (model->fruitless == 0)
        return 0;
    /* Where requests are refused, a second is long. */
    if (is_pressing)
        return RTH_PURGE_BACKOFF_NS / 10;
    unsigned shift = model->fruitless - 1 < 10 ? model->fruitless - 1 : 10;
    int64_t wait_ns = RTH_PURGE_BACKOFF_NS << shift;
    return wait_ns < RTH_PURGE_BACKOFF_MAX_NS ? wait_ns : RTH_PURGE_BACKOFF_MAX_NS;
}

bool rth__purge_model_allows(const struct rth_purge_model *model, int64_t now_ns, int state,
                             bool is_pressing)
{
    if (model->ended_ns == 0)
        return true;
    int spacing = state >= RTH_MEMORY_CRITICAL ? RTH_PURGE_SPACING_CRITICAL
                  : is_pressing                ? RTH_PURGE_SPACING_PRESSING
                  : state >= RTH_MEMORY_SHED   ? RTH_PURGE_SPACING_SHED
                                               : RTH_PURGE_SPACING;
    int64_t spacing_ns = model->cost_ns * spacing;
    int64_t wait_ns = backoff_ns(model, is_pressing);
    if (wait_ns < spacing_ns)
        wait_ns = spacing_ns;
    return now_ns - model->ended_ns >= wait_ns;
}

void rth__purge_model_learn(struct rth_purge_model *model, int64_t now_ns, int64_t cost_ns,
                            uint64_t yield_bytes, bool is_telling)
{
    model->ended_ns = now_ns;
    model->cost_ns = cost_ns > 0 ? cost_ns : 0;
    model->yield_bytes = yield_bytes;
    if (is_fruitful(model->cost_ns, yield_bytes))
        model->fruitless = 0;
    else if (is_telling && model->fruitless < UINT32_MAX)
        model->fruitless++;
}
