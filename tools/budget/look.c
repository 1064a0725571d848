/* SPDX-License-Identifier: MIT */
#include "budget/look.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os/cgroup_parse.h"
#include "os/dir.h"
#include "os/fd.h"
#include "os/procfs.h"

#define LEVEL_FILE_BYTES 64 /* two numbers and more */

int look_place_open(pid_t pid, struct look_place *ret_place)
{
    int root_fd = rth__openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    if (root_fd < 0)
        return root_fd;
    *ret_place = (struct look_place){.root_fd = root_fd, .pid = pid};
    return 0;
}

/* The only process of a copied tree; 0 where there is "self", or nobody: /proc may have been
 * denied. -ENOENT without a proc, -EMLINK where there are several. */
static int only_process(int root_fd)
{
    struct stat info;
    struct rth_dir dir;
    if (fstatat(root_fd, "proc/self", &info, 0) == 0)
        return 0;
    int error = rth__dir_open(&dir, root_fd, "proc");
    if (error != 0)
        return error;
    int pid = rth__dir_next_number(&dir, &error);
    if (pid > 0 && rth__dir_next_number(&dir, &error) > 0)
        error = -EMLINK;
    rth__dir_close(&dir);
    return error != 0 ? error : pid;
}

int look_place_open_copy(const char *folder, pid_t pid, struct look_place *ret_place,
                         char *ret_message, size_t message_size)
{
    struct stat info;
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, folder, O_PATH | O_DIRECTORY);
    if (root_fd < 0) {
        snprintf(ret_message, message_size, "%s: %s", folder, strerror(-root_fd));
        return root_fd;
    }
    if (pid > 0) {
        char path[64];
        snprintf(path, sizeof(path), "proc/%d", (int)pid);
        if (fstatat(root_fd, path, &info, 0) < 0) {
            int error = -errno;
            snprintf(ret_message, message_size, "%s/%s: %s", folder, path, strerror(-error));
            return error;
        }
    } else {
        int found = only_process(root_fd);
        if (found < 0) {
            snprintf(ret_message, message_size,
                     found == -EMLINK ? "%s holds several processes: --pid N says which"
                                      : "%s is no copied /proc and /sys: it has no proc",
                     folder);
            return found;
        }
        pid = (pid_t)found;
    }
    *ret_place = (struct look_place){.root_fd = root_fd, .pid = pid, .is_copied = true};
    root_fd = -1;
    return 0;
}

void look_place_close(struct look_place *place)
{
    place->root_fd = rth__close(place->root_fd);
}

struct reading {
    struct rth_budget_settings settings;
    bool is_lazy;
};

static int read_limit(const char *text, struct reading *reading)
{
    return rth__budget_memory_limit_parse(text, &reading->settings);
}

static int read_ratio(const char *text, struct reading *reading)
{
    return rth__budget_ratio_parse(text, &reading->settings.memory_ratio);
}

static int read_cpu(const char *text, struct reading *reading)
{
    return rth__budget_cpu_limit_parse(text, &reading->settings);
}

static int read_round(const char *text, struct reading *reading)
{
    return rth__budget_cpu_round_parse(text, &reading->settings.cpu_round);
}

static int read_return(const char *text, struct reading *reading)
{
    reading->is_lazy = strcmp(text, "lazy") == 0;
    return reading->is_lazy || strcmp(text, "eager") == 0 ? 0 : -EINVAL;
}

int look_settings_read(struct rth_budget_settings *ret_settings, bool *ret_lazy, char *ret_message,
                       size_t message_size)
{
    static const struct {
        const char *name, *grammar;
        int (*read)(const char *text, struct reading *reading);
    } variables[] = {
        {"RTHOOKS_MEMORY_LIMIT", RTH_BUDGET_MEMORY_GRAMMAR, read_limit},
        {"RTHOOKS_MEMORY_RATIO", RTH_BUDGET_RATIO_GRAMMAR, read_ratio},
        {"RTHOOKS_CPU_LIMIT", RTH_BUDGET_CPU_GRAMMAR, read_cpu},
        {"RTHOOKS_CPU_ROUND", RTH_BUDGET_ROUND_GRAMMAR, read_round},
        {"RTHOOKS_RETURN", "eager or lazy", read_return},
    };
    struct reading reading = {.settings = RTH_BUDGET_SETTINGS_DEFAULT};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *value = getenv(variables[i].name);
        if (value == NULL || value[0] == '\0' || variables[i].read(value, &reading) == 0)
            continue;
        snprintf(ret_message, message_size, "%s: malformed value \"%.200s\"; it takes %s",
                 variables[i].name, value, variables[i].grammar);
        return -EINVAL;
    }
    *ret_settings = reading.settings;
    *ret_lazy = reading.is_lazy;
    return 0;
}

