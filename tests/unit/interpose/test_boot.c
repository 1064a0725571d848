/* SPDX-License-Identifier: MIT */
/* What the interposer decides before main, and what main then finds in its environment. */
#include "helper/unit.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "unit/interpose/helper/run.h"

#define OURS "/nonexistent/librthooks_interpose.so:/nonexistent/librthooks.so"

static struct run run;

static void run_host(const char *const envp[])
{
    const char *argv[] = {RTH_TEST_HOST, "print", NULL};
    run_program(&run, argv, envp);
    assert_int_equal(run.status, 0);
}

static void chosen_process_finds_a_clean_environment(void **state)
{
    (void)state;
    const char *envp[] = {"A=1",
                          "LD_PRELOAD=" OURS,
                          "RTHOOKS_AUTOSTART=@SELF@",
                          "RTHOOKS_RUN_SET=RTHOOKS_ADMIN,RTHOOKS_SERVICE",
                          "RTHOOKS_ADMIN=off",
                          "RTHOOKS_SERVICE=x",
                          "RTHOOKS_LOG=info",
                          "B=2",
                          NULL};
    run_host(envp);
    assert_true(run_printed(&run, "autostart=1 said=0 follow=0"));
    assert_int_equal(run_count(&run, "main "), 3);
    assert_true(run_printed(&run, "main A=1"));
    assert_true(run_printed(&run, "main RTHOOKS_LOG=info"));
    assert_true(run_printed(&run, "main B=2"));
    assert_true(run_printed(&run, "saved RTHOOKS_ADMIN=off"));
    assert_true(run_printed(&run, "saved RTHOOKS_SERVICE=x"));
    assert_true(run_printed(&run, "saved RTHOOKS_AUTOSTART=@SELF@"));
}

static void users_preloads_stay_in_order_before_between_and_after_ours(void **state)
{
    (void)state;
    static const char *const lists[][2] = {
        {"/n/u1.so:/n/librthooks_interpose.so:/n/u2.so:/n/librthooks.so:/n/u3.so",
         "main LD_PRELOAD=/n/u1.so:/n/u2.so:/n/u3.so"},
        {"/n/librthooks_interpose.so:/n/librthooks.so:/n/u1.so /n/u2.so",
         "main LD_PRELOAD=/n/u1.so /n/u2.so"},
        {"/n/u1.so librthooks_interpose.so.0 librthooks.so.0.1.0", "main LD_PRELOAD=/n/u1.so"},
        {"/n/librthooks_interpose.so/u.so:/n/librthooks_other.so:librthooks.so",
         "main LD_PRELOAD=/n/librthooks_interpose.so/u.so:/n/librthooks_other.so"},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        char preload[512];
        (void)snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", lists[i][0]);
        const char *envp[] = {preload, "RTHOOKS_AUTOSTART=@SELF@", NULL};
        run_host(envp);
        assert_int_equal(run_count(&run, "main "), 1);
        assert_true(run_printed(&run, lists[i][1]));
    }
}

static void only_names_of_ours_count_as_settings(void **state)
{
    (void)state;
    const char *envp[] = {"RTHOOKS_AUTOSTART=@SELF@", "RTHOOKS_RUN_SET=PATH,,RTHOOKS_,RTHOOKS_AD",
                          "PATH=/bin", "RTHOOKS_ADMIN=off", NULL};
    run_host(envp);
    assert_true(run_printed(&run, "main PATH=/bin"));
    assert_true(run_printed(&run, "main RTHOOKS_ADMIN=off"));
    assert_int_equal(run_count(&run, "main "), 2);
}

static void another_pid_is_inert_and_keeps_its_environment(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "RTHOOKS_AUTOSTART=1:1",         "RTHOOKS_AUTOSTART=",    "RTHOOKS_AUTOSTART=@SELF@0",
        "RTHOOKS_AUTOSTART=@SELF@:more", "RTHOOKS_AUTOSTART=any", "RTHOOKS_AUTOSTART=-1",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *envp[] = {"LD_PRELOAD=" OURS, wrong[i], "RTHOOKS_RUN_SET=RTHOOKS_ADMIN",
                              "RTHOOKS_ADMIN=off", NULL};
        run_host(envp);
        assert_true(run_printed(&run, "autostart=0 said=0 follow=0"));
        assert_int_equal(run_count(&run, "main "), 4);
        assert_int_equal(run_count(&run, "saved "), 0);
        assert_true(run_printed(&run, "main LD_PRELOAD=" OURS));
    }
}

static void without_autostart_nothing_is_taken(void **state)
{
    (void)state;
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_RUN_SAID=@SELF@", "RTHOOKS_RUN_FOLLOW=1",
                          NULL};
    run_host(envp);
    assert_true(run_printed(&run, "autostart=0 said=0 follow=0"));
    assert_int_equal(run_count(&run, "main "), 3);
}

static void start_line_counts_as_said_for_the_same_process_only(void **state)
{
    (void)state;
    const char *same[] = {"RTHOOKS_AUTOSTART=@SELF@", "RTHOOKS_RUN_SAID=@SELF@", NULL};
    run_host(same);
    assert_true(run_printed(&run, "autostart=1 said=1 follow=0"));
    assert_int_equal(run_count(&run, "main "), 0);
    const char *parents[] = {"RTHOOKS_AUTOSTART=@SELF@", "RTHOOKS_RUN_SAID=1:2", NULL};
    run_host(parents);
    assert_true(run_printed(&run, "autostart=1 said=0 follow=0"));
}

