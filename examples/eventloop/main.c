/* SPDX-License-Identifier: MIT */
/*
 * eventloop: a service on libuv that links rthooks. It speaks lines over TCP:
 *
 *     WORK handler cpu_ms     CPU time on the loop's thread
 *     ALLOC handler bytes     memory, for as long as a timer takes
 *     QUEUE handler cpu_ms    CPU time on libuv's thread pool
 *
 * and answers each with a line that begins with OK or ERROR. All that it does for a request is
 * labelled handler=HANDLER: connection.c shows how labels travel through callbacks.
 */
#include "server.h"

#include <errno.h>
#include <getopt.h>
#include <rthooks/rthooks.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "Usage: eventloop [--port N]\n"
                            "\n"
                            "  --port N  of 127.0.0.1; 0, the default, takes one that is free\n";

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, uint16_t *port)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
    int letter;
    while ((letter = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        if (letter == 'h') {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (letter != 'p') {
            (void)fputs(usage, stderr);
            return 2;
        }
        char *end;
        errno = 0;
        long number = strtol(optarg, &end, 10);
        if (errno != 0 || end == optarg || *end != '\0' || number < 0 || number > 65535) {
            (void)fprintf(stderr,
                          "eventloop: --port takes a whole number from 0 to 65535, not '%s'\n",
                          optarg);
            return 2;
        }
        *port = (uint16_t)number;
    }
    if (optind != argc) {
        (void)fprintf(stderr, "eventloop: unexpected '%s'\n%s", argv[optind], usage);
        return 2;
    }
    return -1;
}

int main(int argc, char **argv)
{
    uint16_t port = 0;
    int status = parse_options(argc, argv, &port);
    if (status >= 0)
        return status;
    struct sigaction ignore = {.sa_handler = SIG_IGN}; /* a client that went away is no reason */
    (void)sigaction(SIGPIPE, &ignore, NULL);

    /* A service that cannot be looked into is still one: rthooks has logged why, and we go on. */
    struct rth_opts opts = RTH_OPTS_INIT;
    opts.service = "eventloop";
    int error = rth_start(&opts);
    if (error != 0)
        (void)fprintf(stderr, "eventloop: without rthooks: %s\n", strerror(-error));

    uv_loop_t loop;
    struct server server;
    error = uv_loop_init(&loop);
    if (error == 0) {
        error = server_start(&server, &loop, port);
        if (error == 0) {
            (void)printf("listening on 127.0.0.1:%u\n", server.port);
            (void)fflush(stdout);
        }
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&loop);
    }
    if (error != 0)
        (void)fprintf(stderr, "eventloop: %s\n", uv_strerror(error));
    (void)rth_stop();
    uv_library_shutdown();
    return error != 0;
}
