/* SPDX-License-Identifier: MIT */
/* What threads of the host submit: run by rth-work or by whoever takes its place, or dropped. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/work.h"
#include "helper/unit.h"

#define ITEMS 200

struct item {
    struct rth_work_item work;
    _Atomic int ran, dropped;
    pthread_t ran_on;
};

static struct item items[ITEMS];
static _Atomic int running, most_running, wakes;

static void run(struct rth_work_item *work)
{
    struct item *item = (struct item *)(void *)work;
    int now = ++running;
    if (now > most_running)
        most_running = now;
    item->ran_on = pthread_self();
    --running;
    item->ran++;
}

static void drop(struct rth_work_item *work)
{
    ((struct item *)(void *)work)->dropped++;
}

static void wake(void)
{
    wakes++;
}

static int submit(int number)
{
    items[number].work = (struct rth_work_item){.run = run, .drop = drop};
    return rth__work_submit_from_host(&items[number].work);
}

static void *submit_quarter(void *first)
{
    for (int i = 0; i < ITEMS / 4; i++)
        (void)submit((int)((struct item *)first - items) + i);
    return NULL;
}

static void without_anybody_to_run_it_an_item_is_refused(void **state)
{
    (void)state;
    assert_int_equal(submit(0), -EAGAIN);
    assert_int_equal(rth__work_start(), 0);
    rth__work_stop(drop);
    assert_int_equal(submit(0), -EAGAIN);
    assert_int_equal(items[0].ran + items[0].dropped, 0);
}

static void every_item_is_run_once_or_dropped_once(void **state)
{
    (void)state;
    pthread_t threads[4];
    assert_int_equal(rth__work_start(), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_quarter, &items[i * (ITEMS / 4)]),
                         0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    rth__work_stop(NULL); /* each has a drop of its own */
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(items[i].ran + items[i].dropped, 1);
        if (items[i].ran)
            assert_false(pthread_equal(items[i].ran_on, pthread_self()));
    }
    assert_true(most_running <= 1);
}

static void who_takes_its_place_is_woken_and_runs_them_in_order(void **state)
{
    (void)state;
    rth__work_inline_set(wake);
    for (int i = 0; i < 3; i++)
        assert_int_equal(submit(i), 0);
    assert_int_equal(wakes, 3);
    assert_int_equal(items[0].ran, 0);
    rth__work_run_queued();
    rth__work_run_queued();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(items[i].ran, 1);
        assert_true(pthread_equal(items[i].ran_on, pthread_self()));
    }
    assert_int_equal(submit(3), 0);
    rth__work_inline_set(NULL);
    assert_int_equal(items[3].dropped, 1);
    assert_int_equal(submit(4), -EAGAIN);
    rth__work_run_queued();
    assert_int_equal(items[3].ran + items[4].ran + items[4].dropped, 0);
}

static void a_child_has_an_empty_closed_queue(void **state)
{
    (void)state;
    rth__work_inline_set(wake);
    assert_int_equal(submit(0), 0);
    rth__work_child_reset();
    assert_int_equal(submit(1), -EAGAIN);
    rth__work_run_queued();
    assert_int_equal(items[0].ran + items[0].dropped, 0);
}

static void what_is_about_to_stop_is_seen_by_long_items_until_it_starts_again(void **state)
{
    (void)state;
    assert_int_equal(rth__work_start(), 0);
    assert_false(rth__work_is_cancelled());
    rth__work_cancel();
    assert_true(rth__work_is_cancelled());
    rth__work_stop(NULL);
    assert_true(rth__work_is_cancelled());
    assert_int_equal(rth__work_start(), 0);
    assert_false(rth__work_is_cancelled());
    rth__work_stop(NULL);
    rth__work_inline_set(wake);
    assert_false(rth__work_is_cancelled());
    rth__work_inline_set(NULL);
    assert_true(rth__work_is_cancelled());
}

RTH_TEST_MAIN(cmocka_unit_test(without_anybody_to_run_it_an_item_is_refused),
              cmocka_unit_test(every_item_is_run_once_or_dropped_once),
              cmocka_unit_test(who_takes_its_place_is_woken_and_runs_them_in_order),
              cmocka_unit_test(a_child_has_an_empty_closed_queue),
              cmocka_unit_test(what_is_about_to_stop_is_seen_by_long_items_until_it_starts_again))
