/* SPDX-License-Identifier: MIT */
/* Calls that wait between their parts. */
#include "helper/unit.h"

#include <unistd.h>

#include "helper/test_server.h"

#define HOST "Host: localhost\r\n"

static void a_call_may_wait_again_after_each_step(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = get("/test/steps?ms=1&steps=5");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "steps=5\n");
    reply_free(&reply);
    reply = get("/test/steps?ms=1&steps=0");
    assert_string_equal(reply.body, "steps=0\n");
    reply_free(&reply);
    assert_int_equal(test_seen.cancelled, 0);
    server_stop();
}

static void a_step_that_fails_ends_the_call_with_its_status(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = get("/test/steps?ms=1&steps=2&fail=1");
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "no more\n");
    reply_free(&reply);
    assert_int_equal(test_seen.cancelled, 0); /* as after a begin that failed */
    server_stop();
}

static void a_client_that_leaves_between_steps_cancels_the_call(void **state)
{
    (void)state;
    server_start(NULL);
    int fd = connect_tcp();
    send_text(fd, "GET /test/steps?ms=5&steps=100000 HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&test_seen.stepped, 2);
    (void)close(fd);
    wait_for(&test_seen.cancelled, 1);
    int stepped = test_seen.stepped;
    test_pause_us(50000);
    assert_true(test_seen.stepped <= stepped + 1);
    server_stop();
}

RTH_TEST_MAIN(cmocka_unit_test(a_call_may_wait_again_after_each_step),
              cmocka_unit_test(a_step_that_fails_ends_the_call_with_its_status),
              cmocka_unit_test(a_client_that_leaves_between_steps_cancels_the_call))
