/* SPDX-License-Identifier: MIT */
/* A library whose constructor never returns: the loader's lock stays held. */
#include <unistd.h>

__attribute__((constructor)) static void never_returns(void)
{
    static const char text[] = "wedged\n";
    if (write(1, text, sizeof(text) - 1) < 0)
        _exit(1);
    for (;;)
        pause();
}
