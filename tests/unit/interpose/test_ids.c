/* SPDX-License-Identifier: MIT */
/* The set*id family. */
#include "helper/unit.h"

#include <stdbool.h>
#include <sys/wait.h>

#include "unit/interpose/helper/fake.h"

static void each_call_is_bracketed_once(void **state)
{
    (void)state;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    assert_int_equal(fake_runtime_attach(), 0);
    assert_int_equal(setuid(uid), 0);
    assert_int_equal(fake.ids, 1);
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(fake.ids, 2);
    assert_int_equal(setreuid(uid, uid), 0);
    assert_int_equal(fake.ids, 3);
    assert_int_equal(setresuid(uid, uid, uid), 0);
    assert_int_equal(fake.ids, 4);
    assert_int_equal(setgid(gid), 0);
    assert_int_equal(fake.ids, 5);
    assert_int_equal(setegid(gid), 0);
    assert_int_equal(fake.ids, 6);
    assert_int_equal(setregid(gid, gid), 0);
    assert_int_equal(fake.ids, 7);
    assert_int_equal(setresgid(gid, gid, gid), 0);
    assert_int_equal(fake.ids, 8);
}

static void failure_is_passed_on(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    errno = 0;
    assert_int_equal(setuid((uid_t)-1), -1);
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_int_equal(setegid((gid_t)-1), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(fake.ids, 2);
}

static void children_do_not_speak_for_the_owner(void **state)
{
    (void)state;
    gid_t gid = getegid();
    assert_int_equal(fake_runtime_attach(), 0);
    int status = 1;
    pid_t pid = vfork();
    if (pid == 0)
        _exit(setegid(gid) == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(fake.ids, 0);
    pid = fork();
    if (pid == 0)
        _exit(setegid(gid) == 0 && fake.ids == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void every_begin_has_its_end_and_learns_what_begin_said(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    fake.pauses_for_ids = true;
    assert_int_equal(setegid(getegid()), 0);
    assert_int_equal(setegid((gid_t)-1), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(fake.ids_begun, 0);
    assert_int_equal(fake.resumed, 2);
    assert_int_equal(fake.ids, 2);
}

RTH_TEST_MAIN(cmocka_unit_test(every_begin_has_its_end_and_learns_what_begin_said),
              cmocka_unit_test(each_call_is_bracketed_once), cmocka_unit_test(failure_is_passed_on),
              cmocka_unit_test(children_do_not_speak_for_the_owner))
