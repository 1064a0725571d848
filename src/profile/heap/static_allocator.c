/* SPDX-License-Identifier: MIT */
/*
 * Two passes over the symbols, both from front to back: the strings are searched for the names,
 * which gives their offsets, and the symbols for such an offset. So a table of any size costs
 * reading it once. A file without these symbols is searched for messages in its constant data.
 */
#include "profile/heap/static_allocator.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/arena.h"
#include "formats/elf_symbols.h"
#include "os/fd.h"

#define BUFFER_BYTES   ((size_t)64 << 10)
#define STRINGS_MAX    ((uint64_t)256 << 20) /* of one file's names */
#define DATA_MAX       ((uint64_t)64 << 20)  /* of one file's constant data */
#define CANDIDATES_MAX 64u
#define SEGMENTS_MAX   64u
#define LIBRARIES_MAX  512u
#define NAME_BYTES_MAX RTH_STATIC_ALLOCATOR_EVIDENCE_BYTES

struct known_name {
    const char *kind; /* NULL: the ordinary malloc */
    const char *symbol;
};

static const struct known_name known_names[] = {
    {NULL, "malloc"},
    {"jemalloc", "je_malloc"},
    {"jemalloc", "je_mallocx"},
    {"jemalloc", "_rjem_malloc"},
    {"jemalloc", "_rjem_mallocx"},
    {"jemalloc", "jemalloc_constructor"},
    {"mimalloc", "mi_malloc"},
    {"mimalloc", "mi_heap_malloc"},
    {"mimalloc", "_mi_malloc_generic"},
    {"tcmalloc", "tc_malloc"},
    {"tcmalloc", "tc_new"},
    {"tcmalloc", "TCMallocInternalMalloc"},
    {"rpmalloc", "rpmalloc"},
    {"snmalloc", "sn_malloc"},
    {"snmalloc", "sn_rust_alloc"},
    {"hoard", "hoardInitialize"},
    {"hoard", "xxmalloc"},
};
#define KNOWN_NAMES (sizeof(known_names) / sizeof(known_names[0]))

/* Backwards, or this very table would be found in a program that has rthooks linked in. */
static const struct {
    const char *kind, *reversed;
} known_messages[] = {
    {"jemalloc", " :>collamej<"},
    {"mimalloc", " :rorre :collamim"},
    {"tcmalloc", "colla egral :collamct"},
};
#define KNOWN_MESSAGES (sizeof(known_messages) / sizeof(known_messages[0]))

struct search {
    char *buffer; /* BUFFER_BYTES */
    struct {
        uint32_t offset, name;
    } candidates[CANDIDATES_MAX];
    unsigned candidate_count;
};

/* ---- by names ------------------------------------------------------------------------------ */

static void add_candidate(struct search *search, uint64_t offset, uint32_t name)
{
    for (unsigned i = 0; i < search->candidate_count; i++)
        if (search->candidates[i].offset == offset && search->candidates[i].name == name)
            return;
    if (search->candidate_count < CANDIDATES_MAX && offset <= UINT32_MAX) {
        search->candidates[search->candidate_count].offset = (uint32_t)offset;
        search->candidates[search->candidate_count++].name = name;
    }
}

/* Names that end at each NUL of the buffer. One may be the end of a longer string: linkers share
 * those. */
static void search_strings_at(struct search *search, uint64_t offset, size_t size_bytes)
{
    const char *buffer = search->buffer, *limit = buffer + size_bytes;
    for (const char *end = buffer; end < limit; end++) {
        end = memchr(end, '\0', (size_t)(limit - end));
        if (end == NULL)
            return;
        for (uint32_t i = 0; i < KNOWN_NAMES; i++) {
            size_t length = strlen(known_names[i].symbol);
            if ((size_t)(end - buffer) >= length &&
                memcmp(end - length, known_names[i].symbol, length) == 0)
                add_candidate(search, offset + (uint64_t)(end - buffer) - length, i);
        }
    }
}

static int search_strings(struct search *search, const struct rth_elf_symbol_table *table)
{
    uint64_t limit = table->strings_bytes < STRINGS_MAX ? table->strings_bytes : STRINGS_MAX;
    for (uint64_t offset = 0; offset < limit;) {
        int got = rth__elf_strings_read(table, offset, search->buffer, BUFFER_BYTES);
        if (got <= 0)
            return got;
        search_strings_at(search, offset, (size_t)got);
        if ((size_t)got <= NAME_BYTES_MAX)
            break;
        offset += (uint64_t)got - NAME_BYTES_MAX; /* a name may lie across */
    }
    return 0;
}

