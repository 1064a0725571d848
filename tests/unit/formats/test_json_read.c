/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "formats/json.h"
#include "formats/json_read.h"
#include "formats/sink.h"

static int member(const char *document, const char *key, struct rth_json_value *ret_value)
{
    return rth__json_read_member(document, strlen(document), key, ret_value);
}

static void members_are_found_whatever_stands_between(void **state)
{
    (void)state;
    static const char document[] =
        " {\"a\" : [1,{\"b\":2}], \"b\":\n-1.5e+3,\"c\":true , \"d\":\"x\",\"b\":0}\n";
    struct rth_json_value value;
    assert_int_equal(member(document, "a", &value), 0);
    assert_memory_equal(value.text, "[1,{\"b\":2}]", value.size_bytes);
    assert_int_equal(member(document, "b", &value), 0);
    assert_int_equal(value.size_bytes, 7);
    assert_memory_equal(value.text, "-1.5e+3", 7);
    assert_int_equal(member(document, "d", &value), 0);
    assert_memory_equal(value.text, "\"x\"", 3);
    assert_int_equal(member(document, "e", &value), -ENOENT);
    assert_int_equal(member(document, "", &value), -ENOENT);
    assert_int_equal(member("{}", "e", &value), -ENOENT);
    assert_int_equal(member("{\"abc\":1}", "ab", &value), -ENOENT);
}

static void what_is_no_object_has_no_member(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "1",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":-}",
        "{\"a\":nul}",
        "{\"a\":1}x",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":[1,]}",
        "{\"a\":1e",
        "{\"a\":[}]",
        "{\"a\":\"}",
        "{,}",
        "{\"a\":'b'}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u12",
        "{\"a\":\"\xff\"}",
    };
    struct rth_json_value value;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (member(bad[i], "a", &value) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
}

static void deep_documents_are_refused_and_their_end_is_not_searched_for(void **state)
{
    (void)state;
    static char text[4096];
    struct rth_json_value value;
    for (int depth = 1; depth <= RTH_JSON_READ_DEPTH_MAX + 1; depth++) {
        size_t used = (size_t)snprintf(text, sizeof(text), "{\"a\":");
        for (int i = 1; i < depth; i++)
            text[used++] = '[';
        for (int i = 1; i < depth; i++)
            text[used++] = ']';
        if (depth == 1)
            text[used++] = '1';
        text[used++] = '}';
        assert_int_equal(rth__json_read_member(text, used, "a", &value),
                         depth <= RTH_JSON_READ_DEPTH_MAX ? 0 : -EINVAL);
    }
    memset(text, '[', sizeof(text));
    memcpy(text, "{\"a\":", 5);
    assert_int_equal(rth__json_read_member(text, sizeof(text), "a", &value), -EINVAL);
}

static void text_is_read_back_as_the_writer_was_given_it(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "plain", "\"\\/\b\f\n\r\t\x01\x1f",
                                        "\xc3\xa4\xe2\x82\xac"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char document[256], read[64];
        struct rth_buffer_sink sink;
        struct rth_json json;
        struct rth_json_value value;
        rth__buffer_sink_init(&sink, document, sizeof(document));
        rth__json_init(&json, &sink.sink);
        rth__json_object_begin(&json);
        rth__json_member_string(&json, "text", texts[i]);
        rth__json_object_end(&json);
        rth__json_finish(&json);
        assert_int_equal(member(document, "text", &value), 0);
        assert_int_equal(rth__json_read_text(&value, read, sizeof(read)), 0);
        assert_string_equal(read, texts[i]);
        size_t length = strlen(texts[i]);
        assert_int_equal(rth__json_read_text(&value, read, length), -ENAMETOOLONG);
        assert_int_equal(rth__json_read_text(&value, read, length + 1), 0);
    }
}

static void escapes_that_c_cannot_hold_become_a_mark(void **state)
{
    (void)state;
    struct rth_json_value value;
    char read[64];
    assert_int_equal(member("{\"a\":\"\\u00e4\\u20ac\\u0000\\ud83d\\ude00\"}", "a", &value), 0);
    assert_int_equal(rth__json_read_text(&value, read, sizeof(read)), 0);
    assert_string_equal(read, "\xc3\xa4\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(member("{\"a\":7}", "a", &value), 0);
    assert_int_equal(rth__json_read_text(&value, read, sizeof(read)), -EINVAL);
}

static void numbers_are_whole_and_fit(void **state)
{
    (void)state;
    struct rth_json_value value;
    uint64_t number = 0;
    assert_int_equal(member("{\"a\":18446744073709551615}", "a", &value), 0);
    assert_int_equal(rth__json_read_uint(&value, &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(member("{\"a\":18446744073709551616}", "a", &value), 0);
    assert_int_equal(rth__json_read_uint(&value, &number), -ERANGE);
    static const char *const others[] = {"{\"a\":-1}", "{\"a\":1.5}", "{\"a\":1e3}",
                                         "{\"a\":\"1\"}", "{\"a\":null}"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(member(others[i], "a", &value), 0);
        assert_int_equal(rth__json_read_uint(&value, &number), -EINVAL);
    }
}

RTH_TEST_MAIN(cmocka_unit_test(members_are_found_whatever_stands_between),
              cmocka_unit_test(what_is_no_object_has_no_member),
              cmocka_unit_test(deep_documents_are_refused_and_their_end_is_not_searched_for),
              cmocka_unit_test(text_is_read_back_as_the_writer_was_given_it),
              cmocka_unit_test(escapes_that_c_cannot_hold_become_a_mark),
              cmocka_unit_test(numbers_are_whole_and_fit))
