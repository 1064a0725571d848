/* SPDX-License-Identifier: MIT */
/* Tasks: what may be done with a handle, whose labels a thread has, and what is counted. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "os/clock.h"
#include "os/fd.h"
#include "profile/custom/values.h"
#include "profile/tasks/task.h"
#include "record/labelsets.h"
#include "rthooks/context.h"
#include "rthooks/label.h"
#include "rthooks/task.h"
#include "thread/context.h"
#include "unwind/unwind.h"

static void begin(void)
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__tasks_forget();
    assert_int_equal(rth__custom_start(), 0);
}

/* As rth-work does before it shows a profile. */
static void refresh(void)
{
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    rth__custom_resolve();
}

static struct rth_task *task_new(const char *name)
{
    struct rth_task *task = NULL;
    assert_int_equal(rth_task_new(name, &task), 0);
    assert_non_null(task);
    return task;
}

static uint32_t labels_now(void)
{
    return rth__context_label_set_sigsafe();
}

/* The only live task. */
static struct rth_task_info only_task(void)
{
    struct rth_task_info info, found;
    unsigned count = 0;
    for (uint32_t place = 1; place <= rth__task_places(); place++) {
        if (!rth__task_read(place, rth__clock_monotonic_ns_sigsafe(), &info))
            continue;
        found = info;
        count++;
    }
    assert_int_equal(count, 1);
    return found;
}

