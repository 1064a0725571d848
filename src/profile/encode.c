/* SPDX-License-Identifier: MIT */
/*
 * From rows to profile.proto.
 *
 * Purpose: the one place that decides how frames, names and modules look in a profile.
 * Shape: (1) number the distinct frames: each is a location; (2) resolve their names; (3) write,
 * in one pass through gzip: header, mappings, functions and locations, samples. Recorded frames
 * are already what pprof wants (program counter of the leaf, call site of callers).
 * Names stay as the file has them, mangled, and stand as name and system_name: pprof demangles. A
 * mapping says has_functions only when every frame in it has a name, since pprof looks no further
 * then; without the flag it asks the binary, or /symbol, for all of it.
 * The executable is the first mapping, as pprof shows that one as the file. It is found by the
 * program's entry point, which holds when it was started through ld.so as well.
 * Threads: rth-work. Failure: -ENOMEM and the like, everything given back. Cost: names dominate;
 * the rest is about a microsecond per row.
 */
#include "profile/encode.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "core/arena.h"
#include "formats/gzip.h"
#include "profile/frames.h"
#include "symbols/symbols.h"

#define ROWS_PER_LOOK 256 /* between two questions whether anybody still wants it */

struct module_use {
    uint32_t mapping_id; /* of its first mapping, others follow; 0: not in the profile */
    uint32_t mapping_count;
    uint32_t frame_count, named_count;
};

struct encoder {
    const struct rth_profile_description *description;
    const struct rth_profile_rows *rows;
    const struct rth_profile_naming *naming;
    struct rth_frame_table locations; /* id = position + 1 */
    struct rth_frame_table functions; /* by the frame of the symbol's start */
    struct rth_symbol_set *symbols;   /* NULL without names */
    uint64_t *location_ids;           /* of one row */
    unsigned frames_of_longest_row;
    struct rth_gzip *gzip;
    struct rth_pprof pprof;
    char path[RTH_MODULE_PATH_BYTES];
    struct rth_module_mapping mappings[1 + RTH_MODULE_MORE_MAX]; /* of the module at hand */
    struct module_use modules[RTH_MODULES_MAX];
};

static void *arena_alloc(void *userdata, size_t size_bytes)
{
    (void)userdata;
    return rth__arena_alloc_nomalloc(size_bytes);
}

static void arena_free(void *userdata, void *block, size_t size_bytes)
{
    (void)userdata;
    rth__arena_free_nomalloc(block, size_bytes);
}

static const struct rth_allocator arena_allocator = {.alloc = arena_alloc, .free = arena_free};

static bool is_cancelled(const struct encoder *encoder, struct rth_sink *sink)
{
    const struct rth_profile_naming *naming = encoder->naming;
    return rth__sink_cancelled(sink) ||
           (naming->cancelled != NULL && naming->cancelled(naming->userdata));
}

/* The module that holds the program's entry point; 0 when it is not known. */
static uint32_t executable_id(void)
{
    uint32_t id = rth__frame_module_id(rth__frame_of_address_sigsafe(getauxval(AT_ENTRY)));
    return id < RTH_MODULES_MAX ? id : 0;
}

static int number_frames(struct encoder *encoder)
{
    for (size_t i = 0; i < encoder->rows->count; i++) {
        const struct rth_profile_row *row = &encoder->rows->rows[i];
        if (row->frame_count > encoder->frames_of_longest_row)
            encoder->frames_of_longest_row = row->frame_count;
        for (unsigned k = 0; k < row->frame_count; k++) {
            if (rth__frame_table_add(&encoder->locations, row->frames[k], RTH_PROFILE_FRAMES_MAX) ==
                0)
                return encoder->locations.count >= RTH_PROFILE_FRAMES_MAX ? -E2BIG : -ENOMEM;
        }
    }
    encoder->location_ids =
        rth__arena_alloc_nomalloc(encoder->frames_of_longest_row * sizeof(*encoder->location_ids));
    return encoder->location_ids != NULL ? 0 : -ENOMEM;
}

static int resolve_names(struct encoder *encoder)
{
    const struct rth_profile_naming *naming = encoder->naming;
    if (!naming->symbols || encoder->locations.count == 0)
        return 0;
    encoder->symbols = rth__symbol_set_new(encoder->locations.frames, encoder->locations.count);
    if (encoder->symbols == NULL)
        return -ENOMEM;
    return rth__symbol_set_resolve(encoder->symbols, naming->root_fd, naming->cancelled,
                                   naming->userdata);
}

static struct rth_symbol symbol_of(const struct encoder *encoder, rth_frame frame)
{
    if (encoder->symbols == NULL)
        return (struct rth_symbol){.name = NULL};
    return rth__symbol_find(encoder->symbols, frame);
}

/*
 * The module's mappings as a profile lists them. Those that continue another, as the segments of a
 * file do, are one with it: go tool pprof knows one bias per file, that of its first code.
 * Returns their number.
 */
