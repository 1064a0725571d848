/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/label_filter.h"
#include "profile/label_text.h"

#define TEXT(k, t)                                                                                 \
    {                                                                                              \
        .key = (k), .text = (t), .unit = ""                                                        \
    }
#define NUMBER(k, n, u)                                                                            \
    {                                                                                              \
        .key = (k), .text = "", .number = (n), .unit = (u)                                         \
    }

/* One sample each: a request, a large block, a small one, something slow, and none. */
static struct rth_pprof_label_row labels[] = {
    TEXT("handler", "/checkout"),
    TEXT("tenant", "tenant-42"),
    NUMBER("bytes", 64 << 10, "bytes"),
    TEXT("handler", "/search"),
    NUMBER("bytes", 16, ""),
    NUMBER("count", 7, ""),
    NUMBER("latency", 1500, "microseconds"),
    TEXT("number", "7"),
    {.key = "handler", .text = "", .unit = ""},
};
static struct rth_pprof_sample_row samples[] = {
    {.first_label = 0, .label_count = 2}, {.first_label = 2, .label_count = 2},
    {.first_label = 4, .label_count = 2}, {.first_label = 6, .label_count = 2},
    {.first_label = 8, .label_count = 1},
};
#define REQUEST 0x01u
#define LARGE   0x02u
#define SMALL   0x04u
#define SLOW    0x08u

/* The samples that match, as bits. */
static unsigned matches_of(const char *spec)
{
    char message[256] = "";
    struct profile profile = {.document = {.labels = labels,
                                           .label_count = sizeof(labels) / sizeof(labels[0]),
                                           .samples = samples,
                                           .sample_count = 5}};
    struct label_filter filter;
    unsigned result = 0;
    profile_take_label_units(&profile);
    if (label_filter_parse(spec, &filter, message, sizeof(message)) != 0)
        fail_msg("'%s' is refused: %s", spec, message);
    assert_true(filter.is_given);
    for (uint32_t row = 0; row < 5; row++)
        result |= label_filter_matches(&filter, &profile, row) ? 1u << row : 0;
    label_filter_free(&filter);
    pool_free(&profile.pool);
    return result;
}

static void key_and_expression_look_at_the_texts_of_that_key(void **state)
{
    (void)state;
    assert_int_equal(matches_of("handler=/checkout"), REQUEST);
    assert_int_equal(matches_of("handler=^/"), REQUEST | LARGE);
    assert_int_equal(matches_of("handler="), REQUEST | LARGE);
    assert_int_equal(matches_of("handler=handler"), 0);
    assert_int_equal(matches_of("tenant=check"), 0);
    assert_int_equal(matches_of("handle=/checkout"), 0);
    /* The first '=' ends the key. */
    assert_int_equal(matches_of("handler==/checkout"), 0);
}

static void with_a_key_one_of_several_expressions_is_enough(void **state)
{
    (void)state;
    assert_int_equal(matches_of("handler=/checkout,/search"), REQUEST | LARGE);
    assert_int_equal(matches_of("handler=nothing,/search"), LARGE);
    assert_int_equal(matches_of("handler=nothing,"), REQUEST | LARGE);
}

static void without_a_key_every_expression_needs_a_label(void **state)
{
    (void)state;
    assert_int_equal(matches_of("/checkout"), REQUEST);
    assert_int_equal(matches_of("^handler:/s"), LARGE);
    assert_int_equal(matches_of("handler"), REQUEST | LARGE);
    assert_int_equal(matches_of("handler:/,tenant:.*42"), REQUEST);
    assert_int_equal(matches_of("handler:/,tenant:nobody"), 0);
    assert_int_equal(matches_of("=tenant"), REQUEST);
    /* Numbers are not looked at as texts. */
    assert_int_equal(matches_of("bytes:"), 0);
}

static void numbers_are_compared_in_their_units(void **state)
{
    (void)state;
    assert_int_equal(matches_of("bytes=64kb"), LARGE);
    assert_int_equal(matches_of("bytes=65536B"), LARGE);
    assert_int_equal(matches_of("bytes=65536bytes"), LARGE);
    assert_int_equal(matches_of("64KB"), LARGE);
    assert_int_equal(matches_of("bytes=:64kb"), LARGE | SMALL);
    assert_int_equal(matches_of("bytes=:63kb"), SMALL);
    assert_int_equal(matches_of("bytes=64kb:"), LARGE);
    assert_int_equal(matches_of("bytes=65kb:"), 0);
    assert_int_equal(matches_of("bytes=16b:1mb"), LARGE | SMALL);
    assert_int_equal(matches_of("8kb:1mb"), LARGE);
    assert_int_equal(matches_of("bytes=1kb:100"), LARGE);
    assert_int_equal(matches_of("latency=1ms:2ms"), SLOW);
    assert_int_equal(matches_of("1500us"), SLOW);
    assert_int_equal(matches_of("tenant=64kb"), 0);
}

