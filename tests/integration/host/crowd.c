/* SPDX-License-Identifier: MIT */
/*
 * crowd SLEEPERS RUNNERS: sleepers wait in seven ways and count how often a wait is interrupted,
 * runners run. Prints "ready"; at each line of standard input "eintr N", and ends with it.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WAYS = 7 };

static int sockets[2], epoll_fd;
static sem_t never;
static int futex_word;
static unsigned long interrupted;
static unsigned sleeping;
static volatile unsigned long turns;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static long sleep_once(size_t way)
{
    struct pollfd readable = {.fd = sockets[0], .events = POLLIN};
    struct epoll_event event;
    char byte;
    switch (way) {
    case 0:
        return poll(&readable, 1, 3600000);
    case 1:
        return epoll_wait(epoll_fd, &event, 1, 3600000);
    case 2:
        return sem_wait(&never);
    case 3:
        return nanosleep(&(struct timespec){.tv_sec = 3600}, NULL);
    case 4:
        return recv(sockets[0], &byte, 1, 0); /* SO_RCVTIMEO: never restarted */
    case 5:
        return syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0,
                       &(struct timespec){.tv_sec = 3600}, NULL, 0);
    default:
        pthread_mutex_lock(&mutex);
        pthread_cond_wait(&condition, &mutex);
        pthread_mutex_unlock(&mutex);
        return 0;
    }
}

static void *sleeper(void *argument)
{
    __atomic_fetch_add(&sleeping, 1, __ATOMIC_RELAXED);
    for (;;) {
        if (sleep_once((size_t)argument) < 0 && errno == EINTR)
            __atomic_fetch_add(&interrupted, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *runner(void *argument)
{
    (void)argument;
    for (;;)
        turns++;
    return NULL;
}

static void start(void *(*function)(void *), size_t argument, const char *name)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    if (pthread_create(&thread, &attributes, function, (void *)argument) != 0) {
        perror("pthread_create");
        exit(2);
    }
    pthread_setname_np(thread, name);
}

int main(int argc, char **argv)
{
    unsigned sleepers = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    unsigned runners = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    struct timeval limit = {.tv_sec = 3600};
    char line[16];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) != 0 ||
        setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
        return 2;
    epoll_fd = epoll_create1(0);
    sem_init(&never, 0, 0);
    for (unsigned i = 0; i < sleepers; i++)
        start(sleeper, i % WAYS, "sleeper");
    for (unsigned i = 0; i < runners; i++)
        start(runner, 0, "runner");
    while (__atomic_load_n(&sleeping, __ATOMIC_RELAXED) < sleepers)
        usleep(10000);
    usleep(200000);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        printf("eintr %lu\n", __atomic_load_n(&interrupted, __ATOMIC_RELAXED));
        fflush(stdout);
    }
    return 0;
}
