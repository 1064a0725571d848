/* SPDX-License-Identifier: MIT */
/* Conditions and semaphores through every form of their calls, cancelled and interrupted too. */
#include "results.h"

#include <semaphore.h>
#include <signal.h>

/* ---- conditions ---- */

static pthread_cond_t condition;
static pthread_mutex_t condition_mutex;
static _Atomic int stage;

static void clean_up(void *unused)
{
    (void)unused;
    /* An error-checking mutex knows its owner: EDEADLK when the cancelled thread holds it. */
    SAY(pthread_mutex_lock(&condition_mutex));
    SAY(pthread_mutex_unlock(&condition_mutex));
}

static void *waits(void *form)
{
    struct timespec until = in_ms(CLOCK_REALTIME, 60000);
    struct timespec until_monotonic = in_ms(CLOCK_MONOTONIC, 60000);
    pthread_mutex_lock(&condition_mutex);
    pthread_cleanup_push(clean_up, NULL);
    stage = 1;
    while (stage == 1) {
        errno = 4711;
        int error = (intptr_t)form == 0 ? pthread_cond_wait(&condition, &condition_mutex)
                    : (intptr_t)form == 1
                        ? pthread_cond_timedwait(&condition, &condition_mutex, &until)
                        : pthread_cond_clockwait(&condition, &condition_mutex, CLOCK_MONOTONIC,
                                                 &until_monotonic);
        if (error != 0 || errno != 4711)
            say("wait", error, errno);
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void *cancelled_before(void *form)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cancel(pthread_self());
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    return waits(form);
}

static void condition_signalled_and_cancelled(intptr_t form)
{
    pthread_t thread;
    void *returned;
    stage = 0;
    pthread_create(&thread, NULL, waits, (void *)form);
    while (stage != 1)
        pause_ms(1);
    pause_ms(10);
    pthread_mutex_lock(&condition_mutex);
    stage = 2;
    SAY(pthread_cond_signal(&condition));
    pthread_mutex_unlock(&condition_mutex);
    pthread_join(thread, &returned);
    say("signalled, was cancelled", returned == PTHREAD_CANCELED, 0);
    stage = 0;
    pthread_create(&thread, NULL, waits, (void *)form);
    while (stage != 1)
        pause_ms(1);
    pause_ms(10);
    int error = pthread_cancel(thread);
    pthread_join(thread, &returned);
    say("cancel", error, 0);
    say("cancelled, was cancelled", returned == PTHREAD_CANCELED, 0);
    pthread_create(&thread, NULL, cancelled_before, (void *)form);
    pthread_join(thread, &returned);
    say("cancelled before, was cancelled", returned == PTHREAD_CANCELED, 0);
}

static void condition_times(clockid_t clock)
{
    struct timespec soon = in_ms(clock, 5), soon_monotonic = in_ms(CLOCK_MONOTONIC, 5);
    SAY(pthread_cond_timedwait(&condition, &condition_mutex, &past)); /* not the owner */
    SAY(pthread_cond_wait(&condition, &condition_mutex));
    SAY(pthread_mutex_lock(&condition_mutex));
    SAY(pthread_cond_timedwait(&condition, &condition_mutex, &past));
    SAY(pthread_cond_timedwait(&condition, &condition_mutex, &before_1970));
    SAY(pthread_cond_timedwait(&condition, &condition_mutex, &soon));
    SAY(pthread_cond_timedwait(&condition, &condition_mutex, &bad_nsec));
    SAY(pthread_cond_timedwait(&condition, &condition_mutex, &negative_nsec));
    SAY(pthread_cond_clockwait(&condition, &condition_mutex, CLOCK_MONOTONIC, &soon_monotonic));
    SAY(pthread_cond_clockwait(&condition, &condition_mutex, CLOCK_MONOTONIC, &bad_nsec));
    SAY(pthread_cond_clockwait(&condition, &condition_mutex, BAD_CLOCK, &past));
    SAY(pthread_mutex_unlock(&condition_mutex));
}

static void all_conditions(void)
{
    pthread_mutexattr_t mutex_attributes;
    pthread_condattr_t attributes;
    pthread_mutexattr_init(&mutex_attributes);
    pthread_mutexattr_settype(&mutex_attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&condition_mutex, &mutex_attributes);
    for (int i = 0; i < 4; i++) {
        snprintf(title, sizeof(title), "condition%s%s", i % 2 ? " monotonic" : "",
                 i / 2 ? " shared" : "");
        pthread_condattr_init(&attributes);
        if (i % 2)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        if (i / 2)
            pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_cond_init(&condition, &attributes);
        condition_times(i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME);
        for (intptr_t form = 0; form < 3; form++)
            if (form != 1 || i % 2 == 0)
                condition_signalled_and_cancelled(form);
        SAY(pthread_cond_destroy(&condition));
    }
}

/* The mutex's owner dies while a thread waits for the condition. */
static pthread_mutex_t *robust_mutex;

static void *waits_robustly(void *unused)
{
    struct timespec until = in_ms(CLOCK_REALTIME, 60000);
    (void)unused;
    pthread_mutex_lock(robust_mutex);
    stage = 1;
    SAY(pthread_cond_timedwait(&condition, robust_mutex, &until));
    SAY(pthread_mutex_consistent(robust_mutex));
    SAY(pthread_mutex_unlock(robust_mutex));
    return NULL;
}

static void *signals_and_dies(void *unused)
{
    (void)unused;
    pthread_mutex_lock(robust_mutex);
    pthread_cond_signal(&condition);
    return NULL;
}

static void robust_condition(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t place;
    pthread_t thread;
    robust_mutex = &place;
    snprintf(title, sizeof(title), "condition over a robust mutex");
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(robust_mutex, &attributes);
    pthread_cond_init(&condition, NULL);
    stage = 0;
    pthread_create(&thread, NULL, waits_robustly, NULL);
    while (stage != 1)
        pause_ms(1);
    in_thread(signals_and_dies, NULL);
    pthread_join(thread, NULL);
}

/* ---- semaphores ---- */

static sem_t semaphore;

static void on_signal(int number)
{
    (void)number;
}

static _Atomic int tid_to_signal;

static void *interrupts(void *thread)
{
    while (tid_to_signal == 0)
        pause_ms(1);
    pause_ms(20);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

static void interrupted(int flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    pthread_t self = pthread_self(), thread;
    sigaction(SIGUSR1, &action, NULL);
    for (int form = 0; form < 3; form++) {
        struct timespec until = in_ms(CLOCK_REALTIME, 200);
        struct timespec until_monotonic = in_ms(CLOCK_MONOTONIC, 200);
        if (form == 2 && (flags & SA_RESTART) != 0)
            break; /* for ever */
        tid_to_signal = 0;
        pthread_create(&thread, NULL, interrupts, &self);
        tid_to_signal = 1;
        if (form == 0)
            SAY(sem_timedwait(&semaphore, &until));
        else if (form == 1)
            SAY(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until_monotonic));
        else
            SAY(sem_wait(&semaphore));
        pthread_join(thread, NULL);
    }
}

static void *takes_semaphore(void *form)
{
    struct timespec until = in_ms(CLOCK_REALTIME, 60000);
    stage = 1;
    long result = (intptr_t)form == 0   ? sem_wait(&semaphore)
                  : (intptr_t)form == 1 ? sem_timedwait(&semaphore, &until)
                                        : sem_clockwait(&semaphore, CLOCK_REALTIME, &until);
    return (void *)result;
}

static void *takes_semaphore_cancelled(void *form)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cancel(pthread_self());
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    return takes_semaphore(form);
}

