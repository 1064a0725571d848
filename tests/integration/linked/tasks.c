/* SPDX-License-Identifier: MIT */
/*
 * A service that queues tasks. hold: under handler=/checkout it queues 5 tasks "pay": one runs on a
 * thread, one has paused, two wait, one was given up; and one "mail" without labels, made by the
 * one that runs. At the line "more" it queues 3 more "pay" and ends "mail"; at "all" it ends all;
 * it answers each by "done". fork: the same, then a child queues one "pay" of its own and runs it.
 * Prints "ready" and runs until standard input ends.
 */
#include <rthooks/label.h>
#include <rthooks/rthooks.h>
#include <rthooks/task.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rth_task *pay[8], *mail;
static unsigned pays;
static sem_t runs, may_end;

static void want(int is_true, const char *what)
{
    if (!is_true) {
        (void)printf("wrong: %s\n", what);
        (void)fflush(stdout);
        _exit(3);
    }
}

static void say(const char *text)
{
    (void)printf("%s\n", text);
    (void)fflush(stdout);
}

__attribute__((noinline)) static void queue_pay(unsigned count)
{
    RTH_WITH_LABELS("handler", "/checkout")
        for (unsigned i = 0; i < count; i++)
            want(rth_task_new("pay", &pay[pays++]) == 0, "new");
    __asm__ volatile(""); /* no tail call: this function stays on the stack */
}

__attribute__((noinline)) static void queue_mail(void)
{
    RTH_WITH_LABELS("handler", "")
        want(rth_task_new("mail", &mail) == 0, "new");
    __asm__ volatile("");
}

static void *run_first(void *unused)
{
    want(rth_task_start(pay[0]) == 0, "start");
    queue_mail();
    (void)sem_post(&runs);
    while (sem_wait(&may_end) != 0)
        ;
    rth_task_end(pay[0]);
    return unused;
}

static void hold(pthread_t *ret_thread)
{
    queue_pay(5);
    want(sem_init(&runs, 0, 0) == 0 && sem_init(&may_end, 0, 0) == 0, "semaphores");
    want(pthread_create(ret_thread, NULL, run_first, NULL) == 0, "thread");
    while (sem_wait(&runs) != 0)
        ;
    want(rth_task_start(pay[1]) == 0, "start");
    want(rth_task_pause(pay[1]) == 0, "pause");
    rth_task_end(pay[4]);
    rth_task_end(pay[4]);
}

static void end_all(pthread_t thread)
{
    (void)sem_post(&may_end);
    want(pthread_join(thread, NULL) == 0, "join");
    for (unsigned i = 0; i < pays; i++)
        rth_task_end(pay[i]);
    rth_task_end(mail);
}

static void serve(pthread_t thread)
{
    char line[16];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "more\n") == 0) {
            queue_pay(3);
            rth_task_end(mail);
        } else {
            end_all(thread);
        }
        say("done");
    }
}

static int be_child(void)
{
    struct rth_task *own = NULL;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    for (int i = 0; i < 2000 && rth_task_new("pay", &own) == -EAGAIN; i++)
        (void)poll(NULL, 0, 10);
    want(own != NULL, "a child's own");
    want(own != pay[0] && rth_task_start(pay[1]) == -ESRCH, "its parent's");
    want(rth_task_start(own) == 0, "start");
    say("child ready");
    while (poll(&input, 1, 50) == 0)
        ;
    rth_task_end(own);
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    struct rth_task *early = NULL;
    struct rth_opts opts = RTH_OPTS_INIT;
    want(rth_task_new("early", &early) == -EAGAIN && early == NULL, "before the start");
    want(rth_start(&opts) == 0, "rth_start");
    hold(&thread);
    if (argc > 1 && strcmp(argv[1], "fork") == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(be_child());
        (void)printf("child %d\n", (int)child);
        say("ready");
        int status;
        want(waitpid(child, &status, 0) == child && status == 0, "child");
    } else {
        say("ready");
        serve(thread);
    }
    say("fine");
    return rth_stop() != 0;
}