static uint64_t latency_count(void)
{
    struct rth_latency_values values;
    rth__latency_read(&rth__task_latency, &values);
    return values.count;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void a_task_is_queued_then_runs_then_pauses_and_ends(void **state)
{
    (void)state;
    begin();
    struct rth_task *task = task_new("resize");
    struct rth_task_info info = only_task();
    assert_int_equal(info.state, RTH_TASK_QUEUED);
    assert_string_equal(info.name, "resize");
    assert_true(info.queued_ns >= 0);
    assert_int_equal(rth_task_start(task), 0);
    info = only_task();
    assert_int_equal(info.state, RTH_TASK_RUNNING);
    assert_int_equal(info.tid, gettid());
    int64_t queued_ns = info.queued_ns;
    assert_int_equal(rth_task_pause(task), 0);
    assert_int_equal(only_task().state, RTH_TASK_PAUSED);
    assert_int_equal(rth_task_start(task), 0);
    assert_int_equal(only_task().queued_ns, queued_ns);
    assert_int_equal(rth__task_count(), 1);
    rth_task_end(task);
    assert_int_equal(rth__task_count(), 0);
}

static void one_that_has_ended_stays_ended(void **state)
{
    (void)state;
    begin();
    struct rth_task *first = task_new("first");
    rth_task_end(first);
    struct rth_task *second = task_new("second"); /* in the same place */
    rth_task_end(first);
    assert_int_equal(rth_task_start(first), -ESRCH);
    assert_int_equal(rth_task_pause(first), -ESRCH);
    assert_ptr_not_equal(first, second);
    assert_string_equal(only_task().name, "second");
    struct rth_task_counts counts;
    rth__task_counts_read(&counts);
    assert_int_equal(counts.made, 2);
    assert_int_equal(counts.ended, 1);
    rth_task_end(second);
}

static void null_is_fine_everywhere(void **state)
{
    (void)state;
    begin();
    assert_int_equal(rth_task_start(NULL), 0);
    assert_int_equal(rth_task_pause(NULL), 0);
    rth_task_end(NULL);
    assert_int_equal(rth__task_count(), 0);
}

static void handles_of_any_bits_are_harmless(void **state)
{
    (void)state;
    begin();
    struct rth_task *task = task_new("real");
    for (unsigned bit = 0; bit < 64; bit++) {
        struct rth_task *bad = (struct rth_task *)((uintptr_t)task ^ (uintptr_t)1 << bit);
        assert_int_equal(rth_task_start(bad), bad == NULL ? 0 : -ESRCH);
        rth_task_end(bad);
    }
    assert_int_equal(rth__task_count(), 1);
    rth_task_end(task);
}

static void what_may_not_be_done_says_why(void **state)
{
    (void)state;
    struct rth_task *task = (struct rth_task *)(uintptr_t)8;
    assert_int_equal(rth__enable_init(), 0);
    assert_int_equal(rth_task_new("early", &task), -EAGAIN);
    assert_null(task);
    begin();
    assert_int_equal(rth_task_new("x", NULL), -EINVAL);
    assert_int_equal(rth_task_new(NULL, &task), -EINVAL);
    assert_int_equal(rth_task_new("", &task), -EINVAL);
    task = task_new("x");
    assert_int_equal(rth_task_pause(task), -EPERM);
    assert_int_equal(rth_task_start(task), 0);
    struct rth_task *inner = task_new("inner");
    assert_int_equal(rth_task_start(inner), 0);
    assert_int_equal(rth_task_pause(task), -EPERM); /* not the last one started */
    rth_task_end(inner);
    assert_int_equal(rth_task_pause(task), 0);
    rth_task_end(task);
    struct rth_task_counts counts;
    rth__task_counts_read(&counts);
    assert_int_equal(counts.misused, 2);
    rth__enable_off();
    assert_int_equal(rth_task_new("late", &task), -EAGAIN);
    assert_int_equal(rth_task_start(task), 0);
}

static void a_name_is_one_line_cut_at_a_character(void **state)
{
    (void)state;
    begin();
    static const char name[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa9z";
    struct rth_task *task = task_new(name);
    assert_int_equal(strlen(only_task().name), 38);
    rth_task_end(task);
    task = task_new("a\nb\xff"
                    "c");
    assert_string_equal(only_task().name, "a?b?c");
    rth_task_end(task);
}

static void as_many_live_as_promised_and_then_none(void **state)
{
    (void)state;
    begin();
    struct rth_task **tasks = calloc(RTH_CUSTOM_TASKS_MAX, sizeof(*tasks));
    assert_non_null(tasks);
    for (unsigned i = 0; i < RTH_CUSTOM_TASKS_MAX; i++)
        tasks[i] = task_new("many");
    struct rth_task *refused = tasks[0];
    assert_int_equal(rth_task_new("more", &refused), -ENOSPC);
    assert_null(refused);
    struct rth_custom_counts counts;
    rth__custom_counts(rth__custom_tasks(), &counts);
    assert_int_equal(counts.values, RTH_CUSTOM_TASKS_MAX);
    assert_int_equal(counts.refused_full, 1);
    rth_task_end(tasks[7]);
    tasks[7] = task_new("again");
    for (unsigned i = 0; i < RTH_CUSTOM_TASKS_MAX; i++)
        rth_task_end(tasks[i]);
    assert_int_equal(rth__task_count(), 0);
    free(tasks);
}

/* ---- labels -------------------------------------------------------------------------------- */

struct handed {
    struct rth_task *task;
    uint32_t before, during, after;
    int error;
};

static void *run_elsewhere(void *argument)
{
    struct handed *handed = argument;
    handed->before = labels_now();
    handed->error = rth_task_start(handed->task);
    handed->during = labels_now();
    if (rth_task_pause(handed->task) != 0)
        handed->error = -1;
    handed->after = labels_now();
    return NULL;
}

static void labels_travel_with_it_and_go_again(void **state)
{
    (void)state;
    begin();
    struct handed handed = {0};
    uint32_t labels = 0;
    RTH_WITH_LABELS("handler", "/checkout") {
        labels = labels_now();
        handed.task = task_new("pay");
    }
    assert_int_not_equal(labels, RTH_LABEL_SET_NONE);
    pthread_t thread;
    for (int i = 0; i < 2; i++) { /* it pauses, and goes on on another one */
        assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, &handed), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(handed.error, 0);
        assert_int_equal(handed.before, RTH_LABEL_SET_NONE);
        assert_int_equal(handed.during, labels);
        assert_int_equal(handed.after, RTH_LABEL_SET_NONE);
    }
    assert_int_equal(only_task().label_set, labels);
    rth_task_end(handed.task);
}

static void starts_nest_and_each_puts_back_what_it_found(void **state)
{
    (void)state;
    begin();
    struct rth_task *outer = NULL, *inner = NULL;
    uint32_t outer_labels = 0, inner_labels = 0;
    RTH_WITH_LABELS("a", "1") {
        outer_labels = labels_now();
        outer = task_new("outer");
    }
    RTH_WITH_LABELS("b", "2") {
        inner_labels = labels_now();
        inner = task_new("inner");
    }
    assert_int_equal(rth_task_start(outer), 0);
    assert_int_equal(rth_task_start(inner), 0);
    assert_int_equal(labels_now(), inner_labels);
    rth_task_end(inner);
    assert_int_equal(labels_now(), outer_labels);
    rth_task_end(outer);
    assert_int_equal(labels_now(), RTH_LABEL_SET_NONE);
}

static void ends_in_the_wrong_order_leave_nothing_behind(void **state)
{
    (void)state;
    begin();
    struct rth_task *outer = NULL, *inner = NULL;
    RTH_WITH_LABELS("a", "1")
        outer = task_new("outer");
    inner = task_new("inner");
    assert_int_equal(rth_task_start(outer), 0);
    assert_int_equal(rth_task_start(inner), 0);
    rth_task_end(outer);
    assert_string_equal(only_task().name, "inner");
    assert_int_equal(labels_now(), RTH_LABEL_SET_NONE); /* of inner */
    rth_task_end(inner);
    assert_int_equal(labels_now(), RTH_LABEL_SET_NONE);
    assert_int_equal(rth__context_task_sigsafe(), 0);
    assert_int_equal(rth__task_count(), 0);
}

static void *end_it(void *task)
{
    rth_task_end(task);
    return NULL;
}

static void another_thread_may_end_it_while_it_runs(void **state)
{
    (void)state;
    begin();
    struct rth_task *task = NULL;
    uint32_t labels = 0;
    RTH_WITH_LABELS("a", "1") {
        labels = labels_now();
        task = task_new("long");
    }
    for (int with = 0; with < 3; with++) {
        assert_int_equal(rth_task_start(task), 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, end_it, task), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(rth__task_count(), 0);
        assert_int_equal(labels_now(), labels);
        struct rth_task *next = NULL;
        if (with == 0)
            rth_task_end(task);
        else if (with == 1)
            assert_int_equal(rth_task_pause(task), -ESRCH);
        else
            next = task_new("next"); /* any call on that thread will do */
        assert_int_equal(labels_now(), RTH_LABEL_SET_NONE);
        assert_int_equal(rth__context_task_sigsafe(), 0);
        rth_task_end(next);
        RTH_WITH_LABELS("a", "1")
            task = task_new("long");
    }
    rth_task_end(task);
}

static void it_may_be_handed_on_before_it_is_paused(void **state)
{
    (void)state;
    begin();
    struct handed handed = {0};
    uint32_t labels = 0;
    RTH_WITH_LABELS("a", "1") {
        labels = labels_now();
        handed.task = task_new("handed");
    }
    assert_int_equal(rth_task_start(handed.task), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, &handed), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(handed.error, 0);
    assert_int_equal(handed.during, labels);
    assert_int_equal(only_task().state, RTH_TASK_RUNNING);
    assert_int_equal(rth_task_pause(handed.task), 0);
    assert_int_equal(labels_now(), RTH_LABEL_SET_NONE);
    assert_int_equal(only_task().state, RTH_TASK_PAUSED);
    assert_int_equal(latency_count(), 1);
    rth_task_end(handed.task);
}

static void an_end_inside_a_block_of_labels_waits_for_the_blocks_end(void **state)
{
    (void)state;
    begin();
    for (int with_pause = 0; with_pause < 2; with_pause++) {
        struct rth_task *task = NULL;
        RTH_WITH_LABELS("a", "1")
            task = task_new("task");
        assert_int_equal(rth_task_start(task), 0);
        RTH_WITH_LABELS("b", "2") {
            uint32_t inside = labels_now();
            rth_task_end(task);
            assert_int_equal(labels_now(), inside);
        }
        assert_int_equal(rth__task_count(), 0);
        if (with_pause)
            assert_int_equal(rth_task_pause(task), -ESRCH);
        else
            rth_task_end(task);
        assert_int_equal(labels_now(), RTH_LABEL_SET_NONE);
        assert_int_equal(rth__context_task_sigsafe(), 0);
    }
}

static void a_context_hands_the_task_over_too(void **state)
{
    (void)state;
    begin();
    struct rth_task *task = task_new("maker");
    assert_null(rth_context_current());
    assert_int_equal(rth_task_start(task), 0);
    struct rth_context *context = rth_context_current();
    assert_non_null(context);
    rth_task_end(task);
    struct rth_context_token token;
    assert_int_equal(rth_context_attach(context, &token), 0);
    struct rth_task *made = task_new("made");
    assert_int_equal(rth_context_detach(&token), 0);
    rth_context_unref(context);
    struct rth_task_info info = only_task();
    assert_int_not_equal(info.maker, 0);
    assert_int_equal(info.maker + 1, info.number);
    rth_task_end(made);
}

/* ---- counts -------------------------------------------------------------------------------- */

static void each_first_start_counts_as_one_wait(void **state)
{
    (void)state;
    begin();
    assert_int_equal(latency_count(), 0);
    for (int i = 0; i < 100; i++) {
        struct rth_task *task = task_new("job");
        if (i % 4 != 0) {
            assert_int_equal(rth_task_start(task), 0);
            assert_int_equal(rth_task_pause(task), 0);
            assert_int_equal(rth_task_start(task), 0);
        }
        rth_task_end(task);
    }
    assert_int_equal(latency_count(), 75);
    struct rth_task_counts counts;
    rth__task_counts_read(&counts);
    assert_int_equal(counts.ended, 100);
    assert_int_equal(counts.cancelled, 25);
}

static pthread_barrier_t barrier;
static struct rth_task *raced;

static void *race_to_end(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        (void)pthread_barrier_wait(&barrier);
        (void)rth_task_start(raced);
        rth_task_end(raced);
        (void)pthread_barrier_wait(&barrier);
    }
    return unused;
}

