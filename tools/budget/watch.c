/* SPDX-License-Identifier: MIT */
#include "budget/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/procfs.h"

static bool has_file(int root_fd, const char *folder, const char *name)
{
    char path[RTH_CGROUP_PATH_BYTES + 64];
    struct stat info;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return fstatat(root_fd, path, &info, 0) == 0;
}

/* The machine's own cgroup, not one that looks like the top from inside of a namespace: only it has
 * the one file, and only it lacks the other. */
static bool is_real_root(int root_fd, const struct rth_cgroup_place *place)
{
    return place->version == 2 ? !has_file(root_fd, place->folder, "cgroup.type")
                               : has_file(root_fd, place->folder, "release_agent");
}

static unsigned count_lines(int root_fd, const char *path)
{
    char text[4096];
    unsigned lines = 0;
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, path, O_RDONLY);
    ssize_t got;
    while (fd >= 0 && (got = rth__read_some(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < got; i++)
            lines += text[i] == '\n';
    }
    return lines;
}

/* CPU time of the cgroup since it was made; false where it is not to be read. */
static bool read_group_cpu(const struct watch *watch, double *ret_seconds)
{
    char text[4096];
    if (rth__read_file_at(watch->place->root_fd, watch->cpu_file, text, sizeof(text)) <= 0)
        return false;
    static const char key[] = "usage_usec ";
    const char *at = strstr(text, key);
    double unit = at != NULL ? 1e6 : 1e9;
    *ret_seconds = strtod(at != NULL ? at + sizeof(key) - 1 : text, NULL) / unit;
    return true;
}

static void choose_memory(struct watch *watch)
{
    const struct rth_cgroup_place *memory = &watch->look->cgroups.memory;
    int root_fd = watch->place->root_fd;
    struct rth_cgroup_memory_usage usage;
    if (memory->version == 0 || memory->error != 0 || is_real_root(root_fd, memory) ||
        rth__cgroup_memory_usage_read(root_fd, memory->version, memory->folder, &usage) != 0 ||
        usage.current_bytes == UINT64_MAX)
        return;
    char path[RTH_CGROUP_PATH_BYTES + 32];
    snprintf(path, sizeof(path), "%s/cgroup.procs", memory->folder);
    watch->processes = count_lines(root_fd, path);
    watch->memory_is_cgroup = true;
}

static void choose_cpu(struct watch *watch)
{
    const struct rth_cgroup_place *cpu = &watch->look->cgroups.cpu;
    double seconds;
    snprintf(watch->cpu_file, sizeof(watch->cpu_file), "%s/%s", cpu->folder,
             cpu->version == 2 ? "cpu.stat" : "cpuacct.usage");
    watch->cpu_is_cgroup = watch->memory_is_cgroup && cpu->version != 0 && cpu->error == 0 &&
                           !is_real_root(watch->place->root_fd, cpu) &&
                           read_group_cpu(watch, &seconds);
    watch->cpu_is_known = watch->cpu_is_cgroup || watch->pid > 0;
}

int watch_open(struct watch *watch, const struct look_place *place, const struct look *look,
               unsigned seconds, char *ret_message, size_t message_size)
{
    *watch = (struct watch){
        .place = place,
        .look = look,
        .pid = place->pid,
        .capacity = (size_t)seconds + 2,
        .life_peak_bytes = -1,
        .group_peak_bytes = -1,
    };
    choose_memory(watch);
    choose_cpu(watch);
    if (watch->pid == 0 && !watch->memory_is_cgroup) {
        snprintf(
            ret_message, message_size,
            "this is in no cgroup of its own whose memory can be read: name a process to watch");
        return -ENOENT;
    }
    watch->memory = calloc(watch->capacity, sizeof(double));
    watch->cpu = calloc(watch->capacity, sizeof(double));
    if (watch->memory != NULL && watch->cpu != NULL)
        return 0;
    watch_close(watch);
    snprintf(ret_message, message_size, "out of memory");
    return -ENOMEM;
}

void watch_close(struct watch *watch)
{
    free(watch->memory);
    free(watch->cpu);
    watch->memory = watch->cpu = NULL;
}

/* VmHWM of the status. */
static int64_t read_life_peak(const struct watch *watch)
{
    char path[64], text[16384];
    static const char key[] = "\nVmHWM:";
    snprintf(path, sizeof(path), "proc/%d/status", (int)watch->pid);
    if (rth__read_file_at(watch->place->root_fd, path, text, sizeof(text)) <= 0)
        return -1;
    const char *at = strstr(text, key);
    return at != NULL ? (int64_t)strtoull(at + sizeof(key) - 1, NULL, 10) * 1024 : -1;
}

