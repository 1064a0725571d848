/* SPDX-License-Identifier: MIT */
/*
 * `wait_mix CALLS`: threads that work a little and wait a little, in every call that a signal could
 * end early. Prints how many of CALLS calls ended with EINTR, by kind, and how many were made.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

#define KINDS   6
#define THREADS 8 /* of each kind */

static const char *const kind_name[KINDS] = {"poll", "epoll_wait", "select",
                                             "recv", "nanosleep",  "sem_wait"};
static atomic_long interrupted[KINDS], made;
static long wanted;
static volatile unsigned long sink;

struct place {
    int kind, epoll_fd, sockets[2];
    sem_t semaphore;
};

static int wait_once(struct place *place)
{
    struct timespec pause = {.tv_nsec = 500000}, until;
    struct timeval limit = {.tv_usec = 500};
    struct epoll_event event;
    char byte;
    switch (place->kind) {
    case 0:
        return poll(NULL, 0, 1);
    case 1:
        return epoll_wait(place->epoll_fd, &event, 1, 1);
    case 2:
        return select(0, NULL, NULL, NULL, &limit);
    case 3:
        return (int)recv(place->sockets[0], &byte, 1, 0);
    case 4:
        return nanosleep(&pause, NULL);
    default:
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 500000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        return sem_timedwait(&place->semaphore, &until);
    }
}

static void *mix(void *argument)
{
    struct place place = {.kind = (int)(long)argument};
    struct timeval limit = {.tv_usec = 500};
    place.epoll_fd = epoll_create1(0);
    if (place.epoll_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, place.sockets) != 0 ||
        setsockopt(place.sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
        sem_init(&place.semaphore, 0, 0) != 0) {
        perror("wait_mix");
        exit(1);
    }
    while (made++ < wanted) {
        for (int i = 0; i < 20000; i++)
            sink = sink * 6364136223846793005u + 1;
        errno = 0;
        if (wait_once(&place) < 0 && errno == EINTR)
            interrupted[place.kind]++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[KINDS * THREADS];
    wanted = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    printf("ready\n");
    (void)fflush(stdout);
    for (long i = 0; i < KINDS * THREADS; i++)
        if (pthread_create(&threads[i], NULL, mix, (void *)(i % KINDS)) != 0)
            return 1;
    for (int i = 0; i < KINDS * THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    for (int i = 0; i < KINDS; i++)
        printf("%s %ld\n", kind_name[i], (long)interrupted[i]);
    return 0;
}
