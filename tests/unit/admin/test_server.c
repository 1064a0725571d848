/* SPDX-License-Identifier: MIT */
/* The server as a client sees it: requests, answers, hang-ups, slow and hostile clients. */
#include "helper/test_server.h"

#include <sys/resource.h>

static void get_is_answered_with_its_headers(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = get("/test/hello");
    assert_int_equal(reply.status, 200);
    assert_memory_equal(reply.text, "HTTP/1.1 200 OK\r\nDate: ", 23);
    assert_true(has_line(&reply, "Content-Type: text/plain; charset=utf-8"));
    assert_true(has_line(&reply, "X-Content-Type-Options: nosniff"));
    assert_true(has_line(&reply, "Connection: close"));
    char expected[64], length[64];
    (void)snprintf(expected, sizeof(expected), "hello from %d\n", getpid());
    (void)snprintf(length, sizeof(length), "Content-Length: %zu", strlen(expected));
    assert_string_equal(reply.body, expected);
    assert_true(has_line(&reply, length));
    reply_free(&reply);
    reply = get_on(connect_unix(), "/test/hello");
    (void)snprintf(expected, sizeof(expected), "hello from %d local\n", getpid());
    assert_string_equal(reply.body, expected);
    reply_free(&reply);
    server_stop();
}

static void connection_is_kept_and_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    server_start(NULL);
    int fd = connect_tcp();
    char hello[64];
    (void)snprintf(hello, sizeof(hello), "hello from %d\n", getpid());
    for (int i = 0; i < 3; i++) {
        send_text(fd, "GET /test/hello HTTP/1.1\r\n" HOST "\r\n");
        struct reply reply = read_reply(fd, strlen(hello));
        assert_string_equal(reply.body, hello);
        reply_free(&reply);
    }
    char many[65536] = "";
    size_t used = 0;
    for (int i = 0; i < 200; i++)
        used += (size_t)snprintf(many + used, sizeof(many) - used,
                                 "POST /test/symbol HTTP/1.1\r\n" HOST "Content-Length: 4\r\n%s\r\n"
                                 "%04d",
                                 i == 199 ? CLOSE : "", i);
    struct reply reply = exchange_on(fd, many);
    const char *at = reply.text;
    for (int i = 0; i < 200; i++) {
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "set=- body=%04d", i);
        at = strstr(at, expected);
        assert_non_null(at);
    }
    reply_free(&reply);
    server_stop();
}

static void head_has_the_length_and_no_body(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = ask("HEAD /test/large?kib=100 HTTP/1.1\r\n" HOST "\r\n"
                             "HEAD /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(reply.status, 200);
    assert_true(has_line(&reply, "Content-Length: 102400"));
    assert_memory_equal(reply.body, "HTTP/1.1 200 OK\r\n", 17);
    reply_free(&reply);
    server_stop();
}

static void errors_of_routes_and_methods_are_clear(void **state)
{
    (void)state;
    server_start(NULL);
    assert_status("GET /nosuch HTTP/1.1\r\n" HOST CLOSE "\r\n", 404);
    struct reply reply = get("/debug/pprof/nosuch");
    assert_int_equal(reply.status, 404);
    assert_string_equal(reply.body, "Unknown profile\n");
    assert_true(has_line(&reply, "X-Go-Pprof: 1"));
    reply_free(&reply);
    reply = get("/debug/pprof/refuse");
    assert_int_equal(reply.status, 400);
    assert_string_equal(reply.body, "invalid value for \"seconds\"\n");
    assert_true(has_line(&reply, "X-Go-Pprof: 1"));
    reply_free(&reply);
    reply = get("/debug/pprof");
    assert_int_equal(reply.status, 301);
    assert_true(has_line(&reply, "Location: /debug/pprof/"));
    reply_free(&reply);
    reply = ask("POST /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(reply.status, 405);
    assert_true(has_line(&reply, "Allow: GET, HEAD"));
    reply_free(&reply);
    reply = get("/test/change");
    assert_int_equal(reply.status, 405);
    assert_true(has_line(&reply, "Allow: POST"));
    reply_free(&reply);
    assert_int_equal(test_seen.actions, 0);
    reply = ask("POST /test/change HTTP/1.1\r\n" HOST CLOSE
                "Content-Type: application/x-www-form-urlencoded\r\n"
                "Content-Length: 6\r\n\r\nset=a1");
    assert_string_equal(reply.body, "set=a1 body=set=a1");
    reply_free(&reply);
    assert_int_equal(test_seen.actions, 1);
    server_stop();
}

static void artefacts_may_shape_their_answer(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = get("/test/below/a%20b/c?x");
    assert_string_equal(reply.body, "subpath=a b/c accept=\n");
    reply_free(&reply);
    reply = get("/test/clamped?seconds=900");
    assert_string_equal(reply.body, "300\n");
    assert_true(has_line(&reply, "X-Rthooks-Clamped: seconds=300"));
    reply_free(&reply);
    reply = get("/test/unready");
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "[-]ping failed\n");
    reply_free(&reply);
    reply = get("/test/large?kib=1");
    assert_true(has_line(&reply, "Content-Disposition: attachment; filename=\"large\""));
    assert_int_equal(reply.body_bytes, 1024);
    reply_free(&reply);
    server_stop();
}

static void early_error_is_a_status_and_late_error_a_cut(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = get("/test/early-error");
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "not today\n");
    assert_null(strstr(reply.text, "Content-Disposition"));
    reply_free(&reply);
    reply = get("/test/late-error");
    assert_int_equal(reply.status, 200);
    assert_false(dechunk(&reply));
    reply_free(&reply);
    server_stop();
}

