/* SPDX-License-Identifier: MIT */
/* Who gets our entries of the environment back, through every way to start a program. */
#include "helper/unit.h"

#include "unit/interpose/helper/run.h"

/* Preloads that are not there: the program that prints its environment stays without us. */
#define OURS "/nonexistent/librthooks_interpose.so:/nonexistent/librthooks.so"

static struct run run;

static void run_host(const char *action, const char *program, const char *const envp[])
{
    const char *argv[] = {RTH_TEST_HOST, action, program, NULL};
    run_program(&run, argv, envp);
    assert_int_equal(run.status, 0);
}

static const char *const chosen[] = {"LD_PRELOAD=/n/u1.so:" OURS ":/n/u2.so",
                                     "RTHOOKS_AUTOSTART=@SELF@", "RTHOOKS_RUN_SET=RTHOOKS_ADMIN",
                                     "RTHOOKS_ADMIN=off", NULL};

static const char *const followed[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=1:1",
                                       "RTHOOKS_RUN_FOLLOW=1", NULL};

static void same_pid_gets_everything_back_in_every_form(void **state)
{
    (void)state;
    static const char *const forms[] = {"execve", "execv", "execvp", "execl", "execlp"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        run_host(forms[i], RTH_TEST_SHOW, chosen);
        assert_int_equal(run_count(&run, "main "), 1);
        assert_true(run_printed(&run, "argc=2"));
        assert_true(run_printed(&run, "LD_PRELOAD=" OURS ":/n/u1.so:/n/u2.so"));
        assert_true(run_printed(&run, "RTHOOKS_AUTOSTART=@SELF@"));
        assert_true(run_printed(&run, "RTHOOKS_RUN_SET=RTHOOKS_ADMIN"));
        assert_true(run_printed(&run, "RTHOOKS_ADMIN=off"));
        assert_int_equal(run_count(&run, "RTHOOKS_RUN_SAID"), 0);
    }
}

static void same_pid_gets_everything_back_in_a_given_environment(void **state)
{
    (void)state;
    static const char *const forms[] = {"execve-filtered", "execvpe", "execle", "fexecve",
                                        "execveat"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        run_host(forms[i], RTH_TEST_SHOW, chosen);
        assert_true(run_printed(&run, "argc=2"));
        assert_true(run_printed(&run, "ONLY=this"));
        assert_true(run_printed(&run, "LD_PRELOAD=" OURS));
        assert_true(run_printed(&run, "RTHOOKS_AUTOSTART=@SELF@"));
        assert_true(run_printed(&run, "RTHOOKS_ADMIN=off"));
    }
}

static void second_image_of_the_pid_starts_again_and_knows_what_was_said(void **state)
{
    (void)state;
    const char *argv[] = {RTH_TEST_HOST, "attached-execve", RTH_TEST_HOST, NULL};
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=@SELF@", NULL};
    run_program(&run, argv, envp);
    /* The second image gets "one" as its action, which is none: it ends with 1. */
    assert_int_equal(run.status, 1);
    assert_true(run_printed(&run, "autostart=1 said=0 follow=0"));
    assert_true(run_printed(&run, "autostart=1 said=1 follow=0"));
    assert_int_equal(run_count(&run, "main "), 0);
}

static void said_is_handed_on_without_a_runtime_when_an_earlier_image_said_it(void **state)
{
    (void)state;
    const char *envp[] = {"RTHOOKS_AUTOSTART=@SELF@", "RTHOOKS_RUN_SAID=@SELF@", NULL};
    run_host("execve", RTH_TEST_SHOW, envp);
    assert_true(run_printed(&run, "RTHOOKS_RUN_SAID=@SELF@"));
    /* Nothing was preloaded, nothing is. */
    assert_int_equal(run_count(&run, "LD_PRELOAD"), 0);
}

static void children_of_a_chosen_process_are_clean(void **state)
{
    (void)state;
    static const char *const actions[] = {"vfork", "fork", "spawn", "spawnp", "system"};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        run_host(actions[i], RTH_TEST_SHOW, chosen);
        assert_int_equal(run_count(&run, "argc="), 1);
        assert_int_equal(run_count(&run, "RTHOOKS_"), 0);
        assert_int_equal(run_count(&run, "LD_PRELOAD=/nonexistent"), 0);
    }
}

static void failed_exec_leaves_everything_as_it_was(void **state)
{
    (void)state;
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=@SELF@", NULL};
    run_host("missing", "", envp);
    assert_true(run_printed(&run, "exec=-1 errno=ENOENT preload=none"));
}

