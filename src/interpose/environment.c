/* SPDX-License-Identifier: MIT */
/*
 * What is ours in an environment: the variables of abi.h, those that RTHOOKS_RUN_SET names, and of
 * LD_PRELOAD the entries whose file name is one of our two libraries. The user's own preloads keep
 * their order and their separators.
 *
 * The copies live in one mapping made before main and read-only from then on: the host may write
 * over the original strings (programs that set their title do).
 */
#include "interpose/environment.h"

#include "interpose/boot.h"
#include "interpose/ops.h"

#include <alloca.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRELOAD            "LD_PRELOAD="
#define PRELOAD_BYTES      (sizeof(PRELOAD) - 1)
#define SETTING_PREFIX     "RTHOOKS_"
#define STACK_ENTRIES      4096  /* 32 KiB of pointers; glibc's execl does the same with argv */
#define STACK_STRING_BYTES 16384 /* of the new LD_PRELOAD */

static const char *const control_variables[] = {
    RTH_ENV_AUTOSTART, RTH_ENV_RUN_MATCH, RTH_ENV_RUN_FOLLOW, RTH_ENV_RUN_SET, RTH_ENV_RUN_SAID,
};

static const char *const no_items[] = {NULL};

/* Written by rth__environment_save. items: RTHOOKS_AUTOSTART first, NULL-terminated. */
static const char *const *items = no_items;
static size_t item_count;
static const char *our_preloads = ""; /* separated by ':' */

/* ---- entries ---- */

static bool entry_is(const char *entry, const char *name, size_t name_length)
{
    return strncmp(entry, name, name_length) == 0 && entry[name_length] == '=';
}

/* The same name, up to '='. */
static bool same_variable(const char *entry, const char *item)
{
    return entry_is(entry, item, (size_t)(strchrnul(item, '=') - item));
}

const char *rth__environment_get(const char *variable)
{
    size_t length = strlen(variable);
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        if (entry_is(*entry, variable, length))
            return *entry + length + 1;
    return NULL;
}

/* Is `entry` a setting that RTHOOKS_RUN_SET names? Only names of ours count. */
static bool is_named_setting(const char *entry, const char *names)
{
    if (names == NULL || strncmp(entry, SETTING_PREFIX, sizeof(SETTING_PREFIX) - 1) != 0)
        return false;
    while (*names != '\0') {
        size_t length = (size_t)(strchrnul(names, ',') - names);
        if (entry_is(entry, names, length))
            return true;
        names += length;
        names += *names == ',';
    }
    return false;
}

static bool is_control(const char *entry)
{
    for (size_t i = 0; i < sizeof(control_variables) / sizeof(control_variables[0]); i++)
        if (entry_is(entry, control_variables[i], strlen(control_variables[i])))
            return true;
    return false;
}

/* RTHOOKS_RUN_SAID belongs to one image: it is made anew, never copied. */
static bool is_copied(const char *entry, const char *names)
{
    if (entry_is(entry, RTH_ENV_AUTOSTART, sizeof(RTH_ENV_AUTOSTART) - 1) ||
        entry_is(entry, RTH_ENV_RUN_SAID, sizeof(RTH_ENV_RUN_SAID) - 1))
        return false;
    return is_control(entry) || is_named_setting(entry, names);
}

/* ---- LD_PRELOAD ---- */

/* The next token of a list as ld.so splits it (colons and spaces), its length; 0 at the end. */
static size_t next_token(const char **list)
{
    *list += strspn(*list, ": ");
    return strcspn(*list, ": ");
}

/* One of our libraries by file name, with or without a version behind it. */
static bool token_is_ours(const char *token, size_t length)
{
    static const char *const names[] = {RTH_LIB_INTERPOSE, RTH_LIB_RUNTIME};
    const char *name = token;
    for (size_t i = 0; i < length; i++)
        if (token[i] == '/')
            name = token + i + 1;
    length -= (size_t)(name - token);
    for (size_t i = 0; i < 2; i++) {
        size_t ours = strlen(names[i]);
        if (length >= ours && memcmp(name, names[i], ours) == 0 &&
            (length == ours || name[ours] == '.'))
            return true;
    }
    return false;
}

