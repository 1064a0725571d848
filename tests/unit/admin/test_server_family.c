/* SPDX-License-Identifier: MIT */
/* Forked children: their own socket, questions passed on to them, the first process's place. */
#include "helper/test_server.h"

#include <signal.h>

#include "core/service_thread.h"

/* It cannot follow a thread that a child of a threaded process creates. */
static void skip_under_tsan(void)
{
    if (TEST_UNDER_TSAN)
        RTH_SKIP("ThreadSanitizer does not follow threads created after a fork");
}

/* Forks a child that is adopted at once and lives until it is killed. */
static pid_t fork_member(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        server_adopt();
        for (;;)
            (void)pause();
    }
    return pid;
}

static void end_member(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void socket_path(pid_t pid, char *ret_path, size_t path_size)
{
    (void)snprintf(ret_path, path_size, "%s/rthooks/%d.sock", test_folder, pid);
}

static void wait_for_socket(pid_t pid, bool there)
{
    char path[128];
    socket_path(pid, path, sizeof(path));
    for (int i = 0; i < CLIENT_LIMIT_MS; i++) {
        if ((access(path, F_OK) == 0) == there)
            return;
        test_pause_us(1000);
    }
    fail_msg("%s %s", path, there ? "does not appear" : "stays");
}

static void end_member_and_wait(pid_t pid)
{
    end_member(pid);
    wait_for_socket(pid, false); /* the first process clears it away */
}

static struct reply get_of(const char *path, pid_t pid)
{
    char target[128];
    (void)snprintf(target, sizeof(target), "%s%cpid=%d", path,
                   strchr(path, '?') != NULL ? '&' : '?', (int)pid);
    return get(target);
}

static void adopted_child_answers_on_its_own_socket_with_one_thread(void **state)
{
    (void)state;
    skip_under_tsan();
    server_start(NULL);
    pid_t pid = fork_member();
    wait_for_socket(pid, true);
    char path[128], expected[64];
    socket_path(pid, path, sizeof(path));
    struct reply reply = get_on(connect_path(path), "/test/hello");
    (void)snprintf(expected, sizeof(expected), "hello from %d local\n", pid);
    assert_string_equal(reply.body, expected);
    reply_free(&reply);
    reply = get_on(connect_path(path), "/test/large?kib=3000");
    assert_true(dechunk(&reply));
    assert_int_equal(reply.body_bytes, 3000 * 1024);
    reply_free(&reply);
    /* Hang-up of a call that computes on the child's only thread: it answers again. */
    int fd = connect_path(path);
    send_text(fd, "GET /test/compute HTTP/1.1\r\n" HOST "\r\n");
    test_pause_us(50 * 1000);
    (void)close(fd);
    reply = get_on(connect_path(path), "/test/hello");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    end_member_and_wait(pid);
    server_stop();
}

static void question_with_a_pid_is_passed_on(void **state)
{
    (void)state;
    skip_under_tsan();
    server_start(NULL);
    pid_t pid = fork_member();
    wait_for_socket(pid, true);
    char expected[64];
    struct reply reply = get_of("/test/hello", pid);
    (void)snprintf(expected, sizeof(expected), "hello from %d\n", pid); /* not " local" */
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, expected);
    reply_free(&reply);
    reply = get_of("/test/hello", getpid());
    (void)snprintf(expected, sizeof(expected), "hello from %d\n", getpid());
    assert_string_equal(reply.body, expected);
    reply_free(&reply);
    reply = get_of("/test/large?kib=5000", pid);
    assert_int_equal(reply.status, 200);
    assert_true(has_line(&reply, "Content-Disposition: attachment; filename=\"large\""));
    assert_true(has_line(&reply, "Content-Type: application/octet-stream"));
    if (has_line(&reply, "Transfer-Encoding: chunked"))
        assert_true(dechunk(&reply));
    assert_int_equal(reply.body_bytes, 5000 * 1024);
    for (int i = 0; i < 5000; i++)
        assert_int_equal((int)strtol(reply.body + (size_t)i * 1024, NULL, 10), i);
    reply_free(&reply);
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "POST /test/symbol?set=x&pid=%d HTTP/1.1\r\n" HOST CLOSE
                   "Content-Length: 4\r\n\r\n0x40",
                   pid);
    reply = ask(text);
    assert_string_equal(reply.body, "set=x body=0x40");
    reply_free(&reply);
    (void)snprintf(text, sizeof(text),
                   "HEAD /test/large?kib=100&pid=%d HTTP/1.1\r\n" HOST CLOSE "\r\n", pid);
    reply = ask(text);
    assert_true(has_line(&reply, "Content-Length: 102400"));
    assert_int_equal(reply.body_bytes, 0);
    reply_free(&reply);
    end_member_and_wait(pid);
    server_stop();
}

