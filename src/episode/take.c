/* SPDX-License-Identifier: MIT */
#include "episode/take.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/family.h"
#include "core/identity.h"
#include "core/lock.h"
#include "core/service_thread.h"
#include "core/work.h"
#include "episode/collect.h"
#include "episode/previous.h"
#include "episode/store.h"
#include "formats/utf8.h"
#include "os/clock.h"
#include "os/fd.h"
#include "rthooks/error.h"
#include "rthooks/log.h"

#define HOUR_NS (3600 * RTH_NS_PER_S)

static struct rth_lock episode_lock = RTH_LOCK_INIT(RTH_RANK_EPISODE);
/* Protected by episode_lock. */
static bool is_running;
static bool is_deferred;   /* the busy one waits for the threads */
static bool is_busy;       /* one is waited for or collected */
static bool has_no_folder; /* as far as is known */
static struct rth_episode_rates rates;
static struct rth_episode_counts counts;
static uint32_t last_number;

/* What is asked for, of the busy one. */
static struct {
    const struct rth_trigger *trigger;
    struct rth_episode_name name;
    char reason[RTH_EPISODE_REASON_TEXT_BYTES];
    int64_t unix_ns;
} asked;
static struct rth_work_item item; /* of who made it busy, then rth-work's */

/* rth-work's. */
static const struct rth_trigger *current_trigger;
static struct rth_episode_record record; /* of the last one, also when another is asked for */
static const char *named_folder;
static struct rth_episode_folder folders[RTH_EPISODE_FOLDER_MAX];
static size_t folder_count;
static uint32_t folders_euid;
static const char *taken_in; /* path of the folder with the last one */

const char *rth__episode_refusal_name(enum rth_episode_refusal refusal)
{
    static const char *const names[RTH_EPISODE_REFUSAL_COUNT] = {
        [RTH_EPISODE_TAKEN] = "none",
        [RTH_EPISODE_REFUSED_BUSY] = "busy",
        [RTH_EPISODE_REFUSED_TOO_SOON] = "too_soon",
        [RTH_EPISODE_REFUSED_TOO_MANY] = "too_many",
        [RTH_EPISODE_REFUSED_DANGER] = "danger",
        [RTH_EPISODE_REFUSED_NO_FOLDER] = "no_folder",
    };
    return names[refusal];
}

/* ---- how often ----------------------------------------------------------------------------- */

static struct rth_episode_rate *rate_of(struct rth_episode_rates *all, const char *name)
{
    for (size_t i = 0; i < all->trigger_count; i++)
        if (strcmp(all->triggers[i].name, name) == 0)
            return &all->triggers[i];
    if (all->trigger_count == RTH_EPISODE_TRIGGER_MAX)
        return NULL;
    struct rth_episode_rate *rate = &all->triggers[all->trigger_count++];
    *rate = (struct rth_episode_rate){.name = name};
    return rate;
}

enum rth_episode_refusal rth__episode_rates_take(struct rth_episode_rates *all,
                                                 const struct rth_trigger *trigger, int64_t now_ns)
{
    struct rth_episode_rate *rate = rate_of(all, trigger->name);
    if (rate == NULL)
        return RTH_EPISODE_REFUSED_TOO_MANY;
    if (rate->count > 0 && now_ns - rate->at_ns[0] < RTH_EPISODE_GAP_NS)
        return RTH_EPISODE_REFUSED_TOO_SOON;
    bool is_full = rate->count == RTH_EPISODE_PER_HOUR_MAX &&
                   now_ns - rate->at_ns[RTH_EPISODE_PER_HOUR_MAX - 1] < HOUR_NS;
    if (is_full && (trigger->flags & RTH_TRIGGER_LAST_GASP) == 0)
        return RTH_EPISODE_REFUSED_TOO_MANY;
    memmove(&rate->at_ns[1], &rate->at_ns[0], sizeof(rate->at_ns) - sizeof(rate->at_ns[0]));
    rate->at_ns[0] = now_ns;
    if (rate->count < RTH_EPISODE_PER_HOUR_MAX)
        rate->count++;
    return RTH_EPISODE_TAKEN;
}

/* ---- where --------------------------------------------------------------------------------- */

/* In our own table of descriptors, whatever the host does to its root meanwhile. */
static int root_fd(void)
{
    return rth__root_fd();
}

static void know_folder(bool is_missing)
{
    RTH__LOCK_SCOPE(&episode_lock);
    has_no_folder = is_missing;
}

const struct rth_episode_folder *rth__episode_folders(size_t *ret_count,
                                                      const struct rth_episode_folder **ret_used)
{
    uint32_t euid = (uint32_t)geteuid();
    if (folder_count == 0 || folders_euid != euid) {
        folder_count = rth__episode_folders_fill(named_folder, euid, folders);
        folders_euid = euid;
    }
    const struct rth_episode_folder *used = NULL;
    for (size_t i = 0; i < folder_count; i++) {
        int fd = rth__episode_folder_open(root_fd(), euid, false, &folders[i]);
        if (used == NULL && folders[i].is_usable)
            used = &folders[i];
        (void)rth__close(fd);
    }
    know_folder(used == NULL);
    *ret_count = folder_count;
    *ret_used = used;
    return folders;
}

