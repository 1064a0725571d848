/* SPDX-License-Identifier: MIT */

/*
 * Where a module's files may be. A file counts only when its build-id is the mapping's: another
 * build under the same name would give wrong names that look right. Runs in the child: the files
 * are read with libelf.
 */

#include "symbolize/module.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fd.h"
#include "profile/profile.h"

#define BUILD_ID_TEXT_MAX 128
#define SYSTEM_DEBUG_DIR  "/usr/lib/debug"
#define FOLDER_FILES_MAX  100

struct search {
    const struct module_request *request;
    enum module_file_kind kind;
    char path[PATH_MAX];
    /* The first file of the right name and another build. */
    char mismatch[PATH_MAX];
};

static bool has_debug_information(Elf *elf)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names) < 0)
        return false;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;) {
        GElf_Shdr header;
        const char *name =
            gelf_getshdr(section, &header) != NULL ? elf_strptr(elf, names, header.sh_name) : NULL;
        if (name != NULL && header.sh_type != SHT_NOBITS &&
            (strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0))
            return true;
    }
    return false;
}

static Elf *open_elf(const char *path, int *ret_fd)
{
    struct stat info;
    /* Opening what is no file may do something. */
    if (stat(path, &info) < 0 || !S_ISREG(info.st_mode))
        return NULL;
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*ret_fd < 0 || fstat(*ret_fd, &info) < 0 || !S_ISREG(info.st_mode))
        return NULL;
    Elf *elf = elf_begin(*ret_fd, ELF_C_READ_MMAP, NULL);
    if (elf != NULL && elf_kind(elf) == ELF_K_ELF)
        return elf;
    (void)elf_end(elf);
    return NULL;
}

/* Whether search->path is the file. */
static bool fits(struct search *search)
{
    char build_id[BUILD_ID_TEXT_MAX] = "";
    const void *bytes = NULL;
    RTH__AUTO_CLOSE int fd = -1;
    Elf *elf = open_elf(search->path, &fd);
    if (elf == NULL)
        return false;
    ssize_t count = dwelf_elf_gnu_build_id(elf, &bytes);
    for (ssize_t i = 0; i < count && 2 * i + 2 < BUILD_ID_TEXT_MAX; i++)
        snprintf(build_id + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
    bool same = strcmp(build_id, search->request->build_id) == 0;
    bool useful = search->kind == FILE_PROGRAM || has_debug_information(elf);
    (void)elf_end(elf);
    if (!same && useful && search->mismatch[0] == '\0')
        snprintf(search->mismatch, sizeof(search->mismatch),
                 "%.3000s has build-id %s, the profile %s: not used", search->path,
                 build_id[0] != '\0' ? build_id : "none",
                 search->request->build_id[0] != '\0' ? search->request->build_id : "none");
    return same && useful;
}

/* A path made of parts is only tried whole. */
#define TRY(search, ...)                                                                           \
    ((unsigned)snprintf((search)->path, PATH_MAX, __VA_ARGS__) < PATH_MAX && fits(search))

static bool try_build_id_folder(struct search *search, const char *folder)
{
    const char *id = search->request->build_id;
    return strlen(id) > 2 && (TRY(search, "%s/.build-id/%.2s/%s.debug", folder, id, id + 2) ||
                              TRY(search, "%s/%.2s/%s.debug", folder, id, id + 2));
}

static bool try_debug_folders(struct search *search)
{
    const struct module_request *request = search->request;
    char folder[64];
    if (request->debug_dir != NULL &&
        (try_build_id_folder(search, request->debug_dir) ||
         TRY(search, "%s/%s.debug", request->debug_dir, base_name(request->file)) ||
         TRY(search, "%s%s.debug", request->debug_dir, request->file)))
        return true;
    snprintf(folder, sizeof(folder), "/proc/%d/root" SYSTEM_DEBUG_DIR, (int)request->pid);
    return try_build_id_folder(search, SYSTEM_DEBUG_DIR) ||
           (request->pid != 0 && try_build_id_folder(search, folder));
}

/* FOLDER/BUILD-ID/anything, as symbol collections have it. */
static bool try_folder_of_build(struct search *search, const char *folder)
{
    char pattern[PATH_MAX];
    glob_t found;
    if ((unsigned)snprintf(pattern, sizeof(pattern), "%s/%s/*", folder,
                           search->request->build_id) >= sizeof(pattern) ||
        strpbrk(search->request->build_id, "*?[") != NULL || glob(pattern, 0, NULL, &found) != 0)
        return false;
    bool there = false;
    for (size_t i = 0; i < found.gl_pathc && i < FOLDER_FILES_MAX && !there; i++)
        there = TRY(search, "%s", found.gl_pathv[i]);
    globfree(&found);
    return there;
}

/* The folders of pprof's own variable. */
static bool try_binary_path(struct search *search)
{
    const struct module_request *request = search->request;
    const char *folders = getenv("PPROF_BINARY_PATH"), *home = getenv("HOME");
    char folder[PATH_MAX];
    if (folders == NULL || folders[0] == '\0') {
        snprintf(folder, sizeof(folder), "%s/pprof/binaries", home != NULL ? home : "");
        folders = home != NULL ? folder : "";
    }
    for (size_t length; folders[0] != '\0'; folders += length + (folders[length] == ':')) {
        length = strcspn(folders, ":");
        char one[PATH_MAX];
        if (length == 0 || length >= sizeof(one))
            continue;
        snprintf(one, sizeof(one), "%.*s", (int)length, folders);
        if (request->build_id[0] != '\0' &&
            (TRY(search, "%s/%s/%s", one, request->build_id, base_name(request->file)) ||
             try_folder_of_build(search, one) || try_build_id_folder(search, one)))
            return true;
        if (search->kind == FILE_PROGRAM && (TRY(search, "%s/%s", one, base_name(request->file)) ||
                                             TRY(search, "%s/%s", one, request->file)))
            return true;
    }
    return false;
}

static bool try_program(struct search *search)
{
    const struct module_request *request = search->request;
    if (request->pid != 0 && (TRY(search, "/proc/%d/root%s", (int)request->pid, request->file) ||
                              TRY(search, "/proc/%d/exe", (int)request->pid)))
        return true;
    return TRY(search, "%s", request->file);
}

enum module_outcome module_find(const struct module_request *request, enum module_file_kind kind,
                                char ret_path[static PATH_MAX])
{
    struct search search = {.request = request, .kind = kind};
    bool found = kind == FILE_PROGRAM ? try_program(&search) || try_binary_path(&search)
                                      : try_debug_folders(&search) || try_binary_path(&search);
    if (found)
        snprintf(ret_path, PATH_MAX, "%s", search.path);
    else if (search.mismatch[0] != '\0')
        snprintf(ret_path, PATH_MAX, "%s", search.mismatch);
    else
        snprintf(ret_path, PATH_MAX, "no file of build-id %s",
                 request->build_id[0] != '\0' ? request->build_id : "none");
    return found ? MODULE_SYMBOLS : search.mismatch[0] != '\0' ? MODULE_MISMATCH : MODULE_NOT_FOUND;
}
