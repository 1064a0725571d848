/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>

#include "core/latency.h"
#include "helper/unit.h"
#include "os/clock.h"

static struct rth_latency latency;

static struct rth_latency_values values_now(void)
{
    struct rth_latency_values values;
    rth__latency_read(&latency, &values);
    return values;
}

static void each_observation_is_in_the_bucket_whose_bound_it_does_not_pass(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RTH_LATENCY_BUCKETS - 1; i++) {
        assert_true(i == 0 || rth__latency_bounds_ns[i] > rth__latency_bounds_ns[i - 1]);
        rth__latency_observe_sigsafe(&latency, rth__latency_bounds_ns[i]);
        rth__latency_observe_sigsafe(&latency, rth__latency_bounds_ns[i] + 1);
    }
    struct rth_latency_values values = values_now();
    assert_int_equal(values.count, 2 * (RTH_LATENCY_BUCKETS - 1));
    for (unsigned i = 0; i < RTH_LATENCY_BUCKETS; i++)
        assert_int_equal(values.buckets[i], i == 0 || i == RTH_LATENCY_BUCKETS - 1 ? 1 : 2);
}

static void the_sum_is_true(void **state)
{
    (void)state;
    rth__latency_observe_sigsafe(&latency, 3);
    rth__latency_observe_sigsafe(&latency, 20 * RTH_NS_PER_S);
    rth__latency_observe_sigsafe(&latency, -5);
    assert_int_equal(values_now().sum_ns, 20 * RTH_NS_PER_S + 3);
    assert_int_equal(values_now().count, 3);
    rth__latency_clear(&latency);
    assert_int_equal(values_now().count, 0);
    assert_int_equal(values_now().sum_ns, 0);
}

static void *observe(void *unused)
{
    for (int i = 0; i < 100000; i++)
        rth__latency_observe_sigsafe(&latency, 7);
    return unused;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, observe, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(values_now().count, 400000);
    assert_int_equal(values_now().sum_ns, 2800000);
}

RTH_TEST_MAIN(cmocka_unit_test(each_observation_is_in_the_bucket_whose_bound_it_does_not_pass),
              cmocka_unit_test(the_sum_is_true), cmocka_unit_test(threads_lose_nothing))
