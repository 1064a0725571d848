/* SPDX-License-Identifier: MIT */
/*
 * Somebody else's wrapper of mutexes, preloaded: it counts and calls the next one, and leads libc's
 * own names for them to the public ones, as recorders of programs do.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC visibility push(default)

static _Atomic long locked, unlocked;

#define NEXT(name)                                                                                 \
    static int (*next)(pthread_mutex_t *);                                                         \
    if (next == NULL)                                                                              \
        next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, #name);

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    NEXT(pthread_mutex_lock)
    int error = next(mutex);
    locked += error == 0;
    return error;
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    NEXT(pthread_mutex_trylock)
    int error = next(mutex);
    locked += error == 0;
    return error;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    NEXT(pthread_mutex_unlock)
    int error = next(mutex);
    unlocked += error == 0;
    return error;
}

int __pthread_mutex_lock(pthread_mutex_t *mutex)
{
    return pthread_mutex_lock(mutex);
}

int __pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    return pthread_mutex_trylock(mutex);
}

int __pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    return pthread_mutex_unlock(mutex);
}

__attribute__((destructor)) static void tell(void)
{
    char line[80];
    int size = snprintf(line, sizeof(line), "own locks: %ld %ld\n", locked, unlocked);
    if (write(STDOUT_FILENO, line, (size_t)size) != size)
        abort();
}
