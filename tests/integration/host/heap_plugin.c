/* SPDX-License-Identifier: MIT */
/* `heap_plugin PLUGIN TIMES`: loads a plugin for itself alone, runs it and unloads it, so many
 * times. Prints "plugin 0" each time. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    for (int times = atoi(argv[2]); times > 0; times--) {
        void *handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) {
            puts(dlerror());
            return 1;
        }
        int (*run)(void) = (int (*)(void))dlsym(handle, "plugin_run");
        if (run == NULL || dlerror() != NULL)
            return 1;
        int result = run();
        if (dlerror() != NULL)
            puts("an error of somebody else's");
        printf("plugin %d\n", result);
        fflush(stdout);
        if (result != 0 || dlclose(handle) != 0)
            return 1;
    }
    return 0;
}
