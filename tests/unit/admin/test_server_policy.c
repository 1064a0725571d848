/* SPDX-License-Identifier: MIT */
/* Who may ask what, on each of the three listeners. */
#include "helper/test_server.h"

static char token_path[80];

static const char *token_option(const char *token)
{
    static char option[128];
    (void)snprintf(token_path, sizeof(token_path), "/tmp/rth-token-XXXXXX");
    int fd = mkstemp(token_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, token, strlen(token)), (ssize_t)strlen(token));
    (void)close(fd);
    (void)snprintf(option, sizeof(option), "RTHOOKS_ADMIN_TOKEN_FILE=%s", token_path);
    return option;
}

static void token_is_asked_for_over_tcp_and_not_over_the_unix_socket(void **state)
{
    (void)state;
    const char *const environment[] = {token_option("s3cret\n"), NULL};
    server_start(environment);
    struct reply reply = get("/test/hello");
    assert_int_equal(reply.status, 401);
    assert_true(has_line(&reply, "WWW-Authenticate: Bearer"));
    reply_free(&reply);
    assert_status("GET /test/hello HTTP/1.1\r\n" HOST CLOSE "Authorization: Bearer s3cre\r\n\r\n",
                  401);
    assert_status("GET /test/hello HTTP/1.1\r\n" HOST CLOSE "Authorization: Bearer s3cret\r\n\r\n",
                  200);
    reply = get_on(connect_unix(), "/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    assert_int_equal(rth__admin_counters.rejected[RTH_REJECT_TOKEN], 2);
    (void)unlink(token_path);
    server_stop();
}

static void token_file_that_cannot_be_read_closes_tcp_with_the_reason(void **state)
{
    (void)state;
    const char *const environment[] = {"RTHOOKS_ADMIN_TOKEN_FILE=/nonexistent/token", NULL};
    server_start(environment);
    struct reply reply = get("/test/hello");
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.body, "token file"));
    reply_free(&reply);
    server_stop();
}

static void foreign_host_and_origin_are_refused_over_tcp(void **state)
{
    (void)state;
    server_start(NULL);
    assert_status("GET /test/hello HTTP/1.1\r\nHost: evil.example\r\n" CLOSE "\r\n", 403);
    assert_status("GET /test/hello HTTP/1.1\r\nHost: 10.0.0.1:80\r\n" CLOSE "\r\n", 403);
    assert_status("GET /test/hello HTTP/1.1\r\nHost: 127.0.0.1:99\r\n" CLOSE "\r\n", 200);
    assert_status("GET /test/hello HTTP/1.1\r\nHost: [::1]\r\n" CLOSE "\r\n", 200);
    assert_status("GET /test/hello HTTP/1.1\r\n" HOST CLOSE "Origin: http://evil.example\r\n\r\n",
                  403);
    assert_status("GET /test/hello HTTP/1.1\r\n" HOST CLOSE "Origin: null\r\n\r\n", 403);
    assert_status("POST /test/change HTTP/1.1\r\n" HOST CLOSE "Origin: http://evil.example\r\n\r\n",
                  403);
    assert_status("GET /test/hello HTTP/1.1\r\n" HOST CLOSE "Origin: http://localhost\r\n\r\n",
                  200);
    assert_int_equal(test_seen.actions, 0);
    assert_int_equal(rth__admin_counters.rejected[RTH_REJECT_HOST], 2);
    assert_int_equal(rth__admin_counters.rejected[RTH_REJECT_ORIGIN], 3);
    server_stop();
}

