/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/capability.h"
#include "core/enable.h"
#include "helper/unit.h"
#include "os/rawsys.h"
#include "record/counted.h"
#include "record/image.h"
#include "record/labelsets.h"
#include "rthooks/context.h"
#include "rthooks/label.h"
#include "thread/context.h"
#include "thread/registry.h"

/* The value of a key in the calling thread's labels, NULL when there is none. */
static const char *value_of(const char *key)
{
    struct rth_label labels[RTH_LABELS_MAX];
    unsigned count = rth__label_set_read(rth__context_label_set_sigsafe(), labels);
    for (unsigned i = 0; i < count; i++)
        if (strcmp(labels[i].key, key) == 0)
            return labels[i].value;
    return NULL;
}

static bool is(const char *key, const char *value)
{
    const char *found = value_of(key);
    return found != NULL && strcmp(found, value) == 0;
}

static bool has_none(void)
{
    return rth__context_label_set_sigsafe() == RTH_LABEL_SET_NONE;
}

/* ---- blocks -------------------------------------------------------------------------------- */

static void a_block_has_its_labels_and_those_around_it(void **state)
{
    (void)state;
    assert_true(has_none());
    for (int round = 0; round < 3; round++) { /* the second time the call sites know */
        RTH_WITH_LABELS("handler", "/a", "tenant", "acme") {
            assert_true(is("handler", "/a") && is("tenant", "acme"));
            RTH_WITH_LABELS("handler", "/b") {
                assert_true(is("handler", "/b") && is("tenant", "acme"));
            }
            assert_true(is("handler", "/a"));
        }
        assert_true(has_none());
    }
}

static void inner(const char *outer)
{
    RTH_WITH_LABELS("step", "inner") {
        assert_true(is("step", "inner"));
        assert_true(outer != NULL ? is("handler", outer) : value_of("handler") == NULL);
    }
}

static void one_call_site_under_different_labels_gives_different_sets(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        inner(NULL);
        RTH_WITH_LABELS("handler", "/a")
            inner("/a");
        RTH_WITH_LABELS("handler", "/b") {
            inner("/b");
            inner("/b");
        }
    }
}

static void values_of_buffers_are_read_each_time(void **state)
{
    (void)state;
    char value[16];
    static char fixed[] = "x0";
    for (int i = 0; i < 10; i++) {
        (void)snprintf(value, sizeof(value), "v%d", i);
        fixed[1] = (char)('0' + i);
        RTH_WITH_LABELS("k", value, "fixed", fixed) {
            char same[16];
            (void)snprintf(same, sizeof(same), "x%d", i);
            assert_true(is("k", value) && is("fixed", same));
            value[0] = 'w'; /* copied at the beginning */
            assert_int_equal(value_of("k")[0], 'v');
        }
    }
}

static inline __attribute__((always_inline)) void inlined(const char *value)
{
    RTH_WITH_LABELS("k", value)
        assert_true(is("k", value));
}

/* What looks like a literal once a function is inlined or a loop unrolled is none of the site's. */
static void copies_of_a_call_site_do_not_share_what_it_knows(void **state)
{
    (void)state;
    static const char *const values[] = {"c", "d", "e"};
    for (int round = 0; round < 2; round++) {
        inlined("a");
        inlined("b");
        for (int i = 0; i < 3; i++)
            RTH_WITH_LABELS("k", values[i])
                assert_true(is("k", values[i]));
    }
}

static void eight_labels_are_one_block(void **state)
{
    (void)state;
    RTH_WITH_LABELS("a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "f", "6", "g", "7", "h",
                    "8") {
        struct rth_label labels[RTH_LABELS_MAX];
        assert_int_equal(rth__label_set_read(rth__context_label_set_sigsafe(), labels), 8);
        assert_true(is("a", "1") && is("h", "8"));
    }
}

static int returns_from_inside(void)
{
    RTH_WITH_LABELS("k", "v") {
        RTH_WITH_LABELS("l", "w") {
            return (int)is("l", "w");
        }
    }
    return -1;
}

