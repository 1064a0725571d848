/* SPDX-License-Identifier: MIT */
/*
 * Holds one lock of the C library for ever, from the moment a line arrives on standard input:
 *   wedge zone FIFO        the time-zone lock: tzset opens a FIFO that nobody writes to
 *   wedge zone-loop        the same lock, taken over and over by eight threads with changing TZ
 *   wedge stderr           the lock of stderr
 *   wedge loader LIBRARY   the loader's lock: a constructor that never returns
 *   wedge arena            the lock of malloc's only arena (run with tcache off)
 * Prints "running" first and "wedged" when the lock is held.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *argument;

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(1);
}

static void sleep_ms(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

__attribute__((noreturn)) static void *hold_zone(void *unused)
{
    (void)unused;
    setenv("TZ", argument, 1);
    tzset();
    _exit(3);
}

__attribute__((noreturn)) static void *loop_zone(void *number)
{
    for (unsigned turn = 0;; turn++) {
        char zone[32];
        snprintf(zone, sizeof(zone), "X%c%c%u", 'A' + (int)(intptr_t)number, 'A' + (int)(turn % 26),
                 turn % 12);
        setenv("TZ", zone, 1);
        time_t now = (time_t)turn;
        struct tm local;
        localtime_r(&now, &local);
    }
}

__attribute__((noreturn)) static void *hold_stderr(void *unused)
{
    (void)unused;
    flockfile(stderr);
    say("wedged\n");
    for (;;)
        pause();
}

__attribute__((noreturn)) static void *hold_loader(void *unused)
{
    (void)unused;
    dlopen(argument, RTLD_NOW);
    _exit(3);
}

/* The arena: a thread that allocates all the time is stopped by a signal; when another thread
 * cannot allocate then, it was stopped while it held the lock. */
static atomic_int victim_stopped, victim_may_go;
static atomic_uint probes_asked, probes_done;

static void stop_here(int number)
{
    (void)number;
    atomic_store(&victim_stopped, 1);
    while (!atomic_load(&victim_may_go))
        sleep_ms(1);
}

__attribute__((noreturn)) static void *allocate_all_the_time(void *unused)
{
    (void)unused;
    for (;;) {
        void *volatile block = malloc(100);
        free(block);
    }
}

__attribute__((noreturn)) static void *probe(void *unused)
{
    (void)unused;
    for (unsigned served = 0;;) {
        if (atomic_load(&probes_asked) == served) {
            sleep_ms(1);
            continue;
        }
        void *volatile block = malloc(100);
        free(block);
        served++;
        atomic_store(&probes_done, served);
    }
}

static void hold_arena(pthread_t victim)
{
    for (;;) {
        atomic_store(&victim_may_go, 0);
        atomic_store(&victim_stopped, 0);
        pthread_kill(victim, SIGUSR1);
        while (!atomic_load(&victim_stopped))
            sleep_ms(1);
        unsigned asked = atomic_fetch_add(&probes_asked, 1) + 1;
        for (int waited = 0; waited < 500 && atomic_load(&probes_done) != asked; waited++)
            sleep_ms(1);
        if (atomic_load(&probes_done) != asked)
            return;
        atomic_store(&victim_may_go, 1);
        sleep_ms(3);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    argument = argc > 2 ? argv[2] : NULL;
    const char *what = argv[1];
    pthread_t thread, victim = 0;
    if (strcmp(what, "arena") == 0) {
        mallopt(M_ARENA_MAX, 1);
        struct sigaction action = {.sa_handler = stop_here};
        sigaction(SIGUSR1, &action, NULL);
        pthread_create(&victim, NULL, allocate_all_the_time, NULL);
        pthread_create(&thread, NULL, probe, NULL);
    }
    say("running\n");
    char line[16];
    if (read(0, line, sizeof(line)) <= 0)
        return 1;
    if (strcmp(what, "zone") == 0) {
        pthread_create(&thread, NULL, hold_zone, NULL);
        sleep_ms(500);
        say("wedged\n");
    } else if (strcmp(what, "zone-loop") == 0) {
        for (intptr_t number = 0; number < 8; number++)
            pthread_create(&thread, NULL, loop_zone, (void *)number);
        sleep_ms(200);
        say("wedged\n");
    } else if (strcmp(what, "stderr") == 0) {
        pthread_create(&thread, NULL, hold_stderr, NULL);
    } else if (strcmp(what, "loader") == 0) {
        pthread_create(&thread, NULL, hold_loader, NULL);
    } else if (strcmp(what, "arena") == 0) {
        hold_arena(victim);
        say("wedged\n");
    } else {
        return 2;
    }
    for (;;)
        pause();
}
