/* SPDX-License-Identifier: MIT */

/*
 * The child's work for one module: its files, then name, file and line of each address, then the
 * records. It uses libdw as a program may that can be killed at any moment; see isolate.h.
 */

#include "symbolize/module.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbolize/dwarf_unit.h"
#include "symbolize/elf_names.h"

#define PAGE_BYTES UINT64_C(4096)

/* One per process, and this process does nothing else. */
static const struct module_request *current_request;

static void put_text(FILE *out, const char *text)
{
    size_t length = text != NULL ? strlen(text) : 0;
    if (length > MODULE_TEXT_BYTES_MAX)
        length = MODULE_TEXT_BYTES_MAX;
    uint32_t stored = (uint32_t)length;
    (void)fwrite(&stored, sizeof(stored), 1, out);
    if (length > 0)
        (void)fwrite(text, 1, length, out);
}

static void put_outcome(FILE *out, enum module_outcome outcome, const char *text)
{
    (void)fputc(RECORD_OUTCOME, out);
    (void)fputc((int)outcome, out);
    put_text(out, text);
}

static void put_frames(FILE *out, size_t address, const struct source_frame *frames, size_t count)
{
    char path[2 * PATH_MAX];
    uint32_t numbers[2] = {(uint32_t)address, (uint32_t)count};
    (void)fputc(RECORD_FRAMES, out);
    (void)fwrite(numbers, sizeof(numbers), 1, out);
    for (size_t i = 0; i < count; i++) {
        const char *file = frames[i].file;
        int64_t line = frames[i].line;
        if (file != NULL && file[0] != '/' && frames[i].folder != NULL) {
            snprintf(path, sizeof(path), "%s/%s", frames[i].folder, file);
            file = path;
        }
        (void)fwrite(&line, sizeof(line), 1, out);
        put_text(out, frames[i].name);
        put_text(out, file);
    }
}

static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
                          const char *file, const char *debuglink, GElf_Word crc, char **ret_file)
{
    char path[PATH_MAX];
    if (module_find(current_request, FILE_DEBUG, path) == MODULE_SYMBOLS) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            *ret_file = strdup(path);
            return fd;
        }
    }
    return dwfl_standard_find_debuginfo(module, userdata, name, base, file, debuglink, crc,
                                        ret_file);
}

static char *debuginfo_path;
static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = find_debuginfo,
    .section_address = dwfl_offline_section_address,
    .debuginfo_path = &debuginfo_path,
};

/*
 * Where an address of the process lies in the file's own address space. The program's headers tell
 * by the file offset; a file of debug information alone has other offsets, so there the executable
 * segment is taken to be the one that was mapped.
 */
static bool address_in_file(Elf *elf, const struct module_request *request, bool is_debug_file,
                            uint64_t address, uint64_t *ret_address)
{
    size_t count;
    uint64_t in_mapping = address - request->start;
    uint64_t offset = in_mapping + request->file_offset;
    if (address < request->start || offset < in_mapping || elf_getphdrnum(elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) == NULL || header.p_type != PT_LOAD ||
            (header.p_flags & PF_X) == 0)
            continue;
        uint64_t slack = header.p_vaddr % PAGE_BYTES;
        if (is_debug_file) {
            *ret_address = header.p_vaddr - slack + in_mapping;
            return in_mapping < header.p_memsz + slack;
        }
        if (offset + slack >= header.p_offset &&
            offset - header.p_offset + slack < header.p_filesz + slack) {
            *ret_address = offset - header.p_offset + header.p_vaddr;
            return true;
        }
    }
    return false;
}

static void add_symbol(const struct elf_names *names, uint64_t address, struct source_frame *frames,
                       size_t *count)
{
    if (*count > 0 && frames[*count - 1].name != NULL)
        return;
    const char *name = elf_name_at(names, address);
    if (name == NULL)
        return;
    if (*count == 0)
        frames[(*count)++] = (struct source_frame){0};
    frames[*count - 1].name = name;
}

static void name_addresses(const struct module_request *request, Dwfl_Module *module,
                           bool is_debug_file, const char *path, FILE *out)
{
    GElf_Addr bias;
    Elf *elf = dwfl_module_getelf(module, &bias);
    struct dwarf_units units = {0};
    struct elf_names names;
    struct source_frame frames[UNIT_FRAMES_MAX];
    if (elf == NULL) {
        put_outcome(out, MODULE_BROKEN, dwfl_errmsg(-1));
        return;
    }
    bool has_lines = dwarf_units_read(module, &units);
    elf_names_read(module, &names);
    put_outcome(out, has_lines ? MODULE_LINES : MODULE_SYMBOLS, path);
    for (size_t i = 0; i < request->address_count; i++) {
        uint64_t address;
        if (!address_in_file(elf, request, is_debug_file, request->addresses[i], &address))
            continue;
        size_t count = has_lines ? dwarf_frames(&units, address + bias, frames) : 0;
        add_symbol(&names, address + bias, frames, &count);
        if (count > 0)
            put_frames(out, i, frames, count);
    }
}

void module_symbolize(void *userdata, FILE *out)
{
    const struct module_request *request = userdata;
    char path[PATH_MAX], why[PATH_MAX];
    current_request = request;
    if (!request->debuginfod)
        (void)unsetenv("DEBUGINFOD_URLS");
    (void)elf_version(EV_CURRENT);
    enum module_outcome found = module_find(request, FILE_PROGRAM, path);
    bool is_debug_file = false;
    if (found != MODULE_SYMBOLS) {
        memcpy(why, path, sizeof(why));
        is_debug_file = module_find(request, FILE_DEBUG, path) == MODULE_SYMBOLS;
    }
    if (found == MODULE_SYMBOLS || is_debug_file) {
        Dwfl *dwfl = dwfl_begin(&callbacks);
        Dwfl_Module *module =
            dwfl != NULL ? dwfl_report_offline(dwfl, request->file, path, -1) : NULL;
        if (module != NULL && dwfl_report_end(dwfl, NULL, NULL) == 0)
            name_addresses(request, module, is_debug_file, path, out);
        else
            put_outcome(out, MODULE_BROKEN, dwfl_errmsg(-1));
    } else {
        put_outcome(out, found, why);
    }
    (void)fputc(RECORD_END, out);
}
