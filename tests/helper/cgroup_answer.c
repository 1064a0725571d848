/* SPDX-License-Identifier: MIT */
/*
 * cgroup_answer [ROOT [PID]]: what os/cgroup.h finds for itself, or for a process of a copied tree,
 * one "key=value" a line; for tests that compare it with what others find.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/cgroup.h"

static void print_place(const char *name, const struct rth_cgroup_place *place)
{
    printf("%s_version=%d\n%s_error=%d\n%s_folder=%s\n%s_levels=%u\n%s_note=%s\n", name,
           place->version, name, place->error, name, place->folder, name, place->levels, name,
           place->note != NULL ? place->note : "");
}

static void print_limit(const char *name, const struct rth_cgroup_limit *limit)
{
    static const char *const kinds[] = {"none", "set", "unreadable"};
    printf("%s_kind=%s\n%s=%" PRIu64 "\n%s_level=%u\n%s_error=%d\n%s_source=%s\n", name,
           kinds[limit->kind], name, limit->value, name, limit->level, name, limit->error, name,
           limit->source);
}

int main(int argc, char **argv)
{
    static struct rth_cgroups cgroups;
    static struct rth_cgroup_memory_limits memory;
    static struct rth_cgroup_cpu_limits cpu;
    struct rth_cgroup_memory_usage usage;
    struct rth_cgroup_throttling throttling;
    uint64_t total_bytes = 0;
    int pid = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    int root_fd = open(argc > 1 ? argv[1] : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root_fd < 0) {
        perror(argc > 1 ? argv[1] : "/");
        return 2;
    }
    (void)rth__meminfo_total_read(root_fd, &total_bytes);
    int error = rth__cgroups_find(root_fd, pid, &cgroups);
    rth__cgroup_memory_limits_read(root_fd, &cgroups, total_bytes, &memory);
    rth__cgroup_cpu_limits_read(root_fd, pid, &cgroups, &cpu);
    printf("error=%d\ntotal=%" PRIu64 "\n", error, total_bytes);
    print_place("memory", &cgroups.memory);
    print_place("cpu", &cgroups.cpu);
    print_limit("max", &memory.max);
    print_limit("high", &memory.high);
    print_limit("swap", &memory.swap);
    print_limit("quota", &cpu.quota);
    printf("quota_period=%" PRIu64 "\naffinity=%u\nusage_folder=%s\nthrottle_folder=%s\n",
           cpu.quota.period_us, cpu.affinity, memory.usage_folder, cpu.throttle_folder);
    error =
        rth__cgroup_memory_usage_read(root_fd, cgroups.memory.version, memory.usage_folder, &usage);
    printf("usage_error=%d\n", error);
    if (error == 0)
        printf("current=%" PRIu64 "\nheld=%" PRIu64 "\n", usage.current_bytes,
               rth__cgroup_memory_held(&usage));
    error =
        rth__cgroup_throttling_read(root_fd, cgroups.cpu.version, cpu.throttle_folder, &throttling);
    printf("throttling_error=%d\n", error);
    return 0;
}