static struct level_value unreadable(int error)
{
    if (error == -ENOENT || error == -ENODEV || error == -EOPNOTSUPP)
        return (struct level_value){.kind = LEVEL_ABSENT};
    return (struct level_value){.kind = LEVEL_UNREADABLE, .error = error};
}

/* A file of one level: its length, or -1 and what stands in place of a value. */
static ssize_t read_level_file(int root_fd, const char *folder, const char *name,
                               char ret_text[LEVEL_FILE_BYTES], struct level_value *ret_instead)
{
    char path[RTH_CGROUP_PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    ssize_t got = rth__read_file_at(root_fd, path, ret_text, LEVEL_FILE_BYTES);
    if (got >= 0)
        return got;
    *ret_instead = unreadable(got == -EFBIG ? -EBADMSG : (int)got);
    return -1;
}

/* What a parser of os/cgroup_parse.h said, so that no level differs from what was decided. */
static void settle(int parsed, struct level_value *value)
{
    if (parsed < 0)
        *value = unreadable(parsed);
    else
        value->kind = parsed > 0 ? LEVEL_SET : LEVEL_UNLIMITED;
}

static struct level_value read_bytes(int root_fd, const char *folder, const char *name)
{
    char text[LEVEL_FILE_BYTES];
    struct level_value value = {0};
    ssize_t got = read_level_file(root_fd, folder, name, text, &value);
    if (got >= 0)
        settle(rth__cgroup_memory_limit_parse(text, (size_t)got, &value.value), &value);
    return value;
}

static struct level_value read_quota_v2(int root_fd, const char *folder)
{
    char text[LEVEL_FILE_BYTES];
    struct level_value value = {0};
    ssize_t got = read_level_file(root_fd, folder, "cpu.max", text, &value);
    if (got >= 0)
        settle(rth__cgroup_cpu_max_parse(text, (size_t)got, &value.value, &value.period_us),
               &value);
    return value;
}

static struct level_value read_quota_v1(int root_fd, const char *folder)
{
    char text[LEVEL_FILE_BYTES];
    struct level_value value = {0};
    ssize_t got = read_level_file(root_fd, folder, "cpu.cfs_quota_us", text, &value);
    if (got < 0)
        return value;
    int parsed = rth__cgroup_cfs_quota_parse(text, (size_t)got, &value.value);
    if (parsed > 0) {
        got = read_level_file(root_fd, folder, "cpu.cfs_period_us", text, &value);
        if (got < 0)
            return value;
        if (rth__cgroup_number_parse(text, (size_t)got, &value.period_us) != 0 ||
            value.period_us == 0)
            parsed = -EBADMSG;
    }
    settle(parsed, &value);
    return value;
}

static bool read_oom_group(int root_fd, const char *folder)
{
    char text[LEVEL_FILE_BYTES];
    struct level_value instead;
    return read_level_file(root_fd, folder, "memory.oom.group", text, &instead) > 0 &&
           text[0] == '1';
}

static void read_memory_level(int root_fd, int version, const char *folder, struct level *level)
{
    if (version == 2) {
        level->max = read_bytes(root_fd, folder, "memory.max");
        level->high = read_bytes(root_fd, folder, "memory.high");
        level->swap = read_bytes(root_fd, folder, "memory.swap.max");
        level->oom_group = read_oom_group(root_fd, folder);
    } else {
        level->max = read_bytes(root_fd, folder, "memory.limit_in_bytes");
        level->swap = read_bytes(root_fd, folder, "memory.memsw.limit_in_bytes");
    }
}

/* Takes the last component away; "/" stays. */
static void go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == path)
        slash[1] = '\0';
    else if (slash != NULL)
        *slash = '\0';
}

