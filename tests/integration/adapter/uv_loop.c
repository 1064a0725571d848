/* SPDX-License-Identifier: MIT */
/*
 * A loop of libuv, watched or not: uv_loop KIND bare|watched.
 * count: 40 timers 5 ms apart, between the lines "begin" and "end". rthooks does not run.
 * lag:   a timer keeps the loop for 60 ms, four times, while another one is due after 10 ms; then
 *        waits for standard input to end.
 * work:  three pieces of work under handler=/checkout, of which the first waits for a line of
 *        standard input, and the last is cancelled; then waits for standard input to end.
 */
#include <rthooks/adapters/libuv.h>
#include <rthooks/label.h>
#include <rthooks/rthooks.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uv_loop_t loop;
static struct rth_uv_loop watched;
static int rounds;

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

/* ---- count --------------------------------------------------------------------------------- */

static void on_count(uv_timer_t *timer)
{
    if (++rounds == 40)
        (void)uv_timer_stop(timer);
}

static void count(void)
{
    uv_timer_t timer;
    uv_async_t idle; /* keeps a descriptor in the set, and the loop never waits for it */
    (void)uv_timer_init(&loop, &timer);
    (void)uv_async_init(&loop, &idle, NULL);
    uv_unref((uv_handle_t *)&idle);
    (void)uv_timer_start(&timer, on_count, 5, 5);
    say("begin\n");
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    say("end\n");
}

/* ---- standard input ------------------------------------------------------------------------ */

static uv_pipe_t input;
static char input_bytes[64];
static sem_t may_go_on;

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    (void)handle, (void)suggested;
    *ret_buffer = uv_buf_init(input_bytes, sizeof(input_bytes));
}

static void on_input(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    (void)buffer;
    if (bytes < 0)
        uv_close((uv_handle_t *)stream, NULL);
    else
        (void)sem_post(&may_go_on);
}

static void read_input(void)
{
    (void)sem_init(&may_go_on, 0, 0);
    (void)uv_pipe_init(&loop, &input, 0);
    (void)uv_pipe_open(&input, 0);
    (void)uv_read_start((uv_stream_t *)&input, give_buffer, on_input);
}

/* ---- lag ----------------------------------------------------------------------------------- */

static uv_timer_t keeper, late;

static void on_late(uv_timer_t *timer)
{
    (void)timer;
}

static void on_keep(uv_timer_t *timer)
{
    (void)uv_timer_start(&late, on_late, 10, 0);
    nap_ms(60);
    if (++rounds == 4) {
        (void)uv_timer_stop(timer);
        say("kept\n");
    }
}

static void lag(void)
{
    read_input();
    (void)uv_timer_init(&loop, &keeper);
    (void)uv_timer_init(&loop, &late);
    (void)uv_timer_start(&keeper, on_keep, 1, 20);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- work ---------------------------------------------------------------------------------- */

static struct rth_uv_work works[3];

__attribute__((noinline)) static void wait_for_line(struct rth_uv_work *work)
{
    if (work == &works[0])
        while (sem_wait(&may_go_on) != 0)
            ;
    __asm__ volatile(""); /* no tail call */
}

static void on_done(struct rth_uv_work *work, int status)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "after %d %s\n", (int)(work - works),
                   status == UV_ECANCELED ? "cancelled"
                   : status == 0          ? "done"
                                          : "?");
    say(text);
}

__attribute__((noinline)) static void queue_all(void)
{
    for (int i = 0; i < 3; i++)
        if (rth_uv_queue_work(&loop, &works[i], "resize", wait_for_line, on_done) != 0)
            _exit(3);
    if (uv_cancel((uv_req_t *)&works[2].request) != 0)
        _exit(3);
    __asm__ volatile("");
}

static void work(void)
{
    read_input();
    /* One thread, so that the others wait behind the first. */
    RTH_WITH_LABELS("handler", "/checkout")
        queue_all();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    if (argc != 3 || setenv("UV_THREADPOOL_SIZE", "1", 1) != 0)
        return 2;
    (void)uv_loop_init(&loop);
    int is_watched = strcmp(argv[2], "watched") == 0;
    if (is_watched && rth_uv_loop_begin(&watched, &loop, "main") != 0)
        return 3;
    if (strcmp(argv[1], "count") == 0) {
        count();
        return 0;
    }
    struct rth_opts opts = RTH_OPTS_INIT;
    if (rth_start(&opts) != 0)
        return 3;
    say("ready\n");
    if (strcmp(argv[1], "lag") == 0)
        lag();
    else
        work();
    if (is_watched)
        rth_uv_loop_end(&watched);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == UV_EBUSY && strcmp(argv[1], "lag") != 0 ? 4 : rth_stop() != 0;
}