static bool list_has(const char *list, const char *token, size_t token_length)
{
    size_t length;
    for (; (length = next_token(&list)) > 0; list += length)
        if (length == token_length && memcmp(list, token, length) == 0)
            return true;
    return false;
}

/* Shortens the value in place to the user's entries. False when none is left. */
static bool keep_the_users(char *value)
{
    const char *from = value;
    char *to = value;
    size_t length;
    for (; (length = next_token(&from)) > 0; from += length) {
        if (token_is_ours(from, length))
            continue;
        if (to != value)
            *to++ = from[-1]; /* a separator: this is not the first token */
        memmove(to, from, length);
        to += length;
    }
    *to = '\0';
    return to != value;
}

/* Appends a text whose room was counted before. Returns the new end, where the '\0' is. */
static char *append(char *to, const char *text)
{
    size_t length = strlen(text);
    return (char *)memcpy(to, text, length + 1) + length;
}

/* Appends those tokens of `list` that are ours. Returns the new end. */
static char *append_ours(char *to, const char *begin, const char *list)
{
    size_t length;
    for (; (length = next_token(&list)) > 0; list += length) {
        if (!token_is_ours(list, length))
            continue;
        if (to != begin)
            *to++ = ':';
        to = mempcpy(to, list, length);
    }
    return to;
}

/* ---- before main ---- */

bool rth__environment_save(const char *meant)
{
    if (environ == NULL)
        return false;
    const char *names = rth__environment_get(RTH_ENV_RUN_SET);
    const char *preload = rth__environment_get("LD_PRELOAD");
    size_t count = 0;
    size_t bytes = sizeof(RTH_ENV_AUTOSTART) + strlen(meant) + 1;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (!is_copied(*entry, names))
            continue;
        count++;
        bytes += strlen(*entry) + 1;
    }
    bytes += preload != NULL ? strlen(preload) + 1 : 1;
    bytes += (count + 2) * sizeof(char *);

    char *area = rth__raw_map_sigsafe(bytes, MAP_PRIVATE);
    if (area == NULL)
        return false;
    const char **list = (const char **)(void *)area;
    char *to = area + (count + 2) * sizeof(char *);
    list[0] = to;
    to = append(append(to, RTH_ENV_AUTOSTART "="), meant) + 1;
    size_t filled = 1;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (!is_copied(*entry, names))
            continue;
        list[filled++] = to;
        to = append(to, *entry) + 1;
    }
    list[filled] = NULL;
    char *preloads_end = append_ours(to, to, preload != NULL ? preload : "");
    *preloads_end = '\0';
    our_preloads = to;
    items = list;
    item_count = filled;
    (void)mprotect(area, bytes, PROT_READ);
    return true;
}

void rth__environment_take_out(void)
{
    const char *names = rth__environment_get(RTH_ENV_RUN_SET);
    char **to = environ;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (is_control(*entry) || is_named_setting(*entry, names))
            continue;
        if (strncmp(*entry, PRELOAD, PRELOAD_BYTES) == 0 && !keep_the_users(*entry + PRELOAD_BYTES))
            continue;
        *to++ = *entry;
    }
    *to = NULL;
}

const char *const *rth__environment_saved(void)
{
    return items;
}

/* ---- exec and spawn ---- */

static const char *find_variable(char *const envp[], const char *item)
{
    for (size_t i = 0; envp != NULL && envp[i] != NULL; i++)
        if (same_variable(envp[i], item))
            return envp[i];
    return NULL;
}

