/* SPDX-License-Identifier: MIT */
/* Where threads are created: counted while they live and after, known for each that lives. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "interpose/abi.h"
#include "os/rawsys.h"
#include "profile/threads/created.h"
#include "thread/registry.h"
#include "unwind/unwind.h"

#define NOINLINE __attribute__((noinline))
#define THREADS  5

static _Atomic int tid[2 * THREADS];
static _Atomic bool stop;
static int root_fd;
static volatile int after;

static void show_nowhere(struct rth_thread_shared *shared)
{
    (void)shared;
}

static void start(void)
{
    char reason[160];
    root_fd = open("/", O_PATH | O_DIRECTORY);
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__thread_registry_start(show_nowhere);
    assert_int_equal(rth__threadcreate_capability.start(reason, sizeof(reason)), 0);
}

static void *stays(void *index)
{
    atomic_store(&tid[(uintptr_t)index], rth__raw_gettid_sigsafe());
    while (!stop)
        test_pause_us(1000);
    return NULL;
}

/* As the interposer's pthread_create does it. */
static NOINLINE int wrapper(pthread_t *ret_thread, void *(*function)(void *), void *argument)
{
    void *handle = rth__thread_prepare(function, argument);
    assert_non_null(handle);
    int error = pthread_create(ret_thread, NULL, rth__thread_run, handle);
    after++;
    return error;
}

static NOINLINE void creates_here(pthread_t *thread, uintptr_t index)
{
    assert_int_equal(wrapper(thread, stays, (void *)index), 0);
    after++;
}

static NOINLINE void creates_there(pthread_t *thread, uintptr_t index)
{
    assert_int_equal(wrapper(thread, stays, (void *)index), 0);
    after += 2;
}

/* Whether the site's innermost function is that one of the two: the nearer one before it. */
static bool is_in(const struct rth_site_row *row, void (*function)(pthread_t *, uintptr_t))
{
    uint64_t address = rth__frame_address(row->frames[0]);
    uint64_t here = address - (uintptr_t)creates_here, there = address - (uintptr_t)creates_there;
    return function == (here < there ? creates_here : creates_there);
}

static const struct rth_site_row *site_of(const struct rth_sites_copy *copy, int of_tid)
{
    struct rth_thread_info info;
    assert_true(rth__thread_find(of_tid, &info));
    return rth__created_site_of(copy, &info);
}

static void take_copy(struct rth_sites_copy *ret_copy)
{
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    assert_int_equal(rth__created_sites_copy(ret_copy), 0);
}

/* Threads of two call sites; those of the first ones by number at creates_here. */
static void create_all(pthread_t thread[2 * THREADS])
{
    for (uintptr_t i = 0; i < THREADS; i++)
        creates_here(&thread[i], i);
    for (uintptr_t i = THREADS; i < 2 * THREADS; i++)
        creates_there(&thread[i], i);
    for (size_t i = 0; i < 2 * THREADS; i++)
        while (tid[i] == 0)
            test_pause_us(100);
}

static void end_all(pthread_t thread[2 * THREADS])
{
    stop = true;
    for (size_t i = 0; i < 2 * THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
}

static void assert_counted(uint64_t created, uint64_t ended)
{
    struct rth_sites_copy copy;
    unsigned here = 0, there = 0;
    take_copy(&copy);
    for (size_t i = 0; i < copy.count; i++) {
        const struct rth_site_row *row = &copy.rows[i];
        if (row->frame_count == 0) {
            assert_int_equal(row->values.added_count, 0);
            continue;
        }
        here += is_in(row, creates_here);
        there += is_in(row, creates_there);
        assert_int_equal(row->values.added_count, created);
        assert_int_equal(row->values.removed_count, ended);
    }
    assert_int_equal(here, 1);
    assert_int_equal(there, 1);
    rth__sites_copy_free(&copy);
}

static void threads_count_where_they_were_created_and_stay_counted_when_they_end(void **state)
{
    (void)state;
    pthread_t thread[2 * THREADS];
    start();
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    create_all(thread);
    assert_counted(THREADS, 0);
    end_all(thread);
    assert_counted(THREADS, THREADS);
}

static void each_living_thread_has_its_site(void **state)
{
    (void)state;
    pthread_t thread[2 * THREADS];
    struct rth_sites_copy copy;
    start();
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    create_all(thread);
    take_copy(&copy);
    for (size_t i = 0; i < 2 * THREADS; i++) {
        const struct rth_site_row *row = site_of(&copy, tid[i]);
        assert_non_null(row);
        assert_true(is_in(row, i < THREADS ? creates_here : creates_there));
        assert_true(row->frame_count > 2); /* its callers, to the root */
    }
    assert_null(site_of(&copy, rth__raw_gettid_sigsafe())); /* nobody saw the first one come */
    rth__sites_copy_free(&copy);
    end_all(thread);
}

static void what_was_created_before_there_were_unwind_rows_gets_its_site_later(void **state)
{
    (void)state;
    pthread_t thread[2 * THREADS];
    struct rth_sites_copy copy;
    start();
    create_all(thread); /* nobody has looked at any module yet */
    assert_counted(THREADS, 0);
    take_copy(&copy);
    assert_true(is_in(site_of(&copy, tid[0]), creates_here));
    assert_true(is_in(site_of(&copy, tid[THREADS]), creates_there));
    rth__sites_copy_free(&copy);
    end_all(thread);
    assert_counted(THREADS, THREADS);
}

static void one_that_could_not_be_created_does_not_count(void **state)
{
    (void)state;
    struct rth_sites_copy copy;
    start();
    for (int has_rows = 0; has_rows < 2; has_rows++) {
        void *handle = rth__thread_prepare(stays, NULL);
        assert_non_null(handle);
        rth__thread_abandon(handle);
        take_copy(&copy);
        for (size_t i = 0; i < copy.count; i++)
            assert_int_equal(copy.rows[i].values.added_count, 0);
        rth__sites_copy_free(&copy);
    }
    assert_int_equal(rth__threadcreate_capability.artefacts[0].count(), 0);
}

static void without_an_interposer_it_is_absent(void **state)
{
    (void)state;
    char reason[160] = "";
    struct rth_sites_copy copy;
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__thread_registry_start(NULL);
    assert_int_equal(rth__threadcreate_capability.start(reason, sizeof(reason)), -ENOTSUP);
    assert_string_equal(reason, "librthooks_interpose.so is not loaded");
    assert_int_equal(rth__created_sites_copy(&copy), 0);
    assert_int_equal(copy.count, 0);
    rth__sites_copy_free(&copy);
}

RTH_TEST_MAIN(
    cmocka_unit_test(threads_count_where_they_were_created_and_stay_counted_when_they_end),
    cmocka_unit_test(each_living_thread_has_its_site),
    cmocka_unit_test(what_was_created_before_there_were_unwind_rows_gets_its_site_later),
    cmocka_unit_test(one_that_could_not_be_created_does_not_count),
    cmocka_unit_test(without_an_interposer_it_is_absent))