static void question_for_a_process_that_cannot_answer_says_why(void **state)
{
    (void)state;
    skip_under_tsan();
    server_start(NULL);
    struct reply reply = get_of("/test/hello", 1);
    assert_int_equal(reply.status, 404);
    reply_free(&reply);
    reply = get("/test/hello?pid=x");
    assert_int_equal(reply.status, 400);
    reply_free(&reply);
    /* An artefact that knows nothing of pids takes no notice of one. */
    reply = get("/test/clamped?pid=1");
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    pid_t pid = fork_member();
    wait_for_socket(pid, true);
    char path[128];
    socket_path(pid, path, sizeof(path));
    assert_int_equal(unlink(path), 0);
    reply = get_of("/test/hello", pid);
    assert_int_equal(reply.status, 502);
    assert_non_null(strstr(reply.body, "socket"));
    reply_free(&reply);
    end_member_and_wait(pid);
    server_stop();
}

static void passed_on_question_ends_with_the_client_and_with_the_process(void **state)
{
    (void)state;
    skip_under_tsan();
    server_start(NULL);
    pid_t pid = fork_member();
    wait_for_socket(pid, true);
    char text[128];
    (void)snprintf(text, sizeof(text), "GET /test/wait?pid=%d HTTP/1.1\r\n" HOST "\r\n", pid);
    int fd = connect_tcp();
    send_text(fd, text);
    for (int i = 0; i < CLIENT_LIMIT_MS && rth__admin_counters.open_exchanges == 0; i++)
        test_pause_us(1000);
    (void)close(fd);
    wait_for_no_exchange();
    /* A cut over there is a cut here. */
    struct reply reply = get_of("/test/late-error?kib=2000", pid);
    if (reply.status == 200)
        assert_false(dechunk(&reply));
    reply_free(&reply);
    fd = connect_tcp();
    send_text(fd, text);
    for (int i = 0; i < CLIENT_LIMIT_MS && rth__admin_counters.open_exchanges == 0; i++)
        test_pause_us(1000);
    test_pause_us(20 * 1000);
    end_member(pid);
    reply = read_reply(fd, strlen("the process ended its answer early\n"));
    assert_int_equal(reply.status, 502);
    reply_free(&reply);
    (void)close(fd);
    wait_for_socket(pid, false);
    server_stop();
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* The pid that answers at the port, 0 for none. */
static int who_answers(uint16_t port)
{
    int fd = connect_port(port), pid = 0;
    if (fd < 0)
        return 0;
    struct reply reply = get_on(fd, "/test/hello");
    if (reply.status == 200)
        (void)sscanf(reply.body, "hello from %d", &pid);
    reply_free(&reply);
    return pid;
}

static void child_takes_the_place_of_the_first_process_when_it_ends(void **state)
{
    (void)state;
    skip_under_tsan();
    uint16_t port = free_port();
    char option[64];
    (void)snprintf(option, sizeof(option), "RTHOOKS_ADMIN=127.0.0.1:%u", port);
    const char *const environment[] = {option, NULL};
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t first = fork();
    if (first == 0) {
        server_start(environment);
        pid_t member = fork_member();
        wait_for_socket(member, true);
        if (write(pipe_fds[1], &member, sizeof(member)) != sizeof(member) ||
            write(pipe_fds[1], test_folder, sizeof(test_folder)) != sizeof(test_folder))
            _exit(1);
        for (;;)
            (void)pause();
    }
    pid_t member = 0;
    assert_int_equal(read(pipe_fds[0], &member, sizeof(member)), sizeof(member));
    assert_int_equal(read(pipe_fds[0], test_folder, sizeof(test_folder)), sizeof(test_folder));
    assert_int_equal(who_answers(port), first);
    end_member(first);
    int answers = 0;
    for (int i = 0; i < CLIENT_LIMIT_MS && answers != member; i++) {
        answers = who_answers(port);
        test_pause_us(1000);
    }
    assert_int_equal(answers, member);
    wait_for_socket(first, false); /* the new first process buried it */
    assert_int_equal(kill(member, SIGKILL), 0);
    char path[128];
    socket_path(member, path, sizeof(path));
    (void)unlink(path);
    folder_remove();
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
        cmocka_unit_test(adopted_child_answers_on_its_own_socket_with_one_thread),
        cmocka_unit_test(question_with_a_pid_is_passed_on),
        cmocka_unit_test(question_for_a_process_that_cannot_answer_says_why),
        cmocka_unit_test(passed_on_question_ends_with_the_client_and_with_the_process),
        cmocka_unit_test(child_takes_the_place_of_the_first_process_when_it_ends),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cases[i].setup_func = limits_reset;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(cases, NULL, NULL);
}
