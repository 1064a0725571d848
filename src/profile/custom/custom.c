/* SPDX-License-Identifier: MIT */
/*
 * Profiles of the program's own: what it holds, by the stack and the labels with which it was
 * taken.
 *
 * Purpose: /debug/pprof/NAME for each rth_profile_new, as Go has it: an ordinary count profile.
 * Shape: a set of values per profile, which says for each at which site it was added (record/
 * live.h), and one table of sites for all profiles, where each is a kind (record/sites.h). A value
 * that is added before the code on its stack has unwind rows gets its site later (profile/early.h).
 * Threads: add and remove run on any thread of the host, the rest on rth-work. Locks: that of the
 * sites (RTH_RANK_SITES), for some 50 ns per add or remove and while a copy is made; profiles are
 * made without one (values.c).
 * Fork: a child knows the profiles, so handles stay good, and begins without values: its memory of
 * them is a copy, and what they stood for may be the parent's alone. It says so in its profiles.
 * Failure: what is refused is counted and said in the profile; a stack without room is counted in a
 * row without a stack, so the total is the number of values. Cost: a microsecond per add, 50 ns per
 * remove; 64 to 128 bytes per value, 4 MiB at most for the sites.
 */
#include "profile/custom/custom.h"

#include <errno.h>
#include <stdio.h>

#include "formats/json.h"
#include "profile/custom/held.h"
#include "profile/custom/values.h"
#include "profile/named.h"
#include "profile/write.h"
#include "rthooks/profile.h"

struct custom {
    struct rth_named_request request;
    struct rth_profile *profile;
};
_Static_assert(sizeof(struct custom) <= RTH_CALL_STATE_BYTES, "the state fits into its call");

static struct custom *custom_of(struct rth_call *call)
{
    return (struct custom *)(void *)call->state;
}

static void tick(void)
{
    if (rth__custom_early_count() != 0)
        rth__held_refresh();
}

static int begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)ret_wait_ns;
    struct custom *custom = custom_of(call);
    custom->profile = rth__custom_find(call->subpath);
    if (custom->profile == NULL)
        return rth__call_fail(call, 404, "Unknown profile");
    rth__held_refresh();
    call->filename = rth__custom_name(custom->profile);
    return rth__named_request_read(call, NULL, &custom->request);
}

static int write_profile(struct rth_call *call, struct rth_sink *sink)
{
    struct custom *custom = custom_of(call);
    struct rth_held held = {
        .profile = custom->profile,
        .noun = "values",
        .request = &custom->request,
    };
    return rth__held_write(&held, sink);
}

/* ---- the row ------------------------------------------------------------------------------- */

static const char *name_below(size_t index)
{
    struct rth_profile *profile = rth__custom_at(index);
    return profile != NULL ? rth__custom_name(profile) : NULL;
}

static uint64_t count_below(size_t index)
{
    return rth_profile_count(rth__custom_at(index));
}

static int start(char *ret_reason, size_t reason_size)
{
    rth__profile_writes_open();
    int error = rth__custom_start();
    if (error != 0)
        (void)snprintf(ret_reason, reason_size, "no memory for the sites of values");
    return error;
}

static void child_reset(void)
{
    rth__custom_child_reset();
    rth__profile_writes_child_reset();
}

static void status(struct rth_json *json)
{
    rth__json_member_uint(json, "values_max", RTH_CUSTOM_VALUES_MAX);
    rth__json_member_uint(json, "bytes", rth__custom_bytes());
    rth__json_member_uint(json, "waiting", rth__custom_early_count());
    rth__json_key(json, "profiles");
    rth__json_object_begin(json);
    struct rth_profile *profile;
    for (size_t i = 0; (profile = rth__custom_at(i)) != NULL; i++) {
        struct rth_custom_counts counts;
        rth__custom_counts(profile, &counts);
        rth__json_key(json, rth__custom_name(profile));
        rth__json_object_begin(json);
        rth__json_member_uint(json, "values", counts.values);
        rth__json_member_uint(json, "refused", counts.refused_full + counts.refused_memory);
        rth__json_object_end(json);
    }
    rth__json_object_end(json);
}

static const char *const needs[] = {"capture", NULL};

static const struct rth_artefact artefacts[] = {
    {
        .name = "custom",
        .path = "/debug/pprof/",
        .content_type = "application/octet-stream",
        .description = "A profile of the program's own: what it holds, by the stack that took it",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_PREFIX | RTH_ARTEFACT_BY_PID |
                 RTH_ARTEFACT_ATTACHMENT,
        .begin = begin,
        .write = write_profile,
        .name_below = name_below,
        .count_below = count_below,
    },
};

const struct rth_capability rth__custom_capability = {
    .name = "custom",
    .needs = needs,
    .start = start,
    .stop = rth__profile_writes_close,
    .tick = tick,
    .child_reset = child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
