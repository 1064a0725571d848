/* SPDX-License-Identifier: MIT */
/*
 * Episodes: evidence of what happened, as files, taken while it happens.
 *
 * Purpose: a trigger (a state of memory that was reached, a request) asks for an episode; what its
 * list names is collected, in that order, into a folder of its own. It is what is left when the
 * process is killed a second later. docs/formats/episode.md has the format.
 * Shape: who may have one now (take.c), where (folder.c), the collector (collect.c) with its file
 * (file.c) and document (record.c), what of all episodes is kept (store.c), what an earlier process
 * left (previous.c), and the routes (routes.c). Artefacts are found by name in the capability
 * table: what a later capability can write, an episode can have.
 * Threads: any of ours may trigger; the rest happens on rth-work, one item per episode (on
 * rth-admin in an adopted child, which collects under its own pid). A trigger before they are up
 * waits for them. Nothing is kept open between two episodes.
 * Locks: RTH_RANK_EPISODE for who may have one and the counts, for nanoseconds.
 * Failure: a folder that cannot be used leads to the next one, an artefact that fails, does not fit
 * or takes too long is left out with the reason, a killed process leaves a readable folder. What is
 * refused is counted by cause. A folder in memory is always refused: the file would be charged to
 * the cgroup that is full. Collecting stops in the danger zone, and where the filesystem would have
 * less than a tenth free.
 * Cost: 64 KiB of memory from the first tick on; a look at three folders a minute; an episode: what
 * its artefacts cost, at most 64 MiB of files and 30 s, at most 256 MiB in all.
 */
#include "episode/episode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/family.h"
#include "episode/file.h"
#include "episode/folder.h"
#include "episode/previous.h"
#include "episode/routes.h"
#include "episode/take.h"
#include "os/clock.h"
#include "os/fd.h"
#include "rthooks/log.h"
#include "rthooks/rthooks.h"

#define LOOK_AGAIN_NS (60 * RTH_NS_PER_S)

static struct rth_option_value crash_dir_value;
/* rth-work's. */
static int64_t next_look_ns;
static uint32_t looked_as_euid;
static bool was_reported;

/* "": the default. */
static int check_crash_dir(const char *text)
{
    bool has_no_path = text[0] == '\0' || strcmp(text, "off") == 0;
    return has_no_path ? 0 : rth__episode_path_check(text);
}

static const struct rth_option options[] = {
    {
        .variable = "RTHOOKS_CRASH_DIR",
        .grammar = "an absolute path, or off",
        .default_text = "",
        .doc = "Folder for evidence, made where it is missing; must be the user's own, writable by "
               "nobody else, and not in memory. Else, and by default, /var/lib/rthooks or "
               "/var/tmp/rthooks-EUID.",
        .opts_offset = SIZE_MAX,
        .check = check_crash_dir,
        .value = &crash_dir_value,
    },
};

static int start(char *ret_reason, size_t reason_size)
{
    if (strcmp(crash_dir_value.text, "off") == 0) {
        (void)snprintf(ret_reason, reason_size, "RTHOOKS_CRASH_DIR=off");
        return -ENOTSUP;
    }
    next_look_ns = 0;
    was_reported = !rth__family_is_first();
    rth__episode_take_start(crash_dir_value.text[0] != '\0' ? crash_dir_value.text : NULL);
    return 0;
}

static void stop(void)
{
    rth__episode_take_stop();
    rth__previous_note_end();
}

static void child_reset(void)
{
    rth__episode_take_child_reset();
    rth__previous_child_reset();
}

/* A folder that was named and cannot be used is worth a line; so is having none at all. */
static void log_folders(void)
{
    size_t count;
    const struct rth_episode_folder *used;
    const struct rth_episode_folder *folders = rth__episode_folders(&count, &used);
    if (folders[0].is_named && !folders[0].is_usable)
        rth_log(RTH_LOG_WARN, "episode.folder_refused", "path=%.80s reason=\"%.80s\" used=%.60s",
                folders[0].path, folders[0].reason, used != NULL ? used->path : "none");
    if (used != NULL)
        return;
    char why[RTH_EPISODE_REASON_BYTES];
    rth__episode_folders_why(why, sizeof(why));
    rth_log(RTH_LOG_WARN, "episode.no_folder", "reason=\"%s\"", why);
}

static void tick(void)
{
    rth__episode_take_tick();
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    uint32_t euid = (uint32_t)geteuid();
    if (now_ns < next_look_ns && euid == looked_as_euid)
        return;
    if (next_look_ns == 0)
        rth__episode_scratch_touch(); /* here, and not at start: that is on the host's time */
    if (next_look_ns == 0 || euid != looked_as_euid)
        log_folders();
    next_look_ns = now_ns + LOOK_AGAIN_NS;
    looked_as_euid = euid;
    const struct rth_episode_folder *used;
    RTH__AUTO_CLOSE int fd = rth__episode_folder_fd(&used);
    if (fd >= 0 && !was_reported) {
        was_reported = true;
        rth__previous_report(fd, used->path);
    }
}

/* ---- the row ------------------------------------------------------------------------------- */

static const struct rth_artefact artefacts[] = {
    {
        .name = "episodes",
        .path = "/debug/episodes",
        .content_type = "application/json",
        .description = "evidence that was collected, by this and earlier processes; POST takes it",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = rth__episodes_write,
    },
    {
        .name = "episode_file",
        .path = "/debug/episodes/",
        .content_type = "application/octet-stream",
        .flags = RTH_ARTEFACT_PREFIX | RTH_ARTEFACT_BY_PID,
        .begin = rth__episode_file_route_begin,
        .write = rth__episode_file_route_write,
    },
};

static const struct rth_action actions[] = {
    {
        .name = "episode",
        .path = "/debug/episodes",
        .description = "collects evidence now; reason=TEXT goes into it",
        .run = rth__episode_take_route,
    },
};

const struct rth_capability rth__episode_capability = {
    .name = "episode",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .start = start,
    .stop = stop,
    .tick = tick,
    .child_reset = child_reset,
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .actions = actions,
    .action_count = sizeof(actions) / sizeof(actions[0]),
    .status = rth__episode_members,
};