static uint32_t mappings_of(const struct rth_module *module,
                            struct rth_module_mapping ret_mappings[1 + RTH_MODULE_MORE_MAX])
{
    uint32_t count = 1;
    ret_mappings[0] = (struct rth_module_mapping){
        .start = module->last_exec_start,
        .limit = module->last_exec_limit,
        .file_offset = module->last_exec_file_offset,
    };
    uint32_t more_count = __atomic_load_n(&module->more_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < more_count; i++) {
        const struct rth_module_mapping *more = &module->more[i];
        uint32_t k = 0;
        while (k < count && ret_mappings[k].start - ret_mappings[k].file_offset !=
                                more->start - more->file_offset)
            k++;
        if (k == count)
            ret_mappings[count++] = *more;
        else if (more->limit > ret_mappings[k].limit)
            ret_mappings[k].limit = more->limit;
    }
    return count;
}

static void number_module(struct encoder *encoder, uint32_t id, uint32_t *next_id)
{
    struct module_use *use = &encoder->modules[id];
    use->mapping_id = *next_id;
    use->mapping_count = mappings_of(rth__module_by_id_sigsafe(id), encoder->mappings);
    *next_id += use->mapping_count;
}

/* Which modules occur, how many of their frames have names, and which number each gets. */
static void number_mappings(struct encoder *encoder)
{
    for (uint32_t i = 0; i < encoder->locations.count; i++) {
        rth_frame frame = encoder->locations.frames[i];
        uint32_t id = rth__frame_module_id(frame);
        if (id >= RTH_MODULES_MAX || rth__module_by_id_sigsafe(id) == NULL)
            continue;
        encoder->modules[id].frame_count++;
        encoder->modules[id].named_count += symbol_of(encoder, frame).name != NULL;
    }
    uint32_t executable = executable_id();
    uint32_t next_id = 1;
    if (executable != 0)
        number_module(encoder, executable, &next_id);
    for (uint32_t id = 1; id < RTH_MODULES_MAX; id++) {
        if (encoder->modules[id].frame_count > 0 && encoder->modules[id].mapping_id == 0)
            number_module(encoder, id, &next_id);
    }
}

/* The mapping that holds the address, of the module's; 0 for code of none. */
static uint32_t mapping_of(struct encoder *encoder, uint32_t module_id, uint64_t address)
{
    const struct rth_module *module = rth__module_by_id_sigsafe(module_id);
    if (module == NULL)
        return 0;
    const struct module_use *use = &encoder->modules[module_id];
    uint32_t count = use->mapping_count > 1 ? mappings_of(module, encoder->mappings) : 0;
    for (uint32_t i = 1; i < count && i < use->mapping_count; i++) {
        const struct rth_module_mapping *mapping = &encoder->mappings[i];
        if (address >= mapping->start && address < mapping->limit)
            return use->mapping_id + i;
    }
    return use->mapping_id;
}

/* The path without what the kernel adds to that of a file that is gone. */
static const char *path_of(struct encoder *encoder, const struct rth_module *module)
{
    static const char deleted[] = " (deleted)";
    size_t length = strnlen(module->path, sizeof(encoder->path) - 1);
    if (length > sizeof(deleted) - 1 &&
        memcmp(module->path + length - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1) == 0)
        length -= sizeof(deleted) - 1;
    memcpy(encoder->path, module->path, length);
    encoder->path[length] = '\0';
    return encoder->path;
}