int rth__episode_folder_fd(const struct rth_episode_folder **ret_used)
{
    size_t count;
    const struct rth_episode_folder *used;
    (void)rth__episode_folders(&count, &used);
    *ret_used = used;
    if (used == NULL)
        return -ENOTSUP;
    return rth__episode_folder_open(root_fd(), folders_euid, false,
                                    &folders[(size_t)(used - folders)]);
}

void rth__episode_folders_why(char *ret_text, size_t text_size)
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < folder_count && used < text_size; i++) {
        int length = snprintf(ret_text + used, text_size - used, "%s%s %s", i > 0 ? "; " : "",
                              folders[i].path, folders[i].reason);
        used += length > 0 ? (size_t)length : 0;
    }
}

/* ---- collecting ---------------------------------------------------------------------------- */

/* One that was asked for is no news. */
static void log_taken(const struct rth_episode_folder *folder, int level)
{
    size_t written = 0;
    for (size_t i = 0; i < record.entry_count; i++)
        written += record.entries[i].file[0] != '\0';
    rth_log(level, "episode.taken", "files=%zu left_out=%zu bytes=%llu%s episode=%.100s/%s",
            written, record.planned_count - written, (unsigned long long)record.bytes,
            record.ended_by != NULL ? " stopped=true" : "", folder->path, record.name.id);
}

static bool is_of_family(int pid)
{
    size_t cursor = 0;
    struct rth_family_member member;
    while (rth__family_next(&cursor, &member))
        if (member.pid == pid)
            return pid != record.name.pid;
    return false;
}

/* What happens to a prefork service happens to all its processes at once: the first of them that
 * sees it has the episode. */
static bool family_has_one(int folder_fd)
{
    struct rth_episode_found *found;
    size_t count = rth__episode_scan(folder_fd, folders_euid, &found);
    while (count-- > 0) {
        const struct rth_episode_name *name = &found[count].name;
        if (strcmp(name->trigger, record.name.trigger) == 0 && is_of_family(name->pid) &&
            record.name.unix_s - name->unix_s < RTH_EPISODE_GAP_NS / RTH_NS_PER_S)
            return true;
    }
    return false;
}

static enum rth_episode_refusal collect_in(int folder_fd, struct rth_episode_folder *folder,
                                           bool is_asked_for)
{
    if (!is_asked_for && family_has_one(folder_fd))
        return RTH_EPISODE_REFUSED_TOO_SOON;
    int error = rth__episode_collect(folder_fd, current_trigger->artefacts, &record);
    if (error != 0) {
        folder->is_usable = false;
        (void)snprintf(folder->reason, sizeof(folder->reason), "cannot be written to: %s",
                       rth_strerror(error));
        return RTH_EPISODE_REFUSED_NO_FOLDER;
    }
    taken_in = folder->path;
    rth__previous_remember(folder->path, &record.name);
    (void)rth__episode_keep(folder_fd, folders_euid, rth__episode_caps.folder_episodes,
                            rth__episode_caps.folder_bytes);
    log_taken(folder, is_asked_for ? RTH_LOG_INFO : RTH_LOG_WARN);
    return RTH_EPISODE_TAKEN;
}

/* In the first folder that takes it. */
static enum rth_episode_refusal collect_somewhere(bool is_asked_for)
{
    size_t count;
    const struct rth_episode_folder *used;
    (void)rth__episode_folders(&count, &used);
    for (size_t i = 0; i < count; i++) {
        RTH__AUTO_CLOSE int fd =
            rth__episode_folder_open(root_fd(), folders_euid, true, &folders[i]);
        if (fd < 0)
            continue;
        enum rth_episode_refusal refusal = collect_in(fd, &folders[i], is_asked_for);
        if (refusal != RTH_EPISODE_REFUSED_NO_FOLDER)
            return refusal;
    }
    char why[RTH_EPISODE_REASON_BYTES];
    rth__episode_folders_why(why, sizeof(why));
    rth_log(RTH_LOG_ERROR, "episode.no_folder", "trigger=%s reason=\"%s\"", current_trigger->name,
            why);
    return RTH_EPISODE_REFUSED_NO_FOLDER;
}

static void take_over(void)
{
    RTH__LOCK_SCOPE(&episode_lock);
    current_trigger = asked.trigger;
    record.name = asked.name;
    record.unix_ns = asked.unix_ns;
    memcpy(record.reason, asked.reason, sizeof(record.reason));
}

static enum rth_episode_refusal collect_reserved(bool is_asked_for)
{
    take_over();
    enum rth_episode_refusal refusal = collect_somewhere(is_asked_for);
    RTH__LOCK_SCOPE(&episode_lock);
    is_busy = false;
    has_no_folder = refusal == RTH_EPISODE_REFUSED_NO_FOLDER;
    if (refusal == RTH_EPISODE_TAKEN) {
        counts.taken++;
        memcpy(counts.last_id, record.name.id, sizeof(counts.last_id));
    } else {
        counts.refused[refusal]++;
    }
    return refusal;
}

