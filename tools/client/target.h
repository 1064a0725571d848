/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_CLIENT_TARGET_H
#define RTH_TOOLS_CLIENT_TARGET_H

/*
 * What a user may name: a process id, a Unix socket, a URL, a file. A process is turned into its
 * socket here: through /proc/PID/root, by the pid it has in its innermost namespace, in the
 * folders of os/rundir.h as that process saw them.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "os/procfs.h"

enum target_kind {
    TARGET_PID,
    TARGET_SOCKET,
    TARGET_URL,
    TARGET_FILE,
};

struct target {
    enum target_kind kind;
    pid_t pid;                     /* TARGET_PID */
    struct rth_proc_status status; /* TARGET_PID, read by target_process */
    char text[PATH_MAX];           /* as given; a URL with its scheme, without a final '/' */
    /* Filled by target_connectable for TARGET_PID and TARGET_SOCKET. */
    int folder_fd; /* -1 before */
    char socket_name[NAME_MAX + 1];
    char socket_path[PATH_MAX]; /* for people: as the process itself would name it */
};

/* Says what text is. Returns 0, or a negative errno with one line in ret_message. */
int target_parse(const char *text, struct target *ret_target, char *ret_message,
                 size_t message_size);
void target_close(struct target *target);

/*
 * TARGET_PID: reads its status. Returns 0; -ESRCH when there is no such process (stale sockets of
 * ours are removed then) or the number is a thread's; another negative errno; all with a line in
 * ret_message.
 */
int target_process(struct target *target, char *ret_message, size_t message_size);

/*
 * TARGET_PID, TARGET_SOCKET: finds the folder and name of the socket. Returns 0, or a negative
 * errno with a line in ret_message: -ENOENT no socket (not hooked, or the admin endpoint is off),
 * -ESRCH as above, -ECONNREFUSED a stale socket (removed when it was ours to remove).
 */
int target_find_socket(struct target *target, char *ret_message, size_t message_size);

#endif /* RTH_TOOLS_CLIENT_TARGET_H */
