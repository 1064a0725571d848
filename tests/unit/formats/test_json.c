/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "formats/json.h"
#include "formats/sink.h"

static char text[4096];
static struct rth_buffer_sink buffer;
static struct rth_json json;

static void start(void)
{
    rth__buffer_sink_init(&buffer, text, sizeof(text));
    rth__json_init(&json, &buffer.sink);
}

static void string_becomes(const char *value, size_t size_bytes, const char *wanted)
{
    start();
    rth__json_string_n(&json, value, size_bytes);
    assert_int_equal(buffer.sink.error, 0);
    assert_string_equal(text, wanted);
}

#define STRING_BECOMES(value, wanted) string_becomes(value, sizeof(value) - 1, wanted)
#define BAD                           "\xef\xbf\xbd"

static void commas_and_colons_are_where_they_belong(void **state)
{
    (void)state;
    start();
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "a", "x");
    rth__json_member_string(&json, "b", NULL);
    rth__json_member_int(&json, "c", -1);
    rth__json_member_uint(&json, "d", UINT64_MAX);
    rth__json_member_double(&json, "e", 0.5);
    rth__json_member_bool(&json, "f", true);
    rth__json_key(&json, "g");
    rth__json_array_begin(&json);
    rth__json_int(&json, 1);
    rth__json_bool(&json, false);
    rth__json_null(&json);
    rth__json_array_begin(&json);
    rth__json_array_end(&json);
    rth__json_object_begin(&json);
    rth__json_object_end(&json);
    rth__json_array_end(&json);
    rth__json_key(&json, "h");
    rth__json_object_begin(&json);
    rth__json_member_int(&json, "i", 2);
    rth__json_object_end(&json);
    rth__json_member_int(&json, "j", 3);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    assert_int_equal(buffer.sink.error, 0);
    assert_string_equal(text, "{\"a\":\"x\",\"b\":null,\"c\":-1,\"d\":18446744073709551615,"
                              "\"e\":0.5,\"f\":true,\"g\":[1,false,null,[],{}],"
                              "\"h\":{\"i\":2},\"j\":3}\n");
}

static void control_characters_quotes_and_backslashes_are_escaped(void **state)
{
    (void)state;
    STRING_BECOMES("a\"b\\c/", "\"a\\\"b\\\\c/\"");
    STRING_BECOMES("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    STRING_BECOMES("\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"");
    STRING_BECOMES("a\0b", "\"a\\u0000b\"");
    STRING_BECOMES("", "\"\"");
}

static void utf8_passes_unchanged(void **state)
{
    (void)state;
    STRING_BECOMES("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                   "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    STRING_BECOMES("\xc2\x80\xdf\xbf", "\"\xc2\x80\xdf\xbf\"");
    STRING_BECOMES("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80",
                   "\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\"");
    STRING_BECOMES("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
}

static void each_byte_that_is_no_utf8_is_replaced(void **state)
{
    (void)state;
    STRING_BECOMES("\xff", "\"" BAD "\"");
    STRING_BECOMES("a\x80z", "\"a" BAD "z\"");
    STRING_BECOMES("\xc0\xaf", "\"" BAD BAD "\"");                 /* overlong '/' */
    STRING_BECOMES("\xe0\x80\xaf", "\"" BAD BAD BAD "\"");         /* overlong '/' */
    STRING_BECOMES("\xed\xa0\x80", "\"" BAD BAD BAD "\"");         /* surrogate */
    STRING_BECOMES("\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\""); /* above U+10FFFF */
    STRING_BECOMES("\xf5\x80\x80\x80", "\"" BAD BAD BAD BAD "\"");
    STRING_BECOMES("\xe2\x82", "\"" BAD BAD "\"");       /* cut */
    STRING_BECOMES("\xe2\x82\"", "\"" BAD BAD "\\\"\""); /* a quote must not be swallowed */
    STRING_BECOMES("\xf0\x9f\x98z", "\"" BAD BAD BAD "z\"");
}

static void keys_are_escaped_too(void **state)
{
    (void)state;
    start();
    rth__json_object_begin(&json);
    rth__json_member_int(&json, "a\"\xff", 1);
    rth__json_object_end(&json);
    assert_string_equal(text, "{\"a\\\"" BAD "\":1}");
}

static void what_is_not_finite_is_null(void **state)
{
    (void)state;
    start();
    rth__json_array_begin(&json);
    rth__json_double(&json, (double)NAN);
    rth__json_double(&json, (double)INFINITY);
    rth__json_double(&json, -(double)INFINITY);
    rth__json_double(&json, 1e300);
    rth__json_array_end(&json);
    assert_string_equal(text, "[null,null,null,1e+300]");
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    start();
    for (int i = 0; i < RTH_JSON_DEPTH_MAX; i++)
        rth__json_array_begin(&json);
    assert_int_equal(buffer.sink.error, 0);
    rth__json_array_begin(&json);
    assert_int_equal(buffer.sink.error, -EOVERFLOW);
}

static void misuse_is_an_error(void **state)
{
    (void)state;
    start();
    rth__json_object_end(&json);
    assert_int_equal(buffer.sink.error, -EINVAL);
    start();
    rth__json_key(&json, "a");
    assert_int_equal(buffer.sink.error, -EINVAL);
    start();
    rth__json_array_begin(&json);
    rth__json_finish(&json);
    assert_int_equal(buffer.sink.error, -EINVAL);
    start();
    rth__json_object_begin(&json);
    rth__json_key(&json, "a");
    rth__json_object_end(&json);
    assert_int_equal(buffer.sink.error, -EINVAL);
}

static void a_full_sink_is_told_once_at_the_end(void **state)
{
    (void)state;
    char small[8];
    rth__buffer_sink_init(&buffer, small, sizeof(small));
    rth__json_init(&json, &buffer.sink);
    rth__json_object_begin(&json);
    rth__json_member_string(&json, "key", "value");
    rth__json_object_end(&json);
    rth__json_finish(&json);
    assert_int_equal(buffer.sink.error, -ENOSPC);
    assert_string_equal(small, "{\"key\":");
}

RTH_TEST_MAIN(cmocka_unit_test(commas_and_colons_are_where_they_belong),
              cmocka_unit_test(control_characters_quotes_and_backslashes_are_escaped),
              cmocka_unit_test(utf8_passes_unchanged),
              cmocka_unit_test(each_byte_that_is_no_utf8_is_replaced),
              cmocka_unit_test(keys_are_escaped_too), cmocka_unit_test(what_is_not_finite_is_null),
              cmocka_unit_test(nesting_is_bounded), cmocka_unit_test(misuse_is_an_error),
              cmocka_unit_test(a_full_sink_is_told_once_at_the_end))
