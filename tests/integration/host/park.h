/* SPDX-License-Identifier: MIT */
/*
 * One thread per way to sleep, each below the same known callers: thread_main, outer, middle,
 * wait_NAME. Prints "parked" when all sleep, then waits for the end of its standard input.
 * Compiled in several ways by park_*.c.
 */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

typedef void wait_function(void);

static volatile int after; /* work behind a call keeps it from being a jump */
static int pipe_fds[2], sockets[2], epoll_fd, locked_fd, lock_fd;
static sem_t never;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_t main_thread;
static pid_t child;

static NOINLINE void wait_read(void)
{
    char byte;
    after += (int)read(pipe_fds[0], &byte, 1);
    after++;
}
static NOINLINE void wait_condition(void)
{
    pthread_mutex_lock(&mutex);
    pthread_cond_wait(&condition, &mutex);
    after++;
}
static NOINLINE void wait_recv(void)
{
    char byte;
    after += (int)recv(sockets[0], &byte, 1, 0);
    after++;
}
static NOINLINE void wait_join(void)
{
    pthread_join(main_thread, NULL);
    after++;
}
static NOINLINE void wait_sem(void)
{
    sem_wait(&never);
    after++;
}
static NOINLINE void wait_flock(void)
{
    flock(lock_fd, LOCK_EX);
    after++;
}
static NOINLINE void wait_child(void)
{
    waitpid(child, NULL, 0);
    after++;
}
static NOINLINE void wait_poll(void)
{
    struct pollfd readable = {.fd = pipe_fds[0], .events = POLLIN};
    poll(&readable, 1, -1);
    after++;
}
static NOINLINE void wait_epoll(void)
{
    struct epoll_event event;
    epoll_wait(epoll_fd, &event, 1, -1);
    after++;
}
static NOINLINE void wait_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_fds[0], &set);
    select(pipe_fds[0] + 1, &set, NULL, NULL, NULL);
    after++;
}
static NOINLINE void wait_sleep(void)
{
    nanosleep(&(struct timespec){.tv_sec = 3600}, NULL);
    after++;
}
/* A frame whose size no instruction tells. */
static NOINLINE void wait_alloca(void)
{
    volatile char *room = alloca((size_t)(300 + after % 7));
    room[0] = 1;
    after += (int)read(pipe_fds[0], (void *)room, 1);
    after += room[0];
}
/* Seven frames of one function; deeper ones have left theirs behind. */
static NOINLINE void recurse(int depth, int limit)
{
    if (depth < limit)
        recurse(depth + 1, limit);
    else if (limit == 6)
        wait_read();
    after++;
}
static NOINLINE void wait_recursed(void)
{
    recurse(0, 40);
    recurse(0, 6);
    after++;
}

/* Leaves frames of many functions below those that sleep. */
static NOINLINE int stir(int depth)
{
    char text[128];
    after += snprintf(text, sizeof(text), "%d %s %f", depth, "stirred", depth / 3.0);
    return depth > 0 ? stir(depth - 1) + text[0] : 0;
}

static NOINLINE void middle(wait_function *function)
{
    volatile char room[200];
    room[0] = (char)after;
    function();
    after += room[0];
}
static NOINLINE void outer(wait_function *function)
{
    after += stir(20);
    middle(function);
    after++;
}

static const struct {
    const char *name;
    wait_function *function;
} ways[] = {
    {"read", wait_read},         {"condition", wait_condition},
    {"recv", wait_recv},         {"join", wait_join},
    {"sem", wait_sem},           {"flock", wait_flock},
    {"child", wait_child},       {"poll", wait_poll},
    {"epoll", wait_epoll},       {"select", wait_select},
    {"sleep", wait_sleep},       {"alloca", wait_alloca},
    {"recursed", wait_recursed},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void *thread_main(void *argument)
{
    size_t way = (size_t)argument;
    prctl(PR_SET_NAME, ways[way].name);
    outer(ways[way].function);
    after++;
    return NULL;
}

static void prepare(void)
{
    int memory = memfd_create("lock", 0);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
    locked_fd = fcntl(memory, F_DUPFD_CLOEXEC, 0);
    flock(locked_fd, LOCK_EX);
    lock_fd = open(path, O_RDWR); /* another open file of the same inode */
    if (memory < 0 || lock_fd < 0 || pipe(pipe_fds) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
        exit(2);
    epoll_fd = epoll_create1(0);
    sem_init(&never, 0, 0);
    main_thread = pthread_self();
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
}

int main(void)
{
    char byte;
    prepare();
    for (size_t i = 0; i < WAYS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_main, (void *)i) != 0)
            return 2;
    }
    usleep(200000);
    puts("parked");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        continue;
    kill(child, SIGKILL);
    return 0;
}