static void assert_lines(const char *body, size_t lines)
{
    for (size_t i = 0; i < lines; i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%08d", (int)i);
        assert_memory_equal(body + i * 1024, number, 8);
        assert_int_equal(body[i * 1024 + 1023], '\n');
    }
}

static void large_body_comes_whole_in_chunks_and_to_http10_until_the_end(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = get("/test/large?kib=5000");
    assert_int_equal(reply.status, 200);
    /* With a length when all of it was there before the head was sent. */
    if (has_line(&reply, "Transfer-Encoding: chunked"))
        assert_true(dechunk(&reply));
    assert_int_equal(reply.body_bytes, 5000 * 1024);
    assert_lines(reply.body, 5000);
    reply_free(&reply);
    reply = ask("GET /test/large?kib=5000 HTTP/1.0\r\n" HOST "\r\n");
    assert_false(has_line(&reply, "Transfer-Encoding: chunked"));
    assert_int_equal(reply.body_bytes, 5000 * 1024);
    assert_lines(reply.body, 5000);
    reply_free(&reply);
    server_stop();
}

static void body_above_the_cap_is_never_passed_off_as_whole(void **state)
{
    (void)state;
    server_start(NULL);
    struct reply reply = get("/test/large?kib=40960");
    if (reply.status == 200)
        assert_false(dechunk(&reply));
    else
        assert_int_equal(reply.status, 503);
    reply_free(&reply);
    wait_for_no_exchange();
    reply = get("/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    server_stop();
}

static void hang_up_while_waiting_cancels_the_call(void **state)
{
    (void)state;
    server_start(NULL);
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = i % 2 == 0 ? connect_tcp() : connect_unix();
        send_text(fds[i], "GET /test/wait HTTP/1.1\r\n" HOST "\r\n");
    }
    wait_for(&test_seen.begun, 20);
    assert_int_equal(test_seen.cancelled, 0);
    for (int i = 0; i < 20; i++)
        (void)close(fds[i]);
    wait_for(&test_seen.cancelled, 20);
    wait_for_no_exchange();
    server_stop();
    assert_int_equal(test_seen.cancelled, 20);
}