static bool is_exported(const struct rth_elf_symbol *symbol)
{
    return symbol->binding != STB_LOCAL;
}

/* The functions among the candidates: the first name of an allocator in the order of the list, and
 * whether there is a malloc for others. */
static int search_symbols(struct search *search, const struct rth_elf_symbol_table *table,
                          const struct known_name **ret_name, bool *ret_defines_malloc)
{
    struct rth_elf_symbol_cursor cursor;
    struct rth_elf_symbol symbol;
    uint32_t best = KNOWN_NAMES;
    int more;
    *ret_defines_malloc = false;
    rth__elf_symbol_cursor_init(&cursor, table, search->buffer, BUFFER_BYTES);
    while (search->candidate_count != 0 && (more = rth__elf_symbol_next(&cursor, &symbol)) != 0) {
        if (more < 0)
            return more;
        for (unsigned i = 0; i < search->candidate_count; i++) {
            uint32_t name = search->candidates[i].name;
            if (search->candidates[i].offset != symbol.name_offset ||
                !rth__elf_symbol_is_code(table, &symbol))
                continue;
            if (known_names[name].kind == NULL)
                *ret_defines_malloc = *ret_defines_malloc || is_exported(&symbol);
            else if (name < best)
                best = name;
        }
    }
    *ret_name = best < KNOWN_NAMES ? &known_names[best] : NULL;
    return 0;
}

/* ---- by messages --------------------------------------------------------------------------- */

static size_t message_text(size_t index, char ret_text[NAME_BYTES_MAX])
{
    const char *reversed = known_messages[index].reversed;
    size_t length = strlen(reversed);
    for (size_t i = 0; i < length; i++)
        ret_text[i] = reversed[length - 1 - i];
    ret_text[length] = '\0';
    return length;
}

static bool search_data_at(struct search *search, size_t size_bytes,
                           struct rth_static_allocator *found)
{
    for (size_t i = 0; i < KNOWN_MESSAGES; i++) {
        char text[NAME_BYTES_MAX];
        size_t length = message_text(i, text);
        if (memmem(search->buffer, size_bytes, text, length) == NULL)
            continue;
        found->kind = known_messages[i].kind;
        memcpy(found->evidence, text, length + 1);
        return true;
    }
    return false;
}

/* 0, -ENOENT or what the source says. *budget_bytes: what may still be read. */
static int search_segment(struct search *search, const struct rth_elf_source *source,
                          const Elf64_Phdr *segment, uint64_t *budget_bytes,
                          struct rth_static_allocator *found)
{
    uint64_t offset = segment->p_offset, left = segment->p_filesz;
    while (left > 0 && *budget_bytes > 0) {
        size_t size_bytes = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
        int error = source->read(source, offset, search->buffer, size_bytes);
        if (error != 0)
            return error;
        if (search_data_at(search, size_bytes, found))
            return 0;
        if (size_bytes <= NAME_BYTES_MAX || size_bytes == left)
            break;
        uint64_t step = size_bytes - NAME_BYTES_MAX; /* a message may lie across */
        offset += step;
        left -= step;
        *budget_bytes -= step < *budget_bytes ? step : *budget_bytes;
    }
    return -ENOENT;
}

/* Constant data has a segment of its own, or one with the code. */
static int search_data(struct search *search, const struct rth_elf_source *source,
                       struct rth_static_allocator *found)
{
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENTS_MAX];
    uint64_t budget_bytes = DATA_MAX;
    int error = source->read(source, 0, &header, sizeof(header));
    if (error != 0)
        return error;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr))
        return -ENOTSUP;
    unsigned count = header.e_phnum < SEGMENTS_MAX ? header.e_phnum : SEGMENTS_MAX;
    error = source->read(source, header.e_phoff, segments, count * sizeof(*segments));
    if (error != 0)
        return error;
    static const Elf64_Word kinds[] = {PF_R, PF_R | PF_X};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (unsigned i = 0; i < count; i++) {
            if (segments[i].p_type != PT_LOAD || segments[i].p_flags != kinds[k])
                continue;
            error = search_segment(search, source, &segments[i], &budget_bytes, found);
            if (error != -ENOENT)
                return error;
        }
    }
    return -ENOENT;
}

/* ---- files --------------------------------------------------------------------------------- */

