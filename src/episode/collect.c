/* SPDX-License-Identifier: MIT */
#include "episode/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/capability.h"
#include "core/work.h"
#include "episode/file.h"
#include "episode/store.h"
#include "os/clock.h"
#include "os/fd.h"

/* Threads that were asked for their stacks answer within milliseconds, and asking them is begun
 * anew meanwhile: those pauses are waited for. What waits longer is a capture of seconds, which an
 * episode has no time for. */
#define PAUSE_MAX_NS  (50 * RTH_NS_PER_MS)
#define PAUSES_MAX_NS (2 * RTH_NS_PER_S)

#define NUMBERS_TRIED 64

struct rth_episode_caps rth__episode_caps = {
    .artefact_bytes = UINT64_C(16) << 20,
    .episode_bytes = UINT64_C(64) << 20,
    .folder_bytes = UINT64_C(256) << 20,
    .folder_episodes = 16,
    .duration_ns = 30 * RTH_NS_PER_S,
};

static _Atomic bool in_danger;
/* Of the one episode that is collected: rth-work is one thread. */
static int64_t deadline_ns;
static struct rth_call call;

bool rth__episode_is_in_danger(void)
{
    return atomic_load_explicit(&in_danger, memory_order_acquire);
}

void rth__episode_danger_store(bool is_in_danger)
{
    atomic_store_explicit(&in_danger, is_in_danger, memory_order_release);
}

/* Why the episode ends before it is complete, NULL while it does not. */
static const char *ended_by(void)
{
    if (rth__episode_is_in_danger())
        return "danger: memory for collecting is not there any more";
    if (rth__work_is_cancelled())
        return "the process, or rthooks in it, stops";
    if (rth__clock_monotonic_ns_sigsafe() >= deadline_ns)
        return "it took too long";
    return NULL;
}

static bool is_cancelled(struct rth_sink *sink)
{
    (void)sink;
    return ended_by() != NULL;
}

/* ---- one artefact -------------------------------------------------------------------------- */

/* The artefact of that name, one of a row that runs before others. ret_row: its row. */
static const struct rth_artefact *find(const char *name, size_t name_bytes, size_t *ret_row)
{
    const struct rth_artefact *found = NULL;
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        bool runs = rth__capability_runtime_at(i)->state == RTH_CAPABILITY_RUNNING;
        for (size_t k = 0; k < row->artefact_count; k++) {
            const struct rth_artefact *artefact = &row->artefacts[k];
            if ((found != NULL && !runs) || (artefact->flags & RTH_ARTEFACT_PREFIX) != 0 ||
                strlen(artefact->name) != name_bytes ||
                memcmp(artefact->name, name, name_bytes) != 0)
                continue;
            found = artefact;
            *ret_row = i;
            if (runs)
                return found;
        }
    }
    return found;
}

/* What the file holds decides the end of its name, so that viewers know it. */
static void final_name(const struct rth_artefact *artefact, const char *content_type,
                       char ret_name[RTH_EPISODE_FILE_BYTES])
{
    const char *end = ".bin";
    if (strncmp(content_type, "application/json", 16) == 0)
        end = ".json";
    else if (strncmp(content_type, "text/", 5) == 0)
        end = ".txt";
    else if ((artefact->flags & RTH_ARTEFACT_PROFILE) != 0)
        end = ".pb.gz";
    (void)snprintf(ret_name, RTH_EPISODE_FILE_BYTES, "%.48s%s", artefact->name, end);
}

static void prepare_call(const struct rth_artefact *artefact, const char *query)
{
    memset(&call, 0, sizeof(call));
    call.artefact = artefact;
    call.params.query = query;
    call.params.query_bytes = query != NULL ? strlen(query) : 0;
    call.subpath = "";
    call.accept = "";
    call.status = 200;
    call.content_type = artefact->content_type;
    call.filename = artefact->name;
}

static void cancel_call(void)
{
    if (call.artefact->cancel != NULL)
        call.artefact->cancel(&call);
}

