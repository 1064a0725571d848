/* SPDX-License-Identifier: MIT */
#include "limits/plan.h"

#include "os/clock.h"
#include "rthooks/limits.h"

#define WORTH_MIN_BYTES    (INT64_C(8) << 20)
#define PRESSING_MIN_BYTES (INT64_C(1) << 20) /* worth it there */
#define PROBE_NS           (250 * RTH_NS_PER_MS)
/* ELEVATED is left 5 % of the limit below 0.9 of it; and a little more. */
#define AT_REST_SHARE 0.84
/* Usage that fell below that share of its peak has left holes. */
#define FALLEN_SHARE 0.8

int64_t rth__plan_purge_worth_bytes(int64_t limit_bytes)
{
    int64_t share = limit_bytes == RTH_MEMORY_LIMIT_NONE ? 0 : limit_bytes / 100;
    return share > WORTH_MIN_BYTES ? share : WORTH_MIN_BYTES;
}

bool rth__plan_is_pressing(const struct rth_reclaim_view *view)
{
    return view->state >= RTH_MEMORY_CRITICAL || view->usage_bytes >= view->brake_bytes;
}

bool rth__plan_wants_purge(const struct rth_reclaim_view *view)
{
    int64_t worth = rth__plan_purge_worth_bytes(view->limit_bytes);
    if (view->usage_bytes < 0)
        return false;
    /* Where memory is short the guess is tried against what is true now and then. */
    if (view->state >= RTH_MEMORY_SHED || rth__plan_is_pressing(view))
        return !view->knows_free || view->unpurged_ns >= PROBE_NS ||
               view->free_bytes >= (rth__plan_is_pressing(view) ? PRESSING_MIN_BYTES : worth);
    if (view->is_lazy)
        return false;
    /* What a busy program is about to use again is not worth the page faults. */
    if (view->state >= RTH_MEMORY_ELEVATED)
        return !view->knows_free || (view->free_bytes >= worth &&
                                     (view->is_at_rest || view->usage_bytes > view->target_bytes));
    return view->is_at_rest && view->peak_bytes - view->usage_bytes >= worth &&
           (double)view->usage_bytes < (double)view->peak_bytes * FALLEN_SHARE;
}

uint64_t rth__plan_missing_bytes(const struct rth_reclaim_view *view)
{
    if (!view->has_shrinkers || view->limit_bytes == RTH_MEMORY_LIMIT_NONE ||
        view->usage_bytes < 0 || view->state < RTH_MEMORY_ELEVATED)
        return 0;
    return view->room_bytes < 0 ? (uint64_t)-view->room_bytes : 0;
}

uint64_t rth__plan_excess_at_rest_bytes(const struct rth_reclaim_view *view)
{
    if (!view->has_shrinkers || !view->is_at_rest || view->usage_bytes < 0 ||
        view->limit_bytes == RTH_MEMORY_LIMIT_NONE || view->state < RTH_MEMORY_ELEVATED)
        return 0;
    double goal = (double)view->limit_bytes * AT_REST_SHARE;
    double excess = (double)(view->usage_bytes - view->usable_bytes) - goal;
    return excess > 0 ? (uint64_t)excess : 0;
}
