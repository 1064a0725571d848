/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/unit.h"
#include "limits/pressure_watch.h"

static char folder[64], path[100];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/rth-watch-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/watch", folder);
}

static void remove_folder(void)
{
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void configure(const char *watch, const char *write_text)
{
    static char first[256], second[256];
    const char *environment[] = {first, second, NULL};
    (void)snprintf(first, sizeof(first), "%s%s",
                   watch != NULL ? "MEMORY_PRESSURE_WATCH=" : "A=", watch != NULL ? watch : "");
    (void)snprintf(
        second, sizeof(second), "%s%s",
        write_text != NULL ? "MEMORY_PRESSURE_WRITE=" : "B=", write_text != NULL ? write_text : "");
    rth__pressure_watch_configure(environment);
    rth__pressure_watch_open();
}

static void base64_is_decoded(void **state)
{
    (void)state;
    unsigned char data[32];
    assert_int_equal(rth__base64_decode("c29tZSAyMDAwMDAgMjAwMDAwMAA=", data, sizeof(data)), 20);
    assert_memory_equal(data, "some 200000 2000000", 20);
    assert_int_equal(rth__base64_decode("YQ==", data, sizeof(data)), 1);
    assert_int_equal(rth__base64_decode("YWI=", data, sizeof(data)), 2);
    assert_int_equal(rth__base64_decode("YWJj", data, sizeof(data)), 3);
    assert_memory_equal(data, "abc", 3);
    assert_int_equal(rth__base64_decode("", data, sizeof(data)), 0);
}

static void what_is_not_base64_is_refused(void **state)
{
    (void)state;
    unsigned char data[4];
    static const char *const bad[] = {"a", "ab", "abc", "ab=c", "a===", "ab c", "ab\n=", "YWJ*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(rth__base64_decode(bad[i], data, sizeof(data)), -EINVAL);
    assert_int_equal(rth__base64_decode("YWJjZGVm", data, sizeof(data)), -ENOSPC);
}

static void nothing_is_watched_unless_it_was_asked_for(void **state)
{
    (void)state;
    configure(NULL, "YQ==");
    assert_string_equal(rth__pressure_watch_path(), "");
    assert_false(rth__pressure_watch_fired());
    configure("/dev/null", NULL);
    assert_string_equal(rth__pressure_watch_path(), "");
    assert_string_equal(rth__pressure_watch_reason(), "");
}

static void what_cannot_be_watched_is_said(void **state)
{
    (void)state;
    configure("relative", NULL);
    assert_string_not_equal(rth__pressure_watch_reason(), "");
    configure("/nowhere/at/all", NULL);
    assert_string_not_equal(rth__pressure_watch_reason(), "");
    assert_false(rth__pressure_watch_fired());
    make_folder();
    assert_int_equal(mkfifo(path, 0600), 0);
    configure(path, "***");
    assert_string_equal(rth__pressure_watch_reason(), "MEMORY_PRESSURE_WRITE is not base64");
    assert_false(rth__pressure_watch_fired());
    remove_folder();
}

static void a_fifo_fires_once_for_what_was_written(void **state)
{
    (void)state;
    make_folder();
    assert_int_equal(mkfifo(path, 0600), 0);
    configure(path, NULL);
    assert_string_equal(rth__pressure_watch_reason(), "");
    assert_false(rth__pressure_watch_fired());
    int writer = open(path, O_WRONLY | O_NONBLOCK);
    assert_true(writer >= 0);
    assert_int_equal(write(writer, "x", 1), 1);
    assert_true(rth__pressure_watch_fired());
    assert_false(rth__pressure_watch_fired());
    assert_int_equal(close(writer), 0);
    assert_false(rth__pressure_watch_fired());
    assert_string_equal(rth__pressure_watch_reason(), "closed by the other end");
    remove_folder();
}

static void a_new_start_has_nothing_of_an_earlier_one(void **state)
{
    (void)state;
    make_folder();
    assert_int_equal(mkfifo(path, 0600), 0);
    configure(path, NULL);
    int writer = open(path, O_WRONLY | O_NONBLOCK);
    assert_true(writer >= 0);
    assert_int_equal(write(writer, "x", 1), 1);
    char variable[128];
    (void)snprintf(variable, sizeof(variable), "MEMORY_PRESSURE_WATCH=%s", path);
    rth__pressure_watch_configure((const char *const[]){variable, NULL});
    assert_false(rth__pressure_watch_fired()); /* its number may be anybody's */
    rth__pressure_watch_open();
    assert_true(rth__pressure_watch_fired());
    assert_int_equal(close(writer), 0);
    remove_folder();
}

static void a_socket_gets_what_is_to_be_written_and_fires(void **state)
{
    (void)state;
    make_folder();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    configure(path, "YWJj");
    int peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    char got[4] = "";
    assert_int_equal(read(peer, got, 3), 3);
    assert_string_equal(got, "abc");
    assert_false(rth__pressure_watch_fired());
    assert_int_equal(write(peer, "y", 1), 1);
    assert_true(rth__pressure_watch_fired());
    assert_int_equal(close(peer) | close(listener), 0);
    remove_folder();
}

RTH_TEST_MAIN(cmocka_unit_test(base64_is_decoded), cmocka_unit_test(what_is_not_base64_is_refused),
              cmocka_unit_test(nothing_is_watched_unless_it_was_asked_for),
              cmocka_unit_test(what_cannot_be_watched_is_said),
              cmocka_unit_test(a_fifo_fires_once_for_what_was_written),
              cmocka_unit_test(a_new_start_has_nothing_of_an_earlier_one),
              cmocka_unit_test(a_socket_gets_what_is_to_be_written_and_fires), )