static void hang_up_while_computing_is_seen_by_the_call(void **state)
{
    (void)state;
    server_start(NULL);
    int fd = connect_tcp();
    send_text(fd, "GET /test/compute HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&test_seen.computing, 1);
    (void)close(fd);
    wait_for(&test_seen.saw_cancelled, 1);
    wait_for_no_exchange();
    server_stop();
}

static void hang_up_before_the_call_began_never_begins_or_cancels_it(void **state)
{
    (void)state;
    server_start(NULL);
    int busy = connect_tcp();
    send_text(busy, "GET /test/compute HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&test_seen.computing, 1); /* rth-work is taken */
    int fd = connect_tcp();
    send_text(fd, "GET /test/wait HTTP/1.1\r\n" HOST "\r\n");
    (void)close(fd);
    (void)close(busy);
    wait_for(&test_seen.saw_cancelled, 1);
    wait_for_no_exchange();
    assert_int_equal(test_seen.begun, test_seen.cancelled);
    server_stop();
}

static void half_closing_client_still_gets_a_quick_answer(void **state)
{
    (void)state;
    server_start(NULL);
    int fd = connect_tcp();
    send_text(fd, "GET /test/large?kib=300 HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    struct reply reply = read_to_end(fd);
    (void)close(fd);
    assert_int_equal(reply.status, 200);
    if (has_line(&reply, "Transfer-Encoding: chunked"))
        assert_true(dechunk(&reply));
    assert_int_equal(reply.body_bytes, 300 * 1024);
    reply_free(&reply);
    server_stop();
}

static void any_number_of_captures_wait_at_the_same_time(void **state)
{
    (void)state;
    server_start(NULL);
    int fds[100];
    for (int i = 0; i < 100; i++) {
        fds[i] = connect_tcp();
        send_text(fds[i], "GET /test/wait?ms=300 HTTP/1.1\r\n" HOST CLOSE "\r\n");
    }
    wait_for(&test_seen.begun, 100);
    struct reply reply = get("/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    for (int i = 0; i < 100; i++) {
        reply = read_to_end(fds[i]);
        assert_string_equal(reply.body, "waited\n");
        reply_free(&reply);
        (void)close(fds[i]);
    }
    assert_int_equal(test_seen.cancelled, 0);
    server_stop();
}

static void slow_reader_does_not_stall_others_and_gets_everything(void **state)
{
    (void)state;
    server_start(NULL);
    int fd = connect_tcp();
    send_text(fd, "GET /test/large?kib=20000 HTTP/1.1\r\n" HOST CLOSE "\r\n");
    for (int i = 0; i < 20; i++) {
        struct reply reply = get("/test/hello");
        assert_int_equal(reply.status, 200);
        reply_free(&reply);
    }
    struct reply reply = read_to_end(fd);
    (void)close(fd);
    if (has_line(&reply, "Transfer-Encoding: chunked"))
        assert_true(dechunk(&reply));
    assert_int_equal(reply.body_bytes, 20000 * 1024);
    reply_free(&reply);
    server_stop();
}

static void reader_without_progress_is_dropped_at_the_deadline(void **state)
{
    (void)state;
    rth__admin_limits.write_ns = 50 * RTH_NS_PER_MS;
    server_start(NULL);
    int fd = connect_tcp();
    send_text(fd, "GET /test/large?kib=20000 HTTP/1.1\r\n" HOST CLOSE "\r\n");
    for (int i = 0;
         i < CLIENT_LIMIT_MS && rth__admin_counters.rejected[RTH_REJECT_WRITE_TIMEOUT] == 0; i++)
        test_pause_us(1000);
    assert_int_equal(rth__admin_counters.rejected[RTH_REJECT_WRITE_TIMEOUT], 1);
    wait_for_no_exchange();
    (void)close(fd);
    server_stop();
}

static void half_a_request_and_silence_ends_at_the_deadline(void **state)
{
    (void)state;
    rth__admin_limits.head_ns = 50 * RTH_NS_PER_MS;
    server_start(NULL);
    const char *const halves[] = {"G", "GET /test/hello HTTP/1.1\r\nHost: loc",
                                  "POST /test/symbol HTTP/1.1\r\n" HOST
                                  "Content-Length: 100\r\n\r\nabc"};
    for (size_t i = 0; i < 3; i++) {
        struct reply reply = ask(halves[i]);
        assert_int_equal(reply.size_bytes, 0);
        reply_free(&reply);
    }
    assert_int_equal(rth__admin_counters.rejected[RTH_REJECT_HEAD_TIMEOUT], 3);
    /* A second request on a kept connection has the same deadline, an idle one has not. */
    int fd = connect_tcp();
    send_text(fd, "HEAD /test/hello HTTP/1.1\r\n" HOST "\r\n");
    struct reply reply = read_reply(fd, 0);
    reply_free(&reply);
    test_pause_us(200 * 1000);
    reply = exchange_on(fd, "HEAD /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    server_stop();
}

static void idle_connection_ends_at_its_deadline(void **state)
{
    (void)state;
    rth__admin_limits.idle_ns = 50 * RTH_NS_PER_MS;
    server_start(NULL);
    struct reply reply = ask("");
    assert_int_equal(reply.size_bytes, 0);
    reply_free(&reply);
    server_stop();
}

static void a_thousand_idle_connections_stay_and_a_new_one_is_answered(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 1300) {
        if (limit.rlim_max < 1300)
            RTH_SKIP("the hard limit of open files is below 1300");
        limit.rlim_cur = 1300;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    server_start(NULL);
    static int fds[1000];
    for (int i = 0; i < 1000; i++)
        fds[i] = connect_tcp();
    struct reply reply = get("/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    for (int i = 0; i < 1000; i++)
        send_text(fds[i], "HEAD /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    for (int i = 0; i < 1000; i++) {
        reply = read_to_end(fds[i]);
        assert_int_equal(reply.status, 200);
        reply_free(&reply);
        (void)close(fds[i]);
    }
    assert_int_equal(rth__admin_counters.rejected[RTH_REJECT_EVICTED], 0);
    server_stop();
}

static void full_server_drops_the_longest_idle_for_a_new_one(void **state)
{
    (void)state;
    rth__admin_limits.slots = 8;
    server_start(NULL);
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = connect_tcp();
        send_text(fds[i], "HEAD /test/hello HTTP/1.1\r\n" HOST "\r\n");
        struct reply reply = read_reply(fds[i], 0);
        reply_free(&reply);
    }
    struct reply reply = get("/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    char byte;
    assert_int_equal(read_some_of(fds[0], &byte, 1), 0);
    reply = exchange_on(fds[7], "HEAD /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    for (int i = 0; i < 7; i++)
        (void)close(fds[i]);
    server_stop();
}

static void hostile_requests_get_their_status_and_the_connection_ends(void **state)
{
    (void)state;
    server_start(NULL);
    static char large[80 * 1024];
    memset(large, 'a', sizeof(large) - 1);
    memcpy(large, "GET /", 5);
    assert_status(large, 414);
    int used = snprintf(large, sizeof(large), "GET / HTTP/1.1\r\n" HOST "X: ");
    large[used] = 'a';
    assert_status(large, 431);
    assert_status("POST /test/symbol HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n", 413);
    assert_status("POST /test/symbol HTTP/1.1\r\n" HOST "Content-Length: 3\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  400);
    assert_status("POST /test/symbol HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                  "0\r\n\r\n",
                  501);
    assert_status("PUT /test/hello HTTP/1.1\r\n" HOST "\r\n", 405);
    assert_status("BREW /test/hello HTTP/1.1\r\n" HOST "\r\n", 501);
    assert_status("GET /test/hello HTTP/3.0\r\n" HOST "\r\n", 505);
    assert_status("GET /test/hello HTTP/1.1\r\n" HOST "Expect: cake\r\n\r\n", 417);
    assert_status("\x16\x03\x01\x02", 400);
    /* What follows a refused request is never taken for another one. */
    struct reply reply = ask("POST /test/symbol HTTP/1.1\r\n" HOST "Content-Length: 5\r\n"
                             "Content-Length: 6\r\n\r\nabcde"
                             "POST /test/change HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(reply.status, 400);
    assert_null(strstr(reply.text + 1, "HTTP/1.1"));
    assert_int_equal(test_seen.actions, 0);
    reply_free(&reply);
    server_stop();
}

static void continue_is_sent_once_when_it_is_expected(void **state)
{
    (void)state;
    server_start(NULL);
    int fd = connect_tcp();
    send_text(fd, "POST /test/symbol HTTP/1.1\r\n" HOST CLOSE
                  "Content-Length: 6\r\nExpect: 100-continue\r\n\r\n");
    struct reply interim = read_reply(fd, 0);
    assert_string_equal(interim.text, "HTTP/1.1 100 Continue\r\n\r\n");
    reply_free(&interim);
    send_text(fd, "abc");
    test_pause_us(20 * 1000);
    struct reply reply = exchange_on(fd, "def");
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "set=- body=abcdef");
    reply_free(&reply);
    server_stop();
}

static void request_may_come_byte_by_byte(void **state)
{
    (void)state;
    server_start(NULL);
    int fd = connect_tcp();
    const char *text = "GET /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n";
    for (const char *p = text; *p != '\0'; p++) {
        send_all(fd, p, 1);
        test_pause_us(200);
    }
    struct reply reply = read_to_end(fd);
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    (void)close(fd);
    server_stop();
}

static void stop_cancels_what_waits_and_what_computes(void **state)
{
    (void)state;
    server_start(NULL);
    int waiting = connect_tcp(), computing = connect_tcp();
    send_text(waiting, "GET /test/wait HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&test_seen.begun, 1);
    send_text(computing, "GET /test/compute HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&test_seen.computing, 1);
    server_stop();
    assert_int_equal(test_seen.cancelled, 1);
    assert_int_equal(test_seen.saw_cancelled, 1);
    (void)close(waiting);
    (void)close(computing);
}

static void server_comes_back_after_a_pause(void **state)
{
    (void)state;
    server_start(NULL);
    for (int i = 0; i < 3; i++) {
        int tids[RTH_SERVICE_THREAD_MAX];
        rth__admin_quiesce();
        assert_int_equal(rth__service_thread_tids(tids, RTH_SERVICE_THREAD_MAX), 0);
        rth__admin_resume();
        struct rth_admin_addresses at;
        for (int k = 0; k < CLIENT_LIMIT_MS; k++) {
            rth__admin_addresses(&at);
            if (at.unix_path[0] != '\0' && at.tcp[0] != '\0')
                break;
            test_pause_us(1000);
        }
        struct reply reply = get_on(connect_unix(), "/test/hello");
        assert_int_equal(reply.status, 200);
        reply_free(&reply);
        reply = get("/test/hello");
        assert_int_equal(reply.status, 200);
        reply_free(&reply);
    }
    server_stop();
}

static int limits_reset(void **state)
{
    (void)state;
    test_limits();
    rth__admin_limits.slots = RTH_ADMIN_SLOTS;
    memset(&rth__admin_counters, 0, sizeof(rth__admin_counters));
    return 0;
}

int main(int argc, char **argv)
{
    struct CMUnitTest cases[] = {
        cmocka_unit_test(get_is_answered_with_its_headers),
        cmocka_unit_test(connection_is_kept_and_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(head_has_the_length_and_no_body),
        cmocka_unit_test(errors_of_routes_and_methods_are_clear),
        cmocka_unit_test(artefacts_may_shape_their_answer),
        cmocka_unit_test(early_error_is_a_status_and_late_error_a_cut),
        cmocka_unit_test(large_body_comes_whole_in_chunks_and_to_http10_until_the_end),
        cmocka_unit_test(body_above_the_cap_is_never_passed_off_as_whole),
        cmocka_unit_test(hang_up_while_waiting_cancels_the_call),
        cmocka_unit_test(hang_up_while_computing_is_seen_by_the_call),
        cmocka_unit_test(hang_up_before_the_call_began_never_begins_or_cancels_it),
        cmocka_unit_test(half_closing_client_still_gets_a_quick_answer),
        cmocka_unit_test(any_number_of_captures_wait_at_the_same_time),
        cmocka_unit_test(slow_reader_does_not_stall_others_and_gets_everything),
        cmocka_unit_test(reader_without_progress_is_dropped_at_the_deadline),
        cmocka_unit_test(half_a_request_and_silence_ends_at_the_deadline),
        cmocka_unit_test(idle_connection_ends_at_its_deadline),
        cmocka_unit_test(a_thousand_idle_connections_stay_and_a_new_one_is_answered),
        cmocka_unit_test(full_server_drops_the_longest_idle_for_a_new_one),
        cmocka_unit_test(hostile_requests_get_their_status_and_the_connection_ends),
        cmocka_unit_test(continue_is_sent_once_when_it_is_expected),
        cmocka_unit_test(request_may_come_byte_by_byte),
        cmocka_unit_test(stop_cancels_what_waits_and_what_computes),
        cmocka_unit_test(server_comes_back_after_a_pause),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cases[i].setup_func = limits_reset;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(cases, NULL, NULL);
}
