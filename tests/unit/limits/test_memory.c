/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>

#include "helper/unit.h"
#include "limits/publish.h"
#include "rthooks/limits.h"

#define READERS 3
#define WRITES  200000

static _Atomic int writer_is_done, torn;
static _Atomic long reads;

/* All members say the same number. */
static struct rth_memory_now made_of(int64_t number)
{
    return (struct rth_memory_now){.limit_bytes = number,
                                   .hard_bytes = number,
                                   .critical_bytes = number,
                                   .usage_bytes = number,
                                   .rss_bytes = number,
                                   .growth_bytes_per_s = number,
                                   .state = (int)number,
                                   .taken_ns = number};
}

static void *read_on(void *userdata)
{
    (void)userdata;
    while (!writer_is_done || reads < READERS) {
        struct rth_memory_now now;
        rth__memory_now_read_sigsafe(&now);
        int64_t number = now.taken_ns;
        torn += now.limit_bytes != number || now.hard_bytes != number ||
                now.critical_bytes != number || now.usage_bytes != number ||
                now.rss_bytes != number || now.growth_bytes_per_s != number ||
                now.state != (int)number;
        reads++;
    }
    return NULL;
}

static void before_the_first_look_there_is_no_limit_and_nothing_is_known(void **state)
{
    (void)state;
    struct rth_memory_now now;
    rth__memory_now_reset();
    rth__memory_now_read_sigsafe(&now);
    assert_int_equal(now.limit_bytes, INT64_MAX);
    assert_int_equal(now.hard_bytes, INT64_MAX);
    assert_int_equal(now.usage_bytes, -1);
    assert_int_equal(now.rss_bytes, -1);
    assert_int_equal(now.state, RTH_MEMORY_OK);
    assert_int_equal(now.taken_ns, 0);
}

static void what_was_published_last_is_read_and_can_be_forgotten(void **state)
{
    (void)state;
    for (int64_t number = 1; number < 5; number++) {
        struct rth_memory_now now = made_of(number);
        rth__memory_now_publish(&now);
        now = made_of(0);
        rth__memory_now_read_sigsafe(&now);
        assert_int_equal(now.usage_bytes, number);
        assert_int_equal(rth__memory_state_sigsafe(), number);
    }
    rth__memory_now_reset();
    assert_int_equal(rth__memory_state_sigsafe(), RTH_MEMORY_OK);
}

static void readers_never_see_a_mixture_of_two(void **state)
{
    (void)state;
    pthread_t readers[READERS];
    struct rth_memory_now now = made_of(1);
    rth__memory_now_publish(&now);
    writer_is_done = torn = 0;
    reads = 0;
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, NULL), 0);
    for (int64_t number = 2; number < WRITES; number++) {
        now = made_of(number);
        rth__memory_now_publish(&now);
    }
    writer_is_done = 1;
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(torn, 0);
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(rth__memory_state_name(RTH_MEMORY_OK), "ok");
    assert_string_equal(rth__memory_state_name(RTH_MEMORY_EXHAUSTED), "exhausted");
    assert_string_equal(rth__memory_state_name(7), "unknown");
}

RTH_TEST_MAIN(cmocka_unit_test(before_the_first_look_there_is_no_limit_and_nothing_is_known),
              cmocka_unit_test(what_was_published_last_is_read_and_can_be_forgotten),
              cmocka_unit_test(readers_never_see_a_mixture_of_two),
              cmocka_unit_test(states_have_names), )
