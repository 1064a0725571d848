/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_RUNDIR_H
#define RTH_OS_RUNDIR_H

/*
 * Where the Unix sockets live: the first of $XDG_RUNTIME_DIR/rthooks, /run/user/EUID/rthooks and
 * /tmp/rthooks-EUID that is ours (a directory, no symlink, owner the effective uid, mode 0700).
 * Shared by the process that binds and the tools that look for it (below /proc/PID/root).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_RUNDIR_CANDIDATES 3
#define RTH_RUNDIR_PATH_BYTES 256

/* Path of candidate `index` (0…2) for euid. -ENOENT when it does not apply (no XDG directory). */
int rth__rundir_candidate(unsigned index, uint32_t euid, const char *xdg_runtime_dir,
                          char *ret_path, size_t path_size);
/*
 * Opens a candidate below root_fd and checks it. create: mkdir it (its parent must exist).
 * Returns an fd; -ENOENT; -ELOOP or -ENOTDIR for a symlink or file; -EPERM for a foreign owner or
 * a mode other than 0700; another negative errno.
 */
int rth__rundir_open(int root_fd, const char *path, uint32_t euid, bool create);
/* "PID.sock" */
void rth__rundir_socket_name(int pid, char *ret_name, size_t name_size);
/*
 * A listening Unix socket PID.sock below dir_fd, mode 0600, non-blocking; whatever had the name is
 * replaced. It appears under its name only once it listens, so that no sweep takes it for a dead
 * one. Returns an fd or a negative errno.
 */
int rth__rundir_bind(int dir_fd, int pid, int backlog);
/* Removes sockets below dir_fd that nobody listens on (connect is refused). Returns how many. */
int rth__rundir_sweep(int dir_fd);
/* Removes PID.sock below dir_fd. */
void rth__rundir_remove(int dir_fd, int pid);
/* Connects to NAME below dir_fd through /proc/thread-self/fd, whatever the path's length.
 * nonblocking as told. Returns an fd or a negative errno. */
int rth__rundir_connect(int dir_fd, const char *name, bool nonblocking);

#endif /* RTH_OS_RUNDIR_H */