static void follow_starts_any_pid_and_leaves_the_environment(void **state)
{
    (void)state;
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=1:1", "RTHOOKS_RUN_FOLLOW=1",
                          NULL};
    run_host(envp);
    assert_true(run_printed(&run, "autostart=1 said=0 follow=1"));
    assert_int_equal(run_count(&run, "main "), 3);
    assert_true(run_printed(&run, "saved RTHOOKS_AUTOSTART=any"));
}

static void match_by_file_name_starts_and_cleans(void **state)
{
    (void)state;
    const char *envp[] = {"RTHOOKS_AUTOSTART=any", "RTHOOKS_RUN_MATCH=interpose_host", NULL};
    run_host(envp);
    assert_true(run_printed(&run, "autostart=1 said=0 follow=0"));
    assert_int_equal(run_count(&run, "main "), 0);
}

static void match_by_path_compares_the_whole_path(void **state)
{
    (void)state;
    char path[PATH_MAX];
    char match[PATH_MAX + 32];
    assert_non_null(realpath(RTH_TEST_HOST, path));
    (void)snprintf(match, sizeof(match), "RTHOOKS_RUN_MATCH=%s", path);
    const char *right[] = {"RTHOOKS_AUTOSTART=any", match, NULL};
    run_host(right);
    assert_true(run_printed(&run, "autostart=1 said=0 follow=0"));
    const char *wrong[] = {"RTHOOKS_AUTOSTART=any", "RTHOOKS_RUN_MATCH=./interpose_host", NULL};
    run_host(wrong);
    assert_true(run_printed(&run, "autostart=0 said=0 follow=0"));
}

static void process_that_does_not_match_keeps_its_environment(void **state)
{
    (void)state;
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=@SELF@",
                          "RTHOOKS_RUN_MATCH=interpose_hos", NULL};
    run_host(envp);
    assert_true(run_printed(&run, "autostart=0 said=0 follow=0"));
    assert_int_equal(run_count(&run, "main "), 3);
}

static void copy_file(const char *from, const char *to)
{
    static char block[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    assert_true(in >= 0 && out >= 0);
    ssize_t length;
    while ((length = read(in, block, sizeof(block))) > 0)
        assert_int_equal(write(out, block, (size_t)length), length);
    (void)close(in);
    (void)close(out);
}

static void privileged_program_ignores_our_variables(void **state)
{
    (void)state;
    if (geteuid() != 0)
        RTH_SKIP("only root can make a setgid program of another group");
    char folder[] = "/tmp/rth-interpose-XXXXXX";
    char program[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(program, sizeof(program), "%s/host", folder);
    copy_file(RTH_TEST_HOST, program);
    assert_int_equal(chown(program, 0, 65534), 0);
    assert_int_equal(chmod(program, 02755), 0);
    const char *argv[] = {program, "print", NULL};
    const char *envp[] = {"RTHOOKS_AUTOSTART=@SELF@", "RTHOOKS_RUN_FOLLOW=1", NULL};
    run_program(&run, argv, envp);
    (void)unlink(program);
    (void)rmdir(folder);
    assert_int_equal(run.status, 0);
    if (run_printed(&run, "secure=0"))
        RTH_SKIP("setgid has no effect in the folder for temporary files");
    assert_true(run_printed(&run, "autostart=0 said=0 follow=0"));
    assert_int_equal(run_count(&run, "main "), 2);
}

static void wrappers_work_before_the_constructor(void **state)
{
    (void)state;
    const char *argv[] = {RTH_TEST_SHOW, NULL};
    const char *envp[] = {"LD_PRELOAD=" RTH_TEST_INTERPOSE ":" RTH_TEST_EARLY,
                          "RTHOOKS_AUTOSTART=@SELF@", NULL};
    run_program(&run, argv, envp);
    assert_int_equal(run.status, 0);
    assert_true(run_printed(&run, "early dlopen=1 sigaction=-1 errno=1 poll=0 mmap=1 before boot"));
    /* And boot came afterwards. */
    assert_true(run_printed(&run, "LD_PRELOAD=" RTH_TEST_EARLY));
    assert_int_equal(run_count(&run, "RTHOOKS_"), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(chosen_process_finds_a_clean_environment),
              cmocka_unit_test(users_preloads_stay_in_order_before_between_and_after_ours),
              cmocka_unit_test(only_names_of_ours_count_as_settings),
              cmocka_unit_test(another_pid_is_inert_and_keeps_its_environment),
              cmocka_unit_test(without_autostart_nothing_is_taken),
              cmocka_unit_test(start_line_counts_as_said_for_the_same_process_only),
              cmocka_unit_test(follow_starts_any_pid_and_leaves_the_environment),
              cmocka_unit_test(match_by_file_name_starts_and_cleans),
              cmocka_unit_test(match_by_path_compares_the_whole_path),
              cmocka_unit_test(process_that_does_not_match_keeps_its_environment),
              cmocka_unit_test(privileged_program_ignores_our_variables),
              cmocka_unit_test(wrappers_work_before_the_constructor))
