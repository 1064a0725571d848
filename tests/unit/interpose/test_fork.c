/* SPDX-License-Identifier: MIT */
/* What the child of a fork notes, and who does not. */
#include "helper/unit.h"

#include <stdbool.h>
#include <sys/wait.h>

#include "unit/interpose/helper/fake.h"

static int status_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void child_of_fork_notes_its_birth(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    errno = 77;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fake.forked == 1 && fake.calm_points == 0 && errno == 77 ? 0 : 1);
    assert_int_equal(status_of(pid), 0);
    assert_int_equal(fake.forked, 0);
}

static void child_of_the_bare_fork_notes_its_birth(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    pid_t pid = _Fork();
    if (pid == 0)
        _exit(fake.forked == 1 ? 0 : 1);
    assert_int_equal(status_of(pid), 0);
    assert_int_equal(fake.forked, 0);
}

static void child_that_shares_memory_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(status_of(pid), 0);
    assert_int_equal(fake.forked, 0);
    assert_int_equal(*fake.enabled, 1);
}

static void grandchild_of_an_unadopted_child_notes_its_own(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(fake.forked == 2 ? 0 : 1);
        int status = 1;
        (void)waitpid(grandchild, &status, 0);
        _exit(status == 0 && fake.forked == 1 ? 0 : 1);
    }
    assert_int_equal(status_of(pid), 0);
}

static void without_a_runtime_fork_is_fork(void **state)
{
    (void)state;
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(5);
    assert_int_equal(WEXITSTATUS(status_of(pid)), 5);
}

RTH_TEST_MAIN(cmocka_unit_test(child_of_fork_notes_its_birth),
              cmocka_unit_test(child_of_the_bare_fork_notes_its_birth),
              cmocka_unit_test(child_that_shares_memory_changes_nothing),
              cmocka_unit_test(grandchild_of_an_unadopted_child_notes_its_own),
              cmocka_unit_test(without_a_runtime_fork_is_fork))
