/* SPDX-License-Identifier: MIT */
/*
 * leak_sessions MIB_PER_S: a service with a leak. Its configuration and its buffers stay as they
 * are; the table of sessions grows until somebody ends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SESSION_BYTES = 16 << 10, STEPS_PER_S = 50, MIB = 1 << 20 };

struct session {
    struct session *next;
};

static struct session *sessions;
static char *volatile configuration;

__attribute__((noinline)) void grow_the_session_table(void);
void grow_the_session_table(void)
{
    struct session *session = malloc(SESSION_BYTES);
    if (session == NULL)
        exit(3);
    memset(session, 's', SESSION_BYTES);
    session->next = sessions;
    sessions = session;
}

__attribute__((noinline)) void read_the_configuration(void);
void read_the_configuration(void)
{
    configuration = malloc(20 * MIB);
    if (configuration == NULL)
        exit(3);
    memset(configuration, 'c', 20 * MIB);
}

__attribute__((noinline)) void answer_a_request(void);
void answer_a_request(void)
{
    char *volatile buffer = malloc(MIB);
    if (buffer == NULL)
        exit(3);
    memset(buffer, 'b', MIB);
    free(buffer);
}

int main(int argc, char **argv)
{
    long mib_per_s = argc > 1 ? atol(argv[1]) : 50;
    read_the_configuration();
    puts("ready");
    fflush(stdout);
    for (;;) {
        for (long i = 0; i < mib_per_s * MIB / SESSION_BYTES / STEPS_PER_S; i++)
            grow_the_session_table();
        answer_a_request();
        nanosleep(&(struct timespec){0, 1000000000 / STEPS_PER_S}, NULL);
    }
}
