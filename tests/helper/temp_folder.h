/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_TEMP_FOLDER_H
#define RTH_TESTS_HELPER_TEMP_FOLDER_H

/* A folder of the test's own, on a filesystem that is no memory. */

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "helper/unit.h"

#define TEMP_FOLDER_BYTES 64
#define TMPFS_TYPE        0x01021994

static inline int temp_folder_remove_one(const char *path, const struct stat *status, int type,
                                         struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

static inline void temp_folder_remove(const char *path)
{
    (void)nftw(path, temp_folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Mode 0700. Returns an fd of it; skips the case where every candidate is memory. */
static inline int temp_folder_make(char ret_path[TEMP_FOLDER_BYTES])
{
    static const char *const below[] = {"/tmp", "/var/tmp", "."};
    struct statfs filesystem;
    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
        if (statfs(below[i], &filesystem) != 0 || filesystem.f_type == TMPFS_TYPE)
            continue;
        (void)snprintf(ret_path, TEMP_FOLDER_BYTES, "%s/rthooks-episode-XXXXXX", below[i]);
        assert_non_null(mkdtemp(ret_path));
        int fd = open(ret_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
    }
    RTH_SKIP("every folder for temporary files is memory");
    return -1;
}

#endif /* RTH_TESTS_HELPER_TEMP_FOLDER_H */
