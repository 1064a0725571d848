/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_PROCFS_H
#define RTH_OS_PROCFS_H

/*
 * Readers of /proc. Every one takes root_fd, a directory that holds "proc" (the real "/" or a
 * fixture tree), and a pid (0 = self) and, for per-thread files, a tid (0 = the process file).
 * Each parser is separate from its reader, takes text, fills a local struct and commits only when
 * the whole text was good: 0, or -EBADMSG for text the kernel would not write.
 * No allocation, no locale, no lock: fit for rth-admin, rth-work, rth-collect and the tools.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RTH_COMM_BYTES 64 /* the kernel's 16, and room for kworker names */

struct rth_proc_stat {
    int pid;
    char comm[RTH_COMM_BYTES]; /* may hold spaces and ')' */
    char state;                /* R S D T t Z X I */
    int ppid;
    uint64_t utime_ticks, stime_ticks;   /* of 1/sysconf(_SC_CLK_TCK) s */
    uint64_t cutime_ticks, cstime_ticks; /* of waited-for children */
    int64_t num_threads;
    uint64_t starttime_ticks; /* since boot */
    uint64_t vsize_bytes;
    int64_t rss_pages;
    int processor;
};
int rth__proc_stat_parse(const char *text, size_t size_bytes, struct rth_proc_stat *ret_stat);
int rth__proc_stat_read(int root_fd, int pid, int tid, struct rth_proc_stat *ret_stat);
/* "running" (or ready to), "sleeping", "disk", "stopped", "traced", "zombie", "idle", "dead". */
const char *rth__proc_state_name(char state);

struct rth_proc_status {
    char name[RTH_COMM_BYTES];
    uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
    int tgid, ppid, tracer_pid;
    int ns_pid; /* the innermost of NSpid (pid where it is missing) */
    int threads;
    uint64_t vm_rss_kib, vm_size_kib;
    uint64_t vm_data_kib, rss_anon_kib;   /* private and writable; anonymous and resident */
    uint64_t rss_file_kib, rss_shmem_kib; /* resident: of files; shared, without a file */
    uint64_t vm_stack_kib;                /* of the main thread */
    uint64_t cap_effective, cap_permitted;
    int no_new_privs;                         /* -1 where the kernel does not say */
    int seccomp;                              /* 0 off, 1 strict, 2 filter, -1 unknown */
    int seccomp_filters;                      /* how many; -1 where the kernel does not say */
    uint64_t sig_pending, sig_pending_shared; /* of the thread, of the process */
    uint64_t sig_blocked, sig_ignored, sig_caught;
    uint64_t sig_queued, sig_queued_limit; /* SigQ */
};
int rth__proc_status_parse(const char *text, size_t size_bytes, struct rth_proc_status *ret_status);
int rth__proc_status_read(int root_fd, int pid, int tid, struct rth_proc_status *ret_status);

struct rth_proc_schedstat {
    uint64_t run_ns, wait_ns, slices;
};
int rth__proc_schedstat_parse(const char *text, size_t size_bytes,
                              struct rth_proc_schedstat *ret_schedstat);
int rth__proc_schedstat_read(int root_fd, int pid, int tid,
                             struct rth_proc_schedstat *ret_schedstat);

#define RTH_PROC_SYSCALL_ARGUMENTS 6

/* /proc/PID/task/TID/syscall: where a thread left user space. */
struct rth_proc_syscall {
    bool running;   /* in user space or on its way: nothing else is known */
    int64_t number; /* of the system call; -1: not in one (a page fault, a stop) */
    uint64_t arguments[RTH_PROC_SYSCALL_ARGUMENTS]; /* when number is not -1 */
    uint64_t sp, pc;
};
int rth__proc_syscall_parse(const char *text, size_t size_bytes,
                            struct rth_proc_syscall *ret_syscall);
/* -EACCES where the kernel keeps it from us: a process that has changed its user. */
int rth__proc_syscall_read(int root_fd, int pid, int tid, struct rth_proc_syscall *ret_syscall);

#define RTH_PROC_UNLIMITED UINT64_MAX
struct rth_proc_limits {
    uint64_t open_files_soft, open_files_hard;       /* RTH_PROC_UNLIMITED for "unlimited" */
    uint64_t address_space_soft, address_space_hard; /* bytes */
    uint64_t sigpending_soft, sigpending_hard;
};
int rth__proc_limits_parse(const char *text, size_t size_bytes, struct rth_proc_limits *ret_limits);
int rth__proc_limits_read(int root_fd, int pid, struct rth_proc_limits *ret_limits);

/* IpExt InOctets and OutOctets of /proc/PID/net/netstat (the network namespace's, as
 * client_golang reports them). */
struct rth_proc_netstat {
    uint64_t in_octets, out_octets;
};
int rth__proc_netstat_parse(const char *text, size_t size_bytes,
                            struct rth_proc_netstat *ret_netstat);
int rth__proc_netstat_read(int root_fd, int pid, struct rth_proc_netstat *ret_netstat);

/* Boot time in seconds since the epoch ("btime" of /proc/stat). */
int rth__proc_boot_time_parse(const char *text, size_t size_bytes, uint64_t *ret_boot_time_s);
int rth__proc_boot_time_read(int root_fd, uint64_t *ret_boot_time_s);

/* Kernel function a thread sleeps in, "" when it runs or the kernel does not say. */
int rth__proc_wchan_read(int root_fd, int pid, int tid, char *ret_wchan, size_t wchan_size);
/* argv joined by NUL, as /proc gives it. Returns bytes (cut at capacity) or a negative errno. */
ssize_t rth__proc_cmdline_read(int root_fd, int pid, char *ret_cmdline, size_t capacity_bytes);
/* Number of open descriptors. A negative errno where the directory cannot be read. */
int rth__proc_fd_count(int root_fd, int pid);
/* readlink of "exe"; " (deleted)" stripped and told. */
int rth__proc_exe_read(int root_fd, int pid, char *ret_path, size_t path_size, bool *ret_deleted);

#endif /* RTH_OS_PROCFS_H */
