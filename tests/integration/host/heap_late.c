/* SPDX-License-Identifier: MIT */
/*
 * `heap_late LIBRARY SPARE TAKER…`: loads each TAKER, which takes of the static TLS, until there is
 * no more, unloads SPARE of them again, and then loads LIBRARY. Prints "taken N", then "loaded" or
 * "refused: REASON", allocates on another thread all the same, and "end".
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *allocates(void *unused)
{
    for (int i = 0; i < 1000; i++) {
        void *block = malloc((size_t)i);
        __asm__ volatile("" : "+r"(block));
        free(block);
    }
    return unused;
}

int main(int argc, char **argv)
{
    void *handles[64];
    int taken = 0;
    if (argc < 4)
        return 2;
    for (int i = 3; i < argc && taken < 64; i++) {
        handles[taken] = dlopen(argv[i], RTLD_NOW);
        if (handles[taken] == NULL)
            break;
        taken++;
    }
    printf("taken %d of %d\n", taken, argc - 3);
    for (int spare = atoi(argv[2]); spare > 0 && taken > 0; spare--)
        if (dlclose(handles[--taken]) != 0)
            return 1;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (library != NULL)
        puts("loaded");
    else
        printf("refused: %s\n", dlerror());
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocates, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    (void)allocates(NULL);
    puts("end");
    return 0;
}
