/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "formats/sink.h"

static void writes_follow_each_other_and_are_counted(void **state)
{
    (void)state;
    char text[32];
    struct rth_buffer_sink buffer;
    rth__buffer_sink_init(&buffer, text, sizeof(text));
    assert_string_equal(text, "");
    assert_int_equal(rth__sink_puts(&buffer.sink, "one "), 0);
    assert_int_equal(rth__sink_write(&buffer.sink, "two, not this", 3), 0);
    assert_int_equal(rth__sink_printf(&buffer.sink, " %d", 3), 0);
    assert_int_equal(rth__sink_write(&buffer.sink, NULL, 0), 0);
    assert_string_equal(text, "one two 3");
    assert_int_equal(buffer.sink.written_bytes, 9);
}

static void a_full_buffer_keeps_what_fitted_and_the_error_stays(void **state)
{
    (void)state;
    char text[9] = "xxxxxxxx";
    struct rth_buffer_sink buffer;
    rth__buffer_sink_init(&buffer, text, 8);
    assert_int_equal(rth__sink_puts(&buffer.sink, "12345"), 0);
    assert_int_equal(rth__sink_puts(&buffer.sink, "6789"), -ENOSPC);
    assert_string_equal(text, "1234567");
    assert_int_equal(text[8], '\0');
    assert_int_equal(buffer.sink.written_bytes, 7);
    assert_int_equal(rth__sink_write(&buffer.sink, "", 0), -ENOSPC);
    assert_int_equal(rth__sink_printf(&buffer.sink, "x"), -ENOSPC);
    assert_string_equal(text, "1234567");
}

static void a_text_that_just_fits_is_no_error(void **state)
{
    (void)state;
    char text[8];
    struct rth_buffer_sink buffer;
    rth__buffer_sink_init(&buffer, text, sizeof(text));
    assert_int_equal(rth__sink_puts(&buffer.sink, "1234567"), 0);
    assert_string_equal(text, "1234567");
    assert_int_equal(rth__sink_puts(&buffer.sink, "8"), -ENOSPC);
}

static void no_room_at_all_touches_nothing(void **state)
{
    (void)state;
    struct rth_buffer_sink buffer;
    rth__buffer_sink_init(&buffer, NULL, 0);
    assert_int_equal(rth__sink_puts(&buffer.sink, "x"), -ENOSPC);
    assert_int_equal(buffer.sink.written_bytes, 0);
}

static void printf_refuses_what_it_would_have_to_cut(void **state)
{
    (void)state;
    static char text[4096];
    struct rth_buffer_sink buffer;
    rth__buffer_sink_init(&buffer, text, sizeof(text));
    assert_int_equal(rth__sink_printf(&buffer.sink, "%1023d", 1), 0);
    assert_int_equal(buffer.sink.written_bytes, 1023);
    assert_int_equal(rth__sink_printf(&buffer.sink, "%1024d", 1), -EMSGSIZE);
    assert_int_equal(buffer.sink.written_bytes, 1023);
    assert_int_equal(rth__sink_puts(&buffer.sink, "x"), -EMSGSIZE);
}

static int calls;

static int fail_the_second(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    (void)sink;
    (void)data;
    (void)size_bytes;
    return ++calls == 2 ? -EPIPE : 0;
}

static void after_the_first_error_nothing_is_written(void **state)
{
    (void)state;
    struct rth_sink sink = {.write = fail_the_second};
    assert_int_equal(rth__sink_puts(&sink, "abc"), 0);
    assert_int_equal(rth__sink_puts(&sink, "def"), -EPIPE);
    assert_int_equal(rth__sink_puts(&sink, "ghi"), -EPIPE);
    assert_int_equal(calls, 2);
    assert_int_equal(sink.error, -EPIPE);
    assert_int_equal(sink.written_bytes, 3);
}

static bool hung_up(struct rth_sink *sink)
{
    return sink->written_bytes > 0;
}

static void cancellation_is_asked_of_the_sink(void **state)
{
    (void)state;
    struct rth_sink never = {.write = fail_the_second};
    struct rth_sink sink = {.write = fail_the_second, .cancelled = hung_up};
    assert_false(rth__sink_cancelled(&never));
    assert_false(rth__sink_cancelled(&sink));
    sink.written_bytes = 1;
    assert_true(rth__sink_cancelled(&sink));
}

RTH_TEST_MAIN(cmocka_unit_test(writes_follow_each_other_and_are_counted),
              cmocka_unit_test(a_full_buffer_keeps_what_fitted_and_the_error_stays),
              cmocka_unit_test(a_text_that_just_fits_is_no_error),
              cmocka_unit_test(no_room_at_all_touches_nothing),
              cmocka_unit_test(printf_refuses_what_it_would_have_to_cut),
              cmocka_unit_test(after_the_first_error_nothing_is_written),
              cmocka_unit_test(cancellation_is_asked_of_the_sink))