/* begin, and steps with their pauses. 0: write may follow. */
static int begin_call(struct rth_episode_entry *entry)
{
    int64_t wait_ns = 0, waited_ns = 0;
    int error = call.artefact->begin != NULL ? call.artefact->begin(&call, &wait_ns) : 0;
    while (error == 0 && wait_ns > 0) {
        waited_ns += wait_ns;
        if (wait_ns > PAUSE_MAX_NS || waited_ns > PAUSES_MAX_NS) {
            (void)snprintf(entry->why, sizeof(entry->why), "it would take %lld ms or more",
                           (long long)(waited_ns / RTH_NS_PER_MS));
            cancel_call();
            return -ETIME;
        }
        if (ended_by() != NULL) {
            cancel_call();
            return -ECANCELED;
        }
        rth__clock_sleep_until(rth__clock_monotonic_ns_sigsafe() + wait_ns);
        wait_ns = 0;
        if (call.artefact->step != NULL)
            error = call.artefact->step(&call, &wait_ns);
    }
    return error;
}

static int write_call(struct rth_episode_file *file, struct rth_episode_entry *entry)
{
    int error = begin_call(entry);
    if (error == 0)
        error = call.artefact->write(&call, &file->sink);
    if (error == 0)
        error = file->sink.error;
    /* An answer that says what is wrong is no evidence of anything else. */
    return error == 0 && call.status >= 400 && file->sink.written_bytes == 0 ? -EBADMSG : error;
}

static void run_artefact(int episode_fd, const struct rth_artefact *artefact, const char *query,
                         uint64_t limit_bytes, struct rth_episode_entry *entry)
{
    struct rth_episode_file file;
    char name[RTH_EPISODE_FILE_BYTES];
    (void)snprintf(name, sizeof(name), "%.48s", artefact->name);
    int error = rth__episode_file_begin(&file, episode_fd, name, limit_bytes, is_cancelled);
    if (error != 0) {
        (void)snprintf(entry->why, sizeof(entry->why), "%s", rth__episode_file_why(&file, error));
        return;
    }
    prepare_call(artefact, query);
    error = write_call(&file, entry);
    /* The sink's own error names the cause, whatever the writer made of it. */
    if (file.sink.error != 0)
        error = file.sink.error;
    final_name(artefact, call.content_type != NULL ? call.content_type : "", name);
    error = rth__episode_file_end(&file, error, name);
    if (error == 0) {
        (void)snprintf(entry->file, sizeof(entry->file), "%s", name);
        entry->bytes = file.sink.written_bytes;
    } else if (entry->why[0] == '\0') {
        bool has_message = call.message[0] != '\0' && file.sink.error == 0;
        (void)snprintf(entry->why, sizeof(entry->why), "%.238s",
                       has_message ? call.message : rth__episode_file_why(&file, error));
    }
}

static void collect_artefact(int episode_fd, uint64_t limit_bytes, struct rth_episode_entry *entry)
{
    const char *query = strchr(entry->spec, '?');
    size_t name_bytes = query != NULL ? (size_t)(query - entry->spec) : strlen(entry->spec);
    size_t row = 0;
    int64_t begin_ns = rth__clock_monotonic_ns_sigsafe();
    const struct rth_artefact *artefact = find(entry->spec, name_bytes, &row);
    if (artefact == NULL) {
        (void)snprintf(entry->why, sizeof(entry->why), "nothing has this name");
    } else if (rth__capability_runtime_at(row)->state != RTH_CAPABILITY_RUNNING) {
        const struct rth_capability_runtime *runtime = rth__capability_runtime_at(row);
        (void)snprintf(entry->why, sizeof(entry->why), "%s is %s%s%.160s",
                       rth__capability_at(row)->name, rth__capability_state_name(runtime->state),
                       runtime->reason[0] != '\0' ? ": " : "", runtime->reason);
    } else if (limit_bytes == 0) {
        (void)snprintf(entry->why, sizeof(entry->why), "the episode is as large as it may be");
    } else {
        run_artefact(episode_fd, artefact, query != NULL ? query + 1 : NULL, limit_bytes, entry);
    }
    entry->duration_ns = rth__clock_monotonic_ns_sigsafe() - begin_ns;
}

/* ---- the episode --------------------------------------------------------------------------- */

/* Replaces the document that was there. It is small, and without it nobody knows what was left out:
 * it may use of what stays free. */
static int write_document(int episode_fd, const struct rth_episode_record *record)
{
    struct rth_episode_file file;
    int error = rth__episode_file_begin(&file, episode_fd, RTH_EPISODE_DOCUMENT, UINT64_MAX, NULL);
    if (error != 0)
        return error;
    return rth__episode_file_end(&file, rth__episode_record_write(record, &file.sink),
                                 RTH_EPISODE_DOCUMENT);
}

