/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CLIENT_PROCESS_H
#define RTH_TOOLS_CLIENT_PROCESS_H

/* Small facts and wordings about processes that several commands share. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Which libraries a process has mapped, by file name. */
struct process_maps {
    bool readable;
    bool runtime, interposer;
    bool glibc, musl;
};
struct process_maps process_maps(int root_fd, pid_t pid);

/* "running", "sleeping"… for a letter of /proc/PID/stat; the words of /debug/runtime/threads. */
const char *state_name(char state);

/* Seconds since boot, the clock of start times in /proc. */
double boot_seconds(void);

/* "12s", "3m04s", "5h20m", "12d03h". */
void duration_text(double seconds, char *ret_text, size_t text_size);

#endif /* RTH_TOOLS_CLIENT_PROCESS_H */
