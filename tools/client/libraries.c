/* SPDX-License-Identifier: MIT */
#include "client/libraries.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rthooks/rthooks.h>

#include "interpose/abi.h"

/*
 * The library in folder under its plain name, which the interposer and people look for, or with
 * the version that alone is there without the development files. The plain name is not resolved
 * further: what LD_PRELOAD says is what the process's maps and the exec wrappers are read by.
 */
static bool find_in(const char *folder, const char *name, char *ret_path, size_t path_size)
{
    static const char version_suffix[] = "." RTH_VERSION;
    static const char *const suffixes[] = {"", ".0", version_suffix};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (snprintf(ret_path, path_size, "%s/%s%s", folder, name, suffixes[i]) < (int)path_size &&
            access(ret_path, R_OK) == 0)
            return true;
    }
    return false;
}

int libraries_find(struct libraries *ret_libraries, char *ret_message, size_t message_size)
{
    struct libraries found;
    char folder[PATH_MAX];
    Dl_info info;
    /* Through an object pointer: ISO C has no conversion from a function to void *. */
    union {
        int (*function)(const struct rth_opts *);
        const void *address;
    } start = {.function = rth_start};
    if (dladdr(start.address, &info) == 0 || info.dli_fname == NULL ||
        realpath(info.dli_fname, folder) == NULL) {
        snprintf(ret_message, message_size, "cannot find the folder of %s", RTH_LIB_RUNTIME);
        return -ENOENT;
    }
    *strrchr(folder, '/') = '\0';
    if (!find_in(folder, RTH_LIB_RUNTIME, found.runtime, sizeof(found.runtime))) {
        snprintf(ret_message, message_size, "%s is missing in %s", RTH_LIB_RUNTIME, folder);
        return -ENOENT;
    }
    if (!find_in(folder, RTH_LIB_INTERPOSE, found.interposer, sizeof(found.interposer))) {
        char *slash = strrchr(folder, '/');
        *slash = '\0';
        if (!find_in(folder, RTH_LIB_INTERPOSE, found.interposer, sizeof(found.interposer))) {
            *slash = '/';
            snprintf(ret_message, message_size, "%s is missing in %s and above it",
                     RTH_LIB_INTERPOSE, folder);
            return -ENOENT;
        }
    }
    /* ld.so splits LD_PRELOAD at both, and has no escape. */
    const char *paths[] = {found.interposer, found.runtime};
    for (size_t i = 0; i < 2; i++) {
        if (strpbrk(paths[i], " :\t\n") != NULL) {
            snprintf(ret_message, message_size,
                     "LD_PRELOAD cannot carry the path '%s': it has a space or a ':'", paths[i]);
            return -EINVAL;
        }
        /* The loader expands $ORIGIN and the like. */
        if (strchr(paths[i], '$') != NULL) {
            snprintf(ret_message, message_size,
                     "LD_PRELOAD cannot carry the path '%s': it has a '$'", paths[i]);
            return -EINVAL;
        }
    }
    *ret_libraries = found;
    return 0;
}
