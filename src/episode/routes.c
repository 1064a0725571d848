/* SPDX-License-Identifier: MIT */
#include "episode/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "episode/collect.h"
#include "episode/file.h"
#include "episode/store.h"
#include "episode/take.h"
#include "formats/json.h"
#include "os/dir.h"
#include "os/fd.h"

#define LISTED_MAX 64

/* In order of worth: what is last is what is missed when something ends it. */
static const char *const manual_artefacts[] = {
    "heap",  "memlimit",    "cgroup", "threads?debug=2", "mmap",   "status", "block",
    "mutex", "thread_list", "budget", "metrics",         "config", NULL,
};

static const struct rth_trigger manual = {.name = "manual", .artefacts = manual_artefacts};

/* ---- the list ------------------------------------------------------------------------------ */

static void write_folders(struct rth_json *json)
{
    size_t count;
    const struct rth_episode_folder *used;
    const struct rth_episode_folder *folders = rth__episode_folders(&count, &used);
    rth__json_member_string(json, "folder", used != NULL ? used->path : NULL);
    rth__json_key(json, "folders");
    rth__json_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        rth__json_object_begin(json);
        rth__json_member_string(json, "path", folders[i].path);
        rth__json_member_bool(json, "usable", folders[i].is_usable);
        if (!folders[i].is_usable)
            rth__json_member_string(json, "why", folders[i].reason);
        rth__json_object_end(json);
    }
    rth__json_array_end(json);
}

void rth__episode_members(struct rth_json *json)
{
    struct rth_episode_counts counts;
    rth__episode_counts_read(&counts);
    write_folders(json);
    rth__json_member_uint(json, "taken", counts.taken);
    rth__json_member_string(json, "last_id", counts.last_id[0] != '\0' ? counts.last_id : NULL);
    rth__json_member_bool(json, "in_danger", rth__episode_is_in_danger());
    rth__json_key(json, "refused");
    rth__json_object_begin(json);
    for (int i = RTH_EPISODE_TAKEN + 1; i < RTH_EPISODE_REFUSAL_COUNT; i++)
        rth__json_member_uint(json, rth__episode_refusal_name((enum rth_episode_refusal)i),
                              counts.refused[i]);
    rth__json_object_end(json);
}

static void write_files(struct rth_json *json, int episode_fd)
{
    struct rth_dir dir;
    rth__json_key(json, "files");
    rth__json_array_begin(json);
    if (rth__dir_open(&dir, episode_fd, ".") == 0) {
        const char *name;
        uint64_t bytes;
        for (int i = 0; i < LISTED_MAX && (name = rth__episode_next_file(&dir, &bytes)) != NULL;
             i++) {
            rth__json_object_begin(json);
            rth__json_member_string(json, "name", name);
            rth__json_member_uint(json, "bytes", bytes);
            rth__json_object_end(json);
        }
        rth__dir_close(&dir);
    }
    rth__json_array_end(json);
}

static void write_episode(struct rth_json *json, int episode_fd,
                          const struct rth_episode_found *found)
{
    struct rth_episode_summary summary;
    rth__episode_summary_of(episode_fd, &summary);
    bool is_collecting = strcmp(summary.state, "collecting") == 0;
    bool is_interrupted = is_collecting && !rth__episode_is_being_collected(episode_fd);
    rth__json_object_begin(json);
    rth__json_member_string(json, "id", found->name.id);
    rth__json_member_string(json, "state", is_interrupted ? "interrupted" : summary.state);
    rth__json_member_string(json, "trigger", found->name.trigger);
    rth__json_member_string(json, "reason", summary.reason);
    rth__json_member_string(json, "time", summary.time);
    rth__json_member_int(json, "pid", found->name.pid);
    rth__json_member_string(json, "service", summary.service);
    rth__json_member_string(json, "host", summary.host);
    if (!is_collecting)
        rth__json_member_uint(json, "duration_ms", summary.duration_ms);
    rth__json_member_uint(json, "bytes", found->bytes);
    write_files(json, episode_fd);
    rth__json_object_end(json);
}

static void write_episodes(struct rth_json *json)
{
    const struct rth_episode_folder *used;
    uint32_t euid = (uint32_t)geteuid();
    rth__json_key(json, "episodes");
    rth__json_array_begin(json);
    RTH__AUTO_CLOSE int folder_fd = rth__episode_folder_fd(&used);
    struct rth_episode_found *found;
    size_t count = folder_fd >= 0 ? rth__episode_scan(folder_fd, euid, &found) : 0;
    for (size_t i = 0; i < count && i < LISTED_MAX; i++) {
        const struct rth_episode_found *one = &found[count - 1 - i];
        RTH__AUTO_CLOSE int fd = rth__episode_open(folder_fd, euid, &one->name);
        if (fd >= 0)
            write_episode(json, fd, one);
    }
    rth__json_array_end(json);
}

