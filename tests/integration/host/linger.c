/* SPDX-License-Identifier: MIT */
/*
 * linger HOW: forks a child that lives on in one blocking call, prints "child PID", and waits.
 * HOW: poll ppoll select pselect epoll sleep nanosleep sigsuspend pause accept read spin.
 * The child overwrites its first argument with capital X, as setproctitle would.
 * "linger HOW leave": the parent leaves 600 ms after the fork, as daemons do.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void block(const char *how)
{
    int ends[2];
    if (pipe(ends) != 0)
        _exit(1);
    struct pollfd polled = {ends[0], POLLIN, 0};
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(ends[0], &readable);
    if (strcmp(how, "poll") == 0) {
        poll(&polled, 1, -1);
    } else if (strcmp(how, "ppoll") == 0) {
        ppoll(&polled, 1, NULL, NULL);
    } else if (strcmp(how, "select") == 0) {
        select(ends[0] + 1, &readable, NULL, NULL, NULL);
    } else if (strcmp(how, "pselect") == 0) {
        pselect(ends[0] + 1, &readable, NULL, NULL, NULL, NULL);
    } else if (strcmp(how, "epoll") == 0) {
        struct epoll_event event = {.events = EPOLLIN};
        int epoll = epoll_create1(0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
        epoll_wait(epoll, &event, 1, -1);
    } else if (strcmp(how, "sleep") == 0) {
        sleep(1000);
    } else if (strcmp(how, "nanosleep") == 0) {
        struct timespec time = {1000, 0};
        nanosleep(&time, NULL);
    } else if (strcmp(how, "sigsuspend") == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigsuspend(&none);
    } else if (strcmp(how, "pause") == 0) {
        pause();
    } else if (strcmp(how, "accept") == 0) {
        struct sockaddr_un any = {.sun_family = AF_UNIX};
        int listener = socket(AF_UNIX, SOCK_STREAM, 0);
        bind(listener, (struct sockaddr *)&any, sizeof(any.sun_family));
        listen(listener, 1);
        accept(listener, NULL, NULL);
    } else if (strcmp(how, "read") == 0) {
        char byte;
        if (read(ends[0], &byte, 1) < 0)
            _exit(1);
    } else {
        for (;;)
            ;
    }
    /* The call came back though nothing had happened. */
    _exit(7);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    char how[32];
    snprintf(how, sizeof(how), "%s", argv[1]);
    usleep(700 * 1000);
    pid_t pid = fork();
    if (pid == 0) {
        memset(argv[1], 'X', strlen(argv[1]));
        block(how);
    }
    printf("child %d\n", (int)pid);
    fflush(stdout);
    if (argc > 2) {
        usleep(600 * 1000);
        return 0;
    }
    for (;;)
        pause();
}
