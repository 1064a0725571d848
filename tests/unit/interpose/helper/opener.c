/* SPDX-License-Identifier: MIT */
/* Opens by bare name: only this library's RUNPATH leads there. */
#include <dlfcn.h>
#include <stddef.h>

__attribute__((visibility("default"))) void *interpose_opener_open(const char *name,
                                                                   int in_new_namespace);

void *interpose_opener_open(const char *name, int in_new_namespace)
{
    /* Not in tail position: the caller has to be this library. */
    void *volatile handle =
        in_new_namespace ? dlmopen(LM_ID_NEWLM, name, RTLD_NOW) : dlopen(name, RTLD_NOW);
    return handle;
}
