/* SPDX-License-Identifier: MIT */
/* spawn_storm COUNT HOW: runs /bin/true so often by vfork, posix_spawn, posix_spawnp, system or
 * popen. Prints how many ended with status 0. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int one(const char *how)
{
    char *const arguments[] = {"true", NULL};
    int status = -1;
    pid_t pid = -1;
    if (strcmp(how, "system") == 0)
        return system("true");
    if (strcmp(how, "popen") == 0) {
        FILE *pipe = popen("true", "r");
        return pipe ? pclose(pipe) : -1;
    }
    if (strcmp(how, "vfork") == 0) {
        pid = vfork();
        if (pid == 0) {
            execve("/bin/true", arguments, environ);
            _exit(1);
        }
    } else if (strcmp(how, "posix_spawn") == 0) {
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) != 0)
            return -1;
    } else if (posix_spawnp(&pid, "true", NULL, NULL, arguments, environ) != 0) {
        return -1;
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int count = atoi(argv[1]), good = 0;
    for (int i = 0; i < count; i++)
        good += one(argv[2]) == 0;
    printf("%d good\n", good);
    return good == count ? 0 : 1;
}
