/* SPDX-License-Identifier: MIT */
/*
 * A service with profiles of its own, "connections" and "sessions".
 * hold:   opens 7 connections under handler=/checkout and 2 without labels, closes 1, and has the
 * same addresses as sessions. fork: the same, then a child opens 3 more of its own.
 * write:  writes profiles to files by rth_profile_write, in the working folder, each way there is.
 * child:  a child does that, once it is adopted. stop: rth_stop ends a long write.
 * Prints "ready" and runs until standard input ends.
 */
#include <rthooks/label.h>
#include <rthooks/rthooks.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 12

static struct rth_profile *connections, *sessions;
static char values[CONNECTIONS];

static void want(int is_true, const char *what)
{
    if (!is_true) {
        (void)printf("wrong: %s\n", what);
        (void)fflush(stdout);
        _exit(3);
    }
}

static void say(const char *text)
{
    (void)printf("%s\n", text);
    (void)fflush(stdout);
}

static void until_the_end(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 50) == 0)
        ;
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

__attribute__((noinline)) static int open_connection(int number)
{
    int error = rth_profile_add(connections, &values[number]);
    if (error == 0)
        error = rth_profile_add(sessions, &values[number]);
    __asm__ volatile(""); /* no tail call: this function stays on the stack */
    return error;
}

__attribute__((noinline)) static int open_checkout(int number)
{
    int error = -1;
    RTH_WITH_LABELS("handler", "/checkout")
        error = open_connection(number);
    return error;
}

static void open_all(void)
{
    for (int i = 0; i < 7; i++)
        want(open_checkout(i) == 0, "add");
    for (int i = 7; i < 9; i++)
        want(open_connection(i) == 0, "add without labels");
    want(open_connection(3) == -EEXIST, "a value twice");
    rth_profile_remove(connections, &values[0]);
    rth_profile_remove(connections, &values[0]);
    rth_profile_remove(connections, &values[CONNECTIONS - 1]);
    want(rth_profile_count(connections) == 8 && rth_profile_count(sessions) == 9, "counts");
}

static void make_profiles(void)
{
    struct rth_profile *other;
    want(rth_profile_new("connections", &connections) == 0, "connections");
    want(rth_profile_new("sessions", &sessions) == 0, "sessions");
    want(rth_profile_new("sessions", &other) == -EEXIST, "a name twice");
    want(rth_profile_new("heap", &other) == -EEXIST, "a built-in name");
    want(rth_profile_new("threads", &other) == -EEXIST, "a built-in name");
    want(rth_profile_new("a/b", &other) == -EINVAL, "no name");
}

/* ---- rth_profile_write --------------------------------------------------------------------- */

static pthread_t writer;

static int to_file(void *file, const void *data, size_t size_bytes)
{
    want(pthread_equal(pthread_self(), writer), "the sink runs on the caller");
    return fwrite(data, 1, size_bytes, file) == size_bytes ? 0 : -EIO;
}

static int write_file(const char *name, const char *path, int debug, int seconds)
{
    struct rth_profile_opts opts = RTH_PROFILE_OPTS_INIT;
    opts.debug = debug;
    opts.seconds = seconds;
    FILE *file = fopen(path, "wb");
    want(file != NULL, path);
    struct rth_sink_callback sink = {to_file, file};
    writer = pthread_self();
    int error = rth_profile_write(name, &opts, &sink);
    (void)fclose(file);
    return error;
}

static int refuse(void *userdata, const void *data, size_t size_bytes)
{
    (void)userdata, (void)data, (void)size_bytes;
    return -EPIPE;
}

static void write_all(void)
{
    struct rth_sink_callback refusing = {refuse, NULL};
    struct rth_profile_opts opts = RTH_PROFILE_OPTS_INIT;
    want(write_file("connections", "connections.pb.gz", 0, 0) == 0, "connections");
    want(write_file("connections", "connections.txt", 1, 0) == 0, "connections as text");
    want(write_file("threads", "threads.pb.gz", 0, 0) == 0, "threads");
    want(rth_cpu_hz_set(0) == -EINVAL && rth_cpu_hz_set(1001) == -EINVAL, "no rate");
    want(rth_cpu_hz_set(250) == 0, "a rate");
    want(write_file("profile", "cpu.pb.gz", 0, 1) == 0, "profile");
    want(write_file("connections", "none", 0, 1) == -EINVAL, "seconds of a custom profile");
    want(write_file("unheard-of", "none", 0, 0) == -ENOENT, "an unknown profile");
    want(write_file("", "none", 0, 0) == -ENOENT, "no name");
    want(write_file("threads", "none", 3, 0) == -EINVAL, "debug=3");
    want(write_file("profile", "none", 0, 301) == -EINVAL, "seconds=301");
    opts.symbols = "some";
    want(rth_profile_write("threads", &opts, &refusing) == -EINVAL, "symbols");
    opts.symbols = "none";
    want(rth_profile_write("threads", &opts, &refusing) == -EPIPE, "what the sink returned");
    want(rth_profile_write("threads", NULL, NULL) == -EINVAL, "no sink");
}