static void collect_artefacts(int episode_fd, struct rth_episode_record *record)
{
    while (record->entry_count < record->planned_count) {
        record->ended_by = ended_by();
        if (record->ended_by != NULL)
            return;
        uint64_t left_bytes = rth__episode_caps.episode_bytes - record->bytes;
        if (left_bytes > rth__episode_caps.artefact_bytes)
            left_bytes = rth__episode_caps.artefact_bytes;
        struct rth_episode_entry *entry = &record->entries[record->entry_count];
        collect_artefact(episode_fd, left_bytes, entry);
        record->bytes += entry->bytes;
        record->entry_count++;
    }
    record->ended_by = ended_by();
}

static void plan(struct rth_episode_record *record, const char *const *artefacts)
{
    record->name.is_partial = true;
    record->is_over = false;
    record->ended_by = NULL;
    record->bytes = 0;
    record->entry_count = record->planned_count = 0;
    memset(record->entries, 0, sizeof(record->entries));
    for (; *artefacts != NULL && record->planned_count < RTH_EPISODE_ARTEFACT_MAX; artefacts++)
        record->entries[record->planned_count++].spec = *artefacts;
}

static bool is_taken(int folder_fd, const struct rth_episode_name *name)
{
    char folder[RTH_EPISODE_ID_BYTES + 8];
    struct stat status;
    struct rth_episode_name other = *name;
    other.is_partial = !name->is_partial;
    rth__episode_name_folder(&other, folder);
    if (fstatat(folder_fd, folder, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    rth__episode_name_folder(name, folder);
    return fstatat(folder_fd, folder, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The same pid counts anew after an exec, and in another container. */
static int find_number(int folder_fd, struct rth_episode_name *name)
{
    for (int i = 0; i < NUMBERS_TRIED && is_taken(folder_fd, name); i++) {
        int error =
            rth__episode_name_make(name->unix_s, name->pid, name->number + 1, name->trigger, name);
        if (error != 0)
            return error;
        name->is_partial = true;
    }
    return 0;
}

static int open_new(int folder_fd, struct rth_episode_record *record)
{
    char folder[RTH_EPISODE_ID_BYTES + 8];
    int error = find_number(folder_fd, &record->name);
    if (error != 0)
        return error;
    rth__episode_name_folder(&record->name, folder);
    if (mkdirat(folder_fd, folder, 0700) != 0)
        return -errno;
    (void)fchmodat(folder_fd, folder, 0700, 0); /* the umask may take the owner's bits */
    int fd = rth__episode_open(folder_fd, (uint32_t)geteuid(), &record->name);
    if (fd >= 0)
        rth__episode_mark_collecting(fd);
    else
        (void)unlinkat(folder_fd, folder, AT_REMOVEDIR);
    return fd;
}

/* A folder whose document could not be written at the end keeps the name of an unfinished one. */
static void give_final_name(int folder_fd, struct rth_episode_record *record)
{
    char folder[RTH_EPISODE_ID_BYTES + 8];
    rth__episode_name_folder(&record->name, folder);
    if (renameat(folder_fd, folder, folder_fd, record->name.id) == 0)
        record->name.is_partial = false;
}

int rth__episode_collect(int folder_fd, const char *const *artefacts,
                         struct rth_episode_record *record)
{
    int64_t begin_ns = rth__clock_monotonic_ns_sigsafe();
    deadline_ns = begin_ns + rth__episode_caps.duration_ns;
    plan(record, artefacts);
    RTH__AUTO_CLOSE int episode_fd = open_new(folder_fd, record);
    int error = episode_fd < 0 ? episode_fd : write_document(episode_fd, record);
    if (error != 0 && episode_fd >= 0) {
        episode_fd = rth__close(episode_fd);
        (void)rth__episode_remove(folder_fd, (uint32_t)geteuid(), &record->name);
    }
    if (error != 0)
        return error;
    collect_artefacts(episode_fd, record);
    record->duration_ns = rth__clock_monotonic_ns_sigsafe() - begin_ns;
    record->is_over = true;
    if (write_document(episode_fd, record) == 0)
        give_final_name(folder_fd, record);
    return 0;
}