static void return_goto_break_and_continue_put_back_what_was_there(void **state)
{
    (void)state;
    RTH_WITH_LABELS("around", "yes") {
        uint32_t around = rth__context_label_set_sigsafe();
        assert_int_equal(returns_from_inside(), 1);
        assert_int_equal(rth__context_label_set_sigsafe(), around);
        RTH_WITH_LABELS("k", "v") {
            RTH_WITH_LABELS("l", "w") {
                goto out;
            }
        }
out:
        assert_int_equal(rth__context_label_set_sigsafe(), around);
        int after = 0;
        RTH_WITH_LABELS("k", "v") {
            if (is("k", "v"))
                break;
            after = 1;
        }
        assert_int_equal(rth__context_label_set_sigsafe(), around);
        RTH_WITH_LABELS("k", "v") {
            if (is("k", "v"))
                continue;
            after = 1;
        }
        assert_int_equal(after, 0);
        assert_int_equal(rth__context_label_set_sigsafe(), around);
    }
}

static jmp_buf landing;

static __attribute__((noinline)) void jump_out_of_a_block(void)
{
    RTH_WITH_LABELS("jumped", "out")
        longjmp(landing, 1);
}

static __attribute__((noinline)) void land(void)
{
    if (setjmp(landing) == 0)
        jump_out_of_a_block();
    assert_true(is("jumped", "out"));
}

static void a_longjmp_leaves_the_labels_until_a_block_around_it_ends(void **state)
{
    (void)state;
    RTH_WITH_LABELS("around", "yes")
        land();
    assert_true(has_none());
}

static void errno_is_kept(void **state)
{
    (void)state;
    char value[] = "v";
    errno = 77;
    RTH_WITH_LABELS("k", value)
        assert_int_equal(errno, 77);
    rth_context_unref(rth_context_current());
    assert_int_equal(errno, 77);
}

/* ---- labels made ready --------------------------------------------------------------------- */

static void want_ab(void *argument)
{
    *(int *)argument += is("a", "1") && is("b", "2");
}

static void labels_made_once_serve_any_number_of_calls(void **state)
{
    (void)state;
    const char *const pairs[] = {"a", "1", "b", "2"};
    struct rth_labels *labels;
    int seen = 0;
    assert_int_equal(rth_labels_new(pairs, 4, &labels), 0);
    rth_do(labels, want_ab, &seen);
    rth_do(labels, want_ab, &seen);
    RTH_WITH_LABELS("a", "0", "c", "3") {
        rth_do(labels, want_ab, &seen);
        assert_true(is("a", "0") && value_of("b") == NULL);
        rth_do(NULL, want_ab, &seen); /* none: the labels stay as they are */
    }
    assert_int_equal(seen, 3);
    assert_true(has_none());
    rth_labels_free(labels);
    rth_labels_free(NULL);
}

static void labels_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct rth_labels *labels = NULL;
    const char *const no_key[] = {"", "v"}, *const null_key[] = {NULL, "v"};
    const char *many[2 * (RTH_LABELS_MAX + 1)];
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        many[i] = "x";
    assert_int_equal(rth_labels_new(many, 3, &labels), -EINVAL);
    assert_int_equal(rth_labels_new(NULL, 2, &labels), -EINVAL);
    assert_int_equal(rth_labels_new(many, 2, NULL), -EINVAL);
    assert_int_equal(rth_labels_new(no_key, 2, &labels), -EINVAL);
    assert_int_equal(rth_labels_new(null_key, 2, &labels), -EINVAL);
    assert_int_equal(rth_labels_new(many, sizeof(many) / sizeof(many[0]), &labels), -E2BIG);
    assert_null(labels);
}

/* ---- contexts ------------------------------------------------------------------------------ */

static void *work_for(void *argument)
{
    struct rth_context *context = argument;
    struct rth_context_token token;
    bool fine = has_none() && rth_context_attach(context, &token) == 0 && is("handler", "/a");
    RTH_WITH_LABELS("step", "there")
        fine = fine && is("handler", "/a") && is("step", "there");
    fine = fine && rth_context_detach(&token) == 0 && has_none();
    rth_context_unref(context);
    return (void *)(uintptr_t)fine;
}

static void a_context_goes_to_another_thread_and_outlives_its_block(void **state)
{
    (void)state;
    struct rth_context *context = NULL;
    RTH_WITH_LABELS("handler", "/a") {
        context = rth_context_current();
        assert_non_null(context);
    }
    pthread_t threads[4];
    void *fine;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_for, rth_context_ref(context)), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &fine), 0);
        assert_true(fine != NULL);
    }
    rth_context_unref(context);
    assert_true(has_none());
}