static void *write_threads(void *argument)
{
    struct rth_sink_callback refusing = {refuse, NULL};
    for (int i = 0; i < 20; i++)
        want(rth_profile_write("threads", NULL, &refusing) == -EPIPE, "beside others");
    return argument;
}

static void write_beside_each_other(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        want(pthread_create(&threads[i], NULL, write_threads, NULL) == 0, "pthread_create");
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
}

/* ---- modes --------------------------------------------------------------------------------- */

static void hold(void)
{
    open_all();
    say("ready");
    until_the_end();
}

static void fork_with_values(void)
{
    open_all();
    pid_t pid = fork();
    if (pid == 0) {
        while (rth_profile_add(connections, &values[9]) == -EAGAIN)
            pause_ms(20); /* until it is adopted */
        for (int i = 3; i < 5; i++)
            want(open_checkout(i) == 0, "a value of the parent's is none of the child's");
        rth_profile_remove(connections, &values[7]);
        want(rth_profile_count(connections) == 3, "count in the child");
        say("child ready");
        until_the_end();
        _exit(0);
    }
    (void)printf("child %d\n", (int)pid);
    say("ready");
    until_the_end();
    (void)waitpid(pid, NULL, 0);
}

static void write_files(void)
{
    open_all();
    write_all();
    write_beside_each_other();
    say("ready");
    until_the_end();
}

static void write_in_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rth_profile_opts opts = RTH_PROFILE_OPTS_INIT;
        struct rth_sink_callback refusing = {refuse, NULL};
        while (rth_profile_write("threads", &opts, &refusing) == -EAGAIN)
            pause_ms(20);
        open_all();
        write_all();
        write_beside_each_other();
        _exit(0);
    }
    int status = -1;
    want(waitpid(pid, &status, 0) == pid && status == 0, "the child");
    say("ready");
    until_the_end();
}

static void *write_for_long(void *argument)
{
    struct rth_profile_opts opts = RTH_PROFILE_OPTS_INIT;
    struct rth_sink_callback refusing = {refuse, NULL};
    opts.seconds = 300;
    *(int *)argument = rth_profile_write("profile", &opts, &refusing);
    return NULL;
}

static void stop_while_writing(void)
{
    pthread_t threads[3];
    int results[3] = {0};
    open_all();
    for (int i = 0; i < 3; i++)
        want(pthread_create(&threads[i], NULL, write_for_long, &results[i]) == 0, "create");
    pause_ms(700);
    want(rth_stop() == 0, "rth_stop");
    for (int i = 0; i < 3; i++) {
        (void)pthread_join(threads[i], NULL);
        want(results[i] == -ECANCELED, "cancelled");
    }
    want(rth_profile_add(connections, &values[10]) == -EAGAIN, "add while it does not run");
    want(rth_profile_count(connections) == 0, "count while it does not run");
    want(write_file("threads", "none", 0, 0) == -EAGAIN, "write while it does not run");
    rth_profile_remove(connections, &values[5]);
    want(rth_start(NULL) == 0, "rth_start again");
    want(rth_profile_count(connections) == 0, "values from before");
    want(open_connection(5) == 0, "add again");
    want(write_file("connections", "again.pb.gz", 0, 0) == 0, "write again");
    say("ready");
    until_the_end();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"hold", hold},
                 {"fork", fork_with_values},
                 {"write", write_files},
                 {"child", write_in_child},
                 {"stop", stop_while_writing}};
    struct rth_opts opts = RTH_OPTS_INIT;
    opts.service = "profiles";
    make_profiles();
    want(rth_profile_add(connections, values) == -EAGAIN, "add before rth_start");
    want(rth_start(&opts) == 0, "rth_start");
    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(argv[1], modes[i].name) == 0)
            modes[i].run();
    say("fine");
    return 0;
}
