/* SPDX-License-Identifier: MIT */
#include "core/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/env.h"
#include "formats/elf.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/procfs.h"

static struct rth_option_value service_value;
static struct rth_option_value version_value;
static struct rth_option_value revision_value;

const struct rth_option rth__identity_options[RTH_IDENTITY_OPTION_COUNT] = {
    {
        .variable = "RTHOOKS_SERVICE",
        .fallback_variable = "OTEL_SERVICE_NAME",
        .grammar = "a name of up to 511 bytes",
        .default_text = "",
        .doc = "Name of the service in every answer; else OTEL_SERVICE_NAME, else the program's "
               "file name.",
        .opts_offset = offsetof(struct rth_opts, service),
        .value = &service_value,
    },
    {
        .variable = "RTHOOKS_VERSION",
        .grammar = "text of up to 511 bytes",
        .default_text = "",
        .doc = "Version of the service; else service.version of OTEL_RESOURCE_ATTRIBUTES.",
        .opts_offset = offsetof(struct rth_opts, version),
        .value = &version_value,
    },
    {
        .variable = "RTHOOKS_REVISION",
        .grammar = "text of up to 511 bytes",
        .default_text = "",
        .doc = "Source revision of the service; else vcs.ref.head.revision of "
               "OTEL_RESOURCE_ATTRIBUTES.",
        .opts_offset = offsetof(struct rth_opts, revision),
        .value = &revision_value,
    },
};

static struct rth_identity identity;

const struct rth_identity *rth__identity(void)
{
    return &identity;
}

/* "key=value,key=value": the value of key up to the next comma, "" when it is not there. */
static void resource_attribute(const char *attributes, const char *key, char *ret_text, size_t size)
{
    size_t key_bytes = strlen(key);
    ret_text[0] = '\0';
    while (attributes != NULL && *attributes != '\0') {
        size_t length = strcspn(attributes, ",");
        if (length > key_bytes && strncmp(attributes, key, key_bytes) == 0 &&
            attributes[key_bytes] == '=') {
            (void)snprintf(ret_text, size, "%.*s", (int)(length - key_bytes - 1),
                           attributes + key_bytes + 1);
            return;
        }
        attributes += length + (attributes[length] == ',' ? 1 : 0);
    }
}

static void text_or_attribute(const struct rth_option_value *value, const char *attributes,
                              const char *key, char *ret_text, size_t size)
{
    if (value->text[0] != '\0')
        (void)snprintf(ret_text, size, "%s", value->text);
    else
        resource_attribute(attributes, key, ret_text, size);
}

static void read_executable(int root_fd)
{
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, "proc/self/exe", O_RDONLY);
    struct rth_elf_facts facts;
    if (fd < 0 || rth__elf_facts_read(fd, &facts) != 0)
        return;
    if (rth__elf_build_id_text(&facts, identity.build_id, sizeof(identity.build_id)) < 0)
        identity.build_id[0] = '\0';
    if (rth__elf_comment_read(fd, identity.compiler, sizeof(identity.compiler)) < 0)
        identity.compiler[0] = '\0';
}

static int read_start(int root_fd)
{
    struct rth_proc_stat stat;
    int error = rth__proc_stat_read(root_fd, 0, 0, &stat);
    uint64_t boot_s = 0;
    if (error == 0)
        error = rth__proc_boot_time_read(root_fd, &boot_s);
    if (error != 0)
        return error;
    int64_t ticks_per_s = sysconf(_SC_CLK_TCK);
    identity.pid = stat.pid;
    identity.starttime_ticks = stat.starttime_ticks;
    identity.start_unix_ns =
        (int64_t)boot_s * RTH_NS_PER_S +
        (int64_t)stat.starttime_ticks * (RTH_NS_PER_S / (ticks_per_s > 0 ? ticks_per_s : 100));
    return 0;
}

int rth__identity_init(int root_fd, const char *const *environment)
{
    memset(&identity, 0, sizeof(identity));
    const char *attributes = rth__env_get(environment, "OTEL_RESOURCE_ATTRIBUTES");
    text_or_attribute(&version_value, attributes, "service.version", identity.version,
                      sizeof(identity.version));
    text_or_attribute(&revision_value, attributes, "vcs.ref.head.revision", identity.revision,
                      sizeof(identity.revision));
    /* libc copied it from argv[0] before any constructor ran. */
    (void)snprintf(identity.service, sizeof(identity.service), "%s",
                   service_value.text[0] != '\0' ? service_value.text
                                                 : program_invocation_short_name);
    bool deleted;
    if (rth__proc_exe_read(root_fd, 0, identity.executable, sizeof(identity.executable), &deleted) <
        0)
        identity.executable[0] = '\0';
    read_executable(root_fd);
    return read_start(root_fd);
}

int rth__identity_child_reset(int root_fd)
{
    return read_start(root_fd);
}
