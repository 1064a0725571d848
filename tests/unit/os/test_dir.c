/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os/dir.h"
#include "os/fd.h"

#define MANY 700 /* entries of some 30 bytes each: several buffers full */

static char folder[] = "/tmp/rthooks-test-dir-XXXXXX";
static int folder_fd;

static void make_folder(void)
{
    (void)memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(folder));
    folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder_fd >= 0);
}

static void remove_folder(void)
{
    struct rth_dir dir;
    const char *name;
    if (rth__dir_open(&dir, folder_fd, ".") == 0) {
        while ((name = rth__dir_next(&dir, NULL)) != NULL)
            (void)unlinkat(folder_fd, name, 0);
        rth__dir_close(&dir);
    }
    (void)close(folder_fd);
    assert_int_equal(rmdir(folder), 0);
}

static void make_file(const char *name)
{
    int fd = openat(folder_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void every_name_but_the_dots_comes_once(void **state)
{
    (void)state;
    static bool seen[MANY];
    struct rth_dir dir;
    const char *name;
    int count = 0, error = 1, number;
    make_folder();
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < MANY; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "a name of file %d", i);
        make_file(text);
    }
    assert_int_equal(rth__dir_open(&dir, folder_fd, "."), 0);
    while ((name = rth__dir_next(&dir, &error)) != NULL) {
        assert_int_equal(sscanf(name, "a name of file %d", &number), 1);
        assert_in_range(number, 0, MANY - 1);
        assert_false(seen[number]);
        seen[number] = true;
        count++;
    }
    assert_int_equal(count, MANY);
    assert_int_equal(error, 0);
    /* The end stays the end. */
    assert_null(rth__dir_next(&dir, NULL));
    rth__dir_close(&dir);
    assert_int_equal(dir.fd, -1);
    remove_folder();
}

static void only_whole_positive_numbers_are_numbers(void **state)
{
    (void)state;
    static const char *const names[] = {"0",  "1",    "2147483647", "2147483648", "99999999999999",
                                        "02", "+3",   "-4",         "5a",         "a6",
                                        "7 ", "self", "0x8",        "42",         "thread-self"};
    struct rth_dir dir;
    int error = 1, number, count = 0;
    int64_t sum = 0;
    make_folder();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        make_file(names[i]);
    assert_int_equal(rth__dir_open(&dir, folder_fd, "."), 0);
    while ((number = rth__dir_next_number(&dir, &error)) != 0) {
        assert_true(number > 0);
        sum += number;
        count++;
    }
    assert_int_equal(error, 0);
    assert_int_equal(count, 3);
    assert_int_equal(sum, INT64_C(1) + 42 + 2147483647);
    rth__dir_close(&dir);
    remove_folder();
}

static void an_empty_folder_ends_at_once(void **state)
{
    (void)state;
    struct rth_dir dir;
    int error = 1;
    make_folder();
    assert_int_equal(rth__dir_open(&dir, folder_fd, "."), 0);
    assert_null(rth__dir_next(&dir, &error));
    assert_int_equal(error, 0);
    rth__dir_close(&dir);
    remove_folder();
}

static void what_is_no_folder_cannot_be_opened(void **state)
{
    (void)state;
    struct rth_dir dir;
    make_folder();
    make_file("file");
    assert_int_equal(rth__dir_open(&dir, folder_fd, "file"), -ENOTDIR);
    assert_int_equal(dir.fd, -1);
    assert_int_equal(rth__dir_open(&dir, folder_fd, "missing"), -ENOENT);
    rth__dir_close(&dir);
    remove_folder();
}

static void a_read_error_is_told_apart_from_the_end(void **state)
{
    (void)state;
    struct rth_dir dir;
    int error = 0;
    make_folder();
    assert_int_equal(rth__dir_open(&dir, folder_fd, "."), 0);
    (void)close(dir.fd);
    dir.fd = -1;
    assert_null(rth__dir_next(&dir, &error));
    assert_int_equal(error, -EBADF);
    error = 0;
    assert_int_equal(rth__dir_next_number(&dir, &error), 0);
    assert_int_equal(error, -EBADF);
    remove_folder();
}

RTH_TEST_MAIN(cmocka_unit_test(every_name_but_the_dots_comes_once),
              cmocka_unit_test(only_whole_positive_numbers_are_numbers),
              cmocka_unit_test(an_empty_folder_ends_at_once),
              cmocka_unit_test(what_is_no_folder_cannot_be_opened),
              cmocka_unit_test(a_read_error_is_told_apart_from_the_end))