static void semaphore_cancelled(intptr_t form)
{
    pthread_t thread;
    void *returned;
    int value;
    stage = 0;
    pthread_create(&thread, NULL, takes_semaphore, (void *)form);
    while (stage != 1)
        pause_ms(1);
    pause_ms(10);
    int error = pthread_cancel(thread);
    pthread_join(thread, &returned);
    say("cancel", error, 0);
    say("cancelled while it waits", returned == PTHREAD_CANCELED, 0);
    sem_post(&semaphore);
    pthread_create(&thread, NULL, takes_semaphore_cancelled, (void *)form);
    pthread_join(thread, &returned);
    say("cancelled before, with a token there", returned == PTHREAD_CANCELED, 0);
    sem_getvalue(&semaphore, &value);
    say("tokens left", value, 0);
    while (sem_trywait(&semaphore) == 0)
        continue;
}

static void all_semaphores(void)
{
    for (int shared = 0; shared < 2; shared++) {
        struct timespec soon = in_ms(CLOCK_REALTIME, 5);
        snprintf(title, sizeof(title), "semaphore%s", shared ? " shared" : "");
        sem_init(&semaphore, shared, 5);
        SAY(sem_wait(&semaphore));
        SAY(sem_timedwait(&semaphore, &past));
        SAY(sem_timedwait(&semaphore, &bad_nsec));
        SAY(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &past));
        SAY(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &negative_nsec));
        SAY(sem_clockwait(&semaphore, BAD_CLOCK, &past));
        SAY(sem_trywait(&semaphore));
        while (sem_trywait(&semaphore) == 0)
            continue;
        SAY(sem_trywait(&semaphore));
        SAY(sem_timedwait(&semaphore, &past));
        SAY(sem_timedwait(&semaphore, &before_1970));
        SAY(sem_timedwait(&semaphore, &soon));
        SAY(sem_timedwait(&semaphore, &bad_nsec));
        SAY(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &past));
        SAY(sem_clockwait(&semaphore, BAD_CLOCK, &past));
        interrupted(0);
        interrupted(SA_RESTART);
        for (intptr_t form = 0; form < 3; form++)
            semaphore_cancelled(form);
    }
}

int main(void)
{
    alarm(60);
    all_conditions();
    robust_condition();
    all_semaphores();
    return 0;
}