static int search_file(struct search *search, int fd, bool is_executable,
                       struct rth_static_allocator *found)
{
    struct rth_elf_source source = rth__elf_source_of_fd(fd);
    struct rth_elf_symbol_table table;
    const struct known_name *name = NULL;
    bool defines_malloc = false;
    search->candidate_count = 0;
    int error = rth__elf_symbol_table_open(&source, &table);
    if (error == 0)
        error = search_strings(search, &table);
    if (error == 0)
        error = search_symbols(search, &table, &name, &defines_malloc);
    if (error != 0 && error != -ENOENT)
        return error;
    if (defines_malloc && !is_executable)
        return -ENOENT;
    if (name == NULL)
        return search_data(search, &source, found);
    found->kind = name->kind;
    (void)snprintf(found->evidence, sizeof(found->evidence), "%s", name->symbol);
    return 0;
}

static struct search *search_new(void)
{
    struct search *search = rth__arena_alloc_nomalloc(sizeof(*search));
    if (search == NULL)
        return NULL;
    search->buffer = rth__arena_alloc_nomalloc(BUFFER_BYTES);
    if (search->buffer == NULL) {
        rth__arena_free_nomalloc(search, sizeof(*search));
        return NULL;
    }
    return search;
}

static void search_free(struct search *search)
{
    rth__arena_free_nomalloc(search->buffer, BUFFER_BYTES);
    rth__arena_free_nomalloc(search, sizeof(*search));
}

int rth__static_allocator_in_file(int fd, bool is_executable,
                                  struct rth_static_allocator *ret_found)
{
    struct rth_static_allocator found = {.in_executable = is_executable};
    struct search *search = search_new();
    if (search == NULL)
        return -ENOMEM;
    int error = search_file(search, fd, is_executable, &found);
    search_free(search);
    if (error == 0)
        *ret_found = found;
    return error;
}

static int search_executable(struct search *search, int root_fd, struct stat *ret_status,
                             struct rth_static_allocator *found)
{
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, "proc/self/exe", O_RDONLY);
    if (fd < 0)
        return fd;
    if (fstat(fd, ret_status) != 0)
        return -errno;
    int error = search_file(search, fd, true, found);
    if (error != 0)
        return error;
    ssize_t length =
        readlinkat(root_fd, "proc/self/exe", found->module_path, sizeof(found->module_path) - 1);
    found->module_path[length > 0 ? length : 0] = '\0';
    found->in_executable = true;
    return 0;
}

/* Not another one that has taken its place. */
static bool is_the_module(int fd, const struct stat *status, const struct rth_module *module)
{
    struct rth_elf_facts facts;
    if (module->build_id_bytes == 0)
        return status->st_ino == module->inode && major(status->st_dev) == module->dev_major &&
               minor(status->st_dev) == module->dev_minor;
    return rth__elf_facts_read(fd, &facts) == 0 && facts.build_id_bytes == module->build_id_bytes &&
           memcmp(facts.build_id, module->build_id, module->build_id_bytes) == 0;
}

/* Opening never waits: the path may have become a FIFO meanwhile. */
static int search_library(struct search *search, int root_fd, const struct rth_module *module,
                          const struct stat *executable, struct rth_static_allocator *found)
{
    struct stat status;
    if (!module->loaded || module->is_vdso || module->path[0] != '/')
        return -ENOENT;
    RTH__AUTO_CLOSE int fd =
        rth__openat(root_fd, module->path + 1, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        !is_the_module(fd, &status, module))
        return -ENOENT;
    if (status.st_ino == executable->st_ino && status.st_dev == executable->st_dev)
        return -ENOENT;
    int error = search_file(search, fd, false, found);
    if (error == 0)
        (void)snprintf(found->module_path, sizeof(found->module_path), "%s", module->path);
    return error;
}

int rth__static_allocator_find(int root_fd, struct rth_static_allocator *ret_found)
{
    struct rth_static_allocator found = {0};
    struct stat executable = {0};
    struct search *search = search_new();
    if (search == NULL)
        return -ENOMEM;
    int error = search_executable(search, root_fd, &executable, &found);
    uint32_t count = rth__module_count();
    for (uint32_t id = 1; error != 0 && id <= count && id <= LIBRARIES_MAX; id++) {
        const struct rth_module *module = rth__module_by_id_sigsafe(id);
        if (module != NULL)
            error = search_library(search, root_fd, module, &executable, &found);
    }
    search_free(search);
    if (error == 0)
        *ret_found = found;
    return error == 0 ? 0 : -ENOENT;
}
