/* SPDX-License-Identifier: MIT */
/*
 * bench_symbols [-n ADDRESSES] [-r ROUNDS] FILE…: names for addresses spread over the code of the
 * files, by src/symbols and, where it was found at configure time, by libdw (symbol tables alone,
 * no DWARF). Each round of each runs in a child of its own; the two take turns. One line of JSON:
 * milliseconds (median), the most memory a round added, and how many addresses got a name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/elf.h"
#include "os/clock.h"
#include "symbols/resolve.h"
#include "symbols/symbols.h"

#ifdef RTH_BENCH_LIBDW
#include <elfutils/libdwfl.h>
#include <elfutils/version.h>
#endif

#define FILES_MAX  16
#define ROUNDS_MAX 64
/* The peer may take seconds a round. */
#define PEER_ROUNDS_MAX 3

struct outcome {
    double ms;
    long added_kib;
    size_t named;
};

static struct rth_module modules[FILES_MAX + 1];
static unsigned file_count;
static rth_frame *frames;
static size_t frame_count;
static int root_fd;

static void die(const char *what, const char *which)
{
    (void)fprintf(stderr, "bench_symbols: %s: %s: %s\n", which, what, strerror(errno));
    exit(1);
}

static const struct rth_module *module_by_id(uint32_t id)
{
    return id >= 1 && id <= file_count ? &modules[id] : NULL;
}

/* Makes a module of the file; returns the bytes of its code. */
static uint64_t add_file(const char *path, struct rth_elf_symbol_table *ret_table)
{
    struct rth_module *module = &modules[++file_count];
    struct rth_elf_facts facts;
    struct stat status;
    char real[4096]; /* PATH_MAX, as realpath wants it */
    uint64_t code_bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || realpath(path, real) == NULL)
        die("open", path);
    struct rth_elf_source source = rth__elf_source_of_fd(fd);
    int error = rth__elf_facts_read(fd, &facts);
    if (error == 0)
        error = rth__elf_symbol_table_open(&source, ret_table);
    if (error == 0 && strlen(real) >= sizeof(module->path))
        error = -ENAMETOOLONG;
    errno = -error;
    if (error != 0)
        die("symbols", path);
    module->id = file_count;
    memcpy(module->path, real, strlen(real) + 1);
    module->dev_major = major(status.st_dev);
    module->dev_minor = minor(status.st_dev);
    module->inode = status.st_ino;
    module->build_id_bytes = facts.build_id_bytes;
    memcpy(module->build_id, facts.build_id, facts.build_id_bytes);
    for (unsigned i = 0; i < ret_table->code_range_count; i++)
        code_bytes += ret_table->code_ranges[i].limit - ret_table->code_ranges[i].start;
    (void)close(fd);
    return code_bytes;
}

/* An equal number of addresses in each file, evenly spread. */
static void spread(const struct rth_elf_symbol_table *table, uint32_t id, uint64_t code_bytes,
                   size_t count)
{
    uint64_t step = code_bytes / count > 0 ? code_bytes / count : 1;
    size_t taken = 0;
    for (unsigned i = 0; i < table->code_range_count; i++) {
        for (uint64_t at = table->code_ranges[i].start;
             at < table->code_ranges[i].limit && taken < count; at += step, taken++)
            frames[frame_count++] = rth__frame_make(id, at);
    }
}

static size_t by_rthooks(void)
{
    size_t named = 0;
    struct rth_symbol_set *set = rth__symbol_set_new(frames, frame_count);
    if (set == NULL || rth__symbol_set_resolve_with(set, module_by_id, root_fd, NULL, NULL) != 0)
        exit(1);
    for (size_t i = 0; i < frame_count; i++)
        named += rth__symbol_find(set, frames[i]).name != NULL;
    rth__symbol_set_free(set);
    return named;
}

#ifdef RTH_BENCH_LIBDW
static int no_debug_file(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
                         const char *file_name, const char *link, GElf_Word checksum,
                         char **ret_path)
{
    (void)module, (void)userdata, (void)name, (void)base, (void)file_name, (void)link;
    (void)checksum, (void)ret_path;
    return -1;
}

