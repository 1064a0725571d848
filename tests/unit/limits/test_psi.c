/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/stat.h>

#include "helper/temp_folder.h"
#include "limits/psi.h"

static char tree[TEMP_FOLDER_BYTES];
static int root_fd;

static int make_tree(void **state)
{
    (void)state;
    root_fd = temp_folder_make(tree);
    return mkdirat(root_fd, "group", 0700);
}

static int remove_tree(void **state)
{
    (void)state;
    rth__psi_open(root_fd, "");
    (void)close(root_fd);
    temp_folder_remove(tree);
    return 0;
}

static void put_total(unsigned long long some_us)
{
    char text[200];
    int length = snprintf(text, sizeof(text),
                          "some avg10=0.00 avg60=0.00 avg300=0.00 total=%llu\n"
                          "full avg10=0.00 avg60=0.00 avg300=0.00 total=77\n",
                          some_us);
    int fd = openat(root_fd, "group/memory.pressure", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, (size_t)length), length);
    assert_int_equal(close(fd), 0);
}

static void each_line_has_its_total(void **state)
{
    (void)state;
    static const char text[] = "some avg10=1.50 total=123\nfull avg10=0.00 total=45\n";
    uint64_t total_us = 0;
    assert_int_equal(rth__psi_total_parse(text, "some", &total_us), 0);
    assert_int_equal(total_us, 123);
    assert_int_equal(rth__psi_total_parse(text, "full", &total_us), 0);
    assert_int_equal(total_us, 45);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "some",
                                      "some total=1",
                                      "some total=\n",
                                      "some total=1x\n",
                                      "some total=-1\n",
                                      "some total=99999999999999999999\n",
                                      "somewhat total=1\n",
                                      "full avg10=0.00 total=1\n",
                                      "some avg10=0.00\nfull total=1\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t total_us = 7;
        assert_int_equal(rth__psi_total_parse(bad[i], "some", &total_us), -EBADMSG);
        assert_int_equal(total_us, 7);
    }
}

static void ten_more_milliseconds_are_a_stall_and_the_first_look_is_none(void **state)
{
    (void)state;
    put_total(5000000);
    rth__psi_open(root_fd, "group");
    assert_false(rth__psi_has_stalled());
    put_total(5009999);
    assert_false(rth__psi_has_stalled());
    put_total(5019999);
    assert_true(rth__psi_has_stalled());
    assert_false(rth__psi_has_stalled());
    put_total(10); /* another group's, or begun anew */
    assert_false(rth__psi_has_stalled());
}

static void without_a_file_nothing_stalls(void **state)
{
    (void)state;
    rth__psi_open(root_fd, "group");
    assert_false(rth__psi_has_stalled());
    rth__psi_open(root_fd, "");
    assert_false(rth__psi_has_stalled());
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)
RTH_TEST_MAIN(CASE(each_line_has_its_total), CASE(other_texts_are_refused),
              CASE(ten_more_milliseconds_are_a_stall_and_the_first_look_is_none),
              CASE(without_a_file_nothing_stalls))
