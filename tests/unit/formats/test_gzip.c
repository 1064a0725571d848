/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gzip.h"
#include "helper/counting_allocator.h"
#include "helper/gunzip.h"

#define PLAIN_BYTES ((size_t)3 * 1024 * 1024)

static struct counting_allocator counting;
static struct rth_buffer_sink below;
static char packed[2 * PLAIN_BYTES];
static char plain[PLAIN_BYTES], unpacked[PLAIN_BYTES + 1];

static struct rth_gzip *start(size_t capacity_bytes)
{
    struct rth_gzip *gzip = NULL;
    counting_init(&counting, 0);
    rth__buffer_sink_init(&below, packed, capacity_bytes);
    assert_int_equal(rth__gzip_new(&below.sink, &counting.allocator, &gzip), 0);
    return gzip;
}

static void everything_was_given_back(void)
{
    assert_int_equal(counting.blocks_out, 0);
    assert_int_equal(counting.bytes_out, 0);
    assert_int_equal(counting.wrong_sizes, 0);
}

/* kind 0: one byte over and over; 1: a text with few letters; 2: noise. */
static void fill_plain(int kind)
{
    uint32_t seed = 12345;
    for (size_t i = 0; i < PLAIN_BYTES; i++) {
        seed = seed * 1664525u + 1013904223u;
        plain[i] = kind == 0 ? 'a' : kind == 1 ? (char)('a' + (seed >> 30)) : (char)(seed >> 24);
    }
}

static void comes_back(size_t plain_bytes, size_t piece_bytes)
{
    struct rth_gzip *gzip = start(sizeof(packed));
    for (size_t at = 0; at < plain_bytes; at += piece_bytes) {
        size_t piece = plain_bytes - at < piece_bytes ? plain_bytes - at : piece_bytes;
        assert_int_equal(rth__sink_write(rth__gzip_sink(gzip), plain + at, piece), 0);
    }
    assert_int_equal(rth__gzip_sink(gzip)->written_bytes, plain_bytes);
    assert_int_equal(rth__gzip_finish(gzip), 0);
    rth__gzip_free(gzip);
    everything_was_given_back();
    assert_int_equal(gunzip(packed, below.sink.written_bytes, unpacked, sizeof(unpacked)),
                     plain_bytes);
    assert_memory_equal(unpacked, plain, plain_bytes);
}

static void what_is_compressed_comes_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        fill_plain(kind);
        comes_back(0, 1);
        comes_back(1, 1);
        comes_back(100000, 7);
        comes_back(PLAIN_BYTES, 65536);
        comes_back(PLAIN_BYTES, PLAIN_BYTES);
    }
}

static void repetition_becomes_small(void **state)
{
    (void)state;
    fill_plain(0);
    comes_back(PLAIN_BYTES, 4096);
    assert_true(below.sink.written_bytes < PLAIN_BYTES / 100);
}

static void memory_stays_below_256_kib(void **state)
{
    (void)state;
    fill_plain(2);
    comes_back(PLAIN_BYTES, 4096);
    assert_true(counting.bytes_most <= (size_t)256 * 1024);
}

static void each_refused_allocation_is_enomem_and_no_leak(void **state)
{
    (void)state;
    struct rth_gzip *gzip = NULL;
    size_t refuse_at = 1;
    rth__buffer_sink_init(&below, packed, sizeof(packed));
    for (;; refuse_at++) {
        counting_init(&counting, refuse_at);
        int result = rth__gzip_new(&below.sink, &counting.allocator, &gzip);
        if (result == 0)
            break;
        assert_int_equal(result, -ENOMEM);
        assert_null(gzip);
        everything_was_given_back();
    }
    assert_true(refuse_at > 2);
    assert_int_equal(rth__gzip_finish(gzip), 0);
    rth__gzip_free(gzip);
    everything_was_given_back();
    assert_int_equal(counting.requests, refuse_at - 1);
}

static void the_error_of_the_sink_below_sticks(void **state)
{
    (void)state;
    fill_plain(2);
    struct rth_gzip *gzip = start(10000);
    assert_int_equal(rth__sink_write(rth__gzip_sink(gzip), plain, PLAIN_BYTES), -ENOSPC);
    assert_int_equal(rth__sink_puts(rth__gzip_sink(gzip), "more"), -ENOSPC);
    assert_int_equal(rth__gzip_finish(gzip), -ENOSPC);
    rth__gzip_free(gzip);
    everything_was_given_back();
}

static void an_error_that_shows_only_at_the_end_is_returned(void **state)
{
    (void)state;
    struct rth_gzip *gzip = start(12);
    assert_int_equal(rth__sink_puts(rth__gzip_sink(gzip), "short"), 0);
    assert_int_equal(rth__gzip_finish(gzip), -ENOSPC);
    rth__gzip_free(gzip);
    everything_was_given_back();
}

static void a_member_given_up_is_cut_and_leaks_nothing(void **state)
{
    (void)state;
    fill_plain(2);
    struct rth_gzip *gzip = start(sizeof(packed));
    assert_int_equal(rth__sink_write(rth__gzip_sink(gzip), plain, PLAIN_BYTES), 0);
    rth__gzip_free(gzip);
    everything_was_given_back();
    assert_int_equal(gunzip(packed, below.sink.written_bytes, unpacked, sizeof(unpacked)), -1);
    rth__gzip_free(NULL);
}

static bool hung_up;

static bool client_is_gone(struct rth_sink *sink)
{
    (void)sink;
    return hung_up;
}

static void it_is_cancelled_when_the_sink_below_is(void **state)
{
    (void)state;
    struct rth_gzip *gzip = start(sizeof(packed));
    assert_false(rth__sink_cancelled(rth__gzip_sink(gzip)));
    below.sink.cancelled = client_is_gone;
    assert_false(rth__sink_cancelled(rth__gzip_sink(gzip)));
    hung_up = true;
    assert_true(rth__sink_cancelled(rth__gzip_sink(gzip)));
    rth__gzip_free(gzip);
}

RTH_TEST_MAIN(cmocka_unit_test(what_is_compressed_comes_back),
              cmocka_unit_test(repetition_becomes_small),
              cmocka_unit_test(memory_stays_below_256_kib),
              cmocka_unit_test(each_refused_allocation_is_enomem_and_no_leak),
              cmocka_unit_test(the_error_of_the_sink_below_sticks),
              cmocka_unit_test(an_error_that_shows_only_at_the_end_is_returned),
              cmocka_unit_test(a_member_given_up_is_cut_and_leaks_nothing),
              cmocka_unit_test(it_is_cancelled_when_the_sink_below_is))