static size_t by_libdw(void)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf,
                                             .find_debuginfo = no_debug_file,
                                             .section_address = dwfl_offline_section_address};
    Dwfl_Module *dw_modules[FILES_MAX + 1];
    GElf_Addr bias[FILES_MAX + 1];
    size_t named = 0;
    Dwfl *dwfl = dwfl_begin(&callbacks);
    dwfl_report_begin(dwfl);
    for (unsigned id = 1; id <= file_count; id++)
        dw_modules[id] = dwfl_report_offline(dwfl, modules[id].path, modules[id].path, -1);
    (void)dwfl_report_end(dwfl, NULL, NULL);
    for (unsigned id = 1; id <= file_count; id++)
        (void)dwfl_module_getelf(dw_modules[id], &bias[id]);
    for (size_t i = 0; i < frame_count; i++) {
        uint32_t id = rth__frame_module_id(frames[i]);
        named +=
            dwfl_module_addrname(dw_modules[id], rth__frame_vaddr(frames[i]) + bias[id]) != NULL;
    }
    dwfl_end(dwfl);
    return named;
}
#endif

static long memory_kib(const char *field)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtol(line + strlen(field) + 1, NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return kib;
}

/* One round in a child, whose memory is its own. */
static struct outcome measure(size_t (*engine)(void))
{
    struct outcome outcome;
    int ends[2], status;
    if (pipe(ends) != 0)
        die("pipe", "child");
    pid_t child = fork();
    if (child == 0) {
        int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "5", 1) != 1)
            die("clear_refs", "child");
        long before_kib = memory_kib("VmRSS:");
        int64_t start_ns = rth__clock_monotonic_ns_sigsafe();
        outcome.named = engine();
        outcome.ms = (double)(rth__clock_monotonic_ns_sigsafe() - start_ns) / 1e6;
        outcome.added_kib = memory_kib("VmHWM:") - before_kib;
        _exit(write(ends[1], &outcome, sizeof(outcome)) == sizeof(outcome) ? 0 : 1);
    }
    (void)close(ends[1]);
    if (read(ends[0], &outcome, sizeof(outcome)) != sizeof(outcome))
        die("read", "child");
    (void)close(ends[0]);
    (void)waitpid(child, &status, 0);
    return outcome;
}

static int compare_ms(const void *left, const void *right)
{
    double a = ((const struct outcome *)left)->ms, b = ((const struct outcome *)right)->ms;
    return (a > b) - (a < b);
}

static void print_outcome(const char *prefix, struct outcome *outcomes, unsigned rounds)
{
    long most_kib = 0;
    qsort(outcomes, rounds, sizeof(*outcomes), compare_ms);
    for (unsigned i = 0; i < rounds; i++)
        most_kib = outcomes[i].added_kib > most_kib ? outcomes[i].added_kib : most_kib;
    (void)printf(", \"%s_ms\": %.3f, \"%s_peak_kib\": %ld, \"%s_named\": %zu", prefix,
                 outcomes[rounds / 2].ms, prefix, most_kib, prefix, outcomes[0].named);
}

int main(int argc, char **argv)
{
    static struct outcome own[ROUNDS_MAX], peer[ROUNDS_MAX];
    size_t wanted = 10000;
    unsigned rounds = 11;
    int option;
    while ((option = getopt(argc, argv, "n:r:")) != -1) {
        if (option == 'n')
            wanted = strtoul(optarg, NULL, 10);
        else if (option == 'r')
            rounds = (unsigned)strtoul(optarg, NULL, 10);
        else
            return 2;
    }
    unsigned files = (unsigned)(argc - optind);
    if (files == 0 || files > FILES_MAX || rounds == 0 || rounds > ROUNDS_MAX || wanted < files) {
        (void)fprintf(stderr, "usage: bench_symbols [-n ADDRESSES] [-r ROUNDS] FILE...\n");
        return 2;
    }
    frames = calloc(wanted, sizeof(*frames));
    root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (frames == NULL || root_fd < 0)
        die("open", "/");
    for (unsigned i = 0; i < files; i++) {
        struct rth_elf_symbol_table table;
        uint64_t code_bytes = add_file(argv[optind + (int)i], &table);
        spread(&table, i + 1, code_bytes, (wanted - frame_count) / (files - i));
    }
    for (unsigned i = 0; i < rounds; i++) {
        own[i] = measure(by_rthooks);
#ifdef RTH_BENCH_LIBDW
        if (i < PEER_ROUNDS_MAX)
            peer[i] = measure(by_libdw);
#endif
    }
    (void)printf("{\"addresses\": %zu, \"files\": %u, \"rounds\": %u", frame_count, files, rounds);
    print_outcome("rthooks", own, rounds);
#ifdef RTH_BENCH_LIBDW
    (void)printf(", \"peer\": \"libdw %d.%d\"", _ELFUTILS_VERSION / 1000, _ELFUTILS_VERSION % 1000);
    print_outcome("peer", peer, rounds < PEER_ROUNDS_MAX ? rounds : PEER_ROUNDS_MAX);
#else
    (void)peer;
#endif
    (void)printf("}\n");
    return 0;
}
