/* SPDX-License-Identifier: MIT */
/* Gaps are exponential and weights undo them. Seeds are fixed: nothing here is left to chance. */
#include "profile/poisson.h"

#include <math.h>
#include <string.h>

#include "helper/unit.h"

#define DRAWS 200000
#define BINS  50
/* The 0.1 % point of chi-square with 49 degrees of freedom. */
#define CHI_SQUARE_MAX 85.35

static const uint64_t seeds[] = {1, 88172645463325252u, 0xdeadbeefcafef00du, UINT64_MAX};
static const uint64_t intervals[] = {64, 4096, 524288, UINT64_C(1) << 30, UINT64_C(1) << 40};

/* Counts gaps in bins that an exponential of that mean fills equally. */
static double chi_square_of(const double *gaps, size_t count, double mean)
{
    size_t bins[BINS] = {0};
    for (size_t i = 0; i < count; i++) {
        size_t bin = (size_t)((1.0 - exp(-gaps[i] / mean)) * BINS);
        bins[bin < BINS ? bin : BINS - 1]++;
    }
    double sum = 0, expected = (double)count / BINS;
    for (size_t i = 0; i < BINS; i++)
        sum += ((double)bins[i] - expected) * ((double)bins[i] - expected) / expected;
    return sum;
}

static double gaps[DRAWS];

static void gaps_have_the_interval_as_their_mean(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++)
        for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
            struct rth_poisson poisson = {seeds[s]};
            double sum = 0, squares = 0;
            for (size_t k = 0; k < DRAWS; k++) {
                /* Rounding up adds half a byte. */
                double gap = (double)rth__poisson_gap(&poisson, intervals[i]) - 0.5;
                assert_true(gap > 0);
                sum += gap;
                squares += gap * gap;
            }
            double mean = sum / DRAWS, deviation = sqrt(squares / DRAWS - mean * mean);
            double interval = (double)intervals[i];
            /* Four standard errors: 1 / sqrt(n) of the mean, and sqrt(2 / n) of the deviation. */
            assert_true(fabs(mean / interval - 1) < 4 / sqrt(DRAWS));
            assert_true(fabs(deviation / interval - 1) < 4 * sqrt(2.0 / DRAWS));
        }
}

static void gaps_are_exponential_by_chi_square(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
        struct rth_poisson poisson = {seeds[s]};
        for (size_t k = 0; k < DRAWS; k++)
            gaps[k] = (double)rth__poisson_gap(&poisson, 524288) - 0.5;
        double chi_square = chi_square_of(gaps, DRAWS, 524288);
        print_message("chi-square of seed %zu: %.1f\n", s, chi_square);
        assert_true(chi_square < CHI_SQUARE_MAX);
    }
}

/* Short-lived threads draw a few each, from states that differ in a few bits. */
static void first_gaps_of_neighbouring_seeds_are_exponential_too(void **state)
{
    (void)state;
    for (unsigned skipped = 0; skipped < 3; skipped++) {
        double sum = 0;
        for (size_t k = 0; k < DRAWS; k++) {
            uint64_t tid = 1000 + k, address = UINT64_C(0x7f1234567048);
            struct rth_poisson poisson = {((address ^ tid << 40) * UINT64_C(0x9e3779b97f4a7c15)) |
                                          1};
            for (unsigned i = 0; i < skipped; i++)
                (void)rth__poisson_gap(&poisson, 4096);
            gaps[k] = (double)rth__poisson_gap(&poisson, 524288) - 0.5;
            sum += gaps[k];
        }
        double chi_square = chi_square_of(gaps, DRAWS, 524288);
        print_message("gap %u: mean %.4f, chi-square %.1f\n", skipped, sum / DRAWS / 524288,
                      chi_square);
        assert_true(fabs(sum / DRAWS / 524288 - 1) < 4 / sqrt(DRAWS));
        assert_true(chi_square < CHI_SQUARE_MAX);
    }
}

/* Neighbours must not know of each other: their ranks' correlation is that of chance. */
static void gaps_do_not_follow_from_the_ones_before(void **state)
{
    (void)state;
    struct rth_poisson poisson = {seeds[1]};
    for (size_t k = 0; k < DRAWS; k++)
        gaps[k] = exp(-(double)rth__poisson_gap(&poisson, 524288) / 524288) - 0.5;
    for (size_t lag = 1; lag <= 5; lag++) {
        double sum = 0;
        for (size_t k = lag; k < DRAWS; k++)
            sum += gaps[k] * gaps[k - lag];
        assert_true(fabs(sum / DRAWS * 12) < 4 / sqrt(DRAWS));
    }
}

static void an_interval_of_one_has_no_gaps(void **state)
{
    (void)state;
    struct rth_poisson poisson = {7};
    assert_int_equal(rth__poisson_gap(&poisson, 1), 0);
    assert_int_equal(rth__poisson_gap(&poisson, 0), 0);
    assert_int_equal(poisson.state, 7);
}