static void of_threads_that_end_it_at_once_one_does(void **state)
{
    (void)state;
    begin();
    pthread_t threads[4];
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 5), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race_to_end, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        raced = task_new("raced");
        (void)pthread_barrier_wait(&barrier);
        (void)pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    struct rth_task_counts counts;
    rth__task_counts_read(&counts);
    assert_int_equal(counts.made, 2000);
    assert_int_equal(counts.ended, 2000);
    assert_int_equal(rth__task_count(), 0);
    /* Places of threads that had to put something back are free by now as well. */
    assert_in_range(rth__task_places(), 1, 16);
}

static void a_childs_tasks_begin_anew_and_its_parents_have_ended(void **state)
{
    (void)state;
    begin();
    struct rth_task *task = NULL;
    RTH_WITH_LABELS("a", "1")
        task = task_new("parents");
    assert_int_equal(rth_task_start(task), 0);
    rth__custom_child_reset(); /* as an adopted child does */
    rth__tasks_forget();
    assert_int_equal(rth__custom_start(), 0);
    assert_int_equal(rth__task_count(), 0);
    assert_int_equal(rth_task_start(task), -ESRCH);
    rth_task_end(task);
    assert_int_equal(labels_now(), RTH_LABEL_SET_NONE);
    struct rth_task *own = task_new("own");
    assert_ptr_not_equal(own, task);
    rth_task_end(task);
    assert_int_equal(rth__task_count(), 1);
    rth_task_end(own);
}

