/* SPDX-License-Identifier: MIT */
/*
 * `signal_table MS`: calls every function that changes or tells a signal's action, round after
 * round for MS milliseconds, while a second thread uses the CPU. Prints what each call answered in
 * the first round, and whether all rounds were the same.
 */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t runs, errors;
static volatile bool stop;
static volatile unsigned long sink;
static int number; /* in hand */

static char text[2][65536];
static size_t used;
static char *out = text[0];

#define SAY(...) (used += (size_t)snprintf(out + used, sizeof(text[0]) - used, __VA_ARGS__))

static void plain(int got)
{
    errors += got != number;
    runs++;
}

static void informed(int got, siginfo_t *info, void *context)
{
    errors += got != number || info->si_signo != number || context == NULL;
    runs++;
}

static const char *name_of(void *handler)
{
    return handler == (void *)SIG_DFL    ? "default"
           : handler == (void *)SIG_IGN  ? "ignored"
           : handler == (void *)SIG_ERR  ? "error"
           : handler == (void *)SIG_HOLD ? "hold"
           : handler == (void *)plain    ? "plain"
           : handler == (void *)informed ? "informed"
                                         : "unknown";
}

static void say_old(const char *call, sighandler_t before)
{
    SAY("%d %s: %s\n", number, call, name_of((void *)before));
}

static void say_action(const char *call, int result, const struct sigaction *action)
{
    static void *restorer; /* libc's, the same for all */
    uint64_t mask;
    memcpy(&mask, &action->sa_mask, sizeof(mask));
    if (action->sa_restorer != NULL && restorer == NULL)
        restorer = (void *)action->sa_restorer;
    SAY("%d %s: %d %s flags %x mask %llx restorer %s\n", number, call, result,
        name_of((void *)action->sa_handler), (unsigned)action->sa_flags, (unsigned long long)mask,
        action->sa_restorer == NULL               ? "none"
        : (void *)action->sa_restorer == restorer ? "libc's"
                                                  : "other");
}

static void ask(const char *when)
{
    struct sigaction action;
    int result = sigaction(number, NULL, &action);
    say_action(when, result, &action);
}

static void set(const char *when, void *handler, int flags, int masked)
{
    struct sigaction action, before;
    memset(&action, 0, sizeof(action));
    action.sa_handler = (sighandler_t)handler;
    action.sa_flags = flags;
    if (masked != 0)
        (void)sigaddset(&action.sa_mask, masked);
    int result = sigaction(number, &action, &before);
    say_action(when, result, &before);
}

static void use(const char *when)
{
    int before = runs;
    (void)raise(number);
    SAY("%d raise %s: %d\n", number, when, runs - before);
}

static void one_signal(void)
{
    (void)signal(number, SIG_DFL);
    set("sigaction plain", (void *)plain, 0, 0);
    use("plain");
    set("sigaction informed", (void *)informed, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, SIGUSR2);
    use("informed");
    ask("asked");
    set("sigaction unknown flags", (void *)plain, 0x00000400 | SA_NOCLDSTOP, SIGKILL);
    ask("asked");
    set("sigaction one shot", (void *)plain, (int)SA_RESETHAND | SA_RESTART, SIGHUP);
    use("one shot");
    ask("after one shot");
    say_old("signal", signal(number, plain));
    ask("after signal");
    SAY("%d siginterrupt: %d\n", number, siginterrupt(number, 1));
    ask("after siginterrupt 1");
    say_old("signal again", signal(number, plain));
    ask("after signal again");
    SAY("%d siginterrupt: %d\n", number, siginterrupt(number, 0));
    ask("after siginterrupt 0");
    say_old("sysv_signal", sysv_signal(number, plain));
    ask("after sysv_signal");
    say_old("sigset hold", sigset(number, SIG_HOLD));
    say_old("sigset hold again", sigset(number, SIG_HOLD));
    say_old("sigset plain", sigset(number, plain));
    use("after sigset");
    ask("after sigset");
    SAY("%d sigignore: %d\n", number, sigignore(number));
    use("ignored");
    ask("after sigignore");
    struct sigaction saved;
    (void)sigaction(number, NULL, &saved);
    set("sigaction informed", (void *)informed, SA_SIGINFO | SA_RESTART, 0);
    use("informed again");
    (void)sigaction(number, &saved, NULL);
    ask("put back");
    say_old("signal default", signal(number, SIG_DFL));
    ask("at the end");
}

static void *burn(void *unused)
{
    while (!stop)
        sink = sink * 6364136223846793005u + 1;
    return unused;
}

static void one_round(void)
{
    const int numbers[] = {SIGPROF, SIGUSR1, SIGSTKFLT, SIGALRM, SIGRTMAX - 2};
    used = 0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        number = numbers[i];
        one_signal();
    }
    errno = 0;
    SAY("bad number: %d", sigaction(65, NULL, NULL));
    SAY(" %s\n", strerrorname_np(errno));
    errno = 0;
    struct sigaction action = {.sa_handler = plain};
    SAY("SIGKILL: %d", sigaction(SIGKILL, &action, NULL));
    SAY(" %s\n", strerrorname_np(errno));
}

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    long until_ms = now_ms() + (argc == 2 ? strtol(argv[1], NULL, 10) : 0);
    if (pthread_create(&thread, NULL, burn, NULL) != 0)
        return 1;
    one_round();
    (void)fputs(text[0], stdout);
    (void)fflush(stdout);
    out = text[1];
    bool same = true;
    while (now_ms() < until_ms && same) {
        one_round();
        same = strcmp(text[0], text[1]) == 0;
    }
    stop = true;
    (void)pthread_join(thread, NULL);
    printf("rounds %s, handlers %s\n", same ? "same" : "differ", errors == 0 ? "fine" : "wrong");
    if (!same)
        (void)fputs(text[1], stdout);
    return 0;
}
