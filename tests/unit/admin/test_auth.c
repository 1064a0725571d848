/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/auth.h"
#include "os/clock.h"

static struct rth_address bound;
static struct rth_token_file token;
static char token_folder[] = "/tmp/rthooks-auth-XXXXXX";
static char token_path[64];

static struct rth_http_text text(const char *string)
{
    return (struct rth_http_text){string, string != NULL ? strlen(string) : 0};
}

static bool host_passes(const char *host, const char *bound_text)
{
    assert_int_equal(rth__address_parse(bound_text, &bound), 0);
    return rth__host_allowed(text(host), &bound);
}

static void loopback_hosts_pass_with_any_port(void **state)
{
    (void)state;
    static const char *const good[] = {"localhost", "LOCALHOST:1", "127.0.0.1:6060",
                                       "127.9.9.9", "[::1]",       "[::1]:80"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!host_passes(good[i], "127.0.0.1:6060"))
            fail_msg("%s was refused", good[i]);
    }
}

static void foreign_and_malformed_hosts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {NULL,
                                      "",
                                      "evil.example",
                                      "localhost.evil.example",
                                      "10.0.0.1",
                                      "localhost:x",
                                      "[::1",
                                      "127.0.0.1.evil.example",
                                      "evil@localhost",
                                      "[::2]",
                                      ":80",
                                      "[::1]x",
                                      "::1",
                                      "localhost:1:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (host_passes(bad[i], "127.0.0.1:6060"))
            fail_msg("%s passed", bad[i] != NULL ? bad[i] : "(absent)");
    }
}

static void the_bound_address_passes_and_no_other(void **state)
{
    (void)state;
    assert_true(host_passes("10.0.0.1:1", "10.0.0.1:6060"));
    assert_false(host_passes("10.0.0.2", "10.0.0.1:6060"));
    assert_true(host_passes("10.0.0.2", ":6060"));
    assert_false(host_passes("name.example", ":6060"));
}

static void only_the_own_origin_passes(void **state)
{
    (void)state;
    struct rth_http_text host = text("localhost:6060");
    assert_true(rth__origin_allowed(text(NULL), host));
    assert_true(rth__origin_allowed(text("http://localhost:6060"), host));
    assert_true(rth__origin_allowed(text("HTTPS://LOCALHOST:6060"), host));
    static const char *const bad[] = {"",
                                      "null",
                                      "http://evil.example",
                                      "file://",
                                      "http://",
                                      "http://localhost:6060.evil.example",
                                      "garbage",
                                      "ftp://localhost:6060",
                                      "http://localhost:3000"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (rth__origin_allowed(text(bad[i]), host))
            fail_msg("%s passed", bad[i]);
    }
}