static int read_resident(const struct watch *watch, double *ret_bytes)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "proc/%d/statm", (int)watch->pid);
    ssize_t got = rth__read_file_at(watch->place->root_fd, path, text, sizeof(text));
    if (got < 0)
        return (int)got;
    char *resident;
    (void)strtoull(text, &resident, 10);
    *ret_bytes = (double)strtoull(resident, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
    return got == 0 ? -ESRCH : 0;
}

static int read_memory(struct watch *watch, double *ret_bytes)
{
    if (!watch->memory_is_cgroup)
        return read_resident(watch, ret_bytes);
    const struct rth_cgroup_place *memory = &watch->look->cgroups.memory;
    struct rth_cgroup_memory_usage usage;
    int error = rth__cgroup_memory_usage_read(watch->place->root_fd, memory->version,
                                              memory->folder, &usage);
    if (error != 0)
        return error;
    *ret_bytes = (double)rth__cgroup_memory_held(&usage);
    if (usage.peak_bytes != UINT64_MAX && usage.peak_bytes <= INT64_MAX)
        watch->group_peak_bytes = (int64_t)usage.peak_bytes;
    return 0;
}

/* CPU seconds so far. ret_stat is of the process, where there is one: it says whether it lives. */
static int read_cpu(const struct watch *watch, double *ret_seconds)
{
    struct rth_proc_stat stat;
    if (watch->pid > 0) {
        int error = rth__proc_stat_read(watch->place->root_fd, watch->pid, 0, &stat);
        if (error != 0)
            return error;
        if (stat.state == 'Z' || stat.state == 'X')
            return -ESRCH;
        *ret_seconds = (double)(stat.utime_ticks + stat.stime_ticks) / (double)sysconf(_SC_CLK_TCK);
    }
    if (watch->cpu_is_cgroup && !read_group_cpu(watch, ret_seconds))
        return -ENOENT;
    return 0;
}

static double clock_seconds(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Until then, or until a signal came. */
static void sleep_until(double then, const volatile sig_atomic_t *stop)
{
    double left;
    while (*stop == 0 && (left = then - clock_seconds()) > 0) {
        /* Short pieces: a signal just before the call would not end it. */
        double piece = left < 0.1 ? left : 0.1;
        struct timespec pause = {.tv_nsec = (long)(piece * 1e9)};
        (void)nanosleep(&pause, NULL);
    }
}

static void show_progress(const struct watch *watch, unsigned seconds)
{
    char bytes[LOOK_BYTES_TEXT];
    fprintf(stderr, "\rrthooks: %.0f of %u s: %s", watch->seconds, seconds,
            look_bytes_text((uint64_t)watch->memory[watch->memory_count - 1] & ~UINT64_C(0xfffff),
                            bytes));
    if (watch->cpu_count > 0)
        fprintf(stderr, ", %.2f processors", watch->cpu[watch->cpu_count - 1]);
    fputs("        ", stderr);
    fflush(stderr);
}

/* One look. 0 or a negative errno: there is nothing to see any more. */
static int look_once(struct watch *watch, double first, double *last, double *last_cpu)
{
    double memory = 0, cpu = 0, now = clock_seconds();
    int error = read_cpu(watch, &cpu);
    if (error == 0)
        error = read_memory(watch, &memory);
    if (error != 0)
        return error;
    if (watch->pid > 0) {
        int64_t peak = read_life_peak(watch);
        if (peak > watch->life_peak_bytes)
            watch->life_peak_bytes = peak;
    }
    if (watch->memory_count > 0 && watch->cpu_is_known && now > *last)
        watch->cpu[watch->cpu_count++] = cpu > *last_cpu ? (cpu - *last_cpu) / (now - *last) : 0;
    watch->memory[watch->memory_count++] = memory;
    watch->seconds = now - first;
    *last = now;
    *last_cpu = cpu;
    return 0;
}

int watch_run(struct watch *watch, unsigned seconds, volatile sig_atomic_t *stop, bool progress)
{
    double first = clock_seconds(), last = first, last_cpu = 0;
    for (unsigned look = 0; look <= seconds && *stop == 0; look++) {
        sleep_until(first + look, stop);
        int error = look_once(watch, first, &last, &last_cpu);
        if (error != 0) {
            if (watch->memory_count == 0)
                return error;
            watch->has_ended = true;
            break;
        }
        if (progress)
            show_progress(watch, seconds);
    }
    if (progress)
        fputs("\r\033[K", stderr);
    return 0;
}