static void allow_list_and_read_only_mode_are_kept(void **state)
{
    (void)state;
    const char *const environment[] = {"RTHOOKS_ADMIN_ALLOW=/test/hello,/test/ch*",
                                       "RTHOOKS_ADMIN_READONLY=1", NULL};
    server_start(environment);
    assert_status("GET /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    assert_status("GET /test/clamped HTTP/1.1\r\n" HOST CLOSE "\r\n", 403);
    assert_status("GET /test/%63lamped HTTP/1.1\r\n" HOST CLOSE "\r\n", 403);
    assert_status("GET /test/%68ello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    struct reply reply = get_on(connect_unix(), "/test/clamped");
    assert_int_equal(reply.status, 403);
    reply_free(&reply);
    reply = ask("POST /test/change HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(reply.status, 403);
    assert_non_null(strstr(reply.body, "RTHOOKS_ADMIN_READONLY"));
    reply_free(&reply);
    assert_int_equal(test_seen.actions, 0);
    server_stop();
}

static void public_listener_serves_public_artefacts_by_get_alone(void **state)
{
    (void)state;
    const char *const environment[] = {"RTHOOKS_PUBLIC=127.0.0.1:0", token_option("t"), NULL};
    server_start(environment);
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    assert_string_not_equal(at.public_tcp, "");
    uint16_t port = (uint16_t)strtol(strrchr(at.public_tcp, ':') + 1, NULL, 10);
    struct reply reply = exchange_on(
        connect_port(port), "GET /test/hello HTTP/1.1\r\nHost: pod.example:9090\r\n" CLOSE "\r\n");
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, " public\n"));
    reply_free(&reply);
    const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET /test/clamped HTTP/1.1\r\n" HOST CLOSE "\r\n", 404},
        {"GET /test/hello/ HTTP/1.1\r\n" HOST CLOSE "\r\n", 404},
        {"GET /debug/pprof HTTP/1.1\r\n" HOST CLOSE "\r\n", 404},
        {"HEAD /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 405},
        {"POST /test/hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 405},
        {"POST /test/change HTTP/1.1\r\n" HOST CLOSE "\r\n", 404},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        reply = exchange_on(connect_port(port), rows[i].text);
        assert_int_equal(reply.status, rows[i].status);
        reply_free(&reply);
    }
    (void)unlink(token_path);
    server_stop();
}

static void taken_port_leaves_the_unix_socket_and_says_why(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(taken, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(taken, 1), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&address, &size), 0);
    char option[64];
    (void)snprintf(option, sizeof(option), "RTHOOKS_ADMIN=127.0.0.1:%u", ntohs(address.sin_port));
    const char *const environment[] = {option, NULL};
    server_start(environment);
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    assert_string_equal(at.tcp, "");
    assert_int_equal(at.tcp_port, 0);
    if (strstr(at.tcp_reason, "in use") == NULL)
        fail_msg("the reason is \"%s\"", at.tcp_reason);
    assert_false(rth__admin_port_is_free());
    struct reply reply = get_on(connect_unix(), "/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    (void)close(taken);
    server_stop();
}

static void address_beyond_loopback_needs_a_token_file(void **state)
{
    (void)state;
    const char *const environment[] = {"RTHOOKS_ADMIN=:0", NULL};
    server_start_with(environment);
    assert_int_equal(rth__capability_runtime_at(1)->state, RTH_CAPABILITY_FAILED);
    assert_non_null(strstr(rth__capability_runtime_at(1)->reason, "RTHOOKS_ADMIN_TOKEN_FILE"));
    int tids[RTH_SERVICE_THREAD_MAX];
    assert_int_equal(rth__service_thread_tids(tids, RTH_SERVICE_THREAD_MAX), 0);
    rth__capabilities_stop();
    assert_int_equal(rmdir(test_folder), 0);

    const char *const with_token[] = {"RTHOOKS_ADMIN=:0", token_option("t"), NULL};
    server_start(with_token);
    assert_status("GET /test/hello HTTP/1.1\r\nHost: 192.0.2.7\r\n" CLOSE
                  "Authorization: Bearer t\r\n\r\n",
                  200);
    assert_status("GET /test/hello HTTP/1.1\r\nHost: evil.example\r\n" CLOSE
                  "Authorization: Bearer t\r\n\r\n",
                  403);
    (void)unlink(token_path);
    server_stop();
}

static void off_opens_nothing_and_off_with_public_opens_that_alone(void **state)
{
    (void)state;
    const char *const off[] = {"RTHOOKS_ADMIN=off", NULL};
    server_start_with(off);
    assert_int_equal(rth__capability_runtime_at(1)->state, RTH_CAPABILITY_OFF);
    rth__capabilities_stop();
    assert_int_equal(rmdir(test_folder), 0);

    const char *const with_public[] = {"RTHOOKS_ADMIN=off", "RTHOOKS_PUBLIC=127.0.0.1:0", NULL};
    server_start_with(with_public);
    struct rth_admin_addresses at;
    for (int i = 0; i < CLIENT_LIMIT_MS; i++) {
        rth__admin_addresses(&at);
        if (at.public_tcp[0] != '\0')
            break;
        test_pause_us(1000);
    }
    assert_string_not_equal(at.public_tcp, "");
    assert_string_equal(at.tcp, "");
    assert_string_equal(at.unix_path, "");
    rth__capabilities_stop();
    assert_int_equal(rmdir(test_folder), 0);
}

static void another_user_is_refused_even_where_the_folder_lets_him_in(void **state)
{
    (void)state;
    if (geteuid() != 0)
        RTH_SKIP("only root can become another user");
    server_start(NULL);
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    char folder[96];
    (void)snprintf(folder, sizeof(folder), "%s/rthooks", test_folder);
    struct stat status;
    assert_int_equal(stat(folder, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(stat(at.unix_path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(chmod(test_folder, 0755) | chmod(folder, 0755) | chmod(at.unix_path, 0666), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setuid(65534) != 0)
            _exit(1);
        int fd = connect_path(at.unix_path);
        if (fd < 0)
            _exit(2);
        struct reply reply = get_on(fd, "/test/hello");
        _exit(reply.status == 403 ? 0 : 3);
    }
    int wait_status;
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_int_equal(wait_status, 0);
    server_stop();
}

static void squatted_folder_is_refused_and_the_next_one_used(void **state)
{
    (void)state;
    /* The folder named by XDG_RUNTIME_DIR exists with a mode that is not 0700. */
    char folder[64] = "/tmp/rth-squat-XXXXXX", path[96];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/rthooks", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    server_start(NULL); /* makes its own XDG folder; then that is replaced by the squatted one */
    rth__capabilities_stop();
    folder_remove();
    assert_int_equal(setenv("XDG_RUNTIME_DIR", folder, 1), 0);
    rth__capabilities_start();
    server_wait();
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    assert_int_not_equal(strncmp(at.unix_path, folder, strlen(folder)), 0);
    struct reply reply = get("/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    rth__capabilities_stop();
    assert_int_equal(rmdir(path), 0); /* untouched: still empty */
    assert_int_equal(rmdir(folder), 0);
}

static int limits_reset(void **state)
{
    (void)state;
    test_limits();
    memset(&rth__admin_counters, 0, sizeof(rth__admin_counters));
    return 0;
}

int main(int argc, char **argv)
{
    struct CMUnitTest cases[] = {
        cmocka_unit_test(token_is_asked_for_over_tcp_and_not_over_the_unix_socket),
        cmocka_unit_test(token_file_that_cannot_be_read_closes_tcp_with_the_reason),
        cmocka_unit_test(foreign_host_and_origin_are_refused_over_tcp),
        cmocka_unit_test(allow_list_and_read_only_mode_are_kept),
        cmocka_unit_test(public_listener_serves_public_artefacts_by_get_alone),
        cmocka_unit_test(taken_port_leaves_the_unix_socket_and_says_why),
        cmocka_unit_test(address_beyond_loopback_needs_a_token_file),
        cmocka_unit_test(off_opens_nothing_and_off_with_public_opens_that_alone),
        cmocka_unit_test(another_user_is_refused_even_where_the_folder_lets_him_in),
        cmocka_unit_test(squatted_folder_is_refused_and_the_next_one_used),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cases[i].setup_func = limits_reset;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(cases, NULL, NULL);
}
