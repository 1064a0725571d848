/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/unit.h"
#include "record/counted.h"
#include "record/strings.h"

static uint32_t intern(const char *text)
{
    return rth__string_intern_sigsafe(text, strlen(text));
}

static uint32_t intern_number(const char *prefix, unsigned number)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%s%u", prefix, number);
    return intern(text);
}

static void a_string_has_one_number_and_is_found_by_it(void **state)
{
    (void)state;
    assert_int_equal(rth__strings_init(), 0);
    assert_int_equal(rth__strings_init(), 0); /* once more is nothing */
    uint32_t one = intern("one"), two = intern("two"), empty = intern("");
    assert_int_not_equal(one, RTH_STRING_NONE);
    assert_int_not_equal(one, two);
    assert_int_not_equal(empty, RTH_STRING_NONE);
    assert_int_equal(intern("one"), one);
    assert_string_equal(rth__string_text(one), "one");
    assert_string_equal(rth__string_text(two), "two");
    assert_string_equal(rth__string_text(empty), "");
    assert_int_equal(rth__strings_count(), 3);
}

static void strings_of_every_length_come_back_whole(void **state)
{
    (void)state;
    assert_int_equal(rth__strings_init(), 0);
    static char text[RTH_STRING_BYTES_MAX + 2];
    uint32_t ids[64];
    for (size_t length = 0; length < 64; length++) {
        memset(text, 'a' + (int)(length % 26), length);
        ids[length] = rth__string_intern_sigsafe(text, length);
    }
    for (size_t length = 0; length < 64; length++) {
        const char *found = rth__string_text(ids[length]);
        assert_int_equal(strlen(found), length);
        for (size_t i = 0; i < length; i++)
            assert_int_equal(found[i], 'a' + (int)(length % 26));
    }
    memset(text, 'x', sizeof(text));
    uint32_t longest = rth__string_intern_sigsafe(text, RTH_STRING_BYTES_MAX);
    assert_int_equal(strlen(rth__string_text(longest)), RTH_STRING_BYTES_MAX);
    assert_int_equal(rth__string_intern_sigsafe(text, RTH_STRING_BYTES_MAX + 1), RTH_STRING_NONE);
}

static void before_there_is_memory_there_are_no_strings(void **state)
{
    (void)state;
    assert_int_equal(intern("early"), RTH_STRING_NONE);
    assert_null(rth__string_text(1));
    assert_int_equal(rth__strings_count(), 0);
}

static void a_full_table_keeps_what_it_has_and_refuses_more(void **state)
{
    (void)state;
    assert_int_equal(rth__strings_init(), 0);
    unsigned kept = 0;
    while (kept < 1000000 && intern_number("value ", kept) != RTH_STRING_NONE)
        kept++;
    assert_in_range(kept, 10000, 65536);
    assert_int_equal(rth__strings_count(), kept);
    uint32_t first = intern_number("value ", 0);
    assert_string_equal(rth__string_text(first), "value 0");
    for (unsigned i = 0; i < kept; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "value %u", i);
        assert_string_equal(rth__string_text(intern(text)), text);
    }
}

static void numbers_never_given_are_no_strings_or_end_within_the_table(void **state)
{
    (void)state;
    assert_int_equal(rth__strings_init(), 0);
    (void)intern("only");
    assert_null(rth__string_text(RTH_STRING_NONE));
    assert_null(rth__string_text(UINT32_MAX));
    assert_null(rth__string_text(1u << 16));
    assert_int_equal(strlen(rth__string_text((1u << 16) - 2)), 0);
}

enum { THREADS = 4, STRINGS = 3000 };
static uint32_t seen[THREADS][STRINGS];

static void *intern_all(void *argument)
{
    uintptr_t which = (uintptr_t)argument;
    for (unsigned i = 0; i < STRINGS; i++) {
        unsigned number = which % 2 != 0 ? i : STRINGS - 1 - i;
        seen[which][number] = intern_number("shared ", number);
    }
    return NULL;
}

static void threads_that_insert_at_once_agree(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    assert_int_equal(rth__strings_init(), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, intern_all, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(rth__strings_count(), STRINGS);
    for (unsigned i = 0; i < STRINGS; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "shared %u", i);
        assert_string_equal(rth__string_text(seen[0][i]), text);
        for (unsigned k = 1; k < THREADS; k++)
            assert_int_equal(seen[k][i], seen[0][i]);
    }
}

static void a_child_keeps_the_numbers_and_adds_its_own(void **state)
{
    (void)state;
    assert_int_equal(rth__strings_init(), 0);
    uint32_t ours = intern("parent's");
    pid_t pid = fork();
    if (pid == 0) {
        bool fine = strcmp(rth__string_text(ours), "parent's") == 0;
        rth__record_child_reset();
        fine = fine && rth__strings_init() == 0 && intern("parent's") == ours;
        uint32_t own = intern("child's");
        fine = fine && own != ours && strcmp(rth__string_text(own), "child's") == 0;
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(rth__strings_count(), 1);
}

RTH_TEST_MAIN(cmocka_unit_test(a_string_has_one_number_and_is_found_by_it),
              cmocka_unit_test(strings_of_every_length_come_back_whole),
              cmocka_unit_test(before_there_is_memory_there_are_no_strings),
              cmocka_unit_test(a_full_table_keeps_what_it_has_and_refuses_more),
              cmocka_unit_test(numbers_never_given_are_no_strings_or_end_within_the_table),
              cmocka_unit_test(threads_that_insert_at_once_agree),
              cmocka_unit_test(a_child_keeps_the_numbers_and_adds_its_own))
