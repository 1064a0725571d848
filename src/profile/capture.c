/* SPDX-License-Identifier: MIT */
/*
 * The row of the capture core. It has no route: the profiles that need it have. It resets the core
 * in an adopted child before any of them, and says in the status what the core knows and lost.
 */
#include "profile/capture.h"

#include "formats/json.h"
#include "record/counted.h"
#include "record/facts.h"
#include "record/generation.h"
#include "record/stacks.h"
#include "thread/sigmux.h"
#include "unwind/unwind.h"

static void child_reset(void)
{
    rth__sigmux_child_reset();
    rth__record_child_reset();
    rth__unwind_child_reset();
}

static void status(struct rth_json *json)
{
    struct rth_unwind_stats unwind;
    rth__unwind_stats(&unwind);
    rth__json_member_uint(json, "modules", rth__module_count());
    rth__json_member_uint(json, "modules_dropped", rth__modules_dropped());
    rth__json_member_uint(json, "modules_compiled", unwind.modules_compiled);
    rth__json_member_uint(json, "modules_without_rows", unwind.modules_without_rows);
    rth__json_member_uint(json, "unwind_rows", unwind.rows);
    rth__json_member_uint(json, "unwind_row_bytes", unwind.row_bytes);
    rth__json_member_uint(json, "fdes_refused", unwind.fdes_refused);
    rth__json_member_uint(json, "stacks", rth__stacks_count(rth__generation_current()));
    rth__json_member_uint(json, "facts_bytes", rth__facts_reserved_bytes());
    rth__json_member_int(json, "signal", rth__sigmux_signal());
    rth__json_member_uint(json, "signals_forwarded", rth__sigmux_forwarded());
}

const struct rth_capability rth__capture_capability = {
    .name = "capture",
    .child_reset = child_reset,
    .status = status,
};
