/* SPDX-License-Identifier: MIT */
/*
 * fork_storm FORKS HOW: forks so many children, one after the other in two threads, while four
 * threads allocate and free all the time. HOW says what a child does:
 *   exit     allocates a little and leaves by exit()
 *   _exit    leaves at once
 *   exec     executes /bin/true
 *   mixed    one of these in turn
 * Prints how many children ended with status 0.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int stop, good;
static int forks_each;
static const char *how;

static void *hammer(void *unused)
{
    (void)unused;
    unsigned seed = 1;
    while (!atomic_load(&stop)) {
        void *volatile blocks[32];
        for (int i = 0; i < 32; i++)
            blocks[i] = malloc((size_t)rand_r(&seed) % 3000 + 1);
        for (int i = 0; i < 32; i++)
            free(blocks[i]);
    }
    return NULL;
}

static void child(int number)
{
    const char *way = how;
    if (strcmp(how, "mixed") == 0)
        way = number % 3 == 0 ? "exit" : number % 3 == 1 ? "_exit" : "exec";
    if (strcmp(way, "exec") == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    if (strcmp(way, "exit") == 0) {
        void *volatile block = malloc(1000);
        free(block);
        exit(0);
    }
    _exit(0);
}

static void *forker(void *unused)
{
    (void)unused;
    for (int number = 0; number < forks_each; number++) {
        pid_t pid = fork();
        if (pid == 0)
            child(number);
        int status;
        if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
            atomic_fetch_add(&good, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    forks_each = atoi(argv[1]) / 2;
    how = argv[2];
    pthread_t hammers[4], forkers[2];
    for (int i = 0; i < 4; i++)
        pthread_create(&hammers[i], NULL, hammer, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&forkers[i], NULL, forker, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(forkers[i], NULL);
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(hammers[i], NULL);
    printf("%d good\n", atomic_load(&good));
    return atomic_load(&good) == 2 * forks_each ? 0 : 1;
}
