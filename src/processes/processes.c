/* SPDX-License-Identifier: MIT */
/*
 * The family of processes: the first one and the adopted children.
 *
 * Purpose: what ?pid=N may name, with enough about each to choose. Facts come from /proc, by pid
 * and start time; the shared table only says which pids to look at.
 * Threads: rth-work. Failure: a member that ended is left out. Cost: about 50 us per member.
 */
#include "processes/processes.h"

#include <stdio.h>
#include <unistd.h>

#include "core/family.h"
#include "core/fork.h"
#include "core/identity.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "os/clock.h"
#include "os/procfs.h"

static void write_member(struct rth_json *json, const struct rth_family_member *member,
                         const struct rth_proc_stat *stat)
{
    double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    struct rth_proc_status status;
    rth__json_object_begin(json);
    rth__json_member_int(json, "pid", member->pid);
    rth__json_member_int(json, "ppid", stat->ppid);
    rth__json_member_string(json, "name", stat->comm);
    rth__json_member_bool(json, "first", member->first);
    rth__json_member_bool(json, "self", member->pid == rth__identity()->pid);
    if (rth__proc_status_read(rth__root_fd(), member->pid, 0, &status) == 0) {
        rth__json_member_uint(json, "euid", status.uid[1]);
        rth__json_member_uint(json, "egid", status.gid[1]);
    }
    rth__json_member_int(json, "threads", stat->num_threads);
    rth__json_member_int(json, "resident_bytes", stat->rss_pages * sysconf(_SC_PAGESIZE));
    rth__json_member_double(json, "cpu_seconds",
                            (double)(stat->utime_ticks + stat->stime_ticks) / ticks_per_s);
    rth__json_member_uint(json, "starttime_ticks", member->starttime_ticks);
    rth__json_object_end(json);
}

static int write_processes(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "service", rth__identity()->service);
    rth__json_key(&json, "processes");
    rth__json_array_begin(&json);
    size_t cursor = 0;
    struct rth_family_member member;
    while (rth__family_next(&cursor, &member)) {
        struct rth_proc_stat stat;
        if (rth__proc_stat_read(rth__root_fd(), member.pid, 0, &stat) == 0 &&
            stat.starttime_ticks == member.starttime_ticks && stat.state != 'Z')
            write_member(&json, &member, &stat);
    }
    rth__json_array_end(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

static void status(struct rth_json *json)
{
    rth__json_member_string(json, "fork", rth__fork_mode_name());
    rth__json_member_int(json, "first_pid", rth__family_first_pid());
    rth__json_member_uint(json, "without_a_slot", rth__family_overflow());
}

static const struct rth_artefact artefacts[] = {
    {
        .name = "processes",
        .path = "/debug/processes",
        .content_type = "application/json",
        .description = "the processes of a prefork service",
        .write = write_processes,
    },
};

const struct rth_capability rth__processes_capability = {
    .name = "processes",
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .status = status,
};
