/* SPDX-License-Identifier: MIT */

/*
 * The reasons why a preload cannot reach a program, each found before exec: afterwards the loader
 * says nothing (AT_SECURE), or complains on the program's stderr (another architecture), or the
 * program dies (another libc).
 */

#include "client/program_check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <rthooks/base.h>

#include "os/fd.h"

#define SCRIPT_LINE_BYTES 256 /* BINPRM_BUF_SIZE: the kernel reads no further */

static void refuse(struct program_check *check, const char *format, ...) RTH_PRINTF(2, 3);

static void refuse(struct program_check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    check->verdict = PROGRAM_REFUSED;
    vsnprintf(check->reason, sizeof(check->reason), format, arguments);
    va_end(arguments);
}

/* 0 when path is a regular file we may execute. */
static int executable_error(const char *path)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return -errno;
    if (!S_ISREG(info.st_mode))
        return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int program_find(const char *name, const char *path_variable, char *ret_path, size_t path_size)
{
    char default_path[512] = "/bin:/usr/bin";
    if (name[0] == '\0')
        return -ENOENT;
    if (strchr(name, '/') != NULL) {
        int error = executable_error(name);
        if (error == 0 && snprintf(ret_path, path_size, "%s", name) >= (int)path_size)
            return -ENAMETOOLONG;
        return error;
    }
    if (path_variable == NULL) {
        (void)confstr(_CS_PATH, default_path, sizeof(default_path));
        path_variable = default_path;
    }
    int result = -ENOENT;
    for (const char *at = path_variable;; at++) {
        size_t folder_bytes = strcspn(at, ":");
        char path[PATH_MAX];
        int length = folder_bytes == 0
                         ? snprintf(path, sizeof(path), "./%s", name)
                         : snprintf(path, sizeof(path), "%.*s/%s", (int)folder_bytes, at, name);
        int error = length < (int)sizeof(path) ? executable_error(path) : -ENAMETOOLONG;
        if (error == 0 && length < (int)path_size) {
            memcpy(ret_path, path, (size_t)length + 1);
            return 0;
        }
        if (error == -EACCES)
            result = -EACCES;
        at += folder_bytes;
        if (*at == '\0')
            return result;
    }
}

/*
 * Whether the kernel would start it with AT_SECURE, where the loader ignores LD_PRELOAD: the
 * effective ids after exec differ from the real ones, or file capabilities are gained by someone
 * who is not root. nosuid mounts and no_new_privs switch all of that off.
 */