static void units_of_another_kind_never_match(void **state)
{
    (void)state;
    assert_int_equal(matches_of("bytes=65536"), 0);
    assert_int_equal(matches_of("bytes=1s:"), 0);
    assert_int_equal(matches_of("latency=1kb:"), 0);
    assert_int_equal(matches_of("0b:"), LARGE | SMALL);
}

static void numbers_without_a_unit_have_that_of_their_key(void **state)
{
    (void)state;
    /* Those of "bytes" that have none are bytes, as the others of the key. */
    assert_int_equal(matches_of("bytes=16b"), SMALL);
    assert_int_equal(matches_of("count=7"), SMALL);
    assert_int_equal(matches_of("count=7count"), SMALL);
    assert_int_equal(matches_of("6:8"), SMALL);
    assert_int_equal(matches_of("count=-7:+7"), SMALL);
    /* What is neither bytes nor time is compared by its number alone. */
    assert_int_equal(matches_of("count=7kb"), SMALL);
    assert_int_equal(matches_of("count=7s"), SMALL);
    /* A text that looks like a number is none. */
    assert_int_equal(matches_of("number=7"), 0);
}

static void what_is_no_range_is_an_expression(void **state)
{
    (void)state;
    static const char *const specs[] = {"tenant=-42",  "tenant=42$",       "tenant=t.*42",
                                        "tenant=4[2]", "tenant=42|nobody", "tenant=.?42"};
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        /* "-42" alone is a number. */
        assert_int_equal(matches_of(specs[i]), i == 0 ? 0 : REQUEST);
    }
    /* Ends of different kinds: "5:10kb" is looked for as a text. */
    assert_int_equal(matches_of("number=5:10kb"), 0);
    assert_int_equal(matches_of("number=7,8"), SLOW);
    assert_int_equal(matches_of("1:2:3"), 0);
    assert_int_equal(matches_of("64kb "), 0);
}

static void an_empty_spec_is_none(void **state)
{
    (void)state;
    char message[64];
    struct label_filter filter;
    assert_int_equal(label_filter_parse("", &filter, message, sizeof(message)), 0);
    assert_false(filter.is_given);
    label_filter_free(&filter);
}

static void bad_specs_are_refused_with_a_reason(void **state)
{
    (void)state;
    char message[256];
    struct label_filter filter = {.pattern_count = 77};
    assert_int_equal(label_filter_parse("handler=a,(", &filter, message, sizeof(message)), -EINVAL);
    assert_non_null(strstr(message, "'(' is no regular expression"));
    static const char *const large[] = {"99999999999999999999", "bytes=1kb:99999999999999999999kb",
                                        ":-99999999999999999999"};
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        assert_int_equal(label_filter_parse(large[i], &filter, message, sizeof(message)), -ERANGE);
        assert_non_null(strstr(message, "too large"));
    }
    assert_int_equal(filter.pattern_count, 77);
}

static void several_labels_of_a_key_are_one_text(void **state)
{
    (void)state;
    static struct rth_pprof_label_row mixed[] = {
        NUMBER("size", 2048, "bytes"), TEXT("size", "large"),     TEXT("size", "odd"),
        NUMBER("request", 1024, ""),   NUMBER("plain", 1024, ""),
    };
    static struct rth_pprof_sample_row one = {.first_label = 0, .label_count = 5};
    struct profile profile = {
        .document = {.labels = mixed, .label_count = 5, .samples = &one, .sample_count = 1}};
    struct label_buffer buffer = {0};
    profile_take_label_units(&profile);
    assert_string_equal(labels_of_sample(&profile, 0, "size", true, &buffer), "large,odd,2kB");
    assert_string_equal(labels_of_sample(&profile, 0, "request", true, &buffer), "1kB");
    assert_string_equal(labels_of_sample(&profile, 0, "request", false, &buffer), "1024");
    assert_string_equal(labels_of_sample(&profile, 0, "plain", true, &buffer), "1024");
    assert_null(labels_of_sample(&profile, 0, "siz", true, &buffer));
    label_buffer_free(&buffer);
    pool_free(&profile.pool);
}

RTH_TEST_MAIN(cmocka_unit_test(key_and_expression_look_at_the_texts_of_that_key),
              cmocka_unit_test(with_a_key_one_of_several_expressions_is_enough),
              cmocka_unit_test(without_a_key_every_expression_needs_a_label),
              cmocka_unit_test(numbers_are_compared_in_their_units),
              cmocka_unit_test(units_of_another_kind_never_match),
              cmocka_unit_test(numbers_without_a_unit_have_that_of_their_key),
              cmocka_unit_test(what_is_no_range_is_an_expression),
              cmocka_unit_test(an_empty_spec_is_none),
              cmocka_unit_test(bad_specs_are_refused_with_a_reason),
              cmocka_unit_test(several_labels_of_a_key_are_one_text))