/* ---- sites --------------------------------------------------------------------------------- */

__attribute__((noinline)) static struct rth_task *queue_here(const char *name)
{
    struct rth_task *task = task_new(name);
    __asm__ volatile(""); /* no tail call */
    return task;
}

static void rows_tell_tasks_apart_by_name_and_have_their_stacks(void **state)
{
    (void)state;
    begin();
    refresh();
    struct rth_task *tasks[6];
    for (unsigned i = 0; i < 6; i++)
        tasks[i] = queue_here(i < 4 ? "one" : "other");
    struct rth_sites_copy copy;
    assert_int_equal(rth__custom_sites_copy(&copy), 0);
    uint64_t ones = 0, others = 0;
    for (size_t i = 0; i < copy.count; i++) {
        const struct rth_site_row *row = &copy.rows[i];
        uint64_t held = row->values.added_count - row->values.removed_count;
        if (row->kind != rth__custom_kind(rth__custom_tasks()) || held == 0)
            continue;
        struct rth_label labels[RTH_LABELS_MAX];
        assert_int_equal(rth__label_set_read(row->label_set, labels), 1);
        assert_string_equal(labels[0].key, "task");
        *(strcmp(labels[0].value, "one") == 0 ? &ones : &others) += held;
        assert_true(row->frame_count > 1);
    }
    assert_int_equal(ones, 4);
    assert_int_equal(others, 2);
    rth__sites_copy_free(&copy);
    for (unsigned i = 0; i < 6; i++)
        rth_task_end(tasks[i]);
}

RTH_TEST_MAIN(cmocka_unit_test(a_task_is_queued_then_runs_then_pauses_and_ends),
              cmocka_unit_test(one_that_has_ended_stays_ended),
              cmocka_unit_test(null_is_fine_everywhere),
              cmocka_unit_test(handles_of_any_bits_are_harmless),
              cmocka_unit_test(what_may_not_be_done_says_why),
              cmocka_unit_test(a_name_is_one_line_cut_at_a_character),
              cmocka_unit_test(as_many_live_as_promised_and_then_none),
              cmocka_unit_test(labels_travel_with_it_and_go_again),
              cmocka_unit_test(starts_nest_and_each_puts_back_what_it_found),
              cmocka_unit_test(ends_in_the_wrong_order_leave_nothing_behind),
              cmocka_unit_test(another_thread_may_end_it_while_it_runs),
              cmocka_unit_test(it_may_be_handed_on_before_it_is_paused),
              cmocka_unit_test(an_end_inside_a_block_of_labels_waits_for_the_blocks_end),
              cmocka_unit_test(a_context_hands_the_task_over_too),
              cmocka_unit_test(each_first_start_counts_as_one_wait),
              cmocka_unit_test(of_threads_that_end_it_at_once_one_does),
              cmocka_unit_test(a_childs_tasks_begin_anew_and_its_parents_have_ended),
              cmocka_unit_test(rows_tell_tasks_apart_by_name_and_have_their_stacks))