/* Every level of a place, from the process's own up to the mount. */
static void read_levels(int root_fd, const struct rth_cgroup_place *place, bool is_cpu,
                        struct level_list *ret_list)
{
    char folder[RTH_CGROUP_PATH_BYTES], path[RTH_CGROUP_PATH_BYTES];
    ret_list->count = 0;
    if (place->version == 0 || place->error != 0)
        return;
    memcpy(folder, place->folder, sizeof(folder));
    memcpy(path, place->hierarchy, sizeof(path));
    for (unsigned i = 0; i < place->levels && i < LOOK_LEVELS_MAX; i++) {
        struct level *level = &ret_list->rows[ret_list->count++];
        *level = (struct level){0};
        memcpy(level->path, path, sizeof(path));
        if (is_cpu)
            level->quota = place->version == 2 ? read_quota_v2(root_fd, folder)
                                               : read_quota_v1(root_fd, folder);
        else
            read_memory_level(root_fd, place->version, folder, level);
        go_up(folder);
        go_up(path);
    }
}

static int64_t resident_bytes(const struct look_place *place)
{
    struct rth_proc_status status;
    if (rth__proc_status_read(place->root_fd, place->pid, 0, &status) != 0)
        return -1;
    return (int64_t)(status.vm_rss_kib * 1024);
}

static uint64_t swap_of_machine(int root_fd)
{
    char text[8192];
    static const char key[] = "\nSwapTotal:";
    if (rth__read_file_at(root_fd, "proc/meminfo", text, sizeof(text)) <= 0)
        return 0;
    const char *at = strstr(text, key);
    return at != NULL ? strtoull(at + sizeof(key) - 1, NULL, 10) * 1024 : 0;
}

void look_take(const struct look_place *place, struct look *look)
{
    int root_fd = place->root_fd;
    look->pid = place->pid;
    (void)rth__cgroups_find(root_fd, place->pid, &look->cgroups);
    if (rth__meminfo_total_read(root_fd, &look->ram_bytes) != 0)
        look->ram_bytes = 0;
    look->swap_bytes = swap_of_machine(root_fd);
    rth__cgroup_memory_limits_read(root_fd, &look->cgroups, look->ram_bytes, &look->memory);
    rth__cgroup_cpu_limits_read(root_fd, place->pid, &look->cgroups, &look->cpu);
    look->usage_error = rth__cgroup_memory_usage_read(root_fd, look->cgroups.memory.version,
                                                      look->memory.usage_folder, &look->usage);
    look->throttling_error = rth__cgroup_throttling_read(
        root_fd, look->cgroups.cpu.version, look->cpu.throttle_folder, &look->throttling);
    /* Self is this tool, or the one that made the copy: nobody asked for it. */
    look->rss_bytes = place->pid > 0 ? resident_bytes(place) : -1;
    rth__budget_compute(&look->settings, &look->memory, &look->cpu, &look->budget);
    read_levels(root_fd, &look->cgroups.memory, false, &look->memory_levels);
    read_levels(root_fd, &look->cgroups.cpu, true, &look->cpu_levels);
}

const char *look_bytes_text(uint64_t bytes, char ret_text[LOOK_BYTES_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    bool is_whole = bytes % (UINT64_C(1) << (10 * unit)) == 0;
    snprintf(ret_text, LOOK_BYTES_TEXT, "%.*f %s", is_whole ? 0 : 1, value, units[unit]);
    return ret_text;
}

int look_memory_error(const struct rth_cgroup_memory_limits *memory)
{
    return memory->max.error != 0 ? memory->max.error : memory->high.error;
}

const char *look_error_text(int error)
{
    return error == -EBADMSG ? "not what a kernel writes" : strerror(-error);
}

const char *look_value_text(const struct level_value *value, char ret_text[LOOK_VALUE_TEXT])
{
    char bytes[LOOK_BYTES_TEXT];
    if (value->kind == LEVEL_ABSENT)
        snprintf(ret_text, LOOK_VALUE_TEXT, "-");
    else if (value->kind == LEVEL_UNLIMITED)
        snprintf(ret_text, LOOK_VALUE_TEXT, "unlimited");
    else if (value->kind == LEVEL_UNREADABLE)
        snprintf(ret_text, LOOK_VALUE_TEXT, "unreadable: %s", look_error_text(value->error));
    else if (value->period_us > 0)
        snprintf(ret_text, LOOK_VALUE_TEXT, "%.4g (%" PRIu64 "/%" PRIu64 " us)",
                 (double)value->value / (double)value->period_us, value->value, value->period_us);
    else
        snprintf(ret_text, LOOK_VALUE_TEXT, "%s", look_bytes_text(value->value, bytes));
    return ret_text;
}