static void wrong_pid_hands_on_nothing(void **state)
{
    (void)state;
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=1:1", NULL};
    run_host("execve-filtered", RTH_TEST_SHOW, envp);
    assert_true(run_printed(&run, "ONLY=this"));
    assert_int_equal(run_count(&run, "RTHOOKS_"), 0);
    assert_int_equal(run_count(&run, "LD_PRELOAD"), 0);
}

static void follow_reaches_children_with_a_filtered_environment(void **state)
{
    (void)state;
    static const char *const actions[] = {"vfork", "fork", "spawn", "execve-filtered"};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        run_host(actions[i], RTH_TEST_SHOW, followed);
        assert_true(run_printed(&run, "ONLY=this"));
        assert_true(run_printed(&run, "LD_PRELOAD=" OURS));
        assert_true(run_printed(&run, "RTHOOKS_AUTOSTART=any"));
        assert_true(run_printed(&run, "RTHOOKS_RUN_FOLLOW=1"));
    }
}

static void follow_reaches_children_of_libc_and_adds_nothing_twice(void **state)
{
    (void)state;
    static const char *const actions[] = {"system", "spawnp", "execve"};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        run_host(actions[i], RTH_TEST_SHOW, followed);
        assert_true(run_printed(&run, "LD_PRELOAD=" OURS));
        assert_int_equal(run_count(&run, "RTHOOKS_AUTOSTART="), 1);
        assert_int_equal(run_count(&run, "RTHOOKS_RUN_FOLLOW="), 1);
    }
}

static void followed_children_have_not_said_their_parents_line(void **state)
{
    (void)state;
    run_host("attached-fork", RTH_TEST_SHOW, followed);
    assert_int_equal(run_count(&run, "RTHOOKS_RUN_SAID"), 0);
    run_host("attached-execve", RTH_TEST_SHOW, followed);
    assert_true(run_printed(&run, "RTHOOKS_RUN_SAID=@SELF@"));
}

static void process_before_the_match_hands_on_to_children_and_itself(void **state)
{
    (void)state;
    static const char *const actions[] = {"vfork", "fork", "spawn", "execve-filtered"};
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=@SELF@",
                          "RTHOOKS_RUN_MATCH=server", NULL};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        run_host(actions[i], RTH_TEST_SHOW, envp);
        assert_true(run_printed(&run, "LD_PRELOAD=" OURS));
        assert_true(run_printed(&run, "RTHOOKS_AUTOSTART=any"));
        assert_true(run_printed(&run, "RTHOOKS_RUN_MATCH=server"));
    }
}

static void process_that_matched_hands_on_to_itself_alone(void **state)
{
    (void)state;
    const char *envp[] = {"LD_PRELOAD=" OURS, "RTHOOKS_AUTOSTART=any",
                          "RTHOOKS_RUN_MATCH=interpose_host", NULL};
    run_host("vfork", RTH_TEST_SHOW, envp);
    assert_true(run_printed(&run, "ONLY=this"));
    assert_int_equal(run_count(&run, "RTHOOKS_"), 0);
    run_host("execve", RTH_TEST_SHOW, envp);
    assert_true(run_printed(&run, "RTHOOKS_RUN_MATCH=interpose_host"));
    assert_true(run_printed(&run, "LD_PRELOAD=" OURS));
}

static void large_environment_is_extended_in_the_same_pid_only(void **state)
{
    (void)state;
    run_host("large", RTH_TEST_SHOW, chosen);
    assert_int_equal(run_count(&run, "X=y"), 5000);
    assert_true(run_printed(&run, "LD_PRELOAD=" OURS));
    run_host("fork-large", RTH_TEST_SHOW, followed);
    assert_int_equal(run_count(&run, "X=y"), 5000);
    assert_int_equal(run_count(&run, "LD_PRELOAD"), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(same_pid_gets_everything_back_in_every_form),
              cmocka_unit_test(same_pid_gets_everything_back_in_a_given_environment),
              cmocka_unit_test(second_image_of_the_pid_starts_again_and_knows_what_was_said),
              cmocka_unit_test(said_is_handed_on_without_a_runtime_when_an_earlier_image_said_it),
              cmocka_unit_test(children_of_a_chosen_process_are_clean),
              cmocka_unit_test(failed_exec_leaves_everything_as_it_was),
              cmocka_unit_test(wrong_pid_hands_on_nothing),
              cmocka_unit_test(follow_reaches_children_with_a_filtered_environment),
              cmocka_unit_test(follow_reaches_children_of_libc_and_adds_nothing_twice),
              cmocka_unit_test(followed_children_have_not_said_their_parents_line),
              cmocka_unit_test(process_before_the_match_hands_on_to_children_and_itself),
              cmocka_unit_test(process_that_matched_hands_on_to_itself_alone),
              cmocka_unit_test(large_environment_is_extended_in_the_same_pid_only))