static void attachments_nest_and_the_empty_context_is_null(void **state)
{
    (void)state;
    assert_null(rth_context_current());
    rth_context_unref(NULL);
    assert_null(rth_context_ref(NULL));
    RTH_WITH_LABELS("handler", "/a") {
        struct rth_context *a = rth_context_current();
        struct rth_context_token first, second;
        assert_int_equal(rth_context_attach(NULL, &first), 0);
        assert_true(has_none());
        RTH_WITH_LABELS("other", "x") {
            assert_true(value_of("handler") == NULL);
            assert_int_equal(rth_context_attach(a, &second), 0);
            rth_context_unref(a); /* attached: kept */
            assert_true(is("handler", "/a") && value_of("other") == NULL);
            assert_int_equal(rth_context_detach(&second), 0);
            assert_true(is("other", "x"));
        }
        assert_int_equal(rth_context_detach(&first), 0);
        assert_true(is("handler", "/a"));
    }
}

static struct rth_context_token shared_token;

static void *detach_shared(void *argument)
{
    (void)argument;
    return (void *)(intptr_t)rth_context_detach(&shared_token);
}

static void a_token_is_good_once_and_on_its_own_thread(void **state)
{
    (void)state;
    pthread_t thread;
    void *error;
    struct rth_context_token never = {0};
    assert_int_equal(rth_context_attach(NULL, NULL), -EINVAL);
    assert_int_equal(rth_context_detach(NULL), -EINVAL);
    assert_int_equal(rth_context_detach(&never), -EINVAL);
    assert_int_equal(rth_context_attach(NULL, &shared_token), 0);
    assert_int_equal(pthread_create(&thread, NULL, detach_shared, NULL), 0);
    assert_int_equal(pthread_join(thread, &error), 0);
    assert_int_equal((intptr_t)error, -EPERM);
    assert_int_equal(rth_context_detach(&shared_token), 0);
    assert_int_equal(rth_context_detach(&shared_token), -EINVAL);
}

/* ---- seen by others ------------------------------------------------------------------------ */

static _Atomic bool go_on, there;
static _Atomic int other_tid;

static void *stand_with_labels(void *argument)
{
    other_tid = rth__raw_gettid_sigsafe();
    RTH_WITH_LABELS("handler", "/seen") {
        there = true;
        while (!go_on)
            test_pause_us(1000);
    }
    return argument;
}

static bool seen_with(int tid, const char *value)
{
    struct rth_image_reader reader = {.root_fd = -1};
    struct rth_label labels[RTH_LABELS_MAX];
    unsigned count = rth__label_set_read(rth__context_label_set_of(&reader, tid), labels);
    rth__image_reader_close(&reader);
    return value == NULL ? count == 0 : count == 1 && strcmp(labels[0].value, value) == 0;
}

static void another_thread_sees_the_labels_and_after_the_end_none(void **state)
{
    (void)state;
    pthread_t thread;
    assert_true(seen_with(rth__raw_gettid_sigsafe(), NULL)); /* never had any */
    assert_int_equal(pthread_create(&thread, NULL, stand_with_labels, NULL), 0);
    while (!there)
        test_pause_us(1000);
    assert_true(seen_with(other_tid, "/seen"));
    RTH_WITH_LABELS("handler", "/own")
        assert_true(seen_with(rth__raw_gettid_sigsafe(), "/own"));
    go_on = true;
    (void)pthread_join(thread, NULL);
    assert_true(seen_with(rth__raw_gettid_sigsafe(), NULL));
}

static void *use_a_label(void *argument)
{
    RTH_WITH_LABELS("k", "v")
        other_tid = rth__raw_gettid_sigsafe();
    return argument;
}

/* No interposer tells that they end: their places are found again. */
static void threads_that_died_untold_leave_room_for_others(void **state)
{
    (void)state;
    enum { THREADS = 20000 };
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, use_a_label, NULL), 0);
        (void)pthread_join(thread, NULL);
    }
    assert_int_equal(rth__context_unseen_count(), 0);
}

static void *check_inherited(void *argument)
{
    *(bool *)argument =
        is("handler", "/creator") && seen_with(rth__raw_gettid_sigsafe(), "/creator");
    return NULL;
}

/* What the interposer does at pthread_create. */
static void a_thread_that_the_registry_knows_begins_with_its_creators_labels(void **state)
{
    (void)state;
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    pthread_t thread;
    bool is_fine = false;
    void *handle = NULL;
    RTH_WITH_LABELS("handler", "/creator")
        handle = rth__thread_prepare(check_inherited, &is_fine);
    assert_non_null(handle);
    assert_int_equal(pthread_create(&thread, NULL, rth__thread_run, handle), 0);
    (void)pthread_join(thread, NULL);
    assert_true(is_fine);
}