static void run(struct rth_work_item *work)
{
    (void)work;
    (void)collect_reserved(false);
}

/* The threads are not up yet, or pause while the host calls what the kernel refuses to them: what
 * was seen first is often what tells most, so it is kept until they are there. */
static void defer(struct rth_work_item *work)
{
    (void)work;
    RTH__LOCK_SCOPE(&episode_lock);
    is_deferred = true;
}

static void submit(void)
{
    item = (struct rth_work_item){.run = run, .drop = defer};
    if (rth__work_submit_from_host(&item) != 0)
        defer(&item);
}

void rth__episode_take_tick(void)
{
    {
        RTH__LOCK_SCOPE(&episode_lock);
        if (!is_deferred)
            return;
        is_deferred = false;
    }
    submit();
}

static enum rth_episode_refusal refusal_locked(const struct rth_trigger *trigger, bool ask_folder)
{
    if (!is_running || (has_no_folder && !ask_folder))
        return RTH_EPISODE_REFUSED_NO_FOLDER;
    if (rth__episode_is_in_danger())
        return RTH_EPISODE_REFUSED_DANGER;
    if (is_busy)
        return RTH_EPISODE_REFUSED_BUSY;
    return rth__episode_rates_take(&rates, trigger, rth__clock_monotonic_ns_sigsafe());
}

/* Takes the one place there is. */
static enum rth_episode_refusal reserve(const struct rth_trigger *trigger, const char *reason,
                                        bool ask_folder)
{
    RTH__LOCK_SCOPE(&episode_lock);
    enum rth_episode_refusal refusal = refusal_locked(trigger, ask_folder);
    if (refusal != RTH_EPISODE_TAKEN) {
        counts.refused[refusal]++;
        return refusal;
    }
    int64_t unix_ns = rth__clock_realtime_ns_sigsafe();
    if (rth__episode_name_make(unix_ns / RTH_NS_PER_S, rth__identity()->pid, last_number + 1,
                               trigger->name, &asked.name) != 0) {
        counts.refused[RTH_EPISODE_REFUSED_NO_FOLDER]++;
        return RTH_EPISODE_REFUSED_NO_FOLDER;
    }
    last_number++;
    is_busy = true;
    asked.trigger = trigger;
    asked.unix_ns = unix_ns;
    rth__utf8_copy_line(asked.reason, sizeof(asked.reason), reason);
    return RTH_EPISODE_TAKEN;
}

bool rth__episode_is_busy(void)
{
    RTH__LOCK_SCOPE(&episode_lock);
    return is_busy;
}

static int error_of(enum rth_episode_refusal refusal)
{
    switch (refusal) {
    case RTH_EPISODE_TAKEN:
        return 0;
    case RTH_EPISODE_REFUSED_BUSY:
        return -EBUSY;
    case RTH_EPISODE_REFUSED_NO_FOLDER:
        return -ENOTSUP;
    default:
        return -EAGAIN;
    }
}

int rth__episode_trigger(const struct rth_trigger *trigger, const char *reason)
{
    enum rth_episode_refusal refusal = reserve(trigger, reason, false);
    if (refusal != RTH_EPISODE_TAKEN)
        return error_of(refusal);
    submit();
    return 0;
}

enum rth_episode_refusal rth__episode_take_now(const struct rth_trigger *trigger,
                                               const char *reason,
                                               const struct rth_episode_record **ret_record,
                                               const char **ret_folder)
{
    enum rth_episode_refusal refusal = reserve(trigger, reason, true);
    if (refusal == RTH_EPISODE_TAKEN)
        refusal = collect_reserved(true);
    if (refusal == RTH_EPISODE_TAKEN) {
        *ret_record = &record;
        *ret_folder = taken_in;
    }
    return refusal;
}

void rth__episode_note_end(void)
{
    rth__previous_note_end();
}

void rth__episode_danger_set(bool is_in_danger)
{
    rth__episode_danger_store(is_in_danger);
}

/* ---- life ---------------------------------------------------------------------------------- */

void rth__episode_counts_read(struct rth_episode_counts *ret_counts)
{
    RTH__LOCK_SCOPE(&episode_lock);
    *ret_counts = counts;
}

void rth__episode_take_start(const char *named)
{
    RTH__LOCK_SCOPE(&episode_lock);
    named_folder = named;
    folder_count = 0;
    has_no_folder = false;
    is_running = true;
}

void rth__episode_take_stop(void)
{
    RTH__LOCK_SCOPE(&episode_lock);
    is_running = false;
}

void rth__episode_take_child_reset(void)
{
    rth__lock_reset(&episode_lock);
    rth__episode_danger_store(false);
    memset(&rates, 0, sizeof(rates));
    memset(&counts, 0, sizeof(counts));
    is_running = is_busy = is_deferred = has_no_folder = false;
    last_number = 0;
    folder_count = 0;
}
