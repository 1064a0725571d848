/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "formats/sink.h"
#include "os/fd.h"
#include "profile/symbol.h"
#include "record/module.h"

static bool parses_as(const char *text, uint64_t number)
{
    uint64_t found = 0;
    return rth__symbol_number_parse(text, strlen(text), &found) && found == number;
}

static bool is_refused(const char *text)
{
    uint64_t found = 12345;
    return !rth__symbol_number_parse(text, strlen(text), &found) && found == 12345;
}

static void numbers_of_every_base_are_read(void **state)
{
    (void)state;
    assert_true(parses_as("0", 0));
    assert_true(parses_as("7", 7));
    assert_true(parses_as("0x7fffdeadBEEF", UINT64_C(0x7fffdeadbeef)));
    assert_true(parses_as("0XaB", 0xab));
    assert_true(parses_as("0b101", 5));
    assert_true(parses_as("0B11", 3));
    assert_true(parses_as("0o17", 15));
    assert_true(parses_as("017", 15));
    assert_true(parses_as("00", 0));
    assert_true(parses_as("18446744073709551615", UINT64_MAX));
    assert_true(parses_as("0xffffffffffffffff", UINT64_MAX));
}

static void underscores_stand_between_digits(void **state)
{
    (void)state;
    assert_true(parses_as("1_000", 1000));
    assert_true(parses_as("0x_ff", 0xff));
    assert_true(parses_as("0_17", 15));
    assert_true(is_refused("_1"));
    assert_true(is_refused("1_"));
    assert_true(is_refused("1__0"));
    assert_true(is_refused("0x__1"));
    assert_true(is_refused("_"));
    assert_true(is_refused("0_"));
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const words[] = {
        "",     "x",   "0x",      "0b",
        "0o",   "0xg", "0b2",     "08",
        "9a",   "-1",  "+1",      " 1",
        "1 ",   "1\n", "0x1p3",   "1.0",
        "0x-1", "0xé", "debug=1", "18446744073709551616",
        "@",    "`",   "[",       "0x10000000000000000",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_true(is_refused(words[i]));
    uint64_t found = 1;
    assert_false(rth__symbol_number_parse("1\0002", 3, &found));
}

/* What the route can't do here, where no thread of ours has opened "/". */
static void know_the_modules(void)
{
    RTH__AUTO_CLOSE int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__modules_refresh(root_fd) >= 0);
}

static const char *ask(const char *query, const char *body)
{
    static char text[4096];
    struct rth_buffer_sink sink;
    struct rth_call call = {.status = 200, .subpath = "", .accept = ""};
    call.params.query = query;
    call.params.query_bytes = query != NULL ? strlen(query) : 0;
    call.body = body;
    call.body_bytes = body != NULL ? strlen(body) : 0;
    rth__buffer_sink_init(&sink, text, sizeof(text));
    assert_int_equal(rth__symbol_write(&call, &sink.sink), 0);
    assert_int_equal(call.status, 200);
    return text;
}

static void empty_question_says_that_names_can_be_had(void **state)
{
    (void)state;
    assert_string_equal(ask(NULL, NULL), "num_symbols: 1\n");
    assert_string_equal(ask("", NULL), "num_symbols: 1\n");
    assert_string_equal(ask("debug=1", NULL), "num_symbols: 1\n");
    assert_string_equal(ask(NULL, "++&+"), "num_symbols: 1\n");
    assert_string_equal(ask(NULL, "0+0x1"), "num_symbols: 1\n");
}

static void body_is_asked_before_the_query(void **state)
{
    (void)state;
    char address[32], line[64];
    know_the_modules();
    (void)snprintf(address, sizeof(address), "0x%llx", (unsigned long long)(uintptr_t)getenv + 1);
    (void)snprintf(line, sizeof(line), "num_symbols: 1\n%s getenv\n", address);
    assert_string_equal(ask(address, NULL), line);
    assert_string_equal(ask("0x1", address), line);
    assert_string_equal(ask(address, "0x1"), "num_symbols: 1\n");
}

static void parameters_may_stand_beside_the_addresses(void **state)
{
    (void)state;
    char query[64];
    know_the_modules();
    (void)snprintf(query, sizeof(query), "pid=1&0x%llx+0x1&x",
                   (unsigned long long)(uintptr_t)getenv + 1);
    assert_non_null(strstr(ask(query, NULL), " getenv\n"));
}

static void lines_come_in_the_order_of_the_question(void **state)
{
    (void)state;
    char query[96], lines[160];
    unsigned long long high = (uintptr_t)getenv + 1, low = (uintptr_t)abort + 1;
    know_the_modules();
    (void)snprintf(query, sizeof(query), "%llu+0x%llx+%llu", high, low, high);
    (void)snprintf(lines, sizeof(lines),
                   "num_symbols: 1\n0x%llx getenv\n0x%llx abort\n0x%llx getenv\n", high, low, high);
    assert_string_equal(ask(query, NULL), lines);
}

RTH_TEST_MAIN(cmocka_unit_test(numbers_of_every_base_are_read),
              cmocka_unit_test(underscores_stand_between_digits),
              cmocka_unit_test(what_is_no_number_is_refused),
              cmocka_unit_test(empty_question_says_that_names_can_be_had),
              cmocka_unit_test(body_is_asked_before_the_query),
              cmocka_unit_test(parameters_may_stand_beside_the_addresses),
              cmocka_unit_test(lines_come_in_the_order_of_the_question))