void rth__profile_build_id_text(const struct rth_module *module,
                                char ret_text[RTH_PROFILE_BUILD_ID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    size_t count = module->build_id_bytes;
    if (count > RTH_ELF_BUILD_ID_BYTES)
        count = RTH_ELF_BUILD_ID_BYTES;
    for (size_t i = 0; i < count; i++) {
        ret_text[2 * i] = digits[module->build_id[i] >> 4];
        ret_text[2 * i + 1] = digits[module->build_id[i] & 15];
    }
    ret_text[2 * count] = '\0';
}

static void write_mapping(struct encoder *encoder, uint32_t id)
{
    const struct rth_module *module = rth__module_by_id_sigsafe(id);
    const struct module_use *use = &encoder->modules[id];
    char build_id[RTH_PROFILE_BUILD_ID_TEXT_BYTES];
    if (use->mapping_id == 0 || module == NULL)
        return;
    rth__profile_build_id_text(module, build_id);
    uint32_t count = mappings_of(module, encoder->mappings);
    for (uint32_t i = 0; i < count && i < use->mapping_count; i++)
        rth__pprof_mapping(&encoder->pprof,
                           &(struct rth_pprof_mapping){
                               .id = use->mapping_id + i,
                               .start = encoder->mappings[i].start,
                               .limit = encoder->mappings[i].limit,
                               .file_offset = encoder->mappings[i].file_offset,
                               .file = path_of(encoder, module),
                               .build_id = build_id,
                               .has_functions = use->frame_count > 0 &&
                                                use->named_count == use->frame_count &&
                                                rth__symbol_set_has_names(encoder->symbols, id),
                           });
}

static void write_header(struct encoder *encoder)
{
    const struct rth_profile_description *description = encoder->description;
    struct rth_pprof *pprof = &encoder->pprof;
    for (unsigned i = 0; i < description->sample_type_count; i++)
        rth__pprof_sample_type(pprof, description->sample_types[i].type,
                               description->sample_types[i].unit);
    rth__pprof_default_sample_type(pprof, description->default_sample_type);
    rth__pprof_times(pprof, description->time_ns, description->duration_ns);
    rth__pprof_period(pprof, description->period_type.type, description->period_type.unit,
                      description->period);
    for (unsigned i = 0; i < description->comment_count; i++)
        rth__pprof_comment(pprof, description->comments[i]);
}

/* The function's id, written when it is met for the first time; 0 when there is no name or no
 * memory, which is then the sink's error. */
static uint32_t function_of(struct encoder *encoder, rth_frame frame)
{
    struct rth_symbol symbol = symbol_of(encoder, frame);
    if (symbol.name == NULL)
        return 0;
    uint32_t known = encoder->functions.count;
    rth_frame start = rth__frame_make(rth__frame_module_id(frame), symbol.start_vaddr);
    uint32_t id = rth__frame_table_add(&encoder->functions, start, RTH_PROFILE_FRAMES_MAX);
    if (id == 0)
        encoder->pprof.sink->error = -ENOMEM;
    else if (id > known)
        rth__pprof_function(&encoder->pprof, &(struct rth_pprof_function){
                                                 .id = id,
                                                 .name = symbol.name,
                                                 .system_name = symbol.name,
                                             });
    return id;
}

static void write_location(struct encoder *encoder, uint32_t position)
{
    rth_frame frame = encoder->locations.frames[position];
    uint64_t address = rth__frame_address(frame);
    struct rth_pprof_line line = {.function_id = function_of(encoder, frame)};
    rth__pprof_location(&encoder->pprof,
                        &(struct rth_pprof_location){
                            .id = (uint64_t)position + 1,
                            .mapping_id = mapping_of(encoder, rth__frame_module_id(frame), address),
                            .address = address,
                            .lines = &line,
                            .line_count = line.function_id != 0,
                        });
}

static void write_row(struct encoder *encoder, const struct rth_profile_row *row)
{
    for (unsigned i = 0; i < row->frame_count; i++)
        encoder->location_ids[i] = rth__frame_table_find(&encoder->locations, row->frames[i]);
    rth__pprof_sample(&encoder->pprof, &(struct rth_pprof_sample){
                                           .location_ids = encoder->location_ids,
                                           .location_count = row->frame_count,
                                           .values = row->values,
                                           .value_count = encoder->description->sample_type_count,
                                           .labels = row->labels,
                                           .label_count = row->label_count,
                                       });
}

static int write_all(struct encoder *encoder, struct rth_sink *sink)
{
    int error = rth__gzip_new(sink, &arena_allocator, &encoder->gzip);
    if (error < 0)
        return error;
    struct rth_sink *compressed = rth__gzip_sink(encoder->gzip);
    rth__pprof_init(&encoder->pprof, compressed, &arena_allocator);
    write_header(encoder);
    uint32_t executable = executable_id();
    if (executable != 0)
        write_mapping(encoder, executable);
    for (uint32_t id = 1; id < RTH_MODULES_MAX; id++) {
        if (id != executable)
            write_mapping(encoder, id);
    }
    size_t done = 0;
    for (uint32_t i = 0; i < encoder->locations.count && compressed->error == 0; i++) {
        if (++done % ROWS_PER_LOOK == 0 && is_cancelled(encoder, sink))
            return -ECANCELED;
        write_location(encoder, i);
    }
    for (size_t i = 0; i < encoder->rows->count && compressed->error == 0; i++) {
        if (++done % ROWS_PER_LOOK == 0 && is_cancelled(encoder, sink))
            return -ECANCELED;
        write_row(encoder, &encoder->rows->rows[i]);
    }
    (void)rth__pprof_finish(&encoder->pprof);
    return rth__gzip_finish(encoder->gzip);
}

int rth__profile_encode(const struct rth_profile_description *description,
                        const struct rth_profile_rows *rows,
                        const struct rth_profile_naming *naming, struct rth_sink *sink)
{
    struct encoder *encoder = rth__arena_alloc_nomalloc(sizeof(*encoder));
    if (encoder == NULL)
        return -ENOMEM;
    encoder->description = description;
    encoder->rows = rows;
    encoder->naming = naming;
    int result = is_cancelled(encoder, sink) ? -ECANCELED : number_frames(encoder);
    if (result == 0)
        result = resolve_names(encoder);
    if (result == 0) {
        number_mappings(encoder);
        result = write_all(encoder, sink);
    }
    if (encoder->gzip != NULL) {
        rth__pprof_release(&encoder->pprof);
        rth__gzip_free(encoder->gzip);
    }
    rth__symbol_set_free(encoder->symbols);
    rth__frame_table_release(&encoder->locations);
    rth__frame_table_release(&encoder->functions);
    rth__arena_free_nomalloc(encoder->location_ids,
                             encoder->frames_of_longest_row * sizeof(*encoder->location_ids));
    rth__arena_free_nomalloc(encoder, sizeof(*encoder));
    return result;
}
