/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/rundir.h"

static char root[] = "/tmp/rthooks-rundir-XXXXXX";
static int root_fd = -1;

/* A root of its own for each case: cases run in processes of their own or one after another. */
static void set_up(void)
{
    memcpy(root + sizeof(root) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(root));
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    assert_int_equal(mkdirat(root_fd, "run", 0755), 0);
}

static void tear_down(void)
{
    assert_int_equal(close(root_fd), 0);
    static const char *const names[] = {"run/r/7.sock",   "run/r/8.sock", "run/r/9.sock",
                                        "run/r/.9.tmp",   "run/r/note",   "run/r/12x.sock",
                                        "run/r/file.sock"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        (void)unlink(path);
    }
    static const char *const rest[] = {"run/r", "run/link", "run/elsewhere", "run", "tmp"};
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", root, rest[i]);
        (void)remove(path);
    }
    assert_int_equal(rmdir(root), 0);
}

static int open_run(bool create)
{
    int fd = rth__rundir_open(root_fd, "/run/r", (uint32_t)geteuid(), create);
    return fd;
}

static bool exists(int dir_fd, const char *name)
{
    struct stat status;
    return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void candidates_come_in_order_and_xdg_may_be_missing(void **state)
{
    (void)state;
    char path[RTH_RUNDIR_PATH_BYTES];
    assert_int_equal(rth__rundir_candidate(0, 5, "/x/y", path, sizeof(path)), 0);
    assert_string_equal(path, "/x/y/rthooks");
    assert_int_equal(rth__rundir_candidate(0, 5, NULL, path, sizeof(path)), -ENOENT);
    assert_int_equal(rth__rundir_candidate(0, 5, "", path, sizeof(path)), -ENOENT);
    assert_int_equal(rth__rundir_candidate(0, 5, "relative", path, sizeof(path)), -ENOENT);
    assert_int_equal(rth__rundir_candidate(1, 5, NULL, path, sizeof(path)), 0);
    assert_string_equal(path, "/run/user/5/rthooks");
    assert_int_equal(rth__rundir_candidate(2, 4294967295u, NULL, path, sizeof(path)), 0);
    assert_string_equal(path, "/tmp/rthooks-4294967295");
    assert_int_equal(rth__rundir_candidate(3, 5, NULL, path, sizeof(path)), -ENOENT);
    assert_int_equal(rth__rundir_candidate(1, 5, NULL, path, 8), -ENAMETOOLONG);
    char longer[RTH_RUNDIR_PATH_BYTES];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(rth__rundir_candidate(0, 5, longer, path, sizeof(path)), -ENAMETOOLONG);
}

static void a_missing_folder_is_made_0700_when_asked_whatever_the_umask(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(open_run(false), -ENOENT);
    mode_t old = umask(0277);
    int fd = open_run(true);
    (void)umask(old);
    assert_true(fd >= 0);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(close(fd), 0);
    fd = open_run(false);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    tear_down();
}

static void a_missing_parent_is_not_made(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(rth__rundir_open(root_fd, "/no/r", (uint32_t)geteuid(), true), -ENOENT);
    assert_int_equal(rth__rundir_open(root_fd, "run/r", (uint32_t)geteuid(), true), -EINVAL);
    assert_int_equal(rth__rundir_open(root_fd, "/run/", (uint32_t)geteuid(), true), -EINVAL);
    assert_false(exists(root_fd, "no"));
    tear_down();
}

static void a_folder_that_others_may_enter_is_refused_and_left_alone(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(mkdirat(root_fd, "run/r", 0700), 0);
    assert_int_equal(fchmodat(root_fd, "run/r", 0755, 0), 0);
    assert_int_equal(open_run(true), -EPERM);
    struct stat status;
    assert_int_equal(fstatat(root_fd, "run/r", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0755);
    tear_down();
}

static void a_foreign_owner_is_refused(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(mkdirat(root_fd, "run/r", 0700), 0);
    assert_int_equal(rth__rundir_open(root_fd, "/run/r", (uint32_t)geteuid() + 1, true), -EPERM);
    tear_down();
}

static void a_squatted_name_is_refused(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(mkdirat(root_fd, "run/elsewhere", 0700), 0);
    assert_int_equal(symlinkat("elsewhere", root_fd, "run/link"), 0);
    int error = rth__rundir_open(root_fd, "/run/link", (uint32_t)geteuid(), true);
    assert_true(error == -ELOOP || error == -ENOTDIR);
    int file = openat(root_fd, "run/r", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
    assert_int_equal(open_run(true), -ENOTDIR);
    tear_down();
}

static void links_on_the_way_stay_below_the_root(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(symlinkat("/run", root_fd, "tmp"), 0);
    int fd = rth__rundir_open(root_fd, "/tmp/r", (uint32_t)geteuid(), true);
    if (fd < 0 && !exists(root_fd, "run/r")) {
        tear_down();
        RTH_SKIP("this kernel has no openat2");
    }
    assert_true(fd >= 0);
    assert_true(exists(root_fd, "run/r"));
    assert_int_equal(close(fd), 0);
    tear_down();
}

static void a_bound_socket_is_private_and_answers_and_goes_when_removed(void **state)
{
    (void)state;
    set_up();
    int dir_fd = open_run(true);
    assert_true(dir_fd >= 0);
    int listener = rth__rundir_bind(dir_fd, 7, 4);
    assert_true(listener >= 0);
    assert_false(exists(dir_fd, ".7.tmp"));
    struct stat status;
    assert_int_equal(fstatat(dir_fd, "7.sock", &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    int client = rth__rundir_connect(dir_fd, "7.sock", false);
    assert_true(client >= 0);
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(rth__rundir_connect(dir_fd, "8.sock", true), -ENOENT);
    rth__rundir_remove(dir_fd, 7);
    assert_false(exists(dir_fd, "7.sock"));
    assert_int_equal(close(server) | close(client) | close(listener) | close(dir_fd), 0);
    tear_down();
}

static void binding_replaces_whatever_had_the_name(void **state)
{
    (void)state;
    set_up();
    int dir_fd = open_run(true);
    int file = openat(dir_fd, "7.sock", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
    int listener = rth__rundir_bind(dir_fd, 7, 4);
    assert_true(listener >= 0);
    int client = rth__rundir_connect(dir_fd, "7.sock", true);
    assert_true(client >= 0);
    assert_int_equal(close(client) | close(listener) | close(dir_fd), 0);
    tear_down();
}

static void a_sweep_keeps_live_sockets_and_foreign_files_and_removes_dead_ones(void **state)
{
    (void)state;
    set_up();
    int dir_fd = open_run(true);
    int live = rth__rundir_bind(dir_fd, 7, 4);
    int dead = rth__rundir_bind(dir_fd, 8, 4);
    assert_true(live >= 0 && dead >= 0);
    assert_int_equal(close(dead), 0);
    static const char *const others[] = {"note", "12x.sock", "file.sock"};
    for (size_t i = 0; i < 3; i++) {
        int file = openat(dir_fd, others[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        assert_int_equal(close(file), 0);
    }
    assert_int_equal(rth__rundir_sweep(dir_fd), 1);
    assert_true(exists(dir_fd, "7.sock"));
    assert_false(exists(dir_fd, "8.sock"));
    for (size_t i = 0; i < 3; i++)
        assert_true(exists(dir_fd, others[i]));
    assert_int_equal(rth__rundir_sweep(dir_fd), 0);
    assert_int_equal(close(live) | close(dir_fd), 0);
    tear_down();
}

static void a_sweep_keeps_a_live_socket_whose_queue_is_full(void **state)
{
    (void)state;
    set_up();
    int dir_fd = open_run(true);
    int live = rth__rundir_bind(dir_fd, 7, 0);
    assert_true(live >= 0);
    int clients[8], count = 0;
    while (count < 8 && (clients[count] = rth__rundir_connect(dir_fd, "7.sock", true)) >= 0)
        count++;
    assert_true(count < 8); /* the queue is full */
    assert_int_equal(rth__rundir_sweep(dir_fd), 0);
    assert_true(exists(dir_fd, "7.sock"));
    while (count > 0)
        assert_int_equal(close(clients[--count]), 0);
    assert_int_equal(close(live) | close(dir_fd), 0);
    tear_down();
}

RTH_TEST_MAIN(cmocka_unit_test(candidates_come_in_order_and_xdg_may_be_missing),
              cmocka_unit_test(a_missing_folder_is_made_0700_when_asked_whatever_the_umask),
              cmocka_unit_test(a_missing_parent_is_not_made),
              cmocka_unit_test(a_folder_that_others_may_enter_is_refused_and_left_alone),
              cmocka_unit_test(a_foreign_owner_is_refused),
              cmocka_unit_test(a_squatted_name_is_refused),
              cmocka_unit_test(links_on_the_way_stay_below_the_root),
              cmocka_unit_test(a_bound_socket_is_private_and_answers_and_goes_when_removed),
              cmocka_unit_test(binding_replaces_whatever_had_the_name),
              cmocka_unit_test(a_sweep_keeps_live_sockets_and_foreign_files_and_removes_dead_ones),
              cmocka_unit_test(a_sweep_keeps_a_live_socket_whose_queue_is_full))