int rth__episodes_write(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__episode_members(&json);
    write_episodes(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

/* ---- a file -------------------------------------------------------------------------------- */

struct wanted {
    struct rth_episode_name episode;
    char file[RTH_EPISODE_FILE_BYTES];
};
_Static_assert(sizeof(struct wanted) <= RTH_CALL_STATE_BYTES, "the state fits into its call");

static struct wanted *wanted_of(struct rth_call *call)
{
    return (struct wanted *)(void *)call->state;
}

static bool parse_wanted(const char *subpath, struct wanted *wanted)
{
    char folder[RTH_EPISODE_ID_BYTES + 8];
    const char *slash = strchr(subpath, '/');
    if (slash == NULL || (size_t)(slash - subpath) >= sizeof(folder))
        return false;
    memcpy(folder, subpath, (size_t)(slash - subpath));
    folder[slash - subpath] = '\0';
    if (!rth__episode_name_parse(folder, &wanted->episode) || !rth__episode_file_name_ok(slash + 1))
        return false;
    memcpy(wanted->file, slash + 1, strlen(slash + 1) + 1);
    return true;
}

static const char *type_of(const char *file)
{
    const char *end = strrchr(file, '.');
    if (end != NULL && strcmp(end, ".json") == 0)
        return "application/json";
    if (end != NULL && strcmp(end, ".txt") == 0)
        return "text/plain; charset=utf-8";
    return "application/octet-stream";
}

int rth__episode_file_route_begin(struct rth_call *call, int64_t *ret_wait_ns)
{
    (void)ret_wait_ns;
    struct wanted *wanted = wanted_of(call);
    if (!parse_wanted(call->subpath, wanted))
        return rth__call_fail(call, 404,
                              "no such file: it takes ID/FILE as /debug/episodes lists "
                              "them");
    call->filename = wanted->file;
    call->content_type = type_of(wanted->file);
    return 0;
}

/* An fd of a plain file. The id may be that of an episode that is not over. */
static int open_wanted(int folder_fd, struct wanted *wanted)
{
    uint32_t euid = (uint32_t)geteuid();
    RTH__AUTO_CLOSE int episode_fd = rth__episode_open(folder_fd, euid, &wanted->episode);
    if (episode_fd == -ENOENT && !wanted->episode.is_partial) {
        wanted->episode.is_partial = true;
        episode_fd = rth__episode_open(folder_fd, euid, &wanted->episode);
    }
    if (episode_fd < 0)
        return episode_fd;
    int fd = rth__openat(episode_fd, wanted->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        (void)rth__close(fd);
        return -EPERM;
    }
    return fd;
}

int rth__episode_file_route_write(struct rth_call *call, struct rth_sink *sink)
{
    const struct rth_episode_folder *used;
    RTH__AUTO_CLOSE int folder_fd = rth__episode_folder_fd(&used);
    RTH__AUTO_CLOSE int fd = folder_fd >= 0 ? open_wanted(folder_fd, wanted_of(call)) : -1;
    if (fd < 0)
        return rth__call_fail(call, 404, "no such file");
    unsigned char *buffer = rth__episode_scratch();
    ssize_t got;
    while ((got = rth__read_some(fd, buffer, RTH_EPISODE_SCRATCH_BYTES)) > 0 &&
           rth__sink_write(sink, buffer, (size_t)got) == 0)
        ;
    return got < 0 ? (int)got : sink->error;
}

/* ---- taking one ---------------------------------------------------------------------------- */

static int answer_refusal(struct rth_call *call, enum rth_episode_refusal refusal)
{
    char why[RTH_CALL_MESSAGE_BYTES - 40];
    switch (refusal) {
    case RTH_EPISODE_REFUSED_TOO_SOON:
        return rth__call_fail(call, 429, "the last one was less than 30 s ago");
    case RTH_EPISODE_REFUSED_TOO_MANY:
        return rth__call_fail(call, 429, "there were %d within an hour", RTH_EPISODE_PER_HOUR_MAX);
    case RTH_EPISODE_REFUSED_NO_FOLDER:
        rth__episode_folders_why(why, sizeof(why));
        return rth__call_fail(call, 501, "no folder for episodes: %s", why);
    case RTH_EPISODE_REFUSED_DANGER:
        return rth__call_fail(call, 503, "memory for collecting is not there");
    default:
        return rth__call_fail(call, 503, "another episode is being collected");
    }
}

static int answer_taken(const struct rth_episode_record *record, const char *folder,
                        struct rth_call *call, struct rth_sink *sink)
{
    struct rth_json json;
    call->content_type = "application/json";
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "id", record->name.id);
    rth__json_member_string(&json, "folder", folder);
    rth__json_member_string(&json, "state",
                            record->name.is_partial    ? "collecting"
                            : record->ended_by != NULL ? "stopped"
                                                       : "complete");
    rth__json_member_uint(&json, "bytes", record->bytes);
    rth__json_member_uint(&json, "duration_ms", (uint64_t)record->duration_ns / 1000000);
    rth__json_key(&json, "files");
    rth__json_array_begin(&json);
    for (size_t i = 0; i < record->entry_count; i++)
        if (record->entries[i].file[0] != '\0')
            rth__json_string(&json, record->entries[i].file);
    rth__json_array_end(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

int rth__episode_take_route(struct rth_call *call, struct rth_sink *sink)
{
    char trigger[RTH_EPISODE_TRIGGER_BYTES], reason[RTH_EPISODE_REASON_TEXT_BYTES];
    int length = rth__params_get(&call->params, "trigger", trigger, sizeof(trigger));
    if (length != -ENOENT && (length < 0 || strcmp(trigger, manual.name) != 0))
        return rth__call_fail(call, 400, "trigger: only \"manual\" can be asked for");
    length = rth__params_get(&call->params, "reason", reason, sizeof(reason));
    if (length == -ENOENT)
        (void)snprintf(reason, sizeof(reason), "asked for at the endpoint");
    else if (length < 0)
        return rth__call_fail(call, 400, "reason: at most %d bytes of text",
                              RTH_EPISODE_REASON_TEXT_BYTES - 1);
    const struct rth_episode_record *record;
    const char *folder;
    enum rth_episode_refusal refusal = rth__episode_take_now(&manual, reason, &record, &folder);
    if (refusal != RTH_EPISODE_TAKEN)
        return answer_refusal(call, refusal);
    return answer_taken(record, folder, call, sink);
}