static void allow_lists_are_read_strictly(void **state)
{
    (void)state;
    assert_int_equal(rth__allow_list_check(""), 0);
    assert_int_equal(rth__allow_list_check("/metrics, /debug/pprof/*"), 0);
    static const char *const bad[] = {" ", ",", "metrics", "/a,", "/a,,/b", "*", "/a*b", "/a**"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (rth__allow_list_check(bad[i]) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void allow_lists_match_whole_paths_and_starred_prefixes(void **state)
{
    (void)state;
    const char *list = "/metrics , /debug/pprof/*";
    assert_true(rth__path_allowed("", "/anything"));
    assert_true(rth__path_allowed(list, "/metrics"));
    assert_true(rth__path_allowed(list, "/debug/pprof/"));
    assert_true(rth__path_allowed(list, "/debug/pprof/heap"));
    assert_false(rth__path_allowed(list, "/metrics2"));
    assert_false(rth__path_allowed(list, "/metric"));
    assert_false(rth__path_allowed(list, "/debug/pprof"));
    assert_false(rth__path_allowed(list, "/livez"));
}

static void write_token(const char *data, size_t size_bytes)
{
    /* A new file each time, as a rotated secret is: the inode tells them apart. */
    char temporary[80];
    (void)snprintf(temporary, sizeof(temporary), "%s.new", token_path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size_bytes), size_bytes);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rename(temporary, token_path), 0);
}

static int token_set_up(void **state)
{
    (void)state;
    memset(&token, 0, sizeof(token));
    assert_non_null(mkdtemp(token_folder));
    (void)snprintf(token_path, sizeof(token_path), "%s/token", token_folder);
    token.path = token_path;
    return 0;
}

static int token_tear_down(void **state)
{
    (void)state;
    (void)unlink(token_path);
    (void)rmdir(token_folder);
    memcpy(token_folder + sizeof(token_folder) - 7, "XXXXXX", 6);
    return 0;
}

static bool matches(const char *authorization)
{
    return rth__token_matches(&token, text(authorization));
}

static void the_token_is_trimmed_and_compared_whole(void **state)
{
    (void)token_set_up(state);
    write_token("s3cret \r\n\n", 10);
    (void)rth__token_refresh(&token, 0);
    assert_string_equal(token.reason, "");
    assert_true(matches("Bearer s3cret"));
    assert_true(matches("bearer  s3cret"));
    assert_false(matches("Bearer s3cre"));
    assert_false(matches("Bearer s3crets"));
    assert_false(matches("Bearer s3crets3cret"));
    assert_false(matches("Bearer "));
    assert_false(matches("Bearer"));
    assert_false(matches("Basic s3cret"));
    assert_false(matches(NULL));
    (void)token_tear_down(state);
}

static void bad_token_files_say_why_and_match_nothing(void **state)
{
    (void)token_set_up(state);
    int64_t now_ns = 0;
    assert_true(rth__token_refresh(&token, now_ns)); /* not there */
    assert_string_not_equal(token.reason, "");
    static char big[RTH_TOKEN_BYTES_MAX + 1];
    memset(big, 'a', sizeof(big));
    const struct {
        const char *data;
        size_t size_bytes;
        const char *why;
    } rows[] = {{"", 0, "empty"},
                {" \n", 2, "empty"},
                {"a b", 3, "spaces"},
                {"a\0b", 3, "control"},
                {big, sizeof(big), "4 KiB"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_token(rows[i].data, rows[i].size_bytes);
        now_ns += RTH_NS_PER_S;
        (void)rth__token_refresh(&token, now_ns);
        if (strstr(token.reason, rows[i].why) == NULL)
            fail_msg("row %zu: reason \"%s\"", i, token.reason);
        assert_false(matches("Bearer "));
        assert_false(token.has_token);
    }
    write_token(big, RTH_TOKEN_BYTES_MAX);
    (void)rth__token_refresh(&token, now_ns + RTH_NS_PER_S);
    assert_true(token.has_token);
    (void)token_tear_down(state);
}

static void a_rotated_token_is_seen_after_a_second_and_the_last_good_one_stays(void **state)
{
    (void)token_set_up(state);
    write_token("first", 5);
    (void)rth__token_refresh(&token, 0);
    write_token("second", 6);
    assert_false(rth__token_refresh(&token, RTH_NS_PER_S - 1));
    assert_true(matches("Bearer first"));
    (void)rth__token_refresh(&token, RTH_NS_PER_S);
    assert_true(matches("Bearer second"));
    assert_false(matches("Bearer first"));
    assert_int_equal(unlink(token_path), 0);
    assert_true(rth__token_refresh(&token, 2 * RTH_NS_PER_S));
    assert_string_not_equal(token.reason, "");
    assert_true(matches("Bearer second"));
    write_token("", 0);
    (void)rth__token_refresh(&token, 3 * RTH_NS_PER_S);
    assert_true(matches("Bearer second"));
    (void)token_tear_down(state);
}

static void a_fifo_in_the_token_files_place_is_refused_at_once(void **state)
{
    (void)token_set_up(state);
    assert_int_equal(mkfifo(token_path, 0600), 0);
    (void)rth__token_refresh(&token, 0);
    assert_non_null(strstr(token.reason, "regular"));
    (void)token_tear_down(state);
}

static struct rth_http_request request;
static char message[RTH_TOKEN_BYTES_MAX];

static int check(const char *host, const char *origin, const char *authorization,
                 const struct rth_auth_context *context)
{
    memset(&request, 0, sizeof(request));
    (void)snprintf(request.path, sizeof(request.path), "/metrics");
    request.host = text(host);
    request.origin = text(origin);
    request.authorization = text(authorization);
    message[0] = '\0';
    int status = rth__auth_check(context, &request, message, sizeof(message));
    assert_int_equal(status != 0, message[0] != '\0');
    return status;
}

static void requests_over_tcp_pass_every_check(void **state)
{
    (void)token_set_up(state);
    assert_int_equal(rth__address_parse("127.0.0.1:6060", &bound), 0);
    struct rth_auth_context context = {.bound = &bound, .allow_list = ""};
    assert_int_equal(check("localhost", NULL, NULL, &context), 0);
    assert_int_equal(check("evil.example", NULL, NULL, &context), 403);
    assert_int_equal(check("localhost", "null", NULL, &context), 403);
    context.allow_list = "/livez";
    assert_int_equal(check("localhost", NULL, NULL, &context), 403);
    context.allow_list = "";
    context.token = &token;
    (void)rth__token_refresh(&token, 0);
    assert_int_equal(check("localhost", NULL, "Bearer x", &context), 503);
    assert_string_equal(message, token.reason);
    write_token("x", 1);
    (void)rth__token_refresh(&token, RTH_NS_PER_S);
    assert_int_equal(check("localhost", NULL, NULL, &context), 401);
    assert_int_equal(check("localhost", NULL, "Bearer y", &context), 401);
    assert_int_equal(check("localhost", NULL, "Bearer x", &context), 0);
    assert_int_equal(check("evil.example", NULL, "Bearer x", &context), 403);
    (void)token_tear_down(state);
}

static void an_address_that_is_not_loopback_never_answers_without_a_token(void **state)
{
    (void)state;
    assert_int_equal(rth__address_parse(":6060", &bound), 0);
    struct rth_auth_context context = {.bound = &bound, .allow_list = ""};
    assert_int_equal(check("localhost", NULL, NULL, &context), 403);
}

static void the_unix_socket_needs_the_path_alone(void **state)
{
    (void)state;
    struct rth_auth_context context = {.is_unix = true, .allow_list = ""};
    assert_int_equal(check("anything", "null", NULL, &context), 0);
    context.allow_list = "/livez";
    assert_int_equal(check("localhost", NULL, NULL, &context), 403);
}

static void a_peer_of_our_own_uid_is_allowed_and_no_socket_is_not(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(rth__peer_allowed(pair[0]));
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
    assert_false(rth__peer_allowed(-1));
}

static void a_peer_of_another_uid_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        RTH_SKIP("changing the uid takes root");
    int pair[2];
    assert_int_equal(setegid(65534), 0);
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(seteuid(0), 0);
    assert_false(rth__peer_allowed(pair[0]));
    assert_int_equal(seteuid(65534), 0);
    assert_true(rth__peer_allowed(pair[0]));
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(setegid(0), 0);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
}

RTH_TEST_MAIN(cmocka_unit_test(loopback_hosts_pass_with_any_port),
              cmocka_unit_test(foreign_and_malformed_hosts_are_refused),
              cmocka_unit_test(the_bound_address_passes_and_no_other),
              cmocka_unit_test(only_the_own_origin_passes),
              cmocka_unit_test(allow_lists_are_read_strictly),
              cmocka_unit_test(allow_lists_match_whole_paths_and_starred_prefixes),
              cmocka_unit_test(the_token_is_trimmed_and_compared_whole),
              cmocka_unit_test(bad_token_files_say_why_and_match_nothing),
              cmocka_unit_test(a_rotated_token_is_seen_after_a_second_and_the_last_good_one_stays),
              cmocka_unit_test(a_fifo_in_the_token_files_place_is_refused_at_once),
              cmocka_unit_test(requests_over_tcp_pass_every_check),
              cmocka_unit_test(an_address_that_is_not_loopback_never_answers_without_a_token),
              cmocka_unit_test(the_unix_socket_needs_the_path_alone),
              cmocka_unit_test(a_peer_of_our_own_uid_is_allowed_and_no_socket_is_not),
              cmocka_unit_test(a_peer_of_another_uid_is_refused))