/* "LD_PRELOAD=" + those of ours that the user's list lacks + the user's list. */
static void compose_preload(char *to, const char *users)
{
    to = append(to, PRELOAD);
    const char *begin = to;
    const char *ours = our_preloads;
    size_t length;
    for (; (length = next_token(&ours)) > 0; ours += length) {
        if (list_has(users, ours, length))
            continue;
        if (to != begin)
            *to++ = ':';
        to = mempcpy(to, ours, length);
    }
    if (to != begin && *users != '\0')
        *to++ = ':';
    (void)append(to, users);
}

/* The process that booted has printed its start line, in this image or an earlier one. */
static bool start_was_said(const struct rth__boot *boot, bool same_pid)
{
    return same_pid && (boot->said_start || (boot->autostart && rth__ops() != NULL));
}

/* Fills `list`, which has room for all of envp, the items, two more and the end. */
static void compose(const char **list, char *const envp[], char *preload, const char *said)
{
    size_t filled = 0;
    for (size_t i = 0; envp != NULL && envp[i] != NULL; i++) {
        if (same_variable(envp[i], RTH_ENV_RUN_SAID))
            continue;
        /* In the place of the user's own: the order is seen by the program. */
        bool is_preload = strncmp(envp[i], PRELOAD, PRELOAD_BYTES) == 0;
        if (is_preload && preload == NULL)
            continue;
        list[filled++] = is_preload ? preload : envp[i];
        if (is_preload)
            preload = NULL;
    }
    if (preload != NULL && preload[PRELOAD_BYTES] != '\0')
        list[filled++] = preload;
    for (size_t i = 0; i < item_count; i++)
        if (find_variable(envp, items[i]) == NULL)
            list[filled++] = items[i];
    if (said != NULL)
        list[filled++] = said;
    list[filled] = NULL;
}

static int call_with_ours(char *const envp[], rth__environment_call fn, void *call, bool may_map,
                          const char *said)
{
    size_t count = 0;
    while (envp != NULL && envp[count] != NULL)
        count++;
    const char *users = find_variable(envp, "LD_PRELOAD");
    users = users != NULL ? users + PRELOAD_BYTES : "";
    size_t preload_bytes = PRELOAD_BYTES + strlen(our_preloads) + strlen(users) + 2;
    size_t list_bytes = (count + item_count + 3) * sizeof(char *);
    bool on_stack = count <= STACK_ENTRIES && preload_bytes <= STACK_STRING_BYTES;
    char *area = NULL;
    if (on_stack)
        area = alloca(list_bytes + preload_bytes);
    else if (may_map)
        area = rth__raw_map_sigsafe(list_bytes + preload_bytes, MAP_PRIVATE);
    if (area == NULL)
        return fn(call, envp);

    char *preload = area + list_bytes;
    compose_preload(preload, users);
    compose((const char **)(void *)area, envp, preload, said);
    int result = fn(call, (char *const *)(void *)area);
    if (!on_stack)
        rth__raw_unmap_sigsafe(area, list_bytes + preload_bytes);
    return result;
}

static int call_as_meant(char *const envp[], rth__environment_call fn, void *call, bool is_exec)
{
    const struct rth__boot *boot = rth__boot_result();
    if (boot->hand_on == RTH__HAND_ON_NONE)
        return fn(call, envp);
    /* A child that shares our memory has a pid of its own, also where it runs on our stack. */
    bool same_pid = is_exec && rth__raw_getpid_sigsafe() == boot->pid;
    if (boot->hand_on == RTH__HAND_ON_SAME_PID && !same_pid)
        return fn(call, envp);
    const char *said = start_was_said(boot, same_pid) ? boot->said : NULL;
    return call_with_ours(envp, fn, call, same_pid, said);
}

int rth__environment_exec(char *const envp[], rth__environment_call fn, void *call)
{
    return call_as_meant(envp, fn, call, true);
}

int rth__environment_spawn(char *const envp[], rth__environment_call fn, void *call)
{
    return call_as_meant(envp, fn, call, false);
}
