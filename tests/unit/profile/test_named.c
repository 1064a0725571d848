/* SPDX-License-Identifier: MIT */
/* The parameters of named profiles, checked in the order in which Go does. */
#include <errno.h>
#include <string.h>

#include "helper/unit.h"
#include "profile/named.h"

static struct rth_call call;
static struct rth_named_request request;

static int read_query(const char *query, const char *delta_filename)
{
    memset(&call, 0, sizeof(call));
    call.params.query = query;
    call.params.query_bytes = strlen(query);
    call.status = 200;
    call.content_type = "application/octet-stream";
    call.filename = "heap";
    return rth__named_request_read(&call, delta_filename, &request);
}

static void assert_refused(const char *query, const char *delta_filename, const char *message)
{
    assert_true(read_query(query, delta_filename) < 0);
    assert_int_equal(call.status, 400);
    assert_string_equal(call.message, message);
}

static void without_parameters_it_is_a_proto_at_once(void **state)
{
    (void)state;
    assert_int_equal(read_query("", "heap-delta"), 0);
    assert_int_equal(request.debug, 0);
    assert_int_equal(request.seconds, 0);
    assert_true(request.symbols);
    assert_string_equal(call.filename, "heap");
    assert_string_equal(call.content_type, "application/octet-stream");
}

static void debug_is_text_without_an_attachment(void **state)
{
    (void)state;
    assert_int_equal(read_query("debug=1", "heap-delta"), 0);
    assert_int_equal(request.debug, 1);
    assert_null(call.filename);
    assert_string_equal(call.content_type, "text/plain; charset=utf-8");
    assert_int_equal(read_query("debug=x", "heap-delta"), 0);
    assert_int_equal(request.debug, 0);
    assert_string_equal(call.filename, "heap");
}

static void seconds_are_a_delta(void **state)
{
    (void)state;
    assert_int_equal(read_query("seconds=7", "heap-delta"), 0);
    assert_int_equal(request.seconds, 7);
    assert_string_equal(call.filename, "heap-delta");
    assert_int_equal(read_query("seconds=", "heap-delta"), 0);
    assert_int_equal(request.seconds, 0);
    assert_int_equal(read_query("seconds=7&debug=0", "heap-delta"), 0);
    assert_int_equal(request.seconds, 7);
}

static void seconds_above_the_maximum_are_clamped_and_said(void **state)
{
    (void)state;
    assert_int_equal(read_query("seconds=100000", "heap-delta"), 0);
    assert_int_equal(request.seconds, RTH_NAMED_SECONDS_MAX);
    assert_string_equal(call.clamped, "seconds=300");
}

static void bad_seconds_are_refused_in_gos_words(void **state)
{
    (void)state;
    static const char *const bad[] = {"seconds=0",
                                      "seconds=-1",
                                      "seconds=x",
                                      "seconds=1.5",
                                      "seconds=99999999999999999999",
                                      "seconds=x&debug=1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(bad[i], "heap-delta",
                       "invalid value for \"seconds\" - must be a positive integer");
    assert_refused("seconds=1&debug=1", "heap-delta", "seconds and debug params are incompatible");
    assert_refused("seconds=1", NULL,
                   "\"seconds\" parameter is not supported for this profile type");
    assert_refused("seconds=1&debug=1", NULL,
                   "\"seconds\" parameter is not supported for this profile type");
}

static void symbols_none_leaves_addresses(void **state)
{
    (void)state;
    assert_int_equal(read_query("symbols=none", "heap-delta"), 0);
    assert_false(request.symbols);
    assert_int_equal(read_query("symbols=all", "heap-delta"), 0);
    assert_true(request.symbols);
}

RTH_TEST_MAIN(cmocka_unit_test(without_parameters_it_is_a_proto_at_once),
              cmocka_unit_test(debug_is_text_without_an_attachment),
              cmocka_unit_test(seconds_are_a_delta),
              cmocka_unit_test(seconds_above_the_maximum_are_clamped_and_said),
              cmocka_unit_test(bad_seconds_are_refused_in_gos_words),
              cmocka_unit_test(symbols_none_leaves_addresses))