static void a_state_of_zero_seeds_itself(void **state)
{
    (void)state;
    struct rth_poisson first = {0}, second = {0};
    uint64_t gap = rth__poisson_gap(&first, 1 << 20);
    assert_int_not_equal(first.state, 0);
    assert_int_not_equal(rth__poisson_gap(&second, 1 << 20), gap);
}

/* Of what the generator can give, the rarest: the largest gap and the smallest. */
static void extreme_gaps_stay_in_range(void **state)
{
    (void)state;
    struct rth_poisson poisson = {99};
    for (size_t k = 0; k < DRAWS; k++) {
        uint64_t gap = rth__poisson_gap(&poisson, UINT64_C(1) << 40);
        assert_in_range(gap, 1, UINT64_C(1) << 56);
        assert_in_range(rth__poisson_gap(&poisson, 2), 1, 2 * 37);
        assert_in_range(rth__poisson_gap(&poisson, UINT64_C(1) << 62), 1, UINT64_C(1) << 56);
    }
}

static void weights_are_the_inverse_of_the_chance(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++)
        for (uint64_t size = 1; size < UINT64_C(1) << 46; size += size / 7 + 1) {
            double expected = 1 / -expm1(-(double)size / (double)intervals[i]);
            double weight = rth__poisson_weight(size, intervals[i]);
            assert_true(fabs(weight / expected - 1) < 1e-6);
            assert_true(weight >= 1.0);
        }
    assert_true(rth__poisson_weight(0, 4096) == 1.0);
    assert_true(rth__poisson_weight(100, 1) == 1.0);
    assert_true(rth__poisson_weight(100, 0) == 1.0);
    assert_true(rth__poisson_weight(UINT64_MAX, 4096) == 1.0);
    assert_true(rth__poisson_weight(1, UINT64_C(1) << 40) > 1e12);
}

/* Blocks of one size after another, sampled as a thread samples them. */
static void weighted_samples_stand_for_all_blocks(void **state)
{
    static const uint64_t sizes[] = {1, 16, 100, 1000, 4096, 10000, 65536, 1 << 20};
    const uint64_t interval = 4096;
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t size = sizes[i], samples = 0, at = 0;
        /* As many as give 40,000 samples. */
        double chance = -expm1(-(double)size / (double)interval);
        uint64_t blocks = (uint64_t)(40000 / chance);
        struct rth_poisson poisson = {seeds[2] + i};
        uint64_t due = rth__poisson_gap(&poisson, interval);
        double estimate = 0;
        for (uint64_t k = 0; k < blocks; k++) {
            at += size;
            if (at < due)
                continue;
            samples++;
            estimate += rth__poisson_weight(size, interval);
            due = at + rth__poisson_gap(&poisson, interval);
        }
        print_message("%llu bytes: %llu samples, estimate %.4f of %llu blocks\n",
                      (unsigned long long)size, (unsigned long long)samples,
                      estimate / (double)blocks, (unsigned long long)blocks);
        assert_true(fabs(estimate / (double)blocks - 1) < 4 / sqrt(40000) + 1e-9);
    }
}

/* A mixed stream, and an interval that changes while a gap is under way. */
static void a_change_of_interval_does_not_bias(void **state)
{
    (void)state;
    struct rth_poisson poisson = {seeds[3]}, mix = {12345};
    uint64_t at = 0, interval = 4096, due = rth__poisson_gap(&poisson, interval), total = 0;
    double estimate = 0;
    for (size_t k = 0; k < 20 * DRAWS; k++) {
        if (k % 777 == 0) { /* the thread notices at its next block, and draws from its start */
            interval = k % 2 == 0 ? 4096 : 32768;
            due = at + rth__poisson_gap(&poisson, interval);
        }
        uint64_t size = rth__poisson_gap(&mix, 300);
        at += size;
        total += size;
        if (at < due)
            continue;
        estimate += rth__poisson_weight(size, interval) * (double)size;
        due = at + rth__poisson_gap(&poisson, interval);
    }
    print_message("estimate %.4f\n", estimate / (double)total);
    assert_true(fabs(estimate / (double)total - 1) < 0.01);
}

RTH_TEST_MAIN(cmocka_unit_test(gaps_have_the_interval_as_their_mean),
              cmocka_unit_test(gaps_are_exponential_by_chi_square),
              cmocka_unit_test(first_gaps_of_neighbouring_seeds_are_exponential_too),
              cmocka_unit_test(gaps_do_not_follow_from_the_ones_before),
              cmocka_unit_test(an_interval_of_one_has_no_gaps),
              cmocka_unit_test(a_state_of_zero_seeds_itself),
              cmocka_unit_test(extreme_gaps_stay_in_range),
              cmocka_unit_test(weights_are_the_inverse_of_the_chance),
              cmocka_unit_test(weighted_samples_stand_for_all_blocks),
              cmocka_unit_test(a_change_of_interval_does_not_bias))
