/* SPDX-License-Identifier: MIT */
/*
 * Maps known amounts from functions of known names. Reads one command a line and answers "done
 * COMMAND"; ends with its input. "thread" does the next command on a thread of its own.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
/* A call behind this is no tail call. */
#define STAY() __asm__ volatile("" ::: "memory")

static char *pool, *grown, *shared, *reserved;

static char *checked(void *mapped)
{
    if (mapped == MAP_FAILED)
        abort();
    return mapped;
}

static char *anonymous(size_t bytes) __attribute__((always_inline));
static inline char *anonymous(size_t bytes)
{
    return checked(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void unmap(char *address, size_t bytes)
{
    if (munmap(address, bytes) != 0)
        abort();
}

static __attribute__((noinline)) void map_pool(void)
{
    pool = anonymous(8 * MIB);
    STAY();
}

static __attribute__((noinline)) void map_to_grow(void)
{
    grown = anonymous(MIB);
    grown[0] = 'g';
    STAY();
}

static __attribute__((noinline)) void grow_region(void)
{
    grown = checked(mremap(grown, MIB, 4 * MIB, MREMAP_MAYMOVE));
    if (grown[0] != 'g')
        abort();
    STAY();
}

static __attribute__((noinline)) void map_shared(void)
{
    shared =
        checked(mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    STAY();
}

static __attribute__((noinline)) void map_reserve(void)
{
    reserved = checked(
        mmap(NULL, 1024 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    STAY();
}

static __attribute__((noinline)) void grow_break(void)
{
    if (sbrk((intptr_t)MIB) == (void *)-1)
        abort();
    STAY();
}

/* A file, over one page of the pool and elsewhere. */
static __attribute__((noinline)) void map_file(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    (void)checked(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
    (void)checked(mmap(pool, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0));
    (void)close(fd);
    STAY();
}

static __attribute__((noinline)) void map_and_unmap(void)
{
    for (int i = 0; i < 100; i++)
        unmap(anonymous(MIB), MIB);
    STAY();
}

static __attribute__((noinline)) void map_in_child(void)
{
    pool = anonymous(3 * MIB);
    STAY();
}

/* Lives as long as its parent, in waits that it may be adopted in. */
static void fork_child(void)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0) {
        printf("child %d\n", (int)pid);
        return;
    }
    for (int i = 0; i < 1200 && getppid() == parent; i++) {
        (void)poll(NULL, 0, 50);
        if (i == 20)
            map_in_child();
    }
    _exit(0);
}

static void run(const char *command)
{
    if (strcmp(command, "pool") == 0)
        map_pool();
    else if (strcmp(command, "punch") == 0)
        unmap(pool + 2 * MIB, MIB);
    else if (strcmp(command, "to_grow") == 0)
        map_to_grow();
    else if (strcmp(command, "grow") == 0)
        grow_region();
    else if (strcmp(command, "shared") == 0)
        map_shared();
    else if (strcmp(command, "reserve") == 0)
        map_reserve();
    else if (strcmp(command, "break") == 0)
        grow_break();
    else if (strcmp(command, "file") == 0)
        map_file();
    else if (strcmp(command, "churn") == 0)
        map_and_unmap();
    else if (strcmp(command, "fork") == 0)
        fork_child();
    else if (strcmp(command, "free") == 0) {
        unmap(pool, 2 * MIB); /* not across the hole, where anybody may have mapped since */
        unmap(pool + 3 * MIB, 5 * MIB);
        unmap(grown, 4 * MIB);
        unmap(shared, 2 * MIB);
        unmap(reserved, 1024 * MIB);
    }
}

static void *run_in_thread(void *command)
{
    run(command);
    return NULL;
}

int main(void)
{
    char line[64];
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        pthread_t thread;
        if (strncmp(line, "thread ", 7) != 0)
            run(line);
        else if (pthread_create(&thread, NULL, run_in_thread, line + 7) != 0 ||
                 pthread_join(thread, NULL) != 0)
            return 1;
        printf("done %s\n", line);
    }
    return 0;
}
