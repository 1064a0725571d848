/* SPDX-License-Identifier: MIT */
/*
 * A loop of libevent, watched or not: event_loop KIND bare|watched.
 * count: 40 timers 5 ms apart, every fourth of another priority, between the lines "begin" and
 *        "end". rthooks does not run.
 * lag:   of two timers that are due together, each keeps the loop for 30 ms, three times; then
 * waits for standard input to end. once:  an event under handler=/checkout, which waits for a line
 * of standard input.
 */
#include <rthooks/adapters/libevent.h>
#include <rthooks/label.h>
#include <rthooks/rthooks.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct event_base *base;
static struct rth_event_loop watched;
static int is_watched, rounds;

/* One system call, whatever libc keeps. */
static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(4);
}

static void nap_ms(long ms)
{
    struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&nap, NULL);
}

static void enter(void)
{
    if (is_watched)
        rth_event_enter(&watched);
}

static struct event *timers[2];

static void on_count(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval soon = {0, 5000};
    (void)fd, (void)what, (void)argument;
    enter();
    if (++rounds < 40)
        (void)event_add(timers[rounds % 4 == 0], &soon);
}

static void count(void)
{
    int ends[2];
    if (pipe(ends) != 0)
        _exit(3);
    struct event *idle = event_new(base, ends[0], EV_READ | EV_PERSIST, on_count, NULL);
    (void)event_add(idle, NULL);
    static const struct timeval soon = {0, 5000};
    (void)event_add(timers[0], &soon);
    say("begin\n");
    /* Until the timers are done; the pipe would keep it for ever. */
    while (rounds < 40 && event_base_loop(base, EVLOOP_ONCE) == 0)
        ;
    say("end\n");
    event_free(idle);
}

static void on_keep(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval soon = {0, 20000};
    (void)fd, (void)what, (void)argument;
    enter();
    nap_ms(30);
    if (argument != NULL && ++rounds < 3) {
        (void)event_add(timers[0], &soon);
        (void)event_add(timers[1], &soon);
    } else if (rounds == 3) {
        say("kept\n");
    }
}

static void on_line(evutil_socket_t fd, short what, void *argument)
{
    char bytes[64];
    (void)what, (void)argument;
    (void)!read(fd, bytes, sizeof(bytes));
    nap_ms(1);
    say("called\n");
}

__attribute__((noinline)) static void add_once(void)
{
    if (rth_event_base_once(&watched, 0, EV_READ, on_line, NULL, NULL, "line") != 0)
        _exit(3);
    __asm__ volatile(""); /* no tail call */
}

static void on_input(evutil_socket_t fd, short what, void *argument)
{
    char bytes[64];
    (void)what, (void)argument;
    if (read(fd, bytes, sizeof(bytes)) == 0)
        (void)event_base_loopbreak(base);
}

static void run(int once)
{
    static const struct timeval soon = {0, 1000};
    if (once) {
        RTH_WITH_LABELS("handler", "/checkout")
            add_once();
        (void)event_base_dispatch(base);
    } else {
        (void)event_add(timers[0], &soon);
        (void)event_add(timers[1], &soon);
    }
    struct event *input = event_new(base, 0, EV_READ | EV_PERSIST, on_input, NULL);
    (void)event_add(input, NULL);
    (void)event_base_dispatch(base);
    event_free(input);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int is_count = strcmp(argv[1], "count") == 0;
    struct event_config *config = event_config_new();
    /* With the coarse clock it would wait for a timer several times, as chance has it. */
    if (config == NULL || event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) != 0)
        return 3;
    base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == NULL || event_base_priority_init(base, 3) != 0)
        return 3;
    for (int i = 0; i < 2; i++) {
        timers[i] = event_new(base, -1, 0, is_count ? on_count : on_keep, i == 1 ? timers : NULL);
        if (is_count && i == 1)
            (void)event_priority_set(timers[i], 2);
    }
    is_watched = strcmp(argv[2], "watched") == 0;
    if (is_watched && rth_event_loop_begin(&watched, base, "main") != 0)
        return 3;
    struct rth_opts opts = RTH_OPTS_INIT;
    if (is_count) {
        count();
    } else {
        if (rth_start(&opts) != 0)
            return 3;
        say("ready\n");
        run(strcmp(argv[1], "once") == 0);
    }
    for (int i = 0; i < 2; i++)
        event_free(timers[i]);
    if (is_watched)
        rth_event_loop_end(&watched);
    event_base_free(base);
    return is_count ? 0 : rth_stop() != 0;
}
