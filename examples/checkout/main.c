/* SPDX-License-Identifier: MIT */
/*
 * checkout: a small shop over HTTP that links rthooks. GET / lists what it answers.
 *
 * The main thread sets everything up and then waits for SIGTERM or SIGINT; libmicrohttpd's threads
 * run the handlers, and a pool of our own does what they hand over.
 */
#include "service.h"

#include <errno.h>
#include <getopt.h>
#include <rthooks/rthooks.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_DEFAULT 4
#define THREADS_MAX     256

struct options {
    uint16_t port;
    unsigned threads;
    const char *database;
};

static const char usage[] =
    "Usage: checkout [--port N] [--threads N] [--database FILE]\n"
    "\n"
    "  --port N         of 127.0.0.1; 0, the default, takes one that is free\n"
    "  --threads N      that answer requests, and as many workers; default 4\n"
    "  --database FILE  where the orders are kept; default checkout.db\n";

static bool parse_number(const char *name, const char *text, long min, long max, long *ret_number)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < min || number > max) {
        (void)fprintf(stderr, "checkout: %s takes a whole number from %ld to %ld, not '%s'\n", name,
                      min, max, text);
        return false;
    }
    *ret_number = number;
    return true;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int letter;
    long number;
    while ((letter = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (letter) {
        case 'p':
            if (!parse_number("--port", optarg, 0, 65535, &number))
                return 2;
            options->port = (uint16_t)number;
            break;
        case 't':
            if (!parse_number("--threads", optarg, 1, THREADS_MAX, &number))
                return 2;
            options->threads = (unsigned)number;
            break;
        case 'd':
            options->database = optarg;
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return 0;
        default:
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (optind != argc) {
        (void)fprintf(stderr, "checkout: unexpected '%s'\n%s", argv[optind], usage);
        return 2;
    }
    return -1;
}

/* Before any thread is created, so that all of them leave these signals to the main thread. */
static void block_signals(sigset_t *ret_signals)
{
    (void)sigemptyset(ret_signals);
    (void)sigaddset(ret_signals, SIGTERM);
    (void)sigaddset(ret_signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN}; /* a client that went away is no reason */
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

/* A shop that cannot be looked into is still a shop: rthooks has logged why, and we go on. */
static void start_rthooks(void)
{
    struct rth_opts opts = RTH_OPTS_INIT;
    opts.service = "checkout";
    int error = rth_start(&opts);
    if (error != 0)
        (void)fprintf(stderr, "checkout: without rthooks: %s\n", strerror(-error));
}

static int complain(const char *what, int error)
{
    (void)fprintf(stderr, "checkout: %s: %s\n", what, strerror(-error));
    return 1;
}

/* Answers requests until one of the signals comes. */
static int serve(const struct options *options, const sigset_t *signals, struct service *service)
{
    struct server *server;
    int error = server_start(&(struct server_options){.port = options->port,
                                                      .threads = options->threads,
                                                      .routes = service_routes,
                                                      .route_count = service_route_count,
                                                      .service = service},
                             &server);
    if (error != 0)
        return complain("cannot listen", error);
    (void)printf("listening on 127.0.0.1:%u\n", server_port(server));
    (void)fflush(stdout);
    int number;
    while (sigwait(signals, &number) != 0)
        ;
    server_stop(server);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.threads = THREADS_DEFAULT, .database = "checkout.db"};
    int status = parse_options(argc, argv, &options);
    if (status >= 0)
        return status;
    sigset_t signals;
    block_signals(&signals);
    start_rthooks();

    struct service service = {0};
    int error = orders_open(options.database, &service.orders);
    if (error != 0)
        status = complain(options.database, error);
    else if ((error = pool_start("worker", options.threads, &service.pool)) != 0 ||
             (error = faults_open(&service.faults)) != 0)
        status = complain("cannot start", error);
    else
        status = serve(&options, &signals, &service);

    faults_close(service.faults);
    pool_stop(service.pool);
    orders_close(service.orders);
    (void)rth_stop();
    return status;
}