static bool is_secure_exec(struct program_check *check, int fd, const struct stat *info)
{
    struct statvfs mount;
    bool may_gain = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 &&
                    (fstatvfs(fd, &mount) < 0 || (mount.f_flag & ST_NOSUID) == 0);
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (may_gain && (info->st_mode & S_ISUID) != 0)
        uid = info->st_uid;
    if (may_gain && (info->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        gid = info->st_gid;
    if (uid != geteuid()) {
        refuse(check, "%s is setuid (owner uid %u): the loader ignores preloads there",
               check->program, (unsigned)info->st_uid);
        return true;
    }
    if (gid != getegid()) {
        refuse(check, "%s is setgid (group %u): the loader ignores preloads there", check->program,
               (unsigned)info->st_gid);
        return true;
    }
    if (uid != getuid() || gid != getgid()) {
        refuse(check, "the real and effective ids of this process differ: the loader ignores "
                      "preloads in what it starts");
        return true;
    }
    if (may_gain && getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0) {
        refuse(check, "%s has file capabilities: the loader ignores preloads there",
               check->program);
        return true;
    }
    return false;
}

/* The loader of a program of glibc, by the name its ABI fixes. */
static bool is_glibc_loader(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    return strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld64.so", 7) == 0;
}

static void check_loader(struct program_check *check)
{
    const char *loader = check->facts.interpreter;
    char resolved[PATH_MAX];
    if (realpath(loader, resolved) == NULL) {
        refuse(check, "%s needs the loader %s: %s", check->program, loader, strerror(errno));
    } else if (strstr(loader, "ld-musl") != NULL || strstr(resolved, "/ld-musl") != NULL) {
        refuse(check, "%s uses musl (loader %s); these libraries are built for glibc",
               check->program, loader);
    } else if (!is_glibc_loader(loader)) {
        refuse(check, "%s uses another libc (loader %s); these libraries are built for glibc",
               check->program, loader);
    }
}

static void check_elf(struct program_check *check)
{
    const struct rth_elf_facts *facts = &check->facts;
    if (facts->class_bits != rth__elf_own_class_bits() ||
        facts->machine != rth__elf_own_machine()) {
        refuse(check, "%s is a %u-bit %s program; these libraries are %u-bit %s", check->program,
               facts->class_bits, rth__elf_machine_name(facts->machine), rth__elf_own_class_bits(),
               rth__elf_machine_name(rth__elf_own_machine()));
    } else if (facts->type != ET_EXEC && facts->type != ET_DYN) {
        refuse(check, "%s is an ELF file but not a program (type %u)", check->program, facts->type);
    } else if (rth__elf_is_static(facts)) {
        check->verdict = PROGRAM_STATIC;
        snprintf(check->reason, sizeof(check->reason),
                 "%s is linked statically and stays unhooked; hooks start in what it execs",
                 check->program);
    } else {
        check_loader(check);
    }
}

/*
 * The interpreter of a `#!` line, as the kernel reads it. Returns 1 and the name, 0 when the text
 * is no script, -ENOEXEC when the line names nothing or is cut.
 */
static int script_interpreter(const char *text, size_t size_bytes, char *ret_name)
{
    if (size_bytes < 2 || text[0] != '#' || text[1] != '!')
        return 0;
    const char *limit = memchr(text, '\n', size_bytes);
    bool cut = limit == NULL && size_bytes == SCRIPT_LINE_BYTES;
    if (limit == NULL)
        limit = text + size_bytes;
    const char *start = text + 2;
    while (start < limit && (*start == ' ' || *start == '\t'))
        start++;
    const char *end = start;
    while (end < limit && *end != ' ' && *end != '\t' && *end != '\0')
        end++;
    if (end == start || (cut && end == limit))
        return -ENOEXEC;
    memcpy(ret_name, start, (size_t)(end - start));
    ret_name[end - start] = '\0';
    return 1;
}

/*
 * One link of the chain. Returns true with check->program replaced by the next file when it is a
 * script; false when the verdict stands.
 */
static bool check_link(struct program_check *check)
{
    const char *path = check->program;
    int error = executable_error(path);
    if (error < 0) {
        if (error == -ENOENT)
            refuse(check, "%s: not found", path);
        else
            refuse(check, "%s cannot be executed: %s", path, strerror(-error));
        return false;
    }
    RTH__AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0) {
        refuse(check, "%s cannot be read, so nothing is known of it: %s", path, strerror(errno));
        return false;
    }
    error = rth__elf_facts_read(fd, &check->facts);
    if (error == 0) {
        check->has_facts = true;
        if (!is_secure_exec(check, fd, &info))
            check_elf(check);
        return false;
    }
    if (error != -ENOEXEC) {
        refuse(check, "%s is a broken ELF file: %s", path, strerror(-error));
        return false;
    }
    char text[SCRIPT_LINE_BYTES], interpreter[SCRIPT_LINE_BYTES];
    ssize_t got = pread(fd, text, sizeof(text), 0);
    int found = script_interpreter(text, got > 0 ? (size_t)got : 0, interpreter);
    if (found < 0) {
        refuse(check,
               "%s has a #! line without an interpreter, or a longer one than the kernel "
               "reads",
               path);
        return false;
    }
    if (found == 0) {
        /* execvp hands such a file to the shell, only the one it was asked for. */
        if (check->scripts > 0) {
            refuse(check, "%s, the interpreter of a script, is neither a program nor a script",
                   path);
            return false;
        }
        check->through_shell = true;
        snprintf(interpreter, sizeof(interpreter), "/bin/sh");
    }
    check->scripts++;
    snprintf(check->program, sizeof(check->program), "%s", interpreter);
    return true;
}

void program_check(const char *path, struct program_check *ret_check)
{
    struct program_check *check = ret_check;
    memset(check, 0, sizeof(*check));
    check->verdict = PROGRAM_HOOKABLE;
    if (snprintf(check->program, sizeof(check->program), "%s", path) >=
        (int)sizeof(check->program)) {
        refuse(check, "the path of the program is too long");
        return;
    }
    while (check_link(check)) {
        if (check->scripts > PROGRAM_SCRIPTS_MAX) {
            refuse(check, "%s: more than %d scripts are each other's interpreters", path,
                   PROGRAM_SCRIPTS_MAX);
            return;
        }
    }
}