static _Atomic uint32_t sets_seen[3];
static uint32_t set_one, set_two;
static _Atomic unsigned strange;

static void look(int number)
{
    (void)number;
    uint32_t set = rth__context_label_set_sigsafe();
    unsigned which = set == RTH_LABEL_SET_NONE ? 0 : set == set_one ? 1 : set == set_two ? 2 : 3;
    if (which == 3)
        strange++;
    else
        sets_seen[which]++;
}

static void a_signal_handler_sees_one_of_the_sets_at_any_instant(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = look, .sa_flags = SA_RESTART};
    RTH_WITH_LABELS("n", "1")
        set_one = rth__context_label_set_sigsafe();
    RTH_WITH_LABELS("n", "1")
        RTH_WITH_LABELS("m", "2")
            set_two = rth__context_label_set_sigsafe();
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    const struct itimerspec often = {{0, 50000}, {0, 50000}};
    assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
    while (sets_seen[1] < 100 || sets_seen[2] < 100) {
        RTH_WITH_LABELS("n", "1") {
            for (volatile int i = 0; i < 1000; i = i + 1)
                ;
            RTH_WITH_LABELS("m", "2") {
                for (volatile int i = 0; i < 1000; i = i + 1)
                    ;
            }
        }
    }
    (void)timer_delete(timer);
    assert_int_equal(strange, 0);
}

/* ---- fork ---------------------------------------------------------------------------------- */

static bool child_is_fine(struct rth_context *context, struct rth_context_token *token)
{
    /* Before adoption. */
    bool fine = is("handler", "/parent");
    RTH_WITH_LABELS("step", "child")
        fine = fine && is("handler", "/parent") && is("step", "child");
    /* And after it, as rthooks.c does it. */
    rth__labels_capability.child_reset();
    rth__record_child_reset();
    fine = fine && is("handler", "/parent");
    fine = fine && seen_with(rth__raw_gettid_sigsafe(), NULL) == false;
    char value[] = "dynamic";
    RTH_WITH_LABELS("step", value)
        fine = fine && is("handler", "/parent") && is("step", "dynamic");
    fine = fine && rth_context_detach(token) == 0 && has_none();
    struct rth_context_token again;
    fine = fine && rth_context_attach(context, &again) == 0 && is("handler", "/parent");
    rth_context_unref(context);
    return fine && rth_context_detach(&again) == 0;
}

static void a_child_goes_on_with_the_labels_of_the_thread_that_forked(void **state)
{
    (void)state;
    struct rth_context *context = NULL;
    struct rth_context_token token;
    RTH_WITH_LABELS("handler", "/parent")
        context = rth_context_current();
    assert_int_equal(rth_context_attach(context, &token), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_is_fine(context, &token) ? 0 : 1);
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(rth_context_detach(&token), 0);
    rth_context_unref(context);
}

RTH_TEST_MAIN(cmocka_unit_test(a_block_has_its_labels_and_those_around_it),
              cmocka_unit_test(one_call_site_under_different_labels_gives_different_sets),
              cmocka_unit_test(values_of_buffers_are_read_each_time),
              cmocka_unit_test(copies_of_a_call_site_do_not_share_what_it_knows),
              cmocka_unit_test(eight_labels_are_one_block),
              cmocka_unit_test(return_goto_break_and_continue_put_back_what_was_there),
              cmocka_unit_test(a_longjmp_leaves_the_labels_until_a_block_around_it_ends),
              cmocka_unit_test(errno_is_kept),
              cmocka_unit_test(labels_made_once_serve_any_number_of_calls),
              cmocka_unit_test(labels_that_cannot_be_are_refused),
              cmocka_unit_test(a_context_goes_to_another_thread_and_outlives_its_block),
              cmocka_unit_test(attachments_nest_and_the_empty_context_is_null),
              cmocka_unit_test(a_token_is_good_once_and_on_its_own_thread),
              cmocka_unit_test(another_thread_sees_the_labels_and_after_the_end_none),
              cmocka_unit_test(threads_that_died_untold_leave_room_for_others),
              cmocka_unit_test(a_thread_that_the_registry_knows_begins_with_its_creators_labels),
              cmocka_unit_test(a_signal_handler_sees_one_of_the_sets_at_any_instant),
              cmocka_unit_test(a_child_goes_on_with_the_labels_of_the_thread_that_forked))
